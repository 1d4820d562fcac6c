"""What a check of the environment found, and checks that never raise.

>>> checked("disk", lambda: broken("disk", "12 MB are free", "make room")).mend
'make room'
>>> checked("port", lambda: 1 // 0).found
'could not be looked at (ZeroDivisionError: integer division or modulo by zero)'
"""

from collections.abc import Callable
from dataclasses import dataclass

WORKS, NOTE, BROKEN = "works", "note", "broken"
"""A note is told and hinders nothing; what is broken, the main job needs."""
ANEW = (
    "set the environment up anew: make clean setup in a checkout, else pip install the wheel into a new one"
)
"""What mends most things."""
LONGEST = 300
"""Characters of somebody else's message that are passed on."""


@dataclass(frozen=True)
class Finding:
    """One line of `nas doctor`.

    Attributes:
        name: of the check, one word.
        state: `WORKS`, `NOTE` or `BROKEN`.
        found: what there is.
        mend: what to do about it; empty where nothing is to be done.
    """

    name: str
    state: str
    found: str
    mend: str = ""


def works(name: str, found: str) -> Finding:
    return Finding(name, WORKS, found)


def note(name: str, found: str, mend: str = "") -> Finding:
    return Finding(name, NOTE, found, mend)


def broken(name: str, found: str, mend: str) -> Finding:
    return Finding(name, BROKEN, found, mend)


def reason(error: BaseException) -> str:
    """An exception as a clause, in one line."""
    text = " ".join(str(error).split())[:LONGEST]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def checked(name: str, check: Callable[[], Finding]) -> Finding:
    """What `check` returns; a check that breaks down itself is broken, for one that looks sees nothing."""
    try:
        return check()
    except Exception as error:
        return broken(name, f"could not be looked at ({reason(error)})", ANEW)
