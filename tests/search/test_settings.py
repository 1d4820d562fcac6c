"""What classArgs may say, each mistake in it as one sentence, and defaults that suit a budget."""

import pytest

from nas import NasError
from nas.search.settings import (
    BY_NAME,
    EvolutionSettings,
    Limits,
    ModelSettings,
    RandomSettings,
    RewardSettings,
    TPESettings,
    TunerSettings,
    fitted,
)
from nas.search.strategies import STRATEGIES, make


def test_nothing_given_is_the_model_and_the_soft_reward():
    for args in (None, {}, {"strategy": None, "reward": None, "limits": None, "seed": None}):
        settings = TunerSettings.read(args)
        assert settings.strategy == ModelSettings()
        assert (settings.reward.form, settings.reward.w, settings.reward.target) == ("soft", -0.07, None)
        assert (settings.limits.macs, settings.limits.params, settings.seed) == (None, None, 0)


def test_every_setting_is_read_with_the_numbers_of_yaml_1_1():
    settings = TunerSettings.read(
        {
            "strategy": {"name": "evolution", "population_size": "20", "mutation_prob": "1e-1"},
            "reward": {"form": ["0", "-0.5"], "target": "400e6", "w": "-0.1"},
            "limits": {"macs": "1M", "params": "100k"},
            "seed": "3",
        }
    )
    assert settings.strategy == EvolutionSettings(population_size=20, mutation_prob=0.1)
    assert settings.reward == RewardSettings(form=(0, -0.5), target=400_000_000, w=-0.1)
    assert settings.limits == Limits(macs=1_000_000, params=100_000)
    assert settings.seed == 3


def test_a_strategy_may_be_a_bare_name():
    assert TunerSettings.read({"strategy": "tpe"}).strategy == TPESettings()


def test_every_strategy_has_settings():
    assert BY_NAME.keys() == STRATEGIES.keys()


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ("abc", r" is 'abc'; give a mapping"),
        ([1], r" is \[1\]; give a mapping"),
        (
            {"sed": 1},
            r": unknown key 'sed' \(did you mean 'seed'\?\); allowed: strategy, reward, limits, scaling, seed",
        ),
        ({"seed": -1}, r": seed is -1; give a number greater than or equal to 0"),
        ({"seed": 2**32}, r": seed is 4294967296; give a number less than 4294967296"),
        ({"seed": "x"}, r": seed is 'x'; give a whole number"),
        ({"strategy": {}}, r": strategy is {}; give {name: NAME}, NAME one of model, evolution, "),
        ({"strategy": []}, r": strategy is \[\]; give {name: NAME}"),
        ({"strategy": {"name": False}}, r": strategy is {'name': False}; give {name: NAME}"),
        (
            {"strategy": {"name": "evolutoin"}},
            r": strategy\.name is 'evolutoin' \(did you mean 'evolution'\?\); allowed: model, evolution, ",
        ),
        ({"strategy": {"name": "random", "seed": 1}}, r": strategy: unknown key 'seed'; allowed: name"),
        (
            {"strategy": {"name": "evolution", "population": 9}},
            r": strategy: unknown key 'population' \(did you mean 'population_size'\?\)",
        ),
        (
            {"strategy": {"name": "evolution", "population_size": 0}},
            r": strategy: population_size is 0; give a number greater",
        ),
        (
            {"strategy": {"name": "evolution", "mutation_prob": 0}},
            r": strategy: mutation_prob is 0; give a number greater than 0",
        ),
        (
            {"strategy": {"name": "tpe", "gamma": 2}},
            r": strategy: gamma is 2; give a number less than or equal to 1",
        ),
        (
            {"strategy": {"name": "tpe", "constant_liar_type": "beast"}},
            r": strategy: constant_liar_type is 'beast'; give 'best'",
        ),
        ({"reward": "hard"}, r": reward is 'hard'; give a mapping"),
        ({"reward": {"tarjet": 5}}, r": unknown key 'tarjet' in reward \(did you mean 'target'\?\)"),
        ({"reward": {"target": 0}}, r": reward\.target is 0; give multiply-adds over 0, such as 400M"),
        ({"reward": {"target": "-400M"}}, r": reward\.target is '-400M'; give multiply-adds over 0"),
        ({"reward": {"target": False}}, r": reward\.target is False; give a whole number"),
        ({"reward": {"form": "sft"}}, r": reward\.form is 'sft'; give 'soft' or 'hard'"),
        ({"reward": {"form": [0]}}, r": 'reward\.form\[1\]' is missing"),
        ({"reward": {"form": [0, "x"]}}, r": reward\.form\[1\] is 'x'; give a number"),
        ({"reward": {"w": float("inf")}}, r": reward\.w is inf; give a finite number"),
        ({"reward": {"w": float("nan")}}, r": reward\.w is nan; give a finite number"),
        ({"limits": {"macs": 0}}, r": limits\.macs is 0; give a number greater than or equal to 1"),
        (
            {"limits": {"mac": 5}},
            r": unknown key 'mac' in limits \(did you mean 'macs'\?\); allowed: macs, params",
        ),
    ],
)
def test_a_mistake_is_one_sentence(args: object, sentence: str):
    with pytest.raises(NasError, match=f"^here: classArgs{sentence}") as caught:
        TunerSettings.read(args, "here: classArgs")
    assert "\n" not in str(caught.value)


