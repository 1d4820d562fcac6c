"""One training loop: a proxy and a full training differ only by their TrainingConfig.

>>> import nas
>>> from nas.data import load_data
>>> data = load_data("digits")
>>> space = nas.SearchSpace.load("digits")
>>> net = nas.build(space.decode({name: values[0] for name, values in space.choices.items()}))
>>> result = train(net, data, TrainingConfig(epochs=2))
>>> [sorted(epoch) for epoch in result.history][0]
['accuracy', 'loss', 'lr', 'seconds', 'train_accuracy']
"""

import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.batches import Batches
from nas.data import Data
from nas.objectives import CLASSIFYING, Objective, Step
from nas.optimization import Average, make_optimizer
from nas.processes import ALONE, Processes
from nas.recipe import TrainingConfig, learning_rate
from nas.sources import first_line
from nas.state import State

Report = Callable[[int, dict[str, float]], None]


class TrialFailure(Exception):
    """A training that ends without a result through no mistake of the user: recorded, not fixed."""


class Diverged(TrialFailure):
    """The loss is no longer a number.

    Attributes:
        epoch, step: where, both from 1.
    """

    def __init__(self, loss: float, epoch: int, step: int, lr: float) -> None:
        where = f"epoch {epoch}, step {step}, at learning rate {lr:.3g}"
        super().__init__(f"diverged: the loss is {loss} in {where}; lower lr, or lengthen warmup_epochs")
        self.epoch, self.step = epoch, step


class OutOfMemory(TrialFailure):
    """The network does not fit, with this batch size, on this device."""


@dataclass(frozen=True)
class Result:
    """What a training gave.

    Attributes:
        accuracy: top-1 fraction of `val` after the last epoch, of the averaged weights where
            there are any; nan after training on 'trainval', which leaves nothing to score on.
        history: what was reported after each epoch.
        seconds: wall-clock time of it all, without interruptions.
    """

    accuracy: float
    history: tuple[dict[str, float], ...]
    seconds: float


class Watch(ABC):
    """Looks on at a training, and may put it where an earlier one was interrupted."""

    @abstractmethod
    def begin(self, state: State) -> None:
        """Before the first step: restores the state, where there is one to restore."""

    @abstractmethod
    def step(self, state: State, steps: int, lr: float) -> None:
        """After every step, of `steps` in the epoch; `state.step` counts it."""

    @abstractmethod
    def epoch(self, state: State) -> None:
        """After every epoch, which is the last of `state.history`; `state.epoch` counts it."""

    @abstractmethod
    def end(self, state: State) -> None:
        """After the last epoch."""


