"""The model of accuracy, and what it makes of results: each claim against an independent computation."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from nas.search.guide import KEEP, Guide, Warp
from nas.search.surrogate import Features, Process, _grams
from nas.search.view import View

RNG = np.random.default_rng(0)


def process_with(weights: list[float], groups: int) -> Process:
    process = Process(groups)
    process.weights = np.log(weights)
    return process


def test_predictions_are_scikit_learns():
    """k = 1 + a <x, x'> + b exp(-r |x - x'|^2 / 2), written in another library's kernels."""
    x, more = RNG.normal(size=(12, 3)), RNG.normal(size=(7, 3))
    y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2]
    y = (y - y.mean()) / y.std()
    a, b, r, noise = 0.4, 0.9, 0.5, 0.03
    kernel = (
        ConstantKernel(1.0) + ConstantKernel(a) * DotProduct(1e-9) + ConstantKernel(b) * RBF(1 / np.sqrt(r))
        + WhiteKernel(noise)
    )  # fmt: skip
    theirs = GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-8).fit(x, y)
    mean, deviation = theirs.predict(more, return_std=True)
    ours = process_with([a, b, r, noise], groups=1)
    ours.condition([x], y)
    found = ours.predict([more])
    assert np.allclose(found[0], mean, atol=1e-6)
    assert np.allclose(found[1] ** 2, deviation**2 - noise, atol=1e-6)  # theirs is of an observation


def test_the_gradient_is_that_of_the_loss():
    features = [RNG.normal(size=(9, 2)), RNG.normal(size=(9, 4))]
    process, y = Process(groups=2), RNG.normal(size=9)
    grams = _grams(features, features)
    weights = process.weights + RNG.normal(size=6) * 0.5
    numeric = approx_fprime(weights, lambda w: process._loss(w, *grams, y)[0], 1e-6)
    assert np.allclose(process._loss(weights, *grams, y)[1], numeric, rtol=1e-3, atol=1e-3)


def test_fitting_raises_the_posterior_and_finds_the_group_that_matters():
    noise, signal = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 1))
    process = Process(groups=2)
    before = process.weights.copy()
    y = 2 * signal[:, 0]
    process.fit([noise, signal], y)
    grams, values = _grams([noise, signal], [noise, signal]), (y - y.mean()) / y.std()
    assert process._loss(process.weights, *grams, values)[0] < process._loss(before, *grams, values)[0]
    assert process.weights[1] > process.weights[0] + 2


def test_features_are_centred_and_of_one_size():
    view = View({"a": (1, 2, 3), "b": (1, 2, 3), "c": ("x", "y")}, cost=lambda s: s["a"] ** 2 * s["b"])
    groups = Features(view, seed=0)(view.all_rows())
    for group in groups:
        assert np.allclose(group.mean(0), 0)
        assert (group**2).sum(1).mean() == pytest.approx(1)


def test_without_a_cost_nothing_is_known_of_size():
    view = View({"a": (1, 2, 3), "b": ("x", "y")})
    size, *_, price = Features(view, seed=0)(view.all_rows())
    assert not size.any()
    assert not price.any()


def test_the_warp_keeps_order_and_comes_back():
    accuracies = np.array([0.1, 0.45, 0.7, 0.9, 0.91, 0.92, 0.925, 0.93])
    warp = Warp(accuracies)
    values = warp(accuracies)
    assert (np.diff(values) > 0).all()
    assert values[-1] == 0
    assert np.allclose(warp.back(values), accuracies, atol=1e-6)
    assert 0.93 < warp.back(np.array([1.0]))[0] < warp.back(np.array([3.0]))[0] < 1


def play(guide: Guide, accuracy, n: int) -> list[np.ndarray]:
    rows = []
    for _ in range(n):
        row = next(guide.candidates())
        guide.asked(row)
        guide.told(row, accuracy(row))
        rows.append(row)
    return rows


def test_equal_accuracy_goes_to_the_cheaper():
    """Accuracy is the same everywhere, so that only the exact factor tells candidates apart."""
    view = View(
        {f"c{i}": (1, 2, 4, 8) for i in range(5)},
        cost=lambda sample: float(np.prod(list(sample.values()))),
        factor=lambda macs: macs**-0.07,
    )
    rows = play(Guide(view, 0), lambda row: 0.9, 10)
    assert min(view.macs(np.array(rows))) == 1


