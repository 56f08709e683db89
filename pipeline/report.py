"""The report: one page for people, made of the facts that `views` gives. No number is worked out here.

A section is a function that takes the facts and gives blocks: text, tables, pictures, cards. The template knows how a
block looks and escapes every value. To add a section, write its function and name it in SECTIONS.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import pictures, words

Facts = dict[str, Any]

TEMPLATE = "report.html"
LONGEST = 400  # characters of a text in a cell; names and reasons may come from outside
DECISIONS = 12  # rows of tables at most: what is older is in the records
RELEASES = 12
RUNS = 12
TROUBLES = 20
WARNED = {"labels_replaced": "to look at"}  # what is said of a rule that makes no file bad
COLUMNS = 150
SCORES = 30


@dataclass(frozen=True)
class Cell:
    """A cell: lines of text, a tone (good | bad | quiet), a bar for a share of 0 to 1."""

    lines: Sequence[str]
    tone: str = ""
    bar: float | None = None


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    tone: str = ""
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """A table. `numbers` are the columns, by position, that are set right. `fold`: shown when this is clicked."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers: frozenset[int] = frozenset()
    fold: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Card:
    """One thing to know at a glance."""

    label: str
    value: str
    details: Sequence[str] = ()
    tone: str = ""


@dataclass(frozen=True)
class Drawing:
    """A picture as SVG, with what it shows in words; a narrow one has cards beside it."""

    svg: str
    alt: str
    beside: Sequence[Card] = ()
    kind: str = "drawing"


Block = Text | Table | Drawing


@dataclass(frozen=True)
class Headline:
    """The whole story in one sentence, and the cards below it."""

    title: str
    tone: str
    cards: list[Card] = field(default_factory=list)


