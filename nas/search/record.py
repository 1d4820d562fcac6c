"""What the events of a run's journal say, in memory.

>>> record = Record()
>>> record.apply({"event": "told", "number": 0, "state": "complete", "accuracy": 0.5, "reward": 0.5})
>>> record.best() is None                   # its proposal was lost, and may be written again
True
>>> record.apply({"event": "asked", "number": 0, "sample": {"a": 1}, "key": "a1"})
>>> record.best().accuracy
0.5
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import replace
from sys import intern
from typing import Any

from nas.search.trials import Trial, told_fields


class Record:
    """The state of a run, from its events one after the other.

    Attributes:
        run: what is searched.
        trials: by number.
        running: those of them that have no result.
        heard: the told lines of known proposals, in the order in which they came to be.
        jobs: number -> the NNI trial job whose process began it last.
        owners: the same by job.
        began_at: number -> when that was, ISO 8601.
        repeats: number -> the NNI trial jobs that ended without its result, and are repeated.
        repeated: how many these are in all.
        kills: number -> how many of them were killed.
        answers: NNI trial job -> the number, ended before, that its process was given.
        max_trials: how many trials there are to be, None where that is not known.
        exhausted: whether every network (within limits) was proposed.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Knows nothing (again)."""
        self.run: dict[str, Any] = {}
        self.trials: dict[int, Trial] = {}
        self.running: dict[int, Trial] = {}
        self.events: list[dict[str, Any]] = []
        self.heard: list[dict[str, Any]] = []
        self.jobs: dict[int, str] = {}
        self.owners: dict[str, int] = {}
        self.began_at: dict[int, str] = {}
        self.repeats: dict[int, list[str]] = {}
        self.repeated = 0
        self.kills: dict[int, int] = {}
        self.answers: dict[str, int] = {}
        self.max_trials: int | None = None
        self.exhausted = False
        self._nths: set[int] = set()
        self._results: list[dict[str, Any]] = []  # those heard, in the order of their nth
        self._next_number = self._next_nth = 0
        self._early: dict[int, dict[str, Any]] = {}  # results whose proposal is not there (yet)

    def apply(self, event: dict[str, Any]) -> None:
        """Takes note of an event.

        Raises:
            ValueError, KeyError, TypeError, OverflowError or AttributeError: where it is none.
        """
        kind = event["event"]
        if kind == "run":
            self.run = event
            self.max_trials = self.max_trials or event.get("max_trials")
        elif kind == "asked":
            number = int(event["number"])
            fields: dict[str, Any] = {k: event.get(k) for k in ("macs", "params", "latency", "job", "time")}
            event["sample"] = _shared(dict(event["sample"]))
            self.trials[number] = Trial(number, event["sample"], str(event["key"]), **fields)
            self.running[number] = self.trials[number]
            self._next_number = max(self._next_number, number + 1)
            if number in self._early:
                self._result(self._early.pop(number))
        elif kind == "told":
            self._result(event)
        elif kind == "began":
            number, job = int(event["number"]), str(event["job"])
            if self.owners.get(before := self.jobs.get(number, "")) == number:
                del self.owners[before]
            self.jobs[number], self.owners[job] = job, number
            self.began_at[number] = str(event.get("since") or event.get("time") or "")
        elif kind == "again":
            number = int(event["number"])
            self.repeats.setdefault(number, []).append(str(event["job"]))
            self.repeated += 1
            self.kills[number] = self.kills.get(number, 0) + bool(event.get("killed", True))
        elif kind == "answered":
            self.answers[str(event["job"])] = int(event["number"])
        elif kind == "trials":
            self.max_trials = int(event["trials"])
            self.exhausted = False
        elif kind == "exhausted":
            self.exhausted = True
        self.events.append(event)

    def _result(self, event: dict[str, Any]) -> None:
        number, fields = int(event["number"]), told_fields(event)
        event["nth"] = int(event.get("nth", len(self._nths)))  # older lines count themselves
        if number in self.trials:
            self.trials[number] = trial = replace(self.trials[number], **fields)
            if trial.state != "running":
                self.running.pop(number, None)
            self.heard.append(event)
            insort(self._results, event, key=lambda one: one["nth"])
        else:
            self._early[number] = event
            self._next_number = max(self._next_number, number + 1)
        self._nths.add(event["nth"])
        while self._next_nth in self._nths:
            self._next_nth += 1

    def results(self) -> Sequence[dict[str, Any]]:
        """The told lines of known proposals in the order of their `nth`, which need not be the file's."""
        return self._results

    @property
    def next_number(self) -> int:
        """The number of a new proposal; that of a lost one is not taken again."""
        return self._next_number

    def best(self) -> Trial | None:
        """The complete trial of highest reward, the earliest of equals; None before the first."""
        scored = [trial for trial in self.trials.values() if trial.scored]
        return max(scored, key=lambda t: (t.reward, -t.number), default=None)

    def ended(self) -> list[Trial]:
        """Trials with a result of whatever kind, in order of number."""
        return [t for t in sorted(self.trials.values(), key=lambda t: t.number) if t.state != "running"]

    @property
    def next_nth(self) -> int:
        """The place of a new result: that of a lost one where there is one."""
        return self._next_nth


def _shared(sample: dict[str, Any]) -> dict[str, Any]:
    """A sample whose labels and words are the same objects as all others': JSON makes new ones of each line, which
    would be half of what a journal takes in memory."""
    return {intern(label): intern(value) if type(value) is str else value for label, value in sample.items()}
