"""From timed networks to a latency model: a regression over layers, what was measured of each part, one correction.

1. *Regression.* A part takes the sum of its layers, and a layer a constant, so much a multiply-add, so much a value
   that it reads or writes and so much a weight, none of them negative and each by kind of layer (non-negative least
   squares of relative errors). It knows every part of a space, measured or not.
2. *Table.* What was measured of a part pulls its prediction from the regression's, the more the more networks it was
   timed in (a mean shrunk as by empirical Bayes, in logarithms).
3. *Correction.* offset + slope * sum of the parts, by least squares of relative errors on the fitted networks.

>>> round(shrunk(np.log([1.2, 1.2]), noise=0.1, spread=0.1), 3)      # two of them: two thirds of the way
0.122
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.stats import rankdata

from nas.latency_model import HeldOut, Part, PartRow
from nas.specs import Activation, Branches, Conv, LayerSpec, Linear, SqueezeExcite

QUARTILE = 25
"""The percentile that stands for the passes of a network, or of a part: what a busy machine adds is never negative,
so the upper half says more of the others than of the network; the very fastest pass is one, and rests on luck."""

EXACT = 0.01
"""A relative residual that is none: no weights are told apart by less."""
STEEPEST = 1.5
"""The correction's largest slope, and the inverse of its least: beyond it a ratio alone is fitted."""


@dataclass(frozen=True)
class Timed:
    """One network that was timed.

    Attributes:
        parts: names, in order.
        ms: of each part, float array (parts,); of a network timed undivided (1,).
        total: milliseconds of the whole.
    """

    parts: tuple[str, ...]
    ms: np.ndarray
    total: float


def features(part: Part) -> dict[str, float]:
    """What a part's layers do, by kind: counts, and millions of multiply-adds, of values moved and of weights."""
    found: dict[str, float] = {}

    def add(kind: str, **amounts: float) -> None:
        for name, amount in {"count": 1.0, **amounts}.items():
            found[f"{kind} {name}"] = found.get(f"{kind} {name}", 0.0) + amount

    def walk(layers: Sequence[LayerSpec], channels: int, height: int) -> tuple[int, int]:
        for layer in layers:
            macs, after = layer.step(height)
            if isinstance(layer, Conv):
                moved = (layer.in_channels * height**2 + layer.out_channels * after**2) / 1e6
                depthwise = layer.groups > 1
                side = f"depthwise {layer.kernel}/{layer.stride}" if depthwise else f"conv {layer.kernel}"
                kind = "pointwise" if layer.kernel == 1 else side
                weights = (
                    {}
                    if depthwise
                    else {
                        "weights": (layer.params - (2 * layer.norm + layer.bias) * layer.out_channels) / 1e6
                    }
                )
                add(kind, macs=macs / 1e6, moved=moved, **weights)
                channels = layer.out_channels
                for there, name in ((layer.norm, "norm"), (layer.activation, activation)):
                    if there:
                        add(name, moved=channels * after**2 / 1e6)
            elif isinstance(layer, SqueezeExcite):
                add("se", macs=macs / 1e6, moved=layer.channels * height**2 / 1e6)
            elif isinstance(layer, Linear):
                add("linear", macs=macs / 1e6, moved=layer.in_channels * height**2 / 1e6)
                channels = layer.out_channels
            elif isinstance(layer, Branches):
                given = channels // len(layer.branches) if layer.split else channels
                channels = sum(walk(branch, given, height)[0] for branch in layer.branches)
                add("joined", moved=channels * after**2 / 1e6)
            else:
                add(activation if isinstance(layer, Activation) else "pool", moved=channels * height**2 / 1e6)
            height = after
        return channels, height

    activation = f"activation {part.activation}".strip()
    channels, height = walk(part.layers, part.channels, part.height)
    walk(part.projection, part.channels, part.height)
    if part.shortcut != "none":
        add(f"shortcut {part.shortcut}", moved=channels * height**2 / 1e6)
    return found


def regress(parts: Mapping[str, Part], names: Sequence[str], ms: np.ndarray) -> dict[str, float]:
    """Milliseconds of every part of `parts`, from some that were measured, `names` with their `ms`, (n,)."""
    described = {name: features(part) for name, part in parts.items()}
    columns = sorted({key for found in described.values() for key in found})

    def matrix(some: Sequence[str]) -> np.ndarray:
        return np.array([[described[name].get(column, 0.0) for column in columns] for name in some])

    scaled = matrix(names) / ms[:, None]
    sizes = np.maximum(scaled.max(axis=0), 1e-300)
    weights, _ = nnls(scaled / sizes, np.ones(len(ms)), maxiter=100 * len(columns))
    for _ in range(3):  # relative residuals beyond two typical ones count for less (Huber's weights)
        off = np.abs(scaled / sizes @ weights - 1)
        few = np.sqrt(np.minimum(1, max(2 * np.median(off), EXACT) / np.maximum(off, EXACT)))
        weights, _ = nnls(scaled / sizes * few[:, None], few, maxiter=100 * len(columns))
    every = matrix(list(parts)) / sizes @ weights
    least = float(ms.min()) / 2  # of a part whose every kind of layer was never measured
    return dict(zip(parts, np.maximum(every, least).tolist(), strict=True))


