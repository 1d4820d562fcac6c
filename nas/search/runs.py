"""Runs on disk: found by NNI's experiment id or by their directory, each from the other.

`runs/EXPERIMENT_ID/` is ours; NNI's own folder is only looked at to find ours from an id.
"""

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nas.errors import NasError, listed
from nas.search.journal import FILE, Journal
from nas.search.warm_key import WORKER

POINTER = "b0nas-run.txt"
"""The file in NNI's folder of an experiment that names our run directory."""
TRIALS = "trials"
LATENCY_FILE = "latency.json"
CONFIG = "config.json"
"""NNI's configuration of the search, as it was when it last began."""
INTERRUPTED, LOCK = "interrupted", "lock"
"""Of a trial: the file that says it was told to end (a process that was killed leaves none), and the one that its
process holds locked."""
KINDS = ("manager", "tuner", "trial")
WARM = "warm"
"""The kind of the processes to which trials hand their work, and of their forks."""
MARK = "B0NAS_SEARCH"
"""In the environment of an NNI that `nas search` started: which of them did."""
LOG = 1 << 18
"""Bytes of a log's end that are read."""

_held: dict[str, FileLock] = {}


def nni_home() -> Path:
    """NNI's folder of experiments."""
    return Path.home() / "nni-experiments"


def registered(experiment: str) -> dict[str, Any]:
    """What NNI's registry knows of an experiment; empty where it knows nothing."""
    try:
        known = json.loads((nni_home() / ".experiment").read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    found = known.get(experiment) if isinstance(known, dict) else None
    return found if isinstance(found, dict) else {}


def tuner_log(experiment: str) -> str:
    """What the tuner of an experiment logged since it began last; empty where nothing is found."""
    return _log(experiment, "dispatcher.log").rpartition("Dispatcher started")[2]


def manager_log(experiment: str) -> str:
    """What NNI's manager of an experiment logged since it began last; empty where nothing is found."""
    return _log(experiment, "nnimanager.log").rpartition("Start NNI manager")[2]


def _log(experiment: str, name: str) -> str:
    folder = Path(registered(experiment).get("logDir") or nni_home()) / experiment / "log"
    try:
        with (folder / name).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def pointer(experiment: str) -> Path:
    """Where `POINTER` of an experiment is."""
    home = registered(experiment).get("logDir") or str(nni_home())
    return Path(home) / experiment / POINTER


def find_run(name: str, code: Path = Path()) -> Path:
    """The run directory of an NNI experiment id, or of a path; `code` is the folder of its `runs`.

    Raises:
        NasError: where there is none, with the runs of this folder.
    """
    if not name or name in (".", ".."):
        raise NasError(f"run {name!r} is no experiment id; give an id or a run's directory")
    candidates = [Path(name), code / "runs" / name]
    if "/" not in name:
        with contextlib.suppress(OSError, ValueError):
            candidates.append(Path(pointer(name).read_text().strip()))
    for path in candidates:
        with contextlib.suppress(OSError, ValueError):  # a name that no file can have
            if (path / FILE).is_file():
                return path.resolve()  # whose name is the experiment's id, whatever was typed
    here = sorted(path.parent.name for path in (code / "runs").glob(f"*/{FILE}"))
    raise NasError(
        f"there is no run {name!r} (no {FILE} in it); runs here: {listed(here) or 'none'}; "
        "give an NNI experiment id or the path of a run's directory"
    )


def open_journal(run: Path) -> Journal:
    """The journal of a run, read.

    Raises:
        NasError: where it holds no run.
    """
    journal = Journal(run / FILE)
    journal.refresh()
    if not journal.run:
        raise NasError(f"{journal.path}: no run is described in it; the search ended before it began")
    return journal


def trial_directory(run: Path, number: int) -> Path:
    """A trial's folder: its TensorBoard run, its lock."""
    return run / TRIALS / f"{number:03d}"


def trial_file(run: Path, number: int, what: str) -> Path:
    """The `INTERRUPTED` or `LOCK` of a trial; not among TensorBoard's files, without which it can do."""
    return run / ".trials" / f"{number:03d}.{what}"


def forget_marks(run: Path) -> None:
    """Removes what says that trials of an earlier session were told to end."""
    for mark in (run / ".trials").glob(f"*.{INTERRUPTED}"):
        mark.unlink(missing_ok=True)


def hold(run: Path) -> None:
    """Keeps a run for this process, in whose foreground it is, until it ends.

    Raises:
        NasError: where another process has it.
    """
    lock = FileLock(str(run / ".search.lock"), mode=0o600)
    if str(lock.lock_file) in _held:
        return
    try:
        run.mkdir(mode=0o700, parents=True, exist_ok=True)  # trials of NNI's own tuners make it later
        lock.acquire(blocking=False)
    except Timeout:
        raise NasError(f"{run}: another nas search follows this run; wait for it, or end it") from None
    except OSError as error:
        raise NasError(
            f"{run}: cannot be written ({error.strerror}); mend it and resume the search"
        ) from None
    _held[str(lock.lock_file)] = lock


def processes_of(experiment: str) -> dict[int, str]:
    """Process id -> 'manager', 'tuner', 'trial' or 'warm', of this user's processes of an experiment."""
    import psutil

    found = {}
    for process in psutil.process_iter(["pid", "cmdline", "environ"]):
        environ, words = process.info["environ"] or {}, process.info["cmdline"] or []
        logs = environ.get("NNI_LOG_DIRECTORY")
        if process.pid == os.getpid() or not experiment:
            continue
        if environ.get("NNI_EXP_ID") == experiment:
            found[process.pid] = "trial"
        elif environ.get(WORKER) == experiment:
            found[process.pid] = WARM
        elif logs and Path(logs).parent.name == experiment:
            found[process.pid] = "tuner"
        elif _option(words, "--experiment-id") == experiment:
            found[process.pid] = "manager"
    return found


def experiment_marked(mark: str) -> str:
    """The id of the experiment whose manager was started with `MARK` in its environment being `mark`."""
    import psutil

    for process in psutil.process_iter(["cmdline", "environ"]):
        words, environ = process.info["cmdline"] or [], process.info["environ"] or {}
        if environ.get(MARK) == mark and (found := _option(words, "--experiment-id")):
            return found
    return ""


def end_job(job: str) -> None:
    """Ends the processes of one NNI trial job."""
    import psutil

    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get("NNI_TRIAL_JOB_ID") == job:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)


def _option(words: list[str], name: str) -> str | None:
    return words[words.index(name) + 1] if name in words[:-1] else None


def end_processes(experiment: str, *kinds: str) -> int:
    """Ends what a killed manager left running, of these kinds or of all.

    An orphan tuner would push the next run to ERROR. An orphan trial may finish: it writes its result itself, and
    the process that a resumed search starts for it waits for that.
    """
    orphans = [pid for pid, kind in processes_of(experiment).items() if not kinds or kind in kinds]
    for pid in orphans:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return len(orphans)
