"""What `simulate.py` runs, and its rows: small files of JSON lines in results/scale/.

Rows of searches hang on our code, on that of the simulation, and on what NNI's manager was measured to take: each has a
digest of these. Rows of one digest alone are told together, those of the newest row; the others are stale.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rows

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "scale"
ROWS = "rows.jsonl"
"""The file of a search's rows in its own folder."""
FULL = {"model": (8000, 64), "evolution": (100_000, 1000)}
"""Trials and workers: of MnasNet's search (arXiv:1807.11626, section 5, 64 TPUv2), and a search of a thousand."""
MEAN = 1200.0
"""Seconds of a trial: 20 minutes."""
STAGES = 20
MEANS = (1200.0, 600.0, 300.0, 120.0, 60.0, 30.0)
SHORT = {"model": (64, 960, 576), "evolution": (1000, 6000, 2000)}
"""Workers, trials, and how many of them are left out: the first wave, in which all begin at once, and the next; of
`model` all until it has over 500 results, for until then it thinks the longer the more there are."""
SWEEP = [(kind, *sizes, mean) for kind, sizes in SHORT.items() for mean in MEANS]
"""Strategy, workers, trials, how many left out, seconds."""
MEASURED = ("manager", "manager.submit")
SEARCHES = (*(f"run.{kind}" for kind in FULL), "replay", "sweep")

Row = dict[str, Any]


def code() -> str:
    """A digest of all that rows of searches hang on."""
    measured = [file for name in MEASURED if (file := RESULTS / f"{name}.jsonl").exists()]
    return rows.code(*sorted(HERE.glob("virtual_*.py")), HERE / "weather.py", *measured)


def stamped(row: Row) -> Row:
    """A row of a search with time, machine and digest."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return row | rows.facts() | {"at": at, "code": code()}


def append(name: str, row: Row) -> None:
    """Writes one row."""
    rows.add(RESULTS / f"{name}.jsonl", row)


def fill(kind: str, folder: Path) -> None:
    """Has the rows of a full run be those of its folder."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"run.{kind}.jsonl"
    found = {row["ended"]: row for row in rows.lines(folder / ROWS)}
    new = file.with_suffix(".new")
    new.write_text("".join(json.dumps(found[ended]) + "\n" for ended in sorted(found)))
    new.replace(file)


def read(name: str) -> list[Row]:
    """The rows of a file, of any code."""
    return rows.lines(RESULTS / f"{name}.jsonl")


def newest() -> str | None:
    """The digest of the newest row of all searches; None while there is none."""
    found = [row for name in SEARCHES for row in read(name)]
    return max(found, key=lambda row: row["at"])["code"] if found else None


def current(name: str, digest: str | None = None) -> list[Row]:
    """The rows of a file of one digest, the newest unless given."""
    digest = newest() if digest is None else digest
    return [row for row in read(name) if row["code"] == digest]


def stale() -> str:
    """A sentence on the rows that are left out; empty where there are none."""
    found = {name: len(read(name)) - len(current(name)) for name in SEARCHES}
    words = ", ".join(f"{count} of {name}.jsonl" for name, count in found.items() if count)
    return f"Of other code than the newest row, and left out: {words}." if words else ""


def stages(kind: str) -> list[Row]:
    """The rows of a full run, in order; none while it is not complete."""
    trials, workers = FULL[kind]
    found = {
        row["ended"]: row
        for row in current(f"run.{kind}")
        if (row["trials"], row["workers"], row["mean"]) == (trials, workers, MEAN)
    }
    return [found[ended] for ended in sorted(found)] if trials in found and len(found) == STAGES else []


def swept(digest: str | None = None) -> dict[tuple[str, float], Row]:
    """The last row of each (strategy, seconds), of one digest."""
    return {
        (row["search"], row["mean"]): row
        for row in current("sweep", digest)
        if (row["workers"], row["trials"]) == SHORT[row["search"]][:2]
    }
