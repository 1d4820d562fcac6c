"""The model-guided strategy, as NNI sees it."""

import numpy as np
from nni.mutable import SampleValidationError
from nni.nas.space import ExecutableModelSpace

from nas.search.choice_space import ChoiceSpace, sample_of, view_of
from nas.search.guide import Guide
from nas.search.own_strategy import OwnStrategy
from nas.search.view import Sample


class ModelGuided(OwnStrategy):
    """Proposes what most probably beats the best, by a model of accuracy and the exact cost (`nas.search.guide`).

    Its proposals depend on the seed and on what was asked and told alone.
    """

    corrects = True

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        np.random.SeedSequence(seed)  # refuses what is no seed now, not at the first proposal
        self._seed = seed

    def begin(self) -> None:
        self._view = view_of(self.model_space)
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
        return self._left()

    def _left(self) -> Sample | None:
        """A sample that is no candidate, in a large space with few admitted ones; None where there is none."""
        state = np.random.RandomState((self._seed + len(self._guide.rows)) % 2**32)
        try:
            sample = sample_of(self.model_space.random(random_state=state))
        except SampleValidationError:
            return None
        self._guide.asked(self._view.row(sample))
        return sample

    def recall(self, model: ExecutableModelSpace) -> bool:
        self._guide.asked(self._view.row(sample_of(model)))
        return True

    def learn(self, model: ExecutableModelSpace, metric: float | None) -> None:
        row = self._view.row(sample_of(model))
        if metric is None:
            self._guide.told(row, None)
            return
        own = isinstance(model, ChoiceSpace)
        accuracy = model.accuracy if own else None
        if accuracy is None:
            accuracy = metric / float(self._view.worth(row[None])[0])
        self._guide.told(row, accuracy, own and model.stopped)
