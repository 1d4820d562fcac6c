"""What `nas certify` is asked, and of which search.

>>> Request("runs/abc").seeds
3
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nas.certificate import LEAST
from nas.devices import device_of
from nas.errors import NasError, listed
from nas.files import text_of
from nas.latency_model import LatencyModel
from nas.recipe import TrainingConfig
from nas.recipes import RECIPES, recipe, words
from nas.scaling import ALPHA, BETA, GAMMA
from nas.search.certifying import Course, evaluated
from nas.search.costs import MACS
from nas.search.data_file import absolute, fingerprint
from nas.search.fidelity import Fidelity
from nas.search.finding import kept_model, subject_of
from nas.search.journal import Journal
from nas.search.options import options_of, ratios_of, training_of
from nas.search.runs import CONFIG, find_run, open_journal, processes_of
from nas.search.settings import Limits, RewardSettings
from nas.search.subject import SpaceSubject
from nas.search.winner import FULL_EPOCHS, pick
from nas.space import SearchSpace
from nas.splits import METRICS, metric_of
from nas.strict_json import load_json

PROXY = "proxy"
"""Instead of a recipe's name: the trials' own settings, for more epochs."""
SEEDS = 2**32
MOST = 1 << 24
"""Bytes of a configuration, at most."""
JUDGING = 100_000
"""Between the first choosing seed and the first that judges: whatever --seeds is, none is ever both."""


@dataclass(frozen=True)
class Request:
    """What `nas certify` was asked."""

    run: str
    top: int = 5
    seeds: int = 3
    recipe: str = PROXY
    epochs: int | None = None
    random: str | None = None
    no_random: bool = False
    family: bool = False
    jobs: int = 1
    out: Path | None = None
    resume: bool = False
    name: str | None = None
    force: bool = False
    device: str = "auto"
    threads: int = 1
    workers: int | None = None


@dataclass(frozen=True)
class Searched:
    """A search that can be certified.

    Attributes:
        folder: of the run.
        limits, reward, target: of the search.
        config: of a full training; seed and split are set for each.
        recipe: the same in a line.
        random: a random search of the user's, None where there is none.
        budget: distinct networks that the search evaluated.
        data: as the trials' command names them.
        about: what must be the same where the certificate is taken up again.
        latency: the search's model, where it names one.
    """

    folder: Path
    journal: Journal
    space: SearchSpace
    limits: Limits
    reward: RewardSettings
    target: float
    proxy: TrainingConfig
    fidelity: Fidelity
    config: TrainingConfig
    recipe: str
    seeds: int
    random: Journal | None
    budget: int
    data: str
    about: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    latency: LatencyModel | None = None

    @property
    def experiment(self) -> str:
        return self.journal.run["experiment"]

    @property
    def networks(self) -> int:
        """Distinct ones that have an accuracy."""
        return len({trial.key for trial in evaluated(self.journal) if trial.state == "complete"})

    @property
    def missing(self) -> str | None:
        """What to say of a search that did not come to its end."""
        path = self.folder / CONFIG
        asked = load_json(text_of(path, MOST), str(path)).get("maxTrialNumber") if path.exists() else None
        ended = len(self.journal.ended())
        if not isinstance(asked, int) or ended >= asked or self.journal.exhausted:
            return None
        return (
            f"the search has {ended} of the {asked} trials that it was asked for; nas search --resume "
            f"{self.experiment} goes on with it, and what is certified now is the best of those"
        )

    @property
    def metric(self) -> str:
        """What an accuracy on these data is, of `nas.splits.METRICS`."""
        return metric_of(self.options["data"])

    @cached_property
    def loaded(self) -> Any:
        """The data, as a network of the space is shown them."""
        from nas.data import load_data

        return load_data(self.options["data"], self.options["data_dir"], self.space.frame.resolution)

    def weights(self, images: int) -> np.ndarray:
        """What every test image adds to the metric: float (images,), of sum 1."""
        if self.metric == METRICS[0]:
            return np.full(images, 1 / images)
        from nas.evaluation import image_weights

        return image_weights(self.loaded, "test").numpy()

    @property
    def coefficients(self) -> tuple[float, float, float]:
        """Of the larger member of a family (EfficientNet, arXiv:1905.11946, section 3.3)."""
        return ALPHA, BETA, GAMMA

    @property
    def pace(self) -> float:
        """Seconds of a trial, nan where none is known."""
        times = [trial.seconds for trial in self.journal.ended() if trial.seconds and trial.scored]
        return sum(times) / len(times) if times else math.nan

    @property
    def full_pace(self) -> float:
        """Seconds of a full training, from those of a trial: in proportion to epochs, images, pixels and channels."""
        shorter = self.fidelity.fraction * self.fidelity.resolution**2 * self.fidelity.width
        return self.pace * self.config.epochs / self.proxy.epochs / shorter

    def course(self, folder: Path) -> Course:
        """How everything is trained. No seed of a full training is one that a trial had, nor is one of the judging
        a choosing one."""
        first = self.journal.run["seed"] + 1
        choosing, judging = (
            tuple((first + start + number) % SEEDS for number in range(self.seeds)) for start in (0, JUDGING)
        )
        full = self.config.model_dump(mode="json", exclude={"seed", "split"})
        return Course(
            self.space, self.proxy.model_dump(mode="json"), self.fidelity, full, choosing, judging,
            (folder / "trainings").resolve(), self.options,
        )  # fmt: skip


def searched(request: Request) -> Searched:
    """The search of a request.

    Raises:
        NasError: for an impossible request, or a run that cannot be certified, with why.
    """
    if request.seeds < LEAST:
        raise NasError(
            f"--seeds is {request.seeds}; give {LEAST} or more, for with fewer their spread is hardly known"
        )
    if request.recipe not in (PROXY, *RECIPES) or request.recipe == "transfer":
        allowed = [PROXY, *(name for name in RECIPES if name != "transfer")]
        raise NasError(f"--recipe is {request.recipe!r}; allowed: {listed(allowed)}")
    if request.no_random and request.random is not None:
        raise NasError("--no-random leaves out what --random names; give one of them")
    folder = find_run(request.run)
    journal = open_journal(folder)
    subject, options = (
        subject_of(journal.run, str(journal.path)),
        options_of(journal.run.get("command") or ""),
    )
    if not isinstance(subject, SpaceSubject) or options is None or options.data is None:
        raise NasError(
            f"{folder}: its trials train no network of a search space by nas.search.trial, and a certificate retrains "
            "them; certify a search with --data"
        )
    if "manager" in processes_of(journal.run["experiment"]).values():
        raise NasError(
            f"{folder}: the search still runs, and its winner may be another yet; wait for it, or end it with "
            f"nnictl stop {journal.run['experiment']}"
        )
    pick(journal, None)
    code = folder.parent.parent  # where the trials ran: it holds runs/
    images = fingerprint(options.data, code)
    if journal.run.get("images") not in (None, images):
        raise NasError(
            f"{folder}: {options.data} was changed since the search, which may have trained on what is test now; "
            "restore it, or search anew"
        )
    if options.supernet is not None and (request.recipe == PROXY or not request.no_random):
        raise NasError(
            f"{folder}: its trials trained nothing, but took weights of a supernet: they have no settings to train by, "
            "and no random search costs as little; give --recipe cifar (or another), --epochs and --no-random"
        )
    proxy = training_of(options, journal.run["seed"])
    config = _full(request, proxy)
    device = device_of(request.device, "")
    budget = len({trial.key for trial in evaluated(journal)})
    random = _random(request, journal, budget)
    reward = RewardSettings(**journal.run["trial"]["reward"])
    limits = Limits(**journal.run["trial"]["limits"])
    needed = reward.cost != MACS or limits.latency is not None
    latency = kept_model(folder, journal.run) if needed else None
    if request.family and reward.cost != MACS:
        raise NasError(
            "--family: the search's reward is on latency, and its model knows no networks that are scaled; "
            "leave --family out"
        )
    line = words("the trials' own settings" if request.recipe == PROXY else request.recipe, config)
    return Searched(
        folder=folder, journal=journal, space=subject.space, limits=limits,
        reward=reward, target=reward.target or subject.target, proxy=proxy,
        fidelity=Fidelity(proxy.epochs, **ratios_of(options)), config=config, recipe=line, seeds=request.seeds,
        random=random, budget=budget, data=options.data,
        about={
            "certificate": {
                "run": journal.run["experiment"], "networks": budget, "top": request.top, "seeds": request.seeds,
                "family": request.family,
                "random": "none" if request.no_random else "own" if random is None else random.run["experiment"],
                "images": images,
                "config": config.model_dump(mode="json"),
            },
        },
        options={
            "data": absolute(options.data, code),
            "data_dir": options.data_dir and str(code / Path(options.data_dir).expanduser()),
            "workers": request.workers, "threads": request.threads, "device": device,
        },
        latency=latency,
    )  # fmt: skip


def _full(request: Request, proxy: TrainingConfig) -> TrainingConfig:
    """The full training: the trials' own settings for more epochs, or a published recipe."""
    if request.recipe == PROXY:
        changed = {**proxy.model_dump(), "epochs": request.epochs or max(FULL_EPOCHS, proxy.epochs)}
        return TrainingConfig.check(changed, "certificate")
    return recipe(request.recipe, epochs=request.epochs)


