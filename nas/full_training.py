"""`nas train`: a baseline trained in full by a recipe, resumed where it was interrupted."""

import hashlib
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from nas import baseline as baselines
from nas.baseline import Baseline
from nas.checkpoints import EVERY_SECONDS, INITIAL, Checkpoints, check_free, read_settings, write_settings
from nas.data import Data, describe, load_data
from nas.devices import device_of
from nas.documents import BaselineDocument
from nas.errors import NasError
from nas.network import Network, build
from nas.processes import Processes, torchrun
from nas.recipe import TrainingConfig
from nas.recipes import recipe, words
from nas.scoring import statistics_of
from nas.training import Result, TrialFailure, seeded, train
from nas.watching import Display, Together
from nas.weights import Facts, check_key, fill, read_weights, save_weights

HEAD = "classifier."


@dataclass(frozen=True)
class Request:
    """What `nas train` was asked.

    Attributes:
        baseline, data, data_dir, recipe, weights, transfer: of the command; a recipe is chosen where None.
        fields: of `TrainingConfig`, those that were given.
        out: folder of the training; by default trained/NAME.
        resume: go on with what is there.
        device, threads, workers, checkpoint_seconds: of this machine, free to differ when a training is resumed.
        words: the command as typed, to be repeated.
    """

    baseline: str
    data: str
    data_dir: str | None = None
    recipe: str | None = None
    weights: Path | None = None
    transfer: bool = False
    fields: dict[str, Any] = field(default_factory=dict)
    out: Path | None = None
    resume: bool = False
    device: str = "auto"
    threads: int | None = None
    workers: int | None = None
    words: tuple[str, ...] = ()
    checkpoint_seconds: float = EVERY_SECONDS

    @property
    def given(self) -> dict[str, Any]:
        """What decides the result, as far as it was given."""
        found = {"data": self.data, "recipe": self.recipe, "transfer": self.transfer or None, **self.fields}
        if self.weights is not None:
            found["weights_sha256"] = hashlib.sha256(_content(self.weights)).hexdigest()
        return {name: value for name, value in found.items() if value is not None}


def run_training(console: Console, request: Request) -> None:
    """`nas train`: begins or resumes a training, and writes its weights.

    Raises:
        NasError: for a mistake in the request, or a training that failed; what was reached stays.
    """
    import torch

    device = device_of(request.device, "")
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    with torchrun(device) as processes:
        if device == "cuda" and processes.count > 1:
            device = f"cuda:{processes.local}"
        _train(console if processes.first else Console(quiet=True), request, device, processes)


def _train(console: Console, request: Request, device: str, processes: Processes) -> None:
    baseline = baselines.load(request.baseline)
    folder = request.out or Path("trained") / baseline.name
    if request.resume:
        baseline, settings = _resumed(request, baseline, folder)
        config = TrainingConfig.check(settings["config"], str(folder / "training.json"))
        recipe_name, data_name = settings["recipe"], settings["data"]
        facts = Facts(**settings["network"])
        data = _data(baseline, data_name, request, settings["data_dir"], facts)
        if _fingerprint(data) != settings["images"]:
            raise NasError(
                f"{folder}: {data.name} holds other images than when the training was begun; restore them"
            )
        net = _network(baseline, data, config, facts)
    else:
        source = Facts() if request.weights is None else read_weights(request.weights)[1]
        data = _data(baseline, request.data, request, request.data_dir, source)
        recipe_name = request.recipe or ("transfer" if request.transfer else "efficientnet")
        images = len(data.split(request.fields.get("split") or "train"))
        config = recipe(recipe_name, dropout=baseline.dropout, images=images, **request.fields)
        _check_parts(data, config, processes)
        net, facts = _begun(request, baseline, data, config)
        settings = {
            "format": 1, "baseline": baselines.dump(baseline), "data": request.data, "data_dir": request.data_dir,
            "recipe": recipe_name, "config": config.model_dump(mode="json"), "given": request.given,
            "images": _fingerprint(data),
            "network": {
                "norm_eps": facts.norm_eps, "padding": facts.padding, "mean": facts.mean, "std": facts.std,
                "source": facts.source,
            },
        }  # fmt: skip
        if processes.first:
            check_free(folder, baseline.name)
            if request.weights is not None:
                save_weights(net, folder / INITIAL, facts)
            write_settings(folder, settings)
    processes.wait()
    if request.resume and "weights_sha256" in settings["given"]:
        fill(net, read_weights(folder / INITIAL)[0], str(folder))
    again = shlex.join([*request.words, *(["--resume"] if "--resume" not in request.words else [])])
    checkpoints = Checkpoints(folder, net.architecture.key, request.checkpoint_seconds, processes)
    console.print(
        f"{baseline.name}: {net.architecture.params:,} parameters, {net.architecture.macs:,} multiply-adds at "
        f"{net.architecture.resolution} px; {words(recipe_name, config)}; {device}"
        + (f", {processes.count} processes" if processes.count > 1 else ""),
        markup=False,
    )
    console.print(f"TensorBoard: tensorboard --logdir {folder}", markup=False)
    try:
        with Display(
            console, data.split(config.split).batch_count(config.batch_size), config.epochs
        ) as display:
            watch = Together(checkpoints, display)
            result = train(net, data, config, device, watch=watch, processes=processes)
    except KeyboardInterrupt:
        raise NasError(f"interrupted; go on from the last checkpoint with: {again}") from None
    except TrialFailure as error:
        raise NasError(f"{folder}: {error}") from None
    finally:
        checkpoints.log.end()
    if processes.first:
        _ended(console, folder, baseline, net, data, config, recipe_name, facts, result, request)


