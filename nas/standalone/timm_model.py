"""The network of this folder, as timm has it: by block strings or a name in config.json, weights of model.safetensors.

Needs torch, timm and safetensors, and nothing else. `load()` is the network in eval mode; `build()` and `named()` make
one at random:

>>> frame = {"num_classes": 2, "num_features": 8, "in_chans": 3, "stem_size": 8, "act_layer": "relu", "pad_type": ""}
>>> net = build(frame | {"bn_eps": 1e-3, "arch_def": [["ds_r1_k3_s1_c8"], ["ir_r2_k3_s2_e6_c16"]]})
>>> len(net.blocks), net.num_classes
(2, 2)
>>> named({"architecture": "resnet18", "num_classes": 5, "model_args": {"in_chans": 1}}).conv1.in_channels
1
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import timm
from safetensors.torch import load_file
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNet
from torch import nn

HERE = Path(__file__).parent


def config(folder: str | Path = HERE) -> dict[str, Any]:
    """config.json, in timm's form; `efficientnet` in it, where it is one, has the block strings and what they leave
    open."""
    return json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))


def build(efficientnet: dict[str, Any]) -> EfficientNet:
    """The network at random, in training mode; `efficientnet` is the part of config.json of that name."""
    arguments = dict(efficientnet)
    blocks = decode_arch_def(arguments.pop("arch_def"))
    norm = partial(nn.BatchNorm2d, eps=arguments.pop("bn_eps"))
    return EfficientNet(blocks, norm_layer=norm, **arguments)


def named(config: dict[str, Any]) -> Any:
    """The network at random that timm has under the name in config.json."""
    return timm.create_model(
        config["architecture"], pretrained=False, num_classes=config["num_classes"], **config["model_args"]
    )


def load(folder: str | Path = HERE) -> nn.Module:
    """The network with its weights, in eval mode: float (N, channels, H, W) -> logits (N, classes)."""
    said = config(folder)
    net = build(said["efficientnet"]) if "efficientnet" in said else named(said)
    net.load_state_dict(load_file(Path(folder, "model.safetensors")))
    return net.eval()
