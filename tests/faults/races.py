"""Readers that never rest while release after release goes live, is rolled back, and is pruned.

A writer makes releases of two models in turn, so that a mix of two would show, and puts them live as a run does;
every fifth time it goes back. Beside it read, each in a process of its own, those of `READERS`. What a reader finds
that isn't wholly one release is wrong. One that is so slow that its release was pruned is *overtaken*: it finds files
missing, never others, and the link points elsewhere.
"""

import hashlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from pipeline import cli, files, journal, models, records, releases, serving
from pipeline.releases import MANIFEST, MODEL, READABLE
from tests.faults.sweep import Frame, Trial, Wrong, forked
from tests.project import LONGEST, Project, clients, made_of

DEPLOYMENTS = 200
KEPT = (2, 3)  # releases; with more no reader is overtaken
BACK = 5  # every so manieth deployment is a rollback
REST = 0.005  # seconds between two
READS = 3  # times that each reader must have read, at least
SHOWN = 5  # of what a reader found wrong

Read = Callable[[Project], None]
WHOLE: dict[str, Callable[[bytes], object]] = {
    MODEL: lambda content: (
        content[:2] == b"PK" and content[-22:-18] == b"PK\5\6"
    ),  # a ZIP archive, to its end
    "latestscore.txt": lambda content: content.endswith(b"\n") and float(content) >= 0,
    "ingestedfiles.txt": lambda content: content.startswith(b"source_location") and content.endswith(b"\n"),
}


class Torn(Exception):
    """A reader saw what is not wholly one release."""


class Overtaken(Exception):
    """The release that was being read is gone, and another is live."""


def served(folder: Path, second_run: Project) -> Frame:
    """Give a project with two releases to be read."""
    return Frame(folder, second_run.copied(folder / "start"))


def trials(frame: Frame) -> list[Trial]:
    """Give the race, with few releases kept and with more."""
    return [Trial(f"{DEPLOYMENTS} deployments, {kept} kept", raced, (kept, DEPLOYMENTS)) for kept in KEPT]


def raced(frame: Frame, project: Project, kept: int, deployments: int) -> Wrong:
    """Deploy so many times beside the readers, and give what they saw that was no whole release."""
    project.configure("deployment: {", f"deployment: {{keep: {kept}, ")
    fork = get_context("fork")
    started = []
    for name, read in READERS.items():
        here, there = fork.Pipe()
        process = fork.Process(target=_reading, args=(project, read, there))
        process.start()
        started.append((name, process, here))
    try:
        for _, _, told in started:
            told.recv()  # it has read for the first time
        live = _deploying(project, deployments)
        for _, _, told in started:
            told.send("enough")
        found = {name: told.recv() for name, _, told in started}
    finally:
        for _, process, _ in started:
            process.join(1)
            process.kill()
    counted = ", ".join(f"{name} {seen['read']:,}" for name, seen in found.items())
    overtaken = sum(seen["overtaken"] for seen in found.values())
    print(f"{deployments} deployments; reads: {counted}; overtaken: {overtaken}", file=sys.stderr, flush=True)
    wrong: Wrong = {name: seen["torn"][:SHOWN] for name, seen in found.items() if seen["torn"]}
    wrong |= {f"{name}: hardly read": seen["read"] for name, seen in found.items() if seen["read"] < READS}
    return wrong | left(project, live, kept)


def left(project: Project, live: str, kept: int) -> Wrong:
    """Give what is wrong in the end: the last should be live, and no more there than were to be kept."""
    verified = forked(project, "deployment.py", "--verify", "--json")
    if verified.code:
        return {"production": verified.err}
    there = verified.facts["releases"]
    return {} if verified.facts["live"] == live and len(there) <= kept + 2 else {"left": (there, live)}


