"""An alarm on the champion's loss that may be looked at after every batch, for ever: a bet on "worse than it was".

The null hypothesis: given all that came before, the loss of the next row is on average at most the champion's mean loss
at deployment, plus `tolerance`. A gambler who doubts it stakes a fixed share `f` of the capital on every row, at odds
that are fair or worse if the null holds: the capital is multiplied by `1 - f + f * loss / bar`. So capital grows only
if the loss is above the bar. Every batch a new gambler starts with 1 and all their capitals are summed (Shiryaev and
Roberts' sum, an e-detector: Shin, Ramdas & Rinaldo, arXiv 2203.03532), so a long quiet history delays nothing. As the
expected sum after T batches is at most T, it reaches `threshold` within T batches with probability T / threshold at
most, whatever the losses' distribution. Several shares are played side by side, and the mean counts.

`bar` is not the mean loss of the proof rows, which are few, but an upper confidence bound of what they estimate, found
by betting against every candidate (Waudby-Smith & Ramdas, JRSS B 2024, arXiv 2010.09686; on a model's risk: Podkopaev
& Ramdas, arXiv 2110.06177). Half of the rate of false alarms is for a bar that is too low by bad luck, half for the
sum. So without drift at most `rate` (5 %) of decades, of 3,650 batches, have an alarm, also if one champion succeeds
another: the alarm goes over (`succeeded`), and each further reference has a smaller part of the rate.

A change that few rows show at once would need many batches to be proven so surely. So far less evidence, `BACKED`, is
enough where the score tests have agreed since it began to grow. There is no bound for that but a measured rate: see
`benchmarks/loss_alarm.py`.

What is betted on:

- Classification: the squared error of the probability, 0 to 1, whose mean is the Brier score.
- Regression: the absolute error over a reference scale, at most 1. A bet needs bounded losses; the absolute error lets
  a few wild rows decide less than the squared one would. The scale is the 95 % quantile of the proof rows' errors, so
  that losses fill the range, rounded up to a power of two, so that it hardly depends on which rows they were.

**The first batches after deployment join the reference** until it has 2,000 rows, because 100 proof rows leave a wide
margin. Which batch joins is known before it is seen, and the bound holds at all sizes at once (it's a confidence
sequence), so the lowest of all bounds is used: what joins can lower the bar and never raise it, and a drift inside this
time can't hide itself. Neither does the bar fall below the proof rows' own mean, however good the first batches are.

What the guarantee needs, and what real data may lack:

- Rows come one after the other, each with a mean loss, *given all before it*, of at most the bar. Rows need not be
  independent nor alike. But a bad day that lifts the loss of all its rows is a breach, even if the days' average is
  fine: 2,000 rows of one day prove that this day was worse. `tolerance` is for that: the rise nobody would act on, in
  units of the loss, and at least the swing between weekdays or seasons.
- The rows that join lose no less, on average, than the proof rows. A champion picked as the best of several *on these
  rows* looks better on them than it is; the margin and the tolerance cover some of it.
- A batch counts once, when its labels are complete. If one class is labelled earlier, half-labelled rows mislead.
"""

import math
from typing import Any

import numpy as np

from pipeline.drift.verdicts import Verdict, no_verdict

TEST = "loss"
DECADE = 3_650  # batches, one a day
RATE = 0.05  # of decades with a false alarm, at most
TOLERANCE = 0.01  # in units of the loss, 0 to 1
GROWN = 2_000  # rows of the reference from which no more join: the margin is then a fifth of that of 100 rows
STAKES = np.array([1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2])  # of the capital; from a small rise to a big one
DOUBTS = np.array([1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 0.95])  # the same for bets on the reference
KNOTS = np.linspace(0, 1, 17)  # losses at which the reference is kept; see `_spread`
BACKED = 15.0  # evidence that is enough where the score tests agree
LOWEST = -99.0  # log of a capital: less adds nothing to 1
SPARE = 10.0  # log of how far past the threshold a capital may go: more would take long to lose when all is well again
REMEMBERED = 16  # batches by name: a run that is repeated after a crash repeats its last ones

State = dict[str, Any]


