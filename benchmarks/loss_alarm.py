"""How often the alarm on the loss is false, and how late it is, beside the classic rules on the same losses.

Logistic data with ten features. A row's loss is the squared error of the true probability, so without drift the
champion is as good as can be; then its strongest coefficient changes sign. False alarms are counted without
tolerance, which is the hardest case: with one the bar is higher and the evidence on the same rows lower.
"""

import itertools
import statistics
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline import drift
from pipeline.drift import loss
from pipeline.metrics import METRICS

COEFFICIENTS = np.array([1.0, 0.8, -0.6, 0.5, -0.4, 0.3, 0.2, -0.2, 0.1, 0.0])
POOL = 200_000  # rows that batches are drawn from
REFERENCES, BATCHES = (100, 300, 1_000), (200, 2_000)
MOST_FALSE = 0.05  # of decades
LATEST = {200: 5, 2_000: 1}  # rows of a batch: batches until a flipped coefficient is found, median
QUIET = 30  # batches before the change
CHAMPIONS = 100
TESTS = ["worst_score", "two_sigma", "iqr"]
SUCCEEDED = (5, 20)  # batches after which another champion takes over


def table(quick: bool) -> tuple[list[str], bool]:
    """Give the lines of the tables and whether every bar was held."""
    generator = np.random.default_rng(0)
    fine, flipped = pool(generator, COEFFICIENTS), pool(generator, COEFFICIENTS * [-1, *[1] * 9])
    decades = 3 if quick else 100
    lines = [f"\nAlarm on the loss: mean loss {fine.mean():.3f}, with a flipped coefficient {flipped.mean():.3f}\n",
             f"| proof rows | rows a batch | decades of {loss.DECADE:,} batches with a false alarm | at most | delay "
             "of a flip, batches: median (90 %) | at most |", "|---|---|---|---|---|---|"]  # fmt: skip
    held = True
    for proof in REFERENCES:
        for rows in BATCHES:
            false = sum(alarmed(generator, fine, proof, rows) for _ in range(decades))
            late = [delay(generator, fine, flipped, proof, rows) for _ in range(10 if quick else CHAMPIONS)]
            median, most = statistics.median(late), np.quantile(late, 0.9)
            held &= false <= MOST_FALSE * decades + 0.5 and median <= LATEST[rows]
            lines.append(
                f"| {proof:,} | {rows:,} | **{false}** of {decades} | {MOST_FALSE:.0%} | **{median:g}** ({most:g}) "
                f"| {LATEST[rows]} |"
            )
    told, few = succession(generator, fine, decades)
    return lines + told + classic(generator, fine, flipped, 3 if quick else 50), held and few


def pool(generator: np.random.Generator, world: np.ndarray) -> np.ndarray:
    """Give the champion's losses in a world with these coefficients."""
    features = generator.normal(size=(POOL, len(world)))
    truth = generator.random(POOL) < 1 / (1 + np.exp(-features @ world))
    return loss.squared(truth, 1 / (1 + np.exp(-features @ COEFFICIENTS)))


def drawn(generator: np.random.Generator, losses: np.ndarray, rows: int) -> np.ndarray:
    """Give a batch of so many losses."""
    return losses[generator.integers(0, len(losses), rows)]


def alarmed(
    generator: np.random.Generator, fine: np.ndarray, proof: int, rows: int, every: int = loss.DECADE
) -> bool:
    """Say whether a decade without drift has an alarm, with a new champion after every so many batches."""
    state = loss.reference(drawn(generator, fine, proof), tolerance=0)
    for batch in range(loss.DECADE):
        if batch and batch % every == 0:
            state = loss.succeeded(state, drawn(generator, fine, proof))
        state, verdict = loss.update(state, str(batch), drawn(generator, fine, rows))
        if verdict.drifted:
            return True
    return False


def backed(generator: np.random.Generator, fine: np.ndarray, proof: int, rows: int, every: int) -> bool:
    """Say the same of the alarm as a run asks it: with its tolerance, and with the score tests' agreement."""
    state = loss.reference(drawn(generator, fine, proof))
    past: list[float] = []
    before: list[float] = []
    for batch in range(loss.DECADE):
        if batch and batch % every == 0:
            state = loss.succeeded(state, drawn(generator, fine, proof))
            past, before = [], past
        losses = drawn(generator, fine, rows)
        scores = drift.expected(past, before, drift.Settings().min_history)
        agree = rules(float(losses.mean()), scores, TESTS)[-1]
        state, verdict = loss.update(state, str(batch), losses, agree)
        if verdict.drifted:
            return True
        past += [] if agree else [float(losses.mean())]
    return False


