"""ONNX beside skops: every model and mix converts and predicts the same, or skops serves and the release says why."""

import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from pipeline import mixes, models, onnx_files, releases, serving, smoke
from pipeline.config import Feature
from pipeline.models import MODELS
from pipeline.onnx_files import NotConvertible
from pipeline.recipes import Recipe
from tests.project import Project, clients
from tests.tables import COLUMNS
from tests.tables import clients as table

APART = smoke.apart  # the real one: runs inside this process have another
TASKS = ("classification", "regression")
EVERY = [(name, task) for name, kind in MODELS.items() for task in kind.tasks]
FEATURES = {
    **COLUMNS.features,
    "town": Feature(type="category"),  # more than the encoders take, most of them rare
    "/0": Feature(type="number"),  # called as values inside of the graph would be
    "prediction": Feature(type="number"),  # as what comes out
    "never there": Feature(type="number"),
}
SMALL = {"hist_gradient_boosting": {"max_iter": 20}, "random_forest": {"n_estimators": 10}}


def rows(task: str, count: int, seed: int) -> pd.DataFrame:
    """Give client rows with towns, most of them rare, and numbers that may be missing or huge."""
    random = np.random.default_rng(seed)
    town = np.where(random.random(count) < 0.5, random.integers(0, 3, count), random.integers(0, 400, count))
    return table(count, seed, task).assign(
        town=[None if one == 7 else f"Tøwn {one}" for one in town],
        prediction=np.where(random.random(count) < 0.2, np.nan, random.normal(1e6, 1, count)),
        **{"/0": random.choice([-1.0, 0.0, 1e15], count), "never there": np.nan},
    )


def fitted(name: str, task: str, options: dict | None = None, seed: int = 1):
    """Give a model of 700 such rows."""
    learnt = rows(task, 700, seed)
    model = models.build(name, options or SMALL.get(name), FEATURES, task, 0, "brier")
    return models.fit(
        model, models.inputs_of(learnt, FEATURES), models.truth_of(learnt, COLUMNS.target, task)
    )


def seen_later(task: str) -> pd.DataFrame:
    """Give rows that came later as models see them, with all that may be in them."""
    later = rows(task, 300, seed=2)
    later.loc[later.index[:20], "town"] = "never seen"
    later.loc[later.index[10:30], "plan"] = ["", " ", "x" * 3000, "Ω"] * 5
    for name in ("plan", "town", "spent", "/0", "since"):
        later.loc[later.index[30:40], name] = None
    later.loc[later.index[40:50], "spent"] = [np.inf, -np.inf, 1.7e308, -1.7e308, 1e-300] * 2
    later.loc[later.index[50:60], "never there"] = 5.0
    return models.inputs_of(later, FEATURES)


def same(model, task: str) -> None:
    """Assert that the model's ONNX file predicts what it does, far closer than it must."""
    seen = seen_later(task)
    file = serving.OnnxModel(onnx_files.converted(model, FEATURES, task))
    expected = models.predict(model, seen, task)
    usual = np.r_[:300] if task == "classification" else np.setdiff1d(np.r_[:300], np.r_[40:50])
    compared = serving.agreement(models.predict(file, seen, task)[usual], expected[usual], task)
    assert (compared.rows, compared.why) == (len(usual), "")
    assert compared.largest < 1e-9
    assert models.predict(file, seen, task) == pytest.approx(expected, rel=1e-9)
    assert len(np.unique(expected)) > 10


# ---------------------------------------------------------------------------------------------- what is converted
@pytest.mark.parametrize(("name", "task"), EVERY)
def test_every_model_predicts_the_same_as_onnx_file_whatever_is_in_the_rows(name, task):
    same(fitted(name, task), task)


@pytest.mark.parametrize("task", TASKS)
def test_every_mix_does_recalibrated_or_not(task):
    alone = {name: fitted(name, task) for name in models.names(task)}
    shares = dict.fromkeys(alone, 1 / len(alone))
    same(mixes.made(Recipe(shares), alone, task), task)
    same(mixes.made(Recipe(shares, 0.4, 0.7 if task == "classification" else 1.0), alone, task), task)


