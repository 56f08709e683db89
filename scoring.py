"""Scoring: how well does the deployed model do on rows it has not learnt from? And which clients are at risk?

    python scoring.py [--config FILE] [--json] [-v] [--model PATH] [--data FILE]
    python scoring.py --clients FILE --out FILE
    python scoring.py --accept NAME

Without flags: compares every new file with what the champion learnt from, scores the champion on every batch of
labelled rows that came since, before any model learns from them, and judges drift; where nothing is deployed, scores
the candidates on the test table. A batch is one ingested file, or several until there are scoring.min_rows labelled
rows; files of bad data are left out, until --accept says that the one of this name is right.

Reads  production_deployment/, paths.ingested/parts/, paths.test
Writes paths.models/latestscore.txt, paths.models/batches/, the score history, the verdicts on drift, what was found
       of each file
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import (
    agenda,
    batches,
    calllist,
    cli,
    cohorts,
    dataset,
    drift,
    files,
    inputs,
    metrics,
    models,
    predictions,
    records,
    releases,
    serving,
    shadows,
    views,
    words,
)
from pipeline.cli import Result, log
from pipeline.config import Config
from pipeline.dataset import FILE
from pipeline.drift import Verdict, loss
from pipeline.errors import DataError, FileError, UsageError
from pipeline.metrics import Metric, Score
from pipeline.recipes import Batch
from pipeline.records import Records
from pipeline.releases import Release


def run(
    config: Config,
    book: Records,
    model: str | None = None,
    data: str | None = None,
    clients: str | None = None,
    out: str | None = None,
    accept: str | None = None,
) -> Result:
    """Score, or rank clients, or take a file for right that came as bad data."""
    if accept is not None:
        if model or data or clients or out:
            raise UsageError("--accept NAME goes alone")
        file = inputs.to_accept(config, book, accept)
        agenda.begin(config)
        return Result(inputs.accept(book, file), {"accepted": file.name, "number": file.id})
    metric = metrics.chosen(config.task, config.scoring.metric)
    champion = releases.current(config)
    if champion is not None:
        releases.check_libraries(champion, config.deployment.libraries == "refuse")
    if clients or out:
        if model or data:
            raise UsageError(
                "--clients FILE --out FILE rank by what is live; --model and --data are for scores"
            )
        return _rank(config, champion, clients, out)
    if model or data:
        return _score_file(config, metric, champion, model, data)
    if champion is not None:
        return score_champion(config, book, champion)
    return _score_candidates(config, metric)


def score_champion(config: Config, book: Records, champion: Release) -> Result:
    """Score the champion on each batch that came since one was last scored, and judge drift."""
    name = metrics.chosen(config.task, config.scoring.metric).name
    inputs.watch(config, book, champion)
    if not fits(config, champion):
        line = f"{champion.id} is not scored: config.yaml has {champion.not_comparable(config)}"
        return Result(line, {"release": champion.id, "metric": name, "scores": [], "drift": [], "inputs": []})
    told, found = [], []
    for batch, rows in unscored_batches(config, book, champion):
        score, verdicts = score_batch(config, book, champion, batch, rows)
        told.append(score)
        found += verdicts
    seen = inputs.diagnose(config, book, alarms(config, book))
    forget_scored(config, book, champion)
    latest = write_latest(config, book, champion)
    line = f"scored {champion.id} on {words.counted(len(told), 'new batch')}"
    line += f"; its latest {name} is {latest}"
    line += f"; {said}" if (said := words.troubles(seen)) else ""
    facts = {"release": champion.id, "metric": name, "scores": told}
    return Result(line, {**facts, "drift": found + inputs.verdicts_of(seen), "inputs": inputs.kinds_of(seen)})


def alarms(config: Config, book: Records) -> dict[int, bool]:
    """Say for the first file of each scored batch whether the loss had risen there."""
    return {one.first_file: bool(one.drifted) for one in book.verdicts() if one.test == loss.TEST}


def score_batch(
    config: Config, book: Records, champion: Release, batch: str, rows: pd.DataFrame
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Score the champion and its shadows on a batch, judge drift, put it on record; give score and verdicts as facts.

    What the models predict is written before the score, so a batch on record has its predictions.
    """
    metric = metrics.chosen(config.task, config.scoring.metric)
    truth, prediction = predicted(config, champion, models.load(champion.model_file), rows)
    span = (int(rows[FILE].min()), int(rows[FILE].max()))
    score = metrics.interval(metric, truth, prediction, config.model.seed)
    state = shadows.loss_state(book, champion)
    if config.task == "regression" and state["scale"] is None:  # it was deployed before there was an alarm
        state = loss.reference(np.empty(0), scale=loss.error_scale(truth, prediction))
    lost = loss.of_rows(config.task, truth, prediction, state["scale"])
    past = history(config, book, metric, champion.id)
    tests = _judge(config, book, metric, champion, score, past)
    state, alarm = loss.update(state, batch, lost, drift.agreed(tests, config.drift.require))
    verdicts = [*tests, alarm]
    batches.save(config, batch, _seen_by_all(config, champion, rows, span, truth, prediction))
    book.add_score(champion.id, batch, span, metric.name, score, verdicts, state)
    log.info("batch %s: %s %s", batch, metric.name, score)
    return (
        {"batch": batch, "name": words.batch(*span, inputs.names_scored(config, book)), **score.facts},
        [{"batch": batch, **_verdict_facts(verdict)} for verdict in verdicts],
    )


