"""The models that compete, each a scikit-learn pipeline that takes the table as it is.

Missing numbers, scaling, unseen categories and unequal classes are handled inside the pipeline, so that what is
proven is what is deployed. scikit-learn is imported when a model is built or loaded, not before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import files
from pipeline.config import Feature, Target
from pipeline.errors import CheckFailed, ConfigError, DataError, FileError

if TYPE_CHECKING:
    import pandas as pd

MISSING = "(missing)"  # the category of a cell without a value: that it is empty may itself tell something
POSITIVE = ("1", "yes", "true", "y", "t")  # what counts as positive where the config doesn't say
LARGEST = 1e30  # numbers beyond are taken for this: forests take 32-bit numbers, and scaling squares them
MANY = 100_000  # rows from which a second thread gains more than it costs
EARLIEST = 1980  # the first year of a ZIP archive, which a model file is
RAREST = 10  # rows a category needs for a column of its own, where rarer and unseen ones share one


def logistic_regression(task: str, seed: int, weight: str | None, options: Mapping[str, Any]):
    """Linear, calibrated, and explained by its coefficients."""
    from sklearn.linear_model import LogisticRegression

    return _scaled, LogisticRegression(
        **{"max_iter": 1000, "class_weight": weight, "random_state": seed, **options}
    )


def hist_gradient_boosting(task: str, seed: int, weight: str | None, options: Mapping[str, Any]):
    """Trees on binned values: takes missing numbers as they are, finds interactions, fast on many rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    if task == "regression":
        return _ordered, HistGradientBoostingRegressor(**{"random_state": seed, **options})
    return _ordered, HistGradientBoostingClassifier(
        **{"class_weight": weight, "random_state": seed, **options}
    )


def random_forest(task: str, seed: int, weight: str | None, options: Mapping[str, Any]):
    """Averaged deep trees: robust, larger and slower than boosting."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    usual = {"n_estimators": 200, "min_samples_leaf": 3, "random_state": seed}
    if task == "regression":
        return _imputed, RandomForestRegressor(**{**usual, **options})
    return _imputed, RandomForestClassifier(**{**usual, "class_weight": weight, **options})


def linear_regression(task: str, seed: int, weight: str | None, options: Mapping[str, Any]):
    """Ordinary least squares."""
    from sklearn.linear_model import LinearRegression

    return _scaled, LinearRegression(**options)


def ridge(task: str, seed: int, weight: str | None, options: Mapping[str, Any]):
    """Least squares with shrunken coefficients: steadier with many or correlated features."""
    from sklearn.linear_model import Ridge

    return _scaled, Ridge(**{"random_state": seed, **options})


@dataclass(frozen=True)
class Kind:
    """A model by its name in the config: how it is built, and for which tasks."""

    build: Callable[[str, int, str | None, Mapping[str, Any]], Any]
    tasks: tuple[str, ...]


MODELS: dict[str, Kind] = {
    "logistic_regression": Kind(logistic_regression, ("classification",)),
    "hist_gradient_boosting": Kind(hist_gradient_boosting, ("classification", "regression")),
    "random_forest": Kind(random_forest, ("classification", "regression")),
    "linear_regression": Kind(linear_regression, ("regression",)),
    "ridge": Kind(ridge, ("regression",)),
}

DEFAULTS: dict[str, dict[str, Any]] = {
    "classification": {"logistic_regression": {}},
    "regression": {"ridge": {}},
}

# Every type a model file may hold beside what skops trusts by itself. A file can't add to it. Trees are plain data
# to scikit-learn's own code, which trusts it; that's why files are checked against their hash before they're parsed.
TRUSTED = [
    "pipeline.mixes.Mix",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss._loss.CyHalfSquaredError",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "numpy.dtype",
]


def names(task: str) -> list[str]:
    """Give the names of the models for a task."""
    return [name for name, kind in MODELS.items() if task in kind.tasks]


def class_weight(metric: str) -> str | None:
    """Give how classes are weighted for a metric.

    F1 judges labels at a probability of 0.5, which unequal classes seldom reach, so there they weigh the same. All
    other metrics judge the probability itself (or its order), which weights would only spoil.
    """
    return "balanced" if metric == "f1" else None


Features = Mapping[str, Feature]


def build(
    name: str, options: Mapping[str, Any] | None, features: Features, task: str, seed: int, metric: str
):
    """Give the unfitted pipeline. Raise ConfigError for an option the model doesn't have."""
    from sklearn.pipeline import make_pipeline

    try:
        prepare, model = MODELS[name].build(task, seed, class_weight(metric), options or {})
    except TypeError as problem:
        raise ConfigError(f"config.yaml: model.candidates.{name}: {problem}") from None
    return make_pipeline(prepare(features), model)