def test_a_probability_at_the_edge_is_recalibrated_as_the_recipe_does():
    sure = fitted("random_forest", "classification", {"n_estimators": 1, "min_samples_leaf": 1})
    seen = seen_later("classification")
    assert {0.0, 1.0} <= set(models.predict(sure, seen, "classification"))
    same(
        mixes.made(
            Recipe({"one": 0.999, "other": 0.001}, 0.3, 1.4),
            {"one": sure, "other": fitted("logistic_regression", "classification")},
            "classification",
        ),
        "classification",
    )


@pytest.mark.parametrize("name", ["random_forest", "hist_gradient_boosting"])
def test_trees_of_a_single_leaf_convert(name):
    model = fitted(name, "regression", {"min_samples_leaf": 600})
    file = serving.OnnxModel(onnx_files.converted(model, FEATURES, "regression"))
    seen = seen_later("regression")
    assert models.predict(file, seen, "regression") == pytest.approx(
        models.predict(model, seen, "regression")
    )


def test_a_table_without_numbers_or_without_categories_converts():
    whole, learnt = FEATURES, rows("classification", 300, 1)
    truth = models.truth_of(learnt, COLUMNS.target, "classification")
    for names in (["plan", "town"], ["spent", "since"]):
        features = {name: whole[name] for name in names}
        seen = models.inputs_of(learnt, features)
        for name in models.names("classification"):
            model = models.build(name, SMALL.get(name), features, "classification", 0, "brier")
            model = models.fit(model, seen, truth)
            file = serving.OnnxModel(onnx_files.converted(model, features, "classification"))
            expected = models.predict(model, seen, "classification")
            assert models.predict(file, seen, "classification") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("task", "options", "why"),
    [
        ("classification", {"categorical_features": [4]}, "categories inside of boosted trees"),
        ("regression", {"loss": "poisson"}, "the loss poisson"),
    ],
)
def test_what_no_graph_is_known_for_is_told(task, options, why):
    learnt = rows(task, 300, 1)
    model = models.build("hist_gradient_boosting", options, FEATURES, task, 0, "brier")
    truth = np.abs(models.truth_of(learnt, COLUMNS.target, task))
    models.fit(model, models.inputs_of(learnt, FEATURES), truth)
    with pytest.raises(NotConvertible, match=why):
        onnx_files.converted(model, FEATURES, task)


def test_the_same_model_gives_the_same_bytes():
    model = fitted("hist_gradient_boosting", "classification")
    first, again = (onnx_files.converted(model, FEATURES, "classification") for _ in range(2))
    assert first == again


def test_more_rows_take_more_threads_and_predict_the_same():
    model = fitted("hist_gradient_boosting", "classification")
    file = serving.OnnxModel(onnx_files.converted(model, FEATURES, "classification"))
    seen = seen_later("classification")
    expected = models.predict(file, seen, "classification")
    with mock.patch.object(models, "MANY", 100), mock.patch("os.sched_getaffinity", return_value={0, 1}):
        found = models.predict(file, seen, "classification")
    assert set(file.sessions) == {1, 2}
    assert found == pytest.approx(expected, abs=1e-12)


def test_onnxruntime_says_nothing_even_of_a_file_that_fails(capfd):
    with pytest.raises(Exception, match="INVALID_PROTOBUF"):
        serving.OnnxModel(b"no graph")
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------------------------------------- what agrees
@pytest.mark.parametrize(
    ("task", "found", "expected", "why"),
    [
        ("classification", [0.2, 0.700009], [0.2, 0.7], ""),
        ("classification", [0.2, 0.70002], [0.2, 0.7], "predicts otherwise, by up to 2e-05"),
        ("classification", [0.2, 0.4999999], [0.2, 0.5000001], r"1 label would be another"),
        ("classification", [0.2, np.nan], [0.2, 0.7], "predicts otherwise, by up to nan"),
        ("regression", [1e6, 1e6 + 2 + 9e-6], [1e6, 1e6 + 2], ""),
        ("regression", [1e6, 1e6 + 2 + 2e-5], [1e6, 1e6 + 2], "predicts otherwise"),
        ("regression", [5.0, 5.0 + 1e-6], [5.0, 5.0], ""),
        ("regression", [], [], "there are no rows"),
    ],
)
def test_a_file_agrees_within_a_hundred_thousandth_with_no_label_flipped(task, found, expected, why):
    compared = serving.agreement(np.array(found), np.array(expected), task)
    assert compared.rows == len(expected)
    assert bool(compared.why) == bool(why)
    assert re.search(why, compared.why)


