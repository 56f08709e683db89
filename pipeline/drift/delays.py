"""How long labels take to come. Times are numbers of one unit, such as days; rows without label yet hold NaN."""

import numpy as np


def share_by_age(rows_at: np.ndarray, labelled_at: np.ndarray, now: float, ages: np.ndarray) -> np.ndarray:
    """Give for each age the share of rows that were labelled by then, of those that are that old; NaN if none is."""
    rows_at, labelled_at = np.asarray(rows_at, float), np.asarray(labelled_at, float)
    waited = np.where(labelled_at <= now, labelled_at - rows_at, np.inf)
    shares = np.full(len(ages), np.nan)
    for position, age in enumerate(ages):
        old = now - rows_at >= age
        if old.any():
            shares[position] = np.mean(waited[old] <= age)
    return shares


def median_delay(rows_at: np.ndarray, labelled_at: np.ndarray, now: float) -> float | None:
    """Give the age by which half of the rows have their label; None if it can't be told yet.

    Kaplan and Meier's estimate (1958): a row without label counts as waiting for as long as it is old. To take the
    median of the delays known so far instead would leave out just the slow ones.
    """
    rows_at, labelled_at = np.asarray(rows_at, float), np.asarray(labelled_at, float)
    came = labelled_at <= now
    waited = np.where(came, labelled_at, now) - rows_at
    unlabelled = 1.0
    for age in np.unique(waited[came]):
        unlabelled *= 1 - np.count_nonzero(came & (waited == age)) / np.count_nonzero(waited >= age)
        if unlabelled <= 0.5:
            return float(age)
    return None
