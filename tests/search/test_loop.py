"""nas.Search: the whole of its interface, for every strategy."""

import json
import math
import os
from typing import Any

import numpy as np
import pytest

import nas
from nas import NasError, Search, SearchSpace
from nas.search.strategies import STRATEGIES

CHOICES = {"a": (1, 2, 3, 4), "b": ("x", "y", "z"), "c": (False, True), "d": (1, 2, 3)}


def cost(sample: dict[str, Any]) -> float:
    return 1e6 * sample["a"] * sample["d"]


def same(sample: dict[str, Any]) -> str:
    """`c` does nothing where b is x: of 72 samples 12 networks have b = x, and 48 another b."""
    return f"{sample['a']} {sample['b']} {sample['d']} {sample['c'] if sample['b'] != 'x' else '-'}"


def accuracy(sample: dict[str, Any]) -> float:
    return 0.5 + 0.05 * sample["a"] + 0.02 * "xyz".index(sample["b"]) + 0.01 * sample["d"] * sample["c"]


@pytest.fixture(params=STRATEGIES)
def strategy(request: pytest.FixtureRequest) -> str:
    return request.param


def search(strategy: Any = "model", **changes: Any) -> Search:
    return Search(CHOICES, strategy, **{"cost": cost, "canonical": same} | changes)


def test_every_network_is_asked_once_and_then_none(strategy):
    one = search(strategy)
    keys, sample = [], one.ask()
    while sample is not None:
        keys.append(same(sample))
        one.tell(sample, accuracy(sample))
        sample = one.ask()
    assert len(keys) == len(set(keys)) == 12 + 48
    best = max(nas.reward(accuracy(t.sample), cost(t.sample), 4e6) for t in one.trials)
    assert one.best.reward == pytest.approx(best)  # 4e6 is the median of 1e6 * a * d


def test_it_is_saved_and_goes_on_at_any_point(strategy, tmp_path):
    rng = np.random.default_rng(0)
    one, flying, path = search(strategy, seed=4), [], tmp_path / "search.json"
    for step in range(24):
        if step % 3 == 2:
            sample = flying.pop(rng.integers(len(flying)))
            one.tell(sample, failed="out of memory") if step == 5 else one.tell(sample, accuracy(sample))
        else:
            flying.append(one.ask())
        if step % 7 == 6:
            one.save(path)
            again = Search.load(path)
            assert again.trials == one.trials
            assert again.best == one.best
            first, second = one.ask(), again.ask()
            assert first == second
            flying.append(first)
            one.close()
            one = again


def test_samples_never_asked_may_be_told(strategy):
    one = search(strategy)
    told = {"a": 4, "b": "z", "c": True, "d": 1}
    one.tell(told, 0.9)
    assert one.best.sample == told
    asked = [one.ask() for _ in range(20)]
    assert same(told) not in {same(sample) for sample in asked}
    assert [trial.state for trial in one.trials] == ["complete"] + ["running"] * 20


def test_the_model_learns_from_what_it_did_not_ask():
    """Told 30 results of another search, it goes where they point at once."""
    one = Search({f"c{i}": (0, 1, 2, 3) for i in range(8)})
    rng = np.random.default_rng(0)
    for _ in range(30):
        sample = {f"c{i}": int(rng.integers(4)) for i in range(8)}
        one.tell(sample, 0.5 + 0.015 * sum(sample.values()))
    assert sum(one.ask().values()) >= 20  # of 24; a random one has 12


@pytest.mark.parametrize("value", [None, math.nan])
def test_no_accuracy_is_a_failure(value):
    one = search()
    sample = one.ask()
    one.tell(sample, value)
    assert one.trials[0].state == "failed"
    assert one.best is None


def test_numpys_numbers_are_numbers(tmp_path):
    one = search()
    one.tell(one.ask(), np.float32(0.5), macs=np.int64(2_000_000))
    one.save(tmp_path / "s.json")
    assert Search.load(tmp_path / "s.json").best == one.best


def test_rewards_are_those_of_the_form():
    for form, w in (("soft", -0.07), ("hard", -0.07), ((0.0, -0.2), -0.07)):
        one = search(target="3M", form=form, w=w)
        sample = {"a": 4, "b": "y", "c": True, "d": 2}
        one.tell(sample, 0.8)
        assert one.best.reward == nas.reward(0.8, 8e6, 3e6, w, form)
        assert one.best.macs == 8_000_000
        one.tell(sample, 0.9, macs=2e6)  # measured otherwise than computed
        assert one.best.reward == nas.reward(0.9, 2e6, 3e6, w, form)


