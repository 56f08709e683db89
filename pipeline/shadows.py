"""Models that are kept: those in service and those in their shadow, scored on every batch and waiting to be proven.

A kept model is a folder `models/shadow/<id>/` with the model and `candidate.json`, `<id>` being the start of the model
file's hash. It is a copy: what is live stands whole in its release, and a shadow that is lost is trained again.
"""

import json
import logging
import shutil
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import batches, cohorts, decisions, files, inputs, models, words
from pipeline.config import Config
from pipeline.drift import loss
from pipeline.errors import CheckFailed
from pipeline.recipes import Kept, Recipe, Situation
from pipeline.records import Records
from pipeline.releases import MODEL, SKETCH, Release

FOLDER = "shadow"
CANDIDATE = "candidate.json"
EMPTY = {"version": 1, "id": "none", "columns": {}}  # the sketch of a model from before there were any

NEEDED = {"id", "sha256", "name", "window", "rows", "learnt_upto", "run", "contract", "features"}

log = logging.getLogger("pipeline")


@dataclass(frozen=True)
class Shadow:
    """A kept model: its folder and what is known of it (see `training.train`)."""

    folder: Path
    facts: dict[str, Any]

    @property
    def id(self) -> str:
        """Give the start of the model file's hash, as it was when the model was trained."""
        return self.facts["id"]

    @property
    def slot(self) -> str:
        """Give the place it competes for: its window and its kind, `recent/logistic_regression`."""
        return f"{self.facts['window'].split()[0]}/{self.facts['name']}"

    @property
    def upto(self) -> int:
        """Give the number of the newest file it could learn from."""
        return self.facts["learnt_upto"]

    @property
    def sound(self) -> bool:
        """Say whether the model file is what training wrote."""
        try:
            self.check()
        except CheckFailed:
            return False
        return True

    @property
    def named(self) -> str:
        """Give the name for people."""
        return f"{self.facts['name']} ({self.facts['window']})"

    def check(self) -> None:
        """Raise CheckFailed if the model file isn't what training wrote."""
        path = self.folder / MODEL
        if not path.exists() or files.sha256(path) != self.facts["sha256"]:
            raise CheckFailed(f"{path}: not what training.py wrote; run training.py again")

    def model(self) -> Any:
        """Load the model. Raise CheckFailed if the file isn't what training wrote."""
        self.check()
        return _loaded(self.folder / MODEL, self.facts["sha256"])


@lru_cache(maxsize=16)
def _loaded(path: Path, sha256: str) -> Any:
    """Load a model once a run, however often it's asked to predict."""
    return models.load(path)


def candidates(config: Config) -> list[Shadow]:
    """Give what training made last for what the config asks, in name order."""
    found = _found(config.models.glob(f"[!.]*/{CANDIDATE}"))
    return [one for one in found if _asked_for(config, one)]


def kept(config: Config) -> list[Shadow]:
    """Give the kept models that were trained for what the config asks, oldest first; a damaged one is left out."""
    sound = []
    for one in _found(_kept_in(config)):
        if not _asked_for(config, one):
            continue
        if one.sound:
            sound.append(one)
        else:
            log.warning("%s: not what training wrote; no longer kept", one.folder / MODEL)
    return sorted(sound, key=lambda one: (one.upto, one.slot))


def _asked_for(config: Config, one: Shadow) -> bool:
    """Say whether a model was trained for what the config asks: rows, columns, and which of them count."""
    window = config.scoring.label_window
    same = one.facts["contract"] == config.contract and one.facts.get("label_window", window) == window
    return same and list(one.facts["features"]) == list(config.columns.features)


def _kept_in(config: Config) -> Iterable[Path]:
    return (config.models / FOLDER).glob(f"[!.]*/{CANDIDATE}")


def _found(paths: Iterable[Path]) -> list[Shadow]:
    found = []
    for path in sorted(paths):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            facts = None
        if isinstance(facts, dict) and facts.keys() >= NEEDED:
            found.append(Shadow(path.parent, facts))
        else:
            log.warning("%s: damaged; run training.py again", path)
    return found


def take(config: Config, candidate: Shadow) -> Shadow:
    """Keep a candidate: copy it to where kept models are. Raise CheckFailed if it isn't what training wrote."""
    candidate.check()
    folder = config.models / FOLDER / candidate.id
    with files.replacing_folder(folder) as draft:
        for name in (MODEL, SKETCH, CANDIDATE):
            shutil.copyfile(candidate.folder / name, draft / name)
    return Shadow(folder, candidate.facts)


