"""Where files come from: what is found, and that nothing put in a file's place, here or far away, holds up a run."""

import contextlib
import functools
import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline import agenda, sources, watch
from pipeline import config as configs
from pipeline.errors import ConfigError, FileError
from pipeline.sources import Found

ROOT = Path(__file__).resolve().parents[1]
PLENTY = 10**6
COLUMNS = {"id": "client", "target": "exited", "features": {"activity": "number"}}
KEYS = {"key": "openkey", "secret": "verysecret"}


@pytest.fixture(autouse=True)
def told(caplog):
    """Give what is logged, also what is for -v."""
    logger = logging.getLogger("pipeline")
    propagated, logger.propagate = (
        logger.propagate,
        True,
    )  # another test may have started the program's logging
    caplog.set_level(logging.INFO, "pipeline")
    yield caplog
    logger.propagate = propagated


def config_of(folder: Path, *source) -> configs.Config:
    """Give a config with these sources; JSON is YAML."""
    file = folder / "config.yaml"
    file.write_text(json.dumps({"paths": {"source": list(source)}, "columns": COLUMNS}))
    return configs.load(file, lambda task: {})


def put(path: Path, text: str = "a\n1\n") -> Path:
    """Write a file and the folders to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def one(folder: Path, text: str = "a\n1\n") -> Found:
    """Give the one file of a folder, found."""
    put(folder / "drop" / "a.csv", text)
    (found,) = sources.look(config_of(folder, "drop"))[0].values()
    return found


def warnings(told) -> list[str]:
    """Give the lines that cron would mail."""
    return [record.getMessage() for record in told.records if record.levelno >= logging.WARNING]


# ------------------------------------------------------------------------------------------------- folders here
def test_files_come_in_config_order_then_name_order_with_the_place_as_the_config_spells_it(tmp_path):
    for name in ("more/b.csv", "more/a.csv", "drop/z.csv", "drop/2025/a.csv", "drop/2024/x/b.csv"):
        put(tmp_path / name)
    config = config_of(tmp_path, "./more", {"path": "drop/", "recursive": True})
    found, folders = sources.look(config)
    assert [(file.location, file.name) for file in found.values()] == [
        ("./more", "a.csv"),
        ("./more", "b.csv"),
        ("drop/2024/x", "b.csv"),
        ("drop/2025", "a.csv"),
        ("drop/", "z.csv"),
    ]
    assert list(found) == [file.path for file in found.values()]
    assert all(file.stamp == watch.stamp(file.path) for file in found.values())
    below = ("more", "drop", "drop/2024", "drop/2024/x", "drop/2025")
    assert folders == {str(tmp_path / name): watch.stamp(tmp_path / name) for name in below}


def test_a_folder_below_counts_only_if_the_source_is_recursive(tmp_path):
    put(tmp_path / "drop" / "2025" / "a.csv")
    assert sources.look(config_of(tmp_path, "drop"))[0] == {}


def test_hidden_names_links_and_what_is_no_file_are_never_found(tmp_path):
    put(tmp_path / "elsewhere" / "a.csv")
    drop = tmp_path / "drop"
    put(drop / ".hidden.csv")
    put(drop / ".hidden" / "a.csv")
    (drop / "link").symlink_to(tmp_path / "elsewhere")
    (drop / "round").symlink_to(drop)
    (drop / "link.csv").symlink_to(tmp_path / "elsewhere" / "a.csv")
    os.mkfifo(drop / "fifo.csv")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(drop / "socket.csv"))
        assert sources.look(config_of(tmp_path, {"path": "drop", "recursive": True}))[0] == {}


@pytest.mark.parametrize("second", ["drop", "./drop/", "linked", "drop/2025"])
def test_a_file_that_two_sources_reach_counts_for_the_first(tmp_path, second):
    put(tmp_path / "drop" / "2025" / "a.csv")
    (tmp_path / "linked").symlink_to(tmp_path / "drop")
    again = {"path": second, "recursive": True}
    found, _ = sources.look(config_of(tmp_path, {"path": "drop", "recursive": True}, again))
    assert [file.location for file in found.values()] == ["drop/2025"]


def test_a_folder_that_is_not_there_is_an_error_that_names_the_config(tmp_path):
    with pytest.raises(FileError, match=r"drop: no such file or directory; paths\.source in .*config\.yaml"):
        sources.look(config_of(tmp_path, "drop"))


def test_a_name_that_is_not_text_is_told_in_text(tmp_path):
    put(tmp_path / "drop" / "sub" / os.fsdecode(b"caf\xe9.csv"))
    (found,) = sources.look(config_of(tmp_path, {"path": "drop", "recursive": True}))[0].values()
    assert (found.name, sources.content(found, PLENTY)) == ("caf\\xe9.csv", b"a\n1\n")


def test_the_content_is_the_bytes_and_of_a_large_file_one_more_than_the_limit(tmp_path):
    found = one(tmp_path, "12345")
    assert sources.content(found, PLENTY) == sources.content(found, 5) == b"12345"
    assert sources.content(found, 4) == b"12345"
    assert sources.content(found, 3) == b"1234"
    assert sources.hashed(found) == hashlib.sha256(b"12345").hexdigest()


def test_an_empty_file_has_an_empty_content(tmp_path):
    found = one(tmp_path, "")
    assert sources.content(found, PLENTY) == b""


def test_hashing_takes_no_memory_for_the_file(tmp_path):
    import tracemalloc

    found = one(tmp_path, "x" * (5 * sources.PIECE))
    tracemalloc.start()
    digest = sources.hashed(found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert digest == hashlib.sha256(b"x" * (5 * sources.PIECE)).hexdigest()
    assert peak < 3 * sources.PIECE


def replaced_by_link(path: Path) -> None:
    """Put a link to the very same file in the place of the file."""
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def replaced_by_fifo(path: Path) -> None:
    """Put a FIFO that nobody writes to in the place of the file."""
    path.unlink()
    os.mkfifo(path)


def replaced_by_folder(path: Path) -> None:
    """Put a folder in the place of the file."""
    path.unlink()
    path.mkdir()


SWAPS = {  # what happens between look and reading, and if cron is to mail it
    "gone": (Path.unlink, True),
    "a link": (replaced_by_link, True),
    "a FIFO": (replaced_by_fifo, True),
    "a folder": (replaced_by_folder, True),
    "grown": (lambda path: path.write_text("a\n1\n2\n"), False),
    "replaced": (lambda path: os.replace(put(path.with_name("new"), "a\n2\n"), path), False),
}


@pytest.mark.parametrize(("swap", "mailed"), SWAPS.values(), ids=SWAPS)
@pytest.mark.parametrize("read", [lambda found: sources.content(found, PLENTY), sources.hashed])
def test_a_file_that_is_not_as_it_was_found_waits_and_blocks_nothing(tmp_path, told, swap, mailed, read):
    found = one(tmp_path)
    time.sleep(0.02)  # a clock step of the file system
    swap(Path(found.path))
    begun = time.monotonic()
    assert read(found) is None
    assert time.monotonic() - begun < 2
    (record,) = told.records
    assert (record.levelno == logging.WARNING) is mailed
    assert record.getMessage().startswith(f"{found.path}: ")
    assert record.getMessage().endswith("left for the next run")


def test_a_file_that_grows_while_it_is_read_waits(tmp_path, told, monkeypatch):
    found = one(tmp_path)
    opened = sources._opened

    @contextlib.contextmanager
    def growing(path):
        with opened(path) as (file, facts):
            time.sleep(0.02)
            with open(path, "a") as writer:
                writer.write("2\n")
            yield file, facts

    monkeypatch.setattr(sources, "_opened", growing)
    assert sources.content(found, PLENTY) is None
    assert "still being written" in told.text


def test_a_file_that_may_not_be_read_waits(tmp_path, told):
    found = one(tmp_path)
    Path(found.path).chmod(0)
    (again,) = sources.look(config_of(tmp_path, "drop"))[0].values()
    root = os.geteuid() == 0
    if root:  # who may read everything
        os.seteuid(65534)
    try:
        assert sources.content(again, PLENTY) is None
    finally:
        if root:
            os.seteuid(0)
    assert "ermission denied" in told.text


def test_a_device_put_in_the_place_of_a_file_is_not_read(tmp_path, told):
    found = one(tmp_path)
    assert sources.content(Found("/dev/zero", found.stamp, found.source, "", ""), PLENTY) is None
    assert "no regular file any more" in told.text


# ---------------------------------------------------------------------------------------------- what is remembered
def test_a_file_counts_as_changed_until_it_is_marked_and_again_when_it_or_the_reading_changes(tmp_path):
    put(tmp_path / "drop" / "a.csv")
    config = config_of(tmp_path, "drop")
    found, _ = agenda.look(config)
    assert agenda.changed(config, found) == list(found)
    agenda.mark_seen(config, found)
    assert agenda.changed(config, found) == []
    other = config_of(tmp_path, {"path": "drop", "separator": ";"})
    assert agenda.changed(other, found) == list(found)
    put(tmp_path / "drop" / "a.csv", "a\n1\n2\n")
    again, _ = agenda.look(config)
    assert agenda.changed(config, again) == list(found)


def test_a_file_without_a_stamp_always_counts_as_changed(tmp_path):
    config, found = config_of(tmp_path, "drop"), one(tmp_path)
    bare = {found.path: Found(found.path, "", found.source, "drop", "a.csv")}
    agenda.mark_seen(config, bare)
    assert agenda.changed(config, bare) == [found.path]


def test_no_tick_is_quiet_with_a_remote_source(tmp_path):
    (tmp_path / "drop").mkdir()
    os.utime(tmp_path / "drop", (0, 0))
    here = config_of(tmp_path, "drop")
    os.utime(here.file, (0, 0))
    agenda.rest(here, *agenda.look(here))
    assert watch.nothing_changed(here.file)
    there = config_of(tmp_path, "drop", "s3://drops/clients")
    agenda.rest(there, {}, {})
    assert not Path(watch.watch_file(there.file)).exists()
    assert not watch.nothing_changed(there.file)


def test_what_a_silent_place_held_is_kept_only_if_what_was_known_holds(tmp_path):
    config = config_of(tmp_path, "s3://drops/clients")
    (source,) = config.sources
    url = "s3://drops/clients/a.csv"
    found = {url: Found(url, "4 e", source, "s3://drops/clients", "a.csv")}
    agenda.mark_seen(config, found)
    agenda.mark_seen(config, {}, known=True)
    assert agenda.changed(config, found) == []
    agenda.mark_seen(config, {})
    assert agenda.changed(config, found) == [url]


# --------------------------------------------------------------------------------------------------- what is told
@pytest.mark.parametrize(
    ("url", "told_as"),
    [
        ("s3://drops/clients", "s3://drops/clients"),
        ("ftp://me:pass@host/a", "ftp://host/a"),
        ("https://me:p%40ss@host:8/a/b.csv", "https://host:8/a/b.csv"),
        ("https://host/a@b.csv#x", "https://host/a@b.csv"),
    ],
)
def test_a_url_is_told_without_name_and_password(url, told_as):
    assert sources.shown(url) == told_as


def test_a_query_is_told_as_its_hash_which_tells_two_apart():
    first, second = (sources.shown(f"https://host/export?token={token}") for token in ("one", "two"))
    assert "token" not in first
    assert first != second


def test_what_a_library_says_is_told_on_one_line_without_secrets():
    url = "https://me:hidden@host/a.csv?token=t"
    source = configs.Source(path=url, options={"client_kwargs": {"headers": {"X": "verysecret"}}})
    text = sources._told(source, ValueError(f"{url}\nverysecret me:hidden token=t //x:y@z"))
    assert "\n" not in text
    assert not [secret for secret in ("hidden", "verysecret", "token", "x:y") if secret in text]
    assert sources._told(source, TimeoutError()) == "TimeoutError"


def test_a_time_of_a_version_counts_whole_seconds_and_no_sign_is_no_stamp():
    from datetime import UTC, datetime

    fine, coarse = (datetime(2025, 1, 1, 1, 1, 1, part, UTC) for part in (999, 0))
    stamps = {sources.remote_stamp({"size": 4, "ETag": '"e"', "LastModified": at}) for at in (fine, coarse)}
    assert len(stamps) == 1
    assert sources.remote_stamp({"size": 4}) == ""
    assert sources.remote_stamp({"size": None, "ETag": "a\tb\nc"}) == "None a b c"


# ---------------------------------------------------------------------------------------------------- far away
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///tmp", "without file://"),
        ("local:///tmp", "without file://"),
        ("nosuch://place", "nosuch"),
        ("zip://*::s3://drops/a.zip", "one URL in another"),
    ],
)
def test_a_url_that_is_not_read_is_a_mistake_in_the_config(tmp_path, url, why):
    pytest.importorskip("fsspec")
    with pytest.raises(ConfigError, match=why):
        sources.look(config_of(tmp_path, url))


def test_missing_packages_are_named_by_their_file(tmp_path, monkeypatch):
    for name in ("fsspec", "fsspec.core", "s3fs"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(FileError, match=r"^paths\.source s3://none: needs .*-r requirements-remote\.txt$"):
        sources.look(config_of(tmp_path, "s3://none"))


def test_any_place_that_fsspec_knows_can_be_a_source(tmp_path):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe({"/place/b.csv": b"2", "/place/a.csv": b"1", "/place/sub/c.csv": b"3"})
    put(tmp_path / "drop" / "z.csv")
    found, folders = sources.look(config_of(tmp_path, {"path": "memory://place/", "recursive": True}, "drop"))
    assert [(file.location, file.name) for file in found.values()] == [
        ("memory://place/", "a.csv"),
        ("memory://place/", "b.csv"),
        ("memory://place/sub", "c.csv"),
        ("drop", "z.csv"),
    ]
    assert [sources.content(file, PLENTY) for file in found.values()] == [b"1", b"2", b"3", b"a\n1\n"]
    assert list(folders) == [str(tmp_path / "drop")]


class Bucket:
    """A folder in a bucket of a real server on loopback: what tests put there, and how a config names it."""

    def __init__(self, system, url: str, options: dict, stop):
        self.system, self.url, self.options, self.stop = system, url, options, stop

    def put(self, name: str, content: bytes) -> None:
        """Write an object."""
        self.system.pipe_file(f"{self.url.partition('://')[2]}/{name}", content)

    def source(self, below: str = "", **choices) -> dict:
        """Give the source for the config."""
        return {"path": self.url + below, "options": self.options, **choices}


def amazon() -> Bucket:
    """Start an S3 server."""
    served = pytest.importorskip("moto.moto_server.threaded_moto_server", reason="moto[server] is not there")
    s3fs = pytest.importorskip("s3fs")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = served.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {**KEYS, "client_kwargs": {"endpoint_url": f"http://{host}:{port}"}}
    system = s3fs.S3FileSystem(**options, skip_instance_cache=True)
    reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).close()  # what its server had in another test
    system.mkdir("drops")
    return Bucket(system, "s3://drops/clients", options, server.stop)


def google() -> Bucket:
    """Start a Google storage server."""
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="gcp-storage-emulator is not there")
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    gcsfs = pytest.importorskip("gcsfs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="drops")
    server.start()
    options = {"token": "anon", "endpoint_url": f"http://127.0.0.1:{port}", "project": "tests"}
    return Bucket(
        gcsfs.GCSFileSystem(**options, skip_instance_cache=True), "gs://drops/clients", options, server.stop
    )


@pytest.fixture(params=[amazon, google])
def bucket(request):
    """Give a folder in a bucket, with three files."""
    place = request.param()
    for name in ("b.csv", "a.csv", ".hidden.csv", "2025/c.csv", ".hidden/d.csv", "2025/.e.csv"):
        place.put(name, name.encode())
    yield place
    place.stop()


def test_a_bucket_is_listed_and_read_once(tmp_path, bucket, told):
    config = config_of(tmp_path, bucket.source(recursive=True))
    found, folders = agenda.look(config)
    assert list(found) == [f"{bucket.url}/{name}" for name in ("2025/c.csv", "a.csv", "b.csv")]
    assert [(file.location, file.name) for file in found.values()] == [
        (f"{bucket.url}/2025", "c.csv"),
        (bucket.url, "a.csv"),
        (bucket.url, "b.csv"),
    ]
    assert [sources.content(file, PLENTY) for file in found.values()] == [b"2025/c.csv", b"a.csv", b"b.csv"]
    assert sources.content(found[f"{bucket.url}/a.csv"], 2) == b"a.c"
    assert sources.hashed(found[f"{bucket.url}/a.csv"]) == hashlib.sha256(b"a.csv").hexdigest()
    assert folders == {}
    agenda.mark_seen(config, found)
    bucket.put("b.csv", b"other")
    again, _ = agenda.look(config)
    assert agenda.changed(config, again) == [f"{bucket.url}/b.csv"]
    assert warnings(told) == []


def test_of_a_bucket_one_folder_or_one_file_can_be_a_source(tmp_path, bucket):
    found, _ = sources.look(config_of(tmp_path, bucket.source("/"), bucket.source("/2025/c.csv")))
    assert [(file.location, file.name) for file in found.values()] == [
        (f"{bucket.url}/", "a.csv"),
        (f"{bucket.url}/", "b.csv"),
        (f"{bucket.url}/2025", "c.csv"),
    ]
    assert sources.content(found[f"{bucket.url}/2025/c.csv"], PLENTY) == b"2025/c.csv"


def test_a_folder_of_a_bucket_that_is_not_there_yet_is_empty_and_a_bucket_that_is_not_there_is_told(
    tmp_path, bucket, told
):
    assert sources.look(config_of(tmp_path, bucket.source("/later")))[0] == {}
    assert warnings(told) == []
    nowhere = bucket.source() | {"path": bucket.url.partition("drops")[0] + "nodrops/clients"}
    assert sources.look(config_of(tmp_path, nowhere))[0] == {}
    assert len(warnings(told)) == 1


def test_an_object_replaced_or_deleted_since_it_was_found_waits(tmp_path, bucket, told):
    found, _ = sources.look(config_of(tmp_path, bucket.source()))
    bucket.put("a.csv", b"other")
    bucket.system.rm(f"{bucket.url.partition('://')[2]}/b.csv")
    assert [sources.content(file, PLENTY) for file in found.values()] == [None, None]
    assert [record.levelno for record in told.records] == [logging.INFO, logging.WARNING]


def test_a_server_that_goes_away_is_told_once_a_file_and_once_a_look_without_keys(
    tmp_path, bucket, told, monkeypatch
):
    monkeypatch.setattr(sources, "CONTACT", 3.0)  # Google's library would try on for minutes
    put(tmp_path / "drop" / "z.csv")
    config = config_of(tmp_path, bucket.source(), "drop")
    found, _ = sources.look(config)
    bucket.stop()
    assert sources.content(found[f"{bucket.url}/a.csv"], PLENTY) is None
    assert [file.name for file in sources.look(config)[0].values()] == ["z.csv"]
    assert len(warnings(told)) == 2
    assert all(
        line.startswith(bucket.url) and line.endswith("left for the next run") for line in warnings(told)
    )
    assert not any(secret in told.text for secret in KEYS.values())


@pytest.fixture
def dumb():
    """Give the port of a server that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield server.getsockname()[1]


