"""The history in its database: made by migrations, only added to, and never read by a program that doesn't know it."""

import csv
import io
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from pipeline import records
from pipeline.drift import Verdict
from pipeline.errors import ConfigError, FileError
from pipeline.metrics import Score
from pipeline.records import FileRecord, Records

ROOT = Path(__file__).resolve().parents[1]
SCORE = Score(0.8, 0.7, 0.9, 200)
VERDICTS = [Verdict("iqr", True, 0.7, 0.75, "worse"), Verdict("t_test", False, None, None, "no verdict")]


@pytest.fixture
def url(tmp_path) -> str:
    """A file that isn't there yet, in a folder that isn't either."""
    return f"sqlite:///{tmp_path}/deep/records.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request) -> str:
    """A database without tables, of each kind."""
    if request.param == "sqlite":
        return request.getfixturevalue("url")
    return request.getfixturevalue("postgres").url(request.getfixturevalue("database"))


@pytest.fixture
def book(either):
    """Open records, in a database of each kind."""
    with records.opened(either) as book:
        yield book


def file(name: str = "a.csv", status: str = "ingested", **facts: Any) -> FileRecord:
    """Give a record of a file whose content is told by its name."""
    return FileRecord("data", name, f"hash of {name}", status, "contract", **facts)


def refused(url: str) -> str:
    """Give what is said about a database that can't be opened: one line."""
    with pytest.raises(FileError) as caught, records.opened(url) as book:
        book.runs(finished=False)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def executed(url: str, *statements: str) -> None:
    """Change a database behind the records' back."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


# ------------------------------------------------------------------------------------------------ the schema
def test_the_schema_that_the_migrations_make_is_the_one_the_code_knows(either):
    with records.opened(either) as book, book.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, records.schema) == []
        assert context.get_current_revision() == records.SCHEMA_VERSION


def test_the_version_the_code_names_is_the_newest_migration():
    settings = Config()
    settings.set_main_option("script_location", str(ROOT / "pipeline" / "migrations"))
    assert ScriptDirectory.from_config(settings).get_heads() == [records.SCHEMA_VERSION]


def test_opening_again_keeps_everything_and_changes_nothing(url, tmp_path):
    with records.opened(url) as book:
        book.add_files([file()])
    before = (tmp_path / "deep" / "records.db").read_bytes()
    with records.opened(url) as book:
        assert [one.name for one in book.files("ingested")] == ["a.csv"]
    assert (tmp_path / "deep" / "records.db").read_bytes() == before


def test_a_database_of_a_newer_version_is_refused(either):
    with records.opened(either):
        pass
    executed(either, "UPDATE alembic_version SET version_num = '9999'")
    expected = f"written by a newer version (schema 9999); this one knows {records.SCHEMA_VERSION}"
    assert refused(either) == f"{records.shown(either)}: {expected}"


def test_whoever_only_reads_makes_no_database(either, tmp_path):
    with records.opened(either, reading=True) as book:
        assert book.runs(finished=False) == book.files("ingested") == []
    assert list(tmp_path.iterdir()) == []
    if records.file_of(either) is None:
        assert not sa.inspect(sa.create_engine(either, poolclass=sa.NullPool)).get_table_names()
    with records.opened(either) as book:
        book.start_run()
    with records.opened(either, reading=True) as book:
        assert len(book.runs(finished=False)) == 1


def older_schema(url: str) -> None:
    """Make a database as the first version left it, with a run on record."""
    settings = Config()
    settings.set_main_option("script_location", str(ROOT / "pipeline" / "migrations"))
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")
    executed(url, "INSERT INTO runs (id, started) VALUES (1, '2025-01-01T00:00:00Z')")


def test_whoever_only_reads_an_older_schema_reads_a_copy_and_changes_nothing(either, tmp_path):
    (tmp_path / "deep").mkdir()
    older_schema(either)
    before = [path.read_bytes() for path in tmp_path.glob("deep/*")]
    with records.opened(either, reading=True) as book:
        assert [run.started for run in book.runs(finished=False)] == ["2025-01-01T00:00:00Z"]
        assert book.inputs() == [], "a table of a later version"
    assert [path.read_bytes() for path in tmp_path.glob("deep/*")] == before
    assert "inputs" not in sa.inspect(sa.create_engine(either, poolclass=sa.NullPool)).get_table_names()
    with records.opened(either) as book:
        assert (book.start_run(), book.inputs()) == (2, [])


def test_a_damaged_database_of_an_older_schema_is_told_to_whoever_only_reads(url, tmp_path):
    (tmp_path / "deep").mkdir()
    older_schema(url)
    path = tmp_path / "deep" / "records.db"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FileError, match=r"records\.db: database error"), records.opened(url, reading=True):
        pass


DAMAGED = {
    "text": lambda content: b"This is no database. " * 100,
    "half": lambda content: content[: len(content) // 2],
    "overwritten": lambda content: content[:4096] + os.urandom(8192) + content[12288:],
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_database_is_told_by_name(url, tmp_path, damage):
    with records.opened(url) as book:
        book.add_files(file(f"{number} {'x' * 200}") for number in range(200))
    path = tmp_path / "deep" / "records.db"
    path.write_bytes(damage(path.read_bytes()))
    with (
        pytest.raises(FileError, match=r"records\.db: database error: ") as caught,
        records.opened(url) as book,
    ):
        book.files("ingested")
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_and_what_can_not_be_made_are_told_by_name(tmp_path):
    assert f"{tmp_path}: database error: unable to open" in refused(f"sqlite:///{tmp_path}")


def test_a_database_without_its_driver_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as if it weren't installed
    with (
        pytest.raises(
            ConfigError, match=r"^paths\.database: .*psycopg.*pip install -r requirements-postgr"
        ) as told,
        records.opened("postgresql://host/name"),
    ):
        pass
    assert len(str(told.value).splitlines()) == 1
    assert (ROOT / records.PACKAGES).exists()


@pytest.mark.parametrize("url", ["postgresql+nodriver://host/name", "postgresql://h:x/n"])
def test_what_is_no_url_is_told(url):
    with pytest.raises(ConfigError, match=r"^paths\.database: .* would be"), records.opened(url):
        pass


@pytest.mark.parametrize("host", ["me:sec@ret@host", "me:p@sec:ret@host:5432"])
def test_a_url_that_is_misread_for_a_sign_in_its_password_is_refused_without_a_word_of_it(host):
    with pytest.raises(ConfigError, match="write @ as %40") as told:
        records.shown(f"postgresql://{host}/name")
    assert not [word for word in ("sec", "ret", "host/") if word in str(told.value)]


def test_no_password_is_shown():
    for url in ("postgresql://me:secret@host/name", "postgresql://host/name?user=me&password=secret"):
        assert "secret" not in records.shown(url)


@pytest.mark.parametrize(
    ("before", "after"),
    [("s3cret%2Fword", "wrong"), ("/history", "/nowhere"), ("127.0.0.1:", "127.0.0.1:1?user=")],
    ids=["wrong password", "no such database", "no server"],
)
def test_a_server_that_can_not_be_had_is_told_in_one_line_without_the_password(postgres, before, after):
    url = postgres.url("history").replace(before, after)
    for told in (refused(url), refused(url)):
        assert told.startswith(f"{records.shown(url)}: database error: ")
        assert not [word for word in ("s3cret", "wrong@") if word in told]


@pytest.mark.parametrize(
    ("either", "tables"), [("sqlite", n) for n in range(1, 8)] + [("postgresql", 4)], indirect=["either"]
)
def test_killed_while_the_schema_is_made_the_next_run_makes_it(either, tables):
    url = either
    code = f"""
