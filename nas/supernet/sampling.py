"""Which networks of a space a supernet's step trains: the smallest, the largest, and some between; no torch.

>>> space = SearchSpace.load("digits")
>>> smallest, largest = extremes(space)
>>> (smallest.macs, largest.macs) == space.costs.macs_range()
True
>>> target = 700_000
>>> near = sampler("attentive", space, target).draw(np.random.default_rng(0), 100)
>>> bool(abs(np.median([space.decode(sample).macs for sample in near]) / target - 1) < 0.1)
True
>>> three = sampler("fair", space).draw(np.random.default_rng(0), 3)
>>> sorted(sample["stage2.op"] for sample in three) == sorted(space.choices["stage2.op"])
True
>>> stretched(space, three[0], 1)["stage2.op"] == three[0]["stage2.op"]
True
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nas.architecture import Architecture
from nas.errors import NasError, listed, near
from nas.space import Sample, SearchSpace

SKIPS = ("identity", "projection", "pool", "none")
"""Of choices that cost the same, the first is taken for the smallest and the largest network."""
DRAWS = 64
"""Uniform samples of which an attentive one is chosen."""
SPREAD = 0.2
"""Standard deviation of ln(multiply-adds / target) of attentive samples, where the space has them."""


def extremes(space: SearchSpace) -> tuple[Architecture, Architecture]:
    """The networks of the fewest and of the most multiply-adds; of those with as many, the one with the smaller
    (larger) values, and with a shortcut."""
    return _extreme(space, -1), _extreme(space, 1)


def _extreme(space: SearchSpace, sign: int) -> Architecture:
    """Choice by choice, until none changes; stages are independent but for the channels between them."""
    sample: Sample = {label: values[0] for label, values in space.choices.items()}

    def worth(label: str, value: Any) -> tuple[Any, ...]:
        tie = -SKIPS.index(value) if value in SKIPS else 0 if isinstance(value, str) else sign * value
        return sign * space.decode({**sample, label: value}).macs, tie

    before = None
    while before != sample:
        before = dict(sample)
        for label, values in space.choices.items():
            sample[label] = max(values, key=lambda value, label=label: worth(label, value))
    return space.decode(sample)


def stretched(space: SearchSpace, sample: Sample, sign: int) -> Sample:
    """The largest network (`sign` 1) or the smallest (-1) of those that have the sample's words: its ops and skips,
    of which none holds another as a larger kernel, width or depth holds the smaller."""
    numbers = {
        label: (max if sign > 0 else min)(values)
        for label, values in space.choices.items()
        if not isinstance(values[0], str)
    }
    return {**sample, **numbers}


class Sampler(ABC):
    """Draws the networks of a step."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> list[Sample]:
        """Those of one step; the same state of `rng` gives the same."""


class Uniform(Sampler):
    """Every choice uniform and independent."""

    def draw(self, rng: np.random.Generator, count: int) -> list[Sample]:
        return [self.space.sample(rng) for _ in range(count)]


class Fair(Sampler):
    """Every choice uniform and independent of the others, and its values as often in a step as each other.

    With as many networks as a choice has values, each value is trained by every step: strict fairness (FairNAS, Chu et
    al. 2019, arXiv:1907.01845, section 3), which is for what shares no weights, such as ops. Where the numbers do not
    divide, some values come once more than others, at random. Where a step's largest and smallest are `stretched`, that
    holds for the words of all and, since the numbers of two are replaced, no more than nearly for the other numbers.
    """

    def draw(self, rng: np.random.Generator, count: int) -> list[Sample]:
        columns = {label: self._spread(values, count, rng) for label, values in self.space.choices.items()}
        return [{label: column[number] for label, column in columns.items()} for number in range(count)]

    @staticmethod
    def _spread(values: Sequence[Any], count: int, rng: np.random.Generator) -> list[Any]:
        """`count` values in random order, none more than once oftener than another."""
        rounds = -(-count // len(values))
        return [values[index] for _ in range(rounds) for index in rng.permutation(len(values))][:count]


class Attentive(Sampler):
    """Networks of about `target` multiply-adds: of `DRAWS` uniform ones one, more likely the nearer it is.

    After AttentiveNAS (Wang et al. 2021, arXiv:2011.09011), which draws a cost first and a network of that cost then;
    ours keeps what is uniform about the networks of one cost.
    """

    def __init__(self, space: SearchSpace, target: float) -> None:
        super().__init__(space)
        self.target = target

    def draw(self, rng: np.random.Generator, count: int) -> list[Sample]:
        return [self._near(rng) for _ in range(count)]

    def _near(self, rng: np.random.Generator) -> Sample:
        samples = [self.space.sample(rng) for _ in range(DRAWS)]
        _, macs = self.space.costs(self.space.costs.indices(samples))
        off = np.log(macs / self.target) / SPREAD
        weights = np.exp(-0.5 * (off**2 - (off**2).min()))
        return samples[rng.choice(DRAWS, p=weights / weights.sum())]


SAMPLERS: dict[str, Callable[[SearchSpace, float | None], Sampler]] = {
    "uniform": lambda space, target: Uniform(space),
    "fair": lambda space, target: Fair(space),
    "attentive": lambda space, target: Attentive(space, target or space.target),
}


def sampler(name: str, space: SearchSpace, target: float | None = None) -> Sampler:
    """The sampler called `name`; NasError for another.

    Args:
        target: multiply-adds that an attentive one is attentive to; by default the space's T.
    """
    if name not in SAMPLERS:
        raise NasError(f"sampler is {name!r}{near(name, SAMPLERS)}; allowed: {listed(SAMPLERS)}")
    return SAMPLERS[name](space, target)
