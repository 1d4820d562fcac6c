"""CPU time of a training that may be interrupted; see supernet_ranking.py.

>>> from pathlib import Path
>>> from nas.checkpoints import Checkpoints
>>> Cpu(Checkpoints(Path("runs/a-training"), "key")).earlier()
0.0
"""

import json
import time

from nas.checkpoints import Checkpoints
from nas.state import State
from nas.training import Watch


class Cpu(Watch):
    """Writes cpu.json beside every checkpoint: the CPU seconds that all processes took up to it.

    What a process did after its last checkpoint is done again by the next, and counts once. It looks on after the
    checkpoints do, as in `Together(checkpoints, cpu)`.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoint, self._path = checkpoints.path, checkpoints.path.with_name("cpu.json")
        self._before, self._began, self._seen = 0.0, time.process_time(), self._saved()

    @property
    def seconds(self) -> float:
        return round(self._before + time.process_time() - self._began, 2)

    def earlier(self) -> float:
        """Of the processes before this one; none where no checkpoint is left of them."""
        if not self._checkpoint.is_file() or not self._path.is_file():
            return 0.0
        return json.loads(self._path.read_text())["cpu_seconds"]

    def begin(self, state: State) -> None:
        self._before, self._began, self._seen = self.earlier(), time.process_time(), self._saved()

    def step(self, state: State, steps: int, lr: float) -> None:
        self._write()

    def epoch(self, state: State) -> None:
        self._write()

    def end(self, state: State) -> None:
        self._write()

    def _saved(self) -> int:
        """When the checkpoint was written."""
        return self._checkpoint.stat().st_mtime_ns if self._checkpoint.is_file() else 0

    def _write(self) -> None:
        """Writes the seconds where there is a new checkpoint."""
        saved = self._saved()
        if saved != self._seen:
            partial = self._path.with_suffix(".partial")
            partial.write_text(json.dumps({"cpu_seconds": self.seconds}))
            partial.replace(self._path)
            self._seen = saved
