"""Ingestion: which rows of which files come to count, what is set aside, and what the files say that people read."""

import csv
import hashlib
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ingestion
from pipeline import agenda, dataset, journal, sources
from pipeline.errors import FileError
from tests import project as projects
from tests.project import Project, clients

HEADER = "client,seen,exited,activity,complaints,branch"
GOOD = [
    "Ann,2025-01-01,0,10,1,north",
    "Bob,2025-01-01,1,20,2,south",
    "Cid,2025-01-01,0,30,3,east",
    "Dot,2025-01-01,1,40,4,west",
    "Eve,2025-01-01,0,50,5,north",
    "Fay,2025-01-01,1,60,6,south",
]
LISTED = (
    "source_location,filename,num_entries,timestamp,duplicates,formatting_changes,imputed,outliers,"
    "rejected_rows,sha256,output"
)
FILES = "select {} from files order by id"


def table(*rows: str, header: str = HEADER) -> str:
    """Give a CSV of these lines."""
    return "\n".join([header, *rows]) + "\n"


def ingested(project: Project) -> list[dict[str, str]]:
    """Give the lines of `ingestedfiles.txt` by column."""
    return list(csv.DictReader(project.ingested("ingestedfiles.txt").read_text().splitlines()))


# ---------------------------------------------------------------------------------------------- the files people read
def test_the_dataset_has_one_row_per_record_and_the_header_in_the_order_of_the_config(project):
    project.drop(
        "a.csv", "branch,exited,extra,complaints,activity,client,seen\nnorth,0,x,1,10,Ann,2025-01-01\n"
    )
    project.drop("b.csv", table('"Bob, ""Bobby"" B.",2025-01-02T03:04:05,1,0.5,,"a\nb"'))
    assert project.call("ingestion.py").code == 0
    assert project.table() == (
        "client,seen,exited,activity,complaints,branch\n"
        "Ann,2025-01-01,0,10,1,north\n"
        '"Bob, ""Bobby"" B.",2025-01-02T03:04:05,1,0.5,,"a\nb"\n'
    )


def test_ingestedfiles_has_a_line_per_file_with_the_columns_of_the_contract(project):
    first = project.drop("a.csv", table(*GOOD[:3], GOOD[0], " Ann ,2025-01-01,0,10,1,north", "Zoe,,0,1,1,x"))
    project.configure("model:", "cleaning: {max_rejected: 0.5}\nmodel:")
    project.drop("b.csv", table(*GOOD[2:5]))
    project.call("ingestion.py")
    lines = project.ingested("ingestedfiles.txt").read_text().splitlines()
    assert lines[0] == LISTED
    cells = [line.split(",") for line in lines[1:]]
    sha256 = hashlib.sha256(first.read_bytes()).hexdigest()
    assert [cells[0][at] for at in (0, 1, 2, 4, 5, 6, 7, 8, 9)] == [
        "drop", "a.csv", "3", "2", "1", "0", "0", "1", sha256,
    ]  # fmt: skip
    assert cells[1][:3] == ["drop", "b.csv", "2"]
    assert cells[1][4] == "1"
    for cell in cells:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", cell[3])
        assert project.ingested(cell[10]).exists()


def test_the_result_is_one_line_and_as_json_one_object(project):
    project.drop("a.csv", table(*GOOD))
    told = project.call("ingestion.py")
    assert (told.code, told.err) == (0, "")
    assert told.out.count("\n") == 1
    project.drop("b.csv", table(*GOOD, "Gus,2025-01-01,1,60,6,south"))
    assert project.does("ingestion.py") == {
        "files": 1,
        "rows": 1,
        "duplicates": 6,
        "rejected_files": 0,
        "rejected_rows": 0,
    }


# ---------------------------------------------------------------------------------------------- known by content
def test_new_content_under_an_old_name_is_taken(project):
    project.drop("a.csv", table(*GOOD[:2]))
    project.call("ingestion.py")
    project.drop("a.csv", table(*GOOD[2:4]))
    assert project.does("ingestion.py")["rows"] == 2
    assert project.rows() == GOOD[:4]
    assert [line["filename"] for line in ingested(project)] == ["a.csv", "a.csv"]


