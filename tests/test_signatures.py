"""Releases signed with a key: who can write production but not read the key can put nothing there that is served."""

import subprocess

import pytest

from pipeline import files, releases
from tests.project import Project, clients

KEY = "6f1d" * 16


@pytest.fixture
def signed(first_run: Project, tmp_path) -> Project:
    """Give a project whose releases are signed from its second on; the first is signed by hand."""
    project = first_run.copied(tmp_path / "signed")
    with_key(project, KEY)
    assert project.call("deployment.py", "--sign").code == 0
    return project


def with_key(project: Project, key: str) -> None:
    """Put a key beside the config, and name it there."""
    path = project.folder / "release.key"
    path.write_text(f"{key}\n")
    path.chmod(0o600)
    if "key_file" not in project.config_file.read_text():
        project.configure("deployment: {", "deployment: {key_file: release.key, ")


def forged(project: Project) -> None:
    """Swap the live model for another, and put its hash into the manifest: all hashes are right."""
    live = project.production("current").resolve()
    other = next((project.folder / "models").glob("*/trainedmodel.skops"))
    (live / releases.MODEL).write_bytes(other.read_bytes() + b" ")
    with project.manifest() as manifest:
        manifest["files"][releases.MODEL] = files.sha256(live / releases.MODEL)


def test_a_signed_production_goes_on_and_signs_what_it_deploys(signed):
    signed.drop("week3.csv", clients(180, seed=3, day=15, flipped=True))
    assert signed.does("fullprocess.py")["outcome"] == "deployed"
    assert signed.call("deployment.py", "--verify").code == 0
    asked = ["openssl", "dgst", "-sha256", "-hmac", KEY, str(signed.production("current/manifest.json"))]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert told.split()[-1] == signed.production("current/manifest.hmac").read_text().strip()


@pytest.mark.parametrize("script", [("deployment.py", "--verify"), ("fullprocess.py",), ("scoring.py",)])
def test_a_forged_release_is_refused_although_all_hashes_are_right(signed, script):
    forged(signed)
    ran = signed.call(*script)
    assert ran.code == 70
    assert "not signed with the key" in ran.complaint


def test_without_a_key_a_forged_release_passes(first_run, tmp_path):
    """So the test before tests the signature."""
    project = first_run.copied(tmp_path / "not signed")
    forged(project)
    assert project.call("scoring.py").code == 0


def test_another_key_is_told_until_everything_is_signed_with_it(signed):
    with_key(signed, "77" * 32)
    assert "--sign" in signed.call("fullprocess.py").complaint
    assert signed.call("deployment.py", "--sign").code == 0
    assert signed.call("fullprocess.py").code == 0


def test_of_one_that_is_not_live_the_advice_is_not_to_go_back(signed):
    """That would withdraw a good model."""
    name = "20200101T000000Z-deadbeef"
    signed.copy_release(name)
    told = signed.call("deployment.py", "--verify").complaint
    assert ("not signed" in told, "--rollback" in told) == (True, False)
    assert f"delete {signed.production(f'releases/{name}')}, which isn't live, or sign" in told


def test_a_release_whose_files_are_damaged_is_not_signed(signed):
    live = signed.production("current").resolve()
    (live / releases.MODEL).write_bytes(b"damaged")
    assert signed.call("deployment.py", "--sign").code == 70


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda path: path.unlink(), "No such file or directory, and it is deployment.key_file"),
        (lambda path: path.write_text("short\n"), "make one with `openssl rand -hex 32`"),
        (lambda path: path.chmod(0o644), "chmod o="),
    ],
)
def test_a_key_that_is_none_is_told_in_one_line(signed, break_it, told):
    break_it(signed.folder / "release.key")
    ran = signed.call("fullprocess.py", "--force")
    assert (ran.code, str(signed.folder / "release.key") in ran.complaint) == (74, True)
    assert told in ran.complaint


def test_signing_without_a_key_in_the_config_is_a_wrong_use(deployed):
    assert deployed.call("deployment.py", "--sign").code == 64