def page(facts: Facts) -> str:
    """Give the page: one file, nothing to fetch."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made = {title: blocks(facts) for title, blocks in SECTIONS.items()}
    shown = [(title, title.lower().replace(" ", "-"), found) for title, found in made.items() if found]
    last = facts["runs"][0] if facts["runs"] else None
    as_of = words.moment(last["finished"] or last["started"]) if last else ""
    return environment.get_template(TEMPLATE).render(headline=headline(facts), sections=shown, as_of=as_of)


def drawn(facts: Facts) -> list[pictures.Picture]:
    """Give the pictures there is something for."""
    found = []
    if facts["scores"]:
        short = {one["release"]: f"#{one['number']} {one['release'][-8:]}" for one in facts["releases"]}
        found.append(pictures.score_history(facts["scores"], short))
    if facts["outcomes"]:
        found.append(pictures.outcomes(facts["outcomes"]))
    return found


# ---------------------------------------------------------------------------------------------- at a glance
def headline(facts: Facts) -> Headline:
    """Give what a hurried reader must know: is the model live, does it still do its work, what came last?"""
    live, run = facts["champion"], facts["runs"][0] if facts["runs"] else None
    last = Card("Last run", *_last_run(run))
    if live is None:
        waits = Card(
            "Waiting", words.waiting(facts["waiting"]), ["put labelled files into the folder of paths.source"]
        )
        return Headline("No model is deployed yet", "quiet", [waits, last])
    newest = next(iter(facts["drift"]), None)
    tone, title = _verdict(live, newest, run, [one["file"] for one in facts["files"]["left_out"]])
    answer, why = _drift(live, newest)
    cards = [
        _score_card(live["score"]),
        Card("Drift", answer, why, "bad" if answer == "yes" else ""),
        _model_card(live),
        last,
    ]
    return Headline(title, tone, cards)


def _score_card(score: Facts) -> Card:
    name, between = words.metric_name(score["metric"]), words.interval(score["low"], score["high"])
    told = f"{name}, 95 % interval {between}" if between else name
    tone, told = ("bad", f"{told}: {words.BY_CHANCE}") if words.by_chance(score) else ("", told)
    return Card(
        "Score",
        words.figure(score["value"]),
        [told, f"on {score['on']}", words.metric_meaning(score["metric"])],
        tone,
    )


def _model_card(live: Facts) -> Card:
    learnt = f"learnt from {live['rows']:,} rows ({_window(live['window'])})"
    details = [f"since {words.moment(live['since'])}", f"release {live['release']}", learnt]
    return Card("Live model", live["model"].replace("_", " "), details)


def _verdict(live: Facts, newest: Facts | None, run: Facts | None, bad: list[str]) -> tuple[str, str]:
    """Give tone and words for how the live model does, with the files left out as bad data."""
    if bad and run and any(one["kind"] == "bad data" and one["file"] in bad for one in run["inputs"]):
        return "bad", f"Bad data: {words.listed(bad)} left out of learning and scoring"
    if newest and newest["drifted"] and newest["release"] == live["release"]:
        return "bad", "Drift: the live model does worse on the newest data"
    if words.by_chance(live["score"]):
        return "bad", f"The live model is {words.BY_CHANCE}"
    if run and run["deployed"] == live["release"]:
        return "good", "A new model went live in the last run"
    if newest is None or newest["release"] != live["release"] or not newest["judged"]:
        return "quiet", "The live model is new: too early to judge drift"
    return "good", "The live model does as well as it used to"


def _drift(live: Facts, newest: Facts | None) -> tuple[str, list[str]]:
    """Give the answer in a word or two, and what it rests on; the reasons stand in the section on drift."""
    answer, _, why = words.drift(live, newest).partition(": ")
    return answer, [words.clipped(why.partition(": ")[0], LONGEST)]


def _last_run(run: Facts | None) -> tuple[str, list[str]]:
    if run is None:
        return "none yet", ["start one with fullprocess.py"]
    took = f", {words.duration(run['seconds'])}" if run["seconds"] is not None else ""
    ended = words.end(run).split(": ")
    return ended[0], [
        f"{words.moment(run['started'])}{took}",
        *ended[1:],
        words.clipped(words.intake(run), LONGEST),
    ]


def _window(window: str) -> str:
    """Give what a model learnt from, in words: `the newest 10 files` for `recent 10`; of a mix each with its share."""
    return re.sub(r"recent (\d+)", r"the newest \1 files", re.sub(r"\ball\b", "all history", window))


# ---------------------------------------------------------------------------------------------- sections
def score_history(facts: Facts) -> list[Block]:
    """Show every score by time, and the newest as a table."""
    shown = _drawing(facts, "scorehistory")
    if not shown:
        return [
            Text(
                "No scores by this metric yet: they come with the first model, then with new labelled rows.",
                "quiet",
            )
        ]
    newest = list(reversed(facts["scores"]))[:SCORES]
    rows = [
        [
            _cell(score["name"] or "rows of its proof", "" if score["name"] else "quiet"),
            _cell(words.figure(score["value"])),
            _cell(words.interval(score["low"], score["high"])),
            _cell(f"{score['rows']:,}"),
            _cell("drift", "bad") if score["drifted"] else _cell(""),
            _cell(score["release"][-8:]),
        ]
        for score in newest
    ]
    header = ["rows of", words.metric_name(newest[0]["metric"]), "95 % interval", "rows", "drift", "release"]
    meaning = words.metric_meaning(newest[0]["metric"])
    told = (
        "Each score is on rows that the model which predicted them had not learnt from; that of a release made just as "
        "its predecessors were is theirs, until it has rows of its own"
    )
    return [
        Text(f"{told}. {words.metric_name(newest[0]['metric'])} tells {meaning}." if meaning else f"{told}."),
        *shown,
        Table(
            header, rows, frozenset({1, 3}), fold=f"The newest {words.counted(len(rows), 'score')} in numbers"
        ),
    ]


def predictions(facts: Facts) -> list[Block]:
    """Show what the live model says against what happened."""
    found = facts["outcomes"]
    if found is None:
        return [
            Text(
                "Nothing to compare yet: that takes a model and labelled rows it has not learnt from.",
                "quiet",
            )
        ]
    told = f"Release {found['release']} on {found['rows']:,} rows: {found['source']}."
    if found["kind"] == "confusion":
        told += f" A row counts as {found['positive']} from a probability of {found['threshold']:g}."
    return [Text(told), *_drawing(facts, "confusionmatrix", BESIDE[found["kind"]](found))]


def _beside_confusion(found: Facts) -> list[Card]:
    right = (found["true_negative"] + found["true_positive"]) / found["rows"]
    return [
        Card("right", words.percent(right), ["of all rows"]),
        Card(
            "precision",
            words.percent(found["precision"]),
            [f"of the rows it calls {found['positive']} really are"],
        ),
        Card(
            "recall",
            words.percent(found["recall"]),
            [f"of the rows that are {found['positive']} it finds"],
        ),
    ]


def _beside_errors(found: Facts) -> list[Card]:
    side = "above" if found["bias"] > 0 else "below"
    return [
        Card(
            "half of the predictions",
            f"± {words.number(found['half_within'])}",
            ["or nearer to what happened"],
        ),
        Card("nine of ten", f"± {words.number(found['most_within'])}", ["or nearer"]),
        Card("on average", words.number(abs(found["bias"]), 3), [f"{side} what happened"]),
    ]


BESIDE: dict[str, Callable[[Facts], list[Card]]] = {"confusion": _beside_confusion, "errors": _beside_errors}


def calls(facts: Facts) -> list[Block]:
    """Show the head of the call list."""
    found = facts["call_list"]
    if not found or not found["rows"]:
        return []
    numbers = frozenset(
        at for at, name in enumerate(found["header"]) if name in ("rank", "probability", "prediction")
    )
    rows = [
        [_call(name, value) for name, value in zip(found["header"], row, strict=False)]
        for row in found["rows"]
    ]
    told = f"{len(rows)} of {words.counted(found['total'], 'current client')}; all are in calllist.csv."
    return [Text(told), Table([name.replace("_", " ") for name in found["header"]], rows, numbers)]


def _call(name: str, value: str) -> Cell:
    if name == "probability":
        return Cell([f"{float(value):.0%}".replace("%", " %")], bar=float(value))
    return Cell([words.clipped(line, LONGEST) for line in value.split("; ")])


def drift(facts: Facts) -> list[Block]:
    """Show what each drift test said of the newest batches."""
    if not facts["drift"]:
        return [Text("No new labelled rows since a model went live, so nothing to judge.", "quiet")]
    rows = [row for batch in facts["drift"] for row in _verdict_rows(batch)]
    drifted = sum(batch["drifted"] for batch in facts["drift"])
    told = f"{drifted or 'None'} of the newest {words.counted(len(facts['drift']), 'batch')} drifted."
    return [Text(told), Table(["batch", "verdict", "test", "found drift", "why"], rows)]


def newest_file(facts: Facts) -> list[Block]:
    """Show what the newest file's rows are like beside those that the live model learnt from."""
    found = facts["inputs"]
    if not found:
        return [Text("No new file since the live model was trained, so nothing to compare.", "quiet")]
    rows = f"{words.counted(found['rows'], 'row')}, {found['labelled']:,} of them labelled"
    said = found["sentence"] or "not told yet"
    told = f"{found['file']}, {rows}, beside what the model then live learnt from: {said}."
    return [
        Text(told, "bad" if found["left_out"] else ""),
        _moved(found),
        *_estimated(found["estimate"]),
        _checked(found),
    ]