import os, sqlalchemy as sa
from pipeline import records
made = []
@sa.event.listens_for(sa.Engine, "after_cursor_execute")
def kill(connection, cursor, statement, *others):
    made.extend([1] if "CREATE TABLE" in statement else [])
    if len(made) == {tables}:
        os.kill(os.getpid(), 9)
with records.opened({url!r}):
    pass
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -signal.SIGKILL
    with records.opened(url) as book:
        book.add_files([file()])
        assert book.last_file() == 1
        assert sa.inspect(book.engine).has_table("timings")


# ------------------------------------------------------------------------------------------------ runs
def test_a_run_counts_as_cut_off_until_it_is_finished(book):
    assert (book.start_run(), book.start_run()) == (1, 2)
    book.finish_run("deployed", {"fits": 2})
    assert [(run.id, run.outcome, run.facts) for run in book.runs()] == [(2, "deployed", '{"fits": 2}')]
    assert [run.id for run in book.runs(finished=False)] == [1, 2]
    assert book.runs()[0].started <= book.runs()[0].finished <= records.now()


def test_what_is_recorded_is_filed_under_the_run_and_by_hand_under_0(book):
    book.add_timings({"by hand": 0.5})
    book.start_run()
    book.add_timings({"ingestion": 2, "scoring": 1})
    assert [(row.run, row.step, row.seconds) for row in book.timings()] == [
        (0, "by hand", 0.5), (1, "ingestion", 2), (1, "scoring", 1),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------ files
def test_files_are_given_by_status_in_the_order_of_their_numbers(book):
    book.add_files([file("b"), file("a", "set aside"), file("c", "repeated")])
    book.add_files([])
    book.add_files([file("d", "repeated")])
    assert [(one.id, one.name) for one in book.files("repeated", "ingested")] == [
        (1, "b"),
        (3, "c"),
        (4, "d"),
    ]
    assert book.last_file() == 1


def test_files_are_put_on_record_all_at_once_or_not_at_all(book):
    with pytest.raises(sa.exc.IntegrityError):
        book.add_files([file("a"), file("b", rows=None)])
    assert book.files("ingested") == []


def test_files_of_the_same_content_are_found_oldest_first_whatever_became_of_them(book):
    copy = FileRecord("data", "copy", "hash of a", "repeated", "contract")
    book.add_files([file("a"), copy, file("b", "set aside")])
    found = [(one.id, one.name, one.status) for one in book.same_content("hash of a")]
    assert found == [(1, "a", "ingested"), (2, "copy", "repeated")]
    assert [(one.name, one.contract) for one in book.same_content("hash of b")] == [("b", "contract")]
    assert book.same_content("hash of none") == []


def test_files_are_numbered_from_the_next_number_on_in_their_order(book):
    assert (book.next_file(), book.has_files()) == (1, False)
    book.add_files([file("a"), file("b", "set aside")])
    assert (book.next_file(), book.has_files()) == (3, True)
    book.add_files(iter([file("c")]))
    found = [(one.id, one.name) for one in book.files("ingested", "set aside")]
    assert found == [(1, "a"), (2, "b"), (3, "c")]


def test_rows_under_another_contract_are_noticed_but_not_files_that_brought_none(book):
    assert not book.other_contract("contract")
    book.add_files([file("a"), FileRecord("data", "b", "h", "set aside", "another reading")])
    assert not book.other_contract("contract")
    assert book.other_contract("another")
    book.replace_files({1: FileRecord("data", "a", "hash of a", "ingested", "another")})
    assert not book.other_contract("another")


def test_the_rows_of_all_files_and_the_last_part_are_known_without_reading_any(book):
    assert (book.rows(), book.last_part()) == (0, 0)
    first, second = file("a", rows=5, output="part a"), file("b", rows=7, output="part b")
    book.add_files([first, second, file("c", "repeated")])
    assert (book.rows(), book.last_part()) == (12, 2)


def test_what_a_file_was_repaired_with_stands_in_its_facts(book):
    book.add_files([file("a", facts='{"statistics": {"spent": 5}}'), file("b")])
    assert [one.facts for one in book.files("ingested")] == ['{"statistics": {"spent": 5}}', None]


def test_a_file_name_that_a_spreadsheet_would_run_is_harmless_in_the_text_and_itself_on_record(book):
    name = "=cmd|' /C calc'!A0.csv"
    book.add_files([file(name), file("-5.csv")])
    names = [line[1] for line in csv.reader(io.StringIO(book.ingested_text()))][1:]
    assert names == ["'" + name, "'-5.csv"]
    assert book.files("ingested")[0].name == name


def test_records_of_the_first_version_are_brought_up_to_date_with_nothing_lost(either):
    with records.opened(either) as book:
        book.add_files([file("a", rows=5), file("b", "set aside", reason="no table")])
    executed(
        either,
        "ALTER TABLE files DROP COLUMN facts",  # as it was before 0002
        "DROP TABLE inputs",  # nor 0003
        "ALTER TABLE scores DROP COLUMN state",  # nor 0004
        "UPDATE alembic_version SET version_num = '0001'",
    )
    with records.opened(either) as book:
        found = [(one.name, one.rows, one.reason, one.facts) for one in book.files("ingested", "set aside")]
        assert found == [("a", 5, None, None), ("b", 0, "no table", None)]
        book.add_files([file("c", facts="{}")])
        assert book.next_file() == 4
    with records.opened(either) as book, book.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), records.schema) == []


