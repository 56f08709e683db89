"""Deployment: prove the candidates against the champion on rows that neither learnt from, and make the winner live.

    python deployment.py [--config FILE] [--json] [-v]
    python deployment.py --list | --verify | --sign | --rollback [RELEASE]

A candidate joins the models that are kept in the shadow. What is served is a weighted mix of kept models; another mix
is deployed only if it is proven to be better, on rows that nothing in either has learnt from, by more than
deployment.margin and with deployment.confidence; otherwise what is live stays and the exit code is 70. The first
release is the candidate that does best on the test table. Every decision goes on record with its reasons.

Reads  paths.models/*/, paths.ingested/parts/, paths.test
Writes paths.production/releases/<id>/ and the link paths.production/current
"""

import json
import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline import (
    agenda,
    assembly,
    batches,
    cli,
    cohorts,
    dataset,
    decisions,
    files,
    holdout,
    journal,
    metrics,
    models,
    releases,
    serving,
    shadows,
    words,
)
from pipeline.cli import Result, log
from pipeline.config import Config
from pipeline.dataset import FILE
from pipeline.errors import CheckFailed, DataError, FileError, UsageError
from pipeline.metrics import Metric
from pipeline.recipes import Batch, Recipe, Situation
from pipeline.records import Records
from pipeline.releases import Release
from pipeline.rowhash import ROW
from pipeline.shadows import Shadow

# rows of a proof; with fewer new ones the test table, which no model learns from either, joins it
LEAST_PROOF = 30
DAMAGED = "damaged"  # instead of what serves


@dataclass(frozen=True)
class Deployed:
    """What came of a proof: the new release (None: the champion stays), why, and how each challenger did."""

    release: Release | None
    reasons: list[str]
    challengers: list[dict[str, Any]]


def run(
    config: Config,
    book: Records,
    list: bool = False,
    verify: bool = False,
    sign: bool = False,
    rollback: str | bool = False,
) -> Result:
    """Deploy the best candidate if it's proven, or list, verify, sign or go back."""
    if list + verify + sign + (rollback is not False) > 1:
        raise UsageError("--list, --verify, --sign and --rollback are different things: one at a time")
    if list:
        return _list(config, book)
    if verify:
        return _verify(config, book)
    if sign:
        return _sign(config)
    if rollback is not False:
        return _roll_back(config, book, None if rollback is True else rollback)
    champion = releases.current(config)
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
    """Take the candidates into the shadow, and deploy the best mix if it is proven. `why` led to their training."""
    made = shadows.candidates(config)
    if not made:
        raise DataError(f"{config.models}: no candidates to deploy: run training.py first")
    if champion is None or champion.not_comparable(config):
        return first(config, book, champion, made, why)
    shadows.restore(config, champion)
    taken = [shadows.take(config, candidate) for candidate in made]
    held = held_batch(config, book, champion, taken)
    if held is not None:
        batches.save(config, f"{taken[0].upto}-held", held)
    return promote(config, book, champion, why, taken)


def first(
    config: Config, book: Records, champion: Release | None, made: list[Shadow], why: list[str]
) -> Deployed:
    """Deploy the candidate that does best on the test table: there is no champion that it could be compared with."""
    metric = metrics.chosen(config.task, config.scoring.metric)
    rows = _test_rows(config)
    truth = models.truth_of(rows, config.columns.target, config.task)
    seen = models.inputs_of(rows, config.columns.features)
    predictions = {one.id: models.predict(one.model(), seen, config.task) for one in made}
    scores = {one.id: metric.score(truth, predictions[one.id]) for one in made}
    best = max(made, key=lambda one: _merit(metric, scores[one.id]))
    if math.isnan(scores[best.id]):
        raise DataError(
            f"{config.test}: {metric.name} is not defined on these rows: do they all have one outcome?"
        )
    for one in made:
        shadows.take(config, one)
    reasons = [*why, _why_first(metric, best, scores[best.id], truth)]
    recipe = Recipe({best.id: 1.0})
    release = assembly.release(
        config, book, champion, recipe, [best], truth, predictions[best.id], reasons, best.upto
    )
    make_live(config, book, release)
    told = [_challenger(one, scores[one.id], one is best) for one in made]
    book.add_decision("deploy", True, reasons, challengers=told, learnt_upto=best.upto, rows=len(rows))
    return Deployed(release, reasons, told)


