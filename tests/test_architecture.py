"""Architecture: the canonical key, the blocks and their shortcuts, and what is refused."""

import pickle
import re
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nas
from nas import Architecture, Head, NasError, Stage, Stem
from nas.block import SE_KINDS
from nas.ops import ACTIVATIONS, OPS, SKIPS

MBCONV = Stage("mbconv", kernel=3, expand=6, se=0.25, skip="identity", channels=24, layers=2, stride=2)
DSCONV = Stage("dsconv", kernel=3, se=0.25, skip="identity", channels=16)


def architecture(*stages, **fields):
    """Those stages after 32 channels at 16 x 16 pixels."""
    rest = {"stem": Stem(32), "head": Head(1280, 1000), "activation": "swish", "resolution": 32}
    return Architecture(stages=stages, **rest | fields)


def layers(arch):
    """What torch prints of the network: every layer with its shape and shortcut."""
    with torch.device("meta"):
        return str(nas.build(arch))


# The key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (replace(DSCONV, expand=3), replace(DSCONV, expand=6)),  # a dsconv does not expand
        (replace(DSCONV, expand=None), replace(DSCONV, expand=1)),
        (replace(DSCONV, op="conv", expand=3), replace(DSCONV, op="conv", expand=None)),
        # no layer of stride 1 from 16 to 16 channels, after 32
        (replace(DSCONV, skip="identity"), replace(DSCONV, skip="none")),
        (replace(DSCONV, skip="pool"), replace(DSCONV, skip="none")),
        (replace(MBCONV, layers=1, skip="identity"), replace(MBCONV, layers=1, skip="pool")),
        (replace(DSCONV, se=0.25), replace(DSCONV, se=0.28)),  # of 32: int(8.0) and int(8.96)
        (replace(DSCONV, se=0.001), replace(DSCONV, se=0.05)),  # at least 1; int(1.6) = 1
        (DSCONV, replace(DSCONV, op="mbconv", expand=1)),
        # 32 * 6.05 = 193.6 is 192 in eights, and in the second layer 24 * 6.05 = 145.2 is 144
        (replace(MBCONV, expand=6), replace(MBCONV, expand=6.05)),
    ],
)
def test_choices_that_change_nothing_share_a_key(one, other):
    assert one != other
    one, other = architecture(one), architecture(other)
    assert one.key == other.key
    assert layers(one) == layers(other)
    assert (one.params, one.macs) == (other.params, other.macs)


@pytest.mark.parametrize(
    "change",
    [
        {"op": "conv"}, {"op": "dsconv"}, {"kernel": 5}, {"expand": 3}, {"se": 0.0}, {"se": 0.5},
        {"skip": "none"}, {"skip": "pool"}, {"channels": 32}, {"layers": 3}, {"layers": 1}, {"stride": 1},
    ],
)  # fmt: skip
def test_choices_that_change_a_stage_change_the_key(change):
    assert architecture(replace(MBCONV, **change)).key != architecture(MBCONV).key


@pytest.mark.parametrize(
    "fields",
    [
        {"stem": Stem(24)}, {"stem": Stem(32, stride=1)}, {"stem": Stem(32, in_chans=1)},
        {"head": Head(None, 1000)}, {"head": Head(1024, 1000)}, {"head": Head(1280, 10)},
        {"activation": "relu"}, {"resolution": 64},
    ],
)  # fmt: skip
def test_fields_that_change_a_network_change_the_key(fields):
    assert architecture(MBCONV, **fields).key != architecture(MBCONV).key


def test_pointwise_activation_and_always_expand_are_in_the_key():
    assert architecture(DSCONV).key != architecture(replace(DSCONV, pointwise_activation=True)).key
    plain = replace(MBCONV, expand=1)
    assert architecture(plain).key != architecture(replace(plain, always_expand=True)).key


def test_the_stage_of_a_layer_is_in_the_key():
    # The same five layers in a row; scaled, they would not be.
    stage = replace(DSCONV, channels=32)
    two, three = replace(stage, layers=2), replace(stage, layers=3)
    assert architecture(two, three).key != architecture(three, two).key


def test_a_choice_may_matter_after_other_channels():
    # The skip of a single stride-1 layer to 16 channels: none after 32, one after 16.
    none = replace(DSCONV, skip="none")
    assert architecture(DSCONV).key == architecture(none).key
    assert architecture(DSCONV, stem=Stem(16)).key != architecture(none, stem=Stem(16)).key


