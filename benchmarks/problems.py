"""What a strategy is given in a setting: choices, what samples are worth, and which are one network.

A setting is a reward and modifiers, joined by '-': `hard-noisy-flight`.

| reward | |
| --- | --- |
| `soft` | acc * (macs / T) ** -0.07, T the median multiply-adds of all keys |
| `hard`, `hard25`, `hard75` | acc where macs <= T, else acc * T / macs; T the median, or that percentile |
| `pair` | acc where macs <= T, else acc * (macs / T) ** -0.2 |
| `accuracy` | accuracy alone, cost unknown to everybody |
| `separable`, `interacting`, `huge` | made-up spaces, see synthetic.py; soft |

| modifier | |
| --- | --- |
| `noisy` | one of the three trainings, drawn for each network and seed, instead of their mean |
| `flight` | 8 in flight: ask until 8 are, tell the oldest, ask the next |
| `permuted` | held out: what the values of each choice mean is shuffled, seed by seed |
| `sub` | held out: one choice, seed by seed another, is fixed and gone; T is the sub-table's |
| `single` | held out: one training, seed by seed another, is taken for the truth |
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from macro_table import DIGITS, MacroTable, canonical

from nas.reward import W, factor

Sample = dict[str, Any]

REWARDS: dict[str, tuple[str | tuple[float, float], float, float]] = {
    "soft": ("soft", W, 50),
    "hard": ("hard", W, 50),
    "hard25": ("hard", W, 25),
    "hard75": ("hard", W, 75),
    "pair": ((0.0, -0.2), W, 50),
    "accuracy": ("soft", 0.0, 50),
}
"""Form, exponent, and the percentile of multiply-adds that is T."""
MODIFIERS = ("noisy", "flight", "permuted", "sub", "single")
MADE_UP = ("separable", "interacting", "huge")
GROUPS = {
    "main": ("soft", "hard"),
    "noisy": ("soft-noisy", "hard-noisy"),
    "targets": ("hard25", "hard75", "accuracy", "pair"),
    "flight": ("soft-flight", "hard-flight"),
    "held-out": tuple(
        f"{form}-{kind}" for kind in ("permuted", "sub", "single") for form in ("soft", "hard")
    ),
    "synthetic": MADE_UP,
}
IN_FLIGHT = 8


@dataclass(frozen=True)
class Problem:
    """One setting and seed.

    Attributes:
        choices: as a strategy sees them.
        key: equal for samples that are one network.
        macs: multiply-adds of a sample; None where nobody knows a cost.
        accuracy: what a training of the sample reports.
        factor: the reward for each unit of accuracy of a sample.
        truth: the true reward of a sample.
        best: the highest true reward; None where the space is too large to know.
        form, w, target: of the reward.
        stop: whether to stop where the best is met; else the incumbent is judged at the checkpoints.
    """

    choices: Mapping[str, tuple[Any, ...]]
    key: Callable[[Sample], Hashable]
    macs: Callable[[Sample], float] | None
    accuracy: Callable[[Sample], float]
    factor: Callable[[Sample], float]
    truth: Callable[[Sample], float]
    best: float | None
    form: str | tuple[float, float] = "soft"
    w: float = W
    target: int | None = None
    in_flight: int = 1
    stop: bool = True

    def reward(self, sample: Sample) -> float:
        """What a strategy is told of a sample."""
        return self.accuracy(sample) * self.factor(sample)


def parts(setting: str) -> tuple[str, frozenset[str]]:
    """The reward and the modifiers of a setting.

    Raises:
        ValueError: for a name that is none, with what is allowed.
    """
    reward, *modifiers = setting.split("-")
    allowed = MODIFIERS if reward in REWARDS else ("flight",)
    if reward not in REWARDS and reward not in MADE_UP:
        raise ValueError(f"setting {setting!r}: {reward!r} is none of {', '.join([*REWARDS, *MADE_UP])}")
    for modifier in modifiers:
        if modifier not in allowed:
            raise ValueError(f"setting {setting!r}: {modifier!r} is none of {', '.join(allowed)}")
    return reward, frozenset(modifiers)


def expand(names: str) -> list[str]:
    """The settings of a comma-separated list of names and groups, each once, in order.

    >>> expand("main,hard,huge")
    ['soft', 'hard', 'huge']
    """
    found: list[str] = []
    for name in names.split(","):
        group = [s for g in GROUPS.values() for s in g] if name == "all" else GROUPS.get(name, (name,))
        found += [setting for setting in group if setting not in found]
    for setting in found:
        parts(setting)
    return found


def of_table(setting: str, seed: int, table: MacroTable) -> Problem:
    """The problem of a setting on the table."""
    reward, modifiers = parts(setting)
    form, w, percentile = REWARDS[reward]
    layers, rng = table.layers, np.random.default_rng([seed, 1])
    meaning = [DIGITS] * layers
    if "permuted" in modifiers:
        meaning = [tuple(str(digit) for digit in rng.permutation(len(DIGITS))) for _ in range(layers)]
    fixed = seed % layers if "sub" in modifiers else None
    digit = DIGITS[rng.integers(len(DIGITS))]
    labels = {f"layer{layer + 1}": layer for layer in range(layers) if layer != fixed}

    accuracy = table.accuracies.mean(axis=1)
    if "single" in modifiers:
        accuracy = table.accuracies[:, seed % table.accuracies.shape[1]]
    observed = accuracy
    if "noisy" in modifiers:
        drawn = rng.integers(table.accuracies.shape[1], size=table.network.max() + 1)
        observed = table.accuracies[np.arange(len(table.keys)), drawn[table.network]]

    inside = np.array([fixed is None or key[fixed] == digit for key in table.keys])
    target = int(np.percentile(table.macs[inside], percentile))
    worth = factor(table.macs, target, w, form)  # type: ignore[arg-type]
    true = accuracy * worth

    def key(sample: Sample) -> str:
        written = [digit] * layers
        for label, layer in labels.items():
            written[layer] = meaning[layer][DIGITS.index(sample[label])]
        return "".join(written)

    def at(values: np.ndarray) -> Callable[[Sample], float]:
        return lambda sample: float(values[table.position[key(sample)]])

    return Problem(
        choices=dict.fromkeys(labels, DIGITS),
        key=lambda sample: canonical(key(sample)),
        macs=None if reward == "accuracy" else at(table.macs),
        accuracy=at(observed),
        factor=at(worth),
        truth=at(true),
        best=float(true[inside].max()),
        form=form,
        w=w,
        target=None if reward == "accuracy" else target,
        in_flight=IN_FLIGHT if "flight" in modifiers else 1,
        stop="noisy" not in modifiers,
    )


def problem(setting: str, seed: int, table: MacroTable | None) -> Problem:
    """The problem of any setting.

    Raises:
        ValueError: for a setting that needs the table, without one.
    """
    reward, modifiers = parts(setting)
    if reward in MADE_UP:
        from synthetic import made_up

        return made_up(reward, seed, IN_FLIGHT if "flight" in modifiers else 1)
    if table is None:
        raise ValueError(f"setting {setting!r} needs --table PATH, NAS-Bench-Macro's JSON")
    return of_table(setting, seed, table)
