"""torchvision's data sets, with fabricated ones in their place; nothing touches the network."""

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision import datasets

from nas.data import load_data
from nas.downloads import KNOWN, default_folder
from nas.errors import NasError

MADE: list[tuple[str, bool]] = []


class Fake:
    """What `nas.downloads` uses of a torchvision data set; CIFAR's data is an array."""

    shape = (32, 32, 3)
    count = 10

    def __init__(self, root, train, download):
        assert download
        print("Files already downloaded and verified")
        MADE.append((root, train))
        self.data = np.full((self.count * (10 if train else 1), *self.shape), 7, np.uint8)
        self.targets = [i % self.count for i in range(len(self.data))]
        self.classes = [f"class {i}" for i in range(self.count)]


class Fake100(Fake):
    count = 100


class FakeGrey(Fake):
    """FashionMNIST's data are tensors."""

    shape = (28, 28)

    def __init__(self, root, train, download):
        super().__init__(root, train, download)
        self.data, self.targets = torch.from_numpy(self.data), torch.tensor(self.targets)


@pytest.fixture
def fakes(monkeypatch):
    MADE.clear()
    for name, fake in (("CIFAR10", Fake), ("CIFAR100", Fake100), ("FashionMNIST", FakeGrey)):
        monkeypatch.setattr(datasets, name, fake)


@pytest.mark.parametrize(
    ("name", "classes", "in_chans", "size"),
    [("cifar10", 10, 3, 32), ("cifar100", 100, 3, 32), ("fashion-mnist", 10, 1, 28)],
)
def test_downloads_once_and_reads_its_own_copy_after(fakes, tmp_path, capsys, name, classes, in_chans, size):
    folder = tmp_path / "new" / "folder"
    data = load_data(name, data_dir=folder, resolution=size)
    assert (data.classes, data.in_chans) == (classes, in_chans)
    assert data.class_names[classes - 1] == f"class {classes - 1}"
    assert (len(data.train), len(data.val), len(data.test)) == (9 * classes, classes, classes)
    assert [(str(folder), True), (str(folder), False)] == MADE
    assert load_data(name, data_dir=folder, resolution=size).train.labels.equal(data.train.labels)
    assert len(MADE) == 2
    assert capsys.readouterr().out == ""  # stdout is for results


def test_only_natural_images_are_mirrored(fakes, tmp_path):
    flips = {name: load_data(name, data_dir=tmp_path, resolution=8).train.flip for name in KNOWN}
    assert flips == {"cifar10": True, "cifar100": True, "fashion-mnist": False}


@pytest.mark.parametrize(
    "error",
    [URLError("no route to host"), RuntimeError("File not found\nor corrupted."), OSError(28, "No space")],
)
def test_a_failed_download_leaves_nothing_and_names_data_dir(monkeypatch, tmp_path, error):
    def fail(**_):
        raise error

    monkeypatch.setattr(datasets, "CIFAR10", fail)
    with pytest.raises(NasError) as caught:
        load_data("cifar10", data_dir=tmp_path)
    reason = str(error).splitlines()[0]
    assert str(caught.value) == (
        f"cifar10: cannot be downloaded to {tmp_path} ({reason}); mend the network, or give "
        "--data-dir a writable folder, or one that holds torchvision's files"
    )
    assert not list(tmp_path.iterdir())


def test_data_dir_that_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(
        NasError, match=r"^cifar10: cannot be downloaded to .*/file \(.*; mend the network, or give "
    ):
        load_data("cifar10", data_dir=path)


def test_default_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/b0nas")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "b0nas"
