"""Weights of a network in a safetensors file, with what the network has to be built with; nothing is unpickled.

>>> import nas, tempfile
>>> net = nas.build(nas.load("efficientnet-b0").architecture, num_classes=3)
>>> with tempfile.TemporaryDirectory() as folder:
...     path = save_weights(net, Path(folder, "b0.safetensors"), Facts(baseline="efficientnet-b0"))
...     again = load_network(nas.load("efficientnet-b0").architecture, path)
>>> again.num_classes, all(bool((a == b).all()) for a, b in zip(net.parameters(), again.parameters()))
(3, True)
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import Field, TypeAdapter
from torch import Tensor

from nas.architecture import Architecture
from nas.errors import NasError, short
from nas.files import check_file, write_bytes_whole
from nas.fitting import channels_of, check_key, fill
from nas.network import Network, build
from nas.sources import first_line
from nas.strict_json import load_json

FORMAT = "b0nas weights 1"
"""What a file of ours has as its `format`; under `b0nas` where that is another program's (`nas.model_folder`)."""


@dataclass(frozen=True)
class Facts:
    """What a file of weights says of itself; every field is optional.

    Attributes:
        baseline: name of the document.
        data: the data set's name.
        recipe: how it was trained, in words.
        epochs: passes over the training set.
        accuracy: top-1 fraction in [0, 1], of what `scored` says.
        scored: the split that accuracy is of.
        class_names: of the outputs, in order.
        norm_eps, padding: what the network has to be built with (`nas.build`).
        mean, std: what images, scaled to [0, 1], are normalized with, by channel.
        crop_pct, crop_mode, interpolation: how they are resized before, in timm's words (`nas.sources.Resizing`); None
            and '' where that is not known.
        source: where imported weights come from.
        key: canonical key of the architecture, written when the file is.
    """

    baseline: str = ""
    data: str = ""
    recipe: str = ""
    epochs: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    scored: str = ""
    class_names: tuple[str, ...] = ()
    norm_eps: Annotated[float, Field(gt=0, le=1)] = 1e-3
    padding: Annotated[str, Field(pattern="^(symmetric|same)$")] = "symmetric"
    mean: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = ()
    std: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = ()
    crop_pct: Annotated[float, Field(gt=0, le=2)] | None = None
    crop_mode: Annotated[str, Field(pattern="^[a-z]{0,20}$")] = ""
    interpolation: Annotated[str, Field(pattern="^[a-z]{0,20}$")] = ""
    source: str = ""
    key: Annotated[str, Field(pattern=r"^(\d+px\d+( \S+){5,})?$")] = ""


_FIELDS = {name: TypeAdapter(hint) for name, hint in get_type_hints(Facts, include_extras=True).items()}


def save_weights(net: Network, path: Path, facts: Facts, force: bool = True) -> Path:
    """Writes the weights whole or not at all.

    Raises:
        NasError: where the file cannot be written, or is there and not to be replaced.
    """
    if path.exists() and not force:
        raise NasError(f"{path} exists; choose another --output, or give --force to replace it")
    write_tensors(path, dict(net.state_dict()), {"format": FORMAT} | metadata_of(net, facts))
    return path


def metadata_of(net: Network, facts: Facts) -> dict[str, str]:
    """What a file of these weights says of itself, each value as JSON; the key is the network's."""
    written = asdict(replace(facts, key=net.architecture.key))
    return {name: json.dumps(value) for name, value in written.items()}


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """A safetensors file, written beside `path`, flushed to the disk and then moved over it.

    Raises:
        NasError: where it cannot be written, with the system's reason.
    """
    from safetensors.torch import save

    content = _ordered(save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata))
    write_bytes_whole(path, content)


