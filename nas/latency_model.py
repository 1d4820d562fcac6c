"""A latency model: what every block of a space takes on one machine, as a document that search.yml may name.

A network's latency is the sum of its parts, stem, blocks and tail (head convolution, pooling, classifier), each
known by what it computes and at what size, with a linear correction of the whole: the lookup table of ProxylessNAS
(arXiv:1812.00332, section 3.3) and FBNet (arXiv:1812.03443, section 3.2). It needs no torch.

>>> from nas.baseline import load
>>> names = [part.name for part in parts(load("mobilenet-v2").architecture)]
>>> names[0], names[2], names[-1], len(names)
('stem', '112:16 1x96a+3x96ad+1x24~none/2', 'tail 320', 19)
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field

from nas.architecture import Architecture, Block, block_words, stage_blocks
from nas.documents import Int, Name, Number, Strict, Text
from nas.errors import NasError, short
from nas.files import text_of
from nas.reading import validate
from nas.specs import LayerSpec
from nas.strict_json import load_json

if TYPE_CHECKING:
    from nas.space import SearchSpace

MOST_PARTS = 50_000
"""Distinct parts of a space, above which no table of all of them is made."""
MAX_BYTES = 16 << 20
LEAST = 0.1
"""Of the sum of a network's parts: it takes no less, although an offset under 0 may say so of tiny ones."""
STATISTIC = "lower quartile"
"""Of the passes of a network or part, for fitting and for judging alike: see `nas.latency_fit`."""


class Part(NamedTuple):
    """What is timed as one: parts of one name take as long.

    Attributes:
        height: of its input, in pixels.
        channels: of its input.
        projection: of the shortcut, () where it has none.
        activation: of the block's own, empty for the network's.
    """

    name: str
    layers: tuple[LayerSpec, ...]
    shortcut: str
    channels: int
    height: int
    projection: tuple[LayerSpec, ...] = ()
    activation: str = ""


def parts(arch: Architecture) -> list[Part]:
    """Stem, blocks and tail in order of computation, repeats included."""
    found, height = [_stem(arch)], arch.heights()[1]
    channels = arch.stem.channels
    for number, block in arch.blocks():
        found.append(part_of(block, channels, height))
        height, channels = block.cost(height)[1], arch.stages[number - 1].channels
    return [*found, _tail(arch, channels, height)]


def parts_of_space(space: "SearchSpace") -> dict[str, Part]:
    """Every part that a network of the space may have, by name.

    Raises:
        NasError: where there are more than `MOST_PARTS`.
    """
    frame = space.frame
    found = {"stem": _stem(frame)}
    heights, widths = frame.heights()[1:], (frame.stem.channels,)
    for choices, height, after in zip(space.stages, heights, heights[1:], strict=False):
        stages = [choices.stage(values) for values in choices.combinations()]
        for width in widths:
            for stage in stages:
                first, rest = stage_blocks(stage, width)
                pair = (part_of(first, width, height), rest and part_of(rest, stage.channels, after))
                found |= {part.name: part for part in pair if part is not None}
            if len(found) > MOST_PARTS:
                raise NasError(
                    f"{space.name}: has over {MOST_PARTS:,} distinct blocks, which no table of latencies holds; "
                    "give its choices fewer values"
                )
        widths = choices.options["channels"]
    return found | {tail.name: tail for tail in (_tail(frame, width, heights[-1]) for width in widths)}


def _stem(arch: Architecture) -> Part:
    return Part("stem", arch.stem.layers, "none", arch.stem.in_chans, arch.resolution)


def part_of(block: Block, channels: int, height: int) -> Part:
    own = block.activation or ""
    name = f"{height}:{channels} {block_words(block)}/{block.stride}{f'@{own}' * bool(own)}"
    layers = (*block.layers, *block.after)
    return Part(name, layers, block.shortcut, channels, height, block.projection, own)


