"""`nas supernet`, a thin function as those of `nas.cli`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from nas.terminal import console
from nas.training_commands import DataDir, Device, Threads, Workers


def supernet(
    space: Annotated[str, typer.Argument(help="A search space: a catalogue name, or a path.")],
    data: Annotated[str, typer.Option(help="digits, cifar10, folder:PATH, npz:PATH ...")],
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.", min=1)] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images a step; the learning rate goes with it.")
    ] = None,
    accumulate: Annotated[int | None, typer.Option(help="Parts of a step that memory holds at once.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate, instead of the recipe's.")] = None,
    between: Annotated[
        int | None, typer.Option(help="Networks of a step beside the smallest and the largest.", min=0)
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(help="How those are drawn: uniform, fair to every value, or attentive to the target."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Multiply-adds of an attentive sampler (by default the space's).")
    ] = None,
    transform: Annotated[
        bool, typer.Option("--transform", help="Learn matrices from larger to smaller kernels.")
    ] = False,
    distill: Annotated[
        bool,
        typer.Option("--distill", help="All but the largest learn what the largest says, not the labels."),
    ] = False,
    fixed_extremes: Annotated[
        bool,
        typer.Option(
            "--fixed-extremes", help="The space's smallest and largest in every step, of no other ops."
        ),
    ] = False,
    drop_path: Annotated[float | None, typer.Option(help="Stochastic depth, of the largest.")] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of the averaged weights; 0 for none.")] = None,
    augment: Annotated[str | None, typer.Option(help="none, basic or autoaugment.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order, augmentation and networks.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the supernet (by default supernets/SPACE).")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's checkpoint.")] = False,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    workers: Workers = None,
) -> None:
    """Trains a space's supernet.

    It is one network whose parts are every network of SPACE, for searches with shared weights.
    """
    from nas.supernet_job import Request, run_supernet

    fields = {"accumulate": accumulate, "drop_path": drop_path, "ema": ema, "augment": augment, "seed": seed}
    sandwich = {
        "between": between, "sampler": sampler, "target": target,
        "transform": transform or None, "distill": distill or None, "fixed": fixed_extremes or None,
    }  # fmt: skip
    request = Request(
        space, data, data_dir, epochs, batch_size, lr,
        tuple((name, value) for name, value in fields.items() if value is not None),
        tuple((name, value) for name, value in sandwich.items() if value is not None),
        out, resume, device, threads, workers, ("nas", *sys.argv[1:]),
    )  # fmt: skip
    run_supernet(console(), request)
