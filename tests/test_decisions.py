"""Retrain or not, deploy what: every decision with its reasons, its sums against independent ones, no crying wolf.

The worlds here are made up: rows with known odds, and models that know them more or less well.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from pipeline import decisions, recipes
from pipeline.decisions import POLICIES, Proving, Retraining
from pipeline.metrics import METRICS
from pipeline.recipes import LEARNT, PROOF, Batch, Kept, Recipe, Situation

ALL, RECENT = "all/logreg", "recent/logreg"
AUC, RMSE = METRICS["roc_auc"], METRICS["rmse"]
SETTINGS = Retraining(growth=1.35, cooldown=1, price=0.025)


def probability(odds: np.ndarray) -> np.ndarray:
    """Give the probabilities of log-odds."""
    return 1 / (1 + np.exp(-odds))


@dataclass
class World:
    """A stream of labelled batches, and models whose log-odds are off by noise of their own."""

    rows: int = 200
    seed: int = 0
    task: str = "classification"
    noise: dict[str, float] = field(default_factory=lambda: {"old": 0.8, "new": 0.2})
    moved: float = 0.0  # of the truth's log-odds, which no model knows of

    def batch(self, number: int, unknowing: dict[str, str], served: str, **changed: float) -> Batch:
        """Give a batch that the models of `unknowing`, id -> slot, oldest first, have not learnt from."""
        random = np.random.default_rng(self.seed * 1000 + number)
        odds = random.normal(0, 1.5, self.rows)
        noise = self.noise | changed
        said = {one: odds + noise[one] * random.normal(0, 1, self.rows) for one in unknowing}
        if self.task == "regression":
            truth = 10 * odds + random.normal(0, 1, self.rows) + self.moved
            predictions = {one: 10 * value for one, value in said.items()}
        else:
            truth = (random.random(self.rows) < probability(odds + self.moved)).astype(int)
            predictions = {one: probability(value) for one, value in said.items()}
        slots = {slot: one for one, slot in unknowing.items()}
        return Batch(number, truth, predictions, slots, predictions[served])


def situation(batches: Sequence[Batch], kept: Sequence[Kept], served: Recipe, **others: Any) -> Situation:
    """Give what is known, with what isn't said taken from the batches."""
    facts: dict[str, Any] = {
        "task": "classification",
        "batches": batches,
        "kept": kept,
        "served": served,
        "rows": 1000 + sum(len(batch.truth) for batch in batches),
        "newest": int(batches[-1].number) if batches else 0,
    }
    return Situation(**(facts | others))


def two_models(batches: int = 6, served: str = "old", **world) -> Situation:
    """Give a situation in which a newer model of all history was kept beside the older one, and both saw no batch."""
    made = World(**world)
    stream = [made.batch(number, {"old": ALL, "new": ALL}, served) for number in range(1, batches + 1)]
    kept = [Kept("old", ALL, -5, 800), Kept("new", ALL, 0, 1000)]
    return situation(stream, kept, Recipe({served: 1.0}), task=made.task)


# ---------------------------------------------------------------------------------------------- retrain?
def lately(age: int, **others) -> Situation:
    """Give a situation in which the last training of all history and of the recent window is so many batches ago."""
    stream = [World().batch(number, {"old": ALL, "new": RECENT}, "old") for number in range(1, 13)]
    kept = [Kept("older", ALL, -12, 3000), Kept("old", ALL, 12 - age, 100_000 - 200 * age)]
    kept.append(Kept("new", RECENT, 12 - age, 2000))
    return situation(stream, kept, Recipe({"old": 1.0}), **({"rows": 100_000} | others))


SITUATIONS = {
    "just trained": lately(0),
    "one batch ago": lately(1),
    "five batches ago": lately(5),
    "drift": lately(5, drift=["two tests say drift"]),
    "drift at once": lately(1, drift=["two tests say drift"]),
    "alarm": lately(5, alarm=["the loss rose"]),
    "alarm at once": lately(1, alarm=["the loss rose"]),
}
YES = {
    "never": set(),
    "always": {*SITUATIONS} - {"just trained"},
    "every 5": {"five batches ago", "drift", "alarm"},
    "every 1": {*SITUATIONS} - {"just trained"},
    "on_drift": {"drift", "alarm"},
}


