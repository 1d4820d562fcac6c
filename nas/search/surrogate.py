"""A Gaussian process of accuracy over architectures, its structure that of search spaces.

Each network is described by several groups of features (`Features`), and its covariance with another
has two terms: one linear in every group, and one that decays with their weighted distances,

    k(x, x') = 1 + sum_g a_g <x_g, x'_g> + b exp(-1/2 sum_g r_g |x_g - x'_g|^2)

(Rasmussen & Williams 2006, section 4.2.4 on sums of kernels). The weights a, b, r and the noise are
the most probable ones (their section 5.4.1) under log-normal priors that hold in any space, so that a
handful of observations says which structure there is.

>>> import numpy as np
>>> x = np.linspace(-1, 1, 9)[:, None]
>>> process = Process(groups=1)
>>> process.fit([x[::2]], x[::2, 0] ** 2)
>>> process.condition([x[::2]], x[::2, 0] ** 2)
>>> mean, deviation = process.predict([x[1::2]])
>>> bool(np.abs(mean - x[1::2, 0] ** 2).max() < 0.1)
True
"""

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize

from nas.search.view import View

REFERENCE = 2048
"""Random networks from which a space's means and scales are taken, where it is not enumerable."""
MEANS = {"linear": -1.5, "amplitude": -0.5, "distance": -1.0, "noise": -5.0}
"""Means of the logarithms' normal priors; observations have standard deviation 1."""
DEVIATION, NOISE_DEVIATION = 2.0, 1.0
JITTER = 1e-8
CHUNK = 1024
"""Networks that are predicted at a time, for the sake of memory."""


class Features:
    """Groups of features of the networks of a space, each centred and of mean square 1 over the space.

    - size: the logarithms of what is known before training, multiply-adds first;
    - kinds: how often each value occurs among choices that mean the same (kernel 5 in any stage);
    - values: which value each choice has, shared equally where it changes nothing;
    - order: each value's position in its list;
    - price: each value's position by what it adds to the logarithm of multiply-adds.
    """

    def __init__(self, view: View, seed: int) -> None:
        self._view = view
        self._ends = np.cumsum((0, *view.sizes))
        if view.enumerable:
            _, first = np.unique(view.networks(), return_index=True)
            rows = view.all_rows()[first]
        else:
            rows = view.random_rows(REFERENCE, np.random.default_rng(seed))
        shares, sizes = view.shares(rows), view.sizes_of(rows)
        self._share_means = shares.mean(0)
        centred = shares - self._share_means
        ridge = 1e-4 * len(rows) * np.eye(centred.shape[1])
        log_macs = sizes[:, 0] - sizes[:, 0].mean()
        self._prices = np.linalg.solve(centred.T @ centred + ridge, centred.T @ log_macs)
        groups = self._raw(rows)
        self._means = [group.mean(0) for group in groups]
        self._scales = [_scale(group, each=number >= 3) for number, group in enumerate(groups)]

    def _raw(self, rows: np.ndarray) -> list[np.ndarray]:
        view, ends = self._view, self._ends
        shares = view.shares(rows) - self._share_means
        parts = [shares[:, ends[i] : ends[i + 1]] for i in range(len(view.sizes))]
        kinds = [np.sum([parts[choice] for choice in kind], axis=0) for kind in view.kinds]
        empty = np.zeros((len(rows), 0))
        order = [part @ np.linspace(-1, 1, part.shape[1]) for part in parts]
        price = [part @ self._prices[ends[i] : ends[i + 1]] for i, part in enumerate(parts)]
        return [
            view.sizes_of(rows),
            np.concatenate([empty, *kinds], axis=1),
            shares,
            _stacked(order, len(rows)),
            _stacked(price, len(rows)),
        ]

    def __call__(self, rows: np.ndarray) -> list[np.ndarray]:
        """The groups of features of rows (n, choices): float arrays (n, features)."""
        groups = zip(self._raw(rows), self._means, self._scales, strict=True)
        return [(group - mean) / scale for group, mean, scale in groups]


def _stacked(columns: list[np.ndarray], n: int) -> np.ndarray:
    return np.stack(columns, axis=1) if columns else np.zeros((n, 0))


def _scale(group: np.ndarray, each: bool) -> np.ndarray:
    """What a group is divided by for a mean square of 1 in all, with `each` the same for each column."""
    squares = ((group - group.mean(0)) ** 2).mean(0)
    total = squares * max(1, (squares > 1e-12).sum()) if each else np.full_like(squares, squares.sum())
    return np.sqrt(np.where(squares > 1e-12, total, np.inf))


