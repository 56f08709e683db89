"""The quiet tick: nothing to do only if nothing changed, whatever changed and however."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import files, releases, watch

ROOT = Path(__file__).resolve().parents[1]
LONG_AGO = time.time() - 600
CLOCK_STEP = 0.02  # seconds; the times of files are no finer on older kernels


class Place:
    """A project folder at rest: config, two source folders, a release that is live, and the watch file."""

    def __init__(self, folder: Path, names: tuple[str, ...] = ("a.csv", "b.csv")):
        folder.mkdir(exist_ok=True)
        self.config = folder / "config.yaml"
        self.sources = [folder / "data", folder / "more data"]
        self.production = folder / "production"
        self.config.write_text("paths: {}\n")
        for source in self.sources:
            source.mkdir()
            for name in names:
                (source / name).write_text("1")
        for release in ("first", "second"):
            (self.production / "releases" / release).mkdir(parents=True)
            for name in (releases.MANIFEST, *releases.READABLE):
                (self.production / "releases" / release / name).write_text(release)
        self.go_live("first")
        self.rest()

    def go_live(self, release: str) -> None:
        """Move the link."""
        files.move_link(self.production / releases.CURRENT, f"releases/{release}")

    def look(self) -> tuple[dict[str, str], dict[str, str]]:
        """Stamp everything."""
        return watch.look(map(str, self.sources))

    def rest(self, settled: bool = True) -> None:
        """Write the watch file, as a run does that left nothing to do; with folders that last changed long ago."""
        for source in self.sources if settled else []:
            os.utime(source, (LONG_AGO, LONG_AGO))
        text = watch.watch_text(self.config, *self.look(), releases.watched(self.production))
        files.write_text(Path(watch.watch_file(self.config)), text)

    def quiet(self) -> bool:
        """Say whether a tick finds nothing to do."""
        return watch.nothing_changed(self.config)


def same_size_and_time(path: Path) -> None:
    """Write other content of the same size into the file and set its time back."""
    time.sleep(CLOCK_STEP)
    before = path.stat()
    path.write_text("2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "a new file": lambda place: (place.sources[1] / "c.csv").write_text("1"),
    "a file grown": lambda place: (place.sources[0] / "a.csv").write_text("12"),
    "a file rewritten in place": lambda place: same_size_and_time(place.sources[0] / "a.csv"),
    "a file replaced": lambda place: files.write_text(place.sources[0] / "a.csv", "2"),
    "a file deleted": lambda place: (place.sources[0] / "a.csv").unlink(),
    "a file renamed": lambda place: (place.sources[0] / "a.csv").rename(place.sources[0] / "c.csv"),
    "a folder gone": lambda place: place.sources[0].rename(place.sources[0].with_name("elsewhere")),
    "the config touched": lambda place: place.config.touch(),
    "the config gone": lambda place: place.config.unlink(),
    "another release live": lambda place: place.go_live("second"),
    "no release live": lambda place: (place.production / releases.CURRENT).unlink(),
    "a deployed file altered": lambda place: same_size_and_time(place.production / "current" / releases.MODEL),
    "a deployed file gone": lambda place: (place.production / "current" / "latestscore.txt").unlink(),
    "the memory gone": lambda place: watch.forget(place.config),
    "the memory cut off": lambda place: os.truncate(watch.watch_file(place.config), 9),
    "the memory empty": lambda place: os.truncate(watch.watch_file(place.config), 0),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_tick_is_quiet_until_something_changes(tmp_path, change):
    place = Place(tmp_path)
    assert place.quiet()
    time.sleep(CLOCK_STEP)
    change(place)
    assert not place.quiet()


def test_the_memory_of_a_copied_project_is_not_its_own(tmp_path):
    place = Place(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "other", symlinks=True)
    assert place.quiet()
    assert not watch.nothing_changed(tmp_path / "other" / "config.yaml")


def test_what_is_no_drop_changes_nothing(tmp_path):
    place = Place(tmp_path)
    (tmp_path / "notes.txt").write_text("beside the source folders")
    (place.production / "releases" / "second" / releases.MANIFEST).write_text("not live")
    assert place.quiet()


@pytest.mark.parametrize(
    ("hours", "quiet"), [(0, True), (5, True), (7, False), (24 * 365, False), (-1, False), (-24 * 365, False)]
)
def test_a_full_look_is_due_in_time_and_after_a_change_of_the_clock(tmp_path, monkeypatch, hours, quiet):
    place, now = Place(tmp_path), time.time()
    monkeypatch.setattr(time, "time", lambda: now + hours * 3600)
    assert place.quiet() is quiet


def test_a_folder_that_changed_a_moment_ago_is_looked_at_again(tmp_path):
    place = Place(tmp_path)
    (place.sources[0] / "c.csv").write_text("1")
    place.rest(settled=False)
    assert not place.quiet()
    place.rest()
    assert place.quiet()


NAMES = {
    "spaces": "a b  c.csv", "a tabulator": "a\tb.csv", "accents": "é.csv", "a line separator": "a\u2028b\x85.csv",
    "a newline": "a\nb.csv", "a carriage return": "a\rb.csv", "bytes that are not UTF-8": os.fsdecode(b"caf\xe9.csv"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_file_of_any_name_is_seen_once_and_known_from_then_on(tmp_path, name):
    place = Place(tmp_path, (name,))
    assert place.quiet()
    found, _ = place.look()
    files.write_text(tmp_path / "seen.txt", watch.seen_text(found, "version 1"))
    assert watch.changed_files(found, tmp_path / "seen.txt", "version 1") == []
    same_size_and_time(place.sources[0] / name)
    assert not place.quiet()
    again, _ = place.look()
    assert watch.changed_files(again, tmp_path / "seen.txt", "version 1") == [str(place.sources[0] / name)]


def test_among_very_many_files_the_newest_are_compared_at_every_tick_and_all_at_a_full_look(tmp_path):
    place = Place(tmp_path, tuple(f"{number}.csv" for number in range(watch.LOOKED_AT // 2)))
    for source in place.sources:
        (source / "newest.csv").write_text("1")
    place.rest()
    assert place.quiet()
    found, _ = place.look()
    assert len(found) > watch.LOOKED_AT
    files.write_text(tmp_path / "seen.txt", watch.seen_text(found, ""))
    remembered = Path(watch.watch_file(place.config)).read_text()
    assert str(place.sources[0] / "0.csv") not in remembered
    same_size_and_time(place.sources[0] / "0.csv")
    assert watch.changed_files(place.look()[0], tmp_path / "seen.txt", "") == [
        str(place.sources[0] / "0.csv")
    ]
    same_size_and_time(place.sources[1] / "newest.csv")
    assert not place.quiet()


def test_only_regular_visible_files_are_drops_in_name_order_folder_by_folder(tmp_path):
    place = Place(tmp_path)
    source = place.sources[0]
    (source / ".draft.csv").write_text("1")
    (source / "folder.csv").mkdir()
    (source / "link.csv").symlink_to(source / "a.csv")
    os.mkfifo(source / "fifo.csv")
    found, folders = place.look()
    assert list(found) == [str(folder / name) for folder in place.sources for name in ("a.csv", "b.csv")]
    assert list(folders) == [str(folder) for folder in place.sources]


def test_folders_below_are_looked_into_and_stamped_if_asked_for_and_links_to_folders_never(tmp_path):
    for name in ("z.csv", "a/2.csv", "a/b/1.csv", ".hidden/1.csv", "empty/.hidden.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / "round").symlink_to(tmp_path)
    found, folders = watch.look([str(tmp_path)], recursive=True)
    assert list(found) == [str(tmp_path / name) for name in ("a/2.csv", "a/b/1.csv", "z.csv")]
    assert sorted(folders) == [str(tmp_path / name) for name in ("", "a", "a/b", "empty")]
    assert {**found, **folders} == {path: watch.stamp(path) for path in (*found, *folders)}
    assert [*map(list, watch.look([str(tmp_path)]))] == [[str(tmp_path / "z.csv")], [str(tmp_path)]]


BELOW = {
    "a new file": lambda below: (below / "new.csv").write_text("1"),
    "a file grown": lambda below: (below / "a.csv").write_text("12"),
    "a new folder": lambda below: (below / "folder").mkdir(),
    "a folder gone": lambda below: below.rename(below.parents[2] / "elsewhere"),
}


@pytest.mark.parametrize("change", BELOW.values(), ids=BELOW)
def test_a_change_in_a_folder_below_ends_the_quiet(tmp_path, change):
    config, source = tmp_path / "config.yaml", tmp_path / "drop"
    below = source / "2025" / "01"
    below.mkdir(parents=True)
    config.write_text("")
    (below / "a.csv").write_text("1")
    for folder in (source, below.parent, below):
        os.utime(folder, (LONG_AGO, LONG_AGO))
    text = watch.watch_text(config, *watch.look([str(source)], recursive=True), [])
    files.write_text(Path(watch.watch_file(config)), text)
    assert watch.nothing_changed(config)
    time.sleep(CLOCK_STEP)
    change(below)
    assert not watch.nothing_changed(config)


@pytest.mark.parametrize("recursive", [False, True])
def test_a_folder_that_can_not_be_listed_is_an_error(tmp_path, recursive):
    with pytest.raises(FileNotFoundError):
        watch.look([str(tmp_path / "none")], recursive)


def test_a_folder_below_that_goes_away_during_the_look_is_no_failure(tmp_path, monkeypatch):
    (tmp_path / "going").mkdir()
    (tmp_path / "a.csv").write_text("1")
    listed = watch._listed

    def overtaken(folder, found, recursive):
        below = listed(folder, found, recursive)
        for path in below:
            Path(path).rmdir()
        return below

    monkeypatch.setattr(watch, "_listed", overtaken)
    found, folders = watch.look([str(tmp_path)], recursive=True)
    assert (list(found), list(folders)) == ([str(tmp_path / "a.csv")], [str(tmp_path)])
    assert folders[str(tmp_path)] != watch.stamp(tmp_path)


def test_a_file_without_a_stamp_is_never_taken_for_seen(tmp_path):
    files.write_text(tmp_path / "seen.txt", watch.seen_text({"https://host/a.csv": ""}, "1"))
    assert watch.changed_files({"https://host/a.csv": ""}, tmp_path / "seen.txt", "1") == [
        "https://host/a.csv"
    ]


def test_a_file_that_goes_away_during_the_look_is_no_failure(tmp_path):
    place = Place(tmp_path)
    found, folders = place.look()
    gone = {str(place.sources[0] / "gone.csv"): watch.stamp(place.sources[0] / "gone.csv")}
    assert watch.watch_text(place.config, found | gone, folders, [])


def test_with_another_version_or_without_memory_every_file_is_new(tmp_path):
    found, _ = Place(tmp_path).look()
    assert watch.changed_files(found, tmp_path / "seen.txt", "1") == list(found)
    files.write_text(tmp_path / "seen.txt", watch.seen_text(found, "1"))
    assert watch.changed_files(found, tmp_path / "seen.txt", "1") == []
    assert watch.changed_files(found, tmp_path / "seen.txt", "2") == list(found)


def test_forgetting_twice_is_fine(tmp_path):
    place = Place(tmp_path)
    watch.forget(place.config)
    watch.forget(place.config)
    assert not place.quiet()


# ------------------------------------------------------------------------------------------------ the program
CODE = "import sys; from pipeline import watch; watch.leave_if_quiet(sys.argv[1], sys.argv[2:]); print('went on')"


def leave(place: Place, *arguments: str, **how) -> subprocess.CompletedProcess:
    """Run the question in a process of its own, which it may end."""
    command = [sys.executable, "-c", CODE, str(place.config), *arguments]
    return subprocess.run(command, cwd=ROOT, **{"capture_output": True, **how})


def test_a_quiet_tick_ends_the_program_without_a_word(tmp_path):
    place = Place(tmp_path)
    for arguments in ((), ("--config", os.path.relpath(place.config, ROOT))):
        done = leave(place, *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    "arguments", [("--json",), ("-v",), ("--force",), ("--config", "none.yaml"), ("--config",)]
)
def test_whoever_asks_for_more_than_a_plain_run_gets_the_full_program(tmp_path, arguments):
    assert leave(Place(tmp_path), *arguments).stdout == b"went on\n"


def test_a_terminal_is_told_that_there_is_nothing_to_do(tmp_path):
    ours, theirs = os.openpty()
    done = leave(Place(tmp_path), stdout=theirs, stderr=theirs, capture_output=False)
    assert done.returncode == 0
    assert os.read(ours, 1000).decode().strip() == watch.NOTHING
    os.close(ours)
    os.close(theirs)


def test_a_quiet_tick_without_any_output_to_write_to_is_no_failure(tmp_path):
    closed = f"{sys.executable} -c \"{CODE}\" '{Place(tmp_path).config}' >&-"
    done = subprocess.run(["/bin/sh", "-c", closed], cwd=ROOT, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
