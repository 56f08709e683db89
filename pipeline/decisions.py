"""Sums that decide: train or not, deploy or not, and why. No disk, no clock; `backtest` replays the very same.

Of each window ("all" history, the "recent" batches) and model family the newest model is kept, and its predecessor.
Served is one `Recipe`: a weighted mean of kept models, recalibrated. A new model waits unserved until it is proven.

- **Weights** (Bates & Granger 1969): least squares on the batches, none negative, sum 1, decayed by the batch and
  drawn to `PARTS` by a ridge. Each batch is taken as the models predicted it that were newest then, and had not learnt
  from it: so a new model inherits the weight of its slot, before it has any such batch of its own.
- **Slope and shift** (Cox 1958; Platt 1999): logistic fit of the truth on the mean's log-odds, decayed, drawn to 1, 0.
- **Proof** (Diebold & Mariano 1995): paired differences of squared errors. Weights, slope and shift learn from every
  other row of a batch, `LEARNT`; proofs use the rows between, `PROOF`, of batches that no model of either recipe
  learnt from. So both are compared on the same rows, and neither has learnt from any. (Models learn from all, later.)
- **Training**: the price of a training against what ageing costs a row. If a batch of age costs `s` more than the last
  one, a model kept for `a` batches costs `s a^2 / 2`, so it's worth the price after `sqrt(2 price / s)` batches (the
  square root of Harris 1913). `s` is what newer models were measured to gain on their predecessors, on batches that
  neither learnt from, and, the less sure that is, what makes the rhythm one of growth of the labelled history.

Every decision carries its reasons in words, also the decision to do nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from pipeline.metrics import Metric, resamples

MEMORY = 20  # batches that a decision looks back; with DECAY all older ones together would weigh an eighth
DECAY = 0.9  # a batch
WINDOWS = ("all", "recent")
TOLD = {"all": "all history", "recent": "newest batches"}
PARTS = {
    ("all", 0): 0.5,
    ("recent", 0): 0.3,
    ("all", 1): 0.2,
}  # (window, generations back): weight before any evidence
RIDGE = 40.0  # how firmly, in rows times squared probability
LEAST = 0.02  # weight of a part that is served
LEARNT, PROOF = slice(0, None, 2), slice(1, None, 2)
LOGIT_DECAY, LOGIT_RIDGE = 0.85, 100.0  # of the slope
SHIFT_DECAYS, SHIFT_RIDGE = (0.6, 0.9), 20.0  # of the shift: the base rate may change fast, or seem to
PROOF_BATCHES, PROOF_DECAY = 8, 0.7
WORTH = 0.015  # of the squared error: a smaller gain is not worth a deployment,
PATIENCE = 0  # and it must be that much larger if the last deployment is this many batches ago or less
SURE = 0.95  # confidence at which "worse" is sure
RARE = 2.5  # "recent" is due when the history has grown by growth to this power, unless ageing was measured
DOUBT = 10.0  # standard deviation of the ageing expected from growth, as a multiple of it
LATEST = 1.5  # times the age at which growth would do: then a training is due, whatever ageing was measured to cost
ALIKE = 3.0  # rows of a batch are alike, so a batch's mean varies this much more than if they were not
HARM_GROWTH = 4.0  # after harm: train once there are so many times the batches since it that models know of
FIRST = 1.3  # a recent window is worth a model of its own when the history is this much longer


@dataclass(frozen=True)
class Batch:
    """A labelled batch, as each kept model predicted it that had not learnt from it."""

    number: float  # order: file number in production (and a half: rows held out), tick in a backtest
    truth: np.ndarray  # (rows,)
    predictions: Mapping[str, np.ndarray]  # model id -> (rows,): probability of the positive class, or value
    slots: Mapping[str, str]  # slot -> its newest model that had not learnt from this batch
    served: np.ndarray  # what was served for these rows


Seen = list[tuple[int, Batch, dict[tuple[str, int], str]]]  # age, batch, model that was each part of the mix


@dataclass(frozen=True)
class Kept:
    """A model that is kept: live or in the shadow."""

    id: str
    slot: str  # "<window>/<model family>"
    upto: int  # number of the newest batch it learnt from
    rows: int  # labelled rows it learnt from


@dataclass(frozen=True)
class Recipe:
    """What is served: the weighted mean of models' predictions, recalibrated."""

    weights: Mapping[str, float]  # model id -> share; they sum to 1
    shift: float = 0.0  # on the log-odds, or on the value
    slope: float = 1.0  # of the log-odds; always 1 for values
    since: int = -(10**9)  # number of the newest labelled batch when it was proposed

    def predict(self, predictions: Mapping[str, np.ndarray], task: str) -> np.ndarray:
        """Give the prediction of each row from those of the models."""
        mean = np.sum([share * np.asarray(predictions[one], float) for one, share in self.weights.items()], 0)
        if task == "regression":
            return mean + self.shift
        return mean if (self.slope, self.shift) == (1, 0) else expit(self.slope * logit(mean) + self.shift)

    def same(self, other: "Recipe") -> bool:
        """Say whether both serve the same predictions."""
        return replace(self, since=0) == replace(other, since=0)