def _ended(
    console: Console, folder: Path, baseline: Baseline, net: Network, data: Data, config: TrainingConfig,
    recipe_name: str, facts: Facts, result: Result, request: Request,
) -> None:  # fmt: skip
    """Writes the weights, and says what to do with them."""
    mean, std = data.split(config.split).statistics
    scored = config.split == "train"
    facts = replace(
        facts, baseline=baseline.name, data=data.name, recipe=words(recipe_name, config), epochs=config.epochs,
        accuracy=result.accuracy if scored else None, scored="val" if scored else "", class_names=data.class_names,
        mean=mean, std=std,
    )  # fmt: skip
    path = save_weights(net, folder / f"{baseline.name}.safetensors", facts)
    if scored:
        console.print(f"accuracy on val, held out of the training set: {result.accuracy:.4f}")
    where = f" --data-dir {request.data_dir}" if request.data_dir else ""
    console.print(f"weights: {path}", markup=False)
    console.print(
        f"test it, once: nas evaluate {request.baseline} --weights {path} --data {data.name}{where}",
        markup=False,
    )


def _resumed(request: Request, baseline: Baseline, folder: Path) -> tuple[Baseline, dict[str, Any]]:
    settings = read_settings(folder)
    begun = baselines.from_document(
        BaselineDocument.parse(settings["baseline"], str(folder / "training.json"))
    )
    if begun.architecture != baseline.architecture:
        raise NasError(
            f"{folder}: was begun with the baseline {begun.name}, which {request.baseline} is not; give that, or "
            "another --out"
        )
    known = {
        **settings["config"],
        **settings["given"],
        "recipe": settings["recipe"],
        "data": settings["data"],
    }
    for name, value in request.given.items():
        before = known.get(name)
        if value != before:
            raise NasError(
                f"{folder}: {name} is {value} in the command, but the training was begun with {before}; leave it "
                "out, or begin another with --out"
            )
    return begun, settings


def _data(baseline: Baseline, name: str, request: Request, data_dir: str | None, facts: Facts) -> Data:
    statistics = statistics_of(facts, describe(name, data_dir)[1])
    pixels = baseline.architecture.resolution
    return load_data(name, data_dir, pixels, workers=request.workers, statistics=statistics)


def _check_parts(data: Data, config: TrainingConfig, processes: Processes) -> None:
    """Raises NasError where a part of a batch would have fewer than two images, too few for batch norm."""
    parts, split = config.accumulate * processes.count, data.split(config.split)
    least = len(split) // split.batch_count(config.batch_size)
    if parts > 1 and least // parts < 2:
        raise NasError(
            f"batches of {least} images are too small for {processes.count} processes with {config.accumulate} parts "
            "each; raise --batch-size, or lower --accumulate or the processes"
        )


def _fingerprint(data: Data) -> str:
    """sha256 of the classes and of the labels that are trained on, in order."""
    digest = hashlib.sha256(repr(data.class_names).encode())
    for name in ("train", "val"):
        digest.update(data.split(name).labels.numpy().tobytes())
    return digest.hexdigest()


def _network(baseline: Baseline, data: Data, config: TrainingConfig, facts: Facts) -> Network:
    with seeded(config.seed):
        return build(
            baseline.architecture, data.classes, data.in_chans, norm_eps=facts.norm_eps, padding=facts.padding
        )


def _begun(request: Request, baseline: Baseline, data: Data, config: TrainingConfig) -> tuple[Network, Facts]:
    """The network with the weights it begins from, and how it is built."""
    if request.weights is None:
        if request.transfer:
            raise NasError("--transfer needs weights to begin from; give --weights FILE")
        return _network(baseline, data, config, Facts()), Facts()
    tensors, facts = read_weights(request.weights)
    check_key(baseline.architecture, facts, str(request.weights))
    net = _network(baseline, data, config, facts)
    found = tensors.get(f"{HEAD}weight")
    if not request.transfer and found is not None and len(found) != data.classes:
        raise NasError(
            f"{request.weights}: has {len(found)} classes, and {data.name} has {data.classes}; give --transfer for a "
            "new classifier"
        )
    fill(net, tensors, str(request.weights), leave=(HEAD,) if request.transfer else ())
    return net, replace(facts, accuracy=None, scored="", class_names=())


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NasError(
            f"{path}: cannot be read ({error.strerror}); give the path of a .safetensors file"
        ) from None
