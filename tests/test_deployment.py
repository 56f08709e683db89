"""Deployment: what goes live and why, what a release holds, the way back, and production that was tampered with."""

import errno
import hashlib
import json
import math
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest

from pipeline import files, records, releases, watch
from pipeline.errors import CheckFailed, FileError
from pipeline.records import Records
from tests import project as projects
from tests.project import Project, clients, made_of

DECISIONS = "select kind, yes, reasons from decisions order by id"


def challenged(project: Project, *window: str) -> None:
    """Drop a week of flipped clients, and train on it."""
    project.drop("week3.csv", clients(180, seed=3, day=15, flipped=True))
    assert project.call("ingestion.py").code == 0
    assert project.call("training.py", *window).code == 0


def sha256(path: Path) -> str:
    """Give the hash of a file in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------------------------------------- what goes live
def test_a_challenger_that_is_no_better_is_refused_with_70_and_on_record(deployed):
    deployed.call("training.py")
    live = deployed.live()
    refused = deployed.call("deployment.py")
    assert refused.code == 70
    assert "not deployed" in refused.complaint
    assert deployed.live() == live
    kind, yes, reasons = deployed.query(DECISIONS)[-1]
    assert (kind, yes) == ("deploy", 0)
    assert "asked for by hand" in reasons
    assert "against the champion's" in reasons


def test_a_challenger_that_is_better_is_deployed_and_on_record(deployed):
    challenged(deployed, "--window", "1")
    before = deployed.live()
    facts = deployed.does("deployment.py")
    assert deployed.live() == facts["release"] != before
    kind, yes, reasons = deployed.query(DECISIONS)[-1]
    assert (kind, yes) == ("deploy", 1)
    assert json.loads(reasons) == facts["reasons"]
    assert deployed.query("select id, replaced from releases order by number")[-1] == (
        facts["release"],
        before,
    )
    assert releases.verified(deployed.production(f"releases/{before}"))


def test_a_challenger_that_is_better_by_less_than_the_margin_is_refused(deployed):
    deployed.configure("deployment: {", "deployment: {margin: 0.95, ")
    challenged(deployed, "--window", "1")
    refused = deployed.call("deployment.py")
    assert refused.code == 70
    assert "not surely better by more than 0.95" in refused.complaint


def test_the_first_release_is_the_candidate_that_does_best_on_the_test_table(project):
    project.configure(
        "    logistic_regression:",
        "    logistic_regression:\n    random_forest: {n_estimators: 1, max_depth: 1}",
    )
    project.test_table(clients(300, seed=100))
    project.drop("week1.csv", clients(150, seed=1))
    facts = project.does("fullprocess.py")
    assert [(one["name"], one["deployed"]) for one in facts["challengers"]] == [
        ("logistic_regression", True),
        ("random_forest", False),
    ]
    assert facts["challengers"][0]["score"] > facts["challengers"][1]["score"]
    assert project.champion().manifest["name"] == "logistic_regression"


def test_without_candidates_there_is_nothing_to_deploy(project):
    refused = project.call("deployment.py")
    assert refused.code == 65
    assert "training.py" in refused.complaint


def test_a_candidate_that_was_changed_after_its_training_is_refused(deployed):
    challenged(deployed)
    with (deployed.folder / "models" / "logistic_regression-all" / releases.MODEL).open("ab") as model:
        model.write(b"x")
    refused = deployed.call("deployment.py")
    assert refused.code == 70
    assert "training.py" in refused.complaint


# ---------------------------------------------------------------------------------------------- a release
def test_a_release_is_a_folder_with_everything_and_a_manifest_of_hashes(redeployed):
    folder = redeployed.production(f"releases/{redeployed.live()}")
    manifest = json.loads((folder / "manifest.json").read_text())
    held = {path.name for path in folder.iterdir()}
    assert held >= {"trainedmodel.skops", "latestscore.txt", "ingestedfiles.txt", "manifest.json"}
    assert manifest["files"] == {name: sha256(folder / name) for name in held - {"manifest.json"}}
    assert manifest["id"] == folder.name
    assert {"scikit-learn", "numpy", "skops"} <= set(manifest["libraries"])
    assert set(manifest["features"]) == {"activity", "complaints", "branch"}
    assert manifest["learnt_upto"] == 3
    assert manifest["replaced"] == redeployed.query("select id from releases order by number")[0][0]
    assert manifest["metric"] == "roc_auc"
    assert manifest["score"]["low"] < manifest["score"]["value"] < manifest["score"]["high"]
    assert len(manifest["reasons"]) >= 2
    assert manifest["data"]["rows"] > 0
    assert re.fullmatch(r"0\.\d+\n", (folder / "latestscore.txt").read_text())
    assert (folder / "ingestedfiles.txt").read_text() == redeployed.ingested("ingestedfiles.txt").read_text()


def test_readers_find_the_live_files_through_links_that_change_together(redeployed):
    for name in ("trainedmodel.skops", "latestscore.txt", "ingestedfiles.txt"):
        path = redeployed.production(name)
        assert path.readlink() == Path("current") / name
        assert path.read_bytes() == redeployed.production(f"releases/{redeployed.live()}/{name}").read_bytes()
    assert redeployed.production("current").readlink() == Path("releases") / str(redeployed.live())


def test_the_list_marks_the_live_release(redeployed):
    told = redeployed.call("deployment.py", "--list").out.splitlines()
    assert len(told) == 2
    assert told[0].startswith("  ")
    assert told[1].startswith(f"* {redeployed.live()}")
    facts = redeployed.does("deployment.py", "--list")["releases"]
    assert [one["live"] for one in facts] == [False, True]


def test_what_went_live_before_a_run_was_cut_off_is_listed_though_not_yet_on_record(deployed):
    challenged(deployed)
    with (
        mock.patch.object(Records, "add_release", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        deployed.call("deployment.py")
    old, new = deployed.does("deployment.py", "--list")["releases"]
    assert (old["live"], new["release"], new["live"]) == (False, deployed.live(), True)
    assert len(deployed.query("select id from releases")) == 1


def test_verifying_compares_every_release(redeployed):
    assert redeployed.does("deployment.py", "--verify")["live"] == redeployed.live()
    old = redeployed.does("deployment.py", "--list")["releases"][0]["release"]
    redeployed.production(f"releases/{old}/latestscore.txt").write_text("1\n")
    refused = redeployed.call("deployment.py", "--verify")
    assert refused.code == 70
    assert old in refused.complaint


def test_verifying_compares_the_releases_with_the_records(redeployed):
    facts = redeployed.does("deployment.py", "--verify")
    assert facts["parts"] == 3
    with redeployed.manifest() as manifest:
        learnt_upto, manifest["learnt_upto"] = manifest["learnt_upto"], 1
    refused = redeployed.call("deployment.py", "--verify")
    assert refused.code == 70
    assert "manifest.json: learnt_upto is 1, and " in refused.complaint
    with redeployed.manifest() as manifest:
        manifest["learnt_upto"] = learnt_upto
    assert redeployed.call("deployment.py", "--verify").code == 0


def test_a_score_that_was_not_defined_is_no_difference(redeployed):
    """The proof of a rare outcome may have had none: NaN in the manifest, nothing on record."""
    with redeployed.manifest() as manifest:
        manifest["score"]["value"] = math.nan
    assert "score is None, and " in redeployed.call("deployment.py", "--verify").complaint
    with sqlite3.connect(redeployed.folder / "records.db") as records:
        records.execute("update releases set score = null where id = ?", (manifest["id"],))
    redeployed.ingested("records.seal").unlink()
    assert redeployed.call("deployment.py", "--verify").code == 0


def test_verifying_reads_every_part_of_the_data(redeployed):
    part = next(redeployed.ingested("parts").glob("*.parquet"))
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    refused = redeployed.call("deployment.py", "--verify")
    assert (refused.code, refused.err.count("\n")) == (74, 1)
    assert f"{part.name}: gone or damaged" in refused.complaint


@pytest.mark.parametrize("others", ["2020", "2099"])
def test_pruning_keeps_the_live_release_and_the_one_before(deployed, others):
    first = deployed.live()
    for day in (1, 2, 3):
        deployed.copy_release(f"{others}010{day}T000000Z-deadbeef")
    deployed.configure("deployment: {", "deployment: {keep: 2, ")
    challenged(deployed, "--window", "1")
    live = deployed.does("deployment.py")["release"]
    assert set(releases.all_ids(deployed.production())) == {first, live}
    assert deployed.call("deployment.py", "--verify").code == 0


def test_pruning_goes_by_when_a_release_went_live_not_by_the_time_in_its_name(redeployed):
    """A clock may have been set back."""
    first, second = (one["release"] for one in redeployed.does("deployment.py", "--list")["releases"])
    older = [f"{year}0101T000000Z-deadbeef" for year in (2099, 2098)]
    for name in older:
        redeployed.copy_release(name)
    went_live = [*older, first, second]
    assert releases.prune(redeployed.production(), redeployed.champion(), 3, went_live) == older[:1]
    assert set(releases.all_ids(redeployed.production())) == {older[1], first, second}


def test_a_release_pruned_while_it_is_read_is_no_damage_and_the_one_that_took_over_is_read(redeployed):
    first, second = (one["release"] for one in redeployed.does("deployment.py", "--list")["releases"])
    hashed, config, production = files.sha256, redeployed.config, redeployed.production()

    def overtaken(path: Path) -> str:
        if path.parent.name == second and path.parent.exists():
            releases.go_live(production, releases.named(config, first))
            files.remove_folder(path.parent)
        return hashed(path)

    with mock.patch.object(files, "sha256", overtaken):
        assert getattr(releases.current(config), "id", None) == first
    again = releases.make(config, **made_of(redeployed.champion()))
    second = again.id
    with mock.patch.object(files, "sha256", overtaken):
        assert list(releases.all_verified(config)) == [first]


def test_two_releases_of_one_second_and_one_model_have_names_of_their_own(redeployed):
    """Else the second would take the folder of the first away, which may be live."""
    live = redeployed.champion()
    made = [releases.make(redeployed.config, **made_of(live)).id for _ in range(2)]
    assert made == [f"{live.id}-2", f"{live.id}-3"]
    gone = [f"{live.id}-4"]  # pruned, and on record
    assert releases.make(redeployed.config, **made_of(live), taken=gone).id == f"{live.id}-5"
    assert redeployed.champion().id == live.id


WHY_NOT = projects.why_no_strace()


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_a_run_killed_while_it_prunes_leaves_no_half_release(deployed, tmp_path):
    for day in (1, 2):
        deployed.copy_release(f"2020010{day}T000000Z-deadbeef")
    deployed.configure("deployment: {", "deployment: {keep: 2, ")
    challenged(deployed, "--window", "1")
    found = projects.points(deployed.copied(tmp_path / "undisturbed"), "deployment.py")
    pruning = [point for point in found if point.name == "unlinkat" and "deadbeef" in point.told]
    assert len(pruning) > 4
    projects.killed(deployed, pruning[2], "deployment.py")
    verified = deployed.call("deployment.py", "--verify")
    assert (verified.code, verified.err) == (0, "")


# ---------------------------------------------------------------------------------------------- the way back
def test_a_rollback_makes_the_release_before_live_again_and_goes_on_record(redeployed):
    first, second = (one["release"] for one in redeployed.does("deployment.py", "--list")["releases"])
    assert redeployed.does("deployment.py", "--rollback") == {"release": first, "withdrawn": second}
    assert redeployed.live() == first
    kind, yes, reasons = redeployed.query(DECISIONS)[-1]
    assert (kind, yes) == ("rollback", 1)
    assert second in reasons
    assert redeployed.does("deployment.py", "--rollback", second)["release"] == second
    assert redeployed.live() == second


def test_a_rollback_that_was_cut_off_before_its_record_is_put_on_record_by_the_next_run_once(redeployed):
    """Else what was withdrawn might be proposed again on the evidence of then."""
    asked = "select reasons, facts from decisions where kind = 'rollback'"
    withdrawn = redeployed.live()
    with (
        mock.patch.object(Records, "add_decision", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        redeployed.call("deployment.py", "--rollback")
    back = redeployed.live()
    assert (back != withdrawn, redeployed.query(asked)) == (True, [])
    for week in (4, 5):
        redeployed.drop(f"week{week}.csv", clients(60, seed=week, day=22 + week))
        redeployed.does("fullprocess.py")
        if redeployed.live() != back:
            break
    ((reasons, facts),) = redeployed.query(asked)
    assert json.loads(reasons) == [f"the link says so: {withdrawn} withdrawn"]
    assert json.loads(facts)["release"] == back
    assert json.loads(facts)["newest"] == 3


def test_going_back_and_forth_is_put_on_record_once_each(redeployed):
    second = redeployed.live()
    redeployed.call("deployment.py", "--rollback")
    redeployed.call("deployment.py", "--rollback", second)
    redeployed.drop("week4.csv", clients(60, seed=4, day=26))
    redeployed.does("fullprocess.py")
    assert redeployed.query("select count(*) from decisions where kind = 'rollback'") == [(2,)]


def test_after_a_rollback_the_next_run_tells_of_the_release_that_is_live(redeployed):
    assert redeployed.call("fullprocess.py").code == 0
    list_before = (redeployed.folder / "reports" / "calllist.csv").read_text()
    redeployed.call("deployment.py", "--rollback")
    facts = redeployed.does("fullprocess.py")
    assert facts["champion"]["release"] == redeployed.live()
    told = float((redeployed.folder / "models" / "latestscore.txt").read_text())
    assert told == pytest.approx(facts["champion"]["score"], abs=1e-5)
    assert (redeployed.folder / "reports" / "calllist.csv").read_text() != list_before


def test_there_is_no_way_back_from_the_first_release(deployed):
    refused = deployed.call("deployment.py", "--rollback")
    assert refused.code == 65
    assert "no release to go back to" in refused.complaint


def test_ingestion_by_hand_goes_on_where_production_is_damaged(deployed):
    deployed.champion().model_file.write_bytes(b"no model")
    deployed.drop("week3.csv", clients(80, seed=3))
    assert deployed.does("ingestion.py")["files"] == 1


def test_a_dry_run_says_what_the_run_would_stop_at(deployed):
    deployed.production("current").unlink()
    told = deployed.call("fullprocess.py", "--dry-run")
    assert (told.code, "was live; put it back" in told.complaint) == (70, True)


def test_a_copy_of_a_release_anywhere_is_told_as_one_if_it_is_damaged(tmp_path):
    for folder in (tmp_path / "models" / "copy", Path("/nowhere")):
        with pytest.raises(CheckFailed, match="put the file back, or copy the release anew"):
            releases.verified(folder)


def test_a_rollback_that_the_config_will_not_let_stand_says_so(deployed):
    first = deployed.live()
    deployed.configure("    complaints: {type: number, min: 0, max: 50}\n", "")
    deployed.call("ingestion.py", "--rebuild")
    deployed.drop("week3.csv", clients(80, seed=3))
    assert deployed.does("fullprocess.py")["outcome"] == "deployed"
    told = deployed.call("deployment.py", "--rollback")
    assert (told.code, deployed.live()) == (0, first)
    assert "the next run trains a successor" in told.out


@pytest.mark.parametrize("name", ["nothing", "../models", "."])
def test_a_rollback_to_a_release_that_is_not_there_names_those_that_are(deployed, name):
    refused = deployed.call("deployment.py", "--rollback", name)
    assert refused.code == 64
    assert str(deployed.live()) in refused.complaint


def damaged(path: Path, how: str) -> None:
    """Do to a file what people and disks do."""
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(b"" if how == "empty" else path.read_bytes()[:-1] + b"~")


@pytest.mark.parametrize("how", ["altered", "empty", "missing"])
@pytest.mark.parametrize("named", [True, False])
def test_a_rollback_works_when_the_live_model_is_what_went_wrong(redeployed, how, named):
    first, second = (one["release"] for one in redeployed.does("deployment.py", "--list")["releases"])
    damaged(redeployed.production(f"releases/{second}/trainedmodel.skops"), how)
    back = redeployed.call("deployment.py", "--rollback", *([first] if named else []))
    assert (back.code, back.err) == (0, "")
    assert redeployed.live() == first
    assert redeployed.call("fullprocess.py").code == 0


def test_a_rollback_works_when_the_live_release_is_gone(redeployed):
    first, second = (one["release"] for one in redeployed.does("deployment.py", "--list")["releases"])
    shutil.rmtree(redeployed.production(f"releases/{second}"))
    refused = redeployed.call("fullprocess.py")
    assert refused.code == 70
    assert refused.complaint
    assert redeployed.call("deployment.py", "--rollback", first).code == 0
    assert redeployed.live() == first


def test_a_rollback_to_a_damaged_release_is_refused_and_the_live_one_stays(redeployed):
    first, second = (one["release"] for one in redeployed.does("deployment.py", "--list")["releases"])
    damaged(redeployed.production(f"releases/{first}/trainedmodel.skops"), "altered")
    refused = redeployed.call("deployment.py", "--rollback")
    assert refused.code == 70
    assert first in refused.complaint
    assert redeployed.live() == second


# ---------------------------------------------------------------------------------------------- tampered production
@pytest.mark.parametrize("how", ["altered", "empty", "missing"])
@pytest.mark.parametrize(
    "name", ["trainedmodel.skops", "latestscore.txt", "ingestedfiles.txt", "manifest.json"]
)
def test_production_that_is_not_what_was_deployed_stops_every_run_in_one_line(deployed, name, how):
    path = deployed.production(f"current/{name}")
    kept = path.read_bytes()
    damaged(path, how)
    for script in ("fullprocess.py", "scoring.py", "training.py", "deployment.py"):
        refused = deployed.call(script)
        assert refused.code == 70
        assert name in refused.complaint
    path.write_bytes(kept)
    assert deployed.call("deployment.py", "--verify").code == 0


def test_a_missing_link_is_told_with_the_way_to_mend_it(redeployed):
    live = redeployed.live()
    redeployed.production("current").unlink()
    refused = redeployed.call("fullprocess.py")
    assert refused.code == 70
    assert "`python deployment.py --rollback" in redeployed.plain(refused.complaint)
    assert str(live) in refused.complaint
    assert redeployed.call("deployment.py", "--rollback", str(live)).code == 0
    assert redeployed.call("fullprocess.py").code == 0


def test_a_link_that_is_missing_after_a_rollback_is_told_with_what_was_gone_back_to(redeployed):
    back = redeployed.does("deployment.py", "--rollback")["release"]
    redeployed.production("current").unlink()
    assert f"--rollback {back}`" in redeployed.call("fullprocess.py").complaint


def test_a_damaged_model_is_never_parsed(deployed):
    path = deployed.production(f"releases/{deployed.live()}/trainedmodel.skops")
    shutil.copy(Path(__file__), path)
    refused = deployed.call("scoring.py", "--model", str(path))
    assert refused.code == 70
    assert "SHA-256" in refused.complaint


def test_a_quiet_tick_notices_a_model_that_was_changed_and_one_that_was_put_back(deployed):
    deployed.settle()
    assert deployed.call("fullprocess.py").code == 0
    assert deployed.run("fullprocess.py").code == 0
    model = deployed.production("current/trainedmodel.skops")
    kept = model.read_bytes()
    damaged(model, "altered")
    for _ in range(2):
        refused = deployed.run("fullprocess.py")
        assert refused.code == 70
        assert "trainedmodel.skops" in refused.complaint
    model.write_bytes(kept)
    again = deployed.run("fullprocess.py")
    assert (again.code, again.out, again.err) == (0, "", "")


def test_the_draft_of_a_release_that_was_cut_off_is_cleared_by_the_next(deployed):
    draft = deployed.production("releases/.20200101T000000Z-deadbeef.draft")
    draft.mkdir()
    (draft / "trainedmodel.skops").write_bytes(b"half")
    challenged(deployed, "--window", "1")
    deployed.call("deployment.py")
    assert not draft.exists()


# ---------------------------------------------------------------------------------------------- what is no release
def swapped(project: Project) -> str:
    """Give two releases each other's name; give what is complained of."""
    first, second = releases.all_ids(project.production())
    folder = project.production("releases")
    (folder / first).rename(folder / "between")
    (folder / second).rename(folder / first)
    (folder / "between").rename(folder / second)
    return "manifest.json: of release"


