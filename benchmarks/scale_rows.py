"""What `simulate.py` runs, and its rows: small files of JSON lines in results/scale/."""

import json
from pathlib import Path
from typing import Any

import rows

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "scale"
FULL = {"model": (8000, 64), "evolution": (100_000, 1000)}
"""Trials and workers: of MnasNet's search (arXiv:1807.11626, section 5, 64 TPUv2), and a search of a thousand."""
MEAN = 1200.0
"""Seconds of a trial: 20 minutes."""
STAGES = 20
MEANS = (1200.0, 600.0, 300.0, 120.0, 60.0, 30.0)
SWEEP = [
    *(("model", 64, 1280, mean) for mean in MEANS),
    *(("evolution", 1000, 10_000, mean) for mean in MEANS),
]
"""Strategy, workers, trials, seconds."""

Row = dict[str, Any]


def read(name: str) -> list[Row]:
    """The rows of a file; none where there is no file. A line that an interruption cut short is passed over."""
    file, found = RESULTS / f"{name}.jsonl", []
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def append(name: str, row: Row) -> None:
    """Writes one row, with the machine and our code's digest."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.jsonl"
    cut = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")  # by an interruption
    with path.open("a") as file:
        file.write("\n" * cut + json.dumps(row | rows.facts() | {"code": rows.code()}) + "\n")


def stages(kind: str) -> list[Row]:
    """The rows of a full run, in order; none while it is not complete."""
    trials, workers = FULL[kind]
    found = {
        row["ended"]: row
        for row in read(f"run.{kind}")
        if (row["trials"], row["workers"], row["mean"]) == (trials, workers, MEAN)
    }
    return [found[ended] for ended in sorted(found)] if trials in found and len(found) == STAGES else []


def swept() -> dict[tuple[str, int, float], Row]:
    """The last row of each (strategy, workers, seconds)."""
    return {(row["search"], row["workers"], row["mean"]): row for row in read("sweep")}
