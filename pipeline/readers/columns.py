"""Python values as typed columns, for the formats whose values have types."""

import math
from collections.abc import Sequence
from datetime import date, datetime

import pyarrow as pa

WHOLE = 2**53  # up to here every whole number is a 64-bit float
LARGEST = 2**63  # below this a whole number is an int64
TYPES = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    datetime: pa.timestamp("us"),
    date: pa.date32(),
}


def column(values: Sequence) -> pa.Array:
    """Give values of one type as a column of that type, all others as plain text; None is a missing cell.

    Whole numbers between floats are floats if none loses a digit.
    """
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pa.nulls(len(values), pa.string())
    if int in kinds and not all(-LARGEST <= v < LARGEST for v in values if type(v) is int):
        kinds.add(str)
    if kinds == {int, float} and all(abs(v) <= WHOLE for v in values if type(v) is int):
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    if len(kinds) == 1 and (kind := TYPES.get(*kinds)) is not None:
        return pa.array(values, kind)
    return pa.array([None if value is None else plain(value) for value in values], pa.string())


def plain(value: object) -> str:
    """Give the value as a person would write it: 1 for 1.0, true, 2025-12-31; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        whole = math.isfinite(value) and value.is_integer() and abs(value) <= WHOLE
        return str(int(value)) if whole else repr(value)
    if isinstance(value, datetime):
        midnight = value.tzinfo is None and value.time() == datetime.min.time()
        return (value.date() if midnight else value).isoformat()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def broken(text: str) -> bool:
    """Tell whether a text holds half a character (a lone surrogate), which no file in UTF-8 can."""
    return not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text)
