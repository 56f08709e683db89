"""The whole loop: what one run decides and does, what it leaves when it's killed, and what it says when it can't."""

import csv
import json
import os
import re
import shutil
import signal
import time
from contextlib import ExitStack

import numpy as np
import pandas as pd
import pytest

from pipeline import releases
from tests import project as projects
from tests.project import PRICES, ROOT, Project, clients, houses

SCRIPTS = (
    "ingestion.py", "training.py", "scoring.py", "deployment.py", "diagnostics.py", "reporting.py", "fullprocess.py",
)  # fmt: skip
NUMBER = (int, float)
NOTHING_INGESTED = {"files": 0, "rows": 0, "duplicates": 0, "rejected_files": 0, "rejected_rows": 0}


def kept_the_contract(facts: dict) -> dict:
    """Give the facts of a run after checking every key of docs/design.md, "Commands", and its type."""
    assert facts["run"] is None or type(facts["run"]) is int
    assert facts["outcome"] in ("nothing", "kept", "deployed", "first")
    assert facts["reasons"]
    assert all(type(reason) is str for reason in facts["reasons"])
    assert set(facts["ingested"]) == set(NOTHING_INGESTED)
    assert all(type(count) is int for count in facts["ingested"].values())
    if facts["champion"] is not None:
        assert set(facts["champion"]) >= {"release", "score"}
        assert type(facts["champion"]["release"]) is str
        assert isinstance(facts["champion"]["score"], NUMBER)
    for one in facts["challengers"]:
        assert set(one) >= {"name", "window", "score", "deployed"}
        assert (type(one["name"]), type(one["deployed"])) == (str, bool)
        assert isinstance(one["score"], NUMBER)
    assert type(facts["fits"]) is int
    for verdict in facts["drift"]:
        assert set(verdict) >= {"test", "feature", "statistic", "threshold", "drifted"}
        assert (type(verdict["test"]), type(verdict["drifted"])) == (str, bool)
        assert verdict["feature"] is None or type(verdict["feature"]) is str
        for number in (verdict["statistic"], verdict["threshold"]):
            assert number is None or isinstance(number, NUMBER)
    assert all(type(step) is str and isinstance(took, NUMBER) for step, took in facts["seconds"].items())
    return facts


def runs(project: Project) -> list[str | None]:
    """Give the outcomes on record, oldest run first; None for one that was cut off."""
    return [outcome for (outcome,) in project.query("select outcome from runs order by id")]


# ---------------------------------------------------------------------------------------------- what a run does
def test_a_first_run_ingests_trains_deploys_ranks_and_reports(project):
    project.test_table(clients(400, seed=100))
    project.drop("week1.csv", clients(150, seed=1))
    project.drop("week2.csv", clients(150, seed=2))
    ran = project.run("fullprocess.py", "--json")
    facts = kept_the_contract(ran.facts)
    assert ran.err == ""
    assert facts["outcome"] == "first"
    assert facts["ingested"] == {**NOTHING_INGESTED, "files": 2, "rows": 300}
    assert facts["champion"]["release"] == project.live()
    assert facts["champion"]["score"] == pytest.approx(project.test_score())
    assert facts["champion"]["score"] > 0.8
    assert {(one["name"], one["window"]) for one in facts["challengers"]} == {
        ("logistic_regression", "all"),
        ("logistic_regression", "recent 1"),
    }
    best = max(facts["challengers"], key=lambda one: one["score"])
    assert [one for one in facts["challengers"] if one["deployed"]] == [best]
    assert facts["fits"] == 2
    assert {"ingestion", "training", "deployment"} <= set(facts["seconds"])
    assert runs(project) == ["first"]
    assert (project.folder / "reports" / "calllist.csv").exists()
    assert (project.folder / "reports" / "report.html").exists()
    assert project.call("deployment.py", "--verify").code == 0


def test_a_run_with_nothing_to_do_says_nothing_and_writes_nothing(deployed):
    deployed.settle()
    assert deployed.call("fullprocess.py").code == 0
    before, content = deployed.stamps(), deployed.snapshot()
    for _ in range(3):
        ran = deployed.run("fullprocess.py")
        assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert deployed.stamps() == before
    assert deployed.snapshot() == content


