"""`nas search --known-answers`: how the proxy ranks published networks among those of their cost."""

from rich.console import Console
from rich.table import Table

from nas.errors import NasError
from nas.search.config import SearchConfig
from nas.search.costs import LATENCY
from nas.search.finding import subject_of
from nas.search.journal import Journal
from nas.search.known import BAND, ENOUGH, Known, evaluated
from nas.search.subject import SpaceSubject
from nas.search.verdict_board import write_known
from nas.tables import short
from nas.terminal import show, table


def check_answerable(config: SearchConfig) -> None:
    """Raises NasError where there is no proxy of ours to evaluate published networks by."""
    if config.trial is None or not isinstance(config.subject, SpaceSubject):
        raise NasError(
            "--known-answers evaluates published networks of a search space by nas.search.trial, and search.yml has "
            "another command or nothing that makes a network; leave it out"
        )
    if config.tuner is not None and config.tuner.reward.cost == LATENCY:
        raise NasError(
            "--known-answers brings published networks to T multiply-adds, and this reward's T is a latency; leave it "
            "out"
        )


def answer(console: Console, journal: Journal, config: SearchConfig) -> list[Known]:
    """Evaluates the references by the run's proxy, prints where they stand, and shows it in TensorBoard."""
    from nas.search.flights import seconds

    subject = subject_of(journal.run, str(journal.path))
    assert isinstance(subject, SpaceSubject)
    target = journal.run["trial"]["reward"]["target"] or subject.target
    with console.status("known answers") as status:
        found = evaluated(
            journal, subject.space, target, config.prepared()["trialCommand"], config.code,
            lambda known: status.update(f"known answers: {known.name}"), seconds(config.data.get("maxTrialDuration")),
        )  # fmt: skip
    write_known(journal.path.parent)
    for line in known_lines(found):
        console.print(line, markup=False)
    show(console, known_table(found))
    return found


def known_table(found: list[Known]) -> Table:
    """A line a reference that the space has the shape of."""
    listing = table(
        "reference", "multiply-adds", "accuracy", "peers", "better by accuracy than", "by reward than"
    )
    for one in found:
        if one.accuracy is not None and one.macs is not None:
            listing.add_row(
                one.name, short(one.macs), f"{one.accuracy:.4f}", str(one.peers), _percent(one.by_accuracy),
                _percent(one.by_reward),
            )  # fmt: skip
    return listing


def _percent(value: float | None) -> str:
    return "too few" if value is None else f"{value:.0f} %"


def known_lines(found: list[Known]) -> list[str]:
    """What is to be said of them: what could not be compared, and what is suspicious."""
    lines = [
        f"\nknown answers: published shapes brought to T, by the same proxy, hidden from the strategy; peers are "
        f"explored networks within {BAND:.0%} of their multiply-adds, at least {ENOUGH}"
    ]
    for one in found:
        if one.off is not None:
            lines.append(f"{one.name}: the space has no network of its shape ({one.off})")
        elif one.failed is not None:
            lines.append(f"{one.name}: its trial failed: {one.failed}")
        elif one.low:
            lines.append(
                f"warning: the proxy puts {one.name} into the lower half of networks of its cost; either "
                f"{one.why_low}: see nas calibrate --fidelity"
            )
    return lines
