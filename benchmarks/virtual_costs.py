"""What NNI's manager takes for what it does, of the rows of `simulate.py manager`: NNI itself was measured."""

import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np
import scale_rows

ROUND_TRIP = 0.001
"""Assumed: seconds for a message to a host and back, by which a trial begins there."""
FETCH = 0.25
"""Assumed: seconds to fetch a trial's stderr from a host: NNI asks for three files by SFTP, one after the other, each
in about five messages there and back, and its stdout may be long."""


@dataclass(frozen=True)
class Costs:
    """Seconds.

    Attributes:
        jobs: numbers of jobs, ascending, for which the next three are; between, they are on straight lines.
        listed: to list all of so many.
        one: to tell of one of so many.
        settings: to tell the experiment's settings.
        submit: to have a trial begun by its service.
        stored: to store, afterwards, that it was.
        profile: of that, to store the experiment's profile, which a change of its settings takes, too.
        seen: to store that a trial ended.
        fetch: to fetch a trial's stderr.
    """

    jobs: tuple[int, ...]
    listed: tuple[float, ...]
    one: tuple[float, ...]
    settings: float
    submit: float
    stored: float
    profile: float
    seen: float
    fetch: float = FETCH

    def list_of(self, jobs: int) -> float:
        """Of as many or fewer jobs than were measured at least: in proportion."""
        return float(np.interp(jobs, (0, *self.jobs), (0.0, *self.listed)))

    def one_of(self, jobs: int) -> float:
        return float(np.interp(jobs, self.jobs, self.one))


def measured() -> Costs:
    """Of the rows.

    Raises:
        SystemExit: where there are none.
    """
    lists = {row["jobs"]: row for row in scale_rows.read("manager")}
    starts = scale_rows.read("manager.submit")
    if not lists or not starts:
        raise SystemExit(
            f"{scale_rows.RESULTS} has no rows of NNI's own manager, from which this takes how long it takes; "
            "first run: simulate.py manager --work DIR"
        )
    jobs, mean = tuple(sorted(lists)), starts[-1]["mean"]

    def medians(name: str) -> tuple[float, ...]:
        return tuple(statistics.median(lists[size][name]) for size in jobs)

    return Costs(
        jobs, medians("list"), medians("one"), max(medians("settings")), mean["submit"] + ROUND_TRIP,
        mean["profile"] + mean["begun"], mean["profile"], mean["ended"],
    )  # fmt: skip


def told(costs: Costs) -> dict[str, Any]:
    """What a row says of them."""
    names = ("submit", "stored", "seen", "fetch")
    return {name: round(getattr(costs, name), 4) for name in names}
