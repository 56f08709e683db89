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

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pipeline import agenda, cli, releases, words
from pipeline.cli import Result, timed
from pipeline.config import Config
from pipeline.errors import NotEnoughRows, OneOutcome, PipelineError
from pipeline.releases import Release

if TYPE_CHECKING:
    import ingestion
    from pipeline.decisions import Decision
    from pipeline.recipes import Situation
    from pipeline.records import Records


MOST_TOLD = 2  # earlier batches of a run, of which its line tells what each led to


def run(
    config: Config, dry_run: bool = False, force: bool = False, status: bool = False, history: bool = False
) -> Result:
    """Do what there is to do."""
    if status or history:
        return told(config, history)
    found, folders = agenda.look(config)
    changed = agenda.changed(config, found)
    champion = releases.current(config)
    due = bool(changed) or force or champion is None or agenda.unfinished(config)
    if dry_run:
        return foretold(config, changed, champion, due, force)
    if champion is not None:
        releases.put_links_back(config.production)
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
    from pipeline import journal

    with journal.opened(config) as book:
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
    from pipeline import inputs

    champion = releases.current(config)
    deployment.check_production(config, book, champion)
    if champion is not None:
        deployment.finish_record(book, champion)
    with timed(seconds, "ingestion"):
        counts = ingestion.ingest(config, book)
    turns, seen = gone_through(config, book, champion, force, seconds)
    live = next((turn.release for turn in reversed(turns) if turn.release), champion)
    if live is not None:
        with timed(seconds, "calllist"):
            scoring.write_latest(config, book, live)
            scoring.write_call_list(config, book, live)
    scored = [turn.score for turn in turns if turn.score]
    busy = counts.files or counts.rejected_files or scored or any(turn.decision.yes for turn in turns)
    facts = {
        "run": book.run,
        "outcome": named(champion, live, bool(busy)),
        "reasons": [*before(turns), *turns[-1].reasons],
        "ingested": counts.facts(),
        "champion": shown(book, live),
        "challengers": [one for turn in turns for one in turn.challengers],
        "fits": sum(turn.fits for turn in turns),
        "drift": [verdict for turn in turns for verdict in turn.drift] + inputs.verdicts_of(seen),
        "inputs": inputs.kinds_of(seen),
        "scores": scored,
        "seconds": seconds,
    }
    judged = champion is None or bool(scored) or not scoring.fits(config, champion)
    return Result(line(facts, counts, in_short(turns, judged)), facts)


@dataclass(frozen=True)
class Turn:
    """What was decided and done after one batch, or without a new one."""

    decision: "Decision"
    reasons: list[str]
    fits: int = 0
    release: Release | None = None  # if another went live
    challengers: list[dict[str, Any]] = field(default_factory=list)
    score: dict[str, Any] | None = None
    drift: list[dict[str, Any]] = field(default_factory=list)


def gone_through(
    config: Config, book: "Records", champion: Release | None, force: bool, seconds: dict[str, float]
) -> tuple[list[Turn], list[dict[str, Any]]]:
    """Score and decide batch by batch, as if each had come with a run of its own; and once where none came.

    Give what was done, and what was found of each new file.
    """
    import scoring
    from pipeline import dataset, inputs

    turns: list[Turn] = []
    seen: list[dict[str, Any]] = []
    before = champion
    with timed(seconds, "scoring"):
        inputs.watch(config, book, champion)
    if champion is not None and scoring.fits(config, champion):
        if undecided(book, champion):  # the last run was cut off after it had scored
            turns.append(taken(config, book, champion, False, seconds))
            champion = turns[-1].release or champion
        for batch, rows in scoring.unscored_batches(config, book, champion):
            if int(rows[dataset.FILE].max()) <= champion.learnt_upto:
                break  # the config has other features: a model of them has just learnt from all there is
            with timed(seconds, "scoring"):
                score, verdicts = scoring.score_batch(config, book, champion, batch, rows)
            turn = taken(config, book, champion, False, seconds)
            turns.append(replace(turn, score=score, drift=verdicts))
            champion = turn.release or champion
    if force or not turns:
        turns.append(taken(config, book, champion, force, seconds))
    if before is not None:
        scoring.forget_scored(config, book, champion or before)
        seen = inputs.diagnose(config, book, scoring.alarms(config, book))
    return turns, seen