def _moved(found: Facts) -> Table:
    """Show how far each feature moved, the furthest first; those that can't be compared say why."""
    verdicts = [one for one in found["verdicts"] if one["test"] == "feature_drift" and one["feature"]]
    means = {one["feature"]: one for one in found["verdicts"] if one["test"] == "stability"}
    rows = [
        [
            _cell("predictions" if one["feature"] == "(prediction)" else one["feature"], most=60),
            _cell("moved", "bad") if one["drifted"] else _cell(_answer(one, "no"), "quiet"),
            *_distances(one, means.get(one["feature"])),
        ]
        for one in verdicts[:COLUMNS]
    ]
    header = ["column", "drift", "rows elsewhere", "PSI", "KS", "now, and then"]
    return Table(header, rows, frozenset({2, 3, 4}))


def _distances(moved: Facts, mean: Facts | None) -> list[Cell]:
    """Give how far a column moved, and its mean (or the share that changed most) now and then."""
    if moved["threshold"] is None:
        return [*[_cell(words.NOTHING, "quiet")] * 3, _cell(moved["why"])]
    told = moved if mean is None or mean["threshold"] is None else mean
    return [
        Cell([words.percent(moved["moved"])], bar=moved["moved"]),
        _cell(f"{moved['psi']:.2f}"),
        _cell(words.NOTHING if moved["ks"] is None else f"{moved['ks']:.2f}"),
        _cell(told["why"].removeprefix(f"{moved['feature']}: ").partition("; evidence")[0]),
    ]


