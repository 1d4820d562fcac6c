"""Claim: a training step of our networks, in the layout in which `nas` trains them, is 1.4 (EfficientNet-B0 at 224
pixels) to 2.3 times as fast as timm's network as it comes, and as fast as timm's in that layout (0.98 to 1.01), to the
same bit.

    .venv/bin/python benchmarks/train_step.py              the figures, from benchmarks/results/train_step.jsonl
    .venv/bin/python benchmarks/train_step.py measure      new rows on this machine (about ten minutes)

A step is what it is in every training: gradients to zero, forward, cross entropy, backward, SGD with momentum; on a
batch that is there already, dropout and stochastic depth off, one thread. The networks take their steps in turns in
one process, each round in another order, and are timed by the processor's clock. Ours begin with timm's weights, and
the losses of their first steps are compared.

Of the machine two peaks are measured in every round: of multiplying matrices (1,024 x 1,024, float32) and of copying
memory (256 MB). A step's arithmetic is 3 times the forward pass's multiply-adds; its memory traffic is what the
operators of ours read and write, counted one by one, as if no cache kept any of it.
"""

import os
import platform
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from rounds import Row, run, spread
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

import nas
from nas.importing import fill_in_order

ROWS = Path(__file__).parent / "results" / "train_step.jsonl"
SEED = 0
ROUNDS = 15
STEPS = 3
SIZES = ((32, 64), (224, 16))  # pixels, images a step
NETWORKS = {
    "efficientnet-b0": ("efficientnet_b0", "efficientnet_b0"),
    "mnasnet-a1": ("semnasnet_100", None),  # torchvision has B1 alone
    "mobilenet-v2": ("mobilenetv2_100", "mobilenet_v2"),
}
"""Of each its name in timm and in torchvision."""
SIDE = 1024
COPIED = 64 << 20  # floats


def networks(name: str) -> dict[str, nn.Module]:
    """The ways to have one network, each initialized with the same weights."""
    theirs, other = NETWORKS[name]
    torch.manual_seed(SEED)
    source = timm.create_model(theirs)
    norm = next(module for module in source.modules() if isinstance(module, nn.BatchNorm2d))
    found: dict[str, nn.Module] = {}
    for way, layout in (("ours", torch.channels_last), ("ours, contiguous", torch.contiguous_format)):
        net = nas.build(
            nas.load(name).architecture,
            norm_eps=norm.eps,
            norm_momentum=norm.momentum,
            dropout=0.0,
            drop_path=0.0,
        )
        fill_in_order(net, source.state_dict())
        found[way] = net.to(memory_format=layout)
    for way, layout in (("timm", None), ("timm, channels_last", torch.channels_last)):
        net = timm.create_model(theirs)
        net.load_state_dict(source.state_dict())
        found[way] = net if layout is None else net.to(memory_format=layout)
    if other is not None:
        off = {"dropout": 0.0} | ({"stochastic_depth_prob": 0.0} if "efficientnet" in other else {})
        for way, layout in (("torchvision", None), ("torchvision, channels_last", torch.channels_last)):
            net = torchvision.models.get_model(other, weights=None, **off)
            found[way] = net if layout is None else net.to(memory_format=layout)
    return {way: net.train() for way, net in found.items()}


def stepper(way: str, net: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], float]:
    """One training step, which returns its loss."""
    last = way == "ours" or way.endswith("channels_last")
    images = images.to(memory_format=torch.channels_last) if last else images
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


class Traffic(TorchDispatchMode):
    """Counts bytes that operators read and write; views move none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not any(result.alias_info and not result.alias_info.is_write for result in func._schema.returns):
            for one in torch.utils._pytree.tree_leaves((args, kwargs or {}, out)):
                self.bytes += one.numel() * one.element_size() if isinstance(one, Tensor) else 0
        return out


KINDS = {
    "batch norm": ("batch_norm",),
    "activation": ("silu", "hardtanh", "relu", "clamp", "threshold", "sigmoid"),
    "optimizer": ("sgd", "_foreach", "zero_"),
}


def kind_of(name: str, shapes: list[list[int]]) -> str:
    """What an operator of a step does."""
    if not name.startswith("aten::"):
        return "other"
    if "convolution" in name or "conv2d" in name:
        weight = shapes[2] if "backward" in name else shapes[1]
        return (
            "depthwise convolution"
            if len(weight) == 4 and weight[1] == 1 and weight[0] > 1
            else "convolution"
        )
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "other")


def shares(step: Callable[[], float]) -> dict[str, float]:
    """Where the processor's time of steps goes, by kind."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        for _ in range(STEPS):
            step()
    times: Counter[str] = Counter()
    for event in found.key_averages(group_by_input_shape=True):
        times[kind_of(event.key.lower(), event.input_shapes)] += event.self_cpu_time_total
    return {kind: time / times.total() for kind, time in times.most_common()}


