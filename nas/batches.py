"""Batches of images in memory, augmented and normalized.

They stay in one uint8 tensor on the device and are augmented a batch at a time, with no worker
processes. All that is random comes from the seed and the epoch, so that devices agree.

>>> [len(batch) for batch in batch_indices(9, 4, torch.Generator())]
[3, 3, 3]
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nas.recipe import batch_count
from nas.shares import places
from nas.sources import Resizing, Statistics

Batches = Iterator[tuple[Tensor, Tensor]]
Device = str | torch.device


def batch_indices(
    images: int, batch_size: int, generator: torch.Generator | None = None
) -> tuple[Tensor, ...]:
    """Indices of an epoch's batches, every image once: in order, or shuffled by a generator.

    Shuffled batches, for training, differ in size by one at most, so that no small last batch
    gives its images more weight than others have or upsets batch norm.
    """
    if generator is None:
        return torch.arange(images).split(batch_size)
    order = torch.randperm(images, generator=generator)
    return torch.tensor_split(order, batch_count(images, batch_size))


def mixed(*numbers: int) -> int:
    """One 32-bit seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class Split(ABC):
    """Images and their labels, int64 (N,) on the CPU."""

    labels: Tensor

    @property
    @abstractmethod
    def statistics(self) -> Statistics:
        """Mean and standard deviation, by channel, that images in [0, 1] are normalized with."""

    @property
    @abstractmethod
    def resizing(self) -> Resizing:
        """How images become squares where nothing is augmented."""

    def __len__(self) -> int:
        return len(self.labels)

    def batch_count(self, batch_size: int) -> int:
        """Training batches of an epoch."""
        return batch_count(len(self), batch_size)

    def batch_images(self, batch_size: int, step: int) -> int:
        """Images of training batch `step`, from 0, those of all processes together."""
        count = self.batch_count(batch_size)
        return len(self) // count + (step < len(self) % count)

    @abstractmethod
    def contents(self) -> Iterator[bytes]:
        """What tells these images from any others, in order."""

    @abstractmethod
    def take(self, indices: np.ndarray) -> "Split":
        """The images of these places alone, normalized as they are here."""

    @abstractmethod
    def batches(
        self,
        batch_size: int,
        *,
        train: bool,
        seed: int,
        epoch: int,
        device: Device,
        channels_last: bool,
        augment: str,
        start: int = 0,
        part: tuple[int, int] = (0, 1),
        accumulate: int = 1,
    ) -> Batches:
        """See `nas.data.Data.batches`; `augment` is 'none', 'basic' or 'autoaugment'."""


class Normalization(NamedTuple):
    """x -> (x / white - mean) / std, by channel."""

    white: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, images: Tensor, white: int) -> "Normalization":
        """Mean and standard deviation of uint8 images (N, H, W, C); a constant channel has std 1."""
        total = torch.zeros(images.shape[-1], dtype=torch.float64)
        squares = total.clone()
        for chunk in images.split(1024):  # sums of whole numbers, exact in any order
            pixels = chunk.reshape(-1, images.shape[-1]).double()
            total += pixels.sum(0)
            squares += pixels.square().sum(0)
        count = images[..., 0].numel()
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt() / white
        return cls(white, tuple((mean / white).tolist()), tuple((s or 1.0) for s in std.tolist()))

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (..., C) -> float32 (..., C)."""
        mean = torch.tensor(self.mean, device=images.device) * self.white
        std = torch.tensor(self.std, device=images.device) * self.white
        return (images - mean) / std


def resized(images: np.ndarray, resolution: int) -> Tensor:
    """uint8 (N, H, W, C) -> uint8 (N, resolution, resolution, C), bilinear with antialiasing."""
    found = torch.from_numpy(images)
    if found.shape[1:3] == (resolution, resolution):
        return found
    size, parts = (resolution, resolution), []
    for chunk in found.split(1024):
        x = chunk.permute(0, 3, 1, 2).float()
        x = F.interpolate(x, size, mode="bilinear", antialias=True)
        parts.append(x.round().clamp(0, 255).byte().permute(0, 2, 3, 1))
    return torch.cat(parts).contiguous()


class Shifts(NamedTuple):
    """Where each of N images is cropped: rows (N, H) and columns (N, W) of the padded image, int64."""

    rows: Tensor
    columns: Tensor
    by: int

    def of(self, chosen: Tensor) -> "Shifts":
        return Shifts(self.rows[chosen], self.columns[chosen], self.by)

    def __call__(self, images: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C), padded with black."""
        padded = F.pad(images, (0, 0, self.by, self.by, self.by, self.by))
        rows, columns = self.rows.to(images.device), self.columns.to(images.device)
        numbers = torch.arange(len(images), device=images.device)
        return padded[numbers[:, None, None], rows[:, :, None], columns[:, None, :]]


