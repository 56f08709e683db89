"""The benchmark of policies: its sums on figures made up by hand, what others do, and a tiny stream from end to end."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import policies
from benchmarks.policies import Bars, Run
from pipeline.recipes import Recipe
from tests.project import ROOT, clients


def run(stream: str, policy: str, brier: float, fits: int = 0, deploys: int = 0, useless: int = 0) -> Run:
    """Make up what came of a policy, in 11 ticks."""
    return Run(stream, "logreg", 0, policy, brier, 11, fits, deploys, useless)


RUNS = [
    run("drifts", "never", 0.30), run("drifts", "always", 0.20, 10, 10, 2), run("drifts", "configured", 0.19, 2, 2, 0),
    run("little", "never", 0.10), run("little", "always", 0.09, 10, 10, 3), run("little", "configured", 0.13, 1, 1, 1),
    run("stays", "never", 0.150), run("stays", "always", 0.149, 10, 10, 7), run("stays", "configured", 0.151, 0, 0, 0),
]  # fmt: skip


# ---------------------------------------------------------------------------------------------- sums
def by_report(runs: list[Run], policy: str) -> dict[str, float]:
    """Give what `replay/report.py`, which defines the shares, makes of the figures: its lines, as they stand there."""
    d = pd.DataFrame([vars(one) for one in runs])
    key = ["stream", "model"]
    wide = d.pivot_table(index=key, columns="policy", values="brier") * -1
    never, always = wide["never"], wide["always"]
    g = d[d.policy == policy].set_index(key)
    gain = wide[policy] - never
    return {
        "useless": g.useless.sum() / max(g.deploys.sum(), 1),
        "pooled": gain.sum() / (always - never).sum(),
        "mean": (gain / (always - never))[(always - never) > 0.002].clip(-1, 1.5).mean(),
        "worse": int((gain < -0.002).sum()),
    }


def test_shares_are_those_of_the_definition():
    found = {one.policy: one for one in policies.summaries(RUNS)}
    assert list(found) == ["never", "always", "configured"]
    for policy, one in found.items():
        expected = by_report(RUNS, policy)
        assert {name: getattr(one, name) for name in expected} == pytest.approx(expected)


def test_shares_are_what_comes_out_by_hand():
    ours = policies.summaries(RUNS)[-1]
    assert ours.pooled == pytest.approx((0.11 - 0.03 - 0.001) / (0.10 + 0.01 + 0.001))
    assert ours.mean == pytest.approx((1.1 + -1.0) / 2), (
        "the second is clipped, the third gains nothing to share"
    )
    assert ours.trainings == pytest.approx((2 + 1 + 0) / 3 / 10)
    assert ours.useless == pytest.approx(1 / 3)
    assert ours.worse == 1


def test_gains_beyond_half_as_much_again_count_no_more():
    runs = [run("a", "never", 0.30), run("a", "always", 0.29, 10), run("a", "configured", 0.20)]
    ours = policies.summaries(runs)[-1]
    assert (ours.mean, ours.pooled) == (1.5, pytest.approx(10))


def test_without_a_stream_that_gains_there_is_no_mean():
    runs = [run("a", "never", 0.300), run("a", "always", 0.299, 10), run("a", "configured", 0.298)]
    assert np.isnan(policies.summaries(runs)[-1].mean)


def test_a_bar_is_missed_by_what_is_worse_and_held_by_what_is_just_as_good():
    just = policies.Summary("configured", trainings=0.2, pooled=1.0, mean=0.95, useless=0.2, worse=0)
    bars = Bars(0.2, 1.0, 0.95, 0.2)
    assert policies.missed([just], bars) == []
    bad = policies.Summary("configured", trainings=0.21, pooled=0.99, mean=0.94, useless=0.21, worse=1)
    assert len(policies.missed([bad], bars)) == 5


def test_the_tables_tell_each_stream_and_all_of_them():
    lines, held = policies.tables(RUNS, 5, Bars(0.2, 0.5, 0.5, 0.5))
    text = "\n".join(lines)
    assert not held
    assert "| drifts | logreg | 0.3000 | 0.2000 | 0.1900 (1.10) |" in lines
    assert "| stays | logreg | 0.1500 | 0.1490 | 0.1510 (-) |" in lines
    assert "| configured | 0.10 | 0.71 | 0.05 | 33% | 1 |" in lines
    assert "labels 5 ticks late" in text
    assert lines[-1].endswith("missed: mean 0.5, none worse than never")
    assert policies.tables(RUNS, 0, None)[1]


# ---------------------------------------------------------------------------------------------- what others do
def replay(served: list[float], truth: list[int]) -> Any:
    """Give what an alarm on errors looks at: one tick."""
    ticks = SimpleNamespace(truth=[np.array(truth)])
    return SimpleNamespace(served=[np.array(served)], fits=SimpleNamespace(ticks=ticks))


class Third:
    """A detector that fires at the third error."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def update(self, wrong: int) -> None:
        self.seen.append(wrong)

    @property
    def drift_detected(self) -> bool:
        return self.seen[-1] == 1 and sum(self.seen) == 3


