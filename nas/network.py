"""The network: plain torch modules, built from the same layer specs that cost is summed over.

>>> from nas.baseline import load
>>> net = build(load("efficientnet-b0").architecture, num_classes=10)
>>> tuple(net(torch.zeros(1, 3, 64, 64)).shape)
(1, 10)

State-dict entries stand in order of computation, one to one with torchvision's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.architecture import Architecture, Block
from nas.errors import NasError
from nas.ops import Conv, SqueezeExcite

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
        drop_path: stochastic depth of the last block; block i of n has drop_path * i / n.
    """

    norm_eps: float = 1e-3
    norm_momentum: float = 0.01
    padding: str = "symmetric"
    dropout: float = 0.2
    drop_path: float = 0.2


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: the odd pixel goes to the right and below."""

    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(input, pads))


class ConvNormAct(nn.Sequential):
    """conv -> norm -> activation, as its spec says."""

    def __init__(self, spec: Conv, activation: str, settings: Settings) -> None:
        super().__init__()
        same = settings.padding == "same"
        self.conv = (SameConv2d if same else nn.Conv2d)(
            spec.in_channels,
            spec.out_channels,
            spec.kernel,
            spec.stride,
            padding=0 if same else (spec.kernel - 1) // 2,
            groups=spec.groups,
            bias=False,
        )
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
        gate = x.mean((2, 3), keepdim=True)
        gate = self.expand(self.act(self.reduce(gate)))
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
    """One layer of a stage: its specs in sequence, and the shortcut around them."""

    def __init__(self, block: Block, activation: str, settings: Settings, drop_path: float) -> None:
        super().__init__()
        self.names = [spec.name for spec in block.layers]
        for spec in block.layers:
            layer = (
                SqueezeExcitation(spec, activation)
                if isinstance(spec, SqueezeExcite)
                else ConvNormAct(spec, activation, settings)
            )
            self.add_module(spec.name, layer)
        self.shortcut = SHORTCUTS[block.shortcut]()
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for name in self.names:
            out = getattr(self, name)(out)
        if self.shortcut is None:
            return out
        return self.drop_path(out) + self.shortcut(x)


def _pool() -> nn.Module:
    """3 x 3 average pooling on the shortcut: our reading of MnasNet's "pooling" skip."""
    return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)


SHORTCUTS: dict[str, Callable[[], nn.Module | None]] = {
    "none": lambda: None,
    "identity": nn.Identity,
    "pool": _pool,
}


class Network(nn.Module):
    """stem -> stages -> head -> mean -> dropout -> classifier.

    Input: float (N, in_chans, H, W), any H and W the strides bear; output: logits (N, classes).
    """

    def __init__(self, arch: Architecture, settings: Settings) -> None:
        super().__init__()
        self.architecture = arch
        self.num_classes = arch.head.classes
        stem, *_ = arch.stem_layers
        assert isinstance(stem, Conv)
        self.stem = ConvNormAct(stem, arch.activation, settings)
        blocks = list(arch.blocks())
        stages = [nn.Sequential() for _ in arch.stages]
        for index, (number, block) in enumerate(blocks):
            rate = settings.drop_path * index / len(blocks)
            stages[number - 1].append(BlockModule(block, arch.activation, settings, rate))
        self.stages = nn.Sequential(*stages)
        self.head: nn.Module = nn.Identity()
        for spec in arch.head_layers:
            if isinstance(spec, Conv):
                self.head = ConvNormAct(spec, arch.activation, settings)
        self.num_features = arch.head.channels or arch.stages[-1].channels
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier: nn.Module = nn.Linear(self.num_features, arch.head.classes)
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
        """A new classifier of `num_classes` classes; 0 leaves the pooled features."""
        self.num_classes = num_classes
        self.classifier = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.classifier.apply(_initialize)


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

    Args:
        num_classes: outputs; the architecture's by default, 0 for pooled features.
        in_chans: input channels; the architecture's by default.
        norm_eps, norm_momentum, padding, dropout, drop_path: see `Settings`.

    Raises:
        NasError: for settings out of range.
    """
    if padding not in ("symmetric", "same"):
        raise NasError(f"padding is {padding!r}; allowed: symmetric, same")
    for name, rate in (("dropout", dropout), ("drop_path", drop_path)):
        if not 0 <= rate < 1:
            raise NasError(f"{name} is {rate}; give a rate from 0 to below 1")
    settings = Settings(norm_eps, norm_momentum, padding, dropout, drop_path)
    wanted = arch.with_data(
        classes=num_classes or arch.head.classes,
        in_chans=arch.stem.in_chans if in_chans is None else in_chans,
    )
    net = Network(wanted, settings)
    if num_classes == 0:
        net.reset_classifier(0)
    return net
