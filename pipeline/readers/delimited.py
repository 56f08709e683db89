"""Text with separators: CSV and TSV. All cells are strings, just as they were written."""

import csv
from collections import deque
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from pipeline.readers.lines import Places, Text, find_header, quotes_are_paired
from pipeline.readers.table import BYTE_ORDER_MARK, BadRow, NotATable, RawTable, Spelling, chosen, marked
from pipeline.readers.text import as_utf8

LONGEST_CELL = 32_767  # characters, what a cell of a spreadsheet can hold; more is a quote that went astray
BLOCK = 1 << 22  # bytes parsed at a time
LARGEST_BLOCK = 1 << 30
SEPARATORS = ",;\t|"
CUT_OFF = "the file ends without a line end, so this row may be cut off: end the line and drop the file again"


def read_csv(content: bytes, wanted: frozenset[str], spelling: Spelling) -> RawTable:
    """Read text with a header line whose cells are parted by commas, semicolons, tabs or |."""
    return _read(content, wanted, spelling, SEPARATORS, ".csv")


def read_tsv(content: bytes, wanted: frozenset[str], spelling: Spelling) -> RawTable:
    """Read text with a header line whose cells are parted by tabs, or else as `read_csv` does."""
    return _read(content, wanted, spelling, "\t" + SEPARATORS.replace("\t", ""), ".tsv")


def _read(
    content: bytes, wanted: frozenset[str], spelling: Spelling, separators: str, ending: str
) -> RawTable:
    decoded = as_utf8(content, spelling)
    mark = marked(spelling) if decoded is content else BYTE_ORDER_MARK
    text = find_header(decoded, wanted, spelling, separators)
    head = mark + decoded[: text.start].removeprefix(BYTE_ORDER_MARK)
    columns = chosen(text.names, wanted)
    if not columns or not text.has_rows():
        nothing = pa.schema([(text.names[column], pa.string()) for column in columns]).empty_table()
        return RawTable(nothing, text.names, list, [], lambda lines: head, ending)
    cells, ragged = _parsed(text, columns)
    total = cells.num_rows + len(ragged)
    places = Places(text, total, simple=text.line_count() == total)
    if decoded.find(b'"', text.start) >= 0:
        _check_quotes(text)
    cells, ragged = _without_cut_off(*_without_long(cells, ragged), places)
    records = {bad.line for bad in ragged}
    starts = places.starts(records) if ragged else []
    ragged = [replace(bad, line=line) for line, bad in zip(starts, ragged, strict=True)]
    return RawTable(
        cells,
        text.names,
        lambda: places.starts_without(records),
        ragged,
        lambda lines: head + places.excerpt(lines),
        ending,
    )


def _parsed(text: Text, columns: list[int]) -> tuple[pa.Table, list[BadRow]]:
    """Give these columns, and the rows that have not a cell for each name (`line` counts the records)."""
    ragged: list[BadRow] = []

    def set_aside(row: arrow_csv.InvalidRow) -> str:
        wrong = f"{row.actual_columns} cell(s) where the header has {row.expected_columns}"
        ragged.append(BadRow(row.number, "", row.text, wrong))
        return "skip"

    quoted = text.content.find(b'"', text.start, text.end) >= 0
    numbers = [str(column) for column in range(len(text.names))]  # names may be there twice, numbers not
    included = [numbers[column] for column in columns]
    rows = pa.py_buffer(text.content).slice(text.start, text.end - text.start)
    for block in (BLOCK, min(max(len(rows), BLOCK), LARGEST_BLOCK)):
        ragged.clear()
        try:
            cells = arrow_csv.read_csv(
                rows,
                arrow_csv.ReadOptions(use_threads=False, block_size=block, column_names=numbers),
                arrow_csv.ParseOptions(
                    delimiter=text.separator,
                    quote_char='"' if quoted else False,
                    newlines_in_values=quoted,
                    invalid_row_handler=set_aside,
                ),
                arrow_csv.ConvertOptions(
                    include_columns=included,
                    column_types=dict.fromkeys(included, pa.string()),
                    strings_can_be_null=False,
                    check_utf8=False,  # known by now
                ),
            )
            return cells.rename_columns([text.names[column] for column in columns]), ragged
        except pa.ArrowInvalid as caught:
            problem = str(caught).splitlines()[0]
            if "straddling" not in problem:  # a row longer than the block
                break
    raise NotATable(f"not a table with separators: {problem}")


def _check_quotes(text: Text) -> None:
    """Raise NotATable if a quote opens that is never closed, so that all that follows would pass for one cell, or if
    one closes inside a cell (`"the "best" one"`), of which Arrow makes something else without a word.

    Quotes inside a cell that has none around it (`5" disk`) are fine, but then Python reads it all, four times as
    slowly as Arrow.
    """
    if quotes_are_paired(text):
        return
    reader = csv.reader(text.lines(), delimiter=text.separator, strict=True)
    try:
        deque(reader, maxlen=0)
    except csv.Error as problem:
        where = f"line {text.above + reader.line_num}: {problem}"
        raise NotATable(f"a quote is not closed, or stands inside a cell ({where})") from None


def _without_long(cells: pa.Table, ragged: list[BadRow]) -> tuple[pa.Table, list[BadRow]]:
    """Set rows aside that have a cell too long to be one (`line` counts the records)."""
    long: dict[int, BadRow] = {}
    for name in cells.column_names:
        if (pc.max(pc.binary_length(cells[name])).as_py() or 0) > LONGEST_CELL:
            lengths = pc.utf8_length(cells[name])
            for position in pc.indices_nonzero(pc.greater(lengths, LONGEST_CELL)).to_pylist():
                reason = f"{lengths[position].as_py():,} characters in one cell"
                long.setdefault(position, BadRow(0, name, cells[name][position].as_py(), reason))
    if not long:
        return cells, ragged
    lost = {bad.line for bad in ragged}
    records = [record for record in range(1, cells.num_rows + len(ragged) + 1) if record not in lost]
    found = [replace(bad, line=records[position]) for position, bad in long.items()]
    parts, after = [], 0
    for position in [*sorted(long), cells.num_rows]:
        parts.append(cells.slice(after, position - after))
        after = position + 1
    return pa.concat_tables(parts), sorted([*ragged, *found], key=lambda bad: bad.line)


def _without_cut_off(cells: pa.Table, ragged: list[BadRow], places: Places) -> tuple[pa.Table, list[BadRow]]:
    """Set the last row aside, unless a closed quote shows that it's whole: 200 may have been cut to 2."""
    if places.text.has_line_end():
        return cells, ragged
    record = places.last()
    longer = [*record[:-1], record[-1] + "x"]
    try:
        deque(csv.reader(longer, delimiter=places.text.separator, strict=True), maxlen=0)
    except csv.Error:  # nothing may follow a closed quote
        return cells, ragged
    bad = BadRow(places.total, "", "".join(record), CUT_OFF)
    if ragged and ragged[-1].line == places.total:
        return cells, [*ragged[:-1], bad]
    return cells.slice(0, cells.num_rows - 1), [*ragged, bad]
