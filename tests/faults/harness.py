"""A search that is disturbed: real NNI processes over recorded results, in a folder and a home of its own.

One trial at a time, a seed, recorded accuracies: whatever is done to the processes and files, the sequence of
samples and rewards must be that of a search that nothing disturbed.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

from nas.search.journal import Journal
from nas.search.runs import processes_of

from ..recorded import CONFIG, TABLE, TRIALS, Recorded, Told, wait_for

BIN = Path(sys.executable).parent
TARGETS = ("trial", "warm", "tuner", "manager", "group")
"""What is killed; the group is all of them, and nas search with them."""


def _as_from_a_terminal() -> None:
    """In the process that begins: what nohup and a script's & ignore, and children with them, ends it."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Disturbed(Recorded):
    """A search in `folder`, by `nas search` or by bare nnictl.

    Attributes:
        port: NNI's, so that a resumed search meets what the one before left there.
    """

    def __init__(self, folder: Path, port: int, trial: str = "-m nas.search.trial", **changes: Any) -> None:
        self.folder, self.port = folder, port
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "results.json").write_text(json.dumps(TABLE))
        config = CONFIG | {"trialCommand": f"{sys.executable} {trial} --table results.json"}
        (folder / "search.yml").write_text(yaml.safe_dump(config | changes))

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("NNI_")}
        return {**kept, "HOME": str(self.home), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}

    # What the user types

    def nas(self, *words: object) -> subprocess.Popen[bytes]:
        """`nas search` in the background; its output is in out.txt."""
        command = [BIN / "nas", "search", "search.yml", *words]
        with (self.folder / "out.txt").open("ab") as out:
            self.process = subprocess.Popen(
                [str(word) for word in command], cwd=self.folder, env=self.environment, stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_as_from_a_terminal,
            )  # fmt: skip
        return self.process

    def nnictl(self, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "nnictl"), *[str(word) for word in words]],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip

    def create(self) -> None:
        """`nnictl create`, until it wins NNI's start-up races."""
        for _ in range(5):
            done = self.nnictl("create", "--config", "search.yml", "--port", self.port)
            if done.returncode == 0 and self._begun():
                return
            self.sweep()
            shutil.rmtree(self.folder / "runs", ignore_errors=True)
        raise AssertionError(f"nnictl create: {done.stdout[-500:]} {done.stderr[-500:]}")

    def resume(self) -> None:
        """`nnictl resume`, as a user would: again where NNI's start-up race was lost."""
        for _ in range(5):
            done = self.nnictl("resume", self.id, "--port", self.port)
            if done.returncode == 0 and self._connected():
                return
            self.nnictl("stop", self.id)
        raise AssertionError(f"nnictl resume: {done.stdout[-500:]} {done.stderr[-500:]}")

    def _begun(self) -> bool:
        return wait_for(lambda: self.journals() and Journal.exists.fget(self.journal()), 40, must=False)  # type: ignore[attr-defined]

    def _connected(self) -> bool:
        """Whether the tuner connects in NNI's ten seconds."""
        end = time.monotonic() + 12
        while time.monotonic() < end:
            if self.status() in ("ERROR", "DONE", ""):
                return self.status() == "DONE"
            time.sleep(0.5)
        return True

    # What there is

    def status(self) -> str:
        """NNI's word; empty where no manager answers."""
        from nas.search.manager import Manager

        try:
            return Manager(self.port).status()[0]
        except (OSError, ValueError, KeyError):
            return ""

    # What is done to it

    def victims(self, target: str) -> list[psutil.Process]:
        """The processes of a target, oldest first."""
        if not self.journals():
            return []
        kinds = processes_of(self.id)
        wanted = [pid for pid, kind in kinds.items() if target in (kind, "group")]
        if target == "group" and self.process is not None:
            wanted.append(self.process.pid)
        found = []
        for pid in wanted:
            try:
                found.append(psutil.Process(pid))
            except psutil.NoSuchProcess:
                continue
        return found

    def kill(self, target: str) -> bool:
        """kill -9, of what there is within some seconds; whether there was something to kill."""
        wait_for(lambda: self.victims(target), 5, must=False)
        victims = self.victims(target)
        for process in victims:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if target == "group" and self.process is not None:
            self.process.wait()
        return bool(victims)

    def sweep(self) -> None:
        """Ends everything that has this home."""
        for process in psutil.process_iter(["environ"]):
            if (process.info["environ"] or {}).get("HOME") == str(self.home):
                try:
                    os.kill(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        if self.process is not None:
            self.process.wait()


def by_nas(
    search: Disturbed, moments: random.Random, kills: int, targets: tuple[str, ...] = TARGETS
) -> list[str]:
    """`nas search`, disturbed so often; what was killed. It goes on by itself, but where it was killed too."""
    done: list[str] = []
    since = time.monotonic()
    process = search.nas("--port", search.port)
    wait_for(lambda: search.told() >= 1 or process.poll() is not None, 120)
    while process.poll() is None or len(done) == 0:
        if len(done) < kills:
            time.sleep(moments.uniform(0, 6))
            target = moments.choice(targets)
            if process.poll() is None and search.told() < TRIALS and search.kill(target):
                done.append(target)
                since = time.monotonic()
                if target == "group":
                    process = search.nas("--resume", search.id)
                    wait_for(lambda: "resuming" in out_of(search) or process.poll() is not None, 60)  # noqa: B023
        else:
            wait_for(lambda: process.poll() is not None, 300)  # noqa: B023
        if (
            process.poll() not in (None, 0) and time.monotonic() - since < 180
        ):  # killed more often than it tries
            process = search.nas("--resume", search.id)
    assert process.returncode == 0, out_of(search)[-3000:]
    assert "for two minutes no trial runs" not in out_of(search)  # it would go on, but it had stood still
    return done


def by_nnictl(
    search: Disturbed, moments: random.Random, kills: int, targets: tuple[str, ...] = TARGETS
) -> list[str]:
    """`nnictl create`, disturbed so often; what was killed. Its user resumes it where NNI needs that."""
    done: list[str] = []
    search.create()
    since = time.monotonic()
    while search.told() < TRIALS:
        time.sleep(moments.uniform(0, 6))
        if len(done) < kills and search.told() < TRIALS:
            target = moments.choice(targets)
            if search.kill(target):
                done.append(target)
                since = time.monotonic()
                if target in ("manager", "group"):
                    search.resume()
                elif target == "tuner":
                    wait_for(lambda: search.status() in ("ERROR", "DONE"), 60)
                    search.nnictl("stop", search.id)
                    search.resume()
        elif search.status() in ("ERROR", ""):  # a start-up race lost late
            search.nnictl("stop", search.id)
            search.resume()
        assert time.monotonic() - since < 300, f"no end after {done}: {search.status()}"
    search.nnictl("stop", search.id)
    return done


def out_of(search: Disturbed) -> str:
    path = search.folder / "out.txt"
    return path.read_text() if path.exists() else ""


__all__ = ["TARGETS", "TRIALS", "Disturbed", "Told", "by_nas", "by_nnictl", "out_of", "wait_for"]
