"""A hash of 128 bits for every row: equal rows have equal hashes for ever, and other rows others."""

import random
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline import rowhash
from pipeline.rowhash import column_of, hashes_of, row_hashes

MOMENT = datetime(2025, 1, 31, 12)
TYPES = {
    "number": pa.float64(),
    "count": pa.int64(),
    "date": pa.timestamp("us"),
    "category": pa.string(),
    "long category": pa.large_string(),
    "numbers of files": pa.list_(pa.int64()),
}
PINNED = [
    "6f95256900871b9308fcade3ea05e2ed",
    "67df36f957c0607104f5d2c259636b85",
    "a9bcb37001d4d5d664d1c1b5053fc2f0",
    "bdbadb7ce4be85e6ffbb7978250b9505",
]
SALTED = "9aa98540b822b06bedc20afb3e9143bd"
VALUES: dict[str, list[Any]] = {
    "number": [0.0, 1.0, -1.0, 1e300, 5e-324, 0.1, 0.10000000000000002, None],
    "count": [0, 1, -1, 2**62, -(2**62), None],
    "date": [MOMENT, MOMENT + timedelta(microseconds=1), datetime(1970, 1, 1), datetime(1, 1, 1), None],
    "category": ["", " ", "\0", "0", "a", "A", "é", "e\u0301", "12345678", "123456789", None],
    "long category": ["", "a", "é", "x" * 40, "x" * 41, None],
    "numbers of files": [[], [1], [1, 2], [12], [2, 1], None],
}


def column(values: Any, kind: pa.DataType | None = None) -> pa.Table:
    """Give a table of one column."""
    return pa.table({"x": pa.array(values, kind)})


def given_by(table: pa.Table, salt: str = "") -> list[bytes]:
    """Give the hash of each row."""
    return column_of(row_hashes(table, salt)).to_pylist()


def one_row(**cells) -> bytes:
    """Give the hash of one row."""
    return given_by(pa.table({name: pa.array([cell]) for name, cell in cells.items()}))[0]


def many() -> pa.Table:
    """Give a table with every type of column, more rows than are looked at together, and every value among them."""
    choose = random.Random(4)
    size = rowhash.CHUNK + 1000
    return pa.table(
        {kind: pa.array(choose.choices(VALUES[kind], k=size), type_) for kind, type_ in TYPES.items()}
    )


# ------------------------------------------------------------------------------------------------ for ever
def test_a_row_has_the_same_hash_for_ever():
    table = pa.table(
        {
            "client": pa.array(["C00001", "", None, "Zoë, 30 letters and more of it"]),
            "day": pa.array(
                [MOMENT, MOMENT, None, datetime(1969, 12, 31, 23, 59, 59, 999999)], TYPES["date"]
            ),
            "spent": pa.array([12.5, -0.0, None, 1e22]),
            "visits": pa.array([3, -1, None, 0]),
        }
    )
    assert [one.hex() for one in given_by(table)] == PINNED
    assert given_by(table, "orders")[0].hex() == SALTED


@pytest.mark.parametrize("salt", ["", "key"])
def test_the_hash_is_murmur_s_finaliser_over_one_word_after_the_other(salt):
    """As plainly as it can be said: whoever changes the fast way must come to the same."""

    def mixed(state: int, word: int) -> int:
        state ^= word
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            state = ((state ^ (state >> 33)) * factor) % 2**64
        return state ^ (state >> 33)

    for text in ["", "abc", "12345678", "naïve, and longer than eight"]:
        data = text.encode()
        words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)] or [0]
        words = [words[0] | len(data) << 56] if len(data) < 8 else [0xFF << 56 | len(data), *words]
        states = [int(seed) for seed in rowhash._seeds(salt)]
        for word in words:
            states = [mixed(state, word) for state in states]
        assert row_hashes(column([text]), salt)[:, 0].tolist() == states


