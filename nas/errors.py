"""What a user did wrong, said in one sentence.

>>> raise NasError("search.yml: trialConcurrency is 0; give 1 or more")
Traceback (most recent call last):
...
nas.errors.NasError: search.yml: trialConcurrency is 0; give 1 or more
"""

import difflib
from collections.abc import Iterable


class NasError(ValueError):
    """A mistake of the user: what, where, the value found, what is allowed, how to mend it.

    The command line prints it without a traceback and exits with 2.
    """


def near(name: object, known: Iterable[str]) -> str:
    """`" (did you mean 'kernel'?)"`, or nothing where no known name is near."""
    close = difflib.get_close_matches(str(name)[:80], list(known), n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def short(value: object) -> str:
    """`repr(value)`, cut to 60 characters for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(values: Iterable[object]) -> str:
    """The allowed values of a message, in the order given."""
    return ", ".join(str(value) for value in values)
