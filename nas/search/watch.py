"""A trial's watch: a thread that hears NNI's signals and sees its memory, whatever the trial is doing.

A signal handler in Python waits for the main thread, which may be deep in a tensor operation. This thread wakes
at once, leaves the mark that somebody ended the trial on purpose, and lets the process die of a signal, as NNI
expects. Memory is that of the process and its children, looked at four times a second.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERVAL = 0.25
"""Seconds between two looks at the memory."""


class Watch:
    """Watches this process until it ends.

    Args:
        mark: the file that is left where a signal ended it; None hears no signals.
        memory: bytes that it may use with its children; None for as many as there are.
        over: called with the bytes in use once they are over `memory`; the process ends then, with exit code 1.
    """

    def __init__(self, mark: Path | None, memory: int | None, over: Callable[[int], None]) -> None:
        self._mark, self._memory, self._over = mark, memory, over
        self._reading, writing = os.pipe()
        os.set_blocking(writing, False)
        if mark is not None:
            signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
            for number in SIGNALS:
                signal.signal(number, _nothing)  # set_wakeup_fd wants a handler
            os.register_at_fork(after_in_child=_unwatched)
        with contextlib.suppress(
            OSError
        ):  # where memory ends, the kernel ends a trial rather than its search
            Path("/proc/self/oom_score_adj").write_text("500")
        threading.Thread(target=self._run, daemon=True, name="watch").start()

    def _die(self) -> None:
        """The mark, and the end; NNI asks whether a signal ended a trial, not which."""
        assert self._mark is not None
        with contextlib.suppress(OSError):
            self._mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._reading], [], [], INTERVAL)
            if ready and set(os.read(self._reading, 64)) & set(SIGNALS):
                self._die()
            if self._memory is not None and (used := memory_in_use(self._memory)) > self._memory:
                self._over(used)
                os._exit(1)


def memory_in_use(over: int = 0) -> int:
    """Bytes in memory of this process and its children; what they share is told apart where that makes it more
    than `over` (data loaders share the images, and telling it takes the kernel a while)."""
    import psutil

    process = psutil.Process()
    family = [process, *process.children(recursive=True)]
    total = _sum(family, lambda one: one.memory_info().rss)
    if total > over and psutil.LINUX:
        total = _sum(family, lambda one: one.memory_full_info().pss)
    return total


def _sum(processes: list[Any], memory: Callable[[Any], int]) -> int:
    import psutil

    total = 0
    for one in processes:
        with contextlib.suppress(psutil.Error):
            total += memory(one)
    return total


def _nothing(*_: Any) -> None:
    """The thread hears of it."""


def _unwatched() -> None:
    """In a forked process, such as a data loader's: signals to it are no signals to the trial."""
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
