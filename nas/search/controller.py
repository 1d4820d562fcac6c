"""The search method of MnasNet: a recurrent controller trained with PPO.

MnasNet (arXiv:1807.11626, section 4.2) searches as NASNet does (Zoph et al. 2018, arXiv:1707.07012):
an LSTM emits one token for each choice, each given the tokens before it, and proximal policy
optimization (Schulman et al. 2017, arXiv:1707.06347) raises the expected reward of what it emits.

>>> from nas.search.asktell import AskTell
>>> from nas.search.view import View
>>> talk = AskTell(View({"a": (1, 2, 3), "b": (4, 5)}), Controller(seed=0), seed=0)
>>> for _ in range(6):
...     sample = talk.ask()
...     talk.tell(sample, sample["a"] / sample["b"])
>>> print(talk.ask())
None
>>> talk.close()
"""

import math
from typing import Any

import numpy as np
import torch
from nni.mutable import Categorical, SampleValidationError
from nni.nas.space import ExecutableModelSpace
from numpy.random import RandomState
from torch import Tensor, nn
from torch.nn import functional

from nas.errors import NasError
from nas.search.choice_space import ChoiceSpace
from nas.search.own_strategy import OwnStrategy
from nas.search.view import Sample, View

HIDDEN = 64
"""Units of the LSTM and length of an embedding. NASNet has 100 units; fewer are quicker and learn as well here."""
INIT = 0.1
"""Initial weights are uniform in -INIT to INIT, as in NASNet: near 0, so all samples are about as likely."""
DRAWS = ((1, 1.0), (31, 1.0), (64, 1.5), (64, 2.0), (64, 3.0), (64, 5.0))
"""Samples drawn at once and their temperature, in turn, until one is admitted. Ours: the references train a
network again and again where the policy insists on it; the warmer draws are new ones near to it."""
NEVER = -1e9
"""Logit of a value that a choice does not have: its probability p is exactly 0, and p log p as well."""


