"""What files found good teach the rules on bad data: what creeps becomes usual, what jumps does not."""

import json

import numpy as np
import pytest

from pipeline import drift

KINDS = {"t": "number", "c": "category", "holiday": "number"}
ROWS = 48  # of a file: two days, hour by hour


def days(first: int, number: int = 2, **changed) -> dict[str, np.ndarray]:
    """Give days of the year, hour by hour: degrees that climb to summer, the product sold, a mark of holidays."""
    hours = np.arange(24 * first, 24 * (first + number))
    random = np.random.default_rng(first)
    degrees = -10 * np.cos(hours / 24 / 365 * 2 * np.pi) + random.normal(0, 2, len(hours))
    product = np.array([f"model {hour // (24 * 40)}" for hour in hours])
    weekend = (hours // 24 % 7 >= 5).astype(float)
    return {"t": degrees, "c": product, "holiday": weekend, **changed}


def climbing(day: int) -> dict[str, np.ndarray]:
    """Give two days of which only the degrees differ from the first month's."""
    return days(day, c=np.full(ROWS, "model 0"))


def files(*found: dict[str, np.ndarray]) -> list[set[tuple[str, str | None]]]:
    """Give what rules fire on each file after a first month, if files on which none does are taken for good."""
    kept = json.loads(json.dumps(drift.sketch(days(0, 30), KINDS)))
    usual: dict[str, dict] = {}
    fired: list[set[tuple[str, str | None]]] = []
    for file in found:
        expected = drift.widened(kept, usual)
        observed = drift.observe(expected, file)
        fired.append(
            {(one.test, one.feature) for one in drift.check_integrity(expected, observed) if one.drifted}
        )
        if not fired[-1]:
            usual = json.loads(json.dumps(drift.taken_in(usual, expected, observed, fired[-1])))
    return fired


def test_what_creeps_is_never_bad_data():
    assert set().union(*files(*[climbing(day) for day in range(30, 180, 2)])) == set()


def test_beside_the_first_month_alone_it_would_be():
    assert files(climbing(170)) == [{("out_of_range", "t")}]


def test_a_jump_is_bad_data_however_far_numbers_crept():
    climbed, broken = [climbing(day) for day in range(30, 170, 2)], climbing(170)
    assert files(*climbed, {**broken, "t": 100 * broken["t"]})[-1] == {("out_of_range", "t")}


def test_a_jump_that_is_found_good_is_usual_from_then_on():
    kept = drift.sketch(days(0, 30), KINDS)
    hot = days(30, t=days(30)["t"] * 50)
    observed = drift.observe(kept, hot)
    fired = {(one.test, one.feature) for one in drift.check_integrity(kept, observed) if one.drifted}
    assert fired == {("out_of_range", "t")}
    wider = drift.widened(kept, drift.taken_in({}, kept, observed, fired))
    again = drift.check_integrity(wider, drift.observe(wider, hot))
    assert not any(one.drifted for one in again)


def test_new_categories_are_bad_data_until_a_file_with_them_was_found_good():
    kept = drift.sketch(days(0, 30), KINDS)
    new = days(30, c=np.full(ROWS, "model 9"))
    observed = drift.observe(kept, new)
    wider = drift.widened(kept, drift.taken_in({}, kept, observed, {("new_categories", "c")}))
    found = [
        {one.test for one in drift.check_integrity(sketch, drift.observe(sketch, new)) if one.drifted}
        for sketch in (kept, wider)
    ]
    assert found == [{"new_categories"}, set()]


def test_few_rows_and_few_strange_ones_teach_nothing():
    kept = drift.sketch(days(0, 30), KINDS)
    few = days(30, t=np.full(5, 500.0), c=np.full(5, "model 9"), holiday=np.ones(5))
    assert drift.taken_in({}, kept, drift.observe(kept, few), set()) == {}
    one_typo = days(30, number=10)
    one_typo["t"][7] = 1e6
    assert drift.taken_in({}, kept, drift.observe(kept, one_typo), set())["t"]["high"] < 100


@pytest.mark.parametrize(("hours", "bad"), [(24, False), (96, False), (120, True)])
def test_a_feature_with_one_value_is_bad_data_unless_it_had_one_for_half_as_long(hours, bad):
    """In the first month a weekend, 48 hours, is what lasts longest with 1."""
    one = days(30, number=hours // 24, holiday=np.ones(hours))
    assert (("constant", "holiday") in files(one)[0]) == bad


def test_one_that_often_has_one_value_is_told_so():
    kept = drift.sketch(days(0, 30), KINDS)
    found = drift.check_integrity(kept, drift.observe(kept, days(30, holiday=np.ones(ROWS))))
    why = next(one.why for one in found if (one.test, one.feature) == ("constant", "holiday"))
    assert why == "holiday: all values are the same, as 48 in a row were before"


def test_that_another_value_lasted_long_is_no_excuse_for_one_that_never_did():
    flag = np.random.default_rng(0).random(10_000) < 0.01
    kept = drift.sketch({"x": flag.astype(float)}, {"x": "number"})
    assert 2 * max(kept["columns"]["x"]["alike"].values()) >= 200
    found = drift.check_integrity(kept, drift.observe(kept, {"x": np.ones(200)}))
    assert ("constant", True) in {(one.test, one.drifted) for one in found}


def test_what_is_missing_for_long_is_no_value_that_lasts():
    texts = np.array([None] * 1000 + [*"abcd"] * 500, object)
    kept = drift.sketch({"x": texts}, {"x": "category"})
    assert kept["columns"]["x"]["alike"] == {}


def one_column(kind: str, first: np.ndarray, *later: np.ndarray) -> list[set[str]]:
    """Give what rules fire on each later file of one column, if each is found good whatever fires."""
    kept, fired = drift.sketch({"x": first}, {"x": kind}), []
    usual: drift.Usual = {}
    for file in later:
        expected = drift.widened(kept, usual)
        observed = drift.observe(expected, {"x": file})
        fired.append({one.test for one in drift.check_integrity(expected, observed) if one.drifted})
        usual = json.loads(json.dumps(drift.taken_in(usual, expected, observed, []), allow_nan=False))
    return fired


def test_a_new_category_that_goes_on_to_come_isn_t_forgotten_for_ones_that_came_once():
    first = np.array([*"abc"] * 100, object)
    later = [np.array([*"abcd"] * 20 + [f"typo {number}"], object) for number in range(120)]
    assert one_column("category", first, *later)[1:] == [set()] * 119


def test_where_rare_categories_are_not_known_none_is_remembered_and_one_may_come_alone():
    first = np.array([f"cust {number % 3000}" for number in range(20_000)], object)
    few = np.array([f"cust {number}" for number in range(2900, 2950)], object)
    assert one_column("category", first, few, np.full(40, "cust 2910", object))[1] == set()


def test_one_strange_number_in_each_small_file_makes_no_range_wider():
    first = np.random.default_rng(0).normal(50, 10, 1000)
    later = [np.append(np.random.default_rng(seed).normal(50, 10, 47), 99_999) for seed in range(60)]
    assert one_column("number", first, *later, 100 * later[0][:47])[-1] == {"out_of_range"}


def test_what_was_usual_of_another_kind_of_column_is_not_usual():
    dates = np.datetime64("2025-01-01") + np.arange(300)
    kept = drift.sketch({"x": dates}, {"x": "date"})
    usual = drift.taken_in({}, kept, drift.observe(kept, {"x": dates}), [])
    numbers = drift.sketch({"x": np.arange(300.0)}, {"x": "number"})
    assert drift.widened(numbers, usual) == numbers


def test_infinities_leave_a_state_that_json_can_hold():
    assert one_column("number", np.arange(100.0), np.append(np.full(99, np.inf), 1.0))


def test_rows_in_no_order_have_no_value_for_long():
    shuffled = np.random.default_rng(0).permutation(720)
    month = {name: values[shuffled] for name, values in days(0, 30).items()}
    kept = drift.sketch(month, KINDS)
    found = drift.check_integrity(kept, drift.observe(kept, days(30, holiday=np.ones(ROWS))))
    assert ("constant", "holiday") in {(one.test, one.feature) for one in found if one.drifted}


ALIKE = {
    "the same": lambda t: t,
    "twice": lambda t: 2 * t,
    "half": lambda t: t / 2,
    "somewhat higher": lambda t: t + 50,
}
OTHERS = {
    "far more": lambda t: 100 * t,
    "far less": lambda t: t / 100,
    "below": lambda t: -t,
    "far away": lambda t: t + 1e6,
}


@pytest.mark.parametrize("change", [*ALIKE, *OTHERS])
def test_what_reaches_many_times_as_far_is_another_range(change):
    kept = drift.sketch(days(0, 30), KINDS)
    high = days(30, t=days(30)["t"] + 500)["t"]
    one, other = (
        drift.how_far(kept, drift.observe(kept, days(30, t=t)))["t"]
        for t in (high, (ALIKE | OTHERS)[change](high))
    )
    assert drift.another_range(one, other) is drift.another_range(other, one) is (change in OTHERS)


def test_of_few_numbers_it_is_not_said_how_far_they_reach():
    kept = drift.sketch(days(0, 30), KINDS)
    few = {name: values[:15] for name, values in days(30).items()}
    assert drift.how_far(kept, drift.observe(kept, few)) == {}
