"""Architecture: one network, every choice made; a frozen, hashable value.

It keeps what was written (a `skip` that no layer can take yet, because a scaled network may have
the layer that takes it); `key` is the canonical form, for equality and deduplication only.

>>> stage = Stage("mbconv", kernel=3, expand=6, se=0.25, skip="identity", channels=24, layers=2, stride=2)
>>> arch = Architecture(Stem(32), (stage,), Head(1280, 1000), "swish", resolution=224)
>>> arch.params, arch.macs
(1342486, 231141056)
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

from nas.cost import Cost, cost
from nas.errors import NasError, listed
from nas.ops import ACTIVATIONS, OPS
from nas.parts import LIMITS, Head, Stage, Stem, check_head, check_stage, check_stem, check_whole
from nas.specs import Activation, Conv, LayerSpec


class Block(NamedTuple):
    """One layer of a stage: its specs, the shortcut it takes, and what follows their sum.

    Attributes:
        shortcut: 'none', 'identity', 'pool', or 'projection', which is then `projection`.
        activation: the stage's; None for the network's.
    """

    layers: tuple[LayerSpec, ...]
    shortcut: str
    stride: int
    projection: tuple[LayerSpec, ...] = ()
    after: tuple[LayerSpec, ...] = ()
    activation: str | None = None

    def cost(self, height: int) -> tuple[Cost, int]:
        """Cost on a square map of `height` pixels, and the height of the output."""
        total, out = cost(self.layers, height)
        if self.projection:
            total = total.plus(cost(self.projection, height)[0])
        return total, out


@lru_cache(maxsize=1 << 16)
def stage_blocks(stage: Stage, in_channels: int) -> tuple[Block, Block | None]:
    """The first block of a stage and the block that the rest repeat (None with one layer)."""
    return (
        _block(stage, in_channels, stage.stride),
        _block(stage, stage.channels, 1) if stage.layers > 1 else None,
    )


def _block(stage: Stage, in_channels: int, stride: int) -> Block:
    op = OPS[stage.op]
    layers = op.layers(
        in_channels,
        stage.channels,
        kernel=stage.kernel,
        stride=stride,
        expand=stage.expand,
        se=stage.se,
        se_kind=stage.se_kind,
        pointwise_activation=stage.pointwise_activation,
        always_expand=stage.always_expand,
        separables=stage.separables,
        widen_last=stage.widen_last,
    )
    shortcut, projection = stage.skip, ()
    fits = stride == 1 and in_channels == stage.channels
    if shortcut == "projection" and not fits:
        projection = (Conv("projection", in_channels, stage.channels, 1, stride, activation=False),)
    elif shortcut == "projection":
        shortcut = "identity"
    elif not fits:
        shortcut = "none"
    after = (Activation("act"),) if op.activates else ()
    return Block(layers, shortcut, stride, projection, after, stage.activation)


@lru_cache(maxsize=1 << 18)
def stage_cost(stage: Stage, in_channels: int, height: int) -> tuple[Cost, int]:
    """Cost of a stage on a square map of `height` pixels, and the height of its output."""
    first, rest = stage_blocks(stage, in_channels)
    total, height = first.cost(height)
    if rest is not None:
        total = total.plus(rest.cost(height)[0], stage.layers - 1)
    return total, height


def check_projection(stage: Stage, in_channels: int, height: int, where: str) -> None:
    """Raises NasError where a projection would be of another size than what it is added to, as beside an op that pools
    an odd map without padding."""
    first, _ = stage_blocks(stage, in_channels)
    out, beside = first.cost(height)[1], cost(first.projection, height)[1]
    if first.projection and beside != out:
        raise NasError(
            f"{where}.skip is 'projection', which makes {beside} pixels of {height}, and {stage.op} makes {out}: give "
            "none, or a resolution that halves evenly"
        )


@lru_cache(maxsize=1 << 12)
def stem_cost(stem: Stem, resolution: int) -> tuple[Cost, int]:
    """Cost of a stem on a square image of `resolution` pixels, and the height of its output."""
    return cost(stem.layers, resolution)


@lru_cache(maxsize=1 << 12)
def head_cost(head: Head, last: int, height: int) -> Cost:
    """Cost of a head after a stage of `last` channels on a square map of `height` pixels."""
    return cost(head.layers(last), height)[0]


@lru_cache(maxsize=1 << 16)
def stage_key(stage: Stage, in_channels: int, activation: str | None = None) -> str:
    """What the stage computes after `in_channels`, in a network of `activation`: equal keys are equal networks.

    Choices that change nothing at this size are not in it: `expand` where the op has none, `skip`
    where no layer can take one, SE ratios that round to one squeeze, an mbconv that at
    expansion 1 is a dsconv.
    """
    words = [block_words(block) for block in stage_blocks(stage, in_channels) if block is not None]
    own = f"@{stage.activation}" if stage.activation not in (None, activation) else ""
    return f"/{stage.stride}x{stage.layers}{own}:" + ",".join(words)


def block_words(block: Block) -> str:
    """What a block computes, but for its input's channels and size: '1x96a+3x96ad+se4+1x24~identity'."""
    words = ["+".join(layer.word for layer in block.layers), block.shortcut]
    return "~".join([*words, *(layer.word for layer in block.after)])


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
        stem, height = stem_cost(self.stem, self.resolution)
        yield "stem", stem
        channels = self.stem.channels
        for number, stage in enumerate(self.stages, 1):
            part, height = stage_cost(stage, channels, height)
            yield f"stage{number}", part
            channels = stage.channels
        yield "head", head_cost(self.head, channels, height)

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
        channels, sizes = self.stem.channels, [self.resolution, stem_cost(self.stem, self.resolution)[1]]
        for stage in self.stages:
            sizes.append(stage_cost(stage, channels, sizes[-1])[1])
            channels = stage.channels
        return sizes

    @cached_property
    def key(self) -> str:
        """Canonical form: two architectures with one key are the same network at this size.

        Which stage a layer belongs to is part of it, because the stages scale by themselves.
        """
        channels, words = self.stem.channels, []
        for stage in self.stages:
            words.append(stage_key(stage, channels, self.activation))
            channels = stage.channels
        stem, head = self.stem, self.head
        return (
            f"{self.resolution}px{stem.in_chans} {self.activation} {stem.word} "
            f"{' '.join(words)} {head.word} {head.classes}"
        )

    def with_data(self, classes: int, in_chans: int) -> "Architecture":
        """The same architecture for data of `classes` classes and `in_chans` channels."""
        return replace(
            self,
            stem=replace(self.stem, in_chans=in_chans),
            head=replace(self.head, classes=classes),
        )


def _check(arch: Architecture) -> None:
    if not 1 <= len(arch.stages) <= LIMITS["stages"]:
        raise NasError(f"there are {len(arch.stages)} stages; give 1 to {LIMITS['stages']}")
    for number, stage in enumerate(arch.stages, 1):
        check_stage(stage, f"stage{number}")
    check_stem(arch.stem)
    check_head(arch.head)
    check_whole("", "resolution", arch.resolution, LIMITS["resolution"])
    if arch.activation not in ACTIVATIONS:
        raise NasError(f"activation is {arch.activation!r}; allowed: {listed(ACTIVATIONS)}")
    sizes = arch.heights()
    if sizes[1] < 1:
        raise NasError(f"stem.valid leaves no pixel of resolution {arch.resolution}; raise the resolution")
    channels = arch.stem.channels
    for number, stage in enumerate(arch.stages, 1):
        if stage.stride > 1 and sizes[number] == 1:
            raise NasError(
                f"stage{number}.stride is {stage.stride} on a map of 1 x 1 pixel; at resolution "
                f"{arch.resolution} fewer strides fit: lower it to 1 or raise the resolution"
            )
        if stage.skip == "projection":
            check_projection(stage, channels, sizes[number], f"stage{number}")
        channels = stage.channels
