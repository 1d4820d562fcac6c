"""What nas import needs to know of a package that has pretrained networks.

>>> Weights(Path("tf_efficientnet_b0_ap-f262efe1.pth"), "tf_efficientnet_b0").tag
''

Nothing is downloaded: a package's own cache and what is installed are all that is looked at.
"""

from abc import ABC, abstractmethod
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, NoReturn

from torch import Tensor, nn

from nas.errors import NasError, listed, near, short, some
from nas.files import is_file, text_of
from nas.sources import Resizing
from nas.strict_json import load_json

Normalization = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation by channel, of images in [0, 1]."""
MAX_CONFIG = 1 << 20
"""Bytes of a config.json: a few hundred, and perhaps the names of thousands of labels."""


class Weights(NamedTuple):
    """A state dict on this machine, and what is known of it before it is opened.

    Attributes:
        model: the package's name of the network, '' where neither the file's name nor what lies beside it says.
        tag: the training's name, as in timm's 'tf_efficientnet_b0.ap_in1k'; else ''.
        arguments: with which the package has to build the network, beside its name.
        by_name: whether a name of the package's led to them, so that it published them.
    """

    path: Path
    model: str = ""
    tag: str = ""
    arguments: tuple[tuple[str, Any], ...] = ()
    by_name: bool = False


class Origin(ABC):
    """A package that has networks which are baselines here.

    Attributes:
        name: what `--from` takes.
        models: the package's name of a network -> the name of its baseline.
        stems: what its state dicts call the first convolution: by that they are told apart.
    """

    name: ClassVar[str]
    models: ClassVar[dict[str, str]]
    stems: ClassVar[tuple[str, ...]]

    @abstractmethod
    def build(self, model: str, classes: int, **arguments: Any) -> nn.Module:
        """The package's own network, at random; NasError where the package is missing."""

    @abstractmethod
    def padding(self, model: str) -> str:
        """'symmetric' or 'same', as `nas.build` takes it."""

    @abstractmethod
    def normalization(self, weights: Weights) -> Normalization:
        """What images have to be normalized with."""

    @abstractmethod
    def published(self, weights: Weights) -> bool:
        """Whether the package published this very file, as far as its name and what lies beside it say."""

    def resizing(self, weights: Weights) -> Resizing | None:
        """How images were resized that the weights were measured on; None where the package does not say."""
        return None

    @abstractmethod
    def local(self, model: str, tag: str) -> Path:
        """A model's weights on this machine; NasError, with the way to get them, where there are none."""

    def ordered(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """A state dict of the package's network, in order of computation as ours: body, then shortcut."""
        return tensors

    def find(self, file_or_name: str) -> Weights:
        """The weights that FILE_OR_NAME means.

        Raises:
            NasError: for a file that is not there, an unknown name, or a name without local weights.
        """
        path = Path(file_or_name)
        if is_file(path):
            return self.named(path)
        if len(path.parts) != 1 or path.suffix in (".pth", ".pt", ".safetensors", ".tar"):
            raise NasError(
                f"{path}: there is no such file; give the path of a .pth, .pt or .safetensors file"
            )
        model, _, tag = file_or_name.partition(".")
        model = model.replace("-", "_")
        if model not in self.models:
            hint = near(model, self.models)
            raise NasError(
                f"{self.name} has no {short(file_or_name)} that is a baseline here{hint}; known: "
                f"{some(list(self.models), hint, 'docs/weights.md lists them')}; or give the path of a .pth, .pt or "
                ".safetensors file"
            )
        return Weights(self.local(model, tag), model, tag, by_name=True)

    def named(self, path: Path) -> Weights:
        """A file with the model that its name begins with, such as efficientnet_b0_rwightman-7f5810bc.pth."""
        stem = path.name.replace(".", "_").replace("-", "_") + "_"
        return Weights(path, max((m for m in self.models if stem.startswith(f"{m}_")), key=len, default=""))


def package(module: str, project: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise NasError(
            f"{project} is not installed, and imported weights are checked against its networks; pip install {project}"
        ) from None


def in_hub(addresses: list[str]) -> Path | None:
    """The first of these files that torch's hub, where torchvision and timm put theirs, has on this machine."""
    from torch.hub import get_dir

    paths = [Path(get_dir(), "checkpoints", url.rpartition("/")[2]) for url in addresses if url]
    return next((path for path in paths if path.is_file()), None)


def missing(what: str, command: str) -> NoReturn:
    raise NasError(
        f"{what}: there are no weights of it on this machine, and nas import downloads nothing; "
        f"get them with `{command}`, or give the path of a .pth, .pt or .safetensors file"
    )


def check_tag(name: str, model: str, tag: str, tags: list[str]) -> None:
    if tag and tag not in tags:
        known = f"after the point stands one of {listed(tags)}" if tags else f"give {model}"
        raise NasError(f"{name} has no {model}.{tag}{near(tag, tags)}; {known}")


def config_beside(path: Path) -> dict[str, Any]:
    """timm's config.json; empty where there is none that can be read."""
    beside = path.parent / "config.json"
    with suppress(NasError):
        found = load_json(text_of(beside, MAX_CONFIG), str(beside))
        return found if isinstance(found, dict) else {}
    return {}


def labels_beside(path: Path, classes: int) -> tuple[str, ...]:
    """Names of the outputs by timm's config.json beside the weights, where it has one for each; else none."""
    names = config_beside(path).get("label_names")
    if isinstance(names, dict):  # by number, as timm has them too
        names = [names.get(str(number)) for number in range(classes)]
    labels = tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
    return labels if isinstance(names, list) and len(labels) == len(names) == classes else ()
