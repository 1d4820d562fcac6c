"""`nas import --from timm-strings` and `tpu-strings`: a file of block strings becomes a baseline's document.

>>> import tempfile
>>> from nas.export import export_text
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder, "b0.txt")
...     _ = path.write_text(export_text("efficientnet-b0", "tpu"))
...     again = read_baseline(path, "tpu")
>>> again.name, again.architecture.params
('efficientnet-b0', 5288548)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.baseline import Baseline, save
from nas.block_strings import frame_of, mobilenet_v3_note, read_strings
from nas.catalog import written
from nas.documents import Facts, Named
from nas.errors import NasError
from nas.files import text_of
from nas.reading import validate

NOTATIONS: Mapping[str, str] = {"timm-strings": "timm", "tpu-strings": "tpu"}
"""What `nas import --from` takes for block strings -> whose they are."""

MAX_BYTES = 1 << 16
"""As of a document; 64 stages are 2 kB."""


def read_baseline(path: Path, tool: str, name: str | None = None, **given: Any) -> Baseline:
    """The baseline of a file of block strings, with its counts; called as its comment says, unless `name` is given.

    Raises:
        NasError: as `read_strings`, or for a file that cannot be read, or a name that no document may have.
    """
    text = text_of(path, MAX_BYTES, "which no list of block strings is")
    arch = read_strings(text, tool, str(path), **given)
    if name is not None:
        validate(Named, {"name": name}, "--name")
    name = name or str(frame_of(text, str(path)).get("name") or path.stem)
    try:
        validate(Named, {"name": name}, str(path))
    except NasError as error:
        raise NasError(f"{error}; or choose another --name") from None
    facts = Facts(params=arch.params, macs=arch.macs)
    return Baseline(name, arch, source=f"{tool}'s block strings, {path.name}", facts=facts)


def import_strings(
    path: Path,
    tool: str,
    output: Path | None = None,
    force: bool = False,
    name: str | None = None,
    **given: Any,
) -> list[str]:
    """Writes the baseline of a file of block strings (NAME.yml by default); the lines that `nas import` prints.

    Raises:
        NasError: as `read_baseline`, or for a document that is there (without `force`) or cannot be written.
    """
    baseline = read_baseline(path, tool, name, **given)
    arch, found = baseline.architecture, output or Path(f"{baseline.name}.yml")
    if found.suffix not in (".yml", ".yaml"):
        raise NasError(f"--output is {found}; give a name that ends in .yml, which is what is written")
    save(baseline, found, force, "--name" if output is None else "--output")
    return [
        f"baseline {baseline.name}: {len(arch.stages)} stages, {arch.params:,} parameters, {arch.macs:,} multiply-adds "
        f"at {arch.resolution} px ({arch.stem.in_chans} channels, {arch.head.classes} classes, {arch.activation})",
        *(mobilenet_v3_note(arch) if tool == "timm" else ()),
        f"written: {written('baselines', found)}",
    ]
