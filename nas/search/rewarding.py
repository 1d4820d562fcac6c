"""What search.yml sets of the reward and of limits, in multiply-adds, parameters and milliseconds.

>>> RewardSettings(form="hard", cost="latency", target="80ms").of(0.75, 160.0, 80.0)
0.375
>>> Limits(macs="1M", latency="100ms").refuse(macs=500_000, params=1, latency=120.0)
'latency 120 ms is over the limit of 100 ms'
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from nas.documents import Int, Number, Strict, Text
from nas.errors import NasError
from nas.reading import count
from nas.reward import W, exponents, factor, only_rescales, reward
from nas.search.costs import LATENCY, MACS, amount, milliseconds

if TYPE_CHECKING:
    from nas.latency_table import LatencyTable
    from nas.space import SearchSpace

Positive = Annotated[Int, Field(ge=1)]
DRAWS = 20_000
"""Random networks of which one must be within the limits; after so many a strategy takes a space for exhausted."""


class Sparing(Strict):
    """Writes down what was set alone of `SPARED`: an older journal and one of a search without them are alike."""

    SPARED: ClassVar[Mapping[str, Any]] = {}

    @model_serializer(mode="wrap")
    def _sparing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found = handler(self)
        return {
            name: value
            for name, value in found.items()
            if name not in self.SPARED or value != self.SPARED[name]
        }


class RewardSettings(Sparing):
    """acc * (cost / target) ** w; see `nas.reward`. Without a target, the space's, or the median latency.

    Attributes:
        cost: what is priced: multiply-adds, or milliseconds of a latency model.
        target: in the cost's unit.
        latency: the model's file, for a reward on latency, for `limits.latency`, or to be recorded beside macs.
    """

    SPARED: ClassVar[Mapping[str, Any]] = {"cost": MACS, "latency": None}

    form: Literal["soft", "hard"] | tuple[Number, Number] = "soft"
    cost: Literal["macs", "latency"] = MACS
    target: int | float | None = None
    w: Number = W
    latency: Text | None = None

    @field_validator("target", mode="before")
    @classmethod
    def _over_zero(cls, value: Any, info: ValidationInfo) -> int | float | None:
        if value is None:
            return None
        if info.data.get("cost") == LATENCY:
            return milliseconds(value)
        if isinstance(value, str) and value.strip().endswith("ms"):
            raise ValueError("multiply-adds, such as 400M; milliseconds go with cost: latency")
        found = count(value)
        if found <= 0:
            raise ValueError("multiply-adds over 0, such as 400M")
        return found

    def of(self, accuracy: float, macs: float, target: float) -> float:
        """The reward of a network; where latency is the cost, `macs` and `target` are milliseconds."""
        return reward(accuracy, macs, target, self.w, self.form)

    def factor(self, macs: Any, target: float) -> Any:
        """The reward for each unit of accuracy: float array, of an array of multiply-adds (or milliseconds)."""
        return factor(macs, target, self.w, self.form)

    def paid(self, costs: Any) -> float:
        """What of a network's costs is priced: of a trial, or a mapping; 0 where it is not known.

        >>> RewardSettings(cost="latency").paid({"macs": 1000, "latency": 2.5})
        2.5
        """
        found = costs.get(self.cost) if isinstance(costs, Mapping) else getattr(costs, self.cost)
        return found or 0

    @property
    def only_rescales(self) -> bool:
        """Whether the winner is the same for every target."""
        return only_rescales(self.w, self.form)

    @property
    def exponents(self) -> tuple[float, float]:
        return exponents(self.w, self.form)


class Limits(Sparing):
    """Hard limits: a sample over one is never trained. Of latency in milliseconds, by the reward's model."""

    SPARED: ClassVar[Mapping[str, Any]] = {"latency": None}

    macs: Positive | None = None
    params: Positive | None = None
    latency: Annotated[float, BeforeValidator(milliseconds)] | None = None

    def check(
        self, space: "SearchSpace", where: str = "classArgs", latency: "LatencyTable | None" = None
    ) -> None:
        """Raises NasError where the limits leave no network of `space`, or next to none.

        `latency` is the space's `nas.latency_model.LatencyTable`, where latencies are limited.
        """
        params, macs = space.costs.of_random(DRAWS, seed=0)
        costs = {"macs": macs, "params": params}
        if self.latency is not None:
            assert latency is not None  # `TunerSettings.read` asks for a model
            costs["latency"] = latency.of_random(DRAWS, seed=0)
        limits = self.model_dump(exclude_none=True)
        within = np.logical_and.reduce([costs[name] <= limit for name, limit in limits.items()])
        if not within.any():
            written = " and ".join(f"{name} {amount(name, limit)}" for name, limit in limits.items())
            least = " and ".join(f"{name} {amount(name, found.min())}" for name, found in costs.items())
            raise NasError(
                f"{where}: limits of {written} leave none of {DRAWS:,} random networks of {space.name}, whose "
                f"least are {least}; raise them"
            )

    def refuse(self, macs: int, params: int, latency: float | None = None) -> str | None:
        """Why a network is over a limit, or None."""
        pairs = ("macs", macs, self.macs), ("params", params, self.params), (LATENCY, latency, self.latency)
        for name, value, limit in pairs:
            if limit is not None and value is not None and value > limit:
                return f"{name} {amount(name, value)} is over the limit of {amount(name, limit)}"
        return None
