"""A pilot: some networks of a space, spread over its multiply-adds, trained before a search to learn what it will meet.

Strata are equal steps of the logarithm of multiply-adds, one network each: a search may end anywhere, and random
networks lie in the middle. Every training is a line of a journal (`nas.search.journal`), so that an interrupted
pilot goes on, and one with more fidelities trains what is missing.

>>> from nas.space import SearchSpace
>>> space = SearchSpace.load("digits")
>>> macs = [space.decode(sample).macs for sample in spread(space, 6, seed=0)]
>>> macs == sorted(macs), macs[-1] > 5 * macs[0]
(True, True)
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import NasError
from nas.search.fidelity import Fidelity
from nas.search.trainings import Training, Trainings
from nas.space import Sample, SearchSpace

DRAWN = 8192
"""Random networks from which the strata are filled."""
ENDS = (0.005, 0.995)
"""Quantiles of their multiply-adds between which the strata lie."""


def spread(space: SearchSpace, n: int, seed: int, most: float | None = None) -> list[Sample]:
    """`n` samples of distinct networks, one in each stratum of the logarithm of multiply-adds, the cheapest first.

    Raises:
        NasError: where the space (up to `most` multiply-adds) has fewer networks.
    """
    if n > DRAWN:
        raise NasError(f"a pilot is chosen among {DRAWN} random networks; give --pilot {DRAWN} or fewer")
    rng = np.random.default_rng(seed)
    samples = [space.sample(rng) for _ in range(DRAWN)]
    macs = space.costs(space.costs.indices(samples))[1]
    keep = np.flatnonzero(macs <= (most or np.inf))
    if len(keep) < n:
        raise NasError(
            f"{space.name}: among {DRAWN} random networks {len(keep)} are within --limit {most:g}; raise it, or give "
            "fewer networks (--pilot)"
        )
    log = np.log(macs[keep])
    low, high = np.quantile(log, ENDS)
    found: list[Sample] = []
    keys: set[str] = set()
    for aim in low + (np.arange(n) + rng.random(n)) / n * (high - low):
        for place in keep[np.argsort(np.abs(log - aim), kind="stable")]:
            key = space.decode(samples[place]).key
            if key not in keys:
                keys.add(key)
                found.append(samples[place])
                break
    if len(found) < n:
        raise NasError(f"{space.name}: has {len(found)} networks only; give --pilot {len(found)}")
    return sorted(found, key=lambda sample: space.decode(sample).macs)


@dataclass(frozen=True)
class Task:
    """One training of a pilot."""

    sample: Sample
    key: str
    fidelity: Fidelity
    seed: int
    macs: int
    params: int

    @property
    def name(self) -> str:
        """Distinct for each training."""
        return f"{self.key} | {self.fidelity.label} | seed {self.seed}"


class Pilot(Trainings):
    """The trainings of a pilot, in a folder of their own.

    Args:
        folder: of its journal.
        space: fitted to the data.
        about: what else must be the same where it is taken up again: the data, the networks' number, the seed.

    Raises:
        NasError: where the folder has another pilot.
    """

    def __init__(self, folder: Path, space: SearchSpace, about: Mapping[str, Any]) -> None:
        self.space = space
        run = {"pilot": dict(about), "space": space.name, "sha256": space.sha256}
        super().__init__(folder, "pilot", run)

    def trainings(self, tasks: list[Task], options: Mapping[str, Any]) -> list[Training]:
        """Of the tasks, in their order, for `nas.search.short_training`.

        Args:
            options: data, data_dir, workers, threads, device.
        """
        document = self.space.document.model_dump(mode="json")
        return [
            Training(
                task.name, task.sample, task.macs, task.params,
                {"fidelity": asdict(task.fidelity), "seed": task.seed},
                {"space": document, "sample": task.sample, "fidelity": asdict(task.fidelity),
                 "config": {"epochs": task.fidelity.epochs, "seed": task.seed}, **options},
            )
            for task in tasks
        ]  # fmt: skip
