"""The model-guided strategy, as NNI sees it."""

from nni.mutable import SampleValidationError
from nni.nas.space import ExecutableModelSpace

from nas.search.asktell import ChoiceSpace, OwnStrategy
from nas.search.guide import Guide
from nas.search.view import Sample, View


class ModelGuided(OwnStrategy):
    """Proposes what most probably beats the best, by a model of accuracy and the exact cost (`nas.search.guide`).

    Its proposals depend on the seed and on what was asked and told alone.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._seed = seed

    def begin(self) -> None:
        space = self.model_space
        if isinstance(space, ChoiceSpace):
            self._view = space.view
        else:
            self._view = View({label: list(mutable.grid()) for label, mutable in space.simplify().items()})
        self._guide = Guide(self._view, self._seed)

    def propose(self) -> Sample | None:
        for row in self._guide.candidates():
            sample = self._view.sample(row)
            try:
                self.model_space.freeze(sample)
            except SampleValidationError:  # taken by others, or over a limit
                self._guide.exclude(row)
                continue
            self._guide.asked(row)
            return sample
        return None

    def recall(self, sample: Sample) -> bool:
        self._guide.asked(self._view.row(sample))
        return True

    def learn(self, model: ExecutableModelSpace, metric: float | None) -> None:
        sample = model.sample
        assert sample is not None
        row = self._view.row(sample)
        if metric is None:
            self._guide.told(row, None)
            return
        own = isinstance(model, ChoiceSpace)
        accuracy = model.accuracy if own else None
        if accuracy is None:
            accuracy = metric / float(self._view.worth(row[None])[0])
        self._guide.told(row, accuracy, own and model.stopped)
