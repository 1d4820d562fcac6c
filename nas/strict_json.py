"""JSON read safely: bounded in depth and digits, with every mistake in one sentence.

>>> load_json('{"a": [1, 2.5]}', "x.json")
{'a': [1, 2.5]}
>>> load_json("[" * 100_000, "x.json")
Traceback (most recent call last):
...
nas.errors.NasError: x.json: nested deeper than 64 levels; write it anew
"""

import json
import math
from typing import Any, NoReturn

from nas.errors import NasError, short

MAX_DEPTH = 64
MAX_DIGITS = 40


def load_json(text: str, where: str, mend: str = "write it anew") -> Any:
    """The plain data that `text` holds; NaN, infinity and endless numbers are refused.

    Raises:
        NasError: naming `where` and what is wrong.
    """
    try:
        data = json.loads(text, parse_constant=_refuse, parse_int=_whole, parse_float=_finite)
        if _depth(data) > MAX_DEPTH:
            raise RecursionError
    except json.JSONDecodeError as error:
        raise NasError(f"{where}, line {error.lineno}: not JSON ({error.msg}); {mend}") from None
    except ValueError as error:
        raise NasError(
            f"{where}: {short(str(error))} is no finite number of up to {MAX_DIGITS} digits; {mend}"
        ) from None
    except RecursionError:
        raise NasError(f"{where}: nested deeper than {MAX_DEPTH} levels; {mend}") from None
    return data


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)


def _whole(text: str) -> int:
    return int(text) if len(text) <= MAX_DIGITS else _refuse(text)


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _depth(data: Any) -> int:
    """Levels of lists and mappings, counted without recursion, up to one over `MAX_DEPTH`."""
    depth, level = 0, [data]
    while level and depth <= MAX_DEPTH:
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        depth += any(isinstance(value, dict | list) for value in level)
        level = inner
    return depth


def dump_lines(data: dict[str, Any]) -> str:
    """JSON of a mapping, a key a line.

    >>> print(dump_lines({"a": [1, 2], "b": {"c": 3}}), end="")
    {
     "a": [1, 2],
     "b": {"c": 3}
    }
    """
    lines = [f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in data.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"
