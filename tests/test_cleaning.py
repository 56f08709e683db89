"""From text to typed, checked rows: the same text gives the same rows, whatever file it came in."""

import random
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import cleaning, rowhash
from pipeline.cleaning import MISSING, PLAIN, ROW, TYPES, WHICH_COMMA, Cleaned, MissingColumns, Notation
from pipeline.config import Columns
from tests.tables import COLUMNS, cleaned, client_cells, raw


def of_type(kind: str, cells: list[str], notation: Notation = PLAIN, **contract: Any) -> Cleaned:
    """Clean a table whose one feature has this type and these cells; its ids are the positions."""
    columns = Columns.model_validate(
        {"id": "id", "target": "t", "features": {"x": {"type": kind, **contract}}}
    )
    rows = [[str(position), "1", cell] for position, cell in enumerate(cells)]
    return cleaning.clean(raw(rows, columns), columns, "classification", notation=notation)


def value(kind: str, cell: str, beside: str):
    """Give what becomes of a cell next to another one: its value as text, None if missing, or `flaw`."""
    found = of_type(kind, [cell, beside])
    if any(flaw.position == 0 for flaw in found.flaws):
        return "flaw"
    return found.rows["x"].cast(pa.string())[0].as_py()


NUMBERS = {
    "1": 1, "-2.50": -2.5, "+4": 4, ".5": 0.5, "5.": 5, "1e3": 1000, "1E-3": 0.001, " 7\t": 7, "007": 7, "-0.0": 0,
    "9007199254740993": 9007199254740992, "0.1": 0.1, "1e-400": 0,
}  # fmt: skip
NO_NUMBERS = """abc - -- 1_000 0x10 1e 1d3 1f TRUE 1% $5 1.2.3
    inf -inf +inf Infinity -nan NAN 1e400 -1e400""".split()


@pytest.mark.parametrize("beside", ["1", "no number"])
@pytest.mark.parametrize("cell", NUMBERS)
def test_a_number_is_read_as_it_is_written_whatever_stands_beside_it(cell, beside):
    assert of_type("number", [cell, beside]).rows["x"][0].as_py() == NUMBERS[cell]


@pytest.mark.parametrize("beside", ["1", "no number"])
@pytest.mark.parametrize("cell", [*NO_NUMBERS, "1 000"])
def test_what_is_no_finite_number_is_a_flaw_whatever_stands_beside_it(cell, beside):
    flaws = of_type("number", [cell, beside]).flaws
    assert (flaws[0].position, flaws[0].column, flaws[0].value, flaws[0].reason) == (
        0,
        "x",
        cell,
        "not a number",
    )


DATES = {
    "2025-12-31": "2025-12-31 00:00:00", "2025-12-31T23:59:59": "2025-12-31 23:59:59",
    "2025-12-31 23:59": "2025-12-31 23:59:00", "2025-12-31T23:59:59.25": "2025-12-31 23:59:59.25",
    "2025-12-31T23:59:59Z": "2025-12-31 23:59:59", "2025-12-31T23:59:59+02:00": "2025-12-31 21:59:59",
    "2024-02-29": "2024-02-29 00:00:00", "1900-01-01": "1900-01-01 00:00:00",
}  # fmt: skip
NO_DATES = """x 31.12.2025 12/31/2025 2025-02-29 2025-13-01 2025 1735689600 10000-01-01 0000-01-01 -0001-01-01
    2025-12-31T25:00:00""".split()


@pytest.mark.parametrize("beside", ["2025-01-01", "no date"])
@pytest.mark.parametrize("cell", DATES)
def test_a_date_is_read_in_utc_whatever_stands_beside_it(cell, beside):
    assert (value("date", cell, beside) or "").startswith(DATES[cell])


@pytest.mark.parametrize("beside", ["2025-01-01", "no date"])
@pytest.mark.parametrize("cell", NO_DATES)
def test_what_is_no_date_is_a_flaw_whatever_stands_beside_it(cell, beside):
    assert value("date", cell, beside) == "flaw"


