"""Sums that say what could be served: which weights and which recalibration of kept models suit the newest batches.

Of each window ("all" history, the "recent" batches) and model family the newest model is kept, and its predecessor.
Served is one `Recipe`: a weighted mean of kept models, recalibrated.

- **Weights** (Bates & Granger 1969): least squares on the batches, none negative, sum 1, decayed by the batch and
  drawn to `PARTS` by a ridge. Each batch is taken as the models predicted it that were newest then, and had not learnt
  from it: so a new model inherits the weight of its slot, before it has any such batch of its own.
- **Slope and shift** (Cox 1958; Platt 1999): logistic fit of the truth on the mean's log-odds, decayed, drawn to 1, 0.

Both learn from every other row of a batch, `LEARNT`; the rows between, `PROOF`, are for the proof in `decisions`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

MEMORY = 20  # batches that a decision looks back; with DECAY all older ones together would weigh an eighth
DECAY = 0.9  # a batch
WINDOWS = ("all", "recent")
# (window, generations back): weight before any evidence
PARTS = {("all", 0): 0.5, ("recent", 0): 0.3, ("all", 1): 0.2}
RIDGE = 40.0  # how firmly, in rows times squared probability
LEAST = 0.02  # weight of a part that is served
LEARNT, PROOF = slice(0, None, 2), slice(1, None, 2)
LOGIT_DECAY, LOGIT_RIDGE = 0.85, 100.0  # of the slope
SHIFT_DECAYS, SHIFT_RIDGE = (0.6, 0.9), 20.0  # of the shift: the base rate may change fast, or seem to


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

    def predict(self, predictions: Mapping[str, np.ndarray], task: str) -> np.ndarray:
        """Give the prediction of each row from those of the models."""
        mean = np.sum([share * np.asarray(predictions[one], float) for one, share in self.weights.items()], 0)
        if task == "regression":
            return mean + self.shift
        return mean if (self.slope, self.shift) == (1, 0) else expit(self.slope * logit(mean) + self.shift)


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
    # newest batch before the harm that there is an alarm of, or that last led to a training
    harmed: float | None = None
    # there are rows enough since to learn from them alone, for the first time since a model was made
    may_forget: bool = False


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


def lineage(now: Situation, slot: str) -> dict[float, tuple[str, str]]:
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


def seen_by_parts(now: Situation) -> Seen:
    """Give the batches, newest first, with their age and the model that was each part of the mix then.

    Where a window had no model yet, the other's stands for it.
    """
    slots = {window: chosen(now, window) for window in WINDOWS}
    lines = {window: lineage(now, slot) if slot else {} for window, slot in slots.items()}
    seen = []
    for age, batch in enumerate(reversed(now.batches)):
        pairs = {window: line[batch.number] for window, line in lines.items() if batch.number in line}
        if pairs:
            spare = next(iter(pairs.values()))
            seen.append((age, batch, {part: pairs.get(part[0], spare)[part[1]] for part in PARTS}))
    return seen


def mean(
    shares: Mapping[tuple[str, int], float], models: Mapping[tuple[str, int], str], batch: Batch
) -> np.ndarray:
    """Give the weighted sum of the parts' predictions, (rows,)."""
    return np.sum([share * batch.predictions[models[part]] for part, share in shares.items()], axis=0)


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


def suggested(now: Situation) -> list[Recipe]:
    """Give the recipes that the batches suggest: models by weight, recalibrated; none of a model that is gone."""
    seen = seen_by_parts(now)
    if not seen:
        return []
    best = dict(zip(PARTS, weights(seen, unit(now)), strict=True))
    there, shares = {model.id for model in now.kept}, dict[str, float]()
    for part, model in seen[0][2].items():
        shares[model] = shares.get(model, 0) + best[part]
    shares = {model: share for model, share in shares.items() if share >= LEAST and model in there}
    if not shares:
        return []
    told = [(batch.truth[LEARNT], mean(best, models, batch)[LEARNT]) for _, batch, models in seen]
    found = dict.fromkeys((round(slope, 2), round(shift, 3)) for slope, shift in calibrations(told, now.task))
    return [Recipe(rounded(shares), shift, slope) for slope, shift in found]


def rounded(shares: Mapping[str, float]) -> dict[str, float]:
    """Give shares that sum to 1, in hundredths."""
    found = {one: round(share / sum(shares.values()), 2) for one, share in shares.items()}
    found[max(found, key=lambda one: found[one])] += 1 - sum(found.values())
    return found


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
