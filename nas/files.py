"""Files of users, opened with care: regular ones alone, of bounded size; a pipe or a device would wait for ever.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder, "x.yml")
...     _ = path.write_text("name: x")
...     text_of(path, 100)
'name: x'
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nas.errors import NasError


def is_file(path: Path) -> bool:
    """Whether there is such a regular file; False for a path that no system call takes or lets us see."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_dir(path: Path) -> bool:
    """Whether there is such a folder; False for a path that no system call takes or lets us see."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def at_home(path: str | Path) -> Path:
    """A path with `~` or `~USER` at its beginning replaced.

    Raises:
        NasError: for a user that there is not.
    """
    try:
        return Path(path).expanduser()
    except (RuntimeError, ValueError):  # of the latter a NUL in its name
        raise NasError(f"{path}: there is no such user's folder; write the path without ~") from None


def check_file(path: Path, where: str | None = None, mend: str = "check the path") -> None:
    """For libraries that open a file by themselves.

    Raises:
        NasError: naming `where`, for what is missing, no regular file, or no path at all.
    """
    where = str(path) if where is None else where
    try:
        _check_regular(path.stat().st_mode)
    except FileNotFoundError:
        raise NasError(f"{where}: there is no such file; {mend}") from None
    except (OSError, ValueError) as error:
        raise NasError(f"{where}: cannot be read ({_reason(error)}); {mend}") from None


def bytes_of(path: Path, most: int, what: str = "which no document is") -> bytes:
    """The content of a regular file of up to `most` bytes.

    Raises:
        NasError: for what is missing, unreadable, no regular file, or larger, with `what`.
    """
    try:  # O_NONBLOCK, so that a pipe is opened, and found to be one
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            _check_regular(os.fstat(descriptor).st_mode)
            raw = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise NasError(f"{path}: cannot be read ({_reason(error)}); check the path") from None
    if len(raw) > most:
        size = f"{most >> 20} MiB" if most >= 1 << 20 else f"{most >> 10} KiB"
        raise NasError(f"{path}: larger than {size}, {what}")
    return raw


def text_of(path: Path, most: int, what: str = "which no document is", encoding: str = "utf-8") -> str:
    """The text of a regular file of up to `most` bytes.

    Raises:
        NasError: as `bytes_of`, or for what is not UTF-8.
    """
    try:
        return bytes_of(path, most, what).decode(encoding)
    except UnicodeDecodeError as error:
        raise NasError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None


UMASK = "B0NAS_UMASK"
"""In the environment of a search's processes: the user's own umask (octal), where theirs is stricter."""


@contextlib.contextmanager
def for_others() -> Iterator[None]:
    """Files made inside, such as a data set for all, have the permissions that the user gives files."""
    own = os.environ.get(UMASK, "")
    if not own.isdecimal():
        yield
        return
    before = os.umask(int(own, 8) & 0o777)
    try:
        yield
    finally:
        os.umask(before)


def write_whole(path: Path, text: str, mend: str = "mend it and try again") -> None:
    """Writes a file whole or not at all: who reads it at that moment finds the old text or the new.

    Raises:
        NasError: where it cannot be written, with `mend`.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise NasError(f"{path}: cannot be written ({error.strerror}); {mend}") from None


def unwritable(folder: Path) -> str:
    """Why files cannot be made in a folder, or where there is none yet in the nearest above it; '' where they can.

    >>> unwritable(Path("/dev/null/x"))
    '/dev/null is no folder'
    """
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not is_dir(folder):
        return f"{folder} is no folder"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder}: {error.strerror}"


def check_new(path: Path, force: bool = False) -> None:
    """Raises NasError where a file is not to be written: something is there, and is none or not to be replaced."""
    if os.path.lexists(path) and not is_file(path):
        raise NasError(f"{path}: is no regular file; give the name of a file to write")
    if is_file(path) and not force:
        raise NasError(f"{path} exists; choose another --output, or give --force to replace it")


def write_bytes_whole(
    path: Path, content: bytes, mend: str = "free some space, or choose another place"
) -> None:
    """Writes a file beside `path`, its folders too, flushes it to the disk and moves it over `path`.

    Raises:
        NasError: where it cannot be written, with the system's reason and `mend`; nothing is left then.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise NasError(f"{path}: cannot be written ({error.strerror}); {mend}") from None


def _check_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise ValueError("Is a directory")
    if not stat.S_ISREG(mode):
        raise ValueError("a pipe, a socket or a device, and no regular file")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
