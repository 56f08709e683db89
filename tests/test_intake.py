"""What becomes of files under every kind of cleaning: keys, repairs, joins. The plain union is in test_ingestion."""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ingestion
import training
from pipeline import dataset, intake, repairs
from pipeline.rowhash import ROW
from tests import project as projects
from tests.project import Project

HEADER = "client,seen,exited,activity,complaints,branch"
CONFIG = projects.CONFIG


def table(*rows: str, header: str = HEADER) -> str:
    """Give a CSV of these lines."""
    return "\n".join([header, *rows]) + "\n"


def with_cleaning(folder: Path, cleaning: str) -> Project:
    """Give a new project with these rules of cleaning."""
    return Project.made(folder, CONFIG.replace("model:", f"cleaning: {cleaning}\nmodel:"))


def counts(project: Project, name: str) -> dict[str, int]:
    """Give the counts in the line of `ingestedfiles.txt` about a file."""
    listed = pd.read_csv(project.ingested("ingestedfiles.txt")).set_index("filename")
    row = listed.loc[name]
    return {
        column: int(row[column])
        for column in (
            "num_entries",
            "duplicates",
            "formatting_changes",
            "imputed",
            "outliers",
            "rejected_rows",
        )
    }


def statistics(project: Project, name: str) -> dict:
    """Give the statistics that stand in the record of a file."""
    ((facts,),) = project.query(f"select facts from files where name = '{name}'")
    return json.loads(facts)["statistics"]


# ------------------------------------------------------------------------------------------------------- keys
@pytest.fixture
def keyed(tmp_path: Path) -> Project:
    """Give a project in which there is one row a client: the newest."""
    return with_cleaning(tmp_path / "a project", "{key: [client]}")


def test_of_rows_with_one_key_the_newest_holds_and_the_history_keeps_the_others(keyed):
    keyed.drop("a.csv", table("Ann,2025-01-01,0,1,1,x", "Bob,2025-01-01,0,1,1,x"))
    keyed.drop("b.csv", table("Ann,2025-03-01,0,3,1,x", "Bob,2024-12-01,0,9,1,x", "Cid,2025-01-01,0,1,1,x"))
    assert keyed.does("ingestion.py")["rows"] == 3
    assert keyed.rows() == ["Ann,2025-03-01,0,3,1,x", "Bob,2025-01-01,0,1,1,x", "Cid,2025-01-01,0,1,1,x"]
    assert counts(keyed, "b.csv") | {"num_entries": 1, "duplicates": 2} == counts(keyed, "b.csv")
    told = keyed.call("ingestion.py", "--trace", "Ann").out
    assert re.search(
        r"replaced by a newer row: client Ann, seen 2025-01-01, .*\n  from      drop/a.csv", told
    )
    assert re.search(r"holds: client Ann, seen 2025-03-01, .*\n  from      drop/b.csv", told)


def test_a_label_that_comes_later_replaces_the_row_without_and_is_not_replaced_by_it(keyed):
    keyed.drop("a.csv", table("Ann,2025-01-01,,1,1,x", "Bob,2025-01-01,1,1,1,x"))
    keyed.call("ingestion.py")
    keyed.drop("b.csv", table("Ann,2025-01-01,1,1,1,x", "Bob,2025-01-01,,1,1,x"))
    keyed.call("ingestion.py")
    assert keyed.rows() == ["Ann,2025-01-01,1,1,1,x", "Bob,2025-01-01,1,1,1,x"]
    assert keyed.query("select labelled from files order by id") == [(1,), (1,)], "each outcome counts once"


def test_labels_that_come_later_are_told_as_labels_and_not_as_duplicates(keyed):
    keyed.drop("a.csv", table(*(f"c{at},2025-01-01,{'' if at < 6 else 1},1,{at},x" for at in range(10))))
    keyed.call("ingestion.py")
    # Four labels, one of them twice; a row that is known, one known otherwise, a new one, one that comes twice.
    labels = table(
        *(f"c{at},2025-01-01,0,1,{at},x" for at in (0, 1, 2)),
        "c3,2025-01-01,0,1,3,x", "c3,2025-01-01,0,2,3,x", "c4,2025-01-01,,1,4,x", "c9,2025-01-01,1,2,9,x",
        "d1,2025-01-01,1,1,1,x", "d2,2025-01-01,,1,1,x", "d2,2025-01-01,1,1,1,x",
    )  # fmt: skip
    keyed.drop("b.csv", labels)
    told = "2 new rows, 5 labels for known rows, 2 other versions of known rows, 1 duplicate"
    assert f"drop/b.csv: ingested: {told}, 0 rejected\n" in keyed.call("ingestion.py", "--dry-run").out
    facts = keyed.does("ingestion.py")
    assert (facts["rows"], facts["duplicates"]) == (2, 8), "the contract of the JSON is as it was"
    assert counts(keyed, "b.csv")["duplicates"] == 8
    keyed.drop("c.csv", labels)
    assert keyed.call("ingestion.py").out == "ingested 1 file: 0 new rows, 10 duplicates\n", "once is enough"
    told = "12 new rows, 5 labels for known rows, 2 other versions of known rows, 11 duplicates"
    assert keyed.call("ingestion.py", "--rebuild").out == f"ingested 3 files: {told}\n"


