"""`nas latency`: measures a baseline on this machine, or fits a latency model of a space to it.

>>> from rich.console import Console
>>> run_latency(Console(), Request("digits", minutes=0))
Traceback (most recent call last):
...
nas.errors.NasError: --minutes is 0; give minutes over 0 up to 600, such as 3
"""

import contextlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nas import catalog
from nas.errors import NasError, near, plural, some
from nas.latency_making import HELD_OUT, fit, parts_to_time, summary, versions
from nas.strict_yaml import load_yaml, read_text
from nas.tables import short

if TYPE_CHECKING:
    from rich.console import Console


MINUTES = 3.0


@dataclass(frozen=True)
class Request:
    """What the user asked for; see `nas latency --help`."""

    target: str
    device: str = "cpu"
    batch: str | None = None
    threads: int | None = None
    rounds: int | None = None
    minutes: float | None = None
    seed: int | None = None
    output: Path | None = None
    force: bool = False
    as_json: bool = False


def run_latency(console: "Console", request: Request) -> None:
    """Does what the request says, and prints it.

    Raises:
        NasError: for a mistake in it, or a model that cannot be made.
    """
    minutes = MINUTES if request.minutes is None else request.minutes
    if not 0 < minutes <= 600:
        raise NasError(f"--minutes is {minutes:g}; give minutes over 0 up to 600, such as 3")
    batches = _batches(request.batch)
    if is_space(request.target):
        if len(batches) > 1 and request.batch is not None:
            raise NasError(f"--batch is {request.batch}; a latency model is of one batch size, such as 1")
        if request.rounds is not None:
            raise NasError(
                f"--rounds is of a baseline, and {request.target} is a search space; give --minutes"
            )
        _space(console, request, batches[0], minutes)
    else:
        if request.output is not None:
            raise NasError(f"--output is of the model of a search space, and {request.target} is a baseline")
        if request.minutes is not None:
            raise NasError(
                f"--minutes is of a search space, and {request.target} is a baseline; give --rounds"
            )
        given = {"--seed": request.seed is not None, "--force": request.force}
        if of_spaces := [option for option, is_given in given.items() if is_given]:
            raise NasError(
                f"{of_spaces[0]} is of a search space, and {request.target} is a baseline; leave it out"
            )
        _baseline(console, request, batches)


def is_space(target: str) -> bool:
    """Whether a name or path is a search space's; NasError for neither, or a name that is both."""
    if catalog.is_path(target):
        data, _ = load_yaml(read_text(catalog.find("search_spaces", target)), target)
        found = data.get("stages") if isinstance(data, dict) else None
        stages = found if isinstance(found, list) else []
        lists = [value for line in stages if isinstance(line, dict) for value in line.values()]
        return any(isinstance(value, list) for value in lists)
    space, baseline = (target in catalog.names(kind) for kind in ("search_spaces", "baselines"))
    if space and baseline:
        raise NasError(f"{target} is a search space and a baseline; give the path of one, ending in .yml")
    if not space and not baseline:
        known = [name for kind in catalog.KINDS for name in catalog.names(kind)]
        hint = near(target, known)
        raise NasError(
            f"there is no search space or baseline {target!r}{hint}; known: "
            f"{some(known, hint, catalog.LISTS['baselines'])}; or give the path of a .yml file"
        )
    return space


def _batches(text: str | None) -> list[int]:
    words = [word.strip() for word in (text or "1,8").split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= 65536 for word in words):
        raise NasError(f"--batch is {text!r}; give images a pass, one number or several, such as 1,8")
    found = [int(word) for word in words]
    if twice := [batch for batch in found if found.count(batch) > 1]:
        raise NasError(f"--batch is {text!r}, which has {twice[0]} twice; give each number of images once")
    return found


def _machine(request: Request) -> tuple[str, int]:
    """(device, threads), with torch told of the threads.

    Raises:
        NasError: for a device that is none, or not there.
    """
    import torch

    from nas.devices import device_of

    device = device_of(request.device, "latency: ")
    if ":" in device:
        torch.cuda.set_device(device)
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    return device, torch.get_num_threads()


