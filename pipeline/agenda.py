"""What is there to do? Source files that changed, and a run that was cut off.

Imports nothing heavy: a look that finds nothing must stay cheap. `watch` answers the same question without even
reading the config; this module keeps what it compares. Where a source is remote `watch` can't tell, and each tick
comes here: it lists the place, and compares the stamps with `seen.txt`.
"""

import os
from pathlib import Path

from pipeline import files, releases, sources, watch
from pipeline.config import Config
from pipeline.sources import Found

TEXTS = ("finaldata.csv", "ingestedfiles.txt")  # what people read; written anew if it is gone


def look(config: Config) -> tuple[dict[str, Found], dict[str, str]]:
    """Give all source files by path, and the stamps of the folders here. Raise FileError if one can't be listed."""
    return sources.look(config)


def changed(config: Config, found: dict[str, Found], newest: int | None = None) -> list[str]:
    """Give the source files, of those found, that are not on record as they are now.

    With the number of the `newest` file on record, none counts as seen by records that end with another one: they may
    be an older copy.
    """
    return watch.changed_files(_stamps(found), _seen_file(config), _seen_version(config, newest))


def mark_seen(config: Config, found: dict[str, Found], newest: int = 0, known: bool = False) -> None:
    """Remember that these files, with these stamps, are on record, of which the `newest` has this number.

    With `known` what was remembered before still holds, and is kept for remote places of which nothing was found: one
    that doesn't answer today need not be read from the start tomorrow.
    """
    stamps = _stamps(found)
    if known:
        gave = {sources.shown(file.source.path) for file in found.values()}
        silent = tuple(
            place
            for place in (sources.shown(source.path) for source in config.sources if source.remote)
            if place not in gave
        )
        kept = watch.seen_files(_seen_file(config), _seen_version(config)) if silent else {}
        stamps |= {path: at for path, at in kept.items() if path.startswith(silent)}
    files.write_text(_seen_file(config), watch.seen_text(stamps, _seen_version(config, newest)))


def _stamps(found: dict[str, Found]) -> dict[str, str]:
    return {path: file.stamp for path, file in found.items()}


def _seen_file(config: Config) -> Path:
    return config.ingested / "seen.txt"


def _seen_version(config: Config, newest: int | None = None) -> str:
    """Give what must be unchanged for a file with the same stamp to need no second look, or the beginning of it."""
    return f"seen 3 {config.reading} " + ("" if newest is None else f"{newest}.")


def unfinished(config: Config) -> bool:
    """Say whether a run is to be finished: one was cut off, rows wait to be judged, or the config changed since."""
    if config.database_file is not None and not config.database_file.exists():
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
    """Give the champion's newest score as the last run wrote it; None if it's not there or undefined."""
    try:
        score = float((config.models / "latestscore.txt").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return None if score != score else score


def _state_file(config: Config) -> Path:
    return config.ingested / "state.txt"


def _done(config: Config) -> str:
    return f"done {config.fingerprint}"


def rest(config: Config, found: dict[str, Found], folders: dict[str, str]) -> None:
    """Let the next ticks be quiet as long as everything is as it was when these stamps were taken.

    With a remote source none can be: only a look there tells that nothing came. Nor with a file that couldn't be read
    and waits, where nothing may tell that it can be now. (One that isn't allowed to be read changes when it is.)
    """
    remote = any(source.remote for source in config.sources)
    if remote or any(os.access(found[path].path, os.R_OK) for path in changed(config, found)):
        watch.forget(config.file)
        return
    database = [] if config.database_file is None else [config.database_file]
    tables = [config.ingested / name for name in (*TEXTS, "seen.txt", "state.txt")]
    others = [*releases.watched(config.production), *tables, *database]
    files.write_text(
        Path(watch.watch_file(config.file)), watch.watch_text(config.file, _stamps(found), folders, others)
    )
