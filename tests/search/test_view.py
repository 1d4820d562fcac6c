"""A space as strategies see it: rows, keys, costs, shares; and the candidates drawn from it."""

import numpy as np
import pytest

from nas import NasError, SearchSpace
from nas.reward import factor
from nas.search.pool import Pool
from nas.search.space_view import SpaceView
from nas.search.view import View


@pytest.mark.parametrize("name", ["digits", "cifar", "mnasnet"])
def test_tables_agree_with_the_architectures(name):
    space = SearchSpace.load(name)
    view = SpaceView(space, {"macs": space.target}, lambda macs: factor(macs, space.target))
    rows = view.random_rows(60, np.random.default_rng(0))
    rows = np.concatenate([rows, *(view.neighbours(row) for row in rows[:3])])
    archs = [space.decode(sample) for sample in view.samples(rows)]
    assert view.macs(rows).tolist() == [arch.macs for arch in archs]
    assert np.allclose(view.sizes_of(rows), np.log([[arch.macs, arch.params] for arch in archs]))
    assert view.admitted(rows).tolist() == [view.refuse(sample) is None for sample in view.samples(rows)]
    written = [arch.key for arch in archs]
    keys = list(view.keys(rows))
    assert len(set(keys)) == len(set(written)) == len(set(zip(keys, written, strict=True)))
    assert len(set(written)) < len(written)  # so that there was something to tell


def test_a_choice_that_changes_nothing_has_equal_shares(tiny):
    """In stage 1 of `tiny` a skip changes nothing in one layer from 8 to 16 channels, and from 8 to 8 it does."""
    view = SpaceView(tiny)
    sample = {
        "stage1.op": "conv", "stage1.kernel": 3, "stage1.skip": "identity", "stage1.channels": 16,
        "stage1.layers": 1, "stage2.expand": 6, "stage2.se": 0.25,
    }  # fmt: skip
    rows = np.array([view.row(sample), view.row({**sample, "stage1.channels": 8})])
    at = sum(view.sizes[: view.labels.index("stage1.skip")])
    assert view.shares(rows)[:, at : at + 2].tolist() == [[0.5, 0.5], [0.0, 1.0]]
    assert view.one_hot(rows)[:, at : at + 2].tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_tables_and_counting_give_the_same_shares(tiny):
    """The tables go stage by stage; an enumerable plain view counts all samples of a network."""
    table = SpaceView(tiny)
    plain = View(tiny.choices, key=lambda sample: tiny.decode(sample).key)
    rows = table.all_rows()
    assert np.allclose(table.shares(rows), plain.shares(rows))
    assert len(set(plain.networks().tolist())) == tiny.size == 112


def test_only_what_is_listed_exists():
    only = [{"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 2, "b": 3}]
    view = View({"a": (1, 2), "b": (1, 2, 3)}, cost=lambda sample: 10.0 * sample["b"], only=only)
    assert view.samples(view.all_rows()) == only
    assert view.refuse({"a": 1, "b": 2}) == "there is no such sample"
    assert view.refuse(only[0]) is None
    pool = Pool(view, lambda rows: [])
    found = [view.sample(row) for row in pool.best(lambda batch: batch.worth, [], np.random.default_rng(0))]
    assert sorted(map(str, found)) == sorted(map(str, only))


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"a": ()}, "choice 'a' has no values; give at least one"),
        ({"a": (1, 2, 1)}, r"choice 'a' has a value twice in \[1, 2, 1\]; give each once"),
    ],
)
def test_impossible_choices_are_one_sentence(choices, sentence):
    with pytest.raises(NasError, match=f"^{sentence}$"):
        View(choices)


@pytest.mark.parametrize("cost", [0, -1, float("nan"), float("inf")])
def test_an_impossible_cost_is_one_sentence(cost):
    view = View({"a": (1, 2)}, cost=lambda sample: cost)
    with pytest.raises(NasError, match=r"^the cost of {'a': 1} is .+; give multiply-adds over 0$"):
        view.macs(view.all_rows())


def test_neighbours_differ_in_one_choice():
    view = View({"a": (1, 2, 3), "b": ("x",), "c": (True, False)})
    near = view.neighbours(np.array([1, 0, 0]))
    assert near.tolist() == [[0, 0, 0], [2, 0, 0], [1, 0, 1]]


# Candidates


def test_the_peak_of_a_large_space_is_climbed():
    """Of 4^20 samples, those nearest to all twos: a random one is off by 20 in the mean, of squares 30."""
    view = View({f"c{index}": (0, 1, 2, 3) for index in range(20)})
    pool = Pool(view, lambda rows: [])
    rows = list(pool.best(lambda batch: -((batch.rows - 2) ** 2).sum(1), [], np.random.default_rng(0)))
    assert rows[0].tolist() == [2] * 20
    assert len({row.tobytes() for row in rows}) == len(rows)


def test_what_was_taken_is_no_candidate(tiny):
    view = SpaceView(tiny)
    pool = Pool(view, lambda rows: [])
    everything = list(pool.best(lambda batch: batch.worth, [], np.random.default_rng(0)))
    assert len(everything) == 112
    for row in everything[:100]:
        pool.take(row)
    assert len(list(pool.best(lambda batch: batch.worth, [], np.random.default_rng(0)))) == 12


def test_a_limit_that_one_in_thousands_meets_leaves_candidates():
    space = SearchSpace.load("mnasnet")
    limit = 60_000_000  # the least is 46,027,192; of uniform samples hardly one in 100,000 is below
    view = SpaceView(space, {"macs": limit})
    assert view.admitted(view.random_rows(20_000, np.random.default_rng(1))).sum() < 10
    rows = list(Pool(view, lambda rows: []).best(lambda batch: batch.worth, [], np.random.default_rng(0)))
    assert len(rows) > 20
    assert all(view.macs(np.array(rows)) <= limit)