def test_a_run_with_nothing_to_do_keeps_the_json_contract_and_tells_the_same_champion(deployed):
    deployed.drop("week3.csv", clients(80, seed=3))
    busy = kept_the_contract(deployed.does("fullprocess.py"))
    quiet = kept_the_contract(deployed.run("fullprocess.py", "--json").facts)
    assert (busy["outcome"], quiet["outcome"]) == ("kept", "nothing")
    assert quiet["ingested"] == NOTHING_INGESTED
    assert quiet["champion"]["release"] == busy["champion"]["release"]
    assert quiet["champion"]["score"] == pytest.approx(busy["champion"]["score"], abs=1e-5)
    assert runs(deployed)[-1] == "kept", "a run with nothing to do is no run"


def test_a_good_batch_is_scored_before_anything_learns_from_it_and_the_model_stays(deployed):
    deployed.drop("week3.csv", clients(80, seed=3))
    facts = kept_the_contract(deployed.does("fullprocess.py"))
    assert facts["outcome"] == "kept"
    assert facts["champion"]["release"] == deployed.live()
    assert facts["champion"]["score"] == facts["scores"][-1]["value"]
    assert [verdict["test"] for verdict in facts["drift"]][:3] == ["worst_score", "two_sigma", "iqr"]
    assert not any(verdict["drifted"] for verdict in facts["drift"])
    assert (facts["fits"], [one["deployed"] for one in facts["challengers"]]) == (1, [False])
    yes, reasons = deployed.query("select yes, reasons from decisions where kind = 'retrain' order by id")[-1]
    assert yes
    assert "what ageing costs isn't known yet" in reasons
    deployed.drop("week4.csv", clients(80, seed=4))
    facts = kept_the_contract(deployed.does("fullprocess.py"))
    assert (facts["fits"], facts["challengers"]) == (0, [])
    yes, reasons = deployed.query("select yes, reasons from decisions where kind = 'retrain' order by id")[-1]
    assert not yes
    assert "a model of all history is not due yet" in reasons


def test_drift_trains_challengers_and_the_better_one_is_deployed(deployed):
    before = deployed.live()
    deployed.drop("week3.csv", clients(180, seed=3, day=15, flipped=True))
    facts = kept_the_contract(deployed.does("fullprocess.py"))
    assert facts["outcome"] == "deployed"
    assert facts["champion"]["release"] == deployed.live() != before
    assert sum(verdict["drifted"] for verdict in facts["drift"]) >= 2
    assert "recent 1" in {one["window"] for one in facts["challengers"]}
    assert any(one["deployed"] for one in facts["challengers"])
    assert facts["fits"] == 2
    assert any("evidence" in reason for reason in facts["reasons"])
    assert any("against the champion's" in reason for reason in facts["reasons"])
    assert deployed.champion().manifest["replaced"] == before


def test_harm_trains_on_all_there_is_as_long_as_that_is_the_recent_window(deployed):
    deployed.configure("min_rows: 60, recent: 1", "min_rows: 100, recent: 10")
    before = deployed.live()
    deployed.drop("week3.csv", clients(180, seed=3, day=15, flipped=True))
    facts = kept_the_contract(deployed.does("fullprocess.py"))
    assert {one["window"] for one in facts["challengers"]} == {"all"}
    deployed.drop("week4.csv", clients(180, seed=4, day=22, flipped=True))
    deployed.does("fullprocess.py")
    assert deployed.live() != before


def test_after_a_rebuild_what_is_live_goes_on_to_be_compared_and_what_is_better_is_deployed(deployed):
    before = deployed.live()
    deployed.configure(
        "complaints: {type: number, min: 0, max: 50}", "complaints: {type: number, min: 0, max: 60}"
    )
    assert deployed.call("ingestion.py", "--rebuild").code == 0
    facts = deployed.does("fullprocess.py")
    assert facts["champion"]["release"] == before
    for week in (3, 4):
        deployed.drop(f"week{week}.csv", clients(180, seed=week, day=8 * week, flipped=True))
        facts = deployed.does("fullprocess.py")
        assert not any("nothing else can be compared" in reason for reason in facts["reasons"])
    assert deployed.live() != before


