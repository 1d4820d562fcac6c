"""How a trial comes by its accuracy: it trains a network on the proxy task, inherits its weights from a supernet, or
looks it up in a table.

>>> from nas.search.options import parser
>>> type(measuring(parser().parse_args(["--data", "digits"]))).__name__
'Training'
"""

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nas.devices import device_of
from nas.errors import NasError
from nas.evaluators import Metrics
from nas.evaluators.table import RUNS, Table, TableEvaluator
from nas.files import at_home
from nas.search.options import ratios_of, training_of
from nas.search.subject import SpaceSubject, Subject
from nas.search.task import Task, load_table, load_trained
from nas.search.view import Sample
from nas.space import SearchSpace

if TYPE_CHECKING:  # torch is imported when a sample is measured
    from nas.evaluators.supernet import SupernetEvaluator

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
    def load(self) -> None:
        """Loads what all samples have in common, once; NasError where it is not there or not what it should be.

        Paths are against the working directory. What is loaded for each sample is left to `measure`.
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

    def load(self) -> None:
        """Data are loaded for each sample, at its resolution."""

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


class Inheriting(Training):
    """Takes the weights of a supernet, which is loaded once for all the samples that this measures."""

    def check(self) -> None:
        """The supernet is looked at with the search space."""

    def fitted(self, subject: Subject | None) -> Subject | None:
        found = super().fitted(subject)
        self._check(found)
        return found

    def subject(self, task: Task, run_dir: Path | None) -> Subject:
        found = super().subject(task, run_dir)
        self._check(found)
        return found

    @property
    def _folder(self) -> Path:
        return Path(at_home(self.options.supernet))

    def _check(self, subject: Subject | None) -> None:
        """Raises NasError where the supernet is not there, or of another space."""
        from nas.supernet.folder import ready

        settings = ready(self._folder)
        if subject is None:
            return
        if not isinstance(subject, SpaceSubject):
            raise NasError(
                "--supernet is of a search space's networks, and what is searched is the scaling of a baseline; leave "
                "it out"
            )
        if settings.fitted.sha256 != subject.space.sha256:
            raise NasError(
                f"{self._folder}: its supernet is of the space {settings.fitted.name} (sha256 "
                f"{settings.fitted.sha256[:12]}, with {settings.classes} classes and {settings.in_chans} channels), "
                f"and {subject.name} is searched ({subject.space.sha256[:12]}); train one of it with nas supernet"
            )

    def load(self) -> None:
        assert self.evaluator

    @cached_property
    def evaluator(self) -> "SupernetEvaluator":
        """What measures; NasError for data that the supernet was not trained on."""
        import torch

        from nas.data import load_data
        from nas.evaluators.supernet import SupernetEvaluator
        from nas.supernet.folder import load_supernet
        from nas.supernet.recalibration import IMAGES

        options = self.options
        torch.set_num_threads(options.threads)
        found = load_supernet(self._folder)
        data = load_data(
            options.data, options.data_dir, found.supernet.space.frame.resolution, workers=options.workers
        )
        found.check_images(data)
        images = options.recalibrate or IMAGES
        return SupernetEvaluator(found.supernet, data, images, device=device_of(options.device))

    def measure(self, task: Task, subject: Subject, sample: Sample, report: Report) -> Metrics:
        return self.evaluator.evaluate(subject.architecture(sample), report)


class LookingUp(Measuring):
    """Looks up what a table records."""

    def check(self) -> None:
        """The table is read with the search space."""

    def fitted(self, subject: Subject | None) -> Subject | None:
        if subject is None:
            Table.read(self.options.table, self.options.space and SearchSpace.load(self.options.space))
        return subject

    def load(self) -> None:
        """The table comes with the search."""

    def subject(self, task: Task, run_dir: Path | None) -> Subject:
        return load_table(task, run_dir)

    def measure(self, task: Task, subject: Subject, sample: Sample, report: Report) -> Metrics:
        assert subject.table is not None
        return TableEvaluator(subject.table, self.options.runs or RUNS[0], task.seed).look_up(sample)


def measuring(options: argparse.Namespace) -> Measuring:
    """What the options ask for: --data trains, with --supernet it inherits; --table looks up."""
    if options.table is not None:
        return LookingUp(options)
    return Training(options) if options.supernet is None else Inheriting(options)
