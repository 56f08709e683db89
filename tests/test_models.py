"""The models: each takes the table as it is, learns the same every time, and comes back from its file unchanged."""

import os
import pickle
import time
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from pipeline import models
from pipeline.config import Feature, Target
from pipeline.errors import CheckFailed, ConfigError, DataError, FileError
from pipeline.models import MODELS
from tests.tables import COLUMNS, clients

EVERY = [(name, task) for name, kind in MODELS.items() for task in kind.tasks]
METRIC = {"classification": "roc_auc", "regression": "rmse"}
FEATURES = {**COLUMNS.features, "extra": Feature(type="number")}
QUICK = {"random_forest": {"n_estimators": 20}}


def table(task: str, extra: object = 1.0, rows: int = 200) -> pd.DataFrame:
    """Give client rows with one more number, constant unless told otherwise."""
    return clients(rows, task=task).assign(extra=np.asarray(extra, "float64"))


def fitted(name: str, task: str, rows: pd.DataFrame, features=FEATURES, options=None, seed=0, metric=None):
    """Give a model of these rows."""
    options = QUICK.get(name) if options is None else options
    model = models.build(name, options, features, task, seed, metric or METRIC[task])
    return models.fit(model, models.inputs_of(rows, features), models.truth_of(rows, COLUMNS.target, task))


def predicted(model, task: str, rows: pd.DataFrame, features=FEATURES) -> np.ndarray:
    """Give its predictions of these rows."""
    return models.predict(model, models.inputs_of(rows, features), task)


def sensible(prediction: np.ndarray, rows: int, task: str) -> bool:
    """Say whether that's a number for each row, and a probability for a classification."""
    in_range = task == "regression" or (prediction.min() >= 0 and prediction.max() <= 1)
    return prediction.shape == (rows,) and bool(np.isfinite(prediction).all()) and bool(in_range)


@pytest.mark.parametrize(("name", "task"), EVERY)
def test_a_model_learns_what_there_is_to_learn(name, task):
    rows = table(task)
    prediction = predicted(fitted(name, task, rows[:150]), task, rows[150:])
    truth = models.truth_of(rows[150:], COLUMNS.target, task)
    assert rows["spent"].isna().any()
    assert sensible(prediction, 50, task)
    assert np.corrcoef(prediction, truth)[0, 1] > 0.4


EXTRAS = {
    "is all missing": np.nan,
    "is constant": 7.0,
    "has a single value": np.where(np.arange(200) == 3, 1.0, np.nan),
    "is huge": np.linspace(-1e15, 1e15, 200),
    "is as large as numbers get": np.tile([-1.7e308, 1.7e308], 100),
}


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
@pytest.mark.parametrize(("name", "task"), EVERY)
def test_a_model_can_be_fitted_whatever_a_column_is_like(name, task, extra):
    rows = table(task, extra)
    model = fitted(name, task, rows)
    assert sensible(predicted(model, task, rows), 200, task)
    assert sensible(predicted(model, task, table(task, np.nan)), 200, task)


@pytest.mark.parametrize("task", MODELS["hist_gradient_boosting"].tasks)
def test_boosting_that_stops_early_may_set_the_only_value_of_a_column_aside(task):
    options = {"early_stopping": True, "max_iter": 3}  # the default above 10,000 rows, on a tenth set aside
    for position in range(0, 200, 10):
        rows = table(task, np.where(np.arange(200) == position, 1.0, np.nan))
        assert sensible(
            predicted(fitted("hist_gradient_boosting", task, rows, options=options), task, rows), 200, task
        )


SOME = {"numbers only": ["spent"], "dates only": ["since"], "categories only": ["plan"]}


@pytest.mark.parametrize("names", SOME.values(), ids=SOME)
@pytest.mark.parametrize(("name", "task"), EVERY)
def test_a_model_can_be_fitted_on_any_type_of_column_alone(name, task, names):
    features = {column: FEATURES[column] for column in names}
    rows = table(task)
    assert sensible(predicted(fitted(name, task, rows, features), task, rows, features), 200, task)


@pytest.mark.parametrize(("name", "task"), EVERY)
def test_a_single_row_of_the_unknown_is_predicted_as_in_company(name, task):
    rows = table(task)
    model = fitted(name, task, rows)
    unknown = rows[:3].assign(plan=["never seen", None, "gold"], spent=[np.nan, 1e9, 5.0])
    together = predicted(model, task, unknown)
    alone = [predicted(model, task, unknown[at : at + 1])[0] for at in range(3)]
    assert sensible(together, 3, task)
    assert alone == pytest.approx(together.tolist(), rel=1e-9)
    assert predicted(model, task, unknown[:0]).shape == (0,)


