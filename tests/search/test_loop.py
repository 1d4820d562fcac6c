"""nas.Search: the whole of its interface, for every strategy."""

import gc
import json
import math
import os
import threading
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


def test_a_large_space_with_few_admitted_networks_is_asked_for_all_of_them(strategy, tmp_path):
    """45 of 65,536: eight choices of 1 to 4 whose sum is 10 at most."""
    choices = {f"c{i}": (1, 2, 3, 4) for i in range(8)}

    def total(sample):
        return sum(sample.values())

    one, seen = Search(choices, strategy, cost=total, limit=10), []
    while (sample := one.ask()) is not None:
        seen.append(tuple(sample.values()))
        one.tell(sample, 0.5)
        if len(seen) == 44:
            one.save(tmp_path / "s.json")
    assert len(set(seen)) == len(seen) == 45
    again = Search.load(tmp_path / "s.json", cost=total)
    assert tuple(again.ask().values()) == seen[44]
    assert again.ask() is None


def test_threads_may_ask_and_tell(strategy):
    one, asked = search(strategy), []

    def work():
        for _ in range(8):
            sample = one.ask()
            asked.append(same(sample))
            one.tell(sample, accuracy(sample))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(asked)) == len(asked) == 32
    assert [trial.state for trial in one.trials] == ["complete"] * 32


def test_a_search_that_is_forgotten_leaves_no_thread():
    before = threading.active_count()
    for _ in range(5):
        search().ask()
    with search() as one:
        one.ask()
    gc.collect()
    assert threading.active_count() <= before + 1  # the last one's, until it has ended


def test_the_model_believes_the_last_result():
    one, other = search(), search()
    sample = one.ask()
    assert other.ask() == sample
    one.tell(sample, failed="out of memory")
    for each in (one, other):
        each.tell(sample, 0.9)
    assert [trial.state for trial in one.trials] == ["failed", "complete"]
    assert one.ask() == other.ask()


def test_a_cost_of_ones_own_keeps_the_spaces_tables():
    """A latency instead of multiply-adds: keys and the model's features are the space's still."""
    space, calls = SearchSpace.load("mnasnet"), []

    def latency(sample):
        calls.append(1)
        return space.decode(sample).macs ** 0.5

    one = Search(space, cost=latency, limit=20_000, target=18_000, form="hard")
    for _ in range(5):
        sample = one.ask()
        assert latency(sample) <= 20_000
        one.tell(sample, 0.7)
    assert one.best.macs == pytest.approx(latency(one.best.sample))
    assert len({space.decode(trial.sample).key for trial in one.trials}) == 5


def test_the_default_target_is_the_median_within_the_limit():
    for choices in (7, 9):  # enumerable, and not
        space = {f"c{i}": (1, 2, 3, 4) for i in range(choices)}
        for limit in (None, 12.0):
            one = Search(space, cost=lambda sample: sum(sample.values()), limit=limit, form="hard")
            expected = min(2.5 * choices, limit or 99)
            sample = dict.fromkeys(space, 4)
            one.tell(sample, 0.5)
            assert one.best.reward == pytest.approx(0.5 * expected / (4 * choices), rel=0.03)


