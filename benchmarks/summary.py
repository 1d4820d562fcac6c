"""The tables of a report, from rows alone."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from problems import MADE_UP, REWARDS, parts
from rows import Row

RESAMPLES = 10_000
FEW = 5
REFERENCE = "model"


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean: the middle of the means of 10,000 resamples.

    >>> interval([3.0, 3.0, 3.0])
    (3.0, 3.0)
    """
    sample = np.asarray(values, float)
    picks = np.random.default_rng(seed).integers(0, len(sample), (RESAMPLES, len(sample)))
    low, high = np.percentile(sample[picks].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def mean_of(values: Sequence[float], digits: int) -> str:
    """Mean and interval; of fewer than FEW values the mean alone, which is no estimate of its own spread."""
    if len(values) < FEW:
        return f"{statistics.fmean(values):,.{digits}f}"
    low, high = interval(values)
    return f"{statistics.fmean(values):,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]"


def paired(reference: Sequence[Row], rows: Sequence[Row], value: Callable[[Row], float], digits: int) -> str:
    """The mean of the reference minus a strategy over the seeds of both, with its interval."""
    theirs = {row["seed"]: value(row) for row in rows}
    gaps = [value(row) - theirs[row["seed"]] for row in reference if row["seed"] in theirs]
    if not gaps:
        return ""
    return mean_of(gaps, digits) + ("" if len(gaps) == len(rows) else f" (n = {len(gaps)})")


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned in plain text too."""
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in (head, rule, *lines)
    )


def given_up(rows: Sequence[Row]) -> bool:
    """Whether a strategy was given up before the budget, so that its mean is a lower bound."""
    return any(row["cap"] and not row["found"] for row in rows)


def searched(groups: dict[str, list[Row]]) -> str:
    """Evaluations until the best, of a setting that stops there; those given up early last."""
    reference = groups.get(REFERENCE, [])
    lines = []
    for name, rows in sorted(
        groups.items(), key=lambda item: (given_up(item[1]), np.mean([r["evaluations"] for r in item[1]]))
    ):
        values = [float(row["evaluations"]) for row in rows]
        bound = "at least " if given_up(rows) else ""
        gap = "" if name == REFERENCE or bound else paired(reference, rows, lambda row: row["evaluations"], 1)
        lines.append([
            name + "".join(f" (cap {cap})" for cap in {row["cap"] for row in rows} - {None}), str(len(rows)),
            bound + mean_of(values, 1), f"{statistics.median(values):g}", f"{np.percentile(values, 90):.0f}",
            str(sum(not row["found"] for row in rows)),
            *(mean_of([row["regret"][count] for row in rows], 3) for count in rows[0]["regret"]),
            gap, f"{statistics.fmean(row['seconds'] for row in rows):.1f}",
        ])  # fmt: skip
    counts = next(iter(groups.values()))[0]["regret"]
    head = ["strategy", "seeds", "mean [95 %]", "median", "p90", "failed",
            *(f"regret % at {count}" for count in counts), f"{REFERENCE} less it", "CPU s"]  # fmt: skip
    return table(head, lines)


def judged(groups: dict[str, list[Row]], measure: str) -> str:
    """The incumbent after so many evaluations: `regret` in percent, or `reward`."""
    digits, reference = 3 if measure == "regret" else 5, groups.get(REFERENCE, [])
    counts = list(next(iter(groups.values()))[0][measure])
    head, lines = ["strategy", "seeds"], []
    for count in counts:
        head += [f"mean at {count} [95 %]", "median", f"{REFERENCE} less it"]
    sign = 1 if measure == "regret" else -1
    for name, rows in sorted(
        groups.items(), key=lambda item: sign * np.mean([r[measure][counts[-1]] for r in item[1]])
    ):
        line = [name, str(len(rows))]
        for count in counts:
            values = [row[measure][count] for row in rows]
            gap = "" if name == REFERENCE else paired(
                reference, rows, lambda row, at=count: row[measure][at], digits
            )  # fmt: skip
            line += [mean_of(values, digits), f"{statistics.median(values):.{digits}f}", gap]
        lines.append([*line, f"{statistics.fmean(row['seconds'] for row in rows):.1f}"])
    return table([*head, "CPU s"], lines)


def order(setting: str) -> tuple[int, int, str]:
    reward, modifiers = parts(setting)
    return len(modifiers), [*REWARDS, *MADE_UP].index(reward), setting


def report(rows: Sequence[Row], notes: dict[str, str] | None = None) -> str:
    """Every setting's table, and what they were measured with."""
    settings: dict[tuple[str, int], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    absent: dict[tuple[str, int], list[str]] = defaultdict(list)
    for row in rows:
        where = (row["setting"], row["budget"])
        if row.get("unavailable"):
            absent[where].append(f"- {row['strategy']}: not measured, {row['unavailable']}")
        else:
            settings[where][row["strategy"]].append(row)
    text = []
    for setting, budget in sorted({*settings, *absent}, key=lambda where: (*order(where[0]), where[1])):
        groups = settings.get((setting, budget))
        text.append(f"## {setting}, budget {budget:,}\n")
        if groups:
            first = next(iter(groups.values()))[0]
            text.append(
                searched(groups) if first["measure"] == "evaluations" else judged(groups, first["measure"])
            )
            text += ends(groups)
        text += [*sorted(absent[setting, budget]), ""]
    used = [row for row in rows if not row.get("unavailable")]
    names = {row["strategy"] for row in used}
    text += [f"- `{name}`: {note}" for name, note in (notes or {}).items() if name in names]
    return "\n".join([*text, "", *provenance(used)])


def ends(groups: dict[str, list[Row]]) -> list[str]:
    """What ended runs that neither found the best nor spent the budget."""
    found = [
        f"- {name}, seed {row['seed']}: ended early, {row['why']}"
        for name, rows in groups.items()
        for row in rows
        if row["why"] not in (None, "budget")
    ]
    return found if len(found) <= 5 else [*found[:5], f"- and {len(found) - 5} more ended early"]


def provenance(rows: Sequence[Row]) -> list[str]:
    """Versions, dates and machines of the rows."""
    if not rows:
        return ["no rows"]
    versions = sorted({f"{name} {number}" for row in rows for name, number in row["versions"].items()})
    machines = sorted({", ".join(f"{k} {v}" for k, v in row["machine"].items()) for row in rows})
    dates = sorted({row["date"] for row in rows})
    codes = sorted({row["code"] for row in rows if row.get("code")})
    return [
        f"{len(rows):,} rows, {' to '.join(sorted({dates[0], dates[-1]}))}; {', '.join(versions)}; "
        f"{'; '.join(machines)}; 1 thread",
        *([f"code of ours: {', '.join(codes)}"] if codes else []),
    ]