@dataclass(frozen=True)
class Situation:
    """What is known when it's to be decided."""

    task: str  # classification | regression
    batches: Sequence[Batch]  # the newest labelled ones, oldest first, at most MEMORY
    kept: Sequence[Kept]
    served: Recipe
    rows: int  # labelled rows there are now
    newest: int  # number of the newest labelled batch
    alarm: list[str] = field(default_factory=list)  # why harm is certain since the newest training
    drift: list[str] = field(default_factory=list)  # why the score tests say drift since then
    recent: int = 10  # batches in the recent window
    harmed: float | None = (
        None  # newest batch before the harm, of which there is an alarm or that last led to a training
    )


@dataclass(frozen=True)
class Retraining:
    """When to train, as the config has it."""

    growth: float = 1.35
    cooldown: int = 1
    price: float = 0.025  # of a training: loss of a batch, in units where a fair coin's squared error is 1/4
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
    confidence: float  # that there is a gain
    rows: int
    batches: int
    proven: bool
    why: str


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
    told = f"{waited(now)} batch(es) since the last training, the policy is {rhythm}"
    return Decision(waited(now) >= settings.every, [told], ("all",))


def on_drift(now: Situation, settings: Retraining) -> Decision:
    """Retrain when the loss alarm or the score tests find drift, but not again within the cool-down."""
    found = [*now.alarm, *now.drift]
    return _cooled(Decision(bool(found), found or ["no drift found"], ("all",)), now, settings)


def adaptive(now: Situation, settings: Retraining) -> Decision:
    """Retrain what has become worth its price by age, and what serves most on an alarm."""
    asked = {window: _due(now, settings, window) for window in WINDOWS}
    due = [window for window, (due, _) in asked.items() if due]
    windows = tuple(window for window in WINDOWS if window in (*due, *_harmed(now)))
    reasons = [*now.alarm, *(why for _, why in asked.values())]
    decision = Decision(bool(windows), reasons, windows)
    return (
        _cooled(decision, now, settings) if now.alarm else decision
    )  # each window has a cool-down by its age


def _harmed(now: Situation) -> tuple[str, ...]:
    """Give the windows that harm calls for: the recent one, which forgets.

    Right after harm little is known of it, so what was learnt ages fast: it's learnt anew once the batches since the
    loss began to rise are `HARM_GROWTH` times those that the newest models could know of, for a recent window's time.
    """
    if now.harmed is None:
        return ("recent",) if now.alarm else ()
    trained = max((model.upto for model in now.kept), default=0)
    if now.newest - now.harmed < HARM_GROWTH * (trained - now.harmed):
        return ()
    return ("recent",) if now.alarm or now.newest - now.harmed <= now.recent else ()


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
    if (
        not decision.yes or len(now.kept) < 2 or waited(now) > settings.cooldown
    ):  # the first model was no retraining
        return decision
    told = (
        f"but only {waited(now)} batch(es) since the last training: more than {settings.cooldown} are needed"
    )
    return Decision(False, [*decision.reasons, told])


