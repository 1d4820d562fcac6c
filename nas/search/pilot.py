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

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import NasError
from nas.search.fidelity import Fidelity
from nas.search.journal import FILE, Journal, Trial
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
    rng = np.random.default_rng(seed)
    samples = [space.sample(rng) for _ in range(DRAWN)]
    macs = space.costs(space.costs.indices(samples))[1]
    keep = np.flatnonzero(macs <= (most or np.inf))
    if len(keep) < n:
        raise NasError(
            f"{space.name}: among {DRAWN} random networks {len(keep)} are within the limit; raise it"
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


class Pilot:
    """The trainings of a pilot, in a folder of their own.

    Args:
        folder: of its journal.
        space: fitted to the data.
        about: what else must be the same where it is taken up again: the data, the networks' number, the seed.

    Raises:
        NasError: where the folder has another pilot.
    """

    def __init__(self, folder: Path, space: SearchSpace, about: Mapping[str, Any]) -> None:
        self.folder, self.space = folder, space
        self.journal = Journal(folder / FILE)
        self.journal.refresh()
        run = {"pilot": dict(about), "space": space.name, "sha256": space.sha256}
        self.journal.start(**run)
        for name, value in run.items():
            if self.journal.run.get(name) != value:
                raise NasError(
                    f"{folder}: has a pilot of {name} {self.journal.run.get(name)!r}, and this one's is {value!r}; "
                    "choose another --out"
                )

    def done(self) -> dict[str, Trial]:
        """Trainings that have ended, by name."""
        return {trial.key: trial for trial in self.journal.ended()}

    def run(
        self, tasks: list[Task], options: Mapping[str, Any], jobs: int, report: Callable[[Task, Trial], None]
    ) -> None:
        """Trains what has not ended, `jobs` at a time, in processes of their own.

        Raises:
            NasError: where a training ends by a mistake in data or options.
        """
        known = {trial.key: trial.number for trial in self.journal.trials.values()}
        done = self.done()
        left = [task for task in tasks if task.name not in done]
        context = multiprocessing.get_context("spawn")
        flying: dict[Future[dict[str, Any]], tuple[int, Task]] = {}
        while left or flying:
            try:
                with ProcessPoolExecutor(jobs, context, _undisturbed) as pool, _ended_with_us():
                    self._rounds(pool, left, flying, known, options, jobs, report)
            except BrokenProcessPool:
                broken, flying = list(flying.values()), {}
                if not broken:
                    raise NasError(
                        "no process can be started for a training; free memory and --resume"
                    ) from None
                if len(broken) == 1:
                    ((number, task),) = broken
                    reason = "its process was killed, as for want of memory"
                    self._told(number, task, {"failed": reason}, report)
                else:  # nobody knows whose process it was: one at a time it will be known
                    left, jobs = [task for _, task in broken] + left, 1

    def _rounds(
        self, pool: ProcessPoolExecutor, left: list[Task], flying: dict[Future[dict[str, Any]], tuple[int, Task]],
        known: dict[str, int], options: Mapping[str, Any], jobs: int, report: Callable[[Task, Trial], None],
    ) -> None:  # fmt: skip
        """Until nothing is left, or the pool breaks: then what was begun is in `flying`, and the rest in `left`."""
        while left or flying:
            while left and len(flying) < jobs:
                task = left[0]
                if task.name not in known:
                    facts = {"macs": task.macs, "params": task.params, "fidelity": asdict(task.fidelity)}
                    known[task.name] = self.journal.asked(task.sample, task.name, **facts, seed=task.seed)
                work = {"space": self.space.document.model_dump(mode="json"), "sample": task.sample}
                work |= {"fidelity": asdict(task.fidelity), "seed": task.seed, **options}
                flying[pool.submit(trained, work)] = known[task.name], task
                del left[0]
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                result = future.result()
                self._told(*flying.pop(future), result, report)

    def _told(
        self, number: int, task: Task, result: dict[str, Any], report: Callable[[Task, Trial], None]
    ) -> None:
        if "failed" in result:
            self.journal.told(number, "failed", reason=result["failed"])
        else:
            self.journal.told(number, "complete", **result)
        report(task, self.journal.trials[number])


@contextlib.contextmanager
def _ended_with_us() -> Iterator[None]:
    """What raises inside, an interruption or a mistake in the data, ends the trainings that the pool would wait for."""
    try:
        yield
    except BrokenProcessPool:
        raise
    except BaseException:
        for child in multiprocessing.active_children():
            child.kill()
        raise


def _undisturbed() -> None:
    """In a process of the pool: an interruption from the keyboard is for the one that has it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def trained(work: Mapping[str, Any]) -> dict[str, Any]:
    """One training, in a process of the pool: accuracy and seconds, or why it failed."""
    import torch

    from nas.evaluators.proxy import ProxyEvaluator
    from nas.recipe import TrainingConfig
    from nas.training import TrialFailure

    torch.set_num_threads(work["threads"])
    fidelity = Fidelity(**work["fidelity"])
    arch = fidelity.of(SearchSpace.from_data(work["space"]).decode(work["sample"]))
    data = _data(work["data"], work["data_dir"], arch.resolution, work["workers"]).with_part(
        fidelity.fraction
    )
    config = TrainingConfig(epochs=fidelity.epochs, seed=work["seed"])
    try:
        metrics = ProxyEvaluator(data, config, work["device"]).evaluate(arch)
    except TrialFailure as error:
        return {"failed": str(error)}
    return {"accuracy": metrics.accuracy, "seconds": metrics.seconds}


@lru_cache(4)
def _data(name: str, data_dir: str | None, resolution: int, workers: int | None) -> Any:
    from nas.data import load_data

    return load_data(name, data_dir, resolution, workers=workers)
