"""Do the features of a batch come from where the model learnt? A verdict for all of them, and one for each.

A feature counts as drifted if there is evidence (`evidence`: valid however often one looks) and a size that matters:
at least `Settings.effect` of the rows are elsewhere. The verdict of the dataset corrects for the number of features and
of looks: in `Settings.ticks` ticks without drift it is wrong with a probability of at most `Settings.alpha`. Rows of a
batch are taken to be independent of each other.

A verdict stays for as long as batches differ. When the data come back the evidence, which was capped, is gone again
within a few batches (of 200 rows: one or two), and the size at once.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.drift import distances, evidence
from pipeline.drift.sketches import MISSING, PROBABILITIES, Observed, Seen, reference_counts, watched
from pipeline.drift.verdicts import Verdict, no_verdict

TEST, STABILITY = "feature_drift", "stability"
LEAST_REFERENCE = 50  # training rows without which nothing can be said
LEAST_ROWS = 20  # of a batch, in which the absence of drift could be seen at all
REMEMBERED = 1000  # batches known by name, so that one that comes again isn't counted again
CHANCE = 5.0  # standard errors that a mean may wander
KS_CHANCE = 2.5  # / sqrt(rows): the Kolmogorov-Smirnov distance that one of 130,000 batches has by chance

State = Mapping[str, Any]


@dataclass(frozen=True)
class Settings:
    """A false alarm in so many ticks with a probability of at most `alpha`; a smaller `effect` is no drift."""

    ticks: int = 3650
    alpha: float = 0.05
    effect: float = 0.05

    @property
    def threshold(self) -> float:
        """Give the evidence that an alarm needs (see `evidence`)."""
        return self.ticks / self.alpha


@dataclass(frozen=True)
class Size:
    """How much a column differs. `moved` is the share of rows that are elsewhere at least, 0 to 1.

    Numbers have `ks` and `wasserstein` (in sd of the reference), categories have `total_variation`; see `distances`.
    """

    moved: float
    psi: float
    jensen_shannon: float
    ks: float | None = None
    wasserstein: float | None = None
    total_variation: float | None = None


def judge_features(
    state: State | None,
    kept: Mapping[str, Any],
    observed: Observed,
    batch: str,
    settings: Settings = Settings(),
) -> tuple[dict[str, Any], list[Verdict]]:
    """Give the state after this batch and what was found: of the dataset, then of each feature, the worst first.

    The state is plain JSON, None before the first batch and for another sketch begun anew. A batch whose name was
    counted before is judged by the evidence there is, and isn't counted again.
    """
    old = dict(state) if state and state.get("sketch") == kept["id"] else {}
    code = hashlib.sha256(batch.encode()).hexdigest()[:12]
    known: list[str] = list(old.get("batches", []))
    columns = dict(watched(kept))
    stakes, proofs = {}, {}
    for name, column in columns.items():
        betted = evidence.bets(column)
        before = np.asarray(old.get("stakes", {}).get(name, []), float)
        if len(before) != len(betted.weights):  # the first batch, or other bets than this version's
            before = np.zeros(len(betted.weights))
        seen = observed.columns[name]
        if code not in known and not _trouble(column, seen):
            expected = evidence.expected(column, observed.phases)
            most = evidence.CAP * settings.threshold * len(columns)
            logs = evidence.log_factors(betted, *expected)
            before = evidence.update(before, betted, logs, seen.counts, most)
        stakes[name] = [float(f"{stake:.6g}") for stake in before.tolist()]
        proofs[name] = float(evidence.evidence(np.array(stakes[name]), betted))
    if code not in known and observed.rows:
        known = [*known, code][-REMEMBERED:]
    new = {"version": 1, "sketch": kept["id"], "batches": known, "stakes": stakes}
    return new, _findings(columns, observed, proofs, settings)


def _trouble(column: Mapping[str, Any], seen: Seen) -> str | None:
    """Give why a column can't be compared, or None."""
    if column["rows"] < LEAST_REFERENCE:
        return f"the model learnt from {column['rows']} rows, and {LEAST_REFERENCE} are needed to compare"
    return seen.trouble or (None if seen.rows else "the batch has no rows")


