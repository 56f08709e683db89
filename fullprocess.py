"""One run of the whole loop, as cron starts it: ingest, score, judge, retrain, prove, deploy, diagnose, report.

    python fullprocess.py [--config FILE] [--json] [-v]
    python fullprocess.py --dry-run | --force | --status | --history

With nothing to do it leaves at once with exit code 0, and says nothing unless a terminal watches. Killed anywhere, the
next run finishes the story: every question is asked of the disk.

Exit codes: 0 done or nothing to do, 1 a bug, 64 usage, 65 bad data, 70 a check failed, 74 file trouble,
75 another run holds the lock, 78 config.
"""

import os
import sys

from pipeline import watch

if __name__ == "__main__":  # before anything else is imported: finding nothing to do costs almost nothing
    watch.leave_if_quiet(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "config.yaml"), sys.argv[1:]
    )

from typing import TYPE_CHECKING, Any

from pipeline import agenda, cli, decisions, releases
from pipeline.cli import Result, timed
from pipeline.config import Config
from pipeline.errors import NotEnoughRows, PipelineError
from pipeline.releases import Release

if TYPE_CHECKING:
    import deployment
    import ingestion
    from pipeline.records import Records


def run(
    config: Config, dry_run: bool = False, force: bool = False, status: bool = False, history: bool = False
) -> Result:
    """Do what there is to do."""
    if status or history:
        return told(config, history)
    found, folders = agenda.look(config)
    changed = agenda.changed(config, found)
    champion = releases.current(config.production)
    due = bool(changed) or force or champion is None or agenda.unfinished(config)
    if dry_run:
        return foretold(config, changed, due, force)
    if due:
        agenda.begin(config)
        result = work(config, force)
        agenda.finish(config)
    else:
        result = nothing(config, champion)
    agenda.rest(config, found, folders)
    return result


def work(config: Config, force: bool) -> Result:
    """Do a run and put it on record, also one that failed. The steps cost to import, so it's done here."""
    import diagnostics
    import reporting
    from pipeline import records

    with records.opened(config.database) as book:
        book.start_run()
        seconds: dict[str, float] = {}
        try:
            result = loop(config, book, force, seconds)
            with timed(seconds, "diagnostics"):
                diagnostics.run(config, book)
        except PipelineError as problem:
            book.finish_run("failed", {"outcome": "failed", "reasons": [str(problem)], "seconds": seconds})
            raise
        book.finish_run(result.facts["outcome"], result.facts)
        with timed(seconds, "reporting"):  # after the run is on record, so that the report tells of it
            reporting.run(config, book)
        book.add_timings(seconds)
    return result


def loop(config: Config, book: "Records", force: bool, seconds: dict[str, float]) -> Result:
    """Ingest, score, judge; if need be retrain, prove and deploy; rank the clients."""
    import deployment
    import ingestion
    import scoring

    champion = releases.current(config.production)
    deployment.check_production(config, book, champion)
    if champion is not None:
        deployment.put_on_record(book, champion)  # the last run may have been cut off between link and record
    scored: dict[str, Any] = {"scores": [], "drift": [], "inputs": []}
    with timed(seconds, "ingestion"):
        counts = ingestion.ingest(config, book)
    if champion is not None:
        with timed(seconds, "scoring"):
            scored = scoring.score_champion(config, book, champion).facts
    decision = retrain(config, book, champion, force)
    fits, outcome, reasons = challenge(config, book, champion, decision, seconds)
    live = champion if outcome is None or outcome.release is None else outcome.release
    if live is not None:
        with timed(seconds, "calllist"):
            scoring.write_latest(config, book, live)
            scoring.write_call_list(config, book, live)
    facts = {
        "run": book.run,
        "outcome": named(
            champion, live, bool(counts.files or counts.rejected_files or decision.yes or scored["scores"])
        ),
        "reasons": reasons,
        "ingested": counts.facts(),
        "champion": shown(book, live),
        "challengers": outcome.challengers if outcome else [],
        "fits": fits,
        "drift": scored["drift"],
        "inputs": scored["inputs"],
        "scores": scored["scores"],
        "seconds": seconds,
    }
    return Result(line(facts, counts), facts)


def retrain(config: Config, book: "Records", champion: Release | None, force: bool) -> decisions.Decision:
    """Decide whether challengers are trained now, and put the decision on record."""
    now = situation(config, book, champion)
    settings = config.retraining
    if force:
        decision = decisions.Decision(True, ["forced by hand"])
    elif champion is None:
        decision = decisions.Decision(
            now.rows > 0, ["no model was deployed yet"] if now.rows else ["no labelled rows yet"]
        )
    elif list(champion.features) != list(config.columns.features):
        decision = decisions.Decision(
            True, ["config.yaml names other features than the deployed model takes"]
        )
    else:
        decision = decisions.retrain(settings.policy, now, settings.growth, settings.cooldown)
    book.add_decision("retrain", decision.yes, decision.reasons, **vars(now))
    return decision


def challenge(
    config: Config,
    book: "Records",
    champion: Release | None,
    decision: decisions.Decision,
    seconds: dict[str, float],
) -> "tuple[int, deployment.Deployed | None, list[str]]":
    """Train challengers if so decided, and deploy the one that is proven: number of fits, outcome, reasons."""
    if not decision.yes:
        return 0, None, decision.reasons
    import deployment
    import training

    try:
        with timed(seconds, "training"):
            made = training.train(config, book, champion, windows(config, book))
    except NotEnoughRows as problem:  # that's no failure: they'll come
        return 0, None, [*decision.reasons, str(problem)]
    with timed(seconds, "deployment"):
        outcome = deployment.deploy(config, book, champion, decision.reasons)
    return len(made), outcome, outcome.reasons


