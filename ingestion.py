"""Ingestion: take in the source files that are new, each row once, and set aside what can't be used.

    python ingestion.py [--config FILE] [--json] [-v] [--dry-run | --rebuild | --table | --trace KEY]

Files are known by their content: a copy under another name adds nothing, new content under an old name is taken.
CSV, TSV, JSON, JSON Lines, Excel and Parquet are read, compressed with gzip or zstd or not. A row that breaks the
columns' contract goes to rejected/, a file that is no table goes there whole; the good ones go on. Every file and its
counts are on record, and of every row where it came from: --trace tells, by its id, or by `ID,TIME`.

Reads  paths.source
Writes paths.ingested/finaldata.csv        every row that holds, to read (--table: however many)
       paths.ingested/parts/               the same rows and those they replaced, one Parquet file per source file
       paths.ingested/ingestedfiles.txt    a line per ingested file
       paths.ingested/rejected/            what was set aside, and why: reasons.csv
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipeline import agenda, cli, dataset, files, intake, origins, rejected, sources, words
from pipeline.cli import Result, log
from pipeline.config import Config
from pipeline.errors import ConfigError, DataError, FileError, UsageError
from pipeline.intake import Intake, Taken
from pipeline.known import AT_ONCE
from pipeline.records import FileRecord, Records, of_known

TOGETHER = 200  # files put on record in one transaction: each costs the disk a flush


@dataclass
class Counts:
    """What an ingestion did. `lines` is for a dry run: what would become of each file."""

    files: int = 0
    rows: int = 0
    duplicates: int = 0
    rejected_files: int = 0
    rejected_rows: int = 0
    known: Counter[str] = field(default_factory=Counter)  # of the duplicates, by kind: see `records.OF_KNOWN`
    lines: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, int]:
        """Give the counts as in the JSON contract."""
        return {name: value for name, value in vars(self).items() if name not in ("known", "lines")}

    def __str__(self) -> str:
        told = f"{words.counted(self.files, 'file')}: {_rows_told(self.rows, self.known, self.duplicates)}"
        if self.rejected_rows:
            told += f", {words.counted(self.rejected_rows, 'row')} rejected"
        return told + (
            f", {words.counted(self.rejected_files, 'file')} set aside" if self.rejected_files else ""
        )


def run(
    config: Config,
    book: Records,
    dry_run: bool = False,
    rebuild: bool = False,
    table: bool = False,
    trace: str | None = None,
) -> Result:
    """Ingest what is new (or, with `rebuild`, everything again), or tell of what was ingested."""
    if (trace is not None) + table + (dry_run or rebuild) > 1:
        raise UsageError("--trace, --table and --rebuild or --dry-run are different things: one at a time")
    if trace is not None:
        facts, text = origins.told(config, book, trace)
        return Result(text, facts)
    if table:
        rows = write_table(config, book, most=None)
        return Result(f"{config.ingested / dataset.TABLE}: {words.counted(rows, 'row')}", {"rows": rows})
    counts = (ingest_again if rebuild else ingest)(config, book, dry_run)
    if dry_run:
        return Result("\n".join(counts.lines) or "nothing new to ingest", {"files": counts.lines})
    return Result(f"ingested {counts}", counts.facts())


def ingest(config: Config, book: Records, dry_run: bool = False) -> Counts:
    """Take in every file whose content is not on record."""
    _check_contract(config, book)
    found, _ = agenda.look(config)
    begun = book.has_files()
    changed = agenda.changed(config, found, book.next_file() - 1) if begun else list(found)
    if changed and not dry_run:
        agenda.begin(config)
    taking, counts = Intake(config, book, dry_run=dry_run), Counts()
    taking.waiting = len(changed)
    waiting = set()
    stored: list[Taken] = []  # on disk, not yet on record: a run that is cut off here stores them again
    with cli.progress("ingesting", len(changed)) as step:
        for path in changed:
            content = sources.content(found[path], config.most_bytes)
            if content is None:
                waiting.add(path)
            elif taken := taking.taken(found[path], content):
                _count(counts, taken.file)
                log.info(counts.lines[-1])
                if not dry_run:
                    stored.append(taken.without_rows(_store(config, taken)))
            step()
            if len(stored) >= TOGETHER or (stored and taking.fresh_rows() >= AT_ONCE):
                _put_on_record(config, book, taking, stored)
                stored = []
    if not dry_run:
        _put_on_record(config, book, taking, stored)
        write_texts(config, book)
        seen = {path: one for path, one in found.items() if path not in waiting}
        agenda.mark_seen(config, seen, book.next_file() - 1, begun)
    return counts


def ingest_again(config: Config, book: Records, dry_run: bool = False) -> Counts:
    """Read every file on record once more under the present config; the records change all at once, at the end.

    Raise DataError if a file is no longer in the source folders, for its rows would be lost.
    Raise FileError if one can't be read now.
    """
    found, _ = agenda.look(config)
    contents = {sources.hashed(one): one for one in found.values()}
    recorded = book.files("ingested", "repeated", "set aside")
    gone = sorted(
        {file.name for file in recorded if file.status == "ingested" and file.sha256 not in contents}
    )
    if gone:
        some = ", ".join(gone[:5]) + (", ..." if len(gone) > 5 else "")
        folders = ", ".join(source.path for source in config.paths.source)
        raise DataError(
            f"{some}: what was in it when it was ingested is in no file of {folders} any more; put a copy of that back "
            f"under any name, or start anew by moving {config.ingested} and the database away"
        )
    if not dry_run:
        agenda.begin(config)
    taking, counts, rebuilt = Intake(config, book, True, dry_run), Counts(), {}
    live = {part for _, part in book.parts()}
    with cli.progress("rebuilding", len(recorded)) as step:
        for old in recorded:
            step()
            one = contents.get(old.sha256)
            if one is None:  # it brought no rows, and its record stays
                continue
            content = sources.content(one, config.most_bytes)
            if content is None:
                raise FileError(
                    f"{one.path}: not to be read just now, and a rebuild needs every file; run it again"
                )
            if taken := taking.taken_again(old, one, content):
                taken = _beside(config, live, taken)
                taking.kept_as(taken.file)
                rebuilt[old.id] = taken.file
                _count(counts, taken.file)
                if not dry_run:
                    told = _store(config, taken)
                    rejected.tell(config.ingested, [(taken.reasons(), told)] if taken.flaws else [])
    if not dry_run:
        intake.forget(config.ingested)
        book.replace_files(rebuilt)
        dataset.remove_strays(config.ingested, {part for _, part in book.parts()})
        write_texts(config, book)
        _add(counts, ingest(config, book))
    return counts


def _beside(config: Config, live: set[str], taken: Taken) -> Taken:
    """Give a file of a rebuild other names for its rows if a part that counts until then has its name and other rows.

    So whoever is cut off before the records change leaves the old parts as they were.
    """
    while taken.file.output in live and taken.rows is not None:
        if dataset.is_part(config.ingested, taken.file.output, taken.rows):
            break
        taken = replace(taken, file=replace(taken.file, output=dataset.other_name(taken.file.output)))
    return taken


def _put_on_record(config: Config, book: Records, taking: Intake, stored: list[Taken]) -> None:
    """Record files whose rows are on disk; from here on they count. Then write down what is known now."""
    rejected.tell(config.ingested, [(taken.reasons(), taken.told) for taken in stored if taken.flaws])
    book.add_files([taken.file for taken in stored])
    taking.settle()


def write_texts(config: Config, book: Records) -> None:
    """Bring the two files that people read up to the records, whatever state they are in."""
    write_table(config, book, config.cleaning.table_rows)
    text, listing = book.ingested_text(), config.ingested / "ingestedfiles.txt"
    if not listing.exists() or listing.read_text(encoding="utf-8") != text:
        files.write_text(listing, text)


def write_table(config: Config, book: Records, most: int | None) -> int:
    """Write `finaldata.csv` and give its rows. With more than `most` there is none; --table sets no limit."""
    table, state = config.ingested / dataset.TABLE, config.ingested / dataset.TABLE_STATE
    if most is not None and book.rows() > most:
        if table.exists() and dataset.table_upto(table, state, book.parts()) < book.last_part():
            table.unlink()
        return 0
    parts = book.parts()
    done = dataset.table_upto(table, state, parts)
    new = [(number, part) for number, part in parts if number > done]
    if (new or most is None) and config.replaces:
        done, new = 0, parts  # a new row may take the place of an old one
    if new or not done or not table.exists():
        pieces = dataset.in_pieces(config.ingested, new)
        written = dataset.append_csv(table, config.columns.all, pieces, table if done else None)
        dataset.write_table_state(table, state, parts)
        if not done:
            return written
    return book.rows()


def _check_contract(config: Config, book: Records) -> None:
    """Raise ConfigError if rows were ingested under other columns than the config has now."""
    if told := intake.of_other_choices(config, book):
        raise ConfigError(told)


def _count(counts: Counts, file: FileRecord) -> None:
    known = of_known(file)
    told = file.reason or f"{_rows_told(file.rows, known, file.duplicates)}, {file.rejected_rows:,} rejected"
    counts.lines.append(f"{file.location}/{file.name}: {file.status}: {told}")
    if file.status == "set aside":
        counts.rejected_files += 1
    else:
        counts.files += 1
    counts.rows += file.rows
    counts.duplicates += file.duplicates
    counts.rejected_rows += file.rejected_rows
    counts.known.update(known)


def _rows_told(rows: int, known: Mapping[str, int], duplicates: int) -> str:
    """Give what rows came, in words: a row that brings something new of a known one is no duplicate to people."""
    kinds = [
        f"{words.counted(known[kind], what)} {of}"
        for kind, (what, of) in words.OF_KNOWN.items()
        if known[kind]
    ]
    mere = words.counted(duplicates - sum(known.values()), "duplicate")
    return ", ".join([words.counted(rows, "new row"), *kinds, mere])


def _add(counts: Counts, more: Counts) -> None:
    for name, value in vars(more).items():
        setattr(counts, name, getattr(counts, name) + value)


def _store(config: Config, taken: Taken) -> bool:
    """Write what a file brought, and what of it was set aside. It counts once it's on record.

    Give whether its bad rows were there already.
    """
    file = taken.file
    if taken.staged is not None:
        dataset.write_part(config.ingested, dataset.staged_name(file.output), taken.staged)
    if taken.rows is not None:
        dataset.write_part(config.ingested, file.output, taken.rows)
    if taken.repeats is not None:
        dataset.write_repeats(config.ingested, file.sha256, taken.repeats)
    if file.status == "set aside":
        log.warning("%s/%s: set aside: %s", file.location, file.name, file.reason)
    if not taken.flaws:
        return False
    return rejected.put(config.ingested, file.name, file.sha256, taken.rejected, taken.ending)


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
        ("--table", {"action": "store_true", "help": "write finaldata.csv, however long it gets"}),
        (
            "--trace",
            {"metavar": "KEY", "help": "where the rows of this id (or `id,time`) came from", "reads": True},
        ),
    )
