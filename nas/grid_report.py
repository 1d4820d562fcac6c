"""What a grid search of coefficients prints: every candidate, and which of them are one network."""

import math
from collections.abc import Mapping

from rich.console import Console

from nas.documents import GridRow, ScalingLine
from nas.search.scaling_grid import PRODUCT
from nas.tables import short
from nas.terminal import show, table

COLUMNS = (
    "alpha", "beta", "gamma", "product", "depth", "width", "px", "macs", "off", "accuracy", "reward", "trial", "",
)  # fmt: skip
FAR = 1.1
"""A ratio that is so many times the one asked for is another one."""


def grid_report(
    console: Console, scaling: ScalingLine, target: int | None = None, reasons: Mapping[int, str | None] | None = None
) -> None:  # fmt: skip
    """Prints the table of a search, its winner, and what speaks against it.

    Args:
        target: multiply-adds that every network was to cost; None where that is not known.
        reasons: by trial, why it has no accuracy.
    """
    assert scaling.table is not None
    assert scaling.search is not None
    found = table(*COLUMNS, left=0)
    chosen = (scaling.alpha, scaling.beta, scaling.gamma)
    for row in scaling.table:
        mark = "*" if (row.alpha, row.beta, row.gamma) == chosen else ""
        found.add_row(*_cells(row, target), mark)
    show(console, found)
    known = {row.trial for row in scaling.table if row.accuracy is not None}
    networks = {(row.depth, row.width, row.resolution, row.macs, row.params) for row in scaling.table}
    console.print(
        f"alpha {scaling.alpha:g}, beta {scaling.beta:g}, gamma {scaling.gamma:g} (*), of {len(scaling.table)} "
        f"coefficients; {len(known)} of about {len(networks)} networks trained, at about "
        f"{scaling.search.multiple:g} x the baseline's multiply-adds"
    )
    failed = sorted({row.trial for row in scaling.table if row.trial is not None} - known)
    for number in failed:
        console.print(
            f"trial {number} failed: {(reasons or {}).get(number) or 'for an unknown reason'}", markup=False
        )
    if 2 * len(known) < len(networks):
        console.print(
            f"warning: {len(known)} of about {len(networks)} networks have an accuracy, fewer than half, and the "
            "coefficients are the best of these alone; mend what failed and search again"
        )
    if (far := _far(scaling)) is not None:
        console.print(
            "whole layers, eights of channels and pixels in fours decided more than the coefficients did: the "
            f"winner's network grew depth {far.depth:.3g} x, width {far.width:.3g} x, to {far.resolution} px; a larger "
            "multiple (classArgs: scaling) leaves more room"
        )
    console.print(
        f"product: alpha x beta^2 x gamma^2, near {PRODUCT}; depth and width: realised ratios; off: multiply-adds "
        "against the target; rows of one trial are "
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


def _cells(row: GridRow, target: int | None) -> list[str]:
    measured = ["" if value is None else f"{value:.4f}" for value in (row.accuracy, row.reward)]
    off = "" if target is None else f"{100 * (row.macs / target - 1):+.1f} %"
    trial = "" if row.trial is None else str(row.trial)
    ratios = [f"{row.depth:.3g}", f"{row.width:.3g}", str(row.resolution)]
    named = [f"{value:g}" for value in (row.alpha, row.beta, row.gamma)]
    return [*named, f"{_product(row):.3f}", *ratios, short(row.macs), off, *measured, trial]
