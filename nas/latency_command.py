"""`nas latency`, a thin function as those of `nas.cli`."""

from pathlib import Path
from typing import Annotated

import typer

from nas.terminal import Json, console


def latency(
    target: Annotated[
        str, typer.Argument(help="A baseline, or a search space: a catalogue name, or a path.")
    ],
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    batch: Annotated[
        str | None, typer.Option(help="Images a pass: of a baseline 1,8 by default, of a space 1.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads (by default torch's own number).", min=1, max=1024)
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            help="Of a baseline: passes that count (by default 20, or what 30 s hold).", min=3, max=100_000
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Of a space: what measuring may take (by default 3).")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of a space: of the networks that are drawn (by default 0).", min=0, max=2**32 - 1),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Of a space: file to write (by default SPACE-latency.json).")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Of a space: replace the file that is there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Times a baseline, or models a space's times.

    On this machine; the model is of every block of the space, and says how far off it is.
    """
    from nas.latency_job import Request, run_latency

    run_latency(
        console(), Request(target, device, batch, threads, rounds, minutes, seed, output, force, as_json)
    )
