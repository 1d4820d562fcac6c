"""Claim: images in memory are never waited for, and those of a folder where epochs and scorings begin and end alone.

    .venv/bin/python benchmarks/data_path.py              the figures, from benchmarks/results/data_path.jsonl
    .venv/bin/python benchmarks/data_path.py measure      new rows on this machine (about ten minutes)

Real trainings (`nas.training.train`), of which the time is taken that the loop spends in asking for its next batch of
images, to train on and to score, by the wall and by its own processor clock. Waiting is where the wall runs and its
processor does not. It is told with and without the first batch of each epoch and of each scoring of `val`, which a
folder's workers may still be decoding when it is asked for; those weigh more here than in a training of real size,
whose epochs are longer, so they are told in seconds each as well. The rest of it is work that the loop does itself:
images in memory are shifted, mirrored or transformed there, a batch at a time. Where other work takes the processor
away, that counts as waiting too, so each row has the load average at its beginning (one minute's, this benchmark's
own work included): over the number of cores, the waiting is an upper bound.

The cases: `digits`, as in the main job; 20,000 made-up images of 32 pixels in memory, as many as a trial on CIFAR-10
sees in half an epoch, augmented by shifts and mirroring, and by AutoAugment's policy; a folder of JPEGs of 480 x 360
pixels, cut from the two photographs that come with scikit-learn, decoded to 224 pixels by as many processes as the
machine has cores less one, with EfficientNet-B0, and with a network of a hundredth of its multiply-adds, for which a
core cannot decode fast enough. One thread trains. The cases take turns, and each is trained ROUNDS times.
"""

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rounds import Row, run, spread
from sklearn.datasets import load_sample_images

import nas
from nas.architecture import Architecture
from nas.data import Data, load_data
from nas.planning import plan
from nas.plans import Budget
from nas.training import TrainingConfig, seeded, train

ROWS = Path(__file__).parent / "results" / "data_path.jsonl"
SEED = 0
ROUNDS = 5
IMAGES = 20_000  # in memory
EPOCHS, FILES, SCORED = 3, 96, 16  # of the folder
SIZE = (480, 360)


class Timed:
    """Data that take the time of asking them for batches.

    Attributes:
        working: seconds of the loop's processor.
        waiting: seconds beside those, for what an epoch and a scoring begin with, and for all other batches.
    """

    def __init__(self, data: Data) -> None:
        self._data = data
        self.working = 0.0
        self.waiting = {"epochs": 0.0, "scorings": 0.0, "others": 0.0}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def batches(self, *args: Any, train: bool, **kwargs: Any) -> Iterator[Any]:
        kind = "epochs" if train else "scorings"
        found = self._taken(kind, lambda: self._data.batches(*args, train=train, **kwargs))
        return self._each(kind, found)

    def _each(self, kind: str, found: Iterator[Any]) -> Iterator[Any]:
        while (batch := self._taken(kind, lambda: next(found, None))) is not None:
            kind = "others"
            yield batch

    def _taken(self, kind: str, ask: Callable[[], Any]) -> Any:
        wall, processor = time.perf_counter(), time.thread_time()
        answer = ask()
        wall, processor = time.perf_counter() - wall, time.thread_time() - processor
        self.working += processor
        self.waiting[kind] += max(0.0, wall - processor)
        return answer


