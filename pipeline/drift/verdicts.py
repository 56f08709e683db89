"""What a test says of a batch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What one test found. `statistic` is past `threshold` where it drifted; both None where it couldn't judge."""

    test: str
    drifted: bool
    statistic: float | None
    threshold: float | None
    why: str
    feature: str | None = None


def no_verdict(test: str, why: str, feature: str | None = None) -> Verdict:
    """Give the verdict of a test that had too little to go by."""
    return Verdict(test, False, None, None, f"no verdict: {why}", feature)
