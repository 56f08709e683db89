"""A release is tried in a process of its own before it goes live; what fails there never does."""

import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from pipeline import assembly, releases, smoke
from pipeline.errors import CheckFailed
from pipeline.recipes import Recipe
from tests import project as projects
from tests.project import Project, clients

APART = smoke.apart  # the real one: runs inside this process have another


def newest_part(project: Project) -> str:
    """Give the name of the newest rows on disk."""
    with project.book() as book:
        return book.parts()[-1][1]


def test_another_process_predicts_what_this_one_does(deployed):
    live, part = deployed.champion(), newest_part(deployed)
    found = APART(live, deployed.config.ingested, part)
    assert found.tolist() == smoke.here(live, deployed.config.ingested, part).tolist()
    assert len(np.unique(found)) > 10


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda folder: (folder / releases.MODEL).write_bytes(b"no model"), "its SHA-256 differs"),
        (lambda folder: (folder / releases.MANIFEST).unlink(), "No such file"),
        (shutil.rmtree, "No such file"),
    ],
)
def test_what_another_process_cant_use_is_told_in_one_line(deployed, harm, told):
    live, part = deployed.champion(), newest_part(deployed)
    harm(live.folder)
    with pytest.raises(
        CheckFailed, match=f"can't be used in a process of its own .*{told}.*not deployed"
    ) as raised:
        APART(live, deployed.config.ingested, part)
    assert "\n" not in str(raised.value)


def test_a_release_that_no_rows_can_be_tried_on_is_compared_with_its_hashes(deployed):
    live = deployed.champion()
    live.model_file.write_bytes(b"no model")
    with (
        deployed.book() as book,
        mock.patch.object(book, "parts", return_value=[]),
        pytest.raises(CheckFailed, match="its SHA-256 differs"),
    ):
        assembly.check(deployed.config, book, live, Recipe({}), {})


def test_a_model_that_takes_too_long_is_not_waited_for(deployed):
    live, part = deployed.champion(), newest_part(deployed)
    with (
        mock.patch.object(smoke, "LONGEST", 0.01),
        pytest.raises(CheckFailed, match=r"no prediction within 0\.01 s; not deployed"),
    ):
        APART(live, deployed.config.ingested, part)


@pytest.mark.parametrize(
    "apart",
    [
        mock.Mock(side_effect=CheckFailed("model: can't be used in a process of its own; not deployed")),
        mock.Mock(side_effect=lambda *asked: smoke.here(*asked) + 1e-6),
    ],
    ids=["it fails", "it predicts otherwise"],
)
def test_a_release_that_fails_never_goes_live_and_leaves_nothing_and_the_next_run_deploys(deployed, apart):
    before = deployed.live()
    deployed.drop("week3.csv", clients(180, seed=3, day=15, flipped=True))
    with mock.patch.object(smoke, "apart", apart):
        failed = deployed.call("fullprocess.py")
    assert (failed.code, failed.err.count("\n")) == (70, 1)
    assert "not deployed" in failed.err
    assert apart.called
    assert deployed.live() == before
    assert [path.name for path in Path(deployed.config.production / releases.FOLDER).iterdir()] == [before]
    assert deployed.does("fullprocess.py")["outcome"] == "deployed"
    assert deployed.live() != before


@pytest.mark.skipif(projects.why_no_strace() is not None, reason=str(projects.why_no_strace()))
def test_a_run_from_the_shell_starts_that_process(project):
    """What the tests of runs inside this process leave out."""
    project.test_table(clients(400, seed=100))
    project.drop("week1.csv", clients(150, seed=1, day=1))
    log = project.folder / "started"
    ran = project.run(
        "fullprocess.py", before=(*projects.STRACE, "-s", "4096", "-e", "trace=execve", "-o", str(log))
    )
    assert ran.code == 0, ran.err
    tried = [line for line in log.read_text().splitlines() if "pipeline.smoke" in line]
    assert len(tried) == 1
    assert project.champion().id in tried[0]
