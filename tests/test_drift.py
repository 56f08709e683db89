"""The score tests against values worked out by hand, for metrics of both directions."""

import math
import random
import statistics

import numpy as np
import pytest
from scipy import stats

from pipeline import drift
from pipeline.drift import SCORE_TESTS, Scores, Settings, Verdict
from pipeline.metrics import METRICS

HIGHER, LOWER = METRICS["roc_auc"], METRICS["brier"]
PAST = [0.80, 0.82, 0.78, 0.81, 0.79]
# mean .80, sd sqrt(.001 / 4); quartiles .79 and .81
LIMITS = {"worst_score": 0.78, "two_sigma": 0.80 - 2 * math.sqrt(0.001 / 4), "iqr": 0.79 - 1.5 * 0.02}


def judge(test: str, new: float, past=PAST, predecessor=(), metric=HIGHER, settings=Settings()) -> Verdict:  # noqa: B008
    """Give the verdict of one test."""
    (verdict,) = drift.judge([test], Scores(new, list(past), list(predecessor)), metric, settings)
    return verdict


@pytest.mark.parametrize("test", LIMITS)
def test_a_score_beyond_the_limit_is_drift_and_one_before_it_is_not(test):
    limit = LIMITS[test]
    for new, drifted in ((limit - 1e-6, True), (limit + 1e-6, False)):
        verdict = judge(test, new)
        assert (verdict.test, verdict.drifted, verdict.statistic) == (test, drifted, new)
        assert verdict.threshold == pytest.approx(limit)
        assert f"{new:.4g}" in verdict.why


@pytest.mark.parametrize("test", LIMITS)
def test_where_lower_is_better_the_limit_is_mirrored(test):
    past, limit = [1 - score for score in PAST], 1 - LIMITS[test]
    for new, drifted in ((limit + 1e-6, True), (limit - 1e-6, False)):
        verdict = judge(test, new, past, metric=LOWER)
        assert verdict.drifted is drifted
        assert verdict.threshold == pytest.approx(limit)


def test_the_worst_earlier_score_reached_again_is_no_drift():
    assert not judge("worst_score", 0.78).drifted


@pytest.mark.parametrize("metric", [HIGHER, LOWER], ids=["higher", "lower"])
def test_the_t_test_is_welchs_and_one_sided(metric):
    sign = 1 if metric.greater_is_better else -1
    worse, better = (
        [sign * score for score in (0.70, 0.72, 0.69, 0.71, 0.70, 0.73)],
        [sign * score for score in PAST],
    )
    verdict = judge("t_test", worse[-1], worse[:-1], better, metric)
    spread = [statistics.variance(one) / len(one) for one in (worse, better)]
    t = sign * (statistics.fmean(worse) - statistics.fmean(better)) / math.sqrt(sum(spread))
    freedom = sum(spread) ** 2 / (spread[0] ** 2 / 5 + spread[1] ** 2 / 4)
    assert verdict.statistic == pytest.approx(stats.t.cdf(t, freedom))
    assert (verdict.drifted, verdict.threshold) == (True, 0.01)
    mirrored = judge("t_test", better[-1], [*better, *better], worse, metric)
    assert mirrored.statistic is not None
    assert (mirrored.drifted, mirrored.statistic > 0.99) == (False, True)


def test_the_t_test_asks_for_scores_of_the_predecessor_and_for_any_difference():
    assert judge("t_test", 0.1, PAST, PAST[:4]).why == "no verdict: its predecessor has 4 of 5 scores"
    assert judge("t_test", 0.5, [0.5] * 5, [0.5] * 5).why == "no verdict: all scores are the same"
    assert judge("t_test", 0.5, [0.51] * 5, [0.9] * 4 + [0.91]).drifted


# ------------------------------------------------------------------------------------------------ asked of every test
def histories(count: int = 200):
    """Give random histories, some short, with a new score."""
    maker = random.Random(0)
    for _ in range(count):
        past = [round(maker.gauss(0.7, 0.05), maker.choice([2, 4])) for _ in range(maker.randint(5, 20))]
        yield round(maker.gauss(0.65, 0.1), 2), past, [maker.gauss(0.7, 0.05) for _ in range(8)]


