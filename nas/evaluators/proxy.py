"""The proxy task: a short training from scratch, scored on the held-out part of the training set.

>>> import nas
>>> from nas.data import load_data
>>> from nas.training import TrainingConfig
>>> space = nas.SearchSpace.load("digits")
>>> arch = space.decode({name: values[0] for name, values in space.choices.items()})
>>> metrics = ProxyEvaluator(load_data("digits"), TrainingConfig(epochs=1, seed=3)).evaluate(arch)
>>> metrics.macs == arch.macs, len(metrics.history)
(True, 1)
"""

import time
from collections.abc import Callable

import torch

from nas.architecture import Architecture
from nas.data import Data
from nas.errors import NasError
from nas.evaluators import Evaluator, Metrics
from nas.network import build
from nas.training import TrainingConfig, seeded, train


class ProxyEvaluator(Evaluator):
    """Builds a network, its weights drawn from the config's seed, and trains it by the config."""

    def __init__(self, data: Data, config: TrainingConfig, device: str | torch.device = "cpu") -> None:
        if config.split != "train":
            raise NasError(f"proxy: split is {config.split!r}, which leaves none to score on; give 'train'")
        self.data = data
        self.config = config
        self.device = device

    def evaluate(
        self, arch: Architecture, report: Callable[[int, dict[str, float]], None] | None = None
    ) -> Metrics:
        """Metrics of `arch`, fitted to the data's classes and channels.

        Raises:
            NasError: where the data was loaded at another resolution.
            TrialFailure: where the training diverges or memory does not suffice.
        """
        if arch.resolution != self.data.resolution:
            raise NasError(
                f"proxy: the architecture takes {arch.resolution} pixels and {self.data.name} was loaded at "
                f"{self.data.resolution}; load it with resolution={arch.resolution}"
            )
        start = time.perf_counter()
        arch = arch.with_data(self.data.classes, self.data.in_chans)
        with seeded(self.config.seed):
            net = build(arch)
        result = train(net, self.data, self.config, self.device, report)
        return Metrics(result.accuracy, arch.macs, arch.params, time.perf_counter() - start, result.history)
