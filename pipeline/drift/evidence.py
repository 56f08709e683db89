"""Evidence that a column has drifted, valid however often it is looked at.

For each column there are bets that batches are distributed otherwise than the training data: moved up or down, wider or
narrower, more or less in one bin (the missing cells are a bin). A bet is a factor for each bin, whose mean over the
rows is at most 1 as long as there is no drift; so the product over rows, its stake, can hardly become large by chance.
Every tick starts the bet anew (the Shiryaev-Roberts form of an e-detector, Shin, Ramdas & Rinaldo 2022):

    R(t) = (1 + R(t - 1)) * product over the batch's rows of factor(bin)

Without drift the expectation of R(t) is at most t, and so P(R reaches A within T ticks) <= T / A (Doob's inequality).
The bets of a column are averaged, which keeps that true. "No drift" is meant with a tolerance: bin shares q whose
chi-squared distance from the training data's p, sum of (q - p)^2 / p, is at most tolerance^2. A shift of a normal
feature by d sd is at a distance of about d. By Cauchy's inequality a bet's mean is then at most E + tolerance * sd, of
its factors under p, and it is divided by that. The tolerance includes `ERRORS` standard errors of shares that are
estimated from N rows, ERRORS / sqrt(N): a model that learnt from 500 rows can't tell 0.1 sd from chance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from pipeline.drift.sketches import reference_counts

TOLERANCE = 0.02  # sd: so small a change is none
ERRORS = 3.0  # standard errors of the reference: chance exceeds so many in one of 700 training sets
SMALL, LARGE = 0.3, 1.0  # sd: what is bet on; it also wins on anything larger, and half of it costs nothing
SMOOTHING = 0.5  # rows added to each bin
EARLIER = 0.125  # sd: the season of a sketch that doesn't tell it, of an earlier version
CAP = 100.0  # times what an alarm needs: evidence grows no further, so that it's soon gone when the data come back
MOST_LOG = 600.0  # exp() of more overflows


@dataclass(frozen=True)
class Bets:
    """What is bet on a column: factors of the bins, shape (bets, bins), and the share of each bet, which sum to 1.

    `share` is the probability of each bin in all training data.
    """

    factors: np.ndarray
    weights: np.ndarray
    share: np.ndarray


def shares(column: Mapping[str, Any]) -> np.ndarray:
    """Give the estimated probability of each bin in the training data."""
    counts = reference_counts(column) + SMOOTHING
    return counts / counts.sum()


def bets(column: Mapping[str, Any]) -> Bets:
    """Give the bets on a column."""
    share = shares(column)
    if column["kind"] in ("number", "date"):
        place = _scores(share)
        width = _standardised(place**2, share)
        exponents = [
            SMALL * place,
            -SMALL * place,
            LARGE * place,
            -LARGE * place,
            SMALL * width,
            -SMALL * width,
        ]
        tilts, given = np.exp(exponents), [0.25, 0.25, 0.05, 0.05, 0.075, 0.075]
        sizes = [(SMALL, 0.2), (-SMALL, 0.05)]
    else:
        tilts, given = np.empty((0, len(share))), []
        sizes = [(SMALL, 0.5), (LARGE, 0.2), (-SMALL, 0.3)]
    factors = np.concatenate([tilts, *(_single_bins(share, size) for size, _ in sizes)])
    weights = np.array(given + [weight / len(share) for _, weight in sizes for _ in share])
    real = np.ptp(factors, axis=1) > 1e-3  # of a constant column nothing can be moved or widened
    return Bets(factors[real], weights[real] / weights[real].sum(), share)


def _scores(share: np.ndarray) -> np.ndarray:
    """Give each bin's place as standard normal quantile of its middle rank; missing cells are in the middle."""
    present = share[:-1] / share[:-1].sum()
    normal = NormalDist().inv_cdf
    ranks = np.cumsum(present) - present / 2
    return _standardised(np.array([*(normal(rank) for rank in ranks.tolist()), 0.0]), share)