def test_a_correction_of_the_same_date_in_a_later_file_holds(keyed):
    keyed.drop("a.csv", table("Ann,2025-01-01,0,1,1,x"))
    keyed.call("ingestion.py")
    keyed.drop("b.csv", table("Ann,2025-01-01,0,2,1,x"))
    keyed.call("ingestion.py")
    assert keyed.rows() == ["Ann,2025-01-01,0,2,1,x"]


WRONG = ["Ann,2025-01-01,1,1,1,x", "Bob,2025-01-01,1,1,1,x"]
RIGHT = ["Ann,2025-01-01,0,1,1,x", "Bob,2025-01-01,0,1,1,x"]


@pytest.mark.parametrize("name", ["a again.csv", "a.csv", "corrected.csv"])
def test_rows_that_were_replaced_hold_again_if_they_are_sent_once_more(keyed, name):
    """Under another name, or in place of the wrong ones, or in a file with others."""
    right = table(*RIGHT, *(["Cid,2025-01-01,0,1,1,x"] if name == "corrected.csv" else []))
    keyed.drop("a.csv", table(*RIGHT))
    keyed.call("ingestion.py")
    keyed.drop("a.csv" if name == "a.csv" else "b.csv", table(*WRONG))
    keyed.call("ingestion.py")
    assert keyed.rows() == WRONG
    keyed.drop(name, right)
    assert f"drop/{name}: ingested: " in keyed.call("ingestion.py", "--dry-run").out
    told = keyed.call("ingestion.py").out
    assert "2 known rows back in place, 0 duplicates" in told
    assert keyed.rows()[:2] == RIGHT
    assert keyed.does("ingestion.py")["files"] == 0, "once is enough"
    told = keyed.call("ingestion.py", "--trace", "Ann").out
    assert re.findall("^(holds|replaced)", told, re.MULTILINE) == ["replaced", "replaced", "holds"]
    keyed.drop("b.csv", table(*WRONG))  # where there is none any more a rebuild would stop
    keyed.call("ingestion.py")
    keyed.drop(name, right.replace("Ann,2025-01-01", "Ann,2025-01-02"))
    keyed.call("ingestion.py")
    keyed.drop("first.csv", table(*RIGHT))
    keyed.drop("third.csv", right)
    keyed.call("ingestion.py")
    before = keyed.rows()
    assert keyed.call("ingestion.py", "--rebuild").code == 0
    assert keyed.rows() == before


def test_a_file_that_was_only_touched_puts_nothing_back(keyed):
    keyed.drop("a.csv", table(*RIGHT))
    keyed.call("ingestion.py")
    keyed.drop("b.csv", table(*WRONG))
    keyed.call("ingestion.py")
    os.utime(keyed.drop("a.csv", table(*RIGHT)), (1, 1))
    assert keyed.does("ingestion.py")["files"] == 0
    assert keyed.rows() == WRONG


@pytest.mark.parametrize("moved", ["the source is spelt otherwise", "archived", "its encoding is named"])
def test_a_file_that_was_moved_or_is_read_otherwise_puts_nothing_back(keyed, moved):
    keyed.drop("a.csv", table(*RIGHT))
    keyed.call("ingestion.py")
    keyed.drop("a correction.csv", table(*WRONG))
    keyed.call("ingestion.py")
    if moved == "archived":
        keyed.configure("source: drop", "source: {path: drop, recursive: true}")
        (keyed.folder / "drop" / "old").mkdir()
        (keyed.folder / "drop" / "a.csv").rename(keyed.folder / "drop" / "old" / "a.csv")
    elif moved == "its encoding is named":
        keyed.configure("source: drop", "source: {path: drop, encoding: utf-8}")
    else:
        keyed.configure("source: drop", "source: ./drop/")
    assert "back in place" not in keyed.call("ingestion.py").out
    assert keyed.rows() == WRONG
    assert keyed.call("ingestion.py", "--rebuild").code == 0
    assert keyed.rows() == WRONG


