"""What was set aside: the bad rows and bad files themselves, and a line for each that says why."""

import csv
import io
from pathlib import Path

from pipeline import files
from pipeline.readers import LONGEST_VALUE, BadRow

FOLDER = "rejected"
REASONS = "reasons.csv"
LONGEST_NAME = 50  # characters, 200 bytes at the most: with what is added to it a name has to fit in 255
REASONS_HEADER = ["file", "line", "column", "value", "reason"]


def only_lines(content: bytes, wanted: set[int]) -> bytes:
    """Give the header and the records that start on these lines (counted from 1), as they stand in the file."""
    lines = list(io.StringIO(content.decode("utf-8-sig", errors="replace"), newline=""))
    kept = [lines[0]] if 1 not in wanted else []
    reader = csv.reader(iter(lines))
    start = 0
    for _ in reader:
        if start + 1 in wanted:
            kept += lines[start : reader.line_num]
        start = reader.line_num
    return "".join(kept).encode()


def put(ingested: Path, name: str, sha256: str, content: bytes, flaws: list[BadRow]) -> None:
    """Put the bad rows, or the whole bad file, into rejected/, and a line for each flaw into reasons.csv, once."""
    folder = ingested / FOLDER
    with files.replacing(folder / f"{sha256[:8]}-{name[-LONGEST_NAME:]}") as draft:
        draft.write_bytes(content)
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    for bad in flaws:
        out.writerow([name, bad.line or "", bad.column, bad.value[:LONGEST_VALUE], bad.reason])
    reasons = folder / REASONS
    told = reasons.read_text(encoding="utf-8") if reasons.exists() else ",".join(REASONS_HEADER) + "\n"
    if "\n" + text.getvalue() not in told:
        files.write_text(reasons, told + text.getvalue())
