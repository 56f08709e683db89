"""What the faults are tried on, and the processes that try them: made once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.faults import corruption, kills, races
from tests.faults.sweep import Frame, workers
from tests.project import Project


@pytest.fixture(scope="session")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Give the processes that try."""
    with workers() as made:
        yield made


def prepared(make: Callable[[Path, Project], Frame], needs: str):
    """Give the fixture of what `make` prepares, in a process that tries, from the project of another fixture."""

    @pytest.fixture(scope="session")
    def frame(
        pool: ProcessPoolExecutor, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Frame:
        start = request.getfixturevalue(needs)
        return pool.submit(make, tmp_path_factory.mktemp(make.__name__), start).result()

    return frame


deploying = prepared(kills.deploying, "first_run")
beginning = prepared(kills.beginning, "first_run")
joining = prepared(kills.joining, "first_run")
fetching = prepared(kills.fetching, "first_run")
rolling_back = prepared(kills.rolling_back, "second_run")
rebuilding = prepared(kills.rebuilding, "second_run")
repairing = prepared(kills.repairing, "second_run")
quiet = prepared(corruption.quiet, "second_run")


@pytest.fixture(scope="session")
def racing(second_run: Project, tmp_path_factory: pytest.TempPathFactory) -> Frame:
    """Give a project to be read while others go live."""
    return races.served(tmp_path_factory.mktemp("racing"), second_run)
