"""What is counted in a virtual world: for how long its workers ran trials, and where the rest of their time went."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from virtual_jobs import Flying
from weather import LOST

PARTS = ("seen", "proposed", "started", "begun")
"""Of the time between two trials of a worker: until the manager has seen the end of the first, until there is a
proposal, until the manager gets to it, until the second begins."""


@dataclass
class Tally:
    """Counts.

    Args:
        workers: how many there are.
        wanted: trials that were asked for at first; later ones are repeats.
        since: after so many trials were begun `steady` begins.

    Attributes:
        busy: seconds of trials whose end the manager has seen; those of them that were `lost`, without a result.
        end: when the last of them ended.
        marks: trials begun -> (when, seconds that workers had been busy until then), for `since` and `wanted`.
        idle: part of PARTS -> the sum of seconds, and of how many.
        lists, listing: how often the manager was asked for all jobs, and virtual seconds that it took to answer.
    """

    workers: int
    wanted: int
    since: int
    busy: float = 0.0
    lost: float = 0.0
    end: float = 0.0
    marks: dict[str, tuple[float, float]] = field(default_factory=dict)
    idle: dict[str, list[float]] = field(default_factory=lambda: {part: [0.0, 0] for part in PARTS})
    lists: int = 0
    listing: float = 0.0

    def begun(self, count: int, at: float, live: Iterable[Flying]) -> None:
        """The count-th trial was begun."""
        for name, number in (("since", self.since), ("wanted", self.wanted)):
            if count == number:
                self.marks[name] = at, self.worked(at, live)

    def ended(self, job: Flying) -> None:
        self.busy += job.ends - job.begins
        self.lost += (job.ends - job.begins) * (job.fate == LOST)
        self.end = max(self.end, job.ends)

    def waited(self, part: str, seconds: float) -> None:
        self.idle[part][0] += seconds
        self.idle[part][1] += 1

    def listed(self, seconds: float) -> None:
        self.lists, self.listing = self.lists + 1, self.listing + seconds

    def worked(self, at: float, live: Iterable[Flying]) -> float:
        """Seconds for which workers had run trials."""
        return self.busy + sum(max(0.0, min(at, job.ends) - job.begins) for job in live)

    def shares(self) -> dict[str, Any]:
        """Of their time for which workers were busy: `busy_work` while there was work for all, until the last of the
        trials that were asked for was begun; `busy_all` until the last result; `useful` without trials that were lost,
        until then; `steady` while there was work, without the first `since`, of `n` trials. None before the last of
        them is begun."""
        if "wanted" not in self.marks:
            return dict.fromkeys(("busy_work", "busy_all", "useful", "steady", "n"))
        last, busy = self.marks["wanted"]
        found: dict[str, Any] = {
            "busy_work": busy / last, "busy_all": self.busy / self.end if self.end else 0.0,
            "useful": (self.busy - self.lost) / self.end if self.end else 0.0,
        }  # fmt: skip
        first, before = self.marks.get("since", (last, busy))
        found["steady"] = (busy - before) / (last - first) if last > first else None
        shares = {name: None if s is None else round(s / self.workers, 5) for name, s in found.items()}
        return shares | {"n": max(0, self.wanted - self.since)}
