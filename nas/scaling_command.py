"""`nas scale`, a thin function as those of `nas.cli`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.errors import NasError
from nas.terminal import Json, console


def scale(
    baseline: Annotated[str, typer.Argument(help="A baseline: a catalogue name, or a path.")],
    phi: Annotated[str | None, typer.Option(help="Compound coefficients, such as 0,1,2.")] = None,
    official: Annotated[bool, typer.Option("--official", help="EfficientNet-B0's published table.")] = False,
    alpha: Annotated[float | None, typer.Option(help="Depth coefficient (by default 1.2).")] = None,
    beta: Annotated[float | None, typer.Option(help="Width coefficient (by default 1.1).")] = None,
    gamma: Annotated[float | None, typer.Option(help="Resolution coefficient (by default 1.15).")] = None,
    width: Annotated[float | None, typer.Option(help="Scale the width alone by this ratio.")] = None,
    depth: Annotated[float | None, typer.Option(help="Scale the depth alone by this ratio.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Scale to this resolution in pixels.")] = None,
    macs: Annotated[
        str | None, typer.Option(help="Plan networks of these multiply-adds, such as 2x,4x,800M.")
    ] = None,
    params: Annotated[
        str | None, typer.Option(help="Plan networks of these parameters; with --macs both are limits.")
    ] = None,
    search: Annotated[
        Path | None, typer.Option(help="Search alpha, beta and gamma on a grid, with NNI's SEARCH.yml.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="With --search, trials (by default every network).", min=1)
    ] = None,
    port: Annotated[int | None, typer.Option(help="With --search, NNI's port.")] = None,
    resume: Annotated[
        str | None, typer.Option(help="With --search, go on with an interrupted experiment of this id.")
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Write each member as a baseline document.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --save, replace documents; with --search, coefficients.")
    ] = False,
    as_json: Json = False,
) -> None:
    """A baseline's family by compound scaling."""
    from nas.baseline import load
    from nas.catalog import written
    from nas.report import family_of, family_report, save_family

    if search is not None:
        dims = {"phi": phi, "official": official or None, "alpha": alpha, "beta": beta, "gamma": gamma,
                "width": width, "depth": depth, "resolution": resolution, "macs": macs, "params": params,
                "save": save or None}  # fmt: skip
        _grid_search(baseline, search, dims, trials, port, resume, force, as_json)
        return
    for option, value in {"trials": trials, "port": port, "resume": resume}.items():
        if value is not None:
            raise NasError(f"--{option} belongs to --search SEARCH.yml; give it too, or leave --{option} out")
    if force and not save:
        raise NasError(
            "--force belongs to --save or --search SEARCH.yml; give one of them too, or leave --force out"
        )
    found = load(baseline)
    members = family_of(found, phi, official, alpha, beta, gamma, width, depth, resolution, macs, params)
    paths = save_family(found, members, force) if save else []
    if as_json:
        saved = [{"saved": str(path)} for path in paths] or [{}] * len(members)
        print(json.dumps([member.as_json() | more for member, more in zip(members, saved, strict=True)]))
        return
    screen = console()
    family_report(screen, found, members)
    for path in paths:
        screen.print(f"saved: {written('baselines', path)}")


def _grid_search(
    baseline: str, config: Path, others: dict[str, Any], trials: int | None, port: int | None, resume: str | None,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    given = [f"--{name}" for name, value in others.items() if value is not None]
    if given:
        raise NasError(f"--search and {' '.join(given)} exclude each other; give the one or the other")
    from rich.console import Console

    from nas.scale_job import grid_json, grid_search

    screen = Console(highlight=False, soft_wrap=True, stderr=True) if as_json else console()
    scaled = grid_search(screen, baseline, config, trials, port, resume, force)
    if as_json:
        print(json.dumps(grid_json(scaled)))
