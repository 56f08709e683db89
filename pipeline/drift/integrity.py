"""Is a batch fit to be judged and scored at all? Rules that say "bad data": a broken export, a unit, a lost join.

A rule that could fire by chance asks how surprising the batch is beside the training data: if both are drawn alike,
then of the K + k odd rows among all N + n at most so many fall into the batch as a hypergeometric variable gives, and
(Hoeffding 1963) P(k or more) <= exp(-n D(k/n || (K + k)/(N + n))), D being the Kullback-Leibler divergence. That holds
for any size of either. A rule fires where this is below `ALPHA` / (`TICKS` * columns * `CHANCY`), so all rules
together fire in at most 5 % of decades of daily batches of good data.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.drift.sketches import Observed, Seen, reach, reference_counts, sizes, value_name
from pipeline.drift.verdicts import Verdict, no_verdict

ALPHA, TICKS = 0.05, 3650
LEAST_ROWS = 20  # as few rows as that may all be alike, or all be odd
JUMP = 0.05  # of the rows: a smaller rise of missing cells is none to stop for
STRANGE = 0.01  # of the rows, with new categories or out of range


def check(kept: Mapping[str, Any], observed: Observed) -> list[Verdict]:
    """Give what each rule says of each column of a batch, what is wrong first. A rule that can't judge says why."""
    names = len(kept["columns"])
    found = [too_few_rows(observed)]
    for name, column in kept["columns"].items():
        seen = observed.columns[name]
        if column["kind"] == "target":
            found.append(one_class(name, column, seen, names))
        elif seen.trouble or not seen.rows:
            found.append(column_unusable(name, seen))
        else:
            found += [rule for rules in RULES[column["kind"]] for rule in rules(name, column, seen, names)]
    return sorted(found, key=lambda verdict: (not verdict.drifted, verdict.threshold is not None))


def limit(columns: int) -> float:
    """Give the level of one rule for one column and one batch."""
    return ALPHA / (TICKS * max(columns, 1) * CHANCY)


def surprise(odd: int, rows: int, odd_before: float, rows_before: int) -> float:
    """Give a bound of the probability that a batch has so many odd rows (or more) if it is like the rows before."""
    share, usual = odd / rows, (odd + odd_before) / (rows + rows_before)
    if share <= usual:
        return 1.0
    divergence = share * math.log(share / usual)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - usual))
    return math.exp(-rows * divergence)


def too_few_rows(observed: Observed) -> Verdict:
    """Bad if there is no row. Fewer than `LEAST_ROWS` can't be judged by the rules of one value or class."""
    if not observed.rows:
        return Verdict("too_few_rows", True, 0.0, 1.0, "the batch has no rows, or none of the columns")
    if observed.rows < LEAST_ROWS:
        return no_verdict("too_few_rows", f"{observed.rows} rows, and {LEAST_ROWS} are needed to judge them")
    return Verdict("too_few_rows", False, float(observed.rows), float(LEAST_ROWS), f"{observed.rows:,} rows")


def column_unusable(name: str, seen: Seen) -> Verdict:
    """Bad if a column is gone, or holds text where numbers were."""
    if seen.trouble:
        return Verdict("column_unusable", True, 0.0, 1.0, f"{name}: {seen.trouble}", name)
    return no_verdict("column_unusable", f"{name}: the batch has no rows", name)


def missing_jumped(name: str, column: Mapping[str, Any], seen: Seen, columns: int) -> Iterator[Verdict]:
    """Bad if `JUMP` more of the rows than before are missing, and surprisingly many; `all_missing` if all are."""
    share, before = seen.missing / seen.rows, column["missing"] / max(column["rows"], 1)
    chance = surprise(seen.missing, seen.rows, column["missing"], column["rows"])
    bad = share - before >= JUMP and chance < limit(columns)
    rule = "all_missing" if seen.missing == seen.rows else "missing_jumped"
    why = f"{name}: {seen.missing} of {seen.rows} cells missing ({share:.1%}, was {before:.1%}){_by(chance)}"
    yield Verdict(rule, bad, chance, limit(columns), why, name)


def infinities(name: str, column: Mapping[str, Any], seen: Seen, columns: int) -> Iterator[Verdict]:
    """Bad if any number is infinite (or beyond 1e30) and none was: no chance needed."""
    bad = seen.infinite > 0 and not column["infinite"]
    why = f"{name}: {seen.infinite} infinite numbers, {column['infinite']} in the training data"
    yield Verdict("infinities", bad, float(seen.infinite), 1.0, why, name)


def out_of_range(name: str, column: Mapping[str, Any], seen: Seen, columns: int) -> Iterator[Verdict]:
    """Bad if surprisingly many rows are further than `sketches.BEYOND` of the range beyond what was ever seen."""
    present = seen.rows - seen.missing
    if not present:
        return
    if not column["values"]:
        yield no_verdict("out_of_range", f"{name}: no numbers in the training data", name)
        return
    low, high = reach(column)
    chance = surprise(seen.beyond, present, 0, column["rows"] - column["missing"])
    bad = seen.beyond / present >= STRANGE and chance < limit(columns)
    why = f"{name}: {seen.beyond} of {present} numbers beyond {low:.4g} to {high:.4g}{_by(chance)}"
    yield Verdict("out_of_range", bad, chance, limit(columns), why, name)


