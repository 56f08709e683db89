"""Run the loop, disturb it at one point, and see whether the next run finishes the story.

    frame = kills.deploying(folder, first_run)
    with workers() as pool:
        broken = tried(pool, frame, kills.trials(frame))

A point is a system call that changes something on the disk. To try hundreds of them in minutes, runs are forks of a
process that has imported everything (`forked`), with strace attached before they begin; each works on a copy of its own
of the prepared project. What is wrong afterwards is a dict, empty if nothing is.
"""

import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pipeline import smoke
from tests.project import LONGEST, NO_BYTECODE, ROOT, Point, Project, Ran, clients, why_no_strace

# Of the run alone: processes and threads that it starts are neither listed nor disturbed.
STRACE = ("strace", "-qq", "-y", "-e", "signal=none")
CALL = re.compile(r"^(\w+)\((.*)")

# A call that opens a file for writing counts if it makes the file or empties it.
CALLS = (
    "rename renameat renameat2 unlink unlinkat symlink symlinkat mkdir mkdirat rmdir link linkat fsync fdatasync "
    "ftruncate truncate write writev pwrite64 copy_file_range sendfile openat"
).split()
MAKES_FILE = re.compile(r"O_CREAT|O_TRUNC")
DOCUMENTED = (0, 64, 65, 70, 74, 75, 78)  # exit codes; 1 is a bug
FILE_TROUBLE = 74
AT_ONCE = 2  # runs
PROGRAMS = ("fullprocess", "ingestion", "scoring", "training", "deployment", "diagnostics", "reporting")
LATE = (  # libraries that programs import inside of functions
    "skops.io", "sklearn.compose", "sklearn.impute", "sklearn.linear_model", "sklearn.pipeline", "matplotlib.figure",
    "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "sqlalchemy.dialects.sqlite",
    "onnx", "onnx.numpy_helper", "onnx.checker", "onnxruntime", "fsspec.implementations.http",
)  # fmt: skip
SETTLES = 0.01  # seconds between two looks at a process

Wrong = dict[str, Any]


# ---------------------------------------------------------------------------------------------- what a run is for
def final_state(project: Project) -> dict[str, object]:
    """Give what a run is for, without times and the names made of them."""
    names = {
        name: number
        for number, (name,) in enumerate(project.query("select id from releases order by number"))
    }
    live = project.champion()
    scores = project.query("select release, batch, value, rows from scores order by release, batch, id")
    return {
        "table": project.table(),
        "files": project.query(
            "select id, name, sha256, status, rows, labelled, duplicates, output from files"
        ),
        "scores": sorted((names.get(release, -1), *score) for release, *score in scores),
        "releases": len(names),
        "live": (
            names.get(live.id),
            live.manifest["name"],
            live.manifest["window"],
            live.manifest["learnt_upto"],
        ),
        # To 9 digits: another process may divide its sums among other threads.
        "predictions": project.predictions(clients(200, seed=77)).round(9).tolist(),
        "latest score": (project.folder / "models" / "latestscore.txt").read_text(),
        "call list": (project.folder / "reports" / "calllist.csv").read_text(),
        "rollbacks": project.query("select count(*) from decisions where kind = 'rollback'"),
        "next": project.does("fullprocess.py")["outcome"],
    }


def apart(project: Project) -> dict[str, object]:
    """Give the final state, found in a fork: if this process imported more, runs would make other calls."""
    fork = get_context("fork")
    here, there = fork.Pipe(duplex=False)
    process = fork.Process(target=lambda: there.send(final_state(project)))
    process.start()
    there.close()
    try:
        return here.recv()
    finally:
        process.join()


def differences(state: dict[str, object], expected: dict[str, object]) -> Wrong:
    """Give what is otherwise than expected."""
    return {name: state[name] for name in expected if state[name] != expected[name]}


