"""Sums that decide: train or not, deploy or not, and why. No disk, no clock; `backtest` replays the very same.

What could be served is said in `recipes`. A new model waits unserved until a recipe with it is proven.

- **Training**: the price of a training against what ageing costs a row. If a batch of age costs `s` more than the last
  one, a model kept for `a` batches costs `s a^2 / 2`, so it's worth the price after `sqrt(2 price / s)` batches (the
  square root of Harris 1913). `s` is what newer models were measured to gain on their predecessors, on batches that
  neither learnt from, and, the less sure that is, what makes the rhythm one of growth of the labelled history.
- **Proof** (Diebold & Mariano 1995): paired differences of squared errors, on the rows `PROOF` of batches that no model
  of either recipe learnt from; weights, slope and shift are fitted on the rows between. So both are compared on the
  same rows, and neither has learnt from any. (Models learn from all of them, later.)
- **Succession**: a model that was trained just now has seen every row there is. It takes its predecessor's place at
  once if the way it was made is proven: if earlier such successions gained much, by the same comparison.

Every decision carries its reasons in words, also the decision to do nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline import recipes
from pipeline.metrics import Metric, resamples
from pipeline.recipes import DECAY, PARTS, PROOF, WINDOWS, Batch, Kept, Recipe, Situation
from pipeline.words import counted

TOLD = {"all": "a model of all history", "recent": "a model of the newest batches"}
PROOF_BATCHES, PROOF_DECAY = 8, 0.7
FEWEST = 20  # rows of a proof: with fewer the confidence, which takes means for normal, is worth nothing
WORTH = 0.015  # of the squared error: a smaller gain is not worth a deployment
# of the squared error, that earlier successions gained: then the next one needs no rows of its own
MUCH = 0.1
SUCCEEDED = "trained just now as its predecessors were"  # how the reason of such a release begins
SURE = 0.95  # confidence that something is sure
RARE = 2.5  # "recent" is due when the history has grown by growth to this power, unless ageing was measured
DOUBT = 10.0  # standard deviation of the ageing expected from growth, as a multiple of it
LATEST = 1.5  # times the age at which growth would do: then a training is due, whatever ageing was measured to cost
ALIKE = 3.0  # rows of a batch are alike, so a batch's mean varies this much more than if they were not
HARM_GROWTH = 4.0  # after harm: train once there are so many times the batches since it that models know of
ENOUGH = 2  # times retraining.min_rows: so many rows since harm do without what was before
FIRST = 1.3  # a recent window is worth a model of its own when the history is this much longer


@dataclass(frozen=True)
class Retraining:
    """When to train, as the config has it."""

    growth: float = 1.35
    cooldown: int = 1
    price: float = 0.01  # of a training: loss of a batch, in units where a fair coin's squared error is 1/4
    every: int = 1
    min_rows: int = 0


@dataclass(frozen=True)
class Decision:
    """Yes or no, why, and on which windows."""

    yes: bool
    reasons: list[str]
    windows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proving:
    """What a challenger must show: by how much better in the metric, and how surely in squared error."""

    margin: float = 0.0
    confidence: float = 0.75


@dataclass(frozen=True)
class Proof:
    """Challenger against champion on the same rows, which neither has learnt from."""

    champion: float  # score in the configured metric; NaN where it's not defined
    challenger: float
    gain: float  # mean squared error less, newer batches weigh more
    error: float  # standard error of the gain
    rows: int
    batches: int
    proven: bool
    why: str
    truth: np.ndarray  # (rows,), oldest first
    predicted: np.ndarray  # (rows,), by the challenger


@dataclass(frozen=True)
class Proposal:
    """The recipe to be deployed now, or None: what is served stays."""

    recipe: Recipe | None
    proof: Proof | None
    reasons: list[str]
    considered: list[tuple[Recipe, Proof]] = field(default_factory=list)


# ------------------------------------------------------------------------------------------------ train?
def never(now: Situation, settings: Retraining) -> Decision:
    """Keep the first model for ever: what all others are measured against."""
    return Decision(False, ["the policy is never to retrain"])


def always(now: Situation, settings: Retraining) -> Decision:
    """Retrain whenever there is a new batch."""
    return every(now, replace(settings, every=1))


def every(now: Situation, settings: Retraining) -> Decision:
    """Retrain after every so many batches."""
    rhythm = "always to retrain" if settings.every == 1 else f"to retrain every {settings.every}"
    told = f"{counted(waited(now), 'batch')} since the last training, the policy is {rhythm}"
    return Decision(waited(now) >= settings.every, [told], ("all",))


def on_drift(now: Situation, settings: Retraining) -> Decision:
    """Retrain when the loss alarm or the score tests find drift, but not again within the cool-down.

    Harm is answered as by `adaptive`, with the recent window, too: all history goes on teaching what is no more so.
    """
    found, harmed = [*now.alarm, *now.drift], _harmed(now)
    windows = (*(["all"] if found else []), *harmed)
    decision = Decision(bool(windows), [*_since_harm(now, harmed), *found] or ["no drift found"], windows)
    return _cooled(decision, now, settings) if found else decision


def adaptive(now: Situation, settings: Retraining) -> Decision:
    """Retrain what has become worth its price by age, and the recent window on an alarm."""
    asked = {window: _due(now, settings, window) for window in WINDOWS}
    due, harmed = [window for window, (due, _) in asked.items() if due], _harmed(now)
    windows = tuple(window for window in WINDOWS if window in (*due, *harmed))
    reasons = [
        *now.alarm,
        *_since_harm(now, harmed),
        *(why for yes, why in asked.values() if yes or not windows),
    ]
    decision = Decision(bool(windows), reasons, windows)
    if not now.alarm:
        return decision  # by age each window has a cool-down of its own
    return _cooled(decision, now, settings)


def _harmed(now: Situation) -> tuple[str, ...]:
    """Give the windows that harm calls for: the recent one, which forgets.

    Right after harm little is known of it, so what was learnt ages fast. It's learnt anew as soon as there are rows
    enough to leave out what was before, and once the batches since the loss began to rise are `HARM_GROWTH` times those
    that the newest models could know of; for a recent window's time.
    """
    if now.harmed is None:
        return ("recent",) if now.alarm else ()
    if now.may_forget and now.newest - now.harmed <= now.recent:
        return ("recent",)
    trained = max((model.upto for model in now.kept), default=0)
    if now.newest - now.harmed < HARM_GROWTH * (trained - now.harmed):
        return ()
    return ("recent",) if now.alarm or now.newest - now.harmed <= now.recent else ()


def _since_harm(now: Situation, harmed: tuple[str, ...]) -> list[str]:
    """Say why harm calls for a training although there is no alarm any more; nothing if it doesn't."""
    if not harmed or now.alarm or now.harmed is None:
        return []
    since = counted(int(now.newest - now.harmed), "batch")
    return [f"{since} since the loss began to rise, of which the newest models know too few"]


