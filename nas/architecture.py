"""Architecture: one network, every choice made; a frozen, hashable value.

It keeps what was written (a `skip` that no layer can take yet, because a scaled network may have
the layer that takes it); `key` is the canonical form, for equality and deduplication only.

>>> stage = Stage("mbconv", kernel=3, expand=6, se=0.25, skip="identity", channels=24, layers=2, stride=2)
>>> arch = Architecture(Stem(32), (stage,), Head(1280, 1000), "swish", resolution=224)
>>> arch.params, arch.macs
(1342486, 231141056)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

from nas.cost import Cost, cost
from nas.errors import NasError, listed, near
from nas.ops import ACTIVATIONS, OPS, SKIPS, Conv, LayerSpec, Linear, output_size


@dataclass(frozen=True)
class Stem:
    """The first convolution, 3 x 3, with norm and activation."""

    channels: int
    stride: int = 2
    in_chans: int = 3


@dataclass(frozen=True)
class Head:
    """1x1 convolution to `channels` (None: left out, as in MobileNetV1), mean, classifier."""

    channels: int | None
    classes: int


@dataclass(frozen=True)
class Stage:
    """`layers` blocks of one kind; only the first has the stride and changes the channels.

    Attributes:
        op: 'conv', 'dsconv' or 'mbconv' (`nas.ops.OPS`).
        kernel: side of the (depthwise) convolution, odd.
        expand: expansion ratio of an mbconv; other ops ignore it.
        se: squeeze-and-excitation ratio to the block's input channels; 0 for none.
        skip: 'none', 'identity' or 'pool', taken by layers of stride 1 and equal channels.
        pointwise_activation: dsconv only, MobileNetV1's activation after the pointwise.
        always_expand: mbconv only, keeps the expansion convolution at expansion 1.
    """

    op: str
    kernel: int
    channels: int
    layers: int = 1
    stride: int = 1
    expand: float | None = None
    se: float = 0.0
    skip: str = "none"
    pointwise_activation: bool = False
    always_expand: bool = False


class Block(NamedTuple):
    """One layer of a stage: its specs, and the shortcut it takes ('none', 'identity', 'pool')."""

    layers: tuple[LayerSpec, ...]
    shortcut: str
    stride: int


@lru_cache(maxsize=1 << 16)
def stage_blocks(stage: Stage, in_channels: int) -> tuple[Block, Block | None]:
    """The first block of a stage and the block that the rest repeat (None with one layer)."""
    return (
        _block(stage, in_channels, stage.stride),
        _block(stage, stage.channels, 1) if stage.layers > 1 else None,
    )


def _block(stage: Stage, in_channels: int, stride: int) -> Block:
    layers = OPS[stage.op].layers(
        in_channels,
        stage.channels,
        kernel=stage.kernel,
        stride=stride,
        expand=stage.expand,
        se=stage.se,
        pointwise_activation=stage.pointwise_activation,
        always_expand=stage.always_expand,
    )
    fits = stride == 1 and in_channels == stage.channels
    return Block(layers, stage.skip if fits else "none", stride)


@lru_cache(maxsize=1 << 18)
def stage_cost(stage: Stage, in_channels: int, height: int) -> tuple[Cost, int]:
    """Cost of a stage on a square map of `height` pixels, and the height of its output."""
    first, rest = stage_blocks(stage, in_channels)
    total, height = cost(first.layers, height)
    if rest is not None:
        total = total.plus(cost(rest.layers, height)[0], stage.layers - 1)
    return total, height


@lru_cache(maxsize=1 << 16)
def stage_key(stage: Stage, in_channels: int) -> str:
    """What the stage computes after `in_channels`: equal keys are equal networks.

    Choices that change nothing at this size are not in it: `expand` where the op has none, `skip`
    where no layer can take one, SE ratios that round to one squeeze, an mbconv that at
    expansion 1 is a dsconv.
    """
    words = [block_words(block) for block in stage_blocks(stage, in_channels) if block is not None]
    return f"/{stage.stride}x{stage.layers}:" + ",".join(words)


def block_words(block: Block) -> str:
    """What a block computes, but for its input's channels and size: '1x96a+3x96ad+se4+1x24~identity'."""
    convs = "+".join(
        f"{layer.kernel}x{layer.out_channels}{'a' if layer.activation else ''}"
        f"{'d' if layer.groups > 1 else ''}"
        if isinstance(layer, Conv)
        else f"se{getattr(layer, 'squeeze', '')}"
        for layer in block.layers
    )
    return f"{convs}~{block.shortcut}"


