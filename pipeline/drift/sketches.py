"""What is kept of the data a model learnt from, small enough to go with its release, and a batch seen the same way.

`sketch` is made once, when a model is trained, and is plain JSON: under 10 kB a column. `observe` counts a batch at the
values that the sketch names. All that is said of a batch comes from these two, so the training data are never read
again. Only NumPy is needed: a batch may be a pandas frame, NumPy arrays, or a pyarrow table as it was read.
"""

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

MISSING = "(missing)"  # the category of an empty cell, as models see it
NOTHING = ("nan", "NaT", "<NA>")  # how what isn't there is spelt, where it is no text
PREDICTION = "(prediction)"  # the column of a model's predictions, watched like a feature
KINDS = ("number", "date", "category", "target", "target number")
NUMERIC = ("number", "date", "target number")
TARGETS = ("target", "target number")  # of classes, of numbers: no features, only `integrity` looks at them
INFINITE = 1e30  # from here on a number is taken for infinite, as models take it
GRID = 256  # steps between quantiles that are kept of a number
PROBABILITIES = np.arange(1, GRID) / GRID
BINS = 32  # of about equally many rows; more would blur in a batch of 200
ROWS_A_BIN = 15  # of the training data at least, or there are fewer bins
MOST_CATEGORIES = 200  # whose counts are kept; rarer ones are one
LEAST_A_PHASE = 20  # training rows of a phase of the season, or nothing is known of it
LEAST_SEASON = 0.02  # sd by which phases differ, or there is no season
MOST_ROWS = 25_000  # of a batch that are sorted: 0.01 sd of a mean are seen in so many, and more cost time
LASTS = 10  # rows in a row with one value, of which a sketch takes note: half of what may be judged
MOST_ALIKE = 100  # values of a column of which it does
GOLDEN = 0.618033988749895
# By so much of the range a number may be beyond what was seen: a target that grows is to be learnt.
BEYOND = {"number": 0.1, "date": 0.1, "target number": 5.0}
SMALLER = 6  # times: the usual number hardly changes by so many, and units do (10.8 square feet, 60 seconds)
RARE = 0.01  # of the numbers, the smallest
SEASONAL = (
    3.0  # standard errors from which the shapes of phases are taken to differ, and not only their places
)


@dataclass(frozen=True)
class Seen:
    """One column of a batch, counted in the bins of its sketch, the last of which holds missing cells.

    Of more than `MOST_ROWS` rows `counts` and `upto` hold a sample spread evenly, all else holds every row. `upto` is
    how many of the sampled numbers are no greater than each of the sketch's values, `quantiles` are those of
    `PROBABILITIES`, `beyond` is how many numbers are out of `reach`, `sizes` how many aren't 0, and `small` how many of
    these are below the least of `Sizes`.
    """

    rows: int
    missing: int
    counts: np.ndarray
    upto: np.ndarray | None = None
    quantiles: np.ndarray | None = None
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    infinite: int = 0
    beyond: int = 0
    sizes: int = 0
    small: int = 0
    categories: Mapping[str, int] | None = None
    trouble: str | None = None


@dataclass(frozen=True)
class Sizes:
    """The numbers of a column that aren't 0: the usual one (their median), how many there are, and how many are small.

    Small is below `least`: `SMALLER` times smaller than the usual one, and smaller than all but `RARE` of them. `small`
    may count some too many.
    """

    usual: float
    least: float
    rows: int
    small: int


@dataclass(frozen=True)
class Observed:
    """A batch: its columns by name, and how many of its rows each phase of the season has (None: not known)."""

    rows: int
    columns: Mapping[str, Seen]
    phases: Mapping[int, int] | None = None


