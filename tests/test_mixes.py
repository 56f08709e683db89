"""Mixes: what several models serve together is a model like any other, and predicts what the sums say."""

import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy.special import expit, logit

from pipeline import calllist, mixes, models
from pipeline.errors import CheckFailed
from pipeline.mixes import Mix
from pipeline.recipes import Recipe
from tests.tables import COLUMNS, clients

TASKS = ("classification", "regression")
ROWS = {task: clients(300, seed=1, task=task) for task in TASKS}
LATER = {task: models.inputs_of(clients(100, seed=2, task=task), COLUMNS.features) for task in TASKS}
SHARES = {"one": 0.75, "other": 0.25}
RECIPES = {"classification": Recipe(SHARES, shift=0.4, slope=0.9), "regression": Recipe(SHARES, shift=0.4)}


def fitted(name: str, task: str, rows: pd.DataFrame):
    """Give a model fitted on these rows."""
    small = {"max_iter": 10} if name == "hist_gradient_boosting" else {}
    small = {"n_estimators": 5} if name == "random_forest" else small
    model = models.build(name, small, COLUMNS.features, task, 0, "brier")
    seen = models.inputs_of(rows, COLUMNS.features)
    return models.fit(model, seen, models.truth_of(rows, COLUMNS.target, task))


def two(task: str) -> dict[str, object]:
    """Give two models of different kinds, one of all rows and one of the newest."""
    linear = "logistic_regression" if task == "classification" else "ridge"
    rows = ROWS[task]
    return {
        "one": fitted(linear, task, rows),
        "other": fitted("hist_gradient_boosting", task, rows.tail(150)),
    }


def kept(model, path):
    """Give the model as it comes back from its file."""
    models.save(model, path / "trainedmodel.skops")
    return models.load(path / "trainedmodel.skops")


# ---------------------------------------------------------------------------------------------- predictions
def test_probabilities_are_the_weighted_mean_recalibrated_on_the_log_odds(tmp_path):
    alone, seen = two("classification"), LATER["classification"]
    one, other = (alone[name].predict_proba(seen)[:, 1] for name in ("one", "other"))  # type: ignore[attr-defined]
    expected = expit(0.9 * logit(0.75 * one + 0.25 * other) + 0.4)
    mix = kept(mixes.made(RECIPES["classification"], alone, "classification"), tmp_path)
    assert models.predict(mix, seen, "classification") == pytest.approx(expected, abs=1e-12)
    assert mix.predict_proba(seen) == pytest.approx(np.column_stack([1 - expected, expected]), abs=1e-12)
    assert mix.predict(seen).tolist() == (expected >= 0.5).astype(int).tolist()


def test_values_are_the_weighted_mean_moved_by_a_constant(tmp_path):
    alone, seen = two("regression"), LATER["regression"]
    one, other = (alone[name].predict(seen) for name in ("one", "other"))  # type: ignore[attr-defined]
    mix = kept(mixes.made(RECIPES["regression"], alone, "regression"), tmp_path)
    assert models.predict(mix, seen, "regression") == pytest.approx(0.75 * one + 0.25 * other + 0.4)


@pytest.mark.parametrize("task", TASKS)
def test_a_mix_predicts_what_the_recipe_says_that_was_proven(task):
    alone, seen = two(task), LATER[task]
    each = {name: models.predict(model, seen, task) for name, model in alone.items()}
    found = models.predict(mixes.made(RECIPES[task], alone, task), seen, task)
    assert np.array_equal(found, RECIPES[task].predict(each, task))


def test_a_probability_of_one_or_nought_stays_within_bounds():
    class Sure:
        def predict_proba(self, inputs: pd.DataFrame) -> np.ndarray:
            return np.array([[0.0, 1.0], [1.0, 0.0]])

    risk = Mix([Sure()], Recipe({"one": 1.0}, shift=-3.0), "classification").predict_proba(
        pd.DataFrame({"x": [1, 2]})
    )
    assert np.isfinite(risk).all()
    assert (risk >= 0).all()
    assert risk[0, 1] > 0.99
    assert risk[1, 1] < 0.01


