"""The recurrent controller: its distribution, PPO's objective, what one update does, what many learn."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from nni.mutable import Categorical, LabeledMutable, Mutable, MutableDict, Numerical, SampleValidationError
from nni.nas.space import ExecutableModelSpace, ModelStatus

from nas import NasError
from nas.search import choice_space, controller
from nas.search.asktell import AskTell, StillEngine
from nas.search.controller import Controller, Policy, of_rows, surrogate
from nas.search.view import View

Sample = dict[str, Any]
Start = Callable[..., tuple[AskTell, Controller]]

LETTERS = {f"choice{index}": ("w", "x", "y", "z") for index in range(10)}
PAIRS = {f"{name}{pair}": (0, 1) for pair in range(8) for name in "ab"}


@pytest.fixture
def start() -> Iterator[Start]:
    """Begins conversations, and ends them after the test."""
    talks = []

    def begin(choices: Mapping[str, Any], seed: int = 0, **options: Any) -> tuple[AskTell, Controller]:
        strategy = Controller(seed=seed, **options)
        talks.append(AskTell(View(choices), strategy, seed))
        return talks[-1], strategy

    yield begin
    for talk in talks:
        talk.close()


def asked(talk: AskTell) -> Sample:
    sample = talk.ask()
    assert sample is not None
    return sample


def separable(sample: Mapping[str, str]) -> float:
    """0 to 1: how far each letter is in its list. The mean of uniform samples is 1/2."""
    return sum("wxyz".index(letter) for letter in sample.values()) / 30


def converse(talk: AskTell, asks: int, value: Callable[[Sample], float | None]) -> list[Sample]:
    samples = []
    for _ in range(asks):
        samples.append(asked(talk))
        talk.tell(samples[-1], value(samples[-1]))
    return samples


def probabilities(strategy: Controller, rows: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return of_rows(strategy.policy(rows), rows).sum(1).exp()


# The policy


SIZES = (2, 3, 1, 2)


@pytest.fixture
def policy() -> Policy:
    """Far from uniform, with each choice dependent on those before."""
    policy = Policy(SIZES, torch.Generator().manual_seed(0))
    for parameter in policy.parameters():
        torch.nn.init.uniform_(parameter, -1, 1, generator=torch.Generator().manual_seed(1))
    return policy


def test_the_probabilities_of_all_rows_sum_to_1(policy):
    rows = torch.tensor(list(itertools.product(*map(range, SIZES))))
    with torch.no_grad():
        each = of_rows(policy(rows), rows).sum(1).exp()
        assert policy(rows).exp().sum(-1) == pytest.approx(np.ones((12, 4)), abs=1e-5)
    assert float(each.sum()) == pytest.approx(1, abs=1e-5)
    assert float(each.max()) > 2 * float(each.min())


def test_rows_are_drawn_with_their_probabilities(policy):
    """Each count of 20,000 draws is within 5 standard deviations, sqrt(n p (1 - p)), of n p."""
    rows = torch.tensor(list(itertools.product(*map(range, SIZES))))
    drawn = policy.draw(20_000, torch.Generator().manual_seed(0))
    with torch.no_grad():
        each = of_rows(policy(rows), rows).sum(1).exp().numpy()
    counts = np.array([int((drawn == row).all(1).sum()) for row in rows])
    assert counts.sum() == 20_000
    assert np.all(abs(counts - 20_000 * each) < 5 * np.sqrt(20_000 * each * (1 - each)))


def test_a_value_depends_on_those_before_it_alone(policy):
    rows = torch.tensor([[0, 1, 0, 0], [0, 1, 0, 1], [1, 1, 0, 1]])
    with torch.no_grad():
        first, last, other = policy(rows)
    assert torch.equal(first, last)
    assert torch.equal(first[0], other[0])
    assert not torch.allclose(first[1], other[1], atol=0.01)
    assert not torch.allclose(first[3, :2], other[3, :2], atol=0.01)  # past a choice of one value


def test_the_initial_weights_are_those_of_the_seed_and_within_a_tenth():
    first, again, other = (Policy((2, 3), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    for ours, same, different in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, same)
        assert not torch.equal(ours, different)
        assert 0.05 < ours.abs().max() <= 0.1


# The objective


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        (1.0, 2.0, 2.0, 2.0),
        (1.1, 2.0, 2.2, 2.2),
        (1.5, 2.0, 2.4, 0.0),  # made more probable by enough
        (0.5, 2.0, 1.0, 1.0),  # good, and less probable by mistake: brought back
        (0.5, -2.0, -1.6, 0.0),  # made less probable by enough
        (1.5, -2.0, -3.0, -3.0),
    ],
)
def test_beyond_the_clip_there_is_no_gradient(ratio, advantage, value, slope):
    """Figure 1 of arXiv:1707.06347 at clip 0.2; the slope is by the log-probability, ratio times advantage."""
    new = torch.tensor([[np.log(ratio)]], requires_grad=True)
    found = surrogate(new, torch.zeros(1, 1), torch.tensor([[advantage]]), clip=0.2)
    found.sum().backward()
    assert new.grad is not None
    assert found.item() == pytest.approx(value)
    assert new.grad.item() == pytest.approx(slope)


def test_more_epochs_move_a_batch_no_further_than_the_clip(start: Start):
    """Without an entropy bonus, and of one token: past the clip Adam only runs out, by its momentum."""
    moved = {}
    for clip in (0.05, 1e9):
        talk, strategy = start({"a": tuple(range(4))}, batch_size=2, epochs=60, entropy=0, clip=clip)
        talk.tell({"a": 0}, 1.0)
        talk.tell({"a": 1}, 0.0)
        before = probabilities(strategy, torch.tensor([[0]])).item()
        talk.ask()
        moved[clip] = probabilities(strategy, torch.tensor([[0]])).item() / before
    assert 1.05 < moved[0.05] < 1.5
    assert moved[1e9] > 3


# One update


def told(start: Start, rewards: Mapping[tuple[int, int], float], **options: Any) -> torch.Tensor:
    """Of rows of two choices, the probabilities after results of some, over those before."""
    talk, strategy = start({"a": (0, 1, 2), "b": (0, 1, 2)}, batch_size=len(rewards), **options)
    rows = torch.tensor(list(itertools.product(range(3), range(3))))
    for (a, b), reward in rewards.items():
        talk.tell({"a": a, "b": b}, reward)
    before = probabilities(strategy, rows)
    talk.ask()
    return (probabilities(strategy, rows) / before).reshape(3, 3)


def test_an_update_makes_the_better_value_more_probable(start: Start):
    ratio = told(start, {(0, 0): 0.9, (0, 1): 0.8, (1, 0): 0.2, (1, 1): 0.1})
    assert ratio[0, 0] > 1.01
    assert ratio[0, 1] > 1.01
    assert ratio[1, 0] < 0.99
    assert ratio[1, 1] < 0.99


def test_an_update_makes_the_better_combination_more_probable(start: Start):
    """Each value alone is worth the same."""
    ratio = told(start, {(0, 0): 0.9, (0, 1): 0.1, (1, 0): 0.1, (1, 1): 0.9}, epochs=30)
    assert min(ratio[0, 0], ratio[1, 1]) > 1.02
    assert max(ratio[0, 1], ratio[1, 0]) < 0.98


def test_equal_rewards_leave_the_entropy_bonus_alone(start: Start):
    talk, strategy = start({"a": (0, 1, 2)}, batch_size=2, epochs=50, entropy=1.0)
    talk.tell({"a": 0}, 0.5)
    with torch.no_grad():
        strategy.policy.biases.copy_(torch.tensor([[3.0, 0.0, 0.0]]))
    talk.tell({"a": 1}, 0.5)
    before = probabilities(strategy, torch.tensor([[0], [1], [2]]))
    talk.ask()
    after = probabilities(strategy, torch.tensor([[0], [1], [2]]))
    assert before[0] > 0.8
    assert after[0] < before[0] - 0.02


def test_without_a_bonus_equal_rewards_change_nothing(start: Start):
    ratio = told(start, {(0, 0): 0.3, (1, 1): 0.3, (2, 0): 0.3}, entropy=0.0)
    assert torch.equal(ratio, torch.ones(3, 3))


def test_the_ratio_is_to_the_policy_of_the_proposal(start: Start, monkeypatch):
    """Results come late and in another order; a sample of others is taken for one of the present policy."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def spy(new: torch.Tensor, old: torch.Tensor, advantage: torch.Tensor, clip: float) -> torch.Tensor:
        seen.append((new.detach(), old))
        return surrogate(new, old, advantage, clip)

    monkeypatch.setattr(controller, "surrogate", spy)
    talk, strategy = start(LETTERS, batch_size=2, epochs=1)
    flying = [asked(talk) for _ in range(4)]
    row = {str(sample): torch.tensor(["wxyz".index(x) for x in sample.values()])[None] for sample in flying}
    with torch.no_grad():
        first = {name: of_rows(strategy.policy(rows), rows)[0] for name, rows in row.items()}
    for sample in (flying[2], flying[0], flying[3]):
        talk.tell(sample, separable(sample))
    talk.tell(dict.fromkeys(LETTERS, "z"), 1.0)
    talk.ask()
    (new, old), (later, late) = seen
    assert torch.allclose(old, torch.stack([first[str(flying[2])], first[str(flying[0])]]), atol=1e-5)
    assert torch.allclose(new, old, atol=1e-5)
    assert torch.allclose(late[0], first[str(flying[3])], atol=1e-5)
    assert not torch.allclose(later[0], late[0], atol=1e-3)  # the policy has moved since
    assert torch.allclose(later[1], late[1], atol=1e-5)


