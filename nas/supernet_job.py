"""`nas supernet`: a search space's supernet, trained once, resumed where it was interrupted.

>>> Request("digits", "digits", epochs=3).config.epochs
3
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from nas.checkpoints import Checkpoints, check_folder, check_free, has_checkpoint, write_settings
from nas.conducting import conducted, look_first, taking_part
from nas.data import Data, contents, load_data
from nas.errors import NasError
from nas.full_training import check_parts
from nas.processes import Processes
from nas.reading import number, validate
from nas.recipe import TrainingConfig
from nas.recipes import recipe, words
from nas.space import SearchSpace
from nas.supernet.folder import FORMAT, SETTINGS, SandwichRecipe, SupernetSettings, save_supernet, settings_of
from nas.supernet.module import Supernet
from nas.supernet.sampling import sampler
from nas.supernet.sandwich import Sandwich
from nas.tables import short
from nas.training import Result, seeded
from nas.training_lock import locked

OWN = {"weight_decay": 1e-4}
"""Instead of recipe 'cifar': shared weights fit less of their own, and the largest network is the teacher."""


@dataclass(frozen=True)
class Request:
    """What `nas supernet` was asked.

    Attributes:
        space, data, data_dir: of the command.
        epochs, batch_size, lr: instead of those of recipe 'cifar'.
        fields: others of `TrainingConfig`, those that were given.
        sandwich: of `nas.supernet.folder.SandwichRecipe`, those that were given.
        out: folder of the supernet; by default supernets/SPACE.
        resume: go on with what is there.
        device, threads, workers: of this machine, free to differ when a training is resumed.
        words: the command as typed, to be repeated.
    """

    space: str
    data: str
    data_dir: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    fields: tuple[tuple[str, Any], ...] = ()
    sandwich: tuple[tuple[str, Any], ...] = ()
    out: Path | None = None
    resume: bool = False
    device: str = "auto"
    threads: int | None = None
    workers: int | None = None
    words: tuple[str, ...] = ()

    @property
    def config(self) -> TrainingConfig:
        """How it is trained."""
        given = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr}
        return recipe("cifar", **given, **{**OWN, **dict(self.fields)})

    @property
    def given(self) -> dict[str, Any]:
        """What decides the result, as far as it was given."""
        found = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr, "data": self.data}
        return {
            k: v for k, v in {**found, **dict(self.fields), **dict(self.sandwich)}.items() if v is not None
        }


def run_supernet(console: Console, request: Request) -> None:
    """`nas supernet`: begins or resumes a training, and writes the supernet's weights.

    Raises:
        NasError: for a mistake in the request, or a training that failed; what was reached stays.
    """
    with taking_part(console, request.device, request.threads) as (console, device, processes):
        _run(console, request, device, processes)


def _run(console: Console, request: Request, device: str, processes: Processes) -> None:
    space = SearchSpace.load(request.space)
    folder = request.out or Path("supernets") / space.name
    check_folder(folder)
    if request.resume:
        processes.check_shared(folder, (folder / SETTINGS).is_file())
    data = load_data(request.data, request.data_dir, space.frame.resolution, workers=request.workers)
    settings = _resumed(request, space, data, folder) if request.resume else _begun(request, space, data)
    config = TrainingConfig.check(settings.config, str(folder / SETTINGS))
    check_parts(data, config, processes)
    fitted = settings.fitted
    with seeded(config.seed):
        supernet = Supernet(fitted, settings.recipe.transform)
    with locked(folder) if processes.first else contextlib.nullcontext():
        if not request.resume:
            look_first(
                console, data, processes, lambda: check_free(folder, "supernet", SETTINGS),
                lambda: write_settings(folder, settings.model_dump(mode="json"), SETTINGS),
            )  # fmt: skip
        processes.wait()
        result = _train(console, request, settings, config, supernet, data, folder, device, processes)
        if processes.first:
            _ended(console, request, result, save_supernet(supernet, folder))


def _begun(request: Request, space: SearchSpace, data: Data) -> SupernetSettings:
    """The settings of a new supernet; NasError for a mistake in the request."""
    fitted = space.with_data(data.classes, data.in_chans)
    asked: dict[str, Any] = dict(request.sandwich)
    if asked.get("sampler") == "attentive":
        asked.setdefault("target", fitted.target)
    elif "target" in asked:
        raise NasError("--target is what an attentive sampler is attentive to; add --sampler attentive")
    chosen = validate(SandwichRecipe, asked, "nas supernet")
    sampler(chosen.sampler, fitted)
    low, high = fitted.costs.macs_range()
    if chosen.target is not None and not low <= chosen.target <= high:
        raise NasError(
            f"--target is {chosen.target:,.0f} multiply-adds, and networks of {space.name} have {short(low)} to "
            f"{short(high)}; give one between"
        )
    return SupernetSettings(
        format=FORMAT, space=space.document.model_dump(mode="json"), classes=data.classes, in_chans=data.in_chans,
        data=request.data, data_dir=request.data_dir, images=contents(data),
        recipe=chosen, config=request.config.model_dump(mode="json"),
    )  # fmt: skip


def _resumed(request: Request, space: SearchSpace, data: Data, folder: Path) -> SupernetSettings:
    """The settings of a supernet that was begun in `folder`; NasError where the request is of another."""
    settings = settings_of(folder)
    if settings.fitted.sha256 != space.with_data(settings.classes, settings.in_chans).sha256:
        raise NasError(
            f"{folder}: was begun with another space than {request.space}; give that, or another --out"
        )
    validate(SandwichRecipe, dict(request.sandwich), "nas supernet")
    known = {**settings.config, **settings.recipe.model_dump(), "data": settings.data}
    for name, value in request.given.items():
        if name == "target":
            value = number(value)
        if value != known.get(name):
            raise NasError(
                f"{folder}: {name} is {value} in the command, but the training was begun with {known.get(name)}; leave "
                "it out, or begin another with --out"
            )
    if contents(data) != settings.images:
        mend = "restore them, or begin another with --out"
        if not has_checkpoint(folder):
            mend = "leave --resume out to begin anew, as nothing was trained yet"
        raise NasError(
            f"{folder}: {data.name} has other images or classes than when the training was begun; {mend}"
        )
    return settings


def _train(
    console: Console, request: Request, settings: SupernetSettings, config: TrainingConfig, supernet: Supernet,
    data: Data, folder: Path, device: str, processes: Processes,
) -> Result:  # fmt: skip
    space, chosen = supernet.space, settings.recipe
    checkpoints = Checkpoints(folder, space.sha256, processes=processes, each=True)
    parameters = sum(p.numel() for p in supernet.parameters())
    worded = not chosen.fixed and any(isinstance(values[0], str) for values in space.choices.values())
    extremes = "a smallest and a largest of drawn ops and skips" if worded else "the smallest, the largest"
    console.print(
        f"supernet of {space.name}: {space.size:.3g} architectures of {short(supernet.smallest.macs)} to "
        f"{short(supernet.largest.macs)} multiply-adds in {parameters:,} parameters; a step trains {extremes} "
        f"and {chosen.between} more, {chosen.sampler}; {words('cifar', config)}; {device}"
        + (f", {processes.count} processes" if processes.count > 1 else ""),
        markup=False,
    )
    objective = Sandwich(
        sampler(chosen.sampler, space, chosen.target),
        chosen.between,
        chosen.distill,
        chosen.fixed,
    )
    return conducted(
        console, folder, request.words, checkpoints, supernet, data, config, device, processes, objective
    )


def _ended(console: Console, request: Request, result: Result, path: Path) -> None:
    last = result.history[-1]
    folder = "" if request.data_dir is None else f" --data-dir {request.data_dir}"
    console.print(
        f"accuracy on val, held out of the training set, with shared weights: smallest {last['smallest']:.4f}, largest "
        f"{last['largest']:.4f}, mean of others {last['accuracy']:.4f}"
    )
    console.print(f"supernet: {path}", markup=False)
    console.print(
        f"search it: in search.yml, trialCommand: python -m nas.search.trial --data {request.data}{folder} --supernet "
        f"{path.parent}",
        markup=False,
    )
