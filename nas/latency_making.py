"""A latency model made of networks that were timed, and in a few lines what it is worth.

>>> from nas.space import SearchSpace
>>> len(parts_to_time(SearchSpace.load("digits")))
756
"""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nas.errors import NasError, plural
from nas.latency_model import LatencyModel, Part, parts, parts_of_space

if TYPE_CHECKING:
    from nas.space import SearchSpace
    from nas.space_timing import Visit

HELD_OUT, FEWEST = 24, 8
"""Networks that are held out; fewer than the second that were timed, and there is no model."""


def parts_to_time(space: "SearchSpace") -> "dict[str, Part]":
    """Every part of a space, by name.

    Raises:
        NasError: for a space of which no model can be made and judged.
    """
    if space.size < 2 * FEWEST:
        raise NasError(
            f"{space.name} has {space.size} networks; a model of latency needs {2 * FEWEST}, and to be held "
            "against some: measure them one by one, as baselines"
        )
    return parts_of_space(space)


def fit(
    space: "SearchSpace",
    every: "dict[str, Part]",
    visits: Sequence["Visit"],
    device: str,
    threads: int,
    batch: int,
    seed: int,
    seconds: float,
) -> LatencyModel:
    """The model of what was timed, judged by the networks that were held out; `every` part of the space is in it.

    Raises:
        NasError: where too few networks were timed.
    """
    from nas.latency import machine, processor
    from nas.latency_fit import correct, judge, tabulate
    from nas.space_timing import settled

    fitted, judged = settled(space, visits)
    if len(judged) < FEWEST or len(fitted) < FEWEST:
        raise NasError(
            f"{space.name}: in {seconds / 60:.2g} minutes {len(fitted)} networks were timed to fit a model and "
            f"{len(judged)} to hold it against, fewer than {FEWEST}; give more --minutes"
        )
    table = tabulate(every, fitted)
    line = correct(table, fitted)
    held = [([part.name for part in parts(space.decode(one.sample))], one.ms) for one in judged]
    twice = [halves for one in judged if (halves := one.halves) is not None]
    return LatencyModel(
        space=space.name, space_sha256=space.sha256, classes=space.frame.head.classes,
        in_chans=space.frame.stem.in_chans, device="cpu" if device == "cpu" else "cuda", processor=processor(device),
        machine=machine(), threads=threads, batch=batch, networks=len(fitted), seconds=round(seconds, 1),
        offset=line[0], slope=line[1], held_out=judge(table, line, held, twice), seed=seed,
        date=datetime.now(UTC).date().isoformat(), versions=versions(), parts=table,
    )  # fmt: skip


def summary(model: LatencyModel) -> list[str]:
    """What a model is, and what it is worth."""
    held = model.held_out
    measured = sum(row.networks > 0 for row in model.parts.values())
    lines = [
        f"{model.space}: {model.networks} networks timed by their parts in {model.seconds / 60:.1f} min; "
        f"{measured:,} of {len(model.parts):,} parts measured, the others by regression",
        f"{model.device}, {model.processor}, {plural(model.threads, 'thread')}, "
        f"batch {model.batch}; {model.statistic} of passes, seed {model.seed}",
        f"held out: {held.n} whole networks; relative error {_percent(held.median)} (median), {_percent(held.p90)} "
        f"(90th percentile), rank correlation {_rank(held.spearman)}",
    ]
    if held.noise_n:
        lines.append(
            f"the same networks measured twice: {_percent(held.noise_median)}, {_percent(held.noise_p90)}, "
            f"rank correlation {_rank(held.noise_spearman)} (n {held.noise_n}): what this machine can tell"
        )
    return lines


def _percent(value: Any) -> str:
    return f"{100 * value:.1f} %"


def _rank(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def versions() -> dict[str, str]:
    import torch

    import nas

    return {"b0nas": nas.__version__, "torch": torch.__version__, "python": platform.python_version()}
