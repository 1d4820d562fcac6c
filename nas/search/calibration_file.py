"""calibration.json, what `nas calibrate` writes of a pilot: found for a run, read and checked.

>>> Band(value=-0.05, low=None, high=-0.01).known
False
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from nas.errors import NasError
from nas.files import text_of
from nas.reading import validate
from nas.search.fidelity import Fidelity
from nas.search.finding import subject_of
from nas.search.journal import Journal
from nas.search.options import options_of, ratios_of, training_of
from nas.search.subject import SpaceSubject
from nas.search.winner import data_of
from nas.strict_json import load_json

FILE, FOLDER = "calibration.json", "pilots"
PATHS = ("folder", "npz", "split")
"""Kinds of data that have a path."""
MOST = 4 << 20
"""Bytes of such a file, at most."""
MEND = "write it anew with nas calibrate --resume"

Text = Annotated[str, Field(max_length=2000)]
Positive = Annotated[float, Field(gt=0, lt=1e30)]


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Band(_Read):
    """A figure and its interval; None for what is no number."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def known(self) -> bool:
        """Whether there is a figure with both ends."""
        return None not in (self.value, self.low, self.high)


class Landing(Band):
    """Multiply-adds that a search with the exponent `w` would end at; `percent` of random networks are below."""

    value: Positive | None
    low: Positive | None
    high: Positive | None
    w: float
    percent: float | None


class Proxy(_Read):
    """A fidelity; see `nas.search.fidelity`."""

    epochs: Annotated[int, Field(ge=1)]
    fraction: float = 1.0
    resolution: float = 1.0
    width: float = 1.0

    @property
    def fidelity(self) -> Fidelity:
        return Fidelity(self.epochs, self.fraction, self.resolution, self.width)


class Judgement(_Read):
    """See `nas.search.verdicts.Verdict`; None for what is no number."""

    fidelity: Proxy
    cost: float | None
    rank: float | None
    rank_low: float | None
    rank_high: float | None
    rank_at_cost: float | None
    noise: float | None
    regret: float | None
    regret_high: float | None


class Proxies(_Read):
    """Verdicts on fidelities against the longest; `bound` is the regret that is admitted, `cheapest` keeps it."""

    longest: Proxy
    top: int
    bound: float
    chance: float | None
    verdicts: Annotated[list[Judgement], Field(max_length=100)]
    cheapest: Proxy | None


class Calibration(_Read):
    """What a pilot says of the exponent, the frontier, and shorter proxies."""

    space: Text
    sha256: Text
    data: Text
    target: Positive
    pilot: int
    level: Annotated[float, Field(gt=0, lt=1)]
    exponent: Band
    landing: Landing
    frontier: Annotated[list[tuple[Positive, float]], Field(max_length=10_000)]
    proxies: Proxies | None = None


def read_calibration(path: Path) -> Calibration:
    """The calibration of a file.

    Raises:
        NasError: for a file that is damaged.
    """
    return validate(Calibration, _plain(path), str(path))


def _plain(path: Path) -> dict[str, Any]:
    data = load_json(text_of(path, MOST, "which no calibration is"), str(path), MEND)
    if not isinstance(data, dict):
        raise NasError(f"{path}: holds no calibration; {MEND}")
    return data


def calibration_of(run: Path, journal: Journal) -> tuple[Calibration | None, Path | None, list[str]]:
    """The latest calibration of a run's space and data, its path, and what could not be read.

    They are looked for in pilots/ here, and in that beside runs/.
    """
    subject = subject_of(journal.run, str(journal.path))
    hashes = {subject.sha256} | ({subject.space.sha256} if isinstance(subject, SpaceSubject) else set())
    data, _ = data_of(journal)
    code = run.absolute().parent.parent
    wanted = data and _named(data, code)
    found, passed = [], []
    for path in _files(code):
        try:
            plain = _plain(path)
            if wanted is None or plain.get("sha256") not in hashes:
                continue
            if (
                plain.get("data") != data
                and _named(str(plain.get("data")), path.absolute().parents[2]) != wanted
            ):
                continue
            found.append((path.stat().st_mtime, str(path), path, read_calibration(path)))
        except (NasError, OSError) as error:
            passed.append(str(error))
    if not found:
        return None, None, passed
    _, _, path, calibration = max(found, key=lambda one: one[:2])
    return calibration, path, passed


def _files(code: Path) -> Iterator[Path]:
    yield from sorted(Path(FOLDER).glob(f"*/{FILE}"))
    if code.resolve() != Path.cwd():
        yield from sorted((code / FOLDER).glob(f"*/{FILE}"))


def _named(data: str, folder: Path) -> str:
    """A data set's name, its path absolute where it has one."""
    kind, mark, path = data.partition(":")
    return f"{kind}:{(folder / path).resolve()}" if mark and kind in PATHS else data


def proxy_of(journal: Journal) -> Fidelity | None:
    """The fidelity of a run's own trials; None where they do not say."""
    try:
        options = options_of(journal.run.get("command") or "")
        if options is None or options.data is None or options.supernet is not None:
            return None
        return Fidelity(training_of(options, 0).epochs, **ratios_of(options))
    except NasError:
        return None
