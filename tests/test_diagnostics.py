"""Diagnostics: what is unknown is not told as fine, and cron's view of things is cron's."""

import contextlib
import http.server
import json
import socket
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

import diagnostics
from pipeline import cli, files, views
from tests.project import Project, clients

NOWHERE = "http://127.0.0.1:9/simple"  # the discard port: nobody answers


def written(project: Project) -> dict:
    """Give what diagnostics.json says."""
    return json.loads((project.folder / "reports" / "diagnostics.json").read_text())


def require(monkeypatch: pytest.MonkeyPatch, folder: Path, *lines: str) -> None:
    """Let these be the project's requirements."""
    requirements = folder / "requirements.txt"
    requirements.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(views, "REQUIREMENTS", requirements)


# ---------------------------------------------------------------------------------------------- all checks
def test_all_is_well_in_one_line(deployed):
    ran = deployed.call("diagnostics.py")
    assert ran.code == 0
    assert ran.out.startswith("diagnostics: all is well: ")
    assert deployed.live() in ran.out
    assert ran.out.count("\n") == 1


def test_the_file_and_the_json_say_the_same(deployed):
    facts = deployed.does("diagnostics.py")
    assert facts == written(deployed)
    assert set(diagnostics.CHECKS) <= set(facts)
    versions = deployed.champion().manifest["libraries"]
    assert facts["production"] == {
        "release": deployed.live(), "verified": True, "problem": None, "libraries": versions,
        "served": "served by ONNX",
    }  # fmt: skip
    assert facts["statistics"]["rows"] == 300
    assert {timing["step"] for timing in facts["timings"]} >= {"ingestion", "training", "deployment"}
    assert facts["wrong"] == []


def test_nothing_is_run_again_for_the_timings(deployed):
    before = deployed.query("SELECT count(*) FROM timings"), deployed.production("current").readlink()
    deployed.call("diagnostics.py")
    assert (
        deployed.query("SELECT count(*) FROM timings"),
        deployed.production("current").readlink(),
    ) == before


def test_before_the_first_deployment_all_may_be_well(project):
    ran = project.call("diagnostics.py")
    assert ran.code == 0
    assert "nothing is deployed yet" in ran.out


def test_packages_that_are_not_as_required_are_told_with_the_remedy(project, monkeypatch, tmp_path):
    require(monkeypatch, tmp_path, "numpy==0.0.1", "no-such-package-here==1.0", "pandas", "???")
    told = project.call("diagnostics.py").out
    assert "3 packages not as required: " in told
    assert "no-such-package-here missing (==1.0)" in told
    assert "??? unknown" in told
    assert f"-m pip install -r {tmp_path}/requirements.txt" in told


def test_a_missing_requirements_file_is_not_told_as_fine(project, monkeypatch, tmp_path):
    monkeypatch.setattr(views, "REQUIREMENTS", tmp_path / "requirements.txt")
    assert "1 package not as required: requirements.txt unknown" in project.call("diagnostics.py").out


def test_an_altered_production_leaves_with_70_and_the_rest_is_told_all_the_same(deployed):
    latest = deployed.production("current") / "latestscore.txt"
    latest.write_text("0.999\n")
    ran = deployed.call("diagnostics.py")
    assert ran.code == 70
    assert "latestscore.txt" in ran.complaint
    facts = written(deployed)
    assert facts["production"]["verified"] is False
    assert facts["statistics"]["rows"] == 300


def made_with(project: Project, **versions: str) -> None:
    """Say in the manifest of the live release that it was made with other versions."""
    with project.manifest() as facts:
        facts["libraries"] |= {name.replace("_", "-"): version for name, version in versions.items()}


def test_a_release_of_other_libraries_is_told_with_what_to_do_and_serves_on(deployed):
    made_with(deployed, scikit_learn="0.24.2")
    deployed.drop("week3.csv", clients(180, seed=3, day=15))
    ran = deployed.call("fullprocess.py")
    assert ran.code == 0
    assert "made with scikit-learn 0.24.2 (now " in ran.err
    assert "pip install scikit-learn==0.24.2" in ran.err
    (told,) = deployed.does("diagnostics.py")["wrong"]
    assert "made with scikit-learn 0.24.2" in told


