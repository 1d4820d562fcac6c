"""From a source of images to its splits at one resolution; torch is imported when images are.

>>> from nas.sources import digits
>>> found = load_arrays("digits", digits(), None, 0, None, None)
>>> found.resolution, len(found.splits["val"]())
(8, 359)
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from nas.errors import NasError
from nas.folders import Files, layout
from nas.sources import Source, Statistics, check_counts, hold_out
from nas.splits import FixedSplit

if TYPE_CHECKING:
    from nas.batches import Split


class Reading(NamedTuple):
    """What there is of a data set; `splits` are read when they are called."""

    class_names: tuple[str, ...]
    in_chans: int
    resolution: int
    splits: "Mapping[str, Callable[[], Split]]"


def load_arrays(
    name: str,
    source: Source,
    resolution: int | None,
    seed: int,
    statistics: Statistics | None,
    fixed: FixedSplit | None,
) -> Reading:
    """Images in memory; `seed` draws `val`, where no fixed split does.

    Raises:
        NasError: for images that are not square, without a resolution, or a fixed split of other ones.
    """
    from nas.batches import Normalization, TensorSplit, concatenate, resized

    images, labels = source.read("train")
    if fixed is None:
        check_counts(labels, source.class_names, ("train", "val"), name)
        kept, held = hold_out(labels, source.held_out, seed)
    else:
        fixed.check_source(len(labels), source.class_names)
        kept, held = fixed.indices("train"), fixed.indices("val")
    height, width = images.shape[1:3]
    if resolution is None and height != width:
        raise NasError(f"{name}: images are {height} x {width} pixels; give the resolution to resize them to")
    pixels = resolution or height
    images = resized(images, pixels)
    normalization = Normalization.of(images[kept], source.white)
    if statistics is not None:
        normalization = Normalization(source.white, *statistics)

    def make(images, labels) -> TensorSplit:
        return TensorSplit(images, labels, normalization, source.flip)

    def test() -> TensorSplit:
        images, labels = source.read("test")
        chosen = slice(None) if fixed is None else fixed.test_of(len(labels))
        return make(resized(images[chosen], pixels), labels[chosen])

    train, val = make(images[kept], labels[kept]), make(images[held], labels[held])
    splits = {
        "train": lambda: train,
        "val": lambda: val,
        "trainval": lambda: concatenate(train, val),
        "test": test,
    }
    return Reading(source.class_names, source.in_chans, pixels, splits)


def load_folder(
    path: str,
    resolution: int,
    seed: int,
    workers: int | None,
    statistics: Statistics | None,
    fixed: FixedSplit | None,
) -> Reading:
    """A folder of images, which worker processes decode; `seed` draws `val`, where no fixed split does."""
    from nas.decoding import IMAGENET, FolderSplit

    white = statistics or IMAGENET
    if fixed is None:
        found = layout(path)
        names, (train, val), testing = found.class_names, found.training(seed), found.testing
    else:
        names, train, val = fixed.class_names, fixed.files("train"), fixed.files("val")
        testing = lambda: fixed.files("test")  # noqa: E731

    def split(files: Files) -> FolderSplit:
        return FolderSplit(files, resolution, workers, white)

    splits = {
        "train": lambda: split(train),
        "val": lambda: split(val),
        "trainval": lambda: split(train.plus(val)),
        "test": lambda: split(testing()),
    }
    return Reading(names, 3, resolution, splits)
