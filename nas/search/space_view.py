"""A `SearchSpace` as strategies see it, with cost and canonical form from tables.

>>> view = SpaceView(SearchSpace.load("mnasnet"), {"macs": 400_000_000})
>>> rows = view.random_rows(1000, np.random.default_rng(0))
>>> rows.shape, view.macs(rows).shape, bool(view.admitted(rows).all())
((1000, 49), (1000,), False)
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import numpy as np

from nas.key_table import KeyTable
from nas.search.view import Sample, View, no_factor
from nas.space import SearchSpace


class SpaceView(View):
    """A `SearchSpace`, with cost and canonical form from tables."""

    def __init__(
        self,
        space: SearchSpace,
        limits: Mapping[str, float | None] | None = None,
        factor: Callable[[np.ndarray], np.ndarray] = no_factor,
        only: Iterable[Sample] | None = None,
    ) -> None:
        super().__init__(
            space.choices,
            cost=lambda sample: space.decode(sample).macs,
            key=lambda sample: space.decode(sample).key,
            factor=factor,
            only=only,
        )
        self.space = space
        self._limits = {name: limit for name, limit in (limits or {}).items() if limit is not None}
        self._table: KeyTable | None = None

    @property
    def table(self) -> KeyTable:
        if self._table is None:
            self._table = KeyTable(self.space)
        return self._table

    def refuse(self, sample: Sample) -> str | None:
        arch = self.space.decode(sample)
        for name, limit in self._limits.items():
            if getattr(arch, name) > limit:
                return f"{name} {getattr(arch, name):,} is over the limit of {limit:,}"
        return None

    def keys(self, rows: np.ndarray) -> Sequence[Hashable]:
        return [row.tobytes() for row in self.table.canonical(rows)]

    def macs(self, rows: np.ndarray) -> np.ndarray:
        return self.space.costs(rows)[1].astype(float)

    def sizes_of(self, rows: np.ndarray) -> np.ndarray:
        """Log multiply-adds and log parameters, (n, 2)."""
        params, macs = self.space.costs(rows)
        return np.log(np.stack([macs, params], axis=1).astype(float))

    def admitted(self, rows: np.ndarray) -> np.ndarray:
        params, macs = self.space.costs(rows)
        cost = {"macs": macs, "params": params}
        within = [cost[name] <= limit for name, limit in self._limits.items()]
        return np.logical_and.reduce(within) if within else np.ones(len(rows), bool)

    def shares(self, rows: np.ndarray) -> np.ndarray:
        return self.table.shares(rows)
