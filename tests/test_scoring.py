"""Scoring: the champion on rows it never learnt from, once per batch, and clients ranked by risk."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pipeline import dataset
from tests.project import PRICES, Project, clients, houses

SCORES = "select batch, value, rows from scores where last_file > 0 order by id"


def taken(project: Project, name: str, rows: pd.DataFrame) -> None:
    """Drop a table and ingest it."""
    project.drop(name, rows)
    assert project.call("ingestion.py").code == 0


def file_rows(project: Project, *numbers: int) -> pd.DataFrame:
    """Give the ingested rows of these files."""
    with project.book() as book:
        return dataset.load(
            project.config.ingested, [(at, part) for at, part in book.parts() if at in numbers]
        )


# ---------------------------------------------------------------------------------------------- the champion's score
def test_the_latest_score_is_the_metric_of_the_champion_on_the_newest_batch(deployed):
    taken(deployed, "week3.csv", clients(80, seed=3))
    facts = deployed.does("scoring.py")
    rows = file_rows(deployed, 3)
    expected = roc_auc_score(rows["exited"].astype(int), deployed.predictions(rows))
    (score,) = facts["scores"]
    assert score["value"] == pytest.approx(expected)
    assert score["low"] < score["value"] < score["high"]
    assert (score["batch"], score["rows"]) == ("3", 80)
    text = (deployed.folder / "models" / "latestscore.txt").read_text()
    assert re.fullmatch(r"0\.\d{1,6}\n", text)
    assert float(text) == pytest.approx(expected, abs=1e-6)


def test_a_batch_is_scored_once(deployed):
    taken(deployed, "week3.csv", clients(80, seed=3))
    assert len(deployed.does("scoring.py")["scores"]) == 1
    before = deployed.query(SCORES), deployed.query("select * from verdicts")
    assert deployed.does("scoring.py")["scores"] == []
    assert deployed.does("fullprocess.py")["scores"] == []
    assert (deployed.query(SCORES), deployed.query("select * from verdicts")) == before


def test_small_drops_wait_for_the_next(deployed):
    for number, rows in enumerate((15, 15, 15, 10), 3):
        taken(deployed, f"week{number}.csv", clients(rows, seed=number))
        scored = deployed.does("scoring.py")["scores"]
        assert [score["batch"] for score in scored] == (["3-5"] if number == 5 else [])
    assert [(batch, rows) for batch, _, rows in deployed.query(SCORES)] == [("3-5", 45)]
    taken(deployed, "week7.csv", clients(30, seed=7))
    assert [score["batch"] for score in deployed.does("scoring.py")["scores"]] == ["6-7"]


def test_rows_of_one_class_wait_until_there_are_both(deployed):
    deployed.configure("min_rows: 40", "min_rows: 10")
    taken(deployed, "week3.csv", clients(15, seed=3).assign(exited=0))  # more would be taken for bad data
    assert deployed.does("scoring.py")["scores"] == []
    taken(deployed, "week4.csv", clients(40, seed=4))
    assert [score["batch"] for score in deployed.does("scoring.py")["scores"]] == ["3-4"]


def test_rows_without_a_label_are_not_scored(deployed):
    rows = clients(120, seed=3).astype({"exited": object})
    rows.loc[:59, "exited"] = ""
    taken(deployed, "week3.csv", rows)
    assert [score["rows"] for score in deployed.does("scoring.py")["scores"]] == [60]


def test_every_score_is_of_rows_that_came_after_what_the_model_learnt_from(redeployed):
    for number in (4, 5):
        redeployed.drop(f"week{number}.csv", clients(150, seed=number, flipped=True))
        assert redeployed.call("fullprocess.py").code == 0
    pairs = redeployed.query(
        "select first_file, learnt_upto from scores join releases on release = releases.id where last_file > 0"
    )
    assert len(pairs) >= 3
    assert all(first > learnt for first, learnt in pairs)


def test_a_batch_on_which_the_metric_is_not_defined_is_no_failure(tmp_path):
    project = Project.made(tmp_path / "a project", PRICES)
    project.configure("scoring: {", "scoring: {metric: r2, ")
    project.test_table(houses(200, seed=100))
    project.drop("week1.csv", houses(150, seed=1))
    assert project.does("fullprocess.py")["outcome"] == "first"
    taken(project, "week2.csv", houses(60, seed=2).assign(price=300))
    told = project.call("scoring.py")
    assert (told.code, told.err) == (0, "")
    assert project.call("fullprocess.py").code == 0


# ---------------------------------------------------------------------------------------------- by hand
def test_a_named_model_and_a_named_table_are_scored_and_nothing_is_recorded(deployed):
    deployed.call("training.py")
    rows = clients(100, seed=50)
    rows.to_csv(deployed.folder / "extra.csv", index=False)
    before = deployed.query("select * from scores"), deployed.snapshot()
    release = deployed.production("current")
    paths = [
        deployed.folder / "models" / "logistic_regression-all",
        deployed.folder / "models" / "logistic_regression-all" / "trainedmodel.skops",
        release,
        release / "trainedmodel.skops",
    ]
    for path in paths:
        facts = deployed.does(
            "scoring.py", "--model", str(path), "--data", str(deployed.folder / "extra.csv")
        )
        assert facts["rows"] == 100
        assert facts["value"] > 0.7
    named = deployed.does("scoring.py", "--data", str(deployed.folder / "extra.csv"))
    expected = roc_auc_score(rows["exited"], deployed.predictions(rows))
    assert named["value"] == pytest.approx(expected)
    assert named["model"] == deployed.live()
    assert deployed.does("scoring.py", "--model", str(release))["rows"] == 400, "the test table"
    assert (deployed.query("select * from scores"), deployed.snapshot()) == before


def test_without_deployment_the_candidates_are_scored_on_the_test_table(project):
    project.configure(
        "    logistic_regression:", "    logistic_regression:\n    random_forest: {n_estimators: 5}"
    )
    project.test_table(clients(200, seed=100))
    taken(project, "week1.csv", clients(150, seed=1))
    refused = project.call("scoring.py")
    assert refused.code == 65
    assert "training.py" in refused.complaint
    project.call("training.py")
    scored = project.does("scoring.py")["candidates"]
    assert [one["model"] for one in scored] == ["logistic_regression-all", "random_forest-all"]
    best = max(one["value"] for one in scored)
    assert float((project.folder / "models" / "latestscore.txt").read_text()) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--data", "{}/gone.csv"], 74, "gone.csv"),
        (["--model", "{}/gone"], 74, "gone"),
        (["--data", "{}/unlabelled.csv"], 65, "exited"),
        (["--data", "{}/other.csv"], 65, "missing column(s)"),
        (["--clients", "{}/unlabelled.csv"], 64, "--out"),
        (["--out", "{}/list.csv"], 64, "--clients"),
        (["--clients", "{}/gone.csv", "--out", "{}/list.csv"], 74, "gone.csv"),
        (["--clients", "{}/other.csv", "--out", "{}/list.csv"], 65, "other.csv"),
        (["--clients", "{}/unlabelled.csv", "--out", "{}/no/such/list.csv"], 0, ""),
    ],
)
def test_what_cannot_be_scored_or_ranked_is_told_in_one_line(deployed, flags, code, told):
    clients(50, seed=50).assign(exited="").to_csv(deployed.folder / "unlabelled.csv", index=False)
    (deployed.folder / "other.csv").write_text("a,b\n1,2\n")
    ran = deployed.call("scoring.py", *(flag.format(deployed.folder) for flag in flags))
    assert ran.code == code, ran.err
    assert not code or told in ran.complaint


def test_a_test_table_of_one_class_is_told_in_one_line(project):
    project.test_table(clients(100, seed=100).assign(exited=0))
    project.drop("week1.csv", clients(150, seed=1))
    refused = project.call("fullprocess.py", "--json")
    assert refused.code == 65, refused
    assert "testdata" in refused.complaint
    assert project.live() is None


# ---------------------------------------------------------------------------------------------- clients by risk
def test_clients_are_ranked_by_what_is_live_and_no_other_model(deployed):
    asked = deployed.call("scoring.py", "--clients", "a.csv", "--out", "b.csv", "--model", "models")
    assert asked.code == 64
    assert "--clients FILE --out FILE rank by what is live" in asked.err


def test_clients_are_ranked_by_risk_with_reasons(deployed):
    rows = clients(60, seed=50).drop(columns="exited")
    rows.loc[5, ["activity", "complaints"]] = [30, 5]
    rows.loc[6, ["activity", "complaints"]] = [99, 0]
    rows["branch"] = rows["branch"].replace("north", "a branch never seen before")
    rows.to_csv(deployed.folder / "now.csv", index=False)
    out = deployed.folder / "lists" / "risk.csv"
    facts = deployed.does("scoring.py", "--clients", str(deployed.folder / "now.csv"), "--out", str(out))
    assert facts["clients"] == 60
    ranked = pd.read_csv(out)
    assert list(ranked["rank"]) == list(range(1, 61))
    assert ranked["probability"].is_monotonic_decreasing
    assert set(ranked["client"]) == set(rows["client"])
    predicted = dict(zip(rows["client"], np.round(deployed.predictions(rows), 4), strict=True))
    assert dict(zip(ranked["client"], ranked["probability"], strict=True)) == pytest.approx(predicted)
    told = dict(zip(ranked["client"], ranked["reasons"], strict=True))
    assert "activity 30 (usual " in told["client 50-5"]
    assert "complaints 5 (usual " in told["client 50-5"]
    assert told["client 50-6"] == "nothing stands out"


def test_the_call_list_of_a_run_holds_each_client_once_as_seen_last_and_none_that_left(deployed):
    old, new = clients(60, seed=20, day=20), clients(60, seed=20, day=25)
    new["activity"] = 99 - new["activity"]
    old["client"] = new["client"] = [f'"Ann", Bob & Co\n{number}' for number in range(60)]
    deployed.drop("week3.csv", pd.concat([new, old]))
    assert deployed.call("fullprocess.py").code == 0
    ranked = pd.read_csv(deployed.folder / "reports" / "calllist.csv")
    everyone = pd.concat([clients(150, seed=1), clients(150, seed=2), new])
    assert set(ranked["client"]) == set(everyone[everyone["exited"] == 0]["client"])
    assert ranked["client"].is_unique
    assert set(ranked[ranked["client"].str.startswith('"Ann", Bob')]["as_of"]) == {"2025-03-25"}


def test_nothing_can_be_ranked_before_something_is_deployed(project):
    clients(5, seed=1).to_csv(project.folder / "now.csv", index=False)
    refused = project.call(
        "scoring.py", "--clients", str(project.folder / "now.csv"), "--out", str(project.folder / "list.csv")
    )
    assert refused.code == 65
    assert "nothing is deployed" in refused.complaint


def test_candidates_on_test_rows_of_one_outcome_have_no_score_and_none_is_best(project):
    project.test_table(clients(60, seed=100).assign(exited=0))
    project.drop("week1.csv", clients(200, seed=1))
    for script in ("ingestion.py", "training.py"):
        assert project.call(script).code == 0
    ran = project.call("scoring.py")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.rstrip().endswith(" –")
    assert (project.folder / "models" / "latestscore.txt").read_text() == "nan\n"
