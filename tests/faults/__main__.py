"""Try every fault and tell what broke.

    python -m tests.faults [PART ...] [--most N] [--skip N]

Parts: kills, errors and power (cuts), of a run that deploys; the same with -beginning (of a first run), -rollback,
-joining (of a run that joins two sources and deploys), -fetching (of one whose rows are on a web server), -rebuild and
-repair; limits, memory, corruption; machine (anything in any order); races of readers with deployments; clocks that
are wrong. Exit code 1 if anything broke.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.faults import clocks, corruption, errors, kills, machine, power, races
from tests.faults.sweep import Frame, Trial, Wrong, forked, prepare, tried, workers
from tests.project import Project, clients, sampled, why_no_strace


@dataclass(frozen=True)
class Part:
    """A part of the suite: which of the prepared projects it disturbs, and how."""

    second: bool  # the project after its second run, else after its first
    frame: Callable[[Path, Project], Frame]
    trials: Callable[[Frame], list[Trial]]
    why_not: Callable[[Path], str | None] = lambda folder: why_no_strace()  # it can't be tried here


def anywhere(_: Path) -> None:
    """Let a part be tried wherever Python runs."""


# What is disturbed, and whether it needs the project after its second run.
RUNS = {
    "": (kills.deploying, False),
    "-beginning": (kills.beginning, False),
    "-rollback": (kills.rolling_back, True),
    "-joining": (kills.joining, False),
    "-fetching": (kills.fetching, False),
    "-rebuild": (kills.rebuilding, True),
    "-repair": (kills.repairing, True),
}
PARTS = {
    **{f"kills{run}": Part(second, frame, kills.trials) for run, (frame, second) in RUNS.items()},
    **{f"errors{run}": Part(second, frame, errors.trials) for run, (frame, second) in RUNS.items()},
    **{
        f"power{run}": Part(second, frame, power.trials, power.why_not)
        for run, (frame, second) in RUNS.items()
    },
    "limits": Part(False, kills.deploying, errors.limits, anywhere),
    "memory": Part(False, kills.deploying, errors.memory, anywhere),
    "corruption": Part(True, corruption.quiet, corruption.trials, anywhere),
    "machine": Part(True, corruption.quiet, machine.trials),
    "races": Part(True, races.served, races.trials, anywhere),
    "clocks": Part(False, clocks.ticking, clocks.trials, clocks.why_not),
}


def main() -> int:
    """Try what is asked for, print a table and what broke, and give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--most", type=int, metavar="N", help="points of a part to try, evenly spread")
    parser.add_argument(
        "--skip", type=int, default=0, metavar="N", help="leave out the first N, tried before"
    )
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    prepare()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        return tell(folder, asked.parts or list(PARTS), asked.most, asked.skip)
    finally:
        shutil.rmtree(folder)


def tell(folder: Path, names: list[str], most: int | None, skip: int) -> int:
    """Try the parts and print a line of the table for each when it's done, and the broken points in the end."""
    first, second = histories(folder)
    everything: dict[str, Wrong] = {}
    print(f"{'part':<16}{'tried':>8}{'broken':>8}{'seconds':>9}")
    for name in names:
        part = PARTS[name]
        if why_not := part.why_not(folder):
            print(f"{name:<16} skipped: {why_not}")
            continue
        began = time.perf_counter()
        trials, broken = swept(folder / name, part, second if part.second else first, most, skip)
        everything |= {f"{name}: {point}": wrong for point, wrong in broken.items()}
        print(f"{name:<16}{trials:>8}{len(broken):>8}{time.perf_counter() - began:>9.0f}", flush=True)
    for point, wrong in everything.items():
        print(f"\n{point}")
        for what, found in wrong.items():
            print(f"    {what}: {str(found)[:1000]}")
    return 1 if everything else 0


def histories(folder: Path) -> tuple[Project, Project]:
    """Give a project after its first run, and the same after drift and its second."""
    first = Project.made(folder / "first" / "a project")
    first.test_table(clients(400, seed=100))
    first.drop("week1.csv", clients(150, seed=1, day=1))
    first.drop("week2.csv", clients(150, seed=2, day=8))
    assert forked(first, "fullprocess.py").code == 0
    second = first.copied(folder / "second")
    second.drop("week3.csv", clients(180, seed=3, day=15, flipped=True))
    assert forked(second, "fullprocess.py").code == 0
    return first, second


def swept(
    folder: Path, part: Part, start: Project, most: int | None, skip: int
) -> tuple[int, dict[str, Wrong]]:
    """Try a part: how many points there were, and what broke. How far it is, and what broke, is told on stderr."""
    folder.mkdir()
    done = count()

    def told(name: str, wrong: Wrong) -> None:
        number = next(done) + 1
        if wrong:
            print(f"broken: {name}: {str(wrong)[-3000:]}", file=sys.stderr, flush=True)
        if number % 25 == 0:
            print(f"{folder.name}: {number} of {len(chosen)} tried", file=sys.stderr, flush=True)

    with workers() as pool:
        frame = pool.submit(part.frame, folder, start).result()
        found = part.trials(frame)[skip:]
        chosen = sampled(found, most) if most else found
        return len(chosen), tried(pool, frame, chosen, told)


if __name__ == "__main__":
    os.nice(5)
    sys.exit(main())
