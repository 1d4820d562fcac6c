"""Known answers: published networks of the space, evaluated like its own, that no strategy was told of.

EfficientNet-B0, MnasNet-A1 and MobileNetV2 were found or drawn by others for other images. Brought to the search's
space and target and trained by its proxy they say what the proxy is worth: where it puts them into the lower half of
networks of their cost, it ranks by something else than what made them good, or they are no good here.

>>> from nas.baseline import load
>>> from nas.space import SearchSpace
>>> space = SearchSpace.load("cifar")
>>> found = brought(load("efficientnet-b0").architecture, space, 6_000_000)
>>> abs(space.decode(found).macs / 6e6 - 1) < 0.1
True
"""

import json
import math
import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from nas.architecture import Architecture, Stage
from nas.baseline import load
from nas.choices import StageChoices
from nas.errors import NasError, short
from nas.files import text_of, write_whole
from nas.ops import OPS
from nas.rivals import REFERENCES
from nas.search.journal import Journal
from nas.search.settings import RewardSettings
from nas.search.trials import Trial
from nas.space import Sample, SearchSpace
from nas.strict_json import load_json

FILE, MOST = "known.json", 1 << 20
"""The file, and how many bytes it has at most."""
MEND = "take it away, and nas search --resume --known-answers writes it anew"
FIRST = 10
"""Trials before a strategy has learnt much: peers of later ones may have been sought out."""
BAND, ENOUGH = 0.1, 10
"""Networks whose multiply-adds are within BAND of a reference's are its peers; fewer than ENOUGH are too few."""
WIDTHS = sorted([*np.geomspace(0.05, 4, 60), 1.0])
"""Width multipliers that are tried; depth goes with width as in compound scaling (1.2 to 1.1)."""
DEPTHS = (0.0, 0.5, 1.0, 1.5)
"""Powers of it that are tried besides: 0 keeps the reference's own layers."""
SHAPE = ("op", "kernel", "expand", "se", "skip")


@dataclass(frozen=True)
class Known:
    """A reference and how it fared.

    Attributes:
        off: why the space has no network of its shape; then nothing else is known.
        peers: explored networks within `BAND` of its multiply-adds.
        early: how many of them are of the first `FIRST` trials.
        by_accuracy, by_reward: percent of them that are worse, ties by halves; None of too few.
    """

    name: str
    sample: Sample | None = None
    macs: int | None = None
    off: str | None = None
    accuracy: float | None = None
    reward: float | None = None
    failed: str | None = None
    peers: int = 0
    early: int = 0
    by_accuracy: float | None = None
    by_reward: float | None = None

    @property
    def low(self) -> bool:
        """Whether the proxy puts it into the lower half."""
        return self.by_accuracy is not None and self.by_accuracy < 50

    @property
    def why_low(self) -> str:
        """What may have put it there, a clause each."""
        return (
            "it is no good for these images, or the search did well "
            f"(of its {self.peers} peers {self.early} are of the first {FIRST} trials; later ones may have been sought "
            "out), or the proxy ranks by something else"
        )


def brought(arch: Architecture, space: SearchSpace, target: float) -> Sample:
    """The sample of a space that has a network's shape, and about the target's multiply-adds.

    Each stage of the space takes operation, kernel, expansion, squeeze-and-excitation and skip of the stage of the
    network at the same part of its depth; channels and layers are the network's, scaled together.

    Raises:
        NasError: where the space lacks one of those, with the stage and the value.
    """
    last = len(arch.stages) - 1
    of = [arch.stages[round(n * last / max(1, len(space.stages) - 1))] for n in range(len(space.stages))]
    shape: Sample = {}
    for choices, stage in zip(space.stages, of, strict=True):
        for field in SHAPE:
            value = _value(choices, field, stage)
            if choices.label(field) in space.choices:
                shape[choices.label(field)] = value
    best: tuple[float, Sample] | None = None
    for width in WIDTHS:
        for power in DEPTHS:
            depth = width ** (power * math.log(1.2) / math.log(1.1))
            sample = dict(shape)
            for choices, stage in zip(space.stages, of, strict=True):
                for field, aim in (("channels", stage.channels * width), ("layers", stage.layers * depth)):
                    if choices.label(field) in space.choices:
                        sample[choices.label(field)] = _nearest(choices.options[field], aim)
            found = space.validate(sample)
            off = abs(math.log(space.decode(found).macs / target)) + 0.02 * abs(power - 1)
            off -= 0.05 * (width == 1)  # the network itself, where that is about the target
            if best is None or off < best[0] - 1e-12:
                best = off, found
    assert best is not None
    return best[1]


