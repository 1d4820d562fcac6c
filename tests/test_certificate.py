"""Certificates: intervals that hold together, and what is said of them."""

import numpy as np
import pytest

from nas.certificate import contrasts, image_reach
from nas.errors import NasError


def test_dunnetts_own_example():
    """Blood counts of animals under two drugs and none (Dunnett 1955, section 6): of the two, B alone is told from
    the control, at 95 % together."""
    control = np.array([7.40, 8.50, 7.20, 8.24, 9.84, 8.32])
    drugs = {"A": np.array([9.76, 8.80, 7.68, 9.36]), "B": np.array([12.80, 9.68, 12.16, 9.20, 10.55])}
    first, second = contrasts(control, drugs)
    assert -first.margin == pytest.approx(0.65, abs=0.01)
    assert -second.margin == pytest.approx(2.63, abs=0.01)
    assert not first.distinguishable
    assert second.distinguishable
    assert second.margin < 0
    assert (first.n, second.n) == ((6, 4), (6, 5))
    assert first.high - first.low == pytest.approx(3.8, abs=0.3)


def test_what_is_said():
    rng = np.random.default_rng(0)
    winner = 0.9 + rng.normal(0, 0.002, 5)
    rivals = {"b0": winner - 0.03, "runner-up": winner + rng.normal(0, 0.002, 5), "a1": winner + 0.03}
    worse, same, better = contrasts(winner, rivals)
    assert worse.words.startswith("better than b0: +3.00 points (+")
    assert same.words.startswith("not distinguishable from runner-up: ")
    assert better.words.startswith("worse than a1: -3.00 points (-")
    assert contrasts(winner, {}) == []
    assert contrasts(winner, rivals) == contrasts(winner, rivals)


def test_many_rivals_widen_every_interval():
    rng = np.random.default_rng(1)
    spread = rng.normal(0, 0.01, 5)  # of each of them, so that the pooled one stays
    winner, rivals = 0.9 + spread, {str(n): 0.8 + n / 100 + spread for n in range(10)}
    one, many = contrasts(winner, {"0": rivals["0"]})[0], contrasts(winner, rivals)[0]
    assert many.high - many.low > 1.1 * (one.high - one.low)
    assert many.margin == one.margin


@pytest.mark.parametrize(
    ("winner", "rivals", "sentence"),
    [
        (
            [0.9, 0.9],
            {"b": [0.8, 0.8, 0.8]},
            "the winner has 2 test accuracies; train it with 3 seeds or more",
        ),
        ([0.9, 0.91, 0.9], {"b": [0.8]}, "b has 1 test accuracies"),
    ],
)
def test_too_little_to_compare_is_one_sentence(winner, rivals, sentence):
    with pytest.raises(NasError) as caught:
        contrasts(np.array(winner), {name: np.array(values) for name, values in rivals.items()})
    assert sentence in str(caught.value)


def test_networks_that_are_all_alike_are_not_told_apart():
    same = np.full(3, 0.9)
    (one,) = contrasts(same, {"b": same})
    assert (one.margin, one.low, one.high, one.distinguishable) == (0, 0, 0, False)
    (one,) = contrasts(same, {"b": same - 0.01}, {"b": 0.02})
    assert (one.low, one.high) == (pytest.approx(-0.01), pytest.approx(0.03))
    assert not one.distinguishable


def test_the_reach_of_the_images_is_that_of_a_mean_and_widens_the_interval():
    rng = np.random.default_rng(0)
    hits, other = rng.random((2, 1, 400)) < 0.9
    weights = np.full(400, 1 / 400)
    error = np.std(hits[0].astype(float) - other[0]) / np.sqrt(400)
    assert image_reach(hits, other, weights, 1) == pytest.approx(1.96 * error, rel=1e-3)
    assert image_reach(hits, other, weights, 5) == pytest.approx(2.576 * error, rel=1e-3)
    assert image_reach(hits, hits, weights, 5) == 0
    winner, rival = rng.normal(0.9, 0.001, 3), rng.normal(0.89, 0.001, 3)
    (narrow,), (wide,) = contrasts(winner, {"b": rival}), contrasts(winner, {"b": rival}, {"b": 0.05})
    assert narrow.distinguishable
    assert not wide.distinguishable
    assert wide.high - wide.margin == pytest.approx(np.hypot(narrow.high - narrow.margin, 0.05))


@pytest.mark.parametrize("n", [300, 2000])
def test_networks_that_like_other_images_are_not_told_apart(n):
    """Six networks equal over all images, each with easy and hard ones of its own: few of 150 tests may tell any."""
    rng, told = np.random.default_rng(n), 0
    for _ in range(150):
        easy = 1 / (1 + np.exp(-(2.5 + 1.0 * rng.normal(size=(1, 1, n)) + 1.0 * rng.normal(size=(6, 1, n)))))
        hits = rng.random((6, 3, n)) < easy
        weights = np.full(n, 1 / n)
        reach = {str(k): image_reach(hits[0], hits[k], weights, 5) for k in range(1, 6)}
        values = hits.mean(axis=2)
        found = contrasts(values[0], {str(k): values[k] for k in range(1, 6)}, reach)
        told += any(one.distinguishable for one in found)
    assert told <= 15
