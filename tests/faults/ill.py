"""A trial of recorded results that falls ill: `ill.py KIND NUMBER --table ...`, at one trial's evaluation."""

import sys
import time
from typing import Any

from nas.search import measuring, trial

kind, number = sys.argv[1], int(sys.argv[2])
look_up = measuring.LookingUp.measure


def measure(self: Any, task: Any, *args: Any) -> Any:
    if task.run is not None and task.run["number"] == number:
        if kind == "hangs":
            time.sleep(10_000)
        elif kind == "hangs in C":
            import ctypes

            ctypes.PyDLL(None).sleep(10_000)  # with Python's lock held: nothing of Python runs
        elif kind == "eats memory":
            eaten = []
            while True:
                eaten.append(bytearray(50_000_000))
                time.sleep(0.02)
        elif kind == "raises":
            raise RuntimeError("the dog ate it")
    return look_up(self, task, *args)


measuring.LookingUp.measure = measure  # type: ignore[method-assign]
sys.exit(trial.main(sys.argv[3:]))
