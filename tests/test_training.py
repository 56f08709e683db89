"""Training: what candidates learn from, what they never see, and what can't be learnt."""

import numpy as np
import pandas as pd
import pytest

import training
from pipeline import dataset, holdout, models, releases
from pipeline.rowhash import ROW
from tests.project import Project, clients


def candidates(project: Project) -> list[str]:
    """Give the names of the candidates' folders."""
    return sorted(path.name for path in (project.folder / "models").iterdir() if path.is_dir())


def predicted(project: Project, name: str, rows: pd.DataFrame) -> np.ndarray:
    """Give what a candidate makes of rows."""
    model = models.load(project.folder / "models" / name / releases.MODEL)
    return models.predict(model, models.inputs_of(rows, project.config.columns.features), project.config.task)


def refitted(project: Project, rows: pd.DataFrame, among: pd.DataFrame) -> np.ndarray:
    """Fit the config's logistic regression on exactly these rows; give what it makes of the others."""
    config = project.config
    features = config.columns.features
    model = models.build("logistic_regression", {}, features, config.task, config.model.seed, "roc_auc")
    truth = models.truth_of(rows, config.columns.target, config.task)
    models.fit(model, models.inputs_of(rows, features), truth)
    return models.predict(model, models.inputs_of(among, features), config.task)


def history(project: Project) -> pd.DataFrame:
    """Give all ingested rows."""
    with project.book() as book:
        return dataset.load(project.config.ingested, book.parts())


def given(project: Project, *tables: pd.DataFrame) -> Project:
    """Drop the tables and ingest them."""
    for number, rows in enumerate(tables, 1):
        project.drop(f"week{number}.csv", rows)
    assert project.call("ingestion.py").code == 0
    return project


# ---------------------------------------------------------------------------------------------- candidates
def test_every_candidate_of_the_config_is_trained_and_tells_what_it_learnt_from(project):
    project.configure(
        "    logistic_regression:", "    logistic_regression: {C: 0.5}\n    random_forest: {n_estimators: 5}"
    )
    project.test_table(clients(50, seed=100))
    facts = given(project, clients(100, seed=1), clients(100, seed=2)).does("training.py")["candidates"]
    assert [(one["name"], one["window"], one["rows"], one["learnt_upto"]) for one in facts] == [
        ("logistic_regression", "all", 200, 2),
        ("random_forest", "all", 200, 2),
    ]
    assert facts[0]["options"] == {"C": 0.5}
    assert candidates(project) == ["logistic_regression-all", "random_forest-all"]


@pytest.mark.parametrize("model", models.names("classification"))
def test_the_same_seed_gives_the_same_model(project, model):
    project.configure("    logistic_regression:", f"    {model}:")
    rows = clients(120, seed=1)
    given(project, rows)
    project.call("training.py")
    shown = history(project)
    once = predicted(project, f"{model}-all", shown)
    project.call("training.py")
    assert np.array_equal(predicted(project, f"{model}-all", shown), once)


def test_the_same_seed_gives_the_same_model_in_another_process(project):
    project.configure("    logistic_regression:", "    random_forest: {n_estimators: 5}")
    given(project, clients(120, seed=1))
    project.call("training.py")
    shown = history(project)
    once = predicted(project, "random_forest-all", shown)
    assert project.run("training.py").code == 0
    assert np.array_equal(predicted(project, "random_forest-all", shown), once)


def test_another_seed_gives_another_forest(project):
    project.configure("    logistic_regression:", "    random_forest: {n_estimators: 5}")
    given(project, clients(120, seed=1))
    project.call("training.py")
    shown = history(project)
    once = predicted(project, "random_forest-all", shown)
    project.configure("seed: 7", "seed: 8")
    project.call("training.py")
    assert not np.array_equal(predicted(project, "random_forest-all", shown), once)


def test_a_window_learns_from_the_newest_files_only(project):
    project.test_table(clients(50, seed=100))
    given(project, clients(100, seed=1), clients(90, seed=2), clients(80, seed=3))
    facts = project.does("training.py", "--window", "2")["candidates"]
    assert [(one["window"], one["rows"]) for one in facts] == [("recent 2", 170)]
    shown = history(project)
    assert np.array_equal(
        predicted(project, "logistic_regression-recent2", shown), refitted(project, shown[100:], shown)
    )


@pytest.mark.parametrize("window", ["0", "-1", "two", "1.5"])
def test_a_window_that_is_no_number_of_files_is_a_usage_error(project, window):
    refused = project.call("training.py", f"--window={window}")
    assert refused.code == 64
    assert "--window" in refused.complaint


def test_files_that_others_keep_in_the_models_folder_stay(deployed):
    notes = deployed.folder / "models" / "notes.txt"
    notes.write_text("do not delete")
    assert deployed.call("training.py").code == 0
    assert notes.exists()