@pytest.mark.parametrize("name", SITUATIONS)
@pytest.mark.parametrize("policy", [*YES, "adaptive"])
def test_a_policy_says_yes_exactly_where_it_should_and_always_why(policy, name):
    decision = decisions.retrain(policy, SITUATIONS[name], SETTINGS)
    assert decision.reasons
    assert all(decision.reasons)
    assert bool(decision.windows) is decision.yes
    if policy != "adaptive":
        assert decision.yes is (name in YES[policy])
        forgets = policy == "on_drift" and SITUATIONS[name].alarm and decision.yes
        assert decision.windows == (() if not decision.yes else ("all", "recent") if forgets else ("all",))


def test_on_drift_goes_on_to_answer_harm_once_no_test_finds_it_any_more():
    asked = decisions.retrain("on_drift", lately(1, harmed=10, may_forget=True), SETTINGS)
    assert asked.windows == ("recent",)
    assert "2 batches since the loss began to rise" in asked.reasons[0]
    assert not decisions.retrain("on_drift", lately(1), SETTINGS).yes


def test_every_policy_is_tried_and_documented():
    assert {policy.split()[0] for policy in [*YES, "adaptive"]} == set(POLICIES)
    assert all(policy.__doc__ for policy in POLICIES.values())


def test_too_few_rows_are_not_learnt_from():
    asked = replace(SETTINGS, min_rows=1_000_000)
    decision = decisions.retrain("always", SITUATIONS["five batches ago"], asked)
    assert not decision.yes
    assert "1,000,000 are needed" in decision.reasons[-1]


def test_an_alarm_waits_for_the_cool_down_and_for_more_to_learn():
    assert decisions.retrain("adaptive", SITUATIONS["alarm"], SETTINGS).yes
    waiting = decisions.retrain("adaptive", SITUATIONS["alarm at once"], SETTINGS)
    assert not waiting.yes
    assert "more than 1 are needed" in waiting.reasons[-1]
    assert waiting.reasons[0] == "the loss rose"
    # The loss began to rise after batch 2. What was learnt at batch 4 knew of 2 harmed batches, at batch 6 of 4; now
    # there are 10, and four times as many are asked for.
    assert decisions.retrain("adaptive", lately(8, alarm=["it rose"], harmed=2), SETTINGS).windows == (
        "recent",
    )
    later = decisions.retrain("adaptive", lately(8, harmed=2), SETTINGS)
    assert later.windows == ("recent",), "after the alarm, too"
    assert "batches since the loss began to rise, of which the newest models know too few" in later.reasons[0]
    assert not decisions.retrain("adaptive", lately(6, alarm=["it rose"], harmed=2), SETTINGS).yes


def test_after_harm_the_recent_window_is_trained_as_soon_as_it_can_do_without_what_was_before():
    assert decisions.retrain("adaptive", lately(6, harmed=2, may_forget=True), SETTINGS).windows == (
        "recent",
    )
    assert not decisions.retrain("adaptive", lately(6, harmed=2), SETTINGS).yes
    long_ago = replace(lately(6, harmed=2, may_forget=True), recent=3)
    assert not decisions.retrain("adaptive", long_ago, SETTINGS).yes


def test_feature_drift_and_quiet_batches_retrain_nothing_by_themselves():
    decision = decisions.retrain("adaptive", lately(2), SETTINGS)
    assert not decision.yes
    assert all("not due yet" in reason for reason in decision.reasons), decision.reasons


def ageing(gain: float, age: int = 4, task: str = "classification") -> Situation:
    """Give a situation in which newer models were measured to be better by so much noise."""
    noise = {"older": 0.1 + max(gain, 0.0), "old": 0.1 + max(-gain, 0.0), "r": 0.1}
    world = World(rows=2000, task=task, noise=noise)
    stream = [world.batch(number, {"older": ALL, "old": ALL, "r": RECENT}, "old") for number in range(1, 11)]
    kept = [
        Kept("older", ALL, -age, 90_000),
        Kept("old", ALL, 10 - age, 100_000),
        Kept("r", RECENT, 9, 20_000),
    ]
    return situation(stream, kept, Recipe({"old": 1.0}), rows=110_000, task=task)


def aged(gain: float, price: float = 0.01) -> bool:
    """Say whether all history is trained then."""
    return "all" in decisions.retrain("adaptive", ageing(gain), replace(SETTINGS, price=price)).windows


