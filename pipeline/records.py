"""The history, in a database: runs, files, inputs, scores, verdicts, decisions, releases, timings. Only added to.

SQLite by default, PostgreSQL by URL, both through SQLAlchemy. The schema is versioned by Alembic
(`pipeline/migrations`). This is also the one module that knows how `ingestedfiles.txt` and `latestscore.txt` are
spelt, because they say in a text what the records say in tables.
"""

import csv
import io
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pipeline.config import SQLITE, file_of
from pipeline.drift import Verdict
from pipeline.errors import ConfigError, FileError
from pipeline.files import printable
from pipeline.metrics import Score
from pipeline.spreadsheets import harmless

SCHEMA_VERSION = "0004"  # the newest revision in pipeline/migrations/versions

REPAIR = "`python diagnostics.py --repair`"  # of damaged records: see `journal`
PACKAGES = "requirements-postgresql.txt"
EXAMPLE = "postgresql://user@host:5432/name"
TALK = {  # to a server
    "client_encoding": "utf8",  # whatever its database is kept in: it then refuses what doesn't fit
    "connect_timeout": 30,  # seconds; else one that has gone without a word would hold the run and its lock for hours
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 6,
    "tcp_user_timeout": 120_000,  # milliseconds
}
SECRET = ("password", "sslpassword")  # in a URL's query


class _String(sa.TypeDecorator):
    """Words, whatever they are of: what a database can't keep (a zero byte, a name that is no UTF-8) as escapes."""

    impl: Any = sa.String
    cache_ok = True

    def process_bind_param(self, value: Any, _: Any) -> Any:
        return None if value is None else printable(value).replace("\0", "\\x00")


class _Text(_String):
    """The same where it may be long."""

    impl = sa.Text
    cache_ok = True


class _Float(sa.TypeDecorator):
    """A measure; one that is undefined (NaN) is none, which SQLite makes of it by itself and others don't."""

    impl = sa.Float
    cache_ok = True

    def process_bind_param(self, value: Any, _: Any) -> Any:
        return None if value is None or value != value else float(value)


def _key(table: str, name: str = "id") -> sa.Column:
    """Give a primary key that goes on from the newest: no counter that a crash or a dump put back would set off."""
    newest = sa.select(sa.func.max(sa.column(name))).select_from(sa.table(table)).scalar_subquery()
    return sa.Column(name, _number, primary_key=True, default=sa.func.coalesce(newest, 0) + 1)


schema = sa.MetaData()
_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

