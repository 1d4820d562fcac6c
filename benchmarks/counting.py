"""How many evaluations a strategy needs: distinct networks alone are charged.

Who asks a network that has its answer gets the recorded one, free of charge; who asks one that is
still in flight hears of it when its answer comes. So a strategy that knows no copies loses nothing
but its own time.
"""

import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Protocol

from problems import Problem, Sample

PATIENCE = 500
"""Free answers in a row after which a strategy counts as stuck; with others in flight, a tenth makes it wait."""
ASKS = 20
"""Asks for each evaluation of the budget, after which it counts as stuck too."""
CHECKPOINTS = (50, 100)
TIE = 1e-12


class Asked(Protocol):
    """What is measured: a strategy of ours, or a peer."""

    def ask(self) -> Sample | None: ...

    def tell(self, sample: Sample, reward: float) -> None: ...


@dataclass
class Outcome:
    """What came of one run.

    Attributes:
        evaluations: distinct networks until the best was told; the budget where it was not.
        found: whether it was.
        why: what ended a run that did not find it.
        asks: with copies and repeats.
        incumbent: the true reward, after each evaluation, of the network of the best observed reward.
        seconds: of processor time, all of it the strategy's but for looking up.
    """

    evaluations: int
    found: bool = False
    why: str | None = None
    asks: int = 0
    incumbent: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def after(self, evaluations: int) -> float | None:
        """The incumbent's true reward after so many evaluations, or all there were; None before one."""
        return self.incumbent[min(evaluations, len(self.incumbent)) - 1] if self.incumbent else None


class Run:
    """One strategy on one problem.

    Args:
        asked: the strategy.
        problem: what it searches.
        budget: evaluations, distinct networks, at most.
        asks: for each evaluation of the budget, at most.
    """

    def __init__(self, asked: Asked, problem: Problem, budget: int, asks: int = ASKS) -> None:
        self._asked = asked
        self._problem = problem
        self._budget = budget
        self._most = asks * budget
        self._answers: dict[Hashable, float] = {}
        self._flying: dict[Hashable, list[Sample]] = {}
        self._outcome = Outcome(budget)
        self._copies = 0
        self._highest = float("-inf")

    def run(self) -> Outcome:
        """Asks and tells until the best is found (where that is the measure) or the budget is spent."""
        start = time.process_time()
        outcome, best = self._outcome, self._problem.best
        while True:
            if outcome.why is None:
                self._fill()
            if not self._flying:
                break
            true = self._land()
            if best is not None and true >= best - TIE and not outcome.found:
                outcome.found, outcome.evaluations = True, len(self._answers)
                if self._problem.stop:
                    break
        if outcome.found:
            outcome.why = None
        else:
            outcome.why = outcome.why or "budget"
        outcome.seconds = time.process_time() - start
        return outcome

    def _fill(self) -> None:
        """Asks until as many are in flight as may be, or the strategy gives no new network."""
        while len(self._flying) < self._problem.in_flight and self._room():
            sample = self._asked.ask()
            if sample is None:
                if not self._flying:
                    self._outcome.why = f"no more samples after {len(self._answers)} evaluations"
                return
            self._outcome.asks += 1
            key = self._problem.key(sample)
            if key in self._answers:
                self._asked.tell(sample, self._answers[key])
            elif key in self._flying:
                self._flying[key].append(sample)
            else:
                self._flying[key] = [sample]
                self._copies = 0
                continue
            self._copies += 1
            if self._flying and self._copies % (PATIENCE // 10) == 0:
                return
            spent = self._outcome.asks >= self._most
            if spent or self._copies >= PATIENCE:
                how = f"{self._outcome.asks} asks" if spent else f"{self._copies} copies in a row"
                self._outcome.why = f"{how} after {len(self._answers)} evaluations"
                return

    def _room(self) -> bool:
        return len(self._answers) + len(self._flying) < self._budget

    def _land(self) -> float:
        """Tells the oldest in flight; its true reward."""
        key = next(iter(self._flying))
        samples = self._flying.pop(key)
        reward = self._problem.reward(samples[0])
        self._answers[key] = reward
        for sample in samples:
            self._asked.tell(sample, reward)
        true = self._problem.truth(samples[0])
        kept = self._outcome.incumbent
        kept.append(true if reward > self._highest else kept[-1])
        self._highest = max(self._highest, reward)
        return true
