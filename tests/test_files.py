"""Files changed whole or not at all, also when the program is killed in between."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline import files
from pipeline.errors import Busy

ROOT = Path(__file__).resolve().parents[1]
DIE = "lambda *a, **k: os.kill(os.getpid(), 9)"


def run_to_death(code: str) -> None:
    """Run the code in a process of its own, which kills itself on the way."""
    start = "import os, sys; from pathlib import Path; from pipeline import files\n"
    done = subprocess.run([sys.executable, "-c", start + code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def interrupted(draft: Path) -> None:
    """Write something, and be stopped."""
    draft.write_text("new")
    raise KeyboardInterrupt


def names(folder: Path) -> list[str]:
    """Give what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------------------------------ one file
def test_a_file_is_written_with_the_folders_it_needs_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "deep" / "er" / "some.txt"
    files.write_text(path, "é\r\nb\n")
    files.write_text(path, "é\r\nc\n")
    assert path.read_bytes() == "é\r\nc\n".encode()
    assert names(path.parent) == ["some.txt"]


def test_an_error_while_writing_leaves_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "some.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as draft:
        interrupted(draft)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["some.txt"]


# The content goes to the disk (fsync) before the rename: killed at the first fsync, the old file is still there.
@pytest.mark.parametrize("moment", ["Path.write_text", "os.fsync", "os.replace"])
def test_killed_before_the_rename_the_old_file_stays_and_the_next_run_finishes(tmp_path, moment):
    path = tmp_path / "some.txt"
    path.write_text("old")
    run_to_death(f"{moment} = {DIE}; files.write_text(Path({str(path)!r}), 'new')")
    assert path.read_text() == "old"
    files.write_text(path, "newer")
    assert path.read_text() == "newer"
    assert names(tmp_path) == ["some.txt"]


def test_the_folder_goes_to_the_disk_after_the_rename(tmp_path):
    path = tmp_path / "some.txt"
    path.write_text("old")
    rename = f"old = os.replace\ndef replace(*a):\n    old(*a); os.fsync = {DIE}\nos.replace = replace\n"
    run_to_death(rename + f"files.write_text(Path({str(path)!r}), 'new')")
    assert path.read_text() == "new"


# ------------------------------------------------------------------------------------------------ a folder
def test_a_folder_is_replaced_whole(tmp_path):
    path = tmp_path / "models" / "one"
    for content in ("first", "second"):
        with files.replacing_folder(path) as draft:
            (draft / content).write_text(content)
    assert names(path) == ["second"]
    assert names(path.parent) == ["one"]


def test_an_error_while_filling_leaves_the_old_folder(tmp_path):
    path = tmp_path / "one"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(KeyboardInterrupt), files.replacing_folder(path) as draft:
        interrupted(draft / "new")
    assert names(tmp_path) == ["one"]
    assert names(path) == ["old"]


@pytest.mark.parametrize("moment", ["os.rename", "os.fsync"])
def test_killed_while_filling_there_is_no_half_folder_and_the_draft_is_cleared_away(tmp_path, moment):
    path = tmp_path / "one"
    fill = (
        f"{moment} = {DIE}\nwith files.replacing_folder(Path({str(path)!r})) as draft: (draft / 'a').touch()"
    )
    run_to_death(fill)
    assert not path.exists()
    with files.replacing_folder(path) as draft:
        assert names(draft) == []
        (draft / "b").touch()
    assert names(tmp_path) == ["one"]
    assert names(path) == ["b"]


SECOND_DELETION = f"""
old = os.unlink
def unlink(*a, **k):
    os.unlink = {DIE}
    old(*a, **k)
os.unlink = unlink
"""


@pytest.mark.parametrize("killer", [f"os.rename = {DIE}\n", SECOND_DELETION], ids=["before", "half-way"])
def test_killed_while_deleting_it_the_folder_is_there_whole_or_not_at_all(tmp_path, killer):
    path = tmp_path / "one"
    for _ in range(2):
        with files.replacing_folder(path) as draft:
            (draft / "a").touch()
            (draft / "b").touch()
        assert names(tmp_path) == ["one"]
        run_to_death(f"{killer}files.remove_folder(Path({str(path)!r}))")
        assert not path.exists() or names(path) == ["a", "b"]
    files.remove_folder(path)
    assert names(tmp_path) == []


