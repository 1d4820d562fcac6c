"""Three made-up spaces, drawn anew for each seed and the same for every strategy.

Each choice has sizes 1 to k. A larger size costs more and is mostly, by less and less, more accurate:
accuracy is a logistic function of a sum over choices of gain * log(size) + bumps (`separable`), with
as much again from pairs of choices (`interacting`: all pairs; `huge`: each choice with the next).
Multiply-adds are a sum over choices. No two samples are one network.

| space | choices | values | samples |
| --- | --- | --- | --- |
| `separable` | 10 | 3 | 59,049 |
| `interacting` | 6 | 6 | 46,656 |
| `huge` | 20 | 4 | 1.1e12, of which nobody knows the best |
"""

import itertools

import numpy as np
from problems import Problem, Sample

from nas.reward import W, factor

SHAPES = {"separable": (10, 3), "interacting": (6, 6), "huge": (20, 4)}
TYPICAL = 4096
"""Random samples by which the sums are brought to one scale, and whose median cost is T."""


class MadeUp:
    """Accuracy and multiply-adds of rows, int arrays (n, choices) of positions."""

    def __init__(self, name: str, seed: int) -> None:
        self.choices, self.values = SHAPES[name]
        rng = np.random.default_rng([seed, 2])
        size = np.log(np.arange(1, self.values + 1))
        gain = rng.gamma(2.0, 0.5, (self.choices, 1))
        self._single = gain * size + rng.normal(0, 0.25, (self.choices, self.values))
        numbers = range(self.choices)
        pairs = {"separable": [], "interacting": itertools.combinations(numbers, 2),
                 "huge": itertools.pairwise(numbers)}[name]  # fmt: skip
        self._pairs = {pair: rng.normal(0, 1, (self.values, self.values)) for pair in pairs}
        self._cost = rng.gamma(2.0, 0.5, (self.choices, 1)) * np.arange(1, self.values + 1)
        typical = rng.integers(0, self.values, (TYPICAL, self.choices))
        self._scale: list[tuple[float, float]] = [(0.0, 1.0), (0.0, 1.0)]
        self._scale = [(float(s.mean()), float(s.std()) or 1.0) for s in self._sums(typical)]
        self.target = int(np.median(self.macs(typical)))

    def _sums(self, rows: np.ndarray) -> list[np.ndarray]:
        single = self._single[np.arange(self.choices), rows].sum(axis=1)
        pairs = np.zeros(len(rows))
        for (left, right), table in self._pairs.items():
            pairs += table[rows[:, left], rows[:, right]]
        return [(s - mean) / scale for s, (mean, scale) in zip((single, pairs), self._scale, strict=True)]

    def accuracy(self, rows: np.ndarray) -> np.ndarray:
        """Fractions, about 0.88 for a typical sample."""
        single, pairs = self._sums(rows)
        return 1 / (1 + np.exp(-(2 + 0.3 * (single + pairs))))

    def macs(self, rows: np.ndarray) -> np.ndarray:
        return np.floor(1e6 * (2 + self._cost[np.arange(self.choices), rows].sum(axis=1)))

    def reward(self, rows: np.ndarray) -> np.ndarray:
        return self.accuracy(rows) * factor(self.macs(rows), self.target)


def made_up(name: str, seed: int, in_flight: int) -> Problem:
    """The problem of a made-up space."""
    space = MadeUp(name, seed)
    labels = [f"choice{number + 1}" for number in range(space.choices)]
    best = None
    if space.values**space.choices < 1e6:
        grid = np.indices((space.values,) * space.choices).reshape(space.choices, -1).T
        best = float(space.reward(grid).max())

    def row(sample: Sample) -> np.ndarray:
        return np.array([[sample[label] - 1 for label in labels]])

    return Problem(
        choices={label: tuple(range(1, space.values + 1)) for label in labels},
        key=lambda sample: tuple(sample[label] for label in labels),
        macs=lambda sample: float(space.macs(row(sample))[0]),
        accuracy=lambda sample: float(space.accuracy(row(sample))[0]),
        factor=lambda sample: float(factor(space.macs(row(sample)), space.target)[0]),
        truth=lambda sample: float(space.reward(row(sample))[0]),
        best=best,
        w=W,
        target=space.target,
        in_flight=in_flight,
        stop=best is not None,
    )