# ---------------------------------------------------------------------------------------------- what they never see
def test_a_candidate_never_learns_from_test_rows_nor_proof_rows(deployed):
    from_the_test_table = clients(400, seed=100)[:40]
    deployed.drop("week3.csv", pd.concat([from_the_test_table, clients(150, seed=4)]))
    deployed.call("ingestion.py")
    config, champion = deployed.config, deployed.champion()
    with deployed.book() as book:
        data = training.learnable(config, book, champion, held_above=champion.learnt_upto)
    test = training.test_rows(config)
    rows, learnt = data.rows, data.rows[data.may_learn]
    proof = rows[holdout.proof(rows, champion.learnt_upto, config.deployment.proof_rows)]
    assert len(rows) == 490
    assert len(test) == 400
    assert len(rows[rows[ROW].isin(test[ROW])]) == 40
    assert 30 <= len(proof) <= 100
    assert set(proof["_file"]) == {3}, "rows that the champion has not seen either"
    assert not set(learnt[ROW]) & set(test[ROW])
    assert not set(learnt[ROW]) & set(proof[ROW])
    assert set(learnt[ROW]) | set(test[ROW]) | set(proof[ROW]) >= set(rows[ROW])

    facts = deployed.does("training.py")["candidates"][0]
    assert facts["rows"] == len(learnt)
    fitted = predicted(deployed, "logistic_regression-all", rows)
    assert np.array_equal(fitted, refitted(deployed, learnt, rows))
    assert not np.array_equal(fitted, refitted(deployed, rows, rows))


def test_the_first_model_never_learns_from_the_test_rows_made_for_it(project):
    given(project, clients(200, seed=1))
    project.call("training.py")
    rows, test = history(project), training.test_rows(project.config)
    learnt = rows[~rows[ROW].isin(test[ROW])]
    assert len(learnt) + len(test) == len(rows)
    assert np.array_equal(
        predicted(project, "logistic_regression-all", rows), refitted(project, learnt, rows)
    )


# ---------------------------------------------------------------------------------------------- the made test table
def test_a_test_table_is_made_of_a_share_of_the_rows_where_there_is_none(project):
    given(project, clients(400, seed=1))
    project.call("training.py")
    rows, test = history(project), training.test_rows(project.config)
    assert [path.name for path in (project.folder / "testdata").iterdir()] == ["holdout.csv"]
    assert 60 <= len(test) <= 140  # a quarter, by hash
    assert set(test[ROW]) == set(rows[holdout.test_share(rows, 0.25)][ROW])
    before = (project.folder / "testdata" / "holdout.csv").read_bytes()
    project.drop("more.csv", clients(100, seed=2))
    project.call("ingestion.py")
    project.call("training.py")
    assert (project.folder / "testdata" / "holdout.csv").read_bytes() == before


def test_the_made_test_table_holds_the_very_rows_however_odd_their_cells(project):
    rows = clients(300, seed=1)
    odd = np.random.default_rng(5)
    rows["activity"] = odd.random(300) * 10.0 ** odd.integers(-300, 100, 300)
    rows["branch"] = odd.choice(['a "b"', "c,d", "e\nf", "007", "1.50", "", "ü", "#", "' x"], 300)
    rows["seen"] = [f"2025-03-01T00:00:00.{number:06}" for number in range(300)]
    given(project, rows)
    project.call("training.py")
    kept, test = history(project), training.test_rows(project.config)
    assert set(test[ROW]) == set(kept[holdout.test_share(kept, 0.25)][ROW])


def test_no_test_table_is_made_if_the_user_has_one(project):
    project.test_table(clients(100, seed=100))
    given(project, clients(100, seed=1))
    project.call("training.py")
    assert [path.name for path in (project.folder / "testdata").iterdir()] == ["test.csv"]


def test_no_test_table_is_made_once_something_is_deployed(deployed):
    (deployed.folder / "testdata" / "test.csv").unlink()
    assert deployed.call("training.py").code == 0
    assert list((deployed.folder / "testdata").iterdir()) == []


# ---------------------------------------------------------------------------------------------- what can't be learnt
UNTEACHABLE = {
    "nothing was ingested": ([], "no rows with a value in column exited"),
    "the target is missing everywhere": ([clients(100, seed=1).assign(exited="")], "no rows with a value"),
    "all rows are of one class": ([clients(150, seed=1).assign(exited=0)], "column exited is 0 in all"),
    "there are too few rows": ([clients(30, seed=1)], "retraining.min_rows asks for 60"),
    "three classes and no word which is the risk": (
        [clients(150, seed=1).assign(exited=["low", "mid", "high"] * 50)],
        "say in config.yaml which one is the risk",
    ),
}


@pytest.mark.parametrize("why", UNTEACHABLE)
def test_what_cannot_be_learnt_from_is_refused_in_one_line(project, why):
    tables, told = UNTEACHABLE[why]
    given(project, *tables)
    refused = project.call("training.py")
    assert refused.code == 65
    assert told in refused.complaint
    assert not (project.folder / "models").exists() or candidates(project) == []


def test_the_positive_value_that_the_config_names_may_be_any(project):
    project.configure("target: exited", "target: {name: exited, positive: high}")
    project.test_table(clients(60, seed=9).assign(exited=["low", "mid", "high"] * 20))
    rows = clients(150, seed=1)
    rows["exited"] = np.where(rows["exited"] == 1, "high", "mid")
    given(project, rows)
    project.call("training.py")
    shown = history(project)
    assert (
        np.corrcoef(predicted(project, "logistic_regression-all", shown), shown["exited"] == "high")[0, 1]
        > 0.5
    )


def test_one_absurd_number_does_not_stop_the_training(project):
    given(project, clients(150, seed=1).replace({"activity": {clients(150, seed=1)["activity"][9]: "1e200"}}))
    assert project.call("training.py").code == 0


@pytest.mark.parametrize("option", ["{max_itr: 5}", "{max_iter: many}", "{C: -1}"])
def test_an_option_that_the_model_does_not_take_is_a_config_error(project, option):
    project.configure("    logistic_regression:", f"    logistic_regression: {option}")
    given(project, clients(150, seed=1))
    refused = project.call("training.py")
    assert refused.code == 78
    assert "model.candidates" in refused.complaint
    assert option[1:].partition(":")[0] in refused.complaint
