"""What the commands print: tables of spaces, baselines and families."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from nas.baseline import Baseline, save
from nas.documents import Facts, Provenance
from nas.errors import NasError
from nas.planned_report import planned_report
from nas.planning import planned
from nas.scaling import Scaled, family, single
from nas.space import SearchSpace
from nas.tables import COLUMNS, cells, short, stage_rows
from nas.terminal import show, table

PERCENTILES = (5, 25, 50, 75, 95)
MACS_SAMPLES = 10_000


def space_json(space: SearchSpace, samples: int = 0, seed: int = 0) -> dict[str, Any]:
    """The document of `nas space --json`; with `samples`, so many random ones and their cost."""
    document: dict[str, Any] = {
        "name": space.name,
        "size": space.size,
        "size_raw": space.size_raw,
        "target": space.target,
        "choices": {label: list(values) for label, values in space.choices.items()},
    }
    if samples:
        rng = np.random.default_rng(seed)
        drawn = [space.sample(rng) for _ in range(samples)]
        archs = [space.decode(sample) for sample in drawn]
        document["samples"] = [
            {"sample": sample, "macs": arch.macs, "params": arch.params}
            for sample, arch in zip(drawn, archs, strict=True)
        ]
    return document


def space_report(console: Console, space: SearchSpace, samples: int, seed: int) -> None:
    """Prints what `space_json` holds, to be read, and the distribution of multiply-adds."""
    facts = space_json(space, samples, seed)
    console.print(f"[bold]{space.name}[/bold]  {escape(space.document.source)}")
    console.print(
        f"{facts['size']:.4g} distinct architectures ({facts['size_raw']:.4g} combinations of "
        f"{len(space.choices)} choices) at {space.document.resolution} px, "
        f"{space.document.head.classes} classes"
    )
    found = table("stage", "op", "kernel", "expand", "SE", "skip", "channels", "layers", "stride", left=9)
    for stage in space.stages:
        row = []
        for field, values in stage.options.items():
            added = space.document.added.get(stage.label(field), [])
            row.append(" ".join(f"{value}+" if value in added else str(value) for value in values))
        found.add_row(str(stage.number), *row, str(stage.line.stride))
    show(console, found)
    if space.document.added:
        console.print("+ added to the source's text; see the document")
    least, most = space.costs.macs_range()
    _, macs = space.costs.of_random(MACS_SAMPLES, seed=0)
    spread = "  ".join(f"{p} %: {short(np.percentile(macs, p))}" for p in PERCENTILES)
    console.print(f"multiply-adds: {short(least)} to {short(most)};  {spread}")
    console.print(f"target of the reward (T): {short(space.target)}")
    for entry in facts.get("samples", []):
        console.print(
            f"{short(entry['macs'])} multiply-adds  {short(entry['params'])} parameters  {entry['sample']}"
        )


def baseline_report(console: Console, baseline: Baseline) -> None:
    """Prints the stage table, and what is known of the baseline."""
    arch = baseline.architecture
    console.print(f"[bold]{baseline.name}[/bold]  {escape(baseline.source)}")
    found = table(*COLUMNS, left=4)
    for row in stage_rows(arch):
        found.add_row(*cells(row))
    show(console, found)
    console.print(
        f"{arch.params:,} parameters, {arch.macs:,} multiply-adds at {arch.resolution} px "
        f"({arch.stem.in_chans} channels, {arch.head.classes} classes, {arch.activation})"
    )
    facts = baseline.facts
    if facts is None:
        return
    if facts.search_accuracy is not None:
        worth = "" if facts.reward is None else f", reward {facts.reward:.4f}"
        measured = "on held-out training images"
        if facts.data is not None and facts.data.startswith("table "):
            measured = f"as recorded in the {facts.data}"
        console.print(escape(f"search: accuracy {facts.search_accuracy:.4f} {measured}{worth}"))
    if facts.latency is not None:
        by = f" ({facts.latency_by})" if facts.latency_by else ""
        console.print(escape(f"latency {facts.latency:.3g} ms, as the search's model predicts it{by}"))
    if facts.accuracy is not None:
        data = f" on {facts.data}" if facts.data else ""
        recipe = f" ({facts.recipe})" if facts.recipe else ""
        console.print(escape(f"test accuracy {facts.accuracy:.4f}{data}{recipe}"))
    if (line := baseline.certificate) is not None:
        mean = "" if line.accuracy is None else f", {line.accuracy:.4f} in the mean of {line.n} seeds"
        console.print(
            escape(f"certificate of {line.date}, {line.data}{mean}; the winner against each rival:")
        )
        for row in line.table:
            figures = "" if row.margin is None else f", {100 * row.margin:+.2f} points"
            interval = (
                ""
                if row.low is None or row.high is None
                else f" ({100 * row.low:+.2f} to {100 * row.high:+.2f})"
            )
            console.print(escape(f"  {row.rival}: {row.verdict}{figures}{interval}"))


def numbers(text: str, what: str) -> list[float]:
    """Comma-separated numbers of an option.

    Raises:
        NasError: naming the option and the word that is no number.
    """
    found = []
    for word in text.split(","):
        try:
            found.append(float(word))
        except ValueError:
            raise NasError(f"{what} is {text!r}; give numbers such as 0,1,2 ({word!r} is none)") from None
    return found


def family_of(
    baseline: Baseline, phi: str | None, official: bool,
    alpha: float | None, beta: float | None, gamma: float | None,
    width: float | None, depth: float | None, resolution: int | None,
    macs: str | None = None, params: str | None = None,
) -> list[Scaled]:  # fmt: skip
    """The members that the options of `nas scale` ask for.

    Raises:
        NasError: for options that exclude each other, or from which no network is left.
    """
    dims = {"--width": width, "--depth": depth, "--resolution": resolution}
    given = [name for name, value in dims.items() if value is not None]
    compound = {
        "--phi": phi,
        "--alpha": alpha,
        "--beta": beta,
        "--gamma": gamma,
        "--official": official or None,
    }
    also = [name for name, value in compound.items() if value is not None]
    costs = [name for name, value in (("--macs", macs), ("--params", params)) if value is not None]
    if costs:
        excluded = [*given, *({"--phi", "--official"} & set(also))]
        if excluded:
            raise NasError(
                f"{' and '.join(costs)} and {' '.join(sorted(excluded))} exclude each other; give the one or the other"
            )
        return _distinct(planned(baseline, macs, params, alpha, beta, gamma))
    if given and also:
        raise NasError(
            f"{' '.join(given)} and {' '.join(also)} exclude each other; give the one or the other"
        )
    if given:
        return [
            single(baseline, 1.0 if width is None else width, 1.0 if depth is None else depth, resolution)
        ]
    if official and {"--alpha", "--beta", "--gamma"} & set(also):
        raise NasError("--official is a fixed table; leave --alpha, --beta and --gamma out")
    phis = numbers(phi, "--phi") if phi is not None else [float(p) for p in range(8 if official else 4)]
    return _distinct(family(baseline, phis, official, alpha, beta, gamma))


def _distinct(members: list[Scaled]) -> list[Scaled]:
    """The members; NasError where one is asked for twice, by its name or by its cost in other words."""
    seen: dict[object, str] = {}
    for member in members:
        asked = (member.phi, member.target_macs, member.target_params)
        if asked in seen:
            twice = " and ".join(dict.fromkeys((seen[asked], member.name)))
            raise NasError(f"{twice}: asked for twice; give every phi, or every target, once")
        seen[asked] = member.name
    return members


def family_report(console: Console, baseline: Baseline, members: list[Scaled]) -> None:
    """Prints the family: target against realised multiply-adds, for integers break the promise."""
    if members[0].deviation is not None:
        planned_report(console, members)
        return
    columns = (
        "name", "phi", "width", "depth", "resolution", "dropout", "params", "target", "realised", "off by", "x base",
    )  # fmt: skip
    found = table(*columns)
    for member in members:
        target = member.target_macs or 0.0
        found.add_row(
            member.name,
            "" if member.phi is None else f"{member.phi:g}",
            *_cells(member),
            short(target),
            short(member.architecture.macs),
            _off(member.architecture.macs / target),
            f"{member.architecture.macs / baseline.architecture.macs:.2f}",
        )
    show(console, found)
    console.print(
        "target: 2^phi times the baseline's multiply-adds (of one dimension: depth x width^2 x resolution^2); "
        "realised: with channels in eights and whole layers"
    )


def _off(ratio: float) -> str:
    """Realised against target, in percent while that can be read."""
    return f"{100 * (ratio - 1):+.0f} %" if ratio < 100 else f"{ratio:.3g} x"


def _cells(member: Scaled) -> list[str]:
    arch = member.architecture
    scaled = [f"{member.width:.3g}", f"{member.depth:.3g}", str(arch.resolution), f"{member.dropout:.2f}"]
    return [*scaled, short(arch.params)]


def save_family(baseline: Baseline, members: list[Scaled], force: bool) -> list[Path]:
    """Writes every member beside the baselines of this folder, with what it was scaled from and how."""
    folder = Path("baselines") if Path("baselines").is_dir() else Path()
    for path in [] if force else [folder / f"{member.name}.yml" for member in members]:
        if path.exists():
            raise NasError(
                f"{path} exists, and nothing is saved; move it away, or give --force to replace it"
            )
    paths = []
    for member in members:
        arch = member.architecture
        source = f"{baseline.name} scaled: width {member.width:.4g}, depth {member.depth:.4g}, {arch.resolution} px"
        ratios = {"phi": member.phi, "width": member.width, "depth": member.depth}
        rounded = {name: None if value is None else round(value, 4) for name, value in ratios.items()}
        made = Provenance.model_validate({"scaled_from": baseline.name, **rounded})
        document = Baseline(
            name=member.name,
            architecture=arch,
            source=source,
            dropout=round(member.dropout, 4),
            scaling=baseline.scaling and baseline.scaling.bare,
            facts=Facts(params=arch.params, macs=arch.macs),
            provenance=made,
        )
        paths.append(save(document, folder / f"{member.name}.yml", force))
    return paths
