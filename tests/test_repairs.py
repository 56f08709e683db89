"""Imputation, outliers and the sample they rest on: by hand, against pandas and scipy, and by their laws."""

import hashlib
import json
import subprocess
import sys
import time
from functools import reduce
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline import repairs
from pipeline.repairs import (
    DONE,
    IMPUTATIONS,
    OUTLIERS,
    ROW,
    Imputation,
    Outliers,
    needed,
    repaired,
    sampled,
    statistics,
    uncleaned,
)

TYPES = {"age": pa.float64(), "income": pa.float64(), "region": pa.string()}


def table(**columns: list) -> pa.Table:
    """Give a table of these columns, each row with a hash of its own, as rows with an id have."""
    cells = {name: pa.array(values, TYPES[name]) for name, values in columns.items()}
    rows = enumerate(zip(*columns.values(), strict=True))
    hashes = [hashlib.blake2b(repr(row).encode(), digest_size=16).digest() for row in rows]
    return pa.table(cells | {ROW: pa.array(hashes, pa.binary(16))})


def random_table(count: int, seed: int = 0) -> pa.Table:
    """Give rows with a tenth of the cells missing and a few wild values."""
    maker = np.random.default_rng(seed)
    age, income = maker.normal(40, 12, count), maker.lognormal(8, 1, count)
    age[maker.random(count) < 0.01] *= 20
    region = maker.choice(["north", "south", "east"], count)
    hidden = maker.random((3, count)) < 0.1
    columns = {"age": age, "income": income, "region": region}
    return pa.table(
        {
            name: pa.array(values.tolist(), TYPES[name], mask=mask)
            for (name, values), mask in zip(columns.items(), hidden, strict=True)
        }
        | {ROW: pa.array([maker.bytes(16) for _ in range(count)], pa.binary(16))}
    )


def repair(rows: pa.Table, imputation=None, outliers=None, known: pa.Table | None = None) -> repairs.Repaired:
    """Repair rows with the statistics of `known`, or of themselves, on their way through JSON."""
    imputation, outliers = imputation or {}, outliers or {}
    sample = sampled(None, rows if known is None else known, needed(imputation, outliers))
    found = json.loads(json.dumps(statistics(sample, imputation, outliers), allow_nan=False))
    return repaired(rows, found, imputation, outliers)


def impute(values: list, how: str, name: str = "age"):
    """Give what is imputed where these are known."""
    rule = {name: Imputation(how)}
    return statistics(sampled(None, table(**{name: values}), [name]), rule, {})["impute"][name]["value"]


def limits(values: list[float], how: str, **options) -> tuple:
    """Give the lower and upper limit."""
    return OUTLIERS[how](pa.array(values, pa.float64()), Outliers(how, **options))


def done(result: repairs.Repaired) -> list:
    """Give what was done to each row."""
    return [text and json.loads(text) for text in result.rows[DONE].to_pylist()]


# --------------------------------------------------------------------------------------------------------- the sample
def brute_force(rows: pa.Table, most: int) -> list[bytes]:
    """Give the smallest distinct hashes by Python's own order of bytes."""
    return sorted(set(rows[ROW].to_pylist()))[:most]


close_hashes = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=1, max_size=1).map(lambda last: b"\x80" * 15 + last),  # alike but for the second half
    st.sampled_from([b"\x7f", b"\x80", b"\xff"]).map(
        lambda first: first + b"\0" * 15
    ),  # a signed word would turn
)


@given(
    hashes=st.lists(close_hashes, max_size=30),
    repeats=st.lists(st.integers(0, 29), max_size=10),
    order=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    most=st.integers(1, 12),
)
def test_the_sample_is_the_same_in_any_order_split_and_repetition(hashes, repeats, order, cuts, most):
    drawn = hashes + [hashes[place % len(hashes)] for place in repeats if hashes]
    order.shuffle(drawn)
    ages = [float(int.from_bytes(one) % 1000) for one in drawn]
    rows = pa.table({ROW: pa.array(drawn, pa.binary(16)), "age": pa.array(ages, pa.float64())})
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [rows.slice(start, end - start) for start, end in pairwise(edges)]
    sample = reduce(lambda sample, part: sampled(sample, part, ["age"], most), parts, None)
    assert sample[ROW].to_pylist() == brute_force(rows, most)
    assert sample["age"].to_pylist() == [float(int.from_bytes(one) % 1000) for one in brute_force(rows, most)]
    samples = [sampled(None, part, ["age"], most) for part in parts]
    merged = reduce(lambda sample, part: sampled(sample, part, ["age"], most), samples, None)
    assert merged.equals(sample)