def measure() -> Iterator[Row]:
    """A row a round, of every way; and before them one of what is compared and counted."""
    torch.set_num_threads(1)
    left, right = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    source, target = torch.zeros(COPIED), torch.zeros(COPIED)
    common = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"), "seed": SEED,
        "versions": {"python": platform.python_version(),
                     **{n: version(n) for n in ("torch", "timm", "torchvision")}},
        "machine": {"cores": os.cpu_count(), "capability": torch.backends.cpu.get_cpu_capability()},
    }  # fmt: skip
    for name in NETWORKS:
        for pixels, batch in SIZES:
            generator = torch.Generator().manual_seed(SEED)
            images = torch.randn(batch, 3, pixels, pixels, generator=generator)
            labels = torch.randint(0, 1000, (batch,), generator=generator)
            steps = {way: stepper(way, net, images, labels) for way, net in networks(name).items()}
            losses = {way: [step() for _ in range(STEPS)] for way, step in steps.items()}
            with Traffic() as traffic:
                steps["ours"]()
            where = {"network": name, "pixels": pixels, "batch": batch}
            macs = replace(nas.load(name).architecture, resolution=pixels).macs
            facts = {"losses": losses, "bytes": traffic.bytes, "macs": macs, "shares": shares(steps["ours"])}
            yield {**where, "round": None, **facts, **common}
            ways = list(steps)
            for number in range(ROUNDS):
                turn = number % len(ways)
                taken = {way: seconds(steps[way]) for way in ways[turn:] + ways[:turn]}
                peaks = {
                    "flops": 2 * SIDE**3 / seconds(lambda: left @ right),
                    "bytes": 2 * 4 * COPIED / seconds(lambda: target.copy_(source)),
                }
                yield {**where, "round": number, "seconds": taken, "peaks": peaks, "load": os.getloadavg()[0]}


def unequal(losses: dict[str, list[float]]) -> float:
    """How far the losses of ours are from timm's, relatively, at the most."""
    pairs = zip(losses["ours"], losses["timm, channels_last"], strict=True)
    return max(abs(mine - theirs) / theirs for mine, theirs in pairs)


def report(rows: list[Row]) -> str:
    """The tables, medians and quartiles over the rounds."""
    groups: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["network"], row["pixels"]].append(row)
    heads = [row for row in rows if row["round"] is None]
    versions = ", ".join(f"{name} {number}" for name, number in heads[0]["versions"].items())
    machine = ", ".join(f"{value} {name}" for name, value in heads[0]["machine"].items())
    loads = [row["load"] for row in rows if row["round"] is not None]
    lines = [
        f"{versions}; {machine}, 1 thread, load {min(loads):.1f} to {max(loads):.1f}; {heads[0]['date']}, seed "
        f"{heads[0]['seed']}, n = {len(loads) // len(groups)} rounds",
        "",
        "| network | pixels | way | images a core-second | ours is so many times as fast |",
        "| --- | ---: | --- | ---: | ---: |",
    ]
    notes = []
    for (name, pixels), found in groups.items():
        head, rounds = found[0], found[1:]
        for way in rounds[0]["seconds"]:
            rate = [head["batch"] / row["seconds"][way] for row in rounds]
            ratio = [row["seconds"][way] / row["seconds"]["ours"] for row in rounds]
            cells = [name, str(pixels), way, spread(rate, 1), "1" if way == "ours" else spread(ratio)]
            lines.append("| " + " | ".join(cells) + " |")
        flops = [
            6 * head["macs"] * head["batch"] / row["seconds"]["ours"] / row["peaks"]["flops"]
            for row in rounds
        ]
        moved = [head["bytes"] / row["seconds"]["ours"] / row["peaks"]["bytes"] for row in rounds]
        times = ", ".join(f"{kind} {share:.0%}" for kind, share in head["shares"].items())
        notes.append(
            f"| {name} | {pixels} | {spread([100 * f for f in flops], 0)} | {spread([100 * m for m in moved], 0)} | "
            f"{times} | {unequal(head['losses']):.0e} |"
        )
    return "\n".join([
        *lines, "",
        "| network | pixels | % of matrices' peak | % of memory's peak | where the time goes | losses differ by |",
        "| --- | ---: | ---: | ---: | --- | ---: |", *notes,
    ])  # fmt: skip


if __name__ == "__main__":
    run(ROWS, measure, report)
