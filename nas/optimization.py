"""What a TrainingConfig does to a network: the layers' settings, the optimizer, averaged weights.

>>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
>>> [len(group["params"]) for group in make_optimizer(net, TrainingConfig()).param_groups]
[1, 3]
"""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from nas.network import BlockModule
from nas.recipe import TrainingConfig


def make_optimizer(net: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer, with two groups: weights, and norms and biases, which do not decay."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, config.lr, config.momentum, nesterov=config.momentum > 0)
    return RMSpropTF(groups, config.lr, momentum=config.momentum)


class RMSpropTF(torch.optim.Optimizer):
    """RMSProp as TensorFlow's, with which MnasNet and EfficientNet were trained (tf.train.RMSPropOptimizer):

        s <- decay s + (1 - decay) g^2                  s begins at 1, not at 0
        m <- momentum m + lr g / sqrt(s + eps)          eps inside the root, lr inside the momentum
        w <- w - m

    torch's own differs in all three, by a factor of 10 and more where gradients are small. Weight decay is L2.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        decay: float = 0.9,
        eps: float = 1e-3,
        momentum: float = 0.9,
    ) -> None:
        super().__init__(
            groups, {"lr": lr, "decay": decay, "eps": eps, "momentum": momentum, "weight_decay": 0.0}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step; gradients that are None are passed over."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if not self.state[p]:
                    self.state[p] = {"square": torch.ones_like(p), "momentum": torch.zeros_like(p)}
                square, momentum = self.state[p]["square"], self.state[p]["momentum"]
                gradient = p.grad.add(p, alpha=group["weight_decay"]) if group["weight_decay"] else p.grad
                square.mul_(group["decay"]).addcmul_(gradient, gradient, value=1 - group["decay"])
                root = square.add(group["eps"]).sqrt_()
                momentum.mul_(group["momentum"]).addcdiv_(gradient, root, value=group["lr"])
                p.sub_(momentum)


def prepare(net: nn.Module, config: TrainingConfig) -> None:
    """Sets batch-norm momentum, dropout and drop path of a network's layers to the config's."""
    blocks = [module for module in net.modules() if isinstance(module, BlockModule)]
    for index, block in enumerate(blocks):
        if block.shortcut is not None:
            block.drop_path.rate = config.drop_path * index / len(blocks)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = config.norm_momentum
        elif isinstance(module, nn.Dropout):
            module.p = config.dropout


@contextlib.contextmanager
def norms_learning(net: nn.Module) -> Iterator[None]:
    """Inside, all but batch norm is in eval mode, and that learns anew: its statistics are the mean over the batches
    that pass, each of the same weight. All of the network is in eval mode afterwards."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        net.eval()


class Average:
    """Exponential moving average of a network's weights and batch-norm statistics.

    The decay is min(decay, (1 + n) / (10 + n)) at update n, so that the initial weights are soon
    forgotten (TensorFlow's ExponentialMovingAverage with num_updates).
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for mean, value in zip(self.net.state_dict().values(), net.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)
