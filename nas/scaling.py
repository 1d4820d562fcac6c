"""Compound scaling: depth alpha^phi, width beta^phi, resolution gamma^phi.

EfficientNet (arXiv:1905.11946) section 3.3, equation 3, with alpha * beta^2 * gamma^2 ~ 2. The
published B1 ... B7 are *not* the formula's (the paper's small grid of rounded coefficients is):
`official=True` gives them. Channels round to eights, repeats by ceil; so the realised cost is not
exactly 2^phi, and `Scaled` holds both.

>>> from nas.baseline import load
>>> b0 = load("efficientnet-b0").architecture
>>> scale(b0, phi=3, official=True).macs
1827141392
>>> scale(b0, phi=1).macs / b0.macs > 2.5   # the promise is 2
True
"""

import math
from dataclasses import dataclass, replace

from nas import catalog
from nas.architecture import Architecture
from nas.baseline import Baseline, load
from nas.errors import NasError
from nas.specs import make_divisible

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15
"""Depth, width and resolution coefficients of EfficientNet section 3.3 (product 1.92)."""

OFFICIAL: dict[int, tuple[float, float, int, float]] = {
    # phi: width, depth, resolution, dropout
    0: (1.0, 1.0, 224, 0.2),
    1: (1.0, 1.1, 240, 0.2),
    2: (1.1, 1.2, 260, 0.3),
    3: (1.2, 1.4, 300, 0.3),
    4: (1.4, 1.8, 380, 0.4),
    5: (1.6, 2.2, 456, 0.4),
    6: (1.8, 2.6, 528, 0.5),
    7: (2.0, 3.1, 600, 0.5),
}
"""The released EfficientNet code's table; the paper prints only its results (Table 2)."""


@dataclass(frozen=True)
class Scaled:
    """One member of a family: the multipliers asked for, and the network they realise.

    Attributes:
        phi: compound coefficient; None where one dimension was scaled.
        width, depth: ratios to the baseline: asked for, or of a planned network (`nas.planning`) realised.
        dropout: before the classifier.
        target_macs, target_params: what it was to cost; None where that was not asked.
        deviation: of a planned network, see `nas.planning.Plan`.
        formula: what the formula makes of a planned network's phi; None where it leaves no network.
    """

    name: str
    phi: float | None
    width: float
    depth: float
    dropout: float
    architecture: Architecture
    target_macs: float | None
    target_params: float | None = None
    deviation: dict[str, float] | None = None
    formula: Architecture | None = None

    def as_json(self) -> dict[str, object]:
        planned = {} if self.deviation is None else {
            "target_params": None if self.target_params is None else round(self.target_params),
            "deviation": self.deviation,
            "formula_macs": None if self.formula is None else self.formula.macs,
            "formula_params": None if self.formula is None else self.formula.params,
        }  # fmt: skip
        return {
            "phi": self.phi,
            "name": self.name,
            "width": self.width,
            "depth": self.depth,
            "resolution": self.architecture.resolution,
            "dropout": self.dropout,
            "params": self.architecture.params,
            "macs": self.architecture.macs,
            "target_macs": None if self.target_macs is None else round(self.target_macs),
            **planned,
        }


def dropout(phi: float, own: float = 0.2) -> float:
    """min(0.5, own + 0.3 * phi / 7) of a baseline that has `own`: ours, through B0's 0.2 and B7's 0.5.

    At least 0, and at a phi over 0 at least `own`; a baseline without dropout stays without.

    >>> dropout(0), dropout(7), dropout(7, own=0), dropout(1, own=0.6)
    (0.2, 0.5, 0.0, 0.6)
    """
    return max(0.0, min(max(0.5, own), own + 0.3 * phi / 7)) if own else 0.0


def resize(arch: Architecture, width: float, depth: float, resolution: int) -> Architecture:
    """`arch` at another width and depth (ratios) and resolution (pixels).

    Channels of stem, stages and head are rounded to eights (`make_divisible`), layers up. A head that does not
    narrow (`Head.narrows`) keeps its channels where the width is under 1.

    Raises:
        NasError: where no network is left, with the reason.
    """
    for name, value in (("width", width), ("depth", depth)):
        if not 0 < value <= 1000:
            raise NasError(f"{name} is {value:g}; give a ratio over 0, up to 1000")
    if not 1 <= resolution <= 16384:
        raise NasError(f"no network is left at resolution {resolution:g}; give 1 to 16384 pixels")

    def channels(base: int) -> int:
        return base if width == 1 else make_divisible(base * width)

    scales = width > 1 or arch.head.narrows
    layers = [math.ceil(round(stage.layers * depth, 9)) for stage in arch.stages]
    try:
        return replace(
            arch,
            stem=replace(
                arch.stem,
                channels=channels(arch.stem.channels),
                first=arch.stem.first and channels(arch.stem.first),
            ),
            stages=tuple(
                replace(stage, channels=channels(stage.channels), layers=n)
                for stage, n in zip(arch.stages, layers, strict=True)
            ),
            head=replace(
                arch.head,
                channels=arch.head.channels
                and (channels(arch.head.channels) if scales else arch.head.channels),
                hidden=arch.head.hidden and channels(arch.head.hidden),
            ),
            resolution=resolution,
        )
    except NasError as error:
        raise NasError(
            f"no network is left at width {width:g}, depth {depth:g}, resolution {resolution}: {error}"
        ) from None


