"""`nas train` and `nas evaluate`, thin functions as those of `nas.cli`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from nas.terminal import Json, console

DataDir = Annotated[
    str | None, typer.Option(help="Where torchvision's data sets are kept (by default ~/.cache/b0nas).")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads (by default torch's own number).", min=1)]
Workers = Annotated[int | None, typer.Option(help="Processes that decode a folder's images.", min=0)]


def train(
    baseline: Annotated[str, typer.Argument(help="A baseline: a catalogue name, or a path.")],
    data: Annotated[str, typer.Option(help="digits, cifar10, folder:PATH, npz:PATH ...")],
    recipe: Annotated[
        str | None, typer.Option(help="efficientnet (default), mnasnet, cifar; with --transfer: transfer.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images a step; the learning rate goes with it.")
    ] = None,
    accumulate: Annotated[int | None, typer.Option(help="Parts of a step that memory holds at once.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate, instead of the recipe's.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Before the classifier.")] = None,
    drop_path: Annotated[float | None, typer.Option(help="Stochastic depth of the last block.")] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of the averaged weights; 0 for none.")] = None,
    augment: Annotated[str | None, typer.Option(help="none, basic or autoaugment.")] = None,
    trainval: Annotated[bool, typer.Option("--trainval", help="Train on the held-out part, too.")] = False,
    weights: Annotated[Path | None, typer.Option(help="Begin from these, a .safetensors file.")] = None,
    init: Annotated[
        str | None, typer.Option(help="Begin from a supernet's weights: supernet:DIR, of nas supernet.")
    ] = None,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="With a new classifier; see --weights.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and augmentation.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the training (by default trained/NAME).")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's checkpoint.")] = False,
    checkpoint_seconds: Annotated[
        float, typer.Option(help="Between two checkpoints within an epoch.", min=0)
    ] = 60.0,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    workers: Workers = None,
) -> None:
    """Trains a baseline in full by a recipe.

    By a published one; goes on where it was interrupted with --resume.
    """
    from nas.full_training import Request, run_training

    fields = {
        "epochs": epochs, "batch_size": batch_size, "accumulate": accumulate, "lr": lr, "dropout": dropout,
        "drop_path": drop_path, "ema": ema, "augment": augment, "split": "trainval" if trainval else None, "seed": seed,
    }  # fmt: skip
    given = {name: value for name, value in fields.items() if value is not None}
    request = Request(
        baseline, data, data_dir, recipe, weights, transfer, given, out, resume, device, threads, workers,
        ("nas", *sys.argv[1:]), checkpoint_seconds, init,
    )  # fmt: skip
    run_training(console(), request)


def evaluate(
    baseline: Annotated[str, typer.Argument(help="A baseline: a catalogue name, or a path.")],
    weights: Annotated[Path, typer.Option(help="A .safetensors file of nas train or nas import.")],
    data: Annotated[str, typer.Option(help="digits, cifar10, folder:PATH, npz:PATH ...")],
    split: Annotated[str, typer.Option(help="test, val, train or trainval.")] = "test",
    batch_size: Annotated[int, typer.Option(help="Images at a time.", min=1)] = 128,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Top-1 and top-5 accuracy of weights.

    On a split of a data set.
    """
    from nas.scoring import evaluated

    found = evaluated(baseline, weights, data, data_dir, split, batch_size, device, threads, workers)
    if as_json:
        print(json.dumps(found))
        return
    print(f"{found['baseline']} on {found['data']}, {found['split']}, {found['images']:,} images: "
          f"top-1 {found['top1']:.4f}, top-5 {found['top5']:.4f}"
          + (f", balanced {found['balanced']:.4f}" if "balanced" in found else ""))  # fmt: skip
    for note in found["notes"]:
        print(note)
