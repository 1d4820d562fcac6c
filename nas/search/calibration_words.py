"""A calibration in Markdown, for reports and TensorBoard.

>>> number(None, 2), number(0.1234, 2)
('-', '0.12')
"""

from nas.search.calibration_file import Calibration, Judgement
from nas.search.fidelity import Fidelity
from nas.tables import short


def exponent_markdown(found: Calibration) -> list[str]:
    """The exponent at T, and where the usual one lands."""
    level, exponent, landing = f"{100 * found.level:.0f} % interval", found.exponent, found.landing
    if exponent.value is None:
        lines = ["One network is predicted to be the best at every cost: no exponent says where to end."]
    else:
        ends = (
            ""
            if None in (exponent.low, exponent.high)
            else f", {level} {exponent.low:.3f} to {exponent.high:.3f}"
        )
        lines = [f"At T = {short(found.target)} the slope is w = {exponent.value:.3f}{ends}."]
    if landing.value is not None:
        ends = "" if None in (landing.low, landing.high) else (
            f" ({level} {short(landing.low or 0)} to {short(landing.high or 0)})")  # fmt: skip
        below = "" if landing.percent is None else (
            f", which {landing.percent:.0f} % of the space's random networks are below")  # fmt: skip
        lines += ["", f"w = {landing.w:g} would end at {short(landing.value)} multiply-adds{ends}{below}."]
    return [*lines, ""]


def proxies_markdown(found: Calibration, own: Fidelity | None = None) -> list[str]:
    """The table of verdicts, and which proxy has earned its place; `own` is marked as the run's."""
    proxies, level = found.proxies, f"{100 * found.level:.0f} %"
    if proxies is None:
        return []
    text = [
        f"| proxy | time | rank | {level} interval | at equal cost | own seeds | regret | up to |",
        "| --- |" + " ---: |" * 7,
        *(_row(one, own) for one in proxies.verdicts),
        f"| a random order | | 0 | | 0 | | {number(proxies.chance, 4)} | |", "",
    ]  # fmt: skip
    bound = f"a regret of at most {proxies.bound:g} with {level} confidence"
    longest = proxies.longest.fidelity.label
    if proxies.cheapest is None:
        return [*text, f"**None passed**: no proxy has {bound}.", ""]
    if proxies.cheapest == proxies.longest:
        return [*text, f"None but the longest, {longest}, has {bound}.", ""]
    return [*text, f"The cheapest that has {bound}: **{proxies.cheapest.fidelity.label}**.", ""]


def _row(one: Judgement, own: Fidelity | None) -> str:
    name = one.fidelity.fidelity.label
    cells = [
        f"**{name}** (this run's)" if one.fidelity.fidelity == own else name, f"{number(one.cost, 2)} x",
        number(one.rank, 2), f"{number(one.rank_low, 2)} to {number(one.rank_high, 2)}",
        number(one.rank_at_cost, 2), number(one.noise, 2), number(one.regret, 4), number(one.regret_high, 4),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def number(value: float | None, digits: int) -> str:
    """A dash for what is no number."""
    return "-" if value is None else f"{value:.{digits}f}"
