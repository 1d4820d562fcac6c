"""Compound scaling: the published family exactly, the formula to the digits that are known of it."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nas
from nas import NasError
from nas.documents import ScalingLine
from nas.ops import make_divisible
from nas.planning import planned
from nas.scaling import Scaled, dropout, family, resize, scale, single

B0 = nas.load("efficientnet-b0")

# EfficientNet Table 2 and the released code's coefficients: width, depth, resolution, dropout;
# parameters and multiply-adds as the libraries build them; the formula's multiply-adds as printed.
PUBLISHED = {
    0: (1.0, 1.0, 224, 0.2, 5_288_548, 385_814_752, ".386G"),
    1: (1.0, 1.1, 240, 0.2, 7_794_184, 686_802_832, ".993G"),
    2: (1.1, 1.2, 260, 0.3, 9_109_994, 993_561_872, "1.81G"),
    3: (1.2, 1.4, 300, 0.3, 12_233_232, 1_827_141_392, "3.25G"),
    4: (1.4, 1.8, 380, 0.4, 19_341_616, 4_393_771_024, "6.32G"),
    5: (1.6, 2.2, 456, 0.4, 30_389_784, 10_266_384_752, "11.4G"),
    6: (1.8, 2.6, 528, 0.5, 43_040_704, 19_067_593_536, "20.1G"),
    7: (2.0, 3.1, 600, 0.5, 66_347_960, 37_745_884_192, "39.7G"),
}


@pytest.mark.parametrize("phi", range(8))
def test_the_official_family_is_exact(phi):
    width, depth, resolution, drop, params, macs, _ = PUBLISHED[phi]
    (member,) = family(B0, [phi], official=True)
    assert (member.width, member.depth, member.dropout) == (width, depth, drop)
    arch = member.architecture
    assert (arch.resolution, arch.params, arch.macs) == (resolution, params, macs)
    assert member.name == f"efficientnet-b{phi}"
    assert arch == scale(B0.architecture, phi, official=True)
    shipped = nas.load(member.name)
    assert (arch, drop) == (shipped.architecture, shipped.dropout)


@pytest.mark.parametrize("phi", range(8))
def test_the_formulas_figures(phi):
    printed = PUBLISHED[phi][-1].removesuffix("G")
    digits = len(printed.split(".")[1])
    assert f"{scale(B0.architecture, phi).macs / 1e9:.{digits}f}".lstrip("0") == printed


@pytest.mark.parametrize("phi", range(1, 8))
def test_every_layer_that_can_take_a_skip_in_b1_to_b7_has_it(phi):
    """B0's first and last stage have one layer, which takes none; what was written is kept."""
    arch = scale(B0.architecture, phi, official=True)
    channels, last = arch.stem.channels, 0
    fitting = []
    for number, block in arch.blocks():
        out = arch.stages[number - 1].channels
        if block.stride == 1 and channels == out:
            fitting.append((number, block.shortcut))
        assert number >= last
        channels, last = out, number
    assert {shortcut for _, shortcut in fitting} == {"identity"}
    assert 1 in {number for number, _ in fitting}


# torchvision's mobilenet_v2(width_mult=...) at 224 px: parameters, multiply-adds
MULTIPLIERS = {
    0.35: (1_677_128, 59_285_808),
    0.5: (1_968_680, 97_131_840),
    0.75: (2_636_424, 209_069_792),
    1.3: (5_386_792, 509_374_560),
    1.4: (6_108_776, 582_195_824),
}


@pytest.mark.parametrize("width", MULTIPLIERS)
def test_mobilenet_v2s_width_multipliers_are_torchvisions(width):
    """Its head has 1280 channels or more: a multiplier under 1 leaves it alone (Sandler et al. 2018, section 4)."""
    arch = single(nas.load("mobilenet-v2"), width=width).architecture
    assert (arch.params, arch.macs) == MULTIPLIERS[width]
    assert arch.head.channels == max(1280, make_divisible(1280 * width))


