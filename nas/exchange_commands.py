"""`nas export` and `nas import`, thin functions as those of `nas.cli`."""

from pathlib import Path
from typing import Annotated

import typer

from nas.errors import NasError
from nas.files import check_new, unwritable, write_bytes_whole

Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


def export(
    document: Annotated[str, typer.Argument(help="A baseline, or with --to nni a search space.")],
    to: Annotated[str, typer.Option(help="onnx, pt2, safetensors, hub; or text: timm, tpu, nni.")],
    weights: Annotated[
        Path | None, typer.Option(help="A .safetensors file of nas train or nas import.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File or folder to write (by default NAME; text to stdout).")
    ] = None,
    force: Force = False,
) -> None:
    """A baseline's network for other programs.

    As ONNX, pt2 or a folder, or in timm's or the TPU code's strings; or a search space for NNI.
    """
    from nas.export import MODELS, export_text

    if to in MODELS:
        from nas.exporting import export_model

        for line in export_model(document, to, weights, output, force):
            print(line)
        return
    text = export_text(document, to)
    if weights is not None:
        raise NasError(
            f"--weights belongs to --to {', '.join(MODELS)}; {to} is text without any: leave it out"
        )
    if output is None:
        print(text.rstrip("\n"))
        return
    check_new(output, force)
    if reason := unwritable(output.parent):
        raise NasError(f"{output}: cannot be written ({reason}); choose another --output")
    write_bytes_whole(output, (text.rstrip("\n") + "\n").encode(), "choose another --output")


def import_(
    file_or_name: Annotated[
        str,
        typer.Argument(help="A state dict's file, or a name such as efficientnet_b0; or a file of strings."),
    ],
    origin: Annotated[
        str, typer.Option("--from", help="torchvision, timm, pypi-lite; timm-strings, tpu-strings.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="File to write (by default BASELINE.safetensors, of strings NAME.yml)."),
    ] = None,
    force: Force = False,
    name: Annotated[
        str | None,
        typer.Option(help="Strings: the baseline's name (by default as their comment or file says)."),
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Strings: pixels of the square input.")] = None,
    in_chans: Annotated[int | None, typer.Option(help="Strings: channels of the images.")] = None,
    classes: Annotated[int | None, typer.Option(help="Strings: outputs.")] = None,
    activation: Annotated[str | None, typer.Option(help="Strings: relu, relu6, swish or hard_swish.")] = None,
    stem: Annotated[int | None, typer.Option(help="Strings: channels of the stem.")] = None,
    head: Annotated[int | None, typer.Option(help="Strings: channels of the head; 0 for none.")] = None,
) -> None:
    """Weights or block strings as a baseline's.

    Weights of another package, once outputs agree; downloads nothing.
    """
    from nas.string_import import NOTATIONS

    frame = {"resolution": resolution, "in_chans": in_chans, "classes": classes, "activation": activation,
             "stem": stem, "head": head}  # fmt: skip
    if origin in NOTATIONS:
        from nas.string_import import import_strings

        lines = import_strings(Path(file_or_name), NOTATIONS[origin], output, force, name, **frame)
    else:
        given = [
            f"--{key.replace('_', '-')}"
            for key, value in {"name": name, **frame}.items()
            if value is not None
        ]
        if given:
            raise NasError(f"{' '.join(given)}: for --from {', '.join(NOTATIONS)} alone; leave them out")
        from nas.importing import import_weights

        lines = import_weights(origin, file_or_name, output, force).lines()
    for line in lines:
        print(line)
