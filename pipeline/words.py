"""Sums that put facts into words people read: numbers, moments, drift, the story of a run. No disk, no clock.

The facts are those that `views` gives.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

Facts = dict[str, Any]

COMMAND, KEPT = re.compile(r"`[^`]+`"), "\0"
NOTHING = "–"
WIDTH = 110  # columns of text for a terminal
OF_KNOWN = {  # how rows of a known key that are no mere duplicates are told, by `records.OF_KNOWN`
    "late_labels": ("label", "for known rows"),
    "back": ("known row", "back in place"),
    "versions": ("other version", "of known rows"),
}
CHANCE = {"roc_auc": 0.5, "r2": 0.0}  # what knowing nothing gets, where that's the same for all data
BY_CHANCE = "not surely better than chance"
SIGNS = 8  # batches of a run that are named for signs of drift

# What a metric is called and what its value tells, for people who do not speak scikit-learn.
METRICS: dict[str, tuple[str, str]] = {
    "roc_auc": (
        "ROC AUC",
        "how often it puts a positive row above a negative one; 0.5 is chance, 1 is perfect",
    ),
    "f1": ("F1", "balance of hits and false alarms, 0 to 1"),
    "average_precision": ("average precision", "precision over all thresholds, 0 to 1"),
    "accuracy": ("accuracy", "share of rows it gets right"),
    "log_loss": ("log loss", "surprise at what happened; lower is better"),
    "brier": ("Brier score", "squared error of the probability; lower is better"),
    "rmse": ("RMSE", "typical error in units of the target, large ones weigh more; lower is better"),
    "mae": ("MAE", "mean error in units of the target; lower is better"),
    "mse": ("MSE", "mean squared error; lower is better"),
    "r2": ("R²", "share of the spread it explains; 0 is what the mean does, 1 is perfect"),
}


def metric_name(name: str) -> str:
    """Give what a metric is called: `ROC AUC` for `roc_auc`."""
    return METRICS[name][0] if name in METRICS else name.replace("_", " ")


def metric_meaning(name: str) -> str:
    """Give what a metric's value tells; empty if nobody wrote it down."""
    return METRICS[name][1] if name in METRICS else ""


def number(value: float | None, digits: int = 4) -> str:
    """Give a number with so many digits that count, thousands apart; a dash for none."""
    if value is None or value != value:
        return NOTHING
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def figure(value: float | None) -> str:
    """Give a score: three decimals, so that scores stand in line; large ones in whole units."""
    return f"{value:.3f}" if value is not None and abs(value) < 10 else number(value)


def interval(low: float | None, high: float | None) -> str:
    """Give a 95 % interval; empty if there is none."""
    return "" if low is None or high is None else f"{figure(low)} to {figure(high)}"


def percent(share: float | None) -> str:
    """Give a share as percentage: `0.4 %`, `12 %`; what is there but tiny is not rounded to none."""
    if share is None:
        return NOTHING
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def counted(count: int, noun: str) -> str:
    """Give `1 file`, `6 files`, `2 batches`."""
    if count == 1:
        return f"1 {noun}"
    ending = "es" if noun.endswith(("ch", "s", "x")) else "s"
    return f"{count:,} {noun}{ending}"


def moment(at: str | None) -> str:
    """Give a time on record, `2025-12-31T23:59:59Z`, to the minute: `2025-12-31 23:59 UTC`."""
    return f"{at[:10]} {at[11:16]} UTC" if at else NOTHING


