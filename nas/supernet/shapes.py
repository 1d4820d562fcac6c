"""What the networks of a space share: of every layer in every place, the largest that any of them has; no torch.

>>> from nas.space import SearchSpace
>>> space = SearchSpace.load("digits")
>>> found = shapes(space)
>>> found[Place(3, 1, "mbconv", "depthwise")]
ConvShape(out_channels=480, group=1, kernels=(3, 5), norm=True, bias=False)
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from nas.architecture import Block, block_words, stage_blocks
from nas.choices import StageChoices
from nas.errors import NasError
from nas.space import SearchSpace
from nas.specs import Activation, Conv, LayerSpec, SqueezeExcite


class Place(NamedTuple):
    """Where a shared layer is: in a stage (from 1), in one of its layers (from 0), of an op, by its spec's name."""

    stage: int
    layer: int
    op: str
    name: str

    def __str__(self) -> str:
        return f"stage{self.stage}_{self.layer}_{self.op}_{self.name}"


class ConvShape(NamedTuple):
    """The largest convolution of a place.

    Attributes:
        group: its input channels, for each of its groups: 1 of a depthwise one.
        kernels: the sides that occur, ascending.
    """

    out_channels: int
    group: int
    kernels: tuple[int, ...]
    norm: bool
    bias: bool


class ExciteShape(NamedTuple):
    """The largest squeeze-and-excitation of a place."""

    channels: int
    squeeze: int


Shape = ConvShape | ExciteShape


def shapes(space: SearchSpace) -> dict[Place, Shape]:
    """Every place of a space's networks and the largest layer there.

    Raises:
        NasError: for a block whose channels are no simple sequence, naming stage and op; and for one that two ops of a
            stage make, which would have weights of its own under each.
    """
    found: dict[Place, Shape] = {}
    widths = {space.frame.stem.channels}
    for stage in space.stages:
        makers: dict[tuple[int, str], str] = {}
        for layer, op, block, values in _blocks(stage, widths):
            if (other := makers.setdefault((layer, block_words(block)), op)) != op:
                kernel, expand = values["kernel"], values["expand"]
                raise NasError(
                    f"{space.name}: stage{stage.number}.op has {other!r} and {op!r}, which with kernel {kernel} and "
                    f"expand {expand} are one and the same block, of which a supernet would have two sets of weights; "
                    "leave one of them out, or that expand"
                )
            for spec in (*block.layers, *block.projection):
                if isinstance(spec, Activation):
                    continue
                if not isinstance(spec, Conv | SqueezeExcite):
                    raise NasError(
                        f"{space.name}: stage{stage.number}.op is {op!r}, of which a supernet cannot share weights "
                        f"(its {spec.name} is no convolution); search this space by training each network"
                    )
                place = Place(stage.number, layer, op, spec.name)
                found[place] = _larger(found.get(place), spec)
        widths = set(stage.options["channels"])
    return found


def _blocks(stage: StageChoices, widths: set[int]) -> Iterator[tuple[int, str, Block, dict[str, Any]]]:
    """(layer from 0, op, block, values of the choices) of every combination of a stage's choices after one of `widths`.

    All layers but the first are of one shape; how many there are does not change it.
    """
    most = max(stage.options["layers"])
    skips = ("projection",) if "projection" in stage.options["skip"] else stage.options["skip"][:1]
    for values in stage.combinations(layers=(most,), skip=skips):
        made = stage.stage(values)
        for width in widths:
            first, rest = stage_blocks(made, width)
            yield 0, made.op, first, values
            if rest is not None:
                for layer in range(1, most):
                    yield layer, made.op, rest, values


def _larger(known: Shape | None, spec: LayerSpec) -> Shape:
    if isinstance(spec, SqueezeExcite):
        assert known is None or isinstance(known, ExciteShape)
        before = known or ExciteShape(0, 0)
        return ExciteShape(max(before.channels, spec.channels), max(before.squeeze, spec.squeeze))
    assert isinstance(spec, Conv)
    group, kernels = spec.in_channels // spec.groups, {spec.kernel}
    if known is None:
        return ConvShape(spec.out_channels, group, (spec.kernel,), spec.norm, spec.bias)
    assert isinstance(known, ConvShape)
    return known._replace(
        out_channels=max(known.out_channels, spec.out_channels),
        group=max(known.group, group),
        kernels=tuple(sorted(kernels | set(known.kernels))),
    )
