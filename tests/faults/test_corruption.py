"""Damaged files are told in one line or done without; `python -m tests.faults` tries each damage of each file."""

from tests.faults import corruption
from tests.faults.sweep import tried
from tests.project import sampled


def test_a_damaged_file_is_told_in_one_line_or_done_without_and_no_row_is_lost(pool, quiet):
    assert tried(pool, quiet, sampled(corruption.trials(quiet), 4)) == {}


def test_each_file_that_can_be_damaged_is_there(quiet):
    gone = [
        name
        for name, (pattern, _) in corruption.DAMAGED.items()
        if name != "quiet tick" and not list(quiet.start.folder.glob(pattern))
    ]
    assert gone == []
