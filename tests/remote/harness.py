"""A search of one machine whose trials run on others, over recorded results: one trial at a time, a seed."""

import json
import subprocess
from typing import Any

import yaml

from ..recorded import CONFIG, TABLE, TRIALS, Recorded, Told, wait_for
from .machines import HOME, PYTHON, ROOT, Lan, Machine


class Search(Recorded):
    """A user's project on `machine`, a machine without sshd.

    Attributes:
        folder: of the project, as it is seen from here.
    """

    def __init__(self, machine: Machine, hosts: list[Machine], service: Any = None, **changes: Any) -> None:
        self.machine, self.hosts = machine, hosts
        self.folder = machine.own / "home" / "project"
        self.inside = HOME / "project"
        self.folder.mkdir(parents=True)
        key = machine.own / "home" / "key"
        key.write_text(machine.key.read_text())
        key.chmod(0o600)
        (self.folder / "results.json").write_text(json.dumps(TABLE))
        config = CONFIG | {
            "trialCommand": "python -m nas.search.trial --table results.json",
            "trainingService": service or remote(hosts),
        }
        changed = (config | changes).items()
        config = {key: value for key, value in changed if value is not None}
        (self.folder / "search.yml").write_text(yaml.safe_dump(config))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def words(self) -> list[str]:
        """How a user of that machine begins a command: with an environment of a login."""
        kept = {"HOME": str(HOME), "PATH": f"{PYTHON}:/usr/bin:/bin:/usr/sbin", "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}  # fmt: skip
        return ["env", "-i", *(f"{name}={value}" for name, value in kept.items())]

    def nas(self, *words: object) -> subprocess.Popen[bytes]:
        """`nas search` in the background; its output is in out.txt."""
        command = [
            *self.words,
            f"{PYTHON}/python",
            "-c",
            "from nas.cli import main; main()",
            "search",
            "search.yml",
            *words,
        ]
        with (self.machine.own / "out.txt").open("ab") as out:
            self.process = subprocess.Popen(
                self.machine.command(command, str(self.inside)), stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        return self.process

    @property
    def out(self) -> str:
        path = self.machine.own / "out.txt"
        return path.read_text() if path.exists() else ""

    def wait(self, seconds: float = 300) -> int:
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end after {seconds} s: {self.out[-3000:]}") from None

    def kill_all(self) -> None:
        """kill -9 of all that runs on its machine."""
        self.machine.kill_all()
        assert self.process is not None
        self.process.wait()

    def trials_on(self, host: Machine) -> list[str]:
        """The jobs that ran on a host."""
        found = (host.own / "home" / "nni-experiments").glob("*/environments/*/trials/*")
        return sorted(path.name for path in found)


def remote(hosts: list[Machine], **changes: Any) -> dict[str, Any]:
    """NNI's training service of some hosts, by key."""
    return {"platform": "remote", "machineList": [{**by_key(host), **changes} for host in hosts]}


def by_key(host: Machine) -> dict[str, Any]:
    return {"host": host.address, "user": "root", "sshKeyFile": "~/key", "pythonPath": PYTHON}


SLOW_PYTHON = f"""#!/bin/sh
case "$2" in nas.search.trial) shift 2; exec {PYTHON}/python "$HOME/slow.py" "$@" ;; esac
exec {PYTHON}/python "$@"
"""
SLOW_TRIAL = """
import os, runpy, sys, time
from pathlib import Path
from nas.search import measuring

look_up, hold, held = measuring.LookingUp.measure, Path.home() / "hold", Path.home() / "held"

def slow(*words):
    if hold.exists():
        held.with_suffix(".new").write_text(os.environ["NNI_TRIAL_JOB_ID"])
        held.with_suffix(".new").rename(held)
    while hold.exists():
        time.sleep(0.1)
    return look_up(*words)

measuring.LookingUp.measure = slow
sys.argv.append("--cold")
runpy.run_module("nas.search.trial", run_name="__main__", alter_sys=True)
"""


def slowly(hosts: list[Machine]) -> dict[str, Any]:
    """NNI's training service of hosts on which a trial can be held: it has its sample, and does not look it up."""
    for host in hosts:
        home = host.own / "home"
        (home / "slow.py").write_text(SLOW_TRIAL)
        (home / "bin").mkdir()
        (home / "bin" / "python").write_text(SLOW_PYTHON)
        (home / "bin" / "python").chmod(0o755)
    return remote(hosts, pythonPath=str(HOME / "bin"))


def hold(host: Machine) -> None:
    """From now on each trial that runs on `host` goes on running."""
    (host.own / "home" / "hold").touch()


def held(host: Machine) -> str:
    """The job that is held on a host; empty before there is one."""
    path = host.own / "home" / "held"
    return path.read_text() if path.exists() else ""


__all__ = [
    "TRIALS",
    "Lan",
    "Machine",
    "Search",
    "Told",
    "by_key",
    "held",
    "hold",
    "remote",
    "slowly",
    "wait_for",
]
