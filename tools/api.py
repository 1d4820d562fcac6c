"""Writes docs/reference/api.md: the public names of `import nas`, from their signatures and docstrings.

    python tools/api.py

>>> sections(nas.reward)[:2]
['The reward of a network.', 'Args:']
"""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nas

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "api.md"
OPENING = """# Python

What `import nas` gives; a name that stands nowhere here may change with any version
([versions](../../CONTRIBUTING.md#versions)).
Torch is imported by `nas.build`, NNI by `nas.Search`, when they are first asked for. Every mistake is a `NasError` with
one sentence. Written by `make docs` from the code's own docstrings, whose examples run as tests.
"""
HEADINGS = ("Args", "Attributes", "Raises", "Returns", "Source")


def signature(name: str, found: Any) -> str:
    """As a reader calls it: no quotes and no modules in annotations, and a parameter a line where it gets long."""
    shape = inspect.signature(found)
    parameters = [_parameter(one) for one in shape.parameters.values() if one.name not in ("self", "cls")]
    returned = shape.return_annotation
    arrow = "" if inspect.isclass(found) or returned in (shape.empty, None) else f" -> {_bare(returned)}"
    line = f"{name}({', '.join(parameters)}){arrow}"
    if len(line) <= 100:
        return line
    return f"{name}(\n    " + ",\n    ".join(parameters) + f",\n){arrow}"


def _parameter(one: inspect.Parameter) -> str:
    kind = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
    words = f"{kind}{one.name}"
    if one.annotation is not one.empty:
        words += f": {_bare(one.annotation)}"
    return words if one.default is one.empty else f"{words} = {one.default!r}"


def _bare(annotation: Any) -> str:
    text = inspect.formatannotation(annotation).replace("'", "")
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Za-z])", "", text)


def sections(found: Any) -> list[str]:
    """A docstring as Markdown: prose, examples as blocks, Args and the like as lists."""
    told: list[str] = []
    for part in re.split(r"\n\s*\n", inspect.getdoc(found) or ""):
        heading, _, rest = part.partition("\n")
        if heading.rstrip(":") in HEADINGS and heading.endswith(":"):
            told += [f"{heading.rstrip(':')}:", "\n".join(_items(rest))]
        elif part.lstrip().startswith(">>>"):
            told.append(f"```python\n{inspect.cleandoc(part)}\n```")
        else:
            told.append(part)
    return told


def _items(text: str) -> Iterator[str]:
    for line in inspect.cleandoc(text).splitlines():
        match = re.match(r"([\w., *]+): (.*)", line)
        if match and not line.startswith(" "):
            names = ", ".join(f"`{name.strip()}`" for name in match.group(1).split(","))
            yield f"- {names}: {match.group(2)}"
        else:
            yield f"  {line.strip()}" if line.strip() else ""


def members(found: type) -> Iterator[tuple[str, Any, str]]:
    """(name, member, how it is read) of a class's own public methods and properties, in order."""
    for name, member in vars(found).items():
        if name.startswith("_"):
            continue
        if isinstance(member, classmethod | staticmethod):
            yield name, member.__func__, f"{found.__name__}."
        elif inspect.isfunction(member):
            yield name, member, "."
        elif isinstance(member, property) or type(member).__name__ == "cached_property":
            yield name, member, "property"


def text() -> str:
    """The page."""
    told = [OPENING.rstrip()]
    for name in nas.__all__:
        found = getattr(nas, name)
        told += [f"## nas.{name}", f"```text\n{signature(f'nas.{name}', found)}\n```", *sections(found)]
        if not inspect.isclass(found) or issubclass(found, Exception):
            continue
        for member_name, member, how in members(found):
            if not inspect.getdoc(member):
                continue
            told.append(f"### {found.__name__}.{member_name}")
            if how == "property":
                told.append("*A property.*")
            else:
                told.append(f"```text\n{signature(how + member_name, member)}\n```")
            told += sections(member)
        if dataclasses.is_dataclass(found):
            told.append("A frozen dataclass: `dataclasses.replace` makes a changed copy.")
    return "\n\n".join(told) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text(), encoding="utf-8")
