"""`ingestion.py --trace`: where a row came from, what was done to it, and whether it still holds."""

from pathlib import Path

import pytest

from tests import project as projects
from tests.project import Project

HEADER = "client,seen,exited,activity,complaints,branch"


def table(*rows: str) -> str:
    """Give a CSV of these lines."""
    return "\n".join([HEADER, *rows]) + "\n"


def with_cleaning(folder: Path, rules: str) -> Project:
    """Give a new project with these rules of cleaning."""
    return Project.made(folder / "a project", projects.CONFIG.replace("model:", f"cleaning: {rules}\nmodel:"))


def ingested(project: Project, **files: str) -> Project:
    """Ingest files, one after the other."""
    for name, text in files.items():
        project.drop(f"{name}.csv", text)
        project.does("ingestion.py")
    return project


def traced(project: Project, key: str) -> list[dict]:
    """Give what is known of every row of this id."""
    return project.does("ingestion.py", "--trace", key)["rows"]


def names(files: list[dict]) -> list[str]:
    """Give the names of files in a trace."""
    return [file["file"] for file in files]


def test_a_row_is_traced_to_its_file_with_its_cells(project):
    ingested(project, a=table("C1,2025-03-01,0,5,1,north", "C2,2025-03-01,0,5,1,"))
    (found,) = traced(project, "C2")
    assert found["row"] == {
        "client": "C2", "seen": "2025-03-01", "exited": "0", "activity": 5.0, "complaints": 1.0, "branch": None,
    }  # fmt: skip
    assert (names(found["files"]), found["repeated_by"]) == (["drop/a.csv"], [])
    assert (found["state"], found["done"], found["origin"]) == ("holds", {}, "")
    assert found["files"][0]["number"] == 1


def test_every_file_that_carried_the_row_again_is_told_also_a_copy_of_the_whole_file(project):
    first = table("C1,2025-03-01,0,5,1,north", "C2,2025-03-01,0,5,1,east")
    ingested(project, a=first, b=table("C3,2025-03-01,0,5,1,west", "C1,2025-03-01,0,5.0,1,north"), c=first)
    (found,) = traced(project, "C1")
    assert names(found["files"]) == ["drop/a.csv"]
    assert names(found["repeated_by"]) == ["drop/b.csv", "drop/c.csv"]
    assert names(traced(project, "C2")[0]["repeated_by"]) == ["drop/c.csv"]
    assert traced(project, "C3")[0]["repeated_by"] == []


def test_an_id_is_found_however_it_is_spelt_and_alone_or_with_its_time(project):
    ingested(
        project, a=table("1,2025-03-01,0,5,1,north", "1,2025-03-02,0,6,1,north", "2,2025-03-02,0,6,1,north")
    )
    for key in ("1", " 1 ", "1.0"):
        assert [found["row"]["activity"] for found in traced(project, key)] == [5.0, 6.0]
    for key in ("1,2025-03-02", "1, 2025-03-02T00:00:00"):
        assert [found["row"]["activity"] for found in traced(project, key)] == [6.0]


def test_an_id_with_a_comma_in_it_is_found(project):
    ingested(project, a=table('"Smith, John",2025-03-01,0,5,1,north'))
    assert len(traced(project, "Smith, John")) == len(traced(project, "Smith, John,2025-03-01")) == 1


def test_a_row_that_a_newer_one_replaced_is_told_with_it_oldest_first(tmp_path):
    project = with_cleaning(tmp_path, "{key: [client]}")
    ingested(project, a=table("C1,2025-03-01,0,5,1,north"), b=table("C1,2025-03-02,0,6,1,north"))
    found = traced(project, "C1")
    assert [one["state"] for one in found] == ["replaced by a newer row", "holds"]
    assert [names(one["files"]) for one in found] == [["drop/a.csv"], ["drop/b.csv"]]


def test_what_was_filled_in_and_clipped_is_told_with_what_stood_there(tmp_path):
    rules = "{impute: {branch: {how: constant, value: none known}}, outliers: {activity: {how: limits, high: 10}}}"
    project = ingested(
        with_cleaning(tmp_path, rules), a=table("C1,2025-03-01,0,50,1,", "C2,2025-03-01,0,5,1,east")
    )
    (found,) = traced(project, "C1")
    assert (found["row"]["branch"], found["row"]["activity"]) == ("none known", 10.0)
    assert (found["done"]["branch"]["was"], found["done"]["activity"]["was"]) == (None, 50.0)
    assert traced(project, "C2")[0]["done"] == {}
    text = project.call("ingestion.py", "--trace", "C1").out
    assert "changed   branch was empty: " in text
    assert "changed   activity was 50" in text


def test_a_row_that_was_dropped_as_an_outlier_is_told_with_the_reason(tmp_path):
    rules = "{outliers: {activity: {how: limits, high: 10, then: drop}}}"
    project = ingested(
        with_cleaning(tmp_path, rules), a=table("C1,2025-03-01,0,50,1,east", "C2,2025-03-01,0,5,1,east")
    )
    assert (traced(project, "C1")[0]["state"], traced(project, "C2")[0]["state"]) == ("dropped", "holds")
    assert "\n  dropped   " in project.call("ingestion.py", "--trace", "C1").out
    assert len(project.rows()) == 1


def test_the_story_for_people_has_the_state_the_cells_and_the_files(project):
    ingested(
        project, a=table("C1,2025-03-01,0,5,1,"), b=table("C1,2025-03-01,0,5,1,", "C2,2025-03-01,0,5,1,east")
    )
    told = project.call("ingestion.py", "--trace", "C1").out.splitlines()
    assert told[0].startswith("holds: client C1, seen 2025-03-01")
    assert told[0].endswith("branch (empty)")
    assert told[1].startswith("  from      drop/a.csv (taken in 20")
    assert told[2].startswith("  again in  drop/b.csv (20")
    assert len(told) == 3


@pytest.mark.parametrize("key", ["C9", "", ",", "C1,2025-03-09", "C1,then"])
def test_an_id_that_never_came_is_told_in_one_line(project, key):
    ingested(project, a=table("C1,2025-03-01,0,5,1,north"))
    ran = project.call("ingestion.py", "--trace", key)
    assert ran.code != 0
    assert f"{key}: no row of this id (client) was ever taken in or set aside" in ran.complaint


def test_before_anything_was_ingested_nothing_is_found_and_nothing_made(project):
    before = project.snapshot()
    assert "no row of this id" in project.call("ingestion.py", "--trace", "C1").complaint
    assert project.snapshot() == before


def test_to_trace_changes_nothing_and_needs_no_lock(project):
    ingested(project, a=table("C1,2025-03-01,0,5,1,north"))
    before = project.stamps()
    traced(project, "C1")
    assert project.stamps() == before


def test_a_row_that_was_refused_for_its_key_is_told_as_set_aside(tmp_path):
    project = with_cleaning(tmp_path, "{key: [client], same_key: reject, max_rejected: 1.0}")
    ingested(project, a=table("C1,2025-03-01,0,5,1,north"), b=table("C1,2025-03-02,0,6,1,north"))
    facts = project.does("ingestion.py", "--trace", "C1")
    assert [found["state"] for found in facts["rows"] if found["files"][0]["number"] == 1] == ["holds"]
    (told,) = facts["set_aside"]
    assert told.startswith("set aside: b.csv, line 2: client 'C1': another row has this key already")
