"""b0nas finds an EfficientNet-B0-like baseline for your data, freezes it, and scales it.

One idea: *a baseline is a search space in which every choice has been made.*

| word | meaning |
| --- | --- |
| `SearchSpace` | a document with choices; knows its size, its encoding, how to sample, mutate, validate |
| sample | a flat dict `{"stage3.kernel": 5, ...}`: what a strategy proposes and a trial receives |
| `Architecture` | one frozen, hashable value: stem, stages, head, activation, resolution |
| network | the `torch.nn.Module` built from an Architecture |
| op | one kind of block: expands to layer specs, from which cost is summed and the network built |
| cost | parameters and multiply-adds of an Architecture, closed form, no tensor made |
| `Evaluator` | Architecture -> measured metrics |
| reward | `acc * (macs/target) ** w` |
| strategy | an `nni.nas.strategy.Strategy`; proposes samples, learns from rewards |
| trial | one evaluated sample, whatever happened to it |
| `Baseline` | a frozen Architecture with its measured facts and its provenance |
| family | the baselines that compound scaling makes of one baseline |

>>> import nas
>>> b0 = nas.load("efficientnet-b0")
>>> nas.scale(b0.architecture, phi=3, official=True).resolution
300
"""

import importlib
from typing import TYPE_CHECKING, Any

from nas.errors import NasError
from nas.reward import reward

if TYPE_CHECKING:
    from nas.architecture import Architecture, Head, Stage, Stem
    from nas.baseline import Baseline, load
    from nas.network import build
    from nas.scaling import scale
    from nas.search.loop import Search
    from nas.space import SearchSpace

__version__ = "0.1.0"

__all__ = [
    "Architecture", "Baseline", "Head", "NasError", "Search", "SearchSpace", "Stage", "Stem",
    "build", "load", "reward", "scale",
]  # fmt: skip

_HOMES = {
    **dict.fromkeys(("Architecture", "Head", "Stage", "Stem"), "architecture"),
    **dict.fromkeys(("Baseline", "load"), "baseline"),
    "SearchSpace": "space", "Search": "search.loop", "build": "network", "scale": "scaling",
}  # fmt: skip
"""The module of each name that is imported when it is asked for: torch when a network is built, nni when a search is,
and nothing by a trial that hands its work to a warm process."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nas' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"nas.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
