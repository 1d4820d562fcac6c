"""Layer specs: which layers a block has, and their cost worked by hand."""

import pytest

from nas.ops import OPS, Conv, Linear, SqueezeExcite, make_divisible, output_size, squeeze_channels


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
