"""Sums that bring the rows of several sources to one frequency and join them on keys. No disk, no clock.

The result depends on which rows there are, never on the order or the tables they came in: rows are put in order of
time and then of their hash before anything is summed or called the last.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.rowhash import ROW

FILE = "_file"  # number of the file it came from
FILES = "_files"  # numbers of all files a joined row came from, sorted
DEFAULT_AGGREGATE = "last"


@dataclass(frozen=True)
class Part:
    """One source of a join: the columns it brings besides the keys, and how several rows of one key become one."""

    name: str
    columns: tuple[str, ...]
    aggregate: Mapping[str, str] = field(default_factory=dict)  # column -> a name in AGGREGATES
    forward_fill: bool = False  # a value holds until the source brings a new one

    def aggregate_of(self, column: str) -> str:
        """Give the name of the aggregate of a column."""
        return self.aggregate.get(column, DEFAULT_AGGREGATE)


def periods(times: pa.Array | pa.ChunkedArray, frequency: str) -> pa.Array | pa.ChunkedArray:
    """Give the start of the period each time is in; a week starts on Monday.

    Raise ValueError if the frequency is not one of FREQUENCIES.
    """
    _check_frequency(frequency)
    return pc.floor_temporal(times, unit=FREQUENCIES[frequency], week_starts_monday=True)


def resampled(
    rows: pa.Table, part: Part, on: Sequence[str], time: str | None, frequency: str | None
) -> pa.Table:
    """Give one row per key, sorted by key: the keys, the part's columns, and the files that contributed.

    With a frequency the time among the keys becomes the start of its period. Missing values are passed over: a sum of
    nothing is missing, the last value is the last one known. A sum or mean too large for a float is missing as well.
    Raise ValueError if the part can't be joined like this: a key is missing, or an aggregate does not fit its column.
    """
    check(part, on, time, frequency)
    _check_rows(rows, part, on)
    rows = rows.take(_in_order(rows, time)).select([*on, *part.columns, FILE])
    keys = _keys(rows, on, time, frequency)
    numbers, distinct = _numbered(keys, on)
    columns = {name: distinct[name] for name in on} | _aggregated(rows, part, numbers)
    files = rows[FILE].to_numpy()
    return pa.table(columns | {FILES: _file_lists(numbers, files, len(distinct))})


def joined(
    tables: Mapping[str, pa.Table],
    parts: Sequence[Part],
    on: Sequence[str],
    time: str | None,
    frequency: str | None,
    order: Sequence[str],
) -> pa.Table:
    """Give the full outer join of all parts on their keys, sorted by key: the columns of `order`, and the files.

    `tables` holds the rows of each part by its name; of a part without any, nothing or an empty table. Where a part is
    filled forward, each of its columns holds its last known value at or before a period, for the same other keys; the
    files it was carried from are among the row's. A column of `order` that no part has brought is missing in every
    row, its type taken from any table that has it. Raise ValueError if the parts can't be joined like this.
    """
    for part in parts:
        check(part, on, time, frequency)
    _check_join(tables, parts, on, order)
    brought = [
        (part, resampled(tables[part.name], part, on, time, frequency))
        for part in parts
        if part.name in tables
    ]
    numbers, distinct = _numbered(pa.concat_tables([rows.select(on) for _, rows in brought]), on)
    columns = {name: distinct[name] for name in on}
    others = [name for name in on if name != time]
    carriers = _numbered(distinct, others)[0] if any(part.forward_fill for part in parts) else None
    shares, start = [], 0
    for part, rows in brought:
        source = np.full(len(distinct), -1)
        source[numbers[start : start + len(rows)]] = np.arange(len(rows))
        start += len(rows)
        found, share = _brought(part, rows, source, carriers)
        columns |= found
        shares += share
    absent = {name: _absent(name, tables, len(distinct)) for name in order if name not in columns}
    chosen = {name: (columns | absent)[name] for name in order}
    positions, files = (np.concatenate(side) for side in zip(*shares, strict=True))
    return pa.table(chosen | {FILES: _file_lists(positions, files, len(distinct))})


def check(part: Part, on: Sequence[str], time: str | None, frequency: str | None) -> None:
    """Raise ValueError, with what would be right, if the part can't be joined on these keys whatever its rows are."""
    if not on:
        raise ValueError("no keys to join on")
    if frequency is not None:
        _check_frequency(frequency)
    if frequency is not None and time not in on:
        raise ValueError(f"{part.name}: a frequency needs the time among the keys, which are {', '.join(on)}")
    if part.forward_fill and time not in on:
        raise ValueError(
            f"{part.name}: forward fill needs the time among the keys, which are {', '.join(on)}"
        )
    if keys := [name for name in part.columns if name in on]:
        raise ValueError(f"{part.name}: {', '.join(keys)} is a key, and no column of one source")
    if unknown := [name for name in part.aggregate if name not in part.columns]:
        raise ValueError(f"{part.name}: aggregate of {', '.join(unknown)}, which it does not bring")
    for name, aggregate in part.aggregate.items():
        if aggregate not in AGGREGATES:
            known = ", ".join(AGGREGATES)
            raise ValueError(f"{part.name}: unknown aggregate '{aggregate}' of {name}; there are {known}")


