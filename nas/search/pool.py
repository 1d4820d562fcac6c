"""Candidates of a space: all of a small one, the peaks of a score in a large one.

>>> from nas.search.view import View
>>> view = View({"a": tuple(range(300)), "b": tuple(range(300))})
>>> def score(batch):
...     return -abs(batch.rows[:, 0] - 150) - abs(batch.rows[:, 1] - 7)
>>> pool = Pool(view, lambda rows: [rows.astype(float)])
>>> row = next(pool.best(score, [], np.random.default_rng(0)))
>>> bool(abs(row[0] - 150) + abs(row[1] - 7) < 60)     # of 90,000 networks
True
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.search.view import View

RANDOM = 1000
"""Random networks from which a search for the peaks of a score begins, beside the best known."""
STARTS, ROUNDS = 8, 12
"""Networks whose neighbours are looked at, and how often, at most."""
PEERS = 20
"""Best known networks that a search for peaks begins from."""


@dataclass(frozen=True)
class Batch:
    """Candidates with all that a score needs.

    Attributes:
        rows: int array (n, choices).
        features: groups of float arrays (n, features).
        worth: reward for each unit of accuracy, float array (n,).
    """

    rows: np.ndarray
    features: list[np.ndarray]
    worth: np.ndarray

    def __getitem__(self, which: Any) -> "Batch":
        return Batch(self.rows[which], [group[which] for group in self.features], self.worth[which])


Score = Callable[[Batch], np.ndarray]


class Pool:
    """The networks of a view that were not taken, within its limits."""

    def __init__(self, view: View, features: Callable[[np.ndarray], list[np.ndarray]]) -> None:
        self._view = view
        self._features = features
        self._taken: set[Any] = set()
        self._all: Batch | None = None

    def take(self, row: np.ndarray) -> None:
        """Rules out a network."""
        self._taken.add(self._view.keys(row[None])[0])

    def batch(self, rows: np.ndarray) -> Batch:
        return Batch(rows, self._features(rows), self._view.worth(rows))

    def best(self, score: Score, known: list[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Rows in order of their score, equals in random order; `known` are good ones to begin from."""
        batch = self._whole() if self._view.enumerable else self._peaks(score, known, rng)
        batch = self._open(batch)
        if len(batch.rows):
            values = score(batch)
            yield from batch.rows[np.lexsort((rng.random(len(values)), -values))]

    def _whole(self) -> Batch:
        """One row of every network."""
        if self._all is None:
            _, first = np.unique(self._view.networks(), return_index=True)
            rows = self._view.all_rows()[first]
            self._all = self.batch(rows[self._view.admitted(rows)])
            self._keys = self._view.keys(self._all.rows)
        return self._all

    def _open(self, batch: Batch) -> Batch:
        """Without what was taken."""
        keys = self._keys if batch is self._all else self._view.keys(batch.rows)
        return batch[np.array([key not in self._taken for key in keys], bool)]

    def _peaks(self, score: Score, known: list[np.ndarray], rng: np.random.Generator) -> Batch:
        """Climbs from the best of random networks and of `known`, all neighbours of several at a time."""
        rows = self._admitted(self._view.random_rows(RANDOM, rng))
        if len(rows) < RANDOM // 4:
            rows = np.concatenate([rows, self._shrunk(self._view.random_rows(RANDOM, rng), rng)])
        if known:
            own = self._crossed(np.array(known[:PEERS]), rng)
            rows = np.concatenate([rows, self._admitted(own)])
        if not len(rows):
            return self.batch(rows)
        seen, found = set(map(bytes, rows)), [self.batch(rows)]
        values = score(found[0])
        kept = found[0].rows[np.argsort(-values, kind="stable")[: 4 * STARTS]]
        top, best = kept[:STARTS], float(values.max())
        for _ in range(ROUNDS):
            near = np.concatenate([self._neighbours(row) for row in top])
            near = np.array(
                [row for row in near if bytes(row) not in seen and not seen.add(bytes(row))], np.intp
            )
            near = self._admitted(near.reshape(-1, len(self._view.sizes)))
            if not len(near):
                break
            found.append(self.batch(near))
            values = score(found[-1])
            top = near[np.argsort(-values, kind="stable")[:STARTS]]
            if values.max() <= best:
                break
            best = float(values.max())
        rows = np.concatenate([kept, *(batch.rows for batch in found[1:])])
        first = {key: number for number, key in reversed(list(enumerate(self._view.keys(rows))))}
        return self.batch(rows[sorted(first.values())])

    def _admitted(self, rows: np.ndarray) -> np.ndarray:
        return rows[self._view.admitted(rows)] if len(rows) else rows

    def _neighbours(self, row: np.ndarray) -> np.ndarray:
        """Every row that differs in one choice."""
        others = []
        for choice, size in enumerate(self._view.sizes):
            block = np.repeat(row[None], size, axis=0)
            block[:, choice] = np.arange(size)
            others.append(block)
        return np.concatenate(others)

    def _crossed(self, known: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The neighbours of the best, and the good ones crossed with each other."""
        left, right = rng.integers(0, len(known), (2, 10 * PEERS))
        mask = rng.random((10 * PEERS, known.shape[1])) < 0.5
        crossed = np.where(mask, known[left], known[right])
        return np.concatenate([known, crossed, *(self._neighbours(row) for row in known[:3])])

    def _shrunk(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows over a limit, their choices made cheapest one after the other until they are within."""
        cheapest, found = self._cheapest(), []
        for choices in np.array_split(rng.permutation(rows.shape[1]), min(rows.shape[1], 24)):
            rows = rows.copy()
            rows[:, choices] = cheapest[choices]
            within = self._view.admitted(rows)
            found.append(rows[within])
            rows = rows[~within]
            if not len(rows):
                break
        return np.concatenate(found)

    def _cheapest(self) -> np.ndarray:
        """The row of the least multiply-adds, found by descent."""
        row = np.zeros(len(self._view.sizes), np.intp)
        for _ in range(4):
            before = row
            near = self._neighbours(row)
            ends = np.cumsum((0, *self._view.sizes))
            costs = self._view.sizes_of(near).sum(1)
            row = np.array([costs[a:b].argmin() for a, b in itertools.pairwise(ends)], np.intp)
            if (row == before).all():
                break
        return row