def seconds_between(start: str, end: str) -> float:
    """Give the seconds between two times on record; 0 if the clock was set back meanwhile."""
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def duration(seconds: float) -> str:
    """Give a duration: `0.04 s`, `3.2 s`, `12 s`, `2 min 5 s`."""
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def clipped(text: str, most: int) -> str:
    """Give the text, cut with an ellipsis if it is longer."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Give `a, b and 4 more`."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def batch(first: int, last: int, names: Mapping[int, str]) -> str:
    """Give the names of the files that a batch is made of, from the first's number to the last's; none for a proof."""
    return listed([names[number] for number in range(first, last + 1) if number in names])


def paragraph(label: str, text: str, width: int = 10) -> str:
    """Give a labelled paragraph for a terminal, its lines hanging behind the label."""
    behind = " " * (width + 2)
    first = f"  {label:<{width}}" if len(label) < width else f"  {label} "
    whole = COMMAND.sub(
        lambda found: found[0].replace(" ", KEPT), text
    )  # a command is to be copied from a line
    filled = textwrap.fill(
        whole,
        WIDTH,
        initial_indent=first,
        subsequent_indent=behind,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return filled.replace(KEPT, " ") if text else first.rstrip()


# ---------------------------------------------------------------------------------------------- what is the state?
def status(facts: Facts) -> str:
    """Give the state of things: what is live and how it does, what the last run did, what waits, where to look."""
    live, story = facts["champion"], facts["run"]
    lines = _live(live, facts["drift"], facts["inputs"]) if live else ["Nothing is deployed yet."]
    if story:
        lines.append(paragraph("Last run", f"{moment(story['started'])}: {last_run(story)}"))
    if labels := label_delays(facts["labels"]):
        lines.append(paragraph("Labels", labels))
    lines.append(paragraph("Waiting", waiting(facts["waiting"])))
    if left := left_out(facts["left_out"]):
        lines.append(paragraph("Left out", left))
    if not live:
        lines.append(
            paragraph("Next", "put labelled files into the folder of paths.source and run fullprocess.py")
        )
    for position, (what, path) in enumerate(facts["look"].items()):
        lines.append(f"  {'' if position else 'Look at':<10}{path}  ({what})")
    return "\n".join(lines)


def _live(live: Facts, newest: Facts | None, file: Facts | None) -> list[str]:
    meaning = metric_meaning(live["score"]["metric"])
    scored = f"{score(live['score'])} on {live['score']['on']}" + (f". It tells {meaning}" if meaning else "")
    return [
        f"Live: {live['model']}, since {moment(live['since'])}, release {live['release']}",
        paragraph("Score", scored),
        paragraph("Drift", drift(live, newest)),
        *([paragraph("Inputs", told)] if (told := newest_file(file)) else []),
        paragraph("Why", "; ".join(live["reasons"])),
    ]


def score(facts: Facts) -> str:
    """Give a score with its metric and interval: `ROC AUC 0.769 (95 %: 0.656 to 0.875)`."""
    between = interval(facts["low"], facts["high"])
    told = f"{metric_name(facts['metric'])} {figure(facts['value'])}"
    told = f"{told} (95 %: {between})" if between else told
    return f"{told}, {BY_CHANCE}" if by_chance(facts) else told


def by_chance(facts: Facts) -> bool:
    """Say whether a score isn't surely better than what knowing nothing gets; never where that isn't one value."""
    least = CHANCE.get(facts["metric"])
    return least is not None and facts["low"] is not None and facts["low"] <= least


def drift(live: Facts, newest: Facts | None) -> str:
    """Give in a sentence whether the newest batch of the live release drifted, and why."""
    if newest is None or newest["release"] != live["release"]:
        return "not judged yet: no new labelled rows since this model went live"
    if not newest["judged"]:
        return f"too early to tell: {newest['verdicts'][0]['why'].removeprefix('no verdict: ')}"
    fired = [verdict for verdict in newest["verdicts"] if verdict["drifted"]]
    told = f"{len(fired)} of {counted(len(newest['verdicts']), 'test')} found it in {newest['name']}"
    if not newest["drifted"]:
        none = f"none: {told}" if fired else f"none: no test found it in {newest['name']}"
        unsure = [one["why"] for one in newest["verdicts"] if one["why"].startswith("no verdict: ")]
        if not unsure:
            return none
        few = f"{len(unsure)} of {len(newest['verdicts'])} can't tell yet"
        return f"{none}; {few}: {unsure[0].removeprefix('no verdict: ')}"
    return f"yes: {told}: " + "; ".join(f"{verdict['test']}: {verdict['why']}" for verdict in fired)


def trouble(facts: Facts | None) -> str:
    """Give in a sentence what is the matter with a file's rows; empty if nothing is, or it isn't known yet."""
    if facts is None or facts["kind"] in (None, "none"):
        return ""
    return f"{facts['file']}: {facts['sentence']}"


def newest_file(facts: Facts | None) -> str:
    """Give in a sentence what is the matter with the newest file, and what score to expect if it has no outcomes."""
    told = trouble(facts)
    if facts is None or facts["labelled"]:
        return told
    known = f"{facts['file']}: none of {counted(facts['rows'], 'row')} has an outcome yet"
    if facts["estimate"]:
        known += f"; if the model's probabilities are right: {estimated(facts['estimate'])}"
    return f"{told}; {known}" if told else known


def estimated(facts: Facts) -> str:
    """Give the scores that are to be expected without labels."""
    return ", ".join(
        f"{metric_name(name)} {figure(facts[name])}" for name in ("roc_auc", "accuracy", "brier")
    )


def troubles(files: list[Facts]) -> str:
    """Give in a sentence what is the matter with files: with the newest of bad data, else the newest of all."""
    told = [one for one in files if trouble(one)]
    bad = [one for one in told if one["kind"] == "bad data"]
    if not told:
        return ""
    shown = (bad or told)[-1]
    others = [one for one in told if one is not shown and one not in bad]
    more = [f"bad data, too: {listed([one['file'] for one in bad[:-1]], 5)}"] if bad[1:] else []
    more += [f"{counted(len(others), 'other new file')} not as before either"] if others else []
    return trouble(shown) + (f" ({'; '.join(more)})" if more else "")


def label_delays(facts: Facts | None) -> str:
    """Give in a sentence how long labels take; empty if that isn't known."""
    if not facts:
        return ""
    if not (facts["late"] or facts["unlabelled"] or facts["too_young"]):
        return "each row came with its outcome"
    median = facts["median_days"]
    half = (
        "too few have come to say when half are there"
        if median is None
        else f"half come within {median:.4g} days"
    )
    shares = facts["labelled_by_age"].items()
    whole = next((age for age, share in shares if share == 1), None)
    ages = [
        f"{percent(share)} by {counted(age, 'day')}" for age, share in shares if whole is None or age <= whole
    ]
    told = f"{half}; {', '.join(ages)}; {counted(facts['unlabelled'], 'row')} without"
    young = facts["too_young"]
    return f"{told}; {counted(young, 'labelled row')} of cohorts too young to be judged" if young else told