def test_parts_and_labelled_rows_are_those_of_the_files_asked_for(book):
    outputs = {1: "part 1", 2: "", 3: "part 3", 4: "part 4"}
    book.add_files(
        file(str(number), output=output, labelled=10**number) for number, output in outputs.items()
    )
    assert book.parts() == [(1, "part 1"), (3, "part 3"), (4, "part 4")]
    assert book.parts(above=1, upto=3) == [(3, "part 3")]
    assert (book.labelled_rows(), book.labelled_rows(since=2), book.labelled_rows(2, 3)) == (
        11110,
        11100,
        1100,
    )


def test_an_empty_history_has_no_files_rows_or_scores(book):
    assert (book.last_file(), book.labelled_rows(), book.parts()) == (0, 0, [])
    assert (book.scored_upto("r"), book.scored_upto(), book.latest_score("f1", "r")) == (0, 0, None)
    assert (book.decided_upto(), book.withdrawn_upto(), book.loss_state("r"), book.first_file("3")) == (
        0,
        0,
        None,
        None,
    )


def test_a_rebuild_changes_records_in_place_all_at_once(book):
    book.add_files([file("a.csv", rows=5), file("b.csv", rows=5)])
    book.replace_files({1: file("a.csv", "set aside"), 2: file("b.csv", rows=7)})
    assert [(one.id, one.rows) for one in book.files("ingested", "set aside")] == [(1, 0), (2, 7)]
    with pytest.raises(sa.exc.IntegrityError):
        book.replace_files({1: file("a.csv", rows=9), 2: file("b.csv", rows=None)})
    assert book.files("set aside")[0].rows == 0


