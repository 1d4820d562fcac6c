"""The latency of a family's members on this machine, as a section of its report (EfficientNet, Table 4)."""

from collections.abc import Sequence

import torch
from rich.console import Console

from nas.latency import SECONDS, Latency, machine, measure
from nas.members import Member
from nas.network import build
from nas.tables import short

BATCHES = (1, 8)
NOISY = 2
"""90th percentile of a network's passes to the 10th, above which the machine was busy."""


def latency_section(console: Console, members: Sequence[Member]) -> list[str]:
    """Measures every member; weights do not matter for that."""
    nets = {member.name: build(member.arch) for member in members}
    found: dict[int, dict[str, Latency]] = {}
    for batch in BATCHES:
        with console.status(f"measuring latency, batch {batch}, up to about {SECONDS:.0f} s of rounds"):
            found[batch] = measure(nets, batch)
    base, threads = members[0].name, torch.get_num_threads()
    lines = [
        "## Latency", "",
        f"Of this machine alone: {machine()}; {threads} thread{'s' if threads > 1 else ''}. "
        "Milliseconds a batch, float32 in eval mode: the median, and "
        "the 10th to 90th percentile, of n passes after warm-up; the networks take turns.", "",
        "| model | multiply-adds |" + "".join(f" batch {batch} | x base | n |" for batch in BATCHES),
        "| --- | ---: |" + " ---: |" * 3 * len(BATCHES),
    ]  # fmt: skip
    for member in members:
        cells = [member.name, short(member.arch.macs)]
        for batch in BATCHES:
            one = found[batch][member.name]
            ratio = one.median / found[batch][base].median
            spread = f"{milliseconds(one.median)} ({milliseconds(one.low)} to {milliseconds(one.high)})"
            cells += [spread, f"{ratio:.2f}", str(one.n)]
        lines.append(f"| {' | '.join(cells)} |")
    noisy = [name for name in nets if any(one[name].high > NOISY * one[name].low for one in found.values())]
    if noisy:
        lines += [
            "", f"**The machine was busy:** the 90th percentile of {', '.join(noisy)} is over {NOISY} times the 10th, "
            "so their ratios say little; measure again when it is idle.",
        ]  # fmt: skip
    return [*lines, ""]


def milliseconds(value: float) -> str:
    """In three digits, or whole.

    >>> milliseconds(1.2345), milliseconds(1820.4)
    ('1.23', '1,820')
    """
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"
