"""The blocks, written as layer specs, so that cost and network cannot disagree.

An op is one class that knows the layers of one block. The network is built from these specs
and cost is summed over them; there is no second description of a block anywhere.

>>> [layer.name for layer in OPS["mbconv"].layers(16, 24, kernel=3, stride=2, expand=6, se=0.25)]
['expand', 'depthwise', 'se', 'project']
"""

from nas.block import Op, squeeze_and_excite
from nas.field_ops import BasicOp, BottleneckOp, FireOp, SepConvOp, ShuffleOp, XceptionOp
from nas.specs import Conv, make_divisible

SKIPS = ("none", "identity", "pool", "projection")
ACTIVATIONS = ("relu", "relu6", "swish", "hard_swish")


class ConvOp(Op):
    """k x k convolution, norm, activation, [SE]: MnasNet section 4.1's regular convolution."""

    name = "conv"

    def layers(self, in_channels, channels, *, kernel, stride=1, se=0.0, se_kind="standard", **_):
        conv = Conv("conv", in_channels, channels, kernel, stride)
        return (conv, *squeeze_and_excite(in_channels, channels, se, se_kind))


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
        return (depthwise, *squeeze_and_excite(in_channels, in_channels, se, se_kind), pointwise)


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
            *squeeze_and_excite(in_channels, middle, se, se_kind),
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
            return ConvOp().layers(
                in_channels, channels, kernel=kernel, stride=stride, se=se, se_kind=se_kind
            )
        middle = make_divisible(in_channels * expand)
        return (
            Conv("expand", in_channels, middle, kernel, stride),
            *squeeze_and_excite(in_channels, middle, se, se_kind),
            Conv("project", middle, channels, 1, activation=False),
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
