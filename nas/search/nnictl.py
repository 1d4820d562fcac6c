"""nnictl as a process: with an environment in which NNI's port is this machine's alone, and files the user's.

>>> last_line("ERROR: port 8080 is not idle\\nExperiment abc start: 2026-11-25")
'ERROR: port 8080 is not idle'
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from nas.files import UMASK
from nas.search.guard import PRIVATE
from nas.search.runs import MARK

LONGEST = 180
"""Seconds after which nnictl is taken for hung."""
TELLING = re.compile(r"error|refused|unable|cannot|failed|not ", re.IGNORECASE)


def program() -> list[str]:
    """How nnictl is run: the one beside this Python, or its module."""
    beside = Path(sys.executable).with_name("nnictl")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "nni.tools.nnictl.nnictl"]


def nnictl(
    words: Sequence[str], environment: Mapping[str, str], mark: str
) -> subprocess.CompletedProcess[str]:
    """Runs nnictl to its end.

    Args:
        environment: who reaches NNI's port is in it (`nas.search.guard`).
        mark: by which the manager that it starts is known (`nas.search.runs.experiment_marked`).
    """
    umask = os.umask(PRIVATE)
    os.umask(umask)
    environment = {**environment, MARK: mark, UMASK: f"{umask:o}"}
    try:
        return subprocess.run(
            [*program(), *words], capture_output=True, text=True, check=False, env=environment, umask=PRIVATE,
            timeout=LONGEST, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"nnictl {words[0]} took over {LONGEST} seconds")


def last_line(text: str) -> str:
    """The last line of a program's output that tells of an error, else that says something, without colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = [line.strip() for line in plain.splitlines() if re.search(r"\w", line)]
    telling = [line for line in lines if TELLING.search(line)]
    return (telling or lines or [""])[-1]
