"""Claim: `nas.certificate` names a false winner in at most 7 % of certificates (95 % upper bound), and finds a true
difference of 0.5 points with 5 seeds in at least 80 %.

    .venv/bin/python benchmarks/certificates.py run nas-bench-macro_cifar10.json      four minutes
    .venv/bin/python benchmarks/certificates.py report                                the tables, from the rows

Residuals are those of NAS-Bench-Macro (see macro_table.py): three trainings of each of 6,561 keys on CIFAR-10, less
their mean, times sqrt(3/2) for the mean being theirs; a made-up network has those of one random key, so that spreads
differ between networks as they do there (pooled standard deviation 0.21 points).

- *Null*: winner and five rivals (runner-up, the best of a random search, three references) have equal means. Of 15
  finalists the winner and the runner-up are those of highest mean over S seeds, then all six are trained with S fresh
  seeds. A false winner is one that is told to be better than any rival.
- *Power*: the winner is better than one rival by so many points, equal to the other four: how often that is told.
- *Recorded*: 15 keys within 5 % of one cost; runs 1 and 2 name winner and rivals (the next five), run 3 judges: how
  often the winner is better than a rival there, by the margin of runs 1 and 2.

Dunnett's quantile for equal seeds is the same for every certificate; it is taken from `scipy.stats.dunnett` once, and
300 certificates are compared with `contrasts` itself. 20,000 certificates each, of the null 200,000, seed 0. The
luck of the test's images is no part of it: all networks of the table were tested on the same. Rows:
results/certificates.jsonl.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
from macro_command import main
from macro_table import read
from scipy.stats import beta, dunnett

from nas.certificate import LEVEL, contrasts

OUT = Path(__file__).parent / "results" / "certificates.jsonl"
MANY, NULLS, RIVALS, FINALISTS, CHECKED = 20_000, 200_000, 5, 15, 300
SEEDS = (3, 5, 10)
DIFFERENCES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)


@cache
def quantile(seeds: int) -> float:
    """Of max |t| over the rivals, all with so many seeds: half the width of an interval in standard errors."""
    data = np.random.default_rng(1).normal(size=(RIVALS + 1, seeds))
    found = dunnett(*data[1:], control=data[0], rng=np.random.default_rng(0))
    interval = found.confidence_interval(LEVEL)
    width = (interval.high[0] - interval.low[0]) / 2
    return float(width / np.sqrt(data.var(axis=1, ddof=1).mean() * 2 / seeds))


def ratios(data: np.ndarray) -> np.ndarray:
    """Margins as parts of half an interval, (certificates, rivals), of (certificates, 1 + rivals, seeds): the winner is
    told to be better where they are over 1, and worse below -1."""
    seeds = data.shape[2]
    error = np.sqrt(data.var(axis=2, ddof=1).mean(axis=1) * 2 / seeds)
    margins = data[:, :1].mean(axis=2) - data[:, 1:].mean(axis=2)
    return margins / (quantile(seeds) * error[:, None])


def trained(residuals: np.ndarray, networks: np.ndarray, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """Accuracies less their means, (..., seeds), of networks whose residuals are those of the given keys."""
    return residuals[networks[..., None], rng.integers(residuals.shape[1], size=(*networks.shape, seeds))]


def null(residuals: np.ndarray, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """Winner, runner-up and four others of equal means, judged with fresh seeds."""
    finalists = rng.integers(len(residuals), size=(NULLS, FINALISTS))
    order = np.argsort(-trained(residuals, finalists, seeds, rng).mean(axis=2), axis=1)[:, :2]
    chosen = np.take_along_axis(finalists, order, axis=1)
    others = rng.integers(len(residuals), size=(NULLS, RIVALS - 1))
    return trained(residuals, np.concatenate([chosen, others], axis=1), seeds, rng)


def run(path: str) -> None:
    table = read(path)
    points = table.accuracies * 100
    residuals = (points - points.mean(axis=1, keepdims=True)) * np.sqrt(1.5)
    found: list[dict[str, object]] = []
    for seeds in SEEDS:
        rng = np.random.default_rng(0)
        data = null(residuals, seeds, rng)
        found_ratios = ratios(data)
        told = found_ratios > 1
        for one, expected in zip(data[:CHECKED], told[:CHECKED], strict=True):
            rivals = {str(n): rival for n, rival in enumerate(one[1:])}
            got = [c.distinguishable and c.margin > 0 for c in contrasts(one[0], rivals)]
            if got != expected.tolist():  # within the integration's error of the border
                found.append({"kind": "differs", "seeds": seeds})
        wrong = int(told.any(axis=1).sum())
        found.append({
            "kind": "null", "seeds": seeds, "certificates": NULLS, "false": wrong,
            "upper": round(float(beta.ppf(0.95, wrong + 1, NULLS - wrong)), 4),
            "either": int((np.abs(found_ratios) > 1).any(axis=1).sum()),
        })  # fmt: skip
        for difference in DIFFERENCES:
            networks = rng.integers(len(residuals), size=(MANY, RIVALS + 1))
            data = trained(residuals, networks, seeds, rng)
            data[:, 0] += difference
            data[:, 2:] += difference
            found.append({
                "kind": "power", "seeds": seeds, "difference": difference, "certificates": MANY,
                "told": int((ratios(data)[:, 0] > 1).sum()),
            })  # fmt: skip
    found += recorded(table.macs, points, np.random.default_rng(0))
    OUT.write_text("".join(json.dumps(row) + "\n" for row in found))


def recorded(macs: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> list[dict[str, object]]:
    """How often run 3 bears out what runs 1 and 2 say, by their margin."""
    bins: dict[str, list[bool]] = {}
    for _ in range(2000):
        centre = macs[rng.integers(len(macs))]
        near = np.flatnonzero(np.abs(macs / centre - 1) <= 0.05)
        if len(near) < FINALISTS:
            continue
        chosen = rng.choice(near, FINALISTS, replace=False)
        runs = points[chosen][:, rng.permutation(3)]
        decided = runs[:, :2].mean(axis=1)
        order = np.argsort(-decided)
        for rival in order[1 : 1 + RIVALS]:
            margin = decided[order[0]] - decided[rival]
            name = (
                "under 0.2"
                if margin < 0.2
                else "0.2 to 0.5"
                if margin < 0.5
                else "0.5 to 1"
                if margin < 1
                else "over 1"
            )
            bins.setdefault(name, []).append(bool(runs[order[0], 2] > runs[rival, 2]))
    return [
        {"kind": "recorded", "margin": name, "pairs": len(bins[name]), "upheld": sum(bins[name])}
        for name in ("under 0.2", "0.2 to 0.5", "0.5 to 1", "over 1")
        if name in bins
    ]


def report() -> str:
    """The tables, from the rows alone."""
    rows = [json.loads(line) for line in OUT.read_text().splitlines()]
    lines = [
        "| seeds | false winners | 95 % upper bound | any false difference |",
        "| --- | --- | --- | --- |",
    ]
    for row in (row for row in rows if row["kind"] == "null"):
        wrong, either = row["false"] / row["certificates"], row["either"] / row["certificates"]
        lines.append(f"| {row['seeds']} | {wrong:.2%} | {row['upper']:.2%} | {either:.1%} |")
    lines += [
        "",
        "| true difference, points | " + " | ".join(f"told with {seeds} seeds" for seeds in SEEDS) + " |",
    ]
    lines.append("| --- " * (1 + len(SEEDS)) + "|")
    for difference in DIFFERENCES:
        cells = [row for row in rows if row["kind"] == "power" and row["difference"] == difference]
        lines.append(
            f"| {difference:g} | "
            + " | ".join(f"{row['told'] / row['certificates']:.1%}" for row in cells)
            + " |"
        )
    lines += ["", "| margin of runs 1 and 2, points | pairs | upheld by run 3 |", "| --- | --- | --- |"]
    for row in (row for row in rows if row["kind"] == "recorded"):
        lines.append(f"| {row['margin']} | {row['pairs']:,} | {row['upheld'] / row['pairs']:.1%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(__doc__, run, report)
