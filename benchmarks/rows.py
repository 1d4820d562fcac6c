"""Rows of results: one small file of JSON lines for each setting and strategy, one line a seed."""

import hashlib
import json
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from counting import CHECKPOINTS, Outcome

import nas

Row = dict[str, Any]


def path(out: Path, setting: str, strategy: str) -> Path:
    return out / f"{setting}.{strategy}.jsonl"


def lines(file: Path) -> list[Row]:
    """The rows of a file as they stand; none where there is no file.

    A line that an interruption cut short is passed over.
    """
    found = []
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def add(file: Path, row: Row) -> None:
    """Writes one row at the end of a file, after a line that was cut short on a line of its own."""
    file.parent.mkdir(parents=True, exist_ok=True)
    cut = file.exists() and file.read_bytes()[-1:] not in (b"", b"\n")
    with file.open("a") as end:
        end.write("\n" * cut + json.dumps(row) + "\n")


def read(file: Path) -> list[Row]:
    """The rows of a file, the last of each seed, in order of the seeds.

    That there was nothing to measure with (a row without a seed) counts until something was measured.
    """
    found = {-1 if row["seed"] is None else row["seed"]: row for row in lines(file)}
    if len(found) > 1:
        found.pop(-1, None)
    return [found[seed] for seed in sorted(found)]


def read_all(out: Path) -> list[Row]:
    """The rows of every file of a folder."""
    return [row for file in sorted(out.glob("*.jsonl")) for row in read(file)]


def append(out: Path, row: Row) -> None:
    """Writes one row at the end of its file."""
    add(path(out, row["setting"], row["strategy"]), row)


def missing(out: Path, strategy: str, setting: str, seeds: Iterable[int], budget: int) -> list[int]:
    """The seeds that have no row of this budget yet."""
    done = {row["seed"] for row in read(path(out, setting, strategy)) if row["budget"] == budget}
    return [seed for seed in seeds if seed not in done]


def facts() -> Row:
    """Date and machine."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        },
    }


@cache
def code(*more: Path) -> str:
    """A digest of our package's modules, and of more files: rows of other code are other rows."""
    digest = hashlib.sha256()
    for file in (*sorted(Path(nas.__file__).parent.rglob("*.py")), *more):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def measured(outcome: Outcome, best: float | None) -> Row:
    """What a run gave, as a row says it.

    `regret`: of the incumbent's true reward, in percent of the best; `reward` where the best is unknown.
    """
    row: Row = {
        "evaluations": outcome.evaluations,
        "found": outcome.found,
        "why": outcome.why,
        "asks": outcome.asks,
        "seconds": round(outcome.seconds, 3),
    }
    after = {str(count): outcome.after(count) for count in CHECKPOINTS}
    if best is None:
        return row | {"reward": {count: None if v is None else round(v, 7) for count, v in after.items()}}
    return row | {
        "regret": {c: None if v is None else round(100 * max(0.0, 1 - v / best), 5) for c, v in after.items()}
    }
