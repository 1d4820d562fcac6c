"""Local search: first improvement among the networks one choice apart, and a new start at each peak.

Ying et al. 2019 (arXiv:1902.09635) and White et al. 2020 (arXiv:2005.02960) found it hard to beat where
rewards are smooth; a hard limit in the middle of the space gives it hundreds of peaks.
"""

from nni.mutable import SampleValidationError
from nni.nas.space import ExecutableModelSpace
from numpy.random import RandomState

from nas.search.choice_space import sample_of, view_of
from nas.search.own_strategy import OwnStrategy
from nas.search.view import Sample


class LocalSearch(OwnStrategy):
    """Climbs from random networks.

    Args:
        seed: of the starts, and of the order in which neighbours are tried.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._random = RandomState(seed)
        self._near: list[Sample] = []
        self._best: float | None = None

    def begin(self) -> None:
        self._view = view_of(self.model_space)

    def propose(self) -> Sample | None:
        while self._near:
            sample = self._near.pop()
            try:
                self.model_space.freeze(sample)
            except SampleValidationError:  # proposed before, or over a limit
                continue
            return sample
        self._best = None  # a peak, or all of its neighbours are in flight: whatever comes next is better
        try:
            return sample_of(self.model_space.random(random_state=self._random))
        except SampleValidationError:
            return None

    def learn(self, model: ExecutableModelSpace, metric: float | None) -> None:
        if metric is None or (self._best is not None and metric <= self._best):
            return
        self._best = metric
        row = self._view.row(sample_of(model))
        near = self._view.neighbours(row)
        self._near = self._view.samples(near[self._random.permutation(len(near))])
