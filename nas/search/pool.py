"""Candidates of a space: all of a small one, the peaks of a score in a large one.

>>> from nas.search.view import View
>>> view = View({"a": tuple(range(300)), "b": tuple(range(300))})
>>> def score(batch):
...     return -abs(batch.rows[:, 0] - 150) - abs(batch.rows[:, 1] - 7)
>>> pool = Pool(view, lambda rows: [rows.astype(float)])
>>> row = pool.best(score, [], np.random.default_rng(0))[0]
>>> bool(abs(row[0] - 150) + abs(row[1] - 7) < 60)     # of 90,000 networks
True
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.search.reach import cheapest
from nas.search.view import View

RANDOM = 1000
"""Random networks from which a search for the peaks of a score begins, beside the best known."""
STARTS, ROUNDS = 8, 12
"""Networks whose neighbours are looked at, and how often, at most."""
MOST = 16_000
"""Networks of an enumerable space that are scored at a time; of more, so many random ones and what is near
the best known."""
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
        self._fresh: list[np.ndarray] = []  # taken, their keys not yet worked out: many at a time are quicker
        self._all: Batch | None = None

    def take(self, row: np.ndarray) -> None:
        """Rules out a network."""
        self._fresh.append(row)

    def batch(self, rows: np.ndarray) -> Batch:
        return Batch(rows, self._features(rows), self._view.worth(rows))

    def best(self, score: Score, known: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """Rows in order of their score, equals in random order; `known` are good ones to begin from."""
        if self._view.enumerable:
            batch = self._whole()
            batch = batch[self._open(batch)]
            if len(batch.rows) > MOST:
                batch = self._some(batch, known, rng)
            values = score(batch) if len(batch.rows) else np.zeros(0)
        else:
            batch, values = self._peaks(score, known, rng)
            free = self._open(batch)
            batch, values = batch[free], values[free]
        return batch.rows[np.lexsort((rng.random(len(values)), -values))]

    def _whole(self) -> Batch:
        """One row of every network."""
        if self._all is None:
            _, first = np.unique(self._view.networks(), return_index=True)
            rows = self._view.all_rows()[first]
            self._all = self.batch(rows[self._view.admitted(rows)])
            self._keys = self._view.keys(self._all.rows)
        return self._all

    def _some(self, batch: Batch, known: list[np.ndarray], rng: np.random.Generator) -> Batch:
        """Random ones of a batch, and all within two choices of the best known."""
        chosen = np.zeros(len(batch.rows), bool)
        chosen[rng.choice(len(batch.rows), MOST, replace=False)] = True
        for row in known[:PEERS]:
            chosen |= (batch.rows != row).sum(1) <= 2
        return batch[chosen]

    def _open(self, batch: Batch) -> np.ndarray:
        """Which were not taken."""
        if self._fresh:
            self._taken.update(self._view.keys(np.array(self._fresh)))
            self._fresh = []
        keys = self._keys if batch is self._all else self._view.keys(batch.rows)
        return np.array([key not in self._taken for key in keys], bool)

    def _peaks(
        self, score: Score, known: list[np.ndarray], rng: np.random.Generator
    ) -> tuple[Batch, np.ndarray]:
        """Climbs from the best of random networks and of `known`, all neighbours of several at a time; what it met,
        and the scores of that."""
        rows = self._admitted(self._view.random_rows(RANDOM, rng))
        if len(rows) < RANDOM // 4:
            rows = np.concatenate([rows, self._shrunk(self._view.random_rows(RANDOM, rng), rng)])
        if known:
            own = self._crossed(np.array(known[:PEERS]), rng)
            rows = np.concatenate([rows, self._admitted(own)])
        found = [self._distinct(rows, seen := set())]
        top, scored = found[0], []
        best = -np.inf
        for _ in range(ROUNDS):
            values = score(top)
            scored.append(values)
            if not len(values) or values.max() <= best:
                break
            best = float(values.max())
            top = top[np.argsort(-values, kind="stable")[:STARTS]]
            near = np.concatenate([self._view.neighbours(row) for row in top.rows])
            found.append(top := self._distinct(self._admitted(near), seen))
        if len(scored) < len(found):
            scored.append(score(top))
        batch = Batch(
            np.concatenate([batch.rows for batch in found]),
            [np.concatenate(groups) for groups in zip(*(batch.features for batch in found), strict=True)],
            np.concatenate([batch.worth for batch in found]),
        )
        return batch, np.concatenate(scored)

    def _distinct(self, rows: np.ndarray, seen: set[Any]) -> Batch:
        """The rows whose networks are not in `seen`, one for each, which are added to it."""
        keys = self._view.keys(rows)
        fresh = [number for number, key in enumerate(keys) if not (key in seen or seen.add(key))]
        return self.batch(rows[fresh])

    def _admitted(self, rows: np.ndarray) -> np.ndarray:
        return rows[self._view.admitted(rows)] if len(rows) else rows

    def _crossed(self, known: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The neighbours of the best, and the good ones crossed with each other."""
        left, right = rng.integers(0, len(known), (2, 10 * PEERS))
        mask = rng.random((10 * PEERS, known.shape[1])) < 0.5
        crossed = np.where(mask, known[left], known[right])
        return np.concatenate([known, crossed, *(self._view.neighbours(row) for row in known[:3])])

    def _shrunk(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows over a limit, their choices made cheapest one after the other until they are within."""
        least, found = cheapest(self._view), []
        for choices in np.array_split(rng.permutation(rows.shape[1]), min(rows.shape[1], 24)):
            rows = rows.copy()
            rows[:, choices] = least[choices]
            within = self._view.admitted(rows)
            found.append(rows[within])
            rows = rows[~within]
            if not len(rows):
                break
        return np.concatenate(found)
