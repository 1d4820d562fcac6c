"""Strategies: real `nni.nas.strategy` objects, driven by ask and tell.

NNI's strategies run a loop of their own that submits models to an execution engine. `AskTell` runs
that loop in a thread, behind an engine that stands still until it is asked, so that the same calls
in the same order always give the same proposals: replaying a journal restores the state.

>>> talk = AskTell({"a": (1, 2), "b": (3, 4)}, make("random", {}, seed=0), seed=0)
>>> first = talk.ask()
>>> talk.tell(first, 0.9)
>>> sorted(talk.ask())
['a', 'b']
>>> talk.close()
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import nni.nas.strategy as nni_strategy
from nni.mutable import Categorical, LabeledMutable, Mutable, MutableDict, SampleValidationError
from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
from nni.nas.space import ExecutableModelSpace, ModelStatus
from nni.nas.strategy.base import Strategy
from numpy.random import RandomState

from nas.errors import NasError

Sample = dict[str, Any]

DRAWS = 20_000
"""Random draws before a space counts as exhausted (or its limits as too tight)."""


def make(name: str, options: Mapping[str, Any], seed: int) -> Strategy:
    """The NNI strategy of a name ('evolution', 'random', 'tpe') with its hyper-parameters.

    Raises:
        NasError: for hyper-parameters that NNI refuses.
    """
    try:
        return STRATEGIES[name](seed=seed, **options)
    except (TypeError, ValueError) as error:
        raise NasError(f"strategy {name}: {error}; found {dict(options)}") from None


class ChoiceSpace(ExecutableModelSpace):
    """Our choices as NNI's strategies see them; freezing refuses what `refuse` gives a reason for."""

    def __init__(
        self,
        choices: Mapping[str, Iterable[Any]],
        refuse: Callable[[Sample], str | None],
        status: ModelStatus = ModelStatus.Initialized,
    ) -> None:
        super().__init__(status)
        self._choices = choices
        self._refuse = refuse
        self.mutables = MutableDict({k: Categorical(list(v), label=k) for k, v in choices.items()})
        self.sample: Sample | None = None
        self.exhausted = False

    def freeze(self, sample: Sample) -> "ChoiceSpace":
        self.validate(sample)
        reason = self._refuse(sample)
        if reason is not None:
            raise SampleValidationError(reason)
        model = ChoiceSpace({}, self._refuse, ModelStatus.Frozen)
        model.sample = {label: sample[label] for label in self._choices}
        return model

    def check_contains(self, sample: Sample) -> SampleValidationError | None:
        return self.mutables.check_contains(sample)

    def leaf_mutables(self, is_leaf: Callable[[Mutable], bool]) -> Iterable[LabeledMutable]:
        return self.mutables.leaf_mutables(is_leaf)

    def random(self, memo: Sample | None = None, random_state: RandomState | None = None) -> "ChoiceSpace":
        """Draws until a sample is admitted: limits may leave one in thousands."""
        memo = {} if memo is None else memo
        state = random_state or RandomState()
        for _ in range(0 if self.exhausted else DRAWS):
            for label, values in self._choices.items():
                options = list(values)
                memo[label] = options[state.randint(len(options))]
            if self._refuse(memo) is None:
                return self.freeze(memo)
        self.exhausted = True  # what is refused stays refused
        raise SampleValidationError(f"none of {DRAWS} random samples is admitted")


