"""What one trial was asked: the sample, how it is scored, and what it is a sample of."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.documents import BaselineDocument
from nas.errors import NasError
from nas.evaluators.table import Table
from nas.files import text_of
from nas.reading import validate
from nas.search.costs import LATENCY, milliseconds
from nas.search.finding import baseline_file, subject_of_table
from nas.search.recorded import check_params
from nas.search.scaling_grid import GridSettings, is_scaling
from nas.search.scaling_subject import ScalingSubject
from nas.search.settings import Limits, RewardSettings
from nas.search.subject import SpaceSubject, Subject
from nas.space import SearchSpace
from nas.strict_json import load_json

DOCUMENT = "document"
"""In the `run` entry of a trial on another machine: the space, or the baseline, which need not be there."""
MAX_SAVED = 4 << 20
"""Bytes of a run's space.json: a document, indented."""


@dataclass
class Task:
    """What one trial was asked: the sample, and how it is scored.

    Attributes:
        latency: of the sample in milliseconds, as the search's model has it; None where it names none.
    """

    options: argparse.Namespace
    sample: dict[str, Any]
    run: dict[str, Any] | None
    reward: RewardSettings
    limits: Limits
    seed: int
    latency: float | None = None


def task_of(options: argparse.Namespace, parameters: dict[str, Any] | None) -> Task:
    """The task of the options and NNI's parameters; the run's own settings win.

    Raises:
        NasError: where an option contradicts the run.
    """
    parameters = dict(parameters or {})
    run = parameters.pop("run", None)
    given = {"target": options.target_macs, "w": options.w, "form": options.form}
    given = {name: value for name, value in given.items() if value is not None}
    limits = {"macs": options.max_macs, "params": options.max_params}
    limits = {name: value for name, value in limits.items() if value is not None}
    asked, bounds = validate(RewardSettings, given, "trial"), validate(Limits, limits, "trial")
    if run is None:
        return Task(options, parameters, None, asked, bounds, options.seed or 0)
    settled, settled_limits = validate(RewardSettings, run["reward"], "run"), Limits(**run["limits"])
    for mine, theirs, names in ((asked, settled, given), (bounds, settled_limits, limits)):
        for name in names:
            if getattr(mine, name) != getattr(theirs, name):
                raise NasError(
                    f"trial: {name} is {getattr(mine, name)} in the command, but {getattr(theirs, name)} in "
                    "the run; leave it out of trialCommand (tuner.classArgs sets it)"
                )
    if options.seed is not None and options.seed != run["seed"]:
        raise NasError(
            f"trial: --seed is {options.seed}, but {run['seed']} in the run; leave it out of trialCommand"
        )
    latency = run.get("latency")
    if latency is not None:
        latency = milliseconds(latency)
    elif settled.cost == LATENCY and "number" in run:
        raise NasError(
            "trial: the reward is on latency, and the run says none of this sample; resume the search"
        )
    return Task(options, parameters, run, settled, settled_limits, int(run["seed"]), latency)


def load_table(task: Task, run_dir: Path | None) -> Subject:
    """The subject of a trial that looks its network up, checked against the run's sha256.

    Raises:
        NasError: where the table cannot be read, or is not the run's.
    """
    run, options = task.run, task.options
    if run is not None and "table" not in run:
        raise NasError(
            "trial: --table is given, but the run is of no table; give --data, or start another search"
        )
    plain = options.space is None and (run is None or run["table"] == run["sha256"])
    subject = subject_of_table(Table.read(options.table, None if plain else load_space(task, run_dir)))
    assert subject.table is not None
    if run is not None and subject.table.sha256 != run["table"]:
        raise NasError(
            f"trial: the table {subject.table.name} found here (sha256 {subject.table.sha256[:12]}) is not the "
            f"run's ({run['table'][:12]}); restore it, or give the path of the run's with --table PATH"
        )
    check_params(subject.table, task.limits, "trial")
    return subject


def load_trained(task: Task, run_dir: Path | None) -> Subject:
    """The subject of a trial that trains its network, checked against the run's sha256.

    Raises:
        NasError: where there is none, or another version of it.
    """
    run, options = task.run, task.options
    if not is_scaling(options.space) and (run is None or "scaling" not in run):
        return SpaceSubject(load_space(task, run_dir))
    saved = run_dir / "space.json" if run_dir else None
    if run is not None and DOCUMENT in run and not options.space:
        document = BaselineDocument.check(run[DOCUMENT], "run")
    elif options.space or saved is None or not saved.is_file():
        document = BaselineDocument.read(baseline_file(options.space or (run or {})["space"], Path()))
    else:
        document = BaselineDocument.check(load_json(text_of(saved, MAX_SAVED), str(saved)), str(saved))
    subject = ScalingSubject(document, GridSettings(**(run or {}).get("scaling", {})))
    if run is not None and subject.sha256 != run["sha256"]:
        raise NasError(
            f"trial: the network of the baseline {document.name} found here (sha256 {subject.sha256[:12]}) is not the "
            f"run's ({run['sha256'][:12]}); give this machine the run's document with --space scale:PATH"
        )
    return subject


def load_space(task: Task, run_dir: Path | None) -> SearchSpace:
    """The space of the trial, checked against the run's sha256.

    Raises:
        NasError: where there is none, or another version of it.
    """
    if task.run is not None and "table" in task.run and task.options.table is None:
        raise NasError("trial: the run is of a table of recorded results; give its path with --table")
    saved = run_dir / "space.json" if run_dir else None
    if task.options.space:
        space = SearchSpace.load(task.options.space)
    elif task.run is not None and DOCUMENT in task.run:
        space = SearchSpace.from_data(task.run[DOCUMENT], "run")
    elif saved is not None and saved.is_file():
        space = SearchSpace.from_data(load_json(text_of(saved, MAX_SAVED), str(saved)), str(saved))
    elif task.run is not None:
        space = SearchSpace.load(task.run["space"])
    else:
        raise NasError("trial: --space is missing; name a search space, such as --space digits")
    if task.run is not None and space.sha256 != task.run["sha256"]:
        raise NasError(
            f"trial: the space {space.name} found here (sha256 {space.sha256[:12]}) is not the run's "
            f"({task.run['sha256'][:12]}); give this machine the run's document with --space PATH"
        )
    return space
