"""What it costs to make a release and move the link to it, as a multiple of writing the same files and syncing them.

Both write to the same disk, in turns: our own code a release folder with manifest and hashes, and the moved link; the
other the same bytes under the same names, each file and the folders forced to the disk. The process of its own in which
the release is verified and its model tried (`smoke`) isn't counted: it is the price of importing scikit-learn.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from pipeline import cli, releases  # noqa: E402

BAR = 2.0
TURNS = 60


def table(quick: bool) -> tuple[list[str], bool]:
    """Give the lines of the table and whether the bar was held."""
    turns = TURNS // 4 if quick else TURNS
    with tempfile.TemporaryDirectory(dir=PROJECT) as folder:
        config = _deployed(Path(folder))
        live = releases.current(config)
        assert live is not None
        others = set(live.manifest["files"]) - {releases.MODEL, releases.ONNX}
        texts = {name: (live.folder / name).read_text() for name in others}
        onnx = (live.folder / releases.ONNX).read_bytes() if live.has_onnx else None
        written = {path.name: path.read_bytes() for path in live.folder.iterdir()}
        own, plain = [], []
        for turn in range(turns):
            facts = live.manifest | {"made_at": f"2030-01-01T00:{turn // 60:02}:{turn % 60:02}Z"}
            del facts["id"]
            start = time.perf_counter()
            releases.go_live(
                config.production, releases.make(config, live.model_file, texts, facts, onnx=onnx)
            )
            own.append(time.perf_counter() - start)
            start = time.perf_counter()
            _write(Path(folder) / f"plain {turn}", written)
            plain.append(time.perf_counter() - start)
    ratio = statistics.median(own) / statistics.median(plain)
    size = sum(map(len, written.values())) / 1e3
    lines = ["", f"Deploying: wall time of making a release ({len(written)} files, {size:.0f} kB) and moving the link, "
             f"x writing and syncing the same files (median of {turns} turns)", "", "| x plain | bar | plain, ms |",
             "|---|---|---|", f"| **{ratio:.2f}** | {BAR:g} | {statistics.median(plain) * 1e3:.1f} |"]  # fmt: skip
    return lines, ratio <= BAR


def _deployed(folder: Path):
    """Lay a project, deploy its first model, and give its config."""
    shutil.copytree(PROJECT / "practicedata", folder / "practicedata")
    shutil.copyfile(PROJECT / "config.yaml", folder / "config.yaml")
    command = [sys.executable, str(PROJECT / "fullprocess.py"), "--config", str(folder / "config.yaml")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return cli.load_config(folder / "config.yaml")


def _write(folder: Path, content: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, told in content.items():
        with (folder / name).open("wb") as out:
            out.write(told)
            out.flush()
            os.fsync(out.fileno())
    for place in (folder, folder.parent):
        handle = os.open(place, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
