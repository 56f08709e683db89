"""What is said of every incoming file: compared once with what the live model learnt from, and bad data left out."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import config, dataset, drift, inputs, records
from pipeline.drift import PREDICTION
from pipeline.inputs import PATIENCE, left_out
from tests.project import PRICES, ROOT, Project, clients, houses

INPUTS = "select file, release, rows, labelled, bad, kind from inputs order by id"
LOST, UNIT = ("all_missing", "activity", 0), ("out_of_range", "complaints", 0)
FURTHER = ("out_of_range", "complaints", 1)


def without(rows: pd.DataFrame, column: str = "activity") -> pd.DataFrame:
    """Give rows whose column the export lost."""
    return rows.assign(**{column: ""})


def unlabelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Give rows whose outcome isn't known yet."""
    return rows.assign(exited="")


def dropped(project: Project, name: str, rows: pd.DataFrame) -> dict:
    """Drop a file, run, and give the facts of the run."""
    project.drop(name, rows)
    return project.does("fullprocess.py")


def learnt_from(project: Project) -> set[int]:
    """Give the numbers of the files that challengers may learn from or meet the champion on."""
    with project.book() as book:
        rows = dataset.load(project.config.ingested, book.parts())
        return set(rows[inputs.sound(project.config, book, rows)][dataset.FILE])


# ---------------------------------------------------------------------------------------------- the sketch
def test_a_release_carries_a_sketch_of_what_its_model_learnt_from_and_the_manifest_its_hash(deployed):
    release = deployed.champion()
    kept = release.sketch
    assert list(kept["columns"]) == ["exited", "activity", "complaints", "branch", PREDICTION]
    assert kept["columns"]["activity"]["rows"] == release.manifest["rows"]
    assert kept["columns"][PREDICTION]["rows"] == 400, "the test table, which the model had not learnt from"
    assert kept["columns"]["activity"]["mean"] == pytest.approx(
        pd.concat([clients(150, seed=1), clients(150, seed=2)])["activity"].mean(), rel=0.1
    )
    assert (release.folder / "sketch.json").stat().st_size < 300_000
    (release.folder / "sketch.json").write_text("{}")
    assert "sketch.json" in deployed.call("deployment.py", "--verify").complaint


def test_the_predictions_of_a_later_release_are_of_rows_that_came_after_its_predecessor(redeployed):
    proof = redeployed.champion().manifest["score"]["rows"]
    assert proof <= redeployed.champion().sketch["columns"][PREDICTION]["rows"] <= 180, "the newest file's"


def test_a_sketch_of_very_many_features_leaves_some_unwatched_and_stays_small(project):
    names = [f"f{number}" for number in range(60)]
    told = "\n".join(f"    {name}: number" for name in names)
    project.configure(
        "    activity: {type: number, min: 0}\n", told + "\n    activity: {type: number, min: 0}\n"
    )
    random = np.random.default_rng(0)
    rows = clients(2000, seed=1).assign(**{name: random.normal(size=2000) for name in names})
    rows["seen"] = pd.to_datetime("2025-03-03") + pd.to_timedelta(np.arange(2000) % 14, "D")
    rows[dataset.FILE] = 1
    kept = inputs.sketch_of(project.config, rows, {1: 0})
    kept = inputs.with_predictions(project.config, kept, rows, random.random(2000), {1: 0})
    assert len(inputs.text_of(kept)) < 300_000
    assert kept["unwatched"]
    assert {"exited", "f0", PREDICTION} <= set(kept["columns"])


def test_what_has_one_value_a_file_is_not_watched_and_it_is_said(project):
    project.configure("    branch: category\n", "    branch: category\n    week: number\n")
    project.test_table(clients(400, seed=100).assign(week=0))
    for week in (1, 2, 3):
        project.drop(f"week{week}.csv", clients(100, seed=week, day=week).assign(week=week))
    project.does("fullprocess.py")
    facts = dropped(project, "week9.csv", clients(100, seed=9, day=9).assign(week=9))
    assert [one["kind"] for one in facts["inputs"]] == ["none"]
    (unwatched,) = [one for one in facts["drift"] if one["feature"] == "week"]
    assert (unwatched["threshold"], unwatched["drifted"]) == (None, False)
    assert "it has one value in most files" in (project.folder / "reports" / "report.html").read_text()


