"""`nas calibrate`: a pilot, and what it says of the reward's exponent and of shorter proxies.

What it prints is written to calibration.json in the pilot's folder, too, as plain data.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import nas
from nas.carrying_out import carried_out
from nas.data import describe
from nas.devices import device_of
from nas.errors import NasError, plural
from nas.files import write_whole
from nas.proxy_table import Asked, tell_proxies
from nas.reward import W, factor
from nas.search.fidelity import Fidelity
from nas.search.frontier import LEVEL, Estimate, Frontier
from nas.search.pilot import Pilot, Task, spread
from nas.search.settings import Limits
from nas.search.short_training import shortly_trained
from nas.search.subject import SpaceSubject
from nas.search.verdict_board import write_calibration
from nas.search.verdicts import chance, verdicts
from nas.space import SearchSpace
from nas.splits import metric_of, metric_words
from nas.strict_json import dump_lines
from nas.tables import short
from nas.terminal import show, table
from nas.training_lock import locked

LEAST = 8
"""Networks of a pilot, at least."""
FEW = 5
"""Accuracies from which a frontier is fitted."""


@dataclass(frozen=True)
class Request:
    """What `nas calibrate` was asked."""

    space: str
    data: str
    data_dir: str | None = None
    pilot: int = 24
    target: int | None = None
    limit: int | None = None
    epochs: int = 8
    fidelities: tuple[str, ...] = ()
    seeds: int = 2
    top: int = 3
    regret: float = 0.005
    jobs: int = 1
    out: Path | None = None
    resume: bool = False
    seed: int = 0
    device: str = "auto"
    threads: int = 1
    workers: int | None = None


def run_calibration(console: Console, request: Request) -> dict[str, Any]:
    """Trains the pilot, or what is left of it, prints what it says, and writes it down.

    Returns:
        calibration.json's content.

    Raises:
        NasError: for a mistake, a folder that is taken, or too few accuracies.
    """
    if request.pilot < LEAST:
        raise NasError(f"--pilot is {request.pilot}; give {LEAST} networks or more")
    base = Fidelity(request.epochs)
    others = [Fidelity.parse(text, base) for text in request.fidelities]
    if (longer := next((one for one in others if one.epochs > base.epochs), None)) is not None:
        raise NasError(
            f"--fidelity: {longer.label} are more than --epochs {base.epochs}, the longest that the others are held "
            "against; give fewer, or a larger --epochs"
        )
    space = SearchSpace.load(request.space).with_data(*describe(request.data, request.data_dir))
    target = request.target or space.target
    device = device_of(request.device, "")
    folder = request.out or Path("pilots") / space.name
    if (folder / "journal.jsonl").exists() and not request.resume:
        raise NasError(f"{folder} has a pilot already; go on with --resume, or choose another --out")
    samples = spread(space, request.pilot, request.seed, request.limit)
    tasks = _tasks(space, samples, base, others, request.seeds)
    about = {"data": request.data, "networks": request.pilot, "seed": request.seed, "limit": request.limit}
    options = {
        "data": request.data, "data_dir": request.data_dir, "workers": request.workers, "threads": request.threads,
        "device": device,
    }  # fmt: skip
    console.print(
        f"{plural(len(samples), 'network')}, {plural(len(tasks), 'training')}, {request.jobs} at a time; each takes as "
        f"long as a trial of {base.label}, or less"
    )
    with locked(folder):
        pilot = Pilot(folder, space, about)
        carried_out(console, "pilot", pilot, pilot.trainings(tasks, options), shortly_trained, request.jobs)
    scores, seconds = _scores(pilot, tasks, len(samples))
    macs = np.array([space.decode(sample).macs for sample in samples], float)
    found: dict[str, Any] = {
        "space": space.name, "sha256": space.sha256, "data": request.data, "target": target, "pilot": request.pilot,
        "seed": request.seed, "level": LEVEL, "version": nas.__version__,
    }  # fmt: skip
    mean = _mean(scores[base])
    good = np.flatnonzero(np.isfinite(mean))
    if len(good) < FEW:
        raise NasError(
            f"{folder}: {len(good)} of {len(samples)} networks have an accuracy, too few to say anything; its journal "
            "says why"
        )
    _tell_chance(console, request, space, float(np.nanmax(mean)))
    view = SpaceSubject(space).view(Limits(macs=request.limit))
    frontier = Frontier(view, view.rows([samples[n] for n in good]), mean[good], request.seed)
    found |= _exponent(console, space, frontier, target, base, metric_words(metric_of(request.data)))
    if others or request.seeds > 1:
        form, w = _recommended(frontier.exponent(target))
        worth = factor(macs, target, w, form)
        given = verdicts(scores, seconds, macs, worth, base, request.top)
        by_chance = chance(scores[base], worth, request.top)
        shown = Asked(base, request.seeds, request.top, request.regret)
        found["proxies"] = tell_proxies(console, given, by_chance, shown)
    found = _plain(found)
    write_whole(folder / "calibration.json", dump_lines(found))
    write_calibration(folder)
    console.print(f"\nwritten: {folder / 'calibration.json'}; every training: {folder / 'journal.jsonl'}")
    return found


def _tasks(
    space: SearchSpace, samples: list[Any], base: Fidelity, others: list[Fidelity], seeds: int
) -> list[Task]:
    """Every training, the calibration's first."""
    tasks = []
    for fidelity in dict.fromkeys([base, *others]):
        for seed in range(seeds):
            for sample in samples:
                arch = space.decode(sample)
                trained = fidelity.of(arch)  # raises for pixels that are too few
                tasks.append(Task(sample, arch.key, fidelity, seed, trained.macs, trained.params))
    return sorted(tasks, key=lambda task: (task.seed, task.fidelity != base))


