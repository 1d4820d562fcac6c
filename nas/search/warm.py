"""A trial hands its work to a warm process, in which Python, torch and the rest are loaded.

A trial is a process of its own, and loading what it needs takes it over 5 s of a processor. The first trial of a
search on a machine therefore starts one that loads all that and waits (`nas.search.warm_worker`); each trial, NNI's
own process, sends it its command, environment, working directory and open files, and the warm process forks: the fork
is the trial, with nothing in it of any other. Signals are handed on, the fork ends with the trial and with the warm
process, its exit status is the trial's. They speak through a socket in a folder that only the user can enter.

Nothing depends on it: where anything is wrong with it, or the machine is none that it knows, the trial is cold, which
is to say that it loads what it needs itself.

This module imports next to nothing, as every trial starts with it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
COLD = "--cold"
"""The trial's option that forbids it."""
WORKER = "B0NAS_WARM"
"""In the environment of a warm process: the experiment whose trials it evaluates."""
OWN = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "OLDPWD", "PWD", "SHLVL", "_")
"""Of an environment, beside NNI's own words, what a trial of the same search may have otherwise: nothing reads it
while torch is loaded."""
AGAIN = 600.0
"""Seconds after a failure of a warm process in which none is tried."""
LOADING = 120.0
"""Seconds in which a warm process must have loaded all."""
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Threads that numpy and torch would start as they are loaded, and a fork has none of its parent's."""
LARGEST = 4 << 20
"""Bytes of a request."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What is handed on."""

stands_for: int | None = None
"""In a fork: the process that handed its work on."""


def known_as() -> int:
    """The process by which NNI, and who ends a trial, know this trial: this one, or the one it stands for."""
    return os.getpid() if stands_for is None else stands_for


def hand_over(words: list[str]) -> int | None:
    """Has a warm process run the trial with these options, to its end.

    Returns:
        The exit code; None where this process is to do it.
    """
    if not wanted(words):
        return None
    try:
        key, folder = key_of(words), private_folder()
        failure = folder / f"{key}.failed"
        if failure.exists() and time.time() - failure.stat().st_mtime < AGAIN:
            return None
        for first in (True, False):
            warm, found = _connected(folder, key, words)
            with warm:
                try:
                    return _evaluated(warm, words)
                except _NotBegun as error:
                    if found and first:  # it was about to end: another is started
                        continue
                    reason = f"{error}{_last_words(folder, key)}"
                except Exception:  # whatever it is, the trial can do without
                    reason = "it has ended"
                break
        failure.touch(0o600)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    print(f"nas trial: no warm process ({reason}); this trial starts cold", file=sys.stderr)
    return None


class _NotBegun(Exception):
    """No fork evaluates the trial."""


def _evaluated(warm: socket.socket, words: list[str]) -> int:
    warm.settimeout(LOADING)
    try:
        _ask(warm, words)
        lines = warm.makefile("r", encoding="ascii")
        reply = _read(lines)
    except (OSError, ValueError) as error:
        raise _NotBegun(f"{type(error).__name__}: {error}") from None
    if "pid" not in reply:
        raise _NotBegun(reply.get("refused"))
    warm.settimeout(None)
    return _follow(warm, lines)


def _last_words(folder: Path, key: str) -> str:
    with contextlib.suppress(OSError, IndexError):
        return "; " + (folder / f"{key}.log").read_text(errors="replace").strip().splitlines()[-1][:200]
    return ""


def wanted(words: list[str]) -> bool:
    """Whether a trial of NNI's is to be warm here: forks of a process that has torch are for Linux, and in NNI's reuse
    mode each trial has a folder of its own, which would take a warm process of its own."""
    environ = os.environ
    known = environ.get("NNI_TRIAL_JOB_ID") and environ.get("NNI_EXP_ID") not in (None, "", "STANDALONE")
    alike = sys.platform == "linux" and "REUSE_MODE" not in environ
    return bool(known) and alike and not {COLD, "-h", "--help"} & set(words)


def kind_of(words: list[str]) -> str:
    """What trials of these options load: 'table' nothing to train with, 'images' what decodes files of images, too.

    >>> kind_of(["--data", "folder:birds"]), kind_of(["--data=digits"]), kind_of(["--table", "x.json"])
    ('images', 'train', 'table')
    """
    if any(word == "--table" or word.startswith("--table=") for word in words):
        return "table"
    of_files = ("folder:", "split:")
    return "images" if any(word.removeprefix("--data=").startswith(of_files) for word in words) else "train"


