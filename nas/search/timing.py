"""How long a trial of a network takes here, without training it: the start of its process, some steps, some images.

    python -m nas.search.timing '{"data": "digits", "space": "digits", "sample": {...}, "seconds": 5}'

>>> Timed(start=4.0, step=0.1, steps=50, image=0.001, images=500).trial(epochs=2)
15.0
"""

import contextlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from nas.errors import NasError

LEAST = 3
"""Steps that are timed at least; the first, in which memory is taken, is none of them."""


@dataclass(frozen=True)
class Timed:
    """What was measured of one network.

    Attributes:
        start: seconds from the start of the process to the first step.
        step: median seconds of a training step, of `steps` an epoch.
        image: seconds of an image that is scored, of `images` an epoch.
    """

    start: float
    step: float
    steps: int
    image: float
    images: int

    def trial(self, epochs: int) -> float:
        """Seconds of a trial of so many epochs."""
        return self.start + epochs * (self.steps * self.step + self.images * self.image)


class _Enough(Exception):
    """Every step that there is time for was timed."""


def timed(
    data: str, space: str, sample: dict[str, Any], seconds: float, data_dir: str | None = None, device: str = "auto",
    threads: int = 1, workers: int | None = None, began: float | None = None,
) -> Timed:  # fmt: skip
    """Times a network of a space as a trial would train it, for about so many seconds.

    Args:
        began: when the process began, in seconds since 1970.

    Raises:
        NasError: for data or a sample that is none.
        nas.training.TrialFailure: where memory does not suffice.
    """
    import nni  # noqa: F401  # as a trial does
    import torch

    from nas.data import load_data
    from nas.devices import device_of
    from nas.network import build
    from nas.recipe import TrainingConfig
    from nas.space import SearchSpace
    from nas.state import State
    from nas.training import Watch, train

    class Clock(Watch):
        """Notes when steps end, and interrupts the training."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def begin(self, state: State) -> None:
            self.start = time.time()
            self.times.append(time.perf_counter())

        def step(self, state: State, steps: int, lr: float) -> None:
            if chosen.startswith("cuda"):
                torch.cuda.synchronize()
            self.steps = steps
            self.times.append(time.perf_counter())
            if len(self.times) > LEAST + 1 and self.times[-1] - self.times[0] > seconds:
                raise _Enough

        def epoch(self, state: State) -> None:
            pass

        def end(self, state: State) -> None:
            pass

    began = time.time() if began is None else began
    torch.set_num_threads(threads)
    chosen = device_of(device, "")
    found = SearchSpace.load(space)
    arch = found.decode(sample)
    loaded = load_data(data, data_dir, arch.resolution, workers=workers)
    net = build(arch.with_data(loaded.classes, loaded.in_chans))
    clock = Clock()
    with contextlib.suppress(_Enough):
        train(net, loaded, TrainingConfig(epochs=LEAST + 1), chosen, watch=clock)
    gaps = sorted(after - before for before, after in zip(clock.times[1:], clock.times[2:], strict=False))
    net.eval()
    seen, begin = 0, time.perf_counter()
    with torch.inference_mode():
        for x, _ in loaded.batches("val", 64, train=False, device=chosen, channels_last=True):
            net(x)
            seen += len(x)
            if time.perf_counter() - begin > seconds / 4:
                break
    image = (time.perf_counter() - begin) / seen
    return Timed(clock.start - began, gaps[len(gaps) // 2], clock.steps, image, len(loaded.val))


def main(argv: list[str]) -> int:
    """Prints the figures as JSON; exit code 2 with a sentence for a mistake, 1 for a failure."""
    from nas.training import TrialFailure

    try:
        print(json.dumps(asdict(timed(**json.loads(argv[0])))))
    except NasError as error:
        print(error, file=sys.stderr)
        return 2
    except TrialFailure as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