def promote(
    config: Config, book: Records, champion: Release, why: list[str], trained: list[Shadow] | None = None
) -> Deployed:
    """Deploy another mix of the kept models if it is proven to be better than what is live."""
    metric = metrics.chosen(config.task, config.scoring.metric)
    newest = max([shadows.newest_file(book, champion), *(one.upto for one in trained or [])])
    known = max(champion.manifest.get("decided_at", 0), book.withdrawn_upto())
    if trained is None and newest <= known:
        return Deployed(None, why, [])  # it went live on just what is known now
    now = shadows.situation(config, book, champion, newest)
    proving = decisions.Proving(config.deployment.margin, config.deployment.confidence)
    proposal = decisions.propose(now, metric, proving, config.model.seed)
    kept = {one.id: one for one in shadows.kept(config)}
    release = None
    # Where nothing was trained, why not is no reason for what is deployed; there the proof stands alone.
    reasons = [*why, *proposal.reasons] if trained or proposal.recipe is None else proposal.reasons
    if proposal.recipe is not None and proposal.proof is not None:
        inside, proof = [kept[one] for one in proposal.recipe.weights], proposal.proof
        release = assembly.release(
            config, book, champion, proposal.recipe, inside, proof.truth, proof.predicted, reasons, newest
        )
        make_live(config, book, release)
        now = replace(now, served=proposal.recipe)
    told = [_judged(config, metric, now, one, release) for one in trained or []]  # one of them may go now
    shadows.prune(config, decisions.keep(now) | {one.id for one in kept.values() if one.upto > newest})
    if trained or release or proposal.considered:
        rows = proposal.proof.rows if proposal.proof else 0
        book.add_decision(
            "deploy",
            release is not None,
            reasons,
            challengers=told,
            learnt_upto=newest,
            rows=rows,
            release=release.id if release else None,
        )
    return Deployed(release, reasons, told)


def held_batch(config: Config, book: Records, champion: Release, taken: list[Shadow]) -> Batch | None:
    """Give the rows that were kept from new models as a batch by itself, newer than any; None if none were.

    If they are few the test table joins them, by hand at least: after an alarm its rows are of another time.
    """
    above = taken[0].facts["held_above"]
    if above is None:
        return None
    rows = cohorts.unseen_rows(config, book, above, taken[0].upto)
    rows = rows[holdout.proof(rows, above, config.deployment.proof_rows)]
    if len(rows) < LEAST_PROOF and above == champion.learnt_upto:
        test = _test_rows(config)
        rows = pd.concat([test[~holdout.among(test[ROW], rows[ROW])], rows])
    if not len(rows):
        return None
    seen = models.inputs_of(rows, config.columns.features)
    knowing_nothing = [one for one in shadows.kept(config) if one.upto <= above and one not in taken]
    fair = [*knowing_nothing, *taken]
    live = models.load(champion.model_file)
    return Batch(
        number=taken[0].upto + 0.5,
        truth=models.truth_of(rows, config.columns.target, config.task),
        predictions={one.id: models.predict(one.model(), seen, config.task) for one in fair},
        slots={one.slot: one.id for one in fair},
        served=models.predict(live, models.inputs_of(rows, champion.features), config.task),
    )


