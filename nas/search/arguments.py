"""The arguments of `nas.Search`, checked: each mistake is one sentence.

>>> positive("400M", "target")
400000000.0
>>> fraction(float("nan")) is None
True
"""

import contextlib
import logging
import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np

from nas.errors import NasError, listed, near, short
from nas.reading import number
from nas.reward import reward
from nas.search.reach import cheapest, walk
from nas.search.rewarding import DRAWS, RewardSettings
from nas.search.space_view import SpaceView
from nas.search.view import Sample, View
from nas.space import SearchSpace

MEDIAN_OF = 4096
"""Random samples of whose multiply-adds the median is the default target."""


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


def reason(failed: Any) -> str | None:
    """Why a trial failed, or None where it did not.

    Raises:
        NasError: for what is no text.
    """
    if failed is None or (isinstance(failed, str) and failed.strip()):
        return failed
    raise NasError(f"failed is {short(failed)}; give the reason as a text, or leave it out")


def plain_choices(choices: Any) -> dict[str, tuple[Any, ...]]:
    """`{name: [values]}`, its lists as tuples.

    Raises:
        NasError: for another shape, or values that are not hashable.
    """
    if not isinstance(choices, Mapping):
        raise NasError(f"choices is {short(choices)}; give a SearchSpace or a mapping {{name: [values]}}")
    if not choices:
        raise NasError("choices is empty; give at least one {name: [values]}")
    found = {}
    for label, values in choices.items():
        if not isinstance(label, str):
            raise NasError(f"choice {label!r} is no name; give a text, such as 'depth'")
        if not label or "/" in label:
            raise NasError(
                f"choice {label!r} is no name that NNI takes; give a text without '/', such as 'depth'"
            )
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise NasError(f"choice {label!r} is {short(values)}; give a list of its values, such as [3, 5]")
        found[label] = tuple(values)
        for value in found[label]:
            try:
                hash(value)
            except TypeError:
                raise NasError(
                    f"choice {label!r} has the value {short(value)}, which is not hashable; use numbers, texts or "
                    "tuples of them"
                ) from None
    return found


def valid_sample(view: View, sample: Mapping[str, Any]) -> Sample:
    """`sample` with the very values of the lists.

    Raises:
        NasError: for an unknown, missing or illegal choice.
    """
    if not isinstance(sample, Mapping):
        raise NasError(
            f"sample is {short(sample)}; give a mapping with one value for each choice, as `ask` does"
        )
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
        with contextlib.suppress(ValueError):
            value = number(value)
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
    for name, function in (("cost", cost), ("canonical", canonical)):
        if function is not None and not callable(function):
            raise NasError(f"Search: {name} is {short(function)}; give a function of a sample")
    if isinstance(choices, SearchSpace):
        if canonical is None:
            return SpaceView(choices, limits, cost=cost)
        space = choices
        cost = cost or (lambda sample: space.decode(sample).macs)
        choices = space.choices
    if "params" in limits:
        raise NasError("Search: limit.params needs a SearchSpace and its own cost; give macs")
    if "macs" in limits and cost is None:
        raise NasError("Search: a limit of multiply-adds needs a cost; give cost=")
    return View(plain_choices(choices), cost, canonical, most=limits.get("macs", math.inf))


def median_cost(view: View, most: float) -> float:
    """The median of all samples, or of random ones of a large space; at most `most`."""
    rows = view.all_rows() if view.enumerable else view.random_rows(MEDIAN_OF, np.random.default_rng(0))
    return min(float(np.median(view.macs(rows))), most)


def worth_of(accuracy: float, macs: float | None, target: float | None, settings: RewardSettings) -> float:
    """The reward of an accuracy; the accuracy itself where no target is asked for and no macs are known.

    Raises:
        NasError: where there is a target and nothing to compare with it, or the other way round.
    """
    if macs is None and target is None and settings.form == "soft":
        return accuracy
    if macs is None:
        raise NasError("a target counts multiply-adds, and none are known; give Search a cost, or tell macs")
    if target is None:
        raise NasError("macs were told, but there is no target; give Search a target or a cost")
    return reward(accuracy, macs, target, settings.w, settings.form)


def hush() -> None:
    """NNI's evolution logs every proposal at level INFO; whoever wants that sets the level after a Search is made."""
    logger = logging.getLogger("nni")
    if logger.level in (logging.NOTSET, logging.INFO):
        logger.setLevel(logging.ERROR)


def check_limits(view: View, limits: Mapping[str, float]) -> None:
    """Raises NasError where nothing is within the limits."""
    if not limits or next(walk(view), None) is not None:
        return
    rows = view.random_rows(DRAWS, np.random.default_rng(0))
    if not view.admitted(rows).any():
        written = " and ".join(f"{name} {limit:,.0f}" for name, limit in limits.items())
        least = view.macs(np.concatenate([rows, cheapest(view)[None]])).min()
        raise NasError(
            f"Search: a limit of {written} leaves nothing to propose; the least macs found are {least:,.0f}"
        )
