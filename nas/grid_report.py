"""What a grid search of coefficients prints: every candidate, and which of them are one network."""

import math

from rich import box
from rich.console import Console
from rich.table import Table

from nas.documents import GridRow, ScalingLine
from nas.search.scaling_grid import PRODUCT
from nas.tables import short

COLUMNS = (
    "alpha", "beta", "gamma", "product", "depth", "width", "px", "macs", "accuracy", "reward", "trial", "",
)  # fmt: skip
FAR = 1.1
"""A ratio that is so many times the one asked for is another one."""


def grid_report(console: Console, scaling: ScalingLine) -> None:
    """Prints the table of a search, and its winner."""
    assert scaling.table is not None
    assert scaling.search is not None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    chosen = (scaling.alpha, scaling.beta, scaling.gamma)
    for row in scaling.table:
        mark = "*" if (row.alpha, row.beta, row.gamma) == chosen else ""
        table.add_row(*_cells(row), mark)
    console.print(table)
    known = {row.trial for row in scaling.table if row.accuracy is not None}
    networks = {(row.depth, row.width, row.resolution, row.macs, row.params) for row in scaling.table}
    console.print(
        f"alpha {scaling.alpha:g}, beta {scaling.beta:g}, gamma {scaling.gamma:g} (*), of {len(scaling.table)} "
        f"coefficients; {len(known)} of about {len(networks)} networks trained, at about "
        f"{scaling.search.multiple:g} x the baseline's multiply-adds"
    )
    if (far := _far(scaling)) is not None:
        console.print(
            "whole layers, eights of channels and pixels in fours decided more than the coefficients did: the "
            f"winner's network grew depth {far.depth:.3g} x, width {far.width:.3g} x, to {far.resolution} px; a larger "
            "multiple (classArgs: scaling) leaves more room"
        )
    console.print(
        f"product: alpha x beta^2 x gamma^2, near {PRODUCT}; depth and width: realised ratios; rows of one trial are "
        "one network, and of the winner's those coefficients count that it came nearest to"
    )


def _far(scaling: ScalingLine) -> GridRow | None:
    """The winner's row, where its network is over `FAR` away from the coefficients in depth or width."""
    assert scaling.table is not None
    assert scaling.search is not None
    chosen = (scaling.alpha, scaling.beta, scaling.gamma)
    row = next(row for row in scaling.table if (row.alpha, row.beta, row.gamma) == chosen)
    phi = math.log(scaling.search.multiple) / math.log(_product(row))
    pairs = ((row.depth, row.alpha), (row.width, row.beta))
    return row if any(not 1 / FAR < ratio / asked**phi < FAR for ratio, asked in pairs) else None


def _product(row: GridRow) -> float:
    return row.alpha * row.beta**2 * row.gamma**2


def _cells(row: GridRow) -> list[str]:
    measured = ["" if value is None else f"{value:.4f}" for value in (row.accuracy, row.reward)]
    trial = "" if row.trial is None else str(row.trial)
    ratios = [f"{row.depth:.3g}", f"{row.width:.3g}", str(row.resolution)]
    named = [f"{value:g}" for value in (row.alpha, row.beta, row.gamma)]
    return [*named, f"{_product(row):.3f}", *ratios, short(row.macs), *measured, trial]
