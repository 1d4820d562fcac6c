"""One trial: by hand, under our tuner, under one of NNI's own; and everything that can go wrong in it."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from filelock import FileLock

import nas.evaluators.proxy
import nas.network
import nas.npz
import nas.search.watch
from nas import NasError, SearchSpace, reward
from nas.search import evaluating, measuring
from nas.search.journal import FILE, Journal, Trial
from nas.search.options import options_of
from nas.search.reporter import Reporter
from nas.search.runs import INTERRUPTED, LOCK, trial_file

EPOCHS = 2


class FakeNNI(ModuleType):
    """The module that a trial reports to."""

    def __init__(self) -> None:
        super().__init__("nni")
        self.parameters: dict[str, Any] | None = None
        self.intermediate: list[float] = []
        self.final: list[dict[str, float]] = []
        self.at_final: Callable[[], None] = lambda: None
        self.at_intermediate: Callable[[], None] = lambda: None

    def get_next_parameter(self) -> dict[str, Any] | None:
        return json.loads(json.dumps(self.parameters))

    def report_intermediate_result(self, value: float) -> None:
        self.intermediate.append(value)
        self.at_intermediate()

    def report_final_result(self, value: dict[str, float]) -> None:
        self.at_final()
        self.final.append(value)


class Bench:
    """Runs trials of the small space on the small images, in this process."""

    def __init__(self, folder: Path, images: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.images, self.journal, self.monkeypatch = folder, images, journal, monkeypatch
        self.run = journal.path.parent
        self.nni = FakeNNI()
        monkeypatch.setitem(sys.modules, "nni", self.nni)
        monkeypatch.setenv("NNI_EXP_ID", self.run.name)
        monkeypatch.setenv("NNI_CODE_DIR", str(folder))
        self.watches: list[tuple[Path | None, int | None]] = []
        monkeypatch.setattr(
            nas.search.watch, "Watch", lambda mark, memory, _: self.watches.append((mark, memory))
        )

    def ask(self, sample: dict[str, Any]) -> int:
        """Proposes as our tuner does."""
        arch = self.space.decode(sample)
        number = self.journal.asked(sample, arch.key, macs=arch.macs, params=arch.params, seen=0)
        self.nni.parameters = {**sample, "run": {**self.journal.run["trial"], "number": number}}
        return number

    @property
    def space(self) -> SearchSpace:
        return SearchSpace.from_data(self.journal.run["document"])

    def start(self, *options: str, job: str = "job0", data: str | None = None) -> int:
        """The exit code of a trial process."""
        self.monkeypatch.setenv("NNI_TRIAL_JOB_ID", job)
        words = ["--data", data or f"npz:{self.images}", "--epochs", str(EPOCHS), "--batch-size", "18"]
        return evaluating.main([*words, *options])

    def trial(self, number: int) -> Trial:
        self.journal.refresh()
        return self.journal.trials[number]

    def forbid_training(self) -> None:
        def build(*_: object) -> None:
            raise AssertionError("a network was built")

        self.monkeypatch.setattr(nas.evaluators.proxy, "build", build)


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A trial changes its process: signals, threads, environment."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads, umask = torch.get_num_threads(), os.umask(0o022)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(threads)
    os.umask(umask)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def bench(
    tmp_path: Path, images: Path, make_run: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> Bench:
    return Bench(tmp_path, images, make_run(), monkeypatch)


@pytest.fixture
def foreign(tmp_path: Path, images: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Under a tuner of NNI's own: no journal yet, and no run entry in the parameters."""
    bench = Bench(tmp_path, images, Journal(tmp_path / "runs" / "own" / FILE), monkeypatch)
    (tmp_path / "tiny.yml").write_text(json.dumps(document))
    return bench


SAMPLE = {
    "stage1.op": "conv", "stage1.kernel": 3, "stage1.skip": "none", "stage1.channels": 16, "stage1.layers": 1,
    "stage2.expand": 3, "stage2.se": 0.25,
}  # fmt: skip
TWIN = SAMPLE | {"stage1.skip": "identity"}
"""The same network, for one layer from 8 to 16 channels takes no skip."""
OTHER = SAMPLE | {"stage2.expand": 6}


