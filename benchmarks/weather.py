"""How long trials take and how they end, in the worlds of `simulate.py`; the same for every way of planning them."""

import numpy as np

SPREAD, STRAGGLERS, SLOWER = 0.25, 0.02, (2.0, 5.0)
"""Of trials' durations: standard deviation of the logarithm; how many are stragglers, and how many times slower."""
FAILED, KILLED = 0.01, 0.02
"""How many trials fail, and of how many the process is killed, after some part of their time."""
LOST = "USER_CANCELED"
"""What NNI calls one whose process is killed."""


def attempt(seed: int, number: int, mean: float, stragglers: float = STRAGGLERS) -> tuple[float, str]:
    """(seconds, NNI's status at the end) of the n-th process that is started; `mean` is that of whole trials.

    >>> attempt(0, 3, mean=1200.0) == attempt(0, 3, mean=1200.0)
    True
    """
    rng = np.random.default_rng((seed, number))
    body = float(rng.lognormal(-(SPREAD**2) / 2, SPREAD))
    slow = float(rng.uniform(*SLOWER)) if rng.random() < stragglers else 1.0
    seconds = mean * body * slow / (1 + stragglers * (sum(SLOWER) / 2 - 1))
    fate, part = rng.random(), float(rng.random())
    if fate < FAILED:
        return seconds * part, "FAILED"
    return (seconds * part, LOST) if fate < FAILED + KILLED else (seconds, "SUCCEEDED")