def _scores(
    pilot: Pilot, tasks: list[Task], networks: int
) -> tuple[dict[Fidelity, np.ndarray], dict[Fidelity, float]]:
    """Accuracies (networks, seeds), nan where there is none, and mean seconds, by fidelity."""
    done, values, times = pilot.done(), {}, {}
    for task in tasks:
        trial = done.get(task.name)
        values.setdefault(task.fidelity, {}).setdefault(task.seed, []).append(
            trial.accuracy if trial is not None and trial.accuracy is not None else math.nan
        )
        if trial is not None and trial.seconds is not None:
            times.setdefault(task.fidelity, []).append(trial.seconds)
    scores = {one: np.array([by[seed] for seed in sorted(by)]).T for one, by in values.items()}
    assert all(len(score) == networks for score in scores.values())
    return scores, {one: float(np.mean(times.get(one, [math.nan]))) for one in scores}


def _mean(scores: np.ndarray) -> np.ndarray:
    """Of each network over the seeds that it has."""
    counts = np.isfinite(scores).sum(axis=1)
    return np.where(counts > 0, np.nansum(scores, axis=1) / np.maximum(counts, 1), np.nan)


def _tell_chance(console: Console, request: Request, space: SearchSpace, best: float) -> None:
    """Warns where not even the best of the pilot has learnt anything."""
    from nas.data import load_data
    from nas.evaluation import at_chance

    data = load_data(request.data, request.data_dir, space.frame.resolution)
    guess = at_chance(best, data, "val")
    if guess is not None:
        console.print(
            f"warning: the best of them has {best:.4f}, and naming one class for every image gives {guess:.4f}: "
            "nothing has learnt anything, and what follows is noise; give more --epochs, or look at the data"
        )


def _exponent(
    console: Console, space: SearchSpace, frontier: Frontier, target: int, base: Fidelity, words: str
) -> dict[str, Any]:
    """The exponent at the target, where -0.07 lands, and the reward to write into search.yml."""
    macs = space.costs.of_random(8192, seed=0)[1]
    exponent, landing = frontier.exponent(target), frontier.landing(W)

    def hundredth(cost: float) -> float:
        return float((macs <= cost).mean() * 100)

    console.print(f"\nthe best networks of each cost, predicted from the pilot ({base.label}):")
    listing = table("multiply-adds", words, left=0)
    for cost, accuracy in _shown(frontier):
        listing.add_row(short(cost), f"{accuracy:.4f}")
    show(console, listing)
    per_cent = round(LEVEL * 100)
    console.print(
        f"at T = {short(target)} its slope is w = {_words(exponent, '.3f')} ({per_cent} % interval): a search with "
        "acc * (macs / T) ** w would end there"
    )
    console.print(
        f"w = {W} would end at {short(landing.value)} multiply-adds ({short(landing.low)} to {short(landing.high)}), "
        f"which {hundredth(landing.value):.0f} % of the space's random networks are below"
    )
    console.print(
        "with one exponent T only rescales the reward: the winner is the same for every T, and w alone decides where"
    )
    form, w = _recommended(exponent)
    reward = f"reward: {{form: {form}, " + f"w: {w}, " * (form == "soft") + f"target: {target}}}"
    if form == "hard":
        console.print("one network is predicted to be the best at every cost: no exponent says where to end")
    elif w == W:
        console.print(f"{W} is within the interval: keep it")
    else:
        ratio = landing.value / target
        off = f"{ratio:.1f} x dearer" if ratio > 1 else f"{1 / ratio:.1f} x cheaper"
        console.print(f"warning: with {W} the search would end {off} than T")
    console.print(f"for search.yml (classArgs):\n    {reward}", markup=False)
    console.print(f"or, where T is a limit:\n    reward: {{form: hard, target: {target}}}", markup=False)
    return {
        "exponent": asdict(exponent), "landing": {**asdict(landing), "w": W, "percent": hundredth(landing.value)},
        "frontier": [[float(m), float(a)] for m, a in zip(frontier.macs, frontier.accuracies, strict=True)],
        "reward": reward, "macs_quantiles": [float(q) for q in np.quantile(macs, [0.05, 0.25, 0.5, 0.75, 0.95])],
    }  # fmt: skip


def _recommended(exponent: Estimate) -> tuple[str, float]:
    """Form and exponent of the reward that is recommended: the usual w where the interval has it, and a limit where
    there is no exponent.

    >>> _recommended(Estimate(-0.05, -0.08, -0.02)), _recommended(Estimate(math.nan, math.nan, math.nan))
    (('soft', -0.07), ('hard', -0.07))
    """
    if not math.isfinite(exponent.value):
        return "hard", W
    return "soft", W if exponent.low <= W <= exponent.high else round(exponent.value, 3)


def _plain(value: Any) -> Any:
    """Data as JSON has them, null for what is no number."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _shown(frontier: Frontier) -> list[tuple[float, float]]:
    """Up to eight points of the frontier."""
    places = np.unique(np.linspace(0, len(frontier.macs) - 1, 8).round().astype(int))
    return [(float(frontier.macs[n]), float(frontier.accuracies[n])) for n in places]


def _words(estimate: Estimate, form: str) -> str:
    return f"{estimate.value:{form}}, {estimate.low:{form}} to {estimate.high:{form}}"
