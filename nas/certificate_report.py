"""What a certificate says, from certificate.json: tables, sentences, and the part of a baseline's document.

>>> verdict({"rival": "b0", "margin": 0.01, "low": 0.002, "high": 0.018, "distinguishable": True})
'better'
>>> verdict({"rival": "b0", "margin": 0.01, "low": -0.002, "high": 0.022, "distinguishable": False})
'not distinguishable'
"""

import statistics
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from nas.baseline import Baseline, save, save_part
from nas.certificate import LEAST
from nas.documents import CertificateLine, Named, RivalRow
from nas.errors import NasError
from nas.reading import validate
from nas.run_report import frozen
from nas.search.journal import Journal
from nas.search.winner import baseline_of, default_folder
from nas.splits import metric_words
from nas.tables import short
from nas.terminal import table

Found = Mapping[str, Any]
SAME, UNKNOWN = "the same network", "too few accuracies"


def verdict(contrast: Found) -> str:
    """In two words at most."""
    if not contrast["distinguishable"]:
        return "not distinguishable"
    return "better" if contrast["margin"] > 0 else "worse"


def there(values: list[float | None]) -> list[float]:
    """The accuracies that there are."""
    return [value for value in values if value is not None]


def finalists_table(found: Found) -> Table:
    """Every finalist, by what it was found by, the best first."""
    by = "family reward" if found["family"] else "reward"
    listing = table(
        "finalist", "trial", "multiply-adds", "by the proxy", "retrained, val", "reward", by, left=1
    )
    if not found["family"]:
        listing = table(
            "finalist", "trial", "multiply-adds", "by the proxy", "retrained, val", "reward", left=1
        )
    key = "family_reward" if found["family"] else "reward"
    for one in sorted(found["finalists"], key=lambda one: -(one[key] or 0)):
        val = there(one["val"])
        mean = f"{statistics.mean(val):.4f}" if val else "failed"
        rewards = [one["reward"], one["family_reward"]] if found["family"] else [one["reward"]]
        listing.add_row(
            "the search's" if one["of"] == "search" else "random search's", str(one["trial"]), short(one["macs"]),
            f"{one['proxy']:.4f}", mean, *("-" if value is None else f"{value:.4f}" for value in rewards),
        )  # fmt: skip
    return listing


def judged_table(found: Found) -> Table:
    """Winner and rivals on the test split."""
    by = {contrast["rival"]: contrast for contrast in found["contrasts"]}
    listing = table("network", "multiply-adds", "test", "sd", "n", "winner less it", "interval", "winner is")
    for one in found["judged"]:
        test, contrast = there(one["test"]), by.get(one["name"])
        mean = f"{100 * statistics.mean(test):.2f} %" if test else "-"
        spread = f"{100 * statistics.stdev(test):.2f}" if len(test) > 1 else "-"
        cells = ["", "", ""]
        if contrast is not None:
            low, high = 100 * contrast["low"], 100 * contrast["high"]
            cells = [f"{100 * contrast['margin']:+.2f}", f"{low:+.2f} to {high:+.2f}", verdict(contrast)]
        macs = "-" if one["macs"] is None else short(one["macs"])
        listing.add_row(one["name"], macs, mean, spread, str(len(test)), *cells)
    return listing


def sentences(found: Found) -> list[str]:
    """What is to be said, plainly, before the table of `judged_table`."""
    winner, choosing = found["winner"], len(found["seeds"]["choose"])
    lines = [f"\nwinner: trial {winner['trial']}, chosen on val with {choosing} seeds"]
    if winner["trial"] != found["proxy_winner"]:
        lines[0] += f"; the proxy's own winner was trial {found['proxy_winner']}"
    family = found["family"]
    if family:
        lines.append(
            f"by the family (phi 0 and 1): in {family['changed']} of {family['of']} seeds it chooses another network "
            "than the base alone; over all seeds "
            + (
                "the same"
                if family["choice"] == family["alone"]
                else f"it chooses trial {family['choice']} instead of trial {family['alone']}"
            )
        )
    lines.append(
        f"judged with {len(found['seeds']['judge'])} fresh seeds, each tested once on {found['images']:,} images; "
        f"points of {metric_words(found['metric'])}, {100 * found['level']:.0f} % intervals of seeds and images"
    )
    by = {contrast["rival"]: contrast for contrast in found["contrasts"]}
    for one in found["judged"]:
        if one["note"]:
            lines.append(f"note: {one['name']}: {one['note']}")
        few = len(there(one["test"])) < LEAST
        if few and one["macs"] is not None:
            lines.append(
                f"note: {one['name']}: {len(there(one['test']))} of its trainings gave an accuracy, too few"
            )
    if not found["random"]["networks"]:
        lines.append(
            "note: no random search was made (--no-random): whether the search beats chance is not known"
        )
    rewarded = [one["rival"] for one in found["contrasts"] if one["by"] == "reward"]
    if rewarded:
        lines.append(
            f"{_listed(rewarded)}: by reward, their accuracy counting as the reward pays for their cost"
        )
    told: dict[str, list[str]] = {"better": [], "not distinguishable": [], "worse": []}
    for name, one in by.items():
        within = 100 * max(abs(one["low"]), abs(one["high"]))
        words = verdict(one)
        told[words].append(
            f"{name} (to within {within:.1f} points)" if words == "not distinguishable" else name
        )
    for words, names in told.items():
        if names:
            lines.append(
                f"the winner is {words} {'from' if words.startswith('not') else 'than'} {_listed(names)}"
            )
    return lines


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _same(one: Found, found: Found) -> bool:
    return one["key"] == found["winner"]["key"]


