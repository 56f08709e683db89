"""How well the champion does on rows without labels, if its probabilities are still right.

Confidence-based performance estimation (CBPE, NannyML's documentation, "How it works: performance estimation"): of the
rows with probability p, a share p is positive, so the expected number of hits and misses follows from p alone. It sees
rows becoming harder, that is, more of them near 0.5. **It can't see a changed relationship**: a model whose strongest
feature has turned round is as sure of itself as before, and the estimate stays where it was, while the score falls
(measured: it never found a flipped coefficient). So it is news of the mix of rows, no alarm, and `check` tells on
labelled rows whether the probabilities were right last time.

For regression a prediction says nothing of its own error: there is no estimate.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.metrics import METRICS, labels

NOISE = 3.0  # standard deviations by which right probabilities may miss what came: 3 in 1,000 times
TOLERANCE = 0.02  # of mean probability or Brier score: so little wrong leaves an estimate useful


@dataclass(frozen=True)
class Estimate:
    """The scores to expect on so many rows; an undefined one is NaN, as with `metrics`."""

    rows: int
    brier: float
    accuracy: float
    f1: float
    roc_auc: float


@dataclass(frozen=True)
class Check:
    """What was estimated for labelled rows and what it really was: metric -> (estimate, reality)."""

    rows: int
    trusted: bool
    scores: dict[str, tuple[float, float]]
    why: str


def expected(task: str, prediction: np.ndarray) -> Estimate | None:
    """Give the scores to expect of predictions, shape (rows,); None for regression and where there are no rows.

    With p the probability and P the rows with p at least 0.5:

    - Brier score: mean of p (1 - p)
    - accuracy: mean of p in P and 1 - p elsewhere
    - F1: 2 (sum of p in P) / (rows in P + sum of all p), expected counts put into the formula
    - ROC AUC: over all pairs i, j of different rows, the sum of p_i (1 - p_j) where p_i > p_j, ties half, over the
      sum of all p_i (1 - p_j)

    Raise ValueError if a probability is not a number from 0 to 1.
    """
    if task != "classification" or not len(prediction):
        return None
    p = np.asarray(prediction, float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must be numbers from 0 to 1")
    taken = labels(p)
    sides = taken.sum() + p.sum()
    return Estimate(
        rows=len(p),
        brier=float(np.mean(p * (1 - p))),
        accuracy=float(np.mean(np.where(taken, p, 1 - p))),
        f1=float(2 * p[taken == 1].sum() / sides) if sides else 0.0,
        roc_auc=_roc_auc(p),
    )


def _roc_auc(p: np.ndarray) -> float:
    _, group = np.unique(p, return_inverse=True)
    positive, negative = np.bincount(group, p), np.bincount(group, 1 - p)
    itself = float(np.sum(p * (1 - p)))  # a row is no pair with itself
    pairs = positive.sum() * negative.sum() - itself
    above = float(np.sum(positive * (np.cumsum(negative) - negative)))
    ties = float(np.sum(positive * negative)) - itself
    return float((above + ties / 2) / pairs) if pairs > 1e-12 else math.nan


def check(truth: np.ndarray, probability: np.ndarray) -> Check | None:
    """Compare the estimate with reality on labelled rows; None if there are none.

    It is to be trusted if mean probability and Brier score are off by no more than right probabilities might be by
    chance, plus a tolerance. If truth is drawn with probability p, the variance of a row's truth is p (1 - p), and that
    of its squared error p (1 - p) (1 - 2 p)^2.
    """
    estimate = expected("classification", probability)
    if estimate is None:
        return None
    p, truth = np.asarray(probability, float), np.asarray(truth, float)
    scores = {
        name: (getattr(estimate, name), METRICS[name].score(truth, p))
        for name in ("brier", "accuracy", "f1", "roc_auc")
    }
    variance = p * (1 - p)
    share, claimed = float(truth.mean()), float(p.mean())
    room = TOLERANCE + NOISE * np.sqrt([variance.sum(), (variance * (1 - 2 * p) ** 2).sum()]) / len(p)
    missed = np.abs([claimed - share, scores["brier"][0] - scores["brier"][1]])
    trusted = bool((missed <= room).all())
    told = (
        f"the estimate {'held' if trusted else 'did not hold'} on {len(p):,} labelled rows: Brier score "
        f"{scores['brier'][0]:.3g} expected, {scores['brier'][1]:.3g} in fact; positive {claimed:.3g} and {share:.3g}"
    )
    return Check(len(p), trusted, scores, told)
