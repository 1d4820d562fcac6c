"""What an op is: one class that expands to the layer specs of one block.

>>> squeeze_channels(24, 0.25), squeeze_and_excite(24, 72, 0.25, "mobilenet-v3")
(6, (SqueezeExcite(name='se', channels=72, squeeze=24, hard=True),))
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from nas.specs import LayerSpec, SqueezeExcite, make_divisible

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


def squeeze_and_excite(
    in_channels: int, channels: int, ratio: float, kind: str = "standard"
) -> tuple[LayerSpec, ...]:
    """SE of `channels`, squeezed by a ratio to the block's input; MobileNetV3's by one to `channels`, in eights."""
    if not ratio:
        return ()
    if kind == "mobilenet-v3":
        return (SqueezeExcite("se", channels, make_divisible(channels * ratio), hard=True),)
    return (SqueezeExcite("se", channels, squeeze_channels(in_channels, ratio)),)
