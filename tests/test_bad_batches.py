"""Bad batches: each has the effect that docs/bad_input.md tells, through real runs, and none passes for "no drift"."""

import os
import re
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from pipeline import records
from tests.project import PRICES, ROOT, Project, clients, houses

PAGE = (ROOT / "docs" / "bad_input.md").read_text(encoding="utf-8")


def batch(rows: int = 150, **changed: Any) -> pd.DataFrame:
    """Give new clients, with other columns."""
    return clients(rows, seed=3, day=15).assign(**changed)


def ran(project: Project, rows: pd.DataFrame, name: str = "week3.csv") -> dict[str, Any]:
    """Drop a file and give the facts of the run that takes it in."""
    project.drop(name, rows)
    return project.does("fullprocess.py")


def left_out(project: Project, rows: pd.DataFrame, rule: str, column: str) -> None:
    """Check that a batch is bad by this rule, and is kept but neither scored nor learnt from."""
    before = len(project.rows())
    facts = ran(project, rows)
    bad = {(one["test"], one["feature"]) for one in facts["drift"] if one["drifted"]}
    assert (rule, column) in bad
    assert [one["kind"] for one in facts["inputs"]] == ["bad data"]
    assert column in facts["inputs"][0]["sentence"]
    assert (facts["outcome"], facts["scores"], facts["fits"]) == ("kept", [], 0)
    assert len(project.rows()) == before + len(rows)
    status = project.call("fullprocess.py", "--status").out
    assert "Waiting   nothing" in status
    assert "Left out  as bad data, 1 file: week3.csv (3)" in status
    project.drop("week4.csv", clients(150, seed=4, day=22))
    told = project.call("fullprocess.py", "--force")
    assert told.code == 0, told.err
    trained = project.query("select challengers from (select json_extract(facts, '$.rows') as challengers, kind, "
                            "id from decisions) where kind = 'deploy' order by id desc limit 1")  # fmt: skip
    assert trained[0][0] < 100, "proof rows of the good file only"


def keyed(folder: Path) -> Project:
    """Give a project with one row a client, a model deployed."""
    project = Project.made(folder / "a project")
    project.configure("scoring: {", "cleaning: {key: [client]}\nscoring: {")
    project.test_table(clients(400, seed=100))
    project.drop("week1.csv", clients(300, seed=1))
    assert project.does("fullprocess.py")["outcome"] == "first"
    return project


# ---------------------------------------------------------------------------------------------- outcomes
def test_rows_with_a_label_that_the_live_model_does_not_know_are_set_aside(deployed):
    rows = batch()
    rows["exited"] = rows["exited"].astype(str)
    rows.loc[:4, "exited"] = "unknown"
    facts = ran(deployed, rows)
    assert (facts["ingested"]["rows"], facts["ingested"]["rejected_rows"]) == (145, 5)
    assert [(one["column"], one["value"]) for one in deployed.reasons()] == [("exited", "unknown")] * 5
    why = "not one of 0, 1, as the live model knows them; for others say in target.positive which one is the risk"
    assert all(one["reason"].startswith(why) for one in deployed.reasons())
    assert len(facts["scores"]) == 1
    told = ran(deployed, batch(exited="left"), "week4.csv")
    assert told["ingested"] == {
        "files": 0,
        "rows": 0,
        "duplicates": 0,
        "rejected_files": 1,
        "rejected_rows": 0,
    }
    assert len(ran(deployed, clients(150, seed=5, day=22), "week5.csv")["scores"]) == 1
    deployed.configure(
        "target: exited", "target: {name: exited, positive: 1, allowed: [0, 1, left, unknown]}"
    )
    assert deployed.call("ingestion.py", "--rebuild").code == 0
    assert len(deployed.rows()) == 300 + 3 * 150


def test_a_batch_of_one_class_is_bad_data(deployed):
    left_out(deployed, batch(exited=0), "one_class", "exited")


