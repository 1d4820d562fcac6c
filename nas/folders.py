"""Folders of images, one folder a class: what is where, and what is wrong; nothing is decoded.

    PATH/train/CLASS/*.jpg and PATH/val/CLASS/*.jpg, perhaps PATH/test/CLASS/*.jpg; or PATH/CLASS/*.jpg

>>> Files(("cats/1.png", "dogs/1.png"), np.array([0, 1])).take(np.array([1])).paths
('dogs/1.png',)
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nas.errors import NasError, listed
from nas.files import is_dir, is_file
from nas.sources import check_counts, hold_out

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
"""Files that count as images (torchvision's list); case does not matter."""

_READ = f"files read are those ending in {listed(EXTENSIONS)}"


class Files(NamedTuple):
    """Paths of images, and their labels, int64 (N,)."""

    paths: tuple[str, ...]
    labels: np.ndarray

    def take(self, indices: np.ndarray) -> "Files":
        return Files(tuple(self.paths[i] for i in indices), self.labels[indices])

    def plus(self, other: "Files") -> "Files":
        return Files(self.paths + other.paths, np.concatenate([self.labels, other.labels]))


@dataclass(frozen=True)
class Layout:
    """Where the splits lie; None where a split has no folder of its own.

    With train/ and val/ alone, val/ is the test split, as in ImageNet, and the search's own
    `val` is held out of train/: a search must not be scored on what tests its winner.
    """

    where: str
    class_names: tuple[str, ...]
    train: Path
    val: Path | None
    test: Path | None

    def training(self, seed: int) -> tuple[Files, Files]:
        """The splits `train` and `val`.

        Held out: a tenth of each class where there is a test folder; where one folder holds
        everything, 60 % are train, 20 % val and 20 % test. `seed` moves no image to or from test.
        """
        files = images(self.train, self.class_names, self.where)
        if self.val:
            return files, images(self.val, self.class_names, self.where)
        splits = ("train", "val") if self.test else ("train", "val", "test")
        check_counts(files.labels, self.class_names, splits, self.where)
        if not self.test:
            files = files.take(hold_out(files.labels, 0.2, seed=0)[0])
        kept, held = hold_out(files.labels, 0.1 if self.test else 0.25, seed)
        return files.take(kept), files.take(held)

    def testing(self) -> Files:
        """The split `test`."""
        if self.test:
            return images(self.test, self.class_names, self.where)
        files = images(self.train, self.class_names, self.where)
        return files.take(hold_out(files.labels, 0.2, seed=0)[1])


def layout(path: str | Path) -> Layout:
    """Looks at the folders of PATH; no image is listed.

    Raises:
        NasError: for a missing folder, fewer than 2 classes, or splits with different classes.
    """
    root, where = Path(path), f"folder:{path}"
    if not is_dir(root):
        raise NasError(f"{where}: there is no such folder; give the path of one with a folder for each class")
    train, val, test = (root / name if is_dir(root / name) else None for name in ("train", "val", "test"))
    # A data set of vehicles may well have a class called train.
    if train is None or not (_subfolders(train) or val or test):
        return Layout(where, _classes(root, where), root, None, None)
    names = _classes(train, where)
    for other in filter(None, (val, test)):
        differing = sorted(set(names) ^ set(_classes(other, where)))
        if differing:
            place = train.name if differing[0] in names else other.name
            raise NasError(
                f"{where}: class {differing[0]!r} is in {place}/ only; "
                f"give {train.name}/ and {other.name}/ the same class folders"
            )
    if val and not test:
        val, test = None, val
    return Layout(where, names, train, val, test)


def images(folder: Path, class_names: tuple[str, ...], where: str) -> Files:
    """Every image under every class folder of `folder`, in the order of names.

    Raises:
        NasError: for a class folder that is empty.
    """
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(class_names):
        files = (path for path in (folder / name).rglob("*") if path.suffix.lower() in EXTENSIONS)
        found = sorted(str(path) for path in files if is_file(path) and not path.name.startswith("."))
        if not found:
            raise NasError(f"{where}: no image in {folder / name}; {_READ}")
        paths += found
        labels += [label] * len(found)
    return Files(tuple(paths), np.array(labels, np.int64))


def _classes(folder: Path, where: str) -> tuple[str, ...]:
    names = _subfolders(folder)
    if not names:
        raise NasError(f"{where}: no class folders in {folder}; give each class a folder of images; {_READ}")
    if len(names) == 1:
        raise NasError(f"{where}: {folder} has the one class folder {names[0]!r}; a classifier needs 2")
    return names


def _subfolders(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(p.name for p in folder.iterdir() if is_dir(p) and not p.name.startswith(".")))
    except OSError as error:
        raise NasError(f"{folder}: cannot be listed ({error.strerror}); mend its permissions") from None
