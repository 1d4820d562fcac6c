"""A saved `nas.Search`: its settings, its choices, and its conversation, as one JSON document.

Samples are written as positions in the lists; functions are not written, but, of an enumerable space,
what they gave is.
"""

import json
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import NasError, short
from nas.files import text_of, write_whole
from nas.search.view import Sample, View
from nas.space import SearchSpace
from nas.strict_json import load_json

FORMAT = 1
MAX_BYTES = 256 << 20
"""Some millions of events."""
MEND = "give a file that Search.save wrote"
KINDS = {"ask": 0, "tell": 3}
"""Of an event, and what follows its sample."""
PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Saved:
    """What was read: the arguments of a Search (`settings` those beside choices and functions), and the events
    to repeat."""

    settings: dict[str, Any]
    choices: Any
    cost: Callable[[Sample], float] | None
    canonical: Callable[[Sample], Hashable] | None
    events: list[list[Any]]


def write_saved(
    path: Path,
    settings: dict[str, Any],
    given: Mapping[str, bool],
    choices: Any,
    view: View,
    events: list[Any],
) -> None:
    """Writes a search to `path`, whole or not at all.

    Raises:
        NasError: for a value that JSON cannot hold, or a file that cannot be written.
    """
    document: dict[str, Any] = {"b0nas search": FORMAT, "settings": settings, "given": dict(given)}
    if isinstance(choices, SearchSpace):
        document["space"] = choices.document.model_dump(mode="json", exclude_defaults=True)
    else:
        document["choices"] = {
            label: [_encoded(label, value) for value in values] for label, values in view.choices.items()
        }
    if view.enumerable and given["cost"]:
        document["macs"] = view.macs(view.all_rows()).tolist()
    if view.enumerable and given["canonical"]:
        document["networks"] = _names(view)
    document["events"] = [[kind, view.row(sample).tolist(), *rest] for kind, sample, *rest in events]
    write_whole(path, json.dumps(document, allow_nan=False), "choose another path")


def read_saved(
    path: Path, cost: Callable[[Sample], float] | None, canonical: Callable[[Sample], Hashable] | None
) -> Saved:
    """Reads a search; functions that are given win over what was written of them.

    Raises:
        NasError: for a file that is no saved search, or for a function that is missing.
    """
    try:
        document = load_json(text_of(path, MAX_BYTES, "which no saved search is"), str(path), MEND)
        if document["b0nas search"] != FORMAT:
            raise ValueError(f"its format is {document['b0nas search']}, and this version reads {FORMAT}")
        space = SearchSpace.from_data(document["space"], str(path)) if "space" in document else None
        choices = (
            space.choices
            if space
            else {k: [_decoded(v) for v in vs] for k, vs in document["choices"].items()}
        )
        view = View(choices)
        cost = cost or _recorded(view, document.get("macs"))
        canonical = canonical or _recorded(view, document.get("networks"))
        given = document["given"]
        lacking = [
            name
            for name, function in (("cost", cost), ("canonical", canonical))
            if given[name] and function is None
        ]
        events = [_event(view, *written) for written in document["events"]]
        saved = Saved(_arguments(document["settings"]), space or choices, cost, canonical, events)
    except NasError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise NasError(f"{path}: is no saved search ({short(str(error))}); {MEND}") from None
    for name in lacking:
        raise NasError(
            f"{path}: was saved with a function {name}; give it again: Search.load(path, {name}=...)"
        )
    return saved


def _event(view: View, kind: str, row: list[int], *rest: Any) -> list[Any]:
    """An event with its sample."""
    sample = view.sample(np.array(row))
    if len(rest) != KINDS[kind] or view.row(sample).tolist() != row:  # such as position -1
        raise ValueError(f"event {[kind, row, *rest]}")
    return [kind, sample, *rest]


def _arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Written settings as arguments of a Search."""
    reward = settings["reward"]
    form = reward["form"] if isinstance(reward["form"], str) else tuple(reward["form"])
    return {
        "strategy": settings["strategy"], "target": reward["target"], "w": reward["w"], "form": form,
        "seed": settings["seed"], "limit": settings["limits"] or None,
    }  # fmt: skip


def _recorded(view: View, values: list[Any] | None) -> Callable[[Sample], Any] | None:
    """What was written of a function, as one."""
    if values is None:
        return None
    if not view.enumerable:
        raise ValueError(f"it has values of {view.size_raw:.3g} samples")
    found = dict(zip((row.tobytes() for row in view.all_rows()), values, strict=True))
    return lambda sample: found[view.row(sample).tobytes()]


def _names(view: View) -> list[str]:
    """A text for every sample's network: its key's own, as in `Trial.key`, unless two keys share one."""
    names = [str(key) for key in view.keys(view.all_rows())]
    numbers = view.networks().tolist()
    return names if len(set(names)) == len(set(numbers)) else [str(number) for number in numbers]


def _encoded(label: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return {"tuple": [_encoded(label, part) for part in value]}
    if isinstance(value, PLAIN) and not (isinstance(value, float) and not math.isfinite(value)):
        return value
    raise NasError(
        f"choice {label!r} has the value {short(value)}, which JSON cannot hold; use numbers, texts or tuples of them"
    )


def _decoded(value: Any) -> Any:
    return tuple(map(_decoded, value["tuple"])) if isinstance(value, dict) else value
