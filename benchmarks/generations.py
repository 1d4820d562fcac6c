"""Synchronous generations, as MnasNet ran its search (arXiv:1807.11626, section 4.2: the controller samples a batch,
all of which are trained before it learns and samples the next): workers that are done wait for the last of theirs.

Arithmetic on the very durations of `weather.attempt`; nothing but waiting is counted, neither a manager's looks nor
thinking. A trial that fails or is lost ends early, and is not repeated.

>>> share = busy(trials=6400, workers=64, mean=1200.0)
>>> 0.3 < share < 0.5
True
"""

from weather import STRAGGLERS, attempt


def busy(trials: int, workers: int, mean: float, seed: int = 0, stragglers: float = STRAGGLERS) -> float:
    """The share of their time for which workers train, of whole batches."""
    worked = lasted = 0.0
    for first in range(0, trials - workers + 1, workers):
        seconds = [attempt(seed, number, mean, stragglers)[0] for number in range(first, first + workers)]
        worked += sum(seconds)
        lasted += max(seconds)
    return worked / workers / lasted
