"""Whom to call first: clients by risk, each with what raises it."""

import csv

import numpy as np
import pandas as pd
import pytest

from pipeline import calllist, models
from pipeline.config import Columns
from pipeline.models import MODELS
from tests.tables import COLUMNS, clients

TYPICAL = {"spent": 100.0, "since": 15_000.0, "plan": "basic"}


def manifest(columns: Columns = COLUMNS) -> dict:
    """Give what a release says about its model."""
    return {
        "features": {name: kind.model_dump() for name, kind in columns.features.items()},
        "typical": TYPICAL,
    }


def fitted(task: str = "classification", name: str | None = None):
    """Give a model of the clients."""
    name = name or models.names(task)[0]
    options = {"n_estimators": 20} if name == "random_forest" else {}
    model = models.build(name, options, COLUMNS.features, task, 0, "brier")
    rows = clients(task=task)
    return models.fit(
        model, models.inputs_of(rows, COLUMNS.features), models.truth_of(rows, COLUMNS.target, task)
    )


@pytest.fixture(scope="module")
def ranked() -> pd.DataFrame:
    """The clients, ranked by a logistic regression."""
    return calllist.ranked(clients(), fitted(), manifest(), COLUMNS, "classification")


def test_clients_are_ranked_by_risk_with_the_date_of_their_row(ranked):
    assert list(ranked.columns) == ["rank", "client", "probability", "as_of", "reasons"]
    assert ranked["rank"].tolist() == list(range(1, 201))
    assert ranked["probability"].is_monotonic_decreasing
    rows = clients()
    expected = models.predict(fitted(), models.inputs_of(rows, COLUMNS.features), "classification")
    assert dict(zip(ranked["client"], ranked["probability"], strict=True)) == pytest.approx(
        dict(zip(rows["client"], expected, strict=True)), abs=5e-5
    )
    assert ranked.set_index("client")["as_of"]["C00199"] == "2025-12-01"


def test_a_reason_is_what_the_prediction_owes_to_one_cell():
    model, rows = fitted(), clients()[:1].assign(spent=5.0, since=pd.Timestamp("2011-01-26"), plan="basic")
    usual = rows.assign(spent=TYPICAL["spent"])
    told, before = (
        models.predict(model, models.inputs_of(one, COLUMNS.features), "classification")[0]
        for one in (rows, usual)
    )
    (reason,) = calllist.ranked(rows, model, manifest(), COLUMNS, "classification")["reasons"]
    assert reason == f"spent 5 (usual 100): +{told - before:.3g}"


def test_a_client_like_all_others_has_no_reason():
    rows = clients()[:1].assign(spent=100.0, since=pd.Timestamp("2011-01-26"), plan="basic")
    assert (
        calllist.ranked(rows, fitted(), manifest(), COLUMNS, "classification")["reasons"][0]
        == "nothing stands out"
    )


def test_reasons_come_strongest_first_and_name_missing_cells(ranked):
    told = [reason.split("; ") for reason in ranked["reasons"] if reason != "nothing stands out"]
    gains = [[float(cell.rpartition("+")[2]) for cell in cells] for cells in told]
    assert all(one == sorted(one, reverse=True) and one[-1] > calllist.SMALLEST for one in gains)
    assert max(map(len, told)) <= calllist.MOST_REASONS
    missing = clients()[:1].assign(spent=np.nan, plan=None)
    for typical in (TYPICAL, {"spent": None, "since": None, "plan": models.MISSING}):
        raised = {**manifest(), "typical": typical}
        calllist.ranked(missing, fitted(), raised, COLUMNS, "classification")


def test_equal_predictions_stay_in_the_order_of_the_rows():
    spent = np.array([20.0, 60.0, 100.0] * 66 + [20.0, 60.0])
    rows = clients().assign(spent=spent, since=pd.Timestamp("2011-01-26"), plan="gold")
    ranked = calllist.ranked(rows, fitted(), manifest(), COLUMNS, "classification")
    assert ranked["probability"].nunique() == 3
    assert ranked["client"].tolist() == [client for start in range(3) for client in rows["client"][start::3]]


@pytest.mark.parametrize(
    ("name", "task"), [(name, task) for name, kind in MODELS.items() for task in kind.tasks]
)
def test_every_model_can_rank_and_explain(name, task):
    table = calllist.ranked(clients(task=task), fitted(task, name), manifest(), COLUMNS, task)
    called = "probability" if task == "classification" else "prediction"
    assert table[called].is_monotonic_decreasing
    assert table["reasons"].str.contains("spent").any()


def test_nobody_to_rank_is_an_empty_list():
    table = calllist.ranked(clients()[:0], fitted(), manifest(), COLUMNS, "classification")
    assert (len(table), "reasons" in table) == (0, True)


def test_without_a_time_column_the_list_has_no_date():
    columns = COLUMNS.model_copy(update={"time": None})
    table = calllist.ranked(clients(), fitted(), manifest(), columns, "classification")
    assert "as_of" not in table


@pytest.mark.parametrize("name", ["rank", "probability", "as_of", "reasons"])
def test_an_id_that_is_called_like_a_column_of_the_list_is_not_lost(name):
    columns = COLUMNS.model_copy(update={"id": name})
    rows = clients().rename(columns={"client": name})
    table = calllist.ranked(rows, fitted(), manifest(), columns, "classification")
    assert any(set(rows[name]) == set(table[column].astype(str)) for column in table)


# ------------------------------------------------------------------------------------------------ who is a client now
def history(*rows: tuple[str, str, str | None]) -> pd.DataFrame:
    """Give rows of client, day and label."""
    frame = pd.DataFrame(rows, columns=["client", "day", "left"])
    return frame.assign(day=pd.to_datetime(frame["day"]))


def current(
    rows: pd.DataFrame, columns: Columns = COLUMNS, task: str = "classification"
) -> list[tuple[str, str]]:
    """Give client and day of the rows that count now."""
    found = calllist.current_clients(rows, columns, task)
    return sorted(zip(found["client"], found["day"].dt.strftime("%m-%d"), strict=True))


def test_the_newest_row_of_a_client_counts_by_time_and_not_by_order():
    rows = history(("A", "2025-02-01", "no"), ("B", "2025-01-01", "no"), ("A", "2025-01-01", "no"))
    assert current(rows) == [("A", "02-01"), ("B", "01-01")]
    without = COLUMNS.model_copy(update={"time": None})
    assert current(rows, without) == [("A", "01-01"), ("B", "01-01")]


def test_who_already_left_is_no_client_any_more_and_who_is_unlabelled_still_is():
    rows = history(("A", "2025-01-01", "no"), ("A", "2025-02-01", "yes"), ("B", "2025-01-01", None))
    assert current(rows) == [("B", "01-01")]
    assert current(history(("A", "2025-01-01", None))) == [("A", "01-01")]


def test_in_a_regression_every_client_stays():
    rows = history(("A", "2025-01-01", "1"), ("B", "2025-01-01", "2")).assign(left=[1.0, 2.0])
    assert len(current(rows, task="regression")) == 2


def test_the_list_is_written_as_csv(ranked, tmp_path):
    calllist.write(tmp_path / "reports" / "calllist.csv", ranked)
    with (tmp_path / "reports" / "calllist.csv").open(encoding="utf-8", newline="") as file:
        header, first, *rest = csv.reader(file)
    assert header == list(ranked.columns)
    assert first == [str(value) for value in ranked.iloc[0]]
    assert len(rest) == 199