# ------------------------------------------------------------------------------------------------ equal rows
def test_a_row_has_the_same_hash_wherever_it_stands_and_however_the_table_is_cut():
    table = many()
    whole = row_hashes(table)
    assert whole.shape == (2, len(table))
    cuts = [0, 1, 7, 8, 9000, 9000, rowhash.CHUNK - 1, len(table)]
    pieces = [table.slice(start, end - start) for start, end in pairwise(cuts)]
    assert np.array_equal(row_hashes(pa.concat_tables(pieces)), whole)
    assert np.array_equal(np.hstack([row_hashes(piece) for piece in pieces]), whole)
    order = np.random.default_rng(1).permutation(len(table))
    assert np.array_equal(row_hashes(table.take(pa.array(order))), whole[:, order])
    few = table.slice(rowhash.CHUNK - 3, 6)
    assert [given_by(few.slice(place, 1))[0] for place in range(6)] == given_by(few)


@pytest.mark.parametrize("kind", ["category", "long category"])
def test_text_has_the_same_hash_in_columns_of_every_make(kind):
    texts = VALUES["category"] * 3
    plain = given_by(column(texts, pa.string()))
    made = pa.array(texts, TYPES[kind])
    for column_ in (made, made.dictionary_encode(), pa.chunked_array([made[:4], made[4:4], made[4:]])):
        assert given_by(pa.table({"x": column_})) == plain


def test_a_missing_text_is_missing_whatever_bytes_stand_beneath_it():
    offsets = np.array([0, 2, 15, 16], np.int32)
    buffers = [
        pa.py_buffer(bytes([0b101])),
        pa.py_buffer(offsets),
        pa.py_buffer(b"ab" + b"left beneath!" + b"c"),
    ]
    beneath = pa.Array.from_buffers(pa.string(), 3, buffers)
    assert beneath.to_pylist()[1] is None
    assert given_by(pa.table({"x": beneath})) == given_by(column(beneath.to_pylist()))


def test_zero_has_one_hash_whatever_its_sign_and_a_number_whatever_its_width():
    assert one_row(x=0.0) == one_row(x=-0.0)
    for value in (0.0, -2.5, 1e9):
        assert given_by(column([value], pa.float32())) == given_by(column([value], pa.float64()))


def test_the_names_of_columns_do_not_matter_but_their_order_does():
    assert one_row(x="a", y="b") == one_row(p="a", q="b")
    assert one_row(x="a", y="b") != one_row(x="b", y="a")


# ------------------------------------------------------------------------------------------------ other rows
@pytest.mark.parametrize("kind", TYPES)
def test_every_value_of_a_column_has_a_hash_of_its_own_and_missing_too(kind):
    hashes = given_by(column(VALUES[kind], TYPES[kind]))
    assert len(set(hashes)) == len(VALUES[kind])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")), (("", "a"), ("a", "")), ((None, "a"), ("a", None)), (("", None), (None, "")),
        (("a\0", ""), ("a", "\0")), (("a", ""), ("a\0", "")), (("12345678", "9"), ("123456789", "")),
        (("\1\0\0\0\0\0\0\0", ""), ("", "\1\0\0\0\0\0\0\0")), (("x" * 16, ""), ("x" * 8, "x" * 8)),
    ],
)  # fmt: skip
def test_texts_side_by_side_are_not_taken_for_others_of_the_same_letters(one, other):
    table = pa.table(
        {
            name: pa.array(cells, pa.string())
            for name, cells in zip("xy", zip(one, other, strict=True), strict=True)
        }
    )
    first, second = given_by(table)
    assert first != second


@pytest.mark.parametrize("letter", ["x", "\0", "é", "🙂"])
def test_texts_of_every_length_differ_and_so_does_every_letter(letter):
    texts = [letter * length for length in range(41)]
    changed = ["".join([*"x" * place, "y", *"x" * (39 - place)]) for place in range(40)]
    hashes = given_by(column([*texts, *changed]))
    assert len(set(hashes)) == 81
    alone = [given_by(column([text]))[0] for text in [*texts, *changed]]
    assert hashes == alone  # also beside longer ones


CELLS = st.tuples(
    st.sampled_from(VALUES["category"]) | st.text(st.sampled_from("ab\0é"), max_size=20),
    st.sampled_from(VALUES["category"]),
    st.sampled_from(VALUES["number"]) | st.floats(allow_nan=False, allow_infinity=False) | st.none(),
    st.sampled_from(VALUES["date"]),
)