def one_sentence(text: str, start: str = "nas trial: ") -> bool:
    return text.startswith(start) and text.count("\n") == 1 and "Traceback" not in text


# By hand


def test_by_hand_it_prints_its_metrics(tmp_path, images, document, tiny):
    (tmp_path / "tiny.yml").write_text(json.dumps(document))
    command = [
        sys.executable,
        "-m",
        "nas.search.trial",
        "--data",
        f"npz:{images}",
        "--epochs",
        "1",
        "--seed",
        "1",
    ]
    done = subprocess.run(
        [*command, "--space", "tiny.yml"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    final = json.loads(done.stdout)
    sample = json.loads(done.stderr.splitlines()[0])
    arch = tiny.decode(sample)
    assert final.keys() == {"default", "accuracy", "macs", "params", "seconds"}
    assert (final["macs"], final["params"]) == (arch.macs, arch.params)
    assert final["default"] == pytest.approx(reward(final["accuracy"], arch.macs, 60_000))
    assert done.stderr.splitlines()[1].startswith("epoch 1: ")
    assert not (tmp_path / "runs").exists()


def test_by_hand_the_sample_may_be_given(tmp_path, images, document, tiny, capsys):
    (tmp_path / "tiny.yml").write_text(json.dumps(document))
    (tmp_path / "sample.json").write_text(json.dumps(SAMPLE))
    words = [
        "--data",
        f"npz:{images}",
        "--epochs",
        "1",
        "--space",
        str(tmp_path / "tiny.yml"),
        "--target-macs",
        "1M",
    ]
    finals = []
    for sample in (json.dumps(SAMPLE, indent=30), str(tmp_path / "sample.json")):  # longer than a file's name
        assert evaluating.main([*words, "--sample", sample]) == 0
        finals.append(json.loads(capsys.readouterr().out))
    assert finals[0]["accuracy"] == finals[1]["accuracy"]
    macs = tiny.decode(SAMPLE).macs
    assert finals[0]["default"] == pytest.approx(reward(finals[0]["accuracy"], macs, 1_000_000))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "trial: --space is missing; name a search space, such as --space digits"),
        (["--space", "digit"], "there is no search space 'digit' (did you mean 'digits'?)"),
        (["--space", "digits", "--sample", "{"], "trial: --sample, line 1: not JSON"),
        (["--space", "digits", "--sample", "[1]"], "trial: --sample is [1]; give a mapping"),
        (
            ["--space", "digits", "--sample", "{}"],
            "sample: choice 'stage1.op' is missing; allowed: conv, dsconv",
        ),
        (
            ["--space", "digits", "--epochs", "0"],
            "trial: epochs is 0; give a number greater than or equal to 1",
        ),
        (["--space", "digits", "--optimizer", "adam"], "trial: optimizer is 'adam'; give 'sgd' or 'rmsprop'"),
        (["--space", "digits", "--target-macs", "0"], "trial: target is '0'; give multiply-adds over 0"),
        (["--space", "digits", "--target-macs", "few"], "trial: target is 'few'; give a whole number"),
        (
            ["--space", "digits", "--max-macs", "-1"],
            "trial: macs is '-1'; give a number greater than or equal to 1",
        ),
        (
            ["--space", "digits", "--device", "tpu"],
            "trial: --device is 'tpu'; allowed: auto, cpu, cuda, cuda:N",
        ),
        (
            ["--epochs", "few"],
            "trial: argument --epochs: invalid int value: 'few'; see python -m nas.search.trial",
        ),
        (["--threads", "0"], "trial: argument --threads: '0'; give a whole number of 1 or more; see python"),
        (
            ["--workers", "-1"],
            "trial: argument --workers: '-1'; give a whole number of 0 or more; see python",
        ),
        (["--epoch", "3"], "trial: unrecognized arguments: --epoch 3; see python -m nas.search.trial --help"),
    ],
)
def test_by_hand_a_mistake_is_one_sentence(options, sentence, capsys):
    assert evaluating.main(["--data", "digits", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    *printed, said = captured.err.splitlines(keepends=True)
    assert one_sentence(said, f"nas trial: {sentence}")
    assert len(printed) <= 1  # the random sample


def test_data_must_be_named(capsys):
    assert evaluating.main(["--space", "digits"]) == 2
    assert one_sentence(
        capsys.readouterr().err, "nas trial: trial: one of the arguments --data --table is required; see"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_gpu_is_one_sentence(capsys):
    assert evaluating.main(["--data", "digits", "--space", "digits", "--device", "cuda:1"]) == 2
    assert "--device is cuda:1, but torch sees no CUDA device; use cpu or auto" in capsys.readouterr().err


def test_gpus_are_counted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [measuring.device_of(name) for name in ("auto", "cpu", "cuda", "cuda:1")] == [
        "cuda",
        "cpu",
        "cuda",
        "cuda:1",
    ]
    with pytest.raises(
        NasError, match="--device is cuda:2, but of CUDA devices torch sees 2, numbered from 0"
    ):
        measuring.device_of("cuda:2")
    with pytest.raises(NasError, match="--device is 'cuda:x'; allowed: auto, cpu, cuda, cuda:N"):
        measuring.device_of("cuda:x")


def test_help_is_no_failure(capsys):
    with pytest.raises(SystemExit) as done:
        evaluating.main(["--help"])
    assert done.value.code == 0
    assert "--label-smoothing" in capsys.readouterr().out


# Under our tuner


def test_the_journal_hears_of_the_result_before_nni(bench, tiny):
    number = bench.ask(SAMPLE)
    seen: list[Trial] = []
    bench.nni.at_final = lambda: seen.append(bench.trial(number))
    assert bench.start() == 0

    (final,) = bench.nni.final
    arch = tiny.decode(SAMPLE)
    assert final.keys() == {"default", "accuracy", "macs", "params", "seconds"}
    assert (final["macs"], final["params"]) == (arch.macs, arch.params)
    assert 0 <= final["accuracy"] <= 1
    assert final["seconds"] > 0
    assert final["default"] == pytest.approx(final["accuracy"] * (arch.macs / 60_000) ** -0.07)
    assert (seen[0].state, seen[0].accuracy, seen[0].reward, seen[0].seconds, seen[0].job) == (
        "complete", final["accuracy"], final["default"], final["seconds"], "job0",
    )  # fmt: skip
    assert len(bench.nni.intermediate) == EPOCHS
    assert bench.nni.intermediate[-1] == final["accuracy"]


def test_it_learns(bench):
    """The two classes are told apart by their brighter half; a coin gives 1/2."""
    number = bench.ask(SAMPLE)
    assert bench.start("--epochs", "12", "--lr", "0.2") == 0
    assert bench.trial(number).accuracy == 1


def histories(bench: Bench, monkeypatch: pytest.MonkeyPatch, *seeds: int) -> list[list[dict[str, float]]]:
    found: list[list[dict[str, float]]] = []
    report = Reporter.epoch

    def epoch(self: Reporter, number: int, metrics: dict[str, float]) -> None:
        found[-1].append({name: value for name, value in metrics.items() if name != "seconds"})
        report(self, number, metrics)

    monkeypatch.setattr(Reporter, "epoch", epoch)
    for seed in seeds:
        bench.ask(SAMPLE)
        assert bench.nni.parameters is not None
        bench.nni.parameters["run"]["seed"] = seed
        found.append([])
        assert bench.start() == 0
    return found


def test_a_seed_fixes_everything(bench, monkeypatch):
    first, again, other = histories(bench, monkeypatch, 7, 7, 8)
    assert len(first) == EPOCHS
    assert again == first
    assert [epoch["loss"] for epoch in other] != [epoch["loss"] for epoch in first]


def test_the_test_split_is_never_touched(bench, monkeypatch):
    read: list[str] = []
    array = nas.npz._array

    def reading(path: Path, name: str, where: str) -> Any:
        read.append(name)
        return array(path, name, where)

    monkeypatch.setattr(nas.npz, "_array", reading)
    bench.ask(SAMPLE)
    assert bench.start() == 0
    assert "x_train" in read
    assert not {"x_test", "y_test"} & set(read)


def test_over_a_limit_it_is_rejected_before_a_network_is_built(bench, make_run, tiny):
    macs = tiny.decode(SAMPLE).macs
    bench.journal = make_run(
        name="limited", trial=bench.journal.run["trial"] | {"limits": {"macs": macs - 1, "params": None}}
    )
    bench.run = bench.journal.path.parent
    bench.monkeypatch.setenv("NNI_EXP_ID", "limited")
    bench.forbid_training()
    number = bench.ask(SAMPLE)
    assert bench.start() == 0
    found = bench.trial(number)
    assert (found.state, found.reward) == ("rejected", None)
    assert found.reason == f"macs {macs:,} is over the limit of {macs - 1:,}"
    assert bench.nni.final[0]["default"] == 0


def test_a_number_that_was_evaluated_is_answered_without_training(bench):
    """Such as after a kill between the journal and NNI."""
    number = bench.ask(SAMPLE)
    bench.journal.told(number, "complete", accuracy=0.75, reward=0.8, seconds=9.0)
    bench.forbid_training()
    assert bench.start() == 0
    assert bench.nni.final[0]["accuracy"] == 0.75
    assert bench.nni.final[0]["default"] == 0.8
    assert bench.trial(number).seconds == 9.0


def test_a_stopped_number_is_evaluated_in_full(bench):
    number = bench.ask(SAMPLE)
    bench.journal.told(number, "stopped", accuracy=0.01, reward=0.01)
    assert bench.start() == 0
    assert bench.trial(number).state == "complete"


def test_our_trials_are_watched(bench):
    """Their signals are heard by a thread, and leave a mark for the tuner."""
    number = bench.ask(SAMPLE)
    assert bench.start("--memory-limit", "4G") == 0
    assert bench.watches == [(trial_file(bench.run, number, INTERRUPTED), 4_000_000_000)]


def test_a_trial_over_its_memory_limit_says_so(bench, monkeypatch, capsys):
    def watch(mark: Path, memory: int, over: Callable[[int], None]) -> None:
        over(memory + 500_000_000)

    monkeypatch.setattr(nas.search.watch, "Watch", watch)
    number = bench.ask(SAMPLE)
    bench.start("--memory-limit", "2G")
    assert bench.trial(number).reason == "out of memory: 2.5 GB in use, over --memory-limit 2G"
    assert "nas trial: out of memory" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["0", "-1", "much", "1.5"])
def test_a_memory_limit_is_bytes(bench, capsys, limit):
    bench.ask(SAMPLE)
    assert bench.start("--memory-limit", limit) == 2
    assert f"argument --memory-limit: {limit!r}; give bytes, such as 4G" in capsys.readouterr().err


def test_a_trial_waits_for_a_process_that_evaluates_its_number_already(bench, capsys):
    """An orphan of a killed manager finishes; the trial that the resumed search runs answers from its result."""
    number = bench.ask(SAMPLE)
    bench.forbid_training()
    path = trial_file(bench.run, number, LOCK)
    path.parent.mkdir()
    taken = threading.Event()

    def orphan() -> None:
        with FileLock(str(path)):
            taken.set()
            time.sleep(0.5)
            bench.journal.told(number, "complete", accuracy=0.75, reward=0.8)

    thread = threading.Thread(target=orphan)
    thread.start()
    taken.wait()
    assert bench.start(job="job1") == 0
    thread.join()
    assert bench.nni.final[0]["accuracy"] == 0.75
    assert "is still evaluated by another process" in capsys.readouterr().err
    bench.journal.refresh()
    assert (bench.journal.jobs, bench.journal.answers) == ({}, {"job1": number})


def test_a_trial_that_failed_before_is_not_evaluated_again(bench, capsys):
    number = bench.ask(SAMPLE)
    bench.journal.told(number, "failed", reason="diverged")
    bench.forbid_training()
    assert bench.start(job="job1") == 2
    assert "this trial has ended before: diverged" in capsys.readouterr().err
    bench.journal.refresh()
    assert bench.journal.answers == {"job1": number}  # so that its job's own proposal is evaluated again


def test_a_trial_says_in_the_journal_which_job_it_is(bench):
    """NNI may give two trials that begin at once each other's samples."""
    number = bench.ask(SAMPLE)
    assert bench.start(job="job7") == 0
    bench.journal.refresh()
    assert bench.journal.jobs == {number: "job7"}


def test_on_another_machine_the_tuner_writes_the_result(bench, tmp_path, document, monkeypatch):
    """There is neither journal nor space document; --space gives the document."""
    (tmp_path / "tiny.yml").write_text(json.dumps(document))
    number = bench.ask(SAMPLE)
    monkeypatch.setenv("NNI_CODE_DIR", str(tmp_path / "elsewhere"))
    assert bench.start("--space", str(tmp_path / "tiny.yml")) == 0
    assert bench.nni.final[0]["accuracy"] >= 0
    assert bench.trial(number).state == "running"
    assert not (tmp_path / "elsewhere").exists()


def test_another_document_than_the_runs_is_refused(bench, tmp_path, document, capsys):
    document["stages"][0]["kernel"] = [3, 5, 7]
    (tmp_path / "tiny.yml").write_text(json.dumps(document))
    number = bench.ask(SAMPLE)
    assert bench.start("--space", str(tmp_path / "tiny.yml")) == 2
    found = bench.trial(number)
    assert found.state == "failed"
    assert found.reason is not None
    assert found.reason.startswith("trial: the space tiny found here (sha256 ")
    assert found.reason.endswith("give this machine the run's document with --space PATH")
    assert one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--seed", "3"], "trial: --seed is 3, but 7 in the run; leave it out of trialCommand"),
        (
            ["--w", "-0.1"],
            "trial: w is -0.1 in the command, but -0.07 in the run; leave it out of trialCommand",
        ),
        (["--form", "hard"], "trial: form is hard in the command, but soft in the run"),
        (["--target-macs", "1M"], "trial: target is 1000000 in the command, but 60000 in the run"),
        (["--max-macs", "1M"], "trial: macs is 1000000 in the command, but None in the run"),
        (["--max-params", "9"], "trial: params is 9 in the command, but None in the run"),
    ],
)
def test_an_option_that_contradicts_the_run_is_refused(bench, capsys, options, sentence):
    number = bench.ask(SAMPLE)
    bench.forbid_training()
    assert bench.start(*options) == 2
    assert one_sentence(capsys.readouterr().err, f"nas trial: {sentence}")
    assert (bench.trial(number).reason or "").startswith(sentence)
    assert bench.nni.final == []