def test_the_faster_models_are_measured_to_age_the_sooner_they_are_trained():
    assert aged(gain=3.0)
    assert not aged(gain=0.0)
    assert not aged(gain=3.0, price=10.0), "a training may cost more than ageing"


@pytest.mark.parametrize(
    ("now", "asked", "told"),
    [
        (
            ageing(3.0),
            {},
            r"is due: .* a training pays from \d+\.\d on \(.* cost 0\.\d+ of squared error a row and batch\)",
        ),
        (
            ageing(3.0),
            {"growth": 1.04, "price": 10.0},
            r"and \d\.\d is the most as .* \(there are 1\.10 x the labelled rows of then; .* cost 0\.\d+ of",
        ),
        (ageing(-3.0), {"growth": 1.04}, r"and \d\.\d is the most as .* cost nothing\)"),
        (
            ageing(3.0),
            {"cooldown": 7},
            r"not due yet: .* none is trained before it's 8 \(retraining.cooldown\)",
        ),
        (
            ageing(3.0, task="regression"),
            {},
            r"squared error a row and batch, where 4 variances of the target are 1\)",
        ),
    ],
)
def test_what_makes_a_training_due_is_named(now, asked, told):
    decision = decisions.retrain("adaptive", now, replace(SETTINGS, **asked))
    assert re.search(told, decision.reasons[0]), decision.reasons[0]
    (due,) = re.findall(r"(?:pays from|old, and|before it's) (\d+\.?\d*)", decision.reasons[0])
    assert ("all" in decision.windows) == (float(due) <= 4), "what is named decides"


def test_ageing_is_the_slope_of_what_newer_models_gained_over_how_much_newer_they_were():
    world = World(rows=500, noise={"older": 1.5, "old": 0.1, "r": 0.1})
    stream = [world.batch(number, {"older": ALL, "old": ALL, "r": RECENT}, "old") for number in range(1, 9)]
    kept = [Kept("older", ALL, -8, 900), Kept("old", ALL, 0, 1000), Kept("r", RECENT, 0, 500)]
    now = situation(stream, kept, Recipe({"old": 1.0}))
    cost, precision = decisions.ageing(now, ALL)
    suited = recipes.weights(recipes.seen_by_parts(now))
    shares = [(usual + best) / 2 for usual, best in zip(recipes.PARTS.values(), suited, strict=True)]
    part = shares[0] + shares[2]
    above = below = 0.0
    for age, batch in enumerate(reversed(stream)):
        said = batch.predictions
        gains = [
            (part * said["older"] + (1 - part) * said["r"] - batch.truth) ** 2
            - (part * said["old"] + (1 - part) * said["r"] - batch.truth) ** 2
        ][0]
        weight = 0.9**age / (decisions.ALIKE * (gains.var() / len(gains) + 1e-6))
        above, below = above + weight * 8 * gains.mean(), below + weight * 8**2
    assert cost == pytest.approx(above / below)
    assert precision == pytest.approx(below)
    assert cost > 0


# ---------------------------------------------------------------------------------------------- the mix
def test_weights_are_those_of_constrained_least_squares():
    world = World(noise={"older": 1.2, "old": 0.7, "r": 0.5})
    stream = [world.batch(number, {"older": ALL, "old": ALL, "r": RECENT}, "old") for number in range(1, 9)]
    kept = [Kept("older", ALL, -4, 900), Kept("old", ALL, 0, 1000), Kept("r", RECENT, 0, 500)]
    now = situation(stream, kept, Recipe({"old": 1.0}))
    found = recipes.weights(recipes.seen_by_parts(now))
    prior = np.array(list(recipes.PARTS.values()))

    def loss(weights: np.ndarray) -> float:
        total = recipes.RIDGE * float(np.sum((weights - prior) ** 2))
        for age, batch in enumerate(reversed(stream)):
            said = np.array([batch.predictions[one][LEARNT] for one in ("old", "r", "older")])
            total += 0.9**age * float(np.sum((weights @ said - batch.truth[LEARNT]) ** 2))
        return total

    best = minimize(
        loss, prior, bounds=[(0, 1)] * 3, constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1}
    )
    assert found == pytest.approx(best.x, abs=2e-3)
    assert found[1] > prior[1], "the one with the least noise"


