"""What is guarded: one tuner a run, none without its manager; ports and files for the user alone.

NNI starts a tuner as a child of its manager and never ends one whose manager was killed: such an orphan would
speak to the next manager on the port, and write into the run of its successor.

NNI's port listens on every interface and asks for no password. `at_home` is an environment in which it listens on
this machine alone: its node process is made to require `loopback.cjs` first, and then `gpus.cjs`, with which trials
wait for GPUs, and can have all of them.

Where trials run on other machines, `at_door` opens one more address for them.

>>> at_home({"NODE_OPTIONS": "--no-warnings"})["NODE_OPTIONS"]  # doctest: +ELLIPSIS
'--no-warnings --require ".../nas/search/loopback.cjs" --require ".../nas/search/gpus.cjs"'
"""

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nas.errors import NasError

PRIVATE = 0o077
"""The umask of a search: its files are readable by the user alone."""
PATIENCE = 20
"""Seconds in which the tuner of before has to end."""
LOOK = 0.5
"""Seconds between two looks at the manager."""

LOOPBACK = Path(__file__).with_name("loopback.cjs")
GPUS = Path(__file__).with_name("gpus.cjs")
HOSTS = Path(__file__).with_name("hosts.cjs")
ADDRESS, PEERS = "B0NAS_ADDRESS", "B0NAS_PEERS"
"""In the environment of NNI's node: where else its servers listen, and for whom alone."""

KEEPER = re.compile(r"nni_node/common/trial_keeper/main\.js$|^nni\.tools\.trial_tool\.trial_runner$")
"""Of the processes in whose hands NNI's trials are on other machines."""

_locks: list[FileLock] = []


def at_home(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment`, in which servers of node processes listen on 127.0.0.1 alone, and NNI's trials wait for GPUs."""
    return _requiring(_requiring(environment, LOOPBACK), GPUS)


def at_door(
    environment: Mapping[str, str], address: str | None, peers: Iterable[str] | None
) -> dict[str, str]:
    """`environment`, in which NNI bears the loss of other machines, and its servers listen on 127.0.0.1 and `address`
    (None: on every one), there for `peers` alone (None: for everybody)."""
    plain = {name: value for name, value in environment.items() if name not in (ADDRESS, PEERS)}
    if address is None:
        return _requiring(_requiring(plain, GPUS), HOSTS)
    door = {ADDRESS: address} | ({} if peers is None else {PEERS: ",".join(dict.fromkeys(peers))})
    return _requiring(at_home(plain), HOSTS) | door


def _requiring(environment: Mapping[str, str], file: Path) -> dict[str, str]:
    required = f'--require "{file}"'
    options = environment.get("NODE_OPTIONS", "")
    return {
        **environment,
        "NODE_OPTIONS": options if required in options else f"{options} {required}".strip(),
    }


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that would end this process come after what is inside."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    waiting: list[int] = []
    before = [signal.signal(number, lambda number, _: waiting.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        for number in waiting[:1]:
            signal.raise_signal(number)


def guard_tuner() -> None:
    """Guards this process, a tuner that NNI started; does nothing outside of NNI.

    Raises:
        NasError: where another tuner keeps the run, or NNI's manager has ended.
    """
    logs = os.environ.get("NNI_LOG_DIRECTORY")
    if logs is None:
        return
    os.umask(PRIVATE)
    end_with_manager()
    lock = FileLock(str(Path(logs).parent / ".b0nas-tuner.lock"), timeout=PATIENCE, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise NasError(
            f"experiment {Path(logs).parent.name} has a tuner already; end that search before you resume it"
        ) from None
    except OSError as error:
        raise NasError(
            f"{lock.lock_file}: cannot be written ({error.strerror}); mend it and resume"
        ) from None
    _locks.append(lock)  # until the process ends


def end_with_manager() -> None:
    """Has this process end when NNI's manager, the process above it that names its experiment, does.

    Raises:
        NasError: where there is none (any more).
    """
    managers = managers_above()
    if not managers:
        raise NasError("NNI's manager, which started this tuner, has ended; resume the search")
    threading.Thread(target=_end_with, args=(managers[0],), daemon=True, name="guard").start()


def managers_above() -> list[Any]:
    """NNI's managers among the processes that this one descends from, on another machine what keeps its trials there;
    the nearest first: psutil's Processes."""
    import psutil

    managers = []
    for process in psutil.Process().parents():
        with contextlib.suppress(psutil.Error):  # of another user, or ended
            words = process.cmdline()
            managers += [process] * ("--experiment-id" in words or any(map(KEEPER.search, words)))
    return managers


def is_there(process: Any) -> bool:
    """Whether one of psutil's Processes has not ended."""
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _end_with(manager: Any) -> None:
    while is_there(manager):
        time.sleep(LOOK)
    os._exit(1)
