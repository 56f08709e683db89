"""The alarm on the loss against a loop of bets written out, its rates in simulation, and that worse is never better."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.drift import loss

COEFFICIENTS = np.array([1.0, 0.8, -0.6, 0.5, -0.4, 0.3, 0.2, -0.2, 0.1, 0.0])
LOSSES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def logistic(generator, rows: int, flipped: bool = False) -> np.ndarray:
    """Give the champion's losses on rows of ten features; its strongest coefficient may have changed sign."""
    features = generator.normal(size=(rows, 10))
    world = COEFFICIENTS * ([-1] + [1] * 9 if flipped else 1)
    truth = generator.random(rows) < 1 / (1 + np.exp(-features @ world))
    return loss.squared(truth, 1 / (1 + np.exp(-features @ COEFFICIENTS)))


def after(state, *batches):
    """Give the state and verdict after these batches, named b0, b1 and so on."""
    for position, losses in enumerate(batches):
        state, verdict = loss.update(state, f"b{position}", losses)
    return state, verdict


# --------------------------------------------------------------------------------------------------------- the sums
def test_the_evidence_is_the_sum_over_starts_of_products_of_bets():
    generator = np.random.default_rng(0)
    state = loss.reference(generator.random(3_000) * 0.4)
    batches = [generator.random(20) * 0.6 for _ in range(6)]
    found = np.mean(
        [
            sum(
                math.prod(
                    1 - stake + stake * row / loss.bar(state) for batch in batches[start:] for row in batch
                )
                for start in range(6)
            )
            for stake in loss.STAKES
        ]
    )
    after_all, verdict = after(state, *batches)
    assert loss.bar(after_all) == loss.bar(state)
    assert verdict.statistic == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize("rows", [1, 30, 300])
def test_the_bound_is_where_bets_on_the_rows_themselves_have_won_enough(rows):
    losses = np.random.default_rng(1).beta(1, 5, rows)
    bound = loss.upper_bound(loss._spread(losses), 0.025)

    def won(mean: float) -> float:
        return np.mean([np.prod(1 + doubt * (mean - losses) / (1 - mean)) for doubt in loss.DOUBTS])

    assert won(bound) >= 40 * (1 - 1e-3)
    assert (
        won(bound - 0.02 * (bound - losses.mean()) - 1e-5) < 40
    )  # no more than 2 % of the margin is given away


def test_the_bound_is_above_the_mean_as_often_as_stated():
    generator = np.random.default_rng(2)
    for rows in (10, 100):
        misses = [
            loss.upper_bound(loss._spread((generator.random(rows) < 0.1).astype(float)), 0.1) < 0.1
            for _ in range(300)
        ]
        assert np.mean(misses) <= 0.1


def test_losses_are_squared_errors_or_absolute_ones_over_a_scale():
    assert loss.squared(np.array([1, 0]), np.array([0.9, 0.5])) == pytest.approx([0.01, 0.25])
    truth, value = np.array([0.0, 0.0, 0.0]), np.array([1.0, -3.0, 100.0])
    assert loss.absolute(truth, value, 4.0).tolist() == [0.25, 0.75, 1.0]
    assert loss.absolute(truth, truth, 0.0).tolist() == [0, 0, 0]
    assert loss.absolute(truth, value, 0.0).tolist() == [1, 1, 1]
    assert np.isnan(loss.absolute(truth, value * math.nan, 0.0)).all()


def test_the_scale_is_a_power_of_two_above_most_errors():
    error = np.random.default_rng(3).normal(size=1_000)
    assert loss.error_scale(error * 0, error) == 2.0
    assert loss.error_scale(error * 0, error * 1_024) == 2_048.0
    assert loss.error_scale(np.zeros(50), np.zeros(50)) == 0.0
    assert loss.error_scale(np.zeros(50), np.eye(50)[0] * 3) == 4.0
    for odd in ([], [math.nan], [math.inf]):
        with pytest.raises(ValueError, match="scale"):
            loss.error_scale(np.zeros(len(odd)), np.array(odd))


# -------------------------------------------------------------------------------------------------------- the rates
@pytest.mark.parametrize("proof", [30, 300])
def test_without_drift_there_is_no_alarm_in_years(proof):
    generator = np.random.default_rng(4)
    pool = logistic(generator, 50_000)
    for _ in range(4):
        state = loss.reference(generator.choice(pool, proof), tolerance=0)
        for batch in range(365):
            state, verdict = loss.update(state, str(batch), generator.choice(pool, 200))
            assert not verdict.drifted


