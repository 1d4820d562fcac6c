"""The network: plain torch modules, built from the same layer specs that cost is summed over.

>>> import torch
>>> from nas.baseline import load
>>> net = build(load("efficientnet-b0").architecture, num_classes=10)
>>> tuple(net(torch.zeros(1, 3, 64, 64)).shape)
(1, 10)

State-dict entries stand in order of computation, one to one with torchvision's.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from nas.architecture import Architecture, Block
from nas.errors import NasError
from nas.layers import SHORTCUTS, DropPath, Settings, make, sequence
from nas.masks import Dropout


class BlockModule(nn.Module):
    """One layer of a stage: its specs in sequence, the shortcut around them, where it has one, what follows the sum."""

    def __init__(self, block: Block, activation: str, settings: Settings, drop_path: float) -> None:
        super().__init__()
        activation = block.activation or activation
        for spec in block.layers:
            self.add_module(spec.name, make(spec, activation, settings))
        self.names = [spec.name for spec in block.layers]
        if block.projection:
            self.shortcut = sequence(block.projection, activation, settings)
        else:
            self.shortcut = SHORTCUTS[block.shortcut]()
        if self.shortcut is not None:
            self.drop_path = DropPath(drop_path)
        self.after = sequence(block.after, activation, settings) if block.after else None

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for name in self.names:
            out = getattr(self, name)(out)
        if self.shortcut is not None:
            out = self.drop_path(out) + self.shortcut(x)
        return out if self.after is None else self.after(out)


class Network(nn.Module):
    """stem -> stages -> head -> mean -> [hidden] -> dropout -> classifier; the interface is timm's.

    Input: float (N, in_chans, H, W), any H and W the strides bear; output: logits (N, num_classes).

    `num_classes` is 0 where the classifier was left out; `forward_features` has `num_features` channels, and what the
    classifier sees `head_hidden_size`. A convolution as classifier (`Head.conv`) comes before the mean.
    """

    def __init__(self, arch: Architecture, settings: Settings) -> None:
        super().__init__()
        self.architecture = arch
        self.num_classes = arch.head.classes
        stem, *others = sequence(arch.stem.layers, arch.activation, settings).named_children()
        self.stem = stem[1]
        self.stem_rest = nn.Sequential(OrderedDict(others))
        blocks = list(arch.blocks())
        stages = [nn.Sequential() for _ in arch.stages]
        for index, (number, block) in enumerate(blocks):
            drop_path = settings.drop_path * index / len(blocks)
            stages[number - 1].append(BlockModule(block, arch.activation, settings, drop_path))
        self.stages = nn.Sequential(*stages)
        last = arch.stages[-1].channels
        head = dict(sequence(arch.head.layers(last), arch.activation, settings).named_children())
        self.head = head.get("head", nn.Identity())
        self.num_features = arch.head.channels or last
        self.hidden = head.get("hidden", nn.Identity())
        self.head_hidden_size = arch.head.hidden or self.num_features
        self.dropout = Dropout(settings.dropout)
        self.classifier, self.act = head["classifier"], None
        if arch.head.conv:
            self.classifier, self.act = head["classifier"].children()
        self.apply(initialize)

    def forward_features(self, x: Tensor) -> Tensor:
        """The feature map before pooling: (N, num_features, h, w)."""
        return self.head(self.stages(self.stem_rest(self.stem(x))))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits (N, classes) of a feature map; with `pre_logits` what the classifier sees (N, head_hidden_size)."""
        if self.act is not None and self.num_classes and not pre_logits:
            x = self.act(self.classifier(self.dropout(x)))
            return F.adaptive_avg_pool2d(x, 1).flatten(1)
        x = self.dropout(self.hidden(F.adaptive_avg_pool2d(x, 1).flatten(1)))
        return x if pre_logits else self.classifier(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        return self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        """A new classifier of `num_classes` classes, or none for 0; NasError for less."""
        _check_count("num_classes", num_classes, least=0)
        self.num_classes = num_classes
        if not num_classes:
            self.classifier = nn.Identity()
        elif self.act is None:
            self.classifier = nn.Linear(self.head_hidden_size, num_classes)
        else:
            self.classifier = nn.Conv2d(self.head_hidden_size, num_classes, 1)
        self.classifier.apply(initialize).to(next(self.parameters()))


def initialize(module: nn.Module) -> None:
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