POLICIES: dict[str, Callable[[Situation, Retraining], Decision]] = {
    "never": never,
    "always": always,
    "every": every,
    "on_drift": on_drift,
    "adaptive": adaptive,
}


def retrain(policy: str, now: Situation, settings: Retraining) -> Decision:
    """Decide by the policy of the config, written as its name, or `every 5`; never on too few rows."""
    name, _, number = policy.partition(" ")
    decision = POLICIES[name](now, replace(settings, every=int(number)) if number else settings)
    if decision.yes and now.rows < settings.min_rows:
        few = f"but there are only {now.rows:,} labelled rows: {settings.min_rows:,} are needed"
        return Decision(False, [*decision.reasons, few])
    return decision if decision.yes else Decision(False, decision.reasons)


def waited(now: Situation) -> int:
    """Give how many batches were labelled since the newest training."""
    return now.newest - max((model.upto for model in now.kept), default=now.newest - len(now.batches))


def _cooled(decision: Decision, now: Situation, settings: Retraining) -> Decision:
    """Take back a yes within the cool-down."""
    first = len(now.kept) < 2  # that was no retraining
    if not decision.yes or first or waited(now) > settings.cooldown:
        return decision
    soon = f"but only {counted(waited(now), 'batch')} since the last training: more than {settings.cooldown} are needed"
    return Decision(False, [*decision.reasons, soon])


