"""JSON: a list of objects, or an object on each line. Cells have the type JSON gives them."""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipeline.readers import columns
from pipeline.readers.table import BadRow, NotATable, RawTable, Spelling, chosen, marked
from pipeline.readers.text import as_utf8

SPACE = re.compile(r"[ \t\r\n]*")
KINDS: dict[type, str] = {dict: "an object", list: "a list"}
EXPECTED = 'a list of objects is expected, like [{"a": 1}, {"a": 2}], or one object that holds it'
LONGEST_NUMBER = 20  # signs of a whole number that may fit an int64


class Twice(dict):
    """An object that names a key more than once."""

    def __init__(self, pairs: list[tuple[str, object]]):
        super().__init__(pairs)
        keys = [key for key, _ in pairs]
        self.keys_twice = {key for key in keys if keys.count(key) > 1}


@dataclass(frozen=True)
class NoNumber:
    """NaN or Infinity, which Python reads and JSON doesn't have."""

    text: str


@dataclass(frozen=True)
class Record:
    """A value with its place (line, or number from 1) and its text; `problem` if it isn't JSON."""

    place: int
    value: object
    text: str
    problem: str = ""


def read_json(content: bytes, wanted: frozenset[str], spelling: Spelling) -> RawTable:
    """Read a list of objects, or one object that holds exactly one such list; rows are counted from 1."""
    text = _text(content, spelling)
    try:
        found = _all(text)
    except RecursionError:
        raise NotATable(f"nested too deep; {EXPECTED}") from None
    except ValueError as problem:
        raise NotATable(f"not JSON, or cut off: {problem}") from None
    return _table(found, wanted, spelling, ".jsonl")


def read_json_lines(content: bytes, wanted: frozenset[str], spelling: Spelling) -> RawTable:
    """Read lines with an object on each; a line that is none is a bad row."""
    records = []
    for number, line in enumerate(_text(content, spelling).split("\n"), 1):
        if not line.strip():
            continue
        try:
            records.append(Record(number, DECODER.decode(line), line.strip()))
        except RecursionError:
            records.append(Record(number, None, line.strip(), "nested too deep"))
        except ValueError as problem:
            records.append(Record(number, None, line.strip(), f"not JSON, or cut off: {problem}"))
    if not any(isinstance(record.value, dict) for record in records):
        raise NotATable(f"no line holds a JSON object{_why(records)}")
    return _table(records, wanted, spelling, ".jsonl")


def _why(records: list[Record]) -> str:
    return f" (line {records[0].place}: {records[0].problem})" if records[0].problem else ""


def _text(content: bytes, spelling: Spelling) -> str:
    return as_utf8(content, spelling).decode("utf-8-sig")


def _all(text: str) -> list[Record]:
    """Give the records of a whole file. Raise ValueError or RecursionError if it isn't JSON."""
    at = _skip(text, 0)
    if text[at] == "[":
        found, at = _list(text, at)
    elif text[at] == "{":
        lists, at = _members(text, at)
        if len(lists) != 1:
            raise NotATable(f"an object with {len(lists)} lists of objects; {EXPECTED}")
        found = lists[0]
    else:
        DECODER.decode(text)
        raise NotATable(EXPECTED)
    if _skip(text, at) != len(text):
        raise json.JSONDecodeError("more text after the end", text, at)
    if found and not any(isinstance(record.value, dict) for record in found):
        raise NotATable(f"a list without an object; {EXPECTED}")
    return found


def _list(text: str, at: int) -> tuple[list[Record], int]:
    """Give the values of the list that starts here, and where it ends."""
    found: list[Record] = []

    def value(at: int) -> int:
        one, end = DECODER.raw_decode(text, at)
        found.append(Record(len(found) + 1, one, text[at:end]))
        return end

    return found, _parted(text, at, "]", value)


def _members(text: str, at: int) -> tuple[list[list[Record]], int]:
    """Give the lists of objects that the object that starts here holds, and where it ends."""
    lists: list[list[Record]] = []

    def member(at: int) -> int:
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("a key in quotes is expected", text, at)
        _, at = DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise json.JSONDecodeError("a colon is expected", text, at)
        at = _skip(text, at + 1)
        if text[at : at + 1] != "[":
            return DECODER.raw_decode(text, at)[1]
        found, at = _list(text, at)
        if found and all(isinstance(record.value, dict) for record in found):
            lists.append(found)
        return at

    return lists, _parted(text, at, "}", member)


