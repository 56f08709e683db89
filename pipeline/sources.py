"""Where files come from: the folders and URLs of `paths.source`, looked at and read without ever being held up.

`look` says what is there, `content` gives the bytes of a file that is still as it was found. Whatever goes wrong with
one file or one remote place is told in one line of the log, and the others go on: the next run asks again.

A URL is read through fsspec, which knows a place by its first word (s3, gs, https, ...); the packages for it are in
requirements-remote.txt. https:// and http:// name one file each, as the web has no folders. Options of the source go
to fsspec as they are. They may hold keys, and so may URLs: neither is ever told, nor kept in `seen.txt`.
"""

import functools
import hashlib
import json
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from pipeline import files, watch
from pipeline.config import Config, Source
from pipeline.errors import ConfigError, FileError

log = logging.getLogger("pipeline")

CONNECTED = 5.0  # seconds a remote place has to take the call, where its library can be told so
CONTACT = 20.0  # seconds it has for a first answer of any kind: a dead one must not hold up cron
LISTING = 300.0  # seconds for the list of all its files: 1,000 come with each answer
STALLED = 60.0  # seconds for one piece of a file
PAUSE = 120.0  # seconds until a place that didn't answer is asked for another file
READING = 900.0  # seconds for a whole file
PIECE = 4 * 2**20  # bytes asked for at a time
TOGETHER = 8  # remote places asked at a time
SECRET = 4  # characters of a key or password, at least: shorter texts are parts of words
LONGEST_TOLD = 300  # characters of what a library says went wrong
PACKAGES = "requirements-remote.txt"

WEB = ("http", "https")
ALIKE = (*WEB, "s3", "s3a", "gs", "gcs")  # tell the same of a file in a list and when asked for it alone
OURS = ("file", "local")  # fsspec's words for folders here, which would be followed through links
# What tells one version of a remote file from another. Times only where no better sign is likely to be given.
SIGNS = ("ETag", "etag", "generation", "md5Hash", "Content-MD5", "Digest", "LastModified", "Last-Modified",
         "last_modified", "updated", "modified", "mtime", "created")  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A source file: where it is, what tells that it changes, and how it is named on record.

    `path` is an absolute path or a URL, without what is secret in it. An empty `stamp` tells nothing: read the file.
    `location` is its folder as the config spells it, and the folders below that.
    """

    path: str
    stamp: str
    source: Source
    location: str
    name: str


class NotNow(Exception):
    """A file has to wait for the next run; the message says why."""


class Changing(NotNow):
    """It's only too early, as it is being written or replaced; or the fault was told already."""


class Unanswered(NotNow):
    """A remote place, or the library that asks it, failed."""


class NotThere(Unanswered):
    """It answered that there is no such file or folder."""


# -------------------------------------------------------------------------------------------------- what is there
def look(config: Config) -> tuple[dict[str, Found], dict[str, str]]:
    """Give all files of all sources by path, in config order, then name order, and the stamps of the folders here.

    A file that two sources reach counts for the first. A remote place that can't be asked is warned of.
    Raise FileError for a folder here that can't be listed, or if packages are missing.
    """
    spelt = [source.path for source in config.paths.source]
    asked = _ask_all([source for source in config.sources if source.remote])
    found: dict[str, Found] = {}
    folders: dict[str, str] = {}
    known: set[str] = set()
    for source, spelling in zip(config.sources, spelt, strict=True):
        there = next(asked) if source.remote else _in_folder(config, source, spelling, folders)
        for one, place in there:
            if place not in known:
                known.add(place)
                found[one.path] = one
    return found, folders


