"""Sums that make typed, checked rows of a raw table. No disk, no clock, no config file.

The columns are described by `config.Columns`; the same text gives the same rows, whatever file it came in. Columns are
looked at whole: what costs one step per cell in Python happens only to files that need it.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import rowhash, spreadsheets
from pipeline.config import Columns, Feature
from pipeline.errors import DataError
from pipeline.rowhash import ROW

MISSING = pa.array(["NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A"])  # spelt-out empty cells
LONGEST_MISSING = 4
MISSING_BEGINS = np.isin(np.arange(256), np.frombuffer(b"Nn#", np.uint8))
EMPTY = np.zeros(1, np.int32)
DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+")
DOTTED_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
SURELY_DECIMAL = re.compile(
    r".*\..*,\d+|[+-]?0+,\d+|.*,(\d\d?|\d{4,})|[+-]?\d{4,},\d+"
)  # no thousands look so
# Python takes any sign between date and time: 1712010112345, milliseconds since 1970, would be 1712-01-01T23:45.
ISO = re.compile(r"[0-9]{4}-?([0-9]{2}-?[0-9]{2}|W[0-9]{2}-?[0-9])([Tt ].+)?")
WHICH_COMMA = 'not a number: is its comma a decimal one? Then say `decimal: ","` in paths.source'


class MissingColumns(DataError):
    """The table has not the columns of the config; the whole file is set aside."""


@dataclass(frozen=True)
class Notation:
    """How numbers and dates are written, where that can't be recognised."""

    decimal: str | None = None
    date_formats: tuple[str, ...] = ()  # as for strptime, tried in this order after ISO 8601


PLAIN = Notation()


@dataclass(frozen=True)
class Flaw:
    """Why a row can't be used: its position in the table, the cell, what is wrong with it, and the id it is about."""

    position: int
    column: str
    value: str
    reason: str
    identity: str = ""


@dataclass(frozen=True)
class Cleaned:
    """The typed rows in config order (and `_row`, their hash), the flaws of the others, and what was changed.

    `positions` tells which row of the raw table each one was, `hashes` are those of `_row` as numbers, shape (2, rows).
    """

    rows: pa.Table
    hashes: np.ndarray
    positions: np.ndarray
    flaws: list[Flaw]
    formatting_changes: int


def clean(
    cells: pa.Table,
    columns: Columns,
    task: str,
    labelled: bool = True,
    only: Collection[str] | None = None,
    notation: Notation = PLAIN,
    salt: str = "",
    has: Sequence[str] = (),
    required: Collection[str] = (),
) -> Cleaned:
    """Type and check a table of text, or of columns that have types already.

    Raise MissingColumns if a column of the config (of `only`, if given) is missing. A row with any flaw is left out;
    its first flaw is told. With `labelled` false the target column may be missing. `has` are all columns of the
    file, to be told if one is missing; `salt` is for the hashes; in the columns of `required` no cell may be empty.
    """
    wanted = [name for name in columns.all if only is None or name in only]
    cells, changes = _renamed(cells, columns, wanted, labelled, has)
    described = kinds(columns, task)
    described |= {name: described[name].model_copy(update={"nullable": False}) for name in required}
    found = {name: _typed(_whole(cells[name]), described[name], notation) for name in wanted}
    if notation.decimal is None and any(found[name].commas for name in wanted):
        found |= _with_commas(
            cells, {name: found[name] for name in wanted if described[name].type == "number"}
        )
    flaws: dict[int, Flaw] = {}
    for name, column in found.items():
        changes += column.changed
        for position, reason in [*column.wrong, *_outside(column.values, described[name])]:
            if position not in flaws:
                identity = _shown(cells[columns.id], position)
                flaws[position] = Flaw(position, name, _shown(cells[name], position), reason, identity)
    typed = {name: column.values for name, column in found.items()}
    rows = pa.table(typed)
    positions = np.arange(len(rows))
    if flaws:
        keep = np.ones(len(rows), bool)
        keep[list(flaws)] = False
        rows, positions = rows.filter(pa.array(keep)), np.flatnonzero(keep)
    hashes = rowhash.row_hashes(rows, salt)
    rows = rows.append_column(ROW, rowhash.column_of(hashes))
    return Cleaned(rows, hashes, positions, [flaws[position] for position in sorted(flaws)], changes)


def _shown(cells: pa.ChunkedArray, position: int) -> str:
    cell = cells[position].as_py()
    return "" if cell is None else str(cell)


def empty(columns: Columns, task: str) -> pa.Table:
    """Give a table of the right columns without rows."""
    nothing = pa.array([], pa.string())
    return clean(
        pa.table(dict.fromkeys(columns.all, nothing)), columns.model_copy(update={"rename": {}}), task
    ).rows


