"""A proposal as NNI carries it: a sample, and an entry that is not a choice.

>>> number_of({"stage1.kernel": 3, "run": {"number": 7}})
7
"""

from typing import Any

RUN = "run"
"""The entry that is not a choice: what a trial needs on any machine."""


def number_of(parameters: Any) -> int | None:
    """The trial's number in the `run` entry of a proposal; None in a sample of the user's."""
    run = parameters.get(RUN) if isinstance(parameters, dict) else None
    number = run.get("number") if isinstance(run, dict) else None
    return number if type(number) is int else None
