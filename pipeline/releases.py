"""What is deployed: immutable release folders, and one link that says which is live.

A release is written to a draft folder, synced, renamed, and only then the link `current` is moved to it. Whoever
reads through the links sees one release whole, the old or the new. Nothing in a release is read before its hash
was compared with the manifest's.
"""

import hashlib
import hmac
import json
import logging
import os
import re
import shutil
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import files
from pipeline.config import Config, Feature
from pipeline.errors import CheckFailed, FileError, UsageError

if TYPE_CHECKING:
    from pipeline.records import Records

CURRENT = "current"
FOLDER = "releases"
MANIFEST = "manifest.json"
MODEL = "trainedmodel.skops"
SIGNATURE = "manifest.hmac"  # only if deployment.key_file is set
ONNX = "trainedmodel.onnx"  # only where it predicts the same; releases of earlier versions have none
SKETCH = "sketch.json"  # of what the model learnt from; releases of earlier versions have none
READABLE = (
    MODEL,
    "latestscore.txt",
    "ingestedfiles.txt",
)  # linked beside `current`, where readers look for them
NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}(-\d+)?")  # of a release; all else there isn't ours
LEAST_KEY = 16  # bytes
log = logging.getLogger("pipeline")

FORMAT = 1  # of manifests; one more when an older version of this project couldn't serve the release any more
LIBRARIES = ("numpy", "pandas", "scikit-learn", "skops")  # whose versions decide what a model file means
OWN_HASH = "sha256"  # of all other facts of a manifest; manifests of earlier versions have none
FACTS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("id", "made_at", "name", "window", "metric", "target", "task"), str),
    **dict.fromkeys(("score", "features", "typical", "data", "files"), dict),
    **dict.fromkeys(("proof_scores", "reasons"), list),
    **dict.fromkeys(("rows", "learnt_upto"), int),
    "replaced": (str, type(None)),
}  # in every manifest, also of earlier versions


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
    def score(self) -> float | None:
        """Give the score of its proof; None if it's undefined (NaN in manifests of earlier versions)."""
        value = self.manifest["score"]["value"]
        return None if value != value else value

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
    def held_above(self) -> int | None:
        """Give the file above which rows were held out of all models in it; None if one of them learnt from such."""
        return held_out_above(self.components.values(), self.manifest.get("held_above"))

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

    def answers_another(self, config: Config) -> str:
        """Say so if its predictions aren't of what the config asks for; else empty."""
        asked, facts = config.columns.target, self.manifest
        same = (facts["target"], facts["task"]) == (asked.name, config.task)
        risk = facts.get("positive", asked.positive)  # releases of earlier versions say nothing of it
        if same and asked.positive in (None, risk):
            return ""
        return "another target, or another value of it as the risk, than the deployed model predicts"

    def takes(self, config: Config) -> bool:
        """Say whether its predictions are what is asked for, and the table has every column that its model takes."""
        return not self.answers_another(config) and set(self.features) <= set(config.columns.features)

    def counts_otherwise(self, config: Config) -> str:
        """Say so if the config has another label window: rows that the model learnt from would count as new to it."""
        window = config.scoring.label_window
        # Releases of earlier versions say nothing of it.
        same = self.manifest.get("label_window", window) == window
        return "" if same else "another label window than the deployed model was trained with"

    def not_comparable(self, config: Config) -> str:
        """Say why it can't be compared with models that are trained under this config; empty if it can."""
        own, asked = self.features, config.columns.features
        other = [(name, own[name].type) for name in own] != [(name, asked[name].type) for name in asked]
        features = "other features than the deployed model takes" if other else ""
        return self.answers_another(config) or features or self.counts_otherwise(config)


def held_out_above(components: Collection[dict[str, Any]], above: int | None) -> int | None:
    """Give the file above which all models of these facts left out rows, as the weightiest did; None if one did not."""
    if above is None:
        return None
    newer = {(one["learnt_upto"], one["held_above"]) for one in components if one["learnt_upto"] > above}
    upto = max(one["learnt_upto"] for one in components)
    return above if newer <= {(upto, above)} else None


