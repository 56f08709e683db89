"""Files changed whole or not at all: replace by rename, move a link, hold a lock, know a file by its hash."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import Busy

GONE = ".gone"  # the ending of what is being deleted
DRAFT = ".draft"  # the ending of what is not finished yet; one writer at a time, so one name is enough


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a draft to write; on success it becomes `path` in one step and survives a power cut.

    A reader sees the old file or the new one. On an error the old file stays and the draft goes.
    """
    draft = path.with_name(f".{path.name}{DRAFT}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with told_of(path):
            yield draft
            sync(draft)
            os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Name the file in an OSError that doesn't: a full disk shows when something is written, not opened."""
    try:
        yield
    except OSError as problem:
        if problem.filename is None:
            problem.filename = os.fspath(path)
        raise


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text`, UTF-8, with line ends as they are, and file names in it as the disk has them."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by these bytes."""
    with replacing(path) as draft:
        draft.write_bytes(content)


def printable(name: str) -> str:
    """Give a file name as text that can be recorded: bytes that are no UTF-8 as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty draft folder to fill; on success it becomes `path`, whole and synced.

    An unfinished draft of an earlier run is cleared away; an existing `path` is replaced.
    """
    draft = path.with_name(f".{path.name}{DRAFT}")
    remove_folder(draft)
    draft.mkdir(parents=True)
    try:
        with told_of(path):
            yield draft
            for file in sorted(draft.iterdir()):
                sync(file)
            sync(draft)
            remove_folder(path)
            os.rename(draft, path)
    except BaseException:
        remove_folder(draft)
        raise
    sync(path.parent)


def remove_folder(path: Path) -> None:
    """Delete a folder and all in it; none there is fine. Whoever looks for it finds it whole or not at all."""
    gone = path.with_name(f".{path.name}{GONE}")
    shutil.rmtree(gone, ignore_errors=True)  # the leftover of a run that was cut off
    if path.exists():
        os.rename(path, gone)
        try:
            shutil.rmtree(gone)
        except OSError as problem:
            problem.filename = os.fspath(gone)  # else the bare name of a file in it
            raise


def remove(path: Path) -> None:
    """Delete a file for good: no power cut brings it back beside what was written later. None there is fine."""
    if path.exists():
        path.unlink()
        sync(path.parent)


def move_link(link: Path, target: str) -> None:
    """Point the symbolic link at `target` (relative to the link's folder) in one step."""
    draft = link.with_name(f".{link.name}{DRAFT}")
    draft.unlink(missing_ok=True)
    try:
        draft.symlink_to(target)
        os.replace(draft, link)
    except OSError as problem:
        problem.filename = os.fspath(link)  # it would name the target, a part of a path, or the draft
        raise
    sync(link.parent)


def sync(path: Path) -> None:
    """Force a file or folder to the disk (fsync), so that a rename never outlives its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with told_of(path):
            os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Give the SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield number
    finally:
        os.close(number)


def _lock_if_it_can_be(folder: int) -> None:
    """Lock a folder. Raise BlockingIOError if another has it; network file systems may know no locks of folders."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the one writer's lock; the kernel lets it go when the holder dies, however it dies.

    The file says who holds it; the folder is locked, too, because a file can be deleted while its holder is at work.
    Raise Busy, with the holder's process id, if another run has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file, _folder(path.parent) as folder:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _lock_if_it_can_be(folder)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise Busy(
                f"{path}: another run (process {holder}) holds the lock; try again when it is done"
            ) from None
        with told_of(path):
            file.truncate(0)
            os.write(file.fileno(), str(os.getpid()).encode())  # nothing is left to be flushed if it fails
        yield