def _checked(found: Facts) -> Table:
    """Show what the rules of integrity said."""
    others = [one for one in found["verdicts"] if one["test"] not in ("feature_drift", "stability")]
    others = [
        one for one in others if one["test"] != "integrity" or not one["drifted"]
    ]  # its parts stand below
    rows = [
        [
            _cell(one["test"]),
            _cell(WARNED.get(one["test"], "bad"), "bad")
            if one["drifted"]
            else _cell(_answer(one, "fine"), "quiet"),
            _cell(one["why"]),
        ]
        for one in others[:TROUBLES]
    ]
    return Table(["rule", "data are", "why"], rows, fold="" if found["left_out"] else "Is it bad data?")


def _answer(verdict: Facts, word: str) -> str:
    return "not judged" if verdict["threshold"] is None else word


def _estimated(estimate: Facts | None) -> list[Block]:
    """Show the scores to expect if the model's probabilities are right, and whether they were."""
    if estimate is None:
        return []
    told = f"Estimated without labels, if the model's probabilities are right: {words.estimated(estimate)}."
    held = f" {estimate['why'][0].upper()}{estimate['why'][1:]}." if "why" in estimate else ""
    blind = " An estimate can't see that the same rows now mean something else."
    return [Text(told + held + blind, "quiet")]


def _verdict_rows(batch: Facts) -> list[list[Cell]]:
    """Give a row for each test; the first one names the batch and says what came of all tests together."""
    if batch["drifted"]:
        verdict = _cell("drift", "bad")
    else:
        verdict = _cell("no drift" if batch["judged"] else "too early", "quiet")
    named = Cell([words.clipped(batch["name"], 80), f"release {batch['release'][-8:]}"])
    rows = []
    for test in batch["verdicts"]:
        answer = words.NOTHING if test["threshold"] is None else "yes" if test["drifted"] else "no"
        about = test["test"] + (f": {test['feature']}" if test["feature"] else "")
        rows.append(
            [
                Cell([]),
                Cell([]),
                _cell(about),
                _cell(answer, "" if test["drifted"] else "quiet"),
                _cell(test["why"]),
            ]
        )
    rows[0][:2] = [named, verdict]
    return rows


def decided(facts: Facts) -> list[Block]:
    """Show what was decided and why, also where it was to do nothing."""
    if not facts["decisions"]:
        return [Text("No decisions yet.", "quiet")]
    rows = [
        [
            _stamp(one["at"]),
            _cell(f"run {one['run']}" if one["run"] else "by hand", "quiet"),
            _cell(one["kind"]),
            _cell("yes", "good") if one["yes"] else _cell("no", "quiet"),
            Cell([words.clipped(reason, LONGEST) for reason in one["reasons"]]),
        ]
        for one in facts["decisions"][:DECISIONS]
    ]
    return [_newest(facts["decisions"], rows), Table(["when (UTC)", "in", "what", "answer", "why"], rows)]


