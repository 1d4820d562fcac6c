"""Block strings read: timm's and the TPU code's become a baseline, the reverse of `nas.export`.

>>> text = '''# 32 px, 3 input channels, 10 classes, swish, stem 16 channels, head 64 channels
... ds_r1_k3_s1_e1_c16_se0.25
... ir_r2_k5_s2_e6_c24_noskip'''
>>> arch = read_strings(text, "timm")
>>> arch.stages[0].se, arch.stages[1].skip, arch.head.classes
(0.25, 'none', 10)

What no string carries (stem, head, resolution, activation, classes) is read from the comment that `nas export`
writes, or given; MobileNetV3's kind of SE and its hidden layer from its second comment alone. A token that is not
understood is a mistake, where the tools' own readers pass over it: timm's `_decode_block_str` and the TPU code's
`BlockDecoder`, whose rules these are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nas.architecture import Architecture, Head, Stage, Stem
from nas.errors import NasError, listed, near, short
from nas.export import to_timm, to_tpu
from nas.string_lines import strings_in

FRAME = ("resolution", "in_chans", "classes", "activation", "stem", "head")
"""What no string carries."""

_HEADER = re.compile(
    r"# (?:(?P<name>\S+): )?(?P<resolution>\d+) px, (?P<in_chans>\d+) input channels, (?P<classes>\d+) classes, "
    r"(?P<activation>\w+), stem (?P<stem>\d+) channels, (?:head (?P<head>\d+) channels|(?P<none>no head convolution))",
    re.ASCII,
)
_WHOLE, _RATIO = "[0-9]{1,8}", r"[0-9]{1,8}(?:\.[0-9]{1,20})?(?:e-[0-9]{1,3})?"
_WORDS = ("noskip", "skip")


@dataclass(frozen=True)
class Kind:
    """A kind of block, as a notation spells it.

    Attributes:
        numbers: its tokens with a number, and the number's pattern.
        needed: those without which the tool's own reader fails.
        words: its tokens without one.
    """

    numbers: Mapping[str, str]
    needed: str
    words: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        return listed([*self.numbers, *self.words])


TIMM_ACTIVATIONS = {"re": "relu", "r6": "relu6", "sw": "swish", "hs": "hard_swish"}
_ACTIVATION = "|".join(TIMM_ACTIVATIONS)
_BASE = {"r": _WHOLE, "k": _WHOLE, "s": _WHOLE, "e": _RATIO, "c": _WHOLE, "se": _RATIO, "n": _ACTIVATION}
_HIDDEN = re.compile(r"timm\.models\.MobileNetV3\(.*\bnum_features=([0-9]{1,8})\b")
"""Of the comment of a network with a hidden layer: how wide that is."""
TIMM: dict[str, Kind] = {
    "ds": Kind(_BASE, "rksc", _WORDS),
    "dsa": Kind(_BASE, "rksc", ("noskip",)),
    "ir": Kind(_BASE, "rksec", _WORDS),
    "er": Kind(_BASE, "rksec", _WORDS),
    "cn": Kind({name: form for name, form in _BASE.items() if name != "se"}, "rksc", _WORDS),
}
TPU = Kind(
    {"r": _WHOLE, "k": _WHOLE, "s": "[0-9]{2}", "e": _WHOLE, "i": _WHOLE, "o": _WHOLE, "se": _RATIO},
    needed="rkseio",
    words=("noskip",),
)


def read_strings(text: str, tool: str, where: str = "strings", **given: Any) -> Architecture:
    """The architecture of block strings, one or several a line; a Python list of them is taken, too.

    Args:
        tool: 'timm' or 'tpu'.
        where: the file, for messages.
        given: of `FRAME`, what the comment does not say, or instead of it; `head` 0 is no head convolution.

    Raises:
        NasError: naming the string and the token that cannot be, what is missing of `FRAME`, or the stage and field
            with which the tool would build another network than ours.
    """
    frame = frame_of(text, where) | {name: value for name, value in given.items() if value is not None}
    missing = [name for name in FRAME if name not in frame]
    if missing:
        options = " ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise NasError(
            f"{where}: does not say {listed(missing)}, which no string carries; give {options}, or a file that begins "
            "with the comment that nas export writes"
        )
    stages: list[Stage] = []
    channels = frame["stem"]
    for line, string, first in strings_in(text, where):
        place = f"{where}, line {line}: {short(string)}"
        stage, inputs = (_timm if tool == "timm" else _tpu)(string, place)
        if inputs not in (None, channels):
            raise NasError(f"{place}: i{inputs}, but {channels} channels come in; write i{channels}")
        if stage.stride > 1 and not first and tool == "timm":
            raise NasError(f"{place}: s{stage.stride}, which timm takes of a list's first string alone; give it a list "
                           "of its own")  # fmt: skip
        stages.append(stage)
        channels = stage.channels
    hidden = _HIDDEN.search(text) if tool == "timm" else None
    if hidden is not None:
        stages = _of_mobilenet_v3(stages, frame["head"], where)
    try:
        arch = Architecture(
            Stem(frame["stem"], 2, frame["in_chans"]),
            tuple(stages),
            Head(frame["head"] or None, frame["classes"], hidden=hidden and int(hidden[1])),
            frame["activation"],
            frame["resolution"],
        )
        (to_timm if tool == "timm" else to_tpu)(arch)  # whether the tool builds what was read
    except NasError as error:
        raise NasError(f"{_option(str(error), given) or where}: {error}") from None
    return arch


def _option(sentence: str, given: Mapping[str, Any]) -> str:
    """The option that a mistake is about, of those that were given; '' where it is the strings'."""
    field = sentence.partition(" ")[0]
    name = {"stem.channels": "stem", "head.channels": "head"}.get(field, field.rpartition(".")[2])
    whole = field in (name, "stem.channels", "stem.in_chans", "head.channels", "head.classes")
    return f"--{name.replace('_', '-')}" if whole and given.get(name) is not None else ""


