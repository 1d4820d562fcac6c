"""The blocks, written as layer specs, so that cost and network cannot disagree.

An op is one class that knows the layers of one block. The network is built from these specs
and cost is summed over them; there is no second description of a block anywhere.

>>> [layer.name for layer in OPS["mbconv"].layers(16, 24, kernel=3, stride=2, expand=6, se=0.25)]
['expand', 'depthwise', 'se', 'project']
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple


class Conv(NamedTuple):
    """A convolution with, by choice, batch norm and the network's activation after it."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    groups: int = 1
    norm: bool = True
    activation: bool = True

    @property
    def params(self) -> int:
        weights = self.out_channels * (self.in_channels // self.groups) * self.kernel**2
        return weights + 2 * self.out_channels * self.norm

    def macs(self, height: int) -> int:
        """Multiply-adds at a square output of `height` pixels; norm and activation count nothing."""
        return self.out_channels * (self.in_channels // self.groups) * self.kernel**2 * height**2


class SqueezeExcite(NamedTuple):
    """Squeeze-and-excitation (Hu et al. 2018): mean, 1x1 down, activation, 1x1 up, sigmoid gate."""

    name: str
    channels: int
    squeeze: int

    stride = 1

    @property
    def params(self) -> int:
        return 2 * self.channels * self.squeeze + self.channels + self.squeeze

    def macs(self, height: int) -> int:
        """Multiply-adds of the two 1x1 convolutions, which see one pixel whatever `height` is."""
        return 2 * self.channels * self.squeeze


class Linear(NamedTuple):
    """The classifier, with biases."""

    name: str
    in_channels: int
    out_channels: int

    stride = 1

    @property
    def params(self) -> int:
        return self.out_channels * (self.in_channels + 1)

    def macs(self, height: int) -> int:
        """Multiply-adds of the product; the bias counts nothing."""
        return self.in_channels * self.out_channels


LayerSpec = Conv | SqueezeExcite | Linear


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, at least one, and never under 90 % of what was asked.

    Source: the released MobileNet code (`_make_divisible`), used by MobileNetV2, MnasNet and
    EfficientNet alike.

    >>> [make_divisible(c) for c in (12, 16, 18, 20, 30)]
    [16, 16, 24, 24, 32]
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def squeeze_channels(in_channels: int, ratio: float) -> int:
    """max(1, int(block input channels * ratio)), as released for MnasNet and EfficientNet."""
    return max(1, int(in_channels * ratio))


class Op(ABC):
    """One kind of block: expands to the layer specs of one layer of a stage."""

    name: ClassVar[str]
    expands: ClassVar[bool] = False
    """Whether the stage's `expand` changes anything."""

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
        pointwise_activation: bool = False,
        always_expand: bool = False,
    ) -> tuple[LayerSpec, ...]:
        """The specs of one block in order of computation."""


def _se(in_channels: int, channels: int, ratio: float) -> tuple[LayerSpec, ...]:
    return (SqueezeExcite("se", channels, squeeze_channels(in_channels, ratio)),) if ratio else ()


class ConvOp(Op):
    """k x k convolution, norm, activation, [SE]: MnasNet section 4.1's regular convolution."""

    name = "conv"

    def layers(self, in_channels, channels, *, kernel, stride=1, expand=None, se=0.0, **_):
        conv = Conv("conv", in_channels, channels, kernel, stride)
        return (conv, *_se(in_channels, channels, se))


class DSConvOp(Op):
    """k x k depthwise, norm, activation, [SE], 1x1 pointwise, norm.

    MnasNet's SepConv and the MBConv1 of EfficientNet-B0's first stage. MobileNetV1 (Howard et
    al. 2017) also activates after the pointwise convolution: `pointwise_activation`.
    """

    name = "dsconv"

    def layers(
        self, in_channels, channels, *, kernel, stride=1, expand=None, se=0.0,
        pointwise_activation=False, **_,
    ):  # fmt: skip
        depthwise = Conv("depthwise", in_channels, in_channels, kernel, stride, in_channels)
        pointwise = Conv("project", in_channels, channels, 1, activation=pointwise_activation)
        return (depthwise, *_se(in_channels, in_channels, se), pointwise)


class MBConvOp(Op):
    """1x1 expansion, norm, activation; k x k depthwise, norm, activation; [SE]; 1x1, norm.

    MobileNetV2's inverted bottleneck (Sandler et al. 2018). At expansion 1 the first convolution
    is left out, as in MobileNetV2 and EfficientNet, unless `always_expand` (FBNet keeps it).
    """

    name = "mbconv"
    expands = True

    def layers(
        self, in_channels, channels, *, kernel, stride=1, expand=None, se=0.0,
        always_expand=False, **_,
    ):  # fmt: skip
        middle = make_divisible(in_channels * expand) if expand != 1 else in_channels
        kept = expand != 1 or always_expand
        return (
            *((Conv("expand", in_channels, middle, 1),) if kept else ()),
            Conv("depthwise", middle, middle, kernel, stride, middle),
            *_se(in_channels, middle, se),
            Conv("project", middle, channels, 1, activation=False),
        )


OPS: dict[str, Op] = {
    op.name: op
    for op in (
        ConvOp(), DSConvOp(), MBConvOp(),
    )
}  # fmt: skip
SKIPS = ("none", "identity", "pool")
ACTIVATIONS = ("relu", "relu6", "swish")


def output_size(size: int, stride: int) -> int:
    """Height of the output map: ceil(size / stride), for symmetric and SAME padding alike."""
    return -(-size // stride)
