"""Recorded results: a table of networks that were trained before, looked up instead of trained.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "results.csv"
>>> _ = path.write_text("depth,width,accuracy,macs\\n1,8,0.5,10\\n1,16,0.625,20\\n1,16,0.75,20\\n2,8,0.75,25\\n")
>>> table = Table.read(path)
>>> table.choices
{'depth': (1, 2), 'width': (8, 16)}
>>> TableEvaluator(table).look_up({"depth": 1, "width": 16}).accuracy        # the mean of two runs
0.6875
>>> print(table.find({"depth": 2, "width": 16}))
None
"""

import hashlib
import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from nas.architecture import Architecture
from nas.choices import validated
from nas.errors import NasError, short
from nas.evaluators import Evaluator, Metrics
from nas.evaluators.table_entries import Choices, Entry
from nas.evaluators.table_files import read_sheet
from nas.space import SearchSpace

RUNS = ("mean", "draw")
"""What several runs of one network make: their mean, or one of them, as one training would."""

Sample = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """One network and all that was measured of it.

    Attributes:
        key: equal for equal networks: the search space's canonical key, else what the file calls the
            network, else the sample.
        sample: the first recorded.
        accuracies: of every run, fractions in [0, 1].
        params: None where a plain table does not say.
        seconds: mean time of the recorded runs, None where the table does not say.
    """

    key: str
    sample: Sample
    accuracies: tuple[float, ...]
    macs: int
    params: int | None
    seconds: float | None


class Table:
    """Recorded networks of a search space, or of plain choices.

    Attributes:
        name, source: what the file says; a CSV is called as its file.
        choices: label -> values.
        space: the search space whose samples are recorded, None of plain choices.
        records: the networks, in the order of the file.
        samples: those recorded; of a search space, of those that are one network the first.
        sha256: fingerprint of the content, whatever the file's layout.
    """

    def __init__(
        self,
        name: str,
        choices: Choices,
        entries: Iterable[Entry] = (),
        source: str = "",
        space: SearchSpace | None = None,
    ) -> None:
        self.name, self.source, self.choices, self.space = name, source, choices, space
        self._by_sample: dict[str, Record] = {}
        self.samples: tuple[Sample, ...] = ()
        self._networks = _as_written(choices) if space is None else _canonical(space)
        self._fill(entries)
        self.records = tuple({id(record): record for record in self._by_sample.values()}.values())
        content = {
            "name": name,
            "space": space.sha256 if space is not None else list(choices.items()),
            "records": [(place, *vars(record).values()) for place, record in self._by_sample.items()],
        }
        self.sha256 = hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @classmethod
    def read(cls, path: str | Path, space: SearchSpace | None = None) -> "Table":
        """The table in a JSON or CSV file; see docs/tables.md.

        Args:
            space: the search space that a CSV's samples are of; a JSON must name the same.

        Raises:
            NasError: for the first mistake, with the number of its record or line.
        """
        sheet = read_sheet(Path(path), space)
        if space is not None and (sheet.space is None or sheet.space.sha256 != space.sha256):
            found = "plain choices" if sheet.space is None else f"the space {_named(sheet.space)}"
            raise NasError(f"{path}: is a table of {found}, and the search is of the space {_named(space)}")
        choices = sheet.choices if sheet.space is None else sheet.space.choices
        assert choices is not None
        return cls(sheet.name, choices, sheet.entries, sheet.source, sheet.space)

    @cached_property
    def target(self) -> int:
        """Median multiply-adds of the recorded networks."""
        return int(statistics.median(record.macs for record in self.records))

    @property
    def has_networks(self) -> bool:
        """Whether some network has more than one recorded sample."""
        return len(self.records) < len(self._by_sample)

    def validate(self, sample: Mapping[str, Any]) -> Sample:
        """`sample` with the very values of the choices.

        Raises:
            NasError: for an unknown, missing or illegal choice, with what is allowed.
        """
        return validated(sample, self.choices, self.name)

    def key(self, sample: Sample) -> str:
        """What two samples share where they are one network, recorded or not."""
        place = self._networks(sample)
        record = self._by_sample.get(place)
        return place if record is None else record.key

    def find(self, sample: Sample) -> Record | None:
        """The network of a sample, None where it is not recorded."""
        return self._by_sample.get(self._networks(sample))

    def _fill(self, entries: Iterable[Entry]) -> None:
        """Gathers the runs of each network, and refuses what contradicts itself."""
        gathered: dict[str, list[Entry]] = {}
        samples: dict[str, tuple[str, Sample]] = {}
        first: Entry | None = None
        for one in entries:
            first = first or one
            try:
                sample = self.validate(one.sample)
            except NasError as error:
                raise NasError(f"{one.where}: {error}") from None
            one = self._priced(one, sample)
            if (one.network is None) != (first.network is None):
                raise NasError(f"{one.where}: give 'network' in all records or in none ({first.where})")
            place = self._networks(sample)
            key = one.network or place
            known = samples.setdefault(place, (key, sample))[0]
            if known != key:
                raise NasError(
                    f"{one.where}: network is {short(key)}, and {short(known)} for the same sample before"
                )
            runs = gathered.setdefault(key, [])
            for name in ("macs", "params"):
                mine, before = getattr(one, name), getattr(runs[0], name) if runs else getattr(one, name)
                if mine != before:
                    raise NasError(
                        f"{one.where}: {name} is {mine}, but {before} of the same network in {runs[0].where}"
                    )
            runs.append(one)
        made = {key: _record(key, runs, samples) for key, runs in gathered.items()}
        self._by_sample = {place: made[key] for place, (key, _) in samples.items()}
        self.samples = tuple(sample for _, sample in samples.values())

    def _priced(self, one: Entry, sample: Sample) -> Entry:
        """The entry with its cost: the search space's, where there is one, which a written one must equal."""
        if self.space is None:
            if one.macs is None:
                raise NasError(f"{one.where}: macs is missing; give the network's multiply-adds")
            return replace(one, sample=sample)
        if one.network is not None:
            raise NasError(
                f"{one.where}: the search space tells which samples are one network; leave network out"
            )
        arch = self.space.decode(sample)
        for name, counted in (("macs", arch.macs), ("params", arch.params)):
            if getattr(one, name) not in (None, counted):
                raise NasError(
                    f"{one.where}: {name} is {getattr(one, name)}, but the space {self.space.name} counts "
                    f"{counted} for {arch.head.classes} classes and {arch.stem.in_chans} channels; leave it out"
                )
        return replace(one, sample=sample, macs=arch.macs, params=arch.params)


