"""Source files as tables of text: what is a table, and on which line of the file each row stands."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import readers
from pipeline.readers import FORMATS, BadRow, NotATable, RawTable


def read(content: bytes) -> RawTable:
    """Read it as CSV."""
    return readers.read(Path("some.csv"), content)


def rows(table: RawTable) -> list[tuple[str, ...]]:
    """Give the cells of each good row."""
    return [tuple(row.values()) for row in table.cells.to_pylist()]


TABLES = {
    "plain": (b"a,b\n1,2\n3\n4,5\n", [2, 4], [3]),
    "without a last line end": (b"a,b\n1,2\n3", [2], [3]),
    "with Windows line ends": (b"a,b\r\n1,2\r\n3\r\n\r\n4,5\r\n", [2, 5], [3]),
    "with mixed line ends": (b"a,b\r\n1,2\n3\r4,5\n6\n", [2, 4], [3, 5]),
    "with a byte order mark": (b"\xef\xbb\xbfa,b\n1,2\n3\n", [2], [3]),
    "with a byte order mark and quotes": (b'\xef\xbb\xbf"a","b"\n1,2\n3\n', [2], [3]),
    "with blank lines between": (b"a,b\n\n1,2\n\n\n3\n4,5\n", [3, 7], [6]),
    "with blank lines on top": (b"\n\r\na,b\n1,2\n3\n", [4], [5]),
    "with a byte order mark and a blank line on top": (b"\xef\xbb\xbf\na,b\n1,2\n3\n", [3], [4]),
    "with line ends in quotes": (b'a,b\n"x\ny\n",2\n3\n4,"\r\n"\n6\n', [2, 6], [5, 8]),
    "with a line end in the header": (b'"a\n1",b\n1,2\n3\n', [3], [4]),
    "with too many cells": (b"a,b\n1,2\n3,4,5\n6,7\n", [2, 4], [3]),
    "with other signs that split lines for some": (
        "a,b\n1\u2028,\x0b\n3\n4\x85,\x0c\n".encode(),
        [2, 4],
        [3],
    ),
    "with a cell of a megabyte": (b"a,b\n" + b"x" * 1_000_000 + b",2\n3\n4,5\n", [2, 4], [3]),
}


@pytest.mark.parametrize(("content", "good", "ragged"), TABLES.values(), ids=TABLES)
def test_each_row_is_known_by_the_line_it_stands_on(content, good, ragged):
    table = read(content)
    assert table.lines() == good
    assert [bad.line for bad in table.ragged] == ragged
    assert table.cells.num_rows == len(good)
    assert {str(column.type) for column in table.cells.columns} == {"string"}


CELLS = st.sampled_from(["", "a", "1", " ", ",", '"', "\n", "\r\n", "\r", '""', '"x"', "é", "a,\n"])


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.lists(CELLS, min_size=1, max_size=3), max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_whatever_the_cells_the_row_can_be_read_again_from_its_line(table, end):
    text = io.StringIO()
    out = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL)
    out.writerow(["first", "second"])
    out.writerows(table)
    read_back = read(text.getvalue().encode())
    lines = list(io.StringIO(text.getvalue(), newline=""))
    from_line = [tuple(next(csv.reader(lines[line - 1 :]))) for line in read_back.lines()]
    assert from_line == rows(read_back) == [tuple(row) for row in table if len(row) == 2]
    told = [next(csv.reader(lines[bad.line - 1 :])) for bad in read_back.ragged]
    assert told == [row for row in table if len(row) != 2]


def test_a_ragged_row_is_told_with_its_text_and_how_many_cells_are_right():
    assert read(b"a,b\n1,2\n3,4,5\n").ragged == [BadRow(3, "", "3,4,5", "3 cell(s) where the header has 2")]
    assert str(read(b"a,b\n3\n").ragged[0]) == "line 2: '3': 1 cell(s) where the header has 2"


def test_a_long_bad_value_is_told_in_part():
    assert len(str(BadRow(2, "a", "x" * 5000, "not a number"))) < 300


def test_cells_are_given_as_they_were_written():
    assert rows(read(b'a,b\n 1 ,"x ""y"""\nNA,007\n,1e3\n')) == [(" 1 ", 'x "y"'), ("NA", "007"), ("", "1e3")]
    assert rows(read(b"a,b\n3.5\" disk,'1'\n")) == [('3.5" disk', "'1'")]


@pytest.mark.parametrize("content", [b"a,b\n", b"a,b\r\n", b"a,b\n\n\n", b"a,b"])
def test_a_header_alone_is_a_table_without_rows(content):
    table = read(content)
    assert (table.cells.column_names, table.cells.num_rows, table.lines(), table.ragged) == (
        ["a", "b"],
        0,
        [],
        [],
    )


NO_TABLES = {
    "an empty file": (b"", "empty file: a header line and rows are expected"),
    "white space": (b" \n\r\n", "empty file"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "encoded as UTF-16; save it as UTF-8"),
    "UTF-16 without a mark": ("a,b\n1,2\n".encode("utf-16-be"), "NUL bytes"),
    "a file cut off and filled with NUL": (b"a,b\n1,2\n\0\0\0", "NUL bytes"),
    "a spreadsheet": (b"PK\x03\x04\x14\x00\x06\x00", "NUL bytes: it is binary"),
    "Latin-1 in a row": (b"a,b\n1,caf\xe9\n", "UTF-?8"),
    "Latin-1 in the header": (b"a,caf\xe9\n1,2\n", "not UTF-8 text"),
    "a column named twice": (b"a,b,a\n1,2,3\n", "column.* a named twice"),
    "a quote that is never closed": (b'a,b\n1,"x\n2,y\n3,z\n', "quot"),
    "a quote that is never closed, in a file of old line ends": (b'a,b\r1,"x\r2,y\r3,z\r', "quot"),
    "a quote that is never closed in a ragged row": (b'a,b\n1,x\n"2\n3,z\n', "quot"),
    "two quotes that are never closed": (b'a,b\n1,"x\n2,y\n3,"z\n4,u\n', "quot"),
}


@pytest.mark.parametrize(("content", "told"), NO_TABLES.values(), ids=NO_TABLES)
def test_what_is_no_table_is_refused_with_the_reason(content, told):
    with pytest.raises(NotATable, match=told) as caught:
        read(content)
    assert len(str(caught.value).splitlines()) == 1


def test_an_html_page_has_no_row_of_the_table():
    table = read(b"<!DOCTYPE html>\n<html><body>\n<p>404, not found</p>\n</body></html>\n")
    assert table.cells.column_names == ["<!DOCTYPE html>"]


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_refuses_what_is_empty_or_of_another_format(ending):
    for content in (b"", b"\0\1\2\3", b"\x1f\x8b\x08\x00rest"):
        with pytest.raises(NotATable):
            readers.read(Path(f"some{ending}"), content)


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_is_known_by_its_ending_however_it_is_written(ending):
    assert FORMATS[ending].__doc__
    assert ending == ending.lower()
    with pytest.raises(NotATable, match="empty"):
        readers.read(Path(f"SOME{ending.upper()}"), b"")


@pytest.mark.parametrize("name", ["notes.txt", "noending", ".csv"])
def test_a_file_of_unknown_ending_is_told_the_known_ones(name):
    with pytest.raises(NotATable, match=r"known: .*\.csv"):
        readers.read(Path(name), b"a,b\n1,2\n")
