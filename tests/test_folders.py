"""Folders of images: layouts, splits, decoding, and every mistake in one sentence."""

import multiprocessing
import os
import struct
import sys
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image

from nas.data import describe, load_data
from nas.errors import NasError
from nas.images import decoded

# Python 3.12 warns of forking where there are threads; torch's loaders fork by default on Linux.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

READ = "files read are those ending in .jpg, .jpeg, .png, .ppm, .bmp, .pgm, .tif, .tiff, .webp, .gif"


def image(path, colour=None, size=(40, 30)):
    """An image of noise, or of one colour, where `path` says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(str(path))).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(noise if colour is None else np.full_like(noise, colour)).save(path)


def fill(folder, count, classes=("cats", "dogs")):
    for name in classes:
        for number in range(count):
            image(folder / name / f"{number}.png")


def names(split):
    return {path.rsplit("/", 3)[1] + "/" + "/".join(path.rsplit("/", 2)[1:]) for path in split.paths}


def test_one_folder_is_shared_out_60_20_20(tmp_path):
    fill(tmp_path, 10)
    assert describe(f"folder:{tmp_path}") == (2, 3)
    data = load_data(f"folder:{tmp_path}", resolution=16)
    assert (data.classes, data.in_chans, data.class_names) == (2, 3, ("cats", "dogs"))
    for split, count in ((data.train, 6), (data.val, 2), (data.test, 2)):
        assert torch.bincount(split.labels).tolist() == [count, count]
        assert all(
            ("cats", "dogs")[y] in path for path, y in zip(split.paths, split.labels.tolist(), strict=True)
        )
    paths = [*data.train.paths, *data.val.paths, *data.test.paths]
    assert sorted(paths) == sorted(map(str, tmp_path.rglob("*.png")))
    assert set(data.trainval.paths) == {*data.train.paths, *data.val.paths}
    other = load_data(f"folder:{tmp_path}", resolution=16, seed=1)
    assert other.test.paths == data.test.paths
    assert other.val.paths != data.val.paths


def test_train_alone_is_shared_out_too(tmp_path):
    fill(tmp_path / "train", 10)
    data = load_data(f"folder:{tmp_path}")
    assert (len(data.train), len(data.val), len(data.test)) == (12, 4, 4)


def test_train_and_val_as_in_imagenet(tmp_path):
    fill(tmp_path / "train", 10)
    fill(tmp_path / "val", 3)
    data = load_data(f"folder:{tmp_path}")
    assert (len(data.train), len(data.val), len(data.test)) == (18, 2, 6)
    assert all("/train/" in path for path in data.trainval.paths)
    assert all("/val/" in path for path in data.test.paths)


def test_train_and_test(tmp_path):
    fill(tmp_path / "train", 10)
    fill(tmp_path / "test", 3)
    data = load_data(f"folder:{tmp_path}")
    assert (len(data.train), len(data.val), len(data.test)) == (18, 2, 6)


def test_train_val_and_test(tmp_path):
    for name, count in (("train", 4), ("val", 2), ("test", 3)):
        fill(tmp_path / name, count)
    data = load_data(f"folder:{tmp_path}")
    for split, name, count in ((data.train, "train", 8), (data.val, "val", 4), (data.test, "test", 6)):
        assert len(split) == count
        assert all(f"/{name}/" in path for path in split.paths)


def test_a_class_may_be_called_train(tmp_path):
    fill(tmp_path, 5, classes=("car", "train"))
    assert load_data(f"folder:{tmp_path}").class_names == ("car", "train")


def test_extensions_hidden_folders_and_subfolders(tmp_path):
    fill(tmp_path, 4)
    image(tmp_path / "cats" / "deep" / "er" / "9.JPEG")
    (tmp_path / "cats" / "notes.txt").write_text("no image")
    (tmp_path / "cats" / "._1.png").write_text("macOS leaves such")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "README.md").write_text("no class")
    data = load_data(f"folder:{tmp_path}")
    paths = {*data.trainval.paths, *data.test.paths}
    assert len(paths) == 9
    assert any(path.endswith("deep/er/9.JPEG") for path in paths)


# Decoding


def test_evaluation_takes_the_normalized_centre(tmp_path):
    """224/256 of the shorter side, in ImageNet's mean and standard deviation."""
    for split in ("train", "test"):
        for name in ("a", "b"):
            for number in range(2):
                frame = np.zeros((128, 256, 3), np.uint8)
                frame[9:119, 73:183] = (51, 102, 204)  # within the 112 x 112 in the middle
                path = tmp_path / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(frame).save(path)
    data = load_data(f"folder:{tmp_path}", resolution=56, workers=0)
    x, y = next(iter(data.batches("test", 3, train=False)))
    assert (x.shape, x.dtype, y.tolist()) == ((3, 3, 56, 56), torch.float32, [0, 0, 1])
    # (0.2 - 0.485) / 0.229, (0.4 - 0.456) / 0.224, (0.8 - 0.406) / 0.225
    assert x[0, :, 28, 28].tolist() == pytest.approx([-1.244541, -0.25, 1.751111], abs=1e-5)
    middle = x[0, 2, 28]  # one row, blue: the border's half pixels, and colour between
    assert middle[2:-2].tolist() == pytest.approx([1.751111] * 52, abs=0.02)
    assert middle[0] < 1.7


