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
from nas.errors import NasError
from nas.files import write_whole
from nas.reward import W, factor
from nas.search.fidelity import Fidelity
from nas.search.frontier import LEVEL, Estimate, Frontier
from nas.search.options import RATIOS
from nas.search.pilot import Pilot, Task, spread
from nas.search.settings import Limits
from nas.search.short_training import shortly_trained
from nas.search.subject import SpaceSubject
from nas.search.verdict_board import write_calibration
from nas.search.verdicts import Verdict, chance, cheapest, verdicts
from nas.space import SearchSpace
from nas.strict_json import dump_lines
from nas.tables import short
from nas.terminal import show, table

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
    space = SearchSpace.load(request.space).with_data(*describe(request.data, request.data_dir))
    target = request.target or space.target
    device = device_of(request.device, "")
    folder = request.out or Path("pilots") / space.name
    if (folder / "journal.jsonl").exists() and not request.resume:
        raise NasError(f"{folder} has a pilot already; go on with --resume, or choose another --out")
    samples = spread(space, request.pilot, request.seed, request.limit)
    about = {"data": request.data, "networks": request.pilot, "seed": request.seed, "limit": request.limit}
    pilot = Pilot(folder, space, about)
    tasks = _tasks(space, samples, base, others, request.seeds)
    options = {
        "data": request.data, "data_dir": request.data_dir, "workers": request.workers, "threads": request.threads,
        "device": device,
    }  # fmt: skip
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
    view = SpaceSubject(space).view(Limits(macs=request.limit))
    frontier = Frontier(view, view.rows([samples[n] for n in good]), mean[good], request.seed)
    found |= _exponent(console, space, frontier, target, base)
    if others or request.seeds > 1:
        w = found["exponent"]["value"] if math.isfinite(found["exponent"]["value"]) else W
        worth = np.array([factor(cost, target, w) for cost in macs])
        given = verdicts(scores, seconds, macs, worth, base, request.top)
        by_chance = chance(scores[base], worth, request.top)
        found["proxies"] = _proxies(console, given, by_chance, base, request)
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


def _exponent(
    console: Console, space: SearchSpace, frontier: Frontier, target: int, base: Fidelity
) -> dict[str, Any]:
    """The exponent at the target, where -0.07 lands, and the reward to write into search.yml."""
    macs = space.costs.of_random(8192, seed=0)[1]
    exponent, landing = frontier.exponent(target), frontier.landing(W)

    def hundredth(cost: float) -> float:
        return float((macs <= cost).mean() * 100)

    console.print(f"\nthe best networks of each cost, predicted from the pilot ({base.label}):")
    listing = table("multiply-adds", "accuracy", left=0)
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
    sure = math.isfinite(exponent.value) and exponent.low <= W <= exponent.high
    reward = f"reward: {{form: soft, w: {W if sure else round(exponent.value, 3)}, target: {target}}}"
    if not math.isfinite(exponent.value):
        reward = f"reward: {{form: hard, target: {target}}}"
        console.print("one network is predicted to be the best at every cost: no exponent says where to end")
    elif sure:
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


def _proxies(
    console: Console, given: list[Verdict], by_chance: float, base: Fidelity, request: Request
) -> dict[str, Any]:
    """The table of proxies, and which of them has earned its place."""
    console.print(f"\nproxies against the longest, {base.label} ({request.seeds} seeds, top {request.top}):")
    listing = table("proxy", "time", "rank", "", "at equal cost", "own seeds", "regret", "up to")
    for one in given:
        listing.add_row(
            one.fidelity.label, f"{one.cost:.2f} x", f"{one.rank:.2f}", f"{one.rank_low:.2f} to {one.rank_high:.2f}",
            f"{one.rank_at_cost:.2f}", f"{one.noise:.2f}", f"{one.regret:.4f}", f"{one.regret_high:.4f}",
        )  # fmt: skip
    listing.add_row("a random order", "", "0", "", "0", "", f"{by_chance:.4f}", "")
    show(console, listing)
    console.print(
        "rank: Spearman correlation with the longest's mean; own seeds: between two seeds, which no proxy can pass by "
        f"much; regret: reward lost where the best of its top {request.top} is taken"
    )
    best = cheapest(given, request.regret)
    if best is None:
        console.print(
            f"no proxy has a regret of at most {request.regret:g} with {round(LEVEL * 100)} % confidence, one seed of "
            "the longest itself not: train longer, give more networks (--pilot), or a larger --regret"
        )
    elif best.fidelity == base:
        console.print(
            f"none but the longest has a regret of at most {request.regret:g} with confidence: keep {base.label}"
        )
    else:
        console.print(
            f"cheapest with a regret of at most {request.regret:g}, with {round(LEVEL * 100)} % confidence: "
            f"[bold]{best.fidelity.label}[/bold], {best.cost:.2f} x the time; in search.yml's trialCommand: "
            f"{_options(best.fidelity)}"
        )
    return {
        "longest": asdict(base), "top": request.top, "bound": request.regret, "chance": by_chance,
        "verdicts": [asdict(one) for one in given], "cheapest": None if best is None else asdict(best.fidelity),
    }  # fmt: skip


def _options(fidelity: Fidelity) -> str:
    """A trial's options of a fidelity."""
    words = [f"--epochs {fidelity.epochs}"]
    for option, (name, _) in RATIOS.items():
        if getattr(fidelity, name) != 1:
            words.append(f"{option} {getattr(fidelity, name):g}")
    return " ".join(words)