def _due(now: Situation, settings: Retraining, window: str) -> tuple[bool, str]:
    """Say whether a window's model has become old enough to be worth a training, and why."""
    model, pace = newest(now, window), _pace(now)
    if model is None:
        enough = now.recent * pace * FIRST if window == "recent" and newest(now, "all") else 0
        told = f"{TOLD[window]}: no model yet, and {now.rows:,} labelled rows"
        return now.rows >= enough, told if now.rows >= enough else f"{told}: from {enough:,.0f} on"
    age = now.newest - model.upto
    before = model.rows if window == "all" else now.rows - age * pace
    if age < 1:
        return False, f"{TOLD[window]}: nothing new to learn from"
    if window == "all" and len([one for one in now.kept if one.slot == model.slot]) == 1:
        return (
            True,
            f"{TOLD[window]}: the first model is {age:g} batch(es) old, and what ageing costs isn't known yet",
        )
    growth = settings.growth ** (1 if window == "all" else RARE)
    usual = max(1.0, before * (growth - 1) / pace)
    expected = 2 * settings.price / usual**2
    cost, surely = ageing(now, model.slot)
    trust = 1 / (DOUBT * expected) ** 2
    cost = (cost * surely + expected * trust) / (surely + trust)
    due = min(math.sqrt(2 * settings.price / cost) if cost > 0 else math.inf, LATEST * usual)
    told = (
        f"{TOLD[window]}: trained {age:g} batch(es) ago, now {now.rows / before:.2f} x the labelled rows of then; "
        f"a batch of age is reckoned to cost {max(cost, 0):.2g} of squared error a row, "
        f"so a training pays after {due:.1f}"
    )
    return age >= max(due, settings.cooldown + 1) - 1e-9, told


def _pace(now: Situation) -> float:
    """Give the rows of a batch, on average."""
    return sum(len(batch.truth) for batch in now.batches) / len(now.batches) if now.batches else 1.0


def ageing(now: Situation, slot: str) -> tuple[float, float]:
    """Give what a batch of age costs a row of what's served, by the slot's share, and its precision (1 / variance).

    It's the slope, through the origin, of what newer models gained on their predecessors over how much newer they were.
    """
    window, above, below = slot.partition("/")[0], 0.0, 0.0
    upto, line, seen, scale = _upto(now, slot), _lineage(now, slot), _seen(now), unit(now)
    shares = PARTS
    mine = sum(share for part, share in shares.items() if part[0] == window)
    for age, batch, models in seen:
        new, old = line.get(batch.number, ("", ""))
        if new == old or new not in upto or old not in upto:
            continue
        gap = upto[new] - upto[old]
        rest = _mean({part: share for part, share in shares.items() if part[0] != window}, models, batch)
        before, after = (mine * batch.predictions[one] + rest - batch.truth for one in (old, new))
        gains = (before**2 - after**2) / scale
        precision = DECAY**age / (ALIKE * (float(gains.var()) / len(gains) + 1e-6))
        above += precision * gap * float(gains.mean())
        below += precision * gap**2
    return (above / below if below else 0.0), below


def _mean(
    shares: Mapping[tuple[str, int], float], models: Mapping[tuple[str, int], str], batch: Batch
) -> np.ndarray:
    """Give the weighted sum of the parts' predictions, (rows,)."""
    return np.sum([share * batch.predictions[models[part]] for part, share in shares.items()], axis=0)


