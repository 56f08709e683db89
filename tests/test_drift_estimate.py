"""The estimate without labels against a loop over pairs, against labels drawn from it, and what it can't see."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.drift import estimate
from pipeline.metrics import METRICS

NAMES = ["brier", "accuracy", "f1", "roc_auc"]
PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def calibrated(rows: int, seed: int = 0):
    """Give probabilities and a truth drawn with them."""
    generator = np.random.default_rng(seed)
    probability = generator.beta(0.7, 1.6, rows)
    return probability, (generator.random(rows) < probability).astype(int)


def expected(probability) -> estimate.Estimate:
    """Give the estimate for a classification."""
    found = estimate.expected("classification", np.asarray(probability))
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_with_calibrated_probabilities_the_estimate_is_what_labels_give_on_average(name):
    probability, _ = calibrated(500)
    generator = np.random.default_rng(1)
    real = [METRICS[name].score((generator.random(500) < probability) * 1, probability) for _ in range(400)]
    assert getattr(expected(probability), name) == pytest.approx(np.mean(real), abs=0.005)


@settings(max_examples=60, deadline=None)
@given(PROBABILITIES)
def test_roc_auc_is_that_of_a_loop_over_pairs(probabilities):
    above = pairs = 0.0
    for i, one in enumerate(probabilities):
        for j, other in enumerate(probabilities):
            if i != j:
                pairs += one * (1 - other)
                above += one * (1 - other) * ((one > other) + (one == other) / 2)
    found = expected(probabilities).roc_auc
    if pairs < 1e-6:
        assert math.isnan(found) or 0 <= found <= 1 + 1e-6
    else:
        assert found == pytest.approx(above / pairs, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(PROBABILITIES)
def test_scores_are_within_their_range(probabilities):
    found = expected(probabilities)
    assert 0 <= found.brier <= 0.25
    assert 0.5 <= found.accuracy <= 1
    assert 0 <= found.f1 <= 1 + 1e-12


def test_a_model_that_is_sure_is_expected_to_be_right():
    found = expected([0.0, 1.0, 1.0])
    assert (found.brier, found.accuracy, found.f1, found.roc_auc) == (0, 1, 1, 1)


def test_a_model_that_tells_nothing_apart_is_expected_to_be_chance():
    assert expected([0.3] * 10).roc_auc == pytest.approx(0.5)
    assert expected([0.3] * 10).f1 == 0


def test_scores_that_are_not_defined_are_nan_or_0_as_with_metrics():
    assert math.isnan(expected([0.0, 0.0]).roc_auc)
    assert expected([0.0, 0.0]).f1 == 0
    assert math.isnan(expected([0.4]).roc_auc)


def test_for_regression_and_without_rows_there_is_no_estimate():
    assert estimate.expected("regression", np.array([3.0, 1e9])) is None
    assert estimate.expected("classification", np.array([])) is None
    assert estimate.check(np.array([]), np.array([])) is None


@pytest.mark.parametrize("odd", [math.nan, -0.1, 1.1])
def test_what_is_no_probability_is_refused(odd):
    with pytest.raises(ValueError, match="from 0 to 1"):
        estimate.expected("classification", np.array([0.5, odd]))


def test_right_probabilities_are_trusted_and_wrong_ones_are_not():
    for rows in (5, 200, 5_000):
        for seed in range(20):
            probability, truth = calibrated(rows, seed)
            found = estimate.check(truth, probability)
            assert found is not None
            assert found.trusted
    probability, truth = calibrated(5_000)
    for wrong in (probability**3, np.sqrt(probability), 1 - probability):
        found = estimate.check(truth, wrong)
        assert found is not None
        assert not found.trusted
        assert "did not hold on 5,000 labelled rows" in found.why


def test_the_check_gives_estimate_and_reality_of_each_metric():
    probability, truth = calibrated(1_000)
    found = estimate.check(truth, probability)
    assert found is not None
    assert found.scores == {
        name: (getattr(expected(probability), name), METRICS[name].score(truth, probability))
        for name in NAMES
    }


def test_a_flipped_relationship_is_not_seen_without_labels():
    features = np.random.default_rng(2).normal(size=(20_000, 2))
    probability = 1 / (1 + np.exp(-features @ [1.5, 0.5]))
    before, flipped = probability[:10_000], probability[10_000:]
    assert expected(flipped).roc_auc == pytest.approx(expected(before).roc_auc, abs=0.01)
    real = 1 / (1 + np.exp(-features[10_000:] @ [-1.5, 0.5]))
    truth = (np.random.default_rng(3).random(10_000) < real) * 1
    found = estimate.check(truth, flipped)
    assert found is not None
    assert not found.trusted