def fit(model, inputs: "pd.DataFrame", truth: np.ndarray):
    """Fit the pipeline on the rows. Raise ConfigError if it refuses its options.

    The inputs are finite or missing, and the truth has two outcomes, so what else scikit-learn finds wrong is in the
    config. In a column with hardly any value the others are taken for 0 while it's learnt from: boosting can't bin
    nothing, which may be left of it where rows are set aside for early stopping.
    """
    hardly = {name: 0.0 for name in inputs if inputs[name].count() < RAREST}
    try:
        with _threads(len(inputs)):
            return model.fit(inputs.fillna(hardly), truth)
    except ValueError as problem:
        told = " ".join(str(problem).split())
        raise ConfigError(f"config.yaml: model.candidates: {model.steps[-1][0]}: {told}") from problem


def predict(model, inputs: "pd.DataFrame", task: str) -> np.ndarray:
    """Give the prediction of each row, shape (rows,): the probability of the positive class, or the value."""
    if not len(inputs):
        return np.empty(0)
    with _threads(len(inputs)):
        return model.predict_proba(inputs)[:, 1] if task == "classification" else model.predict(inputs)


def _threads(rows: int):
    """Keep libraries to one thread where the rows are few: on a busy machine threads wait for each other."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1 if rows < MANY else None)


def inputs_of(rows: "pd.DataFrame", features: Features) -> "pd.DataFrame":
    """Give what models see of the rows: the features in order, numbers and dates (in days) as floats."""
    import pandas as pd

    seen = {}
    for name, feature in features.items():
        if feature.type == "number":
            seen[name] = rows[name].astype("float64").clip(-LARGEST, LARGEST)
        elif feature.type == "date":
            seen[name] = (rows[name] - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)
        else:
            seen[name] = rows[name].astype(object).where(rows[name].notna(), MISSING)
    return pd.DataFrame(seen)


def truth_of(rows: "pd.DataFrame", target: Target, task: str) -> np.ndarray:
    """Give what happened, shape (rows,), for rows with a label: 1 for the positive class and 0, or the value."""
    if task == "regression":
        return rows[target.name].to_numpy("float64")
    return (rows[target.name] == positive_label(rows[target.name], target)).to_numpy().astype(int)


def positive_label(values: "pd.Series", target: Target) -> str:
    """Give the value of the target that counts as positive.

    Raise DataError if the config doesn't say and the values don't tell.
    """
    if target.positive is not None:
        return target.positive
    found = sorted(values.dropna().unique())
    likely = [value for value in found if value.lower() in POSITIVE]
    if len(found) > 2 or len(likely) > 1 or (len(found) == 2 and not likely):
        some = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise DataError(
            f"column {target.name} has the values {some}: say in config.yaml which one is the risk, as in "
            f"target: {{name: {target.name}, positive: {(likely or found)[-1]!r}}}, and if some of them are no "
            "outcomes which are, as `allowed`; then read the files again with `python ingestion.py --rebuild`"
        )
    return likely[0] if likely else POSITIVE[0]


def _of_type(features: Features, *types: str) -> list[str]:
    return [name for name, feature in features.items() if feature.type in types]


def _numbers_imputed(scaled: bool):
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return make_pipeline(imputer, StandardScaler()) if scaled else imputer


def _transformed(features: Features, numbers, categories):
    from sklearn.compose import ColumnTransformer

    return ColumnTransformer(
        [
            ("numbers", numbers, _of_type(features, "number", "date")),
            ("categories", categories, _of_type(features, "category")),
        ]
    )


def _scaled(features: Features):
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(min_frequency=RAREST, handle_unknown="infrequent_if_exist", sparse_output=False)
    return _transformed(features, _numbers_imputed(scaled=True), encoder)


def _ordinal():
    from sklearn.preprocessing import OrdinalEncoder

    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, max_categories=200)


def _ordered(features: Features):
    return _transformed(features, "passthrough", _ordinal())


def _imputed(features: Features):
    return _transformed(features, _numbers_imputed(scaled=False), _ordinal())


def save(model, path: Path) -> None:
    """Write the model as skops file. Raise FileError if the clock shows a year that such a file has no dates for."""
    import time

    import skops.io

    if (year := time.localtime().tm_year) < EARLIEST:
        raise FileError(
            f"{path}: the clock shows {year}, and a model file has no dates before {EARLIEST}; set it"
        )
    with files.told_of(path):
        path.write_bytes(skops.io.dumps(model))


def load(path: Path):
    """Read a model file without running anything it names.

    Only types that skops or `TRUSTED` knows are made. Raise CheckFailed if the file holds others or is damaged.
    """
    import zipfile

    import skops.io

    try:
        strange = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED))
        if strange:
            raise CheckFailed(
                f"{path}: holds {', '.join(strange)}, which no model of this project does; not loaded"
            )
        return skops.io.load(path, trusted=TRUSTED)
    except (zipfile.BadZipFile, ValueError, TypeError, KeyError, EOFError) as problem:
        raise CheckFailed(
            f"{path}: no readable skops model ({problem}); deploy another release or train again"
        ) from None
