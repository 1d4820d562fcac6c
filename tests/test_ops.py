"""Layer specs: which layers a block has, and their cost worked by hand."""

from dataclasses import replace

import pytest
import torch

from nas.architecture import Architecture, stage_blocks
from nas.block import squeeze_channels
from nas.cost import Cost, cost
from nas.errors import NasError
from nas.network import build
from nas.ops import OPS, make_divisible
from nas.parts import Head, Stage, Stem
from nas.specs import Conv, Linear, SqueezeExcite, output_size


def test_a_convolution_by_hand():
    # B0's stem: 3 x 3, 3 -> 32. Weights 32 * 3 * 9 = 864; norm 2 * 32 = 64.
    # At 112 x 112 out: 864 * 12,544 = 10,838,016.
    stem = Conv("stem", 3, 32, kernel=3, stride=2)
    assert (stem.params, stem.macs(112)) == (928, 10_838_016)


def test_a_depthwise_convolution_by_hand():
    # 5 x 5 on 96 channels, each by itself: 96 * 1 * 25 = 2,400; norm 192. At 14 x 14: 2,400 * 196.
    depthwise = Conv("depthwise", 96, 96, kernel=5, groups=96)
    assert (depthwise.params, depthwise.macs(14)) == (2_592, 470_400)


def test_a_convolution_without_norm_has_its_weights_only():
    assert Conv("conv", 4, 8, kernel=1, norm=False).params == 32


@pytest.mark.parametrize("height", [1, 7, 112])
def test_squeeze_excite_by_hand(height):
    # 96 -> 4 -> 96 with biases: 96 * 4 + 4 + 4 * 96 + 96 = 868; on one pixel, whatever the map is:
    # 384 + 384 = 768.
    se = SqueezeExcite("se", 96, 4)
    assert (se.params, se.macs(height)) == (868, 768)


def test_a_classifier_by_hand():
    # 1280 -> 1000: 1,280,000 weights and 1,000 biases, of which the biases multiply nothing.
    linear = Linear("classifier", 1280, 1000)
    assert (linear.params, linear.macs(1)) == (1_281_000, 1_280_000)


def test_mbconv_by_hand():
    # MobileNetV2's first expanding block with an SE: 16 -> 96 -> 24, 3 x 3, stride 2, ratio 0.25.
    expand, depthwise, se, project = OPS["mbconv"].layers(16, 24, kernel=3, stride=2, expand=6, se=0.25)
    assert expand == Conv("expand", 16, 96, kernel=1)
    assert depthwise == Conv("depthwise", 96, 96, kernel=3, stride=2, groups=96)
    assert se == SqueezeExcite("se", 96, 4)  # a quarter of the block's 16, not of its 96
    assert project == Conv("project", 96, 24, kernel=1, activation=False)


def test_mbconv_at_expansion_1_has_no_expansion():
    names = [layer.name for layer in OPS["mbconv"].layers(32, 16, kernel=3, expand=1)]
    assert names == ["depthwise", "project"]
    kept = OPS["mbconv"].layers(32, 16, kernel=3, expand=1, always_expand=True)
    assert kept[0] == Conv("expand", 32, 32, kernel=1)


def test_mbconv_rounds_its_middle_to_eights():
    # 20 * 2.5 = 50, to the nearest eight 48, and 48 >= 0.9 * 50.
    expand, *_ = OPS["mbconv"].layers(20, 20, kernel=3, expand=2.5)
    assert expand.out_channels == 48


def test_dsconv_is_mbconv_at_expansion_1():
    shape = {"kernel": 5, "stride": 2, "se": 0.25}
    assert OPS["dsconv"].layers(32, 16, **shape) == OPS["mbconv"].layers(32, 16, expand=1, **shape)


def test_dsconv_activates_its_pointwise_where_asked():
    # The depthwise always, the pointwise in MobileNetV1 alone.
    for asked in (False, True):
        layers = OPS["dsconv"].layers(32, 64, kernel=3, pointwise_activation=asked)
        assert [layer.activation for layer in layers] == [True, asked]


def test_conv_has_its_se_after_the_activation():
    conv, se = OPS["conv"].layers(12, 24, kernel=5, stride=2, se=0.25)
    assert conv == Conv("conv", 12, 24, kernel=5, stride=2, groups=1, norm=True, activation=True)
    assert se == SqueezeExcite("se", 24, 3)  # a quarter of the input's 12


@pytest.mark.parametrize(
    ("asked", "rounded"),
    [
        (1, 8),  # at least one multiple
        (12, 16),  # halves go up
        (20, 24),
        (11, 16),  # 8 is under 0.9 * 11 = 9.9
        (18, 24),  # 16 is under 0.9 * 18 = 16.2
        (17, 16),  # 16 is over 0.9 * 17 = 15.3
        (32 * 1.1, 32),  # B2's stem: 35.2
        (1280 * 1.1, 1408),  # B2's head
        (16 * 1.4, 24),  # B4's first stage: 22.4
        (320 * 1.4, 448),
    ],
)
def test_make_divisible(asked, rounded):
    assert make_divisible(asked) == rounded


@pytest.mark.parametrize(
    ("channels", "ratio", "squeeze"), [(32, 0.25, 8), (1, 0.25, 1), (7, 0.25, 1), (10, 1, 10)]
)
def test_squeeze_is_rounded_down_and_at_least_1(channels, ratio, squeeze):
    assert squeeze_channels(channels, ratio) == squeeze


@pytest.mark.parametrize(("size", "stride", "out"), [(224, 2, 112), (75, 2, 38), (1, 2, 1), (75, 1, 75)])
def test_output_size_rounds_up(size, stride, out):
    assert output_size(size, stride) == out