def test_few_rows_of_one_class_wait_for_the_other(deployed):
    deployed.configure("min_rows: 40", "min_rows: 10")
    facts = ran(deployed, batch(15, exited=0))
    assert facts["scores"] == []
    assert ("one_class", None) in {(one["test"], one["threshold"]) for one in facts["drift"]}
    facts = ran(deployed, clients(30, seed=4), "week4.csv")
    assert [score["batch"] for score in facts["scores"]] == ["3-4"]


def test_a_batch_without_any_label_is_compared_and_not_scored(deployed):
    facts = ran(deployed, batch(exited=""))
    assert facts["scores"] == []
    assert facts["inputs"][0]["estimate"]["rows"] == 150
    judged = {(one["test"], one["feature"]): one["threshold"] for one in facts["drift"]}
    assert judged["feature_drift", None] is not None
    assert judged["one_class", "exited"] is None


def test_labels_for_unknown_rows_are_new_rows(tmp_path):
    project = keyed(tmp_path)
    facts = ran(project, batch())
    assert facts["ingested"]["rows"] == 150
    assert [score["rows"] for score in facts["scores"]] == [150]


def test_labels_without_features_are_set_aside(tmp_path):
    project = keyed(tmp_path)
    project.drop("labels.csv", batch()[["client", "seen", "exited"]])
    told = project.call("fullprocess.py", "--json")
    assert "missing column(s) activity" in told.err
    assert told.facts["ingested"]["rejected_files"] == 1
    assert told.facts["inputs"] == []


def test_labels_that_contradict_each_other_are_bad_data(deployed):
    rows = batch()
    left_out(
        deployed,
        pd.concat([rows, rows[:40].assign(exited=1 - rows["exited"][:40])]),
        "labels_contradict",
        "exited",
    )


def test_a_label_that_contradicts_an_earlier_one_takes_its_place_and_is_not_scored_again(tmp_path):
    project = keyed(tmp_path)
    rows = batch()
    assert len(ran(project, rows)["scores"]) == 1
    facts = ran(project, rows.assign(exited=1 - rows["exited"]), "week4.csv")
    assert facts["scores"] == []
    assert facts["inputs"][0]["kind"] == "labels changed"
    told = "exited: 150 of 150 labels replace another label of the same row; the later ones hold"
    assert told in facts["inputs"][0]["sentence"]
    assert told in project.call("fullprocess.py", "--status").out
    assert len(project.rows()) == 450
    table = pd.read_csv(project.ingested("finaldata.csv")).set_index("client")["exited"]
    assert (table[rows["client"]].to_numpy() == 1 - rows["exited"].to_numpy()).all()
    ran(project, rows, "week4 corrected.csv")
    table = pd.read_csv(project.ingested("finaldata.csv")).set_index("client")["exited"]
    assert (table[rows["client"]].to_numpy() == rows["exited"].to_numpy()).all()


def test_a_batch_of_contradicted_labels_is_a_concept_shift(deployed):
    rows = batch()
    assert ran(deployed, rows)["inputs"][0]["kind"] == "none"
    facts = ran(deployed, rows.assign(exited=1 - rows["exited"]), "week4.csv")
    assert len(deployed.rows()) == 600
    assert facts["inputs"][0]["kind"] == "concept shift"


# ---------------------------------------------------------------------------------------------- features
def test_a_feature_that_is_all_missing_is_bad_data(deployed):
    left_out(deployed, batch(activity=""), "all_missing", "activity")


def test_a_feature_that_is_missing_much_more_often_is_bad_data(deployed):
    rows = batch()
    some = rows["branch"].where(np.arange(150) % 2 == 0, "")
    left_out(deployed, rows.assign(branch=some), "missing_jumped", "branch")


def test_a_constant_feature_is_bad_data(deployed):
    left_out(deployed, batch(activity=50), "constant", "activity")


def test_a_feature_in_another_unit_is_bad_data(deployed):
    rows = batch()
    left_out(deployed, rows.assign(activity=rows["activity"] * 1000), "out_of_range", "activity")


