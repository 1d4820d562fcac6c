"""Cost: the closed form against figures of others, two independent counters, and its own vectorized form."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import nas
from nas import catalog
from nas.cost import Cost, cost
from nas.network import build
from nas.ops import OPS
from nas.profile import fvcore_count, fvcore_macs

# Parameters, multiply-adds of convolutions and linear layers, and fvcore's total, counted on
# timm 1.0.31's networks (mobilenet-v2 and efficientnet-b* alike on torchvision 0.29.1's, but for
# fvcore's total of the latter, whose SE pools adaptively).
FACTS = {
    "efficientnet-b0": (5_288_548, 385_814_752, 399_352_864),
    "efficientnet-b1": (7_794_184, 686_802_832, 708_623_088),
    "efficientnet-b2": (9_109_994, 993_561_872, 1_021_308_768),
    "efficientnet-b3": (12_233_232, 1_827_141_392, 1_874_915_424),
    "efficientnet-b4": (19_341_616, 4_393_771_024, 4_492_947_056),
    "efficientnet-b5": (30_389_784, 10_266_384_752, 10_464_477_712),
    "efficientnet-b6": (43_040_704, 19_067_593_536, 19_402_938_992),
    "efficientnet-b7": (66_347_960, 37_745_884_192, 38_326_538_880),
    "efficientnet-lite0": (4_652_008, 385_187_552, 398_725_664),
    "efficientnet-lite1": (5_416_680, 600_185_232, 620_551_408),
    "efficientnet-lite2": (6_092_072, 859_736_272, 885_629_152),
    "efficientnet-lite3": (8_197_096, 1_383_321_872, 1_421_394_160),
    "efficientnet-lite4": (13_006_568, 2_553_034_336, 2_610_838_944),
    "mnasnet-a1": (3_887_038, 311_579_072, 324_085_440),
    "mnasnet-b1": (4_383_312, 314_415_872, 325_391_872),
    # torchvision's, whose fvcore total has not the 7 * 7 * 1280 of the last pooling
    "mnasnet-b1-0.5": (2_218_512, 104_455_968, 110_586_848 + 62_720),
    "mnasnet-b1-0.75": (3_170_208, 215_493_104, 225_023_408 + 62_720),
    "mnasnet-b1-1.3": (6_282_256, 526_362_432, 541_067_136 + 62_720),
    "mobilenet-v1": (4_231_976, 568_740_352, 578_875_904),
    "mobilenet-v2": (3_504_872, 300_774_272, 314_193_216),
    "mobilenet-v3-large": (5_483_032, 216_589_760, 225_436_416),
    "mobilenet-v3-small": (2_542_856, 56_510_400, 59_364_160),
    # torchvision's, whose fvcore total also has the elements that its SEs pool: 14 * 14 and so on of each
    "efficientnet-v2-s": (21_458_488, 8_365_617_152, 8_446_985_216 - 9_722_880),
    "resnet-18": (11_689_512, 1_814_073_344, 1_819_065_856),
    "resnet-34": (21_797_672, 3_663_761_408, 3_671_262_720),
    "resnet-50": (25_557_032, 4_089_184_256, 4_111_512_576),
    # torchvision's take a mean, of which fvcore counts nothing, where ours pool 7 * 7 * 1024 (or 2048) elements
    "shufflenet-v2-0.5": (1_366_792, 40_476_448, 42_524_256 + 50_176),
    "shufflenet-v2-1.0": (2_278_604, 144_907_992, 148_808_392 + 50_176),
    "shufflenet-v2-1.5": (3_503_624, 295_759_392, 301_294_432 + 50_176),
    "shufflenet-v2-2.0": (7_393_996, 583_253_464, 590_741_448 + 100_352),
    "squeezenet-1.0": (1_248_424, 818_924_576, 819_093_576),
    "squeezenet-1.1": (1_235_496, 349_151_936, 349_320_936),
    "xception": (22_855_952, 8_357_403_496, 8_399_882_600),
}

SPACES = catalog.names("search_spaces")


@pytest.mark.parametrize("name", FACTS)
def test_published_networks(name):
    baseline = nas.load(name)
    params, macs, fvcore = FACTS[name]
    assert (baseline.architecture.params, baseline.architecture.macs) == (params, macs)
    assert baseline.facts is not None
    assert (baseline.facts.params, baseline.facts.macs, baseline.facts.fvcore) == (params, macs, fvcore)


# fvcore runs the network, for which B5, B6 and B7 take a gigabyte and most of a minute.
@pytest.mark.parametrize("name", [name for name, (_, macs, _) in FACTS.items() if macs < 5e9])
def test_published_networks_by_fvcore(name):
    _, macs, fvcore = FACTS[name]
    assert fvcore_macs(nas.load(name).architecture) == (fvcore, macs)


def samples(space):
    return st.fixed_dictionaries({label: st.sampled_from(values) for label, values in space.choices.items()})


def check_by_flop_counter(arch):
    """Parameters and multiply-adds, in total and by part, are those of torch's own counter.

    FlopCounterMode counts a multiply-add as two, of convolutions and matrix products and of
    nothing else. It runs on the meta device, where no number is computed.
    """
    with torch.device("meta"):
        net = build(arch).eval()
        image = torch.empty(1, arch.stem.in_chans, arch.resolution, arch.resolution)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(image)
    flops = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    assert flops["Network"] == 2 * arch.macs
    assert sum(p.numel() for p in net.parameters()) == arch.params
    modules = {"stem": [net.stem, net.stem_rest], "head": [net.head, net.hidden, net.classifier]}
    names = {"stem": ["stem", "stem_rest"], "head": ["head", "hidden", "classifier"]}
    for index, stage in enumerate(net.stages, 1):
        modules[f"stage{index}"], names[f"stage{index}"] = [stage], [f"stages.{index - 1}"]
    parts = dict(arch.parts())
    assert list(parts) == ["stem", *(f"stage{i}" for i in range(1, len(arch.stages) + 1)), "head"]
    for part, counted in parts.items():
        params = sum(p.numel() for module in modules[part] for p in module.parameters())
        macs = sum(flops.get(f"Network.{name}", 0) for name in names[part]) // 2
        assert counted == Cost(params, macs), part


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=10)
@given(data=st.data())
def test_every_space_by_flop_counter(name, data):
    space = nas.SearchSpace.load(name)
    check_by_flop_counter(space.decode(data.draw(samples(space))))


@settings(max_examples=50)
@given(data=st.data())
def test_any_architecture_by_flop_counter(architectures, data):
    check_by_flop_counter(data.draw(architectures))


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=5)
@given(data=st.data())
def test_every_space_by_fvcore(name, data):
    space = nas.SearchSpace.load(name)
    arch = space.decode(data.draw(samples(space)))
    # fvcore runs the network: at 32 pixels it takes a tenth of the time.
    arch = replace(arch, resolution=min(arch.resolution, 32))
    assert fvcore_macs(arch).conv_linear == arch.macs


@settings(max_examples=20)
@given(data=st.data())
def test_any_architecture_by_fvcore(architectures, data):
    arch = data.draw(architectures)
    assert fvcore_macs(arch).conv_linear == arch.macs


@pytest.mark.parametrize("training", [True, False])
def test_fvcore_leaves_the_networks_mode_alone(training):
    net = build(nas.load("mobilenet-v2").architecture, num_classes=3, in_chans=1).train(training)
    before = net.stem.norm.running_mean.clone()
    count = fvcore_count(net, resolution=32, in_chans=1)
    assert count.conv_linear == replace(net.architecture, resolution=32).macs
    assert net.training is training
    assert torch.equal(net.stem.norm.running_mean, before)


def test_fvcore_restores_the_mode_after_a_failure():
    net = build(nas.load("mobilenet-v2").architecture)
    with pytest.raises(RuntimeError, match="channels"):
        fvcore_count(net, resolution=32, in_chans=1)
    assert net.training


@pytest.mark.parametrize("name", SPACES)
def test_vectorized_form(name):
    space = nas.SearchSpace.load(name)
    rng = np.random.default_rng(1)
    drawn = [space.sample(rng) for _ in range(300)]
    params, macs = space.costs(space.costs.indices(drawn))
    expected = [space.decode(sample) for sample in drawn]
    assert params.tolist() == [arch.params for arch in expected]
    assert macs.tolist() == [arch.macs for arch in expected]


@pytest.mark.parametrize("name", SPACES)
def test_vectorized_form_with_other_data(name):
    space = nas.SearchSpace.load(name).with_data(classes=7, in_chans=2)
    drawn = [space.sample(np.random.default_rng(2))]
    params, macs = space.costs(space.costs.indices(drawn))
    arch = space.decode(drawn[0])
    assert (arch.head.classes, arch.stem.in_chans) == (7, 2)
    assert (params.tolist(), macs.tolist()) == ([arch.params], [arch.macs])


def test_a_block_by_hand():
    # mbconv 16 -> 96 -> 24, 3 x 3, stride 2, SE to 4, on a map of 15 x 15, so 8 x 8 behind it.
    #              weights           + norm    params  multiply-adds
    # expand       16 * 96 = 1,536   + 192      1,728  1,536 * 225 = 345,600
    # depthwise    96 * 9  =   864   + 192      1,056    864 *  64 =  55,296
    # SE           2 * 96 * 4 = 768  + 100 biases 868                    768
    # project      96 * 24 = 2,304   + 48       2,352  2,304 *  64 = 147,456
    #                                           6,004                549,120
    layers = OPS["mbconv"].layers(16, 24, kernel=3, stride=2, expand=6, se=0.25)
    assert cost(layers, height=15) == (Cost(params=6_004, macs=549_120), 8)


def test_plus_counts_a_repeated_layer():
    assert Cost(1, 20).plus(Cost(3, 5), times=4) == Cost(13, 40)


def test_classes_and_channels_are_the_architectures_own():
    b0 = nas.load("efficientnet-b0").architecture
    small = b0.with_data(classes=10, in_chans=1)
    # 990 classes less: 990 * (1280 + 1) parameters, 990 * 1280 multiply-adds; two input channels
    # less: 2 * 32 * 9 weights, each used 112 * 112 times.
    assert b0.params - small.params == 990 * 1281 + 576
    assert b0.macs - small.macs == 990 * 1280 + 576 * 112**2
