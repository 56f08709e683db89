"""What a tick with nothing to do costs, as a multiple of `python -c pass`, after so many ingested files.

A real project is laid in a temporary folder (in memory if there's /dev/shm), the files are really ingested by
`fullprocess.py`, and then it runs again with nothing to do. The CPU time (user and system) of the whole process counts.
"""

import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
BARS = {10: 5.0, 1_000: 5.0, 100_000: 8.0}  # files: the most it may cost, x `python -c pass`
MOST_MEMORY = 30.0  # MB
RUNS = 40


def table(quick: bool) -> tuple[list[str], bool]:
    """Give the lines of the table and whether every bar was held."""
    lines = ["", "Nothing to do: CPU of `python fullprocess.py`, x `python -c pass` in the same minute (median of "
             f"{RUNS} alternating runs)", "", "| ingested files | x pass | bar | peak MB | bar | of which the "
             "interpreter, MB | first load, s |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    held = True
    for number, bar in BARS.items():
        if quick and number > 1_000:
            lines.append(f"| {number:,} | left out with --quick | {bar:g} | | | | |")
            continue
        with tempfile.TemporaryDirectory(dir=_in_memory()) as folder:
            started = time.perf_counter()
            command = _project_with(number, Path(folder))
            loaded = time.perf_counter() - started
            ratio = _ratio(command, [sys.executable, "-c", "pass"])
            memory, bare = _memory(command), _memory([sys.executable, "-c", "pass"])
        held &= ratio <= bar and memory <= MOST_MEMORY
        cells = f"**{ratio:.2f}** | {bar:g} | **{memory:.1f}** | {MOST_MEMORY:g} | {bare:.1f} | {loaded:.0f}"
        lines.append(f"| {number:,} | {cells} |")
    return lines, held


def _in_memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _project_with(number: int, folder: Path) -> list[str]:
    """Lay a project whose history has so many ingested files; give the command of a tick in it."""
    source = folder / "drop"
    source.mkdir()
    shutil.copytree(PROJECT / "practicedata", source, dirs_exist_ok=True)
    shutil.copytree(PROJECT / "testdata", folder / "testdata")
    header, row = (PROJECT / "practicedata/clients_2025-01.csv").read_text().splitlines()[:2]
    for position in range(
        number - len(list(source.iterdir()))
    ):  # every thousandth is new, the others repeat it
        content = f"{header}\nCorporation {position // 1000},{row.split(',', 1)[1]}\n"
        (source / f"extra_{position:06d}.csv").write_text(content)
    config = re.sub(r"source: \w+", "source: drop", (PROJECT / "config.yaml").read_text(), count=1)
    (folder / "config.yaml").write_text(config)
    command = [sys.executable, str(PROJECT / "fullprocess.py"), "--config", str(folder / "config.yaml")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    time.sleep(2.5)  # a folder that just changed is looked at once more
    subprocess.run(command, check=True)
    return command


def _ratio(command: list[str], reference: list[str]) -> float:
    """Give the median CPU time of the command over that of the reference, run in turns."""
    pairs = [(_cpu(command), _cpu(reference)) for _ in range(RUNS)]
    return statistics.median(own for own, _ in pairs) / statistics.median(bare for _, bare in pairs)


def _cpu(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.PIPE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _memory(command: list[str]) -> float:
    """Give the peak resident memory of the command, in MB, asked of a process that has no other child."""
    ask = "import resource, subprocess, sys; subprocess.run(sys.argv[1:]); "
    ask += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    asked = subprocess.run([sys.executable, "-c", ask, *command], check=True, capture_output=True, text=True)
    return int(asked.stdout.split()[-1]) / 1024
