"""Which network to train next: expected to be better than the best, by a model of accuracy alone.

Multiply-adds are known exactly before any training, so only accuracy is modelled (`Process`); what a
network is worth is that accuracy times an exact factor. The acquisition function is the probability of
improvement (Kushner 1964; Shahriari et al. 2016, section IV-B) with a logistic in place of the step at
the best reward, so that a certain equal is worth half a certain improvement and a hair is worth little
more; it is maximised over the candidates (`nas.search.pool`).

>>> from nas.search.view import View
>>> guide = Guide(View({"a": (0, 1, 2, 3), "b": (0, 1, 2, 3)}, cost=lambda s: 1 + s["b"]), seed=0)
>>> for _ in range(8):
...     row = next(guide.candidates())
...     guide.asked(row)
...     guide.told(row, accuracy=0.5 + 0.1 * row[0])
>>> int(max(row[0] for row in guide.rows))
3
"""

from collections.abc import Iterator

import numpy as np
from scipy.special import log_ndtr, logsumexp
from threadpoolctl import ThreadpoolController

from nas.search.pool import Batch, Pool, Score
from nas.search.surrogate import Features, Process
from nas.search.view import View

START = 3
"""Results before the model speaks."""
FIT, KEEP = 150, 500
"""Observations from which weights are fitted, and on which predictions are conditioned, at most."""
EVERY = 25
"""Over FIT results, the weights are fitted again after so many."""
SMOOTH = 1e-3
"""Width of the logistic at the best reward, relative to it; to the spread, of what is no fraction."""
UNLIKELY = -7.0
"""Logarithm of a floor under the chance of an improvement: beside it, where all chances are tiny, the
chance that the trial succeeds decides. A hundredth of the logarithm below it still orders equals."""
STEP = 0.15
"""How sharply success (1) and failure (0) are told apart."""
BLAS = ThreadpoolController()
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(12)
NODE_WEIGHTS = NODE_WEIGHTS / NODE_WEIGHTS.sum()


class Warp:
    """Accuracies as the model sees them: linear around the best, logarithmic far below.

    u = asinh((logit(a) - m) / s), with m the best logit and s its distance to the median: a network
    that hardly learnt is bad, and how bad does not bend the picture of the good ones. Above the best,
    u is linear, so that a wide guess does not promise the moon.

    Values that are no fractions (a metric of another model space, a percentage, a negative loss) are
    taken as they are in the place of logits; their unit and origin do not matter.
    """

    def __init__(self, accuracies: np.ndarray) -> None:
        self.fractions = bool(((accuracies >= 0) & (accuracies <= 1)).all())
        straight = self._straight(accuracies)
        self._best = float(straight.max())
        least = 1e-4 if self.fractions else 1e-4 * float(straight.std()) or 1.0
        self.spread = max(self._best - float(np.median(straight)), least)

    def _straight(self, accuracies: np.ndarray) -> np.ndarray:
        if not self.fractions:
            return accuracies
        clipped = np.clip(accuracies, 1e-3, 1 - 1e-4)
        return np.log(clipped / (1 - clipped))

    def __call__(self, accuracies: np.ndarray) -> np.ndarray:
        return np.arcsinh((self._straight(accuracies) - self._best) / self.spread)

    def back(self, values: np.ndarray) -> np.ndarray:
        """Accuracies of values of the model."""
        bent = self._best + self.spread * np.where(values > 0, values, np.sinh(np.maximum(values, -20)))
        return 1 / (1 + np.exp(-np.clip(bent, -30, 30))) if self.fractions else bent