@given(st.lists(CELLS, max_size=12), st.integers(0, 12))
@example([("a", "", 0.0, None), ("a", "", -0.0, None)], 1)
@example([("", None, 1.0, MOMENT), (None, "", 1.0, MOMENT)], 0)
def test_two_rows_have_the_same_hash_exactly_if_they_have_the_same_values(rows, cut):
    kinds = [TYPES[kind] for kind in ("category", "category", "number", "date")]
    columns = zip(*rows, strict=True) if rows else [[]] * 4
    table = pa.table(
        {
            str(number): pa.array(cells, kind)
            for number, (cells, kind) in enumerate(zip(columns, kinds, strict=True))
        }
    )
    table = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    hashes = given_by(table)
    for row, hash_ in zip(rows, hashes, strict=True):
        for other, others in zip(rows, hashes, strict=True):
            assert (row == other) == (hash_ == others)


def test_another_salt_gives_hashes_that_have_nothing_to_do_with_the_first():
    table = column([f"C{number:04}" for number in range(1000)])
    plain, salted = row_hashes(table), row_hashes(table, "orders")
    assert not np.isin(plain, salted).any()
    differing = np.unpackbits((plain ^ salted).view(np.uint8)).mean()
    assert abs(differing - 0.5) < 0.01
    assert one_row(x="a") != given_by(column(["a"]), " ")[0]


# ------------------------------------------------------------------------------------------------ spread
def test_a_million_rows_that_are_nearly_alike_have_a_million_hashes_with_each_bit_set_in_half_of_them():
    rows = 1_000_000
    numbers = np.arange(rows)
    table = pa.table(
        {
            "id": pa.array(numbers // 1000).cast(pa.string()),
            "spent": pa.array((numbers % 10) / 10),
            "visits": pa.array(numbers // 10 % 100),
            "plan": pa.repeat(pa.scalar("gold"), rows),
        }
    )
    lanes = row_hashes(table)
    for (
        lane
    ) in lanes:  # either alone would do: of 64 bits a collision among these has a chance of 3 in 100 million
        assert len(np.unique(lane)) == rows
    assert not np.isin(lanes[0], lanes[1]).any()
    for lane in lanes:
        shares = [float((lane >> np.uint64(bit) & np.uint64(1)).mean()) for bit in range(64)]
        assert 0.4975 < min(shares) < max(shares) < 0.5025  # five standard deviations
    counts = np.bincount((lanes[0] >> np.uint64(54)).astype(np.int64), minlength=1024)
    assert 800 < counts.min() < counts.max() < 1160


def test_one_changed_bit_of_a_value_changes_half_of_the_hash():
    numbers = np.arange(2000)
    for bit in (0, 1, 31, 62):
        one, other = (row_hashes(column(values)) for values in (numbers, numbers ^ (1 << bit)))
        assert abs(np.unpackbits((one ^ other).view(np.uint8)).mean() - 0.5) < 0.01


# ------------------------------------------------------------------------------------------------ columns of hashes
def test_hashes_stand_in_a_column_of_sixteen_bytes_and_come_back_from_it_however_it_is_cut():
    hashes = row_hashes(many().slice(0, 100))
    column_ = column_of(hashes)
    assert column_.type == pa.binary(16)
    assert column_[3].as_py() == b"".join(int(half).to_bytes(8, "big") for half in hashes[:, 3])
    assert np.array_equal(hashes_of(column_), hashes)
    assert np.array_equal(hashes_of(column_[10:20]), hashes[:, 10:20])
    chunks = pa.chunked_array([column_[5:9], column_[9:9], column_[40:]])
    assert np.array_equal(hashes_of(chunks), np.hstack([hashes[:, 5:9], hashes[:, 40:]]))
    assert hashes_of(column_).flags.c_contiguous


def test_a_table_without_rows_has_no_hashes_and_one_without_chunks_neither():
    for table in (
        column([], pa.string()),
        column([], pa.float64()),
        pa.table({"x": pa.chunked_array([], pa.string())}),
    ):
        hashes = row_hashes(table)
        assert hashes.shape == (2, 0)
        assert column_of(hashes).to_pylist() == []
        assert hashes_of(column_of(hashes)).shape == (2, 0)
    assert hashes_of(pa.chunked_array([], pa.binary(16))).shape == (2, 0)
