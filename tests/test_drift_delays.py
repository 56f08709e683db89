"""How long labels take: by hand, and against a simulation whose delays are known."""

import math

import numpy as np
import pytest

from pipeline.drift import delays

NAN = math.nan


def test_the_share_labelled_by_age_is_of_rows_that_are_that_old():
    rows_at, labelled_at = np.array([0, 0, 5, 9]), np.array([2, NAN, 6, NAN])
    shares = delays.share_by_age(rows_at, labelled_at, 10, np.array([1, 2, 6, 11]))
    assert shares[:3] == pytest.approx([1 / 4, 2 / 3, 1 / 2])
    assert math.isnan(shares[3])


def test_a_label_from_after_now_has_not_come_yet():
    rows_at, labelled_at = np.array([0, 0]), np.array([1, 20])
    assert delays.share_by_age(rows_at, labelled_at, 10, np.array([10])).tolist() == [0.5]
    assert delays.median_delay(rows_at, labelled_at, 10) == 1


def test_the_median_delay_counts_rows_that_still_wait():
    rows_at = np.zeros(5)
    assert delays.median_delay(rows_at, np.array([1, 2, 3, 4, 5]), 10) == 3
    assert delays.median_delay(rows_at, np.array([1, 2, 3, NAN, NAN]), 10) == 3
    assert delays.median_delay(rows_at, np.array([1, 2, NAN, NAN, NAN]), 10) is None
    assert delays.median_delay(np.array([]), np.array([]), 10) is None


def test_the_median_delay_is_right_where_the_median_of_known_delays_is_too_short():
    generator = np.random.default_rng(0)
    rows_at = generator.random(4_000) * 30
    labelled_at = rows_at + generator.exponential(20, 4_000)
    known = np.where(labelled_at <= 30, labelled_at, NAN)
    assert delays.median_delay(rows_at, known, 30) == pytest.approx(20 * math.log(2), rel=0.1)
    assert np.nanmedian(known - rows_at) < 10
