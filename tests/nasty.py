"""The nasty files: what people and programs drop, made by code, with the fate of each.

    python -m tests.nasty > docs/nasty_files.md

drops all of them into a new project, runs ingestion once and writes the page of what became of each. The fates in
CASES are what has to become of them; test_nasty_files.py compares both, and the page with the committed one.

Every file has rows of its own, whose ids begin with its name, so that a row of the dataset tells which file it is of.
"""

import functools
import gzip
import html
import io
import json
import os
import re
import socket
import stat
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import openpyxl
import openpyxl.utils.datetime
import pyarrow as pa
from pyarrow import parquet

from pipeline import sources
from pipeline.files import printable
from pipeline.spreadsheets import harmless
from tests.project import Project, Ran

RIGHT, SPOILED, ASIDE = "ingested right", "rows rejected", "set aside"
REPEATED, WAITS, UNSEEN = "adds nothing", "waits", "not looked at"
LIMIT = 2_000_000  # bytes that a file may have, opened

CONFIG = """\
paths:
  source:
    - drop
    - {path: german, decimal: ","}
    - {path: western, encoding: cp1252}
    - {path: books, sheet: Data}
    - {path: carets, separator: ^}

columns:
  id: client
  time: seen
  target: exited
  features:
    activity: {type: number, min: 0}
    complaints: {type: number, min: 0, max: 50}
    branch: {type: category, allowed: [north, south, east, west]}
  rename: {customer: client}

cleaning: {max_rejected: 0.5, max_file_mb: 2, date_formats: ["%d.%m.%Y"]}
"""
FOLDERS = ("drop", "german", "western", "books", "carets")

NAMES = ["client", "seen", "exited", "activity", "complaints", "branch"]
HEADER = ",".join(NAMES)
BRANCHES = ["north", "south", "east", "west"]

Put = Callable[[Path], None]
Place = tuple[int, str, str]  # line, column, and a part of the reason


@dataclass(frozen=True)
class Case:
    """What comes, and what has to become of it: the rows it gives, as lines of finaldata.csv, and what is told."""

    what: str
    example: str
    name: str  # as `os.fsdecode` gives it
    content: bytes | Put
    fate: str
    gives: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()  # of the rejected rows
    reason: str = ""  # a part of why the file is set aside
    folder: str = "drop"

    @property
    def told_as(self) -> str:
        """Give the name that stands in the files people read."""
        return harmless(printable(self.name))


@dataclass(frozen=True)
class Seen:
    """What became of it: the fate, and the lines of reasons.csv about it as (line, column, value, reason)."""

    fate: str
    lines: list[tuple[str, str, str, str]]


# ------------------------------------------------------------------------------------------------ rows and tables
def cells(key: str, number: int, **other: str) -> dict[str, str]:
    """Give the cells of the file's row of this number, some of them other than usual."""
    usual = (f"{key} {number}", f"2025-03-0{number}", str(number % 2), str(10 * number), str(number))
    return dict(zip(NAMES, (*usual, BRANCHES[number % 4]), strict=True)) | other


def row(key: str, number: int, **other: str) -> str:
    """Give the row of this number as a line of CSV."""
    return ",".join(cells(key, number, **other).values())


def rows(key: str, count: int = 3) -> list[str]:
    """Give the first rows of a file."""
    return [row(key, number) for number in range(1, count + 1)]


def table(*lines: str, header: str = HEADER, end: str = "\n") -> bytes:
    """Give a CSV of these lines."""
    return "".join(line + end for line in (header, *lines)).encode()


def plain(key: str) -> bytes:
    """Give a CSV with three good rows."""
    return table(*rows(key))


def parted(key: str, separator: str) -> bytes:
    """Give the same rows with another separator."""
    return plain(key).replace(b",", separator.encode())


def typed(key: str) -> list[list[Any]]:
    """Give the rows of a file with types: text, date, whole numbers."""
    return [[f"{key} {n}", date(2025, 3, n), n % 2, 10 * n, n, BRANCHES[n % 4]] for n in range(1, 4)]


def objects(key: str, **other: Any) -> list[dict[str, Any]]:
    """Give the rows of a file as JSON objects; the second has other values."""
    made = [dict(zip(NAMES, [r[0], r[1].isoformat(), *r[2:]], strict=True)) for r in typed(key)]
    made[1] |= other
    return made


def as_json(value: Any) -> bytes:
    """Give JSON text."""
    return json.dumps(value).encode()


def as_lines(values: list[Any]) -> bytes:
    """Give JSON Lines."""
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def workbook(key: str, edit: Callable[[Any], None] = lambda book: None, as_text: bool = False) -> bytes:
    """Give a workbook with three good rows, edited."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(NAMES)
    for made in typed(key):
        sheet.append([str(cell) for cell in made] if as_text else made)
    edit(book)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def calculated(key: str, formula: str, kind: str, value: str) -> bytes:
    """Give a workbook with a formula in D3 whose last value is stored, as Excel writes it."""
    content = workbook(key, lambda book: setattr(book.active["D3"], "value", formula))
    found = re.compile(rb'<c r="D3"[^>]*>.*?</c>')
    cell = f'<c r="D3" t="{kind}"><f>{formula[1:]}</f><v>{value}</v></c>'.encode()
    return rezipped(content, lambda name, part: found.sub(cell, part) if "sheet1" in name else part)


def rezipped(content: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """Give a zip file with its members changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            new.writestr(member, change(member, old.read(member)))
    return out.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    """Give a zip file with one member."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(name, content)
    return out.getvalue()


def columnar(key: str, options: dict[str, Any] | None = None, **other: pa.Array) -> bytes:
    """Give a Parquet file with three good rows, some columns other than usual."""
    columns = dict(zip(NAMES, map(pa.array, zip(*typed(key), strict=True)), strict=True)) | other
    out = io.BytesIO()
    parquet.write_table(pa.table(columns), out, **(options or {}))
    return out.getvalue()


def flipped(content: bytes, at: int) -> bytes:
    """Give the content with one bit turned over."""
    place = at % len(content)
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


def zstd(content: bytes) -> bytes:
    """Give the content compressed with zstd."""
    return pa.compress(content, codec="zstd", asbytes=True)


def png() -> bytes:
    """Give a picture of one dot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


# ------------------------------------------------------------------------------------------------ kinds of cases
def right(
    what: str, example: str, name: str, content: bytes | Put, gives: list[str], folder: str = "drop"
) -> Case:
    """Give a file that is ingested right."""
    return Case(what, example, name, content, RIGHT, tuple(gives), folder=folder)


def spoiled(
    what: str, example: str, name: str, content: bytes, gives: list[str], *places: Place, folder: str = "drop"
) -> Case:
    """Give a file of which rows are rejected."""
    return Case(what, example, name, content, SPOILED, tuple(gives), places, folder=folder)


def aside(what: str, example: str, name: str, content: bytes, reason: str, folder: str = "drop") -> Case:
    """Give a file that is set aside whole."""
    return Case(what, example, name, content, ASIDE, reason=reason, folder=folder)


def unseen(what: str, example: str, name: str, content: bytes | Put) -> Case:
    """Give what is no drop."""
    return Case(what, example, name, content, UNSEEN)


def good_cell(what: str, key: str, column: str, cell: str, becomes: str, **where: str) -> Case:
    """Give a file that holds this cell in its second row, and what becomes of the cell."""
    gives = [row(key, 1), row(key, 2, **{column: becomes}), row(key, 3)]
    return _with_cell(right, what, key, column, cell, gives, **where)


def bad_cell(what: str, key: str, column: str, cell: str, reason: str, **where: str) -> Case:
    """Give a file of which the second row, with this cell, is rejected."""
    gives = [row(key, 1), row(key, 3)]
    return _with_cell(spoiled, what, key, column, cell, gives, (3, column, reason), **where)


def _with_cell(kind: Callable, what: str, key: str, column: str, cell: str, gives: list[str], *places: Place,
               **where: str) -> Case:  # fmt: skip
    quoted = '"' + cell.replace('"', '""') + '"' if re.search('[",\r\n]', cell) else cell
    content = table(row(key, 1), row(key, 2, **{column: quoted}), row(key, 3))
    return kind(what, f"{column}: {quoted}", f"{key}.csv", content, gives, *places, **where)


