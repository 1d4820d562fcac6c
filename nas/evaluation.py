"""How well a network does: top-1 and top-5 fractions of a split, and its balanced accuracy.

>>> import nas
>>> from nas.data import load_data
>>> net = nas.build(nas.load("efficientnet-b0").architecture, 10, 1)
>>> sorted(top_fractions(net, load_data("digits"), "val", (1, 5)))
[1, 5]
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nas.data import Data
from nas.processes import ALONE, Processes


def _answer(
    net: nn.Module, data: Data, split: str, batch_size: int, channels_last: bool, amp: bool, processes: Processes,
    see: Callable[[Tensor, Tensor], None],
) -> None:  # fmt: skip
    """Shows `see` the logits and labels of this process's images, on the device the network is on, whose mode is
    restored."""
    device = next(net.parameters()).device
    training = net.training
    net.eval()
    batches = data.batches(
        split, batch_size, train=False, device=device, channels_last=channels_last, part=processes.part
    )
    with torch.inference_mode(), torch.autocast(device.type, torch.float16, enabled=amp):
        for x, y in batches:
            if len(y):  # the last batch may be smaller than there are processes
                see(net(x), y)
    net.train(training)


def top_fractions(
    net: nn.Module,
    data: Data,
    split: str = "val",
    top: Sequence[int] = (1, 5),
    *,
    batch_size: int = 128,
    channels_last: bool = True,
    amp: bool = False,
    processes: Processes = ALONE,
) -> dict[int, float]:
    """{k: fraction of images whose label is among the k highest logits}, each in [0, 1].

    On the device the network is on, whose mode is restored. k over the number of classes counts all.
    """
    hits = torch.zeros(len(top), dtype=torch.int64, device=next(net.parameters()).device)

    def see(logits: Tensor, y: Tensor) -> None:
        best = logits.topk(min(max(top), logits.shape[1]), dim=1).indices
        right = best == y[:, None]
        hits.add_(torch.stack([right[:, :k].sum() for k in top]))

    _answer(net, data, split, batch_size, channels_last, amp, processes, see)
    total = processes.total(hits).tolist()
    return {k: count / len(data.split(split)) for k, count in zip(top, total, strict=True)}


def balanced_accuracy(
    net: nn.Module,
    data: Data,
    split: str = "val",
    *,
    batch_size: int = 128,
    channels_last: bool = True,
    amp: bool = False,
    processes: Processes = ALONE,
) -> float:
    """Mean over a split's classes of the fraction of each that is right, in [0, 1]: every class weighs the same
    (Brodersen et al. 2010, "The balanced accuracy and its posterior distribution"). Classes without images in
    the split do not count."""
    counts = torch.zeros(2, data.classes, dtype=torch.int64, device=next(net.parameters()).device)

    def see(logits: Tensor, y: Tensor) -> None:
        right = y[logits.argmax(1) == y]
        counts.add_(torch.stack([torch.bincount(labels, minlength=data.classes) for labels in (right, y)]))

    _answer(net, data, split, batch_size, channels_last, amp, processes, see)
    right, images = processes.total(counts).double().cpu()
    return (right[images > 0] / images[images > 0]).mean().item()


def evaluate(net: nn.Module, data: Data, split: str = "val", **how: Any) -> float:
    """The metric of the data, of a split, in [0, 1]: top-1, or balanced where `data.metric` says so.

    Args:
        how: batch_size, channels_last, amp, processes, as of `top_fractions`.
    """
    if data.metric == "balanced":
        return balanced_accuracy(net, data, split, **how)
    return top_fractions(net, data, split, (1,), **how)[1]


def right(net: nn.Module, data: Data, split: str = "val", **how: Any) -> Tensor:
    """Which images of a split the network takes for what they are: bool (images,) on the CPU, in the split's order.

    Args:
        how: batch_size, channels_last, amp, as of `top_fractions`.
    """
    found: list[Tensor] = []

    def see(logits: Tensor, y: Tensor) -> None:
        found.append((logits.argmax(1) == y).cpu())

    whole = {"batch_size": 128, "channels_last": True, "amp": False} | how
    _answer(net, data, split, processes=ALONE, see=see, **whole)
    return torch.cat(found)


def accuracy_of(hits: Tensor, data: Data, split: str) -> float:
    """The metric of the data, in [0, 1], of what `right` gives; see `evaluate`."""
    return float(image_weights(data, split) @ hits.double())


def at_chance(score: float, data: Data, split: str) -> float | None:
    """What naming one class for every image gives, in [0, 1], where a score is no better; None where it is.

    No better: within two standard errors of such a fraction of the split's images. Where classes are even, a network
    that draws its answers by lot is as good.
    """
    labels = data.split(split).labels.long().cpu()
    weights = image_weights(data, split)
    guess = float(torch.zeros(data.classes, dtype=torch.float64).index_add(0, labels, weights).max())
    error = (guess * (1 - guess) / len(labels)) ** 0.5
    return guess if score <= guess + 2 * error else None


def image_weights(data: Data, split: str) -> Tensor:
    """What every image of a split adds to the metric where it is right: float64 (images,), of sum 1; all the same, or
    for a balanced accuracy the less the more images its class has."""
    labels = data.split(split).labels.long().cpu()
    if data.metric != "balanced":
        return torch.full((len(labels),), 1 / len(labels), dtype=torch.float64)
    counts = torch.bincount(labels)
    return 1 / ((counts > 0).sum() * counts[labels]).double()