runs = sa.Table(
    "runs",
    schema,
    _key("runs"),
    sa.Column("started", _String, nullable=False),
    sa.Column("finished", _String),  # empty: under way, or cut off
    sa.Column("outcome", _String),
    sa.Column("facts", _Text),  # what `fullprocess.py --json` printed
)
files = sa.Table(
    "files",
    schema,
    _key("files"),
    sa.Column("run", _number, nullable=False),
    sa.Column("location", _String, nullable=False),
    sa.Column("name", _String, nullable=False),
    sa.Column("sha256", _String, nullable=False, index=True),
    sa.Column("status", _String, nullable=False),  # ingested | repeated | set aside
    sa.Column("reason", _Text),
    sa.Column("contract", _String, nullable=False),
    sa.Column("rows", _number, nullable=False),
    sa.Column("labelled", _number, nullable=False),
    sa.Column("duplicates", _number, nullable=False),
    sa.Column("formatting_changes", _number, nullable=False),
    sa.Column("imputed", _number, nullable=False),
    sa.Column("outliers", _number, nullable=False),
    sa.Column("rejected_rows", _number, nullable=False),
    sa.Column("output", _String, nullable=False),
    sa.Column("at", _String, nullable=False),
    sa.Column("facts", _Text),  # JSON: the statistics with which cells were filled in and outliers found
)
inputs = sa.Table(  # what was found of a file's rows beside what a release learnt from
    "inputs",
    schema,
    _key("inputs"),
    sa.Column("run", _number, nullable=False),
    sa.Column("file", _number, nullable=False),
    sa.Column("release", _String, nullable=False),
    sa.Column("rows", _number, nullable=False),
    sa.Column("labelled", _number, nullable=False),
    sa.Column("verdicts", _Text, nullable=False),  # JSON
    sa.Column("state", _Text, nullable=False),  # JSON: the evidence for drift after this file
    sa.Column(
        "estimate", _Text
    ),  # JSON: what the release scores on these rows, if its probabilities are right
    sa.Column("kind", _String),  # of trouble; empty until it's known whether the loss rose
    sa.Column("sentence", _Text),
    sa.Column("bad", sa.Boolean, nullable=False),
    sa.Column("at", _String, nullable=False),
    sa.UniqueConstraint("file", "release"),
)
scores = sa.Table(
    "scores",
    schema,
    _key("scores"),
    sa.Column("run", _number, nullable=False),
    sa.Column("release", _String, nullable=False),
    sa.Column(
        "batch", _String, nullable=False
    ),  # numbers of its files, `7-9`; or `proof-3`, before deployment
    sa.Column("first_file", _number, nullable=False),  # 0: rows of the proof
    sa.Column("last_file", _number, nullable=False),
    sa.Column("metric", _String, nullable=False),
    sa.Column("value", _Float),
    sa.Column("low", _Float),
    sa.Column("high", _Float),
    sa.Column("rows", _number, nullable=False),
    sa.Column("at", _String, nullable=False),
    sa.Column("state", _Text),  # JSON: the alarm on the release's loss after this batch
    sa.UniqueConstraint("release", "batch", "metric"),
)
verdicts = sa.Table(
    "verdicts",
    schema,
    _key("verdicts"),
    sa.Column("run", _number, nullable=False),
    sa.Column("release", _String, nullable=False),
    sa.Column("batch", _String, nullable=False),
    sa.Column("test", _String, nullable=False),
    sa.Column("feature", _String),
    sa.Column("statistic", _Float),
    sa.Column("threshold", _Float),
    sa.Column("drifted", sa.Boolean, nullable=False),
    sa.Column("why", _Text, nullable=False),
    sa.Column("at", _String, nullable=False),
)
decisions = sa.Table(
    "decisions",
    schema,
    _key("decisions"),
    sa.Column("run", _number, nullable=False),
    sa.Column("kind", _String, nullable=False),  # retrain | deploy | rollback | accept
    sa.Column("yes", sa.Boolean, nullable=False),
    sa.Column("reasons", _Text, nullable=False),
    sa.Column("facts", _Text, nullable=False),
    sa.Column("at", _String, nullable=False),
)
releases = sa.Table(
    "releases",
    schema,
    _key("releases", "number"),
    sa.Column("id", _String, nullable=False, unique=True),
    sa.Column("run", _number, nullable=False),
    sa.Column("model", _String, nullable=False),
    sa.Column("window", _String, nullable=False),
    sa.Column("metric", _String, nullable=False),
    sa.Column("score", _Float),
    sa.Column("replaced", _String),
    sa.Column("learnt_upto", _number, nullable=False),
    sa.Column("reasons", _Text, nullable=False),
    sa.Column("at", _String, nullable=False),
)
timings = sa.Table(
    "timings",
    schema,
    _key("timings"),
    sa.Column("run", _number, nullable=False),
    sa.Column("step", _String, nullable=False),
    sa.Column("seconds", _Float, nullable=False),
    sa.Column("at", _String, nullable=False),
)

INGESTED_HEADER = [
    "source_location", "filename", "num_entries", "timestamp", "duplicates", "formatting_changes", "imputed",
    "outliers", "rejected_rows", "sha256", "output",
]  # fmt: skip


def now() -> str:
    """Give the time as ISO 8601 UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def score_text(score: float | None) -> str:
    """Give the content of `latestscore.txt`: one number, `nan` if it's undefined."""
    return "nan\n" if score is None else f"{score:.6g}\n"


@dataclass(frozen=True)
class FileRecord:
    """What became of one source file."""

    location: str
    name: str
    sha256: str
    status: str
    contract: str
    reason: str | None = None
    rows: int = 0
    labelled: int = 0
    duplicates: int = 0
    formatting_changes: int = 0
    imputed: int = 0
    outliers: int = 0
    rejected_rows: int = 0
    output: str = ""
    facts: str | None = None