def mobilenet_v3_note(arch: Architecture) -> list[str]:
    """A note on a network that has SE and hard_swish and none of what no string carries of MobileNetV3."""
    hard = "hard_swish" in (arch.activation, *(stage.activation for stage in arch.stages))
    if not hard or arch.head.hidden is not None or not any(stage.se for stage in arch.stages):
        return []
    return [
        "note: squeeze-and-excitation beside hard_swish is MobileNetV3's, but no string carries its kind of SE and its "
        "hidden layer, so this network has the standard SE and no hidden layer; for MobileNetV3's begin the file with "
        "the line # timm.models.MobileNetV3(num_features=1280), of as many features as the layer has"
    ]


def _of_mobilenet_v3(stages: list[Stage], head: int, where: str) -> list[Stage]:
    """The stages of a network that timm's MobileNetV3 builds: all SE is its own, and the head's convolution, where
    there is one, is the last string."""
    if head:
        *stages, last = stages
        if last != Stage("conv", 1, head):
            raise NasError(
                f"{where}: its last string is not the head's convolution, cn_r1_k1_s1_c{head}; write it as exported"
            )
    return [replace(stage, se_kind="mobilenet-v3") if stage.se else stage for stage in stages]


def frame_of(text: str, where: str) -> dict[str, Any]:
    """`name` and `FRAME`, as the comment of `nas export` says them; empty without one."""
    found = [match for line in text.splitlines() if (match := _HEADER.fullmatch(line.strip()))]
    if len(found) > 1:
        raise NasError(f"{where}: has {len(found)} comments of nas export; keep the strings of one network")
    if not found:
        return {}
    said = {name: value for name, value in found[0].groupdict().items() if value}
    if said.pop("none", None):
        said["head"] = "0"
    return {
        name: value if name in ("name", "activation") else _whole(value, where)
        for name, value in said.items()
    }


def _whole(digits: str, where: str) -> int:
    if len(digits) > 8:
        raise NasError(f"{where}: {short(digits)} is no count; give up to 8 digits")
    return int(digits)


def _timm(string: str, place: str) -> tuple[Stage, None]:
    word, *tokens = string.split("_")
    if word not in TIMM:
        raise NasError(
            f"{place}: is of kind {short(word)}{near(word, TIMM)}; kinds that a baseline has: {listed(TIMM)}"
        )
    found = _tokens(tokens, TIMM[word], f"kind {word}", place)
    skips = {"ds": "identity", "dsa": "none", "ir": "identity", "er": "identity", "cn": "none"}
    ops = {"ds": "dsconv", "dsa": "dsconv", "ir": "mbconv", "er": "fusedmbconv", "cn": "conv"}
    skip = "none" if "noskip" in found else "identity" if "skip" in found else skips[word]
    stage = replace(_stage(found, "c", ops[word], skip), activation=TIMM_ACTIVATIONS.get(found.get("n", "")))
    if word == "ir" and stage.expand == 1:
        return replace(stage, always_expand=True), None
    return replace(stage, pointwise_activation=word == "dsa"), None


def _tpu(string: str, place: str) -> tuple[Stage, int]:
    found = _tokens(string.split("_"), TPU, "the tpu notation", place)
    height, width = found["s"]
    if height != width:
        raise NasError(f"{place}: s{height}{width} has two strides; give the same twice, such as s22")
    skip = "none" if "noskip" in found else "identity"
    stage = _stage(found | {"s": height}, "o", "dsconv" if int(found["e"]) == 1 else "mbconv", skip)
    return stage, int(found["i"])


def _stage(found: Mapping[str, str], channels: str, op: str, skip: str) -> Stage:
    return Stage(
        op,
        kernel=int(found["k"]),
        channels=int(found[channels]),
        layers=int(found["r"]),
        stride=int(found["s"]),
        expand=_number(found["e"]) if "e" in found else None,
        se=_number(found.get("se", "0")),
        skip=skip,
    )


def _number(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _tokens(tokens: list[str], kind: Kind, named: str, place: str) -> dict[str, str]:
    """Token -> its number; each is known, stands once, and none is missing."""
    found: dict[str, str] = {}
    for token in tokens:
        match = re.fullmatch(r"(n(?=[a-z]{2}|r6)|[a-z]+)(.*)", token)
        name, value = match.groups() if match and token not in kind.words else (token, "")
        if token not in kind.words and name not in kind.numbers:
            raise NasError(f"{place}: unknown token {short(token)}; {named} has {kind.allowed}")
        if token not in kind.words and not re.fullmatch(kind.numbers[name], value):
            forms = {_WHOLE: "a whole number", _RATIO: "a number", _ACTIVATION: "re, r6, sw or hs"}
            form = forms.get(kind.numbers[name], "two digits, such as s22")
            raise NasError(
                f"{place}: token {short(token)} is no {name} with {form}; {named} has {kind.allowed}"
            )
        if name in found or {name, *found} >= {"skip", "noskip"}:
            raise NasError(
                f"{place}: token {short(token)} is said twice or against another; leave one of them"
            )
        found[name] = value
    absent = [name for name in kind.needed if name not in found]
    if absent:
        raise NasError(f"{place}: has no token {listed(absent)}; {named} needs {listed(kind.needed)}")
    return found
