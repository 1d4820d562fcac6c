"""What is left of a space within its limits, where few samples are: the cheapest, and a walk from it.

>>> view = View({"a": (1, 2, 3), "b": (1, 2, 3)}, cost=lambda s: s["a"] * s["b"], most=2)
>>> [row.tolist() for row in walk(view)]
[[0, 0], [0, 1], [1, 0]]
"""

from collections import deque
from collections.abc import Iterator

import numpy as np

from nas.search.view import View


def cheapest(view: View) -> np.ndarray:
    """A row of few multiply-adds, by descent: all choices at once, each to what is cheapest beside it."""
    row = np.zeros(len(view.sizes), np.intp)
    for _ in range(4):
        near = np.concatenate([row[None], view.neighbours(row)])
        costs = view.sizes_of(near).sum(1)
        best = row.copy()
        for choice in range(len(row)):
            own = np.flatnonzero((near != row).argmax(1) == choice)
            own = own[own > 0]
            if len(own) and costs[own].min() < costs[0]:
                best[choice] = near[own[costs[own].argmin()], choice]
        if (best == row).all():
            break
        row = best
    return row


def walk(view: View) -> Iterator[np.ndarray]:
    """Admitted rows one after the other: every one of an enumerable space, else all that are reached from
    the cheapest one choice at a time without leaving the limits."""
    if view.enumerable:
        rows = view.all_rows()
        yield from rows[view.admitted(rows)]
        return
    waiting = deque([cheapest(view)])
    seen = {waiting[0].tobytes()}
    if not view.admitted(waiting[0][None])[0]:
        return
    while waiting:
        row = waiting.popleft()
        yield row
        near = view.neighbours(row)
        for other in near[view.admitted(near)]:
            if (name := other.tobytes()) not in seen:
                seen.add(name)
                waiting.append(other)
