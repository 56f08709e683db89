"""Records and journal: each is made anew from the other, a flipped bit is noticed, and a kill is no damage."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from pipeline import journal
from tests.project import Project, clients

FLIPS = 40


@pytest.fixture
def kept(redeployed: Project) -> Project:
    """Give a project with a history, between two runs."""
    return redeployed


def database(project: Project) -> Path:
    """Give the file of the records."""
    return project.folder / "records.db"


def everything(project: Project) -> dict[str, list[tuple]]:
    """Give all rows of all tables."""
    names = [name for (name,) in project.query("select name from sqlite_master where type = 'table'")]
    return {name: project.query(f"select * from {name} order by 1") for name in sorted(names)}


def flip(path: Path, place: int) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 0x04
    path.write_bytes(content)


def refused(project: Project) -> str:
    """Give what a run says that doesn't go on, in one line."""
    project.drop("later.csv", clients(60, seed=9, day=28))
    ran = project.call("fullprocess.py")
    assert ran.code == 74
    return ran.complaint


def test_the_journal_says_what_the_records_say(kept):
    rows, damaged = journal._read(kept.config)
    with kept.book() as book:
        assert rows == journal._rows(book)
        assert journal.differs(kept.config, book) == ""
    assert damaged == 0
    assert {table for table, _ in rows} >= {"runs", "files", "scores", "decisions", "releases", "timings"}
    kept.drop("later.csv", clients(60, seed=9, day=28))
    before = kept.ingested(journal.JOURNAL).read_bytes()
    kept.does("fullprocess.py")
    assert kept.ingested(journal.JOURNAL).read_bytes().startswith(before), "it is only added to"
    with kept.book() as book:
        assert journal._read(kept.config) == (journal._rows(book), 0)


