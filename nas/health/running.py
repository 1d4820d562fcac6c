"""Other programs, run to their end as long as they do something: what they said, and how they ended.

What may crash (torch, NNI) is imported in a process of its own, `python -m nas.health.probe`, which prints one line of
JSON a step. The current folder comes first there, as it does for a trial.

>>> run(["python-that-is-not-there"]).error
'there is no program python-that-is-not-there'
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.health.finding import LONGEST, reason

BOUND = 60.0
"""Seconds without progress after which a program is taken for hung; on a busy machine one may take longer."""
PROGRESS = 0.05
"""Processor seconds in `BOUND` that are progress."""


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        error: why it failed, in one line; empty where it did not.
        seconds: that it took, on the wall.
    """

    out: str = ""
    error: str = ""
    seconds: float = 0.0


def run(words: Sequence[str], environment: Mapping[str, str] | None = None, bound: float = BOUND) -> Ended:
    """Runs a program to its end, or until it has done nothing for `bound` seconds; what goes wrong is in `error`."""
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", env=None if environment is None else dict(environment),
        )  # fmt: skip
    except FileNotFoundError:
        return Ended(error=f"there is no program {words[0]}")
    except (OSError, ValueError) as error:
        return Ended(error=f"{words[0]} cannot be run ({reason(error)})")
    done = 0.0
    while True:
        try:
            out, told = process.communicate(timeout=bound)
        except subprocess.TimeoutExpired:
            done, before = _processor_seconds(process.pid), done
            if done - before >= PROGRESS:
                continue
            process.kill()
            out, _ = process.communicate()
            return Ended(out, f"did nothing for {bound:g} seconds", time.monotonic() - began)
        error = "" if process.returncode == 0 else _why(process.returncode, told)
        return Ended(out, error, time.monotonic() - began)


def _processor_seconds(pid: int) -> float:
    import psutil

    try:
        return sum(psutil.Process(pid).cpu_times()[:2])
    except psutil.Error:
        return 0.0


def _why(code: int, told: str) -> str:
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    last = lines[-1][:LONGEST] if lines else ""
    if code >= 0:
        return last or f"ended with exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


@dataclass(frozen=True)
class Step:
    """One step of a probe: what it found, or why it failed."""

    value: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Probe:
    """The steps of a process that imports what may crash."""

    steps: Mapping[str, Step]
    ended: Ended

    def step(self, name: str) -> Step:
        """A step; one that was not reached failed as the process did."""
        found = self.steps.get(name)
        return found or Step(error=self.ended.error or "it was not reached")


def probe(what: str, environment: Mapping[str, str] | None = None, bound: float = BOUND) -> Probe:
    """Runs `python -m nas.health.probe WHAT`."""
    home = str(Path(__file__).parents[2])
    environment = dict(os.environ if environment is None else environment)
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    environment["PYTHONPATH"] = os.pathsep.join([*paths, home])  # of a checkout that is not installed
    ended = run([sys.executable, "-m", "nas.health.probe", what], environment, bound)
    steps = {}
    for line in ended.out.splitlines():
        try:
            name, value, error = json.loads(line)
            steps[str(name)] = Step(dict(value), str(error))
        except (ValueError, TypeError):  # of a package that prints as it is imported
            continue
    return Probe(steps, ended)
