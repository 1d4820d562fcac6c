"""SearchSpace: a document in which some choices are still open.

A *sample* is a flat dict, one value for each open choice; `decode` makes it an Architecture.

>>> import numpy as np
>>> space = SearchSpace.load("digits")
>>> sample = space.sample(np.random.default_rng(0))
>>> space.contains(space.decode(sample))
True
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nas import catalog
from nas.architecture import Architecture, Head, Stage, Stem, check_stage, stage_cost, stage_key
from nas.cost import cost
from nas.documents import SpaceDocument, StageLine
from nas.errors import NasError, listed, near
from nas.ops import output_size

Sample = dict[str, Any]

CHOICES = ("op", "kernel", "expand", "se", "skip", "channels", "layers")
"""The fields of a stage that may be lists, in the order of the document's grammar."""

MAX_COMBINATIONS = 200_000
"""Combinations of one stage; more could not be tabulated."""


class SearchSpace:
    """A set of architectures, factorized by stage (MnasNet, arXiv:1807.11626, section 4.1).

    Attributes:
        name: the document's name.
        choices: for each open choice, such as 'stage3.kernel', the values it may take.
        target: multiply-adds T of the reward by default: the document's, else the median.
    """

    def __init__(self, document: SpaceDocument, where: str | None = None) -> None:
        self.document = document
        self.name = document.name
        self._where = where or f"search space {document.name}"
        self._options = [self._stage_options(i, line) for i, line in enumerate(document.stages, 1)]
        self.choices: dict[str, tuple[Any, ...]] = {
            f"stage{number}.{field}": values
            for number, options in enumerate(self._options, 1)
            for field, values in options.items()
            if len(values) > 1
        }
        self._check()

    @classmethod
    def load(cls, name: str | Path) -> "SearchSpace":
        """The space of a catalogue name or of a path.

        Raises:
            NasError: for an unknown name or a bad document, with the line.
        """
        path = catalog.find("search_spaces", str(name))
        return cls(SpaceDocument.read(path), str(path))

    @classmethod
    def from_data(cls, data: object, where: str = "search space") -> "SearchSpace":
        """The space that plain data describes, as NNI hands a document on."""
        return cls(SpaceDocument.check(data, where), where)

    def _stage_options(self, number: int, line: StageLine) -> dict[str, tuple[Any, ...]]:
        options: dict[str, tuple[Any, ...]] = {}
        for field in CHOICES:
            written = getattr(line, field)
            values = tuple(written) if isinstance(written, list) else (written,)
            where = f"{self._where}: stage{number}.{field}"
            if not values:
                raise NasError(f"{where} is empty; give at least one value")
            if len(set(values)) < len(values):
                raise NasError(f"{where} has a value twice in {list(values)}; write each once")
            options[field] = values
        if np.prod([len(v) for v in options.values()]) > MAX_COMBINATIONS:
            raise NasError(
                f"{self._where}: stage{number} has more than {MAX_COMBINATIONS} combinations; shorten its lists"
            )
        return options

    def _check(self) -> None:
        """Every value of every list must make a possible stage."""
        for number, (options, line) in enumerate(zip(self._options, self.document.stages, strict=True), 1):
            first = {field: values[0] for field, values in options.items()}
            for field, values in options.items():
                for value in values:
                    stage = _stage(line, {**first, field: value})
                    if stage.op not in ("dsconv",):
                        stage = replace(stage, pointwise_activation=False)
                    if stage.op != "mbconv":
                        stage = replace(stage, always_expand=False)
                    check_stage(stage, f"{self._where}: stage{number}")
        for label, values in self.document.added.items():
            unknown = set(values) - set(self.choices.get(label, ()))
            if unknown:
                raise NasError(
                    f"{self._where}: added.{label} has {listed(unknown)}, which the list "
                    f"{list(self.choices.get(label, ()))} of that choice has not; add it there too"
                )
        try:
            self.decode({label: values[0] for label, values in self.choices.items()})
        except NasError as error:
            raise NasError(f"{self._where}: {error}") from None
        if self.document.target is not None and self.document.target <= 0:
            raise NasError(f"{self._where}: target is {self.document.target}; give multiply-adds over 0")

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
        for label in sample:
            if label not in self.choices:
                raise NasError(
                    f"sample: {label!r} is no choice of {self.name}{near(label, self.choices)}; "
                    f"its choices are {listed(self.choices)}"
                )
        found: Sample = {}
        for label, values in self.choices.items():
            if label not in sample:
                raise NasError(f"sample: choice {label!r} is missing; allowed: {listed(values)}")
            value = sample[label]
            matches = [v for v in values if v == value and isinstance(value, bool) == isinstance(v, bool)]
            if not matches:
                raise NasError(f"sample: {label} is {value!r}; allowed: {listed(values)}")
            found[label] = matches[0]
        return found

    def decode(self, sample: Mapping[str, Any]) -> Architecture:
        """The architecture of a sample, with the document's classes and input channels."""
        found = self.validate(sample)
        stages = []
        for number, line in enumerate(self.document.stages, 1):
            options = self._options[number - 1]
            values = {field: found.get(f"stage{number}.{field}", options[field][0]) for field in CHOICES}
            stages.append(_stage(line, values))
        return replace(self._frame, stages=tuple(stages))

    @cached_property
    def _frame(self) -> Architecture:
        """Stem, head, activation and resolution, around stages that `decode` replaces."""
        doc = self.document
        return Architecture(
            stem=Stem(doc.stem.channels, doc.stem.stride, doc.stem.in_chans),
            stages=tuple(
                _stage(line, {field: values[0] for field, values in options.items()})
                for line, options in zip(doc.stages, self._options, strict=True)
            ),
            head=Head(doc.head.channels, doc.head.classes),
            activation=doc.activation,
            resolution=doc.resolution,
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
                f"{self.name} does not contain it: " + "; ".join(f"{k}: {v}" for k, v in reasons.items())
            )
        sample: Sample = {}
        channels = arch.stem.channels
        for number, stage in enumerate(arch.stages, 1):
            written = [c for c in self._equal(number, stage, channels)]
            best = max(written, key=lambda c: sum(c[f] == getattr(stage, f) for f in CHOICES))
            sample |= {f"stage{number}.{f}": v for f, v in best.items() if f"stage{number}.{f}" in self.choices}
            channels = stage.channels
        return sample

    def contains(self, arch: Architecture) -> bool:
        """Whether some sample is the same network, whatever its classes and input channels."""
        return not self.missing(arch)

    def missing(self, arch: Architecture) -> dict[str, str]:
        """Why the space does not contain `arch`: part -> reason; empty where it does."""
        frame = self._frame
        reasons = {
            part: f"{found} instead of {wanted}"
            for part, found, wanted in (
                ("stages", len(arch.stages), len(frame.stages)),
                ("stem.channels", arch.stem.channels, frame.stem.channels),
                ("stem.stride", arch.stem.stride, frame.stem.stride),
                ("head.channels", arch.head.channels, frame.head.channels),
                ("activation", arch.activation, frame.activation),
                ("resolution", arch.resolution, frame.resolution),
            )
            if found != wanted
        }
        if "stages" in reasons:
            return reasons
        channels = arch.stem.channels
        for number, stage in enumerate(arch.stages, 1):
            if next(self._equal(number, stage, channels), None) is None:
                options = self._options[number - 1]
                outside = [
                    f"{field} {getattr(stage, field)} is not in {list(options[field])}"
                    for field in ("channels", "layers", "op", "kernel", "se", "skip", "expand")
                    if getattr(stage, field) not in options[field]
                ]
                if stage.stride != self.document.stages[number - 1].stride:
                    outside.insert(0, f"stride {stage.stride} instead of {self.document.stages[number - 1].stride}")
                reasons[f"stage{number}"] = outside[0] if outside else "no combination computes the same"
            channels = stage.channels
        return reasons

    def _equal(self, number: int, stage: Stage, in_channels: int) -> Iterator[dict[str, Any]]:
        """The combinations of a stage that compute what `stage` does after `in_channels`."""
        wanted = stage_key(stage, in_channels)
        options = self._options[number - 1]
        if stage.channels not in options["channels"] or stage.layers not in options["layers"]:
            return
        narrowed = {**options, "channels": (stage.channels,), "layers": (stage.layers,)}
        for values in itertools.product(*narrowed.values()):
            combination = dict(zip(CHOICES, values, strict=True))
            if stage_key(_stage(self.document.stages[number - 1], combination), in_channels) == wanted:
                yield combination

    # Size and cost

    @property
    def size_raw(self) -> int:
        """The product of the lists."""
        return int(np.prod([len(v) for v in self.choices.values()], dtype=object)) if self.choices else 1

    @cached_property
    def size(self) -> int:
        """Distinct canonical architectures (`Architecture.key`), counted exactly.

        What a stage can compute depends on its input channels alone, so the count runs over
        the stages with one number for each width.
        """
        counts = {self._frame.stem.channels: 1}
        for number, options in enumerate(self._options, 1):
            line = self.document.stages[number - 1]
            following: dict[int, int] = dict.fromkeys(options["channels"], 0)
            for in_channels, ways in counts.items():
                keys: dict[int, set[str]] = {c: set() for c in options["channels"]}
                for values in itertools.product(*options.values()):
                    stage = _stage(line, dict(zip(CHOICES, values, strict=True)))
                    keys[stage.channels].add(stage_key(stage, in_channels))
                for channels, distinct in keys.items():
                    following[channels] += ways * len(distinct)
            counts = following
        return sum(counts.values())

    @cached_property
    def costs(self) -> "CostTable":
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
            ),
            self._where,
        )


