"""Records in PostgreSQL: the same story as in a file, whatever becomes of the server and of what it keeps."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pipeline import journal
from tests.postgresql import QUOTED, Server
from tests.project import CONFIG, LONGEST, Project, clients, sampled
from tests.test_architecture import HEAVY, ROOT, loaded

POINTS = 3  # statements of a run at which its connection is cut
VARIES = (
    "at",
    "started",
    "finished",
    "seconds",
    "made_at",
    "last",
    "median",
    "worst",
    "bytes",
)  # times, a page that tells them


@dataclass(frozen=True)
class Kept:
    """A project with its records in a database of a server."""

    project: Project
    server: Server
    database: str

    def copied(self, folder: Path, database: str) -> "Kept":
        """Give a copy of folder and database."""
        self.server.run("postgres", f"CREATE DATABASE {database} TEMPLATE {self.database}")
        copy = self.project.copied(folder)
        for path in (copy.config_file, copy.ingested(journal.SEAL)):
            path.write_text(path.read_text().replace(f"/{self.database}", f"/{database}"))
        return Kept(copy, self.server, database)

    def change(self, *commands: str) -> None:
        """Change the database behind the project's back."""
        self.server.run(self.database, *commands)

    def replace(self, other: str) -> None:
        """Put a copy of another database in its place."""
        gone = f"DROP DATABASE {self.database} WITH (FORCE)"
        self.server.run("postgres", gone, f"CREATE DATABASE {self.database} TEMPLATE {other}")

    def told(self, script: str, *flags: str) -> str:
        """Give what a program says that the records stop: one line, naming the database without its password."""
        ran = self.project.call(script, *flags)
        assert ran.code == 74, ran
        assert ran.complaint.startswith(self.shown)
        assert QUOTED not in ran.complaint
        return ran.complaint

    @property
    def shown(self) -> str:
        """Give the database as it is named to people."""
        return self.server.url(self.database, "***")


