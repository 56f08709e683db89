"""Where the header, the rows and the lines of a text with separators are."""

import csv
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile

import numpy as np

from pipeline.readers.table import BYTE_ORDER_MARK, NotATable, Spelling

csv.field_size_limit(2**31 - 1)  # a cell may be long; the file's size is the limit
LINE_FEED, RETURN, QUOTE = b'\n\r"'
PIECE = 1 << 18  # signs looked at at once: they stay in the processor's cache
SEPARATOR_LINE = re.compile(r"sep=([^\w\"'])[\r\n]*", re.IGNORECASE)  # with which Excel begins its CSV files


@dataclass(frozen=True)
class Header:
    """The first record as one separator parts it, the lines and bytes down to its end; `strict`: quotes are right."""

    names: list[str]
    separator: str
    lines: int
    end: int
    strict: bool


@dataclass(frozen=True)
class Text:
    """A file's text and where its rows are: the bytes from `start` to `end`, after `above` lines."""

    content: bytes
    names: list[str]
    separator: str
    above: int
    start: int
    end: int

    def has_rows(self) -> bool:
        """Tell whether any line below the header isn't blank."""
        return re.compile(rb"[^\r\n]").search(self.content, self.start, self.end) is not None

    def has_line_end(self) -> bool:
        """Tell whether the last line is ended."""
        return self.content[self.end - 1 : self.end] in (b"\n", b"\r")

    def line_count(self) -> int:
        """Give the number of lines below the header."""
        returns = b"\r" in self.content
        signs = np.frombuffer(self.content, np.uint8, self.end - self.start, self.start)
        count = 0
        for at in range(0, len(signs), PIECE):
            piece = signs[at : at + PIECE + 1]  # one sign more, to see a line feed behind a return
            feed = piece == LINE_FEED
            count += int(np.count_nonzero(feed[:PIECE]))
            if returns:
                back = piece == RETURN
                count += int(np.count_nonzero(back[:PIECE])) - int(np.count_nonzero(back[:-1] & feed[1:]))
        return count + (not self.has_line_end())

    def lines(self) -> Iterable[str]:
        """Give the lines below the header, decoded as far as they're read."""
        return decoded_lines(self.content, self.start)

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Give the line on which each record starts, and its own lines. Blank lines are no records."""
        kept: list[str] = []
        number = self.above + 1
        for cells in csv.reader(_noted(self.lines(), kept), delimiter=self.separator):
            if cells:
                yield number, list(kept)
            number += len(kept)
            kept.clear()

    def last_line(self) -> str:
        """Give the last line."""
        before = self.end - self.has_line_end() - self.content.endswith(b"\r\n", self.start, self.end)
        ends = (self.content.rfind(sign, self.start, before) for sign in (b"\n", b"\r"))
        return self.content[max(*ends, self.start - 1) + 1 : self.end].decode()


@dataclass(frozen=True)
class Places:
    """Where the records of a text stand, counted from 1; `simple` if every line is one, so that nothing is searched."""

    text: Text
    total: int
    simple: bool

    def starts(self, records: set[int]) -> list[int]:
        """Give the lines on which these records start."""
        if self.simple:
            return [self.text.above + record for record in sorted(records)]
        numbered = enumerate(islice(self.text.records(), self.total), 1)
        return [line for record, (line, _) in numbered if record in records]

    def starts_without(self, records: set[int]) -> list[int]:
        """Give the lines on which all others start."""
        return self.starts(set(range(1, self.total + 1)) - records)

    def last(self) -> list[str]:
        """Give the lines of the last record."""
        if self.simple:
            return [self.text.last_line()]
        return deque(islice(self.text.records(), self.total), maxlen=1)[0][1]

    def excerpt(self, lines: set[int]) -> bytes:
        """Give the records that start on these lines, as they stand in the file."""
        numbered: Iterator[tuple[int, list[str]]]
        if self.simple:
            numbered = ((line, [own]) for line, own in enumerate(self.text.lines(), self.text.above + 1))
        else:
            numbered = self.text.records()
        last = max(lines, default=0)
        upto = takewhile(lambda record: record[0] <= last, numbered)
        return "".join("".join(own) for line, own in upto if line in lines).encode()


def find_header(content: bytes, wanted: frozenset[str], spelling: Spelling, separators: str) -> Text:
    """Find the header: its names, the separator that gives most wanted ones, and where the rows begin."""
    above, line = 0, ""
    for above, line in enumerate(decoded_lines(content)):  # noqa: B007
        if line.strip("\r\n"):
            break
    named = SEPARATOR_LINE.fullmatch(line)
    if named:
        separators = named[1]
        above += 1
    if spelling.separator:
        separators = _single(spelling.separator)
    headers = [_header(content, above, separator) for separator in separators]
    best = max(headers, key=lambda header: (len(wanted & {*header.names}), len(header.names), header.strict))
    if not best.names:
        raise NotATable("empty file: a header line and rows are expected")
    if not best.strict:
        raise NotATable("a quote in the header is not closed, or stands inside a name")
    start = best.end
    tail = max(content.rfind(b"\n", start), content.rfind(b"\r", start), start - 1) + 1
    end = tail if content[tail : tail + 1000].isspace() and content[tail:].isspace() else len(content)
    return Text(content, best.names, best.separator, best.lines, start, end)


def _single(separator: str) -> str:
    """Give the configured separator. Raise NotATable if it can't be one."""
    if len(separator) != 1 or not separator.isascii() or separator in '"\r\n':
        raise NotATable(
            f"separator {separator!r} in paths.source can't part cells: one sign like ; is expected"
        )
    return separator


def _header(content: bytes, above: int, separator: str) -> Header:
    """Give the first record below these lines, as this separator parts it."""
    rest = iter(decoded_lines(content))
    skipped = list(islice(rest, above))
    kept: list[str] = []
    cells = next((cells for cells in csv.reader(_noted(rest, kept), delimiter=separator) if cells), [])
    try:
        strict = list(csv.reader(kept, delimiter=separator, strict=True))[-1:] == [cells]
    except csv.Error:
        strict = False
    start = len(BYTE_ORDER_MARK) if content.startswith(BYTE_ORDER_MARK) else 0
    end = start + sum(len(line.encode()) for line in skipped + kept)
    return Header([name.strip() for name in cells], separator, above + len(kept), end, strict)


def decoded_lines(content: bytes, start: int = 0) -> Iterable[str]:
    """Give the lines from this byte on, decoded as far as they're read; no copy is made of the content."""
    stream = io.BytesIO(content)
    stream.seek(start)
    return io.TextIOWrapper(stream, encoding="utf-8" if start else "utf-8-sig", newline="")


def _noted(lines: Iterable[str], kept: list[str]) -> Iterator[str]:
    """Pass the lines on, and keep them."""
    for line in lines:
        kept.append(line)
        yield line


def quotes_are_paired(text: Text) -> bool:
    """Tell whether every odd quote stands where a cell begins, every even one where it ends, or two in a row."""
    signs = np.frombuffer(text.content, np.uint8, text.end)
    beside = np.zeros(256, bool)
    beside[[ord(text.separator), LINE_FEED, RETURN, QUOTE]] = True
    inside = 0
    for at in range(text.start, text.end, PIECE):
        quotes = np.flatnonzero(signs[at : at + PIECE] == QUOTE) + at
        closing = quotes[1 - inside :: 2] + 1
        if (
            not beside[signs[quotes[inside::2] - 1]].all()
            or not beside[signs[closing[closing < text.end]]].all()
        ):
            return False
        inside = (inside + len(quotes)) % 2
    return not inside
