"""Errors at a few of all points are told in one line, and the next run finishes; `python -m tests.faults` tries all."""

import os

import pytest

from pipeline import agenda
from tests import project as projects
from tests.faults import errors
from tests.faults.sweep import tried
from tests.project import Ran, sampled

WHY_NOT = projects.why_no_strace()


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_a_call_that_fails_is_told_in_one_line_that_names_a_file_and_the_next_run_finishes(pool, deploying):
    assert tried(pool, deploying, sampled(errors.trials(deploying), 5)) == {}


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_a_dropped_file_that_cannot_be_read_for_once_is_taken_by_the_next_run(pool, deploying):
    (point,) = [one for one in deploying.reads if '"/drop/week3.csv"' in one.told]
    assert tried(pool, deploying, [errors.unreadable(point)]) == {}


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_nothing_is_decided_on_less_than_there_is_because_a_batch_cannot_be_read_for_once(pool, deploying):
    reads = [one for one in deploying.reads if '"/models/batches/' in one.told and ".npz" in one.told]
    assert len(reads) >= 2
    assert tried(pool, deploying, [errors.unreadable(point) for point in reads]) == {}


def test_a_system_that_refuses_is_told_in_one_line_and_the_next_run_finishes(pool, deploying):
    assert tried(pool, deploying, sampled(errors.limits(deploying), 4)) == {}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can drop another user's file")
def test_a_dropped_file_that_may_not_be_read_is_told_once_and_taken_when_it_may(pool, deploying):
    (trial,) = [one for one in errors.limits(deploying) if one.name == "a dropped file not to be read"]
    assert tried(pool, deploying, [trial]) == {}


def test_a_run_without_memory_leaves_production_whole_and_the_next_finishes(pool, deploying):
    least, *_, most = errors.memory(deploying)
    assert tried(pool, deploying, [least, most]) == {}


def test_memory_that_is_refused_is_told_in_one_line(project, monkeypatch):
    def refused(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(agenda, "look", refused)
    ran = project.call("fullprocess.py")
    assert (ran.code, ran.complaint.partition(": ")[2][:17]) == (74, "not enough memory")


def test_a_traceback_a_line_too_many_and_a_line_without_a_file_are_noticed(project):
    named = f"{project.folder}/records.db: disk full"
    assert errors.told_badly(project, Ran(74, "", f"{named}\n")) == {}
    for ran in (
        Ran(1, "", named),
        Ran(74, "", f"{named}\n{named}"),
        Ran(74, "", "disk full"),
        Ran(74, "", ""),
    ):
        assert errors.told_badly(project, ran)
