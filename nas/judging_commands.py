"""`nas init`, a thin function as those of `nas.cli`."""

from pathlib import Path
from typing import Annotated

import typer

from nas.errors import NasError
from nas.terminal import console


def init(
    data: Annotated[str, typer.Option(help="folder:PATH, npz:PATH, fashion-mnist ...")],
    macs: Annotated[
        str | None,
        typer.Option(help="Target T, such as 10M (by default B0's 400M, in proportion to the pixels)."),
    ] = None,
    hours: Annotated[
        float | None, typer.Option(help="What the search may take; epochs and trials are fitted to it.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of a trial, instead of fitted ones.", min=1)
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(help="Pixels of a side (by default the images' own, up to 224).", min=8, max=1024),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="accuracy or balanced (the default where classes are uneven by 2 or more)."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(help="Trials at a time (by default one a core up to 4, with a GPU one).", min=1, max=64),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder to write (by default the data's name).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files that are there.")] = False,
    seed: Annotated[int, typer.Option(help="Of the split and the search.", min=0, max=2**32 - 1)] = 0,
    data_dir: Annotated[
        str | None, typer.Option(help="Where torchvision's data sets are kept (by default ~/.cache/b0nas).")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Processes that decode a folder's images.", min=0)
    ] = None,
) -> None:
    """From images of your own to a fixed split, a search space and a search.yml that fit your hours."""
    from nas.init_job import Request, run_init
    from nas.reading import count
    from nas.splits import METRICS

    if metric is not None and metric not in METRICS:
        raise NasError(f"--metric is {metric!r}; allowed: {', '.join(METRICS)}")
    if hours is not None and not 0 < hours < 1e6:
        raise NasError(f"--hours is {hours:g}; give hours over 0, such as 2.5")
    try:
        target = None if macs is None else count(macs)
    except ValueError as error:
        raise NasError(f"--macs is {macs!r}; give {error}") from None
    if target is not None and target < 1:
        raise NasError(f"--macs is {macs}; give multiply-adds over 0, such as 10M")
    run_init(
        console(),
        Request(
            data,
            data_dir,
            output,
            target,
            hours,
            epochs,
            resolution,
            metric,
            concurrency,
            device,
            workers,
            seed,
            force,
        ),
    )
