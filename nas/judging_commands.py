"""`nas init`, `nas calibrate` and `nas certify`, thin functions as those of `nas.cli`."""

from pathlib import Path
from typing import Annotated

import typer

from nas.errors import NasError
from nas.terminal import console
from nas.training_commands import DataDir, Device, Workers


def multiply_adds(text: str | None, option: str) -> int | None:
    """The multiply-adds of an option such as 10M; NasError for what is none."""
    from nas.reading import count

    try:
        found = None if text is None else count(text)
    except ValueError as error:
        raise NasError(f"{option} is {text!r}; give {error}") from None
    if found is not None and found < 1:
        raise NasError(f"{option} is {text}; give multiply-adds over 0, such as 10M")
    return found


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
    data_dir: DataDir = None,
    device: Device = "auto",
    workers: Workers = None,
) -> None:
    """From images of your own to a search.yml.

    With a fixed split and a search space, so that the search fits your hours.
    """
    from nas.init_job import Request, run_init
    from nas.splits import METRICS

    if metric is not None and metric not in METRICS:
        raise NasError(f"--metric is {metric!r}; allowed: {', '.join(METRICS)}")
    if hours is not None and not 0 < hours < 1e6:
        raise NasError(f"--hours is {hours:g}; give hours over 0, such as 2.5")
    target = multiply_adds(macs, "--macs")
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


def calibrate(
    space: Annotated[str, typer.Argument(help="A search space: a catalogue name, or a path.")],
    data: Annotated[str, typer.Option(help="digits, split:FILE, folder:PATH, npz:PATH ...")],
    pilot: Annotated[
        int, typer.Option(help="Networks that are trained, spread over the multiply-adds.")
    ] = 24,
    target: Annotated[str | None, typer.Option(help="T, such as 10M (by default the space's).")] = None,
    limit: Annotated[str | None, typer.Option(help="Multiply-adds above which nothing is trained.")] = None,
    epochs: Annotated[
        int, typer.Option(help="Of the longest proxy, which the others are held against.", min=1)
    ] = 8,
    fidelity: Annotated[
        list[str] | None,
        typer.Option(help="A cheaper proxy, such as epochs=2 or fraction=0.5,width=0.5; again for another."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each network and proxy.", min=1, max=20)] = 2,
    top: Annotated[int, typer.Option(help="k, of the regret.", min=1)] = 3,
    regret: Annotated[
        float, typer.Option(help="Largest expected regret of a proxy, as a reward.", min=0)
    ] = 0.005,
    jobs: Annotated[int, typer.Option(help="Trainings at a time.", min=1, max=64)] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder to write (by default pilots/SPACE).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the pilot that is there.")] = False,
    seed: Annotated[int, typer.Option(help="Of the networks that are drawn.", min=0, max=2**32 - 1)] = 0,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads of each training.", min=1)] = 1,
    workers: Workers = None,
) -> None:
    """Trains a pilot that says which w ends at T.

    It also says which shorter proxy has earned its place.
    """
    from nas.calibrate_job import Request, run_calibration

    run_calibration(
        console(),
        Request(
            space, data, data_dir, pilot, multiply_adds(target, "--target"), multiply_adds(limit, "--limit"), epochs,
            tuple(fidelity or ()), seeds, top, regret, jobs, out, resume, seed, device, threads, workers,
        ),
    )  # fmt: skip


def certify(
    run: Annotated[str, typer.Argument(help="An NNI experiment id, or a run's directory.")],
    top: Annotated[int, typer.Option(help="K best networks that are retrained.", min=1)] = 5,
    seeds: Annotated[
        int, typer.Option(help="S trainings of each: S to choose by, S others to judge by.")
    ] = 3,
    recipe: Annotated[
        str, typer.Option(help="efficientnet, mnasnet, cifar; proxy: the trials' own settings.")
    ] = "proxy",
    epochs: Annotated[int | None, typer.Option(help="Instead of the recipe's (of proxy: 60).", min=1)] = None,
    random: Annotated[
        str | None, typer.Option(help="A random search that you have made, instead of making one.")
    ] = None,
    no_random: Annotated[bool, typer.Option("--no-random", help="Compare with no random search.")] = False,
    family: Annotated[
        bool, typer.Option("--family", help="Choose by the network and the one scaled to twice its cost.")
    ] = False,
    jobs: Annotated[int, typer.Option(help="Trainings at a time.", min=1, max=64)] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder to write (by default RUN/certificate).")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the certificate that is there.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of the winner's baseline (by default the one that it has).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing baseline.")] = False,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads of each training.", min=1)] = 1,
    workers: Workers = None,
) -> None:
    """Retrains and judges the best of a run.

    Says whether the winner differs from its rivals by more than their seeds do.
    """
    from nas.certify_job import run_certificate
    from nas.certify_request import Request

    run_certificate(
        console(),
        Request(
            run, top, seeds, recipe, epochs, random, no_random, family, jobs, out, resume, name, force, device,
            threads, workers,
        ),
    )  # fmt: skip
