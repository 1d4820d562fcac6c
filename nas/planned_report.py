"""What `nas scale --macs --params` prints: planned networks, the limit that binds, and what is off the direction."""

from rich.console import Console

from nas.errors import listed
from nas.planner import REACH
from nas.scaling import Scaled
from nas.tables import short
from nas.terminal import show, table


def planned_report(console: Console, members: list[Scaled]) -> None:
    """One row for each member and cost that was asked for, and a sentence for what is out of the ordinary."""
    found = table("name", "phi", "depth", "width", "px", "target", "formula", "realised", "off: d w r")
    for member in members:
        assert member.deviation is not None
        ratios = [f"{value:.3g}" for value in (member.phi or 0.0, member.depth, member.width)]
        off = " ".join(f"{100 * value:+.0f}" for value in member.deviation.values())
        for name, target in _targets(member).items():
            costs = [
                "none"
                if arch is None
                else f"{short(getattr(arch, name))} ({100 * (getattr(arch, name) / target - 1):+.1f} %)"
                for arch in (member.formula, member.architecture)
            ]
            pixels = str(member.architecture.resolution)
            found.add_row(member.name, *ratios, pixels, f"{short(target)} {name}", *costs, f"{off} %")
    show(console, found)
    for line in [line for member in members for line in _remarks(member)]:
        console.print(line, markup=False)
    console.print(
        "formula: alpha^phi, beta^phi, gamma^phi, rounded as published (layers up); realised: channels in eights, "
        "whole layers, pixels in fours, chosen for the cost; off: log(ratio) of depth, width and "
        "resolution against the formula's"
    )


def _targets(member: Scaled) -> dict[str, float]:
    pairs = (("macs", member.target_macs), ("params", member.target_params))
    return {name: target for name, target in pairs if target is not None}


def _remarks(member: Scaled) -> list[str]:
    """Sentences about a member: of two limits the one that binds; what is beyond the planner's reach."""
    assert member.deviation is not None
    used = {name: getattr(member.architecture, name) / target for name, target in _targets(member).items()}
    binding, *others = sorted(used, key=lambda name: -used[name])
    found = [
        f"{member.name}: {binding} bind, of the {name} {100 * used[name]:.0f} % are used" for name in others
    ]
    off = [
        f"{name} {100 * value:+.0f} %"
        for name, value in member.deviation.items()
        if abs(value) > REACH + 1e-9
    ]
    if off:
        found.append(
            f"{member.name}: off the direction by {listed(off)}; whole layers, eights of channels and pixels in fours "
            "leave nothing nearer at this cost"
        )
    return found
