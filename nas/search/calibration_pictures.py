"""Pictures of a calibration: the predicted frontier with what the reward makes of it, and shorter proxies.

>>> from nas.search.calibration_file import Judgement, Proxies, Proxy
>>> one = dict(cost=0.5, rank=0.6, rank_low=0.3, rank_high=0.8, rank_at_cost=0.5, noise=0.7, regret=0.0,
...            regret_high=0.1)
>>> found = Proxies(longest=Proxy(epochs=8), top=3, bound=0.005, chance=0.1, cheapest=None,
...                 verdicts=[Judgement(fidelity=Proxy(epochs=4), **one)])
>>> [text.get_text() for text in proxies_figure(found, 0.9).axes[0].get_yticklabels()]
['4 epochs']
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from nas.search.calibration_file import Calibration, Judgement, Proxies
from nas.search.drawing import BEST, FRONT, INK, MUTED, TARGET, blank, plain_axes, titled
from nas.tables import short

WIDE = 8
"""Costs so many times apart have few marks on their axis, of less there are more."""


def frontier_figure(found: Calibration, trained: Sequence[tuple[float, float]] = ()) -> Figure:
    """Accuracy over multiply-adds (log axis): the predicted frontier, T, and where the usual exponent ends.

    Args:
        trained: (multiply-adds, accuracy) of the pilot's networks.
    """
    figure = blank(7, 4)
    axes = figure.subplots()
    titled(figure, "The frontier that the pilot predicts")
    axes.set_xscale("log")
    macs, accuracy = np.array(found.frontier, float).T if found.frontier else np.zeros((2, 0))
    landing = found.landing
    if landing.low is not None and landing.high is not None:
        axes.axvspan(
            landing.low, landing.high, color=BEST, alpha=0.18, linewidth=0,
            label=f"w = {landing.w:g} ends in here ({100 * found.level:.0f} %)", zorder=0,
        )  # fmt: skip
    if trained:
        axes.scatter(
            *zip(*trained, strict=True), s=22, color=MUTED, edgecolor="white", linewidth=0.5, zorder=2,
            label="pilot, mean over seeds",
        )  # fmt: skip
    axes.plot(
        macs, accuracy, color=FRONT, marker="o", markersize=3.5, linewidth=1.6, zorder=3, label="frontier"
    )
    if landing.value is not None:
        axes.axvline(
            landing.value, color=BEST, linewidth=1.6, label=f"w = {landing.w:g}: {short(landing.value)}"
        )
    axes.axvline(found.target, color=TARGET, linestyle="--", linewidth=1.2, label=f"T: {short(found.target)}")
    every = [*macs, *(cost for cost, _ in trained), found.target]
    wide = max(every) > WIDE * min(every)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if wide else (1, 1.5, 2, 3, 5, 7)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
    axes.set_xlabel("multiply-adds")
    axes.set_ylabel("accuracy by the longest proxy")
    plain_axes(axes)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    return figure


def proxies_figure(found: Proxies, level: float) -> Figure:
    """A row a proxy, the cheapest above: its time, and its rank correlation with the longest, with the interval."""
    drawn = sorted((one for one in found.verdicts if drawable(one)), key=lambda one: one.cost or 0)
    figure = blank(7.6, 0.42 * len(drawn) + 1.5)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.6))
    titled(figure, "What shorter proxies are worth")
    for row, one in enumerate(drawn):
        cost, rank, low, high = (float(v or 0) for v in (one.cost, one.rank, one.rank_low, one.rank_high))
        passed = found.cheapest is not None and one.fidelity == found.cheapest
        color = BEST if passed else INK if one.fidelity == found.longest else FRONT
        left.barh(row, cost, height=0.5, color=color)
        right.plot([low, high], [row, row], color=color, linewidth=2, zorder=2, solid_capstyle="butt")
        right.scatter(
            rank, row, s=130 if passed else 40, marker="*" if passed else "o", color=color, zorder=3,
            edgecolor=INK, linewidth=0.6, label="cheapest that passed" if passed else None,
        )  # fmt: skip
    right.axvline(0, color=INK, linewidth=0.8)
    right.set_xlabel(f"rank correlation ({100 * level:.0f} % interval)")
    left.set_xlabel("time, of the longest's")
    left.set_yticks(range(len(drawn)), [one.fidelity.fidelity.label for one in drawn], fontsize=8)
    left.set_ylim(len(drawn) - 0.4, -0.6)
    for axes in (left, right):
        plain_axes(axes, "x")
        axes.tick_params(axis="y", length=0)
    if any(one.fidelity == found.cheapest for one in drawn):
        figure.legend(frameon=False, fontsize=8, loc="outside lower center")
    return figure


def drawable(one: Judgement) -> bool:
    """Whether a verdict has what the picture needs."""
    return None not in (one.cost, one.rank, one.rank_low, one.rank_high) and (one.cost or 0) > 0
