"""A split fixed in a file: which images of a data set train, score and test, and by which metric.

    {"data": "folder:/home/me/birds", "metric": "balanced", "class_names": ["owl", "wren"],
     "train": {"owl": ["owl/1.jpg", ...], ...}, "val": {...}, "test": {...}, "left_out": {"owl/7.jpg": "..."}}

Images of a folder are paths inside it; those of arrays (npz, torchvision's) are places in the
training set, for `test` in the test set: "train": [0, 2, 3 ...]. `nas init` writes such files, and
`--data split:FILE` reads them; a relative path in `data` or `data_dir` is against the file's folder.

>>> fixed = FixedSplit.check({"data": "digits", "class_names": ["even", "odd"], "counts": [8, 2], "train": [0, 1],
...     "val": [2, 3], "test": [0]}, "x.json", Path())
>>> fixed.indices("val").tolist(), fixed.metric
([2, 3], 'accuracy')
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from nas.documents import Int, Strict, Text
from nas.errors import NasError, short
from nas.files import at_home, text_of
from nas.folders import Files
from nas.reading import validate
from nas.strict_json import load_json

METRICS = ("accuracy", "balanced")
"""Accuracy, the fraction of images that are right; balanced, the mean over the classes of the fraction of each."""
PARTS = ("train", "val", "test")
MOST = 1 << 28
"""Bytes of a split file: some five million images."""

IMAGES = 1 << 40
"""More than a data set has."""

Members = dict[str, list[str]] | Annotated[list[Int], Field(min_length=1)]


class SplitDocument(Strict):
    """A split file as it is written.

    Attributes:
        data: the data set, as `--data` takes it.
        data_dir: where torchvision's lies.
        class_names: in the order of the labels.
        counts: of arrays, the images that the training and the test set have in all.
        left_out: images in no part, with the reason.
    """

    data: Text
    data_dir: Text | None = None
    metric: Literal["accuracy", "balanced"] = "accuracy"
    class_names: Annotated[list[Text], Field(min_length=2)]
    counts: Annotated[list[Int], Field(min_length=2, max_length=2)] | None = None
    train: Members
    val: Members
    test: Members
    left_out: dict[str, str] = Field(default_factory=dict)


def metric_of(data: str) -> str:
    """Of `METRICS`, what an accuracy is on data as `--data` names them; NasError for a split file that is none.

    >>> metric_of("digits")
    'accuracy'
    """
    kind, _, path = data.partition(":")
    return FixedSplit.read(at_home(path)).metric if kind == "split" else METRICS[0]


def metric_words(metric: str) -> str:
    """As it stands before a figure.

    >>> metric_words("balanced")
    'balanced accuracy'
    """
    return metric if metric == METRICS[0] else f"{metric} accuracy"


@dataclass(frozen=True)
class FixedSplit:
    """A checked split file.

    Attributes:
        where: the file, for messages.
        data: the data set's name, paths absolute.
        root: the folder of its images, None of arrays.
        data_dir: where torchvision's data lie, absolute; None for the usual place.
    """

    where: str
    data: str
    root: Path | None
    document: SplitDocument
    data_dir: Path | None = None

    @property
    def metric(self) -> str:
        return self.document.metric

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.document.class_names)

    @classmethod
    def read(cls, path: Path) -> "FixedSplit":
        """The split in a file.

        Raises:
            NasError: for what is no split, or puts an image into two parts.
        """
        text = text_of(path, MOST, "which no split is")
        return cls.check(load_json(text, str(path)), str(path), path.absolute().parent)

    @classmethod
    def check(cls, content: object, where: str, folder: Path) -> "FixedSplit":
        """The split that plain data describes; `folder` is what relative paths are against."""
        document = validate(SplitDocument, content, where)
        names = document.class_names
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise NasError(
                f"{where}: class_names has {short(twice)} twice; write the split anew with nas init"
            )
        kind, colon, path = document.data.partition(":")
        if kind == "split":
            raise NasError(f"{where}: data is {short(document.data)}, a split itself; name the data set")
        inside = folder / Path(path).expanduser() if colon else None
        data_dir = folder / at_home(document.data_dir) if document.data_dir else None
        data = f"{kind}:{inside}" if colon else kind
        found = cls(where, data, inside if kind == "folder" else None, document, data_dir)
        if kind == "folder":
            found._check_paths()
        else:
            found._check_places()
        return found

    def files(self, part: str) -> Files:
        """Paths and labels of the images of a folder."""
        assert self.root is not None
        members: Mapping[str, list[str]] = getattr(self.document, part)
        paths = [str(self.root / path) for name in self.class_names for path in members[name]]
        counts = [len(members[name]) for name in self.class_names]
        return Files(tuple(paths), np.repeat(np.arange(len(counts)), counts))

    def indices(self, part: str) -> np.ndarray:
        """Places of the images of arrays, ascending; int64."""
        return np.sort(np.array(getattr(self.document, part), np.int64))

    def check_source(self, images: int, class_names: tuple[str, ...]) -> None:
        """Raises NasError where the training set's arrays are not those that were split."""
        assert self.document.counts is not None
        if self.document.counts[0] != images or self.class_names != class_names:
            raise NasError(
                f"{self.where}: splits {self.document.counts[0]} images of {len(self.class_names)} classes, and "
                f"{self.data} has {images} of {len(class_names)}, or classes of other names; restore the data, or "
                "make a new split with nas init"
            )

    def test_of(self, images: int) -> np.ndarray:
        """Places of the test images; NasError where the test set has another number of them."""
        assert self.document.counts is not None
        if self.document.counts[1] != images:
            raise NasError(
                f"{self.where}: splits a test set of {self.document.counts[1]} images, and {self.data} has {images}; "
                "restore the data, or make a new split with nas init"
            )
        return self.indices("test")

    def _check_paths(self) -> None:
        names, seen = set(self.class_names), set()
        for part in PARTS:
            members = getattr(self.document, part)
            if not isinstance(members, dict) or set(members) != names or not all(members.values()):
                raise NasError(
                    f"{self.where}: {part} does not give each of the {len(names)} classes a list of files; "
                    "write the split anew with nas init"
                )
            for path in itertools.chain.from_iterable(members.values()):
                if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\0" in path:
                    raise NasError(
                        f"{self.where}: {part} has {short(path)}; give paths inside {self.data}, without '..'"
                    )
                same = PurePosixPath(path)  # as which a/./1.jpg and a//1.jpg are a/1.jpg
                if same in seen:
                    raise NasError(
                        f"{self.where}: {short(path)} is in {part} and in another place; keep one, so that "
                        "nothing is tested that was trained on"
                    )
                seen.add(same)

    def _check_places(self) -> None:
        document = self.document
        if document.counts is None:
            raise NasError(f"{self.where}: counts is missing; write the split anew with nas init")
        used: dict[str, np.ndarray] = {}
        for part in PARTS:
            members, most = getattr(document, part), document.counts[part == "test"]
            if not isinstance(members, list) or not 0 <= min(members) <= max(members) < min(most, IMAGES):
                raise NasError(
                    f"{self.where}: {part} is no list of places from 0 to {most - 1}; write the "
                    "split anew with nas init"
                )
            used[part] = np.array(members, np.int64)
        trained = np.concatenate([used["train"], used["val"]])
        for part, places in (("train and val", trained), ("test", used["test"])):
            ordered = np.sort(places)
            twice = ordered[:-1][ordered[:-1] == ordered[1:]]
            if len(twice):
                raise NasError(f"{self.where}: {part} have image {twice[0]} twice; keep one")


def document_of(split: SplitDocument) -> dict[str, Any]:
    """Plain data of a split, for its file."""
    return split.model_dump(mode="json", exclude_none=True)