def test_ingestedfiles_txt_has_a_line_per_file_oldest_first_with_all_counts(book):
    facts: dict[str, Any] = {
        "rows": 90,
        "duplicates": 5,
        "formatting_changes": 7,
        "imputed": 1,
        "outliers": 2,
        "rejected_rows": 3,
    }
    odd = file('odd, "name"\n.csv', **facts, output="parts/a.parquet")
    book.add_files([odd, file("bad.csv", "set aside"), file("copy.csv", "repeated", duplicates=95)])
    lines = list(csv.reader(io.StringIO(book.ingested_text(), newline="")))
    assert ",".join(lines[0]) == (
        "source_location,filename,num_entries,timestamp,duplicates,formatting_changes,imputed,outliers,rejected_rows,"
        "sha256,output"
    )
    assert [line[:3] + line[4:] for line in lines[1:]] == [
        [
            "data",
            'odd, "name"\n.csv',
            "90",
            "5",
            "7",
            "1",
            "2",
            "3",
            'hash of odd, "name"\n.csv',
            "parts/a.parquet",
        ],
        ["data", "copy.csv", "0", "95", "0", "0", "0", "0", "hash of copy.csv", ""],
    ]
    assert all(len(line[3]) == 20 and line[3].endswith("Z") for line in lines[1:])
    assert book.ingested_text(upto=2).count("copy.csv") == 0


def test_a_file_name_that_is_not_utf_8_can_be_recorded(book):
    book.add_files([FileRecord("data", os.fsdecode(b"caf\xe9.csv"), "hash", "ingested", "contract")])
    assert "data,caf\\xe9.csv,0," in book.ingested_text()


# ------------------------------------------------------------------------------------------------ scores and verdicts
def test_a_score_recorded_twice_is_recorded_once_with_its_verdicts(book):
    for value in (0.8, 0.1):
        book.add_score("r", "3-4", (3, 4), "f1", Score(value, 0.7, 0.9, 200), VERDICTS)
    assert [(row.value, row.low, row.high, row.rows) for row in book.scores("f1")] == [(0.8, 0.7, 0.9, 200)]
    found = [
        (row.test, row.drifted, row.statistic, row.threshold, row.why, row.last_file)
        for row in book.verdicts()
    ]
    assert found == [("iqr", True, 0.7, 0.75, "worse", 4), ("t_test", False, None, None, "no verdict", 4)]


