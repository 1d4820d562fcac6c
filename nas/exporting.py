"""A baseline's network for other programs, with its weights: ONNX, torch.export's pt2, a folder, a model page.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     done = export_model("mnasnet-b1-0.5", "pt2", output=Path(folder, "small.pt2"))
>>> done[0]
'mnasnet-b1-0.5: 1000 classes, 3 x 224 x 224 pixels; no --weights: freshly initialised (seed 0), untrained'

What was written is loaded again, and its outputs compared with ours, before it is there; else nothing is.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from nas.baseline import Baseline, load
from nas.errors import NasError
from nas.export import check_kind
from nas.files import check_new, is_dir, unwritable
from nas.importing import TOLERANCE, spread_of
from nas.network import Network, build
from nas.optimization import norms_learning
from nas.public import public, without_folders
from nas.weights import Facts, load_network, read_weights

BATCHES = (1, 3)
"""Sizes of the batches of random images that outputs are compared on."""
SEED = 0
"""Of fresh weights, and of the images."""
PIXELS = 1 << 18
"""Of the batch that fresh batch norms take their statistics from, about: of 2 to 64 images."""


@dataclass(frozen=True)
class Subject:
    """What is exported.

    Attributes:
        baseline, facts: without the folders of this machine, as what is exported may be published.
        net: in eval mode, with as many classes and channels as its weights have.
        facts: what the file of weights says of itself; of fresh weights nothing.
        weights: the file; None for fresh weights.
    """

    baseline: Baseline
    net: Network
    facts: Facts
    weights: Path | None

    @property
    def image(self) -> tuple[int, int, int]:
        """(channels, height, width) of an input."""
        arch = self.net.architecture
        return arch.stem.in_chans, arch.resolution, arch.resolution

    @property
    def words(self) -> str:
        """What it is, for the first line that is printed."""
        channels, height, width = self.image
        of = f"weights of {self.weights}"
        if self.weights is None:
            of = f"no --weights: freshly initialised (seed {SEED}), untrained"
        return f"{self.baseline.name}: {self.net.num_classes} classes, {channels} x {height} x {width} pixels; {of}"


def subject_of(document: str, weights: Path | None) -> Subject:
    """The network of a baseline with the weights of a file, else with fresh ones.

    Raises:
        NasError: for an unknown baseline, or weights that cannot be read or are of another architecture.
    """
    return _subject(public(load(document)), weights)


def _subject(baseline: Baseline, weights: Path | None) -> Subject:
    if weights is not None:
        net, facts = load_network(baseline.architecture, weights), read_weights(weights)[1]
        return Subject(baseline, net, replace(facts, data=without_folders(facts.data)), weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        net = _settled(build(baseline.architecture))
    return Subject(baseline, net, Facts(baseline=baseline.name), None)


def _settled(net: Network) -> Network:
    """In eval mode, its batch norms with the statistics of one batch of random images.

    Fresh ones are the identity then, so that outputs grow from layer to layer, in deep networks until no two programs
    agree on them.
    """
    arch = net.architecture
    size = min(max(PIXELS // arch.resolution**2, 2), 64)
    with norms_learning(net), torch.inference_mode():
        net(torch.randn(size, arch.stem.in_chans, arch.resolution, arch.resolution))
    return net


def export_model(
    document: str, to: str, weights: Path | None = None, output: Path | None = None, force: bool = False
) -> list[str]:
    """Writes what `nas export DOCUMENT --to FORMAT` does, once its outputs are ours; the lines to print.

    Args:
        to: of `nas.export.MODELS`.
        output: the file (NAME.onnx, NAME.pt2 by default), or the folder (NAME).

    Raises:
        NasError: as `subject_of`; for what is there already (without `force`) or cannot be written; for a package
            that is not installed; for outputs that differ. Nothing is written then.
    """
    check_kind(document, to)
    if to in ("onnx", "pt2"):
        from nas.graphs import check_installed
        from nas.graphs import write_graph as write

        check_installed(to)
    else:
        from nas.model_folder import write_folder as write

    baseline = public(load(document))
    path = output or Path(baseline.name + (f".{to}" if to in ("onnx", "pt2") else ""))
    check_output(path, to, force)
    subject = _subject(baseline, weights)
    return [subject.words, *_guessed(subject), *write(subject, to, path)]


def _guessed(subject: Subject) -> list[str]:
    """What a file of weights leaves open that changes outputs: one of ours always says it."""
    if subject.weights is None or subject.facts.key:
        return []
    facts = subject.facts
    return [
        f"note: {subject.weights} does not say with which epsilon and padding it was trained: taken as "
        f"{facts.norm_eps:g} and {facts.padding}; nas import knows those of timm, torchvision and PyPI"
    ]


def check_output(path: Path, to: str, force: bool) -> None:
    """Raises NasError where an export may not be written to `path`."""
    suffix = f".{to}" if to in ("onnx", "pt2") else ""
    if suffix and path.suffix != suffix:
        raise NasError(f"--output is {path}; give a name that ends in {suffix}, which is what is written")
    if suffix:
        check_new(path, force)
    elif (os.path.lexists(path) and not is_dir(path)) or not path.resolve().name:
        raise NasError(f"{path}: is no folder of its own, which {to} writes; choose another --output")
    elif not force and is_dir(path) and _holds_something(path):
        raise NasError(
            f"{path}: the folder is not empty; choose another --output, or give --force to replace the files of an "
            "export in it"
        )
    if reason := unwritable(path.resolve().parent):
        raise NasError(f"{path}: cannot be written ({reason}); choose another --output")


def _holds_something(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError as error:
        raise NasError(
            f"{folder}: cannot be looked into ({error.strerror}); choose another --output"
        ) from None


def compared(subject: Subject, theirs: Callable[[Tensor], Tensor], what: str) -> str:
    """The line that says how far outputs differ, on random images in two batches.

    Raises:
        NasError: where that is over `TOLERANCE` of how far the outputs spread, of fresh weights of the largest output
            (random images look much alike to them), or no number.
    """
    generator = torch.Generator().manual_seed(SEED)
    found, expected = [], []
    with torch.inference_mode():
        for count in BATCHES:
            images = torch.randn(count, *subject.image, generator=generator)
            expected.append(subject.net(images))
            found.append(theirs(images))
    ours, other = torch.cat(expected), torch.cat(found)
    if not ours.isfinite().all():
        raise NasError(
            f"{subject.weights or 'fresh weights'}: the network's outputs are no finite numbers; give weights that are"
        )
    largest = float((ours - other).abs().max())
    size, of = spread_of(ours), "a spread of"
    if subject.weights is None:
        size, of = float(ours.abs().max()) or 1.0, "outputs up to"
    if not largest <= TOLERANCE * size:  # NaN too
        raise NasError(
            f"the outputs of {what} differ from the network's by {largest:.2g}, over {TOLERANCE:g} of {of} "
            f"{size:.2g}, so that nothing is written; please report it, with the baseline"
        )
    sizes = " and ".join(map(str, BATCHES))
    return (
        f"largest difference of outputs {largest:.2g}, of {of} {size:.2g} (at most {TOLERANCE:g} of it), "
        f"on batches of {sizes} random images"
    )
