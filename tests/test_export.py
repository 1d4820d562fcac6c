"""Exported strings are the sources' own, and the other tool builds the very same network from them."""

import ast
import json
import random
import re
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import get_act_layer
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models._efficientnet_builder import decode_arch_def, round_channels
from timm.models.efficientnet import EfficientNet
from timm.models.mobilenetv3 import MobileNetV3

import nas
from nas import Architecture, Head, NasError, Stage, Stem, catalog
from nas.export import export_text, to_nni, to_timm, to_tpu

# Strings of the sources

B0_TIMM = """ds_r1_k3_s1_e1_c16_se0.25 ir_r2_k3_s2_e6_c24_se0.25 ir_r2_k5_s2_e6_c40_se0.25
    ir_r3_k3_s2_e6_c80_se0.25 ir_r3_k5_s1_e6_c112_se0.25 ir_r4_k5_s2_e6_c192_se0.25
    ir_r1_k3_s1_e6_c320_se0.25"""
A1_TIMM = """ds_r1_k3_s1_e1_c16_noskip ir_r2_k3_s2_e6_c24 ir_r3_k5_s2_e3_c40_se0.25 ir_r4_k3_s2_e6_c80
    ir_r2_k3_s1_e6_c112_se0.25 ir_r3_k5_s2_e6_c160_se0.25 ir_r1_k3_s1_e6_c320"""
B1_TIMM = """ds_r1_k3_s1_c16_noskip ir_r3_k3_s2_e3_c24 ir_r3_k5_s2_e3_c40 ir_r3_k5_s2_e6_c80
    ir_r2_k3_s1_e6_c96 ir_r4_k5_s2_e6_c192 ir_r1_k3_s1_e6_c320_noskip"""
V1_TIMM = "dsa_r1_k3_s1_c64 dsa_r2_k3_s2_c128 dsa_r2_k3_s2_c256 dsa_r6_k3_s2_c512 dsa_r2_k3_s2_c1024"
V2_TIMM = """ds_r1_k3_s1_c16 ir_r2_k3_s2_e6_c24 ir_r3_k3_s2_e6_c32 ir_r4_k3_s2_e6_c64 ir_r3_k3_s1_e6_c96
    ir_r3_k3_s2_e6_c160 ir_r1_k3_s1_e6_c320"""
LITE0_TIMM = """ds_r1_k3_s1_e1_c16 ir_r2_k3_s2_e6_c24 ir_r2_k5_s2_e6_c40 ir_r3_k3_s2_e6_c80
    ir_r3_k5_s1_e6_c112 ir_r4_k5_s2_e6_c192 ir_r1_k3_s1_e6_c320"""
# B0's and Lite0's strings with the multipliers of B3 and Lite3 applied by hand (width 1.2 in eights:
# 16 24 40 80 112 192 320 1280 -> 24 32 48 96 136 232 384 1536; depth 1.4 up: 1 2 3 4 -> 2 3 5 6; Lite
# leaves the depth of the first and the last stage as it is).
B3_TIMM = """ds_r2_k3_s1_e1_c24_se0.25 ir_r3_k3_s2_e6_c32_se0.25 ir_r3_k5_s2_e6_c48_se0.25
    ir_r5_k3_s2_e6_c96_se0.25 ir_r5_k5_s1_e6_c136_se0.25 ir_r6_k5_s2_e6_c232_se0.25
    ir_r2_k3_s1_e6_c384_se0.25"""
LITE3_TIMM = """ds_r1_k3_s1_e1_c24 ir_r3_k3_s2_e6_c32 ir_r3_k5_s2_e6_c48 ir_r5_k3_s2_e6_c96
    ir_r5_k5_s1_e6_c136 ir_r6_k5_s2_e6_c232 ir_r1_k3_s1_e6_c384"""
SMALL_TIMM = """ds_r1_k3_s1_c8 ir_r1_k3_s2_e3_c16 ir_r2_k3_s2_e6_c16 ir_r4_k5_s2_e6_c32_se0.25
    ir_r3_k3_s1_e6_c32_se0.25 ir_r3_k5_s2_e6_c88_se0.25 ir_r1_k3_s1_e6_c144"""
