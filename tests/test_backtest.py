"""Backtest: a history replayed. What is learnt from when, what the figures say, and that nothing else changes.

Expected figures come from models fitted here by hand, with scikit-learn alone.
"""

import json
import math
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    mean_absolute_error,
    root_mean_squared_error,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline import cli, decisions, files, models
from pipeline.replay import Fits, Replay, Ticks
from tests.project import PRICES, Project, clients, houses

START, TICKS, ROWS = 3, 11, 80
BATCHES = [clients(ROWS, seed, day=seed) for seed in range(1, TICKS + 1)]
COMPARED = ["never", "always", "every 5", "configured"]


def folder_of(path: Path, batches: list[pd.DataFrame]) -> Path:
    """Write one CSV file a batch."""
    path.mkdir()
    for number, rows in enumerate(batches):
        rows.to_csv(path / f"{number:02}.csv", index=False)
    return path


@pytest.fixture(scope="session")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the made-up clients, a file a tick. Not to be changed."""
    return folder_of(tmp_path_factory.mktemp("backtest") / "batches", BATCHES)


@pytest.fixture(scope="session")
def replayed(batches: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give the JSON of their backtest, labels at once."""
    project = Project.made(tmp_path_factory.mktemp("backtest") / "a project")
    return project.does("backtest.py", f"--batches={batches}", f"--start={START}")["policies"]


def backtest(project: Project, batches: Path, *flags: str) -> dict[str, Any]:
    """Replay a folder and give the policies of the JSON."""
    return project.does("backtest.py", f"--batches={batches}", f"--start={START}", *flags)["policies"]


def ticks_of(told: dict[str, Any], policy: str, key: str) -> list[Any]:
    """Give one figure of each tick of a policy."""
    return [tick[key] for tick in told[policy]["ticks"]]


# ---------------------------------------------------------------------------------------------- by hand
def fitted(batches: list[pd.DataFrame]) -> Any:
    """Fit the clients' model with scikit-learn alone."""
    rows = pd.concat(batches)
    prepare = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["activity", "complaints"]),
        (OneHotEncoder(min_frequency=10, handle_unknown="infrequent_if_exist"), ["branch"]),
    )
    return make_pipeline(prepare, LogisticRegression(max_iter=1000)).fit(rows, rows["exited"])


def by_hand(delay: int = 0, every: int = 1) -> list[np.ndarray]:
    """Give what is predicted at each tick after the first if all history is learnt from after so many batches."""
    served, last, predictions = fitted(BATCHES[:START]), START - 1, []
    for at in range(START, TICKS):
        predictions.append(served.predict_proba(BATCHES[at])[:, 1])
        labelled = at - delay
        if labelled >= START and labelled - last >= every and at < TICKS - 1:
            served, last = fitted(BATCHES[: labelled + 1]), labelled
    return predictions


def briers(predictions: list[np.ndarray]) -> list[float]:
    """Give the Brier score of each tick after the first, by scikit-learn."""
    truth = [rows["exited"] for rows in BATCHES[START:]]
    return [brier_score_loss(*both) for both in zip(truth, predictions, strict=True)]


# ---------------------------------------------------------------------------------------------- the contract
SUMMARY = ["ticks", "fits", "deploys", "useless", "train_seconds"]


def test_the_json_has_the_keys_of_the_contract(replayed):
    assert list(replayed) == COMPARED
    for facts in replayed.values():
        assert list(facts) == ["summary", "ticks"]
        assert list(facts["summary"]) == ["accuracy", "f1", "log_loss", "brier", *SUMMARY]
        assert facts["summary"]["ticks"] == len(facts["ticks"]) == TICKS - START
        assert facts["summary"]["fits"] == sum(tick["fits"] for tick in facts["ticks"])
        deployed = [tick for tick in facts["ticks"] if tick["decision"] == "deployed"]
        assert facts["summary"]["deploys"] == len(deployed)
        assert 0 <= facts["summary"]["useless"] <= len(deployed)
        for number, tick in enumerate(facts["ticks"], START):
            assert list(tick) == ["tick", "rows", "accuracy", "brier", "decision", "reasons", "fits"]
            assert (tick["tick"], tick["rows"]) == (f"{number:02}", ROWS)
            assert tick["decision"] in ("kept", "trained", "deployed")
            assert all(isinstance(reason, str) and reason for reason in tick["reasons"])
        assert all(tick["reasons"] for tick in facts["ticks"][:-1])


