"""The other machines of a search, as search.yml names them: what can be checked of them without asking them.

>>> services({"trainingService": {"platform": "local"}})
[{'platform': 'local'}]
>>> is_local({"trainingService": [{"platform": "local"}, {"platform": "remote", "machineList": []}]})
False
"""

import io
import os
import re
import shlex
import socket
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nas.errors import NasError, listed, short

DEFAULT_KEY = "~/.ssh/id_rsa"
"""NNI's, where a machine has neither a key nor a password."""
ANYWHERE = "192.0.2.0"
"""An address that is nobody's (RFC 5737), by which NNI finds this machine's own."""
LOUD = ("debug", "trace")
"""Levels at which NNI's log has the whole configuration, passwords and all."""
SECRETS = ("password", "sshPassphrase", "token", "accessKeySecret", "storageAccountKey")
"""Keys of services and of sharedStorage whose values nobody else is to have."""
CLUSTERS = ("kubeflow", "frameworkcontroller")
"""Services of Kubernetes."""
WRITTEN = {"platform", "nniManagerIp"}, {"host", "user", "port"}
"""What of a service, and of a machine, a run keeps."""


def services(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """NNI's training services of a configuration; several are a hybrid one."""
    found = data.get("trainingService")
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def _with_services(data: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """The configuration with each of its services changed."""
    found = data["trainingService"]
    return {**data, "trainingService": [*map(change, found)] if isinstance(found, list) else change(found)}


def is_local(data: Mapping[str, Any]) -> bool:
    """Whether every trial runs on this machine, so that nobody else needs NNI's port (no service: in its process)."""
    found = data.get("trainingService", {"platform": "local"})
    return isinstance(found, dict) and found.get("platform") == "local"


def machines(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The machines that NNI reaches by SSH."""
    lists = [one.get("machineList") for one in services(data) if one.get("platform") == "remote"]
    return [one for many in lists if isinstance(many, list) for one in many if isinstance(one, dict)]


def with_key_files(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration with the paths of SSH keys absolute; a relative one is one from `folder` on."""

    def mended(machine: Any) -> Any:
        if not isinstance(machine, dict):
            return machine
        if machine.get("password") is not None:  # NNI then takes no key
            return {name: value for name, value in machine.items() if name != "sshKeyFile"}
        key = machine.get("sshKeyFile", DEFAULT_KEY)
        try:
            return {**machine, "sshKeyFile": str((folder / Path(key).expanduser()).absolute())}
        except (TypeError, ValueError, RuntimeError):
            return machine  # NNI's schema says it

    def of_service(service: Any) -> Any:
        known = isinstance(service, dict) and service.get("platform") == "remote"
        listed = service.get("machineList") if known else None
        return {**service, "machineList": [*map(mended, listed)]} if isinstance(listed, list) else service

    return _with_services(data, of_service)


def secrets_in(data: Mapping[str, Any]) -> dict[str, set[str]]:
    """What `SECRETS` a configuration has, as texts.

    >>> secrets_in({"trainingService": {"machineList": [{"password": 1}]}, "sharedStorage": {"storageAccountKey": "k"}})
    {'storageAccountKey': {'k'}, 'password': {'1'}}
    """
    found: dict[str, set[str]] = {}
    left: list[Any] = [data.get("trainingService"), data.get("sharedStorage")]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += value.values()
            for name in SECRETS:
                if value.get(name) not in (None, ""):
                    found.setdefault(name, set()).add(str(value[name]))
    return found


def public(data: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as a run keeps it: of its services and machines what `places` and `given_address` read."""

    def of_service(service: Any) -> Any:
        if not isinstance(service, dict):
            return None
        kept: dict[str, Any] = {name: value for name, value in service.items() if name in WRITTEN[0]}
        if isinstance(service.get("machineList"), list):
            kept["machineList"] = [
                {name: value for name, value in machine.items() if name in WRITTEN[1]}
                for machine in machines({"trainingService": service})
            ]
        return kept

    rest = {name: value for name, value in data.items() if name != "sharedStorage"}
    return _with_services(rest, of_service) if "trainingService" in rest else rest


def places(data: Mapping[str, Any]) -> list[str]:
    """Where trials run: the machines that are reached by SSH, and other services by their platform.

    >>> places({"trainingService": [{"platform": "remote", "machineList": [{"host": "a", "user": "me"}]}]})
    ['me@a:22']
    """
    found = [f"{one.get('user')}@{one.get('host')}:{one.get('port') or 22}" for one in machines(data)]
    return sorted(
        found + [str(one.get("platform")) for one in services(data) if one.get("platform") != "remote"]
    )


def check_machines(data: dict[str, Any], at: Callable[..., str]) -> None:
    """Raises NasError for a machine that cannot be asked: without a name, or with a key that is not there or that
    others can read; and for a log that would have passwords in it. No sentence quotes a value that may be one."""
    where = at("trainingService")
    for service in services(data):
        listing = service.get("machineList", [])
        few = service.get("platform") == "remote" and not listing
        if few or not isinstance(listing, list) or not all(isinstance(one, dict) for one in listing):
            raise NasError(
                f"{where}: machineList is no list of machines; give one or more, each with its host and user"
            )
    for machine in machines(data):
        host = machine.get("host")
        for name in ("host", "user"):
            if not isinstance(machine.get(name), str) or not machine[name]:
                raise NasError(
                    f"{where}: machineList has {short({'host': host})} without {name}; give both host and user"
                )
        port = machine.get("port", 22)
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 1 << 16:
            raise NasError(f"{where}: port of host {host} is {short(port)}; give a number from 1 to 65535")
        for name in ("password", "sshPassphrase"):
            if not isinstance(machine.get(name), str | None):
                raise NasError(
                    f"{where}: {name} of host {host} is read as {type(machine[name]).__name__}, and is to be text; "
                    "put a number into quotes"
                )
        if machine.get("password") is None:
            _check_key(machine, where)
    loud = data.get("debug") is True or data.get("logLevel") in LOUD
    if loud and (found := secrets_in(data)):
        raise NasError(
            f"{where}: with {'debug' if data.get('debug') is True else 'logLevel ' + data['logLevel']} NNI writes "
            f"{listed(found)} of this file into its log; leave it out, or where it is a machine's give a key without a "
            "passphrase"
        )


def _check_key(machine: dict[str, Any], where: str) -> None:
    key, host = machine.get("sshKeyFile", DEFAULT_KEY), machine["host"]
    path = Path(str(key)).expanduser()
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise OSError(0, "no regular file")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NasError(
            f"{where}: sshKeyFile of host {host} is {key}, which cannot be read ({reason}); give the file of a private "
            "key that the host lets in (ssh-keygen makes one, ssh-copy-id hands it over)"
        ) from None
    if mode & 0o077:
        raise NasError(
            f"{where}: sshKeyFile of host {host} is {key}, which others than you may read (mode "
            f"{stat.S_IMODE(mode):o}); chmod 600 it"
        )


def command_for(data: Mapping[str, Any]) -> str:
    """trialCommand as it is for the machines that run it.

    This machine's trials have this interpreter; another machine's have their own: that of an absolute path, else
    `python` of the PATH there, which machineList's pythonPath begins. The rest is the shell's, as it is written.

    >>> remote = {"platform": "remote", "machineList": [{"host": "a", "user": "me"}]}
    >>> command_for({"trialCommand": ".venv/bin/python -m nas.search.trial", "trainingService": remote})
    'python -m nas.search.trial'
    """
    command = data["trialCommand"]
    text = io.StringIO(command)
    words = shlex.shlex(text, posix=True)
    words.whitespace_split, words.commenters = True, ""
    first = words.get_token() or ""
    if re.fullmatch(r"(.*/)?python[0-9.]*", first) is None or (not is_local(data) and first.startswith("/")):
        return command
    rest = command[text.tell() :]
    return f"{shlex.quote(sys.executable if is_local(data) else first.rpartition('/')[2])} {rest}".rstrip()


def given_address(data: Mapping[str, Any]) -> str | None:
    """nniManagerIp of a configuration, its own or a service's."""
    found = (one.get("nniManagerIp") for one in (data, *services(data)))
    return next((str(one) for one in found if one), None)


def check_cluster(data: Mapping[str, Any], where: Path) -> None:
    """Raises NasError where trials are to run in a cluster that NNI is not told how to reach."""
    found = [one["platform"] for one in services(data) if one.get("platform") in CLUSTERS]
    files = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if found and not any(Path(file).is_file() for file in files.split(os.pathsep)):
        raise NasError(
            f"{where}: trials on {found[0]} need a cluster, and its {files} is not there; put that there, or name it "
            "by KUBECONFIG"
        )


def address_for(data: Mapping[str, Any], where: Path) -> str:
    """The address of this machine at which the others reach it: nniManagerIp, else the one that it speaks from to the
    first of them that has an address itself.

    Args:
        where: search.yml, for a sentence.

    Raises:
        NasError: where none has.
    """
    if given := given_address(data):
        return given
    why = ""
    for host in [machine["host"] for machine in machines(data)] or [ANYWHERE]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.connect((host, 80))
            except (OSError, UnicodeError) as error:
                why = why or (
                    f"host {host} (machineList) has no address that is reached from here "
                    f"({getattr(error, 'strerror', None) or error})"
                )
            else:
                return str(sock.getsockname()[0])
    raise NasError(f"{where}: {why}; mend its name, or the network")


def is_ours(address: str) -> bool:
    """Whether an address is one of this machine's."""
    try:
        with socket.socket() as sock:
            sock.bind((address, 0))
    except OSError:
        return False
    return True
