"""NAS-Bench-Macro as a table: accuracies of three trainings and multiply-adds of every network.

Su et al. 2021 (arXiv:2103.11922) trained each network of 8 layers, in stages of 2, 3 and 3, each
layer an identity (0) or one of two blocks (1, 2), three times on CIFAR-10. Their file is JSON:

    {"02012100": {"test_acc": [89.47, 88.95, 89.17], "mean_acc": 89.197, ..., "flops": 47327744}, ...}

A layer that opens its stage changes the shape and is never a real identity; any other 0 leaves the
network as it was, wherever in its stage it stands. So 6,561 keys are 3,969 networks.

>>> canonical("02012100"), canonical("02012001")
('02|012|1', '02|012|01')
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

STAGES = ((0, 2), (2, 5), (5, 8))
"""Layers of each stage."""
DIGITS = ("0", "1", "2")


def canonical(key: str) -> str:
    """What keys of one network share: each stage without the zeros that are not first in it."""
    stages = (key[first:last] for first, last in STAGES)
    return "|".join(stage[:1] + stage[1:].replace("0", "") for stage in stages)


@dataclass(frozen=True)
class MacroTable:
    """The table.

    Attributes:
        keys: of every sample, in order.
        accuracies: fractions, (keys, 3), of three trainings.
        macs: multiply-adds, (keys,).
    """

    keys: tuple[str, ...]
    accuracies: np.ndarray
    macs: np.ndarray

    @cached_property
    def position(self) -> dict[str, int]:
        """The place of each key in `keys`."""
        return {key: number for number, key in enumerate(self.keys)}

    @cached_property
    def network(self) -> np.ndarray:
        """The number of the network, from 0, of every key."""
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(canonical(key), len(numbers)) for key in self.keys])

    @property
    def layers(self) -> int:
        return len(self.keys[0])


def read(path: str | Path) -> MacroTable:
    """The table of a file.

    Raises:
        ValueError: for a file that lacks a key or has copies of a network that differ.
    """
    found = json.loads(Path(path).read_text())
    if not isinstance(found, dict) or not all(
        isinstance(entry, dict) and {"test_acc", "flops"} <= set(entry) for entry in found.values()
    ):
        raise ValueError(
            f"{path}: is not NAS-Bench-Macro's JSON as its authors publish it, with test_acc and flops"
        )
    keys = tuple(sorted(found))
    if len(keys) != len(DIGITS) ** len(keys[0]):
        raise ValueError(f"{path}: {len(keys)} keys of {len(keys[0])} digits; give all of 0, 1, 2")
    table = MacroTable(
        keys,
        np.array([found[key]["test_acc"] for key in keys], float) / 100,
        np.array([found[key]["flops"] for key in keys], float),
    )
    first = np.unique(table.network, return_index=True)[1][table.network]
    if not (table.accuracies == table.accuracies[first]).all() or not (table.macs == table.macs[first]).all():
        raise ValueError(f"{path}: keys of one network have different entries")
    return table