def led_elsewhere(project: Project) -> str:
    """Have the link lead to a copy outside of the releases; give what is complained of."""
    copy = project.folder / str(project.live())
    shutil.copytree(project.production("current"), copy)
    project.production("current").unlink()
    project.production("current").symlink_to(copy)
    return f"current: leads to {copy}, and not to one of "


def made_a_folder(project: Project) -> str:
    """Do to the link what `cp -rL` does; give what is complained of."""
    copy = project.production("a copy")
    shutil.copytree(project.production("current"), copy)
    project.production("current").unlink()
    copy.rename(project.production("current"))
    return "current: a copy, not the link to a release; move it away"


LOOKS = [
    ("fullprocess.py",),
    ("fullprocess.py", "--status"),
    ("deployment.py", "--verify"),
    ("diagnostics.py",),
    ("scoring.py",),
]


def looped(project: Project) -> str:
    """Have the link lead to itself; give what is complained of."""
    project.production("current").unlink()
    project.production("current").symlink_to("current")
    return "current: leads to "


@pytest.mark.parametrize("broken", [swapped, led_elsewhere, made_a_folder, looped])
def test_what_is_live_is_a_release_of_that_name_in_the_folder_of_releases_or_all_are_told(redeployed, broken):
    told = broken(redeployed)
    for script, *flags in LOOKS:
        ran = redeployed.call(script, *flags)
        assert (ran.code, script if told in ran.complaint else ran.err) == (70, script)