def test_after_harm_the_recent_window_is_learnt_anew_once_what_came_since_is_enough(deployed):
    deployed.configure("recent: 1,", "recent: 5,")
    for week in range(3, 8):
        deployed.drop(f"week{week}.csv", clients(100, seed=week, day=8 + week))
    deployed.does("fullprocess.py")
    for week in (8, 9):  # twice min_rows, 120, are enough
        deployed.drop(f"week{week}.csv", clients(100, seed=week, day=8 + week, flipped=True))
        facts = kept_the_contract(deployed.does("fullprocess.py"))
        assert facts["fits"] == 1
        (folder,) = (deployed.folder / "models").glob("logistic_regression-recent*")
        candidate = json.loads((folder / "candidate.json").read_text())
        assert (candidate["window"], candidate["rows"] <= 200) == (
            f"recent {5 if week == 8 else 2}",
            week == 9,
        )


def test_the_shipped_data_train_a_model_and_a_season_of_change_deploys_another(tmp_path):
    config = (ROOT / "config.yaml").read_text()
    project = Project.made(tmp_path / "a project", re.sub(r"source: \w+", "source: drop", config, count=1))
    shutil.copytree(ROOT / "testdata", project.folder / "testdata")
    shutil.copytree(ROOT / "practicedata", project.folder / "drop", dirs_exist_ok=True)
    first = kept_the_contract(project.run("fullprocess.py", "--json").facts)
    assert first["outcome"] == "first"
    assert first["champion"]["score"] > 0.75
    shutil.copytree(ROOT / "sourcedata", project.folder / "drop", dirs_exist_ok=True)
    ran = project.run("fullprocess.py", "--json")
    season = kept_the_contract(ran.facts)
    assert ran.err == ""
    assert season["outcome"] == "deployed"
    assert season["ingested"]["files"] == 26
    assert len(season["scores"]) == 26
    drifted = {verdict["batch"] for verdict in season["drift"] if verdict["drifted"]}
    assert "20" in drifted, "the fourteenth week, when a competitor enters"
    assert len(drifted) <= 6, "of 26 weeks one changed; the score tests give false signs, too"
    before, hit, after = (
        [one["value"] for one in season["scores"] if int(one["batch"]) in span]
        for span in (range(7, 20), range(20, 23), range(23, 33))
    )
    assert np.mean(before) > 0.75 > 0.65 > np.mean(hit)
    assert np.mean(after) > 0.75, "the models of what came since are live after two weeks more"
    assert len(project.rows()) == first["ingested"]["rows"] + season["ingested"]["rows"]
    assert project.call("deployment.py", "--verify").code == 0


def test_a_regression_goes_the_whole_way_and_lower_is_better(tmp_path):
    project = Project.made(tmp_path / "a project", PRICES)
    project.test_table(houses(400, seed=100))
    project.drop("week1.csv", houses(400, seed=1))
    first = kept_the_contract(project.does("fullprocess.py"))
    assert first["outcome"] == "first"
    assert first["champion"]["score"] == pytest.approx(10, rel=0.15), "the noise, in units of the price"
    project.drop("week2.csv", houses(80, seed=2))
    good = kept_the_contract(project.does("fullprocess.py"))
    assert good["outcome"] == "kept"
    assert not any(verdict["drifted"] for verdict in good["drift"])
    project.drop("week3.csv", houses(80, seed=3))
    project.drop("week4.csv", houses(200, seed=4, crash=True))
    bad = kept_the_contract(project.does("fullprocess.py"))
    assert bad["outcome"] == "deployed"
    drifted = [verdict for verdict in bad["drift"] if verdict["drifted"]]
    assert {verdict["batch"] for verdict in drifted} == {"4"}
    assert {verdict["test"] for verdict in drifted} == {"worst_score", "two_sigma", "iqr", "loss"}
    assert all(verdict["statistic"] > verdict["threshold"] for verdict in drifted)
    assert "recent 1" in {one["window"] for one in bad["challengers"]}
    best = min(bad["challengers"], key=lambda one: one["score"])
    assert best["deployed"]
    with (project.folder / "reports" / "calllist.csv").open() as ranked:
        assert next(csv.DictReader(ranked))["prediction"]