@pytest.mark.parametrize("test", SCORE_TESTS)
def test_mirrored_scores_give_the_mirrored_verdict(test):
    found = set()
    for new, past, before in histories():
        verdict = judge(test, new, past, before)
        mirrored = judge(test, -new, [-one for one in past], [-one for one in before], metric=LOWER)
        assert mirrored.drifted is verdict.drifted
        if test != "t_test":
            assert mirrored.threshold == pytest.approx(-(verdict.threshold or 0))
        found.add(verdict.drifted)
    assert found == {True, False}


@pytest.mark.parametrize("metric", [HIGHER, LOWER], ids=["higher", "lower"])
@pytest.mark.parametrize("test", SCORE_TESTS)
def test_a_better_score_is_never_drift(test, metric):
    for new, past, _ in histories():
        best = max([new, *past]) if metric.greater_is_better else min([new, *past])
        assert not judge(test, best, past, past, metric).drifted


@pytest.mark.parametrize("metric", [HIGHER, LOWER], ids=["higher", "lower"])
@pytest.mark.parametrize("test", SCORE_TESTS)
def test_the_same_score_as_ever_is_no_drift(test, metric):
    maker = random.Random(1)
    for _ in range(300):
        score = round(maker.random(), maker.choice([1, 2, 16]))
        past = [score] * maker.randint(5, 20)
        assert not judge(test, score, past, past, metric).drifted


@pytest.mark.parametrize("test", SCORE_TESTS)
def test_the_statistic_is_past_the_threshold_exactly_where_it_drifted(test):
    for new, past, before in histories():
        verdict = judge(test, new, past, before)
        assert verdict.statistic is not None
        assert verdict.threshold is not None
        assert verdict.drifted is (verdict.statistic < verdict.threshold)


@pytest.mark.parametrize("test", SCORE_TESTS)
def test_the_order_of_earlier_scores_does_not_matter(test):
    for new, past, before in histories(50):
        one, other = judge(test, new, past, before), judge(test, new, past[::-1], before[::-1])
        assert one.drifted is other.drifted
        assert one.threshold == pytest.approx(other.threshold)


@pytest.mark.parametrize("test", SCORE_TESTS)
def test_too_few_scores_or_an_undefined_one_give_no_verdict(test):
    for verdict in (judge(test, 0.1, PAST[:4], PAST), judge(test, math.nan, PAST, PAST)):
        assert (verdict.test, verdict.drifted, verdict.statistic, verdict.threshold) == (
            test,
            False,
            None,
            None,
        )
        assert verdict.why.startswith("no verdict: ")
    assert "4 of 5 earlier scores" in judge(test, 0.1, PAST[:4]).why
    assert judge(test, 0.1, [0.2, 0.21, 0.19, 0.2, 0.2], PAST).drifted


@pytest.mark.parametrize("test", SCORE_TESTS)
def test_every_test_is_documented_and_its_verdict_bears_its_name(test):
    assert SCORE_TESTS[test].__doc__
    assert judge(test, 0.7, PAST, PAST).test == test


def test_the_level_of_the_t_test_is_that_of_the_settings():
    past, before = [0.75, 0.78, 0.77, 0.79, 0.76], PAST
    p = judge("t_test", 0.74, past, before).statistic or 0
    assert 0.001 < p < 0.05
    assert judge("t_test", 0.74, past, before, settings=Settings(alpha=p * 1.01)).drifted
    assert not judge("t_test", 0.74, past, before, settings=Settings(alpha=p * 0.99)).drifted


def test_so_many_tests_must_agree():
    verdicts = [Verdict("a", True, 1, 1, ""), Verdict("b", False, 1, 1, ""), Verdict("c", True, 1, 1, "")]
    assert [drift.agreed(verdicts, require) for require in (1, 2, 3)] == [True, True, False]
    assert not drift.agreed([], 1)


def test_without_drift_the_raw_comparison_fires_once_in_n_plus_1():
    scores = np.random.default_rng(0).normal(0.8, 0.02, (2000, 11)).tolist()
    fired = sum(judge("worst_score", new, past).drifted for new, *past in scores) / 2000
    assert fired == pytest.approx(1 / 11, abs=0.02)
