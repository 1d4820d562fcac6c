"""Whether weights fit: their file's key against an architecture's, their tensors against a network's.

>>> net = nn.Linear(2, 2)
>>> fill(net, {"weight": torch.ones(2, 2), "bias": torch.ones(3)}, "x.safetensors")  # doctest: +ELLIPSIS
Traceback (most recent call last):
...
nas.errors.NasError: x.safetensors: is of another architecture (bias is (3,) there and (2,) here); give the ...
"""

import torch
from torch import Tensor, nn

from nas.architecture import Architecture
from nas.errors import NasError, listed
from nas.keys import difference


def check_key(arch: Architecture, key: str, where: str) -> None:
    """Raises NasError where a file says that it is of another architecture: shapes say nothing of activation,
    skips and strides. Resolution, channels of the images and classes may differ; '', which says nothing, passes."""
    found = difference(key, arch.key) if key else None
    if found is not None:
        raise NasError(
            f"{where}: is of another architecture ({found}); give the baseline that these weights were trained for"
        )


def channels_of(tensors: dict[str, Tensor]) -> int | None:
    """Channels of the images that a network of ours with these weights takes; None where they do not say."""
    stem = tensors.get("stem.conv.weight", torch.zeros(0))
    return stem.shape[1] if stem.ndim == 4 and stem.numel() else None


def check_channels(tensors: dict[str, Tensor], in_chans: int, where: str, data: str) -> None:
    """Raises NasError where weights want images of other channels than the data's."""
    wanted = channels_of(tensors)
    if wanted not in (None, in_chans):
        raise NasError(
            f"{where}: wants images of {wanted} channels, and {data} has {in_chans}; give data or weights of as many"
        )


def fill(
    net: nn.Module, tensors: dict[str, Tensor], where: str, leave: tuple[str, ...] = (),
    mend: str = "give the baseline that these weights were trained for",
) -> None:  # fmt: skip
    """Copies tensors into a network, all of them or none.

    A 1x1 convolution of pooled features, as timm's MobileNetV3 has it, goes into a linear layer.

    Args:
        leave: beginnings of names that are neither asked for nor taken, such as 'classifier.'.
        mend: the end of the message.

    Raises:
        NasError: for a name that is missing or too many, or another shape: the weights of another network.
    """
    own = (
        {name: t for name, t in net.state_dict().items() if not name.startswith(leave)}
        if leave
        else net.state_dict()
    )
    given = {
        name: t[..., 0, 0] if t.shape[2:] == (1, 1) and name in own and own[name].ndim == 2 else t
        for name, t in tensors.items()
        if not (leave and name.startswith(leave))
    }
    absent, excess = [n for n in own if n not in given], [n for n in given if n not in own]
    wrong = [n for n in own if n in given and (own[n].shape != given[n].shape or given[n].dtype.is_complex)]
    if absent or excess or wrong:
        raise NasError(f"{where}: is of another architecture ({_difference(own, given, absent, excess, wrong)}); "
                       f"{mend}")  # fmt: skip
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(given[name])


def _difference(
    own: dict[str, Tensor], given: dict[str, Tensor], absent: list[str], excess: list[str], wrong: list[str]
) -> str:
    if wrong:
        name = wrong[0]
        if own[name].shape == given[name].shape:
            return f"{name} is of {given[name].dtype} there and {own[name].dtype} here"
        return f"{name} is {tuple(given[name].shape)} there and {tuple(own[name].shape)} here"
    words = [f"{len(absent)} tensors are missing, such as {absent[0]}"] if absent else []
    words += [f"{len(excess)} are not of this network, such as {excess[0]}"] if excess else []
    return listed(words)
