"""Batch norm's statistics of one network that took its weights from a supernet, estimated on training images.

In a supernet the running statistics follow whichever network passed last; without this step accuracies say little
(Yu & Huang 2019, arXiv:1903.05134, section 3.2).

>>> from nas.data import load_data
>>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
>>> recalibrate(net, load_data("digits"), images=500)
>>> net[1].training, int(net[1].num_batches_tracked)
(False, 8)
"""

import torch
from torch import nn

from nas.data import Data
from nas.optimization import norms_learning

IMAGES, BATCH = 2048, 64
"""Training images that statistics are estimated on, and how many at a time: the statistics hang on both."""


def recalibrate(
    net: nn.Module,
    data: Data,
    images: int = IMAGES,
    batch_size: int = BATCH,
    channels_last: bool = True,
    amp: bool = False,
) -> None:
    """Sets every running mean and variance of `net` to the mean over batches of `train`, and leaves it in eval mode.

    The batches are the same every time: drawn by seed 0, without augmentation, until `images` have been seen or the
    split is through.
    """
    device = next(net.parameters()).device
    seen = 0
    batches = data.batches(
        "train", batch_size, train=True, device=device, channels_last=channels_last, augment="none"
    )
    with norms_learning(net), torch.no_grad(), torch.autocast(device.type, torch.float16, enabled=amp):
        for x, _ in batches:
            net(x)
            seen += len(x)
            if seen >= images:
                break
