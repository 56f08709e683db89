"""The architecture: which module may import which, and how little a run with nothing to do imports.

A new module gets its place in LAYERS. It may import from the lines below its own, never from its own line.
"""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import watch

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [
    line.split()
    for line in """
    fullprocess backtest
    ingestion training scoring deployment diagnostics reporting
    cli
    calllist report
    views origins
    assembly
    shadows
    cohorts
    agenda intake inputs onnx_files
    batches mixes replay smoke
    serving
    releases decisions holdout migrations predictions
    journal
    records dataset rejected sources
    readers cleaning models drift pictures known recipes
    metrics config words merging repairs
    rowhash spreadsheets
    watch files lean
    errors __init__
    """.strip().splitlines()
]
LEVEL = {module: level for level, layer in enumerate(LAYERS) for module in layer}
HEAVY = """pandas numpy sklearn scipy pyarrow sqlalchemy yaml pydantic argparse logging json re pathlib dataclasses
    sqlite3 alembic skops hashlib typing contextlib onnx onnxruntime""".split()


def sources() -> dict[Path, str]:
    """Give every program and module file with its name in LAYERS: a folder counts as one module."""
    package = ROOT / "pipeline"
    inside = {path: path.relative_to(package).parts[0].removesuffix(".py") for path in package.rglob("*.py")}
    return inside | {path: path.stem for path in ROOT.glob("*.py")}


def imported(path: Path) -> set[str]:
    """Give our own modules that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module == "pipeline":
                found |= {alias.name for alias in node.names} | {node.module or ""}
            else:
                found.add(node.module or "")
    return {name.removeprefix("pipeline.").split(".")[0] for name in found} & set(sources().values())


def test_every_module_has_its_place_and_every_place_its_module():
    assert set(sources().values()) == set(LEVEL)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_the_layers_below_it(path):
    own = LEVEL[sources()[path]]
    assert {name for name in imported(path) if LEVEL[name] <= own} <= {sources()[path]}


def test_a_step_imports_no_step_and_the_package_no_program():
    programs = {path.stem for path in ROOT.glob("*.py")}
    for path, name in sources().items():
        if name not in ("fullprocess", "backtest"):
            assert not imported(path) & programs, path


def loaded(*arguments: str) -> set[str]:
    """Give the top-level modules that Python loads to run this."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


def test_a_run_with_nothing_to_do_is_silent_and_imports_nothing_heavy(tmp_path):
    config, source = tmp_path / "config.yaml", tmp_path / "data"
    config.write_text("not: read\n")
    source.mkdir()
    (source / "a.csv").write_text("a\n1\n")
    long_ago = time.time() - 60
    os.utime(source, (long_ago, long_ago))
    Path(watch.watch_file(config)).write_text(watch.watch_text(config, *watch.look([str(source)]), []))
    ours = loaded(str(ROOT / "fullprocess.py"), "--config", str(config)) - loaded("-c", "pass")
    assert "pipeline" in ours
    assert ours & set(HEAVY) == set()