CATEGORIES = {
    "gold": "gold", "Gold": "Gold", " gold ": "gold", "1": "1", "1.0": "1", "1.000": "1", "-1.0": "-1", "01": "01",
    "1.5": "1.5", "1.": "1.", ".0": ".0", "1.0.0": "1.0.0", "a\nb": "a\nb", "n/a": "n/a", "-": "-", "é": "é",
    "'=1": "=1", "'a": "'a",
}  # fmt: skip


@pytest.mark.parametrize("cell", CATEGORIES)
def test_a_category_is_its_text_but_whole_numbers_have_one_spelling(cell):
    found = of_type("category", [cell, "else"])
    assert found.rows["x"][0].as_py() == CATEGORIES[cell]
    assert found.flaws == []


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("cell", ["", "  ", *MISSING.to_pylist(), " NA "])
def test_a_missing_cell_may_be_spelt_many_ways_in_every_type(kind, cell):
    found = of_type(kind, [cell])
    assert found.rows["x"].to_pylist() == [None]
    assert found.flaws == []


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_gives_as_many_values_as_cells_and_none_for_none(kind):
    values, flaws, changes = TYPES[kind](pa.array([None, "2025-01-01", None, "7"], pa.string()), PLAIN)
    assert len(values) == 4
    lost = {position for position, _ in flaws}
    assert {position for position, value in enumerate(values.to_pylist()) if value is None} == {0, 2} | lost
    assert not lost & {0, 2}
    assert changes == 0
    assert TYPES[kind](pa.array([], pa.string()), PLAIN) == (values[:0], [], 0)


def test_limits_belong_to_what_is_allowed_and_missing_cells_have_none():
    found = of_type("number", ["-0.1", "0", "-0.0", "10", "10.1", ""], min=0, max=10)
    assert found.rows["id"].to_pylist() == ["1", "2", "3", "5"]
    told = [(flaw.position, flaw.value, flaw.reason) for flaw in found.flaws]
    assert told == [(0, "-0.1", "below the minimum 0"), (4, "10.1", "above the maximum 10")]


def test_a_row_with_several_flaws_is_told_once_by_its_first_column():
    found = cleaned([["", "x", "no", "x", "x", ""], ["C1", "2025-01-01", "no", "1", "x", ""]])
    assert [(flaw.position, flaw.column) for flaw in found.flaws] == [(0, "client"), (1, "since")]
    assert len(found.rows) == 0


@pytest.mark.parametrize(
    ("column", "flaws"), [("client", 1), ("day", 1), ("left", 0), ("spent", 0), ("plan", 0)]
)
def test_only_id_and_time_must_not_be_empty(column, flaws):
    row = dict(zip(COLUMNS.all, client_cells(1)[0], strict=True)) | {column: " NA"}
    found = cleaned([list(row.values())])
    assert [(flaw.column, flaw.reason) for flaw in found.flaws] == [(column, "empty")] * flaws


def test_the_target_of_a_regression_is_a_number_and_of_a_classification_text():
    row = ["C1", "2025-01-01", "1.0", "1", "", ""]
    assert cleaned([row]).rows["left"].to_pylist() == ["1"]
    assert cleaned([row], task="regression").rows["left"].to_pylist() == [1.0]


def test_cells_that_were_written_otherwise_are_counted():
    row = ["C1", " 2025-01-01", "no", "NA", "", "gold "]
    assert cleaned([row, ["C1", "2025-01-01", "no", "", "", "gold"]]).formatting_changes == 3


def test_columns_come_in_config_order_whatever_their_order_or_others_in_the_file():
    table = raw([client_cells(1)[0]])
    mixed = table.select(list(reversed(COLUMNS.all))).append_column("more", pa.array(["x"]))
    mixed = mixed.rename_columns([f" {name}" for name in mixed.column_names])
    assert cleaning.clean(mixed, COLUMNS, "classification").rows.equals(cleaned([client_cells(1)[0]]).rows)