def last_run(story: Facts) -> str:
    """Give in a sentence how the last run ended, what came in, and why nothing new was deployed if nothing was."""
    told = [end(story), intake(story)]
    if story["decisions"] and not story["deployed"]:
        reasons = story["decisions"][-1]["reasons"]
        told.append(clipped("; ".join(reasons[-1 - reasons[-1].startswith("but ") :]), 160))
    return "; ".join(told)


def waiting(facts: Facts) -> str:
    """Give what the next run will find to do."""
    told = [facts["problem"]] if facts["problem"] else []
    if facts["files"]:
        told.append(f"{counted(facts['files'], 'file')}, new or changed, to look at")
    if facts["rows"]:
        told.append(f"{counted(facts['rows'], 'labelled row')} {_why_waiting(facts)}")
    if facts["unlabelled"]:
        told.append(f"{counted(facts['unlabelled'], 'row')} without outcome so far")
    if facts["unfinished"]:
        told.append("a run to finish, or a changed config")
    return "; ".join(told) or "nothing: every file is taken in and judged"


def left_out(names: Sequence[str]) -> str:
    """Give which files are left out as bad data, and what takes one in; empty if none is."""
    if not names:
        return ""
    told = f"as bad data, {counted(len(names), 'file')}: {listed(names, 6)}"
    return f"{told}; `python scoring.py --accept NUMBER` says that one is right as it is"


