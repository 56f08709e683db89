"""The records as a text beside the database: each can be made from the other, and damage to either is noticed.

`records.journal` has a line for every row of every table, with a hash of its own; of two lines of a row the later one
holds. `records.seal` tells how the last program that wrote left the database: by the hash of an SQLite file, because
SQLite itself doesn't notice most bits that flip, and by how many rows a server has. It goes before anything is written
and is made anew at the end; if it isn't there a program was cut off, and the next one compares all rows with the
journal.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pipeline import files, records, words
from pipeline.config import SQLITE, Config
from pipeline.errors import FileError, PipelineError
from pipeline.records import Records

JOURNAL = "records.journal"
SEAL = "records.seal"
DAMAGED = ".damaged"  # the ending of a database that was replaced
REPLACED = "records.damaged.journal"  # the same of a server's, as text
REPAIR = records.REPAIR
HASH = 16  # hex digits of a line's hash: against accidents, not against attackers

Key = tuple[str, int]  # table and primary key
Rows = dict[Key, str]  # each as JSON


@dataclass(frozen=True)
class Seal:
    """How a program left database and journal."""

    database: str  # as the config names it
    schema: str  # its version
    state: str  # what tells it from any other, see `_state`
    size: int  # of the journal, in bytes
    newest: dict[str, int]  # the last row of each table


# ---------------------------------------------------------------------------------------------- opening
@contextmanager
def opened(config: Config, reading: bool = False) -> Iterator[Records]:
    """Open the records and, if they may be written, bring the journal up to them in the end.

    Raise FileError if the database isn't as the last program left it.
    """
    if reading:
        with records.opened(config.database, reading) as book:
            yield book
        return
    if told := changed(config):
        raise FileError(told)
    seal = _seal(config)
    _unseal(config)
    with records.opened(config.database) as book:
        if seal is None or seal.database != _address(config):
            _check_complete(config, book)
        try:
            yield book
        except PipelineError:
            _seal_what_there_is(config, book, seal)
            raise
        _seal_what_there_is(config, book, seal)


def _seal_what_there_is(config: Config, book: Records, seal: Seal | None) -> None:
    """Seal a database in which something is: an empty one may be in the place of one that is lost."""
    if book.has_files():
        seal_again(config, book, seal)


def changed(config: Config) -> str:
    """Say so if the database isn't as the last program left it; empty if it is, or if nobody can know."""
    seal = _seal(config)
    if seal is None or seal.database != _address(config) or seal.state == _state(config):
        return ""
    if seal != _seal(config):  # a run has just begun
        return ""
    return _told(config, "not as the last run left it: lost, damaged or another copy")


def _check_complete(config: Config, book: Records) -> None:
    """Raise FileError if the database lacks rows that the journal has: then it's no place to go on from."""
    if told := _short(config, book):
        raise FileError(told)


def _short(config: Config, book: Records) -> str:
    lost = len(_read(config)[0].keys() - _rows(book).keys())
    return _told(config, f"{words.counted(lost, 'row')} short of what {JOURNAL} has") if lost else ""


def _told(config: Config, wrong: str) -> str:
    anew = f"make it anew from {config.ingested / JOURNAL} with {REPAIR}"
    return f"{_shown(config)}: {wrong}; {anew}, or go on with it as it is by moving {JOURNAL} and {SEAL} away"


# ---------------------------------------------------------------------------------------------- closing
def seal_again(config: Config, book: Records, seal: Seal | None = None) -> None:
    """Add to the journal what the database has since this seal (None: whatever the journal lacks), and seal both."""
    path = config.ingested / JOURNAL
    fits = seal is not None and (seal.database, seal.schema, seal.size) == (
        _address(config), records.SCHEMA_VERSION, _size(path),
    )  # fmt: skip
    if seal is not None and fits:
        lacking = _rows(book, seal.newest, book.changed)
    else:
        there = _read(config)[0]
        lacking = {key: text for key, text in _rows(book).items() if there.get(key) != text}
    _append(path, lacking)
    extent = book.extent()
    state = json.dumps([*book.layout(), extent]) if config.database_file is None else _state(config)
    newest = dict.fromkeys(records.schema.tables, 0) | {name: last for name, (last, _) in extent.items()}
    now = Seal(_address(config), records.SCHEMA_VERSION, state, _size(path), newest)
    files.write_text(config.ingested / SEAL, json.dumps(asdict(now)) + "\n")


