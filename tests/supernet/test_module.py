"""A supernet holds every network of its space: what it computes for one is what that one computes."""

from collections import Counter

import numpy as np
import pytest
import torch

import nas
from nas.documents import SpaceDocument
from nas.errors import NasError
from nas.space import SearchSpace
from nas.supernet.module import Supernet
from nas.supernet.sampling import extremes, sampler
from nas.supernet.shapes import Place, shapes

SPACES = ["digits", "cifar", "mnasnet", "efficientnet", "mnasnet-released"]
TWO = """
name: two
resolution: 16
stem: {channels: 8, stride: 1, in_chans: 3}
stages:
  - {op: %s, kernel: [3, 5, 7], expand: [%s], se: [0, 0.25], skip: [%s], channels: [8, 16], layers: [1, 2],
     stride: 2%s}
  - {op: [dsconv, mbconv], kernel: [3, 5], expand: [2, 4], se: 0, skip: identity, channels: [8, 24], layers: [1, 2, 3],
     stride: 1}
head: {channels: %s, classes: 5%s}
activation: relu
"""


def made(op="mbconv", expand="3, 6", skip="none, identity, pool", more="", head="32", heads=""):
    from nas.strict_yaml import load_yaml

    text = TWO % (op, expand, skip, more, head, heads)
    return SearchSpace(SpaceDocument.check(load_yaml(text, "two")[0], "two"))


def trained_a_little(space, **options):
    """Statistics and weights that are not the initial ones."""
    torch.manual_seed(1)
    supernet = Supernet(space, **options)
    for name, tensor in supernet.state_dict().items():
        if "running" in name:
            tensor.uniform_(0.5, 1.5)
        elif "matrices" in name or name.endswith("bias"):
            tensor.add_(torch.randn_like(tensor), alpha=0.1)
    return supernet.eval()


def check_agrees(supernet, arch, pixels):
    frame = supernet.space.frame
    x = torch.randn(2, frame.stem.in_chans, pixels, pixels, generator=torch.Generator().manual_seed(0))
    net = supernet.extract(arch)
    assert not net.training
    assert sum(p.numel() for p in net.parameters()) == arch.params
    with torch.inference_mode():
        theirs, ours = supernet(x, arch), net(x)
    assert theirs.std() > 0
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("transform", [False, True])
@pytest.mark.parametrize("name", SPACES)
def test_a_network_computes_what_the_supernet_does(name, transform):
    space = SearchSpace.load(name)
    supernet = trained_a_little(space, transform=transform)
    rng = np.random.default_rng(0)
    drawn = [space.decode(space.sample(rng)) for _ in range(6)]
    for arch in [supernet.smallest, supernet.largest, *drawn]:
        check_agrees(supernet, arch, min(space.frame.resolution, 64))


@pytest.mark.parametrize(
    "space",
    [
        made("fusedmbconv", "1, 4"),
        made("[conv, fusedmbconv]"),
        made("basic", "1", "projection"),
        made("bottleneck", "0.25, 0.5", "none, projection"),
        made("sepconv", "1"),
        made(more=", se_kind: mobilenet-v3, activation: hard_swish"),
        made("dsconv", more=", pointwise_activation: true"),
        made(head="null"),
        made(heads=", hidden: 16"),
        made(heads=", conv: true"),
    ],
    ids=[
        "fused",
        "conv-fused",
        "basic",
        "bottleneck",
        "sepconv",
        "v3",
        "v1",
        "no-head",
        "hidden",
        "conv-head",
    ],
)
def test_other_blocks_and_heads_are_shared_too(space):
    supernet = trained_a_little(space, transform=True)
    rng = np.random.default_rng(0)
    for _ in range(12):
        check_agrees(supernet, space.decode(space.sample(rng)), 16)


def test_what_a_supernet_cannot_share_is_refused_by_stage_and_op():
    with pytest.raises(
        NasError, match=r"^two: stage1\.op is 'shuffle', of which a supernet cannot share weights"
    ):
        shapes(made("[mbconv, shuffle]"))


def test_shapes_are_the_largest_by_hand():
    found = shapes(made())
    # after 8 channels 6 times as many, kernels to 7; the second layer is after 16
    assert found[Place(1, 0, "mbconv", "depthwise")] == (48, 1, (3, 5, 7), True, False)
    assert found[Place(1, 1, "mbconv", "expand")] == (96, 16, (1,), True, False)
    assert found[Place(1, 1, "mbconv", "se")] == (96, 4)
    assert found[Place(2, 2, "mbconv", "project")] == (24, 96, (1,), True, False)
    assert Place(2, 3, "mbconv", "project") not in found