def origin(files: Sequence[int], source_of: Mapping[int, str], parts: Sequence[str]) -> str:
    """Say which of the sources carried a row: `only sales`, `both`, `sales and weather`, `all`."""
    carried = {source_of[number] for number in files}
    if len(parts) > 1 and carried == set(parts):
        return "both" if len(parts) == 2 else "all"
    names = [name for name in parts if name in carried] + sorted(carried - set(parts))
    if len(names) < 2:
        return f"only {names[0]}" if names else "none"
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _check_frequency(frequency: str) -> None:
    if frequency not in FREQUENCIES:
        raise ValueError(f"unknown frequency '{frequency}'; there are {', '.join(FREQUENCIES)}")


def _check_rows(rows: pa.Table, part: Part, on: Sequence[str]) -> None:
    if missing := [name for name in (*on, *part.columns) if name not in rows.column_names]:
        raise ValueError(f"{part.name}: missing column(s) {', '.join(missing)}")
    for name in on:
        if rows[name].null_count:
            raise ValueError(f"{part.name}: {rows[name].null_count} row(s) without {name}, which is a key")
    for name in part.columns:
        aggregate, kind = part.aggregate_of(name), rows.schema.field(name).type
        if not AGGREGATES[aggregate](kind):
            fits = ", ".join(known for known, suits in AGGREGATES.items() if suits(kind))
            raise ValueError(f"{part.name}: {name} ({kind}) has no {aggregate}; it can have {fits}")


def _check_join(
    tables: Mapping[str, pa.Table], parts: Sequence[Part], on: Sequence[str], order: Sequence[str]
) -> None:
    names = [part.name for part in parts]
    if stray := [name for name in tables if name not in names]:
        raise ValueError(f"rows of {', '.join(stray)}, which is no part of the join")
    if not tables:
        raise ValueError("no tables to join")
    brought = [name for part in parts for name in part.columns]
    if twice := sorted({name for name in brought if brought.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} brought by more than one source; rename all but one")
    if left_out := [name for name in (*on, *brought) if name not in order]:
        raise ValueError(f"{', '.join(left_out)} is brought and not among the columns to give")


def _in_order(rows: pa.Table, time: str | None) -> pa.Array:
    """Give the positions of the rows in order of time, those without one first, and then of their hash."""
    times = [_time_number(rows[time])] if time in rows.column_names else []
    return pa.array(np.lexsort((*_hash_words(rows[ROW]), *times)))


def _hash_words(hashes: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Give the low and the high half of each hash as whole numbers: sorting them is much faster than bytes."""
    flat = hashes.combine_chunks()
    words = np.frombuffer(flat.buffers()[1] or b"", ">u8")[2 * flat.offset : 2 * (flat.offset + len(flat))]
    words = words.astype(np.uint64).reshape(-1, 2)
    return words[:, 1], words[:, 0]


def _time_number(times: pa.ChunkedArray) -> np.ndarray:
    return times.cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()


def _keys(rows: pa.Table, on: Sequence[str], time: str | None, frequency: str | None) -> pa.Table:
    """Give the key columns, the time at the start of its period, and zero spelt in one way."""
    keys = {name: rows[name] for name in on}
    for name, column in keys.items():
        if pa.types.is_floating(column.type):
            keys[name] = pc.add(column, 0.0)  # -0.0 becomes 0.0
        elif name == time and frequency is not None:
            keys[name] = periods(column, frequency)
    return pa.table(keys)


def _numbered(keys: pa.Table, on: Sequence[str]) -> tuple[np.ndarray, pa.Table]:
    """Give each row the number of its key, 0 and up in order of the keys, and the distinct rows in that order."""
    numbers = np.zeros(len(keys), np.int64)
    for name in on:
        ranks, count = _ranks(keys[name])
        # Numbered anew after each column, so that the product stays below rows squared.
        _, numbers = np.unique(numbers * count + ranks, return_inverse=True)
    _, first = np.unique(numbers, return_index=True)
    return numbers, keys.take(pa.array(first))


def _ranks(column: pa.ChunkedArray) -> tuple[np.ndarray, int]:
    """Give the rank of each value among the distinct ones, 0 and up, and how many there are."""
    encoded = column.combine_chunks().dictionary_encode()
    ranks = np.empty(len(encoded.dictionary), np.int64)
    ranks[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(ranks))
    return ranks[encoded.indices.to_numpy()], len(ranks)


def _aggregated(rows: pa.Table, part: Part, numbers: np.ndarray) -> dict[str, pa.ChunkedArray]:
    """Give the part's columns with one value for each key number. The rows are in order of time."""
    if not part.columns:
        return {}
    wanted = [(str(place), part.aggregate_of(name)) for place, name in enumerate(part.columns)]
    # Columns go by their place, since `x_sum` could be a sum of x and somebody's own column.
    values = rows.select(part.columns).rename_columns([place for place, _ in wanted])
    grouped = values.append_column("key", pa.array(numbers)).group_by("key", use_threads=False)
    found = grouped.aggregate(wanted).sort_by("key")
    return {
        name: _finite(found[f"{place}_{aggregate}"])
        for name, (place, aggregate) in zip(part.columns, wanted, strict=True)
    }


def _finite(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_floating(values.type):
        return values
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, values.type))


def _file_lists(positions: np.ndarray, files: np.ndarray, count: int) -> pa.ListArray:
    """Give for each of `count` rows its files, sorted and distinct, from pairs of a row's position and a file."""
    order = np.lexsort((files, positions))
    positions, files = positions[order], files[order]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(positions) != 0) | (np.diff(files) != 0)
    ends = np.searchsorted(positions[new], np.arange(count + 1))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(files[new], pa.int64()))


