"""Search spaces and baselines are documents of one grammar, in YAML, read strictly.

Where a space writes a list, a baseline writes one value; a stage is one line.

>>> SpaceDocument.parse("name: x", where="x.yml")
Traceback (most recent call last):
...
nas.errors.NasError: x.yml: 'resolution' is missing (and 3 more mistakes)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from nas.errors import NasError
from nas.reading import count, number, place, validate
from nas.strict_yaml import load_yaml, read_text


def _name(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a name; YAML reads a bare yes, no, on or off as true or false: quote it")
    return value


Int = Annotated[int, BeforeValidator(count)]
Number = Annotated[int | float, BeforeValidator(number)]
Text = Annotated[str, BeforeValidator(_name)]
Fraction = Annotated[float, Field(ge=0, le=1)]

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
Name = Annotated[Text, Field(pattern=NAME)]

T = TypeVar("T")
OneOrMany = T | Annotated[list[T], Field(min_length=1)]


class Strict(BaseModel):
    """Frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def Later(default: Any) -> Any:
    """A field that the first documents had not: left out where it says nothing, so that their sha256 stays."""
    return Field(default=default, exclude_if=lambda value: value == default)


class Named(Strict):
    """A name alone, to be checked before there is a document."""

    name: Name


class StemLine(Strict):
    """The stem of a document; the fields are `nas.parts.Stem`'s."""

    channels: Int
    stride: Int = 2
    in_chans: Int = 3
    kernel: Int = Later(3)
    first: Int | None = Later(None)
    pool: bool = Later(False)
    valid: bool = Later(False)
    bias: bool = Later(False)


class HeadLine(Strict):
    """The head of a document; the fields are `nas.parts.Head`'s."""

    channels: Int | None
    classes: Int = 1000
    hidden: Int | None = Later(None)
    conv: bool = Later(False)
    narrows: bool = Later(True)


class StageLine(Strict):
    """One stage of a document; the fields are `nas.parts.Stage`'s."""

    op: OneOrMany[Text]
    kernel: OneOrMany[Int]
    expand: OneOrMany[Number] | None = None
    se: OneOrMany[Number] = 0
    skip: OneOrMany[Text] = "none"
    channels: OneOrMany[Int]
    layers: OneOrMany[Int] = 1
    stride: Int = 1
    pointwise_activation: bool = False
    always_expand: bool = False
    activation: Text | None = Later(None)
    se_kind: Text = Later("standard")
    separables: Int = Later(2)
    widen_last: bool = Later(False)


