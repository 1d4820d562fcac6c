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
from nas.exchange_commands import export, import_
from nas.health_commands import doctor
from nas.judging_commands import calibrate, certify, init
from nas.latency_command import latency
from nas.ranks import leave_to_first
from nas.scaling_command import scale
from nas.spinning import spin_briefly
from nas.supernet_command import supernet
from nas.terminal import Json, console
from nas.training_commands import evaluate, train

app = typer.Typer(
    help="Finds an EfficientNet-B0-like baseline for your data and compute, freezes it, and scales it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


UsageError: Any = typer.BadParameter.__mro__[1]
"""click's, for which typer has no name."""


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr and exit code 2."""
    spin_briefly(os.environ)
    try:
        code = app(prog_name="nas", standalone_mode=False)
        sys.stdout.flush()
    except NasError as error:
        print(f"nas: {error}", file=sys.stderr)
        sys.exit(2)
    except UsageError as error:
        leave_to_first()
        if text := error.format_message().rstrip("."):  # none where the help was shown instead
            print(
                f"nas: {text}; see {error.ctx.command_path if error.ctx else 'nas'} --help", file=sys.stderr
            )
        sys.exit(2)
    except BrokenPipeError:  # the reader of a pipe, such as head, left; typer's exit code for it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(code)


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
    allow_import: Annotated[
        bool, typer.Option("--allow-import", help="Let NNI import a tuner or assessor class of CONFIG's own.")
    ] = False,
    known_answers: Annotated[
        bool,
        typer.Option("--known-answers", help="Rank B0's, A1's and MobileNetV2's shape by the same proxy."),
    ] = False,
    in_process: Annotated[
        bool,
        typer.Option(
            "--in-process", help="One trial after the other, in this process and without NNI's manager."
        ),
    ] = False,
) -> None:
    """Runs a search, and freezes its winner.

    CONFIG's search goes through nnictl, in the foreground.
    """
    from nas.main_job import run_search

    run_search(
        console(), config, trials, port, resume, name, full_epochs, allow_import, known_answers, in_process
    )


@app.command()
def space(
    space: Annotated[str, typer.Argument(help="A search space: a catalogue name, or a path.")],
    sample: Annotated[int, typer.Option(help="Print so many random samples.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the samples.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Size, choices and costs of a search space.

    Costs are the distribution of multiply-adds.
    """
    from nas.report import space_json, space_report
    from nas.space import SearchSpace

    found = SearchSpace.load(space)
    if as_json:
        print(json.dumps(space_json(found, sample, seed)))
    else:
        space_report(console(), found, sample, seed)


@app.command()
def show(
    baseline: Annotated[str, typer.Argument(help="A baseline: a catalogue name, or a path.")],
    as_json: Json = False,
) -> None:
    """The stage table of a baseline.

    With shapes, parameters and multiply-adds.
    """
    from nas.baseline import load
    from nas.report import baseline_report
    from nas.tables import stage_json

    found = load(baseline)
    if as_json:
        print(json.dumps(stage_json(found.name, found.architecture)))
    else:
        baseline_report(console(), found)


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
    """Writes a run's winner as a baseline."""
    from nas.catalog import written
    from nas.report import baseline_report
    from nas.search.runs import find_run, open_journal
    from nas.search.winner import freeze as write

    baseline, path = write(open_journal(find_run(run)), trial, name, output, force)
    screen = console()
    screen.print(f"frozen: {written('baselines', path)}")
    baseline_report(screen, baseline)


app.command()(init)
app.command()(calibrate)
app.command()(certify)
app.command()(scale)
app.command()(supernet)
app.command()(train)
app.command()(evaluate)
app.command()(doctor)
app.command()(latency)


@app.command()
def loopback(
    hosts: Annotated[
        bool,
        typer.Option("--hosts", help="Trials run on other machines, which reach this one at B0NAS_ADDRESS."),
    ] = False,
) -> None:
    """NODE_OPTIONS for bare nnictl.

    With them NNI's port is this machine's alone, and its trials wait for GPUs, and can have all of them.
    """
    from nas.search.guard import at_door, at_home

    found = at_door(os.environ, "", ()) if hosts else at_home(os.environ)
    print(found["NODE_OPTIONS"])


@app.command()
def report(
    target: Annotated[
        str, typer.Argument(help="A baseline (name or path), or a run (experiment id or directory).")
    ],
    output: Annotated[
        Path | None, typer.Option(help="Folder to write (by default report/NAME, of a run its report/).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the report that is there.")] = False,
    latency: Annotated[
        bool | None, typer.Option("--latency/--no-latency", help="Measure it on this machine (the default).")
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="Class activation maps on these files, such as a.jpg,b.png.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Of the base, instead of trained/NAME/NAME.safetensors.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads (by default torch's own number).", min=1)
    ] = None,
) -> None:
    """Pictures and tables of a family or a run.

    Of a baseline's family they are those of EfficientNet's paper.
    """
    from nas.report_job import Request, run_report

    words = ("nas", *sys.argv[1:])
    run_report(console(), Request(target, output, force, latency, images, weights, threads, words))


app.command()(export)
app.command("import")(import_)


if __name__ == "__main__":
    main()
