"""The pictures of a search: reward over results, accuracy against cost, and what was chosen over time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nas.search.costs import MACS, UNITS
from nas.search.drawing import (
    BEST,
    FRONT,
    INK,
    MUTED,
    SHADES,
    TARGET,
    blank,
    label_points,
    plain_axes,
    titled,
)
from nas.search.journal import Trial
from nas.search.known import Known
from nas.search.settings import RewardSettings

COLUMNS, PANELS = 6, 60
"""Of choices that are not called `stage.field`: so many beside each other, and in all, at most."""


def pareto_front(trials: Sequence[Trial], cost: str = MACS) -> list[Trial]:
    """The trials that no other beats in accuracy at the same or a lower cost."""
    front: list[Trial] = []
    for trial in sorted(trials, key=lambda t: (getattr(t, cost) or 0, -(t.accuracy or 0))):
        if not front or (trial.accuracy or 0) > (front[-1].accuracy or 0):
            front.append(trial)
    return front


def pareto_figure(
    trials: Sequence[Trial],
    target: float,
    reward: RewardSettings,
    measured: str = "accuracy on held-out training images",
    known: Sequence[Known] = (),
) -> Figure:
    """Accuracy against the reward's cost (log axis): front, target, best, the line of its reward, and known answers."""
    unit = UNITS[reward.cost]

    def x(trial: Trial) -> float:
        return reward.paid(trial) / unit.divisor

    figure = blank(7, 4.6)
    axes = figure.subplots()
    scored = [t for t in trials if t.scored]
    shown = [one for one in known if one.accuracy is not None and one.macs is not None]
    titled(figure, f"Accuracy against {unit.words}")
    axes.set_xscale("log")
    if shown:
        axes.scatter(
            [(one.macs or 0) / 1e6 for one in shown], [one.accuracy or 0 for one in shown], marker="D", s=52,
            facecolor="white", edgecolor=TARGET, linewidth=1.6, zorder=5, label="known answer",
        )  # fmt: skip
    if scored:
        order = axes.scatter(
            [x(t) for t in scored],
            [t.accuracy or 0 for t in scored],
            c=range(1, len(scored) + 1),
            cmap="viridis",
            s=36,
            edgecolor="white",
            linewidth=0.6,
            zorder=3,
        )
        figure.colorbar(order, ax=axes, label="result", pad=0.01)
        front = pareto_front(scored, reward.cost)
        axes.step(
            [x(t) for t in front], [t.accuracy or 0 for t in front],
            where="post", color=FRONT, linewidth=1.4, label="Pareto front", zorder=2,
        )  # fmt: skip
        best = max(scored, key=lambda t: (t.reward or 0, -t.number))
        axes.scatter(
            x(best), best.accuracy or 0,
            marker="*", s=260, color=BEST, edgecolor=INK, linewidth=0.8, zorder=4,
            label=f"best reward: trial {best.number}, {best.reward:.4f}",
        )  # fmt: skip
        _equal_reward(axes, best, target, reward)
    stopped = [t for t in trials if t.state == "stopped" and t.accuracy is not None]
    if stopped:
        axes.scatter(
            [x(t) for t in stopped], [t.accuracy or 0 for t in stopped],
            marker="v", s=24, color=MUTED, label="stopped early (at least this)", zorder=2,
        )  # fmt: skip
    aim = target / unit.divisor
    label = f"target {aim:.4g}{'' if reward.cost == MACS else ' '}{unit.symbol}"
    axes.axvline(aim, color=TARGET, linestyle="--", linewidth=1.2, label=label)
    axes.set_xlabel(unit.axis)
    axes.set_ylabel(measured)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    plain_axes(axes)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=4 if shown else 5)
    if shown:
        _named(axes, shown, trials, target)
    return figure


def _named(axes: Axes, known: Sequence[Known], trials: Sequence[Trial], target: float) -> None:
    """The names of known answers, beside the trials and the target's line."""
    points = [((one.macs or 0) / 1e6, one.accuracy or 0, one.name) for one in known]
    others = [((t.macs or 0) / 1e6, t.accuracy) for t in trials if t.accuracy is not None]
    line = [(target / 1e6, float(y)) for y in np.linspace(*axes.get_ylim(), 40)]
    label_points(axes, points, [*others, *line])


