"""Rules that say "bad data": each fires on its own kind of bad data, and on good data hardly ever."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline import drift
from pipeline.drift import integrity

KINDS = {
    "n": "number", "d": "date", "c": "category", "label": "target", "size": "number", "price": "target number",
}  # fmt: skip


def columns(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Give good data: numbers of which 2 % are missing, dates, categories, 20 % positive, sizes, prices."""
    random = np.random.default_rng(seed)
    numbers = random.normal(50, 10, rows)
    numbers[random.random(rows) < 0.02] = np.nan
    dates = np.datetime64("2025-01-01") + random.integers(0, 365, rows)
    return {
        "n": numbers,
        "d": dates,
        "c": random.choice(["a", "b", "c"], rows),
        "label": random.choice(["no", "yes"], rows, p=[0.8, 0.2]),
        "size": np.where(random.random(rows) < 0.4, 0, random.lognormal(7, 0.7, rows)),
        "price": random.lognormal(12, 0.5, rows),
    }


KEPT = json.loads(json.dumps(drift.sketch(columns(5000, 0), KINDS)))


def wrong(**changed) -> dict[tuple[str, str | None], str]:
    """Give rule and column of what is bad about good data with other columns, and why."""
    batch = {**columns(200, 1), **changed}
    observed = drift.observe(KEPT, {name: values for name, values in batch.items() if values is not None})
    found = drift.check_integrity(KEPT, observed)
    return {(verdict.test, verdict.feature): verdict.why for verdict in found if verdict.drifted}


def test_nothing_is_wrong_with_good_data_and_every_rule_has_judged():
    found = drift.check_integrity(KEPT, drift.observe(KEPT, columns(200, 1)))
    assert not any(verdict.drifted for verdict in found)
    assert {verdict.test for verdict in found} == {
        *("too_few_rows", "missing_jumped", "infinities", "out_of_range", "constant", "new_categories"),
        *("shrunk", "one_class"),
    }
    assert all(verdict.threshold is not None for verdict in found)


GOOD = columns(200, 1)
HALF = np.arange(200) % 2 == 0
BAD: dict[tuple[str, str], dict[str, Any]] = {
    ("missing_jumped", "n"): {"n": np.where(HALF, np.nan, GOOD["n"])},
    ("missing_jumped", "c"): {"c": np.array([None, "a", None, "b"] * 50, object)},
    ("all_missing", "n"): {"n": np.full(200, np.nan)},
    ("all_missing", "d"): {"d": np.full(200, "NaT", "datetime64[D]")},
    ("new_categories", "c"): {"c": np.where(np.arange(200) < 10, "z", GOOD["c"])},
    ("out_of_range", "n"): {"n": np.where(np.arange(200) < 20, 1000 * GOOD["n"], GOOD["n"])},
    ("out_of_range", "price"): {"price": 1000 * GOOD["price"]},
    ("shrunk", "size"): {"size": GOOD["size"] / 10.76},
    ("shrunk", "price"): {"price": GOOD["price"] / 1000},
    ("constant", "n"): {"n": np.full(200, 50.0)},
    ("constant", "price"): {"price": np.full(200, 1.5e5)},
    ("constant", "c"): {"c": np.full(200, "a")},
    ("infinities", "n"): {"n": np.append(GOOD["n"][:-1], np.inf)},
    ("one_class", "label"): {"label": np.full(200, "no")},
    ("column_unusable", "n"): {"n": None},
    ("column_unusable", "d"): {"d": np.full(200, "yesterday", object)},
}


@pytest.mark.parametrize("rule", BAD, ids=lambda rule: " ".join(rule))
def test_a_rule_fires_on_its_kind_of_bad_data_and_no_other_does(rule):
    found = wrong(**BAD[rule])
    assert set(found) == {rule}
    assert found[rule].startswith(f"{rule[1]}: ")


def test_what_is_wrong_is_told_first_and_with_numbers():
    observed = drift.observe(KEPT, {**GOOD, **BAD["missing_jumped", "n"]})
    first = drift.check_integrity(KEPT, observed)[0]
    assert first.test == "missing_jumped"
    assert "of 200 cells missing (5" in first.why
    assert "was 1.6%" in first.why


def test_a_few_new_values_are_no_bad_data():
    assert wrong(c=np.append(GOOD["c"][:-1], "z")) == {}
    assert wrong(n=np.append(GOOD["n"][:-1], 500.0)) == {}
    assert wrong(n=np.where(np.arange(200) < 5, np.nan, GOOD["n"])) == {}


