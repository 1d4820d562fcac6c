"""Aim, not yet measured in full: a warm trial costs under 1 s of a processor beside its training, and of 10-second
trials an hour holds over 1.4 times as many as with plain NNI.

    .venv/bin/python benchmarks/trial_start.py               the figures, from benchmarks/results/trial_start.jsonl
    .venv/bin/python benchmarks/trial_start.py measure       new rows on this machine (about 15 minutes)

Three ways to evaluate one network of the `digits` space, in turns: `warm`, nas.search.trial as it comes; `cold`, the
same with --cold; and `plain`, a script as NNI's tutorials have it (benchmarks/plain_trial.py), which imports nni, torch
and torchvision and runs the same training. Every trial is a process that gets its sample and reports its result through
NNI's own channel of files; NNI's manager, which costs all three the same, is not there. The first warm trials, for
which the warm process loads, are told apart.

`overhead` is the processor time of a trial of one epoch, and of what works for it, less that of the same training in
this process, which has all loaded; one trial at a time. `trials an hour` is of the wall time of as many trials of about
10 processor seconds at once as the machine has cores.
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
ROUNDS = 9
LONG = 10.0  # processor seconds of a training
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

    def start(self, way: str, epochs: int) -> tuple[subprocess.Popen[bytes], Path]:
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
        ours = ["-m", "nas.search.trial", "--data", "digits", "--epochs", str(epochs)]
        words = {"plain": [str(PLAIN), str(epochs)], "cold": [*ours, "--cold"], "warm": ours}[way]
        with (own / "stderr").open("wb") as err:
            return subprocess.Popen(
                [sys.executable, *words],
                cwd=self.folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=err,
            ), own

    def warm_seconds(self) -> float:
        """Processor time of the warm process and of its forks that have ended."""
        found = [
            psutil.Process(pid) for pid, kind in runs.processes_of(EXPERIMENT).items() if kind == runs.WARM
        ]
        return sum(sum(one.cpu_times()[:4]) for one in found)


def round_of(place: Place, way: str, trials: int, epochs: int) -> dict[str, float]:
    """As many trials of a way at once: wall seconds of all, processor seconds of one."""
    warm, before, start = place.warm_seconds(), os.times(), time.perf_counter()
    begun = [place.start(way, epochs) for _ in range(trials)]
    for process, own in begun:
        if process.wait() != 0:
            raise SystemExit(f"a {way} trial failed: {(own / 'stderr').read_text()[-500:]}")
    wall, after = time.perf_counter() - start, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall": wall, "processor": (used + place.warm_seconds() - warm) / trials}


def measure() -> Iterator[Row]:
    """A row a round and way, the ways in turns."""
    torch.set_num_threads(1)
    cores = os.cpu_count() or 1
    folder = Path(tempfile.mkdtemp())
    common = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"), "seed": SEED,
        "versions": {"python": platform.python_version(), **{n: version(n) for n in ("torch", "nni")}},
    }  # fmt: skip
    try:
        place = Place(folder)
        place.training()
        epochs = max(1, round(LONG / place.training()))
        yield {
            "way": "first warm",
            "trials": cores,
            "epochs": 1,
            **round_of(place, "warm", cores, 1),
            **common,
        }
        for trials, length in ((1, 1), (cores, epochs)):
            for number in range(ROUNDS):
                for way in WAYS:
                    row = {"way": way, "round": number, "trials": trials, "epochs": length}
                    load = os.getloadavg()[0]
                    row |= round_of(place, way, trials, length)
                    yield {
                        **row,
                        "training": place.training() if length == 1 else None,
                        "load": load,
                        **common,
                    }
    finally:
        runs.end_processes(EXPERIMENT)
        shutil.rmtree(folder)


def report(rows: list[Row]) -> str:
    """The table, medians and quartiles over the rounds."""
    first, rest = rows[0], rows[1:]
    versions = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
    loads = [row["load"] for row in rest]
    long = [row for row in rest if row["training"] is None]
    lines = [
        f"{versions}; {first['date']}, load {min(loads):.1f} to {max(loads):.1f}, seed {first['seed']}, n = {ROUNDS} "
        f"rounds of each; trials an hour: of {long[0]['epochs']} epochs, {long[0]['trials']} at once",
        "",
        "| trial | overhead, processor s | processor s of a long one | trials an hour | against plain |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    plain = [row["wall"] for row in long if row["way"] == "plain"]
    for way in WAYS:
        mine = [row for row in long if row["way"] == way]
        short = [row for row in rest if row["way"] == way and row["training"] is not None]
        ratio = [theirs / row["wall"] for theirs, row in zip(plain, mine, strict=True)]
        cells = [
            way, spread([row["processor"] - row["training"] for row in short]),
            spread([row["processor"] for row in mine], 1),
            spread([3600 * row["trials"] / row["wall"] for row in mine], 0),
            "1" if way == "plain" else spread(ratio),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"The first {first['trials']} warm trials took {first['wall']:.1f} s."])


if __name__ == "__main__":
    run(ROWS, measure, report)