# ------------------------------------------------------------------------------------------------ encodings
ZOE = row("zoe", 2, client="Zoë")


def _encodings() -> Iterator[Case]:
    def named(key: str) -> list[str]:
        return [row(key, 1), row(key, 2, client=f"{key} Zoë"), row(key, 3)]

    for name, example in (
        ("utf-8-sig", "EF BB BF, then the header"),
        ("utf-16", "FF FE, as Excel saves “Unicode text”"),
        ("utf-32", "FF FE 00 00"),
    ):
        text = table(*named(name)).decode()
        yield right(
            f"{name.upper().removesuffix('-SIG')} with a byte order mark",
            example,
            f"{name}.csv",
            text.encode(name),
            named(name),
        )
    for name, mark in (("utf-16-be", b"\xfe\xff"), ("utf-32-be", b"\0\0\xfe\xff")):
        content = mark + table(*named(name)).decode().encode(name)
        yield right(
            f"{name.upper().removesuffix('-SIG')} with a byte order mark",
            mark.hex(" ").upper(),
            f"{name}.csv",
            content,
            named(name),
        )
    yield aside(
        "UTF-16 without a byte order mark", "c 00 l 00 i 00", "unmarked.csv",
        plain("unmarked").decode().encode("utf-16-le"), "NUL bytes",
    )  # fmt: skip
    yield aside("UTF-16 cut in half a character", "FF FE … 61", "half.csv",
                plain("half").decode().encode("utf-16")[:-1], "not utf-16-le text")  # fmt: skip
    latin = table(*named("latin")).decode().encode("latin-1")
    yield aside("Latin-1, which nobody named", "Zo\\xEB", "latin.csv", latin, "not UTF-8 text")
    yield right("Latin-1 in a folder with `encoding: cp1252`", "Zo\\xEB", "western.csv",
                table(*named("western")).decode().encode("cp1252"), named("western"), "western")  # fmt: skip
    yield aside(
        "UTF-8 in a folder with `encoding: cp1252`",
        "Zo\\xC3\\xAB, not to be read as ZoÃ«",
        "notwestern.csv",
        table(*named("notwestern")),
        "is UTF-8",
        "western",
    )
    yield right(
        "UTF-8 with its mark in a folder with `encoding: cp1252`",
        "EF BB BF … Zo\\xC3\\xAB",
        "marked.csv",
        b"\xef\xbb\xbf" + table(*named("marked")),
        named("marked"),
        "western",
    )
    mixed = table(*named("mixed")) + row("mixed", 4, client="Zoë").encode("latin-1") + b"\n"
    yield aside("two encodings in one file", "Zo\\xC3\\xAB … Zo\\xEB", "mixed.csv", mixed, "not UTF-8 text")
    yield aside("UTF-8 spelt too long", "C0 AF for /", "overlong.csv",
                table(row("overlong", 1)) + b"a\xc0\xaf,2025-03-02,0,1,1,north\n", "not UTF-8 text")  # fmt: skip
    yield aside("NUL bytes at the end, as after a power cut", "… 00 00 00 00", "nul.csv",
                plain("nul") + bytes(512), "NUL bytes")  # fmt: skip
    yield aside("a NUL byte inside a cell", "no\\x00rth", "nulcell.csv",
                plain("nulcell").replace(b"south", b"so\0th"), "NUL bytes")  # fmt: skip
    yield right("letters of other scripts, pictures", "Ωμέγα 🦉 名前", "letters.csv",
                table(row("letters", 1, client="letters Ωμέγα 🦉 名前")),
                [row("letters", 1, client="letters Ωμέγα 🦉 名前")])  # fmt: skip


