"""How cheap a proxy may be before it names other winners: proxies against the longest, over the networks of a pilot.

>>> rng = np.random.default_rng(0)
>>> long, short, truth = Fidelity(8), Fidelity(1), rng.normal(0.8, 0.02, 24)
>>> scores = {one: truth[:, None] + rng.normal(0, sd, (24, 2)) for one, sd in ((long, 0.001), (short, 0.2))}
>>> found = verdicts(scores, {long: 8.0, short: 1.0}, np.full(24, 1e6), np.ones(24), long)
>>> [one.fidelity.epochs for one in found], cheapest(found, bound=0.005).fidelity.epochs
([1, 8], 8)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from nas.search.fidelity import Fidelity
from nas.search.frontier import LEVEL
from nas.search.regret import upper

DRAWS = 1000


@dataclass(frozen=True)
class Verdict:
    """What a proxy is worth, against the longest one.

    Attributes:
        cost: its time, as a fraction of the longest's.
        rank: Spearman correlation with the longest's other seeds; low and high its bootstrap interval over networks.
        rank_at_cost: the same of what multiply-adds do not explain.
        noise: correlation between two of its own seeds; nan of one.
        regret: loss of reward where the best of its top k is taken, against the best of the pilot; mean over seeds.
        regret_high: expected in a search, at the lower end of the proxy's correlation (`nas.search.regret`).
    """

    fidelity: Fidelity
    cost: float
    rank: float
    rank_low: float
    rank_high: float
    rank_at_cost: float
    noise: float
    regret: float
    regret_high: float


def verdicts(
    scores: Mapping[Fidelity, np.ndarray], seconds: Mapping[Fidelity, float], macs: np.ndarray, worth: np.ndarray,
    longest: Fidelity, top: int = 3,
) -> list[Verdict]:  # fmt: skip
    """A verdict on each fidelity, the cheapest first.

    Args:
        scores: accuracies, (networks, seeds), nan where a training failed.
        seconds: mean time of a training.
        macs: of the networks.
        worth: the reward of each unit of accuracy of a network.
        longest: the fidelity that is the truth. A seed is held against the mean of its others: weights and order of
            batches are a seed's, so that of the same seed a shorter proxy shares the luck. With one seed it does.
    """
    rng = np.random.default_rng(0)
    return [
        _verdict(fidelity, scores, seconds, macs, worth, longest, top, rng)
        for fidelity in sorted(scores, key=lambda one: seconds[one])
    ]


def _verdict(
    fidelity: Fidelity, scores: Mapping[Fidelity, np.ndarray], seconds: Mapping[Fidelity, float], macs: np.ndarray,
    worth: np.ndarray, longest: Fidelity, top: int, rng: np.random.Generator,
) -> Verdict:  # fmt: skip
    own, truth = scores[fidelity], scores[longest]
    pairs = []
    for seed in range(own.shape[1]):
        others = [other for other in range(truth.shape[1]) if other != seed]
        if truth.shape[1] == 1 and fidelity != longest:
            others = [0]
        if others:
            pairs.append((own[:, seed], truth[:, others].mean(axis=1)))
    whole = [(a, b) for a, b in pairs if np.isfinite(a + b).sum() >= 3]
    if not whole:
        nan = float("nan")
        return Verdict(fidelity, seconds[fidelity] / seconds[longest], nan, nan, nan, nan, nan, nan, nan)
    n = len(macs)
    draws = [rng.integers(n, size=n) for _ in range(DRAWS)]
    everyone = np.arange(n)
    ranks = [_mean_rank(whole, chosen) for chosen in draws]
    low, high = np.nanquantile(ranks, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    residuals = [(_unexplained(a, macs), _unexplained(b, macs)) for a, b in whole]
    seeds = [(own[:, a], own[:, b]) for a in range(own.shape[1]) for b in range(a)]
    return Verdict(
        fidelity,
        seconds[fidelity] / seconds[longest],
        _mean_rank(whole, everyone),
        float(low),
        float(high),
        _mean_rank(residuals, everyone),
        _mean_rank(seeds, everyone) if seeds else float("nan"),
        _mean_regret(whole, worth, top),
        upper([(a * worth, b * worth) for a, b in whole], truth * worth[:, None], top),
    )


def chance(truth: np.ndarray, worth: np.ndarray, top: int = 3) -> float:
    """Expected regret of a random order; `truth` is the longest's accuracies, (networks, seeds)."""
    rng, mean = np.random.default_rng(0), truth.mean(axis=1)
    return float(np.mean([_mean_regret([(rng.random(len(mean)), mean)], worth, top) for _ in range(DRAWS)]))


def _mean_rank(pairs: list[tuple[np.ndarray, np.ndarray]], chosen: np.ndarray) -> float:
    values = []
    for a, b in pairs:
        good = chosen[np.isfinite(a[chosen] + b[chosen])]
        if len(np.unique(a[good])) > 1 and len(np.unique(b[good])) > 1:
            values.append(float(np.corrcoef(rankdata(a[good]), rankdata(b[good]))[0, 1]))
    return float(np.mean(values)) if values else float("nan")


def _mean_regret(pairs: list[tuple[np.ndarray, np.ndarray]], worth: np.ndarray, top: int) -> float:
    """The best reward less that of the best of the proxy's top k."""
    values = []
    for a, b in pairs:
        good = np.flatnonzero(np.isfinite(a + b))
        if len(good) > top:
            picked = good[np.argsort(-(a * worth)[good], kind="stable")[:top]]
            values.append(float((b * worth)[good].max() - (b * worth)[picked].max()))
    return float(np.mean(values)) if values else float("nan")


def _unexplained(accuracy: np.ndarray, macs: np.ndarray) -> np.ndarray:
    """Logarithm of the error less its straight line over the logarithm of multiply-adds."""
    good = np.isfinite(accuracy)
    error, x = np.log(np.clip(1 - accuracy, 1e-4, 1.0)), np.log(macs)
    if good.sum() < 3 or np.ptp(x[good]) == 0:
        return -error
    return -(error - np.polyval(np.polyfit(x[good], error[good], 1), x))


def cheapest(found: list[Verdict], bound: float) -> Verdict | None:
    """The cheapest proxy whose regret is at most `bound`, in the pilot and in a search with confidence, and whose rank
    correlation is over 0; None where there is none: of few networks chance picks good ones, too."""
    return next(
        (one for one in found if one.regret <= bound and one.regret_high <= bound and one.rank_low > 0), None
    )