def test_a_link_that_leads_elsewhere_is_put_right_by_going_back(redeployed):
    live = str(redeployed.live())
    led_elsewhere(redeployed)
    assert redeployed.call("deployment.py", "--rollback", live).code == 0
    assert redeployed.call("deployment.py", "--verify").code == 0


def test_a_copy_in_the_place_of_the_link_is_told_until_it_is_moved_away(redeployed):
    live = str(redeployed.live())
    made_a_folder(redeployed)
    refused = redeployed.call("deployment.py", "--rollback", live)
    assert (refused.code, "move it away" in refused.complaint) == (70, True)
    redeployed.production("current").rename(redeployed.folder / "moved away")
    assert redeployed.call("deployment.py", "--rollback", live).code == 0
    assert redeployed.call("deployment.py", "--verify").code == 0


def test_what_has_no_name_of_a_release_is_left_alone(deployed):
    deployed.configure("deployment: {", "deployment: {keep: 2, ")
    folder = deployed.production("releases")
    (folder / "notes.txt").write_text("mind the gap")
    shutil.copytree(deployed.production("current"), folder / "keep-me")
    for day in (1, 2):
        deployed.copy_release(f"2020010{day}T000000Z-deadbeef")
    challenged(deployed, "--window", "1")
    assert deployed.call("deployment.py").code == 0
    assert (folder / "notes.txt").read_text() == "mind the gap"
    assert (folder / "keep-me" / "manifest.json").exists()
    assert len(releases.all_ids(deployed.production())) == 2
    assert deployed.call("deployment.py", "--verify").code == 0


