"""What has become usual since the training data, for `integrity`: learnt from every file that was found good.

Rows of the real world have an order. A temperature climbs into summer, a new product sells for months, on a holiday
a day's cells are all alike; beside the first months none of it was ever seen, and the rest of the year would be bad
data. So each good file widens what is usual, for the next to be compared with: what creeps is drift, and is judged as
drift; what jumps is bad data, until as many files in a row have come alike as are found good then.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline.drift.integrity import LEAST_ROWS, STRANGE
from pipeline.drift.sketches import GRID, NUMERIC, Observed, Seen, reach, value_name

MOST_NAMES = 50  # new categories that are remembered of a column, those seen last
TIMES = 5  # as far, the range itself counted: what comes after a bad file isn't like it any more
STEPPED_OVER = (
    3  # rows at either end of a column that may be strange in any file, or as many as `STRANGE` allows
)

Usual = Mapping[str, Mapping[str, Any]]  # by column: `kind`, `alike`, and `low` and `high` or `names`


def widened(kept: Mapping[str, Any], usual: Usual) -> dict[str, Any]:
    """Give the sketch as the rules should see it, with what has become usual since. It is for them alone."""
    return {
        **kept,
        "columns": {name: _wider(column, usual.get(name, {})) for name, column in kept["columns"].items()},
    }


def _wider(column: Mapping[str, Any], since: Mapping[str, Any]) -> Mapping[str, Any]:
    if since.get("kind") != column["kind"]:
        return column
    alike = {**column.get("alike", {})}
    for name, rows in since["alike"].items():
        alike[name] = max(rows, alike.get(name, 0))
    if column["kind"] not in NUMERIC:
        names = {} if column["other"] else dict.fromkeys(since["names"], 0)
        return {**column, "alike": alike, "counts": names | column["counts"]}
    if "low" not in since or not column["values"]:
        return {**column, "alike": alike}
    low, high = min(column["values"][0], since["low"]), max(column["values"][-1], since["high"])
    return {**column, "alike": alike, "low": low, "high": high}


def taken_in(
    usual: Usual, kept: Mapping[str, Any], observed: Observed, fired: Collection[tuple[str, Any]]
) -> Usual:
    """Give what is usual once a file was found good. `fired` are the rules and columns that hold no more.

    `kept` is the sketch as `widened` gave it. A file of few rows changes nothing, nor do few strange rows of a file.
    """
    found = {
        name: _after(usual.get(name, {}), column, observed.columns[name], ("out_of_range", name) in fired)
        for name, column in kept["columns"].items()
        if observed.columns[name].rows - observed.columns[name].missing >= LEAST_ROWS
    }
    return {**usual, **found}


def how_far(kept: Mapping[str, Any], observed: Observed) -> dict[str, tuple[float, float]]:
    """Give by column of numbers how far a file reaches below and above what is usual, in widths of that range.

    `kept` is the sketch as `widened` gave it. Columns with few numbers, which say little, are left out.
    """
    found = {}
    for name, column in kept["columns"].items():
        seen = observed.columns[name]
        ends = _ends({}, column, seen, True) if seen.rows - seen.missing >= LEAST_ROWS else {}
        if ends:
            low, high = column.get("low", column["values"][0]), column.get("high", column["values"][-1])
            width = (high - low) or abs(high) or 1.0
            found[name] = max(low - ends["low"], 0.0) / width, max(ends["high"] - high, 0.0) / width
    return found


def another_range(one: Sequence[float], other: Sequence[float]) -> bool:
    """Say whether of two files, by `how_far` each reaches, one reaches `TIMES` as far as the other, at either end."""
    return any((1 + max(pair)) > TIMES * (1 + min(pair)) for pair in zip(one, other, strict=True))


def _after(since: Mapping[str, Any], column: Mapping[str, Any], seen: Seen, jumped: bool) -> dict[str, Any]:
    if since.get("kind") != column["kind"]:
        since = {}
    alike, found = {**since.get("alike", {})}, {"kind": column["kind"]}
    if (only := _only_value(seen)) is not None:
        alike[only] = max(seen.rows - seen.missing, alike.pop(only, 0))
    found["alike"] = dict(list(alike.items())[-MOST_NAMES:])
    if seen.categories is not None:
        found["names"] = _names(since.get("names", []), column, seen.categories)
        return found
    return (
        found
        | {end: since[end] for end in ("low", "high") if end in since}
        | _ends(since, column, seen, jumped)
    )


def _only_value(seen: Seen) -> str | None:
    if seen.categories is not None:
        return next(iter(seen.categories)) if len(seen.categories) == 1 else None
    return (
        value_name(seen.low) if seen.low is not None and seen.low == seen.high and not seen.infinite else None
    )


def _names(before: list[str], column: Mapping[str, Any], seen: Mapping[str, int]) -> list[str]:
    """Give the categories to remember, those seen last at the end. Where rare ones aren't known none are needed."""
    if column["other"]:
        return []
    new = sorted((name for name in seen if name not in column["counts"]), key=lambda name: (seen[name], name))
    quiet, again = [name for name in before if name not in seen], [name for name in before if name in seen]
    return [*quiet, *(name for name in new if name not in before), *again][-MOST_NAMES:]


def _ends(since: Mapping[str, Any], column: Mapping[str, Any], seen: Seen, jumped: bool) -> dict[str, float]:
    """Give the new ends of a column's range: one file moves each no further than `reach`, unless all of it jumped."""
    if seen.quantiles is None or seen.low is None or seen.high is None or not column["values"]:
        return {}
    present = seen.rows - seen.missing
    edge = max(int(STRANGE * GRID), math.ceil(STEPPED_OVER * GRID / present) - 1)
    low, high = (min(max(float(seen.quantiles[at]), seen.low), seen.high) for at in (edge, -1 - edge))
    if not jumped:
        least, most = reach(column)
        low, high = max(low, least), min(high, most)
    return {"low": min(low, since.get("low", low)), "high": max(high, since.get("high", high))}
