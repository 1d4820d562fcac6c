"""What a TrainingConfig does to a network: the layers' settings, the optimizer, averaged weights.

>>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
>>> [len(group["params"]) for group in make_optimizer(net, TrainingConfig()).param_groups]
[1, 3]
"""

import copy

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
    return torch.optim.RMSprop(groups, config.lr, alpha=0.9, eps=1e-3, momentum=config.momentum)


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
