"""Files missing, empty, cut, changed in a bit, swapped, of a newer version: told in one line, or carried on without."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.journal import REPAIR
from tests.faults.sweep import DOCUMENTED, Frame, Trial, Wrong, forked
from tests.project import Project, Ran, clients

LOOKS = (("deployment.py", "--verify"), ("diagnostics.py",), ("fullprocess.py",))
NEXT = "week4.csv"
BY_SIZE = "table"  # known by its size, so a bit that flips may pass: nothing learns from it
LIVE = "production_deployment/current/"

# What is damaged, as a pattern below the project's folder: the first that is found, and the second to swap it with.
DAMAGED = {
    "live model": (f"{LIVE}trainedmodel.skops", "production_deployment/releases/*/trainedmodel.skops"),
    "live ONNX file": (f"{LIVE}trainedmodel.onnx", "production_deployment/releases/*/trainedmodel.onnx"),
    "live manifest": (f"{LIVE}manifest.json", "production_deployment/releases/*/manifest.json"),
    "live score": (f"{LIVE}latestscore.txt", "production_deployment/releases/*/latestscore.txt"),
    "live list of files": (f"{LIVE}ingestedfiles.txt", "production_deployment/releases/*/ingestedfiles.txt"),
    "live sketch": (f"{LIVE}sketch.json", "production_deployment/releases/*/sketch.json"),
    "list of files": ("ingesteddata/ingestedfiles.txt", "production_deployment/releases/*/ingestedfiles.txt"),
    "table": ("ingesteddata/finaldata.csv", "testdata/test.csv"),
    "part": ("ingesteddata/parts/*.parquet", "ingesteddata/parts/*.parquet"),
    "known rows": ("ingesteddata/known/rows/*.run", ""),
    "known of": ("ingesteddata/known/of.txt", ""),
    "seen files": ("ingesteddata/seen.txt", ""),
    "state of the run": ("ingesteddata/state.txt", "ingesteddata/seen.txt"),
    "state of the table": ("ingesteddata/.finaldata.state", "ingesteddata/state.txt"),
    "quiet tick": (".config.yaml.watch", "ingesteddata/seen.txt"),
    "records": ("records.db", ""),
    "config": ("config.yaml", ""),
    "kept model": ("models/shadow/*/trainedmodel.skops", "models/shadow/*/trainedmodel.skops"),
    "kept facts": ("models/shadow/*/candidate.json", "models/shadow/*/candidate.json"),
    "kept sketch": ("models/shadow/*/sketch.json", "models/shadow/*/sketch.json"),
    "candidate": ("models/*/trainedmodel.skops", "models/*/trainedmodel.skops"),
    "candidate facts": ("models/*/candidate.json", "models/*/candidate.json"),
    "batch": ("models/batches/*.npz", "models/batches/*.npz"),
    "latest score": ("models/latestscore.txt", ""),
    "report facts": ("reports/diagnostics.json", ""),
    "journal": ("ingesteddata/records.journal", ""),
    "seal": ("ingesteddata/records.seal", ""),
    "listed names": ("production_deployment/releases/*/ingestedfiles.txt", "ingesteddata/ingestedfiles.txt"),
    "call list": ("reports/calllist.csv", ""),
    "report": ("reports/report.html", ""),
}


def missing(path: Path) -> None:
    """Delete the file."""
    path.unlink()


def empty(path: Path) -> None:
    """Leave nothing in the file."""
    path.write_bytes(b"")


def half(path: Path) -> None:
    """Cut the file in the middle."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def last_byte(path: Path) -> None:
    """Cut the last byte off."""
    path.write_bytes(path.read_bytes()[:-1])


def one_bit(path: Path, place: float) -> None:
    """Change one bit at this share of the file."""
    content = bytearray(path.read_bytes())
    if content:
        content[int(len(content) * place)] ^= 0x10
    path.write_bytes(content)


BITS: dict[str, Callable[[Path], None]] = {
    "one bit": partial(one_bit, place=0.5),
    "a bit near the start": partial(one_bit, place=0.03),
    "a bit near the end": partial(one_bit, place=0.97),
}
DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": missing,
    "empty": empty,
    "cut in half": half,
    "short of a byte": last_byte,
    **BITS,
}


# ---------------------------------------------------------------------------------------------- newer versions
def newer_json(path: Path) -> None:
    """Have the object say that it is of a later format, and more than is known."""
    later = {"version": 99, "format": 99, "from_the_future": {}}
    path.write_text(json.dumps(json.loads(path.read_text()) | later))


def newer_line(path: Path) -> None:
    """Begin the text with another version."""
    path.write_text("later 99 " + path.read_text())


def newer_database(path: Path) -> None:
    """Have the database say that a later migration was the last."""
    with closing(sqlite3.connect(path)) as there, there:
        there.execute("update alembic_version set version_num = '9999'")


def newer_table(path: Path) -> None:
    """Add a column that nothing is known of."""
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows.append_column("_later", pa.nulls(len(rows), pa.string())), path)