def test_an_outlier_that_was_dropped_stays_a_duplicate_however_often_it_comes(tmp_path):
    rules = "{key: [client], outliers: {activity: {how: limits, high: 100, then: drop}}}"
    project = with_cleaning(tmp_path / "a project", rules)
    project.drop("a.csv", table("Ann,2025-01-01,0,1,1,x", "Ann,2025-01-01,0,500,1,x"))
    project.call("ingestion.py")
    project.drop("b.csv", table("Ann,2025-01-01,0,500,1,x", "Bob,2025-01-01,0,1,1,x"))
    project.call("ingestion.py")
    project.drop("c.csv", table("Ann,2025-01-01,0,500,1,x"))
    project.call("ingestion.py")
    assert project.rows() == ["Ann,2025-01-01,0,1,1,x", "Bob,2025-01-01,0,1,1,x"]
    assert counts(project, "b.csv")["outliers"] == 0
    assert project.query("select output from files where name = 'c.csv'") == [("",)]


def test_a_dry_run_says_of_files_that_come_together_what_a_run_does(keyed):
    keyed.drop("a.csv", table(*RIGHT))
    keyed.drop("b.csv", table(*WRONG))
    keyed.drop("c.csv", table(*RIGHT))
    keyed.drop("d.csv", table(*RIGHT))
    dry = keyed.call("ingestion.py", "--dry-run").out
    keyed.call("ingestion.py")
    assert keyed.rows() == RIGHT
    assert [row[0] for row in keyed.query("select status from files order by id")] == [
        *(["ingested"] * 3),
        "repeated",
    ]
    assert [line.split(": ")[1] for line in dry.splitlines()] == [*(["ingested"] * 3), "repeated"]
    keyed.drop("e.csv", table(RIGHT[0], WRONG[1]))
    keyed.call("ingestion.py")
    told = keyed.call("ingestion.py", "--trace", "Ann").out
    assert re.search(r"holds: .*\n  from      drop/c.csv .*\n  again in  drop/d.csv .*drop/e.csv", told)


def test_a_dry_run_knows_which_file_came_last_also_of_those_on_record(keyed):
    other = [row.replace(",1,1,x", ",2,1,x") for row in RIGHT]
    for name, rows in (("a.csv", RIGHT), ("b.csv", WRONG)):
        keyed.drop(name, table(*rows))
        keyed.call("ingestion.py")
    keyed.drop("c.csv", table(*other))
    keyed.drop("d.csv", table(*WRONG))
    for flags in (["--dry-run"], ["--rebuild", "--dry-run"]):
        asked = keyed.call("ingestion.py", *flags)
        assert (asked.code, asked.err) == (0, "")
        if flags == ["--dry-run"]:
            assert [line.split(": ")[1] for line in asked.out.splitlines()] == ["ingested", "ingested"]
    keyed.call("ingestion.py")
    assert keyed.rows() == WRONG
    assert keyed.call("ingestion.py", "--rebuild", "--dry-run").code == 0


def test_what_is_known_and_would_not_hold_if_it_were_new_is_a_duplicate(keyed):
    keyed.drop("a.csv", table("Ann,2025-01-01,0,1,1,x", "Bob,2025-01-01,,1,1,x", "Cid,2025-01-01,0,1,1,x"))
    keyed.drop("b.csv", table("Ann,2025-01-09,0,2,1,x", "Bob,2025-01-01,0,1,1,x", "Cid,2025-01-01,1,1,1,x"))
    keyed.call("ingestion.py")
    before = keyed.rows()
    keyed.drop(
        "c.csv",
        table(
            "Ann,2025-01-01,0,1,1,x",
            "Bob,2025-01-01,,1,1,x",
            "Cid,2025-01-01,0,1,1,x",
            "Cid,2025-01-01,1,1,1,x",
        ),
    )
    keyed.call("ingestion.py")
    assert keyed.rows() == before
    assert keyed.query("select output from files where name = 'c.csv'") == [("",)]


def test_a_unique_key_is_a_contract_and_the_row_that_breaks_it_is_set_aside(tmp_path):
    project = with_cleaning(tmp_path / "a project", "{key: [client], same_key: reject}")
    project.drop("a.csv", table("Ann,2025-01-01,0,1,1,x", "Ann,2025-01-01,0,1,1,x", "Bob,2025-01-01,0,1,1,x"))
    project.drop("b.csv", table("Cid,2025-01-01,0,1,1,x", "Ann,2025-03-01,0,3,1,x"))
    assert project.does("ingestion.py")["rejected_rows"] == 1
    assert project.rows() == ["Ann,2025-01-01,0,1,1,x", "Bob,2025-01-01,0,1,1,x", "Cid,2025-01-01,0,1,1,x"]
    (bad,) = project.reasons()
    assert (bad["file"], bad["line"], bad["column"], bad["value"]) == ("b.csv", "3", "client", "Ann")
    assert "cleaning.key" in bad["reason"]
    assert counts(project, "a.csv")["duplicates"] == 1, "the very same row breaks nothing"


def test_a_row_without_a_part_of_its_key_is_set_aside(tmp_path):
    project = with_cleaning(tmp_path / "a project", "{key: [branch], max_rejected: 0.9}")
    project.drop("a.csv", table("Ann,2025-01-01,0,1,1,", "Bob,2025-01-01,0,1,1,", "Cid,2025-01-01,0,1,1,x"))
    assert project.does("ingestion.py")["rejected_rows"] == 2
    assert project.rows() == ["Cid,2025-01-01,0,1,1,x"]


