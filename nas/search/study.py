"""A study: what is searched, the journal it is written in, and the strategy that learns from it.

It knows nothing of NNI's processes: the tuner asks it for proposals and hands it results. Replaying
the journal's events in their order gives a fresh strategy the state of the one that was lost.
"""

import json
import logging
import math
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.files import write_whole
from nas.search.asktell import AskTell
from nas.search.finding import check_unchanged
from nas.search.hosts import public
from nas.search.journal import FILE, Journal
from nas.search.placing import images_of, supernet_of
from nas.search.proposals import RUN
from nas.search.runs import CONFIG, LATENCY_FILE, POINTER, forget_marks
from nas.search.settings import TunerSettings, fitted
from nas.search.strategies import make
from nas.search.subject import Subject

log = logging.getLogger(__name__)


class Study:
    """One search, begun or resumed in its run directory.

    Args:
        run_dir: where it is written.
        settings: classArgs.
        subject: what is searched.
        profile: NNI's configuration of the experiment, as far as it is known.

    Raises:
        NasError: where the run directory holds another search, or nothing can be searched.
    """

    def __init__(
        self,
        run_dir: Path,
        settings: TunerSettings,
        subject: Subject,
        profile: dict[str, Any],
    ) -> None:
        from nas.search.board import StudyBoard

        self.run_dir = run_dir
        self.settings = settings
        self.subject = subject
        self.journal = Journal(run_dir / FILE)
        self.journal.refresh()
        self._told: set[int] = set()
        self._seen = 0  # up to which nth results were told, or are lost for good
        self._heard: list[dict[str, Any]] = []  # the journal's, of which so many are learnt
        self._replayed = self._learnt = 0
        self._settled = False
        self._begin(profile)
        self._talk = self._conversation()
        self._board = StudyBoard(run_dir, self.journal)
        self.learn()

    def _begin(self, profile: dict[str, Any]) -> None:
        """Writes what is searched, or checks that a resumed run is the same search."""
        import nni
        import numpy
        import torch

        import nas

        settings, subject = self.settings, self.subject
        target = settings.reward.target or subject.default_target(settings.reward.cost)
        strategy = fitted(
            settings.strategy,
            budget=int(profile.get("maxTrialNumber") or 100),
            concurrency=int(profile.get("trialConcurrency") or 1),
            choices=len(subject.choices),
        )
        subject.check(settings.limits)
        reward = settings.reward.model_dump(mode="json", exclude={"latency"}) | {"target": target}
        self.journal.start(
            experiment=self.run_dir.name,
            **subject.form(),
            strategy={"name": settings.strategy.name, **strategy},
            concurrency=int(profile.get("trialConcurrency") or 1),
            max_trials=profile.get("maxTrialNumber"),
            command=profile.get("trialCommand"),
            images=images_of(profile),
            **({} if (shared := supernet_of(profile)) is None else {"supernet": shared}),
            nni=os.environ.get("NNI_LOG_DIRECTORY"),
            **({"in_process": True} if profile.get("inProcess") else {}),
            seed=settings.seed,
            trial={
                **subject.trial_form(),
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
        check_unchanged(subject, self.journal.run, str(self.run_dir))
        if self.journal.run.get("supernet") not in (None, shared):
            raise NasError(
                f"{self.run_dir}: the supernet was trained anew since this search began, and its accuracies are no "
                "others' equals; restore it, or start another search"
            )
        forget_marks(self.run_dir)
        logs = os.environ.get("NNI_LOG_DIRECTORY")
        written = {self.run_dir / CONFIG: json.dumps(public(profile), indent=1)}
        if logs:
            written[Path(logs).parent / POINTER] = str(self.run_dir.resolve())
        if (document := subject.document()) is not None:
            written[self.run_dir / "space.json"] = document
        if subject.latency is not None:
            written[self.run_dir / LATENCY_FILE] = subject.latency.model.dump()
        for path, text in written.items():
            write_whole(path, text, "mend it and resume the search")

    def _conversation(self) -> AskTell:
        options = dict(self.journal.run["strategy"])
        seed = self.journal.run["seed"]
        reward, target = self.settings.reward, self.journal.run["trial"]["reward"]["target"]
        factor = partial(reward.factor, target=target)
        view = self.subject.view(self.settings.limits, factor, reward.cost)
        return AskTell(view, make(options.pop("name"), options, seed), seed)

    @property
    def whole(self) -> bool:
        """Whether the strategy is where the journal is, so that it can be asked for what comes next."""
        return self._replayed == self.journal.next_number

    def settle(self) -> None:
        """No proposal that the journal lost is to be had any more: those after it are not held back for it."""
        self._settled = True

    def _replay(self, held: bool = True) -> None:
        """Has the conversation of the journal again, so that the strategy is where it was.

        A proposal of before that followed a result which was lost is `held` until that is there again, as long as
        a trial before it is about to be repeated; so is one that followed a lost proposal, until all is settled.
        """
        trials, results = self.journal.trials, self.journal.results()
        asked = {int(e["number"]): e for e in self.journal.events if e["event"] == "asked"}
        first_lost = next((n for n, result in enumerate(results) if result["nth"] != n), len(results))
        first_running = min(self.journal.running, default=math.inf)
        told, again = 0, self.journal.next_number
        while self._replayed < self.journal.next_number:
            number = self._replayed
            event = asked.get(number)
            if event is None and held and not self._settled:
                return
            if event is not None:
                seen = int(event.get("seen", 0))
                if held and first_lost < seen and first_running < number:
                    return
                while told < len(results) and results[told]["nth"] < seen:
                    self._tell(results[told])
                    told += 1
                if not self._talk.ask_again(event["sample"]):
                    log.warning("from trial %s on the strategy proposes otherwise than recorded", number)
                    again = number
                    break
            self._replayed += 1
        self._replayed = self.journal.next_number
        for number, trial in trials.items():
            if number >= again:
                self._talk.exclude(trial.sample)

    def propose(self) -> int | None:
        """The number of a new trial; None where every network (within limits) was proposed."""
        if not self.whole:
            self._replay(held=False)
        sample = self._talk.ask()
        if sample is None:
            if not self.journal.exhausted:
                self.journal.change("exhausted")
            return None
        key, cost = self.subject.key(sample), self.subject.cost(sample)
        self._replayed = 1 + self.journal.asked(sample, key, **cost, seen=self._seen)
        return self._replayed - 1

    def restore(self, number: int, parameters: dict[str, Any]) -> None:
        """Writes a proposal again that the journal lost and NNI still has.

        What it had seen is lost with it, and told by its neighbours: about one result more than the one before.
        """
        sample = self.subject.validate({name: value for name, value in parameters.items() if name != RUN})
        seen = {int(e["number"]): int(e.get("seen", 0)) for e in self.journal.events if e["event"] == "asked"}
        before = max((seen[n] for n in seen if n < number), default=-1)
        about = min([before + 1, *(seen[n] for n in seen if n > number)])
        self.journal.asked(sample, self.subject.key(sample), number, **self.subject.cost(sample), seen=about)

    def learn(self) -> None:
        """Tells the strategy every result that the journal has and it has not heard."""
        self.journal.refresh()
        if self._heard is not self.journal.heard:  # it was read anew
            self._heard, self._learnt = self.journal.heard, 0
        elif self._learnt == len(self._heard) and self.whole:
            return
        if not self.whole:
            self._replay()
        if self.whole:
            for result in sorted(self._heard[self._learnt :], key=lambda event: event["nth"]):
                self._tell(result)
            self._learnt = len(self._heard)
        self._board.update()

    def _tell(self, event: dict[str, Any]) -> None:
        if event["nth"] in self._told:
            return
        self._told.add(event["nth"])
        self._seen = max(self._seen, event["nth"] + 1)
        worth = event.get("reward") if event["state"] in ("complete", "stopped", "duplicate") else None
        sample, stopped = self.journal.trials[int(event["number"])].sample, event["state"] == "stopped"
        self._talk.tell(sample, worth, event.get("accuracy"), stopped)

    def record(self, number: int, value: Any, job: str | None) -> None:
        """Writes down what NNI passed on of a trial: its final report, or an intermediate result,
        which is NNI's last word of a trial that was stopped early."""
        if self.journal.trials[number].state not in ("running", "stopped"):
            return
        facts = dict(value) if isinstance(value, dict) else {"default": value}
        if facts.get("macs") not in (None, self.journal.trials[number].macs):
            log.warning("trial %s: a result of another network is passed over", number)
            return  # after a resume NNI may take two trials of one parameter id for each other
        worth = facts.pop("default", None)
        if not isinstance(worth, int | float) or not math.isfinite(worth):
            self.journal.told(number, "failed", reason=f"the trial reported {worth!r}", job=job)
            return
        known = {name: facts.get(name) for name in ("accuracy", "macs", "params", "seconds")}
        if known["accuracy"] is None:
            self.record_stop(number, float(worth), job)
        else:
            self.journal.told(number, "complete", reward=worth, job=job, **known)

    def record_stop(self, number: int, accuracy: float, job: str | None) -> None:
        """Writes down an early stop: the last accuracy, a lower bound."""
        trial = self.journal.trials[number]
        target = self.journal.run["trial"]["reward"]["target"]
        try:
            worth = self.settings.reward.of(accuracy, self.settings.reward.paid(trial) or 1, target)
        except NasError as error:  # of a trial command of the user's own
            self.journal.told(number, "failed", reason=f"the trial reported: {error}", job=job)
        else:
            self.journal.told(number, "stopped", accuracy=accuracy, reward=worth, job=job)

    def close(self) -> None:
        """Learns what is left, and ends the strategy and the board."""
        self.learn()
        self._board.close()
        self._talk.close()
