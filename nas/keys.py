"""How two canonical keys differ, in words: resolution, channels of the images and classes are the data's.

>>> difference("8px1 swish 16/1 /1x1:1x8~none 32 10", "8px3 relu 16/1 /1x1:1x8~none 40 10")
'the activation is swish there and relu here'
>>> difference("8px1 relu 16/1 /1x1:1x8~none 32 10", "16px3 relu 16/1 /1x1:1x8~none 32 2") is None
True
"""

from itertools import zip_longest


def difference(there: str, here: str) -> str | None:
    """The first part in which two keys are of different architectures; None where in none."""
    for name, a, b in _pairs(_parts(there), _parts(here)):
        if a != b:
            return f"{name} is {a} there and {b} here"
    return None


def _parts(key: str) -> list[str]:
    """Activation, stem, stages and head of a key (`Architecture.key`)."""
    return key.split(" ")[1:-1]


def _pairs(there: list[str], here: list[str]) -> list[tuple[str, str, str]]:
    *first, head = there
    *other, its = here
    pairs = [*zip_longest(first, other, fillvalue="none")]
    names = ["the activation", "the stem", *(f"stage {n}" for n in range(1, len(pairs) - 1))]
    return [*((name, *pair) for name, pair in zip(names, pairs, strict=True)), ("the head", head, its)]