def current(config: Config) -> Release | None:
    """Give the live release, its files checked against their hashes; None if no link says which is live.

    Raise CheckFailed if production isn't what was deployed.
    """
    link, key = config.production / CURRENT, key_of(config)
    while link.is_symlink():
        folder = _led_to(config.production)
        try:
            return verified(folder, key)
        except CheckFailed:
            if _led_to(config.production) == folder:
                raise  # else others went live meanwhile, and this one was pruned
    check_link(config.production)
    return None


def _led_to(production: Path) -> Path:
    """Give the folder of the live release. Raise CheckFailed if the link leads to a place where no releases are."""
    link, releases = production / CURRENT, production / FOLDER
    target = production / link.readlink()
    if os.path.realpath(target.parent) != os.path.realpath(releases):
        raise CheckFailed(
            f"{link}: leads to {target}, and not to one of {releases}; make one of them live again with "
            "`python deployment.py --rollback RELEASE`"
        )
    return releases / target.name


def check_link(production: Path) -> None:
    """Raise CheckFailed if a folder or file is in the place of the link to what is live."""
    link = production / CURRENT
    if link.exists() and not link.is_symlink():
        raise CheckFailed(
            f"{link}: a copy, not the link to a release; move it away, and make one live again with "
            "`python deployment.py --rollback RELEASE`"
        )


def check_lost(config: Config, book: "Records") -> None:
    """Raise CheckFailed, where nothing is live, if the records say that something was."""
    last = book.last_live()
    if last is None:
        return
    there = all_ids(config.production)
    named = last if last in there else "RELEASE"
    back = f"go back with `python deployment.py --rollback {named}`, or " if there else ""
    raise CheckFailed(
        f"{config.production / CURRENT}: gone, and {last} was live; put it back, or {back}start anew with training.py "
        "and deployment.py"
    )


def live_id(production: Path) -> str | None:
    """Give the name of the release that the link leads to, whole or not; None if it leads to none."""
    link = production / CURRENT
    try:
        return _led_to(production).name if link.is_symlink() else None
    except CheckFailed:
        return None


def all_ids(production: Path) -> list[str]:
    """Give the names of all releases on disk, by the clock of the machine when they were made."""
    folder = production / FOLDER
    return sorted(filter(NAME.fullmatch, os.listdir(folder))) if folder.is_dir() else []


def all_verified(config: Config) -> dict[str, Release]:
    """Give all releases on disk by name. Raise CheckFailed at the first that isn't what was deployed."""
    found, key = {}, key_of(config)
    for name in all_ids(config.production):
        folder = config.production / FOLDER / name
        try:
            found[name] = verified(folder, key)
        except CheckFailed:
            if folder.exists():
                raise  # else it was pruned meanwhile
    return found


def key_of(config: Config) -> bytes | None:
    """Give the key that releases are signed with; None if the config names none. Raise FileError if it's no good."""
    named = config.deployment.key_file
    return None if named is None else read_key(config.path(named))


def read_key(path: Path) -> bytes:
    """Give a key. Raise FileError if it can't be read, if everybody can, or if nearly nothing is in it."""
    try:
        key = path.read_bytes().strip()
    except OSError as problem:
        raise FileError(
            f"{path}: {problem.strerror}, and it is deployment.key_file; put it back, or make another and sign the "
            "releases with it (`python deployment.py --sign`)"
        ) from None
    if path.stat().st_mode & stat.S_IRWXO:
        raise FileError(f"{path}: open to every user of this machine; close it with `chmod o= {path}`")
    if len(key) < LEAST_KEY:
        raise FileError(f"{path}: {len(key)} bytes are no key; make one with `openssl rand -hex 32`")
    return key


def signature(manifest: bytes, key: bytes) -> str:
    """Give the HMAC-SHA-256 (RFC 2104) of a manifest, in hex. All else in a release is signed by the hashes in it."""
    return hmac.new(key, manifest, "sha256").hexdigest()


def sign(release: Release, key: bytes) -> None:
    """Sign a release as it is."""
    signed = signature((release.folder / MANIFEST).read_bytes(), key)
    files.write_text(release.folder / SIGNATURE, f"{signed}\n")