def test_rows_made_worse_have_unknown_categories_and_no_numbers_in_turn():
    seen = seen_later("classification").head(4)
    found = serving.worse(seen)
    assert found["town"].tolist() == [seen["town"].iat[0], "never seen", seen["town"].iat[2], "never seen"]
    assert found["since"].isna().tolist() == [True, False, True, False]


# ---------------------------------------------------------------------------------------------- in a release
def onnx_facts(project: Project) -> dict:
    """Give what the live release's manifest says of ONNX."""
    return project.champion().manifest["onnx"]


def test_a_release_has_an_onnx_file_that_agrees_and_is_hashed(deployed):
    live = deployed.champion()
    facts = live.manifest["onnx"]
    assert facts["used"]
    assert facts["rows"] >= 400
    assert 0 <= facts["largest_difference"] < 1e-9
    assert releases.ONNX in live.manifest["files"]
    assert isinstance(serving.model_of(live), serving.OnnxModel)
    assert not deployed.production(releases.ONNX).exists()
    assert "served by ONNX" in deployed.call("deployment.py", "--list").out
    assert "served by ONNX" in deployed.does("diagnostics.py")["production"]["served"]


def test_another_process_predicts_the_same_from_both_files(deployed):
    live = deployed.champion()
    with deployed.book() as book:
        part = book.parts()[-1][1]
    skops, onnx = APART(live, deployed.config.ingested, part)
    assert onnx == pytest.approx(skops, abs=1e-9)
    assert len(np.unique(onnx)) > 10


def test_an_onnx_file_that_was_tampered_with_is_caught(deployed):
    path = deployed.champion().folder / releases.ONNX
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for asked in (("deployment.py", "--verify"), ("fullprocess.py",), ("diagnostics.py",)):
        ran = deployed.call(*asked)
        assert ran.code == 70
        assert f"{releases.ONNX}: not what was deployed (its SHA-256 differs)" in ran.complaint
    assert "damaged" in deployed.call("deployment.py", "--list").out


def test_the_watch_sees_that_the_file_changed(deployed):
    assert any(
        path.endswith(f"current/{releases.ONNX}") for path in releases.watched(deployed.config.production)
    )


def switched_off(project: Project) -> None:
    """Set deployment.onnx to false."""
    project.configure("deployment: {", "deployment: {onnx: false, ")


def another(project: Project) -> None:
    """Drop a week of flipped clients and let a run deploy."""
    project.drop("week3.csv", clients(180, seed=3, day=15, flipped=True))
    assert project.does("fullprocess.py")["outcome"] == "deployed"


def refused(project: Project, why: str) -> None:
    """Assert that the live release has no ONNX file, says why, and serves all the same."""
    live = project.champion()
    facts = live.manifest["onnx"]
    assert not facts["used"]
    assert why in facts["why"]
    assert releases.ONNX not in live.manifest["files"]
    assert not (live.folder / releases.ONNX).exists()
    assert f"served by skops ({facts['why']})" in project.call("deployment.py", "--list").out
    assert project.does("diagnostics.py")["production"]["served"] == f"served by skops ({facts['why']})"
    assert project.call("deployment.py", "--verify").code == 0
    assert project.folder.joinpath("reports/calllist.csv").exists()


def test_a_model_that_cant_be_converted_is_deployed_and_says_why(deployed):
    with mock.patch.dict(onnx_files.ESTIMATORS):
        del onnx_files.ESTIMATORS["LogisticRegression"]
        another(deployed)
    refused(deployed, "no graph is known for LogisticRegression")


def test_a_failure_of_the_library_fails_no_deployment(deployed):
    with mock.patch.dict(sys.modules, {"onnx": None}):
        another(deployed)
    refused(deployed, "ModuleNotFoundError: ")


def test_a_file_that_disagrees_is_refused(deployed):
    real = onnx_files.converted

    def shifted(model, features, task):
        ids = {str(place): one for place, one in enumerate(getattr(model, "models", [model]))}
        return real(mixes.made(Recipe(dict.fromkeys(ids, 1 / len(ids)), 0.5, 2.0), ids, task), features, task)

    with mock.patch.object(onnx_files, "converted", shifted):
        another(deployed)
    refused(deployed, "predicts otherwise, by up to 0.")