@pytest.mark.parametrize("name", models.names("classification"))
def test_a_few_positives_among_many_are_found_and_weigh_as_much_as_the_others_for_f1(name):
    rows = table("classification")
    positive = np.arange(200) % 20 == 0
    rows["left"], rows["spent"] = (
        np.where(positive, "yes", "no"),
        np.where(positive, 10.0, 90.0) + np.arange(200) % 7,
    )
    found = {}
    for metric in ("f1", "roc_auc"):
        prediction = predicted(fitted(name, "classification", rows, metric=metric), "classification", rows)
        assert prediction[positive].mean() > prediction[~positive].mean() + 0.3
        found[metric] = prediction.mean()
    assert found["roc_auc"] == pytest.approx(0.05, abs=0.01)
    assert found["f1"] > found["roc_auc"] + 0.002


@pytest.mark.parametrize(("name", "task"), EVERY)
def test_the_same_seed_gives_the_same_predictions_to_the_byte(name, task):
    rows = table(task)
    one, same = (predicted(fitted(name, task, rows, seed=5), task, rows) for _ in range(2))
    assert one.tobytes() == same.tobytes()
    if name == "random_forest":
        assert predicted(fitted(name, task, rows, seed=6), task, rows).tobytes() != one.tobytes()


# ------------------------------------------------------------------------------------------------ files
@pytest.mark.parametrize(
    "rows", [200, 10_100], ids=["few rows", "many rows"]
)  # boosting stops early above 10,000
@pytest.mark.parametrize(("name", "task"), EVERY)
def test_a_model_comes_back_from_its_file_with_the_same_predictions(tmp_path, name, task, rows):
    data, file = table(task, rows=rows), tmp_path / "model.skops"
    model = fitted(name, task, data)
    models.save(model, file)
    assert set(skops.io.get_untrusted_types(file=file)) <= set(models.TRUSTED)
    assert predicted(models.load(file), task, data).tobytes() == predicted(model, task, data).tobytes()


def test_the_types_that_are_trusted_can_not_run_anything_by_themselves():
    ours = {"pipeline.mixes.Mix"}  # holds models and numbers, and runs nothing when it's made
    assert all(kind.startswith(("sklearn.", "numpy.dtype")) for kind in set(models.TRUSTED) - ours)


class Payload:
    """What runs a command when it's unpickled."""

    def __reduce__(self):
        return os.mkdir, ("payload",)


