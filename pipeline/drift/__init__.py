"""Sums that tell whether the world, or the champion in it, is still what it was. No disk, no clock.

`scores` holds the classic tests of a score against earlier ones. Each kind of evidence is a module of this folder, and
every one gives `Verdict`s: `loss` is an alarm on the champion's loss with a stated rate of false alarms. `estimate`
says how it does on rows without labels, `delays` how long labels take, and `diagnosis` what the evidence means.
"""

from pipeline.drift import delays, estimate, loss
from pipeline.drift.diagnosis import Diagnosis, diagnosis
from pipeline.drift.scores import SCORE_TESTS, Scores, Settings, agreed, judge
from pipeline.drift.verdicts import Verdict

__all__ = [
    "SCORE_TESTS",
    "Diagnosis",
    "Scores",
    "Settings",
    "Verdict",
    "agreed",
    "delays",
    "diagnosis",
    "estimate",
    "judge",
    "loss",
]