def kinds(columns: Columns, task: str) -> dict[str, Feature]:
    """Give for every column of the table what its cells are."""
    target = columns.target
    label = Feature.model_construct(
        type="category" if task == "classification" else "number",
        min=target.min if task == "regression" else None,
        max=target.max if task == "regression" else None,
        allowed=target.allowed,
    )
    time = {columns.time: Feature(type="date", nullable=False)} if columns.time else {}
    identity = Feature(type="category", nullable=False)
    return {columns.id: identity, **time, target.name: label, **columns.features}


def spellings(columns: Columns, only: Collection[str] | None = None) -> set[str]:
    """Give the names under which the columns (those of `only`, if given) may stand in a file."""
    wanted = set(columns.all if only is None else only)
    return wanted | {spelt for spelt, name in columns.rename.items() if name in wanted}


def _missing_columns(lacking: Sequence[str], has: Sequence[str]) -> MissingColumns:
    """Give the error for a file that lacks columns and has these."""
    some = ", ".join(name[:50] for name in has[:12]) + (", ..." if len(has) > 12 else "")
    return MissingColumns(f"missing column(s) {', '.join(lacking)}; it has {some}")


def _renamed(
    cells: pa.Table, columns: Columns, wanted: list[str], labelled: bool, has: Sequence[str]
) -> tuple[pa.Table, int]:
    """Give the wanted columns, named as in the config, and how many were called otherwise."""
    trimmed = [name.strip() for name in cells.column_names]
    names = [columns.rename.get(name, name) for name in trimmed]
    target = columns.target.name
    if not labelled and target in wanted and target not in names:
        cells = cells.append_column(target, pa.nulls(len(cells), pa.string()))
        names.append(target)
    lacking = [name for name in wanted if name not in names]
    if lacking:
        raise _missing_columns(lacking, has or names)
    twice = [name for name in wanted if names.count(name) > 1]
    if twice:
        raise MissingColumns(f"column(s) {', '.join(twice)} there twice after renaming")
    renamed = sum(name in wanted and name not in trimmed for name in names)
    return cells.rename_columns(names).select(wanted), renamed


Flaws = list[tuple[int, str]]  # position in the table, reason


@dataclass(frozen=True)
class _Column:
    """The values of a column, what is wrong, how many cells were written otherwise, and if any had a decimal comma."""

    values: pa.Array
    wrong: Flaws
    changed: int = 0
    commas: bool = False


def _typed(cells: pa.Array, kind: Feature, notation: Notation) -> _Column:
    if NATIVE[kind.type](cells.type):
        return _native(cells, kind.type)
    if not pa.types.is_string(cells.type):
        cells = _as_text(cells)
    if kind.type == "number" and notation.decimal != "," and not _has_odd_bytes(cells):
        values = _plain_numbers(cells)
        if values is not None:
            return _Column(values, [])
    trimmed, changed = _trimmed(cells)
    values, wrong, converted = TYPES[kind.type](trimmed, notation)
    return _Column(values, wrong, changed + converted, kind.type == "number" and converted > 0)


def _with_commas(cells: pa.Table, numbers: dict[str, _Column]) -> dict[str, _Column]:
    """Give the number columns anew of a file where one surely has decimal commas: 1.234 is a thousand there.

    A column with a point that can be no sign of thousands stays as it was.
    """
    comma = Notation(decimal=",")
    found = {}
    for name, before in numbers.items():
        texts = cells[name]
        if (
            before.commas
            or not pa.types.is_string(texts.type)
            or not (_bytes_of(_whole(texts)) == ord(".")).any()
        ):
            continue
        again = _typed(_whole(texts), Feature(type="number"), comma)
        if len(again.wrong) <= len(before.wrong):
            found[name] = again
    return found


def _native(cells: pa.Array, kind: str) -> _Column:
    """Take numbers and moments as they are; NaN is missing, what is infinite is a flaw."""
    if kind == "date":
        moments = (
            cells.cast(pa.timestamp("us", cells.type.tz)) if pa.types.is_timestamp(cells.type) else cells
        )
        return _Column(moments.cast(pa.timestamp("us")), [])
    values = cells.cast(pa.float64(), safe=False)
    values = pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)
    finite = pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
    return _Column(finite, _lost(values, finite, "not a finite number"))


NATIVE = {
    "number": lambda kind: (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    ),
    "date": lambda kind: pa.types.is_timestamp(kind) or pa.types.is_date(kind),
    "category": lambda kind: False,
}


