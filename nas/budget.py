"""What a search costs on this machine: a cheap and a dear network timed, and the trials that hours buy.

>>> costs = Costs((1e6, 5e6), (Timed(2, 0.01, 100, 0.0, 0), Timed(2, 0.03, 100, 0.0, 0)), macs=2e6, concurrency=2)
>>> costs.trial(epochs=4), costs.trials(hours=1, epochs=4)
(8.0, 900)
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import NasError
from nas.search.timing import Timed
from nas.space import SearchSpace

PATIENCE = 240.0
"""Seconds in which a process begins, reads the images and trains a few batches, however slow the machine."""
LEAST_TRIALS = 20
"""Trials below which a search is not begun: fewer tell little that random networks would not."""
GOOD_TRIALS = 60
"""Trials from which more epochs are the better use of time."""
EPOCHS = (16, 12, 8, 5, 3, 2, 1)
"""Lengths of a trial that are considered, the longest first."""
USUAL_EPOCHS = 8
TELLING = 3
"""Epochs below which more trials are not worth it."""


@dataclass(frozen=True)
class Costs:
    """Times of two networks.

    Attributes:
        ends: multiply-adds of the cheap and of the dear one.
        timed: the same two.
        macs: mean multiply-adds of random networks of the space.
        concurrency: trials at a time, at which they were timed.
    """

    ends: tuple[float, float]
    timed: tuple[Timed, Timed]
    macs: float
    concurrency: int

    def trial(self, epochs: int) -> float:
        """Seconds of the average trial: between the two in proportion to multiply-adds."""
        low, high = (timed.trial(epochs) for timed in self.timed)
        span = self.ends[1] - self.ends[0]
        part = 0.5 if span <= 0 else min(1.0, max(0.0, (self.macs - self.ends[0]) / span))
        return low + part * (high - low)

    def trials(self, hours: float, epochs: int) -> int:
        """Trials that so many hours buy."""
        return int(hours * 3600 * self.concurrency / self.trial(epochs))

    def hours(self, trials: int, epochs: int) -> float:
        """Hours that so many trials take."""
        return trials * self.trial(epochs) / self.concurrency / 3600


def measured(
    space: SearchSpace,
    path: Path,
    data: str,
    options: dict[str, Any],
    concurrency: int,
    seconds: float = 10.0,
    patience: float = PATIENCE,
) -> Costs:
    """Times a cheap and a dear network of a space (the 5th and the 95th hundredth of random ones by multiply-adds),
    at once where trials will run at once.

    Raises:
        NasError: where a trial cannot run, with its own words, or takes more than `patience` seconds for a few batches.
    """
    rng = np.random.default_rng(0)
    samples = [space.sample(rng) for _ in range(400)]
    macs = np.array([space.decode(sample).macs for sample in samples])
    order = np.argsort(macs, kind="stable")
    ends = [int(order[round(part * (len(order) - 1))]) for part in (0.05, 0.95)]
    work = {"data": data, "space": str(path), "seconds": seconds, **options}
    runs = [work | {"sample": samples[ends[number % 2]]} for number in range(max(2, concurrency))]
    found: list[list[Timed]] = [[], []]
    step = max(1, concurrency)
    for first in range(0, len(runs), step):
        for number, timed in enumerate(_at_once(runs[first : first + step], patience), first):
            found[number % 2].append(timed)
    low, high = (_mean(timed) for timed in found)
    return Costs((float(macs[ends[0]]), float(macs[ends[1]])), (low, high), float(macs.mean()), step)


def _at_once(runs: list[dict[str, Any]], patience: float) -> list[Timed]:
    command = [sys.executable, "-m", "nas.search.timing"]
    started = [
        subprocess.Popen(
            [*command, json.dumps(run | {"began": time.time()})],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for run in runs
    ]  # fmt: skip
    found, end = [], time.monotonic() + patience
    try:
        for process in started:
            try:
                out, words = process.communicate(timeout=max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise NasError(
                    f"a trial does not get through four batches in {patience:.0f} s here: no hours buy a search of "
                    "networks so dear; give fewer --macs, a smaller --resolution, or a faster --device"
                ) from None
            if process.returncode != 0:
                lines = [line for line in words.splitlines() if line.strip()]
                raise NasError(f"a trial cannot run here: {lines[-1] if lines else 'its process was killed'}")
            found.append(Timed(**json.loads(out.splitlines()[-1])))
    finally:
        for process in started:
            process.kill()
            with process:  # closes its pipes, and waits for its end
                pass
    return found


def _mean(timed: list[Timed]) -> Timed:
    return Timed(
        start=float(np.mean([one.start for one in timed])),
        step=float(np.mean([one.step for one in timed])),
        steps=timed[0].steps,
        image=float(np.mean([one.image for one in timed])),
        images=timed[0].images,
    )


def chosen(costs: Costs, hours: float | None, epochs: int | None, target: int) -> tuple[int, int]:
    """(epochs, trials) of a search: as asked for, else the longest trials of which the hours buy enough.

    Raises:
        NasError: where they buy fewer than `LEAST_TRIALS`, with what would do.
    """
    if hours is None:
        return epochs or USUAL_EPOCHS, 100
    lengths = EPOCHS if epochs is None else (epochs,)
    for least, shortest in ((GOOD_TRIALS, TELLING), (LEAST_TRIALS, 1)):
        for length in lengths:
            if length < shortest and epochs is None:
                continue
            if costs.trials(hours, length) >= least:
                return length, min(costs.trials(hours, length), 10_000)
    length = lengths[-1]
    shorter = [n for n in EPOCHS if n < length and costs.trials(hours, n) >= LEAST_TRIALS]
    overhead = costs.timed[0].start / costs.concurrency * LEAST_TRIALS / 3600
    advice = [f"--hours {1.02 * costs.hours(LEAST_TRIALS, length):.2g}"]
    advice += [f"--epochs {shorter[0]}"] if shorter else []
    if overhead < hours:
        share = (hours - overhead) / (costs.hours(LEAST_TRIALS, length) - overhead)
        advice += [f"--macs {max(1, round(target * share / 1e4)) * 10_000} (about)"]
    raise NasError(
        f"{hours:g} hours buy {costs.trials(hours, length)} trials of {length} epoch{'s' * (length > 1)} "
        f"({costs.trial(length):.0f} s each, {costs.concurrency} at a time), and a search of fewer than {LEAST_TRIALS} "
        f"finds little that luck would not: give {' or '.join(advice)}, a smaller --resolution, or a faster machine"
    )
