"""The command line: one thin function a command; what is heavy is imported inside it.

nas search search.yml        nas space digits        nas show efficientnet-b0
nas freeze RUN --name NAME   nas scale BASELINE      nas export BASELINE --to timm
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.errors import NasError

app = typer.Typer(
    help="Finds an EfficientNet-B0-like baseline for your data and compute, freezes it, and scales it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


UsageError: Any = typer.BadParameter.__mro__[1]
"""click's, for which typer has no name."""


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr and exit code 2."""
    try:
        code = app(prog_name="nas", standalone_mode=False)
        sys.stdout.flush()
    except NasError as error:
        print(f"nas: {error}", file=sys.stderr)
        sys.exit(2)
    except UsageError as error:
        if text := error.format_message().rstrip("."):  # none where the help was shown instead
            print(
                f"nas: {text}; see {error.ctx.command_path if error.ctx else 'nas'} --help", file=sys.stderr
            )
        sys.exit(2)
    except BrokenPipeError:  # the reader of a pipe, such as head, left; typer's exit code for it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(code)


def _console() -> Any:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, 120)  # tables are cut for nobody; a narrow terminal wraps them
    return console


@app.command()
def search(
    config: Annotated[Path, typer.Argument(help="NNI's experiment configuration, such as search.yml.")],
    trials: Annotated[
        int | None, typer.Option(help="Trials, instead of the file's maxTrialNumber.", min=1)
    ] = None,
    port: Annotated[int | None, typer.Option(help="NNI's port (by default the first free one).")] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with an interrupted experiment of this id.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the winner (by default SPACE-EXPERIMENT).")
    ] = None,
    full_epochs: Annotated[
        int | None,
        typer.Option(help="Train the winner in full for so many epochs, and test it once.", min=1),
    ] = None,
) -> None:
    """Runs the search of CONFIG through nnictl in the foreground, and freezes the winner."""
    from nas.main_job import run_search

    run_search(_console(), config, trials, port, resume, name, full_epochs)


@app.command()
def space(
    space: Annotated[str, typer.Argument(help="A search space: a catalogue name, or a path.")],
    sample: Annotated[int, typer.Option(help="Print so many random samples.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the samples.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Size, choices and distribution of multiply-adds of a search space."""
    from nas.report import space_json, space_report
    from nas.space import SearchSpace

    found = SearchSpace.load(space)
    if as_json:
        print(json.dumps(space_json(found, sample, seed)))
    else:
        space_report(_console(), found, sample, seed)


@app.command()
def show(
    baseline: Annotated[str, typer.Argument(help="A baseline: a catalogue name, or a path.")],
    as_json: Json = False,
) -> None:
    """The stage table of a baseline, with shapes, parameters and multiply-adds."""
    from nas.baseline import load
    from nas.report import baseline_report
    from nas.tables import stage_json

    found = load(baseline)
    if as_json:
        print(json.dumps(stage_json(found.name, found.architecture)))
    else:
        baseline_report(_console(), found)


@app.command()
def freeze(
    run: Annotated[str, typer.Argument(help="An NNI experiment id, or a run's directory.")],
    trial: Annotated[int | None, typer.Option(help="This trial instead of the best.", min=0)] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the baseline (by default SPACE-EXPERIMENT).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write (by default baselines/NAME.yml).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing baseline.")] = False,
) -> None:
    """Writes the winner of a run as a baseline document."""
    from nas.report import baseline_report
    from nas.search.runs import find_run, open_journal
    from nas.search.winner import freeze as write

    baseline, path = write(open_journal(find_run(run)), trial, name, output, force)
    console = _console()
    console.print(f"frozen: {path}")
    baseline_report(console, baseline)


@app.command()
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
    save: Annotated[bool, typer.Option("--save", help="Write each member as a baseline document.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --save, replace existing documents.")] = False,
    as_json: Json = False,
) -> None:
    """The family that compound scaling makes of a baseline."""
    from nas.baseline import load
    from nas.report import family_of, family_report, save_family

    found = load(baseline)
    members = family_of(found, phi, official, alpha, beta, gamma, width, depth, resolution, macs, params)
    paths = save_family(found, members, force) if save else []
    if as_json:
        print(json.dumps([member.as_json() for member in members]))
        return
    console = _console()
    family_report(console, found, members)
    for path in paths:
        console.print(f"saved: {path}")


@app.command()
def export(
    document: Annotated[str, typer.Argument(help="A baseline, or with --to nni a search space.")],
    to: Annotated[str, typer.Option(help="timm, tpu or nni.")],
    output: Annotated[Path | None, typer.Option(help="File to write (by default stdout).")] = None,
) -> None:
    """A baseline in timm's or the TPU code's block strings; a space in NNI's choice format."""
    from nas.export import export_text

    text = export_text(document, to)
    if output is None:
        print(text.rstrip("\n"))
        return
    try:
        output.write_text(text.rstrip("\n") + "\n")
    except OSError as error:
        raise NasError(f"{output}: cannot be written ({error.strerror}); choose another --output") from None


if __name__ == "__main__":
    main()
