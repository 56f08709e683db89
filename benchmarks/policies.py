"""What a retraining policy is worth on real streams: trainings spent, gain of `always` had, deployments of no use.

Each stream, cut into ticks, is written as files into a temporary folder, and the real `backtest.py` is run on it as a
process, once for each kind of model and each delay of the labels: the figures are those of the project's own decisions.
Beside them, replayed over the same fits, what others do: an alarm on the stream of errors (ADWIN of river), and drift
of more than half of the columns (Evidently's default) train on all history and deploy what comes of it.

The streams are those of `../shared/data`, or of --data or $STREAMS: folders with `stream.parquet` (`tick`, features,
`y`) and `manifest.json`. All of them take 10 to 20 minutes, and an hour more if Evidently is installed, which takes a
second or two a tick; so this benchmark runs only if it's named. `python benchmarks/run.py policies false_alarms` prints
below it how often alarms are false.

- *gain*: (never - policy) / (never - always), in Brier score. *Pooled* is the ratio of sums over streams and models,
  *mean* the mean over the pairs where `always` gains more than 0.002, each from -1 to 1.5
- *trainings*: models fitted, deployed or not, over the ticks at which one could be
- *useless*: deployments whose Brier loss over the next five ticks is no lower than that of what they replaced
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import backtest
from pipeline import cli
from pipeline.decisions import Decision
from pipeline.recipes import Situation
from pipeline.replay import Fits, Replay

PROJECT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("STREAMS") or PROJECT.parent / "shared" / "data")
START = 10  # ticks that train the first champion
WORTH = 0.002  # of Brier score: what counts as a gain of always, or as worse than never
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "logreg": ("logistic_regression", {}),
    "hgb": ("hist_gradient_boosting", {"max_iter": 80, "max_leaf_nodes": 15, "early_stopping": False}),
}
DELAYS = (0, 5)
QUICK = {"streams": ["bigml_telecom", "telco"], "delays": (0,), "models": ("logreg",)}
OURS, BASELINES = "configured", ("never", "always")
SUMMED = ("brier", "ticks", "fits", "deploys", "useless")  # of the summary in the JSON
MOST_REFERENCE = 1_000  # rows that new ones are compared with, as Evidently advises
LEVEL, HALF = 0.05, 0.5  # of a column's test; share of columns from which the data drifted
FEWEST = 5  # values a column needs to be tested


@dataclass(frozen=True)
class Bars:
    """What the configured policy must reach over all streams and models."""

    trainings: float
    pooled: float
    mean: float
    useless: float


BARS = {0: Bars(0.20, 1.0, 0.95, 0.20), 5: Bars(0.20, 0.95, 0.90, 1.0)}


@dataclass(frozen=True)
class Run:
    """What a policy came to on one stream with one kind of model."""

    stream: str
    model: str
    delay: int
    policy: str
    brier: float
    ticks: int
    fits: int
    deploys: int
    useless: int


@dataclass(frozen=True)
class Summary:
    """What a policy came to over all streams and models."""

    policy: str
    trainings: float
    pooled: float
    mean: float
    useless: float
    worse: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be asked of this benchmark."""
    only = parser.add_argument_group("policies")
    only.add_argument("--streams", metavar="A,B", help="these streams (all)")
    only.add_argument("--delays", metavar="D,E", help="ticks until labels arrive (0,5)")
    only.add_argument("--models", metavar="M,N", help=f"kinds of model ({','.join(MODELS)})")
    only.add_argument("--data", metavar="DIR", type=Path, help=f"where the streams are ({DATA})")


def table(quick: bool, options: argparse.Namespace | None = None) -> tuple[list[str], bool]:
    """Give the lines of the tables and whether every bar was held; of a part of the streams none is asked."""
    data = (options and options.data) or DATA
    there = sorted(path.parent.name for path in data.glob("*/stream.parquet"))
    streams = _asked(options, "streams", QUICK["streams"] if quick else there)
    models = _asked(options, "models", QUICK["models"] if quick else list(MODELS))
    delays = [int(one) for one in _asked(options, "delays", QUICK["delays"] if quick else DELAYS)]
    lacking = [name for name in streams if name not in there]
    if lacking or not streams:
        return [
            "",
            f"Policies: no {', '.join(lacking) or 'streams'} in {data}; name another folder with --data",
        ], True
    unknown = set(models) - set(MODELS)
    if unknown:
        return ["", f"Policies: no model {', '.join(unknown)}; known: {', '.join(MODELS)}"], False
    whole = streams == there and set(models) == set(MODELS)
    lines, held = ["", f"Policies: {len(streams)} stream(s), {', '.join(models)}"], True
    for delay in delays:
        jobs = [(data, stream, model, delay) for stream in streams for model in models]
        found = list(replayed(jobs))
        told, kept = tables(found, delay, BARS.get(delay) if whole else None)
        lines, held = [*lines, *told], held and kept
    return [*lines, *(f"no {name}: {why}" for name, why in absent().items())], held


