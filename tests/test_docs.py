"""The docs are true: what they name exists, what exists is named, and what they show can be typed in."""

import contextlib
import functools
import io
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin
from unittest import mock

import pytest
import yaml
from pydantic import BaseModel

from pipeline import cli, decisions, drift, errors, metrics, models, readers
from pipeline.config import Config
from tests.test_architecture import LAYERS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "examples").glob("*/config.yaml"))
SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
COMMON = {"--help", "--config", "--json", "--verbose"}


def code(text: str) -> list[str]:
    """Give what stands between backticks, fenced blocks apart."""
    return re.findall(r"`([^`]+)`", re.sub(r"(?ms)^ *```.*?^ *```$", "", text))


def table(first: str) -> list[list[str]]:
    """Give the rows, as lists of cells, of the README's one table whose first column has this heading."""
    lines = README.splitlines()
    (start,) = [at for at, line in enumerate(lines) if line.startswith(f"| {first} |")]
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def blocks(text: str, language: str) -> list[str]:
    """Give the fenced blocks of this language, without what the list around them indents."""
    found = re.findall(r"(?ms)^( *)```(\w*)\n(.*?)^ *```$", text)
    return [
        "\n".join(line.removeprefix(indent) for line in body.splitlines())
        for indent, named, body in found
        if named == language
    ]


# ---------------------------------------------------------------------------------------------- commands
@functools.cache
def manual(script: str) -> str:
    """Give what `SCRIPT --help` prints."""
    out = io.StringIO()
    with (
        mock.patch.object(sys, "argv", [str(ROOT / script), "--help"]),
        contextlib.redirect_stdout(out),
        pytest.raises(SystemExit),
    ):
        runpy.run_path(str(ROOT / script), run_name="__main__")
    return out.getvalue()


def flags(script: str) -> set[str]:
    """Give the long flags of a script."""
    return set(re.findall(r"(?m)^  (?:-\w, )?(--[\w-]+)", manual(script)))


def test_every_script_is_in_the_table_of_commands_and_every_command_is_a_script():
    assert sorted(code(row[0])[0] for row in table("command")) == SCRIPTS


def test_every_command_has_its_flags_in_the_readme_and_no_others():
    told = {
        code(row[0])[0]: {flag.split()[0] for flag in code(row[2]) if flag[0] == "-"}
        for row in table("command")
    }
    assert told == {script: flags(script) - COMMON for script in SCRIPTS}


def test_the_flags_of_all_commands_are_told_before_the_table():
    before = README.partition("## Commands")[2].partition("| command |")[0]
    assert {flag.split()[0] for flag in code(before) if flag.startswith("--")} == COMMON


def test_the_exit_codes_are_those_of_the_errors():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {0, 1} | {kind.exit_code for kind in kinds if issubclass(kind, errors.PipelineError)}
    assert {int(row[0]) for row in table("exit code")} == codes
    told = manual("fullprocess.py").partition("Exit codes:")[2].partition("\n\n")[0]
    assert {int(found) for found in re.findall(r"\d+", told)} == codes


def shell_lines() -> Iterator[str]:
    """Give the command lines that the docs and the examples show."""
    for text in (README, DESIGN, CHANGELOG):
        for block in blocks(text, "sh"):
            yield from (line.partition(" # ")[0].strip() for line in block.splitlines() if line.strip())
    yield from (line for line in code(README + DESIGN) if re.match(r"(?:\.venv/bin/python|make) ", line))
    for config in EXAMPLES:
        yield from re.findall(r"(?m)^#     (.+)$", config.read_text(encoding="utf-8"))


@pytest.mark.parametrize("line", sorted(set(shell_lines()) - {".venv/bin/python SCRIPT.py"}))
def test_a_command_line_that_is_shown_can_be_typed_in(line):
    program, *arguments = line.split()
    if program == "make":
        assert re.search(rf"(?m)^{arguments[0]}:", (ROOT / "Makefile").read_text())
    elif program.endswith("python"):
        script = ROOT / arguments[0]
        assert script.exists()
        if script.parent == ROOT:
            assert {flag for flag in arguments if flag.startswith("--")} <= flags(script.name)
    else:
        assert shutil.which(program)
    assert [path for path in arguments if path.startswith("examples/") and not (ROOT / path).exists()] == []


def test_the_edit_that_shows_drift_leads_to_the_season(tmp_path):
    (edit,) = [line for line in shell_lines() if line.startswith("sed ")]
    (tmp_path / "config.yaml").write_text(
        re.sub(r"(?m)^  source: \w+", "  source: practicedata", (ROOT / "config.yaml").read_text())
    )
    subprocess.run(edit, shell=True, check=True, cwd=tmp_path)
    assert cli.load_config(tmp_path / "config.yaml").paths.source[0].path == "sourcedata"


# ---------------------------------------------------------------------------------------------- config
def keys(section: type[BaseModel], place: str = "") -> Iterator[tuple[str, Any]]:
    """Give every key of the config by its dotted place, with its field."""
    for name, field in section.model_fields.items():
        inner = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        sections = [kind for kind in inner if issubclass(kind, BaseModel)]
        named = get_origin(field.annotation) is dict  # the user names the keys
        if get_args(field.annotation) or not sections:
            yield f"{place}{name}", field
        for one in sections:
            yield from keys(one, f"{place}{name}.NAME." if named else f"{place}{name}.")


KEYS = {place: field for place, field in keys(Config) if not field.exclude}


