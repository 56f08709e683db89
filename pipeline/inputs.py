"""What is said of every incoming file: is it bad data, did its features or its predictions move, and what is that?

A release carries a sketch of the rows its model learnt from. Every file that comes after them is compared with it,
with or without labels, once. What was found is on record; drift of features warns and explains, and retrains nothing.
A file of bad data is left out of what models learn from and of what the champion is judged by. Its rows stay in the
table.
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import dataset, drift, models, predictions
from pipeline.config import Config
from pipeline.dataset import FILE
from pipeline.drift import PREDICTION, Verdict, features, integrity
from pipeline.drift.verdicts import no_verdict
from pipeline.errors import DataError
from pipeline.records import Records
from pipeline.releases import Release
from pipeline.rowhash import ROW
from pipeline.words import counted, listed, moment

if TYPE_CHECKING:
    import pandas as pd

PATIENCE = 3  # files in a row that are bad in the same way: that's how data are now, and they are learnt from
LARGEST = 290_000  # bytes of a sketch; features that don't fit in are not watched
NORMAL, UNJUDGED = "new normal", "not judged"  # kinds of trouble that `drift.diagnosis` doesn't know
NONE = "none"  # the one that it calls no trouble
RELABELLED = "labels_replaced"  # a verdict that is told, and makes no file bad: the later label holds
CHANGED = "labels changed"  # the kind of trouble that is
RANGE = "out_of_range"  # the rule of which files in a row may be bad by ever larger numbers
INTEGRITY = "integrity"  # the verdict on all rules of `drift.integrity`

# in which a file is bad: rule, column, and how often that jumped on in a row of such files: each jump is another way
Way = tuple[str, str | None, int]


# ---------------------------------------------------------------------------------------------- the sketch of a release
def sketch_of(
    config: Config, rows: "pd.DataFrame", places: Mapping[int, int], alike: Collection[str] = ()
) -> dict[str, Any]:
    """Give the sketch of the labelled rows that a model learns from: features as models see them, and the target.

    `places` is that of each file among all that brought rows, from 0, for a season that is a number of files. The
    features `alike` in a file aren't watched.
    """
    target = config.columns.target.name
    seen = models.inputs_of(rows, config.columns.features)
    kinds = {name: feature.type for name, feature in config.columns.features.items()} | {
        target: "target number" if config.task == "regression" else "target"
    }
    kinds = {name: kind for name, kind in kinds.items() if name not in alike}
    kept = drift.sketch({**seen, target: rows[target]}, kinds, phase_of(config, rows, places))
    why = "it has one value in most files, so a new one tells nothing"
    return _bounded(kept, target, dict.fromkeys(alike, why)) | {"contradicting": contradicting(config, rows)}


def one_value_a_file(config: Config, rows: "pd.DataFrame") -> list[str]:
    """Give the features that differ between files and not within most of them, like the week of a weekly file.

    Their rows are no independent ones: to compare a file with all training rows would find drift in each.
    """
    numbers = rows[FILE].value_counts()
    several = numbers.index[numbers >= integrity.LEAST_ROWS]
    some = rows[rows[FILE].isin(several)]
    found = []
    for name in config.columns.features if len(several) > 1 else ():
        distinct = some.groupby(FILE)[name].nunique(dropna=False)
        if 2 * (distinct == 1).sum() > len(several) and some[name].nunique(dropna=False) > 1:
            found.append(name)
    return found


def with_predictions(
    config: Config,
    kept: dict[str, Any],
    rows: "pd.DataFrame",
    prediction: np.ndarray,
    places: Mapping[int, int],
) -> dict[str, Any]:
    """Give the sketch with predictions, shape (rows,), beside. The model hadn't learnt from these rows."""
    own = drift.sketch({PREDICTION: prediction}, {PREDICTION: "number"}, phase_of(config, rows, places))
    return {**kept, "id": f"{kept['id']}-{own['id']}", "columns": {**kept["columns"], **own["columns"]}}


def text_of(kept: dict[str, Any]) -> str:
    """Give a sketch as the text of its file."""
    return json.dumps(kept, separators=(",", ":"), allow_nan=False) + "\n"


def places_of(book: Records) -> dict[int, int]:
    """Give the place of each file among all that brought rows, from 0."""
    return {number: place for place, (number, _) in enumerate(book.parts())}


