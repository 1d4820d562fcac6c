"""Trials as the journal knows them.

>>> told_fields({"event": "told", "number": 0, "state": "complete", "reward": 0.5, "of": 3})
{'state': 'complete', 'reward': 0.5}
"""

import math
from dataclasses import dataclass
from typing import Any

STATES = ("running", "complete", "stopped", "failed", "rejected", "duplicate")


@dataclass(frozen=True)
class Trial:
    """One evaluated sample, whatever happened to it.

    Attributes:
        number: from 0, in the order of proposal.
        state: 'running', 'complete', 'stopped' (early, by an assessor: accuracy is a lower
            bound), 'failed', 'rejected' (over a limit, not trained) or 'duplicate' (answered from
            the journal).
        accuracy: fraction in [0, 1] on the held-out part of the training set.
        latency: milliseconds, predicted by the search's latency model, where it names one.
        seconds: wall time of the evaluation.
        reason: why it failed or was rejected.
        job: NNI's trial job id.
    """

    number: int
    sample: dict[str, Any]
    key: str
    state: str = "running"
    accuracy: float | None = None
    reward: float | None = None
    macs: int | None = None
    params: int | None = None
    latency: float | None = None
    seconds: float | None = None
    reason: str | None = None
    job: str | None = None
    time: str | None = None

    @property
    def scored(self) -> bool:
        """Whether it was trained to an accuracy, and so can win."""
        return self.state == "complete" and self.reward is not None


KINDS: dict[str, tuple[type, ...]] = {
    "state": (str,), "accuracy": (int, float), "reward": (int, float), "macs": (int,), "params": (int,),
    "latency": (int, float), "seconds": (int, float), "reason": (str,), "job": (str,), "time": (str,),
}  # fmt: skip


def told_fields(event: dict[str, Any]) -> dict[str, Any]:
    """What a told event says of its trial.

    Raises:
        ValueError: for a state that is none, or a value of the wrong type.
    """
    if event["state"] not in STATES:
        raise ValueError(event["state"])
    known = {name: value for name, value in event.items() if name in KINDS}
    for name, value in known.items():
        fits = value is None or (isinstance(value, KINDS[name]) and not isinstance(value, bool))
        if not fits or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"{name} is {value!r}")
    return known