def test_an_option_that_says_the_same_is_welcome(bench):
    bench.ask(SAMPLE)
    assert bench.start("--seed", "7", "--w", "-0.07", "--form", "soft", "--target-macs", "60k") == 0


# Failures


def test_a_diverged_training_is_recorded_with_its_reason(bench, capsys):
    number = bench.ask(SAMPLE)
    assert bench.start("--lr", "1e30", "--clip-norm", "0") == 1
    found = bench.trial(number)
    assert found.state == "failed"
    assert (found.reason or "").startswith("diverged: the loss is ")
    assert (found.accuracy, found.reward) == (None, None)
    assert bench.nni.final == []
    assert one_sentence(capsys.readouterr().err, "nas trial: diverged: ")


def failing(error: BaseException) -> Callable[..., None]:
    def forward(*_: object) -> None:
        raise error

    return forward


def test_want_of_memory_is_recorded_with_its_reason(bench, monkeypatch, capsys):
    number = bench.ask(SAMPLE)
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    monkeypatch.setattr(nas.network.Network, "forward", failing(error))
    assert bench.start() == 1
    assert bench.trial(number).reason == (
        "out of memory on cpu with batches of 18; lower batch_size "
        "(CUDA out of memory. Tried to allocate 2.00 GiB.)"
    )
    assert one_sentence(capsys.readouterr().err, "nas trial: out of memory")