def test_a_feature_in_a_larger_unit_is_bad_data(deployed):
    rows = batch()
    left_out(deployed, rows.assign(activity=rows["activity"] / 1000), "shrunk", "activity")


@pytest.mark.parametrize(
    ("price", "rule"),
    [(lambda price: price * 1000, "out_of_range"), (lambda price: price / 1000, "shrunk"), (lambda _: 400, "constant")],
)  # fmt: skip
def test_a_number_to_predict_is_judged_as_features_are(tmp_path, price, rule):
    project = Project.made(tmp_path / "prices", PRICES)
    project.test_table(houses(200, seed=100))
    project.drop("week1.csv", houses(150, seed=1))
    project.does("fullprocess.py")
    release, rows = project.live(), houses(150, seed=2)
    facts = ran(project, rows.assign(price=price(rows["price"])), "week2.csv")
    assert [one["kind"] for one in facts["inputs"]] == ["bad data"]
    assert (rule, "price") in {(one["test"], one["feature"]) for one in facts["drift"] if one["drifted"]}
    assert (facts["scores"], facts["fits"], project.live()) == ([], 0, release)
    facts = ran(project, houses(150, seed=3), "week3.csv")
    assert [one["kind"] for one in facts["inputs"]] == ["none"]
    assert [score["batch"] for score in facts["scores"]] == ["3"]
    assert all(one["rows"] <= 300 for one in project.does("training.py")["candidates"])


def test_with_a_key_equal_numbers_to_predict_are_bad_data_unless_they_are_labels_for_known_rows(tmp_path):
    project = Project.made(
        tmp_path / "prices", PRICES.replace("scoring: {", "cleaning: {key: [house]}\nscoring: {")
    )
    project.test_table(houses(200, seed=100))
    project.drop("week1.csv", houses(150, seed=1))
    project.does("fullprocess.py")
    new = ran(project, houses(150, seed=2).assign(price=400), "week2.csv")
    assert ("constant", "price") in {(one["test"], one["feature"]) for one in new["drift"] if one["drifted"]}
    assert (new["scores"], new["inputs"][0]["kind"]) == ([], "bad data")
    waiting = houses(150, seed=3)
    ran(project, waiting.assign(price=""), "week3.csv")
    labels = ran(project, waiting.assign(price=400), "week3 labels.csv")
    assert ([score["rows"] for score in labels["scores"]], labels["inputs"][0]["kind"] == "bad data") == (
        [150],
        False,
    )


def test_infinities_are_set_aside_with_their_rows(deployed):
    rows = batch().astype({"activity": object})
    rows.loc[:4, "activity"] = ["inf", "-inf", "Infinity", "1e999", "-1e999"]
    facts = ran(deployed, rows)
    assert (facts["ingested"]["rejected_rows"], facts["ingested"]["rows"]) == (5, 145)
    assert len(facts["scores"]) == 1
    assert len(deployed.reasons()) == 5
    deployed.drop("week4.csv", batch(activity="inf"))
    told = deployed.call("fullprocess.py", "--json")
    assert told.facts["ingested"]["rejected_files"] == 1
    assert "week4.csv" in told.err


def test_what_stays_bad_is_the_new_normal(deployed):
    deployed.configure("policy: adaptive", "policy: never")
    found = [
        ran(deployed, clients(100, seed=at, day=15).assign(activity=""), f"week{at}.csv")
        for at in range(3, 6)
    ]
    assert [facts["inputs"][0]["kind"] for facts in found] == ["bad data", "bad data", "new normal"]
    assert [len(facts["scores"]) for facts in found] == [0, 0, 3]


def test_bad_data_that_somebody_accepts_are_learnt_from(deployed):
    rows = batch()
    rows = rows.assign(activity=rows["activity"] * 1000)
    assert ran(deployed, rows)["inputs"][0]["kind"] == "bad data"
    assert deployed.call("scoring.py", "--accept", "week3.csv").code == 0
    facts = deployed.does("fullprocess.py")
    assert (facts["inputs"], len(facts["scores"])) == ([], 1)
    assert facts["fits"], "the first score of a new model, on rows it can't rank, is harm"
    alike = clients(150, seed=4, day=22)
    again = ran(deployed, alike.assign(activity=alike["activity"] * 1000), "week4.csv")
    assert len(again["scores"]) == 1


