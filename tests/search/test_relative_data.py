"""Relative paths of data in trialCommand are against the folder that trials run in, everywhere."""

import pytest
from rich.console import Console

from nas import main_job
from nas.baseline import load
from nas.search.placing import run_directory, subject_of_trials
from nas.search.settings import TunerSettings
from nas.search.winner import freeze

COMMAND = "python -m nas.search.trial --data npz:small.npz --epochs 1"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_the_tuner_fits_the_space_to_them(document, images, elsewhere):
    profile = {"trialCommand": COMMAND, "trialCodeDirectory": str(images.parent)}
    document["head"]["classes"], document["stem"]["in_chans"] = 7, 3

    def fitted(profile):
        frame = subject_of_trials(document, profile, TunerSettings()).space.frame
        return frame.head.classes, frame.stem.in_chans

    assert fitted(profile) == (2, 1)
    assert fitted(profile | {"trialCodeDirectory": str(elsewhere)}) == (7, 3)


def test_full_training_reads_them_and_writes_where_it_was_called(make_run, images, elsewhere):
    journal = make_run(("complete", {"accuracy": 0.5, "reward": 0.5}), command=COMMAND)
    baseline, path = freeze(journal, name="found")
    main_job._full(Console(quiet=True), journal, images.parent, baseline, path.resolve(), epochs=1)
    found = load(elsewhere / "found.yml")
    assert found.facts is not None
    assert found.facts.accuracy is not None
    assert (journal.path.parent / "found.safetensors").is_file()


def test_the_run_lies_where_the_trials_run_and_look_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("NNI_LOG_DIRECTORY", "/home/me/nni-experiments/abc123/log")
    profile = {"tuner": {"codeDirectory": str(tmp_path)}}
    assert run_directory(profile) == tmp_path / "runs" / "abc123"
    profile["trialCodeDirectory"] = str(tmp_path / "code")
    assert run_directory(profile) == tmp_path / "code" / "runs" / "abc123"
