"""The main job: search, freeze, by choice train in full, and say where everything lies."""

import contextlib
from functools import partial
from pathlib import Path

from rich.console import Console

from nas.baseline import Baseline, load
from nas.documents import Named
from nas.errors import NasError
from nas.grid_report import grid_report
from nas.headlines import closing, opening
from nas.known_report import answer, check_answerable
from nas.reading import validate
from nas.report import baseline_report, family_report
from nas.scaling import family
from nas.search import runs
from nas.search.config import SearchConfig
from nas.search.experiment import Experiment
from nas.search.finding import subject_of
from nas.search.foreground import follow
from nas.search.in_process import InProcess
from nas.search.journal import Journal
from nas.search.scaling_subject import ScalingSubject
from nas.search.scaling_winner import check_free
from nas.search.winner import data_of, default_folder, freeze, pick, train_in_full
from nas.terminal import interrupted_by_signals

NOT_TRAINED = (
    "--full-epochs trains the winner, but trialCommand has --table, which trains nothing; leave it out"
)
NOT_FROZEN = "--name names a frozen baseline, and a table of plain choices has none to freeze; leave it out"
NO_WINNER_TO_TRAIN = (
    "--full-epochs trains a winner that is frozen, but a grid search finds coefficients; leave it out"
)
NO_DATA = "--full-epochs needs trials of nas.search.trial, which say what the data are"


def run_search(
    console: Console, path: Path, trials: int | None, port: int | None, resume: str | None,
    name: str | None, full_epochs: int | None, allow_import: bool = False, known_answers: bool = False,
    in_process: bool = False,
) -> None:  # fmt: skip
    """`nas search`, from search.yml to a verified baseline."""
    if name is not None:  # now, not when the search is over
        validate(Named, {"name": name}, "--name")
        if resume is None and (taken := default_folder() / f"{name}.yml").exists():
            raise NasError(f"{taken} exists; choose another --name")
    config = SearchConfig.read(path, allow_import=allow_import, resumed=resume)
    if isinstance(config.subject, ScalingSubject):
        if full_epochs is not None:
            raise NasError(NO_WINNER_TO_TRAIN)
        check_free(config.subject, default_folder(), name, None, experiment=resume and Path(resume).name)
    if full_epochs is not None and config.trial is None:
        raise NasError(NO_DATA)
    if full_epochs is not None and config.trial.table is not None:
        raise NasError(NOT_TRAINED)
    if name is not None and config.subject is not None and not config.subject.freezes:
        raise NasError(NOT_FROZEN)
    if known_answers:
        check_answerable(config)
    say = partial(console.print, markup=False)
    if in_process and port is not None:
        raise NasError("--port is NNI's, and --in-process runs without its manager; leave either out")
    experiment = InProcess(config, say, trials) if in_process else Experiment(config, say, port, trials)
    experiment.options = f" --name {name}" * (name is not None)
    experiment.options += f" --full-epochs {full_epochs}" * (full_epochs is not None)
    experiment.options += " --allow-import" * allow_import + " --known-answers" * known_answers
    journal = conducted(console, experiment, resume)
    if known_answers:
        answer(console, journal, config)
    if subject_of(journal.run, str(journal.path)).freezes:
        _baseline(console, journal, config, name, resume is not None, full_epochs)
    else:
        best = pick(journal, None)
        sample = ", ".join(f"{label} {value}" for label, value in best.sample.items())
        console.print(f"sample: {sample}", markup=False)
        console.print(
            f"{journal.run['space']} is a table of plain choices, so there is no baseline to freeze"
        )
    where_all_is(console, journal)


def conducted(console: Console, experiment: Experiment | InProcess, resume: str | None) -> Journal:
    """The experiment begun or resumed, followed to its end, and what came of it in a few lines."""
    interrupted_by_signals()
    try:
        journal = _followed(console, experiment, resume)
    except KeyboardInterrupt:
        raise experiment.interrupted() from None
    closing(console, journal, experiment.trials, experiment.config.code)
    return journal