def is_b0(arch: Architecture) -> bool:
    """Whether the published B1 ... B7 are this architecture's family.

    Twice as deep too, it must be B0: a skip that no layer of B0 takes yet is one that B1's do.
    """
    b0 = load(catalog.shipped("baselines") / "efficientnet-b0.yml").architecture
    same = arch.with_data(1000, 3)
    return same.key == b0.key and resize(same, 1, 2, 224).key == resize(b0, 1, 2, 224).key


def multipliers(
    arch: Architecture, phi: float, alpha: float, beta: float, gamma: float
) -> tuple[float, float, int]:
    """(width, depth, resolution in pixels) of the formula at `phi`."""
    for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        if not 0.001 <= value <= 1000:
            raise NasError(f"{name} is {value:g}; give a ratio from 0.001 to 1000, such as 1.2")
    if not -100 <= phi <= 100:
        raise NasError(f"phi is {phi:g}; give a number from -100 to 100, such as 0, 1 or 2.5")
    return beta**phi, alpha**phi, round(arch.resolution * gamma**phi)


def scale(
    arch: Architecture,
    phi: float,
    official: bool = False,
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
) -> Architecture:
    """`arch` at compound coefficient `phi`, by the formula, or by B0's published table.

    Raises:
        NasError: where `official` is asked of another network than B0, or of a phi outside the
            table, or no network is left.
    """
    if official:
        width, depth, resolution, _ = official_row(arch, phi)
    else:
        width, depth, resolution = multipliers(arch, phi, alpha, beta, gamma)
    return resize(arch, width, depth, resolution)


def official_row(arch: Architecture, phi: float) -> tuple[float, float, int, float]:
    """(width, depth, resolution, dropout) of the published table."""
    if not is_b0(arch):
        raise NasError("the official table is EfficientNet-B0's own; leave --official out to use the formula")
    if phi not in OFFICIAL:
        raise NasError(f"phi is {phi:g}; the official table has 0, 1, 2, 3, 4, 5, 6 and 7")
    return OFFICIAL[int(phi)]


def coefficients(
    baseline: Baseline, alpha: float | None = None, beta: float | None = None, gamma: float | None = None
) -> tuple[float, float, float]:
    """alpha, beta and gamma: those given, else the document's, else EfficientNet's."""
    own = baseline.scaling
    return (
        alpha if alpha is not None else own.alpha if own else ALPHA,
        beta if beta is not None else own.beta if own else BETA,
        gamma if gamma is not None else own.gamma if own else GAMMA,
    )


def family(
    baseline: Baseline,
    phis: list[float],
    official: bool = False,
    alpha: float | None = None,
    beta: float | None = None,
    gamma: float | None = None,
) -> list[Scaled]:
    """The members of a baseline's family at `phis`, in that order.

    Coefficients not given are the document's, else EfficientNet's. The target is 2^phi times the
    baseline's multiply-adds.
    """
    arch, (a, b, g) = baseline.architecture, coefficients(baseline, alpha, beta, gamma)
    members = []
    for phi in phis:
        if official:
            width, depth, resolution, drop = official_row(arch, phi)
            name = f"efficientnet-b{phi:g}"
        else:
            width, depth, resolution = multipliers(arch, phi, a, b, g)
            drop, name = dropout(phi, baseline.dropout), f"{baseline.name}-phi{phi:g}"
        try:
            scaled = resize(arch, width, depth, resolution)
        except NasError as error:
            nearer = "larger" if phi < 0 else "smaller"
            raise NasError(f"{baseline.name} at phi {phi:g}: {error}, with a {nearer} phi") from None
        members.append(Scaled(name, phi, width, depth, drop, scaled, arch.macs * 2.0**phi))
    return members


def single(
    baseline: Baseline, width: float = 1.0, depth: float = 1.0, resolution: int | None = None
) -> Scaled:
    """The baseline scaled by chosen dimensions, as in EfficientNet's Tables 3 and 7.

    The target is what real numbers would cost: depth * width^2 * resolution^2 (section 3.2).
    """
    arch = baseline.architecture
    pixels = arch.resolution if resolution is None else resolution
    scaled = resize(arch, width, depth, pixels)
    words = [f"w{width:g}"] * (width != 1) + [f"d{depth:g}"] * (depth != 1)
    words += [f"r{pixels}"] * (pixels != arch.resolution)
    target = arch.macs * depth * width**2 * (pixels / arch.resolution) ** 2
    name = "-".join([baseline.name, *words])
    return Scaled(name, None, width, depth, baseline.dropout, scaled, target)