def test_for_regression_accuracy_gives_way_to_rmse_and_mae(tmp_path):
    project = Project.made(tmp_path / "a project", PRICES)
    prices = [houses(ROWS, seed) for seed in range(TICKS)]
    told = backtest(project, folder_of(tmp_path / "batches", prices))
    for facts in told.values():
        assert list(facts["summary"]) == ["rmse", "mae", *SUMMARY]
        assert list(facts["ticks"][0]) == ["tick", "rows", "rmse", "mae", "decision", "reasons", "fits"]
    names, rows = ["rooms", "age"], pd.concat(prices[:START])
    prepare = make_column_transformer((StandardScaler(), names), (OneHotEncoder(), ["town"]))
    model = make_pipeline(prepare, Ridge()).fit(rows, rows["price"])
    for tick, later in zip(told["never"]["ticks"], prices[START:], strict=True):
        predicted = model.predict(later)
        assert tick["rmse"] == pytest.approx(root_mean_squared_error(later["price"], predicted), rel=1e-6)
        assert tick["mae"] == pytest.approx(mean_absolute_error(later["price"], predicted), rel=1e-6)


# ---------------------------------------------------------------------------------------------- the figures
def test_never_trains_nothing_and_is_the_first_model_for_ever(replayed):
    assert replayed["never"]["summary"]["fits"] == replayed["never"]["summary"]["deploys"] == 0
    expected = briers([fitted(BATCHES[:START]).predict_proba(rows)[:, 1] for rows in BATCHES[START:]])
    assert ticks_of(replayed, "never", "brier") == pytest.approx(expected, abs=1e-5)


def test_always_trains_at_every_tick_but_the_last_and_is_what_comes_out_by_hand(replayed):
    assert ticks_of(replayed, "always", "fits") == [1] * (TICKS - START - 1) + [0]
    assert ticks_of(replayed, "always", "decision") == ["deployed"] * (TICKS - START - 1) + ["kept"]
    assert ticks_of(replayed, "always", "brier") == pytest.approx(briers(by_hand()), abs=1e-5)


def test_every_five_waits_for_five_batches(replayed):
    assert ticks_of(replayed, "every 5", "fits") == [0, 0, 0, 0, 1, 0, 0, 0]
    assert ticks_of(replayed, "every 5", "brier") == pytest.approx(briers(by_hand(every=5)), abs=1e-5)


def test_the_summary_is_of_all_rows_together(replayed):
    truth, risk = pd.concat(BATCHES[START:])["exited"], np.concatenate(by_hand())
    told = replayed["always"]["summary"]
    assert told["accuracy"] == pytest.approx(accuracy_score(truth, risk >= 0.5), abs=1e-3)
    assert told["f1"] == pytest.approx(f1_score(truth, risk >= 0.5), abs=1e-3)
    assert told["log_loss"] == pytest.approx(log_loss(truth, risk), abs=1e-4)
    assert told["brier"] == pytest.approx(brier_score_loss(truth, risk), abs=1e-5)


def test_useless_is_a_deployment_that_loses_no_less_over_the_next_five_ticks(replayed):
    useless, old = 0, fitted(BATCHES[:START])
    for at in range(START, TICKS - 1):
        new = fitted(BATCHES[: at + 1])
        following = pd.concat(BATCHES[at + 1 : at + 6])
        before, after = (
            np.sum((model.predict_proba(following)[:, 1] - following["exited"]) ** 2) for model in (old, new)
        )
        useless, old = useless + bool(after >= before), new
    assert 0 < useless < TICKS - START - 1, "there's something to tell apart"
    assert replayed["always"]["summary"]["useless"] == useless


