"""`nas supernet`: what it writes, resumed after a kill as if nothing had been, in two processes, and mistakes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nas.errors import NasError
from nas.space import SearchSpace
from nas.supernet.folder import WEIGHTS, load_supernet
from nas.weights import read_tensors, write_tensors

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def log(folder):
    lines = [json.loads(text) for text in Path(folder, "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if "seconds" not in name} for line in lines]


def equal(one, two):
    one, two = (read_tensors(Path(folder, WEIGHTS))[0] for folder in (one, two))
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_what_is_written_is_what_was_trained(run, small):
    run(sandwich=(("sampler", "attentive"), ("transform", True), ("fixed", True)))
    found = load_supernet(Path("supernets/small"))
    assert found.settings.recipe.fixed
    assert found.settings.recipe.target == 60_000
    assert found.settings.config["weight_decay"] == 1e-4
    assert found.supernet.transform
    assert not found.supernet.training
    assert found.supernet.space.sha256 == small.with_data(2, 1).sha256
    epochs = [line for line in log("supernets/small") if "epoch" in line]
    assert len(epochs) == 2
    assert {"epoch_smallest", "epoch_largest", "epoch_accuracy"} <= epochs[-1].keys()
    assert list(Path("supernets/small/tensorboard").iterdir())


def test_a_supernet_that_is_killed_goes_on_from_its_last_step(run, space_file, bright):
    words = [sys.executable, "-m", "nas.cli", "supernet", space_file, "--data", bright, "--epochs", "6",
             "--batch-size", "16", "--threads", "1", "--device", "cpu", "--lr", "0.05"]  # fmt: skip
    process = subprocess.Popen([*words, "--out", "killed"], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    checkpoint, patience = Path("killed/checkpoint.safetensors"), time.monotonic() + 120
    while not checkpoint.exists() or json.loads(read_tensors(checkpoint)[1]["epoch"]) < 1:
        assert process.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    steps = int(read_tensors(checkpoint)[1]["steps"])
    subprocess.run([*words, "--out", "killed", "--resume"], env=ENVIRONMENT, check=True, capture_output=True)
    run(epochs=6, out=Path("whole"))
    assert 7 <= steps < 42
    assert log("killed") == log("whole")
    assert equal("killed", "whole")


def test_checkpoints_are_as_close_as_they_cost_little(run, monkeypatch):
    from nas.checkpoints import Checkpoints

    written, save = [], Checkpoints.save
    monkeypatch.setattr(
        Checkpoints, "save", lambda self, state: (written.append(state.step), save(self, state))[1]
    )
    monkeypatch.setattr("nas.checkpoints.SHARE", 0)
    run(epochs=1)
    assert written == [
        *range(1, 7),
        0,
        0,
    ]  # of 7 steps all but the last, which the epoch's end is; the end of all


def test_two_processes_train_as_one(run, space_file, bright):
    """To float32's rounding, which 14 steps enlarge; tests/test_several_processes.py looks closer."""
    torchrun = Path(sys.executable).with_name("torchrun")
    words = [torchrun, "--standalone", "--nproc-per-node", "2", "-m", "nas.cli", "supernet", space_file, "--data",
             bright, "--epochs", "2", "--batch-size", "16", "--lr", "0.05", "--device", "cpu", "--out",
             "two"]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, timeout=240)
    assert done.returncode == 0, done.stderr
    run(out=Path("one"))
    assert [line["step"] for line in log("two")] == [line["step"] for line in log("one")]
    assert log("two")[-1]["epoch_loss"] == pytest.approx(log("one")[-1]["epoch_loss"], rel=0.01)
    assert load_supernet(Path("two")).settings.config == load_supernet(Path("one")).settings.config


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"sandwich": (("target", "2M"),)}, r"^--target is what an attentive sampler is attentive to; add --sampler"),
        ({"sandwich": (("sampler", "best"),)}, r"^sampler is 'best'; allowed: uniform, fair, attentive"),
        ({"sandwich": (("sampler", "attentive"), ("target", "no"))}, r"^nas supernet: target is 'no'; give a number"),
        ({"sandwich": (("between", -1),)}, r"^nas supernet: between is -1"),
        ({"sandwich": (("sampler", "attentive"), ("target", 1))}, r"^--target is 1 multiply-adds, and networks of "
         r"small have \d.* to \d.*; give one between"),
        ({"epochs": 0}, r"^recipe cifar: epochs is 0"),
        ({"batch_size": 0}, r"^recipe cifar: batch_size is 0; [^(]*$"),
        ({"batch_size": -3}, r"^recipe cifar: batch_size is -3; [^(]*$"),
        ({"resume": True}, r"^supernets/small: holds no training to resume; leave --resume out"),
        ({"data": "npz:gone.npz"}, r"gone\.npz"),
        ({"space": "cifarr"}, r"cifarr"),
        ({"device": "cuda:99"}, r"cuda"),
        ({"fields": (("accumulate", 8),)}, r"^--batch-size is 16, and a batch of \d+ images is too small for 8 parts"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_is_written(run, given, sentence):
    with pytest.raises(NasError, match=sentence):
        run(**given)
    assert not Path("supernets/small/supernet.json").exists()


def test_a_space_it_cannot_express(run):
    from .conftest import SMALL

    shuffle = SMALL | {"stages": [{"op": "shuffle", "kernel": [3, 5], "channels": 16, "stride": 1}]}
    Path("other.yml").write_text(json.dumps(shuffle))
    with pytest.raises(
        NasError, match=r"^small: stage1\.op is 'shuffle', of which a supernet cannot share weights"
    ):
        run(space="./other.yml")


def test_what_is_there_is_not_replaced_and_another_is_not_resumed(run, bright):
    run()
    with pytest.raises(
        NasError, match=r"^supernets/small: holds a training that has ended, with supernet.safe"
    ):
        run()
    for given, sentence in (
        ({"lr": 0.2}, r"^supernets/small: lr is 0\.2 in the command, but the training was begun with 0\.05"),
        ({"sandwich": (("target", "no"),)}, r"^nas supernet: target is 'no'; give a number"),
        ({"sandwich": (("between", 5),)}, r"between is 5 in the command, but the training was begun with 4"),
        ({"space": "digits"}, r"^supernets/small: was begun with another space than digits"),
    ):
        with pytest.raises(NasError, match=sentence):
            run(resume=True, out=Path("supernets/small"), **given)
    before = Path("supernets/small", WEIGHTS).read_bytes()
    run(resume=True)
    assert Path("supernets/small", WEIGHTS).read_bytes() == before


def test_folders_that_hold_no_supernet(run, small):
    with pytest.raises(
        NasError, match=r"^gone: holds no supernet \(no supernet\.json in it\); train one with nas"
    ):
        load_supernet(Path("gone"))
    run()
    folder = Path("supernets/small")
    path, settings = folder / WEIGHTS, folder / "supernet.json"
    whole = path.read_bytes()
    tensors, metadata = read_tensors(path)
    for changed, sentence in (
        (
            metadata | {"format": "b0nas supernet 9"},
            r"its format is 'b0nas supernet 9' instead of 'b0nas supernet 1'",
        ),
        (metadata | {"space": "abc"}, r"its space is 'abc' instead of"),
    ):
        write_tensors(path, tensors, changed)
        with pytest.raises(NasError, match=sentence):
            load_supernet(folder)
    name = next(iter(tensors))
    write_tensors(path, {k: v for k, v in tensors.items() if k != name}, metadata)
    with pytest.raises(NasError, match=f"{name} has shape none instead of"):
        load_supernet(folder)
    for changed in (tensors[name].to(torch.int64), torch.full_like(tensors[name], torch.nan)):
        write_tensors(path, {**tensors, name: changed}, metadata)
        with pytest.raises(NasError, match=f"{name} has values that no training leaves; restore the file"):
            load_supernet(folder)
    path.write_bytes(b"no tensors")
    with pytest.raises(NasError, match="is no readable safetensors file"):
        load_supernet(folder)
    path.unlink()
    with pytest.raises(
        NasError, match=r"^supernets/small: its supernet is not trained to the end; go on with nas"
    ):
        load_supernet(folder)
    written = json.loads(settings.read_text())
    settings.write_text(json.dumps(written | {"format": "b0nas supernet 0"}))
    with pytest.raises(
        NasError, match=r"its format is 'b0nas supernet 0' instead of 'b0nas supernet 1'; train"
    ):
        load_supernet(folder)
    settings.write_text(json.dumps(written | {"surprise": 1}))
    with pytest.raises(NasError, match="unknown key 'surprise'"):
        load_supernet(folder)
    for text, sentence in (
        ("{", r"supernet\.json"),
        ("[" * 100_000, r"supernet\.json"),
        ("[]", "its format is None"),
    ):
        settings.write_text(text)
        with pytest.raises(NasError, match=sentence):
            load_supernet(folder)
    large = json.loads(json.dumps(written))
    large["space"]["stages"][1]["channels"] = 60_000  # gigabytes
    settings.write_text(json.dumps(large))
    path.write_bytes(whole)
    with pytest.raises(NasError, match=r"its space is"):
        load_supernet(folder)
    fitted = SearchSpace.from_data(large["space"]).with_data(2, 1)
    write_tensors(path, tensors, metadata | {"space": fitted.sha256})
    with pytest.raises(NasError, match=r"has shape \(.*\) instead of \(.*60000"):
        load_supernet(folder)
