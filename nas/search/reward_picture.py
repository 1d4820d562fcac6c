"""The reward of every trial by order of result, and the best so far.

>>> figure = rewards_figure([("complete", 0.5), ("failed", None), ("complete", 0.7), ("complete", 0.6)])
>>> best_so_far([("complete", 0.5), ("failed", None), ("complete", 0.7), ("complete", 0.6)])
[0.5, 0.5, 0.7, 0.7]
"""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nas.search.drawing import BEST, FRONT, INK, MUTED, TARGET, blank, plain_axes, titled

Result = tuple[str, float | None]
"""State and reward of a trial."""
FOOT = {"failed": ("x", TARGET, 0.06), "rejected": ("|", INK, 0.02)}
"""Marker, colour and height above the foot, as a fraction, of trials without a reward."""
MANY = 200
"""Results from which on marks are smaller."""


def best_so_far(results: Sequence[Result]) -> list[float]:
    """The highest reward of a complete trial up to each result; nan before the first."""
    best, found = math.nan, []
    for state, worth in results:
        if state == "complete" and worth is not None and not worth <= best:
            best = worth
        found.append(best)
    return found


def rewards_figure(results: Sequence[Result]) -> Figure:
    """Reward over results, in the order in which they came, from 1."""
    figure = blank(7, 3.6)
    axes = figure.subplots()
    titled(figure, "Reward over trials")
    size = 26 if len(results) < MANY else 10
    marks = {"complete": ("o", FRONT, "complete"), "stopped": ("v", MUTED, "stopped early (at least this)"),
             "duplicate": ("s", MUTED, "answered by an earlier trial")}  # fmt: skip
    for state, (marker, color, label) in marks.items():
        shown = [(n, worth) for n, (of, worth) in enumerate(results, 1) if of == state and worth is not None]
        if shown:
            axes.scatter(
                *zip(*shown, strict=True), marker=marker, color=color, s=size, edgecolor="white", linewidth=0.5,
                label=label, zorder=3,
            )  # fmt: skip
    best = best_so_far(results)
    if any(math.isfinite(value) for value in best):
        axes.step(
            range(1, len(best) + 1),
            best,
            where="post",
            color=BEST,
            linewidth=1.8,
            label="best so far",
            zorder=2,
        )
    low, high = axes.get_ylim()
    if any(state in FOOT for state, _ in results):
        axes.set_ylim(low - 0.12 * (high - low), high)  # the foot is free of dots
    for state, (marker, color, height) in FOOT.items():
        shown = [n for n, (of, _) in enumerate(results, 1) if of == state]
        if shown:
            axes.scatter(
                shown, [height] * len(shown), marker=marker, color=color, s=size, linewidth=1.2, label=state,
                transform=axes.get_xaxis_transform(), zorder=3,
            )  # fmt: skip
    axes.set_xlim(0, max(2, len(results) + 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("result")
    axes.set_ylabel("reward")
    plain_axes(axes)
    if results:
        figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=6)
    return figure
