"""The report of a run: its settings, what became of the trials, the winner, the best ten, and the parts of
`nas.run_sections`: pictures, what the proxy and the winner are worth, and what it cost."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nas import baseline as baselines
from nas import run_sections as sections
from nas.baseline import Baseline
from nas.calibration_section import calibrated
from nas.errors import NasError
from nas.search.costs import latency_words
from nas.search.finding import subject_of
from nas.search.journal import Journal, Trial
from nas.search.runs import open_journal
from nas.search.verdict_words import plain
from nas.search.winner import no_winner
from nas.strict_yaml import read_text
from nas.tables import short

BEST = 10
"""Trials that are listed."""


def run_files(run: Path, command: str) -> dict[str, bytes]:
    """The files of a run's report, by name; nothing is written.

    Args:
        run: its directory, as `nas.search.runs.find_run` gives it.
        command: what is to stand in the report.

    Raises:
        NasError: where the journal holds no run.
    """
    journal = open_journal(run)
    subject = subject_of(journal.run, str(journal.path))
    trials, best = journal.ended(), journal.best()
    experiment = str(journal.run["experiment"])
    files: dict[str, bytes] = {}
    text = [
        f"# Run {plain(experiment)}",
        "",
        f"`{plain(command)}`",
        "",
        *_settings(journal),
        *_counts(journal),
    ]
    if best is None:
        text += [f"No winner: {plain(no_winner(journal))}.", ""]
    else:
        text += ["## Winner", "", *_winner(journal, best), "", subject.markdown(best.sample), ""]
        text += ["## The best trials", "", *_table(trials), ""]
    text += sections.rewards(journal, files)
    text += sections.front(run, journal, subject, files)
    text += sections.mattered(journal, subject, files)
    text += sections.proposed(journal, subject, files)
    proxy, pilot = calibrated(run, journal, subject, files)
    verdict, certificate = sections.certified(run, experiment, files)
    text += [*proxy, *verdict, *sections.cost(journal, pilot, certificate)]
    return {**files, "report.md": ("\n".join(text).rstrip() + "\n").encode()}


def _settings(journal: Journal) -> list[str]:
    run = journal.run
    trial: dict[str, Any] = run["trial"]
    rows: dict[str, Any] = {
        "searched": run["space"],
        "table": run.get("table", {}).get("name"),
        "latency": latency_words(run),
        "strategy": _words(run["strategy"]),
        "reward": _words(trial["reward"]),
        "limits": _words(trial["limits"]),
        "seed": run["seed"],
        "trials at most": journal.max_trials,
        "at a time": run.get("concurrency"),
        "command": f"`{run['command']}`" if run.get("command") else None,
        "began": run.get("time"),
        "versions": _words(run.get("versions") or {}),
        "journal": f"`{journal.path}`",
    }
    found = [f"| {name} | {plain(value)} |" for name, value in rows.items() if value not in (None, "")]
    return ["| setting | |", "| --- | --- |", *found, ""]


def _words(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _counts(journal: Journal) -> list[str]:
    counts = Counter(trial.state for trial in journal.trials.values())
    keys = {trial.key for trial in journal.trials.values() if trial.scored}
    states = ", ".join(f"{number} {state}" for state, number in counts.most_common())
    return [
        f"{len(journal.trials)} trials: {states or 'none yet'}; {len(keys)} distinct networks evaluated.",
        "",
    ]


def _winner(journal: Journal, best: Trial) -> list[str]:
    experiment = journal.run["experiment"]
    found = list(frozen(experiment, journal))
    where = [
        f"`{path}` ({baseline.name}{'' if trial in (best.number, None) else f': trial {trial}'})"
        for path, baseline, trial in found
    ]
    told = (
        f"Frozen in {', '.join(where)}."
        if where
        else f"Not frozen in ./baselines or here: nas freeze {experiment}."
    )
    tested = [
        b.facts.accuracy for _, b, n in found if n == best.number and b.facts and b.facts.accuracy is not None
    ]
    after = f" After full training: {tested[0]:.4f} on the test split." if tested else ""
    accuracy = "" if best.accuracy is None else f", accuracy {best.accuracy:.4f}"
    return [
        f"Trial {best.number}: reward {best.reward or 0:.4f}{accuracy}, {short(best.macs or 0)} multiply-adds"
        f"{'' if best.latency is None else f', {best.latency:.3g} ms'}. "
        f"{told}{after}"
    ]


def frozen(experiment: str, journal: Journal) -> Iterator[tuple[Path, Baseline, int | None]]:
    """(Path, baseline, trial) of the documents in ./baselines, here, and of a grid search where its baseline lies,
    that come from an experiment; those that cannot be read are passed over."""
    at = [Path(journal.run["path"]).parent] if journal.run.get("path") else []
    seen: set[Path] = set()
    for folder in (Path("baselines"), Path(), *at):
        for path in sorted(folder.glob("*.yml")):
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                if experiment not in read_text(path):
                    continue
                found = baselines.load(path)
            except NasError:
                continue
            made, grid = found.provenance, found.scaling and found.scaling.search
            for source in (made, grid):
                if source is not None and source.experiment == experiment:
                    yield path, found, source.trial


def _table(trials: Sequence[Trial]) -> list[str]:
    best = sorted((t for t in trials if t.scored), key=lambda t: (-(t.reward or 0), t.number))[:BEST]
    timed = any(t.latency is not None for t in best)
    rows = [
        f"| {t.number} | {t.reward or 0:.4f} | {_number(t.accuracy, '.4f')} | {_count(t.macs)} | {_count(t.params)} | "
        f"{_number(t.latency, '.3g') + ' | ' if timed else ''}{_number(t.seconds, '.1f')} |"
        for t in best
    ]
    head = f"| trial | reward | accuracy | multiply-adds | params | {'latency (ms) | ' if timed else ''}seconds |"
    return [head, "|" + " ---: |" * (6 + timed), *rows]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _count(value: int | None) -> str:
    return "-" if value is None else short(value)
