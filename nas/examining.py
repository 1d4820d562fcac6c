"""What there is of a data set before anything is trained: every image looked at once.

>>> found = examined("digits")
>>> len(found.images), found.given, found.class_names[:3], found.images[0].size
(1797, ('train', 'test'), ('0', '1', '2'), (8, 8))
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nas.data import parse, source_of
from nas.errors import NasError
from nas.folders import Files, layout
from nas.folders import images as images_in
from nas.images import decoded
from nas.sources import first_line

Report = Callable[[int, int], None]
"""Called with images looked at, and in all."""
FEW = 200
"""Images of a folder that are decoded in this process."""


class Image(NamedTuple):
    """One image of a data set.

    Attributes:
        place: of a folder the path, of arrays the place in the training or the test set.
        part: the split that the data set puts it in; '' where it makes none.
        size: (width, height) in pixels, None where it cannot be read.
        digest: of its pixels, so that copies in other formats are found, too.
        error: why it cannot be read.
    """

    place: str | int
    label: int
    part: str
    size: tuple[int, int] | None
    digest: bytes
    error: str | None = None


@dataclass(frozen=True)
class Examination:
    """A data set as it was found.

    Attributes:
        data: its name, with an absolute path.
        given: the parts that the data set has of its own, of 'train', 'val' and 'test'; none where one folder
            holds everything.
        held_out: the fraction of each class that scores, where `val` is not given.
        counts: of arrays, the images of the training and the test set.
    """

    data: str
    class_names: tuple[str, ...]
    in_chans: int
    given: tuple[str, ...]
    images: tuple[Image, ...]
    held_out: float
    counts: tuple[int, int] | None = None


def examined(
    data: str, data_dir: str | None = None, workers: int = 1, report: Report | None = None
) -> Examination:
    """Looks at every image of a data set, and decodes those of folders in `workers` processes.

    Raises:
        NasError: for data that are missing or unfit.
    """
    kind, path = parse(data)
    if kind == "split":
        raise NasError(f"data is {data!r}, which is a split already; give the data set that it is of")
    if kind == "folder":
        return _folder(str(Path(path).absolute()), workers, report)
    source = source_of(kind, path, data_dir)
    images: list[Image] = []
    counts = []
    for part in ("train", "test"):
        pixels, labels = source.read(part)
        counts.append(len(labels))
        size = (pixels.shape[2], pixels.shape[1])
        for place, (image, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
            digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
            images.append(Image(place, label, part, size, digest))
    name = f"{kind}:{Path(path).absolute()}" if path else kind
    return Examination(
        name, source.class_names, source.in_chans, ("train", "test"), tuple(images), source.held_out,
        (counts[0], counts[1]),
    )  # fmt: skip


def _folder(path: str, workers: int, report: Report | None) -> Examination:
    found = layout(path)
    folders = {"train": found.train, "val": found.val, "test": found.test}
    given = tuple(part for part, folder in folders.items() if folder)
    parts: list[tuple[str, Files]] = [
        (part, images_in(folder, found.class_names, found.where))
        for part, folder in folders.items()
        if folder
    ]
    if given == ("train",):
        given, parts = (), [("", parts[0][1])]
    paths = [path for _, files in parts for path in files.paths]
    looks = _looked_at(paths, workers)
    images: list[Image] = []
    for part, files in parts:
        for place, label in zip(files.paths, files.labels.tolist(), strict=True):
            images.append(Image(place, label, part, *next(looks)))
            if report is not None:
                report(len(images), len(paths))
    return Examination(f"folder:{path}", found.class_names, 3, given, tuple(images), 0.1 if given else 0.25)


Look = tuple[tuple[int, int] | None, bytes, str | None]


def _looked_at(paths: list[str], workers: int) -> Iterator[Look]:
    if workers < 2 or len(paths) <= FEW:
        yield from map(look, paths)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(look, paths, chunksize=32)


def look(path: str) -> Look:
    """(size, digest of the pixels in RGB, error) of an image file."""
    try:
        image = decoded(path)
    except Exception as error:  # Pillow raises a dozen kinds
        return None, b"", first_line(error).replace(path, "it")
    size = image.size
    return size, hashlib.blake2b(image.tobytes() + repr(size).encode(), digest_size=16).digest(), None


def sizes(images: Iterable[Image]) -> np.ndarray:
    """(width, height) of the images that can be read, int64 (N, 2)."""
    return np.array([image.size for image in images if image.size], np.int64).reshape(-1, 2)
