"""What a search cost: trials and seconds, of its pilot and of its winner's certificate, too.

>>> duration(59.4), duration(754), duration(8040), duration(400_000)
('59 s', '13 min', '2.2 h', '4.6 days')
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.search.certificate_file import Certificate
from nas.search.journal import FILE, STATES, Journal, Trial


@dataclass(frozen=True)
class Spent:
    """Of some trainings; seconds of computing are summed, and None where not every one says."""

    what: str
    trainings: int | None
    compute: float | None
    wall: float | None = None
    whole: bool = True


def duration(seconds: float) -> str:
    """In two digits, or whole."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            value = seconds / size
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"


def costs(journal: Journal, pilot: Path | None, certificate: Certificate | None) -> list[str]:
    """The table in Markdown.

    Args:
        pilot: calibration.json of the run's space and data; None where there is none.
    """
    trials = journal.ended()
    search = _sum("the search", trials, _span(journal.events))
    rows = [search]
    states = [state for state in STATES if any(trial.state == state for trial in trials)]
    if len(states) > 1:
        rows += [
            _sum(f"of it {state}", [trial for trial in trials if trial.state == state]) for state in states
        ]
    totals = [search]
    if pilot is not None:
        totals.append(_pilot(pilot.with_name(FILE)))
    if certificate is not None:
        seconds = certificate.seconds
        totals += [
            *_random(certificate),
            Spent("certificate: finalists", sum(len(one.val) + len(one.larger) for one in certificate.finalists),
                  seconds.finalists),
            Spent("certificate: judged", sum(len(one.test) for one in certificate.judged), seconds.judged),
        ]  # fmt: skip
    rows += totals[1:]
    compute = [one.compute for one in totals if one.compute is not None]
    whole = all(one.whole and one.compute is not None for one in totals)
    trainings = [one.trainings for one in totals if one.trainings is not None]
    if len(totals) > 1:
        rows.append(Spent("**in all**", sum(trainings), sum(compute), whole=whole))
    lines = ["| | trainings | computing | from first to last |", "| --- | ---: | ---: | ---: |"]
    for one in rows:
        compute_words = "-" if one.compute is None else ("" if one.whole else "over ") + duration(one.compute)
        lines.append(
            f"| {one.what} | {'-' if one.trainings is None else one.trainings} | {compute_words} | "
            f"{'-' if one.wall is None else duration(one.wall)} |"
        )
    return [*lines, ""]


def _random(certificate: Certificate) -> list[Spent]:
    """The random search, but for one that was there before: `nas certify --random`."""
    random = certificate.random
    if random.run is not None:
        return []
    return [Spent("certificate: random search", random.networks, certificate.seconds.random)]


def _sum(what: str, trials: Iterable[Trial], wall: float | None = None) -> Spent:
    """Of trials; those that trained nothing, duplicates and rejected ones, need not say."""
    trials = list(trials)
    said = [trial.seconds for trial in trials if trial.seconds is not None]
    silent = any(
        trial.seconds is None and trial.state not in ("rejected", "duplicate", "running") for trial in trials
    )
    idle = all(trial.state in ("rejected", "duplicate") for trial in trials)
    return Spent(what, len(trials), sum(said) if said or idle else None, wall, not silent)


def _pilot(path: Path) -> Spent:
    journal = Journal(path)
    try:
        journal.refresh()
    except NasError:
        return Spent("the pilot", None, None)
    if not journal.run:
        return Spent("the pilot", None, None)
    return _sum("the pilot", journal.ended(), _span(journal.events))


def _span(events: Iterable[dict[str, Any]]) -> float | None:
    """Seconds from the run's event to the last result; what lay between sessions is in them."""
    times = [_time(event.get("time")) for event in events if event.get("event") in ("run", "told")]
    known = [time for time in times if time is not None]
    return known[-1] - known[0] if len(known) > 1 else None


def _time(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
