"""The clock of a virtual world: real time passes on it while the tuner thinks, and none while the simulation works."""

import contextlib
import time
from collections.abc import Iterator


class Clock:
    """Virtual seconds.

    Attributes:
        now: since the start, when nobody thinks.
        thought: real seconds of what was inside `thinking` last.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now, self.thought = now, 0.0
        self._began: float | None = None
        self._stopped: float | None = None
        self._aside = 0.0

    def time(self) -> float:
        """Instead of time.monotonic."""
        if self._began is None:
            return self.now
        return self.now + self._real() - self._began - self._aside

    def _real(self) -> float:
        return time.perf_counter() if self._stopped is None else self._stopped

    def pass_(self, seconds: float) -> None:
        """Instead of time.sleep; and for what another takes."""
        self.now += seconds

    def reach(self, when: float) -> None:
        """Nothing happens until then."""
        self.now = max(self.now, when)

    @contextlib.contextmanager
    def thinking(self) -> Iterator[None]:
        """What happens inside takes its time, but for what is aside."""
        self._began, self._aside = time.perf_counter(), 0.0
        try:
            yield
        finally:
            self.thought = self._real() - self._began - self._aside
            self.now, self._began = self.now + self.thought, None

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Work of the simulation: the clock stands still, but for `pass_`."""
        if self._began is None or self._stopped is not None:
            yield
            return
        self._stopped = time.perf_counter()
        try:
            yield
        finally:
            self._aside += time.perf_counter() - self._stopped
            self._stopped = None
