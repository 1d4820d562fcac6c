"""The file that says which images a search had, of a split or an npz: nobody may change it between two commands.

>>> fingerprint("digits", Path()) is None
True
"""

import hashlib
from pathlib import Path

from nas.files import check_file

KINDS = ("split", "npz")


def absolute(data: str, folder: Path) -> str:
    """A data set's name; its path, where it has one, is against `folder`, which the trials run in."""
    kind, colon, path = data.partition(":")
    return f"{kind}:{(folder / Path(path).expanduser()).resolve()}" if colon else data


def fingerprint(data: str, folder: Path) -> str | None:
    """sha256 of a split's or an npz's file; None of other data, which no one file holds.

    Raises:
        NasError: where it is missing or no file.
    """
    kind, _, path = absolute(data, folder).partition(":")
    if kind not in KINDS:
        return None
    check_file(Path(path), mend="restore it")
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
