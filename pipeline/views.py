"""What the records, the rows and production say, as plain dicts and lists.

Report, API, status and history all ask here, so that a number can't differ between them. A view takes the config and
the open records and gives what can be written as JSON: times as ISO 8601 UTC, absent numbers as None.
"""

import csv
import importlib.metadata
import itertools
import json
import math
import re
import statistics as sums
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import (
    agenda,
    cleaning,
    cohorts,
    dataset,
    holdout,
    inputs,
    metrics,
    models,
    rejected,
    releases,
    words,
)
from pipeline.config import Config, Feature
from pipeline.decisions import SUCCEEDED
from pipeline.drift import agreed
from pipeline.errors import FileError
from pipeline.records import OF_KNOWN, Records, of_known
from pipeline.releases import Release

if TYPE_CHECKING:
    import pandas as pd

Facts = dict[str, Any]

REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"
ONLINE = "packages_online.json"  # what the package index said when it was last asked
ACCEPTED = "accepted"  # the kind of a file that was bad data, and is right as it is
BATCHES = 6  # the newest whose verdicts are shown
ENOUGH = 1_000  # rows for a confusion matrix: the newest batches until there are so many
PAIRS = 500  # points of a predicted-against-actual picture
RUNS = 30  # whose stories are told at once
CALLS = 10  # clients shown of the call list
REASON_LINES = 100_000  # of rejected/reasons.csv that are looked through


def champion(config: Config, book: Records) -> Facts | None:
    """Give the live release: since when and why, what it is, and its newest score; None if nothing is deployed.

    Raise CheckFailed if production isn't what was deployed.
    """
    live = releases.current(config)
    if live is None:
        releases.check_lost(config, book)
        return None
    since, why = _went_live(book, live)
    taken = {
        name: live.manifest[name] for name in ("window", "rows", "learnt_upto", "replaced", "target", "task")
    }
    return {
        "release": live.id,
        "since": since,
        "model": live.manifest["name"],
        "reasons": why,
        **taken,
        "score": _newest_score(config, book, live),
    }


def _went_live(book: Records, live: Release) -> tuple[str, list[str]]:
    """Give when and why a release went live, the last time if it did so more than once."""
    for row in reversed(book.decisions("rollback")):
        if json.loads(row.facts).get("release") == live.id:
            return row.at, json.loads(row.reasons)
    return live.manifest["made_at"], live.manifest["reasons"]


def latest_score(config: Config, book: Records, live: Release) -> float | None:
    """Give what `latestscore.txt` says: the newest score of what is live, or that of its proof if there's none yet.

    None if it's undefined: all rows of the proof had one outcome.
    """
    latest = book.latest_score(metrics.chosen(config.task, config.scoring.metric).name, live.id)
    return live.score if latest is None else latest


def _newest_score(config: Config, book: Records, live: Release) -> Facts:
    """Give the newest score on rows that came after the release; else the one it was deployed with."""
    metric = metrics.chosen(config.task, config.scoring.metric).name
    scored = [row for row in book.scores(metric, live.id) if row.last_file]
    if scored:
        newest = scored[-1]
        names = words.batch(newest.first_file, newest.last_file, inputs.names_scored(config, book))
        on = f"{newest.rows:,} new rows ({names})"
        found = {name: getattr(newest, name) for name in ("value", "low", "high", "rows", "at")}
        return {"metric": newest.metric, **found, "batch": newest.batch, "on": on}
    first = {name: _finite(value) for name, value in live.manifest["score"].items()}
    first["rows"] = live.manifest["score"]["rows"]
    on = f"{first['rows']:,} rows that it was proven on before it went live"
    if any(reason.startswith(SUCCEEDED) for reason in live.manifest["reasons"]):
        on = f"{first['rows']:,} rows that its predecessors predicted: it was made as they were, and learnt from these"
    return {
        "metric": live.manifest["metric"],
        **first,
        "at": live.manifest["made_at"],
        "batch": None,
        "on": on,
    }


