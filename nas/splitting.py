"""A split that may be believed: no image in two parts, no copy, none that cannot be read.

>>> from nas.examining import examined
>>> made = split_of(examined("digits"))
>>> made.counts.sum(1).tolist(), made.document.metric, made.document.left_out
([1079, 359, 359], 'accuracy', {})
"""

from collections import defaultdict
from dataclasses import dataclass
from os.path import relpath
from typing import Any

import numpy as np

from nas.examining import Examination, Image
from nas.sources import check_counts, hold_out
from nas.splits import PARTS, SplitDocument

UNEVEN = 2.0
"""Images of the largest class to those of the smallest, from which the metric is balanced by default."""
FIRST = {"test": 0, "val": 1, "train": 2, "": 3}
"""Of copies the one is kept that comes first here."""


@dataclass(frozen=True)
class Made:
    """A split and what became of the images.

    Attributes:
        counts: images of each class, int64 (parts, classes), in the order of `PARTS`.
        unreadable, copies, contradictory: images left out because they cannot be read, are copies of another,
            or because a copy of them is in another class.
        shared: of the copies, those of an image in another part: a test on what was trained.
        kept: copies and contradictions that stay, because the data set's own test split is kept as it is.
    """

    document: SplitDocument
    counts: np.ndarray
    unreadable: int
    copies: int
    contradictory: int
    shared: int
    kept: int

    @property
    def unevenness(self) -> float:
        """Training images of the largest class to those of the smallest."""
        return float(self.counts[0].max() / self.counts[0].min())


@dataclass
class _Tally:
    reasons: dict[int, str]
    unreadable: int = 0
    copies: int = 0
    contradictory: int = 0
    shared: int = 0
    kept: int = 0


def split_of(
    found: Examination, metric: str | None = None, seed: int = 0, data_dir: str | None = None
) -> Made:
    """The split of a data set: its own parts where it has them, others drawn by class.

    Of one folder 60 % of each class train, 20 % score and 20 % test; where there is a test split, a part of the
    rest scores (`Examination.held_out`). Images that cannot be read are left out; of copies one is kept, in the
    test split before the others; where copies are in different classes all are left out. Only the data set's own
    test split stays as it is, but for unreadable images, so that accuracies on it compare with others'.

    Args:
        metric: 'accuracy' or 'balanced'; by default balanced where training classes are uneven by `UNEVEN` or more.

    Raises:
        NasError: where a class has too few images left.
    """
    tally = _left_out(found)
    left = [number for number in range(len(found.images)) if number not in tally.reasons]
    members = _parts(found, left, seed)
    labels = np.array([image.label for image in found.images], np.int64)
    counts = np.stack(
        [np.bincount(labels[members[part]], minlength=len(found.class_names)) for part in PARTS]
    )
    if metric is None:
        metric = "balanced" if counts[0].max() >= UNEVEN * counts[0].min() else "accuracy"
    content: dict[str, Any] = {
        "data": found.data, "data_dir": data_dir, "metric": metric, "class_names": list(found.class_names),
        "counts": found.counts and list(found.counts),
        **{part: _written(found, members[part], labels) for part in PARTS},
        "left_out": {_place(found, found.images[n]): why for n, why in sorted(tally.reasons.items())},
    }  # fmt: skip
    return Made(
        SplitDocument(**content),
        counts,
        tally.unreadable,
        tally.copies,
        tally.contradictory,
        tally.shared,
        tally.kept,
    )


def _left_out(found: Examination) -> _Tally:
    """Why images are in no part, by their number."""
    tally, groups = _Tally({}), defaultdict(list)
    for number, image in enumerate(found.images):
        if image.error is None:
            groups[image.digest].append(number)
        else:
            tally.unreadable += 1
            tally.reasons[number] = f"not a readable image ({image.error})"
    for group in (group for group in groups.values() if len(group) > 1):
        images = [found.images[number] for number in group]
        first = min(group, key=lambda number: (FIRST[found.images[number].part], number))
        for number, image in zip(group, images, strict=True):
            other = next((one for one in images if one.label != image.label), None)
            if other is None and number == first:
                continue
            if image.part == "test":
                tally.kept += 1
            elif other is not None:
                tally.contradictory += 1
                name = found.class_names[other.label]
                tally.reasons[number] = f"the same image as {_place(found, other)}, which is of class {name}"
            else:
                tally.copies += 1
                tally.shared += image.part != found.images[first].part
                tally.reasons[number] = f"a copy of {_place(found, found.images[first])}"
    return tally


def _parts(found: Examination, left: list[int], seed: int) -> dict[str, np.ndarray]:
    """part -> numbers of its images, ascending."""
    of = {part: np.array([n for n in left if found.images[n].part == part], np.int64) for part in FIRST}

    def drawn(numbers: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        kept, held = hold_out(np.array([found.images[n].label for n in numbers]), fraction, seed)
        return numbers[kept], numbers[held]

    pool = of["train"] if found.given else of[""]
    needed = tuple(part for part in PARTS if part == "train" or part not in found.given)
    checked = {"train": needed, **{part: (part,) for part in found.given[1:] if found.counts is None}}
    for part, splits in checked.items():
        numbers = pool if part == "train" else of[part]
        labels = np.array([found.images[n].label for n in numbers], np.int64)
        check_counts(labels, found.class_names, splits, found.data)
    if not found.given:
        pool, of["test"] = drawn(pool, 0.2, 0)
    if "val" in found.given:
        of["train"] = pool
    else:
        of["train"], of["val"] = drawn(pool, found.held_out, seed)
    return {part: of[part] for part in PARTS}


def _written(found: Examination, numbers: np.ndarray, labels: np.ndarray) -> dict[str, list[str]] | list[int]:
    """The images of a part as a split file has them."""
    if found.counts is not None:
        return [int(found.images[n].place) for n in numbers]
    by_class: dict[str, list[str]] = {name: [] for name in found.class_names}
    for number in numbers:
        by_class[found.class_names[labels[number]]].append(_place(found, found.images[number]))
    return by_class


def _place(found: Examination, image: Image) -> str:
    """A path inside the folder, or `test image 12`."""
    if found.counts is None:
        return relpath(str(image.place), found.data.partition(":")[2])
    return f"{image.part} image {image.place}"