def _asked(options: argparse.Namespace | None, name: str, usual: Sequence[Any]) -> list[Any]:
    named = getattr(options, name, None)
    return named.split(",") if named else list(usual)


# ---------------------------------------------------------------------------------------------- sums
def gains(runs: Sequence[Run]) -> dict[tuple[str, str, str], float]:
    """Give for each stream, model and policy how much lower than that of `never` its Brier score is."""
    never = {(run.stream, run.model): run.brier for run in runs if run.policy == "never"}
    return {(run.stream, run.model, run.policy): never[run.stream, run.model] - run.brier for run in runs}


def summaries(runs: Sequence[Run]) -> list[Summary]:
    """Give what each policy came to, in the order in which they come."""
    gained, found = gains(runs), []
    for policy in dict.fromkeys(run.policy for run in runs):
        own = [run for run in runs if run.policy == policy]
        ours = np.array([gained[run.stream, run.model, policy] for run in own])
        best = np.array([gained[run.stream, run.model, "always"] for run in own])
        worth = best > WORTH
        found.append(
            Summary(
                policy,
                trainings=float(np.mean([run.fits / (run.ticks - 1) for run in own])),
                pooled=float(ours.sum() / best.sum()),
                mean=float(np.clip(ours[worth] / best[worth], -1, 1.5).mean())
                if worth.any()
                else float("nan"),
                useless=sum(run.useless for run in own) / max(sum(run.deploys for run in own), 1),
                worse=int(np.sum(ours < -WORTH)),
            )
        )
    return found


def missed(found: Sequence[Summary], bars: Bars) -> list[str]:
    """Give the bars that the configured policy misses."""
    (ours,) = [one for one in found if one.policy == OURS]
    return [
        *([f"trainings {bars.trainings:.0%}"] if ours.trainings > bars.trainings else []),
        *([f"pooled {bars.pooled:g}"] if ours.pooled < bars.pooled else []),
        *([f"mean {bars.mean:g}"] if ours.mean < bars.mean else []),
        *([f"useless {bars.useless:.0%}"] if ours.useless > bars.useless else []),
        *(["none worse than never"] if ours.worse else []),
    ]


def tables(runs: Sequence[Run], delay: int, bars: Bars | None) -> tuple[list[str], bool]:
    """Give the tables of one delay, per stream and over all, and whether the bars were held."""
    policies, gained = list(dict.fromkeys(run.policy for run in runs)), gains(runs)
    others = [name for name in policies if name not in BASELINES]
    when = f"labels {delay} ticks late" if delay else "labels at once"
    lines = ["", f"Brier score, {when}; in brackets the share of the gain of always", "",
             "| stream | model | " + " | ".join([*BASELINES, *others]) + " |",
             "|---" * (2 + len(policies)) + "|"]  # fmt: skip
    scores = {(run.stream, run.model, run.policy): run.brier for run in runs}
    for stream, model in dict.fromkeys((run.stream, run.model) for run in runs):
        best = gained[stream, model, "always"]
        cells = [f"{scores[stream, model, name]:.4f}" for name in BASELINES]
        for name in others:
            share = f"{gained[stream, model, name] / best:.2f}" if best > WORTH else "-"
            cells.append(f"{scores[stream, model, name]:.4f} ({share})")
        lines.append(f"| {stream} | {model} | " + " | ".join(cells) + " |")
    found = summaries(runs)
    lines += ["", f"All streams and models, {when}", "",
              "| policy | trainings | pooled gain | mean gain | useless | worse than never by > .002 |",
              "|---|---|---|---|---|---|"]  # fmt: skip
    for one in found:
        told = f"{one.trainings:.2f} | {one.pooled:.2f} | {one.mean:.2f} | {one.useless:.0%} | {one.worse}"
        lines.append(f"| {one.policy} | {told} |")
    if bars is None:
        return lines, True
    lacking = missed(found, bars)
    told = (
        f"trainings {bars.trainings:.0%}, gains {bars.pooled:g} and {bars.mean:g}, useless {bars.useless:.0%}"
    )
    came = f"missed: {', '.join(lacking)}" if lacking else "held"
    lines += ["", f"bars of {OURS}: {told}, none worse than never: {came}"]
    return lines, not lacking


