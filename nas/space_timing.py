"""Networks of a space timed for a budget of seconds: some by their parts, to fit a model to, others whole, to judge it.

They come by the handful, beside one *reference* network that runs after every second of them. A busy or throttled
machine slows all of a handful alike; so times are divided by the reference's in the same handful, and multiplied by
what it takes when the machine is quiet (the lower quartile of all handfuls).

>>> import nas
>>> visits = list(visit(nas.SearchSpace.load("digits"), seconds=1, held_out=4, seed=0))
>>> {one.held_out for one in visits}
{False, True}
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nas.block_timing import time_together
from nas.latency_fit import QUARTILE, Timed
from nas.latency_model import parts
from nas.network import build
from nas.space import Sample, SearchSpace

HANDFUL, WHOLE = 8, 2
"""Networks that are timed together, and how many of them are held out."""
CANDIDATES = 16
"""Random networks, of which the one with the most parts never timed is fitted to next."""
MOST_DRAWS = 10_000
LOUD = 1.5
"""A handful whose reference took so many times as long as when it is quiet says nothing: what slows the machine so
much does not slow all networks alike."""
SMALL = 10
"""The reference's percentile among random networks' multiply-adds: a small one leaves the time to the others."""


@dataclass(frozen=True)
class Visit:
    """One network in one handful; every time is the lower quartile of its passes, in milliseconds.

    Attributes:
        number: of the network, counted apart for held-out ones.
        sample: of the space.
        ms: of the parts, float array (parts,); of a held-out network of the whole, (1,).
        total: of the whole.
        reference: of the reference's passes in this handful.
    """

    number: int
    held_out: bool
    sample: Sample
    ms: np.ndarray
    total: float
    reference: float


def visit(
    space: SearchSpace,
    seconds: float,
    held_out: int,
    seed: int,
    batch: int = 1,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Visit]:
    """Times networks until `seconds` are over; a handful that was begun is ended.

    Held-out networks, at most half of the space's, are drawn uniformly and visited in turn, again and again; no
    other is the same network as one of them.
    """
    rng = np.random.default_rng(seed)
    judges = distinct(space, min(held_out, space.size // 2), rng)
    judged, known = {space.decode(sample).key for sample in judges}, set[str]()
    seen: set[str] = set()
    beside = build(space.decode(_reference(space, rng))).to(device)
    begun, fitted = clock(), 0
    order: list[int] = []
    while clock() - begun < seconds:
        chosen: dict[str, tuple[int, Sample]] = {}
        for _ in range(min(WHOLE, len(judges))):
            order = order or rng.permutation(len(judges)).tolist()
            number = order.pop()
            chosen[f"held out {number}"] = number, judges[number]
        whole = set(chosen)
        while len(chosen) < HANDFUL:
            sample = _next(space, rng, judged, known, seen)
            arch = space.decode(sample)
            known.add(arch.key)
            seen.update(part.name for part in parts(arch))
            chosen[f"fitted {fitted}"] = fitted, sample
            fitted += 1
        names = rng.permutation(list(chosen)).tolist()
        nets = {name: build(space.decode(chosen[name][1])).to(device) for name in names}
        passes, rounds = time_together(nets, set(names) - whole, batch, beside, device=device)
        reference = float(np.percentile(rounds, QUARTILE))
        for name in names:
            ms = np.percentile(passes[name], QUARTILE, axis=0)
            total = float(np.percentile(passes[name].sum(axis=1), QUARTILE))
            yield Visit(chosen[name][0], name in whole, chosen[name][1], ms, total, reference)


@dataclass(frozen=True)
class Judged:
    """A held-out network, and milliseconds of each visit to it."""

    sample: Sample
    visits: tuple[float, ...]

    @property
    def ms(self) -> float:
        return float(np.median(self.visits))

    @property
    def halves(self) -> tuple[float, float] | None:
        """The medians of every second visit and of the others: as if measured twice; None of a single one."""
        if len(self.visits) < 2:
            return None
        return float(np.median(self.visits[::2])), float(np.median(self.visits[1::2]))


def settled(space: SearchSpace, visits: Sequence[Visit]) -> tuple[list[Timed], list[Judged]]:
    """What visits say of a quiet machine: times over those of the handful's reference, times the lower quartile of
    all handfuls' references. Handfuls of a machine that is far from quiet are left out, `LOUD`."""
    quiet = float(np.percentile([one.reference for one in visits], QUARTILE))
    fitted: list[Timed] = []
    judged: dict[int, tuple[Sample, list[float]]] = {}
    for one in visits:
        scale = quiet / one.reference
        if scale < 1 / LOUD:
            continue
        if one.held_out:
            judged.setdefault(one.number, (one.sample, []))[1].append(scale * one.total)
        else:
            names = tuple(part.name for part in parts(space.decode(one.sample)))
            fitted.append(Timed(names, scale * one.ms, scale * one.total))
    return fitted, [Judged(sample, tuple(found)) for _, (sample, found) in sorted(judged.items())]


def distinct(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Sample]:
    """So many random samples, no two the same network; fewer where the space has not so many."""
    found: dict[str, Sample] = {}
    for _ in range(50 * count):
        if len(found) == count:
            break
        sample = space.sample(rng)
        found.setdefault(space.decode(sample).key, sample)
    return list(found.values())


def _reference(space: SearchSpace, rng: np.random.Generator) -> Sample:
    """A small network of some random ones."""
    drawn = [space.sample(rng) for _ in range(100)]
    return sorted(drawn, key=lambda sample: space.decode(sample).macs)[SMALL]


def _next(
    space: SearchSpace, rng: np.random.Generator, judged: set[str], fitted: set[str], seen: set[str]
) -> Sample:
    """Of some random networks none of which is held out, the one with the most new parts; again one that was
    fitted to, only where the space has hardly another."""
    best: tuple[float, Sample] | None = None
    for draw in range(MOST_DRAWS):
        sample = space.sample(rng)
        arch = space.decode(sample)
        if arch.key in judged:
            continue
        new = len({part.name for part in parts(arch)} - seen) - 0.5 * (arch.key in fitted)
        if best is None or new > best[0]:
            best = new, sample
        if draw >= CANDIDATES:
            break
    assert best is not None  # at most a half of the space is held out
    return best[1]