SEASONS = {"none": None, "week": [0, 1, 6, 0], "year": [2, 2, 2, 3], "day": [0, 0, 0, 0], "3": [2, 0, 0, -1]}


@pytest.mark.parametrize("season", SEASONS)
def test_the_season_is_the_one_of_the_config(project, season):
    project.configure("require: 2}", f"require: 2, season: {season}}}")
    days = ["2025-03-03", "2025-03-04", "2025-03-30", "2025-04-07"]
    rows = pd.DataFrame({"seen": pd.to_datetime(days), dataset.FILE: [3, 5, 5, 0]})
    found = inputs.phase_of(project.config, rows, {1: 0, 2: 1, 3: 2, 5: 3})
    assert (None if found is None else found.tolist()) == SEASONS[season]


@pytest.mark.parametrize("season", ["weekly", "1", "true", "1.5", "[week]"])
def test_a_season_that_is_none_is_told_with_what_would_be_one(project, season):
    project.configure("require: 2}", f"require: 2, season: {season}}}")
    told = project.call("fullprocess.py")
    assert told.code == 78
    assert "drift.season: " in told.complaint
    assert "none, day, week, year, or a number of files" in told.complaint


def by_day(seed: int, days: list[int]) -> pd.DataFrame:
    """Give 60 clients a day of March, who are half as active on Sundays."""
    rows = clients(60 * len(days), seed=seed)
    rows["seen"] = [f"2025-03-{day:02}" for day in days for _ in range(60)]
    return rows.assign(activity=rows["activity"] // (1 + np.repeat([day % 7 == 2 for day in days], 60)))


@pytest.mark.parametrize(("season", "drifts"), [("week", [False] * 3), ("none", [True, False, True])])
def test_a_weekday_is_no_drift_if_it_is_a_season(tmp_path, season, drifts):
    project = Project.made(tmp_path / "a project")
    project.configure("require: 2}", f"require: 2, season: {season}}}")
    project.test_table(by_day(100, [2, 3, 4]))
    project.drop("february.csv", by_day(1, [*range(1, 29)]))
    assert project.does("fullprocess.py")["outcome"] == "first"
    project.configure("policy: adaptive", "policy: never")
    found = []
    for number, day in enumerate((16, 17, 30)):  # Sunday, Monday, Sunday
        facts = dropped(project, f"day {number}.csv", by_day(50 + number, [day] * 3))
        found.append(any(one["drifted"] for one in facts["drift"] if one["feature"] == "activity"))
    assert found == drifts


# ---------------------------------------------------------------------------------------------- each file, once
def test_a_file_as_before_is_on_record_and_nothing_is_said(deployed):
    facts = dropped(deployed, "week3.csv", clients(150, seed=3, day=15))
    assert deployed.query(INPUTS) == [(3, deployed.live(), 150, 150, 0, "none")]
    (told,) = facts["inputs"]
    assert (told["file"], told["kind"]) == ("week3.csv", "none")
    assert told["estimate"]["rows"] == 150
    tests = {(one["test"], one["feature"]) for one in facts["drift"]}
    assert {("feature_drift", None), ("feature_drift", "activity"), ("feature_drift", PREDICTION)} <= tests
    assert not any(one["drifted"] for one in facts["drift"])
    assert all(set(one) >= {"test", "feature", "statistic", "threshold", "drifted"} for one in facts["drift"])
    assert "Inputs" not in deployed.call("fullprocess.py", "--status").out


def test_files_without_any_label_are_watched_too_and_the_score_is_estimated(deployed):
    rows = clients(150, seed=3, day=15)
    facts = dropped(deployed, "week3.csv", unlabelled(rows.assign(activity=rows["activity"] + 40)))
    assert facts["scores"] == []
    (told,) = facts["inputs"]
    assert told["kind"] == "covariate shift"
    assert "activity moved" in told["sentence"]
    assert "none of its rows has a known outcome, so whether the loss rose isn't known" in told["sentence"]
    assert 0 < told["estimate"]["brier"] < 0.25
    moved = {one["feature"] for one in facts["drift"] if one["drifted"]}
    assert moved == {None, "activity", PREDICTION}
    assert facts["fits"] == 0, "drift of features retrains nothing"
    line = deployed.call("fullprocess.py", "--status").out
    assert "Inputs    week3.csv: activity moved" in line
    assert "inputs    week3.csv: activity moved" in deployed.call("fullprocess.py", "--history").out


def test_a_changed_relationship_is_told_from_a_change_of_the_rows(deployed):
    facts = dropped(deployed, "week3.csv", clients(180, seed=3, day=15, flipped=True))
    (told,) = facts["inputs"]
    assert told["kind"] == "concept shift"
    assert facts["outcome"] == "deployed"


def test_what_is_said_of_the_loss_is_what_is_known_of_it(deployed):
    deployed.configure("policy: adaptive", "policy: never")
    rows = clients(150, seed=3, day=15)
    known = [
        dropped(deployed, "as before.csv", rows)["inputs"][0]["sentence"],
        dropped(deployed, "unknown.csv", unlabelled(clients(150, seed=4, day=16)))["inputs"][0]["sentence"],
        dropped(deployed, "few.csv", clients(30, seed=5, day=17))["inputs"][0]["sentence"],
    ]
    assert known[0].endswith("no rise of the live model's loss is proven")
    assert known[1].endswith("none of its rows has a known outcome, so whether the loss rose isn't known")
    assert known[2].endswith("its outcomes aren't scored yet, so whether the loss rose isn't known")
    facts = dropped(deployed, "older.csv", clients(150, seed=6, day=18).assign(activity=90))
    assert "loss" not in facts["inputs"][0]["sentence"], "bad data aren't scored"
    moved = clients(150, seed=7, day=19)
    facts = dropped(deployed, "moved.csv", moved.assign(activity=np.minimum(99, moved["activity"] + 25)))
    (told,) = facts["inputs"]
    assert told["kind"] == "harmless covariate shift"
    assert told["sentence"].endswith(
        "no rise of the live model's loss is proven: no reason by itself to train anew"
    )


def test_evidence_is_carried_from_file_to_file_and_no_file_counts_twice(deployed):
    deployed.configure("policy: adaptive", "policy: never")
    for number in range(3, 7):
        rows = clients(60, seed=number, day=15)
        dropped(deployed, f"week{number}.csv", rows.assign(activity=rows["activity"] + 18))
        deployed.does("scoring.py")
        (deployed.folder / "ingesteddata" / "state.txt").unlink()
        assert deployed.does("fullprocess.py")["inputs"] == []
    assert [row[0] for row in deployed.query(INPUTS)] == [3, 4, 5, 6]
    found = [json.loads(text) for (text,) in deployed.query("select verdicts from inputs order by id")]
    proofs = [
        one["statistic"]
        for file in found
        for one in file
        if one["feature"] == "activity" and one["threshold"] > 100
    ]
    assert proofs == sorted(proofs)
    assert proofs[-1] > 1000 * proofs[0]


def test_another_release_of_the_same_rows_goes_on_with_the_evidence_on_features():
    random = np.random.default_rng(0)
    sketch = drift.sketch({"x": random.normal(size=500)}, {"x": "number"})
    first, second = ({**sketch, "id": f"{sketch['id']}-{own}"} for own in ("one", "two"))
    state = {"sketch": first["id"], "stakes": {"x": [1.0, 2.0], PREDICTION: [3.0]}, "batches": []}
    assert inputs.carried(state, first) == state
    assert inputs.carried(state, second) == {
        "sketch": second["id"], "stakes": {"x": [1.0, 2.0]}, "batches": [],
    }  # fmt: skip
    other = {**sketch, "id": "other-one"}
    assert inputs.carried(state, other)["sketch"] != other["id"], "begins anew"


def test_a_release_that_goes_live_again_compares_no_file_again(redeployed):
    redeployed.configure("policy: adaptive", "policy: never")
    dropped(redeployed, "week4.csv", clients(100, seed=4, day=22))
    redeployed.does("deployment.py", "--rollback")
    facts = dropped(redeployed, "week5.csv", clients(100, seed=5, day=29))
    assert [one["file"] for one in facts["inputs"]] == ["week5.csv"]
    assert [row[0] for row in redeployed.query(INPUTS)] == [3, 4, 5]


def test_before_the_first_release_and_of_its_own_files_nothing_is_recorded(first_run, redeployed):
    assert first_run.query(INPUTS) == []
    assert [row[0] for row in redeployed.query(INPUTS)] == [3], "the second release learnt up to it"


def test_a_release_without_a_sketch_is_no_failure(deployed):
    release = deployed.champion()
    with deployed.manifest() as manifest:
        del manifest["files"]["sketch.json"]
    (release.folder / "sketch.json").unlink()
    facts = dropped(deployed, "week3.csv", clients(150, seed=3, day=15))
    assert facts["inputs"] == []
    assert len(facts["scores"]) == 1


def test_killed_between_watching_and_telling_the_next_run_tells(deployed):
    deployed.drop("week3.csv", without(clients(150, seed=3, day=15)))
    code = f"""
import os, runpy, sys
from pipeline import inputs
inputs.diagnose = lambda *_: os.kill(os.getpid(), {int(signal.SIGKILL)})
sys.argv = ["fullprocess.py", "--config", {str(deployed.config_file)!r}]
runpy.run_path({str(ROOT / "fullprocess.py")!r}, run_name="__main__")
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert ran.returncode == -signal.SIGKILL
    assert [row[4:] for row in deployed.query(INPUTS)] == [(1, None)]
    (told,) = deployed.does("fullprocess.py")["inputs"]
    assert told["kind"] == "bad data"
    assert [row[4:] for row in deployed.query(INPUTS)] == [(1, "bad data")]


def test_numbers_are_watched_without_an_estimate(tmp_path):
    project = Project.made(tmp_path / "prices", PRICES)
    project.test_table(houses(200, seed=100))
    project.drop("week1.csv", houses(150, seed=1))
    project.does("fullprocess.py")
    rows = houses(150, seed=2)
    facts = dropped(project, "week2.csv", rows.assign(age=rows["age"] + 60))
    (told,) = facts["inputs"]
    assert told["estimate"] is None
    assert "age" in told["sentence"]


# ---------------------------------------------------------------------------------------------- bad data
def test_bad_data_are_left_out_of_scores_training_and_growth_and_stay_in_the_table(deployed):
    rows = without(clients(400, seed=3, day=15, flipped=True))
    facts = dropped(deployed, "week3.csv", rows)
    (told,) = facts["inputs"]
    assert told["kind"] == "bad data"
    assert "activity: 400 of 400 cells missing" in told["sentence"]
    assert (facts["scores"], facts["fits"], facts["outcome"]) == ([], 0, "kept")
    assert len(deployed.rows()) == 700
    assert learnt_from(deployed) == {1, 2}
    trained = deployed.does("training.py")["candidates"]
    assert all(one["rows"] <= 300 for one in trained)
    assert "bad data in activity" in deployed.call("fullprocess.py", "--status").out


def test_bad_data_that_were_only_ingested_are_not_trained_on_by_hand_either(deployed):
    deployed.drop("week3.csv", without(clients(400, seed=3, day=15)))
    deployed.does("ingestion.py")
    assert all(one["rows"] <= 300 for one in deployed.does("training.py")["candidates"])


def test_the_third_file_in_a_row_that_is_bad_alike_is_the_new_normal(deployed):
    deployed.configure("policy: adaptive", "policy: never")
    kinds = []
    for number in range(3, 7):
        facts = dropped(deployed, f"week{number}.csv", without(clients(100, seed=number, day=15)))
        kinds.append(facts["inputs"][0]["kind"])
        scored = [score["batch"] for score in facts["scores"]]
        assert scored == ([] if number < 5 else ["3", "4", "5"] if number == 5 else ["6"])
    assert kinds == ["bad data", "bad data", "new normal", "new normal"]
    assert "3 files in a row" in facts["inputs"][0]["sentence"]
    assert learnt_from(deployed) == {1, 2, 3, 4, 5, 6}


def test_what_creeps_beyond_all_that_was_seen_is_drift_and_no_bad_data_and_a_jump_is(deployed):
    """Activity was 0 to 99; it rises by 8 with each file, in the end it's another unit."""
    deployed.configure("policy: adaptive", "policy: never")
    for number in range(3, 11):
        rows = clients(100, seed=number, day=15)
        deployed.drop(f"week{number:02}.csv", rows.assign(activity=rows["activity"] + 8 * (number - 2)))
    broken = clients(100, seed=11, day=15)
    deployed.drop("week11.csv", broken.assign(activity=100 * broken["activity"]))
    kinds = [one["kind"] for one in deployed.does("fullprocess.py")["inputs"]]
    assert "bad data" not in kinds[:-1]
    assert kinds[-1] == "bad data"
    assert learnt_from(deployed) == set(range(1, 11))


def test_a_file_that_is_accepted_by_hand_is_scored_and_learnt_from_and_what_is_alike_is_usual(deployed):
    deployed.configure("policy: adaptive", "policy: never")
    tenfold = [clients(100, seed=seed, day=15) for seed in (3, 4)]
    tenfold = [rows.assign(activity=rows["activity"] * 10) for rows in tenfold]
    told = dropped(deployed, "week3 (new unit).csv", tenfold[0])["inputs"][0]["sentence"]
    assert told.endswith("if they are right: `python scoring.py --accept 3`")
    done = deployed.call("scoring.py", "--accept", "week3 (new unit).csv")
    assert (done.code, done.out.count("\n")) == (0, 1)
    assert done.out.startswith("week3 (new unit).csv (3, of 20")
    assert "accepted, 100 rows; the next run scores what of it can still be" in done.out
    facts = deployed.does("fullprocess.py")
    assert [(score["batch"], score["name"]) for score in facts["scores"]] == [("3", "week3 (new unit).csv")]
    assert facts["inputs"] == [], "what was told of it stays as it was"
    status = " ".join(deployed.call("fullprocess.py", "--status").out.split())
    assert "accepted by hand, though: bad data by activity" in status
    assert learnt_from(deployed) == {1, 2, 3}
    facts = dropped(deployed, "week4.csv", tenfold[1])
    assert [one["kind"] for one in facts["inputs"]] == ["covariate shift with harm"]
    assert learnt_from(deployed) == {1, 2, 3, 4}
    again = deployed.call("scoring.py", "--accept", "week3 (new unit).csv")
    assert (again.code, again.out) == (65, "")
    assert "no file of this name or number is left out as bad data; no file is" in again.complaint
    story = " ".join(deployed.call("fullprocess.py", "--history").out.split())
    assert re.search(
        r"accept no bad data: week3 \(new unit\)\.csv \(3, of .* right as it is, .*, though: bad data by activity",
        story,
    )


def test_of_files_of_one_name_one_is_accepted_by_its_number(deployed):
    deployed.configure("policy: adaptive", "policy: never")
    for number in (3, 4):
        dropped(deployed, "export.csv", without(clients(100, seed=number, day=15)))
    told = deployed.call("scoring.py", "--accept", "export.csv")
    assert (told.code, "say which by number: export.csv (3, of" in told.complaint) == (65, True)
    assert deployed.does("scoring.py", "--accept", "4")["number"] == 4


def test_a_file_that_is_accepted_after_newer_ones_were_scored_is_learnt_from_only(deployed):
    deployed.configure("policy: adaptive", "policy: never")
    dropped(deployed, "week3.csv", without(clients(100, seed=3, day=15)))
    dropped(deployed, "week4.csv", clients(100, seed=4, day=22))
    wrong = deployed.call("scoring.py", "--accept", "week4.csv")
    assert (wrong.code, "those that are: week3.csv (3, of" in wrong.complaint) == (65, True)
    told = " ".join(deployed.call("fullprocess.py", "--status").out.split())
    assert "Left out as bad data, 1 file: week3.csv (3); `python scoring.py --config " in told
    path = str(deployed.folder / "drop" / "week3.csv")
    assert deployed.does("scoring.py", "--accept", path) == {"accepted": "week3.csv", "number": 3}
    assert "Left out" not in deployed.call("fullprocess.py", "--status").out
    assert deployed.does("fullprocess.py")["scores"] == []
    assert learnt_from(deployed) == {1, 2, 3, 4}
    assert deployed.call("scoring.py", "--accept", "x.csv", "--data", "y.csv").code == 64


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        (["x3", "x3", "x3"], ["bad data", "bad data", "new normal"]),
        (["x3", "x10", "x3"], ["bad data", "bad data", "new normal"]),
        (["x3", "x3", "x1000"], ["bad data"] * 3),
        (["+200", "+200", "+1000000"], ["bad data"] * 3),
        (["x3", "x3", "x1000", "x1000", "x1000"], ["bad data"] * 4 + ["new normal"]),
        (["x1000", "x3", "x3", "x1"], ["bad data"] * 3 + ["none"]),
    ],
)
def test_bad_numbers_that_jump_on_are_not_alike(deployed, changes, kinds):
    deployed.configure("policy: adaptive", "policy: never")
    found = []
    for number, change in enumerate(changes, 3):
        rows, by = clients(100, seed=number, day=15), int(change[1:])
        changed = rows["activity"] * by if change[0] == "x" else rows["activity"] + by
        facts = dropped(deployed, f"week{number}.csv", rows.assign(activity=changed))
        found += [one["kind"] for one in facts["inputs"]]
    assert found == kinds