def test_mobilenet_v3s_width_multiplier_is_timms_but_for_the_hidden_layer():
    """timm's mobilenetv3_large_075 keeps the hidden 1280 features; torchvision scales them too, as we do."""
    arch = single(nas.load("mobilenet-v3-large"), width=0.75).architecture
    assert (arch.head.channels, arch.head.hidden) == (720, 960)
    timms = replace(arch, head=replace(arch.head, hidden=1280))
    assert (timms.params, timms.macs) == (3_993_528, 154_560_624)


V3 = {
    "large": (
        (0.35, 997_064), (0.5, 1_734_576), (0.6, 2_311_608), (0.75, 3_377_576), (0.8, 3_731_760),
        (0.9, 4_590_736), (1.1, 6_470_872), (1.25, 8_164_744), (1.3, 8_713_472), (1.4, 9_989_328),
    ),
    "small": (
        (0.35, 558_744), (0.5, 917_264), (0.6, 1_180_456), (0.75, 1_653_920), (0.8, 1_836_216),
        (0.9, 2_170_080), (1.1, 2_942_776), (1.25, 3_644_912), (1.3, 3_928_192), (1.4, 4_373_824),
    ),
}  # fmt: skip
"""torchvision's mobilenet_v3_large and _small(width_mult=...): width, parameters."""


def test_how_far_mobilenet_v3s_width_multiplier_is_from_torchvisions():
    """docs/concepts.md says these figures."""
    off = [
        single(nas.load(f"mobilenet-v3-{kind}"), width=width).architecture.params / params - 1
        for kind, rows in V3.items()
        for width, params in rows
    ]
    assert (round(min(off), 3), round(max(off), 3)) == (-0.01, 0.022)


@pytest.mark.parametrize("kind", V3)
def test_what_makes_mobilenet_v3s_width_multiplier_another_than_torchvisions(kind):
    """With torchvision's expanded channels and head, block for block, ours has its parameters."""
    from torchvision.models.mobilenetv3 import MobileNetV3, _mobilenet_v3_conf

    for width, params in V3[kind]:
        settings, last = _mobilenet_v3_conf(f"mobilenet_v3_{kind}", width_mult=width)
        arch = single(nas.load(f"mobilenet-v3-{kind}"), width=width).architecture
        ours = [
            next(layer for layer in block.layers if layer.name == "depthwise") for _, block in arch.blocks()
        ]
        for setting, layer in zip(settings, ours, strict=True):
            setting.expanded_channels = layer.out_channels
        theirs = MobileNetV3(settings, last)
        head = replace(arch.head, channels=6 * arch.stages[-1].channels)
        assert replace(arch, head=head).params == sum(p.numel() for p in theirs.parameters())
        assert arch.params != params


# EfficientNet Table 3: billions of multiply-adds. The coefficients are printed for MobileNetV1 alone.
TABLE_3 = [
    ("mobilenet-v1", {"width": 2}, 2.2, 0.05),
    ("mobilenet-v1", {"resolution": 448}, 2.2, 0.075),  # 4 x 0.569 is 2.27
    ("mobilenet-v1", {"depth": 1.4, "width": 1.2, "resolution": 291}, 2.3, 0.175),  # layers are rounded up
    ("mobilenet-v2", {}, 0.3, 0.05),
    ("mobilenet-v2", {"depth": 4}, 1.2, 0.05),
    ("mobilenet-v2", {"width": 2}, 1.1, 0.05),
    ("mobilenet-v2", {"resolution": 448}, 1.2, 0.05),
    ("resnet-50", {}, 4.1, 0.05),
    ("resnet-50", {"resolution": 448}, 16.4, 0.05),
    # ours are 14.6 and 16.1, as though the paper's two rows had been exchanged
    ("resnet-50", {"depth": 4}, 14.7, 0.15),
    ("resnet-50", {"width": 2}, 16.2, 0.1),
]


