"""Facts in words: what a person reads in a terminal and on the report."""

import pytest

from pipeline import metrics, words


@pytest.mark.parametrize("name", metrics.METRICS)
def test_every_metric_has_a_name_and_a_meaning_for_people(name):
    assert name in words.METRICS
    assert words.metric_name(name)
    assert words.metric_meaning(name)


def test_no_metric_is_explained_that_does_not_exist():
    assert set(words.METRICS) == set(metrics.METRICS)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (2.5, "2.5"),
        (0.123456, "0.1235"),
        (4539.4, "4,539"),
        (1e7, "10,000,000"),
    ],
)
def test_a_number_shows_the_digits_that_count(value, told):
    assert words.number(value) == told


@pytest.mark.parametrize(
    ("value", "told"), [(None, "–"), (0.87, "0.870"), (-0.5, "-0.500"), (48213.7, "48,214")]
)
def test_scores_stand_in_line(value, told):
    assert words.figure(value) == told


@pytest.mark.parametrize(
    ("metric", "low", "chance"),
    [
        ("roc_auc", 0.5, True),
        ("roc_auc", 0.501, False),
        ("roc_auc", None, False),
        ("f1", 0.1, False),
        ("r2", -0.1, True),
    ],
)
def test_a_score_that_may_be_chance_is_told_as_that(metric, low, chance):
    facts = {"metric": metric, "value": 0.55, "low": low, "high": 0.6}
    assert words.by_chance(facts) is chance
    assert words.score(facts).endswith(", not surely better than chance") is chance


def test_a_command_in_a_paragraph_stands_on_one_line():
    told = words.paragraph("Inputs", "so it is " * 12 + "`scoring.py --accept 17` " + "and so on " * 9)
    assert any("`scoring.py --accept 17`" in line for line in told.splitlines())


@pytest.mark.parametrize(
    ("share", "told"),
    [(None, "–"), (0, "0 %"), (0.0004, "< 0.1 %"), (0.018, "1.8 %"), (0.63, "63 %"), (1, "100 %")],
)
def test_a_share_that_is_tiny_is_not_told_as_none(share, told):
    assert words.percent(share) == told


@pytest.mark.parametrize(
    ("count", "noun", "told"),
    [(1, "file", "1 file"), (0, "row", "0 rows"), (2, "batch", "2 batches"), (1203, "row", "1,203 rows")],
)
def test_nouns_agree_with_their_number(count, noun, told):
    assert words.counted(count, noun) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.04, "0.04 s"), (3.0, "3 s"), (3.24, "3.2 s"), (12.4, "12 s"), (125, "2 min 5 s")]
)
def test_a_duration_is_told_as_a_person_would(seconds, told):
    assert words.duration(seconds) == told


def test_a_long_list_is_cut_and_the_rest_counted():
    assert words.listed(["a", "b", "c"]) == "a, b, c"
    assert words.listed(["a", "b", "c", "d", "e"]) == "a, b and 3 more"


def test_text_that_is_too_long_ends_in_an_ellipsis():
    assert words.clipped("short", 5) == "short"
    assert words.clipped("too long", 5) == "too…"


def test_a_paragraph_hangs_behind_its_label():
    lines = words.paragraph("Why", "word " * 60).splitlines()
    assert lines[0].startswith("  Why       word")
    assert all(line.startswith(" " * 12 + "word") for line in lines[1:])
    assert max(map(len, lines)) <= words.WIDTH


def verdicts(*drifted: bool | None) -> list[dict]:
    """Give verdicts of as many tests; None could not judge."""
    return [
        {
            "test": f"test{at}",
            "threshold": None if one is None else 0.8,
            "drifted": bool(one),
            "why": "no verdict: 2 of 5 earlier scores" if one is None else f"reason {at}",
        }
        for at, one in enumerate(drifted)
    ]


def test_drift_says_yes_with_the_reasons_of_the_tests_that_found_it():
    newest = {
        "release": "r",
        "name": "a.csv",
        "judged": True,
        "drifted": True,
        "verdicts": verdicts(True, False, True),
    }
    assert words.drift({"release": "r"}, newest) == (
        "yes: 2 of 3 tests found it in a.csv: test0: reason 0; test2: reason 2"
    )


def test_one_test_alone_is_told_but_is_no_drift():
    newest = {
        "release": "r",
        "name": "a.csv",
        "judged": True,
        "drifted": False,
        "verdicts": verdicts(True, False),
    }
    assert words.drift({"release": "r"}, newest) == "none: 1 of 2 tests found it in a.csv"


def test_too_few_scores_are_not_told_as_no_drift():
    newest = {"release": "r", "name": "a.csv", "judged": False, "drifted": False, "verdicts": verdicts(None)}
    assert words.drift({"release": "r"}, newest) == "too early to tell: 2 of 5 earlier scores"


@pytest.mark.parametrize("newest", [None, {"release": "its predecessor"}])
def test_a_model_is_not_judged_by_the_batches_of_another(newest):
    assert words.drift({"release": "r"}, newest).startswith("not judged yet")