def _why_waiting(facts: Facts) -> str:
    if facts["rows"] < facts["enough"]:
        return f"so far, {facts['enough']:,} are needed"
    if facts["unfinished"] or facts["files"] or not facts["both"]:
        return "to judge"
    return f"so far; a score needs {facts['enough']:,}, of both outcomes"


# ---------------------------------------------------------------------------------------------- what happened?
UNSURE = "under way, or cut off"  # the state of a run without end that no other has followed yet

ENDS = {
    "first": "deployed the first model",
    "deployed": "deployed a new model",
    "kept": "kept the model",
    "nothing": "found nothing to do",
}

DECISIONS = {
    ("retrain", True): ("retrain", "trained challengers"),
    ("retrain", False): ("retrain", "no"),
    ("deploy", True): ("deploy", "yes"),
    ("deploy", False): ("deploy", "no, the live model stays"),
    ("rollback", True): ("rollback", "went back"),
    ("accept", True): ("accept", "no bad data"),
}


def history(runs: list[Facts], by_hand: list[Facts]) -> str:
    """Give the story of all runs, and of decisions made by hand between them, in the order of their numbers."""
    told = [((story["run"], 0), run(story)) for story in runs]
    told += [((decision["after_run"], 1), _by_hand(decision)) for decision in by_hand]
    ordered = sorted(told, key=lambda pair: pair[0])
    return "\n".join(text for _, text in ordered) or "no runs yet: start one with fullprocess.py"


def run(story: Facts) -> str:
    """Give a run in a few lines: when and with what end, what came in, how the live model did, what was decided."""
    took = f" · {duration(story['seconds'])}" if story["seconds"] is not None else ""
    lines = [f"Run {story['run']} · {moment(story['started'])}{took} · {end(story)}"]
    lines.append(paragraph("data", intake(story)))
    lines += [paragraph("score", told) for told in _scores(story)]
    lines += [paragraph("inputs", told) for told in [troubles(story["inputs"])] if told]
    lines += [paragraph(label, told) for label, told in _decisions(story)]
    return "\n".join(lines)


def end(story: Facts) -> str:
    """Give how a run ended."""
    if not story["finished"]:
        return _cut_off(story)
    facts = story["facts"] or {}
    if story["outcome"] == "kept" and not facts.get("champion"):
        return "no model yet"
    if story["outcome"] == "failed":
        return f"failed: {clipped('; '.join(facts.get('reasons', [])), 240)}"
    return ENDS.get(story["outcome"], str(story["outcome"]))


def _cut_off(story: Facts) -> str:
    if story["state"] == UNSURE:
        return "not finished: it is at work now, or the next run takes up what it left"
    return "stopped before it was done: the next run took up what it left"


def intake(story: Facts) -> str:
    """Give what files a run took in and what it set aside."""
    files = story["files"]
    told = [_taken(files)] if files["names"] else []
    told += [
        f"set {bad['name']} aside: {clipped(bad['reason'] or '', 200)}" for bad in files["set_aside"][:3]
    ]
    if len(files["set_aside"]) > 3:
        told.append(f"set {counted(len(files['set_aside']) - 3, 'more file')} aside")
    return "; ".join(told) or "no new files"


def _taken(files: Facts) -> str:
    counts = [counted(files["rows"], "new row")]
    counts += [f"{counted(files[kind], what)} {of}" for kind, (what, of) in OF_KNOWN.items() if files[kind]]
    if duplicates := files["duplicates"] - sum(files[kind] for kind in OF_KNOWN):
        counts.append(counted(duplicates, "duplicate"))
    if files["rejected_rows"]:
        counts.append(f"{counted(files['rejected_rows'], 'bad row')} set aside")
    which = files["names"][0] if len(files["names"]) == 1 else counted(len(files["names"]), "file")
    return f"took in {which}: {', '.join(counts)}"


