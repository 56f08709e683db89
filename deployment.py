"""Deployment: prove the candidates against the champion on rows that neither learnt from, and make the winner live.

    python deployment.py [--config FILE] [--json] [-v]
    python deployment.py --list | --verify | --rollback [RELEASE]

A candidate is deployed only if it beats the champion by more than deployment.margin in enough paired samples
(deployment.confidence); otherwise the champion stays and the exit code is 70. The first release is the candidate that
does best on the test table. Every decision goes on record with its reasons.

Reads  paths.models/*/, paths.ingested/parts/, paths.test
Writes paths.production/releases/<id>/ and the link paths.production/current
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import (
    agenda,
    cli,
    cohorts,
    dataset,
    decisions,
    files,
    holdout,
    inputs,
    metrics,
    models,
    records,
    releases,
)
from pipeline.cli import Result, log
from pipeline.config import Config
from pipeline.dataset import FILE
from pipeline.decisions import Proof
from pipeline.errors import CheckFailed, DataError, FileError
from pipeline.metrics import Metric
from pipeline.records import Records
from pipeline.releases import Release
from pipeline.rowhash import ROW

LEAST_PROOF = (
    30  # rows; with fewer new ones the test table, which no model learns from either, joins the proof
)
PROOF_SCORES = 10  # a new champion's history begins with at most so many scores, on parts of its proof rows


@dataclass(frozen=True)
class Contender:
    """A candidate with its predictions of the proof rows, and how it did there."""

    folder: Path
    facts: dict[str, Any]
    model: Any
    prediction: np.ndarray
    score: float
    proof: Proof | None  # None where there is no champion to beat

    @property
    def named(self) -> str:
        """Give the name for people."""
        return f"{self.facts['name']} ({self.facts['window']})"


@dataclass(frozen=True)
class Deployed:
    """What came of a proof: the new release (None: the champion stays), why, and how each challenger did."""

    release: Release | None
    reasons: list[str]
    challengers: list[dict[str, Any]]


def run(
    config: Config, book: Records, list: bool = False, verify: bool = False, rollback: str | None = None
) -> Result:
    """Deploy the best candidate if it's proven, or list, verify or go back."""
    if list:
        return _list(config, book)
    if verify:
        return _verify(config)
    if rollback is not None:
        return _roll_back(config, book, rollback)
    champion = releases.current(config.production)
    agenda.begin(config)
    outcome = deploy(config, book, champion, ["asked for by hand"])
    if outcome.release is None:
        raise CheckFailed("not deployed: " + "; ".join(outcome.reasons))
    reasons = "; ".join(outcome.reasons)
    return Result(
        f"deployed {outcome.release.id}: {reasons}",
        {"release": outcome.release.id, "reasons": outcome.reasons},
    )


def deploy(config: Config, book: Records, champion: Release | None, why: list[str]) -> Deployed:
    """Prove the candidates and deploy the best one that is proven. `why` tells what led to their training."""
    metric = metrics.chosen(config.task, config.scoring.metric)
    candidates = _candidates(config, champion)
    rows = proof_rows(config, book, champion, candidates[0][1])
    truth = models.truth_of(rows, config.columns.target, config.task)
    against = _champion_prediction(config, champion, rows)
    contenders = [
        _contend(config, metric, folder, facts, rows, truth, against) for folder, facts in candidates
    ]
    best = max(contenders, key=lambda one: _merit(metric, one))
    if champion is None and math.isnan(best.score):
        raise DataError(
            f"{config.test}: {metric.name} is not defined on these rows: do they all have one outcome?"
        )
    reasons = [*why, _why(metric, best, truth)]
    proven = best.proof is None or best.proof.proven
    release = _release(config, book, metric, champion, best, rows, truth, reasons) if proven else None
    told = [
        {
            "name": one.facts["name"],
            "window": one.facts["window"],
            "score": None if math.isnan(one.score) else one.score,
            "deployed": proven and one is best,
        }
        for one in contenders
    ]
    if release is not None:
        make_live(config, book, release)
    upto = candidates[0][1]["learnt_upto"]
    book.add_decision("deploy", proven, reasons, challengers=told, learnt_upto=upto, rows=len(rows))
    return Deployed(release, reasons, told)


