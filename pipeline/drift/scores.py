"""Classic tests: is the newest score of a model worse than the scores it got before?

All scores are on rows that the model had not learnt from. The tests are simple, and noisy on their own (measured: each
false-alarms in about 1 to 3 % of ticks), so `agreed` asks for the agreement of several.
"""

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipeline.drift import loss
from pipeline.drift.verdicts import Verdict, no_verdict
from pipeline.metrics import Metric

SIGMAS = 2.0  # the course's parametric test: mean - 2 standard deviations
WHISKER = 1.5  # Tukey's fence: a quartile and 1.5 interquartile ranges beyond it


@dataclass(frozen=True)
class Scores:
    """What score tests look at: the newest score, the model's earlier ones, and its predecessor's, oldest first."""

    new: float
    past: list[float]
    predecessor: list[float]


@dataclass(frozen=True)
class Settings:
    """How many earlier scores a test needs to judge, and the level of tests that have one."""

    min_history: int = 5
    alpha: float = 0.01


def worst_score(scores: Scores, metric: Metric, settings: Settings) -> Verdict:
    """Raw comparison: drift if the new score is worse than every earlier one.

    Without drift it fires with probability 1 / (n + 1) after n scores.
    """
    limit = metric.worst(scores.past)
    return _beyond(
        "worst_score", scores.new, limit, metric, f"the worst of {len(scores.past)} earlier scores"
    )


def two_sigma(scores: Scores, metric: Metric, settings: Settings) -> Verdict:
    """Parametric: drift if the new score is worse than mean - 2 sd of the earlier ones (+ where lower is better)."""
    reach = SIGMAS * statistics.stdev(scores.past)
    limit = statistics.fmean(scores.past) - metric.gain(reach, 0.0)
    return _beyond(
        "two_sigma", scores.new, limit, metric, "two standard deviations from the mean of earlier scores"
    )


def iqr(scores: Scores, metric: Metric, settings: Settings) -> Verdict:
    """Non-parametric: drift if the new score is beyond Q1 - 1.5 IQR of the earlier ones (Q3 + where lower is better).

    Quartiles by linear interpolation, as numpy's default.
    """
    first, _, third = statistics.quantiles(scores.past, n=4, method="inclusive")
    limit = (
        first - WHISKER * (third - first) if metric.greater_is_better else third + WHISKER * (third - first)
    )
    return _beyond(
        "iqr", scores.new, limit, metric, "1.5 interquartile ranges beyond the quartile of earlier scores"
    )


def t_test(scores: Scores, metric: Metric, settings: Settings) -> Verdict:
    """Welch's t-test between this model's scores and its predecessor's: drift if it does worse (one-sided).

    `statistic` is the p-value, 0 to 1, below `alpha` where it drifted.
    """
    from scipy.stats import ttest_ind

    own = [*scores.past, scores.new]
    if len(scores.predecessor) < settings.min_history:
        return no_verdict(
            "t_test", f"its predecessor has {len(scores.predecessor)} of {settings.min_history} scores"
        )
    if statistics.pvariance(own) == 0 and statistics.pvariance(scores.predecessor) == 0:
        return no_verdict("t_test", "all scores are the same")
    worse = "less" if metric.greater_is_better else "greater"
    p = float(ttest_ind(own, scores.predecessor, equal_var=False, alternative=worse).pvalue)
    told = f"p = {p:.2g} that its {len(own)} scores are no worse than its predecessor's {len(scores.predecessor)}"
    return Verdict("t_test", p < settings.alpha, p, settings.alpha, told)


def _beyond(test: str, new: float, limit: float, metric: Metric, what: str) -> Verdict:
    drifted = metric.gain(new, limit) < 0 and not math.isclose(new, limit, rel_tol=1e-9, abs_tol=1e-12)
    return Verdict(
        test,
        drifted,
        new,
        limit,
        f"{new:.4g} is {'worse' if drifted else 'no worse'} than {limit:.4g}, {what}",
    )


SCORE_TESTS: dict[str, Callable[[Scores, Metric, Settings], Verdict]] = {
    "worst_score": worst_score,
    "two_sigma": two_sigma,
    "iqr": iqr,
    "t_test": t_test,
}


def expected(own: list[float], predecessor: list[float], min_history: int) -> list[float]:
    """Give the scores that a champion is measured by: its own, filled up with its predecessor's newest while few.

    A model that was deployed because it is better should do no worse than the one it replaced.
    """
    lacking = max(0, min_history - len(own))
    return predecessor[len(predecessor) - min(lacking, len(predecessor)) :] + own


def judge(tests: list[str], scores: Scores, metric: Metric, settings: Settings) -> list[Verdict]:
    """Give the verdict of each named test; none of them judges on fewer than `min_history` earlier scores."""
    if math.isnan(scores.new):
        return [no_verdict(test, f"{metric.name} is not defined on this batch") for test in tests]
    if len(scores.past) < settings.min_history:
        few = f"{len(scores.past)} of {settings.min_history} earlier scores"
        return [no_verdict(test, few) for test in tests]
    return [SCORE_TESTS[test](scores, metric, settings) for test in tests]


def agreed(verdicts: Iterable[Verdict], require: int) -> bool:
    """Say whether a batch drifted: at least `require` of the score tests found it, or the alarm on the loss did."""
    found = [verdict.test for verdict in verdicts if verdict.drifted]
    return loss.TEST in found or len(found) >= require
