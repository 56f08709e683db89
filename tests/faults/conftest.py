"""What the faults are tried on, and the processes that try them: made once."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.faults import corruption, kills, races
from tests.faults.sweep import Frame, workers
from tests.project import Project


@pytest.fixture(scope="session")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Give the processes that try."""
    with workers() as made:
        yield made


@pytest.fixture(scope="session")
def deploying(
    pool: ProcessPoolExecutor, first_run: Project, tmp_path_factory: pytest.TempPathFactory
) -> Frame:
    """Give a run that deploys."""
    return pool.submit(kills.deploying, tmp_path_factory.mktemp("deploying"), first_run).result()


@pytest.fixture(scope="session")
def beginning(
    pool: ProcessPoolExecutor, first_run: Project, tmp_path_factory: pytest.TempPathFactory
) -> Frame:
    """Give a first run."""
    return pool.submit(kills.beginning, tmp_path_factory.mktemp("beginning"), first_run).result()


@pytest.fixture(scope="session")
def rolling_back(
    pool: ProcessPoolExecutor, second_run: Project, tmp_path_factory: pytest.TempPathFactory
) -> Frame:
    """Give a rollback."""
    return pool.submit(kills.rolling_back, tmp_path_factory.mktemp("rolling back"), second_run).result()


@pytest.fixture(scope="session")
def joining(pool: ProcessPoolExecutor, first_run: Project, tmp_path_factory: pytest.TempPathFactory) -> Frame:
    """Give a run that joins two sources and deploys."""
    return pool.submit(kills.joining, tmp_path_factory.mktemp("joining"), first_run).result()


@pytest.fixture(scope="session")
def rebuilding(
    pool: ProcessPoolExecutor, second_run: Project, tmp_path_factory: pytest.TempPathFactory
) -> Frame:
    """Give a rebuild."""
    return pool.submit(kills.rebuilding, tmp_path_factory.mktemp("rebuilding"), second_run).result()


@pytest.fixture(scope="session")
def repairing(
    pool: ProcessPoolExecutor, second_run: Project, tmp_path_factory: pytest.TempPathFactory
) -> Frame:
    """Give a repair of records that were lost."""
    return pool.submit(kills.repairing, tmp_path_factory.mktemp("repairing"), second_run).result()


@pytest.fixture(scope="session")
def quiet(pool: ProcessPoolExecutor, second_run: Project, tmp_path_factory: pytest.TempPathFactory) -> Frame:
    """Give a project with nothing to do."""
    return pool.submit(corruption.quiet, tmp_path_factory.mktemp("quiet"), second_run).result()


@pytest.fixture(scope="session")
def racing(second_run: Project, tmp_path_factory: pytest.TempPathFactory) -> Frame:
    """Give a project to be read while others go live."""
    return races.served(tmp_path_factory.mktemp("racing"), second_run)
