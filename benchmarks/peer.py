"""What a strategy is to the benchmark: it asks for a sample, and is told its reward."""

import logging

from counting import ASKS
from problems import Problem, Sample


class Peer:
    """One way to search.

    Attributes:
        package: what has to be installed.
        slow: evaluations after which it is given up, where its own thinking takes too long.
        asks: for each evaluation of the budget, with copies and repeats, after which it counts as stuck.
        sequential: why it cannot have several in flight; None where it can.
        note: what the tables' readers should know.
    """

    package: str | None = None
    slow: int | None = None
    asks: int = ASKS
    sequential: str | None = None
    note = ""

    def __init__(self, problem: Problem, seed: int) -> None:
        raise NotImplementedError

    def ask(self) -> Sample | None:
        raise NotImplementedError

    def tell(self, sample: Sample, reward: float) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Ends what it started."""


def hush_nni() -> None:
    """NNI logs each proposal; to be called after its import, which sets that up."""
    logging.getLogger("nni").setLevel(logging.WARNING)
