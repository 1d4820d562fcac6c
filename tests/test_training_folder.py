"""A training's folder: one process at a time, nothing lost, every image looked at before the first step."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from nas import NasError, cli
from nas.baseline import load
from nas.beginnings import chosen
from nas.checkpoints import has_checkpoint
from nas.full_training import Request, run_training
from nas.training_commands import train
from nas.training_lock import LOCK, PROCESS, locked

ROOT = Path(__file__).parents[1]
TINY = """name: tiny
resolution: 8
stem: {channels: 8}
stages: [{op: dsconv, kernel: 3, channels: 8, stride: 2}]
head: {channels: 16, classes: 2}
"""
HOLDER = """import time
from pathlib import Path
from nas.training_lock import locked
with locked(Path("trained/tiny")):
    print("locked", flush=True)
    time.sleep(99)
"""


@pytest.fixture
def request_(in_folder) -> Request:
    """Of tiny.yml on 24 images in photos/CLASS, on one thread."""
    Path("tiny.yml").write_text(TINY)
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        Path("photos", name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(Path("photos", name, f"{number:02}.png"))
    fields = {"epochs": 1, "batch_size": 4}
    return Request("./tiny.yml", "folder:photos", recipe="cifar", fields=fields, threads=1, workers=0)


def refused(request: Request, sentence: str) -> bool:
    with pytest.raises(NasError, match=sentence):
        run_training(Console(quiet=True), request)
    return True


# One process at a time


def test_a_folder_in_which_another_process_trains_is_refused(request_):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()
        assert refused(
            request_, f"^trained/tiny: process {other.pid} is training in it; wait for it or end it, or give"
        )
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    run_training(Console(quiet=True), request_)  # its lock ended with it
    assert not Path("trained/tiny", PROCESS).exists()
    assert Path("trained/tiny", LOCK).exists()
    with locked(Path("trained/tiny")):
        assert refused(replace(request_, resume=True), "is training in it")


def test_a_process_of_another_machine_is_named(tmp_path, monkeypatch):
    with locked(tmp_path):
        (tmp_path / PROCESS).write_text("7 elsewhere")
        with pytest.raises(NasError, match="process 7 on elsewhere is training in it"), locked(tmp_path):
            pass
        (tmp_path / PROCESS).unlink()
        monkeypatch.setattr("nas.training_lock.PATIENCE", 0)
        with pytest.raises(NasError, match="another process is training in it"), locked(tmp_path):
            pass


# Images


def test_a_file_that_is_no_image_is_found_before_training_and_may_be_removed(request_):
    """In every split: the sixth image of a class is of one of them, whichever."""
    for number in range(12):
        path = Path(f"photos/dogs/{number:02}.png")
        content = path.read_bytes()
        path.write_bytes(b"no image")
        assert refused(request_, rf"^{path}: not a readable image \(.*\); mend or remove the file$")
        path.write_bytes(content)
    path.unlink()
    run_training(Console(quiet=True), request_)
    assert has_checkpoint(Path("trained/tiny"))


def test_a_training_without_a_checkpoint_is_begun_anew(request_):
    """An image cut short in its pixels, which no header tells: found in the first epoch."""
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save("whole.jpg")
    paths = [Path(f"photos/cats/{number:02}.jpg") for number in range(12)]
    for path in paths:
        path.write_bytes(Path("whole.jpg").read_bytes()[:2000])
    assert refused(request_, r"\.jpg: not a readable image \(.*\); mend or remove the file, and begin again$")
    for path in paths:
        path.unlink()
    assert refused(
        replace(request_, resume=True), "has other images or classes .*; leave --resume out to begin anew"
    )
    run_training(Console(quiet=True), request_)
    ended = "^trained/tiny: holds a training that has ended, with tiny.safetensors; give another --out to train again"
    assert refused(request_, ended)
    Path("trained/tiny/tiny.safetensors").unlink()
    assert refused(request_, "^trained/tiny: holds a training; give --resume to go on with it, or another --")


def test_with_a_checkpoint_it_says_how_to_go_on(request_):
    run_training(Console(quiet=True), request_)
    settings = json.loads(Path("trained/tiny/training.json").read_text())
    settings["config"]["epochs"] = settings["given"]["epochs"] = 2
    Path("trained/tiny/training.json").write_text(json.dumps(settings))
    kept = {path: path.read_bytes() for path in Path("photos/dogs").iterdir()}
    for path, content in kept.items():
        path.write_bytes(content[:-40])
    again = replace(request_, resume=True, fields={}, words=("nas", "train", "x"))
    sentence = "; put a readable image of its class in its place, and go on with: nas train x --resume$"
    assert refused(again, sentence)
    (path := next(iter(kept))).unlink()
    assert refused(again, "has other images or classes than .*; restore them, or begin another training with")
    for path in kept:
        path.write_bytes(next(iter(kept.values())))
    run_training(Console(quiet=True), again)


# Every option


EVERY = {
    "recipe": ("mnasnet", "mnasnet"), "epochs": (7, 7), "batch_size": (96, 96), "accumulate": (3, 3),
    "lr": (0.5, 0.5), "dropout": (0.3, 0.3), "drop_path": (0.4, 0.4), "ema": (0.5, 0.5),
    "augment": ("none", "none"), "trainval": (True, "trainval"), "weights": ("w.safetensors", Path("w.safetensors")),
    "transfer": (True, True), "seed": (9, 9), "out": ("there", Path("there")), "resume": (True, True),
    "checkpoint_seconds": (5, 5.0), "data_dir": ("kept", "kept"), "device": ("cpu", "cpu"), "threads": (2, 2),
    "workers": (3, 3), "init": ("supernet:there", "supernet:there"),
}  # fmt: skip


def asked(monkeypatch, *words) -> Request:
    """What a command line makes of `nas train`; nothing is trained."""
    found = []
    monkeypatch.setattr("nas.full_training.run_training", lambda _, request: found.append(request))
    monkeypatch.setattr(sys, "argv", ["nas", "train", "./tiny.yml", "--data", "digits", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    return found[0]


def test_every_option_of_the_command_reaches_the_training(in_folder, monkeypatch):
    assert {*EVERY, "baseline", "data"} == set(train.__annotations__) - {"return"}
    Path("tiny.yml").write_text(TINY)
    for name, (word, value) in EVERY.items():
        option = f"--{name.replace('_', '-')}"
        request = asked(monkeypatch, option, *([] if word is True else [word]))
        name = "split" if name == "trainval" else name
        config = chosen(request, load("./tiny.yml"), 1079)[1] if name in request.fields else None
        assert getattr(config or request, name) == value


@pytest.mark.parametrize("name", ["efficientnet", "cifar"])
def test_a_given_dropout_is_not_the_baselines(in_folder, monkeypatch, name):
    Path("tiny.yml").write_text(TINY + "dropout: 0.4\n")
    baseline = load("./tiny.yml")
    own = chosen(asked(monkeypatch, "--recipe", name), baseline, 1079)[1].dropout
    assert own == (0.4 if name == "efficientnet" else 0)
    assert chosen(asked(monkeypatch, "--recipe", name, "--dropout", 0.3), baseline, 1079)[1].dropout == 0.3
    for option in ("dropout", "drop_path"):
        request = asked(monkeypatch, "--recipe", name, f"--{option.replace('_', '-')}", 1)
        with pytest.raises(NasError, match=f"^recipe {name}: {option} is 1.0; give a number less than 1"):
            chosen(request, baseline, 1079)
