"""What is exported, without the folders of this machine that its words name: an export may be published.

>>> without_folders("folder:/home/alice/clients/birds"), without_folders("imagenet")
('folder:birds', 'imagenet')
>>> from nas.baseline import load
>>> public(load("efficientnet-b0")) == load("efficientnet-b0")
True
"""

import re
import shlex
from dataclasses import replace
from typing import Any

from nas.baseline import Baseline


def without_folders(name: str) -> str:
    """A data set's name or a path, of whose path the last part alone is left."""
    return ":".join(re.split(r"[/\\]", part.rstrip("/\\"))[-1] for part in name.split(":", 1))


def command_without_folders(command: str) -> str | None:
    """A command whose words name no folders; None of one that no shell would read.

    >>> command_without_folders("python -m nas.search.trial --data='folder:/home/alice/my birds' --epochs 3")
    "python -m nas.search.trial '--data=folder:my birds' --epochs 3"
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    return shlex.join(_word(word) for word in words)


def _word(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    return option + equals + without_folders(value)


def public(baseline: Baseline) -> Baseline:
    """The baseline, with no folders in what it says of data and commands."""
    found: dict[str, Any] = {}
    if baseline.facts and baseline.facts.data:
        found["facts"] = baseline.facts.model_copy(update={"data": without_folders(baseline.facts.data)})
    if baseline.certificate:
        data = without_folders(baseline.certificate.data)
        found["certificate"] = baseline.certificate.model_copy(update={"data": data})
    if baseline.scaling and baseline.scaling.search and baseline.scaling.search.command:
        command = command_without_folders(baseline.scaling.search.command)
        search = baseline.scaling.search.model_copy(update={"command": command})
        found["scaling"] = baseline.scaling.model_copy(update={"search": search})
    return replace(baseline, **found)
