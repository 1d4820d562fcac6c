"""What a forge reads: issue forms, the workflow, the citation; it says nothing where one of them is wrong. And what
CONTRIBUTING says of modules."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
KINDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


@pytest.mark.parametrize("path", [p for p in FORMS if p.stem != "config"], ids=lambda path: path.stem)
def test_issue_forms_have_what_a_form_needs(path):
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form)
    ids = [part["id"] for part in form["body"]]
    assert len(ids) == len(set(ids))
    for part in form["body"]:
        assert part["type"] in KINDS
        assert part["attributes"]["label"]
        assert part["type"] not in ("dropdown", "checkboxes") or part["attributes"]["options"]
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_there_is_a_form_for_what_is_wrong_and_one_for_what_is_missing():
    assert [path.stem for path in FORMS] == ["bug", "config", "feature"]
    assert yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/config.yml").read_text()) == {
        "blank_issues_enabled": False
    }


def test_the_workflow_runs_targets_of_the_makefile():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    made = {command.split()[1] for command in commands if command.startswith("make ")}
    assert {"test", "docs", "dist"} <= made <= targets
    pythons = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    wanted = re.search(r'requires-python = ">=(3\.\d+),<(3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert wanted is not None
    first, beyond = (int(version.split(".")[1]) for version in wanted.groups())
    assert pythons == [f"3.{minor}" for minor in range(first, beyond)]


def test_the_citation_has_what_the_format_requires():
    """Citation File Format 1.2.0: cff-version, message, title, authors; a reference has type, title, authors."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert all(author.get("name") or author.get("family-names") for author in citation["authors"])
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= set(reference)
    assert {reference["url"] for reference in citation["references"]} == {
        "https://arxiv.org/abs/1905.11946", "https://arxiv.org/abs/1807.11626",
    }  # fmt: skip


def test_modules_are_as_short_as_contributing_says():
    lengths = {
        path.relative_to(ROOT): path.read_text(encoding="utf-8").count("\n")
        for path in (ROOT / "nas").rglob("*.py")
    }
    assert {path: length for path, length in lengths.items() if length >= 300} == {}
    assert sum(length > 250 for length in lengths.values()) < len(lengths) / 10
    assert 110 < sum(lengths.values()) / len(lengths) < 150
