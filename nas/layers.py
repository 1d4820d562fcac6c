"""Plain torch modules, one for each kind of layer spec (`nas.specs`).

>>> made = make(Conv("conv", 3, 8, kernel=3), "relu", Settings())
>>> [type(module).__name__ for module in made]
['Conv2d', 'BatchNorm2d', 'ReLU']
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.errors import NasError
from nas.masks import mask
from nas.specs import Activation, Branches, Conv, LayerSpec, Linear, MaxPool, SqueezeExcite

ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "swish": nn.SiLU,
    "hard_swish": nn.Hardswish,
}


@dataclass(frozen=True)
class Settings:
    """What sources differ in and an Architecture leaves open; defaults are EfficientNet's.

    Attributes:
        norm_eps: batch norm's epsilon (EfficientNet's released code: 1e-3).
        norm_momentum: weight of the newest batch in torch's sense (0.01 is TensorFlow's 0.99).
        padding: 'symmetric' ((k - 1) // 2 on each side) or 'same' (TensorFlow's SAME, which
            differs at stride 2 on even inputs).
        dropout: before the classifier.
        drop_path: stochastic depth: block i of n, counted from 0 over all stages, drops its
            branch at rate drop_path * i / n (EfficientNet's released code, timm and torchvision).
    """

    norm_eps: float = 1e-3
    norm_momentum: float = 0.01
    padding: str = "symmetric"
    dropout: float = 0.2
    drop_path: float = 0.2

    def __post_init__(self) -> None:
        if self.padding not in ("symmetric", "same"):
            raise NasError(f"padding is {self.padding!r}; allowed: symmetric, same")
        for name in ("norm_eps", "norm_momentum", "dropout", "drop_path"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value < 1):
                raise NasError(f"{name} is {value!r}; give a number from 0 to below 1")


def make(spec: LayerSpec, activation: str, settings: Settings) -> nn.Module:
    """The module of a spec."""
    return MODULES[type(spec)](spec, activation, settings)


def _same_pads(x: Tensor, kernel: int, stride: int) -> list[int]:
    """TensorFlow's SAME padding, for F.pad: the odd pixel goes to the right and below."""
    pads: list[int] = []
    for size in (x.shape[3], x.shape[2]):  # F.pad takes the last axis first
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return pads


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, _same_pads(input, self.kernel_size[0], self.stride[0])))


class SameMaxPool2d(nn.Module):
    """3 x 3 max-pooling of stride 2 with TensorFlow's SAME padding."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(x, _same_pads(x, 3, 2), value=-torch.inf), 3, 2)


class ConvNormAct(nn.Sequential):
    """conv -> norm -> activation, as its spec says."""

    def __init__(self, spec: Conv, activation: str, settings: Settings) -> None:
        super().__init__()
        same = settings.padding == "same" and not spec.valid
        self.conv = (SameConv2d if same else nn.Conv2d)(
            spec.in_channels, spec.out_channels, spec.kernel, spec.stride,
            padding=0 if same or spec.valid else (spec.kernel - 1) // 2, groups=spec.groups, bias=spec.bias,
        )  # fmt: skip
        if spec.norm:
            self.norm = nn.BatchNorm2d(spec.out_channels, settings.norm_eps, settings.norm_momentum)
        if spec.activation:
            self.act = ACTIVATIONS[activation](inplace=True)


class LinearAct(nn.Sequential):
    """linear -> activation."""

    def __init__(self, spec: Linear, activation: str, settings: Settings) -> None:
        super().__init__()
        self.linear = nn.Linear(spec.in_channels, spec.out_channels)
        self.act = ACTIVATIONS[activation](inplace=True)


class SqueezeExcitation(nn.Module):
    """x * gate(expand(act(reduce(mean(x))))), with biases; the gate is a sigmoid, or a hard one."""

    def __init__(self, spec: SqueezeExcite, activation: str, settings: Settings) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(spec.channels, spec.squeeze, 1)
        self.act = ACTIVATIONS["relu" if spec.hard else activation](inplace=True)
        self.expand = nn.Conv2d(spec.squeeze, spec.channels, 1)
        if spec.hard:
            self.gate = nn.Hardsigmoid()
        else:
            self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        gate = self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * self.gate(gate)


class Beside(nn.Module):
    """Branches beside each other, concatenated."""

    def __init__(self, spec: Branches, activation: str, settings: Settings) -> None:
        super().__init__()
        self.branches = nn.ModuleList(sequence(branch, activation, settings) for branch in spec.branches)
        self.split, self.shuffle = spec.split, spec.shuffle

    def forward(self, x: Tensor) -> Tensor:
        parts = x.chunk(len(self.branches), dim=1) if self.split else [x] * len(self.branches)
        outs = [branch(part) for branch, part in zip(self.branches, parts, strict=True)]
        out = torch.cat(outs, dim=1)
        if not self.shuffle:
            return out
        return F.channel_shuffle(out, len(outs))

    def extra_repr(self) -> str:
        return ", ".join(["split"] * self.split + ["shuffle"] * self.shuffle)


def sequence(specs: Iterable[LayerSpec], activation: str, settings: Settings) -> nn.Sequential:
    """The modules of specs one after the other, by their names."""
    found = nn.Sequential()
    for spec in specs:
        found.add_module(spec.name, make(spec, activation, settings))
    return found


def _linear(spec: Linear, activation: str, settings: Settings) -> nn.Module:
    if spec.activation:
        return LinearAct(spec, activation, settings)
    return nn.Linear(spec.in_channels, spec.out_channels)


def _max_pool(spec: MaxPool, activation: str, settings: Settings) -> nn.Module:
    if spec.valid:
        return nn.MaxPool2d(3, 2, ceil_mode=True)
    return SameMaxPool2d() if settings.padding == "same" else nn.MaxPool2d(3, 2, padding=1)


def _activation(spec: Activation, activation: str, settings: Settings) -> nn.Module:
    return ACTIVATIONS[activation]()  # not in place: the shortcut may want its input


MODULES: dict[type, Callable[..., nn.Module]] = {
    Conv: ConvNormAct,
    SqueezeExcite: SqueezeExcitation,
    Linear: _linear,
    MaxPool: _max_pool,
    Activation: _activation,
    Branches: Beside,
}


def drop_path(x: Tensor, rate: float) -> Tensor:
    """Stochastic depth (Huang et al. 2016) by sample: drops the branch, scales the kept ones."""
    if rate == 0:
        return x
    return x * mask(x, (len(x), 1, 1, 1), 1 - rate)


class DropPath(nn.Module):
    """`drop_path` in training mode."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return drop_path(x, self.rate) if self.training else x

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"


SHORTCUTS: dict[str, Callable[[], nn.Module | None]] = {
    "none": lambda: None,
    "identity": nn.Identity,
    # our reading of MnasNet's "pooling" skip, of which the paper says no more
    "pool": partial(nn.AvgPool2d, 3, stride=1, padding=1, count_include_pad=False),
}
