"""Full training: recipes as published, exact resumption, several processes, transfer, evaluation, mistakes."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

import nas
from nas import NasError
from nas.baseline import Baseline, save
from nas.batches import batch_count
from nas.checkpoints import Checkpoints
from nas.data import load_data
from nas.evaluation import top_fractions
from nas.full_training import Request, run_training
from nas.objectives import CLASSIFYING, Step
from nas.processes import ALONE, Processes
from nas.recipes import recipe, words
from nas.scoring import evaluated
from nas.shares import places, shares
from nas.state import State
from nas.training import TrainingConfig, Watch, seeded, train
from nas.weights import Facts, load_network, read_tensors, read_weights, save_weights

ROOT = Path(__file__).parents[1]
TINY = {
    "name": "tiny",
    "resolution": 8,
    "stem": {"channels": 8, "stride": 2, "in_chans": 1},
    "stages": [
        {
            "op": "mbconv",
            "kernel": 3,
            "expand": 3,
            "se": 0.25,
            "skip": "identity",
            "channels": 8,
            "layers": 2,
        },
        {"op": "dsconv", "kernel": 3, "channels": 16, "stride": 2},
    ],
    "head": {"channels": 32, "classes": 10},
    "activation": "swish",
}
EVERYTHING = TrainingConfig(
    epochs=2, batch_size=160, optimizer="rmsprop", lr=0.01, schedule="exponential", ema=0.99, dropout=0.2,
    drop_path=0.3, accumulate=2, augment="autoaugment", warmup_epochs=0.5, seed=5,
)  # fmt: skip
SCALER = torch.amp.GradScaler("cpu", enabled=False)
STEPS = 7
"""Of an epoch: 1,079 images in batches of 160."""


def tiny():
    return nas.SearchSpace.from_data(TINY).decode({})


@pytest.fixture
def baseline(in_folder):
    """./tiny.yml in a folder of the test's own."""
    save(Baseline("tiny", tiny()), Path("tiny.yml"))
    return "./tiny.yml"


def run(baseline, **given):
    run_training(Console(quiet=True), Request(baseline, "digits", threads=1, **{"recipe": "cifar", **given}))


def timeless(lines):
    return [{name: value for name, value in line.items() if "seconds" not in name} for line in lines]


def log(folder):
    return timeless(map(json.loads, Path(folder, "log.jsonl").read_text().splitlines()))


# Recipes


def test_the_efficientnet_recipe_is_the_published_one():
    """arXiv:1905.11946 section 5.2 and the released code; 0.256 for 4096 images."""
    config = recipe("efficientnet", batch_size=4096, own_dropout=0.5)
    assert (config.optimizer, config.momentum, config.weight_decay) == ("rmsprop", 0.9, 1e-5)
    assert (config.lr, config.schedule, config.warmup_epochs, config.epochs) == (0.256, "exponential", 5, 350)
    assert (config.norm_momentum, config.ema, config.label_smoothing) == (0.01, 0.9999, 0.1)
    assert (config.augment, config.drop_path, config.dropout) == ("autoaugment", 0.2, 0.5)


def test_the_mnasnet_recipe_has_neither_autoaugment_nor_stochastic_depth():
    config = recipe("mnasnet", batch_size=4096)
    assert (config.lr, config.augment, config.drop_path, config.dropout) == (0.256, "basic", 0.0, 0.2)


def test_transfer_trains_twenty_thousand_steps():
    for images in (300, 2040, 50_000):
        config = recipe("transfer", images=images)
        assert config.epochs * batch_count(images, 256) == pytest.approx(20_000, rel=0.01)
    assert recipe("transfer", images=256 * 200).norm_momentum == 0.05  # 1 - max(1 - 10 / 200, 0.9)


@pytest.mark.parametrize(
    ("epochs", "text"), [(1, "cifar: 1 epoch on train,"), (2, "cifar: 2 epochs on train,")]
)
def test_one_epoch_is_one(epochs, text):
    assert words("cifar", recipe("cifar", epochs=epochs)).startswith(text)