def test_removing_a_folder_that_is_not_there_is_fine(tmp_path):
    files.remove_folder(tmp_path / "none")
    (tmp_path / "some" / "deep").mkdir(parents=True)
    files.remove_folder(tmp_path / "some")
    assert names(tmp_path) == []


# ------------------------------------------------------------------------------------------------ a link
def test_a_moved_link_is_never_missing_for_a_reader(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "current"
    files.move_link(link, "a")
    seen, over = set(), threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.add(link.read_text() if os.path.lexists(link) else "missing")

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(300):
        files.move_link(link, "b")
        files.move_link(link, "a")
    over.set()
    reader.join()
    assert seen == {"a", "b"}
    assert os.readlink(link) == "a"


def test_a_link_that_cant_be_made_is_told_by_its_own_name(tmp_path, monkeypatch):
    def refused(self, target):
        raise PermissionError(errno.EACCES, "Permission denied", target, os.fspath(self))

    monkeypatch.setattr(Path, "symlink_to", refused)
    with pytest.raises(PermissionError) as raised:
        files.move_link(tmp_path / "current", "releases/a")
    assert raised.value.filename == os.fspath(tmp_path / "current")


def test_killed_while_moving_the_link_stays_and_the_next_run_moves_it(tmp_path):
    link = tmp_path / "current"
    files.move_link(link, "a")
    run_to_death(f"os.replace = {DIE}; files.move_link(Path({str(link)!r}), 'b')")
    assert os.readlink(link) == "a"
    files.move_link(link, "b")
    assert os.readlink(link) == "b"
    assert names(tmp_path) == ["current"]


def test_a_disk_that_fails_as_a_file_or_its_folder_is_synced_is_told_with_its_name(tmp_path, monkeypatch):
    def fails_for_folders(handle):
        if Path(f"/proc/self/fd/{handle}").is_dir():
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails_for_folders)
    with pytest.raises(OSError) as failed:
        files.write_text(tmp_path / "some.txt", "new")
    assert failed.value.filename == str(tmp_path)


def test_a_folder_that_cannot_be_deleted_is_told_with_its_whole_name(tmp_path, monkeypatch):
    def fails(name, *, dir_fd=None):
        raise OSError(errno.EIO, "Input/output error", name)

    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "file").write_text("old")
    monkeypatch.setattr(os, "unlink", fails)
    with pytest.raises(OSError) as failed:
        files.remove_folder(folder)
    assert failed.value.filename == str(tmp_path / ".some.gone")


# ------------------------------------------------------------------------------------------------ the lock
def test_a_lock_that_cannot_be_written_is_told_with_its_name(tmp_path):
    path = tmp_path / ".lock"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError) as failed, files.lock(path):
        pass
    assert failed.value.filename == str(path)


def test_a_second_process_is_told_who_holds_the_lock(tmp_path):
    path = tmp_path / "deep" / ".lock"
    code = "with files.lock(Path(sys.argv[1])): pass"
    start = "import sys; from pathlib import Path; from pipeline import files\n"
    command = [sys.executable, "-c", start + code, str(path)]
    with files.lock(path):
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert f"Busy: {path}: another run (process {os.getpid()}) holds the lock" in second.stderr
    assert subprocess.run(command, cwd=ROOT).returncode == 0


def test_who_deletes_the_file_of_the_lock_gets_no_second_run_in(tmp_path):
    path = tmp_path / ".lock"
    with files.lock(path):
        path.unlink()
        with pytest.raises(Busy, match="holds the lock"), files.lock(path):
            pass
    with files.lock(path):
        pass


def test_a_killed_holder_frees_the_lock_and_an_error_does_too(tmp_path):
    path = tmp_path / ".lock"
    run_to_death(f"with files.lock(Path({str(path)!r})): os.kill(os.getpid(), 9)")
    with pytest.raises(ValueError), files.lock(path):
        raise ValueError
    with files.lock(path):
        assert path.read_text() == str(os.getpid())
        with pytest.raises(Busy), files.lock(path):
            pass
    assert Busy.exit_code == 75


def test_a_file_is_known_by_its_hash(tmp_path):
    path = tmp_path / "some.txt"
    path.write_bytes(b"abc")
    assert files.sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
