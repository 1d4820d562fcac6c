"""The grid search of compound scaling as a subject: one choice, the coefficients of a baseline's family.

EfficientNet (arXiv:1905.11946), section 3.3: at phi = 1, find the alpha, beta and gamma whose network is best.
Rounded as published, layers up and channels to eights, B0's candidates would cost 1.9 to 3.3 times B0: what they
are compared by would be how the rounding fell. So each candidate is *planned* (`nas.planning`): of the networks
that cost twice the baseline it is the one nearest to the direction of its coefficients. All cost the same within a
few percent, and accuracy alone compares. Where integers leave no exact 2x, as in a network of few layers and
pixels, the realised multiply-adds count, and the reward's factor takes care of the difference.

Coefficients between which integers cannot tell are one network, which is trained once and answers for all.

>>> subject = ScalingSubject(document_of("efficientnet-b0"), GridSettings())
>>> arch = subject.architecture({"coefficients": "1.2,1.1,1.15"})         # the paper's own
>>> abs(arch.macs / subject.base.macs - 2) < 0.02, arch.resolution
(True, 260)
"""

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nas import catalog
from nas.architecture import Architecture
from nas.baseline import Baseline, from_document
from nas.documents import BaselineDocument
from nas.errors import NasError, listed, near, short
from nas.latency_model import LatencyModel
from nas.planning import plan
from nas.plans import Budget, Plan
from nas.search.costs import MACS
from nas.search.recorded import Factor
from nas.search.scaling_grid import SCALE, GridSettings, coefficients_of, grid
from nas.search.settings import Limits
from nas.search.subject import NO_PARTS, Subject
from nas.search.view import Sample, View, no_factor
from nas.tables import short as figure
from nas.tables import stage_markdown

CHOICE = "coefficients"
NETWORK = ("resolution", "stem", "stages", "head", "activation")
"""What of a baseline's document its sha256 covers: facts and coefficients may be added to it."""


