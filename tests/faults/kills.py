"""Killed (SIGKILL) at every system call that changes something, of runs and of what people ask for."""

import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd

from tests.faults.sweep import (
    Frame,
    Trial,
    Wrong,
    disturbed,
    find_points,
    finished,
    forked,
    undisturbed,
    untouched,
)
from tests.project import CONFIG, Point, Project, clients

KILLED = -9
JOINED = """{source: [
  {path: drop, columns: [activity, complaints, branch]},
  {path: outcomes, columns: [exited]},
]}"""
FAILED = re.compile(r"\) = -1 E[A-Z]+ ")


def deploying(folder: Path, first_run: Project) -> Frame:
    """Give a run that ingests, retrains and deploys, ready to be disturbed; `first_run` has a model deployed."""
    start = first_run.copied(folder / "start")
    start.drop("week3.csv", clients(180, seed=3, day=15, flipped=True))
    frame = known(Frame(folder, start))
    assert frame.states[0]["releases"] == 2, "nothing was deployed"
    return frame


def beginning(folder: Path, _: Project) -> Frame:
    """Give a first run, ready to be disturbed."""
    start = Project.made(folder / "start")
    start.test_table(clients(400, seed=100))
    start.drop("week1.csv", clients(150, seed=1))
    return known(Frame(folder, start))


def rolling_back(folder: Path, second_run: Project) -> Frame:
    """Give a rollback, ready to be disturbed. It has happened or it hasn't: two states are right in the end."""
    start = second_run.copied(folder / "start")
    frame = Frame(folder, start, "deployment.py", ("--rollback",))
    known(frame).states.append(untouched(frame))
    assert frame.states[0]["live"] != frame.states[1]["live"]
    return frame


def joining(folder: Path, _: Project) -> Frame:
    """Give a run that joins two sources, the outcomes late, retrains and deploys, ready to be disturbed."""
    text = CONFIG.replace("{source: drop}", JOINED)
    start = Project.made(folder / "start", f"{text}cleaning: {{join: {{keys: [client, seen]}}}}\n")
    (start.folder / "outcomes").mkdir()
    start.test_table(clients(400, seed=100))
    first, second = clients(300, seed=1), clients(180, seed=3, day=15, flipped=True)
    start.drop("week1.csv", first.drop(columns="exited"))
    start.drop("../outcomes/week1.csv", first[["client", "seen", "exited"]])
    assert forked(start, "fullprocess.py").code == 0
    start.drop("week3.csv", second.drop(columns="exited"))
    assert forked(start, "fullprocess.py").code == 0
    start.drop("../outcomes/week3.csv", second[["client", "seen", "exited"]])
    frame = known(Frame(folder, start))
    assert frame.states[0]["releases"] == 2, "nothing was deployed"
    return frame


class Silent(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing of it."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def fetching(folder: Path, _: Project) -> Frame:
    """Give a run that fetches what it deploys on from a web server, ready to be disturbed; that serves on and on."""
    there = folder / "web"
    there.mkdir(parents=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(there)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    text = CONFIG.replace(
        "{source: drop}", f"{{source: [drop, 'http://127.0.0.1:{server.server_port}/clients.csv']}}"
    )
    start = Project.made(folder / "start", text)
    start.test_table(clients(400, seed=100))
    first, second = clients(300, seed=1), clients(180, seed=3, day=15, flipped=True)
    first.to_csv(there / "clients.csv", index=False)
    assert forked(start, "fullprocess.py").code == 0
    pd.concat([first, second]).to_csv(there / "clients.csv", index=False)  # it has grown
    frame = known(Frame(folder, start))
    assert frame.states[0]["releases"] == 2, "nothing was deployed"
    return frame


def rebuilding(folder: Path, second_run: Project) -> Frame:
    """Give a rebuild after a change of the columns' contract, ready to be disturbed."""
    start = second_run.copied(folder / "start")
    start.configure("activity: {type: number, min: 0}", "activity: {type: number, min: 3}")
    frame = Frame(folder, start, "ingestion.py", ("--rebuild",), again=True)
    return known(frame)


def repairing(folder: Path, second_run: Project) -> Frame:
    """Give a repair of records that were lost, while a file waits to be ingested, ready to be disturbed."""
    start = second_run.copied(folder / "start")
    start.drop("week4.csv", clients(150, seed=4, day=22, flipped=True))
    (start.folder / "records.db").unlink()
    frame = Frame(folder, start, "diagnostics.py", ("--repair",), again=True)
    return known(frame)


def known(frame: Frame) -> Frame:
    """Give the frame with what the script leads to undisturbed, and its points."""
    frame.states.append(undisturbed(frame))
    find_points(frame)
    return frame


def trials(frame: Frame) -> list[Trial]:
    """Give a kill at each point of the script.

    Left out are those that leave what the one before leaves: between them a file was synced, or a call failed.
    """
    before = [None, *frame.points]
    return [
        Trial(str(point), killed, (point,))
        for point, last in zip(frame.points, before, strict=False)
        if last is None or not changes_nothing(last)
    ]


def changes_nothing(point: Point) -> bool:
    """Say whether readers find the same after this call as before."""
    return point.name in ("fsync", "fdatasync") or FAILED.search(point.told) is not None


def killed(frame: Frame, project: Project, point: Point) -> Wrong:
    """Kill the script there, and give what the next run leaves wrong."""
    ran = disturbed(project, point, "signal=KILL", frame.script, *frame.flags)
    assert ran.code == KILLED, f"not killed, left with {ran.code}: {ran.err}"
    return finished(frame, project)
