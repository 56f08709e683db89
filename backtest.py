"""Backtest: replay a history through the decisions of the cron job, and compare retraining policies on it.

    python backtest.py [--config FILE] [--json] [-v] [--batches DIR] [--start N] [--delay D]
                       [--policy NAME ...] [--model NAME] [--out DIR]

Without --batches the ingested history is replayed: a tick is a day, week, month or year of columns.time, the shortest
that usually has scoring.min_rows labelled rows; without columns.time a file. The first N ticks train the first
champion. At each later tick its rows are predicted by what is deployed, then the labels of the tick D before arrive,
then the policy decides. `never`, `always` and `every N` deploy whatever they train, as a calendar would; all others,
and the policy of config.yaml (`configured`), prove it first.

Nothing of the project changes. Reads  paths.ingested/parts/ or --batches
Writes --out/backtest.json, table.txt, scores.png        (default: paths.reports/backtest/)
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import (
    cli,
    cohorts,
    dataset,
    decisions,
    files,
    metrics,
    models,
    pictures,
    readers,
    records,
    words,
)
from pipeline.cli import Result, log
from pipeline.config import Config
from pipeline.dataset import FILE
from pipeline.errors import DataError, FileError, UsageError
from pipeline.replay import Fits, Replay, Ticks

ALWAYS_COMPARED = ("never", "always")
CONFIGURED = "configured"
PERIODS = {"day": "D", "week": "W", "month": "M", "year": "Y"}  # shortest first, as pandas calls them
NAMED = {"D": "%Y-%m-%d", "W": "%Y-%m-%d", "M": "%Y-%m", "Y": "%Y"}  # a tick, by its first day
JUDGED = 5  # of the first ticks: a fifth of them says which kind of model is the first champion

Tick = tuple[str, pd.DataFrame]  # its name, and its rows


def run(
    config: Config,
    batches: str | None = None,
    start: int = 10,
    delay: int = 0,
    policy: list[str] | None = None,
    model: str | None = None,
    out: str | None = None,
) -> Result:
    """Replay every policy, and write table, JSON and picture."""
    families = families_of(config, model)
    named = _policies(policy or ["every 5"])
    ticks = cut(config, batches)
    if len(ticks) < start + 2:
        raise DataError(
            f"{batches or config.ingested}: {len(ticks)} ticks with labelled rows; {start} train the first model and "
            "two more are needed to compare anything: give more batches, or a smaller --start"
        )
    fits = Fits(config, ticks, families)
    family = _first_family(config, fits, start)
    if fits.fit("all", family, start - 1, start) is None:
        rows = sum(len(truth) for truth in ticks.truth[:start])
        raise DataError(
            f"{batches or config.ingested}: the first {start} ticks, with {rows} labelled rows, train no model: it "
            f"needs retraining.min_rows, {config.retraining.min_rows}, and different outcomes; try a larger --start"
        )
    facts = {}
    with cli.progress("replaying", len(named) * (len(ticks) - start), "tick") as passed:
        for name in named:
            chosen = config.retraining.policy if name == CONFIGURED else name
            log.info("replaying %s", name)
            done = Replay(config, fits, chosen, start, delay, proving=name == CONFIGURED).run(family, passed)
            facts[name] = done.facts()
    told = {"policies": facts}
    folder = Path(out) if out else config.reports / "backtest"
    picture = pictures.backtest(told, config.task)
    files.write_text(folder / "backtest.json", json.dumps(told, indent=1, allow_nan=False) + "\n")
    files.write_text(folder / "table.txt", words.backtest_table(told))
    files.write_bytes(folder / f"{picture.name}.png", pictures.png(picture))
    usual = round(float(np.median([len(truth) for truth in ticks.truth])))
    line = (
        f"{words.backtest_table(told)}{len(ticks)} ticks, {ticks.names[0]} to {ticks.names[-1]}, median "
        f"{words.counted(usual, 'row')}; {start} train the first model. "
        f"Written to {folder}/: backtest.json, table.txt, scores.png"
    )
    if start + delay >= len(ticks) - 1:  # at the last tick nothing is decided
        line += (
            f"\nnothing could be trained: of {len(ticks)} ticks {start} train the first model; with --delay {delay} "
            "no labels of a later one arrive before the last: give a smaller --delay, or more batches"
        )
    return Result(line, told)


def families_of(config: Config, model: str | None) -> dict[str, dict | None]:
    """Give the kinds of model that compete. Raise UsageError for one that doesn't exist."""
    configured = config.model.candidates or models.DEFAULTS[config.task]
    if model is None:
        return dict(configured)
    if model not in models.names(config.task):
        known = ", ".join(models.names(config.task))
        raise UsageError(f"--model {model}: no such model for {config.task}; there are: {known}")
    return {model: configured.get(model)}


