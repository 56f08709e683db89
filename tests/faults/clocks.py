"""Clocks that are wrong: ahead, set back, standing still, at their beginning, and changed to summer time and back.

The same files are ingested by runs whose clock (libfaketime) is told what to show; in the end all must be as with a
clock that is right: every row counted once, the same releases, scores and predictions, the same ones kept, and the same
one gone back to. The times of files are those of the disk, whose clock is right.
"""

import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from tests.faults.sweep import Frame, Trial, Wrong, apart, differences, forked
from tests.project import Project, Ran, clients

DAY = 86_400
SPRING, AUTUMN = (
    datetime(2027, month, day, 1, tzinfo=UTC) for month, day in ((3, 28), (10, 31))
)  # in Europe
BERLIN = "Europe/Berlin"
Shown = (
    int | str | datetime
)  # seconds from now, a moment at which the clock stands still, one from which it goes on
Clocks = tuple[Shown, ...] | None  # at each of the runs; None: a clock that is right
CLOCKS: dict[str, tuple[Shown, ...]] = {
    "a day ahead, then two back": (DAY, -DAY, 0),
    "a day back, then right, then a day back": (-DAY, 0, -DAY),
    "two days ahead, a day ahead, right": (2 * DAY, DAY, 0),
    "a clock without battery": (datetime(2000, 1, 1, tzinfo=UTC),) * 3,
    "a clock that stands still": ("2027-01-01 12:00:00",) * 3,
    "to summer time": tuple(SPRING + timedelta(seconds=at) for at in (-1800, -1, 1800)),
    "from summer time": tuple(AUTUMN + timedelta(seconds=at) for at in (-1800, -1, 1800)),
}


def why_not(_: Path) -> str | None:
    """Give in a few words what keeps this from being tried here, or None."""
    if shutil.which("faketime") is None:
        return "faketime is not installed"
    shown = subprocess.run([*clock(DAY), "date", "+%s"], capture_output=True, text=True).stdout.strip()
    return None if shown.isdigit() and int(shown) > time.time() + DAY / 2 else "faketime does not work"


def clock(shows: Shown) -> tuple[str, ...]:
    """Give what to put before a command, so that its clock shows this, and its place is in Europe."""
    if isinstance(shows, datetime):
        shows = int(shows.timestamp() - time.time())
    told = shows if isinstance(shows, str) else f"{shows:+d}"
    return ("env", f"TZ={BERLIN}", "NO_FAKE_STAT=1", "faketime", "-f", told)


# ---------------------------------------------------------------------------------------------- releases come and go
def weeks() -> list[pd.DataFrame]:
    """Give the rows of three weeks, each of another world than the one before."""
    return [
        clients(250, seed=seed, flipped=seed % 2 == 1).assign(seen=f"2025-{seed + 1:02}-01")
        for seed in (3, 4, 5)
    ]


def ticking(folder: Path, first_run: Project) -> Frame:
    """Give a project to which three weeks come. The state they lead to: with a clock that is right."""
    start = first_run.copied(folder / "start")
    start.configure("deployment: {", "deployment: {keep: 2, ")
    frame = Frame(folder, start)
    with frame.copy("undisturbed") as project:
        frame.states.append(came_and_went(project, None))
    assert frame.states[0]["on disk"] == [2, 3], frame.states[0]
    return frame


def trials(frame: Frame) -> list[Trial]:
    """Give each clock, with releases that come and go, and with labels that come late."""
    return [
        Trial(f"{what}: {name}", function, (name,))
        for name in CLOCKS
        for what, function in (("releases", releases_at), ("late labels", late_labels_at))
    ]


def releases_at(frame: Frame, project: Project, name: str) -> Wrong:
    """Let three weeks come while the clock shows this, and give what is otherwise than with a right one."""
    return differences(came_and_went(project, CLOCKS[name]), frame.states[0])


def came_and_went(project: Project, shown: Clocks) -> dict[str, Any]:
    """Let three weeks come, then go back by one release, and let the next run do what is left; give both states."""
    state = lived(project, weeks(), shown)
    for script, *flags in (("deployment.py", "--rollback"), ("fullprocess.py",)):
        ran = run(project, shown[-1] if shown else None, script, *flags)
        assert ran.code == 0, ran.err
    return state | {"after the rollback": apart(project), "then on disk": kept(project)}


def lived(project: Project, drops: list[pd.DataFrame], shown: Clocks) -> dict[str, Any]:
    """Run once for each table, with the clock showing this, and give the state in the end."""
    for number, rows in enumerate(drops):
        project.drop(f"table {number}.csv", rows)
        ran = run(project, shown[number] if shown else None, "fullprocess.py")
        assert ran.code == 0, ran.err
        verified = forked(project, "deployment.py", "--verify")
        assert verified.code == 0, verified.err
    return apart(project) | kept(project)


def run(project: Project, shows: Shown | None, script: str, *flags: str) -> Ran:
    """Run a script, with a clock that shows this; with the right one if it's None."""
    if shows is None:
        return forked(project, script, *flags)
    return project.run(script, *flags, before=clock(shows))


def kept(project: Project) -> dict[str, object]:
    """Give the releases on disk, by their number, and those that are listed, in their order."""
    numbers = dict(project.query("select id, number - 1 from releases"))
    listed = forked(project, "deployment.py", "--list", "--json").facts["releases"]
    there = [path.name for path in project.production("releases").iterdir() if path.name[0] != "."]
    return {
        "on disk": sorted(numbers[name] for name in there),
        "listed": [numbers[one["release"]] for one in listed],
    }


# ---------------------------------------------------------------------------------------------- labels come late
def late_labels_at(frame: Frame, project: Project, name: str) -> Wrong:
    """Let labels come after their rows while the clock shows this, and give what is otherwise than with a right one."""
    right, wrong = (late(project.folder / kind) for kind in ("right", "wrong"))
    return differences(labelled(wrong, CLOCKS[name]), labelled(right, None))


def late(folder: Path) -> Project:
    """Give a project in which a row is scored ten days after its time, a model deployed from rows of early February."""
    project = Project.made(folder)
    project.configure("scoring: {", "cleaning: {key: [client, seen]}\nscoring: {label_window: 10, ")
    project.test_table(clients(400, seed=100))
    rows = clients(300, seed=1).assign(seen="2025-02-01")
    project.drop("first.csv", pd.concat([rows, clients(5, seed=9).assign(seen="2025-02-15", exited="")]))
    assert forked(project, "fullprocess.py").code == 0
    return project


def labelled(project: Project, shown: Clocks) -> dict[str, object]:
    """Let rows come, then the labels of some of them, then those of the others and what ends their window."""
    rows = clients(150, seed=3, day=3)
    left = rows["exited"] == 1
    drops = [
        rows.assign(exited=""),
        rows[left],
        pd.concat([rows[~left], clients(60, seed=5, day=14).assign(exited="")]),
    ]
    state = lived(project, drops, shown)
    assert (0, "4", 150) in [(release, batch, rows) for release, batch, _, rows in state["scores"]]
    return state
