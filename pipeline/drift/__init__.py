"""Sums that tell whether the world, or the champion in it, is still what it was. No disk, no clock.

`scores` holds the classic tests of a score against earlier ones. Each kind of evidence is a module of this folder, and
every one gives `Verdict`s.
"""

from pipeline.drift.scores import SCORE_TESTS, Scores, Settings, agreed, judge
from pipeline.drift.verdicts import Verdict

__all__ = ["SCORE_TESTS", "Scores", "Settings", "Verdict", "agreed", "judge"]