@pytest.mark.parametrize(("name", "how", "billions", "off"), TABLE_3)
def test_scaled_networks_of_efficientnets_table_3(name, how, billions, off):
    assert single(nas.load(name), **how).architecture.macs / 1e9 == pytest.approx(billions, abs=off)


def test_scaling_takes_the_first_convolution_and_the_hidden_layer_along():
    xception = single(nas.load("xception"), width=2).architecture
    assert (xception.stem.first, xception.stem.channels) == (64, 128)
    assert single(nas.load("mobilenet-v3-small"), width=2).architecture.head.hidden == 2048


def test_the_formula_by_hand():
    """phi = 2: depth 1.2^2 = 1.44, width 1.1^2 = 1.21, resolution 224 x 1.15^2 = 296.24."""
    arch = scale(B0.architecture, 2)
    assert arch.resolution == 296
    assert arch.stem.channels == 40  # 38.72
    assert arch.head.channels == 1552  # 1548.8: 1552 is the nearest eight
    # 19.36, 29.04, 48.4, 96.8, 135.52, 232.32, 387.2 to eights, never under 90 %
    assert [stage.channels for stage in arch.stages] == [24, 32, 48, 96, 136, 232, 384]
    # 1.44, 2.88, 2.88, 4.32, 4.32, 5.76, 1.44, upwards
    assert [stage.layers for stage in arch.stages] == [2, 3, 3, 5, 5, 6, 2]
    assert arch.head.classes == 1000


def test_phi_zero_is_the_network_itself():
    for name in ("efficientnet-b0", "mnasnet-a1", "mobilenet-v1"):
        arch = nas.load(name).architecture
        assert scale(arch, 0) == arch


@given(st.floats(-2, 7), st.sampled_from(["efficientnet-b0", "mnasnet-b1", "mobilenet-v1"]))
@settings(max_examples=50, deadline=None)
def test_any_phi_gives_eights_whole_layers_and_the_formulas_resolution(phi, name):
    base = nas.load(name).architecture
    arch = scale(base, phi)
    assert arch.resolution == round(base.resolution * 1.15**phi)
    for stage, old in zip(arch.stages, base.stages, strict=True):
        assert stage.channels % 8 == 0
        assert stage.channels >= 0.9 * old.channels * 1.1**phi
        assert stage.layers - 1 < old.layers * 1.2**phi <= stage.layers + 1e-6
        assert replace(stage, channels=0, layers=0) == replace(old, channels=0, layers=0)
    assert (arch.head.channels is None) == (base.head.channels is None)


def test_own_coefficients():
    """The arguments', else the document's, else EfficientNet's."""
    own = replace(B0, scaling=ScalingLine(alpha=1.0, beta=1.0, gamma=2.0))
    (member,) = family(own, [1])
    assert (member.depth, member.width, member.architecture.resolution) == (1.0, 1.0, 448)
    (member,) = family(own, [1], alpha=3.0, gamma=0.5)
    assert (member.depth, member.width, member.architecture.resolution) == (3.0, 1.0, 112)
    (member,) = family(B0, [1])
    assert (member.depth, member.width, member.architecture.resolution) == (1.2, 1.1, 258)
    assert scale(B0.architecture, 1, alpha=1, beta=1, gamma=2).resolution == 448


def test_a_family_keeps_the_order_and_promises_powers_of_two():
    members = family(B0, [2, 0, 0.5, 1])
    assert [member.phi for member in members] == [2, 0, 0.5, 1]
    assert [member.name for member in members] == [
        "efficientnet-b0-phi2", "efficientnet-b0-phi0", "efficientnet-b0-phi0.5", "efficientnet-b0-phi1",
    ]  # fmt: skip
    macs = 385_814_752
    assert [member.target_macs for member in members] == pytest.approx(
        [4 * macs, macs, math.sqrt(2) * macs, 2 * macs]
    )
    # Integers break the promise: B0 at phi = 1 costs 2.57 times as much, not twice.
    assert members[3].architecture.macs / macs == pytest.approx(0.993e9 / macs, rel=1e-3)


