"""What a stage of a virtual search took: times of the tuner, and what the world counted meanwhile."""

import statistics
from pathlib import Path
from typing import Any

import thinking
from virtual_costs import told
from virtual_nni import World

Row = dict[str, Any]


class Measures:
    """From its making on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._times: dict[str, list[float]] = {}
        self._sizes: list[int] = []
        self._thought = self._cpu = 0.0
        tally = world.tally
        self._idle = {part: list(found) for part, found in tally.idle.items()}
        self._lists, self._listing = tally.lists, tally.listing
        self._now, self._worked = world.clock.now, tally.worked(world.clock.now, world.live.values())

    def handled(self, kind: str, count: int, seconds: float, cpu: float) -> None:
        """The dispatcher handled a message, which asks for `count` proposals or is one of another kind."""
        self._times.setdefault(kind, []).append(seconds / count)
        self._thought += seconds
        self._cpu += cpu
        if kind == "ask":
            self._sizes.append(count)

    def row(self, journal: Path) -> Row:
        world, tally = self._world, self._world.tally
        now = world.clock.now
        idle = {
            part: round((found[0] - self._idle[part][0]) / max(1, found[1] - self._idle[part][1]), 4)
            for part, found in tally.idle.items()
        }
        worked = tally.worked(now, world.live.values()) - self._worked
        return {
            "virtual": round(now, 1), "end": round(tally.end, 1),
            "busy": round(worked / tally.workers / (now - self._now), 5),
            **tally.shares(),
            "idle": idle,
            "asks": len(self._sizes), "largest": max(self._sizes, default=0),
            "ms": {kind: _spread(values) for kind, values in self._times.items()},
            "thought": round(self._thought, 2), "cpu": round(self._cpu, 2),
            "lists": tally.lists - self._lists, "listing": round(tally.listing - self._listing, 1),
            "peak_mb": round(thinking.peak() / thinking.MEGA), "rss_mb": round(_rss() / thinking.MEGA),
            "journal_mb": round(journal.stat().st_size / thinking.MEGA, 1),
            "costs": told(world.costs),
        }  # fmt: skip


def _rss() -> int:
    """Bytes that this process holds now."""
    return thinking.psutil.Process().memory_info().rss


def _spread(seconds: list[float]) -> list[float]:
    """Milliseconds: median, ninth decile, most."""
    ordered = sorted(1e3 * value for value in seconds)
    return [
        round(v, 2) for v in (statistics.median(ordered), ordered[int(0.9 * (len(ordered) - 1))], ordered[-1])
    ]