def test_with_fewer_rows_the_sample_is_all_of_them_with_these_columns_only():
    rows = random_table(500)
    sample = sampled(None, rows, ["region", "age"], most=500)
    assert sample.column_names == [ROW, "region", "age"]
    assert sample.equals(rows.sort_by(ROW).select([ROW, "region", "age"]))


def test_a_larger_table_in_one_piece_and_in_several_chunks_gives_the_same_sample():
    rows = random_table(5_000)
    chunks = pa.concat_tables([rows.slice(start, 700) for start in range(0, 5_000, 700)])
    assert chunks[ROW].num_chunks > 1
    assert sampled(None, chunks, ["age"], 300).equals(sampled(None, rows, ["age"], 300))
    assert sampled(None, rows, [], 300)[ROW].to_pylist() == brute_force(rows, 300)


def test_rows_already_in_the_sample_and_rows_above_it_give_the_very_same_sample():
    rows = random_table(400)
    full, half = sampled(None, rows, ["age"], 100), sampled(None, rows, ["age"], 1_000)
    above = rows.filter(pa.compute.greater(rows[ROW].cast(pa.binary()), full[ROW][99].as_py()))
    assert len(above) == 300
    for sample, again, most in (
        (full, rows, 100),
        (full, above, 100),
        (half, rows, 1_000),
        (full, rows[:0], 100),
    ):
        assert sampled(sample, again, ["age"], most) is sample


def test_hashes_alike_in_the_first_half_are_told_apart_by_the_second():
    def rows(*lasts):
        return pa.table({ROW: pa.array([b"\x80" * 15 + bytes([last]) for last in lasts], pa.binary(16))})

    sample = sampled(None, rows(7, 3, 9, 5), [], 2)
    assert sample.equals(rows(3, 5))
    assert sampled(sample, rows(4, 6), [], 2).equals(rows(3, 4))


def test_a_smaller_sample_is_cut_from_a_larger_one_and_may_have_fewer_columns():
    rows = random_table(400)
    large = sampled(None, rows, ["age", "region"], 200)
    assert sampled(large, rows[:0], ["age"], 50).equals(sampled(None, rows, ["age"], 50))


def test_the_sample_is_uniform_for_hashes_that_are():
    rows = table(age=[float(age) for age in range(20_000)])
    ages = sampled(None, rows, ["age"], 2_000)["age"].to_numpy()
    assert stats.kstest(ages, "uniform", (0, 20_000)).pvalue > 0.001


def test_looking_through_rows_costs_next_to_nothing_once_the_sample_is_full():
    maker = np.random.default_rng(1)
    data = maker.bytes(16 * 300_000)
    hashes = pa.Array.from_buffers(pa.binary(16), 300_000, [None, pa.py_buffer(data)])
    rows = pa.table({ROW: hashes, "age": maker.normal(size=300_000)})
    sample = sampled(None, rows, ["age"], 1_000)
    started = time.process_time()
    for _ in range(10):
        sampled(sample, rows, ["age"], 1_000)
    assert (
        time.process_time() - started
    ) / 10 < 0.03  # 3 ms on the machine it was written on; sorting them takes 60


def test_needed_are_the_columns_with_a_rule_and_their_groups():
    imputation = {"age": Imputation("mean", by="region"), "income": Imputation("none", by="town")}
    assert needed(imputation, {"age": Outliers("iqr"), "tenure": Outliers("zscore"), "x": Outliers()}) == [
        "age",
        "tenure",
        "region",
    ]
    assert needed({}, {}) == []


# ----------------------------------------------------------------------------------------------------- the statistics
@pytest.mark.parametrize(
    ("how", "values", "expected"),
    [
        ("mean", [1, 2, None, 6], 3),
        ("median", [9, None, 1, 2], 2),
        ("median", [1, 2, 4, 9], 3),
        ("mode", [7, 5, 7, 5, 1, None, None, None], 5),  # as many 7 as 5: the smallest
        ("mode", [-0.0, 0.0, -1], 0),  # one number in two spellings
        ("mean", [0.1, 0.1, 0.1], 0.1),  # the sum rounds up
        ("mean", [1.7e308, 1.7e308], 1.7e308),
        ("median", [1.7e308, 1.7e308], 1.7e308),
        ("median", [-1.7e308, 1.7e308], 0),
    ],
)
def test_a_value_to_impute_by_hand(how, values, expected):
    assert impute(values, how) == expected