def test_an_error_of_ours_is_recorded_and_traced(bench, monkeypatch, capsys):
    number = bench.ask(SAMPLE)
    monkeypatch.setattr(nas.network.Network, "forward", failing(KeyError("some\nthing")))
    assert bench.start() == 1
    assert bench.trial(number).reason == r"KeyError: 'some\nthing'"
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.endswith("nas trial: KeyError: 'some\\nthing'\n")


def test_missing_data_is_one_sentence(bench, capsys):
    number = bench.ask(SAMPLE)
    assert bench.start(data="npz:/nowhere.npz") == 2
    sentence = "npz:/nowhere.npz: there is no such file; give the path of an npz file"
    assert bench.trial(number).reason == sentence
    assert capsys.readouterr().err == f"nas trial: {sentence}\n"


def test_a_manager_that_is_gone_costs_no_result(bench, capsys):
    number = bench.ask(SAMPLE)

    def lost() -> None:
        raise ConnectionResetError(104, "Connection reset by peer")

    bench.nni.at_final = bench.nni.at_intermediate = lost
    assert bench.start() == 0
    assert bench.trial(number).state == "complete"
    assert "NNI was not told ([Errno 104] Connection reset by peer)" in capsys.readouterr().err


def test_a_full_disk_is_told_beside_the_failure(bench, monkeypatch, capsys):
    bench.ask(SAMPLE)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert bench.start(data="npz:/nowhere.npz") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("nas trial: npz:/nowhere.npz: ")
    assert second.startswith(f"nas trial: {bench.journal.path}: cannot be written (No space left on device)")