def check_signature(folder: Path, manifest: bytes, key: bytes) -> None:
    """Raise CheckFailed if a release isn't signed with this key."""
    path = folder / SIGNATURE
    found = path.read_text("utf-8", "replace").strip() if path.exists() else ""
    if not hmac.compare_digest(found.encode(), signature(manifest, key).encode()):
        raise CheckFailed(
            f"{path}: not signed with the key in deployment.key_file; {_way_out(folder)}, or sign what is there with "
            "`python deployment.py --sign` if you know where it's from"
        )


def verified(folder: Path, key: bytes | None = None) -> Release:
    """Read a release after comparing every file with the manifest, and that with its signature if there's a key.

    Raise CheckFailed naming the file that differs.
    """
    advice, path = f"put the file back, or {_way_out(folder)}", folder / MANIFEST
    try:
        text = path.read_bytes()
        if key is not None:
            check_signature(folder, text, key)
        release = Release(folder, _facts_in(path, text))
        if (name := release.manifest["id"]) != folder.name:
            raise CheckFailed(
                f"{path}: of release {name}; give the folder that name back, or restore it from a copy"
            )
        hashes = release.manifest["files"]
        for name in dict.fromkeys((*READABLE, *hashes)):
            if files.sha256(folder / name) != hashes[name]:
                raise CheckFailed(f"{folder / name}: not what was deployed (its SHA-256 differs); {advice}")
    except OSError as problem:
        raise CheckFailed(f"{problem.filename or folder}: {problem.strerror}; {advice}") from None
    except (ValueError, KeyError, TypeError):
        raise CheckFailed(f"{path}: damaged; {advice}") from None
    return release


def _way_out(folder: Path) -> str:
    """Give what helps if a release can't be mended: to go back, but only if it's the live one."""
    if os.path.realpath(folder.parent.parent / CURRENT) == os.path.realpath(folder):
        return "go back with `python deployment.py --rollback`"
    return f"delete {folder}, which isn't live" if folder.parent.name == FOLDER else "copy the release anew"


def _facts_in(path: Path, text: bytes) -> dict[str, Any]:
    """Give what a manifest says. Raise ValueError, KeyError or TypeError if it isn't as it was written.

    Raise CheckFailed if a newer version wrote it.
    """
    manifest = json.loads(text)
    if not isinstance(manifest, dict):
        raise TypeError
    if manifest.get("format", 1) > FORMAT:
        raise CheckFailed(
            f"{path}: of a newer version of this project (format {manifest['format']}, not {FORMAT}); "
            f"use that one, or {_way_out(path.parent)}"
        )
    if OWN_HASH in manifest and manifest.pop(OWN_HASH) != _hash_of(manifest):
        raise ValueError
    if not all(isinstance(manifest[name], kind) for name, kind in FACTS.items()):
        raise TypeError
    release = Release(path.parent, manifest)
    _ = release.score, release.features, release.components  # whose names are checked as they are asked for
    return manifest


def make(
    config: Config,
    model_file: Path,
    texts: dict[str, str],
    facts: dict[str, Any],
    taken: Collection[str] = (),
    onnx: bytes | None = None,
) -> Release:
    """Write a release that is not live yet: the model, the texts by file name, and the manifest with `facts`.

    Its name is none of those `taken` by releases that were live once, whether they are still there or not.
    """
    production, key = config.production, key_of(config)
    made_at = facts["made_at"].replace("-", "").replace(":", "")
    hashes = {MODEL: files.sha256(model_file)}
    name = _unused(f"{made_at}-{hashes[MODEL][:8]}", {*taken, *all_ids(production)})
    folder = production / FOLDER / name
    for stray in (production / FOLDER).glob(f".*{files.DRAFT}"):  # of a run that was cut off
        files.remove_folder(stray)
    with files.replacing_folder(folder) as draft:
        shutil.copyfile(model_file, draft / MODEL)
        others = {name: text.encode() for name, text in texts.items()}
        for name, content in (others if onnx is None else {ONNX: onnx, **others}).items():
            (draft / name).write_bytes(content)
            hashes[name] = hashlib.sha256(content).hexdigest()
        manifest = {"id": folder.name, "format": FORMAT, **facts, "libraries": libraries(), "files": hashes}
        told = manifest_text(manifest).encode()
        (draft / MANIFEST).write_bytes(told)
        if key is not None:
            (draft / SIGNATURE).write_text(f"{signature(told, key)}\n", encoding="utf-8")
    manifest = json.loads(_text_of(manifest))  # as whoever reads it has it
    return Release(folder, manifest)  # who deploys it has the files compared with their hashes first


