"""Which integer network has a given cost: channels in eights, whole layers, and the compound direction.

The formula of compound scaling (EfficientNet, arXiv:1905.11946, equation 3) is one of real numbers.
Rounded as its authors round, layers up and channels to eights, B0 at phi = 1 costs 2.57 times B0
and not 2. `plan` turns it round: the cost is given, and of the networks that have it the one is
taken whose depth, width and resolution grew most nearly in the direction of the coefficients.

>>> from nas.baseline import load
>>> b0 = load("efficientnet-b0").architecture
>>> twice = plan(b0, Budget(macs=2 * b0.macs))
>>> round(twice.architecture.macs / b0.macs, 1), twice.architecture.resolution % 4
(2.0, 0)
>>> max(abs(off) for off in twice.deviation.values()) < 0.15      # depth, width, resolution
True
"""

import math

from nas.architecture import Architecture
from nas.baseline import Baseline
from nas.errors import NasError
from nas.planner import Planner
from nas.plans import Budget, Plan
from nas.reading import number
from nas.scaling import ALPHA, BETA, GAMMA, Scaled, coefficients, dropout, multipliers, resize


def plan(
    arch: Architecture, budget: Budget, alpha: float = ALPHA, beta: float = BETA, gamma: float = GAMMA
) -> Plan:
    """The network of `budget` nearest to the compound direction of the coefficients from `arch` on.

    From 1x up every one of depth, width and resolution is within `nas.planner.REACH` of the direction, or the whole
    number of layers, the multiple of `PIXELS` or the channels in eights nearest to it. Below 1x they
    are as near as the cost allows, down to one layer a stage and 32 pixels.

    Raises:
        NasError: for coefficients that do not scale up, or a budget that no network meets.
    """
    for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        if not 1 <= value <= 10:
            raise NasError(f"{name} is {value:g}; a planned family needs ratios from 1 to 10, such as 1.2")
    if alpha * beta * gamma == 1:
        raise NasError("alpha, beta and gamma are all 1, which scales nothing; give one of them over 1")
    logs = {"depth": math.log(alpha), "width": math.log(beta), "resolution": math.log(gamma)}
    return Planner(arch, budget, logs).best()


def planned(
    baseline: Baseline,
    macs: str | None = None,
    params: str | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    gamma: float | None = None,
) -> list[Scaled]:
    """The members of a baseline's family that have given costs, in the order asked.

    Args:
        macs, params: comma-separated targets, each absolute ('800M') or a ratio to the baseline's ('2x').
            With both, the one of a list and the one of the other are limits of one network; a single
            limit goes with every one of the other list.

    Raises:
        NasError: for words that are no targets, lists of unequal length, or costs that no network has.
    """
    arch, given = baseline.architecture, coefficients(baseline, alpha, beta, gamma)
    words = {name: text.split(",") for name, text in (("macs", macs), ("params", params)) if text is not None}
    most = max(map(len, words.values()))
    if any(len(found) not in (1, most) for found in words.values()):
        lengths = " and ".join(f"{len(found)} {name}" for name, found in words.items())
        raise NasError(f"there are {lengths}; give lists of one length, or a single limit for all")
    members = []
    for index in range(most):
        chosen = {name: found[index % len(found)].strip() for name, found in words.items()}
        costs = {name: _target(word, getattr(arch, name), f"--{name}") for name, word in chosen.items()}
        try:
            found = plan(arch, Budget(**costs), *given)
        except NasError as error:
            asked = " ".join(f"--{name} {word}" for name, word in chosen.items())
            raise NasError(f"{baseline.name} at {asked}: {error}") from None
        width, depth, pixels = multipliers(arch, found.phi, *given)
        try:
            formula = resize(arch, width, depth, pixels)
        except NasError:
            formula = None
        tail = [word if name == "macs" else f"params{word}" for name, word in chosen.items()]
        members.append(
            Scaled(
                "-".join([baseline.name, *tail]),
                found.phi,
                found.width,
                found.depth,
                dropout(found.phi, baseline.dropout),
                found.architecture,
                costs.get("macs"),
                costs.get("params"),
                found.deviation,
                formula,
            )
        )
    return members


def _target(word: str, base: int, option: str) -> float:
    try:
        value = base * number(word[:-1]) if word.endswith("x") else number(word)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise NasError(f"{option} is {word!r}; give ratios to the baseline's or figures, such as 2x,4x,800M")
    return float(value)