def key_of(words: list[str]) -> str:
    """What a warm process is one for: an experiment, and all that a fork cannot have otherwise than its parent."""
    limits = [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if "RLIMIT_" in name]
    parts = [
        sys.executable, sys.version, sys.flags, flags(), sys.path, os.getcwd(), kind_of(words), limits, code(PACKAGE),
        os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)), sorted(shared_environment().items()),
        os.environ["NNI_EXP_ID"],
    ]  # fmt: skip
    return hashlib.sha256(repr(parts).encode(errors="surrogateescape")).hexdigest()[:24]


def flags() -> list[str]:
    """The interpreter's own options, such as -O, -I and -X."""
    found: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    given = [name if value is True else f"{name}={value}" for name, value in sys._xoptions.items()]
    return found + [word for option in given if option not in found for word in ("-X", option)]


def code(folder: str | Path) -> list[tuple[str, int]]:
    """The Python files of a package and when each was written: a warm process has its code from when it began."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                found.append((entry.path, entry.stat().st_mtime_ns))
            elif entry.is_dir() and entry.name != "__pycache__":
                found += code(entry.path)
    return sorted(found)


def shared_environment() -> dict[str, str]:
    """The environment without what is one trial's own."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("NNI_") and name not in OWN and name != WORKER
    }


def private_folder() -> Path:
    """The folder of this user's warm processes, which nobody else can enter.

    Raises:
        OSError: where another has made it, or opened it.
    """
    folder = Path(tempfile.gettempdir()) / f"b0nas-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not this user's alone")
    return folder


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Inside, no other process starts or ends a warm one; the folder's open file."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _connected(folder: Path, key: str, words: list[str]) -> tuple[socket.socket, bool]:
    """A connection to the warm process of a key, and whether there was one: else it is started."""
    path = folder / f"{key}.sock"
    warm = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found = True
    try:
        with locked(folder) as handle:
            short = f"/proc/self/fd/{handle}/{path.name}"  # a socket's path has 107 bytes at the most
            try:
                warm.connect(short)
            except (FileNotFoundError, ConnectionRefusedError):
                found = False
                path.unlink(missing_ok=True)
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
                    listening.bind(short)
                    listening.listen(128)
                    _start(listening, path, words)
                warm.connect(short)
        return warm, found
    except BaseException:
        warm.close()
        raise


def _start(listening: socket.socket, path: Path, words: list[str]) -> None:
    """The warm process; it has the socket, on which trials wait while it loads."""
    for mark in path.parent.glob("*.failed"):
        if time.time() - mark.stat().st_mtime > AGAIN:
            mark.unlink()
    environment = shared_environment() | {WORKER: os.environ["NNI_EXP_ID"]}
    environment |= dict.fromkeys(POOLS, "1")  # whatever the trial has there: its fork takes its own --threads
    given = [str(listening.fileno()), str(path), kind_of(words)]
    with os.fdopen(os.open(log_of(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as log:
        subprocess.Popen(
            [sys.executable, *flags(), "-m", "nas.search.warm_worker", *given],
            pass_fds=[listening.fileno()], start_new_session=True, env=environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip


def log_of(path: Path) -> Path:
    """What the warm process of a socket said, which is why it ended."""
    return path.with_suffix(".log")


def _ask(warm: socket.socket, words: list[str]) -> None:
    umask = os.umask(0o077)
    os.umask(umask)
    request = {
        "words": words, "environment": dict(os.environ), "folder": os.getcwd(), "umask": umask, "pid": os.getpid(),
    }  # fmt: skip
    text = json.dumps(request).encode("ascii")
    socket.send_fds(warm, [len(text).to_bytes(4, "big")], [0, 1, 2])
    warm.sendall(text)


def _read(lines: Any) -> dict[str, Any]:
    line = lines.readline(1 << 16)
    if not line.endswith("\n"):
        raise ConnectionError("it ended")
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError(f"it said {line!r}")
    return found


def _follow(warm: socket.socket, lines: Any) -> int:
    """Hands signals on, but for those that are ignored, until the fork has ended, and ends as it did."""
    handed: list[int] = []

    def hand_on(number: int, _: object) -> None:
        handed.append(number)
        with contextlib.suppress(OSError):
            warm.send(bytes([number]))

    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, hand_on)
    try:
        status = int(_read(lines)["status"])
    except (OSError, ValueError, KeyError):
        if not handed:
            raise
        status = handed[0]  # a wait status: ended by that signal
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_DFL)
    if os.WIFSIGNALED(status):
        os.kill(os.getpid(), os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)
