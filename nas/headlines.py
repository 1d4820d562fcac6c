"""What `nas search` says first and last, in a few lines."""

import contextlib
from pathlib import Path

from rich.console import Console

from nas.errors import NasError
from nas.files import at_home
from nas.search.config import SearchConfig
from nas.search.costs import MACS, UNITS, machine_words
from nas.search.data_file import absolute
from nas.search.journal import Journal
from nas.search.settings import RewardSettings
from nas.search.winner import data_of, pick
from nas.splits import METRICS, metric_of, metric_words
from nas.tables import short


def opening(console: Console, config: SearchConfig, trials: int, at_once: int | None = None) -> None:
    """What is searched, how, and what for; `at_once` instead of the file's trialConcurrency."""
    subject, tuner = config.subject, config.tuner
    if subject is None or tuner is None:
        console.print(f"{trials} trials, proposed by {config.proposer}", markup=False)
        return
    unit, cost = UNITS[tuner.reward.cost], tuner.reward.cost
    target = unit.short(tuner.reward.target or subject.default_target(cost))
    console.print(
        f"{subject.headline()}; {trials} trials by {tuner.strategy.name}, "
        f"{at_once or config.data.get('trialConcurrency', 1)} at a time, seed {tuner.seed}"
    )
    alpha, beta = tuner.reward.exponents
    if tuner.reward.only_rescales:
        console.print(
            f"reward acc * ({cost} / {target})^{alpha:g}: with one exponent T only rescales it, the winner is "
            "the same for every T (hard or two exponents make T count)"
        )
    else:
        console.print(
            f"reward acc * ({cost} / {target})^w, w = {alpha:g} up to the target, {beta:g} above it"
        )
    for line in latency_lines(config):
        console.print(line, markup=False)


def latency_lines(config: SearchConfig) -> list[str]:
    """On what latencies are, how far off, and what of that is not the search's."""
    if config.subject is None or config.subject.latency is None:
        return []
    from nas.latency import processor

    model, held = config.subject.latency.model, config.subject.latency.model.held_out
    found = [
        f"latency on {machine_words(model.model_dump())}, predicted: {100 * held.median:.1f} % off in the median of "
        f"{held.n} networks held out"
    ]
    if model.device == "cpu" and model.processor != processor():
        found.append(
            f"note: this machine is {processor()}; latencies are predicted for {model.processor}, where the model "
            "was measured"
        )
    data = _described(config)
    if data not in (None, (model.classes, model.in_chans)):
        found.append(
            f"note: the latency model was measured with {model.classes} classes and {model.in_chans} channels, and "
            f"the data have {data[0]} and {data[1]}: stem and classifier take a little more or less"
        )
    return found


def _described(config: SearchConfig) -> tuple[int, int] | None:
    """(classes, channels) of the trials' data, where they can be told."""
    options = config.trial
    if options is None or options.data is None:
        return None
    from nas.data import describe

    folder = options.data_dir and str(config.code / at_home(options.data_dir))
    with contextlib.suppress(NasError):
        return describe(absolute(options.data, config.code), folder)
    return None


def closing(console: Console, journal: Journal, trials: int, code: Path) -> None:
    """What became of the trials, and the winner; `code` is the folder that trials run in."""
    best = pick(journal, None)
    counts: dict[str, int] = {}
    for trial in journal.ended():
        counts[trial.state] = counts.get(trial.state, 0) + 1
    keys = {trial.key for trial in journal.ended() if trial.scored}
    console.print(
        f"{', '.join(f'{n} {state}' for state, n in counts.items())}; {len(keys)} distinct networks evaluated"
    )
    if len(journal.ended()) < trials:
        why = "every network (within limits) was proposed" if journal.exhausted else (
            "NNI ended the search before, as after maxExperimentDuration; --resume goes on")  # fmt: skip
        console.print(f"fewer than the {trials} trials asked for: {why}")
    reward = journal.run["trial"]["reward"]
    target = reward["target"] or 0
    paid = RewardSettings(**reward).paid(best)
    unit = UNITS[reward.get("cost", MACS)]
    where = f", {paid / target:.2f} x the target of {unit.short(target)}" if target else ""
    if target and reward.get("form") == "hard" and paid > target:
        where += ": over it, for nothing better was found below"
    console.print(
        f"winner: trial {best.number}, reward {best.reward:.4f}, {metric_words(_metric(journal, code))} "
        f"{best.accuracy:.4f}, "
        f"{short(best.macs or 0)} multiply-adds{'' if best.latency is None else f', {best.latency:.3g} ms'}{where}"
    )
    if (warning := _chance(journal, best.accuracy or 0.0, code)) is not None:
        console.print(warning)


def _metric(journal: Journal, code: Path) -> str:
    """What an accuracy is there."""
    data, _ = data_of(journal)
    with contextlib.suppress(NasError):  # a file that went away since says nothing
        return METRICS[0] if data is None else metric_of(absolute(data, code))
    return METRICS[0]


def _chance(journal: Journal, best: float, code: Path) -> str | None:
    """A warning where not even the winner has learnt anything."""
    data, data_dir = data_of(journal)
    if data is None:
        return None
    from nas.data import load_data
    from nas.evaluation import at_chance

    with contextlib.suppress(NasError):  # as above
        loaded = load_data(absolute(data, code), data_dir and str(code / at_home(data_dir)))
        guess = at_chance(best, loaded, "val")
        if guess is not None:
            return (
                f"warning: naming one class for every image gives {guess:.4f}, and the winner is no better: nothing "
                "has learnt anything; train longer (the trials' --epochs, or their supernet), or look at the data"
            )
    return None
