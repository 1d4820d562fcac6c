"""The tables of supernet_ranking.py, from the rows of results/supernet."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from supernet_rows import (
    OUT,
    Interval,
    Row,
    interval,
    kendall,
    mean_cost,
    over,
    partial,
    regret,
    rows,
    spearman,
)

import nas
from nas.architecture import Architecture

SPACE = "cifar"
TUNED, FRESH, AT_COST = 12, 36, 24
EPOCHS, SEEDS, SHORT, SHORT_SEED = 8, (0, 1), 2, 2
AIM = 0.8
CEILING = "seed 0 (ceiling)"
HEAD = ("judge", "tau", "of the ceiling", "less than the supernet's", "tau given multiply-adds", "rho",
        "tau with the mean of both seeds", "regret of 1, 3, 5")  # fmt: skip


def networks() -> dict[str, list[dict[str, Any]]]:
    """The samples that are compared, from results/supernet/networks.json."""
    path = OUT / "networks.json"
    if not path.exists():
        sys.exit("supernet_ranking: the networks are not drawn yet; run `networks`")
    return json.loads(path.read_text())


def architectures(name: str) -> list[Architecture]:
    space = nas.SearchSpace.load(SPACE)
    return [space.decode(sample) for sample in networks()[name]]


def column(name: str, rows_: list[Row], **wanted: Any) -> np.ndarray:
    """Accuracies by the network's number; 0 of a training that failed, nan where there is no row."""
    found = np.full(TUNED if name == "tuned" else FRESH, np.nan)
    for row in rows_:
        if row["set"] == name and all(row[key] == value for key, value in wanted.items()):
            found[row["number"]] = row.get("accuracy", 0.0)
    return found


def failed(name: str, single: list[Row]) -> list[int]:
    """Numbers of the networks whose training alone failed with either seed."""
    return sorted(
        {r["number"] for r in single if r["set"] == name and r["epochs"] == EPOCHS and "failed" in r}
    )


def tau(judged: np.ndarray, seeds: list[np.ndarray], times: np.ndarray | None = None) -> Any:
    """Kendall's tau of a judge with each seed alone: their mean."""
    return np.mean([kendall(judged, seed, times) for seed in seeds], axis=0)


def of_ceiling(judged: np.ndarray, seeds: list[np.ndarray]) -> Interval:
    """A judge's tau over that of one seed with the other, both of the same resample."""
    return interval(lambda t: over(tau(judged, seeds, t), kendall(*seeds, t)), len(judged))


def figures(judged: np.ndarray, seeds: list[np.ndarray], macs: np.ndarray) -> dict[str, str]:
    """What is told of a judge, or of the first seed where `seeds` is the second alone."""

    def rho(times: np.ndarray) -> Any:
        return np.mean([spearman(judged, seed, times) for seed in seeds], axis=0)

    def given(times: np.ndarray) -> Any:
        return np.mean([partial(judged, seed, macs, times) for seed in seeds], axis=0)

    lost = [100 * np.mean([regret(judged, seed, k) for seed in seeds]) for k in (1, 3, 5)]
    return {
        "tau": f"{interval(lambda t: tau(judged, seeds, t), len(judged)):.2f}",
        "rho": f"{interval(rho, len(judged)):.2f}",
        "tau given multiply-adds": "" if judged is macs else f"{interval(given, len(judged)):.2f}",
        "regret of 1, 3, 5": ", ".join(f"{each:.2f}" for each in lost),
    }


def table(judges: dict[str, np.ndarray], seeds: list[np.ndarray], macs: np.ndarray) -> None:
    """A line for every judge, of which the first is the supernet, and for the ceiling."""
    print("| " + " | ".join(HEAD) + " |")
    print("| " + " | ".join("---" for _ in HEAD) + " |")
    ours, *_ = judges.values()
    for name, judged in judges.items():
        found = {"judge": name, **figures(judged, seeds, macs)}
        found["of the ceiling"] = f"{of_ceiling(judged, seeds):.2f}"
        mean = np.mean(seeds, axis=0)
        found["tau with the mean of both seeds"] = f"{kendall(judged, mean):.2f}"
        if judged is not ours:
            less = interval(lambda t, j=judged: tau(ours, seeds, t) - tau(j, seeds, t), len(ours))
            found["less than the supernet's"] = f"{less:+.2f}"
        print("| " + " | ".join(found.get(head, "") for head in HEAD) + " |")
    found = {"judge": CEILING, **figures(seeds[0], seeds[1:], macs)}
    print("| " + " | ".join(found.get(head, "") for head in HEAD) + " |")


