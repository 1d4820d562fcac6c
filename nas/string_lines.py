"""Block strings in a text: one or several a line, or Python's lists of them, with comments.

>>> [(line, string) for line, string, _ in strings_in("[['ds_r1_k3_s1_c16'],   # 112 x 112", "x.txt")]
Traceback (most recent call last):
...
nas.errors.NasError: x.txt, line 1: '[' is not closed; write the list to its end, or one string a line
"""

import re

from nas.errors import NasError, short

_CLOSES = {"]": "[", ")": "("}


def strings_in(text: str, where: str) -> list[tuple[int, str, bool]]:
    """(line, string, whether it begins a stage of timm's) of every string; quotes and commas are Python's.

    In a list of lists each inner one is a stage, of which timm takes the first string's stride; elsewhere each string.

    Raises:
        NasError: for a text without any, or brackets and quotes that are not in pairs, with the line.
    """
    found: list[tuple[int, str, bool]] = []
    opened: list[tuple[int, str]] = []
    begins = True
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition("#")[0]
        if code.count("'") % 2 or code.count('"') % 2:
            raise NasError(
                f"{where}, line {number}: {short(code.strip())} has a quote that is not closed; write both"
            )
        for part in re.findall(r"[\[(]|[\])]|[^\s\[\](),'\"]+", code):
            if part in _CLOSES and (not opened or opened.pop()[1] != _CLOSES[part]):
                raise NasError(
                    f"{where}, line {number}: {part!r} closes nothing that is open; write whole "
                    "lists, or one string a line"
                )
            if part in "[(":
                opened.append((number, part))
            if part in "[(])":
                begins = True
            else:
                found.append((number, part, begins or len(opened) < 2))
                begins = False
    if opened:
        number, part = opened[-1]
        raise NasError(
            f"{where}, line {number}: {part!r} is not closed; write the list to its end, or one string a line"
        )
    if not found:
        raise NasError(f"{where}: has no block string, such as ir_r2_k3_s2_e6_c24; give one stage a line")
    return found