def _named(space: SearchSpace) -> str:
    return f"{space.name} (sha256 {space.sha256[:12]})"


def _as_written(choices: Choices) -> Callable[[Sample], str]:
    return lambda sample: json.dumps({label: sample[label] for label in choices})


def _canonical(space: SearchSpace) -> Callable[[Sample], str]:
    return lambda sample: space.decode(sample).key


def _record(key: str, runs: list[Entry], samples: Mapping[str, tuple[str, Sample]]) -> Record:
    first, taken = runs[0], [one.seconds for one in runs if one.seconds is not None]
    assert first.macs is not None
    accuracies = tuple(accuracy for one in runs for accuracy in one.accuracies)
    seconds = statistics.fmean(taken) if taken else None
    return Record(key, first.sample, accuracies, first.macs, first.params, seconds)


class TableEvaluator(Evaluator):
    """Looks networks up.

    Args:
        runs: 'mean' of a network's runs, or 'draw': one of them, drawn by seed and network, so that it is
            the same whenever the same search asks.
    """

    def __init__(self, table: Table, runs: str = "mean", seed: int = 0) -> None:
        if runs not in RUNS:
            raise NasError(f"table: runs is {runs!r}; allowed: {', '.join(RUNS)}")
        self.table, self.runs, self.seed = table, runs, seed

    def evaluate(
        self, arch: Architecture, report: Callable[[int, dict[str, float]], None] | None = None
    ) -> Metrics:
        """What is recorded of an architecture of the table's search space; it has no epochs to report.

        Raises:
            NasError: where it is not recorded, or the table is of plain choices.
        """
        if self.table.space is None:
            raise NasError(f"table {self.table.name} is of plain choices, which make no architecture")
        return self.look_up(self.table.space.encode(arch))

    def look_up(self, sample: Mapping[str, Any]) -> Metrics:
        """What is recorded of a sample.

        Raises:
            NasError: where it is not recorded.
        """
        found = self.table.find(self.table.validate(sample))
        if found is None:
            raise NasError(f"table {self.table.name}: {short(dict(sample))} is not recorded")
        accuracy = statistics.fmean(found.accuracies) if self.runs == "mean" else self._drawn(found)
        return Metrics(accuracy, found.macs, found.params, found.seconds or 0.0)

    def _drawn(self, record: Record) -> float:
        digest = hashlib.sha256(f"{self.seed} {record.key}".encode()).digest()
        return record.accuracies[int.from_bytes(digest[:8]) % len(record.accuracies)]