def test_every_config_key_is_in_the_readme_and_the_other_way_round():
    assert sorted(code(row[0])[0] for row in table("key")) == sorted(KEYS)


@pytest.mark.parametrize("place", KEYS)
def test_the_default_of_a_key_is_the_one_told(place):
    (told,) = [row[1] for row in table("key") if code(row[0]) == [place]]
    field = KEYS[place]
    if field.is_required():
        assert told == "required"
    elif field.default is None:
        assert told == "none"
    else:
        assert yaml.safe_load(code(told)[0]) == field.default


def test_each_config_that_is_shown_is_a_whole_one(tmp_path):
    for number, shown in enumerate(blocks(README, "yaml")):
        (tmp_path / "config.yaml").write_text(shown)
        features = set(cli.load_config(tmp_path / "config.yaml").columns.features)
        assert features == [{"plan", "age", "calls"}, {"price", "rain"}][number]


def test_every_name_to_choose_from_is_in_the_readme_and_the_other_way_round():
    told = {row[0]: {name.split()[0] for name in code(row[1])} for row in table("to choose from")}
    tasks = ("classification", "regression")
    assert told == {
        **{f"models, {task}": set(models.names(task)) for task in tasks},
        **{f"metrics, {task}": set(metrics.names(task)) for task in tasks},
        "drift tests": set(drift.SCORE_TESTS),
        "retraining policies": set(decisions.POLICIES),
        "file formats": set(readers.FORMATS),
    }


# ---------------------------------------------------------------------------------------------- files
def tree() -> list[str]:
    """Give the paths in the README's tree."""
    (drawn,) = [block for block in blocks(README, "") if "fullprocess.py   " in block]
    paths, folder = [], ""
    for line in drawn.splitlines():
        name = line.split()[0]
        folder = folder if line.startswith(" ") else name
        paths.append(folder + name if line.startswith(" ") else name)
    return paths


def test_every_path_in_the_tree_exists():
    assert [path for path in tree() if not (ROOT / path).exists()] == []


def test_every_module_is_in_the_tree():
    found = {f"pipeline/{path.name}" for path in (ROOT / "pipeline").glob("*.py")}
    assert {path for path in tree() if re.match(r"pipeline/\w+\.py", path)} == found


def test_everything_in_git_is_in_the_tree():
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no clone, or git is not installed")
    listed = ["git", "-c", "safe.directory=*", "ls-files"]
    tracked = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    tops = {path.split("/")[0] for path in tracked if path}
    assert tops <= {path.split("/")[0] for path in tree()}


@pytest.mark.parametrize("row", table("to add a ..."), ids=lambda row: row[0])
def test_what_to_edit_is_there(row):
    named = code(row[1])
    paths = [ROOT / name for name in named if "/" in name]
    assert [path for path in paths if not path.exists()] == []
    text = "".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())
    text += "".join(part.read_text(encoding="utf-8") for path in paths for part in path.glob("*.py"))
    assert [name for name in named if "/" not in name and not re.search(rf"(?m)^{name}\b", text)] == []


@pytest.mark.parametrize(
    "page", ["README.md", "CHANGELOG.md", "docs/design.md", "docs/nasty_files.md", "docs/bad_input.md"]
)
def test_every_link_within_the_project_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    ours = [link for link in links if "://" not in link]
    assert [link for link in ours if not (ROOT / page).parent.joinpath(link).exists()] == []


# ---------------------------------------------------------------------------------------------- features, design
@pytest.mark.parametrize("row", table("feature"), ids=lambda row: row[0])
def test_a_feature_is_where_it_is_said_to_be_and_has_its_test(row):
    file, _, test = code(row[2])[0].partition("::")
    assert (ROOT / code(row[1])[0]).exists()
    assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")


def test_the_layers_in_the_design_are_those_that_are_tested():
    assert [line.split() for block in blocks(DESIGN, "") for line in block.splitlines()] == LAYERS


def test_every_function_that_the_docs_name_exists():
    """A name like `scoring.expected` is a module's or script's, one like `Records.regime_from` a class's in it."""
    places = {path.stem: path for path in [*ROOT.glob("*.py"), *(ROOT / "pipeline").glob("*.py")]}
    endings = {"py", "yaml", "csv", "json", "db", "journal", "seal"}
    named = {name for name in code(README + DESIGN) if re.fullmatch(r"\w+\.\w+", name)} - set(KEYS)
    for owner, name in (place.split(".") for place in named):
        if owner.lower() in places and name not in endings:
            source = places[owner.lower()].read_text(encoding="utf-8")
            assert re.search(rf"(?m)^(?:\s*def |class )?{name}\b", source), f"{owner}.{name}"


def test_every_script_and_module_that_the_docs_name_exists():
    named = {name for name in code(README + DESIGN) if re.fullmatch(r"[\w/.]+\.py", name)}
    assert {name for name in named - {"SCRIPT.py"} if not (ROOT / name).exists()} == set()


def test_the_changelog_keeps_to_its_form():
    assert CHANGELOG.startswith("# Changelog\n")
    assert re.findall(r"(?m)^## (.*)$", CHANGELOG)[0] == "[Unreleased]"
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"(?m)^### (.*)$", CHANGELOG)) <= kinds
    assert [line for line in CHANGELOG.splitlines() if line and line[0] not in "#-A "] == []


def test_every_fault_is_shown_by_a_test_that_exists():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)::(\w+)` \|$", page, re.MULTILINE)
    assert len(named) >= 15
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{test}"
