"""What is deployed: immutable release folders, and one link that says which is live.

A release is written to a draft folder, synced, renamed, and only then the link `current` is moved to it. Whoever
reads through the links sees one release whole, the old or the new. Nothing in a release is read before its hash
was compared with the manifest's.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.config import Feature
from pipeline.errors import CheckFailed, UsageError

CURRENT = "current"
FOLDER = "releases"
MANIFEST = "manifest.json"
MODEL = "trainedmodel.skops"
ONNX = "trainedmodel.onnx"  # only where it predicts the same; releases of earlier versions have none
SKETCH = "sketch.json"  # of what the model learnt from; releases of earlier versions have none
READABLE = (
    MODEL,
    "latestscore.txt",
    "ingestedfiles.txt",
)  # linked beside `current`, where readers look for them
log = logging.getLogger("pipeline")

LIBRARIES = ("numpy", "pandas", "scikit-learn", "skops")  # whose versions decide what a model file means


@dataclass(frozen=True)
class Release:
    """A verified release: its folder and its manifest."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def id(self) -> str:
        """Give the name of the release: when it was made and the start of its model's hash."""
        return self.folder.name

    @property
    def model_file(self) -> Path:
        """Give the file of the model."""
        return self.folder / MODEL

    @property
    def has_onnx(self) -> bool:
        """Say whether there is an ONNX file in it."""
        return ONNX in self.manifest["files"]

    @property
    def learnt_upto(self) -> int:
        """Give the number of the newest file the model could learn from."""
        return self.manifest["learnt_upto"]

    @property
    def recipe(self) -> dict[str, Any]:
        """Give what is served as `decisions.Recipe` has it: the share of each model, and how their mean is moved."""
        return self.manifest.get("recipe", {"weights": {self.manifest["files"][MODEL][:16]: 1.0}})

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        """Give the facts of each model in it, by its id, as training wrote them."""
        (only,) = self.recipe["weights"] if "components" not in self.manifest else [""]
        alone = self.manifest | {
            "id": only,
            "held_above": None,
            "contract": self.manifest["data"]["contract"],
        }
        return self.manifest.get("components", {only: alone})

    @property
    def sketch(self) -> dict[str, Any] | None:
        """Give the sketch of what the model learnt from (see `drift.sketch`); None if the release has none."""
        if SKETCH not in self.manifest["files"]:
            return None
        return json.loads((self.folder / SKETCH).read_text(encoding="utf-8"))

    @property
    def features(self) -> dict[str, Feature]:
        """Give the columns the model takes."""
        return {name: Feature(**kind) for name, kind in self.manifest["features"].items()}


def current(production: Path) -> Release | None:
    """Give the live release, its files checked against their hashes; None if no link says which is live.

    Raise CheckFailed if production isn't what was deployed.
    """
    link = production / CURRENT
    return verified(link.resolve()) if link.is_symlink() or link.exists() else None


def all_ids(production: Path) -> list[str]:
    """Give the names of all releases on disk, oldest first."""
    folder = production / FOLDER
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []


def verified(folder: Path) -> Release:
    """Read a release after comparing every file with the manifest. Raise CheckFailed naming the file that differs."""
    advice = "put the file back, or go back with `deployment.py --rollback`"
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        manifest = json.loads(text)
        hashes = manifest["files"]
        for name in (*READABLE, *hashes):
            if files.sha256(folder / name) != hashes[name]:
                raise CheckFailed(f"{folder / name}: not what was deployed (its SHA-256 differs); {advice}")
    except OSError as problem:
        raise CheckFailed(f"{problem.filename or folder}: {problem.strerror}; {advice}") from None
    except (ValueError, KeyError, TypeError):
        raise CheckFailed(f"{folder / MANIFEST}: damaged; {advice}") from None
    return Release(folder, manifest)


def make(
    production: Path,
    model_file: Path,
    texts: dict[str, str],
    facts: dict[str, Any],
    onnx: bytes | None = None,
) -> Release:
    """Write a release that is not live yet: the model, the texts by file name, and the manifest with `facts`."""
    made_at = facts["made_at"].replace("-", "").replace(":", "")
    folder = production / FOLDER / f"{made_at}-{files.sha256(model_file)[:8]}"
    for stray in (production / FOLDER).glob(f".*{files.DRAFT}"):  # of a run that was cut off
        files.remove_folder(stray)
    with files.replacing_folder(folder) as draft:
        shutil.copyfile(model_file, draft / MODEL)
        for name, text in texts.items():
            (draft / name).write_text(text, encoding="utf-8", newline="")
        if onnx is not None:
            (draft / ONNX).write_bytes(onnx)
        inside = [MODEL, *texts] if onnx is None else [MODEL, ONNX, *texts]
        hashes = {name: files.sha256(draft / name) for name in inside}
        manifest = {"id": folder.name, **facts, "libraries": libraries(), "files": hashes}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return verified(folder)


def libraries() -> dict[str, str]:
    """Give the version of each library that decides what a model file means; "none" of one that isn't there."""
    from importlib import metadata  # here: it costs an ingestion more than its database does

    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def made_with_others(release: Release, versions: Mapping[str, str]) -> str:
    """Say what a release was made with, if these versions differ, and what to do; empty if they don't."""
    made = release.manifest.get("libraries", {})
    others = {name: version for name, version in made.items() if versions.get(name, version) != version}
    if not others:
        return ""
    told = ", ".join(f"{name} {version} (now {versions[name]})" for name, version in others.items())
    pins = " ".join(f"{name}=={version}" for name, version in others.items())
    return (
        f"{release.folder / MANIFEST}: made with {told}, so its model may predict otherwise; go back to them with "
        f"`pip install {pins}`, or let `fullprocess.py --force` train a successor"
    )


def check_libraries(release: Release, refuse: bool) -> None:
    """Warn of a release that was made with other versions of libraries, or raise CheckFailed."""
    told = made_with_others(release, libraries())
    if told and refuse:
        raise CheckFailed(f"{told}, after deployment.libraries: warn in config.yaml")
    if told:
        log.warning("%s", told)


def go_live(production: Path, release: Release) -> None:
    """Move the link to this release: the one step that deploys."""
    for name in READABLE:
        if not (production / name).is_symlink():
            files.move_link(production / name, f"{CURRENT}/{name}")
    files.move_link(production / CURRENT, f"{FOLDER}/{release.id}")


def named(production: Path, release_id: str) -> Release:
    """Give the verified release of this name. Raise UsageError, naming those there are, if there's none."""
    if release_id not in all_ids(production):
        known = ", ".join(all_ids(production)) or "none"
        raise UsageError(f"no release '{release_id}' in {production / FOLDER}; there: {known}")
    return verified(production / FOLDER / release_id)


def prune(production: Path, live: Release, keep: int) -> list[str]:
    """Delete the oldest releases beyond `keep`, never the live one nor its predecessor; give their names."""
    spared = {live.id, live.manifest["replaced"]}
    old = [name for name in all_ids(production)[:-keep] if name not in spared]
    for name in old:
        files.remove_folder(production / FOLDER / name)
    return old


def watched(production: Path) -> list[str]:
    """Give the paths whose change means that production was touched."""
    return [os.path.join(production, name) for name in (CURRENT, MANIFEST, *READABLE)] + [
        os.path.join(production, CURRENT, name) for name in (MANIFEST, ONNX, *READABLE)
    ]
