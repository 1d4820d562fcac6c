"""Files of the current folder that Python imports instead of packages, as that folder comes first for a trial.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     _ = [Path(folder, name).write_text("") for name in ("json.py", "birds.py")]
...     [path.name for path in shadows(Path(folder))]
['json.py']
"""

import importlib.metadata
import sys
from pathlib import Path


def shadows(folder: Path) -> list[Path]:
    """Modules in a folder that are called as one of Python's own or of an installed package; b0nas' own are not."""
    known = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions()} - {"nas"}
    try:
        found = [
            path for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
        ]
    except OSError:
        return []
    return sorted(path for path in found if path.stem in known)


def mend_of(mend: str) -> str:
    """What to do about a package that cannot be imported: `mend`, unless a file here is imported instead of one."""
    found = [path.name for path in shadows(Path())]
    if not found:
        return mend
    return (
        f"{', '.join(found)} in the current folder {'is' if len(found) == 1 else 'are'} imported instead of what is "
        "installed by that name: rename, or search in another folder"
    )
