"""How far apart two samples are, whatever their sizes tell about chance. All are 0 for equal shares; more is further.

The first three take counts in the same bins, shape (bins,), of reference and batch.
"""

import math

import numpy as np

SMOOTHING = 0.5  # added to each count, so that an empty bin is rare instead of impossible (Jeffreys' prior)
PSI_BINS = 10  # as credit scoring uses them


def psi(reference: np.ndarray, current: np.ndarray) -> float:
    """Give the population stability index, sum of (q - p) ln(q / p) over bins with `SMOOTHING`: 0 to infinity.

    By credit scoring's rule of thumb (Siddiqi 2006) 0.1 is some shift and 0.2 a large one. Without any shift it is
    (bins - 1)(1/n + 1/N) on average (Yurdakul 2018): 0.05 for ten bins and 200 rows, so in few rows it says little.
    """
    p, q = _smooth(reference), _smooth(current)
    return float((q - p) @ np.log(q / p))


def jensen_shannon(reference: np.ndarray, current: np.ndarray) -> float:
    """Give the Jensen-Shannon distance with base 2 (Endres & Schindelin 2003): 0 to 1 for samples without overlap."""
    p, q = reference / reference.sum(), current / current.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(one > 0, one * np.log2(one / middle), 0.0).sum() for one in (p, q)]
    return math.sqrt(max(0.0, float(sum(parts)) / 2))


def total_variation(reference: np.ndarray, current: np.ndarray) -> float:
    """Give the share of rows that would have to change bins: 0 to 1."""
    return float(np.abs(reference / reference.sum() - current / current.sum()).sum() / 2)


def kolmogorov_smirnov(reference: np.ndarray, current: np.ndarray) -> float:
    """Give the greatest difference of cumulated shares, 0 to 1; the arguments are shares up to the same values."""
    return float(np.abs(reference - current).max(initial=0.0))


def wasserstein(reference: np.ndarray, current: np.ndarray) -> float:
    """Give how far rows move on average (Wasserstein-1), in the unit of the values: 0 to infinity.

    The arguments are quantiles of the same probabilities, evenly spaced; what lies beyond the outermost isn't seen.
    """
    return float(np.abs(reference - current).mean())


def coarse(counts: np.ndarray, reference: np.ndarray, bins: int = PSI_BINS) -> np.ndarray:
    """Give the counts in about so many bins, each of neighbours that hold about equally much of the reference."""
    ends = np.cumsum(reference)
    group = np.minimum((ends - reference / 2) * bins / max(ends[-1], 1), bins - 1).astype(int)
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    return np.add.reduceat(counts, starts)


def _smooth(counts: np.ndarray) -> np.ndarray:
    return (counts + SMOOTHING) / (counts.sum() + SMOOTHING * len(counts))
