"""Evaluators: Architecture -> measured metrics.

A trial asks one for its accuracy; how it comes by it is its own (`proxy`: training from scratch,
`supernet`: shared weights, `table`: recorded results).

>>> class Guess(Evaluator):
...     def evaluate(self, arch, report=None):
...         return Metrics(0.1, arch.macs, arch.params, seconds=0.0)
>>> import nas
>>> Guess().evaluate(nas.load("efficientnet-b0").architecture).macs
385814752
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from nas.architecture import Architecture


@dataclass(frozen=True)
class Metrics:
    """What was measured of an architecture.

    Attributes:
        accuracy: top-1 fraction of `val`, in [0, 1].
        macs, params: of the architecture as evaluated; params None where a table does not say.
        seconds: wall-clock time it took.
        history: metrics by epoch, where there were epochs.
    """

    accuracy: float
    macs: int
    params: int | None
    seconds: float
    history: tuple[dict[str, float], ...] = ()


class Evaluator(ABC):
    """Measures architectures."""

    @abstractmethod
    def evaluate(
        self, arch: Architecture, report: Callable[[int, dict[str, float]], None] | None = None
    ) -> Metrics:
        """Metrics of `arch`; `report` is called with an epoch's number, from 1, and its metrics."""