@pytest.mark.parametrize(("last", "kind"), [(10, "new normal"), (1000, "bad data")])
def test_a_bad_file_of_few_rows_is_like_the_one_before_and_makes_nothing_forgotten(deployed, last, kind):
    deployed.configure("policy: adaptive", "policy: never")
    found = []
    for number, (rows, times) in enumerate(((100, 10), (15, 10), (100, last)), 3):
        file = clients(rows, seed=number, day=15)
        facts = dropped(deployed, f"week{number}.csv", file.assign(activity=file["activity"] * times))
        found += [one["kind"] for one in facts["inputs"]]
    assert found == ["bad data", "bad data", kind]


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ([LOST], {0}),
        ([LOST, LOST], {0, 1}),
        ([LOST, LOST, LOST], set()),
        ([LOST, None, LOST, LOST], {0, 2, 3}),
        ([LOST, UNIT, LOST], {0, 1, 2}),
        ([LOST, LOST, LOST, UNIT], {3}),
        ([LOST, LOST, LOST, None, LOST], {4}),
        ([LOST] * 50, set()),
        ([UNIT, UNIT, FURTHER], {0, 1, 2}),
        ([UNIT, FURTHER, FURTHER, FURTHER], {0}),
    ],
)
def test_patience_is_for_the_same_trouble_in_a_row(files, left):
    judged = {at: frozenset([way] if way else []) for at, way in enumerate(files)}
    assert left_out(judged) == left


