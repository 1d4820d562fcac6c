"""The trainings of a certificate: which networks, with which seeds, and who is chosen by them.

1. A random search of the same budget: as many networks as the search evaluated, by its own proxy.
2. Finalists: the best of both, trained in full on `train` and scored on `val`, with seeds that chose none of them;
   with `family` the network twice as large that compound scaling makes of each, too.
3. Judged: the winner, its runner-up, the random search's best and published networks of the winner's cost, trained on
   `train` and `val` with fresh seeds, and tested once (docs/decisions/0008).
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.architecture import Architecture
from nas.baseline import Baseline, dump
from nas.latency_model import LatencyModel
from nas.planning import plan
from nas.plans import Budget
from nas.search.fidelity import Fidelity
from nas.search.full_length import unpacked
from nas.search.journal import Journal
from nas.search.rewarding import DRAWS, Limits, RewardSettings
from nas.search.trainings import Training
from nas.search.trials import Trial
from nas.space import Sample, SearchSpace

PHI = 1.0
"""Compound coefficient of the larger member: twice the multiply-adds."""


@dataclass(frozen=True)
class Finalist:
    """A network that is retrained to choose the winner.

    Attributes:
        of: 'search' or 'random', whichever it was found by.
        trial: its number in that search.
        proxy: accuracy there.
        factor: reward for each unit of accuracy.
        val: in full, one a seed, nan where a training failed.
        twice: the network twice as large, None without `family`, or where there is none; larger are its accuracies,
            and larger_factor its reward for each unit of them, at twice the target.
    """

    of: str
    trial: int
    sample: Sample
    arch: Architecture
    proxy: float
    factor: float
    val: tuple[float, ...] = ()
    twice: Architecture | None = None
    larger: tuple[float, ...] = ()
    larger_factor: float = 1.0

    @property
    def label(self) -> str:
        """As a line of progress names it."""
        return f"{self.of}'s trial {self.trial}"

    def worth(self, family: bool = False) -> float:
        """The reward of the mean over the seeds there are, nan where there is none; of a `family` the mean of both
        members' rewards."""
        alone = self.factor * _mean(self.val)
        return (alone + self.larger_factor * _mean(self.larger)) / 2 if family else alone


def _mean(scores: Iterable[float]) -> float:
    there = [score for score in scores if math.isfinite(score)]
    return sum(there) / len(there) if there else math.nan


def drawn(
    space: SearchSpace, limits: Limits, n: int, seed: int, latency: LatencyModel | None = None
) -> list[tuple[Sample, Architecture]]:
    """`n` random samples of distinct networks within limits, or as many as are found before `DRAWS` draws in a row give
    no other, as a search's strategy has it."""
    rng = np.random.default_rng([seed, 6])
    found: dict[str, tuple[Sample, Architecture]] = {}
    vain = 0
    while len(found) < n and vain < DRAWS:
        vain += 1
        sample = space.sample(rng)
        arch = space.decode(sample)
        costs = cost_of(arch, latency)
        if arch.key not in found and limits.refuse(**costs) is None:
            found[arch.key], vain = (sample, arch), 0
    return list(found.values())


def cost_of(arch: Architecture, latency: LatencyModel | None) -> dict[str, Any]:
    """macs, params, and where the search names a latency model milliseconds."""
    costs = {"macs": arch.macs, "params": arch.params}
    return costs if latency is None else {**costs, "latency": latency.milliseconds(arch)}


def best(
    trials: list[Trial], space: SearchSpace, settings: RewardSettings, target: float, top: int, of: str,
    latency: LatencyModel | None = None,
) -> list[Finalist]:  # fmt: skip
    """The `top` distinct networks of highest reward among the complete of a search's trials."""
    found: dict[str, Finalist] = {}

    def reward(trial: Trial) -> float:
        return settings.of(trial.accuracy or 0.0, settings.paid(trial), target)

    complete = [trial for trial in trials if trial.state == "complete" and trial.accuracy is not None]
    for trial in sorted(complete, key=lambda trial: (-reward(trial), trial.number)):
        sample = space.validate(trial.sample)
        arch = space.decode(sample)
        factor = float(settings.factor(settings.paid(cost_of(arch, latency)), target))
        found.setdefault(
            arch.key, Finalist(of, trial.number, sample, arch, float(trial.accuracy or 0.0), factor)
        )
        if len(found) == top:
            break
    return list(found.values())


def evaluated(journal: Journal, most: int | None = None) -> list[Trial]:
    """The trials that evaluated the first `most` distinct networks of a search, in order of number."""
    found, keys = [], set()
    for trial in journal.ended():
        if trial.state not in ("complete", "stopped", "failed"):
            continue
        if trial.key not in keys and len(keys) == most:
            break
        keys.add(trial.key)
        found.append(trial)
    return found


