"""A small project for tests: its config, drops made from a seed, and the scripts run on it as cron runs them.

    project = Project(tmp_path / "a project")
    project.drop("january.csv", clients(200, seed=1))
    assert project.run("fullprocess.py", "--json").facts["outcome"] == "first"

`run` starts a process with cron's bare environment. `call` runs the same script to the same end inside this process,
without the seconds it takes to import everything. `killed` stops a process dead at a given system call.
"""

import io
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import numpy as np
import pandas as pd
import sqlalchemy as sa

from pipeline import cli, dataset, metrics, models, records, releases
from pipeline.config import Config
from pipeline.records import Records

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
BARE = {"PATH": "/usr/bin:/bin", "HOME": "/", "SHELL": "/bin/sh", "LOGNAME": "root"}  # what cron hands on
NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}  # so that a traced run makes the same calls every time
LONGEST = 120  # seconds that one run may take on a busy machine

CONFIG = """\
paths: {source: drop}

columns:
  id: client
  time: seen
  target: exited
  features:
    activity: {type: number, min: 0}
    complaints: {type: number, min: 0, max: 50}
    branch: category

model:
  seed: 7
  candidates:
    logistic_regression:

scoring: {metric: roc_auc, min_rows: 40}
drift: {tests: [worst_score, two_sigma, iqr], require: 2}
retraining: {policy: adaptive, min_rows: 60, recent: 1, cooldown: 0}
deployment: {proof_rows: 100}
"""

PRICES = """\
paths: {source: drop}
task: regression

columns:
  id: house
  target: price
  features:
    rooms: {type: number, min: 0}
    age: number
    town: category

model: {candidates: {ridge: }}
scoring: {min_rows: 40}
retraining: {min_rows: 60, recent: 1, cooldown: 0}
deployment: {proof_rows: 100}
"""

BRANCHES = ["north", "south", "east", "west"]


def clients(rows: int, seed: int, *, flipped: bool = False, day: int = 1) -> pd.DataFrame:
    """Make up clients: the idle and the complaining leave; `flipped`, it is the busy and the content."""
    random = np.random.default_rng(seed)
    activity, complaints = random.integers(0, 100, rows), random.integers(0, 6, rows)
    pull = 0.08 * (50 - activity) + 0.5 * (complaints - 2.5)
    leaves = random.random(rows) < 1 / (1 + np.exp(pull if flipped else -pull))
    return pd.DataFrame(
        {
            "client": [f"client {seed}-{number}" for number in range(rows)],
            "seen": f"2025-03-{day:02}",
            "exited": leaves.astype(int),
            "activity": activity,
            "complaints": complaints,
            "branch": random.choice(BRANCHES, rows),
        }
    )


def made_of(release: releases.Release) -> dict[str, Any]:
    """Give what a release was made of, for another like it: model_file, texts, facts and onnx."""
    names = [name for name in release.manifest["files"] if name not in (releases.MODEL, releases.ONNX)]
    return {
        "model_file": release.model_file,
        "texts": {name: (release.folder / name).read_text(encoding="utf-8") for name in names},
        "facts": {name: fact for name, fact in release.manifest.items() if name not in ("id", "files")},
        "onnx": (release.folder / releases.ONNX).read_bytes() if release.has_onnx else None,
    }


def houses(rows: int, seed: int, *, crash: bool = False) -> pd.DataFrame:
    """Make up houses: dear if large and new; after the `crash` old ones are dear and large ones cheap."""
    random = np.random.default_rng(seed)
    worth, rooms, age = (-1 if crash else 1), random.integers(1, 9, rows), random.integers(0, 80, rows)
    return pd.DataFrame(
        {
            "house": [f"house {seed}-{number}" for number in range(rows)],
            "price": np.round(300 + worth * (40 * rooms - 2 * age) + random.normal(0, 10, rows), 1),
            "rooms": rooms,
            "age": age,
            "town": random.choice(["Ard", "Bel"], rows),
        }
    )


