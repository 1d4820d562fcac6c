"""The targets of `make fuzz` for some seconds: good inputs, what once found something, and changed ones."""

import logging
import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from mutations import KINDS, mutated
from targets import CORPUS, TARGETS, _folder

KEPT = [path for target in TARGETS.values() for path in target.corpus()]
SHARE = 120
GOOD = [name for name in TARGETS if name != "name"]


@pytest.fixture(autouse=True)
def quiet():
    """NNI warns of addresses in its log."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", GOOD)
def test_the_seeds_are_good(name, monkeypatch):
    """So that mutations begin in the grammar: a seed that is refused would reach little."""
    monkeypatch.chdir(_folder())
    for seed in TARGETS[name].seeds():
        TARGETS[name].read(seed)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_once_found_something(path):
    TARGETS[path.parent.name].check(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs(name):
    target = TARGETS[name]
    seeds = target.seeds()

    @settings(
        max_examples=target.inputs // SHARE,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(seeds), st.integers(0, 2**32), st.integers(1, 3))
    def check(data, seed, times):
        rng = random.Random(seed)
        for _ in range(times):
            data = mutated(target.kind, data, rng)
        target.check(data)

    check()


def test_the_corpus_is_of_targets_and_every_kind_is_used():
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
    assert {target.kind for target in TARGETS.values()} == set(KINDS)


def test_whatever_else_is_raised_is_found():
    """The net holds: a target that raises something else, or an endless or empty message, does not pass."""
    from dataclasses import replace

    from nas import NasError

    def raising(error):
        def read(_):
            raise error

        return replace(TARGETS["space"], read=read)

    raising(NasError("x")).check(b"")
    for error in (KeyError("x"), RecursionError(), SystemExit(0), NasError(), NasError("x" * 5000)):
        with pytest.raises((KeyError, RecursionError, SystemExit, AssertionError)):
            raising(error).check(b"")
