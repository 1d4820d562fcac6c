"""A trial that asks its warm process for a fork (`nas.search.warm_worker`): the connection, and what comes by it."""

import contextlib
import json
import os
import socket
import struct
from typing import Any

PATIENCE = 10.0
"""Seconds in which a trial must have said what it wants."""
LARGEST = 4 << 20
"""Bytes of a request."""


class Asking:
    """A trial's connection.

    Attributes:
        pid: of its fork, None before there is one.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.pid: int | None = None

    def say(self, **words: Any) -> None:
        """One line; a trial that is gone is found to be so elsewhere."""
        with contextlib.suppress(OSError):
            self.connection.sendall(json.dumps(words).encode("ascii") + b"\n")

    def request(self) -> tuple[dict[str, Any], list[int]]:
        """What it wants, and its standard files.

        Raises:
            OSError, ValueError: where it is no trial of this user's.
        """
        who = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", who)[1] != os.getuid():
            raise PermissionError("another user's")
        self.connection.settimeout(PATIENCE)
        head, files, _, _ = socket.recv_fds(self.connection, 4, 3)
        try:
            size = int.from_bytes(head, "big")
            if len(head) < 4 or len(files) != 3 or size > LARGEST:
                raise ValueError("no request")
            text = bytearray()
            while len(text) < size:
                part = self.connection.recv(size - len(text))
                if not part:
                    raise ConnectionError("gone")
                text += part
            return json.loads(text), files
        except BaseException:
            for one in files:
                os.close(one)
            raise