def _in_folder(
    config: Config, source: Source, spelling: str, folders: dict[str, str]
) -> Iterator[tuple[Found, str]]:
    """Give the files of a folder here, each with its real place, and note the folders' stamps."""
    try:
        stamps, looked_at = watch.look([source.path], source.recursive)
    except OSError as problem:
        raise FileError(
            f"{problem.filename}: {(problem.strerror or '').lower()}; paths.source in {config.file} names it: "
            "create the folder or correct the path"
        ) from None
    folders.update(looked_at)
    top = os.path.realpath(source.path)
    for path, stamp in stamps.items():
        below = path.removeprefix(source.path).removeprefix("/")
        folder, _, name = below.rpartition("/")
        location = files.printable(_under(spelling, folder))
        yield Found(path, stamp, source, location, files.printable(name)), f"{top}/{below}"


def _under(spelling: str, folder: str) -> str:
    return f"{spelling.rstrip('/')}/{folder}" if folder else spelling


def _ask_all(remote: list[Source]) -> Iterator[list[tuple[Found, str]]]:
    """Give the files of each remote place. All are asked at once, so that dead ones cost the time of one."""
    if not remote:
        return
    systems = [_filesystem(source) for source in remote]
    with ThreadPoolExecutor(TOGETHER) as threads:
        answers = [
            threads.submit(_ask, source, *system) for source, system in zip(remote, systems, strict=True)
        ]
    for source, answer in zip(remote, answers, strict=True):
        try:
            there = answer.result()
        except Unanswered as problem:
            log.warning("%s: %s; left for the next run", shown(source.path), problem)
            there = []
        yield [(one, one.path) for one in sorted(there, key=lambda one: one.path)]


def _ask(source: Source, system: Any, root: str) -> list[Found]:
    """Give the files that a remote place says it has. Raise Unanswered if it says nothing."""
    try:
        top = _within(source, CONTACT, system.info, root)
    except NotThere:
        bucket = root.partition("/")[0]
        if urlsplit(source.path).scheme in WEB or bucket in ("", root):
            raise
        _within(source, CONTACT, system.info, bucket)
        return []  # a bucket has no empty folders: there's nothing yet, or nothing any more
    if top["type"] == "file":
        return [_found(source, "", top)]
    if source.recursive:
        listed = list(_within(source, LISTING, system.find, root, detail=True).values())
    else:
        listed = _within(source, LISTING, system.ls, root, detail=True)
    found = []
    for facts in listed:
        below = facts["name"].removeprefix(root).removeprefix("/")
        hidden = any(part.startswith(".") for part in below.split("/"))
        named = below and not below.endswith("/")  # else it stands for a folder
        if facts["type"] == "file" and named and not hidden and not facts.get("islink"):
            found.append(_found(source, below, facts))
    return found


def _found(source: Source, below: str, facts: dict[str, Any]) -> Found:
    """Give a remote file: `below` is its path inside the place, empty if it is the place."""
    path = shown(source.path)
    if below:
        location, name = _under(path, os.path.dirname(below)), os.path.basename(below)
        path = _under(path, below)
    else:
        location, _, name = path.partition("?")[0].rstrip("/").rpartition("/")
    return Found(path, remote_stamp(facts), source, files.printable(location), files.printable(name))


def remote_stamp(facts: dict[str, Any]) -> str:
    """Give what tells a change of a remote file: its size, and each sign of its version; empty if it has none.

    Times count whole seconds: S3 tells them finer in a list than for one object.
    """
    signs = [facts[name] for name in SIGNS if facts.get(name)]
    signs = [sign.timestamp() if hasattr(sign, "timestamp") else sign for sign in signs]
    signs = [int(sign) if isinstance(sign, float) else sign for sign in signs]
    text = " ".join(str(part) for part in (facts.get("size"), *signs)) if signs else ""
    return text.translate({9: " ", 10: " ", 13: " "})  # a line of seen.txt


