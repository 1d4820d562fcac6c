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
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.data import Data
from nas.optimization import Average, make_optimizer, prepare
from nas.recipe import TrainingConfig, learning_rate
from nas.sources import first_line

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
        seconds: wall-clock time of it all.
    """

    accuracy: float
    history: tuple[dict[str, float], ...]
    seconds: float


def train(
    net: nn.Module,
    data: Data,
    config: TrainingConfig,
    device: str | torch.device = "cpu",
    report: Report | None = None,
) -> Result:
    """Trains `net` in place and leaves it on `device` in eval mode, with averaged weights if any.

    Sets dropout, drop path and batch-norm momentum of the network to the config's. The same
    config and initial weights give the same history to the bit on a CPU with as many threads.

    Args:
        report: called after each epoch with its number, from 1, and {'loss', 'train_accuracy',
            'accuracy', 'lr', 'seconds'}: means over the epoch's steps, top-1 of `val`, the last
            learning rate, wall-clock seconds since the start. What it raises ends the training.

    Raises:
        Diverged: where the loss is inf or nan.
        OutOfMemory: where memory does not suffice.
    """
    device = torch.device(device)
    amp = config.amp and device.type == "cuda"
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    start = time.perf_counter()
    history: list[dict[str, float]] = []

    with seeded(config.seed, device), memory_failures(config.batch_size, device):
        prepare(net, config)
        net.to(device).to(memory_format=layout)
        optimizer = make_optimizer(net, config)
        scaler = torch.amp.GradScaler(device.type, enabled=amp)
        average = Average(net, config.ema) if config.ema else None
        steps = data.split(config.split).batch_count(config.batch_size)
        lr = 0.0

        for epoch in range(config.epochs):
            net.train()
            losses: list[Tensor] = []
            hits: list[Tensor] = []
            batches = data.batches(
                config.split,
                config.batch_size,
                train=True,
                seed=config.seed,
                epoch=epoch,
                device=device,
                channels_last=config.channels_last,
                augment=config.augment,
            )
            for step, (x, y) in enumerate(batches):
                lr = learning_rate(config, epoch + (step + 0.5) / steps)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                with torch.autocast(device.type, torch.float16, enabled=amp):
                    logits = net(x)
                    loss = F.cross_entropy(logits, y, label_smoothing=config.label_smoothing)
                optimizer.zero_grad()
                scaler.scale(loss).backward()
                if config.clip_norm:
                    scaler.unscale_(optimizer)
                    nn.utils.clip_grad_norm_(net.parameters(), config.clip_norm)
                scaler.step(optimizer)
                scaler.update()
                if average:
                    average.update(net)
                losses.append(loss.detach())
                hits.append((logits.detach().argmax(1) == y).sum())
                if len(losses) % CHECK_EVERY == 0 or step == steps - 1:
                    check_finite(losses, step - step % CHECK_EVERY, epoch, lr)

            tested = average.net if average else net
            accuracy = math.nan
            if config.split == "train":
                size, last = config.batch_size, config.channels_last
                accuracy = evaluate(tested, data, "val", batch_size=size, channels_last=last, amp=amp)
            metrics = {
                "loss": torch.stack(losses).mean().item(),
                "train_accuracy": torch.stack(hits).sum().item() / len(data.split(config.split)),
                "accuracy": accuracy,
                "lr": lr,
                "seconds": time.perf_counter() - start,
            }
            history.append(metrics)
            if report:
                report(epoch + 1, metrics)

    if average:
        net.load_state_dict(average.net.state_dict())
    net.eval()
    return Result(history[-1]["accuracy"], tuple(history), time.perf_counter() - start)


def evaluate(
    net: nn.Module,
    data: Data,
    split: str = "val",
    *,
    batch_size: int = 128,
    channels_last: bool = True,
    amp: bool = False,
) -> float:
    """Top-1 fraction of a split, in [0, 1], on the device the network is on; its mode is restored."""
    device = next(net.parameters()).device
    training = net.training
    net.eval()
    correct = torch.zeros((), dtype=torch.int64, device=device)
    batches = data.batches(split, batch_size, train=False, device=device, channels_last=channels_last)
    with torch.inference_mode(), torch.autocast(device.type, torch.float16, enabled=amp):
        for x, y in batches:
            correct += (net(x).argmax(1) == y).sum()
    net.train(training)
    return correct.item() / len(data.split(split))


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
