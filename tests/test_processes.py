"""Several processes: what ends one ends all, told in one sentence and without a traceback."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from nas.checkpoints import Checkpoints
from nas.errors import NasError
from nas.processes import Processes, torchrun
from nas.ranks import leave_to_first

ROOT = Path(__file__).parents[1]
TINY = """name: tiny
resolution: 8
stem: {channels: 8, in_chans: 1}
stages: [{op: dsconv, kernel: 3, channels: 8, stride: 2}]
head: {channels: 16, classes: 10}
"""
FULL = """import sys
from nas import checkpoints, cli
from nas.errors import NasError

def full(*_):
    raise NasError("the disk is full")

checkpoints.write_tensors = full
cli.main()
"""


class Ended(NamedTuple):
    codes: tuple[int, int]
    errors: tuple[str, str]


APART = """import os
from pathlib import Path
from nas import cli

os.chdir(Path(__file__).parent / os.environ["RANK"])
cli.main()
"""


@contextlib.contextmanager
def two(*words):
    """Two processes as torchrun starts them, whose store is here as torchrun's is with it."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    given = {"PYTHONPATH": str(ROOT), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
             "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}  # fmt: skip
    started = []
    for rank in ("0", "1"):
        environment = {**os.environ, **given, "RANK": rank, "LOCAL_RANK": rank}
        with Path(f"error{rank}").open("w") as error:
            process = subprocess.Popen(
                [sys.executable, *words], stdout=subprocess.DEVNULL, stderr=error, env=environment
            )
        started.append(process)
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def ended(started) -> Ended:
    codes = tuple(process.wait(timeout=120) for process in started)
    return Ended(codes, tuple(Path(f"error{rank}").read_text() for rank in (0, 1)))  # type: ignore[arg-type]


@pytest.fixture
def command(in_folder):
    Path("tiny.yml").write_text(TINY)
    Path("full.py").write_text(FULL)
    return ["train", "./tiny.yml", "--data", "digits", "--recipe", "cifar", "--epochs", "500", "--out", "x",
            "--device", "cpu", "--threads", "1", "--checkpoint-seconds", "0"]  # fmt: skip


def told_by_the_first(found: Ended, sentence: str) -> bool:
    assert found.codes == (2, 2)
    assert found.errors[0].startswith(f"nas: {sentence}")
    assert found.errors[0].count("\n") == 1
    assert "nas: " not in found.errors[1]
    assert "Traceback" not in found.errors[1]
    return True


@pytest.mark.slow
def test_what_the_first_process_alone_finds_ends_both(command):
    Path("x").mkdir()
    Path("x/tiny.safetensors").touch()
    with two("-m", "nas.cli", *command) as started:
        assert told_by_the_first(
            ended(started), "x/tiny.safetensors exists, and the training would replace it"
        )


@pytest.mark.slow
def test_what_both_find_is_told_once(command):
    with two("-m", "nas.cli", *command, "--lr", "-1") as started:
        assert told_by_the_first(ended(started), "recipe cifar: lr is -1")


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_written_ends_both(command):
    with two("full.py", *command) as started:
        assert told_by_the_first(ended(started), "the disk is full")


@pytest.mark.slow
def test_where_the_first_process_was_killed_the_other_ends(command):
    with two("-m", "nas.cli", *command) as started:
        while not Path("x/checkpoint.safetensors").exists():
            assert started[0].poll() is None
            time.sleep(0.05)
        started[0].send_signal(signal.SIGKILL)
        found = ended(started)
    assert found.codes == (-signal.SIGKILL, 2)
    assert "nas: process 1 of 2 lost the others, and ends (" in found.errors[1]
    assert "go on from the last checkpoint with --resume" in found.errors[1]
    assert "Traceback" not in found.errors[1]


@pytest.mark.slow
def test_a_resume_needs_one_folder_for_all_machines(command):
    Path("apart.py").write_text(APART)
    for rank in "01":
        Path(rank).mkdir()
        Path(rank, "tiny.yml").write_text(TINY)
    Path("0/x").mkdir()
    Path("0/x/training.json").write_text("{}")
    with two("apart.py", *command, "--resume") as started:
        sentence = (
            "x: process 1 of 2 does not find the training there that the first one does; on several machines"
        )
        assert told_by_the_first(ended(started), sentence)


def test_checkpoints_of_another_step_than_the_first_processs_are_told(monkeypatch, tmp_path):
    steps = [20, 20]
    monkeypatch.setattr(
        "torch.distributed.all_gather_object", lambda each, own: each.__setitem__(slice(2), steps)
    )
    for rank in range(2):
        Processes(rank, 2).check_shared(tmp_path, 20)
    steps[1] = 10
    for rank in range(2):
        watch = Checkpoints(tmp_path, "key", processes=Processes(rank, 2))
        with pytest.raises(
            NasError, match="process 1 of 2 does not find the training there that the first one does"
        ):
            watch.begin(None)  # type: ignore[arg-type]


@pytest.fixture
def first_of_two(monkeypatch):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)


def test_one_gpu_is_not_for_several_processes(first_of_two):
    sentence = (
        r"^--device is cuda:0, which 2 processes cannot share; give --device cuda, of which each takes one"
    )
    with pytest.raises(NasError, match=sentence), torchrun("cuda:0"):
        pytest.fail("they share it")


def test_what_torch_said_of_a_loss_is_passed_on(first_of_two, monkeypatch):
    monkeypatch.setattr("torch.distributed.init_process_group", lambda _: None)
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: None)
    monkeypatch.setattr("nas.processes._tells", lambda _: True)
    said = "NCCL error in: NCCLUtils.cpp:94, invalid usage"
    sentence = rf"^process 0 of 2 lost the others, and ends \({said}\); mend what that says, or"
    with pytest.raises(NasError, match=sentence), torchrun("cpu"):
        raise torch.distributed.DistBackendError(f"{said}\nLast error:\nDuplicate GPU detected")


def test_a_mistake_of_the_command_line_is_the_first_processs(monkeypatch):
    monkeypatch.setattr("nas.ranks.PATIENCE", 0.0)
    monkeypatch.setenv("LOCAL_RANK", "0")
    leave_to_first()
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SystemExit) as caught:
        leave_to_first()
    assert caught.value.code == 2