# ------------------------------------------------------------------------------------------------ structure
def _structure() -> Iterator[Case]:
    yield spoiled("a row with a cell too few", "c 2,2025-03-02,0,20,2", "short.csv",
                  table(row("short", 1), row("short", 2).rpartition(",")[0], row("short", 3)),
                  [row("short", 1), row("short", 3)], (3, "", "5 cell(s) where the header has 6"))  # fmt: skip
    yield spoiled("a row with a cell too many", "c 2,2025-03-02,0,20,2,south,x", "long.csv",
                  table(row("long", 1), row("long", 2) + ",x", row("long", 3)),
                  [row("long", 1), row("long", 3)], (3, "", "7 cell(s) where the header has 6"))  # fmt: skip
    yield spoiled(
        "the first row with a cell too many, which pandas takes for an index and shifts every column",
        "0,c 1,2025-03-01,1,10,1,south",
        "index.csv",
        table("0," + row("index", 1), row("index", 2), row("index", 3)),
        rows("index")[1:],
        (2, "", "7 cell(s) where the header has 6"),
    )
    yield aside("every row with a cell too many", "0,c 1,2025-03-01,1,10,1,south", "shifted.csv",
                table(*("0," + one for one in rows("shifted"))), "3 of 3 rows are bad")  # fmt: skip
    yield aside(
        "a separator behind every row, but not the header",
        "c 1,2025-03-01,1,10,1,south,",
        "trailing.csv",
        table(*(one + "," for one in rows("trailing"))),
        "3 of 3 rows are bad",
    )
    yield right("a separator behind every line", HEADER + ",", "trailing2.csv",
                table(*(one + "," for one in rows("trailing2")), header=HEADER + ","), rows("trailing2"))  # fmt: skip
    swapped = [",".join([*one.split(",")[1:], one.split(",")[0]]) for one in rows("swapped")]
    yield aside("cells moved one column to the left", "2025-03-01,1,10,1,south,c 1", "swapped.csv",
                table(*swapped), "3 of 3 rows are bad")  # fmt: skip
    yield spoiled("cut off inside a number of the last row", "…,200 cut to …,2", "cut.csv",
                  table(*(",".join(reversed(one.split(","))) for one in rows("cut")),
                        header=",".join(reversed(NAMES)))[:-4],
                  rows("cut")[:2], (4, "", "may be cut off"))  # fmt: skip
    yield right("no line end, but a closed quote", '…,"west"', "closed.csv",
                table(*rows("closed")).replace(b",west\n", b',"west"'), rows("closed"))  # fmt: skip
    yield aside("cut off inside a cell in quotes", '…,"no', "cutquote.csv",
                table(*rows("cutquote")[:2]) + b'"cutquote 3,2025', "a quote is not closed")  # fmt: skip
    yield aside("a quote in the middle that is never closed", 'c 1,2025-03-01,1,10,1,"south', "unclosed.csv",
                table(row("unclosed", 1), row("unclosed", 2, branch='"east'), row("unclosed", 3)),
                "a quote is not closed")  # fmt: skip
    yield right("a quote inside a cell without quotes", '5" pipe', "inch.csv",
                table(row("inch", 1), row("inch", 2, client='inch 5" pipe'), row("inch", 3)),
                [row("inch", 1), row("inch", 2, client='"inch 5"" pipe"'), row("inch", 3)])  # fmt: skip
    yield aside("quotes inside quotes, not doubled", '"the "best" one"', "best.csv",
                table(row("best", 1), row("best", 2, client='"the "best" one"'), row("best", 3)),
                "line 3: ")  # fmt: skip
    yield aside("quotes inside quotes, marked with a backslash", r'"say \"hi\""', "backslash.csv",
                table(row("backslash", 1), row("backslash", 2, client=r'"say \"hi\""'), row("backslash", 3)),
                "line 3: ")  # fmt: skip
    tricky = 'quoted ""a"", b\nc'
    yield right("quotes, separators and line ends inside quotes", '"a ""b"", c⏎d"', "quoted.csv",
                table(row("quoted", 1), row("quoted", 2, client=f'"{tricky}"')),
                [row("quoted", 1), row("quoted", 2, client=f'"{tricky}"')])  # fmt: skip
    yield aside("cut off inside the header", "client,seen,exi", "cuthead.csv", b"client,seen,exi",
                "missing column(s) exited")  # fmt: skip
    yield aside("no header", "c 1,2025-03-01,1,10,1,south", "headless.csv",
                table(*rows("headless")[1:], header=rows("headless")[0]), "missing column(s) client")  # fmt: skip
    yield aside("a title above the header", "Clients in March", "title.csv",
                b"Clients in March\n\n" + plain("title"), "missing column(s)")  # fmt: skip
    yield aside("a comment above the header", "# exported by …", "comment.csv",
                b"# exported by us\n" + plain("comment"), "missing column(s)")  # fmt: skip
    yield right("the header in another order", ",".join(reversed(NAMES)), "order.csv",
                table(*(",".join(reversed(one.split(","))) for one in rows("order")),
                      header=",".join(reversed(NAMES))), rows("order"))  # fmt: skip
    yield aside(
        "the header in capitals: names are taken as they are in config.yaml",
        HEADER.upper(),
        "capitals.csv",
        table(*rows("capitals"), header=HEADER.upper()),
        "missing column(s) client",
    )
    yield right("a column under the name that `rename` has for it", "customer,seen,…", "renamed.csv",
                table(*rows("renamed"), header=HEADER.replace("client", "customer")), rows("renamed"))  # fmt: skip
    yield aside("a column under both its names", "customer,client,…", "bothnames.csv",
                table(*("x," + one for one in rows("bothnames")), header="customer," + HEADER),
                "client there twice after renaming")  # fmt: skip
    yield right("columns that nobody asked for", "…,note,note", "extra.csv",
                table(*(one + ",a,b" for one in rows("extra")), header=HEADER + ",note,note"),
                rows("extra"))  # fmt: skip
    yield aside("a column of the config missing", "no activity", "missing.csv",
                table("missing 1,2025-03-01,1,1,south", header=HEADER.replace("activity,", "")),
                "missing column(s) activity")  # fmt: skip
    yield aside("a column twice", "client,…,branch,branch", "twice.csv",
                table(*(one + ",west" for one in rows("twice")), header=HEADER + ",branch"),
                "'branch' named twice")  # fmt: skip
    wide = [f"x{number}" for number in range(10_000)]
    yield right("10,006 columns", "x0,x1,…,x9999,client,…", "wide.csv",
                table(*(",".join("1" * 10_000) + "," + one for one in rows("wide")),
                      header=",".join([*wide, HEADER])), rows("wide"))  # fmt: skip
    yield spoiled("a huge cell", "40,000 signs", "huge.csv",
                  table(row("huge", 1), row("huge", 2, client="x" * 40_000), row("huge", 3)),
                  [row("huge", 1), row("huge", 3)], (3, "client", "40,000 characters in one cell"))  # fmt: skip
    yield spoiled(
        "a huge cell in a column that nobody asked for: only the row's own cells count",
        "40,000 signs",
        "hugenote.csv",
        table(
            row("hugenote", 1) + "," + "x" * 40_000,
            row("hugenote", 2, seen="?") + ",",
            row("hugenote", 3) + ",",
            header=HEADER + ",note",
        ),
        [row("hugenote", 1), row("hugenote", 3)],
        (3, "seen", "not a date"),
    )
    yield spoiled("the header again in the middle, as when files were put one behind the other", HEADER,
                  "again.csv", table(row("again", 1), HEADER, row("again", 2)), rows("again", 2),
                  (3, "seen", "not a date"))  # fmt: skip
    marked = b"\xef\xbb\xbf"
    yield spoiled(
        "the same of files with byte order marks",
        "EF BB BF in the middle",
        "againmark.csv",
        marked + table(row("againmark", 1)) + marked + table(row("againmark", 2)),
        rows("againmark", 2),
        (3, "seen", "not a date"),
    )
    yield spoiled("a sum below the rows", "Total,,,60,,", "total.csv", table(*rows("total"), "Total,,,60,,"),
                  rows("total"), (5, "seen", "empty"))  # fmt: skip
    yield right(
        "blank lines",
        "above, between and below the rows",
        "blank.csv",
        b"\n\n" + table(row("blank", 1), "", "", row("blank", 2), row("blank", 3), "", ""),
        rows("blank"),
    )
    yield right("spaces around cells and names", " client ,seen , exited", "spaces.csv",
                table(*(one.replace(",", " , ") + "  " for one in rows("spaces")),
                      header=HEADER.replace(",", " ,") + " "), rows("spaces"))  # fmt: skip
    yield right("line ends of DOS", "\\r\\n", "crlf.csv", table(*rows("crlf"), end="\r\n"), rows("crlf"))
    yield right("line ends of old Macs", "\\r", "cr.csv", table(*rows("cr"), end="\r"), rows("cr"))
    yield right("all three line ends", "\\r\\n, \\n and \\r", "ends.csv",
                f"{HEADER}\r\n{row('ends', 1)}\n{row('ends', 2)}\r{row('ends', 3)}\n".encode(),
                rows("ends"))  # fmt: skip
    yield right("a header and nothing below", HEADER, "header.csv", table(), [])
    yield aside("nothing at all", "0 bytes", "empty.csv", b"", "empty file")
    yield aside("only spaces and line ends", "␣␣⏎⏎", "white.csv", b"  \n\n \r\n", "empty file")
    yield aside("only a byte order mark", "EF BB BF", "mark.csv", b"\xef\xbb\xbf", "empty file")


# ------------------------------------------------------------------------------------------------ other things
def _other_kinds() -> Iterator[Case]:
    page = "<!DOCTYPE html>\n<html><body><h1>502 Bad Gateway</h1></body></html>\n"
    yield aside("a web server's error page", "<!DOCTYPE html>", "page.csv", page.encode(), "HTML or XML")
    yield aside(
        "XML", "<?xml version=…", "xml.csv", b'<?xml version="1.0"?>\n<rows><row/></rows>\n', "HTML or XML"
    )
    yield aside("an error page in text", "Internal Server Error", "text.csv", b"Internal Server Error\n",
                "missing column(s)")  # fmt: skip
    yield aside(
        "a line of 100,000 words", "word word word …", "essay.csv", b"word, " * 100_000, "missing column(s)"
    )
    yield aside(
        "one word of 100,000 letters", "aaaa…", "aaaa.csv", b"a" * 100_000 + b"\n", "missing column(s)"
    )
    yield aside("JSON named .csv", '[{"client": …', "json.csv", as_json(objects("json")), "missing column(s)")
    yield aside("a PDF", "%PDF-1.7", "pdf.csv", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "a PDF document")
    yield aside("a picture", "\\x89PNG", "png.csv", png(), "a PNG picture")
    yield aside("a zip file", "PK", "zip.csv", zipped("a.csv", plain("zip")), "a zip file or workbook")
    yield aside("a workbook named .csv", "PK", "book.csv", workbook("book"), "a zip file or workbook")
    yield aside("Parquet named .csv", "PAR1", "parquet.csv", columnar("parquet"), "a Parquet file")
    yield aside("noise", "random bytes", "noise.csv", bytes((7 * n * n + 13 * n) % 251 for n in range(5000)),
                "not UTF-8 text")  # fmt: skip
    yield aside("CSV named .json", HEADER, "csv.json", plain("csvjson"), "not JSON")
    yield aside("CSV named .xlsx", HEADER, "csv.xlsx", plain("csvxlsx"), "not an .xlsx workbook")
    yield aside("CSV named .parquet", HEADER, "csv.parquet", plain("csvparquet"), "not Parquet")


# ------------------------------------------------------------------------------------------------ separators, numbers
def _separators() -> Iterator[Case]:
    for name, separator in (("semicolon", ";"), ("tab", "\t"), ("pipe", "|")):
        example = repr(separator)[1:-1].join(NAMES)
        yield right(f"{name}s between cells", example, f"{name}.csv", parted(name, separator), rows(name))
    yield right("Excel's line that names the separator", "sep=;", "sep.csv", b"sep=;\n" + parted("sep", ";"),
                rows("sep"))  # fmt: skip
    yield aside(
        "another separator in the header than in the rows",
        "client;seen;…⏎c 1,2025-03-01,…",
        "halfway.csv",
        table(*rows("halfway"), header=HEADER.replace(",", ";")),
        "3 of 3 rows are bad",
    )
    yield right(
        "tabs, with commas inside cells",
        "Bee, Ann⇥2025-03-02",
        "commas.tsv",
        table(*rows("commas")[:1], row("commas", 2, client="commas; Ann"))
        .replace(b",", b"\t")
        .replace(b";", b","),
        [row("commas", 1), row("commas", 2, client='"commas, Ann"')],
    )
    yield aside(
        "a separator that isn't known",
        "client^seen^…",
        "caret.csv",
        parted("caret", "^"),
        "missing column(s)",
    )
    yield right(
        "the same in a folder with `separator: ^`",
        "client^seen^…",
        "carets.csv",
        parted("carets", "^"),
        rows("carets"),
        "carets",
    )
    yield aside(
        "spaces between cells", "client seen exited", "gaps.csv", parted("gaps", " "), "missing column(s)"
    )


