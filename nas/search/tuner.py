"""The NNI tuner of search.yml: holds an NNI strategy, hands out samples, keeps the journal.

    tuner:
      codeDirectory: .
      className: nas.search.tuner.StrategyTuner
      classArgs: {strategy: {name: evolution}, reward: {form: soft, w: -0.07}, seed: 0}

NNI gives a tuner ten seconds from start to connection, so nothing heavy is imported before
`update_search_space`. Generating and receiving come on one thread, `trial_end` on another: one lock
guards everything. Trials on this machine write their results into the journal themselves; what
NNI passes on is written only where they could not (other machines, killed processes).

Never are more proposals without a result than trials at a time: after a resume NNI asks for the next one while
the trials of before still run, and a search that answered would go another way than an undisturbed one.
"""

import json
import logging
import os
import sys
import threading
import time
from typing import Any

import nni
from nni.recoverable import Recoverable
from nni.runtime.msg_dispatcher_base import MsgDispatcherBase
from nni.runtime.tuner_command_channel import CommandType
from nni.tuner import Tuner

from nas.errors import NasError
from nas.search.manager import Manager
from nas.search.placing import documents_for_others, run_directory, subject_of_trials
from nas.search.proposals import RUN, number_of
from nas.search.scaling_grid import default_strategy
from nas.search.settings import TunerSettings

log = logging.getLogger(__name__)

PAUSE, SHARE = 0.2, 5
"""Seconds between two looks at the trials that are waited for; at least SHARE times as long as a look takes."""
START = 6
"""So often is the manager asked for the experiment's settings, before there is no search without them."""


def _is_recovered(self: Recoverable, param_id: int | None) -> bool:
    """Whether a parameter id is one of the trials that NNI runs again after a resume.

    NNI 3.0 takes every id up to the largest of theirs for such a trial; of a new one, which counts
    from 0 again, it then knows no parameters, and its dispatcher ends with a KeyError.
    """
    return param_id in self.recovered_trial_params


_assessed: set[str] = set()
"""Jobs that an assessor, which is in this process, had NNI end."""
_over: dict[str, int | None] = {}
"""Jobs whose end NNI told, and the numbers of their proposals, until somebody looks."""
_send = MsgDispatcherBase.send


def _sent(self: MsgDispatcherBase, command: Any, data: Any) -> None:
    if command is CommandType.KillTrialJob:
        _assessed.add(str(json.loads(data)))
    _send(self, command, data)


_process_command = MsgDispatcherBase.process_command


def _process(self: MsgDispatcherBase, command: Any, data: Any) -> None:
    """Hears of the end of every trial, of which NNI tells a tuner neither the job nor, after a resume, anything; and
    tells NNI's manager why a tuner gives up.

    Of what a tuner only raises the manager hears nothing, and the experiment would run on without a trial.
    """
    try:
        if command is CommandType.TrialEnd:
            _over[str(data["trial_job_id"])] = number_of(json.loads(data["hyper_params"])["parameters"])
        _process_command(self, command, data)
    except NasError as error:
        self.report_error(f"nas.errors.NasError: {error}")
        raise
    except Exception as error:
        self.report_error(f"the tuner failed: {type(error).__name__}: {error}")
        raise


Recoverable.is_created_in_previous_exp = _is_recovered
MsgDispatcherBase.process_command = _process
MsgDispatcherBase.send = _sent


