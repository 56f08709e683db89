"""Whom to call first: clients ranked by the champion's prediction, each with the main reasons.

A reason is what the prediction owes to one cell: how much it falls when that cell alone is replaced by the usual
value of its column in the training rows (single-feature ablation). It explains the model, not the world.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import dataset, models
from pipeline.config import Columns, Feature

if TYPE_CHECKING:
    import pandas as pd

MOST_REASONS = 3
SMALLEST = 0.02  # of the range of predictions: what moves a prediction less is no reason


def ranked(
    rows: "pd.DataFrame", model: Any, manifest: dict[str, Any], columns: Columns, task: str
) -> "pd.DataFrame":
    """Give the rows' ids with prediction and reasons, riskiest first.

    `model` and `manifest` are a release's; equal predictions stay in the order of the rows.
    """
    import pandas as pd

    features = {name: Feature(**kind) for name, kind in manifest["features"].items()}
    inputs = models.inputs_of(rows, features)
    prediction = models.predict(model, inputs, task)
    called = "probability" if task == "classification" else "prediction"
    identity = columns.id if columns.id not in ("rank", called, "as_of", "reasons") else f"{columns.id} (id)"
    table = pd.DataFrame({"rank": 0, identity: rows[columns.id].to_numpy(), called: prediction})
    if columns.time:
        table["as_of"] = rows[columns.time].dt.strftime("%Y-%m-%d").to_numpy()
    table["reasons"] = reasons(inputs, prediction, model, manifest["typical"], task)
    table = table.sort_values(called, ascending=False, kind="stable", ignore_index=True)
    table["rank"] = np.arange(1, len(table) + 1)
    return table.round({called: 4})


def reasons(
    inputs: "pd.DataFrame", prediction: np.ndarray, model: Any, typical: dict[str, Any], task: str
) -> list[str]:
    """Give for each row the cells that raise its prediction most, as text: `lastmonth_activity 3 (usual 45): +0.21`."""
    raised = np.zeros((len(inputs), inputs.shape[1]))
    for position, name in enumerate(map(str, inputs)):
        usual = inputs.copy()
        usual[name] = np.nan if typical[name] is None else typical[name]
        raised[:, position] = prediction - models.predict(model, usual, task)
    smallest = SMALLEST * (
        1.0 if task == "classification" else np.ptp(prediction) if len(prediction) else 0.0
    )
    told = []
    for row, order in enumerate(np.argsort(-raised, axis=1)[:, :MOST_REASONS]):
        named = [(str(inputs.columns[at]), raised[row, at]) for at in order if raised[row, at] > smallest]
        cells = [
            f"{name} {_cell(inputs[name].iat[row])} (usual {_cell(typical[name])}): +{up:.3g}"
            for name, up in named
        ]
        told.append("; ".join(cells) or "nothing stands out")
    return told


def current_clients(rows: "pd.DataFrame", columns: Columns, task: str) -> "pd.DataFrame":
    """Give the newest row of each id (by time, else the last ingested), without those that already were positive."""
    if columns.time:
        rows = rows.sort_values(columns.time, kind="stable")
    newest = rows.drop_duplicates(columns.id, keep="last")
    target = newest[columns.target.name]
    if task == "regression" or target.isna().all():
        return newest
    return newest[(target != models.positive_label(target, columns.target)).to_numpy()]


def write(path: Path, table: "pd.DataFrame") -> None:
    """Write the ranked list as CSV."""
    dataset.write_frame(path, table, list(table.columns))


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return models.MISSING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
