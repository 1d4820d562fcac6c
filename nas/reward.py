"""The reward: accuracy weighed against cost, MnasNet section 3.1 (arXiv:1807.11626, equation 2).

    acc * (macs / T) ** w,   w = alpha where macs <= T, else beta

*Soft* has one exponent (alpha = beta = w = -0.07), *hard* is alpha = 0, beta = -1. With one
exponent the target only rescales every reward by T ** -w: the winner is the same for every T.

>>> round(reward(0.77, macs=800e6, target=400e6), 4)
0.7335
>>> reward(0.77, macs=800e6, target=400e6, form="hard")
0.385
"""

import math
from typing import TYPE_CHECKING

from nas.errors import NasError

if TYPE_CHECKING:
    import numpy as np

W = -0.07
"""Doubling the cost should buy about 5 % relative accuracy (MnasNet section 3.1): `exponent()`."""

Form = str | tuple[float, float]


def exponent(gain: float = 0.05, cost_ratio: float = 2.0) -> float:
    """The w at which `cost_ratio` times the cost is worth `gain` relative accuracy.

    MnasNet section 3.1: two networks of equal reward, a * r(l) = a * (1 + gain) * r(cost_ratio * l),
    so w = -ln(1 + gain) / ln(cost_ratio).

    >>> round(exponent(), 4)
    -0.0704

    Raises:
        NasError: for a gain of -1 or less, or a cost ratio that is not over 0 and other than 1.
    """
    if not -1 < gain < math.inf:
        raise NasError(f"gain is {gain}; give a relative accuracy over -1, such as 0.05")
    if not (0 < cost_ratio < math.inf and cost_ratio != 1):
        raise NasError(f"cost_ratio is {cost_ratio}; give a ratio over 0 other than 1, such as 2")
    return -math.log(1 + gain) / math.log(cost_ratio)


def exponents(w: float = W, form: Form = "soft") -> tuple[float, float]:
    """(alpha, beta) of a form: 'soft', 'hard' (which ignores w) or a pair of exponents.

    Raises:
        NasError: for another form, or exponents that are not finite numbers.
    """
    if form == "soft":
        pair = (w, w)
    elif form == "hard":
        pair = (0.0, -1.0)
    elif isinstance(form, tuple | list) and len(form) == 2:
        pair = (form[0], form[1])
    else:
        raise NasError(f"reward form is {form!r}; allowed: soft, hard, or two exponents (alpha, beta)")
    for value in pair:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise NasError(f"reward exponent is {value!r}; give a finite number, such as -0.07")
    return float(pair[0]), float(pair[1])


def only_rescales(w: float = W, form: Form = "soft") -> bool:
    """Whether the target changes no ranking: one exponent on both sides of it."""
    alpha, beta = exponents(w, form)
    return alpha == beta


def reward(accuracy: float, macs: float, target: float, w: float = W, form: Form = "soft") -> float:
    """The reward of a network.

    Args:
        accuracy: fraction in [0, 1].
        macs: multiply-adds of the network, over 0.
        target: multiply-adds T, over 0.
        w: the exponent of the soft form.
        form: 'soft', 'hard' or (alpha, beta).

    Raises:
        NasError: for an accuracy outside [0, 1] (NaN included), macs or target of 0 or less, or
            exponents that no number holds.
    """
    if not 0 <= accuracy <= 1:
        raise NasError(f"accuracy is {accuracy}; give a fraction from 0 to 1")
    if not 0 < macs < math.inf:
        raise NasError(f"macs is {macs}; give a cost over 0")
    if not 0 < target < math.inf:
        raise NasError(f"target is {target}; give a cost over 0, such as 400e6")
    alpha, beta = exponents(w, form)
    try:
        return accuracy * (macs / target) ** (alpha if macs <= target else beta)
    except OverflowError:
        raise NasError(
            f"the reward of a cost of {macs:g} overflows at target {target:g} and exponents "
            f"{alpha:g}, {beta:g}; give exponents nearer to 0, such as -0.07"
        ) from None


def factor(macs: "np.ndarray", target: float, w: float = W, form: Form = "soft") -> "np.ndarray":
    """The reward for each unit of accuracy of many networks: float array, of an array of multiply-adds.

    >>> import numpy as np
    >>> factor(np.array([200e6, 800e6]), target=400e6, form="hard").tolist()
    [1.0, 0.5]
    """
    import numpy as np

    alpha, beta = exponents(w, form)
    ratio = np.asarray(macs, float) / target
    return np.where(ratio <= 1, ratio**alpha, ratio**beta)