def draw_shifts(
    n: int, height: int, width: int, shift: int, flip: bool, generator: torch.Generator
) -> Shifts:
    """Crops back from a padding of `shift` pixels, by up to so many each way, and mirrors half.

    Drawn on the CPU, so that every device gets the same images.
    """
    down, right = torch.randint(0, 2 * shift + 1, (2, n, 1), generator=generator)
    rows = down + torch.arange(height)
    columns = torch.arange(width).expand(n, -1)
    if flip:
        mirrored = torch.rand(n, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    return Shifts(rows, columns + right, shift)


def auto_augmented(images: Tensor, seeds: list[int]) -> Tensor:
    """AutoAugment (Cubuk et al. 2019, arXiv:1805.09501) with its CIFAR-10 policy, by torchvision.

    uint8 (N, H, W, C) -> the same, C 1 or 3; each image has a seed of its own.
    """
    from torchvision.transforms import AutoAugment, AutoAugmentPolicy

    policy = AutoAugment(AutoAugmentPolicy.CIFAR10)
    found = []
    with torch.random.fork_rng(devices=[]):
        for image, seed in zip(images.cpu().permute(0, 3, 1, 2), seeds, strict=True):
            torch.default_generator.manual_seed(seed)
            found.append(policy(image).permute(1, 2, 0))
    return torch.stack(found).to(images.device)


class TensorSplit(Split):
    """Images in memory: uint8 (N, H, W, C).

    Augmented by shifts of an eighth of the size (4 pixels at 32, as usual for CIFAR; 1 at 8) and,
    where `flip`, by mirroring; with 'autoaugment' by its CIFAR-10 policy before.
    """

    def __init__(
        self, images: Tensor, labels: Tensor | np.ndarray, normalization: Normalization, flip: bool
    ) -> None:
        self.images = images
        self.labels = torch.as_tensor(labels)
        self.normalization = normalization
        self.flip = flip
        self._moved: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def contents(self) -> Iterator[bytes]:
        yield from (chunk.numpy().tobytes() for chunk in self.images.cpu().split(1024))

    def take(self, indices: np.ndarray) -> "TensorSplit":
        chosen = torch.from_numpy(indices)
        return TensorSplit(self.images[chosen], self.labels[chosen], self.normalization, self.flip)

    @property
    def statistics(self) -> Statistics:
        return self.normalization.mean, self.normalization.std

    @property
    def resizing(self) -> Resizing:
        return Resizing(1.0, "squash", "bilinear")

    def batches(
        self, batch_size, *, train, seed, epoch, device, channels_last, augment, start=0, part=(0, 1),
        accumulate=1,
    ) -> Batches:  # fmt: skip
        images, labels = self._on(torch.device(device))
        _, height, width, _ = images.shape
        generator = torch.Generator().manual_seed(mixed(seed, epoch)) if train else None
        layout = torch.channels_last if channels_last else torch.contiguous_format
        for step, chosen in enumerate(batch_indices(len(self), batch_size, generator)):
            shifts = None
            if generator is not None and augment != "none":  # drawn even where the batch is passed over
                by = max(1, height // 8)
                shifts = draw_shifts(len(chosen), height, width, by, self.flip, generator)
            if step < start:
                continue
            mine = places(len(chosen), part, accumulate)
            indices = chosen[mine].to(device)
            x = images[indices]
            if generator is not None and augment == "autoaugment":
                x = auto_augmented(x, [mixed(seed, epoch, index) for index in chosen[mine].tolist()])
            if shifts is not None:
                x = shifts.of(mine)(x)
            x = self.normalization(x).permute(0, 3, 1, 2)
            yield x.contiguous(memory_format=layout), labels[indices]

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        if device not in self._moved:
            self._moved[device] = self.images.to(device), self.labels.to(device)
        return self._moved[device]


def concatenate(first: TensorSplit, second: TensorSplit) -> TensorSplit:
    """Both splits in one, normalized as the first."""
    images = torch.cat([first.images, second.images])
    labels = torch.cat([first.labels, second.labels])
    return TensorSplit(images, labels, first.normalization, first.flip)
