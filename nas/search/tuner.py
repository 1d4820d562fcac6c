"""The NNI tuner of search.yml: holds an NNI strategy, hands out samples, keeps the journal.

    tuner:
      codeDirectory: .
      className: nas.search.tuner.StrategyTuner
      classArgs: {strategy: {name: evolution}, reward: {form: soft, w: -0.07}, seed: 0}

NNI gives a tuner ten seconds from start to connection, so nothing heavy is imported before
`update_search_space`. Generating and receiving come on one thread, `trial_end` on another: one lock
guards everything. Trials on this machine write their results into the journal themselves; what
NNI passes on is written only where they could not (other machines, killed processes).
"""

import json
import logging
import math
import os
import shlex
import sys
import threading
from pathlib import Path
from typing import Any

import nni
from nni.tuner import Tuner

from nas.errors import NasError
from nas.search.journal import FILE, Journal
from nas.search.manager import Manager
from nas.search.runs import POINTER
from nas.search.settings import TunerSettings, fitted

log = logging.getLogger(__name__)

RUN = "run"
"""The entry of a proposal that is not a choice: what a trial needs on any machine."""


class StrategyTuner(Tuner):
    """An `nni.nas.strategy` as a tuner of a plain NNI experiment.

    Args: the `classArgs` of search.yml; see `nas.search.settings.TunerSettings`.
    """

    def __init__(self, **class_args: Any) -> None:
        self._args = class_args  # read later: of what is raised here NNI says "did not connect"
        self._lock = threading.RLock()
        self._numbers: dict[int, int] = {}
        self._told = 0
        self._fresh = True
        channel = os.environ.get("NNI_TUNER_COMMAND_CHANNEL")
        self._manager = Manager.of_channel(channel) if channel else None

    # What NNI calls

    def update_search_space(self, search_space: Any) -> None:
        """Builds the strategy; on a resumed experiment, replays its journal."""
        from nas.search.board import StudyBoard
        from nas.space import SearchSpace

        with self._lock:
            if not self._fresh:
                raise NasError("the search space of a running search cannot change; start another search")
            self._fresh = False
            settings = TunerSettings.read(self._args)
            if isinstance(search_space, str):
                space = SearchSpace.load(search_space)
            else:
                space = SearchSpace.from_data(search_space)
            profile = self._profile()
            self._run_dir = run_directory(profile)
            self._assessed = bool(profile.get("assessor"))
            self._settings, self._space = settings, self._fit_to_data(space, profile)
            self._journal = Journal(self._run_dir / FILE)
            self._journal.refresh()
            self._begin(space, profile)
            self._talk = self._conversation()
            self._replay()
            self._board = StudyBoard(self._run_dir, self._journal)
            self._board.update()

    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> dict[str, Any]:
        """The next sample, with its `run` entry.

        Raises:
            nni.NoMoreTrialError: where every network of the space (within limits) was asked.
        """
        with self._lock:
            self._learn()
            number = self._unheard()
            if number is None:
                sample = self._talk.ask()
                if sample is None:
                    self._end_at(len(self._journal.trials))
                    raise nni.NoMoreTrialError("every network of the space was proposed")
                arch = self._space.decode(sample)
                number = self._journal.asked(
                    sample, arch.key, macs=arch.macs, params=arch.params, seen=self._told
                )
            self._numbers[parameter_id] = number
            trial = self._journal.trials[number]
            return {**trial.sample, RUN: {**self._journal.run["trial"], "number": number}}

    def receive_trial_result(self, parameter_id: int, parameters: Any, value: Any, **kwargs: Any) -> None:
        """Records a result that the trial could not write itself, and learns."""
        with self._lock:
            self._record(parameters, value, job=kwargs.get("trial_job_id"))
            self._learn()

    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        """Records why a trial ended without a result."""
        with self._lock:
            self._learn()
            number = self._numbers.get(parameter_id)
            if success or number is None or self._journal.trials[number].state != "running":
                return
            self._record_end(number)
            self._learn()

    def import_data(self, data: list[Any]) -> None:
        """Results that NNI had of an earlier start of this experiment; most are in the journal."""
        with self._lock:
            for entry in data:
                self._record(entry.get("parameter"), entry.get("value"))
            self._learn()

    def load_checkpoint(self) -> None:
        """The journal is the checkpoint; it is read in `update_search_space`."""

    def save_checkpoint(self) -> None:
        """The journal is the checkpoint; it is written at every event."""

    def _on_exit(self) -> None:
        with self._lock:
            self._learn()
            self._board.close()

    # Beginning

    def _profile(self) -> dict[str, Any]:
        """The experiment's configuration, empty outside of NNI."""
        if self._manager is None:
            return {}
        try:
            return self._manager.profile()["params"]
        except (OSError, ValueError, KeyError) as error:
            log.warning("NNI's manager did not tell the experiment's settings (%s)", error)
            return {}

    def _fit_to_data(self, space: Any, profile: dict[str, Any]) -> Any:
        """The space with the classes and channels of the trials' data, where they can be told."""
        from nas.data import describe
        from nas.search.options import parser

        words = shlex.split(profile.get("trialCommand") or "")
        if "nas.search.trial" not in words:
            return space
        try:
            options, _ = parser().parse_known_args(words[words.index("nas.search.trial") + 1 :])
            classes, in_chans = describe(options.data, options.data_dir)
        except (NasError, SystemExit) as error:
            log.warning("costs are counted with the document's classes: %s", error)
            return space
        return space.with_data(classes, in_chans)

    def _begin(self, document: Any, profile: dict[str, Any]) -> None:
        """Writes what is searched, or checks that a resumed run is the same search."""
        import numpy
        import torch

        import nas

        settings, target = self._settings, self._settings.reward.target or document.target
        strategy = fitted(
            settings.strategy,
            budget=int(profile.get("maxTrialNumber") or 100),
            concurrency=int(profile.get("trialConcurrency") or 1),
            choices=len(document.choices),
        )
        settings.limits.check(self._space)
        reward = settings.reward.model_dump(mode="json") | {"target": target}
        self._journal.start(
            experiment=self._run_dir.name,
            space=document.name,
            sha256=document.sha256,
            document=document.document.model_dump(mode="json", exclude_defaults=True),
            strategy={"name": settings.strategy.name, **strategy},
            concurrency=int(profile.get("trialConcurrency") or 1),
            max_trials=profile.get("maxTrialNumber"),
            command=profile.get("trialCommand"),
            nni=os.environ.get("NNI_LOG_DIRECTORY"),
            classes=self._space.document.head.classes,
            in_chans=self._space.document.stem.in_chans,
            seed=settings.seed,
            trial={
                "space": document.name,
                "sha256": document.sha256,
                "reward": reward,
                "limits": settings.limits.model_dump(),
                "seed": settings.seed,
            },
            versions={
                "b0nas": nas.__version__,
                "nni": nni.__version__,
                "torch": torch.__version__,
                "numpy": numpy.__version__,
                "python": sys.version.split()[0],
            },
        )
        run = self._journal.run
        if run["sha256"] != document.sha256:
            raise NasError(
                f"{self._run_dir}: its space {run['space']} was changed since the run began "
                f"(sha256 {run['sha256'][:12]}, now {document.sha256[:12]}); restore it, or start another search"
            )
        logs = os.environ.get("NNI_LOG_DIRECTORY")
        if logs:
            (Path(logs).parent / POINTER).write_text(str(self._run_dir.resolve()))
        (self._run_dir / "config.json").write_text(json.dumps(profile, indent=1))
        (self._run_dir / "space.json").write_text(
            document.document.model_dump_json(indent=1, exclude_defaults=True)
        )

    def _conversation(self) -> Any:
        from nas.search.strategies import AskTell, make

        options = dict(self._journal.run["strategy"])
        seed = self._journal.run["seed"]
        space, limits = self._space, self._settings.limits

        def refuse(sample: dict[str, Any]) -> str | None:
            arch = space.decode(sample)
            return limits.refuse(arch.macs, arch.params)

        strategy = make(options.pop("name"), options, seed)
        return AskTell(space.choices, strategy, seed, key=lambda s: space.decode(s).key, refuse=refuse)

    def _replay(self) -> None:
        """Has the conversation of the journal again, so that the strategy is where it was."""
        told = [event for event in self._journal.events if event["event"] == "told"]
        replayed = 0
        for event in [e for e in self._journal.events if e["event"] == "asked"]:
            while replayed < int(event.get("seen", 0)):
                self._tell(told[replayed])
                replayed += 1
            proposed = self._talk.ask()
            if proposed is None or self._space.decode(proposed).key != event["key"]:
                log.warning("from trial %s on the strategy proposes otherwise than recorded", event["number"])
                break
        for trial in self._journal.trials.values():
            self._talk.exclude(trial.sample)
        self._told = replayed
        self._learn()
        self._resumed = bool(self._journal.trials)

    # Running

    def _learn(self) -> None:
        """Tells the strategy every result that the journal has and it has not heard."""
        self._journal.refresh()
        told = [event for event in self._journal.events if event["event"] == "told"]
        for event in told[self._told :]:
            self._tell(event)
        if len(told) > self._told and hasattr(self, "_board"):
            self._board.update()
        self._told = len(told)

    def _tell(self, event: dict[str, Any]) -> None:
        worth = event.get("reward") if event["state"] in ("complete", "stopped", "duplicate") else None
        self._talk.tell(self._journal.trials[int(event["number"])].sample, worth)

    def _unheard(self) -> int | None:
        """A proposal of before a resume that NNI never received, to be handed out again."""
        if not self._resumed:
            return None
        open_numbers = [t.number for t in self._journal.trials.values() if t.state == "running"]
        known = set(self._numbers.values())
        if self._manager is not None:
            try:
                for job in self._manager.jobs():
                    known |= {p["parameters"].get(RUN, {}).get("number") for p in job.parameters}
            except (OSError, ValueError, KeyError) as error:
                log.warning("NNI's manager did not list its trials (%s)", error)
                return None
        waiting = [number for number in sorted(open_numbers) if number not in known]
        self._resumed = bool(waiting)
        return waiting[0] if waiting else None

    def _record(self, parameters: Any, value: Any, job: str | None = None) -> None:
        run = parameters.get(RUN) if isinstance(parameters, dict) else None
        number = run.get("number") if isinstance(run, dict) else None
        if number not in self._journal.trials:
            log.warning("a result without a proposal of this run is passed over: %s", parameters)
            return
        facts = dict(value) if isinstance(value, dict) else {"default": value}
        worth = facts.pop("default", None)
        if not isinstance(worth, int | float) or not math.isfinite(worth):
            self._journal.told(number, "failed", reason=f"the trial reported {worth!r}", job=job)
            return
        known = {k: facts.get(k) for k in ("accuracy", "macs", "params", "seconds")}
        if known["accuracy"] is None:  # an intermediate result: NNI's last word of an early stop
            self._stopped(number, float(worth), job)
        else:
            self._journal.told(number, "complete", reward=worth, job=job, **known)

    def _stopped(self, number: int, accuracy: float, job: str | None) -> None:
        trial = self._journal.trials[number]
        target = self._journal.run["trial"]["reward"]["target"]
        worth = self._settings.reward.of(accuracy, trial.macs or 1, target)
        self._journal.told(number, "stopped", accuracy=accuracy, reward=worth, job=job)

    def _record_end(self, number: int) -> None:
        """A trial ended without success: early stop, cancel or crash?"""
        reason, job = "the trial's process ended without a result", None
        if self._manager is not None:
            try:
                job = next(
                    job
                    for job in self._manager.jobs()
                    if any(p["parameters"].get(RUN, {}).get("number") == number for p in job.parameters)
                )
                # NNI calls an assessor's stop either; a cancelled trial of a search without is a failure
                stopped = ("EARLY_STOPPED", "USER_CANCELED") if self._assessed else ("EARLY_STOPPED",)
                if job.status in stopped:
                    accuracy = self._manager.last_intermediate(job.id)
                    if accuracy is not None:
                        self._stopped(number, accuracy, job.id)
                        return
                reason += f" (NNI: {job.status}); see its stderr"
            except (OSError, ValueError, KeyError, StopIteration) as error:
                log.warning("NNI's manager did not tell how trial %s ended (%s)", number, error)
        self._journal.told(number, "failed", reason=reason, job=job.id if job else None)

    def _end_at(self, trials: int) -> None:
        """NNI would wait for ever for more trials of an exhausted space."""
        if self._manager is not None:
            threading.Thread(target=self._lower, args=(trials,), daemon=True).start()

    def _lower(self, trials: int) -> None:
        try:
            assert self._manager is not None
            self._manager.set_trials(trials)
        except (OSError, ValueError, KeyError) as error:
            log.warning("NNI's manager did not lower the number of trials (%s)", error)


def run_directory(profile: dict[str, Any]) -> Path:
    """`runs/EXPERIMENT_ID` in the code directory, NNI's folder for this tuner being .../ID/log."""
    logs = os.environ.get("NNI_LOG_DIRECTORY")
    experiment = Path(logs).parent.name if logs else "local"
    code = (profile.get("tuner") or {}).get("codeDirectory") or (sys.path[-1] if logs else ".")
    return Path(code) / "runs" / experiment