class ScalingSubject(Subject):
    """The coefficients of a baseline.

    Args:
        document: the baseline's.
        settings: of the grid.
        path: where the document was read, None where that is not known.
        data: classes and channels to which costs are fitted; by default the document's own.
        where: of the settings, for messages.

    Attributes:
        baseline: as the document says.
        base: its network, fitted to the data.
        settings: of the grid.
    """

    def __init__(
        self,
        document: BaselineDocument,
        settings: GridSettings,
        path: Path | None = None,
        data: tuple[int, int] | None = None,
        where: str = "scaling",
    ) -> None:
        self._document, self.settings, self.path, self._where = document, settings, path, where
        self.baseline: Baseline = from_document(document)
        self.base = (
            self.baseline.architecture if data is None else self.baseline.architecture.with_data(*data)
        )
        self.name, self.table, self.freezes = SCALE + document.name, None, True
        self.sha256 = fingerprint(document)
        self.choices = {CHOICE: grid(settings, where)}
        self.target = round(self.base.macs * settings.multiple)
        self._plans: dict[str, Plan | NasError] = {}

    def plan(self, value: str) -> Plan:
        """The network of coefficients; NasError where there is none."""
        if value not in self._plans:
            try:
                self._plans[value] = plan(self.base, Budget(macs=self.target), *coefficients_of(value))
            except NasError as error:
                self._plans[value] = error
        found = self._plans[value]
        if isinstance(found, NasError):
            raise NasError(f"{self.name}: coefficients {value}: {found}")
        return found

    @cached_property
    def planned(self) -> dict[str, Plan]:
        """Every coefficient of the grid of which there is a network."""
        found, last = {}, None
        for value in self.choices[CHOICE]:
            try:
                found[value] = self.plan(value)
            except NasError as error:
                last = error
        if not found:
            raise NasError(f"no coefficients of the grid make a network: {last}")
        return found

    def networks(self, limits: Limits | None = None) -> int:
        """How many networks there are (within limits): coefficients that make the same are one."""
        archs = [plan.architecture for plan in self.planned.values()]
        return len(
            {arch.key for arch in archs if limits is None or limits.refuse(arch.macs, arch.params) is None}
        )

    def nearest(self, key: str) -> str:
        """Of the coefficients that make one network, those to whose ratios it came nearest."""
        alike = {value: plan for value, plan in self.planned.items() if plan.architecture.key == key}

        def off(value: str) -> float:
            found = alike[value]
            ratios = (found.depth, found.width, found.resolution)
            pairs = zip(ratios, coefficients_of(value), strict=True)
            return sum((math.log(ratio) - found.phi * math.log(asked)) ** 2 for ratio, asked in pairs)

        return min(alike, key=off)

    # What a subject is asked

    def validate(self, sample: Mapping[str, Any]) -> Sample:
        if set(sample) != {CHOICE}:
            raise NasError(f"{self.name}: the sample has {listed(sample) or 'nothing'}; give {CHOICE} alone")
        value, known = sample[CHOICE], self.choices[CHOICE]
        if value not in known:
            hint = near(value, known) if isinstance(value, str) else ""
            raise NasError(
                f"{self.name}: {CHOICE} is {short(value)}{hint}; give alpha,beta,gamma of the grid, such as "
                f"'{known[0]}'"
            )
        return {CHOICE: value}

    def random(self, rng: np.random.Generator) -> Sample:
        values = list(self.planned)
        return {CHOICE: values[rng.integers(len(values))]}

    def key(self, sample: Sample) -> str:
        return self.architecture(sample).key

    def cost(self, sample: Sample) -> dict[str, Any]:
        arch = self.architecture(sample)
        return {"macs": arch.macs, "params": arch.params}

    def refuse(self, sample: Sample) -> str | None:
        return None

    def view(self, limits: Limits, factor: Factor = no_factor, cost: str = MACS) -> View:
        def refused(sample: Sample) -> str | None:
            arch = self.architecture(sample)
            return limits.refuse(arch.macs, arch.params)

        only = [{CHOICE: value} for value in self.planned]
        macs = lambda sample: self.architecture(sample).macs  # noqa: E731
        return View(self.choices, macs, self.key, refused, factor, only=only)

    def check(self, limits: Limits, where: str = "classArgs") -> None:
        if not self.networks(limits):
            archs = [plan.architecture for plan in self.planned.values()]
            least = {name: min(getattr(arch, name) for arch in archs) for name in ("macs", "params")}
            raise NasError(
                f"{where}: the limits leave none of the {len(archs)} networks of {self.name}, whose least are macs "
                f"{least['macs']:,} and params {least['params']:,}; raise them"
            )

    def form(self) -> dict[str, Any]:
        return {
            "space": self.name,
            "sha256": self.sha256,
            "baseline": self._document.model_dump(mode="json", exclude_defaults=True),
            "scaling": self.settings.model_dump(),
            "path": None if self.path is None else str(self.path),
            "classes": self.base.head.classes,
            "in_chans": self.base.stem.in_chans,
        }

    def trial_form(self) -> dict[str, Any]:
        return {**super().trial_form(), "scaling": self.settings.model_dump()}

    def document(self) -> str | None:
        return self._document.model_dump_json(indent=1, exclude_defaults=True)

    def with_data(self, classes: int, in_chans: int) -> "ScalingSubject":
        data = (classes, in_chans)
        return ScalingSubject(self._document, self.settings, self.path, data, self._where)

    def with_latency(self, model: LatencyModel) -> "ScalingSubject":
        raise NasError(NO_PARTS.format(f"the grid {self.name}"))

    def architecture(self, sample: Sample) -> Architecture:
        return self.plan(sample[CHOICE]).architecture

    def markdown(self, sample: Sample) -> str:
        alpha, beta, gamma = coefficients_of(sample[CHOICE])
        product = alpha * beta**2 * gamma**2
        head = f"alpha {alpha:g}, beta {beta:g}, gamma {gamma:g} (product {product:.3f})"
        return f"{head}\n\n{stage_markdown(self.architecture(sample))}"

    def headline(self) -> str:
        return (
            f"{self.name}: {len(self.planned)} coefficients, {self.networks()} networks of about {figure(self.target)} "
            f"multiply-adds ({self.settings.multiple:g} x the baseline's {figure(self.base.macs)})"
        )


def fingerprint(document: BaselineDocument) -> str:
    """sha256 of a baseline's network, the same for YAML and for plain data."""
    content = document.model_dump(mode="json", include=set(NETWORK))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def document_of(name: str) -> BaselineDocument:
    """The document of a catalogue name or of a path."""
    return BaselineDocument.read(catalog.find("baselines", name))
