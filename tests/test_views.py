"""What the records and production say: report, status and history can't tell different numbers."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from pipeline import cleaning, journal, records, views, words
from pipeline.config import Feature
from tests.project import PRICES, Project, clients, houses

NUMBER = Feature(type="number")


@pytest.fixture(scope="module")
def season(first_run: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project with a history: a quiet week, a bad one with a file that is no table, a run cut off, a change.

    Nothing in it may be changed by a test: `copied` gives a project of its own.
    """
    project = first_run.copied(tmp_path_factory.mktemp("season") / "a project")
    project.drop("week3.csv", clients(90, seed=3, day=15))
    project.does("fullprocess.py")
    bad = clients(90, seed=4, day=22)
    bad.loc[[5, 6], "complaints"] = 99
    project.drop("week4.csv", bad)
    project.drop("noise.csv", b"\0\1\2")
    project.does("fullprocess.py")
    with journal.opened(project.config) as book:
        book.start_run()  # and never ended
    for week in range(5, 9):
        project.drop(f"week{week}.csv", clients(120, seed=week, day=week, flipped=True))
        project.does("fullprocess.py")
    assert len(project.query("SELECT id FROM releases")) > 1
    return project


@pytest.fixture(params=["season", "deployed", "project", "prices"])
def any_project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    """Give projects of every kind: with a history, after one run, before the first, with a number to predict."""
    if request.param != "prices":
        return request.getfixturevalue(request.param)
    project = Project.made(tmp_path / "prices", PRICES)
    project.drop("houses.csv", houses(200, seed=1))
    project.does("fullprocess.py")
    return project


def view(project: Project, name: str):
    """Give a view of the project."""
    with project.book() as book:
        return views.VIEWS[name](project.config, book)


def told(project: Project) -> str:
    """Give the history in words."""
    with project.book() as book:
        return views.history(project.config, book)[1]


def state(project: Project) -> str:
    """Give the status in words."""
    with project.book() as book:
        return views.status(project.config, book)[1]


# ---------------------------------------------------------------------------------------------- all of them
def test_every_view_is_plain_json_whatever_the_project(any_project):
    with any_project.book() as book:
        facts = views.gathered(any_project.config, book)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


@pytest.mark.parametrize("name", views.VIEWS)
def test_every_view_says_what_it_gives(name):
    assert (views.VIEWS[name].__doc__ or "").startswith("Give ")


# ---------------------------------------------------------------------------------------------- champion, scores, drift
def test_the_champions_score_is_the_one_in_latestscore_txt(season):
    score = view(season, "champion")["score"]
    assert f"{score['value']:.6g}" == (season.folder / "models" / "latestscore.txt").read_text().strip()
    assert score["low"] < score["value"] < score["high"]


def test_a_new_champion_is_known_by_the_score_of_its_proof(deployed):
    live = view(deployed, "champion")
    assert live["release"] == deployed.live()
    assert live["score"]["value"] == deployed.champion().manifest["score"]["value"]
    assert live["score"]["batch"] is None


def test_the_score_of_a_release_that_is_proven_by_its_predecessors_is_told_as_theirs(tmp_path):
    project = Project.made(
        tmp_path / "prices", PRICES.replace("retraining: {", "retraining: {policy: always, ")
    )
    project.test_table(houses(200, seed=100))
    for week in range(1, 4):
        rows = houses(100, seed=week)
        rows["price"] += 12 * week  # prices rise, so that a newer model is surely better
        project.drop(f"week{week}.csv", rows)
        facts = project.does("fullprocess.py")
        on = view(project, "champion")["score"]["on"]
        assert ("that it was proven on" in on) == (week < 3)
    assert "trained just now as its predecessors were" in facts["reasons"][-1]
    assert on == "50 rows that its predecessors predicted: it was made as they were, and learnt from these"
    assert f"on {on}." in " ".join(state(project).split())


