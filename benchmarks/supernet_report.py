"""The tables of supernet_ranking.py, from the rows of results/supernet."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from supernet_rows import OUT, Row, interval, kendall, mean_cost, partial, regret, rows, spearman

import nas
from nas.architecture import Architecture

SPACE = "cifar"
TUNED, FRESH, AT_COST = 12, 36, 24
EPOCHS, SEEDS, SHORT, SHORT_SEED = 8, (0, 1), 2, 2


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
    """Accuracies by the network's number; nan where there is none."""
    found = np.full(TUNED if name == "tuned" else FRESH, np.nan)
    for row in rows_:
        if row["set"] == name and all(row[key] == value for key, value in wanted.items()):
            found[row["number"]] = row.get("accuracy", np.nan)
    return found


def report(folder: Path, chosen_variant: str | None) -> None:
    """Every figure, from the rows."""
    single, taken = rows("alone", folder), rows("shared", folder)
    print("| variant | epochs' end: smallest | between | largest | tau on the 12 | core-minutes |")
    print("| --- | --- | --- | --- | --- | --- |")
    tuned = np.mean([column("tuned", single, epochs=EPOCHS, seed=seed) for seed in SEEDS], axis=0)
    for row in rows("supernets", folder):
        there = column("tuned", taken, variant=row["variant"])
        tau = "" if np.isnan(there).any() or np.isnan(tuned).any() else f"{kendall(there, tuned):.2f}"
        cells = [row["variant"], *(f"{row[k]:.4f}" for k in ("smallest", "accuracy", "largest")), tau]
        minutes = "" if row["cpu_seconds"] is None else f"{row['cpu_seconds'] / 60:.0f}"
        print("| " + " | ".join([*cells, minutes]) + " |")
    seeds = [column("fresh", single, epochs=EPOCHS, seed=seed) for seed in SEEDS]
    truth, inherited = np.mean(seeds, axis=0), column("fresh", taken, variant=chosen_variant)
    if np.isnan(truth).any() or np.isnan(inherited).any():
        print("\nthe fresh networks do not have all their rows yet")
        return
    archs = architectures("fresh")
    macs = np.array([arch.macs for arch in archs], float)
    judges = {
        f"supernet ({chosen_variant})": inherited, "multiply-adds": macs,
        "parameters": np.array([arch.params for arch in archs], float),
        f"{SHORT} epochs alone": column("fresh", single, epochs=SHORT, seed=SHORT_SEED),
        "seed 0 for seed 1": seeds[0],
    }  # fmt: skip
    for title, chosen in (("all", np.arange(FRESH)), ("one cost", np.arange(AT_COST))):
        print(f"\n{title}, {len(chosen)} networks\n")
        print(
            "| judge | tau | rho | tau given multiply-adds | less than the supernet's tau | regret of 1, 3, 5 |"
        )
        print("| --- | --- | --- | --- | --- | --- |")
        for name, judged in judges.items():
            goal = seeds[1] if name.startswith("seed") else truth
            mine, theirs, given = judged[chosen], goal[chosen], macs[chosen]
            tau = interval(lambda i, a=mine, b=theirs: kendall(a[i], b[i]), len(chosen))
            less = ""
            if judged is not inherited and not name.startswith("seed"):
                ours = inherited[chosen]
                off = interval(
                    lambda i, a=ours, b=mine, t=theirs: kendall(a[i], t[i]) - kendall(b[i], t[i]), len(chosen)
                )
                less = f"{off[0]:+.2f} [{off[1]:+.2f}, {off[2]:+.2f}]"
            cells = [
                name, f"{tau[0]:.2f} [{tau[1]:.2f}, {tau[2]:.2f}]", f"{spearman(mine, theirs):.2f}",
                "" if name == "multiply-adds" else f"{partial(mine, theirs, given):.2f}", less,
                ", ".join(f"{100 * regret(mine, theirs, k):.2f}" for k in (1, 3, 5)),
            ]  # fmt: skip
            print("| " + " | ".join(cells) + " |")
    each = mean_cost(r for r in single if r["epochs"] == EPOCHS)
    train = mean_cost(r for r in rows("supernets", folder) if r["variant"] == chosen_variant)
    evaluation = mean_cost(r for r in taken if r["variant"] == chosen_variant)
    print(f"\n1,000 candidates: alone {1000 * each / 3600:.1f} core-hours, by supernet {train / 3600:.2f} + "
          f"{1000 * evaluation / 3600:.2f}: {1000 * each / (train + 1000 * evaluation):.0f} times cheaper")  # fmt: skip