def test_scores_and_verdicts_are_those_of_the_release_asked_for(book):
    for release, batch, metric in (("r", "3", "f1"), ("s", "3", "f1"), ("r", "4", "f1"), ("r", "5", "brier")):
        book.add_score(release, batch, (int(batch), int(batch)), metric, SCORE, VERDICTS)
    assert (len(book.scores("f1")), len(book.scores("f1", "r")), len(book.scores("brier"))) == (3, 2, 1)
    assert (len(book.verdicts()), len(book.verdicts("r")), len(book.verdicts("r", above=4))) == (8, 6, 2)
    assert book.verdicts("r", above=5) == book.verdicts("other") == []


def test_a_batch_scored_by_two_metrics_has_its_verdicts_once(book):
    for metric in ("f1", "brier"):
        book.add_score("r", "3", (3, 3), metric, SCORE, VERDICTS if metric == "f1" else ())
    assert len(book.verdicts()) == 2


def test_an_undefined_score_is_recorded_as_none_and_not_among_the_scores(book):
    book.add_score("r", "1", (1, 1), "roc_auc", Score(math.nan, math.nan, math.nan, 5))
    assert book.scores("roc_auc") == []
    assert book.scored_upto("r") == 1


def test_the_latest_score_is_one_on_rows_that_came_after_the_release(book):
    book.add_score("r", "proof-1", (0, 0), "f1", Score(0.9, 0.8, 1.0, 50))
    assert book.latest_score("f1", "r") is None
    for last, value in ((4, 0.7), (6, 0.6)):
        book.add_score("r", str(last), (last - 1, last), "f1", Score(value, 0, 1, 50))
    assert (book.latest_score("f1", "r"), book.scored_upto("r")) == (0.6, 6)
    assert book.latest_score("f1", "other") is None


# ------------------------------------------------------------------------------------------------ decisions, releases
def test_decisions_keep_their_reasons_and_say_up_to_where_it_was_decided(book):
    book.add_decision("retrain", True, ["drift"], newest=5, harmed=3)
    book.add_decision("retrain", False, ["no", "reason"], newest=7)
    book.add_decision("deploy", False, ["worse"], learnt_upto=6)
    book.add_decision("rollback", True, ["by hand"], newest=4)
    assert [(row.kind, row.yes, row.reasons) for row in book.decisions("retrain")] == [
        ("retrain", True, '["drift"]'), ("retrain", False, '["no", "reason"]'),
    ]  # fmt: skip
    assert (len(book.decisions()), book.decided_upto(), book.withdrawn_upto()) == (4, 7, 4)
    assert book.harmed_upto() == 3


def test_the_alarm_on_the_loss_goes_on_where_the_newest_batch_left_it(book):
    for number, state in ((7, {"sums": [1]}), (9, {"sums": [2]}), (11, None)):
        batch = f"{number - 1}-{number}"
        book.add_score("r", batch, (number - 1, number), "f1", Score(0.5, 0.4, 0.6, 50), (), state)
    book.add_score("other", "12", (12, 12), "f1", Score(0.5, 0.4, 0.6, 50), (), {"sums": [3]})
    assert book.loss_state("r") == {"sums": [2]}
    book.add_decision("rollback", True, ["by hand"], newest=9)
    assert book.loss_state("r") is None, "what led to a release that was withdrawn is no evidence any more"
    assert book.loss_state("other") == {"sums": [3]}
    assert (book.first_file("8-9"), book.scored_upto("r"), book.scored_upto()) == (8, 11, 12)


def test_a_release_recorded_twice_is_recorded_once(book):
    facts = {
        "model": "ridge",
        "window": "all",
        "metric": "r2",
        "score": None,
        "replaced": None,
        "at": records.now(),
    }
    for learnt in (3, 4):
        book.add_release(id="one", learnt_upto=learnt, reasons=["first"], **facts)
    book.add_release(id="two", learnt_upto=9, reasons=["better"], **facts)
    assert [(row.number, row.id, row.learnt_upto, row.reasons) for row in book.releases()] == [
        (1, "one", 3, '["first"]'), (2, "two", 9, '["better"]'),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("score", "text"), [(0.8234567, "0.823457\n"), (1, "1\n"), (1234567.8, "1.23457e+06\n")]
)
def test_latestscore_txt_is_one_number(score, text):
    assert records.score_text(score) == text
    assert float(text) == pytest.approx(score, rel=1e-5)


