"""ONNX and torch.export's pt2: the network as one file, for batches of any size at the baseline's resolution.

>>> from nas.exporting import subject_of
>>> facts_of(subject_of("mnasnet-b1-0.5", None))
{'baseline': 'mnasnet-b1-0.5', 'weights': 'untrained'}
"""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim

from nas.errors import NasError, listed
from nas.exporting import Subject, compared
from nas.files import write_bytes_whole

Run = Callable[[Tensor], Tensor]
OLDEST = (2, 6)
"""The first torch with `Dim.DYNAMIC`."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_installed(to: str) -> None:
    """Raises NasError where torch is too old or a package is missing, with how to get it."""
    if tuple(map(int, torch.__version__.split(".")[:2])) < OLDEST:
        raise NasError(
            f"--to {to} needs torch {OLDEST[0]}.{OLDEST[1]} or later, whose exporter takes batches of any size; found "
            f"{torch.__version__}: update it"
        )
    missing = [name for name in PACKAGES if find_spec(name) is None] if to == "onnx" else []
    if missing:
        raise NasError(
            f"--to onnx needs {listed(missing)}, which writes and checks the file; pip install -e '.[onnx]' in the "
            f"checkout, or pip install {' '.join(missing)}"
        )


def write_graph(subject: Subject, to: str, path: Path) -> list[str]:
    """Writes PATH, once what is in it was loaded and compared; the lines to print.

    Raises:
        NasError: for outputs that differ, or a file that cannot be written.
    """
    content, run = (onnx_of if to == "onnx" else pt2_of)(subject)
    line = compared(subject, run, "the onnx file" if to == "onnx" else "the pt2 file")
    write_bytes_whole(path, content, "free some space, or choose another --output")
    by = "onnxruntime" if to == "onnx" else "torch.export.load"
    return [f"{line}, by {by}", f"written: {path}, {len(content):,} bytes, batches of any size"]


def pt2_of(subject: Subject) -> tuple[bytes, Run]:
    """The bytes of torch.export's file, with `facts.json` inside, and the function that they load as."""
    with _quiet():
        program = torch.export.export(subject.net, _example(subject), dynamic_shapes={"x": {0: Dim.DYNAMIC}})
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # names folders of this machine
        file = io.BytesIO()
        torch.export.save(program, file, extra_files={"facts.json": json.dumps(facts_of(subject))})
        loaded = torch.export.load(io.BytesIO(file.getvalue())).module()
    return file.getvalue(), loaded


def onnx_of(subject: Subject) -> tuple[bytes, Run]:
    """The bytes of an ONNX file, input `images`, output `logits`, and the function that onnxruntime makes of them."""
    onnxruntime = import_module("onnxruntime")  # of the extra `onnx`

    with _quiet():
        program = torch.onnx.export(
            subject.net, _example(subject), dynamo=True, dynamic_shapes={"x": {0: "batch"}}, external_data=False,
            input_names=["images"], output_names=["logits"], verbose=False,
        )  # fmt: skip
        assert program is not None
        for node in program.model.graph:
            node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)
        for name, value in facts_of(subject).items():
            program.model.metadata_props[name] = value if isinstance(value, str) else json.dumps(value)
        content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        return torch.from_numpy(logits)

    return content, run


def facts_of(subject: Subject) -> dict[str, object]:
    """What the file says of itself: what it was made of, what its images and outputs are; of these what is known."""
    facts = subject.facts
    said: dict[str, object] = {
        "baseline": subject.baseline.name,
        "weights": "untrained" if subject.weights is None else subject.weights.name,
        "data": facts.data,
        "accuracy": facts.accuracy,
        "scored": facts.scored,
        "mean": list(facts.mean),
        "std": list(facts.std),
        "crop_pct": facts.crop_pct,
        "crop_mode": facts.crop_mode,
        "interpolation": facts.interpolation,
        "class_names": list(facts.class_names),
        "source": facts.source,
    }
    return {name: value for name, value in said.items() if value not in (None, "", [])}


def _example(subject: Subject) -> tuple[Tensor]:
    """Two images: with one, the batch would count as fixed."""
    return (torch.zeros(2, *subject.image),)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' progress and their warnings of their own code."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
