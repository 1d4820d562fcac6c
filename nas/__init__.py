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

from typing import TYPE_CHECKING, Any

from nas.architecture import Architecture, Head, Stage, Stem
from nas.baseline import Baseline, load
from nas.errors import NasError
from nas.reward import reward
from nas.scaling import scale
from nas.space import SearchSpace

if TYPE_CHECKING:
    from nas.network import build
    from nas.search.loop import Search

__version__ = "0.1.0"

__all__ = [
    "Architecture", "Baseline", "Head", "NasError", "Search", "SearchSpace", "Stage", "Stem",
    "build", "load", "reward", "scale",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "build":  # torch is imported when a network is, not before
        from nas.network import build

        return build
    if name == "Search":  # and nni when a search is
        from nas.search.loop import Search

        return Search
    raise AttributeError(f"module 'nas' has no attribute {name!r}")
