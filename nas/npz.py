"""Images in an npz file of four arrays; nothing in it is unpickled.

>>> import tempfile
>>> images, labels = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
>>> with tempfile.TemporaryDirectory() as folder:
...     np.savez(f"{folder}/x.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
...     source = npz(f"{folder}/x.npz")
>>> source.classes, source.in_chans
(2, 1)
"""

import math
import warnings
import zipfile
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from nas.errors import NasError, listed
from nas.files import is_file
from nas.sources import Arrays, Source, first_line

NEEDED = ("x_train", "y_train", "x_test", "y_test")
MAX_ARRAYS = 100


def npz(path: str | Path) -> Source:
    """The arrays x_train, y_train, x_test, y_test of a file; images uint8 (N, H, W) or (N, H, W, C).

    An array `class_names` of strings, one a class, may stand beside them. Colour images are
    flipped in augmentation; grey ones, often characters, are not.

    Raises:
        NasError: for a file that is no npz or has not these arrays. Of the test set only shapes
            and types are looked at; `read('test')` checks its labels.
    """
    where = f"npz:{path}"
    headers = _headers(Path(path), where)
    missing = [name for name in NEEDED if name not in headers]
    if missing:
        raise NasError(
            f"{where}: has no array {listed(missing)}; it holds {listed(headers) or 'nothing'}; "
            f"save {listed(NEEDED)} with numpy.savez"
        )
    for part in ("train", "test"):
        _check_headers(headers, part, where)
    _check_memory(headers, where)
    shapes = {part: headers[f"x_{part}"][0] for part in ("train", "test")}
    if shapes["train"][1:] != shapes["test"][1:]:
        raise NasError(
            f"{where}: images are {shapes['train'][1:]} in x_train and {shapes['test'][1:]} in x_test; "
            "save both with one shape"
        )
    classes = _count_classes(_array(Path(path), "y_train", where), where)
    in_chans = shapes["train"][3] if len(shapes["train"]) == 4 else 1
    names = tuple(map(str, range(classes)))
    if "class_names" in headers and headers["class_names"][1].kind == "U":
        written = _array(Path(path), "class_names", where)
        names = tuple(map(str, written)) if written.shape == (classes,) else names
    read = partial(_read_npz, Path(path), where, classes)
    return Source(classes, in_chans, names, read, flip=in_chans >= 3)


def _read_npz(path: Path, where: str, classes: int, part: str) -> Arrays:
    labels = _array(path, f"y_{part}", where).astype(np.int64)
    if labels.min() < 0 or labels.max() >= classes:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise NasError(f"{where}: y_{part} has the label {wrong}; y_train's go from 0 to {classes - 1}")
    images = _array(path, f"x_{part}", where)
    return (images if images.ndim == 4 else images[..., None]), labels


def _count_classes(labels: np.ndarray, where: str) -> int:
    found = np.unique(labels)
    if found[0] < 0:
        raise NasError(f"{where}: y_train has the label {found[0]}; labels are whole numbers from 0")
    if len(found) < 2:
        raise NasError(f"{where}: y_train has the one label {found[0]}; a classifier needs 2 classes or more")
    if found[-1] != len(found) - 1:
        absent = int(np.flatnonzero(found != np.arange(len(found)))[0])
        raise NasError(
            f"{where}: y_train has labels up to {found[-1]}, and none is {absent}; "
            f"number its {len(found)} classes from 0 to {len(found) - 1}"
        )
    return len(found)


Headers = dict[str, tuple[tuple[int, ...], np.dtype]]


def _headers(path: Path, where: str) -> Headers:
    """Shape and type of every array, with no array read: of what is declared, nothing is allocated."""
    if not is_file(path):
        raise NasError(f"{where}: there is no such file; give the path of an npz file")
    headers: Headers = {}
    try:
        with warnings.catch_warnings(), zipfile.ZipFile(path) as file:
            warnings.simplefilter("ignore")  # of a header by Python 2
            members = file.infolist()
            if len(members) > MAX_ARRAYS:
                raise ValueError(f"{len(members)} arrays")
            for info in members:
                with file.open(info) as member:
                    shape, dtype = _header(member)
                    size = math.prod(shape) * dtype.itemsize
                    if min(shape, default=0) < 0 or (
                        member.tell() + size != info.file_size and not dtype.hasobject
                    ):
                        raise ValueError(
                            f"{info.filename} has {info.file_size} bytes for an array of shape {shape}"
                        )
                headers[info.filename.removesuffix(".npy")] = (shape, dtype)
    except NasError:
        raise
    except Exception as error:  # a damaged file can raise anything, of zip, numpy or Python's parser
        raise NasError(f"{where}: is no npz file ({first_line(error)}); write one with numpy.savez") from None
    return headers


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    return shape, dtype


def _check_memory(headers: Headers, where: str) -> None:
    """Raises NasError where the arrays, which a small file may declare large, do not fit into memory."""
    import psutil

    size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in headers.values())
    free = psutil.virtual_memory().available
    if size > free:
        raise NasError(
            f"{where}: holds {size / 1e9:,.1f} GB of arrays, and {free / 1e9:,.1f} GB of memory are free; give fewer "
            "or smaller images, or a folder of images"
        )


def _check_headers(headers: Headers, part: str, where: str) -> None:
    (x_shape, x_type), (y_shape, y_type) = headers[f"x_{part}"], headers[f"y_{part}"]
    if x_type != np.uint8:
        raise NasError(f"{where}: x_{part} is of type {x_type}; save images as uint8, 0 to 255")
    if y_type.kind not in "iu":
        raise NasError(f"{where}: y_{part} is of type {y_type}; save labels as whole numbers such as int64")
    grey_or_colour = len(x_shape) == 3 or (len(x_shape) == 4 and 1 <= x_shape[3] <= 4)
    if not grey_or_colour or 0 in x_shape:
        raise NasError(
            f"{where}: x_{part} has shape {x_shape}; give (images, height, width) or "
            "(images, height, width, channels) with 1 to 4 channels"
        )
    if y_shape != x_shape[:1]:
        raise NasError(
            f"{where}: y_{part} has shape {y_shape}; x_{part} holds {x_shape[0]} images, give ({x_shape[0]},)"
        )


def _array(path: Path, name: str, where: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[name]
    except Exception as error:  # a damaged file can raise anything
        reason = first_line(error)
        raise NasError(f"{where}: {name} cannot be read ({reason}); save the file again") from None
