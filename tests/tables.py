"""Made-up tables for tests, each with its seed in sight."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline import cleaning, dataset
from pipeline.config import Columns
from pipeline.dataset import FILE

if TYPE_CHECKING:
    import pandas as pd

CONFIG = """\
paths: {source: data}
columns:
  id: client
  time: day
  target: left
  features: {spent: number, since: date, plan: category}
"""

COLUMNS = Columns.model_validate(
    {
        "id": "client",
        "time": "day",
        "target": "left",
        "features": {"spent": "number", "since": "date", "plan": "category"},
    }
)


def raw(rows: Sequence[Sequence[str]], columns: Columns = COLUMNS) -> pa.Table:
    """Give a table of text as a reader gives it, its cells in the order of `columns.all`."""
    cells = zip(*rows, strict=True) if rows else [[] for _ in columns.all]
    return pa.table(
        {name: pa.array(column, pa.string()) for name, column in zip(columns.all, cells, strict=True)}
    )


def cleaned(rows: Sequence[Sequence[str]], columns: Columns = COLUMNS, task: str = "classification"):
    """Give what `cleaning.clean` makes of these rows of text."""
    return cleaning.clean(raw(rows, columns), columns, task)


def client_cells(rows: int = 200, seed: int = 0, task: str = "classification") -> list[list[str]]:
    """Give rows of text in which clients that spend little leave; some cells are empty."""
    random = np.random.default_rng(seed)
    spent = random.gamma(2.0, 50.0, rows)
    noise = random.normal(0.0, 30.0, rows)
    left = np.where(spent + noise < 70.0, "yes", "no") if task == "classification" else spent + noise
    return [
        [
            f"C{number:05}",
            f"2025-{1 + number * 12 // rows:02}-01",
            str(left[number]),
            "" if random.random() < 0.1 else f"{spent[number]:.2f}",
            f"20{random.integers(10, 25)}-06-{random.integers(1, 29):02}",
            random.choice(["", "basic", "gold", "silver"]),
        ]
        for number in range(rows)
    ]


def clients(rows: int = 200, seed: int = 0, task: str = "classification", files: int = 4) -> "pd.DataFrame":
    """Give the same rows as `dataset.load` gives them, in so many files numbered from 1."""
    frame = dataset.to_frame(cleaned(client_cells(rows, seed, task), task=task).rows)
    frame[FILE] = np.arange(rows) * files // rows + 1
    return frame
