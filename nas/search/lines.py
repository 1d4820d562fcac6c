"""Lines of a journal: JSON objects, each with a checksum of itself.

    {"event": "told", "number": 0, ..., "crc": "a1b2c3d4"}

The checksum (CRC-32) is over the bytes before `, "crc"`: a bit that a disk or a memory flipped in an accuracy
would otherwise be believed.

>>> line = dump({"event": "told", "number": 3})
>>> [(found.event["number"], found.checked) for found in read(line)]
[(3, True)]
>>> [found.event for found in read(line.replace(b"3", b"4", 1))]
[None]
"""

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from sys import intern
from typing import Any

CHECKED = re.compile(rb', "crc": "([0-9a-f]{8})"}\Z')
LONGEST = 1 << 20
"""Bytes of the longest line that is parsed; a sample of a thousand choices has a twentieth of that."""
FILLER = {"event": "damaged"}
"""What stands where a damaged line was."""


@dataclass(frozen=True)
class Line:
    """One line of a journal.

    Attributes:
        raw: its bytes, without the end of the line.
        offset: where in the file it begins.
        event: what it says, None where it is damaged.
        checked: whether it has a checksum, which is right.
    """

    raw: bytes
    offset: int
    event: dict[str, Any] | None
    checked: bool


def dump(event: dict[str, Any]) -> bytes:
    """The line of an event."""
    body = json.dumps(event, allow_nan=False)[:-1].encode()
    return body + b', "crc": "%08x"}\n' % zlib.crc32(body)


def filler(length: int) -> bytes:
    """FILLER in exactly `length` bytes; blanks where it is too long for them.

    >>> filler(25)
    b'{"event": "damaged"     }'
    """
    text = json.dumps(FILLER).encode()
    return text[:-1] + b" " * (length - len(text)) + b"}" if length >= len(text) else b" " * length


def read(raw: bytes, offset: int = 0) -> Iterator[Line]:
    """The whole lines of `raw`, which begins at `offset` of its file; blank ones are passed over."""
    for line in raw[: raw.rfind(b"\n") + 1].split(b"\n"):
        if line.strip():
            event, checked = _event(line)
            yield Line(line, offset, event, checked)
        offset += len(line) + 1


def _event(line: bytes) -> tuple[dict[str, Any] | None, bool]:
    found = CHECKED.search(line)
    if len(line) > LONGEST or (found is not None and int(found[1], 16) != zlib.crc32(line[: found.start()])):
        return None, False
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None, False
    if not isinstance(event, dict):
        return None, False
    return {intern(name): value for name, value in event.items()}, found is not None
