"""The sandwich rule: each step trains the largest network, the smallest and some between, by the labels, or all but the
largest by what that says (Yu & Huang 2019, arXiv:1903.05134, section 4; BigNAS, arXiv:2003.11142, section 3.1).

>>> from nas.data import load_data
>>> from nas.recipe import TrainingConfig
>>> from nas.space import SearchSpace
>>> from nas.supernet.sampling import sampler
>>> from nas.training import train
>>> space, data = SearchSpace.load("digits"), load_data("digits")
>>> supernet = Supernet(space)
>>> sandwich = Sandwich(sampler("uniform", space), between=1)
>>> result = train(supernet, data, TrainingConfig(epochs=1), objective=sandwich)
>>> sorted(result.history[0])
['accuracy', 'largest', 'loss', 'lr', 'seconds', 'smallest', 'train_accuracy']
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.architecture import Architecture
from nas.data import Data
from nas.evaluation import evaluate
from nas.objectives import Objective, Step
from nas.processes import Processes
from nas.recipe import TrainingConfig
from nas.supernet.layers import SharedNorm
from nas.supernet.module import Supernet
from nas.supernet.recalibration import recalibrate
from nas.supernet.sampling import Sampler, stretched
from nas.synced import synced

SCORED = 4
"""Networks between the smallest and the largest, always the same, that are scored after every epoch."""


class Sandwich(Objective):
    """Trains a Supernet.

    Drop path and dropout are the largest network's alone, as in BigNAS (section 3.1), where it alone learns the
    labels; the gradients of all networks of a step are added up. What a step reports, loss and hits, is of the largest.

    The rule is for choices whose smaller values are parts of the larger. Ops and skips are not, so by default a step's
    largest and smallest network have ops and skips that are drawn, as those between have; with those of the space's
    extremes in every step, all other ops are strangers (docs/supernet.md has the figures).

    Args:
        sampler: draws the networks of a step.
        between: how many of them beside the largest and the smallest.
        distill: they, and the smallest, learn the largest one's softmax; else the labels.
        fixed: the largest and the smallest network of a step are always the space's.
    """

    def __init__(
        self, sampler: Sampler, between: int = 4, distill: bool = False, fixed: bool = False
    ) -> None:
        self.sampler, self.between, self.distill, self.fixed = sampler, between, distill, fixed

    def prepare(self, net: nn.Module, config: TrainingConfig) -> None:
        assert isinstance(net, Supernet)
        net.settings = replace(
            net.settings,
            norm_momentum=config.norm_momentum,
            dropout=config.dropout,
            drop_path=config.drop_path,
        )
        net.dropout.p = config.dropout
        for module in net.modules():
            if isinstance(module, SharedNorm | nn.BatchNorm2d):
                module.momentum = config.norm_momentum

    def wrapped(self, net: nn.Module, device: torch.device, processes: Processes) -> nn.Module:
        if processes.count > 1:
            synced(net, processes)
        for module in net.modules():
            if isinstance(module, SharedNorm):
                module.processes = processes
        return net  # several passes a step, each of other weights: averaged once at its end

    def networks(self, net: Supernet, seed: int, number: tuple[int, int]) -> list[Architecture]:
        """The networks of a step, the largest first, then the smallest; from the seed and the step's number alone.

        All are drawn together, so that a fair sampler is fair to the ops and skips of all of them.
        """
        rng, space = np.random.default_rng([seed, *number]), net.space
        drawn = self.sampler.draw(rng, self.between + (0 if self.fixed else 2))
        if self.fixed:
            return [net.largest, net.smallest, *map(space.decode, drawn)]
        large, small, *others = drawn
        return [*map(space.decode, (stretched(space, large, 1), stretched(space, small, -1), *others))]

    def backward(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        assert isinstance(model, Supernet)
        config, processes = step.config, step.processes
        largest, *others = self.networks(model, config.seed, step.number)
        losses, hits = [], []
        for part, weight in step.parts():

            def learn(
                arch: Architecture,
                target: Tensor,
                smoothing: float,
                regularize=False,
                part=part,
                weight=weight,
            ):
                with torch.autocast(x.device.type, torch.float16, enabled=step.amp):
                    logits = model(x[part], arch, regularize=regularize)
                    loss = F.cross_entropy(logits, target, label_smoothing=smoothing) * weight
                step.scaler.scale(loss).backward()
                return logits.detach(), loss.detach()

            logits, loss = learn(largest, y[part], config.label_smoothing, regularize=True)
            soft = logits.float().softmax(1)
            for arch in others:
                learn(
                    arch, soft if self.distill else y[part], 0.0 if self.distill else config.label_smoothing
                )
            losses.append(loss)
            hits.append((logits.argmax(1) == y[part]).sum())
        processes.average_gradients(model)
        loss = processes.total(torch.stack(losses).sum()) / processes.count
        return loss, processes.total(torch.stack(hits).sum())

    def scores(
        self, net: nn.Module, data: Data, config: TrainingConfig, amp: bool, processes: Processes
    ) -> dict[str, float]:
        """Of plain networks with weights of the supernet: 'smallest', 'largest', and 'accuracy', the mean of `SCORED`
        uniform ones."""
        assert isinstance(net, Supernet)
        rng = np.random.default_rng(0)
        random = [net.space.decode(net.space.sample(rng)) for _ in range(SCORED)]

        def score(arch: Architecture) -> float:
            size, last = config.batch_size, config.channels_last
            plain = net.extract(arch).to(
                memory_format=torch.channels_last if last else torch.contiguous_format
            )
            recalibrate(plain, data, channels_last=last, amp=amp)
            return evaluate(plain, data, batch_size=size, channels_last=last, amp=amp, processes=processes)

        return {
            "accuracy": float(np.mean([score(arch) for arch in random])),
            "smallest": score(net.smallest),
            "largest": score(net.largest),
        }
