"""The metrics against scikit-learn's, their directions, and how far a score's interval can be trusted."""

import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as theirs

from pipeline import metrics
from pipeline.metrics import DEFAULTS, METRICS

SKLEARN = {
    "f1": lambda truth, prediction: theirs.f1_score(truth, prediction >= 0.5, zero_division=0),
    "roc_auc": theirs.roc_auc_score,
    "average_precision": theirs.average_precision_score,
    "log_loss": lambda truth, prediction: theirs.log_loss(truth, np.clip(prediction, 1e-15, 1 - 1e-15)),
    "brier": theirs.brier_score_loss,
    "accuracy": lambda truth, prediction: theirs.accuracy_score(truth, prediction >= 0.5),
    "rmse": theirs.root_mean_squared_error,
    "mae": theirs.mean_absolute_error,
    "r2": theirs.r2_score,
    "mse": theirs.mean_squared_error,
}
CONSTANT = {"classification": np.ones(4), "regression": np.full(4, 2.5)}


def sample(task: str, rows: int, seed: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Give truth and predictions that know something of it."""
    random = np.random.default_rng(seed)
    known = random.normal(size=rows)
    if task == "regression":
        truth, prediction = known + random.normal(size=rows), known + random.normal(scale=0.3, size=rows)
        return (truth.round(), prediction.round()) if ties else (truth, prediction)
    prediction = 1 / (1 + np.exp(-known - random.normal(scale=0.5, size=rows)))
    truth = (random.random(rows) < 1 / (1 + np.exp(-2 * known + 1))).astype(int)
    return truth, prediction.round(1) if ties else prediction


@pytest.mark.parametrize("ties", [False, True], ids=["", "ties"])
@pytest.mark.parametrize("rows", [2, 7, 300])
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_what_scikit_learn_says(name, rows, ties):
    metric = METRICS[name]
    for seed in range(10):
        truth, prediction = sample(metric.task, rows, seed, ties)
        if metric.task == "classification" and len(set(truth)) < 2:
            continue
        with warnings.catch_warnings(action="ignore"):
            expected = SKLEARN[name](truth, prediction)
        if math.isfinite(expected) and np.ptp(truth):
            assert metric.score(truth, prediction) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_a_probability_of_half_is_positive_and_a_sure_one_costs_a_finite_loss(name):
    truth, prediction = np.array([1, 0, 1, 0]), np.array([0.5, 0.0, 1.0, 1.0])
    assert METRICS[name].score(truth, prediction) == pytest.approx(SKLEARN[name](truth, prediction))


@pytest.mark.parametrize("name", METRICS)
def test_better_predictions_score_better_and_a_perfect_one_best(name):
    metric = METRICS[name]
    truth, prediction = sample(metric.task, 300, 0)
    good, noise, perfect = (
        metric.score(truth, given) for given in (prediction, prediction[::-1], truth.astype(float))
    )
    assert metric.gain(perfect, good) > 0
    assert metric.gain(good, noise) > 0
    assert metric.gain(noise, good) == -metric.gain(good, noise)
    assert metric.worst([good, noise, perfect]) == noise
    assert metric.better == ("higher is better" if perfect > noise else "lower is better")


@pytest.mark.parametrize("name", METRICS)
def test_where_a_score_is_not_defined_it_is_nan_and_never_an_error(name):
    metric = METRICS[name]
    constant, undefined = CONSTANT[metric.task], name in ("roc_auc", "r2")
    assert math.isnan(metric.score(np.array([]), np.array([])))
    assert math.isnan(metric.score(constant, np.linspace(0.1, 0.9, 4))) is undefined
    score = metrics.interval(metric, constant, np.linspace(0.1, 0.9, 4))
    assert math.isnan(score.value) is math.isnan(score.low) is math.isnan(score.high) is undefined


def test_without_positive_rows_f1_is_0_and_average_precision_undefined():
    truth, none, some = np.zeros(3, int), np.zeros(3), np.array([0.9, 0.1, 0.2])
    assert (METRICS["f1"].score(truth, none), METRICS["f1"].score(truth, some)) == (0, 0)
    assert math.isnan(METRICS["average_precision"].score(truth, some))


# ------------------------------------------------------------------------------------------------ the interval
def test_about_95_of_100_intervals_hold_the_true_score():
    held = {}
    for seed, metric in enumerate(METRICS.values()):
        truth, prediction = sample(metric.task, 250 * 60, seed)
        true = metric.score(*sample(metric.task, 400_000, 99))
        scores = [
            metrics.interval(metric, one, other, seed)
            for one, other in zip(np.split(truth, 60), np.split(prediction, 60), strict=True)
        ]
        assert all(score.low <= score.value <= score.high for score in scores)
        held[metric.name] = sum(score.low <= true <= score.high for score in scores) / 60
    assert min(held.values()) > 0.85
    assert 0.92 < sum(held.values()) / len(held) < 0.97


@pytest.mark.parametrize("name", METRICS)
def test_above_5000_rows_the_interval_is_about_as_wide_as_the_full_bootstraps(name, monkeypatch):
    metric = METRICS[name]
    truth, prediction = sample(metric.task, 12_000, 2)
    assert len(next(metrics.resamples(12_000, 0))) == 5_000
    bounded = metrics.interval(metric, truth, prediction)
    random = np.random.default_rng(0)
    drawn = [random.integers(0, 12_000, 12_000) for _ in range(metrics.RESAMPLES)]
    low, high = np.quantile([metric.score(truth[rows], prediction[rows]) for rows in drawn], [0.025, 0.975])
    assert (bounded.high - bounded.low) / (high - low) == pytest.approx(1, abs=0.25)


def test_the_interval_is_the_same_for_the_same_seed_and_another_for_another():
    truth, prediction = sample("classification", 100, 3)
    one, same, other = (metrics.interval(METRICS["brier"], truth, prediction, seed) for seed in (0, 0, 1))
    assert one == same
    assert (one.value, one.rows) == (other.value, other.rows)
    assert one.low != other.low


def test_more_rows_make_the_interval_narrower_by_their_root():
    few, many = (
        metrics.interval(METRICS["brier"], *sample("classification", rows, 4)) for rows in (400, 40_000)
    )
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(10, rel=0.3)


def test_one_class_in_a_bootstrap_sample_is_left_out():
    truth = np.array([1] + [0] * 9)
    score = metrics.interval(METRICS["roc_auc"], truth, np.linspace(1, 0, 10))
    assert (score.value, score.low, score.high) == (1, 1, 1)
    assert str(score) == "1 (1 to 1, 10 rows)"


# ------------------------------------------------------------------------------------------------ the family
def test_every_metric_is_known_by_its_name_documented_and_of_one_task():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.function.__doc__
        assert name in metrics.names(metric.task)
    assert sorted(metrics.names("classification") + metrics.names("regression")) == sorted(METRICS)


@pytest.mark.parametrize("task", DEFAULTS)
def test_a_task_has_a_metric_where_the_config_names_none(task):
    assert metrics.chosen(task, None).task == task
    assert metrics.chosen(task, "mae") is METRICS["mae"]