def _weekday(times: np.ndarray) -> np.ndarray:
    return (times.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1 January 1970 was a Thursday


def _month(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[M]").astype(np.int64) % 12


def _hour(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[h]").astype(np.int64) % 24


PERIODS = {"day": _hour, "week": _weekday, "year": _month}


def phases(times: Any, period: str) -> np.ndarray:
    """Give each row's phase in a `day` (its hour), a `week` (its weekday, Monday is 0) or a `year` (its month).

    It is -1 where the time is missing. For a season of so many batches use their number modulo that instead.
    """
    moments = np.asarray(_array(times), "datetime64[us]")
    return np.where(np.isnat(moments), -1, PERIODS[period](moments))


# ---------------------------------------------------------------------------------------------- reference
def sketch(
    columns: Mapping[str, Any], kinds: Mapping[str, str], phase: np.ndarray | None = None
) -> dict[str, Any]:
    """Give what is kept of the training data: plain JSON, for each column named in `kinds` (see `KINDS`).

    With `phase`, shape (rows,), the phase of each row in a season (see `phases`), a column that differs between phases
    more than by chance is kept by phase, and a batch is compared with the phases it has: a weekday is no drift.
    Predictions should be of rows the model hadn't learnt from: those on its own rows are bolder than any to come.
    """
    kept = {}
    for name, kind in kinds.items():
        values = columns[name]
        numeric = kind in NUMERIC
        kept[name] = {
            "kind": kind,
            **(_number_kept(_numbers(values), phase) if numeric else _category_kept(values, phase)),
        }
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
    return {"version": 1, "id": digest, "columns": kept}


def _number_kept(values: np.ndarray, phase: np.ndarray | None) -> dict[str, Any]:
    full = np.sort(values)
    full = full[: full.searchsorted(np.nan)]
    low, high = full.searchsorted(-INFINITE, "right"), full.searchsorted(INFINITE)
    finite = full[low:high]
    grid = _grid(finite)
    upto = full.searchsorted(grid, "right")
    bins = _cuts(upto, len(full)) if len(full) else []
    kept: dict[str, Any] = {
        "rows": len(values),
        "missing": len(values) - len(full),
        "infinite": len(full) - len(finite),
        "mean": float(finite.mean()) if len(finite) else None,
        "sd": float(finite.std()) if len(finite) else None,
        "values": grid.tolist(),
        "upto": upto.tolist(),
        "bins": bins,
        "alike": _alike(values),
    }
    if phase is not None:
        places = _bin_of(values, grid[bins])
        kept |= _by_phase(places, phase, len(bins) + 2, scores=True)
    return kept


def _grid(ordered: np.ndarray) -> np.ndarray:
    """Give the distinct quantiles, least and greatest included; just below a value that many rows share, one more."""
    if not len(ordered):
        return np.empty(0)
    places = np.round(np.linspace(0, len(ordered) - 1, GRID + 1)).astype(int)
    values, times = np.unique(ordered[places], return_counts=True)
    if len(ordered) <= GRID:
        times = np.ones_like(times)
    return np.unique(np.append(values, np.nextafter(values[times > 1], -np.inf)))


def _cuts(upto: np.ndarray, rows: int) -> list[int]:
    """Give the places in the grid at which bins end, the last bin without end left out.

    A value that a whole bin's rows share is a bin of its own.
    """
    number = max(1, min(BINS, rows // ROWS_A_BIN))
    ends = upto.searchsorted(np.arange(1, number) * rows / number)
    heavy = np.flatnonzero(np.diff(upto) >= max(rows / number, ROWS_A_BIN))
    cuts = np.unique(np.concatenate([ends, heavy, heavy + 1]))
    return cuts[cuts < len(upto)].tolist()


def _bin_of(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), len(ends) + 1, ends.searchsorted(values))


def _category_kept(values: Any, phase: np.ndarray | None) -> dict[str, Any]:
    counts = _categories(values)
    missing = counts.pop(MISSING, 0)
    rows = sum(counts.values()) + missing
    common = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_CATEGORIES])
    kept: dict[str, Any] = {
        "rows": rows,
        "missing": missing,
        "counts": common,
        "other": sum(counts.values()) - sum(common.values()),
        "distinct": len(counts),
        "once": sum(number == 1 for number in counts.values()),
    }
    kept |= _category_bins(counts, rows - missing)
    kept["bins"] = _binned(kept, counts, missing)
    texts = [
        _text(value)
        for value in (values.to_pylist() if hasattr(values, "to_pylist") else _array(values).tolist())
    ]
    kept["alike"] = _alike(np.array(texts, object))
    if phase is not None:
        place_of = {text: _place(kept, text) for text in [*counts, MISSING]}
        places = np.fromiter((place_of[text] for text in texts), int, rows)
        kept |= _by_phase(places, phase, len(kept["bins"]), scores=False)
    return kept


def _alike(values: np.ndarray) -> dict[str, int]:
    """Give for how many rows in a row each value lasted at most, in the order in which they came.

    Of those that lasted for `LASTS` rows the `MOST_ALIKE` that did so longest; missing cells are no value.
    """
    starts = np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])
    lasted = np.diff(np.append(starts, len(values)))
    found: dict[str, int] = {}
    for place in np.flatnonzero(lasted >= LASTS).tolist():
        name = value_name(values[starts[place]])
        found[name] = max(int(lasted[place]), found.get(name, 0))
    found.pop(MISSING, None)
    return dict(sorted(found.items(), key=lambda item: -item[1])[:MOST_ALIKE])