# ---------------------------------------------------------------------------------------------- rows, times
def test_five_rows_say_what_they_are_too_few_for(deployed):
    facts = ran(deployed, batch(5))
    assert facts["scores"] == []
    assert facts["inputs"][0]["kind"] == "not judged"
    assert "5 rows, and 20 are needed" in facts["inputs"][0]["sentence"]
    unsure = {one["test"] for one in facts["drift"] if one["threshold"] is None}
    assert {"too_few_rows", "feature_drift", "one_class"} <= unsure
    assert "5 rows, and 20 are needed" in deployed.call("fullprocess.py", "--status").out


def test_a_file_without_a_new_row_is_nothing_to_judge(deployed):
    facts = ran(deployed, pd.concat([clients(150, seed=1, day=1)[:100], clients(150, seed=2, day=8)[:50]]))
    assert (facts["ingested"]["rows"], facts["ingested"]["duplicates"]) == (0, 150)
    assert (facts["inputs"], facts["scores"], facts["drift"]) == ([], [], [])


def test_a_file_of_an_older_time_is_judged_as_any_other_and_replaces_nothing_newer(tmp_path):
    project = keyed(tmp_path)
    rows = batch()
    ran(project, rows)
    older = pd.concat(
        [rows.assign(seen="2024-01-01", activity=0), clients(150, seed=5).assign(seen="2024-01-01")]
    )
    facts = ran(project, older, "week4.csv")
    assert [one["file"] for one in facts["inputs"]] == ["week4.csv"]
    table = pd.read_csv(project.ingested("finaldata.csv")).set_index("client")
    assert set(table.loc[rows["client"], "seen"]) == {"2025-03-15"}
    assert len(table) == 600


def test_one_date_far_in_the_future_ends_no_label_window(project):
    project.configure("scoring: {", "scoring: {label_window: 10, ")
    project.test_table(clients(400, seed=100))
    project.drop("week1.csv", clients(300, seed=1))
    project.drop("week2.csv", clients(10, seed=2, day=15))
    assert project.does("fullprocess.py")["outcome"] == "first"
    rows = batch()
    rows.loc[3, "seen"] = "2099-03-15"
    assert ran(project, rows)["scores"] == []
    facts = ran(project, clients(60, seed=4, day=26), "week4.csv")
    assert [score["rows"] for score in facts["scores"]] == [159]


def test_a_clock_set_back_changes_no_order(deployed):
    first = deployed.live()
    with mock.patch.object(records, "now", return_value="2001-01-01T00:00:00Z"):
        path = deployed.drop("week3.csv", clients(180, seed=3, day=15, flipped=True))
        os.utime(path, (1e9, 1e9))
        facts = deployed.does("fullprocess.py")
    assert facts["outcome"] == "deployed"
    second = deployed.live()
    assert second != first
    assert second.startswith("2001")
    facts = ran(deployed, clients(180, seed=4, day=22, flipped=True), "week4.csv")
    assert facts["champion"]["release"] in (second, deployed.live())
    assert [row[0] for row in deployed.query("select file from inputs order by id")] == [3, 4]
    told = deployed.call("fullprocess.py", "--history")
    assert (told.code, told.err) == (0, "")
    assert "2001-01-01" in told.out
    assert re.findall(r"(?m)^Run (\d+)", told.out) == ["1", "2", "3"]
    assert deployed.call("fullprocess.py", "--status").code == 0


# ---------------------------------------------------------------------------------------------- the page
def test_the_page_has_a_row_for_every_test_and_every_row_its_test():
    named = re.findall(r"\| `(test_\w+)` \|", PAGE)
    ours = [name for name in globals() if name.startswith("test_") and not name.startswith("test_the_page")]
    assert sorted(named) == sorted(ours)
