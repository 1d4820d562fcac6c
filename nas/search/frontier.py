"""The accuracy-cost frontier of a space, predicted from a pilot: what the best networks of each cost reach.

A search ends where its reward is highest on this frontier, not where random networks are: their mean rises
faster with cost, because among cheap ones many are bad. So a Gaussian process of the logarithm of the error
(`nas.search.surrogate`) predicts the networks that were not trained, and the frontier is the upper hull of
log accuracy over log multiply-adds. At the end of a search that maximises acc * macs ** w the frontier's
slope, d log acc / d log macs, is -w: MnasNet's rule (arXiv:1807.11626, section 3.1), by which 5 % of
accuracy for twice the cost is worth -0.07, with the trade-off that is there in place of the 5 %.

>>> import numpy as np
>>> log_macs, log_acc = np.log([1.0, 2, 4, 8]), np.log([0.5, 0.6, 0.601, 0.62])
>>> hull(log_macs, log_acc).tolist()
[0, 1, 3]
>>> round(exponent_at(log_macs, log_acc, np.log(1.5)), 3)
-0.229
"""

from dataclasses import dataclass

import numpy as np

from nas.search.surrogate import Features, Process
from nas.search.view import View

WEIGHTS = np.geomspace(0.002, 0.6, 36)
"""Exponents whose best networks are looked for."""
BEST = 8
"""Networks kept of each."""
ROUNDS = 10
"""Rounds of single changes, at most."""
DRAWS = 300
LEVEL = 0.9
"""Of intervals."""
FLATTEST = 1e-5
"""Slopes below it are it, so that they have a logarithm."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval of `LEVEL`."""

    value: float
    low: float
    high: float


def hull(log_macs: np.ndarray, log_acc: np.ndarray) -> np.ndarray:
    """Places of the upper hull's corners from the cheapest on, as far as it rises."""
    kept: list[int] = []
    for new in np.lexsort((-log_acc, log_macs)):
        if kept and log_acc[new] <= log_acc[kept[-1]]:
            continue
        while len(kept) > 1:
            first, last = kept[-2], kept[-1]
            run, rise = log_macs[last] - log_macs[first], log_acc[last] - log_acc[first]
            if rise * (log_macs[new] - log_macs[first]) > (log_acc[new] - log_acc[first]) * run:
                break
            kept.pop()
        kept.append(int(new))
    return np.array(kept, int)


def exponent_at(log_macs: np.ndarray, log_acc: np.ndarray, log_target: float) -> float:
    """w, at which the best of the frontier has the target's cost: its slope there, between the middles of the hull's
    edges, geometrically; nan where one network is best at every cost."""
    corners = hull(log_macs, log_acc)
    if len(corners) < 2:
        return float("nan")
    x, y = log_macs[corners], log_acc[corners]
    slopes = np.maximum(np.diff(y) / np.diff(x), FLATTEST)
    return -float(np.exp(np.interp(log_target, (x[1:] + x[:-1]) / 2, np.log(slopes))))


class Frontier:
    """The frontier that some trained networks of a view promise.

    Args:
        rows: of the trained networks, int (n, choices).
        accuracies: theirs, in [0, 1].

    Attributes:
        macs, accuracies: the predicted frontier, from the cheapest on.
    """

    def __init__(self, view: View, rows: np.ndarray, accuracies: np.ndarray, seed: int = 0) -> None:
        self._view, self._features = view, Features(view, seed)
        self._process = Process(groups=5)
        features = self._features(rows)
        error = np.log(np.clip(1 - accuracies, 1e-4, 1.0))
        self._process.fit(features, error)
        self._process.condition(features, error)
        self._rows = self._candidates(rows, seed)
        self._log_macs = np.log(view.macs(self._rows))
        mean = self._accuracies(self._rows)
        corners = hull(self._log_macs, np.log(mean))
        self.macs, self.accuracies = np.exp(self._log_macs[corners]), mean[corners]
        self._mean = np.log(mean)
        drawn = self._process.draw(self._features(self._rows), DRAWS, np.random.default_rng(seed))
        self._drawn = np.log(_accuracy(drawn)).T

    def exponent(self, target: float) -> Estimate:
        """The w that ends a search at the target."""
        values = [exponent_at(self._log_macs, drawn, np.log(target)) for drawn in self._drawn]
        return _estimate(exponent_at(self._log_macs, self._mean, np.log(target)), values)

    def landing(self, w: float) -> Estimate:
        """Multiply-adds of the network that a search with the exponent ends at."""
        ends = [np.exp(self._log_macs[np.argmax(drawn + w * self._log_macs)]) for drawn in self._drawn]
        return _estimate(float(np.exp(self._log_macs[np.argmax(self._mean + w * self._log_macs)])), ends)

    def _accuracies(self, rows: np.ndarray) -> np.ndarray:
        return _accuracy(self._process.predict(self._features(rows))[0])

    def _candidates(self, trained: np.ndarray, seed: int) -> np.ndarray:
        """Networks near the predicted frontier: the best for each exponent, their neighbours', and so on."""
        view = self._view
        if view.enumerable:
            _, first = np.unique(view.networks(), return_index=True)
            return self._near(view.all_rows()[first])
        found = np.concatenate([trained, view.random_rows(4096, np.random.default_rng(seed))])
        found = self._near(found[view.admitted(found)])
        for _ in range(ROUNDS):
            around = np.concatenate([found, *(view.neighbours(row) for row in found)])
            around = np.unique(around[view.admitted(around)], axis=0)
            better = self._near(around)
            if len(better) == len(found) and (np.unique(better, axis=0) == np.unique(found, axis=0)).all():
                break
            found = better
        return found

    def _near(self, rows: np.ndarray) -> np.ndarray:
        log_macs, log_acc = np.log(self._view.macs(rows)), np.log(self._accuracies(rows))
        kept = set(hull(log_macs, log_acc).tolist())
        for w in WEIGHTS:
            kept.update(np.argsort(-(log_acc - w * log_macs), kind="stable")[:BEST].tolist())
        return rows[sorted(kept)]


def _accuracy(log_error: np.ndarray) -> np.ndarray:
    return 1 - np.exp(np.clip(log_error, np.log(1e-4), np.log(0.999)))


def _estimate(value: float, draws: list[float]) -> Estimate:
    finite = np.array(draws)[np.isfinite(draws)]
    if not len(finite):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))