class NetworkDocument(Strict):
    """What spaces and baselines have in common."""

    name: Name
    source: Text = ""
    resolution: Int
    stem: StemLine
    stages: Annotated[list[StageLine], Field(min_length=1, max_length=64)]
    head: HeadLine
    activation: Text = "relu"

    _where: str = PrivateAttr("document")
    _lines: Mapping[tuple, int] = PrivateAttr(default_factory=dict)

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """The document that `text` holds; mistakes are told with their line."""
        data, lines = load_yaml(text, where)
        return cls.check(data, where, lines)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The document in a file."""
        return cls.parse(read_text(path), str(path))

    @classmethod
    def check(cls, data: object, where: str, lines: Mapping[tuple, int] | None = None) -> Self:
        """The document that plain data (from NNI, or a loaded file) describes."""
        document = validate(cls, data, where, lines)
        document._where, document._lines = where, lines or {}
        return document

    def mistake(self, sentence: object) -> NasError:
        """The error that says `sentence`, which begins with a dotted place such as 'stage3.kernel'.

        The file and the line of that place come before it.
        """
        word, *rest = str(sentence).split(" ", 1)[0].split(".")
        numbered = word.removeprefix("stage")
        path = ("stages", int(numbered) - 1) if numbered.isdigit() else (word,)
        return NasError(f"{place(self._where, self._lines, (*path, *rest))}: {sentence}")


class SpaceDocument(NetworkDocument):
    target: Int | None = None
    added: dict[Text, list[Int | Number | Text]] = {}


class Facts(Strict):
    """What was measured of a baseline; accuracies are fractions in [0, 1], `latency` milliseconds as a search's model
    predicts them, of which `latency_by` says on what."""

    params: Int
    macs: Int
    fvcore: Int | None = None
    latency: Number | None = None
    latency_by: Text | None = None
    accuracy: Fraction | None = None
    search_accuracy: Fraction | None = None
    reward: Number | None = None
    data: Text | None = None
    seed: Int | None = None
    recipe: Text | None = None


class Provenance(Strict):
    """Where a found baseline comes from; of a member of a family, of which baseline and by which ratios."""

    space: Text | None = None
    space_sha256: Text | None = None
    table_sha256: Text | None = None
    latency_sha256: Text | None = None
    strategy: Text | None = None
    experiment: Text | None = None
    trial: Int | None = None
    versions: dict[str, str] = {}
    date: Text | None = None
    scaled_from: Text | None = None
    phi: Number | None = None
    width: Number | None = None
    depth: Number | None = None


class GridRow(Strict):
    """One candidate of a grid search; without an accuracy where it was not trained, or failed.

    Candidates between which integers cannot tell are one network, and have one trial.
    """

    alpha: Number
    beta: Number
    gamma: Number
    depth: Number
    width: Number
    resolution: Int
    macs: Int
    params: Int
    accuracy: Fraction | None = None
    reward: Number | None = None
    trial: Int | None = None


class GridLine(Strict):
    """Where a table comes from."""

    step: Number
    tolerance: Number
    multiple: Number
    strategy: Text | None = None
    experiment: Text | None = None
    trial: Int | None = None
    command: Text | None = None
    seed: Int | None = None
    versions: dict[str, str] = {}
    date: Text | None = None


class ScalingLine(Strict):
    """Compound coefficients of the family; of a grid search also where they come from, and all candidates."""

    alpha: Number
    beta: Number
    gamma: Number
    search: GridLine | None = None
    table: list[GridRow] | None = None

    @property
    def bare(self) -> "ScalingLine":
        """The coefficients alone."""
        return ScalingLine(alpha=self.alpha, beta=self.beta, gamma=self.gamma)


class RivalRow(Strict):
    """The winner against one rival, both trained anew with fresh seeds and tested once; accuracies are means of n.

    `margin` is the winner's accuracy less the rival's, `by` reward with what the reward pays for its cost, and `low` to
    `high` its interval; without them the rival is the same network, or too few of its trainings ended.
    """

    rival: Text
    macs: Int
    params: Int
    accuracy: Fraction | None = None
    n: Int
    by: Literal["accuracy", "reward"] = "accuracy"
    margin: Annotated[float, Field(ge=-1, le=1)] | None = None
    low: Number | None = None
    high: Number | None = None
    verdict: Text


class CertificateLine(Strict):
    """What `nas certify` found: whether the winner can be told from its rivals.

    Attributes:
        accuracy, sd, n: of the winner's test accuracies, one a seed of `judging_seeds`.
        finalists, random_networks: that were retrained; that the random search of equal budget evaluated.
        metric, images: what an accuracy is, of how many test images.
        level: confidence of all intervals together.
        changes: with --family, in how many of the choosing seeds the family chose another network.
    """

    data: Text
    recipe: Text
    metric: Text = "accuracy"
    images: Int
    accuracy: Fraction | None = None
    sd: Fraction | None = None
    n: Int
    level: Fraction
    finalists: Int
    random_networks: Int
    choosing_seeds: list[Int]
    judging_seeds: list[Int]
    family: bool = False
    changes: Int | None = None
    date: Text | None = None
    versions: dict[str, str] = {}
    table: list[RivalRow] = []


class BaselineDocument(NetworkDocument):
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    scaling: ScalingLine | None = None
    facts: Facts | None = None
    certificate: CertificateLine | None = None
    provenance: Provenance | None = None
