"""A resumed search and the document that it left before it was interrupted."""

import math
from pathlib import Path

import pytest
from rich.console import Console

from nas import main_job
from nas.baseline import load
from nas.errors import NasError
from nas.main_job import _frozen, run_search
from nas.training import Diverged

FIRST = ("complete", {"accuracy": 0.9, "reward": 0.9})
BETTER = ("complete", {"accuracy": 0.95, "reward": 0.95})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory without baselines/, so that documents lie in it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def with_accuracy(path: Path) -> str:
    """Writes a test accuracy into a frozen document, as full training does."""
    text = path.read_text().replace("search_accuracy:", "accuracy: 0.875\n  search_accuracy:")
    path.write_text(text)
    return text


def test_with_the_same_winner_it_stays_with_its_test_accuracy(make_run):
    journal = make_run(FIRST, ("running", {}))
    _, path = _frozen(journal, "found", resumed=False)
    text = with_accuracy(path)
    baseline, again = _frozen(journal, "found", resumed=True)
    assert baseline.facts is not None
    assert (again, baseline.facts.accuracy, path.read_text()) == (path, 0.875, text)


def test_with_another_winner_it_is_replaced(make_run):
    journal = make_run(FIRST, ("running", {}))
    _, path = _frozen(journal, "found", resumed=False)
    with_accuracy(path)
    journal.told(1, *BETTER[:1], **BETTER[1])
    _frozen(journal, "found", resumed=True)
    found = load(path)
    assert found.facts is not None
    assert found.provenance is not None
    assert (found.provenance.trial, found.facts.accuracy) == (1, None)


def test_a_document_of_something_else_is_never_replaced(make_run):
    _, path = _frozen(make_run(FIRST, name="first"), "found", resumed=False)
    text = path.read_text()
    with pytest.raises(NasError, match=r"found\.yml exists; choose another --name"):
        _frozen(make_run(BETTER, name="second"), "found", resumed=True)
    assert path.read_text() == text


def test_a_taken_name_is_refused_before_the_search():
    Path("taken.yml").write_text("")
    with pytest.raises(NasError, match=r"taken\.yml exists; choose another --name"):
        run_search(Console(quiet=True), Path("search.yml"), None, None, None, "taken", None)


def test_a_name_that_no_document_may_have_is_refused_before_the_search():
    with pytest.raises(NasError, match="--name: name is 'my net'; give up to 128 letters"):
        run_search(Console(quiet=True), Path("search.yml"), None, None, None, "my net", None)


def test_a_full_training_of_trials_that_name_no_data_is_refused_before_the_search(search_yml):
    path = search_yml(trialCommand="./mine.sh")
    with pytest.raises(NasError, match=r"--full-epochs needs trials of nas\.search\.trial"):
        run_search(Console(quiet=True), path, None, None, None, None, 5)


def test_a_full_training_that_fails_is_one_sentence_and_leaves_the_document(make_run, monkeypatch):
    def diverge(*_: object) -> None:
        raise Diverged(math.nan, epoch=3, step=1, lr=0.1)

    monkeypatch.setattr(main_job, "train_in_full", diverge)
    journal = make_run(FIRST)
    baseline, path = _frozen(journal, "found", resumed=False)
    with pytest.raises(
        NasError, match=r"found\.yml is frozen, but its full training failed: diverged: the loss"
    ):
        main_job._full(Console(quiet=True), journal, Path(), baseline, path, 5)
    assert load(path) == baseline
