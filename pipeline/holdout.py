"""Sums that say which rows are kept from learning. No disk, no clock.

A row's place is decided by its hash, so it is the same in every run, on every machine, in any order of files.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.dataset import FILE
from pipeline.rowhash import ROW

if TYPE_CHECKING:
    import pandas as pd

PROOF_SHARE = 1 / 3  # of the champion's unseen rows, at most, on which it meets its challengers


def place(hashes: "pd.Series") -> np.ndarray:
    """Give a number in 0 to 1 for each row hash, uniform over rows."""
    head = np.frombuffer(b"".join(row[:8] for row in hashes), ">u8")
    return head / 2.0**64


def among(hashes: Iterable[bytes], kept: Iterable[bytes]) -> np.ndarray:
    """Give the mask of the hashes that are among the kept ones.

    Not by pandas' `isin`: it takes bytes for NumPy's, which lose the zeros at their end, and misses one in 256.
    """
    known = set(kept)
    return np.array([one in known for one in hashes], bool)


def test_share(rows: "pd.DataFrame", share: float) -> np.ndarray:
    """Give the mask of the rows that make the test table where the user has none: the upper end of all places."""
    return place(rows[ROW]) >= 1 - share


def proof(rows: "pd.DataFrame", unseen_above: int, most: int) -> np.ndarray:
    """Give the mask of the rows on which challengers meet the champion.

    A third, by hash, of the rows from files above number `unseen_above`, which the champion has not learnt from;
    of these the newest, about `most` of them, whole files at a time. `rows` are in file order and labelled.
    """
    return proof_at(rows[FILE].to_numpy(), place(rows[ROW]), unseen_above, most)


def proof_at(files: np.ndarray, places: np.ndarray, unseen_above: int, most: int) -> np.ndarray:
    """Give the mask of `proof` from the file number and the place of each row, shape (rows,)."""
    eligible = (files > unseen_above) & (places < PROOF_SHARE)
    newer = np.cumsum(eligible[::-1])[::-1]  # eligible rows from here to the end
    enough = files[newer >= most]
    return eligible & (files >= (enough.max() if len(enough) else 0))
