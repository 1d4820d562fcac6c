"""The blocks of ResNet, ShuffleNetV2, SqueezeNet and Xception; those of the MobileNets are `nas.ops`'s.

>>> (unit,) = ShuffleOp().layers(32, 32, kernel=3)
>>> [[layer.name for layer in branch] for branch in unit.branches]
[[], ['reduce', 'depthwise', 'project']]
"""

from nas.block import Op, squeeze_and_excite
from nas.specs import Activation, Branches, Conv, LayerSpec, MaxPool, make_divisible


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
            *squeeze_and_excite(in_channels, channels, se, se_kind),
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
            *squeeze_and_excite(in_channels, channels, se, se_kind),
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
            *squeeze_and_excite(in_channels, half, se, se_kind),
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
            *squeeze_and_excite(in_channels, channels, se, se_kind),
        )  # fmt: skip


class SepConvOp(Op):
    """k x k depthwise, 1x1, norm, activation, [SE]: Xception's separable convolution (Chollet 2017, figure 5)."""

    name = "sepconv"

    def layers(self, in_channels, channels, *, kernel, stride=1, se=0.0, se_kind="standard", **_):
        return (
            *_separable("", in_channels, channels, kernel, stride, activation=True),
            *squeeze_and_excite(in_channels, channels, se, se_kind),
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
        return (*found, *squeeze_and_excite(in_channels, channels, se, se_kind), *pool)


def _separable(number: str, in_channels: int, channels: int, kernel: int, stride: int, activation: bool):
    return (
        Conv(f"depthwise{number}", in_channels, in_channels, kernel, stride, in_channels, False, False),
        Conv(f"project{number}", in_channels, channels, 1, activation=activation),
    )