def shown(url: str) -> str:
    """Give a URL without what is secret in it: name and password go, a web address's query becomes its hash."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    rest = host.rpartition("@")[2] + slash + path
    if scheme in WEB:
        rest, _, query = rest.partition("#")[0].partition("?")
        rest += f"?{hashlib.sha256(query.encode()).hexdigest()[:12]}" if query else ""
    return f"{scheme}://{rest}"


# ------------------------------------------------------------------------------------------------ asked far away
_silent: dict[str, float] = {}  # when, on the monotonic clock, a place didn't answer in time


def _filesystem(source: Source) -> tuple[Any, str]:
    """Give fsspec's way to a remote place, and the place's name there.

    Raise ConfigError for a URL or options it can't be, FileError if packages are missing.
    """
    try:
        return _opened_filesystem(source.path, json.dumps(source.options, sort_keys=True, default=str))
    except ImportError:
        raise FileError(
            f"paths.source {shown(source.path)}: needs the packages of {PACKAGES}: pip install -r {PACKAGES}"
        ) from None
    except (TypeError, ValueError) as problem:
        raise ConfigError(f"paths.source {shown(source.path)}: {_told(source, problem)}") from None


@functools.cache  # a connection serves all files of a place
def _opened_filesystem(url: str, options: str) -> tuple[Any, str]:
    # Google's is asked in the plain way: gcsfs would first find out, for up to a minute, what kind of bucket it is.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    if (
        not logging.getLogger().handlers
    ):  # what libraries log of a failure is told in our line; cron would mail theirs
        logging.getLogger().addHandler(logging.NullHandler())
    from fsspec.core import url_to_fs

    scheme = url.partition("://")[0]
    if scheme in OURS:
        raise ValueError("a folder here is named without file://")
    if "::" in url:
        raise ValueError("one URL in another is not read; name the file or folder itself")
    chosen = json.loads(options)
    settings = {"use_listings_cache": False, "skip_instance_cache": True, **chosen, **_bounds(scheme, chosen)}
    system, root = url_to_fs(url, **settings)
    if hasattr(system, "retries"):
        system.retries = 2  # s3fs: five tries and the waits between them are too many for a dead place
    return system, root if scheme in WEB else root.rstrip("/")


def _bounds(scheme: str, options: dict[str, Any]) -> dict[str, Any]:
    """Give the options that keep a library from waiting for ever by itself; what was chosen wins."""
    if scheme in ("s3", "s3a"):
        bounds = {"connect_timeout": CONNECTED, "read_timeout": CONTACT, "retries": {"max_attempts": 1}}
        return {"config_kwargs": bounds | options.get("config_kwargs", {})}
    if scheme in WEB:
        from aiohttp import ClientTimeout

        bounds = {"timeout": ClientTimeout(total=None, sock_connect=CONNECTED, sock_read=CONTACT)}
        return {"client_kwargs": bounds | options.get("client_kwargs", {})}
    return {}


def _within(
    source: Source, seconds: float, asked: Callable[..., Any], *arguments: Any, **choices: Any
) -> Any:
    """Give what a library answers. Raise Unanswered if it fails, or doesn't answer in time.

    It is asked in a thread that can be left behind: not every library knows time limits for all it does.
    """
    outcome: list[Any] = []

    def ask() -> None:
        try:
            outcome[:] = [asked(*arguments, **choices), None]
        except Exception as problem:  # noqa: BLE001 (each library has its own kinds; it is raised below)
            outcome[:] = [None, problem]

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        _silent[source.path] = time.monotonic()
        raise Unanswered(f"no answer within {seconds:g} s")
    answer, problem = outcome
    if isinstance(problem, FileNotFoundError):
        raise NotThere("nothing there by this name") from problem
    if problem is not None:
        raise Unanswered(_told(source, problem)) from problem
    return answer


def _told(source: Source, problem: Exception) -> str:
    """Give what a library says went wrong, on one line, without what is secret."""
    text = " ".join(f"{problem}".split()) or type(problem).__name__
    text = text.replace(source.path, shown(source.path))
    address = urlsplit(source.path)
    login = address.netloc.rpartition("@")[0]
    secrets = [*_secrets(source.options), login, login.partition(":")[2], address.query]
    for secret in sorted((one for one in secrets if len(one) >= SECRET), key=len, reverse=True):
        text = text.replace(secret, "***")
    return re.sub(r"//[^/@\s]*@", "//", text)[:LONGEST_TOLD]


def _secrets(options: Any) -> Iterator[str]:
    """Give the texts among the options: which of them are keys, only the library knows."""
    if isinstance(options, str) and "://" not in options:
        yield options
    for inside in (
        options.values() if isinstance(options, dict) else options if isinstance(options, list) else ()
    ):
        yield from _secrets(inside)


# --------------------------------------------------------------------------------------------------- what is in it
def content(found: Found, most: int) -> bytes | None:
    """Give the bytes of a file that is still as it was found; None, and a line in the log, if it has to wait.

    Of a file larger than `most` bytes only the first `most` + 1 are read.
    """
    return _read(found, lambda pieces: b"".join(pieces), most)


def hashed(found: Found) -> str | None:
    """Give the SHA-256 of a file's bytes, in hex, piece by piece; None, and a line in the log, if it has to wait."""
    return _read(found, _hash, None)


