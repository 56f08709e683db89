"""Is there anything to do? The question cron asks all day, answered before anything is imported.

Two small text files, both only hints: without them a tick looks at everything, and loses nothing.

`.<config>.watch`, beside the config file, holds what a quiet tick compares: the stamps (size, times) of the config,
of production, of every source folder (of a recursive source also those below) and of the files in them changed last.
Written when a run ended with nothing left to do; taken away when the next one starts. If every stamp is as it was,
there is nothing to do.

Where a source is a URL there is no such file: nothing here tells of a change there, so no tick can be quiet. Each lists
the place and compares the stamps with `seen.txt`.

`seen.txt`, in `paths.ingested`, holds the stamp of every source file, by path or URL, that is on record. It is read
when the watch says that something changed, or that a full look is due.
"""

import os
import sys
import time

# The whole module runs on `os`, `sys` and `time`: importing pathlib, json, re or dataclasses would cost a quiet tick
# more than its own work does.

NOTHING = "nothing to do: no new files, and production is as it was left"
VERSION = "watch 1"
LINE_END = "\0"  # what stands for a line end in a file name; no name can hold it
FILE_KIND, REGULAR = 0o170000, 0o100000  # bits of a file's mode, as in `stat`
SETTLED = 2.0  # seconds: a folder that changed later than this before the look may change again within one clock step
LOOKED_AT = 2_000  # files whose own stamp a quiet tick compares: those that changed last
FULL_LOOK = 6 * 3600  # seconds until all stamps are compared again, however quiet the folders look


def watch_file(config_path) -> str:
    """Give where the quiet tick's memory is kept for this config file."""
    folder, name = os.path.split(os.path.abspath(config_path))
    return os.path.join(folder, f".{name}.watch")


def leave_if_quiet(default_config: str, arguments: list[str]) -> None:
    """End the program with exit code 0 if nothing changed since the last run. Otherwise just return."""
    if not arguments:
        config_path = default_config
    elif len(arguments) == 2 and arguments[0] == "--config":
        config_path = arguments[1]
    else:
        return  # whoever asks for more than a plain run gets the full program
    if nothing_changed(config_path):
        if sys.stdout is not None and sys.stdout.isatty():  # none at all if it was closed
            print(NOTHING, flush=True)
        os._exit(0)  # nothing was opened, so there is nothing to tidy up


def nothing_changed(config_path) -> bool:
    """Say whether everything the last run looked at is still as it was, and no full look is due."""
    try:
        with _opened(watch_file(config_path)) as file:
            first, until, *lines = file.read().split("\n")
        if first != _first_line(config_path) or not time.time() < float(until) <= time.time() + FULL_LOOK:
            return False
        for line in lines:
            if line:
                stamp_then, path = line.split("\t", 1)
                if stamp_then != stamp(path.replace(LINE_END, "\n")):
                    return False
    except (OSError, ValueError):
        return False
    return True


def _line(at: str, path: str) -> str:
    path = path.replace("\n", LINE_END)
    return f"{at}\t{path}"


def _opened(path):
    """Open a file of stamps for reading, with file names just as the disk has them."""
    return open(path, encoding="utf-8", errors="surrogateescape", newline="\n")


def _first_line(config_path) -> str:
    """Give what a watch file must begin with: in a copied or moved project it tells of other files than ours."""
    return f"{VERSION} {os.path.abspath(config_path)}"


def stamp(path) -> str:
    """Give what tells a change of a file or folder without reading it: size and times; empty if it isn't there."""
    try:
        return stamped(os.stat(path))
    except OSError:
        return ""


def stamped(facts: os.stat_result) -> str:
    """Give the stamp of a file whose facts (`os.stat`) are at hand."""
    return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"


def look(folders, recursive: bool = False) -> tuple[dict[str, str], dict[str, str]]:
    """Give the stamps of the regular files in the folders, by path, in name order, and of the folders themselves.

    With `recursive` the folders below are looked into as well, and stamped: a new file there changes nothing above.
    A folder is stamped before it is listed, so that a file that comes later is never taken for seen.
    Hidden files and folders are no drops: editors and copying programs keep their drafts under such names. Links are
    none either, wherever they lead.
    Raise OSError if a folder can't be listed.
    """
    found: dict[str, str] = {}
    looked_at: dict[str, str] = {}
    for folder in map(os.fspath, folders):
        at: dict[str, str] = {}
        below = [folder]
        while below:
            inside = below.pop()
            try:
                looked_at[inside] = stamp(inside)
                below += _listed(inside, at, recursive)
            except FileNotFoundError:
                if inside == folder:
                    raise
                del looked_at[
                    inside
                ]  # it went away since the folder above was listed, whose stamp tells that
        for path in sorted(at):
            found[path] = at[path]
    return found, looked_at


def _listed(folder: str, found: dict[str, str], recursive: bool) -> list[str]:
    """Put the files of one folder into `found`; give the folders in it if they are to be looked into."""
    below = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if recursive and entry.is_dir(follow_symlinks=False):
                below.append(os.path.join(folder, entry.name))
            elif entry.is_file(follow_symlinks=False):
                try:
                    now = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if now.st_mode & FILE_KIND == REGULAR:  # else it was replaced since it was listed
                    found[os.path.join(folder, entry.name)] = stamped(now)
    return below


def changed_files(found: dict[str, str], seen_file, version: str) -> list[str]:
    """Give the paths that `seen_file` doesn't hold with the stamp they have now.

    With another version (config, code) of the records nothing counts as seen; a file without a stamp never does.
    """
    known = seen_files(seen_file, version)
    return [path for path, now in found.items() if not now or known.get(path) != now]


def seen_files(seen_file, version: str) -> dict[str, str]:
    """Give the stamps that `seen_file` holds, by path; none if its first line doesn't begin with this version."""
    try:
        with _opened(seen_file) as file:
            first, *lines = file.read().split("\n")
    except OSError:
        return {}
    if not first.startswith(version):
        return {}
    parts = (line.partition("\t") for line in lines)
    return {path.replace(LINE_END, "\n"): at for at, _, path in parts}


def forget(config_path) -> None:
    """Take away the quiet tick's memory: from here on something may be left to do."""
    try:
        os.unlink(watch_file(config_path))
    except FileNotFoundError:
        pass


def seen_text(found: dict[str, str], version: str) -> str:
    """Give the content of `seen.txt`: the version, then a line per file."""
    return "\n".join([version, *(_line(now, path) for path, now in found.items())])


def watch_text(config_path, found: dict[str, str], folders: dict[str, str], others) -> str:
    """Give the content of the watch file: what must be as it is now for a tick to be quiet.

    `others` are paths beside config and source files: production, the tables people read.
    """
    now = time.time()
    newest = max((int(at.split()[1]) for at in folders.values() if at), default=0) / 1e9
    settled = abs(now - newest) > SETTLED
    until = now + FULL_LOOK if settled else 0.0
    last_changed = sorted(found, key=lambda path: int((found[path] or "0 0 0").split()[2]), reverse=True)[
        :LOOKED_AT
    ]
    lines = [_line(at, path) for path, at in folders.items()]
    lines += [_line(found[path], path) for path in last_changed]
    lines += [_line(stamp(path), os.fspath(path)) for path in (config_path, *others)]
    return "\n".join([_first_line(config_path), str(until), *lines])
