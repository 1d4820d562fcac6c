"""Closed-form parameters and multiply-adds of layer specs; no tensor is made.

Multiply-adds (`macs`) are those of convolutions and linear layers, with no biases, batch norm,
pooling or activations: the count the papers call FLOPS (EfficientNet-B0: 385,814,752).

>>> from nas.ops import OPS
>>> cost(OPS["conv"].layers(3, 32, kernel=3, stride=2), height=224)
(Cost(params=928, macs=10838016), 112)
"""

from collections.abc import Iterable
from typing import NamedTuple

from nas.specs import LayerSpec


class Cost(NamedTuple):
    """Parameters (weights, biases, norm's scale and shift) and multiply-adds for one image."""

    params: int
    macs: int

    def plus(self, other: "Cost", times: int = 1) -> "Cost":
        return Cost(self.params + times * other.params, self.macs + times * other.macs)


def cost(layers: Iterable[LayerSpec], height: int) -> tuple[Cost, int]:
    """Cost of `layers` in sequence on a square input of `height` pixels, and the output's height."""
    params = macs = 0
    for layer in layers:
        params += layer.params
        its, height = layer.step(height)
        macs += its
    return Cost(params, macs), height
