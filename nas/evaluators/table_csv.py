"""A table written as CSV, read strictly; docs/tables.md describes the format.

>>> read_csv("depth,accuracy,macs\\n10,0.5,9\\n2,0.6,7\\n", Path("results.csv")).choices
{'depth': (2, 10)}
"""

import csv
import io
import re
from pathlib import Path
from typing import Any

from nas.errors import NasError, listed, near, short
from nas.evaluators.table_entries import (
    A_VALUE,
    FACTS,
    LARGEST,
    LONGEST,
    Sheet,
    check_label,
    entry,
    is_value,
)  # fmt: skip
from nas.space import SearchSpace

_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d{0,14})(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)


def read_csv(text: str, path: Path, space: SearchSpace | None = None) -> Sheet:
    """The content of a CSV file; its choices are those of `space`, where it is given.

    Raises:
        NasError: for the first mistake.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[str, list[str]]] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((f"{path}, line {reader.line_num}", [cell.strip() for cell in cells]))
    except csv.Error as error:
        raise NasError(f"{path}, line {reader.line_num}: not CSV ({error})") from None
    if not rows:
        raise NasError(f"{path}: the table is empty; give a header, and a line for each run")
    labels = _header(*rows[0], space)
    columns = rows[0][1]
    lines: list[tuple[str, dict[str, str]]] = []
    for where, cells in rows[1:]:
        if len(cells) != len(columns):
            raise NasError(
                f"{where}: has {len(cells)} cells, and the header {len(columns)}; give one a column"
            )
        lines.append((where, dict(zip(columns, cells, strict=True))))
    choices = None if space is not None else {label: _column(label, lines) for label in labels}
    entries = []
    for where, line in lines:
        sample = {label: _value(line[label], (choices or {}).get(label)) for label in labels}
        facts = {name: _fact(name, line[name]) for name in FACTS if line.get(name)}
        entries.append(entry({"sample": sample, **facts}, where))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem)[:LONGEST].lstrip("._-") or "table"
    return Sheet(name, "", choices, space, entries)


def _header(where: str, columns: list[str], space: SearchSpace | None) -> list[str]:
    """The columns that are choices."""
    seen: set[str] = set()
    for column in columns:
        if column in seen:
            raise NasError(f"{where}: column {short(column)} stands twice; keep one")
        seen.add(column)
    labels = [column for column in columns if column not in FACTS]
    needed = ("accuracy", "macs") if space is None else ("accuracy", *space.choices)
    for column in needed:
        if column not in columns:
            raise NasError(
                f"{where}: column {column!r} is missing{near(column, labels)}; the columns are "
                f"{short(', '.join(columns))}, to be separated by commas"
            )
    for label in labels:
        if space is not None and label not in space.choices:
            raise NasError(
                f"{where}: {short(label)} is no choice of {space.name}{near(label, space.choices)}"
            )
        check_label(label, where)
    if space is None and not labels:
        raise NasError(f"{where}: no column is a choice; give one for each choice, beside {listed(columns)}")
    return labels


def _number(text: str) -> int | float | None:
    """The number that a cell writes; `007` and `1_000` are text."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    if not -LARGEST < value < LARGEST:
        return None
    return int(value) if value.is_integer() else value


def _column(label: str, lines: list[tuple[str, dict[str, str]]]) -> tuple[Any, ...]:
    """The values of a plain choice in order: numbers where all of them are, else text."""
    for where, line in lines:
        if not is_value(line[label]):
            raise NasError(f"{where}: {label} is {short(line[label])}; give {A_VALUE}")
    found = {line[label] for _, line in lines}
    numbers = {text: number for text in found if (number := _number(text)) is not None}
    return tuple(sorted(set(numbers.values()) if len(numbers) == len(found) else found))


def _value(text: str, values: tuple[Any, ...] | None) -> Any:
    """A cell as the choice has it: `values` of a plain choice, None of a search space's."""
    number = _number(text)
    return text if number is None or (values is not None and text in values) else number


def _fact(name: str, text: str) -> Any:
    """A cell beside the sample: a number where it is one; macs and params may be written 400M."""
    number = None if name == "network" else _number(text)
    return text if number is None else number