def _as_text(cells: pa.Array) -> pa.Array:
    """Give typed cells as the text they would be in a CSV."""
    if pa.types.is_date(cells.type):
        return pc.strftime(cells.cast(pa.timestamp("s")), format="%Y-%m-%d")
    if pa.types.is_timestamp(cells.type):
        return pc.replace_substring(pc.strftime(cells, format="%Y-%m-%dT%H:%M:%S"), ".000000", "")
    return cells.cast(pa.string())


def _trimmed(cells: pa.Array) -> tuple[pa.Array, int]:
    """Give the cells without spaces around them, missing ones as null, and how many were written otherwise."""
    after, changed = cells, None
    if _has_odd_bytes(cells):
        after = pc.utf8_trim_whitespace(cells)
        changed = pc.not_equal(cells, after)
    if _may_be_missing(after):
        lengths = pc.binary_length(after)
        missing = pc.or_(pc.equal(lengths, 0), pc.is_in(after, MISSING))
        spelt = pc.and_(missing, pc.not_equal(pc.binary_length(cells), 0))
        changed = spelt if changed is None else pc.or_(changed, spelt)
        after = pc.if_else(missing, pa.scalar(None, pa.string()), after)
    return after, 0 if changed is None else pc.sum(changed).as_py() or 0


def _has_odd_bytes(cells: pa.Array) -> bool:
    """Say whether there is any byte that may be of a space: a control character, a blank, or no ASCII at all."""
    data = _bytes_of(cells)
    return bool(len(data)) and bool(((data - np.uint8(0x21)) >= np.uint8(0x7F - 0x21)).any())


def _may_be_missing(cells: pa.Array) -> bool:
    """Say whether any cell is empty, or so short and begins in such a way that it may be a word for a missing one."""
    data, ends = _bytes_of(cells), _ends_of(cells)
    lengths = np.diff(ends)
    if not lengths.all():
        return True
    firsts = data[ends[:-1] - ends[0]]
    return bool((MISSING_BEGINS[firsts] & (lengths <= LONGEST_MISSING)).any())


def _ends_of(cells: pa.Array) -> np.ndarray:
    """Give where in the buffer each text begins, and where the last one ends."""
    return (
        np.frombuffer(cells.buffers()[1], np.int32, len(cells) + 1, 4 * cells.offset) if len(cells) else EMPTY
    )


def _bytes_of(cells: pa.Array) -> np.ndarray:
    """Give the bytes of all texts in a column, one after the other."""
    if not len(cells) or cells.buffers()[2] is None:
        return np.empty(0, np.uint8)
    ends = _ends_of(cells)
    return np.frombuffer(cells.buffers()[2], np.uint8, int(ends[-1] - ends[0]), int(ends[0]))


def _plain_numbers(cells: pa.Array) -> pa.Array | None:
    """Give the numbers of cells that are all finite ones; None if any is something else, or missing."""
    try:
        values = cells.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return values if np.isfinite(values.to_numpy(zero_copy_only=False)).all() else None


def to_numbers(cells: pa.Array, notation: Notation = PLAIN) -> tuple[pa.Array, Flaws, int]:
    """Give finite 64-bit floats; text that is none is a flaw. Decimal commas are taken where nothing else is meant."""
    if notation.decimal != ",":
        try:
            values = cells.cast(pa.float64())
            finite = pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
            return finite, _lost(cells, finite, "not a number"), 0
        except pa.ArrowInvalid:
            pass
    found, reasons, commas = _numbers(cells, notation.decimal)
    return *_each(cells, found, reasons, pa.float64()), _count_in(cells, commas)


def _numbers(
    cells: pa.Array, decimal: str | None
) -> tuple[dict[str | None, float | None], dict[str, str], set[str]]:
    """Give for each distinct text its number, for each that is none the reason, and which had a decimal comma."""
    texts = [text for text in pc.unique(cells).to_pylist() if text is not None]
    comma = {text for text in texts if DECIMAL_COMMA.fullmatch(text)}
    dotted = {
        text for text in texts if DOTTED_THOUSANDS.fullmatch(text)
    }  # or fractions, if no comma is a decimal one
    other = set(texts) - comma - dotted
    points = decimal != "," and any("." in text and _number(text) is not None for text in other)
    sure = decimal == "," or (decimal is None and not points and any(map(SURELY_DECIMAL.fullmatch, comma)))
    comma |= dotted if sure else set()
    found: dict[str | None, float | None] = {None: None}
    reasons = {}
    for text in texts:
        if sure and text in comma:
            found[text] = _number(text.replace(".", "").replace(",", "."))
        else:
            found[text] = None if decimal == "," and "." in text else _number(text)
        if found[text] is None:
            unsure = text in comma and decimal is None and not points
            reasons[text] = WHICH_COMMA if unsure else "not a number"
    return found, reasons, comma if sure else set()


def _number(text: str) -> float | None:
    try:
        number = None if "_" in text else float(text)
    except ValueError:
        return None
    return number if number is not None and np.isfinite(number) else None