def scores(config: Config, book: Records) -> list[Facts]:
    """Give every score by the metric of the config, oldest first; `kind` is `proof` (before deployment) or `batch`."""
    metric = metrics.chosen(config.task, config.scoring.metric).name
    names, drifted = inputs.names_scored(config, book), _drifted(config, book)
    return [
        {
            "release": row.release,
            "batch": row.batch,
            "name": words.batch(row.first_file, row.last_file, names),
            "kind": "batch" if row.last_file else "proof",
            "metric": row.metric,
            **{name: getattr(row, name) for name in ("value", "low", "high", "rows", "run", "at")},
            "drifted": (row.release, row.batch) in drifted,
        }
        for row in book.scores(metric)
    ]


def drift(config: Config, book: Records) -> list[Facts]:
    """Give the verdicts of the drift tests on the newest batches, newest first.

    A batch drifted if at least drift.require tests say so, or the alarm on the loss; it was `judged` if any test had
    enough to go by.
    """
    names = inputs.names_scored(config, book)
    return [
        {
            "batch": batch,
            "name": words.batch(found[0].first_file, found[0].last_file, names),
            "release": release,
            "at": found[0].at,
            "drifted": agreed(found, config.drift.require),
            "judged": any(row.threshold is not None for row in found),
            "verdicts": [_verdict(row) for row in found],
        }
        for (release, batch), found in list(reversed(_verdicts(book).items()))[:BATCHES]
    ]


def newest_input(config: Config, book: Records) -> Facts | None:
    """Give what was found of the newest file, by the release that was live; None if the live one learnt from it."""
    live = releases.current(config)
    found = book.inputs(newest=1) if live else []
    if not live or not found or found[-1].file <= live.learnt_upto:
        return None
    verdicts = json.loads(found[-1].verdicts)
    told = _input(found[-1], book.names())
    if found[-1].bad and told["kind"] == "bad data" and found[-1].file not in inputs.bad_files(config, book):
        how = (
            "accepted by hand"
            if found[-1].file in book.accepted()
            else "taken in with one like it, accepted by hand"
        )
        told |= {"kind": ACCEPTED, "sentence": f"{how}, though: bad data by {inputs.why_bad(verdicts)}"}
    return {
        **told,
        **{name: getattr(found[-1], name) for name in ("release", "rows", "labelled", "at")},
        "estimate": json.loads(found[-1].estimate or "null"),
        "left_out": found[-1].file in inputs.bad_files(config, book),
        "verdicts": verdicts,
    }


def _input(row: Any, names: dict[int, str]) -> Facts:
    named = names.get(row.file, str(row.file))
    return {"file": named, "number": row.file, "kind": row.kind, "sentence": row.sentence}


def label_delays(config: Config, book: Records) -> Facts | None:
    """Give how long labels take, in days (see `cohorts.label_delays`); None where it can't be told."""
    return cohorts.label_delays(config, book)


def _verdict(row: Any) -> Facts:
    return {
        name: getattr(row, name) for name in ("test", "feature", "statistic", "threshold", "drifted", "why")
    }


def _verdicts(book: Records) -> dict[tuple[str, str], list[Any]]:
    """Give the verdicts by release and batch, oldest first."""
    found: dict[tuple[str, str], dict[int, Any]] = {}
    for row in book.verdicts():  # a verdict comes once for each metric that its batch was scored by
        found.setdefault((row.release, row.batch), {})[row.id] = row
    return {batch: list(rows.values()) for batch, rows in found.items()}


def _drifted(config: Config, book: Records) -> set[tuple[str, str]]:
    """Give release and batch wherever enough tests found drift, or the alarm on the loss."""
    return {batch for batch, rows in _verdicts(book).items() if agreed(rows, config.drift.require)}


