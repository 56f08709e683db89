"""Kept models: those in service and in their shadow, through ticks, damage, losses and runs that are cut off."""

import json
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import deployment
from pipeline import assembly, batches, decisions, metrics, models, releases, shadows
from pipeline.decisions import Proposal
from pipeline.drift import Verdict
from pipeline.errors import CheckFailed
from pipeline.recipes import Recipe, Situation
from pipeline.shadows import Shadow
from tests.project import Project, clients

LATER = clients(80, seed=50)
SHARES, SHIFT = {"all": 0.6, "recent": 0.4}, 0.25


def mix_of_the_first(now: Situation, *proving: Any) -> Proposal:
    """Propose, whatever was measured, a mix of the two oldest models."""
    first = min(one.upto for one in now.kept)
    weights = {one.id: SHARES[one.slot.split("/")[0]] for one in now.kept if one.upto == first}
    recipe = Recipe(weights, SHIFT)
    return Proposal(recipe, decisions.prove(now, recipe, *proving), ["asked for by the test"])


@pytest.fixture(scope="session")
def mixed_run(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project that trains at every tick and serves a mix, not to be changed: `mixed` gives copies."""
    project = Project.made(tmp_path_factory.mktemp("mixed") / "a project")
    project.configure("policy: adaptive", "policy: always")
    project.test_table(clients(400, seed=100))
    project.drop("week1.csv", clients(150, seed=1, day=1))
    project.drop("week2.csv", clients(150, seed=2, day=8))
    assert project.does("fullprocess.py")["outcome"] == "first"
    project.drop("week3.csv", clients(150, seed=3, day=15))
    with mock.patch.object(decisions, "propose", mix_of_the_first):
        assert project.does("fullprocess.py")["outcome"] == "deployed"
    return project


@pytest.fixture
def mixed(mixed_run: Project, tmp_path: Path) -> Project:
    """Give a project of its own to the test, in which a mix is live."""
    return mixed_run.copied(tmp_path / "a project")


def kept(project: Project) -> dict[str, Shadow]:
    """Give the kept models by their id."""
    return {one.id: one for one in shadows.kept(project.config)}


def folder(project: Project, one: str = "") -> Path:
    """Give the folder of the kept models, or of one of them."""
    return project.folder / "models" / "shadow" / one


def situation(project: Project) -> Situation:
    """Give what decisions would rest on now."""
    with project.book() as book:
        return shadows.situation(project.config, book, project.champion())


def predictions(project: Project, model: Any) -> np.ndarray:
    """Give what a model makes of some clients."""
    config = project.config
    return models.predict(model, models.inputs_of(LATER, config.columns.features), config.task)


def served(project: Project) -> list[str]:
    """Give the ids of the models that are live."""
    return list(project.champion().recipe["weights"])


# ---------------------------------------------------------------------------------------------- what is kept
def test_after_the_first_run_every_candidate_is_kept_and_one_is_served(deployed):
    found = kept(deployed)
    assert sorted(one.slot for one in found.values()) == [
        "all/logistic_regression",
        "recent/logistic_regression",
    ]
    assert {one.upto for one in found.values()} == {2}
    (live,) = served(deployed)
    assert live in found
    for one in found.values():
        assert one.folder == folder(deployed, one.id)
        assert sorted(path.name for path in one.folder.iterdir()) == [
            "candidate.json",
            "sketch.json",
            "trainedmodel.skops",
        ]
    assert np.array_equal(predictions(deployed, found[live].model()), deployed.predictions(LATER))


def test_a_release_holds_the_models_of_its_mix_and_predicts_what_they_do_together(mixed):
    release, found = mixed.champion(), kept(mixed)
    assert sorted(release.recipe["weights"].values()) == [0.4, 0.6]
    assert release.recipe["shift"] == SHIFT
    each = {one: predictions(mixed, found[one].model()) for one in served(mixed)}
    expected = Recipe(**release.recipe).predict(each, "classification")
    assert mixed.predictions(LATER) == pytest.approx(expected, abs=1e-12)
    assert {one: facts["window"] for one, facts in release.components.items()} == {
        one: found[one].facts["window"] for one in served(mixed)
    }
    assert release.manifest["window"] in ("60% all, 40% recent 1", "40% recent 1, 60% all")


def test_kept_models_come_oldest_first(mixed):
    order = [(one.upto, one.slot) for one in shadows.kept(mixed.config)]
    assert order == sorted(order)
    assert [upto for upto, _ in order] == [2, 2, 3]


def test_models_of_another_contract_or_other_features_are_not_kept(mixed):
    mixed.configure("max: 50", "max: 60")
    assert kept(mixed) == {}
    mixed.configure("max: 60", "max: 50")
    assert len(kept(mixed)) == 3
    mixed.configure("    branch: category\n", "")
    assert kept(mixed) == {}


# ---------------------------------------------------------------------------------------------- the situation
def test_the_situation_after_ticks_is_what_is_on_disk_and_on_record(mixed):
    mixed.drop("week4.csv", clients(90, seed=4, day=22))
    mixed.drop("week5.csv", clients(30, seed=5, day=23).assign(exited=""))
    mixed.does("fullprocess.py")
    now, found = situation(mixed), kept(mixed)
    assert now.task == "classification"
    assert now.newest == 2, "two batches were scored; files that brought none don't make a model older"
    assert now.rows == 150 + 150 + 150 + 90
    assert now.recent == mixed.config.retraining.recent
    assert now.served.weights == mixed.champion().recipe["weights"]
    assert now.served.shift == mixed.champion().recipe["shift"]
    assert {one.id for one in now.kept} == set(found)
    for one in now.kept:
        file = found[one.id].upto
        assert (one.slot, one.upto) == (found[one.id].slot, max(0, file - 2))
        assert one.rows == (150 * min(file, 3) + 90 * (file > 3) if "all" in one.slot else 150)
    assert [batch.number for batch in now.batches] == [1.0, 2.0]


def test_a_batch_has_the_predictions_of_all_kept_models_that_had_not_learnt_from_it(mixed):
    before, rows = kept(mixed), clients(90, seed=4, day=22)
    seen = models.inputs_of(rows, mixed.config.columns.features)
    expected = {one: models.predict(shadow.model(), seen, "classification") for one, shadow in before.items()}
    live = models.predict(models.load(mixed.champion().model_file), seen, "classification")
    mixed.drop("week4.csv", rows)
    mixed.does("fullprocess.py")
    batch = situation(mixed).batches[-1]
    assert set(batch.predictions) == set(before), "and not the one that was trained on it"
    assert batch.truth.tolist() == rows["exited"].tolist()
    for one, predicted in expected.items():
        assert batch.predictions[one] == pytest.approx(predicted, abs=1e-12)
    assert batch.served == pytest.approx(live, abs=1e-12)
    newest = {one.slot: one.id for one in sorted(before.values(), key=lambda one: one.upto)}
    assert batch.slots == newest


def test_what_was_withdrawn_by_hand_proves_nothing_any_more(mixed):
    assert mixed.call("deployment.py", "--rollback").code == 0
    now = situation(mixed)
    assert now.batches == []
    assert decisions.fair(now, now.served) == []


def test_nor_does_an_alarm_on_what_is_gone_back_to(redeployed):
    before = redeployed.champion().manifest["replaced"]
    assert redeployed.call("deployment.py", "--rollback").code == 0
    for one, shadow in kept(redeployed).items():
        if shadow.upto == 3:
            shutil.rmtree(folder(redeployed, one))
    with redeployed.book() as book:
        assert shadows.since_training(redeployed.config, book, redeployed.champion(), 0)[0], "there was one"
    assert (redeployed.live(), situation(redeployed).alarm) == (before, [])


def test_batches_of_files_with_one_name_are_still_several(deployed):
    for number in (3, 4):
        deployed.drop("export.csv", clients(90, seed=number, day=number))
        deployed.does("ingestion.py")
    with deployed.book() as book:
        assert book.names()[3] == book.names()[4] == "export.csv"
        for number, test in ((3, "worst_score"), (4, "iqr")):
            found = [
                Verdict(one, one == test, 0.5, 0.6, f"{one} of {number}") for one in ("worst_score", "iqr")
            ]
            score = metrics.Score(0.5, 0.4, 0.6, 90)
            book.add_score(deployed.champion().id, str(number), (number, number), "roc_auc", score, found)
        assert shadows.since_training(deployed.config, book, deployed.champion(), 0) == ([], [])


# ---------------------------------------------------------------------------------------------- pruned
def test_what_nobody_asks_for_is_deleted(mixed):
    first, *_others = kept(mixed)
    shutil.copytree(folder(mixed, first), folder(mixed, ".another.draft"))  # of a run that was cut off
    assert first in kept(mixed)
    assert kept(mixed)[first].folder.name == first, "a draft is no kept model"
    (folder(mixed) / ".DS_Store").touch()
    shadows.prune(mixed.config, {first})
    (folder(mixed) / ".DS_Store").unlink()
    assert [path.name for path in folder(mixed).iterdir()] == [first]


def test_a_model_that_is_trained_and_not_kept_is_judged_before_it_goes(mixed):
    """Several trainings on just the same rows: only the newest models of a kind are kept."""
    for _ in range(3):
        assert mixed.call("fullprocess.py", "--force").code == 0
    with mock.patch.object(decisions, "keep", lambda now: set(now.served.weights)):
        assert len(mixed.does("fullprocess.py", "--force")["challengers"]) == 2


def test_through_ticks_only_what_decisions_keep_stays(mixed):
    for week in range(4, 8):
        mixed.drop(f"week{week}.csv", clients(80, seed=week, day=week))
        mixed.does("fullprocess.py")
        now = situation(mixed)
        assert {path.name for path in folder(mixed).iterdir()} == decisions.keep(now)
        assert set(served(mixed)) <= decisions.keep(now)


# ---------------------------------------------------------------------------------------------- damaged, lost
def damage(path: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def in_the_shadow(project: Project) -> str:
    """Give the id of a kept model that isn't served."""
    (one,) = set(kept(project)) - set(served(project))
    return one


def test_a_damaged_model_is_left_out_with_a_word(mixed, told):
    one, others = in_the_shadow(mixed), set(served(mixed))
    damage(folder(mixed, one) / releases.MODEL)
    assert set(kept(mixed)) == others
    assert [record.getMessage() for record in told.records] == [
        f"{folder(mixed, one) / releases.MODEL}: not what training wrote; no longer kept"
    ]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"id": "a"}', "\0"])