def _seen_by_all(
    config: Config,
    champion: Release,
    rows: pd.DataFrame,
    span: tuple[int, int],
    truth: np.ndarray,
    prediction: np.ndarray,
) -> Batch:
    """Give the batch as the kept models see it that have learnt from none of its files."""
    shadows.restore(config, champion)
    unknowing = [one for one in shadows.kept(config) if one.upto < span[0]]
    seen = models.inputs_of(rows, config.columns.features)
    return Batch(
        number=span[1],
        truth=truth,
        predictions={one.id: models.predict(one.model(), seen, config.task) for one in unknowing},
        slots={one.slot: one.id for one in unknowing},  # oldest first, so the newest of a slot stays
        served=prediction,
    )


def fits(config: Config, release: Release) -> bool:
    """Say whether the release can be scored on what is new: its columns are there, and rows it knows don't count."""
    return release.takes(config) and not release.counts_otherwise(config)


def unscored_batches(config: Config, book: Records, champion: Release) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give name and labelled rows of each batch that no champion was scored on, and this one hasn't learnt from.

    Files are put together until a batch has enough rows and, for classification, both classes; what is left at the
    end waits for the next file.
    """
    above = max(champion.learnt_upto, book.scored_upto())
    waiting: list[pd.DataFrame] = []
    first = None
    for number, rows in _labelled_by_file(config, book, above):
        first = number if first is None else first
        waiting.append(rows)
        if sum(map(len, waiting)) >= config.scoring.min_rows:
            batch = pd.concat(waiting)
            if config.task == "regression" or batch[config.columns.target.name].nunique() > 1:
                yield (str(number) if first == number else f"{first}-{number}"), batch
                waiting, first = [], None


def _labelled_by_file(config: Config, book: Records, above: int) -> Iterator[tuple[int, pd.DataFrame]]:
    """Give the labelled rows of each file with a number above this, file by file.

    Where rows replace each other, or wait for their cohort, all are looked at: each counts once, as it is now, for the
    file of its outcome, or the one that ended its label window.
    """
    target = config.columns.target.name
    if config.replaces or config.scoring.label_window:
        rows = cohorts.countable(config, book, dataset.load(config.ingested, book.parts()))
        rows = rows[rows[FILE] > above] if len(rows) else rows
        yield from ((int(number), some) for number, some in rows.groupby(FILE, sort=True))
        return
    bad = inputs.bad_files(config, book)
    for number, part in book.parts(above):
        if number not in bad:
            rows = dataset.load(config.ingested, [(number, part)])
            yield number, rows[rows[target].notna()]


def predicted(config: Config, release: Release, model, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Give truth and prediction for labelled rows: what the release said before the label came, or else says now."""
    truth = models.truth_of(rows, config.columns.target, config.task)
    then = predictions.recall(config, rows, release.id)
    now = models.predict(model, models.inputs_of(rows, release.features), config.task)
    return truth, np.where(np.isnan(then), now, then)


def forget_scored(config: Config, book: Records, champion: Release) -> None:
    """Delete the predictions kept of rows that have their outcome and were scored."""
    if config.keys and predictions.any_kept(config):
        rows = dataset.load(config.ingested, book.parts())
        counted = cohorts.countable(config, book, rows)
        above = max(champion.learnt_upto, book.scored_upto())
        done = counted.index[counted[FILE] <= above] if len(counted) else []
        predictions.forget(config, rows.drop(index=done))


def history(config: Config, book: Records, metric: Metric, release_id: str) -> list[float]:
    """Give a release's scores, oldest first, without the batches on which drift was found.

    Drifted scores are no measure of what is usual: with them the alarm would fall silent by itself.
    """
    found: dict[str, list[Any]] = {}
    for verdict in book.verdicts(release_id):
        found.setdefault(verdict.batch, []).append(verdict)
    scored = book.scores(metric.name, release_id)
    return [row.value for row in scored if not drift.agreed(found.get(row.batch, []), config.drift.require)]


def write_latest(config: Config, book: Records, champion: Release) -> str:
    """Write `latestscore.txt`, the champion's newest score, and give its text."""
    text = records.score_text(views.latest_score(config, book, champion))
    files.write_text(config.models / "latestscore.txt", text)
    return text.strip()


def write_call_list(config: Config, book: Records, champion: Release) -> None:
    """Rank every current client by the champion, into `calllist.csv`."""
    if not champion.takes(config):
        return
    rows = dataset.load(config.ingested, book.parts())
    rows = calllist.current_clients(rows, config.columns, config.task)
    model = serving.model_of(champion, config.deployment.onnx)
    calllist.write(
        config.reports / "calllist.csv",
        calllist.ranked(rows, model, champion.manifest, config.columns, config.task),
    )