def _tail(arch: Architecture, last: int, height: int) -> Part:
    return Part(f"tail {last}", arch.head.layers(last), "none", last, height)


class HeldOut(Strict):
    """How well the model predicts whole networks that it was not fitted to; errors are relative, of 1.

    Attributes:
        n: networks.
        noise_median, noise_p90, noise_spearman: the same of the networks' own second measuring against
            their first, which no model can be much better than; None where none was measured twice.
    """

    n: Int
    median: Number
    p90: Number
    spearman: Number | None = None
    noise_n: Int = 0
    noise_median: Number | None = None
    noise_p90: Number | None = None
    noise_spearman: Number | None = None


class PartRow(NamedTuple):
    """Milliseconds of a part, and in how many networks it was timed (0: by regression alone)."""

    ms: Annotated[float, Field(gt=0, lt=1e9)]
    networks: Annotated[int, Field(ge=0)]


class LatencyModel(Strict):
    """The document.

    Attributes:
        processor: name of the CPU or GPU; `machine` says the rest.
        networks: whole networks that it was fitted to.
        offset, slope: milliseconds of a network are offset + slope * the sum of its parts.
    """

    kind: Literal["latency model"] = "latency model"
    space: Name
    space_sha256: Text
    classes: Int
    in_chans: Int
    device: Literal["cpu", "cuda"]
    processor: Text
    machine: Text
    threads: Annotated[Int, Field(ge=1)]
    batch: Annotated[Int, Field(ge=1)]
    statistic: Literal["lower quartile"] = STATISTIC
    networks: Annotated[Int, Field(ge=1)]
    seconds: Number
    offset: Number
    slope: Annotated[Number, Field(gt=0)]
    held_out: HeldOut
    seed: Int
    date: Text
    versions: dict[str, str]
    parts: Annotated[dict[str, PartRow], Field(min_length=2)]

    @classmethod
    def load(cls, path: Path) -> Self:
        """The model in a file.

        Raises:
            NasError: for a file that is none, with what is wrong.
        """
        mend = "make it anew with nas latency SPACE"
        data = load_json(text_of(path, MAX_BYTES, "which no latency model is"), str(path), mend)
        if not isinstance(data, dict) or data.get("kind") != "latency model":
            raise NasError(f"{path}: is {short(data)}, no latency model; {mend}")
        return validate(cls, data, str(path))

    def dump(self) -> str:
        """As JSON, a part a line."""
        head = self.model_dump(mode="json", exclude={"parts"}, exclude_none=True)
        rows = ",\n".join(
            f"  {json.dumps(name)}: {json.dumps(list(row))}" for name, row in self.parts.items()
        )
        return json.dumps(head, indent=1).removesuffix("\n}") + ',\n "parts": {\n' + rows + "\n }\n}\n"

    @property
    def sha256(self) -> str:
        """Fingerprint of the content."""
        content = self.model_dump(mode="json")
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def about(self) -> dict[str, Any]:
        """What a journal keeps of it."""
        fields = {"device", "processor", "threads", "batch", "statistic", "held_out", "date"}
        return {"sha256": self.sha256, **self.model_dump(mode="json", include=fields, exclude_none=True)}

    def milliseconds(self, arch: Architecture) -> float:
        """Of a network of the space.

        Raises:
            NasError: for a network with a part that the space has not.
        """
        return float(self.of_sum(np.array(sum(self.ms(part.name) for part in parts(arch)))))

    def of_sum(self, total: np.ndarray) -> np.ndarray:
        """Milliseconds of networks, of the sums of their parts; over 0 however the line was tilted."""
        return np.maximum(self.offset + self.slope * total, LEAST * total)

    def ms(self, name: str) -> float:
        """Of a part; NasError for one that the space has not."""
        row = self.parts.get(name)
        if row is None:
            raise NasError(
                f"the latency model of {self.space} has no part {name!r}, so the network is not of that space "
                "(or the file was changed); make the model anew with nas latency"
            )
        return row.ms
