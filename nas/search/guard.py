"""What a tuner guards before it writes: one tuner a run, none without its manager, files for the user alone.

NNI starts a tuner as a child of its manager and never ends one whose manager was killed: such an orphan would
speak to the next manager on the port, and write into the run of its successor.
"""

import os
import threading
import time
from pathlib import Path

from filelock import FileLock, Timeout

from nas.errors import NasError

PRIVATE = 0o077
"""The umask of a search: its files are readable by the user alone."""
PATIENCE = 20
"""Seconds in which the tuner of before has to end."""
LOOK = 0.5
"""Seconds between two looks at the manager."""

_locks: list[FileLock] = []


def guard_tuner() -> None:
    """Guards this process, a tuner that NNI started; does nothing outside of NNI.

    Raises:
        NasError: where another tuner keeps the run.
    """
    logs = os.environ.get("NNI_LOG_DIRECTORY")
    if logs is None:
        return
    os.umask(PRIVATE)
    end_with_manager()
    lock = FileLock(str(Path(logs).parent / ".b0nas-tuner.lock"), timeout=PATIENCE)
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
    """Has this process end when NNI's manager, the node process that started it, does."""
    import psutil

    managers = [process for process in psutil.Process().parents() if process.name().startswith("node")]
    if managers:
        threading.Thread(target=_end_with, args=(managers[0],), daemon=True, name="guard").start()


def _end_with(manager: object) -> None:
    import psutil

    assert isinstance(manager, psutil.Process)
    try:
        while manager.is_running() and manager.status() != psutil.STATUS_ZOMBIE:
            time.sleep(LOOK)
    except psutil.Error:
        pass
    os._exit(1)