def test_the_same_command_gives_the_same_but_for_seconds(project, batches, replayed):
    again = backtest(project, batches)
    for told in (again, replayed):
        assert all(facts["summary"].get("train_seconds") is not None for facts in told.values())
    assert without_seconds(again) == without_seconds(replayed)


def _rounded(value: Any) -> Any:
    """Give a number with 9 digits: sums differ in the last ones with the threads that they are divided among."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def without_seconds(told: dict[str, Any]) -> dict[str, Any]:
    """Give the policies of the JSON without what no two runs have in common: seconds, and the last digits."""
    return {
        name: (
            {key: _rounded(value) for key, value in facts["summary"].items() if key != "train_seconds"},
            [{key: _rounded(value) for key, value in tick.items()} for tick in facts["ticks"]],
        )
        for name, facts in told.items()
    }


# ---------------------------------------------------------------------------------------------- labels that come late
def test_with_a_delay_only_labels_that_came_are_learnt_from(project, batches):
    late = backtest(project, batches, "--delay=2")
    assert ticks_of(late, "always", "fits") == [0, 0] + [1] * (TICKS - START - 3) + [0]
    assert ticks_of(late, "always", "brier") == pytest.approx(briers(by_hand(delay=2)), abs=1e-5)


def test_labels_later_than_the_history_is_long_teach_nothing(project, batches):
    told = backtest(project, batches, "--delay=50", "--policy", "adaptive")
    assert [facts["summary"]["fits"] for facts in told.values()] == [0] * 4
    assert ticks_of(told, "always", "brier") == ticks_of(told, "never", "brier")


@pytest.mark.parametrize(("delay", "none"), [(6, False), (7, True)])
def test_a_delay_within_which_nothing_can_be_trained_is_told(project, batches, delay, none):
    flags = f"--batches={batches}", f"--start={START}", f"--delay={delay}"
    assert (backtest(project, batches, flags[-1])["always"]["summary"]["fits"] == 0) is none
    told = project.call("backtest.py", *flags).out.splitlines()[-1]
    assert (
        told.startswith("nothing could be trained: of 11 ticks 3 train the first model; with --delay 7")
        is none
    )


def ticks(flipped_from: int = TICKS) -> Ticks:
    """Give the clients as ticks; from one on, the labels are turned round."""
    numbers = ["activity", "complaints"]
    seen = [rows[[*numbers, "branch"]].astype(dict.fromkeys(numbers, float)) for rows in BATCHES]
    truth = [
        np.where(number >= flipped_from, 1 - rows["exited"], rows["exited"])
        for number, rows in enumerate(BATCHES)
    ]
    return Ticks([str(number) for number in range(TICKS)], seen, truth)


@pytest.mark.parametrize("delay", [0, 3])
@pytest.mark.parametrize("policy", ["always", "every 2", "on_drift", "adaptive"])
def test_no_decision_and_no_prediction_knows_labels_before_they_come(project, policy, delay):
    flip = 6

    def run(history: Ticks) -> Replay:
        fits = Fits(project.config, history, {"logistic_regression": None})
        return Replay(project.config, fits, policy, START, delay).run("logistic_regression")

    one, other = run(ticks()), run(ticks(flipped_from=flip))

    def told(done: Replay) -> list[tuple[Any, ...]]:
        return [(tick["decision"], tick["reasons"], tick["fits"]) for tick in done.told]

    for at in range(START, TICKS):
        same = np.array_equal(one.served[at], other.served[at])
        assert same or at > flip + delay, f"what is served at tick {at} knows the labels of tick {flip}"
    before = flip + delay - START
    assert told(one)[:before] == told(other)[:before]
    if policy == "always":
        assert not np.array_equal(one.served[flip + delay + 1], other.served[flip + delay + 1])


def test_each_tick_is_learnt_from_when_its_labels_came_and_never_before(project, monkeypatch):
    now, learnt = [0], []
    fit, turn = Fits.fit, Replay._turn

    def watched_turn(self: Replay, at: int, labelled: int) -> Any:
        now[0] = at
        return turn(self, at, labelled)

    def watched_fit(self: Fits, window: str, family: str, upto: int, *others: Any) -> str | None:
        learnt.append((now[0], upto))
        return fit(self, window, family, upto, *others)

    monkeypatch.setattr(Replay, "_turn", watched_turn)
    monkeypatch.setattr(Fits, "fit", watched_fit)
    fits = Fits(project.config, ticks(flipped_from=5), {"logistic_regression": None})
    Replay(project.config, fits, "adaptive", START, delay=2, proving=True).run("logistic_regression")
    assert learnt[0] == (0, START - 1)
    assert len(learnt) > 1
    assert {upto for at, upto in learnt[1:] if upto != at - 2} == set()


# ---------------------------------------------------------------------------------------------- proven or not
def test_a_calendar_deploys_what_it_trains_and_what_is_configured_proves_it(project, batches):
    project.configure("policy: adaptive", "policy: every 1")
    told = backtest(project, batches, "--policy", "every 1")
    assert ticks_of(told, "every 1", "decision") == ticks_of(told, "always", "decision")
    assert ticks_of(told, "configured", "fits")[0] == 1
    assert ticks_of(told, "configured", "decision") != ticks_of(told, "always", "decision")


def test_every_policy_that_exists_can_be_compared_and_each_is_replayed_once(project, batches):
    named = ["every 3" if name == "every" else name for name in decisions.POLICIES]
    told = backtest(project, batches, "--policy", *named, "every 3", "configured")
    assert sorted(told) == sorted({"never", "always", *named, "configured"})


def test_several_policies_are_named_one_after_the_other(project, batches):
    told = backtest(project, batches, "--policy", "every 3", "on_drift")
    assert list(told) == ["never", "always", "every 3", "on_drift", "configured"]
    assert ticks_of(told, "every 3", "fits") == [0, 0, 1, 0, 0, 1, 0, 0]


def test_a_calendar_trains_the_one_kind_of_model_that_did_best_at_first(project, tmp_path):
    bad = "random_forest: {n_estimators: 1, max_depth: 1}\n    logistic_regression:"
    project.configure("logistic_regression:", bad)
    folder = folder_of(tmp_path / "batches", BATCHES)
    two = project.does("backtest.py", f"--batches={folder}", "--start=5")["policies"]
    named = ("--start=5", "--model=logistic_regression")
    one = project.does("backtest.py", f"--batches={folder}", *named)["policies"]
    for policy in ("never", "always", "every 5"):
        assert without_seconds(two)[policy] == without_seconds(one)[policy]
    forest = project.does("backtest.py", f"--batches={folder}", "--start=5", "--model=random_forest")
    assert forest["policies"]["never"]["summary"]["brier"] > one["never"]["summary"]["brier"]


def test_a_model_is_fitted_once_whoever_asks_and_everybody_pays_for_it(project, monkeypatch):
    fit, trained = models.fit, []

    def counted(*given: Any) -> Any:
        trained.append(given)
        return fit(*given)

    monkeypatch.setattr(models, "fit", counted)
    fits = Fits(project.config, ticks(), {"logistic_regression": None})
    done = [
        Replay(project.config, fits, policy, START, 0).run("logistic_regression")
        for policy in ("always", "every 1", "every 2")
    ]
    assert len(trained) == 1 + TICKS - START - 1
    spent = [one.facts()["summary"] for one in done]
    assert spent[0]["fits"] == spent[1]["fits"] == 2 * spent[2]["fits"] + 1
    assert spent[0]["train_seconds"] == spent[1]["train_seconds"] > spent[2]["train_seconds"]


# ---------------------------------------------------------------------------------------------- which ticks there are
def test_files_of_any_format_are_replayed_in_the_order_of_their_names(project, tmp_path, replayed):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for number, rows in reversed(list(enumerate(BATCHES))):
        if number % 3 == 0:
            rows.to_parquet(mixed / f"{number:02}.parquet", index=False)
        elif number % 3 == 1:
            rows.to_csv(mixed / f"{number:02}.csv.gz", index=False)
        else:
            rows.to_csv(mixed / f"{number:02}.CSV", index=False, sep=";")
    (mixed / "readme.txt").write_text("no table")
    (mixed / ".99.csv").write_text("still being written")
    assert without_seconds(backtest(project, mixed)) == without_seconds(replayed)


def test_files_whose_names_differ_behind_a_dot_are_ticks_of_their_own(project, tmp_path, replayed):
    dotted = tmp_path / "dotted"
    dotted.mkdir()
    for number, rows in enumerate(BATCHES):
        rows.to_csv(dotted / f"2025.{number:02}.csv", index=False)
    told = backtest(project, dotted)
    assert ticks_of(told, "never", "tick") == [f"2025.{number:02}" for number in range(START, TICKS)]
    assert ticks_of(told, "always", "brier") == ticks_of(replayed, "always", "brier")


def test_a_feature_called_tick_is_a_feature(project, tmp_path, replayed):
    project.configure("    activity:", "    tick:")
    renamed = [rows.rename(columns={"activity": "tick"}) for rows in BATCHES]
    told = backtest(project, folder_of(tmp_path / "renamed", renamed))
    assert ticks_of(told, "always", "brier") == pytest.approx(ticks_of(replayed, "always", "brier"))


def test_a_history_with_time_is_cut_into_its_days(project, replayed):
    for number, rows in enumerate([pd.concat(BATCHES[1::2]), pd.concat(BATCHES[::2])]):
        project.drop(f"drop{number}.csv", rows)
    project.does("ingestion.py")
    told = project.does("backtest.py", f"--start={START}")["policies"]
    days = [f"2025-03-{day:02}" for day in range(START + 1, TICKS + 1)]
    assert ticks_of(told, "always", "tick") == days
    assert ticks_of(told, "always", "brier") == pytest.approx(ticks_of(replayed, "always", "brier"), abs=1e-6)


def test_days_with_too_few_rows_are_put_together_to_weeks(project):
    project.drop("march.csv", pd.concat([clients(30, seed=day, day=day) for day in range(1, 29)]))
    project.does("ingestion.py")
    flags = ("--start=2", "--policy", "every 1")
    told = project.does("backtest.py", *flags)["policies"]
    assert ticks_of(told, "never", "rows") == [210, 210, 150]
    assert ticks_of(told, "never", "tick") == ["2025-03-10", "2025-03-17", "2025-03-24"], "the Mondays"
    project.configure("min_rows: 40", "min_rows: 20")
    told = project.does("backtest.py", *flags)["policies"]
    assert ticks_of(told, "never", "rows") == [30] * 26


def test_a_history_without_time_is_replayed_file_by_file_as_they_came(tmp_path):
    project = Project.made(tmp_path / "a project", PRICES)
    for number in (3, 1, 2, 0, 4):
        project.drop(f"prices{number}.csv", houses(50 + number, seed=number))
        project.does("ingestion.py")
    told = project.does("backtest.py", "--start=2")["policies"]
    assert ticks_of(told, "never", "tick") == ["prices2", "prices0", "prices4"]
    assert ticks_of(told, "never", "rows") == [52, 50, 54]


def test_other_content_under_an_old_name_is_a_tick_of_its_own(tmp_path):
    project = Project.made(tmp_path / "a project", PRICES)
    for number in range(5):
        project.drop("prices.csv", houses(50 + number, seed=number))
        project.does("ingestion.py")
    assert ticks_of(project.does("backtest.py", "--start=2")["policies"], "never", "rows") == [52, 53, 54]


def test_rows_without_label_are_no_part_of_a_tick(project, tmp_path, replayed):
    with_others = []
    for seed, rows in enumerate(BATCHES):
        unknown = clients(7, seed=seed + 100).assign(exited="")
        with_others.append(pd.concat([unknown, rows]))
    with_others.insert(5, clients(40, seed=200).assign(exited=""))
    told = backtest(project, folder_of(tmp_path / "unlabelled", with_others))
    assert ticks_of(told, "always", "rows") == [ROWS] * (TICKS - START)
    assert ticks_of(told, "always", "brier") == pytest.approx(ticks_of(replayed, "always", "brier"))


def test_a_tick_of_one_class_is_no_trouble(project, tmp_path):
    one_class = [rows.assign(exited=0) if at in (5, 7) else rows for at, rows in enumerate(BATCHES)]
    told = backtest(project, folder_of(tmp_path / "one class", one_class), "--policy", "on_drift", "adaptive")
    assert told["always"]["summary"]["fits"] == TICKS - START - 1


def test_after_one_class_only_the_recent_window_waits_until_there_are_two(project, tmp_path):
    one_class = [rows.assign(exited=0) if at >= 5 else rows for at, rows in enumerate(BATCHES)]
    told = backtest(project, folder_of(tmp_path / "one class", one_class), "--policy", "adaptive")
    assert all(math.isfinite(facts["summary"]["brier"]) for facts in told.values())


# ---------------------------------------------------------------------------------------------- refused
@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (("--model=perceptron",), 64, "no such model for classification; there are: logistic_regression"),
        (("--model=ridge",), 64, "no such model for classification"),
        (("--policy", "sometimes"), 64, "'sometimes': no such policy; there are: never, always, 'every 5'"),
        (("--policy", "every"), 64, "'every': no such policy"),
        (("--policy", "every", "3"), 64, "'every': no such policy"),
        (("--policy", "every 0"), 64, "'every 0': no such policy"),
        (("--policy", "never 5"), 64, "'never 5': no such policy"),
        (("--policy",), 64, "expected at least one argument"),
        (("--start=0",), 64, "1 or more are expected"),
        (("--start=-1",), 64, "'-1': a number of ticks is expected"),
        (("--start=some",), 64, "'some': a number of ticks is expected"),
        (("--delay=1.5",), 64, "'1.5': a number of ticks is expected"),
        (
            ("--start=10",),
            65,
            "11 ticks with labelled rows; 10 train the first model and two more are needed",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(project, batches, flags, code, told):
    ran = project.call("backtest.py", f"--batches={batches}", *flags)
    assert ran.code == code
    assert told in ran.complaint
    assert not (project.folder / "reports").exists()


def test_a_history_just_long_enough_is_replayed(project, batches):
    assert (
        len(project.does("backtest.py", f"--batches={batches}", "--start=9")["policies"]["never"]["ticks"])
        == 2
    )


def test_without_data_it_says_where_there_should_be_some(project, tmp_path):
    nothing = project.call("backtest.py")
    assert (nothing.code, "nothing ingested yet" in nothing.complaint) == (65, True)
    assert not (project.folder / "ingesteddata").exists()
    (tmp_path / "empty").mkdir()
    for folder, code, why in (
        ("empty", 65, "no files that ingestion can read"),
        ("lost", 74, "no such folder"),
    ):
        ran = project.call("backtest.py", f"--batches={tmp_path / folder}")
        assert ran.code == code
        assert f"{tmp_path / folder}: {why}" in ran.complaint


def test_a_file_that_is_no_table_is_named(project, tmp_path):
    folder = folder_of(tmp_path / "batches", BATCHES)
    (folder / "04.csv").write_text("<html>error</html>")
    ran = project.call("backtest.py", f"--batches={folder}")
    assert ran.code == 65
    assert str(folder / "04.csv") in ran.complaint


def test_a_history_without_labels_is_refused(project, tmp_path):
    folder = folder_of(tmp_path / "batches", [rows.assign(exited="") for rows in BATCHES])
    ran = project.call("backtest.py", f"--batches={folder}")
    assert ran.code == 65
    assert "0 ticks with labelled rows" in ran.complaint


def test_first_ticks_that_train_no_model_are_refused(project, tmp_path):
    one_class = [rows.assign(exited=0) if at < 4 else rows for at, rows in enumerate(BATCHES)]
    folder = folder_of(tmp_path / "one class", one_class)
    ran = project.call("backtest.py", f"--batches={folder}", "--start=4")
    assert ran.code == 65
    assert "the first 4 ticks, with 320 labelled rows, train no model" in ran.complaint
    assert backtest(project, folder, "--start=5")["never"]["summary"]["ticks"] == TICKS - 5
    folder = folder_of(tmp_path / "few", [rows.head(20) for rows in BATCHES])
    ran = project.call("backtest.py", f"--batches={folder}", "--start=2")
    assert ran.code == 65
    assert "with 40 labelled rows, train no model: it needs retraining.min_rows, 60" in ran.complaint


# ---------------------------------------------------------------------------------------------- what is written
def test_it_changes_nothing_but_what_it_writes_and_waits_for_nobody(deployed, batches, tmp_path):
    before, stamps = deployed.snapshot(), deployed.stamps()
    with files.lock(cli.lock_file(deployed.config)):
        stamps = deployed.stamps()
        facts = deployed.does("backtest.py", f"--batches={batches}", "--start=3", f"--out={tmp_path / 'out'}")
        assert deployed.stamps() == stamps
    assert deployed.snapshot() == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "backtest.json",
        "scores.png",
        "table.txt",
    ]
    assert json.loads((tmp_path / "out" / "backtest.json").read_text()) == facts


def test_without_out_it_writes_into_the_reports(project, batches):
    before = project.snapshot()
    backtest(project, batches)
    new = {name for name in project.snapshot() if name not in before}
    assert new == {f"reports/backtest/{name}" for name in ("backtest.json", "scores.png", "table.txt")}


def test_table_and_picture_can_be_read(project, batches, replayed):
    ran = project.call("backtest.py", f"--batches={batches}", f"--start={START}")
    folder = project.folder / "reports" / "backtest"
    table = (folder / "table.txt").read_text()
    told = ran.out.removeprefix(table)
    ticks = sorted(path.stem for path in batches.iterdir())
    assert told.startswith(f"{len(ticks)} ticks, {ticks[0]} to {ticks[-1]}, median ")
    assert told.endswith(
        f"; {START} train the first model. Written to {folder}/: backtest.json, table.txt, scores.png\n"
    )
    header, *lines = table.splitlines()
    assert header.split()[:3] == ["policy", "trainings", "deployments"]
    assert len({len(line) for line in (header, *lines)}) == 1, "columns are aligned"
    assert [line[: len("configured")].strip() for line in lines] == list(replayed)
    for line, facts in zip(lines, replayed.values(), strict=True):
        assert f"{facts['summary']['fits']} ({facts['summary']['fits'] / 8:.0%} of ticks)" in line
        assert f"{facts['summary']['brier']:.4f}" in line
    picture = matplotlib.image.imread(folder / "scores.png")
    assert min(picture.shape[:2]) > 300
    assert picture[..., :3].std() > 0.01, "something is drawn"


def test_the_real_program_does_the_same_from_anywhere(project, batches, replayed):
    ran = project.run("backtest.py", f"--batches={batches}", f"--start={START}", "--json")
    assert ran.err == ""
    assert without_seconds(ran.facts["policies"]) == without_seconds(replayed)
