"""Whether a winner is better than its rivals, or whether its seeds were lucky.

The winner is chosen on validation images; then winner and rivals are trained anew with fresh seeds, by one recipe, and
tested once. What is left of luck is in the seeds, for which nobody was chosen, and in the images of the test. Dunnett's
test (Dunnett 1955, "A multiple comparison procedure for comparing several treatments with a control", JASA 50) compares
one with several at once; where all networks spread alike, its intervals hold together with the level's confidence.

>>> import numpy as np
>>> winner = np.array([0.95, 0.951, 0.952])
>>> rivals = {"B0": np.array([0.94, 0.941, 0.942]), "A1": np.array([0.95, 0.951, 0.953])}
>>> [(one.rival, one.distinguishable) for one in contrasts(winner, rivals)]
[('B0', True), ('A1', False)]
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import dunnett, norm

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
    winner: np.ndarray, rivals: Mapping[str, np.ndarray], reach: Mapping[str, float] | None = None,
    level: float = LEVEL, seed: int = 0,
) -> list[Contrast]:  # fmt: skip
    """The winner against every rival, in their order.

    Args:
        winner: test accuracies, one a seed.
        rivals: the same of each rival.
        reach: of each rival, how far the margin may be off because the test has these images and no others
            (`image_reach`); it widens the interval as an independent error does.
        level: confidence of all intervals together.
        seed: of the integration that gives Dunnett's quantile.

    Raises:
        NasError: for fewer than `LEAST` seeds of one of them.
    """
    for name, values in {"the winner": winner, **rivals}.items():
        if len(values) < LEAST:
            raise NasError(f"{name} has {len(values)} test accuracies; train it with {LEAST} seeds or more")
    if not rivals:
        return []
    groups = [np.asarray(values, float) for values in rivals.values()]
    margins = np.array([winner.mean() - group.mean() for group in groups])
    below = above = np.zeros(len(groups))  # where every seed gives the same, seeds are no luck
    if any(np.ptp(group) > 0 for group in [winner, *groups]):
        with warnings.catch_warnings():  # of a network whose seeds are all alike, whose spread is 0 as it is
            warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)
            found = dunnett(*groups, control=np.asarray(winner, float), rng=np.random.default_rng(seed))
        interval = found.confidence_interval(confidence_level=level)
        below, above = margins + interval.high, -interval.low - margins
    images = np.array([(reach or {}).get(name, 0.0) for name in rivals])
    lows, highs = margins - np.hypot(below, images), margins + np.hypot(above, images)
    return [
        Contrast(name, float(margin), float(low), float(high), (len(winner), len(group)))
        for name, group, margin, low, high in zip(rivals, groups, margins, lows, highs, strict=True)
    ]


def expected_reach(images: int, accuracy: float, several: int, level: float = LEVEL) -> float:
    """`image_reach` before anything is trained, of networks of one accuracy whose mistakes have nothing to do with
    each other; mistakes that they share make it smaller.

    >>> round(expected_reach(360, 0.97, 5), 3)
    0.033
    """
    error = float(np.sqrt(2 * accuracy * (1 - accuracy) / images))
    return float(norm.ppf(1 - (1 - level) / (2 * max(1, several)))) * error


def image_reach(
    winner: np.ndarray, rival: np.ndarray, weights: np.ndarray, several: int, level: float = LEVEL
) -> float:
    """Half the width of the margin's interval over test images: normal, corrected for several rivals (Bonferroni).

    Which images are drawn for a test is luck, too, and the only luck that more seeds do not lessen.

    Args:
        winner, rival: what every test image adds to accuracy, (seeds, images): 1 where it is right, 0 where wrong, the
            rival's times its reward for each unit of accuracy.
        weights: of the images, (images,), that add up to 1: equal, or for a balanced accuracy those of its classes.
        several: rivals that are compared.
    """
    differences = winner.mean(axis=0) - rival.mean(axis=0)
    mean = float(weights @ differences)
    error = float(np.sqrt(np.sum((weights * (differences - mean)) ** 2)))
    return float(norm.ppf(1 - (1 - level) / (2 * max(1, several)))) * error