SMALL: dict[str, tuple[Any, Any]] = {
    "the month": (1 + np.arange(730) * 12 // 365 % 12, np.ones(600)),
    "the hour": (np.arange(5000) % 24, np.arange(60) % 3),
    "complaints, of which there are hardly any": (np.arange(5000) % 50 == 0, np.arange(200) == 0),
    "rain": (np.where(np.arange(5000) % 5, 0, np.arange(5000) % 61), np.arange(100) % 4 == 3),
    "degrees": (np.arange(5000) % 31, np.arange(-20, 20) / 20),
    "a balance": (np.arange(5000) % 901 - 100, np.arange(100)),
    "a change of another kind": (np.arange(1, 5001), np.arange(1, 1001)),
    "few rows": (np.arange(1000, 6000), np.arange(1, 20)),
}


@pytest.mark.parametrize("name", SMALL)
def test_what_is_small_at_times_is_in_no_other_unit(name):
    trained, batch = SMALL[name]
    kept = drift.sketch({"x": trained}, {"x": "number"})
    found = {
        verdict.test: verdict for verdict in drift.check_integrity(kept, drift.observe(kept, {"x": batch}))
    }
    assert "shrunk" not in found or not found["shrunk"].drifted


def test_a_smaller_unit_is_told_with_what_was_usual():
    told = wrong(size=GOOD["size"] / 1000)["shrunk", "size"]
    assert told.startswith("size: 117 of 117 numbers below 184.6, half were 1107 or more, by chance")


def test_what_numbers_to_predict_are_missing_is_no_bad_data():
    assert wrong(price=np.full(200, np.nan)) == {}
    assert wrong(price=np.where(HALF, np.nan, GOOD["price"])) == {}


def test_what_is_predicted_may_grow_further_than_features_do():
    assert wrong(price=4 * GOOD["price"]) == {}
    assert set(wrong(n=4 * GOOD["n"])) == {("out_of_range", "n")}
    few_in_cents = np.where(np.arange(200) < 20, 100 * GOOD["price"], GOOD["price"])
    assert set(wrong(price=few_in_cents)) == {("out_of_range", "price")}


def test_a_later_date_is_no_bad_data():
    assert wrong(d=GOOD["d"] + 1000) == {}


@pytest.mark.parametrize("rows", [1, 5, 19])
def test_few_rows_are_not_judged_by_what_they_have_in_common(rows):
    batch = {name: np.repeat(values[:1], rows) for name, values in columns(200, 3).items()}
    found = {verdict.test: verdict for verdict in drift.check_integrity(KEPT, drift.observe(KEPT, batch))}
    for rule in ("too_few_rows", "constant", "one_class"):
        assert (found[rule].drifted, found[rule].threshold) == (False, None)
        assert found[rule].why.startswith("no verdict: ")


def test_no_rows_at_all_are_bad_data():
    empty = {name: values[:0] for name, values in GOOD.items()}
    found = drift.check_integrity(KEPT, drift.observe(KEPT, empty))
    assert (found[0].test, found[0].drifted) == ("too_few_rows", True)
    assert drift.check_integrity(KEPT, drift.observe(KEPT, {}))[0].drifted


def test_labels_that_are_not_there_yet_are_nothing_to_judge():
    found = drift.check_integrity(KEPT, drift.observe(KEPT, {**GOOD, "label": np.full(200, None)}))
    (verdict,) = [verdict for verdict in found if verdict.test == "one_class"]
    assert verdict.threshold is None


def test_a_category_of_ids_has_new_ones_in_every_batch():
    kept = drift.sketch({"id": np.arange(150).astype(str)}, {"id": "category"})
    observed = drift.observe(kept, {"id": np.arange(1000, 1100).astype(str)})
    assert not any(verdict.drifted for verdict in drift.check_integrity(kept, observed))


@given(st.integers(1, 300), st.integers(0, 300), st.integers(1, 3000), st.integers(0, 3000))
def test_the_surprise_bounds_the_exact_hypergeometric_tail(rows, odd, before, odd_before):
    odd, odd_before = min(odd, rows), min(odd_before, before)
    exact = stats.hypergeom.sf(odd - 1, rows + before, odd + odd_before, rows)
    assert integrity.surprise(odd, rows, odd_before, before) >= exact * (1 - 1e-6)


@pytest.mark.parametrize("trained", [300, 5000])
def test_good_data_are_hardly_ever_bad(trained):
    """The bound is 5 % of decades; one year of small batches and small training data must be silent."""
    for seed in range(3):
        kept = drift.sketch(columns(trained, 10_000 + seed), KINDS)
        for tick in range(120):
            observed = drift.observe(kept, columns((20, 200, 2000)[tick % 3], 1000 * seed + tick))
            bad = [verdict.why for verdict in drift.check_integrity(kept, observed) if verdict.drifted]
            assert bad == []