@pytest.mark.parametrize(
    ("files", "accepted", "left"),
    [
        ([LOST], {0}, set()),
        ([LOST, LOST], {0}, set()),
        ([LOST, LOST], {1}, set()),
        ([LOST, None, LOST], {0}, {2}),
        ([LOST, UNIT], {0}, {1}),
        ([LOST, LOST, LOST], {0}, set()),
        ([LOST, LOST, None], {0}, set()),
    ],
)
def test_one_that_was_accepted_takes_no_other_out_and_those_like_it_in_its_row_in(files, accepted, left):
    judged = {at: frozenset([way] if way else []) for at, way in enumerate(files)}
    assert left_out(judged, accepted) == left


def test_who_accepts_a_file_takes_out_none_that_was_learnt_from(deployed):
    deployed.configure("policy: adaptive", "policy: never")
    dropped(deployed, "week3.csv", without(clients(100, seed=3, day=15)).assign(branch="mars"))
    for number in (4, 5):
        dropped(deployed, f"week{number}.csv", without(clients(100, seed=number, day=15)))
    assert learnt_from(deployed) == {1, 2, 4, 5}
    deployed.does("scoring.py", "--accept", "week3.csv")
    assert learnt_from(deployed) == {1, 2, 3, 4, 5}


def test_what_comes_as_in_a_file_that_was_accepted_is_normal_at_once(deployed):
    deployed.configure("policy: adaptive", "policy: never")
    dropped(deployed, "week3.csv", without(clients(100, seed=3, day=15)))
    deployed.does("scoring.py", "--accept", "3")
    (told,) = dropped(deployed, "week4.csv", without(clients(100, seed=4, day=15)))["inputs"]
    assert told["kind"] == "new normal"
    assert told["sentence"].startswith("activity came as in a file that was accepted: taken for normal")
    assert learnt_from(deployed) == {1, 2, 3, 4}


