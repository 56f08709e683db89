"""The ingested rows on disk: one immutable Parquet part per file that brought any, and the CSV that people read.

A part is named after the content of its file, so writing it twice changes nothing. Which parts count is for the
records to say: a part without a record is the leftover of a run that was cut off. Parts are history and never change.
Of rows that replace each other (they have the same `_key`) all stay there, and `load` gives the one that holds.
"""

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import cleaning, files, readers, rowhash, spreadsheets
from pipeline.config import Config
from pipeline.errors import DataError, FileError
from pipeline.known import Fresh
from pipeline.merging import FILE, FILES
from pipeline.repairs import DONE
from pipeline.rowhash import ROW

if TYPE_CHECKING:
    import pandas as pd

PARTS = "parts"
STAGED = "staged"  # rows of sources that are joined, as each source brought them
REPEATS = "repeats"  # hashes of the rows that a file repeated, 16 bytes each, by the SHA-256 of the file
TABLE = "finaldata.csv"
TABLE_STATE = (
    ".finaldata.state"  # which file the table goes up to, and its size: less trust, and it's written anew
)
DROPPED = "_dropped"  # true: kept in the history, no part of the dataset
KEY = (
    "_key"  # hash of what makes rows one record; the one with the highest rank holds, of equal ones the last
)
RANK = "_rank"
PLACE = "_place"  # of a row in its file, from 0
NEVER = np.iinfo(np.int64).max
CHECKSUMMED, VERIFIED = (
    {"write_page_checksum": True},
    {"page_checksum_verification": True},
)  # Parquet's own CRC
BY_HASH = (ROW, KEY)  # not worth compressing


def part_name(sha256: str, version: str, salt: str = "") -> str:
    """Give the name of the part that a file's content gives under these choices, relative to the ingested folder."""
    content = hashlib.sha256((sha256 + salt).encode()).hexdigest() if salt else sha256
    return f"{PARTS}/{content[:16]}-{version}.parquet"


def other_name(part: str) -> str:
    """Give another name for a part, the same for the same one."""
    stem, _, version = part.removeprefix(f"{PARTS}/").removesuffix(".parquet").partition("-")
    return part_name(stem, version, "beside")


def is_part(ingested: Path, name: str, rows: pa.Table) -> bool:
    """Say whether a part is there and holds just these rows."""
    try:
        return read_part(ingested, name).equals(rows)
    except FileError:
        return False


def staged_name(part: str) -> str:
    """Give the name of what a joined source brought, beside the part with what came of it."""
    return STAGED + part.removeprefix(PARTS)


def remove_strays(ingested: Path, parts: set[str]) -> None:
    """Delete the parts, and the staged rows they were made of, that are on no record any more."""
    for folder in (PARTS, STAGED):
        for path in (ingested / folder).glob("*.parquet"):
            if f"{PARTS}/{path.name}" not in parts:
                path.unlink()


def write_part(ingested: Path, name: str, rows: pa.Table) -> None:
    """Write the new rows of one file."""
    repeated = [name for name in rows.column_names if name not in BY_HASH and _repeats_itself(rows[name])]
    texts = {
        name for name in rows.column_names if rows.schema.field(name).type in (pa.string(), pa.large_string())
    }
    squeezed = {  # numbers hardly get smaller, and a dictionary is small already
        name: "snappy" if name in texts and name not in repeated else "none" for name in rows.column_names
    }
    with files.replacing(ingested / name) as draft:
        pq.write_table(
            rows, draft, compression=squeezed, use_dictionary=repeated, write_statistics=False, **CHECKSUMMED
        )


def _repeats_itself(column: pa.ChunkedArray) -> bool:
    """Say whether a dictionary of its values is likely to save space: a look at the first ones tells."""
    some = column.slice(0, 1000)
    return not pa.types.is_list(some.type) and pc.count_distinct(some).as_py() < 0.5 * len(some)


def read_part(ingested: Path, name: str, columns: list[str] | None = None) -> pa.Table:
    """Read the rows of one file. Raise FileError if its part is gone or damaged."""
    try:
        return pq.read_table(ingested / name, columns=columns, partitioning=None, **VERIFIED)
    except (OSError, pa.ArrowInvalid):
        raise FileError(
            f"{ingested / name}: gone or damaged; its rows come back with `python ingestion.py --rebuild`"
        ) from None


