"""Pictures of verdicts: which choices mattered, and the winner against its rivals.

>>> from nas.search.importance import Importance, Importances
>>> found = Importances(40, (Importance("a", 0.5, 0.2, 0.9), Importance("b", 0.0, -0.1, 0.1)), (), 0.6, 0.2, 0.8)
>>> [text.get_text() for text in importance_figure(found).axes[0].get_yticklabels()]
['a', 'b']
"""

from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nas.search.certificate_file import Certificate
from nas.search.drawing import BEST, FRONT, INK, PALE, blank, plain_axes, titled
from nas.search.importance import Importances

FAINT = "#767c82"
"""Of names of what is not distinguishable."""
SHOWN = 48
"""Choices that are drawn, at most."""
APART = 0.1
"""Of a row, between dots that would lie on each other."""
SAME = 0.012
"""Of the axis's width: dots nearer than that would."""


def importance_figure(found: Importances) -> Figure:
    """A bar a choice, the most important above, with its interval; pale where that is not above 0."""
    shown = found.choices[:SHOWN]
    figure = blank(7, 0.22 * len(shown) + 1.5)
    axes = figure.subplots()
    titled(figure, "What mattered")
    for sure, color, edge, label in (
        (True, FRONT, INK, "interval above 0"), (False, PALE, FAINT, "not distinguishable from none"),
    ):  # fmt: skip
        rows = [(n, one) for n, one in enumerate(shown) if one.distinguishable == sure]
        if rows:
            places = [n for n, _ in rows]
            axes.barh(places, [one.value for _, one in rows], height=0.62, color=color, label=label)
            axes.hlines(
                places, [one.low for _, one in rows], [one.high for _, one in rows], color=edge, linewidth=1.1
            )
            axes.scatter([one.value for _, one in rows], places, s=11, color=edge, zorder=3)
    axes.axvline(0, color=INK, linewidth=0.8)
    _rows(axes, [one.label for one in shown], [one.distinguishable for one in shown])
    axes.set_xlabel("share of the variance of accuracy that is lost where the choice is permuted")
    plain_axes(axes, "x")
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    return figure


def margins_figure(found: Certificate) -> Figure:
    """The winner's margin over each rival around 0, and every network's test accuracies beside it."""
    names = [one.name for one in found.judged]
    figure = blank(7.6, 0.46 * len(names) + 1.5)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
    titled(figure, "The winner against its rivals")
    sure = {one.rival: one.distinguishable for one in found.contrasts}
    for one in found.contrasts:
        if one.rival in names:
            _margin(left, names.index(one.rival), one.margin, one.low, one.high, one.distinguishable)
    left.axvline(0, color=INK, linewidth=0.9)
    left.set_xlabel("points of test accuracy")
    left.set_title("the winner's margin: worse left of 0, better right of it", fontsize=8, color=FAINT)
    for row, one in enumerate(found.judged):
        color = BEST if row == 0 else FRONT
        values = [100 * value for value in one.accuracies]
        if values:
            right.scatter(
                values, _spread(values, row, found), s=16, color=color, alpha=0.85, linewidth=0, zorder=3
            )
            mean = sum(values) / len(values)
            right.plot([mean, mean], [row - 0.3, row + 0.3], color=INK, linewidth=1.3, zorder=4)
    right.set_xlabel("test accuracy, % (bar: mean)")
    right.set_title("every network's accuracy, one dot a seed", fontsize=8, color=FAINT)
    right.margins(x=0.08)
    _rows(left, names, [sure.get(name, True) for name in names])
    for axes in (left, right):
        plain_axes(axes, "x")
        axes.tick_params(axis="y", length=0)
    return figure


def _margin(axes: Axes, row: int, margin: float, low: float, high: float, sure: bool) -> None:
    color = FRONT if sure else FAINT
    axes.plot([100 * low, 100 * high], [row, row], color=color, linewidth=2, zorder=2, solid_capstyle="butt")
    for end in (low, high):
        axes.plot([100 * end] * 2, [row - 0.12, row + 0.12], color=color, linewidth=1.3, zorder=2)
    axes.scatter(
        100 * margin, row, s=44, color=color if sure else "white", edgecolor=color, linewidth=1.4, zorder=3
    )


def _spread(values: Sequence[float], row: int, found: Certificate) -> list[float]:
    """Heights of a row's dots: those that would lie on each other stand side by side."""
    everything = [100 * value for one in found.judged for value in one.accuracies]
    width = max(max(everything) - min(everything), 1e-9)
    cells = [round(value / (SAME * width)) for value in values]
    counts, seen, heights = Counter(cells), Counter(), []
    for cell in cells:
        heights.append(row + APART * (seen[cell] - (counts[cell] - 1) / 2))
        seen[cell] += 1
    return heights


def _rows(axes: Axes, names: Sequence[str], sure: Sequence[bool]) -> None:
    """A named row each, the first above."""
    shown = [name if len(name) <= 32 else f"{name[:29]}..." for name in names]
    axes.set_yticks(range(len(names)), shown, fontsize=8, parse_math=False)
    for text, one in zip(axes.get_yticklabels(), sure, strict=True):
        text.set_color(INK if one else FAINT)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
