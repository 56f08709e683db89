"""Which rows are known already? Hashes of all rows ever taken in, on disk in sorted runs that are searched, not read.

A run holds the hashes that the files of one or more ingestions brought, cut in four: all first quarters sorted, then
the other quarters in the same order, memory-mapped and searched by halving, so that hardly more than first quarters is
ever read. Small runs are merged into larger ones, so there are few. They
are an index and nothing more: `<first file>-<last file>-<rows>.run` says which files a run covers, what no run covers
is asked of the parts, and without any run everything is. So they are written after the records, and may be deleted;
one without as many rows as its name says is damaged and counts for nothing.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline import files

LARGEST = (
    1 << 26
)  # rows in a run: no merge takes longer than some seconds; 200 million rows are a handful of runs
AT_ONCE = 1 << 24  # rows taken in before a run is to be written: they wait in memory
BYTES = 16  # of a hash
SMALL = 1 << 24  # rows in a run below which there is nothing to be gained by guessing
REACH = 32  # rows to both sides of the second guess
STEP = 1 << 16  # rows that are moved at a time
UPPER = np.uint64(0xFFFFFFFF00000000)
RUNS = "*.run"
NAME = re.compile(r"(?P<first>[0-9]+)-(?P<last>[0-9]+)-(?P<rows>[1-9][0-9]*)\.run")
PIECES = 64  # a merge goes through the hashes in so many steps, so that it needs little memory


class Fresh:
    """The hashes taken in by this process, in a table of open addressing that takes a whole column at a time."""

    def __init__(self) -> None:
        self.hashes = np.empty((1 << 14, 2), np.uint64)
        self.new = np.zeros(1 << 14, bool)  # which of them came for the first time
        self.count = 0
        self.slots = np.zeros(1 << 16, np.int32)  # 1 + the place in `hashes`, 0 where free; at most half full

    def add(self, hashes: np.ndarray) -> np.ndarray:
        """Take in hashes, shape (2, rows); give the mask of those that were neither there nor earlier among them."""
        first, last = self.count, self.count + hashes.shape[1]
        self.make_room(last)
        self.hashes[first:last] = hashes.T
        self.count = last
        new = self._place(np.arange(first, last))
        self.new[first:last] = new
        return new

    def taken(self) -> np.ndarray:
        """Give all hashes taken in, each once, as a run. It ends the taking in."""
        self.slots = np.empty(0, np.int32)  # room for the sorting
        return _sorted(self.hashes[: self.count], np.flatnonzero(self.new[: self.count]))

    def make_room(self, wanted: int) -> None:
        """Make room for so many hashes in all. It costs less to do so once than whenever it is needed."""
        if wanted > len(self.hashes):
            room = max(wanted, 2 * len(self.hashes))
            hashes, new = np.empty((room, 2), np.uint64), np.zeros(room, bool)
            hashes[: self.count], new[: self.count] = self.hashes[: self.count], self.new[: self.count]
            self.hashes, self.new = hashes, new
        if 2 * wanted > len(self.slots):
            self.slots = np.zeros(1 << int(4 * wanted - 1).bit_length(), np.int32)
            self._place(np.flatnonzero(self.new[: self.count]))

    def _place(self, ids: np.ndarray) -> np.ndarray:
        """Give each id (place in `hashes`) a slot; give the mask of those whose hash had none yet."""
        mask = len(self.slots) - 1
        slot = (self.hashes[ids, 0] & np.uint64(mask)).astype(np.int64)
        new = np.zeros(len(ids), bool)
        left = np.arange(len(ids))
        while len(left):
            at, own = slot.take(left), ids.take(left)
            holder = self.slots.take(at) - 1
            free = holder < 0
            claimed = at[free]
            self.slots[claimed[::-1]] = own[free][::-1] + 1  # the first of several claims stays: it's last
            holder[free] = self.slots[claimed] - 1
            placed = holder == own
            new[left[placed]] = True
            others = np.flatnonzero(~placed)
            mine, theirs = (self.hashes.take(one[others], axis=0) for one in (own, holder))
            same = (mine[:, 0] == theirs[:, 0]) & (mine[:, 1] == theirs[:, 1])
            left = left[others[~same]]
            slot[left] = (slot[left] + 1) & mask
        return new


Run = tuple[int, int, np.ndarray]  # first file, last file, quarters of the hashes, shape (4, rows)


class Known:
    """All hashes of the rows on record, and those that were taken in since."""

    def __init__(
        self,
        folder: Path | None,
        parts: list[tuple[int, str]],
        hashes_of: Callable[[str], np.ndarray],
    ):
        """Open the runs in the folder. What they lack of these parts (file number, name) is asked of `hashes_of`.

        Without a folder nothing is known, and nothing written.
        """
        self.folder = folder
        self.fresh = Fresh()
        self.runs: list[Run] = []
        self.first_fresh = 0  # number of the first file whose rows are in `fresh`
        for first, last, path in _runs_in(folder) if folder else []:
            if not self.runs or first > self.runs[-1][1]:
                self.runs.append((first, last, _opened(path)))
        uncovered = [part for part in parts if not any(run[0] <= part[0] <= run[1] for run in self.runs)]
        if uncovered:
            self.runs = [run for run in self.runs if run[1] < uncovered[0][0]]  # from the first gap on anew
            self.first_fresh = uncovered[0][0]
            for _, name in (part for part in parts if part[0] >= self.first_fresh):
                self.take_in(hashes_of(name))

    def take_in(self, hashes: np.ndarray) -> np.ndarray:
        """Give the mask of the hashes, shape (2, rows), that weren't known, each the first time. Now they are."""
        if not self.runs:
            return self.fresh.add(hashes)
        new = ~self._held(hashes)
        new[new] = self.fresh.add(hashes[:, new])
        return new

    def _held(self, hashes: np.ndarray) -> np.ndarray:
        """Give the mask of the hashes that stand in a run."""
        order = np.argsort(hashes[0])
        wanted, there = _quarters(hashes[:, order].T), np.zeros(len(order), bool)
        for _, _, run in self.runs:
            there |= _held_by(run, wanted)
        found = np.empty(len(order), bool)
        found[order] = there
        return found

    def write(self, upto: int, since: int) -> None:
        """Put what was taken in into a run that covers the files up to `upto`; `since` is the first that isn't covered.

        To be called once those files are on record.
        """
        first = self.first_fresh or since
        if self.folder is None or first > upto:
            return
        if not self.fresh.count:
            self._cover(upto)
            return
        self.runs.append((first, upto, self.fresh.taken()))
        self.fresh, self.first_fresh = Fresh(), 0
        rows, together = 0, 0  # the newest runs that become one
        for _, _, run in reversed(self.runs):
            if together and not _to_merge(run.shape[1], rows):
                break
            rows, together = rows + run.shape[1], together + 1
        first, merged = self.runs[-together][0], [run for _, _, run in self.runs[-together:]]
        path = self.folder / f"{first}-{upto}-{rows}.run"
        with files.replacing(path) as draft:
            if together == 1:
                merged[0].tofile(draft)
            else:
                _make_room(draft, 16 * rows)
                _merge(merged, np.memmap(draft, np.uint32, "r+", shape=(4, rows)))
        self.runs[-together:] = [(first, upto, _opened(path))]
        tidy(self.folder)

    def _cover(self, upto: int) -> None:
        """Let the newest run cover files that brought nothing new: no part needs to be asked for them again."""
        if self.folder is not None and self.runs and upto > self.runs[-1][1]:
            first, last, run = self.runs[-1]
            old, new = (self.folder / f"{first}-{number}-{run.shape[1]}.run" for number in (last, upto))
            os.rename(old, new)
            files.sync(self.folder)
            self.runs[-1], self.first_fresh = (first, upto, run), 0