def test_pictures_cost_no_trial(bench, caplog):
    number = bench.ask(SAMPLE)
    (bench.run / "trials").write_text("in the way")
    assert bench.start() == 0
    assert bench.trial(number).state == "complete"
    assert "TensorBoard's files were not written" in caplog.text


# Under a tuner of NNI's own


def test_under_nnis_tuners_the_trial_keeps_the_journal(foreign, tiny, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["trial.py", "--data", "folder:my images"])
    foreign.nni.parameters = SAMPLE
    options = [
        "--space",
        str(foreign.folder / "tiny.yml"),
        "--target-macs",
        "100k",
        "--w",
        "-0.1",
        "--seed",
        "3",
    ]
    assert foreign.start(*options) == 0
    found = foreign.trial(0)
    run = foreign.journal.run
    assert (found.state, found.job, found.sample) == ("complete", "job0", SAMPLE)
    assert found.reward == pytest.approx((found.accuracy or 0) * (tiny.decode(SAMPLE).macs / 100_000) ** -0.1)
    assert (run["experiment"], run["space"], run["sha256"], run["seed"]) == ("own", "tiny", tiny.sha256, 3)
    assert run["trial"]["reward"] == {"form": "soft", "target": 100_000, "w": -0.1}
    assert SearchSpace.from_data(run["document"]).sha256 == tiny.sha256
    assert shlex.split(run["command"]) == ["python", "-m", "nas.search.trial", *sys.argv[1:]]
    options = options_of(run["command"])
    assert options is not None
    assert options.data == "folder:my images"
    assert list((foreign.run / "study").glob("events.*"))