def squared(truth: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Give the loss of each row for classification, 0 to 1: the squared error of the probability."""
    return (np.asarray(probability, float) - np.asarray(truth, float)) ** 2


def of_rows(task: str, truth: np.ndarray, prediction: np.ndarray, scale: float | None) -> np.ndarray:
    """Give the loss of each row for the task, 0 to 1; `scale` is that of `absolute`, and nothing to classification."""
    if task == "classification":
        return squared(truth, prediction)
    return absolute(truth, prediction, scale or 0.0)


def absolute(truth: np.ndarray, value: np.ndarray, scale: float) -> np.ndarray:
    """Give the loss of each row for regression, 0 to 1: the absolute error over `scale`, at most 1.

    With a scale of 0, from a champion that made no errors, any error is a loss of 1.
    """
    error = np.abs(np.asarray(value, float) - np.asarray(truth, float))
    if scale == 0:
        return np.where(np.isnan(error), np.nan, (error > 0).astype(float))
    return np.minimum(error / scale, 1.0)


def error_scale(truth: np.ndarray, value: np.ndarray) -> float:
    """Give the scale for `absolute`: the 95 % quantile of the proof rows' errors, rounded up to a power of two.

    0 if there are no errors. Raise ValueError if there are no rows, or one is not finite.
    """
    error = np.abs(np.asarray(value, float) - np.asarray(truth, float))
    if not len(error) or not np.isfinite(error).all():
        raise ValueError("a scale needs rows, with finite truth and prediction")
    errors = error[error > 0]
    typical = np.quantile(error, 0.95) or (errors.min() if len(errors) else 0.0)
    return float(2.0 ** math.ceil(math.log2(typical))) if typical else 0.0


def reference(
    losses: np.ndarray,
    rate: float = RATE,
    tolerance: float = TOLERANCE,
    scale: float | None = None,
    number: int = 1,
) -> State:
    """Give the state of a champion just deployed, from its losses on the proof rows; it goes into JSON.

    Without proof rows the first batch will do. `scale` is only kept, for `absolute`. `number` is that of the champion
    in its line: the chances of a bar too low, rate / (2 number (number + 1)), add up to rate / 2. Raise ValueError if
    a loss is not a number from 0 to 1, or the rate is not between 0 and 1, or the tolerance is below 0.
    """
    losses = _checked(losses)
    if not (0 < rate < 1 and tolerance >= 0):
        raise ValueError(f"rate {rate} must be between 0 and 1, tolerance {tolerance} at least 0")
    kept = _spread(losses)
    level = rate / (2 * number * (number + 1))
    return {
        "rate": rate,
        "level": level,
        "number": number,
        "tolerance": tolerance,
        "scale": scale,
        "loss": float(losses.mean()) if len(losses) else None,
        "rows": len(losses),
        "kept": kept.round(6).tolist(),
        "bound": upper_bound(kept, level),
        "sums": [LOWEST] * len(STAKES),
        "best": [LOWEST] * len(STAKES),
        "since": [""] * len(STAKES),
        "backed": [False] * len(STAKES),
        "batches": [],
        "latest": None,
    }


def succeeded(state: State, losses: np.ndarray) -> State:
    """Give the state for a champion that replaces another, from the other's state and the losses of its own proof.

    What is served should do no worse than before, whoever serves it: or else a champion recalibrated on what harmed its
    predecessor would take the harm for usual. So the lower bar stays, with the evidence against it. After an alarm,
    which the new champion is the answer to, all begins anew. Raise ValueError as `reference` does.
    """
    settings = (state["rate"], state["tolerance"], state["scale"])
    if state["loss"] is None or evidence(state) >= needed(state):
        return reference(losses, *settings)
    own = reference(losses, *settings, number=state["number"] + 1)
    kept = state if own["loss"] is None or bar(state) <= bar(own) else own
    went_on = ("sums", "best", "since", "backed", "batches", "latest")
    return kept | {"number": own["number"]} | {name: state[name] for name in went_on}


def update(state: State, batch: str, losses: np.ndarray, agreed: bool = False) -> tuple[State, Verdict]:
    """Give the state after a batch of labelled rows, and what is to be said of the champion now.

    `agreed` says that the score tests found drift in this batch.
    A batch that counted already, or has no rows, changes nothing. The alarm stays on while the evidence is there; a
    new champion gets a new `reference`. Raise ValueError if a loss is not a number from 0 to 1: NaN is a missing
    label or prediction, and to leave those rows out without a word could hide the very rows that went wrong.
    """
    losses = _checked(losses)
    if batch in state["batches"]:
        return state, verdict(state)
    if not len(losses):
        told = verdict(state)
        return state, told if told.drifted else no_verdict(TEST, f"no labelled rows in {batch}")
    if state["loss"] is None:
        begun = reference(losses, state["rate"], state["tolerance"], state["scale"])
        return begun | {"batches": [batch]}, no_verdict(
            TEST, f"there were no proof rows; {batch} is the reference"
        )
    growth = np.log1p(STAKES[:, None] * (losses / bar(state) - 1)).sum(axis=1)
    best = np.array(state["best"])
    anew = best <= 0  # a gambler who starts now has more than the best so far
    most = math.log(threshold(state)) + SPARE
    after = state | {
        "sums": _bounded(np.logaddexp(state["sums"], 0) + growth, most),
        "best": _bounded(np.maximum(best, 0) + growth, most),
        "since": [batch if new else old for new, old in zip(anew, state["since"], strict=True)],
        "backed": [
            agreed or (old and not new) for new, old in zip(anew.tolist(), state["backed"], strict=True)
        ],
        "batches": [*state["batches"], batch][-REMEMBERED:],
        "latest": {"loss": float(losses.mean()), "rows": len(losses)},
    }
    if round(sum(state["kept"])) < GROWN and evidence(state) < needed(state):
        kept = np.array(state["kept"]) + _spread(losses)
        bound = min(state["bound"], upper_bound(kept, state["level"]))
        after |= {"kept": kept.round(6).tolist(), "bound": bound}
    return after, verdict(after)


def verdict(state: State) -> Verdict:
    """Give what the batches so far say of the champion: drift if `evidence` is what is `needed`, or more."""
    if state["latest"] is None:
        return no_verdict(TEST, "no labelled batch since deployment")
    if bar(state) >= 1:
        few = f"{state['loss']:.3g} a row on {state['rows']:,} rows"
        return no_verdict(TEST, f"the loss at deployment, {few}, leaves no room for a proven rise")
    found, enough = evidence(state), needed(state)
    latest = state["latest"]
    told = (
        f"loss {latest['loss']:.3g} a row on the latest {latest['rows']:,} rows, {state['loss']:.3g} at deployment, "
        f"up to {bar(state):.3g} passes; evidence {_short(found)} of {_short(enough)} needed"
    )
    if since := onset(state):
        when = "with this batch" if since == state["batches"][-1] else f"since batch {since}"
        told += f", growing {when}" + (", as the score tests agree" if enough == BACKED else "")
    return Verdict(TEST, found >= enough, found, enough, told)


def onset(state: State) -> str | None:
    """Give the batch since which the evidence has been growing; None if there is none."""
    strongest = int(np.argmax(state["best"]))
    return state["since"][strongest] if evidence(state) >= 1 and state["best"][strongest] > 0 else None


def needed(state: State) -> float:
    """Give the evidence that is needed now: `threshold`, or far less where the score tests agreed since it grew."""
    backed = onset(state) is not None and state["backed"][int(np.argmax(state["best"]))]
    return BACKED if backed else threshold(state)


def bar(state: State) -> float:
    """Give the mean loss a row up to which nothing is wrong; 1 or more if no rise could be proven."""
    return max(state["loss"], state["bound"]) + state["tolerance"]


def threshold(state: State) -> float:
    """Give the evidence that is needed: in a decade without drift it is reached with probability rate / 2 at most."""
    return DECADE / (state["rate"] / 2)


def evidence(state: State) -> float:
    """Give the mean over all stakes of the capital of all gamblers, one for each batch."""
    return float(np.mean(np.exp(state["sums"])))


def upper_bound(kept: np.ndarray, level: float) -> float:
    """Give an upper confidence bound of the mean of losses, 0 to 1, wrong with probability `level` at most.

    It is the largest mean against which bets on lower losses have not won 1 / level. The bets are
    `1 + f * (mean - loss) / (1 - mean)`; their gain grows with the mean, so halving finds it.
    """
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        mean = (low + high) / 2
        gains = np.log1p(DOUBTS[:, None] * ((mean - KNOTS) / (1 - mean))) @ kept
        if np.logaddexp.reduce(gains) - math.log(len(DOUBTS)) < -math.log(level):
            low = mean
        else:
            high = mean
    return high


def _spread(losses: np.ndarray) -> np.ndarray:
    """Share each loss out to the two knots beside it, so that the mean stays; give the sum at each knot.

    The logarithm of a bet is concave in the loss, so a bet on shares gains no more than one on the losses: a bound
    from them is never too low, and higher by about a hundredth of its margin.
    """
    place = losses * (len(KNOTS) - 1)
    left = np.minimum(place.astype(int), len(KNOTS) - 2)
    kept = np.bincount(left, 1 - (place - left), len(KNOTS))
    return kept + np.bincount(left + 1, place - left, len(KNOTS))


def _checked(losses: np.ndarray) -> np.ndarray:
    losses = np.asarray(losses, float)
    odd = int(np.count_nonzero(~((losses >= 0) & (losses <= 1))))
    if odd:
        raise ValueError(f"{odd} of {len(losses)} losses are no number from 0 to 1")
    return losses


def _bounded(logs: np.ndarray, most: float) -> list[float]:
    """Round down, which leaves the guarantee whole and keeps the state short."""
    return (np.floor(np.clip(logs, LOWEST, most) * 1e4) / 1e4).tolist()


def _short(number: float) -> str:
    return f"{number:,.0f}" if 100 <= number < 1e6 else f"{number:.2g}"