def test_damaged_facts_are_left_out_with_a_word(mixed, told, content):
    one, others = in_the_shadow(mixed), set(served(mixed))
    (folder(mixed, one) / shadows.CANDIDATE).write_text(content)
    assert set(kept(mixed)) == others
    assert f"{folder(mixed, one) / shadows.CANDIDATE}: damaged" in told.text


def test_a_model_that_is_damaged_while_it_is_asked_for_is_refused(mixed):
    one = kept(mixed)[in_the_shadow(mixed)]
    damage(one.folder / releases.MODEL)
    with pytest.raises(CheckFailed, match="run training"):
        one.model()
    with pytest.raises(CheckFailed, match="run training"):
        shadows.take(mixed.config, one)


def test_a_run_goes_on_without_a_damaged_model_and_deletes_it(mixed):
    one = in_the_shadow(mixed)
    damage(folder(mixed, one) / releases.MODEL)
    mixed.drop("week4.csv", clients(90, seed=4, day=22))
    ran = mixed.call("fullprocess.py")
    assert ran.code == 0
    assert "no longer kept" in ran.err
    assert not folder(mixed, one).exists()
    assert one not in situation(mixed).batches[-1].predictions


LOSSES = {
    "the folder of kept models": lambda project: shutil.rmtree(folder(project)),
    "all of models/": lambda project: shutil.rmtree(project.folder / "models"),
    "one served model": lambda project: shutil.rmtree(folder(project, served(project)[0])),
    "a served model's file": lambda project: (folder(project, served(project)[0]) / releases.MODEL).unlink(),
    "a byte of a served model": lambda project: damage(folder(project, served(project)[1]) / releases.MODEL),
    "the facts of a served model": lambda project: (
        folder(project, served(project)[0]) / shadows.CANDIDATE
    ).write_text("{"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_served_models_that_are_lost_come_back_from_the_release_and_predict_the_same(mixed, loss):
    before = {one: predictions(mixed, shadow.model()) for one, shadow in kept(mixed).items()}
    slots = {one: (shadow.slot, shadow.upto) for one, shadow in kept(mixed).items()}
    LOSSES[loss](mixed)
    shadows.restore(mixed.config, mixed.champion())
    back = kept(mixed)
    assert set(served(mixed)) <= set(back) <= set(before)
    for one, shadow in back.items():
        assert np.array_equal(predictions(mixed, shadow.model()), before[one])
        assert (shadow.slot, shadow.upto) == slots[one]


def test_a_feature_of_another_kind_is_another_feature(mixed):
    mixed.configure("branch: category", "branch: number")
    assert "other features" in mixed.champion().not_comparable(mixed.config)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_run_after_a_loss_scores_the_served_models_as_ever(mixed, loss):
    LOSSES[loss](mixed)
    mixed.drop("week4.csv", clients(90, seed=4, day=22))
    assert mixed.call("fullprocess.py").code == 0
    batch = situation(mixed).batches[-1]
    assert batch.number == 2
    assert set(served(mixed)) <= set(batch.predictions)


def test_the_single_model_of_a_release_comes_back_too(deployed):
    (live,) = served(deployed)
    shutil.rmtree(folder(deployed))
    shadows.restore(deployed.config, deployed.champion())
    assert list(kept(deployed)) == [live]
    assert np.array_equal(predictions(deployed, kept(deployed)[live].model()), deployed.predictions(LATER))


def test_what_is_there_is_not_written_again(mixed):
    before = mixed.stamps()
    shadows.restore(mixed.config, mixed.champion())
    assert mixed.stamps() == before


# ---------------------------------------------------------------------------------------------- cut off
class PowerCut(BaseException):
    """The end of a run, at any place."""


DECISIONS = "select kind, yes, reasons from decisions order by id"


def outcome(project: Project) -> dict[str, Any]:
    """Give what is left of a run that doesn't depend on when it ran; ids do, by the date in a model's file."""
    now = situation(project)
    names = {one.id: (one.slot, one.upto, one.rows) for one in now.kept}
    return {
        "kept": sorted(names.values()),
        "served": {names[one]: share for one, share in now.served.weights.items()},
        "batches": [batch.number for batch in now.batches],
        "decisions": [
            (kind, yes, [reason.partition(" (")[0] for reason in json.loads(reasons)])
            for kind, yes, reasons in project.query(DECISIONS)
        ],
        "predictions": predictions(project, models.load(project.champion().model_file)).round(9).tolist(),
    }


@pytest.mark.parametrize(
    "place",
    [
        (shadows, "take"),
        (deployment, "held_batch"),
        (deployment, "promote"),
        (assembly, "release"),
        (deployment, "make_live"),
    ],
    ids=lambda place: place[1],
)
def test_a_run_cut_off_on_the_way_to_its_decision_is_done_again_with_the_same_end(mixed, tmp_path, place):
    mixed.drop("week4.csv", clients(150, seed=4, day=22, flipped=True))
    whole, cut = mixed.copied(tmp_path / "whole"), mixed.copied(tmp_path / "cut off")
    whole.does("fullprocess.py")
    with mock.patch.object(*place, side_effect=PowerCut), pytest.raises(PowerCut):
        cut.does("fullprocess.py")
    cut.does("fullprocess.py")
    assert outcome(cut) == outcome(whole)
    assert cut.does("fullprocess.py")["outcome"] == "nothing"


def test_a_run_cut_off_after_it_deployed_leaves_what_is_live_and_the_next_tick_prunes(mixed):
    mixed.drop("week4.csv", clients(150, seed=4, day=22))
    with (
        mock.patch.object(decisions, "propose", mix_of_the_newest),
        mock.patch.object(shadows, "prune", side_effect=PowerCut),
        pytest.raises(PowerCut),
    ):
        mixed.does("fullprocess.py")
    live = mixed.live()
    mixed.does("fullprocess.py")
    assert mixed.live() == live
    mixed.drop("week5.csv", clients(150, seed=5, day=28))
    mixed.does("fullprocess.py")
    assert {path.name for path in folder(mixed).iterdir()} == decisions.keep(situation(mixed))


def mix_of_the_newest(now: Situation, *proving: Any) -> Proposal:
    """Propose, whatever was measured, the newest model that didn't learn from the newest batch."""
    unknowing = [one for one in now.kept if one.upto < now.newest]
    newest = max(unknowing, key=lambda one: one.upto)
    recipe = Recipe({newest.id: 1.0})
    return Proposal(recipe, decisions.prove(now, recipe, *proving), ["asked for by the test"])


def test_models_of_a_run_cut_off_after_they_were_taken_are_forgotten(mixed):
    mixed.drop("week4.csv", clients(90, seed=4, day=22))
    before = set(kept(mixed))
    with mock.patch.object(deployment, "promote", side_effect=PowerCut), pytest.raises(PowerCut):
        mixed.does("fullprocess.py")
    (new,) = set(kept(mixed)) - before
    batches.save(mixed.config, "4-held", situation(mixed).batches[-1])
    with mixed.book() as book:
        book.start_run()
        shadows.forget_cut_off(mixed.config, book, mixed.champion())
    assert set(kept(mixed)) == before
    assert not folder(mixed, new).exists()
    assert not (mixed.folder / "models" / "batches" / "4-held.npz").exists()


def test_models_of_a_run_that_decided_are_not_forgotten(mixed):
    before = set(kept(mixed))
    with mixed.book() as book:
        book.start_run()
        shadows.forget_cut_off(mixed.config, book, mixed.champion())
    assert set(kept(mixed)) == before


def test_models_trained_by_hand_are_not_forgotten(mixed):
    assert mixed.call("training.py").code == 0
    mixed.call("deployment.py")
    before = set(kept(mixed))
    assert 0 in {one.facts["run"] for one in kept(mixed).values()}
    with mixed.book() as book:
        book.start_run()
        shadows.forget_cut_off(mixed.config, book, mixed.champion())
    assert set(kept(mixed)) == before
