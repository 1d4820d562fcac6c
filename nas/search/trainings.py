"""Trainings outside of NNI, in processes of their own, of which every one is a line of a journal.

A pilot and a certificate are many trainings that are known before the first begins: no strategy waits for them. The
journal (`nas.search.journal`) is the one of a search, so that what was interrupted goes on where it was.

>>> Training("b0 | seed 0", {"network": "b0"}, macs=1, params=1).name
'b0 | seed 0'
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.errors import NasError, short
from nas.search.journal import FILE, Journal, Trial

KILLED = "its process was killed, as for want of memory"
"""Why a training failed that is tried again when the command is resumed."""
Report = Callable[["Training", Trial], None]


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        name: distinct for each training of a folder.
        sample: what is trained, as the journal keeps it.
        macs, params: of the network that is trained.
        about: what else its line says.
        work: what its process is given.
    """

    name: str
    sample: Mapping[str, Any]
    macs: int
    params: int
    about: Mapping[str, Any] = field(default_factory=dict)
    work: Mapping[str, Any] = field(default_factory=dict)


class Trainings:
    """The trainings of a folder.

    Args:
        folder: of the journal.
        kind: what they are for, in one word: 'pilot' or 'certificate'.
        run: what must be the same where they are taken up again.

    Raises:
        NasError: where the folder has others.
    """

    def __init__(self, folder: Path, kind: str, run: Mapping[str, Any]) -> None:
        self.folder = folder
        self.journal = Journal(folder / FILE)
        self.journal.refresh()
        self.journal.start(**run)
        if (other := _differing(self.journal.run, run)) is not None:
            name, before, now = other
            raise NasError(
                f"{folder}: has a {kind} whose {name} is {short(before)}, and here it is {short(now)}; give the same "
                "again, or choose another --out"
            )

    def done(self) -> dict[str, Trial]:
        """Trainings that have ended, by name."""
        return {trial.key: trial for trial in self.journal.ended()}

    def run(
        self, tasks: list[Training], function: Callable[[Any], dict[str, Any]], jobs: int, report: Report
    ) -> None:
        """Trains what has not ended, `jobs` at a time, in processes of their own.

        Args:
            function: of a module, called with the training's `work`; gives {'accuracy', 'seconds'}, or {'failed'}.
            report: called with each that has ended.

        Raises:
            NasError: where a training ends by a mistake in data or options.
        """
        done = {
            name: trial for name, trial in self.done().items() if trial.reason != KILLED
        }  # those are tried again
        ended = {trial.number for trial in self.journal.ended()}
        known = {
            trial.key: trial.number for trial in self.journal.trials.values() if trial.number not in ended
        }
        left = [task for task in tasks if task.name not in done]
        context = multiprocessing.get_context("spawn")
        os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
        flying: dict[Future[dict[str, Any]], tuple[int, Training]] = {}
        while left or flying:
            try:
                with ProcessPoolExecutor(jobs, context, _undisturbed) as pool, _ended_with_us():
                    self._rounds(pool, function, left, flying, known, jobs, report)
            except BrokenProcessPool:
                broken, flying = list(flying.values()), {}
                if not broken:
                    raise NasError(
                        "no process can be started for a training; free memory and --resume"
                    ) from None
                if len(broken) == 1:
                    ((number, task),) = broken
                    self._told(number, task, {"failed": KILLED}, report)
                else:  # nobody knows whose process it was: one at a time it will be known
                    left, jobs = [task for _, task in broken] + left, 1

    def _rounds(
        self, pool: ProcessPoolExecutor, function: Callable[[Any], dict[str, Any]], left: list[Training],
        flying: dict[Future[dict[str, Any]], tuple[int, Training]], known: dict[str, int], jobs: int, report: Report,
    ) -> None:  # fmt: skip
        """Until nothing is left, or the pool breaks: then what was begun is in `flying`, and the rest in `left`."""
        while left or flying:
            while left and len(flying) < jobs:
                task = left[0]
                if task.name not in known:
                    facts = {"macs": task.macs, "params": task.params, **task.about}
                    known[task.name] = self.journal.asked(dict(task.sample), task.name, **facts)
                flying[pool.submit(function, dict(task.work))] = known[task.name], task
                del left[0]
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                result = future.result()
                self._told(*flying.pop(future), result, report)

    def _told(self, number: int, task: Training, result: dict[str, Any], report: Report) -> None:
        if "failed" in result:
            self.journal.told(number, "failed", reason=result["failed"])
        else:
            self.journal.told(number, "complete", **result)
        report(task, self.journal.trials[number])


@contextlib.contextmanager
def _ended_with_us() -> Iterator[None]:
    """What raises inside, an interruption or a mistake in the data, ends the trainings that the pool would wait for."""
    try:
        yield
    except BrokenProcessPool:
        raise
    except BaseException:
        for child in multiprocessing.active_children():
            child.kill()
        raise


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """(name, before, now) of the first value that differs, inside mappings of both too."""
    for name, value in now.items():
        other = before.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            if (found := _differing(other, value)) is not None:
                return found
        elif other != value:
            return name, other, value
    return None


def _undisturbed() -> None:
    """In a process of the pool: an interruption from the keyboard is for its parent, and with its parent, however that
    ends, it ends too: nobody would take its result, and a resumed command trains the same."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
