"""What serves a release: its ONNX file where it has one, else the skops file.

An ONNX file is in a release only if it predicted what the models do (`disagreement`). It serves people: call lists and
ranked clients. Decisions, scores and proofs ask the skops file, so they are the same with or without ONNX.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import metrics, models, words
from pipeline.releases import ONNX, Release

if TYPE_CHECKING:
    import pandas as pd

CLOSE = 1e-5  # largest difference of a probability, or of a value in standard deviations of values
QUIET = 4  # onnxruntime's own log: nothing but what ends the process
OFF = "deployment.onnx is false"
log = logging.getLogger("pipeline")


class OnnxModel:
    """A model of an ONNX file, with scikit-learn's `predict_proba` and `predict`."""

    def __init__(self, content: bytes):
        self.content = content
        self.sessions: dict[int, Any] = {}
        self.columns = {one.name: one.type == "tensor(string)" for one in self._session(1).get_inputs()}

    def predict_proba(self, inputs: "pd.DataFrame") -> np.ndarray:
        """Give the probabilities of the negative and the positive class, shape (rows, 2)."""
        positive = self.predict(inputs)
        return np.column_stack([1 - positive, positive])

    def predict(self, inputs: "pd.DataFrame") -> np.ndarray:
        """Give the probability of the positive class, or the value, shape (rows,)."""
        feed = {
            name: inputs[name].to_numpy(object if text else "float64").reshape(-1, 1)
            for name, text in self.columns.items()
        }
        threads = 1 if len(inputs) < models.MANY else len(os.sched_getaffinity(0))
        return self._session(threads).run(None, feed)[0]

    def _session(self, threads: int):
        """Give the session with so many threads; by themselves they would be as many as there are processors."""
        if threads not in self.sessions:
            import onnxruntime

            onnxruntime.disable_telemetry_events()
            onnxruntime.set_default_logger_severity(QUIET)
            options = onnxruntime.SessionOptions()
            options.log_severity_level = QUIET
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self.sessions[threads] = onnxruntime.InferenceSession(
                self.content, options, providers=["CPUExecutionProvider"]
            )
        return self.sessions[threads]


def onnx_model(release: Release) -> OnnxModel:
    """Give the model of a verified release's ONNX file."""
    return OnnxModel((release.folder / ONNX).read_bytes())


def model_of(release: Release, onnx: bool = True) -> Any:
    """Give the model that serves a verified release: with `onnx` off, or without onnxruntime, the skops file's."""
    if onnx and release.has_onnx:
        try:
            return onnx_model(release)
        except ImportError as problem:
            log.warning("%s: not served (%s); %s is", release.folder / ONNX, problem, release.model_file.name)
    return models.load(release.model_file)


@dataclass(frozen=True)
class Agreement:
    """How an ONNX file compares with the model that it was made of; `why` is empty if it may serve."""

    rows: int
    largest: float  # difference of a probability, or of a value in standard deviations of values
    why: str


def agreement(found: np.ndarray, expected: np.ndarray, task: str) -> Agreement:
    """Compare predictions of the same rows, (rows,) each."""
    if not len(expected):
        return Agreement(0, 0.0, "there are no rows to compare it on")
    scale = (
        1.0 if task == "classification" else float(np.std(expected)) or float(np.abs(expected).max()) or 1.0
    )
    largest = float(np.max(np.abs(found - expected)) / scale)
    if not largest <= CLOSE:  # so that one that is no number counts as different
        return Agreement(len(expected), largest, f"predicts otherwise, by up to {largest:.2g}")
    flipped = task == "classification" and int((metrics.labels(found) != metrics.labels(expected)).sum())
    return Agreement(
        len(expected), largest, f"{words.counted(flipped, 'label')} would be another" if flipped else ""
    )


def worse(inputs: "pd.DataFrame") -> "pd.DataFrame":
    """Give the rows with what comes seldom: in every other unknown categories, in the rest no numbers."""
    odd = np.arange(len(inputs)) % 2 == 1
    return inputs.assign(
        **{
            str(name): np.where(odd, "never seen", column)
            if column.dtype == object
            else column.mask(~odd).astype("float64")
            for name, column in inputs.items()
        }
    )


def told(manifest: Mapping[str, Any], onnx: bool = True) -> str:
    """Say in a few words which file of a release serves, and why it isn't the ONNX file."""
    facts = manifest.get("onnx", {"used": False, "why": "it was made before there was ONNX"})
    if facts["used"] and onnx:
        return "served by ONNX"
    return f"served by skops ({OFF if facts['used'] else facts['why']})"