def _due(now: Situation, settings: Retraining, window: str) -> tuple[bool, str]:
    """Say whether a window's model has become old enough to be worth a training, and why."""
    model, pace = recipes.newest(now, window), _pace(now)
    if model is None:
        enough = now.recent * pace * FIRST if window == "recent" and recipes.newest(now, "all") else 0
        if not enough:
            return True, f"there is no model of {TOLD[window].removeprefix('a model of ')} yet"
        return (
            now.rows >= enough,
            f"the first of the newest batches is made from {enough:,.0f} labelled rows on, and there are {now.rows:,}",
        )
    age = now.newest - model.upto
    # As many as it learnt from there were: with a label window that was switched on fewer count now.
    before = model.rows if window == "all" else max(model.rows, now.rows - age * pace)
    if age < 1:
        return False, f"{TOLD[window]} has nothing new to learn from"
    if window == "all" and len([one for one in now.kept if one.slot == model.slot]) == 1:
        return True, f"{TOLD[window]} is due: what ageing costs isn't known yet, the first is {_aged(age)}"
    growth = settings.growth ** (1 if window == "all" else RARE)
    usual = max(1.0, before * (growth - 1) / pace)
    expected = 2 * settings.price / usual**2
    cost, surely = ageing(now, model.slot)
    trust = 1 / (DOUBT * expected) ** 2
    cost = (cost * surely + expected * trust) / (surely + trust)
    worth, latest = math.sqrt(2 * settings.price / cost) if cost > 0 else math.inf, LATEST * usual
    due = max(min(worth, latest), settings.cooldown + 1)
    limit = f"a training pays from {worth:.1f} on"
    grown = "" if worth <= latest else f"there are {now.rows / before:.2f} x the labelled rows of then; "
    if worth > latest:
        limit = f"{latest:.1f} is the most as the history grows"
    if age < due - 1e-9:
        if due > min(worth, latest):
            limit = f"none is trained before it's {due:g} (retraining.cooldown)"
        return False, f"{TOLD[window]} is not due yet: the last is {_aged(age)}, and {limit}"
    why = f"{limit} ({grown}ageing is reckoned to cost {_cost_told(now, cost)})"
    return True, f"{TOLD[window]} is due: the last is {_aged(age)}, and {why}"


def _aged(age: float) -> str:
    return f"{age:g} batch{'' if age == 1 else 'es'} old"


def _cost_told(now: Situation, cost: float) -> str:
    """Say what a batch of age costs a row; see `recipes.unit` for its unit."""
    if cost <= 0:
        return "nothing"
    unit = ", where 4 variances of the target are 1" if now.task == "regression" else ""
    return f"{cost:.2g} of squared error a row and batch{unit}"


def _pace(now: Situation) -> float:
    """Give the rows of a batch, on average."""
    return sum(len(batch.truth) for batch in now.batches) / len(now.batches) if now.batches else 1.0


def ageing(now: Situation, slot: str) -> tuple[float, float]:
    """Give what a batch of age costs a row of what's served, by the slot's share; and 1 / variance of that.

    It's the slope, through the origin, of what newer models gained on their predecessors over how much newer they were.
    A share is the mean of the usual one and of what suits the batches.
    """
    window, above, below = slot.partition("/")[0], 0.0, 0.0
    upto, line = _upto(now, slot), recipes.lineage(now, slot)
    seen, scale = recipes.seen_by_parts(now), recipes.unit(now)
    suited = dict(zip(PARTS, recipes.weights(seen, scale), strict=True))
    shares = {part: (usual + float(suited[part])) / 2 for part, usual in PARTS.items()}
    mine = sum(share for part, share in shares.items() if part[0] == window)
    others = {part: share for part, share in shares.items() if part[0] != window}
    for age, batch, models in seen:
        new, old = line.get(batch.number, ("", ""))
        if new == old or new not in upto or old not in upto:
            continue
        gap = upto[new] - upto[old]
        rest = recipes.mean(others, models, batch)
        before, after = (mine * batch.predictions[one] + rest - batch.truth for one in (old, new))
        gains = (before**2 - after**2) / scale
        precision = DECAY**age / (ALIKE * (float(gains.var()) / len(gains) + 1e-6))
        above += precision * gap * float(gains.mean())
        below += precision * gap**2
    return (above / below if below else 0.0), below


def _upto(now: Situation, slot: str) -> dict[str, float]:
    """Give the newest batch that each of a slot's models learnt from; those no more kept began to serve just after."""
    upto: dict[str, float] = {}
    for before, batch in zip(now.batches, now.batches[1:], strict=False):
        if slot in batch.slots:
            upto.setdefault(batch.slots[slot], before.number)
    if now.batches:
        upto.pop(now.batches[0].slots.get(slot, ""), None)  # it may be older
    return upto | {model.id: model.upto for model in now.kept if model.slot == slot}


