"""Every combination of alarms has its kind of trouble, and the sentence names what to look at."""

import itertools

import pytest

from pipeline.drift import diagnosis

KINDS = [
    ((False, [], [], False), "none"),
    ((True, [], [], False), "concept shift"),
    ((True, ["age"], [], False), "covariate shift with harm"),
    ((True, [], [], True), "covariate shift with harm"),
    ((False, ["age"], [], False), "harmless covariate shift"),
    ((False, [], [], True), "harmless covariate shift"),
    ((False, [], ["age"], False), "bad data"),
    ((True, ["age"], ["age"], True), "bad data"),
]


@pytest.mark.parametrize(("alarms", "kind"), KINDS)
def test_the_alarms_together_tell_the_kind_of_trouble(alarms, kind):
    assert diagnosis(*alarms).kind == kind


def test_every_combination_has_a_kind_and_a_sentence():
    for alarms in itertools.product([False, True], [[], ["a"]], [[], ["b"]], [False, True]):
        found = diagnosis(*alarms)
        assert found.kind in {kind for _, kind in KINDS}
        assert found.sentence


def test_the_sentence_names_the_columns():
    assert (
        "age, city moved, and with it the predictions" in diagnosis(True, ["age", "city"], [], True).sentence
    )
    assert (
        "bad data in income, and the loss had risen already"
        in diagnosis(True, ["age"], ["income"], True).sentence
    )
    assert "a, b, c, d, e and 2 more moved" in diagnosis(False, list("abcdefg"), [], False).sentence


ANY = list(itertools.product([[], ["a"]], [[], ["b"]], [False, True], ["", "no outcome"]))


def test_nobody_is_told_what_to_train_or_to_keep():
    for alarm, others in itertools.product([False, True], ANY):
        said = diagnosis(alarm, *others).sentence
        assert "retrain" not in said
        assert "keep" not in said


def test_the_loss_rose_where_the_alarm_fired_and_nowhere_else():
    for features, bad, predictions, unscored in ANY:
        quiet = diagnosis(False, features, bad, predictions, unscored).sentence
        alarmed = diagnosis(True, features, bad, predictions, unscored).sentence
        assert ("the loss had risen already" if bad or unscored else "the loss rose") in alarmed
        for claim in (
            "did not rise",
            "as they were",
            "had risen",
            "the loss rose and",
            "the loss rose while",
        ):
            assert claim not in quiet


def test_a_loss_that_is_not_known_is_no_loss_that_did_not_rise():
    unknown = diagnosis(False, ["age"], [], False, "none of its rows has a known outcome")
    assert unknown.kind == "covariate shift"
    assert "none of its rows has a known outcome, so whether the loss rose isn't known" in unknown.sentence
    assert "no rise of the live model's loss is proven" in diagnosis(False, ["age"], [], False).sentence
    assert "no rise of the live model's loss is proven" in diagnosis(False, [], [], False).sentence
    assert "whether the loss rose isn't known" in diagnosis(False, [], [], False, "no outcome").sentence
