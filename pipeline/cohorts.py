"""Which labelled rows count, and from which file on: those that are no bad data and whose label window is over.

Who leaves is often labelled before who stays, so a young cohort is half labelled and makes every model look wrong. With
`scoring.label_window` a row counts when the newest time in the data, never the clock, is so many days after its own: as
if it had come with the file that brought that time. Labels that come later still count with their own file.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import dataset, drift, inputs
from pipeline.config import Config
from pipeline.dataset import FILE
from pipeline.records import LATE_LABELS, Records, of_known

if TYPE_CHECKING:
    import pandas as pd

FEW = 0.05  # of a file's times, the latest and as many of the earliest, at least one: they may be mistyped
YEAR = 365.0  # days
AGES = (1, 7, 30, 90, 365)  # days at which the share of labelled rows is told


def countable(config: Config, book: Records, rows: "pd.DataFrame") -> "pd.DataFrame":
    """Give the labelled rows that count, in order of the file with which they do, which `_file` names from here on."""
    if not len(rows):
        return rows
    labelled = rows[config.columns.target.name].notna().to_numpy()
    return ripened(config, book, rows[labelled & inputs.sound(config, book, rows)])


def unseen_rows(config: Config, book: Records, above: int, upto: int) -> "pd.DataFrame":
    """Give the labelled rows that count of the files above one number and up to another, oldest first."""
    whole = config.replaces or config.scoring.label_window  # then a row may have come with an earlier file
    rows = dataset.load(config.ingested, book.parts(0 if whole else above, upto))
    rows = countable(config, book, rows)
    return rows[rows[FILE].between(above + 1, upto)] if len(rows) else rows


def labelled_rows(config: Config, book: Records, since: int = 0, upto: int | None = None) -> int:
    """Give how many labelled rows count, with the files from number `since` on and up to `upto`, both inclusive."""
    return counter(config, book)(since, upto)


def counter(config: Config, book: Records) -> Callable[[int, int | None], int]:
    """Give what counts labelled rows as `labelled_rows` does, for who asks more than once: rows are loaded once."""
    if config.scoring.label_window is None:
        bad = inputs.bad_files(config, book)
        return lambda since, upto: book.labelled_rows(since, upto, without=bad)
    files = countable(config, book, dataset.load(config.ingested, book.parts()))[FILE]
    return lambda since, upto: int(files.between(since, np.inf if upto is None else upto).sum())


def ripened(config: Config, book: Records, rows: "pd.DataFrame") -> "pd.DataFrame":
    """Give the rows whose label window is over, with the file that ended it as `_file` where that is later."""
    window, time = config.scoring.label_window, config.columns.time
    if window is None or time is None or not len(rows):
        return rows
    numbers, newest = newest_times(config, book, time)
    place = np.searchsorted(newest, days(rows[time]) + window)  # the first file with a time so late
    over = place < len(newest)
    ripe = np.maximum(rows[FILE].to_numpy()[over], numbers[place[over]])
    return rows[over].assign(**{FILE: ripe}).sort_values(FILE, kind="stable")


def newest_times(config: Config, book: Records, time: str) -> tuple[np.ndarray, np.ndarray]:
    """Give the numbers of the files that brought rows, and the newest time in the data up to each, in days."""
    numbers, newest = [], []
    for number, part in book.parts():
        times = dataset.read_part(config.ingested, part, [time])[time].drop_null()
        numbers.append(number)
        newest.append(newest_of(days(times.to_numpy())))
    return np.array(numbers, np.int64), np.maximum.accumulate(np.array(newest, float))


def newest_of(times: np.ndarray) -> float:
    """Give the newest of a file's times, in days; -inf if there are none.

    One mistyped date would end every label window for good. So what lies further beyond the times without a `FEW` than
    a year, and than these times reach, isn't counted. A file of a single row is believed.
    """
    if not len(times):
        return -np.inf
    place = int((1 - FEW) * (len(times) - 1))
    early, late = np.partition(times, [-1 - place, place])[[-1 - place, place]]
    return float(times[times <= late + max(YEAR, late - early)].max())


def days(times: Any) -> np.ndarray:
    """Give times as days since 1970."""
    return np.asarray(times, "datetime64[us]").astype(np.int64) / 86_400e6


def label_delays(config: Config, book: Records) -> dict[str, Any] | None:
    """Give how long labels take, in days of the data's own time: median, and the share labelled by each of `AGES`.

    A label came when the newest time in the data was that of its file. None without key and time, or without rows.
    """
    time = config.columns.time
    if not config.keys or time is None or not book.parts():
        return None
    rows = dataset.load(config.ingested, book.parts())
    numbers, newest = newest_times(config, book, time)
    row_at = days(rows[time])
    came = newest[np.searchsorted(numbers, rows[FILE].to_numpy())]
    labelled = rows[config.columns.target.name].notna().to_numpy()
    labelled_at = np.where(labelled, np.maximum(came, row_at), np.nan)
    now = float(newest[-1])
    shares = drift.delays.share_by_age(row_at, labelled_at, now, np.array(AGES, float))
    counted = ripened(config, book, rows[labelled])
    return {
        "median_days": drift.delays.median_delay(row_at, labelled_at, now),
        "labelled_by_age": {
            age: float(share) for age, share in zip(AGES, shares, strict=True) if share == share
        },
        "rows": len(rows),
        "unlabelled": int((~labelled).sum()),
        "too_young": int(labelled.sum()) - len(counted),
        "late": sum(of_known(file)[LATE_LABELS] for file in book.files("ingested")),  # there without, before
    }
