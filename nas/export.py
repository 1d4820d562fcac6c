"""Other tools' notations: timm's and the TPU code's block strings, and NNI's choice format.

A string is written only where the other tool builds the very same network from it, without any
option of its own but those in the comment lines above the strings; else the stage and the field
that its notation cannot express are named.

>>> from nas.baseline import load
>>> print(to_tpu(load("efficientnet-b0")), end="")  # doctest: +ELLIPSIS
# efficientnet-b0: 224 px, 3 input channels, 1000 classes, swish, stem 32 channels, head 1280 channels
r1_k3_s11_e1_i32_o16_se0.25
r2_k3_s22_e6_i16_o24_se0.25
...
"""

import json
from collections.abc import Callable, Iterator

from nas import catalog
from nas.architecture import Architecture, Stage, stage_blocks
from nas.baseline import Baseline, load
from nas.errors import NasError, listed, near, some
from nas.parts import unusual
from nas.space import SearchSpace
from nas.specs import SqueezeExcite, make_divisible

FORMATS = ("timm", "tpu", "nni")
MODELS = ("onnx", "pt2", "safetensors", "hub")
"""What `nas export --to` takes of text, and of a network with its weights (`nas.exporting`)."""

KINDS = {
    "timm": {"conv": "cn", "dsconv": "ds", "mbconv": "ir", "fusedmbconv": "er"},
    "tpu": {"dsconv": "", "mbconv": ""},
}
"""The ops that a notation has, and what it calls their blocks."""
_TIMM_ACTIVATIONS = {"relu": "re", "relu6": "r6", "swish": "sw", "hard_swish": "hs"}
"""timm's `decode_block_str`; `nas.block_strings` reads them back."""
_TIMM_HARD_SE = ", ".join(
    ["se_layer=partial(SqueezeExcite", "gate_layer='hard_sigmoid'", "force_act_layer=nn.ReLU",
     "rd_round_fn=round_channels)"]
)  # fmt: skip
"""MobileNetV3's SE in timm, as its own networks are built (timm.models.mobilenetv3)."""


def export_text(document: str, to: str) -> str:
    """What `nas export DOCUMENT --to FORMAT` prints, for a catalogue name or a path.

    Raises:
        NasError: for an unknown format or document, or what the notation cannot express.
    """
    if to not in FORMATS:
        raise NasError(
            f"--to is {to!r}{near(to, (*FORMATS, *MODELS))}; allowed: {listed((*FORMATS, *MODELS))}"
        )
    check_kind(document, to)
    if to == "nni":
        return to_nni(SearchSpace.load(document))
    return (to_timm if to == "timm" else to_tpu)(load(document))


def check_kind(document: str, to: str) -> None:
    """Raises NasError where the catalogue has a space of this name and a baseline is wanted, or the reverse."""
    kind, other = ("search_spaces", "baselines") if to == "nni" else ("baselines", "search_spaces")
    if document in catalog.names(other) and document not in catalog.names(kind):
        raise NasError(
            f"{document} is a {catalog.KINDS[other]}; --to {to} writes a {catalog.KINDS[kind]}: "
            f"{some(catalog.names(kind), where=catalog.LISTS[kind])}"
        )