def test_slope_and_shift_are_those_of_a_logistic_regression_without_ridges():
    random = np.random.default_rng(3)
    odds = random.normal(0, 1, 4000)
    truth = (random.random(4000) < probability(0.7 * odds - 0.4)).astype(int)
    slope, shift = recipes._logistic(truth, odds, np.ones(4000), ridge=0.0)
    fitted = LogisticRegression(C=1e9, tol=1e-10).fit(odds[:, None], truth)
    assert slope == pytest.approx(fitted.coef_[0, 0], abs=5e-3)
    assert shift == pytest.approx(fitted.intercept_[0], abs=2e-2)  # its ridge stays


def test_a_base_rate_that_moved_is_followed_without_a_training():
    now = two_models(served="new", moved=-1.5)
    proposal = decisions.propose(now, AUC, Proving())
    assert proposal.recipe is not None
    assert proposal.recipe.shift < -0.5
    assert proposal.proof is not None
    assert abs(proposal.proof.predicted.mean() - proposal.proof.truth.mean()) < 0.08, "it was 0.5 to 0.27"


def test_a_value_that_moved_is_followed_without_a_training():
    now = two_models(served="new", task="regression", moved=-20.0)
    proposal = decisions.propose(now, RMSE, Proving())
    assert proposal.recipe is not None
    assert proposal.recipe.shift < -5
    assert proposal.recipe.slope == 1
    assert proposal.proof is not None
    assert proposal.proof.challenger < proposal.proof.champion
    assert "squared error, in the target's unit squared, less by" in proposal.proof.why


@given(
    st.lists(st.floats(0, 3), min_size=2, max_size=2),
    st.integers(0, 10_000),
    st.integers(1, 6),
    st.sampled_from([4, 31, 200]),
)
def test_whatever_comes_a_recipe_is_a_mean_of_kept_models_and_gives_probabilities(noise, seed, batches, rows):
    now = two_models(batches, seed=seed, rows=rows, noise=dict(zip(("old", "new"), noise, strict=True)))
    for recipe in recipes.suggested(now):
        assert sum(recipe.weights.values()) == pytest.approx(1)
        assert min(recipe.weights.values()) >= 0
        assert recipe.weights.keys() <= {one.id for one in now.kept}
        for batch in now.batches:
            found = recipe.predict(batch.predictions, "classification")
            assert ((found >= 0) & (found <= 1)).all()


def test_the_family_that_does_better_takes_part_and_a_tie_changes_nothing():
    other = "all/trees"
    for noise, expected in ((2.0, "all/trees"), (0.2, ALL)):
        world = World(noise={"mine": noise, "theirs": 0.2})
        stream = [world.batch(number, {"mine": ALL, "theirs": other}, "mine") for number in range(1, 9)]
        for batch in stream:
            if noise == 0.2:
                batch.predictions["theirs"][:] = batch.predictions["mine"]
        kept = [Kept("mine", ALL, 0, 1000), Kept("theirs", other, 0, 1000)]
        now = situation(stream, kept, Recipe({"mine": 1.0}))
        assert recipes.chosen(now, "all") == expected


# ---------------------------------------------------------------------------------------------- deploy?
def test_what_is_clearly_better_is_deployed_and_what_is_worse_is_not():
    better = decisions.propose(two_models(served="old"), AUC, Proving())
    assert better.recipe is not None
    assert better.recipe.weights["new"] > 0.5
    assert better.proof is not None
    assert better.proof.proven
    assert "against the champion's" in better.reasons[0]
    assert "neither learnt from" in better.reasons[0]
    best = Recipe({"new": 1.0})
    worse = decisions.prove(replace(two_models(), served=best), Recipe({"old": 1.0}), AUC, Proving())
    assert worse is not None
    assert not worse.proven
    assert "75% is needed" in worse.why