def _test_rows(config: Config) -> pd.DataFrame:
    """Give the labelled rows of the test table. Raise DataError if there are none."""
    test = dataset.read_tables(config, config.test).assign(**{FILE: 0})
    test = test[test[config.columns.target.name].notna()]
    if not len(test):
        raise DataError(
            f"{config.test}: no labelled rows to prove a model on; put a table of test rows there"
        )
    return test


def make_live(config: Config, book: Records, release: Release) -> None:
    """Move the link, then put the release on record and prune old ones. What is on record was live.

    If the link can't be moved the release is deleted again: each run would leave another one.
    """
    try:
        releases.go_live(config.production, release)
    except BaseException:
        if releases.live_id(config.production) != release.id:
            with suppress(OSError):  # what went wrong first is what is told
                files.remove_folder(release.folder)
        raise
    put_on_record(book, release)
    went_live = [row.id for row in book.releases()]
    for name in releases.prune(config.production, release, config.deployment.keep, went_live):
        log.info("pruned release %s", name)


def check_production(config: Config, book: Records, live: Release | None) -> None:
    """Raise CheckFailed if nothing is live although the records say that something was, FileError if it's reversed.

    What was made with other versions of libraries is told, or refused with CheckFailed, as configured.
    """
    if live is None:
        releases.check_lost(config, book)
        return
    if not book.releases() and not book.has_files():
        raise FileError(
            f"{book.engine.url.database}: empty, and {live.id} is live: put the database back, or start anew by moving "
            f"{config.production} and {config.ingested} away"
        )
    releases.check_libraries(live, config.deployment.libraries == "refuse")


def put_on_record(book: Records, release: Release) -> None:
    """Record a release and the scores it was proven with, once, from its own manifest."""
    manifest = release.manifest
    book.add_release(
        id=release.id, model=manifest["name"], window=manifest["window"], metric=manifest["metric"],
        score=release.score, replaced=manifest["replaced"], learnt_upto=manifest["learnt_upto"],
        reasons=manifest["reasons"], at=manifest["made_at"],
    )  # fmt: skip
    for number, score in enumerate(manifest["proof_scores"], 1):
        book.add_score(release.id, f"proof-{number}", (0, 0), manifest["metric"], metrics.Score(**score))


def finish_record(book: Records, live: Release) -> None:
    """Put on record what a run that was cut off between link and record had done: a deployment, or a rollback."""
    put_on_record(book, live)
    if (last := book.last_live()) != live.id:
        _record_rollback(book, last, live, "the link says so")


def _record_rollback(book: Records, withdrawn: str | None, live: Release, how: str) -> None:
    facts = {
        "withdrawn": withdrawn,
        "release": live.id,
        "newest": book.scored_upto(),
        "after": book.releases()[-1].id,
    }
    book.add_decision("rollback", True, [f"{how}: {withdrawn} withdrawn"], **facts)


def _merit(metric: Metric, score: float) -> float:
    """Give a score so that more is better; an undefined one is the worst."""
    gain = metric.gain(score, 0.0)
    return -math.inf if math.isnan(gain) else gain


def _challenger(one: Shadow, score: float | None, deployed: bool) -> dict[str, Any]:
    shown = None if score is None or math.isnan(score) else score
    return {"name": one.facts["name"], "window": one.facts["window"], "score": shown, "deployed": deployed}


def _judged(
    config: Config, metric: Metric, now: Situation, one: Shadow, release: Release | None
) -> dict[str, Any]:
    """Give a new model as in the JSON contract: its score on rows it has not learnt from, of the test table if none."""
    unseen = [batch for batch in now.batches if one.id in batch.predictions]
    if unseen:
        truth = np.concatenate([batch.truth for batch in unseen])
        score = metric.score(truth, np.concatenate([batch.predictions[one.id] for batch in unseen]))
    else:
        try:
            rows = _test_rows(config)
        except DataError:
            return _challenger(one, None, False)
        seen = models.inputs_of(rows, config.columns.features)
        prediction = models.predict(one.model(), seen, config.task)
        score = metric.score(models.truth_of(rows, config.columns.target, config.task), prediction)
    return _challenger(one, score, release is not None and one.id in release.recipe["weights"])