def harmful(file: Path) -> dict[str, tuple[bytes, str]]:
    """Write files that no model should be: by what they hold, with what is said about them."""
    model = fitted("ridge", "regression", table("regression"))
    skops.io.dump(model, file)
    honest = file.read_bytes()
    with_function = skops.io.dumps([model, FunctionTransformer(os.mkdir)])
    other = file.with_name("other.zip")
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("schema.json", '{"made": "by someone else"}')
    return {
        "a function": (with_function, "holds .*mkdir, which no model of this project does; not loaded"),
        "a class of its own": (skops.io.dumps(Payload()), "holds .*Payload, which no model"),
        "a pickle": (pickle.dumps(Payload()), "no readable skops model"),
        "nothing": (b"", "no readable skops model"),
        "text": (b"no model\n", "no readable skops model"),
        "half a model": (honest[: len(honest) // 2], "no readable skops model"),
        "a changed byte": (
            honest[:100] + bytes([honest[100] ^ 255]) + honest[101:],
            "no readable skops model",
        ),
        "another archive": (other.read_bytes(), "no readable skops model"),
    }


@pytest.mark.parametrize("kind", ["a function", "a class of its own", "a pickle", "nothing", "text", "half a model",
                                  "a changed byte", "another archive"])  # fmt: skip
def test_a_file_that_is_no_model_of_ours_is_refused_and_nothing_in_it_runs(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "model.skops"
    content, told = harmful(file)[kind]
    file.write_bytes(content)
    with pytest.raises(CheckFailed, match=told) as caught:
        models.load(file)
    assert str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "payload").exists()


# ------------------------------------------------------------------------------------------------ options
@pytest.mark.parametrize(("name", "task"), EVERY)
def test_an_option_that_a_model_does_not_have_is_a_mistake_in_the_config(name, task):
    with pytest.raises(ConfigError, match=f"model.candidates.{name}: .*'depth'"):
        fitted(name, task, table(task), options={"depth": 3})


REFUSED = {
    "logistic_regression": ({"C": -1}, {"solver": "none"}, {"l1_ratio": 0.5}),
    "hist_gradient_boosting": ({"max_iter": 0}, {"monotonic_cst": [1]}),
    "random_forest": ({"n_estimators": 0}, {"bootstrap": False, "oob_score": True}),
    "linear_regression": ({"positive": "maybe"},),
    "ridge": ({"alpha": -1}, {"solver": "svd", "positive": True}),
}


@pytest.mark.parametrize(
    ("name", "options"), [(name, one) for name, several in REFUSED.items() for one in several]
)
def test_a_value_that_a_model_refuses_is_a_mistake_in_the_config(name, options):
    task = MODELS[name].tasks[0]
    with pytest.raises(ConfigError, match=r"config.yaml: model.candidates") as caught:
        fitted(name, task, table(task), options=options)
    assert len(str(caught.value).splitlines()) == 1


def test_options_are_handed_on():
    assert fitted("ridge", "regression", table("regression"), options={"alpha": 9.0})[-1].alpha == 9.0


def test_every_model_is_documented_and_every_task_has_one():
    assert all(kind.build.__doc__ for kind in MODELS.values())
    assert {task for kind in MODELS.values() for task in kind.tasks} == {"classification", "regression"}
    assert "ridge" not in models.names("classification")


# ------------------------------------------------------------------------------------------------ inputs and truth
def test_models_see_numbers_dates_in_days_and_text_in_config_order_without_the_target():
    rows = clients(3).assign(
        spent=[1.0, np.nan, 2.5], plan=["gold", None, "basic"], since=pd.Timestamp("1970-01-03")
    )
    inputs = models.inputs_of(rows, COLUMNS.features)
    assert list(inputs.columns) == ["spent", "since", "plan"]
    assert inputs["since"].tolist() == [2.0, 2.0, 2.0]
    assert inputs["plan"].tolist() == ["gold", models.MISSING, "basic"]
    assert inputs["spent"].isna().tolist() == [False, True, False]


LABELS = [
    (["no", "yes"], "yes"), (["Yes", "No"], "Yes"), (["0", "1"], "1"), (["1", "2"], "1"), (["f", "t"], "t"),
    (["FALSE", "TRUE"], "TRUE"), (["n", "y"], "y"), (["yes"], "yes"), (["no"], "1"), ([], "1"), (["no", None], "1"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "positive"), LABELS)
def test_the_positive_label_is_found_where_it_is_plain(values, positive):
    column = pd.Series(values, dtype=object)
    assert models.positive_label(column, Target(name="left")) == positive
    assert models.positive_label(column, Target(name="left", positive="other")) == "other"


@pytest.mark.parametrize("values", [["gone", "stays"], ["yes", "true"], ["no", "yes", "maybe"]])
def test_where_the_positive_label_is_not_plain_the_config_must_say(values):
    told = rf"column left has the values .*target: \{{name: left, positive: '{sorted(values)[-1]}'\}}"
    with pytest.raises(DataError, match=told):
        models.positive_label(pd.Series(values), Target(name="left"))


def test_the_truth_is_1_for_the_positive_label_and_the_value_itself_for_a_regression():
    rows = pd.DataFrame({"left": ["no", "yes", "no"]})
    assert models.truth_of(rows, Target(name="left"), "classification").tolist() == [0, 1, 0]
    assert models.truth_of(rows, Target(name="left", positive="no"), "classification").tolist() == [1, 0, 1]
    assert models.truth_of(pd.DataFrame({"left": [1.5]}), Target(name="left"), "regression").tolist() == [1.5]


def test_a_full_disk_is_told_with_the_name_of_the_model_file(tmp_path):
    path = tmp_path / "trainedmodel.skops"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError) as failed:
        models.save(FunctionTransformer(), path)
    assert failed.value.filename == str(path)


def test_a_clock_that_was_never_set_is_told_with_the_name_of_the_model_file(tmp_path):
    with (
        mock.patch.object(time, "localtime", return_value=time.gmtime(60)),
        pytest.raises(FileError, match=r"model\.skops: the clock shows 1970.*set it"),
    ):
        models.save(FunctionTransformer(), tmp_path / "model.skops")
