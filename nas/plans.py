"""What a network may cost, and what was found for it: values of `nas.planning`.

>>> Budget(params=-1)
Traceback (most recent call last):
...
nas.errors.NasError: params is -1; give a number over 0, such as 800M or 2x
"""

import math
from dataclasses import dataclass

from nas.architecture import Architecture
from nas.errors import NasError

COSTS = ("macs", "params")


@dataclass(frozen=True)
class Budget:
    """What a network may cost: one figure is aimed at, two are limits that both hold.

    Attributes:
        macs: multiply-adds of one image.
        params: parameters.
    """

    macs: float | None = None
    params: float | None = None

    def __post_init__(self) -> None:
        if not self.limits:
            raise NasError("a budget has neither macs nor params; give one of them, or both")
        for name, value in self.limits.items():
            if not (math.isfinite(value) and value > 0):
                raise NasError(f"{name} is {value}; give a number over 0, such as 800M or 2x")

    @property
    def limits(self) -> dict[str, float]:
        return {name: value for name in COSTS if (value := getattr(self, name)) is not None}

    def excess(self, arch: Architecture) -> float:
        """log(cost / budget), of the figure that is nearest to its limit or furthest over it."""
        return max(math.log(getattr(arch, name) / value) for name, value in self.limits.items())


@dataclass(frozen=True)
class Plan:
    """A network of a budget.

    Attributes:
        architecture: the network.
        phi: the compound coefficient at which real numbers would meet the budget.
        depth: layers of its stages, as a ratio to the baseline's.
        width: geometric mean of the ratios of its channels to the baseline's (stem, stages, head).
        resolution: ratio of the pixels of a side.
        deviation: of depth, width and resolution, how far the logarithm of the ratio is from the compound
            direction's at phi, relative to it (absolute where the direction leaves it alone); at 1x 0.
        excess: log(cost / budget).
    """

    architecture: Architecture
    phi: float
    depth: float
    width: float
    resolution: float
    deviation: dict[str, float]
    excess: float

    @property
    def furthest(self) -> float:
        return max(abs(off) for off in self.deviation.values())
