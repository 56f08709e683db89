"""Compressed files, opened up to a limit: 130 kB of gzip can hold 390 MB."""

import io

import pyarrow as pa

from pipeline.readers.table import NotATable, too_big

COMPRESSIONS = {
    ".gz": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
}
PIECE = 1 << 20  # bytes opened at a time


def opened(content: bytes, compression: str, max_bytes: int) -> bytes:
    """Give what is inside, of all members or frames. Raise NotATable if it's cut off, corrupt or too large."""
    out = io.BytesIO()
    try:
        with pa.CompressedInputStream(pa.BufferReader(content), COMPRESSIONS[compression]) as stream:
            while piece := stream.read(PIECE):
                out.write(piece)
                if out.tell() > max_bytes:
                    raise too_big("opens to", max_bytes)
    except (OSError, pa.ArrowException) as problem:
        raise NotATable(
            f"not {COMPRESSIONS[compression]}, corrupt or cut off: {_first_line(problem)}"
        ) from None
    return out.getvalue()


def _first_line(problem: Exception) -> str:
    return (str(problem).splitlines() or ["unknown"])[0]
