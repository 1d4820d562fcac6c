"""NNI's manager over its REST interface: what the tuner and `nas search` ask of it.

The port has no authentication; b0nas speaks to it on this machine only.
"""

import http.client
import json
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PATIENCE, LONG = 10, 600
"""Seconds in which an answer has to come, and a list of all jobs, which takes NNI the longer the more there are."""


@dataclass(frozen=True)
class Job:
    """One of NNI's trial jobs.

    Attributes:
        parameters: what NNI holds for its proposal; another trial that began at the same moment may have got it.
        final: (parameter id, value) of the final result, of a job that SUCCEEDED with one.
        seconds: from its start to its end, None before.
        ended: when it ended, in seconds since 1970.
    """

    id: str
    status: str
    parameters: list[dict[str, Any]]
    final: tuple[Any, Any] | None = None
    seconds: float | None = None
    ended: float | None = None

    @property
    def lives(self) -> bool:
        """Whether it runs or will."""
        return self.status in ("WAITING", "RUNNING", "UNKNOWN")


@dataclass(frozen=True)
class Manager:
    """The manager that listens on `port` of this machine.

    Every method raises OSError where the manager does not answer.
    """

    port: int
    prefix: str = ""

    @classmethod
    def of_channel(cls, url: str) -> "Manager":
        """From the tuner's command channel, such as 'ws://localhost:8080/tuner'."""
        parts = urlsplit(url)
        return cls(parts.port or 80, parts.path.removesuffix("/tuner").strip("/"))

    def get(self, path: str, patience: float = PATIENCE) -> Any:
        return self._call("GET", path, patience=patience)

    def put(self, path: str, body: Any) -> Any:
        return self._call("PUT", path, body)

    def stderr(self, job: str) -> str:
        """What a trial job has written to stderr, wherever it runs."""
        return self._text("GET", f"/trial-file/{job}/stderr")

    def _call(self, method: str, path: str, body: Any = None, patience: float = PATIENCE) -> Any:
        text = self._text(method, path, body, patience)
        return json.loads(text) if text.strip() else None

    def _text(self, method: str, path: str, body: Any = None, patience: float = PATIENCE) -> str:
        prefix = f"/{self.prefix}" if self.prefix else ""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{prefix}/api/v1/nni{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=patience) as response:
                return response.read().decode()
        except http.client.HTTPException as error:  # it ended in the middle of its answer
            raise ConnectionError(f"{type(error).__name__}: {error}") from None

    def status(self) -> tuple[str, list[str]]:
        """(status such as 'RUNNING', 'DONE' or 'ERROR', errors)."""
        answer = self.get("/check-status")
        return str(answer["status"]), [str(error) for error in answer.get("errors", [])]

    def profile(self) -> dict[str, Any]:
        """The experiment's profile; `params` is its configuration."""
        return self.get("/experiment")

    def jobs(self) -> list[Job]:
        """Every trial job, finished ones included."""
        return [_job(job) for job in self.get("/trial-jobs", LONG) or []]

    def job(self, job: str) -> Job:
        """One trial job."""
        return _job(self.get(f"/trial-jobs/{job}"))

    def last_intermediate(self, job: str) -> float | None:
        """The last intermediate result that a trial job reported."""
        metrics = [m for m in self.get(f"/metric-data/{job}") or [] if m["type"] == "PERIODICAL"]
        if not metrics:
            return None
        value = _unpacked(max(metrics, key=lambda m: m["sequence"])["data"])
        return float(value["default"] if isinstance(value, dict) else value)

    def set_trials(self, trials: int) -> None:
        """Changes maxTrialNumber: higher goes on; reached already, the experiment is DONE."""
        profile = self.profile()
        profile["params"]["maxTrialNumber"] = trials
        self.put("/experiment?update_type=MAX_TRIAL_NUM", profile)

    def set_concurrency(self, trials: int) -> None:
        """Changes trialConcurrency; each one more is one more proposal that NNI asks for."""
        profile = self.profile()
        profile["params"]["trialConcurrency"] = trials
        self.put("/experiment?update_type=TRIAL_CONCURRENCY", profile)


def _job(job: dict[str, Any]) -> Job:
    begin, end = job.get("startTime"), job.get("endTime")
    return Job(
        job["trialJobId"], job["status"], [json.loads(packed) for packed in job.get("hyperParameters") or []],
        _final(job), (end - begin) / 1000 if begin and end else None, end / 1000 if end else None,
    )  # fmt: skip


def _final(job: dict[str, Any]) -> tuple[Any, Any] | None:
    metrics = job.get("finalMetricData") or []
    return (metrics[-1].get("parameterId"), _unpacked(metrics[-1]["data"])) if metrics else None


def _unpacked(data: str) -> Any:
    """A trial's number: NNI packs it as JSON, once or twice."""
    value = json.loads(data)
    return json.loads(value) if isinstance(value, str) else value
