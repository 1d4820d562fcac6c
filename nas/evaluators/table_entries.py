"""One record of results, checked: what a JSON's record and a CSV's line have in common.

>>> entry({"sample": {"layer1": 3}, "accuracy": [0.9, 0.92], "macs": "1.5M"}, "r.json, record 1").macs
1500000
>>> entry({"sample": {"layer1": 3}, "accuracy": 91.5}, "r.json, record 1")
Traceback (most recent call last):
...
nas.errors.NasError: r.json, record 1: accuracy is 91.5; give a fraction from 0 to 1 (divide percent by 100)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.errors import NasError, listed, near, short
from nas.reading import count
from nas.space import SearchSpace

LONGEST = 128
"""Characters of a label or of a value that is text."""
LARGEST = 2**53
"""Larger numbers are not exact in JSON."""
FACTS = ("accuracy", "macs", "params", "seconds", "network")
"""What a record says beside its sample; in a CSV, the columns that are no choice."""
RESERVED = (*FACTS, "sample", "run", "state")
"""What no choice can be called: a record, a proposal and a journal have these beside the choices."""
A_VALUE = f"a number, true, false, or printable text of 1 to {LONGEST} characters"

Choices = dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Entry:
    """One record of a file, or one line: a sample and what was measured of it.

    Attributes:
        where: file and record or line, for messages.
        accuracies: of one run or several.
    """

    where: str
    sample: dict[str, Any]
    accuracies: tuple[float, ...]
    macs: int | None
    params: int | None
    seconds: float | None
    network: str | None


@dataclass(frozen=True)
class Sheet:
    """What a file holds; `choices` where they are its own, else `space`."""

    name: str
    source: str
    choices: Choices | None
    space: SearchSpace | None
    entries: list[Entry]


def entry(record: Any, where: str) -> Entry:
    """One record, checked as far as it goes without the choices.

    Raises:
        NasError: for the first mistake.
    """
    if not isinstance(record, dict):
        raise NasError(
            f'{where} is {short(record)}; give a mapping such as {{"sample": ..., "accuracy": ...}}'
        )
    check_keys(record, ("sample", *FACTS), where, "a record")
    for key in ("sample", "accuracy"):
        if key not in record:
            raise NasError(f"{where}: {key!r} is missing; a record has sample, {listed(FACTS)}")
    sample, accuracy, network = record["sample"], record["accuracy"], record.get("network")
    if not isinstance(sample, dict):
        raise NasError(f'{where}: sample is {short(sample)}; give a mapping such as {{"layer1": 3}}')
    for label, value in sample.items():
        if not is_value(value):
            raise NasError(f"{where}: {short(label)} is {short(value)}; give {A_VALUE}")
    runs = accuracy if isinstance(accuracy, list) else [accuracy]
    if not runs:
        raise NasError(f"{where}: accuracy is empty; give a fraction from 0 to 1, or a list of them")
    if network is not None and (not isinstance(network, str) or not network):
        raise NasError(f"{where}: network is {short(network)}; give text, the same for one network's records")
    return Entry(
        where,
        sample,
        tuple(_fraction(value, where) for value in runs),
        _whole(record, "macs", 1, where),
        _whole(record, "params", 0, where),
        _seconds(record.get("seconds"), where),
        network,
    )


def is_value(value: Any) -> bool:
    """Whether a choice can take it: a finite number, a boolean, or short printable text."""
    if isinstance(value, str):
        return 0 < len(value) <= LONGEST and value.isprintable()
    return isinstance(value, bool) or (isinstance(value, int | float) and -LARGEST < value < LARGEST)


def check_keys(data: Mapping[str, Any], keys: tuple[str, ...], where: str, what: str) -> None:
    for key in data:
        if key not in keys:
            raise NasError(f"{where}: unknown key {short(key)}{near(key, keys)}; {what} has {listed(keys)}")


def _fraction(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        percent = isinstance(value, int | float) and 1 < value <= 100
        hint = " (divide percent by 100)" if percent else ""
        raise NasError(f"{where}: accuracy is {short(value)}; give a fraction from 0 to 1{hint}")
    return float(value)


def _whole(record: Mapping[str, Any], key: str, least: int, where: str) -> int | None:
    value = record.get(key)
    if value is None:
        return None
    try:
        found = count(value)
    except (ValueError, OverflowError):
        found = -1
    if not least <= found < LARGEST:
        raise NasError(
            f"{where}: {key} is {short(value)}; give a whole number of {least} or more, such as 400M"
        )
    return found


def _seconds(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise NasError(f"{where}: seconds is {short(value)}; give a number of 0 or more")
    return float(value)


def check_label(label: str, where: str) -> None:
    if label in RESERVED:
        raise NasError(f"{where}: a choice cannot be called {label!r}; taken are {listed(RESERVED)}")
    if not label or len(label) > LONGEST or not label.isprintable() or "/" in label:
        raise NasError(
            f"{where}: a choice is called {short(label)}; give printable text of up to {LONGEST} "
            "characters, without '/'"
        )
