"""What cron makes of the project: the crontab as it is shipped, a real daemon, real files and real mail."""

import json
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests import cron
from tests.cron import body, private_cron

ROOT = Path(__file__).resolve().parents[1]
WHY_NOT = cron.why_not()

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


def test_a_silent_job_runs_and_sends_no_mail(tmp_path):
    with private_cron(f"OUT={tmp_path}/runs\n* * * * * echo ran >>$OUT\n", tmp_path / "cron") as daemon:
        daemon.wait_for(lambda: lines(tmp_path / "runs") >= 3, seconds=60)
        assert daemon.mails() == []


def test_a_job_that_complains_sends_one_mail_each_time_with_its_words(tmp_path):
    crontab = f"OUT={tmp_path}/runs\n* * * * * echo ran >>$OUT; echo no such luck >&2\n"
    with private_cron(crontab, tmp_path / "cron") as daemon:
        daemon.wait_for(lambda: lines(tmp_path / "runs") >= 3, seconds=60)
        runs = lines(tmp_path / "runs")
        daemon.wait_for(lambda: len(daemon.mails()) >= runs, seconds=60)
        mails = daemon.mails()
        assert len(mails) <= lines(tmp_path / "runs")
    assert {body(mail) for mail in mails} == {"no such luck\n"}


def test_a_job_has_crons_bare_environment_and_the_real_clock(tmp_path, monkeypatch):
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("OF_THE_TESTS", "1")
    started = time.time()
    with private_cron("* * * * * env; pwd; date +now=\\%s\n", tmp_path / "cron", speed=600) as daemon:
        daemon.wait_for(lambda: len(daemon.mails()) >= 20, seconds=60)
        said = body(daemon.mails()[19])
    found = dict(line.partition("=")[::2] for line in said.splitlines())
    assert found["PATH"] == "/usr/bin:/bin"
    assert found["SHELL"] == "/bin/sh"
    assert found["HOME"] == found["PWD"] == str(Path.home())
    assert not {"LD_PRELOAD", "FAKETIME", "OF_THE_TESTS", "VIRTUAL_ENV", "TZ"} & set(found)
    assert "LANG" not in found or Path("/etc/default/locale").read_text().strip()
    assert started - 1 <= int(found["now"]) <= time.time() + 1


def test_a_private_cron_hides_the_machines_jobs_and_leaves_nothing_behind(tmp_path):
    sees = "cat /etc/crontab; ls /etc/cron.d /var/spool/cron/crontabs"
    with private_cron(f"* * * * * {sees}; sleep 1000\n* * * * * {sees}\n", tmp_path / "cron") as daemon:
        daemon.wait_for(lambda: daemon.mails(), seconds=60)
        said = body(daemon.mails()[0])
        assert processes_within(tmp_path)
    assert said.split() == ["/etc/cron.d:", "beat", "/var/spool/cron/crontabs:", "root"]
    assert processes_within(tmp_path) == []


