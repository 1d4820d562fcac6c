"""YAML read safely: bounded, with the line of every place, and without its surprises.

No tags, no aliases, no repeated keys; a date is the text that was written, `<<` is a key like others.

>>> load_yaml("a: 1\\na: 2", "x.yml")
Traceback (most recent call last):
...
nas.errors.NasError: x.yml, line 2: key 'a' is written twice
"""

from pathlib import Path
from typing import Any

import yaml

from nas.errors import NasError, short
from nas.files import text_of

MAX_BYTES = 64 * 1024
"""A document of 64 stages is a third of this."""
MAX_DEPTH = 12
MAX_DIGITS = 40

_TAG = "tag:yaml.org,2002:"
_READ = ("bool", "int", "float", "null")

Lines = dict[tuple, int]
"""The line, from 1, of each place in a document: ('stages', 2, 'kernel') -> 14."""


class _Loader(yaml.SafeLoader):
    """SafeLoader without dates, merge keys and `=`, which are read as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own way to say it)
        first: [(tag, pattern) for tag, pattern in resolvers if tag.removeprefix(_TAG) in _READ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_text(path: Path) -> str:
    """The text of a document's file, of bounded size.

    Raises:
        NasError: where the file is missing, unreadable, too large or not UTF-8.
    """
    return text_of(path, MAX_BYTES)


def load_yaml(text: str, where: str) -> tuple[dict[str, Any], Lines]:
    """The mapping that `text` holds, as plain data, and the line of every place in it.

    Raises:
        NasError: naming `where`, the line, and what is wrong.
    """
    try:
        _refuse(text, where)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise NasError(f"{where}: is empty; a document is a mapping of keys to values")
        lines: Lines = {}
        _index(node, (), lines, where)
        data = _construct(loader, node, where)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise NasError(f"{where}{line}: not YAML ({error.problem or error.context})") from None
    except yaml.reader.ReaderError as error:
        raise NasError(
            f"{where}: character {error.position} is #x{error.character:04x}, which is no text; take it out"
        ) from None
    if not isinstance(data, dict):
        raise NasError(f"{where}: found {short(data)}; a document is a mapping of keys to values")
    return data, lines


def _construct(loader: _Loader, node: yaml.Node, where: str) -> Any:
    try:
        return loader.construct_document(node)
    except ValueError as error:  # such as 0x_
        raise NasError(f"{where}: a number has no digits ({error}); quote it or write them") from None


def _refuse(text: str, where: str) -> None:
    """Raises NasError at depth, tags, anchors and aliases, before anything is composed."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        place = f"{where}, line {event.start_mark.line + 1}"
        if depth > MAX_DEPTH:
            raise NasError(f"{place}: nested deeper than {MAX_DEPTH} levels, which no document is")
        if getattr(event, "anchor", None):  # an alias carries its anchor's name too
            raise NasError(f"{place}: anchors and aliases (& and *) are refused; write it out")
        if getattr(event, "tag", None):
            raise NasError(f"{place}: the tag {short(event.tag)} is refused; write the plain value")


def _index(node: yaml.Node, path: tuple, lines: Lines, where: str) -> None:
    """Fills `lines`, and refuses keys that are no words or stand twice, and endless numbers."""
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            place = f"{where}, line {line}"
            if not isinstance(key, yaml.ScalarNode):
                raise NasError(f"{place}: a key is a list or a mapping; write a word")
            if key.tag != f"{_TAG}str":
                raise NasError(
                    f"{place}: key {short(key.value)} is a number, yes, no or null to YAML; quote it"
                )
            if (*path, key.value) in lines:
                raise NasError(f"{place}: key {short(key.value)} is written twice")
            lines[(*path, key.value)] = line
            _index(value, (*path, key.value), lines, where)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _index(item, (*path, index), lines, where)
    elif len(node.value) > MAX_DIGITS and node.tag in (f"{_TAG}int", f"{_TAG}float"):
        raise NasError(f"{where}, line {line}: {short(node.value)} has over {MAX_DIGITS} digits; shorten it")
