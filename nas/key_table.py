"""Canonical form of thousands of samples at once: which are one network, and which choices count.

What a stage computes depends on its own choices and on the channels before it, so one small table
for each stage answers both.

>>> from nas.space import SearchSpace
>>> space = SearchSpace.load("digits")
>>> conv3 = {label: values[0] for label, values in space.choices.items()}
>>> conv6 = {**conv3, "stage1.expand": 6}          # a convolution has no expansion
>>> table = KeyTable(space)
>>> first, second = table.canonical(space.costs.indices([conv3, conv6]))
>>> first.tolist() == second.tolist()
True
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nas.space import SearchSpace


class KeyTable:
    """Canonical rows and shares of values, by table; rows are int arrays (n, choices)."""

    def __init__(self, space: "SearchSpace") -> None:
        self._parts: list[_Part] = []
        position = {label: number for number, label in enumerate(space.choices)}
        widths, before = (space.frame.stem.channels,), None
        for part in space.stages:
            columns = [position[label] for label in part.open]
            stages = [part.stage(values) for values in part.combinations()]
            numbers = [[space.stage_key(stage, width) for stage in stages] for width in widths]
            shape = tuple(len(values) for values in part.open.values())
            self._parts.append(_Part(before, columns, shape, numbers))
            widths = part.options["channels"]
            before = position.get(part.label("channels"))

    def canonical(self, rows: np.ndarray) -> np.ndarray:
        """For each row the first of all rows, in the lists' order, that is the same network."""
        found = rows.copy()
        for part in self._parts:
            if part.columns:
                first = part.first[part.before_of(rows), part.combination_of(rows)]
                found[:, part.columns] = np.stack(np.unravel_index(first, part.shape), axis=1)
        return found

    def shares(self, rows: np.ndarray) -> np.ndarray:
        """Float array (n, sum of the lists' lengths): how large a share of the samples that are the
        row's network has each value."""
        parts = [part.shares[part.before_of(rows), part.combination_of(rows)] for part in self._parts]
        return np.concatenate(parts, axis=1)


class _Part:
    """One stage: for each width before it and combination of its open choices, the canonical one.

    Attributes:
        first: int array (widths before, combinations).
        shares: float array (widths before, combinations, values of the open choices).
    """

    def __init__(
        self, before: int | None, columns: list[int], shape: tuple[int, ...], keys: list[list[str]]
    ) -> None:
        self.before, self.columns, self.shape = before, columns, shape
        count = len(keys[0])
        hot = np.zeros((count, sum(shape)))
        end = 0
        for choice, size in enumerate(shape):
            values = np.unravel_index(np.arange(count), shape)[choice]
            hot[np.arange(count), end + values] = 1
            end += size
        firsts, shares = [], []
        for row in keys:
            _, index, inverse = np.unique(np.array(row), return_index=True, return_inverse=True)
            sums = np.zeros((len(index), hot.shape[1]))
            np.add.at(sums, inverse, hot)
            firsts.append(index[inverse])
            shares.append((sums / np.bincount(inverse)[:, None])[inverse])
        self.first, self.shares = np.array(firsts, np.intp), np.array(shares)

    def before_of(self, rows: np.ndarray) -> np.ndarray:
        return rows[:, self.before] if self.before is not None else np.zeros(len(rows), np.intp)

    def combination_of(self, rows: np.ndarray) -> np.ndarray:
        if not self.columns:
            return np.zeros(len(rows), np.intp)
        return np.asarray(np.ravel_multi_index(tuple(rows[:, self.columns].T), self.shape), np.intp)
