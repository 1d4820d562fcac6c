"""What search.yml sets: our tuner's `classArgs`, and the defaults that suit a budget.

>>> TunerSettings.read({"strategy": {"name": "evolution"}, "reward": {"form": "hard"}}).reward.form
'hard'
>>> TunerSettings.read({"strategy": {"name": "evolutoin"}})  # doctest: +ELLIPSIS
Traceback (most recent call last):
...
nas.errors.NasError: classArgs: strategy.name is 'evolutoin' (did you mean 'evolution'?); allowed: ...
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
from nas.errors import NasError, listed, near, short
from nas.reading import count, validate
from nas.reward import W, exponents, factor, only_rescales, reward
from nas.search.costs import LATENCY, MACS, amount, milliseconds
from nas.search.scaling_grid import GridSettings

if TYPE_CHECKING:
    from nas.space import SearchSpace

Positive = Annotated[Int, Field(ge=1)]
DRAWS = 20_000
"""Random networks of which one must be within the limits; after so many a strategy takes a space for exhausted."""


class EvolutionSettings(Strict):
    """Regularized evolution (Real et al. 2019, arXiv:1802.01548); None fits the budget."""

    name: Literal["evolution"] = "evolution"
    population_size: Positive | None = None
    sample_size: Positive | None = None
    mutation_prob: Annotated[Number, Field(gt=0, le=1)] | None = None
    crossover: bool = False


class RandomSettings(Strict):
    """Uniform sampling without repeats."""

    name: Literal["random"] = "random"


class ModelSettings(Strict):
    """A model of accuracy, times the exact cost; see `nas.search.guide`."""

    name: Literal["model"] = "model"


class LocalSettings(Strict):
    """First improvement among the networks one choice apart, with new starts; see `nas.search.local`."""

    name: Literal["local"] = "local"


class PPOSettings(Strict):
    """MnasNet's controller, an LSTM trained by proximal policy optimization; see `nas.search.controller`."""

    name: Literal["ppo"] = "ppo"
    batch_size: Positive = 5
    epochs: Positive = 5
    learning_rate: Annotated[Number, Field(gt=0)] = 0.005
    clip: Annotated[Number, Field(gt=0, lt=1)] = 0.2
    entropy: Annotated[Number, Field(ge=0)] = 0.07
    baseline_decay: Annotated[Number, Field(ge=0, lt=1)] = 0.95


class TPESettings(Strict):
    """NNI's tree-structured Parzen estimator; see NNI's TpeArguments."""

    name: Literal["tpe"] = "tpe"
    constant_liar_type: Literal["best", "worst", "mean"] = "best"
    n_startup_jobs: Positive = 20
    n_ei_candidates: Positive = 24
    linear_forgetting: Positive = 25
    prior_weight: Annotated[Number, Field(gt=0)] = 1.0
    gamma: Annotated[Number, Field(gt=0, le=1)] = 0.25


StrategySettings = (
    ModelSettings | EvolutionSettings | RandomSettings | LocalSettings | PPOSettings | TPESettings
)
BY_NAME: dict[str, type[StrategySettings]] = {
    "model": ModelSettings,
    "evolution": EvolutionSettings,
    "random": RandomSettings,
    "local": LocalSettings,
    "ppo": PPOSettings,
    "tpe": TPESettings,
}


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

    def of(self, accuracy: float, cost: float, target: float) -> float:
        """The reward of a network."""
        return reward(accuracy, cost, target, self.w, self.form)

    def factor(self, cost: Any, target: float) -> Any:
        """The reward for each unit of accuracy: float array, of an array of multiply-adds or milliseconds."""
        return factor(cost, target, self.w, self.form)

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

    def check(self, space: "SearchSpace", where: str = "classArgs", latency: Any = None) -> None:
        """Raises NasError where the limits leave no network of `space`, or next to none.

        `latency` is the space's `nas.latency_model.LatencyTable`, where latencies are limited.
        """
        params, macs = space.costs.of_random(DRAWS, seed=0)
        costs = {"macs": macs, "params": params}
        if self.latency is not None:
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


class TunerSettings(Strict):
    """The `classArgs` of `nas.search.tuner.StrategyTuner`."""

    strategy: StrategySettings = ModelSettings()
    reward: RewardSettings = RewardSettings()
    limits: Limits = Limits()
    scaling: GridSettings | None = None  # of searchSpace scale:BASELINE alone
    seed: Annotated[Int, Field(ge=0, lt=2**32)] = 0

    @classmethod
    def read(cls, args: Any, where: str = "classArgs", default: str = "model") -> "TunerSettings":
        """The settings of a `classArgs` mapping; `default` is the strategy where it names none.

        Raises:
            NasError: for an unknown key or strategy or an impossible value, with what is allowed.
        """
        if args is not None and not isinstance(args, dict):
            raise NasError(
                f"{where} is {short(args)}; give a mapping such as {{strategy: {{name: evolution}}}}"
            )
        args = dict(args or {})
        strategy = args.pop("strategy", None)
        if strategy is None:
            strategy = {"name": default}
        if isinstance(strategy, str):
            strategy = {"name": strategy}
        if not isinstance(strategy, dict) or not isinstance(strategy.get("name"), str):
            raise NasError(
                f"{where}: strategy is {strategy!r}; give {{name: NAME}}, NAME one of {listed(BY_NAME)}"
            )
        name = strategy["name"]
        if name not in BY_NAME:
            raise NasError(
                f"{where}: strategy.name is {name!r}{near(name, BY_NAME)}; allowed: {listed(BY_NAME)}"
            )
        chosen = validate(BY_NAME[name], strategy, f"{where}: strategy")
        settings = validate(cls, {key: v for key, v in args.items() if v is not None}, where)
        exponents(settings.reward.w, settings.reward.form)
        if settings.reward.latency is None and (
            settings.reward.cost == LATENCY or settings.limits.latency is not None
        ):
            asks = "limits.latency" if settings.limits.latency is not None else "reward.cost: latency"
            raise NasError(
                f"{where}: {asks} needs a latency model; give reward.latency: FILE, the file that "
                "nas latency SPACE --output FILE wrote"
            )
        return settings.model_copy(update={"strategy": chosen})


def fitted(
    strategy: StrategySettings, budget: int, concurrency: int, choices: int, where: str = "classArgs"
) -> dict[str, Any]:
    """The strategy's hyper-parameters for NNI, those left open fitted to the budget.

    Evolution: a population of a quarter of the trials (8 to 100; Real et al. used 100 for
    20,000 trials), more than run at once; tournaments of a quarter of it; one and a half
    mutations a child on average, as Real et al. mutate one choice.

    >>> fitted(EvolutionSettings(), budget=40, concurrency=2, choices=20)
    {'population_size': 10, 'sample_size': 3, 'mutation_prob': 0.075, 'crossover': False}

    Raises:
        NasError: for a population that is not over `concurrency`, or a tournament larger than it.
    """
    options = strategy.model_dump(exclude={"name"})
    if isinstance(strategy, EvolutionSettings):
        size = strategy.population_size or max(min(100, max(8, round(budget / 4))), concurrency + 1)
        if size <= concurrency:
            raise NasError(
                f"{where}: strategy.population_size is {size}; it must be over trialConcurrency ({concurrency})"
            )
        sample = strategy.sample_size or max(2, -(-size // 4))
        if sample > size:
            raise NasError(f"{where}: strategy.sample_size is {sample}; give 1 to population_size ({size})")
        mutation = strategy.mutation_prob or round(min(1.0, 1.5 / max(choices, 1)), 4)
        options |= {"population_size": size, "sample_size": sample, "mutation_prob": mutation}
    return options