def test_without_a_target_it_is_the_spaces(foreign):
    foreign.nni.parameters = SAMPLE
    assert foreign.start("--space", str(foreign.folder / "tiny.yml")) == 0
    assert foreign.trial(0).reward == pytest.approx(
        reward(foreign.trial(0).accuracy, foreign.trial(0).macs, 60_000)
    )


def test_a_duplicate_is_answered_from_the_journal(foreign):
    options = ["--space", str(foreign.folder / "tiny.yml")]
    foreign.nni.parameters = SAMPLE
    assert foreign.start(*options, job="job0") == 0
    foreign.forbid_training()
    foreign.nni.parameters = TWIN
    assert foreign.start(*options, job="job1") == 0
    first, second = foreign.trial(0), foreign.trial(1)
    assert (second.state, second.accuracy, second.reward, second.job) == (
        "duplicate", first.accuracy, first.reward, "job1",
    )  # fmt: skip
    assert foreign.nni.final[1] == foreign.nni.final[0] | {"seconds": 0}


def twin_of(bench: Bench, tiny: SearchSpace, pid: int) -> None:
    """Another process begins with the same network."""
    document = tiny.document.model_dump(mode="json", exclude_defaults=True)
    settings = {"reward": {"form": "soft", "target": 60_000, "w": -0.07}, "limits": {}, "seed": 0}
    bench.journal.start(
        experiment="own", space="tiny", sha256=tiny.sha256, document=document, trial=settings, classes=2, in_chans=1,
        strategy={"name": "NNI's tuner"}, seed=0, max_trials=None, concurrency=None, command="", versions={},
    )  # fmt: skip
    arch = tiny.decode(TWIN)
    bench.journal.asked(TWIN, arch.key, macs=arch.macs, params=arch.params, job="other", pid=pid)


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """The process of NNI's trial job `other`."""
    environ = {**os.environ, "NNI_TRIAL_JOB_ID": "other"}
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environ) as process:
        yield process
        process.kill()