def _numbers() -> Iterator[Case]:
    yield good_cell("a decimal comma that is surely one", "sure", "activity", "20,5", "20.5")
    yield good_cell("a point for thousands and a decimal comma", "both", "activity", "1.234,5", "1234.5")
    yield bad_cell(
        "a comma that may be a decimal one or not",
        "unsure",
        "activity",
        "1,234",
        "is its comma a decimal one?",
    )
    yield good_cell(
        'the same in a folder with `decimal: ","`', "german", "activity", "1,234", "1.234", folder="german"
    )
    yield good_cell(
        'thousands in a folder with `decimal: ","`', "thousands", "activity", "1.234", "1234", folder="german"
    )
    yield bad_cell(
        'a decimal point in a folder with `decimal: ","`',
        "point",
        "activity",
        "20.5",
        "not a number",
        folder="german",
    )
    yield right(
        "points for thousands where another row has a decimal comma",
        "activity: 1.234 and 20,5",
        "dotted.csv",
        table(row("dotted", 1, activity="1.234"), row("dotted", 2, activity='"20,5"'), row("dotted", 3)),
        [row("dotted", 1, activity="1234"), row("dotted", 2, activity="20.5"), row("dotted", 3)],
    )
    yield bad_cell("a comma for thousands and a point", "english", "activity", "1,234.5", "not a number")
    yield bad_cell("a space for thousands", "french", "activity", "1 234", "not a number")
    yield bad_cell("an apostrophe for thousands", "swiss", "activity", "1'234", "not a number")
    yield bad_cell("money", "money", "activity", "$20", "not a number")
    yield bad_cell("a percentage", "percent", "activity", "20%", "not a number")
    yield bad_cell("a unit", "unit", "activity", "20 kg", "not a number")
    yield bad_cell("text in a column of numbers", "words", "activity", "twenty", "not a number")
    yield good_cell("NaN, a missing number", "nan", "activity", "NaN", "")
    yield bad_cell("NaN with a sign", "minusnan", "activity", "-nan", "not a number")
    yield bad_cell("MySQL's sign for a missing value", "mysql", "activity", r"\N", "not a number")
    yield bad_cell("a typographer's minus", "minussign", "activity", "−5", "not a number")
    yield good_cell("a space that doesn't break", "nbsp", "activity", "\u00a020", "20")
    yield bad_cell("a space of no width", "zerowidth", "activity", "\u200b20", "not a number")
    yield bad_cell("infinity", "inf", "activity", "inf", "not a number")
    yield bad_cell("infinity below zero", "minusinf", "activity", "-Infinity", "not a number")
    yield bad_cell("a number that no float holds", "overflow", "activity", "1e400", "not a number")
    yield good_cell("a number too small for a float", "underflow", "activity", "1e-400", "0")
    yield good_cell("a number with an exponent", "exponent", "activity", "2e3", "2000")
    yield bad_cell("a hexadecimal number", "hex", "activity", "0x14", "not a number")
    yield bad_cell("Python's way to write thousands", "under", "activity", "1_000", "not a number")
    yield good_cell("digits of other scripts", "digits", "activity", "٢٥", "25")
    yield bad_cell("true in a column of numbers", "true", "activity", "true", "not a number")
    yield bad_cell("an error of Excel", "ref", "activity", "#REF!", "not a number")
    yield good_cell("an error of Excel that means missing", "notthere", "activity", "#N/A", "")
    yield bad_cell("a number below the limit", "below", "activity", "-1", "below the minimum 0")
    yield bad_cell("a number above the limit", "above", "complaints", "51", "above the maximum 50")
    yield bad_cell(
        "a value that isn't allowed", "centre", "branch", "centre", "not one of north, south, east, west"
    )
    yield bad_cell(
        "an allowed value in capitals", "shouted", "branch", "NORTH", "not one of north, south, east, west"
    )
    yield bad_cell("an empty id", "noid", "client", "", "empty")
    yield bad_cell("an id of spaces", "blankid", "client", "   ", "empty")
    yield good_cell("no target: a row to predict", "nolabel", "exited", "", "")
    yield good_cell("a whole number with a point in a category", "label", "exited", "1.0", "1")
    yield good_cell("an id with zeros in front", "zeros", "client", "007", "007")
    yield aside("more bad rows than `max_rejected` (here half)", "2 of 3", "many.csv",
                table(row("many", 1), row("many", 2, activity="x"), row("many", 3, activity="x")),
                "2 of 3 rows are bad, more than cleaning.max_rejected = 0.5")  # fmt: skip


def _dates() -> Iterator[Case]:
    yield good_cell("a date and time", "time", "seen", "2025-03-02T23:59:59", "2025-03-02T23:59:59")
    yield good_cell(
        "a date and time with a space", "blanktime", "seen", "2025-03-02 10:00", "2025-03-02T10:00:00"
    )
    yield good_cell(
        "a time zone: kept as UTC", "zone", "seen", "2025-03-02T00:30:00+02:00", "2025-03-01T22:30:00"
    )
    yield good_cell("UTC", "zulu", "seen", "2025-03-02T00:30:00Z", "2025-03-02T00:30:00")
    yield good_cell("a German date, which `date_formats` has", "dots", "seen", "31.12.2025", "2025-12-31")
    yield bad_cell("an American date, which it has not", "slashes", "seen", "12/31/2025", "not a date")
    yield bad_cell("a date that may be two", "either", "seen", "01/02/2025", "not a date")
    yield good_cell("a date without signs between", "compact", "seen", "20250302", "2025-03-02")
    yield bad_cell("an impossible date", "impossible", "seen", "2025-02-30", "not a date")
    yield bad_cell("a leap day in a year without", "leap", "seen", "2025-02-29", "not a date")
    yield bad_cell("a date of zeros", "zerodate", "seen", "0000-00-00", "not a date")
    yield bad_cell("a month", "month", "seen", "2025-03", "not a date")
    yield bad_cell("seconds since 1970", "epoch", "seen", "1740873600", "not a date")
    yield bad_cell(
        "milliseconds since 1970, not to be read as the year 1712",
        "millis",
        "seen",
        "1712010112345",
        "not a date",
    )
    yield bad_cell(
        "13 digits, not to be read as 2025-03-02T01:11", "digits13", "seen", "2025030210111", "not a date"
    )
    yield bad_cell(
        "11 digits, not to be read as 2025-03-02T23:00", "digits11", "seen", "20250302123", "not a date"
    )
    yield good_cell("a day of a week, by ISO 8601", "week", "seen", "2025-W09-7", "2025-03-02")
    yield bad_cell("a date without zeros", "short date", "seen", "2025-3-2", "not a date")
    yield bad_cell("a date in words", "spelt", "seen", "2 March 2025", "not a date")
    yield bad_cell("a year of five digits", "faraway", "seen", "10000-01-01", "not a date")
    yield bad_cell(
        "the first day of all, in a zone where it's none in UTC",
        "firstday",
        "seen",
        "0001-01-01T00:00+14:00",
        "not a date",
    )
    yield bad_cell("the hour 24", "midnight", "seen", "2025-03-02T24:00", "not a date")
    yield bad_cell("Excel's number of a day", "serial", "seen", "45718", "not a date")
    yield bad_cell("no date", "nodate", "seen", "", "empty")
    yield spoiled(
        "dates of three kinds in one column",
        "2025-03-01, 02.03.2025, 03/03/2025",
        "threekinds.csv",
        table(
            row("threekinds", 1),
            row("threekinds", 2, seen="02.03.2025"),
            row("threekinds", 3, seen="03/03/2025"),
        ),
        rows("threekinds")[:2],
        (4, "seen", "not a date"),
    )


