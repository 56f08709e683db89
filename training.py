"""Training: fit every candidate of the config on the clean table, apart from the rows kept for the proof.

    python training.py [--config FILE] [--json] [-v] [--window N]

A candidate never learns from the test table. Trained by hand, or after an alarm, it also leaves out a third of the rows
that the champion has not learnt from, on which the two then meet (deployment.proof_rows at most); otherwise it learns
from every row and is proven on the batches to come.

Reads  paths.ingested/parts/, paths.test
Writes paths.models/<name>-<window>/trainedmodel.skops, candidate.json and sketch.json
       paths.test/holdout.csv                if there is no test table, and nothing for this target was deployed
"""

import argparse
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline import cli, cohorts, dataset, files, holdout, inputs, metrics, models, releases
from pipeline.cleaning import spellings
from pipeline.cli import Result, log
from pipeline.config import Config
from pipeline.dataset import FILE
from pipeline.errors import DataError, NotEnoughRows, OneOutcome
from pipeline.records import Records
from pipeline.releases import Release
from pipeline.rowhash import ROW
from pipeline.shadows import CANDIDATE

OWN_TEST = "holdout.csv"  # the test table that is made here where the user has none


@dataclass(frozen=True)
class Learnable:
    """The labelled rows, oldest file first, and which of them candidates may learn from."""

    rows: pd.DataFrame
    may_learn: np.ndarray
    upto: int  # the newest file


def run(config: Config, book: Records, window: int | None = None) -> Result:
    """Train on all history, or on the newest `window` files."""
    champion = releases.current(config)
    inputs.watch(config, book, champion)  # so that bad data are known
    made = train(config, book, champion, [window], held_above=champion.learnt_upto if champion else None)
    told = "; ".join(f"{one['name']} ({one['window']}) on {one['rows']:,} rows" for one in made)
    return Result(f"trained {told}: in {config.paths.models}/", {"candidates": made})


def train(
    config: Config,
    book: Records,
    champion: Release | None,
    windows: list[int | None],
    upto: int | None = None,
    held_above: int | None = None,
) -> list[dict]:
    """Fit each configured model on each window (number of newest files; None: all) and save it as candidate.

    Only files up to number `upto` are learnt from (None: all there are). Of those above `held_above` a third of the
    rows is left out, for the proof. Give the facts of each candidate. Raise DataError if there is nothing to learn.
    """
    data = learnable(config, book, champion, upto, held_above)
    metric = metrics.chosen(config.task, config.scoring.metric)
    alike = inputs.one_value_a_file(config, data.rows)
    made = []
    for path in config.models.glob(f"*/{CANDIDATE}"):
        files.remove_folder(path.parent)
    for window in windows:
        rows = data.rows[data.may_learn & _newest(data.rows, window)]
        seen = models.inputs_of(rows, config.columns.features)
        try:
            truth = truth_to_learn(config, rows)
        except DataError as problem:
            if window is None or len(windows) == 1:
                raise
            log.info("no training on %s: %s", _told(window), problem)
            continue
        sketch = inputs.text_of(inputs.sketch_of(config, rows, inputs.places_of(book), alike))
        for name, options in (config.model.candidates or models.DEFAULTS[config.task]).items():
            start = time.perf_counter()
            log.info("training %s on %s rows (%s)", name, f"{len(rows):,}", _told(window))
            model = models.build(
                name, options, config.columns.features, config.task, config.model.seed, metric.name
            )
            models.fit(model, seen, truth)
            facts = {
                "name": name,
                "window": _told(window),
                "options": options or {},
                "rows": len(rows),
                "learnt_upto": data.upto,
                "held_above": held_above,
                "run": book.run,
                "target": config.columns.target.name,
                **outcomes(config, rows),
                "label_window": config.scoring.label_window,
                "task": config.task,
                "contract": config.contract,
                "features": {name: kind.model_dump() for name, kind in config.columns.features.items()},
                "typical": typical(seen),
                "seconds": round(time.perf_counter() - start, 3),
            }
            _save(config, model, facts, sketch)
            made.append(facts)
    return made


def learnable(
    config: Config,
    book: Records,
    champion: Release | None,
    upto: int | None = None,
    held_above: int | None = None,
) -> Learnable:
    """Give the labelled rows that count and which may be learnt from (see `train`). Raise DataError if none do."""
    rows = cohorts.countable(config, book, dataset.load(config.ingested, book.parts(upto=upto)))
    if upto is not None and len(rows):
        rows = rows[rows[FILE] <= upto]
    if not len(rows):
        raise DataError(
            f"{config.ingested}: no rows with a value in column {config.columns.target.name} to learn from; "
            f"drop labelled files into {', '.join(source.path for source in config.paths.source)} and run ingestion.py"
        )
    if champion is not None and champion.answers_another(config):
        _set_own_test_table_aside(config, champion)
    if (champion is None or champion.answers_another(config)) and not dataset.tables_in(config.test):
        _make_test_table(config, rows)
    may_learn = ~among_test(config, rows)
    if held_above is not None:
        may_learn &= ~holdout.proof(rows, held_above, config.deployment.proof_rows)
    return Learnable(rows, may_learn, book.last_file() if upto is None else upto)


