"""The network of this folder in plain torch: its layers are listed in config.json, its weights in model.safetensors.

Needs torch and safetensors, and nothing else. `load()` is the network in eval mode; `build()` one at random:

>>> import torch
>>> conv = {"kind": "Conv", "name": "conv", "in_channels": 3, "out_channels": 8, "kernel": 3, "stride": 2}
>>> block = {"shortcut": "pool", "layers": [{**conv, "in_channels": 8, "stride": 1}]}
>>> classifier = {"kind": "Linear", "name": "classifier", "in_channels": 8, "out_channels": 2}
>>> net = build({"activation": "relu", "padding": "same", "norm_eps": 1e-3, "stem": [conv], "stages": [[block]],
...              "head": [classifier]})
>>> tuple(net(torch.zeros(1, 3, 9, 9)).shape)
(1, 2)
"""

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

HERE = Path(__file__).parent
ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "swish": nn.SiLU, "hard_swish": nn.Hardswish}
Spec = dict[str, Any]


def same_pads(x: Tensor, kernel: int, stride: int) -> list[int]:
    """TensorFlow's SAME padding, for F.pad: where it is odd, the larger part is on the right and below."""
    pads: list[int] = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return pads


class SameConv2d(nn.Conv2d):
    """A convolution with SAME padding."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, same_pads(input, self.kernel_size[0], self.stride[0])))


class SameMaxPool2d(nn.Module):
    """3 x 3 max-pooling of stride 2 with SAME padding."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(x, same_pads(x, 3, 2), value=-torch.inf), 3, 2)


class SqueezeExcite(nn.Module):
    """A gate for each channel, from the channels' means."""

    def __init__(self, channels: int, squeeze: int, hard: bool, activation: str) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeeze, 1)
        self.act = ACTIVATIONS["relu" if hard else activation]()
        self.expand = nn.Conv2d(squeeze, channels, 1)
        self.gate = nn.Hardsigmoid() if hard else nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True)))))


class Branches(nn.Module):
    """Sequences beside each other, on parts of the channels or on all of them; their outputs, concatenated."""

    def __init__(self, branches: list[nn.Sequential], split: bool, shuffle: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.split, self.shuffle = split, shuffle

    def forward(self, x: Tensor) -> Tensor:
        count = len(self.branches)
        parts = x.chunk(count, dim=1) if self.split else [x] * count
        out = torch.cat([branch(part) for branch, part in zip(self.branches, parts, strict=True)], dim=1)
        return F.channel_shuffle(out, count) if self.shuffle else out


class Block(nn.Module):
    """Layers in sequence; what is added to them: their input, its 3 x 3 average pooling, its projection, or nothing;
    and what follows the sum."""

    def __init__(self, spec: Spec, network: Spec) -> None:
        super().__init__()
        network = network | {"activation": spec.get("activation") or network["activation"]}
        layers = sequence(spec["layers"], network)
        self.names = [name for name, _ in layers.named_children()]
        for name, module in layers.named_children():
            self.add_module(name, module)
        self.kind = spec["shortcut"]
        self.shortcut = sequence(spec["projection"], network) if spec.get("projection") else None
        self.after = sequence(spec.get("after", ()), network)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for name in self.names:
            out = getattr(self, name)(out)
        if self.shortcut is not None:
            out = out + self.shortcut(x)
        elif self.kind == "pool":
            out = out + F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        elif self.kind != "none":
            out = out + x
        return self.after(out)


class Network(nn.Module):
    """stem, stages, head, mean, classifier; a convolution as classifier comes before the mean."""

    def __init__(self, network: Spec) -> None:
        super().__init__()
        stem, *rest = sequence(network["stem"], network).named_children()
        self.stem, self.stem_rest = stem[1], nn.Sequential(OrderedDict(rest))
        self.stages = nn.Sequential(
            *(nn.Sequential(*(Block(one, network) for one in stage)) for stage in network["stages"])
        )
        head = dict(sequence(network["head"], network).named_children())
        self.head = head.get("head", nn.Identity())
        self.hidden = head.get("hidden", nn.Identity())
        self.classifier, self.act = head["classifier"], None
        if network["head"][-1]["kind"] == "Conv":
            self.classifier, self.act = head["classifier"].children()

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.stages(self.stem_rest(self.stem(x))))
        if self.act is not None:
            return self.act(self.classifier(x)).mean((2, 3))
        return self.classifier(self.hidden(x.mean((2, 3))))


def sequence(specs: Sequence[Spec], network: Spec) -> nn.Sequential:
    """Layers of config.json one after the other, by their names."""
    return nn.Sequential(OrderedDict((spec["name"], layer(spec, network)) for spec in specs))


def layer(spec: Spec, network: Spec) -> nn.Module:
    """A layer of config.json, with the activation, padding and epsilon of its network."""
    kind, same = spec["kind"], network["padding"] == "same"
    if kind == "Conv":
        return convolution(spec, network)
    if kind == "SqueezeExcite":
        return SqueezeExcite(
            spec["channels"], spec["squeeze"], spec.get("hard", False), network["activation"]
        )
    if kind == "Linear":
        linear = nn.Linear(spec["in_channels"], spec["out_channels"])
        if not spec.get("activation"):
            return linear
        return nn.Sequential(OrderedDict(linear=linear, act=ACTIVATIONS[network["activation"]]()))
    if kind == "MaxPool":
        if spec.get("valid"):
            return nn.MaxPool2d(3, 2, ceil_mode=True)
        return SameMaxPool2d() if same else nn.MaxPool2d(3, 2, padding=1)
    if kind == "Activation":
        return ACTIVATIONS[network["activation"]]()
    if kind == "Branches":
        branches = [sequence(branch, network) for branch in spec["branches"]]
        return Branches(branches, spec["split"], spec["shuffle"])
    raise ValueError(f"config.json has a layer of kind {kind!r}, which this model.py does not know")


def convolution(spec: Spec, network: Spec) -> nn.Sequential:
    """Convolution, norm, activation, as far as the spec has them."""
    kernel, valid = spec["kernel"], spec.get("valid", False)
    same = network["padding"] == "same" and not valid
    made = nn.Sequential()
    made.conv = (SameConv2d if same else nn.Conv2d)(
        spec["in_channels"], spec["out_channels"], kernel, spec.get("stride", 1),
        padding=0 if same or valid else (kernel - 1) // 2, groups=spec.get("groups", 1), bias=spec.get("bias", False),
    )  # fmt: skip
    if spec.get("norm", True):
        made.norm = nn.BatchNorm2d(spec["out_channels"], network["norm_eps"])
    if spec.get("activation", True):
        made.act = ACTIVATIONS[network["activation"]]()
    return made


def config(folder: str | Path = HERE) -> dict[str, Any]:
    """config.json; `network` in it lists the layers."""
    return json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))


def build(network: Spec) -> Network:
    """The network at random, in training mode; `network` is the part of config.json of that name."""
    return Network(network)


def load(folder: str | Path = HERE) -> Network:
    """The network with its weights, in eval mode: float (N, channels, H, W) -> logits (N, classes)."""
    net = build(config(folder)["network"])
    net.load_state_dict(load_file(Path(folder, "model.safetensors")))
    return net.eval()
