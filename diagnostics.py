"""Diagnostics: is everything the way it must be? Data, production, timings, packages, Python, and cron's view of it.

    python diagnostics.py [--config FILE] [--json] [-v]
    python diagnostics.py --as-cron | --online | --repair

Tells mean, median, mode and standard deviation of every numeric column and the share of missing cells, how long steps
took (from the records, nothing is run again), and whether the installed packages are the required ones. What can't be
found out counts as unknown, never as fine. The exit code is 70 if production isn't what was deployed, else 0.

--as-cron runs all of this again the way cron would: bare environment, home folder, /bin/sh. --online asks the package
index for newer versions, for half a minute at most. --repair makes the records from their journal if they are lost,
damaged or an older copy, or the journal from them, and the next run writes the files for people anew.

Reads  the records and their journal, paths.ingested/parts/, paths.production, requirements.txt
Writes paths.reports/diagnostics.json
       paths.database or paths.ingested/records.journal     with --repair: whichever isn't as it was left
       paths.ingested/records.damaged.journal     with --repair: rows of a server's database that differed
       paths.reports/packages_online.json     with --online: what the index said, and when
"""

import json
import os
import pwd
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pipeline import agenda, cli, dataset, files, intake, journal, records, releases, serving, views, words
from pipeline.cli import Result, log
from pipeline.config import Config
from pipeline.errors import CheckFailed, FileError, UsageError
from pipeline.records import Records

OLDEST_PYTHON = (3, 11)
MOSTLY_MISSING = 0.5  # share of a column's cells from which it is worth a word
LONGEST = 120.0  # seconds that the run under cron's environment may take
ASKING = 30.0  # seconds for all questions to the package index together
ANSWER = 5  # seconds the index has for one answer
AT_ONCE = 4  # questions