def test_a_release_proven_on_rows_of_one_outcome_has_no_score_yet_and_every_program_says_so(deployed):
    """Every other row is of the proof; those are all of clients who stayed, so the ROC AUC isn't defined there."""
    for number in range(3, 7):
        found = clients(800, seed=number, flipped=True).assign(seen=f"2025-04-{number:02}")
        stayed, left = (found[found["exited"] == outcome] for outcome in (0, 1))
        learnt = pd.concat([left.head(20), stayed.iloc[95:170]])
        both = [learnt.reset_index(drop=True), stayed.head(95).reset_index(drop=True)]
        deployed.drop(f"{number}.csv", pd.concat(both).sort_index(kind="stable"))
        told = deployed.does("fullprocess.py")
    assert (told["outcome"], told["champion"]["score"]) == ("deployed", None)
    assert "roc_auc is not defined on the same 95 rows" in told["reasons"][0]
    assert (
        json.loads((deployed.production("current") / "manifest.json").read_text())["score"]["value"] is None
    )
    assert deployed.does("fullprocess.py")["champion"]["score"] is None
    assert deployed.does("deployment.py", "--list")["releases"][-1]["score"] is None
    assert "roc_auc –" in deployed.call("deployment.py", "--list").out.splitlines()[-1]
    for script, *flags in (
        ("deployment.py", "--verify"),
        ("diagnostics.py",),
        ("reporting.py",),
        ("scoring.py",),
    ):
        assert deployed.call(script, *flags).code == 0
    for script, *flags in (
        ("fullprocess.py", "--status"),
        ("fullprocess.py", "--history"),
        ("deployment.py", "--rollback"),
    ):
        deployed.does(script, *flags)


def test_other_features_in_the_config_are_learnt_by_the_next_run(deployed):
    before = deployed.live()
    deployed.configure("    complaints: {type: number, min: 0, max: 50}\n", "")
    assert deployed.call("fullprocess.py").code == 78, "the rows in hand are of other columns"
    assert deployed.call("ingestion.py", "--rebuild").code == 0
    deployed.drop("week3.csv", clients(80, seed=3))
    facts = kept_the_contract(deployed.does("fullprocess.py"))
    assert facts["outcome"] == "deployed"
    assert deployed.live() != before
    assert list(deployed.champion().features) == ["activity", "branch"]
    deployed.drop("week4.csv", clients(80, seed=4))
    assert len(deployed.does("fullprocess.py")["scores"]) == 1


@pytest.mark.parametrize("target", ["stays", "{name: exited, positive: 0}"])
def test_another_target_is_learnt_by_the_next_run_and_nothing_is_ranked_by_the_old_one(tmp_path, target):
    def week(number: int) -> pd.DataFrame:
        rows = clients(150, seed=number, day=number)
        return rows.assign(stays=1 - rows["exited"])

    project = Project.made(tmp_path / "a project")
    project.test_table(week(20))
    project.drop("week1.csv", week(1))
    assert project.does("fullprocess.py")["outcome"] == "first"
    left = project.predictions(week(21))
    project.configure("target: exited", f"target: {target}")
    assert project.call("ingestion.py", "--rebuild").code == 0
    project.drop("week2.csv", week(2))
    facts = kept_the_contract(project.does("fullprocess.py"))
    assert (facts["outcome"], facts["scores"]) == ("deployed", [])
    assert "another target" in facts["reasons"][0]
    assert np.corrcoef(left, project.predictions(week(21)))[0, 1] < -0.9
    project.drop("week3.csv", week(3))
    assert [score["value"] > 0.8 for score in project.does("fullprocess.py")["scores"]] == [True]
    with (project.folder / "reports" / "calllist.csv").open() as listed:
        ranked = list(csv.DictReader(listed))
    known = pd.concat([week(number) for number in (1, 2, 3)])
    assert {row["client"] for row in ranked} == set(known.loc[known["exited"] == 1, "client"]), (
        "who stays is done"
    )