def proof_rows(
    config: Config, book: Records, champion: Release | None, candidate: dict[str, Any]
) -> pd.DataFrame:
    """Give labelled rows that neither the champion nor the candidates learnt from, oldest first.

    Raise DataError if there are none.
    """
    test = dataset.read_tables(config, config.test).assign(**{FILE: 0})
    test = test[test[config.columns.target.name].notna()]
    if champion is None:
        found = test
    else:
        rows = dataset.load(config.ingested, book.parts(upto=candidate["learnt_upto"]))
        rows = cohorts.countable(config, book, rows)
        found = rows[holdout.proof(rows, champion.learnt_upto, config.deployment.proof_rows)]
        if len(found) < LEAST_PROOF and not (
            len(found) and book.regime_from()
        ):  # they may be of another regime
            found = pd.concat([test[~holdout.among(test[ROW], found[ROW])], found])
    if not len(found):
        raise DataError(
            f"{config.test}: no labelled rows to prove a model on; put a table of test rows there"
        )
    return found


def make_live(config: Config, book: Records, release: Release) -> None:
    """Move the link, then put the release on record and prune old ones. What is on record was live."""
    releases.go_live(config.production, release)
    put_on_record(book, release)
    for name in releases.prune(config.production, release, config.deployment.keep):
        log.info("pruned release %s", name)


def check_production(config: Config, book: Records, live: Release | None) -> None:
    """Raise CheckFailed if nothing is live although the records say that something was, FileError if it's reversed."""
    known = book.releases()
    if live is None and known:
        raise CheckFailed(
            f"{config.production / releases.CURRENT}: gone, and {known[-1].id} was live; put it back, or go back with "
            f"`deployment.py --rollback {known[-1].id}`, or start anew with training.py and deployment.py"
        )
    if live is not None and not known and not book.has_files():
        raise FileError(
            f"{book.engine.url.database}: empty, and {live.id} is live: put the database back, or start anew by moving "
            f"{config.production} and {config.ingested} away"
        )


def put_on_record(book: Records, release: Release) -> None:
    """Record a release and the scores it was proven with, once, from its own manifest."""
    manifest = release.manifest
    book.add_release(
        id=release.id, model=manifest["name"], window=manifest["window"], metric=manifest["metric"],
        score=manifest["score"]["value"], replaced=manifest["replaced"], learnt_upto=manifest["learnt_upto"],
        reasons=manifest["reasons"], at=manifest["made_at"],
    )  # fmt: skip
    for number, score in enumerate(manifest["proof_scores"], 1):
        book.add_score(release.id, f"proof-{number}", (0, 0), manifest["metric"], metrics.Score(**score))


