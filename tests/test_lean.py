"""pandas is imported by who asks for it, and not by pyarrow of its own accord."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import Project, clients

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"pandas", "scipy", "sklearn", "openpyxl", "fsspec", "matplotlib"}


def ran(code: str) -> str:
    """Run code in a Python of its own; give what it printed."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded(*arguments: str) -> set[str]:
    """Give the top-level modules that a program loads with anything in them: one only asked for has nothing."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    names = [line.rpartition("|")[2].strip() for line in lines]
    return {name.partition(".")[0] for name in names if "." in name or name in sys.builtin_module_names}


MAKES = {
    "of a list": "pa.array([1, 2])",
    "of an array": "pa.array(np.arange(3))",
    "of text": "pa.array(['a', None])",
    "as a table": "pa.table({'a': [1.5, None]})",
    "as a scalar": "pa.scalar('x')",
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_after_it_no_array_brings_pandas_in(make):
    code = f"import sys, numpy as np, pyarrow as pa\nfrom pipeline import lean\n{make}\nprint('pandas' in sys.modules)"
    assert ran(code) == "False"


def test_without_it_they_do_or_it_could_go():
    assert ran("import sys, pyarrow as pa\npa.array([1])\nprint('pandas' in sys.modules)") == "True"


def test_whoever_asks_for_pandas_later_gets_it():
    code = """
import sys
import pyarrow as pa
from pipeline import lean
frame = pa.table({"day": pa.array([0, None], pa.timestamp("us")), "name": ["a", None]}).to_pandas()
import pandas as pd
assert isinstance(frame, pd.DataFrame) and frame["day"].dt.year[0] == 1970
assert pa.table({"a": pd.Series([1.0, float("nan")])})["a"].null_count == 1
assert pa.Table.from_pandas(frame).num_rows == 2
print([finder for finder in sys.meta_path if "NoPandas" in repr(finder)])
"""
    assert ran(code) == "[]"


def test_where_pandas_is_there_already_nothing_changes():
    code = "import pandas as pd, pyarrow as pa\nfrom pipeline import lean\n"
    assert ran(code + "print(pa.array(pd.Series([1.0, float('nan')])).null_count)") == "1"


@pytest.mark.parametrize("name", ["clients.csv", "clients.jsonl"])
def test_an_ingestion_imports_nothing_heavy(tmp_path, name):
    project = Project.made(tmp_path / "a project")
    rows = clients(20, seed=1)
    project.drop(name, rows if name.endswith("csv") else rows.to_json(orient="records", lines=True))
    ours = loaded(str(ROOT / "ingestion.py"), "--config", str(project.config_file))
    assert len(project.rows()) == 20
    assert "pyarrow" in ours
    assert ours & HEAVY == set()
