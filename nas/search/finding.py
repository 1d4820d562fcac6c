"""The subject of a search, from search.yml's words or from a journal's.

>>> subject = find_subject("digits", None, Path())
>>> subject_of(subject.form()).choices == subject.choices
True
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas import catalog
from nas.documents import BaselineDocument
from nas.errors import NasError, short
from nas.evaluators.table import Table
from nas.files import at_home
from nas.latency_model import LatencyModel
from nas.reading import validate
from nas.search.journal import Journal
from nas.search.runs import LATENCY_FILE
from nas.search.scaling_grid import SCALE, GridSettings, is_scaling
from nas.search.scaling_subject import ScalingSubject
from nas.search.settings import RewardSettings
from nas.search.subject import SpaceSubject, Subject, TableSubject
from nas.space import SearchSpace

TABLE = "table:"
"""Before a path, in search.yml's searchSpace: the choices are a table's."""


def subject_of(run: Mapping[str, Any], where: str = "journal") -> Subject:
    """The subject that a journal's `run` event describes.

    Raises:
        NasError: for an event that describes none.
    """
    try:
        return _described(run, where)
    except NasError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise NasError(
            f"{where}: its run event describes no search ({short(reason)}); restore the file, or search anew"
        ) from None


def _described(run: Mapping[str, Any], where: str) -> Subject:
    if "baseline" in run:
        baseline = BaselineDocument.check(run["baseline"], f"{where}: baseline")
        path = None if run.get("path") is None else Path(run["path"])
        data = int(run["classes"]), int(run["in_chans"])
        return ScalingSubject(
            baseline, validate(GridSettings, run["scaling"], f"{where}: scaling"), path, data
        )
    if "document" in run:
        written = SearchSpace.from_data(run["document"], f"{where}: space")
        fitted = written.with_data(int(run["classes"]), int(run["in_chans"]))
        recorded = Table(run["table"]["name"], written.choices, space=written) if "table" in run else None
        return SpaceSubject(fitted, recorded, written)
    kept = run["table"]
    choices = {label: tuple(values) for label, values in kept["choices"].items()}
    return TableSubject(
        Table(kept["name"], choices, source=kept["source"]), run["sha256"], int(kept["target"])
    )


def find_subject(
    search_space: Any,
    table: str | None,
    folder: Path,
    where: str = "search space",
    scaling: GridSettings | None = None,
) -> Subject:
    """The subject of a search.

    Args:
        search_space: as NNI hands it on: a space document as plain data, the name or path of one,
            `table:PATH`, or `scale:BASELINE`.
        table: the trials' --table, None where they train.
        folder: where relative paths of tables and baselines begin, and `baselines/` is.
        where: of plain data, for messages.
        scaling: the grid, of a baseline's coefficients alone.

    Raises:
        NasError: where there is none, or the tables are not of it.
    """
    if is_scaling(search_space):
        if table is not None:
            raise NasError(
                f"searchSpace is {search_space}, whose networks are trained: give --data, not --table"
            )
        path = baseline_file(search_space, folder)
        document = BaselineDocument.read(path)
        return ScalingSubject(document, scaling or GridSettings(), path, where="classArgs: scaling")
    if scaling is not None:
        raise NasError(
            f"classArgs: scaling is of the grid search of a baseline, but searchSpace is {short(search_space)}; "
            "leave scaling out, or give searchSpace: scale:BASELINE"
        )
    if isinstance(search_space, str) and search_space.startswith(TABLE):
        return _of_table(search_space, table, folder)
    named = isinstance(search_space, str)
    space = SearchSpace.load(search_space) if named else SearchSpace.from_data(search_space, where)
    return SpaceSubject(space, None if table is None else Table.read(folder / table, space))


def baseline_file(search_space: str, folder: Path) -> Path:
    """The file, absolute, of the baseline in `scale:BASELINE`; a relative path is one from `folder` on.

    Raises:
        NasError: where there is none.
    """
    name = search_space.removeprefix(SCALE).strip()
    with contextlib.chdir(folder):
        return catalog.find("baselines", name).resolve()


def recorded_scaling(search_space: Any, path: Path) -> Subject | None:
    """The subject of a run that is resumed where its baseline's file is gone; None where `path` is no such run."""
    journal = Journal(path)
    journal.refresh()
    return (
        subject_of(journal.run, str(path)) if is_scaling(search_space) and "baseline" in journal.run else None
    )


def with_latency(subject: Subject, reward: RewardSettings, folder: Path, run: Path | None = None) -> Subject:
    """The subject with the latency model that a reward names, if any; of a run that was begun, the run's own copy.

    Args:
        folder: where a relative path begins.

    Raises:
        NasError: for a file that is no model, or one of another space.
    """
    if reward.latency is None:
        return subject
    kept = None if run is None else run / LATENCY_FILE
    path = kept if kept is not None and kept.is_file() else folder / at_home(reward.latency)
    return subject.with_latency(LatencyModel.load(path))


def kept_model(folder: Path, run: Mapping[str, Any]) -> LatencyModel | None:
    """The latency model of a run, from its directory; None where its search named none.

    Raises:
        NasError: where the file is gone, or another than the run began with.
    """
    if "latency" not in run:
        return None
    path = folder / LATENCY_FILE
    model = LatencyModel.load(path)
    if model.sha256 != run["latency"]["sha256"]:
        raise NasError(
            f"{path}: is not the latency model that the run began with (sha256 {model.sha256[:12]}, then "
            f"{run['latency']['sha256'][:12]}); restore it"
        )
    return model


def _of_table(search_space: str, trials: str | None, folder: Path) -> Subject:
    path = folder / search_space.removeprefix(TABLE).strip()
    table = Table.read(path)
    if trials is not None and (other := folder / trials) != path:
        found = Table.read(other, table.space)
        if found.sha256 != table.sha256:
            raise NasError(
                f"searchSpace is the table {path} and --table is {other}, which has other content; give one table"
            )
    return subject_of_table(table)


def subject_of_table(table: Table) -> Subject:
    """What a table records: of its search space, or of plain choices."""
    return TableSubject(table) if table.space is None else SpaceSubject(table.space, table)


def check_unchanged(subject: Subject, run: Mapping[str, Any], where: str) -> None:
    """Raises NasError where a run that is to be resumed searched something else."""
    before, now = _fingerprints(run), _fingerprints(subject.form())
    for part in before | now:
        then, found = before.get(part, ("", "none")), now.get(part, ("", "none"))
        if then[1] != found[1]:
            raise NasError(
                f"{where}: its {part} {then[0] or found[0]} was changed since the run began "
                f"(sha256 {then[1][:12]}, now {found[1][:12]}); restore it, or start another search"
            )


def _fingerprints(form: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Name and sha256 of the space document and of the table of a `form`, as far as it has them."""
    parts = {"space": (form["space"], form["sha256"])} if {"document", "baseline"} & set(form) else {}
    if "latency" in form:
        parts["latency model"] = (form["latency"]["processor"], form["latency"]["sha256"])
    return parts | ({"table": (form["table"]["name"], form["table"]["sha256"])} if "table" in form else {})
