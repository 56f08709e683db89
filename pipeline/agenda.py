"""What is there to do? Source files that changed, and a run that was cut off.

Imports nothing heavy: a look that finds nothing must stay cheap. `watch` answers the same question without even
reading the config; this module keeps what it compares.
"""

from pathlib import Path

from pipeline import files, releases, watch
from pipeline.config import Config
from pipeline.errors import FileError

Stamps = dict[str, str]
TEXTS = ("finaldata.csv", "ingestedfiles.txt")  # what people read; written anew if it is gone


def look(config: Config) -> tuple[Stamps, Stamps]:
    """Give the stamps of all source files and folders. Raise FileError for a folder that can't be listed."""
    try:
        return watch.look(map(str, config.sources))
    except OSError as problem:
        raise FileError(
            f"{problem.filename}: {(problem.strerror or '').lower()}; paths.source in {config.file} names it: "
            "create the folder or correct the path"
        ) from None


def changed(config: Config, found: Stamps) -> list[str]:
    """Give the source files, of those found, that are not on record as they are now."""
    return watch.changed_files(found, _seen_file(config), _seen_version(config))


def mark_seen(config: Config, found: Stamps) -> None:
    """Remember that these files, with these stamps, are on record."""
    files.write_text(_seen_file(config), watch.seen_text(found, _seen_version(config)))


def _seen_file(config: Config) -> Path:
    return config.ingested / "seen.txt"


def _seen_version(config: Config) -> str:
    """Give what must be unchanged for a file with the same stamp to need no second look."""
    return f"seen 1 {config.contract}"


def unfinished(config: Config) -> bool:
    """Say whether a run is to be finished: one was cut off, rows wait to be judged, or the config changed since."""
    database = config.database.removeprefix("sqlite:///")
    if database != config.database and not Path(database).exists():
        return True
    if not all((config.ingested / name).exists() for name in TEXTS):
        return True
    try:
        return _state_file(config).read_text(encoding="utf-8") != _done(config)
    except OSError:
        return True


def begin(config: Config) -> None:
    """Note that from here on there is work to finish. Whoever changes the records calls it first."""
    watch.forget(config.file)
    files.write_text(_state_file(config), "under way")


def finish(config: Config) -> None:
    """Note that nothing is left to do under this config."""
    files.write_text(_state_file(config), _done(config))


def latest_score(config: Config) -> float | None:
    """Give the champion's newest score as the last run wrote it; None if it's not there."""
    try:
        return float((config.models / "latestscore.txt").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _state_file(config: Config) -> Path:
    return config.ingested / "state.txt"


def _done(config: Config) -> str:
    return f"done {config.fingerprint}"


def rest(config: Config, found: Stamps, folders: Stamps) -> None:
    """Let the next ticks be quiet as long as everything is as it was when these stamps were taken."""
    database = (
        [] if not config.database.startswith("sqlite:///") else [config.database.removeprefix("sqlite:///")]
    )
    tables = [config.ingested / name for name in (*TEXTS, "seen.txt", "state.txt")]
    others = [*releases.watched(config.production), *tables, *database]
    files.write_text(
        Path(watch.watch_file(config.file)), watch.watch_text(config.file, found, folders, others)
    )
