"""Data sets by name: splits, and batches ready for a network.

    digits | cifar10 | cifar100 | fashion-mnist | folder:PATH | npz:PATH | split:FILE

A stratified part of the training set, `val`, scores a search, or the part that a split file says
(`nas.splits`). `test` is neither read nor decoded before somebody asks for it, which a search never
does. `trainval` is both for full training.

>>> data = load_data("digits")
>>> len(data.train), len(data.val), len(data.test)
(1079, 359, 359)
>>> x, y = next(iter(data.batches("val", 100, train=False)))
>>> x.shape, x.dtype, y.dtype
(torch.Size([100, 1, 8, 8]), torch.float32, torch.int64)
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nas.downloads import KNOWN, downloaded
from nas.errors import NasError, listed, near
from nas.files import at_home, is_dir, is_file
from nas.folders import layout
from nas.loading import Reading, load_arrays, load_folder
from nas.npz import npz
from nas.sources import Source, Statistics, digits, hold_out
from nas.splits import FixedSplit

if TYPE_CHECKING:  # torch is imported when images are, so that `describe` is quick
    import torch

    from nas.batches import Split

NAMES = ("digits", *KNOWN, "folder:PATH", "npz:PATH", "split:FILE")
SPLITS = ("train", "val", "trainval", "test")


class Data:
    """A data set at one resolution.

    Attributes:
        name: as it was asked for.
        classes, in_chans, class_names: what a network has to fit.
        resolution: height and width of every batch in pixels.
        metric: 'accuracy' or 'balanced' (`nas.splits.METRICS`): what an accuracy on these data is.
    """

    def __init__(self, name: str, reading: Reading, metric: str = "accuracy") -> None:
        self.name = name
        self.class_names, self.in_chans, self.resolution, self._readers = reading
        self.classes = len(self.class_names)
        self.metric = metric
        self._read: dict[str, Split] = {}

    def split(self, name: str) -> "Split":
        """One of 'train', 'val', 'trainval', 'test', read the first time it is asked for."""
        if name not in SPLITS:
            raise NasError(f"split is {name!r}{near(name, SPLITS)}; allowed: {listed(SPLITS)}")
        if name not in self._read:
            self._read[name] = self._readers[name]()
        return self._read[name]

    @property
    def train(self) -> "Split":
        """What a search trains on."""
        return self.split("train")

    @property
    def val(self) -> "Split":
        """Held out of the training set: what scores a search."""
        return self.split("val")

    @property
    def trainval(self) -> "Split":
        """`train` and `val` together, for full training."""
        return self.split("trainval")

    @property
    def test(self) -> "Split":
        """Never looked at in a search."""
        return self.split("test")

    def with_part(self, fraction: float) -> "Data":
        """The same data with that fraction of each class in `train`, one image at least; `val` and `test` stay."""
        if fraction == 1:
            return self
        train = self.train
        kept, _ = hold_out(train.labels.numpy(), 1 - fraction, seed=0)
        reading = Reading(
            self.class_names, self.in_chans, self.resolution, {**self._readers, "train": lambda: part}
        )
        part = train.take(kept)
        return Data(self.name, reading, self.metric)

    def batches(
        self,
        split: str,
        batch_size: int,
        *,
        train: bool,
        seed: int = 0,
        epoch: int = 0,
        device: "str | torch.device" = "cpu",
        channels_last: bool = False,
        augment: bool | str = True,
        start: int = 0,
        part: tuple[int, int] = (0, 1),
        accumulate: int = 1,
    ) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
        """One epoch: x float32 (n, in_chans, resolution, resolution), normalized, and y int64 (n,).

        With `train` in an order drawn from (seed, epoch), and augmented as `augment` says ('none' or False,
        'basic' or True, 'autoaugment'); else in the split's own order. The same on every device.

        Args:
            start: batches to pass over, of an epoch that is taken up again; what follows is the same.
            part: (rank, processes): of every batch the part of one process of several.
            accumulate: parts in which a batch is taken one after the other; the process has its share of each.
        """
        if isinstance(augment, bool):
            augment = "basic" if augment else "none"
        return self.split(split).batches(
            batch_size,
            train=train,
            seed=seed,
            epoch=epoch,
            device=device,
            channels_last=channels_last,
            augment=augment,
            start=start,
            part=part,
            accumulate=accumulate,
        )


def load_data(
    name: str,
    data_dir: str | Path | None = None,
    resolution: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    statistics: Statistics | None = None,
) -> Data:
    """The data set called `name`, its images resized to `resolution` pixels.

    Args:
        resolution: by default the images' own, where they are square; of a folder, 224.
        data_dir: where torchvision's data sets are kept (`nas.downloads.default_folder`).
        seed: draws `val` from the training set; the test split is the same for every seed, and of a split
            file, which fixes all three, everything.
        workers: processes that decode a folder's images; by default up to 4.
        statistics: mean and standard deviation, by channel, that images in [0, 1] are normalized with, such
            as those of pretrained weights; by default the training set's, of a folder ImageNet's.

    Raises:
        NasError: for an unknown name, data that is missing or unfit, or statistics of other channels.
    """
    if resolution is not None and (type(resolution) is not int or resolution < 1):
        raise NasError(f"resolution is {resolution!r}; give a whole number of pixels from 1")
    fixed, (kind, path) = _found(name)
    metric, data_dir = ("accuracy", data_dir) if fixed is None else (fixed.metric, fixed.data_dir or data_dir)
    if kind == "folder":
        _check_statistics(statistics, 3, name)
        return Data(name, load_folder(path, resolution or 224, seed, workers, statistics, fixed), metric)
    source = source_of(kind, path, data_dir)
    _check_statistics(statistics, source.in_chans, name)
    return Data(name, load_arrays(name, source, resolution, seed, statistics, fixed), metric)


def _check_statistics(statistics: Statistics | None, in_chans: int, name: str) -> None:
    if statistics is not None and any(len(values) != in_chans for values in statistics):
        raise NasError(
            f"{name}: has {in_chans} channels, and the images are to be normalized by {len(statistics[0])} means; give "
            "weights for as many channels"
        )


def fingerprint(data: Data) -> str:
    """sha256 of the classes and of the labels that are trained on, in order."""
    digest = hashlib.sha256(repr(data.class_names).encode())
    for name in ("train", "val"):
        digest.update(data.split(name).labels.numpy().tobytes())
    return digest.hexdigest()


def contents(data: Data) -> str:
    """sha256 of the classes, labels and images of `train` and `val`, in order; of files the names and sizes."""
    digest = hashlib.sha256(fingerprint(data).encode())
    for name in ("train", "val"):
        for part in data.split(name).contents():
            digest.update(part)
    return digest.hexdigest()


def describe(name: str, data_dir: str | Path | None = None) -> tuple[int, int]:
    """(classes, in_chans) of a data set; nothing is downloaded or decoded, and torch not imported.

    >>> describe("cifar100")
    (100, 3)

    Raises:
        NasError: as `load_data`.
    """
    fixed, (kind, path) = _found(name)
    if kind in KNOWN:
        return KNOWN[kind].classes, KNOWN[kind].in_chans
    if kind == "folder":
        return len(layout(path).class_names if fixed is None else fixed.class_names), 3
    source = source_of(kind, path, data_dir)
    return source.classes, source.in_chans


def _found(name: str) -> tuple[FixedSplit | None, tuple[str, str]]:
    """The split file, where the name is of one, and what its images are."""
    kind, path = parse(name)
    if kind != "split":
        return None, (kind, path)
    fixed = FixedSplit.read(Path(path))
    return fixed, parse(fixed.data)


def parse(name: str) -> tuple[str, str]:
    """(kind, path) of a data set's name; the path is empty where the kind has none.

    >>> parse("npz:a.npz")
    ('npz', 'a.npz')
    """
    kind, colon, path = name.partition(":")
    if kind in ("folder", "npz", "split") and path:
        return kind, str(at_home(path))  # no shell does it after a colon
    if not colon and kind in ("digits", *KNOWN):
        return kind, ""
    if is_dir(Path(name)):
        hint = f" (did you mean 'folder:{name}'?)"
    elif is_file(Path(name)):
        hint = f" (did you mean 'npz:{name}'?)"
    else:
        hint = near(name, NAMES)
    raise NasError(f"data is {name!r}, which is no data set{hint}; known: {listed(NAMES)}")


def source_of(kind: str, path: str, data_dir: str | Path | None) -> Source:
    """The arrays of what `parse` found, but for folders and splits."""
    if kind == "digits":
        return digits()
    return npz(path) if kind == "npz" else downloaded(kind, data_dir)