# Among a file's facts: how many of its duplicates brought the outcome of a known row, hold again although others had
# taken their place, or are another version of a known row.
OF_KNOWN = LATE_LABELS, BACK, VERSIONS = "late_labels", "back", "versions"


def of_known(file: Any) -> dict[str, int]:
    """Give by kind (`OF_KNOWN`) how many rows of a file are no mere duplicates, though their key was known."""
    facts = json.loads(file.facts or "{}") if file.status == "ingested" else {}
    return {kind: facts.get(kind, 0) for kind in OF_KNOWN}


class Records:
    """An open database of records. One writer (the lock's holder), any number of readers."""

    def __init__(self, engine: sa.Engine, run: int = 0):
        self.engine = engine
        self.run = run  # the number under which new rows are filed; 0 for a step run by hand
        self.changed: set[tuple[str, int]] = set()  # rows, by table and key, that aren't what they were

    def _add(self, table: sa.Table, **values: Any) -> int:
        with self.engine.begin() as connection:
            key = connection.execute(table.insert().values(**values)).inserted_primary_key
            return key[0] if key else 0

    def _all(self, query: sa.Select) -> Sequence[sa.Row]:
        with self.engine.connect() as connection:
            return connection.execute(query).all()

    # ------------------------------------------------------------------------------------------------ runs
    def start_run(self) -> int:
        """Open a run and give its number."""
        self.run = self._add(runs, started=now())
        return self.run

    def finish_run(self, outcome: str, facts: dict[str, Any]) -> None:
        """Close the run. Written last: until then the run counts as cut off."""
        with self.engine.begin() as connection:
            done = runs.update().where(runs.c.id == self.run)
            connection.execute(done.values(finished=now(), outcome=outcome, facts=json.dumps(facts)))
        self.changed.add((runs.name, self.run))

    def runs(self, finished: bool = True) -> Sequence[sa.Row]:
        """Give the runs, oldest first; those that were cut off only if asked for."""
        query = sa.select(runs).order_by(runs.c.id)
        return self._all(query.where(runs.c.finished.is_not(None)) if finished else query)

    # ------------------------------------------------------------------------------------------------ files
    def add_files(self, found: Iterable[FileRecord]) -> None:
        """Record files, all at once, numbered from `next_file` on in this order. From here on their rows count."""
        first = self.next_file()
        rows = [
            {"id": number, "run": self.run, "at": now(), **vars(file)}
            for number, file in enumerate(found, first)
        ]
        if rows:
            with self.engine.begin() as connection:
                connection.execute(files.insert(), rows)

    def files(self, *statuses: str) -> Sequence[sa.Row]:
        """Give the files with one of these statuses, oldest first."""
        return self._all(sa.select(files).where(files.c.status.in_(statuses)).order_by(files.c.id))

    def late_labels(self, number: int) -> int:
        """Give how many rows of a file brought the outcome of a row that had come without."""
        found = self._all(sa.select(files).where(files.c.id == number))
        return of_known(found[0])[LATE_LABELS] if found else 0

    def names(self) -> dict[int, str]:
        """Give the name of each file that brought rows, by number."""
        named = sa.select(files.c.id, files.c.name).where(files.c.status == "ingested")
        return {row.id: row.name for row in self._all(named)}

    def next_file(self) -> int:
        """Give the number that the next file will have."""
        return (self._column(sa.select(sa.func.max(files.c.id)))[0] or 0) + 1

    def same_content(self, sha256: str) -> Sequence[sa.Row]:
        """Give the files with this content, oldest first."""
        return self._all(sa.select(files).where(files.c.sha256 == sha256).order_by(files.c.id))

    def newest_named(self, location: str, name: str) -> sa.Row | None:
        """Give the newest record of a file of this name."""
        named = sa.select(files).where(files.c.location == location, files.c.name == name)
        found = self._all(named.order_by(files.c.id.desc()).limit(1))
        return found[0] if found else None

    def other_contract(self, contract: str) -> bool:
        """Say whether rows were ingested under another contract than this."""
        other = sa.select(files.c.id).where(files.c.status == "ingested", files.c.contract != contract)
        return bool(self._column(other.limit(1)))

    def rows(self) -> int:
        """Give how many distinct rows the files brought."""
        return int(self._column(sa.select(sa.func.sum(files.c.rows)))[0] or 0)

    def has_files(self) -> bool:
        """Say whether any file is on record."""
        return bool(self._column(sa.select(files.c.id).limit(1)))

    def _column(self, query: sa.Select) -> list[Any]:
        return [row[0] for row in self._all(query)]

    def parts(self, above: int = 0, upto: int | None = None) -> list[tuple[int, str]]:
        """Give number and part of the files that brought rows, `above` exclusive and `upto` inclusive."""
        query = sa.select(files.c.id, files.c.output).where(files.c.output != "", files.c.id > above)
        query = query if upto is None else query.where(files.c.id <= upto)
        return [(number, part) for number, part in self._all(query.order_by(files.c.id))]

    def last_part(self) -> int:
        """Give the number of the newest file that brought rows, 0 if there is none."""
        return self._column(sa.select(sa.func.max(files.c.id)).where(files.c.output != ""))[0] or 0

    def last_file(self) -> int:
        """Give the number of the newest ingested file, 0 if there is none."""
        return self._column(sa.select(sa.func.max(files.c.id)).where(files.c.status == "ingested"))[0] or 0

    def labelled_rows(
        self, since: int = 0, upto: int | None = None, without: Collection[int] = frozenset()
    ) -> int:
        """Give how many labelled rows the files brought, from number `since` on and up to `upto`, both inclusive.

        The files `without` don't count.
        """
        query = sa.select(sa.func.sum(files.c.labelled)).where(files.c.id >= since)
        query = query.where(files.c.id.not_in(sorted(without))) if without else query
        return int(self._column(query if upto is None else query.where(files.c.id <= upto))[0] or 0)

    def labelled_files(self, above: int = 0, upto: int | None = None) -> int:
        """Give how many files brought labelled rows, `above` exclusive and `upto` inclusive."""
        query = sa.select(sa.func.count()).where(files.c.labelled > 0, files.c.id > above)
        return int(self._column(query if upto is None else query.where(files.c.id <= upto))[0])

    def replace_files(self, rebuilt: dict[int, FileRecord]) -> None:
        """Change the records of these files, by number, all at once: the last act of a rebuild."""
        with self.engine.begin() as connection:
            for number, file in rebuilt.items():
                connection.execute(files.update().where(files.c.id == number).values(**vars(file)))
        self.changed |= {(files.name, number) for number in rebuilt}

    def ingested_text(self, upto: int | None = None) -> str:
        """Give `ingestedfiles.txt`: every file that was ingested (or repeated another), oldest first, as CSV."""
        text = io.StringIO()
        out = csv.writer(text, lineterminator="\n")
        out.writerow(INGESTED_HEADER)
        columns = (
            "location", "name", "rows", "at", "duplicates", "formatting_changes", "imputed", "outliers",
            "rejected_rows", "sha256", "output",
        )  # fmt: skip
        query = sa.select(*(files.c[column] for column in columns)).where(files.c.status != "set aside")
        query = query if upto is None else query.where(files.c.id <= upto)
        for location, name, *others in self._all(query.order_by(files.c.id)):
            out.writerow([harmless(location), harmless(name), *others])
        return text.getvalue()

    # ------------------------------------------------------------------------------------------------ inputs
    def add_input(self, **facts: Any) -> None:
        """Record what was found of a file's rows beside a release, once: a repeated run changes nothing."""
        same = inputs.c.file == facts["file"], inputs.c.release == facts["release"]
        if not self._column(sa.select(inputs.c.id).where(*same)):
            self._add(inputs, run=self.run, at=now(), **facts)

    def tell_input(self, number: int, kind: str, sentence: str) -> None:
        """Record which kind of trouble the input of this number is, now that the loss is known."""
        with self.engine.begin() as connection:
            told = inputs.update().where(inputs.c.id == number)
            connection.execute(told.values(kind=kind, sentence=sentence))
        self.changed.add((inputs.name, number))

    def inputs(self, release: str | None = None, run: int | None = None, newest: int = 0) -> Sequence[sa.Row]:
        """Give what was found of files (beside this release, in this run, of so many newest), oldest first."""
        query = sa.select(inputs).order_by(inputs.c.id.desc())
        query = query if release is None else query.where(inputs.c.release == release)
        query = query if run is None else query.where(inputs.c.run == run)
        return list(reversed(self._all(query.limit(newest) if newest else query)))

    def untold_inputs(self) -> Sequence[sa.Row]:
        """Give what was found of files and not yet told, oldest first."""
        return self._all(sa.select(inputs).where(inputs.c.kind.is_(None)).order_by(inputs.c.id))

    def judged_inputs(self) -> list[tuple[int, int, str | None]]:
        """Give number, rows and, where it was bad, verdicts of each file as it was first judged, by number."""
        said = sa.case((inputs.c.bad, inputs.c.verdicts))
        query = sa.select(inputs.c.file, inputs.c.rows, said).order_by(inputs.c.file, inputs.c.id.desc())
        first = {file: (file, rows, verdicts) for file, rows, verdicts in self._all(query)}
        return list(first.values())

    # ------------------------------------------------------------------------------------------------ scores, verdicts
    def add_score(
        self,
        release: str,
        batch: str,
        span: tuple[int, int],
        metric: str,
        score: Score,
        found: Iterable[Verdict] = (),
        state: dict[str, Any] | None = None,
    ) -> None:
        """Record a release's score on a batch with the verdicts on it, once: a repeated run changes nothing.

        `span` is the batch's first and last file, (0, 0) for a part of the proof rows; `state` is that of the alarm on
        the loss after it.
        """
        filed = {"run": self.run, "release": release, "batch": batch, "at": now()}
        same = sa.and_(scores.c.release == release, scores.c.batch == batch, scores.c.metric == metric)
        with self.engine.begin() as connection:
            if connection.execute(sa.select(scores.c.id).where(same)).first() is None:
                row = {**filed, **vars(score), "first_file": span[0], "last_file": span[1], "metric": metric}
                row["state"] = None if state is None else json.dumps(state)
                connection.execute(scores.insert().values(**row))
                for verdict in found:
                    connection.execute(verdicts.insert().values(**filed, **vars(verdict)))

    def scores(self, metric: str, release: str | None = None) -> Sequence[sa.Row]:
        """Give the scores by this metric (of this release), oldest first."""
        query = (
            sa.select(scores)
            .where(scores.c.metric == metric, scores.c.value.is_not(None))
            .order_by(scores.c.id)
        )
        return self._all(query if release is None else query.where(scores.c.release == release))

    def latest_score(self, metric: str, release: str) -> float | None:
        """Give a release's newest score on rows that came after it was made; None if there is none yet."""
        own = [row.value for row in self.scores(metric, release) if row.last_file]
        return own[-1] if own else None

    def scored_upto(self, release: str | None = None) -> int:
        """Give the number of the newest file whose rows a release (this one) was scored on, 0 if there is none."""
        query = sa.select(sa.func.max(scores.c.last_file))
        query = query if release is None else query.where(scores.c.release == release)
        return self._column(query)[0] or 0

    def batch_ends(self) -> list[int]:
        """Give the last file of each batch that was scored, in order."""
        query = sa.select(scores.c.last_file).where(scores.c.last_file > 0).distinct()
        return self._column(query.order_by(scores.c.last_file))

    def loss_state(self, release: str) -> dict[str, Any] | None:
        """Give the state of the alarm on a release's loss after its newest batch; None before the first.

        What was known when a release was last withdrawn by hand is evidence of nothing any more.
        """
        since = scores.c.last_file > self.withdrawn_upto()
        query = sa.select(scores.c.state).where(
            scores.c.release == release, scores.c.state.is_not(None), since
        )
        newest = self._column(query.order_by(scores.c.last_file.desc(), scores.c.id.desc()).limit(1))
        return json.loads(newest[0]) if newest else None

    def first_file(self, batch: str) -> int | None:
        """Give the first file of a batch by its name; None if none of that name was scored."""
        found = self._column(sa.select(scores.c.first_file).where(scores.c.batch == batch).limit(1))
        return found[0] if found else None

    def verdicts(self, release: str | None = None, above: int = 0) -> Sequence[sa.Row]:
        """Give the verdicts (on this release), oldest first, with first and last file of their batch."""
        columns = scores.c.release, scores.c.batch, scores.c.first_file, scores.c.last_file
        span = sa.select(*columns).distinct().subquery()  # a batch may be scored by several metrics
        on = sa.and_(span.c.release == verdicts.c.release, span.c.batch == verdicts.c.batch)
        query = sa.select(verdicts, span.c.first_file, span.c.last_file).join(span, on)
        query = query.where(span.c.last_file > above)
        query = query.order_by(verdicts.c.id)
        return self._all(query if release is None else query.where(verdicts.c.release == release))

    # ------------------------------------------------------------------------------------------------ decisions
    def add_decision(self, kind: str, yes: bool, reasons: list[str], **facts: Any) -> None:
        """Record a decision, also one to do nothing, with its reasons."""
        told = {"reasons": json.dumps(reasons), "facts": json.dumps(facts)}
        self._add(decisions, run=self.run, kind=kind, yes=yes, at=now(), **told)

    def decisions(self, kind: str | None = None) -> Sequence[sa.Row]:
        """Give the decisions (of one kind), oldest first."""
        query = sa.select(decisions).order_by(decisions.c.id)
        return self._all(query if kind is None else query.where(decisions.c.kind == kind))

    def accepted(self) -> list[int]:
        """Give the files that came as bad data and were accepted by hand, in the order of that."""
        return [json.loads(row.facts)["file"] for row in self.decisions("accept")]

    def withdrawn_upto(self) -> int:
        """Give the newest file whose rows were known when a release was last withdrawn by hand; 0 if none was."""
        asked = sa.select(decisions.c.facts).where(decisions.c.kind == "rollback")
        newest = self._column(asked.order_by(decisions.c.id.desc()).limit(1))
        return json.loads(newest[0]).get("newest", 0) if newest else 0

    def last_live(self) -> str | None:
        """Give the release that was live last: the newest, or what was gone back to since; None if none was."""
        known = self.releases()
        if not known:
            return None
        asked = sa.select(decisions.c.facts).where(decisions.c.kind == "rollback")
        back = self._column(asked.order_by(decisions.c.id.desc()).limit(1))
        facts = json.loads(back[0]) if back else {}
        return facts["release"] if facts.get("after") == known[-1].id else known[-1].id

    def harmed_upto(self) -> int:
        """Give the newest file before the harm that last led to a training; 0 if none ever did."""
        asked = sa.select(decisions.c.facts).where(decisions.c.kind == "retrain", decisions.c.yes)
        return max((json.loads(facts).get("harmed") or 0 for facts in self._column(asked)), default=0)

    def decided_upto(self) -> int:
        """Give the newest file up to which it was decided whether to retrain; 0 if it never was."""
        asked = sa.select(decisions.c.facts).where(decisions.c.kind == "retrain")
        newest = self._column(asked.order_by(decisions.c.id.desc()).limit(1))
        return json.loads(newest[0]).get("newest", 0) if newest else 0

    # ------------------------------------------------------------------------------------------------ releases
    def add_release(self, **facts: Any) -> None:
        """Record a release, once."""
        if facts["id"] not in self._column(sa.select(releases.c.id)):
            self._add(releases, **{"run": self.run, **facts, "reasons": json.dumps(facts["reasons"])})

    def releases(self) -> Sequence[sa.Row]:
        """Give the releases, oldest first."""
        return self._all(sa.select(releases).order_by(releases.c.number))

    def damage(self) -> str:
        """Say what SQLite finds wrong with its own pages and indexes; empty if nothing, or with another database."""
        if self.engine.dialect.name != "sqlite":
            return ""
        with self.engine.connect() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
        return "" if found == "ok" else " ".join(str(found).split())

    def check_writable(self) -> None:
        """Find out whether records can be written now, by a transaction that changes nothing."""
        with self.engine.begin() as connection:
            connection.execute(releases.delete().where(releases.c.id == ""))

    # ------------------------------------------------------------------------------------------------ all of it
    def everything(
        self, newest: Mapping[str, int], changed: Collection[tuple[str, int]] = ()
    ) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Give table, key and cells of each row that came after the newest of its table, or was changed."""
        for table in schema.sorted_tables:
            (key,) = table.primary_key
            last, others = (
                newest.get(table.name, 0),
                {number for name, number in changed if name == table.name},
            )
            first = min(
                [last + 1, *others]
            )  # not each by its number: a rebuild changes more than a query can name
            for row in self._all(sa.select(table).where(key >= first).order_by(key)):
                cells = dict(row._mapping)
                if (number := cells[key.name]) > last or number in others:
                    yield table.name, number, cells

    def extent(self) -> dict[str, list[int]]:
        """Give the key of the last row and the number of rows of each table that is there and has any."""
        found, there = {}, sa.inspect(self.engine).get_table_names()
        for table in schema.sorted_tables:
            if table.name in there:
                (key,) = table.primary_key
                (row,) = self._all(sa.select(sa.func.max(key), sa.func.count()).select_from(table))
                found[table.name] = list(row)
        return {name: numbers for name, numbers in found.items() if numbers[1]}

    def layout(self) -> list[str | int | None]:
        """Give the version of the schema, and how many columns our tables have."""
        there = sa.inspect(self.engine).get_multi_columns(filter_names=list(schema.tables))
        return [_version(self.engine), sum(map(len, there.values()))]

    def found(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Give table, key and cells of each row as it is there, whatever columns its table has left."""
        there = sa.MetaData()
        there.reflect(self.engine, only=lambda name, _: name in schema.tables)
        for table in there.sorted_tables:
            (key,) = schema.tables[table.name].primary_key
            for row in self._all(sa.select(table)) if key.name in table.c else ():
                yield table.name, row._mapping[key.name], dict(row._mapping)

    def make_anew(self, rows: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Have our tables as they should be, with these rows and no others, all at once.

        Cells of columns that are no more are left out.
        """
        anew: dict[str, list[dict[str, Any]]] = {name: [] for name in schema.tables}
        for name, cells in rows:
            anew[name].append({column.name: cells.get(column.name) for column in schema.tables[name].columns})
        with self.engine.begin() as connection:
            for table in (*schema.tables.values(), sa.Table("alembic_version", sa.MetaData())):
                connection.execute(sa.schema.DropTable(table, if_exists=True))
            _migrate(connection, SCHEMA_VERSION)
            for name, table in schema.tables.items():
                if anew[name]:
                    connection.execute(table.insert(), anew[name])

    # ------------------------------------------------------------------------------------------------ timings
    def add_timings(self, seconds: dict[str, float]) -> None:
        """Record how long each step of this run took."""
        with self.engine.begin() as connection:
            for step, took in seconds.items():
                connection.execute(timings.insert().values(run=self.run, step=step, seconds=took, at=now()))

    def timings(self) -> Sequence[sa.Row]:
        """Give how long steps took, oldest first."""
        return self._all(sa.select(timings).order_by(timings.c.id))


class NewerRecords(FileError):
    """The database was written by a newer version of this project."""


@contextmanager
def opened(url: str, reading: bool = False, as_it_is: bool = False) -> Iterator[Records]:
    """Open the records, making or upgrading the schema first. With `reading`, that's done to a copy in memory.

    With `as_it_is` nothing is made, and nothing asked of the schema.
    Raise FileError if the database can't be opened, is damaged, or was written by a newer version of this project.
    """
    path = file_of(url)
    engine = _in_memory() if reading and path and not path.exists() else _engine(url)
    try:
        if reading and path and path.exists() and (_version(engine) or "") < SCHEMA_VERSION:
            engine = _in_memory(path)
        elif reading and not path:
            engine = _readable(engine)
        if not as_it_is:
            _upgrade(engine)
        yield Records(engine)
    except sa.exc.DBAPIError as problem:
        raise FileError(f"{shown(url)}: database error: {_advised(problem.orig)}") from None
    except sqlite3.DatabaseError as problem:  # while it was copied
        raise FileError(f"{shown(url)}: database error: {_advised(problem)}") from None
    finally:
        engine.dispose()


def _advised(problem: BaseException | None) -> str:
    """Give a driver's words in one line, with the remedy where the file is damaged."""
    damaged = getattr(problem, "sqlite_errorname", "") in ("SQLITE_CORRUPT", "SQLITE_NOTADB")
    return " ".join(str(problem).split()) + (f"; make it anew with {REPAIR}" if damaged else "")


def _engine(url: str, pool: type[sa.Pool] | None = None) -> sa.Engine:
    """Give what opens connections. Raise ConfigError if the URL is none, or its database has no driver here.

    A connection to a server is kept, and looked at before it's used again; one to a file is made anew each time.
    """
    known = _read(url)
    try:
        if known.get_backend_name() == "sqlite":
            engine = sa.create_engine(url, poolclass=pool or sa.NullPool)
        else:
            engine = sa.create_engine(url, pool_pre_ping=True, connect_args=TALK)
    except ImportError as problem:
        told = " ".join(str(problem).split())
        raise ConfigError(f"paths.database: {told}; its driver: pip install -r {PACKAGES}") from None
    except sa.exc.ArgumentError as problem:  # of a driver that isn't known
        raise ConfigError(f"paths.database: {problem}; {EXAMPLE} would be one") from None
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _sqlite_settings)
        sa.event.listen(engine, "begin", _begin)
    return engine