def files(folder: Path) -> Path:
    """A folder of two classes, the two photographs in pieces."""
    rng = np.random.default_rng(SEED)
    for label, photograph in enumerate(load_sample_images().images):
        for part, count in (("train", FILES), ("val", SCORED)):
            target = folder / part / str(label)
            target.mkdir(parents=True)
            for n in range(count // 2):
                top, left = (
                    int(rng.integers(0, a - b + 1))
                    for a, b in zip(photograph.shape, SIZE[::-1], strict=False)
                )
                piece = photograph[top : top + SIZE[1], left : left + SIZE[0]]
                light = np.clip(piece * rng.uniform(0.6, 1.4), 0, 255).astype(np.uint8)
                Image.fromarray(light).save(target / f"{n}.jpg", quality=95)
    return folder


def memory(path: Path) -> Path:
    """Made-up images of 32 pixels: what is timed does not hang on what they show."""
    rng = np.random.default_rng(SEED)
    arrays = {}
    for part, count in (("train", IMAGES), ("test", 100)):
        arrays |= {f"x_{part}": rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
                   f"y_{part}": np.arange(count) % 10}  # fmt: skip
    np.savez(path, **arrays)
    return path


def cases(folder: Path) -> dict[str, tuple[Data, Architecture, TrainingConfig]]:
    space = nas.SearchSpace.load("cifar")
    small = space.decode(space.sample(np.random.default_rng(SEED)))
    digits = nas.SearchSpace.load("digits")
    b0 = nas.load("efficientnet-b0").architecture
    workers = max(1, (os.cpu_count() or 1) - 1)
    photographs = load_data(f"folder:{files(folder / 'photographs')}", resolution=224, workers=workers)
    images = load_data(f"npz:{memory(folder / 'images.npz')}", resolution=small.resolution)
    tiny = plan(b0, Budget(macs=b0.macs // 100)).architecture
    tiny = replace(tiny, resolution=224)
    return {
        "digits": (
            load_data("digits"), digits.decode(digits.sample(np.random.default_rng(SEED))), TrainingConfig(epochs=4)
        ),
        "memory, basic": (images, small, TrainingConfig(epochs=1)),
        "memory, autoaugment": (images, small, TrainingConfig(epochs=1, augment="autoaugment")),
        "folder, B0": (photographs, b0, TrainingConfig(epochs=EPOCHS, batch_size=16)),
        "folder, a small network": (photographs, tiny, TrainingConfig(epochs=EPOCHS, batch_size=16)),
    }  # fmt: skip


def measure() -> Iterator[Row]:
    """A row a round and case."""
    torch.set_num_threads(1)
    common = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"), "seed": SEED, "cores": os.cpu_count(),
        "versions": {"python": platform.python_version(), **{n: version(n) for n in ("torch", "torchvision")}},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        found = cases(Path(folder))
        for number in range(ROUNDS):
            for name, (data, arch, config) in found.items():
                arch = arch.with_data(data.classes, data.in_chans)
                with seeded(SEED):
                    net = nas.build(arch)
                timed, load = Timed(data), os.getloadavg()[0]
                start = time.perf_counter()
                train(net, timed, config)  # type: ignore[arg-type]
                taken = time.perf_counter() - start
                count = config.epochs * len(data.split("train"))
                yield {"case": name, "round": number, "macs": arch.macs, "images": count, "epochs": config.epochs,
                       "seconds": taken, "waiting": timed.waiting, "working": timed.working, "load": load,
                       **common}  # fmt: skip


def report(rows: list[Row]) -> str:
    """The table, medians and quartiles over the rounds."""
    one, loads = rows[0], [row["load"] for row in rows]
    versions = ", ".join(f"{name} {number}" for name, number in one["versions"].items())
    lines = [
        f"{versions}; {one['cores']} cores, 1 thread trains, load {min(loads):.1f} to {max(loads):.1f}; "
        f"{one['date']}, seed {one['seed']}, n = {ROUNDS}",
        "",
        "| images | multiply-adds | images a second | % of the time waiting | without first batches | "
        "s waiting for the first of an epoch | of a scoring | % augmenting in the loop | load |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in dict.fromkeys(row["case"] for row in rows):
        mine = [row for row in rows if row["case"] == name]
        waiting = [100 * sum(row["waiting"].values()) / row["seconds"] for row in mine]
        others = [100 * row["waiting"]["others"] / row["seconds"] for row in mine]
        first = {
            kind: [row["waiting"][kind] / row["epochs"] for row in mine] for kind in ("epochs", "scorings")
        }
        cells = [
            name, f"{mine[0]['macs'] / 1e6:.3g}M", spread([row["images"] / row["seconds"] for row in mine], 0),
            spread(waiting, 1), spread(others, 1), *(spread(seconds) for seconds in first.values()),
            spread([100 * row["working"] / row["seconds"] for row in mine]),
            spread([row["load"] for row in mine], 1),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    run(ROWS, measure, report)
