"""What an export wrote into a folder before: the files that the next one, with --force, may replace or take away.

config.json records the others by their sha256, so that a document or a page of the user's own, or one that was
edited since, is told from them:

>>> record_of({"README.md": b"# tiny"})
{'b0nas': {'files': {'README.md': '85d16df4dd9fb50a134befeedc92b8a0224f8d74765cf8be28c4ee7389f52638'}}}
"""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.files import bytes_of, is_dir, is_file, text_of
from nas.strict_json import load_json

CONFIG, PROGRAM, WEIGHTS, CARD = "config.json", "model.py", "model.safetensors", "README.md"
MOST = 1 << 24
"""Bytes of a file that is read here: config.json may have the names of thousands of classes."""


def record_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """What config.json says of the files beside it, name -> content; timm passes over it."""
    return {"b0nas": {"files": {name: _sum(content) for name, content in files.items()}}}


def written(folder: Path) -> dict[str, str]:
    """Name -> sha256 of the page and the document that an export before wrote into the folder, by its config.json."""
    found: Any = None
    with suppress(NasError):
        found = load_json(text_of(folder / CONFIG, MOST), CONFIG)
    for key in ("b0nas", "files"):
        found = found.get(key) if isinstance(found, dict) else None
    names = found.items() if isinstance(found, dict) else ()
    return {
        name: value
        for name, value in names
        if name == CARD or (Path(name).name == name and name.endswith(".yml"))
    }


def check_replaced(folder: Path, files: Iterable[str], before: Mapping[str, str]) -> None:
    """Raises NasError where one of `files` would replace a folder, or a page or document that no export wrote so."""
    for name in files:
        path = folder / name
        if is_dir(path):
            raise NasError(f"{path}: is a folder, where a file is written; choose another --output")
        if is_file(path) and name not in (CONFIG, PROGRAM, WEIGHTS) and not _as_written(path, before):
            raise NasError(
                f"{path}: is not as an export wrote it, and would be replaced; move it away, or choose another --output"
            )


def forget(folder: Path, before: Mapping[str, str], files: Iterable[str]) -> list[str]:
    """Takes away what an export before wrote and this one did not: a page or document of other weights says nothing
    of these. What was changed since stays; the lines that say so."""
    lines = []
    for name in sorted(set(before) - set(files)):
        path = folder / name
        if not is_file(path):
            continue
        if _as_written(path, before):
            path.unlink()
        else:
            lines.append(f"left as it is, for it was changed since it was exported: {path}")
    return lines


def _as_written(path: Path, before: Mapping[str, str]) -> bool:
    try:
        return before.get(path.name) == _sum(bytes_of(path, MOST))
    except NasError:  # larger, or not to be read
        return False


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
