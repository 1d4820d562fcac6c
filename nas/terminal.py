"""What the modules of the command line share.

>>> console().width >= 120
True
"""

import signal
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn
    from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
WIDEST = 10_000


def console() -> Any:
    """rich's, at least 120 columns wide."""
    from rich.console import Console

    found = Console(highlight=False, soft_wrap=True)
    found.width = max(found.width, 120)
    return found


def progress_bar(console: "Console", *words: "ProgressColumn", estimate: float = 30) -> "Progress":
    """A bar with what is done, `words`, and the time that has passed and is left, of the last `estimate` seconds."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )  # fmt: skip

    return Progress(
        TextColumn("[bold]{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), *words,
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console, speed_estimate_period=estimate,
    )  # fmt: skip


def table(*columns: str, left: int = 1) -> "Table":
    """An empty table, of whose columns the first `left` stand to the left and the others to the right."""
    from rich import box
    from rich.table import Table

    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        found.add_column(column, justify="left" if index < left else "right", no_wrap=True)
    return found


def show(console: "Console", found: "Table") -> None:
    """Prints a table at its own width: in a file nothing is cut, and a narrow terminal wraps it."""
    found.width = console.measure(found, options=console.options.update(width=WIDEST)).maximum
    console.print(found, soft_wrap=True)


def interrupted_by_signals() -> None:
    """A closed terminal or a kill is an interruption, as Ctrl-C is: what was begun ends, and how to resume is said."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, interrupt)
