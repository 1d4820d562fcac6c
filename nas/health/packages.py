"""Python and the packages: those that b0nas asks for, those that NNI asks for, and pkg_resources.

Versions are read from the packages' metadata; nothing is imported but pkg_resources, in a process of its own.

>>> python(version=(3, 11, 7)).state, python(version=(3, 13, 0)).state
('works', 'broken')
"""

import importlib.metadata
import re
import sys
from collections.abc import Callable, Iterable

from nas.health.finding import ANEW, Finding, broken, works
from nas.health.running import Probe
from nas.health.shadows import mend_of

VERSIONS = ((3, 11), (3, 12))
"""pyproject.toml: requires-python."""
Version = Callable[[str], str]


def python(
    version: Iterable[int] = sys.version_info[:3], bits: int = sys.maxsize.bit_length() + 1
) -> Finding:
    """Whether this Python is one that b0nas and NNI run on."""
    found = tuple(version)
    text = f"{'.'.join(map(str, found))}, {sys.executable}"
    if found[:2] not in VERSIONS:
        return broken(
            "python", f"{text}; b0nas runs on 3.11 and 3.12", "make clean; make PYTHON=python3.11 setup"
        )
    if bits < 64:
        return broken("python", f"{text}, of {bits} bits; torch is built for 64", "install a 64-bit Python")
    return works("python", text)


def packages(version: Version = importlib.metadata.version) -> Finding:
    """Whether everything that b0nas asks for is there, in a version that it takes."""
    return _required("packages", "b0nas", version)


def pins(version: Version = importlib.metadata.version) -> Finding:
    """Whether everything that NNI asks for is there; it pins old versions of some, which other packages undo."""
    return _required("pins", "nni", version)


def _required(name: str, package: str, version: Version) -> Finding:
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in importlib.metadata.requires(package) or []]
    except importlib.metadata.PackageNotFoundError:
        return broken(name, f"{package} is not installed", ANEW)
    wanted = [found for found in wanted if found.marker is None or found.marker.evaluate({"extra": ""})]
    wrong, fix = [], []
    for one in wanted:
        try:
            there = version(one.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{one.name} is missing")
        else:
            if one.specifier.contains(there, prereleases=True):
                continue
            wrong.append(f"{one.name} is {there}, and {package} wants {one.specifier}")
        fix.append(f"'{one.name}{one.specifier}'")
    if wrong:
        return broken(name, "; ".join(wrong), f"pip install {' '.join(fix)}, or make setup")
    return works(name, f"all {len(wanted)} that {package} {_own(package, version)} asks for")


def _own(package: str, version: Version) -> str:
    try:
        return version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def pkg_resources(probe: Probe, version: Version = importlib.metadata.version) -> Finding:
    """Whether setuptools still has pkg_resources, which nnictl imports: 81 deprecates it and 84 has it no more."""
    mend = "pip install 'setuptools>=69,<81'"
    try:
        there = version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        return broken("setuptools", "missing; nnictl imports its pkg_resources", mend)
    step = probe.step("pkg_resources")
    if step.error:
        return broken(
            "setuptools",
            f"{there}, without the pkg_resources that nnictl imports ({step.error})",
            mend_of(mend),
        )
    major = re.match(r"\d+", there)
    if major and int(major.group()) >= 81:
        return broken(
            "setuptools", f"{there}, whose pkg_resources warns and is to go; nnictl imports it", mend
        )
    return works("setuptools", f"{there}, with the pkg_resources that nnictl imports")
