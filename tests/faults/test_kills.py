"""Killed at a few of all points, production is whole and the next run finishes; `python -m tests.faults` tries all."""

import pytest

from tests import project as projects
from tests.faults import kills
from tests.faults.sweep import Frame, tried
from tests.project import sampled

pytestmark = pytest.mark.skipif(projects.why_no_strace() is not None, reason=str(projects.why_no_strace()))


def moves(frame: Frame, link: str) -> list:
    """Give the kills around the moment at which a link of production is moved, and a few of all others."""
    found = kills.trials(frame)
    (at,) = [number for number, one in enumerate(found) if one.name.startswith("rename") and link in one.name]
    return [*found[at : at + 2], *sampled(found, 6)]


def test_a_deploying_run_killed_anywhere_is_finished_by_the_next(pool, deploying):
    chosen = moves(deploying, '/production_deployment/current"')
    assert len(chosen) == 8
    assert tried(pool, deploying, chosen) == {}


def test_a_first_run_killed_while_it_makes_production_is_finished_by_the_next(pool, beginning):
    made = [one for one in kills.trials(beginning) if moves_link(one.name)]
    assert len(made) == 4, "the link to the release, and three through that"
    assert tried(pool, beginning, made) == {}


def moves_link(name: str) -> bool:
    """Say whether a call moves a link of production."""
    return name.startswith("rename") and "/production_deployment/" in name


def test_a_rollback_killed_anywhere_has_happened_or_has_not(pool, rolling_back):
    chosen = moves(rolling_back, '/production_deployment/current"')
    assert tried(pool, rolling_back, chosen) == {}


def test_a_run_that_joins_sources_killed_anywhere_is_finished_by_the_next(pool, joining):
    assert tried(pool, joining, sampled(kills.trials(joining), 4)) == {}


def test_a_run_that_fetches_from_the_web_killed_anywhere_is_finished_by_the_next(pool, fetching):
    assert tried(pool, fetching, sampled(kills.trials(fetching), 4)) == {}


@pytest.mark.parametrize("asked_for", ["rebuilding", "repairing"])
def test_a_rebuild_or_a_repair_killed_anywhere_is_finished_when_asked_once_more(pool, asked_for, request):
    frame = request.getfixturevalue(asked_for)
    assert tried(pool, frame, sampled(kills.trials(frame), 5)) == {}


def test_every_kind_of_call_that_changes_something_is_a_point(deploying):
    found = {point.name for point in deploying.points}
    assert found >= {
        "rename",
        "unlink",
        "symlink",
        "mkdir",
        "fsync",
        "fdatasync",
        "write",
        "pwrite64",
        "openat",
    }


def test_what_a_kill_left_unfinished_is_noticed(pool, deploying):
    wrong = Frame(deploying.folder, deploying.start, states=[deploying.states[0] | {"releases": 7}])
    broken = tried(pool, wrong, sampled(kills.trials(deploying), 1))
    assert list(broken.values()) == [{"releases": 2}]