def _candidates(config: Config, champion: Release | None) -> list[tuple[Path, dict[str, Any]]]:
    """Give folder and facts of the candidates. Raise DataError if there are none that can meet the champion."""
    found = []
    for path in sorted(config.models.glob("*/candidate.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if files.sha256(path.parent / releases.MODEL) != facts["sha256"]:
            raise CheckFailed(
                f"{path.parent / releases.MODEL}: not what training.py wrote; run training.py again"
            )
        found.append((path.parent, facts))
    if not found:
        raise DataError(f"{config.models}: no candidates to deploy: run training.py first")
    learnt = champion.learnt_upto if champion else None
    if any(facts["proof_above"] != learnt for _, facts in found):
        raise DataError(
            f"{config.models}: the candidates were trained against another champion: run training.py again"
        )
    return found


def _champion_prediction(config: Config, champion: Release | None, rows: pd.DataFrame) -> np.ndarray | None:
    """Give the champion's predictions; None without champion, or if its columns are no longer there."""
    if champion is None or not set(champion.features) <= set(rows):
        return None
    return models.predict(
        models.load(champion.model_file), models.inputs_of(rows, champion.features), config.task
    )


def _contend(config: Config, metric: Metric, folder: Path, facts: dict, rows, truth, against) -> Contender:
    model = models.load(folder / releases.MODEL)
    prediction = models.predict(model, models.inputs_of(rows, config.columns.features), config.task)
    proof = None
    if against is not None:
        settings = config.deployment
        proof = decisions.prove(
            metric, truth, against, prediction, settings.margin, settings.confidence, config.model.seed
        )
    return Contender(folder, facts, model, prediction, metric.score(truth, prediction), proof)


def _merit(metric: Metric, one: Contender) -> tuple[bool, float]:
    """Order contenders: the proven before the others, then by score."""
    gain = metric.gain(one.score, 0.0)
    return (one.proof is not None and one.proof.proven, -math.inf if math.isnan(gain) else gain)


def _why(metric: Metric, best: Contender, truth: np.ndarray) -> str:
    if best.proof is not None:
        return f"{best.named}: {best.proof.why}"
    naive = metric.score(truth, np.full(len(truth), truth.mean()))
    told = f"{best.named}: {metric.name} {best.score:.4g} on {len(truth):,} test rows"
    return told if math.isnan(naive) else f"{told}, where always predicting the mean gets {naive:.4g}"


def _release(
    config: Config,
    book: Records,
    metric: Metric,
    champion: Release | None,
    best: Contender,
    rows,
    truth,
    reasons,
) -> Release:
    """Write the release of the winner, not live yet. Raise CheckFailed if its files don't do what the candidate did."""
    score = metrics.interval(metric, truth, best.prediction, config.model.seed)
    facts = {
        "made_at": records.now(),
        "run": book.run,
        **{
            name: best.facts[name]
            for name in ("name", "window", "options", "rows", "learnt_upto", "target", "task")
        },
        "proof": {"above": best.facts["proof_above"], "most": config.deployment.proof_rows},
        "features": best.facts["features"],
        "typical": best.facts["typical"],
        "metric": metric.name,
        "score": vars(score),
        "proof_scores": [vars(part) for part in _proof_scores(config, metric, truth, best.prediction)],
        "reasons": reasons,
        "replaced": champion.id if champion else None,
        "data": {"files": len(book.parts()), "rows": best.facts["rows"], "contract": config.contract},
    }
    texts = {
        "latestscore.txt": records.score_text(score.value),
        "ingestedfiles.txt": book.ingested_text(upto=best.facts["learnt_upto"]),
        releases.SKETCH: _sketch(config, book, best, rows),
    }
    release = releases.make(config.production, best.folder / releases.MODEL, texts, facts)
    again = models.predict(
        models.load(release.model_file), models.inputs_of(rows, config.columns.features), config.task
    )
    if not np.array_equal(again, best.prediction):
        raise CheckFailed(
            f"{release.model_file}: predicts otherwise than the candidate that was proven; not deployed"
        )
    return release


def _sketch(config: Config, book: Records, best: Contender, rows: pd.DataFrame) -> str:
    """Give the sketch of what the winner learnt from, and of its predictions of the proof rows."""
    kept = json.loads((best.folder / releases.SKETCH).read_text(encoding="utf-8"))
    places = inputs.places_of(book)
    return inputs.text_of(inputs.with_predictions(config, kept, rows, best.prediction, places))


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


def _list(config: Config, book: Records) -> Result:
    live = releases.current(config.production)
    on_disk = releases.all_ids(config.production)
    rows = [row for row in book.releases() if row.id in on_disk]
    lines = [
        f"{'*' if live and row.id == live.id else ' '} {row.id}  {row.metric} {row.score:.4g}  "
        f"{row.model} ({row.window})  {'; '.join(json.loads(row.reasons))}"
        for row in rows
    ]
    facts = [
        {"release": row.id, "live": bool(live and row.id == live.id), "score": row.score} for row in rows
    ]
    return Result("\n".join(lines) or "no releases yet", {"releases": facts})


def _verify(config: Config) -> Result:
    """Compare every file of every release with its hash. Raise CheckFailed at the first that differs."""
    names = releases.all_ids(config.production)
    for name in names:
        releases.verified(config.production / releases.FOLDER / name)
    live = releases.current(config.production)
    told = f"{len(names)} release(s) are what was deployed; live: {live.id if live else 'none'}"
    return Result(told, {"releases": names, "live": live.id if live else None})


def _roll_back(config: Config, book: Records, release_id: str) -> Result:
    """Make an earlier release live: the named one, or the one that the live one replaced."""
    link = config.production / releases.CURRENT
    live = Path(link.readlink()).name if link.is_symlink() else None
    if not release_id:  # asked of the records, because the live release may be what is broken
        release_id = next((row.replaced or "" for row in book.releases() if row.id == live), "")
        if not release_id:
            raise DataError(
                f"{config.production}: no release to go back to; name one with --rollback RELEASE"
            )
    release = releases.named(config.production, release_id)
    agenda.begin(config)  # the next run writes the texts, the call list and the report of what is live now
    releases.go_live(config.production, release)
    put_on_record(book, release)
    book.add_decision(
        "rollback", True, [f"asked for by hand: {live} withdrawn"], withdrawn=live, release=release.id
    )
    return Result(f"live again: {release.id}; withdrawn: {live}", {"release": release.id, "withdrawn": live})


if __name__ == "__main__":
    cli.launch(
        run,
        __doc__,
        ("--list", {"action": "store_true", "help": "show the releases and which is live", "reads": True}),
        (
            "--verify",
            {"action": "store_true", "help": "compare all releases with their hashes", "reads": True},
        ),
        (
            "--rollback",
            {
                "nargs": "?",
                "const": "",
                "metavar": "RELEASE",
                "help": "go back, to the one before or to this",
            },
        ),
    )