def test_the_mode_of_text_is_the_first_of_the_most_frequent_in_the_order_of_text():
    assert impute(["south", "north", "south", "north", "west", None, None, None], "mode", "region") == "north"
    assert impute(["ä", "Z", "ä", "Z"], "mode", "region") == "Z"


@pytest.mark.parametrize("how", ["mean", "median", "mode"])
def test_where_nothing_is_known_nothing_is_imputed(how):
    for values in ([], [None, None]):
        assert impute(values, how) is None
    result = repair(table(age=[None, None]), {"age": Imputation(how)})
    assert (result.rows["age"].to_pylist(), result.imputed, done(result)) == ([None, None], 0, [None, None])


@pytest.mark.parametrize("how", ["mean", "median", "mode"])
@pytest.mark.parametrize("by", [None, "region"])
def test_values_to_impute_are_those_of_pandas(how, by):
    rows = random_table(2_000)
    rounded = pa.compute.round(rows["age"])  # or there is no mode
    rows = rows.set_column(0, "age", rounded)
    frame = rows.to_pandas()
    same = {"mode": lambda values: values.mode().min()}.get(how, how)
    found = statistics(sampled(None, rows, ["age", "region"]), {"age": Imputation(how, by=by)}, {})["impute"][
        "age"
    ]
    assert found["value"] == pytest.approx(frame["age"].agg(same))
    assert found["by"] == (pytest.approx(frame.groupby("region")["age"].agg(same).to_dict()) if by else {})
    assert list(found["by"]) == sorted(found["by"])


def test_limits_are_those_of_scipy_and_pandas():
    values = random_table(2_000)["income"].drop_null().to_pylist()
    frame = pd.Series(values)
    first, third = frame.quantile(0.25), frame.quantile(0.75)
    spread = stats.iqr(values)
    assert limits(values, "iqr") == pytest.approx((first - 1.5 * spread, third + 1.5 * spread))
    assert limits(values, "iqr", factor=3.0) == pytest.approx((first - 3 * spread, third + 3 * spread))
    low, high = limits(values, "zscore", factor=2.5)
    assert ((np.array([low, high]) - frame.mean()) / frame.std()).tolist() == pytest.approx([-2.5, 2.5])
    assert limits(values, "zscore") == pytest.approx(
        (frame.mean() - 3 * frame.std(), frame.mean() + 3 * frame.std())
    )


def test_limits_by_hand():
    values = [*range(20), 900]  # quartiles 5 and 15
    assert limits(values, "iqr") == (-10, 30)
    assert limits(values, "iqr", factor=0) == (5, 15)
    assert limits([], "limits", low=0.0) == (0.0, None)
    assert limits(values, "none") == (None, None)


@pytest.mark.parametrize("how", ["iqr", "zscore"])
@pytest.mark.parametrize(
    "values",
    [
        [],
        [float(value) for value in range(repairs.MIN_ROWS - 1)],
        [5.0] * 30,
        [0.1] * 30,  # its standard deviation rounds to 1e-17
        [-1.7e308, 1.7e308] * 15,  # no float is beyond
    ],
    ids=["none", "too few", "all alike", "alike in tenths", "enormous"],
)
def test_without_a_spread_to_speak_of_there_are_no_limits(how, values):
    assert limits(values, how) == (None, None)
    assert limits([float(value) for value in range(repairs.MIN_ROWS)], how) != (None, None)


def test_a_quiet_middle_half_is_no_reason_to_call_all_others_outliers():
    assert limits([0.0] * 80 + [1.0, 2.0] * 5, "iqr") == (None, None)


def test_infinite_limits_are_none_on_their_side_only():
    low, high = limits([0.0] * 15 + [1.5e308] * 15, "iqr", factor=0.5)
    assert (low, high) == (-0.75e308, None)


def test_statistics_are_of_the_sample_and_tell_its_rows():
    rows = table(age=[1.0, 2.0, 6.0, None], region=["a", "b", "b", "c"])
    imputation = {
        "age": Imputation("mean", by="region"),
        "region": Imputation("constant", "a"),
        "x": Imputation(),
    }
    outliers = {"age": Outliers("limits", low=0.0, high=5.0)}
    assert statistics(sampled(None, rows, needed(imputation, outliers)), imputation, outliers) == {
        "rows": 4,
        "impute": {"age": {"value": 3.0, "by": {"a": 1.0, "b": 4.0}}, "region": {"value": "a", "by": {}}},
        "limits": {"age": {"low": 0.0, "high": 5.0}},
    }


