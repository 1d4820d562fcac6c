"""The tuner between a small dispatcher of our own and the journal: no manager, no trials."""

import json
import math
import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nni
import numpy as np
import pytest

from nas import NasError, SearchSpace, reward
from nas.search import board, choice_space, flights, jobs, last_words
from nas.search import tuner as tuner_module
from nas.search.asktell import AskTell
from nas.search.journal import FILE, Journal, Trial
from nas.search.lines import dump
from nas.search.manager import Job
from nas.search.runs import CONFIG, INTERRUPTED, POINTER, trial_file
from nas.search.settings import BY_NAME, fitted
from nas.search.strategies import STRATEGIES, make
from nas.search.tuner import StrategyTuner
from nas.search.view import View

TARGET = 60_000
"""The small space's own."""

REMOTE = {"platform": "remote", "machineList": [{"host": "a", "user": "me"}, {"host": "b", "user": "me"}]}
FEW = {"evolution": {"population_size": 4, "sample_size": 2}, "tpe": {"n_startup_jobs": 5}}
"""Hyper-parameters with which a short search goes beyond a strategy's random beginning."""


class SilentBoard:
    """Pictures have tests of their own."""

    def __init__(self, *_: object) -> None:
        self.closed = False

    def update(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True


@dataclass
class TrialJob:
    """One of NNI's trial jobs."""

    id: str
    parameter_id: int
    parameters: dict[str, Any]
    status: str = "RUNNING"
    intermediate: float | None = None
    value: Any = None
    seconds: float = 1.0

    @property
    def number(self) -> int:
        return self.parameters["run"]["number"]


class FakeNNI:
    """NNI's manager and dispatcher, as far as a tuner sees them."""

    def __init__(self, folder: Path, **class_args: Any) -> None:
        self.folder = folder
        self.class_args = class_args
        self.params: dict[str, Any] = {
            "maxTrialNumber": 12, "trialConcurrency": 2, "trialCommand": "./evaluate",
            "tuner": {"codeDirectory": str(folder)},
        }  # fmt: skip
        self.jobs_: list[TrialJob] = []
        self.silent = False
        self.change = 0
        self.lists = 0
        self.ended_at: list[int] = []
        self.lowered = threading.Event()
        self.ids = iter(range(1000))
        self.live_before: set[str] = set()
        self.done = 0
        self.tuner: StrategyTuner

    # The REST interface that the tuner asks

    def of_channel(self, url: str) -> "FakeNNI":
        assert url == "ws://localhost:8080/tuner"
        return self

    def _answer(self) -> None:
        if self.silent:
            raise ConnectionRefusedError(111, "Connection refused")

    def profile(self) -> dict[str, Any]:
        self._answer()
        return {"params": self.params}

    def jobs(self) -> list[Job]:
        self._answer()
        self.lists += 1
        return [self.job(job.id) for job in self.jobs_]

    def job(self, job_id: str) -> Job:
        self._answer()
        job = next(job for job in self.jobs_ if job.id == job_id)
        return Job(
            job.id,
            job.status,
            [{"parameter_id": job.parameter_id, "parameters": job.parameters}],
            None if job.value is None else (job.parameter_id, job.value),
            job.seconds,
        )

    def last_intermediate(self, job: str) -> float | None:
        self._answer()
        return next(one.intermediate for one in self.jobs_ if one.id == job)

    def set_trials(self, trials: int) -> None:
        self._answer()
        self.params["maxTrialNumber"] = trials
        self.ended_at.append(trials)
        self.lowered.set()

    def set_concurrency(self, trials: int) -> None:
        self._answer()
        self.change += trials - self.params["trialConcurrency"]
        self.params["trialConcurrency"] = trials

    def poll(self, finished: int = 0) -> int:
        """Proposals that NNI asks for at its next look, every five seconds; those of before it forgets where
        maxTrialNumber trials have begun (manageTrials in nnimanager.js)."""
        wanted = self.change + finished
        self.change = min(0, wanted)
        return max(0, wanted) if len(self.jobs_) < self.params["maxTrialNumber"] else 0

    # What the dispatcher does

    def start(self, document: Any) -> "FakeNNI":
        self.tuner = StrategyTuner(**self.class_args)
        self.tuner.update_search_space(document)
        return self

    def resume(self, document: Any) -> None:
        """The order that NNI resumes in; trials that were live run again, with the same parameters."""
        self.tuner = StrategyTuner(**self.class_args)
        self.tuner.load_checkpoint()
        self.tuner.update_search_space(document)
        self.live_before = {job.id for job in self.jobs_ if job.status == "RUNNING"}
        done = [job for job in self.jobs_ if job.value is not None]
        self.tuner.import_data([{"parameter": job.parameters, "value": job.value} for job in done])

    def generate(self) -> tuple[int, dict[str, Any]]:
        parameter_id = next(self.ids)
        return parameter_id, self.tuner.generate_parameters(parameter_id)

    def launch(self) -> TrialJob:
        parameter_id, parameters = self.generate()
        job = TrialJob(f"job{len(self.jobs_)}", parameter_id, json.loads(json.dumps(parameters)))
        self.jobs_.append(job)
        return job

    def report(self, job: TrialJob, value: Any) -> None:
        """The trial's final result reaches the tuner."""
        job.value = value
        if job.id in self.live_before:
            self.tuner.import_data([{"parameter": job.parameters, "value": value}])
        else:
            self.tuner.receive_trial_result(job.parameter_id, job.parameters, value, trial_job_id=job.id)

    def end(self, job: TrialJob, status: str) -> None:
        job.status = status
        tuner_module._over[job.id] = job.number  # the dispatcher's message, which comes in any case
        if job.id not in self.live_before:
            self.tuner.trial_end(job.parameter_id, status == "SUCCEEDED")

    @property
    def flying(self) -> list[TrialJob]:
        return [job for job in self.jobs_ if job.status == "RUNNING"]

    # What trials do

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "exp1"

    def journal(self) -> Journal:
        journal = Journal(self.run / FILE)
        journal.refresh()
        return journal

    def trial(self, job: TrialJob) -> Trial:
        return self.journal().trials[job.number]


@pytest.fixture
def start(
    tmp_path: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., FakeNNI]]:
    """Starts an experiment whose tuner has the given classArgs; `params` change NNI's configuration."""
    logs = tmp_path / "nni-experiments" / "exp1" / "log"
    logs.mkdir(parents=True)
    monkeypatch.setenv("NNI_LOG_DIRECTORY", str(logs))
    monkeypatch.setenv("NNI_TUNER_COMMAND_CHANNEL", "ws://localhost:8080/tuner")
    monkeypatch.setattr(board, "StudyBoard", SilentBoard)
    monkeypatch.setattr(tuner_module, "_over", {})
    talks: list[AskTell] = []
    begun: list[FakeNNI] = []
    monkeypatch.setattr(AskTell, "__init__", _noting(AskTell.__init__, talks))

    def begin(params: dict[str, Any] | None = None, space: Any = None, **class_args: Any) -> FakeNNI:
        fake = FakeNNI(tmp_path, **class_args)
        fake.params |= params or {}
        monkeypatch.setattr("nas.search.tuner.Manager", fake)
        begun.append(fake)
        return fake.start(document if space is None else space)

    yield begin
    for fake in begun:
        fake.tuner._ended.set()
    for talk in talks:
        talk.close()


