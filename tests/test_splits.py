"""Split files: what they hold, what becomes of data under them, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nas.data import describe, load_data
from nas.errors import NasError
from nas.evaluation import balanced_accuracy, evaluate, top_fractions
from nas.examining import FEW, examined
from nas.splits import PARTS, FixedSplit, document_of
from nas.splitting import split_of


def picture(path: Path, shade: int, size: tuple[int, int] = (12, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), shade % 256, np.uint8)
    pixels[0, 0] = shade // 256
    Image.fromarray(pixels).save(path)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """One folder of two classes, 20 cats and 10 dogs, all of them different."""
    for number in range(30):
        name = "cat" if number < 20 else "dog"
        picture(tmp_path / "pets" / name / f"{number:02}.png", number)
    return tmp_path / "pets"


def saved(tmp_path: Path, made: Any) -> str:
    path = tmp_path / "split.json"
    path.write_text(json.dumps(document_of(made.document)))
    return f"split:{path}"


def test_a_folder_is_split_by_class_and_read_so(tmp_path, pets):
    made = split_of(examined(f"folder:{pets}"))
    assert made.counts.tolist() == [[12, 6], [4, 2], [4, 2]]
    assert made.document.metric == "balanced"
    assert made.unevenness == 2
    name = saved(tmp_path, made)
    assert describe(name) == (2, 3)
    data = load_data(name, resolution=8, workers=0)
    assert (data.class_names, data.metric, data.in_chans) == (("cat", "dog"), "balanced", 3)
    assert [len(data.split(part)) for part in ("train", "val", "trainval", "test")] == [18, 6, 24, 6]
    written = json.loads((tmp_path / "split.json").read_text())
    paths = [Path(path).name for path in data.train.paths]
    assert paths == [Path(path).name for name in ("cat", "dog") for path in written["train"][name]]
    picture(pets / "cat" / "new.png", 99)  # a fixed split stays
    assert len(load_data(name, resolution=8).train) == 18


@pytest.mark.parametrize("path", ["cat/./00.png", "cat//00.png", "./cat/00.png"])
def test_another_spelling_of_a_path_is_the_same_image(path):
    parts = {part: {"cat": [f"cat/0{n}.png"], "dog": [f"dog/1{n}.png"]} for n, part in enumerate(PARTS)}
    parts["test"]["cat"] = [path]
    with pytest.raises(NasError, match="is in test and in another place"):
        FixedSplit.check({"data": "folder:pets", "class_names": ["cat", "dog"], **parts}, "x.json", Path())


def test_a_relative_data_dir_is_against_the_splits_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    content = {
        "data": "cifar10",
        "class_names": ["a", "b"],
        "counts": [4, 2],
        "train": [0],
        "val": [1],
        "test": [0],
    }
    for written, found in (
        ("kept", tmp_path / "kept"),
        ("~/kept", Path("/home/me/kept")),
        ("/kept", Path("/kept")),
    ):
        assert FixedSplit.check({**content, "data_dir": written}, "x.json", tmp_path).data_dir == found


def test_copies_contradictions_and_what_cannot_be_read_are_left_out(tmp_path, pets):
    picture(pets / "cat" / "00copy.bmp", 0)
    picture(pets / "dog" / "03wrong.png", 3)
    (pets / "dog" / "broken.jpg").write_bytes(b"\xff\xd8\xffgarbage")
    made = split_of(examined(f"folder:{pets}"))
    assert (made.unreadable, made.copies, made.contradictory, made.shared, made.kept) == (1, 1, 2, 0, 0)
    assert made.document.left_out == {
        "cat/00copy.bmp": "a copy of cat/00.png",
        "cat/03.png": "the same image as dog/03wrong.png, which is of class dog",
        "dog/03wrong.png": "the same image as cat/03.png, which is of class cat",
        "dog/broken.jpg": made.document.left_out["dog/broken.jpg"],
    }
    assert made.document.left_out["dog/broken.jpg"].startswith("not a readable image (")
    assert made.counts.sum() == 29


def test_a_given_test_split_stays_and_its_copies_leave_the_others(tmp_path):
    for number in range(24):
        part = "test" if number % 4 == 0 else "train"
        picture(tmp_path / "x" / part / ("a" if number < 12 else "b") / f"{number:02}.png", number)
    picture(tmp_path / "x/train/a/copy.png", 0)
    picture(tmp_path / "x/test/b/twice.png", 12)
    picture(tmp_path / "x/train/b/other.png", 4)  # in test it is of class a
    made = split_of(examined(f"folder:{tmp_path / 'x'}"))
    assert (made.copies, made.shared, made.contradictory, made.kept) == (1, 1, 1, 2)
    assert made.counts.tolist() == [[8, 8], [1, 1], [3, 4]]
    assert sorted(made.document.left_out) == ["train/a/copy.png", "train/b/other.png"]


def test_validation_images_that_are_given_score(tmp_path):
    for number in range(30):
        part = ("train", "val", "test")[number % 3]
        picture(tmp_path / "x" / part / ("a" if number < 15 else "b") / f"{number:02}.png", number)
    made = split_of(examined(f"folder:{tmp_path / 'x'}"), metric="balanced", seed=3)
    assert made.counts.tolist() == [[5, 5], [5, 5], [5, 5]]
    assert made.document.metric == "balanced"


def test_arrays_are_split_by_place(tmp_path):
    images = np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8)
    images[:, 0, 0] = np.arange(40)
    images[7] = images[3]
    labels = np.arange(40) % 2
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=255 - images[:6], y_test=labels[:6])
    made = split_of(examined(f"npz:{tmp_path / 'a.npz'}"))
    assert made.document.left_out == {"train image 7": "a copy of train image 3"}
    name = saved(tmp_path, made)
    data = load_data(name)
    places = json.loads((tmp_path / "split.json").read_text())
    assert torch.equal(data.train.images[..., 0], torch.from_numpy(images[places["train"]]))
    assert data.val.labels.tolist() == [int(labels[place]) for place in sorted(places["val"])]
    assert len(data.test) == 6
    assert 7 not in places["train"] + places["val"]
    np.savez(
        tmp_path / "a.npz", x_train=images[:20], y_train=labels[:20], x_test=images[:6], y_test=labels[:6]
    )
    with pytest.raises(NasError, match=r"split\.json: splits 40 images of 2 classes, and npz:.* has 20 of 2"):
        load_data(name)


def test_many_images_are_decoded_by_workers_as_by_one(tmp_path):
    for number in range(FEW + 20):
        picture(tmp_path / "many" / "ab"[number % 2] / f"{number}.png", number, (4, 4))
    seen = []
    found = examined(f"folder:{tmp_path / 'many'}", workers=2, report=lambda n, of: seen.append((n, of)))
    assert found == examined(f"folder:{tmp_path / 'many'}")
    assert seen[-1] == (FEW + 20, FEW + 20)


def test_too_few_images_of_a_class_are_told(pets):
    for path in sorted((pets / "dog").iterdir())[2:]:
        path.unlink()
    with pytest.raises(NasError, match="class 'dog' has 2 images, too few to split into train, val, test"):
        split_of(examined(f"folder:{pets}"))


GOOD: dict[str, Any] = {
    "data": "folder:pets", "class_names": ["a", "b"], "train": {"a": ["a/1"], "b": ["b/1"]},
    "val": {"a": ["a/2"], "b": ["b/2"]}, "test": {"a": ["a/3"], "b": ["b/3"]},
}  # fmt: skip
ARRAYS: dict[str, Any] = {
    "data": "npz:a.npz", "class_names": ["a", "b"], "counts": [4, 2], "train": [0, 1], "val": [2, 3], "test": [0, 1],
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            GOOD | {"data": "split:other.json"},
            "data is 'split:other.json', a split itself; name the data set",
        ),
        (GOOD | {"metric": "f1"}, "metric is 'f1'; give 'accuracy' or 'balanced'"),
        (GOOD | {"val": {"a": ["a/2"]}}, "val does not give each of the 2 classes a list of files"),
        (GOOD | {"val": {"a": ["a/2"], "b": []}}, "val does not give each of the 2 classes a list of files"),
        (GOOD | {"val": [1, 2]}, "val does not give each of the 2 classes a list of files"),
        (GOOD | {"val": {"a": ["../a/2"], "b": ["b/2"]}}, "val has '../a/2'; give paths inside folder:"),
        (
            GOOD | {"val": {"a": ["/etc/passwd"], "b": ["b/2"]}},
            "val has '/etc/passwd'; give paths inside folder:",
        ),
        (GOOD | {"test": {"a": ["a/1"], "b": ["b/3"]}}, "'a/1' is in test and in another place; keep one"),
        (GOOD | {"class_names": ["a"]}, "class_names"),
        (GOOD | {"trian": []}, "unknown key 'trian' (did you mean 'train'?)"),
        (ARRAYS | {"train": [0, 4]}, "train is no list of places from 0 to 3"),
        (ARRAYS | {"train": [0, -1]}, "train is no list of places from 0 to 3"),
        (ARRAYS | {"val": [1, 2]}, "train and val have image 1 twice; keep one"),
        (ARRAYS | {"test": [1, 1]}, "test have image 1 twice; keep one"),
        (ARRAYS | {"counts": None}, "counts is missing"),
        ([], "the document is []; give a mapping"),
    ],
)
def test_what_is_no_split_is_one_sentence(content, sentence):
    with pytest.raises(NasError) as caught:
        FixedSplit.check(content, "x.json", Path("/data"))
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("x.json: ")


def test_paths_are_against_the_files_folder(tmp_path):
    fixed = FixedSplit.check(GOOD, "x.json", tmp_path)
    assert fixed.data == f"folder:{tmp_path / 'pets'}"
    assert fixed.files("val").paths == (f"{tmp_path}/pets/a/2", f"{tmp_path}/pets/b/2")
    assert fixed.files("val").labels.tolist() == [0, 1]


class Always(nn.Module):
    """Takes every image for class 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]]).expand(len(x), -1) + self.weight


def test_balanced_accuracy_weighs_every_class_the_same(tmp_path, pets):
    data = load_data(saved(tmp_path, split_of(examined(f"folder:{pets}"))), resolution=8, workers=0)
    net = Always()
    assert top_fractions(net, data, "val", (1,))[1] == pytest.approx(4 / 6)
    assert balanced_accuracy(net, data, "val") == 0.5
    assert evaluate(net, data, "val", batch_size=4) == 0.5
    data.metric = "accuracy"
    assert evaluate(net, data, "val") == pytest.approx(4 / 6)


def test_a_part_of_the_training_images_is_of_every_class():
    data = load_data("digits")
    part = data.with_part(0.25)
    assert len(part.train) == pytest.approx(len(data.train) / 4, abs=6)
    assert set(part.train.labels.tolist()) == set(range(10))
    assert len(part.val) == len(data.val)
    assert part.train.statistics == data.train.statistics
    assert data.with_part(1.0) is data