def _why_first(metric: Metric, best: Shadow, score: float, truth: np.ndarray) -> str:
    naive = metric.score(truth, np.full(len(truth), truth.mean()))
    told = f"{best.named}: {metric.name} {score:.4g} on {len(truth):,} test rows"
    return told if math.isnan(naive) else f"{told}, where always predicting the mean gets {naive:.4g}"


def _list(config: Config, book: Records) -> Result:
    live, problem = None, None
    try:
        live = releases.current(config)
        if live is None:
            releases.check_lost(config, book)
    except CheckFailed as wrong:  # the more one wants to know what else there is
        problem = str(wrong)
    live_id = live.id if live else releases.live_id(config.production)
    on_disk = releases.all_ids(config.production)
    listed = [
        (row.id, row.metric, row.score, f"{row.model} ({row.window})", json.loads(row.reasons))
        for row in book.releases()
        if row.id in on_disk
    ]
    known = {name for name, *_ in listed}
    if live is not None and live.id not in known:  # a run was cut off before its record
        facts = live.manifest
        told = f"{facts['name']} ({facts['window']})"
        listed.append((live.id, facts["metric"], live.score, told, facts["reasons"]))
    lines, found = [], []
    for name, metric, score, model, reasons in listed:
        is_live, served = name == live_id, _served(config, name)
        scored = f"{metric} {words.number(score)}"
        lines.append(f"{'*' if is_live else ' '} {name}  {scored}  {model}  {served}  {'; '.join(reasons)}")
        found.append({"release": name, "live": is_live, "score": score, "served": served})
    lines += [problem] if problem else []
    return Result("\n".join(lines) or "no releases yet", {"releases": found, "problem": problem})


def _served(config: Config, name: str) -> str:
    """Say which file of a release serves; also of one that is damaged, which others may be listed with."""
    try:
        release = releases.verified(config.production / releases.FOLDER / name, releases.key_of(config))
    except CheckFailed:
        return DAMAGED
    return serving.told(release.manifest, config.deployment.onnx)


def _verify(config: Config, book: Records) -> Result:
    """Compare releases with their hashes and with the records, and read every part by its checksums.

    Raise CheckFailed at the first that differs, FileError if the records or a part are damaged.
    """
    there = releases.all_verified(config)
    if wrong := journal.changed(config):
        raise FileError(wrong)
    live, parts = releases.current(config), book.parts()
    if live is None:
        releases.check_lost(config, book)
    else:
        releases.check_links(config.production)
    if wrong := book.damage():
        raise FileError(f"{book.engine.url.database}: damaged ({wrong}); make it anew with {journal.REPAIR}")
    if wrong := journal.differs(config, book):
        raise FileError(wrong)
    for row in book.releases():
        if row.id in there and (other := _on_record_otherwise(row, there[row.id])):
            raise CheckFailed(f"{there[row.id].folder / releases.MANIFEST}: {other}; one of them was changed")
    for _, part in parts:
        dataset.read_part(config.ingested, part)
    whole = words.counted(len(parts), "part")
    told = f"as it was deployed: {words.counted(len(there), 'release')}; whole: {whole} of the data; "
    facts = {"releases": [*there], "live": live.id if live else None, "parts": len(parts)}
    return Result(told + f"live: {live.id if live else 'none'}", facts)


def _sign(config: Config) -> Result:
    """Sign all releases as they are, which is to say that they are trusted."""
    key = releases.key_of(config)
    if key is None:
        raise UsageError(f"{config.file}: no deployment.key_file to sign with")
    names = releases.all_ids(config.production)
    for name in names:
        releases.sign(releases.verified(config.production / releases.FOLDER / name), key)
    return Result(
        f"signed {words.counted(len(names), 'release')} with the key in deployment.key_file",
        {"releases": names},
    )