@pytest.mark.parametrize("same_key", ["newest", "reject"])
def test_a_row_that_is_dropped_as_outlier_takes_no_key(tmp_path, same_key):
    rules = "{key: [client], same_key: SAME, outliers: {activity: {how: limits, high: 100, then: drop}}}"
    project = with_cleaning(tmp_path / "a project", rules.replace("SAME", same_key))
    project.drop("a.csv", table("Ann,2025-01-01,0,500,1,x", "Bob,2025-01-01,0,2,1,x"))
    project.drop("b.csv", table("Ann,2025-01-02,0,7,1,x", "Bob,2025-01-02,0,999,1,x"))
    assert project.does("ingestion.py")["rows"] == 2
    assert project.rows() == ["Ann,2025-01-02,0,7,1,x", "Bob,2025-01-01,0,2,1,x"]
    assert [counts(project, name)["num_entries"] for name in ("a.csv", "b.csv")] == [1, 1]
    assert [counts(project, name)["outliers"] for name in ("a.csv", "b.csv")] == [1, 1]


def test_ticks_that_bring_no_new_key_do_not_ask_old_parts_again(keyed, monkeypatch):
    for day in range(1, 6):
        keyed.drop(f"{day}.csv", table(f"Ann,2025-01-0{day},0,{day},1,x", f"Bob,2025-01-0{day},0,{day},1,x"))
        keyed.call("ingestion.py")
    asked = []
    monkeypatch.setattr(dataset, "read_part", lambda *given: asked.append(given))
    with keyed.book() as book:
        taking = intake.Intake(keyed.config, book)
        for what in (intake.ROWS, intake.KEYS, intake.LABELLED):
            taking.known(what)
    assert asked == []


# ---------------------------------------------------------------------------------------------------- repairs
ROWS_20 = [f"client {at},2025-01-01,{at % 2},{at},1,{'north' if at < 10 else 'south'}" for at in range(20)]


def test_missing_cells_are_filled_by_the_statistics_of_the_time_and_stay_as_they_were_filled(tmp_path):
    project = with_cleaning(tmp_path / "a project", "{impute: {activity: median, branch: mode}}")
    project.drop("a.csv", table("Ann,2025-01-01,0,,1,x", "Bob,2025-01-01,1,10,1,x", "Cid,2025-01-01,0,20,1,"))
    project.call("ingestion.py")
    first = ["Ann,2025-01-01,0,15,1,x", "Bob,2025-01-01,1,10,1,x", "Cid,2025-01-01,0,20,1,x"]
    assert project.rows() == first
    assert counts(project, "a.csv")["imputed"] == 2
    assert statistics(project, "a.csv")["impute"]["activity"]["value"] == 15
    project.drop("b.csv", table("Dot,2025-01-01,0,90,1,y", "Eve,2025-01-01,0,,1,y"))
    project.call("ingestion.py")
    assert project.rows() == [*first, "Dot,2025-01-01,0,90,1,y", "Eve,2025-01-01,0,20,1,y"]
    told = project.call("ingestion.py", "--trace", "Eve").out
    assert "activity was empty: median of 5 rows" in told


def test_groups_have_their_own_statistics(tmp_path):
    project = with_cleaning(tmp_path / "a project", "{impute: {activity: {how: mean, by: branch}}}")
    project.drop("a.csv", table(*ROWS_20, "Ann,2025-01-01,0,,1,south", "Bob,2025-01-01,0,,1,west"))
    project.call("ingestion.py")
    rows = {row.split(",")[0]: row.split(",")[3] for row in project.rows()}
    assert (rows["Ann"], rows["Bob"]) == ("14.5", "9.5")


@pytest.mark.parametrize(("then", "kept"), [("clip", 21), ("drop", 20)])
def test_outliers_are_clipped_or_dropped_and_counted(tmp_path, then, kept):
    rule = f"{{outliers: {{activity: {{how: iqr, then: {then}}}}}}}"
    project = with_cleaning(tmp_path / "a project", rule)
    project.drop("a.csv", table(*ROWS_20, "Ann,2025-01-01,0,99,1,south"))
    project.call("ingestion.py")
    assert counts(project, "a.csv") | {"num_entries": kept, "outliers": 1} == counts(project, "a.csv")
    found = [row.split(",")[3] for row in project.rows() if row.startswith("Ann")]
    assert len(project.rows()) == kept
    if then == "clip":
        high = statistics(project, "a.csv")["limits"]["activity"]["high"]
        assert found == [f"{high:g}"]
        assert 20 < high < 99
    told = project.call("ingestion.py", "--trace", "Ann").out
    assert ("dropped: client Ann" in told) == (then == "drop")
    assert "IQR of 21 rows" in told
    project.drop("b.csv", table("Ann,2025-01-01,0,99,1,south"))
    assert project.does("ingestion.py")["duplicates"] == 1, "it's known, whatever became of it"


