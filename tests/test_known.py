"""Which rows are known already: as from a set of all that ever came, whatever became of the files it is kept in."""

import errno
import os
import random
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import known
from pipeline.known import Fresh, Known

Hash = tuple[int, int]


def hashes(*pairs: Hash) -> np.ndarray:
    """Give pairs of halves as hashes, shape (2, rows)."""
    return np.array(pairs, np.uint64).reshape(-1, 2).T


def spread(rows: int, seed: int) -> np.ndarray:
    """Give so many hashes as rows of data have them."""
    return np.random.default_rng(seed).integers(0, 2**64, (2, rows), np.uint64)


def pairs_of(found: np.ndarray) -> list[Hash]:
    """Give hashes as pairs of halves."""
    return [(int(first), int(second)) for first, second in found.T]


class History:
    """What ingestions bring, file by file, and the set that says what must be known. Asked for parts it keeps count."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.set: set[Hash] = set()
        self.parts: dict[str, np.ndarray] = {}
        self.numbers: list[tuple[int, str]] = []
        self.asked: list[str] = []
        self.next = self.first = 1
        self.open()

    def open(self) -> None:
        """Start a new process."""
        self.first = self.next
        self.asked.clear()
        self.known = Known(self.folder, list(self.numbers), self._part)

    def _part(self, name: str) -> np.ndarray:
        self.asked.append(name)
        return self.parts[name]

    def file(self, rows: np.ndarray) -> None:
        """Take in a file: what is new must be what the set says, each the first time. Then it is on record."""
        expected = []
        for pair in pairs_of(rows):
            expected.append(pair not in self.set)
            self.set.add(pair)
        new = self.known.take_in(rows)
        assert new.tolist() == expected
        if new.any():
            self.parts[f"part {self.next}"] = rows[:, new]
            self.numbers.append((self.next, f"part {self.next}"))
        self.next += 1

    def write(self) -> None:
        """Do what an ingestion does at its end."""
        self.known.write(self.next - 1, self.first)
        self.first = self.next

    def runs(self) -> list[str]:
        """Give the names of the files there are, in order."""
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []


# ------------------------------------------------------------------------------------------------ the law
DAMAGES = {
    "emptied": lambda content: b"",
    "a byte short": lambda content: content[:-1],
    "a word short": lambda content: content[:-8],
    "a row short": lambda content: content[:-16],
    "half": lambda content: content[: len(content) // 2],
}
LONGER = {"a row too long": lambda content: content + bytes(16)}
PAIRS = st.tuples(st.integers(0, 4), st.integers(0, 4))  # few, so that halves and hashes meet often
STEPS = st.one_of(
    st.tuples(st.just("file"), st.lists(PAIRS, max_size=6)),
    st.tuples(st.sampled_from(["write", "open", "write with the old runs left"]), st.none()),
    st.tuples(st.just("lose"), st.integers(0, 5)),
    st.tuples(st.sampled_from(sorted(DAMAGES)), st.integers(0, 5)),
)


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=25), st.sampled_from([4, known.LARGEST]))
def test_what_is_known_is_what_ever_came_whatever_happens_to_the_runs(steps, largest):
    with tempfile.TemporaryDirectory() as name, mock.patch.object(known, "LARGEST", largest):
        folder = Path(name) / "runs"
        history = History(folder)
        for step, what in steps:
            runs = sorted(folder.glob("*.run"))
            if step == "file":
                history.file(hashes(*what))
            elif step == "write":
                history.write()
            elif step == "write with the old runs left":  # cut off after the new one was there
                before = {path: path.read_bytes() for path in runs}
                history.write()
                for path, content in before.items():
                    path.write_bytes(content)
                history.open()
            elif step == "open":
                history.open()
            elif runs:
                path = runs[what % len(runs)]
                if step == "lose":
                    path.unlink()
                else:
                    content = DAMAGES[step](path.read_bytes())
                    path.unlink()  # a run that is mapped must not shrink
                    path.write_bytes(content)
                history.open()
        history.file(hashes(*[(first, second) for first in range(5) for second in range(5)]))


# ------------------------------------------------------------------------------------------------ within a process
def test_of_rows_that_repeat_each_other_the_first_is_new():
    fresh = Fresh()
    assert fresh.add(hashes((1, 1), (2, 2), (1, 1), (2, 2), (1, 1))).tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert fresh.add(hashes((3, 3), (1, 1), (3, 3))).tolist() == [True, False, False]
    assert sorted(in_run(fresh.taken())) == [(1, 1), (2, 2), (3, 3)]


def test_rows_that_share_a_half_of_their_hash_are_not_the_same():
    fresh = Fresh()
    alike = hashes((7, 1), (7, 2), (7, 3), (8, 1), (9, 1), (7, 1))
    assert fresh.add(alike).tolist() == [True] * 5 + [False]
    assert fresh.add(alike[:, ::-1]).tolist() == [False] * 6
    assert fresh.add(hashes((7, 4))).tolist() == [True]


def test_hashes_that_all_want_one_place_are_told_apart():
    """Their lowest bits are equal, as those of a table of open addressing must never be."""
    wanting = np.vstack([np.arange(400, dtype=np.uint64) << np.uint64(32), np.zeros(400, np.uint64)])
    fresh = Fresh()
    assert fresh.add(np.hstack([wanting, wanting])).tolist() == [True] * 400 + [False] * 400


def test_nothing_taken_in_is_nothing_known():
    fresh = Fresh()
    assert fresh.add(hashes()).tolist() == []
    assert fresh.taken().shape == (4, 0)
    assert fresh.add(hashes((0, 0), (0, 0))).tolist() == [True, False]  # 0 is a hash like any other


def test_the_table_grows_and_forgets_nothing():
    fresh, all_ = Fresh(), spread(120_000, 1)
    for start in range(0, 120_000, 30_000):
        assert fresh.add(all_[:, start : start + 30_000]).all()
        assert not fresh.add(all_[:, : start + 30_000]).any()
    assert np.array_equal(fresh.taken(), known._sorted(all_.T, np.arange(120_000)))


# ------------------------------------------------------------------------------------------------ runs on disk
@pytest.fixture
def history(tmp_path) -> History:
    """Give an empty history, its folder not there yet."""
    return History(tmp_path / "known" / "rows")


def test_what_a_run_covers_is_not_asked_of_the_parts(history):
    history.file(spread(100, 1))
    history.file(spread(10, 2))
    history.write()
    assert history.runs() == ["1-2-110.run"]
    history.open()
    history.file(np.hstack([spread(10, 2), spread(5, 3), spread(100, 1)]))
    assert history.asked == []


def test_a_run_is_its_first_quarters_sorted_and_the_others_in_the_same_order(history):
    rows = hashes((2 << 32, 20), (1 << 32 | 1, 7 << 32 | 12), (3, 30), (1 << 32 | 1, 11))
    history.file(rows)
    history.write()
    content = np.fromfile(history.folder / "1-1-4.run", np.uint32).reshape(4, -1)
    assert content.tolist() == [[0, 1, 1, 2], [3, 1, 1, 0], [0, 7, 0, 0], [30, 12, 11, 20]]


def test_files_without_new_rows_need_no_run_and_leave_no_gap(history):
    for batch in (hashes(), spread(4, 1), hashes(), hashes()):
        history.file(batch)
    history.write()
    history.open()
    history.file(spread(4, 1))
    history.write()
    assert history.runs() == ["1-5-4.run"]
    history.file(spread(1, 2))
    history.write()
    history.open()
    assert history.asked == []
    history.file(np.hstack([spread(4, 1), spread(1, 2)]))


def test_nothing_taken_in_writes_nothing(history):
    history.write()
    history.file(hashes())
    history.write()
    assert history.runs() == []


def test_small_runs_become_one_and_a_large_one_is_left_as_it_is(history):
    history.file(spread(100, 0))
    history.write()
    sizes = []
    for seed in range(1, 9):
        history.file(spread(10, seed))
        history.write()
        sizes.append([int(name.removesuffix(".run").split("-")[2]) for name in history.runs()])
    assert sizes[0] == [100, 10]
    assert sizes[1] == [100, 20]
    assert all(sum(one) == 110 + 10 * number for number, one in enumerate(sizes))
    assert max(map(len, sizes)) <= 4
    history.open()
    history.file(np.hstack([spread(100, 0), *(spread(10, seed) for seed in range(9))]))
    assert history.asked == []


def test_a_disk_without_room_for_a_merged_run_is_told_with_its_name_instead_of_killing(history, monkeypatch):
    def full(handle: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, f"no room for {size} bytes")

    history.file(spread(10, 1))
    history.write()
    history.file(spread(10, 2))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="no room for 320 bytes") as failed:
        history.write()
    assert failed.value.filename == str(history.folder / "1-2-20.run")
    assert history.runs() == ["1-1-10.run"]


def test_runs_stay_few_however_many_ingestions_there_were(history):
    choose = random.Random(5)
    for seed in range(150):
        history.file(spread(choose.randrange(1, 40), seed))
        history.write()
        if seed % 10 == 0:
            history.open()
            assert history.asked == []
    assert len(history.runs()) <= 12  # halved sizes: the logarithm of 3,000 rows
    history.file(np.hstack([spread(1, seed) for seed in range(5)]))


def test_no_run_grows_larger_than_the_largest(history):
    with mock.patch.object(known, "LARGEST", 25):
        for seed in range(6):
            history.file(spread(10, seed))
            history.write()
    assert history.runs() == ["1-2-20.run", "3-4-20.run", "5-6-20.run"]


def test_a_merge_keeps_every_row_in_order():
    for sizes in [(0, 0), (0, 5), (5, 0), (1, 1), (5000, 3000), (64, 64)]:
        one, other = (known._sorted(spread(size, seed).T, np.arange(size)) for seed, size in enumerate(sizes))
        merged = merged_of(one, other)
        assert (np.diff(merged[0].astype(float)) >= 0).all()
        assert sorted(in_run(merged)) == sorted(in_run(one) + in_run(other))


@pytest.mark.parametrize("last", [0, 2**64 - 1, 2**63])
def test_a_merge_of_rows_with_equal_first_halves_keeps_them_all(last):
    one, other = (
        known._quarters(hashes(*[(last, n) for n in numbers]).T) for numbers in (range(100), range(100, 130))
    )
    merged = merged_of(one, other)
    assert sorted(in_run(merged)) == [(last, n) for n in range(130)]
    wanted = known._quarters(hashes(*[(last, n) for n in range(128, 132)]).T)
    assert known._held_by(merged, wanted).tolist() == [
        True,
        True,
        False,
        False,
    ]


NUMBERS = st.integers(0, 2**32 - 1) | st.integers(0, 50) | st.integers(2**32 - 50, 2**32 - 1)


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=300), st.lists(NUMBERS, max_size=40))
def test_a_place_is_guessed_right_however_unevenly_the_hashes_are_spread(there, wanted):
    ordered, asked = np.sort(np.array(there, np.uint32)), np.array(sorted([*wanted, *there[:20]]), np.uint32)
    with mock.patch.object(known, "SMALL", 0), mock.patch.object(known, "REACH", 4):
        assert known._places(ordered, asked).tolist() == np.searchsorted(ordered, asked).tolist()


def test_the_first_and_the_last_hash_there_can_be_are_found_in_a_run(history):
    ends = hashes((0, 0), (2**64 - 1, 2**64 - 1), (0, 2**64 - 1), (2**64 - 1, 0))
    history.file(ends)
    history.write()
    history.open()
    history.file(np.hstack([ends, hashes((0, 1), (2**64 - 1, 1))]))


# ------------------------------------------------------------------------------------------------ lost and damaged
def in_run(run: np.ndarray) -> list[tuple[int, int]]:
    """Give the hashes in a run, each as its two halves."""
    quarters = run.astype(np.uint64)
    return pairs_of(quarters[[0, 2]] << np.uint64(32) | quarters[[1, 3]])


def merged_of(*runs: np.ndarray) -> np.ndarray:
    """Give these runs as one."""
    into = np.empty((4, sum(run.shape[1] for run in runs)), np.uint32)
    known._merge(list(runs), into)
    return into


def three_runs(history: History) -> History:
    """Give a history in three runs of 90, 30 and 10 rows, a file each."""
    for number, rows in enumerate((90, 30, 10)):
        history.file(spread(rows, number))
        history.write()
    assert history.runs() == ["1-1-90.run", "2-2-30.run", "3-3-10.run"]
    return history


def test_from_the_first_gap_on_parts_are_asked_and_the_next_run_closes_it(history):
    three_runs(history)
    (history.folder / "2-2-30.run").unlink()
    history.open()
    assert history.asked == ["part 2", "part 3"]
    history.file(spread(1, 9))
    history.write()
    assert history.runs() == ["1-1-90.run", "2-4-41.run"]
    history.open()
    assert history.asked == []
    history.file(np.hstack([spread(90, 0), spread(30, 1), spread(10, 2), spread(1, 9)]))


def test_a_run_that_was_not_written_is_made_up_for_by_the_next(history):
    history.file(spread(5, 1))
    history.open()  # cut off
    assert history.asked == ["part 1"]
    history.file(spread(5, 2))
    history.write()
    assert history.runs() == ["1-2-10.run"]


@pytest.mark.parametrize("damage", (DAMAGES | LONGER).values(), ids=DAMAGES | LONGER)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_run_of_the_wrong_size_counts_for_nothing_and_goes(history, damage, which):
    path = three_runs(history).folder / history.runs()[which]
    path.write_bytes(damage(path.read_bytes()))
    history.open()
    assert history.asked == ["part 1", "part 2", "part 3"][which:]
    assert known.upto(history.folder) == (2 if which == 2 else 3)
    history.file(np.hstack([spread(90, 0), spread(30, 1), spread(10, 2), spread(3, 3)]))
    history.write()
    assert path.name not in history.runs()
    history.open()
    assert history.asked == []


def test_runs_left_by_a_merge_that_was_cut_off_do_no_harm_and_go(history):
    for seed in (1, 2):
        if seed == 2:
            shutil.copytree(history.folder, history.folder.with_name("old"))
        history.file(spread(10, seed))
        history.write()
    shutil.copy(history.folder.with_name("old") / "1-1-10.run", history.folder)
    known._sorted(spread(10, 2).T, np.arange(10)).tofile(history.folder / "2-2-10.run")
    assert history.runs() == ["1-1-10.run", "1-2-20.run", "2-2-10.run"]
    history.open()
    assert history.asked == []
    history.file(np.hstack([spread(10, 1), spread(10, 2)]))
    known.tidy(history.folder)
    assert history.runs() == ["1-2-20.run"]


def test_if_the_merged_run_is_damaged_the_runs_it_was_made_of_still_count(history):
    history.file(spread(10, 1))
    history.write()
    kept = (history.folder / "1-1-10.run").read_bytes()
    history.file(spread(10, 2))
    history.write()
    (history.folder / "1-1-10.run").write_bytes(kept)
    (history.folder / "1-2-20.run").write_bytes(b"short")
    history.open()
    assert history.asked == ["part 2"]
    history.file(np.hstack([spread(10, 1), spread(10, 2)]))


@pytest.mark.parametrize(
    "name", ["a-b.run", "1-2.run", "notes.run", "1-1-0.run", "-1-1-1.run", ".1-1-5.run.draft"]
)
def test_a_file_of_another_name_is_no_run(history, name):
    history.file(spread(5, 1))
    history.write()
    (history.folder / name).write_bytes(b"")
    history.open()
    assert (history.asked, known.upto(history.folder)) == ([], 1)
    known.tidy(history.folder)
    assert set(history.runs()) - {".1-1-5.run.draft"} == {"1-1-5.run"}


def test_forgotten_everything_is_asked_of_the_parts(history):
    known.forget(three_runs(history).folder)
    assert (history.runs(), known.upto(history.folder)) == ([], 0)
    history.open()
    assert history.asked == ["part 1", "part 2", "part 3"]
    known.forget(history.folder / "none")


def test_without_a_folder_nothing_is_known_at_first_and_nothing_written(tmp_path):
    one = Known(None, [], lambda part: hashes())
    assert one.take_in(hashes((1, 1), (1, 1), (2, 1))).tolist() == [True, False, True]
    assert one.take_in(hashes((1, 1))).tolist() == [False]
    one.write(3, 1)
    assert list(tmp_path.iterdir()) == []


def test_taken_in_and_not_on_record_is_forgotten_with_the_process(history):
    """A dry run, or one that was killed before its records were written."""
    history.file(spread(5, 1))
    history.write()
    history.known.take_in(spread(5, 2))
    history.open()
    history.file(spread(5, 2))
