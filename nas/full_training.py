"""`nas train`: a baseline trained in full by a recipe, resumed where it was interrupted."""

import contextlib
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from nas import baseline as baselines
from nas.beginnings import Beginning, Request, begun, resumed
from nas.checkpoints import INITIAL, TRAINING, Checkpoints, check_folder, check_free, write_settings
from nas.conducting import conducted, look_first, taking_part
from nas.data import Data
from nas.errors import NasError
from nas.processes import Processes
from nas.recipe import TrainingConfig
from nas.recipes import words
from nas.training import Result
from nas.training_lock import locked
from nas.weights import save_weights


def run_training(console: Console, request: Request) -> None:
    """`nas train`: begins or resumes a training, and writes its weights.

    Raises:
        NasError: for a mistake in the request, or a training that failed; what was reached stays.
    """
    with taking_part(console, request.device, request.threads) as (console, device, processes):
        _train(console, request, device, processes)


def _train(console: Console, request: Request, device: str, processes: Processes) -> None:
    baseline = baselines.load(request.baseline)
    folder = request.out or Path("trained") / baseline.name
    check_folder(folder)
    if request.resume:
        processes.check_shared(folder, (folder / TRAINING).is_file())
    found = resumed(request, baseline, folder) if request.resume else begun(request, baseline)
    check_parts(found.data, found.config, processes)
    with locked(folder) if processes.first else contextlib.nullcontext():
        if not request.resume:
            _begin(console, request, found, folder, processes)
        processes.wait()
        _run(console, request, found, folder, device, processes)


def _begin(console: Console, request: Request, found: Beginning, folder: Path, processes: Processes) -> None:
    """Looks at all images, and writes what `resumed` reads."""

    def write() -> None:
        if request.weights is not None or request.init is not None:
            save_weights(found.net, folder / INITIAL, found.facts)
        write_settings(folder, found.settings)

    look_first(console, found.data, processes, lambda: check_free(folder, found.baseline.name), write)


def _run(
    console: Console, request: Request, found: Beginning, folder: Path, device: str, processes: Processes
) -> None:
    net, data, config = found.net, found.data, found.config
    checkpoints = Checkpoints(folder, net.architecture.key, request.checkpoint_seconds, processes)
    console.print(
        f"{found.baseline.name}: {net.architecture.params:,} parameters, {net.architecture.macs:,} multiply-adds at "
        f"{net.architecture.resolution} px; {words(found.recipe, config)}; {device}"
        + (f", {processes.count} processes" if processes.count > 1 else ""),
        markup=False,
    )
    result = conducted(console, folder, request.words, checkpoints, net, data, config, device, processes)
    if processes.first:
        _ended(console, folder, found, result, request)


def _ended(console: Console, folder: Path, found: Beginning, result: Result, request: Request) -> None:
    """Writes the weights, and says what to do with them."""
    baseline, data, config = found.baseline, found.data, found.config
    mean, std = data.split(config.split).statistics
    resizing = data.split(config.split).resizing
    scored = config.split == "train"
    facts = replace(
        found.facts, baseline=baseline.name, data=data.name, recipe=words(found.recipe, config), epochs=config.epochs,
        accuracy=result.accuracy if scored else None, scored="val" if scored else "", class_names=data.class_names,
        mean=mean, std=std, **resizing._asdict(),
    )  # fmt: skip
    path = save_weights(found.net, folder / f"{baseline.name}.safetensors", facts)
    if scored:
        console.print(f"accuracy on val, held out of the training set: {result.accuracy:.4f}")
    where = f" --data-dir {request.data_dir}" if request.data_dir else ""
    console.print(f"weights: {path}", markup=False)
    console.print(
        f"test it, once: nas evaluate {request.baseline} --weights {path} --data {data.name}{where}",
        markup=False,
    )


def check_parts(data: Data, config: TrainingConfig, processes: Processes) -> None:
    """Raises NasError where a part of a batch would have fewer than two images, too few for batch norm."""
    parts, split = config.accumulate * processes.count, data.split(config.split)
    least = len(split) // split.batch_count(config.batch_size)
    if parts > 1 and least // parts < 2:
        among = [f"{processes.count} processes"] if processes.count > 1 else []
        among += [f"{config.accumulate} parts (--accumulate)"] if config.accumulate > 1 else []
        raise NasError(
            f"--batch-size is {config.batch_size}, and a batch of {least} images is too small for "
            f"{' with '.join(among)}, each of at least 2; raise it over {2 * parts}, or lower the number of those"
        )
