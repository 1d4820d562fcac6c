"""A search space for images of any size and any budget, drafted as MnasNet drafted its own.

MnasNet's space (arXiv:1807.11626, section 4.1) is MobileNetV2 with, at every stage, its channels x
{0.75, 1, 1.25} and its layers {-1, 0, +1}. Here MobileNetV2 gets as many strides of two as the pixels
bear, and is first scaled in depth and width together, as EfficientNet scales (arXiv:1905.11946,
section 3.3: 1.2 to 1.1), to where the median network of the space costs the target.

>>> draft("small", 32, 3, 10, 6_000_000).target
6000000
"""

import math
from typing import Any

from nas.documents import SpaceDocument
from nas.errors import NasError
from nas.space import SearchSpace
from nas.specs import make_divisible

STAGES = ((16, 1), (24, 2), (32, 3), (64, 4), (96, 3), (160, 3), (320, 1))
"""(channels, layers) of MobileNetV2 (arXiv:1801.04381, table 2)."""
STEM, HEAD = 32, 1280
HALVED = (-1, 1, 2, 3, 5)
"""Where MobileNetV2 strides by two: stem (-1), stages 2, 3, 4 and 6. Small images lack the first of them."""
SMALLEST_MAP = 4
"""Pixels of the last map's side, at least; MobileNetV2's at 224 is 7."""
LEVELS = (0.5, 0.25, 0.0)
"""Depths down to which MobileNetV2 keeps all its stages; lacks stages 5 and 7; and lacks those of the first two,
too, that do not stride. Each of these has the pixels of the one before it."""
B0_MACS, B0_PIXELS = 400_000_000, 224
RATIO = math.log(1.2) / math.log(1.1)
"""Depth grows with width to this power (EfficientNet's alpha and beta)."""


def default_target(pixels: int) -> int:
    """EfficientNet-B0's 400M multiply-adds at 224 pixels, in proportion to the images' own.

    >>> default_target(32)
    8160000
    """
    return max(10_000, round(B0_MACS * (pixels / B0_PIXELS) ** 2 / 1e4) * 10_000)


def halvings(pixels: int) -> int:
    """Strides of two that leave a last map of `SMALLEST_MAP` pixels, up to MobileNetV2's five.

    >>> [halvings(pixels) for pixels in (8, 28, 32, 64, 224)]
    [1, 3, 3, 4, 5]
    """
    return next(h for h in range(len(HALVED), -1, -1) if h == 0 or math.ceil(pixels / 2**h) >= SMALLEST_MAP)


def draft(name: str, pixels: int, in_chans: int, classes: int, target: int) -> SearchSpace:
    """The space for images of `pixels` x `pixels`, whose median network has about `target` multiply-adds.

    Raises:
        NasError: where none comes within a factor of 1.5 of the target, with what is possible.
    """
    found: list[tuple[float, SearchSpace]] = []
    for level, (least, most) in enumerate(zip(LEVELS, (math.inf, *LEVELS[:-1]), strict=True)):
        low, high = math.log(0.02), math.log(8)
        for _ in range(9):
            width = math.exp((low + high) / 2)
            space = SearchSpace.from_data(_document(name, pixels, in_chans, classes, width, level), name)
            low, high = (low, math.log(width)) if space.target > target else (math.log(width), high)
            depth = width**RATIO
            outside = max(0.0, math.log(max(depth / most, 1)), math.log(max(least / depth, 1)))
            found.append((abs(math.log(space.target / target)) + outside / 4, space))
    space = min(found, key=lambda one: one[0])[1]
    if abs(math.log(space.target / target)) > math.log(1.5):
        raise NasError(
            f"no space of {pixels} x {pixels} pixels has its median network near {target:,} multiply-adds; the nearest "
            f"has {space.target:,}: give --macs {space.target} or another --resolution"
        )
    return SearchSpace(space.document.model_copy(update={"target": target}))


def _document(
    name: str, pixels: int, in_chans: int, classes: int, width: float, level: int
) -> dict[str, Any]:
    strides = HALVED[len(HALVED) - halvings(pixels) :]
    depth = width**RATIO
    stages = []
    for number, (channels, layers) in enumerate(STAGES):
        if (level > 0 and number in (4, 6)) or (level > 1 and number < 2 and number not in strides):
            continue
        whole = max(1, round(layers * depth))
        stages.append({
            "op": ["conv", "dsconv", "mbconv"], "kernel": [3, 5], "expand": [3, 6], "se": [0, 0.25],
            "skip": ["none", "identity", "pool"],
            "channels": _one_or_many({make_divisible(channels * width * part) for part in (0.75, 1, 1.25)}),
            "layers": _one_or_many({max(1, whole + step) for step in (-1, 0, 1)}),
            "stride": 2 if number in strides else 1,
        })  # fmt: skip
    return {
        "name": name,
        "source": "drafted by nas init, after arXiv:1807.11626, section 4.1",
        "resolution": pixels,
        "stem": {"channels": make_divisible(STEM * width), "stride": 2 if -1 in strides else 1, "in_chans": in_chans},
        "stages": stages,
        "head": {"channels": make_divisible(HEAD * width), "classes": classes},
        "activation": "swish",
    }  # fmt: skip


def _one_or_many(values: set[int]) -> int | list[int]:
    return sorted(values) if len(values) > 1 else min(values)


def space_text(space: SearchSpace) -> str:
    """The document of a space, a stage a line, with the size of each map."""
    document, sizes = space.document, space.frame.heights()
    stem = {"channels": document.stem.channels, "stride": document.stem.stride}
    stem |= {"in_chans": document.stem.in_chans} if document.stem.in_chans != 3 else {}
    lines = [
        f"name: {document.name}", f'source: "{document.source}"', f"resolution: {document.resolution}",
        f"target: {document.target}", f"stem: {_flow(stem)}   # {sizes[1]} x {sizes[1]}", "stages:",
    ]  # fmt: skip
    keys = ("op", "kernel", "expand", "se", "skip", "channels", "layers", "stride")
    for line, size in zip(document.stages, sizes[2:], strict=True):
        lines.append(f"  - {_flow({key: getattr(line, key) for key in keys})}   # {size} x {size}")
    head = {"channels": document.head.channels, "classes": document.head.classes}
    lines += [f"head: {_flow(head)}", f"activation: {document.activation}"]
    text = "\n".join(lines) + "\n"
    assert SpaceDocument.parse(text, document.name).model_dump() == document.model_dump()
    return text


def _flow(value: object) -> str:
    """One line of YAML: mappings, lists, words and numbers."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(part)}" for key, part in value.items()) + "}"
    return f"[{', '.join(map(_flow, value))}]" if isinstance(value, list) else str(value)
