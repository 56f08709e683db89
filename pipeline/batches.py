"""Labelled batches as the kept models predicted them, before any of them learnt from these rows.

What decides on weights, proofs and trainings is asked of these files, not of models run anew: a prediction is what it
was at the time. Only the newest are kept. A file that is lost or damaged is evidence lost, never a wrong decision: its
batch is left out, with a word in the log.
"""

import io
import logging
import zipfile
from pathlib import Path

import numpy as np

from pipeline import files
from pipeline.config import Config
from pipeline.recipes import MEMORY, Batch

log = logging.getLogger("pipeline")

FOLDER = "batches"
MOST_ROWS = 5_000  # of a batch, evenly spread: more would tell hardly more, and cost every tick


def save(config: Config, name: str, batch: Batch) -> None:
    """Write a batch under this name, and drop what is older than anybody asks for."""
    few = spread(len(batch.truth))
    ids = list(batch.predictions)
    with files.replacing(_folder(config) / f"{name}.npz") as draft, draft.open("wb") as out:
        np.savez(
            out,
            contract=np.array([config.contract]),
            number=np.array([batch.number]),
            truth=batch.truth[few],
            served=batch.served[few],
            ids=np.array(ids, dtype=str),
            predictions=np.array([batch.predictions[one][few] for one in ids]),
            slots=np.array(list(batch.slots.items()), dtype=str).reshape(-1, 2),
        )
    for path in sorted(_folder(config).glob("*.npz"), key=_number)[: -2 * MEMORY]:
        path.unlink(missing_ok=True)


def remove(config: Config, name: str) -> None:
    """Delete a batch; none of that name is fine."""
    (_folder(config) / f"{name}.npz").unlink(missing_ok=True)


def newest(config: Config, upto: int) -> list[Batch]:
    """Give the newest batches up to file number `upto`, oldest first, at most `MEMORY` of them."""
    found: list[Batch] = []
    for path in sorted(_folder(config).glob("*.npz"), key=_number, reverse=True):
        if len(found) < MEMORY and _number(path)[0] <= upto:
            batch = _read(config, path)
            found += [batch] if batch else []
    return found[::-1]


def spread(rows: int) -> np.ndarray:
    """Give the places of at most `MOST_ROWS` rows, evenly spread."""
    return np.linspace(0, rows - 1, min(rows, MOST_ROWS)).astype(int)


def _read(config: Config, path: Path) -> Batch | None:
    """Give a batch; None if it's of another contract or damaged. Raise OSError if it can't be read just now."""
    content = io.BytesIO(path.read_bytes())  # by itself: of damaged ones zipfile raises OSErrors, too
    try:
        with np.load(content, allow_pickle=False) as held:
            if str(held["contract"][0]) != config.contract:
                return None
            ids = [str(one) for one in held["ids"]]
            return Batch(
                number=float(held["number"][0]),
                truth=held["truth"],
                predictions=dict(zip(ids, held["predictions"], strict=True)),
                slots={str(slot): str(one) for slot, one in held["slots"]},
                served=held["served"],
            )
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as problem:
        log.warning("%s: damaged, left out of what decides (%s)", path, problem)
        return None


def _folder(config: Config) -> Path:
    return config.models / FOLDER


def _number(path: Path) -> tuple[int, str]:
    """Give the order of a batch's file, named `7`, `8-9`, or `9-held`: by its last file."""
    last = path.stem.removesuffix("-held").rpartition("-")[2]
    return (int(last) if last.isdecimal() else 0, path.stem)