# -------------------------------------------------------------------------------------------------------- the repairs
KNOWN = [float(age) for age in range(20)] + [900.0]  # limits -10 and 30, median 10


def test_outliers_are_clipped_and_missing_cells_imputed():
    rows = table(age=[12.0, None, 900.0, -11.5], region=["a", None, "b", "b"])
    result = repair(
        rows,
        {"age": Imputation("median"), "region": Imputation("constant", "x")},
        {"age": Outliers("iqr")},
        known=table(age=KNOWN, region=["a"] * 21),
    )
    assert result.rows["age"].to_pylist() == [12.0, 10.0, 30.0, -10.0]
    assert result.rows["region"].to_pylist() == ["a", "x", "b", "b"]
    assert result.rows[ROW].equals(rows[ROW])
    assert result.rows.schema == rows.schema.append(pa.field(DONE, pa.string()))
    assert result.dropped.to_pylist() == [False] * 4
    assert (result.imputed, result.outliers) == (2, 2)
    assert done(result) == [
        None,
        {"age": {"was": None, "how": "median of 21 rows"}, "region": {"was": None, "how": "constant"}},
        {"age": {"was": 900.0, "how": "clipped to 30, Q3 + 1.5 IQR of 21 rows"}},
        {"age": {"was": -11.5, "how": "clipped to -10, Q1 - 1.5 IQR of 21 rows"}},
    ]
    assert list(done(result)[1]) == ["age", "region"]


def test_a_dropped_row_stays_as_it_came_and_says_why():
    rows = table(age=[12.0, 900.0, -11.5, 10.0], income=[1.0, None, -5.0, -5.0], region=["a", "b", "b", "b"])
    result = repair(
        rows,
        {"income": Imputation("constant", 0.0)},
        {"income": Outliers("limits", low=-1.0), "age": Outliers("limits", "drop", low=-10.0, high=30.0)},
    )
    assert result.dropped.to_pylist() == [False, True, True, False]
    assert result.rows["income"].to_pylist() == [1.0, None, -5.0, -1.0]
    assert (result.imputed, result.outliers) == (0, 3)
    assert done(result) == [
        None,
        {"dropped": "age", "how": "900 is above 30, the limit in the config"},
        {"dropped": "age", "how": "-11.5 is below -10, the limit in the config"},
        {"income": {"was": -5.0, "how": "clipped to -1, the limit in the config"}},
    ]


def test_what_was_done_is_told_in_the_order_of_the_columns():
    rows = table(age=[None], income=[9.0], region=[None])
    rules = {"region": Imputation("constant", "x"), "age": Imputation("constant", 1.0)}
    result = repair(rows, rules, {"income": Outliers("limits", high=5.0)})
    assert list(done(result)[0]) == ["age", "income", "region"]


def test_a_row_with_two_reasons_to_be_dropped_tells_the_first_and_counts_once():
    rule = Outliers("limits", "drop", high=1.0)
    result = repair(table(age=[2.0], income=[3.0]), {}, {"income": rule, "age": rule})
    assert (done(result)[0]["dropped"], result.outliers) == ("age", 1)


def test_whole_numbers_in_the_rules_are_numbers_too():
    rules = {"age": Imputation("constant", 0)}, {"age": Outliers("limits", low=1, high=5)}
    assert repair(table(age=[None, -2.5, 6.0]), *rules).rows["age"].to_pylist() == [0.0, 1.0, 5.0]


def test_limits_themselves_are_not_beyond():
    result = repair(table(age=[0.0, 5.0]), {}, {"age": Outliers("limits", "drop", low=0.0, high=5.0)})
    assert (result.outliers, done(result)) == (0, [None, None])


def test_a_group_has_its_own_value_and_unseen_missing_and_unknown_ones_have_that_of_all():
    known = table(age=[1.0, 3.0, 8.0, None], region=["north", "north", "south", "east"])
    rows = table(age=[None] * 5, region=["north", "south", "east", "west", None])
    rules = {"age": Imputation("mean", by="region"), "region": Imputation("constant", "north")}
    result = repair(rows, rules, known=known)
    assert result.rows["age"].to_pylist() == [2.0, 8.0, 4.0, 4.0, 4.0]  # the last came without a region
    hows = [note["age"]["how"] for note in done(result)]
    assert hows[:3] == [
        "mean of 4 rows, where region is north",
        "mean of 4 rows, where region is south",
        "mean of 4 rows",
    ]