def test_a_process_that_has_a_dead_trials_number_is_no_twin(foreign, tiny):
    """After a reboot it may be anything."""
    twin_of(foreign, tiny, os.getpid())
    foreign.nni.parameters = SAMPLE
    assert foreign.start("--space", str(foreign.folder / "tiny.yml")) == 0
    assert foreign.trial(1).state == "complete"


def test_a_twin_that_still_runs_is_waited_for(foreign, tiny, monkeypatch, other):
    twin_of(foreign, tiny, other.pid)
    monkeypatch.setattr(
        "nas.search.reporter.time.sleep",
        lambda _: foreign.journal.told(0, "complete", accuracy=0.75, reward=0.8),
    )
    foreign.forbid_training()
    foreign.nni.parameters = SAMPLE
    assert foreign.start("--space", str(foreign.folder / "tiny.yml")) == 0
    assert (foreign.trial(1).state, foreign.trial(1).accuracy) == ("duplicate", 0.75)


def test_a_twin_that_was_killed_or_failed_answers_nothing(foreign, tiny):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    twin_of(foreign, tiny, gone.pid)
    foreign.nni.parameters = SAMPLE
    assert foreign.start("--space", str(foreign.folder / "tiny.yml")) == 0
    assert foreign.trial(1).state == "complete"


def test_of_two_that_begin_at_once_the_later_waits(foreign, tiny, monkeypatch):
    """The earlier has its number, and must not wait for the later."""
    twin_of(foreign, tiny, os.getpid())
    monkeypatch.setattr("nas.search.reporter.time.sleep", lambda _: pytest.fail("it waits"))
    foreign.nni.parameters = TWIN
    foreign.journal.asked(SAMPLE, tiny.decode(SAMPLE).key, job="later", pid=os.getpid())
    assert foreign.start("--space", str(foreign.folder / "tiny.yml"), job="other") == 0
    assert foreign.trial(0).state == "complete"


def test_a_job_that_runs_again_keeps_its_number(foreign):
    options = ["--space", str(foreign.folder / "tiny.yml")]
    foreign.nni.parameters = SAMPLE
    assert foreign.start(*options) == 0
    foreign.forbid_training()
    assert foreign.start(*options) == 0
    assert foreign.trial(0).state == "complete"
    assert list(foreign.journal.trials) == [0]
    assert foreign.nni.final[1]["default"] == foreign.nni.final[0]["default"]


