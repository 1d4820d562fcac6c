"""The small grid of coefficients that EfficientNet (arXiv:1905.11946) searches, section 3.3, step 1.

"we first fix phi = 1, assuming twice more resources available, and do a small grid search of alpha, beta,
gamma based on Equation 2 and 3", that is alpha * beta^2 * gamma^2 ~ 2 with all three at least 1. The paper names
neither step nor tolerance. Its answer has steps of 0.05, and a product of 1.92: our defaults admit it.

>>> values = grid(GridSettings())
>>> len(values), "1.2,1.1,1.15" in values, values[:2]
(111, True, ('1,1,1.4', '1,1.05,1.35'))
>>> grid(GridSettings(step=0.3, tolerance=0.01))
Traceback (most recent call last):
...
nas.errors.NasError: scaling: step 0.3 and tolerance 0.01 leave no coefficients; raise tolerance or lower step
"""

import math
from fractions import Fraction
from typing import Annotated, Any, TypeGuard

from pydantic import Field

from nas.documents import Number, Strict
from nas.errors import NasError

SCALE = "scale:"
"""Before a baseline, in search.yml's searchSpace: the choices are its coefficients."""
PRODUCT = 2
"""alpha * beta^2 * gamma^2: how much more a network costs at phi = 1."""
MOST = 300
"""Coefficients of one grid, at most: each is a line of the baseline's document, and planned before the search."""


class GridSettings(Strict):
    """`scaling` of search.yml's classArgs.

    Attributes:
        step: of alpha, beta and gamma, from 1 on.
        tolerance: how far alpha * beta^2 * gamma^2 may be from 2.
        multiple: what every candidate costs, as a ratio to the baseline; 2 is phi = 1.
    """

    step: Annotated[Number, Field(ge=0.001, le=1)] = 0.05
    tolerance: Annotated[Number, Field(ge=0, lt=1)] = 0.1
    multiple: Annotated[Number, Field(gt=1, le=64)] = 2


def grid(settings: GridSettings, where: str = "scaling") -> tuple[str, ...]:
    """The coefficients of a grid, each as 'alpha,beta,gamma', in rising order.

    Raises:
        NasError: where there are none, or more than `MOST`.
    """
    step, tolerance = Fraction(str(settings.step)), Fraction(str(settings.tolerance))
    low, high = PRODUCT - tolerance, PRODUCT + tolerance
    found: list[tuple[Fraction, Fraction, Fraction]] = []
    written = f"{where}: step {settings.step:g} and tolerance {settings.tolerance:g}"
    beta = Fraction(1)
    while beta**2 <= high:
        gamma = Fraction(1)
        while (both := beta**2 * gamma**2) <= high:
            first = max(0, math.ceil((low / both - 1) / step))
            last = math.floor((high / both - 1) / step)
            found += [(1 + step * number, beta, gamma) for number in range(first, last + 1)]
            if len(found) > MOST:
                raise NasError(
                    f"{written} leave over {MOST} coefficients; raise step or lower tolerance for fewer"
                )
            gamma += step
        beta += step
    if not found:
        raise NasError(f"{written} leave no coefficients; raise tolerance or lower step")
    return tuple(",".join(f"{float(value):.10g}" for value in row) for row in sorted(found))


def coefficients_of(value: str) -> tuple[float, float, float]:
    """alpha, beta and gamma of a value of the grid.

    >>> coefficients_of("1.2,1.1,1.15")
    (1.2, 1.1, 1.15)
    """
    alpha, beta, gamma = map(float, value.split(","))
    return alpha, beta, gamma


def is_scaling(search_space: Any) -> TypeGuard[str]:
    """Whether a search.yml's searchSpace is `scale:BASELINE`."""
    return isinstance(search_space, str) and search_space.startswith(SCALE)


def default_strategy(search_space: Any) -> str:
    """Of a grid all is tried, so the order does not matter; else the model-guided one."""
    return "random" if is_scaling(search_space) else "model"
