"""A table as a search sees it: what is not recorded does not exist, and is never proposed.

>>> from pathlib import Path
>>> from nas.evaluators.table_csv import read_csv
>>> sheet = read_csv("depth,width,accuracy,macs\\n1,8,0.5,10\\n1,16,0.6,20\\n2,8,0.7,25\\n", Path("r.csv"))
>>> table = Table("r", sheet.choices, sheet.entries)
>>> view = plain_view(table, Limits(macs=20))
>>> [view.refuse({"depth": depth, "width": 8}) for depth in (1, 2)]
[None, 'macs 25 is over the limit of 20']
>>> view.refuse({"depth": 2, "width": 16})
'there is no such sample'
"""

from collections.abc import Callable

import numpy as np

from nas.errors import NasError
from nas.evaluators.table import Record, Table
from nas.search.settings import Limits
from nas.search.space_view import SpaceView
from nas.search.view import Sample, View, no_factor
from nas.space import SearchSpace
from nas.tables import short

Factor = Callable[[np.ndarray], np.ndarray]


def plain_view(table: Table, limits: Limits, factor: Factor = no_factor) -> View:
    """The recorded samples of a table of plain choices, within limits."""

    def macs(sample: Sample) -> float:
        record = table.find(sample)
        return table.target if record is None else record.macs  # of what there is not, any will do

    def refuse(sample: Sample) -> str | None:
        record = table.find(sample)
        return missing(table, sample) if record is None else over(limits, record)

    key = table.key if table.has_networks else None
    return View(table.choices, macs, key, refuse, factor, only=table.samples)


class RecordedView(SpaceView):
    """A search space of which only what a table records exists."""

    def __init__(self, space: SearchSpace, table: Table, limits: Limits, factor: Factor) -> None:
        super().__init__(space, limits.model_dump(), factor, only=table.samples)
        self._records = table
        self._recorded = set(self.keys(self.all_rows()))

    def refuse(self, sample: Sample) -> str | None:
        return super().refuse(sample) or missing(self._records, sample)

    def admitted(self, rows: np.ndarray) -> np.ndarray:
        recorded = np.array([key in self._recorded for key in self.keys(rows)], bool)
        return super().admitted(rows) & recorded


def check_recorded(table: Table, limits: Limits, where: str) -> None:
    """Raises NasError where limits leave no record."""
    check_params(table, limits, where)
    written = " and ".join(
        f"{name} {limit:,}" for name, limit in limits.model_dump(exclude_none=True).items()
    )
    if all(over(limits, record) for record in table.records):
        least = min(record.macs for record in table.records)
        raise NasError(
            f"{where}: limits of {written} leave none of the {len(table.records):,} networks of the table "
            f"{table.name}, whose least macs are {least:,}; raise them"
        )


def check_params(table: Table, limits: Limits, where: str) -> None:
    """Raises NasError where parameters are limited that are not recorded."""
    if limits.params is not None and any(record.params is None for record in table.records):
        raise NasError(
            f"{where}: params is limited to {limits.params:,}, but not every record of the table {table.name} "
            "has params; record them, or limit macs"
        )


def over(limits: Limits, record: Record) -> str | None:
    return limits.refuse(record.macs, record.params or 0)


def missing(table: Table, sample: Sample) -> str | None:
    return f"not recorded in the table {table.name}" if table.find(sample) is None else None


def drawn(table: Table, rng: np.random.Generator) -> Sample:
    return dict(table.records[rng.integers(len(table.records))].sample)


def extent(table: Table) -> str:
    macs = sorted(record.macs for record in table.records)
    return f"{len(macs):,} networks recorded, of {short(macs[0])} to {short(macs[-1])} multiply-adds"
