"""Sums that tell whether the world, or the champion in it, is still what it was. No disk, no clock.

Each kind of evidence is a module of this folder, and every one gives `Verdict`s: `scores` the classic tests of a score
against earlier ones, `loss` an alarm on the champion's loss and `features` one on its inputs, both with a stated rate
of false alarms, `integrity` whether rows are fit to be judged at all, of which `usual` knows what earlier files taught.
`estimate` says how the champion does on rows without labels, `delays` how long labels take, and `diagnosis` what all
the evidence together means.
"""

from pipeline.drift import delays, estimate, loss
from pipeline.drift.diagnosis import Diagnosis, diagnosis
from pipeline.drift.features import Settings as FeatureSettings
from pipeline.drift.features import judge_features, stability
from pipeline.drift.integrity import check as check_integrity
from pipeline.drift.scores import SCORE_TESTS, Scores, Settings, agreed, expected, judge
from pipeline.drift.sketches import PREDICTION, Observed, Seen, observe, phases, sketch
from pipeline.drift.usual import Usual, another_range, how_far, taken_in, widened
from pipeline.drift.verdicts import Verdict

__all__ = [
    "PREDICTION",
    "SCORE_TESTS",
    "Diagnosis",
    "FeatureSettings",
    "Observed",
    "Scores",
    "Seen",
    "Settings",
    "Usual",
    "Verdict",
    "agreed",
    "another_range",
    "check_integrity",
    "delays",
    "diagnosis",
    "estimate",
    "expected",
    "how_far",
    "judge",
    "judge_features",
    "loss",
    "observe",
    "phases",
    "sketch",
    "stability",
    "taken_in",
    "widened",
]
