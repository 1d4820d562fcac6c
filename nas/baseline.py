"""Baseline: a search space in which every choice has been made, with what is known of it.

>>> b0 = load("efficientnet-b0")
>>> b0.architecture.params, b0.architecture.macs
(5288548, 385814752)
"""

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nas import catalog
from nas.architecture import Architecture, Head, Stage, Stem
from nas.documents import BaselineDocument, Facts, Provenance, ScalingLine
from nas.errors import NasError, short


@dataclass(frozen=True)
class Baseline:
    """A frozen Architecture with its measured facts and its provenance."""

    name: str
    architecture: Architecture
    source: str = ""
    dropout: float = 0.2
    scaling: ScalingLine | None = None
    facts: Facts | None = None
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
            stem=Stem(document.stem.channels, document.stem.stride, document.stem.in_chans),
            stages=tuple(stages),
            head=Head(document.head.channels, document.head.classes),
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
        provenance=document.provenance,
    )


def dump(baseline: Baseline) -> str:
    """The document of a baseline, as text; `load` reads back an equal one."""
    arch = baseline.architecture
    lines = [f"name: {_flow(baseline.name)}"]
    if baseline.source:
        lines.append(f"source: {_flow(baseline.source)}")
    lines.append(f"resolution: {arch.resolution}")
    stem: dict[str, Any] = {"channels": arch.stem.channels, "stride": arch.stem.stride}
    if arch.stem.in_chans != 3:
        stem["in_chans"] = arch.stem.in_chans
    sizes = arch.heights()
    lines += [f"stem: {_flow(stem)}   # {sizes[1]} x {sizes[1]}", "stages:"]
    lines += [
        f"  - {_flow(_stage_line(stage))}   # {size} x {size}"
        for stage, size in zip(arch.stages, sizes[2:], strict=True)
    ]
    lines.append(f"head: {_flow({'channels': arch.head.channels, 'classes': arch.head.classes})}")
    lines.append(f"activation: {arch.activation}")
    if baseline.dropout != 0.2:
        lines.append(f"dropout: {baseline.dropout}")
    for key in ("scaling", "facts", "provenance"):
        part = getattr(baseline, key)
        if part is not None:
            content = part.model_dump(exclude_none=True, exclude_defaults=True)
            lines.append(yaml.safe_dump({key: content}, sort_keys=False).rstrip())
    return "\n".join(lines) + "\n"


def save(baseline: Baseline, path: Path, force: bool = False) -> Path:
    """Writes the document whole or not at all, once it reads back.

    Raises:
        NasError: where the name is taken (without `force`), or the file cannot be written.
    """
    text = dump(baseline)
    from_document(BaselineDocument.parse(text, str(path)))
    partial = path.with_name(f".{path.name}.partial")
    try:
        if path.exists() and not force:
            raise NasError(f"{path} exists; choose another --name, or give --force to replace it")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise NasError(f"{path}: cannot be written ({error.strerror}); choose another --output") from None
    return path


def _stage_line(stage: Stage) -> dict[str, Any]:
    line: dict[str, Any] = {"op": stage.op, "kernel": stage.kernel}
    if stage.expand is not None:
        line["expand"] = stage.expand
    line |= {"se": stage.se, "skip": stage.skip, "channels": stage.channels}
    line |= {"layers": stage.layers, "stride": stage.stride}
    if stage.pointwise_activation:
        line["pointwise_activation"] = True
    if stage.always_expand:
        line["always_expand"] = True
    return line


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