class CostTable:
    """Exact cost of thousands of samples at once: a stage's cost depends on its own choices and
    on the channels before it, so one small table a stage is all there is to add up.

    >>> space = SearchSpace.load("digits")
    >>> params, macs = space.costs.of_random(3, seed=0)
    >>> int(macs.min()) > 0
    True
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._labels = list(space.choices)
        frame = space._frame
        before = (frame.stem.channels,)
        before_label: str | None = None
        stem, height = cost(frame.stem_layers, frame.resolution)
        self._fixed = stem
        self._tables: list[tuple[list[str], np.ndarray]] = []
        for number, options in enumerate(space._options, 1):
            line = space.document.stages[number - 1]
            stages = [_stage(line, dict(zip(CHOICES, v, strict=True))) for v in itertools.product(*options.values())]
            values = [stage_cost(stage, channels, height)[0] for channels in before for stage in stages]
            shape = [len(v) for v in options.values() if len(v) > 1]
            labels = [f"stage{number}.{field}" for field, v in options.items() if len(v) > 1]
            if before_label:
                shape, labels = [len(before), *shape], [before_label, *labels]
            self._tables.append((labels, np.array(values, np.int64).reshape(*shape, 2)))
            before = options["channels"]
            before_label = f"stage{number}.channels" if len(before) > 1 else None
            height = output_size(height, line.stride)
        heads = [
            cost(replace(frame, stages=(replace(frame.stages[-1], channels=c, stride=1),)).head_layers, height)[0]
            for c in before
        ]
        shape = [len(before), 2] if before_label else [2]
        self._tables.append(([before_label] if before_label else [], np.array(heads, np.int64).reshape(shape)))

    def indices(self, samples: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """int array (samples, choices): the position of each value in its list."""
        lists = self._space.choices.items()
        return np.array(
            [[values.index(sample[label]) for label, values in lists] for sample in samples], np.intp
        ).reshape(len(samples), len(self._labels))

    def __call__(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(params, macs), int64 arrays (samples,), of an index array (samples, choices)."""
        column = {label: indices[:, i] for i, label in enumerate(self._labels)}
        total = np.tile(np.array(self._fixed, np.int64), (len(indices), 1))
        for labels, table in self._tables:
            total += table[tuple(column[label] for label in labels)]
        return total[:, 0], total[:, 1]

    def of_random(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(params, macs) of `n` uniform samples."""
        rng = np.random.default_rng(seed)
        sizes = [len(v) for v in self._space.choices.values()]
        return self(rng.integers(0, sizes, size=(n, len(sizes))) if sizes else np.zeros((n, 0), np.intp))

    def macs_range(self) -> tuple[int, int]:
        """Exactly the fewest and the most multiply-adds of any architecture of the space."""
        ends = []
        for best in (np.min, np.max):
            reach = np.zeros(1)  # best sum so far for each value of the previous channels
            for (labels, table), following in zip(self._tables, [*self._tables[1:], ([], None)], strict=True):
                macs = table[..., 1].astype(float)
                shared = labels[0] if labels and len(reach) > 1 else None
                if shared is not None:
                    macs = macs + reach.reshape(-1, *[1] * (macs.ndim - 1))
                else:
                    macs = macs + reach.item()
                keep = [i for i, label in enumerate(labels) if following[0][:1] == [label]]
                reach = np.atleast_1d(best(macs, axis=tuple(i for i in range(macs.ndim) if i not in keep)))
            ends.append(int(best(reach)) + self._fixed.macs)
        return ends[0], ends[1]


def _stage(line: StageLine, values: Mapping[str, Any]) -> Stage:
    op = values["op"]
    return Stage(
        **values,
        stride=line.stride,
        pointwise_activation=line.pointwise_activation and op == "dsconv",
        always_expand=line.always_expand and op == "mbconv",
    )
