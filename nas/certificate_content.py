"""certificate.json: what a certificate found, as plain data.

>>> plain((0.5, math.nan))
[0.5, None]
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import nas
from nas.architecture import Architecture
from nas.certificate import LEAST, LEVEL, contrasts
from nas.certify_request import Searched
from nas.search.certifying import Course, Finalist, changes, ranked
from nas.search.trainings import Training


@dataclass(frozen=True)
class Judged:
    """A network that is tested, under the name of its part in the certificate; `note` says what is particular."""

    name: str
    arch: Architecture | None
    trainings: list[Training]
    note: str | None = None


def content(
    run: Searched, course: Course, family: bool, finalists: list[Finalist], factor: Mapping[str, float],
    judged: list[Judged], tested: Mapping[str, tuple[float, ...]],
) -> dict[str, Any]:  # fmt: skip
    """What was found.

    Args:
        factor: reward for each unit of accuracy, by key.
        judged: the winner first.
        tested: test accuracies of each, one a seed, nan where a training failed.
    """
    own = [one for one in finalists if one.of == "search"]
    winner = ranked(own, factor, family)[0]
    return {
        "format": 1, "run": run.experiment, "space": run.space.name, "sha256": run.journal.run["sha256"],
        "data": run.data, "version": nas.__version__, "versions": run.journal.run["versions"],
        "winner": {"trial": winner.trial, **_facts(winner.arch)}, "recipe": run.recipe, "level": LEVEL,
        "seeds": {"choose": list(course.choosing), "judge": list(course.judging)},
        "finalists": [_finalist(one, factor[one.arch.key], family) for one in finalists],
        "judged": [
            {"name": one.name, **_facts(one.arch), "test": plain(tested[one.name]), "note": one.note} for one in judged
        ],
        "contrasts": _contrasts(judged, tested, winner.arch.key),
        "family": _family(own, factor, winner) if family else None,
    }  # fmt: skip


def _facts(arch: Architecture | None) -> dict[str, Any]:
    names = ("key", "macs", "params")
    return {name: None if arch is None else getattr(arch, name) for name in names}


def _finalist(one: Finalist, factor: float, family: bool) -> dict[str, Any]:
    return {
        "of": one.of, "trial": one.trial, **_facts(one.arch), "proxy": one.proxy, "val": plain(one.val),
        "larger": plain(one.larger), "reward": number(one.worth(factor)),
        "family_reward": number(one.worth(factor, True)) if family else None,
    }  # fmt: skip


def _contrasts(
    judged: list[Judged], tested: Mapping[str, tuple[float, ...]], own: str
) -> list[dict[str, Any]]:
    """The winner against those rivals that are other networks and have accuracies enough."""
    values = {
        name: np.array([score for score in found if math.isfinite(score)]) for name, found in tested.items()
    }
    winner, *rivals = judged
    compared = {
        one.name: values[one.name] for one in rivals
        if one.arch is not None and one.arch.key != own and len(values[one.name]) >= LEAST
    }  # fmt: skip
    return [
        {"rival": one.rival, "margin": one.margin, "low": one.low, "high": one.high, "n": list(one.n),
         "distinguishable": one.distinguishable}
        for one in contrasts(values[winner.name], compared)
    ]  # fmt: skip


def _family(own: list[Finalist], factor: Mapping[str, float], winner: Finalist) -> dict[str, Any]:
    changed, of = changes(own, factor)
    return {
        "changed": changed,
        "of": of,
        "choice": winner.trial,
        "alone": ranked(own, factor, False)[0].trial,
    }


def plain(values: Iterable[float]) -> list[float | None]:
    """As JSON has them."""
    return [number(value) for value in values]


def number(value: float) -> float | None:
    """None for what is no number."""
    return value if math.isfinite(value) else None