@dataclass(frozen=True)
class Architecture:
    """A network as a value. Strides, channels and resolution are pixels and counts, not ratios.

    Raises:
        NasError: for an impossible architecture, with the stage and the value.
    """

    stem: Stem
    stages: tuple[Stage, ...]
    head: Head
    activation: str
    resolution: int

    def __post_init__(self) -> None:
        _check(self)

    @property
    def params(self) -> int:
        """Parameters, with this architecture's own classes and input channels."""
        return self.cost.params

    @property
    def macs(self) -> int:
        """Multiply-adds of one image at this architecture's resolution."""
        return self.cost.macs

    @cached_property
    def cost(self) -> Cost:
        """Parameters and multiply-adds, summed over `parts` once."""
        params = macs = 0
        for _, part in self.parts():
            params += part.params
            macs += part.macs
        return Cost(params, macs)

    def parts(self) -> Iterator[tuple[str, Cost]]:
        """('stem', cost), ('stage1', cost) ... ('head', cost): they sum to the totals."""
        stem, height = cost(self.stem_layers, self.resolution)
        yield "stem", stem
        channels = self.stem.channels
        for number, stage in enumerate(self.stages, 1):
            part, height = stage_cost(stage, channels, height)
            yield f"stage{number}", part
            channels = stage.channels
        yield "head", cost(self.head_layers, height)[0]

    @property
    def stem_layers(self) -> tuple[LayerSpec, ...]:
        return (Conv("stem", self.stem.in_chans, self.stem.channels, 3, self.stem.stride),)

    @property
    def head_layers(self) -> tuple[LayerSpec, ...]:
        """The head's convolution, where there is one, and the classifier."""
        last = self.stages[-1].channels
        if self.head.channels is None:
            return (Linear("classifier", last, self.head.classes),)
        return (
            Conv("head", last, self.head.channels, 1),
            Linear("classifier", self.head.channels, self.head.classes),
        )

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """(stage number from 1, block) in order of computation, repeats included."""
        channels = self.stem.channels
        for number, stage in enumerate(self.stages, 1):
            first, rest = stage_blocks(stage, channels)
            yield number, first
            if rest is not None:
                for _ in range(stage.layers - 1):
                    yield number, rest
            channels = stage.channels

    def heights(self) -> list[int]:
        """Heights in pixels: the input's, the stem's output, each stage's output."""
        sizes = [self.resolution, output_size(self.resolution, self.stem.stride)]
        for stage in self.stages:
            sizes.append(output_size(sizes[-1], stage.stride))
        return sizes

    @property
    def key(self) -> str:
        """Canonical form: two architectures with one key are the same network at this size.

        Which stage a layer belongs to is part of it, because the stages scale by themselves.
        """
        channels, words = self.stem.channels, []
        for stage in self.stages:
            words.append(stage_key(stage, channels))
            channels = stage.channels
        stem, head = self.stem, self.head
        return (
            f"{self.resolution}px{stem.in_chans} {self.activation} {stem.channels}/{stem.stride} "
            f"{' '.join(words)} {head.channels or '-'} {head.classes}"
        )

    def with_data(self, classes: int, in_chans: int) -> "Architecture":
        """The same architecture for data of `classes` classes and `in_chans` channels."""
        return replace(
            self,
            stem=replace(self.stem, in_chans=in_chans),
            head=replace(self.head, classes=classes),
        )


_LIMITS = {"channels": 65536, "layers": 1000, "stages": 64, "resolution": 16384, "classes": 1 << 24}


def _whole(where: str, value: object, most: int) -> None:
    if type(value) is not int or not 1 <= value <= most:
        raise NasError(f"{where} is {value!r}; give a whole number from 1 to {most}")


def check_stage(stage: Stage, where: str) -> None:
    """Raises NasError where a field of the stage is impossible, naming `where`."""
    if stage.op not in OPS:
        raise NasError(f"{where}.op is {stage.op!r}{near(stage.op, OPS)}; allowed: {listed(OPS)}")
    if stage.skip not in SKIPS:
        raise NasError(f"{where}.skip is {stage.skip!r}; allowed: {listed(SKIPS)}")
    _whole(f"{where}.channels", stage.channels, _LIMITS["channels"])
    _whole(f"{where}.layers", stage.layers, _LIMITS["layers"])
    if type(stage.kernel) is not int or stage.kernel not in range(1, 32, 2):
        raise NasError(f"{where}.kernel is {stage.kernel!r}; give an odd number from 1 to 31")
    if type(stage.stride) is not int or stage.stride not in (1, 2):
        raise NasError(f"{where}.stride is {stage.stride!r}; allowed: 1, 2")
    if not (0 <= stage.se <= 1):
        raise NasError(f"{where}.se is {stage.se!r}; give 0 (none) or a ratio up to 1")
    if OPS[stage.op].expands:
        if stage.expand is None:
            raise NasError(f"{where}.expand is missing; {stage.op} needs it, such as 3 or 6")
        if not (math.isfinite(stage.expand) and 0 < stage.expand <= 64):
            raise NasError(f"{where}.expand is {stage.expand!r}; give a ratio over 0, up to 64")
    if stage.pointwise_activation and stage.op != "dsconv":
        raise NasError(f"{where}.pointwise_activation belongs to dsconv, found in {stage.op}")
    if stage.always_expand and stage.op != "mbconv":
        raise NasError(f"{where}.always_expand belongs to mbconv, found in {stage.op}")


def _check(arch: Architecture) -> None:
    if not 1 <= len(arch.stages) <= _LIMITS["stages"]:
        raise NasError(f"there are {len(arch.stages)} stages; give 1 to {_LIMITS['stages']}")
    for number, stage in enumerate(arch.stages, 1):
        check_stage(stage, f"stage{number}")
    _whole("stem.channels", arch.stem.channels, _LIMITS["channels"])
    _whole("stem.in_chans", arch.stem.in_chans, _LIMITS["channels"])
    if type(arch.stem.stride) is not int or arch.stem.stride not in (1, 2):
        raise NasError(f"stem.stride is {arch.stem.stride!r}; allowed: 1, 2")
    if arch.head.channels is not None:
        _whole("head.channels", arch.head.channels, _LIMITS["channels"])
    _whole("head.classes", arch.head.classes, _LIMITS["classes"])
    _whole("resolution", arch.resolution, _LIMITS["resolution"])
    if arch.activation not in ACTIVATIONS:
        raise NasError(f"activation is {arch.activation!r}; allowed: {listed(ACTIVATIONS)}")
    sizes = arch.heights()
    for number, stage in enumerate(arch.stages, 1):
        if stage.stride > 1 and sizes[number] == 1:
            raise NasError(
                f"stage{number}.stride is {stage.stride} on a map of 1 x 1 pixel; at resolution "
                f"{arch.resolution} fewer strides fit: lower it to 1 or raise the resolution"
            )