def test_a_detector_sees_the_errors_of_what_was_served_and_begins_anew_after_an_alarm():
    alarm = policies.OfErrors(Third)
    assert not alarm(replay([0.9, 0.1, 0.5, 0.4], [1, 1, 0, 0]), 0)
    assert alarm.detector.seen == [0, 1, 1, 0]
    assert alarm(replay([0.9, 0.9], [0, 1]), 0)
    assert alarm.detector is None
    assert not alarm(replay([0.9], [0]), 0)


def test_drift_of_over_half_of_the_columns_of_the_newest_rows_is_an_alarm():
    old, new = clients(300, seed=1)[["activity", "branch"]], clients(300, seed=2)[["activity", "branch"]]
    asked = []

    def alarmed(newest: pd.DataFrame, delay: int = 0) -> bool:
        kept = [SimpleNamespace(id="one", upto=0), SimpleNamespace(id="newer", upto=1)]
        inputs = [old, *[new] * delay, newest]
        fits = SimpleNamespace(ticks=SimpleNamespace(inputs=inputs))
        recipe = Recipe({"one": 1.0})
        replayed = SimpleNamespace(fits=fits, delay=delay, kept=kept, recipe=recipe)
        return policies.of_data(counted, {}, replayed, 1)  # type: ignore[arg-type]

    def counted(reference: pd.DataFrame, rows: pd.DataFrame) -> float:
        asked.append((len(reference), len(rows)))
        return policies.by_its_rule(reference, rows)

    assert not alarmed(new)
    assert not alarmed(new.assign(activity=new["activity"] + 30)), "that's half"
    assert alarmed(new.assign(activity=new["activity"] + 30, branch="north"))
    assert alarmed(new.assign(activity=new["activity"] + 30, branch="north"), delay=2)
    assert asked == [(300, 300)] * 4


def test_missing_cells_and_one_category_are_no_drift():
    rows = pd.DataFrame({"x": [np.nan] * 100, "y": ["same"] * 100, "z": np.arange(100.0)})
    assert policies.by_its_rule(rows, rows) == 0
    assert policies.by_its_rule(rows, rows.assign(z=rows["z"] + 90)) == pytest.approx(1 / 3)


def test_what_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "river", None)
    monkeypatch.setitem(sys.modules, "evidently", None)
    assert policies.absent() == {
        "ADWIN": "river is not installed (pip install -r requirements-benchmarks.txt)"
    }
    assert list(policies.alarms()) == ["Evidently's rule"]


