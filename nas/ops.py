"""The blocks, written as layer specs, so that cost and network cannot disagree.

An op is one class that knows the layers of one block. The network is built from these specs
and cost is summed over them; there is no second description of a block anywhere.

>>> [layer.name for layer in OPS["mbconv"].layers(16, 24, kernel=3, stride=2, expand=6, se=0.25)]
['expand', 'depthwise', 'se', 'project']
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from nas.specs import (
    Activation,
    Branches,
    Conv,
    LayerSpec,
    MaxPool,
    SqueezeExcite,
    make_divisible,
    output_size,
)
from nas.specs import Linear as Linear

SKIPS = ("none", "identity", "pool", "projection")
ACTIVATIONS = ("relu", "relu6", "swish", "hard_swish")
SE_KINDS = ("standard", "mobilenet-v3")


def squeeze_channels(in_channels: int, ratio: float) -> int:
    """max(1, int(block input channels * ratio)), as released for MnasNet and EfficientNet."""
    return max(1, int(in_channels * ratio))


class Op(ABC):
    """One kind of block: expands to the layer specs of one layer of a stage.

    Attributes:
        expands: whether the stage's `expand` changes anything.
        even: whether the output's channels have to be even.
        activates: whether the network's activation follows the sum of block and shortcut.
        flags: the fields of a stage that belong to this op (and others that name them) alone.
    """

    name: ClassVar[str]
    expands: ClassVar[bool] = False
    even: ClassVar[bool] = False
    activates: ClassVar[bool] = False
    flags: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def layers(
        self,
        in_channels: int,
        channels: int,
        *,
        kernel: int,
        stride: int = 1,
        expand: float | None = None,
        se: float = 0.0,
        se_kind: str = "standard",
        pointwise_activation: bool = False,
        always_expand: bool = False,
        separables: int = 2,
        widen_last: bool = False,
    ) -> tuple[LayerSpec, ...]:
        """The specs of one block in order of computation."""

    def height(self, height: int, stride: int) -> int:
        """Of the output: what the specs' own steps come to, without making them."""
        return output_size(height, stride)


def _se(in_channels: int, channels: int, ratio: float, kind: str = "standard") -> tuple[LayerSpec, ...]:
    """SE of `channels`, squeezed by a ratio to the block's input; MobileNetV3's by one to `channels`, in eights."""
    if not ratio:
        return ()
    if kind == "mobilenet-v3":
        return (SqueezeExcite("se", channels, make_divisible(channels * ratio), hard=True),)
    return (SqueezeExcite("se", channels, squeeze_channels(in_channels, ratio)),)


class ConvOp(Op):
    """k x k convolution, norm, activation, [SE]: MnasNet section 4.1's regular convolution."""

    name = "conv"

    def layers(self, in_channels, channels, *, kernel, stride=1, se=0.0, se_kind="standard", **_):
        conv = Conv("conv", in_channels, channels, kernel, stride)
        return (conv, *_se(in_channels, channels, se, se_kind))


class DSConvOp(Op):
    """k x k depthwise, norm, activation, [SE], 1x1 pointwise, norm.

    MnasNet's SepConv and the MBConv1 of EfficientNet-B0's first stage. MobileNetV1 (Howard et
    al. 2017) also activates after the pointwise convolution: `pointwise_activation`.
    """

    name = "dsconv"
    flags = ("pointwise_activation",)

    def layers(
        self, in_channels, channels, *, kernel, stride=1, se=0.0, se_kind="standard",
        pointwise_activation=False, **_,
    ):  # fmt: skip
        depthwise = Conv("depthwise", in_channels, in_channels, kernel, stride, in_channels)
        pointwise = Conv("project", in_channels, channels, 1, activation=pointwise_activation)
        return (depthwise, *_se(in_channels, in_channels, se, se_kind), pointwise)


class MBConvOp(Op):
    """1x1 expansion, norm, activation; k x k depthwise, norm, activation; [SE]; 1x1, norm.

    MobileNetV2's inverted bottleneck (Sandler et al. 2018). At expansion 1 the first convolution
    is left out, as in MobileNetV2 and EfficientNet, unless `always_expand` (FBNet keeps it).
    """

    name = "mbconv"
    expands = True
    flags = ("always_expand",)

    def layers(
        self, in_channels, channels, *, kernel, stride=1, expand=None, se=0.0, se_kind="standard",
        always_expand=False, **_,
    ):  # fmt: skip
        middle = make_divisible(in_channels * expand) if expand != 1 else in_channels
        kept = expand != 1 or always_expand
        return (
            *((Conv("expand", in_channels, middle, 1),) if kept else ()),
            Conv("depthwise", middle, middle, kernel, stride, middle),
            *_se(in_channels, middle, se, se_kind),
            Conv("project", middle, channels, 1, activation=False),
        )


class FusedMBConvOp(Op):
    """k x k expansion, norm, activation; [SE]; 1x1, norm: EfficientNetV2's Fused-MBConv (Tan & Le 2021, figure 2).

    At expansion 1 it is the `conv` of its kernel, as released.
    """

    name = "fusedmbconv"
    expands = True

    def layers(
        self, in_channels, channels, *, kernel, stride=1, expand=None, se=0.0, se_kind="standard", **_
    ):
        if expand == 1:
            return OPS["conv"].layers(
                in_channels, channels, kernel=kernel, stride=stride, se=se, se_kind=se_kind
            )
        middle = make_divisible(in_channels * expand)
        return (
            Conv("expand", in_channels, middle, kernel, stride),
            *_se(in_channels, middle, se, se_kind),
            Conv("project", middle, channels, 1, activation=False),
        )


