"""Times the parts of whole networks in place: each part as it runs, its input warm and its weights as cold as the
parts before it left them; and whole networks, undivided, for a model of them to be judged by.

Networks are timed by the handful, in turns, round after round, so that what else the machine does falls on all of
them alike.

>>> import nas
>>> nets = {"b0": nas.build(nas.load("efficientnet-b0").architecture)}
>>> passes, beside = time_together(nets, {"b0"}, batch=1, reference=nets["b0"], rounds=2, warm_up=1)
>>> passes["b0"].shape, beside.shape            # the stem, 16 blocks and the tail; before it and after
((2, 18), (2, 2))
"""

import time
from collections.abc import Callable, Collection, Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from nas.latency import finished, images_for
from nas.network import Network

ROUNDS, WARM_UP = 6, 1
"""Passes of each network that count, and before them; the first makes oneDNN's or cuDNN's plans."""
EVERY = 2
"""Networks between two passes of the reference."""


def stretches(net: Network) -> list[Callable[[Tensor], Tensor]]:
    """A network as functions, one after the other: those of `nas.latency_model.parts`."""
    blocks = [block for stage in net.stages.children() for block in stage.children()]
    return [lambda x: net.stem_rest(net.stem(x)), *blocks, lambda x: net.forward_head(net.head(x))]


def time_together(
    nets: Mapping[str, Network],
    divided: Collection[str],
    batch: int,
    reference: Network,
    rounds: int = ROUNDS,
    warm_up: int = WARM_UP,
    device: str = "cpu",
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Milliseconds of passes, float array (rounds, parts) of a network in `divided`, else (rounds, 1); and of the
    reference's passes, (rounds, passes): it runs at either end of a round, and after every `EVERY` networks.

    Args:
        nets, reference: on `device`; they are left in eval mode.
        divided: names of those whose parts are timed.
    """
    run = _on_cpu if device == "cpu" else _on_cuda
    way = {name: stretches(net) if name in divided else [net] for name, net in nets.items()}
    images = {name: images_for(net.eval(), batch, device) for name, net in nets.items()}
    beside = images_for(reference.eval(), batch, device)
    taken: dict[str, list[list[float]]] = {name: [] for name in nets}
    references: list[list[float]] = []
    with torch.inference_mode():
        for done in range(warm_up + rounds):
            passes = {}
            times = run([reference], beside)
            for number, (name, functions) in enumerate(way.items(), 1):
                passes[name] = run(functions, images[name])
                if number % EVERY == 0 or number == len(way):
                    times += run([reference], beside)
            if done >= warm_up:
                references.append(times)
                for name, found in passes.items():
                    taken[name].append(found)
    return {name: np.array(rows) for name, rows in taken.items()}, np.array(references)


def _on_cpu(functions: list[Callable[[Tensor], Tensor]], x: Tensor) -> list[float]:
    marks = [time.perf_counter()]
    for function in functions:
        x = function(x)
        marks.append(time.perf_counter())
    return [1000 * (after - before) for before, after in pairwise(marks)]


def _on_cuda(functions: list[Callable[[Tensor], Tensor]], x: Tensor) -> list[float]:
    """A whole network by the clock, until the GPU has finished; parts by events of the GPU's own, between which it
    never waits for us longer than in an undivided pass."""
    finish = finished("cuda")
    finish()
    if len(functions) == 1:
        begun = time.perf_counter()
        functions[0](x)
        finish()
        return [1000 * (time.perf_counter() - begun)]
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(functions) + 1)]
    marks[0].record()
    for function, mark in zip(functions, marks[1:], strict=True):
        x = function(x)
        mark.record()
    finish()
    return [before.elapsed_time(after) for before, after in pairwise(marks)]