def test_rows_that_a_model_in_the_mix_learnt_from_are_no_rows_to_show_it_on(redeployed):
    live, config = redeployed.champion(), redeployed.config
    with redeployed.book() as book:
        assert views._unseen(config, book, live)[1] == "the rows that it was proven on before it went live"
        facts = next(one for one in live.components.values() if one["held_above"] is not None)
        mix = {**live.components, "another": {**facts, "held_above": None}}
        learnt = replace(live, manifest={**live.manifest, "components": mix})
        rows, source = views._unseen(config, book, learnt)
        assert (len(rows), source) == (400, "the test table, which no model learns from")


def test_after_a_rollback_the_champion_is_live_since_then_and_for_that_reason(season, tmp_path):
    project = season.copied(tmp_path / "a project")
    first = project.query("SELECT id FROM releases ORDER BY number")[0][0]
    project.does("deployment.py", "--rollback", first)
    live, decision = view(project, "champion"), view(project, "decisions")[0]
    assert (live["release"], live["since"]) == (first, decision["at"])
    assert "by hand" in live["reasons"][0]


def test_a_score_is_drifted_where_enough_tests_agree_and_only_there(season):
    require = season.config.drift.require
    votes = "sum(drifted) + 9 * sum(drifted AND test = 'loss')"  # the alarm on the loss is enough by itself
    fired = dict(season.query(f"SELECT release || batch, {votes} FROM verdicts GROUP BY release, batch"))
    scores = view(season, "scores")
    assert any(score["drifted"] for score in scores)
    for score in scores:
        assert score["drifted"] == (fired.get(score["release"] + score["batch"], 0) >= require)
    for batch in view(season, "drift"):
        found = [verdict["test"] for verdict in batch["verdicts"] if verdict["drifted"]]
        assert batch["drifted"] == ("loss" in found or len(found) >= require)


def test_scores_tell_proofs_from_batches_and_name_the_files(season):
    kinds = {(score["kind"], bool(score["name"])) for score in view(season, "scores")}
    assert kinds == {("proof", False), ("batch", True)}


def test_one_release_is_live_and_it_is_the_one_the_link_points_to(season):
    assert [one["release"] for one in view(season, "releases") if one["live"]] == [season.live()]


# ---------------------------------------------------------------------------------------------- columns
def test_a_column_of_numbers_is_described_as_by_hand():
    facts = views.column_facts(pd.Series([1.0, 2.0, 2.0, 7.0, None]), NUMBER)
    assert facts == {
        "type": "number", "missing": 1, "missing_share": 0.2,
        "mean": 3.0, "median": 2.0, "mode": 2.0, "sd": pytest.approx(2.7080128), "min": 1.0, "max": 7.0,
    }  # fmt: skip


def test_of_equally_frequent_values_the_smallest_is_the_mode():
    assert views.column_facts(pd.Series([5.0, 1.0, 5.0, 1.0, 3.0]), NUMBER)["mode"] == 1.0


def test_a_column_without_any_value_twice_has_no_mode():
    assert views.column_facts(pd.Series([1.0, 2.0, 3.0]), NUMBER)["mode"] is None


@pytest.mark.parametrize("kind", ["number", "date", "category"])
def test_an_empty_column_has_no_numbers_rather_than_wrong_ones(kind):
    columns = {"number": "float64", "date": "datetime64[us]", "category": object}
    facts = views.column_facts(pd.Series([None, None], dtype=columns[kind]), Feature(type=kind))
    assert facts["missing_share"] == 1.0
    assert {value for name, value in facts.items() if name not in ("type", "missing", "missing_share")} <= {
        None,
        0,
    }
    assert views.column_facts(pd.Series([], dtype=columns[kind]), Feature(type=kind))["missing_share"] is None


def test_a_single_value_has_no_standard_deviation():
    assert views.column_facts(pd.Series([4.0]), NUMBER)["sd"] is None


