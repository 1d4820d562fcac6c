"""Rows of the supernet's ranking experiment, and the figures worked out from them; see supernet_ranking.py.

A figure over networks takes how often each of them counts, `times`: once, or as often as a bootstrap's resample drew
it; of several resamples (rows of `times`) it gives a figure each. A figure that is not defined is nan.

>>> round(float(kendall([1, 2, 3, 4], [1, 2, 4, 3])), 2)
0.67
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

OUT = Path(__file__).parent / "results" / "supernet"
BOOTSTRAP = 2000
THREADS = 1
"""Of torch, in everything that is timed here."""
Row = dict[str, Any]
Values = Sequence[float] | np.ndarray


def rows(name: str, folder: Path | None = None) -> list[Row]:
    """The rows of a file; a line that was cut short is left out."""
    file, found = (folder or OUT) / f"{name}.jsonl", []
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def write(name: str, row: Row) -> None:
    """Adds a row, with what it was made on; on a line of its own, where the last one was cut short."""
    from nas.latency import processor

    OUT.mkdir(parents=True, exist_ok=True)
    made = {
        "processor": processor(),
        "threads": THREADS,
        "versions": {p: version(p) for p in ("torch", "b0nas")},
        "date": datetime.now(UTC).date().isoformat(),
    }
    path = OUT / f"{name}.jsonl"
    cut = path.exists() and not path.read_text().endswith("\n") and path.stat().st_size > 0
    with path.open("a") as file:
        file.write("\n" * cut + json.dumps({**row, **made}) + "\n")


def over(top: Any, below: Any) -> Any:
    """A ratio; nan where what is below is not positive."""
    return top / np.where(np.asarray(below) > 0, below, np.nan)


def kendall(left: Values, right: Values, times: np.ndarray | None = None) -> Any:
    """Kendall's tau-b."""
    x, y, drawn = _signs(left), _signs(right), _times(left, times)
    same, in_x, in_y = (((drawn @ pairs) * drawn).sum(-1) for pairs in (x * y, x * x, y * y))
    return over(same, np.sqrt(in_x * in_y))


def spearman(left: Values, right: Values, times: np.ndarray | None = None) -> Any:
    """Spearman's rho: the correlation of ranks, which here are wins less losses against the others."""
    drawn = _times(left, times)
    x, y = drawn @ _signs(left).T, drawn @ _signs(right).T
    return over((drawn * x * y).sum(-1), np.sqrt((drawn * x * x).sum(-1) * (drawn * y * y).sum(-1)))


def partial(left: Values, right: Values, given: Values, times: np.ndarray | None = None) -> Any:
    """Kendall's partial tau: of two rankings, what a third does not explain (Kendall 1942)."""
    xy, xz, yz = (kendall(*pair, times) for pair in ((left, right), (left, given), (right, given)))
    return over(xy - xz * yz, np.sqrt(np.maximum((1 - xz**2) * (1 - yz**2), 0)))


def _signs(values: Values) -> np.ndarray:
    return np.sign(np.subtract.outer(values, values)).astype(float)


def _times(values: Values, times: np.ndarray | None) -> np.ndarray:
    return np.ones(len(values)) if times is None else np.asarray(times, float)


class Interval(NamedTuple):
    """A figure of all networks, and its 95 % bootstrap interval over networks (percentiles)."""

    value: float
    low: float
    high: float
    undefined: int
    """Resamples that have no such figure, and are left out."""

    def __format__(self, spec: str) -> str:
        text = f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"
        return text + (f", {self.undefined} of {BOOTSTRAP} resamples undefined" if self.undefined else "")


def interval(figure: Callable[[np.ndarray], Any], networks: int, seed: int = 0) -> Interval:
    """The interval of a figure, which takes how often each network counts."""
    times = np.random.default_rng(seed).multinomial(networks, np.full(networks, 1 / networks), BOOTSTRAP)
    drawn = np.asarray(figure(times.astype(float)))
    known = drawn[~np.isnan(drawn)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return Interval(float(figure(np.ones(networks))), float(low), float(high), len(drawn) - len(known))


def mean_cost(found: Iterable[Row]) -> float:
    """Mean CPU seconds of rows that have them, which those that failed do not; nan where none has."""
    known = [row["cpu_seconds"] for row in found if "cpu_seconds" in row]
    return float(np.mean(known)) if known else float("nan")


def regret(judged: Values, truth: Values, k: int) -> float:
    """Accuracy lost by training only the k that a judge likes best, and taking the best of those."""
    best = np.argsort(-np.asarray(judged), kind="stable")[:k]
    return float(np.max(truth) - np.asarray(truth)[best].max())
