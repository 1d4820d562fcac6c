"""Baseline: a search space in which every choice has been made, with what is known of it.

>>> b0 = load("efficientnet-b0")
>>> b0.architecture.params, b0.architecture.macs
(5288548, 385814752)
"""

import itertools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from nas import catalog
from nas.architecture import Architecture
from nas.documents import BaselineDocument, CertificateLine, Facts, Provenance, ScalingLine
from nas.errors import NasError, short
from nas.files import write_whole
from nas.parts import Head, Stage, Stem, unusual
from nas.strict_yaml import read_text


@dataclass(frozen=True)
class Baseline:
    """A frozen Architecture with its measured facts and its provenance."""

    name: str
    architecture: Architecture
    source: str = ""
    dropout: float = 0.2
    scaling: ScalingLine | None = None
    facts: Facts | None = None
    certificate: CertificateLine | None = None
    provenance: Provenance | None = None


def load(name: str | Path) -> Baseline:
    """The baseline of a catalogue name or of a path, its params and macs verified.

    Raises:
        NasError: for an unknown name, a bad document, or facts that its stages contradict.
    """
    return from_document(BaselineDocument.read(catalog.find("baselines", str(name))))


def from_document(document: BaselineDocument) -> Baseline:
    """The baseline that a document describes, its params and macs verified.

    Raises:
        NasError: for a list where one value belongs, an impossible network, or facts that its
            stages contradict.
    """
    stages = []
    for number, line in enumerate(document.stages, 1):
        values: dict[str, Any] = dict(line)
        for key, value in values.items():
            if isinstance(value, list):
                raise document.mistake(
                    f"stage{number}.{key} is {short(value)}; a baseline writes one value "
                    "(lists belong to search spaces)"
                )
        stages.append(Stage(**values))
    try:
        architecture = Architecture(
            stem=Stem(**dict(document.stem)),
            stages=tuple(stages),
            head=Head(**dict(document.head)),
            activation=document.activation,
            resolution=document.resolution,
        )
    except NasError as error:
        raise document.mistake(error) from None
    for fact in ("params", "macs") if document.facts else ():
        written, counted = getattr(document.facts, fact), getattr(architecture, fact)
        if written != counted:
            raise document.mistake(
                f"facts.{fact} is {written}, but the stages have {counted}; "
                "one of them was changed by hand: mend it, or leave the facts out"
            )
    return Baseline(
        name=document.name,
        architecture=architecture,
        source=document.source,
        dropout=document.dropout,
        scaling=document.scaling,
        facts=document.facts,
        certificate=document.certificate,
        provenance=document.provenance,
    )


def dump(baseline: Baseline) -> str:
    """The document of a baseline, as text; `load` reads back an equal one."""
    arch = baseline.architecture
    lines = [f"name: {_flow(baseline.name)}"]
    if baseline.source:
        lines.append(f"source: {_flow(baseline.source)}")
    lines.append(f"resolution: {arch.resolution}")
    stem = {"channels": arch.stem.channels, "stride": arch.stem.stride} | unusual(arch.stem)
    sizes = arch.heights()
    lines += [f"stem: {_flow(stem)}   # {sizes[1]} x {sizes[1]}", "stages:"]
    lines += [
        f"  - {_flow(_stage_line(stage))}   # {size} x {size}"
        for stage, size in zip(arch.stages, sizes[2:], strict=True)
    ]
    head = {"channels": arch.head.channels, "classes": arch.head.classes} | unusual(arch.head)
    lines.append(f"head: {_flow(head)}")
    lines.append(f"activation: {arch.activation}")
    if baseline.dropout != 0.2:
        lines.append(f"dropout: {baseline.dropout}")
    for key in ("scaling", "facts", "certificate", "provenance"):
        part = getattr(baseline, key)
        if part is not None:
            lines += _part(key, part)
    return "\n".join(lines) + "\n"


def save(baseline: Baseline, path: Path, force: bool = False, option: str = "--name") -> Path:
    """Writes the document whole or not at all, once it reads back.

    Args:
        option: with which the user chose where.

    Raises:
        NasError: where the name is taken (without `force`), or the file cannot be written.
    """
    return _write(dump(baseline), path, force, option)


def save_part(baseline: Baseline, path: Path, key: str) -> Path:
    """Writes one part of a baseline into its document at `path`, of which all else stays as it is written.

    Args:
        key: 'scaling' or 'certificate'.

    Raises:
        NasError: where the file is no document, or cannot be written.
    """
    text, part = read_text(path), getattr(baseline, key)
    wanted = replace(from_document(BaselineDocument.parse(text, str(path))), **{key: part})
    changed = _with_part(text, key, _part(key, part))
    try:
        same = from_document(BaselineDocument.parse(changed, str(path))) == wanted
    except NasError:
        same = False
    return _write(changed if same else dump(wanted), path, force=True)


def _write(text: str, path: Path, force: bool, option: str = "") -> Path:
    from_document(BaselineDocument.parse(text, str(path)))
    try:
        if path.exists() and not force:
            raise NasError(f"{path} exists; choose another {option}, or give --force to replace it")
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NasError(f"{path}: cannot be written ({error.strerror}); choose another --output") from None
    write_whole(path, text, "choose another --output")
    return path


def _part(key: str, part: Any) -> list[str]:
    """The lines of a part of the document; a table has one line a row."""
    content = part.model_dump(exclude_none=True, exclude_defaults=True)
    table = content.pop("table", [])
    width = math.inf if table else 80
    lines = yaml.safe_dump({key: content}, sort_keys=False, width=width).rstrip().split("\n")
    return lines + ["  table:"] * bool(table) + [f"    - {_flow(row)}" for row in table]


def _with_part(text: str, key: str, lines: list[str]) -> str:
    """`text` with other lines for a part in block style, or with them before the facts where it has none."""
    rows = text.splitlines()
    heads = [row.split(":")[0].rstrip() if row[:1].isalpha() else "" for row in rows]
    if key in heads:
        start = heads.index(key)
        inside = itertools.takewhile(lambda row: not row or row[0] in " \t", rows[start + 1 :])
        end = start + 1 + len(list(inside))
    else:
        start = end = next((n for n, head in enumerate(heads) if head in ("facts", "provenance")), len(rows))
    return "\n".join([*rows[:start], *lines, *rows[end:]]) + "\n"


def _stage_line(stage: Stage) -> dict[str, Any]:
    line: dict[str, Any] = {"op": stage.op, "kernel": stage.kernel}
    if stage.expand is not None:
        line["expand"] = stage.expand
    line |= {"se": stage.se, "skip": stage.skip, "channels": stage.channels}
    line |= {"layers": stage.layers, "stride": stage.stride}
    return line | unusual(stage)


def _flow(value: Any) -> str:
    """One line of YAML."""
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    text = yaml.safe_dump(
        value,
        default_flow_style=True,
        default_style=style,
        sort_keys=False,
        width=math.inf,
        allow_unicode=True,
    )
    return text.strip().removesuffix("...").strip()