# Failures


def test_a_failure_is_the_worst_reward_so_far(start: Start):
    values = [0.5, 0.2, 0.8, None, 0.1, 0.9, None, 0.4, 0.7, 0.6] * 3
    as_told = [0.5, 0.2, 0.8, 0.2, 0.1, 0.9, 0.1, 0.4, 0.7, 0.6] + [
        0.1 if v is None else v for v in values[10:]
    ]
    instead = [0.5 if value is None else value for value in values]
    (one, _), (same, _), (other, _) = (start(LETTERS) for _ in range(3))
    proposals = []
    for talk, told in ((one, values), (same, as_told), (other, instead)):
        metrics = iter(told)
        proposals.append(converse(talk, len(values), lambda _, metrics=metrics: next(metrics)))
    assert proposals[0] == proposals[1] != proposals[2]


def test_a_failure_before_any_result_teaches_nothing(start: Start):
    (one, strategy), (other, _) = start(LETTERS), start(LETTERS)
    for _ in range(7):
        one.tell(asked(one), None)
        other.ask()  # and never told
    assert converse(one, 20, separable) == converse(other, 20, separable)
    assert all(torch.isfinite(parameter).all() for parameter in strategy.policy.parameters())


# Rewards of any scale, randomness


@pytest.mark.parametrize(("scale", "origin"), [(1024.0, 0.0), (2.0**-20, 0.0), (1024.0, -4096.0)])
def test_the_unit_and_the_origin_of_the_reward_do_not_matter(start: Start, scale, origin):
    """Powers of 2, with which nothing is rounded otherwise; rewards are multiples of 2**-5."""
    (one, _), (other, _) = start(LETTERS), start(LETTERS)

    def value(sample: Sample) -> float:
        return round(separable(sample) * 32) / 32

    assert converse(one, 60, value) == converse(other, 60, lambda sample: scale * value(sample) + origin)