def _upto(now: Situation, slot: str) -> dict[str, float]:
    """Give the newest batch that each of a slot's models learnt from; those no more kept began to serve just after."""
    upto: dict[str, float] = {}
    for before, batch in zip(now.batches, now.batches[1:], strict=False):
        if slot in batch.slots:
            upto.setdefault(batch.slots[slot], before.number)
    if now.batches:
        upto.pop(now.batches[0].slots.get(slot, ""), None)  # it may be older
    return upto | {model.id: model.upto for model in now.kept if model.slot == slot}


# ------------------------------------------------------------------------------------------------ what could be served
def newest(now: Situation, window: str) -> Kept | None:
    """Give the newest kept model of the window's family."""
    models = [model for model in now.kept if model.slot == chosen(now, window)]
    return max(models, key=lambda model: model.upto, default=None)


def chosen(now: Situation, window: str) -> str | None:
    """Give the window's slot whose family takes part in the mix.

    That's the one in service, unless another lost less on the batches by more than a standard error.
    """
    slots = sorted({model.slot for model in now.kept if model.slot.partition("/")[0] == window})
    live = [model.slot for model in now.kept if model.id in now.served.weights and model.slot in slots]
    best = [*live, *slots, None][0]
    for slot in slots:
        gain, error = _compared(now.batches, str(best), slot)
        best = slot if gain > error else best
    return best


def _compared(batches: Sequence[Batch], old: str, new: str) -> tuple[float, float]:
    """Give how much less squared error one slot had than another, decayed mean over batches, and its standard error."""
    both = [(age, batch) for age, batch in enumerate(reversed(batches)) if {old, new} <= batch.slots.keys()]
    if old == new or len(both) < 2:
        return 0.0, 0.0
    losses = [
        [float(np.mean((batch.predictions[batch.slots[slot]] - batch.truth) ** 2)) for slot in (old, new)]
        for _, batch in both
    ]
    gains = -np.diff(losses)[:, 0]
    shares = DECAY ** np.array([age for age, _ in both])
    shares /= shares.sum()
    mean = float(shares @ gains)
    return mean, math.sqrt(float(shares**2 @ (gains - mean) ** 2) * len(gains) / (len(gains) - 1))


def unit(now: Situation) -> float:
    """Give the scale of squared errors: 1 for probabilities, 4 variances for values (a fair coin's variance is 1/4)."""
    if now.task == "classification" or not now.batches:
        return 1.0
    return 4 * float(np.var(np.concatenate([batch.truth for batch in now.batches]))) or 1.0


def _lineage(now: Situation, slot: str) -> dict[float, tuple[str, str]]:
    """Give, by number of batch, the slot's newest model that had not learnt from it, and its predecessor if known.

    Without a known predecessor the newest model stands for it.
    """
    firsts = list(dict.fromkeys(batch.slots[slot] for batch in now.batches if slot in batch.slots))
    kept = sorted((model for model in now.kept if model.slot == slot), key=lambda model: model.upto)
    order = [*(model.id for model in kept if model.id not in firsts), *firsts]
    pairs = {}
    for batch in now.batches:
        if (new := batch.slots.get(slot, "")) in batch.predictions:
            older = [one for one in order[: order.index(new)] if one in batch.predictions]
            pairs[batch.number] = new, older[-1] if older else new
    return pairs


def _seen(now: Situation) -> Seen:
    """Give the batches, newest first, with their age and the model that was each part of the mix then.

    Where a window had no model yet, the other's stands for it.
    """
    slots = {window: chosen(now, window) for window in WINDOWS}
    lines = {window: _lineage(now, slot) if slot else {} for window, slot in slots.items()}
    seen = []
    for age, batch in enumerate(reversed(now.batches)):
        pairs = {window: line[batch.number] for window, line in lines.items() if batch.number in line}
        if pairs:
            spare = next(iter(pairs.values()))
            seen.append((age, batch, {part: pairs.get(part[0], spare)[part[1]] for part in PARTS}))
    return seen


