"""A search in this process: the same study, strategy and trials as under NNI's manager, one trial after the other.

For evaluations that take less time than a process takes to start, such as those of a supernet. The strategy runs
behind NNI's execution-engine interface as ever (`nas.search.asktell`); nothing listens on a port.
"""

import contextlib
import json
import secrets
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import TextColumn

from nas.errors import NasError
from nas.search import runs
from nas.search.arguments import hush
from nas.search.changes import changed_since
from nas.search.config import SearchConfig
from nas.search.evaluating import reason_of, run
from nas.search.foreground import all_alike, line
from nas.search.hosts import is_local
from nas.search.journal import FILE, Journal
from nas.search.measuring import Measuring, measuring
from nas.search.options import options_of
from nas.search.proposals import RUN
from nas.search.reporter import Reporter
from nas.search.settings import TunerSettings
from nas.search.study import Study
from nas.search.winner import no_winner
from nas.terminal import progress_bar

LETTERS = string.ascii_lowercase + string.digits
UNTOLD = 100
"""Of searches of more trials, only those that are better than all before are told as they end."""


class InProcess:
    """The search of a search.yml in this process.

    Args:
        config: the checked search.yml.
        say: prints one line for the user.
        trials: maxTrialNumber instead of search.yml's, or of a resumed run's own.

    Attributes:
        id: of the run, once it is begun or resumed.
        command, options: what the user typed, for the command that resumes it.

    Raises:
        NasError: for a search.yml whose trials this process cannot run.
    """

    def __init__(self, config: SearchConfig, say: Callable[[str], None], trials: int | None = None) -> None:
        if config.tuner is None or config.subject is None:
            raise NasError(
                f"{config.path}: --in-process runs a strategy of ours, and this search's proposals come from "
                f"{config.proposer}; give className: nas.search.tuner.StrategyTuner, or leave --in-process out"
            )
        if config.trial is None:
            raise NasError(
                f"{config.path}: --in-process runs trials of nas.search.trial, and trialCommand is another; leave "
                "--in-process out"
            )
        if config.data.get("assessor"):
            raise NasError(
                f"{config.path}: an assessor is NNI's, and --in-process runs without its manager; leave either out"
            )
        if not is_local(config.data):
            raise NasError(
                f"{config.path}: --in-process runs its trials here, and trainingService has other machines; leave "
                "one of them out"
            )
        self.config, self.trials = config, trials or config.trials
        self.id, self.command, self.options = "", f"nas search {config.path} --in-process", ""
        self._say, self._asked = say, trials

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.config.code / "runs" / self.id

    @property
    def again(self) -> str:
        """The command that resumes it."""
        words = f"{self.command} --resume {self.id}"
        return (words if self._asked is None else f"{words} --trials {self._asked}") + self.options

    def interrupted(self) -> NasError:
        """What to say where the user ends it."""
        begun = self.id and (self.run / FILE).exists()
        return NasError(
            f"interrupted; {f'nothing is lost: {self.again}' if begun else 'no search has begun'}"
        )

    def follow(self, console: Console, resume: str | None) -> Journal:
        """Runs the trials that are left; the journal of all.

        Raises:
            NasError: where there is no winner, with the reason and how to resume.
        """
        self.id = self._new() if resume is None else runs.find_run(resume, self.config.code).name
        if resume is not None:
            journal = runs.open_journal(self.run)
            if not journal.run.get("in_process"):
                raise NasError(f"{self.run}: was begun under NNI's manager; resume it without --in-process")
            if note := changed_since(self.run, self.config):
                self._say(note)
            self.config = _as_begun(self.run, self.config)
            self.trials = self._asked or journal.max_trials or self.config.trials
        config = self.config
        assert config.tuner is not None
        assert config.subject is not None
        assert config.trial is not None
        way = measuring(config.trial)
        with contextlib.chdir(config.code):  # paths in trialCommand are against it
            way.load()
        profile = config.prepared(self.trials) | {"trialConcurrency": 1, "inProcess": True}
        runs.hold(self.run)
        hush()
        if idle := self._idle():
            self._say(
                f"note: {', '.join(idle)}: for NNI's manager alone, and there is none with --in-process"
            )
        study = Study(self.run, config.tuner, config.subject, profile)
        try:
            if study.journal.max_trials != self.trials:
                study.journal.change("trials", trials=self.trials)
            with contextlib.chdir(config.code):
                failure = self._search(console, study, way)
        finally:
            study.close()
        if failure is not None:
            raise NasError(f"{failure}; resume with: {self.again}")
        if study.journal.best() is None:
            raise NasError(no_winner(study.journal))
        return study.journal

    def _idle(self) -> list[str]:
        """Limits that do nothing here."""
        found = [name for name in ("maxExperimentDuration", "maxTrialDuration") if self.config.data.get(name)]
        return found + ["--memory-limit"] * (self.config.trial.memory_limit is not None)

    def _new(self) -> str:
        """An id as NNI's are, of no run here."""
        while True:
            found = "".join(secrets.choice(LETTERS) for _ in range(8))
            if not (self.config.code / "runs" / found).exists():
                return found

    def _search(self, console: Console, study: Study, way: Measuring) -> str | None:
        """Why it failed, or None at its regular end."""
        journal = study.journal
        before = {trial.number for trial in journal.ended()}
        with progress_bar(console, TextColumn("{task.fields[best]}")) as progress:
            task = progress.add_task("search", total=self.trials, completed=len(before), best="")
            waiting = [trial.number for trial in journal.trials.values() if trial.state == "running"]
            while len(journal.ended()) < self.trials:
                number = waiting.pop(0) if waiting else study.propose()
                if number is None:
                    return None
                self._evaluate(study, way, number)
                study.learn()
                trial, best = journal.trials[number], journal.best()
                word = f"best reward {best.reward:.4f} (trial {best.number})" if best else "no result yet"
                progress.update(task, advance=1, best=word)
                if self.trials <= UNTOLD or trial is best or not trial.scored:
                    progress.console.print(line(trial, best), highlight=False, markup=False)
                if (failure := all_alike(journal, before)) is not None:
                    return failure
        return None

    def _evaluate(self, study: Study, way: Measuring, number: int) -> None:
        """One trial, whatever comes of it."""
        journal = study.journal
        trial = journal.trials[number]
        latency = {} if trial.latency is None else {"latency": trial.latency}
        parameters: dict[str, Any] = {
            **trial.sample,
            RUN: {**journal.run["trial"], "number": number, **latency},
        }
        reporter = Reporter(None, self.run, journal, job=f"{self.id}-{number}")
        reporter.ours, reporter.number = True, number
        try:
            run(self.config.trial, parameters, reporter, way)
        except NasError as error:
            reporter.tell("failed", reason=str(error))
        except Exception as error:
            reporter.tell("failed", reason=reason_of(error))


def _as_begun(run: Path, config: SearchConfig) -> SearchConfig:
    """A resumed run keeps its trialCommand and classArgs, whatever search.yml says by now.

    Raises:
        NasError: where they are lost.
    """
    try:
        then = json.loads((run / runs.CONFIG).read_text())
        command, tuner = then["trialCommand"], then["tuner"]
        args = tuner.get("classArgs")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise NasError(
            f"{run / runs.CONFIG}: cannot be read ({error}), and it has what the search was begun with; restore it, or "
            "start another search"
        ) from None
    settings = TunerSettings.read(args, f"{run / runs.CONFIG}: classArgs")
    return replace(
        config, data={**config.data, "trialCommand": command, "tuner": tuner}, tuner=settings,
        trial=options_of(command, strict=True),
    )  # fmt: skip
