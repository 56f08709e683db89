"""The ingested rows on disk: one immutable Parquet part per file that brought any, and the CSV that people read.

A part is named after the content of its file, so writing it twice changes nothing. Which parts count is for the
records to say: a part without a record is the leftover of a run that was cut off.
"""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import cleaning, files, readers
from pipeline.cleaning import ROW
from pipeline.config import Columns
from pipeline.errors import DataError, FileError

if TYPE_CHECKING:
    import pandas as pd

PARTS = "parts"
TABLE = "finaldata.csv"
TABLE_STATE = (
    ".finaldata.state"  # which file the table goes up to, and its size: less trust, and it's written anew
)
FILE = "_file"  # the column with the number of the file a row came from


def part_name(sha256: str, contract: str) -> str:
    """Give the name of the part that a file's content gives under a contract, relative to the ingested folder."""
    return f"{PARTS}/{sha256[:16]}-{contract}.parquet"


def remove_strays(ingested: Path, parts: set[str]) -> None:
    """Delete the parts that are on no record any more."""
    for path in (ingested / PARTS).glob("*.parquet"):
        if f"{PARTS}/{path.name}" not in parts:
            path.unlink()


def write_part(ingested: Path, name: str, rows: pa.Table | None) -> None:
    """Write the new rows of one file."""
    with files.replacing(ingested / name) as draft:
        pq.write_table(rows, draft, compression="zstd")


def read_part(ingested: Path, name: str, columns: list[str] | None = None) -> pa.Table:
    """Read the rows of one file. Raise FileError if its part is gone or damaged."""
    try:
        return pq.read_table(ingested / name, columns=columns, partitioning=None)
    except (OSError, pa.ArrowInvalid):
        raise FileError(
            f"{ingested / name}: gone or damaged; its rows come back with `python ingestion.py --rebuild`"
        ) from None


def row_hashes(ingested: Path, names: Iterable[str]) -> set[bytes]:
    """Give the hashes of all rows in these parts."""
    known: set[bytes] = set()
    for name in names:
        known.update(read_part(ingested, name, [ROW])[ROW].to_pylist())
    return known


def load(ingested: Path, parts: Iterable[tuple[int, str]]) -> "pd.DataFrame":
    """Give the rows of these parts (number of the file, name), in this order, with `_file` beside them."""
    tables = []
    for number, name in parts:
        part = read_part(ingested, name)
        tables.append(part.append_column(FILE, pa.array([number] * len(part), pa.int64())))
    return (
        to_frame(pa.concat_tables(tables)) if tables else to_frame(pa.table({FILE: pa.array([], pa.int64())}))
    )


def to_frame(table: pa.Table) -> "pd.DataFrame":
    """Give the table as pandas frame: numbers as float64, text as object with None where it is missing."""
    return table.to_pandas(types_mapper=None, strings_to_categorical=False)


def tables_in(folder: Path) -> list[Path]:
    """Give the table files in a folder (none if it isn't there), in name order."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in readers.FORMATS and path.name[0] != "."
    )


def read_table(path: Path, columns: Columns, task: str, labelled: bool = True) -> pa.Table:
    """Read one table that is not part of the history (test rows, clients to rank), bad rows left out.

    With `labelled` false the target column may be missing.
    Raise DataError, naming the file, if it is no table or lacks a column.
    """
    try:
        raw = readers.read(path, path.read_bytes())
        return cleaning.clean(raw.cells, columns, task, labelled).rows
    except DataError as problem:
        raise DataError(f"{path}: {problem}") from None


def read_tables(folder: Path, columns: Columns, task: str) -> "pd.DataFrame":
    """Give the distinct rows of all table files in a folder."""
    tables = [read_table(path, columns, task) for path in tables_in(folder)]
    if not tables:
        return to_frame(cleaning.empty(columns, task))
    return to_frame(cleaning.distinct(pa.concat_tables(tables), set()))


def write_frame(path: Path, rows: "pd.DataFrame", header: list[str]) -> None:
    """Write rows of the dataset as CSV to read."""
    table = pa.Table.from_pandas(rows[header], preserve_index=False)
    append_csv(path, header, [table], None)


def table_upto(table: Path, state: Path, parts: list[tuple[int, str]]) -> int:
    """Give the number of the file up to which the readable table holds these parts; 0 if that isn't sure."""
    try:
        number, size, digest = state.read_text(encoding="utf-8").split()
        same = table.stat().st_size == int(size) and digest == _digest(parts, int(number))
        return int(number) if same else 0
    except (OSError, ValueError):
        return 0


def write_table_state(table: Path, state: Path, parts: list[tuple[int, str]]) -> None:
    """Note that the readable table holds these parts."""
    number = parts[-1][0] if parts else 0
    files.write_text(state, f"{number} {table.stat().st_size} {_digest(parts, number)}")


def _digest(parts: list[tuple[int, str]], upto: int) -> str:
    told = "".join(f"{number} {part}\n" for number, part in parts if number <= upto)
    return hashlib.sha256(told.encode()).hexdigest()


def append_csv(path: Path, header: list[str], tables: Iterable[pa.Table], after: Path | None) -> None:
    """Write the table people read: the content of `after` (none: only the header), then the rows of the tables."""
    with files.replacing(path) as draft, draft.open("wb") as out:
        if after is None:
            out.write((",".join(_quoted(name) for name in header) + "\n").encode())
        else:
            with after.open("rb") as old:
                shutil.copyfileobj(old, out, 1 << 20)
        for table in tables:
            for batch in table.select(header).to_batches(max_chunksize=100_000):
                out.write(csv_lines(batch))


def csv_lines(rows: pa.RecordBatch) -> memoryview | bytes:
    """Give the rows as lines of CSV: cells in quotes only where they must be, whole numbers without a point."""
    if not rows.num_rows:
        return b""
    cells = [_text(rows.column(name)) for name in rows.schema.names]
    comma, end, nothing = (pa.scalar(text, pa.large_string()) for text in (",", "\n", ""))
    lines = pc.binary_join_element_wise(*cells, comma, null_handling="replace", null_replacement="")
    lines = pc.binary_join_element_wise(lines, end, nothing)
    offsets, data = lines.buffers()[1:]
    first, last = lines.offset, lines.offset + len(lines)
    ends = memoryview(offsets).cast("q")
    return memoryview(data)[ends[first] : ends[last]]


def _text(column: pa.Array) -> pa.Array:
    """Give a column as text for CSV."""
    if pa.types.is_timestamp(column.type):
        midnight = pc.equal(pc.floor_temporal(column, unit="day"), column)
        moment = pc.replace_substring(pc.strftime(column, format="%Y-%m-%dT%H:%M:%S"), ".000000", "")
        text = pc.if_else(midnight, pc.strftime(column, format="%Y-%m-%d"), moment)
    else:
        text = pc.cast(column, pa.string())
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            text = pc.if_else(
                pc.match_substring_regex(text, '[",\r\n]'),
                pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', ""),
                text,
            )
    return text.cast(pa.large_string())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(sign in name for sign in '",\r\n') else name