def test_the_global_random_states_are_neither_read_nor_moved(start: Start):
    proposals = []
    with torch.random.fork_rng(devices=[]):
        for seed in (1, 2):
            torch.manual_seed(seed)
            before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
            proposals.append(converse(start(LETTERS)[0], 30, separable))
            assert torch.equal(torch.get_rng_state(), before)
            assert np.array_equal(np.random.get_state()[1], numpys)
    assert proposals[0] == proposals[1] != converse(start(LETTERS, seed=1)[0], 30, separable)


# Proposals


def test_a_policy_that_repeats_itself_is_helped_out(start: Start, monkeypatch):
    monkeypatch.setattr(choice_space, "DRAWS", 500)
    talk, strategy = start({"a": (0, 1, 2), "b": (0, 1)})
    talk.tell({"a": 0, "b": 0}, 0.5)
    with torch.no_grad():
        strategy.policy.biases[:, 0] += 100
    samples = [asked(talk) for _ in range(5)]
    assert len({str(sample) for sample in samples} - {"{'a': 0, 'b': 0}"}) == 5
    assert talk.ask() is None


def test_where_a_policy_repeats_itself_its_neighbours_come_next(start: Start):
    """Of 10 letters a uniform sample has 7.5 others than w; here each other one has p = exp(-12)."""
    talk, strategy = start(LETTERS)
    talk.tell(dict.fromkeys(LETTERS, "w"), 0.5)
    with torch.no_grad():
        strategy.policy.biases[:, 0] += 12
    others = [10 - list(asked(talk).values()).count("w") for _ in range(10)]
    assert min(others) >= 1
    assert max(others) <= 5


