"""What it costs to compare 100,000 rows of 25 columns with a model's training data: CPU, memory, and what is kept.

The training data are a million rows. Everything counts: Python's start, imports, reading Parquet. The floor is a
process that imports the same readers, reads the same columns and adds them up.

Evidently is measured beside it where it's installed: in the environment of the Python named by `--evidently` (it wants
an older pandas than this project's), the comparison alone, without imports and reading.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from nothing_to_do import PROJECT, _cpu, _memory

from pipeline import drift

BARS = {"ratio": 1.3, "comparison": 120.0, "peak": 250.0, "kept": 300.0}  # x floor, CPU ms, MB, kB
LEAST_EVIDENTLY = 200.0  # times the CPU of our comparison
ROWS, NUMBERS, CATEGORIES = 100_000, 20, 5
FLOOR = """
from pipeline import lean
import pyarrow.compute as pc, pyarrow.parquet as pq, sys
rows = pq.read_table(sys.argv[1], partitioning=None)
for name in rows.column_names:
    pc.count(rows[name]) if name[0] == "c" else rows[name].to_numpy().sum()
"""
OWN = """
from pipeline import lean
import json, pyarrow.parquet as pq, sys, time
from pipeline import drift
rows = pq.read_table(sys.argv[1], partitioning=None)
with open(sys.argv[2]) as file:
    kept = json.load(file)
before = time.process_time()
observed = drift.observe(kept, {name: rows[name] for name in rows.column_names})
state, found = drift.judge_features(None, kept, observed, "batch")
drift.check_integrity(kept, observed)
drift.stability(kept, observed)
print(time.process_time() - before, len(json.dumps(state)), file=sys.stdout)
"""
EVIDENTLY = """
import pandas as pd, sys, time
from evidently import Report
from evidently.presets import DataDriftPreset
old, new = pd.read_parquet(sys.argv[2]), pd.read_parquet(sys.argv[1])
before = time.process_time()
Report([DataDriftPreset()]).run(new, old)
print(time.process_time() - before)
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be asked of this benchmark."""
    only = parser.add_argument_group("feature_drift")
    only.add_argument(
        "--evidently", metavar="PYTHON", help="of an environment with Evidently, to measure it too"
    )


def table(quick: bool, options: argparse.Namespace | None = None) -> tuple[list[str], bool]:
    """Give the lines of the table and whether every bar was held."""
    runs = 5 if quick else 20
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference = _columns(100_000 if quick else 1_000_000, random)
        kinds = {one: "category" if one[0] == "c" else "number" for one in reference}
        kept = json.dumps(drift.sketch(reference, kinds))
        (folder / "sketch.json").write_text(kept)
        _write(folder / "batch.parquet", _columns(ROWS, random))
        place = [str(folder / "batch.parquet"), str(folder / "sketch.json")]
        own, floor = ([sys.executable, "-c", code, *place] for code in (OWN, FLOOR))
        pairs = [(_in_project(own), _in_project(floor)) for _ in range(runs)]
        mine, bare = (float(np.median(times)) for times in zip(*pairs, strict=True))
        told = _output(own).split()
        memory = _memory(["env", f"PYTHONPATH={PROJECT}", *own])
        lines = ["", f"Drift of features: {ROWS:,} rows x {len(kinds)} columns against what is kept of "
                 f"{len(reference['n0']):,} (median of {runs} alternating runs)", "", "| | measured | bar |",
                 "|---|---|---|"]  # fmt: skip
        measured = {
            "ratio": mine / bare,
            "comparison": float(told[0]) * 1000,
            "peak": memory,
            "kept": len(kept) / 1000,
        }
        names = {
            "ratio": "whole process, x floor",
            "comparison": "the comparison alone, CPU ms",
            "peak": "peak memory, MB",
            "kept": "kept of the training data, kB",
        }
        lines += [f"| {names[one]} | **{measured[one]:.3g}** | {bar:g} |" for one, bar in BARS.items()]
        lines.append(f"| the floor, CPU ms | {bare * 1000:.0f} | |")
        lines.append(f"| state after a batch, kB | {int(told[1]) / 1000:.1f} | |")
        held = all(measured[one] <= bar for one, bar in BARS.items())
        if theirs := (options and options.evidently):
            _write(folder / "reference.parquet", reference)
            asked = [theirs, "-c", EVIDENTLY, place[0], str(folder / "reference.parquet")]
            times = float(_output(asked)) / float(told[0])
            held &= times >= LEAST_EVIDENTLY
            lines.append(
                f"| Evidently's DataDriftPreset alone, x our comparison | **{times:.0f}** | {LEAST_EVIDENTLY:g} |"
            )
        else:
            lines.append(
                "| Evidently's DataDriftPreset | left out: name a Python that has it by --evidently | |"
            )
    return lines, held


def _columns(rows: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw normal, skewed, mostly zero and whole numbers, some missing, and categories of 4 to 100 values."""
    made = {}
    for number in range(NUMBERS):
        values = [
            random.normal(size=rows),
            np.exp(random.normal(size=rows)),
            np.where(random.random(rows) < 0.6, 0.0, random.gamma(2, size=rows)),
            random.poisson(3, rows).astype(float),
        ][number % 4]
        if number % 5 == 0:
            values[random.random(rows) < 0.05] = np.nan
        made[f"n{number}"] = values
    for number in range(CATEGORIES):
        names = np.array([f"value {one}" for one in range(4 * (number + 1) ** 2)], object)
        made[f"c{number}"] = names[random.integers(0, len(names), rows)]
    return made


def _write(path: Path, columns: dict[str, np.ndarray]) -> None:
    rows = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
    pq.write_table(rows, path, compression="none", use_dictionary=[n for n in columns if n[0] == "c"])


def _in_project(command: list[str]) -> float:
    return _cpu(["env", f"PYTHONPATH={PROJECT}", *command])


def _output(command: list[str]) -> str:
    import subprocess

    done = subprocess.run(
        ["env", f"PYTHONPATH={PROJECT}", *command], check=True, capture_output=True, text=True
    )
    return done.stdout
