"""The choices that a space document leaves open, stage by stage, checked.

>>> from nas.documents import SpaceDocument
>>> document = SpaceDocument.check(
...     {"name": "tiny", "resolution": 8, "stem": {"channels": 8}, "head": {"channels": 16},
...      "stages": [{"op": ["conv", "dsconv"], "kernel": 3, "channels": [8, 16]}]}, "tiny.yml")
>>> stage, = stage_choices(document)
>>> stage.open
{'stage1.op': ('conv', 'dsconv'), 'stage1.channels': (8, 16)}
>>> len(list(stage.combinations()))
4
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nas.architecture import check_projection, stage_cost
from nas.documents import SpaceDocument, StageLine
from nas.errors import NasError, listed, near, short
from nas.ops import FLAGS, OPS
from nas.parts import DEFAULTS, Stage, check_stage

FIELDS = ("op", "kernel", "expand", "se", "skip", "channels", "layers")
"""The fields of a stage that may be lists, in the order of the documents' grammar."""

MAX_COMBINATIONS = 200_000
"""Combinations of one stage; more could not be tabulated."""
MAX_KEPT = 1 << 16
"""Stages that are kept of each line."""
MAX_TABULATED = 250_000
"""Combinations of all stages, each times the widths before it, of which sizes and costs
are counted (in some ten seconds); the largest shipped space has 12,168."""


