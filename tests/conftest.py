"""Projects ready to test on: an empty one, and one with a model deployed."""

import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import settings

from pipeline import smoke
from tests import postgresql
from tests.project import Project, clients

settings.register_profile("here", deadline=None)  # a busy machine is no failure
settings.load_profile("here")

# On a few hundred rows the trees' threads spend their time waiting for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def smoke_here() -> Iterator[None]:
    """Smoke checks of runs in this process are done in it, too; tests that start programs have the real ones."""
    with mock.patch.object(smoke, "apart", smoke.here):
        yield


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Give a new project: a config, an empty folder for drops, nothing else."""
    return Project.made(tmp_path / "a project")


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project after its first run, not to be changed: `deployed` gives copies."""
    project = Project.made(tmp_path_factory.mktemp("first run") / "a project")
    project.test_table(clients(400, seed=100))
    project.drop("week1.csv", clients(150, seed=1, day=1))
    project.drop("week2.csv", clients(150, seed=2, day=8))
    assert project.does("fullprocess.py")["outcome"] == "first"
    return project


@pytest.fixture
def deployed(first_run: Project, tmp_path: Path) -> Project:
    """Give a project of its own to the test, with two files ingested and a model deployed."""
    return first_run.copied(tmp_path / "a project")


@pytest.fixture(scope="session")
def second_run(first_run: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project after drift, with a second release live, not to be changed: `redeployed` gives copies."""
    project = first_run.copied(tmp_path_factory.mktemp("second run") / "a project")
    project.drop("week3.csv", clients(180, seed=3, day=15, flipped=True))
    assert project.does("fullprocess.py")["outcome"] == "deployed"
    return project


@pytest.fixture
def redeployed(second_run: Project, tmp_path: Path) -> Project:
    """Give a project of its own to the test, with one release live that replaced another."""
    return second_run.copied(tmp_path / "a project")


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Give what is logged."""
    logger = logging.getLogger("pipeline")
    propagated, logger.propagate = logger.propagate, True
    yield caplog
    logger.propagate = propagated


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgresql.Server]:
    """Give a PostgreSQL server that runs, one for all tests."""
    found = postgresql.programs()
    if found is None:
        pytest.skip(
            "no PostgreSQL server is installed: no `postgres` on PATH or in /usr/lib/postgresql/*/bin"
        )
    with postgresql.running(found) as server:
        yield server


_numbers = itertools.count(1)


@pytest.fixture
def database(postgres: postgresql.Server) -> Iterator[str]:
    """Give the name of a database of its own on that server, empty."""
    name = f"history{next(_numbers)}"
    postgres.run("postgres", f"CREATE DATABASE {name}")
    yield name
    postgres.run("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
