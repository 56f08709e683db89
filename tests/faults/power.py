"""The power goes: what was not synced is lost, with a run or a rollback cut off anywhere, or just ended.

The project lies on an ext4 file system in a file, mounted through a loop device. At the point the process is killed,
and the bytes of that file, which are the disk's, are copied while the file system is still mounted: whatever it hadn't
written back yet is missing in the copy. That is mounted in its place, which replays its journal, and the next run must
finish the story there.

Nothing is written back by itself: the journal waits five minutes, and a run takes seconds. So the disk holds what was
synced, no more. As an ext4 journal keeps the order of its changes, and writes all before when one file is synced, each
point is also tried with the journal written just before the cut, but not what is in files: then a rename whose content
was not synced gives an empty file.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults import kills
from tests.faults.errors import mounted
from tests.faults.sweep import Frame, Trial, Wrong, disturbed, finished, forked
from tests.project import Point, Project, why_no_strace

SIZE = "96m"
# The first leaves the journal alone for longer than a run takes; the others take away what ext4 does for programs that
# rename without syncing.
LOSING = "loop,commit=300,data=writeback,noauto_da_alloc"
SYNCS = ("fsync", "fdatasync")


@dataclass(frozen=True)
class Disk:
    """A disk that loses what wasn't synced when the power goes: its bytes, and where it is mounted."""

    image: Path
    root: Path

    def settle(self) -> None:
        """Write everything."""
        subprocess.run(["sync", "--file-system", str(self.root)], check=True)

    def write_journal(self) -> None:
        """Let ext4 write names, links and sizes, as it does every few seconds, but not what is in files."""
        with (self.root / "something else").open("wb") as file:
            os.fsync(file.fileno())

    def cut(self) -> None:
        """Go on as after a power cut: with the bytes that are on the disk now."""
        after = self.image.with_name("after the cut")
        subprocess.run(["cp", "--sparse=always", str(self.image), str(after)], check=True)
        self._unmount()
        after.replace(self.image)
        self._mount()

    def _mount(self) -> None:
        _do("mount", "-t", "ext4", "-o", LOSING, str(self.image), str(self.root))

    def _unmount(self) -> None:
        _do("umount", str(self.root))


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """Give a new disk below this folder, its bytes in memory. It's gone in the end."""
    with mounted(folder, "512m") as memory:
        made = Disk(memory / "image", memory / "disk")
        made.root.mkdir()
        _do("truncate", "--size", SIZE, str(made.image))
        _do("mkfs.ext4", "-q", str(made.image))
        made._mount()
        try:
            yield made
        finally:
            made._unmount()


def why_not(folder: Path) -> str | None:
    """Give in a few words what keeps this from being tried here, or None."""
    return why_no_strace() or why_no_disk(folder)


def why_no_disk(folder: Path) -> str | None:
    """Give in a few words what keeps a disk from being made below this folder, or None."""
    if os.getuid():
        return "only root can mount a disk"
    if missing := [tool for tool in ("mount", "mkfs.ext4") if shutil.which(tool) is None]:
        return f"no {' and no '.join(missing)}"
    try:
        with disk(folder / "a disk"):
            return None
    except (OSError, subprocess.CalledProcessError) as problem:
        return f"no disk can be mounted: {problem}"


# ---------------------------------------------------------------------------------------------- what is tried
def trials(frame: Frame) -> list[Trial]:
    """Give a cut at each point of the script, and one after it has ended.

    Where nothing is written back by itself the disk changes when something is synced, and only then: a cut before each
    sync is a cut at every point. With the journal written, each point that changes something is tried.
    """
    found = [Trial("the end", ended)]
    for number, point in enumerate(frame.points):
        if point.name in SYNCS:
            found.append(Trial(f"synced only, {point}", cut_off, (point, False)))
        if number == 0 or not kills.changes_nothing(frame.points[number - 1]):
            found.append(Trial(f"journal written, {point}", cut_off, (point, True)))
    return found


def cut_off(frame: Frame, project: Project, point: Point, journal: bool) -> Wrong:
    """Cut the power at this point of the script, and give what the next run leaves wrong."""
    with disk(project.folder.with_name(f"{project.folder.name} disk")) as its:
        there = project.copied(its.root / "project")
        its.settle()
        ran = disturbed(there, point, "signal=KILL", frame.script, *frame.flags)
        there.folder.with_name(f"{there.folder.name}.strace").unlink()
        assert ran.code == kills.KILLED, f"not killed, left with {ran.code}: {ran.err}"
        if journal:
            its.write_journal()
        its.cut()
        return finished(frame, there)


def ended(frame: Frame, project: Project) -> Wrong:
    """Cut the power when the script has just ended well, and give what of its work is gone."""
    with disk(project.folder.with_name(f"{project.folder.name} disk")) as its:
        there = project.copied(its.root / "project")
        its.settle()
        ran = forked(there, frame.script, *frame.flags)
        assert ran.code == 0, ran.err
        before, live = there.snapshot(), there.live()
        its.cut()
        after = there.snapshot()
        changed = [name for name in before.keys() | after if before.get(name) != after.get(name)]
        wrong: Wrong = {"gone or as it was before": sorted(changed)} if changed else {}
        if there.live() != live or f"live: {live}" not in forked(there, "deployment.py", "--verify").out:
            wrong["live"] = (there.live(), live)
        return wrong | finished(Frame(frame.folder, frame.start, states=frame.states[:1]), there)
