"""Training a supernet: what a step does, resumed as if nothing had been, alone or in two processes."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nas.data import load_data
from nas.evaluators.supernet import SupernetEvaluator
from nas.objectives import Step
from nas.processes import ALONE
from nas.recipe import TrainingConfig
from nas.space import SearchSpace
from nas.supernet.module import Supernet
from nas.supernet.recalibration import recalibrate
from nas.supernet.sampling import sampler
from nas.supernet.sandwich import Sandwich
from nas.training import seeded, train


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


@pytest.fixture(scope="module")
def space():
    return SearchSpace.load("digits")


def fresh(space):
    with seeded(0):
        return Supernet(space)


def step_of(config, images):
    return Step(config, torch.amp.GradScaler("cpu", enabled=False), False, ALONE, (0, 0), images)


@pytest.mark.parametrize("fixed", [True, False])
def test_a_step_adds_up_the_gradients_of_the_largest_by_labels_and_of_others_by_the_largest(
    space, digits, fixed
):
    config = TrainingConfig(label_smoothing=0.1, channels_last=False)
    objective = Sandwich(sampler("uniform", space), between=2, distill=True, fixed=fixed)
    supernet, again = fresh(space), fresh(space)
    x, y = next(iter(digits.batches("train", 32, train=False)))
    loss, hits = objective.backward(supernet, x, y, step_of(config, 32))

    largest, *others = objective.networks(again, config.seed, (0, 0))
    logits = again(x, largest)
    by_labels = F.cross_entropy(logits, y, label_smoothing=0.1)
    by_labels.backward()
    assert loss.item() == pytest.approx(by_labels.item(), abs=1e-6)
    assert hits.item() == (logits.argmax(1) == y).sum().item()
    assert len(others) == 3
    target = logits.detach().softmax(1)
    for arch in others:
        (-(target * again(x, arch).log_softmax(1)).sum(1).mean()).backward()
    for (name, ours), theirs in zip(supernet.named_parameters(), again.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None), name
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_a_step_in_parts_is_weighted_as_a_whole(space, digits):
    """With the batch norm of each part, so it is compared with the sum of the parts."""
    objective = Sandwich(sampler("uniform", space), between=0, distill=False, fixed=True)
    x, y = next(iter(digits.batches("train", 33, train=False)))
    whole, parts = fresh(space), fresh(space)
    objective.backward(parts, x, y, step_of(TrainingConfig(accumulate=2, channels_last=False), 33))
    for part in (slice(0, 16), slice(16, 33)):
        for arch in (whole.largest, whole.smallest):
            logits = whole(x[part], arch)
            (F.cross_entropy(logits, y[part], label_smoothing=0.1) * (len(logits) / 33)).backward()
    for ours, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)


def test_the_networks_of_a_step_follow_from_seed_and_number(space):
    supernet, objective = fresh(space), Sandwich(sampler("uniform", space), between=3)
    keys = {
        (seed, number): tuple(arch.key for arch in objective.networks(supernet, seed, number))
        for seed in (0, 1) for number in ((0, 0), (0, 1), (1, 0))
    }  # fmt: skip
    assert len(set(keys.values())) == 6
    assert keys[0, (0, 1)] == tuple(arch.key for arch in objective.networks(supernet, 0, (0, 1)))


def test_the_extremes_of_a_step_are_the_spaces_or_those_of_the_ops_and_skips_that_were_drawn(space):
    supernet, ops = fresh(space), set()
    fixed = Sandwich(sampler("uniform", space), fixed=True)
    assert fixed.networks(supernet, 0, (0, 0))[:2] == [supernet.largest, supernet.smallest]
    drawn = Sandwich(sampler("uniform", space), between=2)
    for step in range(20):
        largest, smallest, *others = drawn.networks(supernet, 0, (0, step))
        assert len(others) == 2
        for arch, sign in ((largest, 1), (smallest, -1)):
            ops.add((sign, *(stage.op for stage in arch.stages)))
            sample = space.encode(arch)
            for other in (space.sample(np.random.default_rng(seed)) for seed in range(20)):
                words = {label: value for label, value in sample.items() if isinstance(value, str)}
                assert sign * space.decode({**other, **words}).macs <= sign * arch.macs
    assert len(ops) > 20


def test_only_the_largest_is_regularized(space):
    supernet = fresh(space)
    objective = Sandwich(sampler("uniform", space))
    objective.prepare(supernet, TrainingConfig(drop_path=0.9, dropout=0.9))
    x = torch.randn(16, 1, 8, 8)
    supernet.train()
    one, two = (supernet(x, supernet.largest) for _ in range(2))
    assert torch.equal(one, two)
    one, two = (supernet(x, supernet.largest, regularize=True) for _ in range(2))
    assert not torch.equal(one, two)
    supernet.eval()
    one, two = (supernet(x, supernet.largest, regularize=True) for _ in range(2))
    assert torch.equal(one, two)


def test_others_that_equal_the_largest_are_not_regularized(digits, monkeypatch):
    """A space of two networks, so that they are drawn in most steps."""
    stage = {"op": "conv", "kernel": 3, "channels": 8, "layers": [1, 2]}
    two = {"name": "two", "resolution": 8, "stem": {"channels": 8, "stride": 1, "in_chans": 1}, "stages": [stage],
           "head": {"channels": 8, "classes": 10}}  # fmt: skip
    supernet, forward, seen = Supernet(SearchSpace.from_data(two)), Supernet.forward, []

    def recorded(self, x, arch=None, regularize=False):
        seen.append((arch, regularize))
        return forward(self, x, arch, regularize)

    monkeypatch.setattr(Supernet, "forward", recorded)
    x, y = next(iter(digits.batches("train", 8, train=False)))
    objective = Sandwich(sampler("uniform", supernet.space), between=4)
    objective.backward(supernet, x, y, step_of(TrainingConfig(channels_last=False), 8))
    assert [regularize for _, regularize in seen] == [True, *[False] * 5]
    assert [arch for arch, _ in seen].count(supernet.largest) > 1


def test_what_a_training_scores_is_what_a_search_does(space, digits):
    supernet = fresh(space)
    supernet.train()
    config = TrainingConfig(batch_size=512)
    found = Sandwich(sampler("uniform", space)).scores(supernet, digits, config, False, ALONE)
    judge = SupernetEvaluator(supernet, digits)
    assert judge.evaluate(supernet.largest).accuracy == found["largest"]
    assert judge.evaluate(supernet.smallest).accuracy == found["smallest"]


@pytest.mark.parametrize("distill", [True, False])
def test_smallest_and_largest_learn_and_a_seed_repeats_it(small, bright, distill):
    data, space = load_data(bright), small.with_data(2, 1)
    config = TrainingConfig(epochs=8, batch_size=16, augment="none", lr=0.05, ema=0.9)
    found = []
    for _ in range(2):
        with seeded(0):
            supernet = Supernet(space)
        objective = Sandwich(sampler("uniform", space), between=1, distill=distill)
        found.append(train(supernet, data, config, objective=objective).history)
    assert found[0][-1]["largest"] > 0.9
    assert found[0][-1]["smallest"] > 0.9
    assert found[0][-1]["accuracy"] > 0.9
    without = [[{k: v for k, v in epoch.items() if k != "seconds"} for epoch in h] for h in found]
    assert without[0] == without[1]


def test_recalibration_gives_the_statistics_of_the_training_images(space, digits):
    supernet = fresh(space)
    net = supernet.extract(supernet.smallest)
    recalibrate(net, digits, images=10_000, batch_size=1079)  # the whole split in one batch
    x, _ = next(iter(digits.batches("train", 1079, train=False)))
    out = net.stem.conv(x)
    torch.testing.assert_close(net.stem.norm.running_mean, out.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net.stem.norm.running_var, out.var((0, 2, 3)), atol=1e-5, rtol=1e-3)
    assert net.stem.norm.momentum == pytest.approx(0.01)
    states = [tensor.clone() for tensor in net.state_dict().values()]
    recalibrate(net, digits, images=10_000, batch_size=1079)
    assert all(torch.equal(one, two) for one, two in zip(states, net.state_dict().values(), strict=True))
    assert not any(module.training for module in net.modules())


def test_each_network_has_statistics_of_its_own(space, digits):
    supernet = fresh(space)
    found = []
    for arch in (supernet.smallest, supernet.largest):
        net = supernet.extract(arch)
        recalibrate(net, digits, images=64, batch_size=64)
        found.append(net.head.norm.running_mean)
    assert not torch.allclose(*found, rtol=0.1)
