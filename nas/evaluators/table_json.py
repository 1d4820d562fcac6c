"""A table written as JSON, read strictly; docs/tables.md describes the format.

>>> text = '{"name": "mine", "choices": {"depth": [1, 2]}, "records": [{"sample": {"depth": 1}, "macs": 9}]}'
>>> read_json(text, Path("r.json"))  # doctest: +ELLIPSIS
Traceback (most recent call last):
...
nas.errors.NasError: r.json, record 1: 'accuracy' is missing; a record has sample, accuracy, ...
"""

import json
from pathlib import Path
from typing import Any

from nas import catalog
from nas.documents import Named
from nas.errors import NasError, listed, short
from nas.evaluators.table_entries import A_VALUE, Choices, Sheet, check_keys, check_label, entry, is_value
from nas.reading import validate
from nas.space import SearchSpace

KEYS = ("name", "source", "choices", "space", "records")


def read_json(text: str, path: Path) -> Sheet:
    """The content of a JSON file; `path` is for messages, and where a space's path begins.

    Raises:
        NasError: for the first mistake.
    """

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(found)
        if len(made) < len(found):
            names = [name for name, _ in found]
            twice = next(name for name in names if names.count(name) > 1)
            raise NasError(f"{path}: key {short(twice)} is written twice in one mapping; keep one")
        return made

    try:
        data = json.loads(text, object_pairs_hook=pairs)  # NaN is refused where it stands
    except json.JSONDecodeError as error:
        raise NasError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    except NasError:
        raise
    except ValueError as error:  # thousands of digits
        raise NasError(f"{path}: a number is too long ({short(str(error))}); shorten it") from None
    if not isinstance(data, dict):
        raise NasError(f'{path}: found {short(data)}; a table is a mapping such as {{"name": ...}}')
    check_keys(data, KEYS, str(path), "the table")
    for key in ("name", "records"):
        if key not in data:
            raise NasError(f"{path}: {key!r} is missing; a table has {listed(KEYS)}")
    if ("choices" in data) == ("space" in data):
        both = "both 'choices' and 'space' are" if "space" in data else "neither 'choices' nor 'space' is"
        raise NasError(f"{path}: {both} given; give one of them")
    name = validate(Named, {"name": data["name"]}, str(path)).name
    source, records = data.get("source", ""), data["records"]
    if not isinstance(source, str):
        raise NasError(f"{path}: source is {short(source)}; give text")
    if not isinstance(records, list):
        raise NasError(f"{path}: records is {short(records)}; give a list of mappings")
    choices = _choices(data["choices"], path) if "choices" in data else None
    space = None if choices is not None else _space_of(data["space"], path)
    entries = [entry(record, f"{path}, record {number}") for number, record in enumerate(records, 1)]
    return Sheet(name, source, choices, space, entries)


def _choices(data: Any, path: Path) -> Choices:
    if not isinstance(data, dict) or not data:
        raise NasError(f'{path}: choices is {short(data)}; give a mapping such as {{"layer1": [3, 5]}}')
    for label, values in data.items():
        check_label(label, str(path))
        if not isinstance(values, list) or not values:
            raise NasError(f"{path}: choices.{label} is {short(values)}; give a list of values")
        seen: set[Any] = set()
        for value in values:
            if not is_value(value):
                raise NasError(f"{path}: choices.{label} has the value {short(value)}; give {A_VALUE}")
            if value in seen:
                raise NasError(f"{path}: choices.{label} has {short(value)} twice; write each value once")
            seen.add(value)
    return {label: tuple(values) for label, values in data.items()}


def _space_of(name: Any, path: Path) -> SearchSpace:
    if not isinstance(name, str):
        raise NasError(f"{path}: space is {short(name)}; give a search space's name, or a path")
    try:
        return SearchSpace.load(path.parent / name if catalog.is_path(name) else name)
    except NasError as error:
        raise NasError(f"{path}: space: {error}") from None