def variants(single: list[Row], taken: list[Row], supernets: list[Row]) -> None:
    """The table of the supernets, with what each gave on the tuned networks."""
    print("| variant | epochs' end: smallest | between | largest | tau on the 12 | rho | core-minutes |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    kept = np.setdiff1d(np.arange(TUNED), failed("tuned", single))
    tuned = [column("tuned", single, epochs=EPOCHS, seed=seed)[kept] for seed in SEEDS]
    for row in supernets:
        if "failed" in row:
            print(f"| {row['variant']} | failed: {row['failed']} | | | | | |")
            continue
        there = column("tuned", taken, variant=row["variant"])[kept]
        found = ["", ""]
        if not np.isnan([there, *tuned]).any():
            found = [
                f"{interval(lambda t, j=there: tau(j, tuned, t), len(kept)):.2f}",
                f"{np.mean([spearman(there, seed) for seed in tuned]):.2f}",
            ]
        cells = [row["variant"], *(f"{row[k]:.4f}" for k in ("smallest", "accuracy", "largest")), *found]
        print("| " + " | ".join([*cells, f"{row['cpu_seconds'] / 60:.0f}"]) + " |")


def second(
    single: list[Row], supernets: list[Row], taken: list[Row], found: list[Row], chosen: str | None
) -> None:
    """The second round: variants judged on all networks, the first round's chosen one beside them."""
    names = list(dict.fromkeys(row["variant"] for row in found))
    if not names:
        return
    sets, judged = ("tuned", "fresh"), found + [row for row in taken if row["variant"] == chosen]
    seeds = [np.concatenate([column(s, single, epochs=EPOCHS, seed=seed) for s in sets]) for seed in SEEDS]
    out = [n + start for start, s in ((0, "tuned"), (TUNED, "fresh")) for n in failed(s, single)]
    every = np.setdiff1d(np.arange(TUNED + FRESH), out)
    band = every[(every >= TUNED) & (every < TUNED + AT_COST)]
    print("\nsecond round, all 48 networks, which are known by then\n")
    print("| variant | epochs' end: between | tau | of one cost | core-minutes |")
    print("| --- | --- | --- | --- | --- |")
    for name in [chosen, *names]:
        there = np.concatenate([column(s, judged, variant=name) for s in sets])
        row = next(row for row in supernets if row["variant"] == name)
        cells = [str(name), f"{row['accuracy']:.4f}"]
        for some in (every, band):
            both = [seed[some] for seed in seeds]
            cells.append(f"{interval(lambda t, j=there[some], b=both: tau(j, b, t), len(some)):.2f}")
        print("| " + " | ".join([*cells, f"{row['cpu_seconds'] / 60:.0f}"]) + " |")


def strangers(found: list[Row]) -> None:
    """What one other op, in one stage, takes from the smallest network, by variant."""
    for variant in dict.fromkeys(row["variant"] for row in found):
        here = [row for row in found if row["variant"] == variant]
        own = {row["accuracy"] for row in here if row["smallest"]}
        assert len(own) == 1  # one network, once for each stage
        off = [100 * (row["accuracy"] - max(own)) for row in here if not row["smallest"]]
        print(f"\n{variant}: the smallest network with one other op, in one stage: {min(off):+.1f} to {max(off):+.1f} "
              f"points, mean {np.mean(off):+.1f}")  # fmt: skip


def report(folder: Path, chosen: str | None) -> None:
    """Every figure, from the rows."""
    single, taken, supernets = (rows(name, folder) for name in ("alone", "shared", "supernets"))
    variants(single, taken, supernets)
    strangers(rows("ops", folder))
    for name in ("tuned", "fresh"):
        if out := failed(name, single):
            print(
                f"\n{name} networks left out, since their training alone failed: {', '.join(map(str, out))}"
            )
    kept = np.setdiff1d(np.arange(FRESH), failed("fresh", single))
    seeds = [column("fresh", single, epochs=EPOCHS, seed=seed) for seed in SEEDS]
    inherited = column("fresh", taken, variant=chosen)
    short = column("fresh", single, epochs=SHORT, seed=SHORT_SEED)
    if np.isnan([each[kept] for each in (*seeds, inherited, short)]).any():
        print("\nthe fresh networks do not have all their rows yet")
        return
    archs = architectures("fresh")
    macs, params = (np.array([getattr(arch, name) for arch in archs], float) for name in ("macs", "params"))
    for title, some in (("all", kept), ("one cost", kept[kept < AT_COST])):
        cost, both = macs[some], [seed[some] for seed in seeds]
        ours = inherited[some]
        judges = {f"supernet ({chosen})": ours, "multiply-adds": cost, "parameters": params[some]}
        print(f"\n{title}, {len(some)} networks\n")
        table({**judges, f"{SHORT} epochs alone": short[some]}, both, cost)
        where = "" if title == "all" else " over all"
        print(f"\nthe supernet's tau, of the ceiling: {of_ceiling(ours, both):.2f} (aim{where}: {AIM})")
    layers = np.array([sum(stage.layers for stage in arch.stages) for arch in archs], float)[kept]
    likes = (
        (f"supernet ({chosen})", [inherited]),
        (f"{SHORT} epochs alone", [short]),
        (f"{EPOCHS} epochs alone", seeds),
    )
    found = ", ".join(f"{name} {tau(layers, [each[kept] for each in some]):+.2f}" for name, some in likes)
    print(f"\nlooked at afterwards: tau with the number of layers: {found}")
    print(f"\n1,000 candidates: {costs(single, taken, supernets, chosen)}")
    second(single, supernets, taken, rows("known", folder), chosen)


def costs(single: list[Row], taken: list[Row], supernets: list[Row], chosen: str | None) -> str:
    """What 1,000 candidates take, by the rows of the processor that the chosen supernet was trained on, and by the
    networks that were trained alone there."""
    training = next(row for row in supernets if row["variant"] == chosen)

    def here(found: Iterable[Row]) -> list[Row]:
        return [row for row in found if row["processor"] == training["processor"]]

    alone = here(row for row in single if row["epochs"] == EPOCHS)
    networks = {(row["set"], row["number"]) for row in alone}  # dear ones are as often on both sides
    evaluations = here(
        row for row in taken if row["variant"] == chosen and (row["set"], row["number"]) in networks
    )
    each, evaluation, train = mean_cost(alone), mean_cost(evaluations), training["cpu_seconds"]
    return (
        f"alone {1000 * each / 3600:.1f} core-hours, by supernet {train / 3600:.2f} + {1000 * evaluation / 3600:.2f}: "
        f"{1000 * each / (train + 1000 * evaluation):.0f} times cheaper ({len(alone)} trainings and {len(evaluations)} "
        f"evaluations on {training['processor']})"
    )
