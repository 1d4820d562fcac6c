"""Shared layers: each holds the largest of its place and computes what a spec takes of it.

>>> layer = SharedConv(ConvShape(8, 1, (3, 5), norm=True, bias=False), Settings(), transform=False)
>>> x = torch.zeros(2, 4, 9, 9)
>>> layer(x, Conv("depthwise", 4, 4, kernel=3, groups=4), "relu").shape
torch.Size([2, 4, 9, 9])
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.layers import ACTIVATIONS, Settings, SqueezeExcitation
from nas.processes import ALONE
from nas.specs import Conv, SqueezeExcite
from nas.supernet.shapes import ConvShape, ExciteShape
from nas.synced import batch_norm

ACTS = {name: make(inplace=True) for name, make in ACTIVATIONS.items()}


class SharedNorm(nn.Module):
    """Batch norm of the first channels. In training the running statistics follow whatever passes, so they are of no
    one network: those of an extracted one are estimated anew (`nas.supernet.recalibration`)."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, settings: Settings) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.eps, self.momentum = settings.norm_eps, settings.norm_momentum
        self.processes = ALONE

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[1]
        own = self.running_mean[:n], self.running_var[:n], self.weight[:n], self.bias[:n]
        if self.training:
            return batch_norm(x, *own, self.momentum, self.eps, self.processes)
        return F.batch_norm(x, *own, False, 0.0, self.eps)

    @torch.no_grad()
    def give(self, norm: nn.BatchNorm2d) -> None:
        """Copies what a plain norm takes of it."""
        n = norm.num_features
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(norm, name).copy_(getattr(self, name)[:n])
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.zero_()


class SharedConv(nn.Module):
    """A convolution of the first channels, whose smaller kernels are the centre of the largest.

    With `transform` each smaller kernel is the centre of the next larger times a learned matrix, one for all channels
    and the identity at first (Once-for-All, section 3.3).
    """

    def __init__(self, shape: ConvShape, settings: Settings, transform: bool) -> None:
        super().__init__()
        side = shape.kernels[-1]
        self.weight = nn.Parameter(torch.empty(shape.out_channels, shape.group, side, side))
        self.bias = nn.Parameter(torch.empty(shape.out_channels)) if shape.bias else None
        self.norm = SharedNorm(shape.out_channels, settings) if shape.norm else None
        smaller = shape.kernels[:-1] if transform else ()
        self.matrices = nn.ParameterDict({str(k): nn.Parameter(torch.eye(k * k)) for k in smaller})

    def kernel(self, spec: Conv) -> Tensor:
        """The weight that a spec takes: (out_channels, in_channels / groups, kernel, kernel)."""
        weight = self.weight[: spec.out_channels, : spec.in_channels // spec.groups]
        for side in sorted((int(k) for k in self.matrices if int(k) >= spec.kernel), reverse=True):
            weight = _centre(weight, side)
            weight = (weight.flatten(2) @ self.matrices[str(side)]).view_as(weight)
        return _centre(weight, spec.kernel)

    def forward(self, x: Tensor, spec: Conv, activation: str) -> Tensor:
        bias = None if self.bias is None else self.bias[: spec.out_channels]
        padding = 0 if spec.valid else (spec.kernel - 1) // 2
        x = F.conv2d(x, self.kernel(spec), bias, spec.stride, padding, groups=spec.groups)
        if self.norm is not None:
            x = self.norm(x)
        return ACTS[activation](x) if spec.activation else x

    @torch.no_grad()
    def give(self, spec: Conv, conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> None:
        """Copies what a plain convolution of the spec, and its norm, take of it."""
        conv.weight.copy_(self.kernel(spec))
        if self.bias is not None and conv.bias is not None:
            conv.bias.copy_(self.bias[: spec.out_channels])
        if self.norm is not None and norm is not None:
            self.norm.give(norm)


def _centre(weight: Tensor, side: int) -> Tensor:
    off = (weight.shape[-1] - side) // 2
    return weight[:, :, off : off + side, off : off + side]


class SharedExcitation(nn.Module):
    """Squeeze-and-excitation of the first channels, squeezed to the first of the squeezed."""

    def __init__(self, shape: ExciteShape) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(shape.channels, shape.squeeze, 1)
        self.expand = nn.Conv2d(shape.squeeze, shape.channels, 1)

    def _weights(self, spec: SqueezeExcite) -> dict[str, Tensor]:
        n, m = spec.channels, spec.squeeze
        reduce, expand = self.reduce, self.expand
        assert reduce.bias is not None
        assert expand.bias is not None
        return {
            "reduce.weight": reduce.weight[:m, :n], "reduce.bias": reduce.bias[:m],
            "expand.weight": expand.weight[:n, :m], "expand.bias": expand.bias[:n],
        }  # fmt: skip

    def forward(self, x: Tensor, spec: SqueezeExcite, activation: str) -> Tensor:
        w = self._weights(spec)
        gate = F.conv2d(x.mean((2, 3), keepdim=True), w["reduce.weight"], w["reduce.bias"])
        gate = ACTS["relu" if spec.hard else activation](gate)
        gate = F.conv2d(gate, w["expand.weight"], w["expand.bias"])
        return x * (F.hardsigmoid(gate) if spec.hard else gate.sigmoid())

    @torch.no_grad()
    def give(self, spec: SqueezeExcite, to: SqueezeExcitation) -> None:
        """Copies what a plain one of the spec takes of it."""
        parameters = dict(to.named_parameters())
        for name, value in self._weights(spec).items():
            parameters[name].copy_(value)


class SharedLinear(nn.Linear):
    """A linear layer of the first inputs, with all its outputs."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight[:, : input.shape[1]], self.bias)

    @torch.no_grad()
    def give(self, to: nn.Linear) -> None:
        """Copies what a plain one takes of it."""
        to.weight.copy_(self.weight[:, : to.in_features])
        to.bias.copy_(self.bias)


def initialize_shared(module: nn.Module) -> None:
    """As `nas.network.initialize` begins the largest network of the place."""
    if isinstance(module, SharedConv):
        out, group, side, _ = module.weight.shape
        fan_out = side * side * (1 if group == 1 else out)
        nn.init.normal_(module.weight, 0.0, (2.0 / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
