"""Which device a training runs on.

>>> device_of("cpu")
'cpu'
"""

import re

from nas.errors import NasError


def device_of(name: str, where: str = "trial: ") -> str:
    """The torch device of --device; 'auto' is cuda where there is one.

    Args:
        where: what a sentence about a mistake begins with.

    Raises:
        NasError: for a device that is not there.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    cuda = re.fullmatch(r"cuda(?::(\d+))?", name)
    if name != "cpu" and cuda is None:
        raise NasError(f"{where}--device is {name!r}; allowed: auto, cpu, cuda, cuda:N")
    if cuda and not torch.cuda.is_available():
        raise NasError(f"{where}--device is {name}, but torch sees no CUDA device; use cpu or auto")
    if cuda and int(cuda.group(1) or 0) >= torch.cuda.device_count():
        raise NasError(
            f"{where}--device is {name}, but of CUDA devices torch sees {torch.cuda.device_count()}, numbered "
            "from 0; under NNI give cuda, which is the one that NNI gave to the trial"
        )
    return name
