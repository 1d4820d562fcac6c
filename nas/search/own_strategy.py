"""What the strategies of ours share: one proposal at a time, on any engine of NNI's."""

from abc import ABC, abstractmethod

from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, ModelEventType, TrainingEndEvent
from nni.nas.space import ExecutableModelSpace, ModelStatus
from nni.nas.strategy.base import Strategy

from nas.search.view import Sample


class Recalling(ABC):
    """A strategy whose next proposal depends on the seed and on what was proposed and told alone, so that a search that
    is resumed need not make the proposals of before again."""

    @abstractmethod
    def recall(self, model: ExecutableModelSpace) -> bool:
        """Takes note of a proposal of before an interruption without making it again.

        False, of a strategy whose proposals depend on more than that, has it propose again.
        """


class OwnStrategy(Strategy, Recalling):
    """A strategy of ours: one proposal at a time, from what was proposed and what came of it.

    It runs on any engine of NNI's. On another model space than `ChoiceSpace` it knows no cost, and
    models the metric itself.

    Attributes:
        corrects: whether a second result of a network takes the place of the first; it is ignored else.
    """

    corrects = False

    @abstractmethod
    def propose(self) -> Sample | None:
        """The next sample, or None where there is none."""

    @abstractmethod
    def learn(self, model: ExecutableModelSpace, metric: float | None) -> None:
        """What a model was worth; None for a failure."""

    def begin(self) -> None:
        """Called once, when `model_space` is known."""

    def recall(self, model: ExecutableModelSpace) -> bool:
        return False

    def _initialize(self, model_space: ExecutableModelSpace, engine: ExecutionEngine) -> ExecutableModelSpace:
        self.begin()
        engine.register_model_event_callback(ModelEventType.FinalMetric, self._final)
        engine.register_model_event_callback(ModelEventType.TrainingEnd, self._end)
        return model_space

    def _run(self) -> None:
        while self.wait_for_resource():
            sample = self.propose()
            if sample is None:
                return
            self.engine.submit_models(self.model_space.freeze(sample))

    def _final(self, event: FinalMetricEvent) -> None:
        metric = event.metric.get("default") if isinstance(event.metric, dict) else event.metric
        self.learn(event.model, float(metric))  # type: ignore[arg-type]

    def _end(self, event: TrainingEndEvent) -> None:
        if event.status != ModelStatus.Trained:
            self.learn(event.model, None)
