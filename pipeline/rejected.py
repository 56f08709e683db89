"""What was set aside: the bad rows and bad files themselves, and a line for each that says why."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from pipeline import files
from pipeline.readers import LONGEST_VALUE, BadRow
from pipeline.spreadsheets import harmless

FOLDER = "rejected"
REASONS = "reasons.csv"
LONGEST_NAME = 50  # characters, 200 bytes at the most: with what is added to it a name has to fit in 255
REASONS_HEADER = ["file", "line", "column", "value", "reason"]


def put(ingested: Path, name: str, sha256: str, content: bytes, ending: str = "") -> bool:
    """Put bad rows, or a whole bad file, into rejected/. `ending` is added where the name doesn't say what it is.

    Give whether they were there already: then an earlier run may have told of them.
    """
    ending = "" if name.lower().endswith(ending) else ending
    path = ingested / FOLDER / f"{sha256[:8]}-{name[-LONGEST_NAME:]}{ending}"
    there = path.exists()
    with files.replacing(path) as draft:
        draft.write_bytes(content)
    return there


def reasons(name: str, flaws: Iterable[BadRow]) -> str:
    """Give the lines of reasons.csv for the flaws of a file."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    for bad in flaws:
        cells = [name, str(bad.line or ""), bad.column, bad.value[:LONGEST_VALUE], bad.reason]
        out.writerow([harmless(cell) for cell in cells])
    return text.getvalue()


def tell(ingested: Path, told: list[tuple[str, bool]]) -> None:
    """Add what `reasons` gave for some files to reasons.csv; with True behind it only what isn't there yet.

    So each is told once, however often a run that is cut off begins.
    """
    if not told:
        return
    path = ingested / FOLDER / REASONS
    before = path.read_text(encoding="utf-8") if path.exists() else ",".join(REASONS_HEADER) + "\n"
    new = "".join(text for text, maybe_there in told if not (maybe_there and "\n" + text in before))
    if new:
        files.write_text(path, before + new)
