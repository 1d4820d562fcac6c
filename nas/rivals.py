"""Published networks, made rivals of a found one: for its images, at its multiply-adds.

EfficientNet-B0, MnasNet-A1 and MobileNetV2 halve the image five times, from 224 pixels to 7. For smaller images as many
halvings are left as the found network has, and then the channels go up or down until both cost the same, as the field
brings networks to a budget.

>>> from nas.baseline import load
>>> one = load("mobilenet-v2").architecture
>>> b0 = rival("efficientnet-b0", one)
>>> round(b0.macs / one.macs, 2), b0.resolution == one.resolution, halvings(b0)
(1.0, True, 5)
"""

import math
from dataclasses import replace

from nas.architecture import Architecture
from nas.baseline import load
from nas.planning import plan
from nas.plans import Budget
from nas.scaling import resize

REFERENCES = ("efficientnet-b0", "mnasnet-a1", "mobilenet-v2")
"""Found by MnasNet's search (EfficientNet, arXiv:1905.11946, table 1; MnasNet, arXiv:1807.11626, figure 7), or drawn by
hand (MobileNetV2, arXiv:1801.04381, table 2)."""
CLOSE = 0.03
"""How far the multiply-adds may be off before layers are scaled, too."""
DIRECTIONS = ((1.0, 1.1, 1.0), (1.2, 1.1, 1.0))
"""(alpha, beta, gamma) that are tried: width alone, then depth with it as in compound scaling."""
LEAST = 1e-6
"""Width and depth that leave eight channels and one layer a stage."""


def halvings(arch: Architecture) -> int:
    """How often a network halves its image."""
    return sum(stride == 2 for stride in (arch.stem.stride, *(stage.stride for stage in arch.stages)))


def rival(name: str, like: Architecture) -> Architecture:
    """A baseline of the catalogue, for the images of `like` and of about its multiply-adds.

    Where even eight channels and one layer a stage cost more, that is the network.

    Raises:
        NasError: where no width gives a network of that cost.
    """
    arch = load(name).architecture
    arch = replace(_halved(arch, halvings(like)), resolution=like.resolution)
    arch = replace(
        arch, head=replace(arch.head, narrows=True)
    )  # to a budget, whatever is published of a width
    arch = arch.with_data(like.head.classes, like.stem.in_chans)
    least = resize(arch, LEAST, LEAST, arch.resolution)
    if least.macs >= like.macs:
        return least
    found = []
    for direction in DIRECTIONS:
        found.append(plan(arch, Budget(macs=like.macs), *direction).architecture)
        if off(found[-1], like) <= CLOSE:
            break
    return min(found, key=lambda one: off(one, like))


def off(arch: Architecture, like: Architecture) -> float:
    """How far the multiply-adds are from those of `like`, as a ratio less 1."""
    return math.exp(abs(math.log(arch.macs / like.macs))) - 1


def _halved(arch: Architecture, wanted: int) -> Architecture:
    """With `wanted` of its halvings, if it has more: the first and last of its stages go first, then the stem's, so
    that most of the layers keep their share of the image."""
    twos = [number for number, stage in enumerate(arch.stages) if stage.stride == 2]
    order = [twos[0], twos[-1], -1, *twos[1:-1]]
    gone = set(order[: max(0, halvings(arch) - wanted)])
    stages = [
        replace(stage, stride=1) if number in gone else stage for number, stage in enumerate(arch.stages)
    ]
    stem = replace(arch.stem, stride=1) if -1 in gone else arch.stem
    return replace(arch, stem=stem, stages=tuple(stages))