def undecided(book: "Records", champion: Release) -> bool:
    """Say whether batches were scored on which nothing has been decided yet."""
    return book.decided_upto() < max(book.scored_upto(), champion.learnt_upto)


def taken(
    config: Config, book: "Records", champion: Release | None, force: bool, seconds: dict[str, float]
) -> Turn:
    """Decide whether to train, train, and deploy what is proven: what is known now decides, on record or new."""
    import deployment
    from pipeline import shadows

    now, fresh = None, champion is not None and undecided(book, champion)
    if champion is not None and not champion.not_comparable(config):
        shadows.restore(config, champion)
        shadows.forget_cut_off(config, book, champion)
        now = shadows.situation(config, book, champion)
    newest = book.last_file() if now is None or champion is None else shadows.newest_file(book, champion)
    harmed = (
        shadows.harmed_file(book, champion)
        if now is not None and champion is not None and now.alarm
        else None
    )
    decision = retrain(config, book, champion, now, force)
    made, reasons = 0, decision.reasons
    outcome = None
    if decision.yes:
        made, reasons = trained(config, book, champion, now, decision, seconds)
    with timed(seconds, "deployment"):
        if made:
            outcome = deployment.deploy(config, book, champion, reasons)
        elif champion is not None and now is not None and fresh:
            outcome = deployment.promote(config, book, champion, reasons)
    facts = {"newest": newest, "rows": now.rows if now else None, "harmed": harmed if made else None}
    book.add_decision("retrain", made > 0, reasons, **facts)
    if outcome is None:
        return Turn(decision, reasons, made)
    said = [*outcome.reasons, *(reason for reason in reasons if reason not in outcome.reasons)]
    return Turn(decision, said, made, outcome.release, outcome.challengers)


def retrain(
    config: Config,
    book: "Records",
    champion: Release | None,
    now: "Situation | None",
    force: bool,
) -> "Decision":
    """Decide whether challengers are trained now, and on which windows."""
    from pipeline import cohorts, decisions, recipes

    both = recipes.WINDOWS
    if force:
        return decisions.Decision(True, ["forced by hand"], both)
    if now is None:
        other = (
            f"config.yaml has {champion.not_comparable(config)}" if champion else "no model was deployed yet"
        )
        rows = cohorts.labelled_rows(config, book)
        if young := 0 if rows else book.labelled_rows():
            why = f"{words.counted(young, 'labelled row')} so far, none whose scoring.label_window is over"
        else:
            why = other if rows else "no labelled rows yet"
        return decisions.Decision(rows > 0, [why], both)
    asked = config.retraining
    settings = decisions.Retraining(asked.growth, asked.cooldown, asked.price, min_rows=asked.min_rows)
    return decisions.retrain(asked.policy, now, settings)


def trained(
    config: Config,
    book: "Records",
    champion: Release | None,
    now: "Situation | None",
    decision: "Decision",
    seconds: dict[str, float],
) -> tuple[int, list[str]]:
    """Train on the windows decided on: how many models were made, and the reasons, also for making none."""
    import training
    from pipeline import shadows

    above, upto, harmed = None, None, book.harmed_upto()
    if now is not None and champion is not None:
        upto = shadows.newest_file(book, champion)
        if now.alarm:
            harmed = max(harmed, shadows.harmed_file(book, champion) or 0)
            above = max(champion.learnt_upto, harmed)
    try:
        with timed(seconds, "training"):
            chosen = windows(config, book, decision.windows, upto, harmed, above is not None)
            made = training.train(config, book, champion, chosen, upto, above) if chosen else []
    except (NotEnoughRows, OneOutcome) as problem:
        if upto is None and isinstance(problem, OneOutcome):
            raise
        return 0, [*decision.reasons, str(problem)]  # that's no failure: other rows will come
    if not made:
        return 0, [*decision.reasons, "but so far there are no rows beside the newest files"]
    return len(made), decision.reasons