class Guide:
    """What was asked and told, and the candidates that follow from it and the seed alone."""

    def __init__(self, view: View, seed: int) -> None:
        self.view = view
        self.rows: list[np.ndarray] = []
        self.results: list[tuple[np.ndarray, float | None, bool]] = []
        self._numbers: dict[bytes, int] = {}  # row -> its place in results
        self._seed = seed
        self._features = Features(view, seed)
        self._pool = Pool(view, self._features)
        self._weights: tuple[int, np.ndarray] | None = None

    def asked(self, row: np.ndarray) -> None:
        """A network was proposed."""
        self.rows.append(row)
        self._pool.take(row)

    def exclude(self, row: np.ndarray) -> None:
        """Never propose a network."""
        self._pool.take(row)

    def told(self, row: np.ndarray, accuracy: float | None, stopped: bool = False) -> None:
        """What came of a network, in place of what was told of it before.

        None is a failure; of a stopped one the accuracy is a lower bound.
        """
        result = row, accuracy, stopped
        number = self._numbers.setdefault(row.tobytes(), len(self.results))
        if number < len(self.results):
            self.results[number], self._weights = result, None
        else:
            self.results.append(result)
        self._pool.take(row)

    # Proposals

    def candidates(self) -> Iterator[np.ndarray]:
        """Rows worth proposing, the best first; none that was taken.

        Nothing changes by asking for them.
        """
        rng = np.random.default_rng((self._seed, len(self.rows)))
        results = [
            (row, accuracy) for row, accuracy, stopped in self.results if accuracy is not None and not stopped
        ]
        with BLAS.limit(limits=1):  # matrices are small: threads wait for each other more than they do
            score = self._model(results) if len(results) >= START else self._spread
            worth = self.view.worth(np.array([row for row, _ in results])) if results else []
            order = np.argsort(
                [-accuracy * factor for (_, accuracy), factor in zip(results, worth, strict=True)]
            )
            found = self._pool.best(score, [results[number][0] for number in order], rng)
        for row in found:
            yield row.copy()  # one that is kept would keep all of `found`

    def _spread(self, batch: Batch) -> np.ndarray:
        """Before there are results, a maximum-variance design: unlike what was asked, by the prior alone."""
        if not self.rows:
            return np.zeros(len(batch.rows))
        process = Process(groups=5)
        asked = np.array(self.rows[-KEEP:])
        process.condition(self._features(asked), np.zeros(len(asked)))
        return process.predict(batch.features)[1]

    def _model(self, results: list[tuple[np.ndarray, float]]) -> Score:
        """The logarithm of the smoothed probability of improvement."""
        accuracies = np.array([accuracy for _, accuracy in results])
        rows = np.array([row for row, _ in results])
        rewards = accuracies * self.view.worth(rows)
        best = float(rewards.max())
        process = Process(groups=5)
        process.weights = self._fitted(rows, accuracies, rewards)
        kept = _kept(rewards, KEEP)
        rows, accuracies = rows[kept], accuracies[kept]
        warp = Warp(accuracies)
        y = warp(accuracies)
        process.condition(self._features(rows), y)
        guesses = self._guesses(process, warp)
        if guesses is not None:
            process.condition(
                self._features(np.concatenate([rows, guesses[0]])), np.concatenate([y, guesses[1]])
            )
        succeeds = self._success()
        width = SMOOTH * (max(best, 1e-9) if warp.fractions else warp.spread)

        def score(batch: Batch) -> np.ndarray:
            mean, deviation = process.predict(batch.features)
            gain = warp.back(mean[:, None] + deviation[:, None] * NODES) * batch.worth[:, None] - best
            chance = -np.logaddexp(0, -gain / width)  # of each node of the quadrature, its logarithm
            chance = logsumexp(chance, b=NODE_WEIGHTS, axis=1)
            return np.logaddexp(chance, UNLIKELY + 0.01 * chance) + succeeds(batch)

        return score

    def _fitted(self, rows: np.ndarray, accuracies: np.ndarray, rewards: np.ndarray) -> np.ndarray:
        """The process's weights: a function of the first results alone, all of them up to FIT, so that it
        does not matter when it was asked."""
        n = len(rows) if len(rows) <= FIT else len(rows) - len(rows) % EVERY
        if self._weights is None or self._weights[0] != n:
            kept = _kept(rewards[:n], FIT)
            process = Process(groups=5)
            process.fit(self._features(rows[kept]), Warp(accuracies[kept])(accuracies[kept]))
            self._weights = n, process.weights
        return self._weights[1]

    def _guesses(self, process: Process, warp: Warp) -> tuple[np.ndarray, np.ndarray] | None:
        """Trials in flight, taken for what the model expects of them; stopped ones for no less than
        their bound. Of each the newest, KEEP / 2 at most."""
        flying = [row for row in self.rows if row.tobytes() not in self._numbers][-KEEP // 2 :]
        stopped = [(row, bound) for row, bound, early in self.results if early and bound is not None]
        stopped = stopped[-KEEP // 2 :]
        rows = [*flying, *(row for row, _ in stopped)]
        if not rows:
            return None
        expected = process.predict(self._features(np.array(rows)))[0]
        bounds = warp(np.array([bound for _, bound in stopped])) if stopped else np.zeros(0)
        expected[len(flying) :] = np.maximum(expected[len(flying) :], bounds)
        return np.array(rows), expected

    def _success(self) -> Score:
        """The logarithm of the probability that a trial gives a result at all, from those that failed.

        Least-squares classification (Rasmussen & Williams 2006, section 6.5): a process of 1 for a result
        and 0 for a failure, its prediction squashed by the normal distribution.
        """
        failed = np.array([accuracy is None for _, accuracy, _ in self.results])
        if not failed.any():
            return lambda batch: np.zeros(len(batch.rows))
        process = Process(groups=5)
        rows, labels = np.array([row for row, _, _ in self.results])[-KEEP:], 1.0 - failed[-KEEP:]
        if not failed.all():
            process.fit(self._features(rows[-FIT:]), labels[-FIT:])
        process.condition(self._features(rows), labels)

        def score(batch: Batch) -> np.ndarray:
            mean, deviation = process.predict(batch.features)
            return log_ndtr((mean - 0.5) / np.hypot(deviation, STEP))

        return score


def _kept(rewards: np.ndarray, most: int) -> np.ndarray:
    """The numbers of at most `most` observations: the best half of them, the rest spread over all others."""
    if len(rewards) <= most:
        return np.arange(len(rewards))
    order = np.argsort(-rewards, kind="stable")
    rest = order[most // 2 :]
    spread = rest[np.linspace(0, len(rest) - 1, most - most // 2).astype(int)]
    return np.sort(np.concatenate([order[: most // 2], spread]))
