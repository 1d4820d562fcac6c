"""The table of `nas calibrate` that says what shorter proxies are worth, and which is to be taken.

>>> _options(Fidelity(2, fraction=0.5))
'--epochs 2 --fraction 0.5'
"""

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from nas.search.fidelity import Fidelity
from nas.search.frontier import LEVEL
from nas.search.options import RATIOS
from nas.search.regret import SEARCHED
from nas.search.verdicts import Verdict, cheapest
from nas.terminal import show, table


@dataclass(frozen=True)
class Asked:
    """What of `nas calibrate`'s options proxies are judged by."""

    longest: Fidelity
    seeds: int
    top: int
    regret: float


def tell_proxies(console: Console, given: list[Verdict], by_chance: float, asked: Asked) -> dict[str, Any]:
    """Prints the table of proxies, and which of them has earned its place; both as plain data."""
    base, seeds = asked.longest, f"{asked.seeds} seed{'s' * (asked.seeds > 1)}"
    console.print(f"\nproxies against the longest, {base.label} ({seeds}, top {asked.top}):")
    listing = table("proxy", "time", "rank", "", "at equal cost", "own seeds", "regret", "up to")
    for one in given:
        listing.add_row(
            one.fidelity.label, f"{one.cost:.2f} x", f"{one.rank:.2f}", f"{one.rank_low:.2f} to {one.rank_high:.2f}",
            f"{one.rank_at_cost:.2f}", f"{one.noise:.2f}", f"{one.regret:.4f}", f"{one.regret_high:.4f}",
        )  # fmt: skip
    listing.add_row("a random order", "", "0", "", "0", "", f"{by_chance:.4f}", "")
    show(console, listing)
    console.print(
        "rank: Spearman correlation with the longest's other seeds; own seeds: between two seeds, which no proxy can "
        f"pass by much; regret: reward lost in the pilot where the best of its top {asked.top} is taken; up to: "
        f"expected in a search of {SEARCHED} networks, with {round(LEVEL * 100)} % confidence"
    )
    if asked.seeds == 1:
        console.print(
            "warning: with one seed a proxy shares the luck of the longest's weights and batches, and looks better "
            "than it is; give --seeds 2"
        )
    best = cheapest(given, asked.regret)
    if best is None:
        console.print(
            f"no proxy has a regret of at most {asked.regret:g} with {round(LEVEL * 100)} % confidence, one seed of "
            "the longest itself not: train longer, give more networks (--pilot), or a larger --regret"
        )
    elif best.fidelity == base:
        console.print(
            f"none but the longest has a regret of at most {asked.regret:g} with confidence: keep {base.label}"
        )
    else:
        console.print(
            f"cheapest with a regret of at most {asked.regret:g}, with {round(LEVEL * 100)} % confidence: "
            f"[bold]{best.fidelity.label}[/bold], {best.cost:.2f} x the time; in search.yml's trialCommand: "
            f"{_options(best.fidelity)}"
        )
    return {
        "longest": asdict(base), "top": asked.top, "bound": asked.regret, "chance": by_chance,
        "verdicts": [asdict(one) for one in given], "cheapest": None if best is None else asdict(best.fidelity),
    }  # fmt: skip


def _options(fidelity: Fidelity) -> str:
    """A trial's options of a fidelity."""
    words = [f"--epochs {fidelity.epochs}"]
    for option, (name, _) in RATIOS.items():
        if getattr(fidelity, name) != 1:
            words.append(f"{option} {getattr(fidelity, name):g}")
    return " ".join(words)