def closed():
    one = search()
    one.close()
    return one


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
        (lambda: Search({"a": [math.inf, 1]}).save("s.json"), "choice 'a' has the value inf, which JSON cannot"),
        (lambda: Search({}), "choices is empty; give at least one"),
        (lambda: Search({"op": "conv"}), r"choice 'op' is 'conv'; give a list of its values, such as \[3, 5\]"),
        (lambda: Search({"d": 3}), "choice 'd' is 3; give a list"),
        (lambda: Search({1: [1, 2]}), "choice 1 is no name; give a text"),
        (lambda: Search({"a": [[1, 2], [3]]}), r"choice 'a' has the value \[1, 2\], which is not hashable"),
        (lambda: search(canonical=lambda s: [1]).ask(), r"the canonical key of .* is \[1\], which is not hashable"),
        (lambda: search(canonical="key"), "Search: canonical is 'key'; give a function of a sample"),
        (lambda: search(cost=3), "Search: cost is 3; give a function of a sample"),
        (lambda: search(cost=lambda s: None), "the cost of .* is nan; give multiply-adds over 0"),
        (lambda: search(seed=None), "Search: seed is None; give a whole number from 0"),
        (lambda: search(seed=3.0), "Search: seed is 3.0; give a whole number from 0"),
        (lambda: Search({"a": [1, 2]}, strategy=None), "Search: strategy is None; give a name, such as 'model'"),
        (lambda: search().tell(None, 0.5), "sample is None; give a mapping with one value for each choice"),
        (lambda: search().tell({"a": 1, "b": "x", "c": True, "d": 1}, 0.5, failed=False), "failed is False; give the"),
        (lambda: search(limit=5), "Search: a limit of macs 5 leaves nothing .*; the least macs found are 1,000,000"),
        (lambda: Search(SearchSpace.load("digits"), limit=5), "Search: a limit of macs 5 leaves nothing to propose"),
        (lambda: closed().ask(), "this search was closed; save it before, and load it"),
        (lambda: Search.load("no-such.json"), "no-such.json: cannot be read"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(make, sentence, in_folder):
    with pytest.raises(NasError, match=sentence):
        make()
    assert os.listdir() == []


@pytest.mark.parametrize(
    "text",
    [
        '{"b0nas search": 1, "choices": {}, "given": {}, "events": [], "settings": {}}',
        "",
        "{}",
        "[]",
        '{"b0nas search": 2}',
        '{"b0nas search": 1, "choices": 3}',
        "\0",
    ],
)
def test_a_file_that_is_no_search_is_one_sentence(text, in_folder):
    (in_folder / "s.json").write_text(text)
    with pytest.raises(
        NasError,
        match=r"^s.json(: is no saved search|, line 1: not JSON) \(.*\); give a file that Search.save wrote$",
    ):
        Search.load("s.json")


SAVED = {
    "b0nas search": 1,
    "settings": {
        "strategy": "random", "reward": {"form": "soft", "w": -0.07, "target": 10.0}, "seed": 0, "limits": {},
    },
    "given": {"cost": True, "canonical": False},
    "choices": {"a": [1, 2], "b": [3, "x"]},
    "macs": [1.0, 2.0, 3.0, 4.0],
    "events": [["ask", [0, 1]], ["tell", [0, 1], 0.5, None, None]],
}  # fmt: skip


def test_the_saved_search_that_the_mistakes_are_made_in_is_good(in_folder):
    (in_folder / "s.json").write_text(json.dumps(SAVED))
    with Search.load("s.json") as search:
        assert [trial.accuracy for trial in search.trials] == [0.5]


@pytest.mark.parametrize(
    "changes",
    [
        {"events": [["tell", [0, 1], 0.5]]},  # too short for tell(...)
        {"events": [["tell", [0, 1], 0.5, None, None, None]]},
        {"events": [["asked", [0, 1]]]},
        {"events": [["ask", [0, -1]]]},  # counted from the end, it would be another sample
        {"events": [["ask", [0, 10**30]]]},
        {"events": [["ask", [0.5, 1]]]},
        {"events": [["ask"]]},
        {"events": 3},
        {"given": {}},
        {"macs": [1.0]},
        {
            "choices": {f"c{number}": list(range(9)) for number in range(99)}
        },  # macs of 9^99 samples would be listed
        {"settings": {}},
    ],
)
def test_a_saved_search_that_was_changed_is_one_sentence(changes, in_folder):
    (in_folder / "s.json").write_text(json.dumps(SAVED | changes))
    with pytest.raises(
        NasError, match=r"^s.json: is no saved search \(.*\); give a file that Search.save wrote$"
    ):
        Search.load("s.json")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"b0nas search": ' + "9" * 5000 + "}", "[NaN]"])
def test_a_saved_search_of_endless_depth_or_numbers(text, in_folder):
    (in_folder / "s.json").write_text(text)
    with pytest.raises(NasError, match=r"^s.json: .*; give a file that Search.save wrote$"):
        Search.load("s.json")
