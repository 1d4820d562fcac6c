"""Those that look on at a training: several at once, and a progress bar.

>>> Together().begin(None)
"""

import math

from rich.console import Console
from rich.progress import TextColumn

from nas.state import State
from nas.terminal import progress_bar
from nas.training import Watch


class Together(Watch):
    """Several that look on."""

    def __init__(self, *watches: Watch) -> None:
        self._watches = watches

    def begin(self, state: State) -> None:
        for watch in self._watches:
            watch.begin(state)

    def step(self, state: State, steps: int, lr: float) -> None:
        for watch in self._watches:
            watch.step(state, steps, lr)

    def epoch(self, state: State) -> None:
        for watch in self._watches:
            watch.epoch(state)

    def end(self, state: State) -> None:
        for watch in self._watches:
            watch.end(state)


class Display(Watch):
    """A progress bar with what is left, and a line for every epoch."""

    def __init__(self, console: Console, steps: int, epochs: int) -> None:
        self._steps, self._epochs, self._console = steps, epochs, console
        words = TextColumn("steps"), TextColumn("{task.fields[loss]}")
        self._progress = progress_bar(console, *words, estimate=300)
        self._task = self._progress.add_task("train", total=steps * epochs, loss="", start=False)

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, state: State) -> None:
        self._progress.update(self._task, completed=state.epoch * self._steps + state.step)
        self._progress.start_task(self._task)
        if state.epoch >= self._epochs:
            self._console.print("every epoch was trained before")
        elif state.epoch or state.step:
            self._console.print(f"resumed at epoch {state.epoch + 1}, step {state.step + 1} of {self._steps}")

    def step(self, state: State, steps: int, lr: float) -> None:
        if state.step % 10 == 0:  # each look at the loss waits for the device
            self._progress.update(self._task, loss=f"loss {state.losses[-1].item():.3f}")
        self._progress.update(self._task, completed=state.epoch * self._steps + state.step)

    def epoch(self, state: State) -> None:
        last = state.history[-1]
        scored = "" if math.isnan(last["accuracy"]) else f"  val {last['accuracy']:.4f}"
        found = f"epoch {state.epoch:>3}/{self._epochs}  loss {last['loss']:.4f}  train {last['train_accuracy']:.4f}"
        found += f"{scored}  lr {last['lr']:.3g}  {last['seconds']:.0f} s"
        self._console.print(found, markup=False)

    def end(self, state: State) -> None:
        """Nothing is left to show."""