def test_the_json_of_a_member():
    (member,) = family(B0, [1], official=True)
    assert member.as_json() == {
        "phi": 1, "name": "efficientnet-b1", "width": 1.0, "depth": 1.1, "resolution": 240, "dropout": 0.2,
        "params": 7_794_184, "macs": 686_802_832, "target_macs": 2 * 385_814_752,
    }  # fmt: skip


def test_dropout_runs_from_b0s_to_b7s():
    assert [dropout(phi) for phi in (0, 3.5, 7, 100)] == pytest.approx([0.2, 0.35, 0.5, 0.5])
    assert dropout(-100) == 0
    assert family(B0, [7])[0].dropout == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet-50", [0, 0, 0]),
        ("squeezenet-1.1", [0.5, 0.5, 0.5]),
        ("efficientnet-b2", [0.3, 0.3 + 0.3 / 7, 0.5]),
    ],
)
def test_dropout_starts_at_the_baselines_own(name, expected):
    base = nas.load(name)
    assert [member.dropout for member in family(base, [0, 1, 7])] == pytest.approx(expected)
    assert planned(base, macs="1x")[0].dropout == pytest.approx(expected[0], abs=0.01)


def test_a_dropout_over_a_half_is_kept():
    assert [dropout(phi, own=0.8) for phi in (0, 1, 7)] == [0.8, 0.8, 0.8]


def test_one_dimension_alone():
    """EfficientNet Table 7: B0 with d = 4, w = 2 or r = 2, .39B to about 1.8 to 1.9B as printed there."""
    macs = B0.architecture.macs
    deep, wide, sharp = single(B0, depth=4), single(B0, width=2), single(B0, resolution=448)
    assert [stage.layers for stage in deep.architecture.stages] == [4, 8, 8, 12, 12, 16, 4]
    assert [s.channels for s in deep.architecture.stages] == [s.channels for s in B0.architecture.stages]
    assert [s.channels for s in wide.architecture.stages] == [32, 48, 80, 160, 224, 384, 640]
    assert [s.layers for s in wide.architecture.stages] == [s.layers for s in B0.architecture.stages]
    assert replace(sharp.architecture, resolution=224) == B0.architecture
    assert [one.target_macs for one in (deep, wide, sharp)] == [4 * macs, 4 * macs, 4 * macs]
    assert [one.name.removeprefix("efficientnet-b0-") for one in (deep, wide, sharp)] == ["d4", "w2", "r448"]
    assert {one.phi for one in (deep, wide, sharp)} == {None}
    # Twice the side is four times the pixels: all but SE's and the classifier's multiply-adds.
    once = 1280 * 1000 + sum(
        layer.macs(1) for _, block in B0.architecture.blocks() for layer in block.layers if layer.name == "se"
    )
    assert sharp.architecture.macs == 4 * (macs - once) + once
    together = single(B0, width=1.2, depth=1.4, resolution=300)
    assert together.name == "efficientnet-b0-w1.2-d1.4-r300"
    assert together.architecture.macs == 1_827_141_392  # B3
    assert single(B0).name == "efficientnet-b0"


def test_width_one_leaves_odd_channels_alone():
    arch = replace(B0.architecture, stages=(replace(B0.architecture.stages[0], channels=13),))
    assert resize(arch, 1, 2, 224).stages[0].channels == 13
    assert resize(arch, 2, 1, 224).stages[0].channels == 24  # 26


@pytest.mark.parametrize(
    ("channels", "expected"), [(1, 8), (11, 16), (12, 16), (20, 24), (28, 32), (100, 104), (130, 128)]
)
def test_make_divisible_by_hand(channels, expected):
    """The nearest eight, halves up; 11 goes to 16, for 8 is under 90 % of it."""
    assert make_divisible(channels) == expected


