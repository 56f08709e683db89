"""A history replayed, tick by tick, through the very decisions of the cron job. No disk, no records.

At each tick the rows are predicted by what was served before them; then the labels of the batch `delay` ticks ago
arrive, and the policy may train and deploy. What a fit gives depends on its rows alone, so policies share fits; each
pays for its own.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import decisions, drift, holdout, metrics, models
from pipeline.config import Config
from pipeline.drift import loss
from pipeline.recipes import MEMORY, Batch, Kept, Recipe, Situation

if TYPE_CHECKING:
    import pandas as pd

HORIZON = 5  # ticks over which a deployment has to do better than what it replaced
YARDSTICKS = ("never", "always", "every")  # deploy whatever they train, as a calendar would


@dataclass(frozen=True)
class Ticks:
    """A history cut into ticks, oldest first: the name of each, its inputs and its truth, shape (rows,)."""

    names: list[str]
    inputs: list["pd.DataFrame"]
    truth: list[np.ndarray]

    def __len__(self) -> int:
        """Give the number of ticks."""
        return len(self.names)


@dataclass
class Fits:
    """Models fitted on windows of the ticks, and what they predict; each is made once, whoever asks."""

    config: Config
    ticks: Ticks
    families: Mapping[str, Mapping[str, Any] | None]
    seconds: dict[str, float] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    _models: dict[str, Any] = field(default_factory=dict)
    _predictions: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)

    def fit(
        self, window: str, family: str, upto: int, recent: int, held_above: int | None = None
    ) -> str | None:
        """Give the id of the model learnt from ticks up to `upto`; None if they're too few, or have one outcome.

        `window` is "all" or "recent", the newest `recent` ticks. With `held_above` the rows of `held` are left out.
        """
        import pandas as pd

        first = 0 if window == "all" else max(0, upto + 1 - recent)
        name = f"{window}/{family}@{first}-{upto}" + ("" if held_above is None else f" without {held_above}")
        if name in self._models:
            return name
        held = self.held(held_above, upto) if held_above is not None else {}
        learnt = [(at, ~held[at] if at in held else slice(None)) for at in range(first, upto + 1)]
        truth = np.concatenate([self.ticks.truth[at][rows] for at, rows in learnt])
        if len(truth) < self.config.retraining.min_rows or truth.min() == truth.max():
            return None
        inputs = pd.concat([self.ticks.inputs[at][rows] for at, rows in learnt], ignore_index=True)
        config, start = self.config, time.perf_counter()
        metric = metrics.chosen(config.task, config.scoring.metric).name
        model = models.build(
            family, self.families[family], config.columns.features, config.task, config.model.seed, metric
        )
        self._models[name] = models.fit(model, inputs, truth)
        self.seconds[name] = time.perf_counter() - start
        self.rows[name] = sum(len(self.ticks.truth[at]) for at in range(first, upto + 1))
        return name

    def predict(self, name: str, tick: int) -> np.ndarray:
        """Give a model's prediction of a tick's rows, shape (rows,)."""
        if (name, tick) not in self._predictions:
            found = models.predict(self._models[name], self.ticks.inputs[tick], self.config.task)
            self._predictions[name, tick] = found
        return self._predictions[name, tick]

    def held(self, above: int, upto: int) -> dict[int, np.ndarray]:
        """Give for each tick above `above` the mask of the rows that are left out for the proof, as `holdout` does."""
        at = range(above + 1, upto + 1)
        numbers = np.concatenate([np.full(len(self.ticks.truth[one]), one) for one in at])
        places = np.concatenate([np.random.default_rng(one).random(len(self.ticks.truth[one])) for one in at])
        mask = holdout.proof_at(numbers, places, above, self.config.deployment.proof_rows)
        return {one: mask[numbers == one] for one in at}


@dataclass
class Replay:
    """One policy on its way through the ticks."""

    config: Config
    fits: Fits
    policy: str
    start: int
    delay: int
    proving: bool = False  # even if the policy is a yardstick
    task: str = ""
    family: str = ""  # of the first champion; yardsticks train no other
    kept: list[Kept] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    recipe: Recipe = field(default_factory=lambda: Recipe({}))
    served: dict[int, np.ndarray] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    deployed: list[tuple[int, Recipe, Recipe]] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    drifts: list[str] = field(default_factory=list)
    harmed: int = -1  # newest tick before the harm that last led to a training
    past: list[float] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)

    def run(self, family: str, passed: Callable[[], object] = lambda: None) -> "Replay":
        """Go through all ticks; the first champion learnt from the first `start` of them."""
        first = self.fits.fit("all", family, self.start - 1, self.start)
        assert first is not None
        self.task, self.family = self.config.task, family
        self.kept = [self._kept(first)]
        self.recipe = Recipe({first: 1.0})
        self.state = loss.reference(np.empty(0))
        ticks = self.fits.ticks
        for at in range(self.start, len(ticks)):
            self.served[at] = self._predict(self.recipe, at)
            fact: dict[str, Any] = {"decision": "kept", "reasons": [], "fits": 0}
            if (
                at - self.delay >= self.start and at < len(ticks) - 1
            ):  # a decision at the last tick serves nobody
                fact = self._turn(at, at - self.delay)
            truth = ticks.truth[at]
            self.told.append(
                {
                    "tick": ticks.names[at],
                    "rows": len(truth),
                    **scored(self.task, truth, self.served[at]),
                    **fact,
                }
            )
            passed()
        return self

    def _turn(self, at: int, labelled: int) -> dict[str, Any]:
        """Do what a run does after the labels of a batch came, and give it as facts."""
        self._judge(labelled)
        now = self._situation(labelled)
        decision = self.decided(now)
        made = self._train(now, decision.windows) if decision.yes else []
        now = self._situation(labelled)
        reasons, deployed, proof = decision.reasons, None, None
        if self._unproven:
            deployed = Recipe({made[0]: 1.0}) if made else None
        else:
            metric = metrics.chosen(self.task, self.config.scoring.metric)
            asked = self.config.deployment
            proving = decisions.Proving(asked.margin, asked.confidence)
            proposal = decisions.propose(now, metric, proving, self.config.model.seed)
            reasons, deployed, proof = [*reasons, *proposal.reasons], proposal.recipe, proposal.proof
        if deployed is not None:
            self.deployed.append((at, self.recipe, deployed))
            self._begin(deployed, proof)
        wanted = decisions.keep(replace(now, served=self.recipe))
        self.kept = [one for one in self.kept if one.id in wanted]
        done = "deployed" if deployed else "trained" if made else "kept"
        return {"decision": done, "reasons": reasons, "fits": len(made)}

    @property
    def _unproven(self) -> bool:
        return self.policy.split()[0] in YARDSTICKS and not self.proving

    def decided(self, now: Situation) -> decisions.Decision:
        """Decide whether to train, by the policy; what is to be compared with policies may decide otherwise."""
        asked = self.config.retraining
        settings = decisions.Retraining(asked.growth, asked.cooldown, asked.price, min_rows=asked.min_rows)
        return decisions.retrain(self.policy, now, settings)

    def _situation(self, labelled: int) -> Situation:
        harmed = self._harmed() if self.alarms else self.harmed if self.harmed >= 0 else None
        trained = max((one.upto for one in self.kept), default=0)
        return Situation(
            task=self.task,
            batches=self.batches[-MEMORY:],
            kept=self.kept,
            served=self.recipe,
            rows=sum(len(truth) for truth in self.fits.ticks.truth[: labelled + 1]),
            newest=labelled,
            alarm=self.alarms[-1:],
            drift=self.drifts[-1:],
            recent=self.config.retraining.recent,
            harmed=harmed,
            may_forget=harmed is not None
            and self._enough(harmed, labelled)
            and not self._enough(harmed, int(trained)),
        )

    def _enough(self, harmed: int, upto: int) -> bool:
        """Say whether there are enough rows of the ticks after the harm, up to this one, to learn from them alone."""
        rows = sum(len(truth) for truth in self.fits.ticks.truth[harmed + 1 : upto + 1])
        return rows >= decisions.ENOUGH * self.config.retraining.min_rows

    def _harmed(self) -> int | None:
        """Give the newest tick before the loss began to rise."""
        since = loss.onset(self.state)
        return int(since) - 1 if since else None

    def _judge(self, tick: int) -> None:
        """Take in a batch whose labels came: predictions of the kept models, score tests, the alarm on the loss."""
        truth = self.fits.ticks.truth[tick]
        own = self._predict(self.recipe, tick)
        unknowing = [one for one in self.kept if one.upto < tick]
        self.batches.append(
            Batch(
                number=tick,
                truth=truth,
                predictions={one.id: self.fits.predict(one.id, tick) for one in unknowing},
                slots={one.slot: one.id for one in unknowing},
                served=self.served[tick],
            )
        )
        metric = metrics.chosen(self.task, self.config.scoring.metric)
        asked = self.config.drift
        past = drift.expected(self.past, self.before, asked.min_history)
        scores = drift.Scores(metric.score(truth, self.served[tick]), past, self.before)
        verdicts = drift.judge(asked.tests, scores, metric, drift.Settings(asked.min_history, asked.alpha))
        if self.state["loss"] is None and self.task == "regression":
            self.state = loss.reference(np.empty(0), scale=loss.error_scale(truth, own))
        lost = loss.of_rows(self.task, truth, own, self.state["scale"])
        agreed = drift.agreed(verdicts, asked.require)
        self.state, alarm = loss.update(self.state, str(tick), lost, agreed)
        if agreed:
            self.drifts.append("; ".join(one.why for one in verdicts if one.drifted))
        elif scores.new == scores.new and not alarm.drifted:
            self.past.append(scores.new)
        if alarm.drifted:
            self.alarms.append(alarm.why)

    def _train(self, now: Situation, windows: tuple[str, ...]) -> list[str]:
        """Fit what competes on these windows; after an alarm without a third of the rows since the loss rose."""
        above, recent = None, now.recent
        if now.alarm and not self._unproven:
            learnt = max(one.upto for one in self.kept if one.id in self.recipe.weights)
            self.harmed = max(self.harmed, -1 if now.harmed is None else int(now.harmed))
            above = max(learnt, self.harmed)
        if self.harmed >= 0 and self._enough(self.harmed, int(now.newest)):
            recent = min(recent, now.newest - self.harmed)
        made = []
        for window in windows:
            if window == "recent" and recent > now.newest:
                if not now.alarm or "all" in windows:
                    continue
                window = "all"  # as long as the recent window is all there is
            for family in [self.family] if self._unproven else self.fits.families:
                name = self.fits.fit(window, family, int(now.newest), recent, above)
                if name is not None and name not in self.trained:
                    made.append(name)
                    self.kept.append(self._kept(name))
        self.trained += made
        if made:
            self.alarms, self.drifts = [], []
        if above is not None and made:
            self._hold(above, int(now.newest), made)
        return made

    def _hold(self, above: int, upto: int, made: list[str]) -> None:
        """Add the rows that new models were not shown as a batch by itself, newer than any."""
        held = self.fits.held(above, upto)
        fair = [one for one in self.kept if one.upto <= above or one.id in made]

        def rows_of(predict: Callable[[int], np.ndarray]) -> np.ndarray:
            return np.concatenate([predict(tick)[mask] for tick, mask in held.items()])

        self.batches.append(
            Batch(
                number=upto + 0.5,
                truth=rows_of(lambda tick: self.fits.ticks.truth[tick]),
                predictions={one.id: rows_of(partial(self.fits.predict, one.id)) for one in fair},
                slots={one.slot: one.id for one in fair},
                served=rows_of(lambda tick: self.served[tick]),
            )
        )

    def _begin(self, recipe: Recipe, proof: decisions.Proof | None) -> None:
        """Let the alarm and the score history of what is deployed begin with the rows of its proof."""
        self.recipe, self.before, self.past = recipe, self.past, []
        self.alarms, self.drifts = [], []
        truth, own = (proof.truth, proof.predicted) if proof else (np.empty(0), np.empty(0))
        self.state = loss.succeeded(self.state, loss.of_rows(self.task, truth, own, self.state["scale"]))

    def _kept(self, name: str) -> Kept:
        slot, _, span = name.partition("@")
        upto = int(span.split()[0].partition("-")[2])
        rows = self.fits.rows[name]
        return Kept(name, slot, upto, rows)

    def _predict(self, recipe: Recipe, tick: int) -> np.ndarray:
        return recipe.predict({one: self.fits.predict(one, tick) for one in recipe.weights}, self.task)

    def facts(self) -> dict[str, Any]:
        """Give the JSON of a policy: a summary, and every tick."""
        ticks = self.fits.ticks
        at = range(self.start, len(ticks))
        truth = np.concatenate([ticks.truth[one] for one in at])
        prediction = np.concatenate([self.served[one] for one in at])
        summary = {
            **summed_up(self.task, truth, prediction),
            "ticks": len(at),
            "fits": len(self.trained),
            "deploys": len(self.deployed),
            "useless": sum(self._useless(*one) for one in self.deployed),
            "train_seconds": round(sum(self.fits.seconds[name] for name in self.trained), 3),
        }
        return {"summary": summary, "ticks": self.told}

    def _useless(self, at: int, old: Recipe, new: Recipe) -> bool:
        """Say whether a deployment did no better, over the next ticks, than what it replaced would have."""
        following = range(at + 1, min(at + 1 + HORIZON, len(self.fits.ticks)))
        truth = self.fits.ticks.truth
        before, after = (
            sum(float(np.sum((self._predict(one, tick) - truth[tick]) ** 2)) for tick in following)
            for one in (old, new)
        )
        return after >= before


def scored(task: str, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Give the scores of one tick."""
    names = ("rmse", "mae") if task == "regression" else ("accuracy", "brier")
    return {name: metrics.METRICS[name].score(truth, prediction) for name in names}


def summed_up(task: str, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Give the scores of all ticks' rows together."""
    names = ("rmse", "mae") if task == "regression" else ("accuracy", "f1", "log_loss", "brier")
    return {name: metrics.METRICS[name].score(truth, prediction) for name in names}