def test_the_same_content_under_a_new_name_is_recorded_and_adds_nothing(project):
    project.drop("a.csv", table(*GOOD))
    project.call("ingestion.py")
    before = project.table()
    project.drop("b.csv", table(*GOOD))
    assert project.does("ingestion.py") == {
        "files": 1,
        "rows": 0,
        "duplicates": 6,
        "rejected_files": 0,
        "rejected_rows": 0,
    }
    assert project.table() == before
    last = ingested(project)[-1]
    assert (last["filename"], last["num_entries"], last["duplicates"]) == ("b.csv", "0", "6")
    assert project.query(FILES.format("name, status, reason"))[-1] == (
        "b.csv",
        "repeated",
        "the same content as a.csv",
    )


def test_exact_duplicates_are_dropped_within_a_file_and_across_files(project):
    project.drop("a.csv", table(*GOOD[:3], GOOD[1], GOOD[1]))
    project.drop("b.csv", table(*GOOD[1:5], GOOD[4]))
    assert project.does("ingestion.py")["duplicates"] == 2 + 3
    assert project.rows() == GOOD[:5]


def test_the_same_record_spelt_otherwise_is_a_duplicate(project):
    project.drop("a.csv", table("Ann,2025-01-01,0,10,,north"))
    project.drop("b.csv", table(" Ann,2025-01-01T00:00:00,0.0,10.0,NA,north "))
    assert project.does("ingestion.py")["duplicates"] == 1
    assert project.rows() == ["Ann,2025-01-01,0,10,,north"]


def test_records_that_differ_in_one_cell_are_both_kept(project):
    project.drop("a.csv", table(GOOD[0], GOOD[0].replace("north", "south"), GOOD[0].replace("Ann", "ann")))
    project.call("ingestion.py")
    assert len(project.rows()) == 3


def test_ingesting_twice_is_ingesting_once(project):
    project.drop("a.csv", table(*GOOD[:3], "Zoe,2025-01-01,0,-1,1,x"))
    project.configure("model:", "cleaning: {max_rejected: 0.5}\nmodel:")
    project.drop("b.csv", "no table")
    project.call("ingestion.py")
    before, files = project.snapshot(), project.query(FILES.format("*"))
    assert project.does("ingestion.py") == dict.fromkeys(
        ("files", "rows", "duplicates", "rejected_files", "rejected_rows"), 0
    )
    assert project.query(FILES.format("*")) == files
    assert project.snapshot() == before


def test_a_project_moved_elsewhere_knows_its_files(project, tmp_path):
    project.drop("a.csv", table(*GOOD))
    project.call("ingestion.py")
    moved = project.copied(tmp_path / "elsewhere")
    assert moved.does("ingestion.py")["files"] == 0
    assert moved.table() == project.table()


def test_several_folders_are_read_and_hidden_files_and_subfolders_are_not(project):
    project.configure("source: drop", "source: [drop, more]")
    (project.folder / "more").mkdir()
    (project.folder / "drop" / "sub.csv").mkdir()
    project.drop("a.csv", table(GOOD[0]))
    project.drop("../more/a.csv", table(GOOD[1]))
    project.drop(".hidden.csv", table(GOOD[2]))
    assert project.does("ingestion.py")["files"] == 2
    assert [(line["source_location"], line["filename"]) for line in ingested(project)] == [
        ("drop", "a.csv"),
        ("more", "a.csv"),
    ]


def test_a_file_that_changes_or_goes_while_a_run_reads_waits_and_holds_up_no_other(project, monkeypatch):
    growing, going = project.drop("a.csv", table(*GOOD[:2])), project.drop("b.csv", table(*GOOD))
    project.drop("c.csv", table(*GOOD[3:4]))
    look = agenda.look

    def overtaken(config):
        found = look(config)
        growing.write_text(table(*GOOD[:3]))
        going.unlink()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(agenda, "look", overtaken)
        ran = project.call("ingestion.py", "--json")
    assert ran.facts["files"] == 1
    assert ran.err.count("\n") == 1
    assert "b.csv" in ran.err
    assert project.rows() == GOOD[3:4]
    assert project.does("ingestion.py")["files"] == 1
    assert project.rows() == GOOD[:4]


