"""Source files as tables: what is a table in each format, and where in the file each row stands."""

import csv
import gzip
import io
import json
import random
import subprocess
import sys
import zipfile
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from unittest import mock

import openpyxl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from pipeline import readers
from pipeline.readers import FORMATS, LONGEST_VALUE, BadRow, NotATable, RawTable, Spelling
from pipeline.readers import lines as reader_lines

CUT_OFF = "the file ends without a line end, so this row may be cut off: end the line and drop the file again"


def read(content: bytes, *wanted: str, name: str = "some.csv", **spelling) -> RawTable:
    """Read it, as CSV if nothing else is said."""
    return readers.read(name, content, wanted, Spelling(**spelling))


def rows(table: RawTable) -> list[tuple]:
    """Give the cells of each good row."""
    return [tuple(row.values()) for row in table.cells.to_pylist()]


def types(table: RawTable) -> dict[str, str]:
    """Give the type of each column."""
    return {field.name: str(field.type) for field in table.cells.schema}


def refusal(content: bytes, *wanted: str, name: str = "some.csv", **spelling) -> str:
    """Give the one line with which it's refused."""
    with pytest.raises(NotATable) as caught:
        read(content, *wanted, name=name, **spelling)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# --- CSV and TSV: lines -------------------------------------------------------------------------------------------

TABLES = {
    "plain": (b"a,b\n1,2\n3\n4,5\n", [2, 4], [3]),
    "without a last line end": (b"a,b\n1,2\n3,4", [2], [3]),
    "with Windows line ends": (b"a,b\r\n1,2\r\n3\r\n\r\n4,5\r\n", [2, 5], [3]),
    "with old line ends": (b"a,b\r1,2\r3\r4,5\r", [2, 4], [3]),
    "with mixed line ends": (b"a,b\r\n1,2\n3\r4,5\n6\n", [2, 4], [3, 5]),
    "with a byte order mark": (b"\xef\xbb\xbfa,b\n1,2\n3\n", [2], [3]),
    "with a byte order mark and quotes": (b'\xef\xbb\xbf"a","b"\n1,2\n3\n', [2], [3]),
    "with blank lines between": (b"a,b\n\n1,2\n\n\n3\n4,5\n", [3, 7], [6]),
    "with blank lines on top": (b"\n\r\na,b\n1,2\n3\n", [4], [5]),
    "with a byte order mark and a blank line on top": (b"\xef\xbb\xbf\na,b\n1,2\n3\n", [3], [4]),
    "with line ends in quotes": (b'a,b\n"x\ny\n",2\n3\n4,"\r\n"\n6\n', [2, 6], [5, 8]),
    "with a line end in the header": (b'"a\n1",b\n1,2\n3\n', [3], [4]),
    "with a first row of more cells than the header": (b"a,b\n1,2,3\n4,5\n", [3], [2]),
    "with too many cells": (b"a,b\n1,2\n3,4,5\n6,7\n", [2, 4], [3]),
    "with spaces behind the last line": (b"a,b\n1,2\n3\n  ", [2], [3]),
    "with a separator line": (b"sep=;\na;b\n1;2\n3\n", [3], [4]),
    "with other signs that split lines for some": (
        "a,b\n1\u2028,\x0b\n3\n4\x85,\x0c\n".encode(),
        [2, 4],
        [3],
    ),
    "with a cell too long, and a ragged row": (b"a,b\n" + b"x" * 40_000 + b",2\n3\n4,5\n", [4], [2, 3]),
    "with a row longer than is parsed at a time": (
        b"a,b\n1,2\n" + b",".join([b"x" * 30_000] * 300) + b"\n3\n4,5\n",
        [2, 5],
        [3, 4],
    ),
}


@pytest.mark.parametrize(("content", "good", "ragged"), TABLES.values(), ids=TABLES)
def test_each_row_is_known_by_the_line_it_stands_on(content, good, ragged):
    table = read(content)
    assert table.lines() == good
    assert [bad.line for bad in table.ragged] == ragged
    assert table.cells.num_rows == len(good)
    assert set(types(table).values()) == {"string"}


@pytest.mark.parametrize(("content", "good", "ragged"), TABLES.values(), ids=TABLES)
def test_an_excerpt_has_the_header_and_the_asked_rows_and_reads_again(content, good, ragged):
    table = read(content)
    again = read(table.excerpt(set(good)))
    assert (again.names, again.ragged) == (table.names, [])
    assert rows(again) == rows(table)
    assert [bad.reason for bad in read(table.excerpt(set(ragged))).ragged] == [
        bad.reason for bad in table.ragged
    ]
    assert rows(read(table.excerpt(set()))) == []


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
    assert rows(read(read_back.excerpt(set(read_back.lines())))) == rows(read_back)


def test_a_ragged_row_is_told_with_its_text_and_how_many_cells_are_right():
    assert read(b"a,b\n1,2\n3,4,5\n").ragged == [BadRow(3, "", "3,4,5", "3 cell(s) where the header has 2")]
    assert str(read(b"a,b\n3\n").ragged[0]) == "line 2: '3': 1 cell(s) where the header has 2"


def test_a_long_bad_value_is_told_in_part():
    assert len(str(BadRow(2, "a", "x" * 5000, "not a number"))) < LONGEST_VALUE + 100


def test_cells_are_given_as_they_were_written():
    assert rows(read(b'a,b\n 1 ,"x ""y"""\nNA,007\n,1e3\n')) == [(" 1 ", 'x "y"'), ("NA", "007"), ("", "1e3")]
    assert rows(read(b"a,b\n3.5\" disk,'1'\n")) == [('3.5" disk', "'1'")]


