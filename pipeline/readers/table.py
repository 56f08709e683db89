"""What every reader gives: a table of cells with the place of each row, or the reason why there is none."""

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pyarrow as pa

from pipeline.errors import DataError

LONGEST_VALUE = 200  # characters of a bad cell that are told; the whole row stands in rejected/
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class NotATable(DataError):
    """The file's structure is wrong; the message says how. The whole file is set aside."""


@dataclass(frozen=True)
class Spelling:
    """How files are written, where that can't be recognised."""

    separator: str | None = None  # None: recognised
    encoding: str | None = None  # None: UTF-8, or UTF-16 and UTF-32 by their byte order mark
    sheet: str | None = None  # of a workbook; None: the only one that has cells
    max_bytes: int = 1 << 30  # after decompression


RECOGNISED = Spelling()  # nothing is configured


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
    """A file as read. `lines` and `excerpt` may go through the file again, so they are asked only if need be.

    cells    the wanted columns that are there, in the file's order, named without the spaces around their names;
             strings as they were written, or the type the format gives a column; null is a missing cell
    names    all columns of the file
    lines    where each row of `cells` stands: line of text, row of a sheet, or number of the record, from 1
    ragged   the rows that have no cells to give, in the order of their lines
    excerpt  gives the header and the rows that start on these lines, as a file to correct and drop again
    excerpt_ending  what the name of such a file has to end with
    """

    cells: pa.Table
    names: list[str]
    lines: Callable[[], list[int]]
    ragged: list[BadRow]
    excerpt: Callable[[set[int]], bytes]
    excerpt_ending: str


def too_big(verb: str, max_bytes: int) -> NotATable:
    """Give the refusal of a file that has, or opens to, more than the configured limit."""
    return NotATable(
        f"{verb} more than {max_bytes:,} bytes (cleaning.max_file_mb); split it, or raise the limit"
    )


def chosen(names: list[str], wanted: frozenset[str]) -> list[int]:
    """Give the positions of the wanted columns (none named: of all). Raise NotATable if one is there twice."""
    positions = [position for position, name in enumerate(names) if not wanted or name in wanted]
    found = [names[position] for position in positions]
    if len(set(found)) < len(found):
        twice = sorted({name for name in found if found.count(name) > 1})
        raise NotATable(f"column(s) {', '.join(map(repr, twice))} named twice in the header")
    return positions


def as_csv(header: list[str], rows: Iterable[list], spelling: Spelling) -> bytes:
    """Give rows of texts as the CSV file that this spelling reads again."""
    text = io.StringIO()
    out = csv.writer(text, delimiter=spelling.separator or ",", lineterminator="\n")
    out.writerow(header)
    out.writerows(rows)
    return marked(spelling) + text.getvalue().encode("utf-8", errors="replace")


def marked(spelling: Spelling) -> bytes:
    """Give what UTF-8 text has to begin with to be recognised where another encoding is configured."""
    return BYTE_ORDER_MARK if spelling.encoding else b""