FBNET_TIMM = """ir_r1_k3_s1_e1_c16 ir_r1_k3_s2_e6_c24 ir_r2_k3_s1_e1_c24 ir_r1_k5_s2_e6_c32 ir_r1_k5_s1_e3_c32
    ir_r1_k5_s1_e6_c32 ir_r1_k3_s1_e6_c32 ir_r1_k5_s2_e6_c64 ir_r1_k5_s1_e3_c64 ir_r2_k5_s1_e6_c64
    ir_r3_k5_s1_e6_c112 ir_r1_k5_s1_e3_c112 ir_r4_k5_s2_e6_c184 ir_r1_k3_s1_e6_c352"""
SPNAS_TIMM = """ds_r1_k3_s1_c16_noskip ir_r3_k3_s2_e3_c24 ir_r1_k5_s2_e6_c40 ir_r3_k3_s1_e3_c40
    ir_r1_k5_s2_e6_c80 ir_r3_k3_s1_e3_c80 ir_r1_k5_s1_e6_c96 ir_r3_k5_s1_e3_c96 ir_r4_k5_s2_e6_c192
    ir_r1_k3_s1_e6_c320_noskip"""

# timm's own of MobileNetV3-Large and EfficientNetV2-S (stages of several strings there are several here)
V3_LARGE_TIMM = """ds_r1_k3_s1_c16_nre ir_r1_k3_s2_e4_c24_nre ir_r1_k3_s1_e3_c24_nre ir_r3_k5_s2_e3_c40_se0.25_nre
    ir_r1_k3_s2_e6_c80 ir_r1_k3_s1_e2.5_c80 ir_r2_k3_s1_e2.3_c80 ir_r2_k3_s1_e6_c112_se0.25
    ir_r3_k5_s2_e6_c160_se0.25 cn_r1_k1_s1_c960"""
V2_S_TIMM = """cn_r2_k3_s1_e1_c24_skip er_r4_k3_s2_e4_c48 er_r4_k3_s2_e4_c64 ir_r6_k3_s2_e4_c128_se0.25
    ir_r9_k3_s1_e6_c160_se0.25 ir_r15_k3_s2_e6_c256_se0.25"""

B0_TPU = """r1_k3_s11_e1_i32_o16_se0.25 r2_k3_s22_e6_i16_o24_se0.25 r2_k5_s22_e6_i24_o40_se0.25
    r3_k3_s22_e6_i40_o80_se0.25 r3_k5_s11_e6_i80_o112_se0.25 r4_k5_s22_e6_i112_o192_se0.25
    r1_k3_s11_e6_i192_o320_se0.25"""
A1_TPU = """r1_k3_s11_e1_i32_o16_noskip r2_k3_s22_e6_i16_o24 r3_k5_s22_e3_i24_o40_se0.25
    r4_k3_s22_e6_i40_o80 r2_k3_s11_e6_i80_o112_se0.25 r3_k5_s22_e6_i112_o160_se0.25
    r1_k3_s11_e6_i160_o320"""


def mb(layers, kernel, stride, expand, channels, se=0, skip="identity", always=False):
    return Stage("mbconv", kernel, channels, layers, stride, expand, se, skip, always_expand=always)


def ds(channels, skip):
    return Stage("dsconv", 3, channels, skip=skip)


def network(stem, head, *stages):
    return Architecture(Stem(stem), stages, Head(head, 1000), "relu", 224)