def _noting(function: Callable[..., None], made: list[AskTell]) -> Callable[..., None]:
    def noted(self: AskTell, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        function(self, *args, **kwargs)

    return noted


def choices_of(parameters: dict[str, Any]) -> dict[str, Any]:
    return {label: value for label, value in parameters.items() if label != "run"}


def accuracy_of(job: TrialJob) -> float:
    """A made-up accuracy, the same for the same sample."""
    return zlib.crc32(json.dumps(choices_of(job.parameters), sort_keys=True).encode()) / 2**32


def result_of(job: TrialJob, tiny: SearchSpace) -> dict[str, float]:
    """What nas.search.trial reports."""
    arch, accuracy = tiny.decode(choices_of(job.parameters)), accuracy_of(job)
    worth = reward(accuracy, arch.macs, TARGET)
    return {"default": worth, "accuracy": accuracy, "macs": arch.macs, "params": arch.params, "seconds": 2.5}


def write(fake: FakeNNI, job: TrialJob, state: str, **facts: Any) -> None:
    """What a trial on this machine does before it reports."""
    Journal(fake.run / FILE).told(job.number, state, job=job.id, **facts)


def write_result(fake: FakeNNI, job: TrialJob, value: dict[str, float]) -> None:
    facts = dict(value)
    write(fake, job, "complete", reward=facts.pop("default"), **facts)


def search(fake: FakeNNI, tiny: SearchSpace, asks: int, seed: int = 0, stop: int | None = None) -> int:
    """Two trials in flight, ended in random order and in every way; returns the steps done."""
    rng = np.random.default_rng(seed)
    for step in range(10_000):
        chosen, way = (
            rng.integers(2),
            rng.choice(["local", "remote", "failed", "killed"], p=[0.5, 0.2, 0.2, 0.1]),
        )
        if step < fake.done:  # of before a resume
            continue
        if step == stop:
            return step
        fake.done = step + 1
        flying = fake.flying
        if len(flying) < 2 and len(fake.jobs_) < asks:
            fake.launch()
            continue
        if not flying:
            return step
        job = flying[chosen % len(flying)]
        value = result_of(job, tiny)
        if way == "local":
            write_result(fake, job, value)
        if way in ("local", "remote"):
            fake.report(job, value)
            fake.end(job, "SUCCEEDED")
        elif way == "failed" or job.id in fake.live_before:  # of the end of these NNI tells the tuner nothing
            write(fake, job, "failed", reason="diverged")
            fake.end(job, "FAILED")
        else:
            fake.end(job, "USER_CANCELED")
    raise AssertionError


# Proposals


def test_a_proposal_carries_what_a_trial_needs_anywhere(start, tiny):
    fake = start(reward={"form": "hard"}, limits={"macs": "100k"}, seed=3)
    _, parameters = fake.generate()
    assert parameters.pop("run") == {
        "space": "tiny",
        "sha256": tiny.sha256,
        "reward": {"form": "hard", "target": TARGET, "w": -0.07},
        "limits": {"macs": 100_000, "params": None},
        "seed": 3,
        "number": 0,
    }
    assert tiny.validate(parameters) == parameters
    assert fake.generate()[1]["run"]["number"] == 1


def test_the_target_of_class_args_comes_before_the_documents(start, tiny):
    assert start(reward={"target": "1M"}).generate()[1]["run"]["reward"]["target"] == 1_000_000


def test_without_any_target_it_is_the_spaces_median(start, document, tiny):
    del document["target"]
    run = start(space=document).generate()[1]["run"]
    assert run["reward"]["target"] == SearchSpace.from_data(document).target


def test_a_space_may_be_a_catalogue_name(start):
    fake = start(space="digits")
    run = fake.generate()[1]["run"]
    assert (run["space"], run["sha256"]) == ("digits", SearchSpace.load("digits").sha256)


def test_the_run_is_described_in_the_journal_and_found_from_nnis_folder(start, tiny, tmp_path):
    fake = start(strategy={"name": "evolution"}, seed=3)
    run = fake.journal().run
    assert {key: run[key] for key in ("experiment", "space", "sha256", "seed", "max_trials", "concurrency")} == {
        "experiment": "exp1", "space": "tiny", "sha256": tiny.sha256, "seed": 3, "max_trials": 12, "concurrency": 2,
    }  # fmt: skip
    assert run["strategy"] == {"name": "evolution"} | fitted(BY_NAME["evolution"](), 12, 2, len(tiny.choices))
    assert {"b0nas", "nni", "torch", "numpy", "python"} == run["versions"].keys()
    assert SearchSpace.from_data(run["document"]).sha256 == tiny.sha256
    assert SearchSpace.from_data(json.loads((fake.run / "space.json").read_text())).sha256 == tiny.sha256
    assert (tmp_path / "nni-experiments" / "exp1" / POINTER).read_text() == str(fake.run)


def test_cost_is_counted_for_the_data_of_the_trials(start, tiny):
    """digits have 10 classes and 1 channel, and the document 2 classes."""
    fake = start({"trialCommand": "python -m nas.search.trial --data digits --epochs 1"})
    job = fake.launch()
    trial = fake.trial(job)
    assert fake.journal().run["classes"] == 10
    assert trial.params == tiny.decode(trial.sample).with_data(10, 1).params
    assert trial.params == tiny.decode(trial.sample).params + 8 * (16 + 1)  # of the classifier


def test_data_that_cannot_be_told_leaves_the_documents_classes(start, caplog):
    fake = start({"trialCommand": "python -m nas.search.trial --data npz:/nowhere.npz"})
    assert fake.journal().run["classes"] == 2
    assert "costs are counted with the document's classes" in caplog.text


@pytest.mark.parametrize("name", STRATEGIES)
def test_limits_are_never_violated(start, tiny, name):
    limit = int(np.median(tiny.costs.of_random(1000, seed=0)[1]))
    fake = start(strategy={"name": name, **FEW.get(name, {})}, limits={"macs": limit})
    search(fake, tiny, 20)
    assert len(fake.jobs_) == 20
    assert all(tiny.decode(choices_of(job.parameters)).macs <= limit for job in fake.jobs_)


def test_limits_that_leave_nothing_are_refused_before_a_run_begins(start, tmp_path):
    with pytest.raises(NasError, match=r"limits of macs 10 leave none of 20,000 random networks of tiny"):
        start(limits={"macs": 10})
    assert not (tmp_path / "runs").exists()


# Results


@pytest.mark.parametrize("way", ["receive", "journal first", "journal only", "import"])
def test_a_result_arrives_by_every_way_once(start, tiny, way):
    fake = start()
    job = fake.launch()
    value = result_of(job, tiny)
    if way.startswith("journal"):
        write_result(fake, job, value)
    if way == "import":
        fake.tuner.import_data([{"parameter": job.parameters, "value": value}])
    elif way != "journal only":
        fake.report(job, value)
    fake.end(job, "SUCCEEDED")
    fake.launch()
    trial = fake.trial(job)
    assert trial.state == "complete"
    assert (trial.accuracy, trial.reward, trial.seconds) == (value["accuracy"], value["default"], 2.5)
    assert sum(event["event"] == "told" for event in fake.journal().events) == 1


def test_the_end_may_be_heard_before_the_result(start, tiny):
    fake = start()
    first, second = fake.launch(), fake.launch()
    fake.end(first, "SUCCEEDED")
    assert fake.trial(first).state == "running"
    fake.report(first, result_of(first, tiny))
    assert fake.trial(first).accuracy == accuracy_of(first)
    fake.end(second, "FAILED")
    assert fake.trial(second).state == "failed"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        (None, "None"),
        ("0.9", "'0.9'"),
        ({"default": math.nan, "accuracy": 0.5}, "nan"),
        ({"accuracy": 0.5}, "None"),
    ],
)
def test_what_is_no_number_is_a_failure_with_its_reason(start, value, told):
    fake = start()
    job = fake.launch()
    fake.report(job, value)
    trial = fake.trial(job)
    assert (trial.state, trial.reason, trial.reward) == ("failed", f"the trial reported {told}", None)