@contextlib.contextmanager
def _memory(batch: int, device: str) -> Iterator[None]:
    """Says so where memory does not suffice."""
    import torch

    from nas.training import OutOfMemory, memory_failures

    try:
        with memory_failures(batch, torch.device(device)):
            yield
    except OutOfMemory:
        raise NasError(
            f"--batch is {batch}, for which {device} has not memory enough; give fewer images"
        ) from None


# A baseline


def _baseline(console: "Console", request: Request, batches: Sequence[int]) -> None:
    import nas
    from nas.baseline import load
    from nas.latency import disturbances, load_average, machine, measure, processor

    found, before = load(request.target), load_average()
    device, threads = _machine(request)
    net = nas.build(found.architecture).to(device)
    rows, taken = [], []
    for batch in batches:
        how = {} if request.rounds is None else {"rounds": request.rounds, "seconds": math.inf}
        with (
            contextlib.nullcontext() if request.as_json else console.status(f"batch {batch}"),
            _memory(batch, device),
        ):
            one = measure({found.name: net}, batch, device=device, **how)[found.name]
        taken.append(one)
        rows.append(
            {"batch": batch, "n": one.n, "median": one.median, "p10": one.low, "p25": one.quartile, "p90": one.high,
             "images_per_second": 1000 * batch / one.median}
        )  # fmt: skip
    facts = {"name": found.name, "macs": found.architecture.macs, "device": device, "processor": processor(device),
             "machine": machine(), "threads": threads, "date": datetime.now(UTC).date().isoformat(),
             "versions": versions()}  # fmt: skip
    if request.as_json:
        print(json.dumps({**facts, "latency": rows}))
        return
    from nas.terminal import show, table

    console.print(
        f"{found.name}: {short(found.architecture.macs)} multiply-adds; {device}, {plural(threads, 'thread')}; "
        f"{machine()}"
    )
    lines = table("batch", "median", "10 %", "25 %", "90 %", "n", "images a second", left=0)
    for row in rows:
        times = [f"{row[key]:.4g} ms" for key in ("median", "p10", "p25", "p90")]
        lines.add_row(str(row["batch"]), *times, str(row["n"]), f"{row['images_per_second']:.3g}")
    show(console, lines)
    console.print("milliseconds a batch, float32, eval mode, after warm-up; this machine's alone")
    for line in disturbances(taken, device, threads, before):
        console.print(line)


# A space


def _space(console: "Console", request: Request, batch: int, minutes: float) -> None:
    from rich.progress import Progress, TimeElapsedColumn

    from nas.files import check_new, unwritable, write_bytes_whole
    from nas.space import SearchSpace
    from nas.space_timing import visit

    space = SearchSpace.load(request.target)
    output = request.output or Path(f"{space.name}-latency.json")
    check_new(output, request.force)
    if reason := unwritable(output.parent):
        raise NasError(f"{output}: cannot be written ({reason}); choose another --output")
    parts = parts_to_time(space)
    device, threads = _machine(request)
    begun, visits, seed = _clock(), [], request.seed or 0
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console, disable=request.as_json,
                  transient=True) as progress:  # fmt: skip
        task = progress.add_task(f"timing networks of {space.name}", total=60 * minutes)
        with _memory(batch, device):
            for one in visit(space, 60 * minutes, HELD_OUT, seed, batch, device, _clock):
                visits.append(one)
                progress.update(task, completed=_clock() - begun)
    model = fit(space, parts, visits, device, threads, batch, seed, _clock() - begun)
    write_bytes_whole(output, model.dump().encode(), "choose another --output")
    if request.as_json:
        print(json.dumps({**model.model_dump(mode="json", exclude={"parts"}), "parts": len(model.parts),
                          "measured": sum(row.networks > 0 for row in model.parts.values()),
                          "output": str(output)}))  # fmt: skip
        return
    for line in summary(model):
        console.print(line)
    console.print(f"latency model: {output}")


def _clock() -> float:
    return time.monotonic()