DUMB_PLACES = {
    "s3": lambda port: {"path": "s3://drops/a", "options": {**KEYS, "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{port}"}}},
    "gs": lambda port: {"path": "gs://drops/a", "options": {"token": "anon", "endpoint_url": f"http://127.0.0.1:{port}"}},
    "http": lambda port: f"http://127.0.0.1:{port}/a.csv",
}  # fmt: skip
LOOK = """
import sys, pathlib
from pipeline import cli, sources, config
sources.CONTACT = 2.0
cli._start_logging(False, cli._Speech())
print(len(sources.look(config.load(pathlib.Path(sys.argv[1]), lambda task: {}))[0]))
"""


def test_places_that_never_answer_cost_the_time_of_one_and_a_line_each(tmp_path, dumb):
    for package in ("s3fs", "gcsfs", "aiohttp"):
        pytest.importorskip(package)
    put(tmp_path / "drop" / "z.csv")
    config = config_of(tmp_path, *(place(dumb) for place in DUMB_PLACES.values()), "drop")
    begun = time.monotonic()
    command = [sys.executable, "-c", LOOK, config.file]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "1\n"
    lines = done.stderr.splitlines()
    assert len(lines) == len(DUMB_PLACES), done.stderr
    assert all(line.endswith("no answer within 2 s; left for the next run") for line in lines)
    assert time.monotonic() - begun < 20  # imports, mostly