def test_names_and_groups_that_need_quoting_come_back_from_the_note():
    name = 'a "quoted"\\ näme\n'
    rows = table(age=[None, 9.0], region=['"x"\n', "ü\\"]).rename_columns([name, "region", ROW])
    known = table(age=[1.0, 2.0], region=['"x"\n', "ü\\"]).rename_columns([name, "region", ROW])
    result = repair(
        rows, {name: Imputation("mean", by="region")}, {name: Outliers("limits", high=5.0)}, known
    )
    assert done(result)[0][name] == {"was": None, "how": 'mean of 2 rows, where region is "x"\n'}
    assert uncleaned(result.rows).equals(rows)


@pytest.mark.parametrize("name", ["dropped", "how", "was"])
def test_columns_may_be_called_as_the_words_of_a_note(name):
    rows = table(age=[None, 9.0, 3.0], income=[1.0, 9.0, None]).rename_columns([name, "income", ROW])
    result = repair(
        rows,
        {name: Imputation("constant", 2.0)},
        {name: Outliers("limits", high=5.0), "income": Outliers("limits", "drop", high=5.0)},
    )
    assert result.rows[name].to_pylist() == [2.0, 9.0, 3.0]
    assert uncleaned(result.rows).equals(rows)


@pytest.mark.parametrize("then", ["clip", "drop"])
@pytest.mark.parametrize("how", [how for how in OUTLIERS if how != "none"])
def test_on_random_rows_every_observed_value_ends_within_its_limits(how, then):
    rows = random_table(3_000)
    rule = Outliers(how, then, low=10.0, high=80.0)
    result = repair(rows, {"age": Imputation("median", by="region")}, {"age": rule})
    before, after = rows["age"].to_pandas(), result.rows["age"].to_pandas()
    low, high = OUTLIERS[how](rows["age"].drop_null().combine_chunks(), rule)
    beyond = (before < low) | (before > high)
    assert 0 < beyond.sum() == result.outliers
    kept = ~result.dropped.to_pandas()
    assert kept.tolist() == (~beyond | (then == "clip")).tolist()
    expected = before.clip(low, high) if then == "clip" else before
    assert after[kept & before.notna()].tolist() == expected[kept & before.notna()].tolist()
    assert after.notna().all()
    assert result.imputed == before.isna().sum()
    medians = rows.to_pandas().groupby("region")["age"].median()
    filled = rows["region"].to_pandas().map(medians).fillna(before.median())[before.isna()]
    assert after[before.isna()].tolist() == pytest.approx(filled.tolist())


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-20, 20) | st.none()
imputations = st.builds(
    Imputation, st.sampled_from(sorted(IMPUTATIONS)), st.floats(-9, 9), st.sampled_from([None, "region"])
)
tests = st.builds(
    Outliers,
    st.sampled_from(sorted(OUTLIERS)),
    st.sampled_from(["clip", "drop"]),
    st.none() | st.floats(0, 4),
    st.none() | st.floats(-10, 0),
    st.none() | st.floats(0, 10),
)


@given(
    cells=st.lists(st.tuples(numbers, numbers, st.sampled_from(["a", "b", None])), max_size=40),
    known=st.integers(0, 40),
    imputation=st.fixed_dictionaries({"age": imputations, "income": imputations}),
    text=st.sampled_from([Imputation("mode", by="region"), Imputation("mode"), Imputation("constant", "x")]),
    outliers=st.fixed_dictionaries({"age": tests, "income": tests}),
)
@settings(max_examples=200)
def test_the_rows_as_they_came_can_be_had_back(cells, known, imputation, text, outliers):
    age, income, region = zip(*cells, strict=True) if cells else ([], [], [])
    rows = table(age=list(age), income=list(income), region=list(region))
    imputation = {**imputation, "region": text}
    result = repair(rows, imputation, outliers, rows[:known])
    back = uncleaned(result.rows)
    assert back.equals(rows)
    assert [str(cell) for cell in back["age"].to_pylist()] == [
        str(cell) for cell in rows["age"].to_pylist()
    ]  # -0.0
    changed = [
        one != other for one, other in zip(rows.to_pylist(), result.rows.drop(DONE).to_pylist(), strict=True)
    ]
    told = [note is not None and "dropped" not in note for note in done(result)]
    assert changed == told
    cells_told = [cell for note in done(result) if note and "dropped" not in note for cell in note.values()]
    assert result.imputed == sum(cell["was"] is None for cell in cells_told)
    assert result.outliers == len(cells_told) - result.imputed + sum(result.dropped.to_pylist())
    for name in ("age", "income"):
        assert np.isfinite(result.rows[name].drop_null().to_numpy()).all()