def test_statistics_are_those_of_finaldata_csv(season):
    table = pd.read_csv(season.ingested("finaldata.csv"))
    facts = view(season, "statistics")
    assert facts["rows"] == len(table)
    assert list(facts["columns"]) == list(table)
    for name in ("activity", "complaints"):
        found, column = facts["columns"][name], table[name]
        assert found["mean"] == pytest.approx(column.mean())
        assert found["median"] == column.median()
        assert found["mode"] == column.mode()[0]
        assert found["sd"] == pytest.approx(column.std())
    assert facts["columns"]["branch"]["distinct"] == table["branch"].nunique()
    assert facts["columns"]["seen"]["last"].startswith(table["seen"].max())


# ---------------------------------------------------------------------------------------------- predictions and truth
def test_the_confusion_matrix_is_scikit_learns():
    random = np.random.default_rng(0)
    truth, probability = random.integers(0, 2, 200), random.random(200)
    facts = views.confusion(truth, probability)
    counts = confusion_matrix(truth, probability >= 0.5).ravel().tolist()
    names = ("true_negative", "false_positive", "false_negative", "true_positive")
    assert [facts[name] for name in names] == counts
    assert facts["precision"] == counts[3] / (counts[3] + counts[1])
    assert facts["recall"] == counts[3] / (counts[3] + counts[2])


def test_without_a_positive_row_recall_is_absent_and_not_zero():
    facts = views.confusion(np.zeros(3, int), np.full(3, 0.1))
    assert facts["precision"] is None
    assert facts["recall"] is None
    assert facts["true_negative"] == 3


def test_a_new_model_is_shown_on_the_test_table(deployed):
    facts = view(deployed, "outcomes")
    assert facts["rows"] == 400
    assert "test table" in facts["source"]
    assert (facts["negative"], facts["positive"]) == ("0", "1")


def test_a_model_is_shown_on_the_newest_rows_it_was_scored_on_and_none_it_learnt_from(deployed):
    deployed.drop("week3.csv", clients(90, seed=3, day=15))
    deployed.does("fullprocess.py")
    facts = view(deployed, "outcomes")
    assert facts["rows"] == 90
    fresh = clients(90, seed=3, day=15)
    predicted = (deployed.predictions(fresh) >= 0.5).astype(int)
    assert facts["true_positive"] == int(np.sum(predicted & fresh["exited"]))


def test_for_numbers_the_errors_are_told():
    facts = views.errors(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 5.0]))
    assert facts["bias"] == 1.0
    assert facts["half_within"] == 1.0
    assert facts["pairs"] == [[1.0, 2.0], [2.0, 2.0], [3.0, 5.0]]


def test_of_many_rows_some_pairs_are_shown():
    assert len(views.errors(np.arange(1e5), np.arange(1e5))["pairs"]) == views.PAIRS


# --------------------------------------------------------------------------------------------- timings, files, packages
def test_timings_are_those_on_record(project):
    with project.book() as book:
        for seconds in (3.0, 1.0, 8.0, 2.0):
            book.add_timings({"scoring": seconds})
        (facts,) = views.timings(project.config, book)
    assert (facts["last"], facts["median"], facts["worst"], facts["times"]) == (2.0, 2.5, 8.0, 4)


def test_files_with_something_set_aside_are_told_with_the_reason(season):
    facts = view(season, "files")
    by_name = {one["name"]: one for one in facts["trouble"]}
    assert {name: one["set_aside"] for name, one in by_name.items()} == {
        "week4.csv": False,
        "noise.csv": True,
    }
    assert by_name["week4.csv"]["rows"] == 2
    assert "complaints '99': above the maximum 50" in by_name["week4.csv"]["reason"]
    assert "NUL" in by_name["noise.csv"]["reason"]
    assert facts["rows"] == len(season.rows())


