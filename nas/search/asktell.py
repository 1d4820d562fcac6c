"""An NNI strategy as a conversation: ask for a sample, tell what came of it.

NNI's strategies run a loop of their own that submits models to an execution engine. `AskTell` runs
that loop in a thread, behind an engine that stands still until it is asked, so that the same calls
in the same order always give the same proposals: replaying a journal restores the state.

>>> from nas.search.strategies import make
>>> talk = AskTell(View({"a": (1, 2), "b": (3, 4)}), make("random", {}, seed=0), seed=0)
>>> first = talk.ask()
>>> talk.tell(first, 0.9)
>>> sorted(talk.ask())
['a', 'b']
>>> talk.close()
"""

import threading
from collections.abc import Iterable
from typing import Any

from nni.mutable import SampleValidationError
from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
from nni.nas.space import ExecutableModelSpace, ModelStatus
from nni.nas.strategy.base import Strategy
from numpy.random import RandomState

from nas.errors import NasError
from nas.search.choice_space import ChoiceSpace
from nas.search.own_strategy import OwnStrategy, Recalling
from nas.search.view import Sample, View


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
            self.deliver()
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

    def deliver(self) -> None:
        """Tells the strategy, which stands still, what came of its models."""
        with self.turn:
            for model, metric in self._results:
                if metric is not None:
                    self.dispatch_model_event(FinalMetricEvent(model, metric))
                status = ModelStatus.Failed if metric is None else ModelStatus.Trained
                self.dispatch_model_event(TrainingEndEvent(model, status))
            self._results.clear()


class AskTell:
    """A strategy as a conversation: `ask` for a sample, `tell` what it was worth.

    Args:
        view: the choices; no two proposals have one of its keys, and none is refused by it.
        strategy: an NNI strategy that has not run.
        seed: of the random proposals after the strategy itself has ended.
    """

    def __init__(self, view: View, strategy: Strategy, seed: int) -> None:
        self._view = view
        self._asked: set[Any] = set()
        self._models: dict[Any, ChoiceSpace] = {}
        self._space = ChoiceSpace(view, self._refuse)
        self._engine = StillEngine()
        self._error: BaseException | None = None
        self._ended = False
        self._seed = seed
        self._strategy = strategy
        self._begun = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="strategy")

    def _refuse(self, sample: Sample) -> str | None:
        if self._view.key(sample) in self._asked:
            return "this network was proposed before"
        return self._view.refuse(sample)

    def _begin(self) -> None:
        """The strategy, made ready; its loop starts with the first `ask`."""
        if not self._begun:
            self._begun = True
            self._strategy.initialize(self._space, self._engine)

    def _run(self) -> None:
        try:
            self._strategy.run()
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
        self._begin()
        with engine.turn:
            engine.wanted, engine.proposal = True, None
            if self._thread.ident is None:
                self._thread.start()
            engine.turn.notify_all()
            engine.turn.wait_for(lambda: engine.proposal is not None or self._ended)
            model, engine.wanted = engine.proposal, False
        if isinstance(self._error, NasError):
            raise self._error
        if self._error is not None:
            raise NasError(f"the strategy failed: {type(self._error).__name__}: {self._error}")
        if model is None:
            model = self._random()
        if model is None or model.sample is None:
            return None
        self._remember(model, model.sample)
        return dict(model.sample)

    def _remember(self, model: ChoiceSpace, sample: Sample) -> None:
        key = self._view.key(sample)
        self._asked.add(key)
        self._models[key] = model

    def ask_again(self, sample: Sample) -> bool:
        """Repeats a recorded proposal; False where the strategy now proposes another network.

        A strategy that depends on what it was told alone need not think again.
        """
        self._begin()
        if isinstance(self._strategy, Recalling):
            self._engine.deliver()
            model = self._space.recorded(sample)
            if self._strategy.recall(model):
                self._remember(model, sample)
                return True
        proposed = self.ask()
        return proposed is not None and self._view.key(proposed) == self._view.key(sample)

    def _random(self) -> ChoiceSpace | None:
        """Strategies give up after some hundred duplicates; a random sample may still be new."""
        try:
            return self._space.random(random_state=RandomState((self._seed + 1 + len(self._asked)) % 2**32))
        except SampleValidationError:
            return None

    def exclude(self, sample: Sample) -> None:
        """Never propose this network: it has been evaluated elsewhere."""
        self._asked.add(self._view.key(sample))

    def tell(
        self, sample: Sample, metric: float | None, accuracy: float | None = None, stopped: bool = False
    ) -> None:
        """What a sample was worth.

        Args:
            sample: one that was asked; any other is excluded, and a strategy of ours learns from it too. Told
                again, a network is learnt anew by a strategy that `corrects`, and ignored by others.
            metric: its reward, None for a failure.
            accuracy: what was measured, in the metric's own unit; by default the reward divided by what
                accuracy is worth there.
            stopped: the accuracy is a lower bound.
        """
        self._begin()
        key = self._view.key(sample)
        model = self._models.pop(key, None)
        if model is None:
            told_before = key in self._asked
            self.exclude(sample)
            if not isinstance(self._strategy, OwnStrategy) or (told_before and not self._strategy.corrects):
                return
            model = self._space.recorded(sample)
        model.accuracy, model.stopped = accuracy, stopped
        self._engine.result(model, metric)

    def close(self) -> None:
        """Ends the strategy's thread."""
        with self._engine.turn:
            self._engine.closed = True
            self._engine.turn.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
