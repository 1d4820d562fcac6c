"""Layer specs: what a block is made of, each with its parameters, multiply-adds and output height.

The network is built from these specs and cost is summed over them; there is no second description. Multiply-adds
are those of convolutions and linear layers; norm, biases, activations and pooling count nothing.

>>> Conv("stem", 3, 32, kernel=3, stride=2).step(224)
(10838016, 112)
>>> halves = Branches("halves", ((), (Conv("project", 8, 8, 1),)), split=True)
>>> halves.params, halves.step(7), halves.word
(80, (3136, 7), '{|1x8a}s')
"""

from typing import NamedTuple


def output_size(size: int, stride: int) -> int:
    """Height of the output map: ceil(size / stride), for symmetric and SAME padding alike."""
    return -(-size // stride)


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, at least one, and never under 90 % of what was asked.

    Source: the released MobileNet code (`_make_divisible`), used by MobileNetV2, MnasNet and
    EfficientNet alike.

    >>> [make_divisible(c) for c in (12, 16, 18, 20, 30)]
    [16, 16, 24, 24, 32]
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class Conv(NamedTuple):
    """A convolution with, by choice, biases, batch norm and the network's activation after it.

    `valid` ones pad nothing, so that a map of h pixels becomes one of floor((h - kernel) / stride) + 1.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    groups: int = 1
    norm: bool = True
    activation: bool = True
    bias: bool = False
    valid: bool = False

    @property
    def params(self) -> int:
        weights = self.out_channels * (self.in_channels // self.groups) * self.kernel**2
        return weights + (2 * self.norm + self.bias) * self.out_channels

    def macs(self, height: int) -> int:
        """Multiply-adds at a square output of `height` pixels."""
        return self.out_channels * (self.in_channels // self.groups) * self.kernel**2 * height**2

    def step(self, height: int) -> tuple[int, int]:
        """Multiply-adds on a square input of `height` pixels, and the output's height."""
        out = (height - self.kernel) // self.stride + 1 if self.valid else -(-height // self.stride)
        return self.macs(out), out

    @property
    def word(self) -> str:
        """What it computes, for the canonical key."""
        flags = (("a", self.activation), ("d", self.groups > 1), ("n", not self.norm), ("b", self.bias))
        return f"{self.kernel}x{self.out_channels}{''.join(f for f, on in flags if on)}{'v' * self.valid}"


class SqueezeExcite(NamedTuple):
    """Squeeze-and-excitation (Hu et al. 2018): mean, 1x1 down, activation, 1x1 up, sigmoid gate.

    MobileNetV3's is `hard`: a ReLU between, and the gate relu6(x + 3) / 6 (Howard et al. 2019, sections 5.2, 5.3).
    """

    name: str
    channels: int
    squeeze: int
    hard: bool = False

    @property
    def params(self) -> int:
        return 2 * self.channels * self.squeeze + self.channels + self.squeeze

    def macs(self, height: int) -> int:
        """Multiply-adds of the two 1x1 convolutions, which see one pixel whatever `height` is."""
        return 2 * self.channels * self.squeeze

    def step(self, height: int) -> tuple[int, int]:
        return self.macs(height), height

    @property
    def word(self) -> str:
        return f"{'h' * self.hard}se{self.squeeze}"


class Linear(NamedTuple):
    """A linear layer with biases, by choice with the network's activation after it; its input is pooled."""

    name: str
    in_channels: int
    out_channels: int
    activation: bool = False

    @property
    def params(self) -> int:
        return self.out_channels * (self.in_channels + 1)

    def macs(self, height: int) -> int:
        """Multiply-adds of the product; the bias counts nothing."""
        return self.in_channels * self.out_channels

    def step(self, height: int) -> tuple[int, int]:
        return self.macs(height), 1

    @property
    def word(self) -> str:
        return f"linear{self.out_channels}{'a' * self.activation}"


class MaxPool(NamedTuple):
    """3 x 3 max-pooling with stride 2, padded; `valid` ones are not, and round up (ceil((h - 3) / 2) + 1)."""

    name: str
    valid: bool = False

    params = 0

    def step(self, height: int) -> tuple[int, int]:
        return 0, height // 2 if self.valid else output_size(height, 2)

    @property
    def word(self) -> str:
        return f"max{'v' * self.valid}"


class Activation(NamedTuple):
    """The network's activation alone."""

    name: str

    params = 0

    def step(self, height: int) -> tuple[int, int]:
        return 0, height

    @property
    def word(self) -> str:
        return "act"


class Branches(NamedTuple):
    """Branches beside each other, each a sequence of specs, whose outputs are concatenated; () hands on its input.

    Attributes:
        split: the input's channels are divided among the branches, in order; else each takes them all.
        shuffle: the outputs' channels alternate (ShuffleNet's channel shuffle with a group for each branch).
    """

    name: str
    branches: tuple[tuple["LayerSpec", ...], ...]
    split: bool = False
    shuffle: bool = False

    @property
    def params(self) -> int:
        return sum(layer.params for branch in self.branches for layer in branch)

    def step(self, height: int) -> tuple[int, int]:
        """Multiply-adds of all branches on one input, and the height that they have in common."""
        total, out = 0, height
        for branch in self.branches:
            out = height
            for layer in branch:
                macs, out = layer.step(out)
                total += macs
        return total, out

    @property
    def word(self) -> str:
        inner = "|".join("+".join(layer.word for layer in branch) for branch in self.branches)
        return f"{{{inner}}}{'s' * self.split}{'x' * self.shuffle}"


LayerSpec = Conv | SqueezeExcite | Linear | MaxPool | Activation | Branches
