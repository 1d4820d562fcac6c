"""What searches of ImageNet take on 1, 8 and 64 GPUs: arithmetic from the assumptions below, nothing was measured here.

    .venv/bin/python benchmarks/imagenet_cost.py        the table of docs/scale.md

- A GPU trains EfficientNet-B0 at RATE images a second: an RTX 3090, PyTorch 1.12, AMP, channels last, 224 px, batches
  of 512, of timm's results/benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv. Images are there as fast as that.
- A network's time is in proportion to its multiply-adds, and candidates have those of B0 on the average; a forward pass
  is a third of a training step; at the ratio r of the resolution a step takes r^2 of the time.
- Trials are one to a GPU, so n GPUs take an n-th of the time; so does a supernet on n GPUs, which is the boldest
  assumption of all.
- ImageNet has IMAGES for training; b0nas holds a tenth of them out and scores on those, MnasNet held out 50,000.
"""

from dataclasses import dataclass

import numpy as np

import nas
from nas.space import Sample
from nas.supernet.folder import SandwichRecipe
from nas.supernet.sampling import sampler, stretched

RATE = 1751.72
"""Images a second, of model efficientnet_b0 in the file above."""
IMAGES = 1_281_167
HELD_OUT = IMAGES // 10
GPUS = (1, 8, 64)
STEPS = 4096
"""Steps of a supernet whose networks are drawn to tell the mean step."""
HOUR, DAY = 3600.0, 86400.0


@dataclass(frozen=True)
class Fidelity:
    """How candidates are evaluated.

    Attributes:
        candidates: networks that are evaluated.
        epochs: of each one's training, of `fraction` of the training images, at `ratio` of the resolution.
        recalibrated: training images by which batch norm is estimated before it is scored.
        first: seconds of a GPU before the first candidate.
    """

    name: str
    candidates: int
    epochs: float
    fraction: float = 1.0
    ratio: float = 1.0
    recalibrated: int = 0
    held_out: int = HELD_OUT
    first: float = 0.0

    @property
    def seconds(self) -> float:
        """Of one candidate on one GPU.

        >>> round(Fidelity("", 1, 5, held_out=50_000).seconds)
        3524
        """
        trained = self.epochs * self.fraction * (IMAGES - self.held_out)
        return self.ratio**2 * (trained + (self.held_out + self.recalibrated) / 3) / RATE

    def total(self, gpus: int) -> float:
        """Seconds of the whole search."""
        return (self.first + self.candidates * self.seconds) / gpus


def step_macs(space: nas.SearchSpace, steps: int = STEPS) -> float:
    """Multiply-adds of the networks of one step for one image, as `nas supernet` has them by default: the mean."""
    chosen, rng = SandwichRecipe(), np.random.default_rng(0)
    drawn = sampler(chosen.sampler, space)
    samples: list[Sample] = []
    for _ in range(steps):
        large, small, *others = drawn.draw(rng, chosen.between + 2)
        samples += [stretched(space, large, 1), stretched(space, small, -1), *others]
    _, macs = space.costs(space.costs.indices(samples))
    return float(macs.sum() / steps)


def supernet(epochs: int) -> float:
    """Seconds of a GPU for so many epochs of a supernet of `efficientnet`."""
    b0 = nas.load("efficientnet-b0").architecture.macs
    step = step_macs(nas.SearchSpace.load("efficientnet")) / b0
    return epochs * (IMAGES - HELD_OUT) * step / RATE


def fidelities() -> list[Fidelity]:
    return [
        Fidelity("MnasNet's protocol: 8,000 networks of 5 epochs", 8000, 5, held_out=50_000),
        Fidelity("one epoch, 150 networks (`search.imagenet-1gpu.yml`)", 150, 1),
        Fidelity(
            "short proxy, 1,000 networks: an epoch of a fifth of the images at 128 px",
            1000,
            1,
            0.2,
            128 / 224,
        ),
        Fidelity(
            "supernet of 100 epochs, then 1,000 networks scored",
            1000,
            0,
            recalibrated=2048,
            first=supernet(100),
        ),
    ]


def duration(seconds: float) -> str:
    """Days from two on, hours below.

    >>> duration(86400 * 2.5), duration(5400)
    ('2.5 days', '1.5 hours')
    """
    return f"{seconds / DAY:,.1f} days" if seconds >= 2 * DAY else f"{seconds / HOUR:.1f} hours"


def report() -> str:
    """The table."""
    lines = [
        "| networks are evaluated by | one network, one GPU | "
        + " | ".join(f"{n} GPU{'s' * (n > 1)}" for n in GPUS)
        + " |",
        "| --- | ---: |" + " ---: |" * len(GPUS),
    ]
    for one in fidelities():
        times = " | ".join(duration(one.total(gpus)) for gpus in GPUS)
        lines.append(f"| {one.name} | {one.seconds / 60:.1f} minutes | {times} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(report())
