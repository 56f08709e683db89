"""Sums that decide: retrain or not, deploy or not, and why. No disk, no clock; `backtest` replays the very same.

Every decision carries its reasons in words, also the decision to do nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.metrics import Metric, resamples


@dataclass(frozen=True)
class Situation:
    """What is known when the question "retrain?" comes up.

    A regime is the time since the last drift that led to a training, or since the beginning. Rows are labelled rows
    of the present regime: what came before teaches little about it.
    """

    rows: int  # that a model could learn from now
    rows_learnt: int  # that could be learnt from at the last training, deployed or not
    batches: int  # scored since the last training
    drift: list[str]  # why the newest batches count as drift; empty if they don't
    regime_from: int = 0  # the regime's first file; 0 for the beginning


@dataclass(frozen=True)
class Retraining:
    """When to retrain, as the config has it. `every` is for the policy of that name."""

    growth: float
    cooldown: int
    every: int = 1


@dataclass(frozen=True)
class Decision:
    """Yes or no, and why."""

    yes: bool
    reasons: list[str]


def never(now: Situation, settings: Retraining) -> Decision:
    """Keep the first model for ever: what all others are measured against."""
    return Decision(False, ["the policy is never to retrain"])


def always(now: Situation, settings: Retraining) -> Decision:
    """Retrain whenever there is a new batch."""
    return Decision(now.batches > 0, [f"{now.batches} new batch(es), and the policy is always to retrain"])


def every(now: Situation, settings: Retraining) -> Decision:
    """Retrain after every so many batches."""
    reason = f"{now.batches} batch(es) since the last training, the policy is every {settings.every}"
    return Decision(now.batches >= settings.every, [reason])


def on_drift(now: Situation, settings: Retraining) -> Decision:
    """Retrain when the score tests find drift, but not again within the cool-down."""
    if not now.drift:
        return Decision(False, ["no drift found"])
    if now.batches <= settings.cooldown and now.rows_learnt:
        waited = f"but only {now.batches} batch(es) since the last training: more than {settings.cooldown} are needed"
        return Decision(False, [*now.drift, waited])
    return Decision(True, now.drift)


def adaptive(now: Situation, settings: Retraining) -> Decision:
    """Retrain on drift, and whenever the regime has grown so much that there is more to learn.

    Much of what frequent retraining gains is the learning curve, which no drift alarm sees.
    After a drift the curve starts anew: by growth, trainings come fast at first and ever more seldom later, so a
    model made of the first few rows of a new regime is not kept for long.
    """
    drift = on_drift(now, settings)
    if drift.yes:
        return drift
    grown = now.rows / now.rows_learnt if now.rows_learnt else math.inf
    since = " since the drift" if now.regime_from else ""
    told = f"{now.rows:,} labelled rows{since}, {grown:.2f} x the {now.rows_learnt:,} at the last training"
    if grown >= settings.growth:
        return Decision(True, [f"{told}: {settings.growth:g} x is enough to learn more"])
    return Decision(False, [*drift.reasons, told])


POLICIES: dict[str, Callable[[Situation, Retraining], Decision]] = {
    "never": never,
    "always": always,
    "every": every,
    "on_drift": on_drift,
    "adaptive": adaptive,
}


def retrain(policy: str, now: Situation, growth: float, cooldown: int) -> Decision:
    """Decide by the policy of the config, written as its name, or `every 5`."""
    name, _, number = policy.partition(" ")
    return POLICIES[name](now, Retraining(growth, cooldown, int(number) if number else 1))


@dataclass(frozen=True)
class Proof:
    """Challenger against champion on the same rows, which neither has learnt from.

    `gain` is positive where the challenger is better; `confidence` is the share of paired bootstrap samples in which
    it is better by more than the margin.
    """

    champion: float
    challenger: float
    gain: float
    confidence: float
    rows: int
    proven: bool
    why: str


def prove(
    metric: Metric,
    truth: np.ndarray,
    champion: np.ndarray,
    challenger: np.ndarray,
    margin: float,
    confidence: float,
    seed: int = 0,
) -> Proof:
    """Compare two models' predictions of the same rows, shape (rows,) each.

    Proven means: better by more than the margin, and so in at least the share `confidence` of bootstrap samples that
    draw the same rows for both (a paired comparison: rows that are hard for both don't blur it).
    """
    ours, theirs = metric.score(truth, challenger), metric.score(truth, champion)
    gain = metric.gain(ours, theirs)
    wins, draws = 0, 0
    for rows in resamples(len(truth), seed):
        drawn = metric.gain(
            metric.score(truth[rows], challenger[rows]), metric.score(truth[rows], champion[rows])
        )
        if not math.isnan(drawn):
            draws += 1
            wins += drawn > margin
    share = wins / draws if draws else 0.0
    proven = gain > margin and share >= confidence
    why = (
        f"{metric.name} {ours:.4g} against the champion's {theirs:.4g} on the same {len(truth):,} rows, "
        f"better in {share:.0%} of paired samples"
    )
    if not proven:
        why += f" ({confidence:.0%} and a gain of more than {margin:g} are needed)"
    return Proof(theirs, ours, gain, share, len(truth), proven, why)
