"""Claim: on digits inherited weights save a few epochs; after 15 of them networks from scratch are better.

    nas supernet digits --data digits --epochs 60
    .venv/bin/python benchmarks/fine_tuning.py                               the figures, from its rows
    .venv/bin/python benchmarks/fine_tuning.py measure supernets/digits      new rows (about ten minutes)

Random networks of the space `digits`, as `nas train --recipe cifar` trains them: from scratch at the recipe's learning
rate, and from the supernet's weights (`--init`) at that rate and at a fifth of it. Each for as many epochs and with the
same seeds; accuracies are on `val`, on which no way was chosen. One thread.
"""

import json
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from rounds import Row, spread

import nas
from nas.data import load_data
from nas.evaluators.supernet import SupernetEvaluator
from nas.recipes import recipe
from nas.supernet.folder import load_supernet
from nas.training import seeded, train

ROWS = Path(__file__).parent / "results" / "fine_tuning.jsonl"
NETWORKS, SEEDS, EPOCHS = 6, (0, 1), (2, 5, 15)
WAYS = {"from scratch": (False, 1.0), "inherited": (True, 1.0), "inherited, a fifth of the rate": (True, 0.2)}
"""Whether weights are inherited, and the learning rate in parts of the recipe's."""


def measure(folder: Path) -> None:
    """A row for every training that has none yet."""
    torch.set_num_threads(1)
    data, trained = load_data("digits"), load_supernet(folder)
    trained.check_images(data)
    judge, space, rng = (
        SupernetEvaluator(trained.supernet, data),
        trained.supernet.space,
        np.random.default_rng(1),
    )
    archs = [space.decode(space.sample(rng)) for _ in range(NETWORKS)]
    done = {(row["network"], row["seed"], row["epochs"], row["way"]) for row in rows()}
    tasks = [(n, s, e, way) for n in range(NETWORKS) for e in EPOCHS for s in SEEDS for way in WAYS]
    for number, seed, epochs, way in [task for task in tasks if task not in done]:
        inherits, part = WAYS[way]
        config = recipe("cifar", epochs=epochs, seed=seed)
        with seeded(seed):
            net = judge.network(archs[number]) if inherits else nas.build(archs[number])
        before = judge.evaluate(archs[number]).accuracy if inherits else None
        found = train(net, data, config.model_copy(update={"lr": config.lr * part})).accuracy
        row = {"network": number, "macs": archs[number].macs, "seed": seed, "epochs": epochs, "way": way}
        row |= {"accuracy": found, "before": before, "date": datetime.now(UTC).date().isoformat()}
        with ROWS.open("a") as file:
            file.write(
                json.dumps(row | {"versions": {name: version(name) for name in ("torch", "b0nas")}}) + "\n"
            )


def rows() -> list[Row]:
    return [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []


def report(found: list[Row]) -> str:
    """Accuracies by way and epochs: median and quartiles over networks and seeds; and points against from scratch."""
    first, scratch = found[0], next(iter(WAYS))
    lines = [
        f"torch {first['versions']['torch']}; {NETWORKS} networks, seeds {', '.join(map(str, SEEDS))}; {first['date']}",
        "",
        "| epochs | way | accuracy on val | points more than from scratch | better in |",
        "| ---: | --- | --- | --- | ---: |",
    ]

    def column(epochs: int, way: str) -> np.ndarray:
        some = [row for row in found if (row["epochs"], row["way"]) == (epochs, way)]
        return np.array([row["accuracy"] for row in sorted(some, key=lambda r: (r["network"], r["seed"]))])

    before = [
        row["before"] for row in found if (row["epochs"], row["way"], row["seed"]) == (2, "inherited", 0)
    ]
    lines.append(f"| 0 | inherited | {spread(before, 4)} | | |")
    for epochs in EPOCHS:
        for way in WAYS:
            more = 100 * (column(epochs, way) - column(epochs, scratch))
            told = ["", ""] if way == scratch else [spread(list(more)), f"{(more > 0).sum()} of {len(more)}"]
            lines.append(
                f"| {epochs} | {way} | {spread(list(column(epochs, way)), 4)} | {' | '.join(told)} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"] and len(sys.argv) == 3:
        measure(Path(sys.argv[2]))
    elif sys.argv[1:]:
        sys.exit("fine_tuning: give nothing, or: measure FOLDER-OF-A-SUPERNET")
    if not ROWS.exists():
        sys.exit(f"{ROWS}: there are no rows yet; make them with: measure FOLDER-OF-A-SUPERNET")
    print(report(rows()))