# Variables that change what a program does, and that cron doesn't hand on.
MATTER = (
    "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "PGPASSWORD", "PGPASSFILE", "PGSERVICE",
    "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy",
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """What one check found: the facts, what is wrong in words, and whether that is a failure (exit code 70)."""

    facts: Any
    wrong: list[str] = field(default_factory=list)
    failure: str | None = None


def program(config: Config, as_cron: bool = False, online: bool = False, repair: bool = False) -> Result:
    """Check everything; or do so as cron would, or ask the package index, or repair the records."""
    if as_cron + online + repair > 1:
        raise UsageError("--as-cron, --online and --repair are different things: one at a time")
    if as_cron:
        return check_as_cron(config)
    if online:
        return ask_online(config)
    if repair:
        return repaired(config)
    if told := journal.changed(config):
        raise FileError(told)
    with journal.opened(config, reading=True) as book:
        return run(config, book)


def repaired(config: Config) -> Result:
    """Make records or journal anew, whichever isn't as it was left, and have the next run write the other files."""
    told = journal.repair(config)
    agenda.begin(config)
    files.remove(config.ingested / dataset.TABLE_STATE)
    return Result(
        f"{told or 'records and journal agree'}; the next run writes the files for people anew",
        {"repaired": told},
    )


def run(config: Config, book: Records) -> Result:
    """Check everything."""
    found = {name: check(config, book) for name, check in CHECKS.items()}
    wrong = [told for check in found.values() for told in check.wrong]
    facts = {"at": records.now(), "wrong": wrong, **{name: check.facts for name, check in found.items()}}
    files.write_text(config.reports / "diagnostics.json", json.dumps(facts, indent=1, allow_nan=False) + "\n")
    for failure in (check.failure for check in found.values() if check.failure):
        raise CheckFailed(failure)
    return Result(f"diagnostics: {'; '.join(wrong) or all_is_well(found)}", facts)


def all_is_well(found: dict[str, Check]) -> str:
    """Give in words what was found to be in order."""
    live, served = (found["production"].facts[name] for name in ("release", "served"))
    deployed = f"production is what was deployed ({live}, {served})" if live else "nothing is deployed yet"
    count = words.counted(len(found["packages"].facts), "package")
    return f"all is well: {count} as required, {deployed}, {found['statistics'].facts['rows']:,} rows"


def python(config: Config, book: Records) -> Check:
    """Look at the interpreter: its version, where it is, how it reads and writes text."""
    facts, oldest = interpreter(), ".".join(map(str, OLDEST_PYTHON))
    old = sys.version_info < OLDEST_PYTHON
    return Check(facts, [f"Python {facts['version']} is too old, {oldest} is needed"] if old else [])


def interpreter() -> dict[str, str]:
    """Give what is the same for a program wherever it is started, unless something is wrong."""
    version = ".".join(map(str, sys.version_info[:3]))
    return {"version": version, "executable": sys.executable, "encoding": sys.getfilesystemencoding()}


def packages(config: Config, book: Records) -> Check:
    """Compare the installed packages with requirements.txt."""
    found = views.packages(config, book)
    bad = [_package_words(package) for package in found if package["state"] != "ok"]
    wrong = [f"{words.counted(len(bad), 'package')} not as required: {words.listed(bad, 6)}"] if bad else []
    return Check(found, wrong + ([f"put right with {_pip_install()}"] if bad else []))


def _package_words(package: dict[str, Any]) -> str:
    installed = {"missing": "missing", "unknown": "unknown"}.get(package["state"], package["installed"])
    return f"{package['name']} {installed} ({package['required'] or 'not understood'})"


def _pip_install() -> str:
    return f"{shlex.quote(sys.executable)} -m pip install -r {shlex.quote(str(views.REQUIREMENTS))}"


def production(config: Config, book: Records) -> Check:
    """Compare what is deployed with its hashes, and the libraries it was made with with those here and required."""
    facts: dict[str, Any] = dict.fromkeys(("release", "problem", "served")) | {
        "verified": False,
        "libraries": {},
    }
    try:
        live = releases.current(config)
        if live is None:
            releases.check_lost(config, book)
        else:
            releases.check_links(config.production)
    except CheckFailed as problem:
        return Check(facts | {"problem": str(problem)}, [str(problem)], str(problem))
    if live is None:
        return Check(facts)
    facts |= {"release": live.id, "verified": True, "libraries": live.manifest.get("libraries", {})}
    facts["served"] = serving.told(live.manifest, config.deployment.onnx)
    here = releases.libraries()
    told = releases.made_with_others(live, here)
    required = [(package["name"], package["required"] or "") for package in views.packages(config, book)]
    pins = {name: version.removeprefix("==") for name, version in required if version.startswith("==")}
    soon = releases.made_with_others(live, here | {name: pins.get(name, here[name]) for name in here})
    wrong = [told] if told else [f"once requirements.txt is installed: {soon}"] if soon else []
    refused = told if config.deployment.libraries == "refuse" else ""
    return Check(facts, wrong, refused or None)


def statistics(config: Config, book: Records) -> Check:
    """Describe every column of the clean table; a number that never changes or a mostly empty column is told."""
    found = views.statistics(config, book)
    wrong = []
    for name, column in found["columns"].items():
        if column["missing_share"] and column["missing_share"] >= MOSTLY_MISSING:
            wrong.append(f"column {name} is missing in {words.percent(column['missing_share'])} of the rows")
        elif column.get("sd") == 0:
            wrong.append(f"column {name} is {words.number(column['mean'])} in every row")
    return Check(found, wrong)


def timings(config: Config, book: Records) -> Check:
    """Tell how long each step took, from the records."""
    return Check(views.timings(config, book))


def choices(config: Config, book: Records) -> Check:
    """Tell whether the rows in hand were ingested under the columns and cleaning that the config has now."""
    told = intake.of_other_choices(config, book)
    return Check(config.contract, [told] if told else [], told or None)


def texts(config: Config, book: Records) -> Check:
    """Compare the journal and the files that people read with the records that they were made from."""
    listing, latest = config.ingested / "ingestedfiles.txt", config.models / "latestscore.txt"
    table, state, parts = config.ingested / dataset.TABLE, config.ingested / dataset.TABLE_STATE, book.parts()
    other = (
        [listing]
        if listing.exists() and listing.read_text("utf-8", "replace") != book.ingested_text()
        else []
    )
    if table.exists() and dataset.table_upto(table, state, parts) != book.last_part():
        other.append(table)
    try:
        live = releases.current(config)
    except CheckFailed:
        live = None  # `production` tells of it
    if live is not None and latest.exists():
        score = records.score_text(views.latest_score(config, book, live))
        other += [latest] if latest.read_text("utf-8", "replace") != score else []
    how = (
        "the next run writes it"
        if agenda.unfinished(config)
        else f"{journal.REPAIR} has the next run write it"
    )
    wrong = [f"{path}: not what is on record; {how} anew" for path in other]
    told = journal.differs(config, book)
    return Check([str(path) for path in other], [*wrong, told] if told else wrong)


CHECKS: dict[str, Callable[[Config, Records], Check]] = {
    "python": python,
    "packages": packages,
    "choices": choices,
    "production": production,
    "texts": texts,
    "statistics": statistics,
    "timings": timings,
}


# ---------------------------------------------------------------------------------------------- as cron runs it
def check_as_cron(config: Config) -> Result:
    """Run the diagnostics in cron's environment and tell what fails or differs there. Raise CheckFailed if it fails.

    The inner process takes the lock itself; this one holds none.
    """
    start = time.perf_counter()
    done = run_bare([sys.executable, os.path.abspath(__file__), "--config", config.file, "--json"])
    seconds = round(time.perf_counter() - start, 1)
    lost = sorted(name for name in MATTER if os.environ.get(name))
    hints = (
        [f"cron won't have {', '.join(lost)}: if the job needs it, set it at the top of the crontab"]
        if lost
        else []
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        advice = "; ".join([*_advice(done), *hints])
        raise CheckFailed(
            f"as cron: exit code {done.returncode}: {said}" + (f" ({advice})" if advice else "")
        )
    inner = json.loads(done.stdout)
    differs = _differences(inner["python"], interpreter())
    facts = {"seconds": seconds, "differs": differs, "hints": hints, "as_cron": inner}
    told = (
        "; ".join([*differs, *inner["wrong"], *hints]) or f"all is well there too ({words.duration(seconds)})"
    )
    return Result(f"as cron: {told}", facts)


def run_bare(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command as cron would: through /bin/sh, in the home folder, with four variables and no terminal."""
    user = pwd.getpwuid(os.getuid())
    home = user.pw_dir if os.path.isdir(user.pw_dir) else "/"
    bare = {
        "PATH": "/usr/bin:/bin",
        "HOME": home,
        "SHELL": "/bin/sh",
        "LOGNAME": user.pw_name,
        "USER": user.pw_name,
    }
    shell = ["/bin/sh", "-c", shlex.join(command)]
    log.info("as cron: cd %s; env -i %s", home, shlex.join(shell))
    try:
        return subprocess.run(
            shell,
            env=bare,
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"as cron: not done within {LONGEST:g} s") from None


def _advice(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Give what usually helps against what the bare run complained of."""
    return [advice for sign, advice in ADVICE.items() if sign in done.stderr]


ADVICE = {
    "ModuleNotFoundError": f"the packages aren't in this Python by itself: {_pip_install()}",
    "Permission denied": "the user whose crontab it is must own the project's folders",
    "holds the lock": "a run is at work; ask again when it is done",
    "database error": "the database needs what cron doesn't have: put user and password file into paths.database",
}


def _differences(there: dict[str, str], here: dict[str, str]) -> list[str]:
    """Give what of the interpreter is otherwise under cron."""
    return [
        f"{name} is {there[name]} under cron, here {value}"
        for name, value in here.items()
        if there[name] != value
    ]


# ---------------------------------------------------------------------------------------------- ask the package index
def ask_online(config: Config) -> Result:
    """Ask the index for the newest version of every required package; keep the answers, each with its date."""
    wanted = [
        package["name"] for package in views.compared(views.REQUIREMENTS) if package["state"] != "unknown"
    ]
    newest = ask_index(wanted, ASKING)
    answers = views.online_answers(config)
    answers |= {
        name: {"newest": version, "asked": records.now()} for name, version in newest.items() if version
    }
    files.write_text(config.reports / views.ONLINE, json.dumps(answers, indent=1) + "\n")
    found = [_compared(package, newest) for package in views.compared(views.REQUIREMENTS)]
    return Result(f"packages: {_online_words(found)}", {"asked": records.now(), "packages": found})


def ask_index(names: list[str], seconds: float) -> dict[str, str | None]:
    """Give the newest version of each package that the index has for this Python; None where it gave no answer."""
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(names, pool.map(lambda name: _newest(name, until), names), strict=True))


def _newest(name: str, until: float) -> str | None:
    """Ask pip, which knows the user's index, proxies and certificates."""
    left = until - time.monotonic()
    if left <= 0:
        return None
    bounded = ["--retries", "0", "--timeout", str(ANSWER), "--no-input", "--disable-pip-version-check", "-vv"]
    command = [sys.executable, "-m", "pip", "index", "versions", *bounded, name]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=left)
    except (subprocess.TimeoutExpired, OSError):
        return None
    answer = answered(name, done.stdout)
    log.info("%s: %s", name, answer or "no answer")
    return answer


def answered(name: str, said: str) -> str | None:
    """Give the newest version that `pip index versions -vv` found; None if any index it asked could not be reached.

    Pip itself passes over an index that is down, and calls what a folder on the disk happens to hold the newest.
    """
    unreached = [line for line in said.splitlines() if "Could not fetch URL" in line and "404" not in line]
    newest = re.search(rf"^{re.escape(name)} \((\S+)\)$", said, re.MULTILINE | re.IGNORECASE)
    return newest[1] if newest and not unreached else None


def _compared(package: dict[str, Any], newest: dict[str, str | None]) -> dict[str, Any]:
    """Give a package with what the index said: `current`, `newer` or `unknown`."""
    from packaging.version import Version

    there, installed = newest.get(package["name"]), package["installed"]
    if there is None or installed is None:
        state = "unknown"
    else:
        state = "newer" if Version(there) > Version(installed) else "current"
    return {"name": package["name"], "installed": installed, "newest": there, "state": state}


def _online_words(found: list[dict[str, Any]]) -> str:
    newer = [
        f"{one['name']} {one['newest']} (installed: {one['installed']})"
        for one in found
        if one["state"] == "newer"
    ]
    unknown = [one["name"] for one in found if one["state"] == "unknown"]
    told = [f"{len(newer)} have newer versions: {', '.join(newer)}"] if newer else []
    if unknown:
        told.append(
            f"unknown for {len(unknown)} of {len(found)}, the index didn't answer: {words.listed(unknown, 6)}"
        )
    return "; ".join(told) or f"all {len(found)} are the newest there are"


if __name__ == "__main__":
    cli.launch(
        program,
        __doc__,
        (
            "--as-cron",
            {"action": "store_true", "help": "run the checks in cron's bare environment", "reads": True},
        ),
        (
            "--online",
            {"action": "store_true", "help": "ask the package index for newer versions", "reads": True},
        ),
        (
            "--repair",
            {"action": "store_true", "help": "make the records anew from their journal, or that from them"},
        ),
        records=False,
    )
