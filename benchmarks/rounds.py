"""Benchmarks that measure several things in turns, a row a round, and tell of their rows alone."""

import json
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def spread(values: list[float], digits: int = 2) -> str:
    """Median and quartiles.

    >>> spread([1, 2, 3, 4, 5], 1)
    '3.0 (1.5 to 4.5)'
    """
    low, median, high = statistics.quantiles(values, n=4)
    return f"{median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def run(file: Path, measure: Callable[[], Iterable[Row]], report: Callable[[list[Row]], str]) -> None:
    """With the word `measure` new rows, in FILE.part as they come, which takes the file's place when all are there;
    always the report of the file's rows."""
    if sys.argv[1:] == ["measure"]:
        part = file.with_name(f"{file.name}.part")
        with part.open("w") as rows:
            for row in measure():
                rows.write(json.dumps(row) + "\n")
                rows.flush()
        part.replace(file)
    if not file.exists():
        sys.exit(f"{file}: there are no rows yet; make them with the word measure")
    print(report([json.loads(line) for line in file.read_text().splitlines()]))