def test_a_killed_trial_is_handed_out_again_and_costs_nothing(start, tiny):
    fake = start()
    job = fake.launch()
    fake.end(job, "USER_CANCELED")
    assert fake.trial(job).state == "running"
    assert fake.params["maxTrialNumber"] == 13  # NNI counts it as another one
    again = fake.launch()
    assert again.parameters == job.parameters
    fake.report(again, result_of(again, tiny))
    fake.end(again, "SUCCEEDED")
    assert fake.launch().number == 1
    assert fake.journal().repeats == {0: [job.id]}
    assert fake.ended_at == [13]
    assert fake.poll(finished=1) == 1  # it asks by itself


def test_a_trial_cancelled_on_another_machine_is_handed_out_again_while_others_run(start):
    """There no process writes that it has begun, so that those of others are known by their proposals alone."""
    fake = start({"trainingService": REMOTE, "trialConcurrency": 2})
    lost, other = fake.launch(), fake.launch()
    fake.end(lost, "USER_CANCELED")
    assert other.status == "RUNNING"
    assert fake.launch().parameters == lost.parameters


def test_a_trial_that_is_always_killed_is_a_failure_in_the_end(start):
    fake = start()
    for _ in range(3):
        job = fake.launch()
        assert job.number == 0
        fake.end(job, "USER_CANCELED")
    assert fake.trial(job).state == "failed"
    assert fake.trial(job).reason == (
        "the trial's process ended without a result (NNI: USER_CANCELED); it was killed 3 times, as by a crash or "
        "for want of memory"
    )
    assert fake.launch().number == 1
    assert fake.params["maxTrialNumber"] == 14


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_a_process_that_nni_gave_an_ended_trial_costs_its_own_proposal_nothing(start, tiny, status):
    """NNI hands parameters on in a queue: those that a killed trial did not fetch are the next one's."""
    fake = start({"trialConcurrency": 1})
    killed = fake.launch()
    fake.end(killed, "USER_CANCELED")
    again = fake.launch()
    write_result(fake, again, result_of(again, tiny))
    fake.report(again, result_of(again, tiny))
    fake.end(again, "SUCCEEDED")
    for turn in range(4):
        job = fake.launch()
        assert job.number == 1
        Journal(fake.run / FILE).answered(0, job.id)
        if status == "SUCCEEDED":
            job.value = result_of(again, tiny)
        fake.end(job, status)
        assert fake.trial(job).state == "running"
        assert fake.params["maxTrialNumber"] == 14 + turn
    job = fake.launch()
    fake.end(job, "USER_CANCELED")
    assert fake.launch().parameters == job.parameters
    assert fake.journal().kills == {0: 1, 1: 1}