def _policies(asked: list[str]) -> list[str]:
    """Give the policies to replay. Raise UsageError for one that doesn't exist."""
    for name in asked:
        first, _, number = name.partition(" ")
        known = first in (*decisions.POLICIES, CONFIGURED)
        if (
            not known
            or (first == "every") != bool(number)
            or (number and not (number.isdecimal() and int(number)))
        ):
            there = ", ".join([*decisions.POLICIES, CONFIGURED]).replace("every", "'every 5'")
            raise UsageError(f"--policy {name!r}: no such policy; there are: {there}")
    return list(dict.fromkeys([*ALWAYS_COMPARED, *asked, CONFIGURED]))


def cut(config: Config, batches: str | None) -> Ticks:
    """Give the labelled rows, cut into ticks. Raise DataError if there are no rows at all, FileError if no folder."""
    target = config.columns.target
    cut = _files_of(config, Path(batches)) if batches else _history(config)
    labelled = [(name, rows[rows[target.name].notna()]) for name, rows in cut]
    ticks = [(name, rows) for name, rows in labelled if len(rows)]
    if not ticks:
        return Ticks([], [], [])
    rows = pd.concat([rows for _, rows in ticks], ignore_index=True)
    ends = np.cumsum([len(rows) for _, rows in ticks])
    seen = models.inputs_of(rows, config.columns.features)
    truth = models.truth_of(rows, target, config.task)
    return Ticks(
        [name for name, _ in ticks],
        [seen[first:end].reset_index(drop=True) for first, end in itertools.pairwise([0, *ends])],
        np.split(truth, ends[:-1]),
    )


def _files_of(config: Config, folder: Path) -> list[Tick]:
    """Give the rows of a folder's files, one tick each, in the order of their names."""
    if not folder.is_dir():
        raise FileError(f"{folder}: no such folder; --batches names one with a labelled file for each tick")
    there = dataset.tables_in(folder)
    if not there:
        raise DataError(f"{folder}: no files that ingestion can read")
    return [(_stem(path.name), dataset.to_frame(dataset.read_table(config, path))) for path in there]


def _stem(name: str) -> str:
    """Give the name of a file without the endings that tell its format."""
    return name[: len(name) - sum(map(len, readers.endings(name)))]


def _history(config: Config) -> list[Tick]:
    """Give the ingested rows that count, cut into periods of columns.time, or into files where there is none."""
    with records.opened(config.database, reading=True) as book:
        rows = dataset.load(config.ingested, book.parts())
        if not len(rows):
            raise DataError(
                f"{config.ingested}: nothing ingested yet; run ingestion.py, or name a folder with --batches"
            )
        rows = cohorts.countable(config, book, rows)
        names = {row.id: _stem(row.name) for row in book.files("ingested")}
    time = config.columns.time
    if not time or rows[time].isna().all():
        return [(names.get(number, str(number)), some) for number, some in rows.groupby(FILE)]
    return _by_period(config, rows, rows[time])


def _by_period(config: Config, rows: pd.DataFrame, time: pd.Series) -> list[Tick]:
    """Give the rows by the shortest period that usually has enough of them. Rows without time are left out."""
    for letter in PERIODS.values():
        period = time.dt.to_period(letter)
        if period.value_counts().median() >= config.scoring.min_rows:
            break
    return [(one.start_time.strftime(NAMED[letter]), some) for one, some in rows.groupby(period)]


def _first_family(config: Config, fits: Fits, start: int) -> str:
    """Give the kind of model that does best on the newest of the first ticks, having learnt from the others."""
    families = list(fits.families)
    if len(families) == 1 or start < JUDGED:
        return families[0]
    upto = start - 1 - start // JUDGED
    later = range(upto + 1, start)
    truth = np.concatenate([fits.ticks.truth[at] for at in later])
    metric = metrics.chosen(config.task, config.scoring.metric)

    def merit(family: str) -> float:
        name = fits.fit("all", family, upto, start)
        if name is None:
            return -np.inf
        score = metric.score(truth, np.concatenate([fits.predict(name, at) for at in later]))
        return -np.inf if np.isnan(score) else metric.gain(score, 0.0)

    return max(families, key=merit)


def _ticks_of(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}': a number of ticks is expected")
    return int(text)


def _first_ticks(text: str) -> int:
    if not _ticks_of(text):
        raise argparse.ArgumentTypeError("no model comes of 0 ticks: 1 or more are expected")
    return int(text)


if __name__ == "__main__":
    cli.launch(
        run,
        __doc__,
        ("--batches", {"metavar": "DIR", "help": "a folder with one labelled file per tick, in name order"}),
        (
            "--start",
            {
                "metavar": "N",
                "type": _first_ticks,
                "default": 10,
                "help": "ticks that train the first champion (10)",
            },
        ),
        (
            "--delay",
            {"metavar": "D", "type": _ticks_of, "default": 0, "help": "ticks until labels arrive (0)"},
        ),
        (
            "--policy",
            {
                "metavar": "NAME",
                "nargs": "+",
                "help": "policies to compare: never, always, 'every 5', on_drift, adaptive",
            },
        ),
        (
            "--model",
            {"metavar": "NAME", "help": "the one kind of model to replay, instead of all candidates"},
        ),
        ("--out", {"metavar": "DIR", "help": "where table, JSON and picture go"}),
        records=False,
        locks=False,
    )