def test_failures_are_avoided():
    """A quarter of the space fails, and promises most: 6 of 40 proposals, not 40, go there."""
    view = View({f"c{i}": (0, 1, 2, 3) for i in range(5)})

    def accuracy(row: np.ndarray) -> float | None:
        return None if row[0] == 3 else 0.5 + 0.03 * row.sum()

    rows = play(Guide(view, 1), accuracy, 40)
    assert sum(row[0] == 3 for row in rows) <= 10
    assert max(row.sum() for row in rows if row[0] < 3) >= 13  # of 14


def test_a_trial_in_flight_is_taken_for_what_is_expected_of_it():
    """Beside a trial in flight there is less to be learnt: the next proposal keeps away from it."""
    view = View({"a": tuple(range(200))})
    guide = Guide(view, 0)
    for value, accuracy in ((0, 0.5), (100, 0.5), (199, 0.5)):
        guide.asked(np.array([value]))
        guide.told(np.array([value]), accuracy)
    first = next(guide.candidates())
    guide.asked(first)
    second = next(guide.candidates())
    assert abs(int(first[0]) - int(second[0])) > 5  # without, it would be the next but one


@pytest.mark.parametrize(
    "unit", [lambda a: 100 * a, lambda a: a + 1, lambda a: a - 1, lambda a: 1e-6 * (a - 1)]
)
def test_a_metric_that_is_no_fraction_is_modelled_as_well(unit):
    """Percentages, negative losses: the best of 15,625 is found as it is from accuracies."""
    view = View({f"c{i}": (0, 1, 2, 3, 4) for i in range(6)})
    rows = play(Guide(view, 0), lambda row: unit(0.5 + 0.015 * row.sum()), 40)
    assert max(row.sum() for row in rows) == 24


def test_a_second_result_takes_the_place_of_the_first():
    view = View({f"c{i}": (0, 1, 2, 3) for i in range(4)})
    once, twice = Guide(view, 0), Guide(view, 0)
    for guide in (once, twice):
        play(guide, lambda row: 0.5 + 0.03 * row.sum(), 6)
    row = once.rows[2]
    twice.told(row, None)
    twice.told(row, {r.tobytes(): a for r, a, _ in once.results}[row.tobytes()])
    assert next(once.candidates()).tolist() == next(twice.candidates()).tolist()
    twice.told(row, 0.999)
    assert max(a for _, a, _ in twice.results if a is not None) == 0.999
    assert len(twice.results) == 6


def test_thinking_about_what_has_no_result_has_a_limit():
    """Thousands of stopped trials and of lost workers' are not all conditioned on."""
    view = View({f"c{i}": (0, 1, 2, 3) for i in range(10)})
    guide, rng = Guide(view, 0), np.random.default_rng(0)
    rows = np.unique(view.random_rows(3000, rng), axis=0)
    for number, row in enumerate(rng.permutation(rows)):
        guide.asked(row)
        if number < 20:
            guide.told(row, 0.5 + 0.01 * row.sum())
        elif number % 2:
            guide.told(row, 0.4, stopped=True)
    sizes = []
    condition = Process.condition

    def counted(self, features, y):
        sizes.append(len(y))
        condition(self, features, y)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Process, "condition", counted)
        next(guide.candidates())
    assert max(sizes) == 20 + KEEP


def test_a_lower_bound_lifts_the_expectation_and_no_more():
    """A network stopped at 0.9 where 0.6 was expected makes its neighbours more promising than one at 0.1."""
    view = View({f"c{i}": (0, 1, 2, 3) for i in range(6)})

    def next_after(bound: float) -> int:
        guide = Guide(view, 0)
        play(guide, lambda row: 0.5 + 0.01 * row[:3].sum(), 10)
        row = np.array([0, 0, 0, 3, 3, 3])
        guide.told(row, bound, stopped=True)
        return int((next(guide.candidates())[3:] == 3).sum())

    assert next_after(0.95) > next_after(0.1)


def test_a_proposal_that_is_kept_keeps_no_others():
    guide = Guide(View({"a": tuple(range(20)), "b": tuple(range(20))}), seed=0)
    row = next(guide.candidates())
    assert row.base is None
    assert row.nbytes < 100


def test_asking_changes_nothing():
    view = View({f"c{i}": (0, 1, 2, 3) for i in range(6)})
    guide = Guide(view, 0)
    play(guide, lambda row: 0.5 + 0.02 * row.sum(), 6)
    assert next(guide.candidates()).tolist() == next(guide.candidates()).tolist()