def line_of(found: Found) -> CertificateLine:
    """The part of a baseline's document."""
    by = {contrast["rival"]: contrast for contrast in found["contrasts"]}
    winner = there(found["judged"][0]["test"])
    rows = []
    for one in found["judged"][1:]:
        if one["macs"] is None:
            continue
        test, contrast = there(one["test"]), by.get(one["name"])
        words = SAME if _same(one, found) else UNKNOWN
        figures = {}
        if contrast is not None:
            words = verdict(contrast)
            figures = {name: round(contrast[name], 5) for name in ("margin", "low", "high")} | {
                "by": contrast["by"]
            }
        accuracy = round(statistics.mean(test), 5) if test else None
        rows.append(
            RivalRow(rival=one["name"], macs=one["macs"], params=one["params"], accuracy=accuracy, n=len(test),
                     verdict=words, **figures)
        )  # fmt: skip
    family = found["family"]
    return CertificateLine(
        data=found["data"], recipe=found["recipe"], metric=found["metric"], images=found["images"],
        accuracy=round(statistics.mean(winner), 5) if winner else None,
        sd=round(statistics.stdev(winner), 5) if len(winner) > 1 else None, n=len(winner),
        level=found["level"], finalists=len(found["finalists"]),
        random_networks=found["random"]["networks"], choosing_seeds=found["seeds"]["choose"],
        judging_seeds=found["seeds"]["judge"], family=family is not None, changes=family and family["changed"],
        date=datetime.now(UTC).date().isoformat(), versions=found["versions"], table=rows,
    )  # fmt: skip


def check_name(name: str, force: bool) -> None:
    """Raises NasError where no document can have the name, or one has it."""
    validate(Named, {"name": name}, "--name")
    path = default_folder() / f"{name}.yml"
    if path.exists() and not force:
        raise NasError(f"{path} exists; choose another --name, or give --force to replace it")


def _check_replaced(path: Path, baseline: Baseline, line: CertificateLine, force: bool) -> None:
    """Raises NasError where that would take another certificate's place: who asks often is told something at last."""
    before = baseline.certificate
    if before is None or force or before.model_copy(update={"date": line.date}) == line:
        return
    raise NasError(
        f"{path} has a certificate of {before.date} by another protocol ({before.recipe}, {before.n} seeds, "
        f"{before.finalists} finalists); give --resume --force to replace it, and say that it was the second"
    )


def freeze_certificate(found: Found, journal: Journal, name: str | None, force: bool) -> Path:
    """Writes the certificate into the winner's document, which is made where there is none.

    A document of the same trial, wherever `nas.run_report.frozen` finds one, keeps its name and all else: the one that
    has its certificate, else the search's own. A winner that is another than the frozen one has a document of its own.

    Raises:
        NasError: where the name is taken, or the file cannot be written.
    """
    experiment, trial = journal.run["experiment"], found["winner"]["trial"]
    line, usual = line_of(found), f"{journal.run['space']}-{experiment}"
    if name is None:
        same = [
            (path, baseline) for path, baseline, number in frozen(experiment, journal)
            if number == trial and baseline.architecture.key == found["winner"]["key"]
        ]  # fmt: skip
        same.sort(
            key=lambda one: (one[1].certificate is None, one[0].stem != usual)
        )  # its own, else the search's
        for path, baseline in same[:1]:
            _check_replaced(path, baseline, line, force)
            return save_part(replace(baseline, certificate=line), path, "certificate")
    chosen = name or (f"{usual}-certified" if (default_folder() / f"{usual}.yml").exists() else usual)
    path = default_folder() / f"{chosen}.yml"
    if path.exists() and not force:
        raise NasError(
            f"{path} exists, and is of another network; choose another --name, or give --force to replace it: with "
            "--resume nothing is trained again"
        )
    baseline: Baseline = baseline_of(journal, journal.trials[trial], chosen)
    return save(replace(baseline, certificate=line), path, force)
