"""The stage table of an architecture, as the papers print it.

>>> from nas.baseline import load
>>> print(stage_markdown(load("efficientnet-b0").architecture).splitlines()[2])
| stem | conv 3x3 |  |  | 2 | 224 | 32 | 1 | 928 | 10.8M |
"""

from dataclasses import dataclass
from typing import Any

from nas.architecture import Architecture
from nas.block import SE_KINDS
from nas.ops import OPS, SKIPS
from nas.parts import Head, Stage, Stem, unusual


@dataclass(frozen=True)
class Row:
    """One line of a stage table; sizes are input heights in pixels."""

    part: str
    op: str
    se: str
    skip: str
    stride: str
    size: int
    channels: int
    layers: int
    params: int
    macs: int


COLUMNS = ("", "operator", "SE", "skip", "stride", "input", "channels", "layers", "params", "multiply-adds")


def short(number: float) -> str:
    """A count in three digits or so: 928, 10.8k, 386M, 1.83G.

    >>> [short(n) for n in (928, 10838, 385_814_752, 1_827_141_392)]
    ['928', '10.8k', '386M', '1.83G']
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * size:
            return f"{number / size:.3g}{unit}" if number < 999.5 * size else f"{number / size:,.0f}{unit}"
    return f"{number:.0f}"


def expand_of(op: str, expand: float | None) -> float:
    """The expansion ratio as tables show it: 1 for blocks that have none."""
    return expand if OPS[op].expands and expand is not None else 1


def stage_rows(arch: Architecture) -> list[Row]:
    """Stem, stages and head; their params and macs sum to the architecture's."""
    parts = dict(arch.parts())
    sizes = arch.heights()
    stem = parts["stem"]
    opening = _stem_words(arch.stem)
    rows = [Row("stem", opening, "", "", str(arch.stem.stride), sizes[0], arch.stem.channels, 1, *stem)]
    for number, stage in enumerate(arch.stages, 1):
        name = f"{stage.op}{expand_of(stage.op, stage.expand):g}" if OPS[stage.op].expands else stage.op
        rows.append(
            Row(
                str(number),
                ", ".join([f"{name} {stage.kernel}x{stage.kernel}", *_notes(stage)]),
                f"{stage.se:g}{' hard' * (stage.se_kind != SE_KINDS[0])}" if stage.se else "",
                stage.skip if stage.skip != SKIPS[0] else "",
                str(stage.stride),
                sizes[number],
                stage.channels,
                stage.layers,
                *parts[f"stage{number}"],
            )
        )
    rows.append(
        Row("head", _head_words(arch.head), "", "", "", sizes[-1], arch.head.classes, 1, *parts["head"])
    )
    return rows


def _stem_words(stem: Stem) -> str:
    kernel = f"conv {stem.kernel}x{stem.kernel}"
    words = [kernel] if stem.first is None else [f"{kernel} to {stem.first}", "conv 3x3"]
    words += ["max-pool"] * stem.pool + ["no padding"] * stem.valid + ["biases, no norm"] * stem.bias
    return ", ".join(words)


def _notes(stage: Stage) -> list[str]:
    """What a stage has beside its op and kernel."""
    notes = ["pointwise activation"] * stage.pointwise_activation + ["always expands"] * stage.always_expand
    notes += [f"{stage.separables} convolutions"] * (stage.separables != 2) + [
        "widens last"
    ] * stage.widen_last
    return notes + ([] if stage.activation is None else [stage.activation])


def _head_words(head: Head) -> str:
    words = [] if head.channels is None else [f"conv 1x1 to {head.channels}"]
    words += ["conv 1x1", "pool"] if head.conv else ["pool"]
    words += [] if head.hidden is None else [f"linear to {head.hidden}"]
    return ", ".join(words + ["linear"] * (not head.conv))


def cells(row: Row) -> list[str]:
    """The columns of a row as text."""
    return [
        row.part, row.op, row.se, row.skip, row.stride, str(row.size),
        str(row.channels), str(row.layers), short(row.params), short(row.macs),
    ]  # fmt: skip


def stage_markdown(arch: Architecture) -> str:
    """The stage table in Markdown, with the totals under it."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in stage_rows(arch)]
    return "\n".join(lines) + f"\n\n{arch.params:,} parameters, {arch.macs:,} multiply-adds"


_ALWAYS = ("layers", "stride", "expand", "se", "skip")
_UNTOLD = ("pointwise_activation", "always_expand")
"""Flags that the document has never had: readers of it may count on its keys."""


def stage_json(name: str, arch: Architecture) -> dict[str, Any]:
    """The document of `nas show --json`: stem, head and stages sum to the totals."""
    parts = {part: {"params": cost.params, "macs": cost.macs} for part, cost in arch.parts()}
    return {
        "name": name,
        "resolution": arch.resolution,
        "classes": arch.head.classes,
        "params": arch.params,
        "macs": arch.macs,
        "stem": {
            "channels": arch.stem.channels, "stride": arch.stem.stride,
            **unusual(arch.stem, but=("stride", "in_chans")), **parts["stem"],
        },
        "head": {"channels": arch.head.channels, **unusual(arch.head, but=("narrows",)), **parts["head"]},
        "stages": [
            {
                "op": stage.op,
                "kernel": stage.kernel,
                "expand": expand_of(stage.op, stage.expand),
                "se": float(stage.se),
                "skip": stage.skip,
                "channels": stage.channels,
                "layers": stage.layers,
                "stride": stage.stride,
                **unusual(stage, but=(*_ALWAYS, *_UNTOLD)),
                **parts[f"stage{number}"],
            }
            for number, stage in enumerate(arch.stages, 1)
        ],
    }  # fmt: skip
