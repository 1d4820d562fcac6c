"""The parts of an Architecture: stem, stage and head, frozen values with their checks.

>>> stem = Stem(64, kernel=7, pool=True)    # ResNet's
>>> [layer.name for layer in stem.layers]
['stem', 'pool']
>>> check_stage(Stage("shuffle", kernel=3, channels=15), "stage2")
Traceback (most recent call last):
...
nas.errors.NasError: stage2.channels is 15; shuffle needs an even number
"""

import math
from dataclasses import MISSING, dataclass, fields
from operator import attrgetter
from typing import Any

from nas.block import SE_KINDS
from nas.errors import NasError, listed, near
from nas.ops import ACTIVATIONS, FLAGS, OPS, SKIPS
from nas.specs import Conv, LayerSpec, Linear, MaxPool


@dataclass(frozen=True)
class Stem:
    """The first convolution, with norm and activation, and what goes with it.

    Attributes:
        channels: of its output.
        stride, in_chans: of the first convolution.
        kernel: side of the first convolution, odd.
        first: channels of another convolution before, which then has kernel and stride; the stem's own is then
            3 x 3 of stride 1 (Xception).
        pool: 3 x 3 max-pooling of stride 2 at the end (ResNet, ShuffleNetV2, SqueezeNet).
        valid: convolutions and pooling pad nothing (SqueezeNet, Xception).
        bias: biases instead of norm (SqueezeNet).
    """

    channels: int
    stride: int = 2
    in_chans: int = 3
    kernel: int = 3
    first: int | None = None
    pool: bool = False
    valid: bool = False
    bias: bool = False

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The specs in order of computation."""
        how = {"norm": not self.bias, "bias": self.bias, "valid": self.valid}
        opening = Conv("stem", self.in_chans, self.first or self.channels, self.kernel, self.stride, **how)
        second = () if self.first is None else (Conv("second", self.first, self.channels, 3, **how),)
        return (opening, *second, *((MaxPool("pool", self.valid),) if self.pool else ()))

    @property
    def word(self) -> str:
        """What it computes, for the canonical key; a plain one is channels/stride."""
        valid = self.valid and (self.kernel > 1 or self.pool or self.first is not None)
        flags = (("p", self.pool), ("v", valid), ("b", self.bias))
        more = "".join(flag for flag, on in flags if on)
        kernel = f"k{self.kernel}" if self.kernel != 3 else ""
        first = f"f{self.first}" if self.first is not None else ""
        return f"{self.channels}/{self.stride}{kernel}{first}{more}"


@dataclass(frozen=True)
class Head:
    """1x1 convolution to `channels` (None: left out, as in MobileNetV1), mean, classifier.

    Attributes:
        hidden: outputs of a linear layer with activation between mean and classifier (MobileNetV3); None for none.
        conv: the classifier is a 1x1 convolution with activation, and the mean comes after it (SqueezeNet).
        narrows: whether a width under 1 narrows the head's convolution; MobileNetV2's keeps its 1280 channels.
    """

    channels: int | None
    classes: int
    hidden: int | None = None
    conv: bool = False
    narrows: bool = True

    def layers(self, last: int) -> tuple[LayerSpec, ...]:
        """The specs after a stage of `last` channels; the classifier's is the last."""
        found: list[LayerSpec] = []
        if self.channels is not None:
            found.append(Conv("head", last, self.channels, 1))
            last = self.channels
        if self.hidden is not None:
            found.append(Linear("hidden", last, self.hidden, activation=True))
            last = self.hidden
        if self.conv:
            return (*found, Conv("classifier", last, self.classes, 1, norm=False, bias=True))
        return (*found, Linear("classifier", last, self.classes))

    @property
    def word(self) -> str:
        """What it computes, for the canonical key, but for the classes."""
        hidden = f"+{self.hidden}" if self.hidden is not None else ""
        return f"{self.channels or '-'}{hidden}{'c' * self.conv}"


@dataclass(frozen=True)
class Stage:
    """`layers` blocks of one kind; only the first has the stride and changes the channels.

    Attributes:
        op: the kind of block, such as 'mbconv' (`nas.ops.OPS`).
        kernel: side of the (depthwise) convolution, odd.
        expand: expansion ratio of an mbconv or fusedmbconv; of a bottleneck or fire the ratio of the middle to the
            output's channels; other ops ignore it.
        se: squeeze-and-excitation ratio to the block's input channels; 0 for none.
        skip: 'none'; 'identity' or 'pool', taken by layers of stride 1 and equal channels; 'projection', which is
            identity there and a 1x1 convolution with norm elsewhere (ResNet's, option B).
        pointwise_activation: dsconv only, MobileNetV1's activation after the pointwise.
        always_expand: mbconv only, keeps the expansion convolution at expansion 1.
        activation: instead of the network's; None for that.
        se_kind: 'standard', or 'mobilenet-v3': squeezed to eights of the channels it works on, a ReLU between, a
            hard gate.
        separables: xception only, how many separable convolutions a block has.
        widen_last: xception only, the last of them changes the channels instead of the first.
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
    activation: str | None = None
    se_kind: str = "standard"
    separables: int = 2
    widen_last: bool = False


def unusual(part: Stem | Head | Stage, but: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a part that are not their default, in their order, without those of `but`.

    >>> unusual(Stem(64, in_chans=1, pool=True))
    {'in_chans': 1, 'pool': True}
    """
    return {
        field.name: getattr(part, field.name)
        for field in fields(part)
        if field.name not in but
        and field.default is not MISSING
        and getattr(part, field.name) != field.default
    }


