"""What NNI's own manager takes to start a trial and to see its end: NNI 3.0's node with trials of a second here.

Called by `simulate.py manager`. NNI's loop waits for each of these in turn: at the start of a trial for its service,
which makes a folder and a process, and for two lines in its database, at the end for one. `manager_times.cjs` measures
them inside of the node. The trials are processes of this machine: hosts would take over that part, for a message there
and back instead.
"""

import contextlib
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

TRIALS, AT_A_TIME = 400, 16
SLEEP = 1.0
"""Seconds of a trial."""
PATIENCE = 600
"""Seconds for all."""

Row = dict[str, Any]


def report() -> None:
    """A trial: takes its proposal, sleeps, tells a result; without NNI's package, which takes seconds to load."""
    job, url = os.environ["NNI_TRIAL_JOB_ID"], urllib.parse.urlsplit(os.environ["NNI_TRIAL_COMMAND_CHANNEL"])
    line = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)

    def call(method: str, body: Any = None) -> tuple[int, bytes]:
        text, head = (None, {}) if body is None else (json.dumps(body), {"Content-Type": "application/json"})
        line.request(method, url.path, text, head)
        answer = line.getresponse()
        return answer.status, answer.read()

    call("PUT", {"type": "request_parameter"})
    status, text = call("GET")
    while status == http.client.REQUEST_TIMEOUT:
        status, text = call("GET")
    parameter = json.loads(json.loads(text)["parameter"])
    time.sleep(SLEEP)
    value = {"default": 0.5, "accuracy": 0.7, "macs": 1, "params": 1, "seconds": SLEEP}
    metric = {
        "parameter_id": parameter["parameter_id"], "trial_job_id": job, "type": "FINAL", "sequence": 0,
        "value": json.dumps(value),
    }  # fmt: skip
    call("PUT", {"type": "metric", "metric": json.dumps(metric)})


def row(work: Path) -> Row:
    """Seconds of what the loop waits for: medians and means of all trials but the first AT_A_TIME."""
    import manager_list

    import nas
    import nas.search  # before nni
    from nas.search.manager import Manager
    from nas.search.ports import free_port

    folder = work / "submit"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    times, port = folder / "times.jsonl", free_port()
    here, space = Path(__file__).parent, nas.SearchSpace.load("mnasnet")
    service = {"platform": "local", "trialCommand": f"{sys.executable} -S {Path(__file__).name}",
               "trialCodeDirectory": str(here), "debug": False, "maxTrialNumberPerGpu": 1, "useActiveGpu": False,
               "reuseMode": False}  # fmt: skip
    config = {
        "searchSpace": space.document.model_dump(mode="json", exclude_defaults=True),
        "trialCommand": service["trialCommand"], "trialCodeDirectory": str(here), "trialConcurrency": AT_A_TIME,
        "maxTrialNumber": TRIALS, "useAnnotation": False, "debug": False, "logLevel": "info",
        "experimentWorkingDirectory": str(folder), "trainingService": service,
        "tuner": {"codeDirectory": str(here), "className": "plain_tuner.PlainTuner", "classArgs": {}},
    }  # fmt: skip
    os.environ["B0NAS_TIMES"] = str(times)
    process = manager_list.start(folder, port, action="create", required=here / "manager_times.cjs")
    try:
        manager = Manager(port)
        manager_list.wait(manager)
        manager._text("POST", "/experiment", config)
        until = time.monotonic() + PATIENCE
        while (status := manager.status())[0] not in ("DONE", "ERROR") and time.monotonic() < until:
            time.sleep(2)
        assert status[0] == "DONE", status
        time.sleep(2)  # the last lines
        jobs = manager.jobs()
        failed = [job.id for job in jobs if job.final is None]
        assert (len(jobs), failed) == (TRIALS, []), (len(jobs), failed[:3])
        with contextlib.suppress(OSError):
            urllib.request.urlopen(urllib.request.Request(
                f"http://127.0.0.1:{port}/api/v1/nni/experiment", method="DELETE"), timeout=30)  # fmt: skip
        return summary([json.loads(line) for line in times.read_text().splitlines()])
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def summary(calls: list[Row]) -> Row:
    """A row of the calls that `manager_times.cjs` wrote, in order of their end."""
    submitted = [call for call in calls if call["name"] == "submitTrialJob"]
    first = submitted[AT_A_TIME]["began"]
    later = [call for call in calls if call["began"] >= first]

    def took(name: str, *events: str) -> list[float]:
        return [
            call["took"] / 1000
            for call in later
            if call["name"] == name and (not events or call["event"] in events)
        ]

    parts = {
        "submit": took("submitTrialJob"),
        "profile": took("storeExperimentProfile"),
        "begun": took("storeTrialJobEvent", "WAITING", "RUNNING"),
        "ended": took("storeTrialJobEvent", "SUCCEEDED", "FAILED", "USER_CANCELED"),
        "metric": took("storeMetricData"),
    }
    looks = [call for call in later if call["name"] == "requestTrialJobsStatus"]
    return {
        "trials": len(submitted), "concurrency": AT_A_TIME, "nni": "3.0",
        "mean": {name: round(statistics.mean(found), 6) for name, found in parts.items()},
        "median": {name: round(statistics.median(found), 6) for name, found in parts.items()},
        "n": {name: len(found) for name, found in parts.items()},
        "empty_look": round(statistics.median(c["took"] / 1000 for c in looks if not c["count"]), 6),
    }  # fmt: skip


if __name__ == "__main__":
    report()
