"""The search of one plan: integer networks from the nearest to the compound direction outward.

Layers in all and pixels make a frame; in each, layers are shared among the stages, and the channels
whose cost is on both sides of the budget are found by bisection. What is left is polished by single moves.
"""

import math
from collections.abc import Iterable, Iterator

from nas.architecture import Architecture
from nas.candidates import EIGHT, candidates_of, channels_of
from nas.errors import NasError
from nas.plans import Budget, Plan
from nas.specs import make_divisible

REACH = 0.15
"""From 1x up, how far an exponent may lie from the compound direction's, relative to it."""
CLOSE = 0.005
"""A cost that is nearer than this is as good as exact: what is left decides the direction."""
GOOD = 0.02
"""A cost that is no nearer than this is not met: what is left is to come nearer."""
PIXELS, LEAST_PIXELS = 4, 32
"""Resolutions are multiples of PIXELS; below 1x they go down to LEAST_PIXELS."""
NEAREST = 40
"""Layers in all, and resolutions, that are tried, the nearest to the direction, from 1x up."""
NEARBY = (0.995, 1.005, 0.99, 1.01, 0.985, 1.015)
"""Budgets, as ratios, whose networks are looked at too where one's own are out of reach."""
UNEVEN = (1.0, 1.5)
"""How many layers a stage may be off its share in the baseline's proportions, tried one after the other."""
ROUNDINGS = (0.5, 1 - 1e-9)
"""Layers in all, off the direction's, that rounding always allows: to the nearest, and where that does not meet the
budget, to the next below or above."""
LEFT, BELOW = 0.05, (0.99, 0.98, 0.97, 0.96)
"""The same of two limits: what is left of the one that binds, for a network within reach."""


def _eights(channels: float, part: float) -> int:
    """A multiple of eight: the next one above where `part` of an eight or more is rounded up, 1 being all."""
    return max(EIGHT, math.floor(channels / EIGHT + part - 1e-9 * (part == 1)) * EIGHT)


def _nearest(values: Iterable[int], aim: float) -> list[int]:
    return sorted(values, key=lambda value: abs(value - aim))[:NEAREST]