@dataclass(frozen=True)
class Course:
    """How everything is trained.

    Attributes:
        space, proxy, fidelity: what a trial of the search trains, how, and how faithfully.
        config: of a full training, without seed and split.
        choosing, judging: seeds.
        folder: of the checkpoints and TensorBoard's files.
        options: data, data_dir, workers, threads, device.
    """

    space: SearchSpace
    proxy: Mapping[str, Any]
    fidelity: Fidelity
    config: Mapping[str, Any]
    choosing: tuple[int, ...]
    judging: tuple[int, ...]
    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def short(self, samples: list[tuple[Sample, Architecture]]) -> list[Training]:
        """Trials of the random search."""
        document = self.space.document.model_dump(mode="json")
        return [
            Training(
                f"{arch.key} | random", sample, arch.macs, arch.params, {"phase": "random", "of": f"trial {number}"},
                {"space": document, "sample": sample, "fidelity": asdict(self.fidelity), "config": dict(self.proxy),
                 **self.options},
            )
            for number, (sample, arch) in enumerate(samples)
        ]  # fmt: skip

    def choose(
        self, arch: Architecture, sample: Mapping[str, Any], of: str, phi: float = 0
    ) -> list[Training]:
        """Of a finalist, on `train`; each key of the journal's sample is what it was found by, `of` how its line names
        it."""
        phase = "choose" if phi == 0 else f"choose, phi {phi:g}"
        return [self._full(arch, sample, phase, of, "train", seed) for seed in self.choosing]

    def judge(self, arch: Architecture, sample: Mapping[str, Any], of: str) -> list[Training]:
        """Of a network that is tested."""
        return [self._full(arch, sample, "judge", of, "trainval", seed) for seed in self.judging]

    def _full(
        self, arch: Architecture, sample: Mapping[str, Any], phase: str, of: str, split: str, seed: int
    ) -> Training:
        name = f"{arch.key} | {phase} | seed {seed}"
        mark = hashlib.sha256(arch.key.encode()).hexdigest()[:8]  # the key is too long for a file's name
        folder = self.folder / f"{phase.replace(', ', '-').replace(' ', '')}-{mark}-seed{seed}"
        work = {
            "network": dump(Baseline("network", arch)), "config": {**self.config, "seed": seed, "split": split},
            "folder": str(folder), **self.options,
        }  # fmt: skip
        return Training(name, sample, arch.macs, arch.params, {"phase": phase, "of": of, "seed": seed}, work)


def scores(trainings: list[Training], done: Mapping[str, Trial]) -> tuple[float, ...]:
    """Accuracies in their order, nan where there is none."""
    ended = (done.get(training.name) for training in trainings)
    return tuple(math.nan if one is None or one.accuracy is None else one.accuracy for one in ended)


def larger(arch: Architecture, coefficients: tuple[float, float, float]) -> Architecture:
    """What compound scaling makes of a network at phi = 1: twice its multiply-adds, as near as integers allow.

    Raises:
        NasError: where there is none.
    """
    return plan(arch, Budget(macs=2**PHI * arch.macs), *coefficients).architecture


def ranked(finalists: list[Finalist], family: bool) -> list[Finalist]:
    """The best first, those without an accuracy left out."""
    there = [one for one in finalists if math.isfinite(one.worth(family))]
    return sorted(there, key=lambda one: (-one.worth(family), one.trial))


def changes(finalists: list[Finalist]) -> tuple[int, int]:
    """(in how many choosing seeds the family chooses another network than the base alone, of how many)."""
    count, of = 0, 0
    for index in range(min((len(one.val) for one in finalists), default=0)):
        alone = [replace(one, val=one.val[index : index + 1], larger=one.larger[index : index + 1])
                 for one in finalists]  # fmt: skip
        base, both = ranked(alone, False), ranked(alone, True)
        if base and both:
            of += 1
            count += base[0].arch.key != both[0].arch.key
    return count, of


def unpacked_hits(trainings: list[Training], journal: Journal) -> np.ndarray:
    """Which test images are right, bool (seeds, images), of the trainings that have an accuracy."""
    names = {training.name for training in trainings}
    numbers = {number for number, trial in journal.trials.items() if trial.key in names}
    told = [event for event in journal.results() if event["number"] in numbers and event.get("hits")]
    by = {journal.trials[event["number"]].key: unpacked(event["hits"]) for event in told}
    found = [by[training.name] for training in trainings if training.name in by]
    return np.array(found) if found else np.zeros((0, 0), bool)