# ------------------------------------------------------------------------------------------------ formulas
def _formulas() -> Iterator[Case]:
    for key, cell in (
        ("sum", "=1+1"),
        ("plus", "+1+cmd|' /C calc'!A0"),
        ("minus", "-2+3+cmd|' /C calc'!A0"),
        ("at", "@SUM(1+1)"),
    ):
        yield good_cell(f"a formula as id, beginning with {cell[0]}", key, "client", cell, f"'{cell}")
    yield good_cell("a formula with a comma and quotes", "hyperlink", "client", '=HYPERLINK("http://x","y")',
                    '"\'=HYPERLINK(""http://x"",""y"")"')  # fmt: skip
    yield good_cell("a tab before a formula", "tabbed", "client", "\t=1+2", "'=1+2")
    yield good_cell("a carriage return before a formula", "returned", "client", "\r=1+3", "'=1+3")
    yield good_cell("a number with a sign is no formula", "signed", "client", "-12", "-12")
    yield bad_cell("a formula among numbers", "formula", "activity", "=cmd|' /C calc'!A0", "not a number")
    yield right("a formula as file name", "=x.csv", "=x.csv", plain("=x").replace(b"=x", b"x"), rows("x"))


# ------------------------------------------------------------------------------------------------ compressed
def _compressed() -> Iterator[Case]:
    yield right("gzip", ".csv.gz", "gz.csv.gz", gzip.compress(plain("gz")), rows("gz"))
    members = [gzip.compress(part) for part in plain("members").splitlines(keepends=True)]
    yield right(
        "gzip in pieces put one behind the other",
        ".csv.gz",
        "members.csv.gz",
        b"".join(members),
        rows("members"),
    )
    yield right("zstd, the ending in capitals", ".CSV.ZST", "ZST.CSV.ZST", zstd(plain("zst")), rows("zst"))
    yield aside(
        "gzip cut off", "1f 8b …", "gzcut.csv.gz", gzip.compress(plain("gzcut"))[:-12], "corrupt or cut off"
    )
    yield aside(
        "gzip with a wrong checksum",
        "1f 8b …",
        "gzcrc.csv.gz",
        flipped(gzip.compress(plain("gzcrc")), -6),
        "corrupt or cut off",
    )
    yield aside(
        "zstd cut off",
        "28 b5 2f fd …",
        "zstcut.csv.zst",
        zstd(plain("zstcut") * 50)[:-12],
        "corrupt or cut off",
    )
    yield aside(
        "a gzip bomb",
        f"{bomb_size():,} bytes that open to 50 MB",
        "bomb.csv.gz",
        bomb(),
        "opens to more than 2,000,000 bytes",
    )
    yield aside("a zstd bomb", "10 kB that open to 50 MB", "bomb.csv.zst", zstd(b"0,1,2,3\n" * 6_250_000),
                "opens to more than 2,000,000 bytes")  # fmt: skip
    yield aside(
        "gzip with something behind it",
        "1f 8b … junk",
        "junk.csv.gz",
        gzip.compress(plain("junk")) + b"junk",
        "corrupt or cut off",
    )
    yield aside(
        "gzip of gzip",
        ".csv.gz",
        "gzgz.csv.gz",
        gzip.compress(gzip.compress(plain("gzgz"))),
        "compressed with gzip",
    )
    yield aside(
        "gzip of gzip, and named so",
        ".csv.gz.gz",
        "gzgz.csv.gz.gz",
        gzip.compress(gzip.compress(plain("gzgz2"))),
        "no reader for '.gz' files",
    )
    yield aside(
        "gzip named .csv", "1f 8b", "gzipped.csv", gzip.compress(plain("gzipped")), "compressed with gzip"
    )
    yield aside("zstd named .csv", "28 b5 2f fd", "zstd.csv", zstd(plain("zstd")), "compressed with zstd")
    yield aside("CSV named .gz", HEADER, "plain.csv.gz", plain("plaingz"), "not gzip")
    yield aside("gzip of nothing", ".csv.gz", "nothing.csv.gz", gzip.compress(b""), "empty file")
    yield aside(
        "a file over the limit",
        "more than `max_file_mb`",
        "large.csv",
        table(*rows("large")) + b"x,2025-03-01,1,1,1,north\n" * 100_000,
        "has more than 2,000,000 bytes",
    )


@functools.cache
def bomb() -> bytes:
    """Give gzip that opens to a thousand times its size."""
    return gzip.compress(b"0" * 50_000_000, 9, mtime=0)


def bomb_size() -> int:
    """Give the size of the bomb, rounded to thousands."""
    return round(len(bomb()), -3)


# ------------------------------------------------------------------------------------------------ Excel
def _workbooks() -> Iterator[Case]:
    def cell(place: str, value: Any) -> Callable[[Any], None]:
        return lambda book: setattr(book.active[place], "value", value)

    def more_sheets(book: Any) -> None:
        book.active.title = "Data"
        book.create_sheet("Notes").append(["made by hand"])

    def hidden_sheet(book: Any) -> None:
        book.create_sheet("Empty")
        more = book.create_sheet("Lists")
        more.append(["north"])
        more.sheet_state = "hidden"

    def titled(book: Any) -> None:
        book.active.insert_rows(1)
        book.active["A1"] = "Clients in March"

    def below(book: Any) -> None:
        for number in (7, 9):
            book.active[f"A{number}"] = "  "

    def beside(book: Any) -> None:
        book.active["I3"] = "see there"

    def two(key: str) -> list[str]:
        return [row(key, 1), row(key, 3)]

    yield right(
        "a workbook, with date cells",
        "2025-03-01 as a date",
        "plain.xlsx",
        workbook("xplain"),
        rows("xplain"),
    )
    yield right(
        "numbers and dates as text", "'10", "text.xlsx", workbook("xtext", as_text=True), rows("xtext")
    )
    yield right(
        "an empty and a hidden sheet beside",
        "Sheet, Empty, Lists",
        "hidden.xlsx",
        workbook("xhidden", hidden_sheet),
        rows("xhidden"),
    )
    yield right(
        "empty rows and cells of spaces below",
        "A7: ␣␣",
        "below.xlsx",
        workbook("xbelow", below),
        rows("xbelow"),
    )
    yield aside("several sheets with cells", "Data, Notes", "sheets.xlsx", workbook("xsheets", more_sheets),
                "has cells in the sheets 'Data', 'Notes'; name one")  # fmt: skip
    yield right(
        "the same in a folder with `sheet: Data`",
        "Data, Notes",
        "named.xlsx",
        workbook("xnamed", more_sheets),
        rows("xnamed"),
        "books",
    )
    yield aside(
        "no sheet of the name in `sheet: Data`",
        "Sheet",
        "unnamed.xlsx",
        workbook("xunnamed"),
        "no sheet 'Data'",
        "books",
    )
    yield aside(
        "merged cells",
        "A2:A3",
        "merged.xlsx",
        workbook("xmerged", lambda book: book.active.merge_cells("A2:A3")),
        "the cells A2:A3 are merged",
    )
    yield aside(
        "a title above the header",
        "A1: Clients in March",
        "titled.xlsx",
        workbook("xtitled", titled),
        "missing column(s)",
    )
    yield spoiled(
        "a formula that was never calculated",
        "D3: =10+10",
        "formula.xlsx",
        workbook("xformula", cell("D3", "=10+10")),
        two("xformula"),
        (3, "activity", "a formula without a value"),
    )
    yield right(
        "a formula with its last value",
        "D3: =10+10, 20",
        "value.xlsx",
        calculated("xvalue", "=10+10", "n", "20"),
        rows("xvalue"),
    )
    yield spoiled(
        "a cell with an error",
        "D3: #REF!",
        "error.xlsx",
        calculated("xerror", "=A99/0", "e", "#REF!"),
        two("xerror"),
        (3, "activity", "an error in place of a value"),
    )
    yield spoiled(
        "a date among numbers",
        "D3: 2025-03-01",
        "datecell.xlsx",
        workbook("xdatecell", cell("D3", datetime(2025, 3, 1))),
        two("xdatecell"),
        (3, "activity", "not a number"),
    )
    yield spoiled(
        "a cell beside the table",
        "I3: see there",
        "beside.xlsx",
        workbook("xbeside", beside),
        two("xbeside"),
        (3, "", "a cell in column 9 where the header has 6"),
    )

    def mac(book: Any) -> None:
        book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904

    def hidden_row(book: Any) -> None:
        book.active.row_dimensions[3].hidden = True

    yield right(
        "a workbook that counts days from 1904",
        "2025-03-01 as a date",
        "mac.xlsx",
        workbook("xmac", mac),
        rows("xmac"),
    )
    yield right(
        "a hidden row: it's one like the others",
        "row 3",
        "hiddenrow.xlsx",
        workbook("xrow", hidden_row),
        rows("xrow"),
    )
    yield spoiled("TRUE in a column of numbers", "D3: TRUE", "true.xlsx", workbook("xtrue", cell("D3", True)),
                  two("xtrue"), (3, "activity", "not a number"))  # fmt: skip
    yield right("a number as id", "A3: 1001", "id.xlsx", workbook("xid", cell("A3", 1001.0)),
                [row("xid", 1), row("xid", 2, client="1001"), row("xid", 3)])  # fmt: skip
    locked = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
    yield aside("a workbook with a password", "D0 CF 11 E0", "locked.xlsx", locked, "one with a password")
    yield aside("an .xls", "D0 CF 11 E0", "old.xls", locked + b"x", "no reader for '.xls' files")
    yield aside("an .xls named .xlsx", "D0 CF 11 E0", "old.xlsx", locked + b"xx", "an old Excel workbook")
    yield aside("a workbook cut off", "PK …", "cut.xlsx", workbook("xcut")[:-200], "corrupt or cut off")
    yield aside(
        "a zip file named .xlsx", "PK", "zip.xlsx", zipped("a.csv", plain("xzip")), "not an .xlsx workbook"
    )
    yield aside(
        "a zip bomb",
        "100 kB that open to 50 MB",
        "bomb.xlsx",
        rezipped(workbook("xbomb"), lambda name, part: b" " * 50_000_000 if "theme" in name else part),
        "opens to more than 2,000,000 bytes",
    )
    laughs = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%b">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
    )
    evil = laughs + b"]>"
    yield aside("an XML bomb inside", "<!ENTITY b \"&a;&a;…\">", "laughs.xlsx",
                rezipped(workbook("xlaughs"), lambda name, part: evil + part if "sheet1" in name else part),
                "not an .xlsx workbook")  # fmt: skip


