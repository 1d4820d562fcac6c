"""Where a trial's numbers go: NNI, the journal and TensorBoard; or, by hand, stderr alone."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from nas.errors import NasError
from nas.search.journal import FILE, Journal, Trial
from nas.search.options import TRIAL
from nas.search.runs import INTERRUPTED, LOCK, trial_directory, trial_file
from nas.search.subject import Subject
from nas.search.task import Task
from nas.search.warm import known_as
from nas.search.warm_key import reused


def elsewhere() -> bool:
    """Whether NNI runs this trial from a copy of the code directory, as on another machine: a journal found in it is
    a copy, too, and the tuner writes the result."""
    return os.environ.get("NNI_PLATFORM", "local") != "local" or reused()


class Reporter:
    """The ways out of one trial.

    Attributes:
        nni: the nni module, None by hand and where there is no manager to tell.
        run_dir: the run directory, None by hand and where the trial runs elsewhere.
        job: which evaluation of the trial this is: NNI's trial job.
        ours: whether our tuner proposed the sample, and so keeps the journal's order.
        number: the trial's number in the journal.
        last: accuracy after the newest epoch.
        score: the reward of an accuracy, once the network's cost is known.
        subject: what is searched, once it is known.
    """

    def __init__(
        self, nni: Any, run_dir: Path | None, journal: Journal | None = None, job: str | None = None
    ) -> None:
        self.nni = nni
        self.run_dir = None if elsewhere() else run_dir
        self.ours = False
        self.journal = journal or (Journal(self.run_dir / FILE) if self.run_dir else None)
        self.job = job or os.environ.get("NNI_TRIAL_JOB_ID", "")
        self.number: int | None = None
        self.board: Any = None
        self.last: float | None = None
        self.score: Callable[[float], float] | None = None
        self.subject: Subject | None = None

    def begin(self, task: Task, subject: Subject) -> Trial | None:
        """Finds or makes this trial's line in the journal; a finished twin answers for it."""
        self.subject = subject
        if self.journal is None:
            return None
        self.ours = task.run is not None and "number" in task.run
        self.journal.refresh()
        if self.ours:
            if not self.journal.exists:
                self.journal = None
                return None
            assert task.run is not None
            self.number = int(task.run["number"])
            return self._begin_ours()
        return self._begin_under_nni(task, subject)

    def file(self, what: str) -> Path:
        """The trial's `INTERRUPTED` or `LOCK`."""
        assert self.run_dir is not None
        assert self.number is not None
        return trial_file(self.run_dir, self.number, what)

    def _begin_ours(self) -> Trial | None:
        """Takes the trial's lock: of a search resumed while a process of before still evaluates this number,
        the new process waits for that one's result."""
        assert self.journal is not None
        assert self.number is not None
        path = self.file(LOCK)
        path.parent.mkdir(exist_ok=True)
        self._lock = FileLock(str(path), mode=0o600)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            print(
                f"trial {self.number} is still evaluated by another process; waiting for it", file=sys.stderr
            )
            self._lock.acquire()
        self.file(INTERRUPTED).unlink(missing_ok=True)
        trial = self._proposed()
        if trial.scored or trial.state in ("failed", "rejected"):
            self.journal.answered(self.number, self.job)
        if trial.state in ("failed", "rejected"):
            raise NasError(f"this trial has ended before: {trial.reason}")
        if trial.scored:
            return trial
        try:
            process = psutil.Process(known_as())
            self.journal.began(self.number, self.job, process.pid, process.create_time())
        except psutil.NoSuchProcess:  # NNI's process was killed: as a cold trial, a fork dies without a word
            signal.raise_signal(signal.SIGKILL)
        return None

    def _proposed(self) -> Trial:
        """This trial's line, which a resumed tuner may be about to write again (a damaged one is lost)."""
        assert self.journal is not None
        assert self.number is not None
        for _ in range(120):
            self.journal.refresh()
            if (trial := self.journal.trials.get(self.number)) is not None:
                return trial
            time.sleep(0.5)
        raise NasError(f"{self.journal.path}: no proposal has number {self.number}")

    def _begin_under_nni(self, task: Task, subject: Subject) -> Trial | None:
        """Under NNI's own tuners the trials keep the journal themselves."""
        assert self.journal is not None
        assert self.run_dir is not None
        job = self.job
        reward = task.reward.model_dump(mode="json")
        self.journal.start(
            experiment=self.run_dir.name, **subject.form(),
            strategy={"name": "NNI's tuner"}, concurrency=None, max_trials=None,
            command=shlex.join(["python", "-m", TRIAL, *sys.argv[1:]]), nni=None, seed=task.seed, versions={},
            trial={"reward": reward, "limits": task.limits.model_dump(), "seed": task.seed},
        )  # fmt: skip
        again = [t.number for t in self.journal.trials.values() if t.job == job]
        key = subject.key(task.sample)
        self.number = again[0] if again else self.journal.asked(
            task.sample, key, **subject.cost(task.sample), job=job, pid=known_as()
        )  # fmt: skip
        return self._twin(key)

    def _twin(self, key: str) -> Trial | None:
        """A trial that evaluated this network; an earlier one that still does is waited for."""
        assert self.journal is not None
        assert self.number is not None
        while True:
            self.journal.refresh()
            same = [t for t in self.journal.trials.values() if t.key == key]
            scored = [t for t in same if t.scored]
            if scored:
                return scored[0]
            if not any(t.state == "running" and t.number < self.number and self._alive(t) for t in same):
                return None
            time.sleep(1)

    def _alive(self, trial: Trial) -> bool:
        """Whether the process that evaluates a trial is there; one that was killed says nothing."""
        assert self.journal is not None
        asked = [e for e in self.journal.events if e["event"] == "asked" and e["number"] == trial.number]
        try:
            environ = psutil.Process(int(asked[-1]["pid"])).environ()
        except (psutil.Error, TypeError, ValueError, LookupError):
            return False
        return environ.get("NNI_TRIAL_JOB_ID") == trial.job  # after a reboot the id may be another process's

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """One epoch's metrics: to NNI for its assessors, and to TensorBoard."""
        self.last = metrics["accuracy"]
        if self.nni is not None:
            self._to_nni(self.nni.report_intermediate_result, metrics["accuracy"])
        elif self.run_dir is None:
            print(f"epoch {epoch}: " + ", ".join(f"{k} {v:.4f}" for k, v in metrics.items()), file=sys.stderr)
        if (board := self._own_board()) is not None:
            board.epoch(epoch, metrics)

    def final(self, metrics: dict[str, float]) -> None:
        """The result, to NNI."""
        self._to_nni(self.nni.report_final_result, metrics)

    def _to_nni(self, report: Callable[[Any], None], value: Any) -> None:
        """What the journal has, NNI may miss: its manager may be gone, and this trial still count."""
        try:
            report(value)
        except Exception as error:  # of NNI's channel, whichever it is
            if not self.ours or self.journal is None:
                raise
            print(f"NNI was not told ({error})", file=sys.stderr)

    def _own_board(self) -> Any:
        """This trial's run of TensorBoard, None where there is no run directory."""
        if self.board is None and self.run_dir is not None and self.number is not None:
            from nas.search.board import TrialBoard

            self.board = TrialBoard(trial_directory(self.run_dir, self.number))
        return self.board

    def tell(self, state: str, **facts: Any) -> None:
        """The result, into the journal first."""
        if self.journal is None or self.number is None:
            return
        if self.journal.told(self.number, state, job=self.job or None, **facts):
            if self.subject is not None:
                self._own_board().end(self.journal.trials[self.number], self.subject.choices)
            if not self.ours:
                self._study()

    def interrupted(self) -> None:
        """Told to end: by an assessor, or because the experiment is stopped.

        Our tuner asks NNI which of the two it was. Under NNI's own tuners nobody can: the last
        accuracy is recorded as a lower bound, which a full evaluation replaces.
        """
        if not self.ours and self.last is not None and self.score is not None:
            self.tell("stopped", accuracy=self.last, reward=self.score(self.last))

    def _study(self) -> None:
        """Under NNI's own tuners there is no tuner of ours to write the study's board."""
        from nas.search.board import STUDY, StudyBoard

        assert self.run_dir is not None
        assert self.journal is not None
        mark = self.run_dir / STUDY / ".results"
        with FileLock(str(self.run_dir / f".{STUDY}.lock"), mode=0o600):
            self.journal.refresh()
            board = StudyBoard(self.run_dir, self.journal, int(mark.read_text()) if mark.is_file() else 0)
            shown = board.update()
            board.close()
            mark.parent.mkdir(exist_ok=True)
            mark.write_text(str(shown))
