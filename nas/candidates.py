"""The integer networks of one baseline that the search of a plan looks at, each built once.

The plans of a family, and of a grid of coefficients at one cost, ask for the same networks many times over.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from nas.architecture import Architecture, Stage
from nas.errors import NasError
from nas.specs import make_divisible

EIGHT = 8
"""Channels come in multiples of it, as `make_divisible` rounds them."""
SPREADS = 24
"""Ways to share layers among the stages that are tried, at most."""
KEPT = 1 << 15
"""Networks that are kept, at most: about a kilobyte each."""


def channels_of(arch: Architecture) -> list[int]:
    """Of stem, stages and head, where it has a convolution."""
    head = [] if arch.head.channels is None else [arch.head.channels]
    return [arch.stem.channels, *(stage.channels for stage in arch.stages), *head]


class Candidates:
    """Networks of other channels, layers and pixels than a baseline's.

    Attributes:
        channels: the baseline's, of stem, stages and head, where it has a convolution.
        layers: the baseline's, of each stage.
    """

    def __init__(self, arch: Architecture) -> None:
        self._arch = arch
        self.channels = channels_of(arch)
        self.layers = [stage.layers for stage in arch.stages]
        self._stage = lru_cache(KEPT)(self._new_stage)
        self._network = lru_cache(KEPT)(self._new_network)

    def network(self, channels: list[int], layers: list[int], pixels: int) -> Architecture | None:
        """The network of these numbers; None where there is none: too large, or fewer pixels than strides."""
        return self._network(tuple(channels), tuple(layers), pixels)

    def _new_network(
        self, channels: tuple[int, ...], layers: tuple[int, ...], pixels: int
    ) -> Architecture | None:
        stem, *widths = channels
        arch = self._arch
        head, first, hidden = None, arch.stem.first, arch.head.hidden
        if first is not None:  # it grows as the stem does, and the hidden layer as the head
            first = make_divisible(first * stem / arch.stem.channels)
        if arch.head.channels is not None:
            head = widths.pop()
            hidden = None if hidden is None else make_divisible(hidden * head / arch.head.channels)
        try:
            return replace(
                arch,
                stem=replace(arch.stem, channels=stem, first=first),
                stages=tuple(map(self._stage, range(len(layers)), widths, layers)),
                head=replace(arch.head, channels=head, hidden=hidden),
                resolution=pixels,
            )
        except NasError:
            return None

    def _new_stage(self, index: int, channels: int, layers: int) -> Stage:
        return replace(self._arch.stages[index], channels=channels, layers=layers)

    def spreads(self, total: int) -> list[list[int]]:
        """So many layers over the stages: each its share in the baseline's proportions, rounded down or up,
        and at least one; what is nearest to the shares first."""
        shares = [layers * total / sum(self.layers) for layers in self.layers]
        least = [max(1, math.floor(share + 1e-9)) for share in shares]
        left = total - sum(least)
        while left < 0:  # single layers could not be thinned; the deepest stage can
            least[max(range(len(least)), key=lambda i: (least[i] / self.layers[i], least[i]))] -= 1
            left += 1
        ups = itertools.islice(itertools.combinations(range(len(shares)), left), 500)
        spreads = [[n + (stage in up) for stage, n in enumerate(least)] for up in ups]
        return sorted(spreads, key=lambda s: sum((n - x) ** 2 for n, x in zip(s, shares, strict=True)))[
            :SPREADS
        ]

    def moves(self, arch: Architecture, widen: bool, deepen: bool, reach: float) -> Iterator[Architecture]:
        """Networks of one step: an eight of channels more or less, a layer from one stage to another.

        Args:
            reach: how many layers a stage may have more or fewer than its share in the baseline's proportions. Within
                one, and where the network has at least the baseline's layers, no stage has fewer than there.
        """
        layers, widths = [stage.layers for stage in arch.stages], channels_of(arch)
        total, base = sum(layers), sum(self.layers)
        shares = [own * total / base for own in self.layers]
        least = self.layers if reach <= 1 and total >= base else [1] * len(layers)
        steps = []
        for index, width in enumerate(widths):
            for step in (-EIGHT, EIGHT) if widen else ():
                if width + step > 0:
                    steps.append(([*widths[:index], width + step, *widths[index + 1 :]], layers))
        for i, j in itertools.permutations(range(len(layers)), 2) if deepen else ():
            fewer, more = layers[i] - 1, layers[j] + 1
            if fewer >= max(least[i], shares[i] - reach) and more <= shares[j] + reach:
                steps.append((widths, [n - (k == i) + (k == j) for k, n in enumerate(layers)]))
        for channels, depths in steps:
            found = self.network(channels, depths, arch.resolution)
            if found is not None:
                yield found


candidates_of = lru_cache(8)(Candidates)
"""The candidates of a baseline's architecture, kept for its next plan."""
