"""The pictures of a family: accuracy against cost, and class activation maps; in the style of a search's.

>>> figure = accuracy_figure([Point("base", "base", 1e6, 0.9), Point("twice", "compound", 2e6, 0.92)],
...                          "multiply-adds", "top-1 accuracy")
>>> [text for text in figure.axes[0].get_legend_handles_labels()[1]]
['compound', 'base']
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nas.members import BASE, KINDS
from nas.search.drawing import BEST, INK, SHADES, blank, plain_axes, titled
from nas.tables import short

COLORS = dict(zip(KINDS, (SHADES[5], SHADES[0], SHADES[2], SHADES[3]), strict=True))
MARKERS = dict(zip(KINDS, "osv^", strict=True))
WIDE = 8
"""Costs so many times apart have few marks on their axis, of less there are more."""


class Point(NamedTuple):
    """A network of a curve; `cost` in multiply-adds or parameters, accuracy a fraction in [0, 1]."""

    label: str
    kind: str
    cost: float
    accuracy: float


class Cell(NamedTuple):
    """One network's map of one image, (H, W) in [0, 1], and what stands above it."""

    title: str
    heat: np.ndarray


class ImageRow(NamedTuple):
    """An image as networks see it, uint8 (H, W, 3), and their maps."""

    name: str
    pixels: np.ndarray
    cells: Sequence[Cell]


def accuracy_figure(points: Sequence[Point], cost: str, measured: str) -> Figure:
    """Accuracy against a cost (log axis): a line from the base on for each kind of scaling.

    After EfficientNet (arXiv:1905.11946), figures 1, 3, 4 and 8.
    """
    figure = blank(7, 4.6)
    axes = figure.subplots()
    titled(figure, f"Accuracy against {cost}")
    base = [point for point in points if point.kind == BASE]
    for kind in KINDS:
        line = [point for point in points if point.kind == kind]
        if not line:
            continue
        ordered = sorted([*base, *line], key=lambda point: point.cost)
        axes.plot(
            [point.cost for point in ordered], [point.accuracy for point in ordered], color=COLORS[kind],
            marker=MARKERS[kind], markersize=6, linewidth=2 if kind == "compound" else 1.3, zorder=3,
            label=kind if kind == "compound" else f"{kind} alone",
        )  # fmt: skip
        for point in line:
            axes.annotate(
                point.label, (point.cost, point.accuracy), xytext=(6, -9), textcoords="offset points",
                fontsize=7, color=INK, parse_math=False,
            )  # fmt: skip
    for point in base:
        axes.scatter(
            point.cost, point.accuracy, marker="*", s=220, color=BEST, edgecolor=INK, linewidth=0.8, zorder=4,
            label=point.label,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel(cost)
    axes.set_ylabel(measured, parse_math=False)
    axes.margins(x=0.08, y=0.1)
    wide = max(point.cost for point in points) > WIDE * min(point.cost for point in points)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if wide else (1, 1.5, 2, 3, 5, 7)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    plain_axes(axes)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=5)
    return figure


def cam_figure(rows: Sequence[ImageRow], columns: Sequence[str]) -> Figure:
    """One row an image, as it is and with each network's map over it; after EfficientNet, figure 7."""
    figure = blank(1.9 * (len(columns) + 1), 2.2 * len(rows) + 0.3)
    grid = figure.subplots(len(rows), len(columns) + 1, squeeze=False)
    for number, row in enumerate(rows):
        for axes, title, heat in zip(
            grid[number],
            [row.name, *(cell.title for cell in row.cells)],
            [None, *(cell.heat for cell in row.cells)],
            strict=True,
        ):
            axes.imshow(row.pixels)
            if heat is not None:
                axes.imshow(heat, cmap="turbo", alpha=0.5, vmin=-0.12, vmax=1.12)  # whose ends are dark
            axes.set_title(title, fontsize=7, color=INK, parse_math=False)
            axes.set_axis_off()
    for axes, column in zip(grid[0], ["image", *columns], strict=True):
        axes.set_title(f"{column}\n{axes.get_title()}", fontsize=7, color=INK, parse_math=False)
    return figure