def situation(config: Config, book: "Records", champion: Release | None) -> decisions.Situation:
    """Ask the records what a retraining policy needs to know; bad data and young cohorts count for nothing."""
    from pipeline import cohorts

    if champion is None:
        return decisions.Situation(cohorts.labelled_rows(config, book), 0, 0, [])
    trained = book.learnt_upto()
    batches = {
        score.batch
        for score in book.scores(champion.manifest["metric"], champion.id)
        if score.last_file > trained
    }
    drifted: dict[str, list[Any]] = {}
    for verdict in book.verdicts(champion.id, above=trained):
        if verdict.drifted:
            drifted.setdefault(verdict.batch, []).append(verdict)
    agreed = [found for found in drifted.values() if len(found) >= config.drift.require]
    reasons = []
    regime_from = book.regime_from()
    if agreed:
        if not regime_from or went_well(config, book, regime_from, agreed[0][0].first_file):
            regime_from = agreed[0][0].first_file  # else it's still the last drift that is told
        whys = "; ".join(f"{verdict.test}: {verdict.why}" for verdict in agreed[-1])
        reasons = [
            f"{len(agreed)} of {len(batches)} new batch(es) drifted, the latest is {agreed[-1][0].batch}: {whys}"
        ]
    rows = cohorts.labelled_rows(config, book, regime_from)
    learnt = cohorts.labelled_rows(config, book, regime_from, upto=trained)
    return decisions.Situation(rows, learnt, len(batches), reasons, regime_from)


def went_well(config: Config, book: "Records", since: int, until: int) -> bool:
    """Say whether a batch of the files from `since` on and before `until` was judged without drift."""
    votes: dict[tuple[str, str], int] = {}
    for verdict in book.verdicts(above=since - 1):
        if verdict.last_file < until:
            batch = verdict.release, verdict.batch
            votes[batch] = votes.get(batch, 0) + verdict.drifted
    return any(against < config.drift.require for against in votes.values())


def windows(config: Config, book: "Records") -> list[int | None]:
    """Give the windows to train on: all history, and the newest files, of the present regime if it's long enough."""
    regime_from = book.regime_from()
    recent = config.retraining.recent
    if regime_from and book.labelled_rows(regime_from) >= config.retraining.min_rows:
        recent = min(recent, len(book.parts(regime_from - 1)))
    return [None, recent] if len(book.parts()) > recent else [None]


def named(champion: Release | None, live: Release | None, busy: bool) -> str:
    """Give the outcome of a run in one word."""
    if live is not None and (champion is None or live.id != champion.id):
        return "first" if champion is None else "deployed"
    return "kept" if busy else "nothing"


def shown(book: "Records", live: Release | None) -> dict[str, Any] | None:
    """Give the champion as in the JSON contract: its release and its latest score."""
    if live is None:
        return None
    latest = book.latest_score(live.manifest["metric"], live.id)
    return {"release": live.id, "score": live.manifest["score"]["value"] if latest is None else latest}


def line(facts: dict[str, Any], counts: "ingestion.Counts") -> str:
    """Give the run in one line; none if it found nothing to do and nobody watches."""
    from pipeline import words

    if facts["outcome"] == "nothing":
        return watch.NOTHING if sys.stdout.isatty() else ""
    told = f"{facts['outcome']}: ingested {counts}"
    if facts["champion"]:
        told += f"; live: {facts['champion']['release']}, score {facts['champion']['score']:.4g}"
    told += f"; {'; '.join(facts['reasons'])}"
    said = words.troubles(facts["inputs"])
    return f"{told}; {said}" if said else told


def nothing(config: Config, champion: Release | None) -> Result:
    """Give the result of a run without work."""
    facts = {
        "run": None,
        "outcome": "nothing",
        "reasons": ["no new files, and no run to finish"],
        "ingested": {"files": 0, "rows": 0, "duplicates": 0, "rejected_files": 0, "rejected_rows": 0},
        "champion": champion and {"release": champion.id, "score": agenda.latest_score(config)},
        "challengers": [],
        "fits": 0,
        "drift": [],
        "inputs": [],
        "seconds": {},
    }
    return Result(watch.NOTHING if sys.stdout.isatty() else "", facts)


def foretold(config: Config, changed: list[str], due: bool, force: bool) -> Result:
    """Say what a run would do and why; change nothing."""
    if not due:
        return Result("would do nothing: no new files, and no run to finish", {"due": False, "files": []})
    import ingestion
    from pipeline import records

    with records.opened(config.database, reading=True) as book:
        counts = ingestion.ingest(config, book, dry_run=True)
    why = ["asked to by --force"] if force else []
    why += [f"{len(changed)} new or changed file(s)"] if changed else []
    why += ["a run to finish, or a changed config"] if agenda.unfinished(config) else []
    told = ["would run: " + ", ".join(why), *counts.lines, "then score, judge drift and decide on retraining"]
    return Result("\n".join(told), {"due": True, "why": why, "files": counts.lines})


def told(config: Config, history: bool) -> Result:
    """Give the state of things, or the story of all runs, for people."""
    from pipeline import records, views

    with records.opened(config.database, reading=True) as book:
        facts, text = views.history(book) if history else views.status(config, book)
    return Result(text, facts)


if __name__ == "__main__":
    cli.launch(
        run,
        __doc__,
        (
            "--dry-run",
            {
                "action": "store_true",
                "help": "say what a run would do and why; change nothing",
                "reads": True,
            },
        ),
        ("--force", {"action": "store_true", "help": "retrain, whatever the policy says"}),
        (
            "--status",
            {"action": "store_true", "help": "what is deployed, its score, and where to look", "reads": True},
        ),
        ("--history", {"action": "store_true", "help": "the story of all runs", "reads": True}),
        records=False,
    )