def windows(
    config: Config, book: "Records", named: tuple[str, ...], upto: int | None, harmed: int, alarmed: bool
) -> list[int | None]:
    """Give the windows to train on: None for all history, or how many of the newest files.

    After harm the recent window is what came since it began, if that is enough to learn from. As long as the recent
    window is all there is, an alarm trains that.
    """
    from pipeline import cohorts, decisions

    recent, there = config.retraining.recent, book.labelled_files(upto=upto)
    enough = decisions.ENOUGH * config.retraining.min_rows
    if harmed and cohorts.labelled_rows(config, book, harmed + 1, upto) >= enough:
        recent = min(recent, book.labelled_files(harmed, upto))
    found: list[int | None] = [None] if "all" in named or (alarmed and there <= recent) else []
    return [*found, recent] if "recent" in named and there > recent else found


def before(turns: list[Turn]) -> list[str]:
    """Give for each turn but the last that trained or deployed what it did."""
    busy = [turn for turn in turns[:-1] if turn.fits or turn.release]
    return [f"after {turn.score['name']}: {done(turn)}" for turn in busy if turn.score]


def in_short(turns: list[Turn], judged: bool) -> list[str]:
    """Give the reasons of a run for its line: a backlog has many, and without a new score there's nothing to decide."""
    earlier, last = before(turns), turns[-1]
    if len(earlier) > MOST_TOLD:
        several = words.counted(len(earlier), "earlier batch")
        earlier = [
            f"{several} led to trainings or deployments, which `python fullprocess.py --history` tells"
        ]
    if not (judged or last.decision.yes or last.release):
        return [*earlier, "no new score to decide on"]
    made = [f"{words.counted(last.fits, 'model')} trained"] if last.fits else []
    return [*earlier, *made, *last.reasons]


def done(turn: Turn) -> str:
    """Give in a few words what a turn did."""
    trained = f"{words.counted(turn.fits, 'model')} trained" if turn.fits else ""
    deployed = f"{turn.release.id} deployed: {turn.release.manifest['reasons'][-1]}" if turn.release else ""
    return ", ".join(filter(None, (trained, deployed)))


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
    return {"release": live.id, "score": live.score if latest is None else latest}


def line(facts: dict[str, Any], counts: "ingestion.Counts", reasons: list[str]) -> str:
    """Give the run in one line; none if it found nothing to do and nobody watches."""
    if facts["outcome"] == "nothing":
        return watch.NOTHING if sys.stdout.isatty() else ""
    told = f"{facts['outcome']}: ingested {counts}"
    if facts["champion"]:
        told += f"; live: {facts['champion']['release']}, score {words.number(facts['champion']['score'])}"
    told += f"; {'; '.join(reasons)}"
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


def foretold(config: Config, changed: list[str], champion: Release | None, due: bool, force: bool) -> Result:
    """Say what a run would do and why; change nothing."""
    if not due:
        return Result("would do nothing: no new files, and no run to finish", {"due": False, "files": []})
    import ingestion
    from pipeline import records

    with records.opened(config.database, reading=True) as book:
        if champion is None:
            releases.check_lost(config, book)
        counts = ingestion.ingest(config, book, dry_run=True)
        first = not book.runs(finished=False)
    why = ["asked to by --force"] if force else []
    why += [words.counted(len(changed), "new or changed file")] if changed else []
    if first:
        why += ["it's the first run"]
    elif agenda.unfinished(config):
        why += ["a run to finish, or a changed config"]
    elif champion is None:
        why += ["no model is deployed yet"]
    told = ["would run: " + ", ".join(why), *counts.lines, "then score, judge drift and decide on retraining"]
    return Result("\n".join(told), {"due": True, "why": why, "files": counts.lines})


def told(config: Config, history: bool) -> Result:
    """Give the state of things, or the story of all runs, for people."""
    from pipeline import records, views

    with records.opened(config.database, reading=True) as book:
        facts, text = views.history(config, book) if history else views.status(config, book)
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