def _equal_reward(axes: Axes, best: Trial, target: float, reward: RewardSettings) -> None:
    """Where a network would have to lie to be worth as much as the best."""
    x_limits, y_limits = axes.get_xlim(), axes.get_ylim()
    costs = np.geomspace(*x_limits, 200) * UNITS[reward.cost].divisor
    alpha, beta = reward.exponents
    accuracy = (best.reward or 0) / (costs / target) ** np.where(costs <= target, alpha, beta)
    axes.plot(
        costs / UNITS[reward.cost].divisor,
        accuracy,
        color=BEST,
        linestyle=":",
        linewidth=1.2,
        label="equal reward",
        zorder=1,
    )
    axes.set_xlim(x_limits)
    axes.set_ylim(y_limits)


def choices_figure(
    trials: Sequence[Trial], choices: Mapping[str, tuple[Any, ...]], window: int = 10
) -> Figure:
    """Shares of every choice's values among the last `window` proposals, over the trials.

    Choices that are called `stage.field` have a row for each stage; others stand as they come.
    """
    ordered = sorted(trials, key=lambda t: t.number)
    rows, titles, sides = _layout(list(choices))
    figure = blank(1.9 * len(rows[0]) + 0.6, 1.25 * len(rows) + 0.9)
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False, sharex=True, sharey=True)
    titled(figure, f"What was proposed: shares in the last {window} trials")
    for row, labels in enumerate(rows):
        grid[row][0].set_ylabel(sides[row], fontsize=8, color=INK, parse_math=False)
        for column, label in enumerate(labels):
            axes = grid[row][column]
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            axes.tick_params(labelsize=7, length=2)
            if titles[row][column]:
                axes.set_title(titles[row][column], fontsize=9, color=INK, parse_math=False)
            values = choices.get(label)
            if values is None or not ordered:
                axes.set_axis_off()
                continue
            shares = _shares([values.index(t.sample[label]) for t in ordered], len(values), window)
            axes.stackplot(range(1, len(ordered) + 1), shares, colors=SHADES, linewidth=0)
            axes.set_xlim(1, max(2, len(ordered)))
            axes.set_ylim(0, 1)
            edges = np.concatenate([[0], np.cumsum(shares[:, -1])])
            for value, low, high in zip(values, edges[:-1], edges[1:], strict=True):
                if high - low > 0.12:
                    axes.annotate(
                        _cut(value), (0.97, (low + high) / 2), xycoords=("axes fraction", "data"),
                        ha="right", va="center", fontsize=7, color="white", parse_math=False,
                    )  # fmt: skip
    return figure


def _layout(labels: list[str]) -> tuple[list[list[str]], list[list[str]], list[str]]:
    """(rows of labels, their titles, what stands beside each row); '' where nothing is."""
    parts = [label.split(".") for label in labels]
    if all(len(part) == 2 for part in parts):
        stages = list(dict.fromkeys(stage for stage, _ in parts))
        fields = list(dict.fromkeys(field for _, field in parts))
        rows = [[f"{stage}.{field}" for field in fields] for stage in stages]
        return rows, [fields, *[[""] * len(fields)] * (len(stages) - 1)], stages
    shown = labels[:PANELS]
    columns = math.ceil(len(shown) / math.ceil(len(shown) / COLUMNS))
    shown += [""] * (-len(shown) % columns)
    rows = [shown[start : start + columns] for start in range(0, len(shown), columns)]
    return rows, [[_cut(label) for label in row] for row in rows], [""] * len(rows)


def _cut(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:17]}..."


def _shares(indices: list[int], values: int, window: int) -> np.ndarray:
    """Array (values, trials): the share of each value among the last `window` trials."""
    hot = np.eye(values)[indices]
    sums = np.cumsum(hot, axis=0)
    sums[window:] -= np.cumsum(hot, axis=0)[:-window]
    return (sums / sums.sum(axis=1, keepdims=True)).T