def test_a_file_like_an_accepted_one_teaches_what_is_usual(deployed):
    """Complaints were 0 to 5. They creep, first in a file that lacks activity as an accepted one did."""
    deployed.configure("policy: adaptive", "policy: never")
    dropped(deployed, "week3.csv", without(clients(100, seed=3, day=15)))
    deployed.does("scoring.py", "--accept", "3")
    for number, more in ((4, 0.4), (5, 0.8)):
        rows = clients(100, seed=number, day=15)
        rows = rows.assign(complaints=rows["complaints"].where(rows.index > 59, 5 + more))
        dropped(deployed, f"week{number}.csv", without(rows) if number == 4 else rows)
    assert learnt_from(deployed) == {1, 2, 3, 4, 5}


@given(st.lists(st.sets(st.sampled_from([LOST, UNIT])), max_size=30))
def test_a_good_file_is_never_left_out_and_what_is_long_bad_alike_never_stays_out(found):
    judged = {at: frozenset(ways) for at, ways in enumerate(found)}
    out = left_out(judged)
    assert all(judged[at] for at in out)
    for at in range(len(found) - PATIENCE + 1):
        some = found[at : at + PATIENCE]
        if some[0] and all(ways == some[0] for ways in some):
            assert not out & set(range(at, at + PATIENCE))


