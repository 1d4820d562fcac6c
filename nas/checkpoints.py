"""A training on disk: its settings, its checkpoint, its log; after kill -9 it goes on from there.

OUT/training.json        what is trained, on what and how: read by --resume, never changed
OUT/checkpoint.safetensors   the state after some step, replaced as a whole
OUT/log.jsonl            a line for some of the steps and one for every epoch
OUT/tensorboard/         the same, for TensorBoard
OUT/NAME.safetensors     the weights, once the training has ended
OUT/.training.lock, .pid     of the process that trains (`nas.training_lock`)
"""

import errno
import json
import math
import os
import time
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.processes import ALONE, Processes
from nas.state import State
from nas.training import Watch
from nas.weights import read_tensors, write_tensors

EVERY_SECONDS = 60.0
"""Between two checkpoints within an epoch; one is taken after every epoch as well."""
SHARE = 20
"""With `Checkpoints(each=True)` a checkpoint is taken after every step, where the steps since the last took so many
times as long as it took to write; else less often."""
EPOCH_SECONDS = 5.0
"""Between two checkpoints after short epochs."""
LOG_STEPS = 10
"""Steps between two lines of the log."""
FORMAT = "b0nas checkpoint 1"
TRAINING = "training.json"
CHECKPOINT = "checkpoint.safetensors"
INITIAL = "initial.safetensors"
"""The weights a training began from, where they were given: what it needs to resume before its first checkpoint."""


