"""What a spreadsheet would run as a formula is made harmless in every CSV that people open, and read back as it was.

A text that begins with one of = + - @, a tab or a carriage return gets an apostrophe in front, as OWASP advises ("CSV
Injection") and as a spreadsheet marks a text itself; a plain number, which may begin with a sign, does not. Whoever
reads such a cell takes one apostrophe away. No disk, no clock.
"""

import re

BEGINNING = r"^'*[=+\-@\t\r]"  # with apostrophes before it, so that taking one away gives back what was there
NUMBER = r"^[+-]?[0-9]*[.,]?[0-9]+([eE][+-]?[0-9]+)?$"
MARKED = r"^'('*[=+\-@\t\r])"


def harmless(text: str) -> str:
    """Give the text as a cell that no spreadsheet runs."""
    risky = len(text) > 1 and re.match(BEGINNING, text) and not re.fullmatch(NUMBER, text)
    return "'" + text if risky else text


def harmless_column(texts):
    """Give a pyarrow column of large strings likewise; one without such texts, nearly all, is looked at and no more."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not _any_begins_with(texts, b"=+-@\t\r'"):
        return texts
    risky = pc.and_(
        pc.and_(pc.match_substring_regex(texts, BEGINNING), pc.greater(pc.utf8_length(texts), 1)),
        pc.invert(pc.match_substring_regex(texts, NUMBER)),
    )
    apostrophe, nothing = pa.scalar("'", texts.type), pa.scalar("", texts.type)
    return pc.if_else(risky, pc.binary_join_element_wise(apostrophe, texts, nothing), texts)


def as_meant(texts):
    """Give a pyarrow column of strings as they were before they were made harmless."""
    import pyarrow.compute as pc

    return pc.replace_substring_regex(texts, MARKED, r"\1") if _any_begins_with(texts, b"'") else texts


def _any_begins_with(texts, signs: bytes) -> bool:
    import numpy as np
    import pyarrow as pa

    data, width = texts.buffers()[2], np.dtype(np.int64 if pa.types.is_large_string(texts.type) else np.int32)
    if not len(texts) or data is None:
        return False
    ends = np.frombuffer(texts.buffers()[1], width, len(texts) + 1, width.itemsize * texts.offset)
    firsts = np.frombuffer(data, np.uint8)[ends[:-1][np.diff(ends) > 1]]
    return bool(np.isin(np.arange(256), np.frombuffer(signs, np.uint8))[firsts].any())  # a table is fastest
