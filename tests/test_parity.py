"""Parity: with weights mapped over in order, outputs are those of torchvision and timm in eval mode.

No weights are downloaded: each source is built at random, and its batch norms are given the
statistics of random images and random affine parameters, so that every layer carries signal and a
wrong epsilon, padding, order or shortcut shows (`test_a_wrong_setting_shows`).
"""

import itertools
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import nas
from nas.importing import TOLERANCE, difference, fill_in_order
from nas.network import Network
from nas.packages import ORIGINS


class Source(NamedTuple):
    """Where weights come from, and what an Architecture leaves open there."""

    package: str
    model: str
    baseline: str
    norm_eps: float
    padding: str
    pixels: int = 64

    def __str__(self) -> str:
        return f"{self.package}-{self.model}-{self.pixels}px"


SOURCES = [
    # torchvision: epsilon 1e-5, from B5 on TensorFlow's 1e-3; symmetric padding
    Source("torchvision", "efficientnet_b0", "efficientnet-b0", 1e-5, "symmetric"),
    Source("torchvision", "efficientnet_b1", "efficientnet-b1", 1e-5, "symmetric"),
    Source("torchvision", "efficientnet_b2", "efficientnet-b2", 1e-5, "symmetric"),
    Source("torchvision", "efficientnet_b3", "efficientnet-b3", 1e-5, "symmetric"),
    Source("torchvision", "efficientnet_b4", "efficientnet-b4", 1e-5, "symmetric"),
    Source("torchvision", "efficientnet_b5", "efficientnet-b5", 1e-3, "symmetric"),
    Source("torchvision", "efficientnet_b6", "efficientnet-b6", 1e-3, "symmetric"),
    Source("torchvision", "efficientnet_b7", "efficientnet-b7", 1e-3, "symmetric"),
    Source("torchvision", "mobilenet_v2", "mobilenet-v2", 1e-5, "symmetric"),
    Source("torchvision", "mnasnet0_5", "mnasnet-b1-0.5", 1e-5, "symmetric"),
    Source("torchvision", "mnasnet0_75", "mnasnet-b1-0.75", 1e-5, "symmetric"),
    Source("torchvision", "mnasnet1_0", "mnasnet-b1", 1e-5, "symmetric"),
    Source("torchvision", "mnasnet1_3", "mnasnet-b1-1.3", 1e-5, "symmetric"),
    Source("torchvision", "mobilenet_v3_large", "mobilenet-v3-large", 1e-3, "symmetric"),
    Source("torchvision", "mobilenet_v3_small", "mobilenet-v3-small", 1e-3, "symmetric"),
    Source("torchvision", "efficientnet_v2_s", "efficientnet-v2-s", 1e-3, "symmetric"),
    Source("torchvision", "resnet18", "resnet-18", 1e-5, "symmetric"),
    Source("torchvision", "resnet34", "resnet-34", 1e-5, "symmetric"),
    Source("torchvision", "resnet50", "resnet-50", 1e-5, "symmetric"),
    Source("torchvision", "shufflenet_v2_x0_5", "shufflenet-v2-0.5", 1e-5, "symmetric"),
    Source("torchvision", "shufflenet_v2_x1_0", "shufflenet-v2-1.0", 1e-5, "symmetric"),
    Source("torchvision", "shufflenet_v2_x1_5", "shufflenet-v2-1.5", 1e-5, "symmetric"),
    Source("torchvision", "shufflenet_v2_x2_0", "shufflenet-v2-2.0", 1e-5, "symmetric"),
    Source("torchvision", "squeezenet1_0", "squeezenet-1.0", 1e-5, "symmetric", 97),  # no norm; odd maps
    Source("torchvision", "squeezenet1_1", "squeezenet-1.1", 1e-5, "symmetric", 64),
    # timm: epsilon 1e-5 and symmetric padding; its tf_ networks have TensorFlow's 1e-3 and SAME
    Source("timm", "semnasnet_100", "mnasnet-a1", 1e-5, "symmetric"),
    Source("timm", "mnasnet_100", "mnasnet-b1", 1e-5, "symmetric"),
    Source("timm", "mobilenetv1_100", "mobilenet-v1", 1e-5, "symmetric"),
    Source("timm", "efficientnet_lite0", "efficientnet-lite0", 1e-5, "symmetric"),
    Source("timm", "mobilenetv3_large_100", "mobilenet-v3-large", 1e-5, "symmetric"),
    Source("timm", "tf_mobilenetv3_small_100", "mobilenet-v3-small", 1e-3, "same", 75),
    Source("timm", "tf_efficientnetv2_s", "efficientnet-v2-s", 1e-3, "same", 75),
    Source("timm", "resnet18", "resnet-18", 1e-5, "symmetric", 75),
    Source("timm", "resnet50", "resnet-50", 1e-5, "symmetric"),
    Source("timm", "legacy_xception", "xception", 1e-5, "symmetric", 75),
    Source("timm", "tf_efficientnet_b0", "efficientnet-b0", 1e-3, "same", 64),
    Source("timm", "tf_efficientnet_b0", "efficientnet-b0", 1e-3, "same", 75),
]


def original(source: Source, lively) -> nn.Module:
    """The source's network in eval mode, with batch norms that let the images through."""
    return lively(ORIGINS[source.package].build(source.model, 1000), source.pixels)


def original_features(net: nn.Module, x: Tensor) -> Tensor:
    for name in ("features", "layers", "forward_features"):  # EfficientNet and MobileNet, MnasNet; timm
        if (features := getattr(net, name, None)) is not None:
            return features(x)
    # torchvision's ResNet and ShuffleNetV2: all that comes before the pooling
    before = itertools.takewhile(
        lambda m: not isinstance(m, nn.AdaptiveAvgPool2d | nn.Linear), net.children()
    )
    return nn.Sequential(*before)(x)


def ours(source: Source, weights: dict[str, Tensor], **settings) -> Network:
    settings = {"norm_eps": source.norm_eps, "padding": source.padding, **settings}
    net = nas.build(nas.load(source.baseline).architecture, **settings).eval()
    fill_in_order(net, ORIGINS[source.package].ordered(weights))
    return net


def images(n: int, pixels: int) -> Tensor:
    return torch.randn(n, 3, pixels, pixels)


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_outputs_agree(source, lively):
    torch.manual_seed(0)
    theirs = original(source, lively)
    net = ours(source, theirs.state_dict())
    x = images(2, source.pixels)
    with torch.no_grad():
        assert difference(net.forward_features(x), original_features(theirs, x)) < TOLERANCE
        assert difference(net(x), theirs(x)) < TOLERANCE


@pytest.mark.parametrize(
    "source", [s for s in SOURCES if s.baseline in {"efficientnet-b0", "mobilenet-v2"}], ids=str
)
def test_a_wrong_setting_shows(source, lively):
    torch.manual_seed(0)
    theirs = original(source, lively)
    x = images(2, source.pixels)
    other_eps = 1e-5 if source.norm_eps == 1e-3 else 1e-3
    other_padding = "symmetric" if source.padding == "same" else "same"
    with torch.no_grad():
        expected = theirs(x)
        for wrong in ({"norm_eps": other_eps}, {"padding": other_padding}):
            net = ours(source, theirs.state_dict(), **wrong)
            assert difference(net(x), expected) > 1000 * TOLERANCE, wrong