def decisions(config: Config, book: Records) -> list[Facts]:
    """Give every decision, also those to do nothing, with its reasons, newest first."""
    return [_decision(row) for row in reversed(book.decisions())]


def _decision(row: Any) -> Facts:
    told = {"reasons": json.loads(row.reasons), "facts": json.loads(row.facts)}
    return {"at": row.at, "run": row.run, "kind": row.kind, "yes": bool(row.yes), **told}


def all_releases(config: Config, book: Records) -> list[Facts]:
    """Give every release that ever went live, newest first, and whether it is still on disk."""
    on_disk, live = set(releases.all_ids(config.production)), releases.live_id(config.production)
    return [
        {
            "number": row.number,
            "release": row.id,
            "live": row.id == live,
            "on_disk": row.id in on_disk,
            "reasons": json.loads(row.reasons),
            **{
                name: getattr(row, name)
                for name in ("at", "run", "model", "window", "metric", "score", "replaced")
            },
        }
        for row in reversed(book.releases())
    ]


def runs(config: Config, book: Records) -> list[Facts]:
    """Give the stories of the newest runs, newest first."""
    return list(reversed(stories(config, book, RUNS)))


def _run(row: Any) -> Facts:
    return {
        "run": row.id,
        "started": row.started,
        "finished": row.finished,
        "seconds": words.seconds_between(row.started, row.finished) if row.finished else None,
        "state": "done" if row.finished else "cut off",
        "outcome": row.outcome,
        "facts": json.loads(row.facts) if row.facts else None,
    }


def files(config: Config, book: Records) -> Facts:
    """Give what came in: counts over all files, and the files with something set aside (newest first) and why.

    `left_out` are those of bad data: their rows are kept, and not learnt from.
    """
    taken = book.files("ingested", "repeated")
    aside = book.files("set aside")
    bad, names = inputs.bad_files(config, book), book.names()
    first_reasons = _first_reasons(config.ingested / rejected.FOLDER / rejected.REASONS)
    trouble = [
        {
            "name": row.name,
            "at": row.at,
            "set_aside": row.status == "set aside",
            "rows": row.rejected_rows,
            "reason": row.reason or first_reasons.get(row.name, ""),
        }
        for row in sorted([*taken, *aside], key=lambda row: -row.id)
        if row.rejected_rows or row.status == "set aside"
    ]
    return {
        "files": len(taken),
        "set_aside": len(aside),
        "rows": sum(row.rows for row in taken),
        "labelled": sum(row.labelled for row in taken),
        "duplicates": sum(row.duplicates for row in taken),
        **_of_known(taken),
        "rejected_rows": sum(row.rejected_rows for row in taken),
        "trouble": trouble,
        "left_out": [
            {**_input(row, names), "at": row.at, "rows": row.rows}
            for row in {row.file: row for row in reversed(book.inputs())}.values()  # as first judged
            if row.file in bad
        ],
    }


def _first_reasons(path: Path) -> dict[str, str]:
    """Give for each file the first reason for which a row of it was set aside."""
    if not path.exists():
        return {}
    found: dict[str, str] = {}
    with path.open(encoding="utf-8", newline="") as opened:
        for bad in itertools.islice(csv.DictReader(opened), REASON_LINES):
            where = f"line {bad['line']}" + (f", {bad['column']} {bad['value']!r}" if bad["column"] else "")
            found.setdefault(bad["file"], f"{where}: {bad['reason']}")
    return found


def statistics(config: Config, book: Records) -> Facts:
    """Give number of rows and, for each column of the clean table, its `column_facts`."""
    kinds = cleaning.kinds(config.columns, config.task)
    parts = book.parts()
    if parts:
        rows = dataset.load(config.ingested, parts)
    else:
        rows = dataset.to_frame(cleaning.empty(config.columns, config.task))
    columns = {name: column_facts(rows[name], kind) for name, kind in kinds.items() if name in rows}
    return {"rows": len(rows), "columns": columns}


