"""A real cron for tests: Debian's own daemon, on a clock that runs fast, alone in its own namespace.

    with private_cron("* * * * * echo oops >&2", tmp_path / "cron") as cron:
        cron.wait_for(lambda: cron.mails(), seconds=10)

The daemon gets its own mounts and process ids. Inside them /etc/cron.d, /etc/crontab, the spool, /run,
/dev/shm and /usr/sbin/sendmail are ours, so neither the machine's jobs nor its mail are touched; when the
namespace goes, every mount and process goes with it. Only cron's clock is fast: its jobs see the real one.
"""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]

# The first process of the namespace. It ends when its stdin does, so also when the tests are killed.
# Cron starts half a (fast) minute before ten past, on a day without a change of summer time.
INIT = r"""
set -eu
folder=$1 speed=$2
mount -t tmpfs none /run
mount -t tmpfs none /dev/shm
mount --bind "$folder/cron.d" /etc/cron.d
mount --bind "$folder/spool" /var/spool/cron/crontabs
if [ -e /etc/crontab ]; then mount --bind "$folder/none" /etc/crontab; fi
mount --bind /usr/sbin "$folder/sbin.real"
ln -s "$folder"/sbin.real/* "$folder/sbin/"
ln -sf "$folder/sendmail" "$folder/sbin/sendmail"
mount --bind "$folder/sbin" /usr/sbin
crontab -u root "$folder/crontab.txt"
TZ=UTC NO_FAKE_STAT=1 faketime -f "@2026-01-15 00:09:30 x$speed" cron -f &
until [ -s /run/crond.pid ]; do sleep 0.02; kill -0 $!; done
touch "$folder/ready"
cat >/dev/null
"""

# Mails are numbered by the clock and appear whole. Cron may hand its own fast clock down to its mailer.
SENDMAIL = r"""#!/bin/sh
unset LD_PRELOAD FAKETIME
cd FOLDER
draft=$(mktemp draft.XXXXXX)
cat >"$draft"
mv "$draft" "mails/$(date +%s%N).${draft#*.}"
"""


@dataclass(frozen=True)
class Cron:
    """A running private cron and what has come out of it so far."""

    folder: Path

    def mails(self) -> list[str]:
        """Every mail cron has sent, oldest first, with its headers."""
        return [mail.read_text() for mail in sorted((self.folder / "mails").iterdir())]

    def ticks(self) -> int:
        """How often the beat has come: a job of our own that shows that cron is at work."""
        return (self.folder / "beats").stat().st_size

    def wait_for(self, predicate: Callable[[], object], seconds: float) -> None:
        """Return once the predicate holds. Raise TimeoutError, with cron's mails, if it never does."""
        deadline = time.monotonic() + seconds
        while not predicate():
            if time.monotonic() > deadline:
                raise TimeoutError("\n".join([f"not within {seconds} s; mails:", *self.mails()]))
            time.sleep(0.05)

    def wait_for_ticks(self, count: int, seconds: float) -> None:
        """Return after so many more beats."""
        enough = self.ticks() + count
        self.wait_for(lambda: self.ticks() >= enough, seconds)


@contextmanager
def private_cron(crontab: str, folder: Path, *, speed: int = 60, beat: str = "* * * * *") -> Iterator[Cron]:
    """Run cron with this crontab for root, its clock `speed` times too fast: 60 makes a minute a second.

    The folder must not exist yet, nor lie in /run or /dev/shm; its path may hold spaces. A speed of 600 has been
    seen to miss no tick, even on a busy machine. Raise RuntimeError with what was said if cron does not start.
    """
    furnish(folder, crontab, beat)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*UNSHARE, "sh", "-c", INIT, "private-cron", str(folder), str(speed)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C stops the tests, and they stop cron
        )
    try:
        wait_until_ready(process, folder)
        yield Cron(folder)
    finally:
        stop(process)


def why_not() -> str | None:
    """What keeps cron from being had on this machine, in a few words, or None."""
    if os.name != "posix" or os.geteuid() != 0:
        return "a private cron needs root"
    for tool in ("cron", "crontab", "faketime", "unshare"):
        if shutil.which(tool) is None:
            return f"a private cron needs {tool}, which is not on the PATH"
    probe = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", "/run"], capture_output=True, text=True)
    if probe.returncode != 0:
        return f"a private cron needs its own namespace: {probe.stderr.strip()}"
    return None


def body(mail: str) -> str:
    """What the job printed: the mail without its headers."""
    return mail.partition("\n\n")[2]


def furnish(folder: Path, crontab: str, beat: str) -> None:
    """Lay out the files that cron will find in place of the machine's own."""
    for name in ("cron.d", "spool", "sbin", "sbin.real", "mails"):
        (folder / name).mkdir(parents=True)
    for name in ("none", "beats"):
        (folder / name).touch(mode=0o644)
    (folder / "crontab.txt").write_text(crontab)
    (folder / "cron.d" / "beat").write_text(f'BEATS={folder}/beats\n{beat} root printf . >>"$BEATS"\n')
    (folder / "cron.d" / "beat").chmod(0o644)
    (folder / "sendmail").write_text(SENDMAIL.replace("FOLDER", shlex.quote(str(folder))))
    (folder / "sendmail").chmod(0o755)


def wait_until_ready(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Return once cron holds its pid file. Raise RuntimeError if it ends or takes half a minute."""
    deadline = time.monotonic() + 30
    while not (folder / "ready").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"cron did not start: {(folder / 'log').read_text().strip()}")
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the namespace, and with it cron, its jobs and its mounts."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