COMPOUND = "cd .; {} -c 'import os; os.kill(os.getpid(), 9)'; exit $?"


@pytest.mark.parametrize("signalled", [True, False])
def test_a_compound_command_whose_program_was_killed_is_repeated(start, signalled):
    """Its shell fails, which to NNI is a failure, but says why."""
    fake = start()
    job = fake.launch()
    logs = last_words.trial_logs(job.id)
    logs.mkdir(parents=True)
    command = COMPOUND.format(sys.executable) if signalled else "echo 'No such file' >&2; exit 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert done.returncode == (137 if signalled else 1)
    (logs / "trial.stderr").write_bytes(done.stderr)
    fake.end(job, "FAILED")
    assert fake.trial(job).state == ("running" if signalled else "failed")


def test_when_the_last_trial_is_killed_nni_is_made_to_ask_once_more(start, tiny):
    """It asks for a proposal when a trial ends, but not where maxTrialNumber is reached."""
    fake = start({"maxTrialNumber": 2})
    first, last = fake.launch(), fake.launch()
    fake.report(first, result_of(first, tiny))
    fake.end(first, "SUCCEEDED")
    assert fake.poll(finished=1) == 0
    fake.end(last, "USER_CANCELED")
    assert fake.poll(finished=0) == 1
    again = fake.launch()
    assert again.parameters == last.parameters
    assert fake.params == fake.params | {"maxTrialNumber": 3, "trialConcurrency": 2}
    fake.end(again, "USER_CANCELED")
    assert fake.poll(finished=1) == 1
    assert fake.launch().parameters == last.parameters
    assert fake.params == fake.params | {"maxTrialNumber": 4, "trialConcurrency": 2}


def test_a_raised_concurrency_that_a_crash_left_is_lowered(start, document):
    fake = start({"maxTrialNumber": 1})
    fake.end(fake.launch(), "USER_CANCELED")
    assert fake.params["trialConcurrency"] == 3
    fake.resume(document)
    assert fake.params["trialConcurrency"] == 2
    fake.params["trialConcurrency"] = 4  # the user's own
    fake.resume(document)
    assert fake.params["trialConcurrency"] == 4


def test_a_changed_number_of_trials_is_written_down(start, tiny):
    fake = start()
    job = fake.launch()
    fake.end(job, "USER_CANCELED")
    assert fake.launch().parameters == job.parameters
    assert (fake.journal().max_trials, fake.params["maxTrialNumber"]) == (12, 13)
    fake.params["maxTrialNumber"] = 9  # nnictl update trialnum
    fake.launch()
    assert fake.journal().max_trials == 8
    assert fake.params["maxTrialNumber"] == 9


def test_what_nni_could_not_be_told_it_is_told_later(start, monkeypatch):
    fake = start({"maxTrialNumber": 1})
    job = fake.launch()

    def deaf(_: int) -> None:
        raise ConnectionResetError(104, "reset")

    with monkeypatch.context() as patch:
        patch.setattr(fake, "set_trials", deaf)
        fake.end(job, "USER_CANCELED")
    assert fake.params["maxTrialNumber"] == 1
    again = fake.launch()
    assert again.parameters == job.parameters
    assert fake.params == fake.params | {"maxTrialNumber": 2, "trialConcurrency": 2}
    assert fake.journal().max_trials == 1


def test_a_result_that_never_comes_is_not_waited_for_by_nobody(start, monkeypatch):
    """The last trial: no proposal is asked for any more."""
    monkeypatch.setattr(flights, "GRACE", 0.5)
    fake = start({"maxTrialNumber": 1})
    job = fake.launch()
    fake.end(job, "SUCCEEDED")
    assert fake.trial(job).state == "running"
    deadline = time.monotonic() + 20
    while fake.trial(job).state == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (
        fake.trial(job).reason
        == "the trial's process ended without a result, though it ended with exit code 0"
    )


def test_a_trial_that_its_user_cancelled_is_a_failure(start):
    fake = start()
    job = fake.launch()
    job.intermediate = 0.4  # of a search without an assessor it is no result
    Journal(fake.run / FILE).began(job.number, job.id, pid=1)
    mark(fake, job)
    fake.end(job, "USER_CANCELED")
    assert fake.trial(job).reason == "the trial's process ended without a result: it was cancelled"
    assert fake.trial(job).job == job.id


def mark(fake: FakeNNI, job: TrialJob) -> None:
    """What a trial on this machine leaves when a signal ends it."""
    path = trial_file(fake.run, job.number, INTERRUPTED)
    path.parent.mkdir(exist_ok=True)
    path.touch()


def test_a_trial_over_its_time_is_stopped_with_its_last_accuracy(start):
    fake = start({"maxTrialDuration": "2m"})
    stopped, hung = fake.launch(), fake.launch()
    stopped.intermediate, stopped.seconds, hung.seconds = 0.4, 120.5, 121.0
    fake.end(stopped, "EARLY_STOPPED")
    assert (fake.trial(stopped).state, fake.trial(stopped).accuracy) == ("stopped", 0.4)
    fake.end(hung, "USER_CANCELED")
    assert fake.trial(hung).reason == (
        "the trial's process ended without a result: it took longer than maxTrialDuration (120 s)"
    )
    assert fake.journal().repeats == {}


def test_a_trial_that_reports_nothing_is_a_failure(start, monkeypatch):
    fake = start()
    job = fake.launch()
    fake.end(job, "SUCCEEDED")
    assert fake.trial(job).state == "running"  # its result may be on its way
    monkeypatch.setattr(flights, "GRACE", 0.0)
    fake.end(job, "SUCCEEDED")
    assert fake.trial(job).reason == (
        "the trial's process ended without a result, though it ended with exit code 0"
    )


