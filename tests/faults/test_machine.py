"""Anything in any order loses no row and leaves production whole; `python -m tests.faults machine` tries far more."""

import pytest

from tests import project as projects
from tests.faults import machine
from tests.faults.sweep import tried

EXAMPLES = 2


@pytest.mark.skipif(projects.why_no_strace() is not None, reason=str(projects.why_no_strace()))
def test_whatever_happens_in_whatever_order_each_good_row_is_there_once_and_production_is_whole(pool, quiet):
    assert tried(pool, quiet, machine.trials(quiet, EXAMPLES)[:2]) == {}
