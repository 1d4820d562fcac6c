"""Data-parallel training: what one process knows of the others, which torchrun starts.

    torchrun --nproc-per-node 2 --no-python nas train BASELINE --data ...

Every process has the whole network and a part of every batch; gradients are averaged over all of
them (torch's DistributedDataParallel), by NCCL on cuda and by Gloo elsewhere. Batch norm sees the
images of all processes (`nas.synced`), so that all have the same running statistics.

>>> ALONE.part, ALONE.first
((0, 1), True)
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from nas.errors import NasError
from nas.ranks import leave_to_first, silently
from nas.sources import first_line


@dataclass(frozen=True)
class Processes:
    """One of `count` processes.

    Attributes:
        rank: its number, from 0.
        count: how many there are.
        local: its number on this machine, from 0, which is that of its CUDA device.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    @property
    def part(self) -> tuple[int, int]:
        """(rank, count)."""
        return self.rank, self.count

    def total(self, value: Tensor) -> Tensor:
        """The sum of every process's `value`."""
        if self.count > 1:
            value = value.clone()
            torch.distributed.all_reduce(value)
        return value

    def wrapped(self, net: nn.Module, device: torch.device) -> nn.Module:
        """`net`, whose gradients are averaged over all processes after each backward pass; its norms are `synced`."""
        if self.count == 1:
            return net
        devices = [device] if device.type == "cuda" else None
        found = nn.parallel.DistributedDataParallel(net, device_ids=devices)
        found.broadcast_buffers = False  # each step, as `synced` has them equal; its argument is deprecated
        return found

    def average_gradients(self, net: nn.Module) -> None:
        """Gives every process the mean of all gradients, of a network that is not `wrapped`."""
        if self.count == 1:
            return
        found = [p.grad for p in net.parameters() if p.grad is not None]
        flat = self.total(torch.cat([gradient.flatten() for gradient in found])) / self.count
        for gradient, mean in zip(found, flat.split([g.numel() for g in found]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def apart(self, net: nn.Module) -> contextlib.AbstractContextManager[object]:
        """Inside, gradients are added up in this process alone."""
        return (
            net.no_sync()
            if isinstance(net, nn.parallel.DistributedDataParallel)
            else contextlib.nullcontext()
        )

    def agree(self, net: nn.Module) -> None:
        """Gives all the first process's running statistics: theirs are equal, but for what devices of different kinds
        round differently."""
        if self.count > 1:
            for buffer in net.buffers():
                torch.distributed.broadcast(buffer, 0)

    def check_shared(self, folder: Path, found: int) -> None:
        """Raises NasError, in all, where not every process finds the same in a folder."""
        if self.count == 1:
            return
        each = [found] * self.count
        torch.distributed.all_gather_object(each, found)
        other = next((rank for rank, one in enumerate(each) if one != each[0]), None)
        if other is not None:
            raise NasError(
                f"{folder}: process {other} of {self.count} does not find the training there that the first one does; "
                "on several machines give an --out that all of them share"
            )

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            torch.distributed.barrier()


ALONE = Processes()


@contextlib.contextmanager
def alike() -> Iterator[None]:
    """Inside, every process of a machine finds the same mistake, which the first of them tells.

    Raises:
        SystemExit: instead of a NasError, in the others.
    """
    try:
        yield
    except NasError:
        leave_to_first()
        raise


@contextlib.contextmanager
def torchrun(device: str) -> Iterator[Processes]:
    """The processes that torchrun started, this one among them; ALONE without torchrun.

    What ends one of them ends all: one tells it, the first one if it knows, the others end with exit code 2.

    Args:
        device: 'cpu' or 'cuda', which decides how they talk.

    Raises:
        NasError: where this machine has fewer CUDA devices than processes, or one is chosen for all, or another
            process is gone.
        SystemExit: instead, where another process tells.
    """
    environment = os.environ
    count = int(environment.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    if "RANK" not in environment:
        raise NasError(
            f"WORLD_SIZE is {count} and RANK is not set; start this by torchrun, or unset WORLD_SIZE"
        )
    found = Processes(int(environment["RANK"]), count, int(environment.get("LOCAL_RANK", "0")))
    cuda, here = device.startswith("cuda"), int(environment.get("LOCAL_WORLD_SIZE", found.local + 1))
    with alike():
        if cuda and device != "cuda":
            raise NasError(
                f"--device is {device}, which {count} processes cannot share; give --device cuda, of which each takes "
                "one, or start this without torchrun"
            )
        if cuda and here > torch.cuda.device_count():
            raise NasError(
                f"torchrun started {here} processes on this machine, which has {torch.cuda.device_count()} CUDA "
                "devices; give --nproc-per-node as many, or --device cpu"
            )
    if cuda:
        torch.cuda.set_device(found.local)
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield found
    except (NasError, RuntimeError) as error:
        known = isinstance(error, NasError)
        if not known and not _is_loss(error):
            raise
        if not _tells(found):
            silently(after=1)
        if known:
            raise
        raise NasError(
            f"process {found.rank} of {count} lost the others, and ends ({first_line(error)}); mend what that says, or "
            "where one of them was ended, go on from the last checkpoint with --resume"
        ) from None
    finally:
        torch.distributed.destroy_process_group()


LOSSES = ("gloo", "nccl", "connection closed", "connection reset", "broken pipe")
"""In what torch raises where another process has ended."""
PATIENCE = 3.0
"""Seconds in which the first process may tell what ends all, before another does."""


def _is_loss(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.distributed.DistError) or any(words in text for words in LOSSES)


def _tells(found: Processes) -> bool:
    """Whether this process is the one that tells what ends all."""
    ended, since = "b0nas/ended", time.monotonic()
    try:
        store = torch.distributed.distributed_c10d._get_default_store()
        while not found.first and time.monotonic() - since < PATIENCE and not store.check([ended]):
            time.sleep(0.05)
        return store.add(ended, 1) == 1
    except RuntimeError:  # the store has ended, too
        return True