def _append(path: Path, rows: Rows) -> None:
    """Add lines to a journal, in the place of one that was cut off, and force them to the disk."""
    if not rows:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.told_of(path), path.open("a+b") as out:
        out.truncate(_whole(out))
        out.writelines(line.encode() for line in map(_line, rows.values()))
        out.flush()
        os.fsync(out.fileno())
    files.sync(path.parent)


def _whole(file: BinaryIO) -> int:
    """Give how many bytes of a journal are whole lines."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1))
    if file.read() in (b"", b"\n"):
        return size
    file.seek(0)
    return file.read().rfind(b"\n") + 1


# ---------------------------------------------------------------------------------------------- comparing, repairing
def differs(config: Config, book: Records) -> str:
    """Say so if the journal isn't what the database has; empty if it is.

    While a run is under way, or after one that was cut off, the journal may lack rows, never the database.
    """
    seal = _seal(config)
    if seal is None:
        return _short(config, book)
    there, damaged = _read(config)
    other = len(dict(there.items() ^ _rows(book).items()))
    if not (other or damaged) or seal != _seal(config):
        return ""
    told = f"{words.counted(other, 'row')} not alike, {words.counted(damaged, 'line')} damaged"
    return f"{config.ingested / JOURNAL}: not what {_shown(config)} has ({told}); put it right with {REPAIR}"


def repair(config: Config) -> str:
    """Make the database from the journal if it isn't as it was left, or else the journal from the database.

    Give in words what was done; empty if nothing had to be. Raise FileError if neither is whole.
    """
    if config.database_file is None:
        _state(config)  # a server that can't be asked just now isn't one that lost anything
    if not _sound(config):
        return _database_anew(config)
    with records.opened(config.database) as book:
        return _journal_anew(config, book) if differs(config, book) else ""


def _sound(config: Config) -> bool:
    """Say whether the database is one to go on with."""
    try:
        if changed(config):
            return False
        with records.opened(config.database, reading=True) as book:
            _check_complete(config, book)
            return not book.damage() and not _edited(config, book)
    except records.NewerRecords:
        raise
    except FileError:
        return False


def _edited(config: Config, book: Records) -> bool:
    """Say whether a server's database has other rows than the journal although that is as it was left."""
    (rows, damaged), seal = _read(config), _seal(config)
    left = seal is not None and not damaged and seal.size == _size(config.ingested / JOURNAL)
    return config.database_file is None and left and rows != _rows(book)


def _journal_anew(config: Config, book: Records) -> str:
    path = config.ingested / JOURNAL
    files.write_text(path, "".join(map(_line, _rows(book).values())))
    seal_again(config, book)
    return f"{path}: made anew from {_shown(config)}"


def _database_anew(config: Config) -> str:
    """Make the database from the journal, in one step; what was there is kept."""
    journal = config.ingested / JOURNAL
    (rows, damaged), seal = _read(config), _seal(config)
    if damaged or not rows or (seal is not None and seal.size != _size(journal)):
        raise FileError(
            f"{_shown(config)}, {journal}: neither is as the last run left it; put a copy of one of them back"
        )
    told = f"{_shown(config)}: made anew from {journal}, {words.counted(len(rows), 'row')}"
    if config.database_file is None:
        told += _rows_anew(config, rows)
    else:
        _file_anew(config.database_file, rows)
    with records.opened(config.database) as book:
        seal_again(config, book)
    return told