# The reward


def test_rewards_worked_by_hand():
    soft, hard, pair = RewardSettings(w=-1), RewardSettings(form="hard"), RewardSettings(form=(0, -2))
    assert [r.of(0.8, macs=50, target=100) for r in (soft, hard, pair)] == pytest.approx([1.6, 0.8, 0.8])
    assert [r.of(0.8, macs=200, target=100) for r in (soft, hard, pair)] == pytest.approx([0.4, 0.4, 0.2])


def test_only_one_exponent_rescales():
    assert RewardSettings().only_rescales
    assert RewardSettings(form=(-0.1, -0.1)).only_rescales
    assert not RewardSettings(form="hard").only_rescales
    assert RewardSettings(form="hard", w=-0.3).exponents == (0, -1)


# Limits


def test_a_network_over_a_limit_is_refused_with_both_numbers():
    limits = Limits(macs=1000, params=50)
    assert limits.refuse(macs=1000, params=50) is None
    assert limits.refuse(macs=1001, params=50) == "macs 1,001 is over the limit of 1,000"
    assert limits.refuse(macs=1000, params=51) == "params 51 is over the limit of 50"
    assert Limits().refuse(macs=10**12, params=10**12) is None


def test_limits_that_leave_no_network_are_refused(tiny):
    least = tiny.costs.macs_range()[0]
    Limits(macs=least).check(tiny)
    with pytest.raises(
        NasError,
        match=rf"limits of macs {least - 1:,} leave none of 20,000 random networks of tiny, whose least are macs "
        rf"{least:,} and params [\d,]+; raise them$",
    ):
        Limits(macs=least - 1).check(tiny)
    with pytest.raises(NasError, match=r"limits of macs 1,000,000 and params 10 leave none"):
        Limits(macs=1_000_000, params=10).check(tiny)


# Fitted to the budget


@pytest.mark.parametrize(
    ("budget", "concurrency", "choices", "population", "sample", "mutation"),
    [
        (40, 2, 15, 10, 3, 0.1),  # a quarter of the trials, a quarter of that; 1.5 / 15
        (8, 2, 15, 8, 2, 0.1),  # at least 8
        (8000, 2, 30, 100, 25, 0.05),  # at most Real et al.'s 100
        (40, 16, 15, 17, 5, 0.1),  # more than run at once
        (40, 2, 1, 10, 3, 1.0),  # a probability
    ],
)
def test_evolution_fits_the_budget(budget, concurrency, choices, population, sample, mutation):
    assert fitted(EvolutionSettings(), budget, concurrency, choices) == {
        "population_size": population,
        "sample_size": sample,
        "mutation_prob": mutation,
        "crossover": False,
    }


def test_what_was_given_stays():
    given = EvolutionSettings(population_size=5, sample_size=5, mutation_prob=0.3, crossover=True)
    assert fitted(given, 40, 2, 15) == given.model_dump(exclude={"name"})
    assert fitted(RandomSettings(), 40, 2, 15) == {}


def test_a_population_must_be_over_the_concurrency():
    with pytest.raises(
        NasError, match=r"^x: strategy\.population_size is 4; it must be over trialConcurrency \(4\)"
    ):
        fitted(EvolutionSettings(population_size=4), 40, 4, 15, "x")


def test_a_tournament_is_no_larger_than_the_population():
    with pytest.raises(NasError, match=r"strategy\.sample_size is 9; give 1 to population_size \(8\)"):
        fitted(EvolutionSettings(population_size=8, sample_size=9), 40, 4, 15)


@pytest.mark.parametrize(
    "settings", [EvolutionSettings(), RandomSettings(), TPESettings()], ids=lambda s: s.name
)
def test_nni_takes_what_is_fitted(settings):
    make(settings.name, fitted(settings, 40, 2, 15), seed=0)