def _ordered(content: bytes) -> bytes:
    """A safetensors file with its metadata in order of names: the library's own differs from run to run."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def read_tensors(
    path: Path, mend: str = "give one of nas train or nas import"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, on the CPU, and its metadata.

    Args:
        mend: what to do where it cannot be read.

    Raises:
        NasError: for a file that is missing, cut short or none of safetensors.
    """
    from safetensors import safe_open

    check_file(path, mend="give the path of a .safetensors file")
    try:
        with safe_open(str(path), "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except Exception as error:  # a damaged file can raise anything, of a type that torch has not, for one
        raise NasError(f"{path}: is no readable safetensors file ({first_line(error)}); {mend}") from None


def read_weights(path: Path) -> tuple[dict[str, Tensor], Facts]:
    """The weights of a file and what it says of itself; a file of somebody else's says nothing.

    Raises:
        NasError: as `read_tensors`, or for a file of ours that says what cannot be.
    """
    tensors, metadata = read_tensors(path)
    if metadata.get("format", "").startswith("b0nas checkpoint"):
        raise NasError(
            f"{path}: is a training's checkpoint, not its weights; give the NAME.safetensors that nas train writes "
            "at the end"
        )
    tensors = _by_our_names(tensors, metadata, str(path))
    for name in ("classifier.weight", "classifier.bias"):
        sizes = (
            (2, 4) if name.endswith("weight") else (1,)
        )  # of a linear one, or a convolution (SqueezeNet's)
        if name in tensors and not (tensors[name].ndim in sizes and tensors[name].numel()):
            raise NasError(
                f"{path}: {name} has shape {tuple(tensors[name].shape)}, as no classifier's has; give one of nas train "
                "or nas import"
            )
    return tensors, facts_of(metadata, str(path))


def _by_our_names(tensors: dict[str, Tensor], metadata: dict[str, str], where: str) -> dict[str, Tensor]:
    """The tensors of a folder of nas export, where they bear timm's names and `names` says what they are here.

    Raises:
        NasError: for other files with timm's names, or `names` of other tensors.
    """
    if "names" in metadata and metadata.get("b0nas") == FORMAT:
        names = load_json(metadata["names"], where)
        fits = (
            isinstance(names, dict)
            and names.keys() == tensors.keys()
            and len({*map(str, names.values())}) == len(names)
        )
        if not fits:
            raise NasError(
                f"{where}: says of other tensors than it has what they are called; restore the file, or give one of "
                "nas train or nas import"
            )
        return {str(names[name]): tensor for name, tensor in tensors.items()}
    if "conv_stem.weight" in tensors:
        raise NasError(
            f"{where}: its tensors bear timm's names; give what nas import --from timm makes of the file"
        )
    return tensors


def facts_of(metadata: dict[str, str], where: str = "weights") -> Facts:
    """What metadata say; of a file of ours, a value of another type is a mistake, of others' it says nothing.

    Raises:
        NasError: naming `where`, the field and the value.
    """
    found: dict[str, Any] = {}
    for field in fields(Facts):
        if field.name not in metadata:
            continue
        try:
            found[field.name] = _FIELDS[field.name].validate_python(load_json(metadata[field.name], where))
        except ValueError:  # NasError and pydantic's
            if FORMAT in (metadata.get("format"), metadata.get("b0nas")):
                raise NasError(
                    f"{where}: says that {field.name} is {short(metadata[field.name])}, which it cannot be; restore "
                    "the file, or give one of nas train or nas import"
                ) from None
    return Facts(**found)


def load_network(arch: Architecture, path: Path, **settings: Any) -> Network:
    """The network of `arch` with the weights of a file, in eval mode, with as many classes as the file has.

    Args:
        settings: of `nas.build`, instead of those that the file names.

    Raises:
        NasError: for a file that cannot be read, or of another architecture.
    """
    tensors, facts = read_weights(path)
    check_key(arch, facts.key, str(path))
    classes = tensors["classifier.weight"].shape[0] if "classifier.weight" in tensors else None
    net = build(
        arch,
        classes,
        channels_of(tensors),
        **{"norm_eps": facts.norm_eps, "padding": facts.padding, **settings},
    )
    fill(net, tensors, str(path))
    return net.eval()
