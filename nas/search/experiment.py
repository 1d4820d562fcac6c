"""NNI's side of a search: starts, resumes and ends an experiment through nnictl.

NNI gives its own tuner ten seconds to connect, whatever else the machine is doing, and three to its
own manager; a start that loses one of these races is tried again.
"""

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from nas.errors import NasError
from nas.search import runs
from nas.search.changes import begun_at, changed_since
from nas.search.config import SearchConfig
from nas.search.door import Door
from nas.search.guard import undisturbed
from nas.search.journal import FILE
from nas.search.manager import Manager
from nas.search.nnictl import last_line, nnictl
from nas.search.ports import checked_port, free_port

ATTEMPTS = 3
FAILED = r"Training srevice initialize failed: (.*)"  # its spelling


class StartFailed(Exception):
    """NNI's start-up race was lost; another attempt may win it."""


class Experiment:
    """The NNI experiment of a search.yml.

    Args:
        config: the checked search.yml.
        say: prints one line for the user.
        port: NNI's port; the first free one from 8080 by default.
        trials: maxTrialNumber instead of search.yml's, or of a resumed run's own.

    Attributes:
        id: NNI's experiment id, once started or resumed.
        command: what the user typed, for the command that resumes it.
        options: what the user asked for besides, for the command that resumes it.
        trials: how many trials it will have.
    """

    def __init__(
        self,
        config: SearchConfig,
        say: Callable[[str], None],
        port: int | None = None,
        trials: int | None = None,
    ) -> None:
        self.config = config
        self.trials = trials or config.trials
        self.port = free_port() if port is None else checked_port(port)
        self.id = ""
        self.command = f"nas search {config.path}"
        self.options = ""
        self._say = say
        self._any_port = port is None
        self._asked = trials
        self._door = Door(config, say)
        self._mark = f"{os.getpid()}-{time.time_ns()}"

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.config.code / "runs" / self.id

    @property
    def manager(self) -> Manager:
        return Manager(self.port)

    @property
    def local(self) -> bool:
        """Whether every trial runs on this machine, so that nobody else needs NNI's port."""
        return self._door.local

    def start(self) -> None:
        """Creates the experiment and waits until its tuner has begun.

        Raises:
            NasError: where NNI does not start it, or a host cannot take part.
        """
        if refused := self._door.knock():
            raise NasError(refused[0])
        self._try(self._create, "start")

    def resume(self, experiment: str) -> bool:
        """Makes an interrupted experiment run again; False where it has all its trials.

        Raises:
            NasError: where there is no such run, or NNI does not resume it.
        """
        self.id = experiment
        journal = runs.open_journal(self.run)
        runs.hold(self.run)
        if note := changed_since(self.run, self.config):
            self._say(note)
        self.trials = self._asked or journal.max_trials or self.config.trials
        known = runs.registered(experiment)
        if known and _served(int(known["port"])) == experiment:
            self.port = int(known["port"])
            self._say(f"experiment {experiment} still runs; following it")
            self._agree_on_trials()
            return True
        ended = runs.end_processes(experiment, "manager", "tuner")
        if ended:
            self._say(f"ended {ended} process{'es' if ended > 1 else ''} left over by the interruption")
        done = len(journal.ended())
        if done >= self.trials or (journal.exhausted and done == len(journal.trials)):
            return False
        if journal.run.get("in_process"):
            raise NasError(f"{self.run}: was begun with --in-process; resume it with --in-process")
        for sentence in self._door.knock(begun_at(self.run, self.config)):
            self._say(f"note: {sentence}; the search goes on without it")
        if not self.local and self._any_port and known and self.port == int(known["port"]):
            self.port = free_port(
                self.port
            )  # hosts that have not noticed the end of before would come back to it
        self._say(f"{done} of {self.trials} trials are in the journal; resuming")
        self._try(self._resume, "resume")
        self._agree_on_trials()
        return True

    def was_stopped(self) -> bool:
        """Whether somebody stopped the experiment, whose manager no longer answers: it says so as the last thing it
        does, for which it is waited up to a minute; one that was killed does not."""
        for _ in range(240):
            if "manager" not in runs.processes_of(self.id).values():
                break
            time.sleep(0.25)
        return runs.registered(self.id).get("status") in ("STOPPING", "STOPPED")

    def not_begun(self) -> str | None:
        """Why NNI's training service did not begin, of one that is not this machine; None where it did."""
        found = None if self.local else re.search(FAILED, runs.manager_log(self.id))
        return (
            found
            and f"NNI could not begin with trials: {found[1].strip()}; its log is {self.id}/log/nnimanager.log"
        )

    @property
    def again(self) -> str:
        """The command that resumes it."""
        words = f"{self.command} --resume {self.id}"
        words = words if self._asked is None else f"{words} --trials {self._asked}"
        return words + self.options

    def _agree_on_trials(self) -> None:
        """Tells NNI how many trials were asked for, or else hears it: `nnictl update` may change it."""
        journal = runs.open_journal(self.run)
        try:
            if self._asked is None:
                repeats = journal.repeated  # NNI counts them too
                self.trials = int(self.manager.profile()["params"]["maxTrialNumber"]) - repeats
                return
            if self._asked != journal.max_trials:
                journal.change("trials", trials=self._asked)
            told = None
            while told != (told := self._asked + runs.open_journal(self.run).repeated):
                self.manager.set_trials(told)
        except NasError:  # of the journal
            raise
        except (OSError, ValueError, KeyError) as error:
            raise NasError(f"NNI's manager does not answer ({error}); try again with: {self.again}") from None

    def end(self, trials: bool = True) -> None:
        """Ends NNI's manager, and whatever outlives it; a signal in the middle of that waits.

        Without `trials`, those of a manager that was killed go on, and their results count.
        """
        kinds = () if trials else ("manager", "tuner")
        with undisturbed():
            self._nnictl("stop", self.id)
            if trials:
                runs.end_processes(self.id, runs.WARM)
            for _ in range(50):
                if not set(runs.processes_of(self.id).values()) & set(kinds or runs.KINDS):
                    return
                time.sleep(0.2)
            runs.end_processes(self.id, *kinds)

    def interrupted(self) -> NasError:
        """Ends the experiment because the user asked for it; what to say then. More signals change nothing."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
        self.id = self.id or runs.experiment_marked(self._mark)  # nnictl may not have said it yet
        if self.id:
            self.end()
        begun = self.id and (self.run / FILE).exists()
        return NasError(
            f"interrupted; {f'nothing is lost: {self.again}' if begun else 'no search has begun'}"
        )

    def mistake_in(self, errors: list[str]) -> str | None:
        """Our own sentence among NNI's errors, or in the log of the tuner, of whose reason NNI tells nothing."""
        text = "\n".join([*errors, runs.tuner_log(self.id)])
        found = re.search(r"nas\.errors\.NasError: (.+)", text)
        return found.group(1).strip() if found else None

    def _try(self, attempt: Callable[[], None], what: str) -> None:
        for number in range(1, ATTEMPTS + 1):
            try:
                attempt()
                return
            except StartFailed as error:
                if self.id:
                    self.end()
                if number == ATTEMPTS:
                    hint = f"; try again with: {self.again}" if what == "resume" else ""
                    raise NasError(
                        f"NNI did not {what} after {ATTEMPTS} attempts: {error} (it gives its own processes ten "
                        f"seconds, which is short on a busy machine){hint}"
                    ) from None
                self._say(f"NNI did not {what} ({error}); attempt {number + 1} of {ATTEMPTS}")
                if self._any_port:
                    self.port = free_port()

    def _create(self) -> None:
        self.id = ""  # of the attempt before
        prepared = self.config.prepared(self.trials, self._door.address)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "search.yml"
            path.write_text(yaml.safe_dump(prepared, sort_keys=False))
            done = self._nnictl("create", "--config", str(path), "--port", str(self.port))
        found = re.search(r"Experiment ID:\s*(?:\x1b\[[0-9;]*m)?(\w+)", done.stdout + done.stderr)
        self.id = found.group(1) if found else ""
        if done.returncode != 0 or found is None:
            self.id = self.id or runs.experiment_marked(self._mark)
            raise StartFailed(last_line(done.stderr + done.stdout))
        self._until(lambda status: (self.run / FILE).exists() or self._needs_no_tuner(status))

    def _needs_no_tuner(self, status: str) -> bool:
        return self.config.tuner is None and status in ("RUNNING", "DONE", "NO_MORE_TRIAL")

    def _resume(self) -> None:
        done = self._nnictl("resume", self.id, "--port", str(self.port))
        if done.returncode != 0:
            raise StartFailed(last_line(done.stderr + done.stdout))
        connected: list[bool] = []

        def steady(status: str) -> bool:
            """RUNNING is said before the tuner has connected: wait out NNI's ten seconds."""
            connected.append(status in ("RUNNING", "DONE", "NO_MORE_TRIAL"))
            return sum(connected) >= 48 or status == "DONE" or self._has_jobs()

        self._until(steady)

    def _has_jobs(self) -> bool:
        return any(job.status == "RUNNING" for job in self.manager.jobs())

    def _until(self, ready: Callable[[str], bool]) -> None:
        """Waits up to a minute for `ready` of NNI's status."""
        for _ in range(240):
            try:
                status, errors = self.manager.status()
                if status == "ERROR":
                    mistake = self.mistake_in(errors)
                    if mistake:
                        self.end()
                        raise NasError(mistake)
                    raise StartFailed(last_line("\n".join(errors)) or "NNI's status is ERROR")
                if ready(status):
                    return
            except (OSError, ValueError, KeyError) as error:
                raise StartFailed(f"NNI's manager ended: {error}") from None
            time.sleep(0.25)
        raise StartFailed("the tuner did not begin within a minute")

    def _nnictl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return nnictl(words, self._door.environment, self._mark)


def _served(port: int) -> str:
    """The id of the experiment that a manager on `port` runs; empty where there is none."""
    try:
        return str(Manager(port).profile()["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