class Planner:
    """The search of one plan."""

    def __init__(self, arch: Architecture, budget: Budget, logs: dict[str, float]) -> None:
        self.arch, self.budget, self.logs = arch, budget, logs
        self.candidates = candidates_of(arch)
        self.channels, self.layers = self.candidates.channels, self.candidates.layers
        self.phi = min(self._phi(name, value, logs) for name, value in budget.limits.items())
        self.aim = {name: self.phi * log for name, log in logs.items()}
        self.grows = self.phi >= 0
        self.rounding = ROUNDINGS[0]
        self.good, self.nearby = (GOOD, NEARBY) if len(budget.limits) == 1 else (LEFT, BELOW)

    def _phi(self, cost: str, value: float, logs: dict[str, float]) -> float:
        """Where real numbers have a cost: macs go with depth width^2 resolution^2, params without resolution."""
        growth = logs["depth"] + 2 * logs["width"] + (2 * logs["resolution"] if cost == "macs" else 0)
        if growth == 0:
            raise NasError(
                f"{cost} do not grow with these coefficients, which scale the resolution alone; give macs"
            )
        return math.log(value / getattr(self.arch, cost)) / growth

    def best(self) -> Plan:
        """The plan; the pairs of layers and pixels are tried from the nearest to the direction outward."""
        if abs(self.budget.excess(self.arch)) < CLOSE and self._within(self.arch):
            return self._measured(self.arch)
        least = self.candidates.network(
            [EIGHT] * len(self.channels), [1] * len(self.layers), min(self.arch.resolution, LEAST_PIXELS)
        )
        if least is not None and self.budget.excess(least) > CLOSE:
            raise self._unmet(self._measured(least))
        best = self._polished(self._nearest())
        if self.grows and abs(best.excess) > self.good:
            self.rounding = ROUNDINGS[1]
            best = min(best, self._polished(self._nearest()), key=self._rank)
        if self.grows and best.furthest > REACH:  # a neighbour's network may be within reach, and near enough
            for times in self.nearby:
                limits = {name: value * times for name, value in self.budget.limits.items()}
                other = Planner(self.arch, Budget(**limits), self.logs)
                arch = other._polished(other._nearest()).architecture
                found = self._measured(arch)
                if found.furthest <= REACH and self._within(arch) and self._rank(found) < self._rank(best):
                    best = found
        if abs(best.excess) > math.log(2):
            raise self._unmet(best)
        return best

    def _nearest(self) -> Plan:
        """The best of what the frames give."""
        best: Plan | None = None
        for off, total, pixels in self._frames():
            if best is not None and self._near(best) and off >= best.furthest:
                break
            for layers in self.candidates.spreads(total):
                for found in self._widths(layers, pixels):
                    if best is None or self._rank(found) < self._rank(best):
                        best = found
                if best is not None and self._near(best):
                    break
        if best is None:
            raise self._unmet()
        return best

    def _near(self, found: Plan) -> bool:
        return abs(found.excess) <= CLOSE and (not self.grows or found.furthest <= REACH)

    def _good(self, found: Plan) -> bool:
        return abs(found.excess) <= self.good and (not self.grows or found.furthest <= REACH)

    def _rank(self, found: Plan) -> tuple[bool, bool, float, float, float]:
        off = abs(found.excess)
        beyond = self.grows and found.furthest > REACH
        return (off > self.good, beyond, max(off, CLOSE), found.furthest, off)

    # Candidates

    def _frames(self) -> list[tuple[float, int, int]]:
        """(deviation, layers in all, pixels), the nearest to the direction first."""
        pixels, base = self.arch.resolution, sum(self.layers)
        aimed = pixels * math.exp(self.aim["resolution"])
        nearest = max(PIXELS, round(aimed / PIXELS) * PIXELS)
        if self.grows:
            last = math.ceil(pixels * math.exp((1 + REACH) * self.aim["resolution"]))
            sides = {*range(PIXELS, last + 1, PIXELS), nearest} if self.aim["resolution"] else {pixels}
            totals = range(base, math.ceil(base * math.exp((1 + REACH) * self.aim["depth"])) + 1)
            sides = _nearest(sides, aimed)
            totals = _nearest(totals, base * math.exp(self.aim["depth"]))
        else:
            sides = (
                [*range(min(pixels, LEAST_PIXELS), pixels, PIXELS), pixels]
                if self.aim["resolution"]
                else [pixels]
            )
            totals = [*range(len(self.layers), base + 1)] if self.aim["depth"] else [base]
        frames = []
        for side in sides:
            for total in totals:
                off = max(
                    self._deviation(
                        "resolution", side / pixels, max(PIXELS / 2, abs(nearest - aimed)), pixels
                    ),
                    self._deviation("depth", total / base, self.rounding, base),
                )
                if math.isfinite(off):
                    frames.append((off, total, side))
        return sorted(frames, key=lambda frame: (frame[0], -frame[2]))

    def _widths(self, layers: list[int], pixels: int) -> Iterator[Plan]:
        """Channels on both sides of the budget, within reach: by their ratio, each rounded as usual, and at
        the direction's own ratio by what part of an eight is rounded up."""
        if not self.aim["width"]:
            arch = self.candidates.network(self.channels, layers, pixels)
            if arch is not None and self._within(arch):
                yield self._measured(arch)
            return
        aimed = math.exp(self.aim["width"])
        ratios = (math.exp(-6), 4 * max(1.0, aimed))
        for of, low, high in (
            (lambda base, ratio: make_divisible(base * ratio), *ratios),
            (lambda base, part: _eights(base * aimed, part), 0.0, 1.0),
        ):
            found: dict[bool, Architecture] = {}
            for _ in range(20):
                middle = math.sqrt(low * high) if high > 1 else (low + high) / 2
                arch = self.candidates.network([of(base, middle) for base in self.channels], layers, pixels)
                if arch is None:
                    return
                excess = self.budget.excess(arch)
                found[excess > 0] = arch
                low, high = (low, middle) if excess > 0 else (middle, high)
            yield from (self._measured(arch) for arch in found.values() if self._within(arch))

    def _polished(self, found: Plan) -> Plan:
        """Eights of channels and layers moved one at a time while the cost comes nearer, within reach; layers further
        from their stages' shares only where the budget is not met without."""
        widen, deepen = bool(self.aim["width"]), bool(self.aim["depth"])
        for reach in UNEVEN:
            if reach != UNEVEN[0] and self._good(found):
                break
            while not self._near(found):
                moves = self.candidates.moves(found.architecture, widen, deepen, reach)
                near = [self._measured(arch) for arch in moves if self._within(arch)]
                step = min(near, key=self._rank, default=found)
                if self._rank(step) >= self._rank(found):
                    break
                found = step
        return found

    # What a candidate is

    def _within(self, arch: Architecture) -> bool:
        """Whether a network is within reach of the direction, and two limits both hold."""
        if len(self.budget.limits) > 1 and self.budget.excess(arch) > 0:
            return False
        if not self.grows or abs(self._off("width", self._width(arch))) <= REACH:
            return True
        aimed = math.exp(self.aim["width"])
        pairs = zip(channels_of(arch), self.channels, strict=True)
        return all(new in (_eights(old * aimed, 0), _eights(old * aimed, 1)) for new, old in pairs)

    def _width(self, arch: Architecture) -> float:
        pairs = [*zip(channels_of(arch), self.channels, strict=True)]
        return math.exp(sum(math.log(new / old) for new, old in pairs) / len(pairs))

    def _deviation(self, name: str, ratio: float, step: float, base: float) -> float:
        """How far a ratio is from the direction; inf where that is too far, with `step` the rounding of
        base * ratio that is always allowed."""
        aim = self.aim[name]
        off = abs(self._off(name, ratio))
        allowed = not self.grows or off <= REACH or abs(ratio - math.exp(aim)) * base <= step
        return off if allowed else math.inf

    def _off(self, name: str, ratio: float) -> float:
        aim = self.aim[name]
        return math.log(ratio) / aim - 1 if aim else math.log(ratio)

    def _measured(self, arch: Architecture) -> Plan:
        ratios = {
            "depth": sum(stage.layers for stage in arch.stages) / sum(self.layers),
            "width": self._width(arch),
            "resolution": arch.resolution / self.arch.resolution,
        }
        same = arch == self.arch
        deviation = {name: 0.0 if same else self._off(name, ratio) for name, ratio in ratios.items()}
        return Plan(arch, self.phi, **ratios, deviation=deviation, excess=self.budget.excess(arch))

    def _unmet(self, nearest: Plan | None = None) -> NasError:
        """The error that no network has the budget."""
        wanted = " and ".join(f"{name} {value:,.0f}" for name, value in self.budget.limits.items())
        if nearest is None:
            return NasError(f"no network of this direction is within {wanted}; give a larger budget")
        costs = " and ".join(f"{name} {getattr(nearest.architecture, name):,}" for name in self.budget.limits)
        return NasError(f"no network of this direction costs {wanted}; the nearest has {costs}: ask for that")
