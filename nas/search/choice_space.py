"""Our choices as a model space of NNI's.

>>> space = ChoiceSpace(View({"a": (1, 2), "b": (3, 4)}), refuse=lambda sample: None)
>>> sample_of(space.freeze({"a": 1, "b": 4}))
{'a': 1, 'b': 4}
"""

from collections.abc import Callable, Iterable

from nni.mutable import Categorical, LabeledMutable, Mutable, MutableDict, SampleValidationError
from nni.nas.space import ExecutableModelSpace, ModelStatus
from numpy.random import RandomState

from nas.search.settings import DRAWS
from nas.search.view import Sample, View


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
        self.exhausted = False

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

    def leaf_mutables(self, is_leaf: Callable[[Mutable], bool]) -> Iterable[LabeledMutable]:
        return self.mutables.leaf_mutables(is_leaf)

    def random(self, memo: Sample | None = None, random_state: RandomState | None = None) -> "ChoiceSpace":
        """Draws until a sample is admitted: limits may leave one in thousands."""
        memo = {} if memo is None else memo
        state = random_state or RandomState()
        for _ in range(0 if self.exhausted else DRAWS):
            for label, options in self.view.choices.items():
                memo[label] = options[state.randint(len(options))]
            if self._refuse(memo) is None:
                return self.freeze(memo)
        if self.view.enumerable and not self.exhausted:  # a table may have one in millions
            for row in state.permutation(self.view.all_rows()):
                memo |= self.view.sample(row)
                if self._refuse(memo) is None:
                    return self.freeze(memo)
        self.exhausted = True  # what is refused stays refused
        raise SampleValidationError(f"none of {DRAWS} random samples is admitted")


def view_of(space: ExecutableModelSpace) -> View:
    """The choices of a model space, with their cost where it is one of ours."""
    if isinstance(space, ChoiceSpace):
        return space.view
    return View({label: list(mutable.grid()) for label, mutable in space.simplify().items()})


def sample_of(model: ExecutableModelSpace) -> Sample:
    """The sample of a frozen model."""
    assert model.sample is not None
    return dict(model.sample)