def shrunk(name: str, column: Mapping[str, Any], seen: Seen, columns: int) -> Iterator[Verdict]:
    """Bad if most numbers that aren't 0 are `sketches.SMALLER` times smaller than the usual one, and surprisingly so.

    What comes in a larger unit stays in the range. Where there were negative numbers, or now are, it can't be told.
    """
    before = sizes(column)
    if before is None or not seen.sizes:
        return
    if seen.sizes < LEAST_ROWS:
        yield no_verdict("shrunk", f"{name}: {seen.sizes} numbers other than 0 of {LEAST_ROWS} needed", name)
        return
    chance = surprise(seen.small, seen.sizes, before.small, before.rows)
    bad = 2 * seen.small > seen.sizes and chance < limit(columns)
    told = (
        f"{seen.small} of {seen.sizes} numbers below {before.least:.4g}, half were {before.usual:.4g} or more"
    )
    yield Verdict("shrunk", bad, chance, limit(columns), f"{name}: {told}{_by(chance)}", name)


def constant(name: str, column: Mapping[str, Any], seen: Seen, columns: int) -> Iterator[Verdict]:
    """Bad if all values are the same, and surprisingly so: the training data have others.

    None is surprised where that value came before for at least half as many rows in a row, or, if it is new, any did.
    """
    present = seen.rows - seen.missing
    if not present:
        return
    if present < LEAST_ROWS:
        yield no_verdict("constant", f"{name}: {present} values of {LEAST_ROWS} needed", name)
        return
    alone = (
        seen.low == seen.high and not seen.infinite if seen.categories is None else len(seen.categories) == 1
    )
    usual, before = _like(column, seen), column["rows"] - column["missing"]
    chance = min(1.0, len(seen.counts) * surprise(present, present, usual, before)) if alone else 1.0
    lasted = _lasted(column, seen) if alone else 0
    if alone and present <= 2 * lasted:
        chance, told = 1.0, f"all values are the same, as {lasted} in a row were before"
    else:
        told = "all values are the same" if alone else "its values differ"
    bad = chance < limit(columns)
    yield Verdict("constant", bad, chance, limit(columns), f"{name}: {told}{_by(chance)}", name)


def _lasted(column: Mapping[str, Any], seen: Seen) -> int:
    """Give for how many rows in a row the batch's only value lasted before; if it is new, how many any did."""
    alike: Mapping[str, int] = column.get("alike", {})
    name = value_name(seen.low) if seen.categories is None else next(iter(seen.categories))
    if name in alike:
        return alike[name]
    if seen.categories is None:
        new = (
            bool(seen.beyond)
            or not column["values"]
            or not _ends(column)[0] <= (seen.low or 0.0) <= _ends(column)[1]
        )
    else:
        new = name not in column["counts"] and not column["other"]
    return max(alike.values(), default=0) if new else 0


def _ends(column: Mapping[str, Any]) -> tuple[float, float]:
    return column["values"][0], column["values"][-1]


def _like(column: Mapping[str, Any], seen: Seen) -> int:
    """Give how many training rows may have the batch's only value: those of its bin, or its category."""
    counts = reference_counts(column)
    if seen.categories is None:
        return int(counts[:-1][seen.counts[:-1] > 0].sum())
    return sum(column["counts"].get(category, column["other"]) for category in seen.categories)


def new_categories(name: str, column: Mapping[str, Any], seen: Seen, columns: int) -> Iterator[Verdict]:
    """Bad if surprisingly many rows have categories never seen.

    As many as once-seen ones in the training data are to be expected (Good 1953); of ids they are most rows. Where
    rare categories were not all kept by name it can't be told.
    """
    present = seen.rows - seen.missing
    if not present:
        return
    if column["other"]:
        yield no_verdict(
            "new_categories", f"{name}: too many categories ({column['distinct']}) to know all", name
        )
        return
    unknown = {one: count for one, count in (seen.categories or {}).items() if one not in column["counts"]}
    rows = sum(unknown.values())
    chance = surprise(rows, present, column["once"], column["rows"] - column["missing"])
    bad = rows / present >= STRANGE and chance < limit(columns)
    some = ", ".join(sorted(unknown, key=lambda one: (-unknown[one], one))[:5])
    told = (
        f"{rows} of {present} rows have {len(unknown)} new categories ({some})" if unknown else "none is new"
    )
    yield Verdict("new_categories", bad, chance, limit(columns), f"{name}: {told}{_by(chance)}", name)


def one_class(name: str, column: Mapping[str, Any], seen: Seen, columns: int) -> Verdict:
    """Bad if all known outcomes are the same, and surprisingly so."""
    labelled = seen.rows - seen.missing
    if seen.trouble or labelled < LEAST_ROWS:
        return no_verdict("one_class", f"{name}: {seen.trouble or f'{labelled} known outcomes'}", name)
    ((most, number),) = sorted((seen.categories or {}).items(), key=lambda item: -item[1])[:1]
    alone = number == labelled
    before = column["rows"] - column["missing"]
    usual = column["counts"].get(most, 0)
    chance = min(1.0, len(seen.counts) * surprise(number, labelled, usual, before)) if alone else 1.0
    told = f"all {labelled} known outcomes are {most}" if alone else f"{len(seen.categories or {})} outcomes"
    return Verdict(
        "one_class", chance < limit(columns), chance, limit(columns), f"{name}: {told}{_by(chance)}", name
    )


def _by(chance: float) -> str:
    return "" if chance > 0.01 else f", by chance with a probability below {max(chance, 1e-99):.0e}"


RULES = {
    "number": (missing_jumped, infinities, out_of_range, shrunk, constant),
    "date": (missing_jumped, infinities, constant),  # time goes on: a date may be later than all before
    "category": (missing_jumped, new_categories, constant),
    "target number": (infinities, out_of_range, shrunk, constant),  # what is missing is known later
}
CHANCY = 4  # rules of a column that could fire by chance