def _standardised(scores: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Give scores with mean 0 and sd 1 over the bins that hold values, and 0 for missing cells."""
    share = share[:-1] / share[:-1].sum()
    centred = scores[:-1] - share @ scores[:-1]
    sd = (share @ centred**2) ** 0.5
    return np.append(centred / sd if sd > 1e-6 else 0 * centred, 0.0)


def _single_bins(share: np.ndarray, size: float) -> np.ndarray:
    """Give the factors of bets that one bin holds more rows (fewer, if the size is negative), a row for each bin."""
    new = np.clip(share + size * (share * (1 - share)) ** 0.5, share / 4, (1 + share) / 2)
    factors = np.repeat(((1 - new) / (1 - share))[:, None], len(share), axis=1)
    np.fill_diagonal(factors, new / share)
    return factors


def expected(column: Mapping[str, Any], phases: Mapping[int, int] | None) -> tuple[np.ndarray, float]:
    """Give the bin shares that a batch without drift has, and of how many rows they are estimated.

    Where the column is seasonal they are those of the phases the batch has, mixed as it mixes them. A phase has what
    it has shown, and as much of all phases together as its rows are few beside what phases differ by: the posterior
    mean and variance of a normal mean whose prior has the variance `season`^2 around that of all rows.
    """
    overall, total = shares(column), column["rows"]
    known = column.get("phases")
    if not known or not phases:
        return overall, max(total, 1)
    rows = sum(phases.values())
    pooled = column.get("season", EARLIER) ** -2  # rows of all phases together that are added to each
    mixed, variance, leaning = np.zeros(len(overall)), 0.0, 0.0
    for phase, number in phases.items():
        counts = np.asarray(known.get(str(phase), ()), float)
        seen = float(counts.sum())
        own = (counts + pooled * overall) / (seen + pooled) if seen else overall
        mixed += own * (number / rows)
        variance += (number / rows) ** 2 / (seen + pooled)
        leaning += number / rows * pooled / (seen + pooled)
    return mixed, min(
        1 / (variance + leaning**2 / total), total
    )  # of a mix as learnt from no more than all rows


def log_factors(betted: Bets, share: np.ndarray, rows: float) -> np.ndarray:
    """Give the logarithm of each bet's fair factors, shape (bets, bins), where so many rows tell the shares."""
    tolerance = TOLERANCE + ERRORS / rows**0.5
    mean = betted.factors @ share
    # a bin that a phase has hardly seen is no rarer than that for sure, so the greater of both deviations counts
    sd = np.maximum(_deviation(betted.factors, share), _deviation(betted.factors, betted.share))
    return np.log(betted.factors) - np.log(mean + tolerance * sd)[:, None]


def _deviation(factors: np.ndarray, share: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(factors**2 @ share - (factors @ share) ** 2, 0.0))


def update(stakes: np.ndarray, betted: Bets, logs: np.ndarray, counts: np.ndarray, most: float) -> np.ndarray:
    """Give the stakes R after a batch with these bin counts; `most` is the evidence at which they stop growing.

    Arguments may be stacked: stakes (..., bets), counts (..., bins).
    """
    grown = np.exp(np.minimum(counts @ logs.T, MOST_LOG)) * (1 + stakes)
    return np.minimum(grown, most / betted.weights)


def evidence(stakes: np.ndarray, betted: Bets) -> np.ndarray:
    """Give a column's evidence: the mean of its bets' stakes, weighted."""
    return stakes @ betted.weights


def found(evidences: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Give the evidence of all features together, shape (...), and which of them it names, shape (..., features).

    The e-BH procedure (Wang & Ramdas 2022): the k features with most evidence are named for the largest k with which
    the k-th has threshold * features / k. The evidence together is the greatest k / features * (the k-th's), at most
    the mean over features, so it reaches the threshold as seldom as one column's, however they depend on each other.
    """
    number = evidences.shape[-1]
    order = -np.sort(-evidences, axis=-1)
    scaled = order * np.arange(1, number + 1) / number
    reached = scaled >= threshold
    many = np.where(reached, np.arange(1, number + 1), 0).max(axis=-1, initial=0)
    together = scaled.max(axis=-1, initial=0.0)
    needed = threshold * number / np.maximum(many, 1)
    return together, (evidences >= needed[..., None]) & (many > 0)[..., None]
