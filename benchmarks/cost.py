"""Claim: in a search, the closed-form cost is over 5,000 times faster than build + fvcore.

    .venv/bin/python benchmarks/cost.py     (a minute)

It holds once the search has met most of a space's stages, each of which is counted once (`warm`):
about 6,700 times on random networks of `mnasnet`, 19,000 on EfficientNet-B0 met before. It does not
hold for the first network of a process, whose every stage is new (`cold`): 2,700 to 3,000 times. The
vectorized form takes a quarter of a microsecond a candidate.

Printed on a virtual machine of two x86-64 cores:

    python 3.11.7, torch 2.14.1+cu130, fvcore 0.1.5.post20221221; 2 cores, 1 threads, load 2.3
    seed 0, n = 31; microseconds: median (quartiles); ratio to build + fvcore: median
    efficientnet-b0  build + fvcore  243,097.6 (227,804.5 to 289,540.2)                  1 x
    efficientnet-b0  cold                 77.6 (76.3 to 84.4)                        3,019 x
    efficientnet-b0  warm                 12.6 (12.2 to 13.8)                       19,054 x
    mnasnet, random  build + fvcore  205,030.8 (179,980.4 to 251,597.1)                  1 x
    mnasnet, random  cold                 73.2 (64.0 to 97.5)                        2,692 x
    mnasnet, random  warm                 27.7 (26.4 to 33.3)                        6,719 x
    mnasnet, random  vectorized            0.2 (0.2 to 0.3)                        867,059 x
"""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import torch

import nas
from nas.architecture import Architecture, stage_blocks, stage_cost
from nas.profile import fvcore_count

SEED = 0
ROUNDS = 31
SEEN = 5_000  # architectures of the space met before; MnasNet's search sampled about 8,000
CANDIDATES = 10_000  # in one call of the vectorized form


def seconds(run: Callable[[], object]) -> float:
    """Processor seconds, on the one thread that `main` allows: other programs' load is not in them."""
    start = time.process_time()
    run()
    return time.process_time() - start


def fresh(arch: Architecture) -> Architecture:
    """An equal architecture made of new objects, whose cost was never asked for."""
    stages = tuple(replace(stage) for stage in arch.stages)
    return Architecture(replace(arch.stem), stages, replace(arch.head), arch.activation, arch.resolution)


def closed_form(arch: Architecture) -> float:
    """Seconds for the parameters and the multiply-adds of a fresh architecture."""
    arch = fresh(arch)
    return seconds(lambda: (arch.params, arch.macs))


def cold_closed_form(arch: Architecture) -> float:
    """The same with the cost of every stage met before forgotten."""
    stage_blocks.cache_clear()
    stage_cost.cache_clear()
    return closed_form(arch)


def measure(archs: list[Architecture], seen: list[Architecture]) -> dict[str, list[float]]:
    """Seconds of each way for each of `archs`, the ways in turns, so that all meet the same machine.

    'cold' has met no stage yet (the median of five goes, which find the processor's own caches as
    ready as 'warm' does); 'warm' is a search, which met the architectures `seen`.
    """
    times: dict[str, list[float]] = {"build + fvcore": [], "cold": [], "warm": []}
    for arch in archs:
        start = time.process_time()
        fvcore_count(nas.build(arch), arch.resolution)
        times["build + fvcore"].append(time.process_time() - start)
        times["cold"].append(statistics.median(cold_closed_form(arch) for _ in range(5)))
        for other in seen:
            closed_form(other)
        times["warm"].append(closed_form(arch))
    return times


def quartiles(values: list[float]) -> str:
    low, median, high = statistics.quantiles(values, n=4)
    return f"{median:>9,.1f} ({low:,.1f} to {high:,.1f})"


def report(name: str, times: dict[str, list[float]]) -> None:
    counted = times["build + fvcore"]
    for way, taken in times.items():
        ratios = [slow / fast for slow, fast in zip(counted, taken, strict=True)]
        micro = quartiles([1e6 * t for t in taken])
        print(f"{name:<16} {way:<15} {micro:<40} {statistics.median(ratios):>12,.0f} x")


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    space = nas.SearchSpace.load("mnasnet")
    b0 = nas.load("efficientnet-b0").architecture
    drawn = [space.decode(space.sample(rng)) for _ in range(ROUNDS + SEEN)]
    fvcore_count(nas.build(b0), b0.resolution)  # the first count imports fvcore

    print(
        f"python {platform.python_version()}, torch {torch.__version__}, fvcore {version('fvcore')};", end=" "
    )
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    print(f"seed {SEED}, n = {ROUNDS}; microseconds: median (quartiles); ratio to build + fvcore: median")

    report("efficientnet-b0", measure([b0] * ROUNDS, seen=[b0]))
    times = measure(drawn[:ROUNDS], seen=drawn[ROUNDS:])
    sizes = [len(values) for values in space.choices.values()]
    indices = rng.integers(0, sizes, size=(CANDIDATES, len(sizes)))
    space.costs(indices)  # the first call makes the tables
    times["vectorized"] = [seconds(lambda: space.costs(indices)) / CANDIDATES for _ in range(ROUNDS)]
    report("mnasnet, random", times)


if __name__ == "__main__":
    main()
