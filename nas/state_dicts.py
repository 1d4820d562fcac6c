"""State dicts of other people: read without running any code, and what their tensors say.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     torch.save({"state_dict": {"module.fc.weight": torch.zeros(5, 3)}}, Path(folder, "mine.pth"))
...     tensors = read_state_dict(Path(folder, "mine.pth"))
>>> list(tensors), classes_of(tensors), parameters_of(tensors)
(['fc.weight'], 5, 15)
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.errors import NasError
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
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a pickle's protocol; what cannot be read is told below
                found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        reason = first_line(error).split(". ")[0].rstrip(".:")
        reason = reason if " " in reason else type(error).__name__  # such as KeyError: 101
        raise NasError(
            f"{path}: cannot be read as a state dict ({reason}); give a .safetensors file, or a .pth or .pt that "
            "torch.save wrote of tensors alone"
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not (isinstance(found, dict) and found and all(isinstance(t, Tensor) for t in found.values())):
        raise NasError(
            f"{path}: holds no state dict but a {type(found).__name__}; save net.state_dict() and give that file"
        )
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}


def classes_of(tensors: dict[str, Tensor]) -> int:
    """Outputs of the classifier, the one matrix among the tensors; 1 where there is none."""
    return next((t.shape[0] for t in reversed(tensors.values()) if t.ndim == 2), 1)


def parameters_of(tensors: dict[str, Tensor]) -> int:
    """Parameters: all but the statistics of batch norm."""
    return sum(
        t.numel() for n, t in tensors.items() if not n.endswith((COUNTER, "running_mean", "running_var"))
    )