def test_a_place_that_falls_silent_costs_its_time_once_however_many_files_it_has(
    tmp_path, dumb, told, monkeypatch
):
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(sources, "CONTACT", 1.0)
    source = configs.Source(path=f"http://127.0.0.1:{dumb}/a.csv")
    found = Found(source.path, "4 e", source, "", "a.csv")
    sources._filesystem(source)  # imports aren't measured
    begun = time.monotonic()
    assert [sources.content(found, PLENTY) for _ in range(20)] == [None] * 20
    assert time.monotonic() - begun < 3
    assert len(warnings(told)) == 1


# ----------------------------------------------------------------------------------------------------- the web
class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; names in the path ask for faults."""

    def end_headers(self):
        """Add a sign of the version, if asked for."""
        if "etag" in self.path:
            self.send_header("ETag", '"1"')
        super().end_headers()

    def send_header(self, keyword, value):
        """Leave out the time if asked to, and promise too much."""
        if keyword == "Last-Modified" and "bare" in self.path:
            return
        if keyword == "Content-Length" and "cut" in self.path and self.command == "GET":
            value = str(int(value) + 9)
        super().send_header(keyword, value)

    def do_HEAD(self):
        """Refuse if asked to."""
        if "nohead" in self.path:
            self.send_error(405)
        else:
            super().do_HEAD()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def web(tmp_path):
    """Give a web server's address, with a folder of files."""
    pytest.importorskip("aiohttp")
    pytest.importorskip("fsspec")
    for name in ("a.csv", "bare.csv", "nohead.csv", "cut.csv", "etag.csv"):
        put(tmp_path / "www" / name, f"{name}\n1\n")
    handler = functools.partial(Handler, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_web_address_is_one_file_read_when_it_changes(tmp_path, web):
    config = config_of(tmp_path, f"http://me:hidden@{web}/a.csv?token=t", f"http://{web}/nohead.csv")
    found, _ = agenda.look(config)
    assert [(file.location, file.name) for file in found.values()] == [
        (f"http://{web}", "a.csv"),
        (f"http://{web}", "nohead.csv"),
    ]
    assert [sources.content(file, PLENTY) for file in found.values()] == [b"a.csv\n1\n", b"nohead.csv\n1\n"]
    first = next(iter(found.values()))
    assert sources.content(first, 3) == b"a.cs"
    assert sources.hashed(first) == hashlib.sha256(b"a.csv\n1\n").hexdigest()
    agenda.mark_seen(config, found)
    seen = (config.ingested / "seen.txt").read_text()
    assert "hidden" not in seen
    assert "token" not in seen
    assert agenda.changed(config, agenda.look(config)[0]) == []
    put(tmp_path / "www" / "a.csv", "grown\n1\n2\n")
    assert agenda.changed(config, agenda.look(config)[0]) == [first.path]
    assert sources.content(first, PLENTY) is None


def test_a_web_server_that_tells_no_version_is_read_each_time(tmp_path, web):
    config = config_of(tmp_path, f"http://{web}/bare.csv")
    found, _ = agenda.look(config)
    agenda.mark_seen(config, found)
    assert agenda.changed(config, found) == [f"http://{web}/bare.csv"]
    assert sources.content(found[f"http://{web}/bare.csv"], PLENTY) == b"bare.csv\n1\n"


def test_an_answer_that_is_cut_off_waits(tmp_path, web, told):
    found, _ = sources.look(config_of(tmp_path, f"http://{web}/cut.csv"))
    assert sources.content(found[f"http://{web}/cut.csv"], PLENTY) is None
    assert len(warnings(told)) == 1


@pytest.mark.parametrize("name", ["none.csv", "a.csv"])
def test_a_web_address_that_is_not_there_is_told_and_holds_up_no_other(tmp_path, web, told, name):
    address = web if name == "none.csv" else "127.0.0.1:1"
    found, _ = sources.look(
        config_of(tmp_path, f"http://me:hidden@{address}/{name}", f"http://{web}/etag.csv")
    )
    assert [file.name for file in found.values()] == ["etag.csv"]
    (line,) = warnings(told)
    assert line.startswith(f"http://{address}/{name}: ")
    assert "hidden" not in line