# ---------------------------------------------------------------------------------------------- replays
def replayed(jobs: Sequence[tuple[Path, str, str, int]]) -> Iterator[Run]:
    """Replay every policy for each job (data, stream, model, delay), two jobs at a time."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(2) as pool:
        for number, runs in enumerate(pool.map(_job, jobs), 1):
            if sys.stderr.isatty():
                print(f"{number} of {len(jobs)}: {runs[0].stream}, {runs[0].model}", file=sys.stderr)
            yield from runs


def _job(job: tuple[Path, str, str, int]) -> list[Run]:
    data, stream, model, delay = job
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        rows = write_ticks(data / stream, folder)
        family = MODELS[model][0]
        told = backtested(folder, family, delay)
        told |= {name: replay.facts() for name, replay in alarmed(folder, family, delay)}
    predicted = sum(tick["rows"] for tick in told[OURS]["ticks"])
    if predicted != rows:
        raise SystemExit(f"{stream}: {predicted} of {rows} rows were predicted: the others were not read")
    return [
        Run(stream, model, delay, name, *(facts["summary"][key] for key in SUMMED))
        for name, facts in told.items()
    ]


def write_ticks(stream: Path, folder: Path) -> int:
    """Write the ticks of a stream as files, and a config beside them; give the number of rows after the first ticks."""
    info = json.loads((stream / "manifest.json").read_text(encoding="utf-8"))
    table = pd.read_parquet(stream / "stream.parquet").sort_values("tick", kind="stable", ignore_index=True)
    features = table.drop(columns=["tick", "y", *info["side_columns"]])
    kinds = {
        name: "number" if pd.api.types.is_numeric_dtype(features[name]) else "category" for name in features
    }
    named = "row" if "row" not in features else "row of the stream"
    config = {
        "paths": {"source": "drop"},
        "columns": {"id": named, "target": "y", "features": kinds},
        "model": {"candidates": {name: options or None for name, options in MODELS.values()}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    (folder / "ticks").mkdir()
    features.insert(0, named, [f"r{number}" for number in range(len(features))])
    for tick, rows in features.assign(y=table["y"]).groupby(table["tick"]):
        rows.to_csv(folder / "ticks" / f"{tick:05}.csv", index=False)
    return int((table["tick"] >= START).sum())


def backtested(folder: Path, family: str, delay: int) -> dict[str, Any]:
    """Run the real program on what `write_ticks` wrote, and give the policies of its JSON."""
    command = [sys.executable, str(PROJECT / "backtest.py"), f"--config={folder / 'config.yaml'}", "--json",
               f"--batches={folder / 'ticks'}", f"--start={START}", f"--delay={delay}", f"--model={family}",
               f"--out={folder / 'out'}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"backtest.py left with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)["policies"]


# ---------------------------------------------------------------------------------------------- what others do
@dataclass
class Alarmed(Replay):
    """A policy as its users have it: when something alarms, train on all history and deploy that."""

    alarm: Callable[["Alarmed", int], bool] = field(default=lambda replay, tick: False)

    def decided(self, now: Situation) -> Decision:
        """Ask the alarm about the newest labelled tick."""
        yes = self.alarm(self, int(now.newest))
        return Decision(yes, ["alarm" if yes else "no alarm"], ("all",) if yes else ())


def alarmed(folder: Path, family: str, delay: int) -> Iterator[tuple[str, Replay]]:
    """Replay what others do on the same ticks and the same fits, as far as it's installed."""
    config = cli.load_config(folder / "config.yaml")
    ticks = backtest.cut(config, str(folder / "ticks"))
    fits = Fits(config, ticks, backtest.families_of(config, family))
    for name, alarm in alarms().items():
        yield name, Alarmed(config, fits, "always", START, delay, alarm=alarm).run(family)


