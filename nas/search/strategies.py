"""The strategies of search.yml: NNI's own, with their defects worked around, and ours.

>>> sorted(STRATEGIES)
['evolution', 'local', 'model', 'ppo', 'random', 'tpe']
>>> type(make("evolution", {"population_size": 8, "sample_size": 2}, seed=0)).__name__
'Evolution'
"""

from collections.abc import Callable, Mapping
from typing import Any

import nni.nas.strategy as nni_strategy
from nni.mutable import SampleValidationError
from nni.nas.space import ExecutableModelSpace
from nni.nas.strategy.base import Strategy
from numpy.random import MT19937, RandomState, SeedSequence

from nas.errors import NasError
from nas.search.controller import Controller
from nas.search.guided import ModelGuided
from nas.search.local import LocalSearch
from nas.search.own_strategy import Recalling


def make(name: str, options: Mapping[str, Any], seed: int) -> Strategy:
    """The NNI strategy of a name ('evolution', 'random', 'tpe') with its hyper-parameters.

    Raises:
        NasError: for hyper-parameters that NNI refuses.
    """
    try:
        return STRATEGIES[name](seed=seed, **options)
    except (TypeError, ValueError) as error:
        raise NasError(f"strategy {name}: {error}; found {dict(options)}") from None


class Evolution(nni_strategy.RegularizedEvolution, Recalling):
    """NNI's regularized evolution (Real et al. 2019), drawing at random while there is nobody to mutate.

    It would fail where as many as the population are proposed before any is evaluated. What was proposed our space
    refuses by itself; NNI's own memory of it takes some kilobytes for each. Each proposal draws from a generator of its
    own, of the seed and its number: a search that is resumed makes none of those of before again.
    """

    def __init__(self, seed: int = 0, **options: Any) -> None:
        super().__init__(dedup=False, seed=seed, **options)
        self._seed, self._proposed = seed, 0

    def _run(self) -> None:
        while self.wait_for_resource():
            model = self._individual()
            if model is None:
                return
            self.recall(model)
            self.engine.submit_models(model)

    def recall(self, model: ExecutableModelSpace) -> bool:
        self._running_models.append(model)
        self._proposed += 1
        return True

    def _individual(self) -> ExecutableModelSpace | None:
        self._random_state = RandomState(MT19937(SeedSequence((self._seed, self._proposed))))
        grown = len(self._population) + len(self._running_models) >= self.population_size
        if grown and self._population:
            model = self._retry_helper.retry(self.new_individual)
            if model is not None:
                return model
        try:
            return self.random()
        except SampleValidationError:
            return None


class TPE(nni_strategy.TPE):
    """NNI's tree-structured Parzen estimator with four defects worked around.

    It minimizes and is unseeded by default, sleeps a second a sample, and replaces duplicates by
    corners of the grid, after which it is worse than random; here it maximizes, is seeded, does not
    sleep, and draws again: the best of ever fewer candidates, for the best of many is the same each
    time, and after 200 duplicates at random.
    """

    def __init__(self, seed: int | None = None, **tpe_args: Any) -> None:
        super().__init__(optimize_mode="maximize", seed=seed, tpe_args=tpe_args or None)
        self._random_state = RandomState(seed)

    def _run(self) -> None:
        tuner: Any = self.tuner
        labels = self.model_space.simplify()
        tuner.update_search_space({label: mutable.as_legacy_dict() for label, mutable in labels.items()})
        tuner.dedup = lambda params: params
        while self.engine.idle_worker_available():
            model = self._propose(tuner)
            if model is None:
                return
            self.engine.submit_models(model)

    def _propose(self, tuner: Any) -> ExecutableModelSpace | None:
        from nni.common.hpo_utils import format_parameters

        self._model_count += 1
        args = tuner.args
        for attempt in range(200):
            tuner.args = args._replace(n_ei_candidates=max(1, args.n_ei_candidates >> attempt))
            try:
                model = self.model_space.freeze(tuner.generate_parameters(self._model_count))
                self._model_to_id[model] = self._model_count
                return model
            except SampleValidationError:
                tuner.trial_end(self._model_count, False)
            finally:
                tuner.args = args
        try:
            model = self.model_space.random(random_state=self._random_state)
        except SampleValidationError:
            return None
        tuner._running_params[self._model_count] = format_parameters(model.sample, tuner.space)
        self._model_to_id[model] = self._model_count
        return model


STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "model": ModelGuided,
    "local": LocalSearch,
    "ppo": Controller,
    "evolution": Evolution,
    "random": nni_strategy.Random,
    "tpe": TPE,
}
