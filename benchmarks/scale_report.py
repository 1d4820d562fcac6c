"""The tables and pictures of docs/scale.md, section "Past one machine", of the rows of `simulate.py` alone.

Of a full run whose rows are not all there nothing is told but that.
"""

import statistics
from typing import Any

import generations
import imagenet_cost
from scale_rows import FULL, MEAN, MEANS, SHORT, current, read, stages, stale, swept
from weather import STRAGGLERS

AIM = 0.98
IMAGES = "docs/images"
NOT_YET = "not run yet"

Row = dict[str, Any]


def parts() -> dict[str, str]:
    """Name -> table or sentence."""
    return {
        "full runs": full_runs(),
        "resuming": resuming(),
        "shorter trials": shorter(),
        "generations": waiting(),
        "the loop": loop(),
        "the manager": manager(),
        "ImageNet": imagenet_cost.report(),
    }


def report() -> str:
    told = [f"{name}:\n\n{text}" for name, text in parts().items()]
    return "\n\n".join([*told, *([stale()] if stale() else [])])


def table(head: list[str], lines: list[list[str]]) -> str:
    """Markdown, all columns but the first to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])


def full_runs() -> str:
    """One column for each search."""
    lines: dict[str, list[str]] = {}
    for kind in FULL:
        for name, text in _run(kind).items():
            lines.setdefault(name, []).append(text)
    head = [
        "",
        *(f"{trials:,} trials, {workers:,} workers, `{kind}`" for kind, (trials, workers) in FULL.items()),
    ]
    return table(head, [[name, *texts] for name, texts in lines.items()])


def _run(kind: str) -> dict[str, str]:
    rows = stages(kind)
    last = rows[-1] if rows else {}

    def told(text: Any) -> str:
        return text() if rows else NOT_YET

    return {
        "virtual time": told(lambda: f"{last['virtual'] / 86400:.1f} days"),
        "workers busy while there is work for all": told(lambda: f"{last['busy_work']:.1%}"),
        "until the last result": told(lambda: f"{last['busy_all']:.1%}"),
        "until then, without work that was lost": told(lambda: f"{last['useful']:.1%}"),
        "worst twentieth": told(lambda: f"{min(row['busy'] for row in rows[:-1]):.1%}"),
        "idle between two trials, seconds": told(lambda: _idle(rows)),
        "a proposal, ms: first twentieth": told(lambda: _spread(rows[0])),
        "last twentieth": told(lambda: _spread(last)),
        "most proposals in one message, after the first": told(
            lambda: f"{max(r['largest'] for r in rows[1:]):,}"
        ),
        "asked NNI for all its jobs": told(lambda: f"{sum(row['lists'] for row in rows):,} times"),
        "processor time of the tuner": told(lambda: f"{sum(row['cpu'] for row in rows) / 60:.0f} minutes"),
        "most memory": told(lambda: f"{max(row['peak_mb'] for row in rows):,} MB"),
        "journal": told(lambda: f"{last['journal_mb']:,.0f} MB"),
    }


def _spread(row: Row) -> str:
    median, ninth, most = row["ms"]["ask"]
    return f"{median:.1f} (9th decile {ninth:.1f}, most {most:,.0f})"


def _idle(rows: list[Row]) -> str:
    names = {"seen": "end seen", "proposed": "proposal", "started": "its turn", "begun": "begun"}
    found = {name: statistics.mean(row["idle"][name] for row in rows[1:-1]) for name in names}
    return f"{sum(found.values()):.1f}: " + ", ".join(
        f"{names[name]} {value:.1f}" for name, value in found.items()
    )


def resuming() -> str:
    rows = {(row["search"], row["part"]): row for row in current("replay")}
    lines = []
    for kind, (trials, _) in FULL.items():
        name = f"`{kind}`, {trials:,} trials"
        read_, again = rows.get((kind, "read")), rows.get((kind, "resume"))
        if read_ is None or again is None:
            lines.append([name, *[NOT_YET] * 6])
            continue
        lines.append([
            name, f"{read_['lines']:,}", f"{read_['seconds']:.1f} s",
            f"{1e5 * read_['seconds'] / read_['lines']:.1f} s",
            f"{again['seconds']:.1f} s", f"{again['imported']:.1f} s", f"{again['held_mb']:,} MB",
        ])  # fmt: skip
    head = ["", "lines of the journal", "read in", "100,000 lines", "search resumed in", "NNI's results taken in",
            "memory after"]  # fmt: skip
    return table(head, lines)


def shorter() -> str:
    found = swept()
    lines = [
        [_length(mean), *(f"{found[kind, mean]['steady']:.1%}" if (kind, mean) in found else NOT_YET for kind in SHORT)]
        for mean in MEANS
    ]  # fmt: skip
    lines.append([f"{AIM:.0%} from", *map(least, SHORT)])
    heads = [f"{n:,} workers, `{kind}`, n = {trials - since:,}" for kind, (n, trials, since) in SHORT.items()]
    return table(["trials of", *heads], lines)


def least(kind: str) -> str:
    """The length of trials from which workers are busy for AIM of their time, where idle time between trials is as at
    the two lengths around it."""
    found = swept()
    if any((kind, mean) not in found for mean in MEANS):
        return NOT_YET
    lengths = [(mean, found[kind, mean]["steady"]) for mean in sorted(MEANS)]
    above = [(mean, share) for mean, share in lengths if share >= AIM]
    if not above:
        return f"longer than {_length(lengths[-1][0])}"
    mean, share = min(above)
    if mean == lengths[0][0]:
        return f"{_length(mean)} or less"
    before, less = max(pair for pair in lengths if pair[0] < mean)
    idle, longer = before * (1 / less - 1), mean * (1 / share - 1)
    # idle grows from one to the other in a straight line: m (1 / AIM - 1) = idle + (m - before) * slope
    slope = (longer - idle) / (mean - before)
    return f"{(idle - before * slope) / (1 / AIM - 1 - slope) / 60:.1f} minutes"


def _length(mean: float) -> str:
    return f"{mean / 60:g} minute{'s' * (mean != 60)}" if mean >= 60 else f"{mean:g} seconds"


def waiting() -> str:
    lines = []
    for kind, (trials, workers) in FULL.items():
        rows = stages(kind)
        ours = f"{rows[-1]['busy_all']:.1%}" if rows else NOT_YET
        shares = (generations.busy(trials, workers, MEAN, stragglers=share) for share in (STRAGGLERS, 0.0))
        lines.append([f"{trials:,} trials, {workers:,} workers", *(f"{share:.1%}" for share in shares), ours])
    return table(["", "generations", "generations without stragglers", "here"], lines)


def manager() -> str:
    """How long NNI's own takes."""
    found = {row["jobs"]: row for row in read("manager")}
    if not found:
        return f"NNI's manager and its list: {NOT_YET}."
    lines = [
        [f"{jobs:,}", f"{row['mb']:.0f} MB", *(f"{statistics.median(row[name]):.3g} s"
                                               for name in ("list", "parsed", "one", "settings"))]
        for jobs, row in sorted(found.items())
    ]  # fmt: skip
    return table(["jobs", "their list", "NNI takes", "reading it", "one job", "the settings"], lines)


