"""NNI's trial jobs, as far as they say what became of the proposals without a result.

NNI's list has every job that ever was, and takes it the longer the more there are, in which it does nothing else
(`benchmarks/simulate.py manager` measures it). So a list of more than MANY jobs is asked for at the start and, lest a
message was missed, now and then; between, NNI's messages say which jobs ended, and it is asked for those alone whose
proposal has no result. What is not known to have ended is in flight.
"""

import time
from dataclasses import dataclass, field

from nas.search.journal import Journal
from nas.search.manager import Job, Manager
from nas.search.proposals import number_of

MANY = 200
SHARE = 1000
"""A long list is asked for again after so many times as long as it took."""


@dataclass
class Jobs:
    """The jobs of proposals without a result.

    Args:
        manager: NNI's.
        journal: of the run.
        ended: job -> the number of its proposal, of jobs whose end NNI told since; they are taken out here.

    Its methods raise OSError where NNI's manager does not answer; ValueError or KeyError where it says what it
    should not.
    """

    manager: Manager
    journal: Journal
    ended: dict[str, int | None]
    _of: dict[int, list[str]] = field(default_factory=dict)
    _known: dict[str, Job] = field(default_factory=dict)
    _fresh: dict[str, int | None] = field(default_factory=dict)
    _listed = 0
    _since = 0
    _due = 0.0

    def look(self) -> None:
        """Hears of every end since the last look."""
        while self.ended:
            job, number = self.ended.popitem()
            self._fresh[job] = number
        if self._listed <= MANY or time.monotonic() >= self._due:
            self.every()
            return
        running, owners = self.journal.running, self.journal.owners
        for job, number in [*self._fresh.items()]:
            if number in running or owners.get(job) in running:
                self._note(self.manager.job(job))
            del self._fresh[job]
        for number in [number for number in self._of if number not in running]:
            for job in self._of.pop(number):
                self._known.pop(job, None)
        for job in [job for job in self._known.values() if job.status == "SUCCEEDED" and job.final is None]:
            self._note(self.manager.job(job.id))  # its result may have come since

    def every(self) -> list[Job]:
        """NNI's list."""
        began = time.monotonic()
        jobs = self.manager.jobs()
        self._due = time.monotonic() + SHARE * (time.monotonic() - began)
        self._listed, self._since = len(jobs), 0
        self._of, self._known = {}, {}
        self._fresh.clear()
        for job in jobs:
            self._note(job)
        return jobs

    def forget(self) -> None:
        """Has the next look ask for the list."""
        self._due = 0.0

    def _note(self, job: Job) -> None:
        running = self.journal.running
        numbers = [number for number in numbers_of(job) if number in running]
        if numbers or self.journal.owners.get(job.id) in running:
            self._known[job.id] = job
            for number in numbers:
                if job.id not in self._of.setdefault(number, []):
                    self._of[number].append(job.id)

    def of(self, number: int) -> list[Job]:
        """Those to which NNI gave a proposal, in the order in which it made them."""
        return [self._known[job] for job in self._of.get(number, [])]

    def begun_by(self, number: int) -> list[Job]:
        """The job whose process began a proposal, where it is known."""
        job = self._known.get(self.journal.jobs.get(number, ""))
        return [] if job is None or self.journal.owners.get(job.id) != number else [job]

    def handed(self) -> None:
        """Takes note that NNI was given one more proposal."""
        self._since += 1

    def begun(self, least: int | None) -> int:
        """How many NNI has made so far; exactly, where that might be `least` or more."""
        if self._since and least is not None and self._listed + self._since >= least:
            self.every()
        return self._listed + self._since


def numbers_of(job: Job, parameter_id: object = None) -> list[int]:
    """The numbers of the proposals that NNI holds for a job (those of one parameter id)."""
    return [
        number
        for packed in job.parameters
        if parameter_id is None or str(packed.get("parameter_id")) == str(parameter_id)
        if (number := number_of(packed.get("parameters"))) is not None
    ]
