"""Splits, batches and augmentation of data that fits into memory; names and descriptions."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from nas import sources
from nas.batches import Normalization, batch_count, batch_indices, draw_shifts, resized
from nas.data import describe, load_data
from nas.errors import NasError


def epoch(data, split="train", batch_size=64, **given):
    """All batches of an epoch in one tensor each."""
    settings = {"train": True, "seed": 0, "epoch": 0, "augment": False, **given}
    x, y = zip(*data.batches(split, batch_size, **settings), strict=True)
    return torch.cat(x), torch.cat(y)


@pytest.fixture
def numbered(tmp_path):
    """2,000 grey images of 4 x 4 pixels, each with its own pixels, in classes of 1,500 and 500."""
    rng = np.random.default_rng(0)
    images = rng.permutation(60000)[:2100].astype("<u2").view(np.uint8).reshape(2100, 1, 2)
    images = np.tile(images, (1, 4, 2))
    labels = np.array([0, 1, 0, 0] * 525)
    path = tmp_path / "numbered.npz"
    np.savez(path, x_train=images[:2000], y_train=labels[:2000], x_test=images[2000:], y_test=labels[2000:])
    return f"npz:{path}"


# Splits


def test_digits_are_scikit_learns_shared_out_60_20_20():
    theirs = load_digits()
    data = load_data("digits")
    assert (data.classes, data.in_chans, data.class_names) == (10, 1, tuple("0123456789"))
    parts = [data.train, data.val, data.test]
    pixels = torch.cat([split.images for split in parts]).reshape(1797, 64).numpy() / 240
    labels = torch.cat([split.labels for split in parts]).numpy()
    # Every digit once: sorted alike, both lists are equal, so that nothing is in two splits.
    ours = sorted(zip(map(tuple, pixels * 16), labels, strict=True))
    assert ours == sorted(zip(map(tuple, theirs.data), theirs.target, strict=True))
    whole = np.bincount(theirs.target)
    for split, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        assert np.abs(np.bincount(split.labels) - share * whole).max() <= 1


def fingerprint(split) -> str:
    return hashlib.sha256(split.images.numpy().tobytes() + split.labels.numpy().tobytes()).hexdigest()[:16]


def test_digits_splits_are_fixed_for_good():
    """Recorded accuracies mean these very splits: a change here invalidates them all."""
    first, second = load_data("digits"), load_data("digits")
    found = [fingerprint(getattr(first, name)) for name in ("train", "val", "test")]
    assert found == [fingerprint(getattr(second, name)) for name in ("train", "val", "test")]
    assert found == ["8c8eebfe72881565", "bd4370255c2f8818", "e98651f0c8b18bb6"]


def test_seed_moves_val_and_never_test():
    first, second = load_data("digits", seed=0), load_data("digits", seed=1)
    assert fingerprint(first.test) == fingerprint(second.test)
    assert fingerprint(first.val) != fingerprint(second.val)


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=60),
    st.floats(0.05, 0.9),
    st.integers(0, 2**32 - 1),
)
def test_hold_out_is_disjoint_stratified_and_repeatable(labels, fraction, seed):
    labels = np.array(labels)
    kept, held = sources.hold_out(labels, fraction, seed)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    for label in set(labels.tolist()):
        count, out = (labels == label).sum(), (labels[held] == label).sum()
        assert out == min(max(1, round(fraction * count)), count - 1)
    again = sources.hold_out(labels, fraction, seed)
    assert (kept.tolist(), held.tolist()) == (again[0].tolist(), again[1].tolist())


def test_val_is_a_tenth_of_each_class_where_there_is_a_test_set(numbered):
    data = load_data(numbered, resolution=4)
    assert np.bincount(data.val.labels).tolist() == [150, 50]
    assert np.bincount(data.train.labels).tolist() == [1350, 450]
    assert len(data.test) == 100
    train, val = (
        {tuple(x) for x in split.images.reshape(len(split), -1).tolist()} for split in (data.train, data.val)
    )
    assert (len(train), len(val), len(train & val)) == (1800, 200, 0)


def test_trainval_is_train_and_val(numbered):
    data = load_data(numbered, resolution=4)
    assert torch.equal(data.trainval.images, torch.cat([data.train.images, data.val.images]))
    assert torch.equal(data.trainval.labels, torch.cat([data.train.labels, data.val.labels]))
    assert data.trainval.normalization == data.train.normalization


def test_unknown_split():
    with pytest.raises(
        NasError, match=r"^split is 'vall' \(did you mean 'val'.*; allowed: train, val, trainval, test$"
    ):
        load_data("digits").split("vall")


# Batches


def test_images_in_memory_are_resized_whole():
    assert load_data("digits").train.resizing == (1.0, "squash", "bilinear")


def test_normalized_with_the_training_splits_statistics():
    data = load_data("digits")
    x, _ = epoch(data)
    assert x.mean().item() == pytest.approx(0, abs=1e-5)
    assert x.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    pixels = data.train.images.numpy() / 240  # in [0, 1]
    assert (pixels.min(), pixels.max()) == (0, 1)
    x, _ = epoch(data, "val", train=False)
    expected = (data.val.images.numpy()[..., 0] / 240 - pixels.mean()) / pixels.std()
    np.testing.assert_allclose(x[:, 0], expected, atol=1e-5)


def test_normalization_by_hand():
    images = torch.tensor([[[[0, 7]], [[2, 7]]]], dtype=torch.uint8)  # 1 image, 2 x 1 pixels, 2 channels
    normalization = Normalization.of(images, white=2)
    assert normalization == (2, (0.5, 3.5), (0.5, 1.0))  # a channel that never changes has std 1
    assert normalization(images).flatten().tolist() == [-1.0, 0.0, 1.0, 0.0]


def test_an_epoch_has_every_image_once_with_its_label(numbered):
    data = load_data(numbered, resolution=4)
    pixels, labels = epoch(data, train=False)[0].flatten(1).tolist(), data.train.labels.tolist()
    order = {tuple(x): (i, y) for i, (x, y) in enumerate(zip(pixels, labels, strict=True))}
    x, y = epoch(data)
    seen, labels = zip(*(order[tuple(row)] for row in x.flatten(1).tolist()), strict=True)
    assert sorted(seen) == list(range(1800))
    assert seen != tuple(range(1800))
    assert list(labels) == y.tolist()


def test_order_and_augmentation_follow_seed_and_epoch():
    data = load_data("digits")
    same, other_epoch, other_seed = (
        epoch(data, seed=seed, epoch=number, augment=True)[0] for seed, number in ((3, 1), (3, 2), (4, 1))
    )
    torch.manual_seed(99)  # the global generator has no say
    assert torch.equal(same, epoch(data, seed=3, epoch=1, augment=True)[0])
    assert not torch.equal(same, other_epoch)
    assert not torch.equal(same, other_seed)


def test_evaluation_is_in_order_and_not_augmented(numbered):
    data = load_data(numbered, resolution=4)
    x, y = epoch(data, "test", batch_size=33, train=False, augment=True)
    assert torch.equal(y, data.test.labels)
    assert torch.equal(x[:, 0], data.test.normalization(data.test.images)[..., 0])


def test_channels_last_changes_the_layout_only(tmp_path):
    path = tmp_path / "x.npz"
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    np.savez(path, x_train=images, y_train=[0, 1] * 20, x_test=images, y_test=[0, 1] * 20)
    data = load_data(f"npz:{path}")
    (plain, _), (last, _) = (
        next(iter(data.batches("train", 8, train=True, seed=0, epoch=0, channels_last=flag)))
        for flag in (False, True)
    )
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, last)


@pytest.mark.parametrize(
    ("images", "batch_size", "sizes"),
    [(8, 4, [4, 4]), (9, 4, [3, 3, 3]), (10, 4, [4, 3, 3]), (3, 2, [3]), (5, 2, [3, 2]), (2, 64, [2])],
)
def test_training_batches_are_even(images, batch_size, sizes):
    batches = batch_indices(images, batch_size, torch.Generator())
    assert [len(batch) for batch in batches] == sizes
    assert batch_count(images, batch_size) == len(sizes)


@given(st.integers(2, 400), st.integers(2, 70))
def test_no_training_batch_has_one_image(images, batch_size):
    sizes = [len(batch) for batch in batch_indices(images, batch_size, torch.Generator())]
    assert sum(sizes) == images
    assert min(sizes) >= 2
    assert max(sizes) <= max(batch_size, 3)


# Augmentation and resizing


@pytest.mark.parametrize("flip", [False, True])
def test_shift_and_flip_gives_shifted_and_mirrored_images_only(flip):
    image = torch.arange(1, 25, dtype=torch.uint8).reshape(3, 4, 2)  # no two pixels alike, none black
    shape, results = image.shape, set()
    shifts = draw_shifts(500, 3, 4, 1, flip, torch.Generator().manual_seed(0))
    out = shifts(image.expand(500, *shape))
    assert out.shape == (500, *shape)
    assert out.dtype == torch.uint8
    results = {tuple(x.flatten().tolist()) for x in out}
    expected = set()
    for source in (image, image.flip(1)) if flip else (image,):
        padded = np.pad(source.numpy(), ((1, 1), (1, 1), (0, 0)))
        expected |= {tuple(padded[i : i + 3, j : j + 4].ravel().tolist()) for i in range(3) for j in range(3)}
    assert results == expected  # 9 places, or 18


@pytest.mark.parametrize(("resolution", "shift"), [(8, 1), (32, 4), (4, 1)])
def test_shift_is_an_eighth_of_the_size(resolution, shift):
    data = load_data("digits", resolution=resolution)
    data.train.images.fill_(240)  # white: what is black was shifted in
    black = data.train.normalization(torch.zeros(1, 1, 1, 1, dtype=torch.uint8))
    x, _ = epoch(data, augment=True)
    rows = (x == black).all(3).sum((1, 2))
    assert (rows.min().item(), rows.max().item()) == (0, shift)


def test_digits_are_not_mirrored_and_colours_are(tmp_path):
    path = tmp_path / "x.npz"
    images, labels = np.zeros((200, 8, 8, 3), np.uint8), [0, 1] * 100
    images[:, :, :3] = 255  # wherever it is shifted, column 6 is black, but white when mirrored
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    x, _ = epoch(load_data(f"npz:{path}"), augment=True)
    assert (x[:, 0, 4, 6] > 0).float().mean().item() == pytest.approx(0.5, abs=0.15)
    grey = images[..., 0]
    np.savez(path, x_train=grey, y_train=labels, x_test=grey, y_test=labels)
    x, _ = epoch(load_data(f"npz:{path}"), augment=True)
    assert not (x[:, 0, 4, 6] > 0).any()


@pytest.mark.parametrize(("size", "resolution"), [((32, 32), 16), ((8, 8), 20), ((20, 30), 12)])
def test_resizing_agrees_with_pillow(size, resolution):
    images = np.random.default_rng(0).integers(0, 256, (3, *size, 3), dtype=np.uint8)
    ours = resized(images, resolution)
    assert ours.shape == (3, resolution, resolution, 3)
    for image, result in zip(images, ours.numpy(), strict=True):
        theirs = Image.fromarray(image).resize((resolution, resolution), Image.Resampling.BILINEAR)
        assert np.abs(result.astype(int) - np.asarray(theirs).astype(int)).max() <= 1


# Names


def test_describe_loads_no_torch():
    code = "import sys, nas.data; print(nas.data.describe('digits'), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(10, 1) False\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("digits", (10, 1)), ("cifar10", (10, 3)), ("cifar100", (100, 3)), ("fashion-mnist", (10, 1))],
)
def test_describe_knows_the_named_data_sets(name, expected, tmp_path):
    assert describe(name, tmp_path) == expected
    assert not list(tmp_path.iterdir())


def test_home_is_found_after_the_colon(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("~/photos/a", "~/photos/b", "~/photos/c"):
        Path(name).expanduser().mkdir(parents=True)
    assert describe("folder:~/photos") == (3, 3)


KNOWN = "known: digits, cifar10, cifar100, fashion-mnist, folder:PATH, npz:PATH, split:FILE"


@pytest.mark.parametrize("function", [describe, load_data])
def test_unknown_names(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "x.npz").touch()
    for name, hint in [
        ("digit", " (did you mean 'digits'?)"),
        ("cifar", " (did you mean 'cifar10' or 'cifar100'?)"),
        ("zzz", ""),
        ("photos", " (did you mean 'folder:photos'?)"),
        ("x.npz", " (did you mean 'npz:x.npz'?)"),
        ("digits:8", " (did you mean 'digits'?)"),
    ]:
        with pytest.raises(NasError) as caught:
            function(name)
        assert str(caught.value) == f"data is {name!r}, which is no data set{hint}; {KNOWN}"


@pytest.mark.parametrize(("height", "width", "pixels"), [(9, 9, 9), (8, 6, None)])
def test_the_resolution_is_the_images_own_unless_given(tmp_path, height, width, pixels):
    images, labels = np.zeros((20, height, width), np.uint8), np.arange(20) % 2
    np.savez(tmp_path / "x.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    if pixels:
        data = load_data(f"npz:{tmp_path}/x.npz")
        assert data.resolution == next(data.batches("val", 1, train=False))[0].shape[2] == pixels
    else:
        with pytest.raises(NasError, match="images are 8 x 6 pixels; give the resolution to resize them to"):
            load_data(f"npz:{tmp_path}/x.npz")


@pytest.mark.parametrize("resolution", [0, -8, 8.0, True])
def test_bad_resolution(resolution):
    with pytest.raises(
        NasError, match=rf"^resolution is {resolution}; give a whole number of pixels from 1$"
    ):
        load_data("digits", resolution=resolution)