def test_packages_are_told_as_ok_other_missing_or_unknown(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(
        "# a comment\n\nnumpy>=1  # sums\npandas==0.0.1\nno-such-package-here==1.0\n-r other.txt\n"
        "pandas==0.0.1; python_version < '3'\nPyYAML\n"
    )
    states = {package["name"]: package["state"] for package in views.compared(requirements)}
    assert states == {
        "numpy": "ok",
        "pandas": "other version",
        "no-such-package-here": "missing",
        "-r other.txt": "unknown",
        "PyYAML": "ok",
    }


def test_without_a_requirements_file_packages_are_unknown_and_not_ok(tmp_path):
    (package,) = views.compared(tmp_path / "requirements.txt")
    assert package["state"] == "unknown"


def test_the_projects_own_requirements_are_met():
    assert {package["state"] for package in views.compared(views.REQUIREMENTS)} == {"ok"}


def test_the_call_lists_head_is_shown_and_all_are_counted(season):
    facts = view(season, "call_list")
    lines = (season.folder / "reports" / "calllist.csv").read_text().splitlines()
    assert facts["total"] == len(lines) - 1
    assert len(facts["rows"]) == views.CALLS
    assert facts["rows"][0][0] == "1"


# ---------------------------------------------------------------------------------------------- status
def test_before_the_first_run_the_status_says_what_to_do(project):
    assert state(project).startswith("Nothing is deployed yet.")
    assert "put labelled files into the folder" in state(project)


def test_the_status_tells_of_files_that_wait(project):
    project.drop("week1.csv", clients(10, seed=1))
    assert "1 file, new or changed, to look at" in state(project)


def test_the_status_tells_of_rows_that_are_too_few(project):
    project.drop("week1.csv", clients(10, seed=1))
    project.does("fullprocess.py")
    assert "10 labelled rows so far, 60 are needed" in state(project)
    assert "Nothing is deployed yet." in state(project)


def test_the_status_tells_of_rows_that_wait_for_the_other_outcome(deployed):
    for number in range(3, 6):  # from the third on that is how data are, and no bad file
        deployed.drop(f"week{number}.csv", clients(60, seed=number, day=20 + number).assign(exited=0))
        deployed.does("fullprocess.py")
    assert "labelled rows so far; a score needs 40, of both outcomes" in state(deployed).replace(
        "\n            ", " "
    )


def test_a_source_folder_that_is_gone_does_not_stop_the_status(deployed):
    shutil.rmtree(deployed.folder / "drop")
    assert "paths.source" in state(deployed)
    assert "Live: logistic_regression" in state(deployed)


def test_the_status_tells_what_is_live_its_score_and_where_to_look(deployed):
    deployed.does("fullprocess.py")
    text = state(deployed)
    assert f"release {deployed.live()}" in text
    assert f"ROC AUC {view(deployed, 'champion')['score']['value']:.3f}" in text
    assert str(deployed.folder / "reports" / "calllist.csv") in text
    assert "nothing: every file is taken in and judged" in text


def test_the_status_as_json_holds_the_same(deployed):
    deployed.does("fullprocess.py")
    facts = deployed.does("fullprocess.py", "--status")
    assert facts["champion"]["release"] == deployed.live()
    assert facts["run"]["finished"]
    assert facts["waiting"]["files"] == 0


def test_looking_changes_nothing(season):
    before = season.snapshot()
    (
        state(season),
        told(season),
        season.call("fullprocess.py", "--status"),
        season.call("fullprocess.py", "--history"),
    )
    assert season.snapshot() == before


# ---------------------------------------------------------------------------------------------- history
def test_before_the_first_run_there_is_no_history(project):
    assert told(project) == "no runs yet: start one with fullprocess.py"


def test_the_history_has_every_run_in_order_with_what_came_in(season):
    text = told(season)
    heads = [line for line in text.splitlines() if line.startswith("Run ")]
    assert [int(line.split()[1]) for line in heads] == list(range(1, len(heads) + 1))
    assert heads[0].endswith("deployed the first model")
    assert "took in 2 files: 300 new rows" in text
    assert "took in week3.csv: 90 new rows" in text
    assert "88 new rows, 2 bad rows set aside" in text
    assert "set noise.csv aside: has NUL bytes" in text


def test_the_history_says_that_a_run_was_cut_off(season):
    assert "stopped before it was done: the next run took up what it left" in told(season)


def test_the_history_says_why_a_run_failed(project):
    project.drop("week1.csv", clients(100, seed=1).assign(exited=1))
    failed = project.call("fullprocess.py")
    assert failed.code == 65
    assert "failed: column exited is 1 in all" in told(project)
    assert "failed: column exited is 1 in all" in " ".join(state(project).split())


def test_a_run_that_nobody_followed_may_still_be_at_work(deployed):
    with deployed.book() as book:
        book.start_run()
    assert "not finished: it is at work now, or" in told(deployed)


def test_the_history_tells_the_drift_and_why_a_new_model_was_deployed(season):
    text = " ".join(told(season).split())
    new = season.query("SELECT id FROM releases ORDER BY number")[1][0]
    assert "found drift (" in text
    assert f"release {new}: " in text
    assert "against the champion's" in text


def test_the_history_tells_what_was_done_by_hand(season, tmp_path):
    project = season.copied(tmp_path / "a project")
    first = project.query("SELECT id FROM releases ORDER BY number")[0][0]
    project.does("deployment.py", "--rollback", first)
    last = told(project).splitlines()[-2:]
    assert last[0].startswith("By hand")
    assert f"went back to {first}" in last[1]


def test_what_was_done_by_hand_has_its_place_by_number_whatever_the_clock_said(season, tmp_path):
    project = season.copied(tmp_path / "a project")
    first = project.query("SELECT id FROM releases ORDER BY number")[0][0]
    with mock.patch.object(records, "now", return_value="2001-01-01T00:00:00Z"):
        project.does("deployment.py", "--rollback", first)
    project.drop("week9.csv", clients(90, seed=9, day=9))
    project.does("fullprocess.py")
    heads = [line.split(" ·")[0] for line in told(project).splitlines() if line[0] != " "]
    assert heads == [
        *(f"Run {number}" for number in range(1, len(heads) - 1)),
        "By hand",
        f"Run {len(heads) - 1}",
    ]


def test_the_history_says_why_it_was_trained_and_then_why_it_was_deployed(season):
    with season.book() as book:
        run = next(
            story for story in views.stories(season.config, book) if story["deployed"] and story["run"] > 1
        )
    retrain, deploy = [line for line in paragraphs(words.run(run)) if line.startswith(("retrain", "deploy"))]
    assert re.match(r"retrain +trained challengers: \w+", retrain)
    assert re.match(
        rf"deploy +release {run['deployed']}: another mix of kept models is proven to be better .* against",
        deploy,
    )


def test_of_a_run_with_many_batches_the_history_tells_what_was_done_and_of_the_rest_how_much(
    tmp_path, first_run
):
    project = first_run.copied(tmp_path / "a project")
    for week in range(3, 15):
        project.drop(f"week{week:02}.csv", clients(90, seed=week, day=week, flipped=week > 8))
    facts = project.does("fullprocess.py")
    with project.book() as book:
        story = views.stories(project.config, book)[-1]
        text = paragraphs(words.run(story))
    done = [one for one in story["decisions"] if one["yes"]]
    made = [one["facts"]["release"] for one in done if one["kind"] == "deploy"]
    assert len(made) > 1, "there's something to tell apart"
    assert story["deployed"] == made[-1] == facts["champion"]["release"]
    for one in done:
        (line,) = [line for line in text if f"{one['kind']} after {one['after_file']}: " in line]
        assert " ".join(one["reasons"][-1].split()) in line
    assert re.match(r"(retrain|deploy) +after week14.csv: ", text[-2])
    told = [line for line in text if line.startswith(("retrain", "deploy"))]
    assert text[-1].startswith(
        f"others {len(story['decisions']) - len(told)} more decisions, to change nothing"
    )
    assert any(line.startswith("score 9 earlier batches; tests found drift in week09.csv (") for line in text)


def paragraphs(text: str) -> list[str]:
    """Give the paragraphs of a story, each on one line."""
    return [" ".join(part.split()) for part in re.split(r"\n(?=  \w)", text)]


def test_columns_of_an_empty_project_are_those_of_the_config(project):
    kinds = cleaning.kinds(project.config.columns, project.config.task)
    assert list(view(project, "statistics")["columns"]) == list(kinds)
