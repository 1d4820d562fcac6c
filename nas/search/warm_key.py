"""Which trials are warm, and which warm process is one for them (`nas.search.warm`).

This module imports next to nothing, as every trial starts with it.
"""

import hashlib
import os
import resource
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
COLD = "--cold"
"""The trial's option that forbids it."""
WORKER = "B0NAS_WARM"
"""In the environment of a warm process: the experiment whose trials it evaluates."""
OWN = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "OLDPWD", "PWD", "SHLVL", "_")
"""Of an environment, beside NNI's own words, what a trial of the same search may have otherwise: nothing reads it
while torch is loaded."""


def reused() -> bool:
    """Whether this is NNI's reuse mode, in which each trial has a copy of the code directory of its own."""
    return "REUSE_MODE" in os.environ


def wanted(words: list[str]) -> bool:
    """Whether a trial of NNI's is to be warm here: forks of a process that has torch are for Linux, and in a folder of
    its own each would take a warm process of its own."""
    environ = os.environ
    known = environ.get("NNI_TRIAL_JOB_ID") and environ.get("NNI_EXP_ID") not in (None, "", "STANDALONE")
    alike = sys.platform == "linux" and not reused()
    return bool(known) and alike and not {COLD, "-h", "--help"} & set(words)


def kind_of(words: list[str]) -> str:
    """What trials of these options load: 'table' nothing to train with, 'images' what decodes files of images, too.

    >>> kind_of(["--data", "folder:birds"]), kind_of(["--data=digits"]), kind_of(["--table", "x.json"])
    ('images', 'train', 'table')
    """
    if any(word == "--table" or word.startswith("--table=") for word in words):
        return "table"
    of_files = ("folder:", "split:")
    return "images" if any(word.removeprefix("--data=").startswith(of_files) for word in words) else "train"


def key_of(words: list[str]) -> str:
    """What a warm process is one for: an experiment, and all that a fork cannot have otherwise than its parent."""
    limits = [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if "RLIMIT_" in name]
    parts = [
        sys.executable, sys.version, sys.flags, flags(), sys.path, os.getcwd(), kind_of(words), limits, code(PACKAGE),
        os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)), sorted(shared_environment().items()),
        os.environ["NNI_EXP_ID"],
    ]  # fmt: skip
    return hashlib.sha256(repr(parts).encode(errors="surrogateescape")).hexdigest()[:24]


def flags() -> list[str]:
    """The interpreter's own options, such as -O, -I and -X."""
    found: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    given = [name if value is True else f"{name}={value}" for name, value in sys._xoptions.items()]
    return found + [word for option in given if option not in found for word in ("-X", option)]


def code(folder: str | Path) -> list[tuple[str, int]]:
    """The Python files of a package and when each was written: a warm process has its code from when it began."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                found.append((entry.path, entry.stat().st_mtime_ns))
            elif entry.is_dir() and entry.name != "__pycache__":
                found += code(entry.path)
    return sorted(found)


def shared_environment() -> dict[str, str]:
    """The environment without what is one trial's own."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("NNI_") and name not in OWN and name != WORKER
    }
