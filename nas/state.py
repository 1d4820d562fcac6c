"""Where a training is, as a value that a checkpoint holds: nothing else decides what comes next.

Random numbers of a step follow from the seed, the epoch, the step and the process, and those of the
images from the seed and the epoch: so a training that is taken up again goes on as if nothing had been.

>>> net = nn.Linear(2, 2)
>>> state = State(net, torch.optim.SGD(net.parameters(), 0.1, 0.9))
>>> state.restore(*state.content())
>>> state.epoch, state.step
(0, 0)
"""

import json
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from nas.optimization import Average

Metrics = dict[str, float]


@dataclass
class State:
    """A training.

    Attributes:
        net, optimizer, average, scaler: what the steps change.
        epoch, step: of the next step, both from 0.
        losses, hits: of each step of this epoch the mean loss, float (), and the correct answers, int64 ().
        history: what was reported after each epoch.
        seconds: wall-clock time before this process began.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    average: Average | None = None
    scaler: Any = None
    epoch: int = 0
    step: int = 0
    losses: list[Tensor] = field(default_factory=list)
    hits: list[Tensor] = field(default_factory=list)
    history: list[Metrics] = field(default_factory=list)
    seconds: float = 0.0

    def content(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors by name, and the rest as JSON texts."""
        tensors = {f"net.{name}": t for name, t in self.net.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{name}": t for name, t in self.average.net.state_dict().items()}
        numbers: dict[str, Any] = {}
        for index, values in self.optimizer.state_dict()["state"].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{index}.{key}"] = value
                elif value is not None:
                    numbers[f"{index}.{key}"] = value
        for name, values in (("losses", self.losses), ("hits", self.hits)):
            if values:
                tensors[name] = torch.stack(values)
        facts = {
            "epoch": self.epoch,
            "step": self.step,
            "history": self.history,
            "seconds": self.seconds,
            "optimizer": numbers,
            "updates": 0 if self.average is None else self.average.updates,
            "scaler": {} if self.scaler is None else self.scaler.state_dict(),
        }
        return tensors, {name: json.dumps(value) for name, value in facts.items()}

    def restore(self, tensors: dict[str, Tensor], written: dict[str, str]) -> None:
        """Back to where `content` was taken; of a network and an optimizer made alike."""
        facts = {name: json.loads(text) for name, text in written.items()}
        self.net.load_state_dict(_under("net.", tensors))
        if self.average is not None:
            self.average.net.load_state_dict(_under("average.", tensors))
            self.average.updates = facts["updates"]
        state: dict[int, dict[str, Any]] = {}
        for name, value in (_under("optimizer.", tensors) | facts["optimizer"]).items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        if facts["scaler"]:
            self.scaler.load_state_dict(facts["scaler"])
        device = next(self.net.parameters()).device
        self.losses, self.hits = (
            list(tensors[name].to(device)) if name in tensors else [] for name in ("losses", "hits")
        )
        self.epoch, self.step = facts["epoch"], facts["step"]
        self.history, self.seconds = facts["history"], facts["seconds"]


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