def tidy(folder: Path) -> None:
    """Delete what a run that was cut off left: drafts, damaged runs, and those that another covers after a merge."""
    for draft in folder.glob(f".*{files.DRAFT}"):
        draft.unlink()
    covered, useful = 0, set()
    for _, last, path in _runs_in(folder):
        if last > covered:
            useful.add(path)
            covered = last
    for path in set(folder.glob(RUNS)) - useful:
        path.unlink()


def upto(folder: Path) -> int:
    """Give the newest file that the runs in a folder cover, 0 if there are none."""
    return max((last for _, last, _ in _runs_in(folder)), default=0)


def forget(folder: Path) -> None:
    """Delete all runs: the parts are asked again."""
    for path in folder.glob(RUNS):
        files.remove(path)


def _runs_in(folder: Path) -> list[tuple[int, int, Path]]:
    """Give the whole runs in file order, of some that begin alike (left by a merge cut off) the longest first."""
    found = []
    for path in folder.glob(RUNS):
        name = NAME.fullmatch(path.name)
        if name and path.stat().st_size == BYTES * int(name["rows"]):
            found.append((int(name["first"]), int(name["last"]), path))
    return sorted(found, key=lambda run: (run[0], -run[1]))


def _opened(path: Path) -> np.ndarray:
    return np.memmap(path, np.uint32, "r").reshape(4, -1)