def _judge(
    config: Config, book: Records, metric: Metric, champion: Release, score: Score, past: list[float]
) -> list[Verdict]:
    predecessor = champion.manifest.get("succeeds", champion.manifest["replaced"])
    before = history(config, book, metric, predecessor) if predecessor else []
    settings = drift.Settings(config.drift.min_history, config.drift.alpha)
    scores = drift.Scores(score.value, drift.expected(past, before, config.drift.min_history), before)
    return drift.judge(config.drift.tests, scores, metric, settings)


def _score_file(
    config: Config, metric: Metric, champion: Release | None, model: str | None, data: str | None
) -> Result:
    """Score the named model (or the champion) on the named file (or the test table); nothing is put on record."""
    fitted, features, called = _model_named(config, champion, model)
    if data:
        rows = dataset.to_frame(dataset.read_table(config, Path(data)))
    else:
        rows = dataset.read_tables(config, config.test)
    rows = rows[rows[config.columns.target.name].notna()]
    if not len(rows):
        raise DataError(
            f"{data or config.test}: no rows with a value in column {config.columns.target.name} to score"
        )
    truth = models.truth_of(rows, config.columns.target, config.task)
    prediction = models.predict(fitted, models.inputs_of(rows, features), config.task)
    score = metrics.interval(metric, truth, prediction, config.model.seed)
    return Result(
        f"{metric.name} {score} of {called}", {"model": called, "metric": metric.name, **score.facts}
    )


def _model_named(config: Config, champion: Release | None, named: str | None):
    """Give model, features and name: of the champion, or of a candidate's or release's folder or model file."""
    if named is None:
        if champion is None:
            raise DataError(
                f"{config.production}: nothing is deployed yet; name a candidate with --model PATH"
            )
        _check_answers(config, champion)
        return models.load(champion.model_file), champion.features, champion.id
    folder = Path(named) if Path(named).is_dir() else Path(named).parent
    if (folder / releases.MANIFEST).exists():
        release = releases.verified(folder.resolve(), releases.key_of(config))
        return models.load(release.model_file), release.features, release.id
    if not (folder / releases.MODEL).exists():
        raise FileError(
            f"{named}: no {releases.MODEL} there; name a folder in {config.paths.models}/ or a release"
        )
    return models.load(folder / releases.MODEL), config.columns.features, folder.name


def _score_candidates(config: Config, metric: Metric) -> Result:
    """Score all candidates on the test table; the best one's score goes to `latestscore.txt`."""
    scored = []
    for path in sorted(config.models.glob("[!.]*/candidate.json")):
        scored.append(_score_file(config, metric, None, str(path.parent), None).facts)
    if not scored:
        raise DataError(f"nothing is deployed and {config.models} has no candidates: run training.py first")
    defined = [facts for facts in scored if facts["value"] is not None]  # of rows of one outcome none may be
    best = max(defined, key=lambda facts: metric.gain(facts["value"], 0.0), default=scored[0])
    files.write_text(config.models / "latestscore.txt", records.score_text(best["value"]))
    told = ", ".join(f"{facts['model']} {words.number(facts['value'])}" for facts in scored)
    return Result(
        f"{metric.name} on {best['rows']:,} test rows ({metric.better}): {told}", {"candidates": scored}
    )


def _check_answers(config: Config, champion: Release) -> None:
    """Raise DataError if the champion's predictions aren't of what the config asks for."""
    if other := champion.answers_another(config):
        raise DataError(f"{config.file}: has {other}; run fullprocess.py first, which trains another")


def _rank(config: Config, champion: Release | None, clients: str | None, out: str | None) -> Result:
    """Rank the clients of a file by the champion's prediction, with reasons, into a CSV."""
    if not (clients and out):
        raise UsageError("--clients FILE and --out FILE go together")
    if champion is None:
        raise DataError(f"{config.production}: nothing is deployed yet; run fullprocess.py first")
    _check_answers(config, champion)
    rows = dataset.to_frame(dataset.read_table(config, Path(clients), labelled=False))
    model = serving.model_of(champion, config.deployment.onnx)
    ranked = calllist.ranked(rows, model, champion.manifest, config.columns, config.task)
    calllist.write(Path(out), ranked)
    return Result(
        f"ranked {words.counted(len(ranked), 'client')} in {out}",
        {"clients": len(ranked), "out": out, "release": champion.id},
    )


def _verdict_facts(verdict: Verdict) -> dict:
    return {name: getattr(verdict, name) for name in ("test", "feature", "statistic", "threshold", "drifted")}


if __name__ == "__main__":
    cli.launch(
        run,
        __doc__,
        (
            "--model",
            {
                "metavar": "PATH",
                "help": "a candidate or release (folder or model file) instead of the champion",
            },
        ),
        ("--data", {"metavar": "FILE", "help": "a labelled table instead of the test table"}),
        ("--clients", {"metavar": "FILE", "help": "clients to rank by risk"}),
        ("--out", {"metavar": "FILE", "help": "where the ranked list goes"}),
        (
            "--accept",
            {"metavar": "NAME", "help": "a file left out as bad data that is right as it is; or its number"},
        ),
    )
