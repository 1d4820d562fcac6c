"""The report of a family: costs, accuracies, latencies and class activation maps, as in EfficientNet's paper.

>>> from nas.members import family_of
>>> members, notes = family_of("efficientnet-b0")
>>> table(members, None).splitlines()[2]
'| efficientnet-b0 | base | 1 | 1 | 224 | 0.7710 | test of imagenet | 5.29M | 1.00x | 386M | 1.00x |'
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from nas.cam import activation_maps, framed, prepared, read_image, sees_whole, upsampled
from nas.errors import NasError
from nas.family_latency import latency_section
from nas.family_pictures import Cell, ImageRow, Point, accuracy_figure, cam_figure
from nas.members import BASE, KINDS, TRAINED, Member, Score, common, family_of
from nas.network import Network
from nas.search.drawing import png
from nas.tables import short
from nas.weights import Facts, load_network, read_weights

SHOWN = 224
"""Pixels of an image in the picture of maps."""
HEADER: tuple[str, ...] = (
    "model", "scaled", "width", "depth", "px", "top-1", "of", "params", "ratio", "multiply-adds", "ratio",
)  # fmt: skip

Files = dict[str, bytes]


@dataclass(frozen=True)
class Wanted:
    """What `nas report BASELINE` was asked for; `threads` are torch's, None for its own number."""

    latency: bool = True
    images: tuple[Path, ...] = ()
    weights: Path | None = None
    threads: int | None = None


def family_files(console: Console, target: str, wanted: Wanted, command: str) -> Files:
    """The files of a family's report, by name; nothing is written.

    Raises:
        NasError: where there is no family and no image to look at, for images or weights that cannot be used.
    """
    members, notes = family_of(target, wanted.weights)
    base = members[0]
    if len(members) == 1 and not wanted.images:
        raise NasError(
            f"{base.name} has no family in its folder, ./baselines or here{''.join(f' ({note})' for note in notes)}; "
            f"make one with nas scale {target} --macs 2x,4x --save, or give --images for the base alone"
        )
    if wanted.threads is not None:
        torch.set_num_threads(wanted.threads)
    files: Files = {}
    maps = _maps(members, wanted.images, files) if wanted.images else []
    curves = _curves(members, files)
    latency = latency_section(console, members) if wanted.latency else []
    of = common(members)
    text = [
        f"# {base.name}" + (" and its family" if len(members) > 1 else ""), "", f"`{command}`", "",
        "Ratios are to the base. Multiply-adds are those of convolutions and linear layers, of one image at the "
        "network's own resolution. `scaled`: by coefficients (compound), or the dimension that grew.", "",
        table(members, of), "", *(f"{note}\n" for note in notes), *curves, *latency, *maps,
    ]  # fmt: skip
    files["table.csv"] = _csv(members, of).encode()
    files["report.md"] = ("\n".join(text).rstrip() + "\n").encode()
    return files


def rows(members: Sequence[Member], of: str | None) -> list[tuple[Any, ...]]:
    """The table's values, one row a member, in the order of `HEADER` (EfficientNet, Table 2)."""
    base, found = members[0].arch, []
    for member in members:
        score, arch = member.score(of), member.arch
        found.append((
            member.name, member.kind, member.width, member.depth, arch.resolution,
            None if score is None else score.accuracy, "" if score is None else score.of,
            arch.params, arch.params / base.params, arch.macs, arch.macs / base.macs,
        ))  # fmt: skip
    return found


def table(members: Sequence[Member], of: str | None) -> str:
    """The rows in Markdown; members without an accuracy have a dash."""
    lines = [f"| {' | '.join(HEADER)} |", "| --- | --- |" + " ---: |" * 4 + " --- |" + " ---: |" * 4]
    for name, kind, width, depth, px, top1, split, params, more, macs, dearer in rows(members, of):
        accuracy = "-" if top1 is None else f"{top1:.4f}"
        lines.append(
            f"| {name} | {kind} | {width:.3g} | {depth:.3g} | {px} | {accuracy} | {split} | {short(params)} | "
            f"{more:.2f}x | {short(macs)} | {dearer:.2f}x |"
        )
    return "\n".join(lines)


def _csv(members: Sequence[Member], of: str | None) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = list(HEADER)
    names[8], names[10] = "params ratio", "multiply-adds ratio"
    writer.writerow(names)
    writer.writerows(rows(members, of))
    return file.getvalue()