MNASNET_SMALL = network(
    8, 1280, ds(8, "identity"), mb(1, 3, 2, 3, 16), mb(2, 3, 2, 6, 16), mb(4, 5, 2, 6, 32, 0.25),
    mb(3, 3, 1, 6, 32, 0.25), mb(3, 5, 2, 6, 88, 0.25), mb(1, 3, 1, 6, 144),
)  # fmt: skip
FBNET_C = network(
    16, 1984, mb(1, 3, 1, 1, 16, always=True), mb(1, 3, 2, 6, 24), mb(2, 3, 1, 1, 24, always=True),
    mb(1, 5, 2, 6, 32), mb(1, 5, 1, 3, 32), mb(1, 5, 1, 6, 32), mb(1, 3, 1, 6, 32), mb(1, 5, 2, 6, 64),
    mb(1, 5, 1, 3, 64), mb(2, 5, 1, 6, 64), mb(3, 5, 1, 6, 112), mb(1, 5, 1, 3, 112), mb(4, 5, 2, 6, 184),
    mb(1, 3, 1, 6, 352),
)  # fmt: skip
SPNASNET = network(
    32, 1280, ds(16, "none"), mb(3, 3, 2, 3, 24), mb(1, 5, 2, 6, 40), mb(3, 3, 1, 3, 40),
    mb(1, 5, 2, 6, 80), mb(3, 3, 1, 3, 80), mb(1, 5, 1, 6, 96), mb(3, 5, 1, 3, 96), mb(4, 5, 2, 6, 192),
    mb(1, 3, 1, 6, 320, skip="none"),
)  # fmt: skip


def strings(text):
    return [line for line in text.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("efficientnet-b0", B0_TIMM), ("efficientnet-b3", B3_TIMM), ("mnasnet-a1", A1_TIMM),
        ("mnasnet-b1", B1_TIMM), ("mobilenet-v1", V1_TIMM), ("mobilenet-v2", V2_TIMM),
        ("efficientnet-lite0", LITE0_TIMM), ("efficientnet-lite3", LITE3_TIMM),
        ("mobilenet-v3-large", V3_LARGE_TIMM), ("efficientnet-v2-s", V2_S_TIMM),
    ],
)  # fmt: skip
def test_timm_strings_of_baselines_are_timms_own(name, expected):
    assert strings(export_text(name, "timm")) == expected.split()


@pytest.mark.parametrize(
    ("arch", "expected", "params"),
    [
        (MNASNET_SMALL, SMALL_TIMM, 2_030_264),
        (FBNET_C, FBNET_TIMM, 5_572_200),
        (SPNASNET, SPNAS_TIMM, 4_421_616),
    ],
)
def test_timm_strings_of_architectures_are_timms_own(arch, expected, params):
    assert arch.params == params  # timm's own count of the model of these strings
    assert strings(to_timm(arch)) == expected.split()


@pytest.mark.parametrize(("name", "expected"), [("efficientnet-b0", B0_TPU), ("mnasnet-a1", A1_TPU)])
def test_tpu_strings_are_the_released_codes_own(name, expected):
    assert strings(export_text(name, "tpu")) == expected.split()


def test_a_convolution_with_a_skip_is_efficientnet_v2s_string():
    arch = network(24, 1280, Stage("conv", 3, 24, layers=2, expand=1, skip="identity"))
    assert strings(to_timm(arch)) == ["cn_r2_k3_s1_e1_c24_skip"]  # the first of EfficientNetV2-S
    arch = network(24, 1280, Stage("conv", 3, 24, expand=6))  # MobileNetV3's convolution has no skip, no e
    assert strings(to_timm(arch)) == ["cn_r1_k3_s1_c24"]


def test_comments_carry_what_no_string_does():
    first, second, *_ = export_text("efficientnet-b3", "timm").splitlines()
    assert first == (
        "# efficientnet-b3: 300 px, 3 input channels, 1000 classes, swish, "
        "stem 40 channels, head 1536 channels"
    )
    assert second == (
        "# timm.models.EfficientNet(decode_arch_def([[line], ...]), "
        "stem_size=40, num_features=1536, in_chans=3, num_classes=1000, act_layer='swish')"
    )
    assert export_text("mobilenet-v1", "timm").startswith("# mobilenet-v1: 224 px, 3 input channels, ")
    assert "no head convolution" in export_text("mobilenet-v1", "timm").splitlines()[0]
    assert to_tpu(MNASNET_SMALL).splitlines()[0] == (
        "# 224 px, 3 input channels, 1000 classes, relu, stem 8 channels, head 1280 channels"
    )


