"""Source files as tables, just as they were written: what is a table, and where in the file each row stands.

A reader checks the structure of a file (is it a table at all, has every row its cells). What the cells mean is
`cleaning`'s business. To add a format, write a function `read_x(content, wanted, spelling) -> RawTable` in a module
of this folder that raises NotATable for all it can't read, and give it a line in FORMATS.
"""

from collections.abc import Callable, Collection
from pathlib import PurePath

from pipeline.readers.columnar import read_parquet
from pipeline.readers.compressed import COMPRESSIONS, opened
from pipeline.readers.delimited import read_csv, read_tsv
from pipeline.readers.objects import read_json, read_json_lines
from pipeline.readers.sheets import read_xlsx
from pipeline.readers.table import LONGEST_VALUE, RECOGNISED, BadRow, NotATable, RawTable, Spelling, too_big

__all__ = [
    "FORMATS",
    "LONGEST_VALUE",
    "BadRow",
    "NotATable",
    "RawTable",
    "Spelling",
    "endings",
    "knows",
    "read",
]


def read(
    name: str, content: bytes, wanted: Collection[str] = (), spelling: Spelling = RECOGNISED
) -> RawTable:
    """Read a file by the ending of its name: its columns that are `wanted` (none named: all).

    Raise NotATable if it has no table to give.
    """
    ending, compression = endings(name)
    reader = FORMATS.get(ending)
    if reader is None:
        raise NotATable(
            f"no reader for '{ending}' files; known: {', '.join(FORMATS)}, each also with {', '.join(COMPRESSIONS)}"
        )
    if compression:
        content = opened(content, compression, spelling.max_bytes)
    elif len(content) > spelling.max_bytes:
        raise too_big("has", spelling.max_bytes)
    return reader(content, frozenset(column.strip() for column in wanted), spelling)


def endings(name: str) -> tuple[str, str]:
    """Give how the name ends, in small letters: the format and the compression behind it, each "" for none."""
    path = PurePath(name)
    compression = path.suffix.lower()
    if compression in COMPRESSIONS:
        return PurePath(path.stem).suffix.lower(), compression
    return compression, ""


def knows(name: str) -> bool:
    """Tell whether there is a reader for files of this name."""
    return endings(name)[0] in FORMATS


FORMATS: dict[str, Callable[[bytes, frozenset[str], Spelling], RawTable]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".json": read_json,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".xlsx": read_xlsx,
    ".parquet": read_parquet,
}