# Refusals


@pytest.mark.parametrize("name", ["mnasnet-a1", "efficientnet-b1", "efficientnet-lite0"])
def test_official_is_b0s_own(name):
    with pytest.raises(NasError, match=r"the official table is EfficientNet-B0's own; leave --official out"):
        scale(nas.load(name).architecture, 1, official=True)


def test_official_is_b0s_as_written():
    """Without its skips in stages of one layer B0 is the same network, but its B1 is another."""
    stages = B0.architecture.stages
    bare = replace(B0.architecture, stages=(replace(stages[0], skip="none"), *stages[1:]))
    assert bare.key == B0.architecture.key
    with pytest.raises(NasError, match="the official table is EfficientNet-B0's own"):
        scale(bare, 1, official=True)
    assert scale(B0.architecture.with_data(10, 1), 1, official=True).head.classes == 10


@pytest.mark.parametrize("phi", [0.5, 8, -1, math.nan])
def test_official_has_eight_phis(phi):
    with pytest.raises(NasError, match=rf"phi is {phi:g}; the official table has 0, 1, 2, 3, 4, 5, 6 and 7"):
        scale(B0.architecture, phi, official=True)


@pytest.mark.parametrize(
    ("phi", "sentence"),
    [
        # 14 px: 7 after the stem, 4, 2, 1 after stages 2 to 4
        (
            -20,
            "no network is left at width 0.148644, depth 0.0260841, resolution 14: stage6.stride is 2 on a ",
        ),
        (
            -40,
            "no network is left at width 0.0220949, depth 0.000680378, resolution 1: stage2.stride is 2 ",
        ),
        (-50, "no network is left at resolution 0; give 1 to 16384 pixels"),
        (31, "no network is left at resolution 17056; give 1 to 16384 pixels"),
        (101, "phi is 101; give a number from -100 to 100, such as 0, 1 or 2.5"),
        (math.nan, "phi is nan; give a number from -100 to 100"),
        (math.inf, "phi is inf; give a number from -100 to 100"),
    ],
)
def test_a_phi_that_leaves_no_network(phi, sentence):
    with pytest.raises(NasError) as error:
        scale(B0.architecture, phi)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"alpha": 0}, "alpha is 0; give a ratio from 0.001 to 1000, such as 1.2"),
        ({"beta": -1}, "beta is -1; give a ratio from 0.001 to 1000"),
        ({"gamma": math.nan}, "gamma is nan; give a ratio from 0.001 to 1000"),
        ({"gamma": 1000, "phi": 9}, "no network is left at resolution 2.24e+29; give 1 to 16384 pixels"),
        ({"beta": 1000, "phi": 2}, "width is 1e+06; give a ratio over 0, up to 1000"),
        ({"alpha": 0.001, "phi": 9}, "stage1.layers is 0; give a whole number from 1 to 1000"),
    ],
)
def test_impossible_coefficients(arguments, sentence):
    with pytest.raises(NasError) as error:
        scale(B0.architecture, **{"phi": 1, **arguments})
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"width": 0}, "width is 0; give a ratio over 0, up to 1000"),
        ({"depth": math.inf}, "depth is inf; give a ratio over 0, up to 1000"),
        ({"resolution": 0}, "no network is left at resolution 0; give 1 to 16384 pixels"),
        (
            {"width": 1000},
            "no network is left at width 1000, depth 1, resolution 224: stage4.channels is 80000",
        ),
    ],
)
def test_impossible_dimensions(arguments, sentence):
    with pytest.raises(NasError) as error:
        single(B0, **arguments)
    assert str(error.value).startswith(sentence)


def test_a_member_is_a_value():
    member = family(B0, [1])[0]
    assert isinstance(member, Scaled)
    assert member == family(B0, [1])[0]
    assert hash(member.architecture) == hash(family(B0, [1])[0].architecture)