class StillEngine(ExecutionEngine):
    """An engine in which nothing happens between one `ask` and the next."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = threading.Condition()
        self.wanted = False
        self.closed = False
        self.proposal: ChoiceSpace | None = None
        self._results: list[tuple[ChoiceSpace, float | None]] = []

    def idle_worker_available(self) -> bool:
        """Blocks the strategy until a proposal is wanted; results are delivered first."""
        with self.turn:
            self.turn.wait_for(lambda: self.wanted or self.closed)
            self._deliver()
            return not self.closed

    def budget_available(self) -> bool:
        return not self.closed

    def submit_models(self, *models: ExecutableModelSpace) -> None:
        for model in models:
            assert isinstance(model, ChoiceSpace)
            with self.turn:
                self.turn.wait_for(lambda: self.wanted or self.closed)
                self.proposal, self.wanted = model, False
                self.turn.notify_all()
                self.turn.wait_for(lambda: self.wanted or self.closed)  # Random would draw the next at once

    def wait_models(self, *models: ExecutableModelSpace) -> None:
        """A strategy waits for its models when it ends; we end it only when nobody asks."""

    def list_models(self, status: ModelStatus | None = None) -> Iterable[ExecutableModelSpace]:
        return []

    def result(self, model: ChoiceSpace, metric: float | None) -> None:
        with self.turn:
            self._results.append((model, metric))

    def _deliver(self) -> None:
        for model, metric in self._results:
            if metric is not None:
                self.dispatch_model_event(FinalMetricEvent(model, metric))
            status = ModelStatus.Failed if metric is None else ModelStatus.Trained
            self.dispatch_model_event(TrainingEndEvent(model, status))
        self._results.clear()


class AskTell:
    """A strategy as a conversation: `ask` for a sample, `tell` what it was worth.

    Args:
        choices: label -> values.
        strategy: an NNI strategy that has not run.
        seed: of the random proposals after the strategy itself has ended.
        key: canonical key of a sample; no two proposals share one.
        refuse: a reason to pass over a sample (over a limit), or None.
    """

    def __init__(
        self,
        choices: Mapping[str, Iterable[Any]],
        strategy: Strategy,
        seed: int,
        key: Callable[[Sample], Any] | None = None,
        refuse: Callable[[Sample], str | None] | None = None,
    ) -> None:
        self._key = key or (lambda sample: tuple(sample.items()))
        self._limits = refuse or (lambda sample: None)
        self._asked: set[Any] = set()
        self._models: dict[Any, ChoiceSpace] = {}
        self._space = ChoiceSpace(choices, self._refuse)
        self._engine = StillEngine()
        self._error: BaseException | None = None
        self._ended = False
        self._fallback = RandomState((seed + 1) % 2**32)
        self._thread = threading.Thread(target=self._run, args=(strategy,), daemon=True, name="strategy")
        self._thread.start()

    def _refuse(self, sample: Sample) -> str | None:
        if self._key(sample) in self._asked:
            return "this network was proposed before"
        return self._limits(sample)

    def _run(self, strategy: Strategy) -> None:
        try:
            with self._engine.turn:
                self._engine.turn.wait_for(lambda: self._engine.wanted or self._engine.closed)
            strategy(self._space, self._engine)
        except BaseException as error:  # told to whoever asks next
            self._error = error
        with self._engine.turn:
            self._ended = True
            self._engine.turn.notify_all()

    def ask(self) -> Sample | None:
        """A network not asked before, or None where the space (within its limits) is exhausted.

        Raises:
            NasError: where the strategy itself failed.
        """
        engine = self._engine
        with engine.turn:
            engine.wanted, engine.proposal = True, None
            engine.turn.notify_all()
            engine.turn.wait_for(lambda: engine.proposal is not None or self._ended)
            model, engine.wanted = engine.proposal, False
        if self._error is not None:
            raise NasError(f"the strategy failed: {type(self._error).__name__}: {self._error}")
        if model is None:
            model = self._random()
        if model is None or model.sample is None:
            return None
        key = self._key(model.sample)
        self._asked.add(key)
        self._models[key] = model
        return dict(model.sample)

    def _random(self) -> ChoiceSpace | None:
        """Strategies give up after some hundred duplicates; a random sample may still be new."""
        try:
            return self._space.random(random_state=self._fallback)
        except SampleValidationError:
            return None

    def exclude(self, sample: Sample) -> None:
        """Never propose this network: it has been evaluated elsewhere."""
        self._asked.add(self._key(sample))

    def tell(self, sample: Sample, metric: float | None) -> None:
        """What an asked sample was worth; None for a failure. Others are only excluded."""
        model = self._models.pop(self._key(sample), None)
        if model is None:
            self.exclude(sample)
        else:
            self._engine.result(model, metric)

    def close(self) -> None:
        """Ends the strategy's thread."""
        with self._engine.turn:
            self._engine.closed = True
            self._engine.turn.notify_all()
        self._thread.join(timeout=10)


class Evolution(nni_strategy.RegularizedEvolution):
    """NNI's regularized evolution (Real et al. 2019), drawing at random while there is nobody to mutate.

    It would fail where as many as the population are proposed before any is evaluated.
    """

    def new_individual(self) -> ExecutableModelSpace:
        return super().new_individual() if self._population else self.random()


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
    "evolution": Evolution,
    "random": nni_strategy.Random,
    "tpe": TPE,
}
