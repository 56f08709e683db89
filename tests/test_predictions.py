"""Predictions made at the time: kept while the label is out, and what the score is of when it comes."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pipeline import dataset, predictions
from pipeline.dataset import FILE
from tests.project import Project, clients


@pytest.fixture
def keyed(tmp_path) -> Project:
    """Give a project with one row a client, a model deployed."""
    project = Project.made(tmp_path / "keyed")
    project.configure("scoring: {", "cleaning: {key: [client, seen]}\nscoring: {")
    project.configure("policy: adaptive", "policy: never")
    project.test_table(clients(400, seed=100))
    project.drop("a.csv", clients(300, seed=1))
    assert project.does("fullprocess.py")["outcome"] == "first"
    return project


def ran(project: Project, name: str, rows: pd.DataFrame) -> dict:
    """Drop rows and give the facts of the run that takes them in."""
    project.drop(name, rows)
    return project.does("fullprocess.py")


def kept(project: Project) -> list[str]:
    """Give the files of predictions there are."""
    return sorted(path.name for path in project.ingested("predictions").glob("*"))


def test_a_row_is_scored_with_the_prediction_made_before_its_label_came(keyed):
    rows = clients(150, seed=3, day=15)
    ran(keyed, "b.csv", rows.assign(exited=""))
    assert kept(keyed) == ["2.parquet"]
    told = keyed.predictions(rows)
    told_late = rows.assign(activity=np.where(rows["exited"] == 1, 0, 99))  # who left does nothing any more
    (score,) = ran(keyed, "c.csv", told_late)["scores"]
    assert score["value"] == pytest.approx(roc_auc_score(rows["exited"], told))
    assert score["value"] < 0.95 < roc_auc_score(rows["exited"], keyed.predictions(told_late))
    assert kept(keyed) == [], "all are labelled and scored"


def test_files_without_labels_and_labels_that_come_later_are_told_as_what_they_are(keyed):
    rows = clients(150, seed=3, day=15)
    ran(keyed, "b.csv", rows.assign(exited=""))
    status = " ".join(keyed.call("fullprocess.py", "--status").out.split())
    assert (
        "b.csv: none of 150 rows has an outcome yet; if the model's probabilities are right: ROC AUC 0."
        in status
    )
    assert "Waiting 150 rows without outcome so far" in status
    keyed.drop("c.csv", rows[:20])
    assert (
        "ingested 1 file: 0 new rows, 20 labels for known rows, 0 duplicates; "
        in keyed.call("fullprocess.py").out
    )
    status = " ".join(keyed.call("fullprocess.py", "--status").out.split())
    assert "Waiting 20 labelled rows so far, 40 are needed; 130 rows without outcome so far" in status
    keyed.drop("d.csv", rows)
    keyed.call("fullprocess.py")
    status = " ".join(keyed.call("fullprocess.py", "--status").out.split())
    assert "took in d.csv: 0 new rows, 130 labels for known rows, 20 duplicates" in status
    assert "Waiting nothing: every file is taken in and judged" in status
    assert (
        "took in d.csv: 0 new rows, 130 labels for known rows"
        in keyed.call("fullprocess.py", "--history").out
    )
    page = (keyed.folder / "reports" / "report.html").read_text()
    assert "450 rows from 4 files, 450 of them labelled, 150 by a later file; 20 duplicates left out." in page
    assert "0 new rows, 130 labels for known rows, 20 duplicates" in page


@pytest.mark.parametrize("harm", [lambda whole: b"", lambda whole: whole[:-20], lambda whole: b"no Parquet"])
def test_damaged_predictions_are_told_and_the_row_is_scored_with_what_the_model_says_now(keyed, harm):
    rows = clients(150, seed=3, day=15)
    ran(keyed, "b.csv", rows.assign(exited=""))
    (path,) = keyed.ingested("predictions").glob("*")
    path.write_bytes(harm(path.read_bytes()))
    told_late = rows.assign(activity=np.where(rows["exited"] == 1, 0, 99))
    keyed.drop("c.csv", told_late)
    done = keyed.call("fullprocess.py", "--json")
    (score,) = done.facts["scores"]
    assert score["value"] == pytest.approx(roc_auc_score(rows["exited"], keyed.predictions(told_late)))
    assert f"{path.name}: damaged" in done.err


def test_predictions_wait_as_long_as_labels_do_and_for_the_score(keyed):
    rows = clients(60, seed=3, day=15)
    ran(keyed, "b.csv", rows.assign(exited=""))
    assert ran(keyed, "c.csv", rows[:30])["scores"] == []
    assert kept(keyed) == ["2.parquet"]
    (score,) = ran(keyed, "d.csv", rows[30:])["scores"]
    assert score["rows"] == 60
    assert kept(keyed) == []


def test_what_another_release_said_is_no_measure_of_this_one(keyed):
    rows = clients(150, seed=3, day=15)
    ran(keyed, "b.csv", rows.assign(exited=""))
    config = keyed.config
    with keyed.book() as book:
        loaded = dataset.load(config.ingested, book.parts()).assign(**{FILE: 9})
        assert np.isnan(predictions.recall(config, loaded, "another")).all()
        found = predictions.recall(config, loaded, keyed.live())
        assert (~np.isnan(found)).sum() == 150
        assert np.isnan(predictions.recall(config, loaded.assign(**{FILE: 2}), keyed.live())).all(), (
            "not before"
        )


def test_the_newest_prediction_before_the_label_counts(keyed):
    config = keyed.config
    rows = dataset.to_frame(dataset.read_table(config, keyed.folder / "drop" / "a.csv")).assign(exited=None)
    for number in (5, 6, 9):
        predictions.remember(config, number, rows, np.full(len(rows), number / 10), "r")
    assert set(predictions.recall(config, rows.assign(**{FILE: 9}), "r")) == {0.6}
    assert set(predictions.recall(config, rows.assign(**{FILE: 10}))) == {0.9}


def test_a_bounded_number_of_files_is_kept(keyed, monkeypatch):
    monkeypatch.setattr(predictions, "MOST", 2)
    config = keyed.config
    rows = dataset.to_frame(dataset.read_table(config, keyed.folder / "drop" / "a.csv")).assign(exited=None)
    for number in (8, 9, 10):
        predictions.remember(config, number, rows, np.zeros(len(rows)), "r")
    assert kept(keyed) == ["10.parquet", "9.parquet"]


def test_without_a_key_or_without_waiting_rows_nothing_is_kept(deployed, keyed):
    rows = clients(100, seed=3, day=15)
    ran(deployed, "week3.csv", rows.assign(exited=""))
    assert kept(deployed) == []
    ran(keyed, "b.csv", rows)
    assert kept(keyed) == []