def _random(request: Request, journal: Journal, budget: int) -> Journal | None:
    """The user's own random search, of the same kind and as long."""
    if request.random is None:
        return None
    folder = find_run(request.random)
    found = open_journal(folder)
    if "manager" in processes_of(found.run["experiment"]).values():
        raise NasError(f"--random {request.random}: still runs; wait for it, or leave --random out")
    for name, part in {
        "space": lambda run: run["sha256"], "command": lambda run: run.get("command"),
        "latency model": lambda run: (run.get("latency") or {}).get("sha256"),
        "reward": lambda run: run["trial"]["reward"], "limits": lambda run: run["trial"]["limits"],
    }.items():  # fmt: skip
        if part(found.run) != part(journal.run):
            raise NasError(
                f"--random {request.random}: its {name} differs from the search's; give a random search of the same "
                "search.yml, or leave --random out, and one is made"
            )
    if found.run["strategy"]["name"] != "random":
        raise NasError(
            f"--random {request.random}: its strategy is {found.run['strategy']['name']}; give one of strategy random"
        )
    networks = len({trial.key for trial in evaluated(found)})
    if networks < budget:
        raise NasError(
            f"--random {request.random}: evaluated {networks} networks and the search {budget}; a fair random "
            "search has as many: resume it with more --trials, or leave --random out, and one is made"
        )
    return found
