"""Sources of images that fit into memory: what they share, and the digits; no torch.

>>> source = digits()
>>> images, labels = source.read("train")
>>> images.shape, images.dtype, images.max(), labels.shape
((1438, 8, 8, 1), dtype('uint8'), np.uint8(240), (1438,))
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nas.errors import NasError, listed

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation, by channel, that images in [0, 1] are normalized with."""


class Resizing(NamedTuple):
    """How images are made square where nothing is augmented, in timm's words (`timm.data.create_transform`).

    Attributes:
        crop_pct: the square's side, as a part of that which the shorter one is resized to first.
        crop_mode: 'center', what is cut out; 'squash', the whole image, both sides resized.
        interpolation: 'bilinear', 'bicubic' ...
    """

    crop_pct: float
    crop_mode: str
    interpolation: str


Arrays = tuple[np.ndarray, np.ndarray]
"""Images, uint8 (N, H, W, C), and labels, int64 (N,)."""


@dataclass(frozen=True)
class Source:
    """A data set that fits into memory.

    Attributes:
        classes, in_chans, class_names: what a network has to fit.
        read: 'train' or 'test' -> Arrays; nothing of the other part is read.
        white: the value of images that stands for 1.0.
        flip: whether a mirrored image is one that the data set could hold.
        held_out: the fraction of each class of 'train' that is kept from training as `val`.
    """

    classes: int
    in_chans: int
    class_names: tuple[str, ...]
    read: Callable[[str], Arrays]
    white: int = 255
    flip: bool = False
    held_out: float = 0.1


def first_line(error: BaseException) -> str:
    """An error's message up to 200 characters, or its name, for one sentence of ours."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else f"{line[:197]}..."


def hold_out(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices kept and indices held out, both ascending; stratified: the fraction of each class,
    at least one image and never all of them.

    Drawn with numpy's RandomState, whose stream is frozen (NEP 19), so that a split is the same
    on every machine and in every version to come.
    """
    rng = np.random.RandomState(seed)
    held = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held.append(rng.permutation(members)[:count])
    out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), out), out


def check_counts(labels: np.ndarray, names: tuple[str, ...], splits: tuple[str, ...], where: str) -> None:
    """Raises NasError where a class has fewer images than there are splits to take from it."""
    for label, count in enumerate(np.bincount(labels, minlength=len(names))):
        if count < len(splits):
            found = "1 image" if count == 1 else f"{count} images"
            raise NasError(
                f"{where}: class {names[label]!r} has {found}, too few to split into {listed(splits)}; "
                f"give every class at least {len(splits)}"
            )


def digits() -> Source:
    """The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn ships (UCI, 1998).

    20 % of each digit are the test split, whatever the seed; a quarter of the rest is `val`.
    """
    return Source(10, 1, tuple("0123456789"), _read_digits, white=240, held_out=0.25)


def _read_digits(part: str) -> Arrays:
    # The file itself: sklearn.datasets gives the same arrays, and its import takes 1.5 s a trial.
    spec = find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise NasError("digits: scikit-learn, which holds the images, is missing; pip install scikit-learn")
    path = Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.int64)
    labels = table[:, -1]
    kept, test = hold_out(labels, 0.2, seed=0)
    chosen = kept if part == "train" else test
    # 16 shades, times 15: resizing rounds to whole numbers.
    images = (15 * table[chosen, :-1]).astype(np.uint8).reshape(-1, 8, 8, 1)
    return images, labels[chosen]
