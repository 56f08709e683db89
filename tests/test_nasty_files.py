"""Nasty files: each has the fate it is said to have, alone and among all others, and none stops or spoils another."""

import csv
import gzip
import io
import os
from pathlib import Path

import pandas as pd
import pytest

from pipeline import calllist, readers
from tests import nasty
from tests.nasty import AFTER, ASIDE, BEFORE, CASES, SPOILED, Case, Seen
from tests.project import Project

PAGE = Path(__file__).resolve().parents[1] / "docs" / "nasty_files.md"
GOOD = [*nasty.rows("before"), *nasty.rows("after")]


def records(text: str) -> list[str]:
    """Give the records of a CSV below its header, each as it is written, in the order of their text."""
    found: list[str] = []
    for line in text.split("\n")[1:-1]:
        if found and found[-1].count('"') % 2:
            found[-1] += "\n" + line
        else:
            found.append(line)
    return sorted(found)


def has_its_fate(case: Case, seen: Seen) -> None:
    """Check what became of a file and what is told of it."""
    assert seen.fate == case.fate, seen
    if case.fate == ASIDE:
        ((line, column, value, reason),) = seen.lines
        assert (line, column, value) == ("", "", "")
        assert case.reason in reason
        assert "\n" not in reason
        assert len(reason) < 1000
    elif case.fate == SPOILED:
        assert [(int(line), column) for line, column, _, _ in seen.lines] == [
            place[:2] for place in case.places
        ]
        for (_, _, _, reason), (_, _, expected) in zip(seen.lines, case.places, strict=True):
            assert expected in reason
    else:
        assert seen.lines == []


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> tuple[Project, dict[str, Seen]]:
    """Give a project into which all files were dropped at once, after a run, and what became of each."""
    return nasty.all_together(tmp_path_factory.mktemp("nasty") / "a project")


# ---------------------------------------------------------------------------------------------- the list
def test_there_are_more_than_sixty_files_with_names_and_contents_of_their_own():
    assert len(CASES) >= 80
    assert len({case.name for case in CASES} | {BEFORE, AFTER}) == len(CASES) + 2
    contents = [
        (case.content, readers.endings(case.name)) for case in CASES if isinstance(case.content, bytes)
    ]
    assert len(set(contents)) == len(contents)
    named = [case.name for case in CASES if case.folder == "drop" and not case.name.startswith(".")]
    assert min(named) > BEFORE
    assert max(named) < AFTER


def test_no_two_files_give_the_same_row():
    given = [*GOOD, *(row for case in CASES for row in case.gives)]
    assert len(set(given)) == len(given)


# ---------------------------------------------------------------------------------------------- each alone
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.what[:40]}-{case.name[:20]!a}")
def test_a_file_has_its_fate_and_the_good_ones_beside_it_are_taken(case, tmp_path):
    project = nasty.made_project(tmp_path / "a project")
    nasty.drop(project, case)
    ran = nasty.ingest(project)
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    has_its_fate(case, nasty.seen(project, case, project.reasons()))
    assert records(project.table()) == sorted([*GOOD, *case.gives])


# ---------------------------------------------------------------------------------------------- all at once
def test_every_file_has_its_fate_among_all_others(together):
    for case in CASES:
        has_its_fate(case, together[1][case.name])


def test_of_all_files_exactly_the_rows_are_ingested_that_were_meant(together):
    project, _ = together
    assert records(project.table()) == sorted([*GOOD, *(row for case in CASES for row in case.gives)])


def test_what_was_set_aside_stands_in_rejected_byte_for_byte(together):
    project, _ = together
    kept = {path.read_bytes() for path in project.ingested("rejected").iterdir()}
    for case in CASES:
        if case.fate == ASIDE:
            assert isinstance(case.content, bytes)
            assert case.content[: nasty.LIMIT + 1] in kept, case


def test_a_second_run_finds_only_the_file_that_grew(tmp_path):
    project, _ = nasty.all_together(tmp_path / "a project")
    before = project.table()
    assert project.does("ingestion.py") == {
        "files": 1,
        "rows": 4,
        "duplicates": 0,
        "rejected_files": 0,
        "rejected_rows": 0,
    }
    assert project.table() == before + "".join(f"{row}\n" for row in nasty.rows("grows", 4))
    assert project.does("ingestion.py")["files"] == 0


def test_a_file_that_may_not_be_read_waits_and_is_told(tmp_path):
    project = nasty.made_project(tmp_path / "a project")
    path = project.drop("secret.csv", nasty.plain("secret"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    ran = nasty.ingest(project)
    assert (ran.code, records(project.table())) == (0, sorted(GOOD))
    assert "secret.csv: Permission denied; left for the next run" in ran.err
    path.chmod(0o600)
    assert project.does("ingestion.py")["rows"] == 3


@pytest.mark.parametrize(
    ("first", "second", "content"),
    [
        ("drop/a.txt", "drop/a.csv", nasty.plain("a")),
        ("drop/a.csv", "drop/a.csv.gz", gzip.compress(nasty.plain("a"))),
        ("drop/a.csv", "western/a.csv", nasty.plain("a").replace(b"a 2", b"\xe9 2")),
        ("drop/a.csv", "carets/a.csv", nasty.parted("a", "^")),
    ],
)
def test_a_file_set_aside_for_its_name_or_place_is_taken_under_a_right_one(first, second, content, tmp_path):
    project = nasty.made_project(tmp_path / "a project")
    for name in (first, second):
        (project.folder / name).write_bytes(content)
        nasty.ingest(project)
        (project.folder / name).unlink()
    expected = (
        nasty.rows("a") if "western" not in second else [row.replace("a 2", "é 2") for row in nasty.rows("a")]
    )
    assert records(project.table()) == sorted([*GOOD, *expected])


# ---------------------------------------------------------------------------------------------- spreadsheets
def test_no_cell_of_any_csv_for_people_would_be_run_by_a_spreadsheet(together):
    project, _ = together
    written = [
        project.ingested(name) for name in ("finaldata.csv", "ingestedfiles.txt", "rejected/reasons.csv")
    ]
    escaped = set()
    for path in written:
        for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")):
            for cell in row:
                assert cell[:1] not in tuple("=+@\t\r"), (path.name, cell)
                assert cell[:1] != "-" or cell == "-" or float(cell) < 0, (path.name, cell)
                escaped |= {path.name} if cell[:2] in ("'=", "'+", "'-", "'@") else set()
    assert escaped == {path.name for path in written}


def test_no_cell_of_the_call_list_would_be_run_by_a_spreadsheet(tmp_path):
    ids = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "-12", "Ann"]
    table = pd.DataFrame(
        {"rank": range(6), "client": ids, "probability": 0.5, "reasons": "=x (usual 1): +0.21"}
    )
    calllist.write(tmp_path / "calllist.csv", table)
    written = list(csv.reader((tmp_path / "calllist.csv").read_text(encoding="utf-8").splitlines()))[1:]
    assert [row[1] for row in written] == [*(f"'{one}" for one in ids[:4]), "-12", "Ann"]
    assert {row[3] for row in written} == {"'=x (usual 1): +0.21"}


# ---------------------------------------------------------------------------------------------- the page
def test_the_page_tells_what_became_of_every_file(together):
    made = nasty.page(together[1])
    assert PAGE.read_text(encoding="utf-8") == made, (
        "make it anew: python -m tests.nasty > docs/nasty_files.md"
    )
