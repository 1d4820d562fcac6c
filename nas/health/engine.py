"""torch, CUDA and NNI: whether they can be imported, whether node runs, and whether its servers stay at home.

Each function takes what a process has found (`nas.health.running`), so that it says the same of any environment.
"""

import importlib.metadata
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from nas.health.finding import ANEW, Finding, broken, note, works
from nas.health.running import Ended, Probe, run
from nas.health.shadows import mend_of

if TYPE_CHECKING:
    from nas.search.gpus import GPUs

SLOW = 8.0
"""Seconds of nnictl's start from which NNI's limit is named: it gives its tuner ten to connect."""
LISTEN = (
    "const s = require('net').createServer();"
    "s.listen(0, () => { console.log(JSON.stringify([process.version, s.address().address])); s.close() })"
)
"""For node: listens as NNI's manager does, on any port, and says where."""


def torch(probe: Probe) -> Finding:
    """Whether torch can be imported and trains."""
    step = probe.step("torch")
    if step.error:
        return broken(
            "torch", f"cannot be used: {step.error}",
            mend_of(
                "make setup installs torch anew; for a CPU build, TORCH_ARGS as in README; if torch was ended by "
                "SIGILL, this processor is older than the build"
            ),
        )  # fmt: skip
    other = probe.step("torchvision")
    if other.error:
        return broken(
            "torch", f"{step.value['version']}, but torchvision cannot be used: {other.error}",
            "install both from one index: make setup TORCH_ARGS=\"--index-url URL\"",
        )  # fmt: skip
    return works("torch", f"{step.value['version']}, torchvision {other.value['version']}")


def gpu(probe: Probe, driver: bool | None = None, handed: "GPUs | None" = None) -> Finding:
    """Whether there is a CUDA device, whether it trains in float16, and whether NNI, which hands GPUs out, finds it.

    Args:
        driver: whether NVIDIA's is there; looked for unless given.
        handed: what NNI finds; asked for unless given.
    """
    step, version = probe.step("gpu"), probe.step("torch").value
    if probe.step("torch").error:
        return note("gpu", "not looked at, as torch cannot be used", "the line torch says why")
    if step.error:
        return broken(
            "gpu", f"torch's CUDA breaks down: {step.error}",
            'hide the devices (export CUDA_VISIBLE_DEVICES=""), or mend the driver: see nvidia-smi',
        )  # fmt: skip
    devices = step.value["devices"]
    bad = [f"{d['name']}: {d['error']}" for d in devices if d["error"]]
    if bad:
        return broken(
            "gpu", f"does not train in float16: {'; '.join(bad)}",
            "give --device cpu in trialCommand, or a build of torch for this device: TORCH_ARGS as in README",
        )  # fmt: skip
    if devices:
        names = ", ".join(f"{d['name']} ({d['memory'] / 2**30:.0f} GiB)" for d in devices)
        known = f"CUDA {version.get('cuda')}, float16: {names}"
        handed = _handed_out() if handed is None else handed
        if handed.number == len(devices):
            return works("gpu", known)
        why = f" ({handed.reason})" if handed.reason else ""
        return note(
            "gpu", f"{known}; NNI, for trialGpuNumber, finds {handed.number}{why}",
            "name those that it is to hand out with gpuIndices, as nvidia-smi counts them" if handed.number
            else "leave trialGpuNumber out: trials then have the GPUs of your environment",
        )  # fmt: skip
    driver = _driver() if driver is None else driver
    if driver and os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1"):
        return note(
            "gpu", "hidden by CUDA_VISIBLE_DEVICES: trainings run on the CPU", "unset CUDA_VISIBLE_DEVICES"
        )
    if driver and not version.get("cuda"):
        return note(
            "gpu", "there is NVIDIA's driver, but this torch is a build for the CPU",
            "make clean setup without TORCH_ARGS, or with the URL of a CUDA build",
        )  # fmt: skip
    if driver:
        return note(
            "gpu", f"there is NVIDIA's driver, but torch, built for CUDA {version['cuda']}, sees no device",
            "the driver is older than that, or the device is not this user's or container's: see nvidia-smi",
        )  # fmt: skip
    return note("gpu", "none: trainings run on the CPU, which is enough for digits")