# ------------------------------------------------------------------------------------------------ deploy?
def propose(now: Situation, metric: Metric, settings: Proving, seed: int = 0) -> Proposal:
    """Say what should be served from now on, if it's proven to be better than what is."""
    following = succeeding(now)
    proof = prove_succession(now, metric, settings, seed) if following else None
    if following and proof and proof.proven:
        return Proposal(following, proof, [f"{SUCCEEDED}, which were {proof.why}"])
    found = recipes.suggested(now)
    others = [
        recipe for recipe in [*found, *(halfway(now.served, one) for one in found)] if recipe != now.served
    ]
    proofs = [(recipe, prove(now, recipe, metric, settings, seed)) for recipe in others]
    considered = [(recipe, proof) for recipe, proof in proofs if proof is not None]
    if not considered:
        return Proposal(None, None, ["nothing else can be compared yet with what is served"])
    recipe, proof = max(considered, key=lambda one: (one[1].proven, one[1].gain - 2 * one[1].error))
    same = recipe.weights.keys() == now.served.weights.keys()
    told = "the same models, weighed or calibrated anew, are" if same else "another mix of kept models is"
    return Proposal(recipe if proof.proven else None, proof, [f"{told} {proof.why}"], considered)


def halfway(old: Recipe, new: Recipe) -> Recipe:
    """Give the recipe between two, with the new one's models: of a gain that is unsure it has most, for less risk."""
    shift, slope = round((old.shift + new.shift) / 2, 3), round((old.slope + new.slope) / 2, 2)
    if old.weights.keys() != new.weights.keys():
        return Recipe(new.weights, shift, slope)
    return Recipe(
        recipes.rounded({one: old.weights[one] + new.weights[one] for one in new.weights}), shift, slope
    )


def succeeding(now: Situation) -> Recipe | None:
    """Give what is served with models that were trained just now in their predecessors' places; None if there are none.

    After an alarm none are: what was learnt before it proves nothing.
    """
    heirs = {} if now.alarm else {old.id: new.id for old, new in _successions(now)}
    if not heirs:
        return None
    return replace(
        now.served, weights={heirs.get(one, one): share for one, share in now.served.weights.items()}
    )


def _successions(now: Situation) -> list[tuple[Kept, Kept]]:
    """Give the newest served model of each slot in which a model has just seen every row there is, and that one."""
    found = []
    for new in now.kept:
        older = [one for one in now.kept if one.slot == new.slot and one.id in now.served.weights]
        shown = new.upto == now.newest and not any(new.id in batch.predictions for batch in now.batches)
        if shown and new not in older and older:
            found.append((max(older, key=lambda one: one.upto), new))
    return found


def prove_succession(now: Situation, metric: Metric, settings: Proving, seed: int = 0) -> Proof | None:
    """Compare, on the newest batches that neither learnt from, earlier models of these slots with their predecessors.

    Each is taken in the mix that is served, with the models that were newest then. None if there are no such batches.
    """
    served = [model for model in now.kept if model.id in now.served.weights]
    lines = {slot: recipes.lineage(now, slot) for slot in {model.slot for model in served}}
    newest = {model.slot: model.id for model in sorted(served, key=lambda model: model.upto)}
    heirs = {old.id for old, _ in _successions(now)}
    batches, theirs, ours = [], [], []
    for batch in now.batches if len(served) == len(now.served.weights) else []:
        pairs = {model.id: lines[model.slot].get(batch.number, ("", "")) for model in served}
        if any(not new for new, _ in pairs.values()) or any(len(set(pairs[one])) < 2 for one in heirs):
            continue
        after = {one.id: batch.predictions[pairs[one.id][one.id != newest[one.slot]]] for one in served}
        before = after | {one: batch.predictions[pairs[one][1]] for one in heirs}
        batches.append(batch)
        theirs.append(now.served.predict(before, now.task))
        ours.append(now.served.predict(after, now.task))
    sure = replace(settings, confidence=max(settings.confidence, SURE))
    last = slice(-PROOF_BATCHES, None)
    return _compared(now, batches[last], theirs[last], ours[last], metric, sure, seed, MUCH)


def fair(now: Situation, recipe: Recipe) -> list[Batch]:
    """Give the newest batches that no model of the recipe, nor of what is served, has learnt from."""
    models = recipe.weights.keys() | now.served.weights.keys()
    return [batch for batch in now.batches if models <= batch.predictions.keys()][-PROOF_BATCHES:]


def prove(now: Situation, recipe: Recipe, metric: Metric, settings: Proving, seed: int = 0) -> Proof | None:
    """Compare a recipe with what is served, paired, on rows that neither has learnt from; None if there are none."""
    batches = fair(now, recipe)
    theirs, ours = (
        [one.predict(batch.predictions, now.task) for batch in batches] for one in (now.served, recipe)
    )
    return _compared(now, batches, theirs, ours, metric, settings, seed, WORTH)