class Log:
    """log.jsonl and TensorBoard, which say the same."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.jsonl"
        self._board_folder = folder / "tensorboard"
        self._board: Any = None

    def begin(self, step: int) -> None:
        """Forgets what was written of steps after `step`: they come again."""
        from torch.utils.tensorboard import SummaryWriter

        kept = [line for line in self.lines() if line["step"] <= step]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._path.with_suffix(".partial")
            partial.write_text("".join(json.dumps(line) + "\n" for line in kept))
            partial.replace(self._path)
            self._board = SummaryWriter(str(self._board_folder), purge_step=step + 1)
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def lines(self) -> list[dict[str, float]]:
        """Every whole line; a last one that was cut short is left out."""
        if not self._path.is_file():
            return []
        found = []
        for text in self._path.read_text().splitlines():
            try:
                found.append(json.loads(text))
            except ValueError:
                break
        return found

    def write(self, step: int, **values: float) -> None:
        """A line."""
        try:
            with self._path.open("a") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
            for name, value in values.items():
                if name != "epoch":
                    self._board.add_scalar(f"train/{name}", value, step)
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def flush(self) -> None:
        """Everything written so far is on disk when this returns: a checkpoint must not outlive its log."""
        if self._board is None:
            return
        self._board.flush()
        if self._path.exists():
            with self._path.open("a") as file:
                os.fsync(file.fileno())

    def end(self) -> None:
        if self._board is not None:
            self._board.close()


class Checkpoints(Watch):
    """Takes checkpoints and writes the log; puts a training where its checkpoint is.

    Args:
        folder: of the training.
        key: of the architecture, which a checkpoint must have.
        every: seconds between two checkpoints within an epoch.
        processes: of which the first writes, and all read.
        each: takes one after each step, as far as that costs a part in `SHARE` of the time.
    """

    def __init__(
        self,
        folder: Path,
        key: str,
        every: float = EVERY_SECONDS,
        processes: Processes = ALONE,
        each: bool = False,
    ) -> None:
        self.path = folder / CHECKPOINT
        self.log = Log(folder)
        self._key, self._every, self._processes, self._each = key, every, processes, each
        self._saved, self._took = time.monotonic(), 0.0

    @property
    def exists(self) -> bool:
        return self.path.is_file()

    def begin(self, state: State) -> None:
        if self.exists:
            tensors, written = read_tensors(self.path)
            if written.pop("format", None) != FORMAT:
                raise NasError(
                    f"{self.path}: is no checkpoint of this version; start anew with another --out"
                )
            if written.pop("key") != self._key:
                raise NasError(
                    f"{self.path}: is of another network than this training; restore it, or begin another with --out"
                )
            self._steps = int(written.pop("steps"))
            state.restore(tensors, written)
        else:
            self._steps = 0
        self._processes.check_shared(self.path.parent, self._steps)
        self._saved = time.monotonic()
        if self._processes.first:
            self.log.begin(self._steps)

    def step(self, state: State, steps: int, lr: float) -> None:
        self._steps += 1
        if not self._processes.first:
            return
        if self._steps % LOG_STEPS == 0:
            self.log.write(self._steps, loss=state.losses[-1].item(), lr=lr)
        if state.step < steps and self._due(self._every):
            self.save(state)

    def epoch(self, state: State) -> None:
        if not self._processes.first:
            return
        last = state.history[-1]
        named = {f"epoch_{name}": value for name, value in last.items() if not math.isnan(value)}
        self.log.write(self._steps, epoch=state.epoch, **named)
        if self._due(min(self._every, EPOCH_SECONDS)):
            self.save(state)

    def end(self, state: State) -> None:
        if self._processes.first:
            self.save(state)

    def _due(self, seconds: float) -> bool:
        """Whether the last checkpoint is so long ago, or with `each` a part of it."""
        return time.monotonic() - self._saved >= (min(seconds, SHARE * self._took) if self._each else seconds)

    def save(self, state: State) -> None:
        """Writes the state, whole or not at all.

        Raises:
            NasError: where the disk is full or the folder gone; the last checkpoint stays.
        """
        began = time.monotonic()
        tensors, written = state.content()
        metadata = {**written, "format": FORMAT, "key": self._key, "steps": str(self._steps)}
        self.log.flush()
        write_tensors(self.path, tensors, metadata)
        self._saved = time.monotonic()
        self._took = self._saved - began


def read_settings(folder: Path, name: str = TRAINING) -> dict[str, Any]:
    """What a training in a folder was begun with.

    Raises:
        NasError: where there is no training to resume.
    """
    path = folder / name
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise NasError(f"{folder}: holds no training to resume; leave --resume out to begin one") from None
    except (OSError, ValueError) as error:
        raise NasError(f"{path}: cannot be read ({error}); start anew with another --out") from None
    return found


def has_checkpoint(folder: Path) -> bool:
    """Whether there is something that a new training in the folder would lose."""
    return (folder / CHECKPOINT).is_file()


def check_folder(folder: Path) -> None:
    """Raises NasError where a training's folder is a file."""
    if folder.exists() and not folder.is_dir():
        raise NasError(f"{folder}: is a file, and a training is a folder; choose another --out")


def check_free(folder: Path, name: str, settings: str = TRAINING) -> None:
    """Raises NasError where a folder holds a training, or a file that the training `name` would replace.

    A training that has no checkpoint yet has nothing to lose.
    """
    begun, ended = (folder / settings).exists(), folder / f"{name}.safetensors"
    if begun and ended.exists():
        raise NasError(
            f"{folder}: holds a training that has ended, with {ended.name}; give another --out to train again"
        )
    if begun and has_checkpoint(folder):
        raise NasError(f"{folder}: holds a training; give --resume to go on with it, or another --out")
    for file in (ended.name, *(() if begun else (INITIAL, CHECKPOINT, "log.jsonl"))):
        if (folder / file).exists():
            raise NasError(f"{folder / file} exists, and the training would replace it; give another --out")


def write_settings(folder: Path, settings: dict[str, Any], name: str = TRAINING) -> None:
    """Begins a training; NasError where the folder cannot be written."""
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(settings, indent=1))
        partial.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> NasError:
    space = "free some space, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return NasError(f"{path}: cannot be written ({error.strerror}); {space}choose another --out")