def to_dates(cells: pa.Array, notation: Notation = PLAIN) -> tuple[pa.Array, Flaws, int]:
    """Give timestamps (UTC where the text has a zone) of ISO 8601 dates and times, or of a configured format."""
    kind = pa.timestamp("us")
    encoded = cells.dictionary_encode()
    try:
        values = encoded.dictionary.cast(kind)
        values = pc.if_else(pc.less(values, pa.scalar(datetime.min, kind)), pa.scalar(None, kind), values)
        found = values.take(encoded.indices)
        if not values.null_count:
            return found, [], 0
    except pa.ArrowInvalid:
        pass
    moments: dict[str | None, datetime | None] = {None: None}
    other = set()
    for text in encoded.dictionary.to_pylist():
        moments[text] = _iso_moment(text)
        if moments[text] is None:
            moments[text] = next(filter(None, (_moment(text, form) for form in notation.date_formats)), None)
            other.add(text)
    reason = "not a date like 2025-12-31 or 2025-12-31T23:59:59"
    if not notation.date_formats:
        reason += "; name another way to write them in cleaning.date_formats"
    reasons = {text: reason for text in moments if text is not None and moments[text] is None}
    changed = _count_in(cells, other - set(reasons))
    return *_each(cells, moments, reasons, kind), changed


def _iso_moment(text: str) -> datetime | None:
    if not ISO.fullmatch(text):
        return None
    try:
        return _in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):  # an hour beyond the last year there is
        return None


def _moment(text: str, form: str) -> datetime | None:
    try:
        return _in_utc(datetime.strptime(text, form))
    except (ValueError, OverflowError):
        return None


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def to_categories(cells: pa.Array, notation: Notation = PLAIN) -> tuple[pa.Array, Flaws, int]:
    """Give the text; whole numbers in one spelling, so that 1 and 1.0 are one category, formulas as they were."""
    meant = spreadsheets.as_meant(cells)
    changed = 0 if meant is cells else pc.sum(pc.not_equal(cells, meant)).as_py() or 0
    cells = meant
    if (_bytes_of(cells) == ord(".")).any():
        cells = pc.replace_substring_regex(cells, r"^(-?[0-9]+)\.0+$", r"\1")
    return cells, [], changed


TYPES = {
    "number": to_numbers,
    "date": to_dates,
    "category": to_categories,
}


def _each(cells: pa.Array, found: dict, reasons: dict[str, str], kind: pa.DataType) -> tuple[pa.Array, Flaws]:
    """Give the value of every cell and the flaws, from those of each distinct text."""
    texts = cells.to_pylist()
    wrong = [(position, reasons[text]) for position, text in enumerate(texts) if text in reasons]
    return pa.array([found[text] for text in texts], kind), wrong


def _count_in(cells: pa.Array, texts: set[str]) -> int:
    return pc.sum(pc.is_in(cells, pa.array(sorted(texts), pa.string()))).as_py() or 0 if texts else 0


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Give a column in one piece, starting at the first byte of its buffers or not."""
    whole = column.combine_chunks()
    return (
        whole
        if isinstance(whole, pa.Array)
        else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    )


def _lost(cells: pa.Array, values: pa.Array, reason: str) -> Flaws:
    """Give the positions where there was text and is no value."""
    if cells.null_count == values.null_count:
        return []
    lost = pc.and_(cells.is_valid(), values.is_null())
    return [(position, reason) for position in pc.indices_nonzero(lost).to_pylist()]


def _outside(values: pa.Array, kind: Feature) -> Flaws:
    """Give the positions of values that the column's contract rules out, and of missing ones it doesn't allow."""
    flaws: Flaws = []
    if (kind.min, kind.max) != (None, None):
        ends = pc.min_max(values)
        if kind.min is not None and (ends["min"].as_py() or 0) < kind.min:
            flaws += _where(pc.less(values, kind.min), f"below the minimum {kind.min:g}")
        if kind.max is not None and (ends["max"].as_py() or 0) > kind.max:
            flaws += _where(pc.greater(values, kind.max), f"above the maximum {kind.max:g}")
    if kind.allowed:
        known = to_categories(pa.array(kind.allowed, pa.string()))[0]
        listed = ", ".join(kind.allowed[:8]) + (", ..." if len(kind.allowed) > 8 else "")
        other = pc.and_(pc.invert(pc.is_in(values, known)), values.is_valid())
        flaws += _where(other, f"not one of {listed}")
    if not kind.nullable and values.null_count:
        flaws += _where(values.is_null(), "empty")
    return flaws


def _where(mask: pa.Array, reason: str) -> Flaws:
    return [(position, reason) for position in pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()]
