"""Networks: timm's interface, memory format, stochastic depth, shortcuts, state dicts, mistakes."""

import re
from dataclasses import replace

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.ops import StochasticDepth

import nas
from nas import Architecture, Head, NasError, Stage, Stem, catalog
from nas.layers import ConvNormAct, DropPath, SameConv2d
from nas.network import BlockModule

TIMM = {
    "efficientnet-b0": "efficientnet_b0",
    "mnasnet-a1": "semnasnet_100",
    "mobilenet-v1": "mobilenetv1_100",  # without a head convolution
}


def architecture(*stages, resolution=8, stem=None, head=None):
    """A small network around `stages`."""
    return Architecture(stem or Stem(8, 1, 2), stages, head or Head(12, 5), "swish", resolution)


def randomized(net):
    """`net` in eval mode with batch norms that do something."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.5)
    return net.eval()


@pytest.mark.parametrize("name", catalog.names("baselines"))
def test_every_baseline_builds_with_the_parameters_of_its_architecture(name):
    arch = nas.load(name).architecture
    with torch.device("meta"):
        net = nas.build(arch)
        logits = net.eval()(torch.empty(2, arch.stem.in_chans, 64, 64))
    assert sum(p.numel() for p in net.parameters()) == arch.params
    assert logits.shape == (2, arch.head.classes)


# As in timm


def twins(name, **arguments):
    """Our network and timm's, with timm's weights in both."""
    torch.manual_seed(0)
    theirs = randomized(timm.create_model(TIMM[name], **arguments))
    net = nas.build(nas.load(name).architecture, norm_eps=1e-5, **arguments).eval()
    net.load_state_dict(dict(zip(net.state_dict(), theirs.state_dict().values(), strict=True)))
    return net, theirs


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize(("num_classes", "in_chans"), [(1000, 3), (7, 1), (0, 4)])
@torch.no_grad()
def test_interface_of_timm(name, num_classes, in_chans):
    net, theirs = twins(name, num_classes=num_classes, in_chans=in_chans)
    assert (net.num_classes, net.num_features) == (theirs.num_classes, theirs.num_features)
    x = torch.randn(2, in_chans, 64, 64)
    features = net.forward_features(x)
    torch.testing.assert_close(features, theirs.forward_features(x))
    for pre_logits in (False, True):
        head = net.forward_head(features, pre_logits=pre_logits)
        torch.testing.assert_close(head, theirs.forward_head(features, pre_logits=pre_logits))
    torch.testing.assert_close(net(x), theirs(x))
    assert type(net.get_classifier()) is type(theirs.get_classifier())


@pytest.mark.parametrize("name", TIMM)
@torch.no_grad()
def test_reset_classifier_as_in_timm(name):
    net, theirs = twins(name)
    x = torch.randn(2, 3, 64, 64)
    features = net.forward_features(x)
    for num_classes in (5, 0, 3):
        net.reset_classifier(num_classes)
        theirs.reset_classifier(num_classes)
        assert net.num_classes == theirs.num_classes == num_classes
        assert net(x).shape == theirs(x).shape == (2, num_classes or net.num_features)
        assert type(net.get_classifier()) is type(theirs.get_classifier())
    torch.testing.assert_close(net.forward_features(x), features)  # nothing else was touched


def test_a_new_classifier_has_the_networks_type():
    net = nas.build(architecture(Stage("conv", 3, 8))).double()
    net.reset_classifier(4)
    assert net.classifier.weight.dtype == torch.float64
    assert net(torch.zeros(2, 2, 8, 8, dtype=torch.float64)).shape == (2, 4)


def test_classes_and_channels_default_to_the_architectures():
    net = nas.build(architecture(Stage("conv", 3, 8), stem=Stem(8, 1, in_chans=2), head=Head(12, classes=5)))
    assert net(torch.zeros(2, 2, 8, 8)).shape == (2, 5)


@torch.no_grad()
def test_other_sizes_than_the_architectures():
    net = nas.build(nas.load("mnasnet-b1").architecture).eval()
    assert net.forward_features(torch.zeros(1, 3, 65, 97)).shape == (1, 1280, 3, 4)  # ceil(n / 32)


# Memory format


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@torch.no_grad()
def test_channels_last(padding):
    torch.manual_seed(0)
    arch = architecture(
        Stage("dsconv", 3, 8, layers=2, se=0.25, skip="pool"),
        Stage("mbconv", 5, 16, layers=2, stride=2, expand=3, se=0.25, skip="identity"),
        Stage("conv", 3, 16, layers=2, se=0.25, skip="pool"),
    )
    net = randomized(nas.build(arch, padding=padding))
    x = torch.randn(2, 2, 8, 8)
    features, logits = net.forward_features(x), net(x)
    net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    for layer in net.modules():
        if isinstance(layer, ConvNormAct | BlockModule):
            layer.register_forward_hook(must_be_channels_last)
    assert must_be_channels_last(net, (), net.forward_features(x)) is None
    torch.testing.assert_close(net.forward_features(x), features)
    torch.testing.assert_close(net(x), logits)


def must_be_channels_last(module, inputs, output):
    assert output.is_contiguous(memory_format=torch.channels_last), module
    assert not output.is_contiguous(), "a map this small does not tell"


# Stochastic depth


@pytest.mark.parametrize("name", ["efficientnet-b0", "efficientnet-b1"])
def test_drop_path_rates_are_timms_and_torchvisions(name):
    model = name.replace("-", "_")
    with torch.device("meta"):
        net = nas.build(nas.load(name).architecture, drop_path=0.3)
        from_timm = timm.create_model(model, drop_path_rate=0.3)
        from_torchvision = torchvision.models.get_model(model, stochastic_depth_prob=0.3)
    blocks = [module for module in net.modules() if isinstance(module, BlockModule)]
    rates = [block.drop_path.rate if block.shortcut else 0.0 for block in blocks]
    timms = [block for stage in from_timm.blocks for block in stage]
    assert rates == pytest.approx(
        [getattr(block.drop_path, "drop_prob", 0.0) if block.has_skip else 0.0 for block in timms]
    )
    torchvisions = [m for m in from_torchvision.features.modules() if hasattr(m, "use_res_connect")]
    depths = [next(c.p for c in m.children() if isinstance(c, StochasticDepth)) for m in torchvisions]
    assert rates == pytest.approx(
        [p if m.use_res_connect else 0.0 for p, m in zip(depths, torchvisions, strict=True)]
    )
    assert max(rates) > 0.2


def test_drop_path_is_by_sample_and_unbiased():
    torch.manual_seed(0)
    dropped = DropPath(0.3)(torch.ones(20_000, 2, 3, 1))
    by_sample = dropped.flatten(1)
    assert torch.equal(by_sample.amin(1), by_sample.amax(1))  # a sample is dropped whole or kept whole
    kept = by_sample[:, 0] != 0
    torch.testing.assert_close(by_sample[kept], torch.full((int(kept.sum()), 6), 1 / 0.7))
    # The mean's standard deviation is sqrt(0.3 / 0.7 / 20,000) = 0.0046; five of them are 0.023.
    assert by_sample.mean().item() == pytest.approx(1, abs=0.023)


@torch.no_grad()
def test_drop_path_is_off_in_eval_mode_and_on_in_training():
    arch = architecture(Stage("mbconv", 3, 8, layers=6, expand=2, skip="identity"))
    torch.manual_seed(0)
    net = nas.build(arch, drop_path=0.9, dropout=0.0)
    plain = nas.build(arch, drop_path=0.0, dropout=0.0)
    plain.load_state_dict(net.state_dict())
    x = torch.randn(16, 2, 8, 8)
    assert torch.equal(net.eval()(x), plain.eval()(x))
    assert not torch.allclose(net.train()(x), plain.train()(x))


@torch.no_grad()
def test_a_dropped_branch_leaves_the_shortcut():
    net = nas.build(architecture(Stage("mbconv", 3, 8, layers=2, expand=2, skip="identity")), drop_path=0.9)
    block = net.stages[0][1]
    assert block.drop_path.rate == pytest.approx(0.45)  # block 1 of 2, counted from 0
    x = torch.randn(64, 8, 4, 4)
    same = (block.train()(x) == x).flatten(1).all(1)
    assert 0 < same.sum() < 64


# Shortcuts


@torch.no_grad()
def test_pool_shortcut_by_hand():
    net = nas.build(architecture(Stage("conv", 3, 8, skip="pool")), drop_path=0).eval()
    (block,) = net.stages[0]
    nn.init.zeros_(block.conv.norm.weight)  # the branch is swish(0) = 0
    x = torch.arange(9.0).view(1, 1, 3, 3).expand(1, 8, 3, 3)  # rows 0 1 2, 3 4 5, 6 7 8
    # The mean of the pixels there are: the corner 0 1 3 4 gives 2, the edge 0 1 2 3 4 5 gives 2.5.
    expected = torch.tensor([[2.0, 2.5, 3.0], [3.5, 4.0, 4.5], [5.0, 5.5, 6.0]])
    torch.testing.assert_close(block(x), expected.expand(1, 8, 3, 3))


@torch.no_grad()
def test_identity_shortcut_by_hand():
    net = nas.build(architecture(Stage("mbconv", 3, 8, expand=2, skip="identity")), drop_path=0).eval()
    (block,) = net.stages[0]
    nn.init.zeros_(block.project.norm.weight)
    nn.init.ones_(block.project.norm.bias)  # the branch is 1, with no activation behind it
    x = torch.randn(1, 8, 3, 3)
    torch.testing.assert_close(block(x), x + 1)


@pytest.mark.parametrize("skip", ["identity", "pool"])
def test_shortcuts_only_where_shapes_are_equal(skip):
    stages = (
        Stage("conv", 3, 8, layers=2, skip=skip),  # after 8 channels
        Stage("conv", 3, 8, layers=2, stride=2, skip=skip),
        Stage("conv", 3, 16, layers=2, skip=skip),
        Stage("conv", 3, 16, layers=2, skip="none"),
    )
    net = nas.build(architecture(*stages))
    taken = [[block.shortcut is not None for block in stage] for stage in net.stages]
    assert taken == [[True, True], [False, True], [False, True], [False, False]]


# Padding


@pytest.mark.parametrize(
    ("pixels", "sums"),
    [
        (4, [[9, 6], [6, 4]]),  # SAME at an even size pads right and below only
        (5, [[4, 6, 4], [6, 9, 6], [4, 6, 4]]),  # at an odd size on all sides
    ],
)
@torch.no_grad()
def test_same_padding_by_hand(pixels, sums):
    conv = SameConv2d(1, 1, kernel_size=3, stride=2, bias=False)
    nn.init.ones_(conv.weight)
    assert conv(torch.ones(1, 1, pixels, pixels))[0, 0].tolist() == sums
    wide = conv(torch.ones(1, 1, 4, 5))[0, 0]  # each axis by itself
    assert wide.tolist() == [[6, 9, 6], [4, 6, 4]]


# State dicts


def test_state_dict_keys():
    stage = Stage("mbconv", 3, 8, layers=2, expand=2, se=0.25, skip="identity")
    keys = list(nas.build(architecture(stage)).state_dict())
    block = ["expand.conv.weight", *norm("expand"), "depthwise.conv.weight", *norm("depthwise")]
    block += ["se.reduce.weight", "se.reduce.bias", "se.expand.weight", "se.expand.bias"]
    block += ["project.conv.weight", *norm("project")]
    assert keys == [
        "stem.conv.weight", *norm("stem"),
        *(f"stages.0.0.{key}" for key in block),
        *(f"stages.0.1.{key}" for key in block),
        "head.conv.weight", *norm("head"),
        "classifier.weight", "classifier.bias",
    ]  # fmt: skip


def norm(name):
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return [f"{name}.norm.{part}" for part in parts]


@settings(max_examples=30)
@given(data=st.data())
def test_state_dict_stands_in_order_of_computation(architectures, data):
    arch = data.draw(architectures)
    called = []
    with torch.device("meta"):
        net = nas.build(arch).eval()
        for name, module in net.named_modules():
            if next(module.parameters(recurse=False), None) is not None:
                module.register_forward_hook(lambda *_, name=name: called.append(name))
        net(torch.empty(1, arch.stem.in_chans, arch.resolution, arch.resolution))
    assert list(dict.fromkeys(key.rpartition(".")[0] for key in net.state_dict())) == called


def test_every_parameter_learns():
    torch.manual_seed(0)
    stages = (
        Stage("conv", 3, 8, layers=2, se=0.25, skip="pool"),
        Stage("dsconv", 5, 12, layers=2, se=0.25, skip="identity", pointwise_activation=True),
        Stage("mbconv", 3, 12, layers=2, stride=2, expand=2, se=0.5, skip="pool"),
    )
    net = nas.build(architecture(*stages), drop_path=0)
    net(torch.randn(16, 2, 8, 8)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_settings_reach_the_layers():
    net = nas.build(
        architecture(Stage("conv", 3, 8)), norm_eps=2e-4, norm_momentum=0.07, padding="same", dropout=0.4
    )
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(n.eps, n.momentum) for n in norms} == {(2e-4, 0.07)}
    assert isinstance(net.stem.conv, SameConv2d)
    assert net.dropout.p == 0.4


def test_settings_are_the_published_ones_by_default():
    # EfficientNet's released code: batch_norm_epsilon 1e-3, batch_norm_momentum 0.99 (torch's
    # 0.01), and for B0 dropout_rate 0.2 and drop_connect_rate 0.2.
    net = nas.build(nas.load("efficientnet-b0").architecture)
    assert (net.stem.norm.eps, net.stem.norm.momentum, net.dropout.p) == (1e-3, 0.01, 0.2)
    assert net.stages[-2][-1].drop_path.rate == pytest.approx(0.2 * 14 / 16)  # the 15th of 16 blocks
    assert type(net.stem.conv) is nn.Conv2d


def test_initialization_is_the_released_codes():
    torch.manual_seed(0)
    net = nas.build(nas.load("efficientnet-b0").architecture)
    # He normal by fan-out: kernel^2 * outputs, for a depthwise kernel^2 * 1.
    block = net.stages[5][1]
    assert block.expand.conv.weight.std().item() == pytest.approx((2 / 1152) ** 0.5, rel=0.02)
    assert block.depthwise.conv.weight.std().item() == pytest.approx((2 / 25) ** 0.5, rel=0.02)
    assert block.se.reduce.bias.abs().max() == 0
    # Uniform within 1 / sqrt(classes) for the classifier, biases 0.
    bound = net.classifier.weight.abs().max().item()
    assert 0.999 / 1000**0.5 < bound <= 1 / 1000**0.5
    assert net.classifier.bias.abs().max() == 0


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"padding": "SAME"}, "padding is 'SAME'; allowed: symmetric, same"),
        ({"padding": None}, "padding is None; allowed: symmetric, same"),
        ({"dropout": 1}, "dropout is 1; give a number from 0 to below 1"),
        ({"dropout": "0.2"}, "dropout is '0.2'; give a number from 0 to below 1"),
        ({"drop_path": -0.1}, "drop_path is -0.1; give a number from 0 to below 1"),
        ({"drop_path": float("nan")}, "drop_path is nan; give a number from 0 to below 1"),
        ({"norm_eps": -1e-5}, "norm_eps is -1e-05; give a number from 0 to below 1"),
        ({"norm_momentum": 1.5}, "norm_momentum is 1.5; give a number from 0 to below 1"),
        ({"num_classes": -1}, "num_classes is -1; give a whole number, at least 0"),
        ({"num_classes": 2.5}, "num_classes is 2.5; give a whole number, at least 0"),
        ({"num_classes": True}, "num_classes is True; give a whole number, at least 0"),
        ({"in_chans": 0}, "in_chans is 0; give a whole number, at least 1"),
        ({"in_chans": "3"}, "in_chans is '3'; give a whole number, at least 1"),
    ],
)
def test_mistakes(arguments, sentence):
    with pytest.raises(NasError, match=f"^{re.escape(sentence)}$"):
        nas.build(architecture(Stage("conv", 3, 8)), **arguments)


def test_something_else_than_an_architecture():
    baseline = nas.load("efficientnet-b0")
    for found, kind in ((baseline, "Baseline"), (baseline.name, "str")):
        sentence = f"arch is a {kind}; give an Architecture: nas.load(NAME).architecture"
        with pytest.raises(NasError, match=f"^{re.escape(sentence)}$"):
            nas.build(found)


def test_reset_classifier_to_fewer_than_no_classes():
    net = nas.build(architecture(Stage("conv", 3, 8)))
    with pytest.raises(NasError, match=r"^num_classes is -2; give a whole number, at least 0$"):
        net.reset_classifier(-2)
    assert net.num_classes == 5


@torch.no_grad()
def test_a_network_of_one_pixel():
    stages = (
        Stage("conv", 5, 8, layers=2, skip="pool"),
        Stage("mbconv", 3, 8, expand=6, se=0.25, skip="identity"),
    )
    arch = replace(architecture(*stages), resolution=1)
    assert nas.build(arch).eval()(torch.zeros(1, 2, 1, 1)).shape == (1, 5)
