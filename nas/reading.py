"""Reading users' YAML: safe, bounded, strict, and every complaint names its line.

No tags, no aliases, no repeated keys; YAML 1.1's surprises (`400e6` is a string, `no` is false)
are read or explained.

>>> load_yaml("a: 1\na: 2", "x.yml")
Traceback (most recent call last):
...
nas.errors.NasError: x.yml, line 2: key 'a' is written twice
"""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from nas.errors import NasError, listed, near

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12

M = TypeVar("M", bound=BaseModel)

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*([kKMGB]?)")
_UNITS = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}


def number(value: object) -> float:
    """A number from YAML 1.1, which gives `400e6` as a string; `400M` and `1.2G` are read too.

    Raises:
        ValueError: where the value is not a number.
    """
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.strip())
        if match:
            unit = match.group(4)
            parsed = float(value.strip().removesuffix(unit)) * _UNITS[unit]
            return int(parsed) if parsed.is_integer() else parsed
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError("a number, such as 400e6 or 400M")


def count(value: object) -> int:
    """A whole number, read as `number` reads it."""
    parsed = number(value)
    if parsed != parsed or parsed in (float("inf"), float("-inf")) or parsed != int(parsed):
        raise ValueError("a whole number, such as 24 or 400M")
    return int(parsed)


def read_text(path: Path) -> str:
    """The text of a document's file, of bounded size.

    Raises:
        NasError: where the file is missing, unreadable, too large or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise NasError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if len(raw) > MAX_BYTES:
        raise NasError(f"{path}: larger than {MAX_BYTES // 1024} KiB, which no document is")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise NasError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def load_yaml(text: str, where: str) -> tuple[Any, dict[tuple, int]]:
    """Plain data, and the line of every place in it; no tags, aliases or repeated keys."""
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            opens = isinstance(event, yaml.CollectionStartEvent)
            depth += opens - isinstance(event, yaml.CollectionEndEvent)
            line = event.start_mark.line + 1
            if depth > MAX_DEPTH:
                raise NasError(f"{where}, line {line}: nested deeper than {MAX_DEPTH} levels")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise NasError(f"{where}, line {line}: anchors and aliases (& and *) are refused; write it out")
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        lines: dict[tuple, int] = {}
        if node is not None:
            _index(node, (), lines, where)
        data = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise NasError(f"{where}{line}: not YAML ({error.problem or error.context})") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, NasError):
            raise
        raise NasError(f"{where}: not YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(data, dict):
        raise NasError(f"{where}: found {_short(data)}; a document is a mapping of keys to values")
    return data, lines


def _index(node: yaml.Node, path: tuple, lines: dict[tuple, int], where: str) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise NasError(f"{where}, line {line}: a key is not a plain word")
            if key.value == "<<":
                raise NasError(f"{where}, line {line}: merge keys (<<) are refused; write it out")
            if key.value in seen:
                raise NasError(f"{where}, line {line}: key {key.value!r} is written twice")
            seen.add(key.value)
            _index(value, (*path, key.value), lines, where)
            lines[(*path, key.value)] = line
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _index(item, (*path, index), lines, where)


def validate(model: type[M], data: object, where: str, lines: dict[tuple, int] | None = None) -> M:
    """`data` as a `model`, or one sentence about the first mistake.

    Raises:
        NasError: naming the place, the value found and what is allowed.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        mistakes = _without_branches(error.errors(include_url=False))
        mistakes.sort(key=lambda mistake: mistake["type"] != "extra_forbidden")
        first = mistakes[0]
        path = tuple(part for part in first["loc"] if not _is_branch(part))
        more = len({m["loc"][:2] for m in mistakes}) - 1
        tail = f" (and {more} more mistake{'s' if more > 1 else ''})" if more else ""
        raise NasError(f"{_place(where, path, lines)}: {_sentence(model, first, path)}{tail}") from None


def _is_branch(part: object) -> bool:
    """Whether pydantic put the name of a union's branch into the place."""
    return isinstance(part, str) and bool(re.search(r"[\[(]", part) or part in {"int", "float", "str"})


def _without_branches(errors: list[Any]) -> list[Any]:
    """One mistake a place: of a union's branches the one that fits the value's shape."""
    best: dict[tuple, Any] = {}
    for error in errors:
        path = tuple(part for part in error["loc"] if not _is_branch(part))
        if error["type"] == "list_type":
            best.setdefault(path, error)
            continue
        deeper = [p for p in best if p[: len(path)] == path and len(p) > len(path)]
        if not deeper:
            best[path] = error
            for parent in [p for p in best if path[: len(p)] == p and len(p) < len(path)]:
                del best[parent]
    return list(best.values())


def _place(where: str, path: tuple, lines: dict[tuple, int] | None) -> str:
    known = path
    while lines and known and known not in lines:
        known = known[:-1]
    line = f", line {lines[known]}" if lines and known else ""
    return f"{where}{line}"


def _dotted(path: tuple) -> str:
    words = ""
    for index, part in enumerate(path):
        if isinstance(part, int):
            is_stage = path[index - 1] == "stages"
            words = words.removesuffix("stages") + f"stage{part + 1}" if is_stage else f"{words}[{part}]"
        else:
            words += f".{part}" if words else str(part)
    return words or "the document"


def _sentence(model: type[BaseModel], error: Any, path: tuple) -> str:
    name, kind, found = _dotted(path), error["type"], error.get("input")
    if kind == "extra_forbidden":
        allowed = _fields(model, path[:-1])
        parent = f" in {_dotted(path[:-1])}" if len(path) > 1 else ""
        return f"unknown key {path[-1]!r}{parent}{near(path[-1], allowed)}; allowed: {listed(allowed)}"
    if kind == "missing":
        return f"{name!r} is missing"
    if kind in ("too_short", "list_type") and found == []:
        return f"{name} is empty; give at least one value"
    if kind == "value_error":
        return f"{name} is {_short(found)}; give {str(error['ctx']['error'])}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{name} is {_short(found)}; give a mapping such as {{key: value}}"
    if kind == "string_pattern_mismatch":
        return f"{name} is {_short(found)}; use letters, digits, '.', '_' and '-' only"
    message = error["msg"]
    return f"{name} is {_short(found)}; {message[:1].lower()}{message[1:]}"


def _fields(model: type[BaseModel], path: tuple) -> list[str]:
    """Names of the fields of the model that stands at `path`."""
    current: type[BaseModel] = model
    for part in path:
        if isinstance(part, int):
            continue
        hint = current.model_fields[part].annotation
        current = next(m for m in _models(hint))
    return list(current.model_fields)


def _models(hint: object):
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
    for inner in getattr(hint, "__args__", ()):
        yield from _models(inner)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