def test_a_release_of_other_libraries_can_be_refused_until_someone_decides(deployed):
    made_with(deployed, skops="0.1", numpy="1.0")
    deployed.configure("proof_rows: 100", "proof_rows: 100, libraries: refuse")
    deployed.drop("week3.csv", clients(180, seed=3, day=15))
    for script in ("fullprocess.py", "scoring.py", "diagnostics.py"):
        ran = deployed.call(script)
        assert ran.code == 70
        assert ran.err.count("\n") == 1
        assert "numpy==1.0 skops==0.1" in ran.complaint
    deployed.configure("libraries: refuse", "libraries: warn")
    assert deployed.does("fullprocess.py")["outcome"] in {"kept", "deployed"}
    assert deployed.does("deployment.py", "--verify")["live"]


def test_what_the_next_installation_will_change_is_told_before(deployed, tmp_path, monkeypatch):
    require(monkeypatch, tmp_path, "skops==99.0")
    wrong = deployed.does("diagnostics.py")["wrong"]
    (told,) = [line for line in wrong if line.startswith("once requirements.txt is installed")]
    assert "(now 99.0)" in told


def test_a_column_that_says_nothing_is_told(project):
    project.drop("week1.csv", clients(90, seed=1).assign(complaints=3, activity=None))
    project.does("ingestion.py")
    told = project.call("diagnostics.py").out
    assert "column complaints is 3 in every row" in told
    assert "column activity is missing in 100 % of the rows" in told


def test_columns_that_the_rows_were_not_ingested_with_are_told_before_the_next_run_stops(deployed):
    deployed.configure("    complaints: {type: number, min: 0, max: 50}\n", "")
    told = deployed.call("diagnostics.py")
    assert told.code == 70
    assert "`python ingestion.py --rebuild`" in deployed.plain(told.complaint)


def test_what_the_next_run_will_write_anyway_is_told_without_a_remedy(redeployed):
    assert "all is well" in redeployed.call("diagnostics.py").out
    redeployed.call("deployment.py", "--rollback")
    told = redeployed.call("diagnostics.py").out
    assert "latestscore.txt: not what is on record; the next run writes it anew" in told
    redeployed.call("diagnostics.py", "--repair")
    assert "--repair" not in redeployed.call("diagnostics.py").out
    redeployed.call("fullprocess.py")
    assert "all is well" in redeployed.call("diagnostics.py").out


def test_a_python_too_old_is_told(project, monkeypatch):
    monkeypatch.setattr(diagnostics, "OLDEST_PYTHON", (9, 9))
    with project.book() as book:
        assert "is too old, 9.9 is needed" in diagnostics.run(project.config, book).line


@pytest.mark.parametrize("name", diagnostics.CHECKS)
def test_every_check_is_documented_and_takes_an_empty_project(name, project):
    with project.book() as book:
        found = diagnostics.CHECKS[name](project.config, book)
    assert diagnostics.CHECKS[name].__doc__
    assert found.failure is None
    json.dumps(found.facts, allow_nan=False)


# ---------------------------------------------------------------------------------------------- as cron runs it
def test_as_cron_all_is_well_too(deployed, monkeypatch):
    for name in diagnostics.MATTER:
        monkeypatch.delenv(name, raising=False)
    facts = deployed.does("diagnostics.py", "--as-cron")
    assert facts["differs"] == []
    assert facts["as_cron"]["python"]["executable"] == sys.executable
    assert facts["as_cron"]["production"]["verified"]


def test_cron_has_a_bare_environment_and_the_home_folder(monkeypatch):
    monkeypatch.setenv("OF_THE_TESTS", "1")
    done = diagnostics.run_bare(["sh", "-c", "env; echo folder=$(pwd)"])
    said = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert said["PATH"] == "/usr/bin:/bin"
    assert said["SHELL"] == "/bin/sh"
    assert said["folder"] == said["HOME"]
    assert "OF_THE_TESTS" not in said