# --- CSV and TSV: header, separator, encoding ------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"a,b\n", b"a,b\r\n", b"a,b\n\n\n", b"a,b", b"a,b\n  ", b"\n\na,b"])
def test_a_header_alone_is_a_table_without_rows(content):
    table = read(content)
    assert (table.names, types(table)) == (["a", "b"], {"a": "string", "b": "string"})
    assert (table.cells.num_rows, table.lines(), table.ragged) == (0, [], [])


def test_only_wanted_columns_are_given_in_the_order_of_the_file_by_their_names_without_spaces():
    table = read(b"x, b ,y,a\n1,2,3,4\n5,6\n", "a", "b", "nowhere")
    assert table.cells.column_names == ["b", "a"]
    assert rows(table) == [("2", "4")]
    assert table.names == ["x", "b", "y", "a"]
    assert [bad.line for bad in table.ragged] == [3]


def test_of_a_file_without_any_wanted_column_only_the_names_are_told():
    table = read(b"a,b\n1,2\n3\n", "c", "d")
    assert (table.names, table.cells.num_columns, table.lines(), table.ragged) == (["a", "b"], 0, [], [])


def test_a_column_named_twice_is_refused_only_if_it_is_wanted():
    content = b"a,b,a,,\n1,2,3,4,5\n"
    assert rows(read(content, "b")) == [("2",)]
    assert "column(s) 'a' named twice" in refusal(content, "a", "b")
    assert "column(s) '', 'a' named twice" in refusal(content)
    assert "'a' named twice" in refusal(b"a, a\n1,2\n", "a")


def test_ten_thousand_columns_cost_only_the_wanted_ones():
    names = [f"c{number}" for number in range(10_000)]
    content = "\n".join([",".join(names), *[",".join("1" * 10_000)] * 20]).encode() + b"\n"
    table = read(content, "c9999", "c5")
    assert table.cells.column_names == ["c5", "c9999"]
    assert rows(table) == [("1", "1")] * 20


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_the_separator_is_recognised_by_the_wanted_names_or_else_by_the_most_cells(separator, ending):
    content = separator.join(["a", "b,c" if separator != "," else "b;c", "d"]).encode() + b"\n"
    content += content.replace(b"a", b"1")
    assert read(content, "a", "d", name=f"x{ending}").cells.column_names == ["a", "d"]
    assert len(read(content, name=f"x{ending}").names) == 3


def test_wanted_names_tell_more_than_the_number_of_cells():
    assert rows(read(b"a;b,c,d,e\n1;2,3,4,5\n", "a", "b,c,d,e")) == [("1", "2,3,4,5")]


def test_a_tsv_is_parted_by_tabs_where_commas_would_do_as_well():
    assert read(b"a\tb,c\n", name="x.tsv").names == ["a", "b,c"]
    assert read(b"a\tb,c\n", name="x.csv").names == ["a\tb", "c"]
    assert read(b"a\tb,c\n", name="x.tsv").excerpt_ending == ".tsv"


def test_the_configured_separator_wins():
    assert read(b"a,b,c:d\n", separator=":").names == ["a,b,c", "d"]
    assert read(b"sep=;\na,b\n", separator=",").names == ["a", "b"]
    for wrong in ("", "::", '"', "\n", "é"):
        if wrong:
            assert "can't part cells" in refusal(b"a,b\n", separator=wrong)


