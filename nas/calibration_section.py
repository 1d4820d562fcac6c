"""The part of a run's report that says what its proxy and its exponent are worth, by a calibration."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from nas.errors import NasError
from nas.search.calibration_file import Calibration, calibration_of, proxy_of
from nas.search.calibration_pictures import drawable, frontier_figure, proxies_figure
from nas.search.calibration_words import exponent_markdown, proxies_markdown
from nas.search.costs import MACS
from nas.search.drawing import png
from nas.search.journal import FILE, Journal
from nas.search.settings import RewardSettings
from nas.search.subject import SpaceSubject, Subject
from nas.search.verdict_words import plain
from nas.search.winner import data_of
from nas.tables import short

Files = dict[str, bytes]


def calibrated(run: Path, journal: Journal, subject: Subject, files: Files) -> tuple[list[str], Path | None]:
    """Exponent, frontier and proxies; the calibration's path, where there is one of the same space and data."""
    head = ["## Proxy certificate", ""]
    if not isinstance(subject, SpaceSubject) or subject.table is not None:
        return [
            *head,
            "There is no proxy to judge: a calibration is of a space whose networks are trained.",
            "",
        ], None
    data, _ = data_of(journal)
    found, path, passed = calibration_of(run, journal)
    notes = [line for one in passed for line in (f"A calibration was passed over: {plain(one)}.", "")]
    if found is None or path is None:
        of = f"{plain(subject.name)} --data {plain(data or 'DATA')}"
        return [
            *head,
            "Nobody has calibrated this space on these data: "
            f"`nas calibrate {of}` says where the reward's exponent ends, and which shorter proxies rank alike.", "",
            *notes,
        ], None  # fmt: skip
    pilot = _pilot(path.with_name(FILE), found)
    files["frontier.png"] = png(frontier_figure(found, pilot))
    text = [
        *head,
        f"From a pilot of {found.pilot} trained networks, `{plain(path)}`. The line is what the best network of each "
        "cost is predicted to reach; a search ends where its reward's exponent is the line's slope.", "",
        "![The predicted frontier](frontier.png)", "", *_exponent(found, journal, subject), "",
    ]  # fmt: skip
    return [*text, *_proxies(found, journal, files), *notes], path


def _exponent(found: Calibration, journal: Journal, subject: Subject) -> list[str]:
    """The exponent at T, where the usual one lands, and how this run's reward compares."""
    reward = RewardSettings(**journal.run["trial"]["reward"])
    if reward.cost != MACS:
        own = "This run's reward is on latency; the pilot's exponent and frontier are of multiply-adds."
        return [*exponent_markdown(found), own]
    target, exponent = int(reward.target or subject.target), found.exponent
    alpha, beta = reward.exponents
    if alpha == beta:
        own = f"This run's reward has w = {alpha:g}"
        if exponent.known and not (exponent.low or 0) <= alpha <= (exponent.high or 0):
            own += ", outside of the interval: expect its winner to be " + (
                "cheaper than T." if alpha < (exponent.value or 0) else "dearer than T.")  # fmt: skip
        else:
            own += " and T = " + short(target) + "."
    else:
        own = (
            f"This run's reward has the exponents {alpha:g} up to T = {short(target)} and {beta:g} above it."
        )
    if target != found.target:
        own += f" Its T is {short(target)}, and the calibration's {short(found.target)}."
    return [*exponent_markdown(found), own]


def _proxies(found: Calibration, journal: Journal, files: Files) -> list[str]:
    """The verdicts on fidelities, and which of them has earned its place."""
    proxies = found.proxies
    if proxies is None:
        return [
            "The pilot had one proxy and one seed, which says nothing of shorter ones: `nas calibrate --fidelity`.",
            "",
        ]
    own, names = proxy_of(journal), [one.fidelity.fidelity for one in proxies.verdicts]
    longest = proxies.longest.fidelity.label
    text = [
        "### Shorter proxies", "",
        f"Against the longest, {longest}. Rank is the correlation of the networks' order with that by the longest's "
        "other seeds; own seeds is the same between two seeds of one proxy, which none can pass by much; regret is the "
        f"reward that is lost in the pilot where the best of its top {proxies.top} is taken, and up to is what is "
        "expected in a search.", "",
    ]  # fmt: skip
    if any(drawable(one) for one in proxies.verdicts):
        files["proxies.png"] = png(proxies_figure(proxies, found.level))
        text += ["![What shorter proxies are worth](proxies.png)", ""]
    text += proxies_markdown(found, own)
    if own is not None and own not in names:
        text += [f"This run's own proxy, {own.label}, is none of these.", ""]
    return text


def _pilot(path: Path, found: Calibration) -> list[tuple[float, float]]:
    """(multiply-adds, accuracy) of the pilot's networks by the longest proxy, means over seeds; none where its journal
    does not say."""
    journal = Journal(path)
    try:
        journal.refresh()
    except NasError:
        return []
    asked = {int(event["number"]): event for event in journal.events if event["event"] == "asked"}
    by_fidelity: dict[str, dict[tuple[float, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for trial in journal.ended():
        fidelity = asked[trial.number].get("fidelity")
        if trial.accuracy is not None and trial.macs and isinstance(fidelity, dict):
            label = " ".join(f"{name}={fidelity[name]}" for name in sorted(fidelity))
            network = trial.key.partition(" | ")[0]  # before the fidelity and the seed
            by_fidelity[label][float(trial.macs), network].append(trial.accuracy)
    if found.proxies is not None:
        longest = found.proxies.longest.model_dump()
        shown = by_fidelity.get(" ".join(f"{name}={longest[name]}" for name in sorted(longest)), {})
    else:
        shown = next(iter(by_fidelity.values()), {}) if len(by_fidelity) == 1 else {}
    return [(macs, float(np.mean(values))) for (macs, _), values in shown.items()]
