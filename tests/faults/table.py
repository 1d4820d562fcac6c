"""The tables of docs/faults.md, from the rows that `make faults` wrote: `python tests/faults/table.py`."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "faults"
TARGETS = ("trial", "warm", "tuner", "manager", "group")


def rows(name: str) -> list[dict[str, Any]]:
    path = RESULTS / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def kills() -> str:
    """kill -9: searches and kills, by who is to carry on, and whether there were warm processes."""
    lines = [
        "| by | trials are | searches | survived | kills | trial | warm process | tuner | manager | all of them |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    found = rows("kills")
    for warm, way in sorted({("warm" in row, row["way"]) for row in found}):
        theirs = [row for row in found if ("warm" in row, row["way"]) == (warm, way)]
        killed = Counter(target for row in theirs for target in row["killed"])
        trials, survived = "warm" if warm else "cold", sum(row["survived"] for row in theirs)
        cells = [way, trials, len(theirs), survived, killed.total()]
        lines.append("| " + " | ".join(map(str, [*cells, *(killed[target] for target in TARGETS)])) + " |")
    return "\n".join(lines)


def others() -> str:
    """Everything else: tried and survived."""
    lines = ["| fault | tried | survived |", "| --- | ---: | ---: |"]
    found = rows("others")
    for fault in dict.fromkeys(name(row) for row in found):
        theirs = [row for row in found if name(row) == fault]
        lines.append(f"| {fault} | {len(theirs)} | {sum(row['survived'] for row in theirs)} |")
    return "\n".join(lines)


def name(row: dict[str, Any]) -> str:
    """A test's name in words, without its case."""
    return row["fault"].partition("[")[0].removeprefix("test_").replace("_", " ").replace("nnis", "NNI's")


if __name__ == "__main__":
    print(kills(), others(), sep="\n\n")