def test_what_cron_will_not_have_is_told(deployed, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    assert "cron won't have PYTHONPATH" in deployed.call("diagnostics.py", "--as-cron").out


def test_as_cron_waits_for_no_lock_of_its_own_but_sees_that_of_a_run(deployed):
    with files.lock(cli.lock_file(deployed.config)):
        ran = deployed.call("diagnostics.py", "--as-cron")
    assert ran.code == 70
    assert "exit code 75" in ran.complaint
    assert "a run is at work" in ran.complaint


def test_what_fails_under_cron_is_told_with_a_hint(deployed, monkeypatch, tmp_path):
    bad = tmp_path / "python"
    bad.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'pandas'\" >&2\nexit 1\n")
    bad.chmod(bad.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(bad))
    ran = deployed.call("diagnostics.py", "--as-cron")
    assert ran.code == 70
    assert "as cron: exit code 1: ModuleNotFoundError: No module named 'pandas'" in ran.complaint
    assert "pip install -r" in ran.complaint


# ---------------------------------------------------------------------------------------------- the package index
@pytest.fixture
def index(monkeypatch, tmp_path):
    """Give a function that makes an index with these newest versions the only one pip asks."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    with contextlib.ExitStack() as stack:

        def serve(**newest: str) -> None:
            for name, version in newest.items():
                page = tmp_path / "index" / name / "index.html"
                page.parent.mkdir(parents=True)
                page.write_text(
                    f'<a href="{name}-{version}-py3-none-any.whl">{name}-{version}-py3-none-any.whl</a>'
                )
            handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
            server = http.server.ThreadingHTTPServer(
                ("127.0.0.1", 0), lambda *rest: handler(*rest, directory=str(tmp_path / "index"))
            )
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}")

        yield serve


def test_the_index_tells_what_is_newer(project, monkeypatch, tmp_path, index):
    require(monkeypatch, tmp_path, "numpy", "pandas")
    index(numpy="999.1", pandas="0.0.1")
    facts = project.does("diagnostics.py", "--online")
    assert {one["name"]: one["state"] for one in facts["packages"]} == {"numpy": "newer", "pandas": "current"}
    assert "1 have newer versions: numpy 999.1" in project.call("diagnostics.py", "--online").out


def test_an_unreachable_index_is_unknown_and_what_it_said_before_stays_with_its_date(
    project, monkeypatch, tmp_path, index
):
    require(monkeypatch, tmp_path, "numpy")
    index(numpy="999.1")
    project.does("diagnostics.py", "--online")
    before = views.online_answers(project.config)
    monkeypatch.setenv("PIP_INDEX_URL", NOWHERE)
    ran = project.call("diagnostics.py", "--online")
    assert ran.code == 0
    assert "unknown for 1 of 1, the index didn't answer: numpy" in ran.out
    assert views.online_answers(project.config) == before
    assert before["numpy"]["newest"] == "999.1"


def test_a_folder_of_packages_does_not_stand_in_for_an_index_that_is_down(
    project, monkeypatch, tmp_path, index
):
    require(monkeypatch, tmp_path, "numpy")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "numpy-0.0.1-py3-none-any.whl").touch()
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_INDEX_URL", NOWHERE)
    (package,) = project.does("diagnostics.py", "--online")["packages"]
    assert package["state"] == "unknown"


def test_an_index_that_never_answers_does_not_hold_us_up(monkeypatch, index):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        start = time.monotonic()
        assert diagnostics.ask_index([f"package{at}" for at in range(20)], 1.0) == {
            f"package{at}": None for at in range(20)
        }
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("said", "newest"),
    [
        ("numpy (2.4.6)\nAvailable versions: 2.4.6, 2.4.5\n", "2.4.6"),
        ("Looking in links: /wheels\nNumPy (2.4.6)\n", "2.4.6"),
        ("Could not fetch URL http://a/numpy/: connection error: ... - skipping\nnumpy (2.4.6)\n", None),
        ("Could not fetch URL http://b/numpy/: 404 Client Error - skipping\nnumpy (2.4.6)\n", "2.4.6"),
        ("numpy-stubs (9.9)\n", None),
        ("", None),
    ],
)
def test_an_answer_counts_only_if_every_index_was_reached(said, newest):
    assert diagnostics.answered("numpy", said) == newest
