"""Asks the hosts of a search, before NNI does, whether they let it in and have what trials need.

NNI tells of a host that it cannot use in its log alone, and ends. This connects as NNI will, with its own SSH, at the
same time to all, and says in a sentence what is wrong with which.
"""

import contextlib
import json
import subprocess
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from socket import gethostbyname
from typing import Any

from nas.errors import NasError, listed, short
from nas.search.gpus import PROGRAM, GPUs, handed_out, lacking
from nas.search.gpus import SECONDS as COUNTING
from nas.search.hosts import is_local, machines, secrets_in

KNOCK = Path(__file__).with_name("knock.cjs")
SECONDS = 20
"""In which a host must let us in, and in which its python must then answer; it has COUNTING more for GPUs."""
MOST_FILES, MOST_BYTES = 2000, 300 << 20
"""Of what NNI uploads to a host; above, it refuses to."""
CODE = """
import json, socket, subprocess, sys
from importlib.util import find_spec
address, counts = ADDRESS, COUNTS
found = dict(python=sys.executable, nas=find_spec('nas') is not None)
try:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, 80))
        found['source'] = sock.getsockname()[0]
except OSError as error:
    found['lost'] = error.strerror or str(error)
if counts:
    done = subprocess.run([sys.executable, '-m', 'PROGRAM'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if done.returncode == 0:
        found['gpus'] = done.stdout.decode()
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Answers:
    """What the hosts said.

    Attributes:
        peers: addresses that they speak to this machine from, with those that it reaches them at.
        refused: a sentence for each host that does not take part.
    """

    peers: list[str]
    refused: list[str]


def knock(data: dict[str, Any], address: str, where: Path, code: Path, say: Callable[[str], None]) -> Answers:
    """Asks every host of a configuration; also looks at what NNI would upload.

    Args:
        where: search.yml, for sentences.
        code: the folder that is uploaded.

    Raises:
        NasError: where what is to be uploaded is more than NNI takes, or has passwords in it.
    """
    if is_local(data):
        return Answers([], [])
    known, service = machines(data), handed_out(data)
    patience = SECONDS if service is None else SECONDS + COUNTING
    found = _asked(known, code_for(address, service is not None), patience, where, code)
    _check_upload(found["upload"], secrets_in(data), where, code, say)
    peers, refused = [], []
    for machine, answer in zip(known, found["hosts"], strict=True):
        said = _said(answer)
        reason = _reason(machine, answer, said, address, (code / "nas" / "search" / "trial.py").is_file())
        if not reason and service is not None and "gpus" in said:
            reason = lacking(data, service, machine, GPUs.told(said["gpus"]))
        if reason:
            refused.append(f"{where}: host {machine['host']} {reason}")
        else:
            peers.append(said["source"])
            with contextlib.suppress(OSError):
                peers.append(gethostbyname(machine["host"]))
    return Answers(peers, refused)


def code_for(address: str, counts: bool) -> str:
    """What a host's Python is asked; with `counts` also for its GPUs, which takes NNI some seconds."""
    words = {"ADDRESS": repr(address), "COUNTS": repr(counts), "PROGRAM": PROGRAM}
    code = CODE
    for name, word in words.items():
        code = code.replace(name, word)
    return code


def _asked(
    known: list[dict[str, Any]], question: str, patience: int, where: Path, code: Path
) -> dict[str, Any]:
    import nni_node

    folder = Path(nni_node.__path__[0])
    asked = {
        "machines": known, "seconds": SECONDS, "patience": patience, "folder": str(code), "files": [str(where)],
        "code": question,
    }  # fmt: skip
    try:
        done = subprocess.run(
            [str(folder / "node"), str(KNOCK), str(folder)], input=json.dumps(asked), capture_output=True, text=True,
            timeout=patience + 2 * SECONDS, check=False,
        )  # fmt: skip
        return json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise NasError(
            f"{where}: the hosts could not be asked ({type(error).__name__}); run nas doctor"
        ) from None


def _said(answer: dict[str, Any]) -> dict[str, Any]:
    """What `CODE` printed on a host; empty where it is not that alone."""
    try:
        found = json.loads(answer["answer"])
    except (KeyError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and {"python", "nas"} <= found.keys() else {}


def _reason(
    machine: dict[str, Any], answer: dict[str, Any], said: dict[str, Any], address: str, brings: bool
) -> str:
    """Why a host cannot take part; empty where it can."""
    level, user = answer.get("level"), machine["user"]
    by = "the password" if machine.get("password") is not None else f"the key {machine.get('sshKeyFile')}"
    if level == "client-authentication":
        return f"does not let {user} in with {by}; mend it, or take the host out of machineList"
    if level == "key":
        return (
            f"was not asked, for {by} is of no use ({answer['message']}); give another, or its sshPassphrase"
        )
    if level == "python":
        path = machine.get("pythonPath")
        place = f"in its pythonPath {path}" if path else "on its PATH; name the folder of one with pythonPath"
        return f"has no python that runs {place}"
    if level == "slow":
        return f"lets {user} in, and {answer['message']}; try again when it is idle, or take it out of machineList"
    if level is not None:
        port = machine.get("port") or 22
        return (
            f"cannot be reached at port {port} ({answer['message']}); start its SSH server, give the port that it "
            "listens on, or take it out of machineList"
        )
    if not said:
        return (
            f"answers a command with {short(answer['answer'])}, as where ~/.bashrc prints something, which NNI cannot "
            "read; have it print nothing without a terminal"
        )
    if "lost" in said:
        return (
            f"has no way to {address}, this machine's address ({said['lost']}); mend its network, or give the address "
            "that it reaches as nniManagerIp"
        )
    if not said["nas"] and not brings:
        return f"has no b0nas for {said['python']}; install it there, or name another folder with pythonPath"
    return ""


def _check_upload(
    upload: dict[str, Any], secrets: Collection[str], where: Path, code: Path, say: Callable[[str], None]
) -> None:
    mend = f"name what the hosts do not need in {code}/.nniignore (in the form of .gitignore)"
    if upload["unreadable"]:
        raise NasError(
            f"{where}: NNI uploads {code} to every host, and {short(upload['unreadable'])} in it cannot be read "
            f"({upload['message']}); make it readable, or {mend}"
        )
    if upload["files"] > MOST_FILES:
        raise NasError(
            f"{where}: NNI uploads {code} to every host, and takes {MOST_FILES:,} files, of which it has "
            f"{upload['files']:,} (most in {upload['most']}); {mend}"
        )
    if upload["bytes"] > MOST_BYTES:
        raise NasError(
            f"{where}: NNI uploads {code} to every host, and takes 300 MB, of which it has "
            f"{upload['bytes'] / 1e6:,.0f}; put the data on the hosts beforehand, give its path there, and {mend}"
        )
    if upload["bytes"] > MOST_BYTES / 3:
        say(f"note: {upload['bytes'] / 1e6:,.0f} MB of {code} go to every host; {mend}")
    if secrets and upload["names"]:
        raise NasError(
            f"{where}: has {listed(secrets)} in it, and would be uploaded to every host ({listed(upload['names'])}); "
            f"add it to {code}/.nniignore, or give keys instead of passwords"
        )