def among_test(config: Config, rows: pd.DataFrame) -> np.ndarray:
    """Give the mask of the rows that are in the test table, which no model learns from."""
    test = test_rows(config)
    found = holdout.among(rows[ROW], test[ROW])
    # Our own test table holds rows as they were repaired, and a row may since have been corrected: its key is the same.
    names = config.keys or (config.columns.all if config.cleaning.impute or config.cleaning.outliers else [])
    if names:
        own, kept = (dataset.cell_hashes(config, some, names).to_pylist() for some in (rows, test))
        found |= holdout.among(own, kept)
    return found


def labelled(config: Config, rows: pd.DataFrame) -> pd.DataFrame:
    """Give the rows whose target is known."""
    return rows[rows[config.columns.target.name].notna()] if len(rows) else rows


def test_rows(config: Config) -> pd.DataFrame:
    """Give the labelled rows of the test tables; none of them is ever learnt from. Raise DataError for a bad table."""
    return labelled(config, dataset.read_tables(config, config.test))


def truth_to_learn(config: Config, rows: pd.DataFrame) -> np.ndarray:
    """Give the target of the rows. Raise DataError if they can't teach anything: too few, or all the same."""
    target = config.columns.target
    if len(rows) < config.retraining.min_rows:
        raise NotEnoughRows(
            f"{len(rows)} labelled rows to learn from; retraining.min_rows asks for {config.retraining.min_rows}"
        )
    truth = models.truth_of(rows, target, config.task)
    if truth.min() == truth.max():
        value = rows[target.name].iloc[0]
        hint = (
            ""
            if config.task == "regression"
            else f"; is {target.positive!r} (target.positive) the right spelling?"
        )
        raise OneOutcome(
            f"column {target.name} is {value} in all {len(rows)} rows to learn from: a model needs different outcomes"
            + (hint if target.positive is not None else "")
        )
    return truth


def outcomes(config: Config, rows: pd.DataFrame) -> dict[str, Any]:
    """Give which value of the target is the risk; and all its values where the config leaves it to them to tell."""
    if config.task == "regression":
        return {}
    target = config.columns.target
    labels = sorted(rows[target.name].unique()) if target.positive is None else None
    return {"positive": models.positive_label(rows[target.name], target), "labels": labels}


def typical(inputs: pd.DataFrame) -> dict[str, float | str | None]:
    """Give the usual value of each input: the median of numbers (None if all are missing), the commonest category."""
    middle: dict[str, float | str | None] = {}
    for name, column in inputs.items():
        if column.dtype == object:
            middle[str(name)] = column.mode().iloc[0]
        else:
            middle[str(name)] = None if column.isna().all() else float(column.median())
    return middle


def _newest(rows: pd.DataFrame, window: int | None) -> np.ndarray:
    if window is None:
        return np.ones(len(rows), bool)
    return rows[FILE].isin(rows[FILE].drop_duplicates().nlargest(window)).to_numpy()


def _told(window: int | None) -> str:
    return "all" if window is None else f"recent {window}"


def _set_own_test_table_aside(config: Config, champion: Release) -> None:
    """Rename the test table that was made here if it's for the champion's target only; its rows can't test another."""
    own = config.test / OWN_TEST
    if dataset.tables_in(config.test) != [own]:
        return
    with own.open(encoding="utf-8") as table:
        header = set(table.readline().strip().split(","))
    if champion.manifest["target"] in header and not header & spellings(
        config.columns, {config.columns.target.name}
    ):
        own.rename(own.with_name(f"{OWN_TEST}.replaced"))


def _make_test_table(config: Config, rows: pd.DataFrame) -> None:
    """Set a share of the first rows aside as test table, because the user has none."""
    chosen = rows[holdout.test_share(rows, config.scoring.test_share)]
    log.info("no test table in %s: %s of the rows go to %s there", config.test, f"{len(chosen):,}", OWN_TEST)
    dataset.write_frame(config.test / OWN_TEST, chosen, config.columns.all)


def _save(config: Config, model, facts: dict, sketch: str) -> None:
    folder = config.models / f"{facts['name']}-{facts['window'].replace(' ', '')}"
    with files.replacing_folder(folder) as draft:
        models.save(model, draft / releases.MODEL)
        (draft / releases.SKETCH).write_text(sketch, encoding="utf-8")
        facts["sha256"] = files.sha256(draft / releases.MODEL)
        facts["id"] = facts["sha256"][:16]
        (draft / CANDIDATE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _window(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': a number of files, 1 or more, is expected")
    return int(text)


if __name__ == "__main__":
    cli.launch(
        run,
        __doc__,
        ("--window", {"metavar": "N", "type": _window, "help": "learn from the newest N files only"}),
    )