@pytest.mark.parametrize(("rows", "quiet", "most"), [(200, 5, 3), (200, 300, 3), (2_000, 5, 1)])
def test_a_flipped_coefficient_is_found_soon_however_long_all_was_well(rows, quiet, most):
    generator, late = np.random.default_rng(5), []
    for _ in range(5):
        state = loss.reference(logistic(generator, 300))
        state, verdict = after(state, *(logistic(generator, rows) for _ in range(quiet)))
        assert not verdict.drifted
        for batch in range(1, 20):
            state, verdict = loss.update(state, f"new {batch}", logistic(generator, rows, flipped=True))
            if verdict.drifted:
                late.append(batch)
                break
    assert len(late) == 5
    assert np.median(late) <= most


def test_the_threshold_is_that_of_the_rate():
    assert loss.threshold(loss.reference(np.zeros(9))) == pytest.approx(146_000)
    assert loss.threshold(loss.reference(np.zeros(9), rate=0.5)) == pytest.approx(14_600)


def test_a_rise_within_the_tolerance_is_no_alarm_and_one_past_it_is():
    generator = np.random.default_rng(6)
    proof = generator.random(2_000) * 0.2
    state = loss.reference(proof, tolerance=0.05)
    _, verdict = after(state, *(generator.random(2_000) * 0.28 for _ in range(50)))
    assert not verdict.drifted
    _, verdict = after(state, *(generator.random(2_000) * 0.36 for _ in range(50)))
    assert verdict.drifted


# ---------------------------------------------------------------------------------------------------- the reference
def test_the_first_batches_join_the_reference_until_it_is_large_enough():
    generator = np.random.default_rng(7)
    state, bars = loss.reference(logistic(generator, 100)), []
    for batch in range(20):
        bars.append(loss.bar(state))
        state, _ = loss.update(state, str(batch), logistic(generator, 200))
    assert bars[10] < bars[0] - 0.02
    assert len(set(bars[10:])) == 1
    assert sum(state["kept"]) == pytest.approx(2_100)


def test_a_drift_among_the_first_batches_does_not_raise_the_bar():
    generator = np.random.default_rng(8)
    state = loss.reference(logistic(generator, 300))
    worse, verdict = after(state, *(logistic(generator, 200, flipped=True) for _ in range(4)))
    assert loss.bar(worse) <= loss.bar(state)
    assert verdict.drifted


def test_good_first_batches_do_not_push_the_bar_below_the_loss_at_deployment():
    proof = np.full(300, 0.3)
    state, _ = after(loss.reference(proof), *[np.full(500, 0.1)] * 5)
    assert loss.bar(state) == pytest.approx(0.3 + loss.TOLERANCE)
    _, verdict = loss.update(state, "as at deployment", np.full(2_000, 0.3))
    assert not verdict.drifted


# ----------------------------------------------------------------------------------------------------- the verdict
def test_the_verdict_says_how_much_and_since_when():
    generator = np.random.default_rng(9)
    state, quiet = after(loss.reference(np.full(500, 0.1)), *(generator.random(200) * 0.2 for _ in range(20)))
    assert not quiet.drifted
    assert "0.1 at deployment" in quiet.why
    assert "since" not in quiet.why
    for batch in range(5):
        state, verdict = loss.update(state, f"bad {batch}", generator.random(200) * 0.4)
    assert verdict.drifted
    assert verdict.statistic is not None
    assert verdict.threshold is not None
    assert verdict.statistic >= verdict.threshold == pytest.approx(146_000)
    assert verdict.why.endswith("of 146,000 needed, growing since batch bad 0")
    assert verdict.why.startswith(
        "loss 0.197 a row on the latest 200 rows, 0.1 at deployment, up to 0.114 passes"
    )


def test_the_alarm_stays_on_and_goes_off_when_all_is_well_again_for_long():
    state, verdict = after(loss.reference(np.full(500, 0.1)), *[np.full(200, 0.9)] * 50)
    assert verdict.drifted
    state, verdict = loss.update(state, "well", np.full(200, 0.1))
    assert verdict.drifted
    state, empty = loss.update(state, "empty", np.array([]))
    assert empty.drifted
    for batch in range(60):
        state, verdict = loss.update(state, f"well {batch}", np.full(200, 0.1))
    assert not verdict.drifted


def test_a_repeated_batch_counts_once():
    state, verdict = after(loss.reference(np.full(100, 0.1)), *[np.full(50, 0.3)] * 3)
    for batch in ("b2", "b0"):
        assert loss.update(state, batch, np.full(50, 0.9)) == (state, verdict)