def restore(config: Config, champion: Release) -> None:
    """Keep the models that are served, in case their folders were lost or damaged: the release has them.

    So are those that were trained before the rows were read otherwise (`ingestion.py --rebuild`): what is new is new to
    them, too, and if they weren't kept nothing could be compared with them.
    """
    inside = champion.recipe["weights"]
    if set(inside) <= {one.id for one in _found(_kept_in(config)) if one.sound and _asked_for(config, one)}:
        return
    if champion.not_comparable(config):
        return
    live = models.load(champion.model_file)
    for one, model in zip(inside, getattr(live, "models", [live]), strict=True):
        with files.replacing_folder(config.models / FOLDER / one) as draft:
            models.save(model, draft / MODEL)
            facts = champion.components[one] | {
                "sha256": files.sha256(draft / MODEL),
                "contract": config.contract,
            }
            (draft / SKETCH).write_text(json.dumps(champion.sketch or EMPTY), encoding="utf-8")
            (draft / CANDIDATE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def forget_cut_off(config: Config, book: Records, champion: Release) -> None:
    """Delete what a run that was cut off trained on just what is known now: it's to be decided and done again."""
    newest = newest_file(book, champion)
    if book.decided_upto() >= newest or champion.manifest.get("decided_at", 0) >= newest:
        return
    for one in kept(config):
        if one.upto == newest and one.facts["run"] not in (0, book.run):
            files.remove_folder(one.folder)
            batches.remove(config, f"{newest}-held")


def prune(config: Config, wanted: set[str]) -> None:
    """Delete the kept models that nobody asks for any more, and the drafts of runs that were cut off."""
    for folder in (config.models / FOLDER).glob("*"):
        if folder.is_dir() and folder.name not in wanted:
            files.remove_folder(folder)


def newest_file(book: Records, champion: Release) -> int:
    """Give the number of the file up to which everything is known: the last of the newest scored batch."""
    return max(book.scored_upto(), champion.learnt_upto)


def situation(config: Config, book: Records, champion: Release, upto: int = 0) -> Situation:
    """Give what decisions rest on, as it is after the newest batch that was scored, or after file `upto` if newer.

    Files are counted in batches here: how old a model is doesn't depend on files without labels. What a release was
    withdrawn on by hand proves nothing any more.
    """
    newest, withdrawn, ends = max(newest_file(book, champion), upto), book.withdrawn_upto(), book.batch_ends()
    counted = cohorts.counter(config, book)
    models_kept = [one for one in kept(config) if one.upto <= newest]
    trained = max([one.upto for one in models_kept], default=champion.learnt_upto)
    alarm, tests = since_training(config, book, champion, max(trained, withdrawn))
    harmed = harmed_file(book, champion) if alarm else book.harmed_upto() or None
    known = [one for one in batches.newest(config, newest) if one.number > withdrawn]
    enough = decisions.ENOUGH * config.retraining.min_rows
    since = [counted((harmed or 0) + 1, upto) for upto in (newest, int(trained))]
    return Situation(
        task=config.task,
        batches=[replace(one, number=_counted(ends, one.number)) for one in known],
        kept=[
            Kept(
                one.id,
                one.slot,
                int(_counted(ends, one.upto)),
                counted(0, one.upto) if one.facts["window"] == "all" else one.facts["rows"],
            )
            for one in models_kept
        ],
        served=Recipe(**champion.recipe),
        rows=counted(0, newest),
        newest=int(_counted(ends, newest)),
        alarm=alarm,
        drift=tests,
        recent=config.retraining.recent,
        harmed=None if harmed is None else _counted(ends, harmed),
        may_forget=harmed is not None and since[0] >= enough > since[1],
    )


def _counted(ends: list[int], file: float) -> float:
    """Give how many batches end with this file or before; a half more for rows held out of the newest."""
    return bisect_right(ends, file) + file % 1


def harmed_file(book: Records, champion: Release) -> int | None:
    """Give the newest file before the loss of what is served began to rise; None if that can't be said."""
    since = loss.onset(loss_state(book, champion))
    first = book.first_file(since) if since else None
    return None if first is None else first - 1


def loss_state(book: Records, champion: Release) -> dict[str, Any]:
    """Give the state of the alarm on the champion's loss, after the batches on record; anew if it's of another form."""
    anew = loss.reference(np.empty(0))
    found = book.loss_state(champion.id) or champion.manifest.get("loss") or anew
    return found if found.keys() == anew.keys() else anew


def since_training(
    config: Config, book: Records, champion: Release, trained: int
) -> tuple[list[str], list[str]]:
    """Give why the alarm on the loss, and why the score tests, found drift on batches since the newest training."""
    by_batch: dict[str, list[Any]] = {}
    for verdict in book.verdicts(champion.id, above=trained):
        by_batch.setdefault(verdict.batch, []).append(verdict)
    if not any(row.drifted for found in by_batch.values() for row in found):
        return [], []
    alarm, told, names = [], [], inputs.names_scored(config, book)
    for found in by_batch.values():
        batch = words.batch(found[0].first_file, found[0].last_file, names)
        alarm += [f"{batch}: {row.why}" for row in found if row.test == loss.TEST and row.drifted]
        against = [row for row in found if row.test != loss.TEST and row.drifted]
        if len(against) >= config.drift.require:
            told.append(f"{batch}: " + "; ".join(f"{row.test}: {row.why}" for row in against))
    return alarm[-1:], told[-1:]
