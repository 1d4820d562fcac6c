"""Claim: a warm trial costs 0.53 s of a processor beside its training, a plain one of NNI 5.0 (n = 12).

    .venv/bin/python benchmarks/trial_start.py               the figures, from benchmarks/results/trial_start.jsonl
    .venv/bin/python benchmarks/trial_start.py measure       new rows on this machine (about 10 minutes)

Three ways to evaluate one network of the `digits` space for one epoch: `warm`, nas.search.trial as it comes; `cold`,
the same with --cold; and `plain`, a script as NNI's tutorials have it (benchmarks/plain_trial.py), which imports nni,
torch and torchvision and runs the same training. They take turns, one trial at a time, and each round begins with
another. Every trial is a process that gets its sample and reports its result through NNI's own channel of files.

`overhead` is the processor time of a trial, and of what works for it, less that of the same training in this process,
which has all loaded. NNI's manager is not there; trials an hour by the wall, with it, are trials_an_hour.py's. The
first warm trial, for which the warm process loads, is told apart, and that process must be the same through all rounds.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import torch
from rounds import Row, run, spread

from nas.architecture import Architecture
from nas.data import load_data
from nas.evaluators.proxy import ProxyEvaluator
from nas.search import runs
from nas.search.journal import FILE, Journal
from nas.space import SearchSpace
from nas.training import TrainingConfig

ROWS = Path(__file__).parent / "results" / "trial_start.jsonl"
PLAIN = Path(__file__).with_name("plain_trial.py")
SEED = 0
ROUNDS = 12  # as many that begin with each way
WAYS = ("plain", "cold", "warm")
EXPERIMENT = "trialstart"


def training(arch: Architecture) -> float:
    """Processor seconds of one epoch on digits, in this process."""
    start = time.process_time()
    ProxyEvaluator(load_data("digits"), TrainingConfig(epochs=1, seed=SEED)).evaluate(arch)
    return time.process_time() - start


class Place:
    """A folder in which trials of one experiment run, as NNI would have it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        space = SearchSpace.load("digits")
        self._sample = space.sample(np.random.default_rng(SEED))
        self._arch = space.decode(self._sample)
        self.journal = Journal(folder / "runs" / EXPERIMENT / FILE)
        document = space.document.model_dump(mode="json", exclude_defaults=True)
        trial = {"space": "digits", "sha256": space.sha256, "seed": SEED,
                 "reward": {"form": "soft", "target": 700_000, "w": -0.07},
                 "limits": {"macs": None, "params": None}}  # fmt: skip
        self.journal.start(
            experiment=EXPERIMENT, space="digits", sha256=space.sha256, document=document, strategy={"name": "random"},
            concurrency=None, max_trials=None, command="", nni=None, classes=10, in_chans=1, seed=SEED, versions={},
            trial=trial,
        )  # fmt: skip
        (self.journal.path.parent / "space.json").write_text(json.dumps(document))

    def training(self) -> float:
        """Processor seconds of one epoch in this process."""
        return training(self._arch)

    def start(self, way: str) -> tuple[subprocess.Popen[bytes], Path]:
        """One trial, and its folder."""
        number = self.journal.asked(
            self._sample,
            f"{self._arch.key}/{time.time_ns()}",
            macs=self._arch.macs,
            params=self._arch.params,
            seen=0,
        )
        own = self.folder / f"{number}"
        own.mkdir()
        run = {**self.journal.run["trial"], "number": number}
        parameters = {"parameter_id": number, "parameters": {**self._sample, "run": run}}
        (own / "parameter.cfg").write_text(json.dumps(parameters))
        environment = {
            **os.environ, "TMPDIR": str(self.folder), "NNI_PLATFORM": "local", "NNI_EXP_ID": EXPERIMENT,
            "NNI_TRIAL_JOB_ID": f"job{number}", "NNI_TRIAL_SEQ_ID": str(number), "NNI_SYS_DIR": str(own),
            "NNI_OUTPUT_DIR": str(own), "NNI_CODE_DIR": str(self.folder), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        ours = ["-m", "nas.search.trial", "--data", "digits", "--epochs", "1"]
        words = {"plain": [str(PLAIN), "1"], "cold": [*ours, "--cold"], "warm": ours}[way]
        with (own / "stderr").open("wb") as err:
            return subprocess.Popen(
                [sys.executable, *words],
                cwd=self.folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=err,
            ), own

    def warm(self) -> tuple[list[int], float]:
        """The warm process, and the processor time of it and of its forks that have ended."""
        found = [pid for pid, kind in runs.processes_of(EXPERIMENT).items() if kind == runs.WARM]
        return found, sum(sum(psutil.Process(pid).cpu_times()[:4]) for pid in found)


def trial(place: Place, way: str) -> Row:
    """One trial: its seconds, by the wall and of processors, and the warm processes after it."""
    (_, warm), before, start = place.warm(), os.times(), time.perf_counter()
    process, own = place.start(way)
    if process.wait() != 0:
        raise SystemExit(f"a {way} trial failed: {(own / 'stderr').read_text()[-500:]}")
    wall, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    processes, warm_after = place.warm()
    return {"way": way, "wall": wall, "processor": used + warm_after - warm, "warm processes": processes}


def measure() -> Iterator[Row]:
    """A row for the first warm trial, then one a round and way."""
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp())
    common = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"), "seed": SEED,
        "versions": {"python": platform.python_version(), **{n: version(n) for n in ("torch", "nni")}},
    }  # fmt: skip
    try:
        place = Place(folder)
        place.training()  # the first one loads
        yield {"round": None, **trial(place, "warm"), **common}
        for number in range(ROUNDS):
            first = number % len(WAYS)
            for way in (*WAYS[first:], *WAYS[:first]):
                load = os.getloadavg()[0]
                row = trial(place, way)
                yield {"round": number, **row, "training": place.training(), "load": load, **common}
    finally:
        runs.end_processes(EXPERIMENT)
        shutil.rmtree(folder)


def check(rows: list[Row]) -> None:
    """Raises SystemExit where the warm process was not the same through all rounds: one that ended would have loaded
    anew in what is to be a warm trial."""
    found = {tuple(row["warm processes"]) for row in rows}
    if len(found) != 1 or len(found.pop()) != 1:
        raise SystemExit(
            f"{ROWS}: the warm process was not one and the same through all rounds; measure again"
        )


def report(rows: list[Row]) -> str:
    """The table, medians and quartiles over the rounds."""
    check(rows)
    first, rest = rows[0], rows[1:]
    versions = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
    loads = [row["load"] for row in rest]
    lines = [
        f"{versions}; {first['date']}, load {min(loads):.1f} to {max(loads):.1f}, seed {first['seed']}, n = "
        f"{len(rest) // len(WAYS)} rounds",
        "",
        "| trial | overhead, processor s | the whole trial | of it training |",
        "| --- | ---: | ---: | ---: |",
    ]
    for way in WAYS:
        mine = [row for row in rest if row["way"] == way]
        cells = [
            way, spread([row["processor"] - row["training"] for row in mine]),
            spread([row["processor"] for row in mine]), spread([row["training"] for row in mine]),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"The first warm trial took {first['processor']:.1f} s of a processor."])


if __name__ == "__main__":
    run(ROWS, measure, report)
