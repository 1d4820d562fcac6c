"""One training a folder: a lock that its process holds to the end, and that ends with it, `kill -9` included.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder, locked(Path(folder)):
...     sorted(path.name for path in Path(folder).iterdir())
['.training.lock', '.training.pid']
"""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from nas.errors import NasError

LOCK, PROCESS = ".training.lock", ".training.pid"
PATIENCE = 10.0
"""Seconds in which the workers of a process that was killed end: they hold its lock as long."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Inside, no other process trains in `folder`, which is made where it is not there.

    Raises:
        NasError: where one does, naming it, or where the folder cannot be written.
    """
    holder = folder / PROCESS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0 if _lives(holder) else PATIENCE)
        except Timeout:
            raise NasError(
                f"{folder}: {_named(holder)} is training in it; wait for it or end it, or give another --out"
            ) from None
        holder.write_text(f"{os.getpid()} {platform.node()}")
    except OSError as error:
        raise NasError(
            f"{folder}: cannot be written ({error.strerror}); mend that, or choose another --out"
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink()
        lock.release()


def _read(holder: Path) -> tuple[int, str] | None:
    """(process, machine) that wrote the file; None where nothing is known."""
    try:
        number, _, machine = holder.read_text().partition(" ")
        return int(number), machine
    except (OSError, ValueError):
        return None


def _lives(holder: Path) -> bool:
    """Whether the process is there, as far as this machine can tell."""
    import psutil

    found = _read(holder)
    return found is not None and (found[1] != platform.node() or psutil.pid_exists(found[0]))


def _named(holder: Path) -> str:
    found = _read(holder)
    if found is None:
        return "another process"
    return f"process {found[0]}" + (f" on {found[1]}" if found[1] != platform.node() else "")
