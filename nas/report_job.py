"""`nas report`: what is reported, and into which folder; a report is written whole or not at all.

>>> run_or_baseline("efficientnet-b0")
>>> run_or_baseline("mobilnet-v1")  # doctest: +ELLIPSIS
Traceback (most recent call last):
...
nas.errors.NasError: there is neither a baseline nor a run 'mobilnet-v1' (did you mean 'mobilenet-v1'...
"""

import contextlib
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from nas import catalog
from nas.errors import NasError, listed, near, short, some
from nas.search.certificate_file import read_certificate
from nas.search.journal import FILE
from nas.search.runs import find_run

REPORT, PAGE = "report.md", "report.html"
WRITTEN = (
    REPORT, PAGE, "table.csv", "accuracy-macs.png", "accuracy-params.png", "cam.png", "rewards.png", "pareto.png",
    "importance.png", "choices.png", "frontier.png", "proxies.png", "certificate.png",
)  # fmt: skip
"""Every file that a report may have: those of an older one go where it is replaced."""


@dataclass(frozen=True)
class Request:
    """What `nas report` was asked; `images` is a comma-separated list, `words` the command as typed."""

    target: str
    output: Path | None = None
    force: bool = False
    latency: bool | None = None
    images: str | None = None
    weights: Path | None = None
    threads: int | None = None
    words: tuple[str, ...] = ()


def run_report(console: Console, request: Request) -> Path:
    """Writes the report of a baseline's family, or of a run; returns its Markdown, beside which is the page.

    Raises:
        NasError: for an unknown target, a folder that is taken or cannot be written, or what the report cannot use.
    """
    run = run_or_baseline(request.target)
    command = shlex.join(request.words)
    if run is not None:
        return _of_run(console, request, run, command)
    from nas.family_report import Wanted, family_files

    images = tuple(Path(word.strip()) for word in (request.images or "").split(",") if word.strip())
    if request.images is not None and not images:
        raise NasError("--images is empty; give paths such as a.jpg,b.png")
    wanted = Wanted(request.latency is not False, images, request.weights, request.threads)
    folder = request.output or Path("report") / _name(request.target)
    with claimed(folder, request.force):
        return _written(console, folder, family_files(console, request.target, wanted, command))


def _of_run(console: Console, request: Request, run: Path, command: str) -> Path:
    from nas.run_report import run_files

    family = {"images": request.images, "weights": request.weights, "threads": request.threads,
              "latency": request.latency}  # fmt: skip
    given = [f"--{name}" for name, value in family.items() if value is not None]
    if given:
        raise NasError(
            f"{listed(given)}: of the report of a baseline, and {request.target} is a run; leave that out"
        )
    folder = request.output or run / "report"
    with claimed(folder, request.force):
        written = _written(console, folder, run_files(run, command))
    try:
        read_certificate(run)
    except NasError as error:
        console.print(f"warning: left out of the report: {error}", markup=False)
    return written


def run_or_baseline(target: str) -> Path | None:
    """The directory of the run that `target` names, None where it names a baseline, which comes first.

    Raises:
        NasError: where it is neither, with what there is.
    """
    if target.endswith((".yml", ".yaml")):
        catalog.find("baselines", target)
        return None
    with contextlib.suppress(NasError):
        catalog.find("baselines", target)
        return None
    if catalog.is_path(target):
        return find_run(target)
    with contextlib.suppress(NasError):
        return find_run(target)
    known = catalog.names("baselines")
    runs = sorted(path.parent.name for path in Path("runs").glob(f"*/{FILE}"))
    hint = near(target, [*known, *runs])
    raise NasError(
        f"there is neither a baseline nor a run {short(target)}{hint}; baselines: "
        f"{some(known, hint, catalog.LISTS['baselines'])}; runs here: {some(runs)}; or give "
        "the path of a baseline's YAML or of a run"
    )


def _name(target: str) -> str:
    """Of a baseline, as its folder is called."""
    from nas.baseline import load

    return load(target).name


@contextlib.contextmanager
def claimed(folder: Path, force: bool) -> Iterator[None]:
    """The folder, made and known to be writable before the work begins; gone again where the work fails.

    Raises:
        NasError: where something lies in it and `force` is not given, where it is a file, or cannot be written.
    """
    made: list[Path] = []
    try:
        if folder.is_file():
            raise NasError(f"{folder} is a file, and a report is a folder; choose another --output")
        if folder.is_dir() and any(folder.iterdir()) and not force:
            raise NasError(
                f"{folder} is not empty; give another --output, or --force to replace the report in it"
            )
        missing = folder.absolute()
        while not missing.exists():
            made.append(missing)
            missing = missing.parent
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        _unmade(made)
        raise NasError(f"{folder}: cannot be written ({error.strerror}); choose another --output") from None
    try:
        yield
    except BaseException:
        _unmade(made)
        raise


def _unmade(made: list[Path]) -> None:
    with contextlib.suppress(OSError):
        for path in made:
            path.rmdir()


def _written(console: Console, folder: Path, files: dict[str, bytes]) -> Path:
    """Puts the files into the folder, the Markdown last, and takes away those of an older report."""
    from nas.html_page import html_page

    files = {**files, PAGE: html_page(files[REPORT].decode(), files)}
    partial = {name: folder / f".{name}.partial" for name in files}
    try:
        for name, content in files.items():
            partial[name].write_bytes(content)
        for name in WRITTEN:
            if name not in files:
                (folder / name).unlink(missing_ok=True)
        for name, path in partial.items():
            path.replace(folder / name)
    except OSError as error:
        for path in partial.values():
            with contextlib.suppress(OSError):
                path.unlink()
        raise NasError(f"{folder}: cannot be written ({error.strerror}); choose another --output") from None
    for name in sorted(files, key=lambda name: name in (REPORT, PAGE)):
        console.print(f"{name:20} {len(files[name]):>9,} bytes", markup=False)
    console.print(f"report: {folder / REPORT}", markup=False)
    console.print(f"page:   {folder / PAGE}", markup=False)
    return folder / REPORT
