"""NNI's own strategy and tuners, as they are without what `nas.search` does about them."""

import random
from collections import defaultdict
from typing import Any

from peer import Peer, hush_nni
from problems import Problem, Sample

import nas.search  # noqa: F401  (before nni, whose import it prepares)


class NNIEvolution(Peer):
    """`nni.nas`'s regularized evolution, which takes no sample twice."""

    package = "nni"
    note = "`nni.nas`'s RegularizedEvolution with its defaults: population 100, sample 25, mutation 0.05"

    def __init__(self, problem: Problem, seed: int) -> None:
        from nni.nas.strategy import RegularizedEvolution

        from nas.search.asktell import AskTell
        from nas.search.view import View

        hush_nni()
        self._talk = AskTell(View(problem.choices), RegularizedEvolution(seed=seed), seed)

    def ask(self) -> Sample | None:
        return self._talk.ask()

    def tell(self, sample: Sample, reward: float) -> None:
        self._talk.tell(sample, reward)

    def close(self) -> None:
        self._talk.close()


class NNITuner(Peer):
    """A tuner of `nni.algorithms.hpo`, called as NNI's dispatcher calls it."""

    package = "nni"

    def tuner(self, seed: int, space: dict[str, Any]) -> Any:
        raise NotImplementedError

    def __init__(self, problem: Problem, seed: int) -> None:
        space = {label: {"_type": "choice", "_value": list(v)} for label, v in problem.choices.items()}
        self._labels = tuple(problem.choices)
        self._tuner = self.tuner(seed, space)
        hush_nni()
        self._numbers: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        self._asked = 0

    def ask(self) -> Sample | None:
        from nni import NoMoreTrialError

        try:
            found = self._tuner.generate_parameters(self._asked)
        except NoMoreTrialError:
            return None
        sample = {label: found[label] for label in self._labels}
        self._numbers[tuple(sample.values())].append(self._asked)
        self._asked += 1
        return sample

    def tell(self, sample: Sample, reward: float) -> None:
        self._tuner.receive_trial_result(self._numbers[tuple(sample.values())].pop(0), sample, reward)


class NNITunerEvolution(NNITuner):
    note = "NNI's HPO tuner Evolution with its defaults (population 32); its generators are seeded here"

    def tuner(self, seed: int, space: dict[str, Any]) -> Any:
        import numpy as np
        from nni.algorithms.hpo.evolution_tuner import EvolutionTuner

        tuner: Any = EvolutionTuner(optimize_mode="maximize")
        tuner.update_search_space(space)
        random.seed(seed)  # it has no seed, and draws from Python's generator and one of its own
        tuner.random_state, tuner.population = np.random.RandomState(seed), []
        for _ in range(tuner.population_size):
            tuner._random_generate_individual()
        return tuner


class NNITunerTPE(NNITuner):
    note = "NNI's HPO tuner TPE with its defaults, maximizing"

    def tuner(self, seed: int, space: dict[str, Any]) -> Any:
        from nni.algorithms.hpo.tpe_tuner import TpeTuner

        tuner = TpeTuner(optimize_mode="maximize", seed=seed)
        tuner.update_search_space(space)
        return tuner