class BasicOp(Op):
    """Two k x k convolutions with norm, activation after the first and after the sum; [SE] before it.

    ResNet's block of 18 and 34 layers (He et al. 2016, figure 5 left); ResNet's own skip is `projection`.
    """

    name = "basic"
    activates = True

    def layers(self, in_channels, channels, *, kernel, stride=1, se=0.0, se_kind="standard", **_):
        return (
            Conv("conv1", in_channels, channels, kernel, stride),
            Conv("conv2", channels, channels, kernel, activation=False),
            *_se(in_channels, channels, se, se_kind),
        )


class BottleneckOp(Op):
    """1x1, k x k and 1x1 convolutions with norm, activation after the first two and after the sum; [SE] before it.

    ResNet's block of 50 and more layers (He et al. 2016, figure 5 right), with the stride in the k x k convolution as
    torchvision and timm have it. The middle has `expand` times the *output's* channels: ResNet's 1/4 is 0.25.
    """

    name = "bottleneck"
    expands = True
    activates = True

    def layers(
        self, in_channels, channels, *, kernel, stride=1, expand=None, se=0.0, se_kind="standard", **_
    ):
        middle = make_divisible(channels * expand)
        return (
            Conv("reduce", in_channels, middle, 1),
            Conv("conv", middle, middle, kernel, stride),
            Conv("project", middle, channels, 1, activation=False),
            *_se(in_channels, channels, se, se_kind),
        )


class ShuffleOp(Op):
    """ShuffleNetV2's unit (Ma et al. 2018, figure 3c, d): 1x1, k x k depthwise, 1x1 on half of the channels.

    The other half is handed on, and the halves' channels alternate in the output. A first layer that has a stride
    or other channels takes the whole input in both branches, the other one a depthwise and a 1x1. [SE] ends the
    longer branch.
    """

    name = "shuffle"
    even = True

    def layers(self, in_channels, channels, *, kernel, stride=1, se=0.0, se_kind="standard", **_):
        half, split = channels // 2, stride == 1 and in_channels == channels
        before = half if split else in_channels
        beside = () if split else (
            Conv("depthwise", in_channels, in_channels, kernel, stride, in_channels, activation=False),
            Conv("project", in_channels, half, 1),
        )  # fmt: skip
        main = (
            Conv("reduce", before, half, 1),
            Conv("depthwise", half, half, kernel, stride, half, activation=False),
            Conv("project", half, half, 1),
            *_se(in_channels, half, se, se_kind),
        )
        return (Branches("unit", (beside, main), split=split, shuffle=True),)


class FireOp(Op):
    """SqueezeNet's fire module (Iandola et al. 2016, figure 1): 1x1 squeeze, then 1x1 and k x k beside each other.

    Biases and no norm; the squeeze has `expand` times the *output's* channels (the released 1/8 is 0.125), the two
    others half of them each. A stride is a max-pooling before the module, without padding. [SE] comes last.
    """

    name = "fire"
    expands = True
    even = True

    def layers(
        self, in_channels, channels, *, kernel, stride=1, expand=None, se=0.0, se_kind="standard", **_
    ):
        squeeze, half = make_divisible(channels * expand), channels // 2
        return (
            *((MaxPool("pool", valid=True),) if stride > 1 else ()),
            Conv("squeeze", in_channels, squeeze, 1, norm=False, bias=True),
            Branches("expand", (
                (Conv("conv1", squeeze, half, 1, norm=False, bias=True),),
                (Conv("conv", squeeze, half, kernel, norm=False, bias=True),),
            )),
            *_se(in_channels, channels, se, se_kind),
        )  # fmt: skip

    def height(self, height, stride):
        return height // 2 if stride > 1 and height > 1 else height


class SepConvOp(Op):
    """k x k depthwise, 1x1, norm, activation, [SE]: Xception's separable convolution (Chollet 2017, figure 5)."""

    name = "sepconv"

    def layers(self, in_channels, channels, *, kernel, stride=1, se=0.0, se_kind="standard", **_):
        return (
            *_separable("", in_channels, channels, kernel, stride, activation=True),
            *_se(in_channels, channels, se, se_kind),
        )


class XceptionOp(Op):
    """`separables` times activation, k x k depthwise, 1x1, norm; [SE]; with a stride max-pooling (Chollet 2017,
    figure 5). Xception's own skip is `projection`.

    Channels change in the first separable convolution, with `widen_last` in the last.
    """

    name = "xception"
    flags = ("separables", "widen_last")

    def layers(
        self, in_channels, channels, *, kernel, stride=1, se=0.0, se_kind="standard",
        separables=2, widen_last=False, **_,
    ):  # fmt: skip
        found: list[LayerSpec] = []
        before = in_channels
        for number in range(1, separables + 1):
            after = in_channels if widen_last and number < separables else channels
            found += [
                Activation(f"act{number}"),
                *_separable(str(number), before, after, kernel, 1, activation=False),
            ]
            before = after
        pool = (MaxPool("pool"),) if stride > 1 else ()
        return (*found, *_se(in_channels, channels, se, se_kind), *pool)


def _separable(number: str, in_channels: int, channels: int, kernel: int, stride: int, activation: bool):
    return (
        Conv(f"depthwise{number}", in_channels, in_channels, kernel, stride, in_channels, False, False),
        Conv(f"project{number}", in_channels, channels, 1, activation=activation),
    )


OPS: dict[str, Op] = {
    op.name: op
    for op in (
        ConvOp(), DSConvOp(), MBConvOp(), FusedMBConvOp(), BasicOp(), BottleneckOp(), ShuffleOp(), FireOp(),
        SepConvOp(), XceptionOp(),
    )
}  # fmt: skip
FLAGS = {
    flag: [op.name for op in OPS.values() if flag in op.flags] for op in OPS.values() for flag in op.flags
}
"""Fields of a stage that belong to some ops alone -> the names of these."""
