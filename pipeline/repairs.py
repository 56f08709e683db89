"""Sums that fill missing cells and tame outliers, with the statistics of the data known at that time.

The statistics rest on a *bottom-k sample*: the k rows with the smallest hashes among all distinct rows known so far.
It is all of them while there are fewer, a uniform random sample afterwards, and it does not matter in which order,
how split or how often the rows came. (Bottom-k sketch: Cohen and Kaplan, Summarizing data using bottom-k sketches,
PODC 2007.) What was done to a row is told in its `_done`, from which the row as it came can be had back.

Tables have number columns (64-bit floats, finite), category columns (text), and `_row`, a 128-bit hash of the row as
it came. No disk, no clock, no config file.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.rowhash import ROW

DONE = "_done"  # the column that tells what was done to each row
SAMPLE_ROWS = 100_000  # a quartile of so many rows is within 0.3 points of rank, 19 times in 20
MIN_ROWS = 20  # among fewer values there is no telling which are unusual
FACTORS = {"iqr": 1.5, "zscore": 3.0}  # Tukey's fences; three sigma

Value = float | str | None


@dataclass(frozen=True)
class Imputation:
    """How missing cells of a column are filled; `by` names a category column, each of its groups has its own value."""

    how: str = "none"
    value: Value = None  # of a constant
    by: str | None = None


@dataclass(frozen=True)
class Outliers:
    """How far out a number may lie, and whether one beyond is clipped to the limit or its row dropped."""

    how: str = "none"
    then: str = "clip"
    factor: float | None = None  # how many IQR or standard deviations; None: the one in FACTORS
    low: float | None = None  # of how: limits
    high: float | None = None

    @property
    def spreads(self) -> float:
        """Give the factor, or the usual one."""
        return FACTORS.get(self.how, 0.0) if self.factor is None else self.factor


@dataclass(frozen=True)
class Repaired:
    """All rows with `_done` (JSON; null where nothing was done), which of them are dropped, and counts.

    A dropped row is as it came. `outliers` counts the cells clipped and the rows dropped.
    """

    rows: pa.Table
    dropped: pa.Array
    imputed: int
    outliers: int


# --------------------------------------------------------------------------------------------------------- the sample
def needed(imputation: Mapping[str, Imputation], outliers: Mapping[str, Outliers]) -> list[str]:
    """Give the columns that `statistics` looks at in the sample, each once."""
    names = [name for name, rule in imputation.items() if rule.how != "none"]
    names += [name for name, rule in outliers.items() if rule.how != "none"]
    groups = [rule.by for rule in imputation.values() if rule.by and rule.how != "none"]
    return list(dict.fromkeys(names + groups))


def sampled(sample: pa.Table | None, rows: pa.Table, columns: list[str], most: int = SAMPLE_ROWS) -> pa.Table:
    """Give the rows with the `most` smallest hashes of the sample and the uncleaned rows, each once, in that order.

    It has `_row` and these columns; the sample must have them too. The very same sample comes back if it is one of
    these columns, and no row gets into it.
    """
    rows = rows.select([ROW, *columns])
    if sample is None:
        sample = rows.slice(0, 0)
    elif sample.column_names != rows.column_names or len(sample) > most:
        sample = sample.select(rows.column_names).slice(0, most)
    start, size = 0, most  # once a first batch has filled the sample, few rows of the others must be sorted
    while start < len(rows):
        sample = _merged(sample, rows.slice(start, size), most)
        start, size = start + size, size * 2
    return sample


def _merged(sample: pa.Table, rows: pa.Table, most: int) -> pa.Table:
    """Give the bottom-k of a sorted sample and rows in any order."""
    known, new = _hashes(sample), _hashes(rows)
    if len(sample) >= most:
        near = new[:, 0] <= known[most - 1, 0]  # the first half of the hash tells all but a few
        if not near.any():
            return sample
        rows, new = rows.filter(pa.array(near)), new[near]
    hashes = np.concatenate([known, new])
    order = _sorted(hashes)
    differs = (hashes[order[1:]] != hashes[order[:-1]]).any(axis=1)
    keep = order[np.concatenate([[True], differs])][:most]  # of some alike the first, that of the sample
    if len(keep) == len(sample) and (keep < len(sample)).all():
        return sample
    return pa.concat_tables([sample, rows]).combine_chunks().take(pa.array(keep))


def _sorted(hashes: np.ndarray) -> np.ndarray:
    """Give the order of the hashes, of some alike the earlier first."""
    order = np.argsort(
        hashes[:, 0], kind="stable"
    )  # timsort: next to nothing for a few behind a sorted sample
    one, next_one = hashes[order[:-1]], hashes[order[1:]]
    if ((one[:, 0] == next_one[:, 0]) & (one[:, 1] > next_one[:, 1])).any():
        return np.lexsort((hashes[:, 1], hashes[:, 0]))
    return order


def _hashes(rows: pa.Table) -> np.ndarray:
    """Give each hash as two numbers that sort as its bytes do, shape (rows, 2)."""
    column = rows[ROW].combine_chunks()
    if not len(column):
        return np.empty((0, 2), np.uint64)
    words = np.frombuffer(column.buffers()[1], ">u8", 2 * len(column), column.offset * 16)
    return words.astype(np.uint64).reshape(-1, 2)


# ----------------------------------------------------------------------------------------------------- the statistics
def statistics(
    sample: pa.Table, imputation: Mapping[str, Imputation], outliers: Mapping[str, Outliers]
) -> dict:
    """Give what `repaired` needs to know, ready for JSON, and the number of rows it rests on.

    It is `{"rows": 812, "impute": {"age": {"value": 41.0, "by": {"north": 40.0}}}, "limits": {"age": {"low": 1.5,
    "high": 130.5}}}`.
    All of it is of observed values, outliers among them. Null is a value nobody knows, so that nothing is imputed,
    and a limit there is not: with fewer than MIN_ROWS known values, with an IQR or standard deviation of 0 (every
    other value would be an outlier), or beyond what a float can hold.
    """
    return {
        "rows": len(sample),
        "impute": {
            name: _to_impute(sample, name, rule) for name, rule in imputation.items() if rule.how != "none"
        },
        "limits": {
            name: _limits(sample, name, rule) for name, rule in outliers.items() if rule.how != "none"
        },
    }


def _to_impute(sample: pa.Table, name: str, rule: Imputation) -> dict:
    value = IMPUTATIONS[rule.how]
    column = sample[name].combine_chunks()
    groups = _groups(column, sample[rule.by].combine_chunks()) if rule.by else iter(())
    return {
        "value": value(column.drop_null(), rule),
        "by": {group: value(values, rule) for group, values in sorted(groups, key=lambda pair: pair[0])},
    }


def _groups(column: pa.Array, groups: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """Give each group that has a known value, with its known values."""
    known = pc.and_(column.is_valid(), groups.is_valid())
    encoded = groups.filter(known).dictionary_encode()
    codes = encoded.indices.to_numpy()
    values = column.filter(known).take(pa.array(np.argsort(codes, kind="stable")))
    sizes = np.bincount(codes, minlength=len(encoded.dictionary)).tolist()
    start = 0
    for group, size in zip(encoded.dictionary.to_pylist(), sizes, strict=True):
        yield group, values.slice(start, size)
        start += size


def _limits(sample: pa.Table, name: str, rule: Outliers) -> dict[str, float | None]:
    low, high = OUTLIERS[rule.how](sample[name].combine_chunks().drop_null(), rule)
    return {"low": low, "high": high}


# -------------------------------------------------------------------------------------------------------- the repairs
@dataclass(frozen=True)
class _Change:
    """What is done to some cells of a column, or to the rows they are in (no values: the rows are dropped)."""

    column: str
    positions: np.ndarray  # of the rows, rising
    values: pa.Array | None  # the new cells
    notes: pa.Array  # what goes between the braces of `_done`


def repaired(
    rows: pa.Table,
    statistics: dict,
    imputation: Mapping[str, Imputation],
    outliers: Mapping[str, Outliers],
) -> Repaired:
    """Drop or clip the outliers among the observed values, then fill the missing cells of the rows that stay.

    `_done` is `{"age": {"was": 900.0, "how": "clipped to 130.5, Q3 + 1.5 IQR of 812 rows"}}`, with an entry for each
    cell in the order of the columns, or `{"dropped": "age", "how": "900 is above 130.5, ..."}` with the first column
    that is a reason. `by` looks at the group as it came, not as imputed.
    """
    tested = [name for name in rows.column_names if name in outliers and outliers[name].how != "none"]
    filled = [name for name in rows.column_names if name in imputation and imputation[name].how != "none"]
    dropped = np.zeros(len(rows), bool)
    drops, changes = [], []
    for name in tested:
        if outliers[name].then == "drop":
            found = _outlying(rows, name, outliers[name], statistics, ~dropped)
            drops += found
            for drop in found:
                dropped[drop.positions] = True
    for name in tested:
        if outliers[name].then == "clip":
            changes += _outlying(rows, name, outliers[name], statistics, ~dropped)
    clipped = sum(len(change.positions) for change in changes)
    for name in filled:
        changes += _imputed(rows, name, imputation[name], statistics, ~dropped)
    cells = sum(len(change.positions) for change in changes)
    changes.sort(key=lambda change: rows.column_names.index(change.column))
    done = _joined([*drops, *changes], len(rows))
    table = _changed(rows, changes).append_column(DONE, done)
    return Repaired(table, pa.array(dropped), cells - clipped, clipped + int(dropped.sum()))


def uncleaned(rows: pa.Table) -> pa.Table:
    """Give the rows as they came, dropped ones too, without `_done`: the way back from `Repaired.rows`."""
    done = rows[DONE].combine_chunks()
    rows = rows.drop_columns([DONE])
    encoded = done.drop_null().dictionary_encode()
    notes = [json.loads(text) for text in encoded.dictionary.to_pylist()]
    touched, codes = np.flatnonzero(_bools(done.is_valid())), encoded.indices.to_numpy()
    changes = []
    for name in rows.column_names:
        cells = [note.get(name) for note in notes]  # "dropped" and "how" of a dropped row are text, not cells
        told = np.array([isinstance(cell, dict) for cell in cells], bool)[codes]
        if told.any():
            was = [cell["was"] if isinstance(cell, dict) else None for cell in cells]
            values = pa.array(was, rows.schema.field(name).type).take(pa.array(codes[told]))
            changes.append(_Change(name, touched[told], values, done))
    return _changed(rows, changes)


def _outlying(
    rows: pa.Table, name: str, rule: Outliers, statistics: dict, among: np.ndarray
) -> list[_Change]:
    """Give what the rule does to the cells of a column below its lower limit, and to those above its upper one."""
    numbers = rows[name].to_numpy()  # a missing cell is NaN, which is neither below nor above
    changes = []
    for side, words in zip(("low", "high"), LIMITS_IN_WORDS[rule.how], strict=True):
        limit = statistics["limits"][name][side]
        if limit is None:
            continue
        positions = np.flatnonzero(among & (numbers < limit if side == "low" else numbers > limit))
        why = words.format(factor=_plain(rule.spreads), rows=statistics["rows"])
        cells, key = numbers[positions].tolist(), json.dumps(name, ensure_ascii=False)
        if rule.then == "drop":
            beyond = f"{'below' if side == 'low' else 'above'} {_plain(limit)}, {why}"
            notes = [
                f'"dropped": {key}, "how": {json.dumps(f"{_plain(cell)} is {beyond}")}' for cell in cells
            ]
            values = None
        else:
            how = json.dumps(f"clipped to {_plain(limit)}, {why}")
            notes = [f'{key}: {{"was": {cell!r}, "how": {how}}}' for cell in cells]
            values = pa.array([float(limit)] * len(cells))
        if cells:
            changes.append(_Change(name, positions, values, pa.array(notes)))
    return changes


def _imputed(
    rows: pa.Table, name: str, rule: Imputation, statistics: dict, among: np.ndarray
) -> list[_Change]:
    """Give the filling of the missing cells of a column: by its group if that has a value, else by that of all rows."""
    positions = np.flatnonzero(_bools(rows[name].is_null()) & among)
    value, by = statistics["impute"][name]["value"], statistics["impute"][name]["by"]
    if value is None or not len(positions):
        return []
    how = "constant" if rule.how == "constant" else f"{rule.how} of {statistics['rows']} rows"
    hows = [*(f"{how}, where {rule.by} is {group}" for group in by), how]
    key = json.dumps(name, ensure_ascii=False)
    notes = [f'{key}: {{"was": null, "how": {json.dumps(how, ensure_ascii=False)}}}' for how in hows]
    choice = pa.array(np.full(len(positions), len(by)))  # the last is that of all rows
    if by:
        groups = rows[rule.by].take(pa.array(positions)).combine_chunks()
        choice = pc.fill_null(pc.index_in(groups, pa.array(list(by), groups.type)), len(by))
    values = pa.array([*by.values(), value], rows.schema.field(name).type)
    return [_Change(name, positions, values.take(choice), pa.array(notes).take(choice))]


def _changed(rows: pa.Table, changes: list[_Change]) -> pa.Table:
    """Give the rows with the new cells in their places."""
    for change in changes:
        mask = np.zeros(len(rows), bool)
        mask[change.positions] = True
        place = rows.column_names.index(change.column)
        column = pc.replace_with_mask(rows[change.column].combine_chunks(), pa.array(mask), change.values)
        rows = rows.set_column(place, rows.schema.field(place), column)
    return rows


def _joined(changes: list[_Change], count: int) -> pa.Array:
    """Give for each row the JSON of what was done to it, null for nothing."""
    if not changes:
        return pa.nulls(count, pa.string())
    touched = np.unique(np.concatenate([change.positions for change in changes]))
    joined = pa.array([""] * len(touched))
    for change in changes:
        notes = _spread(change.notes, np.searchsorted(touched, change.positions), len(touched))
        joined = pc.if_else(
            notes.is_valid(),
            pc.if_else(pc.equal(joined, ""), notes, pc.binary_join_element_wise(joined, notes, ", ")),
            joined,
        )
    return _spread(pc.binary_join_element_wise("{", joined, "}", ""), touched, count)


def _spread(values: pa.Array, positions: np.ndarray, count: int) -> pa.Array:
    """Give an array of this length with the values at these positions, null elsewhere."""
    place = np.full(count, -1)
    place[positions] = np.arange(len(positions))
    return values.take(pa.array(place, mask=place < 0))


def _bools(mask: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return mask.to_numpy() if isinstance(mask, pa.ChunkedArray) else mask.to_numpy(zero_copy_only=False)


def _plain(number: float) -> str:
    """Give the shortest spelling that is this very number, 130 for 130.0."""
    return repr(float(number)).removesuffix(".0")


# ------------------------------------------------------------------------- what to impute; values are the known ones
def nothing(values: pa.Array, rule: Imputation) -> Value:
    """Leave missing cells missing."""
    return None


def constant(values: pa.Array, rule: Imputation) -> Value:
    """Give the value of the config."""
    return rule.value


def mean(values: pa.Array, rule: Imputation) -> Value:
    """Give the arithmetic mean. It lies between the smallest and the largest value, however they round."""
    if not len(values):
        return None
    numbers = values.to_numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        found = numbers.mean()
        if not np.isfinite(found):  # the sum is beyond a float
            found = (numbers / len(numbers)).sum()
    return float(np.clip(found, numbers.min(), numbers.max()))


def median(values: pa.Array, rule: Imputation) -> Value:
    """Give the middle value, between the two middle ones of an even number."""
    if not len(values):
        return None
    middle_two = [(len(values) - 1) // 2, len(values) // 2]
    low, high = np.partition(values.to_numpy(), middle_two)[middle_two].tolist()
    middle = (low + high) / 2
    return middle if np.isfinite(middle) else low / 2 + high / 2


def mode(values: pa.Array, rule: Imputation) -> Value:
    """Give the most frequent value; of several the smallest, or the first in the order of text."""
    if pa.types.is_floating(values.type):
        values = pc.add(values, 0.0)  # -0.0 becomes 0.0
    counted = values.value_counts()
    counts = counted.field("counts")
    return pc.min(counted.field("values").filter(pc.equal(counts, pc.max(counts)))).as_py()


IMPUTATIONS: dict[str, Callable[[pa.Array, Imputation], Value]] = {
    "none": nothing,
    "constant": constant,
    "mean": mean,
    "median": median,
    "mode": mode,
}


# -------------------------------------------------------- how far out a number may lie; values are the known ones
Limits = tuple[float | None, float | None]


def no_limits(values: pa.Array, rule: Outliers) -> Limits:
    """Call nothing an outlier."""
    return None, None


def iqr(values: pa.Array, rule: Outliers) -> Limits:
    """Give Q1 - factor * IQR and Q3 + factor * IQR, the quartiles interpolated linearly (Tukey's fences)."""
    if len(values) < MIN_ROWS:
        return None, None
    with np.errstate(over="ignore", invalid="ignore"):
        first, third = np.quantile(values.to_numpy(), [0.25, 0.75])
        return _around(first, third, third - first, rule.spreads)


def zscore(values: pa.Array, rule: Outliers) -> Limits:
    """Give mean - factor * sd and mean + factor * sd, the standard deviation with n - 1."""
    numbers = values.to_numpy()
    if len(values) < MIN_ROWS or numbers.min() == numbers.max():  # an sd of equal values need not round to 0
        return None, None
    with np.errstate(over="ignore", invalid="ignore"):
        return _around(numbers.mean(), numbers.mean(), numbers.std(ddof=1), rule.spreads)


def limits(values: pa.Array, rule: Outliers) -> Limits:
    """Give the limits of the config."""
    return rule.low, rule.high


def _around(low: float, high: float, spread: float, factor: float) -> Limits:
    """Give the limits that many spreads out; none of a spread of 0, none where a float can't hold it."""
    if not spread > 0:
        return None, None
    below, above = float(low - factor * spread), float(high + factor * spread)
    return below if np.isfinite(below) else None, above if np.isfinite(above) else None


OUTLIERS: dict[str, Callable[[pa.Array, Outliers], Limits]] = {
    "none": no_limits,
    "iqr": iqr,
    "zscore": zscore,
    "limits": limits,
}
LIMITS_IN_WORDS = {  # what the lower and the upper limit are
    "iqr": ("Q1 - {factor} IQR of {rows} rows", "Q3 + {factor} IQR of {rows} rows"),
    "zscore": ("mean - {factor} sd of {rows} rows", "mean + {factor} sd of {rows} rows"),
    "limits": ("the limit in the config", "the limit in the config"),
}