def test_a_state_that_went_through_json_goes_on_the_same_and_stays_small():
    generator = np.random.default_rng(10)
    kept = told = loss.reference(logistic(generator, 100))
    for batch in range(40):
        rows = logistic(generator, 200, flipped=batch > 30)
        told = json.loads(json.dumps(told))
        (kept, one), (told, other) = (loss.update(state, f"b{batch}", rows) for state in (kept, told))
        assert (kept, one) == (told, other)
        assert len(json.dumps(told)) < 1_000


def test_update_leaves_the_state_it_was_given():
    state = loss.reference(np.full(100, 0.1))
    before = json.dumps(state)
    loss.update(state, "a", np.full(100, 0.5))
    assert json.dumps(state) == before


# ------------------------------------------------------------------------------------------------------ odd inputs
@pytest.mark.parametrize("odd", [math.nan, math.inf, -0.1, 1.1])
def test_a_loss_that_is_no_number_from_0_to_1_is_refused(odd):
    state = loss.reference(np.zeros(5))
    with pytest.raises(ValueError, match="1 of 2 losses"):
        loss.update(state, "a", np.array([odd, 0.5]))
    with pytest.raises(ValueError, match="1 of 1 losses"):
        loss.reference(np.array([odd]))


def test_a_rate_or_tolerance_out_of_range_is_refused():
    for odd in ({"rate": 0}, {"rate": 1}, {"tolerance": -0.1}, {"tolerance": math.nan}):
        with pytest.raises(ValueError, match="rate"):
            loss.reference(np.zeros(5), **odd)


def test_where_it_cannot_judge_it_says_so():
    state = loss.reference(np.full(100, 0.2))
    assert loss.verdict(state).why == "no verdict: no labelled batch since deployment"
    same, verdict = loss.update(state, "a", np.array([]))
    assert same == state
    assert (verdict.statistic, verdict.threshold, verdict.why) == (
        None,
        None,
        "no verdict: no labelled rows in a",
    )
    _, verdict = after(loss.reference(np.ones(100)), np.ones(200))
    assert (verdict.drifted, verdict.threshold) == (False, None)
    assert "leaves no room" in verdict.why


def test_without_proof_rows_the_first_batch_is_the_reference():
    state, verdict = loss.update(loss.reference(np.array([])), "first", np.full(200, 0.1))
    assert verdict.threshold is None
    assert "first is the reference" in verdict.why
    assert loss.update(state, "first", np.full(200, 0.9))[0] == state
    assert after(state, *[np.full(200, 0.9)] * 3)[1].drifted


@pytest.mark.parametrize("proof", [1, 5, 300])
def test_a_champion_without_any_loss_can_be_judged(proof):
    state = loss.reference(np.zeros(proof))
    assert 0 < loss.bar(state) < 1 + loss.TOLERANCE
    _, verdict = after(state, *[np.zeros(5)] * 5)
    assert (verdict.drifted, verdict.threshold) == (False, pytest.approx(146_000))
    assert after(state, *[np.ones(2_000)] * 2)[1].drifted or proof == 1


def test_very_long_and_very_bad_batches_do_not_overflow():
    state, verdict = after(loss.reference(np.zeros(1_000)), *[np.ones(100_000)] * 3, *[np.zeros(100_000)] * 3)
    assert np.isfinite([*state["sums"], *state["best"], verdict.statistic]).all()
    assert not verdict.drifted


# ------------------------------------------------------------------------------------------------------------- laws
@settings(max_examples=60, deadline=None)
@given(LOSSES, LOSSES, LOSSES, st.floats(0, 1), st.integers(0, 29))
def test_a_worse_loss_never_gives_less_evidence(proof, before, latest, worse, position):
    state, _ = loss.update(loss.reference(np.array(proof)), "before", np.array(before))
    raised = list(latest)
    raised[position % len(latest)] = max(worse, raised[position % len(latest)])
    one, other = (loss.update(state, "latest", np.array(rows))[0] for rows in (latest, raised))
    assert loss.evidence(other) >= loss.evidence(one) * (1 - 1e-9)


