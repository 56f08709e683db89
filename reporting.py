"""Report: to be written in a few minutes."""

from pipeline.cli import Result


def run(config, book, pdf: bool = False) -> Result:
    """Nothing yet."""
    return Result("report: not written yet")
