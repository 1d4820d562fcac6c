"""certificate.json: what a certificate found, as plain data.

>>> plain((0.5, math.nan))
[0.5, None]
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

import nas
from nas.architecture import Architecture
from nas.certificate import LEAST, LEVEL, contrasts, image_reach
from nas.certify_request import Searched
from nas.search.certifying import Course, Finalist, changes, ranked
from nas.search.trainings import Training


@dataclass(frozen=True)
class Judged:
    """A network that is tested, under the name of its part in the certificate.

    Attributes:
        exchange: its reward for each unit of accuracy, as a ratio to the winner's; None of published networks, which
            have the winner's cost and are compared by accuracy.
        note: what is particular.
        hits: which test images are right, bool (seeds, images).
    """

    name: str
    arch: Architecture | None
    trainings: list[Training]
    exchange: float | None = None
    note: str | None = None
    test: tuple[float, ...] = ()
    hits: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))

    @property
    def accuracies(self) -> np.ndarray:
        """Those there are, in the winner's currency."""
        return (self.exchange or 1.0) * np.array([score for score in self.test if math.isfinite(score)])


def content(
    run: Searched, course: Course, family: bool, finalists: list[Finalist], judged: list[Judged]
) -> dict[str, Any]:
    """What was found; the winner is the first that is judged."""
    own = [one for one in finalists if one.of == "search"]
    winner = ranked(own, family)[0]
    return {
        "format": 1, "run": run.experiment, "space": run.space.name, "sha256": run.journal.run["sha256"],
        "data": run.data, "metric": run.metric, "images": max(one.hits.shape[1] for one in judged),
        "version": nas.__version__, "versions": {name: version(name) for name in ("b0nas", "torch")},
        "recipe": run.recipe, "winner": {"trial": winner.trial, **_facts(winner.arch)},
        "level": LEVEL, "seeds": {"choose": list(course.choosing), "judge": list(course.judging)},
        "finalists": [_finalist(one, family) for one in finalists],
        "judged": [
            {"name": one.name, **_facts(one.arch), "test": plain(one.test), "note": one.note} for one in judged
        ],
        "contrasts": _contrasts(run, judged, winner.arch.key), "family": _family(own, winner) if family else None,
    }  # fmt: skip


def _facts(arch: Architecture | None) -> dict[str, Any]:
    names = ("key", "macs", "params")
    return {name: None if arch is None else getattr(arch, name) for name in names}


def _finalist(one: Finalist, family: bool) -> dict[str, Any]:
    return {
        "of": one.of, "trial": one.trial, **_facts(one.arch), "proxy": one.proxy, "val": plain(one.val),
        "larger": plain(one.larger), "larger_macs": one.twice and one.twice.macs, "reward": number(one.worth()),
        "family_reward": number(one.worth(True)) if family else None,
    }  # fmt: skip


def _contrasts(run: Searched, judged: list[Judged], own: str) -> list[dict[str, Any]]:
    """The winner against those rivals that are other networks and have accuracies enough."""
    winner, *rivals = judged
    if len(winner.accuracies) < LEAST:
        return []
    compared = {
        one.name: one for one in rivals
        if one.arch is not None and one.arch.key != own and len(one.accuracies) >= LEAST
    }  # fmt: skip
    weights = run.weights(winner.hits.shape[1])
    reach = {
        name: image_reach(winner.hits, (one.exchange or 1.0) * one.hits, weights, len(compared))
        for name, one in compared.items()
    }
    values = {name: one.accuracies for name, one in compared.items()}
    return [
        {"rival": one.rival, "by": "accuracy" if compared[one.rival].exchange is None else "reward",
         "margin": one.margin, "low": one.low, "high": one.high, "n": list(one.n), "images": reach[one.rival],
         "distinguishable": one.distinguishable}
        for one in contrasts(winner.accuracies, values, reach)
    ]  # fmt: skip


def _family(own: list[Finalist], winner: Finalist) -> dict[str, Any]:
    changed, of = changes(own)
    return {"changed": changed, "of": of, "choice": winner.trial, "alone": ranked(own, False)[0].trial}


def plain(values: Iterable[float]) -> list[float | None]:
    """As JSON has them."""
    return [number(value) for value in values]


def number(value: float) -> float | None:
    """None for what is no number."""
    return value if math.isfinite(value) else None
