"""Merging: sources of different frequencies become one row per key, the same whatever order their rows came in."""

import hashlib
import itertools
import math
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.merging import (
    AGGREGATES,
    FILE,
    FILES,
    FREQUENCIES,
    ROW,
    Part,
    check,
    joined,
    origin,
    periods,
    resampled,
)

ROOT = Path(__file__).resolve().parents[1]
KINDS = {
    "id": pa.string(),
    "day": pa.timestamp("us"),
    "x": pa.float64(),
    "y": pa.float64(),
    "name": pa.string(),
}
KINDS |= {"z": pa.float64(), "rain": pa.float64()}
ON = ["id", "day"]


def table(names: str, rows: list[tuple]) -> pa.Table:
    """Make staged rows of the named columns; the last value of each is the number of its file."""
    columns = names.split()
    cells = {name: pa.array([row[i] for row in rows], KINDS[name]) for i, name in enumerate(columns)}
    hashes = [hashlib.blake2b(repr(row[:-1]).encode(), digest_size=16).digest() for row in rows]
    cells |= {FILE: pa.array([row[-1] for row in rows], pa.int64()), ROW: pa.array(hashes, pa.binary(16))}
    return pa.table(cells)


def on_day(day: int, hour: int = 0, month: int = 1) -> datetime:
    return datetime(2025, month, day, hour)


def tuples(found: pa.Table) -> list[tuple]:
    return [tuple(row.values()) for row in found.to_pylist()]


# Periods