def test_another_target_gets_a_test_table_of_its_own_where_we_made_the_first(project):
    def week(number: int) -> pd.DataFrame:
        rows = clients(150, seed=number, day=number)
        return rows.assign(stays=1 - rows["exited"])

    project.drop("week1.csv", pd.concat([week(1), week(2)]))
    assert project.does("fullprocess.py")["outcome"] == "first"
    project.call("training.py")
    project.configure("target: exited", "target: stays")
    assert project.call("ingestion.py", "--rebuild").code == 0
    stale = project.call("deployment.py")
    assert (stale.code, "run training.py" in stale.complaint) == (65, True), (
        "what was trained is for another target"
    )
    assert project.call("scoring.py", "--data", str(project.folder / "drop" / "week1.csv")).code == 65
    assert project.call("reporting.py").code == 0
    assert project.does("fullprocess.py")["outcome"] == "deployed"
    assert project.champion().manifest["target"] == "stays"
    tables = {path.name: path.read_text().splitlines()[0] for path in (project.folder / "testdata").iterdir()}
    assert "exited" in tables.pop("holdout.csv.replaced"), "it's kept"
    assert ["stays" in header for header in tables.values()] == [True]


def test_a_test_table_of_the_users_own_is_never_replaced_whatever_it_is_called(project):
    project.configure("  target: exited\n", "  target: exited\n  rename: {left: exited}\n")
    own = project.folder / "testdata" / "holdout.csv"
    own.parent.mkdir(exist_ok=True)
    clients(100, seed=50).rename(columns={"exited": "left"}).to_csv(own, index=False)
    before = own.read_bytes()
    project.drop("week1.csv", clients(150, seed=1))
    assert project.does("fullprocess.py")["outcome"] == "first"
    assert own.read_bytes() == before


def test_a_better_score_is_not_drift_where_lower_is_better(tmp_path):
    project = Project.made(tmp_path / "a project", PRICES)
    project.test_table(houses(400, seed=100))
    project.drop("week1.csv", houses(200, seed=1))
    project.call("fullprocess.py")
    easy = houses(80, seed=2)
    easy["price"] = np.round(project.predictions(easy), 1)
    project.drop("week2.csv", easy)
    facts = project.does("fullprocess.py")
    assert facts["scores"][-1]["value"] < 1
    assert facts["drift"]
    assert not any(verdict["drifted"] for verdict in facts["drift"])


# ---------------------------------------------------------------------------------------------- flags
@pytest.mark.parametrize("flags", [["--dry-run"], ["--dry-run", "--force"], ["--status"], ["--history"]])
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_look_at_a_new_project_changes_nothing(project, flags, as_json):
    project.drop("week1.csv", clients(150, seed=1))
    before = project.snapshot()
    told = project.call("fullprocess.py", *flags, *as_json)
    assert (told.code, told.err) == (0, "")
    assert told.out
    assert project.snapshot() == before


@pytest.mark.parametrize("asked", ["fullprocess.py --history", "deployment.py --list", "scoring.py --help"])
@pytest.mark.parametrize("buffered", ["PYTHONUNBUFFERED=", "PYTHONUNBUFFERED=1"])
def test_a_reader_who_has_read_enough_is_no_failure(redeployed, asked, buffered):
    with redeployed.started(*asked.split(), before=("env", buffered)) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.parametrize("flags", [["--dry-run"], ["--dry-run", "--force"], ["--status"], ["--history"]])
def test_a_look_at_a_history_changes_nothing(redeployed, flags):
    redeployed.drop("week4.csv", clients(80, seed=4))
    redeployed.drop("bad.csv", "no table")
    before = redeployed.snapshot()
    told = redeployed.call("fullprocess.py", *flags)
    assert (told.code, told.err) == (0, "")
    assert redeployed.snapshot() == before


def test_a_dry_run_says_what_a_run_would_do_and_why(deployed):
    deployed.call("fullprocess.py")
    told = deployed.call("fullprocess.py", "--dry-run")
    assert told.out.startswith("would do nothing")
    deployed.drop("week3.csv", clients(80, seed=3))
    told = deployed.call("fullprocess.py", "--dry-run")
    assert "1 new or changed file" in told.out
    assert "drop/week3.csv: ingested: 80 new rows" in told.out
    assert deployed.does("fullprocess.py")["ingested"]["rows"] == 80


