"""Which kind of trouble it is, from what the alarms say together, and what to look at first."""

from dataclasses import dataclass

NAMED = 5  # columns named in a sentence


@dataclass(frozen=True)
class Diagnosis:
    """The kind of trouble, and a sentence that says why it is that one and what to do."""

    kind: str
    sentence: str


def diagnosis(
    loss_alarm: bool,
    feature_drift: list[str],
    bad_data: list[str],
    prediction_drift: bool,
    unscored: str = "",
) -> Diagnosis:
    """Tell bad data, concept shift and covariate shift apart.

    `feature_drift` and `bad_data` name columns; `unscored` says why the loss on these rows isn't known, where it isn't.
    Bad data come first: a broken column moves features, predictions and loss alike, and no model trained on it is any
    good. A loss that rose while neither a feature nor the predictions moved is a changed relationship. If they moved
    and the loss rose, it may be both: what labels can't tell apart, the sentence doesn't either. That no alarm fired
    proves no loss as before, and what to train is for the run to decide, so neither is said.
    """
    rose = "the loss had risen already" if unscored or bad_data else "the loss rose"
    if bad_data:
        told = f"bad data in {_some(bad_data)}{f', and {rose}' if loss_alarm else ''}"
        return Diagnosis("bad data", f"{told}: have the source put right before anything is trained on it")
    moved = _moved(feature_drift, prediction_drift)
    if loss_alarm and not moved:
        return Diagnosis(
            "concept shift",
            f"{rose} while neither a feature nor the predictions were found to move: the same rows now mean something "
            "else, which only rows since the change show; look for what changed in the world or in how labels are made",
        )
    if loss_alarm:
        return Diagnosis(
            "covariate shift with harm",
            f"{rose} and {moved}: the model meets rows it knows little of, and what they mean may have changed too; "
            "look at the loss in the range that is new",
        )
    known = (
        f"{unscored}, so whether the loss rose isn't known"
        if unscored
        else "no rise of the live model's loss is proven"
    )
    if moved:
        kind = "covariate shift" if unscored else "harmless covariate shift"
        return Diagnosis(kind, f"{moved}; {known}: no reason by itself to train anew")
    return Diagnosis("none", f"no sign of trouble: features and predictions weren't found to move; {known}")


def _moved(features: list[str], predictions: bool) -> str:
    if features:
        return f"{_some(features)} moved" + (", and with it the predictions" if predictions else "")
    return "the predictions moved (features together, none of them far on its own)" if predictions else ""


def _some(columns: list[str]) -> str:
    more = len(columns) - NAMED
    return ", ".join(columns[:NAMED]) + (f" and {more} more" if more > 0 else "")
