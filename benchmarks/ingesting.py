"""What ingestion costs, as a multiple of only parsing the same files with pyarrow, and beside pandas.

Everything is measured in this run, on files made for it, each command in a process of its own: CPU time (user and
system) and peak memory. A history of 200 million rows would take an hour to ingest, so its records and its hashes are
laid down as an ingestion would have left them; what a new file costs against it is measured for real.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

ROWS = 330_000  # in each of the 50 files of the first load: 1 GB in all
REPEATED = 0.05
TRIES = 3  # of which the cheapest counts: what else the machine does only adds
NEW_ROWS = 100_000
HISTORIES = 2_000_000, 200_000_000  # rows
CONFIG = """\
paths: {source: drop}
columns:
  id: client
  time: day
  target: left
  features:
    spent: {type: number, min: 0}
    visits: {type: number, min: 0, max: 1000}
    balance: number
    age: {type: number, min: 18, max: 120}
    plan: {type: category, allowed: [basic, silver, gold, platinum]}
    region: category
cleaning: {max_rejected: 0.1}
"""
PARSE = """
import sys, pyarrow.csv as csv
for path in sys.argv[1:]:
    csv.read_csv(path)
"""
PANDAS = """
import sys, pandas as pd
print(len(pd.concat([pd.read_csv(path, engine="pyarrow") for path in sys.argv[1:]]).drop_duplicates()))
"""


@dataclass(frozen=True)
class Cost:
    """CPU seconds, peak resident memory, and peak private (anonymous) memory in MB."""

    cpu: float
    peak: float
    private: float


def table(quick: bool) -> tuple[list[str], bool]:
    """Give the lines of the table and whether every bar was held."""
    with tempfile.TemporaryDirectory(dir=_with_room()) as folder:
        rows = [*first_load(Path(folder), 5 if quick else 50)]
        rows += new_file(Path(folder), HISTORIES[:1] if quick else HISTORIES)
        rows += many_files(Path(folder))
    lines = ["", "Ingestion: CPU of `python ingestion.py` against a reference measured beside it", "",
             "| what | measured | bar | |", "|---|---|---|---|"]  # fmt: skip
    lines += [
        f"| {what} | **{told}** | {bar} | {'' if held else 'missed'} |" for what, told, bar, held in rows
    ]
    return lines, all(held for *_, held in rows)


Row = tuple[str, str, str, bool]


def first_load(folder: Path, files: int) -> list[Row]:
    """Measure the load of many large files into an empty project."""
    project = _project(folder / "first load")
    paths = [_write(project / "drop" / f"{number:03}.csv", number, ROWS) for number in range(files)]
    size = sum(path.stat().st_size for path in paths) / 1e9
    parses, loads = [], []
    for _ in range(TRIES):
        parses.append(_run([sys.executable, "-c", PARSE, *map(str, paths)]))
        _forget(project)
        loads.append(_run(_ingestion(project)))
    parse, ours = (min(costs, key=lambda cost: cost.cpu) for costs in (parses, loads))
    other = _run([sys.executable, "-c", PANDAS, *map(str, paths)])
    what = f"first load, {size:.2f} GB in {files} files, {REPEATED:.0%} repeated"
    shutil.rmtree(project)
    parsing, pandas = ours.cpu / parse.cpu, other.cpu / ours.cpu
    memory = f"{what}: peak memory (pandas: {other.peak:,.0f} MB)"
    return [
        (f"{what}: x pyarrow parsing ({parse.cpu:.1f} s)", f"{parsing:.2f}", "at most 5", parsing <= 5),
        (
            f"{what}: pandas concat and drop_duplicates, x ours",
            f"{pandas:.2f}",
            "at least 1.5",
            pandas >= 1.5,
        ),
        (memory, f"{ours.peak:,.0f} MB", "under 1,500 MB", ours.peak < 1500),
    ]


def new_file(folder: Path, histories: tuple[int, ...]) -> list[Row]:
    """Measure one new file against histories of so many rows."""
    rows: list[Row] = []
    costs = []
    for size in histories:
        project = _project(folder / f"history of {size}")
        if size <= ROWS * 10:
            _write(project / "drop" / "history.csv", 0, size)
            _run(_ingestion(project))
        else:
            _lay_history(project, size)
        found = []
        for number in range(5):
            path = _write(project / "drop" / f"new {number}.csv", 10_000 + 10 * number, NEW_ROWS)
            parse = min(
                (_run([sys.executable, "-c", PARSE, str(path)]) for _ in range(3)), key=lambda one: one.cpu
            )
            found.append((_run(_ingestion(project)), parse))
        ours, parse = (min(costs, key=lambda cost: cost.cpu) for costs in zip(*found, strict=True))
        costs.append(ours.cpu)
        what = f"a file of {NEW_ROWS:,} rows against {size / 1e6:,.0f} million"
        parsing, against_first = ours.cpu / parse.cpu, ours.cpu / costs[0]
        if size == histories[0]:
            told = f"{what}: x pyarrow parsing it ({parse.cpu:.2f} s)"
            rows.append((told, f"{parsing:.2f}", "at most 4", parsing <= 4))
        else:
            told = f"{what}: x that against {histories[0] / 1e6:,.0f} million"
            rows.append((told, f"{against_first:.2f}", "at most 1.3", against_first <= 1.3))
        rows.append(
            (f"{what}: private memory", f"{ours.private:,.0f} MB", "under 400 MB", ours.private < 400)
        )
        shutil.rmtree(project)
    return rows


def many_files(folder: Path) -> list[Row]:
    """Measure many small files against one of the same bytes, and 500 against 250."""
    costs = {}
    for files in (1, 100, 250, 500):
        project = _project(folder / f"{files} files")
        each = 200_000 // (100 if files == 100 else files) if files in (1, 100) else 2_000
        for number in range(files):
            _write(project / "drop" / f"{number:03}.csv", number, each)
        tries = []
        for _ in range(TRIES):
            _forget(project)
            tries.append(_run(_ingestion(project)).cpu)
        costs[files] = min(tries)
        shutil.rmtree(project)
    small, doubled = costs[100] / costs[1], costs[500] / costs[250]
    return [
        ("100 files of 2,000 rows: x one file of the same bytes", f"{small:.2f}", "at most 3", small <= 3),
        ("500 files waiting: x 250 files", f"{doubled:.2f}", "2, if linear; at most 2.3", doubled <= 2.3),
    ]


def _project(folder: Path) -> Path:
    (folder / "drop").mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def _forget(project: Path) -> None:
    """Take the project back to before its first ingestion."""
    shutil.rmtree(project / "ingesteddata", ignore_errors=True)
    (project / "records.db").unlink(missing_ok=True)


def _write(path: Path, number: int, rows: int) -> Path:
    """Write the file of this number; its first rows repeat the last ones of the file before it."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv

    overlap = int(rows * REPEATED)
    at = np.arange(number * (rows - overlap), number * (rows - overlap) + rows)
    mixed = at * 2654435761 % 4294967296  # the same for the same row, in whatever file
    days = (np.datetime64("2020-01-01") + at // 20_000 % 2_000).astype(str)
    columns = {
        "client": pa.array(np.char.add("C", np.char.zfill((at % 10**8).astype(str), 8))),
        "day": pa.array(days),
        "left": pa.array(np.where(mixed % 5, "no", "yes")),
        "spent": pa.array(mixed % 1_000_000 / 100),
        "visits": pa.array(mixed // 1000 % 1000),
        "balance": pa.array((mixed % 20_000_003 - 10_000_000) / 1000),
        "age": pa.array(18 + mixed % 80),
        "plan": pa.array(np.array(["basic", "silver", "gold", "platinum"])[mixed % 4]),
        "region": pa.array(np.array(["north", "south", "east", "west", "overseas"])[mixed // 7 % 5]),
    }
    draft = path.with_name(f".{path.name}")
    csv.write_csv(pa.table(columns), draft, csv.WriteOptions(quoting_style="none"))
    draft.rename(path)
    return path


def _lay_history(project: Path, rows: int) -> None:
    """Lay down what the ingestion of so many rows leaves that the next one looks at: records and hashes."""
    import numpy as np

    from pipeline import cli, dataset, intake, known, records
    from pipeline.records import FileRecord

    subprocess.run(_ingestion(project), check=True, stdout=subprocess.DEVNULL)
    config = cli.load_config(project / "config.yaml")
    random = np.random.default_rng(rows)
    files = rows // NEW_ROWS
    with records.opened(config.database) as book:
        book.add_files(
            FileRecord(
                "drop", f"old {number}.csv", f"{number:064}", "ingested", config.contract, rows=NEW_ROWS,
                output=f"parts/{number}.parquet",
            )
            for number in range(files)
        )  # fmt: skip
        digest = dataset.digest(book.parts(), files)
    folder = config.ingested / intake.ROWS
    folder.mkdir(parents=True)
    (config.ingested / intake.OF_RECORDS).write_text(f"{files} {digest}")
    each = known.LARGEST // NEW_ROWS  # files
    for first in range(0, files, each):
        last = min(first + each, files)
        size = (last - first) * NEW_ROWS
        with (folder / f"{first + 1}-{last}-{size}.run").open("wb") as run:
            np.sort(random.integers(0, 2**32, size, dtype=np.uint32)).tofile(run)
            random.integers(0, 2**32, 3 * size, dtype=np.uint32).tofile(run)


def _ingestion(project: Path) -> list[str]:
    return [sys.executable, str(PROJECT / "ingestion.py"), "--config", str(project / "config.yaml")]


def _run(command: list[str]) -> Cost:
    """Run a command to its end and give what it cost."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    seen = {"RssAnon": 0, "VmHWM": 0}
    watching = threading.Thread(target=_watch, args=(process, seen))
    watching.start()
    process.communicate()
    watching.join()
    assert process.returncode == 0, command
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, seen["VmHWM"] / 1024, seen["RssAnon"] / 1024)


def _watch(process: subprocess.Popen, seen: dict[str, int]) -> None:
    """Keep the largest figures of /proc/PID/status, in kB, until the process ends."""
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            return
        for name in seen:
            if found := re.search(rf"{name}:\s+(\d+)", status):
                seen[name] = max(seen[name], int(found[1]))
        time.sleep(0.005)


def _with_room() -> str | None:
    """Give a folder in memory if 8 GB are free there, so that no disk blurs the figures."""
    room = shutil.disk_usage("/dev/shm").free if os.access("/dev/shm", os.W_OK) else 0
    return "/dev/shm" if room > 8e9 else None