def write_repeats(ingested: Path, sha256: str, hashes: np.ndarray) -> None:
    """Write the hashes, shape (2, rows), of the rows that a file repeated. Nothing is written if there are none."""
    if hashes.shape[1]:
        with files.replacing(ingested / REPEATS / sha256) as draft:
            draft.write_bytes(hashes.T.astype(">u8").tobytes())


def read_repeats(ingested: Path, sha256: str) -> np.ndarray:
    """Give the hashes, shape (2, rows), of the rows that a file repeated."""
    try:
        return np.fromfile(ingested / REPEATS / sha256, ">u8").reshape(-1, 2).T.astype(np.uint64)
    except FileNotFoundError:
        return np.empty((2, 0), np.uint64)


def load(ingested: Path, parts: Iterable[tuple[int, str]]) -> "pd.DataFrame":
    """Give the rows that hold of these parts (number of the file, name), in this order, with `_file` beside them.

    Of a row that replaced others `_file` is the file in which its outcome was first known: a correction of what models
    may have learnt is no new row to them.
    """
    tables = [numbered(read_part(ingested, name), number) for number, name in parts]
    none = pa.table({FILE: pa.array([], pa.int64()), ROW: pa.array([], pa.binary())})
    return to_frame(holding(tables) if tables else none)


def numbered(part: pa.Table, number: int) -> pa.Table:
    """Give a part with the number of its file beside each row."""
    return part.append_column(FILE, pa.array(np.full(len(part), number)))


def holding(tables: list[pa.Table]) -> pa.Table:
    """Give the rows that hold of these parts, in order: not dropped, and not replaced by another of the same key."""
    return _without_marks(_of_each_key(_kept(pa.concat_tables(tables, promote_options="default"))))


def _kept(rows: pa.Table) -> pa.Table:
    if DROPPED not in rows.column_names:
        return rows
    return rows.filter(pc.invert(pc.fill_null(rows[DROPPED], False)))


def _of_each_key(rows: pa.Table) -> pa.Table:
    """Give the row of each key that holds: the one of the highest rank, of several the last."""
    if KEY not in rows.column_names or not len(rows):
        return rows
    keys, ranks = rowhash.hashes_of(rows[KEY]), rows[RANK].to_numpy()
    order = np.lexsort((np.arange(len(rows)), ranks, keys[1], keys[0]))
    last = np.append((keys[:, order[1:]] != keys[:, order[:-1]]).any(axis=0), True)
    held = order[last]
    if FILE in rows.column_names:
        files_, labelled = rows[FILE].to_numpy(), ranks % 2 == 1
        first = np.minimum.reduceat(
            np.where(labelled, files_, NEVER)[order], np.append(0, np.flatnonzero(last)[:-1] + 1)
        )
        numbers = files_.copy()
        numbers[held] = np.where(first == NEVER, files_[held], first)
        rows = rows.set_column(rows.column_names.index(FILE), FILE, pa.array(numbers))
    return rows.take(pa.array(np.sort(held)))


def labels_replaced(ingested: Path, parts: list[tuple[int, str]], target: str) -> int:
    """Give how many rows of the last of these parts hold with another label than was known of their key before.

    A row of a later time is about another moment, and may well have another label.
    """
    *earlier, (_, newest) = parts
    own = _labelled(read_part(ingested, newest), target)
    keys = own[KEY].combine_chunks()
    before = [_labelled(read_part(ingested, name), target) for _, name in earlier]
    before = [part.filter(pc.is_in(part[KEY], keys)) for part in before]
    if not before:
        return 0
    held = _of_each_key(pa.concat_tables(before))
    holds = _of_each_key(pa.concat_tables([held, own]))
    both = held.join(holds, [KEY, RANK], right_suffix=" now", join_type="inner")
    return pc.sum(pc.not_equal(both[target], both[f"{target} now"])).as_py() or 0


