"""A small space and few images, so that a supernet is trained in a second."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from nas.space import SearchSpace
from nas.supernet_job import Request, run_supernet

SMALL = {
    "name": "small",
    "resolution": 8,
    "target": 60_000,
    "stem": {"channels": 8, "stride": 1, "in_chans": 1},
    "stages": [
        {"op": ["dsconv", "mbconv"], "kernel": [3, 5], "expand": 3, "skip": ["none", "identity"], "channels": [8, 16],
         "layers": [1, 2], "stride": 1},
        {"op": "mbconv", "kernel": 3, "expand": [3, 6], "se": [0, 0.25], "channels": 16, "stride": 2},
    ],
    "head": {"channels": 16, "classes": 2},
}  # fmt: skip


@pytest.fixture
def small():
    return SearchSpace.from_data(SMALL)


@pytest.fixture(scope="session")
def bright(tmp_path_factory):
    """npz:PATH of 2 classes, 120 + 20 grey images of 8 x 8 pixels: bright above, or bright below."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 120), ("test", 20)):
        labels = np.arange(count) % 2
        x = rng.integers(0, 120, (count, 8, 8), dtype=np.uint8)
        for image, label in zip(x, labels, strict=True):
            image[4 * label : 4 * label + 4] += 80
        arrays |= {f"x_{part}": x, f"y_{part}": labels}
    path = tmp_path_factory.mktemp("bright") / "bright.npz"
    np.savez(path, **arrays)
    return f"npz:{path}"


@pytest.fixture
def space_file(in_folder):
    """./small.yml in a folder of the test's own."""
    Path("small.yml").write_text(json.dumps(SMALL))
    return "./small.yml"


@pytest.fixture
def run(space_file, bright):
    """Runs `nas supernet` with what is given."""

    def run(space=space_file, data=bright, **given):
        given = {"epochs": 2, "batch_size": 16, "lr": 0.05, "threads": 1, "device": "cpu"} | given
        run_supernet(Console(quiet=True), Request(space, data, **given))

    return run