def _scores(story: Facts) -> list[str]:
    """Give the newest scores of a run, each with the drift found."""
    told = [f"{score(scored)} on {scored['name']}: {_fired(scored)}" for scored in story["scores"][-3:]]
    earlier = story["scores"][:-3]
    if earlier:
        signs = [f"{one['name']} ({len(one['fired'])} of {one['tests']})" for one in earlier if one["fired"]]
        where = f"tests found drift in {listed(signs, SIGNS)}" if signs else "no test found drift"
        told.insert(0, f"{counted(len(earlier), 'earlier batch')}; {where}")
    return told


def _fired(scored: Facts) -> str:
    if not scored["tests"]:
        return "too few earlier scores to judge drift"
    if not scored["fired"]:
        return "no drift"
    tests = [fired.partition(":")[0] for fired in scored["fired"]]
    judged = (
        ""
        if scored["tests"] == scored["all_tests"]
        else f"; {scored['all_tests'] - scored['tests']} can't tell yet"
    )
    return f"{len(tests)} of {counted(scored['all_tests'], 'test')} found drift ({', '.join(tests)}{judged})"


def _decisions(story: Facts) -> list[tuple[str, str]]:
    """Give the decisions of a run as label and words: after its last batch all, after earlier ones what was done.

    What led to a training isn't said again at the deployment.
    """
    turns = _turns(story["decisions"])
    told, left_out = [], 0
    for turn in turns:
        said = set[str]()
        for decision in turn:
            new = [reason for reason in decision["reasons"] if reason not in said]
            said.update(new)
            if decision["yes"] or turn is turns[-1]:
                after = (
                    [f"after {decision['after_file']}"] if len(turns) > 1 and decision["after_file"] else []
                )
                label, opening = _decided(decision, story["deployed"])
                told.append((label, ": ".join(filter(None, [*after, opening, "; ".join(new)]))))
            else:
                left_out += 1
    if left_out:
        others = counted(left_out, "more decision")
        told.append(("others", f"{others}, to change nothing; `--history --json` has their reasons"))
    return told


def _turns(decisions: list[Facts]) -> list[list[Facts]]:
    """Give the decisions by turn, whether to train before whether to deploy, which goes on record first."""
    turns, turn = [], list[Facts]()
    for decision in decisions:
        turn.insert(0, decision)
        if decision["kind"] != "deploy":
            turns.append(turn)
            turn = []
    return [*turns, turn] if turn else turns


def _decided(decision: Facts, deployed: str | None) -> tuple[str, str]:
    label, opening = DECISIONS.get((decision["kind"], decision["yes"]), (decision["kind"], ""))
    release = decision["facts"].get("release") or deployed
    return label, f"release {release}" if label == "deploy" and decision["yes"] and release else opening


def _by_hand(decision: Facts) -> str:
    label, opening = DECISIONS.get((decision["kind"], decision["yes"]), (decision["kind"], ""))
    release = decision["facts"].get("release")
    told = f"{opening} to {release}" if release and label == "rollback" else opening
    text = paragraph(label, f"{told}: {'; '.join(decision['reasons'])}")
    return f"By hand · {moment(decision['at'])}\n{text}"


def backtest_table(told: dict[str, Any]) -> str:
    """Give the comparison of policies as a table: trainings, deployments, and the scores over all ticks."""
    summaries = {name: facts["summary"] for name, facts in told["policies"].items()}
    measures = [name for name in next(iter(summaries.values())) if name in METRICS]
    header = ["policy", "trainings", "deployments", "of no use", *map(metric_name, measures), "training s"]
    rows = [
        [
            name,
            f"{one['fits']} ({one['fits'] / one['ticks']:.0%} of ticks)",
            str(one["deploys"]),
            str(one["useless"]),
            *(f"{one[measure]:.4f}" for measure in measures),
            f"{one['train_seconds']:.1f}",
        ]
        for name, one in summaries.items()
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, *rows]
    ]
    return "\n".join(lines) + "\n"
