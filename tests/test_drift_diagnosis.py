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
    assert "bad data in income, the loss rose too" in diagnosis(True, ["age"], ["income"], True).sentence
    assert "a, b, c, d, e and 2 more moved" in diagnosis(False, list("abcdefg"), [], False).sentence


def test_without_a_loss_alarm_nobody_is_told_to_retrain():
    for features, bad, predictions in itertools.product([[], ["a"]], [[], ["b"]], [False, True]):
        assert "retrain" not in diagnosis(False, features, bad, predictions).sentence
