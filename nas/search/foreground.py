"""The foreground of a search: follows the journal with a progress display until NNI is done.

What it says comes from the journal, NNI's status alone tells when it ends; it returns with a winner
or raises with the reason why there is none.
"""

import re
import time
from typing import Any

from rich.console import Console
from rich.progress import Progress, TextColumn

from nas.errors import NasError
from nas.search import runs
from nas.search.experiment import Experiment
from nas.search.journal import FILE, Journal, Trial
from nas.search.last_words import ALL_OF_IT
from nas.search.nnictl import last_line
from nas.search.winner import no_winner
from nas.tables import short
from nas.terminal import progress_bar

ALIKE = 3
"""So many first trials that fail for one reason end a search: the rest would fail as well."""
SILENCE = 20
"""So many unanswered questions in a row (half a second apart) mean that NNI's manager is gone."""
EXHAUSTED = "TUNER_NO_MORE_TRIAL"
"""NNI's status, for ever, once one of its own tuners has proposed all that there is."""
RESUMES = 2
"""So many resumes in a row, without a trial that ended, are tried where NNI breaks down."""
PATIENCE = 20
"""So many times in a row NNI is DONE before all trials are there, until that is believed: a trial that was killed
is about to be repeated."""
IDLE = 10
"""So many times in a row without a job, once the tuner is exhausted, mean that the search is over."""
LOOK, STALLED = 20, 12
"""Every LOOK questions (ten seconds) it is asked whether a trial runs; STALLED times no is an end."""


STOPPED = "the search was stopped, by nnictl stop or on NNI's web page; nothing is lost"


class Breakdown(Exception):
    """NNI's processes ended or stand still; the search can be resumed."""


def follow(experiment: Experiment, console: Console) -> Journal:
    """Shows progress until the experiment ends, then ends NNI's manager.

    Where NNI breaks down it is resumed: as often as trials end in between, and else RESUMES times.

    Raises:
        NasError: where it ended without a winner, or NNI failed, with the reason and how to resume.
        KeyboardInterrupt: where the user interrupts; the caller ends the experiment (`Experiment.interrupted`).
    """
    runs.hold(experiment.run)
    journal = Journal(experiment.run / FILE)
    journal.refresh()
    idle, ended = 0, len(journal.ended())
    while True:
        try:
            failure = _watch(experiment, journal, console)
            experiment.end()
        except Breakdown as error:
            experiment.end(trials=False)
            journal.refresh()
            idle, ended = (0 if len(journal.ended()) > ended else idle + 1), len(journal.ended())
            if idle > RESUMES:
                raise NasError(f"{error}; resume with: {experiment.again}") from None
            console.print(f"{error}; resuming", markup=False)
            if experiment.resume(experiment.id):
                continue
            failure = None
        break
    journal.refresh()
    if failure is not None:
        raise NasError(f"{failure}; resume with: {experiment.again}")
    if journal.best() is None:
        raise NasError(no_winner(journal))
    return journal


def _watch(experiment: Experiment, journal: Journal, console: Console) -> str | None:
    """Returns why the search failed, or None at its regular end."""
    silent = idle = turn = stalled = early = 0
    journal.refresh()
    before = {trial.number for trial in journal.ended()}  # what failed then may have been mended since
    with progress_bar(console, TextColumn("{task.fields[best]}")) as progress:
        task = progress.add_task("search", total=experiment.trials, best="")
        shown: set[int] = set()
        while True:
            journal.refresh()
            best = journal.best()
            for trial in journal.ended():
                if trial.number not in shown:
                    shown.add(trial.number)
                    _show(progress, task, best, trial)
            failure = all_alike(journal, before)
            if failure is not None:
                return failure
            try:
                status, errors = experiment.manager.status()
                idle = idle + 1 if status == EXHAUSTED and not _busy(experiment) else 0
                silent = 0
                turn += 1
                if turn % LOOK == 0:
                    stalled = stalled + 1 if status == "RUNNING" and not _busy(experiment) else 0
                if stalled >= STALLED:
                    raise Breakdown(
                        "for two minutes no trial runs and none is proposed: NNI's tuner has ended"
                    )
            except (OSError, ValueError, KeyError) as error:
                silent += 1
                if silent >= SILENCE and (reason := experiment.not_begun()):
                    return reason
                if silent >= SILENCE and experiment.was_stopped():
                    return STOPPED
                if silent >= SILENCE:
                    raise Breakdown(f"NNI's manager does not answer ({error})") from None
                status, errors = "", []
            if status == "ERROR":
                mistake = experiment.mistake_in(errors)
                if mistake is not None:
                    return f"NNI ended with an error: {mistake}"
                raise Breakdown(f"NNI ended with an error: {last_line(''.join(errors)) or 'it names none'}")
            if status in ("STOPPING", "STOPPED"):
                return experiment.not_begun() or STOPPED
            few = len(journal.ended()) < experiment.trials and not journal.exhausted
            early = early + 1 if status == "DONE" and few else 0
            over = idle >= IDLE or (status == "DONE" and (early == 0 or early >= PATIENCE))
            if over and silent == 0 and _heard(journal, shown):
                return None
            time.sleep(0.5)


def _heard(journal: Journal, shown: set[int]) -> bool:
    """Whether everything that the journal has was shown."""
    journal.refresh()
    return all(trial.number in shown for trial in journal.ended())


def _busy(experiment: Experiment) -> bool:
    """Whether a trial runs, or will."""
    return any(job.status in ("WAITING", "RUNNING") for job in experiment.manager.jobs())


def _show(progress: Progress, task: Any, best: Trial | None, trial: Trial) -> None:
    word = f"best reward {best.reward:.4f} (trial {best.number})" if best else "no result yet"
    progress.update(task, advance=1, best=word)
    progress.console.print(line(trial, best), highlight=False, markup=False)


def line(trial: Trial, best: Trial | None) -> str:
    """What came of a trial."""
    if trial.accuracy is not None:
        text = f"reward {trial.reward or 0:.4f}  accuracy {trial.accuracy:.4f}"
        text += f"  {short(trial.macs or 0):>6} multiply-adds"
        text += "" if trial.latency is None else f"  {trial.latency:5.3g} ms"
        text += f"  {trial.seconds:5.1f} s" if trial.seconds else ""
        text += "" if trial.state == "complete" else f"  {trial.state}"
    else:
        text = f"{trial.state}: {trial.reason}"
    mark = " *" if best is not None and best.number == trial.number else ""
    return f"trial {trial.number:>3}  {text}{mark}"


def all_alike(journal: Journal, before: set[int]) -> str | None:
    """The reason, where the first trials, without those of `before`, all failed for one and the same."""
    ended = [trial for trial in journal.ended() if trial.number not in before]
    reasons = [(trial.reason or "").partition(ALL_OF_IT)[0] for trial in ended]  # a log is each trial's own
    alike = (
        len({re.sub(r"\d+(\.\d+)?", "#", reason) for reason in reasons}) == 1
    )  # so are bytes, times and ids
    if len(ended) >= ALIKE and alike and all(trial.state == "failed" for trial in ended):
        since = " since it was resumed" if before else ""
        mend = "a trialCommand that is mended needs another search"
        return f"the first {len(ended)} trials{since} all failed alike: {reasons[0]}; {mend}"
    return None