def shrunk(logs: np.ndarray, noise: float, spread: float) -> float:
    """The mean of log ratios of standard deviation `noise`, pulled to 0, around which true ones have `spread`."""
    n = len(logs)
    return float(np.median(logs) * n * spread**2 / (n * spread**2 + noise**2))


def tabulate(parts: Mapping[str, Part], timed: Sequence[Timed]) -> dict[str, PartRow]:
    """Milliseconds of every part, from the fitted networks."""
    seen: dict[str, list[float]] = {}
    for network in timed:
        own: dict[str, list[float]] = {}
        for name, ms in zip(network.parts, network.ms, strict=True):
            own.setdefault(name, []).append(float(ms))
        for name, several in own.items():
            seen.setdefault(name, []).append(
                float(np.mean(several))
            )  # repeats in one network are one measuring
    names = list(seen)
    medians = np.array([np.median(seen[name]) for name in names])
    guess = regress(parts, names, medians)
    off = {name: np.log(np.array(values) / guess[name]) for name, values in seen.items()}
    several = [values - np.median(values) for values in off.values() if len(values) > 2]
    inside = np.concatenate(several) if several else np.zeros(1)
    noise = max(1e-3, 1.4826 * float(np.median(np.abs(inside))))  # the deviation of a normal of such a median
    between = float(np.var([np.median(values) for values in off.values()]))
    typical = float(np.median([len(values) for values in off.values()]))
    spread = float(np.sqrt(max(between - noise**2 / typical, (noise / 3) ** 2)))
    return {
        name: PartRow(
            float(ms * np.exp(shrunk(off[name], noise, spread))) if name in off else ms,
            len(seen.get(name, ())),
        )
        for name, ms in guess.items()
    }


def correct(table: Mapping[str, PartRow], timed: Sequence[Timed]) -> tuple[float, float]:
    """(offset, slope) of a network's milliseconds over the sum of its parts'."""
    sums = np.array([sum(table[name].ms for name in network.parts) for network in timed])
    totals = np.array([network.total for network in timed])
    if np.ptp(sums) < 0.05 * sums.mean():  # all alike: two numbers cannot be told
        return 0.0, float(np.median(totals / sums))
    design = np.stack([np.ones(len(sums)), sums], axis=1) / totals[:, None]
    (offset, slope), *_ = np.linalg.lstsq(design, np.ones(len(sums)), rcond=None)
    if not 1 / STEEPEST < slope < STEEPEST or offset + slope * sums.min() <= 0:  # of a few noisy ones
        return 0.0, float(np.median(totals / sums))
    return float(offset), float(slope)


def errors(predicted: np.ndarray, measured: np.ndarray) -> tuple[float, float, float | None]:
    """(median, 90th percentile) of relative errors, of 1, and Spearman's rank correlation, None of under three."""
    off = np.abs(predicted / measured - 1)
    alike = len(predicted) < 3 or np.ptp(predicted) == 0 or np.ptp(measured) == 0
    rank = None if alike else float(np.corrcoef(rankdata(predicted), rankdata(measured))[0, 1])
    return float(np.median(off)), float(np.percentile(off, 90)), rank


def judge(
    table: Mapping[str, PartRow], line: tuple[float, float], judged: Sequence[tuple[Sequence[str], float]],
    twice: Sequence[tuple[float, float]],
) -> HeldOut:  # fmt: skip
    """The model's errors on held-out networks, and the machine's own.

    Args:
        table, line: of `tabulate` and `correct`.
        judged: (names of its parts, milliseconds) of each network.
        twice: (once, again) in milliseconds, of those that were measured twice.
    """
    offset, slope = line
    predicted = np.array([offset + slope * sum(table[name].ms for name in names) for names, _ in judged])
    median, p90, rank = errors(predicted, np.array([ms for _, ms in judged]))
    found = HeldOut(n=len(judged), median=median, p90=p90, spearman=rank)
    if not twice:
        return found
    once, again = np.array(twice).T
    noise = zip(("noise_median", "noise_p90", "noise_spearman"), errors(again, once), strict=True)
    return found.model_copy(update={"noise_n": len(twice), **dict(noise)})
