"""A space as strategies see it: choices, which samples are one network, what each costs and is worth.

A *row* is a sample as integers, the position of each value in its list; arrays of rows let a
strategy weigh thousands of candidates at once.

>>> view = View({"width": (8, 16), "depth": (1, 2)}, cost=lambda s: s["width"] * s["depth"])
>>> view.samples(view.all_rows())[1], view.macs(view.all_rows()).tolist()
({'width': 8, 'depth': 2}, [8.0, 16.0, 16.0, 32.0])
"""

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nas.errors import NasError, short

Sample = dict[str, Any]
ENUMERABLE = 40_000
"""Samples up to which a space is looked at as a whole."""


def no_factor(macs: np.ndarray) -> np.ndarray:
    """The reward of accuracy alone."""
    return np.ones_like(macs)


class View:
    """A plain space, `{name: values}`, with functions of its samples.

    Args:
        choices: label -> values.
        cost: multiply-adds of a sample, over 0; where there is none, cost counts for nothing.
        key: canonical key of a sample: equal keys are one network. The sample itself by default.
        refuse: a reason never to propose a sample, or None.
        most: cost above which nothing is proposed.
        factor: reward for each unit of accuracy, by multiply-adds (array to array).
        only: the samples that there are, where they are not all combinations.

    Raises:
        NasError: for a choice without values or with one twice.
    """

    def __init__(
        self,
        choices: Mapping[str, Iterable[Any]],
        cost: Callable[[Sample], float] | None = None,
        key: Callable[[Sample], Hashable] | None = None,
        refuse: Callable[[Sample], str | None] | None = None,
        factor: Callable[[np.ndarray], np.ndarray] = no_factor,
        only: Iterable[Sample] | None = None,
        most: float = math.inf,
    ) -> None:
        self.choices = {label: tuple(values) for label, values in choices.items()}
        for label, values in self.choices.items():
            if not values:
                raise NasError(f"choice {label!r} has no values; give at least one")
            if any(value in values[:i] for i, value in enumerate(values)):
                raise NasError(f"choice {label!r} has a value twice in {short(list(values))}; give each once")
        self.labels = tuple(self.choices)
        self.sizes = tuple(len(values) for values in self.choices.values())
        self.has_cost = cost is not None
        self.has_keys = key is not None
        self._refuse, self._most = refuse, most
        self.factor = factor
        self._cost = cost
        self._key = key
        self._known: dict[bytes, float] = {}
        self._rows = None if only is None else self.rows(only)
        self._listed = None if self._rows is None else {row.tobytes() for row in self._rows}
        self._position: dict[bytes, int] = {}
        self._network: np.ndarray | None = None
        self._mean_shares: np.ndarray | None = None

    # One sample

    def key(self, sample: Sample) -> Hashable:
        """What two samples share where they are one network."""
        if self._key is None:
            return tuple(sample[label] for label in self.labels)
        key = self._key(sample)
        key = frozenset(key.items()) if isinstance(key, Mapping) else key
        try:
            hash(key)
        except TypeError:
            raise NasError(
                f"the canonical key of {short(sample)} is {short(key)}, which is not hashable; give a text or a tuple"
            ) from None
        return key

    def sample(self, row: np.ndarray) -> Sample:
        """The sample of a row, with the very values of the lists."""
        return {label: values[i] for (label, values), i in zip(self.choices.items(), row, strict=True)}

    def samples(self, rows: np.ndarray) -> list[Sample]:
        return [self.sample(row) for row in rows]

    def row(self, sample: Mapping[str, Any]) -> np.ndarray:
        """The row of a sample: int array (choices,)."""
        return np.array([values.index(sample[label]) for label, values in self.choices.items()], np.intp)

    def rows(self, samples: Iterable[Mapping[str, Any]]) -> np.ndarray:
        """The rows of samples: int array (n, choices)."""
        rows = [self.row(sample) for sample in samples]
        return np.array(rows, np.intp).reshape(len(rows), len(self.labels))

    def refuse(self, sample: Sample) -> str | None:
        """Why a sample may not be proposed, or None."""
        if self._listed is not None and self.row(sample).tobytes() not in self._listed:
            return "there is no such sample"
        if self._most < math.inf and (found := self.macs(self.row(sample)[None])[0]) > self._most:
            return f"macs {found:,.0f} is over the limit of {self._most:,.0f}"
        return self._refuse(sample) if self._refuse is not None else None

    # Many rows: int arrays (n, choices)

    @property
    def size_raw(self) -> int:
        return math.prod(self.sizes)

    @property
    def listed(self) -> bool:
        """Whether the samples that there are are listed, and not all combinations."""
        return self._listed is not None

    @property
    def enumerable(self) -> bool:
        """Whether the space is small enough to be looked at as a whole."""
        return self._listed is not None or self.size_raw <= ENUMERABLE

    def all_rows(self) -> np.ndarray:
        """Every row of an enumerable space."""
        if self._rows is None:
            product = list(itertools.product(*map(range, self.sizes)))
            self._rows = np.array(product, np.intp).reshape(len(product), len(self.sizes))
        return self._rows

    def random_rows(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, self.sizes, size=(n, len(self.sizes)), dtype=np.intp)

    def neighbours(self, row: np.ndarray) -> np.ndarray:
        """Every row that differs from `row` in one choice, choice by choice: int array (n, choices)."""
        blocks = []
        for choice, size in enumerate(self.sizes):
            block = np.repeat(row[None], size - 1, axis=0)
            block[:, choice] = [value for value in range(size) if value != row[choice]]
            blocks.append(block)
        return np.concatenate(blocks) if blocks else np.zeros((0, 0), np.intp)

    def networks(self) -> np.ndarray:
        """The number of the network, from 0, of every row of an enumerable space."""
        if self._network is None:
            numbers: dict[Hashable, int] = {}
            keys = self.keys(self.all_rows())
            self._network = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.intp)
        return self._network

    def keys(self, rows: np.ndarray) -> Sequence[Hashable]:
        """A hashable for each row, equal where the networks are equal."""
        return [self.key(sample) for sample in self.samples(rows)]

    def macs(self, rows: np.ndarray) -> np.ndarray:
        """Multiply-adds of each row, float array; ones where there is no cost.

        Raises:
            NasError: for a cost that is not over 0.
        """
        if self._cost is None:
            return np.ones(len(rows))
        return np.array([self._cost_of(row, self._cost) for row in rows], float)

    def _cost_of(self, row: np.ndarray, cost: Callable[[Sample], float]) -> float:
        name = row.tobytes()
        if name not in self._known:
            if len(self._known) > ENUMERABLE:
                self._known.clear()
            sample = self.sample(row)
            try:
                found = float(cost(sample))
            except (TypeError, ValueError):
                found = math.nan
            if not 0 < found < math.inf:
                raise NasError(f"the cost of {short(sample)} is {found}; give multiply-adds over 0")
            self._known[name] = found
        return self._known[name]

    def sizes_of(self, rows: np.ndarray) -> np.ndarray:
        """What is known of each network's size before any training: log multiply-adds, (n, 1)."""
        return np.log(self.macs(rows))[:, None]

    def price(self, rows: np.ndarray) -> np.ndarray:
        """What the reward prices of each row, float array: multiply-adds."""
        return self.macs(rows)

    def worth(self, rows: np.ndarray) -> np.ndarray:
        """Reward for each unit of accuracy, exactly: float array (n,)."""
        return self.factor(self.price(rows))

    def admitted(self, rows: np.ndarray) -> np.ndarray:
        """Which rows are within the limits: bool array (n,)."""
        if self._refuse is None and self._listed is None:
            return self.macs(rows) <= self._most
        return np.array([self.refuse(sample) is None for sample in self.samples(rows)], bool)

    def one_hot(self, rows: np.ndarray) -> np.ndarray:
        """Float array (n, sum of sizes): for each value of each choice whether the row has it."""
        ends = np.cumsum((0, *self.sizes))[:-1]
        hot = np.zeros((len(rows), sum(self.sizes)))
        if self.sizes:
            np.put_along_axis(hot, rows + ends, 1.0, axis=1)
        return hot

    def shares(self, rows: np.ndarray) -> np.ndarray:
        """`one_hot`, averaged over all samples that are the same network.

        So a choice that changes nothing has equal shares of its values, and samples of one network
        have one description. In a space that is not enumerable it is `one_hot`.
        """
        if not self.has_keys or not self.enumerable:
            return self.one_hot(rows)
        return self._network_shares()[self.networks()[[self._positions()[row.tobytes()] for row in rows]]]

    def _positions(self) -> dict[bytes, int]:
        if not self._position:
            self._position = {row.tobytes(): number for number, row in enumerate(self.all_rows())}
        return self._position

    def _network_shares(self) -> np.ndarray:
        if self._mean_shares is None:
            numbers = self.networks()
            sums = np.zeros((numbers.max() + 1, sum(self.sizes)))
            np.add.at(sums, numbers, self.one_hot(self.all_rows()))
            self._mean_shares = sums / np.bincount(numbers)[:, None]
        return self._mean_shares

    @property
    def kinds(self) -> list[list[int]]:
        """Choices that may mean the same: those of one name after the dot, or of one list of values."""
        found: dict[Any, list[int]] = {}
        for number, (label, values) in enumerate(self.choices.items()):
            field = label.rpartition(".")[2] if "." in label else values
            found.setdefault((field, len(values)), []).append(number)
        return list(found.values())