def newer_config(path: Path) -> None:
    """Add a key that nothing is known of."""
    path.write_text(path.read_text() + "\nfrom_the_future: true\n")


NEWER: dict[str, Callable[[Path], None]] = {
    **dict.fromkeys(
        ["live manifest", "live sketch", "kept facts", "kept sketch", "candidate facts", "seal"], newer_json
    ),
    **dict.fromkeys(
        ["known of", "seen files", "state of the run", "state of the table", "quiet tick"], newer_line
    ),
    "records": newer_database,
    "part": newer_table,
    "config": newer_config,
}


def quiet(folder: Path, second_run: Project) -> Frame:
    """Give a project with two releases. The state it leads to: the rows, with one more file dropped."""
    frame = Frame(folder, second_run.copied(folder / "start"))
    with frame.copy("undamaged") as project:
        project.drop(NEXT, clients(80, seed=4, day=22, flipped=True))
        assert forked(project, "fullprocess.py").code == 0
        frame.states.append({"rows": project.rows(), "files": files_of(project)})
    return frame


def files_of(project: Project) -> list[tuple]:
    """Give what is on record of the files that rows came from."""
    return project.query("select name, rows, duplicates from files where status = 'ingested' order by name")


def trials(frame: Frame) -> list[Trial]:
    """Give each damage to each file."""
    found = []
    for name, (pattern, other) in DAMAGED.items():
        ways = {how: way for how, way in DAMAGES.items() if name != BY_SIZE or how not in BITS}
        ways |= {"swapped": partial(swapped, pattern=other)} if other else {}
        ways |= {"of a newer version": NEWER[name]} if name in NEWER else {}
        found += [Trial(f"{name}: {how}", damaged, (pattern, way)) for how, way in ways.items()]
    return found


def damaged(frame: Frame, project: Project, pattern: str, damage: Callable[[Path], None]) -> Wrong:
    """Damage a file, run the programs, put the file back, run again; give what went wrong."""
    project.settle()
    assert forked(project, "fullprocess.py").code == 0
    path = sorted(project.folder.glob(pattern))[0]
    before, expected = path.read_bytes(), project.predictions(clients(200, seed=77))
    live = project.live()
    damage(path)
    wrong: Wrong = {}
    told = [look(project, wrong, live, expected, *program) for program in LOOKS]
    project.drop(NEXT, clients(80, seed=4, day=22, flipped=True))
    told.append(look(project, wrong, live, expected, "fullprocess.py"))
    return wrong | mended(project, told, path, before) | healed(frame, project)


def swapped(path: Path, pattern: str) -> None:
    """Put another file of the kind, with other content, in its place."""
    content = path.read_bytes()
    project = next(folder for folder in path.parents if (folder / "config.yaml").exists())
    other = next(one for one in sorted(project.glob(pattern)) if one.read_bytes() != content)
    shutil.copyfile(other, path)


def look(
    project: Project, wrong: Wrong, live: str | None, expected: np.ndarray, script: str, *flags: str
) -> Ran:
    """Run a program. Note it if it has a bug, says too much, or verifies a production that serves something else."""
    ran = forked(project, script, *flags)
    name = " ".join((script, *flags))
    if ran.code not in DOCUMENTED or "Traceback" in ran.err:
        wrong[name] = (ran.code, ran.err)
    elif ran.code and (ran.out or ran.err.count("\n") != 1):
        wrong[f"{name}: not one line"] = (ran.code, ran.out, ran.err)
    verified = forked(project, "deployment.py", "--verify")
    if verified.code == 0 and project.live() == live and not same(project, expected):
        wrong[f"served after {name}"] = "other predictions, and it verifies"
    return ran


def same(project: Project, expected: np.ndarray) -> bool:
    """Say whether the live model predicts as expected."""
    return bool(np.array_equal(project.predictions(clients(200, seed=77)), expected))


def mended(project: Project, told: list[Ran], path: Path, before: bytes) -> Wrong:
    """Do what a person would who reads what was told: repair, or put a copy of the file back. Give what went wrong."""
    if any(REPAIR in project.plain(ran.err) for ran in told):
        repaired = forked(project, "diagnostics.py", "--repair")
        return {"repair": (repaired.code, repaired.err)} if repaired.code else {}
    if any(ran.code for ran in told):
        put_back(path, before)
    return {}


def put_back(path: Path, content: bytes) -> None:
    """Put the file back as a person would who has a copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path)


def healed(frame: Frame, project: Project) -> Wrong:
    """Run once more, and give what rows are lost or counted twice, if any."""
    again = forked(project, "fullprocess.py")
    if again.code:
        return {"put back": (again.code, again.err)}
    verified = forked(project, "deployment.py", "--verify")
    wrong: Wrong = {"put back, production": verified.err} if verified.code else {}
    found = {"rows": project.rows(), "files": files_of(project)}
    for name, state in frame.states[0].items():
        if found[name] != state:
            wrong[name] = f"{len(found[name])} instead of {len(state)}"  # type: ignore[arg-type]
    return wrong
