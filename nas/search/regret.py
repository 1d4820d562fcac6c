"""What a search loses by a proxy: the regret of the best of its top k, simulated for more networks than a pilot has.

A pilot of 24 networks has not the extremes of the hundreds that a search sees, and its best is among a proxy's top 3
easily. So of the pilot are taken how far apart the networks' rewards are, and how closely the proxy follows them; both
give the regret among `SEARCHED` networks, of normal rewards.

>>> expected(1.0, top=3)
0.0
>>> 0 < expected(0.9, top=3) < expected(0.5, top=3) < expected(0.0, top=3) < 2.5
True
"""

import functools

import numpy as np
from scipy.stats import norm

from nas.search.frontier import LEVEL

SEARCHED = 100
"""Random networks of the search that is simulated."""
TIMES = 1000
"""Searches that are simulated."""

Pair = tuple[np.ndarray, np.ndarray]


def expected(correlation: float, top: int) -> float:
    """Expected loss, in standard deviations of the true rewards, where the truly best of the `top` networks that a
    proxy ranks first is taken, against the best of `SEARCHED`."""
    proxy, rest, first = _normal(top)
    truth = correlation * proxy + np.sqrt(max(0.0, 1 - correlation**2)) * rest
    return float((truth.max(axis=1) - np.take_along_axis(truth, first, axis=1).max(axis=1)).mean())


@functools.cache
def _normal(top: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    proxy, rest = rng.normal(size=(2, TIMES, SEARCHED))
    return proxy, rest, np.argsort(-proxy, axis=1)[:, :top]


def upper(pairs: list[Pair], longest: np.ndarray, top: int) -> float:
    """Expected regret at the lower end of the proxy's correlation, one-sided, of `LEVEL`.

    Args:
        pairs: rewards by one seed of the proxy, and means of the longest's other seeds.
        longest: its rewards, (networks, seeds). Of two seeds or more their luck is taken out of its spread; of one it
            counts as the networks' own.

    Returns:
        nan where too few networks are whole, or their differences drown in the luck of the seeds.
    """
    whole = longest[np.isfinite(longest).all(axis=1)]
    if len(whole) < 4:
        return float("nan")
    both = np.atleast_2d(np.cov(whole.T))
    seeds = len(both)
    own = (both.sum() - np.trace(both)) / (seeds * (seeds - 1)) if seeds > 1 else float(both[0, 0])
    correlations, spreads, least = [], [], len(whole)
    for proxy, truth in pairs:
        good = np.isfinite(proxy + truth)
        if good.sum() < 4 or np.ptp(proxy[good]) == 0 or np.ptp(truth[good]) == 0:
            continue
        correlations.append(np.corrcoef(proxy[good], truth[good])[0, 1])
        spreads.append(truth[good].var(ddof=1))
        least = min(least, int(good.sum()))
    if own <= 0 or not correlations:
        return float("nan")
    fisher = np.arctanh(np.clip(np.mean(correlations), -1 + 1e-9, 1 - 1e-9))
    low = np.tanh(fisher - norm.ppf(LEVEL) / np.sqrt(least - 3))
    # a proxy cannot follow the luck of other seeds
    luck = np.sqrt(np.mean(spreads) / own) if seeds > 1 else 1.0
    return float(np.sqrt(own)) * expected(float(np.clip(low * luck, -1, 1)), top)