def start_of_period(time: datetime, frequency: str) -> datetime:
    """Say it again with the calendar of the standard library."""
    midnight = datetime(time.year, time.month, time.day)
    return {
        "hour": midnight + timedelta(hours=time.hour),
        "day": midnight,
        "week": midnight - timedelta(days=time.weekday()),
        "month": datetime(time.year, time.month, 1),
        "quarter": datetime(time.year, (time.month - 1) // 3 * 3 + 1, 1),
        "year": datetime(time.year, 1, 1),
    }[frequency]


@pytest.mark.parametrize("frequency", FREQUENCIES)
@given(times=st.lists(st.datetimes(), max_size=5))
@settings(max_examples=50)
def test_a_period_starts_where_the_calendar_says_also_before_1970(frequency, times):
    found = periods(pa.array(times, pa.timestamp("us")), frequency)
    assert found.type == pa.timestamp("us")
    assert found.to_pylist() == [start_of_period(time, frequency) for time in times]


def test_a_week_starts_on_monday_and_a_missing_time_has_no_period():
    sunday, monday = datetime(2025, 3, 2, 23, 59), datetime(2025, 3, 3)
    found = periods(pa.array([sunday, monday, None], pa.timestamp("us")), "week")
    assert found.to_pylist() == [datetime(2025, 2, 24), monday, None]


def test_an_unknown_frequency_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown frequency 'fortnight'; there are hour, day, week"):
        periods(pa.array([], pa.timestamp("us")), "fortnight")


# One row per key

BY_HAND = {"sum": 9.0, "mean": 3.0, "min": 1.0, "max": 6.0, "first": 2.0, "last": 1.0}


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_an_aggregate_passes_over_missing_values_and_goes_by_time(aggregate):
    rows = table(
        "id day x",
        [
            ("a", on_day(3, 9), 6.0, 1),
            ("a", on_day(3, 23), None, 2),
            ("a", on_day(3, 12), 1.0, 3),
            ("a", on_day(3, 0), None, 3),
            ("a", on_day(3, 1), 2.0, 1),
        ],
    )
    found = resampled(rows, Part("sales", ("x",), {"x": aggregate}), ON, "day", "day")
    assert tuples(found) == [("a", on_day(3), BY_HAND[aggregate], [1, 2, 3])]


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_an_aggregate_of_nothing_known_is_missing(aggregate):
    rows = table(
        "id day x", [("a", on_day(3), None, 1), ("a", on_day(3, 1), None, 1), ("b", on_day(3), 0.0, 2)]
    )
    found = resampled(rows, Part("sales", ("x",), {"x": aggregate}), ON, "day", "day")
    assert tuples(found) == [("a", on_day(3), None, [1]), ("b", on_day(3), 0.0, [2])]


@pytest.mark.parametrize("aggregate", ["sum", "mean"])
def test_a_sum_too_large_for_a_float_is_missing_rather_than_infinite(aggregate):
    rows = table("id day x", [("a", on_day(3), 1e308, 1), ("a", on_day(3, 1), 1.5e308, 1)])
    found = resampled(rows, Part("sales", ("x",), {"x": aggregate}), ON, "day", "day")
    assert found["x"].to_pylist() == [None]


def test_a_column_takes_its_last_value_unless_told_otherwise():
    rows = table("id day x name", [("a", on_day(2), 2.0, "new", 1), ("a", on_day(1), 1.0, "old", 1)])
    found = resampled(rows, Part("sales", ("x", "name"), {"x": "sum"}), ON, "day", "month")
    assert tuples(found) == [("a", on_day(1), 3.0, "new", [1])]


def test_without_a_frequency_only_rows_of_the_very_same_key_become_one():
    rows = table(
        "id day x", [("a", on_day(1), 1.0, 1), ("a", on_day(1), 2.0, 2), ("a", on_day(1, 1), 4.0, 1)]
    )
    found = resampled(rows, Part("sales", ("x",), {"x": "sum"}), ON, "day", None)
    assert tuples(found) == [("a", on_day(1), 3.0, [1, 2]), ("a", on_day(1, 1), 4.0, [1])]


def test_a_time_that_is_no_key_still_says_which_value_is_last():
    rows = table("id day x", [("a", on_day(2), 2.0, 1), ("a", on_day(1), 1.0, 2), ("a", None, 9.0, 3)])
    found = resampled(rows, Part("clients", ("x", "day")), ["id"], "day", None)
    assert tuples(found) == [("a", 2.0, on_day(2), [1, 2, 3])]


def test_a_date_has_a_latest_value():
    rows = table("id day", [("a", on_day(2), 1), ("a", on_day(9), 2)])
    found = resampled(rows, Part("visits", ("day",), {"day": "max"}), ["id"], None, None)
    assert tuples(found) == [("a", on_day(9), [1, 2])]


def test_rows_at_the_same_time_are_told_apart_by_their_hash_and_not_by_their_file():
    rows = [("a", on_day(1), float(value), value) for value in range(8)]
    last = {
        resampled(
            table("id day x", [(*row[:-1], 8 - row[-1] if turned else row[-1]) for row in some]),
            Part("sales", ("x",)),
            ON,
            "day",
            None,
        )["x"][0].as_py()
        for some in (rows, rows[::-1])
        for turned in (False, True)
    }
    assert len(last) == 1


def test_a_slice_of_a_table_gives_what_its_rows_alone_give():
    rows = [("a", on_day(1), float(value), 1) for value in range(20)]
    part = Part("sales", ("x",))
    for start in range(19):
        alone = resampled(table("id day x", rows[start : start + 2]), part, ON, "day", None)
        assert resampled(table("id day x", rows)[start : start + 2], part, ON, "day", None).equals(alone)


def test_keys_are_told_apart_by_all_their_columns_and_zero_has_no_sign():
    rows = table(
        "x name y", [(0.0, "a", 1.0, 1), (-0.0, "a", 2.0, 2), (0.0, "b", 4.0, 3), (1.0, "a", 8.0, 4)]
    )
    found = resampled(rows, Part("sales", ("y",), {"y": "sum"}), ["x", "name"], None, None)
    assert tuples(found) == [(0.0, "a", 3.0, [1, 2]), (0.0, "b", 4.0, [3]), (1.0, "a", 8.0, [4])]
    assert math.copysign(1, found["x"][0].as_py()) == 1


def test_a_source_may_bring_no_columns_or_no_rows():
    rows = table("id day", [("a", on_day(1, 1), 1), ("a", on_day(1, 2), 2)])
    assert tuples(resampled(rows, Part("visits", ()), ON, "day", "day")) == [("a", on_day(1), [1, 2])]
    none = resampled(table("id day x", []), Part("sales", ("x",)), ON, "day", "day")
    assert none.schema.types == [pa.string(), pa.timestamp("us"), pa.float64(), pa.list_(pa.int64())]
    assert len(none) == 0


def test_a_column_named_as_an_aggregate_of_another_is_not_mistaken_for_it():
    rows = table("id x y", [("a", 1.0, 5.0, 1), ("a", 2.0, 5.0, 1)]).rename_columns(
        ["id", "x", "x_sum", FILE, ROW]
    )
    found = resampled(rows, Part("sales", ("x", "x_sum"), {"x": "sum"}), ["id"], None, None)
    assert tuples(found) == [("a", 3.0, 5.0, [1])]


# What can't be joined

WRONG = {
    "unknown frequency": (Part("s", ("x",)), ["day"], "day", "weekly", "unknown frequency 'weekly'; there are hour"),
    "no keys": (Part("s", ("x",)), [], None, None, "no keys to join on"),
    "frequency without time": (Part("s", ("x",)), ["id"], "day", "day", "s: a frequency needs the time among the keys"),
    "fill without time": (Part("s", ("x",), {}, True), ["id"], "day", None, "s: forward fill needs the time among"),
    "fill, no time at all": (Part("s", ("x",), {}, True), ["id"], None, None, "s: forward fill needs the time among"),
    "a key twice": (Part("s", ("id",)), ["id"], None, None, "s: id is a key, and no column of one source"),
    "aggregate of no column": (Part("s", ("x",), {"z": "sum"}), ["id"], None, None, "s: aggregate of z, which it does"),
    "unknown aggregate": (Part("s", ("x",), {"x": "avg"}), ["id"], None, None, "s: unknown aggregate 'avg' of x"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_part_that_can_not_be_joined_on_the_keys_is_told_before_any_rows_come(wrong):
    part, on, time, frequency, message = WRONG[wrong]
    rows = table("id day x", [("a", on_day(1), 1.0, 1)])
    with pytest.raises(ValueError, match=message):
        check(part, on, time, frequency)
    with pytest.raises(ValueError, match=message):
        resampled(rows, part, on, time, frequency)
    with pytest.raises(ValueError, match=message):
        joined({}, [part], on, time, frequency, ["id", "day", "x"])


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_a_category_has_only_a_first_and_a_last_value(aggregate):
    rows = table("id name", [("a", "only", 1)])
    part = Part("clients", ("name",), {"name": aggregate})
    if aggregate in ("first", "last"):
        assert resampled(rows, part, ["id"], None, None)["name"].to_pylist() == ["only"]
    else:
        with pytest.raises(ValueError, match=rf"name \(string\) has no {aggregate}; it can have first, last"):
            resampled(rows, part, ["id"], None, None)


def test_a_date_has_no_sum():
    rows = table("id day", [("a", on_day(1), 1)])
    with pytest.raises(ValueError, match="has no sum; it can have min, max, first, last"):
        resampled(rows, Part("visits", ("day",), {"day": "sum"}), ["id"], None, None)


def test_a_row_without_a_key_is_never_joined():
    rows = table("id day x", [("a", on_day(1), 1.0, 1), (None, on_day(1), 1.0, 1)])
    with pytest.raises(ValueError, match=r"sales: 1 row\(s\) without id, which is a key"):
        joined({"sales": rows}, [Part("sales", ("x",))], ON, "day", "day", [*ON, "x"])


def test_a_table_without_a_column_of_its_part_is_told():
    with pytest.raises(ValueError, match=r"sales: missing column\(s\) day, y"):
        resampled(table("id x", []), Part("sales", ("x", "y")), ON, "day", "day")


def test_a_join_that_would_lose_or_mix_up_columns_is_refused():
    rows = table("id x", [("a", 1.0, 1)])
    one, two = Part("one", ("x",)), Part("two", ("x",))
    with pytest.raises(ValueError, match="x brought by more than one source"):
        joined({"one": rows, "two": rows}, [one, two], ["id"], None, None, ["id", "x"])
    with pytest.raises(ValueError, match="x is brought and not among the columns to give"):
        joined({"one": rows}, [one], ["id"], None, None, ["id"])
    with pytest.raises(ValueError, match="rows of two, which is no part of the join"):
        joined({"one": rows, "two": rows}, [one], ["id"], None, None, ["id", "x"])
    with pytest.raises(ValueError, match="no table has z; give the part that brings it an empty table"):
        joined({"one": rows}, [one], ["id"], None, None, ["id", "x", "z"])
    with pytest.raises(ValueError, match="no tables to join"):
        joined({}, [one], ["id"], None, None, ["id", "x"])


# The join

SALES, WEATHER, PRICES = (
    Part("sales", ("x",), {"x": "sum"}),
    Part("weather", ("rain",)),
    Part("prices", ("z",)),
)
FILLED = Part("prices", ("z",), forward_fill=True)


def test_only_left_only_right_and_both_come_out_by_hand():
    sales = table(
        "id day x", [("b", on_day(1, 9), 1.0, 1), ("a", on_day(1, 8), 2.0, 1), ("a", on_day(1, 9), 3.0, 2)]
    )
    weather = table(
        "id day rain", [("c", on_day(1), 0.1, 7), ("a", on_day(1), 0.2, 8), ("a", on_day(2), 0.3, 7)]
    )
    tables = {"sales": sales, "weather": weather}
    found = joined(tables, [SALES, WEATHER], ON, "day", "day", ["rain", "id", "day", "x"])
    assert found.column_names == ["rain", "id", "day", "x", FILES]
    assert tuples(found) == [
        (0.2, "a", on_day(1), 5.0, [1, 2, 8]),
        (0.3, "a", on_day(2), None, [7]),
        (None, "b", on_day(1), 1.0, [1]),
        (0.1, "c", on_day(1), None, [7]),
    ]
    source_of = {1: "sales", 2: "sales", 7: "weather", 8: "weather"}
    told = [origin(files, source_of, ["sales", "weather"]) for files in found[FILES].to_pylist()]
    assert told == ["both", "only weather", "only sales", "only weather"]


def test_a_part_without_rows_is_missing_from_every_row_with_the_right_type():
    sales = table("id day x", [("a", on_day(1), 1.0, 1)])
    tables = {"sales": sales, "weather": table("id day rain", [])}
    found = joined(tables, [SALES, WEATHER], ON, "day", "day", [*ON, "x", "rain"])
    assert tuples(found) == [("a", on_day(1), 1.0, None, [1])]
    assert found.schema.field("rain").type == pa.float64()
    # A table that holds the columns of all sources gives the types of those that have brought nothing yet.
    wide = {"sales": table("id day x rain name", [("a", on_day(1), 1.0, None, None, 1)])}
    found = joined(wide, [SALES, WEATHER], ON, "day", "day", [*ON, "x", "rain", "name"])
    assert tuples(found) == [("a", on_day(1), 1.0, None, None, [1])]
    assert found.schema.types[3:5] == [pa.float64(), pa.string()]


def test_no_rows_at_all_give_no_rows():
    tables = {"sales": table("id day x", []), "prices": table("id day z", [])}
    found = joined(tables, [SALES, FILLED], ON, "day", "day", [*ON, "x", "z"])
    assert (len(found), found.column_names) == (0, [*ON, "x", "z", FILES])


def test_one_source_alone_is_only_resampled():
    sales = table("id day x", [("a", on_day(1), 1.0, 1), ("a", on_day(1, 5), 1.5, 1)])
    assert tuples(joined({"sales": sales}, [SALES], ON, "day", "day", [*ON, "x"])) == [
        ("a", on_day(1), 2.5, [1])
    ]


def test_a_value_holds_until_its_source_brings_a_new_one():
    sales = table("id day x", [("a", on_day(day), float(day), day) for day in (1, 2, 3, 5, 6)])
    prices = table(
        "id day z", [("a", on_day(2), 20.0, 12), ("a", on_day(4, 3), 40.0, 14), ("b", on_day(1), 99.0, 15)]
    )
    found = joined({"sales": sales, "prices": prices}, [SALES, FILLED], ON, "day", "day", [*ON, "x", "z"])
    assert tuples(found) == [
        ("a", on_day(1), 1.0, None, [1]),
        ("a", on_day(2), 2.0, 20.0, [2, 12]),
        ("a", on_day(3), 3.0, 20.0, [3, 12]),
        ("a", on_day(4), None, 40.0, [14]),
        ("a", on_day(5), 5.0, 40.0, [5, 14]),
        ("a", on_day(6), 6.0, 40.0, [6, 14]),
        ("b", on_day(1), None, 99.0, [15]),
    ]


@pytest.mark.parametrize("on", [["day", "id"], ["id", "day"], ["name", "day", "id"]])
def test_forward_fill_keeps_to_the_other_keys_wherever_the_time_stands_among_them(on):
    sales = table("id day name x", [("a", on_day(2), "n", 1.0, 1), ("b", on_day(2), "n", 2.0, 2)])
    prices = table("id day name z", [("a", on_day(1), "n", 10.0, 3)])
    found = joined({"sales": sales, "prices": prices}, [SALES, FILLED], on, "day", None, [*on, "x", "z"])
    filled = {(row["id"], row["day"].day): (row["z"], row[FILES]) for row in found.to_pylist()}
    assert filled == {("a", 1): (10.0, [3]), ("a", 2): (10.0, [1, 3]), ("b", 2): (None, [2])}


def test_forward_fill_goes_by_time_in_a_table_of_many_rows_too():
    names = [f"client {number}" for number in range(7)]
    hours = range(100)  # sorting so many is another algorithm than sorting a few
    sales = table(
        "id day x", [(name, on_day(1) + timedelta(hours=h), 0.0, 1) for h in hours for name in names]
    )
    prices = table(
        "id day z",
        [(name, on_day(1) + timedelta(hours=h), float(h), 2) for h in hours[::10] for name in names],
    )
    on = ["day", "id"]
    found = joined({"sales": sales, "prices": prices}, [SALES, FILLED], on, "day", "hour", [*on, "x", "z"])
    assert found["z"].to_pylist() == [h // 10 * 10 for h in hours for _ in names]


def test_forward_fill_with_the_time_as_the_only_key_carries_onto_every_later_row():
    sales = table("day x", [(on_day(2), 1.0, 1), (on_day(4), 2.0, 2)])
    prices = table("day z", [(on_day(3), 10.0, 3)])
    found = joined(
        {"sales": sales, "prices": prices}, [SALES, FILLED], ["day"], "day", "day", ["day", "x", "z"]
    )
    assert tuples(found) == [
        (on_day(2), 1.0, None, [1]),
        (on_day(3), None, 10.0, [3]),
        (on_day(4), 2.0, 10.0, [2, 3]),
    ]


def test_three_sources_join_on_a_category_with_the_files_of_each():
    tables = {
        "sales": table("id x", [("a", 1.0, 1), ("c", 3.0, 2)]),
        "weather": table("id rain", [("a", 0.1, 4), ("b", 0.2, 3)]),
        "prices": table("id z", [("b", 20.0, 6), ("a", 10.0, 5), ("d", 40.0, 5)]),
    }
    found = joined(tables, [SALES, WEATHER, PRICES], ["id"], None, None, ["id", "x", "rain", "z"])
    assert tuples(found) == [
        ("a", 1.0, 0.1, 10.0, [1, 4, 5]),
        ("b", None, 0.2, 20.0, [3, 6]),
        ("c", 3.0, None, None, [2]),
        ("d", None, None, 40.0, [5]),
    ]


def test_each_filled_column_is_carried_from_where_it_was_last_known_with_the_files_it_came_from():
    part = Part("prices", ("z", "name"), forward_fill=True)
    prices = table(
        "id day z name",
        [
            ("a", on_day(1), 1.0, "old", 11),
            ("a", on_day(2), 2.0, None, 12),
            ("a", on_day(3), None, "new", 13),
        ],
    )
    sales = table("id day x", [("a", on_day(4), 4.0, 1)])
    found = joined(
        {"sales": sales, "prices": prices}, [SALES, part], ON, "day", "day", [*ON, "z", "name", "x"]
    )
    assert tuples(found) == [
        ("a", on_day(1), 1.0, "old", None, [11]),
        ("a", on_day(2), 2.0, "old", None, [11, 12]),
        ("a", on_day(3), 2.0, "new", None, [12, 13]),
        ("a", on_day(4), 2.0, "new", 4.0, [1, 12, 13]),
    ]


def test_a_monthly_source_is_carried_onto_the_weeks_of_a_daily_one():
    sales = table("id day x", [("a", on_day(day), 1.0, 1) for day in range(1, 29)])
    prices = table("id day z", [("a", on_day(31, month=12) - timedelta(days=365), 5.0, 2)])
    found = joined({"sales": sales, "prices": prices}, [SALES, FILLED], ON, "day", "week", [*ON, "x", "z"])
    weeks = [datetime(2024, 12, 30) + timedelta(weeks=week) for week in range(5)]
    assert tuples(found) == [
        ("a", week, days, 5.0, [1, 2]) for week, days in zip(weeks, [5.0, 7.0, 7.0, 7.0, 2.0], strict=True)
    ]


# Laws

days = st.integers(0, 40).map(lambda halves: on_day(1) + timedelta(hours=12 * halves))
ids = st.sampled_from(["a", "b", "ä", ""])
values = st.none() | st.floats(-1e6, 1e6)
files = st.integers(1, 4)
sales_rows = st.lists(st.tuples(ids, days, values, st.sampled_from(["n", "m", None]), files), max_size=25)
price_rows = st.lists(
    st.tuples(ids, days, values, values, files.map(lambda number: number + 10)), max_size=25
)
frequencies = st.sampled_from([None, *FREQUENCIES])
aggregates = st.sampled_from(list(AGGREGATES))
ORDER = [*ON, "x", "name", "y", "z"]


def parts(first: str, second: str, filled: bool) -> list[Part]:
    """Give a part of sales and one of prices with these aggregates of a column each."""
    return [Part("sales", ("x", "name"), {"x": first}), Part("prices", ("y", "z"), {"y": second}, filled)]


def staged(sales: list[tuple], prices: list[tuple]) -> dict[str, pa.Table]:
    return {"sales": table("id day x name", sales), "prices": table("id day y z", prices)}


@given(
    sales=sales_rows,
    prices=price_rows,
    frequency=frequencies,
    first=aggregates,
    second=aggregates,
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_the_order_and_the_split_of_rows_and_tables_do_not_matter(
    sales, prices, frequency, first, second, data
):
    chosen = parts(first, second, data.draw(st.booleans(), "filled"))
    found = joined(staged(sales, prices), chosen, ON, "day", frequency, ORDER)
    other = staged(data.draw(st.permutations(sales)), data.draw(st.permutations(prices)))
    cuts = [data.draw(st.integers(0, len(rows)), "cut") for rows in other.values()]
    other = {
        name: pa.concat_tables([rows[:cut], rows[cut:]])
        for (name, rows), cut in zip(reversed(other.items()), reversed(cuts), strict=True)
    }
    assert joined(other, chosen[::-1], ON, "day", frequency, ORDER).equals(found)


def plain_aggregate(name: str, known: list) -> object:
    """Aggregate values in order of time, with a tolerance of nothing: the sum goes in the same order."""
    if not known:
        return None
    total = 0.0
    for value in known if name in ("sum", "mean") else []:
        total += value
    return {
        "sum": lambda: total,
        "mean": lambda: total / len(known),
        "min": lambda: min(known),
        "max": lambda: max(known),
        "first": lambda: known[0],
        "last": lambda: known[-1],
    }[name]()


Key = tuple[str, datetime]


def plain_groups(rows: pa.Table, part: Part, frequency: str | None) -> dict[Key, tuple[dict, set[int]]]:
    """Give for each key the value of each column and the files, row by row."""
    groups: dict[Key, list[dict]] = {}
    for row in sorted(rows.to_pylist(), key=lambda row: (row["day"], row[ROW])):
        start = start_of_period(row["day"], frequency) if frequency else row["day"]
        groups.setdefault((row["id"], start), []).append(row)
    found = {}
    for key, group in groups.items():
        known = {name: [row[name] for row in group if row[name] is not None] for name in part.columns}
        values = {
            name: plain_aggregate(part.aggregate.get(name, "last"), known[name]) for name in part.columns
        }
        found[key] = (values, {row[FILE] for row in group})
    return found


def plain_join(tables: dict[str, pa.Table], chosen: list[Part], frequency: str | None) -> list[tuple]:
    """Join again, key by key in plain Python."""
    groups = {part.name: plain_groups(tables[part.name], part, frequency) for part in chosen}
    found = []
    for key in sorted({key for group in groups.values() for key in group}):
        values, carried = dict.fromkeys(ORDER[2:]), set()
        for part in chosen:
            own = groups[part.name]
            earlier = sorted(other for other in own if other[0] == key[0] and other[1] <= key[1])
            usable = earlier[::-1] if part.forward_fill else [key] if key in own else []
            for place, other in enumerate(usable):
                fresh = {name: own[other][0][name] for name in part.columns if values[name] is None}
                fresh = {name: value for name, value in fresh.items() if value is not None}
                values |= fresh
                if fresh or place == 0:
                    carried |= own[other][1]
        found.append((*key, *values.values(), sorted(carried)))
    return found


@given(sales_rows, price_rows, frequencies, aggregates, aggregates, st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_join_is_what_plain_python_makes_row_by_row(sales, prices, frequency, first, second, filled):
    tables, chosen = staged(sales, prices), parts(first, second, filled)
    found = tuples(joined(tables, chosen, ON, "day", frequency, ORDER))
    expected = plain_join(tables, chosen, frequency)
    assert [row[:2] + row[-1:] for row in found] == [row[:2] + row[-1:] for row in expected]
    for row, plain in zip(found, expected, strict=True):
        assert row[3] == plain[3]
        for value, right in zip((row[2], *row[4:6]), (plain[2], *plain[4:6]), strict=True):
            assert value == (right if right is None else pytest.approx(right, rel=1e-12, abs=1e-6))


@given(sales=sales_rows, prices=price_rows)
@settings(max_examples=50, deadline=None)
def test_left_right_and_both_are_those_of_pandas(sales, prices):
    tables = staged(sales, prices)
    found = joined(tables, parts("last", "last", False), ON, "day", "month", ORDER)
    source_of = {number: "prices" if number > 10 else "sales" for number in range(20)}
    told = [origin(files, source_of, ["sales", "prices"]) for files in found[FILES].to_pylist()]
    keys = {
        name: pd.DataFrame(
            {(row["id"], start_of_period(row["day"], "month")) for row in rows.to_pylist()},
            columns=ON,
            dtype=object,
        )
        for name, rows in tables.items()
    }
    merged = keys["sales"].merge(keys["prices"], on=ON, how="outer", indicator=True)
    words = {"left_only": "only sales", "right_only": "only prices", "both": "both"}
    expected = {(row.id, row.day): words[row[3]] for row in merged.itertuples()}
    assert (
        dict(zip(zip(found["id"].to_pylist(), found["day"].to_pylist(), strict=True), told, strict=True))
        == expected
    )


@given(sales=sales_rows)
@settings(max_examples=50, deadline=None)
def test_resampling_twice_to_coarser_periods_sums_up_the_same(sales):
    part = Part("sales", ("x",), {"x": "sum"})
    rows = table("id day x name", sales)
    daily = resampled(rows, part, ON, "day", "day")
    again = daily.append_column(FILE, pa.array([0] * len(daily), pa.int64()))
    again = again.append_column(ROW, pa.array([b"0" * 16] * len(daily), pa.binary(16)))
    twice, once = (resampled(some, part, ON, "day", "month")["x"].to_pylist() for some in (again, rows))
    assert twice == [None if value is None else pytest.approx(value, rel=1e-9, abs=1e-6) for value in once]


# Origins in words

NAMES = ["sales", "weather", "prices"]
SOURCE_OF = dict(enumerate(NAMES, 1)) | {4: "sales", 5: "gone"}
ORIGINS = {
    (1,): "only sales", (1, 4): "only sales", (3,): "only prices", (2, 4): "sales and weather",
    (3, 1): "sales and prices", (1, 2, 3): "all", (5,): "only gone", (1, 5): "sales and gone",
    (1, 2, 3, 5): "sales, weather, prices and gone", (): "none",
}  # fmt: skip


@pytest.mark.parametrize("files", ORIGINS)
def test_the_origin_of_a_row_names_the_sources_that_carried_it(files):
    assert origin(list(files), SOURCE_OF, NAMES) == ORIGINS[files]


@pytest.mark.parametrize(("names", "told"), [(["sales"], "only sales"), (["sales", "weather"], "both")])
def test_the_origin_of_a_row_that_every_source_carried(names, told):
    assert origin([2, 1] if len(names) == 2 else [1], SOURCE_OF, names) == told


def test_every_number_of_sources_has_its_words():
    for count in range(1, len(NAMES) + 1):
        for numbers in itertools.combinations(range(1, len(NAMES) + 1), count):
            told = origin(list(numbers), SOURCE_OF, NAMES)
            assert (
                told == "all" if count == len(NAMES) else all(SOURCE_OF[number] in told for number in numbers)
            )


# Cost

WITHOUT_PANDAS = """if True:
    import sys

    class Blocked:
        @staticmethod
        def find_spec(name, *rest):
            if name in ("pandas", "scipy", "sklearn"):
                raise ImportError(name)

    sys.meta_path.insert(0, Blocked)
    import pyarrow as pa
    from pipeline.merging import Part, joined

    times = pa.array([0, 1], pa.timestamp("us"))
    marks = {"_file": [1, 2], "_row": pa.array([b"0" * 16, b"1" * 16], pa.binary(16))}
    rows = pa.table({"id": ["a", "b"], "day": times, "x": [1.0, 2.0]} | marks)
    part = Part("s", ("x",), {"x": "sum"}, forward_fill=True)
    print(joined({"s": rows}, [part], ["id", "day"], "day", "day", ["id", "day", "x"])["x"].to_pylist())
"""


def test_a_join_needs_neither_pandas_nor_scipy():
    command = [sys.executable, "-c", WITHOUT_PANDAS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[1.0, 2.0]\n"
