"""Bytes as UTF-8 text, or the reason why they are none."""

import codecs
import struct

import pyarrow as pa

from pipeline.readers.table import BYTE_ORDER_MARK, NotATable, Spelling

MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
BEGINNINGS = {  # what other files begin with
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"PK\x03\x04": "a zip file or workbook (a workbook's name ends with .xlsx)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save it as .xlsx or CSV",
    b"\x1f\x8b": "compressed with gzip: let its name end with .gz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: let its name end with .zst",
    b"PAR1": "a Parquet file: let its name end with .parquet",
}


def as_utf8(content: bytes, spelling: Spelling) -> bytes:
    """Give the text in UTF-8, as it is (a byte order mark too) if it's that already.

    Raise NotATable if it is empty, something other than text, or in another encoding than is configured.
    """
    for beginning, what in BEGINNINGS.items():
        if content.startswith(beginning):
            raise NotATable(f"not text: it is {what}")
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), spelling.encoding)
    if encoding and not content.startswith(BYTE_ORDER_MARK):
        decoded = _decoded(content, encoding)
        if not content.isascii() and decoded != content and _is_utf8(content):
            raise NotATable(
                f"is UTF-8 text, not {encoding} as paths.source says: save it so, or with a byte order mark"
            )
        content = decoded
    elif not _is_utf8(content):
        problem = "not UTF-8 text: save it as UTF-8, or name its encoding in paths.source (encoding: cp1252)"
        raise NotATable(f"has NUL bytes, and is {problem}" if b"\0" in content else problem)
    start = content[:1000].removeprefix(BYTE_ORDER_MARK).lstrip()
    if not start and not content.removeprefix(BYTE_ORDER_MARK).strip():
        raise NotATable("empty file: a header line and rows are expected")
    if b"\0" in content:
        raise NotATable("has NUL bytes: it is binary, or was cut off while it was written")
    if start.startswith(b"<"):
        raise NotATable("not a table: it begins like an HTML or XML page (with <)")
    return content


def _decoded(content: bytes, encoding: str) -> bytes:
    try:
        return content.decode(encoding).encode().removeprefix(BYTE_ORDER_MARK)
    except LookupError:
        raise NotATable(
            f"unknown encoding {encoding!r} in paths.source; known are utf-8, cp1252, ..."
        ) from None
    except UnicodeError as problem:
        raise NotATable(f"not {encoding} text: {problem}") from None


def _is_utf8(content: bytes) -> bool:
    """Tell whether it is UTF-8. Arrow looks at a gigabyte in a twentieth of a second, and copies nothing."""
    offsets = pa.py_buffer(struct.pack("=qq", 0, len(content)))
    whole = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(content)])
    try:
        whole.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True
