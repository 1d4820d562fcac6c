"""`nas.Search`: ask and tell without NNI's processes, for loops of your own.

>>> import nas
>>> search = nas.Search({"width": (8, 16, 32), "depth": (1, 2, 3)}, cost=lambda s: s["width"] * s["depth"])
>>> for _ in range(5):
...     sample = search.ask()
...     search.tell(sample, accuracy=0.5 + 0.01 * sample["depth"])
>>> search.best.state, len(search.trials)
('complete', 5)
"""

import math
import threading
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from nas.errors import NasError, listed, short
from nas.reading import validate
from nas.reward import Form, W, exponents, factor
from nas.search.arguments import (
    check_limits,
    fraction,
    hush,
    median_cost,
    positive,
    reason,
    valid_sample,
    view_of_search,
    whole,
    worth_of,
)  # fmt: skip
from nas.search.asktell import AskTell
from nas.search.journal import Trial
from nas.search.saved import read_saved, write_saved
from nas.search.settings import RewardSettings, TunerSettings, fitted
from nas.search.strategies import make
from nas.search.view import Sample
from nas.space import SearchSpace

BUDGET = 100
"""Trials to which hyper-parameters of a strategy are fitted where they are left open."""


class Search:
    """A search that is asked for samples and told what they were worth, in whatever order and by any thread.

    It holds a thread of its own until it is closed or forgotten; `with nas.Search(...) as search:` closes it.

    Args:
        choices: a SearchSpace, or a plain `{name: [values]}`.
        strategy: a name (`nas.search.strategies.STRATEGIES`), or a mapping of its name and hyper-parameters.
        target: multiply-adds T of the reward; by default the space's, for plain choices the median cost of
            random samples, at most `limit`.
        w, form: see `nas.reward`; form 'hard' ignores w.
        cost: multiply-adds of a sample, or what else is to be paid for accuracy; by default the architecture's.
            Called for thousands of samples, once each: something quick. Plain choices without it are searched
            for accuracy alone.
        canonical: a hashable key of a sample, equal for samples that are one network; by default the
            architecture's, for plain choices the sample itself.
        seed: the same seed and the same tells give the same asks.
        limit: multiply-adds above which nothing is proposed, or `{"macs": ..., "params": ...}`.

    Raises:
        NasError: for a mistake in any of them, with what is allowed.
    """

    def __init__(
        self,
        choices: SearchSpace | Mapping[str, Iterable[Any]],
        strategy: str | Mapping[str, Any] = "model",
        target: float | str | None = None,
        w: float = W,
        form: Form = "soft",
        cost: Callable[[Sample], float] | None = None,
        canonical: Callable[[Sample], Hashable] | None = None,
        seed: int = 0,
        limit: float | str | Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(strategy, str | Mapping):
            raise NasError(
                f"Search: strategy is {short(strategy)}; give a name, such as 'model', or {{'name': ...}}"
            )
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise NasError(f"Search: seed is {short(seed)}; give a whole number from 0")
        seed = int(seed)
        strategy = strategy if isinstance(strategy, str) else dict(strategy)
        settings = TunerSettings.read({"strategy": strategy, "seed": seed}, "Search")
        self._reward = validate(RewardSettings, {"form": form, "w": w}, "Search")
        exponents(w, form)
        bounds = limit if isinstance(limit, Mapping) else {"macs": limit} if limit is not None else {}
        limits = {name: positive(value, f"limit.{name}") for name, value in bounds.items()}
        if unknown := set(limits) - {"macs", "params"}:
            raise NasError(f"Search: limit has {listed(sorted(unknown))}; allowed: macs, params")
        self._target = None if target is None else positive(target, "target")
        self._settings = {
            "strategy": strategy,
            "reward": {**self._reward.model_dump(mode="json", exclude={"target"}), "target": self._target},
            "seed": seed, "limits": limits,
        }  # fmt: skip
        self._choices = choices
        self._lock = threading.RLock()
        self._closed = False
        self._given = {"cost": cost is not None, "canonical": canonical is not None}
        self._view = view_of_search(choices, cost, canonical, limits)
        check_limits(self._view, limits)
        hush()
        if self._view.has_cost:
            own = choices.target if isinstance(choices, SearchSpace) and cost is None else None
            self._target = self._target or own or median_cost(self._view, limits.get("macs", math.inf))
            self._view.factor = partial(factor, target=self._target, w=w, form=form)
        options = fitted(settings.strategy, BUDGET, 1, len(self._view.labels), "Search")
        self._talk = AskTell(self._view, make(settings.strategy.name, options, seed), seed)
        weakref.finalize(self, self._talk.close).atexit = False
        self._trials: list[Trial] = []
        self._running: dict[Hashable, int] = {}
        self._events: list[list[Any]] = []

    def ask(self) -> Sample | None:
        """The next sample, never of a network already asked; None where the space is exhausted.

        Of a space of over 40,000 samples with a limit, exhausted means that neither random samples nor those
        reached from the cheapest one choice at a time are left.

        Raises:
            NasError: where the strategy failed, or the search was closed.
        """
        with self._lock:
            if self._closed:
                raise NasError("this search was closed; save it before, and load it")
            sample = self._talk.ask()
            if sample is not None:
                self._asked(sample)
            return sample

    def tell(
        self,
        sample: Mapping[str, Any],
        accuracy: float | None = None,
        macs: float | None = None,
        failed: str | None = None,
    ) -> None:
        """What came of a sample, asked or not.

        A sample not asked, or told before, becomes a trial of the next number. Told again, strategy 'model'
        believes the last result (of a trial that was repeated), and the others the first.

        Args:
            sample: one value for each choice.
            accuracy: fraction in [0, 1]; None or NaN is a failure.
            macs: multiply-adds as measured. They change the reward; the model goes by `cost` all the same.
            failed: why the trial failed; an accuracy beside it counts for nothing.

        Raises:
            NasError: for a sample that is none, an accuracy outside [0, 1], or a cost of 0 or less.
        """
        with self._lock:
            self._tell(sample, accuracy, macs, failed)

    def _tell(
        self, sample: Mapping[str, Any], accuracy: float | None, macs: float | None, failed: str | None
    ) -> None:
        found, failed = valid_sample(self._view, sample), reason(failed)
        accuracy = fraction(accuracy) if failed is None else None
        failed = "its accuracy is no number" if failed is None and accuracy is None else failed
        macs = None if macs is None else positive(macs, "macs")
        measured = self._cost(found) if macs is None else macs
        worth = None if accuracy is None else worth_of(accuracy, measured, self._target, self._reward)
        key = self._view.key(found)
        number = self._running.pop(key, None)
        if number is None:
            number = len(self._trials)
            self._trials.append(Trial(number, found, str(key)))
        facts = {"macs": whole(measured)}
        if failed is None:
            told = replace(self._trials[number], state="complete", accuracy=accuracy, reward=worth, **facts)
            self._talk.tell(found, worth, accuracy if self._view.has_cost else worth)
        else:
            told = replace(self._trials[number], state="failed", reason=failed, **facts)
            self._talk.tell(found, None)
        self._trials[number] = told
        self._events.append(["tell", found, accuracy, macs, failed])

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial, in order of its number; those not told are 'running'."""
        with self._lock:
            return tuple(self._trials)

    @property
    def best(self) -> Trial | None:
        """The complete trial of highest reward, the earliest of equals; None before the first."""
        return max((t for t in self.trials if t.scored), key=lambda t: (t.reward, -t.number), default=None)

    def save(self, path: str | Path) -> None:
        """Writes the search as JSON, so that `load` goes on where this one is.

        Raises:
            NasError: for values that JSON cannot hold, or a file that cannot be written.
        """
        with self._lock:
            write_saved(Path(path), self._settings, self._given, self._choices, self._view, self._events)

    @classmethod
    def load(
        cls,
        path: str | Path,
        cost: Callable[[Sample], float] | None = None,
        canonical: Callable[[Sample], Hashable] | None = None,
    ) -> Self:
        """The search that was saved.

        Of a space of up to 40,000 samples, what `cost` and `canonical` gave was saved too; of a larger
        one, functions of yours have to be given again.

        Raises:
            NasError: for a file that is no saved search, or for functions that are missing.
        """
        saved = read_saved(Path(path), cost, canonical)
        search = cls(saved.choices, cost=saved.cost, canonical=saved.canonical, **saved.settings)
        for kind, sample, *result in saved.events:
            if kind == "ask":
                if not search._talk.ask_again(sample):
                    search._talk.exclude(sample)
                search._asked(sample)
            else:
                search.tell(sample, *result)
        return search

    def close(self) -> None:
        """Ends the strategy's thread. Nothing can be asked afterwards; what was told stays."""
        with self._lock:
            self._closed = True
            self._talk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _asked(self, sample: Sample) -> None:
        key = self._view.key(sample)
        number = len(self._trials)
        self._running[key] = number
        cost = self._cost(sample)
        self._trials.append(Trial(number, sample, str(key), macs=whole(cost)))
        self._events.append(["ask", sample])

    def _cost(self, sample: Sample) -> float | None:
        return float(self._view.macs(self._view.row(sample)[None])[0]) if self._view.has_cost else None
