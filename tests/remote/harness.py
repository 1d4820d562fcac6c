"""A search of one machine whose trials run on others, over recorded results: one trial at a time, a seed."""

import itertools
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from nas.search.journal import FILE, Journal

from .machines import HOME, PYTHON, ROOT, Lan, Machine

TRIALS = 8
LAYERS, BLOCKS = ("layer1", "layer2", "layer3"), ("identity", "mb3k3", "mb6k5", "mb3k7")
Told = list[tuple[int, dict[str, Any], str, float | None]]


class Search:
    """A user's project on `machine`, a machine without sshd.

    Attributes:
        project: its folder, as it is seen from here.
    """

    def __init__(self, machine: Machine, hosts: list[Machine], service: Any = None, **changes: Any) -> None:
        self.machine, self.hosts = machine, hosts
        self.project = machine.own / "home" / "project"
        self.inside = HOME / "project"
        self.project.mkdir(parents=True)
        key = machine.own / "home" / "key"
        key.write_text(machine.key.read_text())
        key.chmod(0o600)
        records = [
            {"sample": dict(zip(LAYERS, names, strict=True)), "accuracy": 0.5 + (37 * number % 64) / 200,
             "macs": 100 * (1 + 29 * number % 64)}
            for number, names in enumerate(itertools.product(BLOCKS, repeat=3))
        ]  # fmt: skip
        table = {"name": "blocks", "choices": {layer: list(BLOCKS) for layer in LAYERS}, "records": records}
        (self.project / "results.json").write_text(json.dumps(table))
        config = {
            "searchSpace": "table:results.json",
            "trialCommand": "python -m nas.search.trial --table results.json",
            "trialConcurrency": 1, "maxTrialNumber": TRIALS,
            "tuner": {"codeDirectory": ".", "className": "nas.search.tuner.StrategyTuner",
                      "classArgs": {"strategy": {"name": "evolution", "population_size": 4, "sample_size": 2},
                                    "seed": 5}},
            "trainingService": service or remote(hosts),
        }  # fmt: skip
        changed = (config | changes).items()
        config = {key: value for key, value in changed if value is not None}
        (self.project / "search.yml").write_text(yaml.safe_dump(config))
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

    def journals(self) -> list[Path]:
        return sorted((self.project / "runs").glob(f"*/{FILE}"))

    @property
    def id(self) -> str:
        return self.journals()[-1].parent.name

    def journal(self) -> Journal:
        journal = Journal(self.journals()[-1])
        journal.refresh()
        return journal

    def told(self) -> int:
        return len(self.journal().ended()) if self.journals() else 0

    def result(self) -> Told:
        """The trials in order; each was asked and told once, and no line is damaged."""
        journal = self.journal()
        assert journal.unreadable == 0
        for kind in ("asked", "told"):
            numbers = [event["number"] for event in journal.events if event["event"] == kind]
            assert len(numbers) == len(set(numbers)), f"{kind} twice: {numbers}"
        return [(t.number, t.sample, t.state, t.reward) for t in journal.ended()][:TRIALS]

    def trials_on(self, host: Machine) -> list[str]:
        """The jobs that ran on a host."""
        found = (host.own / "home" / "nni-experiments").glob("*/environments/*/trials/*")
        return sorted(path.name for path in found)


def remote(hosts: list[Machine], **changes: Any) -> dict[str, Any]:
    """NNI's training service of some hosts, by key."""
    return {"platform": "remote", "machineList": [{**by_key(host), **changes} for host in hosts]}


def by_key(host: Machine) -> dict[str, Any]:
    return {"host": host.address, "user": "root", "sshKeyFile": "~/key", "pythonPath": PYTHON}


def wait_for(condition: Callable[[], Any], seconds: float, must: bool = True) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            assert not must, "waited in vain"
            return False
        time.sleep(0.2)
    return True


__all__ = ["Lan", "Machine", "Search", "remote", "wait_for"]