FLIPPED = [f'"{fact}":' for fact in ("id", "name", "made_at", "score", "features", "learnt_upto", "recipe")]


@pytest.mark.parametrize("now", [True, False], ids=["now", "earlier"])
@pytest.mark.parametrize("bad", ["[]", "{}", *FLIPPED])
def test_a_manifest_that_says_something_else_is_damaged_in_one_line(deployed, bad, now):
    """Also one of an earlier version, which has no hash of its own, unless a fact that it may lack is what's wrong."""
    path = deployed.production("current/manifest.json")
    text = path.read_text()
    if not now:
        facts = json.loads(text)
        del facts["sha256"]
        text = json.dumps(facts)
        path.write_text(text)
        assert deployed.call("deployment.py", "--verify").code == 0
        if "recipe" in bad:
            return
    path.write_text(text.replace(bad, f'"{chr(ord(bad[1]) ^ 1)}{bad[2:]}', 1) if bad in FLIPPED else bad)
    for script, *flags in LOOKS:
        ran = deployed.call(script, *flags)
        assert (ran.code, "manifest.json: damaged; put the file back" in ran.complaint) == (70, True)


def test_a_value_in_a_manifest_that_was_changed_is_noticed_by_the_next_run(deployed):
    path = deployed.production("current/manifest.json")
    path.write_text(path.read_text().replace('"learnt_upto": 2', '"learnt_upto": 3'))
    assert "manifest.json: damaged" in deployed.call("fullprocess.py").complaint


