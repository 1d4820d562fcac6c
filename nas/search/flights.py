"""What became of the proposals that NNI was given: which fly, which are to be handed out (again).

The journal says which proposals have no result, NNI's list of jobs what became of their processes. A process
that was killed, by whatever hand, costs no proposal: the same one is handed out again, so that a search with one
trial at a time goes on as if nothing had happened. One that was killed REPEATS times is a failure.

NNI counts a repeated trial as another one, so its maxTrialNumber is that of the journal and one more for each
(`Allowance`).
"""

import logging
import re
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nas.search.allowance import Allowance
from nas.search.hosts import is_local
from nas.search.jobs import Jobs, numbers_of
from nas.search.journal import Trial
from nas.search.last_words import last_words, shot
from nas.search.manager import Job, Manager
from nas.search.proposals import number_of
from nas.search.runs import INTERRUPTED, end_job, trial_file
from nas.search.study import Study

log = logging.getLogger(__name__)

REPEATS = 3
"""So often is a proposal tried whose process is killed each time."""
SHELL = 2.0
"""Seconds between NNI's own start of a job and the process that its shell starts, on a busy machine."""
GRACE = 5.0
"""Seconds in which the result of a job that succeeded is waited for."""
UNIT = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass
class Flights:
    """The proposals without a result.

    Args:
        study: the search.
        manager: NNI's, None outside of NNI: then nothing is known of processes.
        profile: NNI's configuration.
        allowance: how many trials NNI may start.
        assessed: the jobs that an assessor had NNI end.
        ended: job -> number of its proposal, of jobs whose end NNI told.
    """

    study: Study
    manager: Manager | None
    profile: dict[str, Any]
    allowance: Allowance
    assessed: set[str] = field(default_factory=set)
    ended: dict[str, int | None] = field(default_factory=dict)
    _handed: dict[int, int] = field(default_factory=dict)  # number -> its jobs before it was handed out
    _quiet: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Of jobs that succeeded: their number, and since when they are without a result."""
    _jobs: Jobs = field(init=False)

    def __post_init__(self) -> None:
        if self.manager is not None:
            self._jobs = Jobs(self.manager, self.study.journal, self.ended)

    def hand(self, number: int) -> None:
        """Takes note that a proposal is handed out now."""
        try:
            self.allowance.answered()
        except (OSError, ValueError, KeyError) as error:  # the next one makes up for it
            log.warning("NNI's manager did not lower trialConcurrency (%s)", error)
        self._handed[number] = 0
        if self.manager is not None:
            self._handed[number] = len(self._jobs.of(number))
            self._jobs.handed()

    def waiting(self) -> tuple[list[int], int]:
        """Records what ended without a result; (numbers to hand out, how many fly or wait to).

        Raises:
            NasError: where the journal cannot be written.
            OSError: where NNI's manager does not answer; ValueError or KeyError where it says what it should not.
        """
        journal = self.study.journal
        self.allowance.look()
        if self.manager is None or not journal.running:
            unheard = [number for number in sorted(journal.running) if number not in self._handed]
            return unheard, len(journal.running) - len(unheard)
        jobs = self._jobs
        journal.refresh()  # what processes wrote before they ended
        jobs.look()
        journal.refresh()
        waiting, flying = [], 0
        for number, trial in sorted(journal.running.items()):
            repeated = journal.repeats.get(number, [])
            theirs = jobs.of(number)
            now = [
                job
                for job in theirs
                if job.id not in repeated and journal.owners.get(job.id, number) == number
            ]
            now = [job for job in jobs.begun_by(number) if job.id not in repeated] or now
            if any(job.lives for job in now):
                flying += 1
            elif not now and len(theirs) <= self._handed.get(number, -1):
                flying += 1  # NNI has not made a job of it yet, or it has not ended
            elif theirs and not now and self._astray():
                flying += 1  # one that got another's sample, and has not said so yet
            elif not now or self._ended(trial, now[-1]):
                waiting.append(number)
            elif journal.trials[number].state == "running":
                flying += 1  # its result is on its way
        return waiting, flying

    def _astray(self) -> bool:
        """Whether a process lives that has not said whose sample it got; elsewhere none says so."""
        owners = self.study.journal.owners
        return not self._far and any(job.lives and job.id not in owners for job in self._jobs.every())

    def _ended(self, trial: Trial, job: Job) -> bool:
        """Whether a trial whose process ended is to be repeated; else what came of it is recorded, or will be."""
        number, journal = trial.number, self.study.journal
        if (other := journal.answers.get(job.id, number)) != number:
            reason = f"NNI gave its process the parameters of trial {other}, which had ended"
            return self._repeat(number, job, reason, killed=False)
        if job.status == "SUCCEEDED":
            self._succeeded(number, job)
            return False
        if job.status == "FAILED" and number not in journal.jobs and not shot(job.id):  # not even begun
            self._fail(number, job, f" (NNI: FAILED){last_words(job.id, self._far)}")
            return False
        limit = seconds(self.profile.get("maxTrialDuration"))
        late = limit is not None and self._lasted(number, job) >= limit - SHELL
        told_to_end = trial_file(self.study.run_dir, number, INTERRUPTED).exists()
        if late:
            end_job(job.id)  # NNI ends the shell of a compound command, and not what it runs
        unseen = number not in journal.jobs if self._far is None else job.id in self.assessed
        assessed = self.profile.get("assessor") and (told_to_end or unseen)
        if job.status == "EARLY_STOPPED" or late or assessed:  # NNI may call an assessor's stop USER_CANCELED
            assert self.manager is not None
            accuracy = self.manager.last_intermediate(job.id)
            if accuracy is not None:
                self.study.record_stop(number, accuracy, job.id)
            elif late:
                self._fail(number, job, f": it took longer than maxTrialDuration ({limit:g} s)")
            else:
                self._fail(number, job, f" (NNI: {job.status})")
            return False
        if told_to_end:
            self._fail(number, job, ": it was cancelled")
            return False
        return self._killed(number, job)

    @property
    def _far(self) -> Manager | None:
        """The manager, where trials run on other machines: of what happens there nothing is seen here."""
        return None if is_local(self.profile) else self.manager

    def _killed(self, number: int, job: Job) -> bool:
        journal = self.study.journal
        words = last_words(job.id)
        if journal.kills.get(number, 0) + 1 >= REPEATS:
            often = f"; it was killed {REPEATS} times, as by a crash or for want of memory"
            self._fail(number, job, f" (NNI: {job.status}){often}{words}")
            return False
        reason = f"its process ended without a result (NNI: {job.status}){words}"
        return self._repeat(number, job, reason)

    def _repeat(self, number: int, job: Job, reason: str, killed: bool = True) -> bool:
        if self.study.journal.again(number, job.id, reason, killed):
            trials = self.allowance.trials
            self.allowance.one_more(self._jobs.begun(None if trials is None else trials - 1))
        return True

    def _lasted(self, number: int, job: Job) -> float:
        """Seconds that a job ran: of one that NNI runs again after a resume, since its process began."""
        began = self.study.journal.began_at.get(number)
        if job.ended is None or not began:
            return job.seconds or 0.0
        since = job.ended - datetime.fromisoformat(began).timestamp()
        return min(since, job.seconds or since)

    @property
    def quiet(self) -> bool:
        """Whether a job succeeded without a result that is still waited for."""
        trials = self.study.journal.trials
        return any(trials[number].state == "running" for number, _ in self._quiet.values())

    def _succeeded(self, number: int, job: Job) -> None:
        """Its result is on its way, unless there is none."""
        if job.final is not None:
            parameter_id, value = job.final
            known = numbers_of(job, parameter_id)
            jobs = [] if known[:1] == [number] else self._jobs.every()
            known = known or [n for one in jobs for n in numbers_of(one, parameter_id)] or [number]
            self.study.record(known[0], value, job.id)
            if known[0] == number or any(one.lives for one in jobs):
                self._quiet.pop(job.id, None)
                return  # of another number: its own is evaluated by another job
        _, since = self._quiet.setdefault(job.id, (number, time.monotonic()))
        if time.monotonic() - since >= GRACE:
            del self._quiet[job.id]
            if self._far and job.final is not None:  # it could not say whose parameters it was given
                reason = "NNI gave its process the parameters of another trial"
                self._repeat(number, job, reason, killed=False)
                return
            self._fail(number, job, ", though it ended with exit code 0")

    def _fail(self, number: int, job: Job, why: str) -> None:
        reason = f"the trial's process ended without a result{why}"
        self.study.journal.told(number, "failed", reason=reason, job=job.id)

    def lost(self) -> list[tuple[int, dict[str, Any]]]:
        """(number, parameters) of jobs whose proposal is not in the journal, whose tail was damaged."""
        if self.manager is None:
            return []
        known = self.study.journal.trials
        found = {
            number: packed["parameters"]
            for job in self._jobs.every()
            for packed in job.parameters
            if (number := number_of(packed.get("parameters"))) is not None and number not in known
        }
        if found:
            self._jobs.forget()  # once they are written again, their jobs count
        return sorted(found.items())


def seconds(duration: Any) -> float | None:
    """NNI's durations: seconds, or a number with s, m, h or d.

    >>> seconds("90m"), seconds(30), seconds(None)
    (5400.0, 30.0, None)
    """
    found = re.fullmatch(r"([0-9.]+)([smhd]?)", str(duration).strip())
    return float(found[1]) * UNIT[found[2]] if found else None
