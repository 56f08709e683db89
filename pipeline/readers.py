"""Source files as tables of text, just as they were written. One function per format, named at the foot.

A reader checks the structure of a file (is it a table at all, has every row its cells). What the cells mean is
`cleaning`'s business.
"""

import csv
import io
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import csv as arrow_csv

from pipeline.errors import DataError

csv.field_size_limit(2**31 - 1)  # a cell may be long; the file's size is the limit
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LONGEST_VALUE = 200  # characters of a bad cell that are told; the whole row stands in rejected/


class NotATable(DataError):
    """The file's structure is wrong; the message says how. The whole file is set aside."""


@dataclass(frozen=True)
class BadRow:
    """A row that can't be used: where it stands in the file, which cell is wrong, and why."""

    line: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        where = f"line {self.line}" + (f", column {self.column}" if self.column else "")
        return f"{where}: {self.value[:LONGEST_VALUE]!r}: {self.reason}"


@dataclass(frozen=True)
class RawTable:
    """A file as read: every cell a string, the line of each row, and the rows without a cell for every column."""

    cells: pa.Table
    lines: Callable[[], list[int]]
    ragged: list[BadRow]


def read_csv(content: bytes) -> RawTable:
    """Read comma-separated UTF-8 text with a header line. Raise NotATable if it isn't that."""
    header = _csv_header(content)
    content = content.removeprefix(BYTE_ORDER_MARK)
    if b"\n" not in content.strip(b"\r\n"):
        content += b"\n"  # pyarrow asks for a line end even where there's only a header
    ragged: list[BadRow] = []

    def set_aside(row: arrow_csv.InvalidRow) -> str:
        wrong = f"{row.actual_columns} cell(s) where the header has {row.expected_columns}"
        ragged.append(BadRow(row.number, "", row.text, wrong))
        return "skip"

    try:
        cells = arrow_csv.read_csv(
            pa.py_buffer(content),
            arrow_csv.ReadOptions(use_threads=False, block_size=max(1 << 20, min(len(content), 1 << 30))),
            arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=set_aside),
            arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in header},
                strings_can_be_null=False,
                check_utf8=True,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as problem:
        raise NotATable(f"not a CSV table: {str(problem).splitlines()[0]}") from None
    if b'"' in content and content.count(b"\n") + content.count(b"\r") > cells.num_rows + len(ragged) + 1:
        _check_quotes(content)
    numbers = {bad.line for bad in ragged}  # pyarrow counts records, people count lines
    ragged = [
        BadRow(line, "", bad.value, bad.reason)
        for bad, line in zip(ragged, _lines(content, numbers), strict=True)
    ]
    return RawTable(cells, lambda: _lines(content, numbers, others=True), ragged)


def _csv_header(content: bytes) -> list[str]:
    """Give the column names. Raise NotATable if the file is empty, binary, not UTF-8, or names a column twice."""
    if not content.strip():
        raise NotATable("empty file: a header line and rows are expected")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise NotATable("encoded as UTF-16; save it as UTF-8")
    if b"\0" in content:
        raise NotATable("has NUL bytes: it is binary, or was cut off while it was written")
    try:
        header = next(cells for cells in _records(content) if cells)
    except UnicodeDecodeError:
        raise NotATable("not UTF-8 text") from None
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise NotATable(f"column(s) {', '.join(twice)} named twice in the header")
    return header


def _check_quotes(content: bytes) -> None:
    """Raise NotATable if a quote opens that is never closed: all that follows would pass for one cell."""
    try:
        deque(_records(content, strict=True), maxlen=0)
    except csv.Error as problem:
        raise NotATable(f"a quote is not closed, or stands inside a cell ({problem})") from None


def _records(content: bytes, strict: bool = False, errors: str = "strict"):
    """Give a csv.reader over the content, which is decoded as far as it's read."""
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", errors=errors, newline="")
    return csv.reader(text, strict=strict)


def _lines(content: bytes, records: set[int], others: bool = False) -> list[int]:
    """Give the file lines on which these records (counted from 1, header first) start; or those of all others."""
    reader = _records(content, errors="replace")
    lines, record, start = [], 0, 1
    for cells in reader:
        if cells:  # blank lines are no records
            record += 1
            if (record in records) != others and record > 1:
                lines.append(start)
        start = reader.line_num + 1
    return lines


def read(path: Path, content: bytes) -> RawTable:
    """Read a file by the ending of its name. Raise NotATable if it has no table to give."""
    reader = FORMATS.get(path.suffix.lower())
    if reader is None:
        raise NotATable(f"no reader for '{path.suffix}' files; known: {', '.join(FORMATS)}")
    return reader(content)


FORMATS: dict[str, Callable[[bytes], RawTable]] = {
    ".csv": read_csv,
}