def _compared(
    now: Situation,
    batches: Sequence[Batch],
    theirs: Sequence[np.ndarray],
    ours: Sequence[np.ndarray],
    metric: Metric,
    settings: Proving,
    seed: int,
    worth: float,
) -> Proof | None:
    """Compare two predictions of the same batches on their rows `PROOF`; None if there are none."""
    if not sum(len(batch.truth[PROOF]) for batch in batches):
        return None
    truth = np.concatenate([batch.truth[PROOF] for batch in batches])
    champion, challenger = (np.concatenate([one[PROOF] for one in each]) for each in (theirs, ours))
    ages = np.repeat(np.arange(len(batches))[::-1], [len(batch.truth[PROOF]) for batch in batches])
    shares = PROOF_DECAY**ages / np.sum(PROOF_DECAY**ages)
    before, after = (champion - truth) ** 2, (challenger - truth) ** 2
    gain = float(shares @ (before - after))
    error = math.sqrt(float(shares**2 @ (before - after - gain) ** 2))
    confidence = 0.5 * (1 + math.erf(gain / error / math.sqrt(2))) if error else float(gain > 0)
    enough = worth * float(shares @ before)
    objection = ""
    if len(truth) < FEWEST:
        objection = f"{FEWEST} rows are needed"
    elif confidence < settings.confidence:
        objection = (
            f"{_percent(confidence)} sure that its squared error is less, {settings.confidence:.0%} is needed"
        )
    elif gain <= enough:
        objection = f"a gain is worth a deployment from {enough:.2g} on"
    else:
        objection = _objection(metric, truth, champion, challenger, settings, seed)
    scores = metric.score(truth, champion), metric.score(truth, challenger)
    undefined = any(map(math.isnan, scores))
    told = "is not defined" if undefined else f"{scores[1]:.4g} against the champion's {scores[0]:.4g}"
    if not objection and metric.gain(scores[1], scores[0]) < 0:
        told += ", which is not surely worse,"
    unit = ", in the target's unit squared," if now.task == "regression" else ""
    side = f"{'less' if gain > 0 else 'more'} by {abs(gain):.2g}"
    why = (
        f"not proven to be better ({objection})"
        if objection
        else f"proven to be better ({_percent(confidence)} sure)"
    )
    why += (
        f": {metric.name} {told} on the same {len(truth):,} rows of {counted(len(batches), 'batch')} that neither "
        f"learnt from, squared error{unit} {side} a row"
    )
    return Proof(*scores, gain, error, len(truth), len(batches), not objection, why, truth, challenger)


def _percent(confidence: float) -> str:
    """Give a confidence in percent, never 100 or 0: nothing of some rows is certain."""
    return f"{min(max(confidence, 0.01), 0.99):.0%}"


def _objection(
    metric: Metric, truth: np.ndarray, theirs: np.ndarray, ours: np.ndarray, settings: Proving, seed: int
) -> str:
    """Say what speaks against a challenger whose squared error is less; empty if nothing does."""
    middle, spread = float(np.mean((ours + theirs) / 2)), float(np.std(truth - ours)) / math.sqrt(len(truth))
    side = math.copysign(1.0, float(np.mean(theirs - ours)))
    if side * (float(truth.mean()) - middle) > 2.33 * spread:
        return f"its mean {ours.mean():.3g} is surely further from the truth's {truth.mean():.3g}"
    gain = metric.gain(metric.score(truth, ours), metric.score(truth, theirs))
    if math.isnan(gain) or (gain >= 0 and not settings.margin):
        return ""
    drawn = [(truth[rows], ours[rows], theirs[rows]) for rows in resamples(len(truth), seed)]
    gains = np.array(
        [metric.gain(metric.score(one[0], one[1]), metric.score(one[0], one[2])) for one in drawn]
    )
    gains = gains[~np.isnan(gains)]
    if np.mean(gains < 0) >= SURE:
        return f"{metric.name} is worse in {np.mean(gains < 0):.0%} of paired samples"
    if settings.margin and not np.mean(gains > settings.margin) >= settings.confidence:
        return f"{metric.name} is not surely better by more than {settings.margin:g}"
    return ""


def keep(now: Situation) -> set[str]:
    """Give the ids worth keeping: those served, and of each slot the newest model and its predecessor."""
    worth = set(now.served.weights)
    for slot in {model.slot for model in now.kept}:
        models = sorted((model for model in now.kept if model.slot == slot), key=lambda model: model.upto)
        worth |= {model.id for model in models[-2:]}
    return worth