def test_a_rebuild_repeats_the_repairs(tmp_path):
    project = with_cleaning(
        tmp_path / "a project", "{impute: {activity: mean}, outliers: {complaints: zscore}}"
    )
    for number in range(4):
        rows = ROWS_20[number * 5 : number * 5 + 5]
        project.drop(f"{number}.csv", table(*rows, f"New {number},2025-01-01,0,,{number * 9},x"))
        project.call("ingestion.py")
    before, recorded = (
        project.table(),
        project.query("select imputed, outliers, facts from files order by id"),
    )
    assert project.call("ingestion.py", "--rebuild").code == 0
    assert project.table() == before
    assert project.query("select imputed, outliers, facts from files order by id") == recorded


# ------------------------------------------------------------------------------------------------------ joins
JOINED = """\
paths:
  source:
    - {path: sales, columns: [sold, price], aggregate: {sold: sum, price: mean}}
    - {path: weather, columns: [rain], FILL}
task: regression
columns:
  id: store
  time: day
  target: sold
  features: {price: number, rain: number}
cleaning:
  join: {keys: [store, day], frequency: week}
  impute: {price: median}
model: {candidates: {ridge: }}
"""


def joining(folder: Path, fill: bool = True) -> Project:
    """Give a project that joins sales and weather by store and week."""
    text = JOINED.replace(", FILL", ", forward_fill: true" if fill else "")
    project = Project.made(folder, text)
    (project.folder / "sales").mkdir()
    (project.folder / "weather").mkdir()
    return project


def test_sources_of_other_frequencies_are_joined_by_period(tmp_path):
    project = joining(tmp_path / "a project", fill=False)
    project.drop(
        "../sales/a.csv", "store,day,sold,price\nA,2025-01-06,10,2\nA,2025-01-12,5,4\nB,2025-01-14,7,3\n"
    )
    project.drop("../weather/a.csv", "store,day,rain\nA,2025-01-08,3\nA,2025-01-09,5\nC,2025-01-01,1\n")
    assert project.does("ingestion.py")["rows"] == 6
    assert project.rows() == ["A,2025-01-06,15,3,5", "B,2025-01-13,7,3,", "C,2024-12-30,,,1"]
    told = {key: project.call("ingestion.py", "--trace", key).out for key in "ABC"}
    assert "both" in told["A"]
    assert "only sales" in told["B"]
    assert "only weather" in told["C"]


def test_a_value_that_holds_is_carried_forward(tmp_path):
    project = joining(tmp_path / "a project")
    project.drop(
        "../sales/a.csv", "store,day,sold,price\nA,2025-01-06,1,2\nA,2025-01-20,2,2\nB,2025-01-20,3,2\n"
    )
    project.drop("../weather/a.csv", "store,day,rain\nA,2025-01-01,3\n")
    project.call("ingestion.py")
    assert project.rows() == [
        "A,2024-12-30,,,3",
        "A,2025-01-06,1,2,3",
        "A,2025-01-20,2,2,3",
        "B,2025-01-20,3,2,",
    ]


def test_what_comes_later_changes_the_joined_row_and_the_history_keeps_the_old_one(tmp_path):
    project = joining(tmp_path / "a project")
    project.drop("../sales/a.csv", "store,day,sold,price\nA,2025-01-06,10,2\n")
    project.call("ingestion.py")
    assert project.rows() == ["A,2025-01-06,10,2,"]
    project.drop("../weather/a.csv", "store,day,rain\nA,2025-01-06,3\n")
    project.drop("../sales/b.csv", "store,day,sold,price\nA,2025-01-07,5,4\nA,2025-01-06,10,2\n")
    assert project.does("ingestion.py")["duplicates"] == 1
    assert project.rows() == ["A,2025-01-06,15,3,3"]
    told = project.call("ingestion.py", "--trace", "A,2025-01-06").out
    assert told.count("replaced by a newer row") == 2
    assert told.count("holds") == 1


def test_the_same_bytes_in_two_sources_bring_the_columns_of_each(tmp_path):
    project = joining(tmp_path / "a project", fill=False)
    both = "store,day,sold,price,rain\nA,2025-01-06,10,2,3\n"
    project.drop("../sales/a.csv", both)
    project.drop("../weather/a.csv", both)
    project.call("ingestion.py")
    assert project.rows() == ["A,2025-01-06,10,2,3"]


def test_a_row_without_a_key_to_join_on_is_set_aside_and_the_others_go_on(tmp_path):
    project = joining(tmp_path / "a project")
    project.configure("join: {keys", "max_rejected: 0.9\n  join: {keys")
    project.drop("../sales/a.csv", "store,day,sold,price\n,2025-01-06,10,2\nA,,1,1\nB,2025-01-06,5,2\n")
    assert project.does("ingestion.py")["rejected_rows"] == 2
    assert project.rows() == ["B,2025-01-06,5,2,"]