def alarms() -> dict[str, Callable[[Alarmed, int], bool]]:
    """Give what others do, by name, each with a memory of its own."""
    found: dict[str, Callable[[Alarmed, int], bool]] = {}
    if "ADWIN" not in absent():
        from river.drift import ADWIN

        found["ADWIN (river)"] = OfErrors(ADWIN)
    name, share = drifted_share()
    found[name] = partial(of_data, share, {})
    return found


def absent() -> dict[str, str]:
    """Give what can't be compared here, with the reason."""
    try:
        import river.drift  # noqa: F401
    except ImportError:
        return {"ADWIN": "river is not installed (pip install -r requirements-benchmarks.txt)"}
    return {}


@dataclass
class OfErrors:
    """An alarm of a detector that is fed with whether the class served was wrong, row by row; then it begins anew."""

    make: Callable[[], Any]
    detector: Any = None

    def __call__(self, replay: Alarmed, tick: int) -> bool:
        """Say whether a row of this tick sets it off."""
        self.detector = self.detector or self.make()
        found = False
        for wrong in ((replay.served[tick] >= 0.5) != replay.fits.ticks.truth[tick]).astype(int).tolist():
            self.detector.update(wrong)
            found |= self.detector.drift_detected
        self.detector = None if found else self.detector
        return found


Share = Callable[[pd.DataFrame, pd.DataFrame], float]  # reference, new rows -> share of columns that drifted


def of_data(share: Share, known: dict[tuple[int, int], float], replay: Alarmed, tick: int) -> bool:
    """Say whether over half of the columns of the newest rows, labelled or not, differ from the newest learnt from."""
    inputs, now = replay.fits.ticks.inputs, tick + replay.delay
    upto = max(one.upto for one in replay.kept if one.id in replay.recipe.weights)
    if (upto, now) not in known:
        learnt = pd.concat(inputs[max(0, upto + 1 - START) : upto + 1])
        reference = learnt.sample(min(MOST_REFERENCE, len(learnt)), random_state=0)
        known[upto, now] = share(reference, inputs[now])
    return known[upto, now] > HALF


def drifted_share() -> tuple[str, Share]:
    """Give how many columns drifted, and by whose code: Evidently's own if it's installed, else by its rule."""
    try:
        import evidently  # noqa: F401
        from evidently.presets import DataDriftPreset  # noqa: F401
    except Exception:  # noqa: BLE001  whatever keeps it from being imported, its rule does
        return "Evidently's rule", by_its_rule
    return "Evidently", by_evidently


def by_its_rule(reference: pd.DataFrame, new: pd.DataFrame) -> float:
    """Give the share of columns that Kolmogorov-Smirnov, or chi-squared for categories, finds different."""
    from scipy.stats import chi2_contingency, ks_2samp

    drifted = 0
    for name in reference:
        before, after = reference[name].dropna(), new[name].dropna()
        if min(len(before), len(after)) < FEWEST:
            continue
        if pd.api.types.is_numeric_dtype(before):
            p = ks_2samp(before, after, method="asymp").pvalue
        else:
            counts = pd.concat([before.value_counts(), after.value_counts()], axis=1).fillna(0).to_numpy()
            p = chi2_contingency(counts).pvalue if len(counts) > 1 else 1.0
        drifted += bool(p < LEVEL)
    return drifted / reference.shape[1]


def by_evidently(reference: pd.DataFrame, new: pd.DataFrame) -> float:
    """Give the share of columns that Evidently finds drifted, by the same tests; others would depend on the rows."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    tested = [name for name in reference if min(reference[name].count(), new[name].count()) >= FEWEST]
    numbers = [name for name in tested if pd.api.types.is_numeric_dtype(reference[name])]
    kinds = DataDefinition(
        numerical_columns=numbers, categorical_columns=[name for name in tested if name not in numbers]
    )
    preset = DataDriftPreset(columns=tested, num_method="ks", cat_method="chisquare", threshold=LEVEL)
    old, current = (Dataset.from_pandas(rows[tested], kinds) for rows in (reference, new))
    found = Report([preset]).run(current, old).dict()["metrics"]
    (counted,) = [one["value"] for one in found if one["metric_name"].startswith("DriftedColumnsCount")]
    return counted["count"] / reference.shape[1]