@pytest.fixture(scope="module")
def made(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Give a project that went the way of `second_run`, not to be changed: `kept` gives copies."""
    postgres.run("postgres", "CREATE DATABASE made")
    config = CONFIG.replace("source: drop", f"source: drop, database: '{postgres.url('made')}'")
    project = Project.made(tmp_path_factory.mktemp("postgresql") / "a project", config)
    project.test_table(clients(400, seed=100))
    project.drop("week1.csv", clients(150, seed=1, day=1))
    project.drop("week2.csv", clients(150, seed=2, day=8))
    assert project.does("fullprocess.py")["outcome"] == "first"
    project.drop("week3.csv", clients(180, seed=3, day=15, flipped=True))
    assert project.does("fullprocess.py")["outcome"] == "deployed"
    return Kept(project, postgres, "made")


@pytest.fixture
def kept(made: Kept, tmp_path: Path) -> Iterator[Kept]:
    """Give such a project to the test, with one release live that replaced another."""
    copy = made.copied(tmp_path / "kept" / "a project", "kept")
    yield copy
    assert copy.server.start()
    copy.server.run("postgres", "DROP DATABASE IF EXISTS kept WITH (FORCE)")


def history(project: Project) -> dict[str, list[dict[str, Any]]]:
    """Give all rows of all tables."""
    found: dict[str, list[dict[str, Any]]] = {}
    with project.book() as book:
        for table, _, cells in book.everything({}):
            found.setdefault(table, []).append(cells)
    return found


def timeless(told: Any, names: dict[str, str]) -> Any:
    """Give the same without what is another each time: times, folders, names of releases (numbered in `names`)."""
    if isinstance(told, dict):
        return {name: timeless(value, names) for name, value in told.items() if name not in VARIES}
    if isinstance(told, list):
        return [timeless(one, names) for one in told]
    if not isinstance(told, str):
        return told
    if told.startswith(("{", "[")):
        return timeless(json.loads(told), names)
    told = re.sub(
        r"\d{8}T\d{6}Z-\w{8}", lambda found: names.setdefault(found[0], f"release {len(names)}"), told
    )
    return re.sub(r"/\S*?a project|[\d.]+ m?s\b|20\d\d-\d\d-\d\d[T ][\d:]+Z?", "-", told)


# ------------------------------------------------------------------------------------------------ the loop
def test_the_history_is_the_same_as_in_a_file(second_run, made):
    ours, theirs = (timeless(history(project), {}) for project in (made.project, second_run))
    assert ours.keys() == theirs.keys()
    for table in ours:
        assert ours[table] == theirs[table], table


PROGRAMS = [
    ("deployment.py", "--list"),
    ("deployment.py", "--verify"),
    ("deployment.py", "--rollback"),
    ("diagnostics.py",),
    ("reporting.py",),
    ("fullprocess.py", "--status"),
    ("fullprocess.py", "--history"),
    ("fullprocess.py",),
]


def test_every_program_says_the_same_as_with_a_file(redeployed, kept):
    for program, *flags in PROGRAMS:
        ours, theirs = (timeless(one.does(program, *flags), {}) for one in (kept.project, redeployed))
        assert ours == theirs, (program, flags)


def test_a_tick_with_nothing_to_do_is_silent_and_asks_no_server(kept):
    kept.project.settle()
    kept.project.does("fullprocess.py")
    kept.server.kill()
    tick = str(ROOT / "fullprocess.py"), "--config", str(kept.project.config_file)
    ours = loaded(*tick) - loaded("-c", "pass")
    assert ours & {*HEAVY, "psycopg"} == set()


def test_of_two_runs_at_once_one_works_as_under_cron_and_the_other_leaves_with_75(kept):
    kept.project.drop("week4.csv", clients(80, seed=4, day=20))
    with kept.project.started("fullprocess.py", "--json") as one:
        until = time.monotonic() + LONGEST
        while kept.project.ingested("state.txt").read_text() != "under way" and time.monotonic() < until:
            time.sleep(0.02)
        assert kept.project.call("fullprocess.py").code == 75
        out, err = one.communicate()
    assert (one.returncode, err, json.loads(out)["ingested"]["rows"]) == (0, "", 80)
    assert kept.project.query("select count(*), sum(rows) from files") == [(4, 560)]
    assert len(kept.project.rows()) == 560


# ------------------------------------------------------------------------------------------------ the server
@contextmanager
def interrupted(what: Any, statement: int) -> Iterator[list[str]]:
    """Have something happen before the how-manieth statement to a server (0: never). It gives all statements."""
    seen: list[str] = []

    def look(connection: sa.Connection, cursor: Any, text: str, *others: Any) -> None:
        if connection.dialect.name == "postgresql":
            seen.append(text)
            if len(seen) == statement:
                what()

    sa.event.listen(sa.Engine, "before_cursor_execute", look)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", look)


def test_a_connection_cut_anywhere_is_told_in_one_line_and_the_next_run_ends_as_undisturbed(kept, tmp_path):
    kept.project.drop("week4.csv", clients(180, seed=4, day=22, flipped=True))
    start = kept.copied(tmp_path / "start" / "a project", "start")
    with interrupted(None, 0) as statements:
        kept.project.does("fullprocess.py")
    undisturbed = told_of(kept.project)
    for number, point in enumerate(sampled(range(1, len(statements) + 1), POINTS)):
        one = start.copied(tmp_path / str(number) / "a project", f"cut{number}")
        with interrupted(lambda one=one: one.server.cut(one.database), point) as seen:
            one.told("fullprocess.py")
        one.project.does("fullprocess.py")
        assert told_of(one.project) == undisturbed, (point, seen[-1])
        one.server.run("postgres", f"DROP DATABASE {one.database}")
    kept.server.run("postgres", "DROP DATABASE start")


def told_of(project: Project) -> dict[str, Any]:
    """Give what a run did, however often it had to begin."""
    kept = history(project)
    names = {row["id"]: f"release {row['number']}" for row in kept["releases"]}
    found = timeless(kept, names)
    told = {
        table: [{name: cell for name, cell in row.items() if name != "run"} for row in found[table]]
        for table in ("files", "scores", "verdicts", "inputs", "releases")
    }
    return {**told, "rows": project.rows(), "live": names[str(project.live())]}


def test_a_server_that_is_killed_while_a_run_is_at_work_costs_that_run_only(kept):
    kept.project.drop("week4.csv", clients(80, seed=4, day=20))
    with interrupted(kept.server.kill, 60):
        kept.told("fullprocess.py")
    for program in (
        ["fullprocess.py"],
        ["diagnostics.py"],
        ["diagnostics.py", "--repair"],
        ["deployment.py", "--list"],
    ):
        assert "database error" in kept.told(*program)
    assert kept.server.start()
    kept.project.does("fullprocess.py")
    assert kept.project.query("select count(*), sum(rows) from files") == [(4, 560)]
    assert kept.project.call("deployment.py", "--verify").code == 0


def test_a_connection_cut_between_two_statements_is_made_anew(kept):
    with kept.project.book() as book:
        first = book.start_run()
        kept.server.cut(kept.database)
        assert book.start_run() == first + 1


# ------------------------------------------------------------------------------------------------ what it keeps
LOST = {
    "a row": lambda kept: kept.change("DELETE FROM verdicts WHERE id = (SELECT min(id) FROM verdicts)"),
    "the rows of a table": lambda kept: kept.change("TRUNCATE releases"),
    "tables": lambda kept: kept.change("DROP TABLE files, timings"),
    "all": lambda kept: kept.replace("template1"),
    "the version of the schema": lambda kept: kept.change("DROP TABLE alembic_version"),
    "a column": lambda kept: kept.change("ALTER TABLE files DROP COLUMN reason"),
    "nothing, but another added some": lambda kept: kept.change(
        "INSERT INTO timings VALUES (999, 1, 's', 1, '')"
    ),
    "all since the last dump": lambda kept: kept.replace("older"),
}


def test_lost_records_are_told_and_made_anew_from_the_journal_row_for_row(kept):
    project = kept.project
    kept.server.run("postgres", f"CREATE DATABASE older TEMPLATE {kept.database}")
    project.drop("week4.csv", clients(80, seed=4, day=20))
    assert project.does("fullprocess.py")["ingested"]["rows"] == 80
    before = history(project)
    project.drop("week5.csv", clients(60, seed=5, day=26))
    for what, lose in LOST.items():
        lose(kept)
        for program in (
            ["fullprocess.py"],
            ["fullprocess.py"],
            ["diagnostics.py"],
            ["deployment.py", "--verify"],
        ):
            assert "--repair" in kept.told(*program), what
        repaired = project.call("diagnostics.py", "--repair")
        assert repaired.out.startswith(f"{kept.shown}: made anew from "), (what, repaired)
        assert history(project) == before, what
        assert project.call("deployment.py", "--verify").code == 0, what
    assert project.does("fullprocess.py")["ingested"]["rows"] == 60
    assert [row["id"] for row in history(project)["runs"]] == [1, 2, 3, 4]
    kept.server.run("postgres", "DROP DATABASE older")


def test_what_was_edited_is_told_by_the_diagnostics_put_back_and_kept_beside(kept):
    before = history(kept.project)
    kept.change("UPDATE decisions SET reasons = '[\"edited\"]' WHERE id = 1")
    assert "1 row not alike" in kept.project.call("diagnostics.py").out
    told = kept.project.call("diagnostics.py", "--repair").out
    beside = kept.project.ingested(journal.REPLACED)
    assert f"kept in {beside}: 1 row that differed" in told
    assert history(kept.project) == before
    (line,) = beside.read_text().splitlines()
    assert json.loads(line.split(" ", 1)[1])[1]["reasons"] == '["edited"]'


def test_a_journal_that_is_damaged_is_made_anew_from_the_records(kept):
    before, path = history(kept.project), kept.project.ingested(journal.JOURNAL)
    path.write_bytes(path.read_bytes().replace(b"runs", b"ruin", 1))
    assert f"{path}: made anew" in kept.project.call("diagnostics.py", "--repair").out
    assert kept.project.call("deployment.py", "--verify").code == 0
    assert history(kept.project) == before


def test_a_repair_that_is_cut_off_changes_nothing_and_is_done_again(kept, tmp_path):
    before = history(kept.project)
    kept.change("TRUNCATE scores")
    probe = kept.copied(tmp_path / "probe" / "a project", "probe")
    with interrupted(None, 0) as statements:
        probe.project.call("diagnostics.py", "--repair")
    puts = [number for number, text in enumerate(statements, 1) if text.startswith("INSERT")]
    with interrupted(lambda: kept.server.cut(kept.database), puts[len(puts) // 2]):
        kept.told("diagnostics.py", "--repair")
    assert history(kept.project) == {table: rows for table, rows in before.items() if table != "scores"}
    kept.project.call("diagnostics.py", "--repair")
    assert history(kept.project) == history(probe.project) == before
    kept.server.run("postgres", "DROP DATABASE probe")