def manifest_text(manifest: dict[str, Any]) -> str:
    """Give a manifest as it is written, with the hash of its facts."""
    return _text_of({**manifest, OWN_HASH: _hash_of(manifest)})


def _hash_of(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(_text_of(manifest).encode()).hexdigest()


def _text_of(manifest: dict[str, Any]) -> str:
    """Give a manifest as JSON, a line for each fact. `indent` would take Python's own encoder, at 4 times the time."""
    told = (f"{json.dumps(name)}: {json.dumps(fact)}" for name, fact in manifest.items())
    return "{\n " + ",\n ".join(told) + "\n}\n"


def _unused(name: str, taken: set[str]) -> str:
    """Give this name, with a number behind it if it's taken: clocks are set back, and seconds are long."""
    return next(one for one in chain([name], (f"{name}-{number}" for number in count(2))) if one not in taken)


@cache
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
        f"`pip install {pins}`, or let `python fullprocess.py --force` train a successor"
    )


def check_libraries(release: Release, refuse: bool) -> None:
    """Warn of a release that was made with other versions of libraries, or raise CheckFailed."""
    told = made_with_others(release, libraries())
    if told and refuse:
        raise CheckFailed(f"{told}, after deployment.libraries: warn in config.yaml")
    if told:
        log.warning("%s", told)


def go_live(production: Path, release: Release) -> None:
    """Move the link to this release: the one step that deploys. Raise CheckFailed if a folder is in its place."""
    check_link(production)
    put_links_back(production)
    files.move_link(production / CURRENT, f"{FOLDER}/{release.id}")


def _no_links(production: Path) -> list[Path]:
    """Give the paths beside the live release that aren't the links through which it's read."""
    paths = [production / name for name in READABLE]
    return [path for path in paths if not path.is_symlink() or os.readlink(path) != f"{CURRENT}/{path.name}"]


def check_links(production: Path) -> None:
    """Raise CheckFailed if readers don't find what is live where it's linked."""
    for path in _no_links(production):
        raise CheckFailed(f"{path}: not the link to what is live; the next run puts it back")


def put_links_back(production: Path) -> None:
    """Make the links to what is live that aren't there, with a word if they were; what is in their place is kept."""
    for path in _no_links(production):
        told = "not the link to what is live; put back"
        if path.exists() and not path.is_symlink():
            found = path.with_name(_unused(f"{path.name}.found", {*os.listdir(production)}))
            os.rename(path, found)
            told += f", what was there is now {found.name}"
        files.move_link(path, f"{CURRENT}/{path.name}")
        if live_id(production):
            log.warning("%s: %s", path, told)


def named(config: Config, release_id: str) -> Release:
    """Give the verified release of this name. Raise UsageError, naming those there are, if there's none."""
    production = config.production
    if release_id not in all_ids(production):
        known = ", ".join(all_ids(production)) or "none"
        raise UsageError(f"no release '{release_id}' in {production / FOLDER}; there: {known}")
    return verified(production / FOLDER / release_id, key_of(config))


def prune(production: Path, live: Release, keep: int, went_live: Sequence[str]) -> list[str]:
    """Delete the oldest releases beyond `keep`, never the live one nor its predecessor; give their names.

    Their age is their place in `went_live`, not the time in their name, which is of a clock that may have been set
    back. First go those that never went live.
    """
    age = {name: number for number, name in enumerate(went_live)}
    oldest_first = sorted(all_ids(production), key=lambda name: age.get(name, -1))
    spared = {live.id, live.manifest["replaced"]}
    old = [name for name in oldest_first[:-keep] if name not in spared]
    for name in old:
        files.remove_folder(production / FOLDER / name)
    return old


def watched(production: Path) -> list[str]:
    """Give the paths whose change means that production was touched."""
    return [os.path.join(production, name) for name in (CURRENT, MANIFEST, *READABLE)] + [
        os.path.join(production, CURRENT, name) for name in (MANIFEST, SIGNATURE, ONNX, *READABLE)
    ]