def test_two_trials_that_got_each_others_samples_are_told_apart(start, tiny):
    """NNI hands samples out in order, whichever process asks first; the journal says who has which."""
    fake = start()
    first, second = fake.launch(), fake.launch()
    journal = Journal(fake.run / FILE)
    journal.began(first.number, second.id, pid=1)
    journal.began(second.number, first.id, pid=2)
    fake.end(first, "USER_CANCELED")  # whose process evaluated the second sample
    assert fake.launch().parameters == second.parameters
    assert fake.journal().repeats == {second.number: [first.id]}
    write_result(fake, first, result_of(first, tiny))
    fake.end(second, "SUCCEEDED")
    assert fake.trial(first).state == "complete"


def test_a_sample_that_another_trial_got_is_not_handed_out_twice(start, tiny):
    """Between the words of the two trials that got each other's, the second seems to be nobody's."""
    fake = start()
    first, second = fake.launch(), fake.launch()
    Journal(fake.run / FILE).began(first.number, second.id, pid=1)
    assert fake.launch().number == 2
    Journal(fake.run / FILE).began(second.number, first.id, pid=2)
    assert fake.launch().number == 3


def test_a_run_keeps_where_its_trials_run_and_no_secret(start):
    hosts = [{**one, "password": "Geheim-4"} for one in REMOTE["machineList"]]
    storage = {"storageType": "AzureBlob", "storageAccountKey": "Geheim-5"}
    fake = start({"trainingService": {**REMOTE, "machineList": hosts}, "sharedStorage": storage})
    fake.launch()
    kept = json.loads((fake.run / CONFIG).read_text())
    assert kept["trainingService"] == REMOTE
    assert "Geheim" not in "".join(path.read_text() for path in fake.run.glob("*.json*"))


@pytest.mark.parametrize("service", [{"platform": "local"}, REMOTE], ids=["here", "elsewhere"])
@pytest.mark.parametrize("resumed", [False, True])
def test_of_a_long_list_of_jobs_those_alone_that_ended_are_asked_for(
    start, tiny, tmp_path, document, monkeypatch, resumed, service
):
    """Here the list is asked for again where a killed trial's parameters may be in another's hands."""
    args: dict[str, Any] = {"strategy": {"name": "evolution", **FEW["evolution"]}, "seed": 1}
    params = {"maxTrialNumber": 60, "trainingService": service}

    def searched() -> FakeNNI:
        fake = start(dict(params), **args)
        if resumed:
            search(fake, tiny, 40, stop=45)
            fake.resume(document)
        search(fake, tiny, 40)
        return fake

    short = searched()
    found = [(trial.number, trial.key, trial.state, trial.reward) for trial in short.journal().ended()]
    assert {state for _, _, state, _ in found} == {"complete", "failed"}
    assert short.journal().repeats
    (tmp_path / "runs").rename(tmp_path / "before")
    monkeypatch.setattr(jobs, "MANY", -1)
    monkeypatch.setattr(jobs, "SHARE", 1e9)
    long = searched()
    assert [choices_of(job.parameters) for job in long.jobs_] == [
        choices_of(job.parameters) for job in short.jobs_
    ]
    assert [(trial.number, trial.key, trial.state, trial.reward) for trial in long.journal().ended()] == found
    assert service is not REMOTE or long.lists == 1 + resumed < 40 < short.lists


def test_the_end_of_a_trial_is_heard_of_from_nnis_messages(start, monkeypatch):
    from nni.runtime.msg_dispatcher import MsgDispatcher

    monkeypatch.setattr(jobs, "MANY", -1)
    monkeypatch.setattr(jobs, "SHARE", 1e9)
    fake = start({"trainingService": REMOTE})
    lost = fake.launch()
    fake.launch()
    lost.status = "USER_CANCELED"
    packed = json.dumps({"parameter_id": lost.parameter_id, "parameters": lost.parameters})
    dispatcher = MsgDispatcher("ws://_unittest_", fake.tuner)
    end = {"trial_job_id": lost.id, "event": lost.status, "hyper_params": packed}
    dispatcher.process_command(tuner_module.CommandType.TrialEnd, end)
    assert fake.journal().repeats == {0: [lost.id]}
    assert fake.launch().parameters == lost.parameters


class Dispatcher:
    """NNI's, of which a tuner sees whether it is stopping, and tells it errors."""

    def __init__(self) -> None:
        self.stopping = False
        self.errors: list[str] = []

    def report_error(self, error: str) -> None:
        self.errors.append(error)

    def send(self, *_: object) -> None:
        raise AssertionError


def test_no_proposal_before_there_is_room_for_it(start, tiny, document):
    """After a resume NNI asks at once, while the trials of before still run."""
    fake = start({"trialConcurrency": 1})
    job = fake.launch()
    fake.resume(document)
    dispatcher, found = Dispatcher(), []
    ask = threading.Thread(
        target=lambda: found.append(fake.tuner.generate_parameters(0, st_callback=dispatcher.send))
    )
    ask.start()
    ask.join(1)
    assert ask.is_alive()
    write_result(fake, job, result_of(job, tiny))
    job.status = "SUCCEEDED"
    ask.join(10)
    assert found[0]["run"]["number"] == 1
    assert fake.journal().events[-1]["seen"] == 1


def test_a_proposal_that_is_waited_for_ends_with_the_search(start):
    fake = start({"trialConcurrency": 1})
    fake.launch()
    dispatcher = Dispatcher()
    dispatcher.stopping = True
    with pytest.raises(nni.NoMoreTrialError, match="being stopped"):
        fake.tuner.generate_parameters(1, st_callback=dispatcher.send)


def test_a_result_of_another_machine_is_heard_while_a_proposal_waits(start, tiny):
    """NNI's dispatcher hands results on only once the proposal is made."""
    fake = start({"trialConcurrency": 1})
    job = fake.launch()
    job.status, job.value = "SUCCEEDED", result_of(job, tiny)
    found = fake.tuner.generate_parameters(1, st_callback=Dispatcher().send)
    assert found["run"]["number"] == 1
    assert fake.trial(job).accuracy == accuracy_of(job)