STAGE_VALUES = {
    "op": sorted(OPS),
    "kernel": [1, 3, 5],
    "expand": [0.25, 1, 1.1, 2, 2.1, 6],
    "se": [0, 0.03, 0.25, 0.26, 0.3],
    "skip": list(SKIPS),
    "channels": [1, 8, 13, 16],
    "layers": [1, 2, 3],
    "pointwise_activation": [False, True],
    "always_expand": [False, True],
    "activation": [None, *ACTIVATIONS],
    "se_kind": list(SE_KINDS),
    "separables": [1, 2, 3],
    "widen_last": [False, True],
}


FIELDS = {
    "stem": [("kernel", 5), ("first", 8), ("pool", False), ("valid", False), ("bias", True), ("bias", False)],
    "head": [("channels", None), ("channels", 8), ("hidden", None), ("conv", False)],
}


def changed(draw, arch, fitting):
    """`arch` with one value of one place drawn anew."""
    others = ["activation", "resolution", "in_chans", "classes", "stem", "head"]
    place = draw(st.sampled_from(["stage"] * 8 + others))
    if place == "activation":
        return replace(arch, activation=draw(st.sampled_from(ACTIVATIONS)))
    if place == "resolution":
        return replace(arch, resolution=arch.resolution + draw(st.integers(0, 1)))
    if place in ("stem", "head"):
        field, value = draw(st.sampled_from(FIELDS[place]))
        return replace(arch, **{place: replace(getattr(arch, place), **{field: value})})
    if place in ("in_chans", "classes"):
        size = {"classes": arch.head.classes, "in_chans": arch.stem.in_chans}
        return arch.with_data(**size | {place: draw(st.integers(1, 4))})
    field = draw(st.sampled_from(sorted(STAGE_VALUES)))
    index = draw(st.integers(0, len(arch.stages) - 1))
    stage = fitting(replace(arch.stages[index], **{field: draw(st.sampled_from(STAGE_VALUES[field]))}))
    return replace(arch, stages=(*arch.stages[:index], stage, *arch.stages[index + 1 :]))


@settings(max_examples=80)
@given(data=st.data())
def test_keys_are_equal_exactly_where_networks_are(architectures, fitting, data):
    one = data.draw(architectures)
    other = changed(data.draw, one, fitting)
    same_layers = layers(one) == layers(other)
    assert (one.key == other.key) == (same_layers and one.resolution == other.resolution)


# Values


def test_architectures_are_values():
    one, other = architecture(MBCONV, DSCONV), architecture(MBCONV, DSCONV)
    assert one.params  # a cost already summed is no part of the value
    assert one == other
    assert hash(one) == hash(other)
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(FrozenInstanceError):
        one.resolution = 64
    assert replace(one, resolution=64).macs > one.macs


def test_what_was_written_is_kept():
    written = replace(DSCONV, expand=1, skip="identity")
    assert architecture(written).stages == (written,)


def test_heights_by_hand():
    # 75 px: stem to 38, stride 1 keeps it, then 19.
    arch = architecture(DSCONV, MBCONV, resolution=75)
    assert arch.heights() == [75, 38, 38, 19]


# The shortcuts of the published family

# Additions that fvcore found in timm's networks, each a skip taken.
ADDITIONS = {"b0": 9, "b1": 16, "b2": 16, "b3": 19, "b4": 25, "b5": 32, "b6": 38, "b7": 48}


@pytest.mark.parametrize("member", ADDITIONS)
def test_every_layer_that_can_skip_does(member):
    arch = nas.load(f"efficientnet-{member}").architecture
    channels, skips = arch.stem.channels, 0
    blocks = iter(arch.blocks())
    for number, stage in enumerate(arch.stages, 1):
        for layer in range(stage.layers):
            found, block = next(blocks)
            stride = stage.stride if layer == 0 else 1
            fits = stride == 1 and channels == stage.channels
            assert (found, block.stride, block.shortcut) == (number, stride, "identity" if fits else "none")
            channels, skips = stage.channels, skips + fits
    assert next(blocks, None) is None
    assert skips == ADDITIONS[member]


@pytest.mark.parametrize("phi", range(1, 8))
def test_scaling_gives_the_first_stage_its_skip(phi):
    # B0's first stage is one layer from 32 to 16 channels, which has no skip to take; from B1 on
    # it has a second layer, which has.
    b0 = nas.load("efficientnet-b0").architecture
    first = [block.shortcut for number, block in b0.blocks() if number == 1]
    assert first == ["none"]
    scaled = nas.scale(b0, phi=phi, official=True)
    first = [block.shortcut for number, block in scaled.blocks() if number == 1]
    assert first == ["none", *["identity"] * (scaled.stages[0].layers - 1)]
    assert len(first) > 1
    assert scaled.key == nas.load(f"efficientnet-b{phi}").architecture.key


