"""The proxy evaluator on digits."""

import numpy as np
import pytest
import torch

import nas
from nas import sources
from nas.data import load_data
from nas.errors import NasError
from nas.evaluators import Evaluator, Metrics
from nas.evaluators.proxy import ProxyEvaluator
from nas.training import Diverged, TrainingConfig


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


@pytest.fixture(scope="module")
def arch():
    space = nas.SearchSpace.load("digits")
    cheap = {name: values[0] for name, values in space.choices.items()}
    return space.decode({**cheap, "stage2.op": "mbconv", "stage3.op": "mbconv"})


def timeless(metrics):
    return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in metrics.history]


def test_metrics(data, arch):
    reported = []
    config = TrainingConfig(epochs=2)
    metrics = ProxyEvaluator(data, config).evaluate(
        arch, lambda epoch, values: reported.append((epoch, values))
    )
    assert isinstance(metrics, Metrics)
    assert (metrics.macs, metrics.params) == (arch.macs, arch.params)
    assert metrics.accuracy == metrics.history[-1]["accuracy"]
    assert reported == [(1, metrics.history[0]), (2, metrics.history[1])]
    assert metrics.seconds >= metrics.history[-1]["seconds"]


def test_the_seed_fixes_weights_and_batches(data, arch):
    first = ProxyEvaluator(data, TrainingConfig(epochs=1, seed=7)).evaluate(arch)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    second = ProxyEvaluator(data, TrainingConfig(epochs=1, seed=7)).evaluate(arch)
    assert timeless(first) == timeless(second)
    assert torch.equal(before, torch.get_rng_state())
    assert timeless(first) != timeless(ProxyEvaluator(data, TrainingConfig(epochs=1, seed=8)).evaluate(arch))


def test_the_architecture_is_fitted_to_the_data(tmp_path):
    path = tmp_path / "x.npz"
    images, labels = np.zeros((30, 8, 8, 3), np.uint8), np.arange(30) % 3
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    written = nas.SearchSpace.load("digits").decode(
        {name: values[0] for name, values in nas.SearchSpace.load("digits").choices.items()}
    )
    metrics = ProxyEvaluator(load_data(f"npz:{path}"), TrainingConfig(epochs=1)).evaluate(written)
    fitted = written.with_data(classes=3, in_chans=3)
    assert (metrics.macs, metrics.params) == (fitted.macs, fitted.params)
    assert metrics.macs != written.macs


def test_the_defaults_are_a_good_proxy_for_digits(data, arch):
    assert ProxyEvaluator(data, TrainingConfig()).evaluate(arch).accuracy > 0.9


def test_the_test_split_is_never_read(arch, monkeypatch):
    real, read = sources._read_digits, []
    monkeypatch.setattr(sources, "_read_digits", lambda part: read.append(part) or real(part))
    data = load_data("digits")
    ProxyEvaluator(data, TrainingConfig(epochs=1)).evaluate(arch)
    assert read == ["train"]
    assert len(data.test) > 0
    assert read == ["train", "test"]


def test_a_failure_reaches_the_caller(data, arch):
    config = TrainingConfig(epochs=2, lr=1e6, clip_norm=0, warmup_epochs=0)
    with pytest.raises(Diverged):
        ProxyEvaluator(data, config).evaluate(arch)


def test_resolutions_must_agree(data, arch):
    other = load_data("digits", resolution=16)
    with pytest.raises(NasError) as caught:
        ProxyEvaluator(other, TrainingConfig()).evaluate(arch)
    assert str(caught.value) == (
        "proxy: the architecture takes 8 pixels and digits was loaded at 16; load it with resolution=8"
    )


def test_trainval_cannot_score(data):
    with pytest.raises(
        NasError, match=r"^proxy: split is 'trainval', which leaves none to score on; give 'train'$"
    ):
        ProxyEvaluator(data, TrainingConfig(split="trainval"))


def test_evaluator_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Evaluator()  # type: ignore[abstract]
