"""What all programs share: flags, logging, the lock, exit codes, one line of result.

A step is `run(config, book, **flags)` that gives a Result; `launch` does the rest.
"""

import argparse
import atexit
import json
import logging
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import config as configs
from pipeline import decisions, drift, files, metrics, models
from pipeline.errors import FileError, PipelineError, UsageError

log = logging.getLogger("pipeline")

Flag = tuple[str, dict[str, Any]]

COMMAND = re.compile(r"`python \w+\.py\b")  # how a message names what to run


@dataclass(frozen=True)
class Result:
    """What a step did: one line for people (empty: nothing to say) and the facts for `--json`."""

    line: str
    facts: dict[str, Any] = field(default_factory=dict)


class _Speech(logging.Formatter):
    """Gives messages with the commands in them as they are to be run: on the config that this program was run on."""

    def __init__(self, config: str | None = None):
        super().__init__("%(message)s")
        self.config = config

    def format(self, record: logging.LogRecord) -> str:
        return self.of(super().format(record))

    def of(self, text: object) -> str:
        """Give a text for people with `--config FILE` in each command, unless it's the config that they take anyway."""
        asked = "" if self.config is None else f" --config {shlex.quote(self.config)}"
        return COMMAND.sub(lambda found: found[0] + asked, str(text))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise UsageError(f"{self.prog}: {message}; see `{self.prog} --help`")


def launch(
    step: Callable[..., Result], manual: str, *flags: Flag, records: bool = True, locks: bool = True
) -> None:
    """Run a step as a program: parse the command line, hold the lock, print the result, leave with its exit code.

    With `records` the step is given the open records as second argument. A step that changes nothing of the project,
    always or with a flag that has `reads=True` in its options, needs no lock.
    """
    try:
        code = main(step, manual, sys.argv, flags, records, locks)
    except SystemExit as told:  # --help
        code = int(told.code or 0)
    if sys.argv[0] in sys.orig_argv:  # this is the program, and not a part of one that is being tested
        leave(code)
    sys.exit(code)


def leave(code: int) -> None:
    """End the program without taking apart every library that was loaded, which costs as much as a small ingestion."""
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                _to_reader(stream.flush)
    except OSError:  # nothing can be written there: Python tells that in its own way
        return
    os._exit(code)


def _to_reader(write: Callable[..., object], *told: object) -> None:
    """Write to standard output, which whoever reads may close when they have read enough: `... --history | head -1`."""
    try:
        write(*told)
    except BrokenPipeError:
        # What is still to be flushed goes nowhere: see the note on SIGPIPE in Python's `signal`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(
    step: Callable[..., Result],
    manual: str,
    argv: list[str],
    flags: tuple[Flag, ...] = (),
    records: bool = True,
    locks: bool = True,
) -> int:
    """Run a step with this command line and give the exit code. Whatever isn't a PipelineError is a bug and raises."""
    speech = _Speech()
    try:
        options, readers = _parse(manual, argv, flags)
        config, as_json, verbose = options.pop("config"), options.pop("json"), options.pop("verbose")
        named = str(Path(config).resolve())
        speech = _Speech(None if named == str(Path(_default_config(argv)).resolve()) else named)
        _start_logging(verbose, speech)
        chosen = load_config(Path(config))
        reading = not locks or any(options.get(name) for name in readers)
        with _quietly() if reading else files.lock(lock_file(chosen)):
            result = _called(step, chosen, options, records, reading)
    except PipelineError as problem:
        print(speech.of(problem), file=sys.stderr)
        return problem.exit_code
    except OSError as problem:
        if problem.filename is None:
            raise
        print(f"{problem.filename}: {problem.strerror}", file=sys.stderr)
        return FileError.exit_code
    except MemoryError:
        told = "not enough memory, and all rows must fit into it; allow it more (`ulimit -v`) or get a larger machine"
        print(f"{argv[0]}: {told}", file=sys.stderr)
        return FileError.exit_code
    if as_json:
        _to_reader(print, json.dumps(result.facts, allow_nan=False))
    elif result.line:
        _to_reader(print, speech.of(result.line))
    return 0


def lock_file(config: configs.Config) -> Path:
    """Give the file whose lock makes one writer of all programs with this config."""
    return config.ingested / ".lock"


def load_config(file: Path) -> configs.Config:
    """Read the config, with the names of metrics, models, tests and policies that exist."""
    return configs.load(file, _known_names)


def _known_names(task: str) -> dict[str, Collection[str]]:
    return {
        "model.candidates": models.names(task),
        "scoring.metric": metrics.names(task),
        "drift.tests": drift.SCORE_TESTS,
        "retraining.policy": decisions.POLICIES,
    }


def _called(
    step: Callable[..., Result], config: configs.Config, options: dict[str, Any], records: bool, reading: bool
) -> Result:
    if not records:
        return step(config, **options)
    from pipeline import journal

    with journal.opened(config, reading) as book:
        return step(config, book, **options)


@contextmanager
def _quietly() -> Iterator[None]:
    yield


def _parse(manual: str, argv: list[str], flags: tuple[Flag, ...]) -> tuple[dict[str, Any], list[str]]:
    script = Path(argv[0])
    parser = _Parser(
        prog=script.name, description=manual, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=_default_config(argv),
        help="the choices; default: beside the script",
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell on stderr what is being done")
    readers = []
    for name, how in flags:
        reads = how.get("reads", False)
        parser.add_argument(name, **{key: value for key, value in how.items() if key != "reads"})
        if reads:
            readers.append(name.lstrip("-").replace("-", "_"))
    return vars(parser.parse_args(argv[1:])), readers


def _default_config(argv: list[str]) -> str:
    return str(Path(argv[0]).resolve().parent / "config.yaml")


def _start_logging(verbose: bool, speech: _Speech) -> None:
    level = logging.INFO if verbose else logging.WARNING
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(speech)
    log.handlers[:] = [handler]
    log.setLevel(level)
    log.propagate = False
    logging.captureWarnings(True)  # what libraries warn of is for -v: cron mails whatever stands on stderr
    warnings = logging.getLogger("py.warnings")
    warnings.handlers[:] = [handler] if verbose else [logging.NullHandler()]
    warnings.propagate = False


@contextmanager
def progress(what: str, pieces: int, unit: str = "file") -> Iterator[Callable[[], object]]:
    """Show a bar while a terminal watches. It gives a function to be called after each of the pieces."""
    if pieces < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    from tqdm import tqdm

    with tqdm(total=pieces, desc=what, unit=unit, leave=False) as bar:
        yield bar.update


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Measure a step's wall time, in seconds, into the dict."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[step] = round(seconds.get(step, 0.0) + time.perf_counter() - start, 4)