@settings(max_examples=60, deadline=None)
@given(LOSSES, LOSSES)
def test_the_order_of_rows_does_not_matter(proof, latest):
    states = [
        after(loss.reference(np.array(one)), np.array(other))[0]
        for one, other in ((proof, latest), (proof[::-1], latest[::-1]))
    ]
    assert loss.evidence(states[0]) == pytest.approx(loss.evidence(states[1]), rel=1e-3)
    assert loss.bar(states[0]) == pytest.approx(loss.bar(states[1]), abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(LOSSES, st.floats(0, 1))
def test_a_worse_reference_never_gives_a_lower_bar(proof, worse):
    raised = [max(worse, proof[0]), *proof[1:]]
    low, high = (loss.bar(loss.reference(np.array(rows))) for rows in (proof, raised))
    assert high >= low - 2e-6


# ---------------------------------------------------------------------------------------------- champions that succeed
def test_the_parts_of_the_rate_of_all_champions_of_a_line_add_up_to_half():
    generator = np.random.default_rng(1)
    state, levels = loss.reference(generator.random(200) * 0.3), []
    for _ in range(500):
        levels.append(loss.reference(np.zeros(0), number=state["number"])["level"])
        state = loss.succeeded(state, generator.random(200) * 0.3)
    assert state["number"] == 501
    assert sum(levels) == pytest.approx(loss.RATE / 2 * (1 - 1 / 501))


def test_a_champion_recalibrated_on_harm_goes_on_with_the_bar_and_the_evidence_of_its_predecessor():
    generator = np.random.default_rng(2)
    state = loss.reference(generator.random(500) * 0.2)
    bar = loss.bar(state)
    for number in range(40):
        harm = generator.random(60) * 0.4
        state, said = loss.update(state, str(number), harm)
        if said.drifted:
            break
        state = loss.succeeded(state, harm)
        assert loss.bar(state) <= bar
    assert said.drifted
    assert loss.onset(state) == "0"


def test_a_better_champion_lowers_the_bar_and_one_that_answers_an_alarm_begins_anew():
    generator = np.random.default_rng(3)
    state = loss.reference(generator.random(500) * 0.4)
    better = loss.succeeded(state, generator.random(2000) * 0.1)
    assert loss.bar(better) < loss.bar(state)
    assert better["number"] == 2
    for number in range(20):
        better, said = loss.update(better, str(number), generator.random(500) * 0.6)
    assert said.drifted
    answer = loss.succeeded(better, generator.random(300) * 0.6)
    assert (answer["number"], loss.evidence(answer) < 1, answer["batches"]) == (1, True, [])
    assert loss.bar(answer) > 0.3


# ---------------------------------------------------------------------------------------------- score tests that agree
def risen(number: int, rows: int = 60) -> np.ndarray:
    """Give a batch of losses that are somewhat more than those of `begun`."""
    return np.random.default_rng(100 + number).random(rows) * 0.55


def begun() -> loss.State:
    """Give the state of a champion with a mean loss of 0.2."""
    return loss.reference(np.random.default_rng(4).random(1_000) * 0.4)


def test_far_less_evidence_is_enough_once_the_score_tests_agreed_since_it_began_to_grow():
    alone, alone_said = loss.update(begun(), "0", risen(0))
    state, said = loss.update(begun(), "0", risen(0), agreed=True)
    assert loss.evidence(state) == loss.evidence(alone), "the evidence itself is the same"
    assert (said.threshold, alone_said.threshold) == (loss.BACKED, loss.threshold(alone))
    batches = 1
    while not said.drifted:
        state, said = loss.update(state, str(batches), risen(batches))
        alone, alone_said = loss.update(alone, str(batches), risen(batches))
        batches += 1
    assert not alone_said.drifted
    assert loss.BACKED <= loss.evidence(state) < loss.threshold(state)
    assert "growing with this batch, as the score tests agree" in said.why
    assert loss.succeeded(state, risen(0))["batches"] == [], "that was an alarm, which a new champion answers"
    assert loss.succeeded(alone, risen(0))["since"] == alone["since"]


def test_agreement_is_forgotten_with_the_evidence_it_was_for_and_alone_is_nothing():
    state, said = loss.update(begun(), "0", np.full(60, 0.1), agreed=True)
    assert not said.drifted
    assert loss.evidence(state) < 1
    for number in range(1, 4):
        state, said = loss.update(state, str(number), risen(number))
    assert loss.onset(state) in {"1", "2", "3"}
    assert said.threshold == loss.threshold(state)


def test_a_champion_that_succeeds_inherits_the_agreement():
    state, _ = loss.update(begun(), "0", risen(0, rows=15), agreed=True)
    assert loss.evidence(state) < loss.BACKED
    following = loss.succeeded(state, np.random.default_rng(5).random(500) * 0.45)
    assert loss.needed(following) == loss.needed(state) == loss.BACKED