@pytest.fixture
def folder(tmp_path):
    for name in ("train", "test"):
        fill(tmp_path / name, 12)
    return f"folder:{tmp_path}"


def epoch(data, **given):
    settings = {"train": True, "seed": 0, "epoch": 0, **given}
    x, y = zip(*data.batches("train", 8, **settings), strict=True)
    return torch.cat(x), torch.cat(y)


def test_workers_change_nothing(folder):
    alone, two = (load_data(folder, resolution=16, workers=workers) for workers in (0, 2))
    torch.manual_seed(7)  # nor does the global generator, nor is it touched
    before = torch.get_rng_state()
    x, y = epoch(alone)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(8)
    assert torch.equal(x, epoch(two)[0])
    assert torch.equal(y, epoch(two)[1])
    assert not torch.equal(x, epoch(alone, epoch=1)[0])
    assert not torch.equal(x, epoch(alone, seed=1)[0])


def test_workers_decode_before_a_batch_is_asked_for(folder, tmp_path, monkeypatch):
    def noted(path):
        (tmp_path / "noted").touch()
        return decoded(path)

    monkeypatch.setattr("nas.decoding.decoded", noted)
    data = load_data(folder, resolution=16, workers=1)
    batches = data.batches("train", 4, train=True)
    since = time.monotonic()
    while not (tmp_path / "noted").exists():
        assert time.monotonic() - since < 60
        time.sleep(0.01)
    assert len(next(batches)[1]) == 4


def test_augmentation_can_be_left_out(folder):
    data = load_data(folder, resolution=16, workers=0)
    plain, augmented = epoch(data, augment=False)[0], epoch(data)[0]
    whole = epoch(data, train=False)[0]
    assert {tuple(x.flatten().tolist()) for x in plain} == {tuple(x.flatten().tolist()) for x in whole}
    assert not torch.equal(plain, augmented)
    assert plain.shape == augmented.shape == (22, 3, 16, 16)


def test_channels_last(folder):
    data = load_data(folder, resolution=16, workers=0)
    x, _ = next(iter(data.batches("val", 2, train=False, channels_last=True)))
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_any_mode_becomes_rgb(tmp_path):
    for mode in ("L", "RGBA", "P", "1"):
        for label in "ab":
            (tmp_path / label).mkdir(exist_ok=True)
            Image.new(mode, (9, 9)).save(tmp_path / label / f"{mode}.png")
    data = load_data(f"folder:{tmp_path}", resolution=8, workers=0)
    assert next(iter(data.batches("trainval", 8, train=False)))[0].shape[1:] == (3, 8, 8)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named(folder, tmp_path, workers):
    data = load_data(folder, resolution=16, workers=workers)
    broken = data.test.paths[3]
    with open(broken, "wb") as file:
        file.write(b"no image")
    assert epoch(data)[0].shape == (22, 3, 16, 16)  # a search does not see the test split
    with pytest.raises(NasError) as caught:
        list(data.batches("test", 8, train=False))
    assert str(caught.value).startswith(f"{broken}: not a readable image (cannot identify image file ")
    assert str(caught.value).endswith("); mend or remove the file")
    assert "\n" not in str(caught.value)


