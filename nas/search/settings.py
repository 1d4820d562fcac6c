"""What search.yml sets: our tuner's `classArgs`, and the defaults that suit a budget.

>>> TunerSettings.read({"strategy": {"name": "evolution"}, "reward": {"form": "hard"}}).reward.form
'hard'
>>> TunerSettings.read({"strategy": {"name": "evolutoin"}})  # doctest: +ELLIPSIS
Traceback (most recent call last):
...
nas.errors.NasError: classArgs: strategy.name is 'evolutoin' (did you mean 'evolution'?); allowed: ...
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from nas.documents import Int, Number, Strict
from nas.errors import NasError, listed, near, short
from nas.reading import validate
from nas.reward import exponents
from nas.search.costs import LATENCY
from nas.search.rewarding import Limits, RewardSettings
from nas.search.scaling_grid import GridSettings

Positive = Annotated[Int, Field(ge=1)]


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
