"""How long networks take on this machine: warmed up, interleaved, median and spread.

Networks are timed in turn, one forward pass each and round after round, so that what else the machine
does in the meantime falls on all of them alike. EfficientNet (arXiv:1905.11946), Table 4, times one core.

>>> import nas
>>> nets = {"b0": nas.build(nas.load("efficientnet-b0").architecture)}
>>> found = measure(nets, batch=1, rounds=3, warm_up=1)["b0"]
>>> found.n, found.low <= found.median <= found.high
(3, True)
"""

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nas.errors import plural
from nas.network import Network

ROUNDS, WARM_UP, SECONDS, LEAST = 20, 2, 30.0, 3
PERCENTILES = (10, 50, 90)
SPREAD = 2.0
"""The 90th percentile of a quiet machine's passes is below so many times the 10th."""


@dataclass(frozen=True)
class Latency:
    """One network at one batch size.

    Attributes:
        batch: images a pass.
        milliseconds: of every pass, in the order they were timed.
    """

    batch: int
    milliseconds: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.milliseconds)

    @property
    def low(self) -> float:
        """The 10th percentile, in milliseconds a batch."""
        return self._percentiles()[0]

    @property
    def quartile(self) -> float:
        """The lower quartile, in milliseconds a batch: what a latency model predicts."""
        return float(np.percentile(self.milliseconds, 25))

    @property
    def median(self) -> float:
        """In milliseconds a batch."""
        return self._percentiles()[1]

    @property
    def high(self) -> float:
        """The 90th percentile, in milliseconds a batch."""
        return self._percentiles()[2]

    def _percentiles(self) -> tuple[float, ...]:
        return tuple(float(p) for p in np.percentile(self.milliseconds, PERCENTILES))


def measure(
    nets: Mapping[str, Network],
    batch: int,
    *,
    rounds: int = ROUNDS,
    warm_up: int = WARM_UP,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
    device: str = "cpu",
) -> dict[str, Latency]:
    """Times a forward pass of every network in eval mode, at its own resolution; modes are restored.

    Args:
        nets: on `device`. On cuda a pass ends when the GPU has done its work.
        batch: images a pass, of random pixels, float32.
        rounds: passes of each network that count.
        warm_up: passes of each before that; one, where it takes longer than `seconds`.
        seconds: after these no further round begins, once there are `LEAST`.
        clock: seconds since some moment.
    """
    images = {name: images_for(net, batch, device) for name, net in nets.items()}
    done_with = finished(device)
    modes = {name: net.training for name, net in nets.items()}
    taken: dict[str, list[float]] = {name: [] for name in nets}
    with torch.inference_mode():
        for net in nets.values():
            net.eval()
        begun = clock()
        for done in range(warm_up):
            if done and clock() - begun > seconds:
                break
            for name, net in nets.items():
                net(images[name])
                done_with()
        begun = clock()
        for done in range(rounds):
            if done >= LEAST and clock() - begun > seconds:
                break
            for name, net in nets.items():
                start = clock()
                net(images[name])
                done_with()
                taken[name].append(1000 * (clock() - start))
    for name, net in nets.items():
        net.train(modes[name])
    return {name: Latency(batch, tuple(times)) for name, times in taken.items()}


def load_average() -> float:
    """How many processes want a CPU, over the last minute; 0 where the system does not say."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return 0.0


def disturbances(taken: Sequence[Latency], device: str, threads: int, before: float) -> list[str]:
    """A note where other programs are likely to be in the figures; `before` is `load_average` as it was then.

    >>> disturbances([Latency(1, (10.0, 10.0, 40.0))], "cpu", 1, 0.5)
    ['note: at batch 1 the 90 % are 3.4 times the 10 %: other programs had the machine busy; measure when it is idle']
    """
    wide = [one for one in taken if one.high > SPREAD * one.low]
    several, cpus = device == "cpu" and threads > 1, os.cpu_count() or 1
    if wide:
        ratio, mend = wide[0].high / wide[0].low, "with --threads 1 they weigh less"
        return [
            f"note: at batch {wide[0].batch} the 90 % are {ratio:.1f} times the 10 %: other programs had the machine "
            f"busy; {mend if several else 'measure when it is idle'}"
        ]
    if several and before + threads > cpus + 1:
        return [
            f"note: the load was {before:.1f} before, on {plural(cpus, 'CPU')}: {threads} threads wait for each other "
            "where others want them, too; with --threads 1 they weigh less"
        ]
    return []


def finished(device: str) -> Callable[[], None]:
    """A function that waits until the device has done what it was given: a CPU has, when a call returns."""
    return (lambda: None) if device == "cpu" else torch.cuda.synchronize


def images_for(net: Network, batch: int, device: str = "cpu") -> torch.Tensor:
    """Random pixels, float32 (batch, in_chans, H, W), at the network's own resolution."""
    arch = net.architecture
    generator = torch.Generator().manual_seed(0)
    size = (batch, arch.stem.in_chans, arch.resolution, arch.resolution)
    return torch.randn(size, generator=generator).to(device)


def machine() -> str:
    """This machine in words: processor, CPUs, system, versions."""
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        usable = os.cpu_count() or 1
    return (
        f"{processor()}, {usable} CPU{'s' if usable > 1 else ''}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def processor(device: str = "cpu") -> str:
    """The name of the CPU, or of the GPU."""
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "processor unknown"
