"""`nas init`: from images of one's own to a split, a search space and a search.yml that fit them and the hours.

NAME/split.json     which images train, score and test
NAME/space.yml      the search space
NAME/search.yml     NNI's configuration: nas search NAME/search.yml
"""

import json
import re
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from nas.budget import Costs, chosen, measured
from nas.data import parse
from nas.decoding import default_workers
from nas.devices import device_of
from nas.documents import Named
from nas.drafting import default_target, draft, space_text
from nas.errors import NasError, listed
from nas.examining import Examination, examined, sizes
from nas.files import at_home, unwritable, write_whole
from nas.reading import validate
from nas.splits import PARTS, document_of
from nas.splitting import Made, split_of
from nas.strict_json import dump_lines
from nas.tables import short
from nas.terminal import show, table

LARGEST = 224
"""Pixels of a side by default, at most: ImageNet's."""
FILES = ("split.json", "space.yml", "search.yml")


@dataclass(frozen=True)
class Request:
    """What `nas init` was asked."""

    data: str
    data_dir: str | None = None
    output: Path | None = None
    macs: int | None = None
    hours: float | None = None
    epochs: int | None = None
    resolution: int | None = None
    metric: str | None = None
    concurrency: int | None = None
    device: str = "auto"
    workers: int | None = None
    seed: int = 0
    force: bool = False


