"""Sums that make typed, checked, distinct rows of a raw table. No disk, no clock, no config file.

The columns are described by `config.Columns`; the same text gives the same rows, whatever file it came in.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import Columns, Feature
from pipeline.errors import DataError

MISSING = pa.array(["NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A"])  # spelt-out empty cells
ROW = "_row"  # the column with the hash of each row
HASH_BYTES = 16


class MissingColumns(DataError):
    """The table has not the columns of the config; the whole file is set aside."""


@dataclass(frozen=True)
class Flaw:
    """Why a row can't be used: its position in the table, the cell, and what is wrong with it."""

    position: int
    column: str
    value: str
    reason: str


@dataclass(frozen=True)
class Cleaned:
    """The typed rows in config order (and `_row`, their hash), the flaws of the others, and what was changed."""

    rows: pa.Table
    flaws: list[Flaw]
    formatting_changes: int


def clean(cells: pa.Table, columns: Columns, task: str, labelled: bool = True) -> Cleaned:
    """Type and check a table of text.

    Raise MissingColumns if a column of the config is missing. A row with any flaw is left out; the first flaw found
    in it is told. With `labelled` false the target column may be missing.
    """
    cells = _renamed(cells, columns, labelled)
    flaws: dict[int, Flaw] = {}
    typed, changes = {}, 0
    for name, kind in kinds(columns, task).items():
        trimmed, changed = _trimmed(cells[name])
        changes += changed
        values, wrong = TYPES[kind.type](trimmed)
        found = [
            *wrong,
            *_outside(values, kind),
            *(_empty(values) if name in (columns.id, columns.time) else []),
        ]
        for position, reason in found:
            flaws.setdefault(position, Flaw(position, name, cells[name][position].as_py(), reason))
        typed[name] = values
    rows = pa.table({name: typed[name] for name in columns.all})
    keep = np.ones(len(rows), bool)
    keep[list(flaws)] = False
    rows = rows.filter(pa.array(keep))
    rows = rows.append_column(ROW, row_hashes(rows))
    return Cleaned(rows, [flaws[position] for position in sorted(flaws)], changes)


def empty(columns: Columns, task: str) -> pa.Table:
    """Give a table of the right columns without rows."""
    nothing = pa.array([], pa.string())
    return clean(
        pa.table(dict.fromkeys(columns.all, nothing)), columns.model_copy(update={"rename": {}}), task
    ).rows


def kinds(columns: Columns, task: str) -> dict[str, Feature]:
    """Give for every column of the table what its cells are."""
    target = Feature(type="category" if task == "classification" else "number")
    time = {columns.time: Feature(type="date")} if columns.time else {}
    return {columns.id: Feature(type="category"), **time, columns.target.name: target, **columns.features}


def distinct(rows: pa.Table, known: set[bytes]) -> pa.Table:
    """Give the rows whose hash is not in `known` and not earlier in the table. Adds their hashes to `known`."""
    keep = []
    for row in rows[ROW].to_pylist():
        keep.append(row not in known)
        known.add(row)
    return rows.filter(pa.array(keep, pa.bool_()))


def row_hashes(rows: pa.Table) -> pa.Array:
    """Give a 128-bit BLAKE2b hash of each row's values (16 bytes).

    Each value takes a fixed width, a number as its 8 bytes and a text as its own hash, so that no two rows can be
    spelt alike; it does not change with library versions.
    """
    width = [_fixed_width(rows[name].combine_chunks()) for name in rows.column_names]
    table = np.ascontiguousarray(np.hstack(width)) if len(rows) else np.empty((0, 1), np.uint8)
    hashes = [hashlib.blake2b(row.tobytes(), digest_size=HASH_BYTES).digest() for row in table]
    return pa.array(hashes, pa.binary(HASH_BYTES))


def _fixed_width(column: pa.Array) -> np.ndarray:
    """Give the column as bytes, shape (rows, 1 + 8) for numbers and dates, (rows, 1 + 16) for text; missing is 0."""
    present = column.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8)[:, None]
    if pa.types.is_string(column.type):
        encoded = column.fill_null("").dictionary_encode()
        digests = [
            hashlib.blake2b(t.encode(), digest_size=HASH_BYTES).digest()
            for t in encoded.dictionary.to_pylist()
        ]
        values = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, HASH_BYTES)
        return np.hstack([present, values[encoded.indices.to_numpy()] * present])
    if pa.types.is_timestamp(column.type):
        numbers = column.cast(pa.int64()).fill_null(0).to_numpy()
    else:
        numbers = column.fill_null(0.0).to_numpy() + 0.0  # -0.0 becomes 0.0
    values = (
        np.ascontiguousarray(numbers).astype(numbers.dtype.newbyteorder("<")).view(np.uint8).reshape(-1, 8)
    )
    return np.hstack([present, values])


