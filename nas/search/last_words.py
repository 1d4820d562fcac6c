"""What the process of a trial wrote to stderr last: why it could not even begin."""

import contextlib
import os
import re
from pathlib import Path

from nas.search.manager import Manager

ALL_OF_IT = "; all of it is in "


def trial_logs(job: str) -> Path:
    """NNI's folder of a job of this machine."""
    logs = Path(os.environ.get("NNI_LOG_DIRECTORY", ""))
    return logs.parent / "environments" / "local-env" / "trials" / job


def shot(job: str) -> bool:
    """Whether the shell of a compound command told that a signal had ended what it ran.

    bash exits with 128 and the signal's number, which is a failure to NNI, and says so in a line of its own.
    """
    lines = _stderr(job)
    return (
        bool(lines)
        and re.search(r"line \d+: +\d+ (Killed|Terminated|Segmentation fault|Aborted)", lines[-1]) is not None
    )


def _stderr(job: str) -> list[str]:
    try:
        return _lines((trial_logs(job) / "trial.stderr").read_text(errors="replace"))
    except OSError:
        return []


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def last_words(job: str, elsewhere: Manager | None = None) -> str:
    """What a trial wrote to stderr last; one on another machine by its manager, which fetches it, where it can."""
    written = _stderr(job)
    if not written and elsewhere is not None:
        with contextlib.suppress(OSError, ValueError):
            fetched = _lines(elsewhere.stderr(job))
            return f": {fetched[-1][:500]}" if fetched else ""
    return f": {written[-1][:500]}{ALL_OF_IT}{trial_logs(job) / 'trial.stderr'}" if written else ""