def _findings(
    columns: Mapping[str, Mapping[str, Any]],
    observed: Observed,
    proofs: Mapping[str, float],
    settings: Settings,
) -> list[Verdict]:
    troubles = {name: _trouble(column, observed.columns[name]) for name, column in columns.items()}
    sizes = {
        name: size(column, observed.columns[name], observed.phases)
        for name, column in columns.items()
        if not troubles[name]
    }
    counted = np.array(
        [proofs[name] if name in sizes and sizes[name].moved >= settings.effect else 0.0 for name in columns]
    )
    together, drifted = evidence.found(counted, settings.threshold)
    needed = settings.threshold * len(columns) / max(1, int(drifted.sum()))
    found = [
        no_verdict(TEST, f"{name}: {trouble}", name)
        if (trouble := troubles[name])
        else _feature(
            name,
            columns[name],
            observed.columns[name],
            sizes[name],
            (proofs[name], needed, is_drifted),
            settings,
        )
        for name, is_drifted in zip(columns, drifted.tolist(), strict=True)
    ]

    def rank(verdict: Verdict) -> tuple[bool, float, float]:
        """Give what sorts the drifted first, by their size, and the others by their evidence."""
        moved = sizes[verdict.feature].moved if verdict.feature in sizes else 0.0
        return not verdict.drifted, -min(verdict.statistic or 0.0, needed), -moved

    return [_dataset(sorted(found, key=rank), float(together), settings), *sorted(found, key=rank)]


def _feature(
    name: str,
    column: Mapping[str, Any],
    seen: Seen,
    found: Size,
    judged: tuple[float, float, bool],
    settings: Settings,
) -> Verdict:
    """Give the verdict of one feature by its evidence, the evidence it needs, and whether it drifted."""
    proof, needed, drifted = judged
    if not drifted and seen.rows < LEAST_ROWS:
        return no_verdict(TEST, f"{name}: {seen.rows} rows are too few to see that there is none", name)
    why = f"{_told(name, column, seen, found)}; evidence {proof:.2g} of {needed:.2g}"
    if proof >= needed and found.moved < settings.effect:
        why += f", but too small a change in this batch (less than {settings.effect:.0%} of the rows)"
    return Verdict(TEST, drifted, proof, needed, why, name)


def _dataset(features: list[Verdict], together: float, settings: Settings) -> Verdict:
    drifted = [verdict.feature or "" for verdict in features if verdict.drifted]
    judged = [verdict for verdict in features if verdict.threshold is not None]
    if not judged:
        return no_verdict(TEST, features[0].why.removeprefix("no verdict: ") if features else "no features")
    limit = settings.threshold
    told = f"evidence {together:.2g} of {limit:.2g}"
    if drifted:
        why = f"{len(drifted)} of {len(features)} features drifted ({', '.join(drifted)}); {told}"
    else:
        why = f"none of {len(judged)} features drifted; {told}"
    if gone := [verdict.feature or "" for verdict in features if verdict.threshold is None]:
        why += f"; no verdict on {', '.join(gone)}"
    return Verdict(TEST, bool(drifted), together, limit, why)


def size(column: Mapping[str, Any], seen: Seen, phases: Mapping[int, int] | None = None) -> Size:
    """Give how much a column of a batch differs from the sketch, from the same phases where it is seasonal."""
    reference = reference_counts(column).astype(float)
    if column.get("phases") and phases:
        reference = evidence.expected(column, phases)[0] * column["rows"]
    counts = seen.counts
    missing = abs(reference[-1] / reference.sum() - counts[-1] / counts.sum())
    shannon = distances.jensen_shannon(reference, counts)
    if column["kind"] not in ("number", "date"):
        variation = distances.total_variation(reference, counts)
        return Size(variation, distances.psi(reference, counts), shannon, total_variation=variation)
    groups = [np.append(distances.coarse(one[:-1], reference[:-1]), one[-1]) for one in (reference, counts)]
    psi = distances.psi(*groups)
    if not reference[:-1].sum() or not counts[:-1].sum():
        return Size(missing, psi, shannon)
    values, old, new = _cumulated(column, seen, reference, bool(column.get("phases") and phases))
    ks = distances.kolmogorov_smirnov(old, new)
    if seen.quantiles is None or not column["sd"]:
        return Size(max(ks, missing), psi, shannon, ks)
    ends = np.array([column["values"][0], *values, column["values"][-1]])
    before = np.interp(PROBABILITIES, np.array([0.0, *old, 1.0]), ends)
    path = distances.wasserstein(before, seen.quantiles) / column["sd"]
    return Size(max(ks, missing), psi, shannon, ks, path)