# ---------------------------------------------------------------------------------------------- links beside it
def deleted(path: Path) -> None:
    """Delete what is there."""
    path.unlink()


def replaced(path: Path) -> None:
    """Put a file of one's own there."""
    path.unlink()
    path.write_text("mine")


def relinked(path: Path) -> None:
    """Have the link lead to another file."""
    path.unlink()
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("name", releases.READABLE)
@pytest.mark.parametrize("broken", [deleted, replaced, relinked])
def test_a_link_to_what_is_live_is_told_and_put_back_by_a_run_that_has_nothing_else_to_do(
    deployed, broken, name
):
    deployed.settle()
    assert deployed.call("fullprocess.py").code == 0
    assert watch.nothing_changed(deployed.config_file)
    path = deployed.production(name)
    broken(path)
    assert not watch.nothing_changed(deployed.config_file)
    for script, *flags in (("deployment.py", "--verify"), ("diagnostics.py",)):
        ran = deployed.call(script, *flags)
        assert ran.code == 70
        assert f"{name}: not the link to what is live; the next run puts it back" in ran.complaint
    assert deployed.does("fullprocess.py", "--dry-run")["due"] is False
    ran = deployed.call("fullprocess.py")
    assert (ran.code, f"{name}: not the link to what is live; put back" in ran.complaint) == (0, True)
    assert path.readlink() == Path("current") / name
    if broken is replaced:
        assert ran.complaint.endswith(f"what was there is now {name}.found")
        assert path.with_name(f"{name}.found").read_text() == "mine"
    assert watch.nothing_changed(deployed.config_file)
    assert deployed.call("diagnostics.py").code == 0