def _handed_out() -> "GPUs":
    from nas.search.gpus import here

    return here()


def _driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def nni(probe: Probe) -> Finding:
    """Whether NNI is of the version that b0nas knows, and its strategies can be imported."""
    try:
        there = importlib.metadata.version("nni")
    except importlib.metadata.PackageNotFoundError:
        return broken("nni", "not installed", "make setup (or: pip install 'nni>=3.0,<4')")
    if there.split(".")[0] != "3":
        return broken("nni", f"{there}; b0nas is written for 3", "pip install 'nni>=3.0,<4'")
    step = probe.step("strategies")
    if step.error:
        mend = "the line torch says why" if probe.step("torch").error else mend_of(ANEW)
        return broken("nni", f"{there}, whose strategies cannot be imported: {step.error}", mend)
    return works("nni", f"{there}; strategies {', '.join(step.value['names'])}")


def nnictl(ended: Ended) -> Finding:
    """Whether nnictl starts, and in a time that leaves NNI's tuner enough of its own.

    Args:
        ended: of `nnictl --version`.
    """
    if ended.error:
        mend = "see the lines setuptools, pins and nni; with them in order, " + ANEW
        return broken("nnictl", f"does not start: {ended.error}", mend)
    if ended.seconds > SLOW:
        return note(
            "nnictl", f"starts, in {ended.seconds:.1f} s; NNI gives its tuner ten seconds to connect",
            "wait until the machine is quieter; nas search tries three times",
        )  # fmt: skip
    return works("nnictl", f"starts, in {ended.seconds:.1f} s")


def node_program() -> list[str]:
    """node as NNI starts it: the one inside its package.

    Raises:
        FileNotFoundError: where it is not there.
    """
    spec = importlib.util.find_spec("nni_node")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program, manager = Path(folder, "node"), Path(folder, "main.js")
        if not manager.is_file():
            raise FileNotFoundError(f"{manager} is missing")
        return [str(program)]
    raise FileNotFoundError("NNI's package nni_node is missing")


def node() -> Finding:
    """Whether NNI's node runs, in which its manager and web page do."""
    mend = "pip install --force-reinstall --no-deps 'nni>=3.0,<4' (its wheel is for x86-64 Linux, macOS and Windows)"
    try:
        words = node_program()
    except FileNotFoundError as error:
        return broken("node", str(error), mend)
    plain = {name: value for name, value in os.environ.items() if name != "NODE_OPTIONS"}
    ended = run([*words, "-e", LISTEN], plain, bound=20)
    if ended.error:
        return broken("node", f"does not run: {ended.error}", mend)
    return works("node", f"{json.loads(ended.out)[0]}, NNI's own")


def loopback() -> Finding:
    """Whether NNI's servers, as `nas search` starts them, listen on this machine alone."""
    from nas.search.guard import LOOPBACK, at_home

    if not LOOPBACK.is_file():
        return broken(
            "loopback", f"{LOOPBACK} is missing: NNI's port would be open to all", "install b0nas again"
        )
    ended = run([*node_program(), "-e", LISTEN], at_home(os.environ), bound=20)
    if ended.error:
        return broken(
            "loopback", f"node does not start with NODE_OPTIONS as nas search sets them: {ended.error}",
            "unset NODE_OPTIONS, of which your own part is kept" if os.environ.get("NODE_OPTIONS") else ANEW,
        )  # fmt: skip
    address = json.loads(ended.out)[1]
    if address != "127.0.0.1":
        return broken(
            "loopback", f"NNI's port would listen on {address}, without a password", "install b0nas again"
        )
    return works("loopback", "NNI's port, under nas search, is open to this machine alone")