def released(facts: Facts) -> list[Block]:
    """Show what was live."""
    if not facts["releases"]:
        return [Text("No releases yet.", "quiet")]
    rows = [
        [
            _cell(f"#{one['number']}"),
            Cell(
                [one["release"], "" if one["on_disk"] else "no longer on disk"],
                "" if one["on_disk"] else "quiet",
            ),
            _cell("live", "good") if one["live"] else _cell(""),
            Cell([words.clipped(one["model"], 80), _window(one["window"])]),
            _cell(f"{words.metric_name(one['metric'])} {words.figure(one['score'])}"),
            Cell([words.clipped(reason, LONGEST) for reason in one["reasons"]]),
        ]
        for one in facts["releases"][:RELEASES]
    ]
    header = ["", "release", "", "model", "in its proof", "why"]
    return [_newest(facts["releases"], rows), Table(header, rows)]


def data(facts: Facts) -> list[Block]:
    """Show what the columns of the clean table hold."""
    found = facts["statistics"]
    if not found["rows"]:
        return [Text("No rows yet.", "quiet")]
    columns = list(found["columns"].items())[:COLUMNS]
    numbers = [
        [_cell(name, most=60), _missing(column), *(_cell(words.number(column[what])) for what in MEASURES)]
        for name, column in columns
        if column["type"] == "number"
    ]
    others = [
        [_cell(name, most=60), _cell(column["type"], "quiet"), _missing(column), _cell(_holds(column))]
        for name, column in columns
        if column["type"] != "number"
    ]
    counts = facts["files"]
    late, mere = counts["late_labels"], counts["duplicates"] - sum(counts[kind] for kind in words.OF_KNOWN)
    told = (
        f"{found['rows']:,} rows from {words.counted(counts['files'], 'file')}, "
        f"{counts['labelled']:,} of them labelled{f', {late:,} by a later file' if late else ''}; "
        f"{words.counted(mere, 'duplicate')} left out."
    )
    header = ["column", "missing", "mean", "median", "mode", "standard deviation", "smallest", "largest"]
    tables: list[Block] = []
    if numbers:
        tables.append(Table(header, numbers, frozenset(range(1, 8))))
    if others:
        tables.append(Table(["column", "type", "missing", "holds"], others, frozenset({2})))
    delays = words.label_delays(facts["labels"])
    return [Text(told), Text(f"Labels: {delays}." if delays else ""), *tables]


LEFT_OUT = ["when (UTC)", "file", "left out", "why"]
MEASURES = ("mean", "median", "mode", "sd", "min", "max")


def _missing(column: Facts) -> Cell:
    share = column["missing_share"]
    return Cell([words.percent(share)], "" if share else "quiet", bar=share or None)


def _holds(column: Facts) -> str:
    if column["type"] == "date":
        return f"{column['first'][:10]} to {column['last'][:10]}" if column["first"] else words.NOTHING
    if not column["distinct"]:
        return words.NOTHING
    commonest = f"{words.clipped(column['mode'], 60)} ({words.percent(column['mode_share'])})"
    return f"{words.counted(column['distinct'], 'value')}, the commonest {commonest}"


def set_aside(facts: Facts) -> list[Block]:
    """Show the files that were refused, whole or in part, and those that are kept and not learnt from."""
    found = facts["files"]
    left = [
        [
            _stamp(one["at"]),
            _cell(one["file"], most=100),
            _cell(words.counted(one["rows"], "row")),
            _cell(one["sentence"] or ""),
        ]
        for one in found["left_out"][:TROUBLES]
    ]
    bad: list[Block] = [Text("Kept in the table, and left out of learning and scoring as bad data:")]
    bad = [*bad, _newest(found["left_out"], left), Table(LEFT_OUT, left)] if left else []
    if not found["trouble"]:
        return bad or [Text("Every file and every row could be used.", "quiet")]
    rows = [
        [
            _stamp(one["at"]),
            _cell(one["name"], most=100),
            _cell("whole file", "bad") if one["set_aside"] else _cell(words.counted(one["rows"], "row")),
            _cell(one["reason"]),
        ]
        for one in found["trouble"][:TROUBLES]
    ]
    told = "What was set aside lies in the folder rejected, with every reason in reasons.csv."
    header = ["when (UTC)", "file", "set aside", "why"]
    return [*bad, Text(told), _newest(found["trouble"], rows), Table(header, rows)]