@pytest.mark.parametrize("line", [b"sep=;\n", b"SEP=;\r\n", b"\xef\xbb\xbfsep=;\n"])
def test_a_separator_line_names_the_separator_and_is_no_header(line):
    table = read(line + b"a;b,c,d\n1;2\n")
    assert table.names == ["a", "b,c,d"]
    assert table.lines() == [3]
    assert read(b"sep=\t\na\tb,c,d\n").names == ["a", "b,c,d"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("big", [False, True])
def test_unicode_is_recognised_by_its_byte_order_mark(encoding, big):
    text = "náme,b\n1,žluť 😀\n3\n"
    content = text.encode(encoding)
    if big and encoding in ("utf-16", "utf-32"):
        content = ("\ufeff" + text).encode(encoding + "-be")
    table = read(content)
    assert (table.names, rows(table)) == (["náme", "b"], [("1", "žluť 😀")])
    assert [bad.line for bad in table.ragged] == [3]
    assert rows(read(table.excerpt({2}))) == rows(table)


def test_a_configured_encoding_is_used_and_the_excerpt_reads_with_it_too():
    table = read("náme,b\n1,é\n3\n".encode("cp1252"), encoding="cp1252")
    assert rows(table) == [("1", "é")]
    assert rows(read(table.excerpt({2}), encoding="cp1252")) == rows(table)
    assert rows(read(b"\xef\xbb\xbfa,b\n1,\xc3\xa9\n", encoding="cp1252")) == [("1", "é")]
    assert "unknown encoding 'klingon'" in refusal(b"a,b\n", encoding="klingon")
    assert "not ascii text" in refusal(b"a,\xe9\n", encoding="ascii")


NO_TABLES = {
    "an empty file": (b"", "empty file: a header line and rows are expected"),
    "white space": (b" \n\r\n", "empty file"),
    "a lone byte order mark": (b"\xef\xbb\xbf", "empty file"),
    "a separator line alone": (b"sep=;\n", "empty file"),
    "UTF-16 without a mark": ("a,b\n1,2\n".encode("utf-16-be"), "NUL bytes"),
    "half of UTF-16": ("a,b\n1,2\n".encode("utf-16")[:-1], "not utf-16-le text"),
    "a file cut off and filled with NUL": (b"a,b\n1,2\n\0\0\0", "NUL bytes"),
    "a spreadsheet": (b"PK\x03\x04\x14\x00\x06\x00", "a zip file or workbook"),
    "an old spreadsheet": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook: save it as"),
    "gzip": (gzip.compress(b"a,b\n1,2\n"), "compressed with gzip: let its name end with .gz"),
    "a PDF": (b"%PDF-1.7\n1,2\n", "a PDF document"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    "an HTML page": (b"\n <!DOCTYPE html>\n<html><p>404, not found</p></html>\n", "an HTML or XML page"),
    "Latin-1 in a row": (
        b"a,b\n1,caf\xe9\n",
        "save it as UTF-8, or name its encoding in paths.source (encoding: cp1252)",
    ),
    "Latin-1 in the header": (b"a,caf\xe9\n1,2\n", "not UTF-8 text"),
    "Latin-1 in a column that nobody wants": (b"a,b,c\n1,2,caf\xe9\n", "not UTF-8 text"),
    "Latin-1 and UTF-8 mixed": ("a,b\n1,é\n".encode() + b"2,\xe9\n", "not UTF-8 text"),
    "an overlong sign": (b"a,b\n1,\xc0\xaf\n", "not UTF-8 text"),
    "half a character": (b"a,b\n1,\xed\xa0\x80\n", "not UTF-8 text"),
    "a column named twice": (b"a,b,a\n1,2,3\n", "column(s) 'a' named twice"),
    "a quote that is never closed": (b'a,b\n1,"x\n2,y\n3,z\n', "quote is not closed"),
    "a quote never closed, in a file of old line ends": (b'a,b\r1,"x\r2,y\r3,z\r', "quote is not closed"),
    "a quote never closed, in a file of Windows line ends": (
        b'a,b\r\n1,"x\r\n2,y\r\n',
        "quote is not closed",
    ),
    "a quote never closed in a ragged row": (b'a,b\n1,x\n"2\n3,z\n', "quote is not closed"),
    "a quote never closed in the last row": (b'a,b\n1,x\n3,"z\n', "quote is not closed"),
    "a quote never closed in the last row, cut off": (b'a,b\n1,x\n3,"z', "quote is not closed"),
    "a quote never closed in the header": (b'a,"b\n1,2\n', "a quote in the header is not closed"),
    "two quotes that are never closed": (b'a,b\n1,"x\n2,y\n3,"z\n4,u\n', "quote is not closed"),
}


@pytest.mark.parametrize(("content", "told"), NO_TABLES.values(), ids=NO_TABLES)
def test_what_is_no_table_is_refused_with_the_reason(content, told):
    assert told in refusal(content, *("a", "b") if b"a,b,c" in content else ())


@pytest.mark.parametrize(
    ("content", "good", "told"),
    [
        (b"a,b\n1,2\n3,200", [2], "3,200"),
        (b"a,b\n1,2\n3,", [2], "3,"),
        (b"a,b\n1,2\n3", [2], "3"),
        (b'a,b\n"1",2\n"3",2', [2], '"3",2'),
        (b'a,b\n"1\n",2\n"3\n",2', [2], '"3\n",2'),
        (b'a,b\n1,2\n3,z"', [2], '3,z"'),
        (b"a,b\r1,2\r3,4", [2], "3,4"),
        (b"a,b\n3,4", [], "3,4"),
        (b'a,b\n1,2\n3,"4"', [2, 3], None),
        (b'a,b\n1,2\n3,"4\n5"', [2, 3], None),
        (b"a,b\n1,2\n ", [2], None),
    ],
)
def test_a_last_row_that_may_be_cut_off_is_set_aside(content, good, told):
    table = read(content)
    assert table.lines() == good
    assert [(bad.value, bad.reason) for bad in table.ragged] == ([(told, CUT_OFF)] if told else [])


def test_a_cell_longer_than_a_spreadsheet_holds_is_a_flaw_if_it_is_wanted():
    content = b"a,b,c\n1,2,3\n" + b"4," + b"x" * 32_768 + b"," + b"y" * 32_767 + b"\n5,6,7\n"
    table = read(content)
    assert [(bad.line, bad.column, bad.reason) for bad in table.ragged] == [
        (3, "b", "32,768 characters in one cell")
    ]
    assert table.lines() == [2, 4]
    assert rows(table) == [("1", "2", "3"), ("5", "6", "7")]
    assert read(content, "a", "c").ragged == []
    assert read(b"a,b\n1," + "é".encode() * 32_767 + b"\n").ragged == []


@pytest.mark.parametrize(
    ("city", "end"), [("Berlin", "\n"), ('"Berlin"', "\r\n"), ("Żory", "\n"), ('"New\n""York"""', "\n")]
)
def test_of_a_clean_file_only_the_first_lines_are_looked_at_in_python(city, end):
    lines = [f"{n},{city},{n / 7:.2f},{n % 99},2025-01-02" for n in range(2_000)]
    seen, decoded = [], reader_lines.decoded_lines

    def noted(*arguments):
        for line in decoded(*arguments):
            seen.append(line)
            yield line

    with mock.patch.object(reader_lines, "decoded_lines", noted):
        table = readers.read("x.csv", (end.join(["id,city,amount,age,day", *lines]) + end).encode())
    assert len(table.cells) == 2_000
    assert 0 < len(seen) < 20


def test_reading_csv_imports_no_pandas():
    code = """
import sys
from pipeline import readers
table = readers.read("x.csv", b'a,b,c\\n1,2,"3"\\n4\\n5,6,7', ["a", "b"])
table.lines(), table.excerpt({2})
print(sorted({"pandas", "scipy", "sklearn", "openpyxl", "zipfile"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- compression and size --------------------------------------------------------------------------------------------

ZSTD = pa.Codec("zstd")
PACK = {".gz": gzip.compress, ".zst": lambda content: ZSTD.compress(content).to_pybytes()}
PACK[".zstd"] = PACK[".zst"]


@pytest.mark.parametrize("ending", PACK)
def test_a_compressed_file_is_opened_all_of_its_parts(ending):
    content = PACK[ending](b"a,b\n1,2\n") + PACK[ending](b"3,4\n5\n")
    table = read(content, name=f"clients.CSV{ending.upper()}")
    assert rows(table) == [("1", "2"), ("3", "4")]
    assert table.lines() == [2, 3]
    assert table.excerpt({4}) == b"a,b\n5\n"


@pytest.mark.parametrize("ending", PACK)
def test_a_compressed_file_that_is_cut_off_or_corrupt_is_refused(ending):
    whole = PACK[ending](b"a,b\n" + b"1,2\n" * 1000)
    for cut in range(1, len(whole)):
        assert "corrupt or cut off" in refusal(whole[:cut], name=f"x.csv{ending}")
    assert "corrupt or cut off" in refusal(whole + b"more and more of it", name=f"x.csv{ending}")
    assert "corrupt or cut off" in refusal(b"a,b\n1,2\n", name=f"x.csv{ending}")


@pytest.mark.parametrize("ending", PACK)
def test_a_compressed_file_opens_only_up_to_the_limit(ending):
    bomb = PACK[ending](b"a,b\n" + b"1,2\n" * 1_000_000)
    assert len(bomb) < 20_000
    told = refusal(bomb, name=f"x.csv{ending}", max_bytes=1 << 20)
    assert told.startswith("opens to more than 1,048,576 bytes (cleaning.max_file_mb)")
    assert read(bomb, name=f"x.csv{ending}", max_bytes=4_000_004).cells.num_rows == 1_000_000


def test_a_plain_file_over_the_limit_is_refused():
    assert refusal(b"a,b\n1,2\n", max_bytes=7).startswith("has more than 7 bytes (cleaning.max_file_mb)")
    assert read(b"a,b\n1,2\n", max_bytes=8).lines() == [2]


# --- JSON ------------------------------------------------------------------------------------------------------------


def of_json(text: str, *wanted: str, lines: bool = False) -> RawTable:
    """Read it as JSON, or as JSON Lines."""
    return read(text.encode(), *wanted, name="some.jsonl" if lines else "some.json")


def test_json_columns_have_the_type_that_all_their_values_have():
    table = of_json(
        '[{"b": true, "i": 1, "f": 0.5, "m": 1, "s": "x", "n": null, "gone": 1},'
        ' {"i": 9007199254740993, "f": 2.0, "b": null, "s": "é", "m": 2.5, "n": null}]'
    )
    assert types(table) == {
        "b": "bool",
        "i": "int64",
        "f": "double",
        "m": "double",
        "s": "string",
        "n": "string",
        "gone": "int64",
    }
    assert rows(table) == [
        (True, 1, 0.5, 1.0, "x", None, 1),
        (None, 9007199254740993, 2.0, 2.5, "é", None, None),
    ]
    assert table.lines() == [1, 2]


def test_json_columns_of_mixed_types_are_text_spelt_plainly():
    table = of_json('[{"a": 1.0}, {"a": "x"}, {"a": true}, {"a": null}, {"a": 2.5}, {"a": 7}, {}]')
    assert rows(table) == [("1",), ("x",), ("true",), (None,), ("2.5",), ("7",), (None,)]


def test_json_numbers_lose_no_digits():
    huge, long = "123456789012345678901234567890", "9" * 5000
    assert rows(of_json(f'[{{"a": {huge}}}, {{"a": 1}}]')) == [(huge,), ("1",)]
    assert rows(of_json(f'[{{"a": {long}}}]')) == [(long,)]
    assert rows(of_json('[{"a": 9007199254740993}, {"a": 0.5}]')) == [("9007199254740993",), ("0.5",)]
    assert rows(of_json('[{"a": -9223372036854775808}, {"a": 9223372036854775807}]')) == [
        (-(2**63),),
        (2**63 - 1,),
    ]
    assert rows(of_json('[{"a": 1e999}]')) == [("1e999",)]


JSON_FLAWS = {
    '{"a": [1]}': ("a", "column a holds a list, a single value is expected"),
    '{"a": {"x": 1}}': ("a", "column a holds an object, a single value is expected"),
    '{"a": NaN}': ("a", "column a holds NaN, which JSON has not; null is a missing value"),
    '{"a": -Infinity}': ("a", "column a holds -Infinity, which JSON has not; null is a missing value"),
    '{"a": 1, "a": 2}': ("a", "key 'a' is named twice in one object"),
    '{"a": 1, " a": 2}': ("a", "key 'a' is named twice in one object"),
    '{"a": "\\ud800"}': ("a", "column a holds half a character (a lone surrogate)"),
    "[1]": ("", "a list, where an object is expected"),
    "null": ("", "a single value, where an object is expected"),
}


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize(("bad", "told"), JSON_FLAWS.items())
def test_a_json_record_that_is_no_row_is_set_aside_with_the_reason(bad, told, lines):
    records = ['{"a": 1, "b": 2}', bad, '{"a": 3, "b": [1, {"x": 1, "x": NaN}]}']
    table = of_json("\n".join(records) if lines else f"[{', '.join(records)}]", "a", lines=lines)
    assert rows(table) == [(1,), (3,)]
    assert table.lines() == [1, 3]
    assert [(flaw.line, flaw.column, flaw.reason) for flaw in table.ragged] == [(2, *told)]
    assert table.excerpt({2}).decode() == bad + "\n"
    assert table.excerpt_ending == ".jsonl"


def test_what_nobody_wants_of_a_json_record_is_no_flaw():
    table = of_json('[{"a": 1, "b": [], "c": NaN, "c": 2, "\\ud800": 1}]', "a")
    assert (rows(table), table.ragged, table.names) == ([(1,)], [], ["a", "b", "c", "?"])


def test_one_object_that_holds_one_list_of_objects_is_fine():
    table = of_json(
        '{"count": 2, "next": null, "tags": ["x"], "meta": {"a": 9}, "data": [{"a": 1}, {"a": 2}]}'
    )
    assert rows(table) == [(1,), (2,)]
    assert table.excerpt({2}) == b'{"a": 2}\n'


def test_an_excerpt_of_json_has_one_record_a_line():
    table = of_json('[{"a": 1},\n {"a": 2,\n\t"b": "x\u2028y"}\n]')
    assert table.excerpt({2}).decode() == '{"a": 2, "b": "x\u2028y"}\n'
    assert rows(of_json(table.excerpt({1, 2}).decode(), lines=True)) == rows(table)


def test_an_empty_list_is_a_table_without_rows_or_columns():
    table = of_json("[]", "a")
    assert (table.names, table.cells.num_rows, table.lines()) == ([], 0, [])


NO_JSON = {
    "": "empty",
    "3": "a list of objects is expected",
    '"x"': "a list of objects is expected",
    "[1, 2]": "a list of objects is expected",
    '{"a": 1}': "0 lists of objects",
    '{"a": [{"x": 1}], "b": [{"x": 1}]}': "2 lists of objects",
    '[{"a": 1}': "not JSON, or cut off",
    '[{"a": 1}, {"a"': "not JSON, or cut off",
    '[{"a": 1},]': "not JSON, or cut off",
    '[{"a": 1} {"a": 2}]': "not JSON, or cut off",
    '[{"a": 1}] [{"a": 2}]': "not JSON, or cut off",
    '{"a": [{"x": 1}]': "not JSON, or cut off",
    '{"a" [{"x": 1}]}': "not JSON, or cut off",
    "{a: [1]}": "not JSON, or cut off",
    "a,b\n1,2\n": "not JSON, or cut off",
    "[" * 100_000: "nested too deep",
    "<html></html>": "HTML",
}


@pytest.mark.parametrize("text", NO_JSON, ids=lambda text: text[:40])
def test_json_that_is_no_list_of_objects_is_refused(text):
    assert NO_JSON[text] in refusal(text.encode(), name="x.json")


def test_a_json_line_that_is_none_is_a_bad_row_and_a_last_one_that_parses_is_whole():
    table = of_json('{"a": 1}\r\n\n{"a": 2\n{"a": 3}', lines=True)
    assert table.lines() == [1, 4]
    assert [bad.line for bad in table.ragged] == [3]
    assert table.ragged[0].reason.startswith("not JSON, or cut off: ")
    assert table.excerpt({3}) == b'{"a": 2\n'
    assert [bad.line for bad in of_json('{"a": 1}\n{"a": 2', lines=True).ragged] == [2]
    assert [bad.reason for bad in of_json('{"a": 1}\n' + "[" * 100_000, lines=True).ragged] == [
        "nested too deep"
    ]


def test_lines_without_any_json_object_are_refused():
    assert "no line holds a JSON object (line 1: not JSON" in refusal(b"a,b\n1,2\n", name="x.jsonl")
    assert "no line holds a JSON object" in refusal(b"1\n2\n", name="x.ndjson")


def test_json_may_be_in_another_encoding():
    content = '[{"a": "é"}]'
    assert rows(read(content.encode("utf-16"), name="x.json")) == [("é",)]
    assert rows(read(content.encode("utf-8-sig"), name="x.json")) == [("é",)]
    table = read(content.encode("cp1252"), name="x.json", encoding="cp1252")
    assert rows(table) == [("é",)]
    assert rows(read(table.excerpt({1}), name="x.jsonl", encoding="cp1252")) == [("é",)]


# --- Parquet ---------------------------------------------------------------------------------------------------------


def of_parquet(table: dict | pa.Table, *wanted: str, max_bytes: int = 1 << 30, **options) -> RawTable:
    """Write it as Parquet and read it."""
    content = io.BytesIO()
    parquet.write_table(table if isinstance(table, pa.Table) else pa.table(table), content, **options)
    return read(content.getvalue(), *wanted, name="some.parquet", max_bytes=max_bytes)


PARQUET = {
    "bool": (pa.array([True, None]), "bool", [True, None]),
    "int8": (pa.array([1, None], pa.int8()), "int64", [1, None]),
    "int64": (pa.array([2**53 + 1, None]), "int64", [2**53 + 1, None]),
    "uint64": (pa.array([1, None], pa.uint64()), "int64", [1, None]),
    "uint64 too large": (pa.array([2**64 - 1, None], pa.uint64()), "string", [str(2**64 - 1), None]),
    "float": (pa.array([0.5, None], pa.float32()), "double", [0.5, None]),
    "decimal": (
        pa.array([Decimal("12345678901234567890.10"), None]),
        "string",
        ["12345678901234567890.10", None],
    ),
    "date": (pa.array([date(2025, 1, 2), None]), "date32[day]", [date(2025, 1, 2), None]),
    "date64": (pa.array([date(2025, 1, 2), None], pa.date64()), "date32[day]", [date(2025, 1, 2), None]),
    "timestamp": (
        pa.array([datetime(2025, 1, 2, 3), None], pa.timestamp("ms", "UTC")),
        "timestamp[ms, tz=UTC]",
        [datetime(2025, 1, 2, 3, tzinfo=UTC), None],
    ),
    "time": (pa.array([time_of_day(1, 2), None], pa.time32("s")), "string", ["01:02:00", None]),
    "text": (pa.array(["x", None]), "string", ["x", None]),
    "long text": (pa.array(["x", None], pa.large_string()), "string", ["x", None]),
    "category": (pa.array(["x", None]).dictionary_encode(), "string", ["x", None]),
    "bytes that are text": (pa.array([b"x", None]), "string", ["x", None]),
    "nothing": (pa.nulls(2), "string", [None, None]),
}


@pytest.mark.parametrize("name", PARQUET)
def test_parquet_columns_keep_their_type_or_become_a_plain_one(name):
    written, kind, values = PARQUET[name]
    table = of_parquet({"a": written})
    assert types(table) == {"a": kind}
    assert table.cells["a"].to_pylist() == values
    assert table.lines() == [1, 2]


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pa.array([[1]]), "column a holds lists or objects"),
        (pa.array([{"x": 1}]), "column a holds lists or objects"),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), "column a holds lists or objects"),
        (pa.array([b"\xff"]), "column a holds binary, which is neither text, number nor date"),
    ],
)
def test_a_parquet_column_without_plain_values_is_refused_only_if_wanted(column, told):
    with pytest.raises(NotATable, match=told):
        of_parquet({"a": column, "b": [1]})
    table = of_parquet({"a": column, "b": [1]}, "b")
    assert (rows(table), table.names) == ([(1,)], ["a", "b"])


def test_of_parquet_only_the_wanted_columns_are_read_dots_in_names_or_not():
    table = of_parquet({"a.b": [1], " a ": [2], "c": [[3]], "d": [4]}, "d", "a")
    assert (table.cells.column_names, rows(table)) == (["a", "d"], [(2, 4)])
    twice = pa.table([[1], [2], [3]], names=["a", "a", "b"])
    assert rows(of_parquet(twice, "b")) == [(3,)]
    with pytest.raises(NotATable, match="named twice"):
        of_parquet(twice, "a")


def test_parquet_that_opens_to_more_than_the_limit_is_refused_before_it_is_read():
    with pytest.raises(NotATable, match="opens to more than 100,000 bytes"):
        of_parquet({"a": ["x" * 1000 + str(n) for n in range(1000)]}, max_bytes=100_000, compression="zstd")
    with pytest.raises(
        NotATable, match="opens to more than 100,000 bytes"
    ):  # a run of one value is a few bytes
        of_parquet({"a": pa.array([1] * 1_000_000)}, max_bytes=100_000)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (pa.timestamp("ms"), pa.scalar(2**57)),
        (pa.timestamp("us", "UTC"), pa.scalar(2**62)),
        (pa.date64(), pa.scalar(86_400_000 * 2**30)),
        (pa.date32(), pa.scalar(2**30, pa.int32())),
    ],
)
def test_dates_that_no_calendar_has_are_refused(kind, number):
    with pytest.raises(NotATable, match="column a holds dates out of range"):
        of_parquet({"a": pa.array([number, None]).cast(kind)})


def test_an_excerpt_of_parquet_is_csv():
    table = of_parquet(
        {"a": [1, 2], "b": ["x", None], "c": [datetime(2025, 1, 2), datetime(2025, 1, 2, 3, 4, 5)]}
    )
    assert table.excerpt({2}) == b"a,b,c\n2,,2025-01-02T03:04:05\n"
    assert table.excerpt({1}) == b"a,b,c\n1,x,2025-01-02T00:00:00\n"
    assert table.excerpt_ending == ".csv"
    zoned = of_parquet({"c": pa.array([datetime(2025, 1, 2, 3)], pa.timestamp("us", "UTC"))})
    assert zoned.excerpt({1}) == b"c\n2025-01-02T03:00:00Z\n"


# --- workbooks -------------------------------------------------------------------------------------------------------


def workbook(
    *sheets: list[list], titles: tuple[str, ...] = ("First", "Second", "Third"), change=None
) -> bytes:
    """Give a workbook of these sheets of rows, after a change to it."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, cells in zip(titles, sheets, strict=False):
        sheet = book.create_sheet(title)
        for row in cells:
            sheet.append(row)
    if change:
        change(book)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def of_xlsx(content: bytes, *wanted: str, **spelling) -> RawTable:
    """Read it as a workbook."""
    return read(content, *wanted, name="some.xlsx", **spelling)


def replaced(content: bytes, member: str, old: str, new: str) -> bytes:
    """Give the workbook with other text in one of its parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            text = before.read(name)
            if name == member:
                assert old.encode() in text
                text = text.replace(old.encode(), new.encode())
            after.writestr(name, text)
    return out.getvalue()


def test_cells_of_a_workbook_have_their_types():
    moment = datetime(2025, 1, 2, 3, 4, 5)
    table = of_xlsx(
        workbook(
            [
                ["id", "n", "f", " when ", "ok", "mixed", "time"],
                ["a", 1, 0.5, moment, True, 1, time_of_day(1, 2)],
                ["b", 2, 3, datetime(2025, 1, 2), False, "x", None],
                ["c", None, None, None, None, datetime(2025, 1, 2), None],
            ]
        )
    )
    assert types(table) == {
        "id": "string",
        "n": "int64",
        "f": "double",
        "when": "timestamp[us]",
        "ok": "bool",
        "mixed": "string",
        "time": "string",
    }
    assert rows(table) == [
        ("a", 1, 0.5, moment, True, "1", "01:02:00"),
        ("b", 2, 3.0, datetime(2025, 1, 2), False, "x", None),
        ("c", None, None, None, None, "2025-01-02", None),
    ]
    assert table.lines() == [2, 3, 4]


def test_the_header_is_the_first_row_with_cells_and_blank_rows_are_none():
    table = of_xlsx(workbook([[], [None, " "], ["a", None, "b"], [1, 2, 3], [], [4, 5, 6], [None, " "], []]))
    assert table.names == ["a", "", "b"]
    assert (rows(table), table.lines()) == ([(1, 3), (4, 6)], [4, 6])


def test_the_only_sheet_with_cells_that_is_seen_is_read_or_the_one_named():
    empty: list[list] = []
    one: list[list] = [["a"], [1]]
    other: list[list] = [["a"], [2]]
    assert rows(of_xlsx(workbook(empty, one))) == [(1,)]

    def hide(book):
        book["Second"].sheet_state = "hidden"

    assert rows(of_xlsx(workbook(one, other, change=hide))) == [(1,)]
    assert rows(of_xlsx(workbook(one, other), sheet="Second")) == [(2,)]
    told = refusal(workbook(one, other), name="x.xlsx")
    assert told == "has cells in the sheets 'First', 'Second'; name one with `sheet:` in paths.source"
    assert (
        refusal(workbook(one, other), name="x.xlsx", sheet="Thrid")
        == "no sheet 'Thrid'; it has 'First', 'Second'"
    )
    assert "no visible sheet has cells" in refusal(workbook(empty), name="x.xlsx")
    assert "the sheet has no cells" in refusal(workbook(empty, one), name="x.xlsx", sheet="First")


def test_merged_cells_in_the_table_are_refused():
    cells: list[list] = [["a", "b", "c"], [1, 2, 3], [4, 5, 6]]

    def merge(where):
        return lambda book: book["First"].merge_cells(where)

    assert "the cells A2:A3 are merged: unmerge" in refusal(
        workbook(cells, change=merge("A2:A3")), name="x.xlsx"
    )
    assert "the cells A1:B1 are merged: unmerge" in refusal(
        workbook(cells, change=merge("A1:B1")), name="x.xlsx"
    )
    assert len(rows(of_xlsx(workbook(cells, change=merge("A8:B9"))))) == 2


def test_a_formula_gives_its_last_value_and_without_one_the_row_is_set_aside():
    content = workbook([["a", "b"], [1, "=A2*2"], [2, 3], [4, "=A4*2"]])
    sheet = "xl/worksheets/sheet1.xml"
    content = replaced(content, sheet, "<f>A2*2</f><v />", "<f>A2*2</f><v>2</v>")
    table = of_xlsx(content)
    assert (rows(table), table.lines()) == ([(1, 2), (2, 3)], [2, 3])
    assert table.ragged == [BadRow(4, "b", "", "a formula without a value: open and save the file in Excel")]
    assert of_xlsx(content, "a").ragged == []
    assert table.excerpt({4}) == b"a,b\n4,\n"


def test_an_error_in_a_cell_and_a_cell_beside_the_table_set_the_row_aside():
    table = of_xlsx(workbook([["a", "b"], [1, "#DIV/0!"], ["#REF!", 2], [3, 4, None, "x"], [5, 6]]))
    assert [(bad.line, bad.column, bad.value, bad.reason) for bad in table.ragged] == [
        (2, "b", "#DIV/0!", "an error in place of a value"),
        (3, "a", "#REF!", "an error in place of a value"),
        (4, "", "x", "a cell in column 4 where the header has 2"),
    ]
    assert (rows(table), table.lines()) == ([(5, 6)], [5])
    assert table.excerpt({3, 4}) == b"a,b\n#REF!,2\n3,4,,x\n"


def test_workbooks_in_other_clothes_are_refused():
    assert "old Excel workbook, or one with a password" in refusal(b"\xd0\xcf\x11\xe0" * 200, name="x.xlsx")
    assert "not an .xlsx workbook" in refusal(b"a,b\n1,2\n", name="x.xlsx")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("word/document.xml", "<w/>")
    assert "not an .xlsx workbook" in refusal(out.getvalue(), name="x.xlsx")


def test_a_workbook_opens_only_up_to_the_limit():
    content = workbook([["a"], *[[1]] * 5000])
    assert "opens to more than 100,000 bytes" in refusal(content, name="x.xlsx", max_bytes=100_000)


def test_a_workbook_with_entities_is_refused_and_none_is_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    bomb = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{secret.as_uri()}"><!ENTITY f "ffff">]><worksheet '
    content = workbook([["a"], ["b"]])
    content = replaced(content, "xl/worksheets/sheet1.xml", "<worksheet ", bomb)
    assert openpyxl.DEFUSEDXML
    assert "secret" not in refusal(content, name="x.xlsx")


def test_a_column_named_twice_in_a_workbook_is_refused_only_if_wanted():
    content = workbook([["a", "b", "a"], [1, 2, 3]])
    assert rows(of_xlsx(content, "b")) == [(2,)]
    assert "named twice" in refusal(content, "a", name="x.xlsx")


# --- all formats -----------------------------------------------------------------------------------------------------

SAMPLE: list[dict] = [{"a": number, "b": f"x{number}"} for number in range(1, 31)]


def sample(ending: str) -> bytes:
    """Give the sample rows as a file of this format."""
    header, *lines = [["a", "b"], *([str(row["a"]), row["b"]] for row in SAMPLE)]
    if ending in (".csv", ".tsv"):
        part = "\t" if ending == ".tsv" else ","
        return "".join(part.join(line) + "\n" for line in [header, *lines]).encode()
    if ending == ".json":
        return json.dumps(SAMPLE).encode()
    if ending in (".jsonl", ".ndjson"):
        return "".join(json.dumps(row) + "\n" for row in SAMPLE).encode()
    if ending == ".xlsx":
        return workbook([header, *([row["a"], row["b"]] for row in SAMPLE)])
    content = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(SAMPLE), content)
    return content.getvalue()


@pytest.mark.parametrize("compression", ["", *PACK])
@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_the_same_rows_and_an_excerpt_that_gives_them_again(ending, compression):
    content = PACK[compression](sample(ending)) if compression else sample(ending)
    table = readers.read(f"x{ending}{compression}", content, ["a", "b", "c"])
    assert [(int(a), b) for a, b in rows(table)] == [(row["a"], row["b"]) for row in SAMPLE]
    assert (table.names, table.ragged, len(table.lines())) == (["a", "b"], [], 30)
    some = set(table.lines()[5:9])
    again = readers.read(f"x{table.excerpt_ending}", table.excerpt(some))
    assert [(int(a), b) for a, b in rows(again)] == [(row["a"], row["b"]) for row in SAMPLE[5:9]]


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_refuses_what_is_empty_or_of_another_format(ending):
    for content in (b"", b"\0\1\2\3", b"\x1f\x8b\x08\x00rest", b"\xff", b"<html></html>"):
        refusal(content, name=f"some{ending}")


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_is_known_by_its_ending_however_it_is_written(ending):
    assert FORMATS[ending].__doc__
    assert ending == ending.lower()
    name = f"SOME{ending.upper()}"
    assert readers.endings(name + ".GZ") == (ending, ".gz")
    assert readers.knows(name)
    assert "no reader" not in refusal(b"", name=name)


@pytest.mark.parametrize("name", ["notes.txt", "noending", ".csv", "some.gz", ".csv.gz", "some.csv.bz2"])
def test_a_file_of_unknown_ending_is_told_the_known_ones(name):
    assert not readers.knows(name)
    told = refusal(b"a,b\n1,2\n", name=name)
    assert all(ending in told for ending in [*FORMATS, *PACK])


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Give the content with something wrong: cut off, bits turned, a part taken out or put in twice."""
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    way = rng.randrange(5)
    if way == 0:
        return content[:start]
    if way == 1:
        return content[:start] + content[end:]
    if way == 2:
        return content[:end] + content[start:]
    turned = bytearray(content)
    for _ in range(rng.choice([1, 1, 3, 30])):
        turned[rng.randrange(len(turned))] = rng.choice([0, 34, 44, 10, 13, 255, rng.randrange(256)])
    return bytes(turned)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_damaged_file_is_read_or_refused_and_never_stops_the_run(ending):
    rng = random.Random(ending)
    whole = sample(ending)
    if ending == ".csv":
        whole += b'31,"x\ny"\n\n32,"a ""quote"""\r\n'
    slow = ending == ".xlsx"
    for trial in range(150 if slow else 400):
        content = damaged(whole, rng) if trial % 8 else rng.randbytes(rng.randrange(300))
        wanted = rng.choice([(), ("a",), ("a", "b")])
        try:
            table = readers.read(f"x{ending}", content, wanted, Spelling(max_bytes=1 << 22))
        except NotATable:
            continue
        assert len(table.lines()) == table.cells.num_rows or not table.cells.num_columns, content
        assert not set(table.lines()) & {bad.line for bad in table.ragged}, content
        assert table.ragged == sorted(table.ragged, key=lambda bad: bad.line), content
        table.excerpt({*table.lines(), *(bad.line for bad in table.ragged)})


PIECES = st.lists(
    st.sampled_from([b"a", b"1", b",", b";", b"\t", b'"', b"\n", b"\r", b" ", b"\xc3\xa9", b"\xe9"])
)


@settings(deadline=None, max_examples=400)
@given(PIECES, st.sampled_from([1, 2, 3, 1 << 18]))
def test_whatever_the_text_each_row_and_flaw_has_a_line_of_its_own(pieces, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader_lines, "PIECE", piece)
        check_places(pieces)


def check_places(pieces: list[bytes]) -> None:
    """Read the text, and look for each row on its line."""
    try:
        table = read(b"a,b\n" + b"".join(pieces))
    except NotATable:
        return
    places = [*table.lines(), *(bad.line for bad in table.ragged)]
    assert len(places) == len(set(places)) == table.cells.num_rows + len(table.ragged)
    text = io.StringIO((b"a,b\n" + b"".join(pieces)).decode(), newline="")
    lines = list(text)
    if table.names == ["a", "b"]:
        from_line = [tuple(next(csv.reader(lines[line - 1 :]))) for line in table.lines()]
        assert from_line == rows(table)
