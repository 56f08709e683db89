"""Which rows are kept from learning: decided by their content, so the same in every run."""

import numpy as np
import pandas as pd
import pytest

from pipeline import holdout
from pipeline.dataset import FILE
from pipeline.rowhash import ROW
from tests.tables import clients


def rows(count: int = 1200, files: int = 12) -> pd.DataFrame:
    """Give rows in so many files, numbered from 1."""
    return clients(count, files=files)


def test_a_place_is_the_first_8_bytes_of_the_hash_as_a_share():
    hashes = pd.Series([bytes(16), b"\x80" + bytes(15), b"\x40" + b"\xff" * 15])
    assert holdout.place(hashes).tolist() == [0, 0.5, 0.25390625]


def test_places_are_spread_evenly():
    places = np.sort(holdout.place(rows(3000)[ROW]))
    assert np.abs(places - np.linspace(0, 1, 3000)).max() < 0.03


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_test_table_is_about_its_share_and_a_larger_one_holds_the_smaller(share):
    data = rows()
    chosen = holdout.test_share(data, share)
    assert chosen.mean() == pytest.approx(share, abs=0.04)
    assert (holdout.test_share(data, share + 0.2) >= chosen).all()


def test_the_test_table_and_the_proof_have_no_row_in_common_up_to_two_thirds():
    data = rows()
    assert not (holdout.test_share(data, 0.66) & holdout.proof(data, 0, 10_000)).any()


def test_a_row_keeps_its_place_whatever_the_order_and_whatever_comes_with_it():
    data = rows()
    chosen = set(data[ROW][holdout.test_share(data, 0.25)])
    shuffled = data.sample(frac=1, random_state=1)
    assert set(shuffled[ROW][holdout.test_share(shuffled, 0.25)]) == chosen
    some = data[:400]
    assert set(some[ROW][holdout.test_share(some, 0.25)]) == chosen & set(some[ROW])


def test_the_proof_is_about_a_third_of_what_the_champion_has_not_learnt_from():
    data = rows()
    chosen = holdout.proof(data, 4, 10_000)
    assert data[FILE][chosen].min() == 5
    assert chosen[data[FILE] > 4].mean() == pytest.approx(1 / 3, abs=0.05)


def test_the_proof_takes_the_newest_files_until_there_are_enough_rows_and_those_whole():
    data = rows()
    every = holdout.proof(data, 0, 10_000)
    chosen = holdout.proof(data, 0, 100)
    first = data[FILE][chosen].min()
    assert (chosen == every & (data[FILE] >= first)).all()
    assert chosen.sum() >= 100
    assert (chosen & (data[FILE] > first)).sum() < 100


def test_of_a_champion_that_has_learnt_from_all_there_is_no_proof_and_of_no_rows_neither():
    assert not holdout.proof(rows(), 12, 100).any()
    nothing = rows()[:0]
    assert len(holdout.proof(nothing, 0, 100)) == len(holdout.test_share(nothing, 0.25)) == 0


def test_a_hash_is_found_among_others_whatever_byte_it_ends_with():
    hashes = [bytes([number]) * 15 + bytes([last]) for number in range(1, 9) for last in (0, 1, 255)]
    assert holdout.among(hashes, hashes[::2]).tolist() == [True, False] * 12
    assert holdout.among([], hashes).tolist() == []
    assert holdout.among([b"a" * 15], [b"a" * 15 + b"\0"]).tolist() == [False]
