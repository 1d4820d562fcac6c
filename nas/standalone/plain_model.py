"""The network of this folder in plain torch: its layers are listed in config.json, its weights in model.safetensors.

Needs torch and safetensors, and nothing else. `load()` is the network in eval mode; `build()` one at random:

>>> import torch
>>> conv = {"kind": "Conv", "name": "conv", "in_channels": 3, "out_channels": 8, "kernel": 3, "stride": 2}
>>> block = {"shortcut": "pool", "layers": [{**conv, "in_channels": 8, "stride": 1}]}
>>> net = build({"activation": "relu", "padding": "same", "norm_eps": 1e-3, "stem": conv, "stages": [[block]],
...              "head": None, "num_features": 8, "num_classes": 2})
>>> tuple(net(torch.zeros(1, 3, 9, 9)).shape)
(1, 2)
"""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

HERE = Path(__file__).parent
ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "swish": nn.SiLU}


class SameConv2d(nn.Conv2d):
    """TensorFlow's SAME padding: where it is odd, the larger part is on the right and below."""

    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(input.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(input, pads))


class SqueezeExcite(nn.Module):
    """A gate for each channel, from the channels' means."""

    def __init__(self, channels: int, squeeze: int, activation: str) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeeze, 1)
        self.act = ACTIVATIONS[activation]()
        self.expand = nn.Conv2d(squeeze, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True)))).sigmoid()


class Block(nn.Sequential):
    """Layers in sequence, and what is added to them: their input, its 3 x 3 average pooling, or nothing."""

    def __init__(self, layers: dict[str, nn.Module], shortcut: str) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.kind = shortcut

    def forward(self, input: Tensor) -> Tensor:
        out = super().forward(input)
        if self.kind == "none":
            return out
        return out + (F.avg_pool2d(input, 3, 1, 1, count_include_pad=False) if self.kind == "pool" else input)


class Network(nn.Module):
    """stem, stages, head, mean, classifier."""

    def __init__(self, network: dict[str, Any]) -> None:
        super().__init__()
        self.stem = layer(network["stem"], network)
        self.stages = nn.Sequential(
            *(nn.Sequential(*(block(one, network) for one in stage)) for stage in network["stages"])
        )
        self.head = layer(network["head"], network) if network["head"] else nn.Identity()
        self.classifier = nn.Linear(network["num_features"], network["num_classes"])

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.head(self.stages(self.stem(x))).mean((2, 3)))


def layer(spec: dict[str, Any], network: dict[str, Any]) -> nn.Module:
    """A layer of config.json, with the activation, padding and epsilon of its network."""
    spec = dict(spec)
    kind, activation = spec.pop("kind"), network["activation"]
    del spec["name"]
    if kind == "SqueezeExcite":
        return SqueezeExcite(**spec, activation=activation)
    if kind != "Conv":
        raise ValueError(
            f"config.json has a layer of kind {kind!r}; this model.py knows Conv and SqueezeExcite"
        )
    channels, kernel, same = spec["out_channels"], spec["kernel"], network["padding"] == "same"
    convolution = (SameConv2d if same else nn.Conv2d)(
        spec["in_channels"], channels, kernel, spec.get("stride", 1),
        padding=0 if same else (kernel - 1) // 2, groups=spec.get("groups", 1), bias=False,
    )  # fmt: skip
    made = nn.Sequential()
    made.add_module("conv", convolution)
    if spec.get("norm", True):
        made.add_module("norm", nn.BatchNorm2d(channels, network["norm_eps"]))
    if spec.get("activation", True):
        made.add_module("act", ACTIVATIONS[activation]())
    return made


def block(spec: dict[str, Any], network: dict[str, Any]) -> Block:
    """A block of config.json."""
    return Block({one["name"]: layer(one, network) for one in spec["layers"]}, spec["shortcut"])


def config(folder: str | Path = HERE) -> dict[str, Any]:
    """config.json; `network` in it lists the layers."""
    return json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))


def build(network: dict[str, Any]) -> Network:
    """The network at random, in training mode; `network` is the part of config.json of that name."""
    return Network(network)


def load(folder: str | Path = HERE) -> Network:
    """The network with its weights, in eval mode: float (N, channels, H, W) -> logits (N, classes)."""
    net = build(config(folder)["network"])
    net.load_state_dict(load_file(Path(folder, "model.safetensors")))
    return net.eval()
