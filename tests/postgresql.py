"""A real PostgreSQL server for the tests: in a folder of its own under /tmp, on a port of its own on loopback.

It refuses to be run by root, so root has another user run it. It syncs nothing: only crashes of itself are tried.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

USER, PASSWORD = "keeper", "s3cret/word"
QUOTED = "s3cret%2Fword"  # the password as it stands in a URL
OTHERS = ("postgres", "nobody")  # users that can run a server for root
LONGEST = 60.0  # seconds that a server may take to answer on a busy machine


def programs() -> Path | None:
    """Give the folder of a server's programs, on PATH or where Debian has them (the newest); None if there is none."""
    on_path = shutil.which("postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parts[-2]))
    folders = [*([Path(on_path).resolve().parent] if on_path else []), *reversed(debian)]
    return next((one for one in folders if (one / "initdb").exists() and (one / "postgres").exists()), None)


@dataclass
class Server:
    """A server that can be killed and started again."""

    folder: Path
    programs: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str, password: str = QUOTED) -> str:
        """Give the URL of a database as an operator would write it."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        """Make a cluster without databases, that asks for a password."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if user := _other_user():
            for path in (self.folder, secret):
                shutil.chown(path, user)
        how = ["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", f"--pwfile={secret}"]
        made = self._started("initdb", "-U", USER, *how)
        assert made.wait(LONGEST) == 0, self._log()

    def start(self) -> bool:
        """Start it, if it doesn't run, and wait until it answers; say no if somebody else took its port meanwhile."""
        if self.process is not None and self.process.poll() is None:
            return True
        told = len(self._log())
        settings = {
            "fsync": "off",
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
        }
        self.process = self._started("postgres", *(f"--{name}={value}" for name, value in settings.items()))
        until = time.monotonic() + LONGEST
        while True:
            try:
                self.run("postgres", "SELECT 1")
                return True
            except psycopg.OperationalError:
                if self.process.poll() is not None and "could not bind" in self._log()[told:]:
                    return False
                assert self.process.poll() is None, self._log()
                assert time.monotonic() < until, self._log()
                time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, with every connection, as a crash would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(LONGEST)

    def run(self, database: str, *commands: str) -> None:
        """Have it do something, outside of any transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for command in commands:
                connection.execute(command.encode())

    def cut(self, database: str) -> None:
        """End all connections to a database."""
        self.run(
            "postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        )

    def _started(self, program: str, *flags: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            user = _other_user()
            return subprocess.Popen(
                [str(self.programs / program), "-D", str(self.folder / "data"), *flags],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=user,
                group=pwd.getpwnam(user).pw_gid if user else None,
                extra_groups=[] if user else None,
            )

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


def _other_user() -> str | None:
    """Give who runs a server for root; None if we aren't root."""
    return next(one for one in OTHERS if _exists(one)) if os.getuid() == 0 else None


def _exists(user: str) -> bool:
    try:
        return bool(pwd.getpwnam(user))
    except KeyError:
        return False


def _free_port() -> int:
    """Give a port that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def running(found: Path) -> Iterator[Server]:
    """Give a server, of these programs, that runs; it's gone in the end, and its folder too."""
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))  # pytest's own folders are closed to other users
    server = Server(folder, found, _free_port())
    try:
        server.make()
        while not server.start():
            server.port = _free_port()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