def _value(choices: StageChoices, field: str, stage: Stage) -> Any:
    """The stage's own value of a field, where the space has it or it does not matter there."""
    options, own = choices.options[field], getattr(stage, field)
    if own in options or (field == "expand" and not OPS[stage.op].expands):
        return own if own in options else options[0]
    raise NasError(f"stage{choices.number}.{field} {own} is not in the space")


def _nearest(options: tuple[Any, ...], aim: float) -> Any:
    return min(options, key=lambda value: abs(math.log(value / aim)))


def references(space: SearchSpace, target: float) -> list[Known]:
    """Every reference, as far as the space has its shape."""
    found = []
    for name in REFERENCES:
        try:
            sample = brought(load(name).architecture, space, target)
            found.append(Known(name, sample, space.decode(sample).macs))
        except NasError as error:
            found.append(Known(name, off=str(error)))
    return found


def judged(known: Known, trials: list[Trial], settings: RewardSettings, target: int) -> Known:
    """With its rank among explored networks of its cost."""
    if known.accuracy is None or known.macs is None:
        return known
    worth = settings.of(known.accuracy, known.macs, target)
    peers = {
        trial.key: trial for trial in trials if trial.scored and abs((trial.macs or 0) / known.macs - 1) <= BAND
    }  # fmt: skip
    enough = len(peers) >= ENOUGH

    def percent(own: float, of: Callable[[Trial], float]) -> float | None:
        others = np.array([of(trial) for trial in peers.values()])
        worse = 2 * (others < own).sum() + (others == own).sum()
        return round(100 * float(worse) / (2 * len(others)), 1) if enough else None

    by_accuracy = percent(known.accuracy, lambda trial: trial.accuracy or 0.0)
    by_reward = percent(worth, lambda trial: trial.reward or 0.0)
    early = sum(trial.number < FIRST for trial in peers.values())
    return replace(
        known, reward=worth, peers=len(peers), early=early, by_accuracy=by_accuracy, by_reward=by_reward
    )


def evaluated(
    journal: Journal, space: SearchSpace, target: int, command: str, folder: Path,
    report: Callable[[Known], None], limit: float | None = None,
) -> list[Known]:  # fmt: skip
    """Evaluates the references by the run's own trials, one after the other, and writes `known.json`.

    What is there already is not evaluated again; ranks are those among the trials of now.

    Args:
        command: the trials', as NNI ran it.
        folder: that they run in.
        report: called with each, once it is known; `limit`: seconds of a trial.
    """
    settings, seed = RewardSettings(**journal.run["trial"]["reward"]), journal.run["seed"]
    path = journal.path.with_name(FILE)
    before = {known.name: known for known in read(path)}
    found = []
    for known in references(space, target):
        old = before.get(known.name)
        has = known.sample is not None
        if has and old is not None and old.sample == known.sample and old.accuracy is not None:
            known = replace(known, accuracy=old.accuracy)
        elif known.sample is not None:
            known = replace(known, **_trial(command, folder, journal, known.sample, seed, limit))
        known = judged(known, journal.ended(), settings, target)
        found.append(known)
        write_whole(path, json.dumps([asdict(one) for one in found], indent=1) + "\n")
        report(known)
    return found


def read(path: Path) -> list[Known]:
    """What was written; nothing where there is no such file, or a damaged one."""
    try:
        return read_checked(path)
    except NasError:
        return []


def read_checked(path: Path) -> list[Known]:
    """What was written, for who shows it; nothing where there is no such file.

    Raises:
        NasError: for a file that is damaged.
    """
    if not path.exists():
        return []
    data = load_json(text_of(path, MOST, "which no known answers are"), str(path), MEND)
    try:
        found = TypeAdapter(Annotated[list[Known], Field(max_length=64)]).validate_python(data)
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_url=False)[0]["loc"])) or "its list"
        raise NasError(f"{path}: {place} is damaged; {MEND}") from None
    for one in found:
        if not 0 <= (one.accuracy or 0) <= 1 or (one.macs is not None and one.macs <= 0):
            raise NasError(f"{path}: of {short(one.name)} accuracy or macs is none; {MEND}")
    return found


def _trial(
    command: str, folder: Path, journal: Journal, sample: Sample, seed: int, limit: float | None
) -> dict[str, Any]:  # fmt: skip
    """One trial by hand: its accuracy, or why it failed."""
    words = shlex.split(command)
    document = journal.path.parent.resolve() / "space.json"
    words += ["--space", str(document), "--sample", json.dumps(sample), "--seed", str(seed)]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("NNI_")}
    try:
        done = subprocess.run(
            words, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"it took longer than maxTrialDuration ({limit:g} s)"}
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode != 0:
        return {"failed": lines[-1][:500] if lines else f"exit code {done.returncode}"}
    return {"accuracy": float(json.loads(done.stdout.splitlines()[-1])["accuracy"])}