def test_a_private_cron_ends_with_the_tests_even_if_they_are_killed(tmp_path):
    code = """
import os, pathlib, sys, tests.cron
with tests.cron.private_cron("", pathlib.Path(sys.argv[1])):
    os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code, tmp_path / "cron"], cwd=ROOT)
    assert killed.returncode == -9
    assert (tmp_path / "cron" / "ready").exists()
    deadline = time.monotonic() + 20
    while processes_within(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_crontab_that_cron_refuses_is_an_error_with_its_words(tmp_path):
    with pytest.raises(RuntimeError, match="bad minute"), private_cron("soon please\n", tmp_path / "cron"):
        pass


WEEKS = 3  # after which another model is proven


def test_dropped_data_become_a_release_and_only_failures_send_mail(tmp_path):
    project = install(tmp_path / "a project")
    live = project / "production_deployment" / "current"
    crontab = edited((ROOT / "crontab.txt").read_text(), r"(?m)^PROJECT=.*$", f"PROJECT={project}")

    with private_cron(crontab, tmp_path / "cron", speed=300, beat="*/10 * * * *") as daemon:
        daemon.wait_for_ticks(2, seconds=60)
        assert complaints(daemon) == [], "with nothing to do yet"

        drop("practicedata", project)
        daemon.wait_for(live.exists, seconds=300)
        first = live.resolve()
        wait_until_quiet(daemon, project)
        assert (live / "latestscore.txt").exists()
        assert complaints(daemon) == [], "after the first data"

        drop("sourcedata", project, WEEKS)  # the whole season is gone through in test_fullprocess.py
        daemon.wait_for(lambda: live.resolve() != first, seconds=300)
        wait_until_quiet(daemon, project)
        assert complaints(daemon) == [], "after another release"
        replaced = json.loads((live / "manifest.json").read_text())["replaced"]
        assert (live.resolve().parent / replaced).is_dir(), "the former release is kept"

        config = (project / "config.yaml").read_text()
        rewrite(project / "config.yaml", config + "\nscoer: 1\n")
        daemon.wait_for(lambda: complaints(daemon), seconds=60)
        rewrite(project / "config.yaml", config)
        wait_until_quiet(daemon, project)
        so_far = complaints(daemon)
        daemon.wait_for_ticks(3, seconds=60)
        assert complaints(daemon) == so_far, "after the cause is gone"

    for complaint in so_far:
        assert len(complaint.splitlines()) == 1
        assert "config.yaml" in complaint
        assert "scoer" in complaint


def install(project: Path) -> Path:
    """Set the project up as on a server, with these tests' own Python, and an empty folder for the drops."""
    project.mkdir()
    for file in [*ROOT.glob("*.py"), ROOT / "config.yaml", ROOT / "requirements.txt"]:
        shutil.copy2(file, project)
    for folder in ("pipeline", "testdata"):
        shutil.copytree(ROOT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (project / ".venv").symlink_to(sys.prefix)
    (project / "drop").mkdir()
    config = (project / "config.yaml").read_text()
    rewrite(project / "config.yaml", edited(config, r"(?m)^  source: \w+", "  source: drop"))
    return project


def edited(text: str, pattern: str, line: str) -> str:
    """Give the text with the one match of the pattern replaced."""
    text, count = re.subn(pattern, lambda _: line, text)
    assert count == 1, f"{count} matches of {pattern}"
    return text


def rewrite(path: Path, text: str) -> None:
    """Replace a file in one step, so that cron never finds half of it."""
    draft = path.with_name("draft")
    draft.write_text(text)
    draft.replace(path)


def drop(folder: str, project: Path, most: int | None = None) -> None:
    """Put the folder's tables (the first so many) into the drop, each whole or not at all."""
    files = sorted((ROOT / folder).glob("*.csv"))[:most]
    assert files, f"no tables in {folder}"
    for file in files:
        shutil.copy2(file, project / "arriving")
        (project / "arriving").replace(project / "drop" / file.name)


def wait_until_quiet(daemon: cron.Cron, project: Path) -> None:
    """Return once three ticks in a row have neither logged nor mailed anything: no run is at work."""

    def said() -> tuple[int, int]:
        log = project / "fullprocess.log"
        return (log.stat().st_size if log.exists() else 0, len(daemon.mails()))

    for _ in range(100):
        before = said()
        daemon.wait_for_ticks(3, seconds=60)
        if said() == before:
            return
    raise TimeoutError("never quiet; mails:\n" + "\n".join(daemon.mails()))


def complaints(daemon: cron.Cron) -> list[str]:
    """Give what was mailed, but for ticks that met a run still at work: ten fast minutes are two seconds."""
    return [said for said in map(body, daemon.mails()) if "holds the lock" not in said]


def lines(path: Path) -> int:
    """Count the lines of a file that may not be there yet."""
    return path.read_text().count("\n") if path.exists() else 0


def processes_within(folder: Path) -> list[str]:
    """Give the ids of the processes, here or in a namespace, that have a mount from the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may have just ended
            if str(folder) in (process / "mountinfo").read_text():
                found.append(process.name)
    return found