def test_how_images_become_squares_is_said(folder):
    assert load_data(folder, resolution=16).test.resizing == (0.875, "center", "bilinear")


def test_an_image_that_is_gone_is_told_as_that(folder):
    data = load_data(folder, resolution=16, workers=0)
    gone = Path(data.val.paths[0])
    gone.unlink()
    with pytest.raises(
        NasError, match=rf"^{gone}: there was an image .*, and there is none now; restore it$"
    ):
        list(data.batches("val", 8, train=False))


def test_a_truncated_image_is_named(folder):
    data = load_data(folder, resolution=16, workers=0)
    broken = data.val.paths[0]
    with open(broken, "r+b") as file:
        file.truncate(300)
    with pytest.raises(NasError, match=rf"^{broken}: not a readable image \(.*\); mend or remove the file$"):
        list(data.batches("val", 8, train=False))


# Mistakes


@pytest.mark.parametrize("function", [describe, load_data])
def test_missing_folder(tmp_path, function):
    with pytest.raises(NasError) as caught:
        function(f"folder:{tmp_path}/none")
    assert str(caught.value) == (
        f"folder:{tmp_path}/none: there is no such folder; give the path of one with a folder for each class"
    )


@pytest.mark.parametrize("function", [describe, load_data])
def test_folder_without_images(tmp_path, function):
    image(tmp_path / "loose.png")
    with pytest.raises(NasError) as caught:
        function(f"folder:{tmp_path}")
    assert str(caught.value) == (
        f"folder:{tmp_path}: no class folders in {tmp_path}; give each class a folder of images; {READ}"
    )


def test_empty_class_folder(tmp_path):
    fill(tmp_path, 3)
    (tmp_path / "eels").mkdir()
    (tmp_path / "eels" / "1.svg").touch()
    with pytest.raises(NasError) as caught:
        load_data(f"folder:{tmp_path}")
    assert str(caught.value) == f"folder:{tmp_path}: no image in {tmp_path}/eels; {READ}"


@pytest.mark.parametrize("function", [describe, load_data])
def test_one_class(tmp_path, function):
    fill(tmp_path, 3, classes=["cats"])
    with pytest.raises(NasError) as caught:
        function(f"folder:{tmp_path}")
    assert str(caught.value) == (
        f"folder:{tmp_path}: {tmp_path} has the one class folder 'cats'; a classifier needs 2"
    )


@pytest.mark.parametrize("function", [describe, load_data])
@pytest.mark.parametrize(
    ("train", "val", "sentence"),
    [("ab", "abc", "class 'c' is in val/ only"), ("abc", "ab", "class 'c' is in train/ only")],
)
def test_different_classes(tmp_path, function, train, val, sentence):
    fill(tmp_path / "train", 3, classes=train)
    fill(tmp_path / "val", 3, classes=val)
    with pytest.raises(NasError) as caught:
        function(f"folder:{tmp_path}")
    assert str(caught.value) == (
        f"folder:{tmp_path}: {sentence}; give train/ and val/ the same class folders"
    )


@pytest.mark.parametrize(
    ("place", "count", "sentence"),
    [
        (".", 2, "has 2 images, too few to split into train, val, test; give every class at least 3"),
        ("train", 1, "has 1 image, too few to split into train, val; give every class at least 2"),
    ],
)
def test_too_few_images(tmp_path, place, count, sentence):
    fill(tmp_path / place, count)
    if place == "train":
        fill(tmp_path / "test", 1)
    with pytest.raises(NasError) as caught:
        load_data(f"folder:{tmp_path}")
    assert str(caught.value) == f"folder:{tmp_path}: class 'cats' {sentence}"


