"""The members of a family that lie beside a baseline, and what is known of each.

>>> kind_of(1.0, 2.0, 1.0), kind_of(1.0, 1.1, 240 / 224), kind_of(1, 1, 1)
('depth', 'compound', 'compound')
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nas import catalog
from nas.architecture import Architecture
from nas.baseline import Baseline, load
from nas.errors import NasError
from nas.fitting import channels_of
from nas.scaling import OFFICIAL, is_b0, resize
from nas.strict_yaml import read_text
from nas.weights import Facts, read_weights

BASE = "base"
KINDS = ("compound", "width", "depth", "resolution")
TRAINED = Path("trained")
"""Where `nas train` writes: TRAINED/NAME/NAME.safetensors."""


@dataclass(frozen=True)
class Score:
    """An accuracy: a fraction in [0, 1] of the images of a split, and what trained for it."""

    accuracy: float
    split: str
    data: str
    recipe: str

    @property
    def of(self) -> str:
        """What it is comparable with: the same split of the same data."""
        return f"{self.split} of {self.data}" if self.data else self.split


@dataclass(frozen=True)
class Member:
    """A network of a family.

    Attributes:
        kind: 'base', or one of `KINDS`.
        width, depth, resolution: ratios to the base, the first two as its document says them.
        scores: what is known, the document's before its weights'.
        weights: the file of `nas train`, None where there is none.
    """

    baseline: Baseline
    kind: str
    width: float
    depth: float
    resolution: float
    scores: tuple[Score, ...] = ()
    weights: Path | None = None

    @property
    def name(self) -> str:
        return self.baseline.name

    @property
    def arch(self) -> Architecture:
        return self.baseline.architecture

    def score(self, of: str | None) -> Score | None:
        """The score of a split and data, else the first one."""
        same = [score for score in self.scores if score.of == of]
        return next(iter(same or self.scores), None)


def kind_of(width: float, depth: float, resolution: float) -> str:
    """What scaling by these ratios is: of one dimension alone, else compound."""
    ratios = {"width": width, "depth": depth, "resolution": resolution}
    changed = [name for name, ratio in ratios.items() if ratio != 1]
    return changed[0] if len(changed) == 1 else "compound"


def family_of(target: str, weights: Path | None = None) -> tuple[list[Member], list[str]]:
    """(The base of a name or path and its members, by multiply-adds; sentences about what was passed over.)

    Members are the documents in the base's folder, in ./baselines and in the current folder that `nas scale
    --save` wrote of this base, and EfficientNet-B0's published B1 to B7.

    Args:
        weights: of the base, instead of those in `TRAINED`.

    Raises:
        NasError: for an unknown baseline, a member's document that cannot be read, or weights of another network.
    """
    path = catalog.find("baselines", target)
    base = load(path)
    members, notes = [_member(base, BASE, 1, 1, base.architecture, weights)], []
    official = _official(base.architecture)
    seen = {base.name}
    for found in _documents(path):
        text = read_text(found)
        if "scaled_from:" not in text and not (official and "\nname: efficientnet-b" in f"\n{text}"):
            continue
        other = load(found)
        made, arch = other.provenance, other.architecture
        if other.name in seen:
            continue
        if made is not None and made.scaled_from == base.name:
            if _shape(arch) != _shape(base.architecture):
                notes.append(f"{found} was scaled from another network called {base.name}, and is left out.")
                continue
            ratios = float(made.width or 1), float(made.depth or 1)
        elif made is None and arch.key in official:
            ratios = official[arch.key]
        else:
            continue
        seen.add(other.name)
        kind = kind_of(*ratios, arch.resolution / base.architecture.resolution)
        if made is not None and made.phi is not None:  # by coefficients, of which some may be 1
            kind = KINDS[0]
        members.append(_member(other, kind, *ratios, base.architecture))
    return sorted(members, key=lambda m: (m.kind != BASE, m.arch.macs, m.name)), notes


def _member(
    baseline: Baseline, kind: str, width: float, depth: float, base: Architecture, weights: Path | None = None
) -> Member:
    path = weights or TRAINED / baseline.name / f"{baseline.name}.safetensors"
    facts = weights_facts(baseline, path) if weights or path.exists() else None
    scores, written = [], baseline.facts
    if written is not None and written.accuracy is not None:
        scores.append(Score(written.accuracy, "test", written.data or "", written.recipe or ""))
    if facts is not None and facts.accuracy is not None:
        scores.append(Score(facts.accuracy, facts.scored or "unknown split", facts.data, facts.recipe))
    resolution = baseline.architecture.resolution / base.resolution
    return Member(baseline, kind, width, depth, resolution, tuple(scores), path if facts else None)


def weights_facts(baseline: Baseline, path: Path) -> Facts:
    """What a file of weights says, once it is known to be of this baseline's network.

    Raises:
        NasError: for a file that cannot be read, or weights of another architecture or resolution.
    """
    tensors, facts = read_weights(path)
    classifier, channels = tensors.get("classifier.weight"), channels_of(tensors)
    arch = baseline.architecture
    if classifier is not None and channels is not None:
        arch = arch.with_data(len(classifier), channels)
    if facts.key not in ("", arch.key):
        raise NasError(
            f"{path}: is of another architecture than the baseline {baseline.name}; give weights that were trained for "
            "it, or train it again"
        )
    return facts


def common(members: Sequence[Member]) -> str | None:
    """The split and data that most members have an accuracy of, of equals the base's; None where none has."""
    counts = Counter(of for member in members for of in dict.fromkeys(score.of for score in member.scores))
    return max(counts, key=lambda of: counts[of], default=None)


def _documents(path: Path) -> Iterator[Path]:
    seen = set()
    for folder in (path.parent, Path("baselines"), Path()):
        if folder.resolve() not in seen:
            seen.add(folder.resolve())
            yield from sorted(folder.glob("*.yml"))


def _official(arch: Architecture) -> dict[str, tuple[float, float]]:
    """Key -> (width, depth) of the published networks, where `arch` is B0."""
    if not is_b0(arch):
        return {}
    return {
        resize(arch, width, depth, pixels).key: (width, depth)
        for phi, (width, depth, pixels, _) in OFFICIAL.items()
        if phi
    }


def _shape(arch: Architecture) -> tuple[object, ...]:
    """What scaling leaves as it is."""
    stages = [replace(stage, channels=0, layers=0) for stage in arch.stages]
    stem = replace(arch.stem, channels=0, in_chans=0, first=arch.stem.first and 1)
    head = arch.head.channels is None, arch.head.hidden is None, arch.head.conv
    return arch.activation, stem, head, *stages
