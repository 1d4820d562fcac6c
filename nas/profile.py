"""fvcore's count of a built network, beside ours.

fvcore counts, beside convolutions and linear layers, batch norm (2x its elements in eval mode)
and adaptive pooling where it is used, but not means: so its total depends on how a network is
written (EfficientNet-B0: 399,352,864 here and in timm, 401,659,392 in torchvision). `conv_linear`
is the part that is comparable.

>>> from nas.baseline import load
>>> fvcore_macs(load("mobilenet-v2").architecture)
FvcoreCount(total=314193216, conv_linear=300774272)
"""

import warnings
from typing import NamedTuple

import torch
from torch import nn

from nas.architecture import Architecture
from nas.network import build


class FvcoreCount(NamedTuple):
    """Multiply-adds by fvcore's rules: in total, and of convolutions and linear layers."""

    total: int
    conv_linear: int


def fvcore_count(net: nn.Module, resolution: int, in_chans: int = 3) -> FvcoreCount:
    """Counts one square image of `resolution` pixels through `net` in eval mode.

    The network's mode is restored. The one place where fvcore is called: it traces with a
    private TorchScript API that warns.
    """
    training = net.training
    image = torch.zeros(1, in_chans, resolution, resolution, device=next(net.parameters()).device)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        try:
            analysis = FlopCountAnalysis(net.eval(), image)
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            counts = analysis.by_operator()
        finally:
            net.train(training)
    return FvcoreCount(total=int(sum(counts.values())), conv_linear=int(counts["conv"] + counts["linear"]))


def fvcore_macs(arch: Architecture) -> FvcoreCount:
    """fvcore's count of the network built from `arch`, at its own resolution and classes."""
    return fvcore_count(build(arch), arch.resolution, arch.stem.in_chans)
