"""A trained supernet on disk.

FOLDER/supernet.json          its space, data, recipe and sandwich: read by --resume, never changed
FOLDER/supernet.safetensors   its weights, once it is trained to the end
and what every training has (`nas.checkpoints`): checkpoint, log, TensorBoard.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from nas.data import Data, contents
from nas.documents import Number
from nas.errors import NasError
from nas.files import text_of
from nas.reading import validate
from nas.space import SearchSpace
from nas.strict_json import load_json
from nas.supernet.module import Supernet
from nas.supernet.sampling import SAMPLERS
from nas.weights import read_tensors, write_tensors

SETTINGS, WEIGHTS = "supernet.json", "supernet.safetensors"
FORMAT = "b0nas supernet 1"
MOST = 4 << 20
"""Bytes of supernet.json: a document and the settings."""


class SandwichRecipe(BaseModel):
    """What a supernet is and how its steps are taken, beside the TrainingConfig.

    Attributes:
        between: networks of a step between the smallest and the largest.
        sampler: how they are drawn.
        target: multiply-adds that an attentive sampler is attentive to.
        distill: they and the smallest learn what the largest says, else the labels.
        fixed: the largest and the smallest network of each step are the space's, else of ops and skips that are drawn.
        transform: smaller kernels are learnt transforms of the larger's centre.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    between: Annotated[int, Field(ge=0, le=64)] = 4
    sampler: str = "fair"
    target: Annotated[Number, Field(gt=0)] | None = None
    distill: bool = False
    fixed: bool = False
    transform: bool = False


class SupernetSettings(BaseModel):
    """supernet.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    space: dict[str, Any]
    classes: Annotated[int, Field(ge=1)]
    in_chans: Annotated[int, Field(ge=1)]
    data: str
    data_dir: str | None
    images: str
    recipe: SandwichRecipe
    config: dict[str, Any]

    @property
    def fitted(self) -> SearchSpace:
        """The space with the data's classes and channels."""
        return SearchSpace.from_data(self.space, SETTINGS).with_data(self.classes, self.in_chans)


@dataclass(frozen=True)
class Trained:
    """A supernet that was trained to its end, in eval mode."""

    folder: Path
    settings: SupernetSettings
    supernet: Supernet

    def check_images(self, data: Data) -> None:
        """Raises NasError for data that it was not trained on: images that it learnt might score it."""
        where = "" if self.settings.data_dir is None else f" --data-dir {self.settings.data_dir}"
        if contents(data) != self.settings.images:
            raise NasError(
                f"{self.folder}: its supernet was trained on other images than those of {data.name}, some of which may "
                f"score it here; give --data {self.settings.data}{where}"
            )


def settings_of(folder: Path) -> SupernetSettings:
    """What the supernet in a folder was begun with.

    Raises:
        NasError: where there is none, or one of another version.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise NasError(f"{folder}: holds no training to resume; leave --resume out to begin one")
    found = load_json(text_of(path, MOST), str(path), "restore it, or train the supernet anew")
    written = found.get("format") if isinstance(found, dict) else None
    if written != FORMAT:
        raise NasError(
            f"{folder / SETTINGS}: its format is {written!r} instead of {FORMAT!r}; train the supernet anew with nas "
            "supernet"
        )
    settings = validate(SupernetSettings, found, str(folder / SETTINGS))
    SearchSpace.from_data(settings.space, str(folder / SETTINGS))
    if settings.recipe.sampler not in SAMPLERS:
        raise NasError(f"{folder / SETTINGS}: sampler is {settings.recipe.sampler!r}; restore the file")
    return settings


def ready(folder: Path) -> SupernetSettings:
    """What the trained supernet in a folder is of; its weights are not read.

    Raises:
        NasError: where there is none, or it is not trained to its end.
    """
    if not (folder / SETTINGS).is_file():
        raise NasError(
            f"{folder}: holds no supernet (no {SETTINGS} in it); train one with nas supernet SPACE --data DATA"
        )
    settings = settings_of(folder)
    if not (folder / WEIGHTS).is_file():
        raise NasError(
            f"{folder}: its supernet is not trained to the end; go on with nas supernet ... --resume"
        )
    return settings


def load_supernet(folder: Path) -> Trained:
    """The trained supernet of a folder.

    Raises:
        NasError: where there is none, it is not trained to its end, or its weights are of another space or version.
    """
    settings, path = ready(folder), folder / WEIGHTS
    space = settings.fitted
    tensors, metadata = read_tensors(path, "restore it, or train the supernet anew")
    for name, found, wanted in (
        ("format", metadata.get("format"), FORMAT), ("space", metadata.get("space"), space.sha256),
    ):  # fmt: skip
        if found != wanted:
            raise NasError(
                f"{path}: its {name} is {found!r} instead of {wanted!r}; restore the file, or train anew"
            )
    with torch.device("meta"):  # takes no memory before the file is known to hold what the settings promise
        supernet = Supernet(space, settings.recipe.transform)
    check_fits(supernet, tensors, str(path))
    supernet.load_state_dict(tensors, assign=True)
    return Trained(folder, settings, supernet.eval())


def save_supernet(supernet: Supernet, folder: Path) -> Path:
    """Writes the weights, whole or not at all; NasError where they cannot be written."""
    path = folder / WEIGHTS
    write_tensors(path, dict(supernet.state_dict()), {"format": FORMAT, "space": supernet.space.sha256})
    return path


def check_fits(supernet: Supernet, tensors: dict[str, Tensor], where: str) -> None:
    """Raises NasError for tensors that are not this supernet's, naming the first."""
    wanted = {name: tuple(tensor.shape) for name, tensor in supernet.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    off = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
    if off:
        name = off[0]
        raise NasError(
            f"{where}: {name} has shape {found.get(name, 'none')} instead of {wanted.get(name, 'none')}; restore the "
            "file, or train anew"
        )
    for name, tensor in supernet.state_dict().items():
        if tensors[name].dtype != tensor.dtype or not tensors[name].isfinite().all():
            raise NasError(
                f"{where}: {name} has values that no training leaves; restore the file, or train anew"
            )