def _parted(text: str, at: int, closing: str, member: Callable[[int], int]) -> int:
    """Go through what stands between brackets, parted by commas; give where it ends."""
    at = _skip(text, at + 1)
    if text[at : at + 1] == closing:
        return at + 1
    while True:
        at = _skip(text, member(at))
        if text[at : at + 1] == closing:
            return at + 1
        if text[at : at + 1] != ",":
            raise json.JSONDecodeError(f"a comma or {closing} is expected", text, at)
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    """Give where the white space that starts here ends."""
    space = SPACE.match(text, at)
    return space.end() if space else at


def _table(records: list[Record], wanted: frozenset[str], spelling: Spelling, ending: str) -> RawTable:
    """Make a table of the objects; the others, and those that hold more than plain values, are bad rows."""
    found = dict.fromkeys(key for r in records if isinstance(r.value, dict) for key in r.value)
    names = {key: _name(key) for key in found}
    all_names = list(dict.fromkeys(names.values()))
    used = {all_names[position] for position in chosen(all_names, wanted)}
    keys = {key: name for key, name in names.items() if name in used}
    places, ragged, rows = [], [], []
    for record in records:
        flaw = next(_flaws(record, keys), None)
        if flaw is not None:
            ragged.append(flaw)
        else:
            places.append(record.place)
            rows.append(record.value)
    spelt = {name: [key for key in keys if keys[key] == name] for name in all_names if name in used}
    cells = pa.table({name: columns.column(_values(rows, keys)) for name, keys in spelt.items()})

    def excerpt(lines: set[int]) -> bytes:
        texts = (re.sub(r"[\r\n]+\s*", " ", record.text) for record in records if record.place in lines)
        return marked(spelling) + "".join(f"{text}\n" for text in texts).encode()

    return RawTable(cells, all_names, lambda: places if used else [], ragged, excerpt, ending)


def _name(key: str) -> str:
    return key.encode("utf-8", errors="replace").decode().strip()


def _values(rows: list, keys: list[str]) -> list:
    """Give one cell of each row, by whichever of these keys it has."""
    if len(keys) == 1:
        return [row.get(keys[0]) for row in rows]
    return [next((row[key] for key in keys if key in row), None) for row in rows]


def _flaws(record: Record, keys: dict[str, str]) -> Iterator[BadRow]:
    """Give what makes this record no row of the table; `keys` are those of the wanted columns."""
    value = record.value
    if record.problem:
        yield BadRow(record.place, "", record.text, record.problem)
    elif not isinstance(value, dict):
        kind = KINDS.get(type(value), "a single value")
        yield BadRow(record.place, "", record.text, f"{kind}, where an object is expected")
    else:
        own = [keys[key] for key in value if key in keys]
        twice = {keys[key] for key in getattr(value, "keys_twice", ()) if key in keys}
        twice |= {name for name in own if own.count(name) > 1} if len(set(own)) < len(own) else set()
        for name in sorted(twice):
            yield BadRow(record.place, name, record.text, f"key {name!r} is named twice in one object")
        for key, cell in value.items():
            if key in keys and (wrong := _no_cell(cell)):
                yield BadRow(record.place, keys[key], _told(cell), f"column {keys[key]} holds {wrong}")


def _no_cell(value: object) -> str:
    """Give what is wrong with a value that can't be a cell, or nothing."""
    if isinstance(value, (dict, list)):
        return f"{KINDS[list if isinstance(value, list) else dict]}, a single value is expected"
    if isinstance(value, NoNumber):
        return f"{value.text}, which JSON has not; null is a missing value"
    if isinstance(value, str) and columns.broken(value):
        return "half a character (a lone surrogate)"
    return ""


def _told(value: object) -> str:
    if isinstance(value, NoNumber):
        return value.text
    return type(value).__name__ if isinstance(value, (dict, list)) else ascii(value)


def _object(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Twice(pairs)


def _whole(text: str) -> int | str:
    """Give a whole number; one that no int64 can hold stays text, so that it loses no digit."""
    number = int(text) if len(text) <= LONGEST_NUMBER else columns.LARGEST
    return number if -columns.LARGEST <= number < columns.LARGEST else text


def _fraction(text: str) -> float | str:
    """Give a float; one that no float can hold (1e999) stays text, so that it isn't taken for infinity."""
    number = float(text)
    return number if math.isfinite(number) else text


DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=NoNumber, parse_int=_whole, parse_float=_fraction
)