def test_no_file_is_lost_when_a_link_is_put_back_again(deployed):
    for text in ("one", "two"):
        path = deployed.production("latestscore.txt")
        path.unlink()
        path.write_text(text)
        assert deployed.call("fullprocess.py").code == 0
    assert deployed.production("latestscore.txt.found").read_text() == "one"
    assert deployed.production("latestscore.txt.found-2").read_text() == "two"


def test_a_release_whose_link_cannot_be_moved_is_deleted_again_and_the_next_run_deploys(deployed):
    live = deployed.live()
    in_the_way = deployed.production(".current.draft")
    in_the_way.mkdir()
    challenged(deployed, "--window", "1")
    refused = deployed.call("deployment.py")
    assert (refused.code, refused.err.count("\n")) == (74, 1)
    assert (deployed.live(), releases.all_ids(deployed.production())) == (live, [live])
    in_the_way.rmdir()
    assert deployed.does("deployment.py")["release"] == deployed.live() != live


def test_a_release_that_went_live_is_not_deleted_whatever_fails_then(deployed):
    moved = files.move_link

    def not_synced(link: Path, target: str) -> None:
        moved(link, target)
        raise OSError(errno.EIO, "Input/output error", str(link))

    challenged(deployed, "--window", "1")
    with mock.patch.object(files, "move_link", not_synced):
        assert deployed.call("deployment.py").code == 74
    assert deployed.champion().id == deployed.live()
    assert len(releases.all_ids(deployed.production())) == 2