def test_costs_need_not_be_whole_numbers():
    """In billions: the median of a * d / 1000 is 0.004, not 0."""
    one = search(cost=lambda sample: sample["a"] * sample["d"] / 1000, form="hard")
    one.tell({"a": 4, "b": "y", "c": True, "d": 3}, 0.8)
    assert one.best.reward == pytest.approx(0.8 * 0.004 / 0.012)


def test_nothing_over_a_limit_is_asked(strategy):
    one = search(strategy, limit="4M")
    samples = []
    while (sample := one.ask()) is not None:
        samples.append(sample)
        one.tell(sample, accuracy(sample))
    assert max(map(cost, samples)) == 4e6
    assert len(samples) == 35  # a * d <= 4: (1, 1..3), (2, 1..2), (3, 1), (4, 1): 7 pairs of 5


def test_a_space_needs_nothing_but_itself(tmp_path):
    space = SearchSpace.load("digits")
    one = Search(space, limit={"macs": "1M", "params": 100_000})
    for _ in range(6):
        sample = one.ask()
        arch = space.decode(sample)
        assert arch.macs <= 1_000_000
        assert arch.params <= 100_000
        one.tell(sample, 0.9)
    assert one.best.key == space.decode(one.best.sample).key
    one.save(tmp_path / "s.json")
    assert Search.load(tmp_path / "s.json").ask() == one.ask()


def test_values_come_back_as_they_were(tmp_path):
    one = Search({"op": (("mbconv", 3), ("mbconv", 6), None), "x": (1, 1.5)})
    for _ in range(3):
        one.tell(one.ask(), 0.5)
    one.save(tmp_path / "s.json")
    again = Search.load(tmp_path / "s.json")
    assert again.trials == one.trials
    assert json.loads((tmp_path / "s.json").read_text())["b0nas search"] == 1


def test_a_large_space_wants_its_functions_again(tmp_path):
    choices = {f"c{i}": (1, 2, 3, 4) for i in range(12)}
    one = Search(choices, cost=lambda sample: sum(sample.values()))
    one.tell(one.ask(), 0.5)
    one.save(tmp_path / "s.json")
    with pytest.raises(
        NasError, match=r"saved with a function cost; give it again: Search.load\(path, cost=...\)$"
    ):
        Search.load(tmp_path / "s.json")
    again = Search.load(tmp_path / "s.json", cost=lambda sample: sum(sample.values()))
    assert again.best == one.best
    assert again.ask() == one.ask()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Search([1, 2]), r"choices is \[1, 2\]; give a SearchSpace or a mapping"),
        (lambda: search("evolutoin"), r"Search: strategy.name is 'evolutoin' \(did you mean 'evolution'\?\)"),
        (lambda: search(form="sof"), "Search: form is 'sof'"),
        (lambda: search(target=0), "Search: target is 0; give multiply-adds over 0"),
        (lambda: search(limit=-5), "Search: limit.macs is -5; give multiply-adds over 0"),
        (lambda: search(limit={"flops": 1}), "Search: limit has flops; allowed: macs, params"),
        (lambda: search(limit={"params": 1}), "Search: limit.params needs a SearchSpace"),
        (lambda: search(cost=None, limit=1), "Search: a limit of multiply-adds needs a cost"),
        (lambda: search(seed=-1), "Search: seed is -1"),
        (lambda: search().tell({"a": 1}, 0.5), "sample: choice 'b' is missing; allowed: x, y, z"),
        (lambda: search().tell({"a": 9, "b": "x", "c": True, "d": 1}, 0.5), "sample: a is 9; allowed: 1, 2, 3, 4"),
        (lambda: search().tell({"aa": 1}, 0.5), r"sample: 'aa' is no choice \(did you mean 'a'\?\)"),
        (lambda: search().tell({"a": 1, "b": "x", "c": True, "d": 1}, 92.5), "accuracy is 92.5; give a fraction"),
        (lambda: search().tell({"a": 1, "b": "x", "c": True, "d": 1}, "x"), "accuracy is 'x'; give a fraction"),
        (lambda: search().tell({"a": 1, "b": "x", "c": True, "d": 1}, 0.5, macs=math.nan), "macs is nan; give"),
        (lambda: Search({"a": [object()]}).save("s.json"), "choice 'a' has the value <object .*, which JSON cannot"),
        (lambda: Search.load("no-such.json"), "no-such.json: cannot be read"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(make, sentence, in_folder):
    with pytest.raises(NasError, match=sentence):
        make()
    assert os.listdir() == []


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"b0nas search": 2}', '{"b0nas search": 1, "choices": 3}', "\0"]
)
def test_a_file_that_is_no_search_is_one_sentence(text, in_folder):
    (in_folder / "s.json").write_text(text)
    with pytest.raises(
        NasError, match=r"^s.json: is no saved search \(.*\); give a file that Search.save wrote$"
    ):
        Search.load("s.json")