# ------------------------------------------------------------------------------------------------ JSON
def _json() -> Iterator[Case]:
    def one(what: str, key: str, reason: str, **other: Any) -> Case:
        ((column, value),) = other.items()
        return spoiled(
            what,
            f'"{column}": {json.dumps(value)}',
            f"{key}.json",
            as_json(objects(key, **other)),
            [row(key, 1), row(key, 3)],
            (2, column, reason),
        )

    yield right(
        "a list of objects", '[{"client": …}, …]', "list.json", as_json(objects("jlist")), rows("jlist")
    )
    yield right("an object that holds the list", '{"count": 3, "data": […]}', "data.json",
                as_json({"count": 3, "data": objects("jdata")}), rows("jdata"))  # fmt: skip
    yield aside("an object that holds two lists", '{"a": […], "b": […]}', "two.json",
                as_json({"a": objects("jtwo"), "b": objects("jtwo2")}),
                "an object with 2 lists of objects")  # fmt: skip
    yield right(
        "UTF-8 with a byte order mark",
        "EF BB BF [",
        "bom.json",
        b"\xef\xbb\xbf" + as_json(objects("jbom")),
        rows("jbom"),
    )
    yield one("a list in place of a value", "jnested", "column activity holds a list", activity=[20])
    yield one(
        "an object in place of a value", "jobject", "column activity holds an object", activity={"week": 20}
    )
    yield one("NaN, which JSON has not", "jnan", "NaN, which JSON has not", activity=float("nan"))
    yield one("Infinity, which JSON has not", "jinf", "Infinity, which JSON has not", activity=float("inf"))
    yield one("text in a column of numbers", "jwords", "not a number", activity="twenty")
    yield one("true in a column of numbers", "jtrue", "not a number", activity=True)
    yield right(
        "UTF-16 with a byte order mark",
        "FF FE [",
        "utf16.json",
        as_json(objects("jutf")).decode().encode("utf-16"),
        rows("jutf"),
    )
    yield aside(
        "a comma behind the last object",
        "[{…}, ]",
        "comma.json",
        as_json(objects("jcomma"))[:-1] + b",]",
        "not JSON",
    )
    yield one("null as id", "jnull", "empty", client=None)
    yield right(
        "numbers as text",
        '"activity": "20"',
        "jtext.json",
        as_json(objects("jtext", activity="20")),
        rows("jtext"),
    )
    yield right("a whole number beyond 2^53 as id", '"client": 12345678901234567890', "big.json",
                as_json(objects("jbig", client=12345678901234567890)),
                [row("jbig", 1), row("jbig", 2, client="12345678901234567890"), row("jbig", 3)])  # fmt: skip
    yield spoiled("a number that no float holds", '"activity": 1e400', "jhuge.json",
                  as_json(objects("jhuge", activity=777)).replace(b"777", b"1e400"),
                  [row("jhuge", 1), row("jhuge", 3)], (2, "activity", "not a number"))  # fmt: skip
    yield spoiled("a number of 5,000 digits", '"activity": 999…', "jdigits.json",
                  as_json(objects("jdigits", activity=777)).replace(b"777", b"9" * 5000),
                  [row("jdigits", 1), row("jdigits", 3)], (2, "activity", "not a number"))  # fmt: skip
    yield spoiled("a key twice in one object", '{"activity": 20, "activity": 30}', "jtwice.json",
                  as_json(objects("jtwice")).replace(b'"activity": 20,', b'"activity": 20, "activity": 30,'),
                  [row("jtwice", 1), row("jtwice", 3)], (2, "activity", "named twice in one object"))  # fmt: skip
    lacking = objects("jlacking")
    del lacking[1]["activity"]
    yield right(
        "a key missing in one object",
        '{"client": …} without activity',
        "jlacking.json",
        as_json(lacking),
        [row("jlacking", 1), row("jlacking", 2, activity=""), row("jlacking", 3)],
    )
    yield spoiled(
        "half a character",
        '"client": "\\ud800"',
        "jhalf.json",
        as_json(objects("jhalf", client="\ud800")),
        [row("jhalf", 1), row("jhalf", 3)],
        (2, "client", "half a character"),
    )
    yield aside(
        "cut off",
        '[{"client": …}, {"cli',
        "jcut.json",
        as_json(objects("jcut"))[:-30],
        "not JSON, or cut off",
    )
    yield aside("a number alone", "42", "number.json", b"42\n", "a list of objects is expected")
    yield aside("a list of numbers", "[1, 2, 3]", "numbers.json", b"[1, 2, 3]\n", "a list without an object")
    yield right("an empty list would lack its columns, one object not", '[{"client": …}]', "single.json",
                as_json(objects("jsingle")[:1]), rows("jsingle", 1))  # fmt: skip
    yield aside("nothing at all", "0 bytes", "empty.json", b"", "empty file")
    yield aside("an empty list", "[]", "none.json", b"[]", "missing column(s)")
    yield aside("100,000 brackets", "[[[[[…", "deep.json", b"[" * 100_000, "nested too deep")
    yield aside("100,000 brackets inside an object", '[{"client": [[[[…', "deeper.json",
                b'[{"client": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]", "nested too deep")  # fmt: skip
    yield aside(
        "Python's way to write it",
        "[{'client': …",
        "python.json",
        str(objects("jpython")).encode(),
        "not JSON",
    )
    yield aside(
        "JSON Lines named .json",
        '{"client": …}⏎{"client": …}',
        "lines.json",
        as_lines(objects("jlines")),
        "an object with 0 lists",
    )
    yield right(
        "JSON Lines", '{"client": …}⏎{"client": …}', "lines.jsonl", as_lines(objects("jl")), rows("jl")
    )
    made = as_lines(objects("jlbad")).splitlines(keepends=True)
    yield spoiled("JSON Lines with a bad line in the middle", '{"client": "c', "bad.jsonl",
                  b"".join([made[0], made[1][:20] + b"\n", made[2]]), [row("jlbad", 1), row("jlbad", 3)],
                  (2, "", "not JSON, or cut off"))  # fmt: skip
    yield spoiled("JSON Lines cut off in the last line", '{"client": "c', "cut.jsonl",
                  as_lines(objects("jlcut"))[:-10], rows("jlcut", 2), (3, "", "not JSON, or cut off"))  # fmt: skip
    yield aside(
        "a list named .jsonl",
        '[{"client": …}, …]',
        "list.jsonl",
        as_json(objects("jllist")),
        "no line holds a JSON object",
    )


# ------------------------------------------------------------------------------------------------ Parquet
def _parquet() -> Iterator[Case]:
    def other(
        what: str, example: str, key: str, array: pa.Array, gives: list[str] | None = None, **more: Any
    ) -> Case:
        return right(
            what, example, f"{key}.parquet", columnar(key, activity=array), gives or rows(key), **more
        )

    ten = [10, 20, 30]
    yield right("Parquet", "dates, whole numbers, texts", "plain.parquet", columnar("pq"), rows("pq"))
    yield right("no rows", "the schema alone", "none.parquet", columnar_empty(), [])
    yield other("numbers as text", 'activity: "20"', "pqtext", pa.array(["10", "20", "30"]))
    yield other(
        "decimals", "activity: decimal128(9, 2)", "pqdecimal", pa.array([Decimal(f"{n}.00") for n in ten])
    )
    yield other(
        "a dictionary",
        "activity: dictionary of texts",
        "pqdict",
        pa.array(["10", "20", "30"]).dictionary_encode(),
    )
    yield other("8 bits", "activity: uint8", "pqbits", pa.array(ten, pa.uint8()))
    yield other(
        "NaN and null are missing",
        "activity: NaN, null, 30",
        "pqnan",
        pa.array([float("nan"), None, 30.0]),
        [row("pqnan", 1, activity=""), row("pqnan", 2, activity=""), row("pqnan", 3)],
    )
    moments = pa.array([datetime(2025, 3, n) for n in (1, 2, 3)])
    yield other("true and false are 1 and 0", "activity: bool", "pqbool", pa.array([True, False, True]),
                [row("pqbool", n, activity=str(n % 2)) for n in (1, 2, 3)])  # fmt: skip
    yield other("a column without any value", "activity: null", "pqnull", pa.nulls(3),
                [row("pqnull", n, activity="") for n in (1, 2, 3)])  # fmt: skip
    yield right("whole numbers beyond 2^63 as ids", "client: uint64", "uint64.parquet",
                columnar("pquint", client=pa.array([2**64 - n for n in (1, 2, 3)], pa.uint64())),
                [row("pquint", n, client=str(2**64 - n)) for n in (1, 2, 3)])  # fmt: skip
    yield right(
        "bytes as ids",
        "client: binary",
        "binary.parquet",
        columnar("pqbin", client=pa.array([b"pqbin 1", b"pqbin 2", b"pqbin 3"])),
        rows("pqbin"),
    )
    sharp = pa.array([1740787200000000001, 1740873600000000000, 1740960000000000000], pa.timestamp("ns"))
    yield right("a moment finer than microseconds", "2025-03-01T00:00:00.000000001", "sharp.parquet",
                columnar("pqsharp", seen=sharp), rows("pqsharp"))  # fmt: skip
    yield aside("milliseconds since 1970 in place of dates", "seen: 1712010112345", "millis.parquet",
                columnar("pqmillis", seen=pa.array([1712010112345] * 3)), "3 of 3 rows are bad")  # fmt: skip
    yield right("timestamps in nanoseconds", "seen: timestamp[ns]", "nano.parquet",
                columnar("pqnano", seen=moments.cast(pa.timestamp("ns"))), rows("pqnano"))  # fmt: skip
    zoned = pa.array([datetime(2025, 3, n, 12) for n in (1, 2, 3)], pa.timestamp("us", "Europe/Berlin"))
    yield right(
        "timestamps with a zone: kept as UTC",
        "seen: timestamp[us, Europe/Berlin]",
        "zone.parquet",
        columnar("pqzone", seen=zoned),
        [row("pqzone", n, seen=f"2025-03-0{n}T12:00:00") for n in (1, 2, 3)],
    )
    yield right("a nested column that nobody asked for", "tags: list", "tags.parquet",
                columnar("pqtags", tags=pa.array([["a"], [], None])), rows("pqtags"))  # fmt: skip
    yield spoiled(
        "infinity",
        "activity: inf",
        "inf.parquet",
        columnar("pqinf", activity=pa.array([10.0, float("inf"), 30.0])),
        [row("pqinf", 1), row("pqinf", 3)],
        (2, "activity", "not a finite number"),
    )
    yield aside(
        "a nested column",
        "activity: list",
        "nested.parquet",
        columnar("pqnested", activity=pa.array([[10], [20], [30]])),
        "column activity holds lists or objects",
    )
    yield aside(
        "whole numbers in place of dates",
        "seen: 1740873600",
        "epoch.parquet",
        columnar("pqepoch", seen=pa.array([1740873600, 1740873601, 1740873602])),
        "3 of 3 rows are bad",
    )
    yield aside(
        "cut off", "PAR1 …", "cut.parquet", columnar("pqcut")[:-50], "not Parquet, corrupt or cut off"
    )
    yield aside(
        "a bit of the footer turned over",
        "… PAR1",
        "footer.parquet",
        flipped(columnar("pqfooter"), -7),
        "not Parquet, corrupt or cut off",
    )
    checked = {"write_page_checksum": True, "compression": "none", "use_dictionary": False}
    content = columnar("pqpage", checked)
    yield aside("a bit of the data turned over, where the pages have checksums", "pqpage 2", "page.parquet",
                flipped(content, content.index(b"pqpage 2") + 7), "corrupt or cut off")  # fmt: skip


def columnar_empty() -> bytes:
    """Give a Parquet file without rows."""
    out = io.BytesIO()
    parquet.write_table(parquet.read_table(io.BytesIO(columnar("x"))).slice(0, 0), out)
    return out.getvalue()


# ------------------------------------------------------------------------------------------------ names, kinds of files
def _places() -> Iterator[Case]:
    def linked(path: Path) -> None:
        target = path.parent.parent / "elsewhere.csv"
        target.write_bytes(plain("symlink"))
        path.symlink_to(target)

    def hard_linked(path: Path) -> None:
        target = path.parent.parent / "hardlinked.csv"
        target.write_bytes(plain("hardlink"))
        os.link(target, path)

    def folder(path: Path) -> None:
        path.mkdir()
        (path / "inside.csv").write_bytes(plain("inside"))

    def device(path: Path) -> None:
        with suppress(PermissionError):  # nobody but root may: then there is nothing to look at
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))

    def long_name() -> str:
        return "n" * (250 - len(".csv")) + ".csv"

    def named(what: str, example: str, key: str, name: str) -> Case:
        return right(what, example, name, plain(key), rows(key))

    yield named("a file name with a line end", "x⏎y.csv", "newline", "x\ny.csv")
    yield named("a file name with a dash in front", "-rf.csv", "dash", "-rf.csv")
    yield named("a file name with a comma and quotes", 'a,"b".csv', "comma", 'a,"b".csv')
    yield named("a file name that is not UTF-8", "caf\\xE9.csv", "bytes", os.fsdecode(b"caf\xe9.csv"))
    yield named("a file name of 250 bytes", "nnnn….csv", "longname", long_name())
    yield aside(
        "a file name of 247 bytes in letters of four",
        "owl🦉🦉🦉….csv",
        "owl" + "🦉" * 60 + ".csv",
        b"owls\n",
        "missing column(s)",
    )
    yield aside(
        "a bad file whose name is not UTF-8",
        "th\\xE9.csv",
        os.fsdecode(b"th\xe9.csv"),
        b"th\xc3\xa9\n",
        "missing column(s)",
    )
    yield named("a file name that colours the terminal", "r\x1b[31med.csv", "red", "r\x1b[31med.csv")
    yield named("the ending in capitals", "LOUD.CSV", "loud", "LOUD.CSV")
    yield right("a hard link", "ln a.csv b.csv", "hardlink.csv", hard_linked, rows("hardlink"))
    for number, (what, name) in enumerate(
        (
            ("no ending", "clients"),
            ("an ending without reader", "clients.txt"),
            ("a download under way", "clients.csv.part"),
            ("an editor's old copy", "clients.csv~"),
            ("a space behind the ending", "clients.csv "),
        )
    ):
        yield aside(what, name, name, plain(f"ending{number}"), "no reader for")
    yield unseen("a hidden file", ".clients.csv", ".clients.csv", plain("hiddenfile"))
    yield unseen("a symbolic link", "link.csv → ../elsewhere.csv", "link.csv", linked)
    yield unseen(
        "a symbolic link to itself",
        "loop.csv → loop.csv",
        "loop.csv",
        lambda path: path.symlink_to(path.name),
    )
    yield unseen("a FIFO, which nobody writes to", "mkfifo", "fifo.csv", os.mkfifo)
    yield unseen("a socket", "bind", "socket.csv", _bind)
    yield unseen("a device", "mknod c 1 3", "device.csv", device)
    yield unseen("a folder named like a file", "folder.csv/", "folder.csv", folder)
    yield Case("a file that grows while it is read", "the next run takes it", GROWS, plain("grows"), WAITS)
    yield Case(
        "the same content under another name", f"{BEFORE} again", "copy.csv", plain("before"), REPEATED
    )
    yield right(
        "rows that are known already, and one that isn't: each counts once",
        f"two rows of {BEFORE}",
        "known.csv",
        table(*rows("before")[:2], row("known", 3), row("known", 3)),
        [row("known", 3)],
    )


