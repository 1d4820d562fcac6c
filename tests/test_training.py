"""The training loop, its schedule, optimizer, averages and failures."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import nas
from nas.data import load_data
from nas.errors import NasError
from nas.evaluation import evaluate
from nas.layers import DropPath
from nas.optimization import Average, RMSpropTF, make_optimizer, prepare
from nas.recipe import learning_rate
from nas.training import (
    Diverged,
    OutOfMemory,
    TrainingConfig,
    TrialFailure,
    check_finite,
    seeded,
    train,
)

TINY = {
    "name": "tiny",
    "resolution": 8,
    "stem": {"channels": 8, "stride": 2, "in_chans": 1},
    "stages": [
        {"op": "mbconv", "kernel": 3, "expand": 3, "skip": "identity", "channels": 8, "layers": 2},
        {"op": "dsconv", "kernel": 3, "channels": 16, "stride": 2},
    ],
    "head": {"channels": 32, "classes": 10},
}


def tiny_net(seed=0, **settings):
    with seeded(seed):
        return nas.build(nas.SearchSpace.from_data(TINY).decode({}), **settings)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


@pytest.fixture
def two(tmp_path):
    """Twelve images of 8 x 8 in two classes; val has one of each."""
    path = tmp_path / "two.npz"
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (12, 8, 8), dtype=np.uint8), np.arange(12) % 2
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return load_data(f"npz:{path}")


def timeless(history):
    return [{name: value for name, value in metrics.items() if name != "seconds"} for metrics in history]


# Config


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"epoch": 3}, r"trial: unknown key 'epoch' \(did you mean 'epochs'\?\); allowed: epochs, "),
        ({"epochs": 0}, r"trial: epochs is 0; .*greater than or equal to 1"),
        ({"batch_size": 1}, r"trial: batch_size is 1; .*greater than or equal to 2"),
        ({"optimizer": "adam"}, r"trial: optimizer is 'adam'; .*'sgd' or 'rmsprop'"),
        ({"schedule": "step"}, r"trial: schedule is 'step'; .*'cosine' or 'exponential'"),
        ({"lr": 0}, r"trial: lr is 0; .*greater than 0"),
        ({"lr": float("nan")}, r"trial: lr is nan; .*finite"),
        ({"momentum": 1}, r"trial: momentum is 1; .*less than 1"),
        ({"ema": 1.5}, r"trial: ema is 1\.5; .*less than 1"),
        ({"epochs": 2, "warmup_epochs": 2}, r"trial: warmup_epochs is 2; give fewer than epochs \(2\)"),
        ({"split": "test"}, r"trial: split is 'test'; .*'train' or 'trainval'"),
        ({"seed": -1}, r"trial: seed is -1; .*greater than or equal to 0"),
    ],
)
def test_a_bad_config_is_one_sentence(given, sentence):
    with pytest.raises(NasError, match=f"^{sentence}") as caught:
        TrainingConfig.check(given, "trial")
    assert "\n" not in str(caught.value)


def test_config_reads_numbers_as_documents_do_and_is_frozen():
    config = TrainingConfig.check({"lr": "5e-2", "epochs": "3"})
    assert (config.lr, config.epochs) == (0.05, 3)
    assert TrainingConfig(epochs=1).warmup_epochs < 1
    with pytest.raises(ValueError, match="frozen"):
        config.lr = 1  # type: ignore[misc]


# Schedule


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (0, 0.0),  # warm-up: 2 epochs from 0 to 0.8
        (0.5, 0.2),
        (2, 0.8),  # its end
        (4, 0.4 * (1 + math.cos(math.pi / 4))),  # a quarter of the 8 epochs left
        (6, 0.4),
        (10, 0.0),
    ],
)
def test_cosine_by_hand(epoch, expected):
    config = TrainingConfig(epochs=10, warmup_epochs=2, lr=0.8, schedule="cosine")
    assert learning_rate(config, epoch) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (0, 0.0),
        (2.5, 0.128),
        (
            5,
            0.256 * 0.9409,
        ),  # the warm-up ends, and 5 / 2.4 = 2.08: 0.97 squared, as the released code counts
        (7.1, 0.256 * 0.9409),
        (7.2, 0.256 * 0.912673),  # 0.97 cubed
        (350, 0.256 * 0.97**145),  # 350 / 2.4 = 145.83
    ],
)
def test_exponential_by_hand(epoch, expected):
    config = TrainingConfig(epochs=350, warmup_epochs=5, lr=0.256, schedule="exponential")
    assert learning_rate(config, epoch) == pytest.approx(expected, rel=1e-12)


def test_without_warm_up_the_first_step_has_the_full_rate():
    for schedule in ("cosine", "exponential"):
        assert learning_rate(TrainingConfig(lr=0.3, warmup_epochs=0, schedule=schedule), 0) == 0.3


# Optimizer


def test_norms_and_biases_do_not_decay():
    net = tiny_net()
    decayed, plain = make_optimizer(net, TrainingConfig(weight_decay=0.01)).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.01, 0.0)
    kinds = {id(p): (type(m), name) for m in net.modules() for name, p in m.named_parameters(recurse=False)}
    assert {kinds[id(p)] for p in decayed["params"]} == {(nn.Conv2d, "weight"), (nn.Linear, "weight")}
    assert {kinds[id(p)] for p in plain["params"]} == {
        (nn.BatchNorm2d, "weight"), (nn.BatchNorm2d, "bias"), (nn.Linear, "bias"),
    }  # fmt: skip
    assert len(decayed["params"]) + len(plain["params"]) == len(list(net.parameters()))


def steps(optimizer, parameter, gradients):
    values = []
    for gradient in gradients:
        parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
        values.append(parameter.item())
    return values


def test_sgd_by_hand():
    net = nn.Linear(1, 1, bias=False)
    nn.init.ones_(net.weight)
    optimizer = make_optimizer(net, TrainingConfig(lr=0.1, momentum=0.5, weight_decay=0.2))
    # gradient 1 + 0.2 x 1 = 1.2; velocity 1.2; Nesterov's step 0.1 x (1.2 + 0.5 x 1.2) = 0.18
    # gradient 1 + 0.2 x 0.82 = 1.164; velocity 0.6 + 1.164 = 1.764; step 0.1 x (1.164 + 0.882) = 0.2046
    assert steps(optimizer, net.weight, [1, 1]) == pytest.approx([0.82, 0.6154])


def test_rmsprop_by_hand():
    net = nn.Linear(1, 1, bias=False)
    nn.init.ones_(net.weight)
    optimizer = make_optimizer(net, TrainingConfig(optimizer="rmsprop", lr=0.1, momentum=0.9, weight_decay=0))
    # mean square 0.9 x 1 + 0.1 x 4 = 1.3; 0.1 x 2 / sqrt(1.301) = 0.1753442; w = 1 - 0.1753442
    # mean square 0.9 x 1.3 + 0.4 = 1.57; 0.2 / sqrt(1.571) = 0.1595665, and 0.9 x 0.1753442 more
    assert steps(optimizer, net.weight, [2, 2]) == pytest.approx([0.8246558, 0.5072795], abs=1e-6)


class Recorded(nn.Linear):
    """A classifier of the pixels, without norms."""

    def __init__(self):
        super().__init__(64, 2)

    def forward(self, input):
        return super().forward(input.flatten(1))


@pytest.mark.parametrize("clip_norm", [1e-3, 1e6, 0])
def test_gradient_clipping(two, clip_norm):
    """One step of plain SGD at half the rate (cosine at mid-step): the weights move by 0.05 x gradient."""
    net = Recorded()
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    x, y = next(iter(two.batches("train", 12, train=False)))
    # With logits 0 the gradient of logit k is (1/2 - [y = k]) / n, and the inputs' means do the rest.
    error = (0.5 - nn.functional.one_hot(y, 2).float()) / len(y)
    gradient = torch.cat([error.T @ x.flatten(1), error.sum(0)[:, None]], 1)
    config = TrainingConfig(
        epochs=1, batch_size=12, lr=0.1, momentum=0, weight_decay=0, warmup_epochs=0, label_smoothing=0,
        clip_norm=clip_norm, augment=False,
    )  # fmt: skip
    train(net, two, config)
    moved = torch.cat([net.weight, net.bias[:, None]], 1).norm().item()
    norm = clip_norm if clip_norm == 1e-3 else gradient.norm().item()
    assert moved == pytest.approx(0.05 * norm, rel=1e-3)


# Averages


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        # weights 0, then 1, then 2; decay min(., 2/11), then min(., 3/12)
        (0.99, [9 / 11, 0.25 * 9 / 11 + 0.75 * 2]),
        (0.1, [0.9, 0.09 + 1.8]),
    ],
)
def test_average_by_hand(decay, expected):
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.zeros_(net[0].weight)
    average = Average(net, decay)
    for number, mean in enumerate(expected, 1):
        nn.init.constant_(net[0].weight, number)
        net[1].running_mean.fill_(number)
        net[1].num_batches_tracked.fill_(number)
        average.update(net)
        assert average.net[0].weight.item() == pytest.approx(mean)
        assert average.net[1].running_mean.item() == pytest.approx(mean)
        assert average.net[1].num_batches_tracked.item() == number
    assert net[0].weight.item() == 2


def test_the_averaged_weights_are_scored_and_are_the_result(digits):
    plain, averaged = tiny_net(), tiny_net()
    config = TrainingConfig(epochs=2, lr=0.2)
    without = train(plain, digits, config)
    result = train(averaged, digits, TrainingConfig(epochs=2, lr=0.2, ema=0.95))
    assert result.accuracy == evaluate(averaged, digits) == result.history[-1]["accuracy"]
    assert [m["loss"] for m in result.history] == [m["loss"] for m in without.history]
    assert not torch.equal(plain.classifier.weight, averaged.classifier.weight)


# The loop


def test_the_config_rules_the_layers():
    net = tiny_net(dropout=0.7, drop_path=0.5)
    prepare(net, TrainingConfig(dropout=0.3, drop_path=0.2, norm_momentum=0.05))
    assert net.dropout.p == 0.3
    assert {m.momentum for m in net.modules() if isinstance(m, nn.BatchNorm2d)} == {0.05}
    rates = [m.rate for m in net.modules() if isinstance(m, DropPath)]
    assert rates == [m.rate for m in tiny_net(drop_path=0.2).modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0, 0.2 / 3])  # the third of three blocks has no shortcut


def test_it_learns_and_reports_each_epoch(digits):
    reported = []
    net = tiny_net()
    config = TrainingConfig(epochs=4, batch_size=32, lr=0.1, warmup_epochs=1)
    result = train(net, digits, config, report=lambda epoch, metrics: reported.append((epoch, metrics)))
    assert [epoch for epoch, _ in reported] == [1, 2, 3, 4]
    assert tuple(metrics for _, metrics in reported) == result.history
    first, last = result.history[0], result.history[-1]
    assert set(first) == {"loss", "train_accuracy", "accuracy", "lr", "seconds"}
    assert 0.6 < last["accuracy"] == result.accuracy <= 1  # by chance 0.1
    assert last["loss"] < first["loss"]
    assert last["train_accuracy"] > first["train_accuracy"]
    # 1,079 images are 34 steps; the last step of an epoch is at epoch - 0.5 / 34
    assert first["lr"] == pytest.approx(0.1 * 33.5 / 34)
    assert last["lr"] == pytest.approx(0.05 * (1 + math.cos(math.pi * (3 - 0.5 / 34) / 3)))
    assert result.seconds >= last["seconds"] > first["seconds"] > 0
    assert evaluate(net, digits, "val") == result.accuracy
    assert not net.training


def test_evaluate_counts_by_hand_and_restores_the_mode(two):
    net = Recorded()
    nn.init.zeros_(net.weight)
    net.bias.data = torch.tensor([0.0, 1.0])  # always says 1
    net.train()
    assert evaluate(net, two, "val", batch_size=5) == 0.5
    assert evaluate(net, two, "test", batch_size=5) == 0.5
    assert net.training
    two.test.labels[:3] = 1  # 0, 1, 0 before
    assert evaluate(net, two, "test") == 8 / 12


def test_same_seed_same_history_to_the_bit(digits):
    config = TrainingConfig(epochs=2, dropout=0.3, drop_path=0.3, ema=0.9, seed=5)
    one, two = tiny_net(), tiny_net()
    first = train(one, digits, config)
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    second = train(two, digits, config)
    assert timeless(first.history) == timeless(second.history)
    assert all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )
    assert torch.equal(before, torch.get_rng_state())
    other = train(tiny_net(), digits, TrainingConfig(epochs=2, dropout=0.3, drop_path=0.3, ema=0.9, seed=6))
    assert timeless(first.history) != timeless(other.history)


def test_memory_format_changes_the_layout_only(digits):
    nets = [tiny_net(), tiny_net()]
    results = [
        train(net, digits, TrainingConfig(epochs=1, channels_last=flag))
        for net, flag in zip(nets, (False, True), strict=True)
    ]
    for net, layout in zip(nets, (torch.contiguous_format, torch.channels_last), strict=True):
        assert net.head.conv.weight.is_contiguous(memory_format=layout)
        assert net.stem.conv.weight.is_contiguous(memory_format=layout)
    assert results[0].history[0]["loss"] == pytest.approx(results[1].history[0]["loss"], rel=1e-3)


def test_trainval_scores_nothing(digits):
    net = tiny_net()
    result = train(net, digits, TrainingConfig(epochs=1, split="trainval"))
    assert math.isnan(result.accuracy)
    assert 0 <= evaluate(net, digits, "test") <= 1


def test_batch_norm_never_sees_one_image(two):
    """10 images in batches of 3 would leave one; at one pixel batch norm refuses it."""
    net = nn.Sequential(nn.Conv2d(1, 4, 8), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    train(net, two, TrainingConfig(epochs=1, batch_size=3))


def test_the_test_split_is_not_decoded_in_training(digits, monkeypatch):
    data = load_data("digits")

    def fail():
        raise AssertionError("the test split was asked for")

    monkeypatch.setitem(data._readers, "test", fail)
    train(tiny_net(), data, TrainingConfig(epochs=1))
    with pytest.raises(AssertionError):
        evaluate(tiny_net(), data, "test")


def test_the_next_epochs_images_are_asked_for_before_val_is_scored(digits, monkeypatch):
    """So those of a folder are decoded meanwhile."""
    asked, batches = [], digits.batches

    def noted(split, *sizes, epoch=0, start=0, **how):
        asked.append((split, epoch, start))
        return batches(split, *sizes, epoch=epoch, start=start, **how)

    monkeypatch.setattr(digits, "batches", noted)
    train(tiny_net(), digits, TrainingConfig(epochs=3, batch_size=512))
    scored = ("val", 0, 0)
    assert asked == [("train", 0, 0), ("train", 1, 0), scored, ("train", 2, 0), scored, scored]


# Ends before the end


class Stop(Exception):
    pass


def test_a_report_may_stop_it(digits):
    def stop(epoch, _):
        if epoch == 2:
            raise Stop

    calls = []
    with pytest.raises(Stop):
        train(tiny_net(), digits, TrainingConfig(epochs=5), report=lambda *a: (calls.append(a), stop(*a)))
    assert len(calls) == 2


def test_a_rate_of_a_million_diverges(digits):
    config = TrainingConfig(epochs=3, lr=1e6, clip_norm=0, warmup_epochs=0)
    with pytest.raises(
        Diverged, match=r"^diverged: the loss is (nan|inf) in epoch \d, step \d+, at learning rate "
    ) as caught:
        train(tiny_net(), digits, config)
    assert isinstance(caught.value, TrialFailure)
    assert caught.value.epoch >= 1
    assert caught.value.step >= 1


def test_divergence_names_the_first_bad_step():
    losses = [torch.tensor(value) for value in (1.0, 2.0, float("inf"), float("nan"))]
    check_finite(losses[:2], 0, epoch=4, lr=0.1)
    with pytest.raises(Diverged) as caught:
        check_finite(losses, 1, epoch=4, lr=0.1)
    assert str(caught.value) == (
        "diverged: the loss is inf in epoch 5, step 3, at learning rate 0.1; lower lr, or lengthen warmup_epochs"
    )


class Raises(Recorded):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, input):
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_out_of_memory(two, error):
    with pytest.raises(
        OutOfMemory, match=r"^out of memory on cpu with batches of 7; lower batch_size \("
    ) as caught:
        train(Raises(error), two, TrainingConfig(batch_size=7))
    assert isinstance(caught.value, TrialFailure)


def test_other_errors_are_not_hidden(two):
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train(Raises(RuntimeError("mat1 and mat2 shapes cannot be multiplied")), two, TrainingConfig())


def test_rmsprop_is_tensorflows_by_hand():
    """s from 1, epsilon inside the root, the rate inside the momentum: two steps of one weight at 2 with g = 0.1."""
    weight = nn.Parameter(torch.tensor([[2.0]]))
    optimizer = RMSpropTF(
        [{"params": [weight], "weight_decay": 0.0}], lr=0.5, decay=0.9, eps=1e-3, momentum=0.9
    )
    square, momentum, expected = 1.0, 0.0, 2.0
    for _ in range(2):
        weight.grad = torch.tensor([[0.1]])
        optimizer.step()
        square = 0.9 * square + 0.1 * 0.01
        momentum = 0.9 * momentum + 0.5 * 0.1 / math.sqrt(square + 1e-3)
        expected -= momentum
        assert weight.item() == pytest.approx(expected, rel=1e-6)


def test_rmsprop_decays_weights_as_l2():
    weight = nn.Parameter(torch.tensor([[2.0]]))
    other = nn.Parameter(torch.tensor([[2.0]]))
    for parameter, gradient, decay in ((weight, 0.1, 0.05), (other, 0.2, 0.0)):  # 0.1 + 0.05 * 2
        parameter.grad = torch.tensor([[gradient]])
        RMSpropTF([{"params": [parameter], "weight_decay": decay}], lr=0.5).step()
    assert weight.item() == pytest.approx(other.item(), rel=1e-6)
