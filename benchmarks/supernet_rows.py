"""Rows of the supernet's ranking experiment, and the figures worked out from them; see supernet_ranking.py.

>>> kendall([1, 2, 3, 4], [1, 2, 4, 3])
0.6666666666666667
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path(__file__).parent / "results" / "supernet"
BOOTSTRAP = 2000
Row = dict[str, Any]


def rows(name: str, folder: Path = OUT) -> list[Row]:
    """The rows of a file; a line that was cut short is left out."""
    file, found = folder / f"{name}.jsonl", []
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def write(name: str, row: Row) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    made = {
        "versions": {p: version(p) for p in ("torch", "b0nas")},
        "date": datetime.now(UTC).date().isoformat(),
    }
    with (OUT / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps({**row, **made}) + "\n")


def kendall(left: Sequence[float], right: Sequence[float]) -> float:
    """Kendall's tau-b."""
    from scipy import stats

    return float(stats.kendalltau(left, right).statistic)


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    from scipy import stats

    return float(stats.spearmanr(left, right).statistic)


def partial(left: Sequence[float], right: Sequence[float], given: Sequence[float]) -> float:
    """Kendall's partial tau: of two rankings, what a third does not explain (Kendall 1942)."""
    xy, xz, yz = kendall(left, right), kendall(left, given), kendall(right, given)
    return (xy - xz * yz) / float(np.sqrt((1 - xz**2) * (1 - yz**2)))


def interval(
    figure: Callable[[np.ndarray], float], networks: int, seed: int = 0
) -> tuple[float, float, float]:
    """A figure of all networks (their indices), and its 95 % bootstrap interval over networks (percentiles)."""
    rng = np.random.default_rng(seed)
    drawn = [figure(rng.integers(0, networks, networks)) for _ in range(BOOTSTRAP)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return figure(np.arange(networks)), float(low), float(high)


def mean_cost(found: Iterable[Row]) -> float:
    """Mean CPU seconds of rows that have them; nan where none has."""
    known = [row["cpu_seconds"] for row in found if row.get("cpu_seconds") is not None]
    return float(np.mean(known)) if known else float("nan")


def regret(judged: Sequence[float], truth: Sequence[float], k: int) -> float:
    """Accuracy lost by training only the k that a judge likes best, and taking the best of those."""
    best = np.argsort(-np.asarray(judged), kind="stable")[:k]
    return float(np.max(truth) - np.asarray(truth)[best].max())