@pytest.mark.parametrize("lines", range(1, 9))
def test_a_journal_that_lost_its_end_goes_on_alike(start, tiny, document, tmp_path, lines):
    """NNI knows the proposals and results that it was told of."""
    args = {
        "params": {"trialConcurrency": 1},
        "strategy": {"name": "evolution", **FEW["evolution"]},
        "seed": 4,
    }
    undisturbed = start(**args)
    in_turn(undisturbed, tiny, 12)
    (tmp_path / "runs").rename(tmp_path / "runs0")
    fake = start(**args)
    in_turn(fake, tiny, 7)
    live = fake.launch()
    path = fake.run / FILE
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:-lines]) + whole[-lines][: len(whole[-lines]) // 2])
    fake.resume(document)
    fake.report(live, result_of(live, tiny))
    fake.end(live, "SUCCEEDED")
    in_turn(fake, tiny, 12)
    wanted = [(t.sample, t.state, t.reward) for t in undisturbed_trials(tmp_path / "runs0" / "exp1")]
    assert [(t.sample, t.state, t.reward) for t in fake.journal().ended()] == wanted


def undisturbed_trials(run: Path) -> list[Trial]:
    journal = Journal(run / FILE)
    journal.refresh()
    return journal.ended()


def in_turn(fake: FakeNNI, tiny: SearchSpace, trials: int) -> None:
    """One trial after the other, each on this machine."""
    while len(fake.journal().ended()) < trials:
        job = fake.launch()
        write_result(fake, job, result_of(job, tiny))
        fake.report(job, result_of(job, tiny))
        fake.end(job, "SUCCEEDED")


def test_a_trial_that_could_not_begin_is_recorded_with_its_last_words(start):
    fake = start()
    job = fake.launch()
    stderr = (
        Path(os.environ["NNI_LOG_DIRECTORY"]).parent / f"environments/local-env/trials/{job.id}/trial.stderr"
    )
    stderr.parent.mkdir(parents=True)
    stderr.write_text("Traceback (most recent call last):\nModuleNotFoundError: No module named 'nas'\n\n")
    fake.end(job, "FAILED")
    reason = fake.trial(job).reason
    assert "(NNI: FAILED): ModuleNotFoundError: No module named 'nas'; all of it is in" in reason
    assert str(stderr) in reason


def test_a_failure_that_the_trial_recorded_keeps_its_reason(start):
    fake = start()
    job = fake.launch()
    write(fake, job, "failed", reason="diverged: the loss is nan")
    fake.end(job, "FAILED")
    assert fake.trial(job).reason == "diverged: the loss is nan"


@pytest.mark.parametrize("status", ["EARLY_STOPPED", "USER_CANCELED"])
def test_an_assessors_stop_counts_with_the_last_accuracy(start, status):
    fake = start({"assessor": {"name": "Medianstop"}})
    job = fake.launch()
    job.intermediate = 0.6
    fake.end(job, status)
    trial = fake.trial(job)
    assert (trial.state, trial.accuracy, trial.job) == ("stopped", 0.6, job.id)
    assert trial.macs is not None
    assert trial.reward == pytest.approx(0.6 * (trial.macs / TARGET) ** -0.07)


def test_a_stop_before_the_first_accuracy_is_a_failure(start):
    fake = start({"assessor": {"name": "Medianstop"}})
    job = fake.launch()
    fake.end(job, "EARLY_STOPPED")
    assert fake.trial(job).state == "failed"


def test_a_bare_accuracy_is_an_early_stop_and_a_full_result_replaces_it(start, tiny):
    """NNI may hand on the last intermediate result as the final one."""
    fake = start()
    job = fake.launch()
    fake.report(job, 0.5)
    assert (fake.trial(job).state, fake.trial(job).accuracy) == ("stopped", 0.5)
    fake.report(job, result_of(job, tiny))
    assert (fake.trial(job).state, fake.trial(job).accuracy) == ("complete", accuracy_of(job))


@pytest.mark.parametrize(
    "parameters", [{}, None, "text", {"run": 5}, {"run": {"number": 99}}, {"stage1.op": "conv", "run": {}}]
)
def test_a_result_without_a_proposal_is_passed_over(start, parameters, caplog):
    fake = start()
    fake.launch()
    fake.tuner.import_data([{"parameter": parameters, "value": {"default": 0.5, "accuracy": 0.5}}])
    assert "without a proposal" in caplog.text
    assert fake.journal().ended() == []


def test_everything_that_happens_reaches_the_strategy_rightly(start, tiny, caplog):
    """The proposals are those of a conversation with the strategy itself, told what each was worth."""
    options = {"population_size": 4, "sample_size": 2, "mutation_prob": 0.3}
    fake = start({"assessor": {"name": "Medianstop"}}, strategy={"name": "evolution", **options}, seed=5)
    view = View(tiny.choices, key=lambda sample: tiny.decode(sample).key)
    talk = AskTell(view, make("evolution", options, seed=5), seed=5)
    for index in range(28):
        job = fake.launch()
        assert choices_of(job.parameters) == talk.ask()
        arch, accuracy, value = (
            tiny.decode(choices_of(job.parameters)),
            accuracy_of(job),
            result_of(job, tiny),
        )
        worth: float | None = reward(accuracy, arch.macs, TARGET)
        if index % 7 == 0:
            fake.report(job, value)
            fake.end(job, "SUCCEEDED")
        elif index % 7 == 1:
            write_result(fake, job, value)
            fake.end(job, "SUCCEEDED")
        elif index % 7 == 2:
            fake.tuner.import_data([{"parameter": job.parameters, "value": value}])
        elif index % 7 == 3:
            job.intermediate = accuracy
            fake.end(job, "EARLY_STOPPED")
        else:
            worth = None
            if index % 7 == 4:
                fake.report(job, math.nan)
            elif index % 7 == 5:
                write(fake, job, "failed", reason="why")
            fake.end(job, "FAILED")
        talk.tell(choices_of(job.parameters), worth)
    talk.close()


def test_threads_that_report_at_once_lose_nothing(start, tiny):
    """NNI tells of results on one thread and of ends on another."""
    fake = start(strategy={"name": "random"})
    jobs = [fake.launch() for _ in range(30)]
    errors: list[BaseException] = []

    def tell(action: Callable[[TrialJob], None]) -> None:
        try:
            for job in jobs:
                action(job)
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=tell, args=[lambda job: fake.report(job, result_of(job, tiny))]),
        threading.Thread(target=tell, args=[lambda job: fake.end(job, "SUCCEEDED")]),
        threading.Thread(target=tell, args=[lambda _: fake.generate()]),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    journal = fake.journal()
    assert [trial.number for trial in journal.ended()] == list(range(30))
    assert sorted(journal.trials) == list(range(60))
    assert len({trial.key for trial in journal.trials.values()}) == 60


