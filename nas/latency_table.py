"""Predicted latencies of thousands of samples at once: a table a stage, as `nas.cost_table` has of multiply-adds.

>>> from nas.latency_model import HeldOut, PartRow, parts_of_space
>>> from nas.space import SearchSpace
>>> space = SearchSpace.load("digits")
>>> facts = dict.fromkeys(("space_sha256", "processor", "machine", "date"), "?")
>>> model = LatencyModel(                       # every part takes 2 ms
...     **facts, space="digits", classes=10, in_chans=1, device="cpu", threads=1, batch=1, networks=1, seconds=1,
...     offset=0.5, slope=1, held_out=HeldOut(n=0, median=0, p90=0, spearman=None), seed=0, versions={},
...     parts={name: PartRow(2.0, 1) for name in parts_of_space(space)})
>>> table = LatencyTable(space, model)
>>> sample = space.sample(np.random.default_rng(0))
>>> table(space.costs.indices([sample])).tolist() == [table.of(space.decode(sample))]
True
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from nas.architecture import Architecture, stage_blocks
from nas.latency_model import LatencyModel, part_of

if TYPE_CHECKING:
    from nas.space import SearchSpace


class LatencyTable:
    """Milliseconds of many samples of a space at once, by table; and of architectures.

    Args:
        model: of this space.

    Raises:
        NasError: where the model lacks a part of the space.
    """

    def __init__(self, space: "SearchSpace", model: LatencyModel) -> None:
        self.model = model
        self._columns: list[tuple[int | None, list[int], tuple[int, ...], np.ndarray]] = []
        position = {label: number for number, label in enumerate(space.choices)}
        self._sizes = [len(values) for values in space.choices.values()]
        frame = space.frame
        self._stem = model.ms("stem")
        heights, widths, before = frame.heights()[1:], (frame.stem.channels,), None
        for choices, height, after in zip(space.stages, heights, heights[1:], strict=False):
            stages = [choices.stage(values) for values in choices.combinations()]
            sums = [[self._stage(stage, width, height, after) for stage in stages] for width in widths]
            columns = [position[label] for label in choices.open]
            shape = tuple(len(values) for values in choices.open.values())
            self._columns.append((before, columns, shape, np.array(sums)))
            widths = choices.options["channels"]
            before = position.get(choices.label("channels"))
        tails = np.array([[model.ms(f"tail {width}")] for width in widths])
        self._columns.append((before, [], (), tails))

    def of(self, arch: Architecture) -> float:
        """Milliseconds of one network of the space."""
        return self.model.milliseconds(arch)

    def _stage(self, stage: Any, width: int, height: int, after: int) -> float:
        first, rest = stage_blocks(stage, width)
        found = self.model.ms(part_of(first, width, height).name)
        if rest is not None:
            found += (stage.layers - 1) * self.model.ms(part_of(rest, stage.channels, after).name)
        return found

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Milliseconds, float array (n,), of an index array (n, choices)."""
        total = np.full(len(rows), self._stem)
        for before, columns, shape, sums in self._columns:
            width = rows[:, before] if before is not None else 0
            total += sums[width, np.ravel_multi_index(tuple(rows[:, columns].T), shape) if columns else 0]
        return self.model.of_sum(total)

    def of_random(self, n: int, seed: int) -> np.ndarray:
        """Milliseconds of `n` uniform samples, the same ones as `nas.cost_table.CostTable.of_random`'s."""
        return self(np.random.default_rng(seed).integers(0, self._sizes, size=(n, len(self._sizes))))