def _bind(path: Path) -> None:
    """Make a socket: by a short path, as the kernel takes no more than 107 bytes."""
    with tempfile.TemporaryDirectory(dir=path.parent.parent) as near, socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        os.chdir(near)
        try:
            made.bind("s")
        finally:
            os.chdir(here)
        os.rename(Path(near) / "s", path)


BEFORE, AFTER = "!before.csv", "~after.csv"  # good files, first and last in name order
GROWS = "grows.csv"

GROUPS: dict[str, list[Case]] = {
    "Encodings": list(_encodings()),
    "Header, rows and lines of a CSV": list(_structure()),
    "Other things named like a table": list(_other_kinds()),
    "Separators": list(_separators()),
    "Numbers and other cells": list(_numbers()),
    "Dates": list(_dates()),
    "Cells that a spreadsheet would run": list(_formulas()),
    "Compressed files": list(_compressed()),
    "Workbooks": list(_workbooks()),
    "JSON": list(_json()),
    "Parquet": list(_parquet()),
    "Names and kinds of files": list(_places()),
}
CASES = [case for group in GROUPS.values() for case in group]


# ------------------------------------------------------------------------------------------------ dropped and ingested
def made_project(folder: Path) -> Project:
    """Give a new project with the folders that files drop into, and the two good files."""
    project = Project.made(folder, CONFIG)
    for name in FOLDERS[1:]:
        (folder / name).mkdir()
    project.drop(BEFORE, plain("before"))
    project.drop(AFTER, plain("after"))
    return project