def test_a_missing_column_is_told_with_those_there_are():
    table = raw([client_cells(1)[0]]).drop_columns(["spent", "day"])
    with pytest.raises(
        MissingColumns, match=r"missing column\(s\) day, spent; it has client, left, since, plan"
    ):
        cleaning.clean(table, COLUMNS, "classification")


def test_columns_are_renamed_and_two_of_the_same_name_are_refused():
    columns = COLUMNS.model_copy(update={"rename": {"Churn": "left"}})
    table = raw([client_cells(1)[0]])
    renamed = table.rename_columns(["Churn" if name == "left" else name for name in table.column_names])
    assert cleaning.clean(renamed, columns, "classification").rows.equals(cleaned([client_cells(1)[0]]).rows)
    both = table.append_column("Churn", pa.array(["no"]))
    with pytest.raises(MissingColumns, match=r"column\(s\) left there twice after renaming"):
        cleaning.clean(both, columns, "classification")


def test_an_empty_table_has_the_right_columns_and_types():
    empty, full = cleaning.empty(COLUMNS, "classification"), cleaned(client_cells(3)).rows
    assert (len(empty), empty.schema) == (0, full.schema)


# ------------------------------------------------------------------------------------------------ notations
COMMAS: dict[str, tuple[str | None, list[str], list[float | str]]] = {
    "one or two digits behind it": (None, ["1,5", "12,25", "3"], [1.5, 12.25, 3]),
    "four digits before or behind it": (None, ["1234,567", "1,2345"], [1234.567, 1.2345]),
    "a zero before it": (None, ["0,125", "-0,5"], [0.125, -0.5]),
    "dots between the thousands": (None, ["1.234,567", "-12.345.678,9"], [1234.567, -12345678.9]),
    "one that is sure tells of the others": (None, ["1,234", "1,5"], [1.234, 1.5]),
    "beside what is no number": (None, ["1,5", "abc"], [1.5, "not a number"]),
    "not sure": (None, ["1,234", "5"], [WHICH_COMMA, 5]),
    "beside decimal points": (None, ["1,5", "1.5"], ["not a number", 1.5]),
    "thousands beside decimal points": (None, ["1,234", "1.5"], ["not a number", 1.5]),
    "between thousands": (None, ["1,234,567", "5"], ["not a number", 5]),
    "said to be decimal": (",", ["1,234", "1.234", "1.234.567", "7", "1e3"], [1.234, 1234, 1234567, 7, 1000]),
    "said to be decimal, beside a point": (",", ["1,5", "1.5", "12.34"], [1.5, "not a number", "not a number"]),
    "said not to be decimal": (".", ["1,5", "1,234", "2"], ["not a number", "not a number", 2]),
    "nothing around it": (None, [",5", "5,", "1,5,2", "1,5"], ["not a number", "not a number", "not a number", 1.5]),
}  # fmt: skip


@pytest.mark.parametrize(("decimal", "cells", "told"), COMMAS.values(), ids=COMMAS)
def test_a_decimal_comma_is_taken_where_nothing_else_can_be_meant(decimal, cells, told):
    found = of_type("number", cells, Notation(decimal))
    values = dict(zip(found.positions.tolist(), found.rows["x"].to_pylist(), strict=True))
    reasons = {flaw.position: flaw.reason for flaw in found.flaws}
    assert [values.get(place, reasons.get(place)) for place in range(len(cells))] == told


def test_numbers_with_decimal_commas_are_counted_as_written_otherwise():
    assert of_type("number", ["1,5", "1,5", "2", "x"]).formatting_changes == 2
    assert of_type("number", ["1.5", "2"]).formatting_changes == 0


