"""Our choices as a model space of NNI's.

>>> space = ChoiceSpace(View({"a": (1, 2), "b": (3, 4)}), refuse=lambda sample: None)
>>> sample_of(space.freeze({"a": 1, "b": 4}))
{'a': 1, 'b': 4}
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from nni.mutable import Categorical, LabeledMutable, Mutable, MutableDict, SampleValidationError
from nni.nas.space import ExecutableModelSpace, ModelStatus
from numpy.random import RandomState

from nas.search.reach import walk
from nas.search.rewarding import DRAWS
from nas.search.view import Sample, View

SINGLY, BATCH = 200, 2000
"""Samples drawn one by one, and then at a time, which is quicker where few are admitted."""


class ChoiceSpace(ExecutableModelSpace):
    """Our choices as NNI's strategies see them; freezing refuses what `refuse` gives a reason for.

    Attributes:
        view: the choices with their cost, for strategies that use it.
        sample: of a frozen one, the sample.
        accuracy: of a frozen one, what was measured beside the metric that NNI's strategies hear of.
        stopped: whether that accuracy is a lower bound only.
    """

    def __init__(
        self,
        view: View,
        refuse: Callable[[Sample], str | None],
        status: ModelStatus = ModelStatus.Initialized,
    ) -> None:
        super().__init__(status)
        self.view = view
        self._refuse = refuse
        open_choices = view.choices if status == ModelStatus.Initialized else {}
        self.mutables = MutableDict({k: Categorical(list(v), label=k) for k, v in open_choices.items()})
        self.sample: Sample | None = None
        self.accuracy: float | None = None
        self.stopped = False
        self._walk: Iterator[np.ndarray] | None = None
        self._simple: dict[str, LabeledMutable] | None = None

    def freeze(self, sample: Sample) -> "ChoiceSpace":
        self.validate(sample)
        reason = self._refuse(sample)
        if reason is not None:
            raise SampleValidationError(reason)
        return self.recorded(sample)

    def recorded(self, sample: Sample) -> "ChoiceSpace":
        """The frozen model of a sample that is not questioned: it was proposed or evaluated before."""
        model = ChoiceSpace(self.view, self._refuse, ModelStatus.Frozen)
        model.sample = {label: sample[label] for label in self.view.labels}
        return model

    def check_contains(self, sample: Sample) -> SampleValidationError | None:
        return self.mutables.check_contains(sample)

    def simplify(self, is_leaf: Callable[[Mutable], bool] | None = None) -> dict[str, LabeledMutable]:
        if is_leaf is not None:
            return super().simplify(is_leaf)
        if self._simple is None:  # asked for by every proposal of NNI's evolution
            self._simple = super().simplify()
        return self._simple

    def leaf_mutables(self, is_leaf: Callable[[Mutable], bool]) -> Iterable[LabeledMutable]:
        return self.mutables.leaf_mutables(is_leaf)

    def random(self, memo: Sample | None = None, random_state: RandomState | None = None) -> "ChoiceSpace":
        """Draws until a sample is admitted: limits may leave one in thousands. After many draws in vain what
        is left is walked through."""
        memo = {} if memo is None else memo
        for sample in self._drawn(random_state or RandomState()):
            if self._refuse(sample) is None:
                memo |= sample
                return self.freeze(sample)
        raise SampleValidationError("no other sample is admitted")

    def _drawn(self, state: RandomState) -> Iterator[Sample]:
        """Random samples, DRAWS in all, and then those of a walk that is begun once."""
        view = self.view
        if self._walk is None:
            for _ in range(SINGLY):
                if view.listed:  # it may be one combination in millions
                    yield view.sample(view.all_rows()[state.randint(len(view.all_rows()))])
                else:
                    yield {
                        label: values[state.randint(len(values))] for label, values in view.choices.items()
                    }
            for _ in range(0 if view.listed else DRAWS // BATCH):
                rows = state.randint(0, view.sizes, (BATCH, len(view.sizes)))
                yield from map(view.sample, rows[view.admitted(rows)])
            self._walk = walk(view)
        yield from map(view.sample, self._walk)  # what was passed was refused, and stays refused


def view_of(space: ExecutableModelSpace) -> View:
    """The choices of a model space, with their cost where it is one of ours."""
    if isinstance(space, ChoiceSpace):
        return space.view
    return View({label: list(mutable.grid()) for label, mutable in space.simplify().items()})


def sample_of(model: ExecutableModelSpace) -> Sample:
    """The sample of a frozen model."""
    assert model.sample is not None
    return dict(model.sample)