def _cumulated(
    column: Mapping[str, Any], seen: Seen, reference: np.ndarray, seasonal: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give values and the share of the numbers up to each, of reference and batch."""
    values = np.asarray(column["values"], float)
    if seasonal or seen.upto is None:  # of a phase only its bins are kept
        old, new = (np.cumsum(one[:-1])[:-1] / one[:-1].sum() for one in (reference, seen.counts))
        return values[column["bins"]], old, new
    return (
        values,
        np.asarray(column["upto"], float) / (column["rows"] - column["missing"]),
        seen.upto / seen.counts[:-1].sum(),
    )


def _told(name: str, column: Mapping[str, Any], seen: Seen, found: Size) -> str:
    """Give the change of a column as words."""
    if column["kind"] not in ("number", "date"):
        place, change = _largest_change(column, seen)
        return (
            f"{name}: {place} {change:+.1%} of the rows, PSI {found.psi:.2f}, "
            f"total variation {found.total_variation:.2f}"
        )
    missing = f"{seen.missing / seen.rows:.1%} missing, was {column['missing'] / column['rows']:.1%}"
    if seen.mean is None or column["mean"] is None:
        return f"{name}: {missing}, PSI {found.psi:.2f}"
    shown = _date if column["kind"] == "date" else _number
    means = f"mean {shown(seen.mean)}, was {shown(column['mean'])}"
    moved = f"moved by {(seen.mean - column['mean']) / column['sd']:+.2f} sd " if column["sd"] else ""
    far = "" if found.ks is None else f", KS {found.ks:.2f}"
    share = f", {missing}" if seen.missing or column["missing"] else ""
    return f"{name} {moved}({means}{share}), PSI {found.psi:.2f}{far}"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _date(value: float) -> str:
    return str(np.datetime64(int(value), "D")) if abs(value) < 3_000_000 else f"day {value:.4g}"


def _largest_change(column: Mapping[str, Any], seen: Seen) -> tuple[str, float]:
    """Give the category whose share changed most, and by how much."""
    old = {**column["counts"], MISSING: column["missing"]}
    new = {**(seen.categories or {}), MISSING: seen.missing}
    known = [name for name in new if name in old or not column["other"]]
    changes = {
        name: new.get(name, 0) / max(seen.rows, 1) - old.get(name, 0) / max(column["rows"], 1)
        for name in {*old, *known}
    }
    name = max(sorted(changes), key=lambda one: abs(changes[one]))
    return name, changes[name]


# ---------------------------------------------------------------------------------------------- stability
def stability(kept: Mapping[str, Any], observed: Observed, limit: float = 0.5) -> list[Verdict]:
    """Give how far each feature's mean is from that of the training data, in its sd and in %; the furthest first.

    A category counts by the one whose share changed most. A change is beyond the limit if it's more than so many sd
    and what chance gives to a mean of these rows (`CHANCE` standard errors), and isn't the work of a few outliers:
    rows that are elsewhere must be more than chance gives, too. It isn't corrected for the number of features or looks.
    """
    found = [_stability(name, column, observed, limit) for name, column in watched(kept)]
    return sorted(found, key=lambda verdict: -abs(verdict.statistic or 0.0))


def _stability(name: str, column: Mapping[str, Any], observed: Observed, limit: float) -> Verdict:
    seen = observed.columns[name]
    if trouble := _trouble(column, seen):
        return no_verdict(STABILITY, f"{name}: {trouble}", name)
    if column["kind"] in ("number", "date"):
        if seen.mean is None or column["mean"] is None:
            return no_verdict(STABILITY, f"{name}: no numbers to take a mean of", name)
        old, new, sd, rows, what = column["mean"], seen.mean, column["sd"], seen.rows - seen.missing, "mean"
        present = column["rows"] - column["missing"]
    else:
        what, change = _largest_change(column, seen)
        old = (column["missing"] if what == MISSING else column["counts"].get(what, 0)) / column["rows"]
        new, rows, present = old + change, seen.rows, column["rows"]
        smooth = (old * present + 0.5) / (present + 1)
        sd = (smooth * (1 - smooth)) ** 0.5
        what = f"share of {what}"
    if not sd:
        same = new == old
        told = f"{name}: {what} {_number(new)}, and all training rows had {_number(old)}"
        return Verdict(STABILITY, not same, 0.0 if same else None, limit, told, name)
    statistic = (new - old) / sd
    error = (1 / max(rows, 1) + 1 / max(present, 1)) ** 0.5
    threshold = limit + CHANCE * error
    elsewhere = size(column, seen, observed.phases).moved > Settings().effect + KS_CHANCE * error
    shown = _date if column["kind"] == "date" else _number
    percent = f", {(new - old) / abs(old):+.1%}" if old and column["kind"] != "date" else ""
    why = f"{name}: {what} {shown(new)}, was {shown(old)} ({statistic:+.2f} sd{percent})"
    return Verdict(STABILITY, bool(abs(statistic) > threshold and elsewhere), statistic, threshold, why, name)