# ---------------------------------------------------------------------------------------------- the writer
def _deploying(project: Project, deployments: int) -> str:
    """Let so many releases go live, and give the last. Each is of another model than the one before."""
    import deployment

    config = project.config
    made = [(made_of(one), one.model_file.read_bytes()) for one in releases.all_verified(config).values()]
    live = ""
    for number in range(deployments):
        with files.lock(cli.lock_file(config)), journal.opened(config) as book:
            if number % BACK == BACK - 1:
                live = deployment.run(config, book, rollback=True).facts["release"]
            else:
                parts, model = made[number % len(made)]
                draft = project.folder / "a model"
                draft.write_bytes(model)
                facts = parts["facts"] | {"made_at": records.now(), "replaced": project.live()}
                texts = parts["texts"] | {"latestscore.txt": records.score_text(number / deployments)}
                taken = [row.id for row in book.releases()]
                release = releases.make(config, draft, texts, facts, taken, parts["onnx"])
                deployment.make_live(config, book, release)
                live = release.id
                assert {live, facts["replaced"]} <= set(releases.all_ids(config.production)), (
                    "pruned too much"
                )
        time.sleep(REST)
    return live


# ---------------------------------------------------------------------------------------------- readers
def _reading(project: Project, read: Read, told: Connection) -> None:
    """Read again and again until told that it's enough, and tell how often and what was wrong."""
    signal.alarm(10 * LONGEST)  # whoever started it may be gone
    os.nice(5)  # the writer is to come along
    counts, torn = Counter[str](), list[str]()
    while not told.poll():
        try:
            read(project)
            counts["read"] += 1
        except Overtaken:
            counts["overtaken"] += 1
        except Exception as problem:  # noqa: BLE001  whatever it is, no reader should meet it
            torn.append(f"{type(problem).__name__}: {problem}")
        if counts.total() + len(torn) == 1:
            told.send("begun")
    told.send({"read": counts["read"], "overtaken": counts["overtaken"], "torn": torn})


def stranger(project: Project) -> None:
    """Read as people do who know nothing of us: see where the link points, and read all that is there."""
    link = project.production("current")
    folder = link.parent / os.readlink(link)
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        found = {name: (folder / name).read_bytes() for name in manifest["files"]}
    except FileNotFoundError:
        raise _missing(folder, link) from None
    if manifest["id"] != folder.name:
        raise Torn(f"{folder.name}: the manifest is of {manifest['id']}")
    for name, content in found.items():
        if hashlib.sha256(content).hexdigest() != manifest["files"][name]:
            raise Torn(f"{folder.name}/{name}: not what the manifest says")


def _missing(folder: Path, link: Path) -> Exception:
    """Give what it means that a file is missing: the whole release was pruned, or it is torn."""
    pruned = not folder.exists() and os.readlink(link) != f"{releases.FOLDER}/{folder.name}"
    return Overtaken() if pruned else Torn(f"{folder.name}: a file is missing")


def opened(project: Project) -> None:
    """Read through the links beside `current`, one file after the other: each is whole, whichever release it is of."""
    for name in READABLE:
        path = project.production(name)
        with path.open("rb") as file:
            content = file.read()
        if not WHOLE[name](content):
            raise Torn(f"{path}: {content[:100]!r}")


def ours(project: Project) -> None:
    """Read as this project does: the live release, verified, its model loaded, and predictions made."""
    config = project.config
    release = releases.current(config)
    if release is None:
        raise Torn("nothing is live")
    try:
        both = [models.load(release.model_file), serving.model_of(release)]
        score = (release.folder / "latestscore.txt").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _missing(release.folder, project.production("current")) from None
    seen = models.inputs_of(clients(20, seed=77), release.features)
    by_skops, by_onnx = (models.predict(model, seen, config.task) for model in both)
    if not (np.allclose(by_skops, by_onnx, rtol=0, atol=serving.CLOSE) and score.endswith("\n")):
        raise Torn(f"{release.id}: {by_skops}, {by_onnx}, {score}")


def commands(project: Project) -> None:
    """Run the commands that read without the lock."""
    import deployment

    with journal.opened(project.config, reading=True) as book:
        deployment.run(project.config, book, verify=True)
        deployment.run(project.config, book, list=True)


READERS: dict[str, Read] = {"stranger": stranger, "opened": opened, "ours": ours, "commands": commands}
