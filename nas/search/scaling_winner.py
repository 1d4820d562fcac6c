"""From a grid search to the coefficients of a family, with the table of all candidates, in the baseline's document.

Networks win, and coefficients are written down. Where integers cannot tell some apart, the winning network is
that of several; of these it is the ones to whose ratios the network came nearest.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from nas import catalog
from nas.baseline import Baseline, from_document, save, save_part
from nas.documents import BaselineDocument, GridLine, GridRow, ScalingLine
from nas.errors import NasError
from nas.search.journal import Journal, Trial
from nas.search.scaling_grid import coefficients_of
from nas.search.scaling_subject import ScalingSubject, fingerprint


def scaling_of(journal: Journal, subject: ScalingSubject, winner: Trial) -> ScalingLine:
    """The winner's coefficients, and the table that they come from."""
    trials: dict[str, Trial] = {}
    for trial in journal.ended():
        if trial.key not in trials or trial.scored:
            trials[trial.key] = trial
    table = []
    for value, plan in subject.planned.items():
        arch, (alpha, beta, gamma) = plan.architecture, coefficients_of(value)
        trial = trials.get(arch.key)
        row = GridRow(
            alpha=alpha, beta=beta, gamma=gamma, depth=round(plan.depth, 4), width=round(plan.width, 4),
            resolution=arch.resolution, macs=arch.macs, params=arch.params, trial=trial and trial.number,
            accuracy=_rounded(trial and trial.scored and trial.accuracy),
            reward=_rounded(trial and trial.scored and trial.reward),
        )  # fmt: skip
        table.append(row)
    run, settings = journal.run, subject.settings
    alpha, beta, gamma = coefficients_of(subject.nearest(winner.key))
    search = GridLine(
        step=settings.step, tolerance=settings.tolerance, multiple=settings.multiple,
        strategy=run["strategy"]["name"], experiment=run["experiment"], trial=winner.number,
        command=_command(run.get("command")), seed=run["seed"], versions=run["versions"],
        date=datetime.now(UTC).date().isoformat(),
    )  # fmt: skip
    return ScalingLine(alpha=alpha, beta=beta, gamma=gamma, search=search, table=table)


def _command(command: str | None) -> str | None:
    """A trial's command without the folder of this machine's Python."""
    return command and re.sub(r"^\S*/(python[\d.]*)(?= )", r"\1", command)


def _rounded(value: float | bool | None) -> float | None:
    return None if value is None or value is False else round(float(value), 6)


def freeze_scaling(
    journal: Journal,
    subject: ScalingSubject,
    winner: Trial,
    folder: Path,
    name: str | None = None,
    output: Path | None = None,
    force: bool = False,
) -> tuple[Baseline, Path]:
    """Writes the coefficients into the baseline's document, or into a copy of it; see `check_free`."""
    baseline = replace(subject.baseline, scaling=scaling_of(journal, subject, winner))
    path = check_free(subject, folder, name, output, force, journal.run["experiment"])
    if (found := _document_at(path, subject)) is not None and name is None:
        save_part(baseline, path, "scaling")
        return replace(from_document(found), scaling=baseline.scaling), path
    baseline = baseline if name is None else replace(baseline, name=name)
    return baseline, save(baseline, path, force=path.exists())


def check_free(
    subject: ScalingSubject,
    folder: Path,
    name: str | None = None,
    output: Path | None = None,
    force: bool = False,
    experiment: str | None = None,
) -> Path:
    """Where a search's coefficients go: into the document of the user's own in which the baseline was read,
    else into NAME.yml in `folder`.

    A document of the user's with the same network is added to; a search's own coefficients are replaced.

    Raises:
        NasError: where that would overwrite something, without `force`.
    """
    path = output or (folder / f"{name}.yml" if name else _home(subject, folder))
    if force or not path.exists():
        return path
    document = None if name else _document_at(path, subject)
    if document is not None and _shipped(path):
        raise NasError(
            f"{path} comes with b0nas; search a copy of it under a name of yours, or give --force to write into it"
        )
    if document is None:
        option = "--name" if output is None else "--output"
        raise NasError(f"{path} exists; choose another {option}, or give --force to replace it")
    own = document.scaling
    if own is not None and (own.search is None or own.search.experiment != experiment):
        source = "" if own.search is None else f", of the search {own.search.experiment}"
        raise NasError(f"{path} has coefficients ({_words(own)}{source}); give --force to replace them")
    return path


def _home(subject: ScalingSubject, folder: Path) -> Path:
    """The document that was searched, where it is the user's own and still holds the same network."""
    path = subject.path
    document = None if path is None else _document_at(path, subject)
    if path is not None and document is not None and not _shipped(path):
        return path
    return folder / f"{subject.baseline.name}.yml"


def _document_at(path: Path, subject: ScalingSubject) -> BaselineDocument | None:
    """The document at a path; None where there is none of the subject's network."""
    try:
        document = BaselineDocument.read(path)
        from_document(document)
    except NasError:
        return None
    return document if fingerprint(document) == subject.sha256 else None


def _shipped(path: Path) -> bool:
    """Whether a document came with the package; in a checkout a user's own lie beside those that did."""
    return path.resolve().parent == catalog.shipped("baselines").resolve() and path.stem in catalog.PUBLISHED


def _words(line: ScalingLine) -> str:
    return f"alpha {line.alpha:g}, beta {line.beta:g}, gamma {line.gamma:g}"
