"""The reward of MnasNet, section 3.1, against values worked by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nas
from nas import NasError
from nas.reward import W, exponent, exponents, only_rescales, reward


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # soft: at T nothing changes; at twice T, 2^-0.07 = 0.952638; at half, 2^0.07 = 1.049717
        ({"accuracy": 0.5, "macs": 400e6}, 0.5),
        ({"accuracy": 0.5, "macs": 800e6}, 0.476319),
        ({"accuracy": 0.5, "macs": 200e6}, 0.524858),
        # B0 at T = 400M: 0.771 x 0.96453688^-0.07 = 0.771 x 1.00253067
        ({"accuracy": 0.771, "macs": 385_814_752}, 0.772951),
        # w = -1: the accuracy divided by macs / T; w = 0: the accuracy alone
        ({"accuracy": 0.6, "macs": 100e6, "w": -1}, 2.4),
        ({"accuracy": 0.6, "macs": 100e6, "w": 0}, 0.6),
        # hard: the accuracy up to T, then acc x T / macs; w is ignored
        ({"accuracy": 0.6, "macs": 400e6, "form": "hard"}, 0.6),
        ({"accuracy": 0.6, "macs": 100e6, "form": "hard", "w": -5}, 0.6),
        ({"accuracy": 0.6, "macs": 600e6, "form": "hard"}, 0.4),
        # (alpha, beta): alpha up to T, beta over it
        ({"accuracy": 0.5, "macs": 100e6, "form": (-0.5, -2)}, 1.0),
        ({"accuracy": 0.5, "macs": 400e6, "form": (-0.5, -2)}, 0.5),
        ({"accuracy": 0.5, "macs": 800e6, "form": (-0.5, -2)}, 0.125),
        ({"accuracy": 0.5, "macs": 800e6, "form": [-0.5, -2]}, 0.125),  # YAML's pair
        ({"accuracy": 0, "macs": 1}, 0.0),
    ],
)
def test_by_hand(arguments, expected):
    assert reward(target=400e6, **arguments) == pytest.approx(expected, abs=5e-7)


def test_it_is_the_public_one():
    assert nas.reward is reward
    assert nas.reward(accuracy=0.77, macs=400e6, target=400e6, w=-0.07) == 0.77


def test_w_is_what_doubling_the_cost_should_buy():
    """5 % relative accuracy: a network of twice the cost and 1.05 times the accuracy is worth the same."""
    assert pytest.approx(0.9526, abs=5e-5) == 2**W
    assert exponent() == pytest.approx(-0.0704, abs=5e-5)
    assert round(exponent(), 2) == W == -0.07
    assert reward(0.5, 1e6, 1e6, exponent()) == pytest.approx(reward(0.525, 2e6, 1e6, exponent()))
    assert exponent(gain=1, cost_ratio=2) == -1
    assert exponent(gain=0) == 0
    # Half the cost for 5 % less accuracy: -ln 0.95 / ln 0.5
    assert exponent(gain=-0.05, cost_ratio=0.5) == pytest.approx(-0.0740, abs=5e-5)


def test_exponents_of_the_forms():
    assert exponents() == (-0.07, -0.07)
    assert exponents(-0.1, "soft") == (-0.1, -0.1)
    assert exponents(-0.1, "hard") == (0, -1)
    assert exponents(-0.1, (-0.2, -0.3)) == (-0.2, -0.3)


def test_only_one_exponent_only_rescales():
    assert only_rescales()
    assert only_rescales(-1.5)
    assert only_rescales(form=(-0.07, -0.07))
    assert not only_rescales(form="hard")
    assert not only_rescales(form=(0, -0.07))


candidates = st.lists(st.tuples(st.floats(0.01, 1), st.integers(10**6, 10**10)), min_size=2, max_size=20)
targets = st.integers(10**6, 10**10)


@given(candidates, targets, st.floats(-1, 0.5))
def test_with_one_exponent_the_winner_is_the_same_for_every_target(networks, target, w):
    """Every reward is the one at another target times one factor, so that no order changes."""
    at_one = [reward(accuracy, macs, 400e6, w) for accuracy, macs in networks]
    at_other = [reward(accuracy, macs, target, w) for accuracy, macs in networks]
    factor = (400e6 / target) ** w
    assert at_other == pytest.approx([factor * one for one in at_one])
    best = max(at_one)
    winner = at_other[at_one.index(best)]
    assert winner == pytest.approx(max(at_other))


def test_with_two_exponents_it_is_not():
    """0.6 at 400M against 0.5 at 200M: hard, the larger wins at T = 400M, the smaller at T = 200M."""
    large, small = (0.6, 400e6), (0.5, 200e6)
    assert reward(*large, 400e6, form="hard") > reward(*small, 400e6, form="hard")
    assert reward(*large, 200e6, form="hard") < reward(*small, 200e6, form="hard")


@given(st.floats(0, 1), st.floats(1, 1e12), st.floats(1, 1e12))
def test_hard_is_accuracy_up_to_the_target_and_divided_over_it(accuracy, macs, target):
    expected = accuracy if macs <= target else accuracy * target / macs
    assert reward(accuracy, macs, target, form="hard") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"accuracy": 77.1}, "accuracy is 77.1; give a fraction from 0 to 1"),
        ({"accuracy": -0.1}, "accuracy is -0.1; give a fraction from 0 to 1"),
        ({"accuracy": math.nan}, "accuracy is nan; give a fraction from 0 to 1"),
        ({"macs": 0}, "macs is 0; give a cost over 0"),
        ({"macs": math.inf}, "macs is inf; give a cost over 0"),
        ({"target": 0}, "target is 0; give a cost over 0, such as 400e6"),
        ({"target": -1}, "target is -1; give a cost over 0, such as 400e6"),
        ({"target": math.nan}, "target is nan; give a cost over 0, such as 400e6"),
        ({"form": "sift"}, "reward form is 'sift'; allowed: soft, hard, or two exponents (alpha, beta)"),
        ({"form": (1, 2, 3)}, "reward form is (1, 2, 3); allowed: soft, hard, or two exponents"),
        ({"form": (-0.07, "x")}, "reward exponent is 'x'; give a finite number, such as -0.07"),
        ({"w": math.inf}, "reward exponent is inf; give a finite number, such as -0.07"),
        ({"w": True}, "reward exponent is True; give a finite number, such as -0.07"),
        (
            {"w": 1e6, "macs": 4e9},
            "the reward of a cost of 4e+09 overflows at target 4e+08 and exponents",
        ),
    ],
)
def test_mistakes_are_one_sentence(arguments, sentence):
    with pytest.raises(NasError) as error:
        reward(**{"accuracy": 0.5, "macs": 400e6, "target": 400e6, **arguments})
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"gain": -1}, "gain is -1; give a relative accuracy over -1, such as 0.05"),
        ({"gain": math.nan}, "gain is nan; give a relative accuracy over -1"),
        ({"cost_ratio": 1}, "cost_ratio is 1; give a ratio over 0 other than 1, such as 2"),
        ({"cost_ratio": 0}, "cost_ratio is 0; give a ratio over 0 other than 1"),
        ({"cost_ratio": math.inf}, "cost_ratio is inf; give a ratio over 0 other than 1"),
    ],
)
def test_mistakes_of_the_exponent(arguments, sentence):
    with pytest.raises(NasError) as error:
        exponent(**arguments)
    assert str(error.value).startswith(sentence)
