"""NNI's manager and its workers on a virtual clock, for `simulate.py`: the tuner, NNI's dispatcher, the journal and
the strategy are real, and what they take of real time passes on the clock, too.

What the manager does is what NNI 3.0 does (nnimanager.js): it looks at its jobs every POLL seconds, tells the
dispatcher which ended, asks it for as many proposals in one message, and starts what it was given by its look before;
workers begin what was started at a look of their own. Results are told when they are there. The REST interface answers
as NNI's does, in about the time that `manager_list.py` measures NNI to take.
"""

import contextlib
import heapq
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from virtual_jobs import Ended, Flying, name, told
from weather import attempt

from nas.search.manager import Manager

POLL = 5.0
"""Seconds between two looks of NNI's manager at its jobs (pollInterval), and of its service at what it is to start."""
PHASE = 2.5
"""Seconds by which the looks of the service are behind the manager's."""
LISTED, ONE, SETTINGS = 0.0001, 0.015, 0.003
"""Seconds that NNI takes to list its jobs, each; to tell of one; to tell the experiment's settings."""
PARTS = ("seen", "proposed", "started", "begun")
"""Of the time between two trials of a worker: until the manager sees the end of the first, until there is a proposal,
until the manager hands it to its service, until the second begins."""


@dataclass
class World:
    """Manager, workers and clock.

    Args:
        folder: of the file with the jobs that ended.
        params: NNI's configuration.
        seed, mean: of `attempt`.
        value: packed proposal and seconds -> what a trial reports.

    Attributes:
        now: virtual seconds since the start.
        messages: (time, number, kind, content) to the dispatcher, the earliest first.
        busy: seconds for which workers ran trials whose end the manager has seen.
        last, last_busy: until when there was work for all: when as many jobs were begun as trials were wanted at first,
            later ones being repeats; and busy seconds then.
        idle: part of `PARTS` -> the sum of seconds, and of how many.
        lists, listing: how often the manager was asked for all jobs, and virtual seconds that it took to answer.
        thought: real seconds of what was inside `thinking` last.
    """

    folder: Path
    params: dict[str, Any]
    seed: int
    mean: float
    value: Callable[[str, float], dict[str, Any]] = field(repr=False)
    now: float = 0.0
    tick: float = POLL
    live: dict[int, Flying] = field(default_factory=dict)
    waiting: list[tuple[float, str]] = field(default_factory=list)
    messages: list[tuple[float, int, str, Any]] = field(default_factory=list)
    sent: int = 0
    submitted: int = 0
    change: int = 0
    busy: float = 0.0
    last: float = 0.0
    last_busy: float = 0.0
    idle: dict[str, list[float]] = field(default_factory=lambda: {part: [0.0, 0] for part in PARTS})
    lists: int = 0
    listing: float = 0.0
    thought: float = 0.0
    _began: float | None = None
    _aside: float = 0.0

    def __post_init__(self) -> None:
        self.ended = Ended(self.folder / "jobs.jsonl")
        self.wanted = self.params["maxTrialNumber"]

    # The clock

    @contextlib.contextmanager
    def thinking(self) -> Iterator[None]:
        """What happens inside takes its time on the virtual clock, but for what is aside."""
        self._began, self._aside = time.perf_counter(), 0.0
        try:
            yield
        finally:
            self.thought = time.perf_counter() - self._began - self._aside
            self.now, self._began = self.clock(), None
            self.advance()

    def clock(self) -> float:
        """Virtual seconds, while the tuner thinks, too; instead of time.monotonic."""
        if self._began is None:
            return self.now
        return self.now + time.perf_counter() - self._began - self._aside

    def sleep(self, seconds: float) -> None:
        """Instead of time.sleep."""
        self.now += seconds

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Work of the simulation, which takes no time of its world."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._aside += time.perf_counter() - began

    # The manager

    def advance(self) -> None:
        """The manager's looks up to now."""
        while self.tick <= self.clock():
            self._look(self.tick)
            self.tick += POLL

    def send(self, when: float, kind: str, content: Any) -> None:
        heapq.heappush(self.messages, (when, self.sent, kind, content))
        self.sent += 1

    def next_message(self) -> tuple[float, str, Any]:
        """(time, kind, content) of the earliest message."""
        when, _, kind, content = heapq.heappop(self.messages)
        return when, kind, content

    def proposed(self, packed: str) -> None:
        """The dispatcher sent a proposal."""
        self.waiting.append((self.clock(), packed))

    def _look(self, at: float) -> None:
        ended = [job for job in self.live.values() if job.ends <= at]
        for job in ended:
            del self.live[job.id]
            self.busy += job.ends - job.begins
            self.idled("seen", at - job.ends)
            self.ended.add(job)
            end = {"trial_job_id": name(job.id), "event": job.fate, "hyper_params": job.packed}
            self.send(at, "end", end)
        wanted = self.change + len(ended)
        self.change = min(0, wanted)
        if self.submitted >= self.params["maxTrialNumber"]:
            return
        if wanted > 0:
            self.send(at, "ask", wanted)
        for _ in range(len(self.live), self.params["trialConcurrency"]):
            if self.full or not self.waiting or self.waiting[0][0] > at:
                break
            self._submit(at, *self.waiting.pop(0))

    @property
    def full(self) -> bool:
        """Whether all trials were begun."""
        return self.submitted >= self.params["maxTrialNumber"]

    def _submit(self, at: float, proposed: float, packed: str) -> None:
        seconds, fate = attempt(self.seed, self.submitted, self.mean)
        begins = at + PHASE
        job = Flying(self.submitted, packed, begins, begins + seconds, fate)
        if fate == "SUCCEEDED":
            job.final = json.dumps(json.dumps(self.value(packed, seconds)))
            content = {
                "parameter_id": json.loads(packed)["parameter_id"], "trial_job_id": name(job.id), "type": "FINAL",
                "sequence": 0, "value": json.loads(job.final),
            }  # fmt: skip
            self.send(job.ends, "result", content)
        self.live[job.id] = job
        self.submitted += 1
        if self.submitted <= self.wanted:
            self.last, self.last_busy = begins, self.worked(begins)
        self.idled("started", at - proposed)
        self.idled("begun", PHASE)

    def idled(self, part: str, seconds: float) -> None:
        self.idle[part][0] += seconds
        self.idle[part][1] += 1

    def worked(self, at: float) -> float:
        """Seconds for which workers had run trials."""
        return self.busy + sum(max(0.0, min(at, job.ends) - job.begins) for job in self.live.values())

    @property
    def over(self) -> bool:
        return self.full and not self.live and not self.messages

    # Its REST interface

    def answer(self, method: str, path: str, body: Any) -> str:
        """The text of an answer; NNI's time for it passes on the clock."""
        with self.aside():
            self.advance()
            path, _, query = path.partition("?")
            _, kind, *rest = path.split("/")
            if kind == "trial-jobs":
                return self._one(int(rest[0][1:])) if rest else self._list()
            if kind == "trial-file":
                return "Traceback (most recent call last):\n  ...\nRuntimeError: CUDA error: out of memory\n"
            assert kind == "experiment", path
            self.now += SETTINGS
            if method == "PUT":
                change = query.partition("=")[2]
                key = {"MAX_TRIAL_NUM": "maxTrialNumber", "TRIAL_CONCURRENCY": "trialConcurrency"}[change]
                if key == "trialConcurrency":
                    self.change += body["params"][key] - self.params[key]
                self.params[key] = body["params"][key]
            return json.dumps({"id": "simulated", "params": self.params})

    def _list(self) -> str:
        took = LISTED * self.submitted
        self.lists, self.listing, self.now = self.lists + 1, self.listing + took, self.now + took
        return f"[{','.join([*self.ended.lines(), *map(told, self.live.values())])}]"

    def _one(self, job: int) -> str:
        self.now += ONE
        return told(self.live[job]) if job in self.live else self.ended.text(job)

    # Its state

    def state(self) -> dict[str, Any]:
        """All of it, for `restore`."""
        kept = {
            key: value for key, value in vars(self).items() if key not in ("folder", "value", "live", "ended")
        }
        return {
            **kept,
            "live": [asdict(job) for job in self.live.values()],
            "places": list(self.ended.places.items()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        vars(self).update({key: value for key, value in state.items() if key not in ("live", "places")})
        self.messages = [(when, number, kind, content) for when, number, kind, content in self.messages]
        self.live = {job["id"]: Flying(**job) for job in state["live"]}
        self.ended = Ended(
            self.folder / "jobs.jsonl", {job: (offset, size) for job, (offset, size) in state["places"]}
        )


@dataclass(frozen=True)
class VirtualManager(Manager):
    """The real client of the manager, with the world at the other end of its line."""

    world: World | None = None

    def _text(self, method: str, path: str, body: Any = None, patience: float = 0) -> str:
        assert self.world is not None
        return self.world.answer(method, path, body)
