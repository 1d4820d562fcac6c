"""Runs on disk: by NNI's id from any folder, by path, and no further."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nas import NasError
from nas.search import runs
from nas.search.journal import FILE
from nas.search.runs import POINTER, end_processes, find_run, open_journal, processes_of


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without NNI experiments."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def run(make_run) -> Path:
    return make_run(("complete", {"accuracy": 0.5, "reward": 0.5})).path.parent


def test_by_path(run, home, in_folder):
    assert find_run(str(run)) == run
    assert find_run("runs/abc123").resolve() == run
    assert find_run("./runs/../runs/abc123/").resolve() == run


def test_the_folder_that_one_is_in(run, home, monkeypatch):
    """Its name must be the experiment's: of no name, every process would be an orphan to end."""
    monkeypatch.chdir(run)
    assert find_run("./") == run
    assert processes_of("") == {}


def test_by_id_in_the_folder_of_its_runs(run, home, in_folder, tmp_path, monkeypatch):
    assert find_run("abc123").resolve() == run
    monkeypatch.chdir("/")
    assert find_run("abc123", tmp_path) == run


def test_by_id_from_anywhere(run, home, tmp_path, monkeypatch):
    """The tuner leaves the path of its run in NNI's folder of the experiment."""
    monkeypatch.chdir("/")
    (home / "nni-experiments" / "abc123").mkdir(parents=True)
    (home / "nni-experiments" / "abc123" / POINTER).write_text(f"{run}\n")
    assert find_run("abc123") == run


def test_by_id_where_nnis_folder_is_another(run, home, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (home / "nni-experiments").mkdir(parents=True)
    registry = {"abc123": {"id": "abc123", "logDir": str(tmp_path / "elsewhere")}}
    (home / "nni-experiments" / ".experiment").write_text(json.dumps(registry))
    (tmp_path / "elsewhere" / "abc123").mkdir(parents=True)
    (tmp_path / "elsewhere" / "abc123" / POINTER).write_text(str(run))
    assert runs.registered("abc123")["logDir"] == str(tmp_path / "elsewhere")
    assert find_run("abc123") == run


@pytest.mark.parametrize("text", ["{", "[1]", '{"abc123": 3}', "[" * 100_000])
def test_a_broken_registry_is_passed_over(run, home, in_folder, text):
    (home / "nni-experiments").mkdir(parents=True)
    (home / "nni-experiments" / ".experiment").write_text(text)
    assert runs.registered("abc123") == {}
    assert find_run("abc123").resolve() == run


def test_an_unknown_run_is_told_with_those_there_are(run, home, in_folder):
    with pytest.raises(
        NasError, match=r"^there is no run 'abc124' \(no journal\.jsonl in it\); runs here: abc123; give"
    ):
        find_run("abc124")


def test_a_pointer_to_a_run_that_is_gone_is_no_run(home, in_folder):
    (home / "nni-experiments" / "abc123").mkdir(parents=True)
    (home / "nni-experiments" / "abc123" / POINTER).write_text("/nowhere/abc123")
    with pytest.raises(NasError, match=r"there is no run 'abc123' .*; runs here: none;"):
        find_run("abc123")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../..", "../abc123", "runs", "/", "a" * 300, "abc123\n", "a\0b"]
)
def test_a_name_that_is_no_run_is_one_sentence(run, home, in_folder, name):
    with pytest.raises(NasError, match=r"is no experiment id|there is no run") as caught:
        find_run(name)
    assert "\n" not in str(caught.value)


def test_a_journal_without_a_run_is_one_sentence(tmp_path):
    (tmp_path / FILE).write_text("")
    with pytest.raises(
        NasError, match=r"journal\.jsonl: no run is described in it; the search ended before it began"
    ):
        open_journal(tmp_path)


def test_a_journal_is_opened_read(run):
    journal = open_journal(run)
    assert journal.run["experiment"] == "abc123"
    assert [trial.accuracy for trial in journal.ended()] == [0.5]


@pytest.mark.parametrize("variable", ["NNI_EXP_ID", "NNI_LOG_DIRECTORY"])
def test_what_a_killed_manager_left_is_found_by_its_experiment_and_ended(variable, tmp_path):
    """Trials know their experiment, the tuner its folder of logs; nobody else's process is touched."""
    experiment = f"test{os.getpid()}"
    value = experiment if variable == "NNI_EXP_ID" else str(tmp_path / experiment / "log")
    sleep = [sys.executable, "-c", "import time; print('on', flush=True); time.sleep(60)"]
    orphan = subprocess.Popen(sleep, env=os.environ | {variable: value}, stdout=subprocess.PIPE)
    other = subprocess.Popen(sleep, env=os.environ | {"NNI_EXP_ID": f"{experiment}x"}, stdout=subprocess.PIPE)
    try:
        for process in (orphan, other):
            assert process.stdout is not None
            process.stdout.readline()
        kind = "trial" if variable == "NNI_EXP_ID" else "tuner"
        assert processes_of(experiment) == {orphan.pid: kind}
        assert end_processes(experiment, "manager") == 0
        assert end_processes(experiment) == 1
        assert orphan.wait(10) == -9
        assert other.poll() is None
        assert end_processes(experiment) == 0
    finally:
        for process in (orphan, other):
            process.kill()
            process.communicate()