def _quarters(hashes: np.ndarray) -> np.ndarray:
    """Give hashes, shape (rows, 2), cut in four, shape (4, rows), the weightiest part first."""
    parts = np.ascontiguousarray(hashes, "<u8").view("<u4").reshape(-1, 4)
    return parts.T[[1, 0, 3, 2]]


def _sorted(hashes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Give the wanted ones of some hashes, shape (rows, 2), as a run, shape (4, rows): sorted by the first quarter.

    To sort these 32 bits with the place in the 32 below is twice as fast as to sort places.
    """
    packed = hashes[wanted, 0]
    packed &= UPPER
    packed |= np.arange(len(wanted), dtype=np.uint64)
    packed.sort()
    packed &= ~UPPER
    order = wanted.take(packed.view(np.int64))
    run = np.empty((4, len(order)), np.uint32)
    for start in range(0, len(order), STEP):  # `take` of whole rows costs an eighth of what an index does
        run[:, start : start + STEP] = _quarters(hashes.take(order[start : start + STEP], axis=0))
    return run


def _held_by(run: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Give the mask of the wanted hashes, cut in four and sorted by the first quarter, that stand in the run."""
    size, rows = run.shape[1], wanted.shape[1]
    found = np.zeros(rows, bool)
    place = _places(run[0], wanted[0])
    left = np.arange(rows)
    while True:  # once, but for hashes whose first quarters are alike by chance
        left = left[place[left] < size]
        left = left[run[0][place[left]] == wanted[0, left]]
        if not len(left):
            return found
        same = left
        for quarter in range(1, 4):  # one after the other, since each is another page to be fetched
            same = same[run[quarter][place[same]] == wanted[quarter, same]]
        found[same] = True
        place[left] += 1


def _places(ordered: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Give where each of the wanted would stand among those in order: `np.searchsorted` that looks at fewer of them.

    Hashes are spread evenly, so from a hash its place can be told to within some thousand rows, from what stands there
    to within some ten, and only these are searched by halving (interpolation search, Peterson 1957).
    """
    size = len(ordered)
    if size < SMALL:
        return np.searchsorted(ordered, wanted)
    aim, density = wanted.astype(np.int64), size / 2.0**32
    guess = (aim * density).astype(np.int64)
    for _ in range(2):
        np.clip(guess, 0, size - 1, out=guess)
        guess += ((aim - ordered[guess]) * density).astype(np.int64)
    low, high = np.clip(guess - REACH, 0, size - 1), np.clip(guess + REACH, 0, size - 1)
    missed = np.flatnonzero((ordered[low] >= wanted) | (ordered[high] < wanted))
    for _ in range(int(2 * REACH).bit_length()):  # low stays below the place, high at it or above
        middle = (low + high) >> 1
        below = ordered[middle] < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    high[missed] = np.searchsorted(ordered, wanted[missed])
    return high


def _to_merge(earlier: int, later: int) -> bool:
    """Say whether runs of so many rows become one: if the later isn't much smaller, each row is moved but rarely."""
    return earlier < 2 * later and earlier + later <= LARGEST


def _make_room(path: Path, size: int) -> None:
    """Make a file of so many bytes. Memory that is mapped to a file without room on the disk kills who writes to it."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _merge(runs: list[np.ndarray], into: np.ndarray) -> None:
    """Write the rows of all the runs into one, which may be larger than memory."""
    bounds = np.arange(1, PIECES, dtype=np.uint32) * np.uint32(2**32 // PIECES)
    cuts = [[0, *np.searchsorted(one[0], bounds), one.shape[1]] for one in runs]
    at = 0
    for piece in range(PIECES):
        both = np.hstack([one[:, cut[piece] : cut[piece + 1]] for one, cut in zip(runs, cuts, strict=True)])
        into[:, at : at + both.shape[1]] = both[:, np.argsort(both[0], kind="stable")]
        at += both.shape[1]
