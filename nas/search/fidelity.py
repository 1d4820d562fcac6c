"""Proxy tasks of different length: how cheap one may be before it names other winners.

>>> Fidelity.parse("epochs=2, width=0.5", Fidelity(8)).label
'2 epochs, width x 0.5'
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import rankdata

from nas.architecture import Architecture
from nas.errors import NasError, near
from nas.scaling import resize

RATIOS = ("fraction", "resolution", "width")
DRAWS = 1000
LEVEL = 0.9
"""Of intervals."""


@dataclass(frozen=True)
class Fidelity:
    """How long and how faithfully a proxy trains.

    Attributes:
        epochs: passes over the training images.
        fraction: of the training images of each class.
        resolution, width: of the network, as ratios.
    """

    epochs: int
    fraction: float = 1.0
    resolution: float = 1.0
    width: float = 1.0

    @classmethod
    def parse(cls, text: str, base: "Fidelity") -> "Fidelity":
        """The fidelity of `epochs=2, fraction=0.5`; what is not named is that of `base`.

        Raises:
            NasError: for another name or an impossible value.
        """
        changes: dict[str, Any] = {}
        for part in text.split(","):
            name, _, value = (word.strip() for word in part.partition("="))
            try:
                if name == "epochs":
                    changes[name] = int(value)
                elif name in RATIOS:
                    changes[name] = float(value)
                else:
                    known = ("epochs", *RATIOS)
                    raise NasError(
                        f"fidelity {text.strip()!r}: unknown {name!r}{near(name, known)}; give {', '.join(known)}"
                    )
                good = changes[name] >= 1 if name == "epochs" else 0 < changes[name] <= 1
            except ValueError as error:
                if isinstance(error, NasError):
                    raise
                good = False
            if not good:
                wanted = "a whole number from 1" if name == "epochs" else "a ratio over 0, up to 1"
                raise NasError(f"fidelity {text.strip()!r}: {name} is {value!r}; give {wanted}")
        return replace(base, **changes)

    @property
    def label(self) -> str:
        """In words; what is whole is not named."""
        words = [f"{self.epochs} epoch{'s' * (self.epochs > 1)}"]
        for name, word in zip(RATIOS, ("images", "pixels", "width"), strict=True):
            if getattr(self, name) != 1:
                words.append(f"{word} x {getattr(self, name):g}")
        return ", ".join(words)

    def of(self, arch: Architecture) -> Architecture:
        """The network that is trained in place of `arch`: narrower, or on fewer pixels (in fours)."""
        if self.resolution == self.width == 1:
            return arch
        pixels = arch.resolution
        if self.resolution != 1:
            pixels = max(4, round(arch.resolution * self.resolution / 4) * 4)
        return resize(arch, self.width, 1, pixels)


@dataclass(frozen=True)
class Verdict:
    """What a proxy is worth, against the longest one.

    Attributes:
        cost: its time, as a fraction of the longest's.
        rank: Spearman correlation with the longest's mean; low and high its bootstrap interval over networks.
        rank_at_cost: the same of what multiply-adds do not explain.
        noise: correlation between two of its own seeds; nan of one.
        regret: loss of reward where the best of its top k is taken, against the best of all; mean over seeds.
        regret_high: upper end of its bootstrap interval over networks.
        chance: expected regret of a random order.
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
    chance: float


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
        longest: the fidelity that is the truth; where it judges itself, one seed is held against the others.
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
        others = [s for s in range(truth.shape[1]) if fidelity != longest or s != seed]
        if others:
            pairs.append((own[:, seed], truth[:, others].mean(axis=1)))
    whole = [(a, b) for a, b in pairs if np.isfinite(a + b).sum() >= 3]
    if not whole:
        nan = float("nan")
        return Verdict(fidelity, seconds[fidelity] / seconds[longest], nan, nan, nan, nan, nan, nan, nan, nan)
    n = len(macs)
    draws = [rng.integers(n, size=n) for _ in range(DRAWS)]
    everyone = np.arange(n)
    ranks = [_mean_rank(whole, chosen) for chosen in draws]
    regrets = [_mean_regret(whole, worth, chosen, top) for chosen in draws]
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
        _mean_regret(whole, worth, everyone, top),
        float(np.nanquantile(regrets, LEVEL)) if np.isfinite(regrets).any() else float("nan"),
        float(
            np.nanmean(
                [_mean_regret([(rng.random(n), b) for _, b in whole], worth, everyone, top) for _ in draws]
            )
        ),
    )


def _mean_rank(pairs: list[tuple[np.ndarray, np.ndarray]], chosen: np.ndarray) -> float:
    values = []
    for a, b in pairs:
        good = chosen[np.isfinite(a[chosen] + b[chosen])]
        if len(np.unique(a[good])) > 1 and len(np.unique(b[good])) > 1:
            values.append(float(np.corrcoef(rankdata(a[good]), rankdata(b[good]))[0, 1]))
    return float(np.mean(values)) if values else float("nan")


def _mean_regret(
    pairs: list[tuple[np.ndarray, np.ndarray]], worth: np.ndarray, chosen: np.ndarray, top: int
) -> float:
    """Of distinct networks among the chosen: the best reward less that of the best of the proxy's top k."""
    values = []
    for a, b in pairs:
        good = np.unique(chosen[np.isfinite(a[chosen] + b[chosen])])
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
    """The cheapest proxy whose regret is at most `bound` with confidence, and whose rank correlation is over 0; None
    where there is none: of few networks chance picks good ones, too."""
    return next((one for one in found if one.regret_high <= bound and one.rank_low > 0), None)
