"""What a search is of: a search space, whole or as far as a table records it, or a table of plain choices.

Tuner, trials, TensorBoard and `nas search` ask a `Subject` and need not know which it is.

>>> subject = SpaceSubject(SearchSpace.load("digits"))
>>> sample = {label: values[0] for label, values in subject.choices.items()}
>>> subject.cost(sample)["macs"] == subject.space.decode(sample).macs
True
>>> sorted(subject.form())                                          # what the journal keeps of it
['classes', 'document', 'in_chans', 'sha256', 'space']
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from nas.architecture import Architecture
from nas.errors import NasError
from nas.evaluators.table import Table
from nas.latency_model import LatencyModel
from nas.latency_table import LatencyTable
from nas.search.costs import LATENCY, MACS
from nas.search.recorded import Factor, RecordedView, check_recorded, drawn, extent, missing, plain_view
from nas.search.settings import Limits
from nas.search.space_view import SpaceView
from nas.search.view import Sample, View, no_factor
from nas.space import SearchSpace
from nas.tables import stage_markdown

NO_PARTS = (
    "reward.latency: a latency model is of a search space whose networks are trained, and what is searched is {}; "
    "leave it out"
)


class Subject(ABC):
    """What is searched.

    Attributes:
        name: of the space document, or of the table.
        sha256: of its content.
        choices: label -> values.
        target: multiply-adds T of the reward, where none is asked for.
        table: the recorded results, None where networks are trained.
        freezes: whether a sample makes an architecture, which can be frozen as a baseline.
    """

    name: str
    sha256: str
    choices: dict[str, tuple[Any, ...]]
    target: int
    table: Table | None
    freezes: bool
    latency: LatencyTable | None = None  # of a search that names a latency model

    @abstractmethod
    def validate(self, sample: Mapping[str, Any]) -> Sample:
        """`sample` with the very values of the choices; NasError for one that is none."""

    @abstractmethod
    def random(self, rng: np.random.Generator) -> Sample:
        """One sample, of a table one that is recorded."""

    @abstractmethod
    def key(self, sample: Sample) -> str:
        """The canonical key: equal for equal networks."""

    @abstractmethod
    def cost(self, sample: Sample) -> dict[str, Any]:
        """macs and params, None where they are not known; with a latency model also `latency` in milliseconds."""

    @abstractmethod
    def refuse(self, sample: Sample) -> str | None:
        """Why the sample does not exist for the search, or None."""

    @abstractmethod
    def view(self, limits: Limits, factor: Factor = no_factor, cost: str = MACS) -> View:
        """The choices as strategies see them; what is over a limit or not recorded is refused.

        `factor` is of multiply-adds, or with cost 'latency' of milliseconds.
        """

    @abstractmethod
    def check(self, limits: Limits, where: str = "classArgs") -> None:
        """Raises NasError where the limits leave nothing to search, or next to nothing."""

    @abstractmethod
    def form(self) -> dict[str, Any]:
        """What the journal's `run` event keeps of it, from which `nas.search.finding` makes it again."""

    @abstractmethod
    def document(self) -> str | None:
        """What `space.json` in the run directory holds, None where there is no document."""

    @abstractmethod
    def with_data(self, classes: int, in_chans: int) -> "Subject":
        """The same, its costs counted for data of `classes` classes and `in_chans` channels."""

    @abstractmethod
    def architecture(self, sample: Sample) -> Architecture:
        """What a sample makes; NasError where the choices are plain."""

    @abstractmethod
    def markdown(self, sample: Sample) -> str:
        """A sample in full, in Markdown."""

    @abstractmethod
    def with_latency(self, model: LatencyModel) -> "Subject":
        """The same, its networks' latencies predicted by a model.

        Raises:
            NasError: for a model of another space, or where networks are not of a space whose parts are known.
        """

    def default_target(self, cost: str) -> float:
        """T of the reward, where none is asked for: multiply-adds, or the median latency of random networks."""
        if cost == MACS or self.latency is None:
            return self.target
        return float(f"{np.median(self.latency.of_random(4096, seed=0)):.4g}")

    @property
    def measured(self) -> str:
        """What an accuracy is one of, for pictures."""
        return "accuracy on held-out training images" if self.table is None else "recorded accuracy"

    @abstractmethod
    def headline(self) -> str:
        """What it is and how large, for one line of `nas search`."""

    def trial_form(self) -> dict[str, Any]:
        """What a trial checks: name and fingerprint, and the table's."""
        table = {} if self.table is None else {"table": self.table.sha256}
        return {"space": self.name, "sha256": self.sha256, **table}


