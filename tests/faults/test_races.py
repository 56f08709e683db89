"""Readers beside some deployments see whole releases only; `python -m tests.faults races` makes two hundred."""

import pytest

from pipeline import files
from tests.faults import races
from tests.faults.sweep import Trial, tried


def test_readers_see_whole_releases_only_while_others_go_live_are_rolled_back_and_pruned(pool, racing):
    assert tried(pool, racing, [Trial("a few", races.raced, (2, 20))]) == {}


def test_a_reader_notices_a_file_of_another_release_and_one_that_is_missing(redeployed):
    races.stranger(redeployed)
    score = redeployed.production("latestscore.txt").resolve()
    score.write_text("0.5\n")
    with pytest.raises(races.Torn, match="latestscore"):
        races.stranger(redeployed)
    score.unlink()
    with pytest.raises(races.Torn, match="missing"):
        races.stranger(redeployed)
    files.remove_folder(score.parent)
    with pytest.raises(races.Torn):
        races.stranger(redeployed)