# ---------------------------------------------------------------------------------------------- from end to end
@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a stream of 14 ticks, whose labels flip after ten."""
    folder = tmp_path_factory.mktemp("streams")
    batches = [
        clients(60, seed=tick, flipped=tick > 10)
        .assign(tick=tick)
        .drop(columns="client")
        .rename(columns={"exited": "y", "activity": "activity (points)"})
        for tick in range(14)
    ]
    (folder / "tiny").mkdir()
    rows = pd.concat(batches, ignore_index=True)
    rows.loc[5, "activity (points)"] = np.nan
    rows.to_parquet(folder / "tiny" / "stream.parquet")
    (folder / "tiny" / "manifest.json").write_text(json.dumps({"name": "tiny", "side_columns": ["seen"]}))
    return folder


def test_a_tiny_stream_goes_through_the_real_program(streams):
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "policies", f"--data={streams}",
               "--delays=0,1", "--models=logreg"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "Policies: 1 stream(s), logreg" in lines
    assert sum(line.startswith("| tiny | logreg | 0.") for line in lines) == 2
    for policy in ("never", "always", "every 5", "configured", "Evidently's rule"):
        assert sum(line.startswith(f"| {policy.replace(chr(39) + 's rule', '')}") for line in lines) >= 2
    assert "| always | 1.00 | 1.00 | 1.00 |" in done.stdout
    assert "| never | 0.00 | 0.00 | 0.00 | 0% | 0 |" in done.stdout
    assert ("ADWIN (river)" in done.stdout) is not ("no ADWIN: river is not installed" in done.stdout)
    assert sorted(path.name for path in streams.rglob("*.*")) == ["manifest.json", "stream.parquet"]


def test_ticks_are_written_with_the_columns_of_the_stream(streams, tmp_path):
    assert policies.write_ticks(streams / "tiny", tmp_path) == 4 * 60
    files = sorted((tmp_path / "ticks").iterdir())
    assert [path.name for path in files] == [f"{tick:05}.csv" for tick in range(14)]
    rows = pd.read_csv(files[3])
    assert list(rows) == ["row", "activity (points)", "complaints", "branch", "y"]
    assert rows["y"].tolist() == clients(60, seed=3)["exited"].tolist()


def test_alarms_are_replayed_over_the_same_ticks_and_deploy_what_they_train(streams, tmp_path, monkeypatch):
    monkeypatch.setattr(policies, "alarms", lambda: {"third": lambda replay, tick: tick == 11})
    policies.write_ticks(streams / "tiny", tmp_path)
    ((name, done),) = policies.alarmed(tmp_path, "logistic_regression", 1)
    facts = done.facts()
    assert name == "third"
    assert [tick["decision"] for tick in facts["ticks"]] == ["kept", "kept", "deployed", "kept"]
    assert (facts["summary"]["fits"], facts["summary"]["ticks"]) == (1, 4)
    never = policies.backtested(tmp_path, "logistic_regression", 1)["never"]["ticks"]
    same = [
        one["brier"] == pytest.approx(other["brier"])
        for one, other in zip(facts["ticks"], never, strict=True)
    ]
    assert same == [True, True, True, False]


def test_streams_that_are_not_there_are_named_in_a_plain_word(tmp_path):
    def asked(**given: Any) -> argparse.Namespace:
        return argparse.Namespace(
            **{"streams": None, "delays": None, "models": None, "data": tmp_path, **given}
        )

    lines, held = policies.table(False, asked())
    assert held
    assert f"no streams in {tmp_path}; name another folder with --data" in lines[-1]
    assert "no elec3" in policies.table(False, asked(streams="elec3"))[0][-1]


def test_without_a_name_it_does_not_run():
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "run.py"), "nothing"], capture_output=True, text=True
    )
    assert "policies" in done.stderr
    source = (ROOT / "benchmarks" / "run.py").read_text(encoding="utf-8")
    assert "options.name or BENCHMARKS:" in source
    assert '"policies"' not in source.partition("BENCHMARKS = {")[2].partition("}")[0]
