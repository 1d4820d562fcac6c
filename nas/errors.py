"""What a user did wrong, said in one sentence.

>>> raise NasError("search.yml: trialConcurrency is 0; give 1 or more")
Traceback (most recent call last):
...
nas.errors.NasError: search.yml: trialConcurrency is 0; give 1 or more
"""

import difflib
import itertools
from collections.abc import Iterable, Sequence


class NasError(ValueError):
    """A mistake of the user: what, where, the value found, what is allowed, how to mend it.

    The command line prints it without a traceback and exits with 2. What a terminal would not show as it is, such
    as a line's end in the name of a file, is written as an escape.
    """

    def __init__(self, sentence: object = "") -> None:
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(sentence)))


def near(name: object, known: Iterable[str]) -> str:
    """`" (did you mean 'kernel'?)"`, or nothing where no known name is near."""
    some = itertools.islice(known, 1000)  # each is compared letter by letter
    close = difflib.get_close_matches(str(name)[:80], list(some), n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def plural(number: int, word: str) -> str:
    """A number and what it counts.

    >>> plural(1, "epoch"), plural(1200, "epoch")
    ('1 epoch', '1,200 epochs')
    """
    return f"{number:,} {word}{'s' * (number != 1)}"


def short(value: object) -> str:
    """`repr(value)`, cut to 60 characters for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(values: Iterable[object]) -> str:
    """The allowed values of a message, in the order given."""
    return ", ".join(str(value) for value in values)


def some(names: Sequence[object], hint: str = "", where: str = "") -> str:
    """The names there are; of more than ten the first ones, or where `near` had a hint their number alone.

    >>> some("abc"), some(range(33), " (did you mean 7?)", "a list is in names.md")
    ('a, b, c', '33 (a list is in names.md)')
    >>> some(range(13))
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more'
    """
    if len(names) <= 10:
        return listed(names) or "none"
    few = str(len(names)) if hint else f"{listed(names[:10])} and {len(names) - 10} more"
    return few + (f" ({where})" if where else "")
