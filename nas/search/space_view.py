"""A `SearchSpace` as strategies see it, with cost and canonical form from tables.

>>> view = SpaceView(SearchSpace.load("mnasnet"), {"macs": 400_000_000})
>>> rows = view.random_rows(1000, np.random.default_rng(0))
>>> rows.shape, view.macs(rows).shape, bool(view.admitted(rows).all())
((1000, 49), (1000,), False)
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import numpy as np

from nas.key_table import KeyTable
from nas.search.costs import LATENCY, amount
from nas.search.view import Sample, View, no_factor
from nas.space import SearchSpace


class SpaceView(View):
    """A `SearchSpace`, with cost and canonical form from tables.

    Args:
        limits: on macs (of `cost`, where that is given) and params.
        cost: instead of multiply-adds, such as a latency.
        latency: milliseconds of rows, where there is a model of them, for a limit of them.
        priced: whether the reward is on those.
    """

    def __init__(
        self,
        space: SearchSpace,
        limits: Mapping[str, float | None] | None = None,
        factor: Callable[[np.ndarray], np.ndarray] = no_factor,
        only: Iterable[Sample] | None = None,
        cost: Callable[[Sample], float] | None = None,
        latency: Callable[[np.ndarray], np.ndarray] | None = None,
        priced: bool = False,
    ) -> None:
        super().__init__(
            space.choices,
            cost=cost or (lambda sample: space.decode(sample).macs),
            key=lambda sample: space.decode(sample).key,
            factor=factor,
            only=only,
        )
        self.space = space
        self._own_cost = cost is not None
        self._latency, self._priced = latency, priced
        self._limits = {name: limit for name, limit in (limits or {}).items() if limit is not None}
        self._table: KeyTable | None = None

    @property
    def table(self) -> KeyTable:
        if self._table is None:
            self._table = KeyTable(self.space)
        return self._table

    def refuse(self, sample: Sample) -> str | None:
        arch = self.space.decode(sample)
        cost: dict[str, float] = {"macs": arch.macs, "params": arch.params}
        if self._own_cost and "macs" in self._limits:
            cost["macs"] = self.macs(self.row(sample)[None])[0]
        if self._latency is not None and LATENCY in self._limits:
            cost[LATENCY] = float(self._latency(self.row(sample)[None])[0])
        for name, limit in self._limits.items():
            if cost[name] > limit:
                return f"{name} {amount(name, cost[name])} is over the limit of {amount(name, limit)}"
        return None

    def price(self, rows: np.ndarray) -> np.ndarray:
        return self._latency(rows) if self._latency is not None and self._priced else self.macs(rows)

    def keys(self, rows: np.ndarray) -> Sequence[Hashable]:
        return [row.tobytes() for row in self.table.canonical(rows)]

    def macs(self, rows: np.ndarray) -> np.ndarray:
        return super().macs(rows) if self._own_cost else self.space.costs(rows)[1].astype(float)

    def sizes_of(self, rows: np.ndarray) -> np.ndarray:
        """Log multiply-adds and log parameters, (n, 2); before them the log of a cost of the user's own."""
        params, macs = self.space.costs(rows)
        own = [self.macs(rows)] if self._own_cost else []
        return np.log(np.stack([*own, macs, params], axis=1).astype(float))

    def admitted(self, rows: np.ndarray) -> np.ndarray:
        params, macs = self.space.costs(rows)
        cost = {
            "macs": self.macs(rows) if self._own_cost and "macs" in self._limits else macs,
            "params": params,
        }
        if self._latency is not None and LATENCY in self._limits:
            cost[LATENCY] = self._latency(rows)
        within = [cost[name] <= limit for name, limit in self._limits.items()]
        return np.logical_and.reduce(within) if within else np.ones(len(rows), bool)

    def shares(self, rows: np.ndarray) -> np.ndarray:
        return self.table.shares(rows)
