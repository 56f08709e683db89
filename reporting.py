"""Report: everything there is to know about the model and its data, on one page for people.

    python reporting.py [--config FILE] [--json] [-v] [--pdf]

The page is one file that fetches nothing, to be read on a screen, on a phone, or on paper. Its numbers come from the
records, from production and from the ingested rows; nothing is run again.

Reads  the records, paths.production, paths.ingested/parts/, paths.test, paths.reports/calllist.csv
Writes paths.reports/report.html
       paths.reports/scorehistory.png and confusionmatrix.png
       paths.reports/report.pdf             with --pdf, printed by Chromium or Chrome
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from pipeline import cli, files, pictures, report, views
from pipeline.cli import Result, log
from pipeline.config import Config
from pipeline.errors import FileError
from pipeline.records import Records

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (  # a browser that does nothing but print
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-pdf-header-footer",
)  # fmt: skip
LONGEST = 120  # seconds that printing may take


def run(config: Config, book: Records, pdf: bool = False) -> Result:
    """Write the report, and its pictures beside it."""
    facts = views.gathered(config, book)
    page = config.reports / "report.html"
    files.write_text(page, report.page(facts))
    written = [page]
    for picture in report.drawn(facts):
        written.append(config.reports / f"{picture.name}.png")
        with files.replacing(written[-1]) as draft:
            draft.write_bytes(pictures.png(picture))
    if pdf:
        written.append(print_page(page))
    told = [str(path) for path in written]
    return Result(f"report: {', '.join(told)}", {"files": told, "bytes": page.stat().st_size})


def print_page(page: Path) -> Path:
    """Print the page to report.pdf beside it. Raise FileError if there's no browser to do it, or it fails."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise FileError(
            f"{page.with_suffix('.pdf')}: not written: no Chromium or Chrome found; `apt install chromium`"
        )
    target = page.with_suffix(".pdf")
    with files.replacing(target) as draft, tempfile.TemporaryDirectory() as profile:
        as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
        asked = [*QUIET, *as_root, f"--user-data-dir={profile}", f"--print-to-pdf={draft}", page.as_uri()]
        log.info("printing with %s", browser)
        try:
            done = subprocess.run(
                [browser, *asked], stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST
            )
        except subprocess.TimeoutExpired:
            raise FileError(f"{target}: not written: {browser} took more than {LONGEST} s") from None
        if done.returncode or not draft.exists():
            raise FileError(f"{target}: not written: {browser} failed with exit code {done.returncode}")
    return target


if __name__ == "__main__":
    cli.launch(run, __doc__, ("--pdf", {"action": "store_true", "help": "print the page to report.pdf too"}))
