"""The very files of a release, tried in a process of their own before they go live.

    python -m pipeline.smoke RELEASE INGESTED PART

That process knows nothing of the one that trained: what it reads is what the next run and every reader will. It prints
what the model predicts of the part's first rows, and what its ONNX file does, if it has one.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from pipeline import dataset, models, releases, serving
from pipeline.errors import CheckFailed
from pipeline.releases import Release

ROWS = 200
LONGEST = 120.0  # seconds, the imports with them; a model that takes longer would hold up every run


def apart(release: Release, ingested: Path, part: str) -> np.ndarray:
    """Give what `here` gives, of a process of its own. Raise CheckFailed if it fails or takes longer than `LONGEST`."""
    asked = str(release.folder.resolve()), str(ingested.resolve()), part
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.smoke", *asked],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"{release.model_file}: no prediction within {LONGEST:g} s; not deployed") from None
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise CheckFailed(
            f"{release.model_file}: can't be used in a process of its own ({why[0]}); not deployed"
        )
    return np.array(json.loads(done.stdout))


def here(release: Release, ingested: Path, part: str) -> np.ndarray:
    """Give what the release's files predict of the part's first rows, shape (1 or 2, rows): skops, then ONNX."""
    rows = dataset.load(ingested, [(0, part)]).head(ROWS)
    seen = models.inputs_of(rows, release.features)
    kinds = [models.load(release.model_file), *([serving.onnx_model(release)] if release.has_onnx else [])]
    return np.array([models.predict(model, seen, release.manifest["task"]) for model in kinds])


if __name__ == "__main__":
    folder, ingested, part = sys.argv[1:]
    print(json.dumps(here(releases.verified(Path(folder)), Path(ingested), part).tolist()))