def marks(ingested: Path, name: str) -> pa.Table:
    """Give key, rank and hash of each row of a part, and whether it's dropped."""
    try:
        there = pq.read_schema(ingested / name).names
    except (OSError, pa.ArrowInvalid):  # told below
        there = []
    return marks_of(read_part(ingested, name, [KEY, RANK, ROW, *({DROPPED} & set(there))]))


def marks_of(rows: pa.Table) -> pa.Table:
    """Give key, rank and hash of each of these rows, and whether it's dropped."""
    dropped = rows[DROPPED] if DROPPED in rows.column_names else pa.array(np.zeros(len(rows), bool))
    return rows.select([KEY, RANK, ROW]).append_column(DROPPED, pc.fill_null(dropped, False))


def places_taken(before: list[pa.Table], rows: pa.Table, known: pa.Array) -> np.ndarray:
    """Give the `_place` of those `known` rows of a file that hold if they count, and others if they don't.

    `before` are the `marks` of all parts; `rows` has key, rank and hash, too, and `_place`. What was dropped once stays
    dropped.
    """
    if before:
        wanted = rows[KEY].combine_chunks().filter(known)
        there = pa.concat_tables(before)
        there = there.filter(pc.is_in(there[KEY], wanted))
        dropped = there.filter(there[DROPPED])[ROW].combine_chunks()
        kept = _kept(there).select([KEY, RANK, ROW])
        known = pc.and_(known, pc.invert(pc.is_in(rows[ROW].combine_chunks(), dropped)))
    else:
        kept = rows.select([KEY, RANK, ROW]).slice(0, 0)
    held = _of_each_key(kept)
    held = held.append_column(PLACE, pa.array(np.full(len(held), -1)))
    without = _of_each_key(pa.concat_tables([held, rows.filter(pc.invert(known))]))
    holds = _of_each_key(pa.concat_tables([held, rows]))
    holds = holds.filter(pc.is_in(holds[PLACE], rows[PLACE].combine_chunks().filter(known)))
    both = holds.join(without, KEY, right_suffix=" else", join_type="inner")
    return both.filter(pc.not_equal(both[ROW], both[f"{ROW} else"]))[PLACE].to_numpy()


def _labelled(part: pa.Table, target: str) -> pa.Table:
    """Give key, rank and label of the rows that have one."""
    rows = _kept(part).select([KEY, RANK, target])
    return rows.filter(rows[target].is_valid())


def _without_marks(rows: pa.Table) -> pa.Table:
    marks = {DONE, DROPPED, KEY, RANK, FILES}
    return rows.select([name for name in rows.column_names if name not in marks])


def cell_hashes(config: Config, rows: "pd.DataFrame", names: list[str]) -> pa.Array:
    """Give the hash of each row's cells in these columns, as they are now and not as the row came."""
    kinds = cleaning.empty(config.columns, config.task).select(names).schema
    return rowhash.column_of(
        rowhash.row_hashes(pa.Table.from_pandas(rows[names], kinds, preserve_index=False))
    )


def to_frame(table: pa.Table) -> "pd.DataFrame":
    """Give the table as pandas frame: numbers as float64, text as object with None where it is missing."""
    return table.to_pandas(types_mapper=None, strings_to_categorical=False)


def tables_in(folder: Path) -> list[Path]:
    """Give the table files in a folder (none if it isn't there), in name order."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if readers.knows(path.name) and path.name[0] != ".")


def read_table(config: Config, path: Path, labelled: bool = True) -> pa.Table:
    """Read one table that is not part of the history (test rows, clients to rank), bad rows left out.

    With `labelled` false the target column may be missing.
    Raise DataError, naming the file, if it is no table or lacks a column.
    """
    columns = config.columns
    spelling = readers.Spelling(max_bytes=config.most_bytes)
    notation = cleaning.Notation(date_formats=tuple(config.cleaning.date_formats))
    try:
        raw = readers.read(path.name, path.read_bytes(), cleaning.spellings(columns), spelling)
        return cleaning.clean(
            raw.cells, columns, config.task, labelled, notation=notation, has=raw.names
        ).rows
    except DataError as problem:
        raise DataError(f"{path}: {problem}") from None


def read_tables(config: Config, folder: Path) -> "pd.DataFrame":
    """Give the distinct rows of all table files in a folder."""
    tables = [read_table(config, path) for path in tables_in(folder)]
    if not tables:
        return to_frame(cleaning.empty(config.columns, config.task))
    rows = pa.concat_tables(tables)
    return to_frame(rows.filter(pa.array(Fresh().add(rowhash.hashes_of(rows[ROW])))))


def write_frame(path: Path, rows: "pd.DataFrame", header: list[str]) -> None:
    """Write rows of the dataset as CSV to read."""
    table = pa.Table.from_pandas(rows[header], preserve_index=False)
    append_csv(path, header, [table], None)


def table_upto(table: Path, state: Path, parts: list[tuple[int, str]]) -> int:
    """Give the number of the file up to which the readable table holds these parts; 0 if that isn't sure."""
    try:
        number, size, of_parts = state.read_text(encoding="utf-8").split()
        same = table.stat().st_size == int(size) and of_parts == digest(parts, int(number))
        return int(number) if same else 0
    except (OSError, ValueError):
        return 0