# Files made to harm

HARM = "not a readable image"


def broken(tmp_path, write):
    """The sentence about one image that `write` wrote over, from batches decoded in this process."""
    fill(tmp_path, 10)
    data = load_data(f"folder:{tmp_path}", resolution=16, workers=0)
    path = data.train.paths[0]
    write(path)
    with pytest.raises(NasError) as caught:
        list(data.batches("train", 100, train=False))
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_a_postscript_file_called_png_starts_no_ghostscript(tmp_path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("Ghostscript was started"))
    text = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    said = broken(tmp_path, lambda path: Path(path).write_bytes(text))
    assert HARM in said
    assert "cannot identify image file" in said


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((9500, 9500), "(9500 x 9500 are over 89,478,485 pixels); mend or remove the file"),
        ((30_000, 30_000), "exceeds limit of 178956970 pixels"),
        ((1, 50_000), "(1 x 50000 pixels, and a side is at most 128 times the other); mend or remove"),
    ],
)
def test_an_image_that_would_fill_the_memory(tmp_path, size, reason):
    """A PNG's size stands in its first bytes; a strip would be resized to 224 x 11,200,000."""
    header = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    png += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    said = broken(tmp_path, lambda path: Path(path).write_bytes(png))
    assert HARM in said
    assert reason in said


def test_a_strip_of_128_to_1_is_read(tmp_path):
    fill(tmp_path, 10)
    image(tmp_path / "cats" / "0.png", size=(1, 128))
    data = load_data(f"folder:{tmp_path}", resolution=16, workers=0)
    for part in ("train", "val", "test"):
        list(data.batches(part, 100, train=False))


def test_an_image_that_became_a_pipe_is_not_waited_for(tmp_path):
    def pipe(path):
        Path(path).unlink()
        os.mkfifo(path)

    assert "a pipe, a socket or a device, and no regular file" in broken(tmp_path, pipe)


def test_links_in_a_circle_pipes_and_odd_names(tmp_path):
    fill(tmp_path, 10)
    (tmp_path / "cats" / "up").symlink_to("..")
    (tmp_path / "cats" / "self.png").symlink_to("self.png")
    (tmp_path / "round").symlink_to("round")
    os.mkfifo(tmp_path / "cats" / "pipe.png")
    assert describe(f"folder:{tmp_path}") == (2, 3)
    data = load_data(f"folder:{tmp_path}", resolution=16)
    assert sum(len(data.split(part)) for part in ("train", "val", "test")) == 20


def test_an_image_of_sixteen_bits_keeps_its_greys(tmp_path):
    """Pillow's own conversion cuts off at 255, and all but the darkest 256th of the scale is white."""
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    found = np.asarray(decoded(tmp_path / "ramp.png"))
    assert found.shape == (8, 8, 3)
    assert (found[..., 0] == ramp >> 8).all()


def test_workers_begin_fast_in_a_process_that_was_spawned(tmp_path):
    """Where the default were to spawn, every epoch would wait seconds for workers that import torch."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(6):
            Image.new("RGB", (16, 16), (40 * number, 10, 10)).save(tmp_path / name / f"{number}.png")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(methods, str(tmp_path)).result() == ["fork" if sys.platform == "linux" else None]


def methods(folder):
    """How the workers of a folder's batches begin."""
    from torch.utils.data import DataLoader

    from nas import decoding
    from nas.data import load_data

    found = []

    class Seen(DataLoader):
        def __init__(self, *args, **options):
            found.append(options["multiprocessing_context"])
            super().__init__(*args, **options)

    decoding.DataLoader = Seen
    list(load_data(f"folder:{folder}", resolution=16, workers=2).batches("train", 4, train=True))
    return found