@pytest.mark.parametrize("damage", ["lost", "cut", "older"])
def test_records_that_are_not_as_they_were_left_are_told_and_made_anew_from_the_journal(kept, damage):
    older = database(kept).read_bytes()
    kept.drop("week9.csv", clients(80, seed=8, day=25))
    assert kept.does("fullprocess.py")["ingested"]["rows"] == 80
    before = everything(kept)
    if damage == "lost":
        database(kept).unlink()
    else:
        database(kept).write_bytes(older if damage == "older" else older[: len(older) // 2])
    told = kept.call("diagnostics.py")
    assert (told.code, told.complaint.partition(": ")[0]) == (74, str(database(kept)))
    assert "--repair" in refused(kept)
    assert "made anew" in kept.call("diagnostics.py", "--repair").out
    assert everything(kept) == before
    assert kept.call("deployment.py", "--verify").code == 0
    assert kept.does("fullprocess.py")["ingested"] == {
        "files": 1, "rows": 60, "duplicates": 0, "rejected_files": 0, "rejected_rows": 0,
    }  # fmt: skip


def test_every_bit_that_flips_in_the_records_is_noticed(kept):
    whole = database(kept).read_bytes()
    for place in np.random.default_rng(5).integers(len(whole), size=FLIPS):
        flip(database(kept), int(place))
        assert "--repair" in journal.changed(kept.config), place
        database(kept).write_bytes(whole)
    assert journal.changed(kept.config) == ""


def test_a_journal_that_is_damaged_is_told_and_made_anew_from_the_records(kept):
    path = kept.ingested(journal.JOURNAL)
    whole = sorted(path.read_text().splitlines())
    flip(path, len(path.read_bytes()) // 2)
    told = kept.call("deployment.py", "--verify")
    assert (told.code, "1 line damaged" in told.complaint) == (74, True)
    assert str(path) in kept.call("diagnostics.py").out
    assert f"{path}: made anew" in kept.call("diagnostics.py", "--repair").out
    assert set(path.read_text().splitlines()) <= set(whole)
    assert kept.call("deployment.py", "--verify").code == 0


def test_if_both_are_damaged_nothing_is_made_of_either(kept):
    flip(kept.ingested(journal.JOURNAL), 100)
    flip(database(kept), 5000)
    damaged = database(kept).read_bytes()
    ran = kept.call("diagnostics.py", "--repair")
    assert (ran.code, "put a copy of one of them back" in ran.complaint) == (74, True)
    assert database(kept).read_bytes() == damaged


def test_a_program_that_was_cut_off_is_no_damage_and_what_it_wrote_comes_into_the_journal(kept):
    def cut_off() -> None:
        with journal.opened(kept.config) as book:
            book.start_run()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert not kept.ingested(journal.SEAL).exists()
    with kept.ingested(journal.JOURNAL).open("a") as out:
        out.write('0123456789abcdef ["runs",{"id"')  # and its journal, in the middle of a line
    with journal.opened(kept.config):
        pass
    with kept.book() as book:
        assert journal.differs(kept.config, book) == ""
        assert journal._read(kept.config) == (journal._rows(book), 0)


def test_records_of_a_program_that_was_cut_off_are_no_place_to_go_on_from_if_they_lack_rows(kept):
    kept.ingested(journal.SEAL).unlink()
    with closing(sqlite3.connect(database(kept))) as there, there:
        there.execute("delete from decisions where id = 1")
    assert "1 row short" in refused(kept)
    assert "made anew" in kept.call("diagnostics.py", "--repair").out
    assert kept.query("select count(*) from decisions where id = 1") == [(1,)]


def test_records_that_lack_rows_are_told_although_no_run_sealed_them(kept):
    kept.ingested(journal.SEAL).unlink()
    database(kept).unlink()
    for script, flag in (("diagnostics.py", ""), ("deployment.py", "--verify")):
        told = kept.call(script, *[flag] * bool(flag))
        assert "rows short of what records.journal has" in told.out + told.err
        assert journal.REPAIR in kept.plain(told.out + told.err)


def test_a_database_that_was_lost_with_its_journal_is_put_back_and_gone_on_with(kept, tmp_path):
    copy, before = tmp_path / "a backup.db", everything(kept)
    copy.write_bytes(database(kept).read_bytes())
    for path in (database(kept), kept.ingested(journal.JOURNAL), kept.ingested(journal.SEAL)):
        path.unlink()
    assert "empty" in refused(kept)
    assert kept.call("deployment.py", "--rollback", kept.live() or "").code == 0
    database(kept).write_bytes(copy.read_bytes())
    assert kept.does("fullprocess.py")["ingested"]["files"] == 1
    assert everything(kept)["releases"][: len(before["releases"])] == before["releases"]
    assert kept.call("deployment.py", "--verify").code == 0


def test_looking_at_records_while_a_run_is_at_work_finds_no_damage(kept):
    """The seal is read, then the run begins and writes, then the rest is read."""
    whole = journal._read

    def read_late(config):
        found = whole(config)
        journal._unseal(config)
        with kept.book() as book:
            book.start_run()
        return found

    with kept.book() as book, mock.patch.object(journal, "_read", read_late):
        assert journal.differs(kept.config, book) == ""
    assert journal.changed(kept.config) == ""


def test_a_repair_that_was_cut_off_is_done_again(kept):
    flip(database(kept), 5000)
    with (
        mock.patch.object(journal, "seal_again", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        journal.repair(kept.config)
    assert "--repair" in refused(kept)
    assert "made anew" in kept.call("diagnostics.py", "--repair").out
    assert kept.call("fullprocess.py").code == 0


def test_to_go_on_with_other_records_the_journal_is_moved_away(kept):
    with closing(sqlite3.connect(database(kept))) as there, there:
        there.execute("update decisions set reasons = '[\"edited\"]' where id = 1")
    assert f"moving {journal.JOURNAL} and {journal.SEAL} away" in refused(kept)
    for name in (journal.JOURNAL, journal.SEAL):
        kept.ingested(name).unlink()
    assert kept.call("fullprocess.py").code == 0
    with kept.book() as book:
        assert journal._read(kept.config) == (journal._rows(book), 0)


def test_files_for_people_that_were_edited_are_told_and_written_anew(kept):
    paths = [
        kept.ingested("ingestedfiles.txt"),
        kept.ingested("finaldata.csv"),
        kept.folder / "models/latestscore.txt",
    ]
    before = [path.read_text() for path in paths]
    for path in paths:
        path.write_text("0.5\n")
    told = kept.call("diagnostics.py")
    assert all(str(path) in told.out for path in paths)
    kept.call("diagnostics.py", "--repair")
    assert kept.call("fullprocess.py").code == 0
    assert [path.read_text() for path in paths] == before
    assert "all is well" in kept.call("diagnostics.py").out


def test_the_journal_is_read_by_anyone(kept):
    """A hash of the rest of the line, and JSON: the table and its cells."""
    line = kept.ingested(journal.JOURNAL).read_text().splitlines()[0]
    table, cells = json.loads(line.split(" ", 1)[1])
    assert (len(line.split()[0]), table, type(cells["id"])) == (journal.HASH, "decisions", int)


def test_another_database_that_has_less_is_not_gone_on_with(kept):
    kept.configure("source: drop", "source: drop, database: other.db")
    assert "rows short" in refused(kept)
    kept.call("diagnostics.py", "--repair")
    assert kept.call("deployment.py", "--verify").code == 0


def test_a_seal_of_an_earlier_version_is_one(deployed):
    seal = deployed.ingested(journal.SEAL)
    told = json.loads(seal.read_text())
    seal.write_text(
        json.dumps({**{name: told[name] for name in told if name != "state"}, "sha256": told["state"]})
    )
    assert journal.changed(deployed.config) == ""
    flipped = bytearray((deployed.folder / "records.db").read_bytes())
    flipped[-1] ^= 1
    (deployed.folder / "records.db").write_bytes(flipped)
    deployed.drop("week3.csv", clients(60, seed=3, day=15))
    assert deployed.call("fullprocess.py").code == 74