# ---------------------------------------------------------------------------------------------- bad files
BAD_FILES = {
    "empty.csv": (b"", "empty"),
    "blank.csv": (b"\n \n", "empty"),
    "picture.csv": (b"\x89PNG\r\n\x1a\n\0\0\0", "PNG picture"),
    "binary.csv": (b"client,\0\0\0\n", "NUL"),
    "latin.csv": (table("Zoë,2025-01-01,0,10,1,north").encode("latin-1"), "UTF-8"),
    "columns.csv": (
        b"client,seen\nAnn,2025-01-01\n",
        "missing column(s) exited, activity, complaints, branch",
    ),
    "twice.csv": (table(GOOD[0] + ",x", header=HEADER + ",branch").encode(), "'branch' named twice"),
    "notes.txt": (b"dear all", "no reader for '.txt'"),
    "plain": (b"dear all", "no reader for ''"),
    "rows.csv": (table("Ann,soon,0,1,1,x", *GOOD[:1]).encode(), "1 of 2 rows are bad"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_set_aside_with_its_reason_and_the_good_ones_go_on(project, name):
    content, reason = BAD_FILES[name]
    project.drop("a.csv", table(*GOOD[:3]))
    project.drop(name, content)
    project.drop("z.csv", table(*GOOD[3:]))
    told = project.call("ingestion.py", "--json")
    assert told.facts["rejected_files"] == 1
    assert told.facts["files"] == 2
    assert project.rows() == GOOD
    copies = [path for path in project.ingested("rejected").iterdir() if path.name != "reasons.csv"]
    assert [copy.name.partition("-")[2] for copy in copies] == [name]
    assert copies[0].read_bytes() == content
    (line,) = project.reasons()
    assert (line["file"], line["line"], line["column"], line["value"]) == (name, "", "", "")
    assert reason in line["reason"]
    assert told.err.count("\n") == 1
    assert name in told.err
    assert reason in told.err
    assert name not in project.ingested("ingestedfiles.txt").read_text()
    assert project.call("ingestion.py").err == "", "it is told once"


def test_a_corrected_file_dropped_again_is_taken(project):
    project.drop("a.csv", table(*GOOD).replace("exited", "left"))
    assert project.does("ingestion.py")["rejected_files"] == 1
    project.drop("a.csv", table(*GOOD))
    assert project.does("ingestion.py")["rows"] == len(GOOD)
    assert project.rows() == GOOD


def test_a_file_without_rows_is_taken_and_adds_nothing(project):
    project.drop("a.csv", HEADER + "\n")
    assert project.does("ingestion.py")["files"] == 1
    assert project.table() == HEADER + "\n"


def test_files_set_aside_are_tried_again_when_the_columns_in_the_config_changed(project):
    project.configure("branch: category", "region: category")
    project.drop("a.csv", table(*GOOD))
    project.drop("b.csv", "no table")
    assert project.does("ingestion.py")["rejected_files"] == 2
    assert project.does("ingestion.py")["rejected_files"] == 0
    project.configure("region: category", "branch: category")
    again = project.does("ingestion.py")
    assert (again["rows"], again["rejected_files"]) == (len(GOOD), 1)
    assert project.rows() == GOOD


# ---------------------------------------------------------------------------------------------- bad rows
def test_a_bad_row_is_rejected_with_its_line_column_value_and_reason(project):
    lenient = "cleaning: {max_rejected: 1.0}\nmodel:"
    project.configure("model:", lenient)
    project.configure("branch: category", "branch: category\n    joined: date")
    bad = [
        ('"Two\nlines",2025-01-01,0,-3,1,x,', ("3", "activity", "-3", "below the minimum 0")),
        ("Max,2025-01-01,0,3,51,x,", ("5", "complaints", "51", "above the maximum 50")),
        ("Nan,2025-01-01,0,many,1,x,", ("6", "activity", "many", "not a number")),
        ("Inf,2025-01-01,0,inf,1,x,", ("7", "activity", "inf", "not a number")),
        ("Day,31.12.2025,0,3,1,x,", ("8", "seen", "31.12.2025", "not a date like")),
        ("Day,2025-02-30,0,3,1,x,", ("9", "seen", "2025-02-30", "not a date like")),
        ("Day,2025-01-01,0,3,1,x,never", ("10", "joined", "never", "not a date like")),
        (" ,2025-01-01,0,3,1,x,", ("11", "client", " ", "empty")),
        ("Now,,0,3,1,x,", ("12", "seen", "", "empty")),
        ("Few,2025-01-01,0,3,1,x", ("13", "", "Few,2025-01-01,0,3,1,x", "6 cell(s) where the header has 7")),
        ("Lot,2025-01-01,0,3,1,x,,", ("14", "", "Lot,2025-01-01,0,3,1,x,,", "8 cell(s) where the header has 7")),
    ]  # fmt: skip
    good = [row + ",2020-01-01" for row in GOOD[:2]]
    text = table(good[0], *(row for row, _ in bad), "", good[1], header=HEADER + ",joined")
    project.drop("a.csv", text)
    facts = project.does("ingestion.py")
    assert (facts["rows"], facts["rejected_rows"], facts["rejected_files"]) == (2, len(bad), 0)
    assert project.rows() == good
    assert ingested(project)[0]["rejected_rows"] == str(len(bad))
    told = project.reasons()
    assert len(told) == len(bad)
    for line, (_, (number, column, value, reason)) in zip(told, bad, strict=True):
        assert (line["file"], line["line"], line["column"], line["value"]) == ("a.csv", number, column, value)
        assert line["reason"].startswith(reason)
    (copy,) = (path for path in project.ingested("rejected").iterdir() if path.name != "reasons.csv")
    assert copy.read_text() == table(*(row for row, _ in bad), header=HEADER + ",joined")


def test_rows_are_bad_up_to_the_share_of_the_config_above_it_the_file_is(project):
    bad = "Zoe,2025-01-01,0,-1,1,x"
    project.drop("a.csv", table(*GOOD[:4], bad))  # a fifth: the limit
    assert project.does("ingestion.py")["rows"] == 4
    project.drop("b.csv", table(*GOOD[4:], bad, bad))
    facts = project.does("ingestion.py")
    assert (facts["rows"], facts["rejected_files"], facts["rejected_rows"]) == (0, 1, 0)
    assert "2 of 4 rows are bad" in project.reasons()[-1]["reason"]
    assert "line 4, column activity" in project.reasons()[-1]["reason"]
    assert project.rows() == GOOD[:4]


@pytest.mark.parametrize("other", ["clients.csv", "new clients.csv"])
def test_each_file_gets_its_own_line_of_reasons_however_alike_their_names(project, other):
    project.drop("old new clients.csv", "no table")
    project.call("ingestion.py")
    project.drop(other, "no table at all")
    project.call("ingestion.py")
    assert [line["file"] for line in project.reasons()] == ["old new clients.csv", other]


def test_columns_are_renamed_as_the_config_says(project):
    project.configure("  features:\n", "  rename: {Customer ID: client, churn: exited}\n  features:\n")
    project.drop(
        "a.csv", table(*GOOD, header=HEADER.replace("client", " Customer ID ").replace("exited", "churn"))
    )
    project.drop("b.csv", table("Zoe,2025-01-01,0,10,1,north"))
    assert project.does("ingestion.py")["files"] == 2
    assert project.table().splitlines()[0] == HEADER
    assert project.rows() == [*GOOD, "Zoe,2025-01-01,0,10,1,north"]


# ---------------------------------------------------------------------------------------------- dry run
def test_a_dry_run_of_a_new_project_says_what_would_happen_and_changes_nothing(project):
    project.drop("a.csv", table(*GOOD))
    project.drop("b.csv", "no table")
    before = project.snapshot()
    told = project.call("ingestion.py", "--dry-run")
    assert told.code == 0
    assert [line.partition(": ")[0] for line in told.out.splitlines()] == ["drop/a.csv", "drop/b.csv"]
    assert "6 new rows" in told.out
    assert "set aside" in told.out
    assert project.snapshot() == before


def test_a_dry_run_on_a_history_changes_nothing_and_foretells_the_run(project):
    project.drop("a.csv", table(*GOOD[:3]))
    project.call("ingestion.py")
    project.drop("b.csv", table(*GOOD[2:]))
    before = project.snapshot()
    foretold = project.does("ingestion.py", "--dry-run")["files"]
    assert project.snapshot() == before
    assert foretold == ["drop/b.csv: ingested: 3 new rows, 1 duplicate, 0 rejected"]
    assert project.does("ingestion.py")["rows"] == 3


def test_a_dry_run_of_a_rebuild_changes_nothing(project):
    project.drop("a.csv", table(*GOOD))
    project.call("ingestion.py")
    project.configure("min: 0, max: 50", "min: 0, max: 5")
    before = project.snapshot()
    foretold = project.does("ingestion.py", "--rebuild", "--dry-run")["files"]
    assert foretold == ["drop/a.csv: ingested: 5 new rows, 0 duplicates, 1 rejected"]
    assert project.snapshot() == before


# ---------------------------------------------------------------------------------------------- rebuild
def filled(project: Project) -> Project:
    """Drop in three goes: plain, overlapping, repeated, bad rows, a bad file, a file without news."""
    project.drop("b.csv", clients(30, seed=1))
    project.drop("z.csv", "no table")
    project.call("ingestion.py")
    project.drop("a.csv", pd.concat([clients(30, seed=1)[10:20], clients(20, seed=2)]))
    project.drop("c.csv", clients(30, seed=1))
    project.call("ingestion.py")
    project.drop("d.csv", clients(30, seed=1)[:5])
    project.drop("e.csv", clients(20, seed=3).replace({"activity": {clients(20, seed=3)["activity"][4]: -1}}))
    project.call("ingestion.py")
    return project


def test_a_rebuild_gives_the_dataset_that_the_increments_gave(project):
    before = filled(project).table()
    rebuilt = project.does("ingestion.py", "--rebuild")
    assert rebuilt["rows"] == len(project.rows())
    assert project.table() == before
    assert project.does("ingestion.py")["files"] == 0


def test_a_rebuild_gives_the_records_that_the_increments_gave(project):
    before = filled(project).query(FILES.format("*"))
    listed = project.ingested("ingestedfiles.txt").read_text()
    reasons = project.reasons()
    project.call("ingestion.py", "--rebuild")
    assert project.query(FILES.format("*")) == before
    assert project.ingested("ingestedfiles.txt").read_text() == listed
    assert project.reasons() == reasons


def test_a_rebuild_after_a_change_of_columns_gives_what_a_new_project_gives(project, tmp_path):
    filled(project)
    project.configure("    complaints: {type: number, min: 0, max: 50}\n", "")
    project.configure("activity: {type: number, min: 0}", "activity: {type: number, min: 0, max: 98}")
    rebuilt = project.does("ingestion.py", "--rebuild")
    fresh = Project.made(tmp_path / "fresh", project.config_file.read_text())
    shutil.copytree(project.folder / "drop", fresh.folder / "drop", dirs_exist_ok=True)
    expected = fresh.does("ingestion.py")
    assert rebuilt["rows"] == expected["rows"]
    assert rebuilt["rejected_rows"] > 1
    assert project.table().splitlines()[0] == "client,seen,exited,activity,branch"
    assert project.rows() == fresh.rows()
    parts = {path.name for path in project.ingested("parts").iterdir()}
    assert parts == {Path(line["output"]).name for line in ingested(project) if line["output"]}
    project.drop("new.csv", clients(20, seed=9))
    assert project.does("ingestion.py")["files"] == 1


def test_a_rebuild_takes_in_new_drops_too(project):
    project.drop("a.csv", table(*GOOD[:3]))
    project.call("ingestion.py")
    project.drop("b.csv", table(*GOOD[2:]))
    assert project.does("ingestion.py", "--rebuild")["rows"] == len(GOOD)
    assert project.rows() == GOOD


def test_a_rebuild_tries_files_again_that_were_set_aside(project):
    project.drop("a.csv", table(*GOOD[:3]))
    project.drop("b.csv", table(*GOOD[3:]).replace("branch", "region"))
    assert project.does("ingestion.py")["rejected_files"] == 1
    project.configure("  features:\n", "  rename: {region: branch}\n  features:\n")
    facts = project.does("ingestion.py", "--rebuild")
    assert (facts["rows"], facts["rejected_files"]) == (len(GOOD), 0)
    assert project.rows() == GOOD


def test_a_rebuild_is_refused_while_a_source_file_is_gone_and_nothing_changes(project):
    filled(project)
    kept = project.folder / "drop" / "a.csv"
    kept.rename(project.folder / "a.csv")
    before = project.snapshot()
    refused = project.call("ingestion.py", "--rebuild")
    assert refused.code == 65
    assert "a.csv" in refused.complaint
    assert project.snapshot() == before
    (project.folder / "a.csv").rename(kept)
    assert project.call("ingestion.py", "--rebuild").code == 0


def test_a_rebuild_is_refused_if_a_file_was_written_over_with_other_rows(project):
    project.drop("a.csv", table(*GOOD[:3]))
    project.call("ingestion.py")
    project.drop("a.csv", table(*GOOD[2:]))
    project.call("ingestion.py")
    before = project.table()
    refused = project.call("ingestion.py", "--rebuild")
    assert project.table() == before, "neither lost rows nor new duplicates"
    assert refused.code == 65
    assert "a.csv" in refused.complaint


def test_a_file_renamed_after_it_was_ingested_can_be_rebuilt(project):
    path = project.drop("a.csv", table(*GOOD))
    project.call("ingestion.py")
    path.rename(path.with_name("b.csv"))
    assert project.does("ingestion.py")["rows"] == 0
    assert project.call("ingestion.py", "--rebuild").code == 0
    assert project.rows() == GOOD


def test_other_columns_without_a_rebuild_are_refused_in_one_line_and_nothing_changes(project):
    project.drop("a.csv", table(*GOOD))
    project.call("ingestion.py")
    project.drop("b.csv", clients(20, seed=1))
    project.configure("min: 0, max: 50", "min: 0, max: 5")
    before = project.snapshot()
    refused = project.call("ingestion.py")
    assert refused.code == 78
    assert f"`python ingestion.py --config '{project.config_file}' --rebuild`" in refused.complaint
    assert project.snapshot() == before
    project.configure("min: 0, max: 5", "min: 0, max: 50")
    assert project.does("ingestion.py")["rows"] == 20


def test_parts_that_were_deleted_are_told_in_one_line_and_a_rebuild_brings_them_back(project):
    before = filled(project).table()
    shutil.rmtree(project.folder / "ingesteddata")
    refused = project.run("ingestion.py")
    assert refused.code in (65, 74), refused.err
    assert refused.complaint
    assert project.call("ingestion.py", "--rebuild").code == 0
    assert project.table() == before


def test_a_file_that_was_set_aside_and_taken_later_counts_once_after_a_rebuild(project):
    project.configure("model:", "cleaning: {max_rejected: 0.1}\nmodel:")
    project.drop("a.csv", table(*GOOD[:2], "Zoe,2025-01-01,0,-1,1,x"))
    assert project.does("ingestion.py")["rejected_files"] == 1
    project.configure("max_rejected: 0.1", "max_rejected: 0.5")
    assert project.does("ingestion.py")["rows"] == 2
    assert project.call("ingestion.py", "--rebuild").code == 0
    assert project.rows() == GOOD[:2]
    with project.book() as book:
        assert book.rows() == 2
    assert project.call("ingestion.py", "--rebuild").code == 0
    assert project.rows() == GOOD[:2]


def test_rows_come_back_when_the_records_are_lost_or_an_older_copy(project):
    project.drop("a.csv", table(*GOOD[:2]))
    project.call("ingestion.py")
    older = (project.folder / "records.db").read_bytes()
    project.drop("b.csv", table(*GOOD[2:4]))
    project.call("ingestion.py")
    (project.folder / "records.db").write_bytes(older)
    project.drop("c.csv", table(*GOOD[4:]))
    without_journal(project)
    assert project.does("ingestion.py")["rows"] == 4
    assert project.rows() == GOOD
    (project.folder / "records.db").unlink()
    without_journal(project)
    assert project.does("ingestion.py")["rows"] == 6
    assert project.rows() == GOOD


def without_journal(project: Project) -> None:
    """Have the next run go on with the records as they are."""
    assert project.call("ingestion.py").code == 74
    for name in (journal.JOURNAL, journal.SEAL):
        project.ingested(name).unlink()


def test_the_same_bytes_under_another_ending_or_spelling_are_another_table(project):
    project.configure("source: drop", 'source: [drop, {path: more, decimal: ","}]')
    project.configure("activity: {type: number, min: 0}", "activity: number")
    (project.folder / "more").mkdir()
    text = table("Ann;2025-01-01;0;1.500;1;north", header=HEADER.replace(",", ";"))
    project.drop("a.csv", text)
    project.drop("../more/a.csv", text)
    project.call("ingestion.py")
    assert project.rows() == ["Ann,2025-01-01,0,1.5,1,north", "Ann,2025-01-01,0,1500,1,north"]


@pytest.mark.parametrize(
    "flags", [("--dry-run", "--table"), ("--rebuild", "--trace", "Ann"), ("--table", "--rebuild")]
)
def test_flags_for_different_things_are_refused_together(project, flags):
    project.drop("a.csv", table(*GOOD))
    before = project.snapshot()
    assert project.call("ingestion.py", *flags).code == 64
    assert set(project.snapshot()) - set(before) <= {"records.db", "ingesteddata/records.seal"}


def test_the_same_flaw_in_other_content_of_the_same_name_is_told_again(project):
    project.configure("model:", "cleaning: {max_rejected: 0.9}\nmodel:")
    for good in GOOD[:2]:
        project.drop("a.csv", table("Zoe,2025-01-01,0,-1,1,x", good))
        project.call("ingestion.py")
    assert len(project.reasons()) == 2
    assert "Zoe" in project.call("ingestion.py", "--trace", "Zoe").out


def rebuildable(project: Project) -> Project:
    """Give a project of which a rebuild puts a row into another part: that of a file that was set aside at first."""
    project.configure("model:", "cleaning: {max_rejected: 0.1}\nmodel:")
    project.drop("a.csv", table(*GOOD[:3], "Zoe,2025-01-01,0,-1,1,x"))
    project.call("ingestion.py")
    project.drop("b.csv", table(*GOOD[2:]))
    project.call("ingestion.py")
    project.configure("max_rejected: 0.1", "max_rejected: 0.5")
    assert project.does("ingestion.py")["rows"] == 2
    return project


@pytest.mark.parametrize("stored", [1, 2, 3])
def test_a_rebuild_that_is_cut_off_leaves_the_parts_that_count_as_they_were(project, monkeypatch, stored):
    rebuildable(project)
    store, left = ingestion._store, iter(range(stored))

    def cut_off(config, taken):
        told = store(config, taken)
        if next(left) == stored - 1:
            raise KeyboardInterrupt
        return told

    with monkeypatch.context() as patched, project.book() as book:
        patched.setattr(ingestion, "_store", cut_off)
        with pytest.raises(KeyboardInterrupt):
            ingestion.ingest_again(project.config, book)
    assert project.call("ingestion.py", "--table").code == 0
    project.ingested("finaldata.csv").unlink()
    assert project.call("ingestion.py").code == 0
    assert project.rows() == GOOD
    assert project.call("ingestion.py", "--rebuild").code == 0
    assert project.rows() == GOOD
    with project.book() as book:
        assert sum(len(dataset.read_part(project.config.ingested, part)) for _, part in book.parts()) == 6


def test_a_rebuild_stops_at_a_file_that_can_not_be_read_just_now_and_changes_nothing(project, monkeypatch):
    rebuildable(project)
    before = project.query(FILES.format("*"))
    read = sources.content
    with monkeypatch.context() as patched, project.book() as book:
        patched.setattr(
            sources, "content", lambda one, most: None if one.name == "b.csv" else read(one, most)
        )
        with pytest.raises(FileError, match="run it again"):
            ingestion.ingest_again(project.config, book)
    assert project.query(FILES.format("*")) == before
    assert project.call("ingestion.py", "--rebuild").code == 0
    assert project.rows() == GOOD


# ---------------------------------------------------------------------------------------------- a law
ROWS = [
    f"client {at},2025-01-0{1 + at % 9},{at % 2},{at * 7 % 100},{at % 5},{'north' if at % 3 else ''}"
    for at in range(40)
]


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Project:
    """Give a project with records in which nothing is, not to be changed: to make them takes a while."""
    project = Project.made(tmp_path_factory.mktemp("empty") / "a project")
    assert project.call("ingestion.py").code == 0
    return project


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(ROWS), max_size=30), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
    st.integers(0, 4),
)
def test_any_split_order_and_repetition_of_a_table_gives_the_same_rows(empty, pieces, random, runs_after):
    with tempfile.TemporaryDirectory() as folder:
        project = empty.copied(Path(folder) / "a project")
        config = project.config
        pieces = [*pieces, ROWS]
        random.shuffle(pieces)
        with project.book() as book:
            for number, piece in enumerate(pieces):
                project.drop(
                    f"{random.randrange(10**6)}-{number}.csv", table(*random.sample(piece, len(piece)))
                )
                if number >= runs_after:
                    ingestion.ingest(config, book)
            ingestion.ingest(config, book)
            assert project.rows() == sorted(ROWS)
            assert book.labelled_rows() == len(ROWS)