def train(
    net: nn.Module,
    data: Data,
    config: TrainingConfig,
    device: str | torch.device = "cpu",
    report: Report | None = None,
    watch: Watch | None = None,
    processes: Processes = ALONE,
    objective: Objective = CLASSIFYING,
) -> Result:
    """Trains `net` in place and leaves it on `device` in eval mode, with averaged weights if any.

    Sets dropout, drop path and batch-norm momentum of the network to the config's. The same
    config and initial weights give the same history to the bit on a CPU with as many threads.

    Args:
        report: called after each epoch with its number, from 1, and {'loss', 'train_accuracy',
            'accuracy', 'lr', 'seconds'} and what else the objective scores: means over the epoch's steps, top-1 of
            `val`, the last learning rate, wall-clock seconds since the start. What it raises ends the training.
        watch: takes checkpoints and notes.
        processes: of which this is one; each trains on a part of every batch.
        objective: what a step minimizes, and how the network is scored.

    Raises:
        Diverged: where the loss is inf or nan.
        OutOfMemory: where memory does not suffice.
    """
    device = torch.device(device)
    amp = config.amp and device.type == "cuda"
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    split, size, last = config.split, config.batch_size, config.channels_last
    start = time.perf_counter()

    with seeded(config.seed, device), memory_failures(size, device):
        objective.prepare(net, config)
        net.to(device).to(memory_format=layout)
        optimizer = make_optimizer(net, config)
        scaler = torch.amp.GradScaler(device.type, enabled=amp)
        average = Average(net, config.ema) if config.ema else None
        state = State(net, optimizer, average, scaler)
        if watch:
            watch.begin(state)
        before, steps, lr = state.seconds, data.split(split).batch_count(size), 0.0
        model = objective.wrapped(net, device, processes)

        def begun(epoch: int, step: int) -> Batches:
            """An epoch's batches; those of a folder are being decoded from now on."""
            if epoch == config.epochs:
                return iter(())
            return data.batches(
                split, size, train=True, seed=config.seed, epoch=epoch, device=device,
                channels_last=last, augment=config.augment, start=step, part=processes.part,
                accumulate=config.accumulate,
            )  # fmt: skip

        batches = begun(state.epoch, state.step)
        while state.epoch < config.epochs:
            model.train()
            for x, y in batches:
                lr = learning_rate(config, state.epoch + (state.step + 0.5) / steps)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                images = data.split(split).batch_images(size, state.step)
                step = Step(config, scaler, amp, processes, (state.epoch, state.step), images)
                loss, hits = objective.backward(model, x, y, step)
                if config.clip_norm:
                    scaler.unscale_(optimizer)
                    nn.utils.clip_grad_norm_(net.parameters(), config.clip_norm)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
                if average:
                    average.update(net)
                state.losses.append(loss)
                state.hits.append(hits)
                state.step += 1
                if state.step % CHECK_EVERY == 0 or state.step == steps:
                    check_finite(state.losses, (state.step - 1) // CHECK_EVERY * CHECK_EVERY, state.epoch, lr)
                state.seconds = before + time.perf_counter() - start
                if watch:
                    watch.step(state, steps, lr)

            batches = begun(state.epoch + 1, 0)  # decoded while `val` is scored
            scores = {"accuracy": math.nan}
            if split == "train":
                tested = average.net if average else net
                processes.agree(tested)
                scores = objective.scores(tested, data, config, amp, processes)
            hits, loss = torch.stack(state.hits).sum(), torch.stack(state.losses).mean()
            state.seconds = before + time.perf_counter() - start
            metrics = {
                "loss": loss.item(),
                "train_accuracy": hits.item() / len(data.split(split)),
                **scores,
                "lr": lr,
                "seconds": state.seconds,
            }
            state.history.append(metrics)
            state.losses, state.hits, state.step = [], [], 0
            state.epoch += 1
            if report:
                report(state.epoch, metrics)
            if watch:
                watch.epoch(state)
        if watch:
            watch.end(state)

    objective.unwrapped(net)
    if average:
        net.load_state_dict(average.net.state_dict())
    net.eval()
    return Result(state.history[-1]["accuracy"], tuple(state.history), state.seconds)


CHECK_EVERY = 100
"""Steps between two looks at the loss; each look waits for the device."""


def check_finite(losses: list[Tensor], first: int, epoch: int, lr: float) -> None:
    """Raises Diverged where, from step `first` of this epoch on (both from 0), a loss is inf or nan."""
    values = torch.stack(losses[first:])
    bad = (~values.isfinite()).nonzero()
    if len(bad):
        index = int(bad[0])
        raise Diverged(values[index].item(), epoch + 1, first + index + 1, lr)


@contextlib.contextmanager
def seeded(seed: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """torch's own random numbers start from `seed` inside and are what they were outside."""
    device = torch.device(device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def memory_failures(batch_size: int, device: torch.device) -> Iterator[None]:
    """Turns what torch and Python raise for want of memory into OutOfMemory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        text = str(error).lower()
        if isinstance(error, RuntimeError) and not any(words in text for words in MEMORY_WORDS):
            raise
        reason = f"out of memory on {device} with batches of {batch_size}; lower batch_size"
        raise OutOfMemory(f"{reason} ({first_line(error)[:200]})") from None


MEMORY_WORDS = (
    "out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "alloc_failed",
)  # fmt: skip
"""In the messages of CUDA, of cuBLAS and cuDNN, and of torch's CPU allocator on Linux and on Windows."""