def test_dates_in_a_configured_format_are_taken_after_iso_ones_in_the_order_of_the_formats():
    notation = Notation(date_formats=("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y"))
    cells = ["31.12.2025", "2025-01-02", "01/02/2025", "13/02/2025", "", "12.31.2025"]
    found = of_type("date", cells, notation)
    assert found.rows["x"].to_pylist() == [
        datetime(2025, 12, 31), datetime(2025, 1, 2), datetime(2025, 1, 2), datetime(2025, 2, 13), None,
    ]  # fmt: skip
    assert [(flaw.value, flaw.reason) for flaw in found.flaws] == [
        ("12.31.2025", "not a date like 2025-12-31 or 2025-12-31T23:59:59")
    ]
    assert found.formatting_changes == 3


def test_whoever_has_other_dates_is_told_where_to_name_their_format():
    (flaw,) = of_type("date", ["31.12.2025"]).flaws
    assert flaw.reason.endswith("; name another way to write them in cleaning.date_formats")


# ------------------------------------------------------------------------------------------------ the contract
def test_a_category_must_be_one_of_those_allowed_or_missing():
    found = of_type("category", ["gold", "1.0", "Gold", "", "2"], allowed=["gold", 1])
    assert found.rows["x"].to_pylist() == ["gold", "1", None]
    assert [(flaw.position, flaw.reason) for flaw in found.flaws] == [
        (2, "not one of gold, 1"),
        (4, "not one of gold, 1"),
    ]


def test_of_many_allowed_categories_some_are_named():
    (flaw,) = of_type("category", ["x"], allowed=list("abcdefghi")).flaws
    assert flaw.reason == "not one of a, b, c, d, e, f, g, h, ..."


@pytest.mark.parametrize("kind", TYPES)
def test_a_cell_that_must_not_be_missing_is_a_flaw_however_it_is_spelt(kind):
    found = of_type(kind, ["", "NA"], nullable=False)
    assert [(flaw.position, flaw.value, flaw.reason) for flaw in found.flaws] == [
        (0, "", "empty"),
        (1, "NA", "empty"),
    ]


def test_the_target_has_a_contract_too_and_may_be_missing():
    target = {"name": "left", "allowed": ["yes", "no"]}
    columns = Columns.model_validate({**COLUMNS.model_dump(), "target": target})
    rows = [["C1", "2025-01-01", label, "1", "", ""] for label in ("yes", "maybe", "")]
    assert [flaw.position for flaw in cleaned(rows, columns).flaws] == [1]
    columns = Columns.model_validate({**COLUMNS.model_dump(), "target": {"name": "left", "min": 0, "max": 9}})
    rows = [["C1", "2025-01-01", label, "1", "", ""] for label in ("-1", "5", "10", "")]
    found = cleaned(rows, columns, task="regression")
    assert [flaw.reason for flaw in found.flaws] == ["below the minimum 0", "above the maximum 9"]


def test_positions_say_which_rows_of_the_file_the_good_ones_were():
    found = of_type("number", ["x", "1", "x", "2", "3", "x"])
    assert found.positions.tolist() == [1, 3, 4]
    assert found.rows["id"].to_pylist() == ["1", "3", "4"]
    assert of_type("number", ["1", "2"]).positions.tolist() == [0, 1]


def test_of_a_joined_source_only_its_own_columns_are_wanted():
    table = raw(client_cells(5)).drop_columns(["left", "since", "plan"])
    found = cleaning.clean(table, COLUMNS, "classification", only={"client", "day", "spent"})
    assert found.rows.column_names == ["client", "day", "spent", ROW]
    with pytest.raises(MissingColumns, match=r"missing column\(s\) plan; it has client, day, spent, also"):
        cleaning.clean(
            table, COLUMNS, "classification", only={"client", "plan"}, has=["client", "day", "spent", "also"]
        )


def test_a_missing_target_is_added_as_missing_only_if_it_may_be_missing():
    table = raw(client_cells(3)).drop_columns(["left"])
    assert cleaning.clean(table, COLUMNS, "classification", labelled=False).rows["left"].null_count == 3
    with pytest.raises(MissingColumns, match=r"missing column\(s\) left; it has client, "):
        cleaning.clean(table, COLUMNS, "classification")