# Mistakes


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"op": "dilated"},
            "stage1.op is 'dilated'; allowed: conv, dsconv, mbconv, fusedmbconv, basic, bottleneck, shuffle, fire, "
            "sepconv, xception",
        ),
        ({"skip": "maxpool"}, "stage1.skip is 'maxpool'; allowed: none, identity, pool, projection"),
        ({"channels": 0}, "stage1.channels is 0; give a whole number from 1 to 65536"),
        ({"channels": 24.0}, "stage1.channels is 24.0; give a whole number from 1 to 65536"),
        ({"layers": 0}, "stage1.layers is 0; give a whole number from 1 to 1000"),
        ({"layers": True}, "stage1.layers is True; give a whole number from 1 to 1000"),
        ({"kernel": 4}, "stage1.kernel is 4; give an odd number from 1 to 31"),
        ({"kernel": 33}, "stage1.kernel is 33; give an odd number from 1 to 31"),
        ({"stride": 3}, "stage1.stride is 3; allowed: 1, 2"),
        ({"se": -0.25}, "stage1.se is -0.25; give 0 (none) or a ratio up to 1"),
        ({"se": float("nan")}, "stage1.se is nan; give 0 (none) or a ratio up to 1"),
        ({"expand": None}, "stage1.expand is missing; mbconv needs it, such as 3 or 6"),
        ({"expand": 0}, "stage1.expand is 0; give a ratio over 0, up to 64"),
        ({"expand": float("inf")}, "stage1.expand is inf; give a ratio over 0, up to 64"),
        ({"pointwise_activation": True}, "stage1.pointwise_activation belongs to dsconv, found in mbconv"),
        ({"op": "conv", "always_expand": True}, "stage1.always_expand belongs to mbconv, found in conv"),
        ({"separables": 3}, "stage1.separables belongs to xception, found in mbconv"),
        ({"widen_last": True}, "stage1.widen_last belongs to xception, found in mbconv"),
        ({"separables": 0}, "stage1.separables is 0; give a whole number from 1 to 10"),
        ({"op": "shuffle", "channels": 15}, "stage1.channels is 15; shuffle needs an even number"),
        ({"op": "fire", "channels": 7}, "stage1.channels is 7; fire needs an even number"),
        ({"activation": "gelu"}, "stage1.activation is 'gelu'; allowed: relu, relu6, swish, hard_swish"),
        ({"se_kind": "v3"}, "stage1.se_kind is 'v3'; allowed: standard, mobilenet-v3"),
    ],
)
def test_mistakes_in_a_stage(change, sentence):
    with pytest.raises(NasError) as caught:
        architecture(replace(MBCONV, **change))
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"stem": Stem(0)}, "stem.channels is 0; give a whole number from 1 to 65536"),
        ({"stem": Stem(32, stride=4)}, "stem.stride is 4; allowed: 1, 2"),
        ({"stem": Stem(32, in_chans=-3)}, "stem.in_chans is -3; give a whole number from 1 to 65536"),
        ({"head": Head(0, 10)}, "head.channels is 0; give a whole number from 1 to 65536"),
        ({"head": Head(1280, 0)}, "head.classes is 0; give a whole number from 1 to 16777216"),
        ({"resolution": 0}, "resolution is 0; give a whole number from 1 to 16384"),
        ({"resolution": "224"}, "resolution is '224'; give a whole number from 1 to 16384"),
        ({"activation": "gelu"}, "activation is 'gelu'; allowed: relu, relu6, swish, hard_swish"),
        ({"stem": Stem(32, kernel=4)}, "stem.kernel is 4; give an odd number from 1 to 31"),
        ({"stem": Stem(32, first=0)}, "stem.first is 0; give a whole number from 1 to 65536"),
        ({"head": Head(8, 10, hidden=0)}, "head.hidden is 0; give a whole number from 1 to 65536"),
        (
            {"head": Head(8, 10, hidden=9, conv=True)},
            "head.hidden and head.conv exclude each other; leave one out",
        ),
        # 5 pixels are none after 7 x 7 without padding
        (
            {"stem": Stem(32, kernel=7, valid=True), "resolution": 5},
            "stem.valid leaves no pixel of resolution 5; raise the resolution",
        ),
        # 2 pixels become 1 in the stem
        (
            {"resolution": 2},
            "stage1.stride is 2 on a map of 1 x 1 pixel; at resolution 2 fewer strides fit: "
            "lower it to 1 or raise the resolution",
        ),
    ],
)
def test_mistakes_in_the_rest(fields, sentence):
    with pytest.raises(NasError) as caught:
        architecture(MBCONV, **fields)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("stages", [0, 65])
def test_too_few_or_too_many_stages(stages):
    with pytest.raises(NasError, match=re.escape(f"there are {stages} stages; give 1 to 64")):
        architecture(*[DSCONV] * stages)