def test_a_dry_run_says_that_the_first_run_is_the_first(project):
    assert project.call("fullprocess.py", "--dry-run").out.startswith("would run: it's the first run\n")
    project.drop("week1.csv", clients(10, seed=1))
    told = project.call("fullprocess.py", "--dry-run").out
    assert told.startswith("would run: 1 new or changed file, it's the first run\n")
    project.call("fullprocess.py")
    told = project.call("fullprocess.py", "--dry-run").out
    assert told.startswith("would run: no model is deployed yet\n"), "ten rows are too few"
    project.configure("cooldown: 0", "cooldown: 1")
    told = project.call("fullprocess.py", "--dry-run").out
    assert told.startswith("would run: a run to finish, or a changed config\n")


def test_force_trains_challengers_without_new_data(deployed):
    deployed.call("fullprocess.py")
    facts = kept_the_contract(deployed.does("fullprocess.py", "--force"))
    assert facts["fits"] > 0
    assert "forced by hand" in facts["reasons"]
    assert facts["outcome"] == "kept"


def test_the_status_tells_what_is_live_and_the_history_tells_every_run(redeployed):
    assert str(redeployed.live()) in redeployed.call("fullprocess.py", "--status").out
    history = redeployed.call("fullprocess.py", "--history").out
    assert "Run 1" in history
    assert "Run 2" in history
    assert str(redeployed.live()) in history
    for flag in ("--status", "--history"):
        assert redeployed.does("fullprocess.py", flag)


# ---------------------------------------------------------------------------------------------- nothing to learn from
def test_an_empty_folder_is_no_failure_and_says_nothing(project):
    ran = project.run("fullprocess.py")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    facts = kept_the_contract(project.does("fullprocess.py"))
    assert (facts["outcome"], facts["champion"], facts["ingested"]) == ("nothing", None, NOTHING_INGESTED)
    project.drop("week1.csv", clients(150, seed=1))
    assert project.does("fullprocess.py")["outcome"] == "first"


def test_a_folder_that_is_not_there_is_told_in_one_line_and_found_once_it_is(project):
    (project.folder / "drop").rmdir()
    ran = project.run("fullprocess.py")
    assert ran.code == 74
    assert "a project/drop" in ran.complaint
    (project.folder / "drop").mkdir()
    project.drop("week1.csv", clients(150, seed=1))
    assert project.does("fullprocess.py")["outcome"] == "first"


def test_if_all_files_are_bad_they_are_told_once_and_the_next_good_one_is_taken(project):
    project.drop("a.csv", "no table")
    project.drop("b.csv", b"\0\0")
    ran = project.call("fullprocess.py", "--json")
    facts = kept_the_contract(ran.facts)
    assert (facts["outcome"], facts["champion"]) == ("kept", None)
    assert facts["ingested"]["rejected_files"] == 2
    assert ran.err.count("\n") == 2
    again = project.call("fullprocess.py")
    assert (again.code, again.out, again.err) == (0, "", "")
    project.drop("week1.csv", clients(150, seed=1))
    assert project.does("fullprocess.py")["outcome"] == "first"


def test_too_few_rows_wait_for_more_without_a_failure(project):
    project.test_table(clients(100, seed=100))
    project.drop("week1.csv", clients(30, seed=1))
    facts = kept_the_contract(project.does("fullprocess.py"))
    assert (facts["outcome"], facts["champion"], facts["fits"]) == ("kept", None, 0)
    project.drop("week2.csv", clients(40, seed=2))
    assert project.does("fullprocess.py")["outcome"] == "first"


def test_one_class_is_told_in_one_line_until_there_is_another(project):
    project.test_table(clients(100, seed=100))
    project.drop("week1.csv", clients(100, seed=1).assign(exited=0))
    for _ in range(2):
        refused = project.call("fullprocess.py")
        assert refused.code == 65
        assert "column exited is 0 in all 100 rows" in refused.complaint
    project.drop("week2.csv", clients(100, seed=2))
    assert project.does("fullprocess.py")["outcome"] == "first"