def test_a_short_training_warms_up_for_a_tenth_of_it():
    assert recipe("efficientnet", epochs=10).warmup_epochs == 1
    assert recipe("efficientnet", epochs=350).warmup_epochs == 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "efficentnet"}, r"recipe is 'efficentnet' \(did you mean 'efficientnet'\?\); allowed: "),
        ({"name": "cifar", "lr": -1}, "recipe cifar: lr is -1"),
        (
            {"name": "cifar", "batch_size": 8, "accumulate": 5},
            "recipe cifar: accumulate is 5; give 1 to 4, so that",
        ),
    ],
)
def test_a_mistake_in_a_recipe_is_one_sentence(arguments, sentence):
    with pytest.raises(NasError, match=sentence):
        recipe(**arguments)


# Batches in parts


@pytest.mark.parametrize("augment", ["none", "basic", "autoaugment"])
def test_parts_of_batches_are_the_batches_and_passing_over_changes_nothing(augment):
    data = load_data("digits")
    given = {"train": True, "seed": 3, "epoch": 1, "augment": augment}
    whole = list(data.batches("train", 300, **given))
    parts = [list(data.batches("train", 300, **given, part=(rank, 3), start=1)) for rank in range(3)]
    assert len(whole) == 4
    for number, (x, y) in enumerate(whole[1:]):
        assert torch.equal(torch.cat([part[number][0] for part in parts]), x)
        assert torch.equal(torch.cat([part[number][1] for part in parts]), y)


def test_every_process_has_its_share_of_every_part_that_is_taken_at_a_time(tmp_path):
    """So batch norm, which sees what passes at one time, sees the same images however many processes there are."""
    for number in range(21):
        path = tmp_path / "train" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 12), (10 * number, 0, 0)).save(path)
    folder = load_data(f"folder:{tmp_path}", resolution=8, workers=0)
    for data, size in ((load_data("digits"), 300), (folder, 12)):
        (x, y), *_ = data.batches("train", size, train=True)
        pieces = [
            next(data.batches("train", size, train=True, part=(rank, 2), accumulate=3)) for rank in range(2)
        ]
        order = torch.cat([places(len(y), (rank, 2), 3) for rank in range(2)])
        assert torch.equal(torch.cat([piece[0] for piece in pieces]), x[order])
        assert torch.equal(torch.cat([piece[1] for piece in pieces]), y[order])
    together = [shares(67, (rank, 2), 3) for rank in range(2)]
    assert [s.stop for s in together[0]] == [s.start for s in together[1]]
    assert [(a.start, b.stop) for a, b in zip(*together, strict=True)] == [(0, 22), (22, 44), (44, 67)]


def test_gradients_of_accumulated_parts_are_those_of_the_whole():
    net = nn.Linear(6, 3)
    x, y = torch.randn(10, 6), torch.arange(10) % 3
    found = []
    for parts in (1, 3):
        net.zero_grad()
        config = TrainingConfig(batch_size=10, accumulate=parts)
        loss, hits = CLASSIFYING.backward(net, x, y, Step(config, SCALER, False, ALONE, (0, 0), len(y)))
        found.append((loss.item(), hits.item(), net.weight.grad.clone()))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
    assert found[0][1] == found[1][1]
    torch.testing.assert_close(found[0][2], found[1][2])


# Resumption


class Interrupting(Checkpoints):
    """Takes a checkpoint after every step, and ends a training after some."""

    def __init__(self, folder, after):
        super().__init__(Path(folder), "key", every=0)
        self.left = after

    def step(self, state, steps, lr):
        super().step(state, steps, lr)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def trained(folder, stops=()):
    """Trains with EVERYTHING, interrupted after so many steps each time; weights, history, log."""
    data = load_data("digits")
    for after in (*stops, -1):
        with seeded(EVERYTHING.seed):
            net = nas.build(tiny())
        watch = Interrupting(folder, after)
        try:
            result = train(net, data, EVERYTHING, watch=watch)
        except KeyboardInterrupt:
            continue
        finally:
            watch.log.end()
    return net.state_dict(), timeless(result.history), log(folder)


