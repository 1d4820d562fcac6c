"""TensorBoard: `runs/EXPERIMENT_ID/study` for the search, `.../trials/NNN` for each trial.

    tensorboard --logdir runs

The study has reward, best reward so far, accuracy, multiply-adds and latency by result, the Pareto picture
with the target line, the shares of every choice over time, and the best network's stage table; a
trial has its training curves and its line of the HParams page. It is written from the journal, and
written anew when a search is resumed; a full disk costs pictures, never the search.
"""

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.search.costs import latency_words
from nas.search.finding import subject_of
from nas.search.journal import Journal, Trial
from nas.search.settings import RewardSettings

log = logging.getLogger(__name__)

STUDY = "study"
PICTURES = 40
"""Pictures drawn over a search of known length: one a result in a short one."""
SHARE = 20
"""Pictures wait until so many times as long as the last ones took to draw has passed, or the search ends."""


@contextlib.contextmanager
def or_without() -> Iterator[None]:
    """What goes wrong with the files inside is logged, and no more."""
    try:
        yield
    except OSError as error:
        log.warning("TensorBoard's files were not written (%s)", error)


def _writer(path: Path) -> Any:
    from nas.search.events import EventWriter

    return EventWriter(path)


class StudyBoard:
    """Writes the study's run, one step a result, in the order of the results.

    Args:
        run: the run directory.
        journal: what to show.
        written: results that are already there (written by another process); 0 starts anew.
    """

    def __init__(self, run: Path, journal: Journal, written: int = 0) -> None:
        self._journal = journal
        self._written = written
        self._shown = 0
        self._best: float | None = None  # reward of those shown
        self._writer: Any = None
        self._due = 0.0  # when pictures may be drawn again
        self._waiting = False  # whether some were left out until then
        self._path = run / STUDY
        if written == 0:
            shutil.rmtree(self._path, ignore_errors=True)

    def update(self) -> int:
        """Shows every result since the last call; returns how many are shown in all."""
        with or_without():
            self._update()
        return self._written

    def close(self) -> None:
        with or_without():
            if self._writer is not None:
                if self._waiting:
                    self._pictures(self._written)
                self._writer.close()

    def _update(self) -> None:
        told = self._journal.results()
        if len(told) <= self._written:
            return
        if self._writer is None:
            self._writer = _writer(self._path)
        if self._written == 0:
            self._writer.text("run", _settings(self._journal.run), 0)
        for step, event in enumerate(told[self._shown :], self._shown + 1):
            worth = event.get("reward")
            if event["state"] == "complete" and worth is not None:
                self._best = worth if self._best is None else max(self._best, worth)
            if step <= self._written:
                continue
            scalars = {
                "search/best reward": self._best,
                "search/reward": worth,
                "search/accuracy": event.get("accuracy"),
                "search/multiply-adds (M)": (self._journal.trials[int(event["number"])].macs or 0) / 1e6,
            }
            if (latency := self._journal.trials[int(event["number"])].latency) is not None:
                scalars["search/latency (ms)"] = latency
            for tag, value in scalars.items():
                if value is not None:
                    self._writer.scalar(tag, value, step)
        step, before = len(told), self._written
        self._written = self._shown = step
        every = max(1, int(self._journal.max_trials or 0) // PICTURES)
        self._waiting |= step // every > before // every
        if self._waiting and (began := time.monotonic()) >= self._due:
            self._pictures(step)
            self._due, self._waiting = (ended := time.monotonic()) + SHARE * (ended - began), False
        self._writer.flush()

    def _pictures(self, step: int) -> None:
        from nas.search.pictures import choices_figure, pareto_figure  # matplotlib; trials need none

        subject = subject_of(self._journal.run, str(self._journal.path))
        trials = self._journal.ended()
        reward = RewardSettings(**self._journal.run["trial"]["reward"])
        target = reward.target or subject.target
        picture = pareto_figure(trials, target, reward, subject.measured)
        self._writer.figure("search/pareto", picture, step)
        if subject.choices:
            self._writer.figure("search/choices", choices_figure(trials, subject.choices), step)
        best = self._journal.best()
        if best is not None:
            title = f"trial {best.number}: reward {best.reward:.4f}, accuracy {best.accuracy:.4f}\n\n"
            self._writer.text("best network", title + subject.markdown(best.sample), step)


class TrialBoard:
    """Writes one trial's run: curves by epoch, and its line of the HParams page at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        with or_without():
            self._writer = self._writer or _writer(self._path)
            for name, value in metrics.items():
                if name != "seconds":
                    self._writer.scalar(f"train/{name}", value, epoch)
            self._writer.flush()

    def end(self, trial: Trial, choices: dict[str, tuple[Any, ...]]) -> None:
        """The choices against reward, accuracy, macs, params and seconds."""
        metrics = {
            f"trial result/{name}": float(value)
            for name in ("reward", "accuracy", "macs", "params", "latency", "seconds")
            if (value := getattr(trial, name)) is not None
        }
        values = {label: trial.sample[label] for label in choices} | {"state": trial.state}
        with or_without():
            self._writer = self._writer or _writer(self._path)
            self._writer.hparams(values, metrics)
            for name, value in metrics.items():
                self._writer.scalar(name, value, trial.number)
            self._writer.close()


def _settings(run: dict[str, Any]) -> str:
    table = {"table": run["table"]["name"]} if "table" in run else {}
    latency = {"latency": latency_words(run)} if "latency" in run else {}
    rows = {
        "space": run["space"],
        **table,
        **latency,
        "strategy": run["strategy"],
        "reward": run["trial"]["reward"],
        "limits": run["trial"]["limits"],
        "seed": run["seed"],
        "trials": f"{run['max_trials']}, {run['concurrency']} at a time",
        "command": f"`{run['command']}`",
        "versions": run["versions"],
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])