# ---------------------------------------------------------------------------------------------- what is said of it
ROLLBACKS = "select count(*) from decisions where kind = 'rollback'"


def test_going_back_to_what_is_live_does_nothing_and_says_so(redeployed):
    live = redeployed.live()
    ran = redeployed.call("deployment.py", "--rollback", str(live))
    assert (ran.code, ran.out) == (0, f"live already: {live}; nothing was done\n")
    assert redeployed.query(ROLLBACKS) == [(0,)]


def test_a_link_that_is_put_back_withdraws_nothing_and_another_release_what_was_live(redeployed):
    first, second = releases.all_ids(redeployed.production())
    for named, withdrawn in ((second, None), (first, second)):
        redeployed.production("current").unlink()
        facts = redeployed.does("deployment.py", "--rollback", named)
        assert facts == {"release": named, "withdrawn": withdrawn}
    assert redeployed.query(ROLLBACKS) == [(1,)]


def test_a_rollback_is_refused_while_it_can_not_be_recorded(redeployed):
    live, patient = redeployed.live(), records._sqlite_settings

    def hasty(connection, *others):
        patient(connection, *others)
        connection.execute("PRAGMA busy_timeout = 0")

    database = sqlite3.connect(redeployed.folder / "records.db")
    with closing(database) as other, mock.patch.object(records, "_sqlite_settings", hasty):
        other.execute("begin immediate")
        refused = redeployed.call("deployment.py", "--rollback")
    assert (refused.code, "database is locked" in refused.complaint) == (74, True)
    assert redeployed.live() == live
    assert redeployed.call("deployment.py", "--rollback").code == 0


