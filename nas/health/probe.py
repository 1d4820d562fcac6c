"""A process that imports what may crash, and prints one line of JSON a step: name, what was found, error.

    python -m nas.health.probe torch | setuptools

>>> step("sum", lambda: {"of": 1 + 1})
["sum", {"of": 2}, ""]
>>> step("quotient", lambda: {"of": 1 // 0})
["quotient", {}, "ZeroDivisionError: integer division or modulo by zero"]
"""

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

from nas.health.finding import reason


def step(name: str, function: Callable[[], dict[str, Any]]) -> None:
    """Prints what a step found, or how it failed."""
    value: dict[str, Any] = {}
    error = ""
    try:
        value = function()
    except (Exception, SystemExit) as failure:
        error = reason(failure)
    print(json.dumps([name, value, error]), flush=True)


def torch_itself() -> dict[str, Any]:
    """torch trains: the gradient of one small convolution is finite."""
    import torch

    net = torch.nn.Conv2d(1, 4, 3)
    net(torch.ones(2, 1, 8, 8)).square().mean().backward()
    gradient = net.weight.grad
    if gradient is None or not bool(torch.isfinite(gradient).all()):
        raise ArithmeticError("the gradient of a convolution is not finite")
    return {"version": torch.__version__, "cuda": torch.version.cuda}


def torchvision_itself() -> dict[str, Any]:
    """torchvision's operators are of a build that fits torch's; the whole of it takes seconds to import."""
    from importlib.metadata import version
    from importlib.util import find_spec
    from pathlib import Path

    import torch

    spec = find_spec("torchvision")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    libraries = sorted(
        path for folder in folders for path in folder.glob("_C*") if path.suffix in (".so", ".pyd")
    )
    if not libraries:
        raise ImportError("its operators are missing" if folders else "there is no package torchvision")
    torch.ops.load_library(str(libraries[0]))
    _ = torch.ops.torchvision.nms  # raises where it is missing
    return {"version": version("torchvision")}


def gpus() -> dict[str, Any]:
    """Every CUDA device, and whether it trains in float16 as trials do (automatic mixed precision)."""
    import torch

    found = []
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(number)
        error = ""
        try:
            _train_in_half(f"cuda:{number}")
        except Exception as failure:
            error = reason(failure)
        found.append({"name": properties.name, "memory": properties.total_memory, "error": error})
    return {"devices": found}


def _train_in_half(device: str) -> None:
    import torch

    net = torch.nn.Conv2d(8, 8, 3).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cuda")
    with torch.autocast("cuda", torch.float16):
        loss = net(torch.ones(2, 8, 8, 8, device=device)).square().mean()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    torch.cuda.synchronize(device)


def pkg_resources() -> dict[str, Any]:
    """setuptools' pkg_resources, as nnictl imports it; that it warns is told by its version."""
    from importlib import import_module

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("pkg_resources")
    return {}


def strategies() -> dict[str, Any]:
    """NNI's strategies, without its one-shot ones, as the tuner imports them."""
    from nas.search.strategies import STRATEGIES

    return {"names": sorted(STRATEGIES)}


STEPS: dict[str, list[tuple[str, Callable[[], dict[str, Any]]]]] = {
    "torch": [
        ("torch", torch_itself),
        ("torchvision", torchvision_itself),
        ("gpu", gpus),
        ("strategies", strategies),
    ],
    "setuptools": [("pkg_resources", pkg_resources)],
}

if __name__ == "__main__":
    for name, function in STEPS[sys.argv[1]]:
        step(name, function)