@pytest.mark.parametrize("stops", [(1,), (STEPS,), (3, 1, 5), (STEPS + 2, 2), (2 * STEPS - 1,)])
def test_an_interrupted_training_goes_on_as_if_nothing_had_been(stops, tmp_path):
    weights, history, lines = trained(tmp_path / "whole")
    weights_again, history_again, lines_again = trained(tmp_path / "parts", stops)
    assert history == history_again
    assert lines == lines_again
    assert all(torch.equal(weights[name], weights_again[name]) for name in weights)


def test_what_was_cut_short_in_the_log_is_written_again(tmp_path):
    trained(tmp_path, (STEPS + 3,))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 99, "loss": 1}\n{"step": 1')
    assert trained(tmp_path)[2][-1]["step"] == 2 * STEPS


def test_a_training_that_is_killed_goes_on(baseline):
    """kill -9 of the process after its first steps, then --resume: the log and the weights of an undisturbed one."""
    words = [sys.executable, "-m", "nas.cli", "train", baseline, "--data", "digits", "--recipe", "efficientnet",
             "--epochs", "2", "--batch-size", "64", "--threads", "1", "--checkpoint-seconds", "0"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*words, "--out", "whole"], check=True, capture_output=True, env=environment)
    process = subprocess.Popen([*words, "--out", "killed"], stdout=subprocess.DEVNULL, env=environment)
    while not Path("killed/checkpoint.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([*words, "--out", "killed", "--resume"], check=True, capture_output=True, env=environment)
    assert log("whole") == log("killed")
    whole, killed = (read_tensors(Path(folder, "tiny.safetensors"))[0] for folder in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    whole, killed = (Path(folder, "tiny.safetensors").read_bytes() for folder in ("whole", "killed"))
    assert whole == killed


def _gradients(rank, folder):
    """One process of two: the gradients of its part of an odd batch, in two parts."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    net, x, y = _normed()
    processes = Processes(rank, 2, rank)
    mine = places(len(y), processes.part, 2)
    config = TrainingConfig(batch_size=11, accumulate=2)
    model = CLASSIFYING.wrapped(net, torch.device("cpu"), processes)
    loss, hits = CLASSIFYING.backward(
        model, x[mine], y[mine], Step(config, SCALER, False, processes, (0, 0), 11)
    )
    torch.save([loss, hits, *(p.grad for p in net.parameters()), *net.buffers()], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def _normed():
    with seeded(0):
        net = nn.Sequential(nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))
        return net, torch.randn(11, 6, 2, 2), torch.arange(11) % 3


def test_gradients_of_two_processes_are_those_of_one(tmp_path):
    """An odd batch, taken in two parts of unequal size, each of which batch norm sees as a whole."""
    torch.multiprocessing.spawn(_gradients, (str(tmp_path),), nprocs=2)
    net, x, y = _normed()
    config = TrainingConfig(batch_size=11, accumulate=2)
    loss, hits = CLASSIFYING.backward(net, x, y, Step(config, SCALER, False, ALONE, (0, 0), len(y)))
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        wanted = [loss, hits, *(p.grad for p in net.parameters()), *net.buffers()]
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_part_of_a_folders_batch_may_be_empty(tmp_path):
    for number in range(6):
        path = tmp_path / "val" / "ab"[number % 2] / f"{number}.png"
        for split in ("train", "val"):
            target = tmp_path / split / "ab"[number % 2]
            target.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 12), (40 * number, 0, 0)).save(target / path.name)
    data = load_data(f"folder:{tmp_path}", resolution=8, workers=0)
    sizes = [len(y) for x, y in data.batches("test", 5, train=False, channels_last=True, part=(0, 2))]
    assert sizes == [2, 0]


def test_two_processes_train_one_network(baseline):
    """torchrun with Gloo: each sees half of every batch, and the gradients are those of both."""
    torchrun = Path(sys.executable).with_name("torchrun")
    words = [torchrun, "--standalone", "--nproc-per-node", "2", "-m", "nas.cli", "train", baseline, "--data",
             "digits", "--recipe", "cifar", "--epochs", "3", "--device", "cpu", "--out", "two"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr
    lines = log("two")
    run(baseline, fields={"epochs": 3}, out=Path("one"))
    assert [line["step"] for line in lines] == [line["step"] for line in log("one")]
    assert lines[-1]["epoch_loss"] == pytest.approx(log("one")[-1]["epoch_loss"], rel=1e-3)
    tensors, facts = read_weights(Path("two/tiny.safetensors"))
    assert facts.accuracy == pytest.approx(lines[-1]["epoch_accuracy"])
    assert all(tensor.isfinite().all() for tensor in tensors.values())


# The command


def test_what_was_trained_is_evaluated(baseline):
    run(baseline, fields={"epochs": 6})
    weights = Path("trained/tiny/tiny.safetensors")
    found = evaluated(baseline, weights, "digits", None, "test", 64, "cpu", 1, None)
    assert (found["images"], found["baseline"]) == (359, "tiny")
    assert 0.3 < found["top1"] < found["top5"] <= 1
    _, facts = read_weights(weights)
    assert facts.class_names == tuple("0123456789")
    assert (facts.crop_pct, facts.crop_mode, facts.interpolation) == (1.0, "squash", "bilinear")
    assert facts.accuracy == evaluated(baseline, weights, "digits", None, "val", 64, "cpu", 1, None)["top1"]


def test_images_are_normalized_as_the_weights_were_trained(baseline):
    """Brighter images in another file: their own statistics would hide the difference."""
    run(baseline, fields={"epochs": 3})
    weights = Path("trained/tiny/tiny.safetensors")
    train, test = (load_data("digits").split(name) for name in ("trainval", "test"))
    shown = {"train": train, "test": test}
    arrays = {f"x_{name}": split.images.numpy()[..., 0] // 2 for name, split in shown.items()}
    arrays |= {f"y_{name}": split.labels.numpy() for name, split in shown.items()}
    np.savez("dark.npz", **arrays)
    dark = evaluated(baseline, weights, "npz:dark.npz", None, "test", 64, "cpu", 1, None)
    own = load_data("npz:dark.npz")
    mean, _ = own.train.statistics
    _, facts = read_weights(weights)
    assert mean[0] < 0.6 * facts.mean[0]
    net = load_network(tiny(), weights)
    as_trained = load_data("npz:dark.npz", statistics=(facts.mean, facts.std))
    assert dark["top1"] == top_fractions(net, as_trained, "test")[1]
    with pytest.raises(NasError, match="has 1 channels, and the images are to be normalized by 3 means"):
        load_data("digits", statistics=((0.5,) * 3, (0.2,) * 3))


def test_classes_of_other_names_are_told_and_in_another_order_refused(baseline):
    """Images of digits whose classes have names; the weights say 0 to 9, or those names."""
    train, test = (load_data("digits").split(name) for name in ("trainval", "test"))
    arrays = {"x_train": train.images.numpy()[..., 0], "y_train": train.labels.numpy(),
              "x_test": test.images.numpy()[..., 0], "y_test": test.labels.numpy()}  # fmt: skip
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

    def score(weights, classes):
        np.savez("named.npz", **arrays, class_names=np.array(classes))
        return evaluated(baseline, weights, "npz:named.npz", None, "test", 64, "cpu", 1, None)

    named, numbered = (
        save_weights(nas.build(tiny()), Path(f"{name}.safetensors"), Facts(class_names=tuple(of)))
        for name, of in (("named", names), ("numbered", "0123456789"))
    )
    assert score(named, names)["notes"] == score(numbered, names)["notes"] == []
    other = [*names[:9], "neuf"]
    assert score(named, other)["notes"] == [
        "note: class 9 is called 'nine' in the weights and 'neuf' in npz:named.npz; the accuracy holds only if they "
        "are the same classes in the same order"
    ]
    with pytest.raises(
        NasError,
        match=r"class 0 is 'zero', and in npz:named.npz 'nine': the same names in another order; give",
    ):
        score(named, names[::-1])


def test_top_fractions_are_those_of_sorted_logits():
    data, net = load_data("digits"), nas.build(tiny()).eval()
    x, y = next(iter(data.batches("val", 400, train=False)))
    with torch.no_grad():
        order = net(x).argsort(1, descending=True)
    for k in (1, 3, 10):
        expected = (order[:, :k] == y[:, None]).any(1).float().mean().item()
        assert top_fractions(net, data, "val", (k,))[k] == pytest.approx(expected, abs=1e-6)


def test_transfer_keeps_everything_but_the_classifier(baseline, tmp_path):
    run(baseline, fields={"epochs": 1}, out=Path("source"))
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez("other.npz", x_train=images, y_train=np.arange(40) % 4, x_test=images, y_test=np.arange(40) % 4)
    begun = []

    class First(Watch):
        def begin(self, state: State) -> None:
            begun.append({name: tensor.clone() for name, tensor in state.net.state_dict().items()})

        def step(self, state, steps, lr):
            pass

        def epoch(self, state):
            pass

        def end(self, state):
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.conducting.Display", lambda *_: _Entered(First()))
        request = Request(baseline, "npz:other.npz", weights=Path("source/tiny.safetensors"), transfer=True, threads=1,
                          fields={"epochs": 1, "batch_size": 8}, out=Path("target"))  # fmt: skip
        run_training(Console(quiet=True), request)
    before, _ = read_weights(Path("source/tiny.safetensors"))
    assert begun[0]["classifier.weight"].shape == (4, 32)
    assert not begun[0]["classifier.weight"].any()  # all classes equally likely: a loss of ln 4 at first
    for name, tensor in before.items():
        assert name.startswith("classifier") or torch.equal(tensor, begun[0][name])
    assert json.loads(Path("target/training.json").read_text())["recipe"] == "transfer"


class _Entered(Watch):
    """A watch that is entered like a display."""

    def __init__(self, watch):
        self.watch = watch

    def __enter__(self):
        return self.watch

    def __exit__(self, *_):
        pass

    begin = step = epoch = end = lambda *_: None


@pytest.fixture
def begun(baseline):
    """A training of one epoch in trained/tiny, and a baseline of another architecture."""
    run(baseline, fields={"epochs": 1})
    other = {**TINY, "name": "other", "head": {"channels": 40, "classes": 10}}
    save(Baseline("other", nas.SearchSpace.from_data(other).decode({})), Path("other.yml"))
    return baseline


def test_a_training_that_was_killed_before_its_first_checkpoint_says_that_it_begins_anew(begun):
    for name in ("checkpoint.safetensors", "tiny.safetensors", "log.jsonl"):
        Path("trained/tiny", name).unlink()
    console = Console(file=io.StringIO(), width=200)
    run_training(
        console, Request(begun, "digits", threads=1, recipe="cifar", words=("--resume",), resume=True)
    )
    assert "no checkpoint was taken yet, so that it begins anew" in console.file.getvalue()
    assert [line["epoch"] for line in log("trained/tiny")] == [1]


def test_every_mistake_is_one_sentence_and_nothing_is_overwritten(begun):
    weights = Path("trained/tiny/tiny.safetensors")
    content = weights.read_bytes()
    np.savez("four.npz", x_train=np.zeros((40, 8, 8), np.uint8), y_train=np.arange(40) % 4,
             x_test=np.zeros((8, 8, 8), np.uint8), y_test=np.arange(8) % 4)  # fmt: skip
    Path("cut.safetensors").write_bytes(content[:1000])
    save(Baseline("relu", replace(tiny(), activation="relu")), Path("relu.yml"))
    Path("taken").mkdir()
    Path("taken/tiny.safetensors").write_bytes(content)
    mistakes = [
        (lambda: run(begun), "^trained/tiny: holds a training that has ended, with tiny.safetensors; give another"),
        (lambda: run(begun, resume=True, fields={"epochs": 3}), "epochs is 3 in the command, but .* begun with 1"),
        (lambda: run("./other.yml", resume=True, out=Path("trained/tiny")), "was begun with the baseline tiny, which"),
        (lambda: run(begun, resume=True, out=Path("nowhere")), "^nowhere: holds no training to resume"),
        (lambda: run("./other.yml", weights=weights), r"of another architecture \(the head is 32 there and 40 here\)"),
        (lambda: run("./relu.yml", weights=weights, out=Path("x")), r"activation is swish there and relu here\)"),
        (lambda: evaluated("./relu.yml", weights, "digits", None, "test", 8, "cpu", 1, None), "is swish there and"),
        (lambda: run(begun, out=Path("taken")), "^taken/tiny.safetensors exists, and the training would replace it"),
        (lambda: run(begun, weights=Path("no.safetensors"), out=Path("x")), "^no.safetensors: "),
        (lambda: run(begun, weights=Path("cut.safetensors"), out=Path("x")), "is no readable safetensors file"),
        (lambda: run(begun, transfer=True, out=Path("x")), "--transfer needs weights to begin from"),
        (lambda: run(begun, recipe="transfer", out=Path("x")), "^--recipe transfer needs weights to begin from; give"),
        (lambda: run(begun, weights=Path("trained"), out=Path("x")), r"^trained: cannot be read \(Is a directory\)"),
        (lambda: run(begun, weights=Path("trained/tiny/checkpoint.safetensors"), out=Path("x")),
         "checkpoint.safetensors: is a training's checkpoint, not its weights; give the NAME.safetensors"),
        (lambda: run(begun, out=Path("tiny.yml")), "^tiny.yml: is a file, and a training is a folder; choose another"),
        (lambda: run(begun, out=Path("tiny.yml/x")), r"^tiny.yml/x: cannot be written \(Not a directory\); mend that"),
        (lambda: run(begun, fields={"batch_size": 2000, "accumulate": 700}, out=Path("x")),
         r"^--batch-size is 2000, and a batch of 1079 images is too small for 700 parts \(--accumulate\), each of"),
        (lambda: run(begun, device="tpu", out=Path("x")), "^--device is 'tpu'; allowed: auto, cpu, cuda, cuda:N"),
        (lambda: run_training(Console(quiet=True), Request(begun, "npz:four.npz", weights=weights, out=Path("x"))),
         "has 10 classes, and npz:four.npz has 4; give --transfer"),
        (lambda: evaluated(begun, weights, "npz:four.npz", None, "test", 8, "cpu", 1, None), "is for 10 classes"),
        (lambda: evaluated("./other.yml", weights, "digits", None, "test", 8, "cpu", 1, None), "another architecture"),
        (lambda: evaluated(begun, weights, "digits", None, "tset", 8, "cpu", 1, None), "split is 'tset'"),
    ]  # fmt: skip
    for make, sentence in mistakes:
        with pytest.raises(NasError, match=sentence):
            make()
    assert weights.read_bytes() == content
    assert not Path("x/checkpoint.safetensors").exists()


def test_other_images_than_it_was_begun_with_are_refused(baseline):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)

    def saved(classes):
        labels = np.arange(40) % classes
        np.savez("own.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)

    saved(4)
    request = Request(
        baseline, "npz:own.npz", recipe="cifar", threads=1, fields={"epochs": 1, "batch_size": 8}
    )
    run_training(Console(quiet=True), request)
    saved(5)
    with pytest.raises(
        NasError, match=r"npz:own.npz has other images or classes than when the training was begun; restore"
    ):
        run_training(Console(quiet=True), replace(request, resume=True))


def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_stays(begun, monkeypatch):
    path = Path("trained/tiny/checkpoint.safetensors")
    content = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    net = nas.build(tiny())
    state = State(net, torch.optim.SGD(net.parameters(), 0.1))
    checkpoints = Checkpoints(path.parent, net.architecture.key)
    checkpoints._steps = 1
    with pytest.raises(
        NasError, match=r"checkpoint.safetensors: cannot be written .No space left on device.; free"
    ):
        checkpoints.save(state)
    assert path.read_bytes() == content
    assert [p.name for p in path.parent.glob(".*.partial")] == []
