"""Which images of a batch are taken by which process, and when.

A batch may be taken in parts, one after the other. Of every part each process has its share, so that what passes at one
time, which batch norm sees, is the same images however many processes there are.
"""

import torch
from torch import Tensor


def share(count: int, part: tuple[int, int]) -> slice:
    """Which of `count` images are those of process `part[0]` of `part[1]`.

    >>> share(10, (1, 3))
    slice(3, 6, None)
    """
    rank, processes = part
    return slice(count * rank // processes, count * (rank + 1) // processes)


def shares(count: int, part: tuple[int, int], accumulate: int) -> list[slice]:
    """The process's share of each of the `accumulate` parts of a batch of `count` images.

    >>> shares(10, (1, 2), accumulate=2)
    [slice(2, 5, None), slice(7, 10, None)]
    """
    found = []
    for number in range(accumulate):
        whole = share(count, (number, accumulate))
        mine = share(whole.stop - whole.start, part)
        found.append(slice(whole.start + mine.start, whole.start + mine.stop))
    return found


def places(count: int, part: tuple[int, int], accumulate: int) -> Tensor:
    """All of `shares`, one after the other, as places in the batch: int64 (n,)."""
    whole = torch.arange(count)
    return torch.cat([whole[one] for one in shares(count, part, accumulate)])
