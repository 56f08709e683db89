"""How good predictions are: every metric with its direction in one place, and the uncertainty of a score.

Classification predicts the probability of the positive class (0 to 1), regression the value itself. The sums are
written out, and tested against scikit-learn's: its own spend a millisecond on checking their arguments, and a
bootstrap calls them thousands of times.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LABEL_THRESHOLD = 0.5  # the probability from which a row counts as positive
RESAMPLES = 200  # bootstrap samples; the ends of a 95 % interval then wobble by about a tenth of its width
MOST_RESAMPLED = 5_000  # rows drawn for one bootstrap sample at most; see `interval`


@dataclass(frozen=True)
class Metric:
    """A way to score: `function(truth, prediction)`, which end is better, and for which task it is."""

    name: str
    task: str
    greater_is_better: bool
    function: Callable[[np.ndarray, np.ndarray], float]

    def score(self, truth: np.ndarray, prediction: np.ndarray) -> float:
        """Give the score of predictions, shape (rows,); NaN where it is not defined (ROC AUC of one class)."""
        return self.function(truth, prediction) if len(truth) else math.nan

    def gain(self, new: float, old: float) -> float:
        """Give by how much `new` is better than `old`: positive is better, whatever the metric's direction."""
        return new - old if self.greater_is_better else old - new

    def worst(self, scores: list[float]) -> float:
        """Give the worst of the scores."""
        return min(scores) if self.greater_is_better else max(scores)

    @property
    def better(self) -> str:
        """Give the direction in a word, for people."""
        return "higher is better" if self.greater_is_better else "lower is better"


@dataclass(frozen=True)
class Score:
    """A score on so many rows with its bootstrap interval (95 %)."""

    value: float
    low: float
    high: float
    rows: int

    @property
    def facts(self) -> dict[str, float | int | None]:
        """Give it for JSON, which knows no NaN: what is undefined is None."""
        return {name: None if value != value else value for name, value in vars(self).items()}

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.3g} to {self.high:.3g}, {self.rows:,} rows)"


def both_classes(truth: np.ndarray) -> bool:
    """Say whether a binary truth holds a positive and a negative row."""
    return bool(0 < np.count_nonzero(truth) < len(truth))


def labels(probability: np.ndarray) -> np.ndarray:
    """Give the predicted class, 0 or 1, of each row."""
    return (probability >= LABEL_THRESHOLD).astype(int)


def f1(truth: np.ndarray, probability: np.ndarray) -> float:
    """F1 = 2 TP / (2 TP + FP + FN), 0 to 1; 0 where nothing is positive."""
    predicted = labels(probability)
    sides = np.count_nonzero(predicted) + np.count_nonzero(truth)  # 2 TP + FP + FN
    return 2 * np.count_nonzero(predicted & (truth == 1)) / sides if sides else 0.0


def accuracy(truth: np.ndarray, probability: np.ndarray) -> float:
    """Share of rows whose class is right, 0 to 1."""
    return float(np.mean(labels(probability) == truth))


def roc_auc(truth: np.ndarray, probability: np.ndarray) -> float:
    """Probability that a positive row ranks above a negative one, ties half: 0 to 1, 0.5 is chance.

    The Mann-Whitney U statistic over its largest value (Hanley & McNeil 1982).
    """
    from scipy.stats import rankdata

    positives = np.count_nonzero(truth)
    if not both_classes(truth):
        return math.nan
    above = rankdata(probability)[truth == 1].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(truth) - positives)))


def average_precision(truth: np.ndarray, probability: np.ndarray) -> float:
    """Precision averaged over the steps of recall, 0 to 1; the share of positives is chance."""
    positives = np.count_nonzero(truth)
    if not positives:
        return math.nan
    order = np.argsort(-probability, kind="stable")
    ends = np.append(
        np.flatnonzero(np.diff(probability[order])), len(order) - 1
    )  # equal probabilities are one step
    found = np.cumsum(truth[order])[ends]
    return float(np.sum(np.diff(found, prepend=0) / positives * found / (ends + 1)))


def log_loss(truth: np.ndarray, probability: np.ndarray) -> float:
    """Mean of -log(probability given to what happened), in nats, 0 to infinity."""
    sure = np.clip(probability, 1e-15, 1 - 1e-15)
    return float(-np.mean(np.where(truth == 1, np.log(sure), np.log1p(-sure))))


def brier(truth: np.ndarray, probability: np.ndarray) -> float:
    """Mean squared error of the probability, 0 to 1 (Brier 1950)."""
    return float(np.mean((probability - truth) ** 2))


def mse(truth: np.ndarray, value: np.ndarray) -> float:
    """Mean squared error, in squared units of the target."""
    return float(np.mean((value - truth) ** 2))


def rmse(truth: np.ndarray, value: np.ndarray) -> float:
    """Root of the mean squared error, in units of the target."""
    return math.sqrt(mse(truth, value))


def mae(truth: np.ndarray, value: np.ndarray) -> float:
    """Mean absolute error, in units of the target."""
    return float(np.mean(np.abs(value - truth)))


def r2(truth: np.ndarray, value: np.ndarray) -> float:
    """Share of the variance explained: 1 is perfect, 0 what the mean does, below 0 worse; NaN for a constant truth."""
    spread = np.var(truth)
    return float(1 - np.mean((value - truth) ** 2) / spread) if spread > 0 else math.nan


def interval(metric: Metric, truth: np.ndarray, prediction: np.ndarray, seed: int = 0) -> Score:
    """Give the score with its 95 % percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13).

    Above 5,000 rows each sample draws 5,000 and the deviations are scaled by sqrt(5,000 / rows), the m out of n
    bootstrap (Bickel, Götze & van Zwet 1997), so that the cost stays bounded.
    """
    value = metric.score(truth, prediction)
    draws = [metric.score(truth[rows], prediction[rows]) for rows in resamples(len(truth), seed)]
    deviations = np.array([draw - value for draw in draws if not math.isnan(draw)])
    if math.isnan(value) or not len(deviations):
        return Score(value, math.nan, math.nan, len(truth))
    deviations *= math.sqrt(min(len(truth), MOST_RESAMPLED) / len(truth))
    low, high = value + np.quantile(deviations, [0.025, 0.975])
    return Score(value, float(low), float(high), len(truth))


def resamples(rows: int, seed: int):
    """Give the bootstrap samples: row positions drawn with replacement, the same for the same seed."""
    generator = np.random.default_rng(seed)
    for _ in range(RESAMPLES if rows else 0):
        yield generator.integers(0, rows, min(rows, MOST_RESAMPLED))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("f1", "classification", True, f1),
        Metric("roc_auc", "classification", True, roc_auc),
        Metric("average_precision", "classification", True, average_precision),
        Metric("log_loss", "classification", False, log_loss),
        Metric("brier", "classification", False, brier),
        Metric("accuracy", "classification", True, accuracy),
        Metric("rmse", "regression", False, rmse),
        Metric("mae", "regression", False, mae),
        Metric("r2", "regression", True, r2),
        Metric("mse", "regression", False, mse),
    )
}

DEFAULTS = {"classification": "roc_auc", "regression": "rmse"}


def names(task: str) -> list[str]:
    """Give the names of the metrics for a task."""
    return [name for name, metric in METRICS.items() if metric.task == task]


def chosen(task: str, name: str | None) -> Metric:
    """Give the metric of the config, or the task's default."""
    return METRICS[name or DEFAULTS[task]]
