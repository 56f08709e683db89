"""What a spreadsheet would run as a formula gets an apostrophe, nothing else does, and it can be taken away again."""

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.spreadsheets import as_meant, harmless, harmless_column

RUN = [
    "=1+1", "=cmd|' /C calc'!A0", "+1+1", "-1-1", "-x", "@SUM(A1)", "\tx", "\r=1", "--1", "=5", "+A1", "-1-", "-5 =1",
    "-1.2.3", "@5", "-1e5e5", "+49 30 1234", "'=1", "''+x", "'+1",
]  # fmt: skip
NOT_RUN = [
    "", "=", "-", "+", "@", "\t", "\r", "a", "a=b", " =1", "'", "'a", "''", "0", "é", "-1", "+1", "-0.5", "-.5", "+1,5",
    "1e5", "-1e5", "-1.5E-10", "+00", "a\n=1",
]  # fmt: skip


def in_column(texts: list[str | None]) -> list[str | None]:
    """Give what a whole column of these becomes."""
    return harmless_column(pa.array(texts, pa.large_string())).to_pylist()


@pytest.mark.parametrize("text", RUN)
def test_what_would_be_run_gets_an_apostrophe_alone_and_in_a_column(text):
    assert harmless(text) == "'" + text
    assert in_column(["a", text, None]) == ["a", "'" + text, None]


@pytest.mark.parametrize("text", NOT_RUN)
def test_what_would_not_be_run_stays_as_it_is_alone_and_in_a_column(text):
    assert harmless(text) == text
    assert in_column([text, None, "=1"]) == [text, None, "'=1"]


TEXTS = st.text(st.sampled_from("=+-@\t\r\n'0159.,eE a\u00e9"), max_size=6).map(
    lambda text: text.rstrip("\n")
)


@given(st.lists(st.none() | TEXTS, max_size=8), st.integers(0, 8))
@example(["\n=1"], 0)
def test_a_column_becomes_what_its_texts_become_also_where_it_is_a_slice(texts, start):
    expected = [None if text is None else harmless(text) for text in texts]
    assert in_column(texts) == expected
    assert harmless_column(pa.array(texts, pa.large_string())[start:]).to_pylist() == expected[start:]


@given(st.lists(st.none() | TEXTS, max_size=8), st.integers(0, 8))
def test_what_was_made_harmless_is_read_as_it_was(texts, start):
    for kind in (pa.large_string(), pa.string()):
        written = pa.array(in_column(texts), kind)
        assert as_meant(written).to_pylist() == texts
        assert as_meant(written[start:]).to_pylist() == texts[start:]


@pytest.mark.parametrize(
    ("text", "meant"), [("'=1", "=1"), ("''=1", "'=1"), ("'a", "'a"), ("a'=1", "a'=1"), ("'", "'")]
)
def test_only_an_apostrophe_before_what_would_be_run_is_taken_away(text, meant):
    assert as_meant(pa.array([text, None])).to_pylist() == [meant, None]


def test_a_column_that_needs_nothing_is_given_back_itself():
    for texts in ([], [None], ["a", "b=", "-"]):
        column = pa.array(texts, pa.large_string())
        assert harmless_column(column) is column


def test_bytes_of_a_file_name_that_are_no_utf_8_are_no_formula():
    assert harmless("\udce9=1") == "\udce9=1"
    assert harmless("=\udce9") == "'=\udce9"