# Blocks with branches, worked by hand


def counted(layers, height):
    """(parameters, multiply-adds, height of the output)."""
    (params, macs), out = cost(layers, height)
    return params, macs, out


def test_a_fused_mbconv_by_hand():
    # 24 -> 96 -> 48, 3 x 3, stride 2, on 8 x 8 so 4 x 4 behind it:
    # 24 * 96 * 9 = 20,736 (+ 192), times 16; 96 * 48 = 4,608 (+ 96), times 16.
    layers = OPS["fusedmbconv"].layers(24, 48, kernel=3, stride=2, expand=4)
    assert counted(layers, 8) == (20_736 + 192 + 4_608 + 96, 16 * (20_736 + 4_608), 4)
    assert OPS["fusedmbconv"].layers(24, 48, kernel=3, expand=1) == OPS["conv"].layers(24, 48, kernel=3)


def test_a_bottleneck_by_hand():
    # ResNet-50's first, but for its projection: 64 -> 64 -> 64 -> 256 on 56 x 56.
    layers = OPS["bottleneck"].layers(64, 256, kernel=3, expand=0.25)
    weights = 64 * 64 + 64 * 64 * 9 + 64 * 256
    assert counted(layers, 56) == (weights + 2 * (64 + 64 + 256), weights * 56**2, 56)
    assert [layer.activation for layer in layers] == [True, True, False]
    assert OPS["bottleneck"].activates


def test_a_projection_is_counted_with_its_block():
    # 16 -> 32 with stride 2 on 8 x 8: two 3 x 3 (4,608 and 9,216 weights) and the shortcut's 512.
    (block, rest) = stage_blocks(Stage("basic", 3, 32, stride=2, skip="projection"), 16)
    assert rest is None
    assert block.projection == (Conv("projection", 16, 32, 1, 2, activation=False),)
    assert block.cost(8) == (Cost(4_608 + 9_216 + 512 + 3 * 64, 16 * (4_608 + 9_216 + 512)), 4)
    same, _ = stage_blocks(Stage("basic", 3, 16, skip="projection"), 16)
    assert (same.projection, same.shortcut) == ((), "identity")


def test_shuffle_units_by_hand():
    # Stride 1, 32 channels: 16 -> 16 by 1x1, depthwise, 1x1; the other 16 cost nothing.
    (unit,) = OPS["shuffle"].layers(32, 32, kernel=3)
    assert counted((unit,), 4) == (256 + 144 + 256 + 3 * 32, 16 * (256 + 144 + 256), 4)
    assert (unit.split, unit.shuffle, unit.branches[0]) == (True, True, ())
    # Stride 2, 24 -> 32 on 8 x 8. Beside: depthwise 216, 1x1 384, at 4 x 4, norm 48 + 32;
    # main: 1x1 384 at 8 x 8, depthwise 144 and 1x1 256 at 4 x 4, norm 3 * 32.
    (unit,) = OPS["shuffle"].layers(24, 32, kernel=3, stride=2)
    params = 216 + 384 + 48 + 32 + 384 + 144 + 256 + 96
    assert counted((unit,), 8) == (params, 16 * (216 + 384 + 144 + 256) + 64 * 384, 4)


@pytest.mark.parametrize(("height", "out"), [(54, 27), (13, 6), (2, 1)])
def test_a_fire_module_by_hand(height, out):
    # SqueezeNet's fire4 with a pooling before: 128 -> 32 -> 128 + 128, with biases.
    layers = OPS["fire"].layers(128, 256, kernel=3, stride=2, expand=0.125)
    weights = 128 * 32 + 32 * 128 + 32 * 128 * 9
    assert counted(layers, height) == (weights + 32 + 128 + 128, weights * out**2, out)


def test_xception_modules_by_hand():
    # 16 -> 32 in the first of two: depthwise 144, 1x1 512 + 64, depthwise 288, 1x1 1,024 + 64; pooled to 4 x 4.
    layers = OPS["xception"].layers(16, 32, kernel=3, stride=2)
    assert counted(layers, 8) == (144 + 512 + 64 + 288 + 1_024 + 64, 64 * (144 + 512 + 288 + 1_024), 4)
    last = OPS["xception"].layers(16, 32, kernel=3, widen_last=True)
    assert counted(last, 8) == (144 + 256 + 32 + 144 + 512 + 64, 64 * (144 + 256 + 144 + 512), 8)


def test_mobilenet_v3s_squeeze_is_of_the_expanded_channels_in_eights():
    # Its first SE: 24 -> 72 -> 40, of which a quarter is 18, in eights 24.
    se = OPS["mbconv"].layers(24, 40, kernel=5, stride=2, expand=3, se=0.25, se_kind="mobilenet-v3")[2]
    assert se == SqueezeExcite("se", 72, 24, hard=True)


@pytest.mark.parametrize(("resolution", "made", "beside"), [(111, 27, 28), (7, 1, 2)])
def test_a_projection_is_as_large_as_what_it_is_added_to(resolution, made, beside):
    """SqueezeNet's pooling makes 27 pixels of 55 and 1 of 3, a projection of stride 2 28 and 2; of 56 both make 28."""
    fire = Stage("fire", 3, 256, stride=2, expand=0.125, skip="projection")
    stem, head = Stem(8, valid=True), Head(None, 2)
    arch = Architecture(stem, (fire,), head, "relu", 113)
    assert build(arch)(torch.zeros(2, 3, 113, 113)).shape == (2, 2)
    with pytest.raises(
        NasError, match=rf"^stage1\.skip is 'projection', which makes {beside} pixels of .*{made}: give none"
    ):
        replace(arch, resolution=resolution)
