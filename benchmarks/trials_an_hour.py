"""Claim: `nas search` ends 1.38 (1.36 to 1.42) times as many trials of 10 seconds as plain NNI in experiments of a
minute.

    .venv/bin/python benchmarks/trials_an_hour.py            the figures, from benchmarks/results/trials_an_hour.jsonl
    .venv/bin/python benchmarks/trials_an_hour.py measure    new rows on this machine (about 20 minutes)

Whole experiments, NNI's manager included, in turns, each round in the other order: `nas search` as it comes, and
`nnictl create` with NNI's own BatchTuner and a trial as NNI's tutorials have it (`plain_trial.py`). Both train the very
same networks of the `digits` space, in the same order, those that the strategy `random` draws from one seed, for as
many epochs as take one of the space about 10 processor seconds; as many at once as the machine has cores. Counted is
the wall time from the first trial's start to the last one's end, by NNI's own database; starting an experiment and
ending it are left out. What a trial costs beside its training, without the manager, is trial_start.py's.
"""

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from rounds import Row, run, spread
from trial_start import PLAIN, training

from nas.search import runs
from nas.search.journal import FILE
from nas.search.ports import free_port
from nas.space import SearchSpace

ROWS = Path(__file__).parent / "results" / "trials_an_hour.jsonl"
SPACE = Path(__file__).parents[1] / "search_spaces" / "digits.yml"
BIN = Path(sys.executable).parent
SEED = 0
ROUNDS = 5
TRIALS = 12
LONG = 10.0  # processor seconds of a training


def common(folder: Path, trial: str) -> dict[str, Any]:
    """What both configurations have."""
    return {
        "trialCommand": f"{sys.executable} {trial}", "trialConcurrency": os.cpu_count() or 1,
        "maxTrialNumber": TRIALS, "experimentWorkingDirectory": str(folder / "nni"),
        "trainingService": {"platform": "local"},
    }  # fmt: skip


def ours(folder: Path, epochs: int) -> None:
    """A search of ours."""
    tuner = {
        "codeDirectory": ".", "className": "nas.search.tuner.StrategyTuner",
        "classArgs": {"strategy": {"name": "random"}, "reward": {"form": "soft", "w": -0.07}, "seed": SEED},
    }  # fmt: skip
    trial = f"-m nas.search.trial --data digits --epochs {epochs}"
    shutil.copy(SPACE, folder)
    config = {"searchSpaceFile": SPACE.name, "tuner": tuner, **common(folder, trial)}
    (folder / "search.yml").write_text(yaml.safe_dump(config))
    subprocess.run([BIN / "nas", "search", "search.yml"], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def samples(folder: Path) -> list[dict[str, Any]]:
    """What a search of ours proposed, in its order."""
    (found,) = (folder / "runs").glob(f"*/{FILE}")
    return [dict(trial.sample) for trial in runs.open_journal(found.parent).trials.values()]


def plain(folder: Path, epochs: int, proposed: list[dict[str, Any]]) -> None:
    """The same networks by NNI's own means."""
    space = {"combine_params": {"_type": "choice", "_value": proposed}}
    config = {
        "searchSpace": space, "tuner": {"name": "BatchTuner"}, **common(folder, f"{PLAIN} {epochs}")
    }  # fmt: skip
    (folder / "plain.yml").write_text(yaml.safe_dump(config))
    port = str(free_port())
    create = [BIN / "nnictl", "create", "--config", "plain.yml", "--port", port, "--foreground"]
    subprocess.run(create, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wall(folder: Path) -> float:
    """Seconds from the first trial's start to the last one's end, by NNI's database."""
    (file,) = (folder / "nni").glob("[!_]*/db/nni.sqlite")
    with sqlite3.connect(file) as base:
        events = base.execute("select event, timestamp from TrialJobEvent").fetchall()
    ended = [when for event, when in events if event == "SUCCEEDED"]
    if len(ended) != TRIALS:
        raise SystemExit(f"{file}: {len(ended)} of {TRIALS} trials ended well")
    return (max(ended) - min(when for event, when in events if event == "RUNNING")) / 1000


def measure() -> Iterator[Row]:
    """A row for every experiment."""
    torch.set_num_threads(1)
    place = Path(tempfile.mkdtemp())
    versions = {"python": platform.python_version(), **{n: version(n) for n in ("torch", "nni")}}
    about = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "seed": SEED, "versions": versions,
             "trials": TRIALS, "at once": os.cpu_count() or 1}  # fmt: skip
    try:
        space = SearchSpace.load(SPACE)
        arch = space.decode(space.sample(np.random.default_rng(SEED)))
        training(arch)  # the first one loads
        epochs = max(1, round(LONG / training(arch)))
        proposed: list[dict[str, Any]] = []
        for number in range(ROUNDS):
            for way in ("ours", "plain")[:: 1 if number % 2 == 0 else -1]:
                folder = place / f"{number}-{way}"
                folder.mkdir()
                load = os.getloadavg()[0]
                if way == "plain":
                    plain(folder, epochs, proposed)
                else:
                    ours(folder, epochs)
                    assert samples(folder) == (proposed or samples(folder))
                    proposed = samples(folder)
                yield {
                    "way": way,
                    "round": number,
                    "epochs": epochs,
                    "wall": wall(folder),
                    "load": load,
                    **about,
                }
                time.sleep(10)  # what an experiment leaves ends by itself
    finally:
        shutil.rmtree(place)


def report(rows: list[Row]) -> str:
    """Median and quartiles over the rounds."""
    first = rows[0]
    versions = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
    mine, theirs = ([row["wall"] for row in rows if row["way"] == way] for way in ("ours", "plain"))
    lines = [
        f"| {name} | {spread([3600 * first['trials'] / seconds for seconds in wall], 0)} |"
        for name, wall in {"`nas search`": mine, "plain NNI": theirs}.items()
    ]
    ratio = spread([other / own for own, other in zip(mine, theirs, strict=True)])
    return "\n".join([
        f"{versions}; {first['date']}, load {min(row['load'] for row in rows):.1f} to "
        f"{max(row['load'] for row in rows):.1f}, seed {first['seed']}, n = {len(mine)} experiments of each, of "
        f"{first['trials']} trials of {first['epochs']} epochs, {first['at once']} at once",
        "",
        "| | trials an hour |",
        "| --- | ---: |",
        *lines,
        f"| so many times as many | {ratio} |",
    ])  # fmt: skip


if __name__ == "__main__":
    run(ROWS, measure, report)
