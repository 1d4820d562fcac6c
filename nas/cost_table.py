"""Exact cost of thousands of samples at once.

A stage's cost depends on its own choices and on the channels before it, so one small table for each
stage is all there is to add up.

>>> from nas.space import SearchSpace
>>> space = SearchSpace.load("digits")
>>> samples = [space.sample(np.random.default_rng(seed)) for seed in range(3)]
>>> params, macs = space.costs(space.costs.indices(samples))
>>> macs.tolist() == [space.decode(sample).macs for sample in samples]
True
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.architecture import head_cost, stage_cost, stem_cost
from nas.cost import Cost
from nas.errors import NasError

if TYPE_CHECKING:
    from nas.space import SearchSpace


@dataclass(frozen=True)
class _Table:
    """(params, macs) of one part: int64 array (values of the channels before, *open fields, 2)."""

    before: str | None
    labels: tuple[str, ...]
    costs: np.ndarray
    channels: str | None

    def pick(self, column: Mapping[str, np.ndarray]) -> np.ndarray:
        """Costs (samples, 2), by the positions of each sample's values in their lists."""
        return self.costs[(column[self.before] if self.before else 0, *(column[x] for x in self.labels))]

    def reach(self, before: np.ndarray, best: Any) -> np.ndarray:
        """The best macs up to this part, by value of its channels, from those up to the part before."""
        macs = self.costs[..., 1] + before.reshape(-1, *[1] * len(self.labels))
        kept = 1 + self.labels.index(self.channels) if self.channels else None
        return np.atleast_1d(best(macs, axis=tuple(axis for axis in range(macs.ndim) if axis != kept)))


class CostTable:
    """Parameters and multiply-adds of samples of a space, by table.

    Raises:
        NasError: where a network of the space costs more than 64 bits can count.
    """

    def __init__(self, space: "SearchSpace") -> None:
        self._choices = space.choices
        frame = space.frame
        stem, _ = stem_cost(frame.stem, frame.resolution)
        self._stem = np.array(stem, np.int64)
        self._tables: list[_Table] = []
        self._most = max(stem)
        widths, before = (frame.stem.channels,), None
        *before_stages, last = frame.heights()[1:]  # of one stage alike, whatever is chosen
        for part, height in zip(space.stages, before_stages, strict=True):
            stages = [part.stage(values) for values in part.combinations()]
            costs = [stage_cost(stage, width, height)[0] for width in widths for stage in stages]
            widths = part.options["channels"]
            before = self._add(costs, before, part.open, part.label("channels"), space.name)
        heads = [head_cost(frame.head, width, last) for width in widths]
        self._add(heads, before, {}, "", space.name)

    def _add(
        self, costs: list[Cost], before: str | None, fields: Mapping[str, Any], channels: str, name: str
    ) -> str | None:
        """Adds a part's table; the label of its channels, if they are open."""
        self._most += max(map(max, costs))
        if self._most >= 1 << 63:
            raise NasError(f"{name}: has networks of over {self._most:.1e} multiply-adds; make them smaller")
        own = channels if channels in fields else None
        shape = (len(self._choices[before]) if before else 1, *map(len, fields.values()), 2)
        self._tables.append(_Table(before, tuple(fields), np.array(costs, np.int64).reshape(shape), own))
        return own

    def indices(self, samples: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """int array (samples, choices): the position of each value in its list."""
        lists = self._choices.items()
        rows = [[values.index(sample[label]) for label, values in lists] for sample in samples]
        return np.array(rows, np.intp).reshape(len(samples), len(lists))

    def __call__(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(params, macs), int64 arrays (samples,), of an index array (samples, choices)."""
        column = {label: indices[:, i] for i, label in enumerate(self._choices)}
        total = np.tile(self._stem, (len(indices), 1))
        for table in self._tables:
            total += table.pick(column)
        return total[:, 0], total[:, 1]

    def of_random(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(params, macs) of `n` uniform samples."""
        sizes = [len(values) for values in self._choices.values()]
        return self(np.random.default_rng(seed).integers(0, sizes, size=(n, len(sizes))))

    def macs_range(self) -> tuple[int, int]:
        """Exactly the fewest and the most multiply-adds of any architecture of the space."""
        ends = []
        for best in (np.min, np.max):
            reach = self._stem[1:]
            for table in self._tables:
                reach = table.reach(reach, best)
            ends.append(int(reach.item()))
        return ends[0], ends[1]
