"""The predictions made at the time: kept for rows without outcome, so that a late label judges what was said then.

A file of Parquet for each ingested file with such rows, named by its number: hash of the key, prediction, release. Only
where rows have a key can a later row be known for the same record; elsewhere nothing is kept.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import dataset, files
from pipeline.config import Config
from pipeline.dataset import FILE
from pipeline.rowhash import ROW

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("pipeline")

FOLDER = "predictions"
MOST = 500  # files kept: labels that take longer are scored with what the model says then


def remember(config: Config, file: int, rows: "pd.DataFrame", prediction: np.ndarray, release: str) -> None:
    """Keep the predictions, shape (rows,), of the rows of a file that have no outcome; the oldest files go."""
    waits = rows[config.columns.target.name].isna().to_numpy()
    if not config.keys or not waits.any():
        return
    table = pa.table(
        {
            ROW: dataset.cell_hashes(config, rows[waits], config.keys),
            "prediction": prediction[waits],
            "release": pa.array([release] * int(waits.sum())).dictionary_encode(),
        }
    )
    with files.replacing(_folder(config) / f"{file}.parquet") as draft:
        pq.write_table(table, draft, **dataset.CHECKSUMMED)
    for number in _numbers(config)[:-MOST]:
        _path(config, number).unlink()


def recall(config: Config, rows: "pd.DataFrame", release: str | None = None) -> np.ndarray:
    """Give the newest prediction made of each row before its outcome came, shape (rows,); NaN where there is none.

    With `release` only what that one predicted counts: what another said is no measure of it.
    """
    found = np.full(len(rows), np.nan)
    numbers = _numbers(config) if config.keys and len(rows) else []
    if not numbers:
        return found
    hashes, came = dataset.cell_hashes(config, rows, config.keys).to_pylist(), rows[FILE].to_numpy()
    for number in (one for one in numbers if one < came.max()):
        kept = _kept(config, number, release)
        for at, one in enumerate(hashes):
            if one in kept and number < came[at]:
                found[at] = kept[one]
    return found


def any_kept(config: Config) -> bool:
    """Say whether any predictions are kept."""
    return bool(_numbers(config))


def forget(config: Config, waiting: "pd.DataFrame") -> None:
    """Delete the files whose rows have all had their outcome, but for those `waiting` to be labelled or scored."""
    hashes = set(dataset.cell_hashes(config, waiting, config.keys).to_pylist() if len(waiting) else [])
    for number in _numbers(config):
        if not hashes & set(_kept(config, number, None)):
            _path(config, number).unlink()


def _kept(config: Config, number: int, release: str | None) -> dict[bytes, float]:
    path = _path(config, number)
    try:
        table = pq.read_table(path, partitioning=None, **dataset.VERIFIED)
    except (OSError, pa.ArrowInvalid) as problem:
        log.warning("%s: damaged; what was predicted there is as if it never was (%s)", path, problem)
        return {}
    told = zip(*(table[name].to_pylist() for name in (ROW, "prediction", "release")), strict=True)
    return {key: value for key, value, made_by in told if release in (None, made_by)}


def _folder(config: Config) -> Path:
    return config.ingested / FOLDER


def _path(config: Config, number: int) -> Path:
    return _folder(config) / f"{number}.parquet"


def _numbers(config: Config) -> list[int]:
    """Give the numbers of the files with predictions, oldest first."""
    stems = (path.stem for path in _folder(config).glob("*.parquet"))
    return sorted(int(stem) for stem in stems if stem.isdecimal())