@given(cells=st.lists(st.tuples(st.floats(-5, 5), st.text(max_size=3)), max_size=30), data=st.data())
def test_rows_with_nothing_missing_and_nothing_far_out_stay_as_they_are(cells, data):
    rows = table(age=[age for age, _ in cells], region=[region for _, region in cells])
    how = data.draw(st.sampled_from(["limits", "none"]))
    rules = {"age": data.draw(imputations), "region": Imputation("mode")}
    result = repair(rows, rules, {"age": Outliers(how, "drop", low=-5.0, high=5.0)})
    assert result.rows.drop(DONE).equals(rows)
    assert result.rows[DONE].null_count == len(rows)
    assert result.rows[DONE].type == pa.string()
    assert (result.imputed, result.outliers, sum(result.dropped.to_pylist())) == (0, 0, 0)


@given(order=st.permutations(range(30)))
@settings(max_examples=20)
def test_what_becomes_of_a_row_does_not_depend_on_its_neighbours(order):
    rows = random_table(30, seed=3)
    rules = {"age": Imputation("mean", by="region")}, {"age": Outliers("limits", "drop", low=30.0, high=60.0)}
    found = statistics(sampled(None, rows, needed(*rules)), *rules)
    whole = repaired(rows, found, *rules).rows
    shuffled = repaired(rows.take(order), found, *rules).rows
    assert shuffled.equals(whole.take(order))
    alone = pa.concat_tables([repaired(rows[place : place + 1], found, *rules).rows for place in range(30)])
    assert alone.equals(whole)


def test_rows_in_chunks_are_repaired_as_one():
    rows = random_table(300)
    chunks = pa.concat_tables([rows[:100], rows[100:250], rows[250:]])
    rules = {"age": Imputation("mean", by="region")}, {"income": Outliers("iqr")}
    assert repair(chunks, *rules).rows.equals(repair(rows, *rules).rows)
    assert uncleaned(repair(chunks, *rules).rows).equals(rows)


# --------------------------------------------------------------------------------------------- asked of every member
@pytest.mark.parametrize(
    "function", [*IMPUTATIONS.values(), *OUTLIERS.values()], ids=lambda one: one.__name__
)
def test_every_member_says_what_it_gives(function):
    assert function.__doc__
    assert function.__doc__.endswith(".")


@pytest.mark.parametrize("how", [how for how in OUTLIERS if how != "none"])
def test_every_limit_has_its_words(how):
    low, high = repairs.LIMITS_IN_WORDS[how]
    assert "{" not in low.format(factor="1", rows="2") + high.format(factor="1", rows="2")


@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50), data=st.data()
)
@pytest.mark.parametrize("how", ["mean", "median", "mode"])
def test_an_imputed_value_is_among_the_known_and_does_not_depend_on_their_order(how, values, data):
    value = IMPUTATIONS[how](pa.array(values), Imputation(how))
    assert min(values) <= value <= max(values)
    turned = IMPUTATIONS[how](pa.array(data.draw(st.permutations(values))), Imputation(how))
    assert turned == pytest.approx(value, rel=1e-9, abs=1e-9 * max(map(abs, values)))


def test_neither_pandas_nor_scipy_is_needed():
    work = """if True:
        import sys
        class Absent:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name in ("pandas", "scipy", "sklearn"):
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Absent)
        import pyarrow as pa
        from pipeline import repairs
        from pipeline.repairs import Imputation, Outliers
        ages = pa.array([float(age) for age in range(20)] + [900.0, None])
        rows = pa.table({"_row": pa.array([bytes([byte] * 16) for byte in range(22)], pa.binary(16)), "age": ages})
        rules = {"age": Imputation("median")}, {"age": Outliers("iqr")}
        found = repairs.statistics(repairs.sampled(None, rows, ["age"]), *rules)
        result = repairs.repaired(rows, found, *rules)
        print(result.imputed, result.outliers, repairs.uncleaned(result.rows).equals(rows))
    """
    root = Path(repairs.__file__).parents[1]
    shown = subprocess.run([sys.executable, "-c", work], cwd=root, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["1", "1", "True"]