class Process:
    """The Gaussian process; observations are standardized inside.

    Features come as lists of float arrays (n, features), one a group, as `Features` makes them.
    """

    def __init__(self, groups: int) -> None:
        self._groups = groups
        means = [MEANS["linear"]] * groups + [MEANS["amplitude"]] + [MEANS["distance"]] * groups
        self._prior = np.array([*means, MEANS["noise"]])
        self._deviations = np.full(len(self._prior), DEVIATION)
        self._deviations[-1] = NOISE_DEVIATION
        self.weights = self._prior
        self._mean, self._scale = 0.0, 1.0

    def fit(self, features: list[np.ndarray], y: np.ndarray) -> None:
        """Finds the most probable weights of observations `y`, float array (n,)."""
        linear, distances = _grams(features, features)
        values = (y - y.mean()) / max(float(y.std()), 1e-9)
        bounds = [(-10.0, 4.0)] * len(self._prior)
        found = minimize(
            self._loss, self._prior, (linear, distances, values), "L-BFGS-B", jac=True, bounds=bounds,
            options={"maxiter": 50},
        )  # fmt: skip
        self.weights = found.x

    def condition(self, features: list[np.ndarray], y: np.ndarray) -> None:
        """Takes `y` for what was observed, with the weights as they are."""
        self._mean, self._scale = float(y.mean()), max(float(y.std()), 1e-9)
        self._features = features
        covariance = self._between(features, features)
        covariance[np.diag_indices(len(y))] += np.exp(self.weights[-1]) + JITTER
        self._root = np.linalg.cholesky(covariance)
        self._alpha = cho_solve((self._root, True), (y - self._mean) / self._scale)

    def predict(self, features: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, (n,) each, without the noise of an observation."""
        parts = [
            self._predict([group[start : start + CHUNK] for group in features])
            for start in range(0, max(len(features[0]), 1), CHUNK)
        ]
        means, deviations = zip(*parts, strict=True)
        return np.concatenate(means), np.concatenate(deviations)

    def draw(self, features: list[np.ndarray], n: int, rng: np.random.Generator) -> np.ndarray:
        """`n` functions drawn from the posterior at these networks at once, (networks, n)."""
        cross = self._between(features, self._features)
        solved = solve_triangular(self._root, cross.T, lower=True, check_finite=False)
        covariance = self._between(features, features) - solved.T @ solved
        covariance[np.diag_indices(len(covariance))] += 1e-6 * covariance.diagonal().mean() + JITTER
        root = np.linalg.cholesky(covariance)
        drawn = (cross @ self._alpha)[:, None] + root @ rng.standard_normal((len(covariance), n))
        return drawn * self._scale + self._mean

    def _predict(self, features: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        cross = self._between(features, self._features)
        solved = solve_triangular(self._root, cross.T, lower=True, check_finite=False)
        linear = np.exp(self.weights[: self._groups])
        own = 1 + np.exp(self.weights[self._groups])
        own = own + sum(a * (group**2).sum(1) for a, group in zip(linear, features, strict=True))
        variance = np.maximum(own - (solved**2).sum(0), 1e-12)
        return cross @ self._alpha * self._scale + self._mean, np.sqrt(variance) * self._scale

    def _between(self, features: list[np.ndarray], others: list[np.ndarray]) -> np.ndarray:
        """Covariances with others, (n, others), with one product for each term."""
        roots = np.exp(0.5 * self.weights)
        linear, distance = roots[: self._groups], roots[self._groups + 1 : -1]
        left, right = _joined(features, linear), _joined(others, linear)
        near, far = _joined(features, distance), _joined(others, distance)
        apart = np.add.outer((near**2).sum(1), (far**2).sum(1)) - 2 * near @ far.T
        return 1 + left @ right.T + np.exp(self.weights[self._groups] - 0.5 * np.maximum(apart, 0))

    def _covariance(
        self, weights: np.ndarray, linear: np.ndarray, distances: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The covariance, and its second term alone."""
        split = np.exp(weights)
        decaying = np.exp(
            weights[self._groups] - 0.5 * np.tensordot(split[self._groups + 1 : -1], distances, 1)
        )
        return 1 + np.tensordot(split[: self._groups], linear, 1) + decaying, decaying

    def _loss(
        self, weights: np.ndarray, linear: np.ndarray, distances: np.ndarray, y: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Negative log posterior of the weights and its gradient (Rasmussen & Williams, equation 5.9)."""
        split, n = np.exp(weights), len(y)
        covariance, decaying = self._covariance(weights, linear, distances)
        covariance[np.diag_indices(n)] += split[-1] + JITTER
        try:
            root = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return 1e9, np.zeros_like(weights)
        inverse = cho_solve((root, True), np.eye(n))
        alpha = inverse @ y
        away = (weights - self._prior) / self._deviations
        loss = 0.5 * y @ alpha + np.log(np.diag(root)).sum() + 0.5 * (away**2).sum()
        outer = inverse - np.outer(alpha, alpha)
        fading = outer * decaying
        gradient = np.concatenate([
            0.5 * split[: self._groups] * np.tensordot(linear, outer, 2),
            [0.5 * fading.sum()],
            -0.25 * split[self._groups + 1 : -1] * np.tensordot(distances, fading, 2),
            [0.5 * split[-1] * np.trace(outer)],
        ])  # fmt: skip
        return float(loss), gradient + away / self._deviations


def _joined(features: list[np.ndarray], factors: np.ndarray) -> np.ndarray:
    return np.concatenate([group * factor for group, factor in zip(features, factors, strict=True)], axis=1)


def _grams(left: list[np.ndarray], right: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Inner products and squared distances of each group: float arrays (groups, n, m) each."""
    linear = np.stack([a @ b.T for a, b in zip(left, right, strict=True)])
    lengths = [np.add.outer((a**2).sum(1), (b**2).sum(1)) for a, b in zip(left, right, strict=True)]
    return linear, np.maximum(np.stack(lengths) - 2 * linear, 0)
