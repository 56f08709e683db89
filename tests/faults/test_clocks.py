"""A clock set back between runs; `python -m tests.faults clocks` has clocks of other kinds, and late labels."""

from pathlib import Path

import pytest

from pipeline import releases
from tests.faults import clocks

WHY_NOT = clocks.why_not(Path())


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_a_clock_set_back_mixes_up_no_releases_and_no_row_is_counted_twice(deployed):
    deployed.configure("deployment: {", "deployment: {keep: 2, ")
    before, first = len(deployed.rows()), deployed.live()
    for number, (shown, rows) in enumerate(zip((clocks.DAY, -clocks.DAY), clocks.weeks()[:2], strict=True)):
        deployed.drop(f"table {number}.csv", rows)
        facts = deployed.run("fullprocess.py", "--json", before=clocks.clock(shown)).facts
        assert (facts["outcome"], facts["ingested"]["rows"]) == ("deployed", len(rows))
    ahead, back = (one["release"] for one in deployed.does("deployment.py", "--list")["releases"])
    assert back < first < ahead, "by name the newest is the oldest"
    assert deployed.live() == back
    assert set(releases.all_ids(deployed.production())) == {ahead, back}, (
        "the oldest went, not the oldest by name"
    )
    assert len(deployed.rows()) == before + sum(map(len, clocks.weeks()[:2]))
    assert deployed.does("fullprocess.py")["outcome"] == "nothing"
    assert deployed.does("deployment.py", "--rollback")["release"] == ahead
