"""What a training's step minimizes, and how what is trained is scored; `nas.training.train` does the rest.

>>> from nas.processes import ALONE
>>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
>>> step = Step(TrainingConfig(accumulate=2), torch.amp.GradScaler("cpu", enabled=False), False, ALONE, (0, 0), 8)
>>> loss, hits = CLASSIFYING.backward(net, torch.randn(8, 1, 2, 2), torch.arange(8) % 3, step)
>>> loss.shape, hits.dtype, net[1].weight.grad.shape
(torch.Size([]), torch.int64, torch.Size([3, 4]))
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.batches import mixed
from nas.data import Data
from nas.evaluation import evaluate
from nas.masks import seeing
from nas.optimization import prepare
from nas.processes import Processes
from nas.recipe import TrainingConfig
from nas.shares import shares
from nas.synced import plain, synced


class Step(NamedTuple):
    """How a step is taken.

    Attributes:
        scaler: of float16's gradients.
        number: (epoch, step in it), both from 0, from which what is drawn follows.
        images: of the whole batch, those of all processes together.
    """

    config: TrainingConfig
    scaler: Any
    amp: bool
    processes: Processes
    number: tuple[int, int]
    images: int

    def parts(self) -> Iterator[tuple[slice, float]]:
        """The parts of this process's images that are taken one after the other, and what each weighs in the batch's
        mean, times the processes. Inside, what is drawn is the whole batch's, and this part of it seen."""
        config, processes = self.config, self.processes
        done = 0
        for place in shares(self.images, processes.part, config.accumulate):
            count = place.stop - place.start
            torch.manual_seed(mixed(config.seed, *self.number, 0))
            with seeing(place.start, self.images):
                yield slice(done, done + count), count * processes.count / self.images
            done += count


class Objective(ABC):
    """What a training is for."""

    def prepare(self, net: nn.Module, config: TrainingConfig) -> None:
        """Before the first step: sets the layers of a network to the config's."""
        prepare(net, config)

    def wrapped(self, net: nn.Module, device: torch.device, processes: Processes) -> nn.Module:
        """What `backward` is given: the network, whose gradients are averaged over all processes."""
        return processes.wrapped(synced(net, processes) if processes.count > 1 else net, device)

    def unwrapped(self, net: nn.Module) -> None:
        """After the last step: undoes what `wrapped` did to the network itself."""
        plain(net)

    @abstractmethod
    def backward(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """Adds the gradients of this process's part of a batch; the mean loss and the correct answers, of all
        processes, float () and int64 (), not yet waited for."""

    @abstractmethod
    def scores(
        self, net: nn.Module, data: Data, config: TrainingConfig, amp: bool, processes: Processes
    ) -> dict[str, float]:
        """What `val` says of the network: 'accuracy', and what else is to be seen, each in [0, 1]."""


class Classifying(Objective):
    """Cross-entropy with smoothed labels; scored by the metric of the data.

    A batch may be taken part by part. Where the processes have parts of unequal size, each image still weighs the
    same.
    """

    def backward(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        config, processes = step.config, step.processes
        losses, hits = [], []
        for part, weight in step.parts():
            with processes.apart(model) if part.stop < len(y) else contextlib.nullcontext():
                with torch.autocast(x.device.type, torch.float16, enabled=step.amp):
                    logits = model(x[part])
                    mean = F.cross_entropy(logits, y[part], label_smoothing=config.label_smoothing)
                    loss = mean * weight
                step.scaler.scale(loss).backward()
            losses.append(loss.detach())
            hits.append((logits.detach().argmax(1) == y[part]).sum())
        loss = processes.total(torch.stack(losses).sum()) / processes.count
        return loss, processes.total(torch.stack(hits).sum())

    def scores(
        self, net: nn.Module, data: Data, config: TrainingConfig, amp: bool, processes: Processes
    ) -> dict[str, float]:
        size, last = config.batch_size, config.channels_last
        accuracy = evaluate(net, data, batch_size=size, channels_last=last, amp=amp, processes=processes)
        return {"accuracy": accuracy}


CLASSIFYING = Classifying()
