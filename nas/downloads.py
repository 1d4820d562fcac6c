"""The data sets that torchvision downloads, kept as npz files.

>>> KNOWN["cifar100"].classes
100
"""

import contextlib
import os
import sys
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock

from nas.errors import NasError
from nas.files import at_home, for_others
from nas.npz import npz
from nas.sources import Source, first_line


class _Known(NamedTuple):
    torchvision: str
    classes: int
    in_chans: int
    flip: bool


KNOWN = {
    "cifar10": _Known("CIFAR10", 10, 3, flip=True),
    "cifar100": _Known("CIFAR100", 100, 3, flip=True),
    "fashion-mnist": _Known("FashionMNIST", 10, 1, flip=False),  # its shoes all point to the left
}


def default_folder() -> Path:
    """Where downloads go without --data-dir: b0nas in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "b0nas")


def downloaded(name: str, data_dir: str | Path | None) -> Source:
    """A data set of `KNOWN`: NAME.npz in `data_dir`, made of torchvision's copy the first time.

    Later trials read the npz and import no torchvision; trials that start together wait for one
    download. torchvision compares checksums before it opens what it downloaded.

    Raises:
        NasError: where the download fails.
    """
    known = KNOWN[name]
    folder = at_home(data_dir) if data_dir else default_folder()
    path = folder / f"{name}.npz"
    try:
        if not path.exists():
            with for_others():
                folder.mkdir(parents=True, exist_ok=True)
            lock = folder / f"{name}.lock"
            with FileLock(lock):
                try:
                    if not path.exists():
                        with for_others():
                            _download(known, folder, path)
                except BaseException:
                    lock.unlink(missing_ok=True)  # who waits for it tries again
                    raise
    except (OSError, RuntimeError, EOFError, tarfile.TarError, zlib.error) as error:
        raise NasError(
            f"{name}: cannot be downloaded to {folder} ({first_line(error)}); mend the network, or give "
            "--data-dir a writable folder, or one that holds torchvision's files"
        ) from None
    return replace(npz(path), flip=known.flip)


def _download(known: _Known, folder: Path, path: Path) -> None:
    from torchvision import datasets

    make = getattr(datasets, known.torchvision)
    arrays: dict[str, np.ndarray] = {}
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
        for part in ("train", "test"):
            data = make(root=str(folder), train=part == "train", download=True)
            arrays[f"x_{part}"] = np.asarray(data.data, np.uint8)
            arrays[f"y_{part}"] = np.asarray(data.targets, np.int64)
            arrays["class_names"] = np.asarray(data.classes, np.str_)
    half = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(half, **arrays)  # type: ignore[arg-type]
    half.replace(path)
