"""npz files: round trips, what is not read, and every mistake in one sentence."""

import io
import os
import struct
import zipfile
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from nas import npz as module
from nas.data import describe, load_data
from nas.errors import NasError


def arrays(shape=(8, 8, 3), train=40, test=10, classes=2):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (train, *shape), dtype=np.uint8),
        "y_train": np.arange(train) % classes,
        "x_test": rng.integers(0, 256, (test, *shape), dtype=np.uint8),
        "y_test": np.arange(test) % classes,
    }


@pytest.fixture
def saved(tmp_path):
    def save(**changed):
        path = tmp_path / "x.npz"
        content = {name: value for name, value in {**arrays(), **changed}.items() if value is not None}
        np.savez(path, **content)
        return f"npz:{path}"

    return save


@pytest.mark.parametrize(
    ("shape", "in_chans"), [((8, 8, 3), 3), ((8, 8), 1), ((8, 8, 1), 1), ((8, 8, 4), 4), ((6, 9, 2), 2)]
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_round_trip(tmp_path, shape, in_chans, save):
    content = arrays(shape)
    save(tmp_path / "x.npz", **content)
    name = f"npz:{tmp_path / 'x.npz'}"
    assert describe(name) == (2, in_chans)
    data = load_data(name, resolution=8)
    assert (data.classes, data.in_chans, data.class_names) == (2, in_chans, ("0", "1"))
    assert (len(data.train), len(data.val), len(data.test)) == (36, 4, 10)
    assert data.test.labels.tolist() == content["y_test"].tolist()
    if shape[:2] == (8, 8):
        assert np.array_equal(data.test.images.numpy().reshape(10, *shape), content["x_test"])
    x, y = next(iter(data.batches("train", 36, train=True)))
    assert (x.shape, x.dtype, y.dtype) == ((36, in_chans, 8, 8), torch.float32, torch.int64)


def test_class_names(saved):
    assert load_data(saved(class_names=np.array(["cat", "dog"]))).class_names == ("cat", "dog")


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_labels_of_any_whole_type(saved, dtype):
    data = load_data(saved(y_train=arrays()["y_train"].astype(dtype)))
    assert data.train.labels.dtype == torch.int64


def test_the_test_arrays_are_not_read_before_they_are_asked_for(saved, monkeypatch):
    read, real = [], module._array
    monkeypatch.setattr(
        module, "_array", lambda path, name, where: read.append(name) or real(path, name, where)
    )
    name = saved()
    describe(name)
    assert read == ["y_train"]
    data = load_data(name)
    assert len(data.trainval) == 40
    assert set(read) == {"x_train", "y_train"}
    assert len(data.test) == 10
    assert set(read) == {"x_train", "y_train", "x_test", "y_test"}


GOOD = arrays()
MISTAKES = {
    "has no array x_test, y_test; it holds x_train, y_train; "
    "save x_train, y_train, x_test, y_test with numpy.savez": {"x_test": None, "y_test": None},
    "x_train is of type float64; save images as uint8, 0 to 255": {"x_train": GOOD["x_train"] / 255},
    "x_test is of type object; save images as uint8, 0 to 255": {"x_test": np.array([{}] * 10, dtype=object)},
    "y_train is of type float64; save labels as whole numbers such as int64": {
        "y_train": GOOD["y_train"] / 1
    },
    "y_test is of type <U1; save labels as whole numbers such as int64": {"y_test": np.array(["0"] * 10)},
    "x_train has shape (40, 3, 8, 8); give (images, height, width) or "
    "(images, height, width, channels) with 1 to 4 channels": {
        "x_train": GOOD["x_train"].transpose(0, 3, 1, 2)
    },
    "x_train has shape (40, 64); give (images, height, width) or "
    "(images, height, width, channels) with 1 to 4 channels": {"x_train": np.zeros((40, 64), np.uint8)},
    "x_test has shape (0, 8, 8, 3); give (images, height, width) or "
    "(images, height, width, channels) with 1 to 4 channels": {"x_test": np.zeros((0, 8, 8, 3), np.uint8)},
    "y_train has shape (40, 1); x_train holds 40 images, give (40,)": {"y_train": GOOD["y_train"][:, None]},
    "y_test has shape (9,); x_test holds 10 images, give (10,)": {"y_test": GOOD["y_test"][:9]},
    "images are (8, 8, 3) in x_train and (8, 8) in x_test; save both with one shape": {
        "x_test": GOOD["x_test"][..., 0]
    },
    "y_train has the label -1; labels are whole numbers from 0": {"y_train": GOOD["y_train"] - 1},
    "y_train has labels up to 2, and none is 0; number its 2 classes from 0 to 1": {
        "y_train": GOOD["y_train"] + 1
    },
    "y_train has labels up to 10000000000, and none is 1; number its 2 classes from 0 to 1": {
        "y_train": GOOD["y_train"] * 10**10
    },
    "y_train has the one label 0; a classifier needs 2 classes or more": {"y_train": GOOD["y_train"] * 0},
}


@pytest.mark.parametrize("function", [describe, load_data])
@pytest.mark.parametrize("sentence", MISTAKES)
def test_mistakes(saved, sentence, function):
    name = saved(**MISTAKES[sentence])
    with pytest.raises(NasError) as caught:
        function(name)
    assert str(caught.value) == f"{name}: {sentence}"


@pytest.mark.parametrize("label", [2, -1])
def test_a_test_label_out_of_range_is_found_when_the_test_set_is(saved, label):
    labels = GOOD["y_test"].copy()
    labels[3] = label
    name = saved(y_test=labels)
    data = load_data(name)
    with pytest.raises(NasError) as caught:
        data.split("test")
    assert str(caught.value) == f"{name}: y_test has the label {label}; y_train's go from 0 to 1"


def test_a_class_of_one_image(saved):
    labels = np.zeros(40, int)
    labels[7] = 1
    name = saved(y_train=labels)
    with pytest.raises(NasError) as caught:
        load_data(name)
    assert str(caught.value) == (
        f"{name}: class '1' has 1 image, too few to split into train, val; give every class at least 2"
    )


def test_a_missing_file(tmp_path):
    with pytest.raises(
        NasError, match=r"^npz:.*none\.npz: there is no such file; give the path of an npz file$"
    ):
        describe(f"npz:{tmp_path}/none.npz")


def test_no_npz(tmp_path):
    path = tmp_path / "x.npz"
    path.write_text("hello")
    with pytest.raises(NasError, match=r"^npz:.*x\.npz: is no npz file \(.*\); write one with numpy\.savez$"):
        describe(f"npz:{path}")
    with path.open("wb") as file:
        np.save(file, GOOD["x_train"])
    with pytest.raises(NasError, match=r"^npz:.*x\.npz: is no npz file \(.*\); write one with numpy\.savez$"):
        describe(f"npz:{path}")


def test_a_broken_npz(saved, tmp_path):
    name = saved()
    path = tmp_path / "x.npz"
    content = bytearray(path.read_bytes())
    content[500] ^= 0xFF  # within the pixels of x_train; the checksum tells
    path.write_bytes(content)
    with pytest.raises(NasError, match=r"^npz:.*: x_train cannot be read \(.*CRC.*\); save the file again$"):
        load_data(name)


# Files made to harm


def forged(tmp_path, shape=None, dtype="|u1", size=None, kind=zipfile.ZIP_STORED, header=None):
    """The good file, in which x_train's header declares `shape` and its bytes are `size` zeros."""
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, array in GOOD.items():
            content = io.BytesIO()
            np.save(content, array)
            data = content.getvalue()
            if name == "x_train":
                text = header or f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".encode()
                data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(size or 0)
            file.writestr(f"{name}.npy", data)
    return f"npz:{path}"


@pytest.mark.parametrize(
    ("forgery", "said"),
    [
        (
            {"shape": (10**12, 8, 8, 3)},
            r"x_train.npy has \d+ bytes for an array of shape \(1000000000000, 8, 8, 3\)",
        ),
        ({"shape": (2**31, 2**31, 2**31)}, "bytes for an array of shape"),
        ({"shape": (-40, 8, 8, 3), "size": 7680}, r"bytes for an array of shape \(-40, 8, 8, 3\)"),
        ({"shape": (40, 8, 8, 3), "size": 7681}, "bytes for an array of shape"),
        ({"shape": (40, 8, 8, 3), "size": 7680, "dtype": "<U536870911"}, "bytes for an array of shape"),
        ({"header": b"[" * 9000}, ".*"),
        ({"header": b"(" * 9000 + b")" * 9000}, ".*"),
        ({"header": b"{'descr': '|u1', 'fortran_order': False, 'shape': (1L,"}, ".*"),
        ({"header": b"__import__('os').system('touch run')"}, ".*"),
    ],
)
def test_a_header_that_lies_allocates_nothing(tmp_path, forgery, said):
    name = forged(tmp_path, **forgery)
    with pytest.raises(
        NasError, match=rf"^npz:.*: is no npz file \(.*{said}.*\); write one with numpy.savez$"
    ):
        describe(name)


def test_a_small_file_that_unpacks_beyond_the_memory(tmp_path, monkeypatch):
    """40,000 grey images of 80 x 80 zeros are 256 MB, and 1/1000 of that as a file."""
    name = forged(tmp_path, (40_000, 80, 80), size=40_000 * 6400, kind=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "x.npz").stat().st_size < 1e6
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=200e6))
    monkeypatch.setattr(module, "_check_headers", lambda *_: None)  # of the other arrays' shapes
    with pytest.raises(
        NasError, match=r"^npz:.*: holds 0\.3 GB of arrays, and 0\.2 GB of memory are free; give fewer"
    ):
        describe(name)


def test_a_compression_that_python_has_not_and_too_many_arrays(saved, tmp_path):
    name = saved()
    path = tmp_path / "x.npz"
    content = path.read_bytes()
    changed = bytearray(content)
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = content.index(mark) + offset
        changed[at : at + 2] = struct.pack("<H", 99)
    path.write_bytes(changed)
    with pytest.raises(NasError, match=r"is no npz file \(That compression method is not supported\)"):
        describe(name)
    np.savez(path, **{f"x{number}": np.zeros(1) for number in range(101)})
    with pytest.raises(NasError, match=r"is no npz file \(101 arrays\)"):
        describe(name)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.npz")
    with pytest.raises(NasError, match="there is no such file"):
        describe(f"npz:{tmp_path}/x.npz")
