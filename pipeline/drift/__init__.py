"""Sums that tell whether the world, or the champion in it, is still what it was. No disk, no clock.

`scores` holds the classic tests of a score against earlier ones, `features` whether rows come from where the model
learnt, `integrity` whether they are fit to be judged. Each kind of evidence is a module of this folder, and every one
gives `Verdict`s.
"""

from pipeline.drift.features import Settings as FeatureSettings
from pipeline.drift.features import judge_features, stability
from pipeline.drift.integrity import check as check_integrity
from pipeline.drift.scores import SCORE_TESTS, Scores, Settings, agreed, judge
from pipeline.drift.sketches import PREDICTION, Observed, Seen, observe, phases, sketch
from pipeline.drift.verdicts import Verdict

__all__ = [
    "PREDICTION",
    "SCORE_TESTS",
    "FeatureSettings",
    "Observed",
    "Scores",
    "Seen",
    "Settings",
    "Verdict",
    "agreed",
    "check_integrity",
    "judge",
    "judge_features",
    "observe",
    "phases",
    "sketch",
    "stability",
]