# The witness: timm builds the same network from the text alone


NAMES = {
    "get_act_layer": get_act_layer,
    "partial": partial,
    "SqueezeExcite": SqueezeExcite,
    "nn": torch.nn,
    "round_channels": round_channels,
}
"""What the comment's options mean, as in timm.models.mobilenetv3."""


def build_with_timm(text):
    call = ast.parse(text.splitlines()[1].removeprefix("# "), mode="eval").body
    assert isinstance(call, ast.Call)
    model = {"EfficientNet": EfficientNet, "MobileNetV3": MobileNetV3}[ast.unparse(call.func).split(".")[-1]]
    options = {str(keyword.arg): eval(ast.unparse(keyword.value), NAMES) for keyword in call.keywords}
    with torch.device("meta"):
        return model(decode_arch_def([[line] for line in strings(text)]), **options)


def assert_same_network(arch, theirs):
    """Equal parameters and buffers in order of computation, and with equal values equal outputs."""
    assert sum(p.numel() for p in theirs.parameters()) == arch.params
    ours = nas.build(arch, norm_eps=1e-5).eval()  # timm's epsilon
    mine, other = ours.state_dict(), theirs.state_dict()
    # timm's MobileNetV3 has its hidden layer as a 1x1 convolution
    shapes = [v.squeeze().shape for v in mine.values()], [v.squeeze().shape for v in other.values()]
    assert shapes[0] == shapes[1]
    values = [v.reshape(o.shape) for v, o in zip(mine.values(), other.values(), strict=True)]
    theirs.load_state_dict(dict(zip(other, values, strict=True)), assign=True)
    image = torch.randn(1, arch.stem.in_chans, 33, 33, generator=torch.manual_seed(0))
    with torch.no_grad():
        mine, other = ours(image), theirs.eval()(image)
    assert mine.abs().max() > 0
    torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4 * float(mine.abs().max()))


@pytest.mark.parametrize(
    "name",
    [
        "efficientnet-b0", "mnasnet-a1", "mnasnet-b1", "mobilenet-v1", "mobilenet-v2", "efficientnet-lite0",
        "mobilenet-v3-large", "mobilenet-v3-small", "efficientnet-v2-s",
    ],
)  # fmt: skip
def test_timm_builds_the_baselines(name):
    arch = nas.load(name).architecture
    assert_same_network(arch, build_with_timm(to_timm(arch)))


@pytest.mark.parametrize("arch", [MNASNET_SMALL, FBNET_C, SPNASNET])
def test_timm_builds_the_architectures(arch):
    assert_same_network(arch, build_with_timm(to_timm(arch)))


SPACE = nas.SearchSpace.load("efficientnet")
EXPRESSIBLE = {
    label: [value for value in values if value != "pool"] for label, values in SPACE.choices.items()
}


@st.composite
def expressible(draw):
    """Points of the `efficientnet` space without pooling skips and without SE on convolutions."""
    sample = {label: draw(st.sampled_from(values)) for label, values in EXPRESSIBLE.items()}
    for number in range(1, 8):
        if sample[f"stage{number}.op"] == "conv":
            sample[f"stage{number}.se"] = 0
    return SPACE.decode(sample)


@given(expressible())
@settings(max_examples=12, deadline=None)
def test_timm_builds_random_points_of_the_space(arch):
    assert_same_network(arch, build_with_timm(to_timm(arch)))


