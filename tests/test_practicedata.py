"""The practice data in git is what its generator writes, and tells the story it should."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

PROJECT = Path(__file__).resolve().parents[1]
GENERATOR = PROJECT / "examples" / "corporate_clients" / "generate.py"
MONTHS = [f"practicedata/clients_2025-{month:02}.csv" for month in range(1, 7)]
WEEKS = [f"sourcedata/clients_2025-W{week}.csv" for week in range(27, 53)]
TEST = "testdata/clients_test.csv"
NUMBERS = [
    "lastmonth_activity",
    "lastyear_activity",
    "number_of_employees",
    "contract_months",
    "support_tickets",
]
COLUMNS = ["corporation", "snapshot_date", "industry", *NUMBERS, "exited"]
CHANGE = 13  # weeks before the competitor enters


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    subprocess.run([sys.executable, GENERATOR, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def files(folder):
    """The generated files as frames, by path, in the order in which they are delivered."""
    return {path: pd.read_csv(folder / path) for path in [*MONTHS, *WEEKS, TEST]}


@pytest.fixture(scope="module")
def distinct(files):
    """The same without the rows that are delivered a second time."""
    rows = pd.concat({path: files[path] for path in [*MONTHS, *WEEKS]}, names=["path"])
    kept = rows[~rows.duplicated()]
    return {path: kept.loc[path] for path in [*MONTHS, *WEEKS]} | {TEST: files[TEST]}


def test_the_generator_writes_the_committed_files_byte_for_byte(folder):
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert written == sorted([*MONTHS, *WEEKS, TEST])
    differing = [path for path in written if (folder / path).read_bytes() != read_committed(path)]
    assert differing == []


def test_the_files_are_small_utf8_text_with_plain_line_ends(folder):
    contents = [(folder / path).read_bytes() for path in [*MONTHS, *WEEKS, TEST]]
    assert sum(map(len, contents)) < 700_000
    for content in contents:
        assert content.endswith(b"\n")
        assert b"\r" not in content
        content.decode("utf-8")


def test_every_file_has_the_same_columns_and_readable_values(files):
    for path, rows in files.items():
        assert list(rows.columns) == COLUMNS, path
        assert rows[["corporation", "snapshot_date", "exited"]].notna().all(axis=None), path
        assert set(rows["exited"]) == {0, 1}, path
        assert pd.to_datetime(rows["snapshot_date"], format="%Y-%m-%d").dt.year.eq(2025).all()
        for column in NUMBERS:
            assert pd.api.types.is_numeric_dtype(rows[column]), (path, column)
            assert (rows[column].dropna() >= (0 if column == "support_tickets" else 1)).all()


def test_sizes_and_shares_are_as_promised(files, distinct):
    assert all(300 <= len(files[path]) <= 450 for path in MONTHS)
    assert all(120 <= len(files[path]) <= 200 for path in WEEKS)
    assert 750 <= len(files[TEST]) <= 850
    for paths in MONTHS, WEEKS[:CHANGE], WEEKS[CHANGE:], [TEST]:
        rows = together(distinct, paths)
        assert 0.20 <= rows["exited"].mean() <= 0.28
        assert rows["industry"].nunique() == 7
        assert rows[["industry", *NUMBERS]].isna().mean().between(0.001, 0.05).all()


def test_a_few_rows_are_delivered_twice_within_a_file_and_in_the_next(files, distinct):
    everything = together(files, [*MONTHS, *WEEKS])
    within = sum(files[path].duplicated().sum() for path in [*MONTHS, *WEEKS])
    assert 0.005 <= within / len(everything) <= 0.02
    assert 0.01 <= everything.duplicated().mean() <= 0.03
    rows = together(distinct, [*MONTHS, *WEEKS])
    assert not rows.duplicated(["corporation", "snapshot_date"]).any()


def test_each_file_adds_one_later_day(distinct):
    days = [distinct[path]["snapshot_date"].unique() for path in [*MONTHS, *WEEKS]]
    assert all(len(day) == 1 for day in days)
    assert [day[0] for day in days] == sorted({day[0] for day in days})


def test_clients_come_again_until_they_exit(distinct):
    rows = together(distinct, [*MONTHS, *WEEKS])
    reviews = rows.groupby("corporation")["exited"]
    assert reviews.size().mean() > 2
    assert (reviews.sum() <= 1).all()
    last = rows.drop_duplicates("corporation", keep="last")
    assert last["exited"].sum() == rows["exited"].sum()


def test_the_clients_of_the_test_file_are_in_no_other_file(files):
    others = together(files, [*MONTHS, *WEEKS])["corporation"]
    assert files[TEST]["corporation"].is_unique
    assert not files[TEST]["corporation"].isin(others).any()


def test_a_model_of_the_practice_data_is_good_until_the_competitor_enters(distinct):
    model = fitted(distinct, MONTHS)
    weekly = pd.Series([score(model, distinct, [path]) for path in WEEKS])
    before, after = weekly[:CHANGE], weekly[CHANGE:]
    assert 0.80 < score(model, distinct, [TEST]) < 0.86
    assert abs(before.mean() - score(model, distinct, [TEST])) < 0.03
    assert before.std() < 0.05
    assert after.mean() < 0.62
    assert after.max() < before.min()


def test_only_a_model_of_the_new_behaviour_is_good_after_the_change(distinct):
    early, late = WEEKS[CHANGE:20], WEEKS[20:]
    assert score(fitted(distinct, [*MONTHS, *WEEKS[:CHANGE]]), distinct, WEEKS[CHANGE:]) < 0.62
    assert score(fitted(distinct, early), distinct, late) > 0.77


def read_committed(path):
    return (PROJECT / path).read_bytes() if (PROJECT / path).exists() else None


def together(frames, paths):
    return pd.concat([frames[path] for path in paths])


def fitted(frames, paths):
    rows = together(frames, paths)
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    features = make_column_transformer(
        (numbers, NUMBERS), (OneHotEncoder(handle_unknown="ignore"), ["industry"])
    )
    model = make_pipeline(features, LogisticRegression(max_iter=1000))
    return model.fit(rows[[*NUMBERS, "industry"]], rows["exited"])


def score(model, frames, paths):
    rows = together(frames, paths)
    return roc_auc_score(rows["exited"], model.predict_proba(rows[[*NUMBERS, "industry"]])[:, 1])
