"""What becomes of one source file after the other: typed, checked, distinct, repaired, joined with what is there.

The sums are elsewhere (`cleaning`, `repairs`, `merging`); here they meet what is known already: contents, rows, keys
and the sample of all rows that statistics are taken of. All of that can be had again from the records and the parts.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import cleaning, dataset, files, known, merging, readers, rejected, releases, repairs, rowhash
from pipeline.config import Columns, Config, Source
from pipeline.dataset import DONE, DROPPED, FILES, KEY, PLACE, RANK
from pipeline.errors import CheckFailed, DataError
from pipeline.known import Known
from pipeline.readers import BadRow
from pipeline.records import BACK, LATE_LABELS, VERSIONS, FileRecord, Records
from pipeline.rowhash import ROW
from pipeline.sources import Found

log = logging.getLogger("pipeline")

ROWS = "known/rows"  # folders of the hashes of all rows, of all keys, of all states of joined rows
KEYS = "known/keys"
STATES = "known/states"
LABELLED = "known/labelled"  # keys of which a row with outcome is known
SAMPLE = "sample.parquet"
TAKEN_KEY = "another row has this key already (cleaning.key)"
LONGEST_ID = 60  # characters of an id that are told beside a reason
MANY = 64  # tables that are put together: to look through one is faster
OF_RECORDS = "known/of.txt"  # which parts what is known is of: of other records, nothing of it is believed
UPTO = b"upto"  # the newest file whose rows the sample was drawn from, in the sample's metadata


@dataclass(frozen=True)
class Taken:
    """What becomes of one file: its record, and what is to be written before it is recorded."""

    file: FileRecord
    rows: pa.Table | None = None  # what it brings to the dataset
    staged: pa.Table | None = None  # of a joined source: its own rows
    repeats: np.ndarray | None = None  # hashes of the rows that were known
    flaws: list[BadRow] = field(default_factory=list)
    rejected: bytes = b""  # the bad rows, or the whole bad file
    ending: str = ""  # what the name of a file with `rejected` has to end with
    told: bool = False  # an earlier run may have told of its flaws

    def reasons(self) -> str:
        """Give the lines of reasons.csv about this file."""
        return rejected.reasons(self.file.name, self.flaws)

    def without_rows(self, told: bool) -> "Taken":
        """Give what is left to be remembered of a file that was written: many may wait to be recorded."""
        return Taken(self.file, flaws=self.flaws, told=told)


def of_other_choices(config: Config, book: Records) -> str:
    """Say so if the rows on record were ingested under other choices than the config has now; empty if not."""
    if not book.other_contract(config.contract):
        return ""
    return (
        f"{config.file}: columns, cleaning or task are not those that the rows in {config.ingested} were ingested "
        "with; undo the change, or read all files again with `python ingestion.py --rebuild`"
    )


def _with_labels(config: Config) -> tuple[Columns, bool]:
    """Give the columns, the target with the labels that the live model learnt, and if it has them from there.

    Only where the config neither lists them nor says which one is the risk: another label would leave that untold.
    """
    target = config.columns.target
    told = config.task == "regression" or target.allowed or target.positive is not None
    try:
        live = None if told else releases.current(config)
    except CheckFailed:  # a run leaves before it ingests; by hand it's done all the same
        live = None
    labels = live.manifest.get("labels") if live and not live.answers_another(config) else None
    if not labels:
        return config.columns, False
    known = target.model_copy(update={"allowed": list(labels)})
    return config.columns.model_copy(update={"target": known}), True


class Intake:
    """What is known while files are taken in one after the other. With `rebuilding` nothing is, at first."""

    waiting = 1  # so many files are to come

    def __init__(self, config: Config, book: Records, rebuilding: bool = False, dry_run: bool = False):
        self.config, self.book, self.rebuilding, self.dry_run = config, book, rebuilding, dry_run
        self.first = self.next = 1 if rebuilding else book.next_file()
        self.history = not rebuilding and book.has_files()
        self.contents: dict[str, list[Any]] = {}
        self.newest: dict[tuple[str, str], str] = {}  # by location and name: the SHA-256 of what came last
        self.parts = [] if rebuilding else book.parts()
        self.new_parts: list[tuple[int, str]] = []
        self.marks: dict[str, pa.Table] = {}  # by part, read once a run
        self.staged: dict[str, list[pa.Table]] = {}  # the rows of joined sources, read once a run
        self.origins: dict[int, str] = {}  # of joined sources: file number, path of its source
        self._known: dict[str, Known] = {}
        self.believed = not rebuilding and self._is_of_these_records()
        if not self.believed and not rebuilding and not dry_run:
            forget(config.ingested)
            self.believed = True
        self._sample: pa.Table | None = None
        cleaning_rules = config.cleaning
        self.imputation = {
            name: repairs.Imputation(**vars(rule)) for name, rule in cleaning_rules.impute.items()
        }
        self.outliers = {
            name: repairs.Outliers(**vars(rule)) for name, rule in cleaning_rules.outliers.items()
        }
        self.repairing = bool(repairs.needed(self.imputation, self.outliers))
        self.join = cleaning_rules.join
        self.may_put_back = bool(cleaning_rules.key) and cleaning_rules.same_key != "reject"
        self.columns, self.labels_known = _with_labels(config)
        self.spelt = {
            there.path: here for here, there in zip(config.paths.source, config.sources, strict=True)
        }

    # ---------------------------------------------------------------------------------------------- one file
    def taken(self, found: Found, content: bytes) -> Taken | None:
        """Give what becomes of a file; None if the same content under the same name is on record already."""
        sha256 = hashlib.sha256(content).hexdigest()
        source = self.spelt[found.source.path]
        named = {"location": found.location, "name": found.name, "sha256": sha256}
        on_record = self._same_content(sha256)
        same = [file for file in on_record if self._counts(file, found, source)]
        told = bool(same) and self._told_last(found, same)
        if same and not self.rebuilding and (told or same[0].status == "set aside"):
            return None
        sent = self.may_put_back and self._is_sent_anew(found, sha256, on_record)
        if same:
            taken = self._repeated(content, named, source, same[0], sent)
        else:
            try:
                taken = self._read(content, named, source, sent)
            except DataError as problem:
                file = self._record(named, "set aside", reason=str(problem), contract=self.config.reading)
                reason_line = [BadRow(0, "", "", str(problem))]
                taken = Taken(file, flaws=reason_line, rejected=content)
        self.contents.setdefault(sha256, []).append(taken.file)
        self.newest[found.location, found.name] = sha256
        if taken.file.output:
            self.new_parts.append((self.next, taken.file.output))
            self.origins[self.next] = source.path
            if self.dry_run and self.may_put_back and taken.rows is not None:
                self.marks[taken.file.output] = dataset.marks_of(taken.rows)
        self.next += 1
        return taken

    def _told_last(self, found: Found, same: list[Any]) -> bool:
        """Say whether one of these records is of this file; where rows may be put back, the newest of its name."""
        if self.may_put_back:
            return self._newest_named(found) == same[0].sha256
        return any((file.location, file.name) == (found.location, found.name) for file in same)

    def _is_sent_anew(self, found: Found, sha256: str, on_record: list[Any]) -> bool:
        """Say whether somebody sent this content, now: it's new, has a name of its own, or is back under its old name.

        A file that was moved, or is to be read otherwise, isn't.
        """
        before = [file for file in on_record if file.status != "set aside"]
        newest = self._newest_named(found) if before else None
        if newest not in (None, sha256):
            return True
        return all(_last(file.name) != _last(found.name) for file in before)

    def _newest_named(self, found: Found) -> str | None:
        """Give the SHA-256 of what came last under the name of this file."""
        if (found.location, found.name) in self.newest or not self.history:
            return self.newest.get((found.location, found.name))
        recorded = self.book.newest_named(found.location, found.name)
        return None if recorded is None else recorded.sha256

    def _repeated(
        self, content: bytes, named: dict[str, str], source: Source, before: Any, sent: bool
    ) -> Taken:
        """Give what becomes of a content that is on record: nothing, unless rows of it are to hold again."""
        if before.status == "set aside":
            return Taken(replace(before, **named))
        if sent:
            try:
                taken = self._read(content, named, source, sent, again=True)
            except DataError as problem:  # of what the config, or the live model, allowed then
                log.info("%s: not read once more: %s", named["name"], problem)
            else:
                if taken.file.output:
                    return replace(taken, repeats=None)
        duplicates, reason = before.rows + before.duplicates, f"the same content as {before.name}"
        return Taken(
            self._record(named, "repeated", reason=reason, duplicates=duplicates, facts=before.facts)
        )

    def taken_again(self, old: Any, found: Found, content: bytes) -> Taken | None:
        """Give what becomes of a recorded file now, under the name and number it has on record."""
        self.next = old.id
        return self.taken(replace(found, location=old.location, name=old.name), content)

    def kept_as(self, file: FileRecord) -> None:
        """Take note that the rows of the file taken last stand in a part of another name."""
        if file.output and not self.dry_run:  # which writes none
            self.new_parts[-1] = (self.new_parts[-1][0], file.output)

    def _same_content(self, sha256: str) -> list[Any]:
        recorded = list(self.book.same_content(sha256)) if self.history else []
        return [*recorded, *self.contents.get(sha256, [])]

    def _counts(self, file: Any, found: Found, source: Source) -> bool:
        """Say whether a record of the same content settles what becomes of it now."""
        if file.status == "set aside":
            # Under another ending it's read by another reader, elsewhere perhaps in another encoding.
            there = (file.location, readers.endings(file.name)) == (
                found.location,
                readers.endings(found.name),
            )
            return there and file.contract == self.config.reading
        # A joined source that brings the same bytes as another brings other columns of them.
        facts = json.loads(file.facts or "{}")
        alike = facts.get("read", "") == self._read_as(found.name, source)
        return alike and (not self.join or facts.get("source") == source.path)

    def _read_as(self, name: str, source: Source) -> str:
        """Give what, beside the content, decides what is read of a file; empty for a CSV of which nothing is said."""
        ending, said = (
            readers.endings(name)[0],
            {key: value for key, value in source.reading.items() if value},
        )
        return f"{ending} {json.dumps(said, sort_keys=True)}" if said or ending != ".csv" else ""

    def _record(self, named: dict[str, str], status: str, **facts: Any) -> FileRecord:
        return FileRecord(**{**named, "status": status, "contract": self.config.contract, **facts})

    def _read(
        self, content: bytes, named: dict[str, str], source: Source, sent: bool, again: bool = False
    ) -> Taken:
        """Read, check and clean a file, perhaps `again`. Raise DataError if it has to be set aside whole."""
        columns = self.columns
        only = {*self.join.keys, *source.columns} if self.join else None
        salt = source.path if self.join else ""
        spelling = readers.Spelling(source.separator, source.encoding, source.sheet, self.config.most_bytes)
        notation = cleaning.Notation(source.decimal, tuple(self.config.cleaning.date_formats))
        raw = readers.read(named["name"], content, cleaning.spellings(columns, only), spelling)
        cleaned = cleaning.clean(
            raw.cells,
            columns,
            self.config.task,
            only=only,
            notation=notation,
            salt=salt,
            has=raw.names,
            required=self.config.keys,
        )
        places = np.array(raw.lines() if cleaned.flaws or self._rejects_keys() else [], np.int64)
        flaws = [
            BadRow(int(places[flaw.position]), flaw.column, flaw.value, self._told(flaw))
            for flaw in cleaned.flaws
        ]
        flaws = sorted([*raw.ragged, *flaws], key=lambda bad: bad.line)
        total = raw.cells.num_rows + len(raw.ragged)
        if total and len(flaws) / total > self.config.cleaning.max_rejected:
            limit = f"cleaning.max_rejected = {self.config.cleaning.max_rejected:g}"
            raise DataError(f"{len(flaws)} of {total} rows are bad, more than {limit}; the first: {flaws[0]}")
        rows_known = self.known(ROWS)
        if not rows_known.fresh.count:  # the first file of many tells how much room all will need
            rows_known.fresh.make_room(min(known.AT_ONCE, len(cleaned.rows) * self.waiting))
        new = rows_known.take_in(cleaned.hashes)
        back = self._replaced(cleaned.rows, ~new) if sent and not new.all() else np.zeros(len(new), bool)
        new |= back
        rows, repeats = cleaned.rows, cleaned.hashes[:, ~new]
        if not new.all():
            rows = rows.filter(pa.array(new))
        counts = {
            "duplicates": len(new) - len(rows),
            "formatting_changes": cleaned.formatting_changes,
            "facts": {
                **({"source": source.path} if self.join else {}),
                **({"read": read_as} if (read_as := self._read_as(named["name"], source)) else {}),
                **({BACK: int(back.sum())} if back.any() else {}),
            },
        }
        if self.repairing:
            rows = self._repaired(rows, counts)
        if self.config.cleaning.key:
            rows, lost = self._keyed(rows, counts)
            flaws += self._told_twice(rows, lost, places, cleaned.positions[new])
        return self._brought(raw, rows, repeats, flaws, named, counts, source, again)

    def _told(self, flaw: cleaning.Flaw) -> str:
        """Give the reason, and which id the row is about where the cell doesn't say it."""
        name, identity = self.columns.id, flaw.identity.strip()
        reason = flaw.reason
        if self.labels_known and flaw.column == self.columns.target.name:
            reason += (
                ", as the live model knows them; for others say in target.positive which one is the risk"
            )
        return reason if flaw.column == name or not identity else f"{reason} ({name} {identity[:LONGEST_ID]})"

    def _brought(
        self,
        raw: readers.RawTable,
        rows: pa.Table,
        repeats: np.ndarray,
        flaws: list[BadRow],
        named: dict[str, str],
        counts: dict[str, Any],
        source: Source,
        again: bool,
    ) -> Taken:
        """Give what a file brings, with its record."""
        salt = source.path if self.join else ""
        salt += self._read_as(named["name"], source) + (f" {self.next}" if again else "")
        output = dataset.part_name(named["sha256"], self.config.reading, salt) if len(rows) else ""
        counts.setdefault("rows", len(_not_dropped(rows)))
        staged = rows if self.join and output else None
        if staged is not None and not self.dry_run:
            rows = self._joined(staged, source)
        if "labelled" not in counts:
            counts["labelled"] = self._newly_labelled(_not_dropped(rows)) if len(rows) else 0
        counts |= {
            "rejected_rows": len(flaws),
            "output": output,
            "facts": json.dumps(counts["facts"]) if counts["facts"] else None,
        }
        rejected = raw.excerpt({flaw.line for flaw in flaws}) if flaws else b""
        file = self._record(named, "ingested", **counts)
        return Taken(file, rows if output else None, staged, repeats, flaws, rejected, raw.excerpt_ending)

    # ---------------------------------------------------------------------------------------------- keys
    def _rejects_keys(self) -> bool:
        return bool(self.config.cleaning.key) and self.config.cleaning.same_key == "reject"

    def _keyed(self, rows: pa.Table, counts: dict[str, Any]) -> tuple[pa.Table, np.ndarray]:
        """Give the rows with their key and rank, and the mask of those whose key was known, before or in this file."""
        columns = self.config.columns
        keys = rowhash.row_hashes(rows.select(self.config.cleaning.key), "key")
        dropped = _bools(rows[DROPPED]) if DROPPED in rows.column_names else np.zeros(len(rows), bool)
        known_before = np.zeros(len(rows), bool)
        known_before[~dropped] = ~self.known(KEYS).take_in(keys[:, ~dropped])
        labelled = rows[columns.target.name].is_valid()
        rows = rows.append_column(KEY, rowhash.column_of(keys))
        rows = rows.append_column(RANK, self._ranks(rows))
        if self._rejects_keys():
            rows = _with(rows, DROPPED, pa.array(dropped | known_before))
            why = {"dropped": ", ".join(self.config.cleaning.key), "how": TAKEN_KEY}
            told = pc.if_else(pa.array(known_before), json.dumps(why), pa.scalar(None, pa.string()))
            rows = _with(rows, DONE, pc.coalesce(told, rows[DONE]) if DONE in rows.column_names else told)
        else:
            counts["duplicates"] += int(known_before.sum())
        first = ~known_before & ~dropped
        counts["rows"] = int(first.sum())
        counts["labelled"] = self._newly_labelled(_not_dropped(rows))
        if late := counts["labelled"] - int((first & _bools(labelled)).sum()):
            counts["facts"][LATE_LABELS] = late
        others = int(known_before.sum()) - late - counts["facts"].get(BACK, 0)
        if others > 0 and not self._rejects_keys():
            counts["facts"][VERSIONS] = others
        return rows, known_before

    def _ranks(self, rows: pa.Table) -> pa.Array:
        """Give the rank of each row among those of its key: by time, then whether its outcome is known."""
        columns = self.config.columns
        labelled = rows[columns.target.name].is_valid().cast(pa.int64())
        if not columns.time:
            return labelled
        return pc.add(pc.multiply(rows[columns.time].cast(pa.int64()), 2), labelled)

    def _replaced(self, rows: pa.Table, known: np.ndarray) -> np.ndarray:
        """Give the mask of the known rows whose place another took. They came again, so they are the later ones."""
        keys = rowhash.column_of(rowhash.row_hashes(rows.select(self.config.cleaning.key), "key"))
        own = pa.table({KEY: keys, RANK: self._ranks(rows), ROW: rows[ROW], PLACE: np.arange(len(rows))})
        parts = [part for _, part in (*self.parts, *self.new_parts)]
        for part in parts:
            if part not in self.marks:
                self.marks[part] = dataset.marks(self.config.ingested, part)
        mask = np.zeros(len(rows), bool)
        mask[dataset.places_taken([self.marks[part] for part in parts], own, pa.array(known))] = True
        return mask & known

    def _told_twice(
        self, rows: pa.Table, known_before: np.ndarray, places: np.ndarray, positions: np.ndarray
    ) -> Iterator[BadRow]:
        """Give the rows that say something else of a key than another before, where that is to be refused."""
        if not self._rejects_keys():
            return
        name = ", ".join(self.config.cleaning.key)
        for place in np.flatnonzero(known_before):
            value = ", ".join(str(rows[column][int(place)].as_py()) for column in self.config.cleaning.key)
            yield BadRow(int(places[positions[place]]), name, value, TAKEN_KEY)

    # ---------------------------------------------------------------------------------------------- repairs
    def _repaired(self, rows: pa.Table, counts: dict[str, Any]) -> pa.Table:
        """Give the rows with missing cells filled in and outliers dealt with, by the statistics of all rows so far."""
        needed = repairs.needed(self.imputation, self.outliers)
        present = [name for name in needed if name in rows.column_names]
        if not present:
            return rows
        imputation = {  # a joined source may lack the column of the groups
            name: rule if rule.by in rows.column_names else replace(rule, by=None)
            for name, rule in self.imputation.items()
            if name in rows.column_names
        }
        outliers = {name: rule for name, rule in self.outliers.items() if name in rows.column_names}
        self._sample = self._sampled_with(self.sample(), rows, needed)
        assert self._sample is not None
        statistics = repairs.statistics(self._sample, imputation, outliers)
        counts["facts"]["statistics"] = statistics
        done = repairs.repaired(rows, statistics, imputation, outliers)
        counts["imputed"], counts["outliers"] = done.imputed, done.outliers
        rows = done.rows
        if pc.any(done.dropped).as_py():
            rows = rows.append_column(DROPPED, pa.chunked_array([done.dropped]))
        return rows

    def _sampled_with(self, sample: pa.Table | None, rows: pa.Table, needed: list[str]) -> pa.Table | None:
        # A joined source has not all columns.
        lacking = [name for name in needed if name not in rows.column_names]
        if len(lacking) == len(needed):
            return sample
        kinds = cleaning.kinds(self.config.columns, self.config.task)
        for name in lacking:
            kind = pa.float64() if kinds[name].type == "number" else pa.string()
            rows = rows.append_column(name, pa.nulls(len(rows), kind))
        return repairs.sampled(sample, rows, needed)

    def sample(self) -> pa.Table | None:
        """Give the sample of all uncleaned rows on record and taken in so far; None if there are none."""
        if self._sample is None:
            upto, self._sample = self._stored_sample()
            for number, part in self.parts:
                if number > upto:
                    self._sample = self._sampled_with(
                        self._sample, self._uncleaned(part), repairs.needed(self.imputation, self.outliers)
                    )
        return self._sample

    def _stored_sample(self) -> tuple[int, pa.Table | None]:
        try:
            stored = pq.read_table(self.config.ingested / SAMPLE)
            upto = int(stored.schema.metadata[UPTO])
        except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
            return 0, None
        needed = [ROW, *repairs.needed(self.imputation, self.outliers)]
        fits = stored.column_names == needed and self.believed
        return (upto, stored) if fits else (0, None)

    def _uncleaned(self, part: str) -> pa.Table:
        rows = dataset.read_part(self.config.ingested, dataset.staged_name(part) if self.join else part)
        return repairs.uncleaned(rows) if DONE in rows.column_names else rows

    # ---------------------------------------------------------------------------------------------- joins
    def _joined(self, staged: pa.Table, source: Source) -> pa.Table:
        """Give the joined rows that these new rows of a source change: they replace those of the same keys."""
        assert self.join is not None
        columns = self.config.columns
        ids = pc.unique(staged[columns.id])
        tables = {one.path: self._staged_of(one, ids) for one in self.config.paths.source}
        own = dataset.numbered(_useful(staged), self.next)
        tables[source.path] = pa.concat_tables([tables[source.path], own])
        self.staged[source.path].append(own)
        parts = [
            merging.Part(one.path, tuple(one.columns), one.aggregate, one.forward_fill)
            for one in self.config.paths.source
        ]
        rows = merging.joined(tables, parts, self.join.keys, columns.time, self.join.frequency, columns.all)
        states = rowhash.row_hashes(rows)
        rows_only = rows.select(columns.all)
        new = self.known(STATES).take_in(states)
        rows = rows.append_column(ROW, rowhash.column_of(rowhash.row_hashes(rows_only)))
        rows = rows.append_column(
            KEY, rowhash.column_of(rowhash.row_hashes(rows.select(self.join.keys), "key"))
        )
        labelled = rows[columns.target.name].is_valid().cast(pa.int64())
        rows = rows.append_column(RANK, labelled)
        return rows.filter(pa.array(new))

    def _staged_of(self, source: Source, ids: pa.Array) -> pa.Table:
        """Give all rows of a joined source that are about one of these ids."""
        assert self.join is not None
        if source.path not in self.staged:
            wanted = [name for name in self.config.columns.all if name in {*self.join.keys, *source.columns}]
            nothing = cleaning.empty(self.config.columns, self.config.task).select([*wanted, ROW])
            tables = [dataset.numbered(nothing, 0)]
            for number, part in self.parts:
                if self._source_of(number) == source.path:
                    staged = dataset.read_part(self.config.ingested, dataset.staged_name(part))
                    tables.append(dataset.numbered(_useful(staged), number))
            self.staged[source.path] = tables
        if len(self.staged[source.path]) > MANY:
            self.staged[source.path] = [pa.concat_tables(self.staged[source.path]).combine_chunks()]
        rows = pa.concat_tables(self.staged[source.path])
        return rows.filter(pc.is_in(rows[self.config.columns.id], ids))

    def _source_of(self, number: int) -> str:
        if number not in self.origins:
            for file in self.book.files("ingested"):
                self.origins.setdefault(file.id, json.loads(file.facts or "{}").get("source", ""))
        return self.origins[number]

    # ---------------------------------------------------------------------------------------------- what is known
    def known(self, what: str) -> Known:
        """Give what is known of rows, keys or states, opened when it is first asked for."""
        if what not in self._known:
            folder = self.config.ingested / what
            self._known[what] = Known(
                folder if self.believed else None, self.parts, lambda part: self._hashes(what, part)
            )
        return self._known[what]

    def _hashes(self, what: str, part: str) -> np.ndarray:
        """Give the hashes in a part that belong to a kind of known."""
        if what == STATES:
            rows = dataset.read_part(self.config.ingested, part)
            return rowhash.row_hashes(rows.select([*self.config.columns.all, FILES]))
        if what == LABELLED:
            return self._labelled_keys(_not_dropped(dataset.read_part(self.config.ingested, part)))
        if what == KEYS:
            return rowhash.hashes_of(_not_dropped(dataset.read_part(self.config.ingested, part))[KEY])
        name, column = dataset.staged_name(part) if self.join else part, ROW
        return rowhash.hashes_of(dataset.read_part(self.config.ingested, name, [column])[column])

    def fresh_rows(self) -> int:
        """Give how many rows were taken in that no run on disk holds yet."""
        return self._known[ROWS].fresh.count if ROWS in self._known else 0

    def settle(self) -> None:
        """Write down what is known now that all files taken so far are on record, also what a run cut off didn't."""
        self.parts += self.new_parts
        self.new_parts = []
        newest = self.parts[-1][0] if self.parts else 0
        self._note_records(newest)
        for what in self._needed():
            if what in self._known or known.upto(self.config.ingested / what) < newest:
                self.known(what).write(self.next - 1, self.first)
            known.tidy(self.config.ingested / what)
        if self.repairing and (self._sample is not None or self._stored_sample()[0] < newest):
            sample = self.sample()
            if sample is not None:
                self._write_sample(sample)
        self.first = self.next

    def _is_of_these_records(self) -> bool:
        """Say whether what is known is of the parts on record. The database may be an older copy, or another one."""
        path = self.config.ingested / OF_RECORDS
        try:
            newest, digest = path.read_text(encoding="utf-8").split()
            return digest == dataset.digest(self.parts, int(newest))
        except (OSError, ValueError):
            return not self.parts

    def _note_records(self, newest: int) -> None:
        """Note the parts that what is known is of, before that is written: no run is of parts that aren't noted."""
        text, path = f"{newest} {dataset.digest(self.parts, newest)}", self.config.ingested / OF_RECORDS
        if newest and not (path.exists() and path.read_text(encoding="utf-8") == text):
            files.write_text(path, text)

    def _needed(self) -> list[str]:
        keyed, joined = bool(self.config.cleaning.key), self.join is not None
        return [ROWS] + [KEYS] * keyed + [STATES] * joined + [LABELLED] * self.config.replaces

    def _newly_labelled(self, rows: pa.Table) -> int:
        """Give how many rows have an outcome; where rows replace others, how many keys that had none."""
        target = rows[self.config.columns.target.name]
        if not self.config.replaces:
            return len(target) - target.null_count
        return int(self.known(LABELLED).take_in(self._labelled_keys(rows)).sum())

    def _labelled_keys(self, rows: pa.Table) -> np.ndarray:
        return rowhash.hashes_of(rows[KEY].filter(rows[self.config.columns.target.name].is_valid()))

    def _write_sample(self, sample: pa.Table) -> None:
        upto = {UPTO: str(self.next - 1).encode()}
        with files.replacing(self.config.ingested / SAMPLE) as draft:
            pq.write_table(sample.replace_schema_metadata(upto), draft, compression="zstd")


def _last(name: str) -> str:
    """Give the name of a file without the folders it lies in."""
    return name.rpartition("/")[2]


def _useful(staged: pa.Table) -> pa.Table:
    """Give the rows of a joined source that are not dropped, without marks."""
    return dataset.holding([staged])


def _with(rows: pa.Table, name: str, column: pa.Array) -> pa.Table:
    """Give the rows with this column, in the place of the one that may be there."""
    rows = rows.drop_columns([name]) if name in rows.column_names else rows
    return rows.append_column(name, column)


def _bools(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().to_numpy(zero_copy_only=False).astype(bool)


def _not_dropped(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.invert(rows[DROPPED])) if DROPPED in rows.column_names else rows


def forget(ingested: Path) -> None:
    """Delete what is known beside the records and parts: before a rebuild changes what they say."""
    for what in (ROWS, KEYS, STATES, LABELLED):
        known.forget(ingested / what)
    for name in (SAMPLE, OF_RECORDS):
        files.remove(ingested / name)