def _curves(members: Sequence[Member], files: Files) -> list[str]:
    """Draws the curves of what can be compared, and says what cannot."""
    of, base = common(members), members[0]
    if len(members) == 1:
        return []
    if of is None:
        return [
            "No member has an accuracy, so there are no curves: train them with `nas train NAME --data DATA`, which "
            f"leaves it in {TRAINED}/NAME/NAME.safetensors, and report again.", "",
        ]  # fmt: skip
    scored = [(member, score) for member in members if (score := member.score(of)) and score.of == of]
    without = [member.name for member in members if not member.scores]
    other = [
        member.name for member in members if member.scores and member.name not in {m.name for m, _ in scored}
    ]
    measured = f"top-1 accuracy, {of}"
    text = ["## Accuracy against cost", ""]
    for cost, name in (("macs", "multiply-adds"), ("params", "parameters")):
        points = [
            Point(_label(member, base), member.kind, getattr(member.arch, cost), score.accuracy)
            for member, score in scored
        ]
        files[f"accuracy-{cost}.png"] = png(accuracy_figure(points, name, measured))
        text += [f"![Accuracy against {name}](accuracy-{cost}.png)", ""]
    if without:
        text += [f"Without an accuracy, and so not in the curves: {', '.join(without)}.", ""]
    if other:
        text += [
            f"Left out of the curves, which are of {of}, because theirs is another: {', '.join(other)}.",
            "",
        ]
    return [
        *text,
        *_trainings(scored),
        "A point is one accuracy, without the spread that other seeds would give.",
        "",
    ]


def _trainings(scored: Sequence[tuple[Member, Score]]) -> list[str]:
    """How the members of the curves were trained, and that it was not alike."""
    recipes: dict[str, list[str]] = {}
    for member, score in scored:
        recipes.setdefault(score.recipe or "not known", []).append(member.name)
    if len(recipes) == 1:
        return [f"Trained: {recipe}.", ""] if (recipe := next(iter(recipes))) != "not known" else []
    text = "**Not trained alike, so that the curves compare trainings as much as networks:**"
    return [text, "", *(f"- {recipe}: {', '.join(names)}" for recipe, names in recipes.items()), ""]


def _label(member: Member, base: Member) -> str:
    """A name without what it has in common with the base's."""
    if member.kind == BASE:
        return base.name
    return member.name.removeprefix(f"{base.name}-").removeprefix(f"{base.name.rpartition('-')[0]}-")


def compared(members: Sequence[Member]) -> list[Member]:
    """Of those with weights: the base, the dearest of each dimension alone, and the compound one whose
    multiply-adds are nearest to theirs (the dearest, where there is no other)."""
    trained = [member for member in members if member.weights is not None]
    chosen = {kind: [m for m in trained if m.kind == kind] for kind in (BASE, "depth", "width", "resolution")}
    single = [found[-1] for found in chosen.values() if found]
    alone = [member.arch.macs for member in single if member.kind != BASE]
    compound = [member for member in trained if member.kind == KINDS[0]]
    if not compound:
        return single
    if not alone:
        return [*single, compound[-1]]
    goal = np.mean(np.log(alone))
    return [*single, min(compound, key=lambda m: abs(np.log(m.arch.macs) - goal))]


def _maps(members: Sequence[Member], paths: Sequence[Path], files: Files) -> list[str]:
    """Draws the class activation maps of the networks that are compared."""
    images = [read_image(path) for path in paths]
    shown = compared(members)
    if not shown:
        raise NasError(
            f"--images: no member has weights in {TRAINED}/NAME/NAME.safetensors; train them with "
            f"nas train {members[0].name} --data DATA, or give the base's with --weights FILE"
        )
    loaded: list[tuple[Network, Facts, str]] = []
    for member in shown:
        assert member.weights is not None
        facts = read_weights(member.weights)[1]
        loaded.append((load_network(member.arch, member.weights), facts, str(member.weights)))
    drawn, sizes = [], {}
    for path, image in zip(paths, images, strict=True):
        cells = []
        for net, facts, where in loaded:
            maps = activation_maps(net, prepared(image, net, facts, where))
            number = int(maps.classes[0])
            title = facts.class_names[number] if number < len(facts.class_names) else f"class {number}"
            cells.append(
                Cell(f"{title[:24]} {float(maps.probabilities[0]):.2f}", upsampled(maps.maps, SHOWN)[0])
            )
            sizes[where] = f"{maps.maps.shape[1]} x {maps.maps.shape[2]}"
        whole = sees_whole(loaded[0][1])
        drawn.append(ImageRow(path.name, np.asarray(framed(image, SHOWN, whole)), cells))
    titles = [
        f"{member.name}\n{member.kind}, {short(member.arch.macs)}, {sizes[where]}"
        for member, (_, _, where) in zip(shown, loaded, strict=True)
    ]
    files["cam.png"] = png(cam_figure(drawn, titles))
    return [
        "## Class activation maps", "", "![Class activation maps](cam.png)", "",
        "Where each network sees the class it predicts (Zhou et al. 2016), and that class's probability: from each "
        "map's least (blue) to its greatest (red). Under a network's name: how it was scaled, its multiply-adds, and "
        "the pixels of its last feature map.", "",
    ]  # fmt: skip
