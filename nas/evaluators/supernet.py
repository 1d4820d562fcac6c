"""Shared weights: a network takes them from a trained supernet, and is scored as it is.

>>> from nas.data import load_data
>>> from nas.space import SearchSpace
>>> from nas.supernet.module import Supernet
>>> space = SearchSpace.load("digits")
>>> judge = SupernetEvaluator(Supernet(space), load_data("digits"), images=256)   # not trained: it knows nothing
>>> metrics = judge.evaluate(space.decode({name: values[0] for name, values in space.choices.items()}))
>>> metrics.accuracy < 0.3, metrics.macs == space.frame.macs
(True, True)
"""

import time
from collections.abc import Callable

import torch

from nas.architecture import Architecture
from nas.data import Data
from nas.errors import NasError
from nas.evaluation import evaluate
from nas.evaluators import Evaluator, Metrics
from nas.network import Network
from nas.supernet.module import Supernet
from nas.supernet.recalibration import IMAGES, recalibrate


class SupernetEvaluator(Evaluator):
    """Extracts a network from a supernet, recalibrates its batch norm on training images and scores it on `val`.

    The same network gives the same accuracy every time.

    Args:
        supernet: of the data's classes and channels.
        images: of `train`, that batch norm is recalibrated on.
        batch_size: images at a time; by default 64 on a CPU, whose cache then holds what the layers of a small network
            pass on, and 256 elsewhere.
        device: where networks are scored.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: Data,
        images: int = IMAGES,
        batch_size: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        frame = supernet.space.frame
        if (frame.head.classes, frame.stem.in_chans) != (data.classes, data.in_chans):
            raise NasError(
                f"supernet: was trained for {frame.head.classes} classes and {frame.stem.in_chans} channels, and "
                f"{data.name} has {data.classes} and {data.in_chans}; give the data it was trained on"
            )
        if frame.resolution != data.resolution:
            raise NasError(
                f"supernet: takes {frame.resolution} pixels and {data.name} was loaded at {data.resolution}; load it "
                f"with resolution={frame.resolution}"
            )
        self.supernet, self.data, self.images = supernet.to(device).eval(), data, images
        self.device = torch.device(device)
        self.batch_size = batch_size or (64 if self.device.type == "cpu" else 256)

    def network(self, arch: Architecture) -> Network:
        """The network with its share of the weights, its batch norm recalibrated; NasError for one of another space."""
        arch = arch.with_data(self.data.classes, self.data.in_chans)
        net = self.supernet.extract(arch).to(memory_format=torch.channels_last)
        recalibrate(net, self.data, self.images, amp=self._amp)
        return net

    def evaluate(
        self, arch: Architecture, report: Callable[[int, dict[str, float]], None] | None = None
    ) -> Metrics:
        """Metrics of `arch`, fitted to the data's classes and channels; it has no epochs to report."""
        start = time.perf_counter()
        net = self.network(arch)
        accuracy = evaluate(net, self.data, batch_size=self.batch_size, amp=self._amp)
        found = net.architecture
        return Metrics(accuracy, found.macs, found.params, time.perf_counter() - start)

    @property
    def _amp(self) -> bool:
        return self.device.type == "cuda"