def test_a_proof_rests_on_rows_from_which_nothing_was_learnt_and_that_both_predicted():
    now = two_models()
    halves = np.arange(200)
    assert not set(halves[LEARNT]) & set(halves[PROOF])
    blind = [replace(batch, predictions={"old": batch.predictions["old"]}) for batch in now.batches]
    learnt = replace(now, batches=[*blind[:-1], now.batches[-1]])
    proof = decisions.prove(learnt, Recipe({"new": 1.0}), AUC, Proving())
    assert proof is not None
    assert (proof.batches, proof.rows) == (1, 100)
    assert decisions.prove(replace(now, batches=blind), Recipe({"new": 1.0}), AUC, Proving()) is None
    newest = now.batches[-1]
    assert proof.truth.tolist() == newest.truth[PROOF].tolist()
    assert proof.predicted.tolist() == newest.predictions["new"][PROOF].tolist()


def with_fresh(now: Situation, slot: str = ALL) -> Situation:
    """Give the situation after a model was trained on all there is."""
    return replace(now, kept=[*now.kept, Kept("fresh", slot, now.newest, 3000)])


def test_a_model_trained_just_now_waits_in_the_shadow():
    now = with_fresh(two_models(noise={"old": 0.5, "new": 0.45}))
    proposal = decisions.propose(now, AUC, Proving())
    assert proposal.recipe is None or "fresh" not in proposal.recipe.weights
    assert decisions.propose(situation([], now.kept, now.served), AUC, Proving()).recipe is None


def test_it_takes_its_predecessors_place_at_once_if_earlier_ones_surely_gained_much():
    world = two_models(served="new", noise={"old": 1.5, "new": 0.2})
    now = with_fresh(replace(world, served=Recipe({"new": 1.0}, 0.1, 0.9)))
    proposal = decisions.propose(now, AUC, Proving())
    assert proposal.recipe == Recipe({"fresh": 1.0}, 0.1, 0.9), "what is fitted stays"
    assert proposal.proof is not None
    assert "trained just now as its predecessors were" in proposal.reasons[0]
    own = [
        Recipe({"new": 1.0}, 0.1, 0.9).predict(batch.predictions, now.task)[PROOF] for batch in now.batches
    ]
    assert proposal.proof.predicted.tolist() == np.concatenate(own).tolist(), (
        "rows that `new` has not learnt from"
    )
    assert proposal.proof.champion < proposal.proof.challenger
    unsure = decisions.prove_succession(with_fresh(two_models(1, "new", rows=60)), AUC, Proving())
    assert unsure is not None
    assert not unsure.proven


def test_nothing_succeeds_after_an_alarm_nor_where_it_has_rows_of_its_own_nor_in_a_slot_that_is_not_served():
    now = with_fresh(two_models(served="new"))
    assert decisions.succeeding(now) == Recipe({"fresh": 1.0})
    assert decisions.succeeding(replace(now, alarm=["loss 0.3"])) is None
    held = replace(now.batches[-1], predictions={**now.batches[-1].predictions, "fresh": np.zeros(200)})
    assert decisions.succeeding(replace(now, batches=[*now.batches, held])) is None
    assert decisions.succeeding(replace(now, newest=now.newest + 1)) is None, (
        "it waited, so it is proven as usual"
    )
    assert decisions.succeeding(with_fresh(two_models(), RECENT)) is None


def test_succession_in_a_mix_is_of_the_newest_served_and_compares_only_that():
    """The older generation stays; the recent model is the same on both sides, whichever was the newest then."""
    world = World(noise={"old": 1.2, "new": 0.2, "r": 0.5})
    stream = [world.batch(number, {"old": ALL, "new": ALL, "r": RECENT}, "new") for number in range(1, 9)]
    kept = [Kept("old", ALL, -4, 900), Kept("new", ALL, 0, 1000), Kept("r", RECENT, 0, 500)]
    now = with_fresh(situation(stream, kept, Recipe({"old": 0.2, "new": 0.5, "r": 0.3})))
    following = decisions.succeeding(now)
    assert following == Recipe({"old": 0.2, "fresh": 0.5, "r": 0.3})
    proof = decisions.prove_succession(now, AUC, Proving())
    assert proof is not None

    def lost(batch: Batch, first: str) -> float:
        said = batch.predictions
        mix = 0.2 * said["old"] + 0.5 * said[first] + 0.3 * said["r"]
        return float(np.mean((mix - batch.truth)[PROOF] ** 2))

    shares = decisions.PROOF_DECAY ** np.arange(8)[::-1]
    gains = [lost(batch, "old") - lost(batch, "new") for batch in stream]
    assert proof.gain == pytest.approx(float(shares @ gains / shares.sum()))


