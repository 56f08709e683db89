"""Ingestion: take in the source files that are new, each row once, and set aside what can't be used.

    python ingestion.py [--config FILE] [--json] [-v] [--dry-run | --rebuild]

Files are known by their content: a copy under another name adds nothing, new content under an old name is taken.
A row that breaks the columns' types or limits goes to rejected/, a file that is no table goes there whole; the good
ones go on. Every file and its counts are on record.

Reads  paths.source
Writes paths.ingested/finaldata.csv        every distinct row, to read
       paths.ingested/parts/               the same rows, to work with: one Parquet file per source file
       paths.ingested/ingestedfiles.txt    a line per ingested file
       paths.ingested/rejected/            what was set aside, and why: reasons.csv
"""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import agenda, cleaning, cli, dataset, files, readers, rejected, watch
from pipeline.cli import Result, log
from pipeline.config import Config
from pipeline.errors import ConfigError, DataError
from pipeline.readers import BadRow
from pipeline.records import FileRecord, Records

TOGETHER = 200  # files put on record in one transaction: each costs the disk a flush


@dataclass
class Counts:
    """What an ingestion did. `lines` is for a dry run: what would become of each file."""

    files: int = 0
    rows: int = 0
    duplicates: int = 0
    rejected_files: int = 0
    rejected_rows: int = 0
    lines: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, int]:
        """Give the counts as in the JSON contract."""
        return {name: value for name, value in vars(self).items() if name != "lines"}

    def __str__(self) -> str:
        told = f"{self.files} file(s): {self.rows:,} new row(s), {self.duplicates:,} duplicate(s)"
        if self.rejected_rows:
            told += f", {self.rejected_rows:,} row(s) rejected"
        return told + (f", {self.rejected_files} file(s) set aside" if self.rejected_files else "")


def run(config: Config, book: Records, dry_run: bool = False, rebuild: bool = False) -> Result:
    """Ingest what is new (or, with `rebuild`, everything again)."""
    counts = (ingest_again if rebuild else ingest)(config, book, dry_run)
    if dry_run:
        return Result("\n".join(counts.lines) or "nothing new to ingest", {"files": counts.lines})
    return Result(f"ingested {counts}", counts.facts())


def ingest(config: Config, book: Records, dry_run: bool = False) -> Counts:
    """Take in every file whose content is not on record."""
    _check_contract(config, book)
    found, _ = agenda.look(config)
    changed = agenda.changed(config, found) if book.has_files() else list(found)
    if changed and not dry_run:
        agenda.begin(config)
    intake, counts = Intake(config, book), Counts()
    waiting = set()
    stored: list[FileRecord] = []  # on disk, not yet on record: a run that is cut off here stores them again
    for position, path in enumerate(changed, 1):
        log.info("%d of %d: %s", position, len(changed), path)
        content = _settled_content(path, found[path])
        if content is None:
            waiting.add(path)
            continue
        taken = intake.taken(location(config, path), files.printable(os.path.basename(path)), content)
        if taken is not None:
            _count(counts, taken.file)
            if not dry_run:
                _store(config, taken)
                stored.append(taken.file)
        if len(stored) >= TOGETHER:
            book.add_files(stored)
            stored = []
    if not dry_run:
        book.add_files(stored)
        write_texts(config, book)
        agenda.mark_seen(config, {path: at for path, at in found.items() if path not in waiting})
    return counts


def location(config: Config, path: str) -> str:
    """Give the folder of a source file as the config spells it."""
    spelt = dict(zip(map(str, config.sources), config.paths.source, strict=True))
    return files.printable(spelt.get(os.path.dirname(path), os.path.dirname(path)))