class StrategyTuner(Tuner):
    """An `nni.nas.strategy` as a tuner of a plain NNI experiment.

    Args: the `classArgs` of search.yml; see `nas.search.settings.TunerSettings`.
    """

    def __init__(self, **class_args: Any) -> None:
        self._args = class_args  # read later: of what is raised here NNI says "did not connect"
        self._lock = threading.RLock()
        self._study: Any = None
        self._flights: Any = None
        self._allowance: Any = None
        self._brought: dict[str, Any] = {}
        self._lost: list[tuple[int, dict[str, Any]]] | None = None
        self._restored = self._looking = False
        self._ended = threading.Event()
        channel = os.environ.get("NNI_TUNER_COMMAND_CHANNEL")
        self._manager = Manager.of_channel(channel) if channel else None

    # What NNI calls

    def update_search_space(self, search_space: Any) -> None:
        """Builds the strategy; on a resumed experiment, replays its journal."""
        from nas.search.guard import guard_tuner

        with self._lock:
            if self._study is not None:
                raise NasError("the search space of a running search cannot change; start another search")
            guard_tuner()  # before what is heavy: the manager may end meanwhile
            from nas.search.allowance import Allowance
            from nas.search.flights import Flights
            from nas.search.study import Study

            settings = TunerSettings.read(self._args, default=default_strategy(search_space))
            profile = self._profile()
            self._study = Study(
                run_directory(profile), settings, subject_of_trials(search_space, profile, settings), profile
            )
            self._allowance = Allowance(self._study.journal, self._manager)
            self._brought = documents_for_others(self._study.journal.run, profile)
            self._flights = Flights(self._study, self._manager, profile, self._allowance, _assessed, _over)
            try:
                self._allowance.begin()
            except NasError:  # of the journal
                raise
            except (OSError, ValueError, KeyError) as error:
                log.warning("NNI's manager did not tell the experiment's settings (%s)", error)

    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> dict[str, Any]:
        """The next sample, with its `run` entry.

        Raises:
            nni.NoMoreTrialError: where every network of the space (within limits) was asked.
        """
        number = self._next(getattr(kwargs.get("st_callback"), "__self__", None))
        with self._lock:
            study = self._study
            if number is None:
                self._allowance.end()
                raise nni.NoMoreTrialError("every network of the space was proposed")
            trial = study.journal.trials[number]
            latency = {} if trial.latency is None else {"latency": trial.latency}
            run = {**study.journal.run["trial"], "number": number, **latency, **self._brought}
            return {**trial.sample, RUN: run}

    def _next(self, dispatcher: Any) -> int | None:
        """The number of the proposal to hand out, once there is room for it."""
        while True:
            began = time.monotonic()
            with self._lock:
                self._restore()
                waiting, flying = self._in_flight(unknown=0 if dispatcher is None else sys.maxsize)
                self._study.learn()
                room = dispatcher is None or (flying < self._allowance.concurrency and self._study.whole)
                if waiting or room:
                    number = waiting[0] if waiting else self._study.propose()
                    if number is not None:
                        self._flights.hand(number)
                    return number
            if dispatcher is not None and dispatcher.stopping:
                raise nni.NoMoreTrialError("the search is being stopped")
            time.sleep(max(PAUSE, SHARE * (time.monotonic() - began)))

    def _in_flight(self, unknown: int = 0) -> tuple[list[int], int]:
        """(numbers to hand out, how many fly); none and `unknown` while NNI's manager does not answer."""
        try:
            return self._flights.waiting()
        except NasError:
            raise
        except (OSError, ValueError, KeyError) as error:
            log.warning("NNI's manager did not list its trials (%s)", error)
            return [], unknown

    def receive_trial_result(self, parameter_id: int, parameters: Any, value: Any, **kwargs: Any) -> None:
        """Records a result that the trial could not write itself, and learns."""
        with self._lock:
            self._record(parameters, value, job=kwargs.get("trial_job_id"))
            self._study.learn()

    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        """Records why trials ended without a result."""
        with self._lock:
            self._in_flight()
            self._study.learn()
            if self._flights.quiet and not self._looking:
                self._looking = True
                threading.Thread(target=self._look_again, daemon=True).start()

    def _look_again(self) -> None:
        """The result of a job that succeeded may never come, and nobody may ask for a proposal any more."""
        while self._looking and not self._ended.wait(1):
            try:
                with self._lock:
                    self._in_flight()
                    self._study.learn()
                    self._looking = self._flights.quiet
            except NasError as error:  # the next that NNI asks for meets it, too, and is told
                log.warning("%s", error)
                self._looking = False

    def import_data(self, data: list[Any]) -> None:
        """Results that NNI had of an earlier start of this experiment; most are in the journal."""
        with self._lock:
            for entry in data:
                known = len(self._study.journal.events)
                self._restore(number_of(entry.get("parameter")) or 0)
                self._record(entry.get("parameter"), entry.get("value"))
                if len(self._study.journal.events) > known:
                    self._study.learn()

    def _restore(self, last: int | None = None) -> None:
        """Writes again what a damaged end of the journal proposed, as NNI knows it, up to a number."""
        if self._restored:
            return
        try:
            if self._lost is None:
                self._lost = self._flights.lost()
        except (OSError, ValueError, KeyError) as error:
            log.warning("NNI's manager did not list its trials (%s)", error)
            return
        while self._lost and (last is None or self._lost[0][0] <= last):
            self._study.restore(*self._lost.pop(0))
        if last is None:
            self._restored = True
            self._study.settle()

    def load_checkpoint(self) -> None:
        """The journal is the checkpoint; it is read in `update_search_space`."""

    def save_checkpoint(self) -> None:
        """The journal is the checkpoint; it is written at every event."""

    def _on_exit(self) -> None:
        self._ended.set()
        with self._lock:
            if self._study is not None:
                self._study.close()

    def _profile(self) -> dict[str, Any]:
        """The experiment's configuration, empty outside of NNI.

        Raises:
            NasError: where the manager does not tell it: without it another search would begin.
        """
        if self._manager is None:
            return {}
        for left in range(START - 1, -1, -1):
            try:
                return self._manager.profile()["params"]
            except (OSError, ValueError, KeyError) as error:
                if not left:
                    raise NasError(
                        f"NNI's manager did not tell the experiment's settings ({error}); resume the search"
                    ) from None
                time.sleep(1)
        raise AssertionError

    def _record(self, parameters: Any, value: Any, job: str | None = None) -> None:
        number = number_of(parameters)
        if number not in self._study.journal.trials:
            log.warning("a result without a proposal of this run is passed over: %s", parameters)
            return
        self._study.record(number, value, job)