def test_halfway_is_between_what_is_served_and_what_is_proposed():
    half = decisions.halfway(Recipe({"a": 0.2, "b": 0.8}, 0.2, 1.0), Recipe({"a": 0.4, "b": 0.6}, -0.4, 0.8))
    assert half.weights == pytest.approx({"a": 0.3, "b": 0.7})
    assert (half.shift, half.slope) == (-0.1, 0.9)
    other = decisions.halfway(Recipe({"a": 1.0}, 0.2), Recipe({"b": 1.0}))
    assert (other.weights, other.shift, other.slope) == ({"b": 1.0}, 0.1, 1.0)


def test_what_is_no_longer_kept_is_not_proposed():
    """A run that was cut off after it had deleted old models asks again, of batches that they still predicted."""
    now = two_models()
    assert {one for recipe in recipes.suggested(now) for one in recipe.weights} == {"old", "new"}
    for gone, left in (("old", "new"), ("new", "old")):
        fewer = replace(now, kept=[one for one in now.kept if one.id != gone])
        assert {one for recipe in recipes.suggested(fewer) for one in recipe.weights} == {left}
    assert recipes.suggested(replace(now, kept=[])) == []


def test_a_handful_of_rows_proves_nothing():
    proof = decisions.prove(
        two_models(batches=1, rows=30), Recipe({"new": 1.0}), AUC, Proving(confidence=0.5)
    )
    assert proof is not None
    assert not proof.proven
    assert "20 rows are needed" in proof.why


def test_noise_is_hardly_ever_proven():
    """Two models as good as each other: the confidence says how often one of them may pass."""
    proven = 0
    for seed in range(100):
        now = two_models(seed=seed, noise={"old": 0.5, "new": 0.5})
        proof = decisions.prove(now, Recipe({"new": 1.0}), AUC, Proving(confidence=0.9))
        proven += proof is not None and proof.proven
    assert proven <= 20


def test_the_metric_of_the_config_may_not_be_surely_worse_and_a_margin_must_be_passed():
    random = np.random.default_rng(1)
    truth = (random.random(2000) < 0.3).astype(int)
    sharp = np.where(truth == 1, 0.9, 0.6) + random.normal(0, 0.05, 2000)  # ranks well, and says too much
    flat = np.full(2000, 0.3) + random.normal(0, 0.001, 2000)
    batch = Batch(1, truth, {"sharp": np.clip(sharp, 0, 1), "flat": flat}, {ALL: "flat"}, sharp)
    kept = [Kept("sharp", ALL, -1, 10), Kept("flat", ALL, 0, 10)]
    now = situation([batch], kept, Recipe({"sharp": 1.0}))
    refused = decisions.prove(now, Recipe({"flat": 1.0}), AUC, Proving())
    assert refused is not None
    assert refused.gain > 0
    assert not refused.proven
    assert "roc_auc is worse" in refused.why
    small = decisions.prove(two_models(), Recipe({"new": 1.0}), AUC, Proving(margin=0.5))
    assert small is not None
    assert "not surely better by more than 0.5" in small.why


def test_where_the_metric_is_not_defined_squared_error_alone_decides():
    now = two_models()
    alike = [replace(batch, truth=np.zeros_like(batch.truth)) for batch in now.batches]
    low = [
        replace(batch, predictions={"old": batch.predictions["old"], "new": batch.predictions["old"] / 2})
        for batch in alike
    ]
    proof = decisions.prove(replace(now, batches=low), Recipe({"new": 1.0}), AUC, Proving())
    assert proof is not None
    assert math.isnan(proof.challenger)
    assert proof.proven


def test_identical_predictions_are_never_proven():
    now = two_models(noise={"old": 0.3, "new": 0.3})
    twins = [
        replace(batch, predictions=dict.fromkeys(("old", "new"), batch.predictions["old"]))
        for batch in now.batches
    ]
    proof = decisions.prove(replace(now, batches=twins), Recipe({"new": 1.0}), AUC, Proving(confidence=0.5))
    assert proof is not None
    assert (proof.gain, proof.proven) == (0, False)


def test_what_is_kept_is_what_is_served_and_the_newest_two_of_each_slot():
    kept = [Kept(str(upto), ALL, upto, 100) for upto in range(4)] + [Kept("r", RECENT, 2, 50)]
    assert decisions.keep(situation([], kept, Recipe({"0": 1.0}))) == {"0", "2", "3", "r"}