def test_the_spellings_of_columns_are_their_names_and_what_is_renamed_to_them():
    columns = COLUMNS.model_copy(update={"rename": {"Churn": "left", "Betrag": "spent"}})
    assert cleaning.spellings(columns) == {*COLUMNS.all, "Churn", "Betrag"}
    assert cleaning.spellings(columns, {"client", "spent"}) == {"client", "spent", "Betrag"}


# ------------------------------------------------------------------------------------------------ columns with types
def typed(kind: str, cells: pa.Array, **contract: Any) -> Cleaned:
    """Clean a table whose one feature has this type and these cells, which have a type already."""
    columns = Columns.model_validate(
        {"id": "id", "target": "t", "features": {"x": {"type": kind, **contract}}}
    )
    others = {name: pa.array(["1"] * len(cells)) for name in ("id", "t")}
    return cleaning.clean(pa.table({**others, "x": cells}), columns, "classification")


NOON = datetime(2025, 1, 31, 12)
TYPED: dict[str, tuple[str, pa.Array, list[Any]]] = {
    "whole numbers": ("number", pa.array([1, None, -3]), [1.0, None, -3.0]),
    "small numbers": ("number", pa.array([1.5, None], pa.float32()), [1.5, None]),
    "decimals": ("number", pa.array(["1.50", None]).cast(pa.decimal128(9, 2)), [1.5, None]),
    "truth as number": ("number", pa.array([True, False, None]), [1.0, 0.0, None]),
    "no number": ("number", pa.array([1.0, float("nan"), None]), [1.0, None, None]),
    "numbers as text in a dictionary": ("number", pa.array(["1", "NA", None]).dictionary_encode(), [1.0, None, None]),
    "days": ("date", pa.array([date(2025, 1, 31), None]), [datetime(2025, 1, 31), None]),
    "moments": ("date", pa.array([NOON, None], pa.timestamp("ms")), [NOON, None]),
    "moments with a zone": ("date", pa.array([NOON, None], pa.timestamp("s", "Europe/Berlin")), [NOON, None]),
    "days as text": ("date", pa.array(["2025-01-31", " "], pa.large_string()), [datetime(2025, 1, 31), None]),
    "counts as category": ("category", pa.array([1, None, 20]), ["1", None, "20"]),
    "fractions as category": ("category", pa.array([1.0, float("nan"), 2.5]), ["1", None, "2.5"]),
    "truth as category": ("category", pa.array([True, None]), ["true", None]),
    "days as category": ("category", pa.array([date(2025, 1, 31), None]), ["2025-01-31", None]),
    "moments as category": ("category", pa.array([NOON], pa.timestamp("us")), ["2025-01-31T12:00:00"]),
    "text in a dictionary": ("category", pa.array(["a ", "", "a "]).dictionary_encode(), ["a", None, "a"]),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "cells", "values"), TYPED.values(), ids=TYPED)
def test_columns_that_have_types_already_are_taken_as_they_are(kind, cells, values):
    found = typed(kind, cells)
    assert found.flaws == []
    assert found.rows["x"].to_pylist() == values
    assert found.rows.schema.field("x").type == of_type(kind, []).rows.schema.field("x").type


def test_infinity_in_a_typed_column_is_a_flaw_and_limits_hold_there_too():
    found = typed("number", pa.array([1.0, float("inf"), float("-inf"), 20.0]), max=10)
    assert [(flaw.position, flaw.reason) for flaw in found.flaws] == [
        (1, "not a finite number"), (2, "not a finite number"), (3, "above the maximum 10"),
    ]  # fmt: skip


def test_a_number_or_day_of_a_wrong_type_is_a_flaw_of_the_cell_and_no_crash():
    assert len(typed("number", pa.array([date(2025, 1, 31)])).flaws) == 1
    assert [flaw.value for flaw in typed("date", pa.array([45_658, None])).flaws] == ["45658"]