def test_limits_are_kept_under_nnis_tuners(foreign, tiny):
    foreign.forbid_training()
    foreign.nni.parameters = OTHER
    macs = tiny.decode(OTHER).macs
    assert foreign.start("--space", str(foreign.folder / "tiny.yml"), "--max-macs", str(macs - 1)) == 0
    assert foreign.trial(0).state == "rejected"
    assert foreign.nni.final[0]["default"] == 0


def test_a_failure_is_recorded_under_nnis_tuners(foreign):
    foreign.nni.parameters = SAMPLE
    options = ["--lr", "1e30", "--clip-norm", "0"]
    assert foreign.start("--space", str(foreign.folder / "tiny.yml"), *options) == 1
    assert (foreign.trial(0).reason or "").startswith("diverged")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_by_nnis_tuners_its_last_accuracy_is_a_lower_bound(foreign, monkeypatch, number, tiny):
    deaths: list[tuple[int, int, Any]] = []
    monkeypatch.setattr(os, "kill", lambda pid, which: deaths.append((pid, which, signal.getsignal(which))))
    foreign.nni.at_intermediate = lambda: signal.raise_signal(number)
    foreign.nni.parameters = SAMPLE
    foreign.start("--space", str(foreign.folder / "tiny.yml"))
    found = foreign.trial(0)
    assert len(foreign.nni.intermediate) == 1
    assert foreign.nni.final == []
    assert (found.state, found.accuracy) == ("stopped", foreign.nni.intermediate[0])
    assert found.reward == pytest.approx(reward(found.accuracy, tiny.decode(SAMPLE).macs, 60_000))
    assert deaths == [(os.getpid(), number, signal.SIG_DFL)]


def test_a_space_must_be_named_under_nnis_tuners(foreign, capsys):
    foreign.nni.parameters = SAMPLE
    assert foreign.start() == 2
    assert one_sentence(capsys.readouterr().err, "nas trial: trial: --space is missing")


# Latency


def priced(tiny: SearchSpace, reward: dict[str, Any], **limits: Any) -> dict[str, Any]:
    return {
        "space": "tiny", "sha256": tiny.sha256, "seed": 7, "reward": reward,
        "limits": {"macs": None, "params": None, **limits},
    }  # fmt: skip


ON_LATENCY = {"form": "soft", "cost": "latency", "target": 2.0, "w": -0.5}


def test_a_reward_on_latency_is_by_the_proposals_own(tmp_path, images, make_run, monkeypatch, tiny):
    bench = Bench(tmp_path, images, make_run(trial=priced(tiny, ON_LATENCY)), monkeypatch)
    number = bench.ask(SAMPLE)
    assert bench.nni.parameters is not None
    bench.nni.parameters["run"]["latency"] = 8.0
    assert bench.start() == 0
    told = bench.trial(number)
    assert told.latency == 8.0
    assert told.reward == pytest.approx((told.accuracy or 0) * (8.0 / 2.0) ** -0.5)
    assert bench.nni.final[0]["latency"] == 8.0


def test_a_network_over_the_limit_of_latency_is_rejected(tmp_path, images, make_run, monkeypatch, tiny):
    on_macs = {"form": "soft", "target": 60_000, "w": -0.07}
    bench = Bench(tmp_path, images, make_run(trial=priced(tiny, on_macs, latency=5.0)), monkeypatch)
    bench.forbid_training()
    number = bench.ask(SAMPLE)
    assert bench.nni.parameters is not None
    bench.nni.parameters["run"]["latency"] = 8.0
    assert bench.start() == 0
    assert bench.trial(number).state == "rejected"
    assert bench.trial(number).reason == "latency 8 ms is over the limit of 5 ms"


def test_a_run_that_says_no_latency_is_one_sentence(tmp_path, images, make_run, monkeypatch, tiny, capsys):
    bench = Bench(tmp_path, images, make_run(trial=priced(tiny, ON_LATENCY)), monkeypatch)
    bench.ask(SAMPLE)
    assert bench.start() == 2
    error = capsys.readouterr().err
    assert one_sentence(error)
    assert "the reward is on latency, and the run says none of this sample" in error
