"""RUN/certificate/certificate.json, what `nas certify` writes: read and checked, and no more.

Accuracies and margins are fractions; a margin is the winner less a rival. Keys that are not known here are passed over.

>>> Judged(name="winner", macs=10, params=5, test=[0.9, None, 0.8]).accuracies
[0.9, 0.8]
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from nas.errors import NasError
from nas.files import text_of
from nas.reading import validate
from nas.strict_json import load_json

FOLDER, FILE, FORMAT = "certificate", "certificate.json", 1
MOST = 4 << 20
"""Bytes of such a file, at most."""
MEND = "write it anew with nas certify"

Fraction = Annotated[float, Field(ge=0, le=1)]
Margin = Annotated[float, Field(ge=-1, le=1)]
Bound = Annotated[float, Field(ge=-100, le=100)]
"""Of an interval: with few seeds it may reach beyond what accuracies can."""
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Text = Annotated[str, Field(max_length=2000)]
T = TypeVar("T")
Several = Annotated[list[T], Field(max_length=1000)]


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Winner(_Read):
    """The network that was chosen; `trial` of the run."""

    trial: int
    key: Text
    macs: Count
    params: Count


class Seeds(_Read):
    """Of the trainings that chose, and of those that judge."""

    choose: Several[int]
    judge: Several[int]


class Finalist(_Read):
    """A network that could have been chosen.

    Attributes:
        of: 'search' or 'random', whence it came.
        proxy: its accuracy by the proxy.
        val: of full trainings, on validation images; None where one failed.
        larger: the same of the network twice as large, where families were judged.
    """

    of: Text
    trial: int | None = None
    key: Text
    macs: Count
    params: Count
    proxy: Fraction
    val: Several[Fraction | None]
    larger: Several[Fraction | None] = Field(default_factory=list)
    reward: float | None = None
    family_reward: float | None = None

    @property
    def mean(self) -> float | None:
        """Of the validation accuracies that there are."""
        found = [value for value in self.val if value is not None]
        return sum(found) / len(found) if found else None


class RandomSearch(_Read):
    """The networks that a random search of the same cost had; the run they are in."""

    networks: Count
    run: Text | None = None


class Judged(_Read):
    """A network trained with fresh seeds and tested; `test` has None where a training failed, and there are neither
    costs nor accuracies where a reference could not be had at the winner's cost."""

    name: Text
    key: Text | None = None
    macs: Count | None
    params: Count | None
    test: Several[Fraction | None]
    note: Text | None = None

    @property
    def accuracies(self) -> list[float]:
        return [value for value in self.test if value is not None]


class Margins(_Read):
    """The winner against one rival, as `nas.certificate.Contrast` has it."""

    rival: Text
    margin: Margin
    low: Bound
    high: Bound
    n: tuple[Count, Count]
    by: Literal["accuracy", "reward"] = "accuracy"
    distinguishable: bool

    @property
    def words(self) -> str:
        from nas.certificate import Contrast  # and with it scipy

        return Contrast(self.rival, self.margin, self.low, self.high, self.n).words


class Family(_Read):
    """Whether scaled-up finalists choose another than the finalists alone: in `changed` of `of` draws; trials."""

    changed: Count
    of: Count
    choice: int
    alone: int


class Spent(_Read):
    """Seconds of trainings."""

    random: Seconds
    finalists: Seconds
    judged: Seconds


class Certificate(_Read):
    """What was chosen from what, how it fared with fresh seeds, and what that cost."""

    format: int
    run: Text
    space: Text
    data: Text
    metric: Text = "accuracy"
    images: Count = 0
    winner: Winner
    proxy_winner: int
    recipe: Text
    level: Annotated[float, Field(gt=0, lt=1)]
    seeds: Seeds
    finalists: Several[Finalist]
    random: RandomSearch
    judged: Several[Judged]
    contrasts: Several[Margins]
    family: Family | None = None
    seconds: Spent


def read_certificate(run: Path) -> Certificate | None:
    """The certificate of a run's winner; None where there is none.

    Raises:
        NasError: for a file that is damaged, or of another format.
    """
    path = run / FOLDER / FILE
    if not path.exists():
        return None
    data: Any = load_json(text_of(path, MOST, "which no certificate is"), str(path), MEND)
    if not isinstance(data, dict):
        raise NasError(f"{path}: holds no certificate; {MEND}")
    if data.get("format") != FORMAT:
        raise NasError(
            f"{path}: is of format {data.get('format')!r}, and this version reads {FORMAT}; {MEND}"
        )
    return validate(Certificate, data, str(path))
