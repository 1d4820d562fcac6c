"""Known answers and certificates in Markdown, for reports and TensorBoard.

>>> plain("a | b\\nc")
'a \\\\| b c'
>>> print(plain("![x](certificate.png)"))
!\\[x](certificate.png)
"""

import math
import re
from collections.abc import Sequence

from nas.search.certificate_file import Certificate, Finalist
from nas.search.known import BAND, ENOUGH, Known
from nas.tables import short


def plain(value: object) -> str:
    """Text of a document's in a line of Markdown, a table's too: nothing in it ends the cell or the line, or is a
    picture or a link."""
    text = " ".join(str(value).split()).replace("|", "\\|")
    return re.sub(r"(\\*)\[", lambda found: found[1] * 2 + "\\[", text)  # backslashes before it would undo it


def known_markdown(found: Sequence[Known]) -> list[str]:
    """A line a reference, and what could not be compared or is suspicious."""
    head = (
        "| reference | multiply-adds | accuracy | reward | peers | better by accuracy than | by reward than |"
    )
    lines = [head, "| --- |" + " ---: |" * 6]
    for one in found:
        if one.accuracy is not None and one.macs is not None:
            reward = "-" if one.reward is None else f"{one.reward:.4f}"
            lines.append(
                f"| {plain(one.name)} | {short(one.macs)} | {one.accuracy:.4f} | {reward} | {one.peers} | "
                f"{_percent(one.by_accuracy)} | {_percent(one.by_reward)} |"
            )
    if len(lines) == 2:
        lines = ["None of the references was evaluated."]
    lines += [
        "",
        f"Peers are explored networks within {100 * BAND:.0f} % of a reference's multiply-adds; of fewer than {ENOUGH} "
        "there is no percentage.",
        "",
    ]
    for one in found:
        if one.off is not None:
            lines += [f"{plain(one.name)}: the space has no network of its shape ({plain(one.off)}).", ""]
        elif one.failed is not None:
            lines += [f"{plain(one.name)}: its trial failed: {plain(one.failed)}.", ""]
        elif one.low:
            lines += [
                f"**Warning**: the proxy puts {plain(one.name)} into the lower half of networks of its cost; either "
                f"{one.why_low}: see `nas calibrate --fidelity`.",
                "",
            ]
    return lines


def _percent(value: float | None) -> str:
    return "too few" if value is None else f"{value:.0f} %"


def certificate_markdown(found: Certificate) -> list[str]:
    """Verdicts, the table of judged networks, the finalists, and what a family changes."""
    judged = [
        "| network | multiply-adds | params | mean test accuracy | least to most | seeds | margin of the winner | |",
        "| --- |" + " ---: |" * 6 + " --- |",
    ]
    margins = {one.rival: one for one in found.contrasts}
    for one in found.judged:
        values, margin = one.accuracies, margins.get(one.name)
        mean = f"{sum(values) / len(values):.4f}" if values else "-"
        extent = f"{min(values):.4f} to {max(values):.4f}" if values else "-"
        seeds = str(len(values)) + (f" of {len(one.test)}" if len(values) < len(one.test) else "")
        points = "" if margin is None else (
            f"{100 * margin.margin:+.2f} ({100 * margin.low:+.2f} to {100 * margin.high:+.2f})")  # fmt: skip
        judged.append(
            f"| {plain(one.name)} | {_count(one.macs)} | {_count(one.params)} | {mean} | {extent} | {seeds} | "
            f"{points} | {plain(one.note or '')} |"
        )
    verdicts = [f"- The winner is {plain(one.words)}." for one in found.contrasts]
    return [
        *(verdicts or ["No rival could be compared."]), "", *_compared(found), *judged, "", _chosen(found), "",
        *_finalists(found), "", *_family(found),
    ]  # fmt: skip


def _count(value: int | None) -> str:
    return "-" if value is None else short(value)


def _compared(found: Certificate) -> list[str]:
    """Of what the margins are, and what their intervals hold."""
    by = [plain(one.rival) for one in found.contrasts if one.by == "reward"]
    of = f"{plain(found.metric)} accuracy" if found.metric != "accuracy" else "accuracy"
    lines = [f"Margins are points of {of} on {found.images:,} test images; intervals hold the luck of the seeds and of "
             "which images these are."]  # fmt: skip
    if by:
        lines.append(
            f"Against {' and '.join(by)} by reward: their accuracy counts as the reward pays for their cost."
        )
    return [" ".join(lines), ""]


def _chosen(found: Certificate) -> str:
    """How the winner came to be chosen."""
    same = found.proxy_winner == found.winner.trial
    proxys = (
        "which is the proxy's winner, too" if same else f"where the proxy named trial {found.proxy_winner}"
    )
    random = found.random.networks
    beside = f" The random search had {random} network{'s' * (random != 1)}." if random else ""
    return (
        f"Of {len(found.finalists)} finalists trial {found.winner.trial} was chosen, {proxys}: by validation images, "
        f"after full training ({plain(found.recipe)}) with {_seeds(found.seeds.choose)}. Judged by test images, after "
        f"new trainings with {_seeds(found.seeds.judge)}, for which nobody was chosen.{beside}"
    )


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) != 1)} {', '.join(map(str, seeds)) or 'none'}"


def _finalists(found: Certificate) -> list[str]:
    family = any(one.family_reward is not None for one in found.finalists)
    head = (
        "| rank | of | trial | multiply-adds | params | proxy accuracy | validation mean | seeds | reward |"
    )
    lines = [head + " family's reward |" * family, "| ---: | --- |" + " ---: |" * (7 + family)]

    def worth(one: Finalist) -> float:
        value = one.family_reward if family else one.reward
        return float("-inf") if value is None else value

    for rank, one in enumerate(sorted(found.finalists, key=worth, reverse=True), 1):
        chosen = one.key == found.winner.key
        trial = "-" if one.trial is None else str(one.trial)
        cells = [
            "-" if math.isinf(worth(one)) else str(rank), plain(one.of), f"**{trial}**" if chosen else trial,
            short(one.macs), short(one.params), f"{one.proxy:.4f}", "-" if one.mean is None else f"{one.mean:.4f}",
            str(sum(value is not None for value in one.val)), "-" if one.reward is None else f"{one.reward:.4f}",
        ]  # fmt: skip
        if family:
            cells.append("-" if one.family_reward is None else f"{one.family_reward:.4f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _family(found: Certificate) -> list[str]:
    family = found.family
    if family is None:
        return []
    if family.choice == family.alone:
        here = f"Here both choose trial {family.choice}."
    else:
        here = f"Here the family chooses trial {family.choice}, and the network alone trial {family.alone}."
    return [
        f"Judged as a family (scaled up, too) in place of the network alone, the choice was another in "
        f"{family.changed} of {family.of} cases. {here}",
        "",
    ]