def _file_anew(path: Path, rows: Rows) -> None:
    if path.exists():
        shutil.copyfile(path, path.with_name(path.name + DAMAGED))
        files.sync(path.with_name(path.name + DAMAGED))
    for name in (f"{path.name}-journal", f".{path.name}{files.DRAFT}", f".{path.name}{files.DRAFT}-journal"):
        path.with_name(name).unlink(missing_ok=True)  # what SQLite would take for the end of the new one
    with files.replacing(path) as draft, records.opened(f"{SQLITE}{draft}", as_it_is=True) as book:
        book.make_anew(_cells(rows))


def _rows_anew(config: Config, rows: Rows) -> str:
    """Put the rows into a server's database, in one transaction. Say where those are that differed."""
    with records.opened(config.database, as_it_is=True) as book:
        other = [text for key, text in _told_of(book.found()).items() if rows.get(key) != text]
        kept = config.ingested / REPLACED
        if other:
            files.write_text(kept, "".join(map(_line, other)))
        book.make_anew(_cells(rows))
    return f"; kept in {kept}: {words.counted(len(other), 'row')} that differed" if other else ""


def _cells(rows: Rows) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((table, json.loads(text)[1]) for (table, _), text in rows.items())


# ---------------------------------------------------------------------------------------------- lines and rows
def _rows(book: Records, newest: Mapping[str, int] | None = None, changed: Collection[Key] = ()) -> Rows:
    """Give the rows of the database as JSON, without empty cells; only those after the newest or changed if given."""
    return _told_of(book.everything(newest or {}, changed))


def _told_of(rows: Iterable[tuple[str, int, dict[str, Any]]]) -> Rows:
    found = {}
    for table, key, row in rows:
        cells = {name: value for name, value in row.items() if value is not None}
        found[table, key] = json.dumps([table, cells], separators=(",", ":"))
    return found


def _line(text: str) -> str:
    return f"{_hash(text)} {text}\n"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:HASH]


def _read(config: Config) -> tuple[Rows, int]:
    """Give the rows of the journal, and how many of its lines are damaged."""
    rows: Rows = {}
    damaged = 0
    keys = {table.name: key.name for table in records.schema.sorted_tables for key in table.primary_key}
    path = config.ingested / JOURNAL
    if not path.exists():
        return rows, damaged
    with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            known, _, text = line.removesuffix("\n").partition(" ")
            if not line.endswith("\n"):
                break  # cut off
            if known != _hash(text):
                damaged += 1
                continue
            table, cells = json.loads(text)
            if table in keys:
                rows[table, cells[keys[table]]] = text
    return rows, damaged


# ---------------------------------------------------------------------------------------------- the seal
def _seal(config: Config) -> Seal | None:
    """Give the seal; None if there's none, or it's damaged."""
    try:
        told = json.loads((config.ingested / SEAL).read_text(encoding="utf-8"))
        if "sha256" in told:  # of an earlier version, which knew files only
            told["state"] = told.pop("sha256")
        return Seal(**told)
    except (OSError, ValueError, TypeError):
        return None


def _unseal(config: Config) -> None:
    files.remove(config.ingested / SEAL)


def _state(config: Config) -> str:
    """Give what tells the database from any other: the SHA-256 of its file (empty: there is none), or what it has.

    That's its schema and how many rows: they are counted where there's no file, because to read them all at each run
    would cost too much.
    """
    path = config.database_file
    if path is not None:
        return files.sha256(path) if path.exists() else ""
    with records.opened(config.database, as_it_is=True) as book:
        return json.dumps([*book.layout(), book.extent()])


def _shown(config: Config) -> str:
    return records.shown(config.database)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _address(config: Config) -> str:
    """Give the database as the config has it, without a password: the same when the project's folder is moved."""
    named = config.paths.database
    return _shown(config) if "://" in named else named