# The end of a space


@pytest.fixture
def six(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A space of 8 samples and 6 networks: a skip from 8 to 16 channels is none."""
    monkeypatch.setattr(choice_space, "DRAWS", 500)
    stage = {"op": "conv", "kernel": [3, 5], "skip": ["none", "identity"], "channels": [8, 16]}
    return document | {"stages": [stage]}


def test_an_exhausted_space_ends_the_experiment(start, six):
    fake = start(space=six)
    for _ in range(6):
        fake.launch()
    with pytest.raises(nni.NoMoreTrialError):
        fake.generate()
    assert fake.lowered.wait(10)
    assert fake.ended_at == [6]
    assert len(fake.journal().trials) == 6


def test_an_exhausted_space_ends_even_where_the_manager_does_not_answer(start, six):
    fake = start(space=six)
    for _ in range(6):
        fake.launch()
    fake.silent = True
    for _ in range(2):
        with pytest.raises(nni.NoMoreTrialError):
            fake.generate()


# Resume


@pytest.mark.parametrize("name", STRATEGIES)
def test_resumed_at_any_point_it_goes_on_as_if_undisturbed(start, tiny, document, name, tmp_path):
    asks = 16
    args = {"strategy": {"name": name, **FEW.get(name, {})}, "seed": 4}
    undisturbed = start(**args)
    steps = search(undisturbed, tiny, asks)
    wanted = [choices_of(job.parameters) for job in undisturbed.jobs_]
    assert len({tiny.decode(sample).key for sample in wanted}) == asks

    for number, cut in enumerate(range(1, steps, steps // 5)):
        (tmp_path / "runs").rename(tmp_path / f"runs{number}")
        fake = start(**args)
        search(fake, tiny, asks, stop=cut)
        fake.resume(document)
        search(fake, tiny, asks)
        assert [choices_of(job.parameters) for job in fake.jobs_] == wanted
        assert [job.number for job in fake.jobs_] == list(range(asks))
        assert fake.journal().run["seed"] == 4


def test_a_resume_may_be_resumed(start, tiny, document):
    args = {"strategy": {"name": "evolution", **FEW["evolution"]}}
    fake = start(**args)
    for cut in (3, 9, 10, 20, 33):
        search(fake, tiny, 16, stop=cut)
        fake.resume(document)
    search(fake, tiny, 16)
    journal = fake.journal()
    assert len({trial.key for trial in journal.trials.values()}) == 16
    assert [job.number for job in fake.jobs_] == list(range(16))


def test_a_proposal_that_nni_never_received_is_handed_out_again(start, tiny, document):
    fake = start()
    first = fake.launch()
    _, lost = fake.generate()
    _, also_lost = fake.generate()
    fake.resume(document)
    assert [fake.generate()[1], fake.generate()[1]] == [lost, also_lost]
    fresh = fake.generate()[1]
    assert fresh["run"]["number"] == 3
    assert choices_of(fresh) not in [choices_of(p) for p in (first.parameters, lost, also_lost)]


def test_a_proposal_that_nni_knows_is_not_handed_out_again(start, tiny, document):
    fake = start()
    live, ended = fake.launch(), fake.launch()
    fake.report(ended, result_of(ended, tiny))
    fake.end(ended, "SUCCEEDED")
    fake.resume(document)
    assert fake.generate()[1]["run"]["number"] == 2
    fake.report(live, result_of(live, tiny))  # it ran again, and its result comes as imported data
    assert fake.trial(live).state == "complete"


def test_while_the_manager_does_not_answer_nothing_is_handed_out_twice(start, tiny, document):
    fake = start()
    fake.launch()
    _, lost = fake.generate()
    fake.resume(document)
    fake.silent = True
    assert fake.generate()[1]["run"]["number"] == 2
    fake.silent = False
    assert fake.generate()[1] == lost


def test_results_of_the_interruption_are_learnt(start, tiny, document):
    """A trial may have ended, and written its result, while there was no tuner."""
    fake = start()
    job = fake.launch()
    write_result(fake, job, result_of(job, tiny))
    fake.resume(document)
    assert fake.trial(job).state == "complete"
    assert fake.generate()[1]["run"]["number"] == 1


def test_the_proposal_beyond_the_last_trial_harms_nothing(start, tiny):
    """NNI asks for one sample more than maxTrialNumber, and never runs it."""
    fake = start()
    search(fake, tiny, 12)
    fake.generate()
    fake.tuner._on_exit()
    journal = fake.journal()
    assert len(journal.trials) == 13
    assert [trial.number for trial in journal.ended()] == list(range(12))


def test_a_space_that_changed_is_refused(start, document):
    fake = start()
    fake.launch()
    document["stages"][0]["kernel"] = [3, 5, 7]
    with pytest.raises(
        NasError,
        match=r"runs/exp1: its space tiny was changed since the run began \(sha256 \w{12}, now \w{12}\); "
        r"restore it, or start another search$",
    ):
        fake.resume(document)


def test_a_journal_with_other_proposals_is_not_repeated(start, tiny, document, caplog):
    """Such as after an update of NNI: what is recorded stays, and nothing of it is proposed again."""
    fake = start(strategy={"name": "random"})
    search(fake, tiny, 10)
    for _ in range(10):  # still running
        fake.launch()
    first, *rest = (fake.run / FILE).read_bytes().splitlines(keepends=True)
    run = {key: value for key, value in json.loads(first).items() if key != "crc"}
    (fake.run / FILE).write_bytes(b"".join([dump(run | {"seed": 1}), *rest]))
    fake.resume(document)
    assert "proposes otherwise than recorded" in caplog.text
    for _ in range(50):
        fake.launch()
    journal = fake.journal()
    assert len({trial.key for trial in journal.trials.values()}) == len(journal.trials) == 70


def test_a_running_search_keeps_its_space(start, document):
    fake = start()
    with pytest.raises(NasError, match=r"the search space of a running search cannot change"):
        fake.tuner.update_search_space(document)


# Beginning


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"sed": 1}, r"^classArgs: unknown key 'sed' \(did you mean 'seed'\?\)"),
        ({"strategy": {"name": "annealing"}}, r"^classArgs: strategy\.name is 'annealing'"),
        ({"reward": {"target": 0}}, r"^classArgs: reward\.target is 0"),
        (
            {"strategy": {"name": "evolution", "population_size": 2}},
            r"^classArgs: strategy\.population_size is 2; it must be over trialConcurrency \(2\)",
        ),
    ],
)
def test_bad_class_args_are_told_once_nni_listens(start, args, sentence):
    """Of what a constructor raises, NNI says that the tuner did not connect."""
    StrategyTuner(**args)
    with pytest.raises(NasError, match=sentence):
        start(**args)


def test_a_bad_space_is_one_sentence(start, document):
    document["stages"][0]["kernal"] = 3
    with pytest.raises(
        NasError, match=r"^search space: unknown key 'kernal' in stage1 \(did you mean 'kernel'\?\)"
    ):
        start(space=document)


def one_by_one(fake: FakeNNI, tiny: SearchSpace, until: int) -> dict[int, dict[str, Any]]:
    """Trials one at a time, until there are so many results; their samples by number."""
    while len([t for t in fake.journal().trials.values() if t.state == "complete"]) < until:
        job = fake.launch()
        write_result(fake, job, result_of(job, tiny))
        fake.report(job, result_of(job, tiny))
        fake.end(job, "SUCCEEDED")
    return {number: trial.sample for number, trial in fake.journal().trials.items()}


@pytest.mark.parametrize("name", ["evolution", "local", "model", "random", "tpe"])
def test_whichever_line_is_damaged_the_search_goes_on_as_it_did(start, tiny, document, name):
    strategy = {"name": name, **FEW.get(name, {})}
    fake = start({"trialConcurrency": 1}, strategy=strategy, seed=1)
    one_by_one(fake, tiny, 6)
    path, jobs = fake.run / FILE, list(fake.jobs_)
    whole = path.read_bytes().splitlines(keepends=True)
    wanted = one_by_one(fake, tiny, 9)
    for number in range(len(whole)):
        broken = bytearray(whole[number])
        broken[5 + 7 * number % 15] ^= 1
        path.write_bytes(b"".join([*whole[:number], bytes(broken), *whole[number + 1 :]]))
        fake.jobs_ = list(jobs)
        fake.resume(document)
        assert one_by_one(fake, tiny, 9) == wanted, whole[number]
        journal = fake.journal()
        assert journal.unreadable == 0
        assert [event["number"] for event in journal.results()] == list(range(9))
        keys = [trial.key for trial in journal.trials.values()]
        assert len(set(keys)) == len(keys)


def test_a_manager_that_does_not_answer_begins_no_other_search(start, document, tmp_path, monkeypatch):
    fake = start()
    monkeypatch.setattr(tuner_module.time, "sleep", lambda _: None)
    fake.silent = True
    with pytest.raises(
        NasError, match=r"NNI's manager did not tell the experiment's settings .*; resume the search"
    ):
        fake.resume(document)
    assert [path.parent.name for path in tmp_path.rglob(FILE)] == ["exp1"]


def test_without_nni_it_runs_in_the_working_directory(in_folder, document, monkeypatch):
    monkeypatch.setattr(board, "StudyBoard", SilentBoard)
    tuner = StrategyTuner(strategy="random")
    tuner.update_search_space(document)
    assert tuner.generate_parameters(0)["run"]["number"] == 0
    assert (in_folder / "runs" / "local" / FILE).is_file()
    tuner._on_exit()


def test_results_are_drawn(start, tiny, monkeypatch):
    """The board is asked to draw at the start and after every result, and closed in the end."""
    drawn = []
    monkeypatch.setattr(SilentBoard, "update", lambda self: drawn.append(self) or 0)
    fake = start()
    for _ in range(3):
        job = fake.launch()
        fake.report(job, result_of(job, tiny))
    assert len(drawn) == 4
    fake.tuner._on_exit()
    assert drawn[0].closed


LIGHT = """
import sys
import nas.search.tuner
nas.search.tuner.StrategyTuner(strategy={"name": "evolution"}, reward={"form": "hard"}, seed=1)
heavy = ("torch", "nni.nas", "matplotlib", "tensorboard", "sklearn", "nas.network", "nas.data")
print([name for name in heavy if name in sys.modules])
"""


def test_nothing_heavy_is_imported_before_the_tuner_connects():
    """NNI gives it ten seconds from its start."""
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_after_a_resume_nni_tells_new_trials_from_those_it_runs_again():
    """NNI counts parameter ids from 0 again, and hears of the old ones late."""
    from nni.recoverable import Recoverable

    dispatcher = Recoverable()
    dispatcher.recover_parameter_id([{"parameter_id": 10, "parameters": {"a": 1}}])
    assert dispatcher.is_created_in_previous_exp(10)
    assert not dispatcher.is_created_in_previous_exp(0)
    assert not dispatcher.is_created_in_previous_exp(None)