def phase_of(config: Config, rows: "pd.DataFrame", places: Mapping[int, int]) -> np.ndarray | None:
    """Give the phase of each row in the season of the config, -1 where it isn't known; None without season."""
    season, time = config.drift.season, config.columns.time
    if isinstance(season, int):
        found = rows[FILE].map(dict(places)).fillna(-1).to_numpy("int64")
        return np.where(found < 0, -1, found % season)
    return None if season == "none" or time is None else drift.phases(rows[time], season)


def _bounded(kept: dict[str, Any], target: str, unwatched: dict[str, str]) -> dict[str, Any]:
    """Leave out the last features of a sketch that is too large; `unwatched` says why others are."""
    room, columns = LARGEST - 10_000, {}  # for the predictions
    for name in sorted(kept["columns"], key=lambda name: name != target):
        room -= len(text_of(kept["columns"][name]))
        if room >= 0:
            columns[name] = kept["columns"][name]
    large = {name: "the sketch would be too large" for name in kept["columns"] if name not in columns}
    return {**kept, "columns": columns, "unwatched": {**unwatched, **large}}


# ---------------------------------------------------------------------------------------------- each file, once
def watch(config: Config, book: Records, champion: Release | None, model=None) -> None:
    """Put on record what is found of each file that came after what the champion learnt from; each once.

    A file that was compared with an earlier release isn't compared again. `model` is the champion's, where it's loaded
    already. Nothing happens if it has no sketch, or if the config asks for something else or lacks one of its columns.
    """
    if champion is None or not champion.takes(config):
        return
    last = book.inputs(newest=1)
    above = max([champion.learnt_upto, *(row.file for row in last)])
    if book.last_part() <= above or (kept := champion.sketch) is None:
        return
    state, places = carried(json.loads(last[0].state), kept) if last else None, places_of(book)
    past, accepted = state or {}, book.accepted()
    usual = past.get("usual", {})  # of an earlier sketch, too: what was found good stays good
    far = past.get(
        "far", {}
    )  # by column, how far the last of a row of files reached whose numbers are out of range
    for number in accepted[past.get("accepted", 0) :]:
        usual = _taught(config, book, kept, usual, number)
    judged = list(judged_files(config, book).items())[1 - PATIENCE :]
    model = models.load(champion.model_file) if model is None else model
    for number, rows in _files(config, book, above):
        seen = models.inputs_of(rows, champion.features)
        prediction = models.predict(model, seen, config.task)
        predictions.remember(config, number, rows, prediction, champion.id)
        expected = drift.widened(kept, usual)
        observed = drift.observe(
            expected,
            {**seen, config.columns.target.name: rows[config.columns.target.name], PREDICTION: prediction},
            phase_of(config, rows, places),
        )
        state, moved = drift.judge_features(state, kept, observed, str(number))
        state["batches"] = []  # the records know which were counted
        wrong = _integrity(config, expected, observed, rows, _of_known_rows(config, book, number, rows))
        fired = {(one.test, one.feature) for one in wrong if one.drifted and one.test != INTEGRITY}
        reached = {
            name: far_out
            for name, far_out in drift.how_far(expected, observed).items()
            if (RANGE, name) in fired
        }
        steps = _steps(fired, judged[-1][1] if judged else (), far, reached)
        ways = frozenset((*rule, steps.get(rule, 0)) for rule in fired)
        if number not in left_out(dict([*judged, (number, ways)]), accepted):
            usual = drift.taken_in(usual, expected, observed, fired)
        if _tells(ways, len(rows)):
            judged = [*judged, (number, ways)][1 - PATIENCE :]
            far = {name: ends for name, ends in far.items() if (RANGE, name) in fired} | reached
        state |= {"usual": usual, "far": far, "accepted": len(accepted)}
        replaced = labels_replaced(config, book, number, rows)
        found = [*wrong, *replaced, *moved, *_unwatched(kept), *drift.stability(kept, observed)]
        book.add_input(
            file=number,
            release=champion.id,
            rows=len(rows),
            labelled=int(rows[config.columns.target.name].notna().sum()),
            verdicts=_json([_facts(one, kept, observed, steps) for one in found]),
            state=_json(state),
            estimate=_estimate(config, rows, prediction),
            bad=any(one.drifted for one in wrong),
        )