def architectures(kinds, **fields):
    """Small architectures, most of which a notation can express and some of which it cannot."""
    stage = st.builds(
        Stage,
        **{
            "op": st.just("conv"),
            "kernel": st.sampled_from([3, 1, 5, 11]),
            "channels": st.sampled_from([8, 16, 24] * 4 + [20]),
            "layers": st.integers(1, 3),
            "stride": st.sampled_from([1, 1, 2]),
            "expand": st.sampled_from([1, 1.0, 2.5, 3, 6.0, 2.3]),
            "se": st.sampled_from([0, 0, 0.25, 0.5, 0.0625, 0.3]),
            "skip": st.sampled_from(["none", "identity"] * 5 + ["pool"]),
            **fields,
        },
    )
    line = st.builds(lambda stage, kind: replace(stage, **kind), stage, st.sampled_from(kinds))
    return st.builds(
        Architecture,
        stem=st.builds(Stem, channels=st.sampled_from([8, 16] * 4 + [12]), in_chans=st.sampled_from([1, 3])),
        stages=st.lists(line, min_size=1, max_size=3).map(tuple),
        head=st.builds(Head, channels=st.sampled_from([8, 20] * 3 + [None]), classes=st.integers(1, 5)),
        activation=st.sampled_from(["relu", "relu6", "swish"]),
        resolution=st.just(64),
    )


FOR_TIMM = architectures(
    [
        {"se": 0},
        {"op": "dsconv"},
        {"op": "dsconv", "expand": None},
        {"op": "dsconv", "pointwise_activation": True, "skip": "none"},
        {"op": "mbconv"},
        {"op": "mbconv", "always_expand": True},
        {"op": "fusedmbconv"},
        {"op": "mbconv", "activation": "hard_swish"},
        {},
        {"op": "dsconv", "pointwise_activation": True},
    ]
)
FOR_TPU = architectures(
    [{"op": "dsconv"}, {"op": "dsconv", "expand": None}] + [{"op": "mbconv"}] * 6
    + [{}, {"op": "mbconv", "always_expand": True}, {"op": "dsconv", "pointwise_activation": True}],
    expand=st.sampled_from([1, 1.0, 3, 6.0, 6, 2] * 2 + [2.5]),
)  # fmt: skip


def exported(export, arch):
    """The text, or None where the notation is refused, with the part and its field."""
    try:
        return export(arch)
    except NasError as error:
        refusal = str(error)
    assert re.match(r"(stem|head|stage[1-3])\.[a-z_]+ is ", refusal)
    return None


@given(FOR_TIMM)
@settings(max_examples=120, deadline=None)
def test_timm_builds_whatever_is_exported(arch):
    text = exported(to_timm, arch)
    if text is not None:
        assert_same_network(arch, build_with_timm(text))


def read_tpu(text, like):
    """The network of tpu strings, read by the rules of the released code: one kind of block."""
    pattern = re.compile(r"r(\d+)_k(\d+)_s(\d)(\d)_e(\d+)_i(\d+)_o(\d+)(?:_se([\d.]+))?(_noskip)?")
    stages, channels = [], like.stem.channels
    for line in strings(text):
        match = pattern.fullmatch(line)
        assert match, line
        layers, kernel, stride, other, expand, inputs, outputs = map(int, match.groups()[:7])
        assert (stride, inputs) == (other, channels)
        skip = "none" if match[9] else "identity"
        stages.append(Stage("mbconv", kernel, outputs, layers, stride, expand, float(match[8] or 0), skip))
        channels = outputs
    return replace(like, stages=tuple(stages))


@given(FOR_TPU)
@settings(max_examples=200, deadline=None)
def test_tpu_strings_read_back_as_the_same_network(arch):
    text = exported(to_tpu, arch)
    if text is not None:
        assert read_tpu(text, arch).key == arch.key


def test_every_kind_of_block_is_exported():
    """So that the two tests above are no empty promise."""
    for kind in (
        Stage("conv", 3, 16, skip="identity"),
        Stage("dsconv", 3, 16, se=0.25),
        Stage("dsconv", 3, 16, expand=6, skip="identity"),
        Stage("dsconv", 3, 16, pointwise_activation=True, se=0.25),
        Stage("mbconv", 3, 16, expand=1, se=0.25),
        Stage("mbconv", 3, 16, expand=1, always_expand=True),
        Stage("mbconv", 5, 16, expand=2.5, se=0.25),
    ):
        assert_same_network(network(8, 16, kind), build_with_timm(to_timm(network(8, 16, kind))))


