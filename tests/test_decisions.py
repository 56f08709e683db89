"""Retrain or not, proven or not: every decision with its reasons."""

import math

import numpy as np
import pytest

from pipeline import decisions
from pipeline.decisions import POLICIES, Situation
from pipeline.metrics import METRICS

DRIFT = ["the score fell"]
QUIET = Situation(rows=1000, rows_learnt=900, batches=1, drift=[])
SITUATIONS = {
    "nothing new": Situation(1000, 1000, 0, []),
    "a batch": QUIET,
    "five batches": Situation(1200, 900, 5, []),
    "grown": Situation(1260, 900, 3, []),
    "drift": Situation(1000, 900, 2, DRIFT),
    "drift, just trained": Situation(1000, 900, 1, DRIFT),
    "drift, never trained": Situation(100, 0, 1, DRIFT),
    "first rows of a regime": Situation(50, 0, 1, [], regime_from=7),
}
YES = {
    "never": set(),
    "always": {*SITUATIONS} - {"nothing new"},
    "every 5": {"five batches"},
    "every 1": {*SITUATIONS} - {"nothing new"},
    "on_drift": {"drift", "drift, never trained"},
    "adaptive": {"grown", "drift", "drift, never trained", "first rows of a regime"},
}


def retrain(policy: str, now: Situation) -> decisions.Decision:
    """Decide with the settings of the tests."""
    return decisions.retrain(policy, now, growth=1.4, cooldown=1)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("policy", YES)
def test_a_policy_says_yes_exactly_where_it_should_and_always_why(policy, situation):
    decision = retrain(policy, SITUATIONS[situation])
    assert decision.yes is (situation in YES[policy])
    assert all(decision.reasons)
    assert decision.reasons


def test_every_policy_is_tried_and_documented():
    assert {policy.split()[0] for policy in YES} == set(POLICIES)
    assert all(policy.__doc__ for policy in POLICIES.values())


def test_the_reasons_of_drift_are_those_of_the_tests_and_the_situation_stays_as_it_was():
    now = Situation(1000, 900, 2, list(DRIFT))
    assert retrain("on_drift", now).reasons == DRIFT
    waiting = retrain("adaptive", SITUATIONS["drift, just trained"]).reasons
    assert waiting[0] == DRIFT[0]
    assert "only 1 batch(es) since the last training: more than 1 are needed" in waiting[1]
    assert "1,000 labelled rows, 1.11 x the 900 at the last training" in waiting[2]
    assert now.drift == DRIFT


def test_growth_is_told_in_numbers_and_since_the_drift():
    assert "1,260 labelled rows, 1.40 x the 900" in retrain("adaptive", SITUATIONS["grown"]).reasons[0]
    assert (
        "50 labelled rows since the drift"
        in retrain("adaptive", SITUATIONS["first rows of a regime"]).reasons[0]
    )


def test_just_below_the_growth_asked_for_is_not_enough():
    assert not retrain("adaptive", Situation(1259, 900, 3, [])).yes


def test_the_cool_down_counts_batches_since_the_last_training():
    now = Situation(1000, 900, 3, DRIFT)
    assert [decisions.retrain("on_drift", now, 1.4, cooldown).yes for cooldown in (0, 2, 3)] == [
        True,
        True,
        False,
    ]


# ------------------------------------------------------------------------------------------------ the proof
def predictions(name: str, rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give a truth, good predictions of it and bad ones, for the task of a metric."""
    random = np.random.default_rng(seed)
    noise, more = random.normal(size=rows), random.normal(size=rows)
    if METRICS[name].task == "regression":
        value = random.normal(size=rows)
        return value, value + 0.2 * noise, value + 0.8 * more
    truth = random.integers(0, 2, rows)
    probabilities = [
        1 / (1 + np.exp(-scale * (4 * truth - 2) - given)) for scale, given in ((1, noise), (0.2, more))
    ]
    return truth, probabilities[0], probabilities[1]


def prove(
    name: str, truth, champion, challenger, margin: float = 0.0, confidence: float = 0.75
) -> decisions.Proof:
    """Compare by this metric."""
    return decisions.prove(METRICS[name], truth, champion, challenger, margin, confidence)


@pytest.mark.parametrize("name", METRICS)
def test_a_much_better_challenger_is_proven_and_a_worse_one_is_not(name):
    truth, good, bad = predictions(name)
    better, worse = prove(name, truth, bad, good), prove(name, truth, good, bad)
    assert (better.proven, worse.proven) == (True, False)
    assert better.gain == -worse.gain > 0
    assert (better.challenger, better.champion) == (worse.champion, worse.challenger)
    assert better.challenger == METRICS[name].score(truth, good)
    assert better.confidence > 0.95
    assert worse.confidence < 0.05
    assert "are needed" in worse.why
    assert "are needed" not in better.why


@pytest.mark.parametrize("confidence", [0.5, 0.75])
@pytest.mark.parametrize("name", METRICS)
def test_identical_predictions_are_never_proven(name, confidence):
    truth, good, _ = predictions(name)
    proof = prove(name, truth, good, good.copy(), confidence=confidence)
    assert (proof.proven, proof.gain, proof.confidence) == (False, 0, 0)


@pytest.mark.parametrize("name", METRICS)
def test_the_gain_must_be_larger_than_the_margin(name):
    truth, good, bad = predictions(name)
    gain = prove(name, truth, bad, good).gain
    assert prove(name, truth, bad, good, margin=gain * 0.5).proven
    for margin in (gain, gain * 1.5):
        proof = prove(name, truth, bad, good, margin=margin, confidence=0.0)
        assert not proof.proven
    assert proof.confidence < 0.5


def test_a_gain_that_luck_may_have_made_is_not_proven():
    truth, _, bad = predictions("brier")
    champion = bad.copy()
    champion[np.flatnonzero(truth)[0]] = 0.0  # one row of 300
    lucky = prove("brier", truth, champion, bad, confidence=0.75)
    assert lucky.gain > 0
    assert 0.4 < lucky.confidence < 0.75
    assert not lucky.proven


def test_the_comparison_is_paired_so_that_rows_hard_for_both_do_not_blur_it():
    truth, _, _ = predictions("rmse")
    both_off = truth + np.where(np.arange(300) % 3 == 0, 50.0, 0.5)
    assert prove("rmse", truth, both_off + 0.1, both_off).confidence == 1


@pytest.mark.parametrize("name", METRICS)
def test_what_can_not_be_scored_is_not_proven_and_no_error(name):
    truth, good, bad = predictions(name)
    one = np.full(20, 0.0 if METRICS[name].task == "classification" else 3.0)
    undefined = math.isnan(METRICS[name].score(one, good[:20]))
    proof = prove(name, one, bad[:20], good[:20])
    assert not (undefined and proof.proven)
    none = np.array([])
    for proof in (prove(name, none, none, none), prove(name, truth, bad, np.full(300, np.nan))):
        assert not proof.proven


def test_the_same_seed_gives_the_same_proof():
    truth, good, bad = predictions("log_loss")
    assert prove("log_loss", truth, bad, good) == prove("log_loss", truth, bad, good)
    assert prove("log_loss", truth, bad, good).rows == 300
