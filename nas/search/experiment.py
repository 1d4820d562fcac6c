"""NNI's side of a search: starts, resumes and ends an experiment through nnictl.

NNI gives its own tuner ten seconds to connect, whatever else the machine is doing, and three to its
own manager; a start that loses one of these races is tried again.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from nas.errors import NasError
from nas.files import UMASK
from nas.search import runs
from nas.search.config import SearchConfig
from nas.search.guard import PRIVATE, at_home, undisturbed
from nas.search.journal import FILE
from nas.search.manager import Manager
from nas.search.ports import checked_port, free_port

ATTEMPTS = 3
NNICTL = 180
"""Seconds after which nnictl is taken for hung."""


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
        service = self.config.data["trainingService"]
        return isinstance(service, dict) and service["platform"] == "local"

    def start(self) -> None:
        """Creates the experiment and waits until its tuner has begun.

        Raises:
            NasError: where NNI does not start it.
        """
        self._try(self._create, "start")

    def resume(self, experiment: str) -> bool:
        """Makes an interrupted experiment run again; False where it has all its trials.

        Raises:
            NasError: where there is no such run, or NNI does not resume it.
        """
        self.id = experiment
        journal = runs.open_journal(self.run)
        runs.hold(self.run)
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
        self._say(f"{done} of {self.trials} trials are in the journal; resuming")
        self._try(self._resume, "resume")
        self._agree_on_trials()
        return True

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
                repeats = sum(map(len, journal.repeats.values()))  # NNI counts them too
                self.trials = int(self.manager.profile()["params"]["maxTrialNumber"]) - repeats
                return
            if self._asked != journal.max_trials:
                journal.change("trials", trials=self._asked)
            told = None
            while told != (told := self._asked + sum(map(len, runs.open_journal(self.run).repeats.values()))):
                self.manager.set_trials(told)
        except (OSError, ValueError, KeyError) as error:
            if isinstance(error, NasError):
                raise
            raise NasError(f"NNI's manager does not answer ({error}); try again with: {self.again}") from None

    def end(self, trials: bool = True) -> None:
        """Ends NNI's manager, and whatever outlives it; a signal in the middle of that waits.

        Without `trials`, those of a manager that was killed go on, and their results count.
        """
        kinds = () if trials else ("manager", "tuner")
        with undisturbed():
            self._nnictl("stop", self.id)
            for _ in range(50):
                if not set(runs.processes_of(self.id).values()) & set(kinds or runs.KINDS):
                    return
                time.sleep(0.2)
            runs.end_processes(self.id, *kinds)

    def interrupted(self) -> NasError:
        """Ends the experiment because the user asked for it; what to say then."""
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
                    raise NasError(f"NNI did not {what} after {ATTEMPTS} attempts: {error}{hint}") from None
                self._say(f"NNI did not {what} ({error}); attempt {number + 1} of {ATTEMPTS}")
                if self._any_port:
                    self.port = free_port()

    def _create(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "search.yml"
            path.write_text(yaml.safe_dump(self.config.prepared(self.trials), sort_keys=False))
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
        beside = Path(sys.executable).with_name("nnictl")
        command = [str(beside)] if beside.exists() else [sys.executable, "-m", "nni.tools.nnictl"]
        environment = at_home(os.environ) if self.local else dict(os.environ)
        umask = os.umask(PRIVATE)
        os.umask(umask)
        environment |= {runs.MARK: self._mark, UMASK: f"{umask:o}"}
        try:
            return subprocess.run(
                [*command, *words], capture_output=True, text=True, check=False, env=environment, umask=PRIVATE,
                timeout=NNICTL, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 1, "", f"nnictl {words[0]} took over {NNICTL} seconds")


def _served(port: int) -> str:
    """The id of the experiment that a manager on `port` runs; empty where there is none."""
    try:
        return str(Manager(port).profile()["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def last_line(text: str) -> str:
    """The last line of a program's output that says something, without colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = [line.strip() for line in plain.splitlines() if re.search(r"\w", line)]
    return lines[-1] if lines else ""