def test_a_file_that_fails_in_a_process_of_its_own_is_left_out(deployed):
    def apart(release, ingested, part):
        found = smoke.here(release, ingested, part)
        return found + np.arange(len(found))[:, None] / 100  # of two files the second, ONNX

    with mock.patch.object(smoke, "apart", apart):
        another(deployed)
    refused(deployed, "in a process of its own it predicts otherwise, by up to 0.01")
    assert len(releases.all_ids(deployed.config.production)) == 2


def test_it_can_be_switched_off_for_new_releases_and_for_the_live_one(deployed):
    switched_off(deployed)
    assert "served by skops (deployment.onnx is false)" in deployed.call("deployment.py", "--list").out
    another(deployed)
    refused(deployed, "deployment.onnx is false")


def test_a_release_made_before_there_was_onnx_keeps_working(deployed):
    folder = deployed.champion().folder
    (folder / releases.ONNX).unlink()
    with deployed.manifest() as manifest:
        del manifest["files"][releases.ONNX], manifest["onnx"]
    assert deployed.call("deployment.py", "--verify").code == 0
    assert "served by skops (it was made before" in deployed.call("deployment.py", "--list").out
    another(deployed)
    assert onnx_facts(deployed)["used"]


# ---------------------------------------------------------------------------------------------- what it serves
def ranked(project: Project, name: str) -> pd.DataFrame:
    """Give what `scoring.py --clients` writes, run in this process."""
    out = project.folder / f"{name}.csv"
    asked = project.folder / "asked.csv"
    asked.write_text(project.folder.joinpath("drop", "week2.csv").read_text())
    ran = project.call("scoring.py", "--clients", str(asked), "--out", str(out))
    assert ran.code == 0, ran.err
    return pd.read_csv(out)


def test_clients_are_ranked_by_onnx_as_they_are_by_skops(deployed):
    by_onnx = ranked(deployed, "onnx")
    with mock.patch.object(models, "load", side_effect=AssertionError("skops was read")):
        assert ranked(deployed, "again").equals(by_onnx)
    switched_off(deployed)
    by_skops = ranked(deployed, "skops")
    assert by_onnx["probability"].tolist() == pytest.approx(by_skops["probability"].tolist(), abs=1.1e-4)
    assert (by_onnx["reasons"] != "nothing stands out").any()


def test_without_onnxruntime_skops_serves_and_that_is_told(deployed):
    asked = str(deployed.folder / "drop" / "week2.csv")
    with mock.patch.dict(sys.modules, {"onnxruntime": None}):
        ran = deployed.call("scoring.py", "--clients", asked, "--out", str(deployed.folder / "out.csv"))
    assert (ran.code, ran.err.count("\n")) == (0, 1)
    assert f"{releases.ONNX}: not served (" in ran.err


def test_ranking_clients_needs_neither_scikit_learn_nor_skops_nor_onnx(deployed):
    asked = deployed.folder / "drop" / "week2.csv"
    flags = ("--clients", str(asked), "--out", str(deployed.folder / "out.csv"))
    root = Path(__file__).resolve().parents[1]
    code = (
        f"import sys, runpy; sys.argv = {['scoring.py', '--config', str(deployed.folder / 'config.yaml'), *flags]!r}\n"
        f"sys.path.insert(0, {str(root)!r})\n"
        "try: runpy.run_path(sys.path[0] + '/scoring.py', run_name='__main__')\n"
        "finally: print(sorted({'sklearn', 'skops', 'onnx', 'onnxruntime'} & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    assert ran.stdout.splitlines()[-1] == "['onnxruntime']"


def test_decisions_scores_and_predictions_on_record_are_the_same_with_or_without_onnx(first_run, tmp_path):
    found = []
    for name in ("with", "without"):
        project = first_run.copied(tmp_path / name)
        if name == "without":
            switched_off(project)
        another(project)
        scores = project.query("select batch, metric, value from scores order by id")
        decisions = project.query("select kind, yes, reasons from decisions order by id")
        proof = project.champion().manifest["proof_scores"]
        found.append((scores, decisions, proof, project.predictions(clients(50, seed=9)).tolist()))
    assert found[0] == found[1]