def test_the_last_value_is_the_last_in_time_also_where_time_is_no_key(tmp_path):
    project = joining(tmp_path / "a project", fill=False)
    project.configure(
        "columns: [sold, price], aggregate: {sold: sum, price: mean}", "columns: [sold, price, day]"
    )
    project.configure("keys: [store, day], frequency: week", "keys: [store]")
    rows = [f"{store},2025-0{month}-01,{month},{month}" for store in "ABCDEF" for month in (1, 6, 3)]
    project.drop("../sales/a.csv", "store,day,sold,price\n" + "\n".join(rows) + "\n")
    project.call("ingestion.py")
    assert project.rows() == [f"{store},2025-06-01,6,6," for store in "ABCDEF"]


def test_a_joined_row_is_scored_once_as_it_is_when_all_sources_of_a_run_are_in(tmp_path):
    project = joining(tmp_path / "a project", fill=False)
    project.configure("model:", "scoring: {min_rows: 5}\nmodel:")
    for month in (1, 2):
        days = [f"2025-0{month}-{day:02}" for day in (1, 8, 15, 22)]
        sales = [f"S{store},{day},{store + at},{store}" for store in range(40) for at, day in enumerate(days)]
        rain = [f"S{store},{day},{store}" for store in range(40) for day in days]
        project.drop(f"../sales/{month}.csv", table(*sales, header="store,day,sold,price"))
        project.drop(f"../weather/{month}.csv", table(*rain, header="store,day,rain"))
        project.does("fullprocess.py")
    scored = project.query("select first_file, rows from scores where first_file > 0")
    assert [rows for _, rows in scored] == [160]
    project.drop(
        "../weather/late.csv", table("S1,2025-02-08,99", "S1,2025-01-08,99", header="store,day,rain")
    )
    project.does("fullprocess.py")
    assert project.query("select first_file, rows from scores where first_file > 0") == scored, (
        "no new outcome"
    )


# -------------------------------------------------------------------------------- the switch of the readable table
def test_a_large_table_is_written_only_when_it_is_asked_for(tmp_path):
    project = with_cleaning(tmp_path / "a project", "{table_rows: 3}")
    project.drop("a.csv", table(*ROWS_20[:3]))
    project.call("ingestion.py")
    assert len(project.rows()) == 3
    project.drop("b.csv", table(*ROWS_20[3:5]))
    project.call("ingestion.py")
    assert not project.ingested("finaldata.csv").exists(), "an old table would pass for the whole"
    assert project.call("ingestion.py", "--table").code == 0
    assert project.rows() == sorted(ROWS_20[:5])
    project.call("ingestion.py")
    assert project.rows() == sorted(ROWS_20[:5]), "it's still true, so it stays"


def test_other_ways_to_write_files_need_no_rebuild_and_files_set_aside_are_tried_again(tmp_path):
    project = with_cleaning(tmp_path / "a project", "{max_rejected: 0.1}")
    project.drop("a.csv", table(*ROWS_20[:3]))
    project.drop("b.csv", table("Zoë,2025-01-01,0,10,1,north").encode("cp1252"))
    project.drop("c.csv", table(*ROWS_20[3:6], "Bad,2025-01-01,0,-1,1,x"))
    assert project.does("ingestion.py")["rejected_files"] == 2
    project.configure("source: drop", "source: {path: drop, encoding: cp1252}")
    project.configure("max_rejected: 0.1", "max_rejected: 0.3")
    facts = project.does("ingestion.py")
    assert (facts["rejected_files"], facts["rows"], facts["rejected_rows"]) == (0, 4, 1)


# ----------------------------------------------------------------------------------------------------- laws
WEEKS = [f"2025-0{1 + at // 20}-{1 + at % 20:02}" for at in range(40)]
KEYED_ROWS = [
    f"client {at % 9},{WEEKS[at]},{at % 2},{at * 7 % 100},{at % 5},{'north' if at % 3 else ''}"
    for at in range(40)
]
REPAIRED_ROWS = [
    f"client {at},2025-01-0{1 + at % 9},{at % 2},{'' if at % 6 == 0 else at * at % 700},{at % 5},"
    f"{'' if at % 7 == 0 else 'north' if at % 3 else 'south'}"
    for at in range(40)
]
SOLD = [f"{'AB'[at % 2]},2025-01-{1 + at % 28:02},{at},{'' if at % 5 == 0 else at % 3}" for at in range(30)]
RAINED = [f"{'ABC'[at % 3]},2025-01-{1 + at * 3 % 28:02},{at}" for at in range(9)]


