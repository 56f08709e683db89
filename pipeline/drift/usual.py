"""What has become usual since the training data, for `integrity`: learnt from every file that was found good.

Rows of the real world have an order. A temperature climbs into summer, a new product sells for months, on a holiday
a day's cells are all alike; beside the first months none of it was ever seen, and the rest of the year would be bad
data. So each good file widens what is usual, for the next to be compared with: what creeps is drift, and is judged as
drift; what jumps is bad data, until as many files in a row have come alike as are found good then.
"""

from collections.abc import Collection, Mapping
from typing import Any

from pipeline.drift.integrity import LEAST_ROWS, STRANGE
from pipeline.drift.sketches import GRID, NUMERIC, Observed, Seen, reach

MOST_NAMES = 50  # new categories that are remembered of a column, the newest
EDGE = int(STRANGE * GRID)  # of the kept quantiles: beyond it are so few rows that they may be strange

Usual = Mapping[str, Mapping[str, Any]]  # by column: `alike`, and `low` and `high` or `names`


def widened(kept: Mapping[str, Any], usual: Usual) -> dict[str, Any]:
    """Give the sketch as the rules should see it, with what has become usual since. It is for them alone."""
    return {
        **kept,
        "columns": {name: _wider(column, usual.get(name)) for name, column in kept["columns"].items()},
    }


def _wider(column: Mapping[str, Any], since: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if since is None:
        return column
    alike = max(column.get("alike", 0), since["alike"])
    if column["kind"] not in NUMERIC:
        return {
            **column,
            "alike": alike,
            "counts": dict.fromkeys(since.get("names", []), 0) | column["counts"],
        }
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


def _after(since: Mapping[str, Any], column: Mapping[str, Any], seen: Seen, jumped: bool) -> dict[str, Any]:
    present = seen.rows - seen.missing
    found: dict[str, Any]
    if seen.categories is not None:
        new = [name for name in sorted(seen.categories) if name not in column["counts"]]
        alone, found = len(seen.categories) == 1, {"names": [*since.get("names", []), *new][-MOST_NAMES:]}
    else:
        alone = seen.low is not None and seen.low == seen.high and not seen.infinite
        found = {**since, **_ends(since, column, seen, jumped)}
    return {**found, "alike": max(present if alone else 0, since.get("alike", 0))}


def _ends(since: Mapping[str, Any], column: Mapping[str, Any], seen: Seen, jumped: bool) -> dict[str, float]:
    """Give the new ends of a column's range: one file moves each no further than `reach`, unless all of it jumped."""
    if seen.quantiles is None or seen.low is None or seen.high is None or not column["values"]:
        return {}
    least, most = (seen.low, seen.high) if jumped else reach(column)
    low, high = max(least, float(seen.quantiles[EDGE])), min(most, float(seen.quantiles[-1 - EDGE]))
    return {"low": min(low, since.get("low", low)), "high": max(high, since.get("high", high))}