def write_table_state(table: Path, state: Path, parts: list[tuple[int, str]]) -> None:
    """Note that the readable table holds these parts."""
    number = parts[-1][0] if parts else 0
    files.write_text(state, f"{number} {table.stat().st_size} {digest(parts, number)}")


def digest(parts: list[tuple[int, str]], upto: int) -> str:
    """Give a hash of numbers and names of the parts up to this number."""
    told = "".join(f"{number} {part}\n" for number, part in parts if number <= upto)
    return hashlib.sha256(told.encode()).hexdigest()


def append_csv(path: Path, header: list[str], tables: Iterable[pa.Table], after: Path | None) -> int:
    """Write the table people read: the content of `after` (none: only the header), then the rows of the tables.

    Give how many rows were added.
    """
    rows = 0
    with files.replacing(path) as draft:
        if after is not None:
            shutil.copyfile(after, draft)  # within the kernel
        mode = "wb" if after is None else "ab"  # a draft may be there, of a run that was cut off
        with draft.open(mode) as out:
            if after is None:
                out.write((",".join(_quoted(name) for name in header) + "\n").encode())
            for table in tables:
                rows += len(table)
                for batch in table.select(header).to_batches(max_chunksize=100_000):
                    out.write(csv_lines(batch))
    return rows


def in_pieces(ingested: Path, parts: Iterable[tuple[int, str]]) -> Iterator[pa.Table]:
    """Give the rows that hold, part by part; all at once where rows of different parts may replace each other."""
    waiting = []
    for number, name in parts:
        part = numbered(read_part(ingested, name), number)
        if KEY in part.column_names:
            waiting.append(part)
        else:
            yield holding([part])
    if waiting:
        yield holding(waiting)


def csv_lines(rows: pa.RecordBatch) -> memoryview | bytes:
    """Give the rows as lines of CSV: cells in quotes only where they must be, whole numbers without a point.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
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
        encoded = column.dictionary_encode()
        return _moments(encoded.dictionary).take(encoded.indices)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _safe(column.cast(pa.large_string()))
    return pc.cast(column, pa.large_string())


def _moments(times: pa.Array) -> pa.Array:
    midnight = pc.equal(pc.floor_temporal(times, unit="day"), times)
    moment = pc.replace_substring(pc.strftime(times, format="%Y-%m-%dT%H:%M:%S"), ".000000", "")
    text = pc.if_else(midnight, pc.strftime(times, format="%Y-%m-%d"), moment)
    return text.cast(pa.large_string())


def _safe(text: pa.Array) -> pa.Array:
    """Give text as cells of a CSV: formulas made harmless, quotes where they are needed."""
    text = spreadsheets.harmless_column(text)
    data = memoryview(text.buffers()[2] or b"")
    if re.search(rb'[",\r\n]', data):
        mark, nothing = pa.scalar('"', pa.large_string()), pa.scalar("", pa.large_string())
        quoted = pc.binary_join_element_wise(mark, pc.replace_substring(text, '"', '""'), mark, nothing)
        text = pc.if_else(pc.match_substring_regex(text, '[",\r\n]'), quoted, text)
    return text


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(sign in name for sign in '",\r\n') else name
