"""One trial: decode, count the cost, build, train on the proxy task (or look up), report the reward.

search.yml's trialCommand runs it under NNI:

    .venv/bin/python -m nas.search.trial --data digits --epochs 8

By hand, without NNI, it evaluates one sample of a space, or a random one, and prints the metrics:

    .venv/bin/python -m nas.search.trial --data digits --epochs 8 --space digits --seed 1

With --table it trains nothing: it looks its network up in recorded results, and loads no torch.

A held-out part of the training set scores the network; the test set is never looked at. A trial
that diverges or runs out of memory is recorded as failed with its reason, and so is any error.

Under NNI the process hands its work to one that has torch and the rest loaded (`nas.search.warm`), where there is
one, and imports next to nothing itself; with --cold it does its own.
"""

import os
import sys


def end_with_parent(parent: int) -> None:
    """Has this process end with the one above it, `parent`; now, where that has ended already."""
    import ctypes
    import signal

    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def end_with_keeper() -> None:
    """On another machine: has this process end with what NNI keeps its trials by there, the process above it, which
    leaves them behind where it loses the search. Nobody would take their results."""
    if os.environ.get("NNI_PLATFORM") == "remote" and sys.platform == "linux":
        end_with_parent(os.getppid())


def main(argv: list[str] | None = None) -> int:
    """Runs the trial in this process; exit code 0 with a result, 1 for a failed trial, 2 for a user's mistake."""
    from nas.search.evaluating import main

    return main(argv)


if __name__ == "__main__":
    from nas.search.warm import hand_over

    end_with_keeper()
    code = hand_over(sys.argv[1:])
    sys.exit(main() if code is None else code)