# -------------------------------------------------------------------------------------------- wrong config, wrong words
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"
WRONG_CONFIGS = {
    "unknown key": ("scoring: {", "scoer: {", "did you mean 'scoring'"),
    "unknown model": ("logistic_regression", "logistic_regresion", "did you mean 'logistic_regression'"),
    "unknown metric": ("roc_auc", "rmse", "no 'rmse'"),
    "unknown policy": ("policy: adaptive", "policy: sometimes", "no 'sometimes'"),
    "duplicate key": ("model:\n", "task: classification\ntask: regression\nmodel:\n", "stands twice"),
    "wrong type": ("min_rows: 40", "min_rows: many", "scoring.min_rows"),
    "no columns": ("columns:", "colums:", "columns"),
    "no target": ("  target: exited\n", "", "target"),
    "alias bomb": ("paths:", BOMB + "paths:", "anchors and aliases"),
    "not YAML": ("paths: {", "paths: {{", "not YAML"),
    "binary": ("paths:", "\0paths:", "not YAML"),
    "a list": (projects.CONFIG, "- one\n- two\n", "key: value"),
    "empty": (projects.CONFIG, "", "empty"),
}


@pytest.mark.parametrize("wrong", WRONG_CONFIGS)
def test_a_wrong_config_is_told_in_one_line_with_78_and_put_right_it_works(project, wrong):
    before, after, told = WRONG_CONFIGS[wrong]
    project.drop("week1.csv", clients(20, seed=1))
    project.configure(before, after)
    refused = project.call("fullprocess.py")
    assert refused.code == 78
    assert told in refused.complaint
    assert "config.yaml" in refused.complaint
    assert not (project.folder / "records.db").exists()
    project.config_file.write_text(projects.CONFIG)
    assert project.call("ingestion.py").code == 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_refuses_a_missing_config_and_an_unknown_flag_in_one_line(project, script):
    assert project.call(script, "--jsn").code == 64
    assert "--help" in project.call(script, "--jsn").complaint
    project.config_file.unlink()
    refused = project.call(script)
    assert refused.code == 78
    assert "config.yaml: no such file" in refused.complaint


def test_from_the_command_line_a_missing_config_is_78_and_an_unknown_flag_64(project):
    unknown = project.run("fullprocess.py", "--jsn")
    assert unknown.code == 64
    assert "--jsn" in unknown.complaint
    project.config_file.unlink()
    missing = project.run("fullprocess.py")
    assert missing.code == 78
    assert "no such file" in missing.complaint


def test_a_quiet_tick_notices_a_config_that_went_wrong_and_one_put_right(deployed):
    deployed.settle()
    assert deployed.call("fullprocess.py").code == 0
    assert deployed.run("fullprocess.py").code == 0
    deployed.configure("scoring: {", "scoer: {")
    assert deployed.run("fullprocess.py").code == 78
    deployed.configure("scoer: {", "scoring: {")
    again = deployed.run("fullprocess.py")
    assert (again.code, again.out, again.err) == (0, "", "")


def test_a_config_put_right_after_a_failed_run_succeeds_without_a_new_drop(project):
    project.configure("    logistic_regression:", "    logistic_regression: {max_itr: 5}")
    project.drop("week1.csv", clients(150, seed=1))
    refused = project.call("fullprocess.py")
    assert refused.code == 78
    assert "max_itr" in refused.complaint
    project.configure("max_itr: 5", "max_iter: 500")
    assert project.does("fullprocess.py")["outcome"] == "first"
    assert runs(project) == ["failed", "first"]


# ---------------------------------------------------------------------------------------------- things that go missing
def test_a_database_that_was_deleted_is_told_or_made_anew(deployed):
    deployed.call("fullprocess.py")
    (deployed.folder / "records.db").unlink()
    deployed.drop("week3.csv", clients(80, seed=3))
    ran = deployed.call("fullprocess.py")
    if ran.code:
        assert ran.complaint
        return
    assert len(deployed.rows()) == 380
    assert len(deployed.ingested("ingestedfiles.txt").read_text().splitlines()) == 1 + 3
    assert [batch for (batch,) in deployed.query("select batch from scores where last_file > 0")] == ["3"]


def test_a_production_folder_that_was_deleted_is_told_in_one_line_until_someone_starts_anew(deployed):
    deployed.call("fullprocess.py")
    before = deployed.live()
    shutil.rmtree(deployed.production())
    for name in ("", "week3.csv"):
        if name:
            deployed.drop(name, clients(80, seed=3))
        refused = deployed.call("fullprocess.py")
        assert refused.code == 70
        assert str(before) in refused.complaint
        assert "training.py and deployment.py" in refused.complaint
    assert deployed.call("training.py").code == 0
    assert deployed.call("deployment.py").code == 0
    assert deployed.call("fullprocess.py").code == 0
    assert deployed.live()
    assert len(deployed.rows()) == 380


