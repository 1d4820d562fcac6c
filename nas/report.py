"""What the commands print: tables of spaces, baselines and families."""

from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nas.baseline import Baseline, save
from nas.documents import Facts, Provenance
from nas.errors import NasError
from nas.planning import planned
from nas.scaling import Scaled, family, single
from nas.space import SearchSpace
from nas.tables import COLUMNS, cells, short, stage_rows

PERCENTILES = (5, 25, 50, 75, 95)
MACS_SAMPLES = 10_000


def _table(*columns: str, left: int = 1) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < left else "right", no_wrap=True)
    return table


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
    table = _table("stage", "op", "kernel", "expand", "SE", "skip", "channels", "layers", "stride", left=9)
    for stage in space.stages:
        row = []
        for field, values in stage.options.items():
            added = space.document.added.get(stage.label(field), [])
            row.append(" ".join(f"{value}+" if value in added else str(value) for value in values))
        table.add_row(str(stage.number), *row, str(stage.line.stride))
    console.print(table)
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
    table = _table(*COLUMNS, left=4)
    for row in stage_rows(arch):
        table.add_row(*cells(row))
    console.print(table)
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
    if facts.accuracy is not None:
        data = f" on {facts.data}" if facts.data else ""
        recipe = f" ({facts.recipe})" if facts.recipe else ""
        console.print(escape(f"test accuracy {facts.accuracy:.4f}{data}{recipe}"))


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
    if given and also and macs is None and params is None:
        raise NasError(
            f"{' '.join(given)} and {' '.join(also)} exclude each other; give the one or the other"
        )
    if given:
        return [
            single(baseline, 1.0 if width is None else width, 1.0 if depth is None else depth, resolution)
        ]
    if macs is not None or params is not None:
        costs = " and ".join(name for name, value in (("--macs", macs), ("--params", params)) if value)
        excluded = [*given, *({"--phi", "--official"} & set(also))]
        if excluded:
            raise NasError(
                f"{costs} and {' '.join(sorted(excluded))} exclude each other; give the one or the other"
            )
        return planned(baseline, macs, params, alpha, beta, gamma)
    if official and {"--alpha", "--beta", "--gamma"} & set(also):
        raise NasError("--official is a fixed table; leave --alpha, --beta and --gamma out")
    phis = numbers(phi, "--phi") if phi is not None else [float(p) for p in range(8 if official else 4)]
    return family(baseline, phis, official, alpha, beta, gamma)


def family_report(console: Console, baseline: Baseline, members: list[Scaled]) -> None:
    """Prints the family: target against realised multiply-adds, for integers break the promise."""
    if members[0].deviation is not None:
        _planned_report(console, members)
        return
    columns = (
        "name", "phi", "width", "depth", "resolution", "dropout", "params", "target", "realised", "off by", "x base",
    )  # fmt: skip
    table = _table(*columns)
    for member in members:
        target = member.target_macs or 0.0
        table.add_row(
            member.name,
            "" if member.phi is None else f"{member.phi:g}",
            *_cells(member),
            short(target),
            short(member.architecture.macs),
            f"{100 * (member.architecture.macs / target - 1):+.0f} %",
            f"{member.architecture.macs / baseline.architecture.macs:.2f}",
        )
    console.print(table)
    console.print(
        "target: 2^phi times the baseline's multiply-adds (of one dimension: depth x width^2 x resolution^2); "
        "realised: with channels in eights and whole layers"
    )


def _cells(member: Scaled) -> list[str]:
    arch = member.architecture
    scaled = [f"{member.width:.3g}", f"{member.depth:.3g}", str(arch.resolution), f"{member.dropout:.2f}"]
    return [*scaled, short(arch.params)]


def _planned_report(console: Console, members: list[Scaled]) -> None:
    """One row for each member and cost that was asked for."""
    table = _table("name", "phi", "depth", "width", "px", "target", "formula", "realised", "off: d w r")
    for member in members:
        assert member.deviation is not None
        ratios = [f"{value:.3g}" for value in (member.phi or 0.0, member.depth, member.width)]
        off = " ".join(f"{100 * value:+.0f}" for value in member.deviation.values())
        for name, target in (("macs", member.target_macs), ("params", member.target_params)):
            if target is None:
                continue
            costs = [
                "none"
                if arch is None
                else f"{short(getattr(arch, name))} ({100 * (getattr(arch, name) / target - 1):+.1f} %)"
                for arch in (member.formula, member.architecture)
            ]
            pixels = str(member.architecture.resolution)
            table.add_row(member.name, *ratios, pixels, f"{short(target)} {name}", *costs, f"{off} %")
    console.print(table)
    console.print(
        "formula: alpha^phi, beta^phi, gamma^phi, rounded as published (layers up); realised: channels in eights, "
        "whole layers, pixels in fours, chosen for the cost; off: log(ratio) of depth, width and "
        "resolution against the formula's"
    )


def save_family(baseline: Baseline, members: list[Scaled], force: bool) -> list[Path]:
    """Writes every member beside the baselines of this folder, with what it was scaled from and how."""
    folder = Path("baselines") if Path("baselines").is_dir() else Path()
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
