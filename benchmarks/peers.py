"""The strategies that are measured: ours through `nas.Search`, and what others would use instead.

Peers are told the reward alone, as their users would tell them; ours is told the accuracy and knows
the cost, which is what `nas.Search` is for. Peers ask over all samples: none of them has a way to
be told that two samples are one network.
"""

import importlib.util
import random
from importlib.metadata import version

from peer import Peer, hush_nni
from peers_nni import NNIEvolution, NNITunerEvolution, NNITunerTPE
from peers_optuna import OptunaGP, OptunaNSGA2, OptunaTPE, OptunaUnivariateTPE
from problems import Problem, Sample

import nas


class Ours(Peer):
    """A strategy of `nas.search.strategies`, with its defaults."""

    strategy = "model"
    note = "`nas.Search` with its defaults: knows the cost and which samples are one network"

    def __init__(self, problem: Problem, seed: int) -> None:
        self._problem = problem
        self._search = nas.Search(
            problem.choices, self.strategy, problem.target, problem.w, problem.form,  # type: ignore[arg-type]
            cost=problem.macs, canonical=problem.key, seed=seed,
        )  # fmt: skip
        hush_nni()

    def ask(self) -> Sample | None:
        return self._search.ask()

    def tell(self, sample: Sample, reward: float) -> None:
        self._search.tell(sample, accuracy=self._problem.accuracy(sample))

    def close(self) -> None:
        self._search.close()


class HillClimb(Peer):
    """The first neighbour that is better is moved to; where none is, a random sample is the next start."""

    sequential = "each step waits for the answer to the one before"
    note = "samples one choice apart in random order, first improvement, random restarts; written here"

    def __init__(self, problem: Problem, seed: int) -> None:
        self._choices = problem.choices
        self._random = random.Random(seed)
        self._reward: float | None = None
        self._near: list[Sample] = []

    def ask(self) -> Sample:
        if self._near:
            return self._near.pop()
        self._reward = None
        return {label: self._random.choice(values) for label, values in self._choices.items()}

    def tell(self, sample: Sample, reward: float) -> None:
        if self._reward is not None and reward <= self._reward:
            return
        self._reward = reward
        self._near = [
            {**sample, label: value}
            for label, values in self._choices.items()
            for value in values
            if value != sample[label]
        ]
        self._random.shuffle(self._near)


PEERS: dict[str, type[Peer]] = {
    "hill-climb": HillClimb,
    "optuna-tpe": OptunaTPE,
    "optuna-tpe-univariate": OptunaUnivariateTPE,
    "optuna-nsga2": OptunaNSGA2,
    "optuna-gp": OptunaGP,
    "nni-evolution": NNIEvolution,
    "nni-tuner-evolution": NNITunerEvolution,
    "nni-tuner-tpe": NNITunerTPE,
}


def ours() -> dict[str, type[Peer]]:
    """A class for each of our strategies, whichever there are."""
    from nas.search.strategies import STRATEGIES

    return {name: type(name, (Ours,), {"strategy": name}) for name in STRATEGIES}


def known() -> dict[str, type[Peer]]:
    """Every strategy by its name, ours first."""
    return ours() | PEERS


def unfit(kind: type[Peer], in_flight: int) -> str | None:
    """Why a strategy cannot be measured, or None."""
    if kind.package is not None and importlib.util.find_spec(kind.package) is None:
        return f"{kind.package} is not installed"
    return f"sequential only: {kind.sequential}" if in_flight > 1 and kind.sequential else None


def versions(kind: type[Peer]) -> dict[str, str]:
    """The versions of what a strategy consists of."""
    packages = ["numpy", "b0nas" if issubclass(kind, Ours) else kind.package]
    packages += ["nni"] if issubclass(kind, Ours) else []
    return {name: version(name) for name in packages if name is not None}