# What a notation cannot express


PLAIN = Stage("mbconv", 3, 24, 2, 2, 6, 0.25, "identity")


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [
        (
            Stage("basic", 3, 24),
            "stage2.op is 'basic'; the timm notation has conv, dsconv, mbconv and fusedmbconv only",
        ),
        (
            replace(PLAIN, se_kind="mobilenet-v3"),
            "stage2.se_kind is 'mobilenet-v3'; timm has one SE in all stages, with a hidden layer in the head "
            "mobilenet-v3's, else the standard one",
        ),
        (
            replace(PLAIN, skip="projection"),
            "stage2.skip is 'projection'; timm's notation has none and identity only",
        ),
        (replace(PLAIN, skip="pool"), "stage2.skip is 'pool'; timm's notation has none and identity only"),
        (
            Stage("conv", 3, 24, se=0.25),
            "stage2.se is 0.25; timm's cn block (conv) has no SE, set it to 0",
        ),
        (
            Stage("dsconv", 3, 24, skip="identity", pointwise_activation=True),
            "stage2.skip is 'identity'; timm's dsa block (pointwise_activation) has no skip, set it to none",
        ),
        (replace(PLAIN, channels=20), "stage2.channels is 20; timm rounds channels to eights, here to 24"),
        (
            replace(PLAIN, se=0.3),
            # 16 channels in: the papers' code has int(16 * 0.3) = 4, timm round(96 * 0.3 / 6) = 5
            "stage2.se is 0.3; timm squeezes 96 channels to 5 at that ratio, not to 4",
        ),
    ],
)
def test_what_timm_cannot_express(stage, sentence):
    with pytest.raises(NasError, match=re.escape(sentence)):
        to_timm(network(32, 1280, ds(16, "none"), stage))


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [
        (replace(PLAIN, skip="pool"), "stage2.skip is 'pool'; tpu's notation has none and identity only"),
        (Stage("conv", 3, 24), "stage2.op is 'conv'; the tpu notation has dsconv and mbconv only"),
        (
            Stage("dsconv", 3, 24, pointwise_activation=True),
            "stage2.pointwise_activation is true; the tpu notation cannot express it",
        ),
        (
            Stage("mbconv", 3, 24, expand=1, always_expand=True),
            "stage2.always_expand is true; the tpu notation leaves the expansion out at expansion 1",
        ),
        (replace(PLAIN, expand=2.5), "stage2.expand is 2.5; the tpu notation has whole expansions only"),
        (replace(PLAIN, channels=20), "stage2.channels is 20; tpu rounds channels to eights, here to 24"),
    ],
)
def test_what_tpu_cannot_express(stage, sentence):
    with pytest.raises(NasError, match=re.escape(sentence)):
        to_tpu(network(32, 1280, ds(16, "none"), stage))


@pytest.mark.parametrize(("export", "tool"), [(to_timm, "timm"), (to_tpu, "tpu")])
def test_the_stem_that_neither_can_express(export, tool):
    with pytest.raises(NasError, match=rf"stem.stride is 1; {tool}'s notation has a stem of stride 2"):
        export(replace(MNASNET_SMALL, stem=Stem(8, stride=1)))
    with pytest.raises(NasError, match=rf"stem.channels is 12; {tool} rounds channels to eights, here to 16"):
        export(replace(MNASNET_SMALL, stem=Stem(12)))


def test_the_head_that_tpu_cannot_express():
    with pytest.raises(NasError, match=r"head.channels is null; the tpu code always has a head convolution"):
        to_tpu(replace(MNASNET_SMALL, head=Head(None, 1000)))


