"""Ports for NNI, which wants one and the next.

>>> checked_port(80)
Traceback (most recent call last):
...
nas.errors.NasError: --port is 80; give a port from 1024 to 65534
"""

import socket

from nas.errors import NasError

FIRST_PORT = 8080


def _idle(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def free_port(besides: int | None = None) -> int:
    """The first port from 8080 that is free together with the next one, as NNI wants it, and is not `besides`.

    Raises:
        NasError: where a hundred pairs are taken.
    """
    last = FIRST_PORT + 200
    for port in range(FIRST_PORT, last, 2):
        if port != besides and _idle(port) and _idle(port + 1):
            return port
    raise NasError(f"no port from {FIRST_PORT} to {last} is free; name one with --port")


def checked_port(port: int) -> int:
    """`port`, where it and the next one are free.

    Raises:
        NasError: where it is out of range or in use.
    """
    if not 1024 <= port <= 65534:
        raise NasError(f"--port is {port}; give a port from 1024 to 65534")
    for wanted in (port, port + 1):
        if not _idle(wanted):
            raise NasError(
                f"port {wanted} is in use (NNI wants --port and the next one); "
                f"give another --port, such as {free_port()}"
            )
    return port