def _in_memory(path: Path | None = None) -> sa.Engine:
    """Give a database in memory: a copy of the one at this path, or an empty one."""
    engine = _engine("sqlite://", sa.StaticPool)
    if path is not None:
        with closing(sqlite3.connect(path)) as there, engine.connect() as here:
            there.backup(here.connection.driver_connection)  # type: ignore[arg-type]
    return engine


def _readable(server: sa.Engine) -> sa.Engine:
    """Give a server's database itself, or a copy in memory if its schema is older than ours."""
    version = _version(server)
    if version is not None and version >= SCHEMA_VERSION:
        return server
    engine = _in_memory()
    if version is not None:
        _upgrade(engine, version)
        older = sa.MetaData()
        with server.connect() as there, engine.begin() as here:
            older.reflect(there, only=lambda name, _: name in schema.tables)
            for table in older.sorted_tables:
                if rows := [dict(row) for row in there.execute(sa.select(table)).mappings()]:
                    here.execute(table.insert(), rows)
    server.dispose()
    return engine


def _version(engine: sa.Engine) -> str | None:
    """Give the version of the schema; None if there's none yet."""
    if not sa.inspect(engine).has_table("alembic_version"):
        return None
    with engine.connect() as connection:
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def shown(url: str | sa.URL) -> str:
    """Give a database for people: its file, or its URL without the password. Raise ConfigError if it's no URL."""
    return _read(url).difference_update_query(SECRET).render_as_string().removeprefix(SQLITE)