def test_no_rows_have_no_predictions():
    mix = mixes.made(RECIPES["classification"], two("classification"), "classification")
    assert len(models.predict(mix, LATER["classification"].head(0), "classification")) == 0


# ---------------------------------------------------------------------------------------------- what is made
@pytest.mark.parametrize("task", TASKS)
def test_a_single_model_stays_what_it_is(task):
    alone = two(task)
    assert mixes.made(Recipe({"other": 1.0}), alone, task) is alone["other"]


def test_a_single_model_that_is_moved_is_a_mix(tmp_path):
    alone, seen = two("classification"), LATER["classification"]
    mix = kept(mixes.made(Recipe({"one": 1.0}, shift=-0.3), alone, "classification"), tmp_path)
    before = models.predict(alone["one"], seen, "classification")
    assert isinstance(mix, Mix)
    assert models.predict(mix, seen, "classification") == pytest.approx(expit(logit(before) - 0.3))


def test_a_single_model_whose_odds_are_stretched_is_a_mix():
    alone, seen = two("classification"), LATER["classification"]
    mix = mixes.made(Recipe({"one": 1.0}, slope=1.2), alone, "classification")
    before = models.predict(alone["one"], seen, "classification")
    assert models.predict(mix, seen, "classification") == pytest.approx(expit(1.2 * logit(before)))


def test_only_the_models_of_the_recipe_are_in_it():
    mix = mixes.made(Recipe({"other": 1.0}, shift=0.1), two("classification"), "classification")
    assert len(mix.models) == 1


# ---------------------------------------------------------------------------------------------- files
@pytest.mark.parametrize("task", TASKS)
def test_every_kind_of_model_can_be_in_a_mix_that_is_saved_and_loaded(task, tmp_path):
    names = models.names(task)
    alone = {name: fitted(name, task, ROWS[task]) for name in names}
    mix = mixes.made(Recipe(dict.fromkeys(names, 1 / len(names)), shift=0.1), alone, task)
    found = models.predict(kept(mix, tmp_path), LATER[task], task)
    assert np.array_equal(found, models.predict(mix, LATER[task], task))


def test_the_file_of_a_mix_names_no_type_that_is_not_trusted(tmp_path):
    kept(mixes.made(RECIPES["classification"], two("classification"), "classification"), tmp_path)
    found = skops.io.get_untrusted_types(file=tmp_path / "trainedmodel.skops")
    assert "pipeline.mixes.Mix" in found
    assert set(found) <= set(models.TRUSTED)


class Stranger:
    """What no model of this project has in it."""

    def __init__(self) -> None:
        self.anything = 1


def test_a_mix_with_something_strange_in_it_is_not_loaded(tmp_path):
    with pytest.raises(CheckFailed, match="Stranger, which no model of this project does; not loaded"):
        kept(Mix([Stranger()], Recipe({"one": 1.0}), "classification"), tmp_path)


# ---------------------------------------------------------------------------------------------- explained
def test_a_mix_explains_itself_like_the_models_in_it():
    rows = clients(60, seed=3)
    alone, typical = two("classification"), {"spent": 95.0, "since": 16000.0, "plan": "basic"}
    manifest = {
        "features": {name: kind.model_dump() for name, kind in COLUMNS.features.items()},
        "typical": typical,
    }

    def ranked(model) -> pd.DataFrame:
        return calllist.ranked(rows, model, manifest, COLUMNS, "classification")

    twice = mixes.made(Recipe({"a": 0.5, "b": 0.5}), dict.fromkeys("ab", alone["one"]), "classification")
    assert ranked(twice).equals(ranked(alone["one"]))

    mix = mixes.made(RECIPES["classification"], alone, "classification")
    table = ranked(mix)
    first = table.iloc[0]
    (at,) = np.flatnonzero(rows["client"] == first["client"])
    seen = models.inputs_of(rows, COLUMNS.features).iloc[[at]]
    before, after = (
        models.predict(mix, inputs, "classification")[0] for inputs in (seen, seen.assign(spent=95.0))
    )
    assert f"spent {seen['spent'].iloc[0]:.4g} (usual 95): +{before - after:.3g}" in first["reasons"]
    assert first["probability"] == pytest.approx(before, abs=1e-4)
