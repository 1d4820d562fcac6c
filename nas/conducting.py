"""What `nas train` and `nas supernet` share: the processes that take part, what is looked at first, and a training that
is watched and whose end is told in a sentence."""

import contextlib
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from torch import nn

from nas.checkpoints import Checkpoints
from nas.data import Data
from nas.decoding import UnreadableImage
from nas.devices import device_of
from nas.errors import NasError
from nas.headers import check_headers
from nas.objectives import CLASSIFYING, Objective
from nas.processes import Processes, alike, torchrun
from nas.recipe import TrainingConfig
from nas.training import Result, TrialFailure, train
from nas.watching import Display, Together


@contextlib.contextmanager
def taking_part(
    console: Console, device: str, threads: int | None
) -> Iterator[tuple[Console, str, Processes]]:
    """(console, device, processes) of this one of the processes that torchrun started, or of the only one: the others
    than the first print nothing.

    Raises:
        NasError: for a device that is not there, or as `nas.processes.torchrun`.
    """
    import torch

    with alike():
        device = device_of(device, "")
    if threads is not None:
        torch.set_num_threads(threads)
    with torchrun(device) as processes:
        if device == "cuda" and processes.count > 1:
            device = f"cuda:{processes.local}"
        yield console if processes.first else Console(quiet=True), device, processes


def look_first(
    console: Console, data: Data, processes: Processes, check: Callable[[], None], write: Callable[[], None]
) -> None:
    """Before a new training: the first process checks that it may begin, all look at the images, the first writes."""
    if processes.first:
        check()
    with console.status("reading the headers of all images"):
        check_headers(data, processes.part)
    processes.wait()
    if processes.first:
        write()


def conducted(
    console: Console, folder: Path, words: tuple[str, ...], checkpoints: Checkpoints, net: nn.Module, data: Data,
    config: TrainingConfig, device: str, processes: Processes, objective: Objective = CLASSIFYING,
) -> Result:  # fmt: skip
    """Trains `net` with checkpoints and a progress bar.

    Args:
        words: the command as typed, to be repeated.

    Raises:
        NasError: where it was interrupted or failed, with how to go on.
    """
    resuming = "--resume" in words
    again = shlex.join(words if resuming else [*words, "--resume"])
    if resuming and not checkpoints.exists:
        console.print("no checkpoint was taken yet, so that it begins anew")
    console.print(f"TensorBoard: tensorboard --logdir {folder}", markup=False)
    try:
        steps = data.split(config.split).batch_count(config.batch_size)
        with Display(console, steps, config.epochs) as display:
            watch = Together(checkpoints, display)
            return train(net, data, config, device, watch=watch, processes=processes, objective=objective)
    except KeyboardInterrupt:
        raise NasError(f"interrupted; go on from the last checkpoint with: {again}") from None
    except UnreadableImage as error:
        mend = f"{error.mend}, and begin again"
        if checkpoints.exists:
            mend = f"put a readable image of its class in its place, and go on with: {again}"
        raise NasError(f"{error.found}; {mend}") from None
    except TrialFailure as error:
        raise NasError(f"{folder}: {error}") from None
    finally:
        checkpoints.log.end()