def runs(facts: Facts) -> list[Block]:
    """Show what the newest runs did."""
    if not facts["runs"]:
        return [Text("No runs yet.", "quiet")]
    rows = [
        [
            _cell(f"{run['run']}"),
            _stamp(run["started"]),
            _cell(words.duration(run["seconds"]) if run["seconds"] is not None else words.NOTHING),
            _cell(words.end(run), "" if run["finished"] else "bad"),
            Cell([words.clipped(part, LONGEST) for part in words.intake(run).split("; ")]),
        ]
        for run in facts["runs"][:RUNS]
    ]
    header = ["run", "when (UTC)", "took", "end", "data"]
    told = f"The newest {len(rows)}; `python fullprocess.py --history` tells of all."
    return [Text(told), Table(header, rows, frozenset({0, 2}))]


def timings(facts: Facts) -> list[Block]:
    """Show how long the steps took."""
    rows = [
        [_cell(one["step"]), *(_cell(words.duration(one[what])) for what in ("last", "median", "worst")),
         _cell(f"{one['times']:,}")]
        for one in facts["timings"]
    ]  # fmt: skip
    if not rows:
        return [Text("No timings yet.", "quiet")]
    return [Table(["step", "last", "median", "worst", "times"], rows, frozenset({1, 2, 3, 4}))]


def packages(facts: Facts) -> list[Block]:
    """Show installed against required packages; those that are not as required first."""
    found = sorted(facts["packages"], key=lambda one: one["state"] == "ok")
    bad = sum(one["state"] != "ok" for one in found)
    rows = [
        [
            _cell(one["name"], most=60),
            _cell((one["required"] or "not understood").removeprefix("=="), most=60),
            _cell(one["installed"] or words.NOTHING),
            _cell(one["state"], "quiet" if one["state"] == "ok" else "bad"),
            _cell(f"{one['newest']} ({one['asked'][:10]})" if one["newest"] else "not asked", "quiet"),
        ]
        for one in found[:COLUMNS]
    ]
    told = (
        f"{words.counted(bad, 'package')} not as required." if bad else f"All {len(found)} are as required."
    )
    header = ["package", "required", "installed", "is", "newest known"]
    return [Text(told, "bad" if bad else ""), Table(header, rows, fold="" if bad else "All packages")]


SECTIONS: dict[str, Callable[[Facts], list[Block]]] = {
    "Score history": score_history,
    "Predictions and truth": predictions,
    "Whom to call first": calls,
    "Drift": drift,
    "Newest file": newest_file,
    "Decisions": decided,
    "Releases": released,
    "Data": data,
    "Set aside": set_aside,
    "Runs": runs,
    "Timings": timings,
    "Packages": packages,
}


# ---------------------------------------------------------------------------------------------- small parts
def _stamp(at: str) -> Cell:
    """Give a time in two lines: the day, and the minute."""
    return Cell([at[:10], at[11:16]])


def _cell(text: str, tone: str = "", most: int = LONGEST) -> Cell:
    return Cell([words.clipped(text, most)], tone)


def _newest(every: Sequence[Any], shown: Sequence[Any]) -> Text:
    """Give how many there are, where not all are shown."""
    return Text(f"The newest {len(shown):,} of {len(every):,}." if len(shown) < len(every) else "")


def _drawing(facts: Facts, name: str, beside: Sequence[Card] = ()) -> list[Block]:
    return [Drawing(pictures.svg(one), one.alt, beside) for one in drawn(facts) if one.name == name]