def test_a_forced_run_that_trained_nothing_says_why_and_the_status_too(deployed):
    deployed.configure("min_rows: 60", "min_rows: 9000")
    told = deployed.call("fullprocess.py", "--force")
    assert (told.code, "forced by hand" in told.out, "asks for 9000" in told.out) == (0, True, True)
    assert "asks for 9000" in " ".join(deployed.call("fullprocess.py", "--status").out.split())


def test_a_damaged_database_is_told_in_one_line(deployed):
    (deployed.folder / "records.db").write_bytes(b"this is no database" * 1000)
    deployed.drop("week3.csv", clients(80, seed=3))
    refused = deployed.call("fullprocess.py")
    assert refused.code == 74
    assert "records.db" in refused.complaint
    for script, flag in (
        ("fullprocess.py", "--status"),
        ("deployment.py", "--list"),
        ("deployment.py", "--verify"),
    ):
        told = deployed.call(script, flag)
        assert (told.code, "`python diagnostics.py --repair`" in deployed.plain(told.complaint)) == (74, True)


def test_a_full_disk_is_told_in_one_line_and_the_next_run_goes_on(deployed):
    deployed.drop("week3.csv", clients(12_000, seed=3))
    limited = ("sh", "-c", 'ulimit -f 800; exec "$@"', "sh")  # 400 kB a file; the table needs more
    refused = deployed.run("fullprocess.py", before=limited)
    assert refused.code == 74, refused.err
    assert refused.complaint
    assert deployed.call("fullprocess.py").code == 0
    assert len(deployed.rows()) == 12_300


def test_a_copy_of_a_quiet_project_sees_its_own_drops(deployed, tmp_path):
    deployed.settle()
    assert deployed.call("fullprocess.py").code == 0
    assert deployed.run("fullprocess.py").code == 0
    copy = deployed.copied(tmp_path / "a copy")
    copy.drop("week3.csv", clients(80, seed=3))
    assert copy.run("fullprocess.py").code == 0
    assert len(copy.rows()) == 380
    assert len(deployed.rows()) == 300


# ---------------------------------------------------------------------------------------------- one writer at a time
def holder(project: Project) -> int:
    """Give the process that holds the lock, as soon as one does."""
    lock = project.ingested(".lock")
    deadline = time.monotonic() + projects.LONGEST
    while time.monotonic() < deadline:
        if lock.exists() and (text := lock.read_text()):
            return int(text)
        time.sleep(0.005)
    raise TimeoutError("nobody took the lock")


def test_of_twenty_runs_at_once_one_works_and_the_others_leave_with_75(project):
    project.test_table(clients(400, seed=100))
    project.drop("week1.csv", clients(150, seed=1))
    with ExitStack() as stack:
        started = [stack.enter_context(project.started("fullprocess.py", "--json")) for _ in range(20)]
        worker = holder(project)
        os.kill(worker, signal.SIGSTOP)  # else it may be done before the last has started
        others = [process for process in started if process.pid != worker]
        assert len(others) == 19
        for process in others:
            out, err = process.communicate(timeout=projects.LONGEST)
            assert process.returncode == 75, err
            assert out == ""
            assert err.count("\n") == 1
            assert f"process {worker}" in err
        os.kill(worker, signal.SIGCONT)
        (working,) = (process for process in started if process.pid == worker)
        out, err = working.communicate(timeout=projects.LONGEST)
        assert (working.returncode, err) == (0, "")
    assert runs(project) == ["first"]
    assert len(project.rows()) == 150
    assert releases.all_ids(project.production()) == [project.live()]


def test_a_stopped_run_keeps_the_lock_until_it_dies_and_the_next_takes_over(project):
    project.test_table(clients(400, seed=100))
    project.drop("week1.csv", clients(150, seed=1))
    with project.started("fullprocess.py") as process:
        assert holder(project) == process.pid
        process.send_signal(signal.SIGSTOP)
        for script in SCRIPTS:
            refused = project.call(script)
            assert refused.code == 75
            assert str(process.pid) in refused.complaint
        process.kill()
        process.wait()
        assert project.does("fullprocess.py")["outcome"] == "first"