# ---------------------------------------------------------------------------------------------- runs
def forked(
    project: Project,
    script: str,
    *flags: str,
    strace: tuple[str, ...] = (),
    first: Callable[[], object] = lambda: None,
    longest: float = LONGEST,
) -> Ran:
    """Run a script in a fork of this process, traced from its first step. `first` is called in it before.

    Raise TimeoutError, and kill it, after `longest` seconds.
    """
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        open(os.devnull, "rb") as nothing,
    ):
        waits, go = os.pipe()
        process = os.fork()
        if not process:
            _become(project, script, flags, (nothing.fileno(), out.fileno(), err.fileno()), waits, first)
        tracer = _attached(process, strace) if strace else None
        os.write(go, b"!")
        os.close(go)
        os.close(waits)
        code = _ended(process, longest)
        if tracer is not None:
            tracer.wait(LONGEST)
        return Ran(code, _all_of(out), _all_of(err))


def _all_of(file) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _become(
    project: Project,
    script: str,
    flags: tuple[str, ...],
    streams: tuple[int, int, int],
    waits: int,
    first: Callable[[], object],
) -> None:
    """Be the program, from when the word comes to its end. Never returns."""
    code: Any = 0
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir("/")
        sys.argv = [str(ROOT / script), "--config", str(project.config_file), *flags]
        os.read(waits, 1)
        first()
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as left:
        code = left.code
    except BaseException:  # noqa: BLE001  this is where Python itself would print it
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _attached(process: int, options: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Attach strace to a process that waits, and give it once it holds it."""
    tracer = subprocess.Popen([*STRACE, *options, "-p", str(process)], stderr=subprocess.DEVNULL)
    status, deadline = Path(f"/proc/{process}/status"), time.monotonic() + LONGEST
    while "TracerPid:\t0\n" in status.read_text():
        if tracer.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("strace did not attach")
        time.sleep(SETTLES)
    time.sleep(5 * SETTLES)  # from holding it to stopping it at calls
    return tracer


def _ended(process: int, longest: float) -> int:
    """Wait for a process and give its exit code, or the number of the signal that ended it, negative."""
    deadline = time.monotonic() + longest
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(process, 9)
            os.waitpid(process, 0)
            raise TimeoutError(f"still running after {longest} s")
        time.sleep(SETTLES)


# ---------------------------------------------------------------------------------------------- points
def points(project: Project, script: str, *flags: str) -> list[Point]:
    """Run a script to its end and give every call with which it changed or opened something on the disk, in order."""
    log = project.folder.with_name(f"{project.folder.name}.strace")
    ran = forked(project, script, *flags, strace=("-e", f"trace={','.join(CALLS)}", "-o", str(log)))
    assert ran.code == 0, ran.err
    calls = [match.groups() for match in map(CALL.match, log.read_text().splitlines()) if match]
    counted, found = Counter[str](), []
    for name, told in calls:
        counted[name] += 1
        if str(project.folder) in told:
            found.append(Point(name, counted[name], told.replace(str(project.folder), "")))
    return found


def reads(point: Point) -> bool:
    """Say whether a call only opens something, and makes or empties no file."""
    return point.name == "openat" and MAKES_FILE.search(point.told) is None


def disturbed(project: Project, point: Point, how: str, script: str, *flags: str) -> Ran:
    """Run a script; at this point let strace do as it's told: `signal=KILL`, `error=ENOSPC`."""
    log = project.folder.with_name(f"{project.folder.name}.strace")
    inject = f"inject={point.name}:{how}:when={point.number}"
    options = ("-e", f"trace={point.name}", "-e", inject, "-o", str(log))
    ran = forked(project, script, *flags, strace=options)
    calls = [line for line in log.read_text().splitlines() if line.startswith(f"{point.name}(")]
    hit = calls[-1] if "KILL" in how else next((line for line in calls if "INJECTED" in line), "")
    assert str(project.folder) in hit, f"{point}: elsewhere, {hit or 'nowhere'}"
    return ran


# ---------------------------------------------------------------------------------------------- trying them
@dataclass(frozen=True)
class Frame:
    """What is disturbed: a prepared project, a script, and the states that it may lead to in the end."""

    folder: Path
    start: Project
    script: str = "fullprocess.py"
    flags: tuple[str, ...] = ()
    again: bool = False  # cron can't finish it: whoever asked for it asks once more, after cron's next run
    states: list[dict[str, object]] = field(default_factory=list)
    points: list[Point] = field(
        default_factory=list
    )  # where the script changes something; none without strace
    reads: list[Point] = field(default_factory=list)  # where it opens a file or folder to read

    @contextmanager
    def copy(self, name: str) -> Iterator[Project]:
        """Give a copy of the project to disturb; it's deleted in the end."""
        project = self.start.copied(self.folder / name)
        try:
            yield project
        finally:
            shutil.rmtree(project.folder)
            project.folder.with_name(f"{name}.strace").unlink(missing_ok=True)


def finished(frame: Frame, project: Project) -> Wrong:
    """Look at what was left behind, let the next run finish it, and give what is wrong: nothing, it should be."""
    wrong: Wrong = {}
    if frame.again:
        refused = forked(project, "fullprocess.py")
        if refused.code not in DOCUMENTED:
            wrong["cron's next run"] = refused.err
        asked = forked(project, frame.script, *frame.flags)
        if asked.code:
            return wrong | {"asked once more": asked.err}
    between = forked(project, "deployment.py", "--verify")
    if between.code:
        wrong["production"] = between.err
    again = forked(project, "fullprocess.py")
    if again.code:
        return wrong | {"the next run": again.err}
    found = apart(project)
    return wrong | min((differences(found, state) for state in frame.states), key=len)


def undisturbed(frame: Frame) -> dict[str, object]:
    """Give the final state that the script leads to when nothing happens."""
    with frame.copy("undisturbed") as project:
        ran = forked(project, frame.script, *frame.flags)
        assert ran.code == 0, ran.err
        assert forked(project, "fullprocess.py").code == 0
        return apart(project)


def untouched(frame: Frame) -> dict[str, object]:
    """Give the final state if the script is never run, but the next run is."""
    with frame.copy("untouched") as project:
        assert forked(project, "fullprocess.py").code == 0
        return apart(project)


def find_points(frame: Frame) -> None:
    """Put every point of the script into its frame; none without strace."""
    if why_no_strace() is not None:
        return
    with frame.copy("all points") as project:
        for point in points(project, frame.script, *frame.flags):
            (frame.reads if reads(point) else frame.points).append(point)


@dataclass(frozen=True)
class Trial:
    """A disturbance to try: its name, a function of this package, and what it takes beside frame and project."""

    name: str
    function: Callable[..., Wrong]
    arguments: tuple[Any, ...] = ()


def _tried(number: int, frame: Frame, trial: Trial) -> Wrong:
    """Try one in a worker. A doubt about the trial itself counts as broken: nothing was shown."""
    try:
        with frame.copy(f"trial {number}") as project:
            return trial.function(frame, project, *trial.arguments)
    except Exception as problem:  # noqa: BLE001  hundreds more wait to be tried
        return {"the trial": f"{type(problem).__name__}: {problem}"}


@contextmanager
def workers() -> Iterator[ProcessPoolExecutor]:
    """Give processes that have imported everything a run imports, to fork runs from."""
    pool = ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn"), initializer=prepare)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def prepare() -> None:
    """Make this process one to fork runs from: import what the scripts do, and no more threads than one."""
    os.environ.update(NO_BYTECODE, OMP_NUM_THREADS="1")
    sys.dont_write_bytecode = True
    sys.path[:0] = [] if str(ROOT) in sys.path else [str(ROOT)]
    modules = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "pipeline").rglob("*.py")]
    ours = [
        ".".join(path.parts).removesuffix(".__init__") for path in modules if "migrations" not in path.parts
    ]
    for module in (*PROGRAMS, *ours, *LATE):
        __import__(module)
    smoke.apart = smoke.here  # it changes nothing on the disk, and would import everything anew in each trial


def tried(
    pool: ProcessPoolExecutor,
    frame: Frame,
    trials: Iterable[Trial],
    after: Callable[[str, Wrong], object] = lambda name, wrong: None,
) -> dict[str, Wrong]:
    """Try all, and give what was wrong after each that broke something. `after` is called after each."""
    asked = {pool.submit(_tried, number, frame, trial): trial for number, trial in enumerate(trials)}
    broken = {}
    for done in as_completed(asked):
        wrong, name = done.result(), asked[done].name
        after(name, wrong)
        if wrong:
            broken[name] = wrong
    return broken
