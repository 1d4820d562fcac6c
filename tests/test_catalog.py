"""Documents are found by name: from a checkout, from an installed wheel, and the folder's own first."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nas import NasError, catalog
from nas.documents import BaselineDocument

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("search_spaces", {"mnasnet", "efficientnet", "cifar", "digits"}),
        ("baselines", {"efficientnet-b7", "mobilenet-v1"}),
    ],
)
def test_every_name_is_found(kind, some):
    names = catalog.names(kind)
    assert names == sorted(set(names))
    assert some <= set(names)
    for name in names:
        assert catalog.find(kind, name).stem == name


def test_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert catalog.find("search_spaces", "digits").samefile(ROOT / "search_spaces" / "digits.yml")


def test_own_documents_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search_spaces").mkdir()
    for name in ("digits", "mine"):
        (tmp_path / "search_spaces" / f"{name}.yml").write_text("")
    assert catalog.find("search_spaces", "digits").samefile(tmp_path / "search_spaces" / "digits.yml")
    assert {"mine", "digits", "mnasnet"} <= set(catalog.names("search_spaces"))
    assert catalog.names("search_spaces").count("digits") == 1
    assert "mine" not in catalog.names("baselines")


@pytest.mark.parametrize("name", ["x/y.yml", "y.yml", "y.yaml", "./y", "..\\y"])
def test_what_is_a_path(name):
    assert catalog.is_path(name)
    with pytest.raises(NasError, match="there is no such file; give the path of a baseline's YAML"):
        catalog.find("baselines", name)


@pytest.mark.parametrize("name", ["y", "efficientnet-b0", "v1.5"])
def test_what_is_a_name(name):
    assert not catalog.is_path(name)


def test_a_path_is_taken_as_it_is(tmp_path):
    path = tmp_path / "y.yml"
    path.write_text("")
    assert catalog.find("baselines", str(path)) == path


def test_what_comes_with_the_package_is_listed():
    """Of the checkout's own documents, which a user's may join: those with a published source."""
    files = catalog.shipped("baselines").glob("*.yml")
    documents = {path.stem: BaselineDocument.read(path) for path in files}
    shipped = {
        name for name, document in documents.items() if document.source and document.provenance is None
    }
    assert shipped >= catalog.PUBLISHED
    assert {name for name in shipped if "arXiv" in documents[name].source} <= catalog.PUBLISHED


def test_unknown_names(tmp_path, monkeypatch):
    with pytest.raises(
        NasError,
        match=r"^there is no search space 'mnasnt' \(did you mean 'mnasnet'.*\?\); known: .*cifar, .*; or give",
    ):
        catalog.find("search_spaces", "mnasnt")
    monkeypatch.setattr(catalog, "folders", lambda kind: [tmp_path])
    with pytest.raises(
        NasError, match=r"^there is no baseline 'x'; known: none; or give the path of a .yml file$"
    ):
        catalog.find("baselines", "x")


def test_of_many_names_some_are_told_and_with_a_near_one_their_number():
    ends = r" \(baselines/README\.md lists those of b0nas\); or give the path of a \.yml file$"
    number = len(catalog.names("baselines"))
    with pytest.raises(
        NasError, match=rf"'resnet50' \(did you mean 'resnet-50'[^)]*\?\); known: {number}{ends}"
    ):
        catalog.find("baselines", "resnet50")
    first = ", ".join(catalog.names("baselines")[:10])
    with pytest.raises(NasError, match=rf"baseline 'zzz'; known: {first} and {number - 10} more{ends}"):
        catalog.find("baselines", "zzz")


def test_folders_and_dangling_links_are_no_documents(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines" / "folder.yml").mkdir(parents=True)
    (tmp_path / "baselines" / "gone.yml").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "gone"):
        with pytest.raises(NasError, match=f"there is no baseline '{name}'"):
            catalog.find("baselines", name)
    assert not {"folder", "gone"} & set(catalog.names("baselines"))


# An installed wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel as `pip wheel .` makes it, built by the project's own backend, without network."""
    folder = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return folder / result.stdout.split()[-1]


def test_the_wheel_holds_every_document_and_nothing_on_top(wheel):
    files = set(zipfile.ZipFile(wheel).namelist())
    for kind in catalog.KINDS:
        for path in (ROOT / kind).glob("*.yml"):
            assert f"nas/_data/{kind}/{path.name}" in files
    tops = {name.split("/")[0] for name in files}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"nas"}


INSTALLED = """
import json, nas
from nas import catalog
print(json.dumps({
    "file": nas.__file__,
    "names": [catalog.names(kind) for kind in catalog.KINDS],
    "macs": nas.load("efficientnet-b0").architecture.macs,
    "b3": nas.scale(nas.load("efficientnet-b0").architecture, 3, official=True).params,
    "target": nas.SearchSpace.load("digits").target,
}))
"""


def test_an_installed_wheel_finds_its_documents_and_the_folders_own(wheel, tmp_path):
    site, work = tmp_path / "site", tmp_path / "work"
    zipfile.ZipFile(wheel).extractall(site)
    work.mkdir()

    def run():
        result = subprocess.run(
            [sys.executable, "-c", INSTALLED],
            cwd=work, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    found = run()
    assert Path(found["file"]) == site / "nas" / "__init__.py"
    shipped = [sorted(path.stem for path in (ROOT / kind).glob("*.yml")) for kind in catalog.KINDS]
    assert found["names"] == shipped
    assert (found["macs"], found["b3"]) == (385_814_752, 12_233_232)

    (work / "search_spaces").mkdir()
    own = (
        (ROOT / "search_spaces" / "digits.yml")
        .read_text()
        .replace("name: digits", "name: digits\ntarget: 123456")
    )
    (work / "search_spaces" / "digits.yml").write_text(own)
    assert run()["target"] == 123_456 != found["target"]