def _settled_content(path: str, stamp: str) -> bytes | None:
    """Give the bytes of a file that still has this stamp; None if it has to wait for the next run.

    A file that can't be read must not keep the others from being ingested.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as problem:
        log.warning("%s: %s; left for the next run", path, problem.strerror)
        return None
    if watch.stamp(path) != stamp:
        log.info("%s: still being written, left for the next run", path)
        return None
    return content


@dataclass(frozen=True)
class Taken:
    """What becomes of one file: its record, its new rows (None: it brought none) and its bad rows."""

    file: FileRecord
    content: bytes
    rows: pa.Table | None = None
    flaws: list[BadRow] = field(default_factory=list)


class Intake:
    """What is known while files are taken in one after the other: contents and rows seen so far."""

    def __init__(self, config: Config, book: Records, rebuilding: bool = False):
        self.config = config
        known = [] if rebuilding else book.files("ingested", "repeated", "set aside")
        self.names = {(file.location, file.name, file.sha256) for file in known if self._settled(file)}
        self.contents: dict[str, Any] = {file.sha256: file for file in known if self._settled(file)}
        self.parts = [] if rebuilding else [part for _, part in book.parts()]
        self.rows: set[bytes] | None = None

    def _settled(self, file) -> bool:
        return file.status != "set aside" or file.contract == self.config.contract

    def taken(self, location: str, name: str, content: bytes) -> Taken | None:
        """Give what becomes of a file; None if the same content under the same name is on record already."""
        sha256 = hashlib.sha256(content).hexdigest()
        named = {"location": location, "name": name, "sha256": sha256, "contract": self.config.contract}
        if (location, name, sha256) in self.names:
            return None
        self.names.add((location, name, sha256))
        same = self.contents.get(sha256)
        if same is None:
            try:
                taken = self._read(content, named)
            except DataError as problem:
                taken = Taken(_record(named, "set aside", reason=str(problem)), content)
            self.contents[sha256] = taken.file
            return taken
        if same.status == "set aside":
            return None
        reason = f"the same content as {same.name}"
        return Taken(
            _record(named, "repeated", reason=reason, duplicates=same.rows + same.duplicates), content
        )

    def _read(self, content: bytes, named: dict[str, str]) -> Taken:
        """Read and clean a file. Raise DataError if it has to be set aside whole."""
        raw = readers.read(Path(named["name"]), content)
        cleaned = cleaning.clean(raw.cells, self.config.columns, self.config.task)
        lines = raw.lines() if cleaned.flaws else []
        flaws = [BadRow(lines[flaw.position], flaw.column, flaw.value, flaw.reason) for flaw in cleaned.flaws]
        flaws = sorted([*raw.ragged, *flaws], key=lambda bad: bad.line)
        total = raw.cells.num_rows + len(raw.ragged)
        if total and len(flaws) / total > self.config.cleaning.max_rejected:
            limit = f"cleaning.max_rejected = {self.config.cleaning.max_rejected:g}"
            raise DataError(f"{len(flaws)} of {total} rows are bad, more than {limit}; the first: {flaws[0]}")
        if self.rows is None:
            self.rows = dataset.row_hashes(self.config.ingested, self.parts)
        rows = cleaning.distinct(cleaned.rows, self.rows)
        counts = {
            "rows": len(rows),
            "labelled": len(rows) - rows[self.config.columns.target.name].null_count,
            "duplicates": len(cleaned.rows) - len(rows),
            "formatting_changes": cleaned.formatting_changes,
            "rejected_rows": len(flaws),
        }
        output = dataset.part_name(named["sha256"], named["contract"]) if len(rows) else ""
        return Taken(_record(named, "ingested", output=output, **counts), content, rows, flaws)


def _record(named: dict[str, str], status: str, **facts: Any) -> FileRecord:
    return FileRecord(**{**named, "status": status, **facts})


def ingest_again(config: Config, book: Records, dry_run: bool = False) -> Counts:
    """Read every file on record once more under the present config; the records change all at once, at the end.

    Raise DataError if a file is no longer in the source folders: its rows would be lost.
    """
    found, _ = agenda.look(config)
    contents = {files.sha256(Path(path)): path for path in found}
    recorded = book.files("ingested", "repeated", "set aside")
    gone = sorted(
        {file.name for file in recorded if file.status == "ingested" and file.sha256 not in contents}
    )
    if gone:
        some = ", ".join(gone[:5]) + (", ..." if len(gone) > 5 else "")
        folders = ", ".join(config.paths.source)
        raise DataError(f"{some}: ingested once, but no longer in {folders}; put back to rebuild")
    if not dry_run:
        agenda.begin(config)
    intake, counts, rebuilt = Intake(config, book, rebuilding=True), Counts(), {}
    for old in recorded:
        path = contents.get(old.sha256)
        taken = path and intake.taken(old.location, old.name, Path(path).read_bytes())
        if taken:
            rebuilt[old.id] = taken.file
            _count(counts, taken.file)
            if not dry_run:
                _store(config, taken)
    if not dry_run:
        book.replace_files(rebuilt)
        dataset.remove_strays(config.ingested, {part for _, part in book.parts()})
        write_texts(config, book)
        _add(counts, ingest(config, book))
    return counts


def write_texts(config: Config, book: Records) -> None:
    """Bring the two files that people read up to the records, whatever state they are in."""
    parts = book.parts()
    table, state = config.ingested / dataset.TABLE, config.ingested / dataset.TABLE_STATE
    done = dataset.table_upto(table, state, parts)
    new = [(number, part) for number, part in parts if number > done]
    if new or not done or not table.exists():
        tables = (dataset.read_part(config.ingested, part) for _, part in new)
        dataset.append_csv(table, config.columns.all, tables, table if done else None)
        dataset.write_table_state(table, state, parts)
    text, listing = book.ingested_text(), config.ingested / "ingestedfiles.txt"
    if not listing.exists() or listing.read_text(encoding="utf-8") != text:
        files.write_text(listing, text)


def _check_contract(config: Config, book: Records) -> None:
    """Raise ConfigError if rows were ingested under other columns than the config has now."""
    if any(file.contract != config.contract for file in book.files("ingested")):
        raise ConfigError(
            f"{config.file}: columns, cleaning or task are not those that the rows in {config.ingested} were ingested "
            "with; undo the change, or read all files again with `python ingestion.py --rebuild`"
        )


def _count(counts: Counts, file: FileRecord) -> None:
    told = (
        file.reason
        or f"{file.rows} new row(s), {file.duplicates} duplicate(s), {file.rejected_rows} rejected"
    )
    counts.lines.append(f"{file.location}/{file.name}: {file.status}: {told}")
    if file.status == "set aside":
        counts.rejected_files += 1
    else:
        counts.files += 1
    counts.rows += file.rows
    counts.duplicates += file.duplicates
    counts.rejected_rows += file.rejected_rows


def _add(counts: Counts, more: Counts) -> None:
    for name, value in more.facts().items():
        setattr(counts, name, getattr(counts, name) + value)


def _store(config: Config, taken: Taken) -> None:
    """Write what a file brought, and what of it was set aside. It counts once it's on record."""
    file = taken.file
    if file.output:
        dataset.write_part(config.ingested, file.output, taken.rows)
    if file.status == "set aside":
        log.warning("%s/%s: set aside: %s", file.location, file.name, file.reason)
        why = [BadRow(0, "", "", file.reason or "")]
        rejected.put(config.ingested, file.name, file.sha256, taken.content, why)
    elif taken.flaws:
        bad = rejected.only_lines(taken.content, {flaw.line for flaw in taken.flaws})
        rejected.put(config.ingested, file.name, file.sha256, bad, taken.flaws)


if __name__ == "__main__":
    cli.launch(
        run,
        __doc__,
        (
            "--dry-run",
            {
                "action": "store_true",
                "help": "say file by file what would happen; change nothing",
                "reads": True,
            },
        ),
        (
            "--rebuild",
            {"action": "store_true", "help": "read all files on record again, under the present config"},
        ),
    )
