"""Many trainings, followed on the screen: a bar, and a line for each that has ended.

>>> said(Training("a", {}, 1200, 1, {"fidelity": {"epochs": 2}, "seed": 1}), Trial(0, {}, "a", accuracy=0.5))
'  1.2k multiply-adds  2 epochs, seed 1: accuracy 0.5000'
"""

from collections.abc import Callable
from typing import Any

from rich.console import Console

from nas.errors import NasError
from nas.search.fidelity import Fidelity
from nas.search.trainings import Training, Trainings
from nas.search.trials import Trial
from nas.tables import short
from nas.terminal import interrupted_by_signals, progress_bar


def carried_out(
    console: Console, title: str, trainings: Trainings, tasks: list[Training],
    function: Callable[[Any], dict[str, Any]], jobs: int, ended: Callable[[Training], None] | None = None,
) -> None:  # fmt: skip
    """Trains what has not ended yet; see `nas.search.trainings.Trainings.run`.

    Args:
        ended: called with each once its line is in the journal.

    Raises:
        NasError: where the user interrupts, or a training ends by a mistake in data or options.
    """
    done = trainings.done()
    missing = sum(task.name not in done for task in tasks)
    with progress_bar(console) as progress:
        bar = progress.add_task(title, total=len(tasks), completed=len(tasks) - missing)

        def report(task: Training, trial: Trial) -> None:
            if ended is not None:
                ended(task)
            progress.advance(bar)
            progress.console.print(said(task, trial), markup=False)

        interrupted_by_signals()
        try:
            trainings.run(tasks, function, jobs, report)
        except KeyboardInterrupt:
            raise NasError("interrupted; nothing is lost: the same command with --resume goes on") from None


def said(task: Training, trial: Trial) -> str:
    """A line."""
    result = f"accuracy {trial.accuracy:.4f}" if trial.accuracy is not None else f"failed: {trial.reason}"
    how = [Fidelity(**task.about["fidelity"]).label] if "fidelity" in task.about else []
    how += [task.about[name] for name in ("phase", "of") if name in task.about]
    how += [f"seed {task.about['seed']}"] if "seed" in task.about else []
    return f"{short(task.macs):>6} multiply-adds  {', '.join(how)}: {result}"