def _read(url: str | sa.URL) -> sa.URL:
    """Give the parts of a URL. Raise ConfigError if it's none, without a word of it: there may be a password in it."""
    try:
        known = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        known = None
    if known is None or "@" in (known.host or ""):
        signs = "in a password write @ as %40, : as %3A and / as %2F"
        raise ConfigError(f"paths.database: no URL that can be read, as {EXAMPLE} would be; {signs}")
    return known


def _begin(connection: sa.Connection) -> None:
    """Start a transaction ourselves: sqlite3's own way leaves CREATE TABLE outside of it."""
    connection.exec_driver_sql("BEGIN")


def _sqlite_settings(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    connection.execute(
        "PRAGMA synchronous = EXTRA"
    )  # a commit survives a power cut, its journal's removal too
    connection.execute("PRAGMA busy_timeout = 30000")


def _upgrade(engine: sa.Engine, version: str = SCHEMA_VERSION) -> None:
    """Bring the schema to this version; at once if it's there already."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
    found = _version(engine)
    if found == version:
        return
    if found is not None and found > version:
        raise NewerRecords(
            f"{shown(engine.url)}: written by a newer version (schema {found}); this one knows {version}"
        )
    with engine.begin() as connection:
        _migrate(connection, version)


def _migrate(connection: sa.Connection, version: str) -> None:
    from alembic import command
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    settings.attributes["connection"] = connection
    command.upgrade(settings, version)
