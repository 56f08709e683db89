"""Errors at every system call that changes something, and disks that are full, small or not to be written to."""

import ctypes
import os
import resource
import shutil
import struct
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.faults.sweep import DOCUMENTED, FILE_TROUBLE, Frame, Trial, Wrong, disturbed, finished, forked
from tests.project import Point, Project, Ran

ERRORS = ("ENOSPC", "EIO", "EDQUOT")
FILE_SIZES = (0, 100, 1_000, 4_096, 10_000, 20_000, 40_000, 60_000, 100_000, 150_000, 300_000)  # bytes
SPARE_PAGES = (0, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 80, 96, 128, 160, 192, 256)  # of 4 kB, on a disk
SPARE_MEGABYTES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)  # of memory
HANGS = 30.0  # seconds after which a run without memory is taken to hang
PLACES = (".", "drop", "ingesteddata", "ingesteddata/parts", "models", "models/shadow", "models/batches",
          "production_deployment", "production_deployment/releases", "reports", "records.db")  # fmt: skip
NOBODY = 65534


def trials(frame: Frame) -> list[Trial]:
    """Give each error at each point of the script, and EIO where it opens something to read."""
    found = [
        Trial(f"{error} at {point}", failed, (point, error)) for point in frame.points for error in ERRORS
    ]
    return [*found, *map(unreadable, frame.reads)]


def unreadable(point: Point) -> Trial:
    """Give a file or folder that can't be read there."""
    return Trial(f"EIO at {point}", unread, (point,))


def failed(frame: Frame, project: Project, point: Point, error: str) -> Wrong:
    """Let the call fail, and give what was told badly, or left wrong by the next run."""
    ran = disturbed(project, point, f"error={error}", frame.script, *frame.flags)
    return told_badly(project, ran) | finished(frame, project)


def unread(frame: Frame, project: Project, point: Point) -> Wrong:
    """Let an opening to read fail, and give what was told badly, or left wrong by the next run."""
    ran = disturbed(project, point, "error=EIO", frame.script, *frame.flags)
    return told_badly(project, ran, DOCUMENTED) | finished(frame, project)


def told_badly(project: Project, ran: Ran, codes: Collection[int] = (FILE_TROUBLE,)) -> Wrong:
    """Give what a run said that met file trouble, unless it got by or told it in a line that names a file."""
    if ran.code == 0 and "Traceback" not in ran.err:
        return {}
    lines = ran.err.splitlines()
    if ran.code in codes and len(lines) == 1 and str(project.folder) in lines[0]:
        return {}
    return {"told": (ran.code, ran.err)}


# ---------------------------------------------------------------------------------------------- limits
def limits(frame: Frame) -> list[Trial]:
    """Give what a system can refuse without strace: long files, a full disk, folders that are not to be written to."""
    found = [Trial(f"files of {most:,} bytes at most", short_files, (most,)) for most in FILE_SIZES]
    if os.getuid() == 0:
        found.append(Trial("a dropped file not to be read", closed))
        found += [Trial(f"{place} not to be written to", locked, (place,)) for place in PLACES]
    if can_mount(frame.folder):
        found += [Trial(f"{pages * 4} kB left on the disk", full_disk, (pages,)) for pages in SPARE_PAGES]
    return found


def short_files(frame: Frame, project: Project, most: int) -> Wrong:
    """Run where no file may be longer than this."""
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most))
    ran = forked(project, frame.script, *frame.flags, first=limit)
    return told_badly(project, ran) | finished(frame, project)


def memory(frame: Frame) -> list[Trial]:
    """Give how much more memory a run can have than it has when it starts."""
    return [Trial(f"{spare} MB of memory left", little_memory, (spare,)) for spare in SPARE_MEGABYTES]


def little_memory(frame: Frame, project: Project, spare: int) -> Wrong:
    """Run where only so many megabytes more than it has at first can be had.

    Where a library is refused memory it may end the process in its own way, or never: that's a kill, and not told well.
    """
    try:
        ran = forked(project, frame.script, *frame.flags, first=partial(leave_memory, spare), longest=HANGS)
    except TimeoutError:
        return finished(frame, project)
    silent = {"told": ran.code} if ran.code and not ran.err else {}
    return silent | finished(frame, project)


def leave_memory(spare: int) -> None:
    """Let this process get so many megabytes more, and no more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + spare * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def locked(frame: Frame, project: Project, place: str) -> Wrong:
    """Run where this place is another user's, without the powers of root; then as root."""
    there = project.folder / place
    if not there.exists():
        there.mkdir(parents=True)
    os.chown(there, NOBODY, NOBODY)
    ran = forked(project, frame.script, *frame.flags, first=be_powerless)
    return told_badly(project, ran) | finished(frame, project)


def closed(frame: Frame, project: Project) -> Wrong:
    """Drop what only another user may read: told once, and no run each tick; then he lets everybody."""
    (dropped,) = (
        path for path in (project.folder / "drop").iterdir() if path.name not in known_files(project)
    )
    os.chown(dropped, NOBODY, NOBODY)
    dropped.chmod(0o600)
    first, *later = (forked(project, frame.script, *frame.flags, first=be_powerless) for _ in range(3))
    wrong: Wrong = {}
    if str(dropped) not in first.err or "left for the next run" not in first.err:
        wrong["told"] = first
    if any((ran.code, ran.out, ran.err) != (0, "", "") for ran in later):
        wrong["told again"] = later
    dropped.chmod(0o644)
    return wrong | finished(frame, project)


def known_files(project: Project) -> set[str]:
    """Give the names of the files on record."""
    return {name for (name,) in project.query("select name from files")}


def be_powerless() -> None:
    """Give up all capabilities: root may then write only what is its own."""
    header, nothing = struct.pack("Ii", 0x20080522, 0), bytes(24)  # version 3, this process
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing):
        raise OSError(ctypes.get_errno(), "capset")


def full_disk(frame: Frame, project: Project, pages: int) -> Wrong:
    """Run on a disk with so many pages left; then the disk grows."""
    with mounted(project.folder.with_name(f"{project.folder.name} disk"), "32m") as disk:
        there = project.copied(disk / "project")
        used = (os.statvfs(disk).f_blocks - os.statvfs(disk).f_bfree) + pages
        _mount("-o", f"remount,size={used * os.statvfs(disk).f_frsize}", str(disk))
        ran = forked(there, frame.script, *frame.flags)
        _mount("-o", "remount,size=32m", str(disk))
        return told_badly(there, ran) | finished(frame, there)


@contextmanager
def mounted(disk: Path, size: str) -> Iterator[Path]:
    """Give a small disk in memory."""
    disk.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk))
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)
        disk.rmdir()


def _mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True, capture_output=True)


def can_mount(folder: Path) -> bool:
    """Say whether disks in memory can be mounted here."""
    if shutil.which("mount") is None:
        return False
    try:
        with mounted(folder / "a disk", "1m"):
            return True
    except subprocess.CalledProcessError:
        (folder / "a disk").rmdir()
        return False
