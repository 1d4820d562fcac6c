"""Claim: of 10,000 random architectures, each comes back from timm's and the TPU code's block strings the same network
with every field that the notation has a place for, or is refused with its stage and field.

    .venv/bin/python benchmarks/round_trips.py [--count 10000] [--seed 0] [--output rows.jsonl]

Half are drawn from the shipped spaces, uniformly, a tenth from each; of those every other one is then mended of what
most often stands in the way (stem.stride 1, pooling skips, convolutions with SE), as nearly no uniform draw is without.
The other half are odd ones, most of whose fields are what a notation has, and some what none has.

- `lossless`: the canonical key and all fields are those that were written.
- `respelled`: the key is, and all fields that the notation carries. A block that has two spellings here, alike at every
  width, has one there: an mbconv at expansion 1 comes back as the dsconv that it is; an expansion that an op ignores,
  or an `always_expand` beside an expansion that is there anyway, is left out.
- `refused`: a sentence names the field; `fields` counts them.
- `lost`: anything else; it is printed, and the exit code is 1.

No torch; ten seconds. Rows: results/round_trips.jsonl.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from nas import catalog
from nas.architecture import Architecture, Head, Stage, Stem
from nas.block import SE_KINDS
from nas.block_strings import read_strings
from nas.errors import NasError
from nas.export import to_timm, to_tpu
from nas.ops import ACTIVATIONS
from nas.space import SearchSpace

WRITERS = {"timm": to_timm, "tpu": to_tpu}
OUT = Path(__file__).parent / "results" / "round_trips.jsonl"
PLACE = re.compile(r"((?:stem|head|stage\d+)\.[a-z_]+) is ")


def odd(rng: np.random.Generator) -> Architecture:
    """Up to nine stages; each field is unusual at a rate that is the architecture's own, often 0."""
    rate = rng.choice([0, 0, 0, 0.01, 0.05, 0.2])
    ops = [
        ["mbconv"],
        ["mbconv", "mbconv", "dsconv"],
        ["mbconv", "dsconv", "conv"],
        ["fusedmbconv", "mbconv"],
    ][rng.integers(4)]
    hidden = int(rng.choice([640, 1280])) if rng.random() < 0.2 else None  # MobileNetV3's head, and its SE
    own_activations = rng.random() < 0.3
    pointwise_too = rng.random() < 0.2

    def pick(usual, unusual):
        values = unusual if rng.random() < rate else usual
        return values[rng.integers(len(values))]

    stages: list[Stage] = []
    resolution, strides = int(rng.integers(64, 321)), 0
    for _ in range(rng.integers(1, 10)):
        op = pick(ops, ["mbconv", "dsconv", "conv"])
        pointwise = op == "dsconv" and pointwise_too and rng.random() < 0.5
        stride = int(rng.integers(1, 3)) if strides < 4 else pick([1], [2])
        strides += stride == 2
        stages.append(
            Stage(
                op,
                kernel=pick([3, 5, 7], [1, 9, 31]),
                channels=pick([8, 16, 24, 40, 96, 320], [4, 12, 20, 33]),
                layers=int(rng.integers(1, 5)),
                stride=stride,
                expand=(
                    expand := pick(
                        [1, 2, 3, 6] if op in ("mbconv", "fusedmbconv") else [None, 1], [0.5, 1.5, 2.3, 6.0]
                    )
                ),
                se=pick([0, 0.25] if op != "conv" else [0], [0.0625, 0.3, 0.5, 1]),
                skip=pick(["none", "identity"] if not pointwise else ["none"], ["pool", "identity"]),
                pointwise_activation=pointwise,
                always_expand=op == "mbconv" and rng.random() < (0.5 if expand == 1 else rate),
                activation=str(rng.choice(list(ACTIVATIONS)))
                if own_activations and rng.random() < 0.5
                else None,
                se_kind=pick(*[[kind] for kind in (SE_KINDS[::-1] if hidden else SE_KINDS)]),
            )
        )
    return Architecture(
        Stem(pick([8, 16, 32], [12, 3]), pick([2], [1]), pick([3, 1], [4])),
        tuple(stages),
        Head(pick([64, 1280], [None, 20]), int(rng.integers(1, 1001)), hidden=hidden),
        str(rng.choice(list(ACTIVATIONS))),
        resolution,
    )


def mended(arch: Architecture) -> Architecture:
    """Without a stem of stride 1, pooling skips, and SE in convolutions."""
    stages = (replace(stage, skip="identity") if stage.skip == "pool" else stage for stage in arch.stages)
    plain = tuple(replace(stage, se=0) if stage.op == "conv" else stage for stage in stages)
    return replace(arch, stem=replace(arch.stem, stride=2), stages=plain)


