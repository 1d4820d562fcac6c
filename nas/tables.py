"""The stage table of an architecture, as the papers print it.

>>> from nas.baseline import load
>>> print(stage_markdown(load("efficientnet-b0").architecture).splitlines()[2])
| stem | conv 3x3 |  |  | 2 | 224 | 32 | 1 | 928 | 10.8M |
"""

from dataclasses import dataclass
from typing import Any

from nas.architecture import Architecture
from nas.ops import OPS, SKIPS


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
    rows = [Row("stem", "conv 3x3", "", "", str(arch.stem.stride), sizes[0], arch.stem.channels, 1, *stem)]
    for number, stage in enumerate(arch.stages, 1):
        name = f"{stage.op}{expand_of(stage.op, stage.expand):g}" if OPS[stage.op].expands else stage.op
        note = (
            ", pointwise activation" * stage.pointwise_activation + ", always expands" * stage.always_expand
        )
        rows.append(
            Row(
                str(number),
                f"{name} {stage.kernel}x{stage.kernel}{note}",
                f"{stage.se:g}" if stage.se else "",
                stage.skip if stage.skip != SKIPS[0] else "",
                str(stage.stride),
                sizes[number],
                stage.channels,
                stage.layers,
                *parts[f"stage{number}"],
            )
        )
    head = "pool, linear" if arch.head.channels is None else f"conv 1x1 to {arch.head.channels}, pool, linear"
    rows.append(Row("head", head, "", "", "", sizes[-1], arch.head.classes, 1, *parts["head"]))
    return rows


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


def stage_json(name: str, arch: Architecture) -> dict[str, Any]:
    """The document of `nas show --json`: stem, head and stages sum to the totals."""
    parts = {part: {"params": cost.params, "macs": cost.macs} for part, cost in arch.parts()}
    return {
        "name": name,
        "resolution": arch.resolution,
        "classes": arch.head.classes,
        "params": arch.params,
        "macs": arch.macs,
        "stem": {"channels": arch.stem.channels, "stride": arch.stem.stride, **parts["stem"]},
        "head": {"channels": arch.head.channels, **parts["head"]},
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
                **parts[f"stage{number}"],
            }
            for number, stage in enumerate(arch.stages, 1)
        ],
    }