class Policy(nn.Module):
    """A distribution over rows (see `nas.search.view`): the product over choices of p(value | values before).

    The embedding of the token before enters the LSTM; its output enters the linear layer and softmax of
    the choice. A token is a value of a choice, all of them numbered through; one more begins each row.

    Args:
        sizes: the number of values of each choice.
        generator: draws the initial weights; torch's own random state is not touched.
    """

    def __init__(self, sizes: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        choices, widest = len(sizes), max(sizes, default=1)
        lstm = nn.LSTM(HIDDEN, HIDDEN, batch_first=True, device="meta", dtype=torch.float32)  # draws nothing
        self.lstm = lstm.to_empty(device="cpu")
        self.embeddings = nn.Parameter(torch.empty(sum(sizes) + 1, HIDDEN, dtype=torch.float32))
        self.weights = nn.Parameter(torch.empty(choices, HIDDEN, widest, dtype=torch.float32))
        self.biases = nn.Parameter(torch.empty(choices, widest, dtype=torch.float32))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INIT, INIT, generator=generator)
        missing = torch.arange(widest) >= torch.tensor(sizes, dtype=torch.long)[:, None]
        self.mask = torch.zeros(choices, widest, dtype=torch.float32).masked_fill(missing, NEVER)
        self.first = torch.tensor(np.cumsum((0, *sizes)))  # the token of each choice's first value; the start

    def forward(self, rows: Tensor) -> Tensor:
        """Log-probabilities of each choice's values, given a row's values before: (n, choices, widest)."""
        start = self.first[-1:].expand(len(rows), 1)
        tokens = torch.cat([start, rows + self.first[:-1]], dim=1)
        outputs = self.lstm(self.embeddings[tokens])[0][:, :-1]  # nothing follows the last token
        logits = torch.einsum("nch,chw->ncw", outputs, self.weights) + self.biases + self.mask
        return functional.log_softmax(logits, dim=-1)

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Rows: int64 (n, choices); each logit is divided by the temperature."""
        rows = torch.empty(n, len(self.mask), dtype=torch.long)
        token, state = self.first[-1:].expand(n), None
        for choice, mask in enumerate(self.mask):
            outputs, state = self.lstm(self.embeddings[token][:, None], state)
            logits = outputs[:, 0] @ self.weights[choice] + self.biases[choice] + mask
            values = (logits / temperature).softmax(-1)
            rows[:, choice] = torch.multinomial(values, 1, generator=generator)[:, 0]
            token = rows[:, choice] + self.first[choice]
        return rows


def of_rows(log_probs: Tensor, rows: Tensor) -> Tensor:
    """The log-probability of each value in the rows: (n, choices), of (n, choices, widest)."""
    return log_probs.gather(-1, rows[:, :, None])[:, :, 0]


def surrogate(new: Tensor, old: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """PPO's clipped objective, to be maximised: min(r A, clamp(r, 1 - clip, 1 + clip) A), elementwise.

    arXiv:1707.06347, equation 7, with r = exp(new - old) of log-probabilities of tokens, (n, choices),
    and the advantage A, (n, 1). Where A has already pushed r beyond the clip, there is no gradient.
    """
    ratio = (new - old).exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


class Controller(OwnStrategy):
    """Proposes what the policy draws, and after every `batch_size` results updates the policy.

    It maximises the mean of reward / spread plus `entropy` times the policy's entropy in nats. Spread
    is the standard deviation of all rewards learnt so far, and the advantage of a result is (reward -
    baseline) / spread: a reward of another unit or origin gives the same proposals.

    Of samples that are refused (proposed before, or over a limit) nothing is learnt; after all of
    `DRAWS` comes a random one. A failure (or a reward that is no finite number) counts as the worst
    reward so far. A sample not proposed here is taken for one of the policy when its result came.

    NASNet's learning rate (0.00035) and entropy weight (0.00001) are for many thousands of trials.
    Values of the references are quoted from memory; where none is named below, the value is ours, tuned
    in searches of 60 to 300 trials.

    Args:
        batch_size: results of one update.
        epochs: steps of Adam (the reference's optimizer) in one update, each over the whole batch.
        learning_rate: of Adam.
        clip: of the ratio of a token's probabilities; 0.2 in arXiv:1707.06347, table 1.
        entropy: weight of the bonus, in spreads for each nat: less is greedier.
        baseline_decay: of the moving average of rewards, for each result; 0.95 in arXiv:1707.07012.
        seed: of the initial weights and of the draws.

    Raises:
        ValueError: for a hyper-parameter out of its range.
    """

    def __init__(
        self,
        batch_size: int = 5,
        epochs: int = 5,
        learning_rate: float = 0.005,
        clip: float = 0.2,
        entropy: float = 0.07,
        baseline_decay: float = 0.95,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if min(batch_size, epochs) < 1 or min(learning_rate, clip) <= 0:
            raise ValueError("give batch_size and epochs from 1, learning_rate and clip over 0")
        if entropy < 0 or not 0 <= baseline_decay < 1:
            raise ValueError("give entropy from 0, baseline_decay from 0 to less than 1")
        self.batch_size, self.epochs, self.learning_rate = batch_size, epochs, learning_rate
        self.clip, self.entropy, self.baseline_decay = clip, entropy, baseline_decay
        self._random_state = RandomState(seed)
        self._generator = torch.Generator().manual_seed(int(self._random_state.randint(2**31)))
        self._flying: dict[bytes, Tensor] = {}  # row -> log-probabilities when it was proposed
        self._batch: list[tuple[Tensor, Tensor]] = []  # rows, and those log-probabilities
        self._rewards: list[float] = []  # all that were learnt; the last ones are the batch's
        self._baseline = 0.0

    def begin(self) -> None:
        space = self.model_space
        self._view = space.view if isinstance(space, ChoiceSpace) else View(_choices(space))
        self.policy = Policy(self._view.sizes, self._generator)
        self._optimizer = torch.optim.Adam(self.policy.parameters(), self.learning_rate)

    def propose(self) -> Sample | None:
        refused: set[bytes] = set()
        for n, temperature in DRAWS:
            for row in self.policy.draw(n, self._generator, temperature).numpy():
                sample = self._view.sample(row)
                try:
                    if row.tobytes() not in refused:
                        self.model_space.freeze(sample)
                        return self._noted(sample)
                except SampleValidationError:
                    refused.add(row.tobytes())
        try:
            model = self.model_space.random(random_state=self._random_state)
        except SampleValidationError:
            return None
        return self._noted(dict(model.sample or {}))

    def _noted(self, sample: Sample) -> Sample:
        row = self._view.row(sample)
        self._flying[row.tobytes()] = self._log_probs(row)
        return sample

    @torch.no_grad()
    def _log_probs(self, row: np.ndarray) -> Tensor:
        rows = torch.from_numpy(row)[None]
        return of_rows(self.policy(rows), rows)[0]

    def learn(self, model: ExecutableModelSpace, metric: float | None) -> None:
        try:
            row = self._view.row(model.sample or {})
        except (KeyError, ValueError):  # of other choices
            return
        old = self._flying.pop(row.tobytes(), None)  # None of a sample told from outside
        if metric is None or not math.isfinite(metric):
            if not self._rewards:
                return
            metric = min(self._rewards)
        self._rewards.append(metric)
        self._batch.append((torch.from_numpy(row), self._log_probs(row) if old is None else old))
        if len(self._batch) == self.batch_size:
            self._update()

    def _update(self) -> None:
        """Some steps up the clipped objective of the batch, which is then forgotten."""
        rows, old = (torch.stack(tensors) for tensors in zip(*self._batch, strict=True))
        self._batch.clear()
        advantage = torch.tensor(self._advantages(), dtype=torch.float32)[:, None]
        for _ in range(self.epochs):
            log_probs = self.policy(rows)
            gain = surrogate(of_rows(log_probs, rows), old, advantage, self.clip).mean()
            entropy = -(log_probs.exp() * log_probs).sum(-1).mean()  # a token's, as the gain is
            self._optimizer.zero_grad()
            (-gain - self.entropy * entropy).backward()
            self._optimizer.step()

    def _advantages(self) -> np.ndarray:
        """(reward - baseline) / spread, float (batch_size,); zeros while all rewards are equal.

        The baseline takes in the batch first. Beginning at 0, it is divided by the weight that rewards have
        in it, as Adam's averages are (arXiv:1412.6980, section 3). All is counted from the first reward.
        """
        origin, batch = self._rewards[0], np.array(self._rewards[-self.batch_size :])
        for reward in batch:
            self._baseline += (1 - self.baseline_decay) * (reward - origin - self._baseline)
        baseline = self._baseline / (1 - self.baseline_decay ** len(self._rewards))
        spread = float(np.std(np.array(self._rewards) - origin))
        return (batch - origin - baseline) / spread if spread > 0 else np.zeros(len(batch))


def _choices(space: ExecutableModelSpace) -> dict[str, Any]:
    """Label -> values of a model space of NNI's."""
    choices = {}
    for label, mutable in space.simplify().items():
        if not isinstance(mutable, Categorical):
            raise NasError(f"choice {label!r} is {mutable!r}; the controller needs a list of values")
        choices[label] = mutable.values
    return choices