def weights(seen: Seen, scale: float = 1.0) -> np.ndarray:
    """Give the weight of each of PARTS that suits the batches best, (parts,): 0 or more, sum 1."""
    squares, products = RIDGE * np.eye(len(PARTS)), RIDGE * np.array(list(PARTS.values()))
    for age, batch, models in seen:
        predicted = np.array([batch.predictions[models[part]][LEARNT] for part in PARTS])
        squares += DECAY**age / scale * predicted @ predicted.T
        products += DECAY**age / scale * predicted @ batch.truth[LEARNT]
    return _on_simplex(squares, products)


def _on_simplex(squares: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Give the least `w squares w / 2 - products w` of weights of 0 or more that sum to 1; tries every support."""
    count, best, least = len(products), np.array([]), math.inf
    for size in range(count, 0, -1):
        for support in map(list, combinations(range(count), size)):
            system = np.ones((size + 1, size + 1))
            system[:size, :size], system[size, size] = squares[np.ix_(support, support)], 0
            found = np.zeros(count)
            found[support] = np.linalg.solve(system, np.append(products[support], 1))[:size]
            value = float(found @ squares @ found / 2 - products @ found)
            if found.min() >= 0 and value < least:
                best, least = found, value
                if size == count:
                    return best
    return best


def recipes(now: Situation) -> list[Recipe]:
    """Give the recipes that the batches suggest: today's models by weight, recalibrated."""
    seen = _seen(now)
    if not seen:
        return []
    best = dict(zip(PARTS, weights(seen, unit(now)), strict=True))
    shares: dict[str, float] = {}
    for part, model in seen[0][2].items():
        shares[model] = shares.get(model, 0) + best[part]
    shares = {model: share for model, share in shares.items() if share >= LEAST}
    rounded = {model: round(share / sum(shares.values()), 2) for model, share in shares.items()}
    rounded[max(rounded, key=lambda model: rounded[model])] += 1 - sum(rounded.values())
    told = [(batch.truth[LEARNT], _mean(best, models, batch)[LEARNT]) for _, batch, models in seen]
    found = dict.fromkeys((round(slope, 2), round(shift, 3)) for slope, shift in calibrations(told, now.task))
    return [Recipe(rounded, shift, slope, now.newest) for slope, shift in found]


def calibrations(told: Sequence[tuple[np.ndarray, np.ndarray]], task: str) -> list[tuple[float, float]]:
    """Give the slope and the shift that (truth, prediction) of batches suggest, newest first; for each SHIFT_DECAYS."""
    truth, predicted = (np.concatenate(part) for part in zip(*told, strict=True))
    age = np.repeat(np.arange(len(told)), [len(part) for part, _ in told])
    if task == "regression":
        decays = [decay**age for decay in SHIFT_DECAYS]
        return [(1.0, float(one @ (truth - predicted) / (one.sum() + 4 * SHIFT_RIDGE))) for one in decays]
    odds = logit(predicted)
    slope = min(1.5, max(0.3, _logistic(truth, odds, LOGIT_DECAY**age)[0]))
    return [
        (slope, _logistic(truth, round(slope, 2) * odds, decay**age, math.inf)[1]) for decay in SHIFT_DECAYS
    ]


def _logistic(
    truth: np.ndarray, odds: np.ndarray, decay: np.ndarray, ridge: float = LOGIT_RIDGE
) -> tuple[float, float]:
    """Give slope and shift by Newton's method; an infinite ridge leaves the slope at 1."""
    slope, shift = 1.0, 0.0
    for _ in range(4):
        risk = expit(slope * odds + shift)
        off, known = decay * (truth - risk), decay * risk * (1 - risk)
        if ridge == math.inf:
            shift += float(off.sum() - SHIFT_RIDGE * shift) / float(known.sum() + SHIFT_RIDGE)
            continue
        curve = np.array([[known @ odds**2 + ridge, known @ odds], [known @ odds, known.sum() + SHIFT_RIDGE]])
        step = np.linalg.solve(curve, [off @ odds - ridge * (slope - 1), off.sum() - SHIFT_RIDGE * shift])
        slope, shift = slope + float(step[0]), shift + float(step[1])
    return slope, shift


def logit(probability: np.ndarray) -> np.ndarray:
    """Give the log-odds; probabilities within a millionth of 0 or 1 count as that."""
    sure = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(sure / (1 - sure))


def expit(odds: np.ndarray) -> np.ndarray:
    """Give the probabilities of log-odds."""
    return 1 / (1 + np.exp(-odds))


# ------------------------------------------------------------------------------------------------ deploy?
def propose(now: Situation, metric: Metric, settings: Proving, seed: int = 0) -> Proposal:
    """Say what should be served from now on, if it's proven to be better than what is."""
    others = [recipe for recipe in recipes(now) if not recipe.same(now.served)]
    proofs = [(recipe, prove(now, recipe, metric, settings, seed)) for recipe in others]
    considered = [(recipe, proof) for recipe, proof in proofs if proof is not None]
    if not considered:
        return Proposal(None, None, ["nothing else can be compared yet with what is served"])
    recipe, proof = max(considered, key=lambda one: (one[1].proven, one[1].gain - one[1].error))
    return Proposal(recipe if proof.proven else None, proof, [proof.why], considered)


def fair(now: Situation, recipe: Recipe) -> list[Batch]:
    """Give the newest batches that no model of the recipe, nor of what is served, has learnt from."""
    models = recipe.weights.keys() | now.served.weights.keys()
    return [batch for batch in now.batches if models <= batch.predictions.keys()][-PROOF_BATCHES:]


def unseen(now: Situation, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Give truth and prediction of a recipe, shape (rows,), on the rows of its proof, oldest batch first."""
    batches = fair(now, recipe)
    none = [np.empty(0)]
    truth = np.concatenate([batch.truth[PROOF] for batch in batches] or none)
    found = [recipe.predict(batch.predictions, now.task)[PROOF] for batch in batches]
    return truth, np.concatenate(found or none)


def prove(now: Situation, recipe: Recipe, metric: Metric, settings: Proving, seed: int = 0) -> Proof | None:
    """Compare a recipe with what is served, paired, on rows that neither has learnt from; None if there are none."""
    batches = fair(now, recipe)
    if not sum(len(batch.truth[PROOF]) for batch in batches):
        return None
    truth = np.concatenate([batch.truth[PROOF] for batch in batches])
    theirs, ours = (
        np.concatenate([one.predict(batch.predictions, now.task)[PROOF] for batch in batches])
        for one in (now.served, recipe)
    )
    ages = np.repeat(np.arange(len(batches))[::-1], [len(batch.truth[PROOF]) for batch in batches])
    shares = PROOF_DECAY**ages / np.sum(PROOF_DECAY**ages)
    before, after = (theirs - truth) ** 2, (ours - truth) ** 2
    gain = float(shares @ (before - after))
    error = math.sqrt(float(shares**2 @ (before - after - gain) ** 2))
    confidence = 0.5 * (1 + math.erf(gain / error / math.sqrt(2))) if error else float(gain > 0)
    hurry = max(1.0, PATIENCE / max(1, now.newest - now.served.since))
    worth = WORTH * hurry * float(shares @ before)
    objection = ""
    if confidence < settings.confidence:
        objection = f"{settings.confidence:.0%} is needed"
    elif gain <= worth:
        objection = f"a deployment now is worth it from {worth:.2g} on"
    else:
        objection = _objection(metric, truth, theirs, ours, settings, seed)
    champion, challenger = metric.score(truth, theirs), metric.score(truth, ours)
    why = (
        f"{metric.name} {challenger:.4g} against the champion's {champion:.4g} on the same {len(truth):,} rows of "
        f"{len(batches)} batch(es) that neither learnt from, squared error {'less' if gain > 0 else 'more'} by "
        f"{abs(gain):.2g} a row, {confidence:.0%} sure that it's less"
    )
    why += f": {objection}" if objection else ""
    return Proof(champion, challenger, gain, error, confidence, len(truth), len(batches), not objection, why)


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
