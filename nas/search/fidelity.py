"""How long and how faithfully a proxy task trains.

>>> Fidelity.parse("epochs=2, width=0.5", Fidelity(8)).label
'2 epochs, width x 0.5'
"""

from dataclasses import dataclass, replace
from typing import Any

from nas.architecture import Architecture
from nas.errors import NasError, near
from nas.scaling import resize

RATIOS = ("fraction", "resolution", "width")


@dataclass(frozen=True)
class Fidelity:
    """How long and how faithfully a proxy trains.

    Attributes:
        epochs: passes over the training images.
        fraction: of the training images of each class.
        resolution, width: of the network, as ratios.
    """

    epochs: int
    fraction: float = 1.0
    resolution: float = 1.0
    width: float = 1.0

    @classmethod
    def parse(cls, text: str, base: "Fidelity") -> "Fidelity":
        """The fidelity of `epochs=2, fraction=0.5`; what is not named is that of `base`.

        Raises:
            NasError: for another name or an impossible value.
        """
        changes: dict[str, Any] = {}
        for part in text.split(","):
            name, _, value = (word.strip() for word in part.partition("="))
            if name not in ("epochs", *RATIOS):
                known = ("epochs", *RATIOS)
                raise NasError(
                    f"fidelity {text.strip()!r}: unknown {name!r}{near(name, known)}; give {', '.join(known)}"
                )
            whole = name == "epochs"
            try:
                changes[name] = int(value) if whole else float(value)
                good = changes[name] >= 1 if whole else 0 < changes[name] <= 1
            except ValueError:
                good = False
            if not good:
                wanted = "a whole number from 1" if whole else "a ratio over 0, up to 1"
                raise NasError(f"fidelity {text.strip()!r}: {name} is {value!r}; give {wanted}")
        return replace(base, **changes)

    @property
    def label(self) -> str:
        """In words; what is whole is not named."""
        words = [f"{self.epochs} epoch{'s' * (self.epochs > 1)}"]
        for name, word in zip(RATIOS, ("images", "pixels", "width"), strict=True):
            if getattr(self, name) != 1:
                words.append(f"{word} x {getattr(self, name):g}")
        return ", ".join(words)

    def of(self, arch: Architecture) -> Architecture:
        """The network that is trained in place of `arch`: narrower, or on fewer pixels (in fours)."""
        if self.resolution == self.width == 1:
            return arch
        pixels = arch.resolution
        if self.resolution != 1:
            pixels = max(4, round(arch.resolution * self.resolution / 4) * 4)
        return resize(arch, self.width, 1, pixels)
