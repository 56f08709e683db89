"""Sums that give every row a hash of 128 bits, by which it is known for ever. No disk, no clock.

Two 64-bit lanes, of different seeds, each taking in one 64-bit word after the other with the finaliser of MurmurHash3
(Appleby 2011), for whole columns at a time. A number is one word, a text one or more that tell its length first,
so no two rows can be spelt alike. Not against forgers: whoever may drop files may make rows that collide. The hashes
stand on disk, so they must never change with a version of a library or of this module.
"""

import hashlib

import numpy as np
import pyarrow as pa

from pipeline import lean  # noqa: F401  # before the first array is made

ROW = "_row"  # the column with the hash of each row
BYTES = 16
CHUNK = 1 << 15  # rows at a time: the lanes stay in the processor's cache
MISSING = np.uint64(0x7FF8_6D69_7373_0001)  # a NaN that no finite number has for its bits
FACTORS = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)  # of MurmurHash3's fmix64
SHIFT = np.uint64(33)
LONG = np.uint64(0xFF00_0000_0000_0000)
WORD_MASKS = np.array(
    [(1 << 8 * size) - 1 for size in range(9)], np.uint64
)  # the first so many bytes of a word


def row_hashes(rows: pa.Table, salt: str = "") -> np.ndarray:
    """Give the hash of each row's values, shape (2, rows), uint64. Another salt gives unrelated hashes."""
    lanes = np.empty((2, len(rows)), np.uint64)
    lanes[:] = _seeds(salt)[:, None]
    for name in rows.column_names:
        column = rows[name].combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # of no chunks at all
            column = pa.array([], column.type)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            _take_in_text(lanes, column)
        else:
            _take_in(lanes, _words(column))
    return lanes


def column_of(hashes: np.ndarray) -> pa.Array:
    """Give the hashes as a column of 16 bytes each, the first lane first, its highest byte first."""
    data = np.ascontiguousarray(hashes.T).astype(">u8").tobytes()
    return pa.Array.from_buffers(pa.binary(BYTES), hashes.shape[1], [None, pa.py_buffer(data)])


def hashes_of(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Give the hashes in such a column, shape (2, rows), uint64."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    found = [
        np.frombuffer(chunk.buffers()[1], ">u8", 2 * len(chunk), BYTES * chunk.offset).reshape(-1, 2)
        for chunk in chunks
        if len(chunk)
    ]
    together = np.concatenate(found) if found else np.empty((0, 2))
    return np.ascontiguousarray(together.T.astype(np.uint64))


def _seeds(salt: str) -> np.ndarray:
    digest = hashlib.blake2b(salt.encode(), digest_size=BYTES, person=b"row hash 1").digest()
    return np.frombuffer(digest, ">u8").astype(np.uint64)


def _take_in(lanes: np.ndarray, words: np.ndarray) -> None:
    """Mix one word a row into both lanes, in place."""
    spare = np.empty(min(CHUNK, len(words)), np.uint64)
    for start in range(0, len(words), CHUNK):
        chunk = words[start : start + CHUNK]
        for lane in lanes:
            _mix(lane[start : start + CHUNK], chunk, spare[: len(chunk)])


def _mix(lane: np.ndarray, words: np.ndarray, spare: np.ndarray) -> None:
    np.bitwise_xor(lane, words, out=lane)
    for factor in FACTORS:
        np.right_shift(lane, SHIFT, out=spare)
        np.bitwise_xor(lane, spare, out=lane)
        np.multiply(lane, factor, out=lane)
    np.right_shift(lane, SHIFT, out=spare)
    np.bitwise_xor(lane, spare, out=lane)


def _words(column: pa.Array) -> np.ndarray:
    """Give numbers, moments and lists of numbers as one word a row."""
    if pa.types.is_list(column.type):  # numbers of files: as text, of which there are few
        return _words(pa.array([hash_of_text(str(one)) for one in column.to_pylist()], pa.uint64()))
    if pa.types.is_floating(column.type):
        values = column.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0  # -0.0 is 0.0
        words = values.view(np.uint64)
    elif pa.types.is_timestamp(column.type):
        words = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
    else:
        words = column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.uint64)
    if column.null_count:
        words = np.where(column.is_null().to_numpy(zero_copy_only=False), MISSING, words)
    return words


def hash_of_text(text: str) -> int:
    """Give 64 bits of BLAKE2b of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _take_in_text(lanes: np.ndarray, column: pa.Array) -> None:
    """Mix the texts into both lanes. One of up to seven UTF-8 bytes is one word, with its length in the highest byte.

    A longer one is a word with its length and the mark LONG, then its bytes in words of eight, filled up with 0.
    """
    width = np.int32 if pa.types.is_string(column.type) else np.int64
    if not len(column):
        return
    offset = column.offset * np.dtype(width).itemsize
    ends = np.frombuffer(column.buffers()[1], width, len(column) + 1, offset).astype(np.int64)
    first, last = int(ends[0]), int(ends[-1])
    starts, lengths = ends[:-1] - first, np.diff(ends)
    data = np.zeros(last - first + 8, np.uint8)
    if last > first:
        data[:-8] = np.frombuffer(column.buffers()[2], np.uint8, last - first, first)
    at_each_byte = np.ndarray((len(data) - 7,), "<u8", buffer=data.data, strides=(1,))
    words = at_each_byte[starts]
    words &= WORD_MASKS[np.minimum(lengths, 8)]
    longest, shortest = int(lengths.max()), int(lengths.min())
    sizes = lengths.astype(np.uint64)
    if longest < 8:
        words |= sizes << np.uint64(56)
    else:
        words = np.where(lengths < 8, words | sizes << np.uint64(56), LONG | sizes)
    if column.null_count:  # a missing text may have bytes, of no meaning
        missing = column.is_null().to_numpy(zero_copy_only=False)
        words, lengths, shortest = np.where(missing, MISSING, words), np.where(missing, 0, lengths), 0
    _take_in(lanes, words)
    rows: slice | np.ndarray = slice(None)  # those whose text goes on here: at first all
    for position in range(0, longest if longest > 7 else 0, 8):
        if shortest < 8 or position >= shortest:
            rows = np.flatnonzero((lengths > 7) & (lengths > position))
        words = at_each_byte[starts[rows] + position]
        if position + 8 > shortest:
            words &= WORD_MASKS[np.minimum(lengths[rows] - position, 8)]
        if isinstance(rows, slice):
            _take_in(lanes, words)
        else:
            some = lanes[:, rows]
            _take_in(some, words)
            lanes[:, rows] = some