# ---------------------------------------------------------------------------------------------- killed
WHY_NOT = projects.why_no_strace()
needs_strace = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


def outcome(project: Project) -> dict[str, object]:
    """Give what an ingestion is for: the dataset, the records and the texts, all but the times."""
    columns = (
        "id, location, name, sha256, status, contract, rows, labelled, duplicates, rejected_rows, output"
    )
    listed = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME", project.ingested("ingestedfiles.txt").read_text())
    return {
        "table": project.table(),
        "files": project.query(FILES.format(columns)),
        "listed": listed,
        "reasons": sorted(str(line) for line in project.reasons()),
        "parts": sorted(path.name for path in project.ingested("parts").glob("*.parquet")),
    }


def before_a_kill(folder: Path) -> Project:
    """Give a project with one file ingested and four more to come: good, bad rows, bad, repeated."""
    project = Project.made(folder)
    project.drop("a.csv", clients(30, seed=1))
    project.call("ingestion.py")
    project.drop("b.csv", clients(30, seed=2))
    project.drop(
        "c.csv", clients(30, seed=3).replace({"branch": {"x": "y"}}).assign(activity=[-1, *[5] * 29])
    )
    project.drop("d.csv", "no table")
    project.drop("e.csv", clients(30, seed=1))
    return project


