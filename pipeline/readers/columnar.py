"""Parquet: columns that have types."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.readers.table import NotATable, RawTable, Spelling, as_csv, chosen, too_big

ISO = r"^(\S+) (\S+?)(\.0+)?(Z|[+-]\d+)?$"  # a timestamp as Arrow writes it: 2025-12-31 23:59:59.000+0100


def read_parquet(content: bytes, wanted: frozenset[str], spelling: Spelling) -> RawTable:
    """Read the wanted columns of a Parquet file in their own types; rows are counted from 1."""
    from pyarrow import parquet  # most runs read none

    try:
        file = parquet.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        names = [name.strip() for name in file.schema_arrow.names]
        columns = chosen(names, wanted)
        _check_size(file.metadata, len(columns), spelling)
        read = file.read(sorted({file.schema_arrow.names[column] for column in columns}), use_threads=False)
        # by name again: Arrow takes `a` to ask for `a.b` too
        cells = pa.table(
            [_plain(names[column], read[file.schema_arrow.names[column]]) for column in columns],
            names=[names[column] for column in columns],
        )
        cells.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError, OverflowError) as problem:
        raise NotATable(
            f"not Parquet, corrupt or cut off: {(str(problem).splitlines() or ['?'])[0]}"
        ) from None

    def excerpt(lines: set[int]) -> bytes:
        rows = cells.take(pa.array([line - 1 for line in sorted(lines)], pa.int64()))
        texts = [_as_text(column).to_pylist() for column in rows.columns]
        return as_csv(cells.column_names, map(list, zip(*texts, strict=True)), spelling)

    return RawTable(cells, names, lambda: list(range(1, cells.num_rows + 1)), [], excerpt, ".csv")


def _check_size(metadata, columns: int, spelling: Spelling) -> None:
    """Raise NotATable if the file says that it opens to more than the limit, or has more cells than bytes allowed."""
    opened = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    if max(opened, metadata.num_rows * columns) > spelling.max_bytes:
        raise too_big("opens to", spelling.max_bytes)


def _plain(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give the column as one of the types that cells have."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(name, pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if pa.types.is_nested(kind):
        raise NotATable(f"column {name} holds lists or objects ({kind}), single values are expected")
    if pa.types.is_dictionary(kind):
        return _plain(name, column.cast(kind.value_type))
    for matches, plain in PLAIN:
        if matches(kind):
            try:
                return plain(column)
            except OverflowError:
                raise NotATable(
                    f"column {name} holds dates out of range: years 1 to 9999 are expected"
                ) from None
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise NotATable(f"column {name} holds {kind}, which is neither text, number nor date") from None


def _same(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column


def _whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give int64, or text if a number is too large for it."""
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column.cast(pa.string())


def _moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give times to the microsecond, and dates by the day. Raise OverflowError if a year isn't between 1 and 9999."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.date32())
    elif column.type.unit == "ns":  # 64 bits of them end in 2262; what is finer is cut off, as in a text
        return column.cast(pa.timestamp("us", column.type.tz), safe=False)
    pc.min_max(column).as_py()
    return column


def _to(kind: pa.DataType) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    return lambda column: column.cast(kind)


def _time(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give 01:02:00 for 01:02:00.000."""
    return pc.replace_substring_regex(column.cast(pa.string()), r"\.0+$", "")


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give the column as a person would write it, an empty text for a missing value."""
    if pa.types.is_timestamp(column.type):
        column = pc.replace_substring_regex(column.cast(pa.string()), ISO, r"\1T\2\4")
    return pc.fill_null(column.cast(pa.string()), "")


PLAIN: list[tuple[Callable[[pa.DataType], bool], Callable[[pa.ChunkedArray], pa.ChunkedArray]]] = [
    (pa.types.is_boolean, _same),
    (pa.types.is_integer, _whole),
    (pa.types.is_floating, _to(pa.float64())),
    (pa.types.is_timestamp, _moments),
    (pa.types.is_time, _time),
    (pa.types.is_date, _moments),
]  # all others as text: decimals too, which lose no digit that way