DEFAULTS = {flag: Stage.__dataclass_fields__[flag].default for flag in FLAGS}
"""What stands in a stage of another op for the fields that belong to some ops alone."""
_flags_of, _UNFLAGGED = attrgetter(*DEFAULTS), tuple(DEFAULTS.values())

LIMITS = {"channels": 65536, "layers": 1000, "stages": 64, "resolution": 16384, "classes": 1 << 24}


def check_whole(where: str, field: str, value: object, most: int) -> None:
    """Raises NasError for anything but a whole number from 1 to `most`."""
    if type(value) is not int or not 1 <= value <= most:
        raise NasError(f"{where}{field} is {value!r}; give a whole number from 1 to {most}")


def _check_kernel(where: str, value: object) -> None:
    if type(value) is not int or value not in range(1, 32, 2):
        raise NasError(f"{where}.kernel is {value!r}; give an odd number from 1 to 31")


def _check_stride(where: str, value: object) -> None:
    if type(value) is not int or value not in (1, 2):
        raise NasError(f"{where}.stride is {value!r}; allowed: 1, 2")


def check_stage(stage: Stage, where: str) -> None:
    """Raises NasError where a field of the stage is impossible, naming `where`."""
    if stage.op not in OPS:
        raise NasError(f"{where}.op is {stage.op!r}{near(stage.op, OPS)}; allowed: {listed(OPS)}")
    if stage.skip not in SKIPS:
        raise NasError(f"{where}.skip is {stage.skip!r}; allowed: {listed(SKIPS)}")
    op = OPS[stage.op]
    check_whole(where, ".channels", stage.channels, LIMITS["channels"])
    if op.even and stage.channels % 2:
        raise NasError(f"{where}.channels is {stage.channels}; {op.name} needs an even number")
    check_whole(where, ".layers", stage.layers, LIMITS["layers"])
    _check_kernel(where, stage.kernel)
    _check_stride(where, stage.stride)
    if not (0 <= stage.se <= 1):
        raise NasError(f"{where}.se is {stage.se!r}; give 0 (none) or a ratio up to 1")
    if op.expands:
        if stage.expand is None:
            raise NasError(f"{where}.expand is missing; {stage.op} needs it, such as 3 or 6")
        if not (math.isfinite(stage.expand) and 0 < stage.expand <= 64):
            raise NasError(f"{where}.expand is {stage.expand!r}; give a ratio over 0, up to 64")
    if stage.activation is not None and stage.activation not in ACTIVATIONS:
        raise NasError(f"{where}.activation is {stage.activation!r}; allowed: {listed(ACTIVATIONS)}")
    if stage.se_kind not in SE_KINDS:
        raise NasError(f"{where}.se_kind is {stage.se_kind!r}; allowed: {listed(SE_KINDS)}")
    if _flags_of(stage) != _UNFLAGGED:
        check_whole(where, ".separables", stage.separables, 10)
        for flag, default in DEFAULTS.items():
            if getattr(stage, flag) != default and flag not in op.flags:
                raise NasError(f"{where}.{flag} belongs to {listed(FLAGS[flag])}, found in {stage.op}")


def check_stem(stem: Stem) -> None:
    """Raises NasError where a field of the stem is impossible."""
    check_whole("stem", ".channels", stem.channels, LIMITS["channels"])
    check_whole("stem", ".in_chans", stem.in_chans, LIMITS["channels"])
    if stem.first is not None:
        check_whole("stem", ".first", stem.first, LIMITS["channels"])
    _check_stride("stem", stem.stride)
    _check_kernel("stem", stem.kernel)


def check_head(head: Head) -> None:
    """Raises NasError where a field of the head is impossible."""
    if head.channels is not None:
        check_whole("head", ".channels", head.channels, LIMITS["channels"])
    if head.hidden is not None:
        check_whole("head", ".hidden", head.hidden, LIMITS["channels"])
        if head.conv:
            raise NasError("head.hidden and head.conv exclude each other; leave one out")
    check_whole("head", ".classes", head.classes, LIMITS["classes"])