@needs_strace
def test_an_ingestion_killed_anywhere_is_finished_by_the_next(tmp_path):
    start = before_a_kill(tmp_path / "start")
    undisturbed = start.copied(tmp_path / "undisturbed")
    chosen = projects.sampled(projects.points(undisturbed, "ingestion.py"), 9)
    expected, differs = outcome(undisturbed), {}
    for point, project in zip(
        chosen, projects.killed_at(start, tmp_path, chosen, "ingestion.py"), strict=True
    ):
        again = project.call("ingestion.py")
        if again.code or outcome(project) != expected or project.leftovers():
            differs[str(point)] = again
    assert differs == {}


@needs_strace
def test_a_rebuild_killed_anywhere_leaves_the_old_dataset_or_the_new_one(tmp_path):
    start = before_a_kill(tmp_path / "start")
    start.call("ingestion.py")
    old = outcome(start)
    start.configure("    complaints: {type: number, min: 0, max: 50}\n", "")
    undisturbed = start.copied(tmp_path / "undisturbed")
    found = projects.points(undisturbed, "ingestion.py", "--rebuild")
    new, differs = outcome(undisturbed), {}
    assert new["table"] != old["table"]
    of_the_texts = [point for point in found if "parts" not in point.told and "records.db" not in point.told]
    chosen = projects.sampled([point for point in of_the_texts if "sync" not in point.name], 12)
    for point, project in zip(
        chosen, projects.killed_at(start, tmp_path, chosen, "ingestion.py", "--rebuild"), strict=True
    ):
        again = project.call("ingestion.py")
        if again.code == 78:  # the rebuild had not come to its end: it's asked for again, and nothing is lost
            again = project.call("ingestion.py", "--rebuild")
        if again.code or outcome(project) != new or project.leftovers():
            differs[str(point)] = again
    assert differs == {}