def column_facts(column: "pd.Series", kind: Feature) -> Facts:
    """Give what a column holds: share missing, and by type the mean, median, mode, standard deviation and range of
    numbers, first and last of dates, or the commonest of categories.

    The mode is the smallest of the most frequent values, None if no value comes twice; the standard deviation is the
    sample's (n - 1), None for fewer than two values.
    """
    values = column.dropna()
    missing = len(column) - len(values)
    facts: Facts = {
        "type": kind.type,
        "missing": missing,
        "missing_share": missing / len(column) if len(column) else None,
    }
    return {**facts, **_BY_TYPE[kind.type](values)}


def _numbers(values: "pd.Series") -> Facts:
    if not len(values):
        return dict.fromkeys(("mean", "median", "mode", "sd", "min", "max"))
    return {
        "mean": _finite(values.mean()),
        "median": _finite(values.median()),
        "mode": _finite(values.mode().iloc[0]) if values.duplicated().any() else None,
        "sd": _finite(values.std()),
        "min": _finite(values.min()),
        "max": _finite(values.max()),
    }


def _dates(values: "pd.Series") -> Facts:
    if not len(values):
        return {"first": None, "last": None}
    return {"first": values.min().isoformat(), "last": values.max().isoformat()}


def _categories(values: "pd.Series") -> Facts:
    if not len(values):
        return {"distinct": 0, "mode": None, "mode_share": None}
    mode = min(values.mode())
    return {"distinct": int(values.nunique()), "mode": mode, "mode_share": float((values == mode).mean())}


_BY_TYPE: dict[str, Callable[["pd.Series"], Facts]] = {
    "number": _numbers,
    "date": _dates,
    "category": _categories,
}


def timings(config: Config, book: Records) -> list[Facts]:
    """Give how long each step took, in seconds: the last time, the median and the worst of all on record."""
    by_step: dict[str, list[Any]] = {}
    for row in book.timings():
        by_step.setdefault(row.step, []).append(row)
    return [
        {
            "step": step,
            "last": rows[-1].seconds,
            "median": sums.median(row.seconds for row in rows),
            "worst": max(row.seconds for row in rows),
            "times": len(rows),
            "at": rows[-1].at,
        }
        for step, rows in by_step.items()
    ]


def packages(config: Config, book: Records) -> list[Facts]:
    """Give every package that requirements.txt pins: `ok`, `other version`, `missing`, or `unknown`, which is not ok.

    `newest` is what the package index said when it was last asked (`asked`); None if it never was or didn't know.
    """
    online = online_answers(config)
    found = compared(REQUIREMENTS)
    for package in found:
        answer = online.get(package["name"], {})
        package |= {"newest": answer.get("newest"), "asked": answer.get("asked")}
    return found


def compared(requirements: Path) -> list[Facts]:
    """Compare the installed packages with a requirements file; a line that can't be read is `unknown`."""
    try:
        lines = requirements.read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        unread = f"can't be read: {problem.strerror}"
        return [{"name": requirements.name, "required": unread, "installed": None, "state": "unknown"}]
    wanted = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
    return [facts for line in wanted if line for facts in _package(line)]


