"""A trial hands its work to a warm process, in which Python, torch and the rest are loaded.

A trial is a process of its own, and loading what it needs takes it over 5 s of a processor. The first trial of a
search on a machine therefore starts one that loads all that and waits (`nas.search.warm_worker`); each trial, NNI's
own process, sends it its command, environment, working directory and open files, and the warm process forks: the fork
is the trial, with nothing in it of any other. Signals are handed on, the fork ends with the trial and with the warm
process, its exit status is the trial's. They speak through a socket in a folder that only the user can enter.

Nothing depends on it: where anything is wrong with it, or the machine is none that it knows, the trial is cold, which
is to say that it loads what it needs itself. A trial whose fork has begun ends with it, as one that is killed, and is
evaluated again.

This module imports next to nothing, as every trial starts with it.
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from nas.search.warm_key import WORKER, flags, key_of, kind_of, shared_environment, wanted
from nas.spinning import spin_briefly

AGAIN = 600.0
"""Seconds after a failure of a warm process in which none is tried."""
LOADING = 120.0
"""Seconds in which a warm process must have loaded all."""
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Threads that numpy and torch would start as they are loaded, and a fork has none of its parent's."""
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
                except Exception:  # NNI gives a trial's parameters once, and the fork may have had them
                    _die(failure)
                break
        failure.touch(0o600)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    print(f"nas trial: no warm process ({reason}); this trial starts cold", file=sys.stderr)
    return None


class _NotBegun(Exception):
    """No fork evaluates the trial."""


def _die(failure: Path) -> NoReturn:
    """As a trial that is killed: the warm process has ended, and the fork with it."""
    with contextlib.suppress(OSError):
        failure.touch(0o600)
        print("nas trial: the warm process ended, and this trial with it", file=sys.stderr, flush=True)
    while True:
        os.kill(os.getpid(), signal.SIGKILL)


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
                _sweep(folder, handle)
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
                    listening.bind(short)
                    listening.listen(128)
                    _start(listening, path, words)
                warm.connect(short)
        return warm, found
    except BaseException:
        warm.close()
        raise


def _sweep(folder: Path, handle: int) -> None:
    """Removes marks of failures that are over, and what warm processes left that were killed: their sockets refuse.
    None is being made, for the folder is locked."""
    for mark in folder.glob("*.failed"):
        if time.time() - mark.stat().st_mtime > AGAIN:
            mark.unlink()
    for path in folder.glob("*.sock"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
            trial.setblocking(False)  # one that lives may have many waiting
            try:
                trial.connect(f"/proc/self/fd/{handle}/{path.name}")
            except ConnectionRefusedError:
                path.unlink()
                log_of(path).unlink(missing_ok=True)
            except BlockingIOError:
                continue


def _start(listening: socket.socket, path: Path, words: list[str]) -> None:
    """The warm process; it has the socket, on which trials wait while it loads."""
    environment = shared_environment() | {WORKER: os.environ["NNI_EXP_ID"]}
    environment |= dict.fromkeys(POOLS, "1")  # whatever the trial has there: its fork takes its own --threads
    spin_briefly(environment)
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