def test_rows_are_kept_in_the_order_they_came(project):
    for day, seed in enumerate((5, 3, 9), 1):
        project.drop(f"{9 - day}.csv", clients(4, seed=seed, day=day))
        project.call("ingestion.py")
    seeds = [row.partition(" ")[2].partition("-")[0] for row in project.table().splitlines()[1:]]
    assert seeds == list(np.repeat(["5", "3", "9"], 4))


def test_a_bad_file_of_the_longest_name_is_set_aside_like_any_other(project):
    name = "é" * 122 + "x" * 7 + ".csv"
    (project.folder / "drop" / name).write_text("nothing\n")
    project.drop("good.csv", clients(4, seed=1))
    assert project.does("ingestion.py")["rejected_files"] == 1
    assert len(project.rows()) == 4
    assert name in project.ingested("rejected/reasons.csv").read_text()


def on_a_terminal(project: Project, *flags: str) -> tuple[str, str]:
    """Run an ingestion whose stderr is a terminal; give stdout and what the terminal showed."""
    terminal, side = pty.openpty()
    termios.tcsetwinsize(side, (24, 80))
    command = [
        sys.executable,
        str(projects.ROOT / "ingestion.py"),
        "--config",
        str(project.config_file),
        *flags,
    ]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=side, text=True)
    shown = os.read(terminal, 100_000).decode() if select.select([terminal], [], [], 0)[0] else ""
    os.close(side)
    os.close(terminal)
    assert ran.returncode == 0, shown
    return ran.stdout, shown


def test_a_bar_shows_how_far_it_is_while_a_terminal_watches_and_only_then(project):
    for number in range(5):
        project.drop(f"{number}.csv", clients(5, seed=number))
    ran = project.run("ingestion.py", "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    out, shown = on_a_terminal(project)
    assert out == "ingested 5 files: 25 new rows, 0 duplicates\n"
    assert "ingesting" in shown
    assert "0/5" in shown
    assert on_a_terminal(project)[1] == "", "nothing to do is nothing to show"