def split(draw: st.DataObject, rows: list[str]) -> Iterator[list[str]]:
    """Give the rows in pieces, in any order, some of them more than once, all at least once."""
    pieces = draw.draw(st.lists(st.lists(st.sampled_from(rows), max_size=20), max_size=3))
    order = draw.draw(st.permutations(rows))
    cut = draw.draw(st.integers(0, len(rows)))
    yield from draw.draw(st.permutations([*pieces, order[:cut], order[cut:]]))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> dict[str, Project]:
    """Give projects with records in which nothing is, not to be changed: to make them takes a while."""
    folder = tmp_path_factory.mktemp("prepared")
    made = {
        "keyed": with_cleaning(folder / "keyed", "{key: [client]}"),
        "repaired": with_cleaning(
            folder / "repaired",
            "{impute: {activity: {how: median, by: branch}, branch: mode}, "
            "outliers: {activity: {how: iqr, then: drop}}}",
        ),
        "joined": joining(folder / "joined"),
    }
    for project in made.values():
        assert project.call("ingestion.py").code == 0
    return made


def ingested_in_pieces(project: Project, draw: st.DataObject, pieces: list[tuple[str, str]]) -> None:
    """Drop the files (name, content) one after the other; ingest now and then, and at the end, twice."""
    with project.book() as book:
        for name, content in pieces:
            project.drop(name, content)
            if draw.draw(st.booleans()):
                ingestion.ingest(project.config, book)
        ingestion.ingest(project.config, book)
        files = len(book.files("ingested"))
        ingestion.ingest(project.config, book)
        assert len(book.files("ingested")) == files


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_split_order_and_repetition_gives_the_same_newest_rows(prepared, draw):
    newest: dict[str, tuple[str, str]] = {}
    for row in KEYED_ROWS:
        client, week = row.split(",")[:2]
        newest[client] = max((week, row), newest.get(client, ("", "")))
    with tempfile.TemporaryDirectory() as folder:
        project = prepared["keyed"].copied(Path(folder) / "a project")
        pieces = [(f"{at}.csv", table(*piece)) for at, piece in enumerate(split(draw, KEYED_ROWS))]
        ingested_in_pieces(project, draw, pieces)
        assert project.rows() == sorted(row for _, row in newest.values())