def run_init(console: Console, request: Request) -> Path:
    """Reads the data, writes the three files and prints what the hours buy; the folder.

    Raises:
        NasError: for data that do not do, a folder that is taken, or hours that buy too few trials: then
            nothing is written.
    """
    folder = _folder(request)
    kind, _ = parse(request.data)
    found = _examined(console, request)
    data_dir = str(at_home(request.data_dir).absolute()) if request.data_dir and kind != "folder" else None
    made = split_of(found, request.metric, request.seed, data_dir)
    pixels = request.resolution or _pixels(found)
    target = request.macs or default_target(pixels)
    space = draft(folder.name, pixels, found.in_chans, len(found.class_names), target)
    _tell_data(console, found, made)
    low, high = np.percentile(space.costs.of_random(4096, seed=0)[1], [5, 95])
    console.print(
        f"space: {pixels} x {pixels} pixels, {len(space.stages)} stages, {space.size:.2g} networks, most of "
        f"{short(low)} to {short(high)} multiply-adds; T = {short(target)}"
    )
    device = device_of(request.device, "")
    concurrency = request.concurrency or (1 if device.startswith("cuda") else default_workers())
    texts = {"split.json": dump_lines(document_of(made.document)), "space.yml": space_text(space)}
    with tempfile.TemporaryDirectory() as scratch, console.status("timing a cheap and a dear network"):
        for name, text in texts.items():
            Path(scratch, name).write_text(text)
        options = {"data_dir": data_dir, "device": device, "workers": request.workers}
        costs = measured(
            space, Path(scratch, "space.yml"), f"split:{scratch}/split.json", options, concurrency
        )
    epochs, trials = chosen(costs, request.hours, request.epochs, target)
    trials = min(trials, space.size)
    _tell_costs(console, costs, epochs, trials, request.hours)
    texts["search.yml"] = _search(request, made, costs, epochs, trials, target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NasError(f"{folder}: cannot be made ({error.strerror}); choose another --output") from None
    for name, text in texts.items():
        write_whole(folder / name, text, "choose another --output")
    console.print(f"\nwritten: {listed([str(folder / name) for name in FILES])}")
    console.print(f"next:    nas search {shlex.quote(str(folder / 'search.yml'))}", markup=False)
    return folder


def _folder(request: Request) -> Path:
    """Where the files go: --output, or the data's name, here."""
    kind, path = parse(request.data)
    stem = Path(path).name.removesuffix(".npz") if path else kind
    own = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "images"
    folder = request.output or Path(own)
    if request.output is None and folder.resolve() == Path(path or ".").resolve():
        folder = Path(f"{own}-search")  # the images lie in the folder of that name
    validate(Named, {"name": folder.name or folder.resolve().name}, "--output")
    if reason := unwritable(folder):
        raise NasError(f"{folder}: cannot be made ({reason}); choose another --output")
    taken = [str(folder / name) for name in FILES if (folder / name).exists()]
    if taken and not request.force:
        raise NasError(f"{taken[0]} exists; choose another --output, or give --force to replace it")
    return folder


def _examined(console: Console, request: Request) -> Examination:
    with console.status("looking at the images") as status:

        def report(number: int, count: int) -> None:
            if number % 256 == 0 or number == count:
                status.update(f"looking at the images: {number:,} of {count:,}")

        workers = default_workers() if request.workers is None else request.workers
        return examined(request.data, request.data_dir, workers, report)


def _pixels(found: Examination) -> int:
    """The images' own side, as a multiple of four (of small ones, as they are), up to `LARGEST`."""
    own = int(np.median(sizes(found.images).min(axis=1)))
    return own if own <= 32 else min(LARGEST, own // 4 * 4)


def _tell_data(console: Console, found: Examination, made: Made) -> None:
    console.print(
        f"{found.data}: {len(found.class_names)} classes, {len(found.images):,} images", markup=False
    )
    listing = table("split", "images", "smallest class", "largest class")
    for part, counts in zip(PARTS, made.counts, strict=True):
        ends = [
            f"{found.class_names[which][:30]} {counts[which]:,}"
            for which in (counts.argmin(), counts.argmax())
        ]
        listing.add_row(part, f"{counts.sum():,}", *ends)
    show(console, listing)
    every = sizes(found.images)
    if len(every):
        small, large, middle = every.min(axis=0), every.max(axis=0), np.median(every, axis=0).astype(int)
        same = (small == large).all()
        words = f"{small[0]} x {small[1]} pixels" if same else (
            f"{small[0]} x {small[1]} to {large[0]} x {large[1]} pixels, median {middle[0]} x {middle[1]}")  # fmt: skip
        console.print(f"sizes: {words}")
    for line in _findings(made):
        console.print(line, markup=False)
    console.print(
        f"metric: {made.document.metric}"
        + (
            f" (the largest training class has {made.unevenness:.1f} x the images of the smallest)"
            * (made.unevenness >= 1.05)
        )
    )


def _findings(made: Made) -> list[str]:
    """What is wrong with the images, a line each."""
    lines = []
    if made.unreadable:
        lines.append(f"left out: {made.unreadable:,} that cannot be read")
    if made.copies:
        shared = f", {made.shared:,} of them of an image in another part" if made.shared else ""
        lines.append(f"left out: {made.copies:,} cop{'ies' if made.copies > 1 else 'y'}{shared}")
    if made.contradictory:
        lines.append(f"left out: {made.contradictory:,} whose copy is in another class")
    if made.kept:
        lines.append(
            f"kept: {made.kept:,} copies or contradictions in the test split, which stays as it is given"
        )
    if lines:
        lines.append("which ones and why: left_out in split.json; only copies to the pixel are found")
    return lines


def _tell_costs(console: Console, costs: Costs, epochs: int, trials: int, hours: float | None) -> None:
    listing = table("network", "multiply-adds", "start", "epoch", f"trial of {epochs}")
    for word, macs, timed in zip(("cheap", "dear"), costs.ends, costs.timed, strict=True):
        epoch = timed.trial(1) - timed.start
        listing.add_row(
            word, short(macs), f"{timed.start:.1f} s", f"{epoch:.1f} s", f"{timed.trial(epochs):.0f} s"
        )
    show(console, listing)
    console.print(
        f"timed with {costs.concurrency} at a time; the average trial of {epochs} epoch{'s' * (epochs > 1)}: "
        f"{costs.trial(epochs):.0f} s"
    )
    if hours is None:
        words = [f"{n} trials {costs.hours(n, epochs):.2g} hours" for n in (40, 100, 200)]
        console.print(f"{', '.join(words)}; --hours fits the search to a budget")
    else:
        console.print(
            f"{hours:g} hours buy {costs.trials(hours, epochs):,} trials; the search has {trials:,}"
        )


def _search(request: Request, made: Made, costs: Costs, epochs: int, trials: int, target: int) -> str:
    """search.yml of the split and the space beside it."""
    words = [sys.executable, "-m", "nas.search.trial", "--data", "split:split.json", "--epochs", str(epochs)]
    if request.device != "auto":
        words += ["--device", request.device]
    if request.workers is not None:
        words += ["--workers", str(request.workers)]
    most = max(60, round(10 * costs.timed[1].trial(epochs)))
    hours = f" --hours {request.hours:g}" if request.hours is not None else ""
    data = shlex.quote(request.data) if request.data.isprintable() else json.dumps(request.data)
    return f"""# Written by nas init --data {data}{hours}
# An average trial takes {costs.trial(epochs):.0f} s here, {costs.concurrency} at a time.
#
#     nas search search.yml                  in the foreground; freezes the winner
#     nnictl create --config search.yml      as NNI's users run it
#
# The data's split is fixed in split.json, and the metric is its own: {made.document.metric}.
searchSpaceFile: space.yml
trialCommand: {json.dumps(shlex.join(words), ensure_ascii=False)}
trialConcurrency: {costs.concurrency}
maxTrialNumber: {trials}
maxTrialDuration: {most}s               # ends a trial that hangs
tuner:
  codeDirectory: .
  className: nas.search.tuner.StrategyTuner
  classArgs:
    strategy: {{name: model}}
    reward: {{form: soft, w: -0.07}}       # acc * (macs / T) ** w, as published; nas calibrate says where that lands
    # reward: {{form: hard, target: {target}}}   # acc up to T, acc * T / macs above it
    seed: {request.seed}
trainingService:
  platform: local
"""
