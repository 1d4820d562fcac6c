"""Plain data checked against a model: a value is read leniently, a mistake is told in one sentence.

YAML 1.1 gives `400e6` as a string and `no` as false; numbers are read from such strings, and every
other mismatch is refused with its place.

>>> number("400e6"), number("1.2G"), count("400M")
(400000000, 1200000000, 400000000)
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nas.errors import NasError, listed, near, short

M = TypeVar("M", bound=BaseModel)

_NUMBER = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*([kKMGB]?)", re.ASCII)
_UNITS = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}


LARGEST = 10**40
"""Beyond every number of a document; a float would overflow at 10**308."""

_RANK = {"too_short": 0, "list_type": 2}
"""Where a value or a list may stand: an empty list is no wrong value, a wrong value no wrong list."""


def number(value: object) -> int | float:
    """A number; strings such as `400e6`, `400M` and `1.2G` are read, whole floats become ints.

    Raises:
        ValueError: where the value is not a number.
    """
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.strip())
        if match is None:
            raise ValueError("a number, such as 6 or 400M")
        value = float(match.group(1)) * _UNITS[match.group(2)]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number, such as 6 or 400M")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError("a number, such as 6 or 400M")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def count(value: object) -> int:
    """A whole number, read as `number` reads it.

    Raises:
        ValueError: where the value is not a whole number.
    """
    try:
        parsed = number(value)
    except ValueError:
        parsed = None
    if not isinstance(parsed, int):
        raise ValueError("a whole number, such as 24 or 400M")
    return parsed


def validate(model: type[M], data: object, where: str, lines: Mapping[tuple, int] | None = None) -> M:
    """`data` as a `model`, or one sentence about the first mistake.

    Raises:
        NasError: naming the place, the value found and what is allowed.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        mistakes = _by_place(error, data)
        unknown = [path for path, mistake in mistakes.items() if mistake["type"] == "extra_forbidden"]
        path = next(iter(unknown or mistakes))
        more = len(mistakes) - 1
        tail = f" (and {more} more mistake{'s' if more > 1 else ''})" if more else ""
        raise NasError(
            f"{place(where, lines, path)}: {_sentence(model, mistakes[path], path)}{tail}"
        ) from None


def place(where: str, lines: Mapping[tuple, int] | None, path: tuple[str | int, ...]) -> str:
    """'x.yml, line 7' of ('stages', 2, 'kernel'), or of the nearest place around it that is known."""
    while lines and path and path not in lines:
        path = path[:-1]
    return f"{where}, line {lines[path]}" if lines and path else where


def _by_place(error: ValidationError, data: object) -> dict[tuple, Any]:
    """One mistake a place: of a union's branches the one that fits the value's shape."""
    found = [(_path(mistake, data), mistake) for mistake in error.errors(include_url=False)]
    found.sort(key=lambda one: _RANK.get(one[1]["type"], 1))
    inside = {path[:end] for path, _ in found for end in range(len(path))}
    kept: dict[tuple, Any] = {}
    for path, mistake in found:
        if path not in inside:
            kept.setdefault(path, mistake)
    return kept


def _path(mistake: Any, data: Any) -> tuple[str | int, ...]:
    """The place of a mistake in the data, without the names of unions' branches."""
    path: list[str | int] = []
    for part in mistake["loc"]:
        try:
            data = data[part]
        except (TypeError, LookupError):
            if mistake["type"] != "missing" or part != mistake["loc"][-1]:
                continue
        path.append(part)
    return tuple(path)


def _dotted(path: tuple[str | int, ...]) -> str:
    """'stage3.kernel' of ('stages', 2, 'kernel')."""
    words = ""
    for before, part in zip(("", *path), path, strict=False):
        if isinstance(part, int):
            words = f"stage{part + 1}" if before == "stages" else f"{words}[{part}]"
        else:
            words += f".{part}" if words else str(part)
    return words or "the document"


def _sentence(model: type[BaseModel], error: Any, path: tuple[str | int, ...]) -> str:
    name, kind, found = _dotted(path), error["type"], short(error.get("input"))
    if kind == "extra_forbidden":
        *above, key = path
        allowed = _fields(model, tuple(above))
        parent = f" in {_dotted(tuple(above))}" if above else ""
        return f"unknown key {short(key)}{parent}{near(key, allowed)}; allowed: {listed(allowed)}"
    if kind == "missing":
        return f"{name!r} is missing"
    if kind == "too_short":
        return f"{name} is empty; give at least one value"
    if kind == "too_long":
        return (
            f"{name} has {error['ctx']['actual_length']} entries; give at most {error['ctx']['max_length']}"
        )
    if isinstance(error.get("input"), list) and path and isinstance(path[-1], str):
        if path[0] == "stages" and kind in ("value_error", "string_type", "bool_type"):
            fields = _model_at(model, path[:-1]).model_fields
            choices = [field for field, info in fields.items() if "list[" in str(info.annotation)]
            return (
                f"{name} is {found}; give one value: lists may stand in {listed(choices)} of a search space"
            )
        if kind in ("string_type", "bool_type"):
            return f"{name} is {found}; give one value, not a list"
    if kind == "value_error":
        return f"{name} is {found}; give {error['ctx']['error']}"
    if kind in ("model_type", "dict_type"):
        return f"{name} is {found}; give a mapping such as {{key: value}}"
    if kind == "string_pattern_mismatch":
        return (
            f"{name} is {found}; give up to 128 letters, digits, '.', '_' and '-', one of the first two first"
        )
    if kind == "string_type":
        return f"{name} is {found}; give text, in quotes where YAML reads it as something else"
    message = error["msg"].removeprefix("Input should be ")
    if message.startswith(("less than", "greater than")):
        return f"{name} is {found}; give a number {message}"
    return f"{name} is {found}; give {message[:1].lower()}{message[1:]}"


def _fields(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """Names of the fields of the model that stands at `path`."""
    return list(_model_at(model, path).model_fields)


def _model_at(model: type[BaseModel], path: tuple[str | int, ...]) -> type[BaseModel]:
    for part in path:
        if isinstance(part, str):
            model = next(_models(model.model_fields[part].annotation))
    return model


def _models(hint: object) -> Iterator[type[BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
    for inner in getattr(hint, "__args__", ()):
        yield from _models(inner)
