"""Batch norm over the whole batch where it is divided among processes, on every device.

torch's own SyncBatchNorm knows CUDA alone; this is plain torch, so that what is tested on CPUs is what runs.

>>> from nas.processes import ALONE
>>> norm = synced(nn.Sequential(nn.BatchNorm2d(3)), ALONE)[0]
>>> x = torch.randn(4, 3, 5, 5)
>>> torch.allclose(norm(x), nn.BatchNorm2d(3)(x), atol=1e-5)
True
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.processes import Processes


class _Sum(torch.autograd.Function):
    """The sum of every process's tensor; the gradient, too, is summed over all, for each has used it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        return processes.total(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.processes.total(gradients[0].contiguous()), None


def total(x: Tensor, processes: Processes) -> Tensor:
    """The sum of every process's tensor, through which gradients flow."""
    found = _Sum.apply(x, processes)
    assert isinstance(found, Tensor)
    return found


def batch_norm(
    x: Tensor, running_mean: Tensor, running_var: Tensor, weight: Tensor, bias: Tensor, momentum: float, eps: float,
    processes: Processes,
) -> Tensor:  # fmt: skip
    """Training mode's, of (N, C, H, W), over the images of all processes; running statistics follow in place."""
    if processes.count == 1:
        return F.batch_norm(x, running_mean, running_var, weight, bias, True, momentum, eps)
    wide = x.float()
    own = wide.new_full((1,), x.numel() // x.shape[1])  # filled on the device, which is not waited for
    sums = total(torch.cat([wide.sum((0, 2, 3)), own]), processes)
    count = sums[-1].detach()
    mean = sums[:-1] / count
    centred = wide - mean[:, None, None]
    variance = total(centred.square().sum((0, 2, 3)), processes) / count
    with torch.no_grad():
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(variance * (count / (count - 1)), momentum)
    scale = weight * (variance + eps).rsqrt()
    return torch.addcmul(bias[:, None, None], centred, scale[:, None, None]).to(x.dtype)


class SyncedNorm(nn.BatchNorm2d):
    """A BatchNorm2d over the images of all processes; parameters and statistics are those of `norm` itself."""

    def __init__(self, norm: nn.BatchNorm2d, processes: Processes) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, device="meta")
        self.processes = processes
        for name, tensor in (*norm.named_parameters(recurse=False), *norm.named_buffers(recurse=False)):
            setattr(self, name, tensor)
        self.train(norm.training)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        return batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, self.momentum, self.eps,
            self.processes,
        )  # fmt: skip


def synced(net: nn.Module, processes: Processes) -> nn.Module:
    """`net`, every BatchNorm2d in it over all processes."""
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and not isinstance(child, SyncedNorm):
                setattr(parent, name, SyncedNorm(child, processes))
    return net


def plain(net: nn.Module) -> None:
    """Undoes `synced`."""
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, SyncedNorm):
                norm = nn.BatchNorm2d(child.num_features, child.eps, child.momentum, device="meta")
                for key, tensor in (
                    *child.named_parameters(recurse=False),
                    *child.named_buffers(recurse=False),
                ):
                    setattr(norm, key, tensor)
                setattr(parent, name, norm.train(child.training))
