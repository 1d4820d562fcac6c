"""What a reward may price, multiply-adds or milliseconds, and how each is written.

>>> milliseconds("80ms"), milliseconds(2.5), amount("latency", 12.345), amount("macs", 5540000)
(80.0, 2.5, '12.3 ms', '5,540,000')
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.tables import short

MACS, LATENCY = "macs", "latency"


def milliseconds(value: Any) -> float:
    """Milliseconds over 0, of a number or of text such as `80ms` or `80 ms`.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(?:ms)?\s*", value)):
        value = float(found[1])
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError("milliseconds over 0, such as 80ms")
    return float(value)


def amount(name: str, value: float) -> str:
    """A cost of a limit or of a message, exact where it is a count."""
    return f"{value:.3g} ms" if name == LATENCY else f"{value:,}"


@dataclass(frozen=True)
class Unit:
    """How a cost is shown.

    Attributes:
        words: of a sentence or a title.
        divisor, symbol: of an axis: '(M)' are millions.
    """

    words: str
    divisor: float
    symbol: str

    @property
    def axis(self) -> str:
        return f"{self.words} ({self.symbol})"

    def short(self, value: float) -> str:
        """Three figures and a unit, as text has it: `714k`, `12.3 ms`."""
        return f"{value:.3g} ms" if self.symbol == "ms" else short(int(value))


UNITS = {MACS: Unit("multiply-adds", 1e6, "M"), LATENCY: Unit("latency", 1, "ms")}


def latency_words(run: Mapping[str, Any]) -> str | None:
    """On what a run's latencies are: 'AMD EPYC, cpu, 1 thread, batch 1'; None of a run without."""
    model = run.get(LATENCY)
    return machine_words(model) if isinstance(model, Mapping) else None


def machine_words(model: Mapping[str, Any]) -> str:
    """On what a latency model's latencies are.

    >>> machine_words({"processor": "Cortex-A53", "device": "cpu", "threads": 4, "batch": 1})
    'Cortex-A53, cpu, 4 threads, batch 1'
    """
    threads = model.get("threads")
    words = f"{model.get('processor')}, {model.get('device')}, {threads} thread{'' if threads == 1 else 's'}"
    return f"{words}, batch {model.get('batch')}"
