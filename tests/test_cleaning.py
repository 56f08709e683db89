"""From text to typed, checked, distinct rows: the same text gives the same rows, whatever file it came in."""

import hashlib
import random
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import cleaning
from pipeline.cleaning import MISSING, ROW, TYPES, MissingColumns
from pipeline.config import Columns
from tests.tables import COLUMNS, cleaned, client_cells, raw


def of_type(kind: str, cells: list[str], **limits: float):
    """Clean a table whose one feature has this type and these cells; its ids are the positions."""
    columns = Columns.model_validate({"id": "id", "target": "t", "features": {"x": {"type": kind, **limits}}})
    return cleaned([[str(position), "1", cell] for position, cell in enumerate(cells)], columns)


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
NO_NUMBERS = """abc - -- 1,5 1_000 0x10 1e 1d3 1f TRUE 1% $5 1.2.3
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
    values, flaws = TYPES[kind](pa.array([None, "2025-01-01", None, "7"], pa.string()))
    assert len(values) == 4
    lost = {position for position, _ in flaws}
    assert {position for position, value in enumerate(values.to_pylist()) if value is None} == {0, 2} | lost
    assert not lost & {0, 2}
    assert TYPES[kind](pa.array([], pa.string())) == (values[:0], [])


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


# ------------------------------------------------------------------------------------------------ hashes
def test_a_row_has_the_same_hash_for_ever():
    rows = cleaned([["C00001", "2025-01-31", "no", "12.5", "", "gold"]]).rows
    assert rows[ROW].to_pylist() == [bytes.fromhex("65c9432b84fe6def3fce0ec366fe2b04")]


def test_the_hash_is_that_of_the_values_each_in_its_own_width():
    rows = cleaned([["C1", "2025-01-31", "no", "-12.5", "", "gold"]]).rows
    values = [
        b"\1" + hashlib.blake2b(b"C1", digest_size=16).digest(),
        b"\1" + struct.pack("<q", 1738281600 * 10**6),
        b"\1" + hashlib.blake2b(b"no", digest_size=16).digest(),
        b"\1" + struct.pack("<d", -12.5),
        b"\0" + bytes(8),
        b"\1" + hashlib.blake2b(b"gold", digest_size=16).digest(),
    ]
    assert rows[ROW].to_pylist() == [hashlib.blake2b(b"".join(values), digest_size=16).digest()]


ROWS = st.tuples(
    st.sampled_from(["a", "ab", "b"]),
    st.dates().map(str),
    st.sampled_from(["yes", "no", ""]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.just(""),
    st.datetimes().map(str) | st.just(""),
    st.text(st.sampled_from("ab01.é"), max_size=4),
)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(ROWS, max_size=8))
def test_two_rows_have_the_same_hash_exactly_if_they_have_the_same_values(cells):
    rows = cleaned(cells).rows
    values = [tuple(row.values()) for row in rows.drop_columns([ROW]).to_pylist()]
    assert len(set(rows[ROW].to_pylist())) == len(set(values))


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(ROWS, max_size=8), st.integers(0, 99))
def test_the_order_of_rows_does_not_matter_to_their_hashes(cells, seed):
    shuffled = random.Random(seed).sample(cells, len(cells))
    assert sorted(cleaned(shuffled).rows[ROW].to_pylist()) == sorted(cleaned(cells).rows[ROW].to_pylist())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0", "-0.0", True), ("1", "1.0", True), ("1e2", "100", True), (" 5", "5", True), ("NA", "", True),
        ("", "0", False), ("0.1", "0.10000000000000001", True), ("0.1", "0.10000000000000002", False),
    ],
)  # fmt: skip
def test_equal_numbers_make_equal_rows_however_they_are_written(one, other, same):
    first, second = of_type("number", [one]).rows[ROW], of_type("number", [other]).rows[ROW]
    assert (first == second) is same


def test_a_value_in_another_column_makes_another_row():
    columns = Columns.model_validate(
        {"id": "id", "target": "t", "features": {"x": "category", "y": "category"}}
    )
    one, other = cleaned([["1", "t", "a", ""], ["1", "t", "", "a"]], columns).rows[ROW].to_pylist()
    assert one != other


def test_distinct_keeps_the_first_of_equal_rows_and_remembers_them_for_the_next_table():
    known: set[bytes] = set()
    cells = client_cells(20)
    first = cleaning.distinct(cleaned([*cells[:10], *cells[:5]]).rows, known)
    second = cleaning.distinct(cleaned(cells).rows, known)
    assert first["client"].to_pylist() == [row[0] for row in cells[:10]]
    assert second["client"].to_pylist() == [row[0] for row in cells[10:]]
    assert len(known) == 20
    assert len(cleaning.distinct(cleaned(cells).rows, known)) == 0


def test_hashes_are_spread_evenly():
    heads = np.frombuffer(b"".join(cleaned(client_cells(2000)).rows[ROW].to_pylist()), np.uint8)
    assert abs(heads.mean() - 127.5) < 2
