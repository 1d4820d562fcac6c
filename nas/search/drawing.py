"""What every picture shares: colours, an empty figure, its file, and labels that lie on nothing.

Pictures are drawn with matplotlib's object interface alone, without a display or global state.

>>> figure = blank(2, 1)
>>> png(figure)[:4]
b'\\x89PNG'
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, MUTED, FRONT, TARGET, BEST = "#222222", "#9aa0a6", "#0b6e99", "#c0392b", "#e69f00"
PALE, GRID = "#c3cad0", "#e6e6e6"
SHADES = ("#0b6e99", "#e69f00", "#5aa469", "#b565a7", "#9aa0a6", "#c0392b")
DPI, FINE = 110, 1.5
"""Of a figure, and how many times that its file has, for paper and fine screens."""
AROUND = [(9, 9), (9, -9), (-9, 9), (-9, -9), (0, 13), (0, -13), (18, 20), (18, -20), (-18, 20), (-18, -20),
          (14, 0), (-14, 0), (32, 34), (32, -34), (-32, 34), (-32, -34)]  # fmt: skip
"""Where a label may stand, points from its mark, the nearest first."""


def blank(width: float, height: float) -> Figure:
    """An empty figure; width and height in inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """A figure as a PNG file, with nothing in it that differs from run to run."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI * FINE, metadata={"Software": None})
    return file.getvalue()


def titled(figure: Figure, title: str) -> None:
    """A title at the left edge."""
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=12)


def plain_axes(axes: Axes, grid: Any = "both") -> None:
    """No frame above and at the right; grey lines of the grid, along `grid`."""
    axes.grid(color=GRID, linewidth=0.6, axis=grid)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float, str]],
    others: Sequence[tuple[float, float]],
    size: int = 8,
) -> None:
    """Writes a name beside each point, where it covers least of other points, names and the axes' edge.

    Args:
        points: (x, y, name) in data coordinates; a picture's limits must be final.
        others: (x, y) of what is not to be covered.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    scale = figure.dpi / 72
    edge = axes.get_window_extent()
    marks = np.array([*((x, y) for x, y, _ in points), *others], float).reshape(-1, 2)
    marks = axes.transData.transform(marks)
    taken: list[tuple[float, float, float, float]] = []
    for number, (x, y, name) in enumerate(points):
        at = marks[number]
        width, height = 0.58 * size * len(name) * scale, 1.3 * size * scale
        best: tuple[float, tuple[int, int], tuple[float, float, float, float]] | None = None
        for place, (right, up) in enumerate(AROUND):
            left = at[0] + right * scale - (width if right < 0 else width / 2 if right == 0 else 0)
            box = (left, at[1] + up * scale - height / 2, left + width, at[1] + up * scale + height / 2)
            grown = box[0] - 4, box[1] - 3, box[2] + 4, box[3] + 3
            inside = (marks > grown[:2]).all(axis=1) & (marks < grown[2:]).all(axis=1)
            over = sum(
                box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken
            )  # fmt: skip
            out = box[0] < edge.x0 or box[2] > edge.x1 or box[1] < edge.y0 or box[3] > edge.y1
            cost = 2 * inside.sum() + 8 * over + 12 * out + 0.1 * place
            if best is None or cost < best[0]:
                best = cost, (right, up), box
        assert best is not None
        _, (right, up), box = best
        taken.append(box)
        note = axes.annotate(
            name, (x, y), xytext=(right, up), textcoords="offset points", fontsize=size, color=INK, zorder=6,
            ha="right" if right < 0 else "center" if right == 0 else "left", va="center", parse_math=False,
            arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3},
            bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )  # fmt: skip
        note.set_in_layout(False)
