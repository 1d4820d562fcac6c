"""Whether a winner is better than its rivals, or whether its seeds were lucky.

The winner is chosen on validation images; then winner and rivals are trained anew with fresh seeds, by one recipe, and
tested once. What is left of luck is in the seeds alone: nobody was chosen for these. Dunnett's test (Dunnett 1955, "A
multiple comparison procedure for comparing several treatments with a control", JASA 50) compares one with several at
once; its simultaneous intervals all hold together with the level's confidence.

>>> import numpy as np
>>> winner = np.array([0.95, 0.951, 0.952])
>>> rivals = {"B0": np.array([0.94, 0.941, 0.942]), "A1": np.array([0.95, 0.951, 0.953])}
>>> [(one.rival, one.distinguishable) for one in contrasts(winner, rivals)]
[('B0', True), ('A1', False)]
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import dunnett

from nas.errors import NasError

LEVEL = 0.95
LEAST = 3
"""Seeds, at least: with two, their spread is hardly known."""


@dataclass(frozen=True)
class Contrast:
    """The winner against one rival.

    Attributes:
        margin: difference of the mean accuracies, in [-1, 1]; over 0 where the winner is better.
        low, high: of the simultaneous interval.
        n: seeds of the winner and of the rival.
    """

    rival: str
    margin: float
    low: float
    high: float
    n: tuple[int, int]

    @property
    def distinguishable(self) -> bool:
        """Whether the interval leaves out 0, on whichever side."""
        return self.low > 0 or self.high < 0

    @property
    def words(self) -> str:
        """In a sentence: 'B0 is as good' is a result."""
        figures = f"{100 * self.margin:+.2f} points ({100 * self.low:+.2f} to {100 * self.high:+.2f})"
        if not self.distinguishable:
            return f"not distinguishable from {self.rival}: {figures}"
        return f"{'better' if self.margin > 0 else 'worse'} than {self.rival}: {figures}"


def contrasts(
    winner: np.ndarray, rivals: Mapping[str, np.ndarray], level: float = LEVEL, seed: int = 0
) -> list[Contrast]:
    """The winner against every rival, in their order.

    Args:
        winner: test accuracies, one a seed.
        rivals: the same of each rival.
        level: confidence of all intervals together.
        seed: of the integration that gives Dunnett's quantile.

    Raises:
        NasError: for fewer than `LEAST` seeds of one of them, or accuracies that are all equal.
    """
    for name, values in {"the winner": winner, **rivals}.items():
        if len(values) < LEAST:
            raise NasError(f"{name} has {len(values)} test accuracies; train it with {LEAST} seeds or more")
    if not rivals:
        return []
    groups = [np.asarray(values, float) for values in rivals.values()]
    if all(np.ptp(group) == 0 for group in [winner, *groups]):
        raise NasError(
            "every seed of every network has the same accuracy: there is no spread to compare with"
        )
    found = dunnett(*groups, control=np.asarray(winner, float), rng=np.random.default_rng(seed))
    interval = found.confidence_interval(confidence_level=level)
    return [
        Contrast(
            name, float(winner.mean() - group.mean()), -float(high), -float(low), (len(winner), len(group))
        )
        for name, group, low, high in zip(rivals, groups, interval.low, interval.high, strict=True)
    ]
