"""The power goes at a few of all points; `python -m tests.faults power power-rollback` tries all of them."""

from pathlib import Path
from unittest import mock

import pytest

from pipeline import files
from tests.faults import power
from tests.faults.sweep import Frame, Trial, Wrong, tried
from tests.project import Project, sampled


@pytest.fixture(autouse=True)
def can_mount(tmp_path: Path) -> None:
    """Skip what can't be tried here."""
    if why_not := power.why_not(tmp_path):
        pytest.skip(why_not)


def test_a_run_whose_power_goes_anywhere_is_finished_by_the_next(pool, deploying):
    assert tried(pool, deploying, sampled(power.trials(deploying), 4)) == {}


def test_a_rollback_whose_power_goes_has_happened_or_has_not_and_once_told_it_has(pool, rolling_back):
    assert tried(pool, rolling_back, sampled(power.trials(rolling_back), 2)) == {}


def test_what_a_repair_said_it_did_is_there_when_the_power_goes(pool, repairing):
    assert tried(pool, repairing, sampled(power.trials(repairing), 2)) == {}


def test_what_was_not_synced_is_lost_so_that_what_is_there_was_synced(tmp_path):
    with power.disk(tmp_path / "memory") as disk:
        for name in ("plain", "renamed", "ours"):
            (disk.root / name).write_text("old")
        disk.settle()
        (disk.root / "plain").write_text("new")
        (disk.root / "draft").write_text("new")
        (disk.root / "draft").replace(disk.root / "renamed")
        disk.cut()
        assert [(disk.root / name).read_text() for name in ("plain", "renamed")] == ["old", "old"]
        (disk.root / "draft").write_text("new")
        (disk.root / "draft").replace(disk.root / "renamed")
        disk.write_journal()
        disk.cut()
        assert (disk.root / "renamed").read_text() == "", "the name is on the disk, the content isn't"
        files.write_text(disk.root / "ours", "new")
        disk.cut()
        assert (disk.root / "ours").read_text() == "new"


def test_a_run_that_syncs_nothing_is_noticed(pool, deploying):
    assert tried(pool, deploying, [Trial("nothing synced", never_synced)])


def never_synced(frame: Frame, project: Project) -> Wrong:
    """Cut the power after a run without a sync in it."""
    with mock.patch.object(files, "sync"):
        return power.ended(frame, project)