def drawn(count: int, seed: int) -> Iterator[tuple[str, Architecture]]:
    """(where from, architecture), `count` in all."""
    rng, names = (
        np.random.default_rng(seed),
        sorted(p.stem for p in catalog.shipped("search_spaces").glob("*.yml")),
    )
    for name in names:
        space = SearchSpace.load(catalog.shipped("search_spaces") / f"{name}.yml")
        for number in range(count // (2 * len(names))):
            arch = space.decode(space.sample(rng))
            yield (f"{name}, mended", mended(arch)) if number % 2 else (name, arch)
    for _ in range(count - count // (2 * len(names)) * len(names)):
        yield "odd", odd(rng)


def carried(stage: Stage, tool: str) -> Stage:
    """The stage as its string can spell it: the same block at every width."""
    plain = stage.op == "mbconv" and stage.expand == 1 and not stage.always_expand
    op = "dsconv" if plain else stage.op
    if op == "fusedmbconv" and stage.expand == 1:
        op = "conv"  # which it is, and is written as
    expand = stage.expand if op in ("mbconv", "fusedmbconv") or stage.expand == 1 else None
    se_kind = stage.se_kind if stage.se else "standard"
    if tool == "tpu" and op == "dsconv":
        expand = 1  # which the string always has
    if tool == "timm" and stage.pointwise_activation and stage.expand != 1:
        expand = None
    return replace(stage, op=op, expand=expand, always_expand=op == "mbconv" and expand == 1, se_kind=se_kind)


def judged(arch: Architecture, tool: str) -> tuple[str, str]:
    """('lossless' | 'respelled' | 'refused' | 'lost', the field that was refused, or what was lost)."""
    try:
        text = WRITERS[tool](arch)
    except NasError as error:
        place = PLACE.match(str(error))
        return ("refused", re.sub(r"\d+", "", place[1])) if place else ("lost", f"no place in: {error}")
    try:
        again = read_strings(text, tool)
    except NasError as error:
        return "lost", f"written, but not read: {error}"
    expected = replace(arch, stages=tuple(carried(stage, tool) for stage in arch.stages))
    if again.key != arch.key or again != expected:
        return "lost", f"{arch} came back as {again}"
    return ("lossless" if again == arch else "respelled"), ""


def rows(count: int, seed: int) -> list[dict[str, object]]:
    """One row a notation and source, and one a notation over all."""
    found: dict[tuple[str, str], Counter[str]] = {}
    fields: dict[tuple[str, str], Counter[str]] = {}
    for source, arch in drawn(count, seed):
        for tool in WRITERS:
            verdict, field = judged(arch, tool)
            for key in ((tool, source), (tool, "all")):
                found.setdefault(key, Counter())[verdict] += 1
                if verdict == "refused":
                    fields.setdefault(key, Counter())[field] += 1
            if verdict == "lost":
                print(f"{tool}: {field}", file=sys.stderr)
    verdicts = ("lossless", "respelled", "refused", "lost")
    return [
        {"notation": tool, "source": source, "seed": seed, "architectures": sum(counts.values()),
         **{verdict: counts[verdict] for verdict in verdicts},
         "fields": dict(sorted(fields.get((tool, source), Counter()).items()))}
        for (tool, source), counts in sorted(found.items())
    ]  # fmt: skip


def report(path: Path = OUT) -> str:
    """The table of the page, from the rows alone."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [
        "| `--to` | architectures | come back | to the letter | refused | lost | fields refused |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in (row for row in found if row["source"] == "all"):
        fields = sorted(row["fields"].items(), key=lambda item: -item[1])
        told = ", ".join(f"{field} {times:,}" for field, times in fields)
        lines.append(
            f"| `{row['notation']}` | {row['architectures']:,} | {row['lossless'] + row['respelled']:,} | "
            f"{row['lossless']:,} | {row['refused']:,} | {row['lost']:,} | {told} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    found = rows(given.count, given.seed)
    for row in found:
        print(f"{row['notation']:5}{row['source']:26}{row['architectures']:7,}{row['lossless']:7,} lossless"
              f"{row['respelled']:7,} respelled{row['refused']:7,} refused{row['lost']:3} lost")  # fmt: skip
        print("", *(f"{'':31}{field}: {times:,}" for field, times in row["fields"].items()), sep="\n")
    if given.output:
        given.output.write_text("".join(json.dumps(row) + "\n" for row in found))
    return int(any(row["lost"] for row in found))


if __name__ == "__main__":
    sys.exit(main())