@pytest.mark.parametrize("name", ["x", "id", "t"])
def test_the_same_row_has_the_same_hash_as_text_and_with_types_and_in_pieces(name):
    columns = Columns.model_validate({"id": "id", "target": "t", "features": {"x": "number"}})
    text = raw([["1", "0", "2"], ["10", "1", "3.5"], ["2", "0", ""]], columns)
    other = {"x": pa.array([2.0, 3.5, None]), "id": pa.array([1, 10, 2]), "t": pa.array([0.0, 1.0, 0.0])}[
        name
    ]
    other_text = text.set_column(
        text.column_names.index(name), name, pa.chunked_array([other[:1], other[1:]])
    )
    one, same = (cleaning.clean(table, columns, "classification") for table in (text, other_text))
    assert np.array_equal(one.hashes, same.hashes)


# ------------------------------------------------------------------------------------------------ hashes
ROWS = st.tuples(
    st.sampled_from(["a", "ab", "b"]),
    st.dates().map(str),
    st.sampled_from(["yes", "no", ""]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.just(""),
    st.datetimes().map(str) | st.just(""),
    st.text(st.sampled_from("ab01.é"), max_size=4),
)


def test_a_clean_row_has_the_same_hash_for_ever():
    rows = cleaned([["C00001", "2025-01-31", "no", "12.5", "", "gold"]]).rows
    assert rows[ROW].to_pylist() == [bytes.fromhex("ae428bff1ea8609608c9d5be90f8ddd3")]


def test_the_hashes_are_those_of_the_typed_values_as_numbers_and_as_a_column():
    found = cleaned(client_cells(50))
    assert np.array_equal(found.hashes, rowhash.hashes_of(found.rows[ROW]))
    assert np.array_equal(found.hashes, rowhash.row_hashes(found.rows.drop_columns([ROW])))
    salted = cleaning.clean(raw(client_cells(50)), COLUMNS, "classification", salt="a source")
    assert not np.isin(salted.hashes, found.hashes).any()


@given(st.lists(ROWS, max_size=8))
def test_two_rows_have_the_same_hash_exactly_if_they_have_the_same_values(cells):
    rows = cleaned(cells).rows
    values = [tuple(row.values()) for row in rows.drop_columns([ROW]).to_pylist()]
    assert len(set(rows[ROW].to_pylist())) == len(set(values))


@given(st.lists(ROWS, max_size=8), st.integers(0, 99))
def test_the_order_of_rows_does_not_matter_to_their_hashes(cells, seed):
    shuffled = random.Random(seed).sample(cells, len(cells))
    assert sorted(cleaned(shuffled).rows[ROW].to_pylist()) == sorted(cleaned(cells).rows[ROW].to_pylist())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0", "-0.0", True), ("1", "1.0", True), ("1e2", "100", True), (" 5", "5", True), ("NA", "", True),
        ("", "0", False), ("0.1", "0.10000000000000001", True), ("0.1", "0.10000000000000002", False),
        ("1,5", "1.5", True),
    ],
)  # fmt: skip
def test_equal_numbers_make_equal_rows_however_they_are_written(one, other, same):
    first, second = of_type("number", [one]).rows[ROW], of_type("number", [other]).rows[ROW]
    assert (first == second) is same


def test_a_row_with_a_flaw_does_not_change_the_hashes_of_the_others():
    cells = client_cells(6)
    broken = [row if place % 2 else [*row[:3], "x", *row[4:]] for place, row in enumerate(cells)]
    assert np.array_equal(cleaned(broken).hashes, cleaned(cells).hashes[:, 1::2])


def test_a_decimal_comma_in_one_column_makes_points_in_another_thousands_if_they_can_be_nothing_else():
    columns = Columns.model_validate(
        {"id": "id", "target": "t", "features": {"x": "number", "y": "number", "z": "number"}}
    )
    rows = [["1", "t", "20,5", "1.234", "0.5"], ["2", "t", "3", "5", "12.25"]]
    found = cleaned(rows, columns)
    assert found.flaws == []
    assert found.rows.select(["x", "y", "z"]).to_pylist() == [
        {"x": 20.5, "y": 1234, "z": 0.5},
        {"x": 3, "y": 5, "z": 12.25},
    ]
