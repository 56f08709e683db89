"""Workbooks (.xlsx): one sheet of them, with the types and the last calculated values of its cells."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipeline.readers import columns
from pipeline.readers.table import BadRow, NotATable, RawTable, Spelling, as_csv, chosen, too_big

OLD_OR_LOCKED = b"\xd0\xcf\x11\xe0"
NEVER_CALCULATED = "formula"  # a cell's type, beside those of openpyxl: n s b d e
BROKEN = (  # what openpyxl, zipfile and the XML parser (SyntaxError) raise for damaged files
    *(zlib.error, struct.error, SyntaxError, EOFError, OSError, RuntimeError),
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, AssertionError),
)


@dataclass(frozen=True)
class Sheet:
    """The rows of a sheet that have cells: their number, and value and type of each cell by its column from 1."""

    rows: list[tuple[int, dict[int, tuple[object, str]]]]
    merged: list[tuple[int, int, int, int]]  # first column and row, last column and row
    names: dict[int, str]


def read_xlsx(content: bytes, wanted: frozenset[str], spelling: Spelling) -> RawTable:
    """Read the sheet named in the config, or the only visible one that has cells."""
    if content.startswith(OLD_OR_LOCKED):
        raise NotATable("an old Excel workbook, or one with a password: save it as .xlsx without a password")
    import zipfile  # most runs read none

    try:
        with warnings.catch_warnings():  # about styles and the like, which don't matter here
            warnings.simplefilter("ignore")
            sheet = _sheet(content, spelling)
    except (*BROKEN, zipfile.BadZipFile) as problem:
        told = str(problem).splitlines() or [type(problem).__name__]
        raise NotATable(f"not an .xlsx workbook, corrupt or cut off: {told[0]}") from None
    return _table(sheet, wanted, spelling)


def _sheet(content: bytes, spelling: Spelling) -> Sheet:
    import zipfile

    import openpyxl

    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        size = sum(member.file_size for member in packed.infolist())
        if size > spelling.max_bytes:
            raise too_big("opens to", spelling.max_bytes)
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    if spelling.sheet is not None:
        if spelling.sheet not in sheets:
            raise NotATable(f"no sheet {spelling.sheet!r}; it has {_listed(list(sheets))}")
        return _cells(sheets[spelling.sheet])
    visible = [sheet for sheet in sheets.values() if sheet.sheet_state == "visible"]
    filled = [sheet for sheet in visible if next(_rows(_parser(sheet)), None)]
    if not filled:
        raise NotATable("no visible sheet has cells: a header row and rows are expected")
    if len(filled) > 1:
        titles = _listed([sheet.title for sheet in filled])
        raise NotATable(f"has cells in the sheets {titles}; name one with `sheet:` in paths.source")
    return _cells(filled[0])


def _listed(titles: list[str]) -> str:
    return ", ".join(repr(title) for title in titles)


def _parser(sheet):
    """Give openpyxl's parser for a sheet, made to tell formulas without a value, which it takes for empty cells.

    openpyxl offers values or formulas, and merged cells only with every cell as an object in memory.
    """
    from openpyxl.worksheet._reader import FORMULA_TAG, WorkSheetParser

    class Parser(WorkSheetParser):
        def parse_cell(self, element):
            cell = super().parse_cell(element)
            if cell["value"] is None and element.find(FORMULA_TAG) is not None:
                return cell | {"value": "=", "data_type": NEVER_CALCULATED}
            return cell

    book = sheet.parent
    return Parser(
        sheet._get_source(),
        sheet._shared_strings,
        data_only=True,
        epoch=book.epoch,
        date_formats=book._date_formats,
        timedelta_formats=book._timedelta_formats,
    )


def _rows(parser) -> Iterator[tuple[int, dict[int, tuple[object, str]]]]:
    """Give the rows that have cells."""
    for number, row in parser.parse():
        cells = {cell["column"]: (cell["value"], cell["data_type"]) for cell in row if _filled(cell["value"])}
        if cells:
            yield number, cells


def _filled(value: object) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _cells(sheet) -> Sheet:
    parser = _parser(sheet)
    rows = list(_rows(parser))
    ranges = parser.merged_cells.mergeCell if parser.merged_cells else []
    header = rows[0][1] if rows else {}
    names = {column: columns.plain(value).strip() for column, (value, _) in sorted(header.items())}
    return Sheet(rows, [merged.bounds for merged in ranges], names)


def _table(sheet: Sheet, wanted: frozenset[str], spelling: Spelling) -> RawTable:
    """Make a table of the sheet: its first row has the names, the others the cells."""
    if not sheet.rows:
        raise NotATable("the sheet has no cells: a header row and rows are expected")
    _check_merged(sheet)
    names = [sheet.names.get(column, "") for column in range(1, max(sheet.names) + 1)]
    used = {position + 1: names[position] for position in chosen(names, wanted) if names[position]}
    good, ragged = [], []
    for number, cells in sheet.rows[1:]:
        flaw = next(_flaws(number, cells, used, len(names)), None)
        if flaw is not None:
            ragged.append(flaw)
        else:
            good.append((number, cells))
    nothing = (None, "n")
    table = {
        name: columns.column([cells.get(column, nothing)[0] for _, cells in good])
        for column, name in used.items()
    }

    def excerpt(lines: set[int]) -> bytes:
        picked = [cells for number, cells in sheet.rows[1:] if number in lines]
        rows = [
            [_text(cells.get(n, nothing)) for n in range(1, max(*cells, len(names)) + 1)] for cells in picked
        ]
        return as_csv(names, rows, spelling)

    places = [number for number, _ in good] if used else []
    return RawTable(pa.table(table), names, lambda: places, ragged, excerpt, ".csv")


def _text(cell: tuple[object, str]) -> str:
    return "" if cell[1] == NEVER_CALCULATED else columns.plain(cell[0])


def _check_merged(sheet: Sheet) -> None:
    """Raise NotATable if cells of the header or the rows are merged: only the first would have the value."""
    first, last = sheet.rows[0][0], sheet.rows[-1][0]
    for left, top, right, bottom in sheet.merged:
        if top <= last and bottom >= first and left <= max(sheet.names):
            from openpyxl.utils import get_column_letter

            where = f"{get_column_letter(left)}{top}:{get_column_letter(right)}{bottom}"
            raise NotATable(f"the cells {where} are merged: unmerge them and fill each")


def _flaws(
    number: int, cells: dict[int, tuple[object, str]], used: dict[int, str], width: int
) -> Iterator[BadRow]:
    """Give what makes this row of a sheet no row of the table."""
    if max(cells) > width:
        wrong = f"a cell in column {max(cells)} where the header has {width}"
        yield BadRow(number, "", columns.plain(cells[max(cells)][0]), wrong)
    for column, name in used.items():
        value, kind = cells.get(column, (None, "n"))
        if kind == NEVER_CALCULATED:
            yield BadRow(number, name, "", "a formula without a value: open and save the file in Excel")
        elif kind == "e":
            yield BadRow(number, name, str(value), "an error in place of a value")
        elif isinstance(value, str) and columns.broken(value):
            yield BadRow(number, name, ascii(value), "half a character (a lone surrogate)")