def _on_record_otherwise(row: Any, release: Release) -> str:
    """Say where a release's manifest and the records differ; empty if they agree."""
    manifest = release.manifest
    kept = {name: manifest[name] for name in ("metric", "replaced", "learnt_upto", "reasons", "window")}
    kept |= {"model": manifest["name"], "score": release.score, "at": manifest["made_at"]}
    found = {name: getattr(row, name) for name in kept} | {"reasons": json.loads(row.reasons)}
    other = [name for name, value in kept.items() if found[name] != value]
    return f"{other[0]} is {kept[other[0]]!r}, and {found[other[0]]!r} on record" if other else ""


def _roll_back(config: Config, book: Records, named: str | None) -> Result:
    """Make an earlier release live: the named one, or the one before. What was live is withdrawn."""
    releases.check_link(config.production)
    live, last = releases.live_id(config.production), book.last_live()
    release = _whole(config, _before(config, book, live) if named is None else named)
    withdrawn = next((one for one in (live, last) if one and one != release.id), None)
    if release.id == live and withdrawn is None:
        return Result(f"live already: {live}; nothing was done", {"release": live, "withdrawn": None})
    book.check_writable()  # else it would be live without a record
    agenda.begin(config)  # the next run writes the texts, the call list and the report of what is live now
    releases.go_live(config.production, release)
    put_on_record(book, release)
    if withdrawn:  # else the link was put back
        _record_rollback(book, withdrawn, release, "asked for by hand")
    told = f"live again: {release.id}" + (f"; withdrawn: {withdrawn}" if withdrawn else "")
    if other := release.not_comparable(config):
        told += f"; the next run trains a successor: {config.file} has {other}"
    return Result(told, {"release": release.id, "withdrawn": withdrawn})


def _before(config: Config, book: Records, live: str | None) -> str:
    """Give the release to go back to, asked of the records: the live one may be what is broken.

    Where the link isn't as they have it, a rollback that has no record yet is what is finished. Raise DataError if
    there's none to go back to.
    """
    replaced, last = {row.id: row.replaced for row in book.releases()}, book.last_live()
    before = replaced.get(live) if live == last else live if live in replaced else last
    if live is None or not before:
        raise DataError(f"{config.production}: no release to go back to; name one with --rollback RELEASE")
    if before not in releases.all_ids(config.production):
        gone = f"{before}, the release before {live}, is gone, pruned or deleted"
        raise DataError(f"{config.production}: {gone}; {_others(config, live)}")
    return before


def _whole(config: Config, name: str) -> Release:
    """Give the release of this name. Raise CheckFailed, with those that are whole, if it isn't."""
    try:
        return releases.named(config, name)
    except CheckFailed as problem:
        live = releases.live_id(config.production)
        raise CheckFailed(f"{problem}; {_others(config, live)}") from None


def _others(config: Config, live: str | None) -> str:
    """Say which other releases are whole."""
    others = [name for name in releases.all_ids(config.production) if name != live]
    whole = ", ".join(name for name in others if _served(config, name) != DAMAGED)
    return f"whole, for --rollback RELEASE: {whole}" if whole else "no other release is whole"


if __name__ == "__main__":
    cli.launch(
        run,
        __doc__,
        ("--list", {"action": "store_true", "help": "show the releases and which is live", "reads": True}),
        (
            "--verify",
            {
                "action": "store_true",
                "help": "compare releases with their hashes and the records, and the data with their checksums",
                "reads": True,
            },
        ),
        (
            "--sign",
            {"action": "store_true", "help": "sign all releases, as they are, with deployment.key_file"},
        ),
        (
            "--rollback",
            {
                "nargs": "?",
                "const": True,
                "default": False,
                "metavar": "RELEASE",
                "help": "go back, to the one before or to this",
            },
        ),
    )
