"""Optuna's samplers, by its ask-and-tell interface."""

import warnings
from collections import defaultdict
from typing import Any

from peer import Peer
from problems import Problem, Sample


class OptunaTPE(Peer):
    """A sampler of Optuna by its ask-and-tell interface."""

    package = "optuna"
    note = "`TPESampler(seed=...)`; multivariate and with a constant liar by default since version 5"

    def sampler(self, seed: int) -> Any:
        from optuna.samplers import TPESampler

        return TPESampler(seed=seed)

    def __init__(self, problem: Problem, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", module="optuna")
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._distributions: dict[str, Any] = {
            label: optuna.distributions.CategoricalDistribution(values)
            for label, values in problem.choices.items()
        }
        self._study = optuna.create_study(direction="maximize", sampler=self.sampler(seed))
        self._trials: dict[tuple[Any, ...], list[Any]] = defaultdict(list)

    def ask(self) -> Sample:
        trial = self._study.ask(self._distributions)
        self._trials[tuple(trial.params[label] for label in self._distributions)].append(trial)
        return {label: trial.params[label] for label in self._distributions}

    def tell(self, sample: Sample, reward: float) -> None:
        self._study.tell(self._trials[tuple(sample.values())].pop(0), reward)


class OptunaUnivariateTPE(OptunaTPE):
    slow = 300
    asks = 5  # they cost the more the more there were, and most are repeats
    note = "`TPESampler(multivariate=False, constant_liar=False)`, the defaults before 5; given up at 300"

    def sampler(self, seed: int) -> Any:
        from optuna.samplers import TPESampler

        return TPESampler(seed=seed, multivariate=False, constant_liar=False)


class OptunaNSGA2(OptunaTPE):
    note = "`NSGAIISampler` with its defaults, on the reward alone"

    def sampler(self, seed: int) -> Any:
        from optuna.samplers import NSGAIISampler

        return NSGAIISampler(seed=seed)


class OptunaGP(OptunaTPE):
    slow = 200
    note = "`GPSampler` with its defaults; given up at 200 evaluations"

    def sampler(self, seed: int) -> Any:
        from optuna.samplers import GPSampler

        return GPSampler(seed=seed)
