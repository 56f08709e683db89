"""A release is put together, its model files, texts and manifest, and tried before it may go live.

What it serves is a mix of kept models (see `recipes`): in skops, which is the record, and in ONNX beside it where that
predicts the same. A release that doesn't predict what was proven is deleted again.
"""

import json
import logging
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from pipeline import (
    cohorts,
    dataset,
    files,
    holdout,
    inputs,
    metrics,
    mixes,
    models,
    onnx_files,
    records,
    releases,
    serving,
    shadows,
    smoke,
)
from pipeline.config import Config
from pipeline.dataset import FILE
from pipeline.drift import loss
from pipeline.errors import CheckFailed
from pipeline.metrics import Metric
from pipeline.recipes import Recipe
from pipeline.records import Records
from pipeline.releases import Release
from pipeline.shadows import Shadow

LONGEST_WHY = 200  # letters of what a library complains of
PROOF_SCORES = 10  # a new champion's history begins with at most so many scores, on parts of its proof rows
log = logging.getLogger("pipeline")


def release(
    config: Config,
    book: Records,
    champion: Release | None,
    recipe: Recipe,
    inside: list[Shadow],
    truth: np.ndarray,
    prediction: np.ndarray,
    reasons: list[str],
    decided_at: int,
) -> Release:
    """Write a release, not live yet. Raise CheckFailed if its file doesn't predict what the models in it do.

    `truth` and `prediction` are those of the proof rows.
    """
    metric = metrics.chosen(config.task, config.scoring.metric)
    before = champion if champion is not None and not champion.answers_another(config) else None
    score = metrics.interval(metric, truth, prediction, config.model.seed)
    lead = max(inside, key=lambda one: recipe.weights[one.id])
    upto, newer = max(one.upto for one in inside), _unseen_by_all(config, book, lead, inside)
    facts: dict[str, Any] = {
        "made_at": records.now(),
        "run": book.run,
        **{name: lead.facts[name] for name in ("name", "options", "target", "task", "features", "typical")},
        **{name: lead.facts[name] for name in ("positive", "labels", "label_window") if name in lead.facts},
        "window": _windows_told(recipe, inside),
        "rows": max(one.facts["rows"] for one in inside),
        "learnt_upto": upto,
        "held_above": lead.facts["held_above"],
        "decided_at": decided_at,
        "recipe": asdict(recipe),
        "components": {one.id: one.facts for one in inside},
        "metric": metric.name,
        "score": score.facts,
        "proof_scores": [part.facts for part in _proof_scores(config, metric, truth, prediction)],
        "loss": _loss_reference(config, book, before, truth, prediction),
        "reasons": reasons,
        "replaced": champion.id if champion else None,
        "succeeds": before.id if before else None,  # whose scores and losses its own are compared with
        "data": {"files": len(book.parts()), "rows": lead.facts["rows"], "contract": config.contract},
    }
    texts = {
        "latestscore.txt": records.score_text(score.value),
        "ingestedfiles.txt": book.ingested_text(upto=upto),
        releases.SKETCH: _sketch(config, book, lead, recipe, inside, newer),
    }
    alone = {one.id: one.model() for one in inside}
    draft = config.models / f".{releases.MODEL}"
    model = mixes.made(recipe, alone, config.task)
    content, told = _onnx(config, book, model, newer, upto)
    try:
        models.save(model, draft)
        taken = [row.id for row in book.releases()]
        if content is not None:
            made = releases.make(config, draft, texts, facts | {"onnx": told}, taken, content)
            try:
                return _tried(config, book, made, recipe, alone)
            except CheckFailed as problem:  # without it, then; if it's the model itself, that fails again
                told = {"used": False, "why": str(problem)}
        made = releases.make(config, draft, texts, facts | {"onnx": told}, taken)
        return _tried(config, book, made, recipe, alone)
    finally:
        draft.unlink(missing_ok=True)


def _tried(config: Config, book: Records, release: Release, recipe: Recipe, alone: dict[str, Any]) -> Release:
    """Give the release if it passes its smoke check; else delete it and raise CheckFailed."""
    try:
        check(config, book, release, recipe, alone)
    except CheckFailed:
        files.remove_folder(release.folder)  # it was never live, and never will be
        raise
    return release


def check(config: Config, book: Records, release: Release, recipe: Recipe, alone: dict[str, Any]) -> None:
    """Raise CheckFailed unless the release's very files predict, in a process of its own, what the proven models do."""
    newest = book.parts(upto=release.learnt_upto)[-1:]
    if not newest:  # no rows to try it on: its files are compared with their hashes at least
        releases.verified(release.folder, releases.key_of(config))
        return
    rows = dataset.load(config.ingested, newest).head(smoke.ROWS)
    seen = models.inputs_of(rows, config.columns.features)
    each = {one: models.predict(model, seen, config.task) for one, model in alone.items()}
    expected = recipe.predict(each, config.task)
    found, *by_onnx = smoke.apart(release, config.ingested, newest[0][1])
    if not np.allclose(found, expected, rtol=1e-9, atol=1e-12):
        raise CheckFailed(f"{release.model_file}: predicts otherwise than what was proven; not deployed")
    for one in by_onnx:
        if why := serving.agreement(one, expected, config.task).why:
            raise CheckFailed(f"in a process of its own it {why}")


