"""A release: sdist and wheel are built without the network, and the wheel does its work where there is no checkout."""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import nas

ROOT = Path(__file__).resolve().parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def run(*words: object, cwd: Path, path: Path | None = None) -> str:
    """The output of a program that must succeed, in a clean environment."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(cwd),
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Of the unpacked sdist, as somebody who has no git would build it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / f"b0nas-{VERSION}"
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=unpacked)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder of packages that holds the wheel alone; what it needs is this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", folder,
        wheel, cwd=folder)  # fmt: skip
    return folder


def files(folder: Path, pattern: str) -> set[str]:
    return {path.name for path in folder.glob(pattern)}


def test_the_wheel_holds_documents_schemas_types_and_the_guard(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for kind, pattern in (("search_spaces", "*.yml"), ("baselines", "*.yml"), ("schemas", "*.json")):
        expected = {f"nas/_data/{kind}/{name}" for name in files(ROOT / kind, pattern)}
        assert expected
        assert expected <= names
    assert {
        "nas/py.typed",
        *(f"nas/search/{name}" for name in files(ROOT / "nas" / "search", "*.cjs")),
    } <= names
    assert not [name for name in names if name.split("/")[0] in ("tests", "tools", "docs", "benchmarks")]


def test_the_sdist_holds_what_a_checkout_does(wheel):
    unpacked = wheel.parent / f"b0nas-{VERSION}"
    for name in (
        "Makefile",
        "mkdocs.yml",
        "CITATION.cff",
        "requirements.lock",
        "tools/site.py",
        "tests/test_wheel.py",
    ):
        assert (unpacked / name).is_file(), name


CODE = """
import json, sys
from pathlib import Path
import nas
from nas import catalog
for kind in ("search_spaces", "baselines"):
    for name in catalog.names(kind):
        nas.SearchSpace.load(name) if kind == "search_spaces" else nas.load(name)
print(json.dumps({
    "file": nas.__file__, "version": nas.__version__, "spaces": catalog.names("search_spaces"),
    "baselines": catalog.names("baselines"),
    "schemas": sorted(path.name for path in catalog.shipped("schemas").glob("*.json")),
    "typed": (Path(nas.__file__).parent / "py.typed").is_file(),
    "heavy": [n for n in ("torch", "nni") if n in sys.modules],
}))
"""


def test_a_clean_folder_finds_everything(installed, tmp_path):
    found = json.loads(run(sys.executable, "-c", CODE, cwd=tmp_path, path=installed))
    assert Path(found["file"]).is_relative_to(installed)
    assert found["version"] == VERSION
    assert set(found["spaces"]) == {
        name.removesuffix(".yml") for name in files(ROOT / "search_spaces", "*.yml")
    }
    assert set(found["baselines"]) >= {"efficientnet-b0", "efficientnet-b7", "mnasnet-a1", "mobilenet-v2"}
    assert set(found["schemas"]) == files(ROOT / "schemas", "*.json")
    assert found["typed"]
    assert found["heavy"] == []


def test_the_program_is_there(installed, tmp_path):
    shown = run(
        sys.executable,
        installed / "bin" / "nas",
        "show",
        "efficientnet-b0",
        "--json",
        cwd=tmp_path,
        path=installed,
    )
    assert json.loads(shown)["macs"] == 385_814_752  # Tan & Le 2019: 0.39B


def test_versions_agree():
    assert nas.__version__ == VERSION
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    assert f"\nversion: {VERSION}\n" in (ROOT / "CITATION.cff").read_text()
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{VERSION}]" in changes or "## [Unreleased]" in changes


def test_the_changelog_keeps_its_form():
    headings = re.findall(r"^(##+) (.+)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.M)
    for level, text in headings:
        if level == "##":
            assert text == "[Unreleased]" or re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", text), text
        else:
            assert text in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"), text