def test_a_sixth_stride_is_refused_for_timm_dilates_it_and_the_tpu_code_does_not():
    deep = network(8, 16, *[Stage("dsconv", 3, 8, stride=2)] * 5)
    sentence = "stage5.stride is 2; timm dilates where strides multiply to over 32, here to 64"
    with pytest.raises(NasError, match=sentence):
        to_timm(deep)
    assert strings(to_tpu(deep))[-1] == "r1_k3_s22_e1_i8_o8_noskip"


@pytest.mark.parametrize(
    ("naive", "stage"),
    [
        ("cn_r1_k3_s1_c24_se0.25", Stage("conv", 3, 24, se=0.25)),
        ("ir_r1_k3_s1_e6_c20", Stage("mbconv", 3, 20, expand=6)),
        ("ir_r1_k3_s1_e6_c24_se0.3", Stage("mbconv", 3, 24, expand=6, se=0.3)),
        ("ir_r1_k3_s1_e1_c24", Stage("mbconv", 3, 24, expand=1)),  # exported as ds
    ],
)
def test_the_obvious_string_would_be_another_network_in_timm(naive, stage):
    """Why the stages above are refused, or written otherwise."""
    arch = network(16, 16, stage)
    theirs = EfficientNet(decode_arch_def([[naive]]), stem_size=16, num_features=16)
    assert sum(p.numel() for p in theirs.parameters()) != arch.params


def test_timm_leaves_the_skip_of_a_dsa_out():
    theirs = EfficientNet(decode_arch_def([["dsa_r1_k3_s1_c16"]]), stem_size=16, num_features=16)
    block = theirs.blocks[0][0]  # type: ignore[index]
    assert (block.conv_dw.in_channels, block.conv_pw.out_channels, block.has_skip) == (16, 16, False)


# NNI


@pytest.mark.parametrize("name", catalog.names("search_spaces"))
def test_nnis_draws_are_samples(name):
    space = nas.SearchSpace.load(name)
    search_space = json.loads(export_text(name, "nni"))
    assert list(search_space) == list(space.choices)
    assert all(set(choice) == {"_type", "_value"} for choice in search_space.values())
    assert {choice["_type"] for choice in search_space.values()} == {"choice"}
    rng = random.Random(0)
    for _ in range(50):
        drawn = json.loads(
            json.dumps({k: rng.choice(choice["_value"]) for k, choice in search_space.items()})
        )
        assert space.contains(space.decode(drawn))


def test_nni_accepts_the_search_space():
    from nni.algorithms.hpo.random_tuner import RandomTuner
    from nni.common.hpo_utils import validate_search_space

    search_space = json.loads(export_text("digits", "nni"))
    assert validate_search_space(search_space, ["choice"])
    tuner = RandomTuner(seed=0)
    tuner.update_search_space(search_space)
    for number in range(20):
        SPACE_DIGITS.decode(tuner.generate_parameters(number))


SPACE_DIGITS = nas.SearchSpace.load("digits")


def test_a_space_without_choices_has_nothing_to_draw():
    data = {
        "name": "fixed", "resolution": 8, "stem": {"channels": 8}, "head": {"channels": 8},
        "stages": [{"op": "conv", "kernel": 3, "channels": 8}],
    }  # fmt: skip
    with pytest.raises(
        NasError, match="fixed has no open choice; write a list where a value is to be searched"
    ):
        to_nni(nas.SearchSpace.from_data(data))


# The command's text


def test_formats_and_kinds_of_documents():
    with pytest.raises(NasError, match=r"--to is 'tim' \(did you mean 'timm'\?\); allowed: timm, tpu, nni"):
        export_text("efficientnet-b0", "tim")
    with pytest.raises(
        NasError, match=r"digits is a search space; --to timm writes a baseline: .*efficientnet-b0, "
    ):
        export_text("digits", "timm")
    with pytest.raises(
        NasError, match=r"mnasnet-a1 is a baseline; --to nni writes a search space: .*cifar, "
    ):
        export_text("mnasnet-a1", "nni")
    with pytest.raises(NasError, match=r"there is no baseline 'mnasnet-a2' \(did you mean 'mnasnet-a1'"):
        export_text("mnasnet-a2", "tpu")