def _hash(pieces: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _read(found: Found, made: Callable[[Iterator[bytes]], Any], most: int | None) -> Any:
    """Give what is made of a file's bytes; None if it has to wait for the next run."""
    try:
        return made(_remote_pieces(found, most) if found.source.remote else _pieces(found, most))
    except Changing as problem:
        log.info("%s: %s, left for the next run", found.path, problem)
    except NotNow as problem:
        log.warning("%s: %s; left for the next run", found.path, problem)
    except OSError as problem:
        log.warning("%s: %s; left for the next run", found.path, problem.strerror)
    return None


def _pieces(found: Found, most: int | None) -> Iterator[bytes]:
    """Give a file here piece by piece. Raise NotNow if it isn't what was found, or changes while it's read."""
    with _opened(found.path) as (file, facts):
        if watch.stamped(facts) != found.stamp:
            raise Changing("still being written")
        left = facts.st_size if most is None else min(facts.st_size, most + 1)
        while left > 0 and (piece := file.read(min(left, PIECE) if most is None else left)):
            left -= len(piece)
            yield piece
        if watch.stamped(os.fstat(file.fileno())) != found.stamp:
            raise Changing("still being written")


@contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """Open a regular file, whatever may have been put in its place since it was found. Raise NotNow for all else.

    A link is not followed, and a FIFO without a writer doesn't hold us up.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb", buffering=0) as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise NotNow("no regular file any more")
        yield file, facts


def _remote_pieces(found: Found, most: int | None) -> Iterator[bytes]:
    """Give a remote file piece by piece. Raise NotNow if it can't be read, or isn't what was found."""
    source, scheme = found.source, urlsplit(found.source.path).scheme
    if time.monotonic() - _silent.get(source.path, -PAUSE) < PAUSE:
        raise Changing("its place did not answer just now")  # each file more would cost the same time
    system, root = _filesystem(source)
    name = root + found.path.removeprefix(shown(source.path).rstrip("/"))

    def stamp_now() -> str:
        return remote_stamp(_within(source, CONTACT, system.info, name))

    stamp = found.stamp if scheme in ALIKE else stamp_now()
    # Of the web a file comes in one stream: not every server gives parts.
    how = {"block_size": 0} if scheme in WEB else {"cache_type": "none"}
    file = _within(source, CONTACT, system.open, name, "rb", **how)
    until, size = time.monotonic() + READING, 0
    try:
        while most is None or size <= most:
            piece = _within(
                source, STALLED, file.read, PIECE if most is None else min(PIECE, most + 1 - size)
            )
            if not piece:
                break
            size += len(piece)
            yield piece
            if time.monotonic() > until:
                raise Unanswered(f"not read within {READING:g} s")
    finally:
        _within(source, CONTACT, file.close)
    if stamp and stamp_now() != stamp:
        raise Changing("replaced while it was read")
