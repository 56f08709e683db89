"""Anything in any order: files come, runs are killed, files damaged, models withdrawn, the config changed, all mended.

Hypothesis makes up the order and, if something breaks, the shortest one that breaks it. After each step production is
whole and the history has only grown; in the end every good row that was ever dropped is there once.
"""

import itertools
import re
import shutil
import traceback

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.faults.corruption import BY_SIZE, DAMAGED, DAMAGES, LOOKS, mended
from tests.faults.sweep import CALLS, DOCUMENTED, Frame, Trial, Wrong, forked
from tests.project import Project, Ran, clients

SEQUENCES, EXAMPLES, STEPS = 40, 4, 12  # each sequence is some examples of so many steps at most
POLICIES = ("adaptive", "always", "never")
BAD = ("", "no table\n", "client,seen\nAnn,2025-03-01\n", "\x00\x01\x02")
HISTORY = {
    "files": "select id, name, sha256, status, rows, output from files order by id",
    "releases": "select number, id, model, replaced from releases order by number",
    "decisions": "select id, kind, yes, reasons from decisions order by id",
    "scores": "select id, release, batch, value from scores order by id",
}


class Machine(RuleBasedStateMachine):
    """A project that goes through anything."""

    start: Project
    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.project = self.start.copied(self.start.folder / f"example {next(self.numbers)}")
        self.dropped = itertools.count(100)
        self.good = {row.partition(",")[0] for row in self.project.rows()}
        self.history: dict[str, list[tuple]] = {name: [] for name in HISTORY}

    def teardown(self) -> None:
        """Let a last run finish everything, and look at all of it."""
        try:
            self.finished()
        finally:
            shutil.rmtree(self.project.folder)

    def finished(self) -> None:
        """Fail if a row is lost or counted twice, or if production isn't whole."""
        self.runs("fullprocess.py")
        found = [row.partition(",")[0] for row in self.project.rows()]
        assert sorted(found) == sorted(self.good), "each good row once"
        self.runs("deployment.py", "--verify")
        self.runs("diagnostics.py")

    def runs(self, script: str, *flags: str, codes: tuple[int, ...] = (0,)) -> Ran:
        """Run a program, which must leave with one of these codes and no traceback."""
        ran = forked(self.project, script, *flags)
        assert ran.code in codes, f"{script}: {ran.code}: {ran.err}"
        assert "Traceback" not in ran.err, ran.err
        return ran

    # ------------------------------------------------------------------------------------------ what happens
    @rule(rows=st.integers(20, 120), day=st.integers(15, 28), flipped=st.booleans())
    def file_comes(self, rows: int, day: int, flipped: bool) -> None:
        """A file with new clients."""
        seed = next(self.dropped)
        self.project.drop(f"file{seed}.csv", clients(rows, seed=seed, day=day, flipped=flipped))
        self.good |= {f"client {seed}-{number}" for number in range(rows)}

    @rule()
    def file_comes_again(self) -> None:
        """One that was there before, under another name."""
        known = sorted((self.project.folder / "drop").glob("*.csv"))
        shutil.copyfile(known[0], known[0].with_name(f"again{next(self.dropped)}.csv"))

    @rule(content=st.sampled_from(BAD))
    def bad_file_comes(self, content: str) -> None:
        """One that is no table, or not of these columns."""
        self.project.drop(f"bad{next(self.dropped)}.csv", content)

    @rule(script=st.sampled_from(["fullprocess.py", "ingestion.py"]))
    def run_comes(self, script: str) -> None:
        """Cron, or a person who is in a hurry."""
        self.runs(script)

    @rule(call=st.sampled_from(CALLS), number=st.integers(1, 60), forced=st.booleans())
    def run_is_killed(self, call: str, number: int, forced: bool) -> None:
        """At a system call that may change something, if the run gets there."""
        kill = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}", "-o", "/dev/null")
        ran = forked(self.project, "fullprocess.py", *["--force"] * forced, strace=kill)
        assert ran.code in (0, -9), ran.err

    @rule(policy=st.sampled_from(POLICIES))
    def config_changes(self, policy: str) -> None:
        """Another policy."""
        text = self.project.config_file.read_text()
        self.project.config_file.write_text(re.sub(r"policy: \w+", f"policy: {policy}", text))

    @rule()
    def model_is_trained(self) -> None:
        """By hand, whatever the policy."""
        self.runs("fullprocess.py", "--force")

    @rule()
    def model_is_withdrawn(self) -> None:
        """By hand; there may be none before it."""
        self.runs("deployment.py", "--rollback", codes=(0, 65))

    @rule(
        what=st.sampled_from(sorted({*DAMAGED} - {BY_SIZE})),
        how=st.sampled_from(sorted(DAMAGES)),
        look=st.sampled_from(LOOKS),
    )
    def file_is_damaged(self, what: str, how: str, look: tuple[str, ...]) -> None:
        """Told in one line with a documented code and mended by a person, or done without."""
        found = sorted(self.project.folder.glob(DAMAGED[what][0]))
        if not found or (what == "records" and not self.project.ingested("records.seal").exists()):
            return  # it isn't known what records were like that a run was killed over
        before = found[0].read_bytes()
        DAMAGES[how](found[0])
        told = [self.runs(*program, codes=DOCUMENTED) for program in (look, *LOOKS)]
        assert all(ran.err.count("\n") == 1 for ran in told if ran.code), told
        assert mended(self.project, told, found[0], before) == {}

    @rule()
    def records_are_repaired(self) -> None:
        """Also if nothing is wrong."""
        self.runs("diagnostics.py", "--repair")

    # ------------------------------------------------------------------------------------------ what always holds
    @invariant()
    def production_is_whole(self) -> None:
        """And what the records tell has only grown."""
        self.runs("deployment.py", "--verify")
        now = {name: self.project.query(sql) for name, sql in HISTORY.items()}
        for name, before in self.history.items():
            assert now[name][: len(before)] == before, f"{name}: history was changed"
        self.history = now


def trials(_: Frame, examples: int = EXAMPLES) -> list[Trial]:
    """Give sequences by number: each has its own."""
    return [Trial(f"sequence {number}", played, (number, examples)) for number in range(SEQUENCES)]


def played(_: Frame, project: Project, number: int, examples: int) -> Wrong:
    """Play some examples of a sequence, and give what broke with the steps that led to it."""

    @seed(number)
    class Sequence(Machine):
        start = project

    chosen = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Sequence, settings=chosen)
    except (AssertionError, Flaky) as problem:  # a kill may come elsewhere when it's tried again
        return {"broke": "".join(traceback.format_exception(problem))[-3000:]}
    return {}
