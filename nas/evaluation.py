"""How well a network does: top-1 and top-5 fractions of a split.

>>> import nas
>>> from nas.data import load_data
>>> net = nas.build(nas.load("efficientnet-b0").architecture, 10, 1)
>>> sorted(top_fractions(net, load_data("digits"), "val", (1, 5)))
[1, 5]
"""

from collections.abc import Sequence

import torch
from torch import nn

from nas.data import Data
from nas.processes import ALONE, Processes


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
    device = next(net.parameters()).device
    training = net.training
    net.eval()
    hits = torch.zeros(len(top), dtype=torch.int64, device=device)
    batches = data.batches(
        split, batch_size, train=False, device=device, channels_last=channels_last, part=processes.part
    )
    with torch.inference_mode(), torch.autocast(device.type, torch.float16, enabled=amp):
        for x, y in batches:
            if not len(y):  # the last batch may be smaller than there are processes
                continue
            logits = net(x)
            best = logits.topk(min(max(top), logits.shape[1]), dim=1).indices
            right = best == y[:, None]
            hits += torch.stack([right[:, :k].sum() for k in top])
    net.train(training)
    total = processes.total(hits).tolist()
    return {k: count / len(data.split(split)) for k, count in zip(top, total, strict=True)}


def evaluate(
    net: nn.Module,
    data: Data,
    split: str = "val",
    *,
    batch_size: int = 128,
    channels_last: bool = True,
    amp: bool = False,
    processes: Processes = ALONE,
) -> float:
    """Top-1 fraction of a split, in [0, 1]; see `top_fractions`."""
    return top_fractions(
        net,
        data,
        split,
        (1,),
        batch_size=batch_size,
        channels_last=channels_last,
        amp=amp,
        processes=processes,
    )[1]
