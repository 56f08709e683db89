"""Each example is a project that works: its own config, on the data that examples/generate.py makes for it."""

import runpy
import shutil

import pytest

from pipeline import metrics
from tests.project import ROOT, Project

GENERATE = runpy.run_path(str(ROOT / "examples" / "generate.py"))
BETTER_THAN = {
    "house_prices": 80_000,
    "sales_by_period": 100,
    "stock_ratios": 0.55,
}  # by the example's metric


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Give a folder with the data of all examples, each beside its config."""
    folder = tmp_path_factory.mktemp("examples")
    GENERATE["main"](folder)
    for name in GENERATE["EXAMPLES"]:
        shutil.copy(ROOT / "examples" / name / "config.yaml", folder / name)
    return folder


def test_every_example_with_generated_data_has_a_config_and_the_other_way_round():
    configured = {path.parent.name for path in (ROOT / "examples").glob("*/config.yaml")}
    assert configured == set(GENERATE["EXAMPLES"])


@pytest.mark.parametrize("name", GENERATE["EXAMPLES"])
def test_an_example_goes_from_files_to_a_deployed_model_and_on(name, examples, tmp_path):
    project = Project(examples / name).copied(tmp_path / name)
    late = hold_back(project, share=0.5)

    ingested = project.does("ingestion.py")
    assert ingested["files"] > 0
    assert ingested["rejected_files"] == ingested["rejected_rows"] == 0

    trained = project.does("training.py")["candidates"]
    assert {one["name"] for one in trained} == set(project.config.model.candidates or {})
    scored = project.does("scoring.py")["candidates"]
    release = project.does("deployment.py")["release"]
    assert release == project.live()
    assert beats(project, max if metric(project).greater_is_better else min, scored)

    for path in late:
        path.rename(project.folder / "data" / path.name)
    project.does("ingestion.py")
    later = project.does("scoring.py")
    assert later["release"] == release
    assert len(later["scores"]) >= 2
    assert beats(project, mean, later["scores"])


@pytest.mark.parametrize("name", ["sales_by_period", "stock_ratios"])
def test_rows_without_an_outcome_yet_are_forecast_in_the_call_list(name, examples, tmp_path):
    project = Project(examples / name).copied(tmp_path / name)
    project.does("fullprocess.py")
    newest = max((project.folder / "data").iterdir()).read_text().splitlines()[1:]
    listed = (project.folder / "reports" / "calllist.csv").read_text().splitlines()[1:]
    assert {line.split(",")[1] for line in listed} == {line.split(",")[0] for line in newest}
    assert {line.split(",")[3] for line in listed} == {line.split(",")[1] for line in newest}


def hold_back(project, share):
    """Move the later files out of the drop folder and give them."""
    paths = sorted((project.folder / "data").iterdir())
    (project.folder / "late").mkdir()
    late = paths[round(len(paths) * (1 - share)) :]
    return [path.rename(project.folder / "late" / path.name) for path in late]


def metric(project):
    return metrics.chosen(project.config.task, project.config.scoring.metric)


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def beats(project, chosen, scores):
    """Say whether the best (or the mean) of the scores is far better than a model that knows nothing."""
    value = chosen(one["value"] for one in scores)
    return metric(project).gain(value, BETTER_THAN[project.folder.name]) > 0
