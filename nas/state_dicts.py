"""State dicts of other people: read without running any code, and what their tensors say.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     torch.save({"state_dict": {"module.fc.weight": torch.zeros(5, 3)}}, Path(folder, "mine.pth"))
...     tensors = read_state_dict(Path(folder, "mine.pth"))
>>> list(tensors), classes_of(tensors), parameters_of(tensors)
(['fc.weight'], 5, 15)
"""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.errors import NasError, short
from nas.files import check_file
from nas.sources import first_line

COUNTER = "num_batches_tracked"
"""Batch norm's counter, without which older files were written; no output depends on it."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of one that torch.save wrote; no code in it is run.

    A training's checkpoint gives what it has under 'state_dict' or 'model'; DataParallel's 'module.' is dropped.

    Raises:
        NasError: for a file that cannot be read so, or holds something else.
    """
    found: Any
    check_file(path, mend="give the path of a .pth, .pt or .safetensors file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(path)
        else:
            _check_zip(path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a pickle's protocol; what cannot be read is told below
                found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        reason = first_line(error).split(". ")[0].rstrip(".:")
        reason = reason if " " in reason else type(error).__name__  # such as KeyError: 101
        raise NasError(
            f"{path}: cannot be read as a state dict ({reason}); give a .safetensors file, or a .pth or .pt that "
            "torch.save wrote of tensors alone, as of net.state_dict()"
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not (isinstance(found, dict) and found and all(isinstance(t, Tensor) for t in found.values())):
        raise NasError(
            f"{path}: holds no state dict but a {type(found).__name__}; save net.state_dict() and give that file"
        )
    for name, tensor in found.items():
        if _larger_than_stored(tensor):
            raise NasError(
                f"{path}: {short(str(name))} is no plain tensor of shape {tuple(tensor.shape)}, but one that repeats "
                "its values or has none; save net.state_dict() and give that file"
            )
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}


def _check_zip(path: Path) -> None:
    """Raises ValueError for a zip with what torch.save does not write: compressed parts, which may be of any size."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            if any(part.compress_type != zipfile.ZIP_STORED for part in file.infolist()):
                raise ValueError("its parts are compressed")


def _larger_than_stored(tensor: Tensor) -> bool:
    """Whether a tensor is more than what was read of it, as an expanded one, a sparse one or one without values."""
    plain = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
    return not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()


def classes_of(tensors: dict[str, Tensor]) -> int:
    """Outputs of the classifier: of the last matrix among the tensors, else of a convolution called classifier
    (SqueezeNet's); 1 where there is neither."""
    matrices = [t for t in tensors.values() if t.ndim == 2]
    convs = [t for name, t in tensors.items() if name.startswith("classifier.") and t.ndim == 4]
    return (matrices or convs or [torch.zeros(1)])[-1].shape[0]


def parameters_of(tensors: dict[str, Tensor]) -> int:
    """Parameters: all but the statistics of batch norm."""
    return sum(
        t.numel() for n, t in tensors.items() if not n.endswith((COUNTER, "running_mean", "running_var"))
    )
