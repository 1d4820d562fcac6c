"""Searches over recorded results whose course is compared: what they search, and what a journal tells of them."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.search.journal import FILE, Journal

TRIALS = 8
LAYERS, BLOCKS = ("layer1", "layer2", "layer3"), ("identity", "mb3k3", "mb6k5", "mb3k7")
TABLE = {
    "name": "blocks",
    "choices": {layer: list(BLOCKS) for layer in LAYERS},
    "records": [
        {"sample": dict(zip(LAYERS, names, strict=True)), "accuracy": 0.5 + (37 * number % 64) / 200,
         "macs": 100 * (1 + 29 * number % 64)}
        for number, names in enumerate(itertools.product(BLOCKS, repeat=3))
    ],
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "searchSpace": "table:results.json",
    "trialConcurrency": 1, "maxTrialNumber": TRIALS,
    "tuner": {"codeDirectory": ".", "className": "nas.search.tuner.StrategyTuner",
              "classArgs": {"strategy": {"name": "evolution", "population_size": 4, "sample_size": 2}, "seed": 5}},
    "trainingService": {"platform": "local"},
}  # fmt: skip
"""A search.yml without its trialCommand: one trial at a time, a seed, so that every undisturbed search is the same."""

Told = list[tuple[int, dict[str, Any], str, float | None]]


class Recorded:
    """The runs of a project's folder."""

    folder: Path

    def journals(self) -> list[Path]:
        return sorted((self.folder / "runs").glob(f"*/{FILE}"))

    @property
    def id(self) -> str:
        return self.journals()[-1].parent.name

    def journal(self) -> Journal:
        journal = Journal(self.journals()[-1])
        journal.refresh()
        return journal

    def told(self) -> int:
        return len(self.journal().ended()) if self.journals() else 0

    def result(self) -> Told:
        """The first TRIALS trials in order; each was asked and told once, and no line is damaged."""
        journal = self.journal()
        assert journal.unreadable == 0
        for kind in ("asked", "told"):
            numbers = [event["number"] for event in journal.events if event["event"] == kind]
            assert len(numbers) == len(set(numbers)), f"{kind} twice: {numbers}"
        return [(t.number, t.sample, t.state, t.reward) for t in journal.ended()][:TRIALS]


def wait_for(condition: Callable[[], Any], seconds: float, must: bool = True) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            assert not must, "waited in vain"
            return False
        time.sleep(0.2)
    return True
