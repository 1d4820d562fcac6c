"""The network: plain torch modules, built from the same layer specs that cost is summed over.

>>> import torch
>>> from nas.baseline import load
>>> net = build(load("efficientnet-b0").architecture, num_classes=10)
>>> tuple(net(torch.zeros(1, 3, 64, 64)).shape)
(1, 10)

State-dict entries stand in order of computation, one to one with torchvision's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from nas.architecture import Architecture, Block
from nas.errors import NasError
from nas.ops import Conv, LayerSpec, SqueezeExcite

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "relu6": partial(nn.ReLU6, inplace=True),
    "swish": partial(nn.SiLU, inplace=True),
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


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: the odd pixel goes to the right and below."""

    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for size in (input.shape[3], input.shape[2]):  # F.pad takes the last axis first
            total = max((-(-size // self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0] - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(input, pads))


class ConvNormAct(nn.Sequential):
    """conv -> norm -> activation, as its spec says."""

    def __init__(self, spec: Conv, activation: str, settings: Settings) -> None:
        super().__init__()
        same = settings.padding == "same"
        self.conv = (SameConv2d if same else nn.Conv2d)(
            spec.in_channels, spec.out_channels, spec.kernel, spec.stride,
            padding=0 if same else (spec.kernel - 1) // 2, groups=spec.groups, bias=False,
        )  # fmt: skip
        if spec.norm:
            self.norm = nn.BatchNorm2d(spec.out_channels, settings.norm_eps, settings.norm_momentum)
        if spec.activation:
            self.act = ACTIVATIONS[activation]()


class SqueezeExcitation(nn.Module):
    """x * sigmoid(expand(act(reduce(mean(x))))), with biases."""

    def __init__(self, spec: SqueezeExcite, activation: str) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(spec.channels, spec.squeeze, 1)
        self.act = ACTIVATIONS[activation]()
        self.expand = nn.Conv2d(spec.squeeze, spec.channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * gate.sigmoid()


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016) by sample: drops the branch, scales the kept ones."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(1 - self.rate)
        return x * keep.div_(1 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"


class BlockModule(nn.Module):
    """One layer of a stage: its specs in sequence, and the shortcut around them, where it has one."""

    def __init__(self, block: Block, activation: str, settings: Settings, drop_path: float) -> None:
        super().__init__()
        for spec in block.layers:
            self.add_module(spec.name, _layer(spec, activation, settings))
        self.names = [spec.name for spec in block.layers]
        self.shortcut = SHORTCUTS[block.shortcut]()
        if self.shortcut is not None:
            self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for name in self.names:
            out = getattr(self, name)(out)
        if self.shortcut is None:
            return out
        return self.drop_path(out) + self.shortcut(x)


def _layer(spec: LayerSpec, activation: str, settings: Settings) -> nn.Module:
    if isinstance(spec, Conv):
        return ConvNormAct(spec, activation, settings)
    if isinstance(spec, SqueezeExcite):
        return SqueezeExcitation(spec, activation)
    return nn.Linear(spec.in_channels, spec.out_channels)


SHORTCUTS: dict[str, Callable[[], nn.Module | None]] = {
    "none": lambda: None,
    "identity": nn.Identity,
    # our reading of MnasNet's "pooling" skip, of which the paper says no more
    "pool": partial(nn.AvgPool2d, 3, stride=1, padding=1, count_include_pad=False),
}


class Network(nn.Module):
    """stem -> stages -> head -> mean -> dropout -> classifier; the interface is timm's.

    Input: float (N, in_chans, H, W), any H and W the strides bear; output: logits (N, num_classes).

    `num_classes` is 0 where the classifier was left out; `forward_features` has `num_features` channels.
    """

    def __init__(self, arch: Architecture, settings: Settings) -> None:
        super().__init__()
        self.architecture = arch
        self.num_classes = arch.head.classes
        layer = partial(_layer, activation=arch.activation, settings=settings)
        (stem,) = arch.stem_layers
        self.stem = layer(stem)
        blocks = list(arch.blocks())
        stages = [nn.Sequential() for _ in arch.stages]
        for index, (number, block) in enumerate(blocks):
            drop_path = settings.drop_path * index / len(blocks)
            stages[number - 1].append(BlockModule(block, arch.activation, settings, drop_path))
        self.stages = nn.Sequential(*stages)
        *head, classifier = arch.head_layers
        self.head = layer(head[0]) if head else nn.Identity()
        self.num_features = arch.head.channels or arch.stages[-1].channels
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = layer(classifier)
        self.apply(_initialize)

    def forward_features(self, x: Tensor) -> Tensor:
        """The feature map before pooling: (N, num_features, h, w)."""
        return self.head(self.stages(self.stem(x)))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits (N, classes) of a feature map; with `pre_logits` the pooled (N, num_features)."""
        x = self.dropout(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return x if pre_logits else self.classifier(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        return self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        """A new classifier of `num_classes` classes, or none for 0; NasError for less."""
        _check_count("num_classes", num_classes, least=0)
        self.num_classes = num_classes
        self.classifier = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.classifier.apply(_initialize).to(next(self.parameters()))


def _initialize(module: nn.Module) -> None:
    """The released EfficientNet code's: He normal by fan-out, uniform for the classifier."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0.0, (2.0 / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        bound = module.out_features**-0.5
        nn.init.uniform_(module.weight, -bound, bound)
        nn.init.zeros_(module.bias)


def _check_count(name: str, value: int, least: int) -> None:
    if type(value) is not int or value < least:
        raise NasError(f"{name} is {value!r}; give a whole number, at least {least}")


def build(
    arch: Architecture,
    num_classes: int | None = None,
    in_chans: int | None = None,
    *,
    norm_eps: float = Settings.norm_eps,
    norm_momentum: float = Settings.norm_momentum,
    padding: str = Settings.padding,
    dropout: float = Settings.dropout,
    drop_path: float = Settings.drop_path,
) -> Network:
    """The network of an architecture, freshly initialized, in training mode.

    `num_classes` (0: pooled features, no classifier) and `in_chans` default to the architecture's;
    the other arguments are those of `Settings`.

    Raises:
        NasError: for something else than an Architecture, or an argument out of range.
    """
    if not isinstance(arch, Architecture):
        raise NasError(f"arch is a {type(arch).__name__}; give an Architecture: nas.load(NAME).architecture")
    for name, count, least in (("num_classes", num_classes, 0), ("in_chans", in_chans, 1)):
        if count is not None:
            _check_count(name, count, least)
    settings = Settings(norm_eps, norm_momentum, padding, dropout, drop_path)
    net = Network(arch.with_data(num_classes or arch.head.classes, in_chans or arch.stem.in_chans), settings)
    if num_classes == 0:
        net.reset_classifier(0)
    return net