def test_a_rollback_that_was_not_recorded_is_finished_when_asked_for_again(redeployed):
    first, second = releases.all_ids(redeployed.production())
    with mock.patch.object(Records, "add_decision", side_effect=FileError("records.db: the disk is full")):
        assert redeployed.call("deployment.py", "--rollback").code == 74
    assert redeployed.live() == first
    assert redeployed.does("deployment.py", "--rollback") == {"release": first, "withdrawn": second}
    assert redeployed.query(ROLLBACKS) == [(1,)]
    assert redeployed.call("deployment.py", "--rollback").code == 65


@pytest.mark.parametrize("how", ["altered", "dangling", "lost", "looped"])
def test_the_list_has_what_can_be_listed_and_what_is_wrong(redeployed, how):
    first, second = releases.all_ids(redeployed.production())
    if how == "altered":
        damaged(redeployed.production("current/trainedmodel.skops"), how)
    elif how == "dangling":
        shutil.rmtree(redeployed.production(f"releases/{second}"))
    elif how == "looped":
        looped(redeployed)
    else:
        redeployed.production("current").unlink()
    ran = redeployed.call("deployment.py", "--list")
    assert ran.code == 0
    assert redeployed.does("deployment.py", "--list")["problem"] == redeployed.plain(ran.out).splitlines()[-1]
    assert ran.out.startswith(f"  {first}  roc_auc")
    assert ran.out.splitlines()[-1].startswith(str(redeployed.production()))
    assert (f"* {second}" in ran.out, "  damaged  " in ran.out) == (how == "altered",) * 2


def test_advice_on_a_damaged_release_that_is_not_live_is_not_to_go_back(redeployed):
    first, _ = releases.all_ids(redeployed.production())
    folder = redeployed.production(f"releases/{first}")
    damaged(folder / "latestscore.txt", "altered")
    told = redeployed.call("deployment.py", "--verify").complaint
    assert "--rollback" not in told
    assert f"put the file back, or delete {folder}, which isn't live" in told


def test_a_rollback_that_can_not_be_names_the_releases_that_are_whole(redeployed):
    first, _ = releases.all_ids(redeployed.production())
    other = "20200101T000000Z-deadbeef"
    damaged(redeployed.production(f"releases/{first}/latestscore.txt"), "altered")
    for flags in ([], [first]):
        refused = redeployed.call("deployment.py", "--rollback", *flags)
        assert (refused.code, refused.complaint.split("; ")[-1]) == (70, "no other release is whole")
    redeployed.copy_release(other)
    refused = redeployed.call("deployment.py", "--rollback")
    assert (refused.code, refused.complaint.split("; ")[-1]) == (
        70,
        f"whole, for --rollback RELEASE: {other}",
    )
    shutil.rmtree(redeployed.production(f"releases/{first}"))
    refused = redeployed.call("deployment.py", "--rollback")
    assert refused.code == 65
    assert f"{first}, the release before {redeployed.live()}, is gone, pruned" in refused.complaint
    assert refused.complaint.endswith(f"whole, for --rollback RELEASE: {other}")


@pytest.mark.parametrize(
    "flags",
    [["--list", "--rollback"], ["--verify", "--rollback", "x"], ["--sign", "--list"], ["--rollback", ""]],
)
def test_flags_that_exclude_each_other_and_an_empty_name_are_refused_with_64(redeployed, flags):
    live = redeployed.live()
    refused = redeployed.call("deployment.py", *flags)
    assert (refused.code, refused.err.count("\n")) == (64, 1)
    assert redeployed.live() == live


@pytest.mark.parametrize("lost", ["current", "releases", ""])
def test_lost_production_is_told_alike_by_all_and_no_release_is_advised_that_is_gone(redeployed, lost):
    second = redeployed.live()
    if lost == "releases":
        shutil.rmtree(redeployed.production(f"releases/{second}"))
        redeployed.production("current").unlink()
    elif lost:
        redeployed.production("current").unlink()
    else:
        shutil.rmtree(redeployed.production())
    way = {
        "current": f"go back with `python deployment.py --rollback {second}`, or ",
        "releases": "go back with `python deployment.py --rollback RELEASE`, or ",
        "": "",
    }[lost]
    for script, *flags in [look for look in LOOKS if look != ("scoring.py",)]:
        ran = redeployed.call(script, *flags)
        assert ran.code == 70
        assert f"current: gone, and {second} was live; put it back, or {way}start anew" in redeployed.plain(
            ran.complaint
        )