@dataclass(frozen=True)
class StageChoices:
    """One stage of a space: for each of `FIELDS` the values it may take, one or several."""

    number: int
    line: StageLine
    options: Mapping[str, tuple[Any, ...]]

    @property
    def open(self) -> dict[str, tuple[Any, ...]]:
        """The choices still to make, by their label in a sample, such as 'stage3.kernel'."""
        return {self.label(field): values for field, values in self.options.items() if len(values) > 1}

    def label(self, field: str) -> str:
        return f"stage{self.number}.{field}"

    def stage(self, values: Mapping[str, Any]) -> Stage:
        """The stage with `values` chosen; a field that is missing takes the first of its list."""
        chosen = tuple([values.get(field, options[0]) for field, options in self.options.items()])
        made = self._made.get(chosen)
        if made is None:
            decided = self._decided.get(chosen[0], {})
            made = Stage(**dict(zip(self.options, chosen, strict=True)), **decided)
            if len(self._made) < MAX_KEPT:
                self._made[chosen] = made
        return made

    @cached_property
    def _made(self) -> dict[tuple[Any, ...], Stage]:
        """Stages that were asked for, by their combination, which many samples share."""
        return {}

    @cached_property
    def _decided(self) -> dict[str, dict[str, Any]]:
        """Of each op the fields that are no choice, without those that belong to other ops."""
        common = {field: getattr(self.line, field) for field in ("stride", "activation", "se_kind")}
        known = [op for op in self.options["op"] if op in OPS]
        return {op: common | {flag: getattr(self.line, flag) for flag in OPS[op].flags} for op in known}

    def combinations(self, **narrowed: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
        """Every combination of values, the last field fastest; `narrowed` fields take only those."""
        for values in itertools.product(*({**self.options, **narrowed}).values()):
            yield dict(zip(FIELDS, values, strict=True))


def validated(sample: Mapping[str, Any], choices: Mapping[str, tuple[Any, ...]], name: str) -> dict[str, Any]:
    """`sample` with the very values of the choices of `name`, in their order.

    Raises:
        NasError: for an unknown, missing or illegal choice, with what is allowed.
    """
    for label in sample:
        if label not in choices:
            raise NasError(
                f"sample: {label!r} is no choice of {name}{near(label, choices)}; "
                f"its choices are {listed(choices)}"
            )
    found: dict[str, Any] = {}
    for label, values in choices.items():
        if label not in sample:
            raise NasError(f"sample: choice {label!r} is missing; allowed: {listed(values)}")
        value = sample[label]
        matches = [v for v in values if v == value and isinstance(value, bool) == isinstance(v, bool)]
        if not matches:
            raise NasError(f"sample: {label} is {value!r}; allowed: {listed(values)}")
        found[label] = matches[0]
    return found


def stage_choices(document: SpaceDocument) -> tuple[StageChoices, ...]:
    """The choices of a document's stages.

    Raises:
        NasError: for a value twice in a list, an impossible value, or too many combinations.
    """
    found = tuple(_checked(document, number, line) for number, line in enumerate(document.stages, 1))
    counts = [math.prod(map(len, stage.options.values())) for stage in found]
    widths = [1, *(len(stage.options["channels"]) for stage in found)]
    total = sum(map(math.prod, zip(counts, widths, strict=False)))
    if total > MAX_TABULATED:
        raise document.mistake(
            f"stages have {total:,} combinations, each counted for every width before it; shorten their lists to "
            f"{MAX_TABULATED:,} or fewer"
        )
    return found


def _checked(document: SpaceDocument, number: int, line: StageLine) -> StageChoices:
    options: dict[str, tuple[Any, ...]] = {}
    for field in FIELDS:
        written = getattr(line, field)
        options[field] = values = tuple(written) if isinstance(written, list) else (written,)
        if len(set(values)) < len(values):
            raise document.mistake(
                f"stage{number}.{field} has a value twice in {short(list(values))}; write each once"
            )
    if math.prod(map(len, options.values())) > MAX_COMBINATIONS:
        raise document.mistake(
            f"stage{number} has {math.prod(map(len, options.values()))} combinations; "
            f"shorten its lists to {MAX_COMBINATIONS} or fewer"
        )
    choices = StageChoices(number, line, options)
    for flag, ops in FLAGS.items():
        if getattr(line, flag) != DEFAULTS[flag] and not set(ops) & set(options["op"]):
            raise document.mistake(
                f"stage{number}.{flag} belongs to {listed(ops)}, found with op {listed(options['op'])}; leave it out"
            )
    for op in options["op"]:
        for field, values in options.items():
            for value in values:
                try:
                    check_stage(choices.stage({"op": op, field: value}), f"stage{number}")
                except NasError as error:
                    raise document.mistake(error) from None
    return choices


def check_heights(
    document: SpaceDocument, stages: tuple[StageChoices, ...], heights: list[int], stem: int
) -> None:
    """Raises NasError where what may be chosen in one stage makes maps of different sizes, which later stages could not
    rely on, or a projection of another size than its block.

    Args:
        heights: before the first stage, and after each, of the first op of each.
        stem: channels before the first stage.
    """
    channels = stem
    for stage, before, after in zip(stages, heights, heights[1:], strict=False):
        for op, skip in itertools.product(stage.options["op"], stage.options["skip"]):
            made, where = stage.stage({"op": op, "skip": skip}), f"stage{stage.number}"
            found = stage_cost(made, channels, before)[1]
            if found != after:
                raise document.mistake(
                    f"{where}.op has {stage.options['op'][0]}, which makes {after} pixels of {before}, and {op}, which "
                    f"makes {found}; choose a resolution that halves evenly, or give each a space"
                )
            if skip == "projection":
                try:
                    check_projection(made, channels, before, where)
                except NasError as error:
                    raise document.mistake(error) from None
        channels = stage.options["channels"][0]


def check_added(document: SpaceDocument, choices: Mapping[str, tuple[Any, ...]]) -> None:
    """Raises NasError where `added` marks what is no value of an open choice."""
    for label, values in document.added.items():
        if label not in choices:
            raise document.mistake(
                f"added.{label} marks no open choice{near(label, choices)}; "
                f"the choices are {listed(choices) or 'none'}"
            )
        for value in values:
            if value not in choices[label]:
                raise document.mistake(
                    f"added.{label} marks {short(value)}, which is not in that choice's list "
                    f"{list(choices[label])}; add it there, or take the mark away"
                )
