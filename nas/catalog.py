"""Where documents live: the working directory's own first, then those shipped with b0nas.

>>> find("search_spaces", "digits").name
'digits.yml'
"""

from pathlib import Path

from nas.errors import NasError, near, short, some
from nas.files import is_file

KINDS = {"search_spaces": "search space", "baselines": "baseline"}
LISTS = {kind: f"{kind}/README.md lists those of b0nas" for kind in KINDS}
"""Where to look for all names, for messages."""
PUBLISHED = frozenset((
    "efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3", "efficientnet-b4",
    "efficientnet-b5", "efficientnet-b6", "efficientnet-b7", "efficientnet-lite0", "efficientnet-lite1",
    "efficientnet-lite2", "efficientnet-lite3", "efficientnet-lite4", "efficientnet-v2-s", "mnasnet-a1",
    "mnasnet-b1", "mnasnet-b1-0.5", "mnasnet-b1-0.75", "mnasnet-b1-1.3", "mobilenet-v1", "mobilenet-v2",
    "mobilenet-v3-large", "mobilenet-v3-small", "resnet-18", "resnet-34", "resnet-50",
    "shufflenet-v2-0.5", "shufflenet-v2-1.0", "shufflenet-v2-1.5", "shufflenet-v2-2.0", "squeezenet-1.0",
    "squeezenet-1.1", "xception",
))  # fmt: skip
"""The baselines that come with b0nas; in a checkout a user's own lie beside them."""


def shipped(kind: str) -> Path:
    """The folder of shipped documents: inside the wheel, or beside `nas/` in a checkout."""
    package = Path(__file__).parent
    inside = package / "_data" / kind
    return inside if inside.is_dir() else package.parent / kind


def folders(kind: str) -> list[Path]:
    """Folders searched, in order."""
    return [Path(kind), shipped(kind)]


def names(kind: str) -> list[str]:
    """Every name that `find` knows, sorted."""
    return sorted({path.stem for folder in folders(kind) for path in folder.glob("*.yml") if is_file(path)})


def is_path(name: str) -> bool:
    """Whether a SPACE or BASELINE was given as a path rather than as a catalogue name."""
    return "/" in name or "\\" in name or name.endswith((".yml", ".yaml"))


def written(kind: str, path: Path) -> str:
    """A document's path as the next command takes it, and whether its name alone would not find it.

    >>> written("baselines", Path("mine.yml"))
    './mine.yml (give this path: by name documents are found in baselines/ alone)'
    """
    shown = f"./{path}" if str(path) == path.name else str(path)
    for folder in folders(kind):
        found = folder / f"{path.stem}.yml"
        if is_file(found):
            if found.resolve() == path.resolve():
                return shown
            break
    return f"{shown} (give this path: by name documents are found in {kind}/ alone)"


def find(kind: str, name: str) -> Path:
    """The file of the document called `name`, or at the path `name`.

    Raises:
        NasError: for an unknown name, with near matches and the names there are.
    """
    if is_path(name):
        path = Path(name)
        if not is_file(path):
            raise NasError(f"{name}: there is no such file; give the path of a {KINDS[kind]}'s YAML")
        return path
    for folder in folders(kind):
        path = folder / f"{name}.yml"
        if is_file(path):
            return path
    known = names(kind)
    if is_file(Path(f"{name}.yml")):
        raise NasError(f"there is no {KINDS[kind]} {short(name)} in {kind}/; give the path: ./{name}.yml")
    hint = near(name, known)
    raise NasError(
        f"there is no {KINDS[kind]} {short(name)}{hint}; known: {some(known, hint, LISTS[kind])}; "
        "or give the path of a .yml file"
    )
