"""Claim: see what it prints; how long a strategy thinks before it asks, and how much memory it takes.

    .venv/bin/python benchmarks/thinking.py [--strategies model,evolution] [--sizes 100,1000,8000]

The space is `mnasnet`, the accuracy a made-up smooth one. A process of its own for each strategy and
size tells n results of random samples, then asks and tells in turn; timed are 7 asks, by processor
time of all threads, after a first one, in which a strategy also takes in all that it was told.
A strategy of NNI's learns from what it proposed alone: it is asked for the n samples instead.
Memory is the most that the process ever held, and how much of it came after the space was loaded.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import psutil

import nas
from nas.search.own_strategy import OwnStrategy
from nas.search.strategies import STRATEGIES

SEED = 0
ASKS = 7
SIZES = (100, 1000, 8000)
MEGA = 2**20


class MadeUp:
    """Accuracies that rise and fall smoothly with the positions of the values, with pairs that matter."""

    def __init__(self, space: nas.SearchSpace) -> None:
        rng = np.random.default_rng(SEED)
        self._choices = space.choices
        self._slope = rng.normal(0, 1, len(self._choices))
        self._pair = rng.normal(0, 1, len(self._choices))

    def __call__(self, sample: dict[str, Any]) -> float:
        at = np.array([
            values.index(sample[label]) / max(1, len(values) - 1) for label, values in self._choices.items()
        ]) - 0.5  # fmt: skip
        score = self._slope @ at + 2 * self._pair @ (at * np.roll(at, 1))
        return float(0.4 + 0.4 / (1 + np.exp(-score)))


def child(strategy: str, size: int) -> dict[str, Any]:
    """Times and memory of one strategy after so many results; called in a process of its own."""
    space = nas.SearchSpace.load("mnasnet")
    accuracy = MadeUp(space)
    search = nas.Search(space, strategy, seed=SEED)
    process = psutil.Process()
    before = process.memory_info().rss
    kind = STRATEGIES[strategy]
    own = isinstance(kind, type) and issubclass(kind, OwnStrategy)
    rng = np.random.default_rng(SEED)
    for _ in range(size):
        sample = space.sample(rng) if own else search.ask()
        assert sample is not None
        search.tell(sample, accuracy=accuracy(sample))
    seconds = []
    for _ in range(1 + ASKS):
        start = time.process_time()
        sample = search.ask()
        seconds.append(time.process_time() - start)
        assert sample is not None
        search.tell(sample, accuracy=accuracy(sample))
    search.close()
    return {"first": seconds[0], "asks": seconds[1:], "peak": peak(), "before": before}


def peak() -> int:
    """The most bytes that this process ever held."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def line(
    strategy: str, size: int, found: dict[str, Any], smaller: tuple[int, float] | None
) -> tuple[str, float]:
    """What to print of a child, and its median."""
    low, median, high = np.percentile(found["asks"], (0, 50, 100))
    growth = ""
    if smaller is not None:
        growth = f"{median / smaller[1]:8.1f} x of {size / smaller[0]:g} x"
    memory = f"{found['peak'] / MEGA:8.0f} {(found['peak'] - found['before']) / MEGA:8.0f}"
    times = f"{1e3 * median:10.1f} ({1e3 * low:.1f} to {1e3 * high:.1f})"
    return f"{strategy:<12}{size:>7,} {times:<34}{1e3 * found['first']:>9.1f} {memory}{growth}", median


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--strategies", default="model,evolution,random", help="names, by commas")
    options.add_argument("--sizes", default=",".join(map(str, SIZES)), help="results told before, by commas")
    options.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    strategies, sizes = given.strategies.split(","), [int(size) for size in given.sizes.split(",")]
    if given.child:
        print(json.dumps(child(strategies[0], sizes[0])))
        return
    print(f"python {platform.python_version()}, numpy {np.__version__}, b0nas {nas.__version__};", end=" ")
    print(f"{os.cpu_count()} cores, 1 thread, load {os.getloadavg()[0]:.1f}; seed {SEED}, {ASKS} asks")
    print(f"{'strategy':<12}{'told':>7} {'ms an ask: median (least to most)':<34}{'first':>9} "
          f"{'peak MB':>8} {'of it':>8}  growth of the median with that of n")  # fmt: skip
    for strategy in strategies:
        smaller = None
        for size in sizes:
            command = [sys.executable, __file__, "--child", "--strategies", strategy, "--sizes", str(size)]
            found = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if found.returncode:
                print(f"{strategy:<12}{size:>7,} failed, see above", flush=True)
                continue
            text, median = line(strategy, size, json.loads(found.stdout.splitlines()[-1]), smaller)
            print(text, flush=True)
            smaller = (size, median)


if __name__ == "__main__":
    main()
