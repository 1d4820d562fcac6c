"""What search.yml sets: our tuner's `classArgs`, and the defaults that suit a budget.

>>> TunerSettings.read({"strategy": {"name": "evolution"}, "reward": {"form": "hard"}}).reward.form
'hard'
>>> TunerSettings.read({"strategy": {"name": "evolutoin"}})  # doctest: +ELLIPSIS
Traceback (most recent call last):
...
nas.errors.NasError: classArgs: strategy.name is 'evolutoin' (did you mean 'evolution'?); allowed: ...
"""

from typing import Any, Literal

from pydantic import field_validator

from nas.documents import Int, Number, Strict
from nas.errors import NasError, listed, near
from nas.reading import validate
from nas.reward import W, exponents, only_rescales, reward


class EvolutionSettings(Strict):
    """Regularized evolution (Real et al. 2019, arXiv:1802.01548); None fits the budget."""

    name: Literal["evolution"] = "evolution"
    population_size: Int | None = None
    sample_size: Int | None = None
    mutation_prob: Number | None = None
    crossover: bool = False


class RandomSettings(Strict):
    """Uniform sampling without repeats."""

    name: Literal["random"] = "random"


class TPESettings(Strict):
    """NNI's tree-structured Parzen estimator; see NNI's TpeArguments."""

    name: Literal["tpe"] = "tpe"
    constant_liar_type: Literal["best", "worst", "mean"] = "best"
    n_startup_jobs: Int = 20
    n_ei_candidates: Int = 24
    linear_forgetting: Int = 25
    prior_weight: Number = 1.0
    gamma: Number = 0.25


StrategySettings = EvolutionSettings | RandomSettings | TPESettings
BY_NAME: dict[str, type[StrategySettings]] = {
    "evolution": EvolutionSettings,
    "random": RandomSettings,
    "tpe": TPESettings,
}


class RewardSettings(Strict):
    """acc * (macs / target) ** w; see `nas.reward`. Without a target, the space document's."""

    form: Literal["soft", "hard"] | tuple[Number, Number] = "soft"
    target: Int | None = None
    w: Number = W

    @field_validator("target")
    @classmethod
    def _over_zero(cls, value: int | None) -> int | None:
        if value is not None and value <= 0:
            raise ValueError("multiply-adds over 0, such as 400M")
        return value

    def of(self, accuracy: float, macs: int, target: int) -> float:
        """The reward of a network."""
        return reward(accuracy, macs, target, self.w, self.form)

    @property
    def only_rescales(self) -> bool:
        """Whether the winner is the same for every target."""
        return only_rescales(self.w, self.form)

    @property
    def exponents(self) -> tuple[float, float]:
        return exponents(self.w, self.form)


class Limits(Strict):
    """Hard limits: a sample over one is never trained."""

    macs: Int | None = None
    params: Int | None = None

    def refuse(self, macs: int, params: int) -> str | None:
        """Why a network is over a limit, or None."""
        for name, value, limit in (("macs", macs, self.macs), ("params", params, self.params)):
            if limit is not None and value > limit:
                return f"{name} {value:,} is over the limit of {limit:,}"
        return None


class TunerSettings(Strict):
    """The `classArgs` of `nas.search.tuner.StrategyTuner`."""

    strategy: StrategySettings = EvolutionSettings()
    reward: RewardSettings = RewardSettings()
    limits: Limits = Limits()
    seed: Int = 0

    @classmethod
    def read(cls, args: dict[str, Any] | None, where: str = "classArgs") -> "TunerSettings":
        """The settings of a `classArgs` mapping.

        Raises:
            NasError: for an unknown key or strategy or an impossible value, with what is allowed.
        """
        args = dict(args or {})
        strategy = args.pop("strategy", None) or {"name": "evolution"}
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
        return settings.model_copy(update={"strategy": chosen})


def fitted(strategy: StrategySettings, budget: int, concurrency: int, choices: int) -> dict[str, Any]:
    """The strategy's hyper-parameters for NNI, those left open fitted to the budget.

    Evolution: a population of a quarter of the trials (8 to 100; Real et al. used 100 for
    20,000 trials), more than run at once; tournaments of a quarter of it; one and a half
    mutations a child on average, as Real et al. mutate one choice.

    >>> fitted(EvolutionSettings(), budget=40, concurrency=2, choices=20)
    {'population_size': 10, 'sample_size': 3, 'mutation_prob': 0.075, 'crossover': False}
    """
    options = strategy.model_dump(exclude={"name"})
    if isinstance(strategy, EvolutionSettings):
        size = strategy.population_size or max(min(100, max(8, round(budget / 4))), concurrency + 1)
        if size <= concurrency:
            raise NasError(
                f"classArgs: strategy.population_size is {size}; it must be over trialConcurrency ({concurrency})"
            )
        sample = strategy.sample_size or max(2, -(-size // 4))
        if not 1 <= sample <= size:
            raise NasError(f"classArgs: strategy.sample_size is {sample}; give 1 to population_size ({size})")
        mutation = strategy.mutation_prob
        if mutation is None:
            mutation = round(min(1.0, 1.5 / max(choices, 1)), 4)
        if not 0 < mutation <= 1:
            raise NasError(
                f"classArgs: strategy.mutation_prob is {mutation}; give a probability over 0, up to 1"
            )
        options |= {"population_size": size, "sample_size": sample, "mutation_prob": mutation}
    return options
