"""Which of the processes that torchrun started tells a mistake that all of them find; no torch.

>>> leave_to_first()      # returns, as there is no other
"""

import os
import time
from typing import NoReturn

PATIENCE = 10.0
"""Seconds in which the first process comes to tell it: torchrun ends all others as soon as one has ended."""


def leave_to_first() -> None:
    """Returns in the first process of this machine; SystemExit, with exit code 2, in the others."""
    if int(os.environ.get("LOCAL_RANK", "0")):
        silently(PATIENCE)


def silently(after: float) -> NoReturn:
    """Ends this process with exit code 2, in `after` seconds, as another tells why."""
    time.sleep(after)
    raise SystemExit(2)
