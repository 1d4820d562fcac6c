"""What is there to work with: documents, data sets, and experiments that NNI still holds open.

>>> documents().state
'works'
"""

import json
import os
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.health.finding import LONGEST, Finding, broken, note, works

SETTLED = {"STOPPED"}
"""States of NNI's registry in which nothing runs; DONE and ERROR are none, for the manager stays up."""
MOST = 20
"""So many open experiments are looked at."""
MOST_OWN = 100
"""So many documents of the working folder are looked at."""


def documents() -> Finding:
    """Whether the search spaces and baselines of b0nas are found and can be read, and those of the working folder."""
    from nas import catalog
    from nas.baseline import load
    from nas.space import SearchSpace

    here = {kind: list(catalog.shipped(kind).glob("*.yml")) for kind in catalog.KINDS}
    missing = [f"{word}s" for kind, word in catalog.KINDS.items() if not here[kind]]
    if missing:
        return broken(
            "documents",
            f"the {' and '.join(missing)} that ship with b0nas are missing",
            "install b0nas again",
        )
    try:
        SearchSpace.load(str(catalog.shipped("search_spaces") / "digits.yml"))
        load(str(catalog.shipped("baselines") / "efficientnet-b0.yml"))
    except NasError as error:
        return broken("documents", str(error)[:LONGEST], "install b0nas again, or restore the file")
    told = f"{len(here['search_spaces'])} search spaces, {len(here['baselines'])} baselines"
    own = [path for kind in catalog.KINDS for path in sorted(Path(kind).glob("*.yml"))]
    for path in own[:MOST_OWN]:
        try:
            (SearchSpace.load if path.parent.name == "search_spaces" else load)(str(path))
        except NasError as error:
            return note(
                "documents", f"{told}; of yours {str(error)[:LONGEST]}", f"mend {path}, or move it away"
            )
    return works("documents", told)


def data(folders: list[Path] | None = None) -> Finding:
    """Whether digits, which the main job searches on, can be read; and which other data sets are here.

    Args:
        folders: where downloaded ones are looked for; by default ./data and the user's cache.
    """
    from nas.sources import digits

    try:
        images, labels = digits().read("train")
    except (NasError, OSError, EOFError, ValueError) as error:
        return broken(
            "data", f"digits: {str(error)[:LONGEST]}", "pip install --force-reinstall --no-deps scikit-learn"
        )
    if (len(images), len(set(labels.tolist()))) != (1438, 10):
        return broken(
            "data", f"digits has {len(images)} training images, not 1,438", "reinstall scikit-learn"
        )
    return works("data", "; ".join(["digits (in scikit-learn)", *_downloaded(folders)]))


def _downloaded(folders: list[Path] | None) -> list[str]:
    from nas.downloads import KNOWN, default_folder
    from nas.files import is_dir, is_file

    folders = [Path("data"), default_folder()] if folders is None else folders
    found, absent = [], []
    for name in KNOWN:
        holds = [folder for folder in folders if is_file(folder / f"{name}.npz")]
        found += [f"{name} ({holds[0]})"] if holds else []
        absent += [] if holds else [name]
    found += [f"imagenet ({f / 'imagenet'})" for f in folders if is_dir(f / "imagenet" / "train")]
    return [*found, f"{', '.join(absent)}: downloaded when first asked for"] if absent else found


def experiments(home: Path | None = None) -> Finding:
    """Whether NNI has experiments that run, or that ended without its noticing.

    Args:
        home: NNI's folder of experiments.
    """
    from nas.search.runs import nni_home, processes_of

    path = (nni_home() if home is None else home) / ".experiment"
    if not path.exists():
        return works("experiments", "none is open")
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return note(
            "experiments", f"NNI's list {path} cannot be read ({type(error).__name__}), and NNI begins a new one",
            "resume a search by nas search --resume ID, whose runs/ID holds all that is needed",
        )  # fmt: skip
    if not isinstance(known, dict):
        return broken("experiments", f"{path} is no list of NNI's", f"move it away: mv {path} {path}.damaged")
    open_ones = [
        (str(name), entry) for name, entry in known.items()
        if isinstance(entry, dict) and entry.get("status") not in SETTLED
    ][-MOST:]  # fmt: skip
    told = [_told(name, entry, processes_of(name)) for name, entry in open_ones]
    if not told:
        return works("experiments", "none is open")
    return note(
        "experiments", "; ".join(text for text, _ in told), "; ".join(dict.fromkeys(mend for _, mend in told))
    )


def _told(name: str, entry: dict[str, Any], processes: dict[int, str]) -> tuple[str, str]:
    kinds = sorted(processes.values())
    if "manager" in kinds:
        return f"{name} is open on port {entry.get('port')}", f"nnictl stop {name} ends it"
    orphans = [str(pid) for pid, kind in processes.items() if pid != os.getpid() and kind == "tuner"]
    if orphans:
        return (
            f"{name} has a tuner without a manager, which would disturb what comes next on port {entry.get('port')}",
            f"kill {' '.join(orphans)}",
        )
    if entry.get("status") == "DONE":
        return f"{name} has ended", f"nnictl stop {name} takes it off NNI's list"
    return (
        f"{name} ({entry.get('status')}) was interrupted",
        f"nas search SEARCH.yml --resume {name} goes on with it, nnictl stop {name} takes it off NNI's list",
    )