class SpaceSubject(Subject):
    """A search space, or of it what a table records.

    Attributes:
        space: fitted to the data's classes and channels.
    """

    def __init__(
        self, space: SearchSpace, table: Table | None = None, written: SearchSpace | None = None,
        latency: LatencyTable | None = None,
    ) -> None:  # fmt: skip
        self.space, self.table, self.freezes, self.latency = space, table, True, latency
        self._written = written or space  # as the document says
        self.name, self.choices = space.name, space.choices

    @property
    def sha256(self) -> str:  # type: ignore[override]
        return self._written.sha256

    @property
    def target(self) -> int:  # type: ignore[override]
        return self._written.target

    def validate(self, sample: Mapping[str, Any]) -> Sample:
        return self.space.validate(sample)

    def random(self, rng: np.random.Generator) -> Sample:
        return self.space.sample(rng) if self.table is None else drawn(self.table, rng)

    def key(self, sample: Sample) -> str:
        return self.space.decode(sample).key

    def cost(self, sample: Sample) -> dict[str, Any]:
        arch = self.space.decode(sample)
        costs = {"macs": arch.macs, "params": arch.params}
        return costs if self.latency is None else {**costs, LATENCY: round(self.latency.of(arch), 4)}

    def with_latency(self, model: LatencyModel) -> "SpaceSubject":
        if self.table is not None:
            raise NasError(NO_PARTS.format(f"the table {self.table.name}"))
        if model.space_sha256 != self.sha256:
            raise NasError(
                f"reward.latency: the latency model is of the space {model.space} (sha256 {model.space_sha256[:12]}), "
                f"and {self.name} is searched ({self.sha256[:12]}); make one with nas latency {self.name}"
            )
        return SpaceSubject(self.space, None, self._written, LatencyTable(self.space, model))

    def refuse(self, sample: Sample) -> str | None:
        return None if self.table is None else missing(self.table, sample)

    def view(self, limits: Limits, factor: Factor = no_factor, cost: str = MACS) -> View:
        if self.table is None:
            priced = cost == LATENCY
            return SpaceView(self.space, limits.model_dump(), factor, latency=self.latency, priced=priced)
        return RecordedView(self.space, self.table, limits, factor)

    def check(self, limits: Limits, where: str = "classArgs") -> None:
        if self.table is None:
            if limits != Limits():
                limits.check(self.space, where, self.latency)
        else:
            check_recorded(self.table, limits, where)

    def form(self) -> dict[str, Any]:
        frame, table = self.space.frame, self.table
        form = {
            "space": self.name,
            "sha256": self.sha256,
            "document": self._written.document.model_dump(mode="json", exclude_defaults=True),
            "classes": frame.head.classes,
            "in_chans": frame.stem.in_chans,
        }
        if self.latency is not None:
            form[LATENCY] = self.latency.model.about()
        return form if table is None else {**form, "table": {"name": table.name, "sha256": table.sha256}}

    def document(self) -> str | None:
        return self._written.document.model_dump_json(indent=1, exclude_defaults=True)

    def with_data(self, classes: int, in_chans: int) -> "SpaceSubject":
        space = self.space.with_data(classes, in_chans)
        return SpaceSubject(space, self.table, self._written, self.latency)

    def architecture(self, sample: Sample) -> Architecture:
        return self.space.decode(sample)

    def markdown(self, sample: Sample) -> str:
        return stage_markdown(self.space.decode(sample))

    def headline(self) -> str:
        size = f"space {self.name}: {self.space.size:.3g} architectures"
        return size if self.table is None else f"{size}, {extent(self.table)}"


class TableSubject(Subject):
    """A table of plain choices; one that the journal describes has its choices and no records."""

    def __init__(self, table: Table, sha256: str | None = None, target: int | None = None) -> None:
        self.table, self.freezes = table, False
        self.name, self.choices = table.name, table.choices
        self.sha256 = sha256 or table.sha256
        self.target = table.target if target is None else target

    def validate(self, sample: Mapping[str, Any]) -> Sample:
        return self._table.validate(sample)

    @property
    def _table(self) -> Table:
        assert self.table is not None
        return self.table

    def random(self, rng: np.random.Generator) -> Sample:
        return drawn(self._table, rng)

    def key(self, sample: Sample) -> str:
        return self._table.key(sample)

    def cost(self, sample: Sample) -> dict[str, Any]:
        record = self._table.find(sample)
        return {"macs": record and record.macs, "params": record and record.params}

    def refuse(self, sample: Sample) -> str | None:
        return missing(self._table, sample)

    def view(self, limits: Limits, factor: Factor = no_factor, cost: str = MACS) -> View:
        return plain_view(self._table, limits, factor)

    def check(self, limits: Limits, where: str = "classArgs") -> None:
        check_recorded(self._table, limits, where)

    def form(self) -> dict[str, Any]:
        table = self._table
        choices = {label: list(values) for label, values in self.choices.items()}
        kept = {"name": table.name, "source": table.source, "choices": choices, "target": self.target}
        return {"space": self.name, "sha256": self.sha256, "table": {**kept, "sha256": self.sha256}}

    def document(self) -> str | None:
        return None

    def with_data(self, classes: int, in_chans: int) -> "TableSubject":
        return self

    def with_latency(self, model: LatencyModel) -> "TableSubject":
        raise NasError(NO_PARTS.format(f"the table {self.name}"))

    def architecture(self, sample: Sample) -> Architecture:
        raise NasError(f"the table {self.name} is of plain choices, which make no baseline to freeze")

    def markdown(self, sample: Sample) -> str:
        rows = [f"| {label} | {value} |" for label, value in sample.items()]
        return "\n".join(["| choice | value |", "| --- | --- |", *rows])

    def headline(self) -> str:
        return f"table {self.name}: {extent(self._table)}"