def _package(line: str) -> Iterator[Facts]:
    """Give what is known of the package on this line; nothing if it's not for this platform."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import InvalidVersion

    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        yield {"name": line, "required": None, "installed": None, "state": "unknown"}
        return
    if wanted.marker and not wanted.marker.evaluate():
        return
    facts: Facts = {"name": wanted.name, "required": str(wanted.specifier) or "any"}
    try:
        installed = importlib.metadata.version(wanted.name)
        state = "ok" if wanted.specifier.contains(installed, prereleases=True) else "other version"
        yield {**facts, "installed": installed, "state": state}
    except importlib.metadata.PackageNotFoundError:
        yield {**facts, "installed": None, "state": "missing"}
    except (InvalidVersion, TypeError):  # a damaged installation has no version, or one that is none
        yield {**facts, "installed": None, "state": "unknown"}


def online_answers(config: Config) -> dict[str, Facts]:
    """Give what the package index answered when it was last asked, by package."""
    try:
        return json.loads((config.reports / ONLINE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def outcomes(config: Config, book: Records) -> Facts | None:
    """Give the champion's predictions against what happened, on labelled rows that it has not learnt from.

    For classification the confusion matrix at the label threshold, for regression the errors and a sample of pairs.
    None if nothing is deployed, there is no such row, or a column the champion needs is gone.
    """
    live = releases.current(config)
    if live is None or not live.takes(config):
        return None
    rows, source = _unseen(config, book, live)
    if not len(rows):
        return None
    truth = models.truth_of(rows, config.columns.target, config.task)
    model = models.load(live.model_file)
    prediction = models.predict(model, models.inputs_of(rows, live.features), config.task)
    facts: Facts = {
        "release": live.id,
        "rows": len(rows),
        "source": source,
        "target": config.columns.target.name,
    }
    if config.task == "regression":
        return {**facts, **errors(truth, prediction)}
    return {**facts, **confusion(truth, prediction), **_label_names(config, rows)}


def _unseen(config: Config, book: Records, live: Release) -> tuple["pd.DataFrame", str]:
    """Give labelled rows that a release has not learnt from: scored since, else of its proof, else the test table."""
    target = config.columns.target.name
    parts = book.parts(live.learnt_upto, upto=book.scored_upto())
    taken: list[tuple[int, str]] = []
    rows = dataset.load(config.ingested, taken)
    for part in reversed(parts):
        taken.insert(0, part)
        rows = dataset.load(config.ingested, taken)
        rows = cohorts.countable(config, book, rows)
        if len(rows) >= ENOUGH:
            break
    if taken and len(rows) >= config.scoring.min_rows:
        return (
            rows,
            f"the newest {words.counted(len(taken), 'file')}, scored before any model learnt from them",
        )
    above, most = live.held_above, config.deployment.proof_rows
    if above is not None:
        rows = dataset.load(config.ingested, book.parts(upto=live.learnt_upto))
        rows = cohorts.countable(config, book, rows)
        rows = rows[holdout.proof(rows, above, most)]
        if len(rows) >= config.scoring.min_rows:
            return rows, "the rows that it was proven on before it went live"
    rows = dataset.read_tables(config, config.test)
    return rows[rows[target].notna()], "the test table, which no model learns from"


def confusion(truth: np.ndarray, probability: np.ndarray) -> Facts:
    """Give the 2 x 2 of what happened and what was predicted at the label threshold, with precision and recall."""
    predicted = metrics.labels(probability)
    counts = {
        f"{what}_{said}": int(
            np.sum((predicted == (said == "positive")) & ((predicted == truth) == (what == "true")))
        )
        for what in ("true", "false")
        for said in ("negative", "positive")
    }
    hits, said_yes, were_yes = counts["true_positive"], int(predicted.sum()), int(truth.sum())
    return {
        "kind": "confusion",
        "threshold": metrics.LABEL_THRESHOLD,
        **counts,
        "precision": hits / said_yes if said_yes else None,
        "recall": hits / were_yes if were_yes else None,
    }


def errors(truth: np.ndarray, value: np.ndarray) -> Facts:
    """Give how far predictions are from what happened (prediction - truth), and at most 500 pairs, evenly taken."""
    wrong = value - truth
    taken = np.linspace(0, len(truth) - 1, min(PAIRS, len(truth))).astype(int)
    return {
        "kind": "errors",
        "bias": _finite(wrong.mean()),
        "half_within": _finite(np.median(np.abs(wrong))),
        "most_within": _finite(np.quantile(np.abs(wrong), 0.9)),
        "pairs": [[float(truth[at]), float(value[at])] for at in taken],
    }


def _label_names(config: Config, rows: "pd.DataFrame") -> Facts:
    """Give the values of the target that count as positive and negative."""
    values = rows[config.columns.target.name]
    positive = models.positive_label(values, config.columns.target)
    others = sorted(set(values.unique()) - {positive})
    return {"positive": positive, "negative": others[0] if len(others) == 1 else f"not {positive}"}


def call_list(config: Config, book: Records) -> Facts | None:
    """Give header and first rows of the ranked clients, and how many there are; None if there is no list yet."""
    path = config.reports / "calllist.csv"
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as opened:
        lines = csv.reader(opened)
        header = next(lines, [])
        first = list(itertools.islice(lines, CALLS))
        return {"header": header, "rows": first, "total": len(first) + sum(1 for _ in lines)}


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


# ---------------------------------------------------------------------------------------------- what is the state?
def status(config: Config, book: Records) -> tuple[Facts, str]:
    """Give what is deployed, what the last run did, what waits and where to look; and the same in words."""
    told = stories(config, book, 1)
    facts: Facts = {
        "champion": champion(config, book),
        "drift": next(iter(drift(config, book)), None),
        "inputs": newest_input(config, book),
        "labels": label_delays(config, book),
        "run": told[-1] if told else None,
        "waiting": waiting(config, book),
        "left_out": [f"{one.name} ({one.id})" for one in inputs.left_out_files(config, book)],
        "look": looks(config),
    }
    return facts, words.status(facts)


def waiting(config: Config, book: Records) -> Facts:
    """Give what the next run will find: files to take in, labelled rows too few so far, rows without, a run to finish.

    `problem` says why the source folders can't be looked at, if they can't.
    """
    live = releases.current(config)
    above = max(live.learnt_upto, book.scored_upto()) if live else 0
    facts: Facts = {
        "files": None,
        "problem": None,
        "rows": cohorts.labelled_rows(config, book, above + 1),
        "unlabelled": sum(row.rows - row.labelled for row in book.files("ingested")),
        "enough": config.scoring.min_rows if live else config.retraining.min_rows,
        "both": config.task == "classification",
        "unfinished": bool(book.runs(finished=False)) and agenda.unfinished(config),
    }
    try:
        found, _ = agenda.look(config)
        facts["files"] = len(agenda.changed(config, found))
    except FileError as problem:
        facts["problem"] = str(problem)
    return facts


def looks(config: Config) -> dict[str, str]:
    """Give the files worth opening that are there, by what they tell."""
    there = {
        "the whole picture": config.reports / "report.html",
        "whom to call first": config.reports / "calllist.csv",
        "what was set aside, and why": config.ingested / rejected.FOLDER / rejected.REASONS,
    }
    return {what: str(path) for what, path in there.items() if path.exists()}


# ---------------------------------------------------------------------------------------------- what happened?
def history(config: Config, book: Records) -> tuple[Facts, str]:
    """Give the story of all runs and of what was done by hand, oldest first; and the same in words."""
    told = stories(config, book)
    by_hand = [
        {**_decision(row), "after_run": _run_before(book, row, told)}
        for row in book.decisions()
        if not row.run
    ]
    return {"runs": told, "by_hand": by_hand}, words.history(told, by_hand)


def _run_before(book: Records, by_hand: Any, told: list[Facts]) -> int:
    """Give the number of the run after which something was decided by hand; 0 if that was before any.

    The numbers of decisions tell. Of runs that decided nothing the clock must, which may have been set back.
    """
    decided = [row for row in book.decisions() if row.run]
    known = max((row.run for row in decided if row.id < by_hand.id), default=0)
    later = min((row.run for row in decided if row.id > by_hand.id), default=math.inf)
    idle = [run["run"] for run in told if known < run["run"] < later and run["started"] <= by_hand.at]
    return max([known, *idle])


def stories(config: Config, book: Records, newest: int = 0) -> list[Facts]:
    """Give what each run (or so many of the newest) took in, scored, decided and deployed, oldest first.

    `facts` is what `fullprocess.py --json` printed, None for a run that never ended; of that, too, what it did is told.
    """
    shown = book.runs(finished=False)[-newest:]
    wanted = {row.id for row in shown}
    files = _by_run(wanted, book.files("ingested", "repeated", "set aside"))
    scored = _by_run(
        wanted, (row for metric in metrics.METRICS for row in book.scores(metric) if row.last_file)
    )
    decided, made = _by_run(wanted, book.decisions()), _by_run(wanted, book.releases())
    judged, names, scored_names = _verdicts(book), book.names(), inputs.names_scored(config, book)
    told = [
        {
            **_run(row),
            "files": _intake(files.get(row.id, [])),
            "scores": [_scored(score, judged, scored_names) for score in scored.get(row.id, [])],
            "inputs": [_input(one, names) for one in book.inputs(run=row.id)],
            "decisions": [_after_file(_decision(one), names) for one in decided.get(row.id, [])],
            "deployed": next((release.id for release in reversed(made.get(row.id, []))), None),
        }
        for row in shown
    ]
    if told and not told[-1]["finished"]:
        told[-1]["state"] = words.UNSURE
    return told


def _after_file(decision: Facts, names: dict[int, str]) -> Facts:
    """Give a decision with the name of the newest file that was known then."""
    number = decision["facts"].get("newest" if decision["kind"] == "retrain" else "learnt_upto")
    return {**decision, "after_file": names.get(number)}


def _by_run(wanted: set[int], rows: Iterable[Any]) -> dict[int, list[Any]]:
    """Give the rows that belong to these runs, by run."""
    found: dict[int, list[Any]] = {}
    for row in rows:
        if row.run in wanted:
            found.setdefault(row.run, []).append(row)
    return found


def _of_known(taken: Sequence[Any]) -> Facts:
    """Give how many duplicates brought something new all the same, by kind."""
    found = [of_known(row) for row in taken]
    return {kind: sum(one[kind] for one in found) for kind in OF_KNOWN}


def _intake(rows: list[Any]) -> Facts:
    taken = [row for row in rows if row.status != "set aside"]
    return {
        "names": [row.name for row in taken],
        **{
            count: sum(getattr(row, count) for row in taken)
            for count in ("rows", "duplicates", "rejected_rows")
        },
        **_of_known(taken),
        "set_aside": [{"name": row.name, "reason": row.reason} for row in rows if row.status == "set aside"],
    }


def _scored(row: Any, judged: dict[tuple[str, str], list[Any]], names: dict[int, str]) -> Facts:
    """Give a score of a batch, with how many tests could judge it and what those that found drift said."""
    found = judged.get((row.release, row.batch), [])
    return {
        **{
            name: getattr(row, name)
            for name in ("batch", "release", "metric", "value", "low", "high", "rows")
        },
        "name": words.batch(row.first_file, row.last_file, names),
        "tests": sum(verdict.threshold is not None for verdict in found),
        "all_tests": len(found),
        "fired": [f"{verdict.test}: {verdict.why}" for verdict in found if verdict.drifted],
    }


VIEWS: dict[str, Callable[[Config, Records], Any]] = {
    "champion": champion,
    "scores": scores,
    "drift": drift,
    "inputs": newest_input,
    "outcomes": outcomes,
    "decisions": decisions,
    "releases": all_releases,
    "runs": runs,
    "files": files,
    "statistics": statistics,
    "timings": timings,
    "packages": packages,
    "call_list": call_list,
    "waiting": waiting,
    "labels": label_delays,
}


def gathered(config: Config, book: Records) -> Facts:
    """Give all views by name."""
    return {name: view(config, book) for name, view in VIEWS.items()}