def value_name(value: Any) -> str:
    """Give a value of a column as text: a number in few digits, what isn't there as `MISSING`."""
    return f"{value:.12g}" if isinstance(value, float) and value == value else _text(value)


def _category_bins(counts: Mapping[str, int], rows: int) -> dict[str, Any]:
    """Give the categories that are bins of their own, and how many bins the others share by the hash of their name.

    Were the others those that happen to be rarer, their estimated share would be too small. So a category gets its own
    bin if all do, or if it is twice as common as a bin. A hash knows nothing of counts, and new names have one too.
    """
    number = max(2, min(BINS, rows // ROWS_A_BIN)) - 1
    if len(counts) <= number:
        return {"named": sorted(counts), "shared": 1}
    named = sorted(name for name, times in counts.items() if times >= 2 * rows / number)
    return {"named": named, "shared": max(1, number - len(named))}


def _binned(column: Mapping[str, Any], counts: Mapping[str, int], missing: int) -> list[int]:
    bins = [0] * (len(column["named"]) + column["shared"]) + [missing]
    for name, times in counts.items():
        bins[_place(column, name)] += times
    return bins


def _place(column: Mapping[str, Any], name: str) -> int:
    named = column["named"]
    if name == MISSING:
        return len(named) + column["shared"]
    return (
        named.index(name)
        if name in named
        else len(named) + zlib.crc32(name.encode(errors="replace")) % column["shared"]
    )


def _by_phase(places: np.ndarray, phase: np.ndarray, bins: int, scores: bool) -> dict[str, Any]:
    """Give the counts of each phase with enough rows, and how much phases differ in truth; nothing if they don't."""
    rows = np.bincount(phase[phase >= 0])
    enough = np.flatnonzero(rows >= LEAST_A_PHASE)
    table = np.array([np.bincount(places[phase == one], minlength=bins) for one in enough])
    season = _season(table, scores) if len(enough) > 1 else 0.0
    if season < LEAST_SEASON:
        return {}
    counts = {str(one): counts.tolist() for one, counts in zip(enough, table, strict=True)}
    return {"phases": counts, "season": float(f"{season:.4g}")}


def _season(table: np.ndarray, scores: bool) -> float:
    """Give by how many sd the phases, the rows of a table of counts, differ more than by chance.

    It is the square root of a variance component by the method of moments: a chi-squared statistic less its degrees of
    freedom, a row. The statistic is that of the mean ranks of numbers, and Pearson's if that is beyond chance.
    """
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    expected = np.outer(rows, columns) / rows.sum()
    full = float(np.divide((table - expected) ** 2, expected, where=expected > 0, out=0 * expected).sum())
    freedom = (len(table) - 1) * (int(np.count_nonzero(columns)) - 1)
    excess = full - freedom if _deviation(full, freedom) > SEASONAL else 0.0
    if scores:
        share = columns / rows.sum()
        ranks = np.cumsum(share) - share / 2
        middle = ranks @ share
        spread = share @ (ranks - middle) ** 2
        means = table @ (ranks - middle) / rows
        moved = float(rows @ means**2 / spread) if spread > 0 else 0.0
        excess = max(excess, moved - (len(table) - 1))
    return (max(excess, 0.0) / rows.sum()) ** 0.5


def _deviation(statistic: float, freedom: int) -> float:
    """Give how many standard errors a chi-squared value is above chance (Wilson & Hilferty 1931)."""
    if freedom < 1:
        return 0.0
    variance = 2 / (9 * freedom)
    return float(((statistic / freedom) ** (1 / 3) - 1 + variance) / variance**0.5)


# ---------------------------------------------------------------------------------------------- batch
def observe(
    kept: Mapping[str, Any], columns: Mapping[str, Any], phase: np.ndarray | int | None = None
) -> Observed:
    """Give a batch as the sketch sees it. What is no column of the sketch isn't looked at; nothing is raised.

    `phase` is that of each row, shape (rows,), or of the whole batch.
    """
    names = [name for name in kept["columns"] if name in columns]
    rows = max((len(columns[name]) for name in names), default=0)
    sample = _spread(rows)
    seen = {name: _seen(kept["columns"][name], columns.get(name), sample) for name in kept["columns"]}
    if phase is None:
        return Observed(rows, seen)
    found, times = np.unique(np.broadcast_to(phase, rows), return_counts=True)
    return Observed(rows, seen, dict(zip(found.tolist(), times.tolist(), strict=True)))


def _spread(rows: int) -> np.ndarray | None:
    """Give the places of a sample: even, but without a period that rows in some order might share. None: all."""
    if rows <= MOST_ROWS:
        return None
    steps = np.arange(MOST_ROWS)
    return ((steps + steps * GOLDEN % 1) * (rows / MOST_ROWS)).astype(int)


def _seen(column: Mapping[str, Any], values: Any, sample: np.ndarray | None) -> Seen:
    nothing = np.zeros(len(reference_counts(column)), int)
    if values is None:
        return Seen(0, 0, nothing, trouble="the column is gone")
    if column["kind"] not in NUMERIC:
        return _categories_seen(column, values)
    try:
        return _numbers_seen(column, _numbers(values), sample)
    except (TypeError, ValueError):
        return Seen(len(values), 0, nothing, trouble="the column holds no numbers")


def _numbers_seen(column: Mapping[str, Any], values: np.ndarray, sample: np.ndarray | None) -> Seen:
    grid = np.asarray(column["values"], float)
    ordered = np.sort(values if sample is None else values[sample])
    present = ordered.searchsorted(np.nan)
    upto = ordered[:present].searchsorted(grid, "right")
    ends = np.concatenate([[0], upto[column["bins"]], [present, len(ordered)]])
    finite, missing, infinite = values, 0, 0
    if not (len(values) and values.min() > -INFINITE and values.max() < INFINITE):  # not so either for a NaN
        present_values = values[values == values]
        missing = len(values) - len(present_values)
        finite = present_values[np.abs(present_values) < INFINITE]
        infinite = len(present_values) - len(finite)
    counts = np.diff(ends)
    if not len(finite):
        return Seen(len(values), missing, counts, upto, infinite=infinite)
    quantiles = ordered[(PROBABILITIES * present).astype(int)] if present else None
    low, high, mean = float(finite.min()), float(finite.max()), float(finite.mean())
    beyond = 0
    if len(grid):
        least, most = reach(column)
        beyond += int(np.count_nonzero(finite < least)) if low < least else 0
        beyond += int(np.count_nonzero(finite > most)) if high > most else 0
    seen = Seen(len(values), missing, counts, upto, quantiles, mean, low, high, infinite, beyond)
    usual = sizes(column)
    if usual is None or low < 0:
        return seen
    small = np.count_nonzero((finite > 0) & (finite < usual.least)) if low < usual.least else 0
    return replace(seen, sizes=int(np.count_nonzero(finite)), small=int(small))


def _categories_seen(column: Mapping[str, Any], values: Any) -> Seen:
    found = _categories(values)
    missing = found.pop(MISSING, 0)
    return Seen(len(values), missing, np.array(_binned(column, found, missing)), categories=found)


def reach(column: Mapping[str, Any]) -> tuple[float, float]:
    """Give the least and the greatest number that isn't out of range: `BEYOND` of the range beyond what was seen."""
    low, high = column.get("low", column["values"][0]), column.get("high", column["values"][-1])
    margin = BEYOND[column["kind"]] * (high - low)
    return low - margin, high + margin


def sizes(column: Mapping[str, Any]) -> Sizes | None:
    """Give what is known of the size of a column's numbers. None if some were negative, or all 0: they have no size."""
    values, upto = np.asarray(column["values"]), np.asarray(column["upto"], int)
    if column["infinite"] or upto[values < 0].any() or not (values > 0).any():
        return None
    upto = upto[values > 0] - upto[values <= 0].max(initial=0)
    values = values[values > 0]
    rare, usual = values[upto.searchsorted([RARE * upto[-1], 0.5 * upto[-1]])]
    least = min(rare, usual / SMALLER)
    return Sizes(float(usual), float(least), int(upto[-1]), int(upto[values.searchsorted(least)]))


def reference_counts(column: Mapping[str, Any]) -> np.ndarray:
    """Give how many training rows are in each bin, the missing ones last."""
    if column["kind"] in NUMERIC:
        upto = np.asarray(column["upto"], int)[column["bins"]]
        present = column["rows"] - column["missing"]
        return np.diff(np.concatenate([[0], upto, [present, column["rows"]]]))
    return np.array(column["bins"])


def watched(kept: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give name and sketch of the columns whose drift is watched: all but a target."""
    return ((name, column) for name, column in kept["columns"].items() if column["kind"] not in TARGETS)


# ---------------------------------------------------------------------------------------------- values
def _array(values: Any) -> np.ndarray:
    """Give a pandas column, a pyarrow one or an array as NumPy array."""
    if hasattr(values, "to_numpy"):
        try:
            return values.to_numpy(zero_copy_only=False)  # pyarrow
        except TypeError:
            return values.to_numpy()
    return np.asarray(values)


def _numbers(values: Any) -> np.ndarray:
    """Give numbers as floats and times in days since 1970; missing ones are NaN. Raise ValueError for text."""
    array = _array(values)
    if array.dtype.kind == "M":
        days = array.astype("datetime64[us]").astype(np.int64) / 86_400e6
        days[np.isnat(array)] = np.nan
        return days
    return array.astype(float, copy=False)


def _categories(values: Any) -> dict[str, int]:
    """Give how often each category is there, `MISSING` among them."""
    if hasattr(values, "value_counts") and hasattr(
        values, "null_count"
    ):  # pyarrow counts without making objects
        pairs: Iterable[tuple[Any, int]] = [
            (pair["values"], pair["counts"]) for pair in values.value_counts().to_pylist()
        ]
    else:
        pairs = Counter(_array(values).tolist()).items()
    found: dict[str, int] = {}
    for value, number in pairs:
        text = _text(value)
        found[text] = found.get(text, 0) + number
    return found


def _text(value: Any) -> str:
    text = str(value)
    return MISSING if value is None or (not isinstance(value, str) and text in NOTHING) else text