def drop(project: Project, case: Case) -> None:
    """Put it where it belongs."""
    path = project.folder / case.folder / case.name
    if isinstance(case.content, bytes):
        path.write_bytes(case.content)
    else:
        case.content(path)


@contextmanager
def _growing(path: str) -> Iterator[Any]:
    """Open a file; one that is called so grows while it is open."""
    with _opened(path) as opened:
        if os.path.basename(path) == GROWS:
            time.sleep(0.02)  # a step of the file system's clock
            with open(path, "a") as writer:
                writer.write(row("grows", 4) + "\n")
        yield opened


_opened = sources._opened


def ingest(project: Project, *flags: str) -> Ran:
    """Run ingestion."""
    with mock.patch.object(sources, "_opened", _growing):
        return project.call("ingestion.py", *flags)


def seen(project: Project, case: Case, lines: list[dict[str, str]]) -> Seen:
    """Give what became of it, from the records and the lines of reasons.csv."""
    about = [
        (line["line"], line["column"], line["value"], line["reason"])
        for line in lines
        if line["file"] == case.told_as
    ]
    name = printable(case.name).replace("'", "''")
    recorded = project.query(f"select status, rejected_rows from files where name = '{name}'")
    if not recorded:
        return Seen(WAITS if case.fate == WAITS else UNSEEN, about)
    ((status, rejected),) = recorded
    fates = {"repeated": REPEATED, "set aside": ASIDE, "ingested": SPOILED if rejected else RIGHT}
    return Seen(fates[status], about)


# ------------------------------------------------------------------------------------------------ the page
HEAD = """\
# Nasty files

What people and programs drop, and what becomes of it. `tests/nasty.py` makes the files, `tests/test_nasty_files.py`
drops each of them alone between two good files, and all of them at once, and compares what happens with this page;
it is made by `python -m tests.nasty > docs/nasty_files.md`. No file stops the good ones beside it.

- **ingested right**: every row is in `finaldata.csv`, as it was meant.
- **rows rejected**: these rows stand in `rejected/`, to be corrected and dropped again; the others are ingested.
- **set aside**: the whole file stands in `rejected/`, and none of its rows is ingested.
- **adds nothing**: its content is known.
- **waits**: the next run looks at it again.
- **not looked at**: it is no regular file, or a hidden one.

What is told stands in `rejected/reasons.csv`. These files were read with `max_rejected: 0.5`, `max_file_mb: 2` and
`date_formats: ["%d.%m.%Y"]`.
"""
LONGEST_TOLD = 240


def page(found: dict[str, Seen]) -> str:
    """Give the page of what became of the files, by their names."""
    lines = [HEAD]
    for title, group in GROUPS.items():
        lines += [f"## {title}\n", "| what comes | example | fate | what is told |", "|---|---|---|---|"]
        for case in group:
            one = found[case.name]
            lines.append(f"| {_cell(case.what)} | {_code(case.example)} | {one.fate} | {_told(one)} |")
        lines.append("")
    return "\n".join(lines)


def _told(one: Seen) -> str:
    """Give what is told of the first flaw."""
    if not one.lines:
        return ""
    line, column, _, reason = one.lines[0]
    where = f"line {line}" + (f", {column}: " if column else ": ") if line else ""
    more = f" (and {len(one.lines) - 1} more)" if len(one.lines) > 1 else ""
    return _cell(where + (reason if len(reason) <= LONGEST_TOLD else reason[:LONGEST_TOLD] + "…") + more)


def _cell(text: str) -> str:
    plain_text = "".join(sign if sign.isprintable() else "·" for sign in text)
    kept = [
        html.escape(part, quote=False) if at % 2 == 0 else f"`{part}`"
        for at, part in enumerate(plain_text.split("`"))
    ]
    return (
        re.sub(r"([|*_\[\]])", r"\\\1", "".join(kept))
        if "`" not in plain_text
        else "".join(kept).replace("|", "\\|")
    )


def _code(text: str) -> str:
    shown = repr(text)[1:-1] if not text.isprintable() else text
    return f"`{shown}`".replace("|", "\\|")


def all_together(folder: Path) -> tuple[Project, dict[str, Seen]]:
    """Drop all files into a new project, ingest them in one run, and give what became of each by its name."""
    project = made_project(folder)
    for case in CASES:
        drop(project, case)
    ran = ingest(project)
    assert ran.code == 0, ran.err
    lines = project.reasons()
    return project, {case.name: seen(project, case, lines) for case in CASES}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        sys.stdout.write(page(all_together(Path(temporary) / "a project")[1]))
