"""Batches of a folder's images, decoded and augmented by worker processes.

All that is random comes from the seed, the epoch and the image, so that neither the device nor
the number of workers changes a batch.

>>> default_workers() <= 4
True
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nas.batches import Batches, Split, batch_indices, mixed
from nas.errors import NasError
from nas.folders import Files
from nas.images import decoded
from nas.shares import places
from nas.sources import Resizing, Statistics, first_line

IMAGENET: Statistics = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's images in [0, 1], by channel."""


ENLARGED = 256
"""Pixels of the shorter side before a centre of 224 is cut out, and in proportion."""
FORK = "fork" if sys.platform.startswith("linux") else None
"""How workers begin, as by default on Linux: in a process that was itself spawned the default would be to spawn, and
each epoch would wait for workers that import torch."""


def default_workers() -> int:
    """As many as this process has CPUs, up to 4."""
    try:
        return min(4, len(os.sched_getaffinity(0)))
    except AttributeError:  # macOS and Windows
        return min(4, os.cpu_count() or 1)


GONE = "there was an image when the split was made, and there is none now"


class UnreadableImage(NasError):
    """A file that is no image, or no more; `found` is the sentence without its end, `mend` that end."""

    def __init__(self, found: str) -> None:
        self.found = found
        self.mend = "restore it" if found.endswith(GONE) else "mend or remove the file"
        super().__init__(f"{found}; {self.mend}")


def unreadable(path: str, error: Exception) -> str:
    """What is wrong with an image, of what `nas.images.decoded` raised.

    >>> unreadable("owl.png", FileNotFoundError())
    'owl.png: there was an image when the split was made, and there is none now'
    """
    if not Path(path).exists():
        return f"{path}: {GONE}"
    return f"{path}: not a readable image ({first_line(error)})"


class FolderSplit(Split):
    """Images on disk, decoded by worker processes.

    Training: a random part, 8 % to 100 % of the area, resized, and mirrored half of the time, with
    'autoaugment' also transformed by AutoAugment's ImageNet policy (arXiv:1805.09501);
    else the centre, of an image resized to 256/224 of the resolution. ImageNet's mean and
    standard deviation, unless others are given. (The customary ImageNet pipeline; torchvision's reference training.)
    """

    def __init__(
        self, files: Files, resolution: int, workers: int | None, statistics: Statistics = IMAGENET
    ) -> None:
        self._files = files
        self.paths = files.paths
        self.labels = torch.from_numpy(files.labels)
        self.resolution = resolution
        self._statistics = statistics
        self.workers = default_workers() if workers is None else workers

    def contents(self) -> Iterator[bytes]:
        for path in self.paths:
            try:
                yield f"{Path(path).name} {Path(path).stat().st_size}\n".encode()
            except OSError:
                raise UnreadableImage(f"{path}: {GONE}") from None

    def take(self, indices: np.ndarray) -> "FolderSplit":
        return FolderSplit(self._files.take(indices), self.resolution, self.workers, self._statistics)

    @property
    def statistics(self) -> Statistics:
        return self._statistics

    @property
    def resizing(self) -> Resizing:
        return Resizing(224 / ENLARGED, "center", "bilinear")

    def batches(
        self, batch_size, *, train, seed, epoch, device, channels_last, augment, start=0, part=(0, 1),
        accumulate=1,
    ) -> Batches:  # fmt: skip
        device = torch.device(device)
        generator = torch.Generator().manual_seed(mixed(seed, epoch)) if train else None
        found = batch_indices(len(self), batch_size, generator)[start:]
        indices = [batch[places(len(batch), part, accumulate)].tolist() for batch in found]
        loader = DataLoader(
            _Decoder(self, augment if train else "none", mixed(seed, epoch)),
            batch_sampler=indices,
            num_workers=(workers := min(self.workers, len(indices))),
            multiprocessing_context=FORK if workers else None,
            collate_fn=_collate,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # its own, so that the global one stays where it is
        )
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return self._moved(iter(loader), device, layout)  # workers begin here, not when a batch is asked for

    def _moved(
        self, found: Iterator[tuple[Tensor, Tensor] | str], device: torch.device, layout: torch.memory_format
    ) -> Batches:
        for batch in found:
            if isinstance(batch, str):
                raise UnreadableImage(batch)
            x, y = batch
            if not len(y):  # the last batch may have fewer images than there are processes
                yield torch.zeros(0, 3, self.resolution, self.resolution, device=device), y.to(device)
                continue
            yield x.to(device, memory_format=layout, non_blocking=True), y.to(device, non_blocking=True)


class _Decoder(Dataset):
    """index -> (image, label), or a sentence about a file that cannot be read."""

    def __init__(self, split: FolderSplit, augment: str, seed: int) -> None:
        from torchvision import transforms as T

        self.paths, self.labels, self.seed = split.paths, split.labels.tolist(), seed
        size = split.resolution
        shape = (
            [T.Resize(round(size * ENLARGED / 224)), T.CenterCrop(size)]
            if augment == "none"
            else [T.RandomResizedCrop(size), T.RandomHorizontalFlip()]
        )
        shape += [T.AutoAugment()] if augment == "autoaugment" else []
        self.transform = T.Compose([*shape, T.ToTensor(), T.Normalize(*split.statistics)])

    def __getitem__(self, index: int) -> tuple[Tensor, int] | str:
        path = self.paths[index]
        try:
            image = decoded(path)
        except Exception as error:  # PIL raises a dozen kinds
            return unreadable(path, error)
        with torch.random.fork_rng(devices=[]):  # the same crop in whichever worker
            torch.default_generator.manual_seed(mixed(self.seed, index))
            x = self.transform(image)
        assert isinstance(x, Tensor)
        return x, self.labels[index]


def _collate(items: list[tuple[Tensor, int] | str]) -> tuple[Tensor, Tensor] | str:
    images, labels = [], []
    for item in items:
        if isinstance(item, str):
            return item
        images.append(item[0])
        labels.append(item[1])
    return torch.stack(images) if images else torch.zeros(0), torch.tensor(labels, dtype=torch.int64)
