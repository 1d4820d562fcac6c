"""How a trial comes by its accuracy: it trains a network on the proxy task, or looks it up in a table.

>>> from nas.search.options import parser
>>> type(measuring(parser().parse_args(["--data", "digits"]))).__name__
'Training'
"""

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from nas.devices import device_of
from nas.evaluators import Metrics
from nas.evaluators.table import RUNS, Table, TableEvaluator
from nas.search.options import ratios_of, training_of
from nas.search.subject import Subject
from nas.search.task import Task, load_table, load_trained
from nas.search.view import Sample
from nas.space import SearchSpace

Report = Callable[[int, dict[str, float]], None]


class Measuring(ABC):
    """What the options of a trial ask for."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    @abstractmethod
    def check(self) -> None:
        """Raises NasError for options that can be found wrong before any trial."""

    @abstractmethod
    def fitted(self, subject: Subject | None) -> Subject | None:
        """The subject, its costs counted for what is measured; NasError where data or table is not there.

        Paths are against the working directory. Without a subject there is nothing to fit.
        """

    @abstractmethod
    def subject(self, task: Task, run_dir: Path | None) -> Subject:
        """What the trial's sample is of; NasError where it is not the run's."""

    @abstractmethod
    def measure(self, task: Task, subject: Subject, sample: Sample, report: Report) -> Metrics:
        """The accuracy of a sample that the subject does not refuse."""


class Training(Measuring):
    """Trains on the proxy task."""

    def check(self) -> None:
        training_of(self.options, self.options.seed or 0)

    def fitted(self, subject: Subject | None) -> Subject | None:
        classes, in_chans = self._described()
        return subject and subject.with_data(classes, in_chans)

    def subject(self, task: Task, run_dir: Path | None) -> Subject:
        return load_trained(task, run_dir).with_data(*self._described())

    def _described(self) -> tuple[int, int]:
        from nas.data import describe

        return describe(self.options.data, self.options.data_dir)

    def measure(self, task: Task, subject: Subject, sample: Sample, report: Report) -> Metrics:
        import torch

        from nas.data import load_data
        from nas.evaluators.proxy import ProxyEvaluator
        from nas.search.fidelity import Fidelity

        options = self.options
        torch.set_num_threads(options.threads)
        config = training_of(options, task.seed)
        fidelity = Fidelity(config.epochs, **ratios_of(options))
        arch = fidelity.of(subject.architecture(sample))
        data = load_data(
            options.data, data_dir=options.data_dir, resolution=arch.resolution, workers=options.workers
        ).with_part(fidelity.fraction)
        return ProxyEvaluator(data, config, device_of(options.device)).evaluate(arch, report)


class LookingUp(Measuring):
    """Looks up what a table records."""

    def check(self) -> None:
        """The table is read with the search space."""

    def fitted(self, subject: Subject | None) -> Subject | None:
        if subject is None:
            Table.read(self.options.table, self.options.space and SearchSpace.load(self.options.space))
        return subject

    def subject(self, task: Task, run_dir: Path | None) -> Subject:
        return load_table(task, run_dir)

    def measure(self, task: Task, subject: Subject, sample: Sample, report: Report) -> Metrics:
        assert subject.table is not None
        return TableEvaluator(subject.table, self.options.runs or RUNS[0], task.seed).look_up(sample)


def measuring(options: argparse.Namespace) -> Measuring:
    """What the options ask for: --data trains, --table looks up."""
    return Training(options) if options.table is None else LookingUp(options)
