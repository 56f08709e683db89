"""Batches on disk: they come back as they were, or not at all."""

from pathlib import Path

import numpy as np
import pytest

from pipeline import batches
from pipeline.config import Config
from pipeline.recipes import MEMORY, Batch
from tests.project import Project


@pytest.fixture
def config(project: Project) -> Config:
    """Give the config of a new project."""
    return project.config


def batch(number: float, rows: int = 40, models: tuple[str, ...] = ("old", "new")) -> Batch:
    """Make up a batch, its seed being its number."""
    random = np.random.default_rng(int(number))
    return Batch(
        number=number,
        truth=random.integers(0, 2, rows),
        predictions={one: random.random(rows) for one in models},
        slots={f"all/kind {place}": one for place, one in enumerate(models)},
        served=random.random(rows),
    )


def same(one: Batch, other: Batch) -> bool:
    """Say whether two batches are the same to the last bit."""
    return (
        one.number == other.number
        and np.array_equal(one.truth, other.truth)
        and np.array_equal(one.served, other.served)
        and dict(one.slots) == dict(other.slots)
        and list(one.predictions) == list(other.predictions)
        and all(np.array_equal(one.predictions[name], other.predictions[name]) for name in one.predictions)
    )


def file_of(config: Config, name: str) -> Path:
    """Give the file of a batch."""
    return config.models / "batches" / f"{name}.npz"


def names(config: Config) -> list[str]:
    """Give the names of the batches on disk."""
    return sorted(path.stem for path in (config.models / "batches").iterdir())


# ---------------------------------------------------------------------------------------------- there and back
@pytest.mark.parametrize("models", [(), ("only",), ("old", "new")])
def test_a_batch_comes_back_as_it_was(config, models):
    written = batch(3, models=models)
    batches.save(config, "3", written)
    (read,) = batches.newest(config, 3)
    assert same(read, written)
    assert read.truth.dtype == written.truth.dtype


def test_values_of_a_regression_come_back_too(config):
    written = Batch(
        2.0, np.array([1.5, -3e9]), {"one": np.array([1.0, 2.0])}, {"all/ridge": "one"}, np.ones(2)
    )
    batches.save(config, "2", written)
    assert same(batches.newest(config, 9)[0], written)


def test_a_batch_that_is_written_again_takes_its_own_place(config):
    batches.save(config, "3", batch(3))
    batches.save(config, "3", batch(3, rows=10))
    assert [len(one.truth) for one in batches.newest(config, 3)] == [10]


def test_where_there_are_none_there_are_none(config):
    assert batches.newest(config, 99) == []
    batches.remove(config, "never there")


def test_a_batch_can_be_taken_away(config):
    batches.save(config, "3-held", batch(3.5))
    batches.save(config, "3", batch(3))
    batches.remove(config, "3-held")
    assert names(config) == ["3"]


# ---------------------------------------------------------------------------------------------- which, in what order
def test_they_come_in_the_order_of_their_last_file_what_was_held_out_last(config):
    order = {"7": 7.0, "8-9": 9.0, "9-held": 9.5, "10": 10.0, "11-100": 100.0}
    for name in sorted(order):
        batches.save(config, name, batch(order[name]))
    assert [one.number for one in batches.newest(config, 100)] == list(order.values())


def test_only_those_up_to_the_file_asked_for_come(config):
    for name, number in {"7": 7.0, "8-9": 9.0, "9-held": 9.5, "10": 10.0}.items():
        batches.save(config, name, batch(number))
    assert [one.number for one in batches.newest(config, 9)] == [7.0, 9.0, 9.5]
    assert [one.number for one in batches.newest(config, 8)] == [7.0]


def test_at_most_the_newest_come_and_old_ones_are_deleted(config):
    for number in range(1, 2 * MEMORY + 6):
        batches.save(config, str(number), batch(number, rows=3))
    found = [one.number for one in batches.newest(config, 10**6)]
    assert found == list(range(MEMORY + 6, 2 * MEMORY + 6))
    assert sorted(map(int, names(config))) == list(range(6, 2 * MEMORY + 6))
    back = [one.number for one in batches.newest(config, MEMORY)]
    assert back == list(range(6, MEMORY + 1)), "a look back, after a rollback, finds some"


def test_of_many_rows_some_are_kept_evenly_spread(config):
    rows = 3 * batches.MOST_ROWS + 1
    written = batch(1, rows=rows)
    batches.save(config, "1", written)
    (read,) = batches.newest(config, 1)
    few = batches.spread(rows)
    assert len(read.truth) == len(read.served) == len(read.predictions["old"]) == batches.MOST_ROWS == 5_000
    assert np.array_equal(read.served, written.served[few])
    assert np.array_equal(read.predictions["new"], written.predictions["new"][few])
    assert (few[0], few[-1]) == (0, rows - 1)
    assert set(np.diff(few)) <= {3, 4}


@pytest.mark.parametrize("rows", [0, 1, 2, 4_999, 5_000])
def test_of_few_rows_all_are_kept(rows):
    assert batches.spread(rows).tolist() == list(range(rows))


# ---------------------------------------------------------------------------------------------- lost and damaged
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not even that", b"\x00" * 2_000])
def test_a_damaged_file_is_left_out_with_a_word(config, told, content):
    for number in (1, 2, 3):
        batches.save(config, str(number), batch(number))
    file_of(config, "2").write_bytes(content)
    assert [one.number for one in batches.newest(config, 3)] == [1.0, 3.0]
    assert [record.getMessage().partition(" (")[0] for record in told.records] == [
        f"{file_of(config, '2')}: damaged, left out of what decides"
    ]


def test_no_flipped_bit_and_no_cut_gives_a_wrong_batch_or_stops_a_run(config):
    written = batch(1, rows=5)
    batches.save(config, "1", written)
    sound = file_of(config, "1").read_bytes()
    random = np.random.default_rng(0)
    for place in random.choice(len(sound) * 8, 1_500, replace=False):
        flipped = bytearray(sound)
        flipped[place // 8] ^= 1 << (place % 8)
        file_of(config, "1").write_bytes(flipped)
        assert all(same(one, written) for one in batches.newest(config, 1)), f"bit {place}"
    for size in range(0, len(sound), 50):
        file_of(config, "1").write_bytes(sound[:size])
        assert batches.newest(config, 1) == []


def test_a_file_that_holds_python_objects_is_left_out(config, told):
    file_of(config, "1").parent.mkdir(parents=True)
    np.savez(file_of(config, "1"), contract=np.array([{"a": 1}], dtype=object))
    assert batches.newest(config, 1) == []
    assert "damaged" in told.text


def test_batches_of_another_contract_are_left_out_and_damaged_ones_don_t_count(project):
    for number in range(1, MEMORY + 3):
        batches.save(project.config, str(number), batch(number, rows=3))
    for number in (MEMORY, MEMORY + 1):
        file_of(project.config, str(number)).write_bytes(b"")
    assert len(batches.newest(project.config, 10**6)) == MEMORY, "older ones take their places"
    project.configure("max: 50", "max: 60")
    assert batches.newest(project.config, 10**6) == []
    batches.save(project.config, "99", batch(99))
    assert [one.number for one in batches.newest(project.config, 10**6)] == [99.0]