def _taught(
    config: Config, book: Records, kept: Mapping[str, Any], usual: drift.Usual, number: int
) -> drift.Usual:
    """Give what is usual, with what a file brought that somebody accepted."""
    rows = next((rows for file, rows in _files(config, book, number - 1) if file == number), None)
    verdicts = next(json.loads(said or "[]") for file, _, said in book.judged_inputs() if file == number)
    if rows is None or not set(config.columns.features) <= set(rows):
        return usual
    expected = drift.widened(kept, usual)
    cells = {
        **models.inputs_of(rows, config.columns.features),
        config.columns.target.name: rows[config.columns.target.name],
    }
    fired = {(rule, column) for rule, column, _ in ways_of(verdicts)}
    return drift.taken_in(usual, expected, drift.observe(expected, cells), fired)


def _steps(
    fired: Collection[tuple[str, str | None]],
    before: Collection[Way],
    far: Mapping[str, Sequence[float]],
    reached: Mapping[str, tuple[float, float]],
) -> dict[tuple[str, str | None], int]:
    """Give the step of each rule that fired: that of the bad file before, in `before`, or one more if this one jumped.

    Only numbers out of range can: those a thousand times as large aren't like those twice as large. `far` and `reached`
    are how far earlier files and this one reach; one that says nothing of that is like the one before.
    """
    steps = {(rule, column): step for rule, column, step in before if (rule, column) in fired}
    for column in far.keys() & reached.keys():
        if (RANGE, column) in steps and drift.another_range(far[column], reached[column]):
            steps[RANGE, column] += 1
    return steps