def _renamed(cells: pa.Table, columns: Columns, labelled: bool) -> pa.Table:
    """Give the table with its columns named as in the config."""
    trimmed = [name.strip() for name in cells.column_names]
    names = [columns.rename.get(name, name) for name in trimmed]
    if not labelled and columns.target.name not in names:
        cells = cells.append_column(columns.target.name, pa.array([""] * len(cells), pa.string()))
        names.append(columns.target.name)
    missing = [name for name in columns.all if name not in names]
    if missing:
        has = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        raise MissingColumns(f"missing column(s) {', '.join(missing)}; it has {has}")
    twice = [name for name in columns.all if names.count(name) > 1]
    if twice:
        raise MissingColumns(f"column(s) {', '.join(twice)} there twice after renaming")
    return cells.rename_columns(names).select(columns.all)


def _trimmed(cells: pa.ChunkedArray) -> tuple[pa.Array, int]:
    """Give the cells without spaces around them, missing ones as null, and how many were written otherwise."""
    before = cells.combine_chunks()
    after = pc.utf8_trim_whitespace(before)
    missing = pc.or_(pc.equal(after, ""), pc.is_in(after, MISSING))
    spelt = pc.and_(missing, pc.not_equal(before, ""))
    changed = pc.sum(pc.or_(pc.not_equal(before, after), spelt)).as_py() or 0
    return pc.if_else(missing, pa.scalar(None, pa.string()), after), changed


Flaws = list[tuple[int, str]]  # position in the table, reason


def to_numbers(cells: pa.Array) -> tuple[pa.Array, Flaws]:
    """Give finite 64-bit floats; text that is none is a flaw."""
    try:
        values = cells.cast(pa.float64())
    except pa.ArrowInvalid:
        values = _each(cells, float, pa.float64())
    values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
    return values, _lost(cells, values, "not a number")


def to_dates(cells: pa.Array) -> tuple[pa.Array, Flaws]:
    """Give timestamps (UTC where the text has a zone) of ISO 8601 dates and times; other text is a flaw."""
    kind = pa.timestamp("us")
    try:
        values = cells.cast(kind)
    except pa.ArrowInvalid:
        values = _each(cells, _timestamp, kind)
    values = pc.if_else(pc.less(values, pa.scalar(datetime.min, kind)), pa.scalar(None, kind), values)
    return values, _lost(cells, values, "not a date like 2025-12-31 or 2025-12-31T23:59:59")


def to_categories(cells: pa.Array) -> tuple[pa.Array, Flaws]:
    """Give the text; whole numbers in one spelling, so that 1 and 1.0 are one category."""
    encoded = cells.dictionary_encode()
    names = pa.array([_category(name) for name in encoded.dictionary.to_pylist()], pa.string())
    return pa.DictionaryArray.from_arrays(encoded.indices, names).cast(pa.string()), []


TYPES = {
    "number": to_numbers,
    "date": to_dates,
    "category": to_categories,
}


def _category(text: str) -> str:
    """Give `1` for `1.0`; all other text stays, leading zeros too (they may be codes)."""
    whole, dot, zeros = text.partition(".")
    return whole if dot and whole.lstrip("-").isdecimal() and zeros and not zeros.strip("0") else text


def _timestamp(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _each(cells: pa.Array, convert, kind: pa.DataType) -> pa.Array:
    """Convert cell by cell, each distinct text once, with null for what can't be converted. Slow, for bad files."""
    found = {}
    for text in pc.unique(cells).to_pylist():
        try:
            found[text] = None if text is None or "_" in text else convert(text)
        except (ValueError, OverflowError):
            found[text] = None
    return pa.array([found[text] for text in cells.to_pylist()], kind)


def _lost(cells: pa.Array, values: pa.Array, reason: str) -> Flaws:
    """Give the positions where there was text and is no value."""
    lost = pc.and_(cells.is_valid(), values.is_null())
    return [(position, reason) for position in pc.indices_nonzero(lost).to_pylist()]


def _outside(values: pa.Array, kind: Feature) -> Flaws:
    flaws: Flaws = []
    if kind.min is not None:
        low = pc.indices_nonzero(pc.fill_null(pc.less(values, kind.min), False)).to_pylist()
        flaws += [(position, f"below the minimum {kind.min:g}") for position in low]
    if kind.max is not None:
        high = pc.indices_nonzero(pc.fill_null(pc.greater(values, kind.max), False)).to_pylist()
        flaws += [(position, f"above the maximum {kind.max:g}") for position in high]
    return flaws


def _empty(values: pa.Array) -> Flaws:
    return [(position, "empty") for position in pc.indices_nonzero(values.is_null()).to_pylist()]