def test_a_smaller_kernel_is_the_centre_and_a_narrower_layer_the_first_channels():
    space = made()
    supernet = trained_a_little(space)
    sample = {label: values[0] for label, values in space.choices.items()}
    net = supernet.extract(space.decode(sample | {"stage1.kernel": 3, "stage1.channels": 8}))
    whole = supernet.shared["stage1_0_mbconv_depthwise"].weight
    assert torch.equal(net.stages[0][0].depthwise.conv.weight, whole[:24, :, 2:5, 2:5])
    project = supernet.shared["stage1_0_mbconv_project"].weight
    assert torch.equal(net.stages[0][0].project.conv.weight, project[:8, :24])


def test_extraction_copies_and_draws_nothing():
    space = made()
    supernet = trained_a_little(space)
    before = torch.random.get_rng_state()
    net = supernet.extract(supernet.largest)
    assert torch.equal(before, torch.random.get_rng_state())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert all(
        float(w.detach().abs().sum()) > 0 for n, w in supernet.named_parameters() if n.endswith("conv.weight")
    )
    check_agrees(supernet, supernet.largest, 16)


def test_equal_networks_are_one_however_they_are_written():
    space = made("mbconv", "1, 6")
    supernet = trained_a_little(space)
    plain = nas.load("mobilenet-v2").architecture  # of another space
    with pytest.raises(NasError, match="the supernet of two is of 5 classes, and the network of 1000"):
        supernet.extract(plain)
    with pytest.raises(NasError, match="two does not contain this network: stages: 7 instead of 2"):
        supernet.extract(plain.with_data(5, 3))
    sample = {label: values[0] for label, values in space.choices.items()} | {"stage1.expand": 1}
    arch = space.decode(sample)
    from dataclasses import replace

    written = replace(arch, stages=(replace(arch.stages[0], op="dsconv", expand=None), *arch.stages[1:]))
    assert written.key == arch.key
    assert torch.equal(supernet.extract(written).head.conv.weight, supernet.extract(arch).head.conv.weight)


def test_ops_that_make_one_block_are_refused_for_it_would_have_two_sets_of_weights():
    with pytest.raises(
        NasError,
        match=r"^two: stage1\.op has 'dsconv' and 'mbconv', which with kernel 3 and expand 1 are one and",
    ):
        Supernet(made("[dsconv, mbconv]", "1, 6"))
    Supernet(made("[dsconv, mbconv]", "3, 6"))


@pytest.mark.parametrize("name", SPACES)
def test_the_extremes_are_those_of_the_cost_table(name):
    space = SearchSpace.load(name)
    smallest, largest = extremes(space)
    assert (smallest.macs, largest.macs) == space.costs.macs_range()
    assert all(stage.skip == "identity" for arch in (smallest, largest) for stage in arch.stages)


def test_samplers_draw_the_same_again_and_an_attentive_one_near_its_target():
    space = SearchSpace.load("cifar")
    found = {name: sampler(name, space, 6e6) for name in ("uniform", "fair", "attentive")}
    for one in found.values():
        first, again = (one.draw(np.random.default_rng([3, 1]), 3) for _ in range(2))
        assert first == again
        assert len({space.decode(sample).key for sample in one.draw(np.random.default_rng(0), 20)}) == 20
    off = {
        name: np.median(
            [abs(np.log(space.decode(s).macs / 6e6)) for s in one.draw(np.random.default_rng(0), 200)]
        )
        for name, one in found.items()
    }
    assert off["attentive"] < 0.2 < min(off["uniform"], off["fair"])
    with pytest.raises(
        NasError, match=r"^sampler is 'attentiv' \(did you mean 'attentive'\?\); allowed: uniform, fair, att"
    ):
        sampler("attentiv", space, 6e6)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_fair_step_has_the_values_of_a_choice_as_often_as_each_other_whichever_goes_with_which(count):
    space = SearchSpace.load("cifar")
    fair, rng, together = sampler("fair", space), np.random.default_rng(0), Counter()
    for _ in range(200):
        samples = fair.draw(rng, count)
        assert len(samples) == count
        for label, values in space.choices.items():
            drawn = [sample[label] for sample in samples]
            often = [drawn.count(value) for value in values]
            assert sum(often) == count
            assert max(often) - min(often) <= 1
        together.update((sample["stage1.op"], sample["stage2.op"]) for sample in samples)
    assert len(together) == 9
    assert max(together.values()) < 2 * min(together.values())
