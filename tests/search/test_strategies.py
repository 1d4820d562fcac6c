"""What every strategy must do, whichever it is; a new one enters by its line in STRATEGIES."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from nni.nas.strategy.base import Strategy

from nas import NasError, SearchSpace
from nas.search import choice_space
from nas.search.asktell import AskTell
from nas.search.settings import BY_NAME, fitted
from nas.search.space_view import SpaceView
from nas.search.strategies import STRATEGIES, make
from nas.search.view import View

ASKS = 40
FEW = {"tpe": {"n_startup_jobs": 10}}
"""Hyper-parameters with which a short conversation goes beyond a strategy's random beginning."""

Event = tuple[str, dict[str, Any], float | None]
Talk = Callable[..., AskTell]


@pytest.fixture(params=STRATEGIES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def talk() -> Iterator[Talk]:
    """Makes conversations, and ends them after the test."""
    talks = []

    def begin(name: str, view: View | Mapping[str, Any], seed: int = 0, **functions: Any) -> AskTell:
        view = view if isinstance(view, View) else View(view, **functions)
        settings = BY_NAME[name](**FEW.get(name, {}))
        options = fitted(settings, ASKS, concurrency=3, choices=len(view.choices))
        talks.append(AskTell(view, make(name, options, seed), seed))
        return talks[-1]

    yield begin
    for one in talks:
        one.close()


@pytest.fixture(scope="module")
def digits() -> SearchSpace:
    return SearchSpace.load("digits")


def of(space: SearchSpace, **limits: int) -> View:
    """The view of a space in which only networks up to a limit are admitted."""
    return SpaceView(space, limits)


def score(sample: Mapping[str, Any]) -> float:
    """A made-up accuracy, some trials of which fail."""
    return sum(len(str(value)) * (index + 1) for index, value in enumerate(sample.values())) % 97 / 97


def converse(talk: AskTell, asks: int, seed: int = 0) -> list[Event]:
    """Up to 3 samples in flight, told in random order; one in five fails."""
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    flying: list[dict[str, Any]] = []
    while sum(kind == "asked" for kind, _, _ in events) < asks:
        if len(flying) < 3 and (not flying or rng.random() < 0.6):
            sample = talk.ask()
            assert sample is not None
            flying.append(sample)
            events.append(("asked", sample, None))
        else:
            sample = flying.pop(rng.integers(len(flying)))
            metric = None if rng.random() < 0.2 else score(sample)
            talk.tell(sample, metric)
            events.append(("told", sample, metric))
    return events


def asked(events: list[Event]) -> list[dict[str, Any]]:
    return [sample for kind, sample, _ in events if kind == "asked"]


# Proposals


def test_no_network_is_proposed_twice_nor_over_a_limit_nor_out_of_the_lists(name, talk: Talk, digits):
    limit = 700_000  # about the median
    samples = asked(converse(talk(name, of(digits, macs=limit)), ASKS))
    archs = [digits.decode(sample) for sample in samples]
    assert len({arch.key for arch in archs}) == ASKS
    assert all(arch.macs <= limit for arch in archs)
    for sample in samples:
        assert list(sample) == list(digits.choices)
        for label, value in sample.items():
            assert any(value is allowed for allowed in digits.choices[label])


def test_a_limit_that_leaves_few_networks_is_searched(name, talk: Talk, tiny, monkeypatch):
    monkeypatch.setattr(choice_space, "DRAWS", 3000)
    limit = sorted({tiny.decode(tiny.sample(np.random.default_rng(i))).macs for i in range(500)})[3]
    one = talk(name, of(tiny, macs=limit))
    keys = []
    while (sample := one.ask()) is not None:
        keys.append(tiny.decode(sample).key)
        one.tell(sample, score(sample))
    everything = [tiny.decode(tiny.sample(np.random.default_rng(i))) for i in range(3000)]
    assert set(keys) == {arch.key for arch in everything if arch.macs <= limit}
    assert len(keys) == len(set(keys)) >= 4


@pytest.mark.parametrize("metric", [0.5, None], ids=["results", "failures"])
def test_a_space_ends_after_all_of_its_networks(name, talk: Talk, document, monkeypatch, metric):
    monkeypatch.setattr(choice_space, "DRAWS", 500)
    stage = {"op": "conv", "kernel": [3, 5], "skip": ["none", "identity"], "channels": [8, 16]}
    space = SearchSpace.from_data(document | {"stages": [stage]})  # a skip from 8 to 16 channels is none
    one = talk(name, of(space))
    keys = set()
    for _ in range(6):
        sample = one.ask()
        assert sample is not None
        keys.add(space.decode(sample).key)
        one.tell(sample, metric)
    assert len(keys) == 6
    assert [one.ask() for _ in range(3)] == [None] * 3


def test_plain_choices_need_no_space(name, talk: Talk, monkeypatch):
    monkeypatch.setattr(choice_space, "DRAWS", 500)
    one = talk(name, {"a": (1, 2), "b": ("x", None)})
    samples = []
    while (sample := one.ask()) is not None:
        samples.append(sample)
        one.tell(sample, 0.5)
    assert sorted(map(str, samples)) == sorted(str({"a": a, "b": b}) for a in (1, 2) for b in ("x", None))


def test_what_was_evaluated_elsewhere_is_not_proposed(name, talk: Talk, monkeypatch):
    monkeypatch.setattr(choice_space, "DRAWS", 500)
    one = talk(name, {"a": (1, 2, 3)})
    one.exclude({"a": 2})
    one.tell({"a": 3}, 0.9)
    assert one.ask() == {"a": 1}
    assert one.ask() is None


def test_all_may_fail(name, talk: Talk, digits):
    one = talk(name, of(digits))
    for _ in range(ASKS):
        sample = one.ask()
        assert sample is not None
        one.tell(sample, None)


def test_many_may_be_asked_before_the_first_is_told(name, talk: Talk, digits):
    one = talk(name, of(digits))
    samples = [one.ask() for _ in range(ASKS)]
    assert len({digits.decode(sample).key for sample in samples if sample}) == ASKS
    for sample in samples:
        assert sample is not None
        one.tell(sample, score(sample))
    assert one.ask() is not None


# Repeating


def test_a_seed_repeats_a_conversation_and_another_does_not(name, talk: Talk, digits):
    first, again, other = (converse(talk(name, of(digits), seed=seed), ASKS) for seed in (5, 5, 6))
    assert again == first
    assert {digits.decode(s).key for s in asked(other)} != {digits.decode(s).key for s in asked(first)}


def test_what_is_told_matters(name, talk: Talk, digits):
    """Where it does not, replaying a journal would prove nothing."""

    def conversation(sign: int) -> list[dict[str, Any]]:
        one, samples = talk(name, of(digits)), []
        for _ in range(ASKS):
            samples.append(one.ask())
            one.tell(samples[-1], sign * score(samples[-1]))
        return samples

    assert (conversation(1) == conversation(-1)) == (name == "random")


def test_replayed_to_any_point_it_goes_on_as_it_did(name, talk: Talk, digits):
    events = converse(talk(name, of(digits)), ASKS)
    for cut in range(1, len(events), 13):
        one = talk(name, of(digits))
        for kind, sample, metric in events[:cut]:
            if kind == "asked":
                assert one.ask() == sample
            else:
                one.tell(sample, metric)
        for sample in asked(events[:cut]):  # as the tuner does, in case a recorded conversation differs
            one.exclude(sample)
        for kind, sample, metric in events[cut:]:
            if kind == "asked":
                assert one.ask() == sample
            else:
                one.tell(sample, metric)


def test_nothing_happens_between_two_asks(name, talk: Talk):
    """A strategy that drew its next sample at once might draw a network just proposed."""
    asking, outside = threading.Event(), []

    def key(sample: dict[str, Any]) -> Any:
        if threading.current_thread() is threading.main_thread():
            time.sleep(0.01)  # time enough for the strategy to go on, if it did
        return sample["a"] // 2

    def refuse(sample: dict[str, Any]) -> None:
        if not asking.is_set():
            outside.append(sample)

    one = talk(name, {"a": tuple(range(16)), "b": (0, 1)}, key=key, refuse=refuse)
    networks = []
    for _ in range(8):
        asking.set()
        sample = one.ask()
        asking.clear()
        assert sample is not None
        networks.append(sample["a"] // 2)
        one.tell(sample, 0.5)
    assert sorted(networks) == list(range(8))
    assert outside == []


# Learning


LETTERS = {f"choice{index}": ("w", "x", "y", "z") for index in range(10)}


def separable(sample: Mapping[str, str]) -> float:
    """0 to 1: how far each letter is in its list. The mean of uniform samples is 1/2."""
    return sum("wxyz".index(letter) for letter in sample.values()) / 30


def rewards(one: AskTell, asks: int) -> list[float]:
    found = []
    for _ in range(asks):
        sample = one.ask()
        assert sample is not None
        found.append(separable(sample))
        one.tell(sample, found[-1])
    return found


SEEDS = range(6)


@pytest.mark.parametrize("learner", [name for name in STRATEGIES if name != "random"])
def test_a_learner_improves_on_random(learner, talk: Talk):
    """A uniform letter has mean 1/2 and standard deviation sqrt(1.25) / 3 = 0.37, ten of them 0.118, and the
    last 20 samples of 6 seeds 0.118 / sqrt(120) = 0.011: 0.08 above 1/2 is no luck."""
    last = [reward for seed in SEEDS for reward in rewards(talk(learner, LETTERS, seed), 60)[-20:]]
    assert np.mean(last) > 0.58


def test_evolution_finds_better_than_random(talk: Talk):
    found = {
        name: np.mean([max(rewards(talk(name, LETTERS, seed), 100)) for seed in SEEDS])
        for name in ("random", "evolution")
    }
    assert found["evolution"] > found["random"] + 0.03


def test_a_failure_is_no_member_of_the_population():
    """Until 4 have a result, evolution draws at random, here some 22 of 30 letters apart; then it mutates 1 in 10."""
    choices = {f"choice{index}": ("w", "x", "y", "z") for index in range(30)}
    options = {"population_size": 4, "sample_size": 2, "mutation_prob": 0.1}
    one = AskTell(View(choices), make("evolution", options, seed=0), seed=0)
    population: list[dict[str, Any]] = []
    apart = []
    for metric in (None, None, None, None, None, 0.5, 0.6, 0.7, 0.8, 0.9):
        sample = one.ask()
        assert sample is not None
        if population:
            apart.append(min(sum(sample[key] != other[key] for key in choices) for other in population))
        if metric is not None:
            population.append(sample)
        one.tell(sample, metric)
    one.close()
    assert min(apart[:3]) > 12
    assert apart[3] < 9


@pytest.mark.parametrize("name", ["model", "evolution"])
@pytest.mark.parametrize("flying", [1, 5])
def test_a_resumed_search_proposes_nothing_again(name, flying, monkeypatch):
    """Failures at the beginning leave the population smaller than what was proposed."""
    choices = {f"choice{index}": ("w", "x", "y", "z") for index in range(8)}
    options = {"population_size": 6, "sample_size": 2} if name == "evolution" else {}

    def begun() -> AskTell:
        return AskTell(View(choices), make(name, options, seed=3), seed=3)

    undisturbed = begun()
    asked, told, numbers = [], [], iter(range(100))
    for _ in range(25):
        asked.append(undisturbed.ask())
        if len(asked) - len(told) > flying:
            number = next(numbers)
            told.append((asked[number], None if number < 4 else number % 7 / 10))
            undisturbed.tell(*told[-1])
    with monkeypatch.context() as patch:
        patch.setattr(AskTell, "ask", lambda self: pytest.fail("it proposed again"))
        resumed = begun()
        for number, sample in enumerate(asked):
            assert resumed.ask_again(sample)
            if number >= flying:
                resumed.tell(*told[number - flying])
    assert [resumed.ask() for _ in range(5)] == [undisturbed.ask() for _ in range(5)]
    undisturbed.close()
    resumed.close()


def test_random_is_uniform(talk: Talk):
    """Each letter a quarter of 6 x 100 x 10 times: 1500, standard deviation 34 (five of them allowed)."""
    letters: list[str] = []
    for seed in SEEDS:
        one = talk("random", LETTERS, seed)
        for _ in range(100):
            sample = one.ask()
            assert sample is not None
            letters += sample.values()
    assert all(abs(letters.count(letter) - 1500) < 170 for letter in "wxyz")


# Errors and ends


def test_a_strategy_that_fails_says_so_at_every_ask():
    class Broken(Strategy):
        def _run(self) -> None:
            raise ZeroDivisionError("no population")

    one = AskTell(View({"a": (1, 2)}), Broken(), seed=0)
    for _ in range(2):
        with pytest.raises(NasError, match=r"^the strategy failed: ZeroDivisionError: no population$"):
            one.ask()
    one.close()


def test_what_nni_refuses_is_one_sentence(name):
    with pytest.raises(NasError, match=rf"^strategy {name}: .+; found {{}}$"):
        make(name, {}, seed=-1)


def test_close_ends_the_thread(name, talk: Talk):
    before = threading.active_count()
    one = talk(name, {"a": (1, 2, 3)})
    one.tell(one.ask() or {}, 0.5)
    assert threading.active_count() == before + 1
    one.close()
    one.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("first", ["nni", "nni.runtime.msg_dispatcher, nas.search.tuner", "nas.search.tuner"])
def test_strategies_are_imported_whoever_imported_nni_first(first):
    """NNI's dispatcher imports nni before our tuner, in an environment where nobody has set anything."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("NNI_")}
    words = [sys.executable, "-W", "ignore", "-c", f"import {first}, nas.search.strategies"]
    done = subprocess.run(words, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
