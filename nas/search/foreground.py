"""`nas search`: the experiment of search.yml in the foreground, through nnictl.

It starts (or resumes) NNI's experiment, follows the journal with a progress display, ends the
manager, and says how it ended: with a winner, or with the reason why there is none.
"""

import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from nas.errors import NasError
from nas.search import runs
from nas.search.config import SearchConfig
from nas.search.journal import FILE, Journal, Trial
from nas.search.manager import Manager
from nas.search.winner import no_winner
from nas.tables import short

FIRST_PORT = 8080
ATTEMPTS = 3
"""Starts of an experiment: NNI gives its own tuner ten seconds to connect, loaded machine or not."""
ALIKE = 3
"""So many first trials that fail for one reason end a search: the rest would fail as well."""


class StartFailed(Exception):
    """NNI's start-up race was lost; another attempt may win it."""


class Search:
    """One experiment in the foreground.

    Args:
        config: the checked search.yml.
        console: where progress goes.
        port: NNI's port; the first free one from 8080 by default.
        trials: maxTrialNumber instead of search.yml's.
    """

    def __init__(
        self, config: SearchConfig, console: Console, port: int | None = None, trials: int | None = None
    ) -> None:
        self.config = config
        self.console = console
        self.trials = trials or config.trials
        self.port = _free_port() if port is None else _checked_port(port)

    # Start

    def start(self) -> str:
        """Starts the experiment and returns its id.

        Raises:
            NasError: where NNI does not start it.
        """
        for attempt in range(1, ATTEMPTS + 1):
            experiment = None
            try:
                experiment = self._create()
                self._until_ready(experiment)
                return experiment
            except StartFailed as error:
                if experiment is not None:
                    self._nnictl("stop", experiment)
                    runs.end_orphans(experiment)
                if attempt == ATTEMPTS:
                    raise NasError(f"NNI did not start after {ATTEMPTS} attempts: {error}") from None
                self.console.print(f"NNI did not start ({error}); attempt {attempt + 1} of {ATTEMPTS}")
        raise AssertionError

    def _create(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "search.yml"
            path.write_text(yaml.safe_dump(self.config.prepared(self.trials), sort_keys=False))
            done = self._nnictl("create", "--config", str(path), "--port", str(self.port))
        match = re.search(r"Experiment ID:\s*(?:\x1b\[[0-9;]*m)?(\w+)", done.stdout + done.stderr)
        if done.returncode != 0 or match is None:
            raise StartFailed(_last_line(done.stderr + done.stdout))
        return match.group(1)

    def _until_ready(self, experiment: str) -> None:
        """Waits for the tuner's first word in the journal."""
        manager, journal = Manager(self.port), self.run(experiment) / FILE
        for _ in range(240):
            if journal.exists():
                return
            try:
                status, errors = manager.status()
            except OSError as error:
                raise StartFailed(f"NNI's manager ended: {error}") from None
            if status == "ERROR":
                raise self._error(errors)
            if self.config.tuner is None and status in ("RUNNING", "DONE"):
                return
            time.sleep(0.25)
        raise StartFailed("the tuner did not begin within a minute")

    def _error(self, errors: list[str]) -> Exception:
        text = "\n".join(errors)
        mistake = re.search(r"nas\.errors\.NasError: (.+)", text)
        if mistake:
            return NasError(mistake.group(1).strip())
        return StartFailed(_last_line(text) or "NNI's status is ERROR")

    def run(self, experiment: str) -> Path:
        return self.config.code / "runs" / experiment

    # Follow

    def follow(self, experiment: str) -> Journal:
        """Shows progress until the experiment ends, then ends NNI's manager.

        Raises:
            NasError: where it ended without a winner, or NNI failed, with the reason.
        """
        journal = Journal(self.run(experiment) / FILE)
        manager = Manager(self.port)
        try:
            failure = self._watch(journal, manager)
        except KeyboardInterrupt:
            self._end(experiment)
            raise NasError(
                f"interrupted; nothing is lost: nas search {self.config.path} --resume {experiment}"
            ) from None
        self._end(experiment)
        journal.refresh()
        if failure is not None:
            raise NasError(f"{failure}; resume with: nas search {self.config.path} --resume {experiment}")
        if journal.best() is None:
            raise NasError(no_winner(journal))
        return journal

    def _watch(self, journal: Journal, manager: Manager) -> str | None:
        """Returns why the search failed, or None at its regular end."""
        silent = 0
        with self._progress() as progress:
            task = progress.add_task("search", total=self.trials, best="")
            shown: set[int] = set()
            while True:
                journal.refresh()
                for trial in journal.ended():
                    if trial.number not in shown and trial.state != "rejected":
                        shown.add(trial.number)
                        self._show(progress, task, journal, trial)
                failure = _all_alike(journal)
                if failure is not None:
                    return failure
                try:
                    status, errors = manager.status()
                    silent = 0
                except (OSError, ValueError) as error:
                    silent += 1
                    if silent >= 20:
                        return f"NNI's manager does not answer ({error})"
                    status, errors = "", []
                if status == "ERROR":
                    error = self._error(errors)
                    return f"NNI ended with an error: {error}"
                if status in ("DONE", "STOPPED"):  # NO_MORE_TRIAL: the last ones still run
                    journal.refresh()
                    return None
                time.sleep(0.5)

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )

    def _show(self, progress: Progress, task: Any, journal: Journal, trial: Trial) -> None:
        best = journal.best()
        word = f"best reward {best.reward:.4f} (trial {best.number})" if best else "no result yet"
        progress.update(task, advance=1, best=word)
        if trial.accuracy is not None:
            text = f"reward {trial.reward or 0:.4f}  accuracy {trial.accuracy:.4f}"
            text += f"  {short(trial.macs or 0):>6} multiply-adds"
            text += f"  {trial.seconds:5.1f} s" if trial.seconds else ""
            text += "" if trial.state == "complete" else f"  {trial.state}"
        else:
            text = f"{trial.state}: {trial.reason}"
        mark = " *" if best is not None and best.number == trial.number else ""
        progress.console.print(f"trial {trial.number:>3}  {text}{mark}", highlight=False)

    def _end(self, experiment: str) -> None:
        """Ends NNI's manager, and whatever outlives it."""
        self._nnictl("stop", experiment)
        for _ in range(50):
            if not runs.processes_of(experiment):
                return
            time.sleep(0.2)
        runs.end_orphans(experiment)

    # Resume

    def resume(self, experiment: str) -> None:
        """Makes an interrupted experiment run again, unless it runs or has all its trials.

        Raises:
            NasError: where NNI does not resume it.
        """
        journal = runs.open_journal(self.run(experiment))
        known = runs.registered(experiment)
        if known and self._answers(int(known["port"]), experiment):
            self.port = int(known["port"])
            self.console.print(f"experiment {experiment} still runs; following it")
            return
        ended = runs.end_orphans(experiment)
        if ended:
            self.console.print(
                f"ended {ended} process{'es' if ended > 1 else ''} left over by the interruption"
            )
        missing = self.trials - len([t for t in journal.ended() if t.state != "rejected"])
        if missing <= 0:
            self.port = -1
            return
        self.console.print(f"{self.trials - missing} of {self.trials} trials are in the journal; resuming")
        for attempt in range(1, ATTEMPTS + 1):
            done = self._nnictl("resume", experiment, "--port", str(self.port))
            if done.returncode == 0 and self._resumed(experiment):
                break
            if attempt == ATTEMPTS:
                raise NasError(f"NNI did not resume {experiment}: {_last_line(done.stderr + done.stdout)}")
            self._nnictl("stop", experiment)
            runs.end_orphans(experiment)
        if self.trials != journal.run.get("max_trials"):
            Manager(self.port).end_at(self.trials)

    def _resumed(self, experiment: str) -> bool:
        """Whether the tuner connects (NNI's ten seconds) rather than failing."""
        manager, connected = Manager(self.port), 0
        for _ in range(60):
            try:
                status, errors = manager.status()
            except OSError:
                return False
            if status == "ERROR":
                error = self._error(errors)
                if isinstance(error, NasError):
                    raise error
                return False
            connected += status in ("RUNNING", "DONE", "NO_MORE_TRIAL")
            if connected >= 4:
                return True
            time.sleep(0.5)
        return True

    def _answers(self, port: int, experiment: str) -> bool:
        try:
            return Manager(port).profile()["id"] == experiment
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _nnictl(self, *words: str) -> subprocess.CompletedProcess[str]:
        beside = Path(sys.executable).with_name("nnictl")
        command = [str(beside)] if beside.exists() else [sys.executable, "-m", "nni.tools.nnictl"]
        return subprocess.run([*command, *words], capture_output=True, text=True, check=False)


def _all_alike(journal: Journal) -> str | None:
    """The reason, where the first trials all failed for one and the same."""
    ended = [t for t in journal.ended() if t.state != "rejected"]
    reasons = {t.reason for t in ended}
    if len(ended) >= ALIKE and len(reasons) == 1 and all(t.state == "failed" for t in ended):
        return f"the first {len(ended)} trials all failed alike: {reasons.pop()}"
    return None


def _idle(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    """The first port from 8080 that is free with the next one, as NNI wants it."""
    for port in range(FIRST_PORT, FIRST_PORT + 200, 2):
        if _idle(port) and _idle(port + 1):
            return port
    raise NasError(f"no port from {FIRST_PORT} to {FIRST_PORT + 200} is free; name one with --port")


def _checked_port(port: int) -> int:
    if not 1024 <= port <= 65534:
        raise NasError(f"--port is {port}; give a port from 1024 to 65534")
    for wanted in (port, port + 1):
        if not _idle(wanted):
            raise NasError(
                f"port {wanted} is in use (NNI wants --port and the next one); "
                f"give another --port, such as {_free_port()}"
            )
    return port


def _last_line(text: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return lines[-1] if lines else ""