Share = tuple[np.ndarray, np.ndarray]  # positions of joined rows, a file of each


def _brought(
    part: Part, rows: pa.Table, source: np.ndarray, carriers: np.ndarray | None
) -> tuple[dict[str, pa.ChunkedArray], list[Share]]:
    """Give the part's columns for every joined row, and its share in their files.

    `source` is the position in `rows` of each joined row, -1 where the part has none.
    """
    if not part.forward_fill or carriers is None:
        return {name: _taken(rows[name], source) for name in part.columns}, [_share(rows, source)]
    carried = _carried(source, carriers)
    columns, shares = {}, [_share(rows, carried)]
    for name in part.columns:
        known = np.append(rows[name].is_valid().to_numpy(), False)  # -1 finds the last, which is unknown
        last_known = _carried(np.where(known[source], source, -1), carriers)
        columns[name] = _taken(rows[name], last_known)
        # A value from further back than the row carried brings its own files along.
        shares.append(_share(rows, np.where(last_known == carried, -1, last_known)))
    return columns, shares


def _carried(source: np.ndarray, carriers: np.ndarray) -> np.ndarray:
    """Give the last source that is not -1 at or before each row among those of its carrier, which are in time order."""
    order = np.argsort(carriers, kind="stable")
    place = np.arange(len(order))
    changes = np.diff(carriers[order], prepend=-1) != 0
    first = np.maximum.accumulate(np.where(changes, place, 0))
    last = np.maximum.accumulate(np.where(source[order] >= 0, place, -1))
    filled = np.empty_like(source)
    filled[order] = np.where(last >= first, source[order][last], -1)
    return filled


def _taken(values: pa.ChunkedArray, source: np.ndarray) -> pa.ChunkedArray:
    return values.take(pa.array(source, mask=source < 0))


def _share(rows: pa.Table, source: np.ndarray) -> Share:
    positions = np.flatnonzero(source >= 0)
    lists = rows[FILES].combine_chunks().take(pa.array(source[positions]))
    return positions[pc.list_parent_indices(lists).to_numpy()], pc.list_flatten(lists).to_numpy()


def _absent(name: str, tables: Mapping[str, pa.Table], count: int) -> pa.Array:
    for table in tables.values():
        if name in table.column_names:
            return pa.nulls(count, table.schema.field(name).type)
    raise ValueError(f"no table has {name}; give the part that brings it an empty table")


# Named as pyarrow's grouped aggregations, each with the types it has a meaning for.
AGGREGATES: dict[str, Callable[[pa.DataType], bool]] = {
    "sum": pa.types.is_floating,
    "mean": pa.types.is_floating,
    "min": lambda kind: not pa.types.is_string(kind),
    "max": lambda kind: not pa.types.is_string(kind),
    "first": lambda kind: True,
    "last": lambda kind: True,
}

# What a config calls it, and pyarrow's unit of time.
FREQUENCIES = {unit: unit for unit in ("hour", "day", "week", "month", "quarter", "year")}
