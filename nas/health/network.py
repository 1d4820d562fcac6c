"""This machine's own network, over which NNI's processes speak: a free port, the name localhost, and no proxy between.

>>> proxy({}).state, proxy({"http_proxy": "http://proxy.example:3128"}).state
('works', 'broken')
"""

import os
import socket
import urllib.request
from collections.abc import Mapping

from nas.errors import NasError
from nas.health.finding import Finding, broken, note, works

PROXIED = ("http", "https", "ws", "wss", "socks", "all")
"""Schemes whose proxy requests (nnictl) or websockets (NNI's tuner) would take to localhost."""


def port() -> Finding:
    """Whether NNI finds two free ports in a row from 8080."""
    from nas.search.ports import FIRST_PORT, free_port

    try:
        found = free_port()
    except NasError as error:
        return broken(
            "port", str(error), "nnictl stop --all ends NNI's experiments; or name a port: nas search --port"
        )
    if found != FIRST_PORT:
        return note("port", f"{FIRST_PORT} is in use; a search would take {found} and {found + 1}")
    return works("port", f"{found} and {found + 1} are free")


def localhost() -> Finding:
    """Whether the name localhost is 127.0.0.1, where NNI's manager listens and its tuner looks."""
    mend = 'add the line "127.0.0.1 localhost" to /etc/hosts'
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)}
    except OSError as error:
        return broken("localhost", f"has no address ({error.strerror or error})", mend)
    if "127.0.0.1" not in found:
        return broken("localhost", f"is {', '.join(sorted(found))}, not 127.0.0.1", mend)
    return works("localhost", "is 127.0.0.1")


def proxy(environment: Mapping[str, str] = os.environ) -> Finding:
    """Whether a proxy of the environment would stand between nnictl and NNI's manager on this machine."""
    lower = {name.lower(): value for name, value in environment.items()}  # either case counts
    proxies = {s: lower[f"{s}_proxy"] for s in PROXIED if lower.get(f"{s}_proxy")}
    if not proxies:
        return works("proxy", "none")
    past = {"no": lower.get("no_proxy", "")}
    if urllib.request.proxy_bypass_environment("localhost:80", past):  # type: ignore[attr-defined]
        return works("proxy", "not for localhost (no_proxy)")
    names = ", ".join(f"{scheme}_proxy" for scheme in proxies)
    return broken(
        "proxy", f"{names} would be asked for localhost, where NNI's manager listens",
        "export no_proxy=localhost,127.0.0.1 (and NO_PROXY, where that is set)",
    )  # fmt: skip
