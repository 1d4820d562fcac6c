"""`nas scale BASELINE --search SEARCH.yml`: the grid search of a baseline's coefficients, in the foreground."""

from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from nas import catalog
from nas.baseline import Baseline, load
from nas.errors import NasError, short
from nas.grid_report import grid_report
from nas.main_job import conducted, shown, where_all_is
from nas.search import runs
from nas.search.config import SearchConfig
from nas.search.experiment import Experiment
from nas.search.scaling_grid import SCALE
from nas.search.scaling_subject import ScalingSubject
from nas.search.scaling_winner import check_free
from nas.search.winner import default_folder, freeze


def grid_search(
    console: Console, baseline: str, path: Path, trials: int | None, port: int | None, resume: str | None, force: bool
) -> Baseline:  # fmt: skip
    """Searches the coefficients, prints all candidates, and writes the winner's into the baseline's document.

    Returns:
        The baseline with its coefficients.

    Raises:
        NasError: where SEARCH.yml searches something else, or the document may not be written.
    """
    load(baseline)  # a mistake in it is told before those in SEARCH.yml
    file = catalog.find("baselines", baseline).resolve()
    config = SearchConfig.read(path, searched=f"{SCALE}{file}")
    subject = config.subject
    if not isinstance(subject, ScalingSubject) or subject.path != file:
        other = config.data.get("searchSpaceFile") or config.data.get("searchSpace")
        raise NasError(
            f"{path} searches {short(other)}, not the coefficients of {baseline}; give it searchSpace: "
            f"{SCALE}{baseline}, or no search space"
        )
    run = None if resume is None else runs.find_run(resume, config.code)
    check_free(subject, default_folder(), force=force, experiment=run and run.name)
    if run is not None:
        _check_run(run, subject)
    experiment = Experiment(config, partial(console.print, markup=False), port, trials)
    experiment.command = f"nas scale {file} --search {config.path}{' --force' * force}"
    journal = conducted(console, experiment, resume)
    scaled, document = freeze(journal, force=force)
    assert scaled.scaling is not None
    console.print()
    reasons = {trial.number: trial.reason for trial in journal.ended()}
    grid_report(console, scaled.scaling, subject.target, reasons)
    console.print(f"baseline     {shown(document)}")
    where_all_is(console, journal)
    return scaled


def grid_json(baseline: Baseline) -> dict[str, Any]:
    """What `--json` prints: the coefficients, where they come from, and every candidate."""
    assert baseline.scaling is not None
    return {"name": baseline.name, **baseline.scaling.model_dump(mode="json")}


def _check_run(run: Path, subject: ScalingSubject) -> None:
    """Raises NasError where a run that is to be resumed searched something else."""
    journal = runs.open_journal(run)
    if "baseline" not in journal.run:
        raise NasError(
            f"{run.name} is a search of {journal.run['space']}; resume it with "
            f"nas search SEARCH.yml --resume {run.name}"
        )
    if journal.run["sha256"] != subject.sha256:
        raise NasError(
            f"{run.name} searched the coefficients of another network (baseline "
            f"{journal.run['space'].removeprefix(SCALE)}, sha256 {journal.run['sha256'][:12]}, here "
            f"{subject.sha256[:12]}); name that baseline, or begin another search without --resume"
        )