def _followed(console: Console, experiment: Experiment | InProcess, resume: str | None) -> Journal:
    config = experiment.config
    if isinstance(experiment, InProcess):
        if resume is None:
            opening(console, config, experiment.trials, at_once=1)
        console.print(f"TensorBoard: tensorboard --logdir {shown(config.code / 'runs')}")
        return experiment.follow(console, resume)
    if resume is None:
        opening(console, config, experiment.trials)
        experiment.start()
        runs_on = True
        console.print(
            f"NNI experiment [bold]{experiment.id}[/bold], web page http://localhost:{experiment.port}"
        )
        if not experiment.local:
            console.print(
                "NNI's ports, which have no password, are open to the machines of the trials; see docs/security.md"
            )
    else:
        runs_on = experiment.resume(runs.find_run(resume, config.code).name)
    console.print(f"TensorBoard: tensorboard --logdir {shown(experiment.run.parent)}")
    if runs_on:
        return follow(experiment, console)
    console.print("every trial of the search is in the journal")
    return runs.open_journal(experiment.run)


def where_all_is(console: Console, journal: Journal) -> None:
    """Says where the run lies."""
    console.print(f"journal      {shown(journal.path)}")
    console.print(f"TensorBoard  tensorboard --logdir {shown(journal.path.parent.parent)}")


def _baseline(
    console: Console, journal: Journal, config: SearchConfig, name: str | None, resumed: bool, full_epochs: int | None,
) -> None:  # fmt: skip
    """Freezes the winner, trains it in full if that was asked for, and shows it and its family."""
    baseline, document = _frozen(journal, name, resumed)
    if full_epochs is not None and baseline.facts is not None and baseline.facts.accuracy is not None:
        console.print(
            "the winner was trained in full and tested before; the test split is not looked at again"
        )
    elif full_epochs is not None:
        baseline = _full(
            console, journal, config.code, baseline, document.resolve(), full_epochs, config.trial.threads
        )
    console.print()
    if baseline.scaling is not None and baseline.scaling.table is not None:
        reasons = {trial.number: trial.reason for trial in journal.ended()}
        grid_report(console, baseline.scaling, config.subject.target if config.subject else None, reasons)
    else:
        baseline_report(console, baseline)
    console.print()
    family_report(console, baseline, family(baseline, [0.0, 1.0, 2.0, 3.0]))
    console.print(f"baseline     {shown(document)}")


def _frozen(journal: Journal, name: str | None, resumed: bool) -> tuple[Baseline, Path]:
    """Freezes the winner. A resumed search may have left a document before it was interrupted: with
    the same winner it stays, test accuracy and all, with another it is replaced."""
    if "baseline" in journal.run:  # a grid search knows its own coefficients
        return freeze(journal, name=name)
    chosen = name or f"{journal.run['space']}-{journal.run['experiment']}"
    path = default_folder() / f"{chosen}.yml"
    if resumed and path.exists():
        found = load(path)
        made = found.provenance
        if made is not None and made.experiment == journal.run["experiment"]:
            if made.trial == pick(journal, None).number:
                return found, path
            return freeze(journal, name=chosen, force=True)
    return freeze(journal, name=chosen)


def _full(
    console: Console,
    journal: Journal,
    code: Path,
    baseline: Baseline,
    document: Path,
    epochs: int,
    threads: int = 1,
) -> Baseline:
    from nas.devices import device_of
    from nas.training import TrialFailure

    data, data_dir = data_of(journal)
    if data is None:
        raise NasError(NO_DATA)
    weights = journal.path.parent.resolve() / f"{baseline.name}.safetensors"
    status = console.status("training the winner in full")
    with status, contextlib.chdir(code):  # paths of data are against the folder that trials run in

        def report(epoch: int, metrics: dict[str, float]) -> None:
            status.update(
                f"training the winner in full: epoch {epoch} of {epochs}, loss {metrics['loss']:.3f}"
            )

        try:
            measured = train_in_full(
                baseline,
                document,
                data,
                data_dir,
                epochs,
                weights,
                report,
                device_of("auto"),
                threads,
            )
        except TrialFailure as error:
            raise NasError(f"{document} is frozen, but its full training failed: {error}") from None
    console.print(
        f"trained in full ({epochs} epoch{'s' * (epochs > 1)}); test split looked at once; weights in {shown(weights)}"
    )
    return measured


def shown(path: Path) -> Path:
    """Relative to the working directory where it lies under it."""
    resolved = path.resolve()
    return resolved.relative_to(Path.cwd()) if resolved.is_relative_to(Path.cwd()) else resolved