def succession(generator: np.random.Generator, fine: np.ndarray, decades: int) -> tuple[list[str], bool]:
    """Give the table of false alarms where a champion is replaced every few batches, and whether they are few."""
    lines = [f"\nThe same if champions, all as good, succeed each other, {decades} decades without drift\n",
             "| proof rows | rows a batch | a new champion every | decades with a false alarm | and if the score tests "
             "count | at most |", "|---|---|---|---|---|---|"]  # fmt: skip
    held = True
    for proof, rows, every in itertools.product((100, 400), BATCHES, SUCCEEDED):
        false = sum(alarmed(generator, fine, proof, rows, every) for _ in range(decades))
        others = sum(backed(generator, fine, proof, rows, every) for _ in range(decades))
        held &= max(false, others) <= MOST_FALSE * decades + 0.5
        lines.append(
            f"| {proof:,} | {rows:,} | {every} batches | **{false}** of {decades} | **{others}** of {decades} "
            f"| {MOST_FALSE:.0%} |"
        )
    return lines, held


def delay(
    generator: np.random.Generator, fine: np.ndarray, flipped: np.ndarray, proof: int, rows: int
) -> int:
    """Give after how many batches the flip is found, with the usual tolerance; 100 if it isn't."""
    state = loss.reference(drawn(generator, fine, proof))
    for batch in range(QUIET):
        state, _ = loss.update(state, str(batch), drawn(generator, fine, rows))
    for batch in range(1, 100):
        state, verdict = loss.update(state, f"flipped {batch}", drawn(generator, flipped, rows))
        if verdict.drifted:
            return batch
    return 100


def classic(generator: np.random.Generator, fine: np.ndarray, flipped: np.ndarray, years: int) -> list[str]:
    """Give the table of the classic tests on the batches' Brier scores."""
    lines = [f"\nClassic tests on the Brier score of each batch, {years} years of 365 batches without drift\n",
             "| rule | rows a batch | batches with a false alarm | years with one | delay of a flip, median |",
             "|---|---|---|---|---|"]  # fmt: skip
    for rows in BATCHES:
        quiet = [year(generator, fine, rows, TESTS) for _ in range(years)]
        fired = np.array(quiet)  # (years, batches, rules)
        late = []
        for _ in range(years):
            past = [float(drawn(generator, fine, rows).mean()) for _ in range(QUIET)]
            late.append(first([drawn(generator, flipped, rows).mean() for _ in range(20)], past, TESTS))
        for position, rule in enumerate([*TESTS, "two of these agree"]):
            false, any_year = fired[:, :, position].mean(), fired[:, :, position].any(axis=1).mean()
            found = statistics.median(one[position] for one in late)
            lines.append(f"| {rule} | {rows:,} | {false:.2%} | {any_year:.0%} | {found:g} |")
    return lines


def year(generator: np.random.Generator, fine: np.ndarray, rows: int, tests: list[str]) -> list[list[bool]]:
    """Give for each batch of a year without drift which rules found one."""
    scores = [float(drawn(generator, fine, rows).mean()) for _ in range(365)]
    return [rules(score, scores[:position], tests) for position, score in enumerate(scores)]


def first(scores: list[float], past: list[float], tests: list[str]) -> list[int]:
    """Give for each rule the number of the first score at which it fired; one more than there are if it didn't."""
    fired = [rules(score, past + scores[:position], tests) for position, score in enumerate(scores)]
    return [[*one, True].index(True) + 1 for one in zip(*fired, strict=True)]


def rules(score: float, past: list[float], tests: list[str]) -> list[bool]:
    """Give which rules find drift at this score: each test, and two of them in agreement."""
    verdicts = drift.judge(tests, drift.Scores(float(score), past, []), METRICS["brier"], drift.Settings())
    return [verdict.drifted for verdict in verdicts] + [drift.agreed(verdicts, 2)]