def to_nni(space: SearchSpace) -> str:
    """The space's choices as NNI's classic search space, JSON, one choice a line.

    Any sample that NNI's tuners draw from it is one that `space.decode` accepts.

    Raises:
        NasError: for a space with no open choice, from which there is nothing to draw.
    """
    if not space.choices:
        raise NasError(f"{space.name} has no open choice; write a list where a value is to be searched")
    lines = [
        f"  {json.dumps(label)}: {json.dumps({'_type': 'choice', '_value': values})}"
        for label, values in space.choices.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def to_timm(network: Baseline | Architecture) -> str:
    """Block strings of timm (`timm.models._efficientnet_builder.decode_arch_def`), one stage a line.

    The comment lines give the arguments of `timm.models.EfficientNet` that no string carries.

    Raises:
        NasError: naming the stage and field that timm would build otherwise.
    """
    arch = _architecture(network)
    hidden = arch.head.hidden  # MobileNetV3's head, of which the convolution is one more string there
    options = (
        f"stem_size={arch.stem.channels}, num_features={hidden or arch.head.channels or 0}, "
        f"in_chans={arch.stem.in_chans}, num_classes={arch.head.classes}, act_layer="
    )
    options += f"get_act_layer({arch.activation!r}), {_TIMM_HARD_SE}" if hidden else repr(arch.activation)
    model = "MobileNetV3" if hidden else "EfficientNet"
    comment = f"# timm.models.{model}(decode_arch_def([[line], ...]), {options})"
    strings = [*_strings(arch, "timm", _timm_string)]
    if hidden and arch.head.channels:
        _check_channels("head", arch.head.channels, "timm")
        strings.append(f"cn_r1_k1_s1_c{arch.head.channels}")
    return "\n".join([_header(network), comment, *strings]) + "\n"


def to_tpu(network: Baseline | Architecture) -> str:
    """Block strings of the released TPU code (`BlockDecoder` of MnasNet and EfficientNet).

    The comment line gives what no string carries: there, `GlobalParams` and constants of the code.

    Raises:
        NasError: naming the stage and field that the TPU code would build otherwise.
    """
    arch = _architecture(network)
    if arch.head.channels is None:
        raise NasError("head.channels is null; the tpu code always has a head convolution")
    if arch.head.hidden is not None:
        raise NasError(
            f"head.hidden is {arch.head.hidden}; the tpu code has no linear layer before the classifier"
        )
    return "\n".join([_header(network), *_strings(arch, "tpu", _tpu_string)]) + "\n"


def block_strings(text: str) -> list[str]:
    """The strings of an exported text, without its comments."""
    return [line for line in text.splitlines() if not line.startswith("#")]


def _architecture(network: Baseline | Architecture) -> Architecture:
    return network.architecture if isinstance(network, Baseline) else network


def _header(network: Baseline | Architecture) -> str:
    arch = _architecture(network)
    name = f"{network.name}: " if isinstance(network, Baseline) else ""
    head = f"head {arch.head.channels} channels" if arch.head.channels else "no head convolution"
    return (
        f"# {name}{arch.resolution} px, {arch.stem.in_chans} input channels, {arch.head.classes} classes, "
        f"{arch.activation}, stem {arch.stem.channels} channels, {head}"
    )


def _strings(arch: Architecture, tool: str, string: Callable[[str, Stage, int], str]) -> Iterator[str]:
    """The strings of all stages, once what holds for both tools is checked."""
    if arch.stem.stride != 2:
        raise NasError(f"stem.stride is {arch.stem.stride}; {tool}'s notation has a stem of stride 2")
    for field, value in unusual(arch.stem, but=("stride", "in_chans")).items():
        raise NasError(
            f"stem.{field} is {_yaml(value)}; {tool}'s notation has a stem of one 3 x 3 convolution"
        )
    if arch.head.conv:
        raise NasError(f"head.conv is true; {tool}'s notation has a linear classifier")
    _check_channels("stem", arch.stem.channels, tool)
    total, channels = arch.stem.stride, arch.stem.channels
    for number, stage in enumerate(arch.stages, 1):
        where = f"stage{number}"
        _check_channels(where, stage.channels, tool)
        if stage.op not in KINDS[tool]:
            *first, last = KINDS[tool]
            known = f"{listed(first)} and {last}"
            raise NasError(f"{where}.op is {stage.op!r}; the {tool} notation has {known} only")
        if stage.skip not in ("none", "identity"):
            raise NasError(f"{where}.skip is {stage.skip!r}; {tool}'s notation has none and identity only")
        hard = tool == "timm" and arch.head.hidden is not None
        if stage.se and (stage.se_kind == "mobilenet-v3") != hard:
            raise NasError(
                f"{where}.se_kind is {stage.se_kind!r}; {tool} "
                + (
                    "has one SE in all stages, with a hidden layer in the head mobilenet-v3's, else the standard one"
                    if tool == "timm"
                    else "has the standard one"
                )
            )
        total *= stage.stride
        if total > 32 and tool == "timm":
            raise NasError(
                f"{where}.stride is {stage.stride}; timm dilates where strides multiply to over 32, "
                f"here to {total}"
            )
        yield string(where, stage, channels)
        channels = stage.channels


def _check_channels(where: str, channels: int, tool: str) -> None:
    rounded = make_divisible(channels)
    if rounded != channels:
        raise NasError(f"{where}.channels is {channels}; {tool} rounds channels to eights, here to {rounded}")


def _timm_string(where: str, stage: Stage, in_channels: int) -> str:
    """timm's kinds of blocks: cn (conv), ds (dsconv), dsa (with pointwise activation), ir (mbconv), er (fusedmbconv).

    Its ds ignores an expansion (so `e1` is kept where it was written, and nothing else is), its ir
    always has the expansion convolution (so an mbconv that leaves it out at expansion 1 is a ds),
    its dsa never has a skip, its cn has one only where asked for, and no SE.
    """
    ratio = stage.expand or 1
    expand, suffix = ("_e1" if stage.expand == 1 else ""), "_noskip"
    if stage.op == "conv" or (stage.op == "fusedmbconv" and stage.expand == 1):
        kind, suffix = "cn", ""
        if stage.se:
            raise NasError(f"{where}.se is {stage.se}; timm's cn block (conv) has no SE, set it to 0")
    elif stage.pointwise_activation:
        kind, suffix = "dsa", ""
        if stage.skip != "none":
            raise NasError(
                f"{where}.skip is {stage.skip!r}; timm's dsa block (pointwise_activation) has no skip, "
                "set it to none"
            )
    elif stage.op == "dsconv" or (stage.expand == 1 and not stage.always_expand):
        kind = "ds"
    else:
        kind, expand = KINDS["timm"][stage.op], f"_e{_number(ratio)}"
    if stage.skip == "identity":
        suffix = "_skip" if kind == "cn" else ""
    if stage.se_kind == "standard":
        _check_squeeze(where, stage, in_channels, ratio if kind in ("ir", "er") else 1)
    size = f"r{stage.layers}_k{stage.kernel}_s{stage.stride}"
    own = "" if stage.activation is None else f"_n{_TIMM_ACTIVATIONS[stage.activation]}"
    return f"{kind}_{size}{expand}_c{stage.channels}{_se(stage)}{own}{suffix}"


def _check_squeeze(where: str, stage: Stage, in_channels: int, expand: float) -> None:
    """timm rounds the squeezed channels, from the expanded ones; the papers' code cuts, from the input's."""
    for block in stage_blocks(stage, in_channels):
        for layer in block.layers if block else ():
            if isinstance(layer, SqueezeExcite):
                squeezed = round(layer.channels * (stage.se / expand))
                if squeezed != layer.squeeze:
                    raise NasError(
                        f"{where}.se is {stage.se}; timm squeezes {layer.channels} channels to {squeezed} "
                        f"at that ratio, not to {layer.squeeze}"
                    )


def _tpu_string(where: str, stage: Stage, in_channels: int) -> str:
    """The TPU code has one kind of block, the mbconv that leaves the expansion out at expansion 1."""
    if stage.activation is not None:
        raise NasError(
            f"{where}.activation is {stage.activation!r}; the tpu notation has one for the whole network"
        )
    if stage.pointwise_activation:
        raise NasError(f"{where}.pointwise_activation is true; the tpu notation cannot express it")
    expand = 1 if stage.op == "dsconv" else stage.expand or 1
    if stage.always_expand and expand == 1:
        raise NasError(
            f"{where}.always_expand is true; the tpu notation leaves the expansion out at expansion 1"
        )
    if expand != int(expand):
        raise NasError(f"{where}.expand is {expand}; the tpu notation has whole expansions only")
    size = f"r{stage.layers}_k{stage.kernel}_s{stage.stride}{stage.stride}_e{_number(expand)}"
    noskip = "_noskip" if stage.skip == "none" else ""
    return f"{size}_i{in_channels}_o{stage.channels}{_se(stage)}{noskip}"


def _se(stage: Stage) -> str:
    return f"_se{_number(stage.se)}" if stage.se else ""


def _yaml(value: object) -> str:
    """A value as documents write it: true for True."""
    return json.dumps(value)


def _number(value: float) -> str:
    """6 for 6 and 6.0, 0.25 for 0.25."""
    return str(int(value)) if value == int(value) else repr(value)
