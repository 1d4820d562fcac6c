"""Which choices mattered: permutation importance on trials that were not learnt from, with its uncertainty.

Trials are drawn with repeats (a bootstrap); an ensemble of trees (Geurts et al. 2006, "Extremely randomized trees",
Machine Learning 63) learns accuracy from their choices and predicts the trials that were not drawn. Then one choice
of those is permuted among them (Breiman 2001, "Random forests", Machine Learning 45): what the prediction loses,
as a share of their variance, is what the choice mattered. Median and interval are over the bootstraps.
Multiply-adds are no input, for they are made of the choices.

>>> from nas.search.trials import Trial
>>> rng = np.random.default_rng(0)
>>> samples = [{"kernel": int(rng.choice([3, 5])), "skip": int(rng.choice([0, 1]))} for _ in range(60)]
>>> trials = [Trial(n, s, f"{n}", "complete", 0.8 + 0.02 * (s["kernel"] == 5) + 0.005 * rng.normal(), 1.0)
...           for n, s in enumerate(samples)]
>>> found = importances(trials, {"kernel": (3, 5), "skip": (0, 1)})
>>> [(one.label, one.distinguishable) for one in found.choices]
[('kernel', True), ('skip', False)]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.search.trials import Trial

FEW = 20
"""Distinct networks, at least."""
BOOTSTRAPS, TREES = 100, 16
SHARE = 1 / 3
"""Of the choices, those that a split of a tree chooses from: Breiman's for regression."""
PERMUTATIONS, ROWS = 3, 15_000
"""Of each choice in each bootstrap: so many, fewer where that would predict more rows."""
LEVEL = 0.9
"""Of intervals."""
LOW = 0.3
"""Of the out-of-bag R^2: below it the choices tell little of the accuracy."""


@dataclass(frozen=True)
class Importance:
    """Of one choice: the share of the out-of-bag variance of accuracy that is lost without it.

    Attributes:
        value: the median over bootstraps; over 1 where the permuted choice misleads.
        low, high: of the interval of `LEVEL`.
    """

    label: str
    value: float
    low: float
    high: float

    @property
    def distinguishable(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0


@dataclass(frozen=True)
class Importances:
    """What a run's trials say of its choices.

    Attributes:
        networks: distinct ones, with an accuracy.
        choices: those that were varied, the most important first.
        constant: those that had one value in every trial.
        explained: out-of-bag R^2, the median; below 0 the mean accuracy would predict better.
        low, high: of its interval of `LEVEL`.
    """

    networks: int
    choices: tuple[Importance, ...]
    constant: tuple[str, ...]
    explained: float
    low: float
    high: float


def distinct(trials: Sequence[Trial]) -> list[Trial]:
    """Trials with an accuracy after full evaluation, each network once."""
    scored = [trial for trial in trials if trial.scored and trial.accuracy is not None]
    return list({trial.key: trial for trial in reversed(scored)}.values())[::-1]


def importances(
    trials: Sequence[Trial], choices: Mapping[str, Sequence[Any]], seed: int = 0
) -> Importances | None:
    """What mattered; None where fewer than `FEW` networks have an accuracy, or (nearly) all the same one."""
    used = distinct(trials)
    accuracy = np.array([trial.accuracy for trial in used], float)
    if len(used) < FEW or np.ptp(accuracy) == 0:
        return None
    rows = np.array(
        [[list(values).index(trial.sample[label]) for label, values in choices.items()] for trial in used],
        np.float32,
    )
    varied = np.ptp(rows, axis=0) > 0
    labels = [label for label, one in zip(choices, varied, strict=True) if one]
    constant = tuple(label for label, one in zip(choices, varied, strict=True) if not one)
    if not labels:
        return None
    lost, explained = _bootstraps(rows[:, varied], accuracy, np.random.default_rng(seed))
    if len(lost) < BOOTSTRAPS / 4:
        return None
    ends = (1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2
    low, middle, high = np.quantile(lost, ends, axis=0)
    found = [
        Importance(label, float(middle[n]), float(low[n]), float(high[n])) for n, label in enumerate(labels)
    ]
    found.sort(key=lambda one: (-one.value, one.label))
    bottom, median, top = (float(value) for value in np.quantile(explained, ends))
    return Importances(len(used), tuple(found), constant, median, bottom, top)


def _bootstraps(
    rows: np.ndarray, accuracy: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(bootstraps, choices): shares of variance lost; (bootstraps,): R^2, both out of bag.

    Args:
        rows: positions of values, (n, choices).
        accuracy: (n,).
    """
    from sklearn.tree import ExtraTreeRegressor  # seconds, for who asks alone

    n, choices = rows.shape
    lost, explained = [], []
    for _ in range(BOOTSTRAPS):
        drawn = rng.integers(n, size=n)
        out = np.setdiff1d(np.arange(n), drawn)
        variance = accuracy[out].var() if len(out) > 1 else 0.0
        if variance == 0:  # there is nothing to lose
            continue
        trees = [
            ExtraTreeRegressor(max_features=SHARE, random_state=int(seed)).fit(rows[drawn], accuracy[drawn])
            for seed in rng.integers(2**31, size=TREES)
        ]
        times = int(np.clip(ROWS // (choices * len(out)), 1, PERMUTATIONS))
        asked = np.repeat(rows[out][None], 1 + choices * times, axis=0)
        for choice in range(choices):
            for time in range(times):
                asked[1 + choice * times + time, :, choice] = rng.permutation(rows[out, choice])
        asked = asked.reshape(-1, choices)
        told = np.mean([tree.predict(asked) for tree in trees], axis=0).reshape(-1, len(out))
        errors = ((told - accuracy[out]) ** 2).mean(axis=1) / variance
        lost.append(errors[1:].reshape(choices, times).mean(axis=1) - errors[0])
        explained.append(1 - errors[0])
    return np.array(lost), np.array(explained)