def test_a_row_that_a_later_file_corrects_is_learnt_from_again(project):
    project.configure("scoring: {", "cleaning: {key: [client]}\nscoring: {")
    project.test_table(clients(400, seed=100))
    project.drop("week1.csv", clients(300, seed=1))
    project.does("fullprocess.py")
    good = clients(150, seed=3, day=15)
    dropped(project, "week3.csv", without(good))
    assert learnt_from(project) == {1}
    dropped(project, "week3 corrected.csv", good)
    with project.book() as book:
        rows = dataset.load(project.config.ingested, book.parts())
        assert inputs.sound(project.config, book, rows).all()


SAME = {
    "a few corrections": lambda rows: rows.assign(exited=rows["exited"].where(rows.index > 9, 1 - rows["exited"])),
    "other features": lambda rows: rows.assign(complaints=(rows["complaints"] + 1) % 6),
    "a later time": lambda rows: rows.assign(exited=1 - rows["exited"], seen="2025-04-15"),
    "an older time": lambda rows: rows.assign(exited=1 - rows["exited"], seen="2025-01-15"),
    "labels of rows that had none": lambda rows: clients(150, seed=9, day=15),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_labels_that_stay_or_are_of_another_time_are_not_said_to_be_replaced(project, name):
    project.configure("scoring: {", "cleaning: {key: [client]}\nscoring: {")
    project.configure("policy: adaptive", "policy: never")
    project.test_table(clients(400, seed=100))
    project.drop("week1.csv", clients(300, seed=1))
    project.does("fullprocess.py")
    rows = clients(150, seed=3, day=15)
    dropped(project, "week3.csv", rows)
    dropped(project, "unlabelled.csv", unlabelled(clients(150, seed=9, day=15)))
    (told,) = dropped(project, "week4.csv", SAME[name](rows))["inputs"]
    assert told["kind"] != "labels changed"
    assert "replace another" not in told["sentence"]


def test_equal_rows_with_other_labels_are_no_bad_data_where_they_always_came(project):
    def visits(rows: int, seed: int) -> pd.DataFrame:
        few = clients(rows, seed=seed).assign(client="shop", activity=50)
        few["exited"] = np.random.default_rng(seed).integers(0, 2, rows)
        return few

    project.test_table(visits(400, 100).assign(activity=51))
    project.drop("week1.csv", visits(400, 1))
    project.does("ingestion.py")
    config = project.config
    with project.book() as book:
        rows = dataset.load(config.ingested, book.parts())
    share = inputs.contradicting(config, rows)
    assert share > 0.9
    assert not inputs.labels_contradict(config, rows, before=share).drifted
    assert inputs.labels_contradict(config, rows, before=0.0).drifted


def test_a_column_that_is_no_longer_in_the_config_makes_no_file_bad(deployed):
    dropped(deployed, "week3.csv", without(clients(100, seed=3, day=15)))
    assert learnt_from(deployed) == {1, 2}
    deployed.configure("    activity: {type: number, min: 0}\n", "")
    assert learnt_from(deployed) == {1, 2, 3}


def test_with_a_key_a_file_of_one_outcome_is_a_file_of_labels_and_not_bad(project):
    project.configure("scoring: {", "cleaning: {key: [client]}\nscoring: {")
    project.test_table(clients(400, seed=100))
    project.drop("week1.csv", clients(300, seed=1))
    project.does("fullprocess.py")
    rows = clients(150, seed=3, day=15)
    facts = dropped(project, "leavers.csv", rows[rows["exited"] == 1])
    assert "bad data" not in {one["kind"] for one in facts["inputs"]}


# ---------------------------------------------------------------------------------------------- records, sums
def test_what_was_found_is_recorded_once_a_file_and_release(tmp_path):
    with records.opened(f"sqlite:///{tmp_path}/records.db") as book:
        facts = {"rows": 5, "labelled": 2, "verdicts": "[]", "state": "{}", "estimate": None}
        for release in ("a", "a", "b"):
            book.add_input(file=7, release=release, bad=release == "b", **facts)
        assert [(row.file, row.release) for row in book.inputs()] == [(7, "a"), (7, "b")]
        assert book.judged_inputs() == [(7, 5, None)], "the release that was live when it came says so"
        assert [row.id for row in book.untold_inputs()] == [1, 2], (
            "also that of a release that is no longer live"
        )
        book.tell_input(1, "none", "nothing")
        assert [row.id for row in book.untold_inputs()] == [2]
        assert [row.kind for row in book.inputs(newest=2)] == ["none", None]


def test_bad_files_count_for_no_growth(tmp_path):
    with records.opened(f"sqlite:///{tmp_path}/records.db") as book:
        book.add_files(
            records.FileRecord("d", str(at), str(at), "ingested", "c", labelled=10**at) for at in range(3)
        )
        assert book.labelled_rows(without={2}) == 101
        assert book.labelled_rows() == 111


def test_numbers_that_are_none_are_null_in_json():
    assert [inputs._plain(value) for value in (float("nan"), float("inf"), 1.5, "x", None)] == [
        None, None, 1.5, "x", None,
    ]  # fmt: skip
    estimate = drift.estimate.expected("classification", np.ones(3))
    assert json.loads(json.dumps({k: inputs._plain(v) for k, v in vars(estimate).items()}, allow_nan=False))


def test_the_default_season_is_the_week():
    assert config.Drift().season == "week"