@dataclass(frozen=True)
class Ran:
    """How a script ended."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> dict[str, Any]:
        """Give the one JSON object on stdout, of a run that went well."""
        assert self.code == 0, f"left with {self.code}: {self.err}"
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """Give the one line on stderr, of a run that said nothing on stdout."""
        assert self.out == "", self.out
        assert self.err.endswith("\n"), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.rstrip("\n")


@dataclass(frozen=True)
class Project:
    """A project in a folder of its own. The scripts stay where they are, only the config names the folder."""

    folder: Path

    @classmethod
    def made(cls, folder: Path, config: str = CONFIG) -> "Project":
        """Give a new project, with this config and an empty folder for drops."""
        (folder / "drop").mkdir(parents=True)
        (folder / "config.yaml").write_text(config)
        return cls(folder)

    def copied(self, folder: Path) -> "Project":
        """Give a copy of the project in another folder, its history with it."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    # ------------------------------------------------------------------------------------------ what the user does
    def drop(self, name: str, rows: pd.DataFrame | str | bytes) -> Path:
        """Put a table (or whatever bytes) into the folder that files drop into, all at once."""
        return self._put(self.folder / "drop" / name, rows)

    def test_table(self, rows: pd.DataFrame) -> Path:
        """Put a table of test rows where the user would."""
        (self.folder / "testdata").mkdir(exist_ok=True)
        return self._put(self.folder / "testdata" / "test.csv", rows)

    def _put(self, path: Path, rows: pd.DataFrame | str | bytes) -> Path:
        text = rows.to_csv(index=False) if isinstance(rows, pd.DataFrame) else rows
        draft = self.folder / "arriving"
        draft.write_bytes(text.encode() if isinstance(text, str) else text)
        draft.replace(path)
        return path

    def configure(self, before: str, after: str) -> None:
        """Edit the config: replace the one place where `before` stands."""
        text = self.config_file.read_text()
        assert text.count(before) == 1, f"{text.count(before)} times: {before}"
        self.config_file.write_text(text.replace(before, after))

    def settle(self) -> None:
        """Date the drop folder back, so that a run need not wait to see whether more is coming."""
        os.utime(self.folder / "drop", (1e9, 1e9))

    @contextmanager
    def manifest(self, release: str = "current") -> Iterator[dict[str, Any]]:
        """Give the manifest of a release, the live one unless named, to be changed as if it had been written so."""
        path = self.production(release) / releases.MANIFEST
        facts = json.loads(path.read_text())
        del facts[releases.OWN_HASH]
        yield facts
        path.write_text(releases.manifest_text(facts))

    def copy_release(self, name: str) -> None:
        """Put a release of this name beside the live one, with all that is in it."""
        folder = self.production(f"releases/{name}")
        shutil.copytree(self.production("current"), folder)
        with self.manifest(f"releases/{name}") as facts:
            facts["id"] = name

    # ------------------------------------------------------------------------------------------ scripts
    def run(self, script: str, *flags: str, before: tuple[str, ...] = ()) -> Ran:
        """Run a script as cron does: a process, a bare environment, another working directory, no terminal."""
        with self.started(script, *flags, before=before) as process:
            out, err = process.communicate(timeout=LONGEST)
        return Ran(process.returncode, out, err)

    @contextmanager
    def started(
        self, script: str, *flags: str, before: tuple[str, ...] = ()
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a script as cron does; it's killed at the end if it still runs."""
        command = [*before, sys.executable, str(ROOT / script), "--config", str(self.config_file), *flags]
        process = subprocess.Popen(
            command,
            cwd="/",
            env=BARE | NO_BYTECODE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def call(self, script: str, *flags: str) -> Ran:
        """Run a script inside this process. What would be a bug's traceback is raised."""
        out, err = io.StringIO(), io.StringIO()
        argv = [str(ROOT / script), f"--config={self.config_file}", *flags]
        code: Any = 0
        with mock.patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
            try:
                runpy.run_path(argv[0], run_name="__main__")
            except SystemExit as left:
                code = left.code
        return Ran(code, out.getvalue(), err.getvalue())

    def does(self, script: str, *flags: str) -> dict[str, Any]:
        """Run a script inside this process; it must succeed. Give its facts."""
        return self.call(script, "--json", *flags).facts

    def plain(self, text: str) -> str:
        """Give a text without the config of this project in the commands that it names."""
        return text.replace(f" --config {shlex.quote(str(self.config_file))}", "")

    # ------------------------------------------------------------------------------------------ what there is now
    @property
    def config_file(self) -> Path:
        """Give the file of the config."""
        return self.folder / "config.yaml"

    @property
    def config(self) -> Config:
        """Give the config as it is now."""
        return cli.load_config(self.config_file)

    @contextmanager
    def book(self) -> Iterator[Records]:
        """Open the records."""
        with records.opened(self.config.database) as book:
            yield book

    def query(self, sql: str) -> list[tuple]:
        """Ask the database, of whichever kind it is."""
        with sa.create_engine(self.config.database, poolclass=sa.NullPool).connect() as asked:
            return [tuple(row) for row in asked.exec_driver_sql(sql)]

    def table(self) -> str:
        """Give `finaldata.csv`."""
        return self.ingested("finaldata.csv").read_text()

    def rows(self) -> list[str]:
        """Give the rows of `finaldata.csv` in the order of their text."""
        return sorted(self.table().splitlines()[1:])

    def ingested(self, name: str) -> Path:
        """Give a file in the folder of what was ingested."""
        return self.folder / "ingesteddata" / name

    def reasons(self) -> list[dict[str, str]]:
        """Give the lines of `rejected/reasons.csv`; none if there is no such file."""
        path = self.ingested("rejected/reasons.csv")
        table = pd.read_csv(path, dtype=str, keep_default_na=False) if path.exists() else pd.DataFrame()
        return [{str(name): cell for name, cell in row.items()} for row in table.to_dict("records")]

    def production(self, name: str = "") -> Path:
        """Give the folder of what is deployed, or a file in it."""
        return self.folder / "production_deployment" / name

    def live(self) -> str | None:
        """Give the name of the release that the link points to."""
        link = self.production("current")
        return link.readlink().name if link.is_symlink() else None

    def champion(self) -> releases.Release:
        """Give the live release, verified."""
        release = releases.current(self.config)
        assert release is not None
        return release

    def predictions(self, rows: pd.DataFrame) -> np.ndarray:
        """Give what the live model makes of rows."""
        release = self.champion()
        inputs = models.inputs_of(rows, release.features)
        return models.predict(models.load(release.model_file), inputs, self.config.task)

    def test_score(self) -> float:
        """Give the live model's score on the test table."""
        config = self.config
        rows = dataset.read_tables(config, config.test)
        truth = models.truth_of(rows, config.columns.target, config.task)
        return metrics.chosen(config.task, config.scoring.metric).score(truth, self.predictions(rows))

    def snapshot(self) -> dict[str, bytes]:
        """Give the content of every file, by path, and where every link points. The lock's is no matter."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            name = str(path.relative_to(self.folder))
            if path.is_symlink():
                found[name] = os.fsencode(path.readlink())
            elif path.is_file() and path.name != ".lock":
                found[name] = path.read_bytes()
        return found

    def stamps(self) -> dict[str, int]:
        """Give when each file and folder was last written or changed."""
        return {str(path): path.lstat().st_ctime_ns for path in [self.folder, *self.folder.rglob("*")]}

    def leftovers(self) -> list[str]:
        """Give the drafts that lie about."""
        return [str(path.relative_to(self.folder)) for path in self.folder.rglob("*.draft")]


# ---------------------------------------------------------------------------------------------- killed at a system call
MUTATIONS = "rename,renameat,renameat2,unlink,unlinkat,symlink,symlinkat,fsync,fdatasync"
STRACE = ("strace", "-f", "-qq", "-e", "signal=none")
QUICK = ("--seccomp-bpf",)  # only traced calls stop the process; with it no signal can be sent
CALL = re.compile(r"^(\d+)\s+(\w+)\((.*)")


@dataclass(frozen=True)
class Point:
    """A system call of a run: the how-manieth of its name, and what it does, for people."""

    name: str
    number: int
    told: str

    def __str__(self) -> str:
        return f"{self.name} {self.number}: {self.told}"


def why_no_strace() -> str | None:
    """Give in a few words what keeps processes from being killed at a system call here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run([*STRACE, *QUICK, "-e", "trace=rename", "true"], capture_output=True, text=True)
    return f"strace does not work: {probe.stderr.strip()}" if probe.returncode else None


def points(project: Project, script: str, *flags: str) -> list[Point]:
    """Run a script to its end and give every call with which it changed something on the disk, in order."""
    log = project.folder.with_name(f"{project.folder.name}.strace")
    ran = project.run(
        script, *flags, before=(*STRACE, *QUICK, "-y", "-e", f"trace={MUTATIONS}", "-o", str(log))
    )
    assert ran.code == 0, ran.err
    calls = [match.groups() for match in map(CALL.match, log.read_text().splitlines()) if match]
    counted, found = Counter[str](), []
    for process, name, told in calls:
        if process == calls[0][0]:
            counted[name] += 1
            if str(project.folder) in told:
                found.append(Point(name, counted[name], told.replace(str(project.folder), "")))
    return found


def sampled(found: Sequence[T], most: int) -> list[T]:
    """Give at most so many, evenly spread, the first and the last with them."""
    places = np.linspace(0, len(found) - 1, min(most, len(found)))
    return [found[round(place)] for place in places]


def killed_at(start: Project, folder: Path, chosen: list[Point], script: str, *flags: str) -> list[Project]:
    """Give a copy of the project for each point, in which the script was killed there."""
    copies = [start.copied(folder / f"killed {number}") for number in range(len(chosen))]
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda pair: killed(*pair, script, *flags), zip(copies, chosen, strict=True)):
            pass
    return copies


def killed(project: Project, point: Point, script: str, *flags: str) -> None:
    """Run a script and kill it (SIGKILL) as it enters this call."""
    kill = f"inject={point.name}:signal=KILL:when={point.number}"
    options = ("-e", f"trace={point.name}", "-e", kill, "-o", "/dev/null")
    ran = project.run(script, *flags, before=(*STRACE, *options))
    assert ran.code == -9, f"{point}: not killed, left with {ran.code}: {ran.err}"