CELLS = st.tuples(st.sampled_from("AB"), st.sampled_from([1, 2]), st.sampled_from(["", "0", "1"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(CELLS, min_size=1, max_size=4), st.booleans()), max_size=6))
def test_of_whatever_comes_in_whatever_order_the_last_of_the_newest_rows_holds(prepared, deliveries):
    """A file has other rows each time, or just those of an earlier one."""
    holds: dict[str, tuple[int, bool, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        project = prepared["keyed"].copied(Path(folder) / "a project")
        with project.book() as book:
            for number, (cells, at_once) in enumerate(deliveries):
                rows = [f"{client},2025-01-0{day},{label},1,1,x" for client, day, label in cells]
                project.drop(f"{number}.csv", table(*rows))
                for (client, day, label), row in zip(cells, rows, strict=True):
                    rank = (day, label != "")
                    if client not in holds or rank >= holds[client][:2]:
                        holds[client] = (*rank, row)
                if at_once:
                    ingestion.ingest(project.config, book)
            ingestion.ingest(project.config, book)
            if deliveries:
                assert project.rows() == sorted(row for *_, row in holds.values())
                ingestion.ingest_again(project.config, book)
                assert project.rows() == sorted(row for *_, row in holds.values())


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_split_order_and_repetition_gives_the_same_uncleaned_rows(prepared, draw):
    with tempfile.TemporaryDirectory() as folder:
        project = prepared["repaired"].copied(Path(folder) / "a project")
        pieces = [(f"{at}.csv", table(*piece)) for at, piece in enumerate(split(draw, REPAIRED_ROWS))]
        ingested_in_pieces(project, draw, pieces)
        with project.book() as book:
            parts = [dataset.read_part(project.config.ingested, part) for _, part in book.parts()]
        uncleaned = [repairs.uncleaned(part) for part in parts]
        lines = []
        for part in uncleaned:
            cells = part.select(HEADER.split(",")).combine_chunks().to_batches()
            lines += b"".join(bytes(dataset.csv_lines(batch)) for batch in cells).decode().splitlines()
        assert sorted(lines) == sorted(REPAIRED_ROWS)
        sample = pq.read_table(project.config.ingested / intake.SAMPLE)
        assert sorted(sample[ROW].to_pylist()) == sorted(
            row for part in parts for row in part[ROW].to_pylist()
        )


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_split_order_and_repetition_gives_the_same_joined_rows(prepared, draw):
    with tempfile.TemporaryDirectory() as folder:
        whole = prepared["joined"].copied(Path(folder) / "whole")
        whole.configure("  impute: {price: median}\n", "")
        whole.drop("../sales/all.csv", table(*SOLD, header="store,day,sold,price"))
        whole.drop("../weather/all.csv", table(*RAINED, header="store,day,rain"))
        whole.call("ingestion.py")
        project = prepared["joined"].copied(Path(folder) / "a project")
        project.configure("  impute: {price: median}\n", "")
        pieces = [
            (f"../sales/{at}.csv", table(*piece, header="store,day,sold,price"))
            for at, piece in enumerate(split(draw, SOLD))
        ]
        pieces += [
            (f"../weather/{at}.csv", table(*piece, header="store,day,rain"))
            for at, piece in enumerate(split(draw, RAINED))
        ]
        ingested_in_pieces(project, draw, draw.draw(st.permutations(pieces)))
        assert project.rows() == whole.rows()


# --------------------------------------------------------------------------------------------------- killed
WHY_NOT = projects.why_no_strace()
needs_strace = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


def everything(project: Project) -> dict[str, object]:
    """Give every byte below the folder of what was ingested, but for the lock and what has times in it."""
    found: dict[str, object] = {}
    for path in sorted(project.ingested("").rglob("*")):
        name = str(path.relative_to(project.ingested("")))
        if path.is_file() and path.name not in (".lock", "seen.txt", "records.journal", "records.seal"):
            found[name] = path.read_bytes()
    listed = project.ingested("ingestedfiles.txt").read_text()
    found["ingestedfiles.txt"] = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME", listed)
    columns = "id, location, name, sha256, status, contract, rows, labelled, duplicates, imputed, outliers"
    columns += ", rejected_rows, output, facts"
    found["files"] = project.query(f"select {columns} from files order by id")
    return found


def about_to_ingest(folder: Path, kind: str) -> Project:
    """Give a project with one file ingested and more to come that touch everything there is to write."""
    if kind == "joined":
        project = joining(folder)
        project.drop("../sales/a.csv", table(*SOLD[:15], header="store,day,sold,price"))
        project.call("ingestion.py")
        project.drop("../sales/b.csv", table(*SOLD[10:], "A,soon,1,1", header="store,day,sold,price"))
        project.drop("../weather/a.csv", table(*RAINED, header="store,day,rain"))
        return project
    rules = "{key: [client], impute: {activity: median}, outliers: {complaints: {how: zscore, then: drop}}}"
    project = with_cleaning(folder, rules)
    project.drop("a.csv", table(*REPAIRED_ROWS[:20]))
    project.call("ingestion.py")
    project.drop(
        "b.csv", table(*REPAIRED_ROWS[10:], "Bad,soon,1,1,1,x", "Far,2025-01-01,1,1,40,x", KEYED_ROWS[0])
    )
    project.drop("c.csv", "no table")
    return project


@needs_strace
@pytest.mark.parametrize("kind", ["keyed and repaired", "joined"])
def test_killed_anywhere_the_next_run_ends_with_the_same_bytes(tmp_path, kind):
    start = about_to_ingest(tmp_path / "start", kind)
    undisturbed = start.copied(tmp_path / "undisturbed")
    chosen = projects.sampled(projects.points(undisturbed, "ingestion.py"), 14)
    expected, differs = everything(undisturbed), {}
    for point, project in zip(
        chosen, projects.killed_at(start, tmp_path, chosen, "ingestion.py"), strict=True
    ):
        again = project.call("ingestion.py")
        found = everything(project)
        if again.code or found != expected or project.leftovers():
            differs[str(point)] = [
                name for name in {**found, **expected} if found.get(name) != expected.get(name)
            ]
    assert differs == {}


# ---------------------------------------------------------------------------------------- what models learn from
def test_no_model_learns_from_a_test_row_whose_cells_were_filled_in(tmp_path):
    project = with_cleaning(tmp_path / "a project", "{impute: {activity: median}}")
    rows = projects.clients(200, seed=1)
    rows.loc[::3, "activity"] = None
    project.drop("a.csv", rows)
    project.call("fullprocess.py")
    with project.book() as book:
        may_learn = training.learnable(project.config, book, None).may_learn
    test = pd.read_csv(project.folder / "testdata" / "holdout.csv")
    assert len(test) > 30
    assert (~may_learn).sum() == len(test)


def test_no_model_learns_from_a_test_row_that_was_corrected_since(tmp_path):
    project = with_cleaning(tmp_path / "a project", "{key: [client]}")
    rows = projects.clients(200, seed=1)
    project.drop("a.csv", rows)
    project.call("fullprocess.py")
    test = set(pd.read_csv(project.folder / "testdata" / "holdout.csv")["client"])
    project.drop("b.csv", rows.assign(seen="2025-04-01", activity=1))
    project.call("ingestion.py")
    with project.book() as book:
        found = training.learnable(project.config, book, None)
    assert len(test) > 30
    assert not set(found.rows["client"][found.may_learn]) & test
    assert found.may_learn.sum() == 200 - len(test)