def loop() -> str:
    """What NNI's loop waits for at each trial."""
    found = read("manager.submit")
    if not found:
        return f"NNI's manager and one trial: {NOT_YET}."
    mean, n = found[-1]["mean"], found[-1]["n"]["submit"]
    names = {
        "submit": "its process is made", "profile": "the experiment is stored", "begun": "that it began is stored",
        "ended": "that it ended is stored",
    }  # fmt: skip
    lines = [[text, f"{1000 * mean[name]:.0f} ms"] for name, text in names.items()]
    total = sum(mean[name] for name in names)
    lines.append(
        [f"in all, for which {1 / total:.0f} trials a second are the most", f"{1000 * total:.0f} ms"]
    )
    return table([f"mean of {n} trials", ""], lines)


def pictures() -> None:
    """docs/images/scale-*.png.

    Raises:
        SystemExit: where rows are missing.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = {kind: stages(kind) for kind in FULL}
    if not all(found.values()):
        raise SystemExit(f"pictures: {', '.join(kind for kind in found if not found[kind])}: {NOT_YET}")
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for kind, rows in found.items():
        trials, workers = FULL[kind]
        at = [row["ended"] / trials for row in rows]
        line = axes[0].plot(
            at[:-1], [100 * row["busy"] for row in rows[:-1]], label=f"{kind}, {workers:,} workers"
        )[0]
        share = 100 * generations.busy(trials, workers, MEAN)
        axes[0].axhline(share, color=line.get_color(), linestyle=":", label=f"generations of {workers:,}")
        axes[1].plot(at, [row["ms"]["ask"][0] for row in rows], label=kind)
        axes[2].plot(at, [row["peak_mb"] for row in rows], label=kind)
    axes[0].axhline(100 * AIM, color="grey", linewidth=0.5)
    axes[1].set_yscale("log")
    titles = ("workers busy (%)", "a proposal (ms, median)", "most memory (MB)")
    for one, title in zip(axes, titles, strict=True):
        one.set_title(title)
        one.set_xlabel("share of the trials")
        one.legend(fontsize=8)
    figure.savefig(f"{IMAGES}/scale.png", dpi=120)
