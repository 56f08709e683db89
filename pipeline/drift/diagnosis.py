"""Which kind of trouble it is, from what the alarms say together, and what to look at first."""

from dataclasses import dataclass

NAMED = 5  # columns named in a sentence


@dataclass(frozen=True)
class Diagnosis:
    """The kind of trouble, and a sentence that says why it is that one and what to do."""

    kind: str
    sentence: str


def diagnosis(
    loss_alarm: bool, feature_drift: list[str], bad_data: list[str], prediction_drift: bool
) -> Diagnosis:
    """Tell bad data, concept shift and covariate shift apart.

    `feature_drift` and `bad_data` name columns. Bad data come first: a broken column moves features, predictions and
    loss alike, and no model trained on it is any good. A loss that rose while neither a feature nor the predictions
    moved is a changed relationship. If they moved and the loss rose, it may be both: what labels can't tell apart, the
    sentence doesn't either.
    """
    if bad_data:
        rose = "the loss rose too" if loss_alarm else "the loss has not risen yet"
        return Diagnosis(
            "bad data",
            f"bad data in {_some(bad_data)}, {rose}: have the source put right before anything is trained on it",
        )
    moved = _moved(feature_drift, prediction_drift)
    if loss_alarm and not moved:
        return Diagnosis(
            "concept shift",
            "the loss rose while neither a feature nor the predictions moved: the same rows now mean something else; "
            "retrain on rows since the change, and look for what changed in the world or in how labels are made",
        )
    if loss_alarm:
        return Diagnosis(
            "covariate shift with harm",
            f"the loss rose and {moved}: the model meets rows it knows little of, and what they mean may have changed "
            "too; retrain with the newest rows, and look at the loss in the range that is new",
        )
    if moved:
        return Diagnosis(
            "harmless covariate shift",
            f"{moved}, but on rows labelled so far the loss did not rise: keep the model, and watch the loss as "
            "labels come",
        )
    return Diagnosis("none", "no sign of trouble: loss, features and predictions are as they were")


def _moved(features: list[str], predictions: bool) -> str:
    if features:
        return f"{_some(features)} moved" + (", and with it the predictions" if predictions else "")
    return "the predictions moved (features together, none of them far on its own)" if predictions else ""


def _some(columns: list[str]) -> str:
    more = len(columns) - NAMED
    return ", ".join(columns[:NAMED]) + (f" and {more} more" if more > 0 else "")
