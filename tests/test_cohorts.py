"""Late labels: only cohorts whose label window is over are judged, and it's told how long labels take."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import cohorts, dataset, words
from tests.project import Project, clients

WINDOW = "scoring: {label_window: 10, "


def late(folder: Path, window: bool = True) -> Project:
    """Give a project with a key and late labels, a model deployed from rows of early February."""
    project = Project.made(folder / "a project")
    project.configure(
        "scoring: {", f"cleaning: {{key: [client, seen]}}\n{WINDOW if window else 'scoring: {'}"
    )
    project.test_table(clients(400, seed=100))
    rows = clients(300, seed=1).assign(seen="2025-02-01")
    project.drop("a first.csv", pd.concat([rows, clients(5, seed=9).assign(seen="2025-02-15", exited="")]))
    assert project.does("fullprocess.py")["outcome"] == "first"
    return project


def ran(project: Project, name: str, *tables: pd.DataFrame) -> dict:
    """Drop rows in one file and give the facts of the run that takes it in."""
    project.drop(name, pd.concat(tables))
    return project.does("fullprocess.py")


def test_a_cohort_is_judged_when_its_window_is_over_and_then_once_and_whole(tmp_path):
    project = late(tmp_path)
    rows = clients(150, seed=3, day=3)
    leavers, stayers = rows[rows["exited"] == 1], rows[rows["exited"] == 0]
    assert ran(project, "b.csv", rows.assign(exited=""))["scores"] == []
    facts = ran(project, "c.csv", leavers, clients(60, seed=4, day=8).assign(exited=""))
    assert (facts["scores"], facts["fits"]) == ([], 0), "half a cohort: those who left are known first"
    assert "of cohorts too young" in project.call("fullprocess.py", "--status").out
    assert ran(project, "d.csv", stayers)["scores"] == []
    facts = ran(project, "e.csv", clients(60, seed=5, day=14).assign(exited=""))
    (score,) = facts["scores"]
    assert (score["rows"], score["batch"]) == (150, "5"), "with the file whose time ended the window"
    assert ran(project, "f.csv", clients(60, seed=6, day=20).assign(exited=""))["scores"] == []


def test_without_a_window_rows_are_judged_as_their_labels_come(tmp_path):
    project = late(tmp_path, window=False)
    rows = clients(300, seed=3, day=3)
    facts = ran(project, "b.csv", rows)
    assert [score["rows"] for score in facts["scores"]] == [300]


def test_a_young_cohort_is_not_learnt_from_and_is_no_growth(tmp_path):
    project = late(tmp_path)
    ran(project, "b.csv", clients(400, seed=3, day=3))
    with project.book() as book:
        assert cohorts.labelled_rows(project.config, book) == 300
        assert book.labelled_rows() == 700
    assert all(one["rows"] == 300 for one in project.does("training.py")["candidates"])


def test_a_first_run_with_young_cohorts_only_waits(project):
    project.configure("scoring: {", WINDOW)
    assert ran(project, "0.csv", clients(150, seed=3).assign(exited=""))["reasons"] == [
        "no labelled rows yet"
    ]
    facts = ran(project, "a.csv", clients(300, seed=1))
    why = "300 labelled rows so far, none whose scoring.label_window is over"
    assert (facts["champion"], facts["reasons"]) == (None, [why])
    project.drop("b.csv", clients(10, seed=2, day=20))
    assert project.does("fullprocess.py")["outcome"] == "first"


def test_a_row_counts_with_the_file_that_ended_its_window_or_brought_its_label_later(project):
    project.configure("scoring: {", WINDOW)
    for number, day in enumerate((1, 15, 2, 26), 1):  # the third goes backwards
        project.drop(f"{number}.csv", clients(5, seed=number, day=day))
    project.does("ingestion.py")
    with project.book() as book:
        rows = cohorts.countable(project.config, book, dataset.load(project.config.ingested, book.parts()))
    found = {
        int(name.split()[1].split("-")[0]): number
        for name, number in zip(rows["client"], rows[dataset.FILE], strict=True)
    }
    assert found == {1: 2, 3: 3, 2: 4}, "the newest file's own rows wait"
    assert rows[dataset.FILE].is_monotonic_increasing


def test_a_window_that_is_switched_on_while_most_rows_are_too_young_is_no_failure(deployed):
    deployed.configure("scoring: {", WINDOW)
    assert ran(deployed, "week3.csv", clients(150, seed=3, day=15))["outcome"] in ("kept", "deployed")


def test_one_mistyped_date_ends_no_window(project):
    project.configure("scoring: {", WINDOW)
    for number, day in enumerate((1, 5, 26), 1):
        rows = clients(20, seed=number, day=day)
        rows.loc[3, "seen"] = "2099-03-05" if number == 2 else rows["seen"][3]
        project.drop(f"{number}.csv", rows)
    project.does("ingestion.py")
    with project.book() as book:
        rows = cohorts.countable(project.config, book, dataset.load(project.config.ingested, book.parts()))
        assert cohorts.labelled_rows(project.config, book, upto=2) == 0
    assert (len(rows), set(rows[dataset.FILE])) == (39, {3}), "the row of 2099 waits, and no other does"


YEARS = [365.0 * year for year in range(10)]


@pytest.mark.parametrize(
    ("times", "newest"),
    [
        ([], -np.inf),
        ([5], 5),
        ([5, 20], 20),
        ([5, 30_000], 5),
        ([5, 6, 7, 30_000], 7),
        ([-40_000, *range(10), 30_000], 9),
        ([*range(40), 30_000, 31_000], 39),
        ([*range(8), 30_000, 31_000], 31_000),
        ([*range(20), 380], 380),
        (YEARS, YEARS[-1]),
        ([*YEARS, 5400], 5400),
        ([*YEARS, 30_000], YEARS[-1]),
    ],
)
def test_the_newest_time_of_a_file_is_none_that_lies_far_beyond_nearly_all_others(times, newest):
    assert cohorts.newest_of(np.array(times, float)) == newest
    assert cohorts.newest_of(np.array(times[::-1], float)) == newest


def test_label_delays_are_told_by_the_time_of_the_data(tmp_path):
    project = late(tmp_path, window=False)
    rows = clients(400, seed=3, day=3)
    ran(project, "b.csv", rows.assign(exited=""))
    ran(project, "c.csv", clients(20, seed=4, day=13).assign(exited=""))
    ran(project, "d.csv", rows)
    with project.book() as book:
        facts = cohorts.label_delays(project.config, book)
    assert facts is not None
    assert (facts["rows"], facts["unlabelled"], facts["too_young"]) == (725, 25, 0)
    assert facts["labelled_by_age"] == {1: 0.0, 7: 0.0, 30: 1.0}
    assert facts["median_days"] == 10
    said = project.call("fullprocess.py", "--status").out
    assert "Labels    half come within 10 days" in said
    assert "half come within 10 days" in (project.folder / "reports" / "report.html").read_text()


def test_where_each_row_comes_with_its_label_no_delay_is_told(tmp_path):
    project = late(tmp_path, window=False)
    ran(project, "b.csv", clients(100, seed=3, day=3))
    with project.book() as book:
        facts = cohorts.label_delays(project.config, book)
    assert facts is not None
    assert words.label_delays({**facts, "unlabelled": 0}) == "each row came with its outcome"
    assert words.label_delays({**facts, "unlabelled": 0, "late": 1}).startswith("half come within")


def test_a_window_that_is_switched_on_has_no_row_count_as_new_that_the_model_learnt_from(deployed):
    deployed.configure("scoring: {", WINDOW)
    deployed.drop("week3.csv", clients(150, seed=3, day=15))
    facts = deployed.does("fullprocess.py")
    assert (facts["outcome"], facts["scores"]) == ("deployed", [])
    assert "another label window" in facts["reasons"][0]
    with deployed.book() as book:
        assert cohorts.labelled_rows(deployed.config, book) == 150, "of the first week"
    deployed.drop("week4.csv", clients(150, seed=4, day=25))
    (score,) = deployed.does("fullprocess.py")["scores"]
    assert score["rows"] == 300, "of the second and third week, new to the model with the window"


def test_until_rows_are_ripe_for_a_window_that_is_switched_on_the_live_model_goes_on(deployed):
    before = deployed.live()
    deployed.configure("scoring: {", WINDOW.replace("10", "30"))
    deployed.drop("week3.csv", clients(80, seed=3, day=15).assign(exited=""))
    facts = deployed.does("fullprocess.py")
    assert (facts["outcome"], facts["scores"], facts["fits"]) == ("kept", [], 0)
    assert "none whose scoring.label_window is over" in facts["reasons"][0]
    assert [one["kind"] for one in facts["inputs"]] == ["none"], "new files are compared all the same"
    assert "client 3-0," in (deployed.folder / "reports" / "calllist.csv").read_text(), "and ranked"
    assert deployed.live() == before
    deployed.drop("week9.csv", clients(80, seed=9, day=30).assign(seen="2025-04-30"))
    assert deployed.does("fullprocess.py")["outcome"] == "deployed"


def test_a_window_without_a_time_is_refused(project):
    project.configure("scoring: {", WINDOW)
    project.configure("  time: seen\n", "")
    refused = project.call("fullprocess.py")
    assert refused.code == 78
    assert "scoring.label_window: the age of rows needs columns.time" in refused.complaint


def test_times_are_days_since_1970():
    assert cohorts.days(np.array(["1970-01-02T12:00"], "datetime64[us]")).tolist() == [1.5]