# ---------------------------------------------------------------------------------------------- from tick to tick
@dataclass
class Stream:
    """A stream with one coefficient, that models learn from rows; decisions are taken as the cron job does."""

    rows: int = 200
    seed: int = 0
    flip: int = 10**9  # the batch from which the coefficient has the other sign

    def run(self, ticks: int) -> tuple[list[int], list[int], list[float]]:
        """Give at which ticks something was trained and deployed, and the loss of each tick."""
        random = np.random.default_rng(self.seed)
        data: list[tuple[np.ndarray, np.ndarray]] = []
        models: dict[str, LogisticRegression] = {}
        kept: list[Kept] = []
        batches: list[Batch] = []
        trained, deployed, losses = [], [], []

        def fit(window: str, upto: int) -> None:
            chosen = data[: upto + 1] if window == "all" else data[max(0, upto - 9) : upto + 1]
            inputs, truth = (np.concatenate(part) for part in zip(*chosen, strict=True))
            name = f"{window}@{upto}"
            models[name] = LogisticRegression().fit(inputs, truth)
            rows = sum(len(part[1]) for part in chosen)
            kept.append(Kept(name, f"{window}/logreg", upto, rows))

        served = Recipe({"all@9": 1.0})
        for tick in range(ticks):
            inputs = random.normal(0, 1, (self.rows, 3))
            odds = inputs @ np.array([1.5 if tick < self.flip else -1.5, 1, 0])
            truth = (random.random(self.rows) < probability(odds)).astype(int)
            data.append((inputs, truth))
            if tick == 9:
                fit("all", tick)
            if tick < 10:
                continue
            said = {one.id: models[one.id].predict_proba(inputs)[:, 1] for one in kept}
            shown = served.predict(said, "classification")
            losses.append(float(np.mean((shown - truth) ** 2)))
            slots = {one.slot: one.id for one in kept}
            batches.append(Batch(tick, truth, said, slots, shown))
            harmed = tick > self.flip and losses[-1] > 0.25
            regime = self.flip - 1 if tick > self.flip else None
            now = Situation(
                "classification", batches[-20:], list(kept), served, (tick + 1) * self.rows, tick,
                ["the loss rose"] if harmed else [], harmed=regime,
            )  # fmt: skip
            decision = decisions.retrain("adaptive", now, SETTINGS)
            for window in decision.windows:
                fit(window, tick)
                trained.append(tick)
            proposal = decisions.propose(replace(now, kept=list(kept)), AUC, Proving())
            if proposal.recipe is not None:
                served = proposal.recipe
                deployed.append(tick)
            wanted = decisions.keep(replace(now, kept=list(kept), served=served))
            kept[:] = [one for one in kept if one.id in wanted]
        return trained, deployed, losses


def test_without_drift_a_year_of_ticks_trains_and_deploys_ever_more_seldom():
    trained, deployed, _ = Stream().run(375)
    assert len(trained) < 0.1 * 365
    assert len(deployed) < 0.1 * 365
    late = [tick for tick in trained if tick > 190]
    assert len(late) < len(trained) / 2


def test_a_coefficient_that_turns_round_is_learnt_within_a_few_ticks_of_its_discovery():
    _, deployed, losses = Stream(flip=60).run(90)
    usual = float(np.mean(losses[20:50]))
    assert losses[50] > 2 * usual
    assert min(tick for tick in deployed if tick >= 60) <= 63
    assert float(np.mean(losses[62:75])) < 1.35 * usual


def test_a_proof_is_paired_so_that_rows_hard_for_both_do_not_blur_it():
    """The odds of half of the rows are hidden from both models; that one is a little better still shows."""
    now = two_models(batches=4, rows=500, noise={"old": 0.9, "new": 0.5})
    hidden = []
    for batch in now.batches:
        predictions = {
            one: np.where(np.arange(500) % 4 < 2, 0.5, said) for one, said in batch.predictions.items()
        }
        hidden.append(replace(batch, predictions=predictions))
    proof = decisions.prove(replace(now, batches=hidden), Recipe({"new": 1.0}), AUC, Proving(confidence=0.95))
    assert proof is not None
    assert proof.proven
