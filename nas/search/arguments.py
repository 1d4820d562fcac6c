"""The arguments of `nas.Search`, checked: each mistake is one sentence.

>>> positive("400M", "target")
400000000.0
>>> fraction(float("nan")) is None
True
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np

from nas.errors import NasError, listed, near, short
from nas.reading import validate
from nas.search.settings import RewardSettings
from nas.search.space_view import SpaceView
from nas.search.view import Sample, View
from nas.space import SearchSpace


def fraction(accuracy: Any) -> float | None:
    """An accuracy; None where there is none or it is NaN.

    Raises:
        NasError: for what is no fraction in [0, 1].
    """
    if accuracy is None:
        return None
    if isinstance(accuracy, bool) or not isinstance(accuracy, int | float | np.number):
        raise NasError(f"accuracy is {short(accuracy)}; give a fraction from 0 to 1")
    if math.isnan(accuracy):
        return None
    if not 0 <= accuracy <= 1:
        raise NasError(f"accuracy is {accuracy}; give a fraction from 0 to 1")
    return float(accuracy)


def valid_sample(view: View, sample: Mapping[str, Any]) -> Sample:
    """`sample` with the very values of the lists.

    Raises:
        NasError: for an unknown, missing or illegal choice.
    """
    found: Sample = {}
    for label in sample:
        if label not in view.choices:
            raise NasError(
                f"sample: {label!r} is no choice{near(label, view.labels)}; "
                f"the choices are {listed(view.labels)}"
            )
    for label, values in view.choices.items():
        if label not in sample:
            raise NasError(f"sample: choice {label!r} is missing; allowed: {listed(values)}")
        value = sample[label]
        if value not in values:
            raise NasError(f"sample: {label} is {value!r}; allowed: {listed(values)}")
        found[label] = values[values.index(value)]
    return found


def positive(value: Any, name: str) -> float:
    """A number over 0; text such as '400M' is read as in search.yml."""
    if isinstance(value, str):
        value = validate(RewardSettings, {"target": value}, "Search").target
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < math.inf:
        raise NasError(f"Search: {name} is {value!r}; give multiply-adds over 0, such as 400e6 or '400M'")
    return float(value)


def whole(value: float | None) -> Any:
    """An int where it is one."""
    return int(value) if value is not None and float(value).is_integer() else value


def view_of_search(
    choices: SearchSpace | Mapping[str, Iterable[Any]],
    cost: Callable[[Sample], float] | None,
    canonical: Callable[[Sample], Hashable] | None,
    limits: Mapping[str, float],
) -> View:
    """The view of a search: a space's own tables, unless cost or key are the user's."""
    if isinstance(choices, SearchSpace):
        if cost is None and canonical is None:
            return SpaceView(choices, limits)
        space = choices
        cost = cost or (lambda sample: space.decode(sample).macs)
        canonical = canonical or (lambda sample: space.decode(sample).key)
        choices = space.choices
    if "params" in limits:
        raise NasError("Search: limit.params needs a SearchSpace and its own cost; give macs")
    if "macs" not in limits:
        return View(choices, cost, canonical)
    if cost is None:
        raise NasError("Search: a limit of multiply-adds needs a cost; give cost=")
    most, price = limits["macs"], cost

    def refuse(sample: Sample) -> str | None:
        found = price(sample)
        return None if found <= most else f"macs {found:,} is over the limit of {most:,}"

    return View(choices, cost, canonical, refuse)