def test_a_committed_record_survives_a_killed_writer_and_an_open_one_leaves_no_half(either):
    url = either
    code = f"""
import os
from pipeline import records
with records.opened({url!r}) as book:
    book.add_files([records.FileRecord("data", "a.csv", "h", "ingested", "c")])
    with book.engine.begin() as connection:
        connection.execute(records.files.update().values(name="b.csv"))
        os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -signal.SIGKILL
    with records.opened(url) as book:
        assert isinstance(book, Records)
        assert [one.name for one in book.files("ingested")] == ["a.csv"]


# ------------------------------------------------------------------------------------------------ each database alike
def test_a_key_goes_on_from_the_newest_whatever_was_tried_before(book):
    facts = {"model": "m", "window": "all", "metric": "r2", "score": None, "replaced": None, "learnt_upto": 1}
    book.add_release(id="one", reasons=[], at=records.now(), **facts)
    with pytest.raises(sa.exc.IntegrityError):
        book._add(records.releases, id="one", run=0, reasons="[]", at=records.now(), **facts)
    book.add_release(id="two", reasons=[], at=records.now(), **facts)
    assert [row.number for row in book.releases()] == [1, 2]


def test_what_one_database_can_not_keep_is_the_same_in_each(book):
    """A zero byte is no text for PostgreSQL, NaN no number for SQLite, and a NumPy number none for the drivers."""
    book.add_files([file("a", "set aside", reason="column 'x\0y'")])
    found = [Verdict("iqr", True, math.nan, np.float64(0.5), "worse\0")]
    book.add_score("r", "1", (1, 1), "f1", Score(np.float64(0.8), math.nan, math.inf, 9), found)
    (score,), (verdict,) = book.scores("f1"), book.verdicts()
    assert book.files("set aside")[0].reason == "column 'x\\x00y'"
    assert (score.value, score.low, score.high) == (0.8, None, math.inf)
    assert (verdict.statistic, verdict.threshold, verdict.why) == (None, 0.5, "worse\\x00")


def test_what_came_after_or_was_changed_is_given_however_much_it_is(book):
    book.add_timings({"one": 1, "two": 2, "three": 3, "four": 4})
    changed = [
        ("timings", 2),
        *(("timings", number) for number in range(5, 300_000)),
    ]  # more than a query can name
    assert [number for _, number, _ in book.everything({"timings": 3}, changed)] == [2, 4]


def test_a_name_that_the_encoding_of_a_database_has_no_letters_for_is_told_in_one_line(postgres):
    how = "TEMPLATE template0 LOCALE 'C' ENCODING"
    postgres.run(
        "postgres", f"CREATE DATABASE latin {how} 'LATIN1'", f"CREATE DATABASE bare {how} 'SQL_ASCII'"
    )
    with records.opened(postgres.url("bare")) as book:
        book.add_files([file("漢.csv")])
        assert book.files("ingested")[0].name == "漢.csv"
    with pytest.raises(FileError, match="LATIN1") as told, records.opened(postgres.url("latin")) as book:
        book.add_files([file("漢.csv")])
    assert len(str(told.value).splitlines()) == 1


def test_rows_put_back_are_all_there_is_and_the_next_goes_on_from_them(book):
    book.start_run()
    book.add_files([file("a"), file("b", "set aside", reason="no table")])
    rows = [(table, cells) for table, _, cells in book.everything({})]
    book.add_timings({"lost": 1.0})
    book.make_anew([(table, {**cells, "gone": 1}) for table, cells in reversed(rows)])
    assert [(table, cells) for table, _, cells in book.everything({})] == rows
    assert (book.extent(), book.timings()) == ({"files": [2, 2], "runs": [1, 1]}, [])
    assert (book.start_run(), book.next_file()) == (2, 3)


def test_rows_that_can_not_all_be_put_back_change_nothing(book):
    book.start_run()
    book.add_files([file("a")])
    rows = [(table, cells) for table, _, cells in book.everything({})]
    with pytest.raises(sa.exc.IntegrityError):
        book.make_anew([*rows, ("timings", {"id": 1})])
    assert [(table, cells) for table, _, cells in book.everything({})] == rows
