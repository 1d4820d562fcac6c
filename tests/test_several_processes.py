"""A training divided among processes is the training of one: batch norm, dropout, stochastic depth and all, for a
network and for a supernet, and across a resume with another number of processes."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

import nas
from nas.batches import batch_indices
from nas.checkpoints import Checkpoints
from nas.data import load_data
from nas.masks import Dropout
from nas.objectives import CLASSIFYING, Step
from nas.processes import ALONE, Processes
from nas.shares import share
from nas.space import SearchSpace
from nas.supernet.module import Supernet
from nas.supernet.sampling import sampler
from nas.supernet.sandwich import Sandwich
from nas.synced import batch_norm, plain, synced
from nas.training import TrainingConfig, Watch, seeded, train

TINY = {
    "name": "tiny", "resolution": 8, "activation": "swish", "head": {"channels": 16, "classes": 10},
    "stem": {"channels": 8, "stride": 2, "in_chans": 1},
    "stages": [
        {"op": "mbconv", "kernel": [3, 5], "expand": [3, 4], "se": [0.25, 0], "skip": ["identity", "none"],
         "channels": 8, "layers": [2, 1]},
        {"op": "dsconv", "kernel": 3, "channels": [16, 8], "stride": 2},
    ],
}  # fmt: skip
CONFIG = TrainingConfig(
    epochs=2, batch_size=67, lr=0.02, ema=0.9, dropout=0.3, drop_path=0.5, clip_norm=1.0, norm_momentum=0.3, seed=5,
    accumulate=2,
)  # fmt: skip
STOP = 3
"""Steps before an interruption; an epoch has five, of an odd number of images."""


class Interrupted(Exception):
    pass


class Stop(Watch):
    """Takes a checkpoint after `STOP` steps and ends the training, where there is none yet."""

    def __init__(self, folder, processes):
        self.checkpoints = Checkpoints(folder, "key", processes=processes)
        self.resumes = self.checkpoints.exists

    def begin(self, state):
        self.checkpoints.begin(state)

    def step(self, state, steps, lr):
        self.checkpoints.step(state, steps, lr)
        if not self.resumes and state.step == STOP:
            if self.checkpoints._processes.first:
                self.checkpoints.save(state)
            raise Interrupted

    def epoch(self, state):
        """Nothing is taken."""

    def end(self, state):
        """Nothing is taken."""


def networks():
    space = SearchSpace.from_data(TINY)
    with seeded(0):
        return (
            space,
            nas.build(space.decode({label: v[0] for label, v in space.choices.items()})),
            Supernet(space),
        )


def everything(processes, folder, watched=True):
    """State dict by what was trained; interrupted after some steps and not resumed where `watched`."""
    torch.set_num_threads(1)
    data = load_data("digits").with_part(0.3)
    space, net, supernet = networks()
    sandwich = Sandwich(sampler("uniform", space), between=1)
    found = {}
    without = CONFIG.model_copy(update={"ema": 0.0, "accumulate": 1})
    for name, one, config, objective in (
        ("network", net, CONFIG, CLASSIFYING),
        ("supernet", supernet, without, sandwich),
    ):
        watch = Stop(folder / name, processes) if watched else None
        try:
            train(one, data, config, watch=watch, processes=processes, objective=objective)
        except Interrupted:
            continue
        found[name] = one.state_dict()
    return found


def of_two(rank, folder, meeting, watched):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    if not watched:
        Processes.agree = lambda *_: None  # without it, too, both have the same
    found = everything(Processes(rank, 2, rank), Path(folder), watched)
    torch.save(found, Path(folder) / f"found{rank}.pt")
    torch.distributed.destroy_process_group()


def two(folder, meeting, watched=False):
    folder.mkdir(exist_ok=True)
    torch.multiprocessing.spawn(of_two, (str(folder), str(meeting), watched), nprocs=2)
    first, second = (torch.load(folder / f"found{rank}.pt", weights_only=True) for rank in range(2))
    assert first.keys() == second.keys()
    for name, tensors in first.items():
        for key, tensor in tensors.items():
            assert torch.equal(tensor, second[name][key]), f"{name} {key} differs between the processes"
    return first


def check_equal(found, wanted):
    assert found.keys() == wanted.keys()
    for name, tensors in wanted.items():
        assert found[name].keys() == tensors.keys()
        for key, tensor in tensors.items():
            torch.testing.assert_close(found[name][key], tensor, atol=1e-5, rtol=1e-5, msg=f"{name} {key}")


def test_two_processes_are_one_and_a_resume_may_change_their_number(tmp_path):
    whole = everything(ALONE, tmp_path, watched=False)
    assert {"network", "supernet"} == whole.keys()
    check_equal(two(tmp_path / "both", tmp_path / "a"), whole)
    assert two(tmp_path / "more", tmp_path / "b", watched=True) == {}  # interrupted
    assert everything(ALONE, tmp_path / "fewer") == {}
    check_equal(everything(ALONE, tmp_path / "more"), whole)
    check_equal(two(tmp_path / "fewer", tmp_path / "c", watched=True), whole)


class Lone(Processes):
    """One of two processes that never meets the other."""

    def total(self, value):
        raise AssertionError("the other process is waited for")


def test_what_a_step_needs_before_its_first_pass_is_known_without_the_others():
    """Asking them waits for the device, which would never run behind the host."""
    data = load_data("digits").with_part(0.3)
    split = data.split("train")
    for number, indices in enumerate(batch_indices(len(split), CONFIG.batch_size, torch.Generator())):
        images = split.batch_images(CONFIG.batch_size, number)
        assert images == len(indices)
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        weights = [
            weight
            for rank in range(2)
            for _, weight in Step(CONFIG, scaler, False, Lone(rank, 2), (0, number), images).parts()
        ]
        assert len(weights) == 4
        assert sum(weights) == pytest.approx(2)


def test_buffers_that_are_equal_are_not_sent_before_every_pass():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        net = Lone(0, 2).wrapped(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), torch.device("cpu"))
        assert isinstance(net, nn.parallel.DistributedDataParallel)
        assert not net.will_sync_module_buffers()
    finally:
        torch.distributed.destroy_process_group()


def test_a_batch_taken_in_parts_is_masked_as_a_whole():
    config = CONFIG.model_copy(update={"norm_momentum": 1e-9})
    grads = []
    for accumulate in (1, 3):
        _, net, _ = networks()
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), Dropout(0.5), nn.Linear(32, 10))
        with seeded(1):
            for parameter in net.parameters():
                nn.init.normal_(parameter)
        x, y = next(iter(load_data("digits").batches("train", 64, train=False)))
        step = Step(
            config.model_copy(update={"accumulate": accumulate}),
            torch.amp.GradScaler("cpu", enabled=False), False, ALONE, (1, 2), 64,
        )  # fmt: skip
        with seeded(9):
            CLASSIFYING.backward(net.train(), x, y, step)
        grads.append([parameter.grad for parameter in net.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_the_norm_is_torchs_and_leaves_the_network_as_it_was():
    torch.manual_seed(0)
    x, net = torch.randn(6, 3, 4, 4), nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    before = dict(net.named_parameters()) | dict(net.named_buffers())
    synced(net, Processes(0, 2))
    assert type(net[1]).__name__ == "SyncedNorm"
    assert all(tensor is before[name] for name, tensor in (*net.named_parameters(), *net.named_buffers()))
    plain(net)
    assert type(net[1]) is nn.BatchNorm2d
    assert all(tensor is before[name] for name, tensor in (*net.named_parameters(), *net.named_buffers()))

    class Echo(Processes):
        """Two processes with the same images."""

        def total(self, value):
            self.asked.append(value.shape)
            return 2 * value

        asked = []  # noqa: RUF012

    mean, var = torch.zeros(3), torch.ones(3)
    ours = batch_norm(x, mean, var, torch.ones(3), torch.zeros(3), 0.1, 1e-3, Echo(0, 2))
    norm = nn.BatchNorm2d(3, eps=1e-3)
    torch.testing.assert_close(ours, norm(torch.cat([x, x]))[:6])
    torch.testing.assert_close(mean, norm.running_mean)
    torch.testing.assert_close(var, norm.running_var)
    assert Echo.asked == [(4,), (3,)], "each reduction is waited for"


@pytest.mark.parametrize("count", [2, 3])
def test_shares_are_of_every_image_once(count):
    whole = torch.arange(67)
    assert torch.equal(torch.cat([whole[share(67, (rank, count))] for rank in range(count)]), whole)
