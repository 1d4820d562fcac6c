"""NNI's manager and its workers on a virtual clock, for `simulate.py`: the tuner, NNI's dispatcher, the journal and
the strategy are real, and what they take of real time passes on the clock, too.

What the manager does is what NNI 3.0 does (`manageTrials` in nnimanager.js) with its services `remote` and `local`. It
looks which of its jobs ended, stores that and tells the dispatcher, one after the other; asks it for as many proposals
in one message; and starts what there are of proposals for free workers, one after the other: its service makes the
process on the host, and the manager stores that. What the dispatcher sends meanwhile is started, too. Then it rests for
POLL seconds. What each of these takes is in `virtual_costs.py`. Results are told when they are there. The REST
interface answers as NNI's does, in the time that NNI was measured to take; a list of all jobs stops the loop for as
long.
"""

import heapq
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from virtual_clock import Clock
from virtual_costs import Costs
from virtual_jobs import Ended, Flying, name, told
from virtual_tally import Tally
from weather import attempt

from nas.search.manager import Manager

POLL = 0.5
"""Seconds for which NNI's manager rests between two looks: its pollInterval for these services."""
STDERR = "Traceback (most recent call last):\n  ...\nRuntimeError: CUDA error: out of memory\n"


@dataclass
class World:
    """Manager, workers and clock.

    Args:
        folder: of the file with the jobs that ended.
        params: NNI's configuration.
        seed, mean: of `attempt`.
        value: packed proposal and seconds -> what a trial reports.
        costs: of the manager.
        since: of `Tally`.

    Attributes:
        tick, step: when the manager's next step is due, and which it is: "look", "ask" or "start".
        messages: (time, number, kind, content) to the dispatcher, the earliest first.
        waiting: (time, packed) proposals that no job was made of yet.
    """

    folder: Path
    params: dict[str, Any]
    seed: int
    mean: float
    value: Callable[[str, float], dict[str, Any]] = field(repr=False)
    costs: Costs
    since: int = 0
    clock: Clock = field(default_factory=Clock)
    tick: float = 0.0
    step: str = "look"
    live: dict[int, Flying] = field(default_factory=dict)
    waiting: list[tuple[float, str]] = field(default_factory=list)
    messages: list[tuple[float, int, str, Any]] = field(default_factory=list)
    sent: int = 0
    submitted: int = 0
    change: int = 0
    finished: int = 0
    free: int = 0
    tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        self.ended = Ended(self.folder / "jobs.jsonl")
        self.tally = Tally(self.params["trialConcurrency"], self.params["maxTrialNumber"], self.since)
        self._ends: list[tuple[float, int]] = []

    @contextmanager
    def thinking(self) -> Iterator[None]:
        """What happens inside takes its time, in which the manager goes on."""
        with self.clock.thinking():
            yield
        self.advance()

    # The manager

    def advance(self) -> None:
        """The manager's steps up to now."""
        now = self.clock.time()
        while self.tick <= now:
            {"look": self._look, "ask": self._ask, "start": self._start}[self.step](self.tick)

    def send(self, when: float, kind: str, content: Any) -> None:
        heapq.heappush(self.messages, (when, self.sent, kind, content))
        self.sent += 1

    def next_message(self) -> tuple[float, str, Any]:
        """(time, kind, content) of the earliest message."""
        when, _, kind, content = heapq.heappop(self.messages)
        return when, kind, content

    def proposed(self, packed: str) -> None:
        """The dispatcher sent a proposal."""
        self.waiting.append((self.clock.time(), packed))

    def _look(self, at: float) -> None:
        """Goes through the jobs in the order of their begin; one that ends meanwhile is seen if its turn is to come."""
        ready: list[int] = []
        passed: list[tuple[float, int]] = []
        last, self.finished = -1, 0
        while True:
            while self._ends and self._ends[0][0] <= at:
                ends, job = heapq.heappop(self._ends)
                if job > last:
                    heapq.heappush(ready, job)
                else:
                    passed.append((ends, job))
            if not ready:
                break
            last = heapq.heappop(ready)
            at += self.costs.seen
            self._seen(self.live.pop(last), at)
            self.finished += 1
        for one in passed:
            heapq.heappush(self._ends, one)
        self.tick, self.step = at, "ask"

    def _seen(self, job: Flying, at: float) -> None:
        self.tally.ended(job)
        self.tally.waited("seen", at - job.ends)
        self.ended.add(job)
        end = {"trial_job_id": name(job.id), "event": job.fate, "hyper_params": job.packed}
        self.send(at, "end", end)

    def _ask(self, at: float) -> None:
        wanted = self.change + self.finished
        self.change = min(0, wanted)
        if wanted > 0 and not self.full:
            self.send(at, "ask", wanted)
        self.free = self.params["trialConcurrency"] - len(self.live)
        self._start(at)

    def _start(self, at: float) -> None:
        if self.free <= 0 or self.full or not self.waiting or self.waiting[0][0] > at:
            self.tick, self.step = at + POLL, "look"
            return
        self.free -= 1
        proposed, packed = self.waiting.pop(0)
        begins = at + self.costs.submit
        self._begin(begins, packed)
        self.tally.waited("started", at - proposed)
        self.tally.waited("begun", self.costs.submit)
        self.tick, self.step = begins + self.costs.stored, "start"

    @property
    def full(self) -> bool:
        """Whether all trials were begun."""
        return self.submitted >= self.params["maxTrialNumber"]

    @property
    def over(self) -> bool:
        return self.full and not self.live and not self.messages

    def _begin(self, begins: float, packed: str) -> None:
        seconds, fate = attempt(self.seed, self.submitted, self.mean)
        job = Flying(self.submitted, packed, begins, begins + seconds, fate)
        if fate == "SUCCEEDED":
            job.final = json.dumps(json.dumps(self.value(packed, seconds)))
            content = {
                "parameter_id": json.loads(packed)["parameter_id"], "trial_job_id": name(job.id), "type": "FINAL",
                "sequence": 0, "value": json.loads(job.final),
            }  # fmt: skip
            self.send(job.ends, "result", content)
        self.live[job.id] = job
        heapq.heappush(self._ends, (job.ends, job.id))
        self.submitted += 1
        self.tally.begun(self.submitted, begins, self.live.values())

    # Its REST interface

    def answer(self, method: str, path: str, body: Any) -> str:
        """The text of an answer; NNI's time for it passes on the clock."""
        with self.clock.aside():
            self.advance()
            path, _, query = path.partition("?")
            _, kind, *rest = path.split("/")
            if kind == "trial-jobs":
                return self._one(int(rest[0][1:])) if rest else self._list()
            if kind == "trial-file":
                self.clock.pass_(self.costs.fetch)
                return STDERR
            assert kind == "experiment", path
            self.clock.pass_(self.costs.settings)
            if method == "PUT":
                self.clock.pass_(self.costs.profile)
                change = query.partition("=")[2]
                key = {"MAX_TRIAL_NUM": "maxTrialNumber", "TRIAL_CONCURRENCY": "trialConcurrency"}[change]
                if key == "trialConcurrency":
                    self.change += body["params"][key] - self.params[key]
                self.params[key] = body["params"][key]
            return json.dumps({"id": "simulated", "params": self.params})

    def _list(self) -> str:
        took = self.costs.list_of(self.submitted)
        self.tally.listed(took)
        self.clock.pass_(took)
        self.tick = max(self.tick, self.clock.time())
        return self.ended.listed(self.live.values())

    def _one(self, job: int) -> str:
        self.clock.pass_(self.costs.one_of(self.submitted))
        return told(self.live[job]) if job in self.live else self.ended.text(job)

    # Its state

    KEPT = (
        "params", "tick", "step", "waiting", "messages", "sent", "submitted", "change", "finished", "free",
    )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """All that changes, for `restore`."""
        return {
            **{key: getattr(self, key) for key in self.KEPT},
            "now": self.clock.now,
            "tally": asdict(self.tally),
            "live": [asdict(job) for job in self.live.values()],
            "places": list(self.ended.places),
        }

    def restore(self, state: dict[str, Any]) -> None:
        vars(self).update({key: state[key] for key in self.KEPT})
        self.messages = [(when, number, kind, content) for when, number, kind, content in self.messages]
        self.clock.now = state["now"]
        self.tally = Tally(**state["tally"])
        self.live = {job["id"]: Flying(**job) for job in state["live"]}
        self._ends = sorted((job.ends, job.id) for job in self.live.values())
        self.ended = Ended(self.folder / "jobs.jsonl", state["places"])


@dataclass(frozen=True)
class VirtualManager(Manager):
    """The real client of the manager, with the world at the other end of its line."""

    world: World | None = None

    def _text(self, method: str, path: str, body: Any = None, patience: float = 0) -> str:
        assert self.world is not None
        return self.world.answer(method, path, body)
