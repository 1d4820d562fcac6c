"""Rows of the CIFAR-10 experiment, one file of JSON lines for each step, and what is worked out from them."""

import json
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "results" / "cifar"
SEEDS = (0, 1, 2)
Row = dict[str, Any]


def rows(name: str) -> list[Row]:
    """The rows of a file, the first of each network and seed; a line that was cut short is left out."""
    file, found = OUT / f"{name}.jsonl", {}
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        found.setdefault((row.get("network"), row.get("seed"), row.get("number")), row)
    return list(found.values())


def write(name: str, row: Row) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    made = {
        "versions": {p: version(p) for p in ("torch", "b0nas")},
        "date": datetime.now(UTC).date().isoformat(),
    }
    with (OUT / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps({**row, **made}) + "\n")


def values(name: str, key: str = "accuracy", file: str = "train") -> list[float]:
    return [row[key] for row in rows(file) if row["network"] == name and key in row]


def mean(name: str) -> float | None:
    """The mean accuracy on `val`, None before every seed has its row."""
    found = values(name)
    return statistics.mean(found) if len(found) == len(SEEDS) else None


def difference(left: list[float], right: list[float]) -> str:
    """Difference of means in points, with Welch's 95 % interval (Welch 1947)."""
    from scipy import stats

    found = stats.ttest_ind(left, right, equal_var=False)
    interval = found.confidence_interval(0.95)
    off = statistics.mean(left) - statistics.mean(right)
    return f"{100 * off:+.2f} [{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"
