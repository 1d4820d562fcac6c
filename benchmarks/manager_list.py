"""What NNI's own manager takes to list its jobs: NNI 3.0's node, as `nnictl view` starts it, over a database of ours.

Called by `simulate.py manager`. The jobs have proposals of space `mnasnet`, and ended; nothing runs.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import nas
import nas.search  # before nni
from nas.search.manager import Manager
from nas.search.ports import free_port

SIZES = (1000, 10_000, 100_000)
ROUNDS = 3
TABLES = """
create table TrialJobEvent (timestamp integer, trialJobId text, event text, data text, logPath text, sequenceId integer,
    message text, environmentId text);
create index TrialJobEvent_trialJobId on TrialJobEvent(trialJobId);
create index TrialJobEvent_event on TrialJobEvent(event);
create table MetricData (timestamp integer, trialJobId text, parameterId text, type text, sequence integer, data text);
create index MetricData_trialJobId on MetricData(trialJobId);
create index MetricData_type on MetricData(type);
create table ExperimentProfile (params text, id text, execDuration integer, startTime integer, endTime integer,
    logDir text, nextSequenceId integer, revision integer);
create index ExperimentProfile_id on ExperimentProfile(id);
"""
"""NNI's own (nni_node/core/sqlDatabase.js)."""

Row = dict[str, Any]


def rows(work: Path) -> Iterator[Row]:
    """One for each size: seconds, of ROUNDS times each, to list all jobs, to tell of one, to tell the settings."""
    for size in SIZES:
        folder = work / "manager"
        shutil.rmtree(folder, ignore_errors=True)
        fill(folder / "simulated", size)
        port = free_port()
        process = start(folder, port)
        try:
            manager = Manager(port)
            wait(manager)
            row: Row = {"jobs": size, "list": [], "one": [], "settings": []}
            for _ in range(ROUNDS):
                for name, ask in (
                    ("list", lambda manager=manager: manager._text("GET", "/trial-jobs", patience=3600)),
                    (
                        "one",
                        lambda manager=manager, size=size: manager._text("GET", f"/trial-jobs/j{size // 2}"),
                    ),
                    ("settings", lambda manager=manager: manager._text("GET", "/experiment")),
                ):
                    began = time.perf_counter()
                    text = ask()
                    row[name].append(round(time.perf_counter() - began, 4))
                    if name == "list":
                        row["mb"] = round(len(text) / 2**20, 1)
                        began = time.perf_counter()
                        assert len(json.loads(text)) == size
                        row.setdefault("parsed", []).append(round(time.perf_counter() - began, 4))
            yield row
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)


def fill(folder: Path, size: int) -> None:
    """The folder of an experiment of so many jobs, each with three events and a result."""
    for name in ("db", "log", "checkpoint", "trials"):
        (folder / name).mkdir(parents=True)
    db = sqlite3.connect(folder / "db" / "nni.sqlite")
    db.executescript(TABLES)
    space, rng = nas.SearchSpace.load("mnasnet"), np.random.default_rng(0)
    for number in range(size):
        job = f"j{number}"
        run = {"space": space.name, "sha256": space.sha256, "number": number,
               "reward": {"form": "soft", "target": space.target, "w": -0.07}}  # fmt: skip
        packed = json.dumps({
            "parameter_id": number, "parameter_source": "algorithm", "parameter_index": 0,
            "parameters": {**space.sample(rng), "run": run},
        })  # fmt: skip
        for event, data in (("WAITING", packed), ("RUNNING", None), ("SUCCEEDED", None)):
            db.execute(
                "insert into TrialJobEvent values (?,?,?,?,?,?,?,?)",
                (number, job, event, data, "file://x", number, None, None),
            )
        value = json.dumps(
            json.dumps({"default": 0.5, "accuracy": 0.7, "macs": 1, "params": 1, "seconds": 1.5})
        )
        db.execute(
            "insert into MetricData values (?,?,?,?,?,?)", (number, job, str(number), "FINAL", 0, value)
        )
    service = {"platform": "local", "trialCommand": "true", "trialCodeDirectory": str(folder), "debug": False,
               "maxTrialNumberPerGpu": 1, "useActiveGpu": False, "reuseMode": False}  # fmt: skip
    params = {"searchSpace": {}, "trialCommand": "true", "trialCodeDirectory": str(folder), "trialConcurrency": 1,
              "maxTrialNumber": size, "useAnnotation": False, "debug": False, "logLevel": "info",
              "tuner": {"name": "Random"}, "trainingService": service}  # fmt: skip
    profile = (json.dumps(params), folder.name, 1, 1, None, str(folder.parent), size, 1)
    db.execute("insert into ExperimentProfile values (?,?,?,?,?,?,?,?)", profile)
    db.commit()
    db.close()


def start(
    folder: Path, port: int, action: str = "view", required: Path | None = None
) -> subprocess.Popen[bytes]:
    """NNI's manager over the experiment of a folder, listening on this machine alone; its node loads `required`."""
    import nni_node

    from nas.search.guard import at_home

    node = Path(nni_node.__path__[0])
    words = ["--port", port, "--experiment-id", "simulated", "--action", action, "--experiments-directory", folder,
             "--log-level", "info", "--python-interpreter", sys.executable, "--mode", "local"]  # fmt: skip
    loaded = [] if required is None else ["--require", str(required)]
    command = [str(node / "node"), "--max-old-space-size=4096", *loaded, "main.js", *map(str, words)]
    home = at_home({**os.environ, "HOME": str(folder)})
    return subprocess.Popen(command, cwd=node, env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait(manager: Manager) -> None:
    """Until it answers."""
    for left in range(300, -1, -1):
        try:
            manager.status()
            return
        except OSError:
            if not left:
                raise
            time.sleep(1)
