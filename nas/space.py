"""SearchSpace: a document in which some choices are still open.

A *sample* is a flat dict, one value for each open choice; `decode` makes it an Architecture.

>>> import numpy as np
>>> space = SearchSpace.load("digits")
>>> sample = space.sample(np.random.default_rng(0))
>>> space.contains(space.decode(sample))
True
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nas import catalog
from nas.architecture import Architecture, stage_key
from nas.choices import FIELDS, StageChoices, check_added, check_heights, stage_choices, validated
from nas.cost_table import CostTable
from nas.documents import SpaceDocument
from nas.errors import NasError
from nas.ops import OPS
from nas.parts import Head, Stage, Stem

Sample = dict[str, Any]

KEPT = 4096
"""Architectures that a space remembers of what it decoded last: strategies ask for the same one several times."""
_STEM = ("channels", "stride", "kernel", "first", "pool", "valid", "bias")
_HEAD = ("channels", "hidden", "conv")


class SearchSpace:
    """A set of architectures, factorized by stage (MnasNet, arXiv:1807.11626, section 4.1).

    Attributes:
        name: the document's name.
        choices: for each open choice, such as 'stage3.kernel', the values it may take.
        stages: the same by stage, with the fields that are decided.
        frame: stem, head, activation and resolution, around the first value of every list.
        target: multiply-adds T of the reward by default: the document's, else the median.
    """

    def __init__(self, document: SpaceDocument) -> None:
        self.document = document
        self.name = document.name
        self.stages: tuple[StageChoices, ...] = stage_choices(document)
        self.choices: dict[str, tuple[Any, ...]] = {}
        self._decoded: dict[Any, Architecture] = {}
        for stage in self.stages:
            self.choices |= stage.open
        check_added(document, self.choices)
        if document.target is not None and document.target <= 0:
            raise document.mistake(f"target is {document.target}; give multiply-adds over 0, such as 400M")
        try:
            self.frame = Architecture(
                stem=Stem(**dict(document.stem)),
                stages=tuple(stage.stage({}) for stage in self.stages),
                head=Head(**dict(document.head)),
                activation=document.activation,
                resolution=document.resolution,
            )
        except NasError as error:
            raise document.mistake(error) from None
        check_heights(document, self.stages, self.frame.heights()[1:], self.frame.stem.channels)

    @classmethod
    def load(cls, name: str | Path) -> "SearchSpace":
        """The space of a catalogue name or of a path.

        Raises:
            NasError: for an unknown name or a bad document, with the line.
        """
        return cls(SpaceDocument.read(catalog.find("search_spaces", str(name))))

    @classmethod
    def from_data(cls, data: object, where: str = "search space") -> "SearchSpace":
        """The space that plain data describes, as NNI hands a document on."""
        return cls(SpaceDocument.check(data, where))

    # Samples

    def sample(self, rng: np.random.Generator) -> Sample:
        """One sample, each choice uniform and independent."""
        return {label: values[rng.integers(len(values))] for label, values in self.choices.items()}

    def mutate(self, sample: Mapping[str, Any], rng: np.random.Generator, choices: int = 1) -> Sample:
        """A copy of `sample` in which `choices` choices, drawn at random, take another value."""
        changed = dict(self.validate(sample))
        for label in rng.choice(list(self.choices), size=min(choices, len(self.choices)), replace=False):
            others = [value for value in self.choices[label] if value != changed[label]]
            changed[str(label)] = others[rng.integers(len(others))]
        return changed

    def validate(self, sample: Mapping[str, Any]) -> Sample:
        """`sample` with the very values of the lists, in the document's order.

        Raises:
            NasError: for an unknown, missing or illegal choice, with what is allowed.
        """
        return validated(sample, self.choices, self.name)

    def decode(self, sample: Mapping[str, Any]) -> Architecture:
        """The architecture of a sample, with the document's classes and input channels."""
        try:
            asked = (
                tuple(sample.items()),
                tuple(map(type, sample.values())),
            )  # 1 is True to a dict, and not to us
            known = self._decoded.get(asked)
        except (TypeError, AttributeError):  # no mapping, or of a value that is no choice
            return self._decode(self.validate(sample))
        if known is None:
            known = self._decode(self.validate(sample))
            if len(self._decoded) >= KEPT:
                self._decoded.clear()
            self._decoded[asked] = known
        return known

    def _decode(self, found: Sample) -> Architecture:
        return replace(
            self.frame,
            stages=tuple(
                stage.stage({f: found[stage.label(f)] for f in FIELDS if stage.label(f) in found})
                for stage in self.stages
            ),
        )

    # Membership

    def encode(self, arch: Architecture) -> Sample:
        """A sample that decodes to a network equal to `arch` (as written, where it can be).

        Raises:
            NasError: where the space does not contain it, with the reasons.
        """
        reasons = self.missing(arch)
        if reasons:
            raise NasError(
                f"{self.name} does not contain this network: "
                + "; ".join(f"{k}: {v}" for k, v in reasons.items())
            )
        sample: Sample = {}
        channels = arch.stem.channels
        for choices, stage in zip(self.stages, arch.stages, strict=True):
            equal = self._equal(choices, stage, channels)
            best = max(equal, key=lambda found: sum(found[f] == getattr(stage, f) for f in FIELDS))
            sample |= {choices.label(f): best[f] for f in FIELDS if choices.label(f) in self.choices}
            channels = stage.channels
        return sample

    def contains(self, arch: Architecture) -> bool:
        """Whether some sample is the same network, whatever its classes and input channels."""
        return not self.missing(arch)

    def missing(self, arch: Architecture) -> dict[str, str]:
        """Why the space does not contain `arch`: part -> reason; empty where it does."""
        frame = self.frame
        reasons = {
            part: f"{found} instead of {wanted}"
            for part, found, wanted in (
                ("stages", len(arch.stages), len(frame.stages)),
                *((f"stem.{f}", getattr(arch.stem, f), getattr(frame.stem, f)) for f in _STEM),
                *((f"head.{f}", getattr(arch.head, f), getattr(frame.head, f)) for f in _HEAD),
                ("activation", arch.activation, frame.activation),
                ("resolution", arch.resolution, frame.resolution),
            )
            if found != wanted
        }
        if "stages" in reasons:
            return reasons
        channels = arch.stem.channels
        for choices, stage in zip(self.stages, arch.stages, strict=True):
            if next(self._equal(choices, stage, channels), None) is None:
                reasons[f"stage{choices.number}"] = _difference(choices, stage)
            channels = stage.channels
        return reasons

    def stage_key(self, stage: Stage, in_channels: int) -> str:
        """What a stage computes after `in_channels` in a network of this space (`nas.architecture.stage_key`)."""
        return stage_key(stage, in_channels, self.frame.activation)

    def _equal(self, choices: StageChoices, stage: Stage, in_channels: int) -> Iterator[dict[str, Any]]:
        """The combinations of a stage's choices that compute what `stage` does after `in_channels`."""
        if stage.channels not in choices.options["channels"] or stage.layers not in choices.options["layers"]:
            return
        wanted = self.stage_key(stage, in_channels)
        for values in choices.combinations(channels=(stage.channels,), layers=(stage.layers,)):
            if self.stage_key(choices.stage(values), in_channels) == wanted:
                yield values

    # Size and cost

    @property
    def size_raw(self) -> int:
        """The product of the lists."""
        return math.prod(map(len, self.choices.values()))

    @cached_property
    def size(self) -> int:
        """Distinct canonical architectures (`Architecture.key`), counted exactly.

        What a stage can compute depends on its input channels alone, so the count runs over
        the stages with one number for each width.
        """
        counts = {self.frame.stem.channels: 1}
        for choices in self.stages:
            stages = [choices.stage(values) for values in choices.combinations()]
            following = dict.fromkeys(choices.options["channels"], 0)
            for in_channels, ways in counts.items():
                keys = {(stage.channels, self.stage_key(stage, in_channels)) for stage in stages}
                for channels, _ in keys:
                    following[channels] += ways
            counts = following
        return sum(counts.values())

    @cached_property
    def costs(self) -> CostTable:
        """Vectorized cost of many samples."""
        return CostTable(self)

    @cached_property
    def target(self) -> int:
        """The document's target multiply-adds, else the median of 4,096 samples (seed 0)."""
        if self.document.target is not None:
            return self.document.target
        return int(np.median(self.costs.of_random(4096, seed=0)[1]))

    @property
    def sha256(self) -> str:
        """Fingerprint of the document's content, the same for YAML and for plain data."""
        content = self.document.model_dump(mode="json")
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def with_data(self, classes: int, in_chans: int) -> "SearchSpace":
        """The same space for data of `classes` classes and `in_chans` channels."""
        doc = self.document
        return SearchSpace(
            doc.model_copy(
                update={
                    "stem": doc.stem.model_copy(update={"in_chans": in_chans}),
                    "head": doc.head.model_copy(update={"classes": classes}),
                }
            )
        )


def _difference(choices: StageChoices, stage: Stage) -> str:
    """In what `stage` differs from every combination of the choices: the first field that shows it."""
    if stage.stride != choices.line.stride:
        return f"stride {stage.stride} instead of {choices.line.stride}"
    for field in ("channels", "layers", "op", "kernel", "se", "skip", "expand"):
        if getattr(stage, field) not in choices.options[field]:
            return f"{field} {getattr(stage, field)} is not in {list(choices.options[field])}"
    for field in ("activation", "se_kind", *OPS[stage.op].flags):
        if getattr(stage, field) != (wanted := getattr(choices.line, field)):
            return f"{field} {getattr(stage, field)} instead of {wanted}"
    return "no combination computes the same"