def test_a_space_without_choices_has_one_network(start: Start):
    talk, _ = start({}, batch_size=1)
    assert talk.ask() == {}
    talk.tell({}, 0.5)
    assert talk.ask() is None


class Plain(ExecutableModelSpace):
    """A model space of NNI's that is none of ours."""

    def __init__(self, mutables: dict[str, Any], status: ModelStatus = ModelStatus.Initialized) -> None:
        super().__init__(status)
        self.mutables = MutableDict(mutables)

    def freeze(self, sample: Sample) -> "Plain":
        self.validate(sample)
        model = Plain({}, ModelStatus.Frozen)
        model.sample = sample
        return model

    def check_contains(self, sample: Sample) -> SampleValidationError | None:
        return self.mutables.check_contains(sample)

    def leaf_mutables(self, is_leaf: Callable[[Mutable], bool]) -> Iterable[LabeledMutable]:
        return self.mutables.leaf_mutables(is_leaf)


def test_other_model_spaces_are_searched_too():
    space = Plain({"one": Categorical([16, 32, 64], label="a"), "two": Categorical(["x", None], label="b")})
    strategy = Controller(batch_size=2, learning_rate=0.05, seed=0)
    strategy.initialize(space, StillEngine())
    for _ in range(40):
        sample = strategy.propose()
        assert sample is not None
        strategy.learn(space.freeze(sample), float(sample["a"]))
    assert [(strategy.propose() or {})["a"] for _ in range(5)] == [64] * 5
    stranger = Plain({})
    stranger.sample = {"a": 17, "b": "x"}
    strategy.learn(stranger, 0.5)  # not expressible


def test_numbers_that_are_no_list_are_refused():
    with pytest.raises(
        NasError, match=r"^choice 'a' is Numerical\(.*\); the controller needs a list of values$"
    ):
        Controller().initialize(Plain({"one": Numerical(0, 1, label="a")}), StillEngine())


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0}, {"epochs": 0}, {"learning_rate": 0.0}, {"clip": 0.0},
        {"entropy": -0.1}, {"baseline_decay": 1.0}, {"baseline_decay": -0.1}, {"seed": -1},
    ],
    ids=str,
)  # fmt: skip
def test_a_hyper_parameter_out_of_its_range_is_refused(options):
    with pytest.raises(ValueError, match=r"give|between"):
        Controller(**options)


# Learning


def test_a_separable_function_is_learnt(start: Start):
    """Uniform samples have mean 1/2 and standard deviation 0.118; 3/4 is over two of them above the mean."""
    for seed in range(3):
        values = [separable(sample) for sample in converse(start(LETTERS, seed)[0], 300, separable)]
        assert np.mean(values[:20]) < 0.65
        assert np.mean(values[-100:]) > 0.75


def test_an_interaction_is_learnt(start: Start):
    """a and b of a pair should be equal: each of 256 networks is best, and no value is good in itself.

    Rows of which every column is permuted are as a policy of independent choices, with the same frequencies,
    would draw them. Uniform samples have mean 1/2 and standard deviation 0.5 / sqrt(8) = 0.18.
    """

    def equal(sample: Mapping[str, int]) -> float:
        return sum(sample[f"a{pair}"] == sample[f"b{pair}"] for pair in range(8)) / 8

    for seed in range(2):
        talk, _ = start(PAIRS, seed)
        samples = converse(talk, 300, equal)[-100:]
        rows = np.array([list(sample.values()) for sample in samples])
        permuted = np.random.default_rng(seed).permuted(rows, axis=0)
        ours, theirs = (np.mean(each[:, ::2] == each[:, 1::2]) for each in (rows, permuted))
        assert ours > 0.8
        assert ours > theirs + 0.1