def carried(state: dict[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Give the evidence to go on with: that on features holds for another release that learnt from the same rows."""
    rows, _, predictions_of = str(kept["id"]).partition("-")
    before, _, predictions_then = str(state["sketch"]).partition("-")
    if rows != before or predictions_of == predictions_then:
        return state  # which begins anew with another sketch
    stakes = {name: found for name, found in state["stakes"].items() if name != PREDICTION}
    return {**state, "sketch": kept["id"], "stakes": stakes}


def _files(config: Config, book: Records, above: int) -> Iterator[tuple[int, "pd.DataFrame"]]:
    """Give the rows of each file with a number above this: as they came, or joined with all that came with them."""
    if config.cleaning.join:
        rows = dataset.load(config.ingested, book.parts())
        for number, some in rows[rows[FILE] > above].groupby(FILE, sort=True):
            yield int(number), some
        return
    for number, part in book.parts(above):
        yield number, dataset.load(config.ingested, [(number, part)])


def _of_known_rows(config: Config, book: Records, number: int, rows: "pd.DataFrame") -> bool:
    """Say whether a file may be one of labels: for rows that were known, or of one outcome before the other."""
    if not config.replaces or config.cleaning.join or config.task == "classification":
        return config.replaces
    labelled = int(rows[config.columns.target.name].notna().sum())
    return 2 * book.late_labels(number) >= labelled


def _integrity(
    config: Config,
    kept: Mapping[str, Any],
    observed: drift.Observed,
    rows: "pd.DataFrame",
    of_labels: bool,
) -> list[Verdict]:
    """Give what is bad or couldn't be judged, after a verdict on all rules.

    Odd predictions are drift and no bad data. Neither is a single outcome in a file that may be `of_labels`: those who
    left may be told before those who stayed.
    """
    found = [one for one in drift.check_integrity(kept, observed) if one.feature != PREDICTION]
    found.append(labels_contradict(config, rows, kept["contradicting"]))
    if of_labels:
        alike = [("one_class", config.columns.target.name), ("constant", config.columns.target.name)]
        found = [one for one in found if (one.test, one.feature) not in alike]
    bad = [one for one in found if one.drifted]
    unsure = [one for one in found if one.threshold is None]
    told = "; ".join(one.why for one in bad) or f"nothing is bad by {len(found) - len(unsure)} rules"
    return [Verdict(INTEGRITY, bool(bad), float(len(bad)), 1.0, told), *bad, *unsure]


def _unwatched(kept: Mapping[str, Any]) -> list[Verdict]:
    return [no_verdict(features.TEST, f"{name}: {why}", name) for name, why in kept["unwatched"].items()]


def labels_replaced(config: Config, book: Records, number: int, rows: "pd.DataFrame") -> list[Verdict]:
    """Say whether `integrity.JUMP` of a file's labels replace another label of the same row; nothing if few can.

    The later one holds, and that may be right: who stayed may leave. The parts are only read where enough of the labels
    are of rows that had one.
    """
    target = config.columns.target.name
    labelled = int(rows[target].notna().sum())
    if not config.cleaning.key or config.cleaning.same_key == "reject":
        return []
    first = book.labelled_rows(number, number)
    if labelled - first < max(integrity.LEAST_ROWS, integrity.JUMP * labelled):
        return []
    parts = [(one, part) for one, part in book.parts() if one <= number]
    replaced = dataset.labels_replaced(config.ingested, parts, target)
    drifted = replaced >= max(integrity.LEAST_ROWS, integrity.JUMP * labelled)
    why = f"{target}: {replaced} of {labelled} labels replace another label of the same row"
    return [Verdict(RELABELLED, drifted, replaced / labelled, integrity.JUMP, why, target)]


def labels_contradict(config: Config, rows: "pd.DataFrame", before: float) -> Verdict:
    """Bad if `integrity.JUMP` more of the labelled rows than before have the cells of another and not its label."""
    target, share = config.columns.target.name, contradicting(config, rows)
    told = (
        f"{target}: {share:.1%} of the labelled rows contradict another with the same cells, was {before:.1%}"
    )
    limit = before + integrity.JUMP
    return Verdict("labels_contradict", share >= limit, share, limit, told, target)


def contradicting(config: Config, rows: "pd.DataFrame") -> float:
    """Give the share of the labelled rows, 0 to 1, that have the cells of another and not its label."""
    target = config.columns.target.name
    labelled = rows[rows[target].notna()]
    cells = [name for name in config.columns.all if name != target]
    twice = labelled.duplicated(cells, keep=False)  # of equal rows only one is there, so their labels differ
    return float(twice.mean()) if len(labelled) else 0.0


def _facts(
    verdict: Verdict,
    kept: Mapping[str, Any],
    observed: drift.Observed,
    steps: Mapping[tuple[str, str | None], int],
) -> dict[str, Any]:
    """Give a verdict as JSON; with that on a feature's drift how far it moved, and with a rule's its step."""
    told = {name: _plain(value) for name, value in vars(verdict).items()}
    if step := steps.get((verdict.test, verdict.feature), 0):
        return {**told, "step": step}
    if verdict.test != features.TEST or verdict.feature is None or verdict.threshold is None:
        return told
    column, seen = kept["columns"][verdict.feature], observed.columns[verdict.feature]
    size = features.size(column, seen, observed.phases)
    return {**told, **{name: _plain(value) for name, value in vars(size).items()}}


def _estimate(config: Config, rows: "pd.DataFrame", prediction: np.ndarray) -> str | None:
    """Give as JSON the scores to expect on these rows, and what became of that on those whose label came with them."""
    expected = drift.estimate.expected(config.task, prediction)
    if expected is None:
        return None
    facts: dict[str, Any] = {name: _plain(value) for name, value in vars(expected).items()}
    labelled = rows[config.columns.target.name].notna().to_numpy()
    if labelled.any():
        truth = models.truth_of(rows[labelled], config.columns.target, config.task)
        checked = drift.estimate.check(truth, prediction[labelled])
        facts |= {"trusted": checked.trusted, "why": checked.why} if checked else {}
    return _json(facts)


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _plain(value: Any) -> Any:
    """Give a number that JSON can hold: None for one that isn't finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ---------------------------------------------------------------------------------------------- what it means
def diagnose(config: Config, book: Records, alarms: Mapping[int, bool]) -> list[dict[str, Any]]:
    """Tell which kind of trouble each watched file is, and put that on record, now that what is live was scored.

    `alarms` says for the first file of each scored batch whether the loss had risen there; it holds until the next
    batch. Give the facts of the files told, oldest first.
    """
    judged, accepted, told = judged_files(config, book), set(book.accepted()), []
    left, alone = left_out(judged, accepted), left_out(judged)  # if nobody had accepted any
    names = book.names()
    for row in book.untold_inputs():
        verdicts = json.loads(row.verdicts)
        upto = [first for first in alarms if first <= row.file]
        risen = bool(upto) and alarms[max(upto)]
        named = {"file": names.get(row.file, str(row.file)), "number": row.file}
        number = row.file if row.file in left else 0
        meaning = _meaning(verdicts, risen, number, _unscored(book, row), row.file in alone)
        kind, sentence = _with_labels(verdicts, *meaning)
        book.tell_input(row.id, kind, sentence)
        estimate = None if row.estimate is None else json.loads(row.estimate)
        told.append({**named, "kind": kind, "sentence": sentence, "estimate": estimate, "verdicts": verdicts})
    return told


def verdicts_of(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the verdicts on these files as the JSON contract has them, without those that are no alarm."""
    wanted = ("test", "feature", "statistic", "threshold", "drifted")
    return [
        {"batch": str(one["number"]), **{name: verdict[name] for name in wanted}}
        for one in told
        for verdict in one["verdicts"]
        if verdict["test"] != features.STABILITY
    ]


def kinds_of(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give file, kind of trouble, sentence and estimate of these files."""
    return [{name: one[name] for name in ("file", "number", "kind", "sentence", "estimate")} for one in told]


def _unscored(book: Records, row: Any) -> str:
    """Give why the loss on the rows of a file isn't known; empty if it is."""
    if not row.labelled:
        return "none of its rows has a known outcome"
    return "its outcomes aren't scored yet" if row.file > book.scored_upto() else ""


def _meaning(
    verdicts: list[dict[str, Any]], risen: bool, left: int, unscored: str, accepted: bool
) -> tuple[str, str]:
    """Give kind and sentence of a file's trouble: did the loss rise?

    `left` is its number if it's left out, else 0; it isn't, although bad, if one in its row was `accepted`.
    """
    wrong = list(dict.fromkeys(way[1] or "the rows" for way in ways_of(verdicts)))
    moved = [one["feature"] for one in verdicts if one["test"] == features.TEST and one["drifted"]]
    names = [name for name in moved if name not in (None, PREDICTION)]
    found = drift.diagnosis(risen, names, wrong if left else [], PREDICTION in moved, unscored)
    if left and wrong:
        why = next(one["why"] for one in verdicts if one["test"] == INTEGRITY)
        told = f"{found.sentence}; till then its rows are left out ({_clipped(why)})"
        return found.kind, f"{told}; if they are right: `python scoring.py --accept {left}`"
    if not wrong:
        unsure = _why_unjudged(verdicts) if found.kind == NONE else ""
        return (UNJUDGED, unsure) if unsure else (found.kind, found.sentence)
    why = "came as in a file that was accepted" if accepted else f"came like that {PATIENCE} files in a row"
    told = f"{', '.join(wrong)} {why}: taken for normal from now on, and learnt from"
    return NORMAL, told if found.kind == NONE else f"{told}; {found.sentence}"


def _with_labels(verdicts: list[dict[str, Any]], kind: str, sentence: str) -> tuple[str, str]:
    """Give kind and sentence, with a word on labels that were replaced if many were."""
    why = [one["why"] for one in verdicts if one["test"] == RELABELLED and one["drifted"]]
    if not why:
        return kind, sentence
    told = f"{why[0]}; the later ones hold: if they aren't right, send those that are once more"
    return (CHANGED, told) if kind in (NONE, UNJUDGED) else (kind, f"{sentence}; {told}")


def _why_unjudged(verdicts: list[dict[str, Any]]) -> str:
    """Give why no drift could have been seen in a file; empty if it could."""
    unsure = {one["test"]: one["why"] for one in reversed(verdicts) if one["threshold"] is None}
    whole = next(one for one in verdicts if one["test"] == features.TEST)
    if whole["threshold"] is not None:
        return ""
    return unsure.get("too_few_rows", whole["why"]).removeprefix("no verdict: ")


def why_bad(verdicts: list[dict[str, Any]]) -> str:
    """Give the first reason why a file was bad data."""
    return _clipped(next(one["why"] for one in verdicts if one["test"] == INTEGRITY))


def _clipped(why: str) -> str:
    """Give the first of several reasons."""
    first, *others = why.split("; ")
    told = first.partition(", by chance")[0]
    return f"{told}; and {len(others)} more" if others else told


def ways_of(verdicts: list[dict[str, Any]]) -> list[Way]:
    """Give the ways in which a file is bad."""
    others = (features.TEST, features.STABILITY, INTEGRITY, RELABELLED)
    return [
        (one["test"], one["feature"], one.get("step", 0))
        for one in verdicts
        if one["drifted"] and one["test"] not in others
    ]


# ---------------------------------------------------------------------------------------------- bad data never trains
def bad_files(config: Config, book: Records) -> set[int]:
    """Give the numbers of the files of bad data, by what the release said that was live when each came.

    A file that came bad in the same way as `PATIENCE` in a row, itself among them, isn't one, nor one that somebody
    accepted, nor those like it right before and after. Columns that are no longer in the config don't matter.
    """
    return left_out(judged_files(config, book), set(book.accepted()))


def names_scored(config: Config, book: Records) -> dict[int, str]:
    """Give the name of each file whose rows can be in a batch, by number: of those with outcomes that aren't bad data.

    Where the outcome may come later, or count later, any file may end a batch.
    """
    later = bool(config.replaces or config.scoring.label_window)
    left = set() if config.replaces else bad_files(config, book)  # whose rows another may have corrected
    taken = [file for file in book.files("ingested") if file.id not in left]
    return {file.id: file.name for file in taken if later or file.labelled}


def left_out_files(config: Config, book: Records) -> list[Any]:
    """Give the records of the files of bad data, oldest first."""
    left = bad_files(config, book)
    return [file for file in book.files("ingested") if file.id in left] if left else []


def to_accept(config: Config, book: Records, named: str) -> Any:
    """Give the file of this name, path or number that is left out. Raise DataError if none is, or several are."""
    out = left_out_files(config, book)
    found = [file for file in out if file.name in (named, Path(named).name)]
    found = found or [file for file in out if str(file.id) == named]
    if len(found) == 1:
        return found[0]
    told = listed([_numbered(file) for file in found or out], 10)
    if found:
        raise DataError(
            f"{named}: several files of this name are left out as bad data, say which by number: {told}"
        )
    those = f"those that are: {told}" if out else "no file is"
    raise DataError(f"{named}: no file of this name or number is left out as bad data; {those}")


def _numbered(file: Any) -> str:
    return f"{file.name} ({file.id}, of {moment(file.at)})"


def accept(book: Records, file: Any) -> str:
    """Count a file as right, by hand, though it came as bad data; give a line that says what comes of it.

    Its ranges and categories are usual from then on. What was told of it stays on record.
    """
    said = next(row.verdicts for row in book.inputs() if row.file == file.id)
    told = f"{_numbered(file)}: right as it is, said by hand, though: bad data by {why_bad(json.loads(said))}"
    book.add_decision("accept", True, [told], file=file.id)
    then = "the next run scores what of it can still be, and the next training learns from it"
    return f"{_numbered(file)}: accepted, {counted(file.rows, 'row')}; {then}"


def judged_files(config: Config, book: Records) -> dict[int, frozenset[Way]]:
    """Give in which ways each judged file is bad, if any, in the order they came."""
    known = {None, config.columns.target.name, *config.columns.features}
    judged: dict[int, frozenset[Way]] = {}
    for number, rows, verdicts in book.judged_inputs():
        ways = frozenset(way for way in ways_of(json.loads(verdicts or "[]")) if way[1] in known)
        if _tells(ways, rows):
            judged[number] = ways
    return judged


def _tells(ways: frozenset[Way], rows: int) -> bool:
    """Say whether a file is one of a row of files: few rows can't show that all is well again."""
    return bool(ways) or rows >= integrity.LEAST_ROWS


def left_out(judged: Mapping[int, frozenset[Way]], accepted: Collection[int] = ()) -> set[int]:
    """Give the files that are bad in a way that didn't come `PATIENCE` times in a row; `judged` is in order.

    One that was accepted counts as so many.
    """
    runs: dict[Way, list[int]] = {}
    normal: set[tuple[int, Way]] = set()
    for file, ways in judged.items():
        times = PATIENCE if file in accepted else 1
        runs = {way: [*runs.get(way, []), *[file] * times] for way in ways}
        for way, run in runs.items():
            if len(run) >= PATIENCE:
                normal |= {(one, way) for one in run}
                del run[:-PATIENCE]
    return {file for file, ways in judged.items() if any((file, way) not in normal for way in ways)}


def sound(config: Config, book: Records, rows: "pd.DataFrame") -> np.ndarray:
    """Give the mask, shape (rows,), of the rows that no file of bad data brought.

    With a key a row may since have been corrected by another file: then it is sound.
    """
    bad = bad_files(config, book)
    if not bad or not len(rows):
        return np.ones(len(rows), bool)
    if not config.cleaning.key:
        return ~rows[FILE].isin(bad).to_numpy()
    parts = [part for number, part in book.parts() if number in bad]
    brought = {
        one for part in parts for one in dataset.read_part(config.ingested, part, [ROW])[ROW].to_pylist()
    }
    for number, part in book.parts():  # what a good file brought, too, is sound
        if number not in bad and brought:
            brought.difference_update(dataset.read_part(config.ingested, part, [ROW])[ROW].to_pylist())
    return np.array([one not in brought for one in rows[ROW]], bool)
