"""Masks of dropout and stochastic depth, drawn for a whole batch, of which a forward pass may see a part.

So a batch that is divided among processes, or taken part by part, is masked as it is in one piece.

>>> import torch
>>> x = torch.ones(6, 1)
>>> def drawn(images, *part):
...     with torch.random.fork_rng(), seeing(*part):
...         torch.manual_seed(0)
...         return mask(images, (len(images), 1), 0.5)
>>> torch.equal(torch.cat([drawn(x[:2], 0, 6), drawn(x[2:], 2, 6)]), drawn(x, 0, 6))
True
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from torch import Tensor, nn

_seen: ContextVar[tuple[int, int] | None] = ContextVar("seen", default=None)


@contextlib.contextmanager
def seeing(start: int, total: int) -> Iterator[None]:
    """Inside, images that pass are those from `start` on, of a batch of `total`."""
    token = _seen.set((start, total))
    try:
        yield
    finally:
        _seen.reset(token)


def mask(x: Tensor, shape: tuple[int, ...], keep: float) -> Tensor:
    """0, or 1 / keep with probability `keep`, of `x`'s kind and of a shape whose first axis is that of its images."""
    start, total = _seen.get() or (0, len(x))
    drawn = x.new_empty(total, *shape[1:]).bernoulli_(keep)
    return drawn[start : start + len(x)].div_(keep)


class Dropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014) by `mask`."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        return input * mask(input, input.shape, 1 - self.p)