def _onnx(
    config: Config, book: Records, model: Any, newer: pd.DataFrame, upto: int
) -> tuple[bytes | None, dict[str, Any]]:
    """Give the model as ONNX file if it can be one that predicts the same, else None; and what the manifest says of it.

    It is tried on rows that the model hasn't learnt from, and on the newest that it has; and on those again with
    numbers missing and categories unknown, of which there may have been none.
    """
    if not config.deployment.onnx:
        return None, {"used": False, "why": serving.OFF}
    newest = dataset.load(config.ingested, book.parts(upto=upto)[-1:]).head(smoke.ROWS)
    plain = pd.concat([models.inputs_of(rows, config.columns.features) for rows in (newer, newest)])
    seen = pd.concat([plain, serving.worse(plain.tail(smoke.ROWS))], ignore_index=True)
    try:
        content = onnx_files.converted(model, config.columns.features, config.task)
        found = models.predict(serving.OnnxModel(content), seen, config.task)
    except Exception as problem:  # noqa: BLE001 - whatever its libraries raise, the release goes live without
        why = " ".join(str(problem).split())[:LONGEST_WHY]
        told = why if isinstance(problem, onnx_files.NotConvertible) else f"{type(problem).__name__}: {why}"
        log.info("no ONNX file: %s", told)
        return None, {"used": False, "why": told}
    seen_as = serving.agreement(found, models.predict(model, seen, config.task), config.task)
    if seen_as.why:
        return None, {"used": False, "why": seen_as.why}
    return content, {"used": True, "rows": seen_as.rows, "largest_difference": seen_as.largest}


def _unseen_by_all(config: Config, book: Records, lead: Shadow, inside: list[Shadow]) -> pd.DataFrame:
    """Give rows that no model in a release learnt from: newer ones, else those held out, else the test table."""
    upto = max(one.upto for one in inside)
    above = releases.held_out_above([one.facts for one in inside], lead.facts["held_above"])
    newer = cohorts.unseen_rows(config, book, upto, book.last_file())
    if above is not None and not len(newer):
        newer = cohorts.unseen_rows(config, book, above, upto)
        newer = newer[holdout.proof(newer, above, config.deployment.proof_rows)]
    if not len(newer):
        newer = dataset.read_tables(config, config.test).assign(**{FILE: 0})
    return newer


def _sketch(
    config: Config, book: Records, lead: Shadow, recipe: Recipe, inside: list[Shadow], newer: pd.DataFrame
) -> str:
    """Give the sketch of what the weightiest model learnt from, and of predictions of rows that none of them did."""
    kept = json.loads((lead.folder / releases.SKETCH).read_text(encoding="utf-8"))
    seen = models.inputs_of(newer, config.columns.features)
    each = {one.id: models.predict(one.model(), seen, config.task) for one in inside}
    prediction, places = recipe.predict(each, config.task), inputs.places_of(book)
    return inputs.text_of(inputs.with_predictions(config, kept, newer, prediction, places))


def _windows_told(recipe: Recipe, inside: list[Shadow]) -> str:
    """Give what the models in a release learnt from, for people: `all`, or `70% all, 30% recent 10`."""
    if len(inside) == 1:
        return inside[0].facts["window"]
    return ", ".join(f"{recipe.weights[one.id]:.0%} {one.facts['window']}" for one in inside)


def _loss_reference(
    config: Config, book: Records, champion: Release | None, truth: np.ndarray, prediction: np.ndarray
) -> dict[str, Any]:
    """Give the state with which the alarm on the new champion's loss begins."""
    before = None if champion is None else shadows.loss_state(book, champion)
    scale = None if before is None else before["scale"]
    if config.task == "regression" and scale is None:
        before, scale = None, loss.error_scale(truth, prediction)
    lost = loss.of_rows(config.task, truth, prediction, scale)
    return loss.reference(lost, scale=scale) if before is None else loss.succeeded(before, lost)


def _proof_scores(
    config: Config, metric: Metric, truth: np.ndarray, prediction: np.ndarray
) -> list[metrics.Score]:
    """Give the scores on consecutive parts of the proof rows: the new champion's history to be compared with."""
    parts = min(PROOF_SCORES, max(1, len(truth) // config.scoring.min_rows))
    found = [
        metrics.interval(metric, truth[rows], prediction[rows], config.model.seed)
        for rows in np.array_split(np.arange(len(truth)), parts)
    ]
    return [score for score in found if not math.isnan(score.value)]
