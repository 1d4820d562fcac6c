"""What the events of a run's journal say, in memory.

>>> record = Record()
>>> record.apply({"event": "told", "number": 0, "state": "complete", "accuracy": 0.5, "reward": 0.5})
>>> record.best() is None                   # its proposal was lost, and may be written again
True
>>> record.apply({"event": "asked", "number": 0, "sample": {"a": 1}, "key": "a1"})
>>> record.best().accuracy
0.5
"""

from dataclasses import replace
from typing import Any

from nas.search.trials import Trial, told_fields


class Record:
    """The state of a run, from its events one after the other.

    Attributes:
        run: what is searched.
        trials: by number.
        jobs: number -> the NNI trial job whose process began it last.
        began_at: number -> when that was, ISO 8601.
        repeats: number -> the NNI trial jobs that ended without its result, and are repeated.
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
        self.events: list[dict[str, Any]] = []
        self.jobs: dict[int, str] = {}
        self.began_at: dict[int, str] = {}
        self.repeats: dict[int, list[str]] = {}
        self.kills: dict[int, int] = {}
        self.answers: dict[str, int] = {}
        self.max_trials: int | None = None
        self.exhausted = False
        self._nths: set[int] = set()
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
            self.trials[number] = Trial(number, dict(event["sample"]), str(event["key"]), **fields)
            if number in self._early:
                self._result(self._early.pop(number))
        elif kind == "told":
            self._result(event)
        elif kind == "began":
            self.jobs[int(event["number"])] = str(event["job"])
            self.began_at[int(event["number"])] = str(event.get("since") or event.get("time") or "")
        elif kind == "again":
            number = int(event["number"])
            self.repeats.setdefault(number, []).append(str(event["job"]))
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
            self.trials[number] = replace(self.trials[number], **fields)
        else:
            self._early[number] = event
        self._nths.add(event["nth"])

    def results(self) -> list[dict[str, Any]]:
        """The told lines of known proposals in the order of their `nth`, which need not be the file's."""
        found = [e for e in self.events if e["event"] == "told" and int(e["number"]) in self.trials]
        return sorted(found, key=lambda event: event["nth"])

    @property
    def next_number(self) -> int:
        """The number of a new proposal; that of a lost one is not taken again."""
        return max([*self.trials, *self._early], default=-1) + 1

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
        return next(n for n in range(len(self._nths) + 1) if n not in self._nths)
